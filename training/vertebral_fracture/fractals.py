"""Formula-driven pictures for the second pretraining: fractals of iterated function systems, one class per formula.

After the idea of FractalDB (Kataoka et al. 2020): no photograph, no label by hand, no licence of data.
"""

import cv2
import numpy as np

CHAINS, STEPS, DROPPED = 400, 90, 12


def formula(rng):
    """Two to seven contracting affine maps and how often each is taken."""
    count = rng.integers(2, 8)
    maps = rng.uniform(-1, 1, (count, 2, 3))
    determinant = np.abs(np.linalg.det(maps[:, :, :2])) + 1e-3
    return maps, determinant / determinant.sum()


def draw(maps, chance, rng, side):
    """The attractor as counts on a grid, log-scaled to 0 to 1; None when it runs away or covers next to nothing."""
    with np.errstate(over="ignore", invalid="ignore"):
        point = np.zeros((CHAINS, 2))
        spots = []
        for step in range(STEPS):
            chosen = maps[rng.choice(len(maps), CHAINS, p=chance)]
            point = np.einsum("nij,nj->ni", chosen[:, :, :2], point) + chosen[:, :, 2]
            if step >= DROPPED:
                spots.append(point)
        spots = np.concatenate(spots)
    if not np.isfinite(spots).all() or np.abs(spots).max() > 1e6:
        return None
    low, high = np.percentile(spots, [1, 99], axis=0)
    place = ((spots - low) / np.maximum(high - low, 1e-9) * (side * 0.9) + side * 0.05).astype(int)
    place = place[((place >= 0) & (place < side)).all(1)]
    counts = np.bincount(place[:, 1] * side + place[:, 0], minlength=side * side).reshape(side, side)
    if (counts > 0).mean() < 0.08:
        return None
    picture = np.log1p(counts).astype(np.float32)
    return picture / picture.max()


class FractalTask:
    """Batches of fractals: which formula, and which quarter turn."""

    def __init__(self, classes=160, seed=20261121):
        rng = np.random.default_rng(seed)
        self.formulas = []
        while len(self.formulas) < classes:
            candidate = formula(rng)
            if draw(*candidate, rng, 64) is not None:
                self.formulas.append(candidate)
        self.heads = {"part": classes, "turn": 4}

    def describe(self):
        return {"formulas": len(self.formulas)}

    def one(self, index, rng, side):
        maps, chance = self.formulas[index]
        for _attempt in range(5):
            varied = maps * rng.uniform(0.85, 1.15, maps.shape)
            picture = draw(varied, chance, rng, side)
            if picture is not None:
                break
        else:
            picture = draw(maps, chance, rng, side)
            picture = np.zeros((side, side), np.float32) if picture is None else picture
        if rng.uniform() < 0.5:
            picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.6))
        if rng.uniform() < 0.5:
            picture = picture[:, ::-1]
        picture = picture * rng.uniform(0.5, 1) * rng.choice([-1, 1])
        return picture + rng.standard_normal(picture.shape, dtype=np.float32) * rng.uniform(0.005, 0.08)

    def batch(self, rng, count, side):
        chosen, turns = rng.integers(0, len(self.formulas), count), rng.integers(0, 4, count)
        pictures = [np.rot90(self.one(i, rng, side), turn) for i, turn in zip(chosen, turns, strict=True)]
        return np.stack(pictures).astype(np.float32), {"part": chosen, "turn": turns}
