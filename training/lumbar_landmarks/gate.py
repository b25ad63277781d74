"""When not to answer: signals computed from the answer alone, the same formulas as in the service's postprocessing.

What can only be wrong (`never`) refuses a film by itself. Everything else adds up: each signal's excess over what is
usual on well-read films, times its weight, is a share of doubt, and a film is refused when its doubt exceeds 1. A crushed
or a slipped body is no reason in itself; corners that the net is unsure of are.
"""

import numpy as np

from ..phantoms.geometry import BODY, COUNTED, LUMBAR, PLATE

FAR_APART = 0.5  # of a body's depth: the film and its mirror image show another vertebra there


def signals(reading, shape):
    """`reading` as from FilmReader, `shape` the film's (rows, columns)."""
    points = reading.points
    lumbar = np.stack([points[BODY[level]] for level in LUMBAR])  # the levels above only help to count
    depth = (
        np.linalg.norm(lumbar[:, 1] - lumbar[:, 0], axis=1) + np.linalg.norm(lumbar[:, 2] - lumbar[:, 3], axis=1)
    ) / 2
    typical = max(float(np.median(depth)), 1e-6)
    steps = np.linalg.norm(np.diff(lumbar.mean(1), axis=0), axis=1)
    spread = np.sqrt(np.maximum(reading.covariance[:, 0] + reading.covariance[:, 1], 0))
    sacrum = points[PLATE].mean(0)
    return {
        "missingMass": float(1 - reading.mass[COUNTED].mean()),
        "levelDoubt": float(1 - reading.levels.max()),
        "facingsApart": float((reading.apart[COUNTED] > FAR_APART * typical).mean()),
        "cornerSpread": float(max(np.median(spread[BODY[level]]) for level in LUMBAR) / typical),
        "stepUnevenness": float(1 - steps.min() / max(steps.max(), 1e-6)),
        "brokenBodies": int(sum(not well_formed(body) for body in lumbar)),
        "s1OutsideFilm": int(((sacrum < 0) | (sacrum > [shape[1] - 1, shape[0] - 1])).any()),
    }


def well_formed(body):
    """Convex, and turning the same way as the facing demands of every body: all four cross products of one sign."""
    edges = np.roll(body, -1, axis=0) - body
    following = np.roll(edges, -1, axis=0)
    cross = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
    return bool((cross > 0).all() or (cross < 0).all())


def shares(values, limits):
    """How much doubt each signal adds."""
    return {
        name: weight * max(0.0, values[name] - limits["usual"][name]) for name, weight in limits["weight"].items()
    }


def refused(values, limits):
    """Why a film is refused, what weighs most first; empty when it is accepted."""
    never = [name for name in limits["never"] if values[name] > 0]
    doubt = shares(values, limits)
    if not never and sum(doubt.values()) <= 1:
        return []
    return never or [name for name in sorted(doubt, key=doubt.get, reverse=True) if doubt[name] > 0]
