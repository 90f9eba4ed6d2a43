"""The LSTM's kernels: forward pass, backpropagation through time, and training steps.

The equations, for one sample and one hidden unit (Hochreiter & Schmidhuber 1997; Gers, Schmidhuber &
Cummins 2000), with the gates in the order i, f, g, o:

    z_t = [x_t, h_{t-1}] [W; U] + b
    i_t = sigmoid(z_i)    input gate         f_t = sigmoid(z_f)    forget gate
    g_t = tanh(z_g)       candidate          o_t = sigmoid(z_o)    output gate
    c_t = f_t * c_{t-1} + i_t * g_t          h_t = o_t * tanh(c_t)
    y   = h_T V + d                          once, after the last step

How a call runs. The batch is cut into blocks of `block` samples. One thread takes a block through
everything: gather, forward through all T steps of all layers, head, loss, BPTT, the block's gradient.
Its activations live in that thread's arena and are overwritten by its next block, so memory does not
grow with the batch. Blocks belong to slots, a number of them that does not depend on the threads; a
slot's gradient adds up its blocks in order, and the slots are added in order at the end: the same bits
for any number of threads.

How memory is laid out. A hidden tile is as many hidden units as a register has lanes (L); hidden sizes
are padded to whole tiles, and the padding computes zeros. x_t and h_{t-1} lie side by side in one row,
so that z_t is one product. z (and after it the gates, and after them dz) keeps the four gates of a tile
next to each other: [tile][t][sample][gate][L]. Weights are packed in the same order once per step:
[tile][n_in + H][gate][L]. In shape comments B is the block's size, T the number of time steps, Hp the
padded hidden size, Kp the padded number of outputs.

Where things stand. The calls are here; what they are made of is in `kernels/`, a file for each subject,
included in an order in which each needs only those before it. Together they are one translation unit,
which the compiler may inline as it likes.

Everything here takes arrays that `core.py` has checked; the caller owns every output.
"""

cimport cython
from cython cimport floating as real
from cython.parallel cimport prange, threadid
from libc.math cimport NAN, exp, fabs, isfinite, isnan, log, log1p, sqrt
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import numpy as np

include "kernels/cell.pxi"
include "kernels/product.pxi"
include "kernels/layout.pxi"
include "kernels/batches.pxi"
include "kernels/dropout.pxi"
include "kernels/packing.pxi"
include "kernels/forward.pxi"
include "kernels/backward.pxi"
include "kernels/losses.pxi"
include "kernels/updates.pxi"


# ----------------------------------------------------------------------------------------------------
# The process
# ----------------------------------------------------------------------------------------------------

cdef extern from "kernels/runtime.h" nogil:
    const char* COMPILED_FOR
    bint COMPILED_WITH_OPENMP
    ctypedef struct Interrupt:
        int stop
    Interrupt no_interrupt()
    int processor_level()
    int safe_thread_count(int n_threads)
    int interrupted(Interrupt* state)
    int omp_get_max_threads()


def compiled_for():
    """The instruction set this module was compiled for."""
    return COMPILED_FOR.decode()


def supported_level():
    """What the processor supports: 0 the baseline, 1 AVX2 with FMA, 2 AVX-512."""
    return processor_level()


def has_openmp():
    """Whether the module was compiled with OpenMP."""
    return COMPILED_WITH_OPENMP


def max_threads():
    """OpenMP's own limit (OMP_NUM_THREADS, threadpoolctl); 1 without OpenMP."""
    return omp_get_max_threads()


def thread_count(int n_threads):
    """The threads a call asking for n_threads may run on: 1 in a fork of a process that ran several."""
    return safe_thread_count(n_threads)


# Waking a sleeping thread costs about 10 microseconds. So many floating-point operations are worth it.
cdef double work_per_thread = 4e6


def set_work_per_thread(double operations):
    """Set the floating-point operations that each thread gets at least; return the old number.

    Results do not depend on it. Zero gives every call as many threads as it has tasks.
    """
    global work_per_thread
    cdef double before = work_per_thread
    work_per_thread = operations
    return before


