"""Brings the pack's manifest up to the exported weights and the operating points, and measures how far to trust the net's own spread.

    python -m training.lumbar_landmarks.seal_pack [--films 120] [--version 0.2.0]

Run after each export and each choice of operating points. The net states a covariance for every corner, but heat
maps are as wide as training made them, not as wide as the errors are. `varianceScale` is the factor that makes 95 %
of the validation phantoms' true corners fall into the stated 95 % ellipses, and of their true slips and height ratios
into the stated intervals. Where a slip is called is chosen by itself (`training.slip_detector.operating_point`).
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

from ..phantoms.geometry import BODY, COUNTED, INDEX, LANDMARKS, LUMBAR, lower_plate
from ..slip_detector.segments import SEGMENTS
from . import gate
from .operating_points import WELL_READ_MM
from .reader import FilmReader
from .readings import VALIDATION, drawn

HERE = Path(__file__).parent
PACK = HERE.parents[1] / "models" / "lumbar-landmarks"
CHI_SQUARE_95 = 3.841459
COUNTS = np.isin(np.arange(len(LANDMARKS)), np.r_[COUNTED])


def slip(points):
    moved, back, front = points
    axis = front - back
    return 100 * ((moved - back) @ axis) / (axis @ axis)


def height_ratio(points):
    inferior_back, inferior_front, superior_front, superior_back = points
    return np.linalg.norm(superior_front - inferior_front) / np.linalg.norm(superior_back - inferior_back)


def variance(measure, points, covariance, step=0.05):
    """The delta method, as in src/kit/geometry.ts."""
    total = 0.0
    for index, (xx, yy, xy) in enumerate(covariance):
        slope = []
        for axis in (0, 1):
            moved = np.zeros_like(points)
            moved[index, axis] = step
            slope.append((measure(points + moved) - measure(points - moved)) / (2 * step))
        total += slope[0] ** 2 * xx + slope[1] ** 2 * yy + 2 * slope[0] * slope[1] * xy
    return total


def variance_scale(reader, films, limits, kept=None):
    squared = {"slip": [], "height": []}
    for index in range(films):
        film = drawn("validation", VALIDATION, index, kept)
        reading = reader.read(film.image)
        if gate.refused(gate.signals(reading, film.image.shape), limits):
            continue
        rows, columns = film.image.shape
        in_view = ((film.landmarks >= 0) & (film.landmarks <= [columns - 1, rows - 1])).all(1)
        away = np.linalg.norm(reading.points - film.landmarks, axis=1)[in_view & COUNTS] * film.pixel_mm
        if not len(away) or np.median(away) > WELL_READ_MM:
            continue  # a level off is what `levels` tells of, not the spread of a corner
        for level in LUMBAR:
            body = list(range(BODY[level].start, BODY[level].stop))
            for name, measure, corners in (("slip", slip, [INDEX[f"{level}.posteriorInferior"], *lower_plate(level)]),
                                           ("height", height_ratio, body)):
                if in_view[corners].all():
                    error = measure(reading.points[corners]) - measure(film.landmarks[corners])
                    stated = variance(measure, reading.points[corners], reading.covariance[corners])
                    squared[name].append(error ** 2 / stated)
    print({name: len(values) for name, values in squared.items()}, "levels of validation phantoms (synthetic)")
    return {name: round(float(np.quantile(values, 0.95) / CHI_SQUARE_95), 4) for name, values in squared.items()}


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--films", type=int, default=120)
    arguments.add_argument("--kept", type=Path, help="where the evaluation kept its phantoms")
    arguments.add_argument("--version", help="of the pack; new weights need a new one once a version has been released")
    options = arguments.parse_args()
    weights = PACK / "model.onnx"
    points = json.loads((HERE / "operating-points.json").read_text())
    limits = points["gate"]["limits"]
    manifest = json.loads((PACK / "manifest.json").read_text())
    if options.version:
        manifest["version"] = options.version
    data = weights.read_bytes()
    manifest["weights"] = {"file": weights.name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    for former in ("gateLeast", "gateMost"):
        manifest["operatingPoints"].pop(former, None)
    manifest["operatingPoints"] |= {
        "gateUsual": limits["usual"],
        "gateWeight": limits["weight"],
        # A level above L1 need not be seen; one that is counts as read from half the mass on.
        "madeOut": {"bodyMass": 0.5},
        "varianceScale": {
            "corner": points["spreadScale"],
            **variance_scale(FilmReader(weights), options.films, limits, options.kept),
        },
    }
    manifest["input"]["preprocess"] = [
        step for step in manifest["input"]["preprocess"] if step["step"] != "both-facings"
    ]
    manifest["outputs"] = {
        "landmarks": {
            "type": "float32",
            "shape": ["n", len(LANDMARKS), 6],
            "labels": list(LANDMARKS),
            "values": ["x", "y", "mass", "varX", "varY", "covXY"],
        },
        "levels": {"type": "float32", "shape": ["n", 3], "labels": ["oneLower", "asNamed", "oneHigher"]},
        "apart": {"type": "float32", "shape": ["n", len(LANDMARKS)], "labels": list(LANDMARKS)},
        "slips": {
            "type": "float32",
            "shape": ["n", len(SEGMENTS), 3],
            "labels": list(SEGMENTS),
            "values": ["step", "deviation", "slipped"],
        },
    }
    (PACK / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    print(f"{PACK / 'manifest.json'}: version {manifest['version']}, varianceScale {manifest['operatingPoints']['varianceScale']}")


if __name__ == "__main__":
    main()
