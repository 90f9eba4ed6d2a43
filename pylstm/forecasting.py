"""Forecasts beyond the end of a series: step by step or at once, with prediction intervals."""

import copy
from collections.abc import Iterable
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params

from . import core
from ._covariates import are_names, columns_of, feature_names, read_known, read_static
from ._panel import ID_COL, TIME_COL, Panel, give_back, read_panel
from ._times import GAPS
from ._typing import Array, Estimator, RandomState
from ._unwrap import unwrap
from ._validation import POSITIVE_INTEGER, check_horizon, check_same_names

__all__ = ["Forecast", "forecast"]


# The probability of values within one deviation of the mean of a normal distribution.
ONE_DEVIATION = float(2 * ndtr(1) - 1)


class Forecast(NamedTuple):
    """A forecast with the bounds of its prediction interval, all of one shape, and of the history's kind."""

    prediction: Any
    lower: Any
    upper: Any


@validate_params(
    {
        "model": [HasMethods("predict")],
        "steps": [POSITIVE_INTEGER],
        "horizon": [POSITIVE_INTEGER, "array-like"],
        "interval": [Interval(Real, 0, 1, closed="neither"), None],
        "n_paths": [POSITIVE_INTEGER],
        "random_state": ["random_state"],
        "id_col": [str],
        "time_col": [str],
        "gaps": [StrOptions(set(GAPS))],
    },
    prefer_skip_nested_validation=True,
)
def forecast(
    model: Estimator,
    history: Any,
    steps: int,
    *,
    known: Any = None,
    static: Any = None,
    horizon: int | Iterable[int] = 1,
    interval: float | None = None,
    n_paths: int = 1000,
    random_state: RandomState = None,
    id_col: str = ID_COL,
    time_col: str = TIME_COL,
    freq: Any = None,
    gaps: str = "error",
) -> Any:
    """Forecast one or many series beyond their end.

    A model that was fitted to the windows of series, see :func:`sliding_windows`, predicts what
    follows a window; what follows the last one of all is the forecast. For more steps than the
    model was fitted to, its forecasts are appended to the series, and it goes on from there (the
    recursive strategy); a model fitted to several horizons forecasts as many steps at once (the
    direct strategy) [1]_.

    Parameters
    ----------
    model : estimator
        A fitted :class:`LSTMRegressor`, a Pipeline that ends in one, or a
        TransformedTargetRegressor or a search, say GridSearchCV, around these.

    history : array-like, Series, DataFrame, list or dict of these, or array-like of shape \
            (n_series, n_steps, n_features)
        The series up to now, as given to `sliding_windows`: one or many, one row per time step, oldest
        first, as they were before any transformer of the model. Only the last window of each is
        used, so they need no more rows than that (all of a series is the window if the model was
        fitted to sequences of different lengths). Series that the model has not seen are forecast as
        the others; those that it has seen need not be there.

    steps : int
        How many steps to forecast.

    known : array-like, Series, DataFrame, or list or dict of these, default=None
        The features known in advance, if the model was fitted with some, as given to
        `sliding_windows`, but for names of columns. After the end of each series there must be a row for
        each step to forecast, and for the others of the last block of horizons. An array holds for all
        series of one length, row t belonging to their row t; it may have a leading axis of series.
        Tables with times need no rows for the past if the history has these columns.

    static : array-like of shape (n_series,) or (n_series, n_static), DataFrame, dict, or list of str, \
            default=None
        The static features of these series, if the model was fitted with some.

    horizon : int or array-like of int, default=1
        The horizons that the model was fitted to, as given to `sliding_windows`: 1, or
        `range(1, m + 1)` for a direct forecast of m steps.

    interval : float, default=None
        The probability, between 0 and 1, with which each value shall lie within the prediction
        interval. Needs a model fitted with `loss="gaussian"`; or with `loss=Quantile(...)` and the
        quantiles `(1 - interval) / 2`, 0.5 and `(1 + interval) / 2` among its levels.

    n_paths : int, default=1000
        How many futures to simulate for the intervals of a recursive forecast.

    random_state : int, RandomState instance or None, default=None
        Generates these futures. An int gives the same in every call.

    id_col, time_col, freq, gaps
        As for `sliding_windows`.

    Returns
    -------
    forecast : ndarray, Series, DataFrame, Forecast, or list or dict of these
        In the form of `history`:

        - for an array of shape (steps,) for a single target, otherwise (steps, n_targets), with a
          leading axis of n_series for a three-dimensional `history`;
        - for a Series or DataFrame the same, with the index that follows, and the columns of the
          history if all of them are forecast;
        - for a list or dict a list or dict of the forecasts of each series;
        - for a long DataFrame another, with the columns `id_col`, `time_col` and "forecast" (of
          several targets "forecast_y" and so on), series by series.

        With `interval` each is a named tuple `(prediction, lower, upper)` of such arrays or tables; a long
        DataFrame has the columns "lower" and "upper" as well.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If the model is none of those above.
    ValueError
        If a parameter is invalid (an error that may be a TypeError as well); if a history is
        shorter than a window, or `known` too short; if `horizon` is not 1 to m, or does not divide
        the model's outputs; if `steps` call for a recursive forecast of a model that does not
        forecast all features of the series; if the loss of the model does not give the `interval`,
        or not for that many steps; if the model is stateful; if the history has columns, and the model
        was fitted to others or in another order; whatever `sliding_windows` refuses of series and
        their times; and whatever `predict` refuses, such as a wrong number of features, NaN or infinity.

    See Also
    --------
    sliding_windows : Windows of series and the values that follow them.

    Notes
    -----
    A recursive forecast appends the targets to the series, so they must be its features, as they
    are with `target=None` in `sliding_windows`. Other features can be `known` ones, or the model is
    fitted to as many horizons as there are steps to forecast. A model of m horizons goes on
    in blocks of m steps.

    Many series are forecast in one prediction of the model, and each for itself: the forecast of one does
    not depend on the others, but for the futures of intervals, which `random_state` draws one after the
    other.

    Columns are compared by name if the model was fitted to windows of tables and forecasts from tables.
    Arrays have no names: there the order counts.

    Intervals of the model's first horizons come from a single prediction: with a Gaussian loss they
    are quantiles of the normal distribution, with a Quantile loss the predicted quantiles.

    For intervals of more steps, `n_paths` futures are simulated [2]_: each draws its next rows from
    the normal distributions and goes on from there. The prediction is then the median of the
    futures, and the bounds are their quantiles. (Without `interval`, the forecasts themselves are
    appended, without noise.) This takes a Gaussian loss, as quantiles say nothing of the tails beyond
    them: such a model gives intervals of its own horizons only. The targets of one step are drawn
    independently; the errors of a target at several horizons as one, since what a series gains on its
    forecast it mostly keeps for a while, and as the wider intervals are the safer ones.

    Under a TransformedTargetRegressor all this is done in the units of the transformed target, and
    the results are mapped back. A target transformer must be monotonic, so that quantiles remain
    quantiles; if it is not linear, a mean becomes a median.

    References
    ----------
    .. [1] Ben Taieb, Bontempi, Atiya & Sorjamaa (2012). A review and comparison of strategies for
       multi-step ahead time series forecasting based on the NN5 forecasting competition. Expert
       Systems with Applications 39(8).
    .. [2] Salinas, Flunkert, Gasthaus & Januschowski (2020). DeepAR: probabilistic forecasting with
       autoregressive recurrent networks. International Journal of Forecasting 36(3).

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import LSTMRegressor, sliding_windows
    >>> from pylstm import forecast
    >>> rng = np.random.default_rng(0)
    >>> series = np.sin(np.arange(300) / 5) + 0.1 * rng.normal(size=300)
    >>> X, y = sliding_windows(series, window=20)
    >>> settings = {"hidden_size": 8, "n_iter_no_change": np.inf, "random_state": 0}
    >>> model = LSTMRegressor(loss="gaussian", **settings).fit(X, y)
    >>> forecast(model, series, steps=12).shape
    (12,)
    >>> prediction, lower, upper = forecast(model, series, steps=12, interval=0.9, random_state=0)
    >>> bool(np.all((lower < prediction) & (prediction < upper)))
    True

    Twelve steps at once, from a model fitted to twelve horizons:

    >>> horizon = range(1, 13)
    >>> X, y = sliding_windows(series, window=20, horizon=horizon)
    >>> model = LSTMRegressor(**settings).fit(X, y)
    >>> future = forecast(model, series, steps=12, horizon=horizon)
    >>> bool(np.allclose(future, model.predict(series[np.newaxis, -20:, np.newaxis])[0]))
    True

    Two series, one network:

    >>> shops = {"north": series, "south": series[:200] + 1}
    >>> X, y = sliding_windows(shops, window=20)
    >>> coming = forecast(LSTMRegressor(**settings).fit(X, y), shops, steps=12)
    >>> {name: values.shape for name, values in coming.items()}
    {'north': (12,), 'south': (12,)}
    """
    found = continue_series(
        model,
        history,
        steps,
        known=known,
        static=static,
        horizon=horizon,
        interval=interval,
        n_paths=int(n_paths),
        random_state=random_state,
        settings=(id_col, time_col, freq, gaps),
    )
    return give_back(found.panel, found.results, found.columns, Forecast)


