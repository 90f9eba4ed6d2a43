"""Windows of one or many series as an array of which nothing is copied before it is asked for.

No strided view can skip the windows that would cross from one series into the next. So the rows of all
series lie one after the other, a view holds a window from every row on, and numbers pick those that count.
"""

import operator
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.lib.stride_tricks import sliding_window_view

from ._typing import Array, Integers


class Layout(NamedTuple):
    """Where the windows lie in the rows of all series, one series after the other."""

    window: int
    step: int  # rows between the starts of consecutive windows
    horizons: int | list[int]
    offsets: Integers  # (n_series + 1,): the first row of each series; the number of rows
    first_windows: Integers  # (n_series + 1,): the number of each one's first window; of windows
    ids: Array  # (n_series,): their names
    times: Any  # of each row, with a method `take`; None for the number of the row in its series
    names: Array | None  # (n_features,)

    @classmethod
    def of(cls, window, step, horizons, offsets, ids, times, names):
        """The layout of series that are all long enough: of windows whose targets lie within them."""
        furthest = max(horizons) if isinstance(horizons, list) else horizons
        n_windows = (offsets[1:] - offsets[:-1] - window - furthest) // step + 1
        first_windows = np.zeros(len(offsets), np.int64)
        n_windows.cumsum(out=first_windows[1:])
        names = None if names is None else np.asarray(names, dtype=object)
        return cls(window, step, horizons, offsets, first_windows, ids, times, names)


class Rows:
    """Rows of features, in arrays that are joined when that is needed first."""

    def __init__(self, pieces):
        self._pieces = pieces
        self.dtype = np.result_type(*{piece.dtype for piece in pieces})
        self.n_features = pieces[0].shape[1]

    def joined(self):
        """All of them."""
        if len(self._pieces) > 1:
            self._pieces = [np.concatenate(self._pieces)]
        return self._pieces[0]

    def part(self, start, stop, dtype):
        """Some of them in a dtype, with no more copies than these; a view if it is theirs."""
        if len(self._pieces) == 1:
            return np.require(self._pieces[0][start:stop], dtype, ["ALIGNED"])
        part = np.empty((stop - start, self.n_features), dtype)
        first = 0
        for piece in self._pieces:
            here = piece[max(start - first, 0) : max(stop - first, 0)]
            begin = max(first - start, 0)
            part[begin : begin + len(here)] = here
            first += len(piece)
        return part

    def __getstate__(self):
        self.joined()
        return vars(self)


