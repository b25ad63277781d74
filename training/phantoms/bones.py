"""Vertebrae, sacrum, pelvis and ribs, drawn in three ways that differ in structure.

`solid`  (generator A): a body is a rounded field in its own coordinates with bright end plates.
`sliced` (generator B): a body is a stack of shifted outlines from right to left, so that tilt, rotation and
         divergence of the beam open double contours by themselves.
`shell`  (generator C, never trained on): a spline outline filled by its distance to the edge.
"""

import cv2
import numpy as np

from .canvas import sigmoid
from .geometry import FROM_BELOW, along, upward


def direction(quad):
    """Angle of a body from back to front, mean of both end plates."""
    front, back = quad[1] + quad[2], quad[0] + quad[3]
    return np.arctan2(*(front - back)[::-1])


def outline(quad, rng, cavity=(0.04, 0.04), waist=(0.03, 0.06), spur=(0, 0), rounding=0.06, points=14):
    """Closed outline of a body: hollow end plates, waisted walls, rounded corners, spurs at the front."""
    t = np.linspace(0, 1, points)
    hollow = 4 * t * (1 - t)
    peak = rng.uniform(0.8, 1.6)  # the deepest point of an end plate lies behind its middle
    skewed = (4 * t * (1 - t)) * (1 + (0.5 - t) * 0.5 * peak)
    ease = lambda s: np.exp(-((s / max(rounding, 1e-3)) ** 2)) * rounding * 0.35
    lower = np.stack([t, cavity[0] * skewed + ease(t) + ease(1 - t)], 1)
    upper = np.stack([t[::-1], 1 - cavity[1] * skewed[::-1] - ease(t) - ease(1 - t)], 1)
    spurs = spur[0] * np.exp(-((t / 0.12) ** 2)) + spur[1] * np.exp(-(((1 - t) / 0.12) ** 2))
    front = np.stack([1 - waist[1] * hollow + spurs, t], 1)[1:-1]
    back = np.stack([waist[0] * hollow, t], 1)[::-1][1:-1]
    return to_film(quad, np.concatenate([lower, front, upper, back]))


def to_film(quad, uv):
    """Bilinear map of (back to front, below to above) into a body's corners."""
    u, v = uv[:, :1], uv[:, 1:]
    return (1 - u) * (1 - v) * quad[0] + u * (1 - v) * quad[1] + u * v * quad[2] + (1 - u) * v * quad[3]


def draw_solid(canvas, quad, rng, look, shape):
    found = canvas.window(quad, 7)
    if found is None:
        return
    where, x, y = found
    # The quadrilateral's projective coordinates: u from back to front, v from below to above.
    matrix = cv2.getPerspectiveTransform(
        quad.astype(np.float32), np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    )
    scale = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    u = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / scale
    v = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / scale
    depth = np.linalg.norm(quad[1] - quad[0])
    height = (np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1])) / 2
    uc, vc = np.clip(u, 0, 1), np.clip(v, 0, 1)
    bump, side = 4 * uc * (1 - uc), 4 * vc * (1 - vc)
    spur = shape["spur"][1] * np.exp(-(((vc - 1) / 0.12) ** 2)) + shape["spur"][0] * np.exp(-((vc / 0.12) ** 2))
    low, high = shape["cavity"][0] * bump, 1 - shape["cavity"][1] * bump
    back, front = shape["waist"][0] * side, 1 - shape["waist"][1] * side + spur
    below, above, behind, before = (v - low) * height, (high - v) * height, (u - back) * depth, (front - u) * depth
    soft = 1.1
    inside = -soft * np.log(sum(np.exp(-np.clip(d, -30, 30) / soft) for d in (below, above, behind, before)))
    mask = sigmoid(inside / look["edge"])
    across = np.abs(2 * np.clip((u - back) / (front - back + 1e-6), 0, 1) - 1)
    chord = look["width"] * np.power(np.clip(1 - across**2.6, 0, 1), 1 / 2.2)
    texture = 1 + look["texture"][where] + look["rind"] * np.exp(-np.clip(inside, 0, 50) / 2.4)
    out = look["density"] * chord * mask * texture
    within_u = sigmoid(np.minimum(behind, before) / 0.7)
    within_v = sigmoid(np.minimum(below, above) / 0.7)
    opening = shape["opening"] * np.sqrt(np.clip(1 - (2 * uc - 1) ** 2, 0, 1))
    thick = look["plate"]
    for sign, weight in ((-1, 0.5), (1, 0.5)):
        out += (
            look["cortex"]
            * weight
            * chord
            * within_u
            * (np.exp(-(((below - sign * opening) / thick) ** 2)) + np.exp(-(((above - sign * opening) / thick) ** 2)))
        )
    out += (
        look["cortex"]
        * 13
        * within_v
        * (np.exp(-((before / thick) ** 2)) + look["back_wall"] * np.exp(-((behind / thick) ** 2)))
    )
    if shape["crush"] > 0:
        out += look["density"] * chord * mask * shape["crush"] * np.exp(-(((above - 4) / 1.5) ** 2))
    canvas.sum[where] += out.astype(np.float32)


