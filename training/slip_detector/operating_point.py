"""Choose where the landmark route calls a slip, from what the pack itself answered on validation films.

wetread evaluate --pack lumbar-landmarks --data FILMS/manifest.csv --out EVALUATION
python -m training.slip_detector.operating_point FILMS/manifest.csv EVALUATION/answers.jsonl            # shows
python -m training.slip_detector.operating_point FILMS/manifest.csv EVALUATION/answers.jsonl --write    # and keeps

The step of a level is seen twice: at the back, where the slip is measured, and at the front, since facing end plates are
about equally long. A level is called when the weighed mean of both lies further from its own normal than
`limit + deviations x standard deviation + disagreement x |front - back|`. All four numbers are chosen together: the best
F1 on validation films among those with at most `--false-alarms` on each normal one. One limit serves all levels, since a
level by itself has too few slips to choose on; backwards it is raised where normal spines scatter most (hand labels, 30
films: 7.8 % at L5/S1). Test films are measured and never chosen on.

The intervals of each level are widened until 95 % hold the truth, wrong levels and slips included. Answers must come from
the pack as its manifest stands: what it widened already is taken back first.
"""

import argparse
import csv
import itertools
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
USUAL_SPREAD = 5.0  # of a level's normal; what is beyond it raises the limit backwards
GRID = {
    # Normal spines scatter by 5 % whatever a film shows: however sure the corners are, nothing is called within that.
    "limit": np.arange(5.0, 16.01, 0.5),
    # On phantoms less of the front does as well, but what a real film shows wrongly is most often a single corner at the
    # back, which only the front contradicts.
    "frontShare": (0.5, 0.6),
    "deviations": (0.0, 0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5),
    "disagreement": (0.0, 0.15, 0.3, 0.4, 0.5, 0.6, 0.75, 1.0),
}


@dataclass(frozen=True)
class Levels:
    """Films x levels; NaN where a level is not in view or was not measured."""

    true: np.ndarray
    read: np.ndarray
    front: np.ndarray  # the step at the front
    deviation: np.ndarray
    slipped: np.ndarray
    normal: np.ndarray  # films without a slip
    refused: int


def read_levels(manifest, answers, split):
    with open(manifest, newline="") as table:
        truth = {row["file"]: row for row in csv.DictReader(table) if row["split"] == split}
    true, read, front, deviation, slipped, normal, refused = [], [], [], [], [], [], 0
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
        front.append([front_step(answer["landmarks"], name) for name in SEGMENTS])
        deviation.append(
            [np.nan if v is None else (v["interval"][1] - v["interval"][0]) / (2 * 1.959964) for v in values]
        )
        slipped.append([name in boxed for name in SEGMENTS])
        normal.append(not boxed)
    widened = json.loads(PACK.read_text())["operatingPoints"].get("slipIntervalFactor", {})
    deviation = np.array(deviation) / [widened.get(name, 1.0) for name in SEGMENTS]
    return Levels(*map(np.array, (true, read, front, deviation, slipped, normal)), refused)


def front_step(landmarks, segment):
    """From the front of the lower end plate to the lower front corner of the body above, in percent of that plate."""
    upper, lower = segment.split("/")
    moved, back, front = (
        np.array(landmarks[name])
        for name in (f"{upper}.anteriorInferior", f"{lower}.posteriorSuperior", f"{lower}.anteriorSuperior")
    )
    axis = front - back
    return float(100 * ((moved - front) @ axis) / (axis @ axis))


def limits(limit):
    """Forwards one limit; backwards more where real normals scatter most."""
    return np.full(5, limit), limit + np.maximum(SPREAD - USUAL_SPREAD, 0)


def called(levels, point):
    """1 forwards, -1 backwards, 0 not called: the same comparison as `beyondNormal` in slip.ts."""
    forwards, backwards = limits(point["limit"])
    share = point["frontShare"]
    above = (1 - share) * levels.read + share * levels.front - 100 * NORMAL
    doubt = point["deviations"] * levels.deviation + point["disagreement"] * np.abs(levels.front - levels.read)
    ahead = (above - forwards - doubt >= 0) & (levels.read >= LEAST["anterior"])
    behind = (-above - backwards - doubt >= 0) & (-levels.read >= LEAST["posterior"])
    return np.where(ahead, 1, np.where(behind, -1, 0))


def figures(levels, point):
    answers = called(levels, point)
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


def interval_factors(levels):
    """How much wider each level's interval must be to hold 95 % of the truths; never narrower than the net states."""
    beyond = np.abs(levels.read - levels.true) / (1.959964 * levels.deviation)
    return np.maximum(1.0, np.nanquantile(beyond, 0.95, axis=0))


