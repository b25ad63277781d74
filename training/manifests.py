"""Data manifests for `wetread evaluate` from the films at hand.

python -m training.manifests spine-xr-val DATA OUT      # real lateral films with corners: validation only
python -m training.manifests laterals DATA OUT          # real lateral spines without corners: for --reference-free
python -m training.manifests foreign DATA OUT           # every other real radiograph: must be refused
python -m training.manifests phantoms OUT --films 120 --version C --first 8900000
python -m training.manifests fractures OUT --films 120  # phantoms with broken bodies, for the whole chain of system 2
"""

import argparse
import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np

from .lumbar_landmarks.pools import AMBIGUOUS, held_out, negatives
from .lumbar_landmarks.real_films import L3_DEPTH_MM
from .phantoms.generator import Setting, render
from .phantoms.geometry import LANDMARKS, NORMAL_OFFSET, SLIP_LEVELS, measured_offsets

CORNER = {"BB": "posteriorInferior", "BF": "anteriorInferior", "TF": "anteriorSuperior", "TB": "posteriorSuperior"}
COLUMNS = ["file", "kind", "split", "patient", "modality", "view", "region", "spacing", "landmarks"]
SEGMENTS = {level: f"{level}/{below}" for level, below in zip(SLIP_LEVELS, (*SLIP_LEVELS[1:], "S1"))}
YARDSTICK = f"L3.posteriorSuperior,L3.anteriorSuperior,{L3_DEPTH_MM:g}"
SLIPS = [f"{what}:slip-percent@{SEGMENTS[level]}" for what in ("value", "scatter") for level in SLIP_LEVELS[1:]]
# What a film may have been used for before it is measured on.
NEGATIVES = {"report": "held out", "choose": "gate's limits chosen on", "train": "may be trained on"}
GROUPS = ["group:part", "group:set", "group:training"]


