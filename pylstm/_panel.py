"""Series as users have them: one or many; arrays, lists, dicts, DataFrames wide or long.

`read_panel`    any of these, as a `Panel`
`part_series`   the same one by one, each as it came
`give_back`     forecasts in the form in which the series came

pandas is imported by those alone who brought it: what it made is recognised without.
"""

import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_array

from ._times import (
    as_integers,
    filled_times,
    is_time_index,
    quoted,
    read_steps,
    times_after,
)
from ._validation import SERIES_DTYPES, refuse_dates_and_masks

ID_COL, TIME_COL = "unique_id", "ds"


class Panel:
    """One or many series, one after the other.

    Parameters
    ----------
    tables : list of ndarray, Series or DataFrame
        What the rows are read from: one for each series, or one for all.
    offsets : ndarray of int of shape (n_series + 1,)
        The first row of each series, and the number of rows.
    ids : Index or ndarray of shape (n_series,)
        The names of the series.
    form : {"one", "batch", "list", "dict", "long"}
        How they came.
    columns : list or None
        Names of the series' columns, others than those that hold ids, times, known or static features.
    times : pandas.Index or None
        The times of the rows.
    order : ndarray of int of shape (n_rows,) or None
        Rows of the one table in the order of series and times, if it was in another.
    key_columns : tuple of str or None
        Those of a long table that hold ids and times.
    label : str
        What messages call it: "series" or "history".
    """

    def __init__(
        self, tables, offsets, ids, form, columns, times=None, *, order=None, key_columns=None,
        label="series",
    ):  # fmt: skip
        self.tables = tables
        self.offsets = offsets
        self.ids = ids
        self.form = form
        self.columns = columns
        self.times = times
        self.key_columns = key_columns
        self.label = label
        self.frequency = None
        self.filled = None  # (n_rows,): rows that the tables do not have, if there are any
        self._order = order
        self._places = None

    @property
    def n_series(self):
        return len(self.ids)

    @property
    def lengths(self):
        """Time steps of each series."""
        return np.diff(self.offsets)

    @property
    def names(self):
        """Names of the features, as scikit-learn has them: if all columns have one that is text."""
        if self.columns is None or not all(isinstance(column, str) for column in self.columns):
            return None
        return list(self.columns)

    def has_columns(self, columns):
        """Whether the tables have these columns."""
        tables = [table for table in self.tables if is_frame(table)]
        return bool(columns and tables) and set(columns) <= set(tables[0].columns)

    def check_times(self, freq, gaps):
        """Check that the series' times are regular, or fill what is missing."""
        if self.times is None:
            for name, value, default in (("freq", freq, None), ("gaps", gaps, "error")):
                if value != default:
                    raise ValueError(
                        f"{name}={value!r} needs times: an index of dates or periods, or a column of "
                        "them."
                    )
            return
        steps = read_steps(self.times, self.offsets, self.ids, freq, gaps)
        self.frequency = steps.frequency
        if steps.jumps is not None:
            self.times, self._places, self.offsets = filled_times(self.times, self.offsets, steps)
            self.filled = np.ones(self.offsets[-1], bool)
            self.filled[self._places] = False

    def rows(self, columns=None):
        """Rows of numbers, of float32 or float64: 2-D arrays that follow one another, one or one a series."""
        pieces = []
        for position, table in enumerate(self.tables):
            try:
                pieces.append(numbers_of(table, self._columns_of(table, columns), self.label))
            except (TypeError, ValueError) as error:
                if len(self.tables) == 1:
                    raise
                message = f"Series {quoted(self.ids[position])}: {error}"
                raise type(error)(message) from error
        n_features = [piece.shape[1] for piece in pieces]
        if min(n_features) < max(n_features):
            odd = next(i for i, n in enumerate(n_features) if n != n_features[0])
            raise ValueError(
                f"Series {quoted(self.ids[odd])} has {n_features[odd]} features, but series "
                f"{quoted(self.ids[0])} has {n_features[0]}; all must have the same."
            )
        if self._order is not None:
            pieces = [pieces[0][self._order]]
        return pieces if self._places is None else [self.spread(pieces, np.nan)]

    def spread(self, pieces, fill):
        """Rows at their places among those that were missing, which get a value that stands for none."""
        values = np.concatenate(pieces)
        if self._places is None:
            return values
        spread = np.full((self.offsets[-1], *values.shape[1:]), fill, values.dtype)
        spread[self._places] = values
        return spread

    def by_series(self, pieces):
        """Rows as one array for each series, views."""
        if len(pieces) == self.n_series:
            return pieces
        return [pieces[0][a:b] for a, b in zip(self.offsets, self.offsets[1:], strict=False)]

    def parts(self, bounds):
        """Consecutive series, from each bound to the next, as panels of their own that hold numbers alone."""
        pieces = self.rows()
        one_table = len(pieces) < self.n_series
        for first, stop in pairwise(bounds):
            rows = slice(self.offsets[first], self.offsets[stop])
            tables = [pieces[0][rows]] if one_table else pieces[first:stop]
            yield self._of_series(
                slice(first, stop), tables, self.offsets[first : stop + 1] - rows.start, rows
            )

    def each(self):
        """The series one by one, as panels that are what each would be if it were read alone."""
        for part in self.parts(range(self.n_series + 1)):
            if self.form != "long":
                part.form, part.ids = "one", np.arange(1)
            yield part

    def ends(self, positions):
        """Some of the series, for what follows them; of one table only their last rows' times are kept."""
        one_table = len(self.tables) < self.n_series
        tables = [] if one_table else [self.tables[position] for position in positions]
        last = self.offsets[1:][positions] - 1
        return self._of_series(positions, tables, np.arange(len(positions) + 1), last)

    def _of_series(self, which, tables, offsets, rows):
        """Some of the series, with those of their rows that are told."""
        times = None if self.times is None else self.times[rows]
        some = Panel(
            tables, offsets, self.ids[which], self.form, self.columns, times,
            key_columns=self.key_columns, label=self.label,
        )  # fmt: skip
        some.frequency = self.frequency
        some.filled = None if self.filled is None else self.filled[rows]
        return some

    def future(self, position, n_steps):
        """The times of the steps that follow a series; None without times or their frequency."""
        if self.frequency is None:
            return None
        return times_after(self.times[self.offsets[position + 1] - 1], n_steps, self.frequency)

    def futures(self, positions, n_steps):
        """Those that follow several series, one after the other."""
        import pandas as pd

        if self.frequency is None:
            raise ValueError(
                f"The times of the {self.label} follow no frequency, and nothing says which follow "
                "them; pass it as freq."
            )
        codes, last = pd.factorize(self.times.take(self.offsets[1:][positions] - 1))
        after = [times_after(time, n_steps, self.frequency) for time in last]  # most end together
        places = codes[:, np.newaxis] * n_steps + np.arange(n_steps)
        return after[0].append(after[1:]).take(places.ravel())

    def placed(self, arrays):
        """Arrays that have a row for each one of the tables, one array for each series.

        Their rows are put into the order of the panel's; rows that the tables do not have get
        some value.
        """
        if self._order is not None:
            arrays = [arrays[0][self._order]]
        if self._places is not None:
            arrays = [self.spread(arrays, arrays[0][0])]
        return self.by_series(arrays)

    def name_of(self, position):
        """A series, as the beginning of a sentence; the history has no other name."""
        if self.form == "one" or (self.form == "long" and self.n_series == 1):
            return f"The {self.label}"
        return f"Series {quoted(self.ids[position])}"

    def refuse_short(self, needed, why, remedy):
        """Refuse series of fewer steps, by name."""
        short = np.flatnonzero(self.lengths < needed)
        if len(short) == 0:
            return
        message = f"{self.name_of(short[0])} has {self.lengths[short[0]]} steps, but {why}"
        if self.n_series > 1:
            remedy = f"{remedy}, or leave it out"
        if len(short) > 1:
            named = ", ".join(quoted(self.ids[i]) for i in short[:5])
            more = ", ..." if len(short) > 5 else ""
            message += f" ({len(short)} series are too short: {named}{more})"
            remedy = remedy.replace("leave it", "leave them")
        raise ValueError(f"{message}; {remedy}.")

    def _columns_of(self, table, columns):
        return None if not is_frame(table) else (self.columns if columns is None else columns)


