"""One real patient with a collapsed L2, as far as shape goes: masks of bodies, no picture.

    python -m training.vertebral_fracture.real_shape COHORTS --data DATA

From `fracture_vertebrae` and `fracture_subregions` (malekosh, MIT) the corners of T10 to L5 are read in the middle
sagittal slice; a logistic regression on the ten shape features alone, fitted on the training phantoms, says what it makes
of them. One patient, one collapsed body: an example, not a figure.
"""

import argparse
from pathlib import Path

import cv2
import nibabel
import numpy as np
from sklearn.linear_model import LogisticRegression

from . import cohorts, features
from .crops import crop_of, mask_of
from .radiomics import radiomics_of

LABELS = {"T10": 17, "T11": 18, "T12": 19, "L1": 20, "L2": 21, "L3": 22, "L4": 23, "L5": 24}
BODY = (49, 50)  # rim and core of the body
SLICES = range(11, 16)  # the middle ones of 27


def body_corners(mask):
    """Posterior-inferior, anterior-inferior, anterior-superior, posterior-superior; rows run down, the front is left."""
    y, x = np.nonzero(mask)
    points = np.stack([x, y], 1).astype(np.float32)
    (_, _), (_, _), turn = cv2.minAreaRect(points)
    turn = (turn + 45) % 90 - 45
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    uv = (points - points.mean(0)) @ np.array([[c, -s], [s, c]])
    uv /= uv.std(0)
    corners = [points[np.argmax(uv @ np.array(way))] for way in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
    return np.array(corners, float)


def bodies(data):
    folder = Path(data) / "spine-ct"
    vertebra, part = (
        np.asarray(nibabel.load(folder / f"fracture_{name}.nii.gz").dataobj).astype(int) for name in ("vertebrae", "subregions")
    )
    for level, label in LABELS.items():
        body = ((vertebra == label) & np.isin(part, BODY))[:, :, list(SLICES)].mean(2) > 0.5
        picture = body.T[::-1].astype(np.uint8)  # rows from head to foot, columns from front to back
        count, labels, stats, _ = cv2.connectedComponentsWithStats(picture)
        yield level, labels == 1 + int(np.argmax(stats[1:count, cv2.CC_STAT_AREA]))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--data", type=Path, required=True)
    options = arguments.parse_args()
    columns, identity = cohorts.load(options.folder, "train")
    known = features.radiomics_for(options.folder, "train", columns, identity)
    shape = [index for index, name in enumerate(known["names"]) if str(name).startswith("shape2d.")]
    mean, sd = known["values"][:, shape].mean(0), known["values"][:, shape].std(0)
    model = LogisticRegression(C=1.0, max_iter=2000).fit((known["values"][:, shape] - mean) / sd, columns["class"])
    print("REAL shape, one patient (L2 collapsed): chance of class 0 / 1 / 2 by shape features alone, fitted on phantoms")
    rng = np.random.default_rng(1)  # a region must not be even; its greys are not used
    levels, crops, masks, told = [], [], [], []
    for level, body in bodies(options.data):
        corners = body_corners(body)
        crop, inside = crop_of(body + rng.uniform(0, 0.1, body.shape), corners)
        levels.append(level)
        crops.append(crop)
        masks.append(mask_of(inside))
        front, back = np.linalg.norm(corners[2] - corners[1]), np.linalg.norm(corners[3] - corners[0])
        depth = (np.linalg.norm(corners[1] - corners[0]) + np.linalg.norm(corners[2] - corners[3])) / 2
        told.append(f"front / back {front / back:.2f}, front / depth {front / depth:.2f}, back / depth {back / depth:.2f}")
    _, values, _ = radiomics_of(np.stack(crops), np.stack(masks))
    for level, chance, heights in zip(levels, model.predict_proba((values[:, shape] - mean) / sd), told, strict=True):
        print(f"  {level}: {' / '.join(f'{p:.2f}' for p in chance)}   {heights}")


if __name__ == "__main__":
    main()
