"""What the estimators have in common: parameters, checks, prediction, streaming, attributes."""

import copy
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache, partial, wraps
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
    clone,
)
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
)

from . import _unchecked, core
from ._checks import check_states
from ._fitting import LocalEpochs, Samples, TrainingLoop, Weights, at_their_rows
from ._layout import doubts_about_order
from ._lazy_windows import Windows, hold_out_last
from ._lengths import is_step
from ._options import WINDOW_SCALINGS, Scaling
from ._persistence import VersionedStateMixin
from ._typing import Array, ArrayLike, Floats
from ._units import Levels, fit_units, over_chunks
from ._validation import (
    SERIES_DTYPES,
    aligned,
    as_list_of_sequences,
    as_sequences,
    check_columns,
    check_range,
    check_sequence_lengths,
    is_list_of_sequences,
    lengths_before_padding,
    pad_sequences,
    quiet_about_nan,
    refuse_dask,
    refuse_dates_and_masks,
    validate_sequences,
)
from ._warnings import users_level
from .training import Averaging, Schedule, check_callbacks

if TYPE_CHECKING:
    from typing_extensions import Self

# Each solver's optimiser, and the parameters of the estimator behind its keywords.
_SOLVERS = {
    "adam": (core.Adam, {"beta_1": "beta_1", "beta_2": "beta_2", "epsilon": "epsilon"}),
    "adamw": (
        core.AdamW,
        {"beta_1": "beta_1", "beta_2": "beta_2", "epsilon": "epsilon", "weight_decay": "alpha"},
    ),
    "rmsprop": (core.RMSprop, {"decay": "beta_2", "epsilon": "epsilon"}),
    "sgd": (core.SGD, {"momentum": "momentum", "nesterov": "nesterovs_momentum"}),
}

# Values of X that are gathered at a time to score the validation samples, so that memory does not
# grow with their number.
_SCORED_AT_ONCE = 2**22


_Method = TypeVar("_Method", bound=Callable[..., Any])


def of_one_fit(method: _Method) -> _Method:
    """Decorator: the method sees one fit from its beginning to its end, whatever other threads fit."""

    @wraps(method)
    def of_snapshot(self, *args, **options):
        return method(self._snapshot(), *args, **options)

    return of_snapshot  # type: ignore[return-value]


class Inputs(NamedTuple):
    """Checked sequences, and how the network reads them."""

    X: np.ndarray | Windows  # (n_samples, n_timesteps, n_features)
    lengths: np.ndarray | None  # (n_samples,)
    levels: Levels | None  # of the targets, where windows are scaled by their own statistics
    scaling: Scaling | None
    container: type | None = None  # in which they came one by one

    def take(self, rows):
        """Some of them."""
        levels, scaling = self.levels, self.scaling
        return self._replace(
            X=np.asarray(self.X[rows]),
            lengths=_rows_of(self.lengths, rows),
            levels=None if levels is None else Levels(*(array[rows] for array in levels)),
            scaling=None if scaling is None else scaling.take(rows),
        )

    def as_array(self):
        """The same; windows of many series as an array of their own."""
        return self._replace(X=np.asarray(self.X))


class States(NamedTuple):
    """Hidden and cell states of all layers, (num_layers * num_directions, n_samples, hidden_size)."""

    h: Floats
    c: Floats