def coverage(levels, factors):
    """The share of truths within their intervals: of all levels, and of those that slipped."""
    inside = np.abs(levels.read - levels.true) <= 1.959964 * levels.deviation * factors
    known = np.isfinite(levels.read) & np.isfinite(levels.true)
    return {"all": float(inside[known].mean()), "slipped": float(inside[known & levels.slipped].mean())}


def choose(levels, most, grid=GRID):
    """The point with the best F1 under so many false alarms; the one with the fewest where none keeps to it."""
    tried = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    found = [figures(levels, point) for point in tried]
    kept = [index for index, one in enumerate(found) if one["falseAlarmsPerNormalFilm"] <= most]
    fewest = lambda index: -found[index]["falseAlarmsPerNormalFilm"]
    best = max(kept, key=lambda index: found[index]["f1"]) if kept else max(range(len(tried)), key=fewest)
    return tried[best], found[best]


def show(title, found):
    print(f"{title}: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()))


def write(point, factors):
    manifest, points = json.loads(PACK.read_text()), json.loads(POINTS.read_text())
    forwards, backwards = limits(point["limit"])
    evidence = {name: float(point[name]) for name in ("frontShare", "deviations", "disagreement")}
    by_name = lambda values: {name: round(float(value), 3) for name, value in zip(SEGMENTS, values, strict=True)}
    manifest["operatingPoints"] |= {
        "anteriorPercentAboveNormal": by_name(forwards),
        "posteriorPercentBelowNormal": by_name(backwards),
        "slipEvidence": evidence,
        "slipIntervalFactor": by_name(factors),
    }
    manifest["operatingPoints"].pop("slipDeviations", None)
    points["slip"] |= {
        "definition": DEFINITION,
        "thresholdAboveNormal": {level: round(float(point["limit"]) / 100, 4) for level in UPPER},
        "evidence": evidence,
        "intervalFactor": {level: round(float(value), 3) for level, value in zip(UPPER, factors, strict=True)},
    }
    points["slip"].pop("deviations", None)
    PACK.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    POINTS.write_text(json.dumps(points, indent=2) + "\n")
    print(f"kept in {PACK.relative_to(ROOT)} and {POINTS.relative_to(ROOT)}")


DEFINITION = (
    "back = dot(upper.posteriorInferior - lower.posteriorSuperior, axis) / |axis|^2 with axis = lower.anteriorSuperior - "
    "lower.posteriorSuperior (S1's end plate for L5), front = dot(upper.anteriorInferior - lower.anteriorSuperior, axis) / "
    "|axis|^2; forwards positive; the slip is back; a level is called when (1 - frontShare) * back + frontShare * front - "
    "normalOffset >= thresholdAboveNormal + deviations * standard deviation of back + disagreement * |front - back|; "
    "interval = back +- 1.96 * intervalFactor * standard deviation of back"
)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("manifest", type=Path)
    arguments.add_argument("answers", type=Path)
    arguments.add_argument("--false-alarms", type=float, default=0.05, help="at most so many on each normal film")
    arguments.add_argument("--write", action="store_true")
    options = arguments.parse_args()
    levels = read_levels(options.manifest, options.answers, "validation")
    print(f"validation, synthetic: {len(levels.read)} films read ({levels.normal.sum()} normal), {levels.refused} refused")
    none = (0.0,)
    kinds = {
        "the limit alone": GRID | {"frontShare": none, "deviations": none, "disagreement": none},
        "with the interval": GRID | {"frontShare": none, "disagreement": none},
        "with the interval and the front": GRID,
    }
    chosen = {}
    for kind, grid in kinds.items():
        chosen[kind], found = choose(levels, options.false_alarms, grid)
        show(f"{kind} {({name: float(value) for name, value in chosen[kind].items()})}", found)
    factors = interval_factors(levels)
    print("intervals are widened by", dict(zip(SEGMENTS, factors.round(3).tolist(), strict=True)))
    show("validation, intervals as stated hold", coverage(levels, np.ones(5)))
    show("validation, widened", coverage(levels, factors))
    test = read_levels(options.manifest, options.answers, "test")
    if len(test.read):
        print(f"test, synthetic: {len(test.read)} films read ({test.normal.sum()} normal), {test.refused} refused")
        for kind, point in chosen.items():
            show(kind, figures(test, point))
        show("test, intervals as stated hold", coverage(test, np.ones(5)))
        show("test, widened", coverage(test, factors))
    if options.write:
        write(chosen["with the interval and the front"], factors)


if __name__ == "__main__":
    main()
