"""The features of series that a forecast is given beside their past: known in advance, and static.

`read_known`    those known in advance, found for the rows of a panel and those that follow
`read_static`   those that each series has once
`feature_names` what they and the series' own are called
"""

from collections.abc import Mapping

import numpy as np

from ._panel import is_frame, is_pandas, is_several, matched, numbers_of, time_index
from ._times import quoted, shown
from ._validation import as_rows


def are_names(columns):
    """Whether it names columns: text, or a list of it."""
    if isinstance(columns, str):
        return True
    is_list = isinstance(columns, list | tuple) and len(columns) > 0
    return is_list and all(isinstance(column, str) for column in columns)


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
        values = np.concatenate([as_rows("known", table, dtype) for table in tables])
        times = tables[0].index.append([table.index for table in tables[1:]])
        lengths = [len(table) for table in tables]
        codes = None if several is None else np.repeat(np.arange(len(tables)), lengths)
        return _ByTime(codes, times, values, panel)
    if panel.filled is not None:
        raise ValueError(
            "gaps='fill' needs known features with times, to find those of the rows that it adds."
        )
    arrays = [
        as_rows("known", table, dtype, allow_nd=may_be_batch and several is None)
        for table in tables
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
    values = _as_dtype([numbers_of(known, columns, "known")], dtype)[0]
    return _ByTime(codes, pd.Index(known[time_col]), values, panel)


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
    index = time_index(table)
    return index is not None and index.dtype.kind == times.dtype.kind


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
        values = numbers_of(static, list(static.columns) if is_frame(static) else None, "static")[
            found
        ]
    elif isinstance(static, Mapping):
        values = np.array(matched(static, panel, "static"))
    else:
        values = static
    values = as_rows("static", values, dtype)
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