cdef int threads_for(
    const Net* net, Py_ssize_t n_samples, int n_passes, Py_ssize_t n_tasks, int n_threads,
) noexcept:
    """Threads that a region over n_tasks uses; n_passes is 1 for forward, 3 with the backward pass."""
    cdef double operations = 0
    cdef Py_ssize_t index
    for index in range(net.n_cells):
        operations += (net.cells[index].n_in + net.H) * 8. * net.H
    operations *= <double> n_samples * net.T * n_passes
    if operations < work_per_thread * n_threads:
        n_threads = max(1, <int> (operations / work_per_thread))
    return safe_thread_count(min(n_threads, n_tasks))


# ----------------------------------------------------------------------------------------------------
# Calls: arrays in, arrays out
# ----------------------------------------------------------------------------------------------------

cdef int raise_interrupt(Interrupt* interrupt) except -1:
    """Let a KeyboardInterrupt that was noticed while the GIL was released take its course."""
    return -1 if interrupt.stop else 0


cdef void export_outputs(
    const Net* net, const Block* block, real* arena, real[:, :, ::1] output,
) noexcept nogil:
    """y out of the arena, into (n, S, K); zeros after a sample's end."""
    cdef Py_ssize_t s, t
    cdef real* target
    for s in range(block.n):
        for t in range(output.shape[1]):
            target = &output[block.sample[s], t, 0]
            if t < block.length[s]:
                memcpy(target, arena + net.y + (t * net.block + s) * net.K_pad, net.K * sizeof(real))
            else:
                memset(target, 0, net.K * sizeof(real))


cdef void export_hidden(
    const Net* net, const Block* block, real* arena, real[:, :, ::1] hidden,
) noexcept nogil:
    """The top layer's hidden states out of the arena, into (n, T, D * H); zeros after a sample's end."""
    cdef const Cell* cell
    cdef Py_ssize_t direction, s, t, step
    cdef real* target
    for direction in range(net.D):
        cell = &net.cells[net.n_cells - net.D + direction]
        for s in range(block.n):
            for t in range(net.T):
                target = &hidden[block.sample[s], t, direction * net.H]
                if t < block.length[s]:
                    step = step_of(cell, t, block.length[s])
                    memcpy(target, h_at(net, cell, step + 1, arena) + s * cell.h_row,
                           net.H * sizeof(real))
                else:
                    memset(target, 0, net.H * sizeof(real))


