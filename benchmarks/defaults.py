"""How LSTMRegressor's defaults were chosen: what each setting gives out of the box on several series.

    python benchmarks/defaults.py [--seeds 3] [--quick]

Windows are standardised (inputs per feature, target), the last quarter of each series is held out, and a
setting is scored there: R^2 beside the naive forecast's, epochs and seconds. Real series come from the
examples' data and, if they are installed, from statsmodels and arch; the others are synthetic.
"""

import argparse
import time
import warnings
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pylstm import LSTMRegressor, SequenceScaler, sliding_windows

SETTINGS = {
    "learning_rate_init": [1e-3, 2e-3, 3e-3, 5e-3, 1e-2],
    "max_iter": [30, 50, 100, 200],
}


def co2():
    file = Path(__file__).parents[1] / "examples" / "data" / "co2_monthly.csv"
    ppm = np.loadtxt(file, delimiter=",", skiprows=1, usecols=1)
    return windows(ppm[12:] - ppm[:-12], 24)


def sunspots():
    from statsmodels.datasets import sunspots

    return windows(sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(), 22)


def el_nino():
    from statsmodels.datasets import elnino

    return windows(elnino.load_pandas().data.iloc[:, 1:].to_numpy().ravel(), 24)


def sp500_volatility():
    import arch.data.sp500

    close = arch.data.sp500.load()["Adj Close"].to_numpy()
    returns = np.diff(np.log(close))
    return windows(np.log(np.abs(returns) + 1e-3), 30)


def noisy_season(rng):
    t = np.arange(1200)
    return windows(np.sin(2 * np.pi * t / 12) + 0.3 * rng.standard_normal(1200), 24)


def mackey_glass(rng):
    x = list(0.9 + 0.2 * rng.random(18))
    for _ in range(6 * 1500):
        x.append(x[-1] + 0.2 * x[-18] / (1 + x[-18] ** 10) - 0.1 * x[-1])
    return windows(np.array(x[::6]), 20, horizon=6)


def narma10(rng):
    u = 0.5 * rng.random(3000)
    y = np.zeros(3000)
    for t in range(9, 2999):
        y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * y[t - 9 : t + 1].sum() + 1.5 * u[t - 9] * u[t] + 0.1
    X, _ = sliding_windows(u[:-1], 30)
    return X, y[30:-1], None


def adding_problem(rng, n=6000, length=30):
    values, marks = rng.random((n, length)), np.zeros((n, length))
    for row in marks:
        row[rng.choice(length, 2, replace=False)] = 1
    return np.stack([values, marks], axis=2), (values * marks).sum(axis=1), None


def several_features(rng):
    drivers = rng.standard_normal((2500, 5)).cumsum(axis=0)
    drivers -= np.apply_along_axis(lambda d: np.convolve(d, np.ones(50) / 50, "same"), 0, drivers)
    target = np.tanh(drivers[:, 0] * drivers[:, 1] / 4) + 0.5 * np.roll(drivers[:, 2], 5)
    X, y = sliding_windows(drivers[:-1], 16, target=target[1:])
    return X, y, None


def windows(series, window, horizon=1):
    X, y = sliding_windows(series, window, horizon=horizon)
    return X, y, X[:, -1, 0]


SERIES = {
    "CO2, year on year": co2,
    "sunspots": sunspots,
    "El Nino": el_nino,
    "S&P 500, log |return|": sp500_volatility,
    "season and noise": noisy_season,
    "Mackey-Glass, 6 ahead": mackey_glass,
    "NARMA10": narma10,
    "adding problem, T = 30": adding_problem,
    "five features": several_features,
}


def load(seed):
    """The series that can be had here: name -> (X, y, naive forecast or None)."""
    loaded = {}
    for name, make in SERIES.items():
        try:
            loaded[name] = (
                make(np.random.default_rng(seed)) if make.__code__.co_argcount else make()
            )
        except ImportError as error:
            print(f"left out: {name} ({error})")
    return loaded


def score(X, y, seed, **setting):
    """R^2 on the last quarter, epochs and seconds of one fit."""
    n_train = len(X) * 3 // 4
    model = TransformedTargetRegressor(
        make_pipeline(SequenceScaler(), LSTMRegressor(random_state=seed, **setting)),
        transformer=StandardScaler(),
    )
    start = time.perf_counter()
    model.fit(X[:n_train], y[:n_train])
    seconds = time.perf_counter() - start
    r2 = model.score(X[n_train:], y[n_train:])
    return r2, model.regressor_[-1].n_iter_, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="the defaults only")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)

    data = load(seed=0)
    settings = [{}]
    if not arguments.quick:
        settings += [
            dict(zip(SETTINGS, values, strict=True)) for values in product(*SETTINGS.values())
        ]
    totals = {str(setting): [] for setting in settings}
    for name, (X, y, naive) in data.items():
        held_out = len(X) * 3 // 4
        beside = (
            "" if naive is None else f", naive R^2 {r2_score(y[held_out:], naive[held_out:]):.3f}"
        )
        print(f"\n{name}: {len(X)} windows of {X.shape[1]} steps{beside}")
        for setting in settings:
            results = [score(X, y, seed, **setting) for seed in range(arguments.seeds)]
            r2, epochs, seconds = np.median(results, axis=0)
            worst = min(r2 for r2, _, _ in results)
            print(
                f"  R^2 {r2:7.4f} (worst {worst:7.4f}) {epochs:5.0f} epochs {seconds:6.2f} s  {setting}"
            )
            totals[str(setting)].append(r2)
    print("\nMean of the R^2 over the series (each cut off at -1)")
    for setting, scores in sorted(totals.items(), key=lambda item: -np.mean(item[1])):
        print(f"  {np.clip(scores, -1, 1).mean():7.4f}  {setting}")


if __name__ == "__main__":
    main()
