"""Chooses slip thresholds and the gate's limits on validation phantoms, and keeps them in operating-points.json."""

import json
from pathlib import Path

import numpy as np

from ..phantoms.geometry import NORMAL_OFFSET, SLIP_LEVELS
from .readings import NORMAL, REPORTED, SEEDS

PATH = Path(__file__).with_name("operating-points.json")
WELL_READ_MM = 4.0  # a film whose median corner error is below this counts as read


def choose(rows):
    """Thresholds with the best F1 per level; limits that few well-read laterals pass.

    Only well-read films count for the limits: the gate shall let those through and stop the others.
    """
    candidates = np.arange(0.06, 0.0951, 0.0025)
    thresholds = []
    for level in range(5):
        found = np.array([f1_at_level(rows, level, value) for value in candidates])
        best = np.flatnonzero(found >= found.max() - 1e-9)
        thresholds.append(float(candidates[best[len(best) // 2]]))
    good = [row.signals for row in rows if row.complete and np.nanmedian(row.error) < WELL_READ_MM]

    def least(name, share):
        return {"min": round(float(np.quantile([s[name] for s in good], share)), 4)}

    def most(name, share):
        return {"max": round(float(np.quantile([s[name] for s in good], 1 - share)), 4)}

    limits = {
        "meanPeak": least("meanPeak", 0.01),
        "minBodyPeak": least("minBodyPeak", 0.01),
        "s1Peak": least("s1Peak", 0.01),
        "mirrorDisagreement": {"max": 0.2},
        "brokenBodies": {"max": 0},
        "depthSpread": most("depthSpread", 0.01),
        "minHeightToDepth": least("minHeightToDepth", 0.01),
        "maxHeightToDepth": most("maxHeightToDepth", 0.01),
        "minStep": least("minStep", 0.01),
        "maxStep": most("maxStep", 0.01),
        "s1OutsideFilm": {"max": 0},
    }
    return np.array(thresholds), limits


def f1_at_level(rows, level, threshold):
    hit = false = missed = 0
    for row in rows:
        if row.seen[level]:
            slipped, called = row.slipped[level], row.read[level] - NORMAL[level] >= threshold
            hit += slipped and called
            false += called and not slipped
            missed += slipped and not called
    return 2 * hit / max(2 * hit + false + missed, 1)


def load():
    points = json.loads(PATH.read_text())
    thresholds = [points["slip"]["thresholdAboveNormal"][name] for name in SLIP_LEVELS[REPORTED]]
    return np.array(thresholds), points["gate"]["limits"]


def write(thresholds, limits, model, generator, count):
    points = {
        "chosenOn": {
            "kind": "synthetic",
            "films": count,
            "firstSeed": SEEDS["validation"],
            "generators": ["A", "B"],
            "model": model,
            "generatorSha256": generator,
        },
        "slip": {
            "definition": "offset = dot(upper.posteriorInferior - lower.posteriorSuperior, axis) / |axis|^2 with axis = "
            "lower.anteriorSuperior - lower.posteriorSuperior (S1's end plate for L5); forwards positive; a level is "
            "called when offset - normalOffset >= thresholdAboveNormal",
            "normalOffset": {name: NORMAL_OFFSET[name][0] for name in SLIP_LEVELS},
            "normalDeviation": {name: NORMAL_OFFSET[name][1] for name in SLIP_LEVELS},
            "thresholdAboveNormal": {
                name: round(value, 4) for name, value in zip(SLIP_LEVELS[REPORTED], thresholds.tolist(), strict=True)
            },
            "meyerding": "grade by |offset|: I <= 0.25, II <= 0.50, III <= 0.75, IV <= 1.00, V above",
        },
        "gate": {
            "formulas": FORMULAS,
            "rule": "refuse when any signal is below its min or above its max",
            "limits": limits,
        },
    }
    PATH.write_text(json.dumps(points, indent=2) + "\n")


FORMULAS = {
    "typical": "median depth of L1..L5; depth = mean length of a body's two end plates, height = of its two walls",
    "meanPeak": "mean peak of the 22 landmarks from L1 to S1, kept run",
    "minBodyPeak": "smallest of the five bodies' mean peaks",
    "s1Peak": "mean peak of S1's two corners",
    "mirrorDisagreement": "median over L1..S1 of the distance between the kept and the other run's corner "
    "(un-mirrored) / typical",
    "brokenBodies": "bodies L1..L5 whose corners, in order, are not convex (cross products of one sign)",
    "depthSpread": "largest depth / smallest depth of L1..L5",
    "minHeightToDepth": "smallest height / depth",
    "maxHeightToDepth": "largest height / depth",
    "minStep": "smallest distance between neighbouring centres L1..L5, middle of S1's end plate, / typical",
    "maxStep": "largest such distance",
    "s1OutsideFilm": "1 when a corner of S1 lies outside the film",
}
