"""Write the trained slip detector as ONNX and check it against torch.

python -m training.slip_detector.export OUT/slip-detector.onnx --checkpoint OUT/checkpoint.pt
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from ..lumbar_landmarks.dataset import letterbox, normalise
from ..lumbar_landmarks.export import INPUT
from ..phantoms.generator import Setting, render
from .films import SIZE
from .net import build, slipped_only

OPSET = 17


class Reader(nn.Module):
    """One normalised film (1, 1, 384, 256) to boxes (k, 4) in its pixels, segments (k,) from L1/L2 = 0 and scores (k,)."""

    def __init__(self, detector):
        super().__init__()
        self.detector = detector

    def forward(self, image):
        return slipped_only(self.detector([image[0]])[0])


def load(checkpoint):
    state = torch.load(checkpoint, map_location="cpu", weights_only=False)
    detector = build(state["backbone"])
    detector.load_state_dict(state["average"])
    return Reader(detector.eval()).eval()


def film(seed):
    whole = Setting(aspect=INPUT[1] / INPUT[0], clean=True, displacement={"L4": 0.25})
    canvas, _, _ = letterbox(render(seed, "B", *INPUT, whole).image, None, *SIZE)
    return normalise(canvas)[None, None].astype(np.float32)


def compare(path, reader):
    """Boxes and scores of the ONNX graph against torch's on phantoms; fails when they are not the same."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = 0
    for seed in range(9_600_000, 9_600_003):
        image = film(seed)
        with torch.no_grad():
            expected = [part.numpy() for part in reader(torch.from_numpy(image))]
        got = session.run(None, {"image": image})
        if [len(part) for part in got] != [len(part) for part in expected]:
            raise SystemExit(f"film {seed}: {len(got[0])} boxes, torch has {len(expected[0])}")
        found += len(got[0])
        if len(got[0]):
            apart = [float(np.abs(a - b).max()) for a, b in zip(got, expected, strict=True)]
            print(f"film {seed}: {len(got[0])} boxes, to torch at most {apart[0]:.4f} px, score {apart[2]:.6f}")
            if apart[0] > 0.05 or apart[1] != 0 or apart[2] > 1e-3:
                raise SystemExit("the exported graph answers something else")
    print(f"{found} boxes compared")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--checkpoint", type=Path, required=True)
    options = arguments.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    reader = load(options.checkpoint)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        reader,
        (torch.from_numpy(film(9_600_010)),),
        str(options.out),
        input_names=["image"],
        output_names=["boxes", "segments", "scores"],
        opset_version=OPSET,
        dynamic_axes={name: {0: "k"} for name in ("boxes", "segments", "scores")},
        dynamo=False,
    )
    onnx.checker.check_model(onnx.load(str(options.out)))
    compare(options.out, reader)
    data = options.out.read_bytes()
    print(f"{options.out} {len(data) / 2**20:.2f} MB opset {OPSET} sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
