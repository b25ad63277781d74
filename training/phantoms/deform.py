"""Bends a CT's spine in space: fractures, slips and other curves of one patient, with every corner carried along.

A deformation acts on points (u, v) of one sagittal plane, x to the front and y downwards in mm, at a distance `aside`
from the spine's middle plane. Each acts on one level and moves everything above it as one piece; they are applied from
the highest level down, so that each finds its own level still in place.
"""

from dataclasses import dataclass

import numpy as np


def smooth(t):
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Axes:
    """A level's own frame: `origin` on the lower plane of what is deformed, forwards and upwards in mm."""

    origin: np.ndarray
    forward: np.ndarray
    up: np.ndarray

    def local(self, points):
        away = points - self.origin
        return away @ self.forward, away @ self.up

    def moved(self, points, forwards, upwards):
        return points + forwards[:, None] * self.forward + upwards[:, None] * self.up


def axes_on(back, front):
    forward = (front - back) / np.linalg.norm(front - back)
    return Axes(back, forward, np.array([forward[1], -forward[0]]))


def fracture(quad, kind, loss, bulge, disc, rng):
    """A body loses height: `loss` at its front, less or nothing at its back, by kind."""
    axes = axes_on(quad[0], quad[1])
    depth = np.linalg.norm(quad[1] - quad[0])
    rear = {"wedge": 0.0, "biconcave": 0.0, "crush": rng.uniform(0.5, 0.9), "burst": rng.uniform(0.35, 0.8)}[kind]
    front = 0.0 if kind == "biconcave" else 1.0
    height_at = lambda u: np.interp(u, [0, depth], [(quad[3] - quad[0]) @ axes.up, (quad[2] - quad[0]) @ axes.up])
    width, whole = rng.uniform(16, 24), loss * (0.45 if kind == "biconcave" else (rear + front) / 2.2)

    def act(points, aside):
        u, v = axes.local(points)
        t = np.clip(u / depth, 0, 1)
        middle = np.exp(-((aside / width) ** 4))
        lost = loss * (rear + (front - rear) * t)
        dent = loss * 4 * t * (1 - t)
        if kind == "biconcave":
            lost = lost + dent
        elif kind in ("wedge", "crush"):
            lost = lost + 0.15 * dent
        lost = whole * (1 - middle) + lost * middle
        behind = smooth((u + 14) / 12)  # the arch is not broken: behind the body the column only sinks
        lost = whole * (1 - behind) + lost * behind
        height = np.maximum(height_at(u), 4)
        within = np.clip(v / height, 0, 1)
        above = smooth((v - height) / max(disc, 5))
        down = height * (lost * within * (1 - above) + whole * within * above)
        into_canal = bulge * middle * np.exp(-((u / 7) ** 2)) * np.exp(-(((v - 0.75 * height) / (0.35 * height)) ** 2))
        return axes.moved(points, -into_canal, -down)

    return act


def slip(below, above, amount):
    """Everything from `above` upwards moves forwards along the end plate below it by `amount` mm."""
    axes = axes_on(below[3], below[2])
    disc = max(float((above[[0, 1]].mean(0) - below[[2, 3]].mean(0)) @ axes.up), 3.0)

    def act(points, aside):
        u, v = axes.local(points)
        share = smooth(v / disc)
        return axes.moved(points, amount * share, np.zeros_like(u))

    return act


def bend(below, above, angle):
    """Everything above a disc turns about the disc's middle."""
    axes = axes_on(below[3], below[2])
    pivot = (below[[2, 3]].mean(0) + above[[0, 1]].mean(0)) / 2
    disc = max(float((above[[0, 1]].mean(0) - below[[2, 3]].mean(0)) @ axes.up), 4.0)

    def act(points, aside):
        _, v = axes.local(points)
        turn = angle * smooth((v + 2) / (disc + 4))
        away, c, s = points - pivot, np.cos(turn), np.sin(turn)
        return pivot + np.stack([c * away[:, 0] - s * away[:, 1], s * away[:, 0] + c * away[:, 1]], 1)

    return act


def forwards(acts, points, aside=0.0):
    """`acts` from the highest level down."""
    for act in acts:
        points = act(points, aside)
    return points


def backwards(acts, points, aside=0.0, rounds=16):
    """Where points of the deformed plane came from, by fixed-point rounds (`check` holds the result to 0.25 mm)."""
    for act in reversed(acts):
        start = points
        for _ in range(rounds):
            start = start + (points - act(start, aside)) * 0.8
        points = start
    return points
