"""Truths that every phantom must keep, checked on films drawn for it; ends with an error at the first that fails.

python -m training.phantoms.check [--films 40] [--volumes volumes.npz]
"""

import argparse
from pathlib import Path

import numpy as np

from .ct_volumes import DeformedProjections
from .deform import backwards, bend, forwards, fracture, slip
from .generator import Setting, render
from .geometry import FRONT_TO_BACK_HEIGHT, LEVELS, LUMBAR, PLATE, Prevalence, build_spine, measured_offsets
from .outlines import draw_profile
from .variants import KINDS

QUIET = Prevalence(slip=0, retrolisthesis=0, fracture=0, variant=0)


def check_spines(count):
    """Bodies are convex, stacked in order, slip and lose height as declared."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        spine = build_spine(rng)
        for name, quad in spine.bodies.items():
            edges = np.roll(quad, -1, axis=0) - quad
            turns = edges[:, 0] * np.roll(edges, -1, axis=0)[:, 1] - edges[:, 1] * np.roll(edges, -1, axis=0)[:, 0]
            assert (turns < 0).all(), f"seed {seed}: {name} is folded"
        heights = [spine.bodies[name].mean(0)[1] for name in LEVELS]
        assert (np.diff(heights) > 0).all(), f"seed {seed}: bodies out of order"
        measured = measured_offsets(spine.landmarks())
        declared = [spine.offset[name] for name in ("T12", *LUMBAR)]
        # the table's unit is the plate before a retropulsed fragment lengthened it
        if not any(kind == "burst" for kind, _ in spine.fractures.values()):
            assert np.abs(measured - declared).max() < 0.05, f"seed {seed}: slip {measured} instead of {declared}"


def ratio(quad):
    return np.linalg.norm(quad[2] - quad[1]) / np.linalg.norm(quad[3] - quad[0])


def check_fractures(count):
    """A wedge of 40 % leaves 60 % of the front height, a burst lowers the back wall and moves it into the canal."""
    found = {}
    for kind in ("wedge", "biconcave", "crush", "burst"):
        pairs = []
        for seed in range(count):
            with_it = build_spine(np.random.default_rng(seed), QUIET, fractures={"L2": (kind, 0.4)}).bodies["L2"]
            front, back = np.linalg.norm(with_it[2] - with_it[1]), np.linalg.norm(with_it[3] - with_it[0])
            depth = np.linalg.norm(with_it[1] - with_it[0])
            pairs.append((front / depth, back / depth))
        found[kind] = np.mean(pairs, 0)
    normal = FRONT_TO_BACK_HEIGHT["L2"][0]
    whole = found["biconcave"]
    assert abs(found["wedge"][0] / whole[0] - 0.6) < 0.05 and abs(found["wedge"][1] / whole[1] - 1) < 0.05
    assert found["crush"][1] / whole[1] < 0.8 and found["burst"][1] / whole[1] < 0.9
    assert abs(whole[0] / whole[1] - normal) < 0.05


def check_variants(count):
    for kind in KINDS:
        for seed in range(count):
            spine = build_spine(np.random.default_rng(seed), QUIET, variant=kind)
            assert spine.variant.kind == kind
            top, gap = spine.sacrum[0], np.linalg.norm(spine.sacrum[1][3] - spine.sacrum[0][0])
            disc = np.linalg.norm(spine.bodies["L5"][:2].mean(0) - top[2:].mean(0))
            assert kind != "sacralised" or gap < disc + 6, f"{kind} {seed}: the fixed segment moves more than L5"


def check_deformations(count):
    """What a deformed film shows at a corner is the corner: the way back and forth again ends where it began."""
    worst = 0.0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        spine = build_spine(rng, QUIET)
        names = ("L1", "L2", "L3", "L4")
        acts = [
            fracture(spine.bodies["L2"], str(rng.choice(["wedge", "biconcave", "crush", "burst"])), 0.4, 3.0, 8.0, rng),
            bend(spine.bodies["L4"], spine.bodies["L3"], 0.1),
            slip(spine.bodies["L4"], spine.bodies["L3"], 8.0),
        ]
        points = np.concatenate([spine.bodies[name] for name in names])
        moved = forwards(acts, points)
        worst = max(worst, float(np.abs(forwards(acts, backwards(acts, moved)) - moved).max()))
    assert worst < 0.25, f"corners of a deformed CT would be {worst:.2f} mm off"
    print(f"deformed volumes: corners within {worst:.3f} mm of their picture")


def check_films(count, volumes):
    for version in "ABCDF" + ("V" if volumes else ""):
        for index in range(count):
            film = render(7_900_000 + index, version, volumes=volumes)
            again = render(7_900_000 + index, version, volumes=volumes) if index == 0 else film
            assert np.array_equal(film.image, again.image), f"{version}: a seed gives two films"
            assert film.image.dtype == np.float32 and 0 <= film.image.min() <= film.image.max() <= 1
            seen = inside(film)
            if version == "F":
                assert not seen.any()
            elif film.view == "thoracolumbar":
                assert not seen[PLATE].any(), f"{version} {film.seed}: S1 on a thoracolumbar film"
            if version != "V":
                assert film.known.all()
    for index in range(count):
        film = render(7_910_000 + index, "D", setting=Setting(view="thoracolumbar"))
        assert not inside(film)[PLATE].any()


def inside(film):
    rows, columns = film.image.shape
    with np.errstate(invalid="ignore"):
        return ((film.landmarks >= 0) & (film.landmarks <= [columns - 1, rows - 1])).all(1)


def check_outlines(count):
    """Drawn outlines stay within what bodies look like: no side leaves its chord by a third of the depth."""
    rng = np.random.default_rng(0)
    widest = max(np.abs(draw_profile(str(rng.choice(LEVELS)), rng)).max() for _ in range(count * 10))
    assert widest < 0.33, widest


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--films", type=int, default=25, help="of each version")
    arguments.add_argument("--volumes", type=Path)
    options = arguments.parse_args()
    volumes = DeformedProjections.load(options.volumes) if options.volumes else None
    check_spines(options.films * 8)
    check_fractures(options.films * 2)
    check_variants(options.films * 2)
    check_deformations(options.films)
    check_outlines(options.films)
    check_films(options.films, volumes)
    print("every truth kept")


if __name__ == "__main__":
    main()
