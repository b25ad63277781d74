/** Where networks are computed: here, or on a server. */
import { kserveRuntime } from './kserve.ts';
import type { NetworkSpec } from './network.ts';
import { openOnnxNetwork, type OpenedNetwork } from './onnx-runtime.ts';
import type { RuntimeChoice } from './process-messages.ts';

export interface Runtime {
  /** Throws `model.*` when the network cannot be computed there, or is not the one the manifest describes. */
  open(spec: NetworkSpec): Promise<OpenedNetwork>;
}

export function openRuntime(choice: RuntimeChoice): Runtime {
  switch (choice.kind) {
    case 'onnx-runtime':
      return { open: (spec) => openOnnxNetwork(spec, choice) };
    case 'kserve':
      return kserveRuntime(choice);
  }
}
