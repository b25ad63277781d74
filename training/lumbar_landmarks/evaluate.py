"""Measures the exported model: phantoms of known and of unseen generators, real films, films it must refuse.

    python -m training.lumbar_landmarks.evaluate --data <shared data> [--choose] [--films 400] [--out evaluation.json]

`--choose` first sets the gate's weights on validation films (never on held-out ones) and writes them.
Every block says synthetic or real and n; every number has a 95 % bootstrap interval over films.
"""

import argparse
import csv
import json
from pathlib import Path

import cv2
import numpy as np

from ..phantoms.generator import generator_hash
from ..phantoms.geometry import BODIES, COUNTED, measured_offsets
from . import gate, operating_points
from .operating_points import kind_of
from .metrics import interval, mean_of, pooled, show
from .reader import FilmReader
from .pools import RealPool, negatives
from .readings import REPORTED, VALIDATION, read_phantoms, squared_in_spread
from .real_films import L3_DEPTH_MM, level_right
from .real_films import films as real_films

HERE = Path(__file__).parent
CHI_SQUARE_95_2D = 5.991465


def report_phantoms(label, rows, limits, spread):
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
        ("refusedOrdinary", "of these, with five lumbar vertebrae, none transitional", [row.complete and row.variant == "usual" for row in rows]),
        ("refusedWellRead", "of these, read on the right level", [row.complete and row.levels_right for row in rows]),
        ("refusedWell", "of these, no vertebra astray", [row.complete and kind_of(row) == "well" for row in rows]),
        ("refusedWithoutSacrum", "films without S1", [not row.sacrum for row in rows]),
    ):
        group = np.array(refused, float)[np.array(member)]
        if len(group):
            out[key] = show(f"refused of {len(group)} {title}", interval(mean_of(group), len(group)), digits=3)
    out["all"] = report_group("all films", rows, spread)
    out["acceptedFilms"] = report_group("accepted films", accepted, spread)
    return out


def coverage(stated, scale):
    """Share of corners inside their 95 % ellipse, once the stated covariance is scaled by `scale`."""
    return pooled([np.where(np.isfinite(one), one <= CHI_SQUARE_95_2D * scale, np.nan) for one in stated], np.mean)


def report_group(title, rows, spread):
    print(f" {title}, n = {len(rows)}")
    errors = [row.error for row in rows]
    slips = [100 * np.abs(row.read - row.true)[row.seen] for row in rows]
    measure = lambda label, statistic, unit="", digits=2: show(label, interval(statistic, len(rows)), unit, digits)
    return {
        "films": len(rows),
        "cornerMeanMm": measure("corner error mean", pooled(errors, np.mean), " mm"),
        "cornerMedianMm": measure("corner error median", pooled(errors, np.median), " mm"),
        "cornerP95Mm": measure("corner error 95th percentile", pooled(errors, lambda v: np.percentile(v, 95)), " mm"),
        "slipMaePercent": measure("slip mean absolute error", pooled(slips, np.mean), " %"),
        "levelsRight": measure("films with levels right", mean_of([row.levels_right for row in rows]), digits=3),
        "thoracicMedianMm": measure(
            "T10 to T12, corner error median", pooled([row.above for row in rows], np.nanmedian), " mm"
        ),
        "coverage95": measure(
            "true corners within the stated 95 % ellipse", coverage([row.stated for row in rows], spread), digits=3
        ),
        "facingRight": measure("facing right", mean_of([row.facing_right for row in rows]), digits=3),
    }


def report_real(reader, data, limits, spread):
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
                "stated": squared_in_spread(reading, truth)[COUNTED],
                "levels": reading.levels,
                "refused": gate.refused(gate.signals(reading, image.shape), limits),
            }
        )
    right, kept = [row for row in rows if row["right"]], [row for row in rows if not row["refused"]]
    wrong_refused = sum(bool(row["refused"]) for row in rows if not row["right"])
    print(f"\nspine-xr-val: REAL, n = {len(rows)} films (validation only; L3 taken as 35 mm deep)")
    for row in rows:
        level = "right" if row["right"] else "WRONG"
        sure = f"levels {' '.join(f'{chance:.2f}' for chance in row['levels'])}"
        print(f"   {row['name']} levels {level} mean {np.nanmean(row['error']):.2f} mm, {sure} {' '.join(row['refused'])}")
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
            "levelsRight": int(sum(row["right"] for row in group)),
            "coverage95": show(
                "hand-marked corners within the stated 95 % ellipse",
                interval(coverage([row["stated"] for row in group], spread), len(group)),
                digits=3,
            ),
        }
    return out


def xr_parts(data):
    folder = Path(data) / "xr-parts"
    with open(folder / "manifest.csv") as file:
        for row in csv.DictReader(file):
            yield row["part"], row["projection"], folder / row["file"]


