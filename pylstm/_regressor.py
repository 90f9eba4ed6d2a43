"""The regressor: the losses of numbers, what is predicted under them, and how that is scored."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import xlogy
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import check_array, column_or_1d
from sklearn.utils._param_validation import Interval, InvalidParameterError, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight

from . import core
from ._base import BaseLSTM, States, of_one_fit
from ._documentation import documented
from ._lengths import is_step
from ._public import public_in
from ._typing import Array, ArrayLike, RandomState
from ._units import fit_highway
from ._validation import (
    SERIES_DTYPES,
    check_columns,
    pad_targets,
    quiet_about_nan,
    refuse_dates_and_masks,
)
from .training import Averaging, Schedule, TrainingCallback

if TYPE_CHECKING:
    from .forecasting import Forecast

_LOSSES = {
    "squared_error": core.SquaredError(),
    "absolute_error": core.AbsoluteError(),
    "huber": core.Huber(),
    "quantile": core.Quantile(),
    "poisson": core.Poisson(),
    "gaussian": core.Gaussian(),
}

# What losses are called elsewhere, and here.
_OTHER_NAMES = {
    **dict.fromkeys(("mse", "mean_squared_error", "l2", "regression"), "squared_error"),
    **dict.fromkeys(("mae", "mean_absolute_error", "l1", "regression_l1"), "absolute_error"),
    **dict.fromkeys(("huber_loss", "smooth_l1", "smooth_l1_loss"), "huber"),
    **dict.fromkeys(("pinball", "pinball_loss", "quantile_loss"), "quantile"),
    **dict.fromkeys(("poisson_nll", "poisson_nll_loss", "count:poisson"), "poisson"),
    **dict.fromkeys(("normal", "gaussian_nll", "gaussian_nll_loss", "nll"), "gaussian"),
}


class _OutputLayer(NamedTuple):
    """Rows of the last layer for the highway's steps, and its bias."""

    V: np.ndarray  # (n_columns, n_outputs)
    d: np.ndarray  # (n_outputs,)
    is_forecast: np.ndarray  # bool (n_outputs,): others are deviations


class _Starts(NamedTuple):
    """The regression that a highway started from, and the naive forecast that this was shrunk to."""

    regression: _OutputLayer
    naive: _OutputLayer
    drift: np.ndarray  # (n_outputs,): what of the regression's bias is a drift


