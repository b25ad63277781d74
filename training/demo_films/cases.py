"""Small films with the shipped model's own answers, for the service's contract test.

    python -m training.demo_films.cases models/lumbar-landmarks/model.onnx models/lumbar-landmarks/cases

The expected corners are the model's as computed here in Python, not the truth: the test asks whether the service
decodes, letterboxes and runs the model in the same way.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom

from ..lumbar_landmarks import gate
from ..lumbar_landmarks.reader import FilmReader
from ..phantoms.generator import render
from ..phantoms.geometry import BODY, LUMBAR
from ..slip_detector.joined import joined, steps_of
from ..slip_detector.operating_point import called
from ..slip_detector.segments import SEGMENTS
from .ap_view import render_ap
from .dicom import dataset, write
from .make import LEVEL, PLAIN

ROWS = 560
CASES = [
    ("normal-facing-left", 9_100_002, "B", replace(PLAIN, displacement=LEVEL, facing="left"), False, 8),
    (
        "l4-l5-slip-monochrome1",
        9_100_105,
        "B",
        replace(PLAIN, displacement={**LEVEL, "L4": 0.26}, facing="right"),
        True,
        12,
    ),
    ("l5-s1-slip", 9_100_201, "A", replace(PLAIN, displacement={**LEVEL, "L5": 0.32}, facing="right"), False, 8),
]


def window(d):
    """Grey 0..1 through the VOI window (DICOM PS3.3 C.11.2.1.2, linear), bone bright."""
    centre, width = float(d.WindowCenter), float(d.WindowWidth)
    grey = np.clip((d.pixel_array.astype(np.float64) - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    return (1 - grey if d.PhotometricInterpretation == "MONOCHROME1" else grey).astype(np.float32)


def answer(reader, limits, path):
    image = window(pydicom.dcmread(path))
    reading = reader.read(image)
    refused = gate.refused(gate.signals(reading, image.shape), limits)
    return {
        "model": reader.sha256,
        "outcome": "refused" if refused else "accepted",
        "refusedBy": refused,
        "facing": reading.facing,
        "meanMass": round(float(reading.mass.mean()), 5),
        "landmarks": [[round(float(v), 2) for v in point] for point in reading.points],
        "tolerancePx": 1.5,
        "findings": findings(reading, image.shape, refused),
    }


def findings(reading, shape, refused):
    """What the pack must find, in the words of the service's contract test for packs (docs/add-a-model.md)."""
    view = {
        "concept": "view-and-quality",
        "site": {"kind": "image"},
        "result": "not-assessable" if refused else "not-detected",
    }
    if refused:
        return [view]
    manifest = json.loads((Path(__file__).parents[2] / "models" / "lumbar-landmarks" / "manifest.json").read_text())
    limits = manifest["operatingPoints"]
    # One limit serves all levels forwards.
    point = {"limit": limits["anteriorPercentAboveNormal"][SEGMENTS[0]], **limits["slipEvidence"]}
    steps = steps_of(reading, shape, limits["varianceScale"]["slip"])
    percent, _, _ = joined(steps, point["seenScale"])
    calls = called(steps, point)
    slips, heights = [], []
    for upper, segment, value, call in zip(LUMBAR, SEGMENTS, percent, calls, strict=True):
        seen = np.isfinite(value)
        slips.append(
            {
                "concept": "spondylolisthesis",
                "site": {"kind": "segment", "level": segment},
                "result": ("detected" if call else "not-detected") if seen else "not-assessable",
                "measurements": [{"quantity": "slip-percent", "value": round(float(value), 2), "tolerance": 1}] if seen else [],
            }
        )
        back_low, front_low, front_high, back_high = reading.points[BODY[upper]]
        ratio = np.linalg.norm(front_high - front_low) / np.linalg.norm(back_high - back_low)
        heights.append(
            {
                "concept": "vertebral-height",
                "site": {"kind": "vertebra", "level": upper},
                "result": "measured",
                "measurements": [
                    {"quantity": "anterior-posterior-height-ratio", "value": round(float(ratio), 3), "tolerance": 0.02}
                ],
            }
        )
    return [view, *slips, *heights]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("model", type=Path)
    arguments.add_argument("out", type=Path)
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    reader = FilmReader(options.model)
    points = json.loads((Path(__file__).parents[1] / "lumbar_landmarks" / "operating-points.json").read_text())
    for name, seed, version, setting, inverted, bits in CASES:
        if (options.out / f"{name}.dcm").exists():  # a film is drawn once, whatever becomes of the generators
            continue
        film = render(seed, version, ROWS, ROWS, setting)
        side = "A" if film.facing == "right" else "P"
        write(
            dataset(name, film.image, film.pixel_mm, "CR", inverted, (side, "F"), bits),
            options.out / f"{name}.dcm",
            "explicit",
        )
    if not (options.out / "from-the-front.dcm").exists():
        image, pixel = render_ap(9_100_301, 500, 360)
        front = dataset("from-the-front", image, pixel, "CR", False, bits=8)
        write(front, options.out / "from-the-front.dcm", "explicit")
    for path in sorted(options.out.glob("*.dcm")):
        expected = answer(reader, points["gate"]["limits"], path)
        path.with_name(f"{path.stem}.expected.json").write_text(json.dumps(expected, indent=1) + "\n")
        print(path.name, path.stat().st_size, expected["outcome"], expected["refusedBy"])


if __name__ == "__main__":
    main()
