"""Generator D's chest and belly: lungs with vessels, domes of the diaphragm, gas with levels, planes of fat."""

import numpy as np

from .bones import smooth_curve
from .canvas import fractal_noise, sigmoid, smooth_profile


def draw_chest(canvas, column, spine, rng):
    """Returns nothing; a lung above each dome, darker than the belly, crossed by vessels."""
    if rng.uniform() < 0.08:
        return
    crossing = spine.bodies["T12"].mean(0)[1] + rng.normal(-4, 24)  # where the domes cross the spine
    if crossing < -5:
        return
    markings = fractal_noise(rng, canvas.shape, rng.uniform(10, 24), 4, 0.75)
    depth = rng.uniform(0.25, 1.3)
    for _ in range(2):
        middle = column.mean() + rng.uniform(45, 110)
        height = rng.uniform(15, 60)
        reach = max(middle - column.mean(), 25) * rng.uniform(1.0, 1.6)
        away = np.abs(canvas.x - middle) / reach
        dome = crossing - height * (1 - np.clip(away, 0, 1.6) ** rng.uniform(1.8, 2.8))
        dome = dome + smooth_profile(rng, canvas.shape[1], 3, 2)[None]
        lung = sigmoid((dome - canvas.y) / rng.uniform(0.5, 1.6))
        canvas.sum -= depth * rng.uniform(0.35, 0.6) * lung * (1 + rng.uniform(0.0, 0.2) * markings)
        vessels = np.zeros_like(canvas.sum)
        canvas.sum, kept = vessels, canvas.sum
        for _ in range(rng.integers(0, 16)):
            draw_vessel(canvas, rng, column.mean() + rng.uniform(10, 130), crossing - rng.uniform(10, 190))
        canvas.sum = kept + vessels * lung * depth * rng.uniform(0.1, 0.5)
        crossing += rng.uniform(2, 20)


def draw_vessel(canvas, rng, x, y):
    point, heading = np.array([x, y]), rng.uniform(0, 2 * np.pi)
    points = [point]
    for _ in range(rng.integers(3, 8)):
        points.append(points[-1] + rng.uniform(5, 14) * np.array([np.cos(heading), np.sin(heading)]))
        heading += rng.normal(0, 0.3)
    canvas.line(smooth_curve(points, 24), rng.uniform(0.8, 4), rng.uniform(0.2, 1))


def draw_stomach(canvas, column, spine, rng):
    """Gas under the left dome, often with a level; loops of bowel with walls."""
    if rng.uniform() < 0.45:
        top = spine.bodies["T12"].mean(0)[1] - rng.uniform(-20, 40)
        centre = np.array([column.mean() + rng.uniform(20, 95), top + rng.uniform(0, 40)])
        found = canvas.ellipse_coordinates(centre, (rng.uniform(14, 42), rng.uniform(8, 24)), rng.normal(0, 0.3), 1.3)
        if found is not None:
            where, distance = found
            gas = sigmoid((1 - distance) * rng.uniform(4, 14))
            if rng.uniform() < 0.5:  # a level: standing patient
                gas = gas * sigmoid((centre[1] + rng.uniform(-5, 8) - canvas.y[where[0]]) / 0.8)
            canvas.sum[where] -= (rng.uniform(0.15, 0.8) * gas).astype(np.float32)
    for _ in range(rng.integers(0, 7)):  # loops
        start = np.array([column.mean() + rng.uniform(0, 120), rng.uniform(0.3, 1.0) * canvas.y[-1, 0]])
        heading, points = rng.uniform(0, 2 * np.pi), [start]
        for _ in range(rng.integers(2, 6)):
            points.append(points[-1] + rng.uniform(8, 18) * np.array([np.cos(heading), np.sin(heading)]))
            heading += rng.normal(0, 0.7)
        canvas.line(smooth_curve(points, 24), rng.uniform(8, 26), -rng.uniform(0.05, 0.45))


def draw_fat_planes(canvas, column, spine, rng):
    """Stripes of fat between muscles and organs: psoas, kidney, the skin's layer, the line before the spine."""
    centres = np.array([quad.mean(0) for quad in spine.bodies.values()])
    order = centres[:, 1].argsort()
    for _ in range(rng.integers(2, 9)):
        aside = rng.uniform(-65, 110)
        y = np.linspace(-20, canvas.y[-1, 0] + 20, 9)
        x = np.interp(y, centres[order, 1], centres[order, 0]) + aside + np.cumsum(rng.normal(0, 6, 9))
        points = np.stack([x, y], 1)[rng.integers(0, 4) : rng.integers(5, 10)]
        if len(points) > 2:
            canvas.line(smooth_curve(points, 50), rng.uniform(1, 7), rng.normal(0, 0.06))
