"""Input checks that estimators, transformers and series share, on top of scikit-learn's."""

from collections.abc import Mapping
from functools import wraps
from numbers import Integral

import numpy as np
from numpy.lib.stride_tricks import as_strided
from sklearn.utils import assert_all_finite, check_array, gen_batches
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_n_features, validate_data

from ._lazy_windows import Windows, converted, rows_read
from ._lengths import check_lengths, is_step

POSITIVE_INTEGER = Interval(Integral, 1, None, closed="left")

# float64 first: scikit-learn converts every other dtype to the first of the list.
SERIES_DTYPES = (np.float64, np.float32)

# Values looked at at a time, so that no temporary array is of the size of X.
_CHUNK_SIZE = 2**20


class ReadsSequences:
    """Mixin: the tags of transformers of sequences, in which values may be missing."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def quiet_about_nan(method):
    """Decorator: no RuntimeWarning for NaN that NumPy takes for the result of an invalid operation.

    R's NA is such a NaN (a signalling one), and arrays from R hold it where a value is missing.
    """

    @wraps(method)
    def quiet(*args, **options):
        with np.errstate(invalid="ignore"):
            return method(*args, **options)

    return quiet


def as_list_of_sequences(X, *, one_feature=False):
    """What holds sequences in another way than as a list of tables, as such a list; else X as it is.

    Parameters
    ----------
    X : array-like
        Sequences of one feature may have one dimension. They may stand in a list, an object array or a
        Series; a table whose cells hold sequences (sktime's and aeon's "nested") has a feature in each
        column, named by it.

    one_feature : bool, default=False
        Whether sequences of one feature are expected. Else those of one length are left as they are: as
        the rows of windows of two dimensions.

    Returns
    -------
    X : list of array-like of shape (n_timesteps_of_sample, n_features), or X

    Raises
    ------
    TypeError, ValueError
        If X is a dict, or if the cells of a row are of different lengths.
    """
    if type(X) is np.ndarray and X.dtype.kind != "O":
        return X
    if isinstance(X, Mapping) and not hasattr(X, "shape"):  # as some sparse arrays have
        raise TypeError(
            "X is a dict, whose keys say nothing of the order of y. Pass its sequences as a list in that "
            "order, list(X.values()), or its columns as a DataFrame."
        )
    if hasattr(X, "iloc"):
        if X.ndim == 1 and _is_object(X.dtype):
            X = list(X)
        elif _has_nested_cells(X):
            return [_table_of_cells(X, row) for row in X.to_numpy()]
        else:
            return X
    if not isinstance(X, list | tuple) and not (isinstance(X, np.ndarray) and X.ndim == 1):
        return X
    if len(X) == 0 or not all(isinstance(x, list | tuple) or np.ndim(x) == 1 for x in X):
        return X
    if not one_feature and len({len(sequence) for sequence in X}) == 1:
        return X
    if not all(map(_is_flat, X)):
        return X
    X = [refuse_dates_and_masks("X", sequence) for sequence in X]
    return [np.asarray(sequence)[:, np.newaxis] for sequence in X]


def _is_flat(sequence):
    if isinstance(sequence, list | tuple):
        return all(np.ndim(value) == 0 for value in sequence)
    return not _is_object(getattr(sequence, "dtype", None)) or all(
        np.ndim(value) == 0 for value in sequence
    )


def _is_object(dtype):
    """Whether values of a dtype, of NumPy or of pandas, may be any objects."""
    return getattr(dtype, "type", None) is np.object_


def _has_nested_cells(table):
    if table.ndim != 2 or 0 in table.shape or not all(map(_is_object, table.dtypes)):
        return False
    return all(np.ndim(cell) == 1 for cell in table.iloc[0])


def _table_of_cells(table, cells):
    lengths = {len(cell) for cell in cells}
    if len(lengths) > 1:
        raise ValueError(
            "All features of a sequence must have the same time steps: X has a row whose cells hold "
            f"{sorted(lengths)} values."
        )
    columns = [refuse_dates_and_masks("X", cell) for cell in cells]
    return type(table)(np.column_stack(columns), columns=table.columns)


def is_list_of_sequences(X):
    """Whether X holds sequences one by one: a list, tuple or object array of 2-D arrays or tables.

    Nested lists count if they differ in length; of one length they are an array of three dimensions.
    """
    if isinstance(X, np.ndarray):
        if X.dtype != object or X.ndim != 1:
            return False
    elif not isinstance(X, (list, tuple)):
        return False
    if {getattr(sample, "ndim", None) for sample in X} == {2}:
        return True
    shapes = [np.shape(sample) if _is_table(sample) else () for sample in X]
    return all(len(shape) == 2 for shape in shapes) and len({shape[0] for shape in shapes}) > 1


def _is_table(sample):
    return hasattr(sample, "shape") or (
        isinstance(sample, (list, tuple)) and all(np.ndim(row) == 1 for row in sample)
    )


def as_rows(name, values, dtype, *, allow_nd=False):
    """Numbers by row, in two dimensions or (`allow_nd`) more; NaN among them may be."""
    values = check_array(
        refuse_dates_and_masks(name, values),
        dtype=dtype,
        ensure_2d=False,
        allow_nd=allow_nd,
        ensure_all_finite=False,
        input_name=name,
    )
    return values[:, np.newaxis] if values.ndim == 1 else values


def is_dask(values):
    """Whether they are a Dask collection, without importing Dask."""
    return hasattr(values, "__dask_graph__")


def refuse_dask(name, values):
    """Refuse Dask collections, which NumPy would fetch whole without a word."""
    if is_dask(values):
        raise TypeError(
            f"{name} is a Dask collection, and this reads what is in memory. "
            "pylstm.dask.DaskLSTMRegressor and DaskLSTMClassifier fit, predict and transform where the "
            f"partitions are; elsewhere pass {name}.compute()."
        )


def refuse_dates_and_masks(name, values):
    """Refuse what NumPy turns into numbers without a word: dates, durations, and what a mask hides.

    Parameters
    ----------
    name : str
        What errors call them.

    values : array-like
        Anything; what is neither passes.

    Returns
    -------
    values : array-like
        The same; an array if they were a list.

    Raises
    ------
    TypeError, ValueError
        If there are dates or durations among the values; if some are masked.
    """
    if values is None or _is_plain(values):
        return values
    refuse_masks(name, values)
    is_pandas = hasattr(values, "iloc")  # whose types of its own are for scikit-learn to convert
    if isinstance(values, list | tuple) or (hasattr(values, "__array__") and not is_pandas):
        values = np.asanyarray(values)
    dtypes = values.dtypes if hasattr(values, "columns") else [getattr(values, "dtype", None)]
    kinds = {getattr(dtype, "kind", "") for dtype in dtypes}
    if kinds & set("mM") or (isinstance(values, np.ndarray) and _has_dates_as_objects(values)):
        raise TypeError(
            f"{name} holds dates or durations (datetime64 or timedelta64), which would be taken for "
            "numbers of nanoseconds or the like. Turn them into numbers that mean something: the "
            "month, the days since the first one."
        )
    return values


def _is_plain(array):
    """Whether it is an array of numbers, as most are: so much is quickly seen."""
    return type(array) is np.ndarray and array.dtype.kind in "fiub"


def _has_dates_as_objects(array):
    return array.dtype == object and any(
        isinstance(value, np.datetime64 | np.timedelta64) for value in array.flat
    )


def refuse_masks(name, values):
    """Refuse masked values, of an array or of arrays in a list: they would be used as they are.

    Dask collections too.
    """
    arrays = values if isinstance(values, list | tuple) else [values]
    for array in arrays:
        refuse_dask(name, array)
    if any(isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array) for array in arrays):
        how = "or leave them out"
        if name == "X":
            how = "with X.filled(np.nan), and set missing='mask', if they are missing"
        raise ValueError(
            f"{name} has masked values, which would be used as if they were not: fill them in, {how}."
        )


def check_same_columns(samples):
    """Refuse tables in one list whose columns have other names, or another order, than the others'."""
    names = list(dict.fromkeys(tuple(getattr(sample, "columns", ())) for sample in samples))
    if len(names) > 1:
        raise ValueError(
            "The feature names should match in all tables of the list X, in the same order: got "
            f"{list(names[0])} and {list(names[1])}."
        )


