"""Corners of vertebral bodies in a labelled CT, in millimetres of the patient: derived from labels, not marked by hand."""

import cv2
import numpy as np

from .volume import VERTEBRAE

FINE = 0.25  # mm of the plane in which an outline is followed
HALF_SLAB = 5.0  # mm to either side of a body's middle: there the canal parts it from the spinous process
# Of the outline's rectangle: (towards the front, towards the head).
DIAGONALS = {
    "posteriorInferior": (-1, -1),
    "anteriorInferior": (1, -1),
    "anteriorSuperior": (1, 1),
    "posteriorSuperior": (-1, 1),
}


def body_corners(scan):
    """Per vertebra its four corners as (right, anterior, superior) in mm from the volume's first corner."""
    found = {}
    for name, value in VERTEBRAE.items():
        outline, middle = body_outline(scan, value)
        if outline is not None:
            found[name] = {key: np.array([middle, *point]) for key, point in corners_of(outline).items()}
    return found


def body_outline(scan, value):
    """The contour of the body in the plane of its own middle, or None where the volume cuts it off."""
    inside = scan.labels == value
    right = middle_of_body(scan, inside)
    index = int(right / scan.spacing[0])
    half = max(1, int(HALF_SLAB / scan.spacing[0]))
    share = inside[index - half : index + half + 1].mean(0)
    size = tuple(int(round(n * mm / FINE)) for n, mm in zip(share.shape, scan.spacing[1:]))
    plane = cv2.resize(np.ascontiguousarray(share.T.astype(np.float32)), size, interpolation=cv2.INTER_CUBIC)
    # Slices are 2.5 mm apart: without this the outline is a staircase.
    mask = (cv2.GaussianBlur(plane, (0, 0), 1.0 / FINE) > 0.5).astype(np.uint8)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    # The spinous process of the lowest one may leave the volume, the body may not.
    if (parts[[0, -1]] == largest).any():
        return None, right
    contours, _ = cv2.findContours((parts == largest).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return (max(contours, key=len)[:, 0].astype(float) + 0.5) * FINE, right


def middle_of_body(scan, inside):
    """Between the sides of the front half: ribs and processes are behind it and not always alike."""
    places = np.argwhere(inside)
    front = places[places[:, 1] > np.quantile(places[:, 1], 0.6)]
    return (np.quantile(front[:, 0], 0.02) + np.quantile(front[:, 0], 0.98) + 1) / 2 * scan.spacing[0]


def corners_of(outline):
    """The outline's outermost points along the diagonals of its smallest rectangle."""
    centre, (width, height), angle = cv2.minAreaRect(outline.astype(np.float32))
    axes = np.array([[np.cos(np.radians(angle)), np.sin(np.radians(angle))], [-np.sin(np.radians(angle)), np.cos(np.radians(angle))]])
    half = np.array([width, height]) / 2
    if abs(axes[0, 0]) < abs(axes[1, 0]):  # the first axis shall be the one that points to the front
        axes, half = axes[::-1], half[::-1]
    axes = axes * np.sign([[axes[0, 0]], [axes[1, 1]]])
    local = (outline - np.array(centre)) @ axes.T / half
    return {key: outline[(local @ np.array(diagonal)).argmax()] for key, diagonal in DIAGONALS.items()}
