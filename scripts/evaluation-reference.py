"""Known answers for src/evaluation, from scikit-learn, scipy and statsmodels.

    pip install numpy scipy scikit-learn statsmodels
    python scripts/evaluation-reference.py > test/fixtures/evaluation/reference.json

The statistics under test were written without looking at these packages; DeLong is computed here by comparing every
positive with every negative, as the paper of 1988 writes it.
"""

import json

import numpy as np
import scipy
import sklearn
import statsmodels
from scipy import stats
from sklearn import metrics
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

rng = np.random.default_rng(20231121)


def delong(truth, first, second):
    def kernel(scores):
        x, y = scores[truth][:, None], scores[~truth][None, :]
        psi = (x > y) + 0.5 * (x == y)
        return psi.mean(), psi.mean(1), psi.mean(0)

    (a, a10, a01), (b, b10, b01) = kernel(first), kernel(second)
    s10, s01 = np.cov(np.stack([a10, b10])), np.cov(np.stack([a01, b01]))
    s = s10 / truth.sum() + s01 / (~truth).sum()
    z = (a - b) / np.sqrt(s[0, 0] + s[1, 1] - 2 * s[0, 1])
    return {
        "first": a, "second": b, "varianceFirst": s[0, 0], "varianceSecond": s[1, 1],
        "z": z, "p": 2 * stats.norm.sf(abs(z)),
    }


def binary():
    truth = rng.random(300) < 0.35
    first = np.round(rng.normal(truth * 1.1, 1.0), 1)  # rounded: ties on purpose
    second = np.round(0.5 * first + rng.normal(truth * 0.5, 0.8), 1)
    fpr, tpr, thresholds = metrics.roc_curve(truth, first, drop_intermediate=False)
    probability = np.round(1 / (1 + np.exp(-first)), 3)
    edges = np.minimum((probability * 10).astype(int), 9)
    ece = sum(
        (edges == b).mean() * abs(probability[edges == b].mean() - truth[edges == b].mean())
        for b in range(10) if (edges == b).any()
    )
    return {
        "truth": truth.tolist(), "first": first.tolist(), "second": second.tolist(),
        "probability": probability.tolist(),
        "auc": metrics.roc_auc_score(truth, first),
        "averagePrecision": metrics.average_precision_score(truth, first),
        "roc": [[float(a), float(b)] for a, b in zip(fpr, tpr)],
        "brier": metrics.brier_score_loss(truth, probability),
        "ece10": ece,
        "delong": delong(truth, first, second),
    }


def several_classes():
    labels = ["a", "b", "c", "d"]
    truth = rng.choice(4, 240, p=[0.4, 0.3, 0.2, 0.1])
    logits = rng.normal(0, 1, (240, 4)) + 1.3 * np.eye(4)[truth]
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    answer = scores.argmax(1)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(truth, answer)
    return {
        "labels": labels, "truth": [labels[t] for t in truth], "scores": scores.tolist(),
        "matrix": metrics.confusion_matrix(truth, answer).tolist(),
        "accuracy": metrics.accuracy_score(truth, answer),
        "precision": precision.tolist(), "recall": recall.tolist(), "f1": f1.tolist(),
        "macroF1": metrics.f1_score(truth, answer, average="macro"),
        "macroAuc": metrics.roc_auc_score(truth, scores, multi_class="ovr", average="macro"),
        "macroAveragePrecision": metrics.average_precision_score(np.eye(4)[truth], scores, average="macro"),
        "top2": metrics.top_k_accuracy_score(truth, scores, k=2),
        "kappa": metrics.cohen_kappa_score(truth, answer),
        "kappaLinear": metrics.cohen_kappa_score(truth, answer, weights="linear"),
        "kappaQuadratic": metrics.cohen_kappa_score(truth, answer, weights="quadratic"),
        "brier": float(((scores - np.eye(4)[truth]) ** 2).sum(1).mean()),
    }


def clusters():
    label = rng.integers(0, 6, 400)
    cluster = np.where(rng.random(400) < 0.7, label * 3 + rng.integers(0, 3, 400), rng.integers(0, 18, 400))
    table = metrics.cluster.contingency_matrix(label, cluster)
    return {
        "label": label.astype(str).tolist(), "cluster": cluster.astype(str).tolist(),
        "purity": table.max(0).sum() / table.sum(),
        "mutualInformation": metrics.mutual_info_score(label, cluster),
        "nmi": {
            how: metrics.normalized_mutual_info_score(label, cluster, average_method=how)
            for how in ["arithmetic", "geometric", "min", "max"]
        },
    }


answers = {
    "madeWith": {
        "numpy": np.__version__, "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__, "statsmodels": statsmodels.__version__,
    },
    "binary": binary(),
    "severalClasses": several_classes(),
    "clusters": clusters(),
    "mcNemar": [
        {
            "onlyFirst": b, "onlySecond": c,
            "exact": float(mcnemar([[50, b], [c, 20]], exact=True).pvalue),
            "chiSquared": float(mcnemar([[50, b], [c, 20]], exact=False, correction=True).statistic),
            "p": float(mcnemar([[50, b], [c, 20]], exact=False, correction=True).pvalue),
        }
        for b, c in [(2, 1), (3, 12), (25, 40), (0, 7), (110, 150)]
    ],
    "wilson": [[k, n, *map(float, proportion_confint(k, n, method="wilson"))] for k, n in [(0, 5), (5, 5), (257, 275), (1, 1000), (46, 93)]],
    "normalTail": [[z, float(stats.norm.sf(z))] for z in [-6, -1.3, 0, 0.2, 1.96, 4, 9, 20]],
    "normalQuantile": [[p, float(stats.norm.ppf(p))] for p in [1e-12, 0.001, 0.02, 0.3, 0.5, 0.8, 0.975, 0.99999]],
    "chiSquaredTail": [[x, k, float(stats.chi2.sf(x, k))] for x, k in [(0.1, 1), (3.84, 1), (40, 1), (7, 4), (300, 10), (2, 9)]],
    "binomial": [[k, n, p, float(stats.binom.cdf(k, n, p))] for k, n, p in [(3, 15, 0.5), (0, 40, 0.1), (120, 260, 0.5), (900, 2000, 0.47)]],
    "quantile": [[q, float(np.quantile([3, 1, 4, 1, 5, 9, 2, 6], q))] for q in [0, 0.025, 0.31, 0.5, 0.975, 1]],
}
print(json.dumps(answers, separators=(",", ":")))
