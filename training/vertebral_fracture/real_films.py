"""Real vertebrae to look at: lateral lumbar films without fracture labels, and the hand-marked validation films.

Neither set says which vertebra is broken; most are presumably intact. They are read, never trained on.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..lumbar_landmarks import gate, operating_points
from ..lumbar_landmarks.evaluate import xr_parts
from ..lumbar_landmarks.reader import FilmReader
from ..lumbar_landmarks.real_films import films as marked_films
from .cohorts import bodies_of, in_view
from .crops import crop_of, mask_of

MODEL = Path(__file__).parents[2] / "models" / "lumbar-landmarks" / "model.onnx"
LEVELS = ("T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5")


@dataclass(frozen=True)
class Vertebra:
    source: str
    film: str
    level: str
    crop: np.ndarray
    corners: np.ndarray


def grey(path):
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255


def vertebrae(source, name, image, points):
    for level, corners in bodies_of(points).items():
        if level not in LEVELS or not in_view(corners, image.shape):
            continue
        crop, inside = crop_of(image, corners)
        if mask_of(inside).sum() >= 400 and crop[mask_of(inside)].std() > 0:
            yield Vertebra(source, name, level, crop, inside)


def unlabelled(data, model=MODEL):
    """Vertebrae of the lateral lumbar films of `xr-parts` that the corner finder accepts, by its own corners."""
    reader, limits = FilmReader(model), operating_points.load()[1]
    found, refused = [], 0
    for part, view, path in xr_parts(data):
        if (part, view) != ("lumbar_spine", "lateral"):
            continue
        image = grey(path)
        reading = reader.read(image)
        if gate.refused(gate.signals(reading, image.shape), limits):
            refused += 1
        else:
            found += vertebrae("unifesp", path.name, image, reading.points)
    return found, refused


def marked(data):
    """Vertebrae of `spine-xr-val` by the corners that its readers set: validation only."""
    return [one for name, image, truth, _ in marked_films(data) for one in vertebrae("spine-xr-val", name, image, truth)]
