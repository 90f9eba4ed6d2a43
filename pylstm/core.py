"""The low-level API: plain arrays in, plain arrays out, no estimator.

This is the layer that bindings use (R, Julia, C, or an estimator of your own), in the manner of a C
library: a network is an `Architecture` and one flat vector of parameters, and every function is a
pure function of its arguments, except `train`, which updates the parameters and the optimiser in
place.

The flat vector holds, one after the other and each in C order, for every layer ``l``

=========  ==================  =================================================================
name       shape               meaning
=========  ==================  =================================================================
``W{l}``   (n_in, 4H)          input weights; n_in is n_features for layer 0, D * H for the others
``U{l}``   (H, 4H)             recurrent weights
``b{l}``   (4H,)               biases
=========  ==================  =================================================================

(followed by ``W{l}_reverse``, ``U{l}_reverse``, ``b{l}_reverse`` if the network is bidirectional)
and then the final linear layer, ``V`` (D * H, K) and ``d`` (K,), with H = hidden_size, K =
n_outputs and D the number of directions. (A `highway` adds rows to ``V``: for each of the last time
steps, in their order, one for each input.) The 4H columns belong to the input gate, the forget gate,
the candidate and the output gate, in this order. The equations stand in `pylstm/_core.pyx`, the
sources beside them.

Sequences may be of different lengths: `lengths` gives the time steps of each sample, from the first
on; what lies behind them in `X` is padding, which is never looked at.

Arrays of dtype float32 or float64 are used as they are, other dtypes are converted; the parameters'
dtype decides in which precision a call is computed. `X` may have any strides (a sliding-window
view, for example) and either dtype: it is read where it lies, and scaled on the way if `scaling`
says so. Results do not depend on the number of threads, bit
for bit, and a sample's output does not depend on the batch it is in.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral, Real
from typing import Literal, NamedTuple, overload

import numpy as np

from . import _unchecked
from ._checks import (
    FLOATS,
    as_array,
    check_disjoint,
    check_in_place,
    check_real,
    check_shape,
    check_states,
    contiguous,
    dense,
    float_dtype,
    is_plain,
    require,
)
from ._dispatch import effective_n_threads, kernels
from ._lengths import check_lengths, is_step
from ._losses import (
    AbsoluteError,
    Gaussian,
    Huber,
    LogLoss,
    Loss,
    Poisson,
    Quantile,
    SquaredError,
)
from ._optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
from ._options import WINDOW_SCALINGS, Dimensions
from ._typing import Array, ArrayLike, DTypeLike, Floats, NDArray, RandomState

_DOUBLE = np.dtype(np.float64)
_PAIR = (tuple, list)

__all__ = [
    "SGD",
    "AbsoluteError",
    "Adam",
    "AdamW",
    "Architecture",
    "Backward",
    "Forward",
    "GateActivations",
    "Gaussian",
    "Huber",
    "LogLoss",
    "Poisson",
    "Quantile",
    "RMSprop",
    "SquaredError",
    "Stream",
    "backward",
    "effective_n_threads",
    "forward",
    "gate_activations",
    "init_parameters",
    "loss_and_gradient",
    "n_parameters",
    "pack_parameters",
    "parameter_shapes",
    "predict",
    "train",
    "unpack_parameters",
    "window_statistics",
]


@dataclass(frozen=True)
class Architecture:
    """The dimensions of a network.

    Parameters
    ----------
    n_features : int
        Features per time step.
    hidden_size : int, default=32
        Hidden units per layer.
    num_layers : int, default=1
        LSTM layers, each reading the hidden states of the one below.
    n_outputs : int, default=1
        Outputs of the final linear layer.
    bidirectional : bool, default=False
        Whether each layer also has cells that read the sequence from its end to its start
        (Schuster & Paliwal 1997). A layer's output at a time step is that of both, side by side;
        the linear layer reads the final hidden states of both.
    return_sequences : bool, default=False
        Whether the linear layer is applied to the output of every time step, instead of once.
    mask_missing : bool, default=False
        Whether `X` may be NaN where a value is missing. The network then reads the value observed
        last (0 before the first), and, as n_features further inputs, which values are missing
        (Lipton et al. 2016; Che et al. 2018).
    highway : int, default=0
        Time steps, the last ones of each sequence, whose inputs the linear layer reads too, beside the
        final hidden states: an autoregression in parallel to the network (Lai et al. 2018). Needs
        `return_sequences=False`.

    Raises
    ------
    TypeError
        If a dimension is no integer, or an option no bool.
    ValueError
        If a dimension is less than 1, there are more than 10,000 layers, or more parameters than an
        array can hold; if a highway is to lead to every time step.

    Examples
    --------
    >>> from pylstm.core import Architecture, n_parameters
    >>> n_parameters(Architecture(n_features=8, hidden_size=32))
    5281
    """

    n_features: int
    hidden_size: int = 32
    num_layers: int = 1
    n_outputs: int = 1
    bidirectional: bool = False
    return_sequences: bool = False
    mask_missing: bool = False
    highway: int = 0

    def __post_init__(self) -> None:
        wanted = "an integer of at least 1"
        for name in ("n_features", "hidden_size", "num_layers", "n_outputs"):
            value = require(name, getattr(self, name), Integral, wanted, lambda v: v >= 1)
            object.__setattr__(self, name, value)  # sizes computed of NumPy's integers would wrap
        for name in ("bidirectional", "return_sequences", "mask_missing"):
            object.__setattr__(
                self, name, require(name, getattr(self, name), bool, "True or False")
            )
        highway = require(
            "highway", self.highway, Integral, "an integer, not negative", lambda v: v >= 0
        )
        object.__setattr__(self, "highway", highway)
        if self.highway and self.return_sequences:
            raise ValueError(
                "highway leads from the end of a sequence to its only output: use "
                "return_sequences=False, or highway=0."
            )
        if self.num_layers > 10_000:
            raise ValueError(f"num_layers must be at most 10,000, got {self.num_layers}.")
        if self._n_params * 8 > sys.maxsize:
            raise ValueError(
                f"{self} would have {self._n_params:.3g} parameters, more than an array can hold."
            )

    @property
    def num_directions(self) -> int:
        """2 if the network is bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @cached_property
    def _dimensions(self):
        """As the kernels take them."""
        return Dimensions(
            self.n_features, self.hidden_size, self.num_layers, self.n_outputs, self.num_directions,
            self.return_sequences, self.mask_missing, self.highway,
        )  # fmt: skip

    @property
    def _n_inputs(self):
        """What the first layer reads at each time step."""
        return self.n_features * (1 + self.mask_missing)

    def _states_shape(self, n_samples):
        return (self.num_layers * self.num_directions, n_samples, self.hidden_size)

    def _output_shape(self, X):
        """Of the outputs in the kernels: for one application of the head, or for T of them."""
        return (len(X), X.shape[1] if self.return_sequences else 1, self.n_outputs)

    @cached_property
    def _n_params(self):
        H, D = self.hidden_size, self.num_directions
        inputs = self._n_inputs + (self.num_layers - 1) * D * H
        cells = D * 4 * H * (inputs + self.num_layers * (H + 1))
        return cells + (D * H + self.highway * self._n_inputs + 1) * self.n_outputs


