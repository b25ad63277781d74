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


def outline_parts(quad, profile):
    """The outline with straight end plates, and what end plates add to it, both (n, 2): their sum is the outline."""
    depth = (np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3])) / 2
    t = np.arange(profile.shape[1] + 1) / (profile.shape[1] + 1)
    ends = quad[[1, 2, 3, 0]]
    straight = quad[:, None] + (ends - quad)[:, None] * t[None, :, None]
    out = (ends - quad)[:, ::-1] * [1, -1]
    out = out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
    inward = (out * ((quad + ends) / 2 - quad.mean(0))).sum(1) < 0
    out[inward] *= -1
    away = np.zeros_like(straight)
    away[:, 1:] = out[:, None] * (profile * depth)[..., None]
    walls, plates = away.copy(), away.copy()
    walls[[0, 2]] = 0
    plates[[1, 3]] = 0
    return (straight + walls).reshape(-1, 2), plates.reshape(-1, 2)
