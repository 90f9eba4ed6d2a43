"""Types of the compiled kernels (and of `_core_avx2`, `_core_avx512`). The arrays of one call share a
dtype, float32 or float64; `dimensions` are those of `Plan`. See `core.py` for the checked API."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_Real: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
_Dimensions: TypeAlias = tuple[int, int, int, int, int, bool, bool]
_Indices: TypeAlias = NDArray[np.int64]

def forward(
    params: _Real,
    X: _Real,
    dimensions: _Dimensions,
    order: _Indices | None,
    lengths: _Indices | None,
    h0: _Real | None,
    c0: _Real | None,
    output: _Real,
    hidden: _Real | None,
    h_n: _Real | None,
    c_n: _Real | None,
    traces: _Real | None,
    n_threads: int,
) -> None: ...
def backward(
    params: _Real,
    X: _Real,
    dimensions: _Dimensions,
    lengths: _Indices | None,
    h0: _Real | None,
    c0: _Real | None,
    d_output: _Real,
    d_hidden: _Real,
    d_h_n: _Real | None,
    d_c_n: _Real | None,
    d_params: _Real,
    d_X: _Real,
    d_h0: _Real,
    d_c0: _Real,
    n_threads: int,
) -> None: ...
def loss_and_gradient(
    params: _Real,
    X: _Real,
    dimensions: _Dimensions,
    order: _Indices,
    lengths: _Indices | None,
    y: _Real,
    weight: _Real | None,
    loss: int,
    loss_settings: NDArray[np.float64] | None,
    alpha: float,
    dropout: float,
    recurrent_dropout: float,
    seed: int,
    gradient: _Real,
    n_threads: int,
) -> float: ...
def train(
    params: _Real,
    X: _Real,
    dimensions: _Dimensions,
    order: _Indices,
    numbers: _Indices | None,
    lengths: _Indices | None,
    states: _Real | None,
    y: _Real,
    weight: _Real | None,
    loss: int,
    loss_settings: NDArray[np.float64] | None,
    batch_size: int,
    alpha: float,
    max_grad_norm: float,
    max_grad_value: float,
    dropout: float,
    recurrent_dropout: float,
    seed: int,
    learning_rates: NDArray[np.float64],
    solver: int,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    moments: _Real,
    n_steps: _Indices,
    average: _Real | None,
    average_decay: float,
    n_threads: int,
) -> float: ...

class Stream: ...

def stream_open(params: _Real, dimensions: _Dimensions) -> Stream: ...
def stream_step(stream: Stream, x: _Real, y: _Real) -> None: ...
def stream_states(stream: Stream, h: _Real, c: _Real, put: bool) -> None: ...
def compiled_for() -> str: ...
def supported_level() -> int: ...
def has_openmp() -> bool: ...
def max_threads() -> int: ...
def thread_count(n_threads: int) -> int: ...
def set_work_per_thread(operations: float) -> float: ...
