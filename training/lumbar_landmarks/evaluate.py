"""Measures the exported model: phantoms of known and of unseen generators, real films, films it must refuse.

    python -m training.lumbar_landmarks.evaluate --data <shared data> [--choose] [--films 400] [--out evaluation.json]

`--choose` first sets the operating points on validation phantoms (never on held-out ones) and writes them.
Every block says synthetic or real and n; every number has a 95 % bootstrap interval over films.
"""

import argparse
import csv
import json
from pathlib import Path

import cv2
import numpy as np

from ..phantoms.generator import generator_hash
from ..phantoms.geometry import COUNTED, SLIP_LEVELS, measured_offsets
from . import gate, operating_points
from .metrics import agreement, detection, false_alarms, interval, kappa, mean_of, meyerding_tables, pooled, show
from .reader import FilmReader
from .readings import REPORTED, SEEDS, read_phantoms  # noqa: F401  (SEEDS is part of this module's interface)
from .real_films import films as real_films
from .real_films import level_right

HERE = Path(__file__).parent


def report_phantoms(label, rows, thresholds, limits):
    print(f"\n{label}: SYNTHETIC, n = {len(rows)} films", flush=True)
    refused = [bool(gate.refused(row.signals, limits)) for row in rows]
    accepted = [row for row, out in zip(rows, refused, strict=True) if not out]
    out = {
        "kind": "synthetic",
        "films": len(rows),
        "slippedLevels": int(sum((row.slipped & row.seen).sum() for row in rows)),
        "accepted": len(accepted),
    }
    for key, title, member in (
        ("refusedComplete", "films that show L1 to S1", [row.complete for row in rows]),
        ("refusedWithoutSacrum", "films without S1", [not row.sacrum for row in rows]),
    ):
        group = np.array(refused, float)[np.array(member)]
        if len(group):
            out[key] = show(f"refused of {len(group)} {title}", interval(mean_of(group), len(group)), digits=3)
    out["all"] = report_group("all films", rows, thresholds)
    out["acceptedFilms"] = report_group("accepted films", accepted, thresholds)
    return out


def report_group(title, rows, thresholds):
    print(f" {title}, n = {len(rows)}")
    errors = [row.error for row in rows]
    slips = [100 * np.abs(row.read - row.true)[row.seen] for row in rows]
    precision, recall, f1 = detection(rows, thresholds)
    tables = meyerding_tables(rows, thresholds)
    measure = lambda label, statistic, unit="", digits=2: show(label, interval(statistic, len(rows)), unit, digits)
    return {
        "films": len(rows),
        "cornerMeanMm": measure("corner error mean", pooled(errors, np.mean), " mm"),
        "cornerMedianMm": measure("corner error median", pooled(errors, np.median), " mm"),
        "cornerP95Mm": measure("corner error 95th percentile", pooled(errors, lambda v: np.percentile(v, 95)), " mm"),
        "slipMaePercent": measure("slip mean absolute error", pooled(slips, np.mean), " %"),
        "levelPrecision": measure("level precision", precision, digits=3),
        "levelRecall": measure("level recall", recall, digits=3),
        "levelF1": measure("level F1", f1, digits=3),
        "falseAlarmsPerNormalFilm": measure(
            "normal films with a false alarm", false_alarms(rows, thresholds), digits=3
        ),
        "meyerdingAgreement": measure("Meyerding agreement at true positives", agreement(tables), digits=3),
        "meyerdingKappa": measure("Meyerding kappa", kappa(tables), digits=3),
        "facingRight": measure("facing right", mean_of([row.facing_right for row in rows]), digits=3),
    }


def report_real(reader, data, limits):
    rows = []
    for name, image, truth, mm in real_films(data):
        reading = reader.read(image)
        slip = 100 * np.abs(measured_offsets(reading.points) - measured_offsets(truth))[REPORTED]
        rows.append(
            {
                "name": name,
                "error": np.linalg.norm(reading.points - truth, axis=1)[COUNTED] * mm,
                "right": level_right(reading.points, truth),
                "slip": slip,
                "refused": gate.refused(gate.signals(reading, image.shape), limits),
            }
        )
    right, kept = [row for row in rows if row["right"]], [row for row in rows if not row["refused"]]
    wrong_refused = sum(bool(row["refused"]) for row in rows if not row["right"])
    print(f"\nspine-xr-val: REAL, n = {len(rows)} films (validation only; L3 taken as 35 mm deep)")
    for row in rows:
        level = "right" if row["right"] else "WRONG"
        print(f"   {row['name']} levels {level} mean {np.nanmean(row['error']):.2f} mm {' '.join(row['refused'])}")
    print(f"  all five levels right: {len(right)}/{len(rows)}; refused {len(rows) - len(kept)}")
    print(f"  of the {len(rows) - len(right)} films with a wrong level refused: {wrong_refused}")
    out = {
        "kind": "real",
        "films": len(rows),
        "levelsRight": len(right),
        "refused": len(rows) - len(kept),
        "refusedAmongLevelWrong": wrong_refused,
        "levelShare": show(
            "share with levels right", interval(mean_of([row["right"] for row in rows]), len(rows)), digits=3
        ),
    }
    for label, group in (("all", rows), ("levelRight", right), ("accepted", kept)):
        if not group:
            continue
        print(f" {label}, n = {len(group)}")
        errors = [row["error"] for row in group]
        measure = lambda title, arrays, statistic, unit: show(
            title, interval(pooled(arrays, statistic), len(arrays)), unit
        )
        out[label] = {
            "films": len(group),
            "cornerMedianMm": measure("corner error median", errors, np.median, " mm"),
            "cornerMeanMm": measure("corner error mean", errors, np.mean, " mm"),
            "slipMaePercent": measure("slip difference to hand labels", [row["slip"] for row in group], np.mean, " %"),
        }
    return out


