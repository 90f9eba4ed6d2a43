"""From a series to what an LSTM is trained on: sliding windows, and their standardisation."""

from functools import wraps
from numbers import Integral
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, _fit_context
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, gen_batches
from sklearn.utils._param_validation import Interval, validate_params
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from . import core
from ._validation import (
    as_sequences,
    check_lengths,
    check_sequences,
    is_ragged,
    validate_sequences,
)

_POSITIVE_INTEGER = Interval(Integral, 1, None, closed="left")
_NATURAL_NUMBER = Interval(Integral, 0, None, closed="left")

# float64 first: scikit-learn converts every other dtype to the first of the list.
_FLOATS = (np.float64, np.float32)

# Values standardised at a time while fitting. StandardScaler needs several temporary arrays of
# its input's size; these are small enough to be reused from cache.
_CHUNK_SIZE = 2**18


@validate_params(
    {
        "window": [_POSITIVE_INTEGER],
        "horizon": [_NATURAL_NUMBER, "array-like"],
        "step": [_POSITIVE_INTEGER],
    },
    prefer_skip_nested_validation=True,
)
def sliding_windows(series, window, horizon=1, step=1, target=None, *, known=None):
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
        series, dtype=_FLOATS, ensure_2d=False, ensure_all_finite=False, input_name="series"
    )
    series = np.expand_dims(series, 1) if series.ndim == 1 else series
    n_steps = series.shape[0]
    window = int(window)  # NumPy integers of few bits would overflow
    horizon = _check_horizon(horizon)
    furthest = max(horizon) if isinstance(horizon, list) else horizon
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
    y = target[np.add.outer(last_steps, horizon)]
    if isinstance(horizon, list):
        y = y.reshape(len(last_steps), -1)
    return X.transpose(0, 2, 1), y


def _check_horizon(horizon):
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


