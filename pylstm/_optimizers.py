"""Optimisers: their settings and their state. The updates are compiled, in `kernels/updates.pxi`."""

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np

from ._checks import check_in_place, check_real, float_dtype, require
from ._options import Solver
from ._public import public_in
from ._typing import DTypeLike, NDArray


@public_in("pylstm.core")
class Optimizer:
    """Base of the optimisers: the state that a training pass reads and writes.

    Attributes
    ----------
    moments : ndarray of shape (n_moments, n_params)
        Running averages of the gradient, in the dtype of the parameters.
    step_count : ndarray of int64 of shape (1,)
        Updates made so far; `n_steps` gives it as an int.
    learning_rate : float or ndarray of shape (n_batches,)
        Step size, or that of each batch of the next pass; may be changed between passes.
    """

    _solver: int  # the kernels' number of the update
    _n_moments: int
    _rates: ClassVar[tuple[str, ...]] = ()  # settings from 0 to less than 1
    _sizes: ClassVar[tuple[str, ...]] = ()  # settings that are not negative
    _flags: ClassVar[tuple[str, ...]] = ()  # settings that are True or False

    def __init__(
        self, n_params: int, dtype: DTypeLike, learning_rate: float | NDArray[np.float64]
    ) -> None:
        wanted = "an integer, not negative"
        n_params = require("n_params", n_params, Integral, wanted, lambda v: v >= 0)
        self.learning_rate = learning_rate
        self.moments = np.zeros((self._n_moments, n_params), dtype=float_dtype(dtype))
        self.step_count = np.zeros(1, dtype=np.int64)

    @property
    def n_steps(self) -> int:
        """Updates made so far."""
        return int(self.step_count[0])

    def _check(self, params, n_batches):
        """Refuse settings and state that do not suit the parameters: both may have been set to anything."""
        for name in self._rates:
            value = getattr(self, name)
            if type(value) is not float or not 0 <= value < 1:
                wanted = "a number, at least 0 and less than 1"
                require(name, value, Real, wanted, lambda v: 0 <= v < 1)
        for name in ("learning_rate", *self._sizes):
            value = getattr(self, name)
            if type(value) is not float or not 0 <= value < np.inf:
                self._check_size(name, value, n_batches)
        for name in self._flags:
            require(name, getattr(self, name), bool, "True or False")
        moments, step_count = self.moments, self.step_count
        check_in_place("The optimiser's moments", moments)
        wanted = (self._n_moments, *params.shape)
        if moments.shape != wanted or moments.dtype != params.dtype:
            raise ValueError(
                f"The optimiser's moments must have shape {wanted} and dtype {params.dtype} for these "
                f"params, got shape {moments.shape} and dtype {moments.dtype}."
            )
        check_in_place("The optimiser's step_count", step_count)
        if (
            step_count.shape != (1,)
            or step_count.dtype != np.int64
            or not 0 <= step_count[0] < 2**62
        ):
            raise ValueError(
                "The optimiser's step_count must hold one int64, the number of updates so far, got "
                f"{step_count!r}."
            )

    def _check_size(self, name, value, n_batches):
        """A number that is finite and not negative; of learning rates one for each batch, if many."""
        if name != "learning_rate" or isinstance(value, Real | str | None):
            wanted = "a number, finite and not negative"
            require(name, value, Real, wanted, lambda v: 0 <= v < np.inf)
            return
        rates = np.asarray(value)
        check_real("learning_rate", rates)
        if rates.shape not in ((), (n_batches,)):
            raise ValueError(
                f"learning_rate must be a number, or an array of one for each of {n_batches} batches, got "
                f"shape {rates.shape}."
            )
        if not ((rates >= 0) & (rates < np.inf)).all():
            raise ValueError("learning_rate must hold numbers that are finite and not negative.")


