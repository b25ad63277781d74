"""How much of a body's height is gone between its walls: a ridge regression on the network's features.

The corners measure the front and the back wall; a biconcave body has lost height where it has no corner. `hollow` is the
share of the height between the corners that both end plates leave out at their middle, known where a generator drew it
(A, B, C, D; generator V bends a CT's own end plates, whose hollow nobody measured). Fitted on training vertebrae that the
tuned network never saw.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

from .selection import FOLDS
from .statistics import interval

STRENGTHS = (10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
WIDE = 1.959964


@dataclass(frozen=True)
class Hollow:
    weights: np.ndarray
    intercept: float
    usual: float  # of intact bodies
    usual_sd: float
    sd: float  # of the error, on vertebrae of another generator

    def of(self, deep):
        return deep @ self.weights + self.intercept


def ridge(strength, deep, hollow):
    mean, sd = deep.mean(0), deep.std(0) + 1e-6
    fitted = Ridge(strength).fit((deep - mean) / sd, hollow)
    weights = fitted.coef_ / sd
    return weights, float(fitted.intercept_ - mean @ weights)


def out_of_fold(strength, deep, hollow, patients):
    found = np.zeros(len(hollow))
    for train, test in GroupKFold(FOLDS).split(deep, hollow, patients):
        weights, intercept = ridge(strength, deep[train], hollow[train])
        found[test] = deep[test] @ weights + intercept
    return found


def fit(train, other, backbone):
    """`other`: the cohort of another generator that the error's spread is taken from."""
    known = np.isfinite(train.columns["hollow"])
    deep, hollow = train.deep[backbone][known].astype(float), train.columns["hollow"][known]
    patients, classes = train.patients[known], train.classes[known]
    errors = {s: np.mean((out_of_fold(s, deep, hollow, patients) - hollow) ** 2) for s in STRENGTHS}
    strength = min(errors, key=errors.get)
    weights, intercept = ridge(strength, deep, hollow)
    intact = hollow[classes == 0]
    found = Hollow(weights, intercept, float(intact.mean()), float(intact.std()), 0.0)
    apart = found.of(other.deep[backbone].astype(float)) - other.columns["hollow"]
    return Hollow(weights, intercept, found.usual, found.usual_sd, float(np.sqrt(np.mean(apart**2))))


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
        "withinInterval": interval(patients, rows((np.abs(apart) <= WIDE * model.sd).astype(float)), draws=500),
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
    }
