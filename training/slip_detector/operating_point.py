"""Choose where the landmark route calls a slip, from what the pack itself answered on validation films.

wetread evaluate --pack lumbar-landmarks --data FILMS/manifest.csv --out EVALUATION
python -m training.slip_detector.operating_point FILMS/manifest.csv EVALUATION/answers.jsonl            # shows
python -m training.slip_detector.operating_point FILMS/manifest.csv EVALUATION/answers.jsonl --write    # and keeps

A level is called when it lies further from its own normal than `limit + deviations x standard deviation`. Both are
chosen together on validation films: the best F1 among those with at most `--false-alarms` on each normal film. One limit
serves all levels, since a level by itself has too few slips to choose on. Backwards, where real spines scatter more
(hand labels, 30 films: up to 7.8 % at L5/S1), the limit is at least 1.5 standard deviations of the level's normal.
Test films are measured and never chosen on.
"""

import argparse
import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..phantoms.geometry import NORMAL_OFFSET
from .segments import NORMAL, SEGMENTS, UPPER

ROOT = Path(__file__).parents[2]
PACK = ROOT / "models" / "lumbar-landmarks" / "manifest.json"
POINTS = ROOT / "training" / "lumbar_landmarks" / "operating-points.json"
LEAST = {"anterior": 3.0, "posterior": 5.0}  # percent; the pack's leastPercent
SPREAD = 100 * np.array([NORMAL_OFFSET[level][1] for level in UPPER])
BACKWARDS_DEVIATIONS = 1.5


@dataclass(frozen=True)
class Levels:
    """Films x levels; NaN where a level is not in view or was not measured."""

    true: np.ndarray
    read: np.ndarray
    deviation: np.ndarray
    slipped: np.ndarray
    normal: np.ndarray  # films without a slip
    refused: int


def read_levels(manifest, answers, split):
    with open(manifest, newline="") as table:
        truth = {row["file"]: row for row in csv.DictReader(table) if row["split"] == split}
    true, read, deviation, slipped, normal, refused = [], [], [], [], [], 0
    for line in Path(answers).read_text().splitlines():
        answer = json.loads(line)
        row = truth.get(answer.get("file"))
        if row is None:
            continue
        if "abstained" in answer or "failed" in answer:
            refused += 1
            continue
        boxed = {box.split()[0] for box in row["boxes"].split(";") if box.strip()}
        values = [answer["values"].get(f"slip-percent@{name}") for name in SEGMENTS]
        true.append([float(row[f"value:slip-percent@{name}"] or "nan") for name in SEGMENTS])
        read.append([np.nan if value is None else value["value"] for value in values])
        deviation.append(
            [np.nan if v is None else (v["interval"][1] - v["interval"][0]) / (2 * 1.959964) for v in values]
        )
        slipped.append([name in boxed for name in SEGMENTS])
        normal.append(not boxed)
    return Levels(*map(np.array, (true, read, deviation, slipped, normal)), refused)


def limits(limit):
    """Forwards one limit; backwards at least what real normals scatter by."""
    return np.full(5, limit), np.maximum(limit, BACKWARDS_DEVIATIONS * SPREAD)


def called(levels, limit, deviations):
    """1 forwards, -1 backwards, 0 not called: the same comparison as `beyondNormal` in slip.ts."""
    forwards, backwards = limits(limit)
    above = levels.read - 100 * NORMAL
    slack = deviations * levels.deviation
    ahead = np.minimum(above - forwards, levels.read - LEAST["anterior"]) - slack >= 0
    behind = np.minimum(-above - backwards, -levels.read - LEAST["posterior"]) - slack >= 0
    return np.where(ahead, 1, np.where(behind, -1, 0))


def figures(levels, limit, deviations):
    answers = called(levels, limit, deviations)
    measured = np.isfinite(levels.read)
    found, slipped = (answers != 0) & measured, levels.slipped & np.isfinite(levels.true)
    hit, false, missed = (found & slipped).sum(), (found & ~slipped).sum(), (slipped & ~found).sum()
    direction = np.sign(levels.true - 100 * NORMAL)
    forwards, backwards = slipped & (direction > 0), slipped & (direction < 0)
    share = lambda part, whole: float(part.sum() / max(whole.sum(), 1))
    return {
        "f1": float(2 * hit / max(2 * hit + false + missed, 1)),
        "precision": float(hit / max(hit + false, 1)),
        "recall": float(hit / max(hit + missed, 1)),
        "falseAlarmsPerNormalFilm": float(found[levels.normal].sum() / max(levels.normal.sum(), 1)),
        "forwardsFound": share(forwards & (answers > 0), forwards),
        "backwardsFound": share(backwards & (answers < 0), backwards),
        "calledTheOtherWay": int((slipped & found & (answers != direction)).sum()),
    }


def choose(levels, most, deviations=(0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)):
    """(limit, deviations) with the best F1 under so many false alarms; the strictest where none keeps to it."""
    tried = [(limit, by) for by in deviations for limit in np.arange(3.0, 16.01, 0.25)]
    found = [figures(levels, *one) for one in tried]
    kept = [index for index, one in enumerate(found) if one["falseAlarmsPerNormalFilm"] <= most]
    if not kept:
        return min(zip(tried, found, strict=True), key=lambda one: one[1]["falseAlarmsPerNormalFilm"])
    best = max(kept, key=lambda index: found[index]["f1"])
    return tried[best], found[best]


def show(title, found):
    print(f"{title}: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()))


def write(limit, deviations):
    manifest, points = json.loads(PACK.read_text()), json.loads(POINTS.read_text())
    forwards, backwards = limits(limit)
    by_name = lambda values: {name: round(float(value), 3) for name, value in zip(SEGMENTS, values, strict=True)}
    manifest["operatingPoints"] |= {
        "anteriorPercentAboveNormal": by_name(forwards),
        "posteriorPercentBelowNormal": by_name(backwards),
        "slipDeviations": {"anterior": deviations, "posterior": deviations},
    }
    points["slip"]["thresholdAboveNormal"] = {level: round(limit / 100, 4) for level in UPPER}
    points["slip"]["deviations"] = deviations
    PACK.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    POINTS.write_text(json.dumps(points, indent=2) + "\n")
    print(f"kept in {PACK.relative_to(ROOT)} and {POINTS.relative_to(ROOT)}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("manifest", type=Path)
    arguments.add_argument("answers", type=Path)
    arguments.add_argument("--false-alarms", type=float, default=0.05, help="at most so many on each normal film")
    arguments.add_argument("--write", action="store_true")
    options = arguments.parse_args()
    levels = read_levels(options.manifest, options.answers, "validation")
    print(f"validation, synthetic: {len(levels.read)} films read ({levels.normal.sum()} normal), {levels.refused} refused")
    plain, without = choose(levels, options.false_alarms, (0.0,))
    show(f"one limit ({plain[0]:.2f} %)", without)
    (limit, deviations), found = choose(levels, options.false_alarms)
    show(f"limit {limit:.2f} % and {deviations:.2f} deviations", found)
    test = read_levels(options.manifest, options.answers, "test")
    if len(test.read):
        print(f"test, synthetic: {len(test.read)} films read ({test.normal.sum()} normal), {test.refused} refused")
        show(f"one limit ({plain[0]:.2f} %)", figures(test, *plain))
        show(f"limit {limit:.2f} % and {deviations:.2f} deviations", figures(test, limit, deviations))
    if options.write:
        write(float(limit), float(deviations))


if __name__ == "__main__":
    main()
