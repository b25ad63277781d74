"""Films as the net sees them: letterboxed, normalised, both facings turned to one."""

import cv2
import numpy as np


def letterbox(image, points, height, width):
    """Fit into height x width keeping the aspect, centred, zeros around; points move along."""
    rows, columns = image.shape
    scale = min(height / rows, width / columns)
    new = (max(1, int(round(columns * scale))), max(1, int(round(rows * scale))))
    if new != (columns, rows):
        image = cv2.resize(image, new, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left, top = (width - new[0]) // 2, (height - new[1]) // 2
    canvas = np.zeros((height, width), np.float32)
    canvas[top : top + new[1], left : left + new[0]] = image
    sx, sy = new[0] / columns, new[1] / rows
    moved = None if points is None else (np.asarray(points, np.float64) + 0.5) * [sx, sy] - 0.5 + [left, top]
    return canvas, moved, scale


def normalise(image):
    return (image - image.mean()) / (image.std() + 1e-4)
