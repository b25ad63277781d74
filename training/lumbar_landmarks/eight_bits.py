"""Computes most convolutions of the exported graph in eight bits: half the time, half the file.

Ranges of activations are those seen on calibration films, which are training films. Answers move a little; how far is
printed by the export (`export.drift`) and told in the model card.
"""

import logging
import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from ..phantoms.generator import render
from .dataset import letterbox, normalise
from .pools import RealPool

PHANTOMS = 24
FIRST_SEED = 4_900_000  # of the training range, beyond what shards are rendered from
NETS = ("/coarse/", "/fine/", "/referee/")
# Stay as they are. Of the first layers each was tried by itself: they see fine detail in a wide range of greys, and
# alone moved corners as far as all the others together. The last ones are the answer itself, and cost next to nothing.
FLOAT = (
    "/coarse/stem",
    "/coarse/down.0",
    "/coarse/down.1",
    "/coarse/head",
    "/fine/stem",
    "/fine/first",
    "/fine/head",
    "/referee/steps/steps.0/narrow",
)


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


def quantise(path, films, whole=()):
    """Replace a float graph by one whose convolutions take and give eight bits, weights by output channel.

    `whole` names nets that stay in float altogether."""
    kept = FLOAT + tuple(f"/{net}/" for net in whole)
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        nodes = onnx.load(str(prepared)).graph.node
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
        )
    count = sum(name.endswith("Conv") for name in chosen)
    print(f"{count} convolutions in eight bits, calibrated on {len(films)} films")