def _check_known(known, series):
    """Return the features known in advance, 2-D and in the dtype of the series."""
    known = check_array(
        known, dtype=series.dtype, ensure_2d=False, ensure_all_finite=False, input_name="known"
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


def _is_list_of_sequences(X):
    """Whether X holds 2-D arrays or DataFrames one by one, of the same length or not."""
    if isinstance(X, (list, tuple)) and {getattr(x, "ndim", None) for x in X} == {2}:
        return True
    return is_ragged(X)


def _n_dims(X):
    """Return the dimensions of X; a list of sequences has three."""
    if _is_list_of_sequences(X):
        return 3
    return X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim


def _chunk_length(sequences, lengths):
    """Return how many sequences to scale at a time."""
    longest = max(lengths) if isinstance(sequences, list) else sequences.shape[1]
    return max(1, _CHUNK_SIZE // (longest * sequences[0].shape[1]))


def _steps(sequences, lengths, chunk):
    """Return all time steps of some of the sequences, without padding, as rows of features."""
    if isinstance(sequences, list):
        return np.concatenate(sequences[chunk])
    if lengths is None:
        return sequences[chunk].reshape(-1, sequences.shape[2])
    return sequences[chunk][core._is_step(lengths[chunk], sequences.shape[1])]


def _keep_sequences_arrays(cls):
    """Class decorator: `set_output` makes a table of a 2-D X, and leaves a 3-D X an array.

    scikit-learn wraps `transform` and `fit_transform` to build a DataFrame of whatever they return,
    which fails with three dimensions: under a global `set_config(transform_output="pandas")` no
    Pipeline could run on 3-D windows. So a 3-D X goes to the methods as they were before wrapping.
    """
    to_container = cls.transform
    to_array = cls.transform.__wrapped__

    @wraps(to_array)
    def transform(self, X, **metadata):
        # The dimensions in fit decide, as transform refuses an X of any other.
        fitted_on_sequences = getattr(self, "_n_dims_in", None) == 3
        return (to_array if fitted_on_sequences else to_container)(self, X, **metadata)

    cls.transform = transform
    # This calls fit, then transform, and so returns what transform has chosen.
    cls.fit_transform = cls.fit_transform.__wrapped__
    return cls


@_keep_sequences_arrays
class SequenceScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Standardise each feature of sequences over samples and time steps together.

    The values of a feature at all time steps of all samples have one mean and one standard
    deviation, so that a window keeps its shape: its trend and its level relative to the other
    windows. (:class:`~sklearn.preprocessing.StandardScaler` on flattened windows scales each time
    step by itself.) The arithmetic is StandardScaler's.

    Parameters
    ----------
    n_timesteps : int, default=None
        How the columns of a 2-D X are read. None: as `n_columns` time steps of a univariate series.
        An int: as windows of so many steps flattened in time-major order, that is
        `X.reshape(n_samples, n_timesteps * n_features)` of a 3-D X. If it is given, a 3-D X must
        have as many time steps.

    with_mean : bool, default=True
        Whether to subtract the mean.

    with_std : bool, default=True
        Whether to divide by the standard deviation.

    copy : bool, default=True
        If False, scale in place where X allows it: a writeable, C-contiguous float array.

    Attributes
    ----------
    scaler_ : StandardScaler
        The scaler fitted to the values, one row for each sample and time step.

    mean_ : ndarray of shape (n_features,) or None
        Mean of each feature; None if neither `with_mean` nor `with_std`.

    var_ : ndarray of shape (n_features,) or None
        Variance of each feature; None if not `with_std`.

    scale_ : ndarray of shape (n_features,) or None
        What each feature is divided by: its standard deviation, or 1 if it is constant. None if
        not `with_std`.

    n_features_in_ : int
        Number of columns of a 2-D X; number of features of a 3-D X.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Column names of a DataFrame X whose names are all strings.

    See Also
    --------
    sliding_windows : Cuts a series into windows.

    Notes
    -----
    The output has the shape of the input, and its dtype if that is float32 or float64; everything
    else becomes float64. After fitting on a 3-D X, sequences of any length can be transformed, as
    the scale does not depend on the time step (unless `n_timesteps` is given).

    `set_output` makes a DataFrame of a 2-D X. The output of a 3-D X is an array in any case, as a
    table has no third axis.

    NaNs are treated as missing, as in StandardScaler: disregarded in `fit`, kept in `transform`.
    Infinity is refused.

    Sequences of different lengths come as a list of 2-D arrays, one for each sequence, of which
    `transform` makes another list; or padded at the end to one array, with `lengths`. Padding is
    disregarded in `fit` and left as it is, whatever it holds, in `transform`. In a
    :class:`~sklearn.pipeline.Pipeline` with metadata routing enabled, request `lengths` for both:
    `SequenceScaler().set_fit_request(lengths=True).set_transform_request(lengths=True)`.

    `fit` reads a strided view, such as :func:`sliding_windows` gives, in small pieces and never
    copies the whole of it, unless it has NaNs; `transform` makes one array, its output.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import SequenceScaler, sliding_windows
    >>> X, y = sliding_windows(np.arange(10.0), window=4)
    >>> scaler = SequenceScaler().fit(X)
    >>> scaler.mean_
    array([4.])
    >>> X_scaled = scaler.transform(X)
    >>> X_scaled.shape
    (6, 4, 1)
    >>> bool(np.allclose(scaler.inverse_transform(X_scaled), X))
    True

    Flattened windows, for a Pipeline with transformers that take a 2-D X:

    >>> X_flat = X.reshape(6, 4)
    >>> SequenceScaler(n_timesteps=4).fit_transform(X_flat).shape
    (6, 4)

    Sequences of different lengths, padded or not:

    >>> padded = np.array([[[1.0], [2.0], [np.inf]], [[3.0], [4.0], [5.0]]])
    >>> scaler = SequenceScaler(with_std=False).fit(padded, lengths=[2, 3])
    >>> scaler.transform(padded, lengths=[2, 3])[..., 0]
    array([[-2., -1., inf],
           [ 0.,  1.,  2.]])
    >>> short, long = scaler.transform([padded[0, :2], padded[1]])
    >>> short[:, 0], long[:, 0]
    (array([-2., -1.]), array([0., 1., 2.]))
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_timesteps": [_POSITIVE_INTEGER, None],
        "with_mean": ["boolean"],
        "with_std": ["boolean"],
        "copy": ["boolean"],
    }

    def __init__(self, n_timesteps=None, *, with_mean=True, with_std=True, copy=True):
        self.n_timesteps = n_timesteps
        self.with_mean = with_mean
        self.with_std = with_std
        self.copy = copy

    def fit(self, X, y=None, sample_weight=None, *, lengths=None):
        """Compute the mean and standard deviation of each feature.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns), \
                or list of arrays of shape (n_timesteps_i, n_features)
            The sequences.

        y : None
            Ignored.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample, at all its time steps.

        lengths : array-like of int of shape (n_samples,), default=None
            Time steps of each sequence before its padding. None: there is no padding.

        Returns
        -------
        self : SequenceScaler
            The fitted scaler.

        Raises
        ------
        ValueError
            If X has infinite or complex values, not two or three dimensions, an empty axis, or
            steps that `n_timesteps` does not fit; if the arrays of a list differ in their features;
            if `sample_weight` has another length than X, or is zero throughout; if `lengths` are
            not from 1 to the number of time steps, one for each sample, or come with a list; if a
            parameter of the scaler is invalid.
        TypeError
            If X is a sparse matrix, or `lengths` are not ints.
        """
        if hasattr(self, "scaler_"):
            del self.scaler_
        return self.partial_fit(X, y, sample_weight, lengths=lengths)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None, *, lengths=None):
        """Update the mean and standard deviation of each feature with more sequences.

        For data that does not fit into memory, or comes as a stream.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns), \
                or list of arrays of shape (n_timesteps_i, n_features)
            The sequences. As in StandardScaler, each feature needs one value that is not NaN in
            every call, or its variance becomes NaN.

        y : None
            Ignored.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample, at all its time steps.

        lengths : array-like of int of shape (n_samples,), default=None
            Time steps of each sequence before its padding. None: there is no padding.

        Returns
        -------
        self : SequenceScaler
            The scaler.

        Raises
        ------
        ValueError
            As in `fit`, and if X has other dimensions or features than in earlier calls.
        TypeError
            If X is a sparse matrix, or `lengths` are not ints.
        """
        first_call = not hasattr(self, "scaler_")
        n_dims = _n_dims(X)
        if not first_call:
            self._check_n_dims(X)
        X, sequences, lengths = self._check_X(
            X,
            lengths,
            reset=first_call,
            dtype=_FLOATS,
            # Padding may hold anything: the steps before it are checked together with the lengths.
            ensure_all_finite="allow-nan" if lengths is None else False,
        )
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=sequences[0].dtype)
            if not sample_weight.any():
                raise ValueError("sample_weight is zero for all samples; one at least must count.")

        n_samples = len(sequences)
        chunk_length = _chunk_length(sequences, lengths)
        # StandardScaler's variance is NaN once a feature has only missing values in one chunk.
        if any(
            np.isnan(_steps(sequences, lengths, chunk).min())
            for chunk in gen_batches(n_samples, chunk_length)
        ):
            chunk_length = n_samples

        if first_call:
            # A global set_config(transform_output=...) is for the users' transformers only.
            self.scaler_ = StandardScaler(
                with_mean=self.with_mean, with_std=self.with_std
            ).set_output(transform="default")
            self._n_dims_in = n_dims
        for chunk in gen_batches(n_samples, chunk_length):
            weight = None
            if sample_weight is not None:
                n_steps = sequences.shape[1] if lengths is None else lengths[chunk]
                weight = np.repeat(sample_weight[chunk], n_steps)
                if not weight.any():  # would divide by the sum of weights
                    continue
            self.scaler_.partial_fit(_steps(sequences, lengths, chunk), sample_weight=weight)
        return self

    def fit_transform(self, X, y=None, sample_weight=None, *, lengths=None):
        """Fit to sequences, then standardise them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns), \
                or list of arrays of shape (n_timesteps_i, n_features)
            The sequences.

        y : None
            Ignored.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample in `fit`, at all its time steps.

        lengths : array-like of int of shape (n_samples,), default=None
            Time steps of each sequence before its padding. None: there is no padding.

        Returns
        -------
        X_scaled : ndarray or DataFrame of the shape of X, or list of ndarray
            The standardised sequences, as `transform` returns them.

        Raises
        ------
        ValueError
            As in `fit`.
        TypeError
            If X is a sparse matrix, or `lengths` are not ints.
        """
        return self.fit(X, y, sample_weight, lengths=lengths).transform(X, lengths=lengths)

    def transform(self, X, *, lengths=None):
        """Standardise sequences.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns), \
                or list of arrays of shape (n_timesteps_i, n_features)
            The sequences, with as many dimensions and features as those in `fit`; a list counts as
            three-dimensional.

        lengths : array-like of int of shape (n_samples,), default=None
            Time steps of each sequence before its padding. None: there is no padding.

        Returns
        -------
        X_scaled : ndarray or DataFrame of the shape of X, or list of ndarray
            The standardised sequences, padding as it was; a list if X is a list, and a DataFrame
            only if `set_output` asks for it and X is 2-D.

        Raises
        ------
        NotFittedError
            If the scaler is not fitted.
        ValueError
            If X has other dimensions, features or feature names than in `fit`, or infinite values;
            if `lengths` are not from 1 to the number of time steps, one for each sample, or come
            with a list.
        TypeError
            If `lengths` are not ints.
        """
        check_is_fitted(self, "scaler_")
        self._check_n_dims(X)
        X, sequences, lengths = self._check_X(X, lengths, **self._output_params())
        return self._map_features(self.scaler_.transform, X, sequences, lengths)

    def inverse_transform(self, X, *, lengths=None):
        """Undo the standardisation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns), \
                or list of arrays of shape (n_timesteps_i, n_features)
            Standardised sequences.

        lengths : array-like of int of shape (n_samples,), default=None
            Time steps of each sequence before its padding. None: there is no padding.

        Returns
        -------
        X_original : ndarray of the shape of X, or list of ndarray
            The sequences on their original scale, padding as it was.

        Raises
        ------
        NotFittedError
            If the scaler is not fitted.
        ValueError
            If X has other dimensions or features than in `fit`, or infinite values; if `lengths`
            are not from 1 to the number of time steps, one for each sample, or come with a list.
        TypeError
            If `lengths` are not ints.
        """
        check_is_fitted(self, "scaler_")
        self._check_n_dims(X)
        X, sequences, lengths = self._check_X(X, lengths, names=False, **self._output_params())
        return self._map_features(self.scaler_.inverse_transform, X, sequences, lengths)

    @property
    def mean_(self):
        """Mean of each feature."""
        return self.scaler_.mean_

    @property
    def var_(self):
        """Variance of each feature."""
        return self.scaler_.var_

    @property
    def scale_(self):
        """What each feature is divided by."""
        return self.scaler_.scale_

    def _check_n_dims(self, X):
        """Refuse flattened windows after a fit on 3-D sequences, and the other way round."""
        n_dims = _n_dims(X)
        if n_dims != self._n_dims_in:
            raise ValueError(
                f"X is {n_dims}-D, but this {type(self).__name__} was fitted on a "
                f"{self._n_dims_in}-D X. Reshape your data to the number of dimensions in fit."
            )

    def _check_X(self, X, lengths, *, reset=False, names=True, **check_params):
        """Check sequences, their features (unless `names` are to be ignored) and lengths.

        Returns X, an array or a list of arrays; its sequences, a 3-D view or the list itself; and
        the lengths of these, None if nothing is padded.
        """
        if _is_list_of_sequences(X):
            if lengths is not None:
                raise ValueError(
                    "lengths are for an X padded to a single array; X is a list of "
                    f"{len(X)} sequences, which have lengths of their own."
                )
            given = X
            X = [check_array(x, input_name="X", estimator=self, **check_params) for x in X]
            # For its check of the number of steps: that of the longest, as if padded to an array.
            as_sequences(max(X, key=len)[np.newaxis], self.n_timesteps)
            features = given if names else X
        elif names:
            X = validate_sequences(self, X, reset=reset, **check_params)
            features = []
        else:
            X = check_sequences(X, estimator=self, **check_params)
            features = [X]
        for i, x in enumerate(features):
            if names:
                validate_data(self, x, reset=reset and i == 0, skip_check_array=True)
            elif x.shape[-1] != self.n_features_in_:
                raise ValueError(
                    f"X has {x.shape[-1]} features, but {type(self).__name__} is expecting "
                    f"{self.n_features_in_} features as input."
                )
        if isinstance(X, list):
            return X, X, [len(sequence) for sequence in X]
        sequences = as_sequences(X, self.n_timesteps)
        return X, sequences, check_lengths(lengths, sequences, allow_nan=True)

    def _output_params(self):
        """Return the checks of an X to be scaled in place: in C order its features are a view.

        Whether it is finite is left to `scaler_`, which checks it in any case.
        """
        return {
            "dtype": _FLOATS,
            "order": "C",
            "copy": self.copy,
            "force_writeable": True,
            "ensure_all_finite": False,
        }

    def _map_features(self, function, X, sequences, lengths):
        """Apply a method of `scaler_`, in place, to the time steps of X as rows of features."""
        if lengths is None:
            rows = sequences.reshape(-1, sequences.shape[2])
            return function(rows, copy=False).reshape(X.shape)
        for chunk in gen_batches(len(sequences), _chunk_length(sequences, lengths)):
            rows = function(_steps(sequences, lengths, chunk), copy=False)
            if isinstance(sequences, list):
                ends = np.cumsum(lengths[chunk])
                for sequence, end in zip(sequences[chunk], ends, strict=True):
                    sequence[:] = rows[end - len(sequence) : end]
            else:
                sequences[chunk][core._is_step(lengths[chunk], sequences.shape[1])] = rows
        return X

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