class Windows(NDArrayOperatorsMixin):
    """Windows of one or many series: an array that copies nothing until its numbers are asked for.

    :func:`pylstm.sliding_windows` returns them for series that come in a list, a dict or a DataFrame. They
    can be used wherever an array (n_windows, window, n_features) can, and are read-only. Indexing by
    slices, masks or lists of windows, as `train_test_split` and cross-validation do, gives such
    windows again; the estimators of pylstm read them where they lie; all else, `np.asarray` first,
    makes a plain array of them.

    Attributes
    ----------
    series : ndarray of shape (n_windows,)
        The series that each window is of: the key in a dict, the position in a list, the value
        of the column that names the series.

    time : ndarray of shape (n_windows,) or (n_windows, n_horizons)
        The time of each target, shaped as the windows' `horizon`: what the series' index or time
        column says; for series without, the row's number in its series.

    feature_names : ndarray of shape (n_features,) or None
        Names of the features, if the series came with names: those of its columns; of the known
        features with the steps that they lie ahead, as `"price(t+12)"`; of the static ones. Known and
        static features in arrays are called by their position, as `"x3"`.

    n_series : int
        How many series these windows are of.

    shape, ndim, size, dtype
        As of an array.

    See Also
    --------
    pylstm.sliding_windows : Makes them.
    pylstm.PanelSplit : Splits them in the order of time.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import sliding_windows
    >>> X, y = sliding_windows({"a": np.arange(4.0), "b": np.arange(10.0, 13.0)}, window=2)
    >>> X
    <Windows of shape (3, 2, 1) of 2 series>
    >>> X.series, X.time
    (array(['a', 'a', 'b'], dtype=object), array([2, 3, 2]))
    >>> X[X.series == "b"]
    <Windows of shape (1, 2, 1) of 1 series>
    >>> np.asarray(X)[..., 0]
    array([[ 0.,  1.],
           [ 1.,  2.],
           [10., 11.]])
    """

    ndim = 3

    _rows: Rows
    _layout: Layout
    _numbers: Any  # of these windows among all of the layout: a range as long as that will do
    _first_row: int  # the row of the layout with which `_rows` begin

    def __init__(self):
        raise TypeError(
            "Windows are made by pylstm.sliding_windows, and by selecting some of them."
        )

    # As an array

    @property
    def shape(self) -> tuple[int, int, int]:
        """Windows, time steps, features."""
        return len(self._numbers), self._layout.window, self._rows.n_features

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return int(np.prod(self.shape))

    @property
    def dtype(self) -> np.dtype:
        """The type of the numbers."""
        return self._rows.dtype

    def __len__(self):
        return len(self._numbers)

    def __array__(self, dtype=None, copy=None):
        chosen = self._slice_of_one_series()
        if chosen is None and copy is False:
            raise ValueError("Windows of several series cannot be made an array without a copy.")
        array = self._gathered(starts_of(self)) if chosen is None else every_window(self)[chosen]
        if dtype is not None:
            array = array.astype(dtype, copy=False)
        return array.copy() if copy and chosen is not None else array

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        arrays = [np.asarray(value) if isinstance(value, Windows) else value for value in inputs]
        return getattr(ufunc, method)(*arrays, **options)

    def __getattr__(self, name):
        # What else an array has. A mere question, such as hasattr(X, "iloc"), makes none.
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(np.asarray(self), name)

    def __getitem__(self, key):
        key = key if isinstance(key, tuple) else (key,)
        which, rest = key[:1], key[1:]
        if isinstance(which[0], Integral) and not isinstance(which[0], bool | np.bool_):
            number = operator.index(which[0])
            if not -len(self) <= number < len(self):
                raise IndexError(f"There are {len(self)} windows, and none of number {number}.")
            number %= len(self)
            return np.asarray(self._select(slice(number, number + 1)))[(0, *rest)]
        chosen = self._select(*which) if which else None
        if chosen is None or not all(isinstance(k, slice | int) or k is ... for k in rest):
            return np.asarray(self)[key]
        if all(k is ... or k == slice(None) for k in rest):
            return chosen
        return np.asarray(chosen)[(slice(None), *rest)]

    def _select(self, which):
        """Windows by a slice, a list of numbers or a mask; None if it is none of these."""
        if isinstance(which, slice):
            return self._with(self._numbers[which])
        if which is None or which is ...:
            return None
        which = np.asarray(which)
        if which.ndim != 1:
            return None
        which = which.astype(np.intp) if which.size == 0 else which
        return self._with(self._number_array()[which])

    def _with(self, numbers):
        return windows_of(self._rows, self._layout, numbers, self._first_row)

    def __repr__(self):
        return f"<Windows of shape {self.shape} of {self.n_series} series>"

    # What they are of

    @property
    def n_series(self) -> int:
        """How many series these windows are of."""
        of_series = self._series_positions(self._number_array())
        return int(np.count_nonzero(np.bincount(of_series)))

    @property
    def series(self) -> Array:
        """The series that each window is of."""
        return self._layout.ids[self._series_positions(self._number_array())]

    @property
    def time(self) -> Array:
        """The time of each target."""
        numbers = self._number_array()
        of_series = self._series_positions(numbers)
        last_steps = self._starts_of(numbers, of_series) + self._layout.window - 1
        rows = np.add.outer(last_steps, self._layout.horizons)
        if self._layout.times is not None:
            return np.asarray(self._layout.times.take(rows.ravel())).reshape(rows.shape)
        first = self._layout.offsets[of_series]
        return rows - (first if rows.ndim == 1 else first[:, np.newaxis])

    @property
    def feature_names(self) -> Array | None:
        """Names of the features."""
        return self._layout.names

    def _gathered(self, starts):
        """Windows by their starts, an array of its own."""
        rows, window = self._rows.joined(), self._layout.window
        if not rows.flags.c_contiguous:
            return every_window(self)[starts]
        # The steps of a window lie together: they are copied at once.
        n_features = rows.shape[1]
        stretches = sliding_window_view(rows.reshape(-1), window * n_features)[::n_features]
        return stretches[starts].reshape(-1, window, n_features)

    def _number_array(self):
        if isinstance(self._numbers, range):
            return np.arange(self._numbers.start, self._numbers.stop, self._numbers.step)
        return self._numbers

    def _series_positions(self, numbers):
        """The position of the series that each window is of."""
        return np.searchsorted(self._layout.first_windows, numbers, side="right") - 1

    def _starts_of(self, numbers, of_series):
        """The row of the layout with which each window begins."""
        within = numbers - self._layout.first_windows[of_series]
        return self._layout.offsets[of_series] + within * self._layout.step

    def _slice_of_one_series(self):
        """The windows as a slice of every window, if they lie that evenly; else None."""
        numbers = self._numbers
        if not isinstance(numbers, range) or len(numbers) == 0 or numbers.step < 0:
            return None
        ends = np.array([numbers[0], numbers[-1]])
        of_series = self._series_positions(ends)
        if of_series[0] != of_series[1]:
            return None
        first, last = self._starts_of(ends, of_series) - self._first_row
        return slice(first, last + 1, numbers.step * self._layout.step)


