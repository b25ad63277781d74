"""Real soft tissue, pelvis and posterior bone behind a drawn spine: CT projections bent to a given geometry.

Two openly licensed CTs are projected once in many poses (`prepare`). For each film a thin-plate spline carries the
patient's own corners onto those of a freshly drawn spine: truth stays exact while everything else is real.

    python -m training.phantoms.ct_tissue --data <shared data> OUT.npz

Sources: `pelvis_lumbar_ct`, TotalSegmentator test data, Apache-2.0; `abdomen_ct`, ACRIN-FLT-Breast_001, TCIA,
CC BY 3.0, doi 10.7937/K9/TCIA.2017.ol20zmxg.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

NAN = (np.nan, np.nan)
# (anterior, superior) voxel of each corner in the mid-sagittal plane, read off by eye; T12 to S1, as in LANDMARKS.
PATIENTS = {
    "pelvis_lumbar_ct": (
        58.5,
        [
            (30.1, 101.7),
            (41.7, 105.8),
            NAN,
            NAN,
            (33.0, 90.75),
            (45.25, 96.1),
            (42.9, 103.6),
            (29.75, 100.2),
            (36.9, 79.7),
            (48.3, 82.8),
            (46.9, 91.4),
            (33.7, 89.25),
            (37.6, 68.75),
            (51.06, 70.06),
            (50.06, 79.25),
            (36.75, 78.4),
            (37.75, 58.4),
            (50.4, 55.75),
            (51.3, 65.4),
            (37.9, 66.4),
            (33.7, 48.1),
            (43.6, 41.6),
            (48.4, 51.4),
            (37.0, 55.4),
            (32.0, 46.4),
            (40.4, 38.75),
        ],
    ),
    "abdomen_ct": (
        268.0,
        [
            (181.5, 71.9),
            (210, 71.8),
            (208.5, 78.6),
            (179.5, 78.3),
            (184.5, 63.7),
            (214.5, 63.8),
            (212, 70.7),
            (182.5, 70.5),
            (187, 55.6),
            (219, 55.6),
            (218, 62.0),
            (185.5, 62.3),
            (188, 47.4),
            (222, 47.6),
            (220.5, 54.3),
            (187, 54.2),
            (187.7, 39.1),
            (223, 38.9),
            (222.5, 44.9),
            (188, 45.6),
            (182, 31.5),
            (211, 28.5),
            (221, 35.2),
            (187.5, 37.3),
            (178, 30.8),
            (201, 25.7),
        ],
    ),
}
PIXEL = 1.0  # mm of the stored projections


@dataclass(frozen=True)
class Projections:
    soft: list  # water-equivalent mm along the ray
    bone: list
    corners: list  # (26, 2), T12 to S1, in mm, y downwards, NaN where the volume ends

    @staticmethod
    def load(path):
        with np.load(path) as stored:
            count = sum(key.startswith("soft") for key in stored.files)
            return Projections(
                [stored[f"soft{i}"] for i in range(count)],
                [stored[f"bone{i}"] for i in range(count)],
                [stored[f"corners{i}"] for i in range(count)],
            )


def prepare(data, out, poses=20, seed=7):
    import nibabel
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    stored, count = {}, 0
    for name, (middle, corners) in PATIENTS.items():
        scan = nibabel.as_closest_canonical(nibabel.load(Path(data) / "spine-ct" / f"{name}.nii.gz"))
        volume, spacing = np.asarray(scan.dataobj).astype(np.float32), np.array(scan.header.get_zooms()[:3], float)
        parts, _ = ndimage.label(volume > -400)
        sizes = np.bincount(parts.ravel())
        body = ndimage.binary_closing(parts == 1 + sizes[1:].argmax(), iterations=3)
        volume[~ndimage.binary_fill_holes(body)] = -1000  # the couch
        step = max(1, int(round(3 / spacing[0])))
        usable = volume.shape[0] // step * step
        volume = volume[:usable].reshape(-1, step, *volume.shape[1:]).mean(1)
        scale = spacing * [step, 1, 1]
        points = np.array([((middle - (step - 1) / 2) / step, *corner) for corner in corners]) * scale
        centre = (np.array(volume.shape) - 1) / 2 * scale
        for _ in range(poses):
            yaw, roll = np.radians(rng.normal(0, 4, 2))
            turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]]) @ np.array(
                [[np.cos(roll), 0, -np.sin(roll)], [0, 1, 0], [np.sin(roll), 0, np.cos(roll)]]
            )
            matrix = np.diag(1 / scale) @ turn.T @ np.diag(scale)
            turned = ndimage.affine_transform(
                volume, matrix, centre / scale - matrix @ (centre / scale), order=1, cval=-1000
            )
            soft = (1 + np.clip(turned, -1000, 120) / 1000).sum(0) * scale[0]
            bone = (np.clip(turned - 150, 0, 1500) / 1000).sum(0) * scale[0]
            size = (round(soft.shape[0] * scale[1] / PIXEL), round(soft.shape[1] * scale[2] / PIXEL))
            film = lambda plane: cv2.resize(
                np.ascontiguousarray(plane.T[::-1]), size, interpolation=cv2.INTER_CUBIC
            ).astype(np.float16)
            moved = (points - centre) @ turn.T + centre
            flat = np.stack(
                [
                    (moved[:, 1] / scale[1] + 0.5) * scale[1],
                    (volume.shape[2] - 0.5 - moved[:, 2] / scale[2]) * scale[2],
                ],
                1,
            )
            stored.update({f"soft{count}": film(soft), f"bone{count}": film(bone), f"corners{count}": flat})
            count += 1
    np.savez(out, **stored)


def similarity(source, target):
    """Least-squares turn, scale and shift from source to target points."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    turn = vt.T @ np.diag([1, np.sign(np.linalg.det(vt.T @ u.T))]) @ u.T
    scale = s.sum() / (a**2).sum()
    return lambda points: (points - source.mean(0)) @ turn.T * scale + target.mean(0)


