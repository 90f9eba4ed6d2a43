"""Series as users have them: one or many; arrays, lists, dicts, DataFrames wide or long.

`read_panel`    any of these, as a `Panel`
`read_known`    the features known in advance, found for the rows of a panel or those that follow
`read_static`   the features that each series has once

pandas is imported by those alone who brought it: what it made is recognised without.
"""

import sys
from collections.abc import Mapping

import numpy as np
from sklearn.utils import check_array

from ._times import (
    as_integers,
    filled_times,
    is_time_index,
    quoted,
    read_steps,
    shown,
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
            if freq is not None:
                raise ValueError(
                    f"freq={freq!r} needs times: an index of dates or periods, or a column of them."
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
                pieces.append(_numbers(table, self._columns_of(table, columns), self.label))
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


def are_names(columns):
    """Whether it names columns: text, or a list of it."""
    if isinstance(columns, str):
        return True
    is_list = isinstance(columns, list | tuple) and len(columns) > 0
    return is_list and all(isinstance(column, str) for column in columns)


def read_panel(
    series, id_col, time_col, freq, gaps, *, without=(), may_be_batch=False, label="series"
):
    """Series in any form, checked.

    Parameters
    ----------
    series : array-like, Series, DataFrame, or list or dict of these
        The series.
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
    columns = list(getattr(series, "columns", ()))
    if not is_pandas(series) and id_col in columns:
        raise TypeError(
            f"A long frame, one with the column {id_col!r}, must be a DataFrame of pandas, got "
            f"{type(series).__name__}; convert it, say with to_pandas()."
        )
    if is_frame(series) and (id_col in columns or time_col in columns):
        panel = _read_long(series, id_col, time_col, without, label)
    elif is_frame(series) and (id_col, time_col) != (ID_COL, TIME_COL):
        missing = id_col if id_col != ID_COL else time_col
        raise ValueError(f"The {label} has no column {missing!r}; its columns are {columns}.")
    elif isinstance(series, Mapping):
        panel = _read_many(series, without, label)
    elif is_several(series):
        panel = _read_many(dict(enumerate(series)), without, label, form="list")
    else:
        panel = _read_one(series, without, may_be_batch, label)
    panel.check_times(freq, gaps)
    return panel


def _read_one(series, without, may_be_batch, label):
    if is_pandas(series):
        columns = _columns(series, without, label)
        times = _time_index(series)
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
        table if is_pandas(table) or isinstance(table, np.ndarray) else np.asarray(table)
        for table in tables
    ]
    for name, table in series.items():
        if np.ndim(table) not in (1, 2) or len(table) == 0:
            raise ValueError(
                f"Series {quoted(name)} must be of shape (n_steps,) or (n_steps, n_features) with at least "
                f"one step, got {np.shape(table)}."
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
    indices = [_time_index(table) for table in tables]
    has_none = [i for i, index in enumerate(indices) if index is None]
    if not has_none and all(index.dtype == int and index[0] == 0 for index in indices):
        return None  # which are the rows' numbers, too
    if not has_none:
        return indices[0].append(indices[1:])
    dated = [i for i, index in enumerate(indices) if index is not None and index.dtype != int]
    if dated:
        raise ValueError(
            f"Series {quoted(ids[dated[0]])} has an index of times, but series "
            f"{quoted(ids[has_none[0]])} has none; all must have one, or none of them."
        )
    return None


def _time_index(table):
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


def _numbers(table, columns, label):
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
        if len(columns) == len(table.columns):
            selected = table
        else:  # one column is a view
            selected = table[columns[0]] if len(columns) == 1 else table[columns]
    else:
        selected = table
    values = check_array(
        selected, dtype=SERIES_DTYPES, ensure_2d=False, ensure_all_finite=False, input_name=label
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


# -- known and static features ----------------------------------------------------------------------


def columns_of(features, id_col, time_col):
    """The names of known or static features; None if they have none."""
    if features is None:
        return None
    if are_names(features):
        return [features] if isinstance(features, str) else list(features)
    if isinstance(features, Mapping) and features:
        features = next(iter(features.values()))
    elif is_several(features):
        features = features[0]
    if not is_pandas(features):
        return None
    columns = list(features.columns) if is_frame(features) else [features.name]
    columns = [column for column in columns if column not in (id_col, time_col)]
    # Numbers are no names: every DataFrame has them.
    return columns if all(isinstance(column, str) for column in columns) else None


def feature_names(panel, known, n_known, static, n_static, lead):
    """Names of all features of a window; None if the series have none.

    `known` and `static` are their columns, or None, which stands for each of their features as well.
    Known features are named by the steps that they lie ahead: who takes them for features of the
    series finds other names.
    """
    if panel.names is None:
        return None
    ahead = f"(t+{lead})" if lead else ""
    known = [None] * n_known if known is None else [name + ahead for name in known]
    static = [None] * n_static if static is None else static
    return [*panel.names, *known, *static]


class _ByPosition:
    """Known features whose row t belongs to row t of their series."""

    def __init__(self, arrays, panel):
        self._arrays = arrays
        self._panel = panel
        self.n_features = arrays[0].shape[1]

    def of_rows(self):
        """Those of the series' rows, one array for each series."""
        for position, (known, length) in enumerate(
            zip(self._arrays, self._panel.lengths, strict=True)
        ):
            if len(known) < length:
                raise ValueError(
                    f"known has {len(known)} rows, but the series has {length} steps; it must have "
                    "a row for each, and may have more for the steps that follow."
                    + self._which(position)
                )
        return [
            known[:length] for known, length in zip(self._arrays, self._panel.lengths, strict=True)
        ]

    def add_past(self, pieces):
        """Leave the panel's own rows alone: those before its end are there."""

    def around_end(self, positions, n_rows, n_after):
        """The last `n_rows` of each series' rows and the `n_after` steps that follow it."""
        rows = []
        for position in positions:
            known, length = self._arrays[position], self._panel.lengths[position]
            needed = length + n_after
            if len(known) < needed:
                raise ValueError(
                    f"known has {len(known)} rows, but {needed} are needed: {length} for the "
                    f"history and {n_after} for the steps that follow it." + self._which(position)
                )
            rows.append(known[needed - n_rows : needed])
        return np.stack(rows)

    def _which(self, position):
        return "" if self._panel.n_series == 1 else f" ({self._panel.name_of(position)}.)"


class _ByTime:
    """Known features found by series and time."""

    def __init__(self, codes, times, values, panel):
        self._panel = panel
        self._of_each = codes is not None  # or else the same for all series
        self._codes, self._times, self._values = codes, times, values
        self.n_features = values.shape[1]
        self._index()

    def _index(self):
        import pandas as pd

        self._every_time = self._times.unique()
        self._rows = pd.Index(self._keys(self._codes, self._times))
        if self._rows.has_duplicates:
            row = np.flatnonzero(self._rows.duplicated())[0]
            of = f" of series {quoted(self._panel.ids[self._codes[row]])}" if self._of_each else ""
            raise ValueError(f"known has more than one row for {shown(self._times[row])}{of}.")

    def _keys(self, codes, times):
        """A number for each series and time; -1 for times that are not there."""
        places = self._every_time.get_indexer(times).astype(np.int64)
        if not self._of_each:
            return places
        return np.where(places < 0, -1, codes * len(self._every_time) + places)

    def add_past(self, pieces):
        """Take what is not there from the panel's own rows."""
        panel, values = self._panel, np.concatenate(pieces)
        codes = np.repeat(np.arange(panel.n_series), panel.lengths)
        if not self._of_each:
            self._of_each = True
            self._codes = np.repeat(np.arange(panel.n_series), len(self._times))
            self._times = self._times[np.tile(np.arange(len(self._times)), panel.n_series)]
            self._values = np.tile(self._values, (panel.n_series, 1))
            self._index()
        is_new = self._rows.get_indexer(self._keys(codes, panel.times)) < 0
        self._codes = np.concatenate([self._codes, codes[is_new]])
        self._times = self._times.append(panel.times[is_new])
        self._values = np.concatenate([self._values, values[is_new]])
        self._index()

    def of_rows(self):
        """Those of the series' rows, one array for each series."""
        panel = self._panel
        codes = np.repeat(np.arange(panel.n_series), panel.lengths)
        values = self._find(codes, panel.times)
        return panel.by_series([values])

    def around_end(self, positions, n_rows, n_after):
        """The last `n_rows` of each series' rows and the `n_after` steps that follow it."""
        panel = self._panel
        n_before = max(n_rows - n_after, 0)
        ends = panel.offsets[1:][positions]
        past = ends[:, np.newaxis] - np.arange(n_before, 0, -1)
        before = self._find(np.repeat(positions, n_before), panel.times.take(past.ravel()))
        after = panel.futures(positions, n_after)
        after = self._find(np.repeat(positions, n_after), after)
        blocks = [part.reshape(len(positions), -1, self.n_features) for part in (before, after)]
        return np.concatenate(blocks, axis=1)[:, -n_rows:]

    def _find(self, codes, times):
        found = self._rows.get_indexer(self._keys(codes, times))
        if (found < 0).any():
            row = np.flatnonzero(found < 0)[0]
            whose = ""
            if self._of_each and self._panel.n_series > 1:
                whose = f" of series {quoted(self._panel.ids[codes[row]])}"
            raise ValueError(
                f"known has no row for {shown(times[row])}{whose}; it must have one for each time "
                "step of the series, and for those to be forecast."
            )
        return self._values[found]


def read_known(known, panel, dtype, id_col, time_col, *, may_be_batch=False):
    """Known features of a panel, in the dtype of its rows.

    Parameters
    ----------
    known : array-like, Series, DataFrame, list or dict of these, or names of the panel's columns
        The features known in advance: matched by time where both have times, else by position.
    panel : Panel
        The series.
    dtype : dtype
        Of float32 or float64.
    id_col, time_col : str
        Columns of a long DataFrame.
    may_be_batch : bool
        Whether an array may have three dimensions.

    Returns
    -------
    known : _ByPosition or _ByTime
    """
    if are_names(known) and panel.columns is not None:
        columns = columns_of(known, id_col, time_col)
        return _ByPosition(panel.by_series(_as_dtype(panel.rows(columns), dtype)), panel)
    if is_frame(known) and time_col in known.columns:
        return _known_of_long(known, panel, dtype, id_col, time_col)
    several = matched(known, panel, "known")
    tables = [known] if several is None else several
    if panel.times is not None and all(_is_timed_as(table, panel.times) for table in tables):
        values = np.concatenate([_known_array(table, dtype) for table in tables])
        times = tables[0].index.append([table.index for table in tables[1:]])
        lengths = [len(table) for table in tables]
        codes = None if several is None else np.repeat(np.arange(len(tables)), lengths)
        return _ByTime(codes, times, values, panel)
    if panel.filled is not None:
        raise ValueError(
            "gaps='fill' needs known features with times, to find those of the rows that it adds."
        )
    arrays = [
        _known_array(table, dtype, allow_nd=may_be_batch and several is None) for table in tables
    ]
    if several is None:
        arrays = _shared_or_batch(arrays[0], panel)
    return _ByPosition(arrays, panel)


def _known_of_long(known, panel, dtype, id_col, time_col):
    import pandas as pd

    if panel.times is None:
        raise ValueError(
            f"known has times, in the column {time_col!r}, but the {panel.label} has none to find "
            "them by."
        )
    codes = None
    if id_col in known.columns:
        codes = pd.Index(panel.ids).get_indexer(known[id_col])
        known, codes = known[codes >= 0], codes[codes >= 0]
    columns = [column for column in known.columns if column not in (id_col, time_col)]
    if not columns:
        raise ValueError(f"known has no columns but {list(known.columns)}.")
    values = _as_dtype([_numbers(known, columns, "known")], dtype)[0]
    return _ByTime(codes, pd.Index(known[time_col]), values, panel)


def _known_array(known, dtype, *, allow_nd=False):
    known = check_array(
        refuse_dates_and_masks("known", known),
        dtype=dtype,
        ensure_2d=False,
        allow_nd=allow_nd,
        ensure_all_finite=False,
        input_name="known",
    )
    return known[:, np.newaxis] if known.ndim == 1 else known


def _shared_or_batch(known, panel):
    """Known features by position that hold for all series, or that have an axis of series."""
    n_series = panel.n_series
    is_shared = known.ndim == 2 and len(set(panel.lengths.tolist())) == 1
    if is_shared:
        return [known] * n_series
    if known.ndim == 2:
        raise ValueError(
            "known is one array for series of different lengths, and nothing says which of its rows "
            "belong to which of theirs: pass one for each series, or known features with times."
        )
    if known.ndim > 3 or len(known) != n_series:
        raise ValueError(
            f"known has the shape {known.shape}; expected (n_known_steps,), (n_known_steps, "
            f"n_known) or ({n_series}, n_known_steps, n_known)."
        )
    return list(known)


def _is_timed_as(table, times):
    index = _time_index(table)
    return index is not None and index.dtype.kind == times.dtype.kind


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


def _as_dtype(pieces, dtype):
    return [piece.astype(dtype, copy=False) for piece in pieces]


def read_static(static, panel, dtype, id_col, time_col):
    """The static features of each series, (n_series, n_static).

    Parameters
    ----------
    static : array-like of shape (n_series,) or (n_series, n_static), Series or DataFrame, dict, or \
            names of the panel's columns
        Of tables, the rows are found by their column `id_col`, or else by their index.
    panel, dtype, id_col, time_col
        As of `read_known`.

    Returns
    -------
    static : ndarray of shape (n_series, n_static)
    """
    if are_names(static) and panel.columns is not None:
        return _constant_columns(columns_of(static, id_col, time_col), panel, dtype)
    if is_pandas(static):
        if is_frame(static) and id_col in static.columns:
            static = static.set_index(id_col)
        if static.index.has_duplicates:
            twice = static.index[static.index.duplicated()][0]
            raise ValueError(f"static has more than one row for series {quoted(twice)}.")
        found = static.index.get_indexer(panel.ids)
        if (found < 0).any():
            absent = panel.ids[np.flatnonzero(found < 0)[0]]
            raise ValueError(f"static has no row for series {quoted(absent)}.")
        values = _numbers(static, list(static.columns) if is_frame(static) else None, "static")[
            found
        ]
    elif isinstance(static, Mapping):
        values = np.array(matched(static, panel, "static"))
    else:
        values = static
    values = check_array(
        refuse_dates_and_masks("static", values),
        dtype=dtype,
        ensure_2d=False,
        ensure_all_finite=False,
        input_name="static",
    )
    values = values[:, np.newaxis] if values.ndim == 1 else values
    if len(values) != panel.n_series:
        raise ValueError(
            f"static has {len(values)} rows; it must have one for each of the {panel.n_series} series."
        )
    return values


def _constant_columns(columns, panel, dtype):
    rows = panel.by_series(_as_dtype(panel.rows(columns), dtype))
    values = np.stack([np.fmin.reduce(of_series, axis=0) for of_series in rows])  # but for NaN
    for position, of_series in enumerate(rows):
        varies = np.flatnonzero(np.fmax.reduce(of_series, axis=0) > values[position])
        if len(varies):
            raise ValueError(
                f"Static column {columns[varies[0]]!r} is not the same throughout: "
                f"{panel.name_of(position)} has several values of it. What varies is known, or a "
                "feature of the series."
            )
    return values


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
