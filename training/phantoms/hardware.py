"""Metal in and on the patient: pedicle screws with rods, plates, cages, cement; and what lies on the film."""

import cv2
import numpy as np

from .bones import direction, smooth_curve
from .geometry import FROM_BELOW, LEVELS, along, upward


def draw_implants(canvas, spine, rng, chance):
    """Screws and rods as in a third of the real films, drawn on after the bones."""
    if rng.uniform() > chance:
        return False
    metal = rng.uniform(0.9, 3.5)
    kind = rng.choice(["screws", "plate", "cage", "cement", "screws and cage"], p=[0.55, 0.12, 0.1, 0.1, 0.13])
    names = [name for name in ("T9", *LEVELS) if name in spine.bodies]
    count = int(rng.choice([2, 3, 4, 5, 7, 9], p=[0.3, 0.22, 0.16, 0.12, 0.1, 0.1]))
    last = int(rng.integers(min(count, 2) + 1, len(names) + 1))
    chosen = names[max(0, last - count) : last]
    if "screws" in kind:
        draw_screws(canvas, spine, rng, metal, chosen, with_sacrum=chosen[-1] == "L5" and rng.uniform() < 0.6)
    if kind == "plate":
        wall = [
            spine.bodies[name][[1, 2]].mean(0) + along(direction(spine.bodies[name])) * rng.uniform(1, 5)
            for name in chosen[-2:]
        ]
        canvas.line(wall, rng.uniform(3, 7), metal, profile="wall")
        for point in wall:
            canvas.capsule(
                point, point - along(rng.uniform(-0.2, 0.2)) * rng.uniform(16, 28), rng.uniform(1.8, 3), metal, 0.1
            )
            canvas.capsule(point, point, rng.uniform(3, 5.5), metal, 0.1)
    if "cage" in kind:
        lower = spine.bodies[chosen[-1]]
        middle = lower[[2, 3]].mean(0) + upward(direction(lower)) * 5
        half = along(direction(lower)) * rng.uniform(7, 14)
        thick = upward(direction(lower)) * rng.uniform(2, 5)
        canvas.fill(
            [middle - half - thick, middle + half - thick, middle + half + thick, middle - half + thick],
            metal * rng.uniform(0.1, 1),
            0.3,
        )
    if kind == "cement":
        quad = spine.bodies[chosen[-1]]
        for _ in range(rng.integers(4, 12)):
            spot = quad.mean(0) + rng.normal(0, 5, 2)
            canvas.capsule(spot, spot + rng.normal(0, 4, 2), rng.uniform(2, 5), metal * rng.uniform(0.1, 0.6), 0)
    return True


def draw_screws(canvas, spine, rng, metal, chosen, with_sacrum):
    heads = [[], []]
    radius = rng.uniform(2.2, 3.6)
    quads = [spine.bodies[name] for name in chosen] + ([spine.sacrum[0]] if with_sacrum else [])
    spread = rng.uniform(0, 4)
    for quad in quads:
        height = rng.uniform(0.5, 0.75)
        entry = quad[0] * (1 - height) + quad[3] * height
        for side in range(2):
            lean = direction(quad) + rng.normal(0, 0.12)
            shift = upward(direction(quad)) * rng.normal(0, spread)
            head = entry - along(lean) * rng.uniform(12, 22) + shift
            tip = entry + along(lean) * rng.uniform(18, 34) + shift
            threads = 14 if rng.uniform() < 0.7 else 1
            canvas.capsule(head, tip, radius, metal, 0.15)
            if threads > 1:
                for t in np.linspace(0.3, 1, threads):
                    spot = head * (1 - t) + tip * t
                    canvas.line(
                        [spot + upward(lean) * radius * 1.3, spot - upward(lean) * radius * 1.3], 0.8, metal * 0.4
                    )
            canvas.capsule(head - upward(lean) * 4, head + upward(lean) * 4, rng.uniform(4, 6.5), metal, 0.1)
            heads[side].append(head)
    for side in heads:
        if len(side) > 1 and rng.uniform() < 0.93:
            over = np.array(
                [
                    side[0] + (side[0] - side[1]) * rng.uniform(0.1, 0.5),
                    *side,
                    side[-1] + (side[-1] - side[-2]) * rng.uniform(0.1, 0.5),
                ]
            )
            canvas.line(over, rng.uniform(4.5, 6.5), metal * rng.uniform(0.6, 1.2), profile="wall")


