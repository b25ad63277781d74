"""Write the trained net as ONNX with the interface the service knows, and check it against torch.

python -m training.lumbar_landmarks.export models/lumbar-landmarks/model.onnx --coarse COARSE.pt --refine REFINE.pt
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn

from ..phantoms.generator import Setting, render
from ..phantoms.geometry import LANDMARKS
from .net import CornerNet, moments
from .refine import RefineNet, refine

INPUT = (768, 512)


class Reader(nn.Module):
    """The whole path from film to corners: find all corners at half size, then look at each vertebra
    again, once to centre the crops and then at three widths, whose answers are averaged.

    Coordinates and covariance come from the second look, the peak from the first: how sure the net is of having found
    this very vertebra shows on the whole film, not in a crop around it.
    """

    def __init__(self, coarse, fine=None, zooms=(0.88, 1.0, 1.13)):
        super().__init__()
        self.coarse, self.fine, self.zooms = coarse, fine, zooms

    def forward(self, image):
        half = F.avg_pool2d(image, 2)
        mean = half.mean((2, 3), keepdim=True)
        spread = (half - mean).pow(2).mean((2, 3), keepdim=True).sqrt()
        found = moments(self.coarse((half - mean) / (spread + 1e-4)))
        # Pixel centres: coordinate c of the half-size film is 2c + 0.5 on the full one.
        points, covariance = found[..., :2] * 2 + 0.5, found[..., 3:] * 4
        if self.fine is not None:
            points, _ = refine(self.fine, image, points)
            looks = [refine(self.fine, image, points, zoom) for zoom in self.zooms]
            points, covariance = (torch.stack(parts).mean(0) for parts in zip(*looks, strict=True))
        return torch.cat([points, found[..., 2:3], covariance], -1)


def averaged(checkpoints):
    """The mean of the running averages of several checkpoints of one training run."""
    states = [torch.load(path, map_location="cpu", weights_only=False)["average"] for path in checkpoints]
    return {
        key: (sum(state[key].float() for state in states) / len(states)).to(states[0][key].dtype) for key in states[0]
    }


def load_reader(checkpoints, refinement=None):
    coarse, fine = CornerNet(), None
    coarse.load_state_dict(averaged(checkpoints))
    if refinement is not None:
        fine = RefineNet()
        fine.load_state_dict(averaged([refinement]))
        fine = fine.eval()
    return Reader(coarse.eval(), fine).eval()


def write(reader, path):
    example = torch.randn(2, 1, *INPUT)
    torch.onnx.export(
        reader,
        (example,),
        str(path),
        input_names=["image"],
        output_names=["landmarks"],
        opset_version=17,
        dynamic_axes={"image": {0: "n"}, "landmarks": {0: "n"}},
        dynamo=False,
    )
    compare(path, reader, "fp32")
    halve_weights(path)
    compare(path, reader, "fp16")
    print(f"{path} {path.stat().st_size / 2**20:.2f} MB sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


def compare(path, reader, label):
    """Corners of the ONNX graph against torch's, on phantoms, for batches of one to three."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    whole = Setting(aspect=INPUT[1] / INPUT[0], clean=True)
    for count in (1, 2, 3):
        films = [render(9_500_000 + 10 * count + i, "B", *INPUT, whole) for i in range(count)]
        image = np.stack([film.image for film in films])[:, None]
        image = (image - image.mean((2, 3), keepdims=True)) / (image.std((2, 3), keepdims=True) + 1e-4)
        with torch.no_grad():
            expected = reader(torch.from_numpy(image)).numpy()
        got = session.run(None, {"image": image})[0]
        apart = np.abs(got[..., :2] - expected[..., :2])
        print(f"{label}, batch {count}: to torch at most {apart.max():.4f}, median {np.median(apart):.5f} px")


def halve_weights(path):
    """Store large weights as fp16 and cast them back at load: half the bytes, computing stays fp32."""
    model = onnx.load(str(path))
    nodes = []
    for tensor in list(model.graph.initializer):
        value = numpy_helper.to_array(tensor)
        if value.dtype != np.float32 or value.size < 1024:
            continue
        name = tensor.name
        model.graph.initializer.remove(tensor)
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float16), name + "_half"))
        nodes.append(
            onnx.helper.make_node("Cast", [name + "_half"], [name], name=name + "_cast", to=onnx.TensorProto.FLOAT)
        )
    for node in reversed(nodes):
        model.graph.node.insert(0, node)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def describe():
    """What the service must know to call the model; written beside this file as landmarks.json."""
    return {
        "landmarks": list(LANDMARKS),
        "input": {"name": "image", "shape": ["n", 1, *INPUT], "height": INPUT[0], "width": INPUT[1], "type": "float32"},
        "preprocessing": {
            "voi": "apply the VOI window to 0..1; invert MONOCHROME1 first, so that bone is bright",
            "letterbox": "scale = min(height / rows, width / columns); antialiased (area) resize to round(rows*scale) x "
            "round(columns*scale); left = floor((width - newColumns) / 2), top = floor((height - newRows) / 2); zeros around",
            "normalisation": "(x - mean) / (std + 1e-4), mean and population std over the whole letterboxed canvas",
        },
        "output": {
            "name": "landmarks",
            "shape": ["n", len(LANDMARKS), 6],
            "type": "float32",
            "values": ["x", "y", "peak", "varX", "varY", "covXY"],
            "units": "pixels of the input canvas; (0, 0) is the centre of the first pixel",
            "toImage": "x_image = (x + 0.5 - left) * columns / newColumns - 0.5, likewise y",
        },
        "facing": "run [image, image mirrored left to right]; un-mirror the second result (x -> width - 1 - x) and keep the "
        "run with the higher mean peak. The net reads both facings, so the facing of the film comes from the kept "
        "corners: 'right' when the anterior corners lie to the right of the posterior ones",
    }


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("out", type=Path)
    arguments.add_argument(
        "--coarse", type=Path, nargs="+", required=True, help="checkpoints of the first stage, averaged"
    )
    arguments.add_argument("--refine", type=Path, help="checkpoint of the second stage")
    options = arguments.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    write(load_reader(options.coarse, options.refine), options.out)
    text = json.dumps(describe(), indent=2) + "\n"
    Path(__file__).with_name("landmarks.json").write_text(text)


if __name__ == "__main__":
    main()
