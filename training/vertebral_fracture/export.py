"""Write a pretrained backbone as ONNX: features and the maps they are the mean of, in one pass.

    python -m training.vertebral_fracture.export OUT/radiographs/checkpoint.pt backbone.onnx

Large weights are stored as fp16 and cast at load; computing stays fp32. `mean(maps) = features` is a free check, and the
linear part of any model on these features is exactly a weighted sum of the maps (training/cam/one_pass.py).
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from ..lumbar_landmarks.export import halve_weights
from .backbone import CROP, load, normalised

LIMIT = 2e-3  # fp16 weights against torch, relative to the largest feature


class FeaturesAndMaps(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone

    def forward(self, crops):
        maps = self.backbone.maps(crops)
        return maps.mean((2, 3)), maps


def session_of(path, threads=1):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def write(backbone, path):
    torch.onnx.export(
        FeaturesAndMaps(backbone).eval(), (torch.randn(2, 1, CROP, CROP),), str(path),
        input_names=["crops"], output_names=["features", "maps"], opset_version=17, dynamo=False,
        dynamic_axes={name: {0: "n"} for name in ("crops", "features", "maps")},
    )
    halve_weights(path)
    rng = np.random.default_rng(5)
    crops = normalised(rng.uniform(0, 1, (3, CROP, CROP)).astype(np.float32))[:, None]
    features, maps = session_of(path).run(None, {"crops": crops})
    with torch.no_grad():
        expected = backbone(torch.from_numpy(crops)).numpy()
    apart = np.abs(features - expected).max() / np.abs(expected).max()
    mean = np.abs(maps.mean((2, 3)) - features).max() / np.abs(features).max()
    size, digest = path.stat().st_size / 2**20, hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"{path} {size:.2f} MB, {features.shape[1]} features, to torch {apart:.1e}, mean(maps) {mean:.1e}, sha256 {digest}")
    if apart > LIMIT or mean > 1e-5:
        raise SystemExit("the graph does not answer as torch does")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("checkpoint", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--stages", type=int, default=3, choices=[3, 4])
    options = arguments.parse_args()
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write(load(options.checkpoint, options.stages), options.out)


if __name__ == "__main__":
    main()
