"""Chooses the gate's limits on validation films, and keeps them in operating-points.json beside the slip thresholds."""

import json
from pathlib import Path

import numpy as np

from ..phantoms.geometry import SLIP_LEVELS
from .gate import refused
from .readings import REPORTED, SEEDS, VALIDATION

PATH = Path(__file__).with_name("operating-points.json")
WELL_READ_MM = 4.0  # a film whose median corner error is below this counts as read
WRONG_MM = 12.0  # beyond this its levels are wrong


GEOMETRY = ("depthSpread", "maxHeightToDepth", "maxStep")
LEAST = ("meanMass", "minBodyMass", "s1Mass", "levelCertainty", "minHeightToDepth", "minStep")
MOST = ("facingsApart", *GEOMETRY)
FIXED = {"brokenBodies": {"max": 0}, "s1OutsideFilm": {"max": 0}}
SLACK = 0.05  # limits are moved outwards by this share: a hundred films show too little of a tail
REFUSED_AT_MOST = 0.015  # of well-read films
SHARES = (0.01, 0.007, 0.005, 0.003, 0.002, 0.001, 0.0)


def choose(rows, negatives, certainty):
    """The gate's limits: few signals, which let nearly all well-read laterals pass and stop what must be stopped.

    `rows` are validation phantoms, `negatives` the signals of real films that must be refused. Each signal's limit is a
    quantile of well-read films, the strictest at which all signals together refuse few of those; then signals of
    sureness without which no more gets through are left out. Proportions stay: what is wrong in another way than on
    these films shows in them.
    """
    good = [row.signals for row in rows if row.complete and np.nanmedian(row.error) < WELL_READ_MM]
    bad = [*negatives, *(row.signals for row in rows if np.nanmedian(row.error) >= WRONG_MM)]
    for share in SHARES:
        limits = limits_at(good, share, certainty)
        if np.mean([bool(refused(values, limits)) for values in good]) <= REFUSED_AT_MOST:
            break
    passed = lambda kept: sum(not refused(values, kept) for values in bad)
    for name in ("s1Mass", "minBodyMass"):
        fewer = {other: limit for other, limit in limits.items() if other != name}
        if passed(fewer) <= passed(limits):
            limits = fewer
    return limits


def limits_at(good, share, certainty):
    least = lambda name: {"min": round(float(np.quantile([values[name] for values in good], share)) * (1 - SLACK), 4)}
    most = lambda name: {"max": round(float(np.quantile([values[name] for values in good], 1 - share)) * (1 + SLACK), 4)}
    return {
        **{name: least(name) for name in LEAST},
        "levelCertainty": {"min": certainty},
        **{name: most(name) for name in MOST},
        **FIXED,
    }


def load():
    points = json.loads(PATH.read_text())
    thresholds = [points["slip"]["thresholdAboveNormal"][name] for name in SLIP_LEVELS[REPORTED]]
    return np.array(thresholds), points["gate"]["limits"], points.get("spreadScale", 1.0)


def spread_scale(rows, limits):
    """What the stated covariances are multiplied by, so that 95 % of the corners lie in the 95 % ellipse, on accepted
    films read on the right level: a level off is what `levels` tells of."""
    read = [row for row in rows if not refused(row.signals, limits) and np.nanmedian(row.error) < WELL_READ_MM]
    squared = np.concatenate([row.stated[np.isfinite(row.stated)] for row in read])
    return round(float(np.quantile(squared, 0.95) / 5.991465), 4)


def write(limits, spread, model, generator, films, negatives):
    """Keeps the slip thresholds, which are chosen for themselves, and replaces the gate's limits."""
    points = json.loads(PATH.read_text())
    points["chosenOn"] = {
        "kind": "synthetic films, and real films that must be refused",
        "films": films,
        "negatives": negatives,
        "firstSeed": SEEDS["validation"],
        "generators": list(VALIDATION),
        "model": model,
        "generatorSha256": generator,
    }
    points["spreadScale"] = spread
    points["gate"] = {
        "formulas": {name: text for name, text in FORMULAS.items() if name == "typical" or name in limits},
        "rule": "refuse when any signal is below its min or above its max",
        "limits": limits,
    }
    PATH.write_text(json.dumps(points, indent=2) + "\n")


FORMULAS = {
    "typical": "median depth of L1..L5; depth = mean length of a body's two end plates, height = of its two walls",
    "meanMass": "mean mass of the 22 landmarks from L1 to S1",
    "minBodyMass": "smallest of the five lumbar bodies' mean masses",
    "s1Mass": "mean mass of S1's two corners",
    "levelCertainty": "largest of the three probabilities of `levels`",
    "facingsApart": "median over L1..S1 of `apart` / typical",
    "brokenBodies": "bodies L1..L5 whose corners, in order, are not convex (cross products of one sign)",
    "depthSpread": "largest depth / smallest depth of L1..L5",
    "minHeightToDepth": "smallest height / depth",
    "maxHeightToDepth": "largest height / depth",
    "minStep": "smallest distance between neighbouring centres L1..L5, middle of S1's end plate, / typical",
    "maxStep": "largest such distance",
    "s1OutsideFilm": "1 when a corner of S1 lies outside the film",
}
