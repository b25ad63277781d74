"""Sagittal MR slices as films for the level referee: few real films exist, and these show 33 real sacra.

    python -m training.lumbar_landmarks.mr_slices OUT --data <shared data>

reads images and masks of SPIDER (van der Graaf et al. 2024, CC BY 4.0) and writes shards like those of phantoms. Corners
come from the masks: bodies counted from the lowest one, S1's plate from the lower face of the disc below it. Shapes are
what is wanted, not tones, so each slice is there as it is (body lighter than disc, as on a film) and as a negative (end
plates lighter than both), and each patient once more as the mean of the slices, which is a little of a projection.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

from ..phantoms.geometry import BODY, LANDMARKS, PLATE
from ..phantoms.outline_statistics import COUNTED, body_contours, corner_indices
from .dataset import letterbox
from .shards import FINE

FEWEST_BODIES = 4
DISC_AREA = 150  # pixels below which a piece of the disc mask is no disc
FARTHEST = 0.9  # of a disc's centre from the end plate above it, in that plate's depths
PLAUSIBLE = (0.65, 1.35)  # length of S1's plate over that of L5's lower one; others are pieces of a worn disc


def corners_of(mask):
    """(34, 2) corners in pixels of the slice, or None where column or sacrum cannot be told from the mask."""
    outlines = body_contours(mask)
    if len(outlines) < FEWEST_BODIES:
        return None
    points = np.full((len(LANDMARKS), 2), np.nan)
    for level, outline in zip(COUNTED, outlines):
        corners = corner_indices(outline)
        if len(set(corners)) == 4:
            # `body_contours` enlarges three times and mirrors, so that patients look to the right
            points[BODY[level]] = (outline[corners] * [-1, 1] - 1) / 3
    points[PLATE] = plate_below(mask, points[BODY["L5"]])
    return points if np.isfinite(points[PLATE]).all() else None


def plate_below(mask, body):
    """S1's plate, posterior corner first: the lower face of the disc right below the lowest body."""
    lower, upper = body[:2].mean(0), body[2:].mean(0)
    depth = np.linalg.norm(body[1] - body[0])
    count, labels, stats, centres = cv2.connectedComponentsWithStats((mask == 2).astype(np.uint8), connectivity=4)
    away = {k: np.linalg.norm(centres[k] - lower) for k in range(1, count) if stats[k][4] >= DISC_AREA}
    below = {k: far for k, far in away.items() if (centres[k] - lower) @ (lower - upper) > 0 and far < FARTHEST * depth}
    nowhere = np.full((2, 2), np.nan)
    if not below:
        return nowhere
    disc = (labels == min(below, key=below.get)).astype(np.uint8)
    outline = max(cv2.findContours(disc, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=len)[:, 0] * [-1.0, 1.0]
    plate = outline[corner_indices(outline)[:2]] * [-1, 1]
    share = np.linalg.norm(plate[1] - plate[0]) / depth
    return plate if PLAUSIBLE[0] < share < PLAUSIBLE[1] else nowhere


def toned(image, mask):
    """Grey levels 0..1 in which bodies lie at two thirds, whatever the coil's distance."""
    return np.clip(image.astype(np.float32) / (1.5 * np.median(image[mask == 1]) + 1), 0, 1)


def films(folder):
    """Pictures 0..1 with their corners; slices of a patient whose mask tells no sacrum are left out."""
    patients = defaultdict(list)
    for path in sorted((folder / "masks").glob("*.png")):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        points = corners_of(mask)
        if points is not None:
            image = cv2.imread(str(folder / "images" / path.name), cv2.IMREAD_GRAYSCALE)
            patients[path.name.split("_")[0]].append((toned(image, mask), points))
    for slices in patients.values():
        yield from slices
        yield from ((1 - picture, points) for picture, points in slices)
        mean = np.mean([picture for picture, _ in slices], 0)
        middle = slices[len(slices) // 2][1]
        yield mean, middle
        yield 1 - mean, middle


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--data", type=Path, required=True)
    options = arguments.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    images, points = [], []
    for picture, corners in films(options.data / "spine-mr-t2"):
        canvas, moved, _ = letterbox(np.round(picture * 255).astype(np.float32), corners, *FINE)
        images.append(np.round(canvas).astype(np.uint8))
        points.append(moved.astype(np.float32))
    known = np.isfinite(points).all(-1)  # what the slice shows beyond its mask is not told
    np.savez(options.out / "shard-0000000.npz", images=np.stack(images), points=np.stack(points), known=known)
    print(f"{len(images)} pictures")


if __name__ == "__main__":
    main()
