"""Choose features, compare eight classifiers, fit the one that ships, and print the paper's table.

    python -m training.vertebral_fracture.fit COHORTS --backbone radiographs=R.onnx fractals=F.onnx --ship radiographs \\
        --model model.json --report report.json

The first two backbones named, the two pretrainings, are held against each other and each further one by DeLong's test.
`--earlier FOLDER` reads the cohorts with an older pack, too. Everything is measured on phantoms, and says so.
"""

import argparse
import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import cohorts, features, middle
from .classifiers import compare, logistic, macro_auc, strength_of
from .selection import Selection, select
from .statistics import auc, delong_interval, delong_test, interval

HERE = Path(__file__).parent
CLASS_NAMES = ("no fracture", "compression: posterior wall kept", "burst or crush: posterior wall lost too")


@dataclass(frozen=True)
class Table:
    """One cohort: what was measured of every vertebra."""

    classes: np.ndarray
    patients: np.ndarray
    radiomics: np.ndarray
    heights: np.ndarray
    deep: dict  # by backbone
    columns: dict
    identity: dict

    def only(self, rows):
        return Table(
            self.classes[rows], self.patients[rows], self.radiomics[rows], self.heights[rows],
            {key: values[rows] for key, values in self.deep.items()},
            {key: values[rows] for key, values in self.columns.items()}, self.identity,
        )  # fmt: skip


@dataclass(frozen=True)
class Fitted:
    """A selection and the logistic regression on it."""

    selection: Selection
    coefficients: np.ndarray  # (3, k)
    intercepts: np.ndarray
    strength: float

    def logits(self, values):
        return self.selection.standardised(values) @ self.coefficients.T + self.intercepts

    def probability(self, values):
        logits = self.logits(values)
        power = np.exp(logits - logits.max(1, keepdims=True))
        return power / power.sum(1, keepdims=True)


def tables(folder, backbones, versions):
    """Of the training cohort only vertebrae of the generators named; of the others all."""
    out, names = {}, None
    for name in cohorts.COHORTS:
        if not any(Path(folder).glob(f"{name}-[0-9]*.npz")):
            print(f"{name}: not rendered, left out")
            continue
        columns, identity = cohorts.load(folder, name)
        radiomics = features.radiomics_for(folder, name, columns, identity)
        deep = {key: features.deep_for(folder, name, columns, identity, path) for key, path in backbones.items()}
        names = radiomics["names"].tolist()
        everything = Table(
            columns["class"].astype(int), columns["patient"], radiomics["values"], columns["heights"], deep, columns, identity
        )
        if name != "train":
            out[name] = everything
            continue
        trained = np.isin(columns["version"], list(versions))
        out[name] = everything.only(trained)
        if not trained.all():  # bodies of the other broken CT, which then nothing is fitted on either
            out["deformed-ct-2"] = everything.only(~trained)
    return out, names


def deep_of(folder, name, backbone):
    """Features of another backbone; `deformed-ct-2` lies in the training cohort's files."""
    stored = "train" if name == "deformed-ct-2" else name
    columns, identity = cohorts.load(folder, stored)
    deep = features.deep_for(folder, stored, columns, identity, backbone)
    return deep[np.isin(columns["version"], list("V"))] if stored != name else deep


def found_later(found):
    """The cohorts that nothing is fitted on."""
    return [name for name in found if name != "train"]


def matrix(table, kind, backbone=None):
    if kind == "heights":
        return table.heights
    parts = {"radiomics": [table.radiomics], "deep": [table.deep.get(backbone)]}
    return np.concatenate(parts["radiomics"] + parts["deep"] if kind == "fused" else parts[kind], 1).astype(float)


def fit(values, classes, patients, strength=None):
    selection = select(values, classes, patients)
    if strength is None:
        strength = strength_of(values, classes, patients, selection.alpha)
    model = logistic(strength).fit(selection.standardised(values), classes)
    return Fitted(selection, model.coef_, model.intercept_, strength)


def fit_heights(values, classes):
    """All five height figures, z-scored, in the same regression."""
    everything = Selection(np.arange(values.shape[1]), values.mean(0), values.std(0), 0.0, values.shape[1])
    model = logistic(1.0).fit(everything.standardised(values), classes)
    return Fitted(everything, model.coef_, model.intercept_, 1.0)


