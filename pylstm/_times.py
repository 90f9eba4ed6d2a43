"""Times of the rows of series: their frequency, gaps among them, and the times that follow.

Times are a pandas Index of all rows, one series after the other: dates, periods or integers. pandas is
imported here only for those who brought it.
"""

import warnings
from typing import Any, NamedTuple

import numpy as np

GAPS = ("error", "fill", "ignore")


class Steps(NamedTuple):
    """How the rows of series follow one another in time."""

    frequency: Any  # a pandas offset, or an int; None if it is not known
    jumps: np.ndarray | None  # (n_rows - 1,): time steps to the next row; None if all are 1


def is_time_index(index):
    """Whether an index says when its rows were: dates or periods, or integers in order."""
    import pandas as pd

    if isinstance(index, pd.DatetimeIndex | pd.PeriodIndex):
        return True
    return isinstance(index, pd.RangeIndex) and index.step > 0


def read_steps(times, offsets, ids, freq, gaps):
    """Check the times of series, and find out their frequency.

    Parameters
    ----------
    times : pandas.Index
        The times of all rows, one series after the other.
    offsets : ndarray of int of shape (n_series + 1,)
        The first row of each series, and the number of rows.
    ids : sequence
        The names of the series.
    freq : str, pandas offset, int or None
        The frequency; None infers it.
    gaps : {"error", "fill", "ignore"}
        Whether to refuse steps that are missing, to find them, or not to look.

    Returns
    -------
    steps : Steps

    Raises
    ------
    TypeError
        If the times are neither dates, periods nor integers.
    ValueError
        If a time is missing, given twice, out of order or not of the frequency; if steps are
        missing; if there is no frequency. It names the series and the time.
    """
    name = _Namer(times, offsets, ids)
    stamps = as_integers(times)
    if times.dtype.kind != "i" and stamps.min(initial=0) == np.iinfo(np.int64).min:
        raise ValueError(f"{name.series(int(stamps.argmin()))} has a row without a time.")
    differences = np.diff(stamps)
    borders = offsets[1:-1] - 1
    if len(borders) == len(differences):  # no series has two rows
        return Steps(_frequency(times, offsets, differences[:0], freq), None)
    # As the steps within series, so that all of them can be looked at together.
    differences[borders] = np.delete(
        differences[: len(borders) + 1], borders[borders <= len(borders)]
    )[0]
    _refuse_disorder(differences, name)
    frequency = _frequency(times, offsets, differences, freq)
    if gaps == "ignore":
        return Steps(frequency, None)
    if frequency is None:
        raise ValueError(
            "The times follow no regular frequency"
            + _first_irregularity(differences, name)
            + ". Pass their frequency as freq; or gaps='ignore', to take each row for a time step "
            "whenever it was."
        )
    jumps = _jumps(times, differences, borders, frequency, name)
    if (jumps == 1).all():
        return Steps(frequency, None)
    if gaps == "error":
        _refuse_gaps(times, jumps, frequency, name)
    return Steps(frequency, jumps)


def filled_times(times, offsets, steps):
    """The times of all rows with those between them, and the rows' places among them."""
    places = np.concatenate([[0], np.cumsum(steps.jumps)])
    new_offsets = np.append(places[offsets[:-1]], places[-1] + 1)
    # Whole series at a time, as most of them have no gap.
    parts = []
    for first, end, length in zip(offsets, offsets[1:], np.diff(new_offsets), strict=False):
        part = times[first:end]
        parts.append(part if length == end - first else _range(part[0], length, steps.frequency))
    return parts[0].append(parts[1:]), places, new_offsets


def times_after(last, n_steps, frequency):
    """The `n_steps` times that follow one; None if the frequency is not known."""
    import pandas as pd

    if frequency is None:
        return None
    times = _range(last, n_steps + 1, frequency)
    if isinstance(times, pd.DatetimeIndex) and times[0] > last:  # last is not of the frequency
        return times[:n_steps]
    return times[1:]


