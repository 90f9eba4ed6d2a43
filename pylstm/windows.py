"""From series to what an LSTM is trained on: sliding windows of one, or of many."""

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_array
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from ._covariates import columns_of, feature_names, read_known, read_static
from ._lazy_windows import Layout, Rows, Windows, windows_of
from ._panel import ID_COL, TIME_COL, Panel, is_several, matched, read_panel
from ._times import GAPS
from ._typing import Array
from ._validation import POSITIVE_INTEGER, check_horizon, refuse_masks

__all__ = ["Windows", "sliding_windows"]


@validate_params(
    {
        "window": [POSITIVE_INTEGER],
        "horizon": [Interval(Integral, 0, None, closed="left"), "array-like"],
        "step": [POSITIVE_INTEGER],
        "id_col": [str],
        "time_col": [str],
        "gaps": [StrOptions(set(GAPS))],
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
    static: Any = None,
    id_col: str = ID_COL,
    time_col: str = TIME_COL,
    freq: Any = None,
    gaps: str = "error",
) -> tuple[Any, Array]:
    """Cut one or many series into overlapping windows and the values that follow them.

    Parameters
    ----------
    series : array-like, Series, DataFrame, or list or dict of these
        One series, of shape (n_steps,) or (n_steps, n_features): one row per time step, oldest first.
        Or many, of any lengths, with the same features:

        - a list of arrays, Series or DataFrames, or of lists of different lengths (nested lists of one
          length are the rows of one series), or a dict of them by name;
        - a long DataFrame, with a row for each series and time: the columns `id_col`, which names
          the series, and `time_col`, in any order of rows; all others are features, but for those
          that `known` and `static` have. Without `id_col` it is one series.

        float32 and float64 are kept, other numbers are converted to float64. NaN and infinity pass:
        the estimator refuses them, or handles them.

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

        - None: every feature of the series; of a long DataFrame with several, the column "y";
        - int or str: one column of the series, by position or by DataFrame column name; a list
          (or tuple) for several columns;
        - an array, Series or DataFrame of shape (n_steps,) or (n_steps, n_targets): values
          for each row of the series, by position, which need not be among its features; for many
          series a list or dict of these. Any dtype, which is kept: class labels as well.

    known : array-like, Series, DataFrame, list or dict of these, or list of str, default=None
        Features whose future is known when a forecast is made: the calendar, planned prices. One
        of these:

        - an array of shape (n_known_steps,) or (n_known_steps, n_known): row t belongs to row t of
          the series; for many series a list or dict of these;
        - tables with an index of times, as the series have, which are matched by time; one of them for
          many series holds for all;
        - a long DataFrame with the column `time_col`, and `id_col` unless it holds for all series,
          matched by series and time;
        - names of columns of the series' own DataFrames.

        Rows after the series' last are not used here, but by :func:`forecast`. Converted to the dtype of
        the series.

        A window then holds them `lead = max(horizon)` steps ahead of the series: `X[i, t]` is
        `[series[i * step + t], known[i * step + t + lead]]`. So the network has read them for
        every step that it forecasts, if the window is not shorter than `lead`. (With `horizon=1`
        this is what the RNNModel of darts does with its future covariates.) Values known only up
        to the window's last step, and those for which the shift does not matter, belong into
        the series.

    static : array-like of shape (n_series,) or (n_series, n_static), DataFrame, dict, or list of str, \
            default=None
        Features that each series has once, and that its windows hold at each step, after all others:
        an array in the order of the series; a DataFrame with the column `id_col`, or with the
        series' names as its index; a dict of numbers or lists by name; or names of columns of a long
        DataFrame that are the same throughout each series.

    id_col : str, default="unique_id"
        The column of a long DataFrame that names the series.

    time_col : str, default="ds"
        The column of a long DataFrame with the times: dates, periods or integers.

    freq : str, pandas offset or int, default=None
        The frequency of the times, such as "MS" (for integers: an int). None infers it. Times are those
        in `time_col`, or in an index of dates or periods.

    gaps : {"error", "fill", "ignore"}, default="error"
        What to do if time steps are missing between the first and the last of a series:

        - "error": refuse them, by series and time;
        - "fill": add rows of NaN, which an estimator with `missing="mask"` takes. Windows whose target
          is such a row are left out;
        - "ignore": take each row for a time step whenever it was, as for prices on trading days.

    Returns
    -------
    X : ndarray of shape (n_windows, window, n_features), or Windows
        The windows, where a series has `(n_steps - window - max(horizon)) // step + 1`: those
        whose target lies within the series. They are read-only. `X[i, t]` is `series[i * step + t]`
        itself, and nothing is copied if the series is a float32 or float64 array. With `known`
        there are `n_features + n_known` features, and the windows are of a single new array
        of them.

        For one array, a view. For series with names or times, that is in a DataFrame, Series, list or
        dict, an array-like :class:`~pylstm.windows.Windows`, as no view can skip what lies between
        two series: `X.series` and `X.time` tell the series and the time of each target,
        `X.feature_names` the features. The series follow one another.

    y : ndarray of shape (n_windows,) or (n_windows, n_horizons * n_targets)
        The targets, a new array; `y[i]` is the target at step `i * step + window - 1 + horizon`.
        One-dimensional for an int `horizon` and a single target: a univariate series, one column
        not in a list, or a 1-D array. Otherwise with one column per horizon and target, all
        targets of the first horizon first: `y.reshape(n_windows, n_horizons, n_targets)`.

    Raises
    ------
    ValueError
        If `window` or `step` is not a positive integer, or `horizon` a negative or no integer (an
        error that is a TypeError as well); if a series is too short for a single window, is
        empty, or has more than two dimensions or complex values; if `target` is not a column of
        the series, or is an array with another number of rows; if a column is not there or holds no
        numbers; if `known` or `static` has no row for a series or time; if series differ in their
        features; if a time is missing, given twice, or out of order. The series is named.
    TypeError
        If the series is a scalar or a sparse matrix, `target` is of an unsupported type, or times are
        neither dates, periods nor integers.

    See Also
    --------
    PanelSplit : Splits windows of many series in the order of time.
    SequenceScaler : Standardises the windows.
    forecast : Forecasts beyond the end of the series.

    Notes
    -----
    The window from which to forecast beyond the end of the series has no target yet, and so is
    not in `X`: it is `series[-window:]`. :func:`forecast` forecasts from it, and step by step from
    its own forecasts.

    Neighbouring windows overlap. Split them in order: :class:`PanelSplit` does so for series in tables,
    lists and dicts; for an array :class:`~sklearn.model_selection.TimeSeriesSplit`, with
    `gap=max(horizon) - 1` (at `step=1`), so that no target of the training set lies beyond the first
    test window, as in a real forecast. With `gap=window + max(horizon) - 1` the two sets share no step
    of the series at all.

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

    Many series:

    >>> shops = {"north": np.arange(5.0), "south": np.arange(10.0, 14.0)}
    >>> X, y = sliding_windows(shops, window=3, static={"north": 1, "south": 2})
    >>> X
    <Windows of shape (3, 3, 2) of 2 series>
    >>> X[-1]
    array([[10.,  2.],
           [11.,  2.],
           [12.,  2.]])
    >>> X.series, X.time, y
    (array(['north', 'north', 'south'], dtype=object), array([3, 4, 3]), array([ 3.,  4., 13.]))
    """
    options = {"id_col": id_col, "time_col": time_col, "freq": freq, "gaps": gaps}
    cut = cut_windows(series, window, horizon, step, target, known=known, static=static, **options)
    is_plain = cut.panel.form == "one" and cut.panel.columns is None
    return np.asarray(cut.X) if is_plain else cut.X, cut.y


class Cut(NamedTuple):
    """Windows of series, the values that follow them, and what they were cut from."""

    X: Windows
    y: Array
    panel: Panel
    targets: list[Array]  # of each time step, an array (n_steps,) or (n_steps, n_targets) a series
    target_columns: list[int] | None  # positions of the targets among the series' features


def cut_windows(
    series, window, horizon, step, target, *, known, static, id_col, time_col, freq, gaps
):
    """Windows as `sliding_windows` cuts them, of checked parameters, with what they were cut from."""
    window = int(window)  # NumPy integers of few bits would overflow
    horizons = check_horizon(horizon)
    without = [
        *(columns_of(known, id_col, time_col) or ()),
        *(columns_of(static, id_col, time_col) or ()),
    ]
    panel = read_panel(series, id_col, time_col, freq, gaps, without=without)
    furthest = max(horizons) if isinstance(horizons, list) else horizons
    panel.refuse_short(
        window + furthest,
        f"one window of window={window} and a target {furthest} steps ahead need "
        f"{window + furthest}",
        "shorten the window or the horizon",
    )
    pieces = panel.rows()
    targets, target_columns = _select_targets(panel, pieces, target)
    rows, names = _all_features(panel, pieces, known, static, furthest, id_col, time_col)
    layout = Layout.of(
        window, int(step), horizons, panel.offsets, np.asarray(panel.ids), panel.times, names
    )
    y = _after_windows(targets, layout)
    X: Any = windows_of(Rows(rows), layout)
    if panel.filled is not None:
        there = ~_after_windows(panel.by_series([panel.filled]), layout).reshape(len(y), -1).any(
            axis=1
        )
        X, y = X[there], y[there]
    return Cut(X, y, panel, targets, target_columns)


def _all_features(panel, pieces, known, static, lead, id_col, time_col):
    """Return rows of all features, the known ones those of `lead` steps later, and their names."""
    if known is None and static is None:
        return pieces, panel.names
    dtype = np.result_type(*{piece.dtype for piece in pieces})
    n_features = pieces[0].shape[1]
    n_known = n_static = 0
    if known is not None:
        found = read_known(known, panel, dtype, id_col, time_col)
        n_known = found.n_features
    if static is not None:
        of_series = read_static(static, panel, dtype, id_col, time_col)
        n_static = of_series.shape[1]

    rows = np.zeros((panel.offsets[-1], n_features + n_known + n_static), dtype)
    columns = np.split(rows, [n_features, n_features + n_known], axis=1)
    for here, values in zip(panel.by_series([columns[0]]), panel.by_series(pieces), strict=True):
        here[:] = values
    if known is not None:
        for here, values in zip(panel.by_series([columns[1]]), found.of_rows(), strict=True):
            here[: len(here) - lead] = values[lead:]
    if static is not None:
        columns[2][:] = np.repeat(of_series, panel.lengths, axis=0)
    names = feature_names(
        panel,
        columns_of(known, id_col, time_col),
        n_known,
        columns_of(static, id_col, time_col),
        n_static,
        lead,
    )
    if names is not None:  # scikit-learn knows features that all have names, or that have none
        names = [f"x{i}" if name is None else name for i, name in enumerate(names)]
    return [rows], names


def _after_windows(values, layout):
    """Return what arrays, one for each series, hold at the horizons of all windows, as `y` has it."""
    window, step, horizons = layout.window, layout.step, layout.horizons
    horizons = horizons if isinstance(horizons, list) else [horizons]
    shape = layout.first_windows[-1], len(horizons), *values[0].shape[1:]
    result = np.empty(shape, np.result_type(*{of_series.dtype for of_series in values}))
    first = 0
    for of_series, n_windows in zip(values, np.diff(layout.first_windows).tolist(), strict=True):
        for column, horizon in enumerate(horizons):
            begin = window - 1 + horizon
            last = begin + (n_windows - 1) * step
            result[first : first + n_windows, column] = of_series[begin : last + 1 : step]
        first += n_windows
    if isinstance(layout.horizons, list):
        return result.reshape(len(result), -1)
    return result[:, 0]


def _select_targets(panel, pieces, target):
    """Return the target of each time step, an array a series, and its columns if it has some."""
    n_features = pieces[0].shape[1]
    columns = panel.columns or []
    if target is None and panel.form == "long" and n_features > 1:
        target = "y"
    if target is None:
        target = 0 if n_features == 1 else list(range(n_features))
    elif isinstance(target, Mapping) or is_several(target):
        return _placed_targets(matched(target, panel, "target"), panel), None
    # An array without axes is a NumPy integer: a column, not a value for each step.
    elif getattr(target, "shape", ()) != ():
        if len(panel.tables) > 1:
            raise ValueError(
                "target is one array for several series; pass a list or dict of them, or a column."
            )
        return _placed_targets([target], panel), None
    several = isinstance(target, (list, tuple))
    if several and not target:
        raise ValueError("target is empty; name at least one column of the series.")
    named = target if several else [target]
    positions = [_column_index(column, columns, n_features) for column in named]
    index: Any = positions if several else positions[0]
    if several and positions == list(range(n_features)):
        index = slice(None)
    return panel.by_series([piece[:, index] for piece in pieces]), [
        p % n_features for p in positions
    ]


def _placed_targets(arrays, panel):
    """Check arrays of targets that have a row for each one of the tables."""
    checked = []
    for array, table in zip(arrays, panel.tables, strict=True):
        refuse_masks("target", array)
        array = check_array(
            array, dtype=None, ensure_2d=False, ensure_all_finite=False, input_name="target"
        )
        if array.shape[0] != len(table):
            raise ValueError(
                f"target is an array of {array.shape[0]} rows, but the series has {len(table)} "
                "steps; it must have one row for each. Select columns with a list."
            )
        checked.append(array)
    return panel.placed(checked)


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
