/** A DICOM film with one bright square at a known place: explicit little endian, 16 bits, nothing a viewer could get wrong by guessing. */

const text = (group: number, element: number, vr: string, value: string): Buffer => {
  const bytes = Buffer.from(value.length % 2 === 0 ? value : value + (vr === 'UI' ? '\0' : ' '), 'ascii');
  const head = Buffer.alloc(8);
  head.writeUInt16LE(group, 0);
  head.writeUInt16LE(element, 2);
  head.write(vr, 4, 'ascii');
  head.writeUInt16LE(bytes.length, 6);
  return Buffer.concat([head, bytes]);
};

const number = (group: number, element: number, value: number): Buffer => {
  const head = text(group, element, 'US', '  ');
  head.writeUInt16LE(value, 8);
  return head;
};

export type Square = { readonly left: number; readonly top: number; readonly right: number; readonly bottom: number };

export function squareFilm(
  uids: { readonly study: string; readonly series: string; readonly sop: string },
  {
    rows,
    columns,
    square,
    spacing,
  }: { rows: number; columns: number; square: Square; spacing: readonly [row: number, column: number] },
): Uint8Array {
  const pixels = Buffer.alloc(rows * columns * 2);
  for (let y = square.top; y < square.bottom; y++) {
    for (let x = square.left; x < square.right; x++) pixels.writeUInt16LE(4000, (y * columns + x) * 2);
  }
  const meta = Buffer.concat([
    text(0x0002, 0x0002, 'UI', '1.2.840.10008.5.1.4.1.1.1'),
    text(0x0002, 0x0003, 'UI', uids.sop),
    text(0x0002, 0x0010, 'UI', '1.2.840.10008.1.2.1'),
  ]);
  const length = Buffer.alloc(12);
  length.writeUInt16LE(0x0002, 0);
  length.write('UL', 4, 'ascii');
  length.writeUInt16LE(4, 6);
  length.writeUInt32LE(meta.length, 8);
  const pixelHead = Buffer.alloc(12);
  pixelHead.writeUInt16LE(0x7fe0, 0);
  pixelHead.writeUInt16LE(0x0010, 2);
  pixelHead.write('OW', 4, 'ascii');
  pixelHead.writeUInt32LE(pixels.length, 8);
  return new Uint8Array(
    Buffer.concat([
      Buffer.alloc(128),
      Buffer.from('DICM', 'ascii'),
      length,
      meta,
      text(0x0008, 0x0016, 'UI', '1.2.840.10008.5.1.4.1.1.1'),
      text(0x0008, 0x0018, 'UI', uids.sop),
      text(0x0008, 0x0060, 'CS', 'CR'),
      text(0x0020, 0x000d, 'UI', uids.study),
      text(0x0020, 0x000e, 'UI', uids.series),
      number(0x0028, 0x0002, 1),
      text(0x0028, 0x0004, 'CS', 'MONOCHROME2'),
      number(0x0028, 0x0010, rows),
      number(0x0028, 0x0011, columns),
      text(0x0028, 0x0030, 'DS', spacing.join('\\')),
      number(0x0028, 0x0100, 16),
      number(0x0028, 0x0101, 12),
      number(0x0028, 0x0102, 11),
      number(0x0028, 0x0103, 0),
      text(0x0028, 0x1050, 'DS', '2048'),
      text(0x0028, 0x1051, 'DS', '4096'),
      pixelHead,
      pixels,
    ]),
  );
}