# -- reading ---------------------------------------------------------------------------------------


def is_pandas(values):
    """Whether it is a Series or DataFrame of pandas, which need not be there."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(values, pandas.Series | pandas.DataFrame)


def is_frame(values):
    """Whether it is a DataFrame of pandas."""
    return is_pandas(values) and values.ndim == 2


def is_several(values):
    """Whether it is a list of arrays or tables, or of lists that differ in length.

    Nested lists of one length are the rows of one array.
    """
    if isinstance(values, np.ndarray):
        if values.dtype != object or values.ndim != 1:
            return False
    elif not isinstance(values, list | tuple):
        return False
    if all(getattr(value, "ndim", 0) >= 1 for value in values):
        return len(values) > 0
    are_lists = all(isinstance(value, list | tuple | np.ndarray) for value in values)
    return are_lists and len({np.size(value, 0) for value in values}) > 1


def read_panel(
    series, id_col, time_col, freq, gaps, *, without=(), may_be_batch=False, label="series"
):
    """Series in any form, checked.

    Parameters
    ----------
    series : array-like, Series, DataFrame, or list or dict of these, or Panel
        The series. A panel has been read before, and comes back.
    id_col, time_col : str
        Columns of a long DataFrame.
    freq, gaps
        As of `read_steps`.
    without : iterable of str
        Columns that are no features of the series.
    may_be_batch : bool
        Whether an array may have three dimensions, series of one length.
    label : str
        What messages call it.

    Returns
    -------
    panel : Panel
    """
    if isinstance(series, Panel):
        return series
    panel = _read(series, id_col, time_col, without, may_be_batch, label)
    panel.check_times(freq, gaps)
    return panel


def _read(series, id_col, time_col, without, may_be_batch, label):
    columns = list(getattr(series, "columns", ()))
    if not is_pandas(series) and id_col in columns:
        raise TypeError(
            f"A long frame, one with the column {id_col!r}, must be a DataFrame of pandas, got "
            f"{type(series).__name__}; convert it, say with to_pandas()."
        )
    if is_frame(series) and (id_col in columns or time_col in columns):
        return _read_long(series, id_col, time_col, without, label)
    if is_frame(series) and (id_col, time_col) != (ID_COL, TIME_COL):
        missing = id_col if id_col != ID_COL else time_col
        raise ValueError(f"The {label} has no column {missing!r}; its columns are {columns}.")
    if isinstance(series, Mapping):
        return _read_many(series, without, label)
    if is_several(series):
        return _read_many(dict(enumerate(series)), without, label, form="list")
    return _read_one(series, without, may_be_batch, label)


def _read_one(series, without, may_be_batch, label):
    if is_pandas(series):
        columns = _columns(series, without, label)
        times = time_index(series)
    else:
        columns = list(getattr(series, "columns", ())) or None
        times = None
        series = check_array(
            refuse_dates_and_masks(label, series),
            dtype=SERIES_DTYPES,
            ensure_2d=False,
            allow_nd=may_be_batch,
            ensure_all_finite=False,
            ensure_min_samples=0 if may_be_batch and np.ndim(series) == 3 else 1,
            input_name=label,
        )
    if series.ndim > 3:
        raise ValueError(
            f"{label} has {series.ndim} dimensions; expected (n_steps,), (n_steps, n_features) or "
            "(n_series, n_steps, n_features)."
        )
    if series.ndim == 3:
        offsets = np.arange(len(series) + 1) * series.shape[1]
        return Panel(list(series), offsets, np.arange(len(series)), "batch", None, label=label)
    return Panel(
        [series], np.array([0, len(series)]), np.arange(1), "one", columns, times, label=label
    )


def _read_many(series, without, label, form="dict"):
    if len(series) == 0:
        raise ValueError(f"The {label} is an empty {form}; at least one series is required.")
    ids = np.arange(len(series))
    if form == "dict":
        ids = np.empty(len(series), dtype=object)
        for position, name in enumerate(series):  # which may be tuples
            ids[position] = name
    tables = list(series.values())
    # Arrays of numbers are taken as they are: there may be 100,000 of them.
    tables = [
        table
        if is_pandas(table) or (type(table) is np.ndarray and table.dtype.kind in "fiub")
        else np.asarray(refuse_dates_and_masks(label, table))
        for table in tables
    ]
    for name, table in zip(ids, tables, strict=True):
        if table.ndim not in (1, 2) or len(table) == 0:
            raise ValueError(
                f"Series {quoted(name)} must be of shape (n_steps,) or (n_steps, n_features) with at "
                f"least one step, got {table.shape}."
            )
    columns = None
    if all(is_pandas(table) for table in tables):
        columns = _columns(tables[0], without, label)
        for name, table in zip(ids, tables, strict=True):
            of_table = _columns(table, without, label)
            if is_frame(table) != is_frame(tables[0]) or (is_frame(table) and of_table != columns):
                raise ValueError(
                    f"Series {quoted(name)} has the columns {of_table}, but series {quoted(ids[0])} has "
                    f"{columns}; all must have the same, in the same order."
                )
    elif any(is_frame(table) for table in tables):
        raise TypeError(f"The {label} has DataFrames among arrays; all must be of one kind.")
    offsets = np.concatenate([[0], np.cumsum([len(table) for table in tables])])
    times = _times_of_many(tables, ids)
    return Panel(tables, offsets, ids, form, columns, times, label=label)


def _times_of_many(tables, ids):
    """The times of all rows, if all tables have them."""
    indices = [time_index(table) for table in tables]
    has_none = [i for i, index in enumerate(indices) if index is None]
    dated = [i for i, index in enumerate(indices) if index is not None and index.dtype.kind != "i"]
    if not has_none:
        are_numbers = not dated and all(index[0] == 0 and index.step == 1 for index in indices)
        return None if are_numbers else indices[0].append(indices[1:])
    if dated:
        raise ValueError(
            f"Series {quoted(ids[dated[0]])} has an index of times, but series "
            f"{quoted(ids[has_none[0]])} has none; all must have one, or none of them."
        )
    return None


def time_index(table):
    """The index of a table, if it says when its rows were."""
    return table.index if is_pandas(table) and is_time_index(table.index) else None


def _columns(table, without, label):
    """Columns of a table but for some, which must be there; the name of a Series."""
    if not is_frame(table):
        return [table.name]
    columns = list(table.columns)
    kept = [column for column in columns if column not in without]
    if not kept:
        raise ValueError(f"The {label} has no columns but those of known or static features.")
    return kept


def _read_long(frame, id_col, time_col, without, label):
    import pandas as pd

    columns = list(frame.columns)
    if time_col not in columns:
        raise ValueError(
            f"The {label} has the column {id_col!r}, which names series, but no column of times "
            f"{time_col!r}; its columns are {columns}. Pass the right one as time_col."
        )
    if id_col not in columns and id_col != ID_COL:
        raise ValueError(f"The {label} has no column {id_col!r}; its columns are {columns}.")
    if len(frame) == 0:
        raise ValueError(f"The {label} is a DataFrame without rows.")
    kept = [column for column in columns if column not in {id_col, time_col, *without}]
    if not kept:
        raise ValueError(f"The {label} has no columns of numbers; its columns are {columns}.")
    times = pd.Index(frame[time_col])
    ids, offsets, order = pd.RangeIndex(1), np.array([0, len(frame)]), None
    if id_col in columns:
        if frame[id_col].isna().any():
            raise ValueError(f"The {label} has rows without a value in the column {id_col!r}.")
        ids, offsets, order = _in_order(frame[id_col], as_integers(times))
    elif (np.diff(as_integers(times)) < 0).any():
        order = np.argsort(times, kind="stable")
    times = times if order is None else times.take(order)
    keys = id_col if id_col in columns else None, time_col
    return Panel(
        [frame], offsets, ids, "long", kept, times, order=order, key_columns=keys, label=label
    )


def _in_order(names, stamps):
    """Names of series in the order in which they come, offsets, and an order of the rows, if needed."""
    import pandas as pd

    # Where series lie one after the other, as they mostly do, their rows need no table of names.
    values = np.asarray(names)
    is_next = values[1:] != values[:-1]
    heads = np.concatenate([[0], np.flatnonzero(is_next) + 1])
    codes, ids = pd.factorize(names.iloc[heads])
    if len(ids) == len(heads) and not ((stamps[1:] < stamps[:-1]) & ~is_next).any():
        return ids, np.append(heads, len(names)), None
    codes = np.repeat(codes, np.diff(heads, append=len(names)))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(codes))])
    return ids, offsets, np.lexsort((stamps, codes))


def numbers_of(table, columns, label):
    """A table's numbers as a 2-D array of float32 or float64."""
    if isinstance(table, np.ndarray) and table.dtype in SERIES_DTYPES and 0 not in table.shape:
        return table[:, np.newaxis] if table.ndim == 1 else table
    if columns is not None:
        missing = [column for column in columns if column not in table.columns]
        if missing:
            raise ValueError(
                f"The {label} has no column {missing[0]!r}; its columns are {list(table.columns)}."
            )
        _refuse_text(table, columns, label)
        if columns != list(table.columns):
            table = table[columns[0]] if len(columns) == 1 else table[columns]  # one is a view
    values = check_array(
        table, dtype=SERIES_DTYPES, ensure_2d=False, ensure_all_finite=False, input_name=label
    )
    return values[:, np.newaxis] if values.ndim == 1 else values


