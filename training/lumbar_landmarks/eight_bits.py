"""Computes most convolutions of the exported graph in eight bits: half the time, half the file.

Ranges of activations are those a net was trained with (`rounding`), or those seen on calibration films, which are
training films. Answers move a little; how far is printed by the export (`export.drift`) and told in the model card.
"""

import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from ..phantoms.generator import render
from .dataset import letterbox, normalise
from .pools import RealPool
from .rounding import trained_ranges, was_rounded

PHANTOMS = 24
FIRST_SEED = 4_900_000  # of the training range, beyond what shards are rendered from
NETS = ("/coarse/", "/fine/", "/referee/", "/branch/")
# Stay as they are: a first layer sees fine detail in a wide range of greys, and the last one is the answer itself. They
# cost next to nothing, but for the second stage's first block (5 ms): in eight bits the median corner lost 0.02 mm.
FLOAT = (
    "/coarse/stem",
    "/coarse/head",
    "/fine/stem",
    "/fine/first",
    "/fine/head",
    "/referee/steps/steps.0/narrow",
    "/branch/look/look.0",
)
# Stay as well in a first stage that was not trained with rounding: each was tried by itself, and alone moved corners as
# far as all the others together.
UNTRAINED = ("/coarse/down.0", "/coarse/down.1")


def calibration_films(size, corners=None, data=None):
    """Normalised canvases of training phantoms and, where they are at hand, of the real films that are trained on."""
    images = [render(FIRST_SEED + index, "ABD"[index % 3], *size).image for index in range(PHANTOMS)]
    if data is not None:
        images += [image for _, image, _ in RealPool(corners, data).films]
    return [normalise(letterbox(image.astype("float32"), None, *size)[0]) for image in images]


class Films(CalibrationDataReader):
    def __init__(self, films):
        self.feeds = iter([{"image": film[None, None]} for film in films])

    def get_next(self):
        return next(self.feeds, None)


def quantise(path, films, whole=(), first_stage=None):
    """Replace a float graph by one whose convolutions take and give eight bits, weights by output channel.

    `whole` names nets that stay in float altogether; the state of the first stage tells whether it was trained with
    rounding."""
    trained = first_stage is not None and was_rounded(first_stage) and "coarse" not in whole
    kept = FLOAT + tuple(f"/{net}/" for net in whole) + (() if trained else UNTRAINED)
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        nodes = onnx.load(str(prepared)).graph.node
        ranges = trained_ranges(first_stage, nodes, "coarse") if trained else {}
        chosen = [
            node.name
            for node in nodes
            if node.op_type in ("Conv", "Relu") and node.name.startswith(NETS) and not node.name.startswith(kept)
        ]
        quantize_static(
            str(prepared),
            str(path),
            Films(films),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Relu"],
            nodes_to_quantize=chosen,
            per_channel=True,
            # Seven bits of weight: on processors without VNNI, pairs of products are added in 16 bits and would
            # saturate with eight: older processors would read films differently.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={
                "TensorQuantOverrides": {
                    tensor: [{"rmin": np.float32(low), "rmax": np.float32(high)}] for tensor, (low, high) in ranges.items()
                }
            },
        )
    count = sum(name.endswith("Conv") for name in chosen)
    print(f"{count} convolutions in eight bits, calibrated on {len(films)} films")
