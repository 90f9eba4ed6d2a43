"""Columns of arrays that are known in advance: apart from the series, and with what follows.

Of tables names say which columns these are, and times where their future belongs: see `_covariates`.
"""

from collections.abc import Mapping
from numbers import Integral

import numpy as np

from ._panel import is_several
from ._validation import SERIES_DTYPES, as_rows, refuse_dates_and_masks


def are_positions(columns):
    """Whether they are columns by position; names are given otherwise."""
    return len(columns) > 0 and all(isinstance(column, Integral) for column in columns)


def check_names(known, series):
    """Refuse names that are none, or of columns that no series has."""
    if not all(isinstance(column, str) for column in known):
        raise ValueError(f"known must be names or positions of columns, got {list(known)!r}.")
    if known and not any(hasattr(values, "columns") for values in _by_name(series).values()):
        raise ValueError(
            f"known={list(known)!r} are names of columns, which arrays have not: give positions of theirs."
        )


def split_columns(series, known):
    """Arrays without some columns, and these.

    Parameters
    ----------
    series : array-like of shape (n_steps, n_features), or list or dict of these
        The series.
    known : list of int
        Columns by position.

    Returns
    -------
    series, known : ndarray, or list or dict of these
        In the form of `series`.
    """
    parts = {name: _split(values, known) for name, values in _by_name(series).items()}
    own, apart = ({name: pair[i] for name, pair in parts.items()} for i in (0, 1))
    return _in_form_of(series, own), _in_form_of(series, apart)


def columns_left(target, known, own):
    """The columns `target`, as those of series from which the columns `known` are taken: `own`."""
    several = isinstance(target, list | tuple)
    named = target if several else [target]
    if not all(isinstance(column, Integral) for column in named):
        return target
    n_columns = np.shape(next(iter(_by_name(own).values())))[1] + len(known)
    left = np.delete(np.arange(n_columns), [column % n_columns for column in known]).tolist()
    if not all(-n_columns <= p < n_columns and p % n_columns in left for p in named):
        raise ValueError(
            f"target={target!r} must be columns of the series, from 0 to {n_columns - 1}, but for those "
            f"of known={known}."
        )
    places = [left.index(column % n_columns) for column in named]
    return places if several else places[0]


def add_future(past, future, n_needed, why):
    """Known columns of the past and those of the steps that follow, one array for each series.

    Parameters
    ----------
    past : ndarray, or list or dict of these
        As `split_columns` returns them.
    future : array-like, or list or dict of these
        A row for each step that follows; one array holds for all series.
    n_needed : int
        How many of these there must be.
    why : str
        What for, in the error.

    Returns
    -------
    known : ndarray, or list or dict of these
        In the form of `past`.
    """
    before = _by_name(past)
    if isinstance(future, Mapping) or is_several(future):
        after = _by_name(future)
        if type(past) is np.ndarray or isinstance(past, Mapping) != isinstance(future, Mapping):
            raise ValueError(
                "known must be in the form of the series, or one array for all, got a "
                f"{type(future).__name__}."
            )
        absent = [name for name in before if name not in after]
        if absent:
            raise ValueError(f"known has no series {absent[0]!r}.")
    else:
        after = dict.fromkeys(before, future)
    joined = {
        name: np.concatenate([rows, _checked(after[name], rows.shape[1], n_needed, why)])
        for name, rows in before.items()
    }
    return _in_form_of(past, joined)


def _split(values, known):
    if hasattr(values, "columns") or (
        hasattr(values, "index") and not isinstance(values, list | tuple)
    ):
        raise ValueError(
            f"known={known} are columns by position, as arrays have them; of a {type(values).__name__} "
            "name them."
        )
    array = np.asarray(refuse_dates_and_masks("series", values))
    n_columns = array.shape[1] if array.ndim == 2 else 1
    different = {column % n_columns for column in known if -n_columns <= column < n_columns}
    if array.ndim > 2 or not len(known) == len(different) < n_columns:
        raise ValueError(
            f"known={known} must be different columns of the series, and leave one to forecast; got a "
            f"series of shape {array.shape}."
        )
    return np.delete(array, sorted(different), axis=1), array[:, list(known)]


def _checked(future, n_columns, n_needed, why):
    future = as_rows("known", future, SERIES_DTYPES)
    if future.shape[1] != n_columns:
        raise ValueError(
            f"known has {future.shape[1]} columns, but the forecaster was fitted with {n_columns}."
        )
    if len(future) < n_needed:
        raise ValueError(f"known has {len(future)} rows, but {n_needed} are needed: {why}.")
    return future


def _by_name(series):
    if isinstance(series, Mapping):
        return dict(series)
    return dict(enumerate(series)) if is_several(series) else {0: series}


def _in_form_of(series, by_name):
    if isinstance(series, Mapping):
        return by_name
    return list(by_name.values()) if is_several(series) else by_name[0]