class Forward(NamedTuple):
    """What `forward` returns."""

    output: Floats
    hidden: Floats
    h_n: Floats
    c_n: Floats


class Backward(NamedTuple):
    """What `backward` returns."""

    d_params: Floats
    d_X: Floats
    d_h0: Floats
    d_c0: Floats


class GateActivations(NamedTuple):
    """What `gate_activations` returns."""

    input: Floats
    forget: Floats
    candidate: Floats
    output: Floats
    cell: Floats
    hidden: Floats


# Parameters


def parameter_shapes(arch: Architecture) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the parameters, in the order of the flat vector.

    Parameters
    ----------
    arch : Architecture
        The network's dimensions.

    Returns
    -------
    shapes : dict of str to tuple of int
        "W0", "U0", "b0", ... for each layer (and "W0_reverse", ...), then "V" and "d".

    Examples
    --------
    >>> from pylstm.core import Architecture, parameter_shapes
    >>> parameter_shapes(Architecture(n_features=3, hidden_size=2))
    {'W0': (3, 8), 'U0': (2, 8), 'b0': (8,), 'V': (2, 1), 'd': (1,)}
    """
    _check_arch(arch)
    H, D = arch.hidden_size, arch.num_directions
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(arch.num_layers):
        n_in = arch._n_inputs if layer == 0 else D * H
        for suffix in ("", "_reverse")[:D]:
            shapes[f"W{layer}{suffix}"] = (n_in, 4 * H)
            shapes[f"U{layer}{suffix}"] = (H, 4 * H)
            shapes[f"b{layer}{suffix}"] = (4 * H,)
    shapes["V"] = (D * H + arch.highway * arch._n_inputs, arch.n_outputs)
    shapes["d"] = (arch.n_outputs,)
    return shapes


def n_parameters(arch: Architecture) -> int:
    """Length of the flat parameter vector.

    Parameters
    ----------
    arch : Architecture
        The network's dimensions.

    Returns
    -------
    n_params : int

    Examples
    --------
    >>> from pylstm.core import Architecture, n_parameters
    >>> n_parameters(Architecture(n_features=3, hidden_size=2))
    51
    """
    _check_arch(arch)
    return arch._n_params


def unpack_parameters(params: ArrayLike, arch: Architecture) -> dict[str, Array]:
    """Named views into the flat parameter vector; writing to them changes it.

    Parameters
    ----------
    params : ndarray of shape (n_params,)
        The flat vector (parameters, or a gradient of them).
    arch : Architecture
        The network's dimensions.

    Returns
    -------
    arrays : dict of str to ndarray
        Views with the names and shapes of `parameter_shapes`.

    Raises
    ------
    ValueError
        If the vector's length is not that of the architecture.

    Examples
    --------
    >>> from pylstm.core import Architecture, init_parameters, unpack_parameters
    >>> arch = Architecture(n_features=3, hidden_size=2)
    >>> arrays = unpack_parameters(init_parameters(arch, random_state=0), arch)
    >>> arrays["b0"].tolist()  # the forget gates' biases start at 1
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """
    _check_arch(arch)
    vector = as_array("params", params)
    check_shape("params", vector, (arch._n_params,))
    arrays = {}
    start = 0
    for name, shape in parameter_shapes(arch).items():
        size = math.prod(shape)
        arrays[name] = vector[start : start + size].reshape(shape)
        start += size
    return arrays


def pack_parameters(
    arrays: Mapping[str, ArrayLike], arch: Architecture, dtype: DTypeLike = np.float32
) -> Floats:
    """The flat parameter vector made of named arrays: the inverse of `unpack_parameters`.

    Parameters
    ----------
    arrays : dict of str to array-like
        An array for each name in `parameter_shapes`.
    arch : Architecture
        The network's dimensions.
    dtype : {numpy.float32, numpy.float64}, default=numpy.float32
        The vector's dtype.

    Returns
    -------
    params : ndarray of shape (n_params,)
        A copy.

    Raises
    ------
    ValueError
        If a name is missing or unknown, or a shape is not that of the architecture.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import Architecture, pack_parameters, parameter_shapes
    >>> arch = Architecture(n_features=3, hidden_size=2)
    >>> zeros = {name: np.zeros(shape) for name, shape in parameter_shapes(arch).items()}
    >>> pack_parameters(zeros, arch).shape
    (51,)
    """
    shapes = parameter_shapes(arch)
    if arrays.keys() != shapes.keys():
        raise ValueError(
            f"The parameters of this architecture are {list(shapes)}, got {list(arrays)}."
        )
    params = np.empty(n_parameters(arch), dtype=float_dtype(dtype))
    for name, view in unpack_parameters(params, arch).items():
        array = as_array(name, arrays[name])
        check_real(name, array)
        check_shape(name, array, shapes[name])
        view[...] = array
    return params


def init_parameters(
    arch: Architecture,
    *,
    dtype: DTypeLike = np.float32,
    random_state: RandomState = None,
    forget_bias: float | Literal["chrono"] = 1.0,
    n_timesteps: int | None = None,
    n_threads: int | None = None,
) -> Floats:
    """Parameters to start training from.

    Input and output weights are Glorot-uniform (Glorot & Bengio 2010; each gate counted as a layer
    of its own), the recurrent weights of each gate orthogonal (Saxe et al. 2014) and uniformly
    distributed among orthogonal matrices (Mezzadri 2007), biases 0 but for the forget gates' (Gers et
    al. 2000; Jozefowicz et al. 2015), a highway 0. From the same random numbers come the same bits, on
    any number of threads and with every instruction set.

    Parameters
    ----------
    arch : Architecture
        The network's dimensions.
    dtype : {numpy.float32, numpy.float64}, default=numpy.float32
        The vector's dtype.
    random_state : int, RandomState instance or None, default=None
        Source of the random numbers.
    forget_bias : float or "chrono", default=1.0
        Where the forget gates' biases start. "chrono" (Tallec & Ollivier 2018): each at the logarithm
        of a time between 1 and `n_timesteps` - 1, drawn uniformly, and the input gate's at its
        negative: memories of that many time steps, from the beginning.
    n_timesteps : int, default=None
        Time steps that "chrono" reckons with.
    n_threads : int or None, default=None
        Threads to use, as `n_jobs` in `effective_n_threads`.

    Returns
    -------
    params : ndarray of shape (n_params,)

    Raises
    ------
    TypeError, ValueError
        If `dtype` or `forget_bias` is none of these, or "chrono" is not told the time steps.

    Examples
    --------
    >>> from pylstm.core import Architecture, init_parameters
    >>> init_parameters(Architecture(n_features=1, hidden_size=4), random_state=0).shape
    (101,)
    """
    # Not at the top: who only predicts need not wait for scikit-learn's import.
    from sklearn.utils import check_random_state

    _check_arch(arch)
    rng = check_random_state(random_state)
    n_threads = effective_n_threads(n_threads)
    H = arch.hidden_size
    longest_memory = None
    if isinstance(forget_bias, str) and forget_bias == "chrono":
        wanted = 'with forget_bias="chrono" an integer of at least 1'
        n_timesteps = require("n_timesteps", n_timesteps, Integral, wanted, lambda v: v >= 1)
        longest_memory = max(n_timesteps - 1, 1)
    else:
        wanted = 'a finite number or "chrono"'
        forget_bias = require("forget_bias", forget_bias, Real, wanted, np.isfinite)
    params = np.zeros(n_parameters(arch), dtype=float_dtype(dtype))
    for name, array in unpack_parameters(params, arch).items():
        if name[0] == "W":
            array[...] = _glorot_uniform(rng, len(array), H, array.shape)
        elif name[0] == "U":
            for gate in range(4):
                array[:, gate * H : (gate + 1) * H] = _orthogonal(rng, H, n_threads)
        elif name[0] == "b" and longest_memory is not None:
            array[H : 2 * H] = np.log(rng.uniform(1, longest_memory, size=H))
            array[:H] = -array[H : 2 * H]
        elif name[0] == "b":
            array[H : 2 * H] = forget_bias
        elif name == "V":
            n_states = arch.num_directions * H  # the other rows are a highway's
            shape = (n_states, arch.n_outputs)
            array[:n_states] = _glorot_uniform(rng, *shape, shape)
    return params


def _glorot_uniform(rng, n_in, n_out, shape):
    limit = np.sqrt(6 / (n_in + n_out))
    return rng.uniform(-limit, limit, size=shape)


def _orthogonal(rng, n, n_threads):
    """An orthogonal matrix, uniformly distributed: Q of a Gaussian matrix, R's diagonal made
    positive."""
    matrix = rng.standard_normal((n, n))
    kernels.make_orthogonal(matrix, n_threads)
    return matrix


# The network


def window_statistics(
    X: ArrayLike,
    kind: Literal["last", "mean", "standard", "relative"],
    *,
    lengths: ArrayLike | None = None,
    n_threads: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Center and scale of each window and feature, to read the windows by, each at its own level.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_timesteps, n_features)
        The windows. NaN stands for a missing value, which does not count.
    kind : {"last", "mean", "standard", "relative"}
        - "last": center is the last value, scale 1;
        - "mean": center is 0, scale the mean absolute value (Salinas et al. 2020);
        - "standard": center is the mean, scale the standard deviation, at least 0.001 times the mean
          absolute value;
        - "relative": center is the last value, scale the mean absolute value.

        A scale that would be 0 is 1, and a center of nothing is 0.
    lengths : array-like of int of shape (n_samples,), default=None
        Time steps of each sample; None means n_timesteps.
    n_threads : int or None, default=None
        Threads to use, as `n_jobs` in `effective_n_threads`.

    Returns
    -------
    center, scale : ndarray of float64 of shape (n_samples, n_features)
        With `scaling=(center, 1 / scale)` the other functions read ``(X - center) / scale``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import window_statistics
    >>> center, scale = window_statistics(np.array([[[1.0], [3.0]], [[50.0], [70.0]]]), "standard")
    >>> center[:, 0], scale[:, 0]
    (array([ 2., 60.]), array([ 1., 10.]))
    """
    if kind not in WINDOW_SCALINGS:
        raise ValueError(f"kind must be one of {list(WINDOW_SCALINGS)}, got {kind!r}.")
    sequences = _check_sequences(X, np.float64)
    n_steps = check_lengths(lengths, sequences)
    center, scale = _unchecked.window_statistics(
        sequences, kind, lengths=n_steps, n_threads=effective_n_threads(n_threads)
    )
    return center, scale