def report_cohort(probability, classes, patients):
    """One-vs-rest areas with both intervals, macro area, accuracy per class and in all."""
    called = probability.argmax(1)
    out = {"vertebrae": len(classes), "patients": len(np.unique(patients)), "perClass": np.bincount(classes, minlength=3).tolist()}
    for k in range(3):
        positive = classes == k
        boot = interval(patients, lambda rows, k=k: auc(probability[rows, k], classes[rows] == k))
        right = interval(patients, lambda rows, k=k: share(called[rows] == k, classes[rows] == k))
        out[f"class{k}"] = {"auc": boot, "delong": delong_interval(probability[:, k], positive), "accuracy": right}
    out["macroAuc"] = interval(patients, lambda rows: macro_auc(probability[rows], classes[rows]))
    out["accuracy"] = interval(patients, lambda rows: float((called[rows] == classes[rows]).mean()))
    # how well any fracture is told from none, the question that a card asks first
    out["anyFracture"] = interval(patients, lambda rows: auc(1 - probability[rows, 0], classes[rows] > 0))
    matrix_ = [[int(((classes == a) & (called == b)).sum()) for b in range(3)] for a in range(3)]
    return {**out, "confusion": matrix_}


def share(right, which):
    return float(right[which].mean()) if which.any() else float("nan")


def figure(found):
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def print_cohort(name, found):
    counts = " / ".join(map(str, found["perClass"]))
    print(f"\n{name}: SYNTHETIC, {found['vertebrae']} vertebrae of {found['patients']} patients, class 0/1/2: {counts}")
    for k in range(3):
        one = found[f"class{k}"]
        low, high = one["delong"]
        print(f"  class {k}: AUC {figure(one['auc'])}, DeLong {low:.3f} to {high:.3f}; accuracy {figure(one['accuracy'])}")
    print(f"  macro AUC {figure(found['macroAuc'])}; accuracy {figure(found['accuracy'])}; any fracture AUC {figure(found['anyFracture'])}")
    print(f"  confusion (rows true): {found['confusion']}", flush=True)


def by_class(probability, classes):
    called = probability.argmax(1)
    return {
        "auc": [auc(probability[:, k], classes == k) for k in range(3)],
        "accuracy": [share(called == k, classes == k) for k in range(3)],
    }


def names_of(radiomics_names, deep_width):
    return [f"radiomics.{name}" for name in radiomics_names] + [f"deep.{index}" for index in range(deep_width)]


def ablation(found, shipped, strength):
    """Radiomics alone, deep alone, both, and the rule on heights, each with its own selection, all of one ridge."""
    train = found["train"]
    out, kept = {}, {}
    rows = [("radiomics only", "radiomics", None), ("heights only (baseline)", "heights", None)]
    for backbone in train.deep:
        rows += [(f"deep only, {backbone}", "deep", backbone), (f"fused, {backbone}", "fused", backbone)]
    print("\nmacro AUC by what is known of a vertebra: SYNTHETIC")
    for title, kind, backbone in rows:
        values = matrix(train, kind, backbone)
        model = fit_heights(values, train.classes) if kind == "heights" else fit(values, train.classes, train.patients, strength)
        kept[title] = model
        out[title] = {"features": len(model.selection.chosen)}
        for name, table in found.items():
            if name == "train":
                continue
            probability = model.probability(matrix(table, kind, backbone))
            out[title][name] = {
                **interval(table.patients, lambda r, p=probability, t=table: macro_auc(p[r], t.classes[r]), draws=500),
                **by_class(probability, table.classes),
            }
        line = "; ".join(f"{name} {figure(value)}" for name, value in out[title].items() if name != "features")
        mark = " *" if title == f"fused, {shipped}" else ""
        print(f"  {title}{mark}: {out[title]['features']} features; {line}", flush=True)
    return out, kept


def between_pretrainings(found, kept):
    """DeLong's test of the first two backbones against each other and the rest, per class and cohort."""
    order = list(found["train"].deep)
    pairs = [(first, other) for place, first in enumerate(order[:2]) for other in order[place + 1 :]]
    out = {}
    print("\nDeLong between pretrainings: SYNTHETIC")
    for first, other in pairs:
        for kind, key in (("deep only", "deep"), ("fused", "fused")):
            for name in found_later(found):
                table = found[name]
                ours, theirs = (kept[f"{kind}, {one}"].probability(matrix(table, key, one)) for one in (first, other))
                out[f"{kind}: {first} - {other}, {name}"] = tests = compared(ours, theirs, table.classes)
                print(f"  {kind}, {first} minus {other}, {name}: {tests_in_words(tests)}", flush=True)
    return out