def xr_parts(data):
    folder = Path(data) / "xr-parts"
    with open(folder / "manifest.csv") as file:
        for row in csv.DictReader(file):
            yield row["part"], row["projection"], folder / row["file"]


def negatives(data, each=60):
    """Real films of other parts and views, an even sample of each group."""
    data = Path(data)
    groups = {}
    for part, projection, path in xr_parts(data):
        if part in ("lumbar_spine", "thoracic_spine"):
            if (part, projection) == ("lumbar_spine", "lateral"):
                continue
            groups.setdefault(f"{part.replace('_', ' ')}, {projection or 'other'}", []).append(path)
        else:
            groups.setdefault("other parts", []).append(path)
    groups["chest (NIH)"] = list((data / "chest-nih-512").rglob("*.jpg"))
    groups["musculoskeletal"] = [p for p in (data / "msk").rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png")]
    for name, paths in sorted(groups.items()):
        paths = sorted(paths)
        yield name, [paths[int(i)] for i in np.linspace(0, len(paths) - 1, min(each, len(paths)))]


def accepts(reader, path, limits):
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
    return not gate.refused(gate.signals(reader.read(image), image.shape), limits)


def report_negatives(reader, data, limits, each):
    print("\nfilms that must be refused: REAL")
    out, everything = {"kind": "real"}, []
    for name, paths in negatives(data, each):
        accepted = [accepts(reader, path, limits) for path in paths]
        everything += accepted
        out[name] = {"films": len(accepted), "accepted": int(sum(accepted))}
        print(f"  {name}: wrongly accepted {sum(accepted)}/{len(accepted)}", flush=True)
    found = show(f"wrongly accepted of {len(everything)}", interval(mean_of(everything), len(everything)), digits=3)
    out["all"] = {"films": len(everything), **found}
    laterals = [path for part, view, path in xr_parts(data) if (part, view) == ("lumbar_spine", "lateral")]
    refused = [not accepts(reader, path, limits) for path in laterals]
    out["unlabelledLaterals"] = {"films": len(refused), "refused": int(sum(refused))}
    print(f"  lateral lumbar films without corners, some cut off or faint: refused {sum(refused)}/{len(refused)}")
    return out


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--model", type=Path, default=HERE.parents[1] / "models" / "lumbar-landmarks" / "model.onnx")
    arguments.add_argument("--films", type=int, default=400, help="phantoms per list")
    arguments.add_argument("--negatives", type=int, default=60, help="films per group that must be refused, at most")
    arguments.add_argument("--choose", action="store_true")
    arguments.add_argument("--out", type=Path, help="also write the numbers as JSON")
    options = arguments.parse_args()
    reader, generator = FilmReader(options.model), generator_hash()
    print(f"model sha256 {reader.sha256}\ngenerator sha256 {generator}", flush=True)
    if options.choose:
        rows = read_phantoms(options.model, "validation", "AB", options.films)
        operating_points.write(*operating_points.choose(rows), reader.sha256, generator, len(rows))
    thresholds, limits = operating_points.load()
    print(
        "slip thresholds above the normal offset:", dict(zip(SLIP_LEVELS[REPORTED], thresholds.tolist(), strict=True))
    )
    report = {"model": reader.sha256, "generator": generator}
    report["real"] = report_real(reader, options.data, limits)
    known = read_phantoms(options.model, "held-out A/B", "AB", options.films)
    report["heldOutAB"] = report_phantoms("generators A and B, unseen seeds", known, thresholds, limits)
    unseen = read_phantoms(options.model, "held-out C", "C", options.films)
    report["heldOutC"] = report_phantoms("generator C, never trained on", unseen, thresholds, limits)
    report["negatives"] = report_negatives(reader, options.data, limits, options.negatives)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
