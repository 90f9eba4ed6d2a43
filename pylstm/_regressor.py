"""The estimators: scikit-learn's conventions around `pylstm.core`, and the one training loop."""

import copy
import warnings
from abc import ABC, abstractmethod
from hashlib import blake2b
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state, column_or_1d, gen_batches
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
)

from . import core
from ._persistence import VersionedStateMixin
from ._progress import Progress
from ._validation import as_sequences, validate_sequences

# Each solver's optimiser, and the parameters of the estimator behind its keywords.
_SOLVERS = {
    "adam": (core.Adam, {"beta_1": "beta_1", "beta_2": "beta_2", "epsilon": "epsilon"}),
    "sgd": (core.SGD, {"momentum": "momentum", "nesterov": "nesterovs_momentum"}),
}

# Values of X that are gathered at a time to score the validation samples, so that memory does not
# grow with their number.
_SCORED_AT_ONCE = 2**22


class _Samples(NamedTuple):
    """Checked samples; `rows` are those in use, so that a part of X needs no copy of it."""

    X: np.ndarray  # (n_samples, n_timesteps, n_features)
    y: np.ndarray  # (n_samples, n_outputs)
    sample_weight: np.ndarray | None  # (n_samples,)
    rows: np.ndarray  # indices of samples, none of zero weight


