"""What a slipped segment is and where its box lies: one definition for training, test films and both detectors.

The box of a segment is the smallest upright rectangle around the four corners of the body above and the corners of
the body below (four; of S1 the two of its upper end plate), cut to the film. `models/lumbar-landmarks/slip.ts` draws
exactly these corners as evidence, so the box that `wetread evaluate` takes around them is the same.
"""

from dataclasses import dataclass

import numpy as np

from ..phantoms.geometry import CORNERS, NORMAL_OFFSET

UPPER = ("L1", "L2", "L3", "L4", "L5")
SEGMENTS = ("L1/L2", "L2/L3", "L3/L4", "L4/L5", "L5/S1")
# L1 to S1, in the order of every landmark list: whatever thoracic levels come first, these are its last.
COUNTED = tuple(f"{level}.{corner}" for level in UPPER for corner in CORNERS) + (
    "S1.posteriorSuperior",
    "S1.anteriorSuperior",
)
SLIP_FROM = 0.09  # beyond the level's own normal, forwards or backwards, in lower end plates
NORMAL = np.array([NORMAL_OFFSET[level][0] for level in UPPER])


def corners_around(segment):
    """Indices into COUNTED of the corners that the box goes around."""
    first = 4 * segment
    return list(range(first, first + 8)) if segment < 4 else list(range(first, first + 6))


def deciding(segment):
    """The corner that moves, and the back and front of the end plate below: what a slip is measured from."""
    below = (20, 21) if segment == 4 else (4 * segment + 7, 4 * segment + 6)
    return [4 * segment, *below]


def counted(points):
    """The corners of L1 to S1 of a list that may begin with thoracic levels."""
    return np.asarray(points, np.float64)[..., -len(COUNTED) :, :]


def offsets(points):
    """How far each body stands before (positive) or behind the one below, in lower end plates; NaN where a corner is unknown."""
    found = []
    for segment in range(5):
        moved, back, front = (points[index] for index in deciding(segment))
        axis = front - back
        found.append(((moved - back) @ axis) / (axis @ axis))
    return np.array(found)


def slipped(found):
    """-1 backwards, 1 forwards, 0 neither, by the distance from each level's own normal."""
    beyond = found - NORMAL
    return np.where(beyond >= SLIP_FROM - 1e-6, 1, np.where(beyond <= -SLIP_FROM + 1e-6, -1, 0))


def box_of(points, segment, size):
    """Left, top, right, bottom within a film of `size` (height, width); NaN when a corner is unknown."""
    around = points[corners_around(segment)]
    height, width = size
    low = np.maximum(around.min(0), 0)
    high = np.minimum(around.max(0), [width - 1, height - 1])
    return np.array([*low, *high])


@dataclass(frozen=True)
class Segment:
    name: str
    box: np.ndarray
    direction: int
    offset: float


def segments_in_view(points, size):
    """Every segment whose deciding corners lie on the film, and none behind the blades, with its box and its slip."""
    height, width = size
    known = np.isfinite(points).all(-1)
    inside = ((points >= 0) & (points <= [width - 1, height - 1])).all(-1)
    found = offsets(points)
    direction = slipped(found)
    return [
        Segment(name, box_of(points, index, size), int(direction[index]), float(found[index]))
        for index, name in enumerate(SEGMENTS)
        if inside[deciding(index)].all() and known[corners_around(index)].all()
    ]
