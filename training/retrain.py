"""Trains a model anew from nothing: every step of training/README.md, in order, by one command.

    python -m training.retrain lumbar-landmarks --data DATA --out OUT             # some fourteen hours of one core
    python -m training.retrain slip-detector --data DATA --out OUT                # after lumbar-landmarks, same OUT
    python -m training.retrain vertebral-fracture --data DATA --out OUT           # after lumbar-landmarks, same OUT
    python -m training.retrain lumbar-landmarks --data DATA --out OUT --share 0.004 # a rehearsal of minutes
    python -m training.retrain lumbar-landmarks --data DATA --out OUT --print     # what would be run

A step that is done is not run again, and one that was stopped goes on from its checkpoint. Nothing in the repository
changes until `--install`, which puts weights, thresholds, cards and cases into the packs; look at the evaluation first.
`--share` is that part of all films and minutes: it proves that the chain runs, not that anything was learnt.
"""

import argparse
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

FEWEST_FILMS = 240  # trainings wait for two hundred
SHORTEST = 0.2  # minutes
CORNERS = "training/lumbar_landmarks/real-corners.json"


@dataclass(frozen=True)
class Run:
    """Where things are, and how much of everything is done."""

    data: Path
    out: Path
    share: float = 1.0
    without_real: bool = False

    def films(self, whole):
        return str(max(FEWEST_FILMS, round(whole * self.share)))

    def minutes(self, whole):
        return f"{max(SHORTEST, whole * self.share):.2f}"


def lumbar_landmarks(run):
    """Films, first stage in four trainings, referee, second stage in two, one graph."""
    out, data = run.out, ["--data", run.data]
    marked = [*data, "--corners", CORNERS]
    real = ["--without-real"] if run.without_real else marked
    ct, volumes = ["--ct", out / "ct.npz"], ["--volumes", out / "volumes.npz"]
    one, two, three, upper = (out / "films" / name for name in ("one", "two", "three", "upper"))
    fine, fine2 = out / "films" / "fine", out / "films" / "fine2"
    shards = lambda folder, films, first, versions, *more: [
        "lumbar_landmarks.shards", folder, "--films", run.films(films), "--first", first, "--versions", *versions, *more
    ]
    train = lambda films, name, minutes, *more: [
        "lumbar_landmarks.train", ",".join(map(str, films)), out / name, "--minutes", run.minutes(minutes), *more
    ]
    refine = lambda films, name, minutes, *more: [
        "lumbar_landmarks.train_refine", ",".join(map(str, films)), out / name, "--minutes", run.minutes(minutes), *more
    ]
    start = lambda name: ["--warm-start", out / name / "checkpoint.pt"]
    return {
        "project the CTs": ["phantoms.ct_tissue", *data, out / "ct.npz"],
        "bend and project the CTs": ["phantoms.ct_volumes", *data, out / "volumes.npz", "--poses", "160"],
        "films A and B": shards(one, 12000, 500_000, "AB"),
        "films T": shards(one, 6000, 300_000, "T", *ct),
        "first stage on phantoms": train([one], "coarse", 86, "--without-real"),
        "films D": shards(two, 4000, 1_200_000, "DDBDDTDDAD", *ct),
        "first stage with real films": train([one, two], "real", 68, "--rate", "8e-4", *start("coarse"), *real),
        "films D and V": shards(three, 14400, 1_300_000, "DVDTBDVA", *ct, *volumes),
        "films without a sacrum": shards(upper, 4000, 1_400_000, "DVDBVA", *volumes, "--view", "thoracolumbar"),
        "first stage on all": train(
            [one, two, three, upper], "more", 86, "--rate", "1e-3", *start("real"), *real, "--limit", "60000"
        ),
        "first stage with rounding": train(
            [one, two, three, upper], "rounded", 68, "--eight-bits", "--rate", "3e-4", *start("more"), *real,
            "--limit", "60000",
        ),
        "MR slices": ["lumbar_landmarks.mr_slices", out / "films" / "mr", *data],
        "referee": [
            "lumbar_landmarks.train_levels", out / "levels", "--shards", two, three, *[out / "films" / "mr"] * 3,
            "--minutes", run.minutes(66), *([] if run.without_real else marked),
        ],
        "large films": shards(fine, 3000, 400_000, "ABT", "--fine", *ct),
        "second stage on phantoms": refine([fine], "refine", 38, "--without-real"),
        "large films D and V": shards(fine2, 2400, 1_610_000, "DVDBVT", "--fine", *ct, *volumes),
        "second stage on all": refine(
            [fine, fine2], "refine2", 78, "--rate", "1.5e-3", *start("refine"), *real, "--real-share", "0.08"
        ),
        "slip branch on phantoms": [
            "slip_detector.train_branch", three, fine2, out / "branch", "--trunk", out / "more/checkpoint.pt",
            "--minutes", run.minutes(58),
        ],
        "slip branch on all": [
            "slip_detector.train_branch", fine, fine2, two, three, out / "branch2", "--warm-start",
            out / "branch/checkpoint.pt", "--minutes", run.minutes(66), "--rate", "1.2e-3", "--limit", "60000",
            *([] if run.without_real else marked),
        ],
        "one graph": [
            "lumbar_landmarks.export", out / "model.onnx", "--coarse", out / "rounded/checkpoint.pt",
            "--refine", out / "refine2/checkpoint.pt", "--referee", out / "levels/checkpoint.pt",
            "--slips", out / "branch2/checkpoint.pt", "--temperature", "0.7",
            "--int8", "--calibrate", run.data,
        ],
    }  # fmt: skip


