"""Losses: their settings, and what outputs mean under them. The arithmetic is in `kernels/losses.pxi`."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import ClassVar

import numpy as np

from ._checks import require
from ._public import public_in
from ._typing import Array, NDArray


@public_in("pylstm.core")
@dataclass(frozen=True)
class Loss:
    """What the network is trained to make small; z are its outputs, y the targets.

    A sample's loss is the mean over its targets (and, with `return_sequences`, over its time steps),
    and the loss of a batch the weighted mean over its samples.
    """

    _kind: ClassVar[int]  # the kernels' number of the loss
    _restricts_targets: ClassVar[bool] = False  # whether `check_targets` has anything to check

    def n_outputs(self, n_targets: int) -> int:
        """Outputs that the network needs for so many targets."""
        return n_targets

    def prediction(self, output: Array) -> Array:
        """From outputs (..., n_outputs) to predictions of the targets (..., n_targets)."""
        return output

    def _pull_back(self, output: Array, d_prediction: Array) -> Array:
        """From a gradient by predictions to that by outputs: the transposed Jacobian of `prediction`."""
        return d_prediction

    def check_targets(self, y: Array) -> None:
        """Raise ValueError for values that the loss is not defined for."""

    @property
    def _settings(self) -> NDArray[np.float64] | None:
        return None

    def _for_scaled_targets(self, scale: NDArray[np.float64]) -> "Loss":
        """The same loss of targets that were divided by a scale, (n_targets,), but for a factor."""
        return self


@public_in("pylstm.core")
@dataclass(frozen=True)
class SquaredError(Loss):
    """(z - y)^2 / 2: predicts the mean.

    Examples
    --------
    >>> from pylstm.core import SquaredError
    >>> SquaredError().n_outputs(3)
    3
    """

    _kind = 0


@public_in("pylstm.core")
@dataclass(frozen=True)
class AbsoluteError(Loss):
    """`|z - y|`: predicts the median.

    Examples
    --------
    >>> from pylstm.core import AbsoluteError
    >>> AbsoluteError()
    AbsoluteError()
    """

    _kind = 1


@public_in("pylstm.core")
@dataclass(frozen=True)
class Huber(Loss):
    """(z - y)^2 / 2 for errors up to `delta`, its tangent beyond: outliers pull with a bounded force.

    Parameters
    ----------
    delta : float, default=1.0
        Where the loss becomes linear, in the units of y.

    References
    ----------
    Huber (1964). Robust estimation of a location parameter. Annals of Mathematical Statistics 35.

    Examples
    --------
    >>> from pylstm.core import Huber
    >>> Huber(delta=0.5)
    Huber(delta=0.5)
    """

    delta: float = 1.0
    _kind = 2

    def __post_init__(self) -> None:
        wanted = "a number, positive and finite"
        delta = require("delta", self.delta, Real, wanted, lambda v: 0 < v < np.inf)
        object.__setattr__(self, "delta", delta)

    @property
    def _settings(self) -> NDArray[np.float64] | None:
        return np.array([self.delta], dtype=np.float64)

    def _for_scaled_targets(self, scale: NDArray[np.float64]) -> Loss:
        return _HuberByTarget(tuple((self.delta / scale).tolist()))


@dataclass(frozen=True)
class _HuberByTarget(Loss):
    """With a delta for each target."""

    deltas: tuple[float, ...]
    _kind = Huber._kind

    @property
    def _settings(self) -> NDArray[np.float64] | None:
        return np.array(self.deltas, dtype=np.float64)


@public_in("pylstm.core")
@dataclass(frozen=True)
class Quantile(Loss):
    """Pinball loss: predicts one or several quantiles of each target.

    With quantile q: q (y - z) where y > z, (1 - q) (z - y) elsewhere; the mean over the quantiles. The
    network has an output for each target and quantile. Predictions are sorted, so that quantiles
    never cross (Chernozhukov et al. 2010: sorting never makes them worse).

    Parameters
    ----------
    quantiles : float or sequence of float, default=0.5
        The quantiles, each between 0 and 1, in increasing order.

    References
    ----------
    Koenker & Bassett (1978). Regression quantiles. Econometrica 46.
    Chernozhukov, Fernandez-Val & Galichon (2010). Quantile and probability curves without crossing.
    Econometrica 78.

    Examples
    --------
    >>> from pylstm.core import Quantile
    >>> Quantile((0.1, 0.5, 0.9)).n_outputs(2)
    6
    """

    quantiles: float | tuple[float, ...] = 0.5
    _kind = 3

    def __post_init__(self) -> None:
        quantiles = self._tuple
        for q in quantiles:
            require("Each of quantiles", q, Real, "a number between 0 and 1", lambda v: 0 < v < 1)
        if not quantiles:
            raise ValueError("quantiles must hold at least one number, got none.")
        if list(quantiles) != sorted(set(quantiles)):
            raise ValueError(f"quantiles must be in increasing order, got {self.quantiles!r}.")
        if not isinstance(self.quantiles, Real):
            object.__setattr__(self, "quantiles", quantiles)  # hashable, whatever was given

    @property
    def _tuple(self) -> tuple[float, ...]:
        return (
            (self.quantiles,) if isinstance(self.quantiles, float | Real) else tuple(self.quantiles)
        )

    def n_outputs(self, n_targets: int) -> int:
        return n_targets * len(self._tuple)

    def prediction(self, output: Array) -> Array:
        """(..., n_targets) for a single quantile, (..., n_targets, n_quantiles) for a sequence."""
        if isinstance(self.quantiles, float | Real):
            return output
        n_quantiles = len(self.quantiles)
        by_target = output.reshape(*output.shape[:-1], -1, n_quantiles)
        return np.sort(by_target, axis=-1)

    def _pull_back(self, output: Array, d_prediction: Array) -> Array:
        if isinstance(self.quantiles, float | Real):
            return d_prediction
        by_target = output.reshape(d_prediction.shape)
        d_by_target = np.empty_like(d_prediction)
        np.put_along_axis(d_by_target, by_target.argsort(axis=-1, kind="stable"), d_prediction, -1)
        return d_by_target.reshape(output.shape)

    @property
    def _settings(self) -> NDArray[np.float64] | None:
        return np.array(self._tuple, dtype=np.float64)


@public_in("pylstm.core")
@dataclass(frozen=True)
class Poisson(Loss):
    """e^z - y z: predicts the mean e^z of counts and other targets that are not negative.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import Poisson
    >>> Poisson().prediction(np.zeros(2))
    array([1., 1.])
    """

    _kind = 4
    _restricts_targets = True

    def prediction(self, output: Array) -> Array:
        return np.exp(output)

    def _pull_back(self, output: Array, d_prediction: Array) -> Array:
        return d_prediction * np.exp(output)

    def check_targets(self, y: Array) -> None:
        if (y < 0).any():
            raise ValueError(
                f"The Poisson loss needs targets that are not negative, got {y.min()} in y."
            )


@public_in("pylstm.core")
@dataclass(frozen=True)
class Gaussian(Loss):
    """Negative log-likelihood of a normal distribution, but for its constant.

    ((y - mu) / sigma)^2 / 2 + ln sigma, with two outputs for each target: mu, and s, of which
    sigma = ln(1 + e^s) + 1e-6 (Salinas et al. 2020).

    References
    ----------
    Salinas, Flunkert, Gasthaus & Januschowski (2020). DeepAR: probabilistic forecasting with
    autoregressive recurrent networks. International Journal of Forecasting 36.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import Gaussian
    >>> Gaussian().std(np.zeros(2)).round(3)
    array([0.693])
    """

    _kind = 5

    def n_outputs(self, n_targets: int) -> int:
        return 2 * n_targets

    def prediction(self, output: Array) -> Array:
        """The means."""
        return output[..., ::2]

    def _pull_back(self, output: Array, d_prediction: Array) -> Array:
        d_output = np.zeros_like(output)
        d_output[..., ::2] = d_prediction
        return d_output

    def std(self, output: Array) -> Array:
        """The standard deviations."""
        return np.logaddexp(output[..., 1::2], 0) + output.dtype.type(1e-6)


@public_in("pylstm.core")
@dataclass(frozen=True)
class LogLoss(Loss):
    """-ln softmax(z)[y], with y the number of a class: predicts the classes' probabilities.

    Parameters
    ----------
    n_classes : int
        Number of classes, at least 2.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import LogLoss
    >>> LogLoss(n_classes=4).prediction(np.zeros(4))
    array([0.25, 0.25, 0.25, 0.25])
    """

    n_classes: int
    _kind = 6
    _restricts_targets = True

    def __post_init__(self) -> None:
        wanted = "an integer, at least 2"
        n_classes = require("n_classes", self.n_classes, Integral, wanted, lambda v: v >= 2)
        object.__setattr__(self, "n_classes", n_classes)

    def n_outputs(self, n_targets: int) -> int:
        """An output for each class; the class is the only target."""
        return self.n_classes

    def prediction(self, output: Array) -> Array:
        """Probabilities, (..., n_classes)."""
        odds = np.exp(output - output.max(axis=-1, keepdims=True))
        return odds / odds.sum(axis=-1, keepdims=True)

    def _pull_back(self, output: Array, d_prediction: Array) -> Array:
        p = self.prediction(output)
        d_output: Array = p * (d_prediction - (p * d_prediction).sum(axis=-1, keepdims=True))
        return d_output

    def check_targets(self, y: Array) -> None:
        is_class = (y >= 0) & (y < self.n_classes) & (y == np.floor(y))
        if not is_class.all():
            raise ValueError(
                f"The log loss of {self.n_classes} classes needs targets 0 to {self.n_classes - 1}, "
                f"got {y[~is_class].flat[0]} in y."
            )
