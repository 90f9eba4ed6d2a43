"""What forecasts of a known past were worth, beside forecasts that cost nothing."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ._typing import Array, Floats
from .inspection._drawing import COLORS, as_drawn, draw_interval, label_time, places_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = ("MAE", "RMSE", "MASE", "coverage")

# Time steps in a season, by the name of a frequency without what tells start from end.
_SEASONS = {
    "M": 12,
    "BM": 12,
    "CBM": 12,
    "SM": 24,
    "Q": 4,
    "BQ": 4,
    "W": 52,
    "D": 7,
    "B": 5,
    "C": 5,
    "h": 24,
    "H": 24,  # as pandas before 2.2 has it
}


class Backtest:
    """Errors of forecasts from several origins in the past, as :meth:`LSTMForecaster.backtest` returns them.

    Attributes
    ----------
    errors : dict of dict of float
        By the name of the forecast, "LSTM", "naive" (the last value) and, if there is a season, "seasonal
        naive" (the value of a season ago), and by that of the measure:

        - "MAE": the mean absolute error;
        - "RMSE": the root of the mean squared error;
        - "MASE": the mean absolute error, each series' divided by the mean absolute error in sample of
          its seasonal naive forecast (or naive one, without a season) [1]_;
        - "coverage": the share of values within the prediction interval, NaN where there is none.

    errors_by_horizon : dict of dict of ndarray of shape (horizon,)
        The same by the number of steps ahead.

    actual, prediction : ndarray of shape (n_forecasts, horizon) or (n_forecasts, horizon, n_targets)
        What was to be forecast, and the forecasts.

    lower, upper : ndarray shaped as prediction, or None
        The bounds of the prediction intervals.

    naive : dict of ndarray shaped as prediction
        The forecasts that cost nothing, by name.

    series : ndarray of shape (n_forecasts,)
        The series of each forecast.

    time : ndarray of shape (n_forecasts, horizon)
        The time of each value; for series without times the number of its row.

    interval : float or None
        The probability of the interval.

    season : int
        Time steps in a season; 1 if there is none.

    See Also
    --------
    LSTMForecaster : Makes the forecasts.

    References
    ----------
    .. [1] Hyndman & Koehler (2006). Another look at measures of forecast accuracy. International Journal
       of Forecasting 22(4).

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import LSTMForecaster
    >>> series = np.arange(120) + 10 * np.sin(np.arange(120) * np.pi / 6)
    >>> backtest = LSTMForecaster(24, 12, random_state=0).backtest(2, series=series, season=12)
    >>> backtest.prediction.shape
    (2, 12)
    >>> backtest.errors["LSTM"]["MASE"] < backtest.errors["seasonal naive"]["MASE"]
    True
    """

    def __init__(
        self,
        actual: Array,
        forecast: tuple[Array, Array | None, Array | None],
        naive: Mapping[str, Array],
        *,
        scale: Floats,
        series: Array,
        time: Array,
        interval: float | None,
        season: int,
    ):
        # scale: (n_forecasts, n_targets), what the errors of each series are divided by for MASE
        self.interval, self.season = interval, season
        self.series, self.time = series, time
        prediction, lower, upper = forecast
        errors = {"LSTM": prediction - actual}
        errors |= {name: values - actual for name, values in naive.items()}
        covered = np.full(actual.shape, np.nan)
        if lower is not None:
            covered = ((lower <= actual) & (actual <= upper)).astype(float)
        self.errors, self.errors_by_horizon = {}, {}
        for name, error in errors.items():
            measured = {
                "MAE": np.abs(error),
                "RMSE": error**2,
                "MASE": np.abs(error) / scale[:, np.newaxis],
                "coverage": covered if name == "LSTM" else np.full(actual.shape, np.nan),
            }
            means = {metric: values.mean(axis=(0, 2)) for metric, values in measured.items()}
            means_of_all = {metric: float(values.mean()) for metric, values in means.items()}
            means["RMSE"] = np.sqrt(means["RMSE"])
            means_of_all["RMSE"] = float(np.sqrt(means_of_all["RMSE"]))
            self.errors[name], self.errors_by_horizon[name] = means_of_all, means

        def shaped(values):
            return values[..., 0] if values is not None and values.shape[2] == 1 else values

        self.actual, self.prediction = shaped(actual), shaped(prediction)
        self.lower, self.upper = shaped(lower), shaped(upper)
        self.naive = {name: shaped(values) for name, values in naive.items()}

    @property
    def horizon(self) -> int:
        """Time steps that each forecast is of."""
        return self.actual.shape[1]

    def __repr__(self):
        n_forecasts = len(self.actual)
        return f"<Backtest of {n_forecasts} forecasts of {self.horizon} steps>"

    def __str__(self):
        metrics = [m for m in METRICS if not np.isnan(self.errors["LSTM"][m])]
        lines = [f"{'':16}" + "".join(f"{metric:>10}" for metric in metrics)]
        for name, errors in self.errors.items():
            values = (errors[metric] for metric in metrics)
            cells = (f"{'' if np.isnan(value) else format(value, '.4g'):>10}" for value in values)
            lines.append(f"{name:16}" + "".join(cells).rstrip())
        return "\n".join(lines)

    def to_frame(self, by_horizon: bool = False) -> Any:
        """The errors as a table.

        Parameters
        ----------
        by_horizon : bool, default=False
            Whether there is a row for each number of steps ahead.

        Returns
        -------
        table : DataFrame
            The columns "MAE", "RMSE", "MASE" and "coverage"; a row for each forecast, by its name in the
            index, or by horizon and name.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        import pandas as pd

        if not by_horizon:
            table = pd.DataFrame(self.errors).T
            return table[list(METRICS)].rename_axis("forecast")
        horizons = pd.RangeIndex(1, self.horizon + 1)
        tables = {
            name: pd.DataFrame(errors, index=horizons)
            for name, errors in self.errors_by_horizon.items()
        }
        table = pd.concat(tables, names=["forecast", "horizon"]).swaplevel()
        return table.sort_index(level="horizon", sort_remaining=False)

    def plot(self, *, series: Any = None, figure: "Figure | None" = None) -> "Figure":
        """Draw the forecasts of one series beside what came, and the errors by horizon.

        Parameters
        ----------
        series : object, default=None
            Which series, if there are many: a value of the attribute of this name. None takes the first.

        figure : matplotlib Figure, default=None
            Where to draw; None makes a new one.

        Returns
        -------
        figure : matplotlib Figure
            The figure.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        ValueError
            If there is no forecast of this series.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        chosen = self.series[0] if series is None else series
        rows = np.flatnonzero(self.series == chosen)
        if len(rows) == 0:
            known = ", ".join(map(repr, np.unique(self.series)[:5].tolist()))
            raise ValueError(f"There is no forecast of series {series!r}, but of {known}, ...")
        figure = plt.figure(figsize=(9, 6), layout="constrained") if figure is None else figure
        top, bottom = figure.subplots(2, height_ratios=[3, 2])
        self._draw_forecasts(top, rows)
        if len(np.unique(self.series)) > 1:
            top.set_title(f"Series {chosen!s}", loc="left")

        horizons = np.arange(1, self.horizon + 1)
        for color, (name, errors) in zip(COLORS, self.errors_by_horizon.items(), strict=False):
            bottom.plot(horizons, errors["MASE"], "o-", ms=3, color=color, label=name)
        bottom.set_ylim(bottom=0)
        bottom.set_xlabel("Steps ahead")
        bottom.set_ylabel("MASE")
        bottom.xaxis.get_major_locator().set_params(integer=True)
        bottom.legend(frameon=False)
        for ax in (top, bottom):
            ax.grid(alpha=0.3)
        return figure

    def _draw_forecasts(self, ax, rows):
        """Draw the forecasts of some rows, of the first target, and the values that came.

        Forecasts that overlap later ones are left out.
        """

        def of(values, row):
            return values[row] if values.ndim == 2 else values[row, :, 0]

        time = np.unique(self.time[rows])
        places = dict(zip(time.tolist(), places_of(as_drawn(time), len(time)), strict=True))
        x_of = {row: [places[t] for t in self.time[row].tolist()] for row in rows}
        actual = {}
        for row, x in x_of.items():
            actual.update(zip(x, of(self.actual, row), strict=True))
        drawn = [rows[-1]]
        for row in rows[::-1]:
            if x_of[row][-1] < x_of[drawn[-1]][0]:
                drawn.append(row)
        for i, row in enumerate(drawn):
            x = x_of[row]
            if self.lower is not None:
                bounds = of(self.lower, row), of(self.upper, row)
                draw_interval(ax, x, bounds, COLORS[0], self.interval if i == 0 else None)
            label = "forecasts" if i == 0 else None
            ax.plot(x, of(self.prediction, row), color=COLORS[0], label=label)
        x = sorted(actual)
        ax.plot(x, [actual[t] for t in x], "o", ms=3, color="black", label="actual")
        label_time(ax, as_drawn(time), np.array(x), with_labels=True)
        ax.legend(frameon=False)


def season_of(frequency):
    """Time steps in a season of series of a frequency, as pandas has it; 1 if nothing is known of it."""
    name = getattr(frequency, "rule_code", "").split("-")[0]
    if getattr(frequency, "n", 0) != 1:
        return 1
    return _SEASONS.get(name.removesuffix("S").removesuffix("E"), 1)


def naive_forecasts(values, origins, horizon, season):
    """The last value, and the values of a season ago.

    Parameters
    ----------
    values : ndarray of shape (n_steps, n_targets)
        One series.
    origins : ndarray of int of shape (n_origins,)
        How many of its values each forecast knows.
    horizon : int
        Steps to forecast.
    season : int
        Steps in a season; 1 if there is none.

    Returns
    -------
    forecasts : dict of ndarray of shape (n_origins, horizon, n_targets)
        "naive"; with a season "seasonal naive", the last value where the series is no season old.
    """
    values = _filled_forward(values)
    last = np.repeat(values[origins - 1][:, np.newaxis], horizon, axis=1)
    if season == 1:
        return {"naive": last}
    rows = origins[:, np.newaxis] - season + np.arange(horizon) % season
    return {
        "naive": last,
        "seasonal naive": np.where((rows < 0)[..., np.newaxis], last, values[np.maximum(rows, 0)]),
    }


def naive_scale(values, season):
    """The mean absolute error of the seasonal naive forecast in sample, (n_targets,).

    Of the naive one for a series of less than two seasons; 1 for a constant one.
    """
    lag = season if len(values) >= 2 * season else 1
    differences = np.abs(values[lag:] - values[:-lag])
    observed = ~np.isnan(differences)
    scale = np.where(observed, differences, 0).sum(axis=0) / np.maximum(observed.sum(axis=0), 1)
    return np.where(scale > 0, scale, 1)


def _filled_forward(values):
    """Values that are missing replaced by the last before them."""
    latest = np.where(np.isnan(values), 0, np.arange(len(values))[:, np.newaxis])
    return np.take_along_axis(values, np.maximum.accumulate(latest, axis=0), axis=0)
