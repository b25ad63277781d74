"""Writes the model card from an evaluation, so that no number in it is typed by hand.

python -m training.lumbar_landmarks.card evaluation.json models/lumbar-landmarks/MODEL_CARD.md
"""

import argparse
import json
from pathlib import Path

PHANTOM_ROWS = (
    ("corner error, mean", "cornerMeanMm", "mm"),
    ("corner error, median", "cornerMedianMm", "mm"),
    ("corner error, 95th percentile", "cornerP95Mm", "mm"),
    ("slip, mean absolute error", "slipMaePercent", "%"),
    ("level precision", "levelPrecision", ""),
    ("level recall", "levelRecall", ""),
    ("level F1", "levelF1", ""),
    ("normal films with a false alarm", "falseAlarmsPerNormalFilm", ""),
    ("Meyerding agreement at true positives", "meyerdingAgreement", ""),
    ("Meyerding kappa", "meyerdingKappa", ""),
)
REAL_ROWS = (
    ("corner error, median", "cornerMedianMm", "mm"),
    ("corner error, mean", "cornerMeanMm", "mm"),
    ("slip, mean difference to the hand labels", "slipMaePercent", "%"),
)


def number(found, unit):
    low, high = found["interval95"]
    return f"{found['value']:.3g}{' ' + unit if unit else ''} ({low:.3g} to {high:.3g})"


def phantom_table(report):
    lines = ["| synthetic | A and B, all | A and B, accepted | C, all | C, accepted |", "|---|---|---|---|---|"]
    known, unseen = report["heldOutAB"], report["heldOutC"]
    lines.append(f"| films | {known['films']} | {known['accepted']} | {unseen['films']} | {unseen['accepted']} |")
    for label, key, unit in PHANTOM_ROWS:
        cells = [number(group[part][key], unit) for group in (known, unseen) for part in ("all", "acceptedFilms")]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    lines.append(
        f"| refused, of films that show L1 to S1 | {number(known['refusedComplete'], '')} | | {number(unseen['refusedComplete'], '')} | |"
    )
    return "\n".join(lines)


def real_table(report):
    real = report["real"]
    groups = [
        (label, real[key])
        for label, key in (("all", "all"), ("levels right", "levelRight"), ("accepted by the gate", "accepted"))
        if key in real
    ]
    lines = [
        "| real | " + " | ".join(f"{label} (n = {group['films']})" for label, group in groups) + " |",
        "|---|" + "---|" * len(groups),
    ]
    for label, key, unit in REAL_ROWS:
        lines.append(f"| {label} | {' | '.join(number(group[key], unit) for _, group in groups)} |")
    return "\n".join(lines)


def negative_table(report):
    lines = ["| real films it must refuse | wrongly accepted |", "|---|---|"]
    for name, group in report["negatives"].items():
        if isinstance(group, dict) and "accepted" in group:
            lines.append(f"| {name} | {group['accepted']} / {group['films']} |")
    everything = report["negatives"]["all"]
    lines.append(f"| all {everything['films']} | {number(everything, '')} |")
    return "\n".join(lines)


