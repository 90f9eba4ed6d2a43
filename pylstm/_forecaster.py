"""The forecaster: from a series, or many, to their forecasts, and what those are worth."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import ndtri
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)
from sklearn.utils.validation import check_is_fitted

from ._backtest import Backtest, naive_forecasts, naive_scale, season_of
from ._known_columns import add_future, are_positions, check_names, columns_left, split_columns
from ._lazy_windows import positions_of, steps_before
from ._options import WINDOW_SCALINGS
from ._panel import ID_COL, TIME_COL, give_back, is_pandas, keys_of, quoted
from ._public import public_in
from ._regressor import LSTMRegressor
from ._shares import ALL, WITHOUT_DRIFT, Shares, can_be_shared, fit_shares, lean
from ._times import GAPS
from ._typing import Array, Estimator, RandomState
from ._unwrap import unwrap
from ._validation import POSITIVE_INTEGER
from .forecasting import (
    ONE_DEVIATION,
    Forecast,
    continue_series,
    interval_scores,
    predict_windows,
)
from .inspection._drawing import COLORS, as_drawn, draw_interval, label_time, places_of
from .windows import cut_windows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PROBABILITY = Interval(Real, 0, 1, closed="neither")

_OF_BACKTEST = {
    "n_origins": [POSITIVE_INTEGER],
    "step": [POSITIVE_INTEGER, None],
    "season": [POSITIVE_INTEGER, None],
    "interval": [_PROBABILITY, None],
}

# Values of windows that are gathered once, rather than each time that they are predicted from.
_FEW = 2**15

# The powers of the factor that held-out errors show by which intervals become wider, and narrower; and how
# narrow at most, for errors of a stretch may all be 0.
_WIDENING, _NARROWING, _NARROWEST = 1 / 2, 1 / 4, 1 / 2

# How many futures of steps beyond the horizon are simulated.
_N_PATHS = 1000


@public_in("pylstm")
class LSTMForecaster(BaseEstimator):
    """Forecasts series: one or many, with trends, levels and seasons as they are.

    It cuts the series into windows, fits a network to them, and forecasts what follows. All of this
    can be done by hand with :func:`sliding_windows`, :class:`LSTMRegressor` and :func:`forecast`,
    on which it stands; it chooses what serves series: windows are read from their own level, a linear
    regression of the whole window carries what is linear, the network learns what that leaves, and
    held-out errors say how far to go by each of them, and how wide the intervals must be.

    Parameters
    ----------
    window : int, default=24
        Time steps that the network reads: two seasons are a good start.

    horizon : int, default=12
        Time steps that it forecasts at once (the direct strategy). Forecasts of more steps go on from
        these (the recursive one).

    window_scaling : {"relative", "last", "mean", "standard"} or None, default="relative"
        What each window is scaled by, as of :class:`LSTMRegressor`: by default its last value and its
        mean absolute value, so that the network forecasts changes as shares of the level. "last" leaves
        changes as they are: for series of one scale whose values may lie around zero. Features that are
        known or static are not scaled so.

    known : list of str or int, default=()
        Columns whose future is known: the calendar, planned prices. See :func:`sliding_windows`. Of
        tables they are named, of arrays given by position.

    static : list of str, default=()
        Columns of a long DataFrame that are the same throughout each series.

    target : int, str or list of these, default=None
        What to forecast; None means all columns, of a long DataFrame with several the column "y".

    estimator : estimator, default=None
        An :class:`LSTMRegressor`, or a Pipeline, TransformedTargetRegressor or search around one; its
        `window_scaling` is set to that of the forecaster. None means
        `LSTMRegressor(loss="gaussian", highway="all", alpha=0.3, n_iter_no_change=numpy.inf)`.

    calibration_fraction : float, default=0.2
        Share of the time at the end of the series whose errors tell what to trust, and how wide
        intervals must be: before the fit, the network is fitted to what comes before, too. 0 takes the
        network and its intervals as they are.

    id_col, time_col, freq, gaps
        As of :func:`sliding_windows`. With `gaps="fill"` the default estimator has `missing="mask"`, for
        values of NaN as well; windows that should predict what is missing are left out.

    random_state : int, RandomState instance or None, default=None
        Determines the fit, if it is not None, and the futures that are simulated.

    Attributes
    ----------
    model_ : estimator
        The fitted estimator.

    calibration_scores_ : dict of ndarray
        Held-out errors in units of the model's intervals, by the probability of those, in increasing
        order; empty if there are none.

    shares_ : Shares
        What forecasts are made of, a named tuple: of what the linear regression adds to a naive forecast
        they take the share `regression`, 0 or 1, with or without its `drift`, 1 or 0; of what the network
        adds to that the share `network`, from 0 to 1. (1, 1, 1) is the network as it is, (0, 0, 0) the
        naive forecast.

    series_ : object
        The series that was fitted, from whose end `forecast` goes on.

    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if the columns have names.

    See Also
    --------
    forecast : Forecasts with any fitted model.
    PanelSplit : Splits many series in the order of time.

    Notes
    -----
    A network with a highway on scaled windows, such as the default, starts from a linear regression, and
    this from the best naive forecast: the last value, or that of a season ago. How far to go from one to
    the next, the errors of a fit to what came before the last `calibration_fraction` of the time say on
    it: whether growth goes on as the regression has it; of what the network adds the share with the least
    squared error, as far as so many errors tell [3]_, [4]_ (the posterior mean; before they are seen, half
    of it is expected to be learned by heart); and nothing but the naive forecast, if the result does not
    have a squared error less by a hundredth. Where the series are too short to hold windows out, the
    regression alone is trusted, without a drift. So what cannot be forecast costs little, and what is not
    linear is learned where there is enough of it.

    Intervals of a Gaussian network are too narrow by what it has learned by heart. The same errors, those
    of all series and horizons together, say by which factor they ought to have been wider (conformal
    prediction with a split in the order of time [1]_). As that is a short stretch, they are made wider by
    the square root of the factor, half way between what the network says and what the stretch says. They
    become narrower only where several series say so, by the fourth root and by half at most: too narrow
    an interval does more harm than too wide a one. With `loss="quantile"` the distances from the median are
    widened likewise [2]_.

    References
    ----------
    .. [1] Vovk, Gammerman & Shafer (2005). Algorithmic learning in a random world. Springer.
       Stankevičiūtė, Alaa & van der Schaar (2021). Conformal time-series forecasting. NeurIPS.
    .. [2] Romano, Patterson & Candès (2019). Conformalized quantile regression. NeurIPS.
    .. [3] Wolpert (1992). Stacked generalization. Neural Networks, 5(2).
    .. [4] Friedman (2002). Stochastic gradient boosting. Computational Statistics & Data Analysis, 38(4).

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import LSTMForecaster
    >>> t = np.arange(120)
    >>> sales = 100 + t + 10 * np.sin(2 * np.pi * t / 12)
    >>> forecaster = LSTMForecaster(window=24, horizon=12, random_state=0).fit(sales)
    >>> prediction, lower, upper = forecaster.forecast(18, interval=0.8)
    >>> prediction.shape
    (18,)
    >>> truth = 100 + np.arange(120, 138) + 10 * np.sin(2 * np.pi * np.arange(120, 138) / 12)
    >>> bool(abs(prediction - truth).max() < 3)
    True

    The window's length is searched as any other parameter:

    >>> from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
    >>> search = GridSearchCV(
    ...     LSTMForecaster(random_state=0), {"window": [6, 24]}, cv=TimeSeriesSplit(2, test_size=24)
    ... )
    >>> search.fit(sales).best_params_
    {'window': 24}
    """

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's name and form)
        "window": [POSITIVE_INTEGER],
        "horizon": [POSITIVE_INTEGER],
        "window_scaling": [StrOptions(set(WINDOW_SCALINGS)), None],
        "known": [list, tuple],
        "static": [list, tuple],
        "target": [Integral, str, list, tuple, None],
        "estimator": [HasMethods(["fit", "predict"]), None],
        "calibration_fraction": [Interval(Real, 0, 1, closed="left")],
        "id_col": [str],
        "time_col": [str],
        "freq": "no_validation",
        "gaps": [StrOptions(set(GAPS))],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        window: int = 24,
        horizon: int = 12,
        *,
        window_scaling: str | None = "relative",
        known: Sequence[str] | Sequence[int] = (),
        static: Sequence[str] = (),
        target: Any = None,
        estimator: Estimator = None,
        calibration_fraction: float = 0.2,
        id_col: str = ID_COL,
        time_col: str = TIME_COL,
        freq: Any = None,
        gaps: str = "error",
        random_state: RandomState = None,
    ):
        self.window = window
        self.horizon = horizon
        self.window_scaling = window_scaling
        self.known = known
        self.static = static
        self.target = target
        self.estimator = estimator
        self.calibration_fraction = calibration_fraction
        self.id_col = id_col
        self.time_col = time_col
        self.freq = freq
        self.gaps = gaps
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, series: Any, y: Any = None) -> "LSTMForecaster":
        """Fit the network to one or many series.

        Parameters
        ----------
        series : array-like, Series, DataFrame, or list or dict of these
            The series up to now, as :func:`sliding_windows` takes them.

        y : None
            Not used; here for scikit-learn's searches.

        Returns
        -------
        self : LSTMForecaster
            The fitted forecaster.

        Raises
        ------
        TypeError, ValueError
            Whatever `sliding_windows` refuses of series, and the estimator of their values: NaN, say. If
            a series is shorter than a window and the horizon, or the estimator's `window_scaling` is
            another than the forecaster's.

        KeyboardInterrupt
            At Ctrl-C. If the last fit, to all windows, has finished an epoch, the forecaster is fitted
            then, with the network as the estimator has kept it; otherwise it stays as it was.
        """
        cut = self._cut(series)
        fit = self._fit_windows(cut, np.arange(len(cut.y)), _clock_of(cut))
        self.model_, self.shares_ = fit.model, fit.shares
        self.calibration_scores_, self._n_calibrating = fit.scores, fit.n_held_series
        self.series_ = series
        self._lengths = dict(zip(keys_of(cut.panel.ids), cut.panel.lengths.tolist(), strict=True))
        if hasattr(fit.model, "feature_names_in_"):
            self.feature_names_in_ = fit.model.feature_names_in_
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        if fit.interrupt is not None:
            raise fit.interrupt
        return self

    @validate_params(
        {"steps": [POSITIVE_INTEGER, None], "interval": [_PROBABILITY, None]},
        prefer_skip_nested_validation=True,
    )
    def forecast(
        self,
        steps: int | None = None,
        interval: float | None = 0.8,
        *,
        known: Any = None,
        series: Any = None,
    ) -> Any:
        """Forecast what follows the series.

        Parameters
        ----------
        steps : int, default=None
            How many time steps; None means `horizon`.

        interval : float or None, default=0.8
            The probability, between 0 and 1, with which each value shall lie between the bounds; None for
            no bounds.

        known : array-like, DataFrame or dict or list of these, default=None
            The features known in advance at the steps to forecast, if there are some, as
            :func:`pylstm.forecast` takes them. Of series that are arrays a row for each step to forecast
            and for the others of the last `horizon` of them; one array holds for all series.

        series : array-like, Series, DataFrame, or list or dict of these, default=None
            Series to forecast, up to now; None means those of `fit`, and others need not be among them.
            Each must have a window's steps.

        Returns
        -------
        forecast : Forecast, DataFrame, or list or dict of Forecast
            In the form of the series, with the dates that follow: for a long DataFrame another with the
            columns `id_col`, `time_col`, "forecast", "lower" and "upper"; otherwise a named tuple
            (prediction, lower, upper) of arrays, Series or DataFrames, or a list or dict of such.
            Without `interval` the predictions alone. See :func:`pylstm.forecast`.

        Raises
        ------
        NotFittedError
            If the forecaster is not fitted.

        TypeError, ValueError
            Whatever :func:`pylstm.forecast` refuses: an interval that the loss does not give, columns
            other than those of `fit`, and so on.
        """
        found = self._forecast(series, steps, interval, known)
        return give_back(found.panel, found.results, found.columns, Forecast)

    def backtest(
        self,
        n_origins: int = 5,
        *,
        step: int | None = None,
        season: int | None = None,
        interval: float | None = 0.8,
        series: Any = None,
    ) -> Backtest:
        """Forecast the past from several origins, and compare with what came and with naive forecasts.

        A clone is fitted once, to what was known at the first origin, and forecasts from each; the fitted
        forecaster stays as it is. All series are cut at the same times; series without times
        at as many steps before their ends.

        Parameters
        ----------
        n_origins : int, default=5
            From how many origins to forecast `horizon` steps, the last of which ends with the series.

        step : int, default=None
            Time steps between the origins; None means `horizon`, so that no value is forecast twice.

        season : int, default=None
            Time steps in a season, for the seasonal naive forecast; None takes what is usual for the
            frequency of the times (12 for months, 4 for quarters, 7 for days, 24 for hours).

        interval : float or None, default=0.8
            The probability of the interval whose coverage is measured.

        series : array-like, Series, DataFrame, or list or dict of these, default=None
            The series; None means those of `fit`.

        Returns
        -------
        backtest : Backtest
            The forecasts and their errors; it prints as a table.

        Raises
        ------
        NotFittedError
            If the forecaster is not fitted and no series are given.

        TypeError, ValueError
            As for `fit`; if the series are too short for so many origins.
        """
        self._validate_params()
        given = {"n_origins": n_origins, "step": step, "season": season, "interval": interval}
        validate_parameter_constraints(_OF_BACKTEST, given, "backtest")
        if series is None:
            check_is_fitted(self, "model_")
            series = self.series_
        cut = self._cut(series)
        clock = _clock_of(cut)
        step = self.horizon if step is None else int(step)
        origins = np.unique(clock.first)[::-1][::step][:n_origins]
        is_known = clock.last < origins[-1]
        if len(origins) < n_origins or not is_known.any():
            raise ValueError(
                f"The series are too short for n_origins={n_origins}: before the first of them, "
                f"{(n_origins - 1) * step + self.horizon} steps from the end, no window of "
                f"window={self.window} and horizon={self.horizon} is left to train on. Decrease "
                "n_origins or step."
            )
        fit = self._fit_windows(cut, np.flatnonzero(is_known), clock)
        if fit.interrupt is not None:
            raise fit.interrupt
        chosen = np.flatnonzero(np.isin(clock.first, origins))
        if season is None:
            season = season_of(cut.panel.frequency)
        widening = _widening_of(interval, fit.scores, fit.n_held_series)
        return self._evaluate(cut, chosen, fit.model, int(season), interval, widening)

    def score(self, series: Any, y: Any = None) -> float:
        """How good forecasts of what follows the series of `fit` are.

        From every step on, as long as `horizon` more are there, they are compared with the values given.

        Parameters
        ----------
        series : array-like, Series, DataFrame, or list or dict of these
            The continuation of what was fitted, in the same form, at least `horizon` steps. Series
            that were not in `fit` are forecast from their first `window` steps on.

        y : None
            Not used; here for scikit-learn's searches.

        Returns
        -------
        score : float
            Minus the mean absolute scaled error (MASE), without a season: -1 is as good as the naive
            forecast of one step in sample, 0 without error.

        Raises
        ------
        NotFittedError
            If the forecaster is not fitted.

        ValueError
            If the series do not follow those of `fit`, or are too short.
        """
        check_is_fitted(self, "model_")
        cut = self._cut(_joined(self.series_, series))
        lengths = np.array([self._lengths.get(key, 0) for key in keys_of(cut.panel.ids)])
        chosen = np.flatnonzero(steps_before(cut.X) >= lengths[positions_of(cut.X)])
        if len(chosen) == 0:
            raise ValueError(
                f"No forecast can be scored: pass at least horizon={self.horizon} steps that follow those "
                "of fit."
            )
        backtest = self._evaluate(cut, chosen, self.model_, 1, None)
        return -backtest.errors["LSTM"]["MASE"]

    def plot(
        self,
        steps: int | None = None,
        interval: float | None = 0.8,
        *,
        known: Any = None,
        series: Any = None,
        ax: "Axes | None" = None,
    ) -> "Axes":
        """Draw the end of a series and its forecast.

        Parameters
        ----------
        steps, interval, known
            As for `forecast`.

        series : object, default=None
            The name of the series to draw, or its position in a list; None means the first.

        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        ax : matplotlib Axes
            The axes.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        NotFittedError
            If the forecaster is not fitted.

        TypeError, ValueError
            As for `forecast`; if there is no such series.
        """
        check_is_fitted(self, "model_")
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        found = self._forecast(None, steps, interval, known)
        names = keys_of(found.panel.ids)
        if series is not None and series not in names:
            raise ValueError(
                f"There is no series {series!r}, but {', '.join(map(quoted, names[:5]))}, ..."
            )
        position = 0 if series is None else names.index(series)
        values = found.panel.by_series(found.panel.rows())[position]
        if values.shape[1] > found.results[0].shape[2]:
            values = self._cut(self.series_).targets[position].reshape(len(values), -1)
        n_shown = min(len(values), 3 * self.window)
        n_steps = found.results[0].shape[1]
        places, time = _places(found.panel, position, n_shown, n_steps)

        if ax is None:
            _, ax = plt.subplots(figsize=(8, 4), layout="constrained")
        for target, color in zip(range(found.results[0].shape[2]), COLORS, strict=False):
            history = values[len(values) - n_shown :, target]
            prediction, *bounds = (result[position, :, target] for result in found.results)
            ax.plot(places[:n_shown], history, color="black")
            joined = np.append(history[-1:], prediction)
            ax.plot(places[n_shown - 1 :], joined, color=color, label="forecast")
            if bounds:
                draw_interval(ax, places[n_shown:], bounds, color, interval)
        label_time(ax, time, places, with_labels=True)
        if len(names) > 1:
            ax.set_title(f"Series {names[position]!s}", loc="left")
        ax.grid(alpha=0.3)
        ax.legend(frameon=False)
        return ax

    @property
    def _settings(self):
        return self.id_col, self.time_col, self.freq, self.gaps

    def _cut(self, series):
        """The windows of series, and all horizons of their targets: those that are observed."""
        known: Any = list(self.known) or None
        target = self.target
        if are_positions(self.known):
            series, known = split_columns(series, self.known)
            target = columns_left(target, self.known, series)
        else:
            check_names(self.known, series)
        cut = cut_windows(
            series,
            self.window,
            range(1, int(self.horizon) + 1),
            1,
            target,
            known=known,
            static=list(self.static) or None,
            id_col=self.id_col,
            time_col=self.time_col,
            freq=self.freq,
            gaps=self.gaps,
        )
        if self._masks_missing and np.isnan(cut.y).any():
            there = ~np.isnan(cut.y).any(axis=1)
            cut = cut._replace(X=cut.X[there], y=cut.y[there])
        return cut

    @property
    def _masks_missing(self):
        if self.estimator is None:
            return self.gaps == "fill"
        given = self.estimator.get_params(deep=True)
        return any(given[name] == "mask" for name in _names_of("missing", given))

    def _fit_windows(self, cut, chosen, clock):
        """Fit to some windows; errors of a fit to the earlier ones on the later say how far to trust it."""
        estimator = self._configured(cut)
        X, y = cut.X, cut.y[:, 0] if cut.y.shape[1] == 1 else cut.y
        horizon = int(self.horizon)
        times = np.unique(clock.first[chosen])
        n_held = int(np.ceil(self.calibration_fraction * len(times)))
        before = held = chosen[:0]
        if n_held:
            held = chosen[clock.first[chosen] >= times[-n_held]]
            before = chosen[clock.last[chosen] < times[-n_held]]
        scores, shares = {}, WITHOUT_DRIFT if n_held else ALL
        if len(before) >= max(10, len(held)):
            earlier = clone(estimator).fit(X[before], y[before])
            later = X[held] if held.size * X[0].size > _FEW else np.asarray(X[held])
            if can_be_shared(earlier):
                unit = _naive_scales(cut, held, season=1)
                shares = fit_shares(earlier, later, y[held], horizon, unit, n_held)
                earlier = lean(earlier, shares)
            found = interval_scores(earlier, later, y[held], horizon)
            scores = {level: np.sort(values, axis=None) for level, values in found.items()}
        model, interrupt = estimator, None
        try:
            model.fit(X[chosen], y[chosen])
        except KeyboardInterrupt as caught:
            if not _is_fitted(model):
                raise
            interrupt = caught
        n_held_series = len(np.unique(positions_of(cut.X)[held]))
        if can_be_shared(model):
            return _Fit(lean(model, shares), shares, scores, n_held_series, interrupt)
        return _Fit(model, ALL, scores, n_held_series, interrupt)

    def _configured(self, cut):
        """A clone of the estimator that knows which features are the series' own, and which targets."""
        if self.estimator is None:
            estimator = _default_estimator("mask" if self._masks_missing else "error")
        else:
            estimator = clone(self.estimator)
        n_of_series = cut.panel.rows()[0].shape[1]
        has_others = cut.X.shape[2] > n_of_series
        wanted = {"window_scaling": self.window_scaling}
        if self.window_scaling is not None:
            wanted["window_features"] = list(range(n_of_series)) if has_others else None
            wanted["target_features"] = cut.target_columns
        if isinstance(self.random_state, np.random.RandomState):
            # One seed for this fit and the one that it is calibrated by.
            wanted["random_state"] = self.random_state.randint(np.iinfo(np.int32).max)
        elif self.random_state is not None:
            wanted["random_state"] = self.random_state
        given = estimator.get_params(deep=True)
        self._check_estimator(estimator, given)
        for parameter, value in wanted.items():
            estimator.set_params(**dict.fromkeys(_names_of(parameter, given), value))
        return estimator

    def _check_estimator(self, estimator, given):
        if not _names_of("target_features", given):
            raise TypeError(
                "estimator must be an LSTMRegressor, or a Pipeline, TransformedTargetRegressor or search "
                f"around one, got {estimator!r}."
            )
        scalings = {given[name] for name in _names_of("window_scaling", given)}
        odd = scalings - {None, self.window_scaling}
        if odd:
            raise ValueError(
                f"window_scaling={self.window_scaling!r}, but the estimator has {odd.pop()!r}: set it in "
                "the forecaster, which passes it on."
            )

    def _widening(self, interval):
        """That of the last fit."""
        return _widening_of(interval, self.calibration_scores_, self._n_calibrating)

    def _forecast(self, series, steps, interval, known):
        check_is_fitted(self, "model_")
        if self.known and known is None:
            what = "an array" if are_positions(self.known) else "a DataFrame"
            raise ValueError(
                f"The features {list(self.known)} are known in advance: pass {what} of them, with "
                f"{'a row for each' if are_positions(self.known) else 'the times'} of the steps to "
                "forecast, as known."
            )
        if known is not None and not self.known:
            raise ValueError(
                "The forecaster was fitted without known features: name their columns in its parameter "
                "known, or pass none."
            )
        series = self.series_ if series is None else series
        steps = self.horizon if steps is None else int(steps)
        if are_positions(self.known):
            series, past = split_columns(series, self.known)
            known = add_future(
                past, known, -(-steps // self.horizon) * self.horizon, _why(steps, self)
            )
        return continue_series(
            self.model_,
            series,
            steps,
            known=known,
            static=list(self.static) or None,
            horizon=range(1, int(self.horizon) + 1),
            interval=interval,
            n_paths=_N_PATHS,
            random_state=self.random_state,
            settings=self._settings,
            widening=self._widening(interval),
        )

    def _evaluate(self, cut, chosen, model, season, interval, widening=1.0):
        """Forecast from some windows, and compare."""
        horizon = int(self.horizon)
        results = predict_windows(model, cut.X[chosen], horizon, interval, widening)
        n_targets = results[0].shape[2]
        actual = cut.y[chosen].reshape(len(chosen), horizon, n_targets)
        of_series, origins = positions_of(cut.X)[chosen], steps_before(cut.X)[chosen]
        naive = {}
        for position in np.unique(of_series):
            rows = np.flatnonzero(of_series == position)
            values = cut.targets[position].reshape(-1, n_targets)
            for name, found in naive_forecasts(values, origins[rows], horizon, season).items():
                naive.setdefault(name, np.empty(actual.shape, found.dtype))[rows] = found
        lower, upper = results[1:] if interval is not None else (None, None)
        return Backtest(
            actual,
            (results[0], lower, upper),
            naive,
            scale=_naive_scales(cut, chosen, season),
            series=cut.X.series[chosen],
            time=cut.X[chosen].time,
            interval=interval,
            season=season,
        )


class _Fit(NamedTuple):
    """A fitted model, and what held-out errors say of it."""

    model: Estimator
    shares: Shares
    scores: dict  # as `calibration_scores_`
    n_held_series: int  # that they are of
    interrupt: KeyboardInterrupt | None  # that ended the fit, after an epoch or more


class _Clock(NamedTuple):
    """When the targets of windows are, so that all series can be cut at one time."""

    first: Array  # (n_windows,)
    last: Array  # (n_windows,)


def _widening_of(interval, scores, n_series):
    """By what the model's interval is multiplied, so that it holds as many values as it says.

    That a stretch of one series was calm says nothing of the next; of several it says half as much as
    that it was not.
    """
    if interval is None or not scores:
        return 1.0
    if ONE_DEVIATION in scores:
        level, unit = ONE_DEVIATION, float(ndtri((1 + interval) / 2))
    else:
        level = min(scores, key=lambda known: abs(known - interval))
        unit = 1.0
        if not np.isclose(level, interval, rtol=0, atol=1e-9):
            return 1.0  # of which forecast says that the model does not give it
    errors = scores[level]
    place = int(np.ceil((len(errors) + 1) * interval)) - 1
    wanted = float(errors[min(place, len(errors) - 1)]) / unit
    if wanted < 1:
        return max(wanted**_NARROWING, _NARROWEST) if n_series > 1 else 1.0
    return wanted**_WIDENING


def _why(steps, forecaster):
    return (
        f"{steps} steps are forecast in blocks of horizon={forecaster.horizon}, for which the network reads "
        "known features to the end of the last"
    )


def _is_fitted(model):
    try:
        return hasattr(unwrap(model, "_parameters").network, "n_iter_")
    except NotFittedError:
        return False


def _default_estimator(missing):
    """What serves most series, of any length and with or without a trend (see benchmarks/SERIES.md)."""
    return LSTMRegressor(
        loss="gaussian", highway="all", alpha=0.3, n_iter_no_change=np.inf, missing=missing
    )


def _names_of(parameter, given):
    """Parameters of an estimator, and of those within, that are called so."""
    return [name for name in given if name.split("__")[-1] == parameter]


def _clock_of(cut):
    """The times of targets; of series without times, steps to their ends."""
    if cut.panel.times is not None:
        times = cut.X.time
        return _Clock(times[:, 0], times[:, -1])
    first = steps_before(cut.X) - cut.panel.lengths[positions_of(cut.X)]
    return _Clock(first, first + cut.X.time.shape[1] - 1)


def _naive_scales(cut, chosen, season):
    """What errors of windows are measured in: naive errors of their series before the first of them."""
    of_series, origins = positions_of(cut.X)[chosen], steps_before(cut.X)[chosen]
    parts = [values.reshape(len(values), -1) for values in cut.targets]
    scale = np.empty((len(chosen), parts[0].shape[1]))
    for position in np.unique(of_series):
        rows = np.flatnonzero(of_series == position)
        scale[rows] = naive_scale(parts[position][: origins[rows].min()], season)
    return scale


def _places(panel, position, n_shown, n_steps):
    """Where the last rows of a series and the steps that follow lie on an axis, and their times."""
    last = panel.offsets[position + 1]
    future = panel.future(position, n_steps)
    if future is None:
        time = np.arange(panel.lengths[position] - n_shown, panel.lengths[position] + n_steps)
    else:
        time = as_drawn(np.asarray(panel.times[last - n_shown : last].append(future)))
    return places_of(time, len(time)), time


def _joined(before, after):
    """Series and their continuation, in their form."""
    if is_pandas(before) != is_pandas(after):
        raise TypeError(
            f"The series of fit were of type {type(before).__name__}: pass what follows them in the same "
            f"form, not as {type(after).__name__}."
        )
    if is_pandas(before):
        import pandas as pd

        return pd.concat([before, after], ignore_index=isinstance(before.index, pd.RangeIndex))
    if isinstance(before, dict):
        return before | {
            name: _joined(before[name], values) if name in before else values
            for name, values in after.items()
        }
    if isinstance(before, list | tuple) and before and np.ndim(before[0]) > 0:
        if len(before) != len(after):
            raise ValueError(
                f"fit had a list of {len(before)} series; pass what follows each of them, got {len(after)}."
            )
        return [_joined(first, second) for first, second in zip(before, after, strict=True)]
    return np.concatenate([np.asarray(before), np.asarray(after)])


# For doctest, which looks for the classes of this module by the name of it.
__test__ = {"LSTMForecaster": LSTMForecaster}
