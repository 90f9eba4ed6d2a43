"""
Choose an LSTM's hyper-parameters by grid search, with scikit-learn's own tools
===============================================================================

An LSTMRegressor is searched like any other regressor. Here it forecasts the next month of the CO2
record of ``co2_forecast.py`` from 36 months. It scales within, so that nothing stands around it, and
each fit of the search is scaled by its own training part:

- ``window_scaling="last"``: each window is read from its own last value, for CO2 rises to levels that
  it has never seen;
- ``highway="all"``: a linear regression of all its months carries what is linear.

And scikit-learn's own tools:

- TimeSeriesSplit: each fold is scored on the five years after those it was fitted on. A random
  split would let the model peek at the future.
- GridSearchCV: two fits at a time, in two processes.

The last five years take no part in the search; they tell how good the choice is.

Run it with ``python examples/grid_search.py``. It needs nothing but pylstm, and draws the picture
if matplotlib is installed.
"""

import argparse
from time import perf_counter

import numpy as np
from co2_forecast import HELD_OUT, load_co2
from sklearn.metrics import mean_absolute_error
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

from pylstm import LSTMRegressor, sliding_windows

WINDOW = 36  # months the LSTM sees
GRID = {
    "hidden_size": [8, 16, 32, 64],
    "learning_rate_init": [0.003, 0.01],
    "alpha": [0.0, 0.3],
}


def main():
    parser = argparse.ArgumentParser(
        description="Choose an LSTM's hyper-parameters by grid search."
    )
    parser.add_argument("--epochs", type=int, default=500, help="passes over the data at most")
    parser.add_argument("--output", default="grid_search.png", help="where to draw the picture")
    args = parser.parse_args()

    _, co2 = load_co2()
    X, y = sliding_windows(co2, WINDOW)  # X (n_windows, 36, 1), y (n_windows,)
    X_train, X_test, y_train, y_test = X[:-HELD_OUT], X[-HELD_OUT:], y[:-HELD_OUT], y[-HELD_OUT:]

    lstm = LSTMRegressor(
        window_scaling="last",
        highway="all",
        early_stopping=True,  # on the last tenth of what it is fitted on
        shuffle=False,
        max_iter=args.epochs,
        random_state=0,
    )
    search = GridSearchCV(
        lstm,
        GRID,
        scoring="neg_mean_absolute_error",
        cv=TimeSeriesSplit(n_splits=4, test_size=60),
        n_jobs=2,
    )
    start = perf_counter()
    search.fit(X_train, y_train)
    seconds = perf_counter() - start

    n_fits = search.n_splits_ * len(search.cv_results_["params"])
    print(f"{n_fits} fits, and the last on all of the training part, took {seconds:.1f} s.\n")
    print("Candidates by their mean absolute error in ppm, and its deviation between the folds:\n")
    print("".join(f"{name:>20}" for name in GRID) + f"{'MAE':>10}{'std':>8}")
    for i in np.argsort(search.cv_results_["rank_test_score"]):
        params = search.cv_results_["params"][i]
        mean, std = (search.cv_results_[key][i] for key in ("mean_test_score", "std_test_score"))
        print("".join(f"{params[name]:>20}" for name in GRID) + f"{-mean:10.3f}{std:8.3f}")

    print("\nBest parameters:")
    for name, value in search.best_params_.items():
        print(f"    {name} = {value}")
    lstm_error = mean_absolute_error(y_test, search.predict(X_test))
    months = X_test[..., 0]
    as_last_year = months[:, -1] + months[:, -12] - months[:, -13]
    last_year_error = mean_absolute_error(y_test, as_last_year)
    print(
        f"\nMean absolute error on the {HELD_OUT} months held out: {lstm_error:.3f} ppm, "
        f"where last year's change gives {last_year_error:.3f}"
    )
    draw(search.cv_results_, args.output)


def draw(results, path):
    """Draw the error of each candidate, and its deviation between the folds."""
    try:
        import matplotlib
    except ImportError:
        print("No picture: matplotlib is not installed (pip install matplotlib).")
        return
    matplotlib.use("Agg")  # to a file, with or without a screen
    from matplotlib import pyplot as plt

    sizes, rates, penalties = GRID.values()
    candidates = [tuple(params[name] for name in GRID) for params in results["params"]]
    fig, ax = plt.subplots(figsize=(9, 4.5), layout="constrained")
    lines = [(rate, penalty) for rate in rates for penalty in penalties]
    for number, (rate, penalty) in enumerate(lines):
        rows = [candidates.index((size, rate, penalty)) for size in sizes]
        ax.errorbar(
            np.arange(len(sizes)) + 0.08 * (number - (len(lines) - 1) / 2),  # side by side
            -results["mean_test_score"][rows],
            results["std_test_score"][rows],
            fmt="o-",
            capsize=3,
            label=f"learning_rate_init={rate}, alpha={penalty}",
        )
    ax.set_xticks(range(len(sizes)), sizes)
    ax.set_xlabel("hidden_size")
    ax.set_ylabel("mean absolute error, ppm")
    ax.set_title("Candidates: means and standard deviations of four folds", loc="left")
    ax.legend(frameon=False)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    fig.savefig(path, dpi=120)
    print(f"Picture: {path}")


if __name__ == "__main__":
    main()
