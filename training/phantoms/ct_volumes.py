"""Generator V: projections of real CTs whose spines were broken, slipped and bent in space, with exact new corners.

    python -m training.phantoms.ct_volumes --data <shared data> OUT.npz [--poses 220]

Sources as in `ct_tissue`. Each sagittal slice is resampled at its own magnification and shift, which is a diverging
beam through a patient who is turned and tilted a little, and each is deformed by its distance from the spine's middle.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .ct_tissue import PATIENTS
from .deform import backwards, bend, forwards, fracture, slip
from .geometry import BODY, LANDMARKS, LEVELS, PLATE

PIXEL = 0.9  # mm of the stored projections
# Corners above T12, read off by eye as those of PATIENTS.
ABOVE = {
    "abdomen_ct": [
        (177.0, 86.6), (205.5, 86.6), (206.5, 91.5), (176.5, 91.5),
        (177.5, 79.5), (207.0, 79.5), (205.8, 85.1), (177.3, 85.1),
    ]
}  # fmt: skip
SLICE = 3.9  # mm between the sagittal slices that are projected


@dataclass(frozen=True)
class Patient:
    layers: np.ndarray  # (x, y downwards, forwards, 2): soft tissue as water equivalent, dense bone
    middle: float  # slice through the spine's middle
    corners: np.ndarray  # (34, 2) in mm, forwards and downwards
    scale: tuple  # mm of a voxel: aside, forwards, downwards


def load_patient(data, name):
    import nibabel
    from scipy import ndimage

    middle, corners = PATIENTS[name]
    scan = nibabel.as_closest_canonical(nibabel.load(Path(data) / "spine-ct" / f"{name}.nii.gz"))
    volume, spacing = np.asarray(scan.dataobj).astype(np.float32), [float(v) for v in scan.header.get_zooms()[:3]]
    parts, _ = ndimage.label(volume > -400)
    body = ndimage.binary_closing(parts == 1 + np.bincount(parts.ravel())[1:].argmax(), iterations=3)
    volume[~ndimage.binary_fill_holes(body)] = -1000  # the couch
    step = max(1, int(round(SLICE / spacing[0])))
    usable = volume.shape[0] // step * step
    volume = volume[:usable].reshape(-1, step, *volume.shape[1:]).mean(1)
    volume = np.ascontiguousarray(volume[:, :, ::-1].transpose(0, 2, 1))
    table = np.array(ABOVE.get(name, [(np.nan, np.nan)] * 8) + list(corners), float)
    first = max(0, int(np.nanmean(table[:, 0]) - 150 / spacing[1]))  # what lies far from the spine may be left out
    last = int(np.nanmean(table[:, 0]) + 190 / spacing[1])
    volume = volume[:, :, first:last]
    flat = np.stack([(table[:, 0] - first) * spacing[1], (volume.shape[1] - 1 - table[:, 1]) * spacing[2]], 1)
    return Patient(
        np.stack([1 + np.clip(volume, -1000, 120) / 1000, np.clip(volume - 150, 0, 1500) / 1000], -1),
        (middle - (step - 1) / 2) / step,
        flat,
        (spacing[0] * step, spacing[1], spacing[2]),
    )


def quads(corners):
    """Whole bodies by name, and S1 as a body whose lower corners do not matter."""
    found = {level: corners[BODY[level]] for level in LEVELS if np.isfinite(corners[BODY[level]]).all()}
    back, front = corners[PLATE]
    return found, np.array([back, front, front, back])


def draw_changes(corners, rng):
    """What shall change on one film: fractures as (kind, loss of height) and slips, by level."""
    bodies, _ = quads(corners)
    order = [level for level in LEVELS if level in bodies]
    fractures, slips = {}, {}
    if rng.uniform() < 0.5:
        for level in rng.choice(order[1:], 1 + (rng.uniform() < 0.25), replace=False):
            kind = str(rng.choice(["wedge", "biconcave", "crush", "burst"], p=[0.34, 0.26, 0.2, 0.2]))
            fractures[str(level)] = (kind, float(rng.uniform(0.12, 0.5)))
    if rng.uniform() < 0.5:
        level = str(rng.choice([level for level in ("L2", "L3", "L4", "L5") if level in bodies]))
        slips[level] = float(rng.choice([-1, 1], p=[0.2, 0.8]) * np.clip(0.06 + rng.gamma(1.6, 0.07), 0.06, 0.4))
    return fractures, slips


def acts_of(corners, fractures, slips, rng):
    """Deformations from the highest level down; without `slips` (None) no vertebra is moved on the next at all."""
    bodies, sacrum = quads(corners)
    order = [level for level in LEVELS if level in bodies]
    plates = {**bodies, "S1": sacrum}
    acts = []
    for index, level in enumerate(order):
        below = plates[order[index + 1] if index + 1 < len(order) else "S1"]
        quad = bodies[level]
        disc = np.linalg.norm(quad[[2, 3]].mean(0) - bodies[order[index - 1]][[0, 1]].mean(0)) if index else 8.0
        if level in fractures:
            kind, loss = fractures[level]
            acts.append(fracture(quad, kind, loss, rng.uniform(1, 5) if kind == "burst" else 0.0, disc, rng))
        acts.append(bend(below, quad, np.radians(rng.normal(0, 2.5))))
        if slips is not None:
            depth = np.linalg.norm(below[2] - below[3])
            acts.append(slip(below, quad, (slips.get(level, 0) + np.clip(rng.normal(0, 0.02), -0.04, 0.04)) * depth))
    return acts


def project(patient, acts, rng):
    """One projection: soft tissue and bone in mm of water and of dense bone, and the corners on it."""
    aside_mm, forward_mm, down_mm = patient.scale
    count, rows, columns, _ = patient.layers.shape
    sign = rng.choice([-1, 1])  # the patient's mirror image
    yaw, roll = np.tan(np.radians(rng.normal(0, 4.5, 2)))
    divergence = 1 / rng.uniform(850, 1800)
    extent = np.array([columns * forward_mm, rows * down_mm])
    beam = extent * [0.5, 0.5] + rng.normal(0, 35, 2)
    size = np.round(extent / PIXEL).astype(int)
    coarse = np.maximum(size // 7, 8)
    grid = np.stack(
        np.meshgrid(*((np.arange(n) + 0.5) * m / n * PIXEL for n, m in zip(coarse, size)), indexing="xy"), -1
    ).reshape(-1, 2)
    stations = np.array([0, 10, 20, 32, 60.0])
    # Points of the film's grid lie in front of or behind the slices they meet; deformation varies slowly, so the
    # way back is computed once for each station and read off between them.
    total = np.zeros((size[1], size[0], 2), np.float32)
    fields = [backwards(acts, grid, s) - grid for s in stations]
    fields = [field.reshape(coarse[1], coarse[0], 2).astype(np.float32) for field in fields]
    fields = [cv2.resize(field, size.tolist(), interpolation=cv2.INTER_CUBIC) for field in fields]
    x, y = ((np.arange(n) + 0.5).astype(np.float32) * PIXEL for n in size)
    for index in range(count):
        if not patient.layers[index, ..., 0].max() > 0.1:
            continue
        aside = (index - patient.middle) * aside_mm * sign
        grow = 1 + aside * divergence
        # where a film point lies in this slice's plane, before it was magnified and shifted
        plane_x = (x - beam[0]) / grow + beam[0] - aside * yaw
        plane_y = (y - beam[1]) / grow + beam[1] - aside * roll
        place = np.interp(abs(aside), stations, np.arange(len(stations)))
        low = min(int(place), len(stations) - 2)
        field = fields[low] * (low + 1 - place) + fields[low + 1] * (place - low)
        at_x = np.clip(plane_x / PIXEL - 0.5, 0, size[0] - 1).astype(np.float32)
        at_y = np.clip(plane_y / PIXEL - 0.5, 0, size[1] - 1).astype(np.float32)
        map_x, map_y = np.meshgrid(at_x, at_y)
        back = cv2.remap(field, map_x, map_y, cv2.INTER_LINEAR)
        source_x = ((plane_x[None] + back[..., 0]) / forward_mm).astype(np.float32)
        source_y = ((plane_y[:, None] + back[..., 1]) / down_mm).astype(np.float32)
        total += cv2.remap(patient.layers[index], source_x, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    known = np.isfinite(patient.corners).all(1)
    corners = patient.corners.copy()
    corners[known] = forwards(acts, corners[known])
    return total[..., 0] * aside_mm, total[..., 1] * aside_mm, corners


@dataclass(frozen=True)
class DeformedProjections:
    soft: list
    bone: list
    corners: list  # (34, 2) in mm from the projection's top left, NaN where the volume ends
    changes: list  # {"fractures": …, "slips": …}

    @staticmethod
    def load(path):
        with np.load(path) as stored:
            count = sum(key.startswith("soft") for key in stored.files)
            take = lambda key: [stored[f"{key}{i}"] for i in range(count)]
            return DeformedProjections(take("soft"), take("bone"), take("corners"), json.loads(str(stored["changes"])))


def prepare(data, out, poses, seed=11):
    rng = np.random.default_rng(seed)
    patients = [load_patient(data, name) for name in PATIENTS]

    def films():
        for number in range(poses):
            patient = patients[number % len(patients)]
            fractures, slips = draw_changes(patient.corners, rng)
            yield project(patient, acts_of(patient.corners, fractures, slips, rng), rng), fractures, slips

    store(out, films())


def store(out, films):
    """Projections with what was changed on each, as DeformedProjections loads them; returns the changes."""
    stored, changes = {}, []
    for number, ((soft, bone, corners), fractures, slips) in enumerate(films):
        stored[f"soft{number}"], stored[f"bone{number}"] = soft.astype(np.float16), bone.astype(np.float16)
        stored[f"corners{number}"] = corners.astype(np.float32)
        changes.append({"fractures": fractures, "slips": slips})
    np.savez(out, **stored, changes=json.dumps(changes), landmarks=np.array(LANDMARKS))
    return changes


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--poses", type=int, default=220)
    options = arguments.parse_args()
    cv2.setNumThreads(1)
    prepare(options.data, options.out, options.poses)
