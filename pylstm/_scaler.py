"""Standardisation of sequences: one scale for each feature, whatever the time step."""

from functools import wraps
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, _fit_context
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_array, gen_batches
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ._lengths import is_step
from ._public import public_in
from ._typing import Array, ArrayLike
from ._validation import (
    POSITIVE_INTEGER,
    SERIES_DTYPES,
    ReadsSequences,
    as_list_of_sequences,
    as_sequences,
    check_sequence_lengths,
    check_sequences,
    is_list_of_sequences,
    quiet_about_nan,
    refuse_dates_and_masks,
    refuse_lengths_of_list,
    validate_sequences,
)

# Values standardised at a time while fitting. StandardScaler needs several temporary arrays of
# its input's size; these are small enough to be reused from cache.
_CHUNK_SIZE = 2**18


def _n_dims(X):
    """Return the dimensions of X; a list of sequences has three."""
    if is_list_of_sequences(X):
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
    return sequences[chunk][is_step(lengths[chunk], sequences.shape[1])]


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


@public_in("pylstm")
@_keep_sequences_arrays
class SequenceScaler(ReadsSequences, OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
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
        "n_timesteps": [POSITIVE_INTEGER, None],
        "with_mean": ["boolean"],
        "with_std": ["boolean"],
        "copy": ["boolean"],
    }

    def __init__(
        self,
        n_timesteps: int | None = None,
        *,
        with_mean: bool = True,
        with_std: bool = True,
        copy: bool = True,
    ) -> None:
        self.n_timesteps = n_timesteps
        self.with_mean = with_mean
        self.with_std = with_std
        self.copy = copy

    def fit(
        self,
        X: Any,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
    ) -> "SequenceScaler":
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
    @quiet_about_nan
    def partial_fit(
        self,
        X: Any,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
    ) -> "SequenceScaler":
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
        X = self._as_list(X)
        n_dims = _n_dims(X)
        if not first_call:
            self._check_n_dims(X)
        X, sequences, n_steps = self._check_X(
            X,
            lengths,
            reset=first_call,
            dtype=SERIES_DTYPES,
            # Padding may hold anything: the steps before it are checked together with the lengths.
            ensure_all_finite="allow-nan" if lengths is None else False,
        )
        if sample_weight is not None:
            refuse_dates_and_masks("sample_weight", sample_weight)
            by_sample = _check_sample_weight(sample_weight, X, dtype=sequences[0].dtype)
            if not by_sample.any():
                raise ValueError("sample_weight is zero for all samples; one at least must count.")

        n_samples = len(sequences)
        chunk_length = _chunk_length(sequences, n_steps)
        # StandardScaler's variance is NaN once a feature has only missing values in one chunk.
        if any(
            np.isnan(_steps(sequences, n_steps, chunk).min())
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
                repeats = sequences.shape[1] if n_steps is None else n_steps[chunk]
                weight = np.repeat(by_sample[chunk], repeats)
                if not weight.any():  # would divide by the sum of weights
                    continue
            self.scaler_.partial_fit(_steps(sequences, n_steps, chunk), sample_weight=weight)
        return self

    def fit_transform(
        self,
        X: Any,
        y: object = None,
        sample_weight: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
    ) -> Any:
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

    def transform(self, X: Any, *, lengths: ArrayLike | None = None) -> Any:
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
        X = self._as_list(X)
        self._check_n_dims(X)
        X, sequences, lengths = self._check_X(X, lengths, **self._output_params())
        return self._map_features(self.scaler_.transform, X, sequences, lengths)

    def inverse_transform(self, X: Any, *, lengths: ArrayLike | None = None) -> Any:
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
        X = self._as_list(X)
        self._check_n_dims(X)
        X, sequences, lengths = self._check_X(X, lengths, names=False, **self._output_params())
        return self._map_features(self.scaler_.inverse_transform, X, sequences, lengths)

    @property
    def mean_(self) -> Array | None:
        """Mean of each feature."""
        return self.scaler_.mean_

    @property
    def var_(self) -> Array | None:
        """Variance of each feature."""
        return self.scaler_.var_

    @property
    def scale_(self) -> Array | None:
        """What each feature is divided by."""
        return self.scaler_.scale_

    def _as_list(self, X):
        """Sequences one by one as a list of these; anything else as it is."""
        one_feature = getattr(self, "_n_dims_in", None) == 3 and self.n_features_in_ == 1
        return as_list_of_sequences(X, one_feature=one_feature)

    def _check_n_dims(self, X):
        """Refuse flattened windows after a fit on 3-D sequences, and the other way round."""
        n_dims = _n_dims(X)
        if n_dims != self._n_dims_in:
            raise ValueError(
                f"X is {n_dims}-D, but this {type(self).__name__} was fitted on a "
                f"{self._n_dims_in}-D X. Reshape your data to the number of dimensions in fit."
            )

    @quiet_about_nan
    def _check_X(self, X, lengths, *, reset=False, names=True, **check_params):
        """Check sequences, their features (unless `names` are to be ignored) and lengths.

        Returns X, an array or a list of arrays; its sequences, a 3-D view or the list itself; and
        the lengths of these, None if nothing is padded.
        """
        if is_list_of_sequences(X):
            refuse_lengths_of_list(lengths)
            for x in X:
                refuse_dates_and_masks("X", x)
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
        return X, sequences, check_sequence_lengths(lengths, sequences, allow_nan=True)

    def _output_params(self):
        """Return the checks of an X to be scaled in place: in C order its features are a view.

        Whether it is finite is left to `scaler_`, which checks it in any case.
        """
        return {
            "dtype": SERIES_DTYPES,
            "order": "C",
            "copy": self.copy,
            "force_writeable": True,
            "ensure_all_finite": False,
        }

    @quiet_about_nan
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
                sequences[chunk][is_step(lengths[chunk], sequences.shape[1])] = rows
        return X


# For doctest, which looks for the classes of this module by the name of it.
__test__ = {"SequenceScaler": SequenceScaler}