def forward(
    params: ArrayLike,
    X: ArrayLike,
    arch: Architecture,
    *,
    lengths: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    scaling: tuple[ArrayLike, ArrayLike] | None = None,
    n_threads: int | None = None,
) -> Forward:
    """Run the network and return all its hidden states.

    Parameters
    ----------
    params : array-like of shape (n_params,)
        The flat parameter vector; its dtype is the precision of the call.
    X : array-like of shape (n_samples, n_timesteps, n_features)
        The input sequences.
    arch : Architecture
        The network's dimensions.
    lengths : array-like of int of shape (n_samples,), default=None
        Time steps of each sample, from 1 to n_timesteps; None means n_timesteps.
    h0, c0 : array-like of shape (num_layers * num_directions, n_samples, hidden_size), default=None
        Hidden and cell states before the first step; None means zeros. A layer's two directions
        come one after the other.
    scaling : tuple of two array-likes (center, factor), default=None
        The network reads ``(X - center) * factor``, computed in double precision. Each of shape
        (n_features,), or (n_samples, n_features) for each sample its own; see `window_statistics`.
    n_threads : int or None, default=None
        Threads to use, as `n_jobs` in `effective_n_threads`.

    Returns
    -------
    result : Forward
        A named tuple of

        - output (n_samples, n_outputs): the final linear layer of the final hidden states; with
          `return_sequences` (n_samples, n_timesteps, n_outputs), the linear layer of each step's;
        - hidden (n_samples, n_timesteps, num_directions * hidden_size): the top layer's hidden
          states at each step;
        - h_n, c_n, shaped as h0: the states after each sample's last step.

        After a sample's end, output and hidden are zero.

    Raises
    ------
    TypeError, ValueError
        If an argument is no numeric array or its shape does not fit the architecture.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import Architecture, forward, init_parameters
    >>> arch = Architecture(n_features=3, hidden_size=4)
    >>> result = forward(init_parameters(arch, random_state=0), np.ones((5, 7, 3)), arch)
    >>> result.output.shape, result.hidden.shape, result.h_n.shape
    ((5, 1), (5, 7, 4), (1, 5, 4))
    """
    vector, sequences, options = _check_network_call(
        params, X, arch, lengths, h0, c0, scaling, n_threads
    )
    n, T, _ = sequences.shape
    hidden = np.empty((n, T, arch.num_directions * arch.hidden_size), vector.dtype)
    h_n, c_n = (np.empty(arch._states_shape(n), vector.dtype) for _ in range(2))
    output = _unchecked.forward(vector, sequences, arch, *options, hidden=hidden, h_n=h_n, c_n=c_n)
    return Forward(output, hidden, h_n, c_n)


