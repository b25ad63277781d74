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


def ratio(numerators, denominators):
    top, bottom = np.asarray(numerators, float), np.asarray(denominators, float)
    return lambda index: float(top[index].sum() / bottom[index].sum()) if bottom[index].sum() else np.nan


def detection(rows, thresholds):
    """Precision, recall and F1 over levels."""
    hit, false, missed = np.array([row.tally(thresholds) for row in rows]).T
    return ratio(hit, hit + false), ratio(hit, hit + missed), ratio(2 * hit, 2 * hit + false + missed)


def false_alarms(rows, thresholds):
    """1 for a normal film with any level called, 0 for one without, NaN for films with a slip."""
    return mean_of([np.nan if row.slipped.any() else float(row.called(thresholds)[row.seen].any()) for row in rows])


def grade(offset):
    """Meyerding's grades I to V: by quarters of the lower end plate, of the offset as measured."""
    return np.digitize(np.abs(offset), [0.25, 0.5, 0.75, 1.0], right=True)


def meyerding_tables(rows, thresholds):
    """Per film the 5 x 5 table of true against read grade at slipped levels that were called."""
    tables = np.zeros((len(rows), 5, 5))
    for table, row in zip(tables, rows, strict=True):
        both = row.seen & row.slipped & row.called(thresholds)
        np.add.at(table, (grade(row.true[both]), grade(row.read[both])), 1)
    return tables


def agreement(tables):
    return lambda index: float(np.trace(t := tables[index].sum(0)) / t.sum()) if tables[index].sum() else np.nan


def kappa(tables):
    def value(index):
        table = tables[index].sum(0)
        if not table.sum():
            return np.nan
        table = table / table.sum()
        chance = table.sum(0) @ table.sum(1)
        return float((np.trace(table) - chance) / (1 - chance)) if chance < 1 else np.nan

    return value
