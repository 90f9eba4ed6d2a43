"""
Forecast a monthly series with a 12-month season: the CO2 in the air at Mauna Loa
=================================================================================

Ice-cream sales are low in December and high in June, year after year: whoever forecasts them
needs to remember more than last month. CO2 in the air is such a series too. It falls every summer,
while the plants of the northern hemisphere grow, and rises again in winter, on top of a rising
trend. Nobody tells the LSTM which month it is, nor that a year has twelve: it sees the last
36 months of the record, and forecasts the next 12. The trend needs no care: LSTMForecaster reads each
window from its own level.

The last five years are held out. The LSTM is fitted once, to what was known before them, forecasts
a year ahead from each month that has one, and meets the forecasts that cost nothing:

- naive: the months to come equal the last one;
- seasonal naive: they equal the same months of last year;
- seasonal naive + drift: those, plus the growth of the past twelve months. Hard to beat.

The LSTM beats all three. On so regular a series a linear model of the same 36 months
(scikit-learn's RidgeCV) does as well: it is worth a try before any network. And an interval knows of
what has been: in 1998 CO2 grew as never before in the record, and nearly all months of that year lie
outside theirs.

Run it with ``python examples/co2_forecast.py``. It draws a picture, for which it needs matplotlib:
``pip install ".[plot]"``.
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np

from pylstm import LSTMForecaster

CSV = Path(__file__).parent / "data" / "co2_monthly.csv"
HELD_OUT = 60  # months at the end of the record, for the comparison only
HORIZON = 12  # months to forecast


def load_co2():
    """Return the months, as datetime64, and the mean CO2 concentration of each in ppm."""
    months, co2 = np.loadtxt(CSV, delimiter=",", skiprows=1, dtype=str, unpack=True)
    return months.astype("datetime64[M]"), co2.astype(float)


def main():
    parser = argparse.ArgumentParser(
        description="Forecast the CO2 at Mauna Loa, beside the naive forecasts."
    )
    parser.add_argument("--output", default="co2_forecast.png", help="where to draw the picture")
    args = parser.parse_args()

    months, co2 = load_co2()
    print(f"CO2 at Mauna Loa: {len(co2)} months, {months[0]} to {months[-1]}")

    start = perf_counter()
    forecaster = LSTMForecaster(window=36, horizon=HORIZON, random_state=0).fit(co2)
    backtest = forecaster.backtest(HELD_OUT - HORIZON + 1, step=1, season=12)
    prediction, lower, upper = forecaster.forecast(HORIZON, interval=0.8)
    print(f"Fits, backtest and forecast took {perf_counter() - start:.1f} s.")

    errors = {name: by["MAE"] for name, by in backtest.errors_by_horizon.items()}
    errors["seasonal naive + drift"] = drift_error(backtest, co2)
    print_errors(errors, months[-HELD_OUT - 1])
    inside = (backtest.lower <= backtest.actual) & (backtest.actual <= backtest.upper)
    in_1998 = months[backtest.time].astype("datetime64[Y]") == np.datetime64("1998")
    print(f"\nWithin the 80% intervals lie {inside.mean():.0%} of what came,")
    print(
        f"{inside[in_1998].mean():.0%} in 1998 and {inside[~in_1998].mean():.0%} in the other years."
    )

    print(f"\n{'The next year':16}{'forecast':>10}{'80% interval':>20}")
    for i in range(HORIZON):
        month = months[-1] + i + 1
        print(f"{month!s:16}{prediction[i]:10.2f}{lower[i]:12.2f}{upper[i]:8.2f}")
    draw(backtest, months, errors, args.output)


def drift_error(backtest, co2):
    """The mean absolute error of last year's months plus the growth since, by months ahead."""
    row = backtest.time[:, :1]  # of the first month of each forecast
    drift = backtest.naive["seasonal naive"] + co2[row - 1] - co2[row - 13]
    return np.abs(drift - backtest.actual).mean(axis=0)


def print_errors(errors, last_known):
    print(f"\nMean absolute errors in ppm, fitted to the months to {last_known}:\n")
    shown = [1, 3, 6, 12]
    print(f"{'months ahead':24}" + "".join(f"{ahead:8}" for ahead in shown) + f"{'1 to 12':>10}")
    for name, error in sorted(errors.items(), key=lambda item: -item[1].mean()):
        cells = "".join(f"{error[ahead - 1]:8.3f}" for ahead in shown)
        print(f"{name:24}{cells}{error.mean():10.3f}")


def draw(backtest, months, errors, path):
    try:
        import matplotlib
    except ImportError:
        print('No picture: matplotlib is not installed (pip install ".[plot]").')
        return
    matplotlib.use("Agg")  # to a file, with or without a screen
    backtest.time = months[backtest.time]  # months instead of rows
    figure = backtest.plot()
    forecasts, by_horizon = figure.axes
    forecasts.set_title("CO$_2$ at Mauna Loa, forecast each December, and what came", loc="left")
    forecasts.set_ylabel("ppm")
    drift = "seasonal naive + drift"
    to_mase = backtest.errors["LSTM"]["MASE"] / backtest.errors["LSTM"]["MAE"]
    line = {"color": "#CC79A7", "ms": 3, "label": drift}
    by_horizon.plot(range(1, HORIZON + 1), errors[drift] * to_mase, "o-", **line)
    by_horizon.set_xlabel("Months ahead")
    by_horizon.set_ylim(0, 3.8)  # place for the legend
    by_horizon.legend(frameon=False, ncols=4)
    figure.savefig(path, dpi=90)
    print(f"Picture: {path}")


if __name__ == "__main__":
    main()
