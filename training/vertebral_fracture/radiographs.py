"""Radiographs under free licences for the first pretraining: which part is it, which view, turned how, what is found.

Only sources whose terms allow any use with credit are read, so that the weights carry no further term: `chest-nih-512` and
`chest-nih-more` (NIH Clinical Center; Wang et al. 2017), `msk` (CC BY 4.0 as declared). The larger `xr-parts` is left
out: most of it is for non-commercial use only.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SIDE = 320  # films are kept at this size
UNKNOWN = -100  # what torch leaves out of a cross-entropy
CHEST = "chest"


@dataclass(frozen=True)
class Films:
    images: np.ndarray  # (n, SIDE, SIDE) uint8, letterboxed
    part: np.ndarray  # class of part and view, UNKNOWN for chest films of unknown view
    findings: np.ndarray  # (n, k) 0 or 1; NaN where nothing is known
    parts: list
    names: list


def rows(data):
    """File, part and view, findings of each film (None where unknown); held-out chest films are not read."""
    data = Path(data)
    with open(data / "msk" / "manifest.csv") as file:
        for row in csv.DictReader(file):
            yield data / "msk" / row["file"], f"{row['label']} ({row['source']})", None
    with open(data / "chest-nih-more" / "manifest.csv") as file:
        for row in csv.DictReader(file):
            if row["split"] == "train" and row["doubtful"] != "1":
                view = f"{CHEST} {row['view']}" if row["view"] in ("AP", "PA") else None
                yield data / "chest-nih-more" / row["file"], view, row["labels"].split("|")
    with open(data / "chest-nih-512" / "manifest.csv") as file:
        for row in csv.DictReader(file):
            if row["split"] == "train":
                yield data / "chest-nih-512" / row["file"], None, None


def square(path):
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    scale = SIDE / max(image.shape)
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    image = image[:SIDE, :SIDE]
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    top, left = (SIDE - image.shape[0]) // 2, (SIDE - image.shape[1]) // 2
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas


def load(data):
    found = [row for row in rows(data) if row[0].exists()]
    parts = sorted({part for _, part, _ in found if part is not None})
    names = sorted({name for _, _, labels in found if labels for name in labels})
    findings = np.full((len(found), len(names)), np.nan, np.float32)
    for index, (_, _, labels) in enumerate(found):
        if labels is not None:
            findings[index] = [name in labels for name in names]
    images = np.stack([square(path) for path, _, _ in found])
    classes = np.array([UNKNOWN if part is None else parts.index(part) for _, part, _ in found])
    return Films(images, classes, findings, parts, names)


class RadiographTask:
    """Batches of films: part and view, quarter turn, findings of the chest; classes are drawn evenly."""

    def __init__(self, data):
        self.films = load(data)
        _, place, counts = np.unique(self.films.part, return_inverse=True, return_counts=True)
        weight = 1 / np.sqrt(counts[place])
        self.chance = weight / weight.sum()
        self.heads = {"part": len(self.films.parts), "turn": 4, "findings": len(self.films.names)}

    def describe(self):
        return {
            "films": len(self.films.images),
            "parts": {name: int((self.films.part == index).sum()) for index, name in enumerate(self.films.parts)},
            "findings": self.films.names,
        }

    def batch(self, rng, count, side):
        chosen = rng.choice(len(self.chance), count, p=self.chance)
        turns = rng.integers(0, 4, count)
        images = [np.rot90(cut(self.films.images[i], rng, side), turn) for i, turn in zip(chosen, turns, strict=True)]
        return np.stack(images), {"part": self.films.part[chosen], "turn": turns, "findings": self.films.findings[chosen]}


def cut(image, rng, side):
    """A random window of the film, as is or mirrored, with other contrast; float32 0 to 1."""
    share = np.sqrt(rng.uniform(0.12, 1))
    wide, high = (int(np.clip(share * SIDE * np.exp(rng.uniform(-0.2, 0.2)), 48, SIDE)) for _ in range(2))
    left, top = rng.integers(0, SIDE - wide + 1), rng.integers(0, SIDE - high + 1)
    window = cv2.resize(image[top : top + high, left : left + wide], (side, side), interpolation=cv2.INTER_AREA)
    window = window.astype(np.float32) / 255
    if rng.uniform() < 0.5:
        window = window[:, ::-1]
    window = window ** np.exp(rng.uniform(-0.5, 0.5))
    if rng.uniform() < 0.3:
        window = window + rng.standard_normal(window.shape, dtype=np.float32) * rng.uniform(0.005, 0.05)
    return window
