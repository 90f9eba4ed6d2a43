"""What travels together from Python to the kernels: options and arrays, as named tuples.

The kernels unpack each in the order of its fields, the options into the struct of that name in
`kernels/`. Nothing is checked here or there: `core.py` has done so. This module imports nothing of
pylstm, so that an object that holds one of these can be read where another instruction set runs.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Dimensions(NamedTuple):
    """Those of a network."""

    n_features: int
    hidden_size: int
    num_layers: int
    n_outputs: int
    directions: int
    return_sequences: bool
    mask_missing: bool
    highway: int = 0


class Objective(NamedTuple):
    """What training makes small: the loss, by its number and settings, and the L2 penalty."""

    kind: int
    settings: NDArray[np.float64] | None
    alpha: float


class Dropout(NamedTuple):
    """Shares of layers' outputs and of h_{t-1} that are dropped; what determines which."""

    rate: float
    recurrent_rate: float
    seed: int


class Clipping(NamedTuple):
    """Limits of a gradient's norm and of its elements; 0 where there is none."""

    norm: float
    value: float


class Solver(NamedTuple):
    """A solver, by its number, and its settings; the defaults stand for those that it does not know."""

    kind: int
    beta_1: float = 0.0
    beta_2: float = 0.0
    epsilon: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    fixed_highway: bool = False


WINDOW_SCALINGS = {"last": 0, "mean": 1, "standard": 2, "relative": 3}
"""The kernels' numbers of what a window may be scaled by."""


class Scaling(NamedTuple):
    """The network reads (X - center) * factor; one row for all samples, or one for each."""

    center: NDArray[np.float64]  # (F,) or (n_samples, F)
    factor: NDArray[np.float64]  # of the same shape

    @property
    def is_by_sample(self) -> bool:
        return self.center.ndim == 2

    def take(self, rows: Any) -> "Scaling":
        """That of some samples."""
        return Scaling(self.center[rows], self.factor[rows]) if self.is_by_sample else self

    def read(self, X: NDArray[Any]) -> NDArray[Any]:
        """X (n_samples, T, F) as the network reads it."""
        center, factor = (v[:, np.newaxis] if self.is_by_sample else v for v in self)
        return (X - center) * factor


class Samples(NamedTuple):
    """What is learned from. Without scaling, lengths and weights: X as it is, all steps, weights of one."""

    X: np.ndarray  # (n_samples, T, F), float32 or float64, by any strides
    scaling: Scaling | None
    lengths: NDArray[np.int64] | None  # (n_samples,)
    y: np.ndarray  # (n_samples, S, n_targets), S applications of the head
    weight: np.ndarray | None  # (n_samples,)


class Visits(NamedTuple):
    """Which samples a pass visits, in which order and batches."""

    order: NDArray[np.int64]  # (n_visits,)
    numbers: NDArray[np.int64] | None  # (n_visits,): those that dropout knows; None: 0, 1, 2, ...
    batch_size: int
    states: np.ndarray | None  # (2, n_cells, batch_size, H), h and c: carried from batch to batch


class OptimizerState(NamedTuple):
    """What an optimiser carries from update to update."""

    moments: np.ndarray  # (n_moments, n_params)
    n_steps: NDArray[np.int64]  # (1,): updates so far


class Average(NamedTuple):
    """A running average of the parameters, and its decay."""

    weights: np.ndarray  # (n_params,)
    decay: float
