"""Each of two real CTs by itself, its bodies broken in space in many ways: for measuring (decision 0026).

    python -m training.vertebral_fracture.broken_cts OUT --data DATA --poses 60

Writes OUT/broken-NAME.npz as `training.phantoms.ct_volumes` does, but with more fractures, no slips, and one patient to a
file, so that what a model says of the bodies of a CT can be measured on a model that never saw that CT.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from ..phantoms.ct_tissue import PATIENTS
from ..phantoms.ct_volumes import acts_of, load_patient, project, quads, store
from ..phantoms.geometry import LEVELS

# Loss by kind; a biconcave body of this generator loses all of it at its middle.
LOSSES = {"wedge": (0.2, 0.55), "biconcave": (0.2, 0.5), "crush": (0.3, 0.55), "burst": (0.33, 0.55)}
SEEDS = {name: 31 + index for index, name in enumerate(PATIENTS)}


def draw_fractures(corners, rng):
    """One to three broken bodies on most films, as (kind, loss of height) by level."""
    bodies, _ = quads(corners)
    broken = {}
    if rng.uniform() < 0.85:
        order = [level for level in LEVELS if level in bodies]
        for level in rng.choice(order, int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2])), replace=False):
            kind = str(rng.choice(list(LOSSES)))
            broken[str(level)] = (kind, float(rng.uniform(*LOSSES[kind])))
    return broken


def films(patient, poses, rng):
    for _ in range(poses):
        broken = draw_fractures(patient.corners, rng)
        yield project(patient, acts_of(patient.corners, broken, None, rng), rng), broken, {}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--poses", type=int, default=60)
    arguments.add_argument("--patients", nargs="+", default=list(PATIENTS), choices=list(PATIENTS))
    options = arguments.parse_args()
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.patients:
        patient = load_patient(options.data, name)
        films_of_one = films(patient, options.poses, np.random.default_rng(SEEDS[name]))
        changes = store(options.out / f"broken-{name}.npz", films_of_one)
        print(f"{name}: {options.poses} poses, {sum(len(one['fractures']) for one in changes)} broken bodies", flush=True)


if __name__ == "__main__":
    main()
