"""From a series to what an LSTM is trained on: sliding windows."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, validate_params

from ._typing import Array, Floats
from ._validation import (
    POSITIVE_INTEGER,
    SERIES_DTYPES,
    check_horizon,
    refuse_dates_and_masks,
    refuse_masks,
)

__all__ = ["sliding_windows"]


@validate_params(
    {
        "window": [POSITIVE_INTEGER],
        "horizon": [Interval(Integral, 0, None, closed="left"), "array-like"],
        "step": [POSITIVE_INTEGER],
    },
    prefer_skip_nested_validation=True,
)
def sliding_windows(
    series: Any,
    window: int,
    horizon: int | Iterable[int] = 1,
    step: int = 1,
    target: Any = None,
    *,
    known: Any = None,
) -> tuple[Floats, Array]:
    """Cut a series into overlapping windows and the values that follow them.

    Parameters
    ----------
    series : array-like or DataFrame of shape (n_steps,) or (n_steps, n_features)
        The series, one row per time step, oldest first. float32 and float64 are kept, other
        numbers are converted to float64. NaN and infinity pass: the estimator refuses them, or
        handles them.

    window : int
        Time steps in each window.

    horizon : int or array-like of int, default=1
        How many steps after the window's last step the target lies: 1 is the very next step, and
        0 the last step itself, say for the class of what the window shows. Several horizons, say
        `range(1, 13)`, give the targets of a direct multi-step forecast.

    step : int, default=1
        Time steps between the starts of consecutive windows.

    target : int, str, list of these, or array of n_steps rows, default=None
        What to predict:

        - None: every feature of the series;
        - int or str: one column of the series, by position or by DataFrame column name; a list
          (or tuple) for several columns;
        - an array, Series or DataFrame of shape (n_steps,) or (n_steps, n_targets): values
          for each row of the series, by position, which need not be among its features. Any
          dtype, which is kept: class labels as well.

    known : array-like or DataFrame of shape (n_known_steps,) or (n_known_steps, n_known), \
            default=None
        Features whose future is known when a forecast is made: the calendar, planned prices. Row t
        belongs to row t of the series; rows after the series' last are not used here, but by
        :func:`forecast`. Converted to the dtype of the series.

        A window then holds them `lead = max(horizon)` steps ahead of the series: `X[i, t]` is
        `[series[i * step + t], known[i * step + t + lead]]`. So the network has read them for
        every step that it forecasts, if the window is not shorter than `lead`. (With `horizon=1`
        this is what the RNNModel of darts does with its future covariates.) Values known only up
        to the window's last step, and those for which the shift does not matter, belong into
        the series.

    Returns
    -------
    X : ndarray of shape (n_windows, window, n_features)
        The windows, where `n_windows = (n_steps - window - max(horizon)) // step + 1`: those
        whose target lies within the series. A read-only view: `X[i, t]` is `series[i * step + t]`
        itself, and nothing is copied if the series is a float32 or float64 array. With `known`
        there are `n_features + n_known` features, and the windows are a view of a single new array
        of them.

    y : ndarray of shape (n_windows,) or (n_windows, n_horizons * n_targets)
        The targets, a new array; `y[i]` is the target at step `i * step + window - 1 + horizon`.
        One-dimensional for an int `horizon` and a single target: a univariate series, one column
        not in a list, or a 1-D array. Otherwise with one column per horizon and target, all
        targets of the first horizon first: `y.reshape(n_windows, n_horizons, n_targets)`.

    Raises
    ------
    ValueError
        If `window` or `step` is not a positive integer, or `horizon` a negative or no integer (an
        error that is a TypeError as well); if the series is too short for a single window, is
        empty, or has more than two dimensions or complex values; if `target` is not a column of
        the series, or is an array with another number of rows; if `known` has fewer rows than the
        series.
    TypeError
        If the series is a scalar or a sparse matrix, or `target` is of an unsupported type.

    See Also
    --------
    SequenceScaler : Standardises the windows.
    forecast : Forecasts beyond the end of the series.

    Notes
    -----
    The window from which to forecast beyond the end of the series has no target yet, and so is
    not in `X`: it is `series[-window:]`. :func:`forecast` forecasts from it, and step by step from
    its own forecasts.

    Neighbouring windows overlap. Split them in order, say with
    :class:`~sklearn.model_selection.TimeSeriesSplit`; with `gap=max(horizon) - 1` (at `step=1`) no
    target of the training set lies beyond the first test window, as in a real forecast; with
    `gap=window + max(horizon) - 1` the two sets share no step of the series at all.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import sliding_windows
    >>> X, y = sliding_windows(np.arange(7.0), window=3)
    >>> X.shape
    (4, 3, 1)
    >>> X[..., 0]
    array([[0., 1., 2.],
           [1., 2., 3.],
           [2., 3., 4.],
           [3., 4., 5.]])
    >>> y
    array([3., 4., 5., 6.])

    The next two values after every second window:

    >>> X, y = sliding_windows(np.arange(7.0), window=3, horizon=[1, 2], step=2)
    >>> X[..., 0]
    array([[0., 1., 2.],
           [2., 3., 4.]])
    >>> y
    array([[3., 4.],
           [5., 6.]])

    With the day of the week, which is known for the day to forecast as well:

    >>> day = np.arange(7)
    >>> X, y = sliding_windows(np.arange(7.0) * 10, window=3, known=day)
    >>> X[0]
    array([[ 0.,  1.],
           [10.,  2.],
           [20.,  3.]])
    >>> y[:2]
    array([30., 40.])
    """
    names = list(getattr(series, "columns", ()))
    series = check_array(
        refuse_dates_and_masks("series", series),
        dtype=SERIES_DTYPES,
        ensure_2d=False,
        ensure_all_finite=False,
        input_name="series",
    )
    series = np.expand_dims(series, 1) if series.ndim == 1 else series
    n_steps = series.shape[0]
    window = int(window)  # NumPy integers of few bits would overflow
    horizons = check_horizon(horizon)
    furthest = max(horizons) if isinstance(horizons, list) else horizons
    if n_steps < window + furthest:
        raise ValueError(
            f"The series has {n_steps} steps, but one window of window={window} and a target "
            f"{furthest} steps ahead need {window + furthest}; shorten the window or the horizon."
        )
    target = _select_target(series, names, target)
    rows = series[: n_steps - furthest]
    if known is not None:
        rows = np.hstack([rows, _check_known(known, series)[furthest:n_steps]])

    last_steps = np.arange(window - 1, n_steps - furthest)[::step]
    X = sliding_window_view(rows, window, axis=0)[::step]
    y = target[np.add.outer(last_steps, horizons)]
    if isinstance(horizons, list):
        y = y.reshape(len(last_steps), -1)
    return X.transpose(0, 2, 1), y


def _check_known(known, series):
    """Return the features known in advance, 2-D and in the dtype of the series."""
    known = check_array(
        refuse_dates_and_masks("known", known),
        dtype=series.dtype,
        ensure_2d=False,
        ensure_all_finite=False,
        input_name="known",
    )
    if known.shape[0] < series.shape[0]:
        raise ValueError(
            f"known has {known.shape[0]} rows, but the series has {series.shape[0]} steps; it must "
            "have a row for each, and may have more for the steps that follow."
        )
    return np.expand_dims(known, 1) if known.ndim == 1 else known


def _select_target(series, names, target):
    """Return the target of each time step, of shape (n_steps,) or (n_steps, n_targets).

    `series` is a 2-D array, and `names` the names of its columns, empty if it has none.
    """
    n_steps, n_features = series.shape
    if target is None:
        return series[:, 0] if n_features == 1 else series

    # An array without axes is a NumPy integer: a column, not a value for each step.
    if getattr(target, "shape", ()) != ():
        refuse_masks("target", target)
        target = check_array(
            target, dtype=None, ensure_2d=False, ensure_all_finite=False, input_name="target"
        )
        if target.shape[0] != n_steps:
            raise ValueError(
                f"target is an array of {target.shape[0]} rows, but the series has {n_steps} "
                "steps; it must have one row for each. Select columns with a list."
            )
        return target

    if isinstance(target, (list, tuple)):
        if not target:
            raise ValueError("target is empty; name at least one column of the series.")
        return series[:, [_column_index(column, names, n_features) for column in target]]
    return series[:, _column_index(target, names, n_features)]


def _column_index(column, names, n_features):
    """Return the position of one column, given by its position or its name."""
    if isinstance(column, str):
        if names.count(column) != 1:
            raise ValueError(
                f"target column {column!r} is not the name of one column of the series, which has "
                + (f"the columns {names}." if names else "no column names; use its position.")
            )
        return names.index(column)
    if not isinstance(column, Integral) or isinstance(column, bool):
        raise TypeError(
            "target must be a column's position (int) or name (str), a list of these, or an array "
            f"with one row for each step of the series; got {column!r} of type "
            f"{type(column).__name__}."
        )
    if not -n_features <= column < n_features:
        raise ValueError(f"target column {column} is out of range: the series has {n_features}.")
    return column
