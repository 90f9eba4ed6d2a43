"""
Look into the gates of an LSTM that has learned a season of 12 months
=====================================================================

Ice-cream sales peak in June and are lowest in December. In winter they hardly change: whoever
looks at the last few months alone cannot tell how far summer is. An LSTM does not just use the
last values, but keeps a longer memory, the cell state. At each month three gates, each a small
network of its own, decide what happens to that memory:

1. the forget gate: what of it is forgotten;
2. the input gate: how much of the new memory, proposed from the month's sales, is added to it;
3. the output gate: how much of it is shown, as the hidden state from which the forecast is made.

Here an LSTM reads windows of 36 months of sales and forecasts the next month. Nobody tells it which
month it is, nor that a year has twelve. Then we look at what it does:

- how good are the forecasts, beside some that cost nothing?
- how many months does an LSTM need to see?
- what do the gates and the cell state do over the year, and does the memory know the month?
- which months does a forecast rest on?

The sales are simulated, the same every year but for the chance of the weather. So we know how good
a forecast can be at best. The average of the same month in all years before comes close, and is at
least as good as the LSTM: but it is told the calendar, which the LSTM has to find out.

Run it with ``python examples/inside_the_gates.py``. It needs nothing but pylstm, and draws its
pictures, of the last 36 months, if matplotlib is installed.
"""

import argparse
from time import perf_counter

import numpy as np
from sklearn.metrics import mean_absolute_error
from sklearn.neighbors import NearestCentroid

from pylstm import LSTMRegressor, sliding_windows
from pylstm.inspection import expected_gradients

N_MONTHS = 600
WINDOW = 36  # months the LSTM sees
HELD_OUT = 120  # months at the end, for the comparison and for the look into the gates
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def simulate_sales(months, rng):
    """Return the sales of each month in thousands of scoops, and what they are without chance."""
    season = np.cos(2 * np.pi * (calendar_month(months) - MONTHS.index("Jun")) / 12)
    expected = 20 + 100 * np.exp(2.5 * (season - 1))
    return expected * np.exp(0.15 * rng.normal(size=len(months))), expected


def calendar_month(months):
    """0 for January to 11 for December."""
    return months.astype(int) % 12


def train(X, y, max_epochs):
    model = LSTMRegressor(
        hidden_size=16,
        early_stopping=True,  # set the last tenth aside, and stop when its forecasts get no better
        shuffle=False,
        n_iter_no_change=30,
        max_iter=max_epochs,
        random_state=0,
    )
    return model.fit(X, y)


def main():
    parser = argparse.ArgumentParser(description="Look into the gates of an LSTM.")
    parser.add_argument("--epochs", type=int, default=500, help="passes over the data at most")
    parser.add_argument("--output", default="inside_the_gates.png", help="where to draw the gates")
    parser.add_argument(
        "--explanation", default="explained_forecast.png", help="where to draw the explanation"
    )
    args = parser.parse_args()

    months = np.datetime64("1976-01") + np.arange(N_MONTHS)
    sales, expected = simulate_sales(months, np.random.default_rng(0))
    print(f"Ice-cream sales, simulated: {len(sales)} months, {months[0]} to {months[-1]}")

    X, y = sliding_windows(sales, WINDOW)  # X is (564, 36, 1): windows, months, features
    start = perf_counter()
    model = train(X[:-HELD_OUT], y[:-HELD_OUT], args.epochs)
    print(
        f"LSTM trained on the months to {months[-HELD_OUT - 1]} "
        f"in {perf_counter() - start:.1f} s ({model.n_iter_} epochs)"
    )

    print_forecasts(model, X[-HELD_OUT:], months, sales, expected)
    print_need_of_memory(sales, args.epochs)
    print_gates(model, X, months[WINDOW - 1 : -1])
    print_contributions(model, X)
    draw(model, X, months[-WINDOW - 1 : -1], args.output, args.explanation)


def print_forecasts(model, windows, months, sales, expected):
    """Compare the forecasts of the months held out."""
    month = calendar_month(months)
    average = np.array([sales[:-HELD_OUT][month[:-HELD_OUT] == m].mean() for m in range(12)])
    print(f"\nMean absolute error on the {HELD_OUT} months held out, in thousands of scoops:\n")
    for name, forecast in {
        "naive: as last month": windows[:, -1, 0],
        "seasonal naive: as last year": windows[:, -12, 0],
        "average of the same month": average[month[-HELD_OUT:]],
        "LSTM": model.predict(windows),
        "what chance leaves at best": expected[-HELD_OUT:],
    }.items():
        print(f"  {name:31}{mean_absolute_error(sales[-HELD_OUT:], forecast):8.2f}")


def print_need_of_memory(sales, max_epochs):
    """Train an LSTM for each of several lengths of the window."""
    print("\nThe error of LSTMs trained to forecast from fewer months:\n")
    for window in (1, 3, 6, 9, 12, 24, WINDOW):
        X, y = sliding_windows(sales, window)
        model = train(X[:-HELD_OUT], y[:-HELD_OUT], max_epochs)
        error = mean_absolute_error(y[-HELD_OUT:], model.predict(X[-HELD_OUT:]))
        print(f"  {window:>2} {'month ' if window == 1 else 'months'}{error:30.2f}")


def share_due_to_month(values, month):
    """Share of each column's variance that lies between the averages of the calendar months."""
    averages = np.array([values[month == m].mean(axis=0) for m in range(12)])
    return np.var(averages[month], axis=0) / np.var(values, axis=0)


