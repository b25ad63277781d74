"""A vertebra's crop: upright, posterior on the left, head up, 1.7 body depths wide; the same arithmetic as the service's.

Bilinear, zeros outside the film (as torch's grid_sample with align_corners=False), from grey values 0 to 1 with bone bright.
Where one sample of the crop is more than two film pixels wide, the film is first reduced by a whole-number area mean, or
the samples between would be skipped.
"""

from dataclasses import dataclass

import numpy as np

from .backbone import CROP

SPAN = 1.7  # width in body depths
LEAST_DEPTH = 4.0  # film pixels
MOST_PIXELS = 2.0  # film pixels per sample


@dataclass(frozen=True)
class Frame:
    centre: np.ndarray
    along: np.ndarray  # unit vector from back to front
    up: np.ndarray  # unit vector towards the head
    size: float  # width and height in film pixels


def frame_of(corners):
    """Of four corners: posterior-inferior, anterior-inferior, anterior-superior, posterior-superior."""
    corners = np.asarray(corners, np.float64)
    forward = (corners[1] + corners[2] - corners[0] - corners[3]) / 2
    head = (corners[2] + corners[3] - corners[0] - corners[1]) / 2
    length = max(float(np.hypot(*forward)), LEAST_DEPTH)
    along = forward / length
    across = np.array([along[1], -along[0]])
    return Frame(corners.mean(0), along, -across if across @ head < 0 else across, length * SPAN)


def to_crop(points, frame):
    """Film points (n, 2) to samples of the crop, where centres are whole numbers."""
    offset = np.asarray(points, np.float64) - frame.centre
    x, y = offset @ frame.along / frame.size, -(offset @ frame.up) / frame.size
    return (np.stack([x, y], 1) + 0.5) * CROP - 0.5


def reduced(film, factor):
    """Area mean over blocks; rows and columns that fill no whole block at the lower and right edge are left out."""
    rows, columns = film.shape[0] // factor, film.shape[1] // factor
    blocks = film[: rows * factor, : columns * factor].astype(np.float64)
    return blocks.reshape(rows, factor, columns, factor).mean((1, 3))


def crop_of(film, corners):
    """The crop as float32 and the four corners in it."""
    frame = frame_of(corners)
    factor = max(1, int(np.ceil(frame.size / CROP / MOST_PIXELS)))
    image = film if factor == 1 else reduced(film, factor)
    step = (np.arange(CROP) + 0.5) / CROP - 0.5
    right, down = step[None, :, None], step[:, None, None]
    spot = frame.centre + right * frame.along * frame.size - down * frame.up * frame.size
    spot = (spot + 0.5) / factor - 0.5
    return bilinear(image, spot[..., 0], spot[..., 1]).astype(np.float32), to_crop(corners, frame)


def bilinear(image, x, y):
    rows, columns = image.shape
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right_share, low_share = x - left, y - top
    total = np.zeros(x.shape)
    for row, row_share in ((top, 1 - low_share), (top + 1, low_share)):
        for column, column_share in ((left, 1 - right_share), (left + 1, right_share)):
            seen = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
            value = image[np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)]
            total += np.where(seen, value, 0) * row_share * column_share
    return total


def mask_of(corners):
    """Samples whose centre lies inside the polygon of the four corners (even-odd rule)."""
    y, x = np.mgrid[0:CROP, 0:CROP].astype(np.float64)
    inside = np.zeros((CROP, CROP), bool)
    for (xa, ya), (xb, yb) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if ya != yb:
            inside ^= ((ya > y) != (yb > y)) & (x < (xb - xa) * (y - ya) / (yb - ya) + xa)
    return inside
