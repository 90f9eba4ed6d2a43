"""Optimisers: their settings and their state. The updates are compiled, in `kernels/updates.pxi`."""

from typing import Any

import numpy as np

from ._options import Solver
from ._typing import DTypeLike, NDArray


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

    def __init__(
        self, n_params: int, dtype: DTypeLike, learning_rate: float | NDArray[np.float64]
    ) -> None:
        self.learning_rate = learning_rate
        self.moments = np.zeros((self._n_moments, n_params), dtype=dtype)
        self.step_count = np.zeros(1, dtype=np.int64)

    @property
    def n_steps(self) -> int:
        """Updates made so far."""
        return int(self.step_count[0])


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

    def __init__(
        self, n_params: int, dtype: DTypeLike, *, weight_decay: float = 0.01, **settings: Any
    ) -> None:
        super().__init__(n_params, dtype, **settings)
        self.weight_decay = weight_decay

    def _settings(self):
        return super()._settings()._replace(weight_decay=self.weight_decay)


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
