"""Version F: the same spine seen from the front, a film that a lateral reader must refuse. It has no corners."""

import numpy as np

from .bones import direction, rotation, smooth_curve
from .canvas import fractal_noise, sigmoid, smooth_noise, smooth_profile
from .geometry import FROM_BELOW

# Width of a body in L3 depths, growing downwards.
WIDTH = {name: 1.52 - 0.065 * k for k, name in enumerate(FROM_BELOW)}


def draw(canvas, spine, rng):
    """Soft parts are added to the canvas, bones returned as a layer of their own."""
    height, width = canvas.y[-1, 0], canvas.x[0, -1]
    middle = width * rng.uniform(0.42, 0.58)
    draw_trunk(canvas, spine, middle, rng)
    soft, canvas.sum = canvas.sum, np.zeros(canvas.shape, np.float32)
    bone = rng.uniform(0.15, 0.6)
    edge = bone * rng.uniform(0.3, 1.0)
    lean = smooth_profile(rng, 64, rng.uniform(2, 4), rng.uniform(1, 16))
    path = lambda y: middle + np.interp(y, np.linspace(-50, height + 50, 64), lean)
    for name in FROM_BELOW:
        quad = spine.bodies[name]
        y = quad.mean(0)[1]
        if -40 < y < height + 40:
            turn = np.arctan((path(y + 15) - path(y - 15)) / 30)
            draw_vertebra(canvas, rng, np.array([path(y), y]), quad, name, turn, spine, bone, edge)
    draw_pelvis(
        canvas, rng, np.array([path(spine.sacrum[0].mean(0)[1]), spine.sacrum[0][2:].mean(0)[1]]), spine, bone, edge
    )
    canvas.blur(rng.uniform(0.2, 0.8))
    canvas.sum = np.clip(soft, 0, None) + canvas.sum * (
        1 + rng.uniform(0, 0.3) * fractal_noise(rng, canvas.shape, 30, 3)
    )


def draw_trunk(canvas, spine, middle, rng):
    hip = sigmoid((canvas.y - spine.sacrum[0].mean(0)[1] + 20) / 25)
    half = rng.uniform(120, 190) + smooth_profile(rng, canvas.shape[0], 4, 9)[:, None] + hip * rng.uniform(0, 35)
    across = np.abs(canvas.x - middle) / half
    canvas.sum += rng.uniform(2.0, 4.5) * np.sqrt(np.clip(1 - across ** rng.uniform(2, 4), 0, None))
    canvas.sum += fractal_noise(rng, canvas.shape, rng.uniform(4, 14), 5, 0.65) * rng.uniform(0.02, 0.1)
    top = spine.bodies["T12"].mean(0)[1]
    spread = np.clip(canvas.y - top, 0, None) * rng.uniform(0.08, 0.22) + 16
    canvas.sum += rng.uniform(0.05, 0.35) * sigmoid((spread - np.abs(canvas.x - middle)) / 2) * (canvas.y > top)
    for side in (-1, 1):  # lungs beside the spine above two domes
        dome = top + rng.normal(-25, 15) + ((canvas.x - middle - side * 80) / rng.uniform(55, 90)) ** 2 * 30
        canvas.sum -= (
            rng.uniform(0.4, 1.2) * sigmoid((dome - canvas.y) / 1.5) * sigmoid((np.abs(canvas.x - middle) - 28) / 6)
        )
    grain = fractal_noise(rng, canvas.shape, rng.uniform(6, 14), 5, 0.7) * sigmoid(
        smooth_noise(rng, canvas.shape, 4, 3)
    )
    canvas.sum -= rng.uniform(0.1, 0.5) * np.clip(grain - 0.2, 0, 2)


def draw_vertebra(canvas, rng, centre, quad, name, turn, spine, bone, edge):
    x = WIDTH[name] * 34.5 * spine.scale / 2 * rng.normal(1, 0.03)
    y = (np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1])) / 4
    open_by = np.linalg.norm(quad[1] - quad[0]) / 2 * abs(np.sin(direction(quad)))  # tilted plates show as ovals
    matrix = rotation(turn)
    place = lambda points: np.asarray(points, float) @ matrix.T + centre
    canvas.fill(place([(-x, -y), (x, -y), (x * 0.86, 0), (x, y), (-x, y), (-x * 0.86, 0)]), bone, soften=0.7)
    t = np.linspace(0, 2 * np.pi, 40)
    for side in (-1, 1):
        oval = np.stack([x * np.cos(t), side * y + open_by * np.sin(t)], 1)
        canvas.line(place(oval), rng.uniform(0.8, 1.6), edge * rng.uniform(0.3, 1), closed=True)
        canvas.line(place([(side * x, -y), (side * x * 0.86, 0), (side * x, y)]), 1.2, edge * 0.7)
        pedicle = place([(side * x * 0.62, -y * 0.3)])[0]
        found = canvas.ellipse_coordinates(pedicle, (rng.uniform(3, 5), rng.uniform(5, 8)), turn)
        if found is not None:
            where, distance = found
            canvas.sum[where] += (edge * np.exp(-(((np.sqrt(distance) - 0.9) / 0.2) ** 2))).astype(np.float32)
        reach = rng.uniform(16, 28) * spine.scale
        if name.startswith("L"):
            canvas.capsule(
                *place([(side * x * 0.8, -y * 0.2), (side * (x + reach), rng.normal(-2, 4))]), 4, bone * 0.4, 0.4
            )
        else:
            rib = place([(side * x, -y * 0.6), (side * (x + 38), y * 0.6), (side * (x + 85), y + rng.uniform(25, 60))])
            canvas.line(smooth_curve(rib), rng.uniform(7, 10), bone * 0.35, profile="wall")
        canvas.capsule(*place([(side * x * 0.45, y * 0.3), (side * x * 0.52, y * 1.5)]), 5, bone * 0.5, 0.4)
    canvas.capsule(*place([(0, y * 0.1), (rng.normal(0, 1), y * 1.2)]), rng.uniform(3.5, 5.5), bone * 0.8, 0.5)


def draw_pelvis(canvas, rng, top, spine, bone, edge):
    size = spine.scale * rng.normal(1, 0.06)
    sacrum = np.array([(-55, 0), (55, 0), (38, 55), (12, 100), (-12, 100), (-38, 55)]) * size + top
    canvas.fill(sacrum, bone * 0.8, soften=2)
    for side in (-1, 1):
        wing = np.array([(42, 10), (70, -34), (115, -42), (150, -4), (140, 60), (105, 105), (62, 92), (45, 52)], float)
        wing = (wing + rng.normal(0, 3, wing.shape)) * [side * size, size] + top
        curve = smooth_curve(np.vstack([wing, wing[:1]]), 80)
        canvas.fill(curve, bone * 0.8, soften=1)
        canvas.line(curve, 1.8, edge * 0.8)
        hip = top + np.array([side * 95, 150]) * size
        found = canvas.ellipse_coordinates(hip, np.array([24, 24]) * size, 0)
        if found is not None:
            where, distance = found
            canvas.sum[where] += (bone * 1.4 * np.sqrt(np.clip(1 - distance, 0, 1))).astype(np.float32)
        for row in range(3):  # sacral foramina
            hole = top + np.array([side * (24 - 4 * row), 26 + 20 * row]) * size
            canvas.capsule(hole, hole + [0, 4], 4.5 * size, -bone * 0.4, 0)