def _refuse_text(table, columns, label):
    """Refuse columns that hold no numbers, by name."""
    for column, dtype in table.dtypes[columns].items():
        if not _holds_numbers(table[column]):
            raise ValueError(
                f"Column {column!r} of the {label} is of dtype {dtype}: features must be numbers. "
                "Encode it, or leave it out."
            )


def _holds_numbers(column):
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype):
        return True
    if column.dtype.kind != "O":
        return False
    try:
        pd.to_numeric(column)
    except (TypeError, ValueError):
        return False
    return True


class Series(NamedTuple):
    """Series one by one, nothing of whose values is looked at."""

    form: str  # "long", "dict", "list" or "one"
    names: list
    piece: Callable  # of a position: the series as it came; of a long table, its rows
    some: Callable  # of positions: these series, in the form of all


def part_series(series, id_col, time_col):
    """The series of a long DataFrame, dict or list, each by itself; or one that is alone.

    Raises
    ------
    TypeError, ValueError
        If there are none, or if it is a long frame and its columns are not there.
    """
    if isinstance(series, Mapping) or is_several(series):
        return _parts_of_many(series)
    panel = _read(series, id_col, time_col, (), False, "series")
    if panel.form != "long" or id_col not in series.columns:
        return Series("one", [0], lambda position: series, lambda positions: series)
    if series.dtypes[id_col].name == "category":  # else each piece would carry the names of all
        series = series.astype({id_col: series[id_col].cat.categories.dtype})
    offsets, order = panel.offsets.tolist(), panel._order

    def rows(position):
        return slice(*offsets[position : position + 2])

    def some(positions):
        numbers = np.arange(len(series)) if order is None else order
        return series.iloc[np.concatenate([numbers[rows(position)] for position in positions])]

    def piece(position):
        return series.iloc[rows(position) if order is None else order[rows(position)]]

    return Series("long", keys_of(panel.ids), piece, some)


