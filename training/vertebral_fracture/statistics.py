"""Areas under the curve, DeLong's variance and test, and the bootstrap over patients."""

import math

import numpy as np

DRAWS = 2_000
BOOTSTRAP_SEED = 20261121


def midranks(values):
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    _, first, inverse, counts = np.unique(ordered, return_index=True, return_inverse=True, return_counts=True)
    ranks = np.empty(len(values))
    ranks[order] = (first + (counts + 1) / 2)[inverse]
    return ranks


def auc(score, positive):
    """The Mann-Whitney share; NaN without both groups."""
    n = int(positive.sum())
    m = len(positive) - n
    if n == 0 or m == 0:
        return math.nan
    return float((midranks(score)[positive].sum() - n * (n + 1) / 2) / (n * m))


def components(score, positive):
    """Placements of every positive among the negatives and the reverse (DeLong 1988, by Sun and Xu's midranks)."""
    up, down = score[positive], score[~positive]
    together = midranks(np.concatenate([up, down]))
    v10 = (together[: len(up)] - midranks(up)) / len(down)
    v01 = 1 - (together[len(up) :] - midranks(down)) / len(up)
    return v10, v01


def delong(scores, positive):
    """Areas (k,) and their covariance (k, k) of several scores on the same vertebrae."""
    placed = [components(score, positive) for score in scores]
    v10, v01 = (np.stack([pair[i] for pair in placed]) for i in (0, 1))
    covariance = np.atleast_2d(np.cov(v10)) / v10.shape[1] + np.atleast_2d(np.cov(v01)) / v01.shape[1]
    return v10.mean(1), covariance


def delong_interval(score, positive):
    """95 % on the logit scale, which stays within 0 and 1."""
    (area,), covariance = delong([score], positive)
    spread = math.sqrt(max(float(covariance[0, 0]), 0))
    if not 0 < area < 1 or spread == 0:
        return [float(area), float(area)]
    logit, wide = math.log(area / (1 - area)), 1.959964 * spread / (area * (1 - area))
    return [1 / (1 + math.exp(-(logit + side * wide))) for side in (-1, 1)]


def delong_test(first, second, positive):
    """Difference of two areas on the same vertebrae, z and the two-sided p; patients are taken as independent vertebrae."""
    areas, covariance = delong([first, second], positive)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    z = 0.0 if variance <= 0 else float((areas[0] - areas[1]) / math.sqrt(variance))
    return {"difference": float(areas[0] - areas[1]), "z": z, "p": math.erfc(abs(z) / math.sqrt(2))}


def clustered(patients, statistic, draws=DRAWS):
    """Values of `statistic(indices)` over draws of whole patients."""
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    names, place = np.unique(patients, return_inverse=True)
    members = [np.flatnonzero(place == k) for k in range(len(names))]
    out = []
    for _draw in range(draws):
        chosen = np.concatenate([members[k] for k in rng.integers(0, len(names), len(names))])
        out.append(statistic(chosen))
    return np.array(out)


def interval(patients, statistic, draws=DRAWS):
    """The value on all vertebrae and the 2.5th and 97.5th percentile over draws of patients."""
    low, high = np.nanpercentile(clustered(patients, statistic, draws), [2.5, 97.5], axis=0)
    return {"value": statistic(np.arange(len(patients))), "low": low, "high": high}


def brute_delong(scores, positive):
    """The same areas and covariance pair by pair, as DeLong wrote it; for the check below."""
    placed = []
    for score in scores:
        up, down = score[positive][:, None], score[~positive][None]
        wins = (up > down) + 0.5 * (up == down)
        placed.append((wins.mean(1), wins.mean(0)))
    v10, v01 = (np.stack([pair[i] for pair in placed]) for i in (0, 1))
    return v10.mean(1), np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]


def check():
    """python -m training.vertebral_fracture.statistics: midranks against brute force, with ties."""
    rng = np.random.default_rng(1)
    worst = 0.0
    for _trial in range(20):
        positive = rng.uniform(size=90) < 0.4
        scores = [np.round(rng.normal(size=90) + positive * shift, 1) for shift in (0.5, 1.0)]
        for own, other in zip(delong(scores, positive), brute_delong(scores, positive), strict=True):
            worst = max(worst, float(np.abs(own - other).max()))
        worst = max(worst, abs(auc(scores[0], positive) - brute_delong(scores, positive)[0][0]))
    print(f"DeLong by midranks against brute force, 20 sets with ties: at most {worst:.1e} apart")
    return worst < 1e-12


if __name__ == "__main__":
    raise SystemExit(0 if check() else 1)
