"""Types of the compiled kernels (and of `_core_avx2`, `_core_avx512`). The arrays of one call share a
dtype, float32 or float64, but for X, which has either. See `core.py` for the checked API."""

from typing import TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from ._options import (
    Average,
    Clipping,
    Dimensions,
    Dropout,
    Objective,
    OptimizerState,
    Samples,
    Scaling,
    Solver,
    Visits,
)

_Real: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
_States: TypeAlias = tuple[_Real | None, _Real | None]  # h and c
_Indices: TypeAlias = NDArray[np.int64]

def compiled_for() -> str: ...
def supported_level() -> int: ...
def has_openmp() -> bool: ...
def max_threads() -> int: ...
def openmp_file() -> str | None: ...
def thread_count(n_threads: int) -> int: ...
def distrust_threads() -> None: ...
def set_work_per_thread(operations: float) -> float: ...
def set_arena_limits(forward: float, backward: float) -> tuple[float, float]: ...
def make_orthogonal(A: NDArray[np.float64], n_threads: int) -> None: ...
def forward(
    params: _Real,
    X: _Real,
    scaling: Scaling | None,
    dimensions: Dimensions,
    order: _Indices | None,
    lengths: _Indices | None,
    states: _States,
    output: _Real,
    hidden: _Real | None,
    final_states: _States,
    traces: _Real | None,
    n_threads: int,
) -> None: ...
def backward(
    params: _Real,
    X: _Real,
    scaling: Scaling | None,
    dimensions: Dimensions,
    lengths: _Indices | None,
    states: _States,
    d_output: _Real,
    d_hidden: _Real,
    d_final_states: _States,
    d_params: _Real,
    d_X: _Real,
    d_states: tuple[_Real, _Real],
    n_threads: int,
) -> None: ...
def window_statistics(
    X: _Real,
    lengths: _Indices | None,
    kind: int,
    scaled: NDArray[np.uint8] | None,
    levels: NDArray[np.float64],
    inputs: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    reading: NDArray[np.float64] | None,
    targets: tuple[_Indices, NDArray[np.float64], NDArray[np.float64]] | None,
    writing: NDArray[np.float64] | None,
    n_threads: int,
) -> None: ...

@final
class Plan: ...

@final
class StreamHandle: ...

def stream_open(params: _Real, dimensions: Dimensions) -> StreamHandle: ...
def stream_copy(handle: StreamHandle) -> StreamHandle: ...
def stream_step(handle: StreamHandle, x: _Real, y: _Real) -> None: ...
def stream_states(handle: StreamHandle, h: _Real, c: _Real, put: bool) -> None: ...
def loss_and_gradient(
    params: _Real,
    dimensions: Dimensions,
    samples: Samples,
    objective: Objective,
    dropout: Dropout | None,
    gradient: _Real,
    n_threads: int,
) -> float: ...
def train(
    params: _Real,
    dimensions: Dimensions,
    samples: Samples,
    visits: Visits,
    objective: Objective,
    dropout: Dropout | None,
    clipping: Clipping,
    solver: Solver,
    learning_rates: NDArray[np.float64],
    state: OptimizerState,
    average: Average | None,
    n_threads: int,
) -> float: ...
def slot_layout(dimensions: Dimensions, batch_size: int, itemsize: int) -> tuple[int, int]: ...
def slot_gradient(
    params: _Real,
    dimensions: Dimensions,
    samples: Samples,
    order: _Indices,
    numbers: _Indices,
    batch_size: int,
    objective: Objective,
    dropout: Dropout | None,
    total_weight: float,
    gradient: _Real,
) -> float: ...
def apply_gradient(
    params: _Real,
    dimensions: Dimensions,
    loss: float,
    gradient: _Real,
    penalty: float,
    clipping: Clipping,
    solver: Solver,
    learning_rate: float,
    state: OptimizerState,
    average: Average | None,
) -> float: ...
