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
n_outputs and D the number of directions. The 4H columns belong to the input gate, the forget gate,
the candidate and the output gate, in this order. The equations stand in `pylstm/_core.pyx`, the
sources beside them.

Sequences may be of different lengths: `lengths` gives the time steps of each sample, from the first
on; what lies behind them in `X` is padding, which is never looked at.

Arrays of dtype float32 or float64 are used as they are, other dtypes are converted; the parameters'
dtype decides in which precision a call is computed. `X` may have any strides (a sliding-window
view, for example): it is read where it lies. Results do not depend on the number of threads, bit
for bit, and a sample's output does not depend on the batch it is in.
"""

from collections import namedtuple
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral

import numpy as np

from ._config import effective_n_threads, kernels
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
from ._optimizers import SGD, Adam, AdamW, RMSprop, _Optimizer
from ._options import (
    Average,
    Clipping,
    Dimensions,
    Dropout,
    Objective,
    OptimizerState,
    Samples,
    Visits,
)

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

    Raises
    ------
    TypeError
        If a dimension is no integer, or an option no bool.
    ValueError
        If a dimension is less than 1.

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

    def __post_init__(self):
        for name in ("n_features", "hidden_size", "num_layers", "n_outputs"):
            value = getattr(self, name)
            if not isinstance(value, Integral):
                raise TypeError(f"{name} must be an integer, got {value!r}.")
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        for name in ("bidirectional", "return_sequences", "mask_missing"):
            value = getattr(self, name)
            if not isinstance(value, bool | np.bool_):
                raise TypeError(f"{name} must be True or False, got {value!r}.")

    @property
    def num_directions(self):
        """2 if the network is bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @cached_property
    def _dimensions(self):
        """As the kernels take them."""
        return Dimensions(
            int(self.n_features), int(self.hidden_size), int(self.num_layers), int(self.n_outputs),
            self.num_directions, bool(self.return_sequences), bool(self.mask_missing),
        )  # fmt: skip

    def _states_shape(self, n_samples):
        return (self.num_layers * self.num_directions, n_samples, self.hidden_size)

    def _output_shape(self, X, n_outputs):
        """Of outputs or targets, as the kernels take them: one application of the head, or T."""
        return (len(X), X.shape[1] if self.return_sequences else 1, n_outputs)

    def _without_axis(self, output):
        """The same array as the caller wants it: (n, K), or (n, T, K) with return_sequences."""
        return output if self.return_sequences else output[:, 0]

    @cached_property
    def _n_params(self):
        return sum(int(np.prod(shape)) for shape in parameter_shapes(self).values())


_FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})

Forward = namedtuple("Forward", ["output", "hidden", "h_n", "c_n"])
Forward.__doc__ = "What `forward` returns."

Backward = namedtuple("Backward", ["d_params", "d_X", "d_h0", "d_c0"])
Backward.__doc__ = "What `backward` returns."

GateActivations = namedtuple(
    "GateActivations", ["input", "forget", "candidate", "output", "cell", "hidden"]
)
GateActivations.__doc__ = "What `gate_activations` returns."


# Parameters


def parameter_shapes(arch):
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
    H, D = arch.hidden_size, arch.num_directions
    shapes = {}
    for layer in range(arch.num_layers):
        n_in = arch.n_features * (1 + arch.mask_missing) if layer == 0 else D * H
        for suffix in ("", "_reverse")[:D]:
            shapes[f"W{layer}{suffix}"] = (n_in, 4 * H)
            shapes[f"U{layer}{suffix}"] = (H, 4 * H)
            shapes[f"b{layer}{suffix}"] = (4 * H,)
    shapes["V"] = (D * H, arch.n_outputs)
    shapes["d"] = (arch.n_outputs,)
    return shapes


def n_parameters(arch):
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
    return arch._n_params


def unpack_parameters(params, arch):
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
    params = np.asarray(params)
    _check_shape("params", params, (arch._n_params,))
    arrays = {}
    start = 0
    for name, shape in parameter_shapes(arch).items():
        size = int(np.prod(shape))
        arrays[name] = params[start : start + size].reshape(shape)
        start += size
    return arrays


def pack_parameters(arrays, arch, dtype=np.float32):
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
    params = np.empty(n_parameters(arch), dtype=_float_dtype(dtype))
    for name, view in unpack_parameters(params, arch).items():
        array = np.asarray(arrays[name])
        _check_shape(name, array, shapes[name])
        view[...] = array
    return params


