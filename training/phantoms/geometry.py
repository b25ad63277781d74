"""The bones of one imagined patient in millimetres: vertebral bodies from T1 to L5 and the sacrum.

Frame: x grows towards the front of the patient, y grows downwards, angles turn as on the screen.
A body is four corners in the order posterior-inferior, anterior-inferior, anterior-superior, posterior-superior.
"""

from dataclasses import dataclass, field

import numpy as np

from .variants import USUAL, draw_variant, make_variant, remnant_disc

LEVELS = ("T10", "T11", "T12", "L1", "L2", "L3", "L4", "L5")
LUMBAR = ("L1", "L2", "L3", "L4", "L5")
CORNERS = ("posteriorInferior", "anteriorInferior", "anteriorSuperior", "posteriorSuperior")
LANDMARKS = tuple(f"{level}.{corner}" for level in LEVELS for corner in CORNERS) + (
    "S1.posteriorSuperior",
    "S1.anteriorSuperior",
)
INDEX = {name: index for index, name in enumerate(LANDMARKS)}
BODY = {level: slice(4 * k, 4 * k + 4) for k, level in enumerate(LEVELS)}  # the four corners of a level
BODIES = slice(0, 4 * len(LEVELS))
PLATE = slice(4 * len(LEVELS), 4 * len(LEVELS) + 2)  # the upper end plate of S1
COUNTED = slice(BODY["L1"].start, PLATE.stop)  # L1 to S1: what is measured; the levels above help to count
FROM_BELOW = ("L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T9", "T8", "T7", "T6", "T5", "T4", "T3", "T2", "T1")
# A displacement is named after the vertebra that slips: "L4" is the step between L4 and L5.
SLIP_LEVELS = ("T12", "L1", "L2", "L3", "L4", "L5")

# Means and standard deviations of 30 hand-labelled real films (posterior-corner offset and disc height as
# fractions of the lower end plate, body height and depth relative to depth). Values above T11 continue the trend.
NORMAL_OFFSET = {
    "L5": (-0.022, 0.078),
    "L4": (-0.060, 0.061),
    "L3": (-0.030, 0.057),
    "L2": (-0.048, 0.031),
    "L1": (-0.043, 0.033),
    "T12": (-0.021, 0.029),
    "T11": (-0.02, 0.03),
    "T10": (-0.02, 0.03),
    "T9": (-0.02, 0.03),
    "T8": (-0.02, 0.03),
    "T7": (-0.02, 0.03),
    "T6": (-0.02, 0.03),
    "T5": (-0.02, 0.03),
}
DISC_HEIGHT = {
    "L5": (0.29, 0.06),
    "L4": (0.27, 0.08),
    "L3": (0.26, 0.07),
    "L2": (0.26, 0.05),
    "L1": (0.23, 0.05),
    "T12": (0.21, 0.04),
    "T11": (0.18, 0.03),
    "T10": (0.16, 0.03),
    "T9": (0.15, 0.03),
    "T8": (0.14, 0.03),
    "T7": (0.14, 0.03),
    "T6": (0.14, 0.03),
    "T5": (0.14, 0.03),
}
FRONT_TO_BACK_HEIGHT = {
    "L5": (1.16, 0.08),
    "L4": (1.08, 0.07),
    "L3": (1.04, 0.06),
    "L2": (0.99, 0.05),
    "L1": (0.94, 0.05),
    "T12": (0.97, 0.03),
    "T11": (0.94, 0.03),
    "T10": (0.94, 0.03),
    "T9": (0.94, 0.03),
    "T8": (0.94, 0.03),
    "T7": (0.94, 0.03),
    "T6": (0.94, 0.03),
    "T5": (0.94, 0.03),
}
DEPTH = {
    "L5": (0.99, 0.04),
    "L4": (1.00, 0.04),
    "L3": (1.0, 0.0),
    "L2": (0.98, 0.04),
    "L1": (0.95, 0.05),
    "T12": (0.92, 0.06),
    "T11": (0.89, 0.06),
    "T10": (0.87, 0.05),
    "T9": (0.85, 0.05),
    "T8": (0.83, 0.05),
    "T7": (0.81, 0.05),
    "T6": (0.79, 0.05),
    "T5": (0.77, 0.05),
}
HEIGHT = {
    "L5": 0.85,
    "L4": 0.85,
    "L3": 0.86,
    "L2": 0.88,
    "L1": 0.88,
    "T12": 0.89,
    "T11": 0.86,
    "T10": 0.84,
    "T9": 0.83,
    "T8": 0.82,
    "T7": 0.81,
    "T6": 0.8,
    "T5": 0.79,
}
# Lordosis that each disc contributes, in degrees.
DISC_WEDGE = {
    "L5": (14, 5),
    "L4": (13, 4),
    "L3": (9.5, 3.5),
    "L2": (7, 3),
    "L1": (5, 3),
    "T12": (2.5, 2.5),
    "T11": (1, 1.5),
    "T10": (0, 1.5),
    "T9": (-0.5, 1.5),
    "T8": (-1, 1.5),
    "T7": (-2, 1.5),
    "T6": (-2, 1.5),
    "T5": (-2, 1.5),
}


