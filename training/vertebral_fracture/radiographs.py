"""Radiographs for the first pretraining: which part of the body is it, in which view, turned how.

Two collections. `free`: sources whose terms allow any use with credit, so that weights carry no further term:
`chest-nih-512` and `chest-nih-more` (NIH Clinical Center; Wang et al. 2017), `msk` (CC BY 4.0 as declared). `all` adds
`xr-parts`, most of which is for non-commercial use: weights learnt from it are compared and not given away.
"""

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

SIDE = 320  # films are kept at this size
UNKNOWN = -100  # what torch leaves out of a cross-entropy
LEAST_FILMS = 15  # of a class
HELD_OUT = 10  # every so manieth film, by the digest of its name


@dataclass(frozen=True)
class Pictures:
    images: np.ndarray  # (n, SIDE, SIDE) uint8
    labels: np.ndarray  # UNKNOWN where nothing is known
    held: np.ndarray  # True: never trained on
    names: list


def rows(data, collection):
    """File and class of each film, None where the class is unknown; held-out chest films are not read."""
    data = Path(data)
    with open(data / "msk" / "manifest.csv") as file:
        for row in csv.DictReader(file):
            yield data / "msk" / row["file"], f"{row['label']} ({row['source']})"
    with open(data / "chest-nih-more" / "manifest.csv") as file:
        for row in csv.DictReader(file):
            if row["split"] == "train" and row["doubtful"] != "1":
                yield data / "chest-nih-more" / row["file"], f"chest {row['view']}" if row["view"] in ("AP", "PA") else None
    with open(data / "chest-nih-512" / "manifest.csv") as file:
        for row in csv.DictReader(file):
            if row["split"] == "train":
                yield data / "chest-nih-512" / row["file"], None
    if collection == "all":
        with open(data / "xr-parts" / "manifest.csv") as file:
            for row in csv.DictReader(file):
                yield data / "xr-parts" / row["file"], f"{row['part']} {row['projection']}".strip()


def square(path):
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    scale = SIDE / max(image.shape)
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    image = image[:SIDE, :SIDE]
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    top, left = (SIDE - image.shape[0]) // 2, (SIDE - image.shape[1]) // 2
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas


def pictures(data, collection):
    found = [row for row in rows(data, collection) if row[0].exists()]
    known = [label for _, label in found if label is not None]
    names = sorted(name for name in set(known) if known.count(name) >= LEAST_FILMS)
    place = {name: index for index, name in enumerate(names)}
    digest = [hashlib.sha256(f"{path.parent.name}/{path.name}".encode()).digest()[0] for path, _ in found]
    return Pictures(
        np.stack([square(path) for path, _ in found]),
        np.array([place.get(label, UNKNOWN) for _, label in found]),
        np.array(digest) % HELD_OUT == 0,
        names,
    )
