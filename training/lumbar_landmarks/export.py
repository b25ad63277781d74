"""Write the trained net as ONNX with the interface the service knows, and check it against torch.

python -m training.lumbar_landmarks.export models/lumbar-landmarks/model.onnx --coarse COARSE.pt --refine REFINE.pt \
    --referee LEVELS.pt --slips BRANCH.pt --int8 --calibrate DATA
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper

from ..phantoms.generator import Setting, render
from ..phantoms.geometry import COUNTED, LANDMARKS
from ..slip_detector.branch import load_branch
from ..slip_detector.segments import SEGMENTS
from .dataset import letterbox, normalise
from .eight_bits import calibration_films, quantise
from .levels import LevelNet
from .net import CornerNet
from .readings import SEEDS, VALIDATION
from .refine import RefineNet
from .rounding import evaluated
from .whole import Reader

INPUT = (768, 512)


def averaged(checkpoints):
    """The mean of the running averages of several checkpoints of one training run."""
    states = [torch.load(path, map_location="cpu", weights_only=False)["average"] for path in checkpoints]
    return {
        key: (sum(state[key].float() for state in states) / len(states)).to(states[0][key].dtype) for key in states[0]
    }


def load_reader(checkpoints, refinement, referee=None, branch=None, **options):
    coarse, fine, judge = evaluated(CornerNet(), averaged(checkpoints)), RefineNet(), None
    fine.load_state_dict(averaged([refinement]))
    if referee is not None:
        judge = LevelNet()
        judge.load_state_dict(averaged([referee]))
        judge = judge.eval()
    return Reader(coarse, fine.eval(), judge, branch and load_branch(branch), **options).eval()


OUTPUTS = ("landmarks", "levels", "apart", "slips")


def write(reader, path, films=None, whole=(), state=None):
    """`films`: normalised canvases; with them, most convolutions are computed in eight bits, but for nets in `whole`.

    `state` of the first stage, which brings its own ranges where it was trained with rounding."""
    example = torch.randn(2, 1, *INPUT)
    torch.onnx.export(
        reader,
        (example,),
        str(path),
        input_names=["image"],
        output_names=list(OUTPUTS),
        opset_version=17,
        dynamic_axes={name: {0: "n"} for name in ("image", *OUTPUTS)},
        dynamo=False,
    )
    compare(path, reader, "fp32")
    if films is not None:
        quantise(path, films, whole, state)
    halve_weights(path)
    if films is None:
        compare(path, reader, "fp16")
    else:
        drift(path, reader)
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
            expected = [part.numpy() for part in reader(torch.from_numpy(image))]
        got = session.run(list(OUTPUTS), {"image": image})
        apart = np.abs(got[0][..., :2] - expected[0][..., :2])
        levels, slips = (np.abs(got[index] - expected[index]).max() for index in (1, 3))
        print(
            f"{label}, batch {count}: to torch at most {apart.max():.4f}, median {np.median(apart):.5f} px, "
            f"levels {levels:.5f}, slips {slips:.5f}"
        )


def drift(path, reader, films=24):
    """How far corners of the quantised graph lie from torch's, on validation phantoms."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    away, error, steps, same = [], [], [], 0
    for index in range(films):
        film = render(SEEDS["validation"] + index, VALIDATION[index % len(VALIDATION)], *INPUT)
        canvas, truth, scale = letterbox(film.image, film.landmarks, *INPUT)
        image = normalise(canvas)[None, None]
        with torch.no_grad():
            expected, chance, _, slips = (part[0].numpy() for part in reader(torch.from_numpy(image)))
        found, levels, _, rounded = (part[0] for part in session.run(list(OUTPUTS), {"image": image}))
        in_view = ((truth >= 0) & (truth <= [INPUT[1] - 1, INPUT[0] - 1])).all(1)
        in_view &= np.isin(np.arange(len(LANDMARKS)), np.r_[COUNTED])
        millimetres = lambda points, others: np.linalg.norm(points - others, axis=1)[in_view] * film.pixel_mm / scale
        away.append(millimetres(found[:, :2], expected[:, :2]))
        error.append([np.median(millimetres(part[:, :2], truth)) for part in (expected, found)])
        same += int(levels.argmax() == chance.argmax())
        steps.append(100 * np.abs(rounded - slips)[:, 0])
    away, error = np.concatenate(away), np.median(error, axis=0)
    print(
        f"int8 against float, L1 to S1 of {films} validation phantoms (synthetic): moved by {away.mean():.3f} mm in the "
        f"mean, median {np.median(away):.3f}, 95th percentile {np.quantile(away, 0.95):.3f}; the same naming on {same}; "
        f"median error {error[0]:.3f} mm float, {error[1]:.3f} mm int8; the branch's slips moved by {np.mean(steps):.2f} % "
        f"in the mean, 95th percentile {np.quantile(steps, 0.95):.2f} %"
    )