@public_in("pylstm.core")
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1).

    Parameters
    ----------
    n_params : int
        Length of the flat parameter vector.
    dtype : {numpy.float32, numpy.float64}
        Its dtype.
    learning_rate : float, default=0.001
        Step size.
    beta_1, beta_2 : float in [0, 1), default=0.9, 0.999
        Decay of the running averages of the gradient and of its square.
    epsilon : float, default=1e-8
        Added to the root of the second moment.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import Adam
    >>> Adam(10, np.float32, learning_rate=0.01).n_steps
    0
    """

    _solver = 0
    _n_moments = 2
    _rates = ("beta_1", "beta_2")
    _sizes: ClassVar[tuple[str, ...]] = ("epsilon",)

    def __init__(
        self,
        n_params: int,
        dtype: DTypeLike,
        *,
        learning_rate: float | NDArray[np.float64] = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(n_params, dtype, learning_rate)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def _settings(self):
        """As the kernels take them."""
        return Solver(self._solver, self.beta_1, self.beta_2, self.epsilon)


@public_in("pylstm.core")
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019).

    Before each of Adam's updates the weights, not the biases, are multiplied by
    ``1 - learning_rate * weight_decay``.

    Parameters
    ----------
    n_params, dtype, learning_rate, beta_1, beta_2, epsilon
        As for `Adam`.
    weight_decay : float, default=0.01
        Strength of the decay.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import AdamW
    >>> AdamW(10, np.float32, weight_decay=0.1).weight_decay
    0.1
    """

    _solver = 1
    _sizes = ("epsilon", "weight_decay")

    def __init__(
        self, n_params: int, dtype: DTypeLike, *, weight_decay: float = 0.01, **settings: Any
    ) -> None:
        super().__init__(n_params, dtype, **settings)
        self.weight_decay = weight_decay

    def _settings(self):
        return super()._settings()._replace(weight_decay=self.weight_decay)


@public_in("pylstm.core")
class RMSprop(Optimizer):
    """Gradient descent by the sign and relative size of the gradient (Tieleman & Hinton 2012).

    Parameters
    ----------
    n_params : int
        Length of the flat parameter vector.
    dtype : {numpy.float32, numpy.float64}
        Its dtype.
    learning_rate : float, default=0.001
        Step size.
    decay : float in [0, 1), default=0.99
        Decay of the running average of the squared gradient.
    epsilon : float, default=1e-8
        Added to its root.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import RMSprop
    >>> RMSprop(10, np.float32, decay=0.9).moments.shape
    (1, 10)
    """

    _solver = 2
    _n_moments = 1
    _rates = ("decay",)
    _sizes: ClassVar[tuple[str, ...]] = ("epsilon",)

    def __init__(
        self,
        n_params: int,
        dtype: DTypeLike,
        *,
        learning_rate: float | NDArray[np.float64] = 1e-3,
        decay: float = 0.99,
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(n_params, dtype, learning_rate)
        self.decay = decay
        self.epsilon = epsilon

    def _settings(self):
        return Solver(self._solver, beta_2=self.decay, epsilon=self.epsilon)


@public_in("pylstm.core")
class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Sutskever et al. 2013).

    Parameters
    ----------
    n_params : int
        Length of the flat parameter vector.
    dtype : {numpy.float32, numpy.float64}
        Its dtype.
    learning_rate : float, default=0.001
        Step size.
    momentum : float in [0, 1), default=0.9
        Share of the last update that is kept.
    nesterov : bool, default=True
        Whether to use Nesterov's momentum.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import SGD
    >>> SGD(10, np.float64, momentum=0.0).moments.shape
    (1, 10)
    """

    _solver = 3
    _n_moments = 1
    _rates = ("momentum",)
    _flags = ("nesterov",)

    def __init__(
        self,
        n_params: int,
        dtype: DTypeLike,
        *,
        learning_rate: float | NDArray[np.float64] = 1e-3,
        momentum: float = 0.9,
        nesterov: bool = True,
    ) -> None:
        super().__init__(n_params, dtype, learning_rate)
        self.momentum = momentum
        self.nesterov = nesterov

    def _settings(self):
        return Solver(self._solver, momentum=self.momentum, nesterov=self.nesterov)