def draw_corset(canvas, spine, rng):
    """A brace: stays of metal or plastic before and behind the trunk, bands across it, a buckle."""
    height = canvas.y[-1, 0]
    y = np.linspace(rng.uniform(0, 0.3), rng.uniform(0.7, 1.05), 7) * height
    centres = np.array(sorted((quad.mean(0)[1], quad.mean(0)[0]) for quad in spine.bodies.values()))
    middle = np.interp(y, centres[:, 0], centres[:, 1])
    for _ in range(rng.integers(1, 5)):
        behind = rng.uniform() < 0.6
        aside = -rng.uniform(45, 95) if behind else rng.uniform(40, 180)
        x = middle.mean() * 0.4 + middle * 0.6 + aside + np.cumsum(rng.normal(0, 2, 7))
        stay = smooth_curve(np.stack([x, y], 1), 40)
        canvas.line(stay, rng.uniform(1.5, 14), rng.uniform(0.05, 1.2), profile="wall")
    for _ in range(rng.integers(0, 5)):
        level = rng.uniform(0.1, 0.95) * height
        ends = [[0, level], [canvas.x[0, -1], level + rng.normal(0, 15)]]
        canvas.line(ends, rng.uniform(8, 40), rng.uniform(0.01, 0.08), profile="wall")
        if rng.uniform() < 0.5:
            buckle = np.array([rng.uniform(0, 1) * canvas.x[0, -1], level])
            box = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * rng.uniform(3, 12, 2) + buckle
            canvas.line(box, rng.uniform(1, 2.5), rng.uniform(0.3, 1.5), closed=True, profile="wall")


def draw_vacuum(canvas, spine, rng, depth):
    """Gas in worn discs: dark slits between two end plates."""
    for _ in range(rng.integers(1, 3)):
        upper = FROM_BELOW[rng.integers(0, 5)]
        below = FROM_BELOW.index(upper) - 1
        plate = spine.sacrum[0] if below < 0 else spine.bodies[FROM_BELOW[below]]
        middle = (plate[3] + plate[2] + spine.bodies[upper][0] + spine.bodies[upper][1]) / 4
        half = along(direction(plate)) * np.linalg.norm(plate[2] - plate[3]) * rng.uniform(0.12, 0.36)
        shift = along(direction(plate)) * rng.normal(0, 4)
        canvas.line([middle - half + shift, middle + half + shift], rng.uniform(0.8, 3), -depth * rng.uniform(0.2, 0.8))


def draw_grid(film, pixel, rng, chance):
    """White rulings, evenly spaced, as calibrated whole-spine cassettes print them on the film (grey 0..1)."""
    if rng.uniform() > chance:
        return film
    height, width = film.shape
    step_x, step_y = (rng.uniform(28, 75) / pixel for _ in range(2))
    if rng.uniform() < 0.6:
        step_y = step_x * rng.uniform(0.9, 1.1)
    thick = max(0.35, rng.uniform(0.25, 1.0) / pixel)
    bright, lean = rng.uniform(0.12, 0.5), rng.normal(0, 0.004)
    x, y = np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]
    across = (x + lean * y - rng.uniform(0, step_x)) % step_x
    down = (y - lean * x - rng.uniform(0, step_y)) % step_y
    ruling = np.maximum(
        np.exp(-((np.minimum(across, step_x - across) / thick) ** 2)),
        np.exp(-((np.minimum(down, step_y - down) / thick) ** 2)),
    ) * min(1, thick * 1.6)
    return film + bright * ruling * (film.max() if rng.uniform() < 0.5 else 1)


def draw_stitch(film, rng, chance):
    """The seam of two cassettes: a step in brightness, a line, a small shift sideways."""
    if rng.uniform() > chance:
        return film
    height, width = film.shape
    row = int(rng.uniform(0.02, 0.98) * height)
    film = film.copy()
    film[row:] = film[row:] * rng.uniform(0.85, 1.15) + rng.uniform(-0.06, 0.06)
    if rng.uniform() < 0.7:
        film[row : row + max(1, int(height / 384 * rng.uniform(0.6, 3)))] = rng.choice(
            [rng.uniform(0, 0.3), rng.uniform(0.7, 1.0)]
        )
    return film


def draw_markers(film, pixel, rng, chance):
    """Letters, a lead ball, a ruler, a patient label."""
    height, width = film.shape
    unit = height / 384
    if rng.uniform() < chance:
        for _ in range(rng.integers(1, 4)):
            text = str(rng.choice(["L", "R", "LAT", "L SPINE", "STAND", "AP", "LL", "7/3", "KV 90", "ERECT"]))
            at = (int(rng.uniform(0, 0.85) * width), int(rng.uniform(0.04, 0.99) * height))
            layer = np.zeros(film.shape, np.uint8)
            cv2.putText(
                layer,
                text,
                at,
                cv2.FONT_HERSHEY_SIMPLEX,
                rng.uniform(0.25, 0.7) * unit,
                255,
                max(1, int(unit * rng.uniform(1, 2.4))),
                cv2.LINE_AA,
            )
            if rng.uniform() < 0.3:
                layer = layer[:, ::-1]
            film = film + (rng.uniform(0.75, 1.05) - film) * (layer.astype(np.float32) / 255)
    if rng.uniform() < chance * 0.25:  # a box of another brightness
        x, y = int(rng.uniform(0, 0.9) * width), int(rng.uniform(0, 0.95) * height)
        film = film.copy()
        film[y : y + int(rng.uniform(6, 22) * unit), x : x + int(rng.uniform(8, 60) * unit)] = rng.uniform(0, 1)
    return film