def card(report, extra):
    real, negatives = report["real"], report["negatives"]
    aims = report["heldOutC"]["acceptedFilms"]
    met = aims["cornerMeanMm"]["value"] <= 1.5, aims["levelF1"]["value"] >= 0.90
    verdict = {(True, True): "both were reached", (False, False): "neither was reached"}.get(
        met, "one of the two was reached"
    )
    return f"""# Lumbar corners (`lumbar-landmarks`)

Finds the corners of T12 to L5 and of S1's upper end plate on a lateral lumbar radiograph, with the spread of each, so
that slip (spondylolisthesis) and the heights of bodies can be measured.

**Research use only. Not a medical device. A demonstration model: fewer than 100 real films have been measured.**

## Intended use

Adults, lateral lumbar radiograph with the sacrum in view, as a measurement that a reader checks on the film.
Not for children, not for front views, not for films cut off above S1, not for a diagnosis on its own.

## Training data

No radiograph of a patient was trained on, real films were used for validation only.

- Phantom films of two generators (A, B) in `training/phantoms`, every corner known exactly.
- Phantoms (T) whose soft tissue, pelvis and posterior bone are real: projections of two CTs, bent to the drawn spine.
  `pelvis_lumbar_ct`: TotalSegmentator test data, Apache-2.0. `abdomen_ct`: ACRIN-FLT-Breast_001, The Cancer Imaging
  Archive, CC BY 3.0, doi 10.7937/K9/TCIA.2017.ol20zmxg. Two patients prove nothing; they give texture.
- The tables that drive the geometry were measured on 30 label sets of real films. Whether those of the validation set
  below are among them is not recorded; its mean shapes may be known to the model, its pixels are not.
- The first stage started from the weights of an earlier net of this architecture, trained on phantoms only.
{extra}

Two stages in one graph: a U-shaped net of 2.84 M parameters on the film at 384 x 256, then one of 0.61 M on an upright
crop around each vertebra: once to centre it, then at three widths, averaged. Stored as fp16, computed as fp32.

## How well it reads phantoms (synthetic)

Bootstrap over films, 2,000 draws, 95 % intervals in brackets. A and B: generators of the training set, other seeds.
C: a generator never trained on, with another way of drawing bone, texture, gas and tone, yet the same tables of
anatomy. "Accepted" leaves out what the gate refuses. A slip counts from 9 % beyond the level's normal offset, normal
scatter ends at 5 %: nothing lies in between, so these F1 values are kinder than life.

{phantom_table(report)}

The project's own aims on generator C were a mean corner error of at most 1.5 mm and a level F1 of at least 0.90.
Accepted films of C gave {aims["cornerMeanMm"]["value"]:.2f} mm and {aims["levelF1"]["value"]:.3f}: {verdict}. Median and 95th percentile
show that few films carry the mean.

## How well it reads real films

`spine-xr-val`: {real["films"]} lateral films cut from whole-spine radiographs, some with implants, published by the authors of a
conference paper as an open test set; corners by their readers. No pixel size is known: millimetres assume that L3 is
35 mm deep. The set was measured some twenty times while choosing between generators, stages and checkpoints, so it is
validation, not a test.

**All five levels right: {real["levelsRight"]} / {real["films"]}** (share {number(real["levelShare"], "")}).
The gate refused {real["refused"]} of {real["films"]}; of the films with a wrong level it refused {real["refusedAmongLevelWrong"]} of {real["films"] - real["levelsRight"]}.

{real_table(report)}

Hand labels alone scatter by 3 to 8 % of the end plate.

## What it refuses

The gate needs a confident peak, agreement of the film with its mirror image, bodies of a plausible shape and S1 on the
film; limits in `training/lumbar_landmarks/operating-points.json`, chosen on validation phantoms.

{negative_table(report)}

"Two views" films hold a lateral view beside another; some are read. Of {negatives["unlabelledLaterals"]["films"]} real lateral lumbar films
without corners (unifesp; some cut off, oblique or faint) {negatives["unlabelledLaterals"]["refused"]} were refused.

## What others report

The paper this system follows reports P = R = F1 = 0.935 for slipped levels on real patients; others report a corner
error of 4.91 mm on BUU-LSPINE (real, 3,600 patients). This model has **not** been shown to reach either: its
agreement with readers on slipped patients has not been measured at all.

## Where it fails

- Counting starts at the sacrum. With S1 out of view, or with six or four lumbar vertebrae, all levels are off by one.
- Where S1 looks like a sixth lumbar body or the pelvis is over-exposed, the level slips by one: {real["films"] - real["levelsRight"]} of the {real["films"]}
  real films, and the gate lets some of them through.
- Where neither end plate nor wall shows (obesity, metal), corners drift; whether the stated spread grows with the error
  was checked on average only.
- A body with large spurs, a crushed body, strong scoliosis with double contours: the corner is a matter of convention.
- Screws, cages and cement were drawn, not photographed.
- Slip near the threshold is a coin toss: normal films differ by more than the model's error.

## Identity

| | sha256 |
|---|---|
| model.onnx | `{report["model"]}` |
| generator sources at evaluation | `{report["generator"]}` |

Seeds: training 100,000 to 4,999,999; validation 7,000,000 on; held out 8,250,000 on (A, B) and 8,750,000 on (C).
Earlier held-out lists (8,000,000 and 8,500,000 on) were looked at once before the gate's limits and the averaging of crops
were settled; the numbers above are from lists read once, afterwards.
"""


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("evaluation", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--note", default="", help="a further line on the training run")
    options = arguments.parse_args()
    extra = f"- {options.note}" if options.note else ""
    options.out.write_text(card(json.loads(options.evaluation.read_text()), extra))


if __name__ == "__main__":
    main()
