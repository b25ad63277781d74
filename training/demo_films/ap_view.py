"""A lumbar film from the front, to test that a lateral reader refuses it."""

import numpy as np

from ..phantoms import detector
from ..phantoms.bones import smooth_curve
from ..phantoms.canvas import Canvas, fractal_noise, sigmoid, smooth_noise


def render_ap(seed, height=1500, width=1080, film_height=400):
    rng = np.random.default_rng([seed, 65])
    canvas = Canvas((height, width), film_height / height)
    middle = canvas.x.mean()
    across = (canvas.x - middle) / rng.uniform(150, 185)
    canvas.sum += 3.2 * np.sqrt(np.clip(1 - np.abs(across) ** 2.5, 0, None))
    canvas.sum += fractal_noise(rng, canvas.shape, 4, 6, 0.6) * 0.07
    spread = np.clip(canvas.y - 60, 0, None) * 0.24 + 14
    canvas.sum += 0.3 * sigmoid((spread - np.abs(canvas.x - middle)) / 2)  # the psoas on either side
    grain = fractal_noise(rng, canvas.shape, 9, 5, 0.7) * sigmoid(smooth_noise(rng, canvas.shape, 4, 3))
    canvas.sum -= 0.35 * np.clip(grain - 0.2, 0, 2) * sigmoid((np.abs(canvas.x - middle) - 30) / 8)
    soft, canvas.sum = canvas.sum, np.zeros(canvas.shape, np.float32)
    top, wide = 18.0, 40.0
    for number in range(8):
        tall, wide = 25 + number * 0.9, 38 + number * 2.2
        draw_vertebra(canvas, rng, np.array([middle + rng.normal(0, 1), top + tall / 2]), wide, tall, ribs=number < 3)
        top += tall + 6 + number * 0.5
    draw_pelvis_ap(canvas, rng, middle, top)
    canvas.blur(0.4)
    film = detector.expose(np.clip(soft, 0, None) + canvas.sum, canvas.pixel, rng, (4.8, 5.2))
    film = film + 0.6 * (film - detector.wide_blur(film, 12, canvas.pixel))
    low, high = np.percentile(film[::3, ::3], [1, 99.8])
    return np.clip((film - low) / (high - low), 0, 1).astype(np.float32), canvas.pixel


def draw_vertebra(canvas, rng, centre, wide, tall, ribs):
    x, y = wide / 2, tall / 2
    waist = 0.86
    body = np.array([(-x, -y), (x, -y), (x * waist, 0), (x, y), (-x, y), (-x * waist, 0)]) + centre
    canvas.fill(body, 0.45, soften=0.6)
    for side in (-1, 1):
        canvas.line([centre + [-x, side * y], centre + [x, side * y]], 1.4, 0.3)
        canvas.line([centre + [side * x, -y], centre + [side * x * waist, 0], centre + [side * x, y]], 1.2, 0.25)
        found = canvas.ellipse_coordinates(centre + [side * x * 0.62, -y * 0.25], (4.2, 6.5), 0)
        if found is not None:
            where, distance = found
            canvas.sum[where] += (0.35 * np.exp(-(((np.sqrt(distance) - 0.9) / 0.2) ** 2))).astype(np.float32)
        canvas.capsule(
            centre + [side * x * 0.8, -y * 0.1],
            centre + [side * (x + rng.uniform(18, 26)), rng.uniform(-4, 4)],
            4,
            0.16,
            0.4,
        )
        canvas.capsule(centre + [side * x * 0.45, y * 0.3], centre + [side * x * 0.5, y * 1.5], 5, 0.2, 0.4)
        if ribs:
            points = [centre + [side * x, -y * 0.6], centre + [side * (x + 40), y], centre + [side * (x + 85), y + 45]]
            canvas.line(smooth_curve(points), 8, 0.14, profile="wall")
    canvas.capsule(centre + [0, y * 0.2], centre + [0, y * 1.1], 4.5, 0.35, 0.5)


def draw_pelvis_ap(canvas, rng, middle, top):
    sacrum = np.array([(-55, 0), (55, 0), (38, 55), (12, 105), (-12, 105), (-38, 55)], float) + [middle, top - 8]
    canvas.fill(sacrum, 0.4, soften=2)
    for side in (-1, 1):
        wing = np.array([(42, 10), (70, -38), (115, -45), (150, -5), (140, 60), (100, 110), (60, 95), (45, 55)]) * [
            side,
            1,
        ]
        canvas.fill(smooth_curve(np.vstack([wing, wing[:1]]) + [middle, top], 80), 0.4, soften=1)
        canvas.line(smooth_curve(np.vstack([wing, wing[:1]]) + [middle, top], 80), 1.8, 0.25)
