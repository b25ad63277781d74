"""Measures the exported model: phantoms of known and of unseen generators, real films, films it must refuse.

    python -m training.lumbar_landmarks.evaluate --data <shared data> [--choose] [--films 400]

`--choose` first sets the operating points on validation phantoms (never on held-out ones) and writes them.
Every line says synthetic or real, n, and a 95 % bootstrap interval (2,000 draws of films).
"""

import argparse
import csv
import json
from pathlib import Path

import cv2
import numpy as np

from ..phantoms.geometry import NORMAL_OFFSET, SLIP_LEVELS, measured_offsets
from ..phantoms.generator import generator_hash, render
from . import gate
from .reader import INPUT, FilmReader
from .real_films import films as real_films, level_right

HERE = Path(__file__).parent
# First seeds of the fixed lists; training uses 100,000 to 4,999,999.
SEEDS = {"validation": 7_000_000, "held-out A/B": 8_000_000, "held-out C": 8_500_000}
NORMAL = np.array([NORMAL_OFFSET[name][0] for name in SLIP_LEVELS])
SLIP_FROM = 0.09                 # displacement from which a phantom counts as slipped
REPORTED = slice(1, 6)           # L1/L2 to L5/S1; T12 only helps to count


def read_phantoms(reader, first, versions, count):
    rows = []
    for index in range(count):
        film = render(first + index, versions[index % len(versions)], *INPUT)
        reading = reader.read(film.image)
        height, width = film.image.shape
        in_view = ((film.landmarks >= 0) & (film.landmarks <= [width - 1, height - 1])).all(1)
        error = np.where(in_view, np.linalg.norm(reading.points - film.landmarks, axis=1) * film.pixel_mm, np.nan)
        level_seen = np.array([in_view[4 * k] and (in_view[24:].all() if k == 5 else in_view[4 * k + 6:4 * k + 8].all())
                               for k in range(6)])
        rows.append({
            "error": error, "seen": level_seen, "true": film.offsets(), "read": measured_offsets(reading.points),
            "spread": variances(reading, film), "displacement": np.array([film.spine.displacement[name] for name in SLIP_LEVELS]),
            "signals": gate.signals(reading, film.image.shape), "sacrum": bool(in_view[24:].all()),
            "lumbar": bool(in_view[4:].all()), "facing": reading.facing == film.facing,
        })
    return rows


def variances(reading, film):
    """Squared error of each level's offset and the variance that the corners' covariances give it (moved corner only)."""
    out = []
    for k in range(6):
        low_back, low_front = (24, 25) if k == 5 else (4 * k + 7, 4 * k + 6)
        axis = reading.points[low_front] - reading.points[low_back]
        length = max(float(np.linalg.norm(axis)), 1e-6)
        unit = axis / length
        along = lambda corner: (unit[0] ** 2 * reading.covariance[corner, 0] + unit[1] ** 2 * reading.covariance[corner, 1]
                                + 2 * unit[0] * unit[1] * reading.covariance[corner, 2])
        t = float(((reading.points[4 * k] - reading.points[low_back]) @ axis) / length ** 2)
        # d(offset) = (moved - (1 - t) back - t front) along the axis, / length
        out.append((along(4 * k) + (1 - t) ** 2 * along(low_back) + t ** 2 * along(low_front)) / length ** 2)
    return np.array(out)


def interval(values_of, rows, draws=2000, seed=0):
    """Point estimate and 95 % bootstrap interval over films."""
    rng = np.random.default_rng(seed)
    estimate = values_of(rows)
    if len(rows) < 2:
        return estimate, np.nan, np.nan
    drawn = [values_of([rows[i] for i in rng.integers(0, len(rows), len(rows))]) for _ in range(draws)]
    return estimate, *np.nanpercentile(drawn, [2.5, 97.5])


def show(label, found, unit="", digits=2):
    print(f"  {label}: {found[0]:.{digits}f}{unit} (95 % {found[1]:.{digits}f} to {found[2]:.{digits}f})", flush=True)
    return {"value": round(float(found[0]), 4), "interval95": [round(float(found[1]), 4), round(float(found[2]), 4)]}


