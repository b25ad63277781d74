"""Each of two real CTs by itself, its bodies broken in space in many ways: one for training, one for measuring.

    python -m training.vertebral_fracture.broken_cts OUT --data DATA --poses 60

Writes OUT/broken-NAME.npz as `training.phantoms.ct_volumes` does, but with more fractures, no slips, and one patient to a
file, so that what a model says of the bodies of a CT can be measured on a model that never saw that CT.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from ..phantoms.ct_tissue import PATIENTS
from ..phantoms.ct_volumes import load_patient, project, quads
from ..phantoms.deform import bend, fracture
from ..phantoms.geometry import LANDMARKS, LEVELS

# Loss by kind; a biconcave body of this generator loses all of it at its middle.
LOSSES = {"wedge": (0.2, 0.55), "biconcave": (0.2, 0.5), "crush": (0.3, 0.55), "burst": (0.33, 0.55)}
SEEDS = {name: 31 + index for index, name in enumerate(PATIENTS)}


def acts_of(corners, rng):
    """One to three broken bodies on most films, from the highest level down, and what they are."""
    bodies, sacrum = quads(corners)
    order = [level for level in LEVELS if level in bodies]
    plates = {**bodies, "S1": sacrum}
    broken, acts = {}, []
    if rng.uniform() < 0.85:
        for level in rng.choice(order, int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2])), replace=False):
            kind = str(rng.choice(list(LOSSES)))
            broken[str(level)] = (kind, float(rng.uniform(*LOSSES[kind])))
    for index, level in enumerate(order):
        below = plates[order[index + 1] if index + 1 < len(order) else "S1"]
        quad = bodies[level]
        disc = np.linalg.norm(quad[[2, 3]].mean(0) - bodies[order[index - 1]][[0, 1]].mean(0)) if index else 8.0
        if level in broken:
            kind, loss = broken[level]
            acts.append(fracture(quad, kind, loss, rng.uniform(1, 5) if kind == "burst" else 0.0, disc, rng))
        acts.append(bend(below, quad, np.radians(rng.normal(0, 2.5))))
    return acts, broken


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
        rng, patient = np.random.default_rng(SEEDS[name]), load_patient(options.data, name)
        stored, changes = {}, []
        for number in range(options.poses):
            acts, broken = acts_of(patient.corners, rng)
            soft, bone, corners = project(patient, acts, rng)
            stored[f"soft{number}"], stored[f"bone{number}"] = soft.astype(np.float16), bone.astype(np.float16)
            stored[f"corners{number}"] = corners.astype(np.float32)
            changes.append({"fractures": broken, "slips": {}})
        np.savez(options.out / f"broken-{name}.npz", **stored, changes=json.dumps(changes), landmarks=np.array(LANDMARKS))
        print(f"{name}: {options.poses} poses, {sum(len(one['fractures']) for one in changes)} broken bodies", flush=True)


if __name__ == "__main__":
    main()