# Nobody measured T1 to T4 here: they go on as T5, getting smaller.
for _above, _name in enumerate(("T4", "T3", "T2", "T1"), 1):
    for _table in (NORMAL_OFFSET, DISC_HEIGHT, FRONT_TO_BACK_HEIGHT):
        _table[_name] = _table["T5"]
    DEPTH[_name] = (DEPTH["T5"][0] - 0.03 * _above, 0.05)
    HEIGHT[_name] = HEIGHT["T5"] - 0.01 * _above
    DISC_WEDGE[_name] = (-1.5 + 0.5 * _above, 1.5)


def along(angle):
    """Unit vector from the back to the front of an end plate that is turned by `angle`."""
    return np.array([np.cos(angle), np.sin(angle)])


def upward(angle):
    """Unit normal of that end plate, towards the head."""
    return np.array([np.sin(angle), -np.cos(angle)])


@dataclass
class Spine:
    bodies: dict
    sacrum: list
    displacement: dict  # slip beyond the normal offset, fraction of the lower end plate
    offset: dict  # posterior-corner offset as measured, normal part included
    fractures: dict = field(default_factory=dict)
    scale: float = 1.0
    variant: object = USUAL
    # Share of a body's height that its two end plates leave out at their middle, as drawn; empty where a CT says it.
    hollow: dict = field(default_factory=dict)

    def moved(self, transform):
        return Spine(
            {name: transform(quad) for name, quad in self.bodies.items()},
            [transform(quad) for quad in self.sacrum],
            self.displacement,
            self.offset,
            self.fractures,
            self.scale,
            self.variant,
            self.hollow,
        )

    def landmarks(self):
        unknown = np.full((4, 2), np.nan)  # a scanned volume may end below a level
        points = [self.bodies.get(level, unknown) for level in LEVELS]
        return np.concatenate(points + [self.sacrum[0][[3, 2]]])


@dataclass(frozen=True)
class Prevalence:
    """How often a generator draws what is not normal."""

    slip: float = 0.5
    retrolisthesis: float = 0.12
    fracture: float = 0.22
    variant: float = 0.14
    narrow_disc: float = 0.16
    lordosis: tuple = (0.75, 0.33)


def draw_displacements(rng, prevalence):
    """Normal scatter stays within 5 %; a slip starts at 9 %, so that truth is never a coin toss."""
    displacement = {
        name: float(np.clip(rng.normal(0, 0.6 * NORMAL_OFFSET[name][1]), -0.05, 0.05)) for name in FROM_BELOW
    }
    if rng.uniform() < prevalence.slip:
        count = 1 if rng.uniform() < 0.85 else 2
        for name in rng.choice(["L2", "L3", "L4", "L5"], count, replace=False, p=[0.06, 0.14, 0.42, 0.38]):
            displacement[name] = float(np.clip(0.09 + rng.gamma(1.6, 0.09), 0.09, 0.7))
    if rng.uniform() < prevalence.retrolisthesis:
        displacement[str(rng.choice(["L1", "L2", "L3", "L4", "L5"]))] = -float(rng.uniform(0.06, 0.2))
    return displacement


