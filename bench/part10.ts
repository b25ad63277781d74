/** DICOM files for benches and tests: a picture's bytes behind the fewest attributes. */

/** The least that the tools accept as a digital radiograph. */
export function part10(
  syntax: string,
  { bits, rows, columns }: { bits: number; rows: number; columns: number },
  pixels: Uint8Array,
  encapsulated: boolean,
): Buffer {
  const allocated = bits > 8 ? 16 : 8;
  const uid = (text: string) => Buffer.from(text.length % 2 === 0 ? text : `${text}\0`, 'latin1');
  const text = (value: string) => Buffer.from(value.length % 2 === 0 ? value : `${value} `, 'latin1');
  const number = (value: number) => Buffer.from(new Uint16Array([value]).buffer);
  const element = (group: number, tag: number, vr: string, value: Uint8Array, length = value.length) => {
    const long = vr === 'OB' || vr === 'OW';
    const header = Buffer.alloc(long ? 12 : 8);
    header.writeUInt16LE(group, 0);
    header.writeUInt16LE(tag, 2);
    header.write(vr, 4, 'latin1');
    if (long) header.writeUInt32LE(length, 8);
    else header.writeUInt16LE(length, 6);
    return Buffer.concat([header, value]);
  };
  const [sopClass, sop] = [uid('1.2.840.10008.5.1.4.1.1.1.1'), uid('2.25.1561')];
  const meta = Buffer.concat([
    element(2, 1, 'OB', Buffer.from([0, 1])),
    element(2, 2, 'UI', sopClass),
    element(2, 3, 'UI', sop),
    element(2, 0x10, 'UI', uid(syntax)),
    element(2, 0x12, 'UI', uid('2.25.1')),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(meta.length);
  return Buffer.concat([
    Buffer.alloc(128),
    Buffer.from('DICM'),
    element(2, 0, 'UL', length),
    meta,
    element(8, 0x16, 'UI', sopClass),
    element(8, 0x18, 'UI', sop),
    element(8, 0x60, 'CS', text('DX')),
    element(0x10, 0x10, 'PN', text('Phantom^Bench')),
    element(0x20, 0xd, 'UI', uid('2.25.2')),
    element(0x20, 0xe, 'UI', uid('2.25.3')),
    element(0x28, 2, 'US', number(1)),
    element(0x28, 4, 'CS', text('MONOCHROME2')),
    element(0x28, 0x10, 'US', number(rows)),
    element(0x28, 0x11, 'US', number(columns)),
    element(0x28, 0x100, 'US', number(allocated)),
    element(0x28, 0x101, 'US', number(bits)),
    element(0x28, 0x102, 'US', number(bits - 1)),
    element(0x28, 0x103, 'US', number(0)),
    element(0x7fe0, 0x10, encapsulated || bits === 8 ? 'OB' : 'OW', pixels, encapsulated ? 0xffff_ffff : pixels.length),
  ]);
}

/** One frame in one fragment behind an empty offset table (PS3.5 section A.4). */
export function fragmentsOf(code: Uint8Array): Buffer {
  const item = (bytes: Uint8Array) =>
    Buffer.concat([
      Buffer.from(new Uint32Array([0xe000_fffe, bytes.length + (bytes.length & 1)]).buffer),
      bytes,
      Buffer.alloc(bytes.length & 1),
    ]);
  return Buffer.concat([item(new Uint8Array()), item(code), Buffer.from(new Uint32Array([0xe0dd_fffe, 0]).buffer)]);
}
