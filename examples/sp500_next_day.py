"""
Tomorrow's price from the last 30 days: the S&P 500, walking forward through ten years
======================================================================================

The LSTM reads the last 30 closes, and forecasts tomorrow's. Prices drift to levels that it has never
seen, so it reads each window from its own level: ``window_scaling="relative"`` makes of the closes
their distances from today's, as shares of their size, and of its forecast a price again.

The evaluation walks forward, as one would have had to at the time: for each year from 2009 to 2018
the LSTM is fitted on all days before that year, and then forecasts the year day by day. Beside it
stands the naive forecast: tomorrow's close equals today's. Do not expect the LSTM to beat it: what
the past returns say of the next is next to nothing. Plots of forecast prices that hug the
real ones show little else than the naive forecast, one day late. Only a table such as this tells.

Run it with ``python examples/sp500_next_day.py``. The prices come with the package arch:
``pip install ".[examples]"``. It draws the picture, of the last two months, if matplotlib is
installed.
"""

import argparse
import sys
from time import perf_counter

import numpy as np
from scipy.stats import ttest_rel
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from pylstm import LSTMRegressor, sliding_windows

WINDOW = 30  # days the LSTM sees


def load_closes():
    """Return the days, as datetime64, and the S&P 500's close on each, 1999 to 2018."""
    try:
        from arch.data import sp500
    except ImportError:
        sys.exit(
            "This example takes the prices from the package arch, which is not installed.\n"
            'Install it with: pip install ".[examples]"   (or: pip install arch)'
        )
    closes = sp500.load()["Close"]
    return closes.index.to_numpy(), closes.to_numpy()


def main():
    parser = argparse.ArgumentParser(description="Forecast the next day of the S&P 500.")
    parser.add_argument("--epochs", type=int, default=200, help="passes over the data at most")
    parser.add_argument("--first-year", type=int, default=2009, help="first year to forecast")
    parser.add_argument("--output", default="sp500_next_day.png", help="where to draw the picture")
    args = parser.parse_args()

    days, closes = load_closes()
    X, tomorrow = sliding_windows(closes, WINDOW)  # X (n_days, 30, 1), tomorrow (n_days,)
    today, days = X[:, -1, 0], days[WINDOW:]
    year = days.astype("datetime64[Y]").astype(int) + 1970
    model = LSTMRegressor(
        hidden_size=8,
        window_scaling="relative",
        early_stopping=True,  # on the last tenth of the days it is fitted on
        shuffle=False,
        max_iter=args.epochs,
        random_state=0,
    )

    print("Mean absolute error of tomorrow's close, in index points:\n")
    print(f"{'year':>9}{'days':>7}{'naive':>9}{'LSTM':>9}{'LSTM / naive':>15}")
    start = perf_counter()
    forecast = np.full_like(tomorrow, np.nan)
    for this_year in range(args.first_year, year[-1] + 1):
        past, now = year < this_year, year == this_year
        forecast[now] = model.fit(X[past], tomorrow[past]).predict(X[now])
        print_row(this_year, tomorrow[now], today[now], forecast[now])
    tested = year >= args.first_year
    today, tomorrow, forecast = today[tested], tomorrow[tested], forecast[tested]
    print_row("all years", tomorrow, today, forecast)
    print(f"\nFits and forecasts took {perf_counter() - start:.1f} s.")
    conclude(tomorrow, today, forecast)
    draw(days[tested], tomorrow, today, forecast, args.output)


def print_row(label, actual, naive, lstm):
    errors = [mean_absolute_error(actual, naive), mean_absolute_error(actual, lstm)]
    ratio = errors[1] / errors[0]
    print(f"{label:>9}{len(actual):7}{errors[0]:9.3f}{errors[1]:9.3f}{ratio:15.3f}")


def conclude(actual, naive, lstm):
    """Say in words what the figures say."""
    rmse = [root_mean_squared_error(actual, forecast) for forecast in (naive, lstm)]
    print(f"RMSE over all years: naive {rmse[0]:.3f}, LSTM {rmse[1]:.3f}.")

    rose = actual > naive
    right = np.mean((lstm > naive) == rose)
    print(f"Up or down: LSTM right on {right:.1%} of days; always 'up' on {rose.mean():.1%}.")

    # Do the absolute errors of the same days differ by more than chance?
    test = ttest_rel(np.abs(actual - lstm), np.abs(actual - naive))
    if test.pvalue > 0.05:
        verdict = "does not differ significantly from"
    else:
        verdict = "is significantly " + ("smaller" if test.statistic < 0 else "larger") + " than"
    print(f"The LSTM's error {verdict} the naive forecast's (paired t-test, p={test.pvalue:.2g}).")


def draw(days, actual, naive, lstm, path):
    try:
        import matplotlib
    except ImportError:
        print("No picture: matplotlib is not installed (pip install matplotlib).")
        return
    matplotlib.use("Agg")  # to a file, with or without a screen
    from matplotlib import dates
    from matplotlib import pyplot as plt

    fig, (prices, errors) = plt.subplots(
        2, figsize=(9, 7), height_ratios=[3, 2], layout="constrained"
    )
    last = slice(-42, None)  # two months of trading days
    prices.plot(days[last], actual[last], "o-", color="black", ms=4, label="close")
    for name, forecast, style in (("LSTM", lstm, "-C0"), ("naive", naive, "--C1")):
        prices.plot(days[last], forecast[last], style, lw=2, label=f"{name}, made the day before")
    prices.set_title("The S&P 500: both forecasts are the price, one day late", loc="left")
    prices.set_ylabel("index points")
    prices.xaxis.set_major_formatter(dates.ConciseDateFormatter(prices.xaxis.get_major_locator()))

    year = days.astype("datetime64[Y]").astype(int) + 1970
    years = np.unique(year)
    naive_error, lstm_error = (
        np.array([mean_absolute_error(actual[year == y], forecast[year == y]) for y in years])
        for forecast in (naive, lstm)
    )
    errors.bar(years, lstm_error / naive_error, color="C0", width=0.6)
    errors.axhline(1, color="C1", ls="--", lw=2)
    errors.set_ylim(0.95, 1.05)
    errors.set_xticks(years)
    errors.set_title(
        "Mean absolute error of the LSTM, in units of the naive forecast's", loc="left"
    )

    prices.legend(frameon=False)
    for ax in (prices, errors):
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    fig.savefig(path, dpi=120)
    print(f"Picture: {path}")


if __name__ == "__main__":
    main()
