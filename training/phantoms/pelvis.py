"""Generator D's pelvis: sacrum with its wings and canal, both hip bones, hip joints, in the sacrum's own frame.

The hip bones turn with the sacrum, since they are joined to it: a steep sacrum has its hips farther forward.
"""

import numpy as np

from .bones import direction, rotation, smooth_curve
from .geometry import along, upward
from .outlined import draw_outlined, profile_of

# mm from the middle of S1's end plate, x to the front, y down, for an end plate that slopes by 40 degrees.
CREST = np.array([(-54, 30), (-50, 10), (-38, -10), (-18, -28), (8, -40), (34, -36), (56, -20), (71, 4)], float)
FRONT = np.array([(71, 4), (66, 20), (58, 38), (54, 54), (46, 70)], float)
ARCUATE = np.array([(-24, 12), (-6, 22), (8, 38), (20, 58), (32, 78), (50, 96), (72, 108)], float)
NOTCH = np.array([(-54, 30), (-50, 44), (-38, 54), (-20, 54), (-6, 62), (0, 78), (-2, 96), (-10, 106)], float)
JOINT = np.array([(-14, 2), (-26, 14), (-36, 30), (-34, 46), (-26, 54)], float)
HIP = np.array([24.0, 103.0])
# The wings of the sacrum beside and in front of the bodies of S1 and S2, from the top of the facet forwards.
ALA = np.array(
    [(-30, -8), (-16, -6), (4, 0), (16, 6), (14, 18), (4, 30), (-8, 44), (-24, 50), (-34, 30), (-36, 8)], float
)