def init_parameters(arch, *, dtype=np.float32, random_state=None):
    """Parameters to start training from.

    Input and output weights are Glorot-uniform (Glorot & Bengio 2010; each gate counted as a layer
    of its own), the recurrent weights of each gate orthogonal (Saxe et al. 2014), biases 0 but for
    the forget gates' 1 (Gers et al. 2000; Jozefowicz et al. 2015).

    Parameters
    ----------
    arch : Architecture
        The network's dimensions.
    dtype : {numpy.float32, numpy.float64}, default=numpy.float32
        The vector's dtype.
    random_state : int, RandomState instance or None, default=None
        Source of the random numbers.

    Returns
    -------
    params : ndarray of shape (n_params,)

    Examples
    --------
    >>> from pylstm.core import Architecture, init_parameters
    >>> init_parameters(Architecture(n_features=1, hidden_size=4), random_state=0).shape
    (101,)
    """
    # Not at the top: who only predicts need not wait for scikit-learn's import.
    from sklearn.utils import check_random_state

    rng = check_random_state(random_state)
    H = arch.hidden_size
    params = np.zeros(n_parameters(arch), dtype=_float_dtype(dtype))
    for name, array in unpack_parameters(params, arch).items():
        if name[0] == "W":
            array[...] = _glorot_uniform(rng, len(array), H, array.shape)
        elif name[0] == "U":
            for gate in range(4):
                array[:, gate * H : (gate + 1) * H] = _orthogonal(rng, H)
        elif name[0] == "b":
            array[H : 2 * H] = 1
        elif name == "V":
            array[...] = _glorot_uniform(rng, *array.shape, array.shape)
    return params


def _glorot_uniform(rng, n_in, n_out, shape):
    limit = np.sqrt(6 / (n_in + n_out))
    return rng.uniform(-limit, limit, size=shape)


def _orthogonal(rng, n):
    """An orthogonal matrix, uniformly distributed: Q of a Gaussian matrix, R's diagonal made
    positive."""
    Q, R = np.linalg.qr(rng.standard_normal((n, n)))
    return Q * np.where(np.diag(R) < 0, -1, 1)


# The network


def forward(params, X, arch, *, lengths=None, h0=None, c0=None, n_threads=None):
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
    params, X = _check_call(params, X, arch)
    n, T, _ = X.shape
    hidden = np.empty((n, T, arch.num_directions * arch.hidden_size), params.dtype)
    h_n, c_n = (np.empty(arch._states_shape(n), params.dtype) for _ in range(2))
    output = _run_forward(params, X, arch, lengths, h0, c0, n_threads, hidden, h_n, c_n)
    return Forward(output, hidden, h_n, c_n)


def predict(
    params, X, arch, *, lengths=None, h0=None, c0=None, return_states=False, n_threads=None
):
    """Run the network and return its output alone.

    Unless the network returns sequences, the memory it needs does not grow with n_timesteps.

    Parameters
    ----------
    params, X, arch, lengths, h0, c0, n_threads
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
    params, X = _check_call(params, X, arch)
    h_n = c_n = None
    if return_states:
        h_n, c_n = (np.empty(arch._states_shape(len(X)), params.dtype) for _ in range(2))
    output = _run_forward(params, X, arch, lengths, h0, c0, n_threads, None, h_n, c_n)
    return (output, h_n, c_n) if return_states else output


def _run_forward(params, X, arch, lengths, h0, c0, n_threads, hidden, h_n, c_n):
    """The output; `hidden`, `h_n` and `c_n` are filled unless they are None."""
    lengths = _used_lengths(lengths, X)
    h0, c0 = _check_states(("h0", h0), ("c0", c0), X, arch, params.dtype)
    n_threads = effective_n_threads(n_threads)
    output = np.empty(arch._output_shape(X, arch.n_outputs), params.dtype)
    if len(X) > 0:
        # Blocks of samples of like length waste no steps.
        order = None if lengths is None else np.argsort(-lengths, kind="stable")
        kernels.forward(
            params, X, arch._dimensions, order, lengths, (h0, c0),
            output, hidden, (h_n, c_n), None, n_threads,
        )  # fmt: skip
    return arch._without_axis(output)


def gate_activations(params, X, arch, *, lengths=None, h0=None, c0=None, n_threads=None):
    """What each gate of each layer does at each time step.

    Parameters
    ----------
    params, X, arch, lengths, h0, c0, n_threads
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
    params, X = _check_call(params, X, arch)
    lengths = _used_lengths(lengths, X)
    h0, c0 = _check_states(("h0", h0), ("c0", c0), X, arch, params.dtype)
    n_cells, n, H = arch._states_shape(len(X))
    traces = np.zeros((6, n_cells, n, X.shape[1], H), params.dtype)
    if n > 0:
        output = np.empty(arch._output_shape(X, arch.n_outputs), params.dtype)
        kernels.forward(
            params, X, arch._dimensions, None, lengths, (h0, c0),
            output, None, (None, None), traces, effective_n_threads(n_threads),
        )  # fmt: skip
    return GateActivations(*traces)