def refuse_lengths_of_list(lengths):
    """A list of sequences leaves nothing to say of their lengths."""
    if lengths is not None:
        raise ValueError(
            "X is a list of sequences that have lengths of their own: do not pass lengths as well."
        )


def pad_sequences(X, lengths=None):
    """A list of sequences as one array, and their lengths; what is no such list as it is.

    Parameters
    ----------
    X : array-like
        Anything.

    lengths : array-like of int of shape (n_samples,), default=None
        Lengths given by the caller, which only an X that is an array can have.

    Returns
    -------
    X : ndarray of shape (n_samples, longest, n_features), or X
        The samples, with zeros behind their ends.

    lengths : ndarray of int of shape (n_samples,), or `lengths`
        None if the sequences of the list are of one length.

    Raises
    ------
    TypeError, ValueError
        If there are lengths in both, if the samples differ in their features or these features'
        names, or if they hold dates or masked values.
    """
    if not is_list_of_sequences(X):
        return X, lengths
    refuse_lengths_of_list(lengths)
    X = list(X)
    if not all(map(_is_plain, X)):
        check_same_columns(X)
        X = [np.asarray(refuse_dates_and_masks("X", sample)) for sample in X]
    n_features = {sample.shape[1] for sample in X}
    if len(n_features) > 1:
        raise ValueError(
            f"All sequences in X must have the same features, got {sorted(n_features)} of them."
        )
    lengths = np.array([len(sample) for sample in X])
    if lengths.min() == lengths.max():
        return np.array(X), None
    padded = np.zeros((len(X), lengths.max(), n_features.pop()), np.result_type(*X))
    for sample, target in zip(X, padded, strict=True):
        target[: len(sample)] = sample
    return padded, lengths


