"""Cohorts of vertebrae from phantoms, cropped by corners that err as the corner finder's do.

    python -m training.vertebral_fracture.cohorts OUT --cts CTS      renders all, resumable
    python -m training.vertebral_fracture.cohorts OUT --cohorts train --films 200

A film is a patient. `train` and `internal` come from the training generators with different seeds, `external` from
generator C, `prospective` from the training generators with fewer fractures and another machine's exposure. Generator V
shows real CTs whose bodies were broken in space, as `broken_cts` writes them to CTS: one CT is trained on, and nothing
of the other, which makes `deformed-ct`. Generator T has no place here: it bends a CT to drawn corners, so a biconcave body
of its has straight end plates, and its tissue is that of both CTs.
"""

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..phantoms.ct_volumes import DeformedProjections
from ..phantoms.generator import Setting, generator_hash, render
from ..phantoms.geometry import FRONT_TO_BACK_HEIGHT, LANDMARKS
from .crops import crop_of, mask_of

CLASSES = {"wedge": 1, "biconcave": 1, "crush": 2, "burst": 2}
# How often a fracture is of which kind, and the loss of height that it is drawn with. Nothing lies between the normal
# scatter and the least loss: a biconcave body loses about three fifths of the stated share at its middle.
KINDS = {"wedge": (0.34, 0.2, 0.6), "biconcave": (0.22, 0.33, 0.65), "crush": (0.22, 0.3, 0.6), "burst": (0.22, 0.33, 0.6)}
# What a body of generator V must have lost to count as broken; its biconcave ones lose all of the share at their middle.
LEAST_IN_CT = {"wedge": 0.2, "biconcave": 0.2, "crush": 0.3, "burst": 0.33}
LEVEL_SHARE = {"T10": 0.03, "T11": 0.07, "T12": 0.2, "L1": 0.26, "L2": 0.17, "L3": 0.12, "L4": 0.09, "L5": 0.06}
LEAST_SPREAD = 0.004  # of the greys inside; below it the body lies in a blade or a burnt-out part of the film
PIXELS = ((576, 384), (768, 512))  # canvases; the real films at hand are of this order


@dataclass(frozen=True)
class Cohort:
    versions: str
    first: int
    films: int
    fractured: float  # share of films with a fracture
    other_exposure: bool = False
    crowded: bool = False  # half of the levels broken and all of them used: for tuning a backbone, never for figures


COHORTS = {
    "train": Cohort("ABDV", 2_000_000, 520, 0.66),
    "internal": Cohort("ABD", 7_300_000, 80, 0.66),
    "external": Cohort("C", 8_600_000, 120, 0.66),
    "prospective": Cohort("ABD", 8_400_000, 60, 0.3, other_exposure=True),
    "deformed-ct": Cohort("V", 8_900_000, 120, 0.0),
    # `external` is looked at while things are settled; by this list nothing is.
    "external-once": Cohort("C", 8_750_000, 160, 0.66),
}
TUNING = {"tuning": Cohort("ABDV", 3_000_000, 240, 1.0, crowded=True)}
TRAINED_CT, HELD_OUT_CT = "pelvis_lumbar_ct", "abdomen_ct"


def draw_fractures(rng, share, kinds):
    """None to two fractured levels, with kind and loss."""
    if rng.uniform() >= share:
        return {}
    names, chances = list(LEVEL_SHARE), np.array(list(LEVEL_SHARE.values()))
    weights = np.array([KINDS[kind][0] for kind in kinds])
    found = {}
    for level in rng.choice(names, 1 + int(rng.uniform() < 0.25), replace=False, p=chances / chances.sum()):
        kind = str(rng.choice(kinds, p=weights / weights.sum()))
        found[str(level)] = (kind, float(rng.uniform(*KINDS[kind][1:])))
    return found


def draw_many(rng, kinds):
    """About half of all levels broken, each kind as often as another."""
    found = {}
    for level in LEVEL_SHARE:
        if rng.uniform() < 0.55:
            kind = str(rng.choice(kinds))
            found[level] = (kind, float(rng.uniform(*KINDS[kind][1:])))
    return found


def chosen_levels(rng, fractures, seen):
    """Every fractured level in view and one intact one; one or two intact ones where nothing is fractured."""
    broken = [level for level in fractures if level in seen]
    intact = [level for level in seen if level not in fractures]
    wanted = int(rng.uniform() < 0.45) if broken else 1 + int(rng.uniform() < 0.4)
    chances = np.array([LEVEL_SHARE[level] for level in intact])
    count = min(wanted, len(intact))
    extra = rng.choice(intact, count, replace=False, p=chances / chances.sum()) if count else []
    return broken + [str(level) for level in extra]


def disturbed(corners, pixel_mm, rng):
    """Corners as the finder gives them: about 0.9 mm off at the median, some bodies much worse."""
    spread = 0.62 * np.exp(rng.normal(0, 0.45)) * (2.2 if rng.uniform() < 0.06 else 1)
    body, own = rng.normal(0, 0.6 * spread, 2), rng.normal(0, spread, (4, 2))
    return corners + (body + own) / pixel_mm


def exposed(image, rng):
    """Another machine: tone, window, sharpness and noise that the training films do not have together."""
    image = image ** np.exp(rng.uniform(-0.5, 0.5))
    image = rng.uniform(0.05, 0.25) + image * rng.uniform(0.55, 0.75)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.6, 1.4))
    return np.clip(image + rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(0.005, 0.03), 0, 1)


def bodies_of(landmarks):
    names = [name.split(".")[0] for name in LANDMARKS]
    return {level: landmarks[[i for i, name in enumerate(names) if name == level]] for level in names if level != "S1"}