def draw_sliced(canvas, quad, rng, look, shape):
    """Slices from one side to the other; a body is a kidney in cross-section, its back nearly flat."""
    base = outline(quad, rng, shape["cavity"], shape["waist"], shape["spur"], shape["rounding"])
    found = canvas.window(base, 9)
    if found is None:
        return
    where = found[0]
    angle = direction(quad)
    forward, up = along(angle), upward(angle)
    origin = (quad[0] + quad[3]) / 2
    depth = np.linalg.norm(quad[1] - quad[0])
    half = look["width"] / 2
    slices = 7 if canvas.pixel > 0.5 else 21  # fine pixels would show the steps between slices
    inside = np.zeros((where[0].stop - where[0].start, where[1].stop - where[1].start), np.float32)
    shell = np.zeros_like(inside)
    corner = np.array([where[1].start, where[0].start])
    wall = max(1, int(round(look["wall"] / canvas.pixel)))
    thin = min(1.0, look["wall"] / canvas.pixel)
    for position in (np.arange(slices) + 0.5) / slices * 2 - 1:
        reach = (1 - abs(position) ** 3.2) ** 0.45  # how far forwards this slice goes
        side = position * half
        depth_along = (base - origin) @ forward
        squeezed = base + np.outer((reach - 1) * np.clip(depth_along, 0, None) + (1 - reach) * depth * 0.12, forward)
        shift = up * side * np.tan(shape["tilt"]) + forward * side * np.tan(shape["rotation"])
        spread = (squeezed + shift - look["beam"]) * (1 + side * look["divergence"]) + look["beam"]
        pixels = np.round((spread / canvas.pixel - corner) * 16).astype(np.int32)
        mask = np.zeros(inside.shape, np.uint8)
        cv2.fillPoly(mask, [pixels], 255, cv2.LINE_AA, 4)
        inside += mask
        mask[:] = 0
        cv2.polylines(mask, [pixels], True, 255, wall, cv2.LINE_AA, 4)
        # the outermost slices are all wall: the beam meets the side of the body there
        shell += mask
    inside *= look["width"] / slices / 255
    shell *= thin * look["width"] / slices / 255
    out = inside * look["density"] * (1 + look["texture"][where]) + shell * look["cortex"]
    sigma = look["edge"] / canvas.pixel
    if sigma > 0.3:
        out = cv2.GaussianBlur(out, (0, 0), float(sigma))
    canvas.sum[where] += out


def draw_shell(canvas, quad, rng, look, shape):
    """Brightness as a function of the distance to a splined outline: dense rim, loose core."""
    base = outline(quad, rng, shape["cavity"], shape["waist"], shape["spur"], shape["rounding"], points=10)
    centre = base.mean(0)
    twin = centre + (base - centre) @ rotation(shape["tilt"] * 0.5).T + upward(direction(quad)) * shape["opening"] * 0.7
    for points, share in ((base, 0.6), (twin, 0.4)):
        found = canvas.polygon(points)
        if found is None:
            continue
        where, mask = found
        hard = (mask > 0.5).astype(np.uint8)
        distance = cv2.distanceTransform(hard, cv2.DIST_L2, 5) * canvas.pixel
        core = 1 - np.exp(-distance / look["core"])
        rim = np.exp(-(((distance - look["wall"]) / (look["wall"] * 0.8)) ** 2)) * mask
        canvas.sum[where] += share * (
            look["density"] * look["width"] * mask * core * (1 + look["texture"][where])
            + look["cortex"] * look["width"] * 0.5 * rim
        ).astype(np.float32)


def rotation(angle):
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


BODY = {"solid": draw_solid, "sliced": draw_sliced, "shell": draw_shell}