def backward(
    params,
    X,
    arch,
    *,
    d_output=None,
    d_hidden=None,
    d_h_n=None,
    d_c_n=None,
    lengths=None,
    h0=None,
    c0=None,
    n_threads=None,
):
    """Backpropagation through time: the vector-Jacobian product of `forward`.

    Nothing needs to be kept from `forward`: the forward pass is run again, block by block.

    Parameters
    ----------
    params, X, arch, lengths, h0, c0, n_threads
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
          includes the steps it was carried on to;
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
    params, X = _check_call(params, X, arch)
    dtype = params.dtype
    lengths = _used_lengths(lengths, X)
    h0, c0 = _check_states(("h0", h0), ("c0", c0), X, arch, dtype)
    d_h_n, d_c_n = _check_states(("d_h_n", d_h_n), ("d_c_n", d_c_n), X, arch, dtype)
    d_output = _check_output_gradient(d_output, X, arch, dtype)
    hidden_shape = (*X.shape[:2], arch.num_directions * arch.hidden_size)
    d_hidden = _dense_or_zeros("d_hidden", d_hidden, hidden_shape, dtype)
    n_threads = effective_n_threads(n_threads)
    result = Backward(
        d_params=np.zeros(len(params), dtype),
        d_X=np.empty(X.shape, dtype),
        d_h0=np.empty(arch._states_shape(len(X)), dtype),
        d_c0=np.empty(arch._states_shape(len(X)), dtype),
    )
    if len(X) > 0:
        kernels.backward(
            params, X, arch._dimensions, lengths, (h0, c0), d_output, d_hidden, (d_h_n, d_c_n),
            result.d_params, result.d_X, (result.d_h0, result.d_c0), n_threads,
        )  # fmt: skip
    return result


class Stream:
    """A network that takes one time step at a time: for data that arrive step by step.

    A step costs about a microsecond for a small network. After the last step of a sequence the output
    is, bit for bit, that of `predict` for the whole sequence. With `mask_missing` a step's NaNs stand
    for missing values.

    Parameters
    ----------
    params : array-like of shape (n_params,)
        The flat parameter vector; copied, so that later changes to it do not count.
    arch : Architecture
        The network's dimensions.

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

    def __init__(self, params, arch):
        params = _check_params(params, arch)
        if arch.bidirectional:
            raise ValueError(
                "A bidirectional network reads sequences from their ends as well: it cannot take them "
                "step by step. Use bidirectional=False, or predict whole sequences."
            )
        self._arch = arch
        self._dtype = params.dtype
        self._handle = kernels.stream_open(params, arch._dimensions)

    def step(self, x):
        """Take the next time step.

        Parameters
        ----------
        x : array-like of shape (n_features,)
            The inputs of this step; an array of the parameters' dtype is fastest.

        Returns
        -------
        output : ndarray of shape (n_outputs,)
            What the network would predict if the sequence ended here.
        """
        x = np.ascontiguousarray(x, self._dtype)
        if not x.flags.aligned:
            x = x.copy()
        if x.shape != (self._arch.n_features,):
            _check_shape("x", x, (self._arch.n_features,))
        output = np.empty(self._arch.n_outputs, self._dtype)
        kernels.stream_step(self._handle, x, output)
        return output

    @property
    def states(self):
        """Hidden and cell states, (h, c), copies of shape (num_layers, hidden_size); may be set.

        They start as zeros; set them to go back, or to go on where another sequence ended. Setting
        them forgets the values observed last, with `mask_missing`.
        """
        shape = (self._arch.num_layers, self._arch.hidden_size)
        h, c = np.empty(shape, self._dtype), np.empty(shape, self._dtype)
        kernels.stream_states(self._handle, h, c, False)
        return h, c

    @states.setter
    def states(self, states):
        shape = (self._arch.num_layers, self._arch.hidden_size)
        # copies: the kernels take writable arrays here
        h, c = (
            _dense(name, state, shape, self._dtype).copy()
            for name, state in zip("hc", states, strict=True)
        )
        kernels.stream_states(self._handle, h, c, True)

    def reset(self):
        """Start the next sequence: states of zero, and nothing observed."""
        zeros = np.zeros((self._arch.num_layers, self._arch.hidden_size), self._dtype)
        self.states = zeros, zeros


