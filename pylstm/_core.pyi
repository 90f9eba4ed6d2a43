"""Types of the compiled module; `_core_avx2` and `_core_avx512` have the same. See `core.py`."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

# One of the two, the same in all arguments of a call.
_Real: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]

def compiled_for() -> str: ...
def supported_level() -> int: ...
def has_openmp() -> bool: ...
def max_threads() -> int: ...
def thread_count(n_threads: int) -> int: ...
def set_work_per_thread(operations: float) -> float: ...
def forward(
    params: _Real,
    X: _Real,
    h0: _Real,
    c0: _Real,
    hidden_size: int,
    num_layers: int,
    output: _Real,
    hidden: _Real,
    h_n: _Real,
    c_n: _Real,
    n_threads: int,
) -> None: ...
def backward(
    params: _Real,
    X: _Real,
    h0: _Real,
    c0: _Real,
    hidden_size: int,
    num_layers: int,
    d_output: _Real,
    d_hidden: _Real,
    d_h_n: _Real,
    d_c_n: _Real,
    d_params: _Real,
    d_X: _Real,
    d_h0: _Real,
    d_c0: _Real,
    n_threads: int,
) -> None: ...

class Stream: ...

def stream_open(
    params: _Real, n_features: int, hidden_size: int, num_layers: int, n_outputs: int
) -> Stream: ...
def stream_step(stream: Stream, x: _Real, y: _Real) -> None: ...
def stream_states(stream: Stream, h: _Real, c: _Real, put: bool) -> None: ...
def loss_and_gradient(
    params: _Real,
    X: _Real,
    y: _Real,
    weight: _Real,
    order: npt.NDArray[np.int64],
    hidden_size: int,
    num_layers: int,
    alpha: float,
    gradient: _Real,
    n_threads: int,
) -> float: ...
def train(
    params: _Real,
    X: _Real,
    y: _Real,
    weight: _Real,
    order: npt.NDArray[np.int64],
    batch_size: int,
    hidden_size: int,
    num_layers: int,
    alpha: float,
    max_grad_norm: float,
    moments: _Real,
    n_steps: npt.NDArray[np.int64],
    learning_rate: float,
    adam: bool,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    momentum: float,
    nesterov: bool,
    n_threads: int,
) -> float: ...