def _parts_of_many(series):
    form = "dict" if isinstance(series, Mapping) else "list"
    values = list(series.values() if form == "dict" else series)
    if not values:
        raise ValueError(f"The series is an empty {form}; at least one series is required.")
    names = list(series) if form == "dict" else list(range(len(values)))

    def some(positions):
        if form == "dict":
            return {names[position]: values[position] for position in positions}
        return [values[position] for position in positions]

    return Series(form, names, values.__getitem__, some)


def keys_of(ids):
    """Names of series as a dict can have them."""
    return [name.item() if isinstance(name, np.generic) else name for name in ids]


def matched(values, panel, label):
    """A list or dict with one value for each series, in their order; None if it is neither."""
    if isinstance(values, Mapping):
        absent = [name for name in panel.ids if name not in values]
        if absent:
            raise ValueError(f"{label} has no series {quoted(absent[0])}.")
        return [values[name] for name in panel.ids]
    if not is_several(values):
        return None
    if panel.form not in ("list", "batch") or len(values) != panel.n_series:
        raise ValueError(
            f"{label} is a list of {len(values)} arrays; it must have one for each series of a list, "
            f"got {panel.n_series} series."
        )
    return list(values)


# -- giving back ------------------------------------------------------------------------------------


def give_back(panel, results, target_columns, combine):
    """Forecasts in the form in which the series came.

    Parameters
    ----------
    panel : Panel
        The series.
    results : list of ndarray of shape (n_series, n_steps, n_targets)
        One, the forecasts; or three, with the bounds of their intervals.
    target_columns : list or None
        The columns of the series that were forecast; None if they are not known.
    combine : callable
        Makes one of the three results of a series.

    Returns
    -------
    forecasts : array, Series, DataFrame, or list or dict of these, or what `combine` makes of them
    """
    n_steps, n_targets = results[0].shape[1:]
    if panel.form == "long":
        return _long_frame(panel, results, target_columns)
    if panel.form == "batch":
        results = [result[..., 0] if n_targets == 1 else result for result in results]
        return results[0] if len(results) == 1 else combine(*results)
    each = []
    for position, table in enumerate(panel.tables):
        of_series = [result[position] for result in results]
        if is_pandas(table):
            index = _index_after(table, panel.future(position, n_steps), n_steps)
            of_series = [_as_table(values, table, index, target_columns) for values in of_series]
        elif n_targets == 1:
            of_series = [values[:, 0] for values in of_series]
        each.append(of_series[0] if len(of_series) == 1 else combine(*of_series))
    if panel.form == "dict":
        return dict(zip(panel.ids, each, strict=True))
    return each if panel.form == "list" else each[0]


