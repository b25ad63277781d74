"""Writes the model card from an evaluation, so that no number in it is typed by hand.

python -m training.lumbar_landmarks.card evaluation.json models/lumbar-landmarks/MODEL_CARD.md
"""

import argparse
import json
from pathlib import Path

TRAINED = Path(__file__).with_name("trained.md")  # how the weights came about: written by whoever trained them
PHANTOM_ROWS = (
    ("levels right", "levelsRight", ""),
    ("corner error L1 to S1, mean", "cornerMeanMm", "mm"),
    ("corner error L1 to S1, median", "cornerMedianMm", "mm"),
    ("corner error L1 to S1, 95th percentile", "cornerP95Mm", "mm"),
    ("corner error T10 to T12, median", "thoracicMedianMm", "mm"),
    ("slip by the corners alone, mean absolute error", "slipMaePercent", "%"),
    ("true corners within the stated 95 % ellipse", "coverage95", ""),
)
REAL_ROWS = (
    ("corner error, median", "cornerMedianMm", "mm"),
    ("corner error, mean", "cornerMeanMm", "mm"),
    ("slip by the corners alone, mean difference to the hand labels", "slipMaePercent", "%"),
    ("hand-marked corners within the stated 95 % ellipse", "coverage95", ""),
)


def number(found, unit):
    low, high = found["interval95"]
    return f"{found['value']:.3g}{' ' + unit if unit else ''} ({low:.3g} to {high:.3g})"


def phantom_table(report):
    lines = ["| synthetic | A, B, D, all | A, B, D, accepted | C, all | C, accepted |", "|---|---|---|---|---|"]
    known, unseen = report["heldOutABD"], report["heldOutC"]
    lines.append(f"| films | {known['films']} | {known['accepted']} | {unseen['films']} | {unseen['accepted']} |")
    for label, key, unit in PHANTOM_ROWS:
        cells = [number(group[part][key], unit) for group in (known, unseen) for part in ("all", "acceptedFilms")]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    for label, key in (
        ("refused, of films that show L1 to S1", "refusedComplete"),
        ("refused, of those that were read on the right level", "refusedWellRead"),
        ("refused, of those with no vertebra astray either", "refusedWell"),
        ("refused, of films without S1", "refusedWithoutSacrum"),
    ):
        if key in known and key in unseen:
            lines.append(f"| {label} | {number(known[key], '')} | | {number(unseen[key], '')} | |")
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


