"""Chooses the gate's weights on validation films, and keeps them in operating-points.json beside the slip thresholds."""

import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from ..phantoms.geometry import SLIP_LEVELS
from .gate import refused
from .readings import REPORTED, SEEDS, VALIDATION

PATH = Path(__file__).with_name("operating-points.json")
WELL_READ_MM = 4.0  # a film whose median corner error is below this counts as read
ASTRAY_MM = 6.0  # beyond this mean error some vertebra was missed
WRONG_MM = 12.0  # beyond this its levels are wrong

WEIGHED = ("missingMass", "levelDoubt", "facingsApart", "cornerSpread", "stepUnevenness")
NEVER = ("brokenBodies", "s1OutsideFilm")
REFUSED_OF_WELL_READ = 0.02
# What each kind of film weighs while fitting, however many there are of it.
IMPORTANCE = {"well": 1.0, "wrong": 0.8, "poor": 0.2, "negative": 0.3}
SHRINK = 0.02  # of squared weights
FURTHEST = 6.0  # excess beyond this many times the well-read films' own counts as this while fitting
ALONE = 2.0  # a signal this much further from the usual than on any well-read film refuses by itself
LEVEL_DOUBT = 0.2  # and so does this: names that one film in five would have wrong are no names


def kind_of(row):
    """How a validation phantom was read; None for those that say nothing about the gate."""
    middle, mean = np.nanmedian(row.error), np.nanmean(row.error)
    if middle >= WRONG_MM:
        return "wrong"
    if middle >= WELL_READ_MM or mean >= ASTRAY_MM:
        return "poor"
    return "well" if row.sacrum else None


def choose(rows, negatives):
    """The gate's rule: `usual`, the median of well-read films, and a `weight` for each signal; `never` for the rest.

    `rows` are validation phantoms, `negatives` the signals of real films that must be refused. Weights are those of a
    logistic regression between well-read films and all others, never negative, so that each signal can only add doubt;
    then all are scaled so that a small share of the well-read films is refused.
    """
    table = lambda some: np.array([[values[name] for name in WEIGHED] for values in some], float)
    groups = {kind: table([row.signals for row in rows if kind_of(row) == kind]) for kind in ("well", "wrong", "poor")}
    groups["negative"] = table(negatives)
    usual = np.median(groups["well"], axis=0)
    unit = np.quantile(groups["well"], 0.98, axis=0) - usual + 1e-3
    excess = {kind: np.maximum(values.reshape(-1, len(WEIGHED)) - usual, 0) for kind, values in groups.items()}
    fitted = logistic({kind: np.minimum(values / unit, FURTHEST) for kind, values in excess.items()}) / unit
    alone = 1 / (ALONE * excess["well"].max(axis=0) + 1e-3)
    certain = WEIGHED.index("levelDoubt")
    alone[certain] = max(alone[certain], 1 / LEVEL_DOUBT)
    scaled = lambda factor: np.maximum(fitted * factor, alone)
    share = lambda factor: float(np.mean(excess["well"] @ scaled(factor) > 1))
    low, high = 0.0, 100.0
    for _ in range(60):
        low, high = (low, (low + high) / 2) if share((low + high) / 2) > REFUSED_OF_WELL_READ else ((low + high) / 2, high)
    numbers = lambda values: {name: round(float(value), 4) for name, value in zip(WEIGHED, values, strict=True)}
    return {"usual": numbers(usual), "weight": numbers(scaled(low)), "never": list(NEVER)}


def logistic(groups):
    """Weights of at least zero that tell well-read films (first) from the others."""

    def loss(parameters):
        weight, limit = parameters[:-1], parameters[-1]
        total = SHRINK * float(weight @ weight)
        for kind, values in groups.items():
            if len(values):
                distance = (values @ weight - limit) * (1 if kind == "well" else -1)
                total += IMPORTANCE[kind] * float(np.logaddexp(0, distance).mean())
        return total

    start = np.append(np.ones(len(WEIGHED)), 2.0)
    found = minimize(loss, start, method="L-BFGS-B", bounds=[(0, None)] * len(WEIGHED) + [(None, None)])
    return found.x[:-1]


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
    """Keeps the slip thresholds, which are chosen for themselves, and replaces the gate's rule."""
    points = json.loads(PATH.read_text())
    points["chosenOn"] = {
        "kind": "synthetic films, and real films that must be refused",
        "films": films,
        "negatives": negatives,
        "firstSeeds": [SEEDS["validation"], SEEDS["severe"]],
        "generators": list(VALIDATION),
        "model": model,
        "generatorSha256": generator,
    }
    points["spreadScale"] = spread
    points["gate"] = {
        "formulas": FORMULAS,
        "rule": "doubt = sum of weight x max(0, signal - usual); refuse when doubt > 1 or a signal of `never` is above 0",
        "limits": limits,
    }
    PATH.write_text(json.dumps(points, indent=2) + "\n")


FORMULAS = {
    "typical": "median depth of L1..L5; depth = mean length of a body's two end plates",
    "missingMass": "1 - mean mass of the 22 landmarks from L1 to S1",
    "levelDoubt": "1 - largest of the three probabilities of `levels`",
    "facingsApart": "share of the 22 landmarks whose `apart` is above half of typical",
    "cornerSpread": "over L1..L5 the largest median of a body's four sqrt(varX + varY), / typical",
    "stepUnevenness": "1 - smallest / largest distance between neighbouring centres of L1..L5",
    "brokenBodies": "bodies L1..L5 whose corners, in order, are not convex (cross products of one sign)",
    "s1OutsideFilm": "1 when the middle of S1's end plate lies outside the film",
}
