"""The slip of a level from two measurements of it, joined: the same formulas as in the pack's slip.ts.

The corners say how far the lower back corner of the upper body stands along the end plate below; the slip branch says
what it sees of the segment as a whole. Each counts by its variance. Where they lie further apart than both variances
allow, what is beyond is added to both (random effects after DerSimonian and Laird, for two): they count more alike, and
the answer is less sure.
"""

from dataclasses import dataclass

import numpy as np

from ..lumbar_landmarks.seal_pack import slip, variance
from .segments import SEGMENTS, counted, deciding

# In lengths of the end plate: a level with a corner nearer to the film's edge counts as not seen. Where S1 is cut off, its
# corner is found just inside: on 450 validation films this takes away two in three of such levels, and 1 % of the others.
EDGE = 0.15


@dataclass(frozen=True)
class Steps:
    """In percent of the lower end plate, levels last; NaN where a level counts as not seen."""

    back: np.ndarray  # by the corners
    deviation: np.ndarray  # of `back`, scaled to what its errors on validation films were
    front: np.ndarray  # by the corners at the front; as `back` where that corner is off the film
    seen: np.ndarray  # by the branch
    seen_deviation: np.ndarray  # as the branch states it


def steps_of(reading, shape, variance_scale):
    """The five levels of one film of `shape` (rows, columns), read by FilmReader."""
    points, covariance = counted(reading.points), reading.covariance[-len(counted(reading.points)) :]
    room = np.minimum(points, [shape[1] - 1, shape[0] - 1] - points).min(1)
    found = np.full((5, len(SEGMENTS)), np.nan)
    for segment in range(len(SEGMENTS)):
        corners = deciding(segment)
        plate = np.linalg.norm(points[corners[2]] - points[corners[1]])
        if room[corners].min() < EDGE * plate:
            continue
        back = slip(points[corners])
        deviation = variance(slip, points[corners], covariance[corners] * variance_scale) ** 0.5
        at_front = corners[0] + 1
        front = slip(points[[at_front, *corners[1:]]]) - 100 if room[at_front] >= 0 else back
        step, spread, _ = reading.slips[segment]
        found[:, segment] = back, deviation, front, 100 * step, 100 * spread
    return Steps(*found)


def joined(steps, seen_scale):
    """The slip in percent, its standard deviation, and the share that the corners have in it."""
    own, seen = steps.deviation**2, (seen_scale * steps.seen_deviation) ** 2
    beyond = np.maximum(0, ((steps.back - steps.seen) ** 2 - own - seen) / 2)
    weight, seen_weight = 1 / (own + beyond), 1 / (seen + beyond)
    share = weight / (weight + seen_weight)
    return share * steps.back + (1 - share) * steps.seen, (weight + seen_weight) ** -0.5, share
