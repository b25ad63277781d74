"""Films on which both detectors are measured: the unseen generator C, and validation films of A, B and D for thresholds.

python -m training.slip_detector.test_set OUT                                # 300 test films, 300 validation films
python -m training.slip_detector.test_set OUT --films 300 --validation 0     # the test films alone

Half of the films are a normal arm without any slip, four tenths slip forwards (one level, at times two), one tenth
backwards. A slip begins at 9 % of the end plate beyond the level's own normal; between normal scatter and that
nothing is drawn, so truth is never a coin toss. Writes pictures, corner files and `manifest.csv` for `wetread evaluate`
and prints the hash of the list: what is tested was fixed before anything was tuned.
"""

import argparse
import hashlib
from pathlib import Path

import cv2
import numpy as np

from ..lumbar_landmarks.export import INPUT
from ..manifests import COLUMNS, Writer
from ..phantoms.generator import Setting, generator_hash, render
from ..phantoms.geometry import LANDMARKS, Prevalence
from .segments import SEGMENTS, counted, segments_in_view

FIRST = {"test": 10_300_000, "validation": 7_600_000}
GENERATORS = {"test": "C", "validation": "ABD"}
ARMS = ("normal",) * 5 + ("forwards",) * 4 + ("backwards",)


def arm_of(index):
    return ARMS[index % len(ARMS)]


def setting_of(seed, arm):
    """What is pinned of a film; everything else is drawn as for training."""
    rng = np.random.default_rng([seed, 53])
    pinned = {}
    if arm == "forwards":
        count = 1 if rng.uniform() < 0.85 else 2
        for level in rng.choice(["L2", "L3", "L4", "L5"], count, replace=False, p=[0.06, 0.14, 0.42, 0.38]):
            pinned[str(level)] = float(np.clip(0.09 + rng.gamma(1.6, 0.09), 0.09, 0.7))
    if arm == "backwards":
        pinned[str(rng.choice(["L1", "L2", "L3", "L4", "L5"]))] = -float(rng.uniform(0.09, 0.2))
    return Setting(prevalence=Prevalence(slip=0.0, retrolisthesis=0.0), displacement=pinned)


def tasks(split, count):
    """(seed, generator, arm) of every film of a split, in order."""
    versions = GENERATORS[split]
    # One arm is not one generator's: the generators change places with every round of arms.
    turn = lambda index: versions[(index + index // len(ARMS)) % len(versions)]
    return [(FIRST[split] + index, turn(index), arm_of(index)) for index in range(count)]


def list_hash(films):
    return hashlib.sha256("\n".join(f"{version} {seed} {arm}" for seed, version, arm in films).encode()).hexdigest()


def meyerding(offset):
    """By quarters of the lower end plate, of the offset as measured."""
    return ("I", "II", "III", "IV", "V")[int(np.digitize(abs(offset), [0.25, 0.5, 0.75, 1.0], right=True))]


def truth_of(film):
    """The columns that say what is true of a film, in wetread's coordinates: the first pixel's centre is at 0.5."""
    found = segments_in_view(counted(film.landmarks), film.image.shape)
    truth = {
        "boxes": "; ".join(
            f"{one.name} " + " ".join(f"{value + 0.5:.2f}" for value in one.box) for one in found if one.direction != 0
        )
    }
    for one in found:
        truth[f"value:slip-percent@{one.name}"] = f"{100 * one.offset:.3f}"
        truth[f"grade:Meyerding@{one.name}"] = "0" if one.direction == 0 else meyerding(one.offset)
    return truth


TRUTH_COLUMNS = ["boxes", "group:arm", "group:generator"] + [
    f"{column}@{name}" for name in SEGMENTS for column in ("value:slip-percent", "grade:Meyerding")
]


def write(out, counts):
    writer = Writer(out, [*COLUMNS, *TRUTH_COLUMNS])
    for split, count in counts.items():
        films = tasks(split, count)
        print(f"{split}: {count} films, list {list_hash(films)}", flush=True)
        for done, (seed, version, arm) in enumerate(films):
            film = render(seed, version, *INPUT, setting=setting_of(seed, arm))
            name = f"{version}{seed}.png"
            cv2.imwrite(str(writer.out / name), np.round(film.image * 255).astype(np.uint8))
            height, width = film.image.shape
            seen = ((film.landmarks >= 0) & (film.landmarks <= [width - 1, height - 1])).all(-1)
            corners = {key: at for key, at, inside in zip(LANDMARKS, film.landmarks.tolist(), seen) if inside}
            writer.add(
                name,
                corners,
                kind="synthetic",
                split=split,
                patient=name,
                spacing=round(film.pixel_mm, 4),
                **truth_of(film),
                **{"group:arm": arm, "group:generator": version},
            )
            if done % 50 == 49:
                print(f"  {done + 1}", flush=True)
    writer.close()
    print(f"generator sources {generator_hash()}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--films", type=int, default=300)
    arguments.add_argument("--validation", type=int, default=300)
    options = arguments.parse_args()
    cv2.setNumThreads(1)
    write(options.out, {"validation": options.validation, "test": options.films})


if __name__ == "__main__":
    main()
