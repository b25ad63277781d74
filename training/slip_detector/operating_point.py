"""Choose how a slip is told and where it is called, on validation films as the exported graph reads them.

python -m training.slip_detector.operating_point MODEL.onnx FILMS/manifest.csv --data DATA            # shows
python -m training.slip_detector.operating_point MODEL.onnx FILMS/manifest.csv --data DATA --write    # and keeps
python -m training.slip_detector.operating_point MODEL.onnx FILMS/manifest.csv --data DATA --test     # test films, too

A level's slip is joined from the corners at its back and from the slip branch (`joined`); by how much the branch's own
standard deviation counts is what gives the smallest mean error. The corners see the step once more, at the front, since
facing end plates are about equally long. A level is called when its slip, with that share of the front in what the corners
say, lies further from its own normal than `limit + deviations x standard deviation + disagreement x |front - back|`. These
four are chosen together: the best F1 among those with at most `--false-alarms` on each normal film. One limit serves all
levels, since a level by itself has too few slips to choose on; backwards it is raised where normal spines scatter most
(hand labels, 30 films: 7.8 % at L5/S1). Test films are never chosen on.

The intervals of each level are widened until 95 % hold the truth, wrong levels and slips included; then all of them by one
factor until they also hold the labels of the real films of validation. Comes after `seal_pack`, which scales the spreads
of corners, and the choice of the gate.
"""

import argparse
import csv
import itertools
import json
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np

from ..lumbar_landmarks import gate
from ..lumbar_landmarks.reader import FilmReader
from ..lumbar_landmarks.real_films import films as real_films
from ..phantoms.geometry import NORMAL_OFFSET, measured_offsets
from .joined import EDGE, Steps, joined, steps_of
from .segments import NORMAL, SEGMENTS, UPPER

ROOT = Path(__file__).parents[2]
PACK = ROOT / "models" / "lumbar-landmarks" / "manifest.json"
POINTS = ROOT / "training" / "lumbar_landmarks" / "operating-points.json"
LEAST = {"anterior": 3.0, "posterior": 5.0}  # percent; the pack's leastPercent
SPREAD = 100 * np.array([NORMAL_OFFSET[level][1] for level in UPPER])
USUAL_SPREAD = 5.0  # of a level's normal; what is beyond it raises the limit backwards
SEEN_SCALES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.2, 1.5)  # the branch's standard deviation counts so many times
GRID = {
    # Normal spines scatter by 5 % whatever a film shows: however sure a measurement is, nothing is called within that.
    "limit": np.arange(5.0, 16.01, 0.5),
    "frontShare": (0.0, 0.25, 0.5),
    "deviations": (0.0, 0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5),
    "disagreement": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
}
FOLDS = 5  # of the films, to tell how much of a figure is the choice itself
STRICTER = np.arange(1.0, 0.25, -0.1)  # shares of the alarms allowed, tried until other films keep to them
LABEL = 2.0  # percent of the end plate: a hand label's own deviation, of two corners marked to half a millimetre


@dataclass(frozen=True)
class Levels:
    """Films x levels; NaN where a level is not in view or was not measured."""

    steps: Steps
    true: np.ndarray
    slipped: np.ndarray
    normal: np.ndarray  # films without a slip
    refused: int

    def of(self, films):
        steps = Steps(*(getattr(self.steps, field.name)[films] for field in fields(Steps)))
        return Levels(steps, self.true[films], self.slipped[films], self.normal[films], 0)


def kept():
    """The gate's limits and the scale of the corners' variances that were chosen for the model."""
    limits = json.loads(POINTS.read_text())["gate"]["limits"]
    return limits, json.loads(PACK.read_text())["operatingPoints"]["varianceScale"]["slip"]