def refusals(reader, paths, limits):
    """Whether each film is refused; unreadable files do not occur in these sets."""
    out = []
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        out.append(bool(gate.refused(gate.signals(reader.read(image), image.shape), limits)))
    return out


def signals_of(reader, paths):
    for path in paths:
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        yield gate.signals(reader.read(image), image.shape)


def report_negatives(reader, data, limits, each):
    print("\nfilms that must be refused, of studies never trained on nor chosen on: REAL")
    groups = {}
    for group, path, _ in negatives(data, "report"):
        groups.setdefault(group, []).append(path)
    out, everything = {"kind": "real"}, []
    for name, paths in sorted(groups.items()):
        some = [paths[int(i)] for i in np.linspace(0, len(paths) - 1, min(each, len(paths)))]
        accepted = [not refused for refused in refusals(reader, some, limits)]
        everything += accepted
        out[name] = {"films": len(accepted), "accepted": int(sum(accepted))}
        print(f"  {name}: wrongly accepted {sum(accepted)}/{len(accepted)}", flush=True)
    found = show(f"wrongly accepted of {len(everything)}", interval(mean_of(everything), len(everything)), digits=3)
    out["all"] = {"films": len(everything), **found}
    laterals = [path for part, view, path in xr_parts(data) if (part, view) == ("lumbar_spine", "lateral")]
    refused = refusals(reader, laterals, limits)
    out["laterals"] = {"films": len(refused), "refused": int(sum(refused))}
    print(f"  lateral lumbar films, most of them trained on, some cut off or oblique: refused {sum(refused)}/{len(refused)}")
    return out


def report_marked(reader, data, corners, limits):
    """Real lateral films whose corners were marked with the help of an earlier net: those trained on, those kept."""
    out = {}
    for label, kept in (("trainedOn", False), ("kept", True)):
        films = RealPool(corners, data, validation=kept).films
        right, refused, error = [], [], []
        for _, image, truth in films:
            reading = reader.read(image.astype(np.float32) / 255)
            depth = np.nanmedian(np.linalg.norm(truth[BODIES][1::4] - truth[BODIES][0::4], axis=1))
            away = np.linalg.norm(reading.points - truth, axis=1)[COUNTED] / depth
            right.append(bool(np.nanmedian(away) < 0.4))
            refused.append(bool(gate.refused(gate.signals(reading, image.shape), limits)))
            error.append(L3_DEPTH_MM * away[np.isfinite(away)])
        out[label] = {
            "films": len(films),
            "levelsRight": sum(right),
            "refused": sum(refused),
            "cornerMedianMm": round(float(np.median(np.concatenate(error))), 3),
        }
        print(f"  marked lateral films, {label}: {out[label]}", flush=True)
    return out


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--model", type=Path, default=HERE.parents[1] / "models" / "lumbar-landmarks" / "model.onnx")
    arguments.add_argument("--films", type=int, default=400, help="phantoms per list")
    arguments.add_argument("--validation", type=int, default=400, help="phantoms that the gate is chosen on")
    arguments.add_argument("--kept", type=Path, help="a folder for the phantoms, drawn once for several evaluations")
    arguments.add_argument("--corners", type=Path, help="corners of real lateral films of xr-parts")
    arguments.add_argument("--without-real-validation", action="store_true", help="leave spine-xr-val alone")
    arguments.add_argument("--negatives", type=int, default=200, help="films per group that must be refused, at most")
    arguments.add_argument("--choose", action="store_true")
    arguments.add_argument("--out", type=Path, help="also write the numbers as JSON")
    options = arguments.parse_args()
    reader, generator = FilmReader(options.model), generator_hash()
    print(f"model sha256 {reader.sha256}\ngenerator sha256 {generator}", flush=True)
    if options.choose:
        rows = read_phantoms(options.model, "validation", VALIDATION, options.validation, kept=options.kept)
        rows += read_phantoms(options.model, "severe", VALIDATION, 3 * options.validation // 10, kept=options.kept)
        stop = list(signals_of(reader, [path for _, path, _ in negatives(options.data, "choose")]))
        limits = operating_points.choose(rows, stop)
        operating_points.write(
            limits, operating_points.spread_scale(rows, limits), reader.sha256, generator, len(rows), len(stop)
        )
    _, limits, spread = operating_points.load()
    report = {"model": reader.sha256, "generator": generator}
    if not options.without_real_validation:
        report["real"] = report_real(reader, options.data, limits, spread)
    if options.corners:
        report["marked"] = report_marked(reader, options.data, options.corners, limits)
    known = read_phantoms(options.model, "held-out A/B/D", VALIDATION, options.films, kept=options.kept)
    report["heldOutABD"] = report_phantoms("generators A, B and D, unseen seeds", known, limits, spread)
    unseen = read_phantoms(options.model, "held-out C", "C", options.films, kept=options.kept)
    report["heldOutC"] = report_phantoms("generator C, never trained on", unseen, limits, spread)
    report["negatives"] = report_negatives(reader, options.data, limits, options.negatives)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