class Continuation(NamedTuple):
    """What follows series, before it is given back in their form."""

    panel: Panel  # the history
    results: list[
        Array
    ]  # (n_series, steps, n_targets): forecasts; with an interval also both bounds
    columns: list | None  # names of the targets, if all columns of the history are


def continue_series(
    model, history, steps, *, known, static, horizon, interval, n_paths, random_state, settings,
    widening=1.0,
):  # fmt: skip
    """Forecast as `forecast` does, of checked parameters.

    Parameters
    ----------
    model, history, steps, known, static, horizon, interval, n_paths, random_state
        As of `forecast`.
    settings : tuple
        Its `id_col`, `time_col`, `freq` and `gaps`.
    widening : float, default=1.0
        By what the model's deviations, or the distances of its quantiles from the median, are multiplied.

    Returns
    -------
    continuation : Continuation
    """
    n_horizons = _count_horizons(horizon)
    network = _Network(model, n_horizons, widening)
    n_blocks = -(-int(steps) // n_horizons)
    window = network.lstm.n_timesteps_
    features = _Features(history, known, static, window, n_horizons * n_blocks, settings)
    panel = features.panel
    features.check_names(getattr(model, "feature_names_in_", None), n_horizons)
    if n_blocks > 1:
        network.check_recursion(features.n_of_series, steps)
    if interval is not None:
        network.check_interval(interval, is_recursive=n_blocks > 1)

    results: Any = None
    rng = check_random_state(random_state)
    # Series of one length at a time, if the window is as long as the series.
    lengths = np.full(panel.n_series, window) if window else panel.lengths
    for length in np.unique(lengths).tolist():
        of_length = np.flatnonzero(lengths == length)
        rows = features.rows(of_length, length, length + (n_blocks - 1) * n_horizons)
        found = _forecast_rows(network, rows, length, n_blocks, interval, n_paths, rng)
        if results is None:
            results = np.empty((len(found), panel.n_series, *found.shape[2:]), found.dtype)
        results[:, of_length] = found
    columns = panel.columns if network.n_targets == features.n_of_series else None
    return Continuation(panel, list(results[:, :, :steps]), columns)


def interval_scores(model, windows, y, n_horizons):
    """How far values lie from what is predicted, in units of the model's own intervals.

    Parameters
    ----------
    model : estimator
        Fitted to the horizons 1 to `n_horizons`.
    windows : ndarray or Windows of shape (n_windows, n_timesteps, n_features)
        Windows that it was not fitted to.
    y : ndarray of shape (n_windows, n_horizons * n_targets)
        The values that follow them.
    n_horizons : int
        How many.

    Returns
    -------
    scores : dict of float to ndarray of shape (n_windows, n_horizons, n_targets)
        By the probability of the interval, distances from the prediction as multiples of that from there
        to the bound on the same side. Of a Gaussian model those for one deviation say everything; of
        quantiles there is an entry for each pair; of other models there is none.
    """
    network = _Network(model, n_horizons)
    y = y.reshape(len(y), n_horizons, network.n_targets)
    scores = {}
    for interval in network.intervals():
        prediction, lower, upper = network.predict_interval(windows, interval)
        distance = np.where(y < prediction, prediction - lower, upper - prediction)
        tiny = np.finfo(distance.dtype).tiny
        scores[interval] = np.abs(y - prediction) / np.maximum(distance, tiny)
    return scores


def _forecast_rows(network, rows, window, n_blocks, interval, n_paths, rng):
    """Forecasts of series of one length, (1 or 3, n_series, n_steps, n_targets)."""
    n_horizons = network.n_horizons
    if interval is None:
        return _recurse(network.predict, rows, window, n_horizons)[np.newaxis]
    results = np.stack(network.predict_interval(rows[:, :window], interval))
    if n_blocks == 1:
        return results
    # The intervals of the first block are exact; those after it are of simulated futures.
    simulated = [
        _simulate(network, series, window, n_horizons, interval, n_paths, rng) for series in rows
    ]
    return np.concatenate([results, np.stack(simulated, axis=1)], axis=2)


def predict_windows(model, windows, n_horizons, interval=None, widening=1.0):
    """Predict what follows windows: a list of (n_windows, n_horizons, n_targets), of one or three."""
    network = _Network(model, n_horizons, widening)
    if interval is None:
        return [network.predict(windows)]
    network.check_interval(interval, is_recursive=False)
    return list(network.predict_interval(windows, interval))


class _Features:
    """What the model reads of series: their own features, known and static ones."""

    def __init__(self, history, known, static, window, n_after, settings):
        id_col, time_col, *_ = settings
        if are_names(known):
            raise ValueError(
                "known names columns of the history, but their values for the steps to be forecast "
                "are needed as well: pass a DataFrame with the times and these columns."
            )
        known_columns = columns_of(known, id_col, time_col)
        static_columns = columns_of(static, id_col, time_col)
        without = [*(known_columns or ()), *(static_columns or ())]
        self.panel = panel = read_panel(
            history, *settings, without=without, may_be_batch=True, label="history"
        )
        panel.refuse_short(
            window or 1,
            f"the model was fitted to windows of {window or 'one or more'}",
            "pass the steps before it as well",
        )
        self._pieces = panel.rows()
        self.dtype = np.result_type(*{piece.dtype for piece in self._pieces})
        self.n_of_series = self._pieces[0].shape[1]
        self._n_after = n_after
        self._known = self._static = None
        if known is not None:
            self._known = read_known(known, panel, self.dtype, id_col, time_col, may_be_batch=True)
            if panel.has_columns(known_columns):
                self._known.add_past(panel.rows(known_columns))
        if static is not None:
            self._static = read_static(static, panel, self.dtype, id_col, time_col)
        self._names = known_columns, static_columns

    def check_names(self, fitted, lead):
        """Refuse other names, or another order of them, than those of the windows in fit."""
        n_known = self._known.n_features if self._known is not None else 0
        n_static = self._static.shape[1] if self._static is not None else 0
        known, static = self._names
        names = feature_names(self.panel, known, n_known, static, n_static, lead)
        check_same_names(names, fitted)

    def rows(self, positions, window, n_rows):
        """The rows that the model reads of some series, as `sliding_windows` makes them.

        They are the last window, and those of later steps, in which the series is still to be
        written: an array (n_series, n_rows, n_features).
        """
        ends = self.panel.offsets[1:][positions]
        if len(self._pieces) == 1:
            last = self._pieces[0][ends[:, np.newaxis] - np.arange(window, 0, -1)]
        else:
            last = np.stack([self._pieces[position][-window:] for position in positions])
        parts = [np.zeros((len(positions), n_rows, self.n_of_series), self.dtype)]
        parts[0][:, :window] = last
        if self._known is not None:
            # As in sliding_windows, they lie the largest horizon ahead.
            parts.append(self._known.around_end(positions, n_rows, self._n_after))
        if self._static is not None:
            parts.append(np.repeat(self._static[positions][:, np.newaxis], n_rows, axis=1))
        return np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0]