cdef void export_gates(
    const Net* net, const Block* block, real* arena, real[:, :, :, :, ::1] traces,
) noexcept nogil:
    """Gates, cell and hidden states into (6, n_cells, n, T, H), in the order of time."""
    cdef const Cell* cell
    cdef Py_ssize_t L = net.lanes, index, s, t, step, unit, gate
    cdef const real* gates
    for index in range(net.n_cells):
        cell = &net.cells[index]
        for s in range(block.n):
            for t in range(block.length[s]):
                step = step_of(cell, t, block.length[s])
                for unit in range(net.H):
                    gates = (arena + cell.z + unit % L
                             + ((unit // L * net.T + step) * net.block + s) * 4 * L)
                    for gate in range(4):
                        traces[gate, index, block.sample[s], t, unit] = gates[gate * L]
                memcpy(&traces[4, index, block.sample[s], t, 0],
                       c_at(net, cell, step + 1, arena) + s * net.H_pad, net.H * sizeof(real))
                memcpy(&traces[5, index, block.sample[s], t, 0],
                       h_at(net, cell, step + 1, arena) + s * cell.h_row, net.H * sizeof(real))


cdef void save_final_states(
    const Net* net, const Batch* batch, const Block* block, real* arena, real* h, real* c,
) noexcept nogil:
    """The states after each sample's last step, into [cell][n_states][H]."""
    cdef const Cell* cell
    cdef Py_ssize_t index
    for index in range(net.n_cells):
        cell = &net.cells[index]
        save_states(net, h_at(net, cell, block.n_steps, arena), cell.h_row, batch.n_states, index,
                    block, h)
        save_states(net, c_at(net, cell, block.n_steps, arena), net.H_pad, batch.n_states, index,
                    block, c)


cdef void forward_task(
    const Net* net, const real* packed, const Batch* batch, Py_ssize_t start,
    real[:, :, ::1] output, real[:, :, ::1] hidden, real[:, :, ::1] h_n, real[:, :, ::1] c_n,
    real[:, :, :, :, ::1] traces, real* arena, Interrupt* interrupt,
) noexcept nogil:
    """One block of `forward`: what is asked for is copied out of the arena."""
    cdef Block block
    if interrupted(interrupt):
        return
    open_block(net, batch, start, &block)
    forward_block(net, packed, batch, &block, arena)
    export_outputs(net, &block, arena, output)
    if hidden is not None:
        export_hidden(net, &block, arena, hidden)
    if h_n is not None:
        save_final_states(net, batch, &block, arena, &h_n[0, 0, 0], &c_n[0, 0, 0])
    if traces is not None:
        export_gates(net, &block, arena, traces)


def forward(
    const real[::1] params, const real[:, :, :] X, tuple dimensions, const int64_t[::1] order,
    const int64_t[::1] lengths, const real[:, :, ::1] h0, const real[:, :, ::1] c0,
    real[:, :, ::1] output, real[:, :, ::1] hidden, real[:, :, ::1] h_n, real[:, :, ::1] c_n,
    real[:, :, :, :, ::1] traces, int n_threads,
):
    """Fill output (n, S, K) and, unless they are None, the other arrays that it is given to fill.

    These are hidden (n, T, D * H), h_n and c_n (n_cells, n, H), and traces (6, n_cells, n, T, H), zeros
    before: i, f, g, o, c and h at each time step. `dimensions` as for `Plan`. order (n,), a permutation:
    how samples are put into blocks; lengths (n,); h0, c0 (n_cells, n, H). All these may be None.
    """
    cdef Plan plan = Plan(dimensions, X.shape[1], sizeof(real),
                          hidden is not None or traces is not None, False, lengths is not None)
    cdef Net* net = &plan.net
    cdef Batch batch = batch_of[real](X, order, lengths, h0, c0)
    cdef Py_ssize_t n_blocks = n_blocks_of(net, batch.n), block
    cdef Interrupt interrupt = no_interrupt()
    n_threads = threads_for(net, batch.n, 1, n_blocks, n_threads)
    plan.reserve(n_threads, 0, sizeof(real))
    cdef real* packed = <real*> plan.packed
    cdef real* arenas = <real*> plan.arenas
    with nogil:
        pack_parameters(net, &params[0], packed, False)
        if n_threads == 1:                                      # a region costs 0.7 microseconds
            for block in range(n_blocks):
                forward_task(net, packed, &batch, block * net.block, output, hidden, h_n, c_n, traces,
                             arenas, &interrupt)
        else:
            for block in prange(n_blocks, num_threads=n_threads, schedule="dynamic"):
                forward_task(net, packed, &batch, block * net.block, output, hidden, h_n, c_n, traces,
                             arenas + threadid() * net.arena_size, &interrupt)
    raise_interrupt(&interrupt)


cdef inline bint is_missing(
    const Batch* batch, Py_ssize_t sample, Py_ssize_t t, Py_ssize_t feature, const real* of_type,
) noexcept nogil:
    return isnan((<const real*> (batch.X + sample * batch.sample_stride + t * batch.time_stride
                                 + feature * batch.feature_stride))[0])


cdef void export_input_gradients(
    const Net* net, const Batch* batch, const Block* block, const real* d_inputs,
    real[:, :, ::1] d_X,
) noexcept nogil:
    """Gradients of the inputs, [T][B][d_row], into (n, T, F); zeros after a sample's end."""
    cdef Py_ssize_t F = net.n_features, s, t, feature
    cdef real* target
    cdef real carried
    for s in range(block.n):
        target = &d_X[block.sample[s], 0, 0]
        memset(target, 0, net.T * F * sizeof(real))
        for t in range(block.length[s]):
            memcpy(target + t * F, d_inputs + (t * net.block + s) * net.d_row, F * sizeof(real))
        if net.mask_missing:
            # an observed value has the gradients of all steps it was carried to
            for feature in range(F):
                carried = 0
                for t in range(block.length[s] - 1, -1, -1):
                    carried += target[t * F + feature]
                    target[t * F + feature] = 0
                    if not is_missing(batch, block.sample[s], t, feature, target):
                        target[t * F + feature] = carried
                        carried = 0


cdef void load_gradients(
    const Net* net, const Block* block, const real[:, :, ::1] d_output,
    const real[:, :, ::1] d_hidden, real* arena,
) noexcept nogil:
    """dy, and the gradients of the top layer's hidden states, into the arena; zeros after an end."""
    cdef Py_ssize_t s, t
    cdef real* row
    for s in range(block.n):
        for t in range(d_output.shape[1]):
            row = arena + net.dy + (t * net.block + s) * net.K_pad
            memset(row, 0, net.K_pad * sizeof(real))
            if t < block.length[s]:
                memcpy(row, &d_output[block.sample[s], t, 0], net.K * sizeof(real))
        for t in range(net.T):
            row = arena + net.d_outer + (t * net.block + s) * net.d_row
            memset(row, 0, net.d_row * sizeof(real))
            if t < block.length[s]:
                memcpy(row, &d_hidden[block.sample[s], t, 0], net.D * net.H * sizeof(real))


cdef void backward_task(
    const Net* net, const real* packed, const Batch* batch, const real[:, :, ::1] d_output,
    const real[:, :, ::1] d_hidden, const StateGradients* states, Py_ssize_t slot_index,
    Py_ssize_t n_slots, real[:, :, ::1] d_X, real* slot, real* arena, Interrupt* interrupt,
) noexcept nogil:
    """One slot of `backward`: its blocks one after the other."""
    cdef Py_ssize_t start = slot_index * net.block
    cdef Block block
    cdef real* d_inputs
    while start < batch.n:
        if interrupted(interrupt):
            return
        open_block(net, batch, start, &block)
        forward_block(net, packed, batch, &block, arena)
        load_gradients(net, &block, d_output, d_hidden, arena)
        d_inputs = backward_block(net, packed, batch, &block, states, True, arena, slot)
        export_input_gradients(net, batch, &block, d_inputs, d_X)
        start += n_slots * net.block


def backward(
    const real[::1] params, const real[:, :, :] X, tuple dimensions, const int64_t[::1] lengths,
    const real[:, :, ::1] h0, const real[:, :, ::1] c0, const real[:, :, ::1] d_output,
    const real[:, :, ::1] d_hidden, const real[:, :, ::1] d_h_n, const real[:, :, ::1] d_c_n,
    real[::1] d_params, real[:, :, ::1] d_X, real[:, :, ::1] d_h0, real[:, :, ::1] d_c0,
    int n_threads,
):
    """Fill d_params, d_X, d_h0, d_c0 from the gradients of output, hidden states and final states.

    d_output (n, S, K), d_hidden (n, T, D * H); d_h_n, d_c_n (n_cells, n, H), or None for zeros. The
    others as for `forward`.
    """
    cdef Plan plan = Plan(dimensions, X.shape[1], sizeof(real), True, True, True)
    cdef Net* net = &plan.net
    cdef Batch batch = batch_of[real](X, None, lengths, h0, c0)
    cdef Py_ssize_t n_slots = n_slots_of(net, batch.n), slot
    cdef Interrupt interrupt = no_interrupt()
    cdef StateGradients states
    states.d_h_n = <const void*> &d_h_n[0, 0, 0] if d_h_n is not None else NULL
    states.d_c_n = <const void*> &d_c_n[0, 0, 0] if d_c_n is not None else NULL
    states.d_h0 = <void*> &d_h0[0, 0, 0]
    states.d_c0 = <void*> &d_c0[0, 0, 0]
    n_threads = threads_for(net, batch.n, 3, n_slots, n_threads)
    plan.reserve(n_threads, n_slots, sizeof(real))
    cdef real* packed = <real*> plan.packed
    cdef real* slots = <real*> plan.slots
    cdef real* arenas = <real*> plan.arenas
    with nogil:
        pack_parameters(net, &params[0], packed, True)
        for slot in prange(n_slots, num_threads=n_threads, schedule="dynamic"):
            backward_task(net, packed, &batch, d_output, d_hidden, &states, slot, n_slots, d_X,
                          slots + slot * net.slot_size, arenas + threadid() * net.arena_size,
                          &interrupt)
        collect_gradient(net, slots, n_slots, &d_params[0])
    raise_interrupt(&interrupt)


# ----------------------------------------------------------------------------------------------------
# Streaming: one sequence, one time step a call
# ----------------------------------------------------------------------------------------------------

@cython.final
cdef class Stream:
    """Handle of a network with its weights packed once, and of the states of one sequence.

    Its plan has a single time step: the states before it lie where step 0 reads them.
    """
    cdef Plan plan
    cdef bint begun


cdef void take_step(
    const Net* net, const real* packed, const real* x, bint begun, real* y, real* arena,
) noexcept nogil:
    """x (n_features,) to y (K,); the states stay in the arena, in step 0's places."""
    cdef const Cell* cell
    cdef const real* inputs = x
    cdef real* own
    cdef Py_ssize_t index
    for index in range(net.n_cells):
        cell = &net.cells[index]
        own = xh_at(net, cell, 0, arena) + cell.in_pad - cell.n_in
        if index == 0 and net.mask_missing:
            observe(net.n_features, <const char*> x, sizeof(real), own if begun else NULL, own)
        else:
            memcpy(own, inputs, cell.n_in * sizeof(real))
        forward_step(net, cell, packed, 0, 1, arena)
        inputs = h_at(net, cell, 1, arena)
    memcpy(arena + net.top, inputs, net.H * sizeof(real))
    head_product(net, packed, 1, arena + net.top, arena + net.y)
    memcpy(y, arena + net.y, net.K * sizeof(real))
    for index in range(net.n_cells):
        cell = &net.cells[index]
        memcpy(h_at(net, cell, 0, arena), h_at(net, cell, 1, arena), net.H * sizeof(real))


def stream_open(const real[::1] params, tuple dimensions):
    """A `Stream` in states of zero, for a network of one direction."""
    cdef Stream stream = Stream()
    stream.plan = Plan(dimensions, 1, sizeof(real), False, False, False)
    stream.plan.reserve(1, 0, sizeof(real))
    pack_parameters(&stream.plan.net, &params[0], <real*> stream.plan.packed, False)
    return stream


def stream_step(Stream stream, const real[::1] x, real[::1] y):
    """One time step: take x (n_features,), write y (n_outputs,)."""
    take_step(&stream.plan.net, <const real*> stream.plan.packed, &x[0], stream.begun, &y[0],
              <real*> stream.plan.arenas)
    stream.begun = True


def stream_states(Stream stream, real[:, ::1] h, real[:, ::1] c, bint put):
    """Copy the states (num_layers, H) in, if `put`, or out; `put` forgets the values observed last."""
    cdef Net* net = &stream.plan.net
    cdef real* arena = <real*> stream.plan.arenas
    cdef Py_ssize_t index, j
    cdef real* own_h
    cdef real* own_c
    stream.begun = stream.begun and not put
    for index in range(net.n_cells):
        own_h = h_at(net, &net.cells[index], 0, arena)
        own_c = c_at(net, &net.cells[index], 0, arena)
        for j in range(net.H):
            if put:
                own_h[j] = h[index, j]
                own_c[j] = c[index, j]
            else:
                h[index, j] = own_h[j]
                c[index, j] = own_c[j]


# ----------------------------------------------------------------------------------------------------
# Training: gradient of a batch, clipping, update
# ----------------------------------------------------------------------------------------------------

cdef double train_task(
    const Net* net, const real* packed, const Batch* batch, const Targets* targets,
    Py_ssize_t slot_index, Py_ssize_t n_slots, real* slot, real* arena, Interrupt* interrupt,
) noexcept nogil:
    """One slot of a batch: loss and gradient of its blocks, one after the other."""
    cdef Py_ssize_t start = slot_index * net.block
    cdef double loss = 0
    cdef Block block
    cdef StateGradients no_states
    memset(&no_states, 0, sizeof(StateGradients))
    memset(slot, 0, net.slot_size * sizeof(real))
    while start < batch.n:
        if interrupted(interrupt):
            return loss
        open_block(net, batch, start, &block)
        forward_block(net, packed, batch, &block, arena)
        loss += block_loss(net, targets, &block, arena)
        backward_block(net, packed, batch, &block, &no_states, False, arena, slot)
        if batch.stateful:
            save_final_states(net, batch, &block, arena, <real*> batch.h, <real*> batch.c)
        start += n_slots * net.block
    return loss


cdef double batch_gradient(
    const Net* net, const real* params, const Batch* batch, const Targets* targets, double alpha,
    real* packed, real* slots, real* arenas, real* gradient, int n_threads, Interrupt* interrupt,
) noexcept nogil:
    """The loss of the batch, its L2 penalty included; fills `gradient`."""
    cdef Py_ssize_t n_slots = n_slots_of(net, batch.n), slot
    cdef double losses[MAX_SLOTS]
    cdef double loss = 0
    pack_parameters(net, params, packed, True)
    if n_threads == 1:                                          # as in `forward`
        for slot in range(n_slots):
            losses[slot] = train_task(net, packed, batch, targets, slot, n_slots,
                                      slots + slot * net.slot_size, arenas, interrupt)
    else:
        for slot in prange(n_slots, num_threads=n_threads, schedule="dynamic"):
            losses[slot] = train_task(net, packed, batch, targets, slot, n_slots,
                                      slots + slot * net.slot_size,
                                      arenas + threadid() * net.arena_size, interrupt)
    collect_gradient(net, slots, n_slots, gradient)
    for slot in range(n_slots):
        loss += losses[slot]
    if alpha > 0:
        loss += l2_penalty(net, params, alpha / targets.total_weight, gradient)
    return loss


def loss_and_gradient(
    const real[::1] params, const real[:, :, :] X, tuple dimensions, const int64_t[::1] order,
    const int64_t[::1] lengths, const real[:, :, ::1] y, const real[::1] weight, int loss,
    const double[::1] loss_settings, double alpha, double dropout, double recurrent_dropout,
    uint64_t seed, real[::1] gradient, int n_threads,
):
    """Return the loss of the batch `order`; fill its gradient.

    y (n_samples, S, n_targets). weight (n_samples,) and lengths (n_samples,) may be None.
    """
    cdef Plan plan = Plan(dimensions, X.shape[1], sizeof(real), True, True, True, seed, dropout,
                          recurrent_dropout)
    cdef Net* net = &plan.net
    cdef Batch batch = batch_of[real](X, order, lengths, None, None)
    cdef Targets targets = targets_of[real](y, weight, loss, loss_settings)
    cdef Py_ssize_t n_slots = n_slots_of(net, batch.n)
    cdef Interrupt interrupt = no_interrupt()
    cdef double value
    n_threads = threads_for(net, batch.n, 3, n_slots, n_threads)
    plan.reserve(n_threads, n_slots, sizeof(real))
    with nogil:
        targets.total_weight = weight_of(&batch, <const real*> targets.weight)
        value = batch_gradient(
            net, &params[0], &batch, &targets, alpha, <real*> plan.packed, <real*> plan.slots,
            <real*> plan.arenas, &gradient[0], n_threads, &interrupt)
    raise_interrupt(&interrupt)
    return value


def train(
    real[::1] params, const real[:, :, :] X, tuple dimensions, const int64_t[::1] order,
    const int64_t[::1] numbers, const int64_t[::1] lengths, real[:, :, :, ::1] states,
    const real[:, :, ::1] y, const real[::1] weight, int loss, const double[::1] loss_settings,
    Py_ssize_t batch_size, double alpha, double max_grad_norm, double max_grad_value,
    double dropout, double recurrent_dropout, uint64_t seed, const double[::1] learning_rates,
    int solver, double beta_1, double beta_2, double epsilon, double momentum, bint nesterov,
    double weight_decay, real[:, ::1] moments, int64_t[::1] n_steps, real[::1] average,
    double average_decay, int n_threads,
):
    """One pass over `order` in batches, updating params, moments and n_steps; return the mean loss.

    A batch: gradient, clipping of its values and of its norm (where the limits are positive), update
    by the solver (moments (2, n_params); RMSprop and SGD: (1, n_params)) at its own learning rate,
    average of the weights (n_params,) if it is not None. Its loss is divided by its size times the
    mean weight of all of `order`. numbers (n_visits,): those by which dropout knows the visits; None: 0,
    1, 2, ... states (2, n_cells, batch_size, H), h and c, or None: each batch starts from those that the
    batch before has left. A batch whose loss or gradient is not finite ends the pass before its
    update, and the loss returned is nan. n_steps (1,) counts the updates, those of earlier passes too.
    """
    cdef Plan plan = Plan(dimensions, X.shape[1], sizeof(real), True, True, True, seed, dropout,
                          recurrent_dropout)
    cdef Net* net = &plan.net
    cdef Batch batch = batch_of[real](X, order, lengths, None, None)
    cdef Targets targets = targets_of[real](y, weight, loss, loss_settings)
    cdef Py_ssize_t n_visits = order.shape[0], n_batches = 0
    cdef Py_ssize_t n_slots = n_slots_of(net, min(batch_size, n_visits))
    cdef Interrupt interrupt = no_interrupt()
    cdef double batch_loss, total_loss = 0, norm, learning_rate
    cdef double mean_weight = weight_of(&batch, <const real*> targets.weight) / n_visits
    cdef real scale
    if states is not None:
        batch.stateful = True
        batch.n_states = batch_size
        batch.h = <void*> &states[0, 0, 0, 0]
        batch.c = <void*> &states[1, 0, 0, 0]
    n_threads = threads_for(net, min(batch_size, n_visits), 3, n_slots, n_threads)
    plan.reserve(n_threads, n_slots, sizeof(real))
    cdef real[::1] gradient = np.empty(net.n_params, np.asarray(params).dtype)
    with nogil:
        while batch.first_visit < n_visits:                     # batches
            batch.order = &order[batch.first_visit]
            if numbers is not None:
                batch.numbers = &numbers[batch.first_visit]
            batch.n = min(batch_size, n_visits - batch.first_visit)
            targets.total_weight = batch.n * mean_weight
            batch_loss = batch_gradient(
                net, &params[0], &batch, &targets, alpha, <real*> plan.packed, <real*> plan.slots,
                <real*> plan.arenas, &gradient[0], n_threads, &interrupt)
            if interrupt.stop:
                break
            if max_grad_value > 0:
                clip_values(&gradient[0], net.n_params, <real> max_grad_value)
            norm = global_norm(&gradient[0], net.n_params)
            if not (isfinite(batch_loss) and isfinite(norm)):
                total_loss = NAN
                break
            # torch.nn.utils.clip_grad_norm_'s factor
            scale = <real> min(1.0, max_grad_norm / (norm + 1e-6)) if max_grad_norm > 0 else 1
            learning_rate = learning_rates[n_batches]
            n_steps[0] += 1
            if solver == SGD:
                sgd_update(&params[0], &gradient[0], scale, &moments[0, 0], net.n_params,
                           learning_rate, momentum, nesterov)
            elif solver == RMSPROP:
                rmsprop_update(&params[0], &gradient[0], scale, &moments[0, 0], net.n_params,
                               learning_rate, beta_2, epsilon)
            else:
                if solver == ADAMW:
                    decay_weights(net, &params[0], <real> (1 - learning_rate * weight_decay))
                adam_update(&params[0], &gradient[0], scale, &moments[0, 0], &moments[1, 0],
                            net.n_params, n_steps[0], learning_rate, beta_1, beta_2, epsilon)
            if average is not None:
                average_weights(&average[0], &params[0], net.n_params, average_decay)
            total_loss += batch_loss * batch.n
            batch.first_visit += batch.n
            n_batches += 1
    raise_interrupt(&interrupt)
    return total_loss / n_visits
