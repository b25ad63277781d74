"""When not to answer: signals computed from the corners alone, the same formulas as in the service's postprocessing.

Each signal is one number; `operating-points.json` holds its limit. A film is refused when any limit is passed.
"""

import numpy as np

from ..phantoms.geometry import BODY, COUNTED, LUMBAR, PLATE


def signals(reading, shape):
    """`reading` as from FilmReader, `shape` the film's (rows, columns)."""
    points = reading.points
    lumbar = np.stack([points[BODY[level]] for level in LUMBAR])  # the levels above only help to count
    depth = (
        np.linalg.norm(lumbar[:, 1] - lumbar[:, 0], axis=1) + np.linalg.norm(lumbar[:, 2] - lumbar[:, 3], axis=1)
    ) / 2
    height = (
        np.linalg.norm(lumbar[:, 3] - lumbar[:, 0], axis=1) + np.linalg.norm(lumbar[:, 2] - lumbar[:, 1], axis=1)
    ) / 2
    typical = max(float(np.median(depth)), 1e-6)
    centres = np.concatenate([lumbar.mean(1), points[PLATE].mean(0, keepdims=True)])
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1) / typical
    return {
        "meanMass": float(reading.mass[COUNTED].mean()),
        "minBodyMass": float(min(reading.mass[BODY[level]].mean() for level in LUMBAR)),
        "s1Mass": float(reading.mass[PLATE].mean()),
        "levelCertainty": float(reading.levels.max()),
        "facingsApart": float(np.median(reading.apart[COUNTED]) / typical),
        "brokenBodies": int(sum(not well_formed(body) for body in lumbar)),
        "depthSpread": float(depth.max() / max(depth.min(), 1e-6)),
        "minHeightToDepth": float((height / np.maximum(depth, 1e-6)).min()),
        "maxHeightToDepth": float((height / np.maximum(depth, 1e-6)).max()),
        "minStep": float(steps.min()),
        "maxStep": float(steps.max()),
        "s1OutsideFilm": int(((points[PLATE] < 0) | (points[PLATE] > [shape[1] - 1, shape[0] - 1])).any()),
    }


def well_formed(body):
    """Convex, and turning the same way as the facing demands of every body: all four cross products of one sign."""
    edges = np.roll(body, -1, axis=0) - body
    following = np.roll(edges, -1, axis=0)
    cross = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
    return bool((cross > 0).all() or (cross < 0).all())


def refused(values, limits):
    """Names of the limits that a film passes; empty when it is accepted."""
    return [
        name
        for name, limit in limits.items()
        if ("min" in limit and values[name] < limit["min"]) or ("max" in limit and values[name] > limit["max"])
    ]
