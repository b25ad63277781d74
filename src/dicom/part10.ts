/** The beginning of a DICOM file: preamble and file meta information (PS3.10 section 7.1). */
import type { AnnouncedObject } from '../domain/inbox.ts';

/** Ours, from a UUID (PS3.5 B.2); the version name says which program wrote a file. */
export const implementationClassUid = '2.25.190150382584444391075394427847474160664';
export const implementationVersionName = 'WETREAD_0_1';

/** What stands before a dataset that came without: preamble, prefix and group 0002. */
export function fileMeta(object: AnnouncedObject, sourceAeTitle?: string): Buffer {
  const elements = [
    element(0x0001, 'OB', Buffer.from([0, 1])),
    element(0x0002, 'UI', uid(object.sopClassUid)),
    element(0x0003, 'UI', uid(object.sopUid)),
    element(0x0010, 'UI', uid(object.transferSyntaxUid)),
    element(0x0012, 'UI', uid(implementationClassUid)),
    element(0x0013, 'SH', text(implementationVersionName)),
    ...(sourceAeTitle === undefined ? [] : [element(0x0016, 'AE', text(sourceAeTitle.slice(0, 16)))]),
  ];
  const group = Buffer.concat(elements);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(group.length);
  return Buffer.concat([Buffer.alloc(128), Buffer.from('DICM', 'latin1'), element(0x0000, 'UL', length), group]);
}

function element(number: number, vr: string, value: Buffer): Buffer {
  const long = vr === 'OB';
  const header = Buffer.alloc(long ? 12 : 8);
  header.writeUInt16LE(0x0002, 0);
  header.writeUInt16LE(number, 2);
  header.write(vr, 4, 'latin1');
  if (long) header.writeUInt32LE(value.length, 8);
  else header.writeUInt16LE(value.length, 6);
  return Buffer.concat([header, value]);
}

const even = (value: Buffer, padding: string): Buffer =>
  value.length % 2 === 0 ? value : Buffer.concat([value, Buffer.from(padding, 'latin1')]);
const uid = (value: string): Buffer => even(Buffer.from(value, 'latin1'), '\0');
const text = (value: string): Buffer => even(Buffer.from(value, 'latin1'), ' ');

/** Where the dataset begins, from the first bytes of a file; undefined while they are too few, false when this is no DICOM file. */
export function datasetStart(head: Uint8Array): number | false | undefined {
  if (head.length < 144) return undefined;
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (Buffer.from(head.buffer, head.byteOffset + 128, 4).toString('latin1') !== 'DICM') return false;
  // Group Length is required here, and read by everybody before the rest.
  if (view.getUint32(132, true) !== 0x0000_0002) return false;
  return 144 + view.getUint32(140, true);
}
