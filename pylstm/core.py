"""The low-level API: plain arrays in, plain arrays out, no estimator.

This is the layer that bindings use (R, Julia, C, or an estimator of your own), in the manner of a C
library: a network is an `Architecture` and one flat vector of parameters, and every function is a
pure function of its arguments, except `train`, which updates the parameters and the optimiser in
place.

The flat vector holds, one after the other and each in C order, for every layer ``l``

=========  ==================  =================================================================
name       shape               meaning
=========  ==================  =================================================================
``W{l}``   (n_in, 4H)          input weights; n_in is n_features for layer 0, H for the others
``U{l}``   (H, 4H)             recurrent weights
``b{l}``   (4H,)               biases
=========  ==================  =================================================================

and then the final linear layer, ``V`` (H, K) and ``d`` (K,), with H = hidden_size and K =
n_outputs. The 4H columns belong to the input gate, the forget gate, the candidate and the output
gate, in this order. The equations stand in `pylstm/_core.pyx`, the sources beside them.

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
from ._optimizers import SGD, Adam

__all__ = [
    "SGD",
    "Adam",
    "Architecture",
    "Backward",
    "Forward",
    "Stream",
    "backward",
    "effective_n_threads",
    "forward",
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

    Raises
    ------
    TypeError
        If a dimension is no integer.
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

    def __post_init__(self):
        for name, value in vars(self).items():
            if not isinstance(value, Integral):
                raise TypeError(f"{name} must be an integer, got {value!r}.")
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")

    @cached_property
    def _n_params(self):
        return sum(int(np.prod(shape)) for shape in parameter_shapes(self).values())


# What the kernels take for states of zero, or for an output that is not wanted.
_NO_STATES = {
    dtype: np.empty((0, 0, 0), dtype) for dtype in (np.dtype(np.float32), np.dtype(np.float64))
}

Forward = namedtuple("Forward", ["output", "hidden", "h_n", "c_n"])
Forward.__doc__ = "What `forward` returns."

Backward = namedtuple("Backward", ["d_params", "d_X", "d_h0", "d_c0"])
Backward.__doc__ = "What `backward` returns."


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
        "W0", "U0", "b0", ... for each layer, then "V" and "d".

    Examples
    --------
    >>> from pylstm.core import Architecture, parameter_shapes
    >>> parameter_shapes(Architecture(n_features=3, hidden_size=2))
    {'W0': (3, 8), 'U0': (2, 8), 'b0': (8,), 'V': (2, 1), 'd': (1,)}
    """
    shapes = {}
    for layer in range(arch.num_layers):
        n_in = arch.n_features if layer == 0 else arch.hidden_size
        shapes[f"W{layer}"] = (n_in, 4 * arch.hidden_size)
        shapes[f"U{layer}"] = (arch.hidden_size, 4 * arch.hidden_size)
        shapes[f"b{layer}"] = (4 * arch.hidden_size,)
    shapes["V"] = (arch.hidden_size, arch.n_outputs)
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