def draw_posterior(canvas, quad, rng, look, scale, lysis, thoracic=False):
    """Pedicles, articular processes, lamina and spinous process, once for each side."""
    angle = direction(quad)
    back, up = -along(angle), upward(angle)
    # The pedicles span the upper half of the body and are as bright as it, so the back wall shows only below them,
    # where the foramen lies behind it: the commonest look on real films.
    root_height = rng.uniform(0.6, 0.72)
    pedicle = quad[0] * (1 - root_height) + quad[3] * root_height
    density = look["arch"]
    gap = back * rng.uniform(2, 4) - up * rng.uniform(2, 4) if lysis else 0
    wide = rng.uniform(0.85, 1.15) * scale
    for side in (-1, 1):
        shift = side * (along(angle) * rng.normal(0, 1.2) + up * rng.normal(0, 1.0))
        level = density * rng.uniform(0.8, 1.2)
        root = pedicle + shift
        joint = root + back * rng.uniform(13, 17) * scale
        canvas.capsule(
            root - back * rng.uniform(0, 5),
            joint,
            rng.uniform(4.4, 7.2) * wide,
            level * rng.uniform(0.4, 0.9),
            look["arch_wall"] * 0.5,
        )
        canvas.capsule(
            joint - up * 2,
            joint + up * rng.uniform(9, 13) * scale + back * rng.uniform(-1, 4),
            rng.uniform(3.4, 5) * wide,
            level,
            look["arch_wall"],
        )
        low = joint - up * rng.uniform(10, 14) * scale + back * rng.uniform(3, 7) + gap
        canvas.capsule(joint, joint * 0.4 + low * 0.6, rng.uniform(3.2, 4.6) * wide, level, look["arch_wall"])
        canvas.capsule(
            low,
            low - up * rng.uniform(8, 12) * scale + back * rng.uniform(1, 5),
            rng.uniform(3.4, 5) * wide,
            level * 0.9,
            look["arch_wall"],
        )
    start = pedicle + back * rng.uniform(22, 27) * scale - up * rng.uniform(7, 11) + gap
    drop = rng.uniform(18, 32) if thoracic else rng.uniform(3, 12)
    end = start + back * rng.uniform(18, 27) * scale - up * drop * scale
    canvas.capsule(
        start,
        end,
        (4 if thoracic else rng.uniform(6, 10.5)) * scale,
        density * rng.uniform(0.25, 0.7),
        rng.uniform(0.2, 0.6),
    )


def draw_sacrum(canvas, sacrum, rng, look, style, shape, bare=False):
    for number, quad in enumerate(sacrum):
        faded = {
            **look,
            "density": look["density"] * rng.uniform(0.7, 1.1),
            "cortex": look["cortex"] * (0.9 - 0.15 * number),
            "width": look["width"] * 0.95**number,
        }
        BODY[style](canvas, quad, rng, faded, {**shape, "cavity": (0.01, 0.015), "spur": (0, 0.02), "crush": 0})
    if bare:
        return
    # the wings of the sacrum and the crest behind it
    top = sacrum[0]
    angle = direction(top)
    back, up = -along(angle), upward(angle)
    behind = rng.uniform(-6, 12)  # the wings lie beside the body, the canal behind it
    wing = np.array(
        [
            top[3] + back * behind * 0.5 - up * 6,
            top[2] - up * rng.uniform(2, 8),
            (top[1] + sacrum[1][1]) / 2,
            sacrum[2][0],
            sacrum[1][0] + back * behind,
            top[0] + back * behind,
        ]
    )
    canvas.fill(wing, look["arch"] * rng.choice([0.05, 0.3, 0.8]) * rng.uniform(0.5, 1.2), soften=rng.uniform(1, 4))
    crest = [top[3] + back * rng.uniform(14, 24) + up * rng.uniform(-8, 4)]
    for quad in sacrum:
        crest.append(quad[0] + back * rng.uniform(7, 14))
    canvas.line(crest, rng.uniform(4, 9), look["arch"] * rng.uniform(0.3, 0.9))
    canvas.line(smooth_curve(crest), rng.uniform(0.8, 2), look["arch"] * rng.uniform(0.2, 0.8))
    for _ in range(rng.integers(0, 3)):  # stub of a facet joint on S1
        stub = top[3] + back * rng.uniform(9, 16)
        canvas.capsule(stub - up * 6, stub + up * rng.uniform(4, 10), rng.uniform(3.5, 5), look["arch"] * 0.9, 0.4)