@overload
def predict(
    params: ArrayLike,
    X: ArrayLike,
    arch: Architecture,
    *,
    lengths: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    scaling: tuple[ArrayLike, ArrayLike] | None = None,
    return_states: Literal[False] = False,
    n_threads: int | None = None,
) -> Floats: ...
@overload
def predict(
    params: ArrayLike,
    X: ArrayLike,
    arch: Architecture,
    *,
    lengths: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    scaling: tuple[ArrayLike, ArrayLike] | None = None,
    return_states: Literal[True],
    n_threads: int | None = None,
) -> tuple[Floats, Floats, Floats]: ...
def predict(
    params: ArrayLike,
    X: ArrayLike,
    arch: Architecture,
    *,
    lengths: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    scaling: tuple[ArrayLike, ArrayLike] | None = None,
    return_states: bool = False,
    n_threads: int | None = None,
) -> Floats | tuple[Floats, Floats, Floats]:
    """Run the network and return its output alone.

    Beside the output, the memory it needs does not grow with n_timesteps. But a bidirectional network of
    several layers, or one that returns sequences or reads missing values, keeps all time steps of up to
    16 samples a thread (32 from hidden_size=96 on): a layer's output is complete only when both
    directions have come to their ends.

    Parameters
    ----------
    params, X, arch, lengths, h0, c0, scaling, n_threads
        As for `forward`.
    return_states : bool, default=False
        Whether to return the final states as well.

    Returns
    -------
    output : ndarray of shape (n_samples, n_outputs) or (n_samples, n_timesteps, n_outputs)
        As of `forward`.
    h_n, c_n : ndarray of shape (num_layers * num_directions, n_samples, hidden_size)
        The states after each sample's last step, only with `return_states`.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import Architecture, init_parameters, predict
    >>> arch = Architecture(n_features=3, hidden_size=4, n_outputs=2)
    >>> predict(init_parameters(arch, random_state=0), np.ones((5, 7, 3)), arch).shape
    (5, 2)
    """
    vector, sequences, options = _check_network_call(
        params, X, arch, lengths, h0, c0, scaling, n_threads
    )
    return _unchecked.predict(vector, sequences, arch, *options, return_states=return_states)


def gate_activations(
    params: ArrayLike,
    X: ArrayLike,
    arch: Architecture,
    *,
    lengths: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    scaling: tuple[ArrayLike, ArrayLike] | None = None,
    n_threads: int | None = None,
) -> GateActivations:
    """What each gate of each layer does at each time step.

    Parameters
    ----------
    params, X, arch, lengths, h0, c0, scaling, n_threads
        As for `forward`.

    Returns
    -------
    result : GateActivations
        A named tuple of arrays (num_layers * num_directions, n_samples, n_timesteps, hidden_size):
        input gate i, forget gate f, candidate g, output gate o, cell state c and hidden state h. In
        the order of time in both directions; zeros after a sample's end.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import Architecture, gate_activations, init_parameters
    >>> arch = Architecture(n_features=3, hidden_size=4, num_layers=2)
    >>> gates = gate_activations(init_parameters(arch, random_state=0), np.ones((5, 7, 3)), arch)
    >>> gates.forget.shape
    (2, 5, 7, 4)
    """
    vector, sequences, options = _check_network_call(
        params, X, arch, lengths, h0, c0, scaling, n_threads
    )
    return GateActivations(*_unchecked.gate_activations(vector, sequences, arch, *options))