# Training


def loss_and_gradient(
    params,
    X,
    y,
    arch,
    *,
    loss=SquaredError(),  # noqa: B008 (immutable)
    sample_weight=None,
    lengths=None,
    alpha=0.0,
    dropout=0.0,
    recurrent_dropout=0.0,
    seed=0,
    n_threads=None,
):
    """The training loss of a batch and its gradient.

    The loss is the (weighted) mean over samples of a sample's loss, that is the mean over its targets
    and, with `return_sequences`, over its time steps, plus ``alpha / 2 * ||weights||^2 / sum of
    sample weights``; biases are not penalised.

    Parameters
    ----------
    params, X, arch, lengths, n_threads
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
    params, X = _check_call(params, X, arch)
    lengths = _used_lengths(lengths, X)
    y, weight = _check_targets(y, sample_weight, X, arch, loss, lengths, params.dtype)
    _check_alpha(alpha)
    dropout = _check_dropout(dropout, recurrent_dropout, seed)
    if len(X) == 0:
        raise ValueError("The loss of no samples is not defined; X has 0 samples.")
    if weight is not None:
        _check_total_weight(weight)
    gradient = np.empty_like(params)
    value = kernels.loss_and_gradient(
        params, arch._dimensions, Samples(X, lengths, y, weight),
        Objective(loss._kind, loss._settings, alpha), dropout, gradient, effective_n_threads(n_threads),
    )  # fmt: skip
    return value, gradient


def train(
    params,
    X,
    y,
    arch,
    optimizer,
    *,
    order,
    batch_size,
    loss=SquaredError(),  # noqa: B008 (immutable)
    sample_weight=None,
    lengths=None,
    alpha=0.0,
    max_grad_norm=None,
    max_grad_value=None,
    dropout=0.0,
    recurrent_dropout=0.0,
    seed=0,
    stateful=False,
    average=None,
    n_threads=None,
):
    """Train for one pass over the samples, in place.

    For each batch in turn: its gradient (see `loss_and_gradient`), clipped to a global norm of
    `max_grad_norm` (Pascanu et al. 2013), and one update by the optimiser. The whole pass runs
    compiled and without the GIL, in memory that does not grow with `batch_size`: the gradient of a
    large batch is accumulated over small blocks.

    Parameters
    ----------
    params : ndarray of shape (n_params,), float32 or float64, C-contiguous and writable
        The flat parameter vector; changed in place.
    X, arch, lengths, n_threads
        As for `forward`. X is not copied if its dtype is that of `params`.
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
    _check_in_place("params", params)
    if params.dtype not in _FLOATS:
        raise ValueError(f"params must be float32 or float64, got {params.dtype}.")
    params, X = _check_call(params, X, arch)
    lengths = _used_lengths(lengths, X)
    y, weight = _check_targets(y, sample_weight, X, arch, loss, lengths, params.dtype)
    _check_alpha(alpha)
    dropout = _check_dropout(dropout, recurrent_dropout, seed)
    order = _check_order(order, X)
    if not isinstance(batch_size, Integral):
        raise TypeError(f"batch_size must be an integer, got {batch_size!r}.")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    batch_size = max(1, min(int(batch_size), len(order)))
    for name, limit in (("max_grad_norm", max_grad_norm), ("max_grad_value", max_grad_value)):
        if limit is not None and not limit > 0:
            raise ValueError(f"{name} must be positive or None, got {limit}.")
    learning_rates = _check_optimizer(optimizer, params, -(-len(order) // batch_size))
    average = _check_average(average, params)
    states = numbers = None
    if stateful:
        if arch.bidirectional:
            raise ValueError(
                "A bidirectional network has no final states to go on from: what its reverse cells "
                "know comes from the end of the sequence. Use stateful=False or bidirectional=False."
            )
        states = np.zeros((2, *arch._states_shape(batch_size)), params.dtype)
    elif lengths is not None:
        numbers = _longest_first(order, lengths, batch_size)
        order = order[numbers]
    n_threads = effective_n_threads(n_threads)
    if order.size == 0:
        return 0.0
    if weight is not None:
        _check_total_weight(weight[order])
    return kernels.train(
        params, arch._dimensions, Samples(X, lengths, y, weight),
        Visits(order, numbers, batch_size, states), Objective(loss._kind, loss._settings, alpha),
        dropout, Clipping(max_grad_norm or 0.0, max_grad_value or 0.0), optimizer._settings(),
        learning_rates, OptimizerState(optimizer.moments, optimizer.step_count), average, n_threads,
    )  # fmt: skip


def _longest_first(order, lengths, batch_size):
    """The visits' numbers, in each batch the longest samples first: blocks of like length waste no steps."""
    batch = np.arange(len(order)) // batch_size
    return np.lexsort((-lengths[order], batch))


# Checks: after them the kernels may read and write without looking


def _check_params(params, arch):
    if not isinstance(arch, Architecture):
        raise TypeError(f"arch must be an Architecture, got {arch!r}.")
    params = np.ascontiguousarray(params)
    if params.dtype not in _FLOATS:
        params = params.astype(_numeric("params", params))
    if not params.flags.aligned:
        params = params.copy()
    _check_shape("params", params, (arch._n_params,))
    return params


def _check_call(params, X, arch):
    """The arrays of a call, in one dtype: params contiguous, X with whatever strides it has."""
    params = _check_params(params, arch)
    X = np.asarray(X)
    _numeric("X", X)
    if X.ndim != 3:
        raise ValueError(
            "X must have three dimensions, (n_samples, n_timesteps, n_features), "
            f"got an array of shape {X.shape}."
        )
    if X.shape[2] != arch.n_features:
        raise ValueError(f"X has {X.shape[2]} features, the architecture {arch.n_features}.")
    if X.shape[1] == 0:
        raise ValueError(f"X must have at least one time step, got shape {X.shape}.")
    if X.dtype == params.dtype and X.flags.aligned:
        return params, X
    return params, X.astype(params.dtype)


def _check_lengths(lengths, X):
    if lengths is None:
        return None
    lengths = np.asarray(lengths)
    _check_shape("lengths", lengths, (len(X),))
    if lengths.dtype.kind not in "iu" and lengths.size:
        raise TypeError(f"lengths must be integers, got dtype {lengths.dtype}.")
    if lengths.size and not (lengths.min() >= 1 and lengths.max() <= X.shape[1]):
        raise ValueError(
            f"lengths must be from 1 to n_timesteps = {X.shape[1]}, got values from {lengths.min()} "
            f"to {lengths.max()}."
        )
    return np.require(lengths, np.int64, ["C_CONTIGUOUS", "ALIGNED"])


def _is_step(lengths, n_timesteps):
    """What is a time step, and not padding: a mask of shape (len(lengths), n_timesteps)."""
    return np.arange(n_timesteps) < lengths[:, np.newaxis]


def _used_lengths(lengths, X):
    """The lengths that the kernels are to heed: None where all samples have all steps."""
    lengths = _check_lengths(lengths, X)
    if lengths is None or lengths.min(initial=X.shape[1]) == X.shape[1]:
        return None
    return lengths


def _check_states(first, second, X, arch, dtype):
    """Two optional arrays of states; the kernels take None for zeros."""
    if first[1] is None and second[1] is None:
        return None, None
    return tuple(
        None if states is None else _dense(name, states, arch._states_shape(len(X)), dtype)
        for name, states in (first, second)
    )


def _check_output_gradient(d_output, X, arch, dtype):
    shape = arch._output_shape(X, arch.n_outputs)
    if d_output is None:
        return np.zeros(shape, dtype)
    wanted = shape if arch.return_sequences else (len(X), arch.n_outputs)
    return _dense("d_output", d_output, wanted, dtype).reshape(shape)


def _check_targets(y, sample_weight, X, arch, loss, lengths, dtype):
    """Targets (n, S, n_targets) and weights; the kernels take None for weights of one."""
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
    y = _dense("y", y, wanted, dtype)
    if loss._restricts_targets:
        padded = lengths is not None and arch.return_sequences
        loss.check_targets(y[_is_step(lengths, X.shape[1])] if padded else y)
    y = y.reshape(arch._output_shape(X, n_targets))
    if sample_weight is None:
        return y, None
    return y, _dense("sample_weight", sample_weight, (len(X),), dtype)


def _check_dropout(dropout, recurrent_dropout, seed):
    """As the kernels take it: None where nothing is dropped."""
    for name, rate in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
        if not 0 <= rate < 1:
            raise ValueError(f"{name} must be at least 0 and less than 1, got {rate}.")
    if not isinstance(seed, Integral):
        raise TypeError(f"seed must be an integer, got {seed!r}.")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be from 0 to 2**64 - 1, got {seed}.")
    return Dropout(dropout, recurrent_dropout, int(seed)) if dropout or recurrent_dropout else None


def _check_order(order, X):
    order = np.require(order, requirements=["C_CONTIGUOUS", "ALIGNED"])
    if order.ndim != 1 or (order.dtype.kind not in "iu" and order.size):
        raise ValueError(
            "order must be one-dimensional and hold sample indices (integers), got shape "
            f"{order.shape} and dtype {order.dtype}."
        )
    order = order.astype(np.int64, copy=False)
    if order.size and not (order.min() >= 0 and order.max() < len(X)):
        raise ValueError(
            f"order must hold indices from 0 to n_samples - 1 = {len(X) - 1}, got values from "
            f"{order.min()} to {order.max()}."
        )
    return order


def _check_optimizer(optimizer, params, n_batches):
    """The learning rate of each batch."""
    if not isinstance(optimizer, _Optimizer):
        raise TypeError(f"optimizer must be an Adam, AdamW, RMSprop or SGD, got {optimizer!r}.")
    moments = optimizer.moments
    if moments.shape[1:] != params.shape or moments.dtype != params.dtype:
        raise ValueError(
            f"The optimiser was made for {moments.shape[1]} parameters of dtype {moments.dtype}, "
            f"got {len(params)} of dtype {params.dtype}."
        )
    rates = np.asarray(optimizer.learning_rate, dtype=np.float64)
    if rates.ndim == 0:
        return np.full(n_batches, rates)
    _check_shape("learning_rate", rates, (n_batches,))
    return np.ascontiguousarray(rates)


def _check_average(average, params):
    """The array to update and its decay, or None."""
    if average is None:
        return None
    average, decay = average
    _check_in_place("average", average)
    if average.shape != params.shape or average.dtype != params.dtype:
        raise ValueError(
            f"average must be like params, of shape {params.shape} and dtype {params.dtype}, got "
            f"shape {average.shape} and dtype {average.dtype}."
        )
    if not 0 <= decay < 1:
        raise ValueError(f"The decay of average must be at least 0 and less than 1, got {decay}.")
    return Average(average, decay)


def _check_in_place(name, array):
    if not (isinstance(array, np.ndarray) and array.flags.carray):
        raise ValueError(
            f"{name} must be a C-contiguous, aligned and writable ndarray: it is updated in place."
        )


def _check_alpha(alpha):
    if not alpha >= 0:
        raise ValueError(f"alpha must not be negative, got {alpha}.")


def _check_total_weight(weight):
    if not weight.sum(dtype=np.float64) > 0:
        raise ValueError("The sample weights must sum to a positive number.")


def _dense_or_zeros(name, array, shape, dtype):
    return np.zeros(shape, dtype) if array is None else _dense(name, array, shape, dtype)


def _dense(name, array, shape, dtype):
    """A C-contiguous array of the call's dtype and the shape wanted."""
    array = np.asarray(array)
    _numeric(name, array)
    _check_shape(name, array, shape)
    return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])


def _numeric(name, array):
    """The floating-point dtype for a numeric array; TypeError for any other."""
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}.")
    return np.float64


def _check_shape(name, array, shape):
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}.")


def _float_dtype(dtype):
    dtype = np.dtype(dtype)
    if dtype not in _FLOATS:
        raise ValueError(f"dtype must be float32 or float64, got {dtype}.")
    return dtype