def halve_weights(path):
    """Store large weights as fp16 and cast them back at load: half the bytes, computing stays fp32."""
    model = onnx.load(str(path))
    # What a node takes first is data: the places where crops are sampled must stay exact.
    data = {node.input[0] for node in model.graph.node if node.input}
    nodes = []
    for tensor in list(model.graph.initializer):
        value = numpy_helper.to_array(tensor)
        if value.dtype != np.float32 or value.size < 1024 or tensor.name in data:
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
        "outputs": {
            "landmarks": {
                "shape": ["n", len(LANDMARKS), 6],
                "values": ["x", "y", "mass", "varX", "varY", "covXY"],
                "units": "pixels of the input canvas; (0, 0) is the centre of the first pixel",
                "mass": "share of the heat maps of this kind of corner that lies here: near 1 where a vertebra is sure",
                "toImage": "x_image = (x + 0.5 - left) * columns / newColumns - 0.5, likewise y",
            },
            "levels": {
                "shape": ["n", 3],
                "values": ["oneLower", "asNamed", "oneHigher"],
                "meaning": "probabilities of where the column as found truly lies; the likeliest naming is already applied "
                "to the landmarks",
            },
            "apart": {
                "shape": ["n", len(LANDMARKS)],
                "meaning": "distance between the corner found on the film and on its mirror image, in pixels of the canvas",
            },
            "slips": {
                "shape": ["n", len(SEGMENTS), 3],
                "segments": list(SEGMENTS),
                "values": ["step", "deviation", "slipped"],
                "meaning": "what the slip branch sees on each segment: how far the upper body stands before the lower, in "
                "upper end plates of the lower one, the standard deviation of that, and the probability of a slip; "
                "a second measurement beside that of the corners",
            },
        },
        "facing": "the net reads both facings at once; the facing of the film comes from the corners: 'right' when the "
        "anterior corners lie to the right of the posterior ones",
    }


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("out", type=Path)
    arguments.add_argument(
        "--coarse", type=Path, nargs="+", required=True, help="checkpoints of the first stage, averaged"
    )
    arguments.add_argument("--refine", type=Path, required=True, help="checkpoint of the second stage")
    arguments.add_argument("--referee", type=Path, help="checkpoint of the level referee")
    arguments.add_argument("--slips", type=Path, required=True, help="checkpoint of the slip branch")
    arguments.add_argument("--temperature", type=float, default=1.0, help="of the referee, as chosen on validation films")
    arguments.add_argument("--int8", action="store_true", help="most convolutions in eight bits: twice as fast")
    arguments.add_argument(
        "--calibrate", type=Path, metavar="DATA", help="data sets whose real training films help to set int8's ranges"
    )
    arguments.add_argument(
        "--float", nargs="*", choices=("coarse", "fine", "referee", "branch"), default=(), help="nets that --int8 leaves as they are"
    )
    arguments.add_argument("--corners", type=Path, default=Path(__file__).with_name("real-corners.json"))
    options = arguments.parse_args()
    if options.calibrate and not options.int8:
        arguments.error("--calibrate sets the ranges of --int8")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    films = calibration_films(INPUT, options.corners, options.calibrate) if options.int8 else None
    reader = load_reader(options.coarse, options.refine, options.referee, options.slips, temperature=options.temperature)
    write(reader, options.out, films, options.float, averaged(options.coarse))
    text = json.dumps(describe(), indent=2) + "\n"
    Path(__file__).with_name("landmarks.json").write_text(text)


if __name__ == "__main__":
    main()
