"""Write the trained slip detector as ONNX and check it against torch.

python -m training.slip_detector.export OUT/slip-detector.onnx --checkpoint OUT/boxes/checkpoint.pt \
    --branch OUT/branch/checkpoint.pt
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from torch import nn

from ..lumbar_landmarks.dataset import letterbox, normalise
from ..lumbar_landmarks.export import INPUT
from ..phantoms.generator import Setting, render
from .branch import load_branch, told
from .net import build
from .segments import SEGMENTS

OPSET = 17
OUTPUTS = ("boxes", "segments", "found", "slipped", "offsets")


class Reader(nn.Module):
    """One normalised film (1, 1, 768, 512) to what was found on it, slipped or not.

    - `boxes` (k, 4) in its pixel centres, `segments` (k,) from L1/L2 = 0;
    - `found` (k, 2): the box head's probability that this is the segment, slipped and in place;
    - `slipped` (k,): the branch's probability that it slipped (0 without a branch);
    - `offsets` (k, 2): the step in lower end plates and its standard deviation.
    """

    def __init__(self, detector, branch=None):
        super().__init__()
        self.detector, self.branch = detector, branch

    def forward(self, image):
        half = F.avg_pool2d(image, 2)
        mean = half.mean((2, 3), keepdim=True)
        spread = (half - mean).pow(2).mean((2, 3), keepdim=True).sqrt()
        answer = self.detector([((half - mean) / (spread + 1e-4))[0]])[0]
        # Pixel centres: coordinate c of the half-size film is 2c + 0.5 on the full one.
        boxes, labels, scores = answer["boxes"] * 2 + 0.5, answer["labels"] - 1, answer["scores"]
        segments, still = labels % len(SEGMENTS), labels >= len(SEGMENTS)
        zero = torch.zeros_like(scores)
        found = torch.stack([torch.where(still, zero, scores), torch.where(still, scores, zero)], 1)
        if self.branch is None:
            return boxes, segments, found, zero, torch.stack([zero, zero], 1)
        said = told(self.branch, image, boxes[None], segments[None])[0]
        return boxes, segments, found, said[:, 2], said[:, :2]


def load(checkpoint, branch=None):
    state = torch.load(checkpoint, map_location="cpu", weights_only=False)
    detector = build(state["backbone"])
    detector.load_state_dict(state["average"])
    return Reader(detector.eval(), load_branch(branch) if branch else None).eval()


def film(seed):
    whole = Setting(aspect=INPUT[1] / INPUT[0], clean=True, displacement={"L4": 0.25})
    canvas, _, _ = letterbox(render(seed, "B", *INPUT, whole).image, None, *INPUT)
    return normalise(canvas)[None, None].astype(np.float32)


def compare(path, reader):
    """Boxes and scores of the ONNX graph against torch's on phantoms; fails when they are not the same."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    boxes = 0
    for seed in range(9_600_000, 9_600_003):
        image = film(seed)
        with torch.no_grad():
            expected = [part.numpy() for part in reader(torch.from_numpy(image))]
        got = session.run(list(OUTPUTS), {"image": image})
        if [len(part) for part in got] != [len(part) for part in expected]:
            raise SystemExit(f"film {seed}: {len(got[0])} boxes, torch has {len(expected[0])}")
        boxes += len(got[0])
        if len(got[0]):
            apart = [float(np.abs(a - b).max()) for a, b in zip(got, expected, strict=True)]
            told = ", ".join(f"{name} {value:.5f}" for name, value in zip(OUTPUTS, apart, strict=True))
            print(f"film {seed}: {len(got[0])} boxes, to torch at most {told}")
            if apart[0] > 0.1 or apart[1] != 0 or max(apart[2:]) > 1e-3:
                raise SystemExit("the exported graph answers something else")
    print(f"{boxes} boxes compared")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--checkpoint", type=Path, required=True)
    arguments.add_argument("--branch", type=Path, help="checkpoint of the slip branch")
    options = arguments.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    reader = load(options.checkpoint, options.branch)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        reader,
        (torch.from_numpy(film(9_600_010)),),
        str(options.out),
        input_names=["image"],
        output_names=list(OUTPUTS),
        opset_version=OPSET,
        dynamic_axes={name: {0: "k"} for name in OUTPUTS},
        dynamo=False,
    )
    onnx.checker.check_model(onnx.load(str(options.out)))
    compare(options.out, reader)
    data = options.out.read_bytes()
    print(f"{options.out} {len(data) / 2**20:.2f} MB opset {OPSET} sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
