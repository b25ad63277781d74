"""Formula-driven pictures for the second pretraining: fractals of iterated function systems, one class per formula.

After the idea of FractalDB (Kataoka et al. 2020): no photograph, no label by hand, no licence of data.
"""

import numpy as np

from .radiographs import HELD_OUT, SIDE, Pictures

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


def varied(maps, chance, rng, side):
    """A picture of the formula with its numbers a little changed, which is another picture of its class."""
    for _attempt in range(5):
        picture = draw(maps * rng.uniform(0.85, 1.15, maps.shape), chance, rng, side)
        if picture is not None:
            return picture
    picture = draw(maps, chance, rng, side)
    return np.zeros((side, side), np.float32) if picture is None else picture


def pictures(classes=160, each=30, seed=20261121, side=SIDE // 2):
    """As many as there are radiographs; every HELD_OUT-th of a class is never trained on."""
    rng = np.random.default_rng(seed)
    formulas = []
    while len(formulas) < classes:
        candidate = formula(rng)
        if draw(*candidate, rng, 64) is not None:
            formulas.append(candidate)
    drawn = [np.round(varied(*one, rng, side) * 255).astype(np.uint8) for one in formulas for _ in range(each)]
    return Pictures(
        np.stack(drawn),
        np.repeat(np.arange(classes), each),
        np.tile(np.arange(each) % HELD_OUT == 0, classes),
        [f"formula {index}" for index in range(classes)],
    )