# -- for those who read them where they lie ---------------------------------------------------------


def windows_of(rows: Rows, layout: Layout, numbers: Any = None, first_row: int = 0) -> Windows:
    """Windows, all of the layout or those of some numbers."""
    windows = Windows.__new__(Windows)
    windows._rows, windows._layout, windows._first_row = rows, layout, first_row
    windows._numbers = range(layout.first_windows[-1]) if numbers is None else numbers
    return windows


def starts_of(windows: Windows) -> Integers:
    """The row of each window's first step, and so its number in `every_window`."""
    layout, numbers = windows._layout, windows._numbers
    base = layout.offsets[:-1] - layout.first_windows[:-1] * layout.step - windows._first_row
    starts: Any = windows._number_array() * layout.step
    if isinstance(numbers, range) and numbers.step == 1:  # in the order of series
        borders = layout.first_windows.clip(numbers.start, numbers.stop)
        starts += base.repeat(borders[1:] - borders[:-1])
    else:
        starts += base[windows._series_positions(windows._number_array())]
    return starts


def steps_before(windows: Windows) -> Integers:
    """How many rows of its series come before each window's first target, that of horizon 1."""
    numbers = windows._number_array()
    of_series = windows._series_positions(numbers)
    layout = windows._layout
    return windows._starts_of(numbers, of_series) - layout.offsets[of_series] + layout.window


def positions_of(windows: Windows) -> Integers:
    """The position of the series that each window is of, among all that they were cut from."""
    return windows._series_positions(windows._number_array())


def every_window(windows: Windows) -> Array:
    """A read-only view of the windows from every row on, those across series as well."""
    view = sliding_window_view(windows._rows.joined(), windows._layout.window, axis=0)
    return view.transpose(0, 2, 1)


def converted(windows: Windows, dtype: Any) -> Windows | Array:
    """Windows in a dtype and in one piece, without the rows before the first and after the last.

    A plain array if that is smaller, and if a window is there twice: what belongs to each of the
    two could not be told apart by their row.
    """
    if len(windows) == 0:
        return np.asarray(windows, dtype)
    starts, window = starts_of(windows), windows._layout.window
    first, end = int(starts.min()), int(starts.max()) + window
    is_dense = len(starts) * window > end - first
    has_twice = not isinstance(windows._numbers, range) and len(np.unique(starts)) < len(starts)
    if not is_dense or has_twice:
        return np.asarray(windows, dtype)
    rows = Rows([windows._rows.part(first, end, dtype)])
    return windows_of(rows, windows._layout, windows._numbers, windows._first_row + first)


def rows_read(windows: Windows) -> Array:
    """The rows that a window holds; of all rows if none of them is NaN or infinite."""
    rows = windows._rows.joined()
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(rows.sum()):
            return rows
    starts = starts_of(windows)
    borders = np.zeros(len(rows) + 1, np.int64)
    np.add.at(borders, starts, 1)
    np.add.at(borders, starts + windows._layout.window, -1)
    return rows[np.cumsum(borders[:-1]) > 0]


def hold_out_last(windows: Windows, fraction: float, chosen: Integers) -> tuple[Integers, Integers]:
    """Part windows into those to train on, and the last of each series to validate on.

    Parameters
    ----------
    windows : Windows
        Of one or many series.
    fraction : float
        The share of the windows to hold out, of each series as nearly as can be.
    chosen : ndarray of int
        Numbers of windows.

    Returns
    -------
    train, validation : ndarray of int
        Those of `chosen`, in their order. Windows whose targets reach those held out are in
        neither.
    """
    layout = windows._layout
    numbers = windows._number_array()[chosen]
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    ends = np.searchsorted(ordered, layout.first_windows[1:])
    n_held = np.diff(np.ceil(fraction * ends), prepend=0).astype(int)
    never = np.iinfo(np.int64).max
    first_held = np.where(n_held > 0, np.append(ordered, never)[ends - n_held], never)
    first_held = np.repeat(first_held, np.diff(ends, prepend=0))

    is_held, is_clear = np.empty((2, len(numbers)), bool)
    reach = int(np.ptp(layout.horizons))  # from the first of a window's targets to the last
    is_held[order] = ordered >= first_held
    is_clear[order] = ordered + reach // layout.step < first_held
    if not is_clear.any():
        raise ValueError(
            f"No window is left to train on: of {len(numbers)} windows, "
            f"{np.count_nonzero(is_held)} are held out, and the targets of all others reach "
            "theirs. Decrease validation_fraction, or pass longer series."
        )
    return chosen[is_clear], chosen[is_held]
