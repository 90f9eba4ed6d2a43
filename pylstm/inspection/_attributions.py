"""Which inputs a prediction rests on: integrated and expected gradients."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.validation import _num_samples, check_is_fitted

from .. import core
from .._checks import require
from .._losses import Loss
from .._scaler import SequenceScaler
from .._typing import Array, ArrayLike, Estimator, Floats, Integers, NDArray, RandomState
from .._unwrap import unwrap
from .._validation import pad_sequences

# The integral on a part of a line is that of Gauss and Legendre; a part that is not complete is halved,
# so many times at most. Where a gradient jumps (quantiles that change places) only halving helps.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_MOST_HALVINGS = 40
_SHARE = (
    1 / 16
)  # of the error allowed, for each part: jumps are few, and without them an error is tiny

# Values of sequences along the paths that are held at a time.
_VALUES_AT_ONCE = 2**21

# Scale each value by itself and linearly: what is attributed to a scaled value is the value's.
_SCALERS = (SequenceScaler, StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)


@dataclass(frozen=True)
class Attributions:
    """What each input contributes to predictions, in the shape of a `shap.Explanation`.

    The values of a sample add up to the difference between its prediction and the base value. All
    parameters are stored as attributes.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_timesteps, n_features) or \
            (n_samples, n_timesteps, n_features, n_outputs)
        The contribution of each feature at each time step, in the units of the predictions; zero behind
        a sample's end.

    base_values : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        The predictions for the baseline, or their mean over the background.

    predictions : ndarray shaped as base_values
        What is explained.

    data : ndarray of shape (n_samples, n_timesteps, n_features)
        The inputs, as they were given; if a transformer before the network does more than scale, what it
        returns.

    output_names : list of str or None, default=None
        What the outputs are called: the classes.

    See Also
    --------
    integrated_gradients, expected_gradients : Compute them.
    AttributionDisplay : Draws them.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.inspection import Attributions
    >>> attributions = Attributions(
    ...     values=np.array([[[0.5], [1.0]]]),
    ...     base_values=np.array([3.0]),
    ...     predictions=np.array([4.5]),
    ...     data=np.ones((1, 2, 1)),
    ... )
    >>> attributions.base_values + attributions.values.sum(axis=(1, 2))
    array([4.5])
    """

    values: NDArray[np.float64]
    base_values: NDArray[np.float64]
    predictions: NDArray[np.float64]
    data: Array
    output_names: list[str] | None = None

    def to_shap(self, feature_names: list[str] | None = None) -> Any:
        """The same as a `shap.Explanation`, for the pictures of the package shap.

        They want two dimensions: choose a time step, say ``explanation[:, -1]``, or add up all of them.

        Parameters
        ----------
        feature_names : list of str of length n_features, default=None
            Names of the features.

        Returns
        -------
        explanation : shap.Explanation
        """
        import shap

        return shap.Explanation(
            values=self.values,
            base_values=self.base_values,
            data=self.data,
            feature_names=feature_names,
            output_names=self.output_names,
        )


def integrated_gradients(
    estimator: Estimator,
    X: ArrayLike,
    *,
    baseline: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    outputs: int | ArrayLike | None = None,
    step: int = -1,
    tol: float = 1e-3,
) -> Attributions:
    """What each feature at each time step contributes to predictions.

    Integrated gradients [1]_: the gradient of the prediction with respect to the inputs, averaged on
    the straight line from a baseline to the sequence, times the way that each input goes. The
    contributions add up to the difference of the predictions at both ends.

    Parameters
    ----------
    estimator : fitted LSTMRegressor or LSTMClassifier
        Or a Pipeline, TransformedTargetRegressor or search around one.

    X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns), \
            or list of n_samples arrays of shape (n_timesteps_of_sample, n_features)
        The sequences to explain.

    baseline : float or array-like of shape (n_features,), (n_timesteps, n_features) or (n_columns,), \
            default=None
        Where each line starts: an input that says nothing, in the units of X. None is what the network
        reads as zeros: the mean, with `standardize` or a scaler before it.

    lengths : array-like of int of shape (n_samples,), default=None
        Time steps of each sample; None means all.

    outputs : int or array-like of int, default=None
        Which of the predictions to explain: columns of what `predict` returns for a sample (with
        several quantiles, those of the first target come first), or of `predict_proba`. An int leaves out
        the axis of outputs. None explains all, and leaves out the axis if there is a single one.

    step : int, default=-1
        The time step whose prediction is explained, of a network with `return_sequences`; negative
        numbers count from each sample's end.

    tol : float, default=1e-3
        How complete the contributions are to be: largest difference between their sum and that of the
        predictions, relative to the latter.

    Returns
    -------
    attributions : Attributions
        `values`, `base_values`, `predictions` and `data`.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    TypeError, ValueError
        If there is no LSTM within the estimator, X or the baseline do not fit it, there is no such
        output or step, or the transformer of a target is not linear.

    Warns
    -----
    UserWarning
        If contributions are less complete than `tol` asks for.

    See Also
    --------
    expected_gradients : The same with a sample of sequences as baselines.
    permutation_importance : What a feature contributes to a score.

    Notes
    -----
    All is computed in float64. The gradients are exact, by backpropagation through time; the integral is
    that of Gauss and Legendre with 8 nodes, on ever smaller parts of the line where these are not
    enough. Predictions are those of `predict`, in the target's
    own units, or the classes' probabilities.

    What is explained are the inputs that the network reads. With `window_scaling` each window is read on its
    own scale, which counts as given: a baseline of zeros is then a window that stays at its own level, and
    windows of a background are read on theirs, so that the base value is a prediction for their course at
    the level of the sample. Scalers around the network, which treat each value by itself,
    leave contributions the same; after any other transformer they belong to what it returns. A missing
    value (with `missing="mask"`) contributes nothing, and is missing on the whole line. A stateful
    network starts each line from the states that the windows before have left.

    References
    ----------
    .. [1] Sundararajan, Taly & Yan (2017). Axiomatic attribution for deep networks. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import LSTMRegressor, sliding_windows
    >>> from pylstm.inspection import integrated_gradients
    >>> X, y = sliding_windows(np.sin(np.arange(120) / 2), window=24)
    >>> model = LSTMRegressor(hidden_size=4, tol=1e-2, random_state=0).fit(X, y)
    >>> attributions = integrated_gradients(model, X[:5])
    >>> attributions.values.shape
    (5, 24, 1)
    >>> total = attributions.base_values + attributions.values.sum(axis=(1, 2))
    >>> bool(np.allclose(total, model.predict(X[:5]), rtol=1e-3))
    True
    """
    target = _Target(estimator, outputs, step)
    samples = target.read(X, lengths)
    baselines = target.read_baseline(baseline, X, samples.sequences)
    return target.explain(samples, baselines, _check_tol(tol))


def expected_gradients(
    estimator: Estimator,
    X: ArrayLike,
    background: ArrayLike,
    *,
    n_background: int = 100,
    lengths: ArrayLike | None = None,
    outputs: int | ArrayLike | None = None,
    step: int = -1,
    tol: float = 1e-3,
    random_state: RandomState = None,
) -> Attributions:
    """What each feature at each time step contributes, beside a sample of usual sequences.

    The mean of integrated gradients over baselines from a background, as expected gradients [1]_ are,
    here with the whole line from each of them instead of a random point: the contributions add up to the
    difference between a prediction and the mean prediction for the background (with `window_scaling` at the
    level of the sample, see :func:`integrated_gradients`).

    Parameters
    ----------
    estimator, X, lengths, outputs, step, tol
        As for :func:`integrated_gradients`.

    background : array-like shaped as X
        Sequences to start from, such as the training samples, none shorter than those in X.

    n_background : int, default=100
        How many of them to use, drawn at random if there are more. The work is proportional to it.

    random_state : int, RandomState instance or None, default=None
        Draws them.

    Returns
    -------
    attributions : Attributions
        `values`, `base_values`, `predictions` and `data`.

    Raises
    ------
    NotFittedError, TypeError, ValueError
        As :func:`integrated_gradients`; also if the background has missing values.

    See Also
    --------
    integrated_gradients : With a single baseline.

    References
    ----------
    .. [1] Erion, Janizek, Sturmfels, Lundberg & Lee (2021). Improving performance of deep learning models
       with axiomatic attribution priors and expected gradients. Nature Machine Intelligence 3.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import LSTMRegressor, sliding_windows
    >>> from pylstm.inspection import expected_gradients
    >>> X, y = sliding_windows(np.sin(np.arange(120) / 2), window=24)
    >>> model = LSTMRegressor(hidden_size=4, tol=1e-2, random_state=0).fit(X, y)
    >>> attributions = expected_gradients(model, X[-1:], background=X[:20])
    >>> bool(np.allclose(attributions.base_values, model.predict(X[:20]).mean()))
    True
    """
    require("n_background", n_background, Integral, "an integer of at least 1", lambda v: v >= 1)
    target = _Target(estimator, outputs, step)
    samples = target.read(X, lengths)
    baselines = target.read_background(background, samples.sequences)
    if len(baselines) > n_background:
        rng = check_random_state(random_state)
        baselines = baselines[np.sort(rng.permutation(len(baselines))[:n_background])]
    return target.explain(samples, baselines, _check_tol(tol))


def _check_tol(tol: float) -> float:
    checked: float = require("tol", tol, Real, "a positive number", lambda v: v > 0)
    return checked


class _Lines(NamedTuple):
    """Lines from baselines to samples, as the network reads these."""

    sample: Integers  # (n_lines,), numbers of the samples
    start: NDArray[np.float64]  # (n_lines, n_timesteps, n_features), NaN where a value is missing
    end: NDArray[np.float64]  # likewise
    lengths: Integers  # (n_lines,)
    states: tuple[Floats | None, Floats | None]  # (n_cells, n_lines, hidden_size)
    scale: NDArray[np.float64]  # (n_lines, n_predictions), by which users' predictions follow
    shift: NDArray[np.float64]  # likewise

    def at(self, place: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points on the lines, at places from 0 to 1."""
        points: NDArray[np.float64] = self.start + place[:, np.newaxis, np.newaxis] * (
            self.end - self.start
        )
        return points