def install_lumbar_landmarks(run):
    pack = "models/lumbar-landmarks"
    evaluation = "training/lumbar_landmarks/evaluation.json"
    return {
        "weights": ["cp", run.out / "model.onnx", f"{pack}/model.onnx"],
        "gate chosen, all measured": [
            "lumbar_landmarks.evaluate", "--data", run.data, "--choose", "--kept", run.out / "kept",
            "--films", run.films(240), "--corners", CORNERS, "--out", evaluation,
        ],
        "card": ["lumbar_landmarks.card", evaluation, f"{pack}/MODEL_CARD.md"],
        "manifest": ["lumbar_landmarks.seal_pack", "--kept", run.out / "kept"],
        "films to choose on where a slip is called": slip_films(run),
        "where a slip is called": [
            "slip_detector.operating_point", f"{pack}/model.onnx", run.out / "slips/manifest.csv",
            "--data", run.data, "--write",
        ],
        "manifest of the pack that borrows it": ["vertebral_fracture.seal"],
        "cases": ["demo_films.cases", f"{pack}/model.onnx", f"{pack}/cases"],
        "cases of the pack that borrows it": ["demo_films.fracture_cases", "models/vertebral-fracture/cases"],
    }  # fmt: skip


def slip_films(run):
    return ["slip_detector.test_set", run.out / "slips", "--films", run.films(300), "--validation", run.films(450)]


def slip_detector(run):
    out, trunk = run.out, ["--corners", run.out / "more" / "checkpoint.pt"]
    films = out / "films" / "three"
    return {
        "the list of films": slip_films(run),
        "boxes": [
            "slip_detector.train", films, out / "boxes", *trunk, "--freeze", "--minutes", run.minutes(57),
        ],
        "one graph": [
            "slip_detector.export", out / "slip-detector.onnx", "--checkpoint", out / "boxes" / "checkpoint.pt",
            "--branch", out / "branch2" / "checkpoint.pt",
        ],
        "its answers": [
            "slip_detector.answer", out / "slip-detector.onnx", out / "slips/manifest.csv", out / "faster-rcnn.jsonl",
        ],
    }  # fmt: skip


