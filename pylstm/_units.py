"""Between the units of X and y and the numbers that the network reads and learns.

`Units` is what a fit learns of them: windows may be scaled by their own statistics first, then features and
targets are standardised. `fit_units` learns it, `fit_highway` the linear regression that a network with a
highway starts from.
"""

from functools import cache, partial
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.utils import gen_batches
from threadpoolctl import ThreadpoolController

from . import _unchecked
from ._lengths import is_step
from ._options import Scaling

# Values looked at at a time: few enough for a cache, so that many temporary arrays cost little.
_CHUNK_SIZE = 2**15

# Values of the windows' last steps, at most, from which the highway is fitted.
_HIGHWAY_SIZE = 2**23

# Of its penalty: from a regression as it is to none at all.
_STRENGTHS = np.logspace(-6, 6, 25)

# Where a regression goes beyond a naive forecast, a drift is a coefficient like others, of this constant: so
# small a one that it costs more than they do.
_DRIFT = 0.1


class Levels(NamedTuple):
    """Targets at the levels of their windows: what is learned, times factor, plus shift."""

    shift: np.ndarray  # (n_samples, n_targets)
    factor: np.ndarray  # (n_samples, n_targets)


class Standard(NamedTuple):
    """What numbers are standardised by: (x - mean) / scale."""

    mean: np.ndarray
    scale: np.ndarray


class Units(NamedTuple):
    """How the network's numbers follow from those of X and y.

    Without standardisation the means are 0 and the scales 1; without a scaling of windows `kind` is None.
    """

    kind: str | None
    features: np.ndarray  # bool (n_features,): those that a window's statistics scale
    feature_of: (
        np.ndarray | None
    )  # int (n_targets,): whose statistics scale each target; None: classes
    inputs: Standard  # (n_features,)
    targets: (
        Standard | None
    )  # (n_targets,); None: classes, or another target that is learned as it is

    def of_windows(self, X, lengths, n_threads):
        """The targets' levels and what the kernels read X by; None where there is nothing."""
        if self.kind is None:
            return None, self.scaling
        levels, scaling = _unchecked.window_units(X, self, lengths=lengths, n_threads=n_threads)
        return None if levels is None else Levels(levels[0], levels[1]), scaling

    @property
    def scaling(self):
        """What the kernels read X by where windows have no statistics of their own."""
        mean, scale = self.inputs
        if (mean == 0).all() and (scale == 1).all():
            return None
        return Scaling(mean, 1 / scale)

    def to_network(self, y, levels, steps):
        """Targets as the network learns them, in float64.

        y (n_samples, n_targets), or with `steps` (n_samples, n_timesteps, n_targets).
        """
        shift, factor = self._of_targets(levels, steps, y.ndim)
        return (y - shift) / factor

    def to_users(self, predictions, levels, steps):
        """Predictions in the units of y, in float64: shaped as y, or with a last axis of quantiles."""
        if self.targets is None:
            return predictions
        shift, factor = self._of_targets(levels, steps, predictions.ndim)
        result = predictions * factor
        result += shift
        return result

    def deviations_to_users(self, deviations, levels, steps):
        """The same of standard deviations, which no shift concerns."""
        if self.targets is None:
            return deviations
        return deviations * self._of_targets(levels, steps, deviations.ndim)[1]

    def _of_targets(self, levels, steps, n_dims):
        """Shift and factor from the network's numbers to those of users, ready to broadcast."""
        shift, factor = self.targets if levels is None else levels
        if steps and levels is not None:
            shift, factor = shift[:, np.newaxis], factor[:, np.newaxis]
        if n_dims > 2 + steps:  # of quantiles
            shift, factor = shift[..., np.newaxis], factor[..., np.newaxis]
        return shift, factor


def plain_units(n_features):
    """Of a network that reads X and learns y as they are."""
    plain = Standard(np.zeros(n_features), np.ones(n_features))
    return Units(None, np.ones(n_features, dtype=bool), None, plain, None)