def counts(rows, thresholds):
    """True positives, false positives, false negatives over levels in view."""
    total = np.zeros(3)
    for row in rows:
        seen = row["seen"][REPORTED]
        truth = (row["displacement"][REPORTED] >= SLIP_FROM)[seen]
        called = ((row["read"] - NORMAL)[REPORTED] >= thresholds)[seen]
        total += [(truth & called).sum(), (~truth & called).sum(), (truth & ~called).sum()]
    return total


def scores(rows, thresholds):
    hit, false, missed = counts(rows, thresholds)
    return hit / max(hit + false, 1), hit / max(hit + missed, 1), 2 * hit / max(2 * hit + false + missed, 1)


def false_alarms(rows, thresholds):
    alarms = []
    for row in rows:
        seen = row["seen"][REPORTED]
        if (row["displacement"][REPORTED] >= SLIP_FROM).any():
            continue
        alarms.append(bool(((row["read"] - NORMAL)[REPORTED] >= thresholds)[seen].any()))
    return np.mean(alarms) if alarms else np.nan


def grade(offset):
    """Meyerding's grades I to V: by quarters of the lower end plate, of the offset as measured."""
    return np.digitize(np.abs(offset), [0.25, 0.5, 0.75, 1.0], right=True) + 1


def meyerding(rows, thresholds):
    """Pairs of true and read grade at slipped levels that were called."""
    pairs = []
    for row in rows:
        seen = row["seen"][REPORTED]
        truth, read = row["displacement"][REPORTED], (row["read"] - NORMAL)[REPORTED]
        both = seen & (truth >= SLIP_FROM) & (read >= thresholds)
        pairs += list(zip(grade(row["true"][REPORTED][both]), grade(row["read"][REPORTED][both])))
    return np.array(pairs).reshape(-1, 2)


def agreement(rows, thresholds):
    pairs = meyerding(rows, thresholds)
    return np.nan if not len(pairs) else float((pairs[:, 0] == pairs[:, 1]).mean())


def kappa(rows, thresholds):
    pairs = meyerding(rows, thresholds)
    if not len(pairs):
        return np.nan
    table = np.zeros((5, 5))
    np.add.at(table, (pairs[:, 0] - 1, pairs[:, 1] - 1), 1)
    table /= table.sum()
    chance = (table.sum(0) * table.sum(1)).sum()
    return float((np.trace(table) - chance) / (1 - chance)) if chance < 1 else np.nan


