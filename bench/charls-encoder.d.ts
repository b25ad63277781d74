/** The part of CharLS' encoder that the bench uses; the package has no types of its own. */
declare module '@cornerstonejs/codec-charls' {
  type Encoder = {
    getDecodedBuffer(frame: {
      width: number;
      height: number;
      bitsPerSample: number;
      componentCount: number;
    }): Uint8Array;
    encode(): void;
    getEncodedBuffer(): Uint8Array;
    delete(): void;
  };
  export default function load(): Promise<{ JpegLSEncoder: new () => Encoder }>;
}
