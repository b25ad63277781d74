"""Makes the demo hospital's films, the same bytes each time.

python -m training.demo_films.make sandbox/films
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from ..phantoms.generator import Setting, generator_hash, render
from ..phantoms.geometry import LANDMARKS, SLIP_LEVELS, Prevalence
from .ap_view import render_ap
from .dicom import dataset, truncate_codestream, write

PLAIN = Setting(
    prevalence=Prevalence(slip=0, retrolisthesis=0, fracture=0, narrow_disc=0.05, lordosis=(0.8, 0.1)),
    fractures={},
    film_height_mm=395,
    aspect=0.62,
    implants=0,
    clean=True,
)
LEVEL = {name: 0.0 for name in SLIP_LEVELS}

# name, seed, generator, setting, modality, inverted, transfer syntax. The seeds lie outside every training range.
FILMS = [
    ("normal", 9_000_102, "B", replace(PLAIN, displacement=LEVEL, facing="left"), "DX", False, "jpeg-ls"),
    (
        "l4-l5-grade-1",
        9_000_200,
        "B",
        replace(PLAIN, displacement={**LEVEL, "L4": 0.18 + 0.060}),
        "DX",
        False,
        "jpeg-2000",
    ),
    # The same spine later: the demo compares the two.
    (
        "l4-l5-grade-2",
        9_000_200,
        "B",
        replace(PLAIN, displacement={**LEVEL, "L4": 0.34 + 0.060}),
        "DX",
        False,
        "jpeg-2000",
    ),
    (
        "l5-s1-grade-2",
        9_000_301,
        "A",
        replace(PLAIN, displacement={**LEVEL, "L5": 0.35 + 0.022}),
        "CR",
        True,
        "jpeg-lossless",
    ),
    ("normal-implant", 9_000_407, "B", replace(PLAIN, displacement=LEVEL, implants=1), "CR", False, "rle"),
    (
        "l1-wedge",
        9_000_505,
        "A",
        replace(PLAIN, displacement=LEVEL, fractures={"L1": ("wedge", 0.38)}),
        "CR",
        False,
        "jpeg-ls",
    ),
]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--rows", type=int, default=1600)
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    truth = {"generator": generator_hash(), "landmarks": list(LANDMARKS), "films": {}}
    for name, seed, version, setting, modality, inverted, syntax in FILMS:
        film = render(seed, version, options.rows, options.rows, setting)
        path = options.out / f"{name}.dcm"
        write(
            dataset(name, film.image, film.pixel_mm, modality, inverted, ("A" if film.facing == "right" else "P", "F")),
            path,
            syntax,
        )
        truth["films"][f"{name}.dcm"] = describe(film, syntax, inverted)
    image, pixel = render_ap(9_000_009, 1340, 970)
    write(dataset("wrong-view", image, pixel, "DX", False), options.out / "wrong-view.dcm", "explicit")
    truth["films"]["wrong-view.dcm"] = {
        "view": "AP, although the header claims lateral",
        "transferSyntax": "explicit",
        "photometricInterpretation": "MONOCHROME2",
        "pixelMm": round(pixel, 5),
    }
    truncate_codestream(options.out / "normal.dcm", options.out / "corrupt.dcm")
    truth["films"]["corrupt.dcm"] = {"view": "lateral", "transferSyntax": "jpeg-ls", "damage": "codestream cut in half"}
    (options.out / "films.json").write_text(json.dumps(truth, indent=1) + "\n")


def describe(film, syntax, inverted):
    offsets = film.offsets()
    return {
        "view": "lateral",
        "facing": film.facing,
        "seed": film.seed,
        "generator": film.version,
        "transferSyntax": syntax,
        "photometricInterpretation": "MONOCHROME1" if inverted else "MONOCHROME2",
        "pixelMm": round(film.pixel_mm, 5),
        "implants": film.implants,
        "fractures": {level: {"kind": kind, "loss": loss} for level, (kind, loss) in film.spine.fractures.items()},
        "slipPercent": {level: round(100 * float(value), 1) for level, value in zip(SLIP_LEVELS, offsets)},
        "corners": {name: [round(float(v), 1) for v in point] for name, point in zip(LANDMARKS, film.landmarks)},
    }


if __name__ == "__main__":
    main()