class _Network:
    """The LSTM inside a model, between the model's transformers of X and of the target.

    What its methods return has the shape (n_windows, n_horizons, n_targets) and the units of the
    series.
    """

    def __init__(self, model, n_horizons, widening=1.0):
        # Of other wrappers nobody knows what they do to X or to the target.
        unwrapped = unwrap(model, "n_timesteps_", wrappers=("best_estimator_", "regressor_"))
        lstm, self._transformers, self._target_transformers = unwrapped
        if hasattr(lstm, "classes_"):
            raise TypeError(f"A forecast is made by a regressor, got the classifier {lstm!r}.")
        if getattr(lstm, "stateful", False):
            raise ValueError(
                "A model with stateful=True forecasts from its states, not from a window alone: "
                "use predict with initial_state and return_state."
            )
        self.lstm = lstm = copy.copy(lstm)  # of one fit, whatever other threads fit
        self._loss = getattr(lstm, "_loss", None)
        # A network fitted to flattened windows gets them so, and the transformers before it too.
        self._is_flat = lstm.n_features_in_ != lstm._architecture.n_features

        self._widening = widening
        self.n_horizons = n_horizons
        self.n_targets, remainder = divmod(lstm.n_outputs_, n_horizons)
        if remainder:
            raise ValueError(
                f"The model was fitted to {lstm.n_outputs_} targets, which cannot be those of "
                f"{n_horizons} horizons. Pass the horizon from which its targets were made."
            )

    def check_recursion(self, n_features, steps):
        """Refuse to append anything but all features of the series."""
        if self.n_targets == n_features:
            return
        raise ValueError(
            f"The model forecasts {self.n_horizons} step(s) of {self.n_targets} target(s), and "
            f"cannot go on to {steps} steps: the series has {n_features} feature(s), and all of "
            "them, in their order, would have to be forecast. Pass the horizon to which the model "
            "was fitted, such as horizon=range(1, 13); or fit it to all features, or to "
            f"horizon=range(1, {steps + 1}); or pass features that are known in advance as known."
        )

    def check_interval(self, interval, *, is_recursive):
        """Refuse an interval that the model does not give."""
        if isinstance(self._loss, core.Gaussian):
            return
        if isinstance(self._loss, core.Quantile):
            for level in _levels_of(interval):
                self._index_of(level)
            if is_recursive:
                raise ValueError(
                    f"A model of quantiles gives intervals of the {self.n_horizons} step(s) that "
                    "it was fitted to only. For intervals of more steps fit it to as many "
                    "horizons, or use loss='gaussian'."
                )
        else:
            raise ValueError(
                "An interval needs a model fitted with loss='gaussian', or with loss=Quantile(...) "
                f"and the quantiles {_named(_levels_of(interval))}; this one was fitted with "
                f"{self._loss!r}."
            )

    def predict(self, windows):
        """Predict without noise: the mean or the median, as the loss has it."""
        predicted = self._run(windows)
        if self._has_quantile_axis:
            several = len(self._loss.quantiles) > 1
            predicted = predicted[..., self._index_of(0.5) if several else 0]
        return self._to_rows(predicted)

    def predict_interval(self, windows, interval):
        """Predict the median, and the bounds between which a value lies with a probability."""
        if isinstance(self._loss, core.Gaussian):
            mean, std = self._run(windows, return_std=True)
            std = self._widening * std
            quantiles = [mean + float(ndtri(level)) * std for level in _levels_of(interval)]
        else:
            predicted = self._run(windows)
            quantiles = [predicted[..., self._index_of(level)] for level in _levels_of(interval)]
            if self._widening != 1:
                median = quantiles[0]
                quantiles = [median + self._widening * (bound - median) for bound in quantiles]
        prediction, *bounds = [self._to_rows(quantile) for quantile in quantiles]
        # A decreasing transformation of the target makes the upper bound of the lower.
        return prediction, np.minimum(*bounds), np.maximum(*bounds)

    def draw(self, windows, rng):
        """Draw from the predicted normal distributions; a target's errors at all horizons are one."""
        mean, std = self._run(windows, return_std=True)
        errors = np.tile(rng.standard_normal((len(mean), self.n_targets)), self.n_horizons)
        if mean.ndim == 3:  # outputs at all time steps, of which the last count
            errors = errors[:, np.newaxis]
        errors = np.broadcast_to(errors.reshape(errors.shape[: mean.ndim]), mean.shape)
        return self._to_rows(mean + self._widening * std * errors)

    def intervals(self):
        """The intervals that say all of those that the model gives: probabilities."""
        if isinstance(self._loss, core.Gaussian):
            return [ONE_DEVIATION]
        if not isinstance(self._loss, core.Quantile) or not self._has_quantile_axis:
            return []
        levels = [float(level) for level in self._loss.quantiles]
        pairs = [level for level in levels if level < 0.5 and np.isclose(1 - level, levels).any()]
        return [1 - 2 * level for level in pairs] if 0.5 in levels else []

    @property
    def _has_quantile_axis(self):
        return isinstance(self._loss, core.Quantile) and not isinstance(self._loss.quantiles, Real)

    def _index_of(self, level):
        """Return the position of a level among the fitted quantiles."""
        levels = np.atleast_1d(self._loss.quantiles)
        found = np.flatnonzero(np.isclose(levels, level, rtol=0, atol=1e-9))
        if len(found) == 0:
            raise ValueError(
                f"The {level:g} quantile is needed, but the model was fitted with {self._loss!r}."
            )
        return found[0]

    def _run(self, windows, **params):
        """Return what the LSTM predicts, in the units of its own target."""
        X = windows.reshape(len(windows), -1) if self._is_flat else windows
        for transformer in self._transformers:
            X = transformer.transform(X)
        # All rows are time steps: NaNs at the end of a series are no padding.
        lengths = np.full(len(windows), windows.shape[1])
        return self.lstm.predict(X, lengths=lengths, **params)

    def _to_rows(self, predicted):
        for transformer in self._target_transformers:
            columns = predicted.reshape(-1, 1) if predicted.ndim == 1 else predicted
            predicted = np.asarray(transformer.inverse_transform(columns)).reshape(predicted.shape)
        if getattr(self.lstm, "return_sequences", False):
            predicted = predicted[:, -1]
        return predicted.reshape(len(predicted), self.n_horizons, self.n_targets)