def pad_targets(y, sequences, lengths=None):
    """A list of targets by time step, of different lengths, as one array; what is none as it is.

    Parameters
    ----------
    y : array-like
        Targets of each time step; a list holds arrays of shape (n_timesteps_of_sample,) or
        (n_timesteps_of_sample, n_targets).

    sequences : ndarray of shape (n_samples, n_timesteps, n_features)
        The sequences they belong to.

    lengths : ndarray of int of shape (n_samples,), default=None
        Their time steps; None means all.

    Returns
    -------
    y : ndarray of shape (n_samples, n_timesteps) or (n_samples, n_timesteps, n_targets), or y
        The targets, with zeros (or empty strings) behind their ends.

    Raises
    ------
    ValueError
        If the targets do not fit together, or the sequences.
    """
    is_array_of_arrays = _is_object(getattr(y, "dtype", None)) and y.ndim == 1  # a Series too
    if not isinstance(y, (list, tuple)) and not is_array_of_arrays:
        return y
    refuse_masks("y", list(y))
    y = [np.asarray(targets) for targets in y]
    n_timesteps = sequences.shape[1]
    is_padded = {targets.shape[:1] for targets in y} == {(n_timesteps,)}
    if lengths is None or is_padded:
        lengths = np.full(len(sequences), n_timesteps)
    fits = [targets.shape[:1] for targets in y] == [(length,) for length in lengths]
    if not fits or len({targets.shape[1:] for targets in y}) > 1:
        raise ValueError(
            "y is a list of targets that do not fit together, or the sequences in X: each must be of "
            "shape (n_timesteps_of_sample,) or (n_timesteps_of_sample, n_targets)."
        )
    shape = (len(y), n_timesteps, *y[0].shape[1:])
    padded = np.zeros(shape, np.result_type(*y))
    for targets, row in zip(y, padded, strict=True):
        row[: len(targets)] = targets
    return padded


