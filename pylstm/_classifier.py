"""The classifier: softmax over the network's outputs."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils import check_array, column_or_1d, compute_class_weight
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight

from . import core
from ._base import BaseLSTM, States, of_one_fit
from ._documentation import documented
from ._lengths import is_step
from ._public import public_in
from ._typing import Array, ArrayLike, RandomState
from ._validation import pad_targets, refuse_dates_and_masks, refuse_masks
from ._warnings import users_level
from .training import Averaging, Schedule, TrainingCallback


@public_in("pylstm")
@documented
class LSTMClassifier(ClassifierMixin, BaseLSTM):
    """Long short-term memory network that predicts classes from sequences.

    The network is that of :class:`~pylstm.LSTMRegressor`, with an output for each class: softmax of
    the outputs gives the classes' probabilities, and the log loss (cross-entropy) is minimised.

    Parameters
    ----------
    {network}
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, by which those of their samples are multiplied; "balanced" weighs each
        class by the inverse of its frequency, or of its share in `sample_weight`. None means ones.

    {parameters}
    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes.

    {attributes}
    validation_scores_ : list of float or None
        The negated log loss on the validation samples after each epoch; None without
        `early_stopping`.

    best_validation_score_ : float or None
        That of the weights in use; None without `early_stopping`.

    {counts}
    n_outputs_ : int
        Outputs of the network, one for each class.

    See Also
    --------
    pylstm.LSTMRegressor : The same network for numbers.
    pylstm.sliding_windows : Windows of a series and their labels.
    sklearn.neural_network.MLPClassifier : Multi-layer perceptron, without notion of time.

    Notes
    -----
    {equations}
    and the probabilities are softmax(h_T V + d), with T the last step. The cell is that of [1]_ with
    the forget gate of [2]_, whose bias starts at 1 [3]_; W and V start Glorot-uniform, U orthogonal.

    References
    ----------
    {references}
    Examples
    --------
    Does a sequence rise more often than it falls?

    >>> import numpy as np
    >>> from pylstm import LSTMClassifier
    >>> X = np.random.default_rng(0).choice([-1.0, 1.0], size=(400, 15))
    >>> y = np.where(X.sum(axis=1) > 0, "rises", "falls")
    >>> model = LSTMClassifier(hidden_size=8, learning_rate_init=0.02, random_state=0)
    >>> model.fit(X[:300], y[:300]).score(X[300:], y[300:]) > 0.9
    True
    >>> model.predict_proba(X[300:]).shape
    (100, 2)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's name and form)
        **BaseLSTM._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        hidden_size: int = 32,
        num_layers: int = 1,
        *,
        class_weight: dict[Any, float] | str | None = None,
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        stateful: bool = False,
        missing: str = "error",
        n_timesteps: int | None = None,
        standardize: bool = True,
        window_scaling: str | None = None,
        window_features: int | Sequence[int] | None = None,
        forget_bias: float | str = 1.0,
        solver: str = "adam",
        alpha: float = 0.0,
        batch_size: int = 32,
        learning_rate: str | Schedule = "constant",
        learning_rate_init: float = 0.003,
        max_iter: int = 50,
        shuffle: bool = True,
        max_grad_norm: float | None = 1.0,
        max_grad_value: float | None = None,
        averaging: Averaging | None = None,
        tol: float = 1e-4,
        n_iter_no_change: float = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warm_start: bool = False,
        callbacks: Sequence[TrainingCallback] | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
        n_jobs: int | None = None,
        dtype: str = "float32",
    ) -> None:
        super().__init__(
            hidden_size=hidden_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            recurrent_dropout=recurrent_dropout,
            return_sequences=return_sequences,
            stateful=stateful,
            missing=missing,
            n_timesteps=n_timesteps,
            standardize=standardize,
            window_scaling=window_scaling,
            window_features=window_features,
            forget_bias=forget_bias,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            max_iter=max_iter,
            shuffle=shuffle,
            max_grad_norm=max_grad_norm,
            max_grad_value=max_grad_value,
            averaging=averaging,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            warm_start=warm_start,
            callbacks=callbacks,
            random_state=random_state,
            verbose=verbose,
            n_jobs=n_jobs,
            dtype=dtype,
        )
        self.class_weight = class_weight

    def _has_partial_fit(self):
        if isinstance(self.class_weight, str):
            raise AttributeError(
                "class_weight='balanced' needs all of y: partial_fit does not support it. Pass the "
                "weights as a dict, or use fit."
            )
        return super()._has_partial_fit()

    @available_if(_has_partial_fit)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
    ) -> "LSTMClassifier":
        """Continue for a single epoch over the given samples.

        The first call starts as `fit` does. Weights, optimiser and random stream are carried on,
        so that n calls with the same samples equal a `fit` of n epochs.

        Parameters
        ----------
        X, y, sample_weight, lengths
            As for `fit`.

        classes : array-like of shape (n_classes,), default=None
            All classes that will occur; needed in the first call, if there was no `fit`.

        Returns
        -------
        self : LSTMClassifier
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            As for `fit`; also if the network differs from that of earlier calls, or `y` has other
            classes.

        AttributeError
            With `early_stopping` or `class_weight="balanced"`: there is no such method then.
        """
        if classes is None and not hasattr(self, "classes_"):
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if classes is not None:
            classes = np.unique(classes)
            if hasattr(self, "classes_") and not np.array_equal(classes, self.classes_):
                raise ValueError(
                    f"classes={classes} is not the same as on the last call to partial_fit or fit, "
                    f"{self.classes_}."
                )
        return self._fit(X, y, sample_weight, lengths, incremental=True, classes=classes)

    @of_one_fit
    def predict(
        self,
        X: Any,
        *,
        lengths: ArrayLike | None = None,
        initial_state: States | tuple[ArrayLike, ArrayLike] | None = None,
        return_state: bool = False,
    ) -> Any:
        """Predict the classes of sequences.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns), \
                or list of n_samples arrays of shape (n_timesteps_of_sample, n_features)
            The sequences, with the number of time steps seen in `fit` unless they have lengths.

        lengths : array-like of int of shape (n_samples,), default=None
            Time steps of each sample; None means all.

        initial_state : tuple of two arrays (h, c), default=None
            Hidden and cell states to start from, each of shape (num_layers * num_directions,
            n_samples, hidden_size); None means zeros. With `stateful` that of the first window
            (n_samples is 1).

        return_state : bool, default=False
            Whether to return the states after each sample's last step too, to go on from.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The classes of the largest probability. With `return_sequences` those of each time step,
            (n_samples, n_timesteps), where what follows a sample's end means nothing; for a list of
            sequences a list.

        state : States
            A named tuple (h, c) as `initial_state`; only with `return_state`.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.

        TypeError, ValueError
            If `X` has another shape than in `fit` or is not finite.
        """
        inputs = self._check_inputs(X, lengths)
        output, state = self._finite_output(inputs, initial_state, return_state=return_state)
        y = self._as_given(inputs, self.classes_[output.argmax(axis=-1)])
        return (y, state) if return_state else y

    @of_one_fit
    def predict_proba(
        self,
        X: Any,
        *,
        lengths: ArrayLike | None = None,
        initial_state: States | tuple[ArrayLike, ArrayLike] | None = None,
        return_state: bool = False,
    ) -> Any:
        """Predict the probabilities of the classes.

        Parameters
        ----------
        X, lengths, initial_state, return_state
            As for `predict`.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            The probabilities, in the order of `classes_`; (n_samples, n_timesteps, n_classes) with
            `return_sequences`, for a list of sequences a list.

        state : States
            Only with `return_state`.
        """
        inputs = self._check_inputs(X, lengths)
        output, state = self._finite_output(inputs, initial_state, return_state=return_state)
        p = self._as_given(inputs, self._to_predictions(self._in_dtype_of(X, output)))
        return (p, state) if return_state else p

    @of_one_fit
    def predict_log_proba(self, X: Any, *, lengths: ArrayLike | None = None) -> Array:
        """Predict the logarithms of the probabilities of the classes.

        Parameters
        ----------
        X, lengths
            As for `predict`.

        Returns
        -------
        log_p : ndarray shaped as of `predict_proba`
        """
        inputs = self._check_inputs(X, lengths)
        output, _ = self._finite_output(inputs)
        return self._as_given(inputs, log_softmax(self._in_dtype_of(X, output), axis=-1))

    @of_one_fit
    def score(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
    ) -> float:
        """Accuracy of the predicted classes.

        Parameters
        ----------
        X, y, sample_weight, lengths
            As for `fit`.

        Returns
        -------
        score : float
            Share of the samples, or time steps with `return_sequences`, whose class is predicted.
        """
        return self._score_of(*self._to_compare(X, y, sample_weight, lengths))

    def _to_compare(self, X, y, sample_weight, lengths):
        """Classes, predicted ones and weights of the samples, or time steps."""
        inputs = self._check_inputs(X, lengths)
        output, _ = self._finite_output(inputs)
        y = self._labels(y, inputs.X, inputs.lengths, self._architecture.return_sequences)
        if sample_weight is not None:
            refuse_dates_and_masks("sample_weight", sample_weight)
            sample_weight = _check_sample_weight(sample_weight, inputs.X)
        y, output, sample_weight = self._by_step(inputs.lengths, y, output, sample_weight)
        return y, self.classes_[output.argmax(axis=-1)], sample_weight

    def _score_of(self, y, predicted, sample_weight):
        from sklearn.metrics import accuracy_score

        return accuracy_score(y, predicted, sample_weight=sample_weight)

    def _labels(self, y, sequences, lengths, return_sequences):
        """The labels, (n_samples,) or (n_samples, n_timesteps); dates may be labels, as anywhere."""
        refuse_masks("y", y)
        if return_sequences:
            y = pad_targets(y, sequences, lengths)
        y = check_array(
            y,
            ensure_2d=False,
            dtype=None,
            input_name="y",
            estimator=self,
            ensure_all_finite=lengths is None or not return_sequences,
        )
        if not return_sequences:
            return column_or_1d(y, warn=True)
        if y.shape != sequences.shape[:2]:
            raise ValueError(
                "With return_sequences=True, y must have a class for each time step: shape "
                f"{sequences.shape[:2]}, got {y.shape}."
            )
        return y

    def _used_labels(self, y, sequences, lengths, return_sequences):
        """The labels, and which of them are of time steps rather than padding."""
        labels = self._labels(y, sequences, lengths, return_sequences)
        used = np.ones(labels.shape, dtype=bool)
        if labels.ndim == 2 and lengths is not None:
            used = is_step(lengths, labels.shape[1])
        check_classification_targets(labels[used])
        return labels, used

    def _set_classes(self, classes):
        self.classes_ = classes
        if len(classes) < 2:
            raise ValueError(
                f"{type(self).__name__} needs samples of at least 2 classes, got 1 class: "
                f"{classes[0]!r}."
            )

    def _check_y(self, y, sequences, lengths, *, reset):
        return_sequences = self.return_sequences if reset else self._architecture.return_sequences
        labels, used = self._used_labels(y, sequences, lengths, return_sequences)
        if not hasattr(self, "classes_"):
            self._set_classes(np.unique(labels[used]))
        # LabelEncoder would cast labels to the dtype of the classes, and so cut off longer strings.
        values, of_label = np.unique(labels[used], return_inverse=True)
        unseen = values[~np.isin(values, self.classes_)]
        if len(unseen):
            raise ValueError(
                f"y contains previously unseen labels: {unseen.tolist()}. The classes are "
                f"{self.classes_.tolist()}."
            )
        codes = np.zeros(labels.shape, dtype=self.dtype)
        codes[used] = np.searchsorted(self.classes_, values)[of_label]
        return codes[..., np.newaxis]

    def _combined_weight(self, y, sample_weight):
        if self.class_weight is None:
            return sample_weight
        if self.return_sequences:
            raise ValueError(
                "class_weight weighs samples, and with return_sequences=True a sample has many "
                "classes: set class_weight=None, and weigh the samples with sample_weight."
            )
        codes = y[:, 0].astype(np.intp)
        if isinstance(self.class_weight, str):  # "balanced"
            counts = np.bincount(codes, sample_weight, minlength=len(self.classes_))
            by_class = balanced_weights(counts)
        else:  # of all classes, whether or not they are among these samples
            by_class = compute_class_weight(
                self.class_weight, classes=self.classes_, y=self.classes_
            )
            if not (np.isfinite(by_class) & (by_class >= 0)).all():
                raise ValueError(
                    f"class_weight must be finite and not negative, got {self.class_weight}."
                )
        weight = by_class.astype(self.dtype)[codes]
        return weight if sample_weight is None else weight * sample_weight

    def _make_loss(self, y):
        return core.LogLoss(len(self.classes_))

    def _initialize(self, samples, random_state):
        super()._initialize(samples, random_state)
        self.n_outputs_ = len(self.classes_)

    def _strata(self, samples):
        """The classes, if both parts can have samples of each."""
        if self.return_sequences:
            return None
        codes = samples.y[samples.rows, 0]
        counts = np.unique(codes, return_counts=True)[1]
        n_held_out = math.ceil(self.validation_fraction * len(codes))
        smaller_part = min(n_held_out, len(codes) - n_held_out)
        return codes if counts.min() > 1 and len(counts) <= smaller_part else None

    def _split(self, samples, X):
        train, validation = super()._split(samples, X)
        if not self.return_sequences:
            held_out = np.setdiff1d(validation.y[validation.rows], train.y[train.rows])
            if len(held_out):
                warnings.warn(
                    "early_stopping holds out all samples of these classes, of which the network "
                    f"therefore learns nothing: {self.classes_[held_out.astype(int)].tolist()}. Pass "
                    "samples of your own to validate on as X_val and y_val, or leave rare classes out.",
                    stacklevel=users_level(),
                )
        return train, validation

    def _to_predictions(self, output, levels=None):
        return self._loss.prediction(output)

    def _to_be_scored(self, output, levels):
        return log_softmax(output.astype(np.float64), axis=-1)

    def _validation_score(self, y, log_p, sample_weight):
        of_class = np.take_along_axis(log_p, y.astype(np.intp), axis=-1)[:, 0]
        return np.average(of_class, weights=sample_weight)


def balanced_weights(counts):
    """A weight for each class, so that all have the same sum; counts may be sums of weights."""
    by_class = np.zeros(len(counts))
    shares = counts[counts > 0] * np.count_nonzero(counts)
    by_class[counts > 0] = counts.sum() / shares
    return by_class


# For doctest, which looks for the classes of this module by the name of it.
__test__ = {"LSTMClassifier": LSTMClassifier}
