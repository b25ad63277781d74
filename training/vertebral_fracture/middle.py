"""How much of a body's height is gone between its walls: the tuned network's own second answer, and how far it errs.

The corners measure the front and the back wall; a biconcave body has lost height where it has no corner. `hollow` is the
share of the height between the corners that both end plates leave out at their middle, known where a generator drew it
(A, B, C, D; generator V bends a CT's own end plates, whose hollow nobody measured). The network was asked for it while it
was tuned (`tune`), linear in its features; its error is measured on vertebrae that it never saw.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .statistics import interval

WIDE = 1.959964
DEEP_FROM = 0.16  # said; beyond it the error is stated by itself: it grows with the hollow


@dataclass(frozen=True)
class Hollow:
    weights: np.ndarray
    intercept: float
    usual: float  # said of intact bodies
    usual_sd: float
    sd: float  # of the error where hardly any hollow is said
    deep_sd: float  # and where one is

    def of(self, deep):
        return deep @ self.weights + self.intercept

    def error(self, said):
        return np.where(said > DEEP_FROM, self.deep_sd, self.sd)


def fit(cohorts, backbone, path):
    """`path`: the tuned network, beside which `tune` has left its second answer. Errors are taken from all of `cohorts`."""
    head = json.loads(Path(path).with_name("hollow.json").read_text())
    weights, intercept = np.array(head["weights"]), float(head["intercept"])
    said = np.concatenate([table.deep[backbone].astype(float) @ weights + intercept for table in cohorts])
    truth, classes = (np.concatenate(values) for values in zip(*((t.columns["hollow"], t.classes) for t in cohorts), strict=True))
    known = np.isfinite(truth)
    spread = lambda rows: float(np.sqrt(np.mean((said - truth)[rows] ** 2)))
    intact = said[classes == 0]
    return Hollow(
        weights, intercept, float(intact.mean()), float(intact.std()),
        spread(known & (said <= DEEP_FROM)), spread(known & (said > DEEP_FROM)),
    )  # fmt: skip


def report(model, table, backbone):
    """Errors against the drawing, in points of the body's height, with intervals over patients; None where none is known."""
    truth = table.columns["hollow"]
    known = np.isfinite(truth)
    found = model.of(table.deep[backbone].astype(float))
    kinds = np.array([str(kind) for kind in table.columns["kind"]])
    if not known.any():
        return {
            "vertebrae": len(truth),
            "meanByKind": {kind: [float(found[kinds == kind].mean()), int((kinds == kind).sum())] for kind in sorted(set(kinds))},
        }
    truth, found, kinds, patients = truth[known], found[known], kinds[known], table.patients[known]
    apart = found - truth
    rows = lambda of: lambda r: float(np.mean(of[r]))
    return {
        "vertebrae": len(truth),
        "meanAbsolute": interval(patients, rows(np.abs(apart)), draws=500),
        "bias": interval(patients, rows(apart), draws=500),
        "withinInterval": interval(patients, rows((np.abs(apart) <= WIDE * model.error(found)).astype(float)), draws=500),
        "correlation": float(np.corrcoef(found, truth)[0, 1]),
        "biasByKind": {kind: [float(apart[kinds == kind].mean()), int((kinds == kind).sum())] for kind in sorted(set(kinds))},
    }


def printed(name, found):
    if "bias" not in found:
        said = ", ".join(f"{kind} {100 * mean:.1f} ({count})" for kind, (mean, count) in found["meanByKind"].items())
        print(f"  {name}: the drawing is not known; mean said {said}", flush=True)
        return
    one = lambda key: f"{100 * found[key]['value']:.1f} ({100 * found[key]['low']:.1f} to {100 * found[key]['high']:.1f})"
    kinds = ", ".join(f"{kind} {100 * mean:+.1f} ({count})" for kind, (mean, count) in found["biasByKind"].items())
    print(
        f"  {name}: {found['vertebrae']} vertebrae, mean absolute error {one('meanAbsolute')} % of the height, bias {one('bias')}, within the "
        f"interval {one('withinInterval')} %, correlation {found['correlation']:.2f}; bias by kind {kinds}", flush=True,
    )  # fmt: skip


def written(model):
    return {
        "weights": [float(f"{weight:.6g}") for weight in model.weights],
        "intercept": model.intercept,
        "usual": model.usual,
        "usualSd": model.usual_sd,
        "sd": model.sd,
        "deep": {"from": DEEP_FROM, "sd": model.deep_sd},
    }