def read_levels(reader, manifest, split):
    """Films of a split, as read and accepted by a model with the gate and the spreads that are kept for it."""
    limits, variance_scale = kept()
    steps, true, slipped, normal, refused = [], [], [], [], 0
    with open(manifest, newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["split"] == split]
    for row in rows:
        image = cv2.imread(str(manifest.parent / row["file"]), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        reading = reader.read(image)
        if gate.refused(gate.signals(reading, image.shape), limits):
            refused += 1
            continue
        boxed = {box.split()[0] for box in row["boxes"].split(";") if box.strip()}
        steps.append(steps_of(reading, image.shape, variance_scale))
        true.append([float(row[f"value:slip-percent@{name}"] or "nan") for name in SEGMENTS])
        slipped.append([name in boxed for name in SEGMENTS])
        normal.append(not boxed)
    return Levels(stacked(steps), *map(np.array, (true, slipped, normal)), refused)


def stacked(steps):
    return Steps(*(np.array([getattr(one, field.name) for one in steps]) for field in fields(Steps)))


def read_real(reader, data):
    """Real films of validation that are read: what is measured, and what their labels say."""
    limits, variance_scale = kept()
    steps, labels = [], []
    for _, image, truth, _ in real_films(data):
        reading = reader.read(image)
        if not gate.refused(gate.signals(reading, image.shape), limits):
            steps.append(steps_of(reading, image.shape, variance_scale))
            labels.append(100 * measured_offsets(truth)[-len(SEGMENTS) :])
    return stacked(steps), np.array(labels)


def limits(limit):
    """Forwards one limit; backwards more where real normals scatter most."""
    return np.full(5, limit), limit + np.maximum(SPREAD - USUAL_SPREAD, 0)


def called(steps, point):
    """1 forwards, -1 backwards, 0 not called: the same comparison as `beyondNormal` in slip.ts."""
    forwards, backwards = limits(point["limit"])
    percent, deviation, share = joined(steps, point["seenScale"])
    apart = steps.front - steps.back
    above = percent + share * point["frontShare"] * apart - 100 * NORMAL
    doubt = point["deviations"] * deviation + point["disagreement"] * np.abs(apart)
    ahead = (above - forwards - doubt >= 0) & (percent >= LEAST["anterior"])
    behind = (-above - backwards - doubt >= 0) & (-percent >= LEAST["posterior"])
    return np.where(ahead, 1, np.where(behind, -1, 0))


def figures(levels, point):
    answers = called(levels.steps, point)
    measured = np.isfinite(levels.steps.back)
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


def errors(levels, percent):
    """Mean distance from the truth: of all levels, and of those that slipped."""
    away = np.abs(percent - levels.true)
    return {"all": float(np.nanmean(away)), "slipped": float(np.nanmean(away[levels.slipped]))}


def interval_factors(levels, seen_scale):
    """How much wider each level's interval must be to hold 95 % of the truths; never narrower than as joined."""
    percent, deviation, _ = joined(levels.steps, seen_scale)
    return np.maximum(1.0, np.nanquantile(np.abs(percent - levels.true) / (1.959964 * deviation), 0.95, axis=0))


def real_factor(steps, labels, seen_scale, factors):
    """By how much all intervals must be wider still to hold 95 % of real labels, which are off by LABEL themselves.

    Phantoms are read more surely than patients: intervals that hold 95 % of theirs hold too few real labels."""
    percent, deviation, _ = joined(steps, seen_scale)
    away = np.abs(percent - labels)
    inside = lambda factor: away <= 1.959964 * np.hypot(factor * factors * deviation, LABEL)
    return next(factor for factor in np.arange(1, 10, 0.05) if inside(factor)[np.isfinite(away)].mean() >= 0.95)


def coverage(levels, seen_scale, factors):
    """The share of truths within their intervals: of all levels, and of those that slipped."""
    percent, deviation, _ = joined(levels.steps, seen_scale)
    inside = np.abs(percent - levels.true) <= 1.959964 * deviation * factors
    known = np.isfinite(percent) & np.isfinite(levels.true)
    return {"all": float(inside[known].mean()), "slipped": float(inside[known & levels.slipped].mean())}


def choose_scale(levels):
    return min(SEEN_SCALES, key=lambda scale: errors(levels, joined(levels.steps, scale)[0])["all"])


def choose(levels, most, scale):
    """The point with the best F1 under so many false alarms; the one with the fewest where none keeps to it."""
    tried = [{"seenScale": scale, **dict(zip(GRID, values, strict=True))} for values in itertools.product(*GRID.values())]
    found = [figures(levels, point) for point in tried]
    kept = [index for index, one in enumerate(found) if one["falseAlarmsPerNormalFilm"] <= most]
    fewest = lambda index: -found[index]["falseAlarmsPerNormalFilm"]
    best = max(kept, key=lambda index: found[index]["f1"]) if kept else max(range(len(tried)), key=fewest)
    return tried[best], found[best]


def cross_validated(levels, most):
    """Figures of each fifth of the films at the point chosen on the others, in the mean."""
    folds = np.arange(len(levels.normal)) % FOLDS
    found = []
    for fold in range(FOLDS):
        rest = levels.of(folds != fold)
        point, _ = choose(rest, most, choose_scale(rest))
        found.append(figures(levels.of(folds == fold), point))
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def choose_carefully(levels, most, scale):
    """The point for the largest share of `most` that holds on films which nothing was chosen on, and what to expect there."""
    for share in STRICTER:
        expected = cross_validated(levels, share * most)
        if expected["falseAlarmsPerNormalFilm"] <= most:
            break
    return choose(levels, share * most, scale), expected


def show(title, found):
    print(f"{title}: " + ", ".join(f"{name} {value:.3f}" for name, value in found.items()))


def write(point, factors):
    manifest, points = json.loads(PACK.read_text()), json.loads(POINTS.read_text())
    forwards, backwards = limits(point["limit"])
    evidence = {name: float(point[name]) for name in ("seenScale", "frontShare", "deviations", "disagreement")}
    evidence["edge"] = EDGE
    by_name = lambda values: {name: round(float(value), 3) for name, value in zip(SEGMENTS, values, strict=True)}
    manifest["operatingPoints"] |= {
        "anteriorPercentAboveNormal": by_name(forwards),
        "posteriorPercentBelowNormal": by_name(backwards),
        "slipEvidence": evidence,
        "slipIntervalFactor": by_name(factors),
    }
    points["slip"] |= {
        "definition": DEFINITION,
        "thresholdAboveNormal": {level: round(float(point["limit"]) / 100, 4) for level in UPPER},
        "evidence": evidence,
        "intervalFactor": {level: round(float(value), 3) for level, value in zip(UPPER, factors, strict=True)},
    }
    PACK.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    POINTS.write_text(json.dumps(points, indent=2) + "\n")
    print(f"kept in {PACK.relative_to(ROOT)} and {POINTS.relative_to(ROOT)}")


DEFINITION = (
    "back = dot(upper.posteriorInferior - lower.posteriorSuperior, axis) / |axis|^2 with axis = lower.anteriorSuperior - "
    "lower.posteriorSuperior (S1's end plate for L5), front = dot(upper.anteriorInferior - lower.anteriorSuperior, axis) / "
    "|axis|^2; forwards positive; the slip is back and the branch's step, weighed by 1 / (variance + beyond), where the "
    "branch's deviation counts seenScale times and beyond = max(0, ((back - step)^2 - both variances) / 2); a level is called "
    "when slip + (share of back) * frontShare * (front - back) - normalOffset >= thresholdAboveNormal + deviations * standard "
    "deviation of the slip + disagreement * |front - back|; not measured with a corner within edge of the film's edge; interval = slip +- 1.96 * intervalFactor * its standard deviation"
)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("manifest", type=Path)
    arguments.add_argument("--data", type=Path, required=True, help="the shared data, for the real films of validation")
    arguments.add_argument("--false-alarms", type=float, default=0.05, help="at most so many on each normal film")
    arguments.add_argument("--test", action="store_true", help="measure the test films as well")
    arguments.add_argument("--write", action="store_true")
    options = arguments.parse_args()
    cv2.setNumThreads(1)
    reader = FilmReader(options.model)
    levels = read_levels(reader, options.manifest, "validation")
    print(f"validation, synthetic: {len(levels.true)} films read ({levels.normal.sum()} normal), {levels.refused} refused")
    scale = choose_scale(levels)
    show("mean error of the corners", errors(levels, levels.steps.back))
    show("mean error of the branch", errors(levels, levels.steps.seen))
    show(f"mean error of both, the branch's deviation taken {scale} times", errors(levels, joined(levels.steps, scale)[0]))
    (point, found), expected = choose_carefully(levels, options.false_alarms, scale)
    show(f"chosen {({name: float(value) for name, value in point.items()})}", found)
    show("to be expected on other films, cross-validated", expected)
    factors = interval_factors(levels, scale)
    print("intervals are widened by", dict(zip(SEGMENTS, factors.round(3).tolist(), strict=True)))
    show("validation, intervals as joined hold", coverage(levels, scale, np.ones(5)))
    show("validation, widened", coverage(levels, scale, factors))
    steps, labels = read_real(reader, options.data)
    wider = real_factor(steps, labels, scale, factors)
    print(f"and by {wider:.2f} for {len(labels)} real films of validation")
    factors = wider * factors
    if options.test:
        test = read_levels(reader, options.manifest, "test")
        print(f"test, synthetic: {len(test.true)} films read ({test.normal.sum()} normal), {test.refused} refused")
        show("mean error of the corners", errors(test, test.steps.back))
        show("mean error of the branch", errors(test, test.steps.seen))
        show("mean error of both", errors(test, joined(test.steps, scale)[0]))
        show("test", figures(test, point))
        show("test, widened", coverage(test, scale, factors))
    if options.write:
        write(point, factors)


if __name__ == "__main__":
    main()
