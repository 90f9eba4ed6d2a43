"""The calls of `core` without their checks, for arrays that are known to be right.

`core`'s functions check what they are given and then call these; the estimators check at their own door
and call these directly. The kernels read and write without looking, so that all of this must hold:

- `params` is contiguous and aligned, float32 or float64, and as long as the architecture says; the other
  arrays of numbers have its dtype, but X has either, and `scaling` (a `Scaling`, or None) float64. X may
  have any strides but is aligned; all others are C-contiguous.
- `lengths` is None or int64, from 1 to n_timesteps; indices are int64 and within X.
- y has the architecture's outputs in the form of the loss, and only values that the loss is defined for.
- For a loss there is at least one sample, and a positive sum of the sample weights.
"""

import numpy as np

from ._dispatch import kernels
from ._lengths import heeded, longest_first
from ._options import (
    WINDOW_SCALINGS,
    Average,
    Clipping,
    Dropout,
    Objective,
    OptimizerState,
    Samples,
    Scaling,
    Visits,
)


def window_statistics(X, kind, *, lengths, n_threads):
    """Center and scale of each window and feature, (2, n_samples, n_features)."""
    levels = np.empty((2, len(X), X.shape[2]))
    if len(X) > 0:
        kernels.window_statistics(
            X, lengths, WINDOW_SCALINGS[kind], None, levels, None, None, None, None, n_threads
        )
    return levels


def window_units(X, units, *, lengths, n_threads):
    """What `units` (a `_units.Units`) makes of windows that are scaled by their own statistics.

    That is shift and factor from what is learned to the targets, (2, n_samples, n_targets) or None, and
    their `Scaling`.
    """
    n_samples, _, n_features = X.shape
    levels, scaling = np.empty((2, 2, n_samples, n_features))
    targets = of_targets = None
    if units.targets is not None:
        targets = (units.feature_of, *units.targets)
        of_targets = np.empty((2, n_samples, len(units.feature_of)))
    if n_samples > 0:
        kernels.window_statistics(
            X, lengths, WINDOW_SCALINGS[units.kind], units.features.view(np.uint8), levels,
            units.inputs, scaling, targets, of_targets, n_threads,
        )  # fmt: skip
    return of_targets, Scaling(scaling[0], scaling[1])


def forward(
    params, X, arch, lengths, h0, c0, scaling, n_threads, *, hidden=None, h_n=None, c_n=None
):
    """The network's output; `hidden`, `h_n` and `c_n` are filled unless they are None."""
    lengths = heeded(lengths, X.shape[1])
    output = np.empty(arch._output_shape(X), params.dtype)
    if len(X) > 0:
        order = None if lengths is None else longest_first(lengths)
        kernels.forward(
            params, X, scaling, arch._dimensions, order, lengths, (h0, c0),
            output, hidden, (h_n, c_n), None, n_threads,
        )  # fmt: skip
    return output if arch.return_sequences else output[:, 0]


def predict(params, X, arch, lengths, h0, c0, scaling, n_threads, *, return_states=False):
    """The output alone, or with the final states."""
    if not return_states:
        return forward(params, X, arch, lengths, h0, c0, scaling, n_threads)
    h_n, c_n = (np.empty(arch._states_shape(len(X)), params.dtype) for _ in range(2))
    output = forward(params, X, arch, lengths, h0, c0, scaling, n_threads, h_n=h_n, c_n=c_n)
    return output, h_n, c_n


def gate_activations(params, X, arch, lengths, h0, c0, scaling, n_threads):
    """Gates, cell and hidden states, (6, n_cells, n_samples, n_timesteps, hidden_size)."""
    n_cells, n, H = arch._states_shape(len(X))
    traces = np.zeros((6, n_cells, n, X.shape[1], H), params.dtype)
    if n > 0:
        output = np.empty(arch._output_shape(X), params.dtype)
        kernels.forward(
            params, X, scaling, arch._dimensions, None, heeded(lengths, X.shape[1]), (h0, c0),
            output, None, (None, None), traces, n_threads,
        )  # fmt: skip
    return traces


