"""What may happen to a film between the generator and the net, redrawn each time a film is seen."""

import cv2
import numpy as np

from .dataset import normalise


def augment(image, points, rng):
    """`image` uint8 letterboxed, `points` with NaN where not in view; returns normalised image and points."""
    height, width = image.shape
    draw = rng.uniform
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), draw(-10, 10), np.exp(draw(-0.22, 0.18)))
    stretch = np.exp(draw(-0.08, 0.08))
    matrix[0] *= stretch
    matrix[0, 2] += (1 - stretch) * width / 2
    matrix[:, 2] += [draw(-0.09, 0.09) * width, draw(-0.07, 0.07) * height]
    if rng.uniform() < 0.5:
        image, points = image[:, ::-1], points * [-1, 1] + [width - 1, 0]
    fill = int(draw(0, 40)) if rng.uniform() < 0.3 else 0
    out = cv2.warpAffine(np.ascontiguousarray(image), matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=fill)
    out = out.astype(np.float32) / 255
    points = points @ matrix[:, :2].T + matrix[:, 2]
    if rng.uniform() < 0.7:
        out = out ** np.exp(draw(-0.6, 0.6))
    if rng.uniform() < 0.3:  # another window: everything but the air looks light
        out = np.where(out > 0.03, draw(0.2, 0.5) + out * draw(0.3, 0.7), out)
    if rng.uniform() < 0.3:
        out = cv2.GaussianBlur(out, (0, 0), draw(0.4, 1.5))
    if rng.uniform() < 0.35:
        out = out + rng.standard_normal(out.shape, dtype=np.float32) * draw(0.005, 0.05)
    if rng.uniform() < 0.3:
        for _ in range(rng.integers(1, 4)):
            y, x = int(draw(0, height)), int(draw(0, width))
            out[y : y + int(draw(8, 50)), x : x + int(draw(8, 50))] = draw(0, 1)
    if rng.uniform() < 0.15:  # cut off above, below or at a side
        edge = rng.integers(0, 4)
        part = draw(0.02, 0.12)
        if edge == 0:
            out[: int(part * height)] = 0
            points = hide(points, points[:, 1] < part * height)
        elif edge == 1:
            out[int((1 - part) * height) :] = 0
            points = hide(points, points[:, 1] > (1 - part) * height)
        elif edge == 2:
            out[:, : int(part * width)] = 0
        else:
            out[:, int((1 - part) * width) :] = 0
    outside = ((points < 1) | (points > [width - 2, height - 2])).any(-1)
    return normalise(out), hide(points, outside)


def hide(points, which):
    points = points.copy()
    points[which] = np.nan
    return points