def fit_units(over, kind, features, feature_of, *, standardize, steps, positive):
    """Learn the units of samples.

    Parameters
    ----------
    over : callable
        `partial(over_chunks, samples, n_threads)`, or what does the same where the samples are.
    kind : {"last", "mean", "standard", "relative"} or None
        What windows are scaled by.
    features : ndarray of bool of shape (n_features,)
        Those that are scaled so.
    feature_of : ndarray of int of shape (n_targets,) or None
        The feature whose statistics scale each target; None if the targets are no quantities.
    standardize : bool
        Whether to standardise features and targets.
    steps : bool
        Whether there are targets for each time step.
    positive : bool
        Whether the targets must stay positive: they are divided by their mean, and not shifted.

    Returns
    -------
    units : Units
    """
    n_features = len(features)
    units = plain_units(n_features)._replace(kind=kind, features=features, feature_of=feature_of)
    if feature_of is not None and (kind is not None or standardize):
        n_targets = len(feature_of)
        units = units._replace(targets=Standard(np.zeros(n_targets), np.ones(n_targets)))
    if not standardize:
        return units
    units = units._replace(inputs=_moments(partial(over, units, None)))
    if units.targets is None:
        return units
    standard = _moments(partial(over, units, steps))
    if positive:
        standard = Standard(np.zeros(n_targets), np.where(standard.mean > 0, standard.mean, 1))
    return units._replace(targets=standard)