def compared(ours, theirs, classes):
    return [delong_test(ours[:, k], theirs[:, k], classes == k) for k in range(3)]


def tests_in_words(tests):
    return "; ".join(f"class {k} {t['difference']:+.3f} z {t['z']:.2f} p {t['p']:.3g}" for k, t in enumerate(tests))


def earlier_pack(folder, cohorts_folder, found, radiomics_names, model, ship):
    """What an older pack says of the same vertebrae, and DeLong's test of this one against it."""
    old = json.loads((folder / "model.json").read_text())
    weights = np.array([feature["coefficients"] for feature in old["features"]])
    mean, sd = (np.array([feature[key] for feature in old["features"]]) for key in ("mean", "sd"))
    out = {}
    print("\nthe earlier pack on the same vertebrae: SYNTHETIC")
    for name in found_later(found):
        table = found[name]
        deep = deep_of(cohorts_folder, name, folder / "backbone.onnx")
        columns = [
            deep[:, int(f["name"])] if f["source"] == "deep" else table.radiomics[:, radiomics_names.index(f["name"])]
            for f in old["features"]
        ]
        logits = ((np.stack(columns, 1) - mean) / sd) @ weights + np.array(old["intercepts"])
        power = np.exp(logits - logits.max(1, keepdims=True))
        theirs = power / power.sum(1, keepdims=True)
        ours = model.probability(matrix(table, "fused", ship))
        out[name] = {
            **interval(table.patients, lambda r, p=theirs, t=table: macro_auc(p[r], t.classes[r]), draws=500),
            **by_class(theirs, table.classes),
            "tests": compared(ours, theirs, table.classes),
        }
        aucs = " / ".join(f"{value:.3f}" for value in out[name]["auc"])
        print(f"  {name}: macro AUC {figure(out[name])}, class 0 / 1 / 2 {aucs}; this one minus it: {tests_in_words(out[name]['tests'])}", flush=True)
    return out


def eight_compared(values, table, alpha):
    print("\neight classifiers, 5 folds grouped by patient, selection in each fold: SYNTHETIC, train")
    out = {}
    for name, probability in compare(values, table.classes, table.patients, alpha).items():
        found = interval(table.patients, lambda rows, p=probability: macro_auc(p[rows], table.classes[rows]), draws=400)
        called = probability.argmax(1)
        out[name] = {"macroAuc": found, "accuracy": float((called == table.classes).mean())}
        if name == "logistic regression":
            out_of_fold = probability
        print(f"  {name}: macro AUC {figure(found)}, accuracy {out[name]['accuracy']:.3f}", flush=True)
    return out, out_of_fold


def suspicion_threshold(probability, classes, specificity=0.985):
    """The chance of any fracture above which a level is called suspected: a film has six or more bodies, so of intact
    ones out of fold no more than 1.5 % may exceed it."""
    return float(np.quantile(1 - probability[classes == 0, 0], specificity))