class Writer:
    """Pictures, their corner files and the table, in one folder."""

    def __init__(self, out, columns=COLUMNS):
        self.columns = columns
        self.out = Path(out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.rows = []

    def add(self, name, corners, **row):
        stem = Path(name).stem
        # Wetread counts from the corner of the first pixel, these labels from its centre.
        places = {key: [round(x + 0.5, 2), round(y + 0.5, 2)] for key, (x, y) in corners.items()}
        (self.out / f"{stem}.json").write_text(json.dumps(places))
        self.list(name, landmarks=f"{stem}.json", **row)

    def list(self, name, **row):
        self.rows.append({"file": name, "split": "test", "modality": "DX", "view": "lateral", **row})

    def close(self):
        with open(self.out / "manifest.csv", "w", newline="") as table:
            writer = csv.DictWriter(table, self.columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        print(f"{len(self.rows)} films: {self.out / 'manifest.csv'}")


def spine_xr_val(data, out):
    """The truth of a slip is that of the labels; their scatter is the spread over normal and labelled spines."""
    folder = Path(data) / "spine-xr-val"
    writer = Writer(out, [*COLUMNS, *SLIPS])
    for name, film in json.loads((folder / "corners.json").read_text())["films"].items():
        shutil.copy(folder / name, writer.out / name)
        corners = {f"{code[:-2]}.{CORNER[code[-2:]]}": at for code, at in film["corners"].items()}
        slips = measured_offsets(np.array([corners.get(key, (np.nan, np.nan)) for key in LANDMARKS]))
        known = {level: slip for level, slip in zip(SLIP_LEVELS, slips) if level != "T12" and np.isfinite(slip)}
        # Some films are labelled up to T9; the net does not name what lies above T10.
        named = {key: at for key, at in corners.items() if key in LANDMARKS}
        writer.add(
            name,
            named,
            kind="real",
            patient=Path(name).stem,
            region="lumbar spine",
            **{f"value:slip-percent@{SEGMENTS[level]}": round(100 * float(slip), 2) for level, slip in known.items()},
            **{f"scatter:slip-percent@{SEGMENTS[level]}": round(100 * NORMAL_OFFSET[level][1], 1) for level in known},
        )
    writer.close()
    print(f"--yardstick {YARDSTICK} --names L1,L2,L3,L4,L5,S1")


def linked(data, out, columns):
    """Thousands of films are not copied: the manifest's folder holds a link to where they are."""
    writer = Writer(out, columns)
    link = writer.out / "films"
    if not link.is_symlink():
        link.symlink_to(Path(data).resolve())
    return writer


def laterals(data, out, seed=3):
    wanted = (("lumbar_spine", "lateral"), ("thoracic_spine", "lateral"))
    rows = [row for row in parts_of(data) if (row["part"], row["projection"]) in wanted]
    writer = linked(data, out, [*COLUMNS, *GROUPS])
    for row in (rows[i] for i in np.random.default_rng(seed).permutation(len(rows))):
        about = {
            "group:part": f"{row['part'].replace('_', ' ')}, {row['projection']}",
            # Some of these films were marked by eye and trained on.
            "group:training": "held out" if held_out(row["study"], 0.18) else "may be trained on",
        }
        writer.list(f"films/xr-parts/{row['file']}", kind="real", patient=row["study"], **about)
    writer.close()


def shows(part):
    """How foreign a film is: what the aim is about are those that show no spine from the side at all."""
    if "two" in part:
        return "two views, one may be lateral"
    return "lateral spine of another level" if part.endswith("spine, lateral") else "no lateral spine"


def foreign(data, out, held_out_only=False, seed=3):
    """In an order of which every beginning is an even sample: one film of each group after the other."""
    data = Path(data)
    films = {}

    def add(group, path, training):
        films.setdefault(group, []).append((path.relative_to(data), training))

    for part, used in NEGATIVES.items():
        if part == "report" or not held_out_only:
            for group, path, _ in negatives(data, part):
                add(group, path, used)
    for row in parts_of(data):
        if row["projection"] in AMBIGUOUS.get(row["part"], ()) and row["projection"] != "lateral":
            add(f"{row['part'].replace('_', ' ')}, two views", data / "xr-parts" / row["file"], "held out")
    for path in sorted((data / "dicom-wg04" / "REF").glob("RG*")):
        add("DICOM radiographs (chest, hip, lower leg)", path, "held out")
    rng = np.random.default_rng(seed)
    queues = [(group, [films[group][i] for i in rng.permutation(len(films[group]))]) for group in sorted(films)]
    writer = linked(data, out, [*COLUMNS, "expect", "group:shows", *GROUPS])
    for turn in range(max(len(queue) for _, queue in queues)):
        for group, queue in queues:
            if turn < len(queue):
                path, training = queue[turn]
                about = {"group:shows": shows(group), "group:part": group, "group:set": path.parts[0], "group:training": training}
                writer.list(f"films/{path}", kind="real", expect="abstain", **about)
    writer.close()


def parts_of(data):
    with open(Path(data) / "xr-parts" / "manifest.csv") as table:
        yield from csv.DictReader(table)


def phantoms(out, films, version, first):
    writer = Writer(out)
    for seed in range(first, first + films):
        film = render(seed, version)
        name = f"{version}{seed}.png"
        cv2.imwrite(str(writer.out / name), np.round(film.image * 255).astype(np.uint8))
        height, width = film.image.shape
        seen = ((film.landmarks >= 0) & (film.landmarks <= [width - 1, height - 1])).all(-1)
        corners = {key: at for key, at, inside in zip(LANDMARKS, film.landmarks.tolist(), seen) if inside}
        writer.add(name, corners, kind="synthetic", patient=name, spacing=round(film.pixel_mm, 4))
    writer.close()


def genant(loss):
    """The grade of a body that has lost this share of its height at a wall; nothing is drawn near 0.2 from below."""
    return int(np.digitize(loss, [0.2, 0.25, 0.4]))


def fractures(out, films, first=8_720_000):
    """Every body in view has a class; of biconcave ones no Genant grade, since walls keep their height. Half the films are normal."""
    # Only films of fractures need it.
    from .vertebral_fracture.cohorts import CLASSES, KINDS, LEVEL_SHARE, PIXELS, bodies_of, draw_fractures, in_view

    grades = [f"grade:{scale}@{level}" for scale in ("OVF class", "Genant") for level in LEVEL_SHARE]
    writer = Writer(out, [*COLUMNS, "boxes", "group:film", *grades])
    for seed in range(first, first + films):
        rng = np.random.default_rng([seed, 91])
        broken = draw_fractures(rng, 1.0, list(KINDS)) if seed % 2 else {}
        setting = Setting(fractures=broken, implants=0.05, variant="usual", view="lumbar")
        film = render(seed, "C", *PIXELS[int(rng.integers(0, 2))], setting)
        name = f"C{seed}.png"
        cv2.imwrite(str(writer.out / name), np.round(film.image * 255).astype(np.uint8))
        bodies = {level: corners for level, corners in bodies_of(film.landmarks).items() if in_view(corners, film.image.shape)}
        kinds = {level: film.spine.fractures.get(level, ("none", 0.0)) for level in bodies}
        low = {level: corners.min(0) + 0.5 for level, corners in bodies.items()}
        high = {level: corners.max(0) + 0.5 for level, corners in bodies.items()}
        writer.add(
            name,
            {key: at for key, at in zip(LANDMARKS, film.landmarks.tolist()) if key.split(".")[0] in bodies},
            kind="synthetic",
            patient=name,
            spacing=round(film.pixel_mm, 4),
            boxes="; ".join(
                f"{level} {low[level][0]:.1f} {low[level][1]:.1f} {high[level][0]:.1f} {high[level][1]:.1f}"
                for level, (kind, _) in kinds.items()
                if kind != "none"
            ),
            **{"group:film": "fractured" if broken else "normal"},
            **{f"grade:OVF class@{level}": CLASSES.get(kind, 0) for level, (kind, _) in kinds.items()},
            **{f"grade:Genant@{level}": genant(loss) for level, (kind, loss) in kinds.items() if kind != "biconcave"},
        )
    writer.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = arguments.add_subparsers(dest="kind", required=True)
    for name in ("spine-xr-val", "laterals", "foreign"):
        real = kinds.add_parser(name)
        real.add_argument("data", type=Path)
        real.add_argument("out", type=Path)
    real.add_argument("--held-out", action="store_true", help="only films that nothing is trained or chosen on")
    drawn = kinds.add_parser("phantoms")
    drawn.add_argument("out", type=Path)
    drawn.add_argument("--films", type=int, default=120)
    drawn.add_argument("--version", default="C")
    drawn.add_argument("--first", type=int, default=8_900_000)
    broken = kinds.add_parser("fractures")
    broken.add_argument("out", type=Path)
    broken.add_argument("--films", type=int, default=120)
    options = arguments.parse_args()
    if options.kind == "spine-xr-val":
        spine_xr_val(options.data, options.out)
    elif options.kind == "laterals":
        laterals(options.data, options.out)
    elif options.kind == "foreign":
        foreign(options.data, options.out, options.held_out)
    elif options.kind == "fractures":
        fractures(options.out, options.films)
    else:
        phantoms(options.out, options.films, options.version, options.first)


if __name__ == "__main__":
    main()
