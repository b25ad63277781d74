/** Protocol data units of the DICOM upper layer (PS3.8 section 9.3), read and written without believing a length. */

export type ProposedContext = {
  readonly id: number;
  readonly abstractSyntax: string;
  readonly transferSyntaxes: readonly string[];
};

/** PS3.8 table 9-18. */
export const contextResult = { accepted: 0, userRejection: 1, abstractSyntax: 3, transferSyntaxes: 4 } as const;

export type AnsweredContext = {
  readonly id: number;
  readonly result: number;
  readonly transferSyntax: string;
};

type Parties = {
  readonly calledAe: string;
  readonly callingAe: string;
  /** Largest P-DATA-TF this side takes; 0 is no limit. */
  readonly maxPduLength: number;
  readonly implementation: { readonly classUid: string; readonly versionName?: string };
};
export type AssociateRequest = Parties & { readonly contexts: readonly ProposedContext[] };
export type AssociateAccept = Parties & { readonly contexts: readonly AnsweredContext[] };

/** PS3.8 table 9-21: result (1 permanent, 2 transient), source (1 user, 2 and 3 provider), reason. */
export type Rejection = { readonly result: 1 | 2; readonly source: 1 | 2 | 3; readonly reason: number };

/** A fragment of a message: of its command set or of its dataset. */
export type Pdv = {
  readonly contextId: number;
  readonly command: boolean;
  readonly last: boolean;
  readonly data: Uint8Array;
};

export const pduType = {
  associateRequest: 1,
  associateAccept: 2,
  associateReject: 3,
  data: 4,
  releaseRequest: 5,
  releaseResponse: 6,
  abort: 7,
} as const;

/** PS3.8 table 9-26, reasons of the service provider. */
export const abortReason = { notSpecified: 0, unrecognizedPdu: 1, unexpectedPdu: 2, invalidParameter: 6 } as const;

/** The other side does not keep to the protocol: the association is aborted for this reason. */
export class ProtocolError extends Error {
  readonly reason: number;

  constructor(reason: number, what: string) {
    super(what);
    this.reason = reason;
  }
}

export type RawPdu = { readonly type: number; readonly body: Buffer };

/** 128 contexts with thirty transfer syntaxes each are 100 kB. */
const maxAssociatePdu = 1024 * 1024;
const applicationContext = '1.2.840.10008.3.1.1.1';