class _Given(NamedTuple):
    """Samples and baselines; each pair of these, numbered by sample and then by baseline, has a line."""

    sequences: NDArray[np.float64]  # (n_samples, n_timesteps, n_features)
    baselines: NDArray[np.float64]  # (n_baselines, n_timesteps, n_features)
    lengths: Integers  # (n_samples,)
    states: tuple[Floats | None, Floats | None]  # (n_cells, n_samples, hidden_size)
    scale: NDArray[np.float64]  # (n_samples, n_predictions)
    shift: NDArray[np.float64]  # likewise

    def lines(self, pairs: Integers) -> _Lines:
        """The lines of chosen pairs."""
        sample, baseline = np.divmod(pairs, len(self.baselines))
        end, lengths = self.sequences[sample], self.lengths[sample]
        is_step = np.arange(end.shape[1]) < lengths[:, np.newaxis]
        start = np.where(is_step[..., np.newaxis], self.baselines[baseline], 0.0)
        start[np.isnan(end)] = np.nan
        h, c = (None if state is None else state[:, sample] for state in self.states)
        return _Lines(sample, start, end, lengths, (h, c), self.scale[sample], self.shift[sample])


class _Samples(NamedTuple):
    """What is explained."""

    sequences: NDArray[
        np.float64
    ]  # (n_samples, n_timesteps, n_features), as the network reads them
    lengths: Integers  # (n_samples,)
    states: tuple[Floats | None, Floats | None]  # (n_cells, n_samples, hidden_size)
    scale: NDArray[np.float64]  # (n_samples, n_predictions)
    shift: NDArray[np.float64]  # likewise
    data: Array  # what to show of X


