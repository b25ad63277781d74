"""Data manifests for `wetread evaluate` from the labelled films at hand.

python -m training.manifests spine-xr-val DATA OUT      # real lateral films with corners: validation only
python -m training.manifests phantoms OUT --films 120 --version C --first 8900000
"""

import argparse
import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from .lumbar_landmarks.real_films import L3_DEPTH_MM
from .phantoms.generator import render
from .phantoms.geometry import LANDMARKS

CORNER = {"BB": "posteriorInferior", "BF": "anteriorInferior", "TF": "anteriorSuperior", "TB": "posteriorSuperior"}
COLUMNS = ["file", "kind", "split", "patient", "modality", "view", "region", "spacing", "landmarks"]


class Writer:
    """Pictures, their corner files and the table, in one folder."""

    def __init__(self, out, columns=COLUMNS):
        self.columns = columns
        self.out = Path(out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.rows = []

    def add(self, name, corners, **row):
        stem = Path(name).stem
        # Wetread counts from the corner of the first pixel, these labels from its centre.
        places = {key: [round(x + 0.5, 2), round(y + 0.5, 2)] for key, (x, y) in corners.items()}
        (self.out / f"{stem}.json").write_text(json.dumps(places))
        self.rows.append({"file": name, "landmarks": f"{stem}.json", "split": "test", "modality": "DX", "view": "lateral", **row})

    def close(self):
        with open(self.out / "manifest.csv", "w", newline="") as table:
            writer = csv.DictWriter(table, self.columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        print(f"{len(self.rows)} films: {self.out / 'manifest.csv'}")


def spine_xr_val(data, out):
    folder = Path(data) / "spine-xr-val"
    writer = Writer(out)
    for name, film in json.loads((folder / "corners.json").read_text())["films"].items():
        shutil.copy(folder / name, writer.out / name)
        corners = {f"{code[:-2]}.{CORNER[code[-2:]]}": at for code, at in film["corners"].items()}
        # T11 is labelled on some films; the pack does not name it.
        corners = {key: at for key, at in corners.items() if key in LANDMARKS}
        writer.add(name, corners, kind="real", patient=Path(name).stem, region="lumbar spine")
    writer.close()
    print(f"--yardstick L3.posteriorInferior,L3.anteriorInferior,{L3_DEPTH_MM:g}")


def phantoms(out, films, version, first):
    writer = Writer(out)
    for seed in range(first, first + films):
        film = render(seed, version)
        name = f"{version}{seed}.png"
        cv2.imwrite(str(writer.out / name), np.round(film.image * 255).astype(np.uint8))
        height, width = film.image.shape
        seen = ((film.landmarks >= 0) & (film.landmarks <= [width - 1, height - 1])).all(-1)
        corners = {key: at for key, at, inside in zip(LANDMARKS, film.landmarks.tolist(), seen) if inside}
        writer.add(name, corners, kind="synthetic", patient=name, spacing=round(film.pixel_mm, 4))
    writer.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = arguments.add_subparsers(dest="kind", required=True)
    real = kinds.add_parser("spine-xr-val")
    real.add_argument("data", type=Path)
    real.add_argument("out", type=Path)
    drawn = kinds.add_parser("phantoms")
    drawn.add_argument("out", type=Path)
    drawn.add_argument("--films", type=int, default=120)
    drawn.add_argument("--version", default="C")
    drawn.add_argument("--first", type=int, default=8_900_000)
    options = arguments.parse_args()
    if options.kind == "spine-xr-val":
        spine_xr_val(options.data, options.out)
    else:
        phantoms(options.out, options.films, options.version, options.first)


if __name__ == "__main__":
    main()