def card(report, trained):
    real, negatives, marked = report["real"], report["negatives"], report["marked"]
    aims = report["heldOutC"]["acceptedFilms"]
    reached = "reached" if aims["cornerMeanMm"]["value"] <= 1.2 else "not reached"
    read = real["films"] - real["refused"]
    return f"""# Lumbar corners (`lumbar-landmarks`)

Finds the corners of T10 to L5 and of S1's upper end plate on a lateral lumbar radiograph, with the spread of each, and
says how sure it is of the levels, so that slip (spondylolisthesis) and the heights of bodies can be measured.

**Research use only. Not a medical device. A demonstration model: fewer than 100 real films have been measured.**

**The weights carry a non-commercial term** (CC BY-NC-SA 4.0): real films of that licence were trained on. Weights
without the term: the same commands with `--without-real`; how those read is told below.

## Intended use

Adults, lateral lumbar radiograph with the sacrum in view, as a measurement that a reader checks on the film.
Not for children, not for front views, not for films cut off above S1, not for a diagnosis on its own.

## Training data

- Phantom films of three generators (A, B, D) in `training/phantoms`, every corner known exactly, with transitional
  vertebrae, six or four lumbar ones among them. D's outlines follow statistics of real bodies on MR (SPIDER, CC BY 4.0).
- Phantoms (T, V) whose soft tissue, pelvis and bone are real: projections of two CTs, bent.
  `pelvis_lumbar_ct`: TotalSegmentator test data, Apache-2.0. `abdomen_ct`: ACRIN-FLT-Breast_001, The Cancer Imaging
  Archive, CC BY 3.0, doi 10.7937/K9/TCIA.2017.ol20zmxg. Two patients prove nothing; they give texture.
- **Real lateral films**: {marked["trainedOn"]["films"]} of the unifesp set (CC BY-NC-SA 4.0 as declared), a fifth of each batch. Their
  corners were found by the model before this one and looked at by eye, not marked by a radiologist: they carry that
  model's habits. {marked["kept"]["films"]} more were kept for watching.
- **Real films without a lateral lumbar spine** (unifesp; btxrd, non-commercial; spine-ap and whole-spine, CC BY 4.0 as
  declared; fracture and shoulder implant sets, CC BY 4.0; NIH ChestX-ray14, training part): to be sure of nothing on.
- The tables that drive the geometry were measured on 30 label sets of real films. Whether those of the validation set
  below are among them is not recorded; its mean shapes may be known to the model, its pixels are not.
{trained}

Three nets in one graph: a U-shaped one of 2.84 M parameters on the film and its mirror image at 384 x 256; a referee of
0.87 M that looks at the four lowest discs and says which they are (the column is renamed when it is sure); and one of
0.61 M on an upright crop around each vertebra. Between the first two, a column with one vertebra skipped or found twice
is mended by its spacing. Where the sacrum is not seen, neither is done, and the levels count as uncertain.
Most convolutions are computed in eight bits, which the first stage was trained for (decision 0025).

## How well it reads real films

`spine-xr-val`: {real["films"]} lateral films cut from whole-spine radiographs, some with implants, published by the authors of a
conference paper as an open test set; corners by their readers. No pixel size is known: millimetres assume that L3 is
35 mm deep. Never trained on, but measured some thirty times while choosing between generators, stages and weights: it is
validation, not a test.

**Read: {read} of {real["films"]}. Levels right on {real["accepted"]["levelsRight"]} of those** (on {real["levelsRight"]} of all {real["films"]}, {number(real["levelShare"], "")}).
{real["refusedAmongLevelWrong"]} of the {real["films"] - real["levelsRight"]} films with a wrong level refused.

{real_table(report)}

Hand labels alone scatter by 3 to 8 % of the end plate.

Earlier weights: `def43a18` (phantoms only, no referee) read 16 of the 20, 13 of them on the right level, median 2.15 mm;
`810625e7` (before the newer phantoms) read 18, 17 of them on the right level, median 1.87 mm.

## How well it reads phantoms (synthetic)

Bootstrap over films, 2,000 draws, 95 % intervals in brackets. A, B, D: generators of the training set, other seeds, one
film in ten or so cut off above the sacrum. C: a generator never trained on, with another way of drawing bone, texture,
gas and tone, yet the same tables of anatomy. "Accepted" leaves out what the gate refuses.

{phantom_table(report)}

The aim on generator C is a mean corner error of at most 1.2 mm. Accepted films gave {aims["cornerMeanMm"]["value"]:.2f} mm: {reached}. Median
and 95th percentile show that few films, those a level off, carry the mean. Precision and recall of slips, and of
fractures, are in the evaluation of the whole chain (`training.evaluate_lumbar`).

## What it refuses

Doubts add up (decision 0023): mass of the heat maps that is missing where vertebrae were found, a referee who is unsure of
the levels, corners that the mirror image shows elsewhere, a wide stated spread, uneven steps from body to body. Beyond a
sum of 1 the film is refused; so is one whose corners cross or whose sacral end plate lies outside the film. A crushed or far slipped
body is no reason. Weights in `training/lumbar_landmarks/operating-points.json`, chosen on validation phantoms and on real
films of studies that were neither trained on nor are counted here.

{negative_table(report)}

Of {negatives["laterals"]["films"]} real lateral lumbar films of the unifesp set, most of them trained on, some cut off, oblique or with
transitional vertebrae, {negatives["laterals"]["refused"]} were refused. Films with two views side by side are in neither list.

## What others report

The paper this system follows reports P = R = F1 = 0.935 for slipped levels on real patients; others report a corner
error of 4.91 mm on BUU-LSPINE (real, 3,600 patients). This model has **not** been shown to reach either: its
agreement with readers on slipped patients has not been measured at all.

## Where it fails

- Counting starts at the sacrum. A first sacral body as square as a lumbar one is taken for L5 by finder and referee
  alike: one of the twenty real films, without a sign of doubt. With six or four lumbar vertebrae the names are those
  that counting from the sacrum gives.
- An implant over two vertebrae can hide one of them; the gate sees it by the spacing and the spread.
- Where neither end plate nor wall shows (obesity, metal), corners drift.
- A body with large spurs, a crushed body, strong scoliosis with double contours: the corner is a matter of convention.
- T10 to T12 are told where they are seen; out of view they are guesses with little mass.

## Identity

| | sha256 |
|---|---|
| model.onnx | `{report["model"]}` |
| generator sources at evaluation | `{report["generator"]}` |

Seeds: training 100,000 to 4,999,999; validation 7,000,000 on, far slips and crushed bodies 7,100,000 on; held out 8,450,000
on (A, B, D) and 8,870,000 on (C). The lists from 8,300,000, 8,350,000, 8,400,000, 8,800,000, 8,850,000 and 8,860,000 on were
read with earlier weights or gates. The held-out lists were read twice with these weights: in between, the weight a signal has
at least was loosened, for validation films of another list (7,050,000 on) were refused too often.
"""


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("evaluation", type=Path)
    arguments.add_argument("out", type=Path)
    options = arguments.parse_args()
    options.out.write_text(card(json.loads(options.evaluation.read_text()), TRAINED.read_text().strip()))


if __name__ == "__main__":
    main()