class _Target:
    """The function that is explained: from what the network reads to chosen predictions.

    Parameters
    ----------
    estimator : estimator
        The network, and what is around it.
    outputs : int, array-like of int or None
        Which predictions.
    step : int
        Of which time step.
    """

    def __init__(self, estimator: Estimator, outputs: int | ArrayLike | None, step: int) -> None:
        self._lstm, self._transformers, target_transformers = unwrap(estimator, "gate_activations")
        lstm = self._lstm
        check_is_fitted(lstm)
        self._arch: core.Architecture = lstm._architecture
        self._params = lstm._parameters.astype(np.float64)
        self._loss: Loss = lstm._loss
        self._step = require("step", step, Integral, "an integer")
        if step != -1 and not self._arch.return_sequences:
            raise ValueError(
                f"step={step} chooses among predictions by time step, and this network has "
                "return_sequences=False: leave it out."
            )
        zeros = np.zeros((1, self._arch.n_outputs))
        self._prediction_shape = self._loss.prediction(zeros).shape[1:]
        n_predictions = int(np.prod(self._prediction_shape))
        self._outer_scale, self._outer_shift = self._units_around(target_transformers)
        self._outputs, self._has_axis = _check_outputs(outputs, n_predictions)
        self._names = None
        if hasattr(lstm, "classes_") and self._has_axis:
            self._names = [str(lstm.classes_[output]) for output in self._outputs]

    def _units_around(self, target_transformers: list[Any]) -> tuple[Floats, Floats]:
        """What target transformers make of an estimator's predictions: times scale, plus shift."""
        scale = np.ones(self._prediction_shape)
        shift = np.zeros(self._prediction_shape)
        for transformer in target_transformers:
            if not isinstance(transformer, _SCALERS):
                raise ValueError(
                    f"The target transformer {transformer!r} is not linear, so that contributions would "
                    "not add up: explain the regressor_ within, in the units of its own target."
                )
            n_targets = transformer.n_features_in_
            ends = transformer.inverse_transform(
                np.repeat([[0.0], [1.0]], n_targets, axis=1)
            )  # of 0 and of 1
            # Quantiles have an axis behind that of the targets.
            by_target = (n_targets,) + (1,) * (scale.ndim - 1)
            slope = (ends[1] - ends[0]).reshape(by_target)
            scale, shift = scale * slope, shift * slope + ends[0].reshape(by_target)
        return scale, shift

    # -- what is given

    def read(self, X: ArrayLike, lengths: ArrayLike | None) -> _Samples:
        """X as the network reads it, and what belongs to it."""
        given = X
        for transformer in self._transformers:
            X = transformer.transform(X)
        inputs = self._lstm._check_inputs(X, lengths).as_array()
        sequences = _as_read(inputs)
        n_samples, n_timesteps, _ = sequences.shape
        n_steps = np.full(n_samples, n_timesteps) if inputs.lengths is None else inputs.lengths
        sequences[np.arange(n_timesteps) >= n_steps[:, np.newaxis]] = 0  # whatever stood there
        states = self._lstm._states_before(inputs)
        h, c = (None, None) if states is None else (state.astype(np.float64) for state in states)
        data: Array = inputs.X  # what the transformers return
        if all(_only_scales(transformer) for transformer in self._transformers):
            data = self._lstm._as_in_fit(np.asarray(pad_sequences(given)[0]))
        scale, shift = self._units_of(inputs.levels, n_samples)
        return _Samples(sequences, n_steps, (h, c), scale, shift, data)

    def _units_of(
        self, levels: Any, n_samples: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What makes users' predictions of the network's, (n_samples, n_predictions) each."""
        shape = (n_samples, *self._prediction_shape)
        units = self._lstm._units
        zero: Any = np.zeros(shape)
        shift = units.to_users(zero, levels, False)
        scale = units.deviations_to_users(np.ones(shape), levels, False)
        scale, shift = scale * self._outer_scale, shift * self._outer_scale + self._outer_shift
        return scale.reshape(n_samples, -1), shift.reshape(n_samples, -1)

    def read_baseline(
        self, baseline: ArrayLike | None, X: Any, sequences: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """A single baseline as the network reads it, (1, n_timesteps, n_features)."""
        if baseline is None:
            return np.zeros((1, *sequences.shape[1:]))
        shape = np.shape(pad_sequences(X)[0])[1:]
        try:
            values = np.broadcast_to(np.asarray(baseline, dtype=np.float64), shape)[
                np.newaxis
            ].copy()
        except ValueError:
            raise ValueError(
                f"baseline must be a number, or of a shape that fits sequences of shape {shape}, got "
                f"shape {np.shape(baseline)}."
            ) from None
        given: Any = values
        if hasattr(X, "columns"):  # transformers know the columns by their names
            given = type(X)(values, columns=X.columns)
        return self.read_background(given, sequences, "baseline")

    def read_background(
        self, background: ArrayLike, sequences: NDArray[np.float64], name: str = "background"
    ) -> NDArray[np.float64]:
        """Baselines as the network reads them, (n_baselines, n_timesteps, n_features)."""
        if _num_samples(background) == 0:
            raise ValueError(f"{name} must hold at least one sequence.")
        for transformer in self._transformers:
            background = transformer.transform(background)
        n_timesteps = sequences.shape[1]
        lengths = None
        if self._lstm.n_timesteps_ not in (None, np.shape(pad_sequences(background)[0])[1]):
            lengths = np.full(_num_samples(background), n_timesteps)
        inputs = self._lstm._check_inputs(background, lengths).as_array()
        shortest = inputs.X.shape[1] if inputs.lengths is None else inputs.lengths.min()
        if shortest < n_timesteps:
            raise ValueError(
                f"The sequences of {name} must have at least as many time steps as those of X, "
                f"{n_timesteps}; the shortest has {shortest}."
            )
        baselines = _as_read(inputs)[:, :n_timesteps]
        if not np.isfinite(baselines).all():
            raise ValueError(f"{name} must have no missing values: fill them first.")
        return baselines

    # -- the explanation

    def explain(
        self, samples: _Samples, baselines: NDArray[np.float64], tol: float
    ) -> Attributions:
        """Contributions, complete to the relative tolerance as far as can be."""
        self._check_step(samples.lengths)
        given = _Given(
            samples.sequences,
            baselines,
            samples.lengths,
            samples.states,
            samples.scale,
            samples.shift,
        )
        predictions, base_values = self._ends(given)
        difference = predictions - base_values
        # What rounding leaves of a difference that is next to none.
        allowed = tol * np.abs(difference) + 1e-10 * (np.abs(predictions) + np.abs(base_values))
        values = self._integrals(given, _SHARE * allowed)
        error = np.abs(values.sum(axis=(1, 2)) - difference)
        if n_incomplete := int((error > allowed).any(axis=1).sum()):
            warnings.warn(
                f"The contributions to {n_incomplete} of {len(predictions)} predictions do not add up to "
                f"their difference from the base value within tol={tol:g}.",
                stacklevel=3,
            )
        if not self._has_axis:
            values, predictions, base_values = (
                a[..., 0] for a in (values, predictions, base_values)
            )
        return Attributions(values, base_values, predictions, samples.data, self._names)

    def _check_step(self, n_steps: Integers) -> None:
        shortest = n_steps.min()
        if self._arch.return_sequences and not -shortest <= self._step < shortest:
            raise ValueError(
                f"step must be an integer from {-shortest} to {shortest - 1}, as the shortest sequence "
                f"has {shortest} time steps; got {self._step}."
            )

    def _ends(self, given: _Given) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predictions for the samples, and the mean ones for the baselines."""
        n_samples, n_baselines = len(given.sequences), len(given.baselines)
        predictions, base_values = np.zeros((2, n_samples, len(self._outputs)))
        pairs = np.arange(n_samples * n_baselines)
        for chunk in np.array_split(pairs, -(-len(pairs) // self._at_once(given))):
            lines = given.lines(chunk)
            np.add.at(base_values, lines.sample, self._predict(lines.start, lines) / n_baselines)
            predictions[lines.sample] = self._predict(lines.end, lines)
        return predictions, base_values

    def _integrals(self, given: _Given, allowed: NDArray[np.float64]) -> NDArray[np.float64]:
        """Contributions, (n_samples, n_timesteps, n_features, n_outputs).

        `allowed` is the error of each prediction's part of a line.
        """
        n_baselines = len(given.baselines)
        values = np.zeros((*given.sequences.shape, len(self._outputs)))
        # Parts of lines: the pair of sample and baseline, and where on its line it begins and ends.
        pair = np.arange(len(given.sequences) * n_baselines)
        begin, end = np.zeros(len(pair)), np.ones(len(pair))
        at_once = self._at_once(given)
        while len(pair):
            now, later = slice(0, at_once), slice(at_once, None)
            lines, low, high = given.lines(pair[now]), begin[now], end[now]
            parts = self._integral(lines, low, high)
            difference = self._predict(lines.at(high), lines) - self._predict(lines.at(low), lines)
            error = np.abs(parts.sum(axis=(1, 2)) - difference)
            is_done = (error <= allowed[lines.sample]).all(axis=1)
            is_done |= high - low <= 2.0**-_MOST_HALVINGS
            np.add.at(values, lines.sample[is_done], parts[is_done] / n_baselines)
            halves, low, high = pair[now][~is_done], low[~is_done], high[~is_done]
            middle = (low + high) / 2
            pair = np.concatenate([halves, halves, pair[later]])
            begin = np.concatenate([low, middle, begin[later]])
            end = np.concatenate([middle, high, end[later]])
        return values

    def _integral(
        self, lines: _Lines, begin: NDArray[np.float64], end: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Contributions on parts of lines, (n_lines, n_timesteps, n_features, n_outputs)."""
        total = np.zeros((*lines.end.shape, len(self._outputs)))
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):  # from -1 to 1
            points = lines.at(begin + (node + 1) / 2 * (end - begin))
            total += weight / 2 * self._gradients(points, lines)
        way = np.nan_to_num(lines.end - lines.start) * (end - begin)[:, np.newaxis, np.newaxis]
        contributions: NDArray[np.float64] = way[..., np.newaxis] * total
        return contributions

    def _at_once(self, given: _Given) -> int:
        """Lines that are followed at a time, so that memory does not grow with their number."""
        n_values = int(given.sequences[0].size) * (1 + len(self._outputs))
        return max(1, _VALUES_AT_ONCE // n_values)

    def _predict(self, points: NDArray[np.float64], lines: _Lines) -> NDArray[np.float64]:
        """The chosen predictions, in the target's own units, (n_lines, n_outputs)."""
        output = self._output(points, lines)
        predictions = self._loss.prediction(output).reshape(len(points), -1)
        chosen: NDArray[np.float64] = (predictions * lines.scale + lines.shift)[:, self._outputs]
        return chosen

    def _output(self, points: NDArray[np.float64], lines: _Lines) -> NDArray[np.float64]:
        """Outputs of the network at the time step that is explained, (n_lines, n_network_outputs)."""
        h, c = lines.states
        options = {"lengths": lines.lengths, "h0": h, "c0": c, "n_threads": self._lstm.n_jobs}
        output = core.predict(self._params, points, self._arch, **options)
        if self._arch.return_sequences:
            output = output[np.arange(len(points)), self._step_of(lines)]
        return np.asarray(output, np.float64)

    def _step_of(self, lines: _Lines) -> Integers:
        step: Integers = self._step if self._step >= 0 else lines.lengths + self._step
        return step

    def _gradients(self, points: NDArray[np.float64], lines: _Lines) -> NDArray[np.float64]:
        """Gradients of the chosen predictions by the inputs, (n_lines, T, F, n_outputs)."""
        output = self._output(points, lines)
        h, c = lines.states
        gradients = np.empty((*points.shape, len(self._outputs)))
        for place, number in enumerate(self._outputs):
            d_prediction = np.zeros_like(lines.scale)
            d_prediction[:, number] = lines.scale[:, number]
            d_prediction = d_prediction.reshape(len(points), *self._prediction_shape)
            d_output = self._loss._pull_back(output, d_prediction)
            if self._arch.return_sequences:
                at_step = np.zeros((*points.shape[:2], d_output.shape[-1]))
                at_step[np.arange(len(points)), self._step_of(lines)] = d_output
                d_output = at_step
            gradients[..., place] = core.backward(
                self._params,
                points,
                self._arch,
                d_output=d_output,
                lengths=lines.lengths,
                h0=h,
                c0=c,
                n_threads=self._lstm.n_jobs,
            ).d_X
        gradients[np.isnan(points)] = 0  # of what is missing
        return gradients


def _as_read(inputs: Any) -> NDArray[np.float64]:
    """Checked inputs on the scale on which the network reads them."""
    X: NDArray[np.float64] = inputs.X.astype(np.float64)
    return X if inputs.scaling is None else inputs.scaling.read(X)


def _only_scales(transformer: Any) -> bool:
    """Whether a transformer treats each value by itself and linearly; a Pipeline, whether all do."""
    if hasattr(transformer, "steps"):
        return all(
            step is None or step == "passthrough" or _only_scales(step)
            for _, step in transformer.steps
        )
    return isinstance(transformer, _SCALERS)


def _check_outputs(outputs: int | ArrayLike | None, n_predictions: int) -> tuple[list[int], bool]:
    """Numbers of the predictions to explain, and whether they have an axis."""
    if outputs is None:
        return list(range(n_predictions)), n_predictions > 1
    numbers = np.asarray(outputs)
    if (
        numbers.ndim > 1
        or numbers.size == 0
        or numbers.dtype.kind not in "iu"
        or numbers.min() < -n_predictions
        or numbers.max() >= n_predictions
    ):
        raise ValueError(
            f"outputs must be an integer, or a list of integers, from {-n_predictions} to "
            f"{n_predictions - 1}, got {outputs!r}."
        )
    return [int(number) % n_predictions for number in np.atleast_1d(numbers)], numbers.ndim == 1
