"""Outlines of vertebral bodies drawn from the statistics of real ones (`outlines.json`)."""

import json
from functools import cache
from pathlib import Path

import numpy as np


@cache
def statistics():
    stored = json.loads(Path(__file__).with_name("outlines.json").read_text())
    return {
        "samples": stored["samples"],
        "deviations": np.array(stored["deviations"]),
        "components": np.array(stored["components"]),
        "means": {level: np.array(mean) for level, mean in stored["means"].items()},
    }


def draw_profile(level, rng, spread=1.0):
    """Distances of the four sides from their chords, (4, samples), in body depths."""
    known = statistics()
    mean = known["means"].get(level, known["means"]["T11" if level.startswith("T") else "L5"])
    scores = rng.standard_normal(len(known["deviations"])) * known["deviations"] * spread
    return (mean + scores @ known["components"]).reshape(4, known["samples"])


def outline_of(quad, profile, end_plates=1.0, walls=1.0):
    """Closed outline around four corners; end plates and walls may be flattened or deepened."""
    depth = (np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3])) / 2
    centre, points = quad.mean(0), []
    t = (np.arange(1, profile.shape[1] + 1) / (profile.shape[1] + 1))[:, None]
    for side, (start, end) in enumerate(((0, 1), (1, 2), (2, 3), (3, 0))):
        a, b = quad[start], quad[end]
        out = np.array([b[1] - a[1], a[0] - b[0]]) / max(np.linalg.norm(b - a), 1e-6)
        if out @ ((a + b) / 2 - centre) < 0:
            out = -out
        factor = end_plates if side in (0, 2) else walls
        points.append(a[None])
        points.append(a + (b - a) * t + out * (profile[side] * factor * depth)[:, None])
    return np.concatenate(points)
