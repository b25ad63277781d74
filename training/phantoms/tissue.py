"""Everything soft: body outline, muscle, lungs, bowel gas, arms, clothing, calcified vessels."""

import cv2
import numpy as np

from .canvas import fractal_noise, sigmoid, smooth_noise, smooth_profile
from .geometry import LEVELS


def column_of(canvas, spine):
    """x of the spine for each row of the film, in mm."""
    centres = sorted(
        (quad.mean(0)[1], quad.mean(0)[0]) for quad in [*spine.bodies.values(), spine.sacrum[0], spine.sacrum[2]]
    )
    y, x = zip(*centres)
    column = np.interp(canvas.y[:, 0], y, x).astype(np.float32)[:, None]
    return cv2.GaussianBlur(column, (1, 31), 12)


def draw_body(canvas, spine, rng, reach=(85, 230), hips=(-0.1, 0.3)):
    """An oval cross-section around the spine that changes from loin to hip, air in front and behind."""
    column = column_of(canvas, spine)
    height = canvas.y[-1, 0]
    bend = lambda low, high, amount: rng.uniform(low, high) + smooth_profile(rng, canvas.shape[0], 4, amount)[:, None]
    front, back = bend(*reach, 9), bend(58, 110, 6)
    hip = sigmoid((canvas.y - spine.sacrum[0].mean(0)[1] + rng.uniform(-30, 30)) / 25)
    back = back + hip * rng.uniform(-10, 35)
    # The belly follows the curve of the spine only in part.
    belly = column + (column.mean() - column) * rng.uniform(0.3, 1.1) + front
    reach = np.where(
        canvas.x < column, (column - canvas.x) / back, (canvas.x - column) / np.maximum(belly - column, 30)
    )
    power = rng.uniform(1.6, 4.5)
    thickness = rng.uniform(2.2, 5.5) * np.sqrt(np.clip(1.0 - np.clip(reach, 0, 1) ** power, 0, None))
    thickness *= 1 + rng.uniform(*hips) * hip
    canvas.sum += thickness
    canvas.sum += np.where(reach < 1, rng.uniform(-0.25, 0.6), 0) * (canvas.y / height)
    muscle = rng.uniform(0, 0.6) * np.exp(-(((canvas.x - column - rng.uniform(-12, 8)) / rng.uniform(22, 42)) ** 2))
    canvas.sum += muscle
    if rng.uniform() < 0.6:  # erector spinae end in a visible straight edge
        edge = column - rng.uniform(38, 60) + smooth_profile(rng, canvas.shape[0], 3, 4)[:, None]
        canvas.sum += rng.uniform(0.1, 0.5) * sigmoid((canvas.x - edge) / rng.uniform(1, 6)) * (reach < 1)
    canvas.sum += smooth_noise(rng, canvas.shape, 4, rng.uniform(0.05, 0.3)) + smooth_noise(
        rng, canvas.shape, 9, rng.uniform(0.03, 0.12)
    )
    canvas.sum += fractal_noise(rng, canvas.shape, rng.uniform(5, 20), 5, 0.7) * rng.uniform(0.005, 0.07)
    for _ in range(rng.integers(0, 4)):  # folds of skin and fat: a step across the body
        y0, slope = rng.uniform(0, height), rng.uniform(-0.4, 0.4)
        edge = y0 + slope * (canvas.x - column) + smooth_profile(rng, canvas.shape[1], 3, 5)[None]
        canvas.sum += rng.uniform(-0.3, 0.3) * sigmoid((canvas.y - edge) / rng.uniform(0.6, 6))
    return column


def draw_lungs(canvas, column, spine, rng):
    """One or two domes of the diaphragm, darker above; lung markings."""
    if rng.uniform() < 0.15:
        return
    top = spine.bodies["T12"].mean(0)[1] + rng.normal(-10, 25)
    middle = column.mean() + rng.uniform(10, 110)
    markings = fractal_noise(rng, canvas.shape, 8, 4, 0.8)
    for _ in range(2 if rng.uniform() < 0.75 else 1):
        dome = top + ((canvas.x - middle) / rng.uniform(45, 110)) ** 2 * rng.uniform(8, 30)
        dome = dome + smooth_profile(rng, canvas.shape[1], 3, 2)[None]
        lung = sigmoid((dome - canvas.y) / rng.uniform(0.7, 2.5))
        canvas.sum -= rng.uniform(0.15, 1.1) * lung * (1 + rng.uniform(0, 0.25) * markings)
        top += rng.uniform(4, 22)


