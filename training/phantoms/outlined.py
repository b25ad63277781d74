"""Generator D's bodies: real outlines, sliced from right to left, turned, tilted and met by a diverging beam."""

import cv2
import numpy as np

from .bones import direction
from .geometry import along, upward
from .outlines import draw_profile, outline_parts

# Loss of height by kind: where an end plate sinks in, from back to front (0..1), and how wide the dent is.
DENT = {"wedge": (0.78, 0.3), "biconcave": (0.48, 0.3), "crush": (0.5, 0.45), "burst": (0.55, 0.35)}


def profile_of(name, fracture, spur, rng):
    """A body's own profile: drawn from real ones, dented where it is broken, with spurs at its front corners."""
    profile = draw_profile(name, rng, rng.uniform(0.6, 1.15)).copy()
    t = np.linspace(0, 1, profile.shape[1] + 2)[1:-1]
    if fracture:
        kind, loss = fracture
        middle, width = DENT[kind]
        dent = np.exp(-(((t - middle - rng.normal(0, 0.06)) / (width * rng.uniform(0.75, 1.2))) ** 2)) * 4 * t * (1 - t)
        depth = loss * (rng.uniform(0.3, 0.42) if kind == "biconcave" else rng.uniform(0.02, 0.16))
        profile[2] -= (depth * dent)[::-1]
        if kind == "biconcave":
            profile[0] -= depth * rng.uniform(0.5, 0.95) * dent
        if kind in ("wedge", "crush") and rng.uniform() < 0.6:  # a step or a beak in the front wall below the rim
            profile[1] += rng.uniform(0.01, 0.06) * np.exp(-(((t - rng.uniform(0.6, 0.85)) / 0.12) ** 2))
        if kind == "burst":
            profile[3] += rng.uniform(0.03, 0.05 + 0.14 * loss) * np.exp(-(((t - rng.uniform(0.12, 0.35)) / 0.25) ** 2))
        if kind == "crush":
            profile[1] += rng.uniform(0, 0.05) * 4 * t * (1 - t)
    for size, at in zip(spur, (0.0, 1.0)):
        profile[1] += size * np.exp(-(((t - at) / 0.14) ** 2))
    return profile


def hollow_of(quad, profile):
    """Share of the height between the corners that both end plates leave out at their middle."""
    depth = (np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3])) / 2
    height = (np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1])) / 2
    middle = profile.shape[1] // 2
    return float(-(profile[0][middle] + profile[2][middle]) * depth / height)


def draw_outlined(canvas, quad, rng, look, shape):
    walls, plates = outline_parts(quad, shape["profile"])
    found = canvas.window(walls + plates, 10)
    if found is None:
        return
    where = found[0]
    angle = direction(quad)
    forward, up = along(angle), upward(angle)
    origin = (quad[0] + quad[3]) / 2
    depth = np.linalg.norm(quad[1] - quad[0])
    half = look["width"] / 2
    slices = 7 if canvas.pixel > 0.6 else 21
    size = (where[0].stop - where[0].start, where[1].stop - where[1].start)
    inside, shell = np.zeros(size, np.float32), np.zeros(size, np.float32)
    corner = np.array([where[1].start, where[0].start])
    wall = max(1, int(round(look["wall"] / canvas.pixel)))
    thin = min(1.0, look["wall"] / canvas.pixel)
    mask = np.zeros(size, np.uint8)
    for position in (np.arange(slices) + 0.5) / slices * 2 - 1:
        side = position * half
        # the middle of an end plate is hollow, its rim is flat; the front is round, the back nearly straight
        outline = walls + plates * (1 - 0.85 * position**2)
        reach = (1 - abs(position) ** 3.0) ** 0.42
        depth_along = (outline - origin) @ forward
        outline = outline + np.outer((reach - 1) * np.clip(depth_along, 0, None) + (1 - reach) * depth * 0.14, forward)
        shift = up * side * np.tan(shape["tilt"]) + forward * side * np.tan(shape["rotation"])
        spread = (outline + shift - look["beam"]) * (1 + side * look["divergence"]) + look["beam"]
        pixels = np.round((spread / canvas.pixel - corner) * 16).astype(np.int32)
        mask[:] = 0
        cv2.fillPoly(mask, [pixels], 255, cv2.LINE_AA, 4)
        inside += mask
        mask[:] = 0
        cv2.polylines(mask, [pixels], True, 255, wall, cv2.LINE_AA, 4)
        shell += mask
    inside *= look["width"] / slices / 255
    shell *= thin * look["width"] / slices / 255
    out = inside * look["density"] * (1 + look["texture"][where]) + shell * look["cortex"]
    if shape["crush"] > 0:  # trabeculae pressed together lie as a band below the broken end plate
        band = [quad[3] * 0.8 + quad[0] * 0.2, quad[2] * 0.75 + quad[1] * 0.25]
        mask[:] = 0
        cv2.polylines(
            mask,
            [np.round((np.array(band) / canvas.pixel - corner) * 16).astype(np.int32)],
            False,
            255,
            max(1, int(round(4 / canvas.pixel))),
            cv2.LINE_AA,
            4,
        )
        soft = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 1.5 / canvas.pixel)
        out += soft * inside * look["density"] * shape["crush"]
    sigma = look["edge"] / canvas.pixel
    if sigma > 0.3:
        out = cv2.GaussianBlur(out, (0, 0), float(sigma))
    canvas.sum[where] += out
