/** The encoder that comes with the decoder; tests make their files with it. */
declare module '@cornerstonejs/codec-openjpeg/wasmjs' {
  export type Encoder = {
    getDecodedBuffer(frame: object): Uint8Array;
    setQuality(lossless: boolean, layers: number): void;
    setCompressionRatio(layer: number, ratio: number): void;
    setProgressionOrder(order: number): void;
    setDecompositions(count: number): void;
    setImageOffset(offset: { x: number; y: number }): void;
    encode(): void;
    getEncodedBuffer(): Uint8Array;
    delete(): void;
  };
  const factory: (options: object) => Promise<{ J2KEncoder: new () => Encoder }>;
  export default factory;
}