class BaseLSTM(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, VersionedStateMixin, BaseEstimator, ABC
):
    """An LSTM with a linear layer; what the loss and the kind of target leave the same."""

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's name and form)
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "num_layers": [Interval(Integral, 1, None, closed="left")],
        "bidirectional": ["boolean"],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "recurrent_dropout": [Interval(Real, 0, 1, closed="left")],
        "return_sequences": ["boolean"],
        "stateful": ["boolean"],
        "missing": [StrOptions({"error", "mask"})],
        "n_timesteps": [Interval(Integral, 1, None, closed="left"), None],
        "standardize": ["boolean"],
        "window_scaling": [StrOptions(set(WINDOW_SCALINGS)), None],
        "window_features": ["array-like", Interval(Integral, 0, None, closed="left"), None],
        "forget_bias": [Interval(Real, None, None, closed="neither"), StrOptions({"chrono"})],
        "solver": [StrOptions(set(_SOLVERS))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant"}), Schedule],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
        "max_grad_value": [Interval(Real, 0, None, closed="neither"), None],
        "averaging": [Averaging, None],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "warm_start": ["boolean"],
        "callbacks": [list, tuple, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
        "n_jobs": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Integral, None, -1, closed="right"),
            None,
        ],
        "dtype": [StrOptions({"float32", "float64"})],
    }

    @abstractmethod
    def __init__(
        self,
        hidden_size,
        num_layers,
        bidirectional,
        dropout,
        recurrent_dropout,
        return_sequences,
        stateful,
        missing,
        n_timesteps,
        standardize,
        window_scaling,
        window_features,
        forget_bias,
        solver,
        alpha,
        batch_size,
        learning_rate,
        learning_rate_init,
        max_iter,
        shuffle,
        max_grad_norm,
        max_grad_value,
        averaging,
        tol,
        n_iter_no_change,
        early_stopping,
        validation_fraction,
        momentum,
        nesterovs_momentum,
        beta_1,
        beta_2,
        epsilon,
        warm_start,
        callbacks,
        random_state,
        verbose,
        n_jobs,
        dtype,
    ):
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.return_sequences = return_sequences
        self.stateful = stateful
        self.missing = missing
        self.n_timesteps = n_timesteps
        self.standardize = standardize
        self.window_scaling = window_scaling
        self.window_features = window_features
        self.forget_bias = forget_bias
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.max_grad_norm = max_grad_norm
        self.max_grad_value = max_grad_value
        self.averaging = averaging
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.dtype = dtype

    @classmethod
    @cache
    def _get_param_names(cls):
        # scikit-learn reads the signature anew each time, and does so a dozen times in a fit.
        return super()._get_param_names()

    # What the estimators differ in

    @abstractmethod
    def _make_loss(self, y):
        """The loss of a first fit."""

    @abstractmethod
    def _check_y(self, y, sequences, lengths, *, reset):
        """Validated targets in the dtype of the network, an axis of targets last."""

    @abstractmethod
    def _to_be_scored(self, output, levels):
        """What is scored of outputs (n, [n_timesteps,] n_outputs): in the units of y."""

    @abstractmethod
    def _validation_score(self, y, predicted, sample_weight):
        """Score of that for targets (n, n_targets), the greater the better."""

    @abstractmethod
    def _to_predictions(self, output, levels=None):
        """From the network's outputs, (n, [n_timesteps,] n_outputs), to what users get for them."""

    def _features_of_targets(self, n_targets, features):
        """The feature whose statistics scale each target; None where targets are no quantities."""
        return None

    def _highway_steps(self):
        """Time steps that the linear layer reads directly."""
        return 0

    # Fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: ArrayLike | None = None,
        lengths_val: ArrayLike | None = None,
    ) -> "Self":
        """Learn from sequences and their targets.

        If the loss diverges, training stops with a warning and the best weights are kept. Ctrl-C
        raises KeyboardInterrupt, as everywhere in Python, so that it ends a search or a program too;
        but the estimator is fitted then, with the weights of the last finished epoch (with
        `early_stopping`: of the best). Without a finished epoch it stays as it was.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns), \
                or list of n_samples arrays of shape (n_timesteps_of_sample, n_features)
            The sequences; for 2-D input see the parameter `n_timesteps`.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            The targets. With `return_sequences` for each time step: (n_samples, n_timesteps) or
            (n_samples, n_timesteps, n_targets), or a list of arrays as `X`.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, not negative; None means ones.

        lengths : array-like of int of shape (n_samples,), default=None
            Time steps of each sample; what follows them in `X` is padding, which is never looked at.
            None means all, or those of the arrays in a list.

        X_val : array-like shaped as `X`, default=None
            Sequences to validate on, instead of a part of `X`; needs `early_stopping=True`. A
            Pipeline transforms them as it does `X` with `Pipeline(..., transform_input=["X_val"])`.

        y_val : array-like shaped as `y`, default=None
            Their targets. :class:`~sklearn.compose.TransformedTargetRegressor` does not transform
            them: pass them transformed.

        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights; None means ones.

        lengths_val : array-like of int of shape (n_val,), default=None
            Their time steps; None means all.

        Returns
        -------
        self : estimator
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            If a parameter or an array has a wrong type, range or shape, or is not finite, if `X`
            or `y` holds dates, or if values are masked. An estimator that was fitted before stays
            as it was.

        KeyboardInterrupt
            At Ctrl-C.

        Warns
        -----
        UserWarning
            If a callback ends the training before its first epoch: the estimator stays as it was.

        ConvergenceWarning
            If the loss diverges, stops improving while worse than that of an output of 0, or is
            still improving after `max_iter` epochs.
        """
        held_out = (X_val, y_val, sample_weight_val, lengths_val)
        return self._fit(X, y, sample_weight, lengths, held_out)

    def _fit(
        self,
        X,
        y,
        sample_weight,
        lengths,
        held_out=None,
        *,
        incremental=False,
        classes=None,
    ):
        continuing = (incremental or self.warm_start) and hasattr(self, "_weights")
        if incremental and continuing:
            self._validate_params()  # scikit-learn does so before the first call only
        self._check_combinations()
        # All work is done on a copy: whatever stops it leaves this estimator as it was.
        model = self._copy_to_continue() if continuing else self._clone()
        if classes is not None:
            model.classes_ = classes
        train = model._check_samples(X, y, sample_weight, lengths, reset=not continuing)
        if continuing:
            model._check_same_network(train)
        else:
            model._initialize(train, check_random_state(self.random_state))
        validation = None if held_out is None else model._check_held_out(*held_out)
        if self.early_stopping and validation is None:
            train, validation = model._split(train, X)
        train = at_their_rows(train)
        if not continuing:
            model._learn_units(train)
        try:
            model._train(
                train, validation, incremental=incremental, adopt=partial(self._adopt, model)
            )
        except BaseException:
            if incremental and continuing:  # the loop appends to the list itself
                del self.loss_curve_[self.n_iter_ :]
            raise
        return self

    def _has_partial_fit(self):
        """Whether the parameters allow for it; for `sklearn.utils.metaestimators.available_if`."""
        if self.early_stopping:
            raise AttributeError(
                "partial_fit makes one pass over the samples and holds none of them out: it does not "
                "support early_stopping=True. Set early_stopping=False, or call fit."
            )
        return True

    def _check_combinations(self):
        """Refuse parameters that contradict each other."""
        if self.stateful and self.bidirectional:
            raise ValueError(
                "stateful=True carries what a window ends with to the next window, but bidirectional "
                "layers also read windows from their ends: set one of the two to False."
            )
        if self.stateful and self.shuffle:
            raise ValueError(
                "stateful=True takes the samples for consecutive windows of one series, in their "
                "order: set shuffle=False."
            )
        if self.stateful and self.window_scaling is not None:
            raise ValueError(
                f"window_scaling={self.window_scaling!r} has the network read each window on a scale "
                "of its own, across which no state can be carried: set stateful=False, or "
                "window_scaling=None."
            )
        check_callbacks(self.callbacks)

    def _clone(self):
        """An unfitted copy, with the caller's own callbacks: they may refuse to be copied."""
        parameters = {**self.get_params(deep=False), "callbacks": None}
        return clone(type(self)(**parameters)).set_params(callbacks=self.callbacks)

    def _snapshot(self):
        """This estimator as it is now, of whose attributes no fit in another thread changes a part."""
        model = object.__new__(type(self))
        vars(model).update(vars(self))
        return model

    def _copy_to_continue(self):
        """A copy with weights, optimiser and random stream of its own."""
        model = self._snapshot()
        for name in ("_weights", "_optimizer", "_random_state"):
            setattr(model, name, copy.deepcopy(getattr(self, name)))
        return model

    def _adopt(self, model):
        """Take over what `model` has learned, in one step that threads and Ctrl-C cannot part."""
        parameters = self.get_params(deep=False)
        learned = {name: value for name, value in vars(model).items() if name not in parameters}
        others = {name: value for name, value in vars(self).items() if name != "feature_names_in_"}
        self.__dict__ = others | learned

    def __getstate__(self):
        state = super().__getstate__()
        if "loss_curve_" in state:  # partial_fit goes on with the list itself
            state["loss_curve_"] = state["loss_curve_"][: state["n_iter_"]]
        return state

    @quiet_about_nan
    def _check_X(self, X, lengths=None, *, reset=False):
        """X as a validated view of sequences of float64 or float32, and their lengths."""
        refuse_dask("X", X)
        refuse_dates_and_masks("lengths", lengths)
        given = self._as_list(X, reset=reset)
        X, lengths = pad_sequences(given, lengths)
        is_array = X is given
        if self.stateful and isinstance(X, Windows) and X.n_series > 1:
            raise ValueError(
                "stateful=True takes the samples for consecutive windows of one series, got windows "
                f"of {X.n_series} series: pass those of one, or set stateful=False."
            )
        dtype = self.dtype if reset else self._parameters.dtype
        missing = self.missing == "mask" if reset else self._architecture.mask_missing
        X = validate_sequences(
            self,
            X,
            reset=reset,
            with_names=None if is_array else given[0],  # of a list
            dtype=SERIES_DTYPES,
            ensure_all_finite=False,
        )
        X = aligned(X)
        sequences = as_sequences(X, self.n_timesteps) if reset else self._as_in_fit(X)
        told = lengths is not None and is_array
        if lengths is None and not missing and not isinstance(sequences, Windows):
            lengths = lengths_before_padding(sequences)
        lengths = check_sequence_lengths(lengths, sequences, allow_nan=missing)
        check_range(sequences, lengths, dtype, allow_nan=missing, estimator=self)
        n_timesteps = sequences.shape[1]
        if reset:
            self._doubt_order(X)
            self.n_timesteps_ = n_timesteps if lengths is None else None
            self._was_told_lengths = told
        elif self.n_timesteps_ not in (None, n_timesteps) and lengths is None:
            raise ValueError(
                f"X has {n_timesteps} time steps, but {type(self).__name__} was fitted with "
                f"{self.n_timesteps_}. Pass sequences of {self.n_timesteps_} time steps, or their "
                "lengths, or fit again."
            )
        elif self._was_told_lengths and lengths is None and is_array:
            warnings.warn(
                f"X comes without lengths, and this {type(self).__name__} was fitted with some: all "
                f"{n_timesteps} time steps are read. Pass lengths, or fill what follows the end of a "
                "sequence with NaN.",
                stacklevel=users_level(),
            )
        return sequences, lengths

    def _doubt_order(self, X):
        """Warn of an X that shows by names or shape that it is laid out in another way."""
        message = None
        if X.ndim == 3 and X.shape[1] == 1 < X.shape[2] and not self.stateful:
            if self.n_timesteps is None:
                message = (
                    f"X has one time step of {X.shape[2]} features. If its axes are (n_samples, "
                    "n_features, n_timesteps), as sktime and aeon have them, put "
                    f"pylstm.SequenceLayout(order='features') before this {type(self).__name__} in a "
                    "pipeline; if not, set n_timesteps=1."
                )
        elif X.ndim == 2 and hasattr(self, "feature_names_in_"):
            doubts = doubts_about_order(self.feature_names_in_, self.n_timesteps)
            if doubts is not None:
                message = (
                    "The columns of X are read as time steps from the oldest to the newest, but "
                    f"{doubts}. Put pylstm.SequenceLayout() before this {type(self).__name__} in a "
                    "pipeline: it reads the names."
                )
        if message is not None:
            warnings.warn(message, stacklevel=users_level())

    def _as_list(self, X, *, reset=False):
        """Sequences one by one as a list of these; anything else as it is."""
        one_feature = not reset and self.n_features_in_ == self._architecture.n_features == 1
        return as_list_of_sequences(X, one_feature=one_feature)

    def _as_in_fit(self, X):
        """X as sequences of the features that the network reads, whatever `n_timesteps` is by now."""
        n_features = self._architecture.n_features
        n_timesteps = None
        if X.ndim == 2 and X.shape[1] % n_features == 0:
            n_timesteps = X.shape[1] // n_features
        sequences = as_sequences(X, n_timesteps)
        if sequences.shape[2] != n_features:
            raise ValueError(
                f"X has {sequences.shape[2]} features in each time step, but {type(self).__name__} "
                f"was fitted with {n_features}. Pass an X of the form in fit: sequences of three "
                "dimensions, or these flattened to two."
            )
        return sequences

    def _check_samples(self, X, y, sample_weight, lengths, *, reset):
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y "
                "is None."
            )
        sequences, lengths = self._check_X(X, lengths, reset=reset)
        y = aligned(self._check_y(y, sequences, lengths, reset=reset))
        self._check_n_samples(X, sequences, y)
        loss = self._make_loss(y)
        if loss._restricts_targets:
            padded = lengths is not None and self.return_sequences
            loss.check_targets(y[is_step(lengths, y.shape[1])] if padded else y)
        if sample_weight is not None:
            refuse_dates_and_masks("sample_weight", sample_weight)
            sample_weight = aligned(
                _check_sample_weight(
                    sample_weight,
                    sequences,
                    dtype=np.dtype(self.dtype if reset else self._parameters.dtype).type,
                    ensure_non_negative=True,
                )
            )
        sample_weight = self._combined_weight(y, sample_weight)
        if sample_weight is None:
            rows = np.arange(len(y), dtype=np.int64)
        else:
            rows = np.flatnonzero(sample_weight).astype(np.int64, copy=False)
        if len(rows) == 0:
            raise ValueError(
                f"All {len(y)} sample weights are zero: sample_weight must contain at least one "
                "non-zero number."
            )
        return Samples(sequences, lengths, y, sample_weight, rows)

    def _check_n_samples(self, X, sequences, y):
        levels = getattr(getattr(X, "index", None), "levels", [()])  # of a MultiIndex
        if len(y) == len(levels[0]) < len(sequences):
            raise ValueError(
                f"X has a row for each of {len(sequences)} time steps, of {len(y)} sequences by the first "
                "level of its index. Pass the sequences one by one, as a list: "
                "[table for _, table in X.groupby(level=0)]."
            )
        check_consistent_length(sequences, y)

    def _combined_weight(self, y, sample_weight):
        """The samples' weights together with those that the estimator gives them."""
        return sample_weight

    def _check_held_out(self, X_val, y_val, sample_weight_val, lengths_val):
        """The samples to validate on that the caller gave, if any."""
        if not self._are_held_out(X_val, y_val, sample_weight_val, lengths_val):
            return None
        validation = self._check_samples(X_val, y_val, sample_weight_val, lengths_val, reset=False)
        self._check_n_targets_val(validation.y.shape[-1])
        return large_enough(validation)

    def _check_n_targets_val(self, n_targets):
        if n_targets != self._n_targets:
            raise ValueError(f"y_val has {n_targets} outputs, but y has {self._n_targets}.")

    def _are_held_out(self, X_val, y_val, sample_weight_val, lengths_val):
        """Whether there are any; what is half given is refused."""
        if X_val is None and y_val is None:
            for name, value in (
                ("sample_weight_val", sample_weight_val),
                ("lengths_val", lengths_val),
            ):
                if value is not None:
                    raise ValueError(f"{name} is provided, but X_val and y_val were not provided.")
            return False
        if y_val is None:
            raise ValueError("X_val is provided, but y_val was not provided.")
        if X_val is None:
            raise ValueError("y_val is provided, but X_val was not provided.")
        if not self.early_stopping:
            raise ValueError(
                "X_val and y_val are passed to fit while at the same time early_stopping is "
                "False. When passing X_val and y_val to fit, early_stopping should be set to True."
            )
        return True

    def _check_same_network(self, samples):
        """Refuse to continue with parameters or targets that the network in use does not fit."""
        arch = self._architecture
        differences = [
            f"{name}={value} (was {fitted})"
            for name, value, fitted in [
                ("hidden_size", self.hidden_size, arch.hidden_size),
                ("num_layers", self.num_layers, arch.num_layers),
                ("bidirectional", self.bidirectional, arch.bidirectional),
                ("return_sequences", self.return_sequences, arch.return_sequences),
                ("missing", self.missing, "mask" if arch.mask_missing else "error"),
                ("highway", self._highway_steps(), arch.highway),
                ("standardize", bool(self.standardize), self._standardizes),
                ("window_scaling", self.window_scaling, self._units.kind),
                ("dtype", self.dtype, self._parameters.dtype.name),
                ("the loss", self._make_loss(samples.y), self._loss),
                ("the number of outputs in y", samples.y.shape[-1], self._n_targets),
            ]
            if value != fitted
        ]
        if differences:
            raise ValueError(
                f"The weights of {type(self).__name__} were made for another network: "
                f"{', '.join(differences)}. Set it back, or start afresh with fit and "
                "warm_start=False."
            )

    def _split(self, samples, X):
        """Part the samples of X into those to train on and those to validate on."""
        from sklearn.model_selection import train_test_split

        if isinstance(X, Windows):  # which know their series and times
            train_rows, validation_rows = hold_out_last(X, self.validation_fraction, samples.rows)
            return (
                samples._replace(rows=train_rows),
                large_enough(samples._replace(rows=validation_rows)),
            )
        train_rows, validation_rows = train_test_split(
            samples.rows,
            test_size=self.validation_fraction,
            shuffle=self.shuffle,
            random_state=self._split_seed if self.shuffle else None,
            stratify=self._strata(samples) if self.shuffle else None,
        )
        return (
            samples._replace(rows=train_rows),
            large_enough(samples._replace(rows=validation_rows)),
        )

    def _initialize(self, samples, random_state):
        """A new network, and what a first fit and those that continue it have in common."""
        self._n_targets = samples.y.shape[-1]
        self._loss = self._make_loss(samples.y)
        self._architecture = core.Architecture(
            n_features=samples.X.shape[2],
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            n_outputs=self._loss.n_outputs(self._n_targets),
            bidirectional=bool(self.bidirectional),
            return_sequences=bool(self.return_sequences),
            mask_missing=self.missing == "mask",
            highway=self._highway_steps(),
        )
        # Own streams: every later call continues the shuffling and validates on the same samples.
        seeds = random_state.randint(np.iinfo(np.int32).max, size=3).tolist()
        self._weights = Weights(
            core.init_parameters(
                self._architecture,
                dtype=self.dtype,
                random_state=seeds[0],
                forget_bias=self.forget_bias,
                n_timesteps=samples.X.shape[1],
                n_threads=self.n_jobs,
            )
        )
        self._split_seed = seeds[1]
        self._random_state = np.random.RandomState(seeds[2])
        self.n_outputs_ = self._n_targets
        self.loss_curve_ = []
        self.validation_scores_ = None
        self.n_iter_ = self.t_ = 0

    @quiet_about_nan
    def _learn_units(self, samples):
        """How the network's numbers follow from those of X and y, from the samples to train on."""
        n_threads = core.effective_n_threads(self.n_jobs)
        self._learn_units_over(partial(over_chunks, samples, n_threads))

    def _learn_units_over(self, over):
        """The same from their chunks, wherever they are; see `fit_units`."""
        features = self._scaled_features(self._architecture.n_features)
        self._standardizes = bool(self.standardize)
        self._units = fit_units(
            over,
            self.window_scaling,
            features,
            self._features_of_targets(self._n_targets, features),
            standardize=self._standardizes,
            steps=self._architecture.return_sequences,
            positive=isinstance(self._loss, core.Poisson),
        )

    def _scaled_features(self, n_features):
        """Which features a window's own statistics scale, as a mask."""
        if self.window_features is None:
            return np.ones(n_features, dtype=bool)
        features = np.zeros(n_features, dtype=bool)
        features[check_columns("window_features", self.window_features, n_features)] = True
        return features

    def _to_network(self, samples):
        """The samples to train on as the network learns them."""
        n_threads = core.effective_n_threads(self.n_jobs)
        levels, scaling = self._units.of_windows(samples.X, samples.lengths, n_threads)
        dtype, y = self._parameters.dtype, samples.y
        if self._units.targets is not None:
            y = self._units.to_network(y, levels, self._architecture.return_sequences)
        with np.errstate(over="ignore"):  # the check reports it
            y = np.ascontiguousarray(y, dtype)
        if not np.isfinite(y[samples.rows]).all():
            raise ValueError(f"Input y contains a value too large for {dtype!r}.")
        return samples._replace(y=y, scaling=scaling)

    def _strata(self, samples):
        """What the samples held out shall have in the same proportions as all; None for nothing."""
        return None

    def _set_optimizer(self, *, renew=False):
        """Continue with the optimiser in use, unless the solver or its settings have changed."""
        optimizer_class, keywords = _SOLVERS[self.solver]
        settings = {keyword: getattr(self, name) for keyword, name in keywords.items()}
        current = getattr(self, "_optimizer", None)  # None too in a copy without it
        if (
            renew
            or type(current) is not optimizer_class
            or any(getattr(current, keyword) != value for keyword, value in settings.items())
        ):
            self._optimizer = optimizer_class(
                len(self._parameters), self._parameters.dtype, **settings
            )

    def _train(self, train, validation, *, incremental, adopt):
        """Train for one epoch if `incremental`, else until convergence or for `max_iter` epochs."""
        n_threads = core.effective_n_threads(self.n_jobs)
        self._set_optimizer()
        self._carries_state = bool(self.stateful)
        score = None
        if validation is not None:
            score = partial(self._score_samples, validation, n_threads)
        epochs = LocalEpochs(self, self._to_network(train), self._training_loss(), n_threads)
        TrainingLoop(self, epochs, score, incremental=incremental).run(adopt)

    def _training_loss(self):
        """What the network makes small, in the units that it learns."""
        if self._units.targets is None:
            return self._loss
        return self._loss._for_scaled_targets(self._units.targets.scale)

    def _advice(self):
        advice = (
            f"Lower learning_rate_init (now {self.learning_rate_init}), and set or lower max_grad_norm "
            f"(now {self.max_grad_norm})."
        )
        return advice if self.standardize else f"{advice} Use standardize=True."

    def _score_samples(self, samples, n_threads):
        """Validation score of the present weights; nan if an output is not finite."""
        to_score = self._to_score(samples, n_threads)
        return np.nan if to_score is None else float(self._validation_score(*to_score))

    def _to_score(self, samples, n_threads):
        """Targets, what is scored for them, and weights; None if an output is not finite."""
        rows, parts, state = samples.rows, [], None
        for chunk in _chunks_of(samples.X, len(rows)):
            here = rows[chunk]
            inputs = self._inputs(
                np.asarray(samples.X[here]), _rows_of(samples.lengths, here), n_threads
            )
            output, state = self._run_network(inputs, state, n_threads)
            if not np.isfinite(output).all():
                return None
            parts.append(self._to_be_scored(output, inputs.levels))
        return self._by_step(
            _rows_of(samples.lengths, rows),
            samples.y[rows],
            np.concatenate(parts),
            _rows_of(samples.sample_weight, rows),
        )

    def _by_step(self, lengths, y, predicted, weight):
        """The same with a row for each time step, if there is an output for each."""
        if not self._architecture.return_sequences:
            return y, predicted, weight
        n, n_timesteps = y.shape[:2]
        lengths = np.full(n, n_timesteps) if lengths is None else lengths
        steps = is_step(lengths, n_timesteps)
        return y[steps], predicted[steps], None if weight is None else np.repeat(weight, lengths)

    # Using what was learned

    @property
    def _parameters(self):
        """The flat vector of the weights in use."""
        return self._weights.parameters

    def _inputs(self, X, lengths, n_threads):
        """Checked sequences as the network reads them."""
        if not isinstance(X, Windows) or self._units.kind is None:
            return Inputs(X, lengths, *self._units.of_windows(X, lengths, n_threads))
        parts = [
            self._units.of_windows(np.asarray(X[chunk]), _rows_of(lengths, chunk), n_threads)
            for chunk in _chunks_of(X)
        ]
        levels, scaling = (
            None
            if pairs[0] is None
            else pairs[0]._make(map(np.concatenate, zip(*pairs, strict=True)))
            for pairs in zip(*parts, strict=True)
        )
        return Inputs(X, lengths, levels, scaling)

    def _check_inputs(self, X, lengths):
        """The same for what users pass."""
        check_is_fitted(self)
        listed = self._as_list(X)
        inputs = self._inputs(
            *self._check_X(listed, lengths), core.effective_n_threads(self.n_jobs)
        )
        return inputs._replace(container=type(X) if is_list_of_sequences(listed) else None)

    def _as_given(self, inputs, predictions):
        """Predictions of time steps for each sequence by itself, where X holds sequences so."""
        if inputs.container is None or not self._architecture.return_sequences:
            return predictions
        lengths = inputs.lengths
        if lengths is None:
            lengths = np.full(len(predictions), predictions.shape[1])
        pieces = [steps[:length].copy() for steps, length in zip(predictions, lengths, strict=True)]
        if issubclass(inputs.container, list | tuple):
            return pieces
        array = np.empty(len(pieces), dtype=object)
        for n, piece in enumerate(pieces):  # NumPy would make one array of pieces of one length
            array[n] = piece
        return array

    def _call(self, function, inputs, state, n_threads, **options):
        """Call a function of `_unchecked` for inputs and the states that they start from."""
        h, c = (None, None) if state is None else state
        return function(
            self._parameters,
            inputs.X,
            self._architecture,
            lengths=inputs.lengths,
            h0=h,
            c0=c,
            scaling=inputs.scaling,
            n_threads=n_threads,
            **options,
        )

    def _run_network(self, inputs, state, n_threads, *, return_state=False):
        """Outputs of the network, and the states to go on from (None where nobody does)."""
        if isinstance(inputs.X, Windows):
            if state is None and not return_state and not self._carries_state:
                parts = [
                    self._run_network(inputs.take(chunk), None, n_threads)[0]
                    for chunk in _chunks_of(inputs.X)
                ]
                return np.concatenate(parts), None
            inputs = inputs.as_array()
        predict = partial(self._call, _unchecked.predict)
        if not self._carries_state:
            result = predict(inputs, state, n_threads, return_states=return_state)
            return (result[0], States(*result[1:])) if return_state else (result, None)
        # consecutive windows of one series, each from the states that the one before has left
        outputs = []
        for window in range(len(inputs.X)):
            window = inputs.take(slice(window, window + 1))
            output, *state = predict(window, state, 1, return_states=True)
            outputs.append(output)
        return np.concatenate(outputs), States(*state)

    def _finite_output(self, inputs, state=None, *, return_state=False):
        """Outputs of the network, all finite, and the final states."""
        if state is not None:
            h, c = state
            n_states = 1 if self._carries_state else len(inputs.X)
            shape = self._architecture._states_shape(n_states)
            state = check_states(("h0", h), ("c0", c), shape, self._parameters.dtype)
        n_threads = core.effective_n_threads(self.n_jobs)
        output, state = self._run_network(inputs, state, n_threads, return_state=return_state)
        self._refuse_infinite(output)
        return output, state

    def _refuse_infinite(self, predictions):
        finite = np.isfinite(predictions)
        if not finite.all():
            n_bad = np.count_nonzero(~finite.reshape(len(predictions), -1).all(axis=1))
            raise ValueError(
                f"{n_bad} of {len(predictions)} predictions are not finite: the weights or X are "
                f"too large for {self._parameters.dtype}. {self._advice()}"
            )

    def _in_dtype_of(self, X, result):
        """float64, unless X is float32."""
        if getattr(X, "dtype", None) != np.float32:
            return result.astype(np.float64, copy=False)
        return result

    def _states_before(self, inputs):
        """The states that the samples start from; None for zeros."""
        if not self._carries_state:
            return None
        n = len(inputs.X)
        h, c = np.zeros((2, *self._architecture._states_shape(n)), self._parameters.dtype)
        state = None
        for window in range(n - 1):
            _, state = self._run_network(inputs.take(slice(window, window + 1)), state, 1)
            h[:, window + 1], c[:, window + 1] = state.h[:, 0], state.c[:, 0]
        return h, c

    def fit_transform(
        self,
        X: Any,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: ArrayLike | None = None,
        lengths_val: ArrayLike | None = None,
    ) -> Any:
        """Fit, then transform the same sequences.

        Parameters
        ----------
        X, y, sample_weight, lengths, X_val, y_val, sample_weight_val, lengths_val
            As for `fit`.

        Returns
        -------
        X_new : ndarray of shape (n_samples, num_directions * hidden_size)
            As of `transform`.
        """
        self.fit(
            X,
            y,
            sample_weight,
            lengths=lengths,
            X_val=X_val,
            y_val=y_val,
            sample_weight_val=sample_weight_val,
            lengths_val=lengths_val,
        )
        return self.transform(X, lengths=lengths)

    def transform(self, X: Any, *, lengths: ArrayLike | None = None) -> Any:
        """The final hidden states of the top layer: features for other estimators.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns), \
                or list of n_samples arrays of shape (n_timesteps_of_sample, n_features)
            The sequences.

        lengths : array-like of int of shape (n_samples,), default=None
            Time steps of each sample; None means all.

        Returns
        -------
        X_new : ndarray of shape (n_samples, num_directions * hidden_size)
            Hidden states after the last step; of both directions, side by side, in a bidirectional
            network.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.

        TypeError, ValueError
            If `X` has another shape than in `fit` or is not finite.
        """
        inputs = self._check_inputs(X, lengths).as_array()
        state, n_threads = self._states_before(inputs), core.effective_n_threads(self.n_jobs)
        _, h_n, _ = self._call(_unchecked.predict, inputs, state, n_threads, return_states=True)
        top = h_n[-self._architecture.num_directions :]  # (directions, n_samples, hidden_size)
        return self._in_dtype_of(X, top.transpose(1, 0, 2).reshape(len(inputs.X), -1))

    @property
    def _n_features_out(self):
        arch = self._architecture
        return arch.num_directions * arch.hidden_size

    @of_one_fit
    def gate_activations(
        self,
        X: Any,
        *,
        lengths: ArrayLike | None = None,
        layer: int = -1,
        direction: str = "forward",
    ) -> core.GateActivations:
        """What the gates of one layer do at each time step.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns), \
                or list of n_samples arrays of shape (n_timesteps_of_sample, n_features)
            The sequences.

        lengths : array-like of int of shape (n_samples,), default=None
            Time steps of each sample; None means all.

        layer : int, default=-1
            The layer, from 0; negative numbers count from the top.

        direction : {"forward", "reverse"}, default="forward"
            Which cells of a bidirectional layer.

        Returns
        -------
        activations : pylstm.core.GateActivations
            A named tuple of arrays (n_samples, n_timesteps, hidden_size): `input` gate, `forget`
            gate, `candidate` (the new memory), `output` gate, `cell` state and `hidden` state after
            the step. Zeros after a sample's end.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.

        TypeError, ValueError
            If `X` has another shape than in `fit` or is not finite, or there is no such layer.

        See Also
        --------
        pylstm.inspection.LSTMGateDisplay : Draws them.
        """
        check_is_fitted(self)
        arch = self._architecture
        if not isinstance(layer, Integral) or not -arch.num_layers <= layer < arch.num_layers:
            raise ValueError(
                f"layer must be an integer from {-arch.num_layers} to {arch.num_layers - 1}, got "
                f"{layer!r}."
            )
        directions = ("forward", "reverse")[: arch.num_directions]
        if direction not in directions:
            raise ValueError(
                f"direction must be one of {directions}, got {direction!r}: only a bidirectional "
                "network has a reverse direction."
            )
        inputs = self._check_inputs(X, lengths).as_array()
        state, n_threads = self._states_before(inputs), core.effective_n_threads(self.n_jobs)
        traces = self._call(_unchecked.gate_activations, inputs, state, n_threads)
        cell = layer % arch.num_layers * arch.num_directions + directions.index(direction)
        return core.GateActivations(*traces[:, cell])

    @of_one_fit
    def stream(self) -> "PredictionStream":
        """A predictor that takes one time step at a time, in microseconds.

        Returns
        -------
        stream : PredictionStream
            Its `step(x)` takes the features of a time step, of shape (n_features,), and returns
            what the network makes of the sequence so far, in the network's dtype: after the last
            step, the very bits of `predict` (of `predict_proba` for a classifier) for the whole
            sequence, as a scalar or of shape (n_targets,). `reset()` starts the next sequence;
            `states` are the hidden and cell states, and may be set.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.

        ValueError
            If the network is bidirectional.
        """
        check_is_fitted(self)
        if self._units.kind is not None:
            raise ValueError(
                f"window_scaling={self._units.kind!r} scales each window by its own statistics, which "
                "are not known before its end: a stream cannot. Predict whole windows, or fit with "
                "window_scaling=None."
            )
        return PredictionStream(
            self._parameters, self._architecture, self._to_predictions, self._units.scaling
        )

    def without_optimizer(self) -> "Self":
        """A copy for prediction alone: without what only further training needs.

        An optimiser's moments, and what an average of the weights has gathered, are one to five times
        as large as the weights, in memory and in a pickle.

        Returns
        -------
        model : estimator
            It predicts the same bits, from weights of its own. If it is trained further all the same,
            by `partial_fit` or with `warm_start`, optimiser and average start afresh.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.

        Examples
        --------
        >>> import pickle
        >>> import numpy as np
        >>> from pylstm import LSTMRegressor
        >>> X, y = np.random.default_rng(0).normal(size=(40, 6, 1)), np.zeros(40)
        >>> model = LSTMRegressor(n_iter_no_change=np.inf, max_iter=3).fit(X, y)
        >>> small = model.without_optimizer()
        >>> bool((small.predict(X) == model.predict(X)).all())
        True
        >>> len(pickle.dumps(small)) < len(pickle.dumps(model)) / 2
        True
        """
        check_is_fitted(self)
        model = copy.copy(self)
        model._weights = Weights(self._parameters.copy())
        model._optimizer = None
        return model

    @of_one_fit
    def _named_parameters(self):
        check_is_fitted(self)
        return core.unpack_parameters(self._parameters, self._architecture)

    def _cells(self, letter):
        return [
            array
            for name, array in self._named_parameters().items()
            if name[0] == letter and name != letter
        ]

    @property
    def input_coefs_(self) -> list[Floats]:
        """Input weights W of each layer and direction, views of shape (n_in, 4 * hidden_size)."""
        return self._cells("W")

    @property
    def recurrent_coefs_(self) -> list[Floats]:
        """Recurrent weights U of each, views of shape (hidden_size, 4 * hidden_size)."""
        return self._cells("U")

    @property
    def gate_intercepts_(self) -> list[Floats]:
        """Biases b of each one's gates, views of shape (4 * hidden_size,)."""
        return self._cells("b")

    @property
    def output_coef_(self) -> Floats:
        """Weights V of the output, a view of shape (num_directions * hidden_size, n_outputs)."""
        return self._named_parameters()["V"]

    @property
    def output_intercept_(self) -> Floats:
        """Bias d of the output, a view of shape (n_outputs,)."""
        return self._named_parameters()["d"]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.missing == "mask"
        preserves = ["float64", "float32"] if self.dtype == "float32" else ["float64"]
        tags.transformer_tags.preserves_dtype = preserves
        return tags