def thin_plate(nodes, values):
    """Interpolating spline through (n, 2) nodes; returns a function of (m, 2) points."""
    kernel = lambda d2: 0.5 * d2 * np.log(np.maximum(d2, 1e-9))
    distance = ((nodes[:, None] - nodes[None]) ** 2).sum(-1)
    ones = np.c_[np.ones(len(nodes)), nodes]
    system = np.block([[kernel(distance) + 1e-3 * np.eye(len(nodes)), ones], [ones.T, np.zeros((3, 3))]])
    weights = np.linalg.solve(system, np.r_[values, np.zeros((3, 2))])
    return lambda points: (
        kernel(((points[:, None] - nodes[None]) ** 2).sum(-1)) @ weights[:-3]
        + np.c_[np.ones(len(points)), points] @ weights[-3:]
    )


def draw(canvas, landmarks, projections, rng):
    """Adds one bent projection to the canvas; returns which landmarks lie inside the scanned volume.

    Corners are stored for the lowest levels only: nothing is known of the landmarks above them.
    """
    pick = rng.integers(0, len(projections.soft))
    soft, bone = projections.soft[pick].astype(np.float32), projections.bone[pick].astype(np.float32)
    corners = projections.corners[pick]
    corners = np.r_[np.full((len(landmarks) - len(corners), 2), np.nan), corners]
    known = np.isfinite(corners).all(1)
    source, target = corners[known], landmarks[known]
    height, width = soft.shape
    frame = (
        np.array(
            [
                (x * width, y * height)
                for x in (0, 0.33, 0.67, 1)
                for y in (0, 0.33, 0.67, 1)
                if x in (0, 1) or y in (0, 1)
            ]
        )
        * PIXEL
    )
    carried = similarity(source, target)(frame) + rng.normal(0, 5, frame.shape)
    spline = thin_plate(np.r_[target, carried], np.r_[source, frame])
    rows, columns = canvas.shape
    coarse = (max(3, rows // 6), max(3, columns // 6))
    grid_y, grid_x = np.meshgrid(
        (np.arange(coarse[0]) + 0.5) * rows / coarse[0] - 0.5,
        (np.arange(coarse[1]) + 0.5) * columns / coarse[1] - 0.5,
        indexing="ij",
    )
    origin = spline(np.stack([grid_x.ravel(), grid_y.ravel()], 1) * canvas.pixel).reshape(*coarse, 2).astype(np.float32)
    origin = cv2.resize(origin, (columns, rows), interpolation=cv2.INTER_CUBIC) / PIXEL - 0.5
    border = cv2.BORDER_REPLICATE if rng.uniform() < 0.6 else cv2.BORDER_CONSTANT
    fetch = lambda plane: cv2.remap(plane, origin[..., 0], origin[..., 1], cv2.INTER_CUBIC, borderMode=border)
    bone = bone + rng.uniform(0, 1.5) * (bone - cv2.GaussianBlur(bone, (0, 0), 2.5))  # undo some of the slices' blur
    canvas.sum += np.clip(fetch(soft), 0, None) * rng.uniform(0.006, 0.014)
    canvas.sum += np.clip(fetch(bone), 0, None) * np.exp(rng.uniform(np.log(0.012), np.log(0.06)))
    inside = (origin[..., 1] > 0) & (origin[..., 1] < height - 1)
    return lambda points: (
        known
        & np.array(
            [
                0 <= int(y) < rows and 0 <= int(x) < columns and bool(inside[int(y), int(x)])
                for x, y in np.nan_to_num(points, nan=-9)
            ]
        )
    )


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--data", type=Path, required=True)
    options = arguments.parse_args()
    prepare(options.data, options.out)