def smooth_curve(points, count=40):
    """A curve through the points, for lines that nature does not draw with a ruler."""
    points = np.asarray(points, float)
    position = np.linspace(0, len(points) - 1, count)
    index = np.clip(position.astype(int), 0, len(points) - 2)
    t = (position - index)[:, None]
    before = points[np.maximum(index - 1, 0)]
    a, b = points[index], points[index + 1]
    after = points[np.minimum(index + 2, len(points) - 1)]
    return 0.5 * (
        2 * a + (b - before) * t + (2 * before - 5 * a + 4 * b - after) * t**2 + (3 * a - before - 3 * b + after) * t**3
    )


# Outline of an iliac wing seen from the side, mm from the middle of S1's end plate: from the posterior spine over
# the crest to the anterior spine, down to the hip joint and back through the sciatic notch.
ILIUM = np.array(
    [(-48, 2), (-28, -22), (4, -36), (42, -22), (68, 10), (56, 40), (42, 74), (10, 84), (-4, 48), (-36, 34)], float
)


def draw_pelvis(canvas, sacrum, rng, look, scale):
    """Iliac wings over L5 and the sacrum, their lines, hip joints and the notch behind."""
    centre = sacrum[0].mean(0)
    strength = rng.uniform(0.1, 0.55)
    turn, size = rotation(rng.normal(0, 0.22)), rng.uniform(0.85, 1.2) * scale
    for _ in range(2):
        wing = ILIUM + rng.normal(0, 5, ILIUM.shape)
        wing = smooth_curve(np.vstack([wing, wing[:1]]), 70) * size @ turn.T + centre + rng.normal(0, 7, 2)
        canvas.fill(wing, strength * rng.uniform(0.5, 1.1), soften=rng.uniform(0.3, 3))
        start, length = rng.integers(0, 70), rng.integers(25, 70)
        canvas.line(
            np.roll(wing, -start, axis=0)[:length], rng.uniform(0.9, 2.6), rng.uniform(0.05, 0.35) * look["line"]
        )
    for _ in range(rng.integers(1, 6)):  # crest, arcuate and sciatic lines
        start = centre + np.array([rng.uniform(-45, 50), rng.uniform(-38, 30)]) * scale
        heading, bend, points = rng.uniform(0.3, 2.6), rng.normal(0, 0.12), [start]
        for _ in range(rng.integers(4, 11)):
            points.append(points[-1] + rng.uniform(7, 13) * np.array([np.cos(heading), np.sin(heading)]))
            heading += bend
        canvas.line(smooth_curve(points), rng.uniform(0.9, 3), rng.uniform(0.04, 0.3) * look["line"])
    if rng.uniform() < 0.75:  # femoral heads
        hip = centre + np.array([rng.uniform(15, 65), rng.uniform(75, 115)]) * scale
        for _ in range(2):
            found = canvas.ellipse_coordinates(hip + rng.normal(0, 5, 2), np.array([24, 24]) * scale, 0)
            if found is not None:
                where, distance = found
                canvas.sum[where] += (
                    rng.uniform(0.1, 0.45) * np.sqrt(np.clip(1 - distance, 0, 1))
                    + 0.12 * look["line"] * np.exp(-(((np.sqrt(distance) - 1.08) / 0.04) ** 2))
                ).astype(np.float32)


def draw_ribs(canvas, bodies, rng, look, lowest="T12"):
    chest = FROM_BELOW[FROM_BELOW.index(lowest) :]
    names = [name for name in reversed(chest) if name in bodies]
    for name in names:
        if rng.uniform() < 0.2:
            continue
        root = bodies[name][[0, 3]].mean(0)
        for _ in range(2):
            start = root + np.array([-rng.uniform(4, 14), rng.uniform(-6, 6)])
            points = [start, start + [-rng.uniform(10, 22), rng.uniform(4, 12)]]
            heading = np.radians(rng.uniform(60, 100))
            for _ in range(rng.integers(3, 9)):
                points.append(points[-1] + rng.uniform(12, 20) * np.array([np.cos(heading), np.sin(heading)]))
                heading -= np.radians(rng.uniform(4, 16))
            curve = smooth_curve(points, 60)
            width, amount = rng.uniform(6, 10), rng.uniform(0.02, 0.22) * look["line"]
            canvas.line(curve, width, amount * 0.6, profile="wall")
            normal = np.gradient(curve, axis=0)[:, ::-1] * [1, -1]
            normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6
            for side in (-1, 1):
                canvas.line(curve + side * normal * width / 2, 1.2, amount * rng.uniform(0.3, 1))