def correlation_at_lag(series, lag):
    """Correlation of each column with itself `lag` months later."""
    return np.array([np.corrcoef(x[:-lag], x[lag:])[0, 1] for x in series.T])


def print_gates(model, windows, months):
    """Say what the gates do in the last month of each window; `months` are those last months."""
    gates = model.gate_activations(windows)  # arrays of (windows, months, units)
    month = calendar_month(months)
    known, new = slice(None, -HELD_OUT), slice(-HELD_OUT, None)
    sales, cell = windows[:, -1], gates.cell[:, -1]

    print(f"\nInside the {model.hidden_size} units, in the last month of each window held out:\n")
    forget, input_, output = (
        np.median(share_due_to_month(activations[new, -1], month[new]))
        for activations in (gates.forget, gates.input, gates.output)
    )
    print(
        "- The gates follow the year. Of the variance of the median unit's gates, the calendar\n"
        f"  month explains {forget:.0%} (forget gate), {input_:.0%} (input gate) and {output:.0%} "
        "(output gate)."
    )
    kept = np.array([gates.forget[new, -1][month[new] == m].mean(axis=0) for m in range(12)])
    unit = np.ptp(kept, axis=0).argmax()
    most, least = kept[:, unit].argmax(), kept[:, unit].argmin()
    print(
        f"  The forget gate that swings most, of unit {unit}, keeps {kept[most, unit]:.0%} of the "
        f"memory in {MONTHS[most]}\n  and {kept[least, unit]:.0%} in {MONTHS[least]}."
    )

    again = {
        (name, lag): np.median(correlation_at_lag(series[new], lag))
        for name, series in (("cell", cell), ("sales", sales))
        for lag in (6, 12)
    }
    print(
        "- The cell states come back after a year. At a lag of 12 months the median unit's\n"
        f"  correlates with itself at {again['cell', 12]:.2f} (the sales: {again['sales', 12]:.2f}), "
        f"at a lag of 6 at {again['cell', 6]:.2f} ({again['sales', 6]:.2f})."
    )

    # The month whose average state, in the windows before, is nearest.
    right = {
        name: NearestCentroid().fit(values[known], month[known]).score(values[new], month[new])
        for name, values in (("cell", cell), ("sales", sales))
    }
    print(
        "- The memory knows the month: the cell states tell it right for "
        f"{right['cell']:.0%} of the windows,\n  the month's sales for {right['sales']:.0%}."
    )
    forecast = model.predict(windows)
    march, september = (np.flatnonzero(month[new] == MONTHS.index(m)) for m in ("Mar", "Sep"))
    sold, expected = windows[new, -1, 0], forecast[new]
    print(
        f"  In March and September about the same is sold, {sold[march].mean():.0f} and "
        f"{sold[september].mean():.0f} thousand scoops on average;\n  the forecasts that follow are "
        f"{expected[march].mean():.0f} and {expected[september].mean():.0f}."
    )

    left = gates.forget[new, -12:].prod(axis=1).mean(axis=0)
    print(
        "- Yet no unit just stores a value for a year. After 12 months the forget gates have left\n"
        f"  {np.median(left):.1%} of it in the median unit, {left.max():.1%} at most: the memory "
        "is written anew all the time."
    )
    print(
        "\n(What reads a season will show a season: that the gates follow it does not prove that the\n"
        "forecasts need them to. That a few months are not enough, the errors above do show.)"
    )


def print_contributions(model, windows):
    """Say which months of their windows the forecasts rest on, beside those of earlier years."""
    contributions = expected_gradients(
        model, windows[-HELD_OUT:], background=windows[:-HELD_OUT], random_state=0
    ).values[..., 0]  # (windows, months), in thousands of scoops
    size = np.abs(contributions).mean(axis=0)[::-1]  # the last month first
    print(
        "\nWhat a forecast adds to the mean of all, or takes away, split among the months it was made\n"
        "from (expected gradients), on average over the windows held out:\n"
    )
    for name, part in {
        "the last 3 months": slice(0, 3),
        "months 4 to 12 before": slice(3, 12),
        "months 13 to 36 before": slice(12, None),
    }.items():
        print(f"  {name:31}{size[part].sum() / size.sum():8.0%}")


def draw(model, windows, months, path, explanation_path):
    """Draw what happens in the last window, and what its forecast rests on."""
    try:
        import matplotlib
    except ImportError:
        print("No picture: matplotlib is not installed (pip install matplotlib).")
        return
    matplotlib.use("Agg")  # to a file, with or without a screen
    from pylstm.inspection import AttributionDisplay, LSTMGateDisplay

    # Units whose memory peaks early in the year come first, so that the season runs through them.
    year = np.exp(-2j * np.pi * calendar_month(months) / 12)
    cell = model.gate_activations(windows[-1:]).cell[0]
    peak = -np.angle(year @ (cell - cell.mean(axis=0))) % (2 * np.pi)
    display = LSTMGateDisplay.from_estimator(
        model,
        windows,
        sample=-1,
        units=peak.argsort(),
        time=months,
        feature_names=["Thousand scoops"],
    )
    display.figure_.savefig(path, dpi=120)
    explanation = AttributionDisplay.from_estimator(
        model,
        windows,
        sample=-1,
        background=windows[:-HELD_OUT],
        random_state=0,
        time=months,
        feature_names=["Sales, thousand scoops"],
    )
    explanation.figure_.savefig(explanation_path, dpi=120)
    print(f"\nPictures: {path}, {explanation_path}")


if __name__ == "__main__":
    main()