def _chunks(samples):
    """The rows in use, some at a time."""
    chunk_size = max(1, _CHUNK_SIZE // samples.X[0].size)
    return (samples.rows[chunk] for chunk in gen_batches(len(samples.rows), chunk_size))


def _rows_of(array, rows):
    return None if array is None else array[rows]


def _step_weights(samples, rows):
    """Weights of the time steps of some samples, (n, n_timesteps): 0 after a sample's end."""
    weights = np.ones((len(rows), samples.X.shape[1]))
    if samples.sample_weight is not None:
        weights *= samples.sample_weight[rows, np.newaxis]
    if samples.lengths is not None:
        weights *= is_step(samples.lengths[rows], samples.X.shape[1])
    return weights


def over_chunks(samples, n_threads, units, steps, statistic, *args):
    """A statistic of features (`steps` None) or targets, of each chunk of the samples in their order."""
    values = _feature_values(samples, units, n_threads)
    if steps is not None:
        values = _target_values(samples, units, steps, n_threads)
    return [statistic(*chunk, *args) for chunk in values]


def _as_read(samples, rows, units, n_threads):
    """X of some samples as the network reads it, in float64."""
    X = samples.X[rows].astype(np.float64)
    _, scaling = units.of_windows(X, _rows_of(samples.lengths, rows), n_threads)
    return X if scaling is None else scaling.read(X)


def _feature_values(samples, units, n_threads):
    """Chunk by chunk, values (n, n_features) and weights of the same shape."""
    for rows in _chunks(samples):
        X = _as_read(samples, rows, units, n_threads)
        weights = np.where(np.isnan(X), 0, _step_weights(samples, rows)[..., np.newaxis])
        yield X.reshape(-1, X.shape[2]), weights.reshape(-1, X.shape[2])


def _target_values(samples, units, steps, n_threads):
    """The same of targets, (n, n_targets)."""
    for rows in _chunks(samples):
        X, lengths = samples.X[rows], _rows_of(samples.lengths, rows)
        levels, _ = units.of_windows(X, lengths, n_threads)
        y = units.to_network(samples.y[rows], levels, steps)
        weights = _step_weights(samples, rows)
        weights = weights[..., np.newaxis] if steps else weights[:, :1]
        yield (
            y.reshape(-1, y.shape[-1]),
            np.broadcast_to(weights, y.shape).reshape(-1, y.shape[-1]),
        )


def _moments(over):
    """Weighted means and deviations; 0 and 1 where nothing is observed, 1 where nothing varies.

    `over(statistic, *args)` is its value for each chunk. Both are rounded to what is exact enough, so that
    neither the order of the samples nor a sample given twice in place of a weight of 2 leaves a trace in
    the last digits.
    """
    weights, magnitudes = zip(*over(_extent), strict=True)
    total, magnitude = sum(weights), np.max(magnitudes, axis=0)
    total[total == 0] = 1
    unit = np.where(magnitude > 0, magnitude, 1)  # in which no square is too large
    mean = sum(over(_sum, unit)) / total
    scale = np.sqrt(sum(over(_sum_of_squares, unit, mean)) / total)
    scale = np.where(scale > 10 * np.finfo(np.float64).eps, scale * unit, 1)
    step = np.exp2(np.floor(np.log2(scale)) - 10)
    return Standard(np.round(mean * unit / step) * step, np.round(scale / step) * step)


def _extent(values, weights):
    """Sum of the weights, and the largest magnitude that has any."""
    return weights.sum(axis=0), np.abs(np.where(weights > 0, values, 0)).max(axis=0)


def _sum(values, weights, unit):
    return (weights * np.where(weights > 0, values / unit, 0)).sum(axis=0)


def _sum_of_squares(values, weights, unit, mean):
    return (weights * np.where(weights > 0, values / unit - mean, 0) ** 2).sum(axis=0)


class Linear(NamedTuple):
    """A linear forecast of windows' last steps."""

    coef: np.ndarray  # (n_targets, n_steps * n_inputs)
    intercept: np.ndarray  # (n_targets,)

    def predict(self, X):
        return X @ self.coef.T + self.intercept

    def counted_from(self, origin):
        """The same of numbers from which `origin` (n_steps * n_inputs,) is not taken yet."""
        return self._replace(intercept=self.intercept - self.coef @ origin)


class Highway(NamedTuple):
    """A linear regression of targets on windows' last steps, and what it leaves of the targets."""

    regression: Linear
    naive: Linear | None  # the naive forecast that it was shrunk to
    drift: np.ndarray  # (n_targets,): what of the intercept is a drift beyond that
    residuals: np.ndarray  # (n, n_targets): of the samples that it was fitted to
    spread: np.ndarray  # (n_targets,): their deviation, by the samples' weights


@cache
def _thread_pools():
    """The process's libraries: to find them takes longer than a small regression."""
    return ThreadpoolController()


def single_threaded_blas():
    """A context in which BLAS runs on one thread."""
    return _thread_pools().limit(limits=1, user_api="blas")


def fit_highway(samples, y, units, n_steps, with_missing, n_threads):
    """Fit the highway: ridge regression, its strength chosen by generalised cross-validation.

    Golub, Heath & Wahba (1979). Where windows are scaled by their own statistics, it shrinks to a naive
    forecast, and so does its drift. Of very many samples it takes some at equal distances.

    Parameters
    ----------
    samples : Samples
        Those to learn from.
    y : ndarray of shape (n_samples, n_targets)
        Their targets as the network learns them.
    units : Units
        How it reads X.
    n_steps : int
        The highway's time steps.
    with_missing : bool
        Whether the network also reads which values are missing.
    n_threads : int
        Threads to run on.

    Returns
    -------
    highway : Highway
    """
    n_columns = n_steps * samples.X.shape[2] * (1 + with_missing)
    stride = -(-len(samples.rows) * n_columns // _HIGHWAY_SIZE)
    samples = samples._replace(rows=samples.rows[::stride])
    parts = [
        _last_steps(samples, r, units, n_steps, with_missing, n_threads) for r in _chunks(samples)
    ]
    X, y = np.concatenate(parts), y[samples.rows].astype(np.float64)
    weight = _rows_of(samples.sample_weight, samples.rows)
    if len(y) < 3:  # generalised cross-validation leaves one out, and something must vary
        zeros = np.zeros((y.shape[1], n_columns))
        return Highway(Linear(zeros, zeros[:, 0]), None, zeros[:, 0], y, y.std(axis=0))
    naive, drift = None, np.zeros(y.shape[1])
    with single_threaded_blas():  # the same bits for any number of threads
        if units.kind is None:
            regression = _ridge(X, y, weight)
        else:
            level = _own_level(units, n_steps, with_missing)
            X -= level
            naive = _naive(X, y, weight, units, n_steps)
            regression, drift = _ridge_beyond(naive, X, y, weight)
        residuals = y - regression.predict(X)
    mean = np.average(residuals, axis=0, weights=weight)
    variance = np.average((residuals - mean) ** 2, axis=0, weights=weight)
    if naive is not None:
        regression, naive = regression.counted_from(level), naive.counted_from(level)
    return Highway(regression, naive, drift, residuals, np.sqrt(variance))


def _ridge(X, y, weight, *, fit_intercept=True):
    ridge = RidgeCV(_STRENGTHS, fit_intercept=fit_intercept, alpha_per_target=True)
    ridge.fit(X, y, sample_weight=weight)
    intercept = ridge.intercept_ * np.ones(y.shape[1])
    return Linear(np.atleast_2d(ridge.coef_), intercept)


def _ridge_beyond(naive, X, y, weight):
    """A regression that shrinks to a naive forecast, and its drift."""
    columns = np.column_stack([X, np.full(len(X), _DRIFT)])
    beyond = _ridge(columns, y - naive.predict(X), weight, fit_intercept=False).coef
    coef, drift = beyond[:, :-1], _DRIFT * beyond[:, -1]
    return Linear(naive.coef + coef, naive.intercept + drift), drift


def _own_level(units, n_steps, with_missing):
    """What the network reads at a window's own level, (n_columns,); of features without, at their mean."""
    level = np.where(units.features, -units.inputs.mean / units.inputs.scale, 0)
    if with_missing:
        level = np.concatenate([level, np.zeros_like(level)])
    return np.tile(level, n_steps)


def _naive(X, y, weight, units, n_steps):
    """The best naive forecast: the value of one step of the window, X being counted from its own level.

    The last one, that of a season ago, or whichever was the nearest to each target on the whole; of equally
    good ones the latest.
    """
    steps = X.reshape(len(X), n_steps, -1)
    coef = np.zeros((y.shape[1], *steps.shape[1:]))
    intercept = -units.targets.mean / units.targets.scale
    for target, feature in enumerate(units.feature_of):
        unit = units.inputs.scale[feature] / units.targets.scale[target]
        errors = y[:, target, np.newaxis] - intercept[target] - unit * steps[:, :, feature]
        square = np.average(errors**2, axis=0, weights=weight)
        nearest = np.flatnonzero(square <= square.min() * (1 + 1e-6))[-1]
        coef[target, nearest, feature] = unit
    return Linear(coef.reshape(len(coef), -1), intercept)


def _last_steps(samples, rows, units, n_steps, with_missing, n_threads):
    """What the network reads at the last steps of some samples, (n, n_steps * n_inputs)."""
    X = _as_read(samples, rows, units, n_threads)
    n, T, _ = X.shape
    if with_missing:
        missing = np.isnan(X)
        latest = np.where(missing, -1, np.arange(T)[:, np.newaxis])
        latest = np.maximum.accumulate(latest, axis=1)
        filled = np.take_along_axis(X, np.maximum(latest, 0), axis=1)
        X = np.concatenate([np.where(latest < 0, 0, filled), missing], axis=2)
    lengths = np.full(n, T) if samples.lengths is None else samples.lengths[rows]
    steps = np.arange(-n_steps, 0) + lengths[:, np.newaxis]
    last = X[np.arange(n)[:, np.newaxis], np.maximum(steps, 0)]
    return np.where(steps[..., np.newaxis] < 0, 0, last).reshape(n, -1)