def check_sequence_lengths(lengths, sequences, *, allow_nan=False):
    """Lengths as int64, None for None; what the sequences hold up to them must be finite.

    Parameters
    ----------
    lengths : array-like of int of shape (n_samples,) or None
        Time steps of each sample.

    sequences : ndarray of shape (n_samples, n_timesteps, n_features)
        The sequences, not yet checked to be finite if there are lengths.

    allow_nan : bool, default=False
        Whether NaN may be among the values.

    Returns
    -------
    lengths : ndarray of int64 of shape (n_samples,) or None

    Raises
    ------
    TypeError, ValueError
        If the lengths are no integers from 1 to n_timesteps, one for each sample, or a value is
        not finite.
    """
    lengths = check_lengths(lengths, sequences)
    if lengths is None:
        return None
    wrong = np.isinf if allow_nan else lambda values: ~np.isfinite(values)
    for chunk in gen_batches(len(sequences), max(1, _CHUNK_SIZE // sequences[0].size)):
        if wrong(sequences[chunk][is_step(lengths[chunk], sequences.shape[1])]).any():
            raise ValueError(
                "Input X contains infinity before the end of a sequence."
                if allow_nan
                else "Input X contains NaN or infinity before the end of a sequence. With "
                "missing='mask' NaN stands for a missing value."
            )
    return lengths


def lengths_before_padding(sequences):
    """Lengths of sequences that end in time steps of NaNs alone: these are padding.

    Parameters
    ----------
    sequences : ndarray of shape (n_samples, n_timesteps, n_features)
        The sequences.

    Returns
    -------
    lengths : ndarray of int64 of shape (n_samples,) or None
        None if no sequence ends so.

    Raises
    ------
    ValueError
        If a sequence has no other time steps.
    """
    padded = np.flatnonzero(np.isnan(sequences[:, -1]).all(axis=1))
    if len(padded) == 0:
        return None
    n_timesteps = sequences.shape[1]
    lengths = np.full(len(sequences), n_timesteps)
    for chunk in gen_batches(len(padded), max(1, _CHUNK_SIZE // sequences[0].size)):
        rows = padded[chunk]
        is_padding = np.isnan(sequences[rows]).all(axis=2)
        lengths[rows] = n_timesteps - is_padding[:, ::-1].argmin(axis=1)
        if is_padding.all(axis=1).any():
            row = rows[is_padding.all(axis=1)][0]
            raise ValueError(
                f"Input X contains NaN in all time steps of sample {row}: time steps of NaNs at the end "
                "of a sequence are padding, and at least one must come before them."
            )
    return lengths


def check_range(sequences, lengths, dtype, *, allow_nan, estimator):
    """Refuse values that are not finite, or would not be in the network's dtype.

    Parameters
    ----------
    sequences : ndarray of shape (n_samples, n_timesteps, n_features)
        The sequences; known to be finite if there are lengths.

    lengths : ndarray of int64 of shape (n_samples,) or None
        Their time steps.

    dtype : dtype
        The network's.

    allow_nan : bool
        Whether NaN may be among the values.

    estimator : estimator instance
        The estimator that error messages name.
    """
    if isinstance(sequences, Windows) and lengths is None:
        sequences = rows_read(sequences)[:, np.newaxis]
    if lengths is None:
        try:
            assert_all_finite(sequences, allow_nan=allow_nan, input_name="X")
        except ValueError as error:
            if "contains NaN" not in str(error):
                raise
            raise ValueError(
                f"Input X contains NaN. With missing='mask' {type(estimator).__name__} takes NaN for a "
                "missing value; without, only time steps of NaNs alone at a sequence's end, for padding."
            ) from None
    dtype = np.dtype(dtype)
    if sequences.dtype.itemsize <= dtype.itemsize:
        return
    limit = np.finfo(dtype).max
    for chunk in gen_batches(len(sequences), max(1, _CHUNK_SIZE // sequences[0].size)):
        values = np.asarray(sequences[chunk])
        if lengths is not None:
            values = values[is_step(lengths[chunk], sequences.shape[1])]
        # fmin and fmax leave NaN out
        if np.fmin.reduce(values, axis=None) < -limit or np.fmax.reduce(values, axis=None) > limit:
            raise ValueError(f"Input X contains a value too large for {dtype!r}.")


def check_columns(name, columns, n_features):
    """Positions of features, one or several, as a list of ints from 0 on.

    Parameters
    ----------
    name : str
        What errors call them.

    columns : int or array-like of int
        The positions; negative ones count from the last.

    n_features : int
        How many there are.

    Returns
    -------
    columns : list of int

    Raises
    ------
    ValueError
        If they are no such positions.
    """
    array = np.atleast_1d(np.asarray(columns))
    if (
        array.ndim != 1
        or array.dtype.kind not in "iu"
        or array.size == 0
        or array.min() < -n_features
        or array.max() >= n_features
    ):
        raise ValueError(
            f"{name} must be positions of features, integers from 0 to {n_features - 1}, got "
            f"{columns!r}."
        )
    return (array.astype(np.int64) % n_features).tolist()


def aligned(X):
    """X, or a copy of it whose numbers lie where the processor wants them."""
    return X if isinstance(X, Windows) or X.flags.aligned else X.copy()


def as_sequences(X, n_timesteps=None):
    """View validated input as sequences; always a view, never a copy.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns)
        Sequences, or windows flattened in time-major order: all features of the first step,
        then all of the second, as `sequences.reshape(n_samples, -1)` lays them out.

    n_timesteps : int, default=None
        Time steps in each sequence. None takes a 2-D `X` for windows of a univariate series,
        one column per time step, and accepts any number of steps in a 3-D `X`.

    Returns
    -------
    sequences : ndarray of shape (n_samples, n_timesteps, n_features)
        A view of `X`.

    Raises
    ------
    ValueError
        If a 3-D `X` has another number of time steps, or the columns of a 2-D `X` cannot be
        divided into `n_timesteps` steps.
    """
    if X.ndim == 3:
        if n_timesteps is not None and X.shape[1] != n_timesteps:
            raise ValueError(
                f"X has {X.shape[1]} time steps, but n_timesteps={n_timesteps}; set n_timesteps to "
                f"{X.shape[1]}, or to None to take the number of steps from a 3-D X."
            )
        return X

    n_samples, n_columns = X.shape
    if n_timesteps is None:
        n_timesteps = n_columns
    if n_columns % n_timesteps:
        raise ValueError(
            f"X has {n_columns} columns, which cannot be divided into n_timesteps={n_timesteps} "
            "time steps; a 2-D X holds n_timesteps * n_features columns, all features of the first "
            "time step first."
        )
    return X.reshape(n_samples, n_timesteps, n_columns // n_timesteps)


def check_sequences(X, *, estimator, **check_params):
    """`sklearn.utils.check_array` for an `X` of two or of three dimensions, none of them empty.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns)
        The input to check.

    estimator : estimator instance
        The estimator that error messages name.

    **check_params : dict
        Passed on to `check_array`.

    Returns
    -------
    X : ndarray
        The checked and converted input, of the same shape.
    """
    X = refuse_dates_and_masks("X", X)
    rows = _rows_under(X) if check_params.keys() <= {"dtype", "ensure_all_finite"} else None
    check_params |= {"estimator": estimator, "input_name": "X"}
    if rows is not None:
        return _windows_over(check_array(rows, **check_params), X)
    X = check_array(X, allow_nd=True, **check_params)
    if X.ndim > 3:
        raise ValueError(
            f"Found an X of {X.ndim} dimensions; expected (n_samples, n_timesteps, n_features), or "
            "a 2-D X of flattened windows."
        )
    if 0 in X.shape:
        raise ValueError(
            f"Found an X of shape {X.shape}; at least one sample, one time step and one feature "
            "are required."
        )
    return X


def _rows_under(X):
    """The rows that overlapping windows share, a view; None if X is something else."""
    if not isinstance(X, np.ndarray) or X.ndim != 3 or min(X.shape) == 0 or X.strides[1] <= 0:
        return None
    n_samples, n_timesteps, n_features = X.shape
    step, remainder = divmod(X.strides[0], X.strides[1])
    if remainder or not 0 < step < n_timesteps:
        return None
    shape = (n_samples - 1) * step + n_timesteps, n_features
    return as_strided(X, shape, X.strides[1:], writeable=False)


def _windows_over(rows, X):
    """The windows of converted rows that X is of those rows as they were."""
    step = X.strides[0] // X.strides[1]
    return as_strided(rows, X.shape, (step * rows.strides[0], *rows.strides), writeable=False)


def validate_sequences(estimator, X, *, reset, with_names=None, **check_params):
    """`check_sequences`, and scikit-learn's checks of feature names and number of features.

    `n_features_in_` counts the last axis: the columns of a 2-D `X`, as in every scikit-learn
    estimator, and the features, not the time steps, of a 3-D `X`.

    Parameters
    ----------
    estimator : estimator instance
        The estimator that gets, or has, `n_features_in_` and `feature_names_in_`.

    X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns)
        The input to check.

    reset : bool
        Whether to set these attributes, as the first call to `fit` does, or to compare with them.

    with_names : array-like of shape (n_timesteps, n_features), default=None
        One of the sequences, perhaps with names of its features, as X itself had none.

    **check_params : dict
        Passed on to `sklearn.utils.check_array`.

    Returns
    -------
    X : ndarray
        The checked and converted input, of the same shape.
    """
    if isinstance(X, Windows):
        checked = check_windows(X, estimator=estimator, **check_params)
        _check_names(estimator, X.feature_names, reset=reset)
        _check_n_features(estimator, checked[:1, 0], reset=reset)
        return checked
    checked = check_sequences(X, estimator=estimator, **check_params)
    has_names = hasattr(estimator, "feature_names_in_")
    if checked.ndim == 3 and not reset and has_names and with_names is None:
        # No array of three dimensions has names that could be missed.
        _check_n_features(estimator, checked[:1, 0], reset=reset)
        return checked
    # scikit-learn counts the second axis; the first step of each sequence has the features there.
    features = X if checked.ndim == 2 else checked[:, 0] if with_names is None else with_names
    validate_data(estimator, features, reset=reset, skip_check_array=True)
    return checked


def check_windows(X, *, estimator, dtype, ensure_all_finite=True, **check_params):
    """`check_sequences` for windows of series, row by row: windows overlap.

    Parameters
    ----------
    X : Windows
        The input to check.

    estimator, dtype, ensure_all_finite
        As for `check_array`.

    **check_params : dict
        What else `check_array` is to do, for which it needs an array.

    Returns
    -------
    X : Windows or ndarray
        The checked and converted input: an array if `check_params` ask for one, or if that is smaller.
    """
    if check_params:
        check_params |= {"dtype": dtype, "ensure_all_finite": ensure_all_finite}
        return check_sequences(np.asarray(X), estimator=estimator, **check_params)
    dtypes = (dtype,) if isinstance(dtype, str | np.dtype) else dtype
    checked = converted(X, X.dtype if X.dtype in dtypes else dtypes[0])
    params = {"dtype": dtype, "ensure_all_finite": ensure_all_finite, "estimator": estimator}
    if isinstance(checked, np.ndarray):
        return check_sequences(checked, **params)
    check_array(
        rows_read(checked) if ensure_all_finite else checked[:1, 0], input_name="X", **params
    )
    return checked


def _check_names(estimator, names, *, reset):
    """Set the names of an estimator's features, or compare those of a later X with them."""
    if reset:
        vars(estimator).pop("feature_names_in_", None)
        if names is not None:
            estimator.feature_names_in_ = names
    else:
        check_same_names(names, getattr(estimator, "feature_names_in_", None))


def check_same_names(names, fitted):
    """Refuse features of other names, or in another order, than in fit; either may be None.

    Parameters
    ----------
    names, fitted : sequence of str or None
        The names at hand, among them None for features that have none, and those in fit.

    Raises
    ------
    ValueError
        If they are not the same. It tells which are new, which missing.
    """
    if names is None or fitted is None:
        return
    if len(names) == len(fitted):
        names = [f if name is None else name for name, f in zip(names, fitted, strict=True)]
    names = [name for name in names if name is not None]
    if names == list(fitted):
        return
    unseen = [name for name in names if name not in set(fitted)]
    missing = [name for name in fitted if name not in set(names)]
    message = "The feature names should match those that were passed during fit."
    if unseen:
        message += f" Unseen at fit time: {unseen}."
    if missing:
        message += f" Seen at fit time, yet now missing: {missing}."
    if any("(t+" in name for name in missing):
        message += " Those of the form name(t+n) are known n steps ahead: pass them as known."
    if not unseen and not missing:
        message += f" They must be in the order {list(fitted)}, got {names}."
    raise ValueError(message)


def check_horizon(horizon: object) -> int | list[int]:
    """Return `horizon` as an int or as a list of ints, none of them negative."""
    if isinstance(horizon, Integral):
        return int(horizon)
    horizons = np.asarray(horizon)
    if (
        horizons.ndim != 1
        or horizons.size == 0
        or horizons.dtype.kind not in "iu"
        or horizons.min() < 0
    ):
        raise ValueError(
            f"horizon must be a non-negative int, or a list of non-negative ints; got {horizon!r}."
        )
    return horizons.tolist()
