"""A picture of many phantoms at once, every third with its corners drawn: look before training.

python -m training.phantoms.contact_sheet sheet.png --version B [--first 0] [--films 18] [--ct projections.npz]
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from .ct_tissue import Projections
from .generator import render


def tile(film, height, width, marked):
    picture = np.zeros((height, width, 3), np.uint8)
    rows, columns = film.image.shape
    picture[:rows, :columns] = (film.image * 255).astype(np.uint8)[..., None]
    for point in film.landmarks[np.isfinite(film.landmarks).all(1)] if marked else ():
        cv2.circle(picture, tuple(int(round(v)) for v in point), 2, (0, 255, 255), -1)
    return picture


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--version", default="B", choices=list("ABCDFTV"))
    arguments.add_argument("--first", type=int, default=0)
    arguments.add_argument("--films", type=int, default=18)
    arguments.add_argument("--columns", type=int, default=6)
    arguments.add_argument("--ct", type=Path)
    options = arguments.parse_args()
    projections = Projections.load(options.ct) if options.ct else None
    tiles = [
        tile(render(options.first + i, options.version, projections=projections), 384, 256, i % 3 == 2)
        for i in range(options.films)
    ]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % options.columns)
    rows = [np.hstack(tiles[i : i + options.columns]) for i in range(0, len(tiles), options.columns)]
    cv2.imwrite(str(options.out), np.vstack(rows))


if __name__ == "__main__":
    main()
