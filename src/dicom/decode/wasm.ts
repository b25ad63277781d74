/** The one door to the WebAssembly codecs: loads a module once, keeps it quiet, and turns each of its ways to fail into one. */
import { WetreadError } from '../../domain/errors.ts';
import { corrupt } from './frame.ts';

export type WasmDecoder = {
  getEncodedBuffer(length: number): Uint8Array;
  decode(): void;
  getDecodedBuffer(): Uint8Array;
  getFrameInfo(): WasmFrameInfo;
  delete(): void;
};

export type WasmFrameInfo = {
  readonly width: number;
  readonly height: number;
  readonly bitsPerSample: number;
  readonly componentCount: number;
  readonly isSigned?: boolean;
};

type CodecModule = {
  readonly getExceptionMessage?: (thrown: number) => string;
  /** The module's memory, which grows and never shrinks. */
  readonly HEAPU8: Uint8Array;
};

/** A module that grew beyond this for one large picture is let go, so that its memory does not stay for good. */
const keptBytes = 256 * 1024 * 1024;
export type CodecFactory<Module> = (options: {
  print: (line: string) => void;
  printErr: (line: string) => void;
}) => Promise<Module & CodecModule>;

/** `open` is called for each frame; the module is loaded by the first. With `rows`, only those are given of the picture. */
export function wasmCodec<Module, Decoder extends WasmDecoder, Extra>(
  factory: CodecFactory<Module>,
  open: (module: Module) => Decoder,
  inspect: (decoder: Decoder) => Extra,
): (
  encoded: Uint8Array,
  rows?: { readonly from: number; readonly to: number },
) => Promise<{ info: WasmFrameInfo; values: Uint8Array | Uint16Array; extra: Extra }> {
  // OpenJPEG prints three lines for each picture; they go here instead of to standard output, where logs and CLI answers are.
  let lines: string[] = [];
  const keep = (line: string) => void (lines.length < 20 && lines.push(line));
  let loading: Promise<Module & CodecModule> | undefined;

  return async (encoded, rows) => {
    const module = await (loading ??= factory({ print: keep, printErr: keep }));
    lines = [];
    let decoder: Decoder | undefined;
    try {
      decoder = open(module);
      decoder.getEncodedBuffer(encoded.length).set(encoded);
      decoder.decode();
      const info = decoder.getFrameInfo();
      // OpenJPEG and OpenJPH return from a failed decode as if nothing had been, with a picture of no size.
      if (info.width === 0 || info.height === 0) throw corrupt(lastComplaint(lines));
      return { info, values: copyOut(decoder.getDecodedBuffer(), info, rows), extra: inspect(decoder) };
    } catch (thrown) {
      // After an abort the module's memory is not to be trusted: the next frame gets a fresh one.
      if (thrown instanceof WebAssembly.RuntimeError || thrown instanceof RangeError) loading = undefined;
      if (thrown instanceof WetreadError) throw thrown;
      const message = typeof thrown === 'number' ? module.getExceptionMessage?.(thrown) : (thrown as Error).message;
      throw corrupt(message ?? lastComplaint(lines), thrown);
    } finally {
      try {
        decoder?.delete();
      } catch {
        loading = undefined;
      }
      if (module.HEAPU8.length > keptBytes) loading = undefined;
    }
  };
}

const lastComplaint = (lines: readonly string[]): string =>
  (lines.findLast((line) => /error/i.test(line)) ?? 'the codec gave no picture')
    .replace(/^\[?error\]?:?\s*/i, '')
    .slice(0, 200);

/** The decoded bytes live in the codec's memory, which the next frame overwrites. */
function copyOut(
  bytes: Uint8Array,
  info: WasmFrameInfo,
  { from, to } = { from: 0, to: info.height },
): Uint8Array | Uint16Array {
  const width = info.bitsPerSample <= 8 ? 1 : 2;
  const expected = info.width * info.height * info.componentCount * width;
  if (bytes.length !== expected) throw corrupt(`the codec gave ${bytes.length} bytes for ${expected}`);
  const perRow = info.width * info.componentCount * width;
  const copy = new Uint8Array((to - from) * perRow);
  copy.set(bytes.subarray(from * perRow, to * perRow));
  return width === 1 ? copy : new Uint16Array(copy.buffer);
}