def uneven_line(canvas, curve, width, amount, rng):
    """A bony edge shows where the beam grazes it and fades elsewhere."""
    pieces = max(2, len(curve) // 8)
    strength = np.clip(np.interp(np.linspace(0, 1, pieces), np.linspace(0, 1, 5), rng.uniform(-0.5, 1.3, 5)), 0, 1)
    ends = np.linspace(0, len(curve) - 1, pieces + 1).astype(int)
    for gain, first, last in zip(strength, ends, ends[1:]):
        if gain > 0.03 and last > first:
            canvas.line(curve[first : last + 1], width, amount * gain)


class Frame:
    """Carries points of the tables into the film for one side of the pelvis."""

    def __init__(self, spine, rng):
        top = spine.sacrum[0]
        self.centre = (top[2] + top[3]) / 2
        slope = np.arctan2(*(top[2] - top[3])[::-1])
        self.turn = rotation(0.85 * (slope - np.radians(40)) + rng.normal(0, 0.11))
        self.size = spine.scale * rng.normal(1, 0.06)
        level = np.linalg.norm(spine.bodies["L5"].mean(0) - spine.bodies["L4"].mean(0))
        self.up = upward(slope * 0.5) * level * spine.variant.crest_shift
        self.stretch = np.array([rng.normal(1, 0.07), rng.normal(1, 0.07)])

    def __call__(self, points, side=None, shifted=False):
        out = (np.asarray(points) * self.stretch * self.size) @ self.turn.T
        if side is not None:
            out = out * side["scale"]
            out = out + side["shift"]
        return out + self.centre + (self.up if shifted else 0)


def draw_pelvis_layer(canvas, spine, rng, look):
    frame = Frame(spine, rng)
    strong, line = look["pelvis"], look["pelvis_line"]
    tilt = rng.normal(0, 4, 2)
    rise = rng.normal(0, 7)  # the crests of different patients stand from L4's middle to L5's
    for sign in (-1, 1):
        side = {"scale": 1 + sign * abs(rng.normal(0.035, 0.02)), "shift": sign * tilt + rng.normal(0, 1.5, 2)}
        wobble = lambda points: points + np.cumsum(rng.normal(0, 1.0, points.shape), 0)
        crest = wobble(CREST) + [0, rise]
        crest = smooth_curve(frame(crest, side, shifted=True), 60)
        front, notch = smooth_curve(frame(wobble(FRONT), side), 30), smooth_curve(frame(wobble(NOTCH), side), 50)
        arcuate = smooth_curve(frame(wobble(ARCUATE), side), 50)
        wing = np.concatenate([crest, front, frame([(30, 92), (4, 96)], side), notch[::-1][8:]])
        canvas.fill(wing, strong * rng.uniform(0.3, 1.1), soften=rng.uniform(0.4, 2.5))
        thick = np.concatenate([notch[10:], arcuate[::-1][12:38]])
        canvas.fill(thick, strong * rng.uniform(0.3, 1.2), soften=rng.uniform(0.8, 3))
        for curve, width, gain in (
            (crest, rng.uniform(1.2, 3.6), rng.uniform(0.4, 1.3)),
            (front, rng.uniform(1, 2.5), rng.uniform(0.2, 0.8)),
            (notch, rng.uniform(1, 2.6), rng.uniform(0.3, 1.2)),
            (arcuate[rng.integers(0, 12) :], rng.uniform(1.4, 4), rng.uniform(0.4, 1.6)),
            (smooth_curve(frame(wobble(JOINT), side), 30), rng.uniform(0.8, 2), rng.uniform(0, 0.7)),
        ):
            uneven_line(canvas, curve, width, line * gain, rng)
        draw_hip(canvas, frame(HIP + rng.normal(0, 2.5, 2), side), spine.scale, rng, strong, line)


def draw_hip(canvas, hip, scale, rng, strong, line):
    found = canvas.ellipse_coordinates(hip, np.array([23.5, 23.5]) * scale, 0, 1.5)
    if found is None:
        return
    where, distance = found
    radius = np.sqrt(distance)
    canvas.sum[where] += (
        strong * rng.uniform(0.5, 1.8) * np.sqrt(np.clip(1 - distance, 0, 1))
        + line * rng.uniform(0.2, 0.9) * np.exp(-(((radius - 0.98) / 0.035) ** 2)) * rng.uniform(0, 1)
        + line * rng.uniform(0.4, 1.4) * np.exp(-(((radius - 1.16) / 0.05) ** 2)) * (canvas.y[where[0]] < hip[1] + 12)
    ).astype(np.float32)
    end = hip + np.array([rng.uniform(-25, 25), rng.uniform(55, 90)])
    canvas.capsule(hip, end, rng.uniform(13, 17) * scale, strong * rng.uniform(0.2, 0.9), 0.35)


def draw_sacrum_layer(canvas, arches, spine, rng, look, shape):
    """S1 as a body of its own, the rest as one curved bar; wings, canal, crest and facets behind."""
    bodies, wide = spine.sacrum, look["width"]
    fade = rng.uniform(
        0.55, 1.05
    )  # the sacrum is thicker in air than in bone: often barely brighter than its surroundings
    for number, quad in enumerate(bodies):
        own = {
            **look,
            "density": look["density"] * fade * rng.uniform(0.8, 1.1) * (1.0 if number == 0 else 0.6),
            "cortex": look["cortex"] * fade * (1.0 if number == 0 else rng.uniform(0.15, 0.7)) * 0.9**number,
            "width": wide * 0.92**number,
        }
        draw_outlined(
            canvas,
            quad,
            rng,
            own,
            {**shape, "profile": profile_of("L5", None, (0, 0), rng) * (0.9 if number == 0 else 0.6), "crush": 0},
        )
    # the fused mass: front and back lines run through all segments
    top = bodies[0]
    angle = direction(top)
    back = -along(angle)
    front_line = smooth_curve([bodies[0][2]] + [quad[1] for quad in bodies], 50)
    back_line = smooth_curve([bodies[0][3]] + [quad[0] for quad in bodies], 50)
    line = look["pelvis_line"]
    uneven_line(canvas, front_line, rng.uniform(0.8, 2), line * rng.uniform(0.2, 1.0), rng)
    uneven_line(canvas, back_line, rng.uniform(0.8, 1.8), line * rng.uniform(0.1, 0.8), rng)
    if spine.variant.kind == "usual" or rng.uniform() < 0.7:
        start = rng.integers(5, 13)  # S1 and S2 are one bone beside the remnant of their disc
        mass = np.concatenate([front_line[start:], back_line[::-1][:-start]])
        canvas.fill(mass, look["density"] * wide * rng.uniform(0.2, 0.9), soften=rng.uniform(0.8, 2.5))
    tip = [bodies[-1][:2].mean(0)]
    heading = direction(bodies[-1]) + np.pi / 2 - rng.uniform(-0.1, 0.5)
    for _ in range(3):  # the coccyx
        tip.append(tip[-1] + along(heading) * rng.uniform(6, 11) * spine.scale)
        heading -= rng.uniform(0, 0.35)
    canvas.line(smooth_curve(tip, 20), rng.uniform(4, 8) * spine.scale, look["arch"] * rng.uniform(0.1, 0.6))

    frame = Frame(spine, rng)
    for sign in (-1, 1):
        ala = ALA + np.cumsum(rng.normal(0, 0.8, ALA.shape), 0)
        side = {"scale": 1 + sign * 0.03, "shift": rng.normal(0, 2.5, 2)}
        curve = smooth_curve(frame(np.vstack([ala, ala[:1]]), side), 70)
        canvas.fill(curve, look["pelvis"] * rng.uniform(0.1, 1.1), soften=rng.uniform(0.5, 3))
        uneven_line(canvas, curve[: rng.integers(20, 45)], rng.uniform(0.9, 2.4), line * rng.uniform(0.1, 0.9), rng)
    # behind: canal, median crest with its bumps, facets of S1
    rear = [top[3] + back * rng.uniform(13, 20) * spine.scale + upward(angle) * rng.uniform(-6, 5)]
    for quad in bodies[:4]:
        rear.append(quad[0] + back * rng.uniform(8, 14) * spine.scale)
    rear.append(bodies[4][0] + back * 3)
    rear = smooth_curve(rear, 60)
    bumps = np.abs(np.sin(np.linspace(0, rng.uniform(3, 4.5) * np.pi, 60)))[:, None] * back * rng.uniform(2, 8)
    roof = np.concatenate([rear, (rear + bumps + back * rng.uniform(2, 6))[::-1]])
    arches.fill(roof, look["arch"] * rng.uniform(0.25, 0.9), soften=rng.uniform(0.5, 1.5))
    arches.line(rear, rng.uniform(0.8, 2), look["arch"] * rng.uniform(0.2, 0.9))
    for _ in range(2):
        stub = top[3] + back * rng.uniform(10, 16) * spine.scale
        arches.capsule(
            stub - upward(angle) * 8,
            stub + upward(angle) * rng.uniform(3, 9),
            rng.uniform(3.5, 5),
            look["arch"] * rng.uniform(0.5, 1),
            0.4,
        )


def draw_wide_processes(canvas, spine, rng, look):
    """Transverse processes as wide as a sacral wing, of a transitional vertebra, with a false joint below them."""
    name = spine.variant.wings
    if name is None:
        return
    quad = spine.sacrum[0] if name == "S1" else spine.bodies[name]
    middle, angle = quad.mean(0), direction(quad)
    depth = np.linalg.norm(quad[2] - quad[3])
    for _ in range(int(rng.choice([1, 2], p=[0.4, 0.6]))):
        centre = middle - along(angle) * depth * rng.uniform(0.0, 0.35) + upward(angle) * rng.normal(0, 2)
        shape = np.array(
            [(-0.34, 0.3), (0.0, 0.38), (0.3, 0.28), (0.38, -0.1), (0.2, -0.5), (-0.2, -0.6), (-0.42, -0.2)]
        )
        shape = shape * rng.uniform(0.7, 1.25) + rng.normal(0, 0.04, shape.shape)
        points = centre + (np.outer(shape[:, 0], along(angle)) + np.outer(shape[:, 1], upward(angle))) * depth
        curve = smooth_curve(np.vstack([points, points[:1]]), 50)
        canvas.fill(curve, look["pelvis"] * rng.uniform(0.1, 0.9), soften=rng.uniform(0.4, 2))
        uneven_line(canvas, curve, rng.uniform(0.8, 2), look["pelvis_line"] * rng.uniform(0.3, 1.1), rng)
        if rng.uniform() < 0.6:
            joint = centre + (np.outer([-0.25, 0.2], along(angle)) + np.outer([-0.55, -0.5], upward(angle))) * depth
            canvas.line(joint, rng.uniform(0.8, 1.8), -look["pelvis_line"] * rng.uniform(0.3, 1))
