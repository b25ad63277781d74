"""Generator V's films: one deformed CT projection seen through a film's frame, with its own corners as the spine."""

import cv2
import numpy as np

from .bones import rotation
from .ct_volumes import PIXEL
from .geometry import BODY, FROM_BELOW, LEVELS, PLATE, Spine, build_sacrum
from .outlined import draw_outlined, profile_of


def draw(canvas, projections, rng, view):
    """Adds a projection to the canvas; returns its spine, the corners, which of them the volume holds, and the view."""
    pick = int(rng.integers(0, len(projections.soft)))
    soft, bone = projections.soft[pick].astype(np.float32), projections.bone[pick].astype(np.float32)
    corners = projections.corners[pick].astype(float)
    height, width = canvas.y[-1, 0], canvas.x[0, -1]
    size = np.exp(rng.normal(0, 0.1))
    turn = rotation(np.radians(rng.normal(0, 6))) * size @ np.diag([np.exp(rng.normal(0, 0.04)), 1])
    known = np.isfinite(corners).all(1)
    moved = corners @ turn.T
    top, bottom = (np.array([soft.shape[1] / 2, y]) * PIXEL @ turn.T for y in (6, soft.shape[0] - 6))
    lowest = moved[BODY[str(rng.choice(["L2", "L3", "L4"]))]][0]
    if view == "thoracolumbar" and lowest[1] - top[1] < 0.85 * height:  # the volume ends too soon above
        view = "lumbar"
    lowest = lowest if view == "thoracolumbar" else moved[PLATE][0]
    low = rng.uniform(0.93, 1.0) if view == "thoracolumbar" else rng.uniform(0.6, 0.95)
    # the film stays on the volume if it can
    down = (
        np.clip(low * height - lowest[1], height - bottom[1] - 10, 10 - top[1])
        if bottom[1] - top[1] > height
        else (low * height - lowest[1])
    )
    y = moved[known][:, 1] + down
    seen = (y > 0) & (y < height)
    centre = moved[known][seen, 0].mean() if seen.any() else moved[known][:, 0].mean()
    shift = np.array(
        [width * (rng.uniform(0.32, 0.6) if width < 0.53 * height else rng.uniform(0.22, 0.66)) - centre, down]
    )
    inverse = np.linalg.inv(turn)
    # cv2's maps go from pixel centres to pixel centres
    matrix = inverse * canvas.pixel / PIXEL
    offset = (inverse @ (0.5 * canvas.pixel - shift)) / PIXEL - 0.5
    border = cv2.BORDER_REPLICATE if rng.uniform() < 0.7 else cv2.BORDER_CONSTANT
    fetch = lambda plane: cv2.warpAffine(
        plane,
        np.c_[matrix, offset],
        canvas.shape[::-1],
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )
    bone = bone + rng.uniform(0, 1.8) * (bone - cv2.GaussianBlur(bone, (0, 0), 2.5))  # undo some of the slices' blur
    canvas.sum += np.clip(fetch(soft), 0, None) * rng.uniform(0.006, 0.014)
    canvas.sum += np.clip(fetch(bone), 0, None) * np.exp(rng.uniform(np.log(0.014), np.log(0.06)))
    return spine_of(moved + shift, projections.changes[pick], rng), moved + shift, known, view


def spine_of(points, changes, rng):
    bodies = {level: points[BODY[level]] for level in LEVELS if np.isfinite(points[BODY[level]]).all()}
    back, front = points[PLATE]
    slope = np.arctan2(*(front - back)[::-1])
    sacrum = [quad + back for quad in build_sacrum(rng, slope, np.linalg.norm(front - back))]
    sacrum[0][[3, 2]] = back, front
    depth = np.linalg.norm(bodies["L3"][1] - bodies["L3"][0])
    displacement = {name: changes["slips"].get(name, 0.0) for name in FROM_BELOW}
    fractures = {name: tuple(found) for name, found in changes["fractures"].items()}
    return Spine(bodies, sacrum, displacement, dict(displacement), fractures, depth / 34.5)


def sharpen(canvas, spine, rng, look):
    """Slices of 3 or 4 mm blur every end plate: their rims are drawn again where the corners say that they are."""
    strength = rng.uniform(0, 0.8)
    quads = list(spine.bodies.items())
    top = spine.sacrum[0]
    quads.append(("S1", np.array([top[3] * 0.6 + top[0] * 0.4, top[2] * 0.6 + top[1] * 0.4, top[2], top[3]])))
    for name, quad in quads:
        fracture = spine.fractures.get(name)
        shape = {
            "profile": profile_of("L5" if name == "S1" else name, fracture, (0, 0), rng) * 0.8,
            "tilt": look["tilt"],
            "rotation": look["turn"],
            "crush": 0,
        }
        own = {**look, "density": look["density"] * 0.1 * strength, "cortex": look["cortex"] * strength}
        draw_outlined(canvas, quad, rng, own, shape)


def look_of(canvas, rng, spine, texture):
    return {
        "density": rng.uniform(0.003, 0.01),
        "cortex": np.exp(rng.uniform(np.log(0.005), np.log(0.022))),
        "texture": texture,
        "beam": np.array([canvas.x.mean(), canvas.y.mean()]),
        "width": rng.uniform(42, 52) * spine.scale,
        "edge": rng.uniform(0.25, 0.9),
        "wall": rng.uniform(0.5, 1.4),
        "divergence": 1 / rng.uniform(850, 1900),
        "tilt": np.radians(rng.normal(0, 2)),
        "turn": np.radians(rng.normal(0, 3)),
    }