def draw_gas(canvas, column, rng, style):
    """Mottled stool and gas in front of the spine, plus single bubbles; some lie over the bodies."""
    if rng.uniform() < 0.75:
        grain = fractal_noise(rng, canvas.shape, rng.uniform(8, 22), 4, rng.uniform(0.5, 0.95))
        where = smooth_noise(rng, canvas.shape, 3, 0.8) + rng.uniform(-0.3, 0.8)
        where = np.clip(where, 0, 1.3) * sigmoid((canvas.x - column - rng.uniform(-8, 40)) / rng.uniform(4, 14))
        if style == "shell":
            canvas.sum -= rng.uniform(0.1, 0.6) * where * np.abs(grain)
        else:
            canvas.sum -= (
                rng.uniform(0.1, 0.55)
                * where
                * np.clip(grain - rng.uniform(-0.3, 0.8), 0, 2.2) ** rng.uniform(0.6, 1.3)
            )
    height = canvas.y[-1, 0]
    for _ in range(rng.integers(0, 12)):
        centre = (column.mean() + rng.uniform(-5, 120), rng.uniform(0.05, 1.0) * height)
        radii = (rng.uniform(4, 22), rng.uniform(4, 15))
        found = canvas.ellipse_coordinates(centre, radii, rng.uniform(0, np.pi), 1.6)
        if found is None:
            continue
        where, distance = found
        uneven = 1 + smooth_noise(rng, distance.shape, 3, 0.3)
        bubble = (
            np.sqrt(np.clip(1 - distance * uneven, 0, 1))
            if rng.uniform() < 0.6
            else sigmoid((1 - distance * uneven) * 6)
        )
        canvas.sum[where] -= (rng.uniform(0.1, 0.7) * bubble).astype(np.float32)
    if rng.uniform() < 0.5:  # air in the rectum, behind the sacrum's front
        centre = (column[-1, 0] + rng.uniform(-15, 45), height * rng.uniform(0.8, 1.0))
        found = canvas.ellipse_coordinates(centre, (rng.uniform(10, 26), rng.uniform(8, 20)), rng.uniform(0, 3), 1.5)
        if found is not None:
            where, distance = found
            canvas.sum[where] -= (rng.uniform(0.2, 0.8) * sigmoid((1 - distance) * rng.uniform(3, 9))).astype(
                np.float32
            )


def draw_limbs(canvas, column, rng):
    """Arms, breasts and abdominal aprons that reach into the front of the film."""
    height = canvas.y[-1, 0]
    if rng.uniform() < 0.3:
        start = np.array([column.mean() + rng.uniform(20, 110), -30])
        end = start + [rng.uniform(40, 150), rng.uniform(80, 260)]
        for width, amount in (
            (rng.uniform(22, 45), rng.uniform(0.2, 0.9)),
            (rng.uniform(7, 11), rng.uniform(0.05, 0.4)),
        ):
            canvas.capsule(start, end, width, amount, 0.15)
    if rng.uniform() < 0.25:
        centre = (column.mean() + rng.uniform(80, 180), rng.uniform(0, 0.7) * height)
        found = canvas.ellipse_coordinates(centre, (rng.uniform(40, 90), rng.uniform(30, 80)), rng.uniform(0, 3), 1.1)
        if found is not None:
            where, distance = found
            canvas.sum[where] += (rng.uniform(0.1, 0.7) * np.sqrt(np.clip(1 - distance, 0, 1))).astype(np.float32)


def draw_vessels(canvas, spine, rng):
    if rng.uniform() > 0.3:
        return
    for _ in range(rng.integers(3, 14)):
        quad = spine.bodies.get(LEVELS[rng.integers(2, 8)])
        if quad is None:
            continue
        start = (quad[1] + quad[2]) / 2 + [rng.uniform(4, 18), rng.uniform(-14, 14)]
        canvas.capsule(
            start, start + [rng.uniform(-2, 2), rng.uniform(2, 9)], rng.uniform(0.5, 1.3), rng.uniform(0.05, 0.25), 0.2
        )


def draw_clothing(canvas, rng):
    """Seams, elastic bands, buttons, piercings, jewellery."""
    width, height = canvas.x[0, -1], canvas.y[-1, 0]
    if rng.uniform() < 0.15:
        y, slope = rng.uniform(0.3, 1) * height, rng.uniform(-0.2, 0.2)
        for k in range(rng.integers(1, 5)):
            canvas.line(
                [[0, y + 4 * k], [width, y + 4 * k + slope * width]], rng.uniform(0.6, 2), rng.uniform(0.02, 0.25)
            )
    if rng.uniform() < 0.1:
        x, y = rng.uniform(0, 1, 2) * [width, height]
        for k in range(rng.integers(1, 6)):
            found = canvas.ellipse_coordinates((x + rng.normal(0, 2), y + 28 * k), (4.5, 4.5), 0)
            if found is not None:
                where, distance = found
                canvas.sum[where] += (
                    rng.uniform(0.1, 1.5) * ((distance < 1) & (distance > rng.uniform(0, 0.6)))
                ).astype(np.float32)
