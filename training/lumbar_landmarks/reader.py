"""Reads a grey film with the exported model exactly as the service does: letterbox, normalise, one run."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from ..phantoms.geometry import LANDMARKS
from .dataset import letterbox, normalise

INPUT = (768, 512)
ANTERIOR = [index for index, name in enumerate(LANDMARKS) if ".anterior" in name]
POSTERIOR = [index for index, name in enumerate(LANDMARKS) if ".posterior" in name]


@dataclass(frozen=True)
class Reading:
    points: np.ndarray  # (34, 2) in pixels of the film
    mass: np.ndarray  # (34,) how sure a vertebra's corner lies there
    covariance: np.ndarray  # (34, 3) var x, var y, cov xy in pixels of the film
    facing: str
    levels: np.ndarray  # (3,) probabilities that the column as found lies one lower, as named, one higher
    apart: np.ndarray  # (34,) between the film and its mirror image, in pixels of the film
    slips: np.ndarray  # (5, 3) by the slip branch: the step in lower end plates, its deviation, the probability of a slip


class FilmReader:
    def __init__(self, path, threads=1):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.sha256 = hashlib.sha256(Path(path).read_bytes()).hexdigest()

    def run(self, canvas):
        """Landmarks, levels, distances between the facings and the branch's slips for one normalised canvas."""
        return self.session.run(["landmarks", "levels", "apart", "slips"], {"image": canvas[None, None]})

    def read(self, image):
        rows, columns = image.shape
        canvas, _, scale = letterbox(np.asarray(image, np.float32), None, *INPUT)
        found, levels, apart, slips = (part[0] for part in self.run(normalise(canvas)))
        width, height = int(round(columns * scale)), int(round(rows * scale))
        left, top = (INPUT[1] - width) // 2, (INPUT[0] - height) // 2
        factor = np.array([columns / width, rows / height])
        points = (found[:, :2] + 0.5 - [left, top]) * factor - 0.5
        covariance = found[:, 3:] * [factor[0] ** 2, factor[1] ** 2, factor[0] * factor[1]]
        facing = "right" if points[ANTERIOR, 0].mean() > points[POSTERIOR, 0].mean() else "left"
        return Reading(points, found[:, 2], covariance, facing, levels, apart * factor[0], slips)