class _BaseLSTM(VersionedStateMixin, BaseEstimator, ABC):
    """Training, weights and persistence: what the head and the kind of target leave the same."""

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's name and form)
        "hidden_size": [Interval(Integral, 1, None, closed="left")],
        "num_layers": [Interval(Integral, 1, None, closed="left")],
        "n_timesteps": [Interval(Integral, 1, None, closed="left"), None],
        "solver": [StrOptions(set(_SOLVERS))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
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
    def _check_y(self, y):
        """Validated targets of shape (n_samples, n_outputs), in the dtype of the network."""

    @abstractmethod
    def _validation_score(self, y, output, sample_weight):
        """Score of the network's output, the greater the better."""

    @abstractmethod
    def _loss_of_zero_output(self, y, sample_weight):
        """Mean loss if the network's output were zero for every sample."""

    # Fitting

    def _fit(
        self,
        X,
        y,
        sample_weight=None,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
        *,
        incremental=False,
    ):
        continuing = (incremental or self.warm_start) and hasattr(self, "_parameters")
        if incremental:
            if continuing:
                self._validate_params()  # scikit-learn does so before the first call only
            if self.early_stopping:
                raise ValueError(
                    "partial_fit makes one pass over the samples and holds none of them out: it "
                    "does not support early_stopping=True. Set early_stopping=False, or call fit."
                )
        # All work is done on a copy: whatever stops it leaves this estimator as it was.
        model = self._copy_to_continue() if continuing else clone(self)
        train = model._check_samples(X, y, sample_weight, reset=not continuing)
        if continuing:
            model._check_same_network(train)
        else:
            model._initialize(train, check_random_state(self.random_state))
        validation = model._check_validation_samples(X_val, y_val, sample_weight_val)
        if self.early_stopping and validation is None:
            train, validation = model._split(train)
        model._set_optimizer()
        model._run_epochs(train, validation, incremental=incremental)
        self._adopt(model)
        return self

    def _copy_to_continue(self):
        """A copy with weights, optimiser and random stream of its own."""
        model = copy.copy(self)
        for name in ("_parameters", "_optimizer", "_random_state"):
            setattr(model, name, copy.deepcopy(getattr(self, name)))
        return model

    def _adopt(self, model):
        """Take over what `model` has learned."""
        vars(self).pop("feature_names_in_", None)
        parameters = self.get_params(deep=False)
        learned = {name: value for name, value in vars(model).items() if name not in parameters}
        vars(self).update(learned)

    def _check_X(self, X, *, reset=False):
        """X as a validated view of sequences in the dtype of the network."""
        dtype = self.dtype if reset else self._parameters.dtype
        with np.errstate(over="ignore"):  # the check for infinity reports it
            X = validate_sequences(self, X, reset=reset, dtype=dtype)
        sequences = as_sequences(X, self.n_timesteps)
        n_timesteps = sequences.shape[1]
        if reset:
            self.n_timesteps_ = n_timesteps
        elif n_timesteps != self.n_timesteps_:
            raise ValueError(
                f"X has {n_timesteps} time steps, but {type(self).__name__} was fitted with "
                f"{self.n_timesteps_}. Pass sequences of {self.n_timesteps_} time steps, or fit "
                "again."
            )
        return sequences

    def _check_samples(self, X, y, sample_weight, *, reset):
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target y "
                "is None."
            )
        sequences = self._check_X(X, reset=reset)
        y = self._check_y(y)
        check_consistent_length(sequences, y)
        if sample_weight is None:
            return _Samples(sequences, y, None, np.arange(len(y), dtype=np.int64))
        sample_weight = _check_sample_weight(
            sample_weight, sequences, dtype=sequences.dtype, ensure_non_negative=True
        )
        rows = np.flatnonzero(sample_weight).astype(np.int64, copy=False)
        if len(rows) == 0:
            raise ValueError(
                f"All {len(y)} sample weights are zero: sample_weight must contain at least one "
                "non-zero number."
            )
        return _Samples(sequences, y, sample_weight, rows)

    def _check_validation_samples(self, X_val, y_val, sample_weight_val):
        """The samples to validate on that the caller gave, if any."""
        if X_val is None and y_val is None:
            if sample_weight_val is not None:
                raise ValueError(
                    "sample_weight_val is provided, but X_val and y_val were not provided."
                )
            return None
        if y_val is None:
            raise ValueError("X_val is provided, but y_val was not provided.")
        if X_val is None:
            raise ValueError("y_val is provided, but X_val was not provided.")
        if not self.early_stopping:
            raise ValueError(
                "X_val and y_val are passed to fit while at the same time early_stopping is "
                "False. When passing X_val and y_val to fit, early_stopping should be set to True."
            )
        validation = self._check_samples(X_val, y_val, sample_weight_val, reset=False)
        if validation.y.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y_val has {validation.y.shape[1]} outputs, but y has {self.n_outputs_}."
            )
        return _large_enough(validation)

    def _check_same_network(self, samples):
        """Refuse to continue with parameters or targets that the network in use does not fit."""
        arch = self._architecture
        differences = [
            f"{name}={value} (was {fitted})"
            for name, value, fitted in [
                ("hidden_size", self.hidden_size, arch.hidden_size),
                ("num_layers", self.num_layers, arch.num_layers),
                ("dtype", self.dtype, self._parameters.dtype.name),
                ("the number of outputs in y", samples.y.shape[1], arch.n_outputs),
            ]
            if value != fitted
        ]
        if differences:
            raise ValueError(
                f"The weights of {type(self).__name__} were made for another network: "
                f"{', '.join(differences)}. Set it back, or start afresh with fit and "
                "warm_start=False."
            )

    def _split(self, samples):
        """Part the samples into those to train on and those to validate on."""
        from sklearn.model_selection import train_test_split

        train_rows, validation_rows = train_test_split(
            samples.rows,
            test_size=self.validation_fraction,
            shuffle=self.shuffle,
            random_state=self._split_seed if self.shuffle else None,
        )
        return (
            samples._replace(rows=train_rows),
            _large_enough(samples._replace(rows=validation_rows)),
        )

    def _initialize(self, samples, random_state):
        """A new network, and what a first fit and those that continue it have in common."""
        self._architecture = core.Architecture(
            n_features=samples.X.shape[2],
            hidden_size=self.hidden_size,
            num_layers=self.num_layers,
            n_outputs=samples.y.shape[1],
        )
        # Own streams: every later call continues the shuffling and validates on the same samples.
        seeds = random_state.randint(np.iinfo(np.int32).max, size=3).tolist()
        self._parameters = core.init_parameters(
            self._architecture, dtype=self.dtype, random_state=seeds[0]
        )
        self._split_seed = seeds[1]
        self._random_state = np.random.RandomState(seeds[2])
        self.n_outputs_ = self._architecture.n_outputs
        self.loss_curve_ = []
        self.validation_scores_ = None
        self.t_ = 0

    def _set_optimizer(self, *, renew=False):
        """Continue with the optimiser in use, unless the solver or its settings have changed."""
        optimizer_class, keywords = _SOLVERS[self.solver]
        settings = {keyword: getattr(self, name) for keyword, name in keywords.items()}
        current = getattr(self, "_optimizer", None)
        if (
            renew
            or type(current) is not optimizer_class
            or any(getattr(current, keyword) != value for keyword, value in settings.items())
        ):
            self._optimizer = optimizer_class(
                len(self._parameters), self._parameters.dtype, **settings
            )
        self._optimizer.learning_rate = self.learning_rate_init

    def _run_epochs(self, train, validation, *, incremental):
        """Train for one epoch if `incremental`, else until convergence or for `max_iter` epochs."""
        n_epochs = 1 if incremental else self.max_iter
        n_threads = core.effective_n_threads(self.n_jobs)
        n_samples = len(train.rows)
        if n_samples <= self.batch_size:
            train = _merge_equal_samples(train)
        self.loss_curve_ = [*self.loss_curve_]
        self.validation_scores_ = None if validation is None else [*(self.validation_scores_ or [])]

        # The figure to increase is the validation score, or the negated training loss.
        best = -np.inf
        if validation is not None and self.loss_curve_:
            best = self._score_samples(validation, n_threads)
        best_parameters = last_parameters = self._parameters.copy()
        n_stalled = 0
        asked_for = incremental or self.n_iter_no_change == np.inf
        outcome = "all epochs asked for" if asked_for else "unfinished"
        try:
            with Progress(n_epochs, self.verbose) as progress:
                for _ in range(n_epochs):
                    loss = self._train_epoch(train, n_threads)
                    if not np.isfinite(loss):
                        outcome = "diverged"
                        break
                    score = None
                    if validation is not None:
                        score = self._score_samples(validation, n_threads)
                    last_parameters = self._parameters.copy()
                    self.loss_curve_.append(loss)
                    if validation is not None:
                        self.validation_scores_.append(score)
                    self.t_ += n_samples
                    progress.update(loss, score)

                    figure = -loss if validation is None else score
                    n_stalled = 0 if figure >= best + self.tol else n_stalled + 1
                    if figure > best:
                        best, best_parameters = figure, last_parameters
                    if n_stalled >= self.n_iter_no_change:
                        outcome = "converged"
                        break
        except KeyboardInterrupt:
            outcome = "interrupted"

        if outcome == "converged" and validation is None:
            zero = self._loss_of_zero_output(train.y, train.sample_weight)
            if loss > zero + self.tol:
                outcome = "useless"
        keep_best = validation is not None or outcome in ("diverged", "useless")
        self._parameters = best_parameters if keep_best else last_parameters
        if outcome == "diverged":
            self._set_optimizer(renew=True)  # its moments are of the steps that led astray
        self.n_iter_ = len(self.loss_curve_)
        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else np.nan
        self.best_loss_ = min(self.loss_curve_, default=np.inf) if validation is None else None
        self.best_validation_score_ = None if validation is None else best
        self._warn_of(outcome)

    def _train_epoch(self, train, n_threads):
        """Mean loss of one pass over the samples, in which weights and optimiser are updated."""
        order = train.rows
        if self.shuffle and len(order) > self.batch_size:
            order = self._random_state.permutation(order)
        return core.train(
            self._parameters,
            train.X,
            train.y,
            self._architecture,
            self._optimizer,
            order=order,
            batch_size=self.batch_size,
            sample_weight=train.sample_weight,
            alpha=self.alpha,
            max_grad_norm=self.max_grad_norm,
            n_threads=n_threads,
        )

    def _warn_of(self, outcome):
        """Tell the user what the end of the training asks for, if anything."""
        messages = {
            "interrupted": f"Training was interrupted after {self.n_iter_} epochs. The weights of "
            f"the {'best' if self.early_stopping else 'last'} finished epoch are kept.",
            "diverged": f"Training diverged in epoch {self.n_iter_ + 1}: the loss or its gradient "
            f"was not finite. The best weights so far are kept. {self._advice()}",
            "useless": f"Training stopped improving at a loss of {self.loss_:.4g}, worse than that "
            "of predicting 0 for every sample. The weights of the best epoch are kept. "
            + self._advice(),
            "unfinished": f"Training reached max_iter={self.max_iter} epochs before the "
            f"{'validation score' if self.early_stopping else 'loss'} stopped improving by "
            f"tol={self.tol} in {self.n_iter_no_change} epochs. Raise max_iter or tol, or let "
            "early_stopping decide on held-out samples.",
        }
        if outcome in messages:
            category = UserWarning if outcome == "interrupted" else ConvergenceWarning
            warnings.warn(messages[outcome], category, stacklevel=6)  # at the caller of fit

    def _advice(self):
        return (
            f"Lower learning_rate_init (now {self.learning_rate_init}), set or lower max_grad_norm "
            f"(now {self.max_grad_norm}), and standardise X and y (StandardScaler, "
            "SequenceScaler, TransformedTargetRegressor)."
        )

    def _score_samples(self, samples, n_threads):
        """Validation score of the present weights; nan if an output is not finite."""
        rows = samples.rows
        output = np.empty((len(rows), self._architecture.n_outputs), self._parameters.dtype)
        chunk_size = max(1, _SCORED_AT_ONCE // samples.X[0].size)
        for chunk in gen_batches(len(rows), chunk_size):
            output[chunk] = core.predict(
                self._parameters, samples.X[rows[chunk]], self._architecture, n_threads=n_threads
            )
        if not np.isfinite(output).all():
            return np.nan
        weight = None if samples.sample_weight is None else samples.sample_weight[rows]
        return float(self._validation_score(samples.y[rows], output, weight))

    # Using what was learned

    def _predict_output(self, X):
        """Output of the network, of shape (n_samples, n_outputs)."""
        check_is_fitted(self)
        output = core.predict(
            self._parameters,
            self._check_X(X),
            self._architecture,
            n_threads=core.effective_n_threads(self.n_jobs),
        )
        if not np.isfinite(output).all():
            raise ValueError(
                f"{np.count_nonzero(~np.isfinite(output).all(axis=1))} of {len(output)} "
                f"predictions are not finite: the weights or X are too large for "
                f"{self._parameters.dtype}. {self._advice()}"
            )
        return output

    def _named_parameters(self):
        check_is_fitted(self)
        return core.unpack_parameters(self._parameters, self._architecture)

    def _layers(self, letter):
        parameters = self._named_parameters()
        return [parameters[f"{letter}{layer}"] for layer in range(self._architecture.num_layers)]

    @property
    def input_coefs_(self):
        """Input weights W of each layer, views of shape (n_in, 4 * hidden_size)."""
        return self._layers("W")

    @property
    def recurrent_coefs_(self):
        """Recurrent weights U of each layer, views of shape (hidden_size, 4 * hidden_size)."""
        return self._layers("U")

    @property
    def gate_intercepts_(self):
        """Biases b of each layer's gates, views of shape (4 * hidden_size,)."""
        return self._layers("b")

    @property
    def output_coef_(self):
        """Weights V of the output, a view of shape (hidden_size, n_outputs)."""
        return self._named_parameters()["V"]

    @property
    def output_intercept_(self):
        """Bias d of the output, a view of shape (n_outputs,)."""
        return self._named_parameters()["d"]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _large_enough(validation):
    """The validation samples, of which a score such as R^2 needs two."""
    if len(validation.rows) < 2:
        raise ValueError(
            "The validation set has 1 sample of non-zero weight, but at least 2 are needed to "
            "score it. Increase validation_fraction, or pass more samples."
        )
    return validation


def _merge_equal_samples(samples):
    """Samples that make one batch: equal ones merged, their weights added, in an order of content.

    The loss of the whole batch stays what it is, while its rounding no longer depends on the order
    of the samples, nor on whether a sample is given twice or with twice the weight.
    """
    X, y, weight, rows = samples
    # Digests, not the samples themselves: nothing of the size of X is made.
    content = [
        blake2b(X[row].tobytes() + y[row].tobytes(), digest_size=16).digest() for row in rows
    ]
    _, first, group = np.unique(content, return_index=True, return_inverse=True)
    merged_weight = np.zeros(len(X), X.dtype)
    merged_weight[rows[first]] = np.bincount(
        group, weights=None if weight is None else weight[rows]
    )
    return _Samples(X, y, merged_weight, rows[first])


class LSTMRegressor(RegressorMixin, _BaseLSTM):
    """Long short-term memory network that predicts numbers from sequences.

    One or several stacked LSTM layers read a sequence step by step; a linear layer maps the last
    hidden state to the prediction. The squared error is minimised by stochastic gradient descent,
    with gradients from full backpropagation through time.

    `y` is learned as it is given. For targets far from zero mean and unit variance wrap the
    estimator in :class:`~sklearn.compose.TransformedTargetRegressor`, and standardise `X`, with
    :class:`~sklearn.preprocessing.StandardScaler` (2-D) or :class:`~pylstm.SequenceScaler`.

    Parameters
    ----------
    hidden_size : int, default=32
        Hidden units of each layer.

    num_layers : int, default=1
        LSTM layers, each of which reads the hidden states of the one below.

    n_timesteps : int, default=None
        Time steps of the windows that a 2-D `X` holds, flattened time step by time step (all
        features of the first step, then all of the second). None takes a 2-D `X` for windows of a
        univariate series, with a column for each time step.

    solver : {"adam", "sgd"}, default="adam"
        Optimiser: Adam [4]_, or stochastic gradient descent with momentum.

    alpha : float, default=0.0
        Strength of the L2 penalty on weights; biases are not penalised. As in
        :class:`~sklearn.neural_network.MLPRegressor`, the penalty is divided by the number of
        samples in a batch (times the mean sample weight).

    batch_size : int, default=32
        Samples for each update.

    learning_rate_init : float, default=0.003
        Step size of the updates.

    max_iter : int, default=50
        Epochs (passes over the training samples) at most. Few, as noisy series are soon learned by
        heart; raise it for small or clean data, or together with `early_stopping`.

    shuffle : bool, default=True
        Whether to visit the samples in a new random order in each epoch, and whether
        `early_stopping` holds out random samples. False keeps the order of time: the last samples
        are held out.

    max_grad_norm : float or None, default=1.0
        Norm to which the gradient of a batch is scaled down if it is larger [5]_; None leaves it.

    tol : float, default=1e-4
        Training has converged when the loss, or the validation score, has not improved by `tol`
        on its best in `n_iter_no_change` consecutive epochs.

    n_iter_no_change : int or `numpy.inf`, default=10
        See `tol`. `numpy.inf` trains for `max_iter` epochs, and does not warn of it.

    early_stopping : bool, default=False
        Whether to hold out `validation_fraction` of the samples (or to use `X_val` and `y_val`),
        stop when the score on them does not improve, and restore the weights that scored best.
        See `shuffle` for which samples are held out.

    validation_fraction : float, default=0.1
        Share of the samples that `early_stopping` holds out, between 0 and 1.

    momentum : float, default=0.9
        Momentum of `solver="sgd"`, at least 0 and less than 1.

    nesterovs_momentum : bool, default=True
        Whether `solver="sgd"` uses Nesterov's momentum.

    beta_1 : float, default=0.9
        Decay of the average gradient in `solver="adam"`, at least 0 and less than 1.

    beta_2 : float, default=0.999
        Decay of the average squared gradient in `solver="adam"`, at least 0 and less than 1.

    epsilon : float, default=1e-8
        Added to the denominator of the update in `solver="adam"`.

    warm_start : bool, default=False
        Whether `fit` continues from the weights, optimiser and random stream of the last call, for
        up to `max_iter` further epochs, instead of starting afresh.

    random_state : int, RandomState instance or None, default=None
        Determines the first weights, the order of the samples and the samples held out. With an
        int, results are the same in every call, bit for bit, for any `n_jobs`.

    verbose : int, default=0
        1 shows epoch, loss, validation score and time left: as a bar if tqdm is installed, else as
        lines.

    n_jobs : int or None, default=None
        Threads; None means all available, see :func:`pylstm.core.effective_n_threads`.

    dtype : {"float32", "float64"}, default="float32"
        Precision of weights and computation. `X` of this dtype is never copied as a whole.

    Attributes
    ----------
    input_coefs_ : list of ndarray of shape (n_in, 4 * hidden_size)
        Input weights of each layer; n_in is the number of features for the first, `hidden_size`
        for the others. The columns belong to the input gate, the forget gate, the candidate and
        the output gate, in this order. All arrays of weights are views of the weights in use:
        writing to them changes the predictions.

    recurrent_coefs_ : list of ndarray of shape (hidden_size, 4 * hidden_size)
        Recurrent weights of each layer.

    gate_intercepts_ : list of ndarray of shape (4 * hidden_size,)
        Biases of each layer.

    output_coef_ : ndarray of shape (hidden_size, n_outputs)
        Weights of the linear layer.

    output_intercept_ : ndarray of shape (n_outputs,)
        Bias of the linear layer.

    loss_curve_ : list of float of length n_iter_
        Mean training loss of each epoch: half the squared error, plus the penalty.

    loss_ : float
        Training loss of the last epoch.

    best_loss_ : float or None
        Least training loss of an epoch; None with `early_stopping`.

    validation_scores_ : list of float or None
        R^2 on the validation samples after each epoch; None without `early_stopping`.

    best_validation_score_ : float or None
        R^2 of the weights in use on the validation samples; None without `early_stopping`.

    n_iter_ : int
        Epochs since the weights were initialised, those of `partial_fit` and warm starts included.

    t_ : int
        Training samples seen in these epochs.

    n_outputs_ : int
        Columns of `y`.

    n_timesteps_ : int
        Time steps of the sequences.

    n_features_in_ : int
        Columns of a 2-D `X`, features per time step of a 3-D `X`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if `X` had names that are all strings.

    See Also
    --------
    pylstm.sliding_windows : Windows of a series and the values that follow them.
    pylstm.SequenceScaler : Standardise each feature of a 3-D `X`.
    sklearn.neural_network.MLPRegressor : Multi-layer perceptron, without notion of time.

    Notes
    -----
    For a time step's features x, and hidden and cell states h and c, a layer computes

    .. code-block:: text

        z = x_t W + h_{t-1} U + b              split into z_i, z_f, z_g, z_o
        i = sigmoid(z_i)                       input gate
        f = sigmoid(z_f)                       forget gate
        g = tanh(z_g)                          candidate, or new memory
        o = sigmoid(z_o)                       output gate
        c_t = f * c_{t-1} + i * g              cell state
        h_t = o * tanh(c_t)                    hidden state

    and the prediction is h_T V + d, with T = `n_timesteps_`. The cell is that of [1]_ with the
    forget gate of [2]_, whose bias starts at 1 [3]_; W and V start Glorot-uniform, U orthogonal.

    A sample's weight scales its share in the loss of its batch, which is divided by the number of
    samples times the mean weight of all; samples of zero weight are left out. If the training
    samples make a single batch, neither their order nor repetition in place of weight changes a
    bit of the result.

    References
    ----------
    .. [1] Hochreiter & Schmidhuber (1997). Long short-term memory. Neural Computation 9(8).
    .. [2] Gers, Schmidhuber & Cummins (2000). Learning to forget: continual prediction with LSTM.
       Neural Computation 12(10).
    .. [3] Jozefowicz, Zaremba & Sutskever (2015). An empirical exploration of recurrent network
       architectures. ICML.
    .. [4] Kingma & Ba (2015). Adam: a method for stochastic optimization. ICLR.
    .. [5] Pascanu, Mikolov & Bengio (2013). On the difficulty of training recurrent neural
       networks. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import LSTMRegressor, sliding_windows
    >>> series = np.sin(np.arange(300) / 5)
    >>> X, y = sliding_windows(series, window=20)
    >>> X.shape, y.shape
    ((280, 20, 1), (280,))
    >>> model = LSTMRegressor(hidden_size=8, learning_rate_init=0.01, tol=1e-3, random_state=0)
    >>> model.fit(X[:200], y[:200]).predict(X[200:]).shape
    (80,)
    >>> model.score(X[200:], y[200:]) > 0.95
    True
    """

    def __init__(
        self,
        hidden_size=32,
        num_layers=1,
        *,
        n_timesteps=None,
        solver="adam",
        alpha=0.0,
        batch_size=32,
        learning_rate_init=0.003,
        max_iter=50,
        shuffle=True,
        max_grad_norm=1.0,
        tol=1e-4,
        n_iter_no_change=10,
        early_stopping=False,
        validation_fraction=0.1,
        momentum=0.9,
        nesterovs_momentum=True,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        warm_start=False,
        random_state=None,
        verbose=0,
        n_jobs=None,
        dtype="float32",
    ):
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.n_timesteps = n_timesteps
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.max_grad_norm = max_grad_norm
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
        self.random_state = random_state
        self.verbose = verbose
        self.n_jobs = n_jobs
        self.dtype = dtype

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Learn from sequences and their targets.

        Ctrl-C ends the training with a warning and keeps the weights of the last finished epoch
        (with `early_stopping`: of the best). If the loss diverges, training stops with a warning
        and the best weights are kept.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns)
            The sequences; for 2-D input see the parameter `n_timesteps`.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, not negative; None means ones.

        X_val : array-like shaped as `X`, default=None
            Sequences to validate on, instead of a part of `X`; needs `early_stopping=True`. A
            Pipeline transforms them as it does `X` with `Pipeline(..., transform_input=["X_val"])`.

        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their targets.

        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights; None means ones.

        Returns
        -------
        self : LSTMRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or an array has a wrong type, range or shape, or is not finite. An
            estimator that was fitted before stays as it was.

        Warns
        -----
        ConvergenceWarning
            If the loss diverges, stops improving while worse than that of predicting 0, or is
            still improving after `max_iter` epochs.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Continue for a single epoch over the given samples.

        The first call starts as `fit` does. Weights, optimiser and random stream are carried on,
        so that n calls with the same samples equal a `fit` of n epochs.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns)
            The sequences; for 2-D input see the parameter `n_timesteps`.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples, not negative; None means ones.

        Returns
        -------
        self : LSTMRegressor
            The fitted estimator.

        Raises
        ------
        ValueError
            As for `fit`; also if `early_stopping` is set, or the network differs from that of
            earlier calls.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):
        """Predict the targets of sequences.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns)
            The sequences, with the number of time steps seen in `fit`.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The predictions, 1-D for a single output; float32 if `X` and the parameter `dtype` are,
            float64 otherwise.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.

        ValueError
            If `X` has another shape than in `fit` or is not finite, or a prediction is not finite.
        """
        output = self._predict_output(X)
        if getattr(X, "dtype", None) != np.float32:
            output = output.astype(np.float64, copy=False)
        return output[:, 0] if self.n_outputs_ == 1 else output

    def _check_y(self, y):
        with np.errstate(over="ignore"):  # the check for infinity reports it
            y = check_array(
                y, ensure_2d=False, dtype=self.dtype, order="C", input_name="y", estimator=self
            )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return y.reshape(len(y), -1)

    def _validation_score(self, y, output, sample_weight):
        from sklearn.metrics import r2_score

        return r2_score(y, output, sample_weight=sample_weight)

    def _loss_of_zero_output(self, y, sample_weight):
        squares = np.square(y, dtype=np.float64).mean(axis=1)
        return 0.5 * np.average(squares, weights=sample_weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
