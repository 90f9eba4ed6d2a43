"""One network for each of many short series: how many a core fits and forecasts in a second, beside peers.

    pip install ".[benchmarks]" statsforecast
    python benchmarks/many_models.py [--n-series N] [--rounds N]

The series are monthly, of 60 values, made up of a level, a trend, a season and noise; each contestant
forecasts the six months that follow, with 80 % intervals unless it says otherwise. Each runs in a process of
its own on one thread, and they take turns, after a run that is not counted (in which compilers run).
Processor seconds count, as the machine may have other work; medians over the rounds. Errors are mean
absolute errors, as multiples of those of the value a season ago.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import time
import warnings
from statistics import median

import numpy as np

N_VALUES, SEASON, STEPS = 60, 12, 6
N_MANY = 100_000


def make_series(n_series):
    """A long frame, and what follows: (n_series, STEPS)."""
    import pandas as pd

    rng = np.random.default_rng(0)
    t = np.arange(N_VALUES + STEPS)
    level = 100 * rng.lognormal(size=(n_series, 1))
    trend = 0.005 * rng.normal(size=(n_series, 1)) * t
    phase = rng.integers(SEASON, size=(n_series, 1))
    season = 0.2 * rng.uniform(size=(n_series, 1)) * np.sin(2 * np.pi * (t + phase) / SEASON)
    noise = 0.05 * rng.normal(size=(n_series, len(t)))
    values = level * (1 + trend + season + noise)
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat([f"s{i:06}" for i in range(n_series)], N_VALUES),
            "ds": np.tile(pd.date_range("2020-01-01", periods=N_VALUES, freq="MS"), n_series),
            "y": values[:, :N_VALUES].ravel(),
        }
    )
    return frame, values[:, N_VALUES:]


# The contestants: from a frame to forecasts (n_series, STEPS)


def pylstm(window=12, *, network=None, interval=0.8, one_for_all=False, **options):
    from pylstm import LSTMForecaster, LSTMForecasterPerSeries, LSTMRegressor

    if network is not None:
        hidden_size, max_iter = network
        options["estimator"] = LSTMRegressor(
            hidden_size,
            loss="gaussian",
            highway="all",
            alpha=0.3,
            max_iter=max_iter,
            n_iter_no_change=np.inf,
            n_jobs=1,
        )
    forecaster = LSTMForecaster(window, STEPS, random_state=0, **options)
    model = forecaster if one_for_all else LSTMForecasterPerSeries(forecaster)

    def run(frame):
        coming = model.fit(frame).forecast(STEPS, interval)
        return coming["forecast"].to_numpy().reshape(-1, STEPS)

    return run


def statsforecast(name, **options):
    from statsforecast import StatsForecast, models

    def run(frame):
        model = getattr(models, name)(**options)
        forecaster = StatsForecast(models=[model], freq="MS", n_jobs=1)
        coming = forecaster.forecast(df=frame, h=STEPS, level=[80])
        return coming[name].to_numpy().reshape(-1, STEPS)

    return run


CONTESTANTS = {
    "a network each, as they come": lambda: pylstm(),
    "a network each, 8 units, 20 epochs": lambda: pylstm(network=(8, 20)),
    "the same, no held-out part, no intervals": lambda: pylstm(
        network=(8, 20), calibration_fraction=0, interval=None
    ),
    "the same, 4 units, 10 epochs": lambda: pylstm(
        network=(4, 10), calibration_fraction=0, interval=None
    ),
    "one network for all, as it comes": lambda: pylstm(one_for_all=True),
    "statsforecast: SeasonalNaive": lambda: statsforecast("SeasonalNaive", season_length=SEASON),
    "statsforecast: AutoETS": lambda: statsforecast("AutoETS", season_length=SEASON),
}


def run_one(name, n_series, rounds):
    """In its own process: a line for each round that it is asked for."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    run = CONTESTANTS[name]()
    frame, truth = make_series(n_series)
    few, _ = make_series(5)
    run(few)  # compilers, imports
    before = frame["y"].to_numpy().reshape(n_series, -1)[:, N_VALUES - SEASON :][:, :STEPS]
    naive = np.abs(truth - before).mean(axis=1)
    print("ready", flush=True)
    for _ in range(rounds):
        sys.stdin.readline()
        start = time.process_time()
        forecasts = run(frame)
        seconds = time.process_time() - start
        errors = np.abs(truth - forecasts).mean(axis=1)
        print(json.dumps([seconds, float(np.mean(errors) / np.mean(naive))]), flush=True)


def start(name, options):
    command = [sys.executable, __file__, "--only", name]
    command += ["--n-series", str(options.n_series), "--rounds", str(options.rounds)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | threads
    )
    if process.stdout.readline().strip() != "ready":
        print(f"{name}: not there")
        return None
    return process


def print_row(cells):
    print("|", " | ".join(cells), "|")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-series", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="used by the program itself")
    options = parser.parse_args()
    if options.only:
        run_one(options.only, options.n_series, options.rounds)
        return
    processes = {name: start(name, options) for name in CONTESTANTS}
    processes = {name: process for name, process in processes.items() if process is not None}
    figures = {name: [] for name in processes}
    for _ in range(options.rounds):
        for name, process in processes.items():
            print(file=process.stdin, flush=True)
            figures[name].append(json.loads(process.stdout.readline()))
    seconds = {
        name: median(part for part, _ in rows) / options.n_series for name, rows in figures.items()
    }
    peer = seconds.get("statsforecast: AutoETS", np.nan)
    columns = ["", "ms a series", "series a second and core", f"{N_MANY} on two cores, minutes"]
    print_row([*columns, "of AutoETS's time", "error"])
    print("|---|---|---|---|---|---|")
    for name, each in seconds.items():
        minutes = each * N_MANY / 2 / 60
        error = figures[name][0][1]
        figure = [f"{each * 1e3:.2f}", f"{1 / each:.0f}", f"{minutes:.1f}", f"{each / peer:.2f}"]
        print_row([name, *figure, f"{error:.3f}"])
    for process in processes.values():
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    main()
