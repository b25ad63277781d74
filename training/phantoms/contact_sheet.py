"""A picture of many phantoms at once, every third with its corners drawn: look before training.

    python -m training.phantoms.contact_sheet sheet.png                      a row of every version
    python -m training.phantoms.contact_sheet sheet.png --versions D --films 18 --first 7000000
    python -m training.phantoms.contact_sheet sheet.png --real FOLDER         real films in the first row, to compare

Versions T and V need `--ct` and `--volumes` (made by `ct_tissue` and `ct_volumes`) and are left out without. Prints
the films rendered per second of one core's time.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from .ct_tissue import Projections
from .ct_volumes import DeformedProjections
from .generator import STYLE, render
from .geometry import LANDMARKS

TILE = (384, 256)


def tile(image, points=()):
    """A film in the corner of a tile; corners as dots, S1 in another colour."""
    picture = np.zeros((*TILE, 3), np.uint8)
    scale = min(1, TILE[0] / image.shape[0], TILE[1] / image.shape[1])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture[: image.shape[0], : image.shape[1]] = (image * 255).astype(np.uint8)[..., None]
    for name, point in zip(LANDMARKS, points):
        if np.isfinite(point).all() and np.abs(point).max() < 10_000:
            colour = (80, 255, 80) if name.startswith("S1") else (0, 255, 255)
            cv2.circle(picture, tuple(int(round(v)) for v in point), 2, colour, -1)
    return picture


def real_films(folder, count):
    paths = sorted(path for path in Path(folder).iterdir() if path.suffix in (".png", ".jpg"))[:count]
    return [tile(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255) for path in paths]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--versions", "--version", nargs="+", default=sorted(STYLE), choices=sorted(STYLE))
    arguments.add_argument("--first", type=int, default=7_000_000)
    arguments.add_argument("--films", type=int, default=9, help="of each version")
    arguments.add_argument("--columns", type=int, default=9)
    arguments.add_argument("--ct", type=Path)
    arguments.add_argument("--volumes", type=Path)
    arguments.add_argument("--real", type=Path)
    options = arguments.parse_args()
    projections = Projections.load(options.ct) if options.ct else None
    volumes = DeformedProjections.load(options.volumes) if options.volumes else None
    groups = [real_films(options.real, options.columns)] if options.real else []
    for version in options.versions:
        if (version == "T" and projections is None) or (version == "V" and volumes is None):
            print(version, "left out: no projections given")
            continue
        began = time.process_time()
        films = [
            render(options.first + i, version, *TILE, projections=projections, volumes=volumes)
            for i in range(options.films)
        ]
        print(
            version, f"{options.films / (time.process_time() - began):.1f} films/s of one core at {TILE[0]}x{TILE[1]}"
        )
        groups.append([tile(film.image, film.landmarks if i % 3 == 2 else ()) for i, film in enumerate(films)])
    rows = []
    for tiles in groups:
        tiles = tiles + [np.zeros((*TILE, 3), np.uint8)] * (-len(tiles) % options.columns)
        rows += [np.hstack(tiles[i : i + options.columns]) for i in range(0, len(tiles), options.columns)]
    cv2.imwrite(str(options.out), np.vstack(rows))


if __name__ == "__main__":
    main()