class _Namer:
    """Names series and times of rows for messages."""

    def __init__(self, times, offsets, ids):
        self._times, self._offsets, self._ids = times, offsets, ids

    def series(self, row):
        """The series that a row is of, as the beginning of a sentence."""
        if len(self._ids) == 1:
            return "The series"
        return f"Series {quoted(self._ids[self._position(row)])}"

    def time(self, row):
        """The time of a row."""
        return shown(self._times[row])

    def n_series(self, rows):
        """Of how many series rows are."""
        return len(np.unique(self._position(rows)))

    def _position(self, row):
        return np.searchsorted(self._offsets, row, side="right") - 1


def quoted(name):
    """The name of a series as messages show it."""
    return repr(name.item() if isinstance(name, np.generic) else name)


def shown(time):
    """A time as messages show it: dates without the hour at midnight."""
    return str(time).removesuffix(" 00:00:00")


def as_integers(times):
    """Times as int64 that are in the same order."""
    import pandas as pd

    if isinstance(times, pd.DatetimeIndex | pd.PeriodIndex):
        return times.asi8
    if pd.api.types.is_integer_dtype(times.dtype):
        return times.to_numpy(np.int64)
    raise TypeError(
        f"Times must be dates, periods or integers, got {times.dtype}. Convert text with "
        "pandas.to_datetime."
    )


def _refuse_disorder(differences, name):
    """Refuse times that are not increasing within each series."""
    wrong = np.flatnonzero(differences <= 0)
    if len(wrong) == 0:
        return
    row = wrong[0] + 1
    if differences[row - 1] == 0:
        raise ValueError(
            f"{name.series(row)} has more than one row for {name.time(row)}; each time step must "
            "have one."
        )
    raise ValueError(
        f"{name.series(row)} is not in the order of time: {name.time(row)} follows "
        f"{name.time(row - 1)}. Sort it, oldest first, say with sort_index()."
    )


def _frequency(times, offsets, differences, freq):
    """The frequency of times that are in order; None if there is none."""
    import pandas as pd

    if isinstance(times, pd.PeriodIndex):
        if freq is not None and pd.tseries.frequencies.to_offset(freq) != times.freq:
            raise ValueError(f"freq={freq!r}, but the times are periods of {times.freqstr!r}.")
        return times.freq
    if not isinstance(times, pd.DatetimeIndex):
        if freq is None:
            return int(np.gcd.reduce(differences)) or 1
        if not isinstance(freq, int | np.integer) or isinstance(freq, bool) or freq < 1:
            raise ValueError(f"freq must be a positive int for times that are ints, got {freq!r}.")
        return int(freq)
    if freq is not None:
        return pd.tseries.frequencies.to_offset(freq)
    longest = int(np.argmax(np.diff(offsets)))
    of_longest = times[offsets[longest] : offsets[longest + 1]]
    if of_longest.freq is not None:
        return of_longest.freq
    every_time = _dates(np.unique(times.asi8), times)
    found = _inferred(every_time)
    if found is None and len(differences) and (differences == differences[0]).all():
        row = offsets[longest]
        span = times[row + 1] - times[row]
        # Two dates a month apart say nothing of those that follow.
        found = pd.tseries.frequencies.to_offset(span) if span.days < 28 else None
    return found or _inferred(of_longest) or _inferred_between_gaps(every_time)


def _inferred(times):
    """The frequency that pandas infers, if it does."""
    import pandas as pd

    if len(times) < 3:
        return None
    with warnings.catch_warnings():  # of pandas 3 on what its next version will return
        warnings.simplefilter("ignore")
        found = pd.infer_freq(times)
    return None if found is None else pd.tseries.frequencies.to_offset(found)


