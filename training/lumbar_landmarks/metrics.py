"""Statistics over films, each with a bootstrap interval that draws films, not corners."""

import numpy as np

DRAWS = 2000


def interval(statistic, films, seed=0):
    """`statistic` takes indices of films; its value on all of them and the 95 % interval over draws."""
    rng = np.random.default_rng(seed)
    estimate = statistic(np.arange(films))
    if films < 2:
        return estimate, np.nan, np.nan
    drawn = [statistic(rng.integers(0, films, films)) for _ in range(DRAWS)]
    return (estimate, *np.nanpercentile(drawn, [2.5, 97.5]))


def show(label, found, unit="", digits=2):
    """Print an estimate with its interval and return both for the report."""
    print(f"  {label}: {found[0]:.{digits}f}{unit} (95 % {found[1]:.{digits}f} to {found[2]:.{digits}f})", flush=True)
    return {"value": round(float(found[0]), 4), "interval95": [round(float(v), 4) for v in found[1:]]}


def mean_of(values):
    values = np.asarray(values, float)
    return lambda index: float(np.nanmean(values[index])) if len(index) else np.nan


def pooled(arrays, statistic):
    """A statistic over all values of the drawn films; NaN values are left out."""
    kept = [array[np.isfinite(array)] for array in arrays]
    return lambda index: float(statistic(np.concatenate([kept[i] for i in index]))) if len(index) else np.nan
