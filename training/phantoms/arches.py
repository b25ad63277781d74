"""Generator D's posterior elements: pedicles, articular processes, laminae and spinous processes as closed shapes.

Where two neighbours' shapes leave a gap, the intervertebral foramen shows as the dark keyhole known from real films.
"""

import numpy as np

from .bones import direction, smooth_curve
from .geometry import along, upward

# (backwards from the posterior wall, upwards from the lower end plate), both in body depths.
LUMBAR_ARCH = np.array(
    [
        (-0.04, 0.84),
        (0.16, 0.80),
        (0.30, 0.88),
        (0.36, 1.08),
        (0.45, 1.18),
        (0.55, 1.08),
        (0.58, 0.82),
        (0.60, 0.55),
        (0.68, 0.25),
        (0.72, -0.05),
        (0.67, -0.28),
        (0.56, -0.33),
        (0.49, -0.18),
        (0.46, 0.08),
        (0.40, 0.32),
        (0.27, 0.41),
        (0.12, 0.45),
        (-0.04, 0.38),
    ]
)
LUMBAR_SPINE = np.array(
    [(0.58, 0.42), (0.85, 0.36), (1.2, 0.16), (1.36, -0.02), (1.36, -0.22), (1.2, -0.3), (0.92, -0.14), (0.66, -0.02)]
)
THORACIC_ARCH = np.array(
    [
        (-0.04, 0.84),
        (0.18, 0.82),
        (0.28, 0.9),
        (0.33, 1.06),
        (0.40, 1.10),
        (0.47, 0.92),
        (0.52, 0.6),
        (0.57, 0.2),
        (0.54, -0.10),
        (0.45, -0.13),
        (0.38, 0.15),
        (0.28, 0.44),
        (0.12, 0.5),
        (-0.04, 0.44),
    ]
)
THORACIC_SPINE = np.array(
    [(0.5, 0.5), (0.78, 0.15), (1.1, -0.4), (1.26, -0.75), (1.16, -0.86), (0.92, -0.55), (0.6, -0.05)]
)


def placed(quad, shape, upright, size):
    """From body depths to mm on the film; `upright` turns the arch a little against its body."""
    angle = direction(quad) + upright
    depth = (np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3])) / 2
    back, up = -along(angle), upward(angle)
    tall = np.linalg.norm(quad[3] - quad[0]) / (0.85 * depth)  # the arch of a crushed body keeps its own height
    middle = (quad[0] + quad[3]) / 2 - up * 0.425 * depth * min(1.0, 0.4 + 0.6 * tall)
    return middle + (np.outer(shape[:, 0], back) + np.outer(shape[:, 1], up)) * depth * size


def draw_arch(canvas, quad, rng, look, thoracic, gap=0.0):
    """`gap` (body depths): a broken isthmus leaves the lower part of the arch behind."""
    arch, spine = (THORACIC_ARCH, THORACIC_SPINE) if thoracic else (LUMBAR_ARCH, LUMBAR_SPINE)
    size, upright = rng.normal(1, 0.06), rng.normal(0, 0.05)
    own = arch + rng.normal(0, 0.022, arch.shape) * np.minimum(1, np.abs(arch[:, :1]) * 4)
    stretch = np.array([rng.normal(1, 0.08), rng.normal(1, 0.05)])
    bright = look["arch"] * np.exp(rng.normal(0, 0.15))
    for side in (-1, 1):
        points = own + rng.normal(0, 0.012, arch.shape)
        points = points * stretch - np.outer(points[:, 1] < 0.3, (-1, 0.6)) * gap
        curve = smooth_curve(np.vstack([placed(quad, points, upright, size)] * 1), 46)
        half = look["arch_half"] * side
        shift = upward(direction(quad)) * half * np.tan(look["tilt"]) + along(direction(quad)) * half * np.tan(
            look["turn"]
        )
        curve = (curve + shift - look["beam"]) * (1 + half * look["divergence"]) + look["beam"]
        canvas.fill(curve, bright * rng.uniform(0.75, 1.2), soften=rng.uniform(0.4, 1.0))
        canvas.line(curve, rng.uniform(0.8, 1.6), bright * look["arch_wall"], closed=False)
        if rng.uniform() < 0.6:  # the joint space between two articular processes, a dark slit
            slit = placed(quad, np.array([(0.5, 0.78), (0.46, 1.12)]) + rng.normal(0, 0.03, 2), upright, size) + shift
            canvas.line(slit, rng.uniform(0.8, 1.6), -bright * rng.uniform(0.2, 0.7))
        across = placed(quad, np.array([(rng.uniform(0.2, 0.42), rng.uniform(0.5, 0.75))]), upright, size)[0] + shift
        canvas.capsule(across, across + rng.normal(0, 2, 2), rng.uniform(3, 5.5), bright * rng.uniform(0.1, 0.5), 0.5)
    tip = spine * [rng.normal(1, 0.1), rng.normal(1, 0.15)] + rng.normal(0, 0.03, spine.shape) + [gap, -0.6 * gap]
    curve = smooth_curve(placed(quad, tip, upright, size), 30)
    faint = bright * rng.uniform(0.1, 0.5)
    canvas.fill(curve, faint, soften=rng.uniform(0.4, 1.2))
    canvas.line(curve, rng.uniform(0.8, 1.6), faint * rng.uniform(0.3, 1.2), closed=True)
