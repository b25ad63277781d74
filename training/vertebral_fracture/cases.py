"""Crops with what Python makes of them, for the contract test that holds the service's answer against it (to 1e-4).

    python -m training.vertebral_fracture.cases test/fixtures/vertebral-fracture

One film with corners tests the cropping; six crops test radiomics, features and chances. All are phantoms; grey values are
those of the PNG over 255.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from ..phantoms.generator import Setting, render
from .cohorts import bodies_of, in_view
from .crops import crop_of
from .pack import FOLDER, Pack

SEED = 9_400_000  # demo films and cases: 9,000,000 on
FRACTURES = {"L1": ("burst", 0.45), "L2": ("wedge", 0.4), "L4": ("biconcave", 0.5)}
CROPPED = ("T12", "L1", "L2", "L3", "L4", "L5")


def film_of(seed, version):
    setting = Setting(fractures=FRACTURES, clean=True, variant="usual", implants=0.0, view="lumbar", film_height_mm=330.0)
    film = render(seed, version, 512, 340, setting)
    return np.round(np.clip(film.image, 0, 1) * 255).astype(np.uint8), bodies_of(film.landmarks)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--pack", type=Path, default=FOLDER)
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    seed = SEED
    while True:  # the first film that shows all six
        film, bodies = film_of(seed, "A")
        if all(in_view(bodies[level], film.shape) for level in CROPPED):
            break
        seed += 1
    cv2.imwrite(str(options.out / "film.png"), film)
    image = film.astype(np.float32) / 255
    pack, cases = Pack(options.pack), []
    crops, corners = zip(*(crop_of(image, bodies[level].astype(float)) for level in CROPPED), strict=True)
    whole = np.stack(crops)
    answer = pack.read(whole, corners)
    for index, level in enumerate(CROPPED):
        cases.append(
            {
                "level": level,
                "kind": FRACTURES.get(level, ("none", 0))[0],
                "corners": bodies[level].astype(float).tolist(),
                "cornersInCrop": corners[index].tolist(),
                "cropRows": {str(row): whole[index, row].astype(float).round(7).tolist() for row in (20, 64, 107)},
                "radiomics": answer.radiomics[index],
                "deep": {f["name"]: float(answer.deep[index, int(f["name"])]) for f in pack.model["features"] if f["source"] == "deep"},
                "logits": answer.logits[index].tolist(),
                "probability": answer.probability[index].tolist(),
                "hollow": float(answer.hollow[index]),
                "unlikeness": float(answer.unlikeness[index]),
            }
        )
    known = {"by": "python -m training.vertebral_fracture.cases", "seed": seed, "film": "film.png", "cases": cases}
    (options.out / "cases.json").write_text(json.dumps(known) + "\n")
    for case in cases:
        print(case["level"], case["kind"], np.round(case["probability"], 3).tolist())


if __name__ == "__main__":
    main()
