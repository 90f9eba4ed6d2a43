"""Types of what public functions take and return."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

__all__ = [
    "Array",
    "ArrayLike",
    "DTypeLike",
    "Estimator",
    "EvalsLog",
    "Floats",
    "Integers",
    "NDArray",
    "RandomState",
]

Array: TypeAlias = NDArray[Any]
Floats: TypeAlias = NDArray[np.floating[Any]]  # of float32 or float64, as the parameters are
Integers: TypeAlias = NDArray[np.integer[Any]]

RandomState: TypeAlias = int | np.random.RandomState | None

# An LSTMRegressor or LSTMClassifier, or an estimator around one: who passes it knows which.
Estimator: TypeAlias = Any

# The figures of each epoch so far, by name.
EvalsLog: TypeAlias = dict[str, list[float]]