def forward(params, X, arch, *, h0=None, c0=None, n_threads=None):
    """Run the network and return all its hidden states.

    Parameters
    ----------
    params : array-like of shape (n_params,)
        The flat parameter vector; its dtype is the precision of the call.
    X : array-like of shape (n_samples, n_timesteps, n_features)
        The input sequences.
    arch : Architecture
        The network's dimensions.
    h0, c0 : array-like of shape (num_layers, n_samples, hidden_size), default=None
        Hidden and cell states before the first step; None means zeros.
    n_threads : int or None, default=None
        Threads to use, as `n_jobs` in `effective_n_threads`.

    Returns
    -------
    result : Forward
        A named tuple of

        - output (n_samples, n_outputs): the final linear layer of the last hidden state;
        - hidden (n_samples, n_timesteps, hidden_size): the top layer's hidden state at each step;
        - h_n, c_n (num_layers, n_samples, hidden_size): each layer's states after the last step.

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
    states_shape = (arch.num_layers, n, arch.hidden_size)
    result = Forward(
        output=np.empty((n, arch.n_outputs), params.dtype),
        hidden=np.empty((n, T, arch.hidden_size), params.dtype),
        h_n=np.empty(states_shape, params.dtype),
        c_n=np.empty(states_shape, params.dtype),
    )
    _run_forward(params, X, arch, h0, c0, n_threads, *result)
    return result


def predict(params, X, arch, *, h0=None, c0=None, n_threads=None):
    """Run the network and return its output alone, in memory that does not grow with n_timesteps.

    Parameters
    ----------
    params, X, arch, h0, c0, n_threads
        As for `forward`.

    Returns
    -------
    output : ndarray of shape (n_samples, n_outputs)

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.core import Architecture, init_parameters, predict
    >>> arch = Architecture(n_features=3, hidden_size=4, n_outputs=2)
    >>> predict(init_parameters(arch, random_state=0), np.ones((5, 7, 3)), arch).shape
    (5, 2)
    """
    params, X = _check_call(params, X, arch)
    output = np.empty((len(X), arch.n_outputs), params.dtype)
    nothing = _NO_STATES[params.dtype]
    _run_forward(params, X, arch, h0, c0, n_threads, output, nothing, nothing, nothing)
    return output


def _run_forward(params, X, arch, h0, c0, n_threads, output, hidden, h_n, c_n):
    h0, c0 = _check_states(("h0", h0), ("c0", c0), X, arch, params.dtype)
    n_threads = effective_n_threads(n_threads)
    if len(X) > 0:
        kernels.forward(
            params, X, h0, c0, arch.hidden_size, arch.num_layers,
            output, hidden, h_n, c_n, n_threads,
        )  # fmt: skip


def backward(
    params,
    X,
    arch,
    *,
    d_output=None,
    d_hidden=None,
    d_h_n=None,
    d_c_n=None,
    h0=None,
    c0=None,
    n_threads=None,
):
    """Backpropagation through time: the vector-Jacobian product of `forward`.

    Nothing needs to be kept from `forward`: the forward pass is run again, block by block.

    Parameters
    ----------
    params, X, arch, h0, c0, n_threads
        As for `forward`.
    d_output : array-like of shape (n_samples, n_outputs), default=None
        Gradient of some scalar with respect to the output; None means zeros, here and below.
    d_hidden : array-like of shape (n_samples, n_timesteps, hidden_size), default=None
        The same with respect to the top layer's hidden states.
    d_h_n, d_c_n : array-like of shape (num_layers, n_samples, hidden_size), default=None
        The same with respect to the final states.

    Returns
    -------
    result : Backward
        A named tuple of the scalar's gradients:

        - d_params (n_params,), summed over samples;
        - d_X (n_samples, n_timesteps, n_features);
        - d_h0, d_c0 (num_layers, n_samples, hidden_size).

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
    n, T, _ = X.shape
    states_shape = (arch.num_layers, n, arch.hidden_size)
    h0, c0 = _check_states(("h0", h0), ("c0", c0), X, arch, dtype)
    d_h_n, d_c_n = _check_states(("d_h_n", d_h_n), ("d_c_n", d_c_n), X, arch, dtype)
    d_output = _dense_or_zeros("d_output", d_output, (n, arch.n_outputs), dtype)
    d_hidden = _dense_or_zeros("d_hidden", d_hidden, (n, T, arch.hidden_size), dtype)
    n_threads = effective_n_threads(n_threads)
    result = Backward(
        d_params=np.zeros(len(params), dtype),
        d_X=np.empty(X.shape, dtype),
        d_h0=np.empty(states_shape, dtype),
        d_c0=np.empty(states_shape, dtype),
    )
    if n > 0:
        kernels.backward(
            params, X, h0, c0, arch.hidden_size, arch.num_layers,
            d_output, d_hidden, d_h_n, d_c_n, *result, n_threads,
        )  # fmt: skip
    return result


class Stream:
    """A network that takes one time step at a time: for data that arrive step by step.

    A step costs about a microsecond for a small network. After the last step of a sequence the output
    is, bit for bit, that of `predict` for the whole sequence.

    Parameters
    ----------
    params : array-like of shape (n_params,)
        The flat parameter vector; copied, so that later changes to it do not count.
    arch : Architecture
        The network's dimensions.

    Raises
    ------
    TypeError, ValueError
        As for `forward`.

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
        self._arch = arch
        self._dtype = params.dtype
        self._handle = kernels.stream_open(
            params, arch.n_features, arch.hidden_size, arch.num_layers, arch.n_outputs
        )

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

        They start as zeros; set them to start the next sequence, or to go back.
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


# Training


def loss_and_gradient(params, X, y, arch, *, sample_weight=None, alpha=0.0, n_threads=None):
    """The training loss of a batch and its gradient.

    The loss is half the mean squared error over outputs and (weighted) samples, plus
    ``alpha / 2 * ||weights||^2 / sum of sample weights``; biases are not penalised.

    Parameters
    ----------
    params, X, arch, n_threads
        As for `forward`.
    y : array-like of shape (n_samples, n_outputs)
        The targets.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples; None means ones.
    alpha : float, default=0.0
        Strength of the L2 penalty.

    Returns
    -------
    loss : float
    gradient : ndarray of shape (n_params,)

    Raises
    ------
    TypeError, ValueError
        As for `forward`; also if there is no sample, or the weights do not sum to a positive
        number.

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
    y, weight = _check_targets(y, sample_weight, X, arch, params.dtype)
    _check_alpha(alpha)
    if len(X) == 0:
        raise ValueError("The loss of no samples is not defined; X has 0 samples.")
    if len(weight):
        _check_total_weight(weight)
    order = np.arange(len(X), dtype=np.int64)
    gradient = np.empty_like(params)
    loss = kernels.loss_and_gradient(
        params, X, y, weight, order, arch.hidden_size, arch.num_layers, alpha, gradient,
        effective_n_threads(n_threads),
    )  # fmt: skip
    return loss, gradient


