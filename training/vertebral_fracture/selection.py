"""From some 1,100 features to a handful: z-score, a test for any difference, the correlation filter, LASSO.

All figures of a selection come from the rows it is fitted on, so it can be done anew inside each fold.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import f_classif
from sklearn.linear_model import MultiTaskLasso, MultiTaskLassoCV
from sklearn.model_selection import GroupKFold

FOLDS = 5
CORRELATED = 0.9
LEAST_P = 0.01
MOST_BEFORE_LASSO = 220
MOST_FEATURES = 24


@dataclass(frozen=True)
class Selection:
    chosen: np.ndarray  # columns, most telling first
    mean: np.ndarray  # of the chosen
    sd: np.ndarray
    alpha: float
    candidates: int  # columns that reached the LASSO

    def standardised(self, values):
        return (values[:, self.chosen] - self.mean) / self.sd


def one_hot(classes, count=3):
    return np.eye(count)[classes]


def filtered(values, classes):
    """Columns that differ between classes and are not twins of a more telling one."""
    test, p = f_classif(values, classes)
    order = [k for k in np.argsort(-np.nan_to_num(test)) if p[k] < LEAST_P]
    kept = []
    for column in order:
        if len(kept) == MOST_BEFORE_LASSO:
            break
        if not kept or np.abs(values[:, kept].T @ values[:, column]).max() / len(values) < CORRELATED:
            kept.append(column)
    return np.array(kept)


def select(values, classes, patients, alpha=None):
    """LASSO on the three class indicators at once (one set of features for all classes).

    Without `alpha` that of the least cross-validated error is taken, raised until not more than MOST_FEATURES remain. (One
    standard error above the least left six features, which did not see biconcave bodies.)
    """
    mean, sd = values.mean(0), values.std(0)
    usable = np.flatnonzero(np.isfinite(mean) & (sd > 1e-9 * (1 + np.abs(mean))))
    z = (values[:, usable] - mean[usable]) / sd[usable]
    kept = filtered(z, classes)
    z, usable = z[:, kept], usable[kept]
    target = one_hot(classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if alpha is None:
            folds = list(GroupKFold(FOLDS).split(z, classes, patients))
            alpha = MultiTaskLassoCV(alphas=20, eps=0.05, cv=folds, max_iter=1000, tol=1e-3).fit(z, target).alpha_
        while True:
            fitted = MultiTaskLasso(alpha=alpha, max_iter=2000, tol=1e-3).fit(z, target)
            strength = np.linalg.norm(fitted.coef_, axis=0)
            if (strength > 0).sum() <= MOST_FEATURES:
                break
            alpha *= 1.1
    chosen = np.argsort(-strength)[: int((strength > 0).sum())]
    columns = usable[chosen]
    return Selection(columns, mean[columns], sd[columns], alpha, len(kept))
