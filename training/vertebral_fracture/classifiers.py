"""Eight classifiers on the chosen features, compared by cross-validation in which a patient is in one fold only."""

import warnings

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from .selection import FOLDS, select
from .statistics import auc

SEED = 20261121
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def logistic(strength=0.1):
    return LogisticRegression(C=strength, max_iter=2000)


def eight():
    return {
        "logistic regression": logistic(),
        "support vector machine": SVC(C=1.0, gamma="scale", probability=True, random_state=SEED),
        "random forest": RandomForestClassifier(300, min_samples_leaf=3, random_state=SEED, n_jobs=1),
        "extra trees": ExtraTreesClassifier(300, min_samples_leaf=3, random_state=SEED, n_jobs=1),
        "gradient boosting": HistGradientBoostingClassifier(max_iter=120, learning_rate=0.06, random_state=SEED),
        "k nearest neighbours": KNeighborsClassifier(25, weights="distance"),
        "multilayer perceptron": MLPClassifier((32,), alpha=1.0, max_iter=400, early_stopping=True, random_state=SEED),
        "naive Bayes": GaussianNB(),
    }


def macro_auc(probability, classes):
    return float(np.mean([auc(probability[:, k], classes == k) for k in range(3)]))


def folds_of(values, classes, patients, alpha):
    """Each fold with its own selection, made without its test rows."""
    for train, test in GroupKFold(FOLDS).split(values, classes, patients):
        yield train, test, select(values[train], classes[train], patients[train], alpha)


def out_of_fold(model, values, classes, folds):
    probability = np.zeros((len(classes), 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", (ConvergenceWarning, FutureWarning))
        for train, test, selection in folds:
            model.fit(selection.standardised(values[train]), classes[train])
            probability[test] = model.predict_proba(selection.standardised(values[test]))
    return probability


def compare(values, classes, patients, alpha, models=None):
    """Out-of-fold probabilities of each classifier."""
    folds = list(folds_of(values, classes, patients, alpha))
    return {name: out_of_fold(model, values, classes, folds) for name, model in (models or eight()).items()}


def strength_of(values, classes, patients, alpha):
    """The ridge of the logistic regression with the least cross-validated log loss."""
    folds = list(folds_of(values, classes, patients, alpha))
    loss = []
    for strength in STRENGTHS:
        probability = out_of_fold(logistic(strength), values, classes, folds)
        loss.append(-np.log(np.clip(probability[np.arange(len(classes)), classes], 1e-9, 1)).mean())
    return STRENGTHS[int(np.argmin(loss))]