def train(
    params,
    X,
    y,
    arch,
    optimizer,
    *,
    order,
    batch_size,
    sample_weight=None,
    alpha=0.0,
    max_grad_norm=None,
    n_threads=None,
):
    """Train for one pass over the samples, in place.

    For each batch in turn: its gradient (see `loss_and_gradient`), clipped to a global norm of
    `max_grad_norm` (Pascanu et al. 2013), and one update by the optimiser. The whole pass runs
    compiled and without the GIL.

    Parameters
    ----------
    params : ndarray of shape (n_params,), float32 or float64, C-contiguous and writable
        The flat parameter vector; changed in place.
    X, arch, n_threads
        As for `forward`. X is not copied if its dtype is that of `params`.
    y : array-like of shape (n_samples, n_outputs)
        The targets.
    optimizer : Adam or SGD
        Settings and state; the state is changed in place.
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

    Returns
    -------
    loss : float
        Weighted mean loss of the samples, each before its batch's update. nan if a batch's loss or
        gradient was not finite: the pass ended before that batch's update.

    Raises
    ------
    TypeError, ValueError
        As for `loss_and_gradient`; also if `params` cannot be updated in place or does not fit the
        optimiser, or an index is out of range.
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
    flags = getattr(params, "flags", None)
    if not (isinstance(params, np.ndarray) and flags.carray):  # contiguous, aligned, writable
        raise ValueError(
            "params must be a C-contiguous, aligned and writable ndarray: it is updated in place."
        )
    if params.dtype not in (np.float32, np.float64):
        raise ValueError(f"params must be float32 or float64, got {params.dtype}.")
    params, X = _check_call(params, X, arch)
    y, weight = _check_targets(y, sample_weight, X, arch, params.dtype)
    _check_alpha(alpha)
    if not isinstance(optimizer, Adam | SGD):
        raise TypeError(f"optimizer must be an Adam or an SGD, got {optimizer!r}.")
    moments = optimizer.moments
    if moments.shape[1:] != params.shape or moments.dtype != params.dtype:
        raise ValueError(
            f"The optimiser was made for {moments.shape[1]} parameters of dtype {moments.dtype}, "
            f"got {len(params)} of dtype {params.dtype}."
        )
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
    if not isinstance(batch_size, Integral):
        raise TypeError(f"batch_size must be an integer, got {batch_size!r}.")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
    if max_grad_norm is not None and not max_grad_norm > 0:
        raise ValueError(f"max_grad_norm must be positive or None, got {max_grad_norm}.")
    n_threads = effective_n_threads(n_threads)
    if order.size == 0:
        return 0.0
    if len(weight):
        _check_total_weight(weight[order])
    return kernels.train(
        params, X, y, weight, order, min(batch_size, len(order)), arch.hidden_size, arch.num_layers,
        alpha, max_grad_norm or 0.0, moments, optimizer.step_count, optimizer.learning_rate,
        *optimizer._settings(), n_threads,
    )  # fmt: skip


# Checks: after them the kernels may read and write without looking


def _check_params(params, arch):
    if not isinstance(arch, Architecture):
        raise TypeError(f"arch must be an Architecture, got {arch!r}.")
    params = np.ascontiguousarray(params)
    if params.dtype not in (np.float32, np.float64):
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


def _check_states(first, second, X, arch, dtype):
    """Two optional arrays of states; the kernels take an empty array for zeros."""
    shape = (arch.num_layers, len(X), arch.hidden_size)
    return tuple(
        _NO_STATES[dtype] if states is None else _dense(name, states, shape, dtype)
        for name, states in (first, second)
    )


def _check_targets(y, sample_weight, X, arch, dtype):
    """Targets and weights; the kernels take an empty array for weights of one."""
    y = _dense("y", y, (len(X), arch.n_outputs), dtype)
    if sample_weight is None:
        return y, np.empty(0, dtype)
    return y, _dense("sample_weight", sample_weight, (len(X),), dtype)


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
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {dtype}.")
    return dtype