def _recurse(predict, rows, window, n_horizons):
    """Predict block by block; each is written into `rows`, for the next to read."""
    blocks = []
    for start in range(0, rows.shape[1] - window + 1, n_horizons):
        end = start + window
        block = predict(rows[:, start:end])
        if end < rows.shape[1]:
            rows[:, end : end + n_horizons, : block.shape[2]] = block
        blocks.append(block)
    return np.concatenate(blocks, axis=1)


def _simulate(network, rows, window, n_horizons, interval, n_paths, rng):
    """Return median and bounds, from the second block on, of simulated futures of one series."""
    paths = np.repeat(rows[np.newaxis], n_paths, axis=0)
    futures = _recurse(lambda windows: network.draw(windows, rng), paths, window, n_horizons)
    return np.quantile(futures[:, n_horizons:], _levels_of(interval), axis=0)


def _levels_of(interval):
    """Return the quantiles that make a prediction and its interval: median, lower, upper."""
    return 0.5, (1 - interval) / 2, (1 + interval) / 2


def _named(levels):
    return ", ".join(f"{level:g}" for level in sorted(levels))


def _count_horizons(horizon):
    """Return m of the horizons 1 to m."""
    horizons = np.atleast_1d(check_horizon(horizon)).tolist()
    if horizons != list(range(1, len(horizons) + 1)):
        raise ValueError(
            "A forecast leaves out no step: horizon must be 1, or, say, "
            f"range(1, {max(2, *horizons) + 1}) if the model was fitted to all of these; got "
            f"{horizon!r}."
        )
    return len(horizons)
