"""Reads a grey film with the exported model exactly as the service does: letterbox, two facings, keep the surer."""

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
    points: np.ndarray  # (34, 2) in pixels of the film; NaN where the model does not know the level
    peaks: np.ndarray  # (34,)
    covariance: np.ndarray  # (34, 3) var x, var y, cov xy in pixels of the film
    facing: str
    both: np.ndarray  # mean peak of the film and of its mirror image
    mirrored: np.ndarray  # corners of the run that was not kept, un-mirrored, in pixels of the film


class FilmReader:
    def __init__(self, path, threads=1):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.sha256 = hashlib.sha256(Path(path).read_bytes()).hexdigest()

    def read(self, image):
        rows, columns = image.shape
        canvas, _, scale = letterbox(np.asarray(image, np.float32), None, *INPUT)
        x = normalise(canvas)
        out = self.session.run(None, {"image": np.stack([x, x[:, ::-1]])[:, None]})[0]
        out[1, :, 0] = INPUT[1] - 1 - out[1, :, 0]
        out[1, :, 5] *= -1
        mean = out[..., 2].mean(1)
        unknown = np.full((len(out), len(LANDMARKS) - out.shape[1], 6), np.nan, np.float32)
        out = np.concatenate([unknown, out], 1)
        kept = out[mean.argmax()]
        width, height = int(round(columns * scale)), int(round(rows * scale))
        left, top = (INPUT[1] - width) // 2, (INPUT[0] - height) // 2
        factor = np.array([columns / width, rows / height])
        to_film = lambda corners: (corners[:, :2] + 0.5 - [left, top]) * factor - 0.5
        points = to_film(kept)
        covariance = kept[:, 3:] * [factor[0] ** 2, factor[1] ** 2, factor[0] * factor[1]]
        facing = "right" if np.nanmean(points[ANTERIOR, 0]) > np.nanmean(points[POSTERIOR, 0]) else "left"
        return Reading(points, kept[:, 2], covariance, facing, mean, to_film(out[mean.argmin()]))
