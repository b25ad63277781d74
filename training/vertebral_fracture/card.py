"""Writes the model card from the reports, so that no number in it is typed by hand.

    python -m training.vertebral_fracture.card report.json real.json chain.json models/vertebral-fracture/MODEL_CARD.md \\
        --pretraining radiographs=OUT/radiographs/checkpoint.pt fractals=OUT/fractals/checkpoint.pt
"""

import argparse
import json
from pathlib import Path

from .middle import DEEP_FROM
from .pack import FOLDER

HERE = Path(__file__).parent

COHORTS = {
    "train, out of fold": "training generators; each vertebra by models fitted without its patient",
    "internal": "drawn training generators, other seeds",
    "external": "generator C, which shares no drawing of bone, texture or tone with those of the training",
    "external-once": "generator C again, seeds that nothing was settled by; read twice: a first model was given up for what it said of `deformed-ct`",
    "prospective": "drawn training generators, fewer fractures, another machine's exposure (a stand-in)",
    "deformed-ct": "a real CT (`abdomen_ct`) with bodies broken in space, projected (generator V); the network and the classifier "
    "were trained on no CT (the corner finder, which has no part in these figures, knows both)",
    "deformed-ct-2": "the same with another CT (`pelvis_lumbar_ct`)",
}

SHOWN = ("external-once", "deformed-ct")  # of the cohorts, in tables that would grow too long


