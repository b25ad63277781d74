"""Reads a grey film with the exported model exactly as the service does: letterbox, two facings, keep the surer."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from .dataset import letterbox, normalise

INPUT = (768, 512)
ANTERIOR = [4 * k + c for k in range(6) for c in (1, 2)] + [25]
POSTERIOR = [4 * k + c for k in range(6) for c in (0, 3)] + [24]


@dataclass(frozen=True)
class Reading:
    points: np.ndarray  # (26, 2) in pixels of the film
    peaks: np.ndarray  # (26,)
    covariance: np.ndarray  # (26, 3) var x, var y, cov xy in pixels of the film
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
        kept = out[mean.argmax()]
        width, height = int(round(columns * scale)), int(round(rows * scale))
        left, top = (INPUT[1] - width) // 2, (INPUT[0] - height) // 2
        factor = np.array([columns / width, rows / height])
        to_film = lambda corners: (corners[:, :2] + 0.5 - [left, top]) * factor - 0.5
        points = to_film(kept)
        covariance = kept[:, 3:] * [factor[0] ** 2, factor[1] ** 2, factor[0] * factor[1]]
        facing = "right" if points[ANTERIOR, 0].mean() > points[POSTERIOR, 0].mean() else "left"
        return Reading(points, kept[:, 2], covariance, facing, mean, to_film(out[mean.argmin()]))