/** Unit after unit; ends where the bytes end. `maxPduLength` is what this side announced. */
export async function* readPdus(
  source: AsyncIterable<Uint8Array>,
  { maxPduLength }: { readonly maxPduLength: number },
): AsyncGenerator<RawPdu> {
  let held: Buffer[] = [];
  let size = 0;
  let wanted = 6;
  let type = 0;
  for await (const piece of source) {
    held.push(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
    size += piece.byteLength;
    if (size < wanted) continue;
    // Joined only when a unit is whole, so that a long one costs one copy and not one for each packet.
    let bytes: Buffer = held.length === 1 ? held[0]! : Buffer.concat(held);
    for (;;) {
      if (wanted === 6 && bytes.length >= 6) {
        type = bytes[0]!;
        wanted = 6 + checkedLength(type, bytes.readUInt32BE(2), maxPduLength);
      }
      if (bytes.length < wanted) break;
      yield { type, body: bytes.subarray(6, wanted) };
      bytes = bytes.subarray(wanted);
      wanted = 6;
      if (bytes.length < 6) break;
    }
    held = bytes.length === 0 ? [] : [bytes];
    size = bytes.length;
  }
  if (size > 0) throw new ProtocolError(abortReason.notSpecified, 'the connection ended in the middle of a unit');
}

function checkedLength(type: number, length: number, maxPduLength: number): number {
  if (type < pduType.associateRequest || type > pduType.abort)
    throw new ProtocolError(abortReason.unrecognizedPdu, `no unit has type ${type}`);
  const most = type === pduType.data ? maxPduLength : type <= pduType.associateAccept ? maxAssociatePdu : /* fixed */ 4;
  if (length > most) throw new ProtocolError(abortReason.invalidParameter, `a unit of ${length} bytes`);
  return length;
}

/** The fragments in a P-DATA-TF (PS3.8 9.3.5.1). */
export function readPdvs(body: Buffer): Pdv[] {
  const found: Pdv[] = [];
  for (let at = 0; at < body.length;) {
    if (at + 6 > body.length) throw new ProtocolError(abortReason.invalidParameter, 'a fragment without a header');
    const length = body.readUInt32BE(at);
    const end = at + 4 + length;
    if (length < 2 || end > body.length)
      throw new ProtocolError(abortReason.invalidParameter, 'a fragment longer than its unit');
    const control = body[at + 5]!;
    found.push({
      contextId: body[at + 4]!,
      command: (control & 1) === 1,
      last: (control & 2) === 2,
      data: body.subarray(at + 6, end),
    });
    at = end;
  }
  return found;
}

/** The header of a fragment that fills a unit of its own; its bytes follow. */
export function pdvHeader(pdv: Omit<Pdv, 'data'>, length: number): Buffer {
  const header = Buffer.alloc(12);
  header[0] = pduType.data;
  header.writeUInt32BE(length + 6, 2);
  header.writeUInt32BE(length + 2, 6);
  header[10] = pdv.contextId;
  header[11] = (pdv.command ? 1 : 0) | (pdv.last ? 2 : 0);
  return header;
}

/** Besides the bytes of one fragment, a unit holds this many. */
export const pdvOverhead = 6;

export function writeAssociateRequest(request: AssociateRequest): Buffer {
  return associate(
    pduType.associateRequest,
    request,
    request.contexts.map(({ id, abstractSyntax, transferSyntaxes }) =>
      item(
        0x20,
        Buffer.concat([
          Buffer.from([id, 0, 0, 0]),
          item(0x30, ascii(abstractSyntax)),
          ...transferSyntaxes.map((syntax) => item(0x40, ascii(syntax))),
        ]),
      ),
    ),
  );
}

export function writeAssociateAccept(accept: AssociateAccept): Buffer {
  return associate(
    pduType.associateAccept,
    accept,
    accept.contexts.map(({ id, result, transferSyntax }) =>
      item(0x21, Buffer.concat([Buffer.from([id, 0, result, 0]), item(0x40, ascii(transferSyntax))])),
    ),
  );
}

export const writeReject = ({ result, source, reason }: Rejection): Buffer =>
  unit(pduType.associateReject, Buffer.from([0, result, source, reason]));
export const writeReleaseRequest = (): Buffer => unit(pduType.releaseRequest, Buffer.alloc(4));
export const writeReleaseResponse = (): Buffer => unit(pduType.releaseResponse, Buffer.alloc(4));
/** `source` 0: the user (this program) wants no more; 2: the other side broke the protocol. */
export const writeAbort = (source: 0 | 2, reason: number): Buffer =>
  unit(pduType.abort, Buffer.from([0, 0, source, reason]));

export function readReject(body: Buffer): { result: number; source: number; reason: number } {
  if (body.length < 4) throw new ProtocolError(abortReason.invalidParameter, 'a rejection that is too short');
  return { result: body[1]!, source: body[2]!, reason: body[3]! };
}

export function readAssociateRequest(body: Buffer): AssociateRequest {
  const { items, ...parties } = readAssociate(body);
  const contexts = items
    .filter(({ type }) => type === 0x20)
    .map(({ value }): ProposedContext => {
      const inner = readItems(demand(value, 4).subarray(4));
      const abstract = inner.find(({ type }) => type === 0x30);
      return {
        id: value[0]!,
        abstractSyntax: abstract === undefined ? '' : text(abstract.value),
        transferSyntaxes: inner.filter(({ type }) => type === 0x40).map((one) => text(one.value)),
      };
    });
  // Odd and each used once (PS3.8 9.3.2.2): an answer would be ambiguous otherwise.
  if (contexts.some(({ id }) => id % 2 === 0) || new Set(contexts.map(({ id }) => id)).size < contexts.length)
    throw new ProtocolError(abortReason.invalidParameter, 'presentation contexts without numbers of their own');
  return { ...parties, contexts };
}

export function readAssociateAccept(body: Buffer): AssociateAccept {
  const { items, ...parties } = readAssociate(body);
  const contexts = items
    .filter(({ type }) => type === 0x21)
    .map(({ value }): AnsweredContext => {
      const inner = readItems(demand(value, 4).subarray(4));
      const transfer = inner.find(({ type }) => type === 0x40);
      return {
        id: value[0]!,
        result: value[2]!,
        transferSyntax: transfer === undefined ? '' : text(transfer.value),
      };
    });
  return { ...parties, contexts };
}

function associate(type: number, parties: Parties, contexts: readonly Buffer[]): Buffer {
  const { classUid, versionName } = parties.implementation;
  const length = Buffer.alloc(4);
  length.writeUInt32BE(parties.maxPduLength);
  const user = [
    item(0x51, length),
    item(0x52, ascii(classUid)),
    ...(versionName === undefined ? [] : [item(0x55, ascii(versionName))]),
  ];
  return unit(
    type,
    Buffer.concat([
      Buffer.from([0, 1, 0, 0]),
      aeTitle(parties.calledAe),
      aeTitle(parties.callingAe),
      Buffer.alloc(32),
      item(0x10, ascii(applicationContext)),
      ...contexts,
      item(0x50, Buffer.concat(user)),
    ]),
  );
}

function readAssociate(body: Buffer): Parties & { items: readonly Item[] } {
  demand(body, 68);
  if ((body.readUInt16BE(0) & 1) === 0)
    throw new ProtocolError(abortReason.invalidParameter, 'another version of the protocol');
  const items = readItems(body.subarray(68));
  const application = items.find(({ type }) => type === 0x10);
  if (application === undefined || text(application.value) !== applicationContext)
    throw new ProtocolError(abortReason.invalidParameter, 'another application than DICOM');
  const user = items.flatMap(({ type, value }) => (type === 0x50 ? readItems(value) : []));
  const of = (type: number) => user.find((one) => one.type === type)?.value;
  const version = of(0x55);
  return {
    calledAe: text(body.subarray(4, 20)),
    callingAe: text(body.subarray(20, 36)),
    maxPduLength: demand(of(0x51) ?? Buffer.alloc(4), 4).readUInt32BE(0),
    implementation: {
      classUid: text(of(0x52) ?? Buffer.alloc(0)),
      ...(version === undefined ? {} : { versionName: text(version) }),
    },
    items,
  };
}

type Item = { readonly type: number; readonly value: Buffer };

/** Items of the variable part: a type, a reserved byte, a length of two bytes. */
function readItems(bytes: Buffer): Item[] {
  const found: Item[] = [];
  for (let at = 0; at < bytes.length;) {
    if (at + 4 > bytes.length) throw new ProtocolError(abortReason.invalidParameter, 'an item without a header');
    const end = at + 4 + bytes.readUInt16BE(at + 2);
    if (end > bytes.length) throw new ProtocolError(abortReason.invalidParameter, 'an item longer than its unit');
    found.push({ type: bytes[at]!, value: bytes.subarray(at + 4, end) });
    at = end;
  }
  return found;
}

function demand(bytes: Buffer, least: number): Buffer {
  if (bytes.length < least) throw new ProtocolError(abortReason.invalidParameter, 'a unit that is too short');
  return bytes;
}

function unit(type: number, body: Buffer): Buffer {
  const header = Buffer.alloc(6);
  header[0] = type;
  header.writeUInt32BE(body.length, 2);
  return Buffer.concat([header, body]);
}

function item(type: number, value: Buffer): Buffer {
  const header = Buffer.alloc(4);
  header[0] = type;
  header.writeUInt16BE(value.length, 2);
  return Buffer.concat([header, value]);
}

const ascii = (value: string): Buffer => Buffer.from(value, 'latin1');
/** Padded with spaces to sixteen; some pad with NUL, and some add one to an odd UID. */
const aeTitle = (title: string): Buffer => ascii(title.slice(0, 16).padEnd(16, ' '));
const text = (bytes: Buffer): string => bytes.toString('latin1').replaceAll('\0', ' ').trim();