def draw_fractures(rng, prevalence):
    fractures = {}
    if rng.uniform() < prevalence.fracture:
        count = 1 + (rng.uniform() < 0.3)
        for name in rng.choice(LEVELS, count, replace=False, p=[0.06, 0.09, 0.17, 0.24, 0.17, 0.11, 0.1, 0.06]):
            kind = rng.choice(["wedge", "biconcave", "crush", "burst"], p=[0.34, 0.27, 0.19, 0.2])
            fractures[str(name)] = (str(kind), float(rng.uniform(0.15, 0.6)))
    return fractures


def build_spine(rng, prevalence=Prevalence(), displacement=None, fractures=None, variant=None):
    """Stack bodies upwards from S1; every angle, height and offset follows the table above."""
    normal = rng.normal
    displacement = {**draw_displacements(rng, prevalence), **(displacement or {})}
    fractures = draw_fractures(rng, prevalence) if fractures is None else fractures
    variant = draw_variant(rng, prevalence.variant) if variant is None else make_variant(variant, rng)
    depth3 = 34.5 * np.exp(normal(0, 0.09))
    curve = np.clip(normal(*prevalence.lordosis) + 0.2, -0.1, 1.7)
    slope = np.radians(np.clip(14 + 26 * curve + normal(0, 7), 0, 72))
    if variant.kind == "sacralised":  # its end plate lies where a usual L5's does
        slope = max(slope - np.radians(rng.uniform(8, 20)), np.radians(-4))
    tall = normal(1, 0.085)  # tall or squat bodies run through the whole spine
    thick = np.clip(normal(1, 0.15), 0.6, 1.4)

    sacrum_depth = depth3 * np.clip(normal(0.96, 0.06), 0.8, 1.12)
    if variant.kind == "lumbarised":
        sacrum_depth *= rng.uniform(0.8, 0.92)
    back = np.zeros(2)
    sacrum = build_sacrum(rng, slope, sacrum_depth, variant)
    bodies, offset = {}, {}
    angle, depth_below = slope, sacrum_depth
    for name in FROM_BELOW:
        transitional = variant.kind == "lumbarised" and name == "L5"
        depth = depth3 * normal(*DEPTH[name])
        wedge = np.radians(curve * DISC_WEDGE[name][0] + normal(0, DISC_WEDGE[name][1]) * 0.8)
        disc = depth_below * np.clip(normal(*DISC_HEIGHT[name]), 0.09, 0.45) * thick
        if transitional:
            disc *= rng.uniform(0.6, 0.95)
            wedge *= rng.uniform(0.1, 0.7)
            depth *= rng.uniform(0.84, 0.95)
        slipped = displacement[name] > 0.07
        if rng.uniform() < (0.5 if slipped else prevalence.narrow_disc):
            disc *= rng.uniform(0.25, 0.7)
            wedge *= rng.uniform(0.2, 0.9)
        wedge = np.clip(wedge, -np.arctan(1.6 * disc / depth_below), np.arctan(1.6 * disc / depth_below))
        disc_back = max(disc - depth_below / 2 * np.tan(wedge), 0.8)

        offset[name] = NORMAL_OFFSET[name][0] + displacement[name]
        posterior_inferior = back + along(angle) * offset[name] * depth_below + upward(angle) * disc_back
        angle_inferior = angle - wedge
        anterior_inferior = posterior_inferior + along(angle_inferior) * depth * normal(1.02, 0.02)

        ratio = max(normal(*FRONT_TO_BACK_HEIGHT[name]), 0.75)
        height = depth * HEIGHT[name] * tall * normal(1, 0.03)
        back_height, front_height = 2 * height / (1 + ratio), 2 * height * ratio / (1 + ratio)
        bulge = 0.0
        if name in fractures:
            kind, loss = fractures[name]
            if kind == "wedge":
                front_height *= 1 - loss
            elif kind == "crush":
                front_height *= 1 - loss
                back_height *= 1 - loss * rng.uniform(0.5, 0.9)
            elif kind == "burst":  # the posterior wall is lower, and its upper part stands in the canal
                front_height *= 1 - loss
                back_height *= 1 - loss * rng.uniform(0.35, 0.8)
                bulge = depth * rng.uniform(0.03, 0.05 + 0.25 * loss)
        body_wedge = np.arctan((front_height - back_height) / depth)
        posterior_superior = posterior_inferior + upward(angle_inferior - body_wedge / 2) * back_height
        angle = angle_inferior - body_wedge
        depth_below = depth * normal(1.0, 0.02) * (rng.uniform(1.02, 1.12) if transitional else 1)
        anterior_superior = posterior_superior + along(angle) * depth_below
        posterior_superior = posterior_superior - along(angle) * bulge
        depth_below += bulge
        bodies[name] = np.array([posterior_inferior, anterior_inferior, anterior_superior, posterior_superior])
        back = posterior_superior + along(angle) * bulge  # the body above keeps its place
        depth_below -= bulge
    return Spine(bodies, sacrum, displacement, offset, fractures, depth3 / 34.5, variant)