def backward(
    params,
    X,
    arch,
    lengths,
    h0,
    c0,
    scaling,
    n_threads,
    *,
    d_output,
    d_hidden,
    d_h_n,
    d_c_n,
    result,
):
    """Fill the four arrays of `result`, d_params (zeros before), d_X, d_h0 and d_c0."""
    if len(X) > 0:
        kernels.backward(
            params, X, scaling, arch._dimensions, heeded(lengths, X.shape[1]), (h0, c0),
            d_output.reshape(arch._output_shape(X)), d_hidden, (d_h_n, d_c_n),
            result.d_params, result.d_X, (result.d_h0, result.d_c0), n_threads,
        )  # fmt: skip


def loss_and_gradient(
    params, X, y, arch, *, loss, sample_weight, lengths, scaling, alpha, dropout, recurrent_dropout,
    seed, n_threads,
):  # fmt: skip
    """The loss of a batch and its gradient."""
    gradient = np.empty_like(params)
    samples = Samples(X, scaling, heeded(lengths, X.shape[1]), _by_step(y, arch), sample_weight)
    value = kernels.loss_and_gradient(
        params,
        arch._dimensions,
        samples,
        Objective(loss._kind, loss._settings, alpha),
        _dropout(dropout, recurrent_dropout, seed),
        gradient,
        n_threads,
    )
    return value, gradient


def train(
    params, X, y, arch, optimizer, *, order, batch_size, loss, sample_weight, lengths, scaling,
    alpha, fixed_highway, max_grad_norm, max_grad_value, dropout, recurrent_dropout, seed, stateful,
    average, n_threads,
):  # fmt: skip
    """Train for one pass over the samples, in place."""
    lengths = heeded(lengths, X.shape[1])
    batch_size = min(batch_size, len(order))
    n_batches = -(-len(order) // batch_size)
    states = numbers = None
    if stateful:
        states = np.zeros((2, *arch._states_shape(batch_size)), params.dtype)
    elif lengths is not None:
        numbers = longest_first(lengths[order], np.arange(len(order)) // batch_size)
        order = order[numbers]
    rates = np.empty(n_batches)
    rates[...] = optimizer.learning_rate
    return kernels.train(
        params,
        arch._dimensions,
        Samples(X, scaling, lengths, _by_step(y, arch), sample_weight),
        Visits(order, numbers, batch_size, states),
        Objective(loss._kind, loss._settings, alpha),
        _dropout(dropout, recurrent_dropout, seed),
        Clipping(max_grad_norm or 0.0, max_grad_value or 0.0),
        optimizer._settings()._replace(fixed_highway=fixed_highway),
        rates,
        OptimizerState(optimizer.moments, optimizer.step_count),
        None if average is None else Average(*average),
        n_threads,
    )


def slot_layout(arch, batch_size, dtype):
    """Samples in a block, and the most slots: block k of a batch is in slot k % n_slots."""
    return kernels.slot_layout(arch._dimensions, batch_size, np.dtype(dtype).itemsize)


def slot_gradient(
    params, X, y, arch, *, order, numbers, batch_size, loss, sample_weight, lengths, scaling,
    total_weight, dropout, recurrent_dropout, seed,
):  # fmt: skip
    """A slot's part in loss and gradient of a batch, wherever its samples are; see the kernels."""
    gradient = np.empty_like(params)
    value = kernels.slot_gradient(
        params,
        arch._dimensions,
        Samples(X, scaling, lengths, _by_step(y, arch), sample_weight),
        order,
        numbers,
        batch_size,
        Objective(loss._kind, loss._settings, 0.0),
        _dropout(dropout, recurrent_dropout, seed),
        total_weight,
        gradient,
    )
    return value, gradient


def apply_gradient(
    params, loss, gradient, arch, optimizer, *, learning_rate, penalty, fixed_highway, max_grad_norm,
    max_grad_value, average,
):  # fmt: skip
    """What `train` does with a batch's loss and gradient, in place; return the loss."""
    return kernels.apply_gradient(
        params,
        arch._dimensions,
        loss,
        gradient,
        penalty,
        Clipping(max_grad_norm or 0.0, max_grad_value or 0.0),
        optimizer._settings()._replace(fixed_highway=fixed_highway),
        learning_rate,
        OptimizerState(optimizer.moments, optimizer.step_count),
        None if average is None else Average(*average),
    )


def _dropout(rate, recurrent_rate, seed):
    """None where nothing is dropped."""
    return Dropout(rate, recurrent_rate, seed) if rate or recurrent_rate else None


def _by_step(y, arch):
    """Targets as the kernels take them, (n_samples, applications of the head, n_targets)."""
    return y if arch.return_sequences else y[:, np.newaxis]