@public_in("pylstm")
@documented
class LSTMRegressor(RegressorMixin, BaseLSTM):
    """Long short-term memory network that predicts numbers from sequences.

    One or several stacked LSTM layers read a sequence step by step; a linear layer maps the last
    hidden state to the prediction. The loss is minimised by stochastic gradient descent, with
    gradients from full backpropagation through time.

    Features and targets are standardised within, and predictions are in the units of `y`: no scaler is
    needed around the estimator. For series with trends and levels see `window_scaling`.

    Parameters
    ----------
    {network}
    loss : str or loss object, default="squared_error"
        What is minimised, and so what is predicted:

        - "squared_error": half the squared error; the mean;
        - "absolute_error": the median;
        - "huber", or :class:`pylstm.core.Huber` for a `delta` other than 1: the squared error of small
          errors, the absolute one of large ones (in the units of `y`, and of the window's own scale with
          a `window_scaling` that divides by it);
        - "quantile": the median, or the quantiles that `quantile` says;
        - "poisson": the mean of counts, e to the network's output;
        - "gaussian": mean and standard deviation, by the likelihood of a normal distribution.

    quantile : float or array-like of float, default=None
        One or several quantiles, each between 0 and 1 and in increasing order, that `loss="quantile"`
        predicts; None means 0.5.

    target_features : int or array-like of int, default=None
        With `window_scaling`, the positions of the features that the targets are values of, and by whose
        statistics they are scaled: one for all targets, or one for each (several horizons of the same
        targets, as :func:`pylstm.sliding_windows` orders them, may be named once). None means the scaled
        features, in their order; where it is not obvious which, it is an error.

    highway : int or "all", default=0
        Time steps, the last ones of a window or all of it, that the linear layer reads too, beside the
        final hidden state [13]_. What they say is a linear regression (ridge, its strength by generalised
        cross-validation), solved before the training and then left as it is: the network learns what it
        leaves, on the scale of its residuals, and with some `alpha` no more of that than there is. With
        `window_scaling` it shrinks to the best naive forecast, the value of one step of the window, and so
        does its intercept, the drift. Not with `return_sequences` or
        the loss "poisson".

    {parameters}
    Attributes
    ----------
    {attributes}
    validation_scores_ : list of float or None
        Score on the validation samples after each epoch: R^2, D^2 (of the pinball loss or the Poisson
        deviance) for the losses "quantile" and "poisson", the mean log-likelihood (but for its
        constant) for "gaussian". None without `early_stopping`.

    best_validation_score_ : float or None
        That of the weights in use; None without `early_stopping`.

    {counts}
    n_outputs_ : int
        Targets: columns of `y`.

    See Also
    --------
    pylstm.LSTMClassifier : The same network for classes.
    pylstm.sliding_windows : Windows of a series and the values that follow them.
    pylstm.SequenceScaler : Standardise each feature of a 3-D `X`.
    pylstm.forecast : Forecast a series beyond its end.
    sklearn.neural_network.MLPRegressor : Multi-layer perceptron, without notion of time.

    Notes
    -----
    {equations}
    and the prediction is h_T V + d, with T the last step (in some losses a function of it). The cell
    is that of [1]_ with the forget gate of [2]_, whose bias starts at 1 [3]_; W and V start
    Glorot-uniform, U orthogonal. x and the targets that are compared with it are those after
    `window_scaling` and `standardize`.

    A sample's weight scales its share in the loss of its batch, which is divided by the number of
    samples times the mean weight of all; samples of zero weight are left out. If the training
    samples make a single batch, neither their order nor repetition in place of weight changes a
    bit of the result (unless `dropout` makes a choice for each).

    References
    ----------
    {references}
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

    # What the highway started from. Whoever wants it asks at once: copies, pickles and files go without.
    _starts: "_Starts | None" = None

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's name and form)
        **BaseLSTM._parameter_constraints,
        "quantile": [Interval(Real, 0, 1, closed="neither"), "array-like", None],
        "target_features": ["array-like", Interval(Integral, 0, None, closed="left"), None],
        "highway": [Interval(Integral, 0, None, closed="left"), StrOptions({"all"})],
        "loss": [StrOptions(set(_LOSSES)), *map(type, _LOSSES.values())],
    }

    def __init__(
        self,
        hidden_size: int = 32,
        num_layers: int = 1,
        *,
        loss: str | core.Loss = "squared_error",
        quantile: float | Sequence[float] | None = None,
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
        target_features: int | Sequence[int] | None = None,
        highway: int | str = 0,
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
        self.loss = loss
        self.quantile = quantile
        self.target_features = target_features
        self.highway = highway

    @available_if(BaseLSTM._has_partial_fit)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
    ) -> "LSTMRegressor":
        """Continue for a single epoch over the given samples.

        The first call starts as `fit` does. Weights, optimiser and random stream are carried on,
        so that n calls with the same samples equal a `fit` of n epochs.

        Parameters
        ----------
        X, y, sample_weight, lengths
            As for `fit`.

        Returns
        -------
        self : LSTMRegressor
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            As for `fit`; also if the network differs from that of earlier calls.

        AttributeError
            With `early_stopping`: there is no such method then.
        """
        return self._fit(X, y, sample_weight, lengths, incremental=True)

    @of_one_fit
    def predict(
        self,
        X: Any,
        *,
        lengths: ArrayLike | None = None,
        initial_state: States | tuple[ArrayLike, ArrayLike] | None = None,
        return_std: bool = False,
        return_state: bool = False,
    ) -> Any:
        """Predict the targets of sequences.

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

        return_std : bool, default=False
            Whether to return the standard deviations too; needs `loss="gaussian"`.

        return_state : bool, default=False
            Whether to return the states after each sample's last step too, to go on from.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_targets)
            The predictions, 1-D for a single target. Several quantiles add a last axis, in which they
            are in increasing order. With `return_sequences`, as the `y` in `fit`: (n_samples,
            n_timesteps) or (n_samples, n_timesteps, n_targets), where what follows a sample's end
            means nothing; for a list of sequences a list. float32 if `X` and the parameter `dtype`
            are, float64 otherwise.

        y_std : ndarray shaped as y
            Only with `return_std`.

        state : States
            A named tuple (h, c) as `initial_state`; only with `return_state`.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.

        TypeError, ValueError
            If `X` has another shape than in `fit` or is not finite, a prediction is not finite, or
            there are no standard deviations.
        """
        inputs = self._check_inputs(X, lengths)
        output, state = self._finite_output(inputs, initial_state, return_state=return_state)
        output = self._in_dtype_of(X, output)
        with np.errstate(over="ignore"):  # of e^z; the check reports it
            results = [self._to_predictions(output, inputs.levels)]
        self._refuse_infinite(results[0])
        if return_std:
            if not isinstance(self._loss, core.Gaussian):
                raise ValueError(
                    "return_std=True needs the standard deviations that loss='gaussian' learns; this "
                    f"{type(self).__name__} was fitted with {self._loss!r}."
                )
            results.append(self._without_axis(self._deviations(output, inputs.levels)))
        results = [self._as_given(inputs, result) for result in results]
        if return_state:
            results.append(state)
        return results[0] if len(results) == 1 else tuple(results)

    @of_one_fit
    def score(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        lengths: ArrayLike | None = None,
    ) -> float:
        """Coefficient of determination R^2, or D^2 of the pinball loss if quantiles are predicted.

        Parameters
        ----------
        X, y, sample_weight, lengths
            As for `fit`.

        Returns
        -------
        score : float
            1 for predictions without error, 0 for those as good as a constant. The mean over
            targets, and over quantiles. With `return_sequences` all time steps count alike.
        """
        return self._score_of(*self._to_compare(X, y, sample_weight, lengths))

    def _to_compare(self, X, y, sample_weight, lengths):
        """Targets, predictions and weights of the samples, or time steps."""
        inputs = self._check_inputs(X, lengths)
        output, _ = self._finite_output(inputs)
        y = self._check_y(y, inputs.X, inputs.lengths, reset=False)
        if sample_weight is not None:
            refuse_dates_and_masks("sample_weight", sample_weight)
            sample_weight = _check_sample_weight(sample_weight, inputs.X)
        predicted = self._point_predictions(output.astype(np.float64), inputs.levels)
        y = y.astype(np.float64, copy=False)
        return self._by_step(inputs.lengths, y, predicted, sample_weight)

    def _score_of(self, y, predicted, sample_weight):
        return _point_score(self._loss, y, predicted, sample_weight)

    def forecast(self, history: Any, steps: int, **options: Any) -> "Array | Forecast":
        """Forecast a series beyond its end: `pylstm.forecast` of this model.

        Parameters
        ----------
        history : array-like of shape (n_steps,) or (n_steps, n_features)
            The series up to now, as the windows in `fit` were cut from it.

        steps : int
            Time steps to forecast.

        **options : dict
            `known`, `horizon`, `interval`, `n_paths` and `random_state` of :func:`pylstm.forecast`.

        Returns
        -------
        forecast : ndarray of shape (steps,) or (steps, n_targets), or Forecast
            See :func:`pylstm.forecast`, which also takes the pipelines and searches around a model.
        """
        from .forecasting import forecast

        return forecast(self, history, steps, **options)

    def _validate_params(self):
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            name = _OTHER_NAMES.get(self.loss.lower()) if isinstance(self.loss, str) else None
            if name is None:
                raise
            raise InvalidParameterError(f"{error} It is called loss={name!r} here.") from None

    def _make_loss(self, y):
        if self.loss == "quantile" and self.quantile is not None:
            return core.Quantile(self.quantile)
        return _LOSSES[self.loss] if isinstance(self.loss, str) else self.loss

    def _check_combinations(self):
        super()._check_combinations()
        loss = self._make_loss(None)
        if self.quantile is not None and self.loss != "quantile":
            raise ValueError(
                f"quantile={self.quantile!r} is for loss='quantile', but loss is {self.loss!r}: set "
                "loss='quantile', or quantile=None."
            )
        if isinstance(loss, core.Poisson) and self.window_scaling not in (None, "mean"):
            raise ValueError(
                f"window_scaling={self.window_scaling!r} would make counts negative, for which the "
                "Poisson loss is not defined: use 'mean', or None."
            )
        if isinstance(loss, core.Poisson) and self.highway:
            raise ValueError(
                "A highway predicts the target itself, and the Poisson loss its logarithm: set highway=0."
            )
        if self.return_sequences and self.highway:
            raise ValueError(
                "The highway leads from the end of a window to its only prediction: set highway=0, or "
                "return_sequences=False."
            )

    def _highway_steps(self):
        if self.highway != "all":
            return int(self.highway)
        if self.n_timesteps_ is None:
            raise ValueError(
                "highway='all' reads every step of windows of one length, but these sequences have "
                "lengths of their own: set highway to a number of steps."
            )
        return self.n_timesteps_

    def _features_of_targets(self, n_targets, features):
        n_features = len(features)
        if self.target_features is not None:
            columns = check_columns("target_features", self.target_features, n_features)
        elif self.window_scaling is None:
            columns = [0]  # which does not matter
        else:
            columns = np.flatnonzero(features).tolist()
            if len(columns) > 1 and n_targets != len(columns):
                raise ValueError(
                    f"window_scaling={self.window_scaling!r} scales each target by the statistics of "
                    f"the feature that it is a value of, and {n_targets} targets cannot be the "
                    f"{len(columns)} scaled features in order. Name the feature of each in "
                    "target_features, or that of all; or the features to scale in window_features."
                )
        if n_targets % len(columns):
            raise ValueError(
                f"target_features={self.target_features!r} names {len(columns)} features for "
                f"{n_targets} targets: name one for all, or one for each (several horizons of the same "
                "targets may be named once)."
            )
        return np.resize(columns, n_targets)

    def _learn_units(self, samples):
        super()._learn_units(samples)
        self.__dict__.pop("_starts", None)
        if self.highway:
            self._fit_highway(samples)

    @quiet_about_nan
    def _fit_highway(self, samples):
        """Start from a linear regression; what it leaves is what the network learns, in units of its own."""
        arch = self._architecture
        n_steps = arch.highway
        if self.n_timesteps_ is not None and n_steps > self.n_timesteps_:
            raise ValueError(
                f"highway={n_steps} reads more steps than the {self.n_timesteps_} of the windows."
            )
        n_threads = core.effective_n_threads(self.n_jobs)
        y = self._to_network(samples).y
        highway = fit_highway(samples, y, self._units, n_steps, arch.mask_missing, n_threads)
        spread = np.ones(self._n_targets)
        if self._standardizes:
            # Not less than a thousandth: of a series without any noise nothing would be left to scale.
            spread = np.maximum(highway.spread, 1e-3).astype(np.float32)
            targets = self._units.targets
            self._units = self._units._replace(
                targets=targets._replace(scale=targets.scale * spread)
            )
        arrays = core.unpack_parameters(self._parameters, arch)
        start = self._outputs_of(highway.regression, highway.residuals, spread)
        arrays["V"][-len(start.V) :] = start.V
        arrays["d"][:] = start.d
        if highway.naive is not None:
            naive = self._outputs_of(highway.naive, highway.residuals, spread)
            drift = np.repeat(highway.drift / spread, arch.n_outputs // self._n_targets)
            self._starts = _Starts(start, naive, drift)

    def _outputs_of(self, linear, residuals, spread):
        """A linear forecast as weights of the output layer.

        Of several outputs for a target, quantiles all start from it; of mean and deviation the mean.
        """
        n_outputs = self._architecture.n_outputs
        per_target = n_outputs // self._n_targets
        is_forecast = np.ones(n_outputs, dtype=bool)
        d = np.repeat(linear.intercept / spread, per_target)
        if isinstance(self._loss, core.Gaussian):
            is_forecast[1::2] = False
            d[1::2] = np.log(np.expm1(1.0))  # a deviation of 1
        elif isinstance(self._loss, core.Quantile):
            levels = np.atleast_1d(self._loss.quantiles)
            d += np.quantile(residuals / spread, levels, axis=0).T.ravel()
        coef = np.repeat(linear.coef / spread[:, np.newaxis], per_target, axis=0)
        return _OutputLayer(np.where(is_forecast, coef.T, 0), d, is_forecast)

    def __getstate__(self):
        state = super().__getstate__()
        state.pop("_starts", None)
        return state

    def _lean(self, starts, drift, regression, network):
        """Take only shares of what was learned.

        Of the regression that of its drift, and of what it adds to the naive forecast; of the network that of
        what it adds to the regression.
        """
        start, naive, of_drift = starts
        at = start.is_forecast
        arrays = core.unpack_parameters(self._parameters, self._architecture)
        V, d = arrays["V"], arrays["d"]
        n_states = len(V) - len(start.V)
        added = network * (d - start.d)
        V[:n_states, at] *= network
        V[n_states:] = naive.V + regression * (start.V - naive.V)
        undrifted = start.d - (1 - drift) * of_drift
        d[at] = (naive.d + regression * (undrifted - naive.d) + added)[at]

    def _check_y(self, y, sequences, lengths, *, reset):
        return_sequences = self.return_sequences if reset else self._architecture.return_sequences
        if return_sequences:
            y = pad_targets(y, sequences, lengths)
        y = refuse_dates_and_masks("y", y)
        y = check_array(
            y,
            ensure_2d=False,
            allow_nd=return_sequences,
            dtype=SERIES_DTYPES,
            order="C",
            input_name="y",
            estimator=self,
            ensure_all_finite=lengths is None or not return_sequences,
        )
        if not return_sequences:
            if y.ndim == 2 and y.shape[1] == 1:
                y = column_or_1d(y, warn=True)
            return y.reshape(len(y), -1)
        if y.ndim not in (2, 3) or y.shape[:2] != sequences.shape[:2]:
            raise ValueError(
                "With return_sequences=True, y must have a target for each time step: shape "
                f"{sequences.shape[:2]} or {(*sequences.shape[:2], 'n_targets')}, got {y.shape}."
            )
        if reset:
            self._has_target_axis = y.ndim == 3
        y = y.reshape(*y.shape[:2], -1)
        if lengths is not None:
            steps = is_step(lengths, y.shape[1])
            if not np.isfinite(y[steps]).all():
                raise ValueError("Input y contains NaN or infinity before the end of a sequence.")
            y = np.where(steps[..., np.newaxis], y, 0)
        return np.ascontiguousarray(y)

    def _point_predictions(self, output, levels):
        """Predictions of shape (n, [n_timesteps,] n_targets[, n_quantiles]), in the units of y."""
        steps = self._architecture.return_sequences
        predictions = self._units.to_users(self._loss.prediction(output), levels, steps)
        return predictions.astype(output.dtype, copy=False)

    def _deviations(self, output, levels):
        """Standard deviations, likewise."""
        steps = self._architecture.return_sequences
        deviations = self._units.deviations_to_users(self._loss.std(output), levels, steps)
        return deviations.astype(output.dtype, copy=False)

    def _to_predictions(self, output, levels=None):
        return self._without_axis(self._point_predictions(output, levels))

    def _without_axis(self, predictions):
        """The same without the axis of targets, if `y` in `fit` had none."""
        has_axis = self._n_targets > 1
        if self._architecture.return_sequences:
            has_axis = self._has_target_axis
        axis = 2 if self._architecture.return_sequences else 1
        return predictions if has_axis else predictions.take(0, axis=axis)

    def _to_be_scored(self, output, levels):
        output = output.astype(np.float64)
        predictions = self._point_predictions(output, levels)
        if isinstance(self._loss, core.Gaussian):
            return np.stack([predictions, self._deviations(output, levels)], axis=-1)
        return predictions

    def _validation_score(self, y, predicted, sample_weight):
        if isinstance(self._loss, core.Gaussian):
            mean, sigma = predicted[..., 0], predicted[..., 1]
            log_likelihood = -0.5 * ((y - mean) / sigma) ** 2 - np.log(sigma)
            return np.average(log_likelihood.mean(axis=1), weights=sample_weight)
        if isinstance(self._loss, core.Poisson):
            return _d2_poisson(y.astype(np.float64), predicted, sample_weight)
        return _point_score(self._loss, y, predicted, sample_weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss == "poisson" or isinstance(
            self.loss, core.Poisson
        )
        return tags


def _d2_poisson(y, mean, sample_weight):
    """D^2 of the Poisson deviance, the mean over targets; 0 where all counts are the same, as R^2."""
    tiny = np.finfo(np.float64).tiny

    def deviance(mean):
        mean = np.maximum(mean, tiny)
        by_sample = xlogy(y, y / mean) - y + mean
        return np.average(by_sample, axis=0, weights=sample_weight)

    of_constant = deviance(np.average(y, axis=0, weights=sample_weight))
    varies = (y != y[0]).any(axis=0)
    return np.mean(np.where(varies, 1 - deviance(mean) / np.maximum(of_constant, tiny), 0))


def _point_score(loss, y, prediction, sample_weight):
    """R^2, or the mean D^2 of the pinball loss, of predictions (n, n_targets[, n_quantiles])."""
    from sklearn.metrics import d2_pinball_score, r2_score

    if not isinstance(loss, core.Quantile):
        return r2_score(y, prediction, sample_weight=sample_weight)
    by_quantile = prediction.reshape(*y.shape, -1)  # a single quantile has no axis
    scores = [
        d2_pinball_score(y, by_quantile[..., k], alpha=q, sample_weight=sample_weight)
        for k, q in enumerate(np.atleast_1d(loss.quantiles))
    ]
    return float(np.mean(scores))


# For doctest, which looks for the classes of this module by the name of it.
__test__ = {"LSTMRegressor": LSTMRegressor}