def build_sacrum(rng, slope, depth, variant=USUAL):
    """S1 to S5, bending forwards; S1 narrows from its end plate to the first remnant disc unless it is transitional."""
    quads, angle, back, first = [], slope, np.zeros(2), depth
    lean = np.radians(rng.normal(2, 5))
    gap = remnant_disc(variant, rng)
    square = max(variant.squareness, float(np.clip(rng.normal(0.05, 0.14), 0, 0.5)))
    bend = rng.uniform(0.6, 1.5)
    for number, (height, taper) in enumerate(zip((0.80, 0.66, 0.55, 0.46, 0.4), (0.74, 0.72, 0.74, 0.78, 0.75))):
        if number == 0:
            height, taper = height + 0.06 * square, taper + square * (0.95 - taper)
        top_front = back + along(angle) * depth
        lean_here = lean * (1 - square) if number == 0 else lean
        down = -upward(angle + lean_here)
        next_angle = angle - np.radians(rng.uniform(3, 14)) * bend
        if number == 0 and variant.kind == "sacralised":  # what follows is the true top of the sacrum
            next_angle = angle + np.radians(rng.uniform(-2, 6))
        next_back = back + down * height * first * rng.normal(1, 0.06)
        next_back = next_back + along(angle) * depth * rng.uniform(0.0, 0.08) * (1 - square)
        next_depth = depth * taper * rng.normal(1, 0.07 * (1 - 0.6 * square))
        quads.append(np.array([next_back, next_back + along(next_angle) * next_depth, top_front, back]))
        angle, depth = next_angle, next_depth
        if number == 0 and variant.kind == "sacralised":
            angle += np.radians(rng.uniform(3, 12))
        back = next_back - upward(angle) * (gap if number == 0 else rng.uniform(0.6, 2.6))
        if number > 0:
            depth = max(depth, 9.0)
    return quads


def lower_plate(level):
    """Indices of the end plate below a level: posterior, then anterior."""
    below = "S1" if level == "L5" else LEVELS[LEVELS.index(level) + 1]
    return INDEX[f"{below}.posteriorSuperior"], INDEX[f"{below}.anteriorSuperior"]


def measured_offsets(points):
    """Offsets at T12/L1 to L5/S1 of (..., 34, 2) landmarks, in lower end plates; forwards is positive."""
    out = []
    for level in SLIP_LEVELS:
        upper = points[..., INDEX[f"{level}.posteriorInferior"], :]
        back, front = (points[..., index, :] for index in lower_plate(level))
        axis = front - back
        out.append(((upper - back) * axis).sum(-1) / np.maximum((axis**2).sum(-1), 1e-6))
    return np.stack(out, -1)
