/** Command sets (PS3.7 annex E): group 0000, always implicit little endian. */
import { abortReason, ProtocolError } from './pdu.ts';

export const commandField = {
  storeRequest: 0x0001,
  storeResponse: 0x8001,
  echoRequest: 0x0030,
  echoResponse: 0x8030,
  cancelRequest: 0x0fff,
} as const;

export const verificationClass = '1.2.840.10008.1.1';

/** PS3.7 annex C; the statuses of C-STORE itself come from whoever keeps the object. */
export const status = {
  success: 0x0000,
  sopClassNotSupported: 0x0122,
  notAuthorized: 0x0124,
  unrecognizedOperation: 0x0211,
} as const;

export type Command = {
  readonly field: number;
  readonly messageId: number;
  readonly respondsTo: number;
  readonly hasDataset: boolean;
  readonly status: number;
  readonly sopClassUid: string;
  readonly sopUid: string;
};

const noDataset = 0x0101;
const tags = {
  sopClassUid: 0x0002,
  field: 0x0100,
  messageId: 0x0110,
  respondsTo: 0x0120,
  priority: 0x0700,
  datasetType: 0x0800,
  status: 0x0900,
  errorComment: 0x0902,
  sopUid: 0x1000,
} as const;

export function readCommand(bytes: Buffer): Command {
  const elements = new Map<number, Buffer>();
  for (let at = 0; at < bytes.length;) {
    if (at + 8 > bytes.length) throw broken('it ends in the middle of an element');
    if (bytes.readUInt16LE(at) !== 0) throw broken('an element of another group');
    const end = at + 8 + bytes.readUInt32LE(at + 4);
    if (end > bytes.length) throw broken('an element longer than the set');
    elements.set(bytes.readUInt16LE(at + 2), bytes.subarray(at + 8, end));
    at = end;
  }
  const short = (tag: number): number | undefined => {
    const value = elements.get(tag);
    return value === undefined || value.length < 2 ? undefined : value.readUInt16LE(0);
  };
  const uid = (tag: number): string =>
    (elements.get(tag) ?? Buffer.alloc(0)).toString('latin1').replaceAll('\0', '').trim();
  const field = short(tags.field);
  if (field === undefined) throw broken('it does not say which command it is');
  return {
    field,
    messageId: short(tags.messageId) ?? 0,
    respondsTo: short(tags.respondsTo) ?? 0,
    hasDataset: short(tags.datasetType) !== noDataset,
    status: short(tags.status) ?? 0,
    sopClassUid: uid(tags.sopClassUid),
    sopUid: uid(tags.sopUid),
  };
}

const broken = (what: string) => new ProtocolError(abortReason.invalidParameter, `a command set is broken: ${what}`);

/** In the order of their tags, as PS3.7 6.3.1 demands. */
function write(elements: readonly (readonly [tag: number, value: Buffer])[]): Buffer {
  const body = Buffer.concat(
    elements.map(([tag, value]) => {
      const header = Buffer.alloc(8);
      header.writeUInt16LE(tag, 2);
      header.writeUInt32LE(value.length, 4);
      return Buffer.concat([header, value]);
    }),
  );
  const group = Buffer.alloc(12);
  group.writeUInt32LE(4, 4);
  group.writeUInt32LE(body.length, 8);
  return Buffer.concat([group, body]);
}

const us = (value: number): Buffer => Buffer.from([value & 0xff, value >> 8]);
const ui = (uid: string): Buffer => Buffer.from(uid.length % 2 === 0 ? uid : `${uid}\0`, 'latin1');
const lo = (text: string): Buffer => Buffer.from(text.length % 2 === 0 ? text : `${text} `, 'latin1');

export const storeRequest = (request: { messageId: number; sopClassUid: string; sopUid: string }): Buffer =>
  write([
    [tags.sopClassUid, ui(request.sopClassUid)],
    [tags.field, us(commandField.storeRequest)],
    [tags.messageId, us(request.messageId)],
    // Medium.
    [tags.priority, us(0)],
    [tags.datasetType, us(0x0001)],
    [tags.sopUid, ui(request.sopUid)],
  ]);

export const echoRequest = (messageId: number): Buffer =>
  write([
    [tags.sopClassUid, ui(verificationClass)],
    [tags.field, us(commandField.echoRequest)],
    [tags.messageId, us(messageId)],
    [tags.datasetType, us(noDataset)],
  ]);

/** The answer to any request, with what it must repeat. `comment` has 64 characters at most. */
export const response = (to: Command, code: number, comment?: string): Buffer =>
  write([
    ...(to.sopClassUid === '' ? [] : [[tags.sopClassUid, ui(to.sopClassUid)] as const]),
    [tags.field, us(to.field | 0x8000)],
    [tags.respondsTo, us(to.messageId)],
    [tags.datasetType, us(noDataset)],
    [tags.status, us(code)],
    ...(comment === undefined ? [] : [[tags.errorComment, lo(comment.slice(0, 64))] as const]),
    ...(to.sopUid === '' ? [] : [[tags.sopUid, ui(to.sopUid)] as const]),
  ]);
