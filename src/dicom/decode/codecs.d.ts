/** The parts of the WebAssembly codecs that are used; they ship no types of their own. */
declare module '@cornerstonejs/codec-openjpeg/decodewasmjs' {
  const factory: import('./wasm.ts').CodecFactory<{
    J2KDecoder: new () => import('./wasm.ts').WasmDecoder & { getIsReversible(): boolean };
  }>;
  export default factory;
}
declare module '@cornerstonejs/codec-charls/decodewasmjs' {
  const factory: import('./wasm.ts').CodecFactory<{
    JpegLSDecoder: new () => import('./wasm.ts').WasmDecoder & {
      getInterleaveMode(): number;
      getNearLossless(): number;
    };
  }>;
  export default factory;
}
declare module '@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs' {
  const factory: import('./wasm.ts').CodecFactory<{ JPEGDecoder: new () => import('./wasm.ts').WasmDecoder }>;
  export default factory;
}
declare module '@cornerstonejs/codec-openjph/wasmjs' {
  const factory: import('./wasm.ts').CodecFactory<{
    HTJ2KDecoder: new () => import('./wasm.ts').WasmDecoder & { getIsReversible(): boolean };
  }>;
  export default factory;
}