def backward(
    params: ArrayLike,
    X: ArrayLike,
    arch: Architecture,
    *,
    d_output: ArrayLike | None = None,
    d_hidden: ArrayLike | None = None,
    d_h_n: ArrayLike | None = None,
    d_c_n: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    h0: ArrayLike | None = None,
    c0: ArrayLike | None = None,
    scaling: tuple[ArrayLike, ArrayLike] | None = None,
    n_threads: int | None = None,
) -> Backward:
    """Backpropagation through time: the vector-Jacobian product of `forward`.

    Nothing needs to be kept from `forward`: the forward pass is run again, block by block, in memory as
    for `loss_and_gradient`.

    Parameters
    ----------
    params, X, arch, lengths, h0, c0, scaling, n_threads
        As for `forward`.
    d_output : array-like shaped as `forward`'s output, default=None
        Gradient of some scalar with respect to the output; None means zeros, here and below.
    d_hidden : array-like of shape (n_samples, n_timesteps, num_directions * hidden_size), \
            default=None
        The same with respect to the top layer's hidden states.
    d_h_n, d_c_n : array-like shaped as h0, default=None
        The same with respect to the final states.

    Returns
    -------
    result : Backward
        A named tuple of the scalar's gradients:

        - d_params (n_params,), summed over samples;
        - d_X (n_samples, n_timesteps, n_features); with `mask_missing` that of an observed value
          includes the steps it was carried on to; `scaling` counts as constant;
        - d_h0, d_c0, shaped as h0.

    Raises
    ------
    TypeError, ValueError
        As for `forward`.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import Architecture, backward, init_parameters
    >>> arch = Architecture(n_features=3, hidden_size=4)
    >>> params, X = init_parameters(arch, random_state=0), np.ones((5, 7, 3))
    >>> gradients = backward(params, X, arch, d_output=np.ones((5, 1)))
    >>> float(gradients.d_params[-1])  # of the output's bias: one for each sample
    5.0
    """
    vector, sequences, options = _check_network_call(
        params, X, arch, lengths, h0, c0, scaling, n_threads
    )
    n, T, _ = sequences.shape
    dtype = vector.dtype
    states_shape = arch._states_shape(n)
    d_states = check_states(("d_h_n", d_h_n), ("d_c_n", d_c_n), states_shape, dtype)
    output_shape = (n, T, arch.n_outputs) if arch.return_sequences else (n, arch.n_outputs)
    d_output_array = _dense_or_zeros("d_output", d_output, output_shape, dtype)
    hidden_shape = (n, T, arch.num_directions * arch.hidden_size)
    d_hidden_array = _dense_or_zeros("d_hidden", d_hidden, hidden_shape, dtype)
    result = Backward(
        d_params=np.zeros(len(vector), dtype),
        d_X=np.empty(sequences.shape, dtype),
        d_h0=np.empty(states_shape, dtype),
        d_c0=np.empty(states_shape, dtype),
    )
    _unchecked.backward(
        vector,
        sequences,
        arch,
        *options,
        d_output=d_output_array,
        d_hidden=d_hidden_array,
        d_h_n=d_states[0],
        d_c_n=d_states[1],
        result=result,
    )
    return result


class Stream:
    """A network that takes one time step at a time: for data that arrive step by step.

    A step costs about a microsecond for a small network. After the last step of a sequence the output
    is, bit for bit, that of `predict` for the whole sequence. With `mask_missing` a step's NaNs stand
    for missing values. A copy (`copy.copy`) goes on from the same states, on its own.

    Parameters
    ----------
    params : array-like of shape (n_params,)
        The flat parameter vector; copied, so that later changes to it do not count.
    arch : Architecture
        The network's dimensions.
    scaling : tuple of two array-likes of shape (n_features,), default=None
        As for `forward`; copied.

    Raises
    ------
    TypeError, ValueError
        As for `forward`; also if the network is bidirectional, and so needs the sequence's end first.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import Architecture, Stream, init_parameters, predict
    >>> arch = Architecture(n_features=3, hidden_size=4)
    >>> params, X = init_parameters(arch, random_state=0), np.ones((1, 7, 3), np.float32)
    >>> stream = Stream(params, arch)
    >>> for x in X[0]:
    ...     output = stream.step(x)
    >>> bool(output == predict(params, X, arch))
    True
    """

    def __init__(
        self,
        params: ArrayLike,
        arch: Architecture,
        scaling: tuple[ArrayLike, ArrayLike] | None = None,
    ) -> None:
        vector = _check_params(params, arch)
        if arch.bidirectional:
            raise ValueError(
                "A bidirectional network reads sequences from their ends as well: it cannot take them "
                "step by step. Use bidirectional=False, or predict whole sequences."
            )
        self._arch = arch
        self._dtype = vector.dtype
        self._scaling = None
        if scaling is not None:
            center, factor = _check_scaling(scaling, np.empty((1, 1, arch.n_features)))
            self._scaling = center.flatten(), factor.flatten()
        self._handle = kernels.stream_open(vector, arch._dimensions)

    def __copy__(self) -> "Stream":
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        copied._handle = kernels.stream_copy(self._handle)
        return copied

    def __deepcopy__(self, memo: dict[int, object]) -> "Stream":
        return self.__copy__()

    def __reduce__(self):
        raise TypeError(
            "A Stream cannot be pickled: its weights are in the order that this processor's kernels want. "
            "Keep the parameters, the architecture and `states`, and make a new one of them."
        )

    def step(self, x: ArrayLike) -> Floats:
        """Take the next time step.

        Parameters
        ----------
        x : array-like of shape (n_features,)
            The inputs of this step; an array of the parameters' dtype is fastest.

        Returns
        -------
        output : ndarray of shape (n_outputs,)
            What the network would predict if the sequence ended here.

        Raises
        ------
        TypeError, ValueError
            If x does not hold real numbers, or not n_features of them.
        """
        inputs = as_array("x", x)
        if inputs.dtype is not self._dtype:
            check_real("x", inputs)
        if inputs.shape != (self._arch.n_features,):
            check_shape("x", inputs, (self._arch.n_features,))
        if self._scaling is not None:
            center, factor = self._scaling
            inputs = ((inputs - center) * factor).astype(self._dtype, copy=False)
        output = np.empty(self._arch.n_outputs, self._dtype)
        kernels.stream_step(self._handle, contiguous(inputs, self._dtype), output)
        return output

    @property
    def states(self) -> tuple[Floats, Floats]:
        """Hidden and cell states, (h, c), copies of shape (num_layers, hidden_size); may be set.

        They start as zeros; set them to go back, or to go on where another sequence ended. Setting
        them forgets the inputs of steps before, which a highway or `mask_missing` would go on from.
        """
        shape = (self._arch.num_layers, self._arch.hidden_size)
        h, c = np.empty(shape, self._dtype), np.empty(shape, self._dtype)
        kernels.stream_states(self._handle, h, c, False)
        return h, c

    @states.setter
    def states(self, states: tuple[ArrayLike, ArrayLike]) -> None:
        pair = _pair("states", states, "two arrays, (h, c)")
        shape = (self._arch.num_layers, self._arch.hidden_size)
        # copies: the kernels take writable arrays here
        h, c = (
            dense(name, state, shape, self._dtype).copy()
            for name, state in zip("hc", pair, strict=True)
        )
        kernels.stream_states(self._handle, h, c, True)

    def reset(self) -> None:
        """Start the next sequence: states of zero, and nothing observed."""
        zeros = np.zeros((self._arch.num_layers, self._arch.hidden_size), self._dtype)
        self.states = zeros, zeros