# Around the wrapper by which scikit-learn names the columns for `set_output`, of the same fit.
BaseLSTM.transform = of_one_fit(BaseLSTM.transform)  # type: ignore[method-assign]


class PredictionStream(core.Stream):
    """What `BaseLSTM.stream` returns: `pylstm.core.Stream`, its outputs turned into predictions."""

    def __init__(self, params, arch, to_predictions, scaling):
        super().__init__(params, arch, scaling)
        self._to_predictions = to_predictions

    def step(self, x: ArrayLike) -> Array:
        """Take the next time step; see `BaseLSTM.stream`."""
        output = super().step(x)
        if self._arch.return_sequences:  # the sample, and its time step
            at_step: Array = self._to_predictions(output[np.newaxis, np.newaxis])
            return at_step[0, 0]
        prediction: Array = self._to_predictions(output[np.newaxis])
        return prediction[0]


def _chunks_of(X, n=None):
    """Slices of n samples, by default of X's, that are looked at at a time."""
    chunk_size = max(1, _SCORED_AT_ONCE // (X.shape[1] * X.shape[2]))
    return gen_batches(len(X) if n is None else n, chunk_size)


def _rows_of(array, rows):
    return None if array is None else array[rows]


def large_enough(validation):
    """The validation samples, of which a score such as R^2 needs two."""
    if len(validation.rows) < 2:
        raise ValueError(
            "The validation set has 1 sample of non-zero weight, but at least 2 are needed to "
            "score it. Increase validation_fraction, or pass more samples."
        )
    return validation