def _inferred_between_gaps(times):
    """The frequency of the longer part, cut at the widest gap, again and again."""
    while len(times) > 3:
        cut = int(np.argmax(np.diff(times.asi8))) + 1
        times = max(times[:cut], times[cut:], key=len)
        found = _inferred(times)
        if found is not None:
            return found
    return None


def _first_irregularity(differences, name):
    """Where the steps between times first change, for a message."""
    changes = np.flatnonzero(differences != differences[0])
    if len(changes) == 0:
        return ""
    return f", say from {name.time(changes[0])} to {name.time(changes[0] + 1)}"


def _jumps(times, differences, borders, frequency, name):
    """How many time steps each row lies before the next one of its series; 1 at a series' end."""
    import pandas as pd

    if isinstance(times, pd.DatetimeIndex):
        fixed = _as_timedelta(frequency)
        if fixed is not None and (differences == _in_unit_of(times, fixed)).all():
            return np.ones(1, np.int64)
        places = _places(times, frequency)
        if (places < 0).any():
            row = np.flatnonzero(places < 0)[0]
            raise ValueError(
                f"{name.series(row)} has a row for {name.time(row)}, which is none of the times of "
                f"frequency {frequency.freqstr!r}. Pass their frequency as freq; or gaps='ignore', "
                "to take each row for a time step whenever it was."
            )
        jumps = np.diff(places)
    else:
        step = frequency if isinstance(frequency, int) else frequency.n
        odd = np.flatnonzero(differences % step)
        if len(odd):
            raise ValueError(
                f"{name.series(odd[0])} has a row for {name.time(odd[0] + 1)} after "
                f"{name.time(odd[0])}, but times are {step} apart."
            )
        jumps = differences // step
    jumps[borders] = 1
    return jumps


def _as_timedelta(frequency):
    """A frequency as a span of time; None if it has none, as months."""
    import pandas as pd

    try:
        return pd.Timedelta(frequency.nanos, "ns")
    except ValueError:
        return None


def _in_unit_of(times, span):
    """A span of time as the integers of a DatetimeIndex; -1 if they are too coarse."""
    unit = np.timedelta64(1, times.unit)
    return int(span / unit) if span % unit == span * 0 else -1


def _places(times, frequency):
    """The place of each time among all times of the frequency; -1 for those that are none of them."""
    import pandas as pd

    unique = np.unique(times.asi8)  # which takes less memory than a table of them
    dates = _dates(unique, times)
    every = pd.date_range(dates[0], dates[-1], freq=frequency)
    return every.get_indexer(dates)[np.searchsorted(unique, times.asi8)]


def _dates(stamps, times):
    """Integers of a DatetimeIndex as another one."""
    import pandas as pd

    dates = pd.DatetimeIndex(stamps.view(f"M8[{times.unit}]"))
    return dates if times.tz is None else dates.tz_localize("UTC").tz_convert(times.tz)


def _refuse_gaps(times, jumps, frequency, name):
    rows = np.flatnonzero(jumps != 1)
    row = rows[0]
    missing = times_after(times[row], 1, frequency)[0]
    n_missing, n_series = int((jumps[rows] - 1).sum()), name.n_series(rows)
    total = "" if n_missing == 1 else f" ({n_missing} such rows in {n_series} series)"
    raise ValueError(
        f"{name.series(row)} has no row for {shown(missing)}, between {name.time(row)} and "
        f"{name.time(row + 1)}{total}. Complete it; or pass gaps='fill' for rows of NaN, which "
        "missing='mask' takes; or gaps='ignore', to take each row for a time step whenever it was."
    )


def _range(first, n, frequency):
    """`n` times of a frequency, from the first on."""
    import pandas as pd

    if isinstance(first, pd.Period):
        return pd.period_range(first, periods=n, freq=frequency)
    if isinstance(frequency, int):
        return pd.RangeIndex(first, first + n * frequency, frequency)
    return pd.date_range(first, periods=n, freq=frequency).as_unit(first.unit)