# Training


def loss_and_gradient(
    params: ArrayLike,
    X: ArrayLike,
    y: ArrayLike,
    arch: Architecture,
    *,
    loss: Loss = SquaredError(),  # noqa: B008 (immutable)
    sample_weight: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    scaling: tuple[ArrayLike, ArrayLike] | None = None,
    alpha: float = 0.0,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    seed: int = 0,
    n_threads: int | None = None,
) -> tuple[float, Floats]:
    """The training loss of a batch and its gradient.

    The loss is the (weighted) mean over samples of a sample's loss, that is the mean over its targets
    and, with `return_sequences`, over its time steps, plus ``alpha / 2 * ||weights||^2 / sum of
    sample weights``; biases and a highway are not penalised.

    Activations are kept for up to 16 samples a thread (32 from hidden_size=96 on). Beyond 128 MB of them
    a network of one direction keeps only every so many steps' states and computes the rest once more
    (Chen et al. 2016): memory then grows with the square root of n_timesteps, for at most a third more
    work and the same bits.

    Parameters
    ----------
    params, X, arch, lengths, scaling, n_threads
        As for `forward`.
    y : array-like of shape (n_samples, n_targets)
        The targets; (n_samples, n_timesteps, n_targets) with `return_sequences`. The classes' numbers
        (n_targets=1) for `LogLoss`.
    loss : SquaredError, AbsoluteError, Huber, Quantile, Poisson, Gaussian or LogLoss, \
            default=SquaredError()
        The loss; `loss.n_outputs(n_targets)` must be the architecture's `n_outputs`.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples; None means ones.
    alpha : float, default=0.0
        Strength of the L2 penalty.
    dropout : float in [0, 1), default=0.0
        Share of the outputs of each layer that are dropped where the next layer, or the linear layer,
        reads them, anew at each time step; the others are scaled by 1 / (1 - dropout).
    recurrent_dropout : float in [0, 1), default=0.0
        The same for h_{t-1} where the gates read it, with one choice for all time steps of a
        sequence (Gal & Ghahramani 2016).
    seed : int, default=0
        Not negative; determines, with a sample's place in the call, what is dropped.

    Returns
    -------
    loss : float
    gradient : ndarray of shape (n_params,)

    Raises
    ------
    TypeError, ValueError
        As for `forward`; also if there is no sample, the weights do not sum to a positive number, or
        the loss is not defined for a target.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import Architecture, init_parameters, loss_and_gradient
    >>> arch = Architecture(n_features=3, hidden_size=4)
    >>> params, X, y = init_parameters(arch, random_state=0), np.ones((5, 7, 3)), np.ones((5, 1))
    >>> loss, gradient = loss_and_gradient(params, X, y, arch)
    >>> loss > 0, gradient.shape
    (True, (133,))
    """
    vector, sequences, n_steps, scaling = _check_call(params, X, arch, lengths, scaling)
    targets, weight = _check_targets(y, sample_weight, sequences, arch, loss, n_steps, vector.dtype)
    if len(sequences) == 0:
        raise ValueError("The loss of no samples is not defined; X has 0 samples.")
    if weight is not None:
        _check_total_weight(weight)
    return _unchecked.loss_and_gradient(
        vector,
        sequences,
        targets,
        arch,
        loss=loss,
        sample_weight=weight,
        lengths=n_steps,
        scaling=scaling,
        n_threads=effective_n_threads(n_threads),
        **_check_objective(alpha, dropout, recurrent_dropout, seed),
    )


