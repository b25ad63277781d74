"""The real lateral films with corners of `spine-xr-val`: validation only, never trained on."""

import json
from pathlib import Path

import cv2
import numpy as np

from ..phantoms.geometry import BODY, LEVELS, LUMBAR

L3_DEPTH_MM = 35.0  # the films carry no pixel size
CORNER_CODES = ("BB", "BF", "TF", "TB")


def films(data):
    folder = Path(data) / "spine-xr-val"
    order = [f"{level}{code}" for level in LEVELS for code in CORNER_CODES] + [
        "S1TB",
        "S1TF",
    ]
    for name, film in json.loads((folder / "corners.json").read_text())["films"].items():
        image = cv2.imread(str(folder / name), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        truth = np.array([film["corners"].get(code, [np.nan, np.nan]) for code in order])
        yield name, image, truth, L3_DEPTH_MM / film["l3DepthPx"]


def level_right(points, truth):
    """All of L1 to L5 lie nearest to the body of their own name."""
    centre = lambda corners: np.array([corners[BODY[level]].mean(0) for level in LUMBAR])
    distance = np.linalg.norm(centre(points)[:, None] - centre(truth)[None], axis=2)
    return bool((distance.argmin(1) == np.arange(len(LUMBAR))).all())
