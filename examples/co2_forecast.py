"""
Forecast a monthly series with a 12-month season: the CO2 in the air at Mauna Loa
=================================================================================

Ice-cream sales are low in December and high in June, year after year: whoever forecasts them
needs to remember more than last month. CO2 in the air is such a series too. It falls every summer,
while the plants of the northern hemisphere grow, and rises again in winter, on top of a rising
trend. Nobody tells the LSTM which month it is, nor that a year has twelve: it sees the last
36 months of the record, learns the season from them, and forecasts the next 12 months.

The trend is the one thing that needs care: a network does not forecast a level it has never seen.
So it reads and forecasts the *changes* from month to month, and we add them up.

The last five years are held out. The LSTM is trained once, on what was known before them, and then
meets the forecasts that cost nothing:

- naive: the months to come equal the last one;
- seasonal naive: they equal the same months of last year;
- seasonal naive + drift: those, plus the growth of the past twelve months. Hard to beat.

The LSTM beats all three. On so regular a series a linear model of the same 36 changes
(scikit-learn's RidgeCV) does as well: it is worth a try before any network.

Run it with ``python examples/co2_forecast.py``. It needs nothing but pylstm, and draws the picture if
matplotlib is installed.
"""

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import mean_absolute_error, root_mean_squared_error
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pylstm import LSTMRegressor, SequenceScaler, sliding_windows

CSV = Path(__file__).parent / "data" / "co2_monthly.csv"
WINDOW = 36  # months the LSTM sees
HORIZON = 12  # months it forecasts
HELD_OUT = 60  # months at the end of the record, for the comparison only


def load_co2():
    """Return the months, as datetime64, and the mean CO2 concentration of each in ppm."""
    months, co2 = np.loadtxt(CSV, delimiter=",", skiprows=1, dtype=str, unpack=True)
    return months.astype("datetime64[M]"), co2.astype(float)


def train(co2, max_epochs):
    """Fit an LSTM to forecast the next 12 monthly changes from the last 36."""
    X, y = sliding_windows(np.diff(co2), WINDOW, horizon=range(1, HORIZON + 1))
    # X is (418, 36, 1): windows, months, features; y is (418, 12).
    lstm = LSTMRegressor(
        early_stopping=True,  # set a part aside, and stop when its forecasts get no better:
        shuffle=False,  # the last tenth, not a random one, as it is the future that counts
        n_iter_no_change=50,
        max_iter=max_epochs,
        random_state=0,
    )
    model = TransformedTargetRegressor(
        make_pipeline(SequenceScaler(), lstm), transformer=StandardScaler()
    )
    return model.fit(X, y)


# Each forecast takes the record up to some month, and returns the 12 months that follow it.


def naive(co2):
    return np.repeat(co2[-1], HORIZON)


def seasonal_naive(co2):
    return co2[-12:]


def seasonal_naive_with_drift(co2):
    return co2[-12:] + (co2[-1] - co2[-13])


def lstm_forecast(model, co2):
    window = np.diff(co2)[-WINDOW:].reshape(1, WINDOW, 1)
    return co2[-1] + model.predict(window)[0].cumsum()


def main():
    parser = argparse.ArgumentParser(
        description="Forecast the CO2 at Mauna Loa, beside the naive forecasts."
    )
    parser.add_argument("--epochs", type=int, default=1000, help="passes over the data at most")
    parser.add_argument("--output", default="co2_forecast.png", help="where to draw the picture")
    args = parser.parse_args()

    months, co2 = load_co2()
    held_out = range(len(co2) - HELD_OUT, len(co2))
    print(f"CO2 at Mauna Loa: {len(co2)} months, {months[0]} to {months[-1]}")

    start = perf_counter()
    model = train(co2[:-HELD_OUT], args.epochs)
    print(
        f"LSTM trained on the months to {months[-HELD_OUT - 1]} "
        f"in {perf_counter() - start:.1f} s ({model.regressor_[-1].n_iter_} epochs)"
    )

    forecasts = {
        "naive": naive,
        "seasonal naive": seasonal_naive,
        "seasonal naive + drift": seasonal_naive_with_drift,
        "LSTM": lambda co2: lstm_forecast(model, co2),
    }
    # One month ahead, every month; and the whole year ahead, every December.
    month_ahead = {
        name: np.array([forecast(co2[:i])[0] for i in held_out])
        for name, forecast in forecasts.items()
    }
    year_ahead = {
        name: np.concatenate([forecast(co2[:i]) for i in held_out[::HORIZON]])
        for name, forecast in forecasts.items()
    }
    print_table(months[held_out], co2[held_out], month_ahead, year_ahead)
    draw(months, co2, year_ahead, args.output)


def print_table(months, actual, month_ahead, year_ahead):
    print(f"\nErrors in ppm on the {len(actual)} months held out, {months[0]} to {months[-1]}:\n")
    print(f"{'':24}{'next month':^16}{'year ahead':^16}".rstrip())
    print(f"{'':24}" + f"{'MAE':>8}{'RMSE':>8}" * 2)
    for name in month_ahead:
        errors = [
            metric(actual, forecast[name])
            for forecast in (month_ahead, year_ahead)
            for metric in (mean_absolute_error, root_mean_squared_error)
        ]
        print(f"{name:24}" + "".join(f"{error:8.3f}" for error in errors))
    print()


def draw(months, co2, year_ahead, path):
    try:
        import matplotlib
    except ImportError:
        print("No picture: matplotlib is not installed (pip install matplotlib).")
        return
    matplotlib.use("Agg")  # to a file, with or without a screen
    from matplotlib import pyplot as plt

    first = len(co2) - HELD_OUT
    fig, (record, end) = plt.subplots(2, figsize=(9, 7), height_ratios=[2, 3], layout="constrained")
    record.plot(months[:first], co2[:first], color="0.5", label="training part")
    record.plot(months[first:], co2[first:], color="black", label="held out")
    record.set_title("CO$_2$ in the air at Mauna Loa, monthly means", loc="left")

    end.plot(months[first - 12 :], co2[first - 12 :], "o", color="black", ms=4, label="measured")
    for name, style in (("seasonal naive + drift", "--C1"), ("LSTM", "-C0")):
        for i in range(0, HELD_OUT, HORIZON):  # one line a year, from the December it was made in
            made_in = first + i - 1
            line = np.append(co2[made_in], year_ahead[name][i : i + HORIZON])
            label = f"{name}, a year ahead" if i == 0 else None
            end.plot(months[made_in : made_in + HORIZON + 1], line, style, lw=2, label=label)
    end.set_title("The years held out, each forecast in the December before", loc="left")

    for ax in (record, end):
        ax.set_ylabel("ppm")
        ax.legend(frameon=False)
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    fig.savefig(path, dpi=120)
    print(f"Picture: {path}")


if __name__ == "__main__":
    main()