def train(
    params: Floats,
    X: ArrayLike,
    y: ArrayLike,
    arch: Architecture,
    optimizer: Optimizer,
    *,
    order: ArrayLike,
    batch_size: int,
    loss: Loss = SquaredError(),  # noqa: B008 (immutable)
    sample_weight: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    scaling: tuple[ArrayLike, ArrayLike] | None = None,
    alpha: float = 0.0,
    max_grad_norm: float | None = None,
    max_grad_value: float | None = None,
    dropout: float = 0.0,
    recurrent_dropout: float = 0.0,
    seed: int = 0,
    stateful: bool = False,
    fixed_highway: bool = False,
    average: tuple[Floats, float] | None = None,
    n_threads: int | None = None,
) -> float:
    """Train for one pass over the samples, in place.

    For each batch in turn: its gradient (see `loss_and_gradient`), clipped to a global norm of
    `max_grad_norm` (Pascanu et al. 2013), and one update by the optimiser. The whole pass runs
    compiled and without the GIL, in memory that does not grow with `batch_size`: the gradient of a
    large batch is accumulated over small blocks, each in memory as for `loss_and_gradient`.

    Parameters
    ----------
    params : ndarray of shape (n_params,), float32 or float64, C-contiguous and writable
        The flat parameter vector; changed in place.
    X, arch, lengths, scaling, n_threads
        As for `forward`. X is not copied if its dtype is float32 or float64.
    y, loss
        As for `loss_and_gradient`.
    optimizer : Adam, AdamW, RMSprop or SGD
        Settings and state; the state is changed in place. Its `learning_rate` may be an array of one
        rate for each batch.
    order : array-like of int of shape (n_visits,)
        Indices of the samples in the order of their visits; consecutive runs of `batch_size` make
        the batches, the last of which may be smaller. A permutation makes an epoch.
    batch_size : int
        Samples per batch, at least 1.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples; None means ones. A batch's loss is divided by its number of samples
        times their mean weight over `order`: whatever the batches, their gradients add up to that
        of all samples.
    alpha : float, default=0.0
        Strength of the L2 penalty.
    max_grad_norm : float or None, default=None
        Largest norm of a batch's gradient; None means no clipping.
    max_grad_value : float or None, default=None
        Largest absolute value of an element of a batch's gradient, clipped before the norm is taken;
        None means no clipping.
    dropout, recurrent_dropout, seed
        As for `loss_and_gradient`; a sample's place is that of its visit in `order`.
    stateful : bool, default=False
        Whether a batch starts from the final states of the one before: the sample at each place in
        a batch then continues the sequence of the sample at that place in the batch before.
        Gradients end where the batch begins (truncated backpropagation through time). The first
        batch starts from zeros.
    fixed_highway : bool, default=False
        Whether the highway is left as it is, and the network learns what it leaves.
    average : (ndarray of shape (n_params,), float) or None, default=None
        A running average of the parameters, changed in place like them, and its decay: after each
        update ``average += (1 - decay) * (params - average)``.

    Returns
    -------
    loss : float
        Weighted mean loss of the samples, each before its batch's update. nan if a batch's loss or
        gradient was not finite: the pass ended before that batch's update.

    Raises
    ------
    TypeError, ValueError
        As for `loss_and_gradient`; also if `params` cannot be updated in place or does not fit the
        optimiser, an index is out of range, or a bidirectional network is to be stateful.
    KeyboardInterrupt
        On Ctrl-C during the pass; `params` and `optimizer` are those of the last finished
        batch.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import Adam, Architecture, init_parameters, train
    >>> arch = Architecture(n_features=3, hidden_size=4)
    >>> X, y = np.random.default_rng(0).normal(size=(50, 7, 3)), np.ones((50, 1))
    >>> params = init_parameters(arch, random_state=0)
    >>> optimizer = Adam(len(params), params.dtype, learning_rate=0.01)
    >>> losses = [
    ...     train(params, X, y, arch, optimizer, order=range(50), batch_size=10) for _ in range(20)
    ... ]
    >>> losses[-1] < losses[0]
    True
    """
    check_in_place("params", params)
    if params.dtype not in FLOATS:
        raise ValueError(f"params must be float32 or float64, got {params.dtype}.")
    params, sequences, n_steps, scaling = _check_call(params, X, arch, lengths, scaling)
    targets, weight = _check_targets(y, sample_weight, sequences, arch, loss, n_steps, params.dtype)
    visits = _check_order(order, sequences)
    require("fixed_highway", fixed_highway, bool, "True or False")
    batch_size = require(
        "batch_size", batch_size, Integral, "an integer of at least 1", lambda v: v >= 1
    )
    for name, limit in (("max_grad_norm", max_grad_norm), ("max_grad_value", max_grad_value)):
        if limit is not None:
            require(name, limit, Real, "a positive number or None", lambda v: v > 0)
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be an Adam, AdamW, RMSprop or SGD, got {optimizer!r}.")
    optimizer._check(params, -(-len(visits) // batch_size))
    if require("stateful", stateful, bool, "True or False") and arch.bidirectional:
        raise ValueError(
            "A bidirectional network has no final states to go on from: what its reverse cells "
            "know comes from the end of the sequence. Use stateful=False or bidirectional=False."
        )
    options = {
        **_check_objective(alpha, dropout, recurrent_dropout, seed),
        "average": _check_average(average, params),
        "n_threads": effective_n_threads(n_threads),
    }
    changed = {"params": params, "moments": optimizer.moments, "step_count": optimizer.step_count}
    if average is not None:
        changed["average"] = options["average"][0]
    read = {"X": sequences, "y": targets}
    check_disjoint(changed, read if weight is None else read | {"sample_weight": weight})
    if visits.size == 0:
        return 0.0
    if weight is not None:
        _check_total_weight(weight[visits])
    return _unchecked.train(
        params,
        sequences,
        targets,
        arch,
        optimizer,
        order=visits,
        batch_size=batch_size,
        loss=loss,
        sample_weight=weight,
        lengths=n_steps,
        scaling=scaling,
        max_grad_norm=max_grad_norm,
        max_grad_value=max_grad_value,
        stateful=stateful,
        fixed_highway=fixed_highway,
        **options,
    )


# Checks: after them the kernels may read and write without looking


def _check_arch(arch):
    if not isinstance(arch, Architecture):
        raise TypeError(f"arch must be an Architecture, got {arch!r}.")


def _check_params(params, arch):
    _check_arch(arch)
    if is_plain(params, (arch._n_params,)) and params.dtype in FLOATS:
        return params
    params = as_array("params", params)
    if params.dtype not in FLOATS:
        check_real("params", params)
        params = params.astype(np.float64)
    params = contiguous(params, params.dtype)
    check_shape("params", params, (arch._n_params,))
    return params


def _check_sequences(X, dtype):
    """X with whatever strides it has, float32 or float64; of `dtype` if it is neither."""
    X = as_array("X", X)
    is_float = X.dtype in FLOATS
    if not is_float:
        check_real("X", X)
    shape = X.shape
    if len(shape) != 3:
        raise ValueError(
            "X must have three dimensions, (n_samples, n_timesteps, n_features), "
            f"got an array of shape {shape}."
        )
    if shape[1] == 0:
        raise ValueError(f"X must have at least one time step, got shape {shape}.")
    if shape[1] >= 2**32:  # time steps are numbered by 32 bits
        raise ValueError(f"X must have less than 2**32 time steps, got shape {shape}.")
    if is_float and X.flags.aligned:
        return X
    return X.astype(X.dtype if is_float else dtype)


def _check_call(params, X, arch, lengths, scaling):
    """The arrays of a call: params contiguous, X with whatever strides it has, each of a float dtype."""
    params = _check_params(params, arch)
    X = _check_sequences(X, params.dtype)
    if X.shape[2] != arch.n_features:
        raise ValueError(f"X has {X.shape[2]} features, the architecture {arch.n_features}.")
    if scaling is not None:
        scaling = _check_scaling(scaling, X)
    return params, X, check_lengths(lengths, X), scaling


def _check_scaling(scaling, X):
    """Center and factor, the fields of a `Scaling`: a name for them costs a call a microsecond."""
    if not isinstance(scaling, _PAIR) or len(scaling) != 2:
        raise TypeError(
            f"scaling must be a tuple of two arrays, (center, factor), got {scaling!r}."
        )
    center, factor = scaling
    center = as_array("center", center)
    n_samples, _, n_features = X.shape
    shape = (n_features,) if center.ndim == 1 else (n_samples, n_features)
    return dense("center", center, shape, _DOUBLE), dense("factor", factor, shape, _DOUBLE)


def _check_network_call(params, X, arch, lengths, h0, c0, scaling, n_threads):
    """The arrays of a call, and the options that `_unchecked` takes."""
    params, X, lengths, scaling = _check_call(params, X, arch, lengths, scaling)
    if h0 is not None or c0 is not None:
        shape = arch._states_shape(len(X))
        h0, c0 = check_states(("h0", h0), ("c0", c0), shape, params.dtype)
    n_threads = effective_n_threads(n_threads)
    return params, X, (lengths, h0, c0, scaling, n_threads)


def _check_targets(y, sample_weight, X, arch, loss, lengths, dtype):
    """Targets, shaped as the caller gives them, and weights; None for weights of one."""
    if not isinstance(loss, Loss):
        raise TypeError(
            f"loss must be a loss of pylstm.core, such as SquaredError(), got {loss!r}."
        )
    n_targets, surplus = divmod(arch.n_outputs, loss.n_outputs(1))
    if surplus or loss.n_outputs(max(n_targets, 1)) != arch.n_outputs:
        raise ValueError(
            f"{loss!r} needs {loss.n_outputs(1)} outputs of the network for each target, the "
            f"architecture has {arch.n_outputs}."
        )
    wanted = (*X.shape[:2], n_targets) if arch.return_sequences else (len(X), n_targets)
    y = dense("y", y, wanted, dtype)
    if loss._restricts_targets:
        padded = lengths is not None and arch.return_sequences
        loss.check_targets(y[is_step(lengths, X.shape[1])] if padded else y)
    if sample_weight is None:
        return y, None
    return y, dense("sample_weight", sample_weight, (len(X),), dtype)


def _check_objective(alpha, dropout, recurrent_dropout, seed):
    """The numbers that the loss of a batch depends on, as plain ones."""

    def rate(name, value):
        return require(
            name, value, Real, "a number, at least 0 and less than 1", lambda v: 0 <= v < 1
        )

    return {
        "alpha": require(
            "alpha", alpha, Real, "a number, finite and not negative", lambda v: 0 <= v < math.inf
        ),
        "dropout": rate("dropout", dropout),
        "recurrent_dropout": rate("recurrent_dropout", recurrent_dropout),
        "seed": require(
            "seed", seed, Integral, "an integer from 0 to 2**64 - 1", lambda v: 0 <= v < 2**64
        ),
    }


def _check_order(order, X):
    order = as_array("order", order)
    if order.ndim != 1 or (order.dtype.kind not in "iu" and order.size):
        raise ValueError(
            "order must be one-dimensional and hold sample indices (integers), got shape "
            f"{order.shape} and dtype {order.dtype}."
        )
    order = order.astype(np.int64)  # a copy, which nobody else can change
    if order.size and not (order.min() >= 0 and order.max() < len(X)):
        raise ValueError(
            f"order must hold indices from 0 to n_samples - 1 = {len(X) - 1}, got values from "
            f"{order.min()} to {order.max()}."
        )
    return order


def _check_average(average, params):
    """The array to update and its decay, or None."""
    if average is None:
        return None
    average, decay = _pair("average", average, "an array and its decay")
    check_in_place("average", average)
    if average.shape != params.shape or average.dtype != params.dtype:
        raise ValueError(
            f"average must be like params, of shape {params.shape} and dtype {params.dtype}, got "
            f"shape {average.shape} and dtype {average.dtype}."
        )
    wanted = "a number, at least 0 and less than 1"
    return average, require("The decay of average", decay, Real, wanted, lambda v: 0 <= v < 1)


def _pair(name, values, wanted):
    """The two things that there must be."""
    try:
        first, second = values
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be {wanted}, got {values!r}.") from None
    return first, second


def _check_total_weight(weight):
    if not weight.sum(dtype=np.float64) > 0:
        raise ValueError("The sample weights must sum to a positive number.")


def _dense_or_zeros(name, array, shape, dtype):
    return np.zeros(shape, dtype) if array is None else dense(name, array, shape, dtype)