def choose(rows):
    """Per level the excess over the normal offset with the best F1 on validation phantoms, and limits of the gate that
    few laterals with the sacrum in view pass."""
    candidates = np.arange(0.05, 0.12, 0.0025)
    thresholds = []
    for k in range(5):
        best = [scores_at_level(rows, k, value) for value in candidates]
        top = np.flatnonzero(np.array(best) >= max(best) - 1e-9)
        thresholds.append(float(candidates[top[len(top) // 2]]))
    usable = [row["signals"] for row in rows if row["lumbar"]]
    value = lambda name: np.array([s[name] for s in usable], float)
    low = lambda name, share: {"min": round(float(np.quantile(value(name), share)), 4)}
    high = lambda name, share: {"max": round(float(np.quantile(value(name), share)), 4)}
    limits = {
        "meanPeak": low("meanPeak", 0.02), "minBodyPeak": low("minBodyPeak", 0.015), "s1Peak": low("s1Peak", 0.015),
        "mirrorDisagreement": {"max": 0.25}, "brokenBodies": {"max": 0},
        "depthSpread": high("depthSpread", 0.995), "minHeightToDepth": low("minHeightToDepth", 0.005),
        "maxHeightToDepth": high("maxHeightToDepth", 0.995), "minStep": low("minStep", 0.005),
        "maxStep": high("maxStep", 0.995), "s1OutsideFilm": {"max": 0},
    }
    ratio = np.concatenate([((row["read"] - row["true"]) ** 2 / np.maximum(row["spread"], 1e-9))[REPORTED][row["seen"][REPORTED]]
                            for row in rows if not gate.refused(row["signals"], limits)])
    # 95 % of the errors shall lie within 1.96 stated deviations
    return np.array(thresholds), limits, float(np.quantile(ratio, 0.95) / 1.96 ** 2)


def scores_at_level(rows, k, threshold):
    alone = np.full(5, np.inf)
    alone[k] = threshold
    hit = false = missed = 0
    for row in rows:
        if row["seen"][k + 1]:
            truth, called = row["displacement"][k + 1] >= SLIP_FROM, (row["read"] - NORMAL)[k + 1] >= threshold
            hit, false, missed = hit + (truth and called), false + (called and not truth), missed + (truth and not called)
    return 2 * hit / max(2 * hit + false + missed, 1)


def report_phantoms(label, rows, thresholds, limits):
    print(f"\n{label}: SYNTHETIC, n = {len(rows)} films", flush=True)
    slipped = sum(int(((row["displacement"] >= SLIP_FROM) & row["seen"])[REPORTED].sum()) for row in rows)
    accepted = [row for row in rows if not gate.refused(row["signals"], limits)]
    out = {"kind": "synthetic", "films": len(rows), "slippedLevels": slipped, "accepted": len(accepted)}
    complete = [row for row in rows if row["lumbar"]]
    refusal = lambda group: float(np.mean([bool(gate.refused(row["signals"], limits)) for row in group]))
    out["refusedComplete"] = show(f"refused of {len(complete)} films that show L1 to S1", interval(refusal, complete), digits=3)
    cut = [row for row in rows if not row["sacrum"]]
    if cut:
        out["refusedWithoutSacrum"] = show(f"refused of {len(cut)} films without S1", interval(refusal, cut), digits=3)
    for name, group in (("all", rows), ("accepted", accepted)):
        print(f" {name} films, n = {len(group)}")
        pooled = lambda statistic: lambda sample: statistic(np.concatenate([row["error"][4:][np.isfinite(row["error"][4:])] for row in sample]))
        result = {
            "cornerMeanMm": show("corner error mean", interval(pooled(np.mean), group), " mm"),
            "cornerMedianMm": show("corner error median", interval(pooled(np.median), group), " mm"),
            "cornerP95Mm": show("corner error 95th percentile", interval(pooled(lambda v: np.percentile(v, 95)), group), " mm"),
            "slipMaePercent": show("slip mean absolute error", interval(lambda s: 100 * np.mean(np.concatenate(
                [np.abs(row["read"] - row["true"])[REPORTED][row["seen"][REPORTED]] for row in s])), group), " %"),
            "levelPrecision": show("level precision", interval(lambda s: scores(s, thresholds)[0], group), digits=3),
            "levelRecall": show("level recall", interval(lambda s: scores(s, thresholds)[1], group), digits=3),
            "levelF1": show("level F1", interval(lambda s: scores(s, thresholds)[2], group), digits=3),
            "falseAlarmsPerNormalFilm": show("normal films with a false alarm", interval(lambda s: false_alarms(s, thresholds), group), digits=3),
            "meyerdingAgreement": show("Meyerding agreement at true positives", interval(lambda s: agreement(s, thresholds), group), digits=3),
            "meyerdingKappa": show("Meyerding kappa", interval(lambda s: kappa(s, thresholds), group), digits=3),
            "facingRight": round(float(np.mean([row["facing"] for row in group])), 4),
        }
        out[name] = result
    return out


def report_real(reader, data, limits):
    rows = []
    for name, image, truth, mm in real_films(data):
        reading = reader.read(image)
        seen = np.isfinite(truth).all(1)
        both = np.abs(measured_offsets(reading.points) - measured_offsets(truth))[REPORTED]
        rows.append({"name": name, "error": np.linalg.norm(reading.points - truth, axis=1)[4:] * mm,
                     "right": level_right(reading.points, truth), "slip": both,
                     "refused": gate.refused(gate.signals(reading, image.shape), limits)})
    print(f"\nspine-xr-val: REAL, n = {len(rows)} films (validation only; L3 taken as 35 mm deep)")
    for row in rows:
        print(f"   {row['name']} level {'right' if row['right'] else 'WRONG'} mean {np.nanmean(row['error']):.2f} mm {' '.join(row['refused'])}")
    right, kept = [row for row in rows if row["right"]], [row for row in rows if not row["refused"]]
    corner = lambda statistic: lambda sample: statistic(np.concatenate([row["error"] for row in sample]))
    out = {"kind": "real", "films": len(rows), "levelsRight": len(right), "refused": len(rows) - len(kept),
           "refusedAmongLevelWrong": sum(bool(row["refused"]) for row in rows if not row["right"])}
    print(f"  all five levels right: {len(right)}/{len(rows)}; refused {len(rows) - len(kept)}, of the level-wrong films {out['refusedAmongLevelWrong']}")
    out["levelShare"] = show("share with levels right", interval(lambda s: float(np.mean([row["right"] for row in s])), rows), digits=3)
    for label, group in (("all", rows), ("levelRight", right), ("accepted", kept)):
        if not group:
            continue
        out[label] = {"films": len(group),
                      "cornerMedianMm": show(f"{label}: corner median", interval(corner(np.nanmedian), group), " mm"),
                      "cornerMeanMm": show(f"{label}: corner mean", interval(corner(np.nanmean), group), " mm"),
                      "slipMaePercent": show(f"{label}: slip difference to hand labels", interval(
                          lambda s: 100 * np.nanmean(np.concatenate([row["slip"] for row in s])), group), " %")}
    return out


def negatives(data, each=60):
    """Real films of other parts and views, a fixed even sample of each group."""
    data = Path(data)
    groups = {}
    with open(data / "xr-parts" / "manifest.csv") as file:
        for row in csv.DictReader(file):
            if row["part"] == "lumbar_spine" and row["projection"] == "lateral":
                continue
            group = {"lumbar_spine": "lumbar spine, " + (row["projection"] or "other")}.get(row["part"], None)
            if row["part"] == "thoracic_spine":
                group = "thoracic spine, " + (row["projection"] or "other")
            groups.setdefault(group or "other parts", []).append(data / "xr-parts" / row["file"])
    groups["chest (NIH)"] = sorted((data / "chest-nih-512").rglob("*.jpg"))
    groups["musculoskeletal"] = sorted(p for p in (data / "msk").rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    for name, paths in sorted(groups.items()):
        paths = sorted(paths)
        yield name, [paths[int(i)] for i in np.linspace(0, len(paths) - 1, min(each, len(paths)))]


def report_negatives(reader, data, limits):
    print("\nfilms that must be refused: REAL")
    out = {"kind": "real"}
    everything = []
    for name, paths in negatives(data):
        accepted = []
        for path in paths:
            image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            if image is None:
                continue
            image = image.astype(np.float32) / 255
            accepted.append(not gate.refused(gate.signals(reader.read(image), image.shape), limits))
        if not accepted:
            continue
        everything += accepted
        out[name] = {"films": len(accepted), "accepted": int(sum(accepted))}
        print(f"  {name}: wrongly accepted {sum(accepted)}/{len(accepted)}", flush=True)
    out["all"] = {"films": len(everything), **show(f"wrongly accepted of {len(everything)}", interval(lambda s: float(np.mean(s)), everything), digits=3)}
    laterals = []
    with open(Path(data) / "xr-parts" / "manifest.csv") as file:
        for row in csv.DictReader(file):
            if row["part"] == "lumbar_spine" and row["projection"] == "lateral":
                image = cv2.imread(str(Path(data) / "xr-parts" / row["file"]), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
                laterals.append(bool(gate.refused(gate.signals(reader.read(image), image.shape), limits)))
    out["unlabelledLaterals"] = {"films": len(laterals), "refused": int(sum(laterals))}
    print(f"  lateral lumbar films without corners (some cut off or of poor quality): refused {sum(laterals)}/{len(laterals)}")
    return out


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--model", type=Path, default=HERE.parents[1] / "models" / "lumbar-landmarks" / "model.onnx")
    arguments.add_argument("--films", type=int, default=400)
    arguments.add_argument("--choose", action="store_true")
    arguments.add_argument("--out", type=Path, help="also write the numbers as JSON")
    options = arguments.parse_args()
    reader = FilmReader(options.model)
    generator = generator_hash()
    print(f"model sha256 {reader.sha256}\ngenerator sha256 {generator}")
    path = HERE / "operating-points.json"
    if options.choose:
        rows = read_phantoms(reader, SEEDS["validation"], ("A", "B"), options.films)
        thresholds, limits, variance = choose(rows)
        write_operating_points(path, thresholds, limits, variance, reader.sha256, generator, len(rows))
    points = json.loads(path.read_text())
    thresholds = np.array([points["slip"]["thresholdAboveNormal"][name] for name in SLIP_LEVELS[REPORTED]])
    limits = points["gate"]["limits"]
    print("slip thresholds above the normal offset:", dict(zip(SLIP_LEVELS[REPORTED], thresholds.round(4).tolist())))
    report = {"model": reader.sha256, "generator": generator}
    report["heldOutAB"] = report_phantoms("generators A and B, unseen seeds", read_phantoms(reader, SEEDS["held-out A/B"], ("A", "B"), options.films), thresholds, limits)
    report["heldOutC"] = report_phantoms("generator C, never trained on", read_phantoms(reader, SEEDS["held-out C"], ("C",), options.films), thresholds, limits)
    report["real"] = report_real(reader, options.data, limits)
    report["negatives"] = report_negatives(reader, options.data, limits)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


def write_operating_points(path, thresholds, limits, variance, model, generator, count):
    path.write_text(json.dumps({
        "chosenOn": {"kind": "synthetic", "films": count, "firstSeed": SEEDS["validation"], "generators": ["A", "B"],
                     "model": model, "generatorSha256": generator},
        "slip": {
            "definition": "offset = dot(upper.posteriorInferior - lower.posteriorSuperior, axis) / |axis|^2 with axis = "
                          "lower.anteriorSuperior - lower.posteriorSuperior (S1's end plate for L5); forwards positive; "
                          "a level is called when offset - normalOffset >= thresholdAboveNormal",
            "normalOffset": {name: NORMAL_OFFSET[name][0] for name in SLIP_LEVELS},
            "normalDeviation": {name: NORMAL_OFFSET[name][1] for name in SLIP_LEVELS},
            "thresholdAboveNormal": {name: round(value, 4) for name, value in zip(SLIP_LEVELS[REPORTED], thresholds.tolist())},
            "meyerding": "grade by |offset|: I <= 0.25, II <= 0.50, III <= 0.75, IV <= 1.00, V above",
        },
        "varianceScale": {"slip": round(variance, 4), "meaning": "multiply the output's covariances by this, and 95 % of the "
                          "slip errors on accepted validation phantoms lie within 1.96 deviations"},
        "gate": {
            "formulas": {
                "typical": "median depth of L1..L5; depth = mean length of a body's two end plates, height = of its two walls",
                "meanPeak": "mean peak of the 22 landmarks from L1 to S1, kept run",
                "minBodyPeak": "smallest of the five bodies' mean peaks", "s1Peak": "mean peak of S1's two corners",
                "mirrorDisagreement": "median over L1..S1 of the distance between the kept and the other run's corner (un-mirrored) / typical",
                "brokenBodies": "bodies L1..L5 whose corners, in order, are not convex (cross products of one sign)",
                "depthSpread": "largest depth / smallest depth of L1..L5",
                "minHeightToDepth": "smallest height / depth", "maxHeightToDepth": "largest height / depth",
                "minStep": "smallest distance between neighbouring centres L1..L5, middle of S1's end plate, / typical",
                "maxStep": "largest such distance", "s1OutsideFilm": "1 when a corner of S1 lies outside the film",
            },
            "rule": "refuse when any signal is below its min or above its max",
            "limits": limits,
        },
    }, indent=2) + "\n")


if __name__ == "__main__":
    main()