def number(found):
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def cohort_table(report):
    heads = list(report["cohorts"])
    rows = [
        ("vertebrae / patients", lambda c: f"{c['vertebrae']} / {c['patients']}"),
        ("class 0 / 1 / 2", lambda c: " / ".join(map(str, c["perClass"]))),
        *((f"AUC, class {k} against the rest", lambda c, k=k: number(c[f"class{k}"]["auc"])) for k in range(3)),
        *((f"the same, DeLong's interval, class {k}", lambda c, k=k: "{:.3f} to {:.3f}".format(*c[f"class{k}"]["delong"])) for k in range(3)),
        ("macro AUC", lambda c: number(c["macroAuc"])),
        ("any fracture against none, AUC", lambda c: number(c["anyFracture"])),
        ("accuracy", lambda c: number(c["accuracy"])),
        *((f"accuracy, class {k}", lambda c, k=k: number(c[f"class{k}"]["accuracy"])) for k in range(3)),
        ("suspected: of broken ones", lambda c: share(c, "sensitivity")),
        ("suspected: of intact ones", lambda c: share(c, "falsePositives")),
    ]
    lines = [f"| synthetic | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    lines += [f"| {title} | {' | '.join(cell(report['cohorts'][head]) for head in heads)} |" for title, cell in rows]
    return "\n".join(lines)


def share(cohort, key):
    return f"{cohort['atThreshold'][key]:.3f}" if "atThreshold" in cohort else ""


def ablation_table(report):
    cohorts = [name for name in report["cohorts"] if not name.startswith("train")]
    lines = [f"| synthetic, macro AUC | features | {' | '.join(cohorts)} |", "|---|---|" + "---|" * len(cohorts)]
    for title, row in report["ablation"].items():
        lines.append(f"| {title} | {row['features']} | {' | '.join(number(row[name]) for name in cohorts)} |")
    return "\n".join(lines)


def by_class_table(report):
    lines = ["| synthetic | " + " | ".join(f"{name}: AUC 0 / 1 / 2 | accuracy 0 / 1 / 2" for name in SHOWN) + " |", "|---|" + "---|" * (2 * len(SHOWN))]
    three = lambda values: " / ".join(f"{value:.3f}" for value in values)
    for title, row in report["ablation"].items():
        lines.append(f"| {title} | " + " | ".join(f"{three(row[name]['auc'])} | {three(row[name]['accuracy'])}" for name in SHOWN) + " |")
    return "\n".join(lines)


def cells_of(tests):
    return " | ".join(f"{t['difference']:+.3f}, z {t['z']:.2f}, p {t['p']:.2g}" for t in tests)


def delong_table(report):
    lines = ["| synthetic, difference of AUC | class 0 | class 1 | class 2 |", "|---|---|---|---|"]
    lines += [f"| {title} | {cells_of(tests)} |" for title, tests in report["pretrainings"].items() if title.endswith(SHOWN)]
    return "\n".join(lines)


def earlier_text(report):
    if "earlier" not in report:
        return ""
    lines = ["| synthetic | before, macro AUC | class 0 / 1 / 2 | now - before, class 0 | class 1 | class 2 |", "|---|---|---|---|---|---|"]
    for name, row in report["earlier"].items():
        lines.append(f"| {name} | {number(row)} | {' / '.join(f'{value:.3f}' for value in row['auc'])} | {cells_of(row['tests'])} |")
    table = "\n".join(lines)
    return f"""### Against version 0.1.0

That one was fitted on drawn bodies and on generator T, whose biconcave bodies had straight end plates and whose tissue is that of
both CTs: on `deformed-ct` it is no model without that patient. The same vertebrae, DeLong's test:

{table}

"""


def pretraining_table(checkpoints):
    import torch

    lines = ["| pretraining | pictures (held out) | classes | minutes of a core | windows seen | held out, right at the end | log loss, first look to last |", "|---|---|---|---|---|---|---|"]
    for name, path in checkpoints.items():
        state = torch.load(path, map_location="cpu", weights_only=False)
        task, history = state["task"], state["history"]
        first, last = history[0], history[-1]
        lines.append(
            f"| {name} | {task['pictures']} ({task['heldOut']}) | {task['classes']} | {state['spent'] / 60:.1f} | {64 * state['step']:,} | "
            f"{last['heldOutRight']:.3f} of {last['n']} | {first['heldOutLoss']:.2f} to {last['heldOutLoss']:.2f} |"
        )
    return "\n".join(lines)


def hollow_table(report):
    lines = ["| synthetic | vertebrae | mean absolute error, % of the height | bias | within the stated 95 % interval | correlation | bias, biconcave / intact |", "|---|---|---|---|---|---|---|"]
    percent = lambda found: f"{100 * found['value']:.1f} ({100 * found['low']:.1f} to {100 * found['high']:.1f})"
    for name, row in report["hollow"]["cohorts"].items():
        if "bias" not in row:
            continue
        kinds = " / ".join(f"{100 * row['biasByKind'][kind][0]:+.1f} (n {row['biasByKind'][kind][1]})" if kind in row["biasByKind"] else "none" for kind in ("biconcave", "none"))
        lines.append(
            f"| {name} | {row['vertebrae']} | {percent(row['meanAbsolute'])} | {percent(row['bias'])} | {percent(row['withinInterval'])} % | "
            f"{row['correlation']:.2f} | {kinds} |"
        )
    return "\n".join(lines)


def hollow_in_ct(report):
    row = report["hollow"]["cohorts"].get("deformed-ct")
    if row is None:
        return ""
    said = ", ".join(f"{kind} {100 * mean:.0f} % (n {count})" for kind, (mean, count) in row["meanByKind"].items())
    return f"In `deformed-ct`, whose own end plates nobody measured, the mean of what it says is: {said}."


def chain_text(chain):
    low, high = chain["suspectedInterval"]
    classes = ", ".join(f"{count} of class {value}" for value, count in chain["suspectedByClass"].items()) or "none"
    return f"""Real, `spine-xr-val` ({chain['films']} lateral films, no fracture label; validation only), the whole chain with corner finder {chain['corners']}:
{chain['read']} films read, {chain['judged']} vertebrae judged, {chain['suspected']} suspected ({100 * chain['suspected'] / max(chain['judged'], 1):.1f} %, Wilson {100 * low:.1f} to {100 * high:.1f} %; {classes}),
{chain['onlyLooksBroken']} more that only look broken, {chain['notJudged']} not judged. By hand labels {chain['marked']['lostAFifth']} of {chain['marked']['bodies']} bodies of these films have lost a fifth at
their front or back wall, so suspicions are best read as false alarms."""


def classifier_table(report):
    lines = ["| synthetic, train, 5 folds by patient | macro AUC | accuracy |", "|---|---|---|"]
    ordered = sorted(report["classifiers"].items(), key=lambda item: -item[1]["macroAuc"]["value"])
    return "\n".join([*lines, *(f"| {name} | {number(row['macroAuc'])} | {row['accuracy']:.3f} |" for name, row in ordered)])


def best_sentence(report):
    ordered = sorted(report["classifiers"].items(), key=lambda item: -item[1]["macroAuc"]["value"])
    name, row = ordered[0]
    own = report["classifiers"]["logistic regression"]["macroAuc"]["value"]
    if name == "logistic regression":
        return "Logistic regression was the best of the eight and ships."
    return (
        f"The best was {name}, by {row['macroAuc']['value'] - own:.3f} of macro AUC. Logistic regression ships all the same: its answer "
        "is a sum, of which the map shows the deep part and the bars the rest, exactly."
    )


def real_lines(real):
    out = []
    for title, row in real.items():
        if not isinstance(row, dict):
            continue
        chances = row["chanceOfAnyFracture"]
        out.append(
            f"| {title} | {row['vertebrae']} of {row['films']} films | {' / '.join(map(str, row['called']))} | {regions(row)} | "
            f"{row['filmsWithSuspicion']} | {row['unlikeTraining']} | "
            f"{chances['p10']:.2f} / {chances['p50']:.2f} / {chances['p90']:.2f} | {' / '.join(f'{100 * value:.0f}' for value in row['hollow'].values())} |"
        )
    return "\n".join(out)


def regions(row):
    return "; ".join(f"{name}: {part['suspected']} of {part['vertebrae']}" for name, part in row["byRegion"].items())


def reached(report):
    found = report["cohorts"]["external-once"]["macroAuc"]
    verdict = "was reached" if found["value"] >= 0.93 else "was not reached"
    return f"The project's aim, a macro AUC of at least 0.93 on the unseen generator (`external-once`), {verdict}: {number(found)}."


def weakness(report):
    first, second = (report["cohorts"][name] for name in ("deformed-ct", "deformed-ct-2"))
    false = lambda found: f"{100 * found['atThreshold']['falsePositives']:.0f} %"
    return (
        f"In bodies of two real CTs class 1 has an AUC of {number(first['class1']['auc'])} and {number(second['class1']['auc'])}, "
        f"and {false(first)} and {false(second)} of intact ones look broken: real bone differs from drawn bone, and one patient from another, "
        "whatever the other columns say."
    )


def card(report, real, chain, model, checkpoints, provenance, looked):
    hollow = report["hollow"]
    chosen = model["features"]
    radiomics = [f["name"] for f in chosen if f["source"] == "radiomics"]
    return f"""# Vertebral fracture class (`vertebral-fracture`)

Gives each vertebral body that the corner finder measured on a lateral radiograph a class: 0 no fracture, 1 compression
(wedge or biconcave; posterior wall kept), 2 burst or crush (posterior wall lost too), with the chance of each.

**Research use only. Not a medical device. A demonstration model: no real film with a fracture label was ever measured.**

## Intended use

Adults, lateral thoracolumbar radiographs, T10 to L5, bodies wholly in view, as a hint that a reader checks on the film.
Not for children, tumours, infection, screws or cement, and no statement on how old a fracture is or whether bone is
osteoporotic.

The classes are our reading of the morphology row of the Assessment System of Thoracolumbar Osteoporotic Fracture; they
are stated in the manifest and can be worded otherwise there.

## How it works

A crop around the four corners (upright, 1.7 body depths wide, 128 samples) gives {report['candidates']} features: radiomics inside the
corners and the mean activations of a network. z-score, a test for any difference, a correlation filter and a LASSO over
all classes left {len(chosen)} (the paper: 17), {len(radiomics)} of them radiomics ({', '.join(radiomics)}). A logistic regression of these answers.

{provenance}

**Height between the walls.** While it was tuned, the network was also asked how hollow a body is: the share of the height
between its corners that both end plates leave out at their middle. Of intact bodies it says {100 * hollow['usual']:.1f} % (sd {100 * hollow['usualSd']:.1f}). Its error
has a standard deviation of {100 * hollow['sd']:.1f} % of the height, {100 * hollow['deepSd']:.1f} % where it says more than {100 * DEEP_FROM:.0f} %. With the walls' heights this gives the loss at the middle, with an interval of both errors; the largest of the three losses
is graded after Genant.

## Training data

No radiograph of a patient with a fracture was used. Vertebrae are drawn phantoms of `training/phantoms` (A, B, D), cropped by
corners disturbed as the corner finder errs (about 0.9 mm at the median). A film is a patient, with one to three vertebrae. Losses of
height start at 20 % (wedge), 30 % (crush, burst); biconcave bodies are drawn with 33 to 65 %, of which about three fifths are lost
at the middle; those of the CTs below start at 20 %, all of it at the middle. Bodies of one CT, broken in space, were tried in training
(194 of 613): on the other CT the AUC of class 1 then fell from 0.94 to 0.83, so they were left out and are measured on. Generator
T was left out, too: it bends a CT to drawn corners, so its biconcave bodies have straight end plates. Nothing lies between
normal scatter and the mildest fracture, so **these figures are kinder than life**. Phantom classes encode our own belief
of what a fracture looks like.

## How well it reads phantoms (synthetic)

In brackets 95 % by bootstrap over patients, 2,000 draws.
{chr(10).join(f'`{name}`: {text}.' for name, text in COHORTS.items() if name in report['cohorts'])}

{cohort_table(report)}

{reached(report)} "Suspected" is a chance of any fracture of at least
{report['threshold']:.3f}, exceeded out of fold by 1.5 % of the intact training vertebrae: a film has
six or more bodies.

### What each part brings

"Heights only" is a logistic regression on five heights (against the level's normal, the depth and the neighbours); the paper's
model does not have them, nor has this one. Intervals of this table are of 500 draws.

{ablation_table(report)}

{by_class_table(report)}

### Pretrainings, by DeLong's test

`radiographs` and `fractals` are one ResNet-50, cut after its third stage (8.5 M weights, 1,024 features), trained by one recipe:

{pretraining_table(checkpoints)}

{delong_table(report)}

Vertebrae count as independent in DeLong's test, though some share a patient. Against `imagenet` and `tuned` the nets differ in
make and budget, too.

{earlier_text(report)}### Height between the walls

{hollow_table(report)}

{hollow_in_ct(report)}

### Eight classifiers

{classifier_table(report)}

{best_sentence(report)}

## What it says of real films

No label of a fracture exists for these films; most vertebrae are presumably intact, so "suspected" is close to a count of
false alarms. On {real['filmsRefused']} further lateral films the corner finder refused to measure.

| real | vertebrae | called 0 / 1 / 2 | suspected | films with one | unlike the training data | chance of any fracture, 10th / 50th / 90th percentile | hollow, the same, % |
|---|---|---|---|---|---|---|---|
{real_lines(real)}

{looked}
`spine-xr-val` is validation only: never trained on.

## What the pack makes of it

The figures above speak of the classes alone. A suspicion, which makes a card for a clinician, asks for two things: a class
from 1 on, and a height that may have lost a fifth (Genant), by the upper end of its 95 % interval against the level's own
normal and the bodies nearby. What only looks broken is told as measured, with class and heights, and makes no card. The limit is
`operatingPoints.suspicion.leastLossPercent` in the manifest.

{chain_text(chain)}

## What others report

The paper this system follows (942 patients, 1,076 vertebrae, real) reports AUC 0.969 / 0.945 / 0.809 and accuracy 0.863 / 0.875 /
0.692 for classes 0 / 1 / 2. This model has **not** been shown to reach either on any patient.

## Where it fails

- Mild biconcave bodies: see class 1 above. {weakness(report)}
- What it calls fractured hangs on the corners: where the corner finder is off, so is the class.
- Congenital wedges, Scheuermann's disease, limbus vertebrae, endplate nodes and spurs are not in the training data.
- Films of poor contrast, cement, screws and cages.
- An answer of another kind of film may look as sure; the pack abstains where features lie far from the training data.

## Identity

| | sha256 |
|---|---|
| backbone.onnx | `{model['hashes']['backbone']}` |
{chr(10).join(f'| data list, {name} | `{digest}` |' for name, digest in report['identity']['lists'].items())}
{chr(10).join(f'| sources of the generators | `{digest}` |' for digest in report['identity']['generators'])}

Several hashes of generators mean that cohorts were rendered while its sources were still changing. Seeds: train 2,000,000
on, tuning 3,000,000 on, internal 7,300,000 on, prospective 8,400,000 on, external 8,600,000 on
and 8,750,000 on (once), deformed CT 8,900,000 on.
"""


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("report", type=Path)
    arguments.add_argument("real", type=Path)
    arguments.add_argument("chain", type=Path)
    arguments.add_argument("out", type=Path)
    arguments.add_argument("--pretraining", nargs="+", required=True, help="name=checkpoint.pt")
    arguments.add_argument("--model", type=Path, default=FOLDER / "model.json")
    arguments.add_argument("--provenance", type=Path, default=HERE / "provenance.md", help="the network's origin and licence")
    arguments.add_argument("--looked", type=Path, default=HERE / "looked.md", help="what was seen on the contact sheet")
    options = arguments.parse_args()
    paths = (options.report, options.real, options.chain, options.model)
    report, real, chain, model = (json.loads(path.read_text()) for path in paths)
    checkpoints = dict(pair.split("=", 1) for pair in options.pretraining)
    texts = options.provenance.read_text().strip(), options.looked.read_text()
    options.out.write_text(card(report, real, chain, model, checkpoints, *texts))


if __name__ == "__main__":
    main()