def in_view(corners, shape):
    return bool(np.isfinite(corners).all() and (corners >= 2).all() and (corners <= [shape[1] - 3, shape[0] - 3]).all())


def heights(level, corners, bodies, shape):
    """What a rule on heights would look at, from the disturbed corners: the level's own normal and the neighbours."""
    front, back = (lambda c: np.linalg.norm(c[2] - c[1])), (lambda c: np.linalg.norm(c[3] - c[0]))
    depth = (np.linalg.norm(corners[1] - corners[0]) + np.linalg.norm(corners[2] - corners[3])) / 2
    mean, sd = FRONT_TO_BACK_HEIGHT[level]
    order = list(bodies)
    near = [order.index(level) - 1, order.index(level) + 1]
    beside = [bodies[order[i]] for i in near if 0 <= i < len(order) and in_view(bodies[order[i]], shape)]
    typical = lambda part: np.mean([part(c) for c in beside]) if beside else part(corners)
    return [
        (front(corners) / back(corners) - mean) / sd,
        front(corners) / depth,
        back(corners) / depth,
        front(corners) / typical(front),
        back(corners) / typical(back),
    ]


HEIGHTS = ["ratio against the level's normal", "front / depth", "back / depth", "front / neighbours", "back / neighbours"]


def vertebrae_of(seed, cohort, version, kinds, volumes=None):
    """The vertebrae of one film: crop, corners in it, class and what else is known."""
    rng = np.random.default_rng([seed, 77])
    fractures = draw_many(rng, kinds) if cohort.crowded else draw_fractures(rng, cohort.fractured, kinds)
    clean = bool(rng.uniform() < 0.6)  # most films have no rulings, seams or letters
    setting = Setting(fractures=fractures, implants=0.08, variant="usual", clean=clean)
    film = render(seed, version, *PIXELS[int(rng.integers(0, 2))], setting, None, volumes)
    fractures = film.spine.fractures  # V draws its own
    image = exposed(film.image, rng) if cohort.other_exposure else film.image
    truth = bodies_of(film.landmarks)
    seen = [level for level in LEVEL_SHARE if level in truth and in_view(truth[level], image.shape)]
    noisy = {level: disturbed(corners, film.pixel_mm, rng) for level, corners in truth.items()}
    for level in seen if cohort.crowded else chosen_levels(rng, fractures, seen):
        crop, corners = crop_of(image, noisy[level])
        if crop[mask_of(corners)].std() < LEAST_SPREAD:
            continue
        kind, loss = fractures.get(level, ("none", 0.0))
        if kind != "none" and loss < (LEAST_IN_CT if version == "V" else {k: v[1] for k, v in KINDS.items()})[kind]:
            continue
        yield {
            "crop": crop, "corners": corners, "class": CLASSES.get(kind, 0), "kind": kind, "loss": loss, "level": level,
            "patient": seed, "version": version, "hollow": film.spine.hollow.get(level, np.nan), "heights": heights(level, noisy[level], noisy, image.shape),
        }


def save(path, rows, **more):
    columns = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    part = path.with_suffix(".part.npz")
    np.savez(part, **columns, **more)
    part.rename(path)


def list_hash(rows):
    """Identity of a data list: which vertebra of which seed has which class."""
    text = "\n".join(f"{r['patient']} {r['version']} {r['level']} {r['class']} {r['kind']}" for r in rows)
    return hashlib.sha256(text.encode()).hexdigest()


def load(folder, name):
    parts = [dict(np.load(path)) for path in sorted(Path(folder).glob(f"{name}-[0-9]*.npz"))]
    columns = {key: np.concatenate([part[key] for part in parts]) for key in parts[0] if key != "generator"}
    generators = sorted({str(part["generator"]) for part in parts})
    keys = ("patient", "version", "level", "class", "kind")
    rows = [dict(zip(keys, row, strict=True)) for row in zip(*(columns[key] for key in keys), strict=True)]
    return columns, {"generator": generators, "list": list_hash(rows)}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--cohorts", nargs="+", default=list(COHORTS), choices=[*COHORTS, *TUNING])
    arguments.add_argument("--films", type=int, help="instead of each cohort's own number")
    arguments.add_argument("--share", type=float, default=1.0, help="of each cohort's films")
    arguments.add_argument("--cts", type=Path, help="folder written by training.vertebral_fracture.broken_cts, for version V")
    arguments.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    options = arguments.parse_args()
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.cohorts:
        cohort = {**COHORTS, **TUNING}[name]
        films = options.films or int(cohort.films * options.share)
        ct = HELD_OUT_CT if name == "deformed-ct" else TRAINED_CT
        volumes = DeformedProjections.load(options.cts / f"broken-{ct}.npz") if options.cts and "V" in cohort.versions else None
        versions = cohort.versions if volumes else cohort.versions.replace("V", "")
        if not versions:
            continue
        for start in range(0, films, 40):
            path = options.out / f"{name}-{start:05d}.npz"
            if path.exists():
                continue
            rows = []
            for index in range(start, min(start + 40, films)):
                version = versions[index % len(versions)]
                rows += vertebrae_of(cohort.first + index, cohort, version, options.kinds, volumes)
            save(path, rows, generator=generator_hash())
            print(f"{path.name}: {len(rows)} vertebrae", flush=True)
        columns, identity = load(options.out, name)
        counts = np.bincount(columns["class"], minlength=3).tolist()
        print(json.dumps({"cohort": name, "vertebrae": sum(counts), "classes": counts, **identity}), flush=True)


if __name__ == "__main__":
    main()