def _index_after(table, future, n_steps):
    """The index of the steps that follow a table; numbers if its own says nothing of them."""
    import pandas as pd

    if future is not None:
        return future.rename(table.index.name)
    if isinstance(table.index, pd.DatetimeIndex | pd.PeriodIndex):
        raise ValueError(
            "The times of the history follow no frequency, and nothing says which follow them; pass "
            "it as freq."
        )
    return pd.RangeIndex(len(table), len(table) + n_steps)


def _as_table(values, table, index, columns):
    import pandas as pd

    if is_frame(table) and (columns is not None or values.shape[1] > 1):
        return pd.DataFrame(values, index=index, columns=columns)
    if values.shape[1] > 1:
        return pd.DataFrame(values, index=index)
    name = "forecast" if is_frame(table) else table.name
    return pd.Series(values[:, 0], index=index, name=name)


def _long_frame(panel, results, columns):
    import pandas as pd

    n_series, n_steps, n_targets = results[0].shape
    id_col, time_col = panel.key_columns
    frame = {} if id_col is None else {id_col: panel.ids.repeat(n_steps)}
    frame[time_col] = panel.futures(np.arange(n_series), n_steps)
    if columns is None:
        columns = range(n_targets)
    for name, result in zip(("forecast", "lower", "upper"), results, strict=False):
        for target, column in enumerate(columns):
            title = name if n_targets == 1 else f"{name}_{column}"
            frame[title] = result[:, :, target].ravel()
    return pd.DataFrame(frame)