def written(model, names, table, identity, threshold, hollow):
    """model.json: everything that the service computes with."""
    selection = model.selection
    z = selection.standardised(table)
    listed = []
    for place, column in enumerate(selection.chosen):
        source, name = names[column].split(".", 1)
        listed.append(
            {
                "name": name,
                "source": source,
                "mean": float(selection.mean[place]),
                "sd": float(selection.sd[place]),
                "coefficients": model.coefficients[:, place].tolist(),
            }
        )
    return {
        "crop": {"side": 128, "span": 1.7, "mostFilmPixelsPerSample": 2},
        "normalise": {"epsilon": 0.01},
        "radiomics": {"bins": 32, "pixel": {"columnMm": 1, "rowMm": 1}},
        "classes": [{"class": k, "name": name} for k, name in enumerate(CLASS_NAMES)],
        "definition": "ASTLOF's morphology row in our reading: 0 none, 1 compression (wedge, biconcave), 2 burst or crush",
        "link": "softmax",
        "features": listed,
        "intercepts": model.intercepts.tolist(),
        "thresholds": {"anyFracture": threshold},
        # share of the height between the corners that is missing at the middle, from all deep features
        "hollow": middle.written(hollow),
        # Beyond this mean of squared z values a crop is unlike what was trained on (99.5th percentile there).
        "likeness": {"mostMeanSquaredZ": float(np.quantile((z**2).mean(1), 0.995))},
        "hashes": identity,
    }


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path, help="cohorts, as written by training.vertebral_fracture.cohorts")
    arguments.add_argument("--backbone", nargs="+", required=True, help="name=file.onnx; the first is held against the others")
    arguments.add_argument("--ship", required=True, help="name of the backbone whose fused model is written")
    arguments.add_argument("--model", type=Path, help="model.json")
    arguments.add_argument("--report", type=Path)
    arguments.add_argument("--earlier", type=Path, help="folder of an older pack, to be held against")
    arguments.add_argument("--versions", default="ABD", help="generators to train on; V, a broken CT, made it worse on another CT")
    arguments.add_argument("--quick", action="store_true", help="only the model that ships")
    options = arguments.parse_args()
    began = time.time()
    backbones = dict(pair.split("=", 1) for pair in options.backbone)
    if options.quick:
        backbones = {options.ship: backbones[options.ship]}
    found, radiomics_names = tables(options.folder, backbones, options.versions)
    train = found["train"]
    values = matrix(train, "fused", options.ship)
    names = names_of(radiomics_names, train.deep[options.ship].shape[1])
    model = fit(values, train.classes, train.patients)
    identity = {
        "backbone": sha256(backbones[options.ship]),
        "generators": sorted({g for table in found.values() for g in table.identity["generator"]}),
        "lists": {name: table.identity["list"] for name, table in found.items()},
    }
    print(json.dumps(identity))
    print(f"\n{len(model.selection.chosen)} of {values.shape[1]} features chosen (the paper: 17), {model.selection.candidates} reached the LASSO, "
          f"alpha {model.selection.alpha:.4f}, ridge C {model.strength}")
    for place, column in enumerate(model.selection.chosen):
        weights = " ".join(f"{w:+.2f}" for w in model.coefficients[:, place])
        print(f"  {names[column]}: {weights}")
    report = {"kind": "synthetic", "identity": identity, "candidates": values.shape[1], "chosen": [names[c] for c in model.selection.chosen], "cohorts": {}}
    compared, out_of_fold = eight_compared(values, train, model.selection.alpha)
    report["classifiers"] = compared
    threshold = suspicion_threshold(out_of_fold, train.classes)
    report["threshold"] = threshold
    report["cohorts"]["train, out of fold"] = report_cohort(out_of_fold, train.classes, train.patients)
    print_cohort("train, out of fold", report["cohorts"]["train, out of fold"])
    for name in found_later(found):
        table = found[name]
        probability = model.probability(matrix(table, "fused", options.ship))
        report["cohorts"][name] = report_cohort(probability, table.classes, table.patients)
        print_cohort(name, report["cohorts"][name])
        any_fracture = 1 - probability[:, 0] >= threshold
        sensitivity, false = share(any_fracture, table.classes > 0), share(any_fracture, table.classes == 0)
        report["cohorts"][name]["atThreshold"] = {"sensitivity": sensitivity, "falsePositives": false}
        print(f"  suspected at {threshold:.3f}: sensitivity {sensitivity:.3f}, of intact ones {false:.3f}")
    hollow = middle.fit([train, found["external"]], options.ship, backbones[options.ship])
    print(f"\nhollow between the walls: SYNTHETIC; intact bodies {100 * hollow.usual:.1f} (sd {100 * hollow.usual_sd:.1f}) % of the height, error sd {100 * hollow.sd:.1f}, where one is said {100 * hollow.deep_sd:.1f}")
    report["hollow"] = {"usual": hollow.usual, "usualSd": hollow.usual_sd, "sd": hollow.sd, "deepSd": hollow.deep_sd, "cohorts": {}}
    for name in found_later(found):
        report["hollow"]["cohorts"][name] = middle.report(hollow, found[name], options.ship)
        middle.printed(name, report["hollow"]["cohorts"][name])
    if options.model:
        options.model.parent.mkdir(parents=True, exist_ok=True)
        options.model.write_text(json.dumps(written(model, names, values, identity, threshold, hollow), indent=1) + "\n")
    if options.earlier:
        report["earlier"] = earlier_pack(options.earlier, options.folder, found, radiomics_names, model, options.ship)
    if not options.quick:
        report["ablation"], kept = ablation(found, options.ship, model.strength)
        report["pretrainings"] = between_pretrainings(found, kept)
    if options.report:
        options.report.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\n{time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
