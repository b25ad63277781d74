"""Reads the demo films with a model and compares with the truth they were drawn from.

python -m training.demo_films.check sandbox/films --model models/lumbar-landmarks/model.onnx
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pydicom

from ..lumbar_landmarks import gate
from ..lumbar_landmarks.evaluate import HERE
from ..lumbar_landmarks.reader import FilmReader
from ..phantoms.geometry import COUNTED, LANDMARKS, SLIP_LEVELS, measured_offsets
from .cases import window


def decoded(path):
    """The film with plain pixels, by GDCM; None when its codestream cannot be decoded."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.dcm"
        done = subprocess.run(["gdcmconv", "--raw", str(path), str(plain)], capture_output=True)
        if done.returncode or not plain.exists():
            return None
        film = pydicom.dcmread(plain)
        film.pixel_array  # noqa: B018  (decode before the folder goes)
        return film


def check(path, truth, reader, limits):
    film = decoded(path)
    if film is None:
        return "cannot be decoded"
    image = window(film)
    reading = reader.read(image)
    refused = gate.refused(gate.signals(reading, image.shape), limits)
    line = f"mass {reading.mass[COUNTED].mean():.3f} " + (f"refused by {', '.join(refused)}" if refused else "accepted")
    if "corners" not in truth:
        return line
    corners = np.array([truth["corners"][name] for name in LANDMARKS[COUNTED]])
    error = np.linalg.norm(reading.points[COUNTED] - corners, axis=1) * truth["pixelMm"]
    read = dict(zip(SLIP_LEVELS, 100 * measured_offsets(reading.points), strict=True))
    slips = " ".join(f"{level} {read[level]:.1f} ({truth['slipPercent'][level]:.1f})" for level in SLIP_LEVELS[1:])
    facing = "" if reading.facing == truth["facing"] else " WRONG FACING"
    return f"{line}{facing}; corners mean {error.mean():.2f} max {error.max():.2f} mm; slip % read (true): {slips}"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("films", type=Path)
    arguments.add_argument("--model", type=Path, required=True)
    options = arguments.parse_args()
    reader = FilmReader(options.model)
    limits = json.loads((HERE / "operating-points.json").read_text())["gate"]["limits"]
    for name, truth in json.loads((options.films / "films.json").read_text())["films"].items():
        print(f"{name}: {check(options.films / name, truth, reader, limits)}", flush=True)


if __name__ == "__main__":
    main()