def vertebral_fracture(run):
    out, cohorts, cts = run.out, run.out / "cohorts", ["--cts", run.out / "cts"]
    pretrained = {name: out / name for name in ("radiographs", "fractals")}
    backbones = [
        *(f"{name}={folder}.onnx" for name, folder in pretrained.items()),
        f"imagenet={out}/imagenet.onnx",
        f"tuned={out}/tuned/backbone.onnx",
    ]
    return {
        "CTs with broken bodies": ["vertebral_fracture.broken_cts", out / "cts", "--data", run.data],
        "cohorts": ["vertebral_fracture.cohorts", cohorts, *cts],
        "phantoms for the backbone": ["vertebral_fracture.cohorts", cohorts, *cts, "--cohorts", "tuning"],
        "pretraining on radiographs": [
            "vertebral_fracture.pretrain", "radiographs", pretrained["radiographs"], "--data", run.data,
            "--films", "all", "--minutes", run.minutes(4),
        ],
        "pretraining on fractals": [
            "vertebral_fracture.pretrain", "fractals", pretrained["fractals"], "--minutes", run.minutes(4),
        ],
        **{
            f"{name} as ONNX": ["vertebral_fracture.export", folder / "checkpoint.pt", f"{folder}.onnx"]
            for name, folder in pretrained.items()
        },
        "ImageNet as it comes": ["vertebral_fracture.imagenet", out / "imagenet.onnx"],
        "tuned on phantoms": [
            "vertebral_fracture.tune", cohorts, out / "tuned", "--minutes", run.minutes(0.85), "--looks", "3",
        ],
        "selection and classifiers": [
            "vertebral_fracture.fit", cohorts, "--ship", "tuned", "--model", out / "pack" / "model.json",
            "--report", out / "report.json", "--backbone", *backbones,
        ],
    }  # fmt: skip


def install_vertebral_fracture(run):
    pack, out = "models/vertebral-fracture", run.out
    return {
        "network": ["cp", out / "tuned" / "backbone.onnx", f"{pack}/backbone.onnx"],
        "classifier": ["cp", out / "pack" / "model.json", f"{pack}/model.json"],
        "manifest": ["vertebral_fracture.seal"],
        "a look at real films": [
            "vertebral_fracture.real_look", "--data", run.data, "--sheet", out / "sheet.png", "--out", out / "real.json",
        ],
        "the whole chain": ["vertebral_fracture.chain", "--data", run.data, "--out", out / "chain.json"],
        "card": [
            "vertebral_fracture.card", out / "report.json", out / "real.json", out / "chain.json",
            f"{pack}/MODEL_CARD.md", "--pretraining",
            *(f"{name}={out}/{name}/checkpoint.pt" for name in ("radiographs", "fractals")),
        ],
        "fixtures": ["vertebral_fracture.cases", "test/fixtures/vertebral-fracture"],
        "cases": ["demo_films.fracture_cases", f"{pack}/cases"],
    }  # fmt: skip


MODELS = {
    "lumbar-landmarks": (lumbar_landmarks, install_lumbar_landmarks),
    "slip-detector": (slip_detector, None),
    "vertebral-fracture": (vertebral_fracture, install_vertebral_fracture),
}


def command_of(step, python="python"):
    words = [str(word) for word in step]
    return words if words[0] == "cp" else [python, "-m", f"training.{words[0]}", *words[1:]]


def perform(model, steps, run):
    """Runs what is not marked as done; a step that fails stops the rest, and says how to go on."""
    marks = run.out / "done"
    marks.mkdir(parents=True, exist_ok=True)
    for number, (title, step) in enumerate(steps.items(), 1):
        mark = marks / f"{model}-{number:02d}-{title.replace(' ', '-').replace(',', '')}"
        print(f"[{number}/{len(steps)}] {title}", "(done)" if mark.exists() else "", flush=True)
        if mark.exists():
            continue
        began, said = time.time(), shlex.join(command_of(step))
        if subprocess.run(command_of(step, sys.executable), check=False).returncode:
            sys.exit(f"stopped at: {said}\nonce that is mended, the same command goes on here")
        mark.write_text(f"{(time.time() - began) / 60:.1f} minutes: {said}\n")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", choices=MODELS)
    arguments.add_argument("--data", type=Path, required=True, help="the folder of shared data")
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--share", type=float, default=1.0, help="of all films and minutes")
    arguments.add_argument("--without-real", action="store_true", help="corner finder on phantoms alone: no such licence")
    arguments.add_argument("--install", action="store_true", help="put what was trained into the pack")
    arguments.add_argument("--print", action="store_true", dest="only_print")
    options = arguments.parse_args()
    run = Run(options.data, options.out, options.share, options.without_real)
    train, install = MODELS[options.model]
    if options.install and install is None:
        arguments.error(f"{options.model} has no pack: it is compared, not shipped (decision 0018)")
    name = f"{options.model}-install" if options.install else options.model
    steps = (install if options.install else train)(run)
    if options.only_print:
        print("\n".join(shlex.join(command_of(step)) for step in steps.values()))
    else:
        perform(name, steps, run)


if __name__ == "__main__":
    main()
