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
grow with the batch. Where T steps would take too much of it, they are taken a segment at a time: forward
each segment's activations overwrite the last one's; for the backward pass they are computed once more.
Blocks belong to slots, a number of them that does not depend on the threads; a slot's gradient adds up
its blocks in order, and the slots are added in order at the end: the same bits for any number of
threads.

How memory is laid out. A hidden tile is as many hidden units as a register has lanes (L). What is left
of the hidden size becomes tiles of a half and a quarter of that (`Tile` in `layout.pxi`), and the
padding of the last one computes zeros. x_t and h_{t-1} lie side by side in one row, so that z_t is one
product. z (and after it the gates, and after them dz) keeps the four gates of a tile next to each
other: [tile][t][sample][gate][units]. Weights are packed in the same order once per step: [tile][n_in +
H][gate][units]. So products never multiply more than a quarter register of padding a gate. For the gate
equations a small tile's rows, those of two or four samples, are regrouped until each gate fills a
register: [tile][t][group][gate][sample][units]; c is in that order from the start. In shape comments B
is the block's size, T the number of time steps, Hp the hidden size padded to registers and Hu to
quarters of them, Kp the padded number of outputs.

The first step's h U is left out where the states before it are zeros (`starts_from_zeros`), and so is
its part of dU: the same bits, unless U holds infinities or NaN, which then meet no zero and do no harm.

Where things stand. The calls are here; what they are made of is in `kernels/`, a file for each subject,
included in an order in which each needs only those before it. Together they are one translation unit,
which the compiler may inline as it likes.

Everything here takes arrays that `core.py` has checked; the caller owns every output.
"""

cimport cython
from cython cimport floating as real
from libc.math cimport NAN, exp, fabs, isfinite, isnan, log, log1p, sqrt
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset

import numpy as np

include "kernels/options.pxi"
include "kernels/cell.pxi"
include "kernels/product.pxi"
include "kernels/dropout.pxi"
include "kernels/layout.pxi"
include "kernels/batches.pxi"
include "kernels/packing.pxi"
include "kernels/forward.pxi"
include "kernels/backward.pxi"
include "kernels/losses.pxi"
include "kernels/segments.pxi"
include "kernels/updates.pxi"
include "kernels/scaling.pxi"


# ----------------------------------------------------------------------------------------------------
# The process
# ----------------------------------------------------------------------------------------------------

cdef extern from "kernels/runtime.h" nogil:
    const char* COMPILED_FOR
    bint COMPILED_WITH_OPENMP
    Interrupt no_interrupt()
    int processor_level()
    int safe_thread_count(int n_threads)
    int watch_forks()
    void lose_threads()
    const char* openmp_library()
    int omp_get_max_threads()
    void run_in_parallel(
        void (*task)(void*, Py_ssize_t, void*), void* call, Py_ssize_t n_tasks, int n_threads,
        void* arenas, size_t arena_bytes, Interrupt* interrupt, bint are_long)


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


def openmp_file():
    """The file that OpenMP's runtime was loaded from, or None."""
    cdef const char* name = openmp_library()
    return None if name == NULL else (<bytes> name).decode("utf-8", "surrogateescape")


def thread_count(int n_threads):
    """The threads a call asking for n_threads may run on: 1 where a fork has lost the others."""
    return safe_thread_count(n_threads)


def distrust_threads():
    """From now on one thread only: the process may have lost others when it was forked."""
    lose_threads()


if watch_forks() != 0:
    raise MemoryError("No memory for a handler of forks.")


# Waking a sleeping thread costs about 10 microseconds. So many floating-point operations are worth it.
cdef double work_per_thread = 4e6

# So many take a tenth of a second at most.
cdef double LONG_TASK = 1e8


def set_work_per_thread(double operations):
    """Set the floating-point operations that each thread gets at least; return the old number.

    Results do not depend on it. Zero gives every call as many threads as it has tasks.
    """
    global work_per_thread
    cdef double before = work_per_thread
    work_per_thread = operations
    return before


def set_arena_limits(double forward, double backward):
    """Set the bytes that a thread's arena may have with room for all time steps; return the old numbers.

    Forward and backward. Results do not depend on them.
    """
    global forward_bytes, backward_bytes
    before = forward_bytes, backward_bytes
    forward_bytes, backward_bytes = forward, backward
    return before


cdef double operations_per_sample(const Net* net, int n_passes) noexcept:
    """Floating-point operations; n_passes is 1 for forward, 3 with the backward pass."""
    cdef double operations = 0
    cdef Py_ssize_t index
    for index in range(net.n_cells):
        operations += (net.cells[index].n_in + net.H) * 8. * net.H
    return operations * net.T * n_passes


cdef int threads_for(double operations, Py_ssize_t n_tasks, int n_threads) noexcept:
    """Threads that a region of so many operations and tasks uses."""
    if operations < work_per_thread * n_threads:
        n_threads = max(1, <int> (operations / work_per_thread))
    return safe_thread_count(<int> min(n_threads, n_tasks))


cdef extern from "kernels/orthogonal.h" nogil:
    int orthogonalize(double* A, Py_ssize_t n, int n_threads)


cdef int raise_interrupt(bint was_interrupted) except -1:
    """Let a KeyboardInterrupt that was noticed while the GIL was released take its course."""
    return -1 if was_interrupted else 0


def make_orthogonal(double[:, ::1] A, int n_threads):
    """A (n, n), of full rank, becomes Q of its QR decomposition with R's diagonal positive.

    The same bits on any number of threads and with every instruction set.
    """
    cdef Py_ssize_t n = A.shape[0]
    cdef int failure
    n_threads = threads_for(8. / 3 * n * n * n, n // 8 + 1, n_threads)
    with nogil:
        failure = orthogonalize(&A[0, 0], n, n_threads)
    if failure < 0:
        raise MemoryError(f"An orthogonal matrix of order {n} needs {16. * n * n:.3g} bytes.")
    raise_interrupt(failure)


# ----------------------------------------------------------------------------------------------------
# Calls: arrays in, arrays out
# ----------------------------------------------------------------------------------------------------

cdef struct Results:
    # What `forward` fills: the caller's arrays, of the call's type. All but the first may be NULL.
    void* output                # [n][S][K]
    void* hidden                # [n][T][D * H]
    void* h_n                   # [cell][n][H]
    void* c_n
    void* traces                # [i, f, g, o, c, h][cell][n][T][H]


cdef struct Call:
    # What every task of a call works with. What its kind of task has no use for is NULL.
    const Net* net
    const Batch* batch
    const void* packed          # as in the plan, which owns them
    void* slots
    void* arenas
    Py_ssize_t n_slots
    Py_ssize_t n_tasks
    bint are_long               # tasks, so that waiting for the last of them takes long
    int n_threads
    Interrupt interrupt
    Results results             # forward
    Gradients gradients         # backward
    const Targets* targets      # training
    double losses[MAX_SLOTS]    # of each slot


cdef int open_call(
    Call* call, Plan plan, const Batch* batch, Py_ssize_t n_samples, int n_threads,
) except -1:
    """Get ready for up to n_samples at a time: a task for each block or, with gradients, each slot.

    This takes the plan's memory.
    """
    cdef const Net* net = &plan.net
    cdef bint backward = plan.room == ALL_GRADIENTS
    cdef double operations = operations_per_sample(net, 3 if backward else 1)
    memset(call, 0, sizeof(Call))
    call.net, call.batch = net, batch
    call.n_slots = n_slots_of(net, n_samples) if backward else 0
    call.n_tasks = call.n_slots if backward else n_blocks_of(net, n_samples)
    call.are_long = operations * n_samples / call.n_tasks > LONG_TASK
    call.n_threads = threads_for(operations * n_samples, call.n_tasks, n_threads)
    plan.reserve(call.n_threads, call.n_slots)
    call.packed, call.slots, call.arenas = plan.packed, plan.slots, plan.arenas
    call.interrupt = no_interrupt()
    return 0


cdef void run_tasks(
    void (*task)(Call*, Py_ssize_t, real*) noexcept nogil, Call* call, real* arenas,
) noexcept nogil:
    """All tasks of a call, by their numbers, each in the arena of the thread that happens to run it.

    A single thread does without a parallel region, which would cost it 0.7 microseconds. The region is
    C's: what Cython's prange becomes in a function without the GIL asks PyGILState_Check, which says yes
    to everyone once there was a sub-interpreter.
    """
    cdef Py_ssize_t number
    if call.n_threads == 1:
        for number in range(call.n_tasks):
            task(call, number, arenas)
    else:
        run_in_parallel(
            <void (*)(void*, Py_ssize_t, void*) noexcept nogil> task, call, call.n_tasks,
            call.n_threads, arenas, call.net.arena_size * sizeof(real), &call.interrupt,
            call.are_long)


cdef void export_outputs(
    const Net* net, const Block* block, const real* arena, real* output,
) noexcept nogil:
    """A segment's y out of the arena, into [n][S][K]; zeros after a sample's end."""
    cdef Py_ssize_t first = block.first if net.sequences else 0
    cdef Py_ssize_t stop = end_of_segment(net, block) if net.sequences else 1, s, t
    cdef real* target
    for s in range(block.n):
        for t in range(first, stop):
            target = output + (block.sample[s] * net.S + t) * net.K
            if t < block.length[s]:
                memcpy(target, arena + net.y + y_place(net, t, s), net.K * sizeof(real))
            else:
                memset(target, 0, net.K * sizeof(real))


cdef void export_hidden(
    const Net* net, const Block* block, real* arena, real* hidden,
) noexcept nogil:
    """A segment's hidden states of the top layer, into [n][T][D * H]; zeros after a sample's end."""
    cdef const Cell* cell
    cdef Py_ssize_t direction, s, t, step
    cdef real* target
    for direction in range(net.D):
        cell = &net.cells[net.n_cells - net.D + direction]
        for s in range(block.n):
            for t in range(block.first, end_of_segment(net, block)):
                target = hidden + ((block.sample[s] * net.T + t) * net.D + direction) * net.H
                if t < block.length[s]:
                    step = step_of(cell, t, block.length[s])
                    memcpy(target, h_at(net, cell, step + 1, arena) + s * cell.h_row,
                           net.H * sizeof(real))
                else:
                    memset(target, 0, net.H * sizeof(real))


cdef void export_gates(
    const Net* net, Py_ssize_t n_samples, const Block* block, real* arena, real* traces,
) noexcept nogil:
    """A segment's gates, cell and hidden states into [i, f, g, o, c, h][cell][n][T][H], by time."""
    cdef const Cell* cell
    cdef Py_ssize_t index, number, s, t, step, unit, gate
    cdef Py_ssize_t trace_size = net.n_cells * n_samples * net.T * net.H
    cdef const real* gates
    cdef real* target
    cdef Tile tile
    for index in range(net.n_cells):
        cell = &net.cells[index]
        for s in range(block.n):
            for t in range(block.first, min(block.stop, block.length[s])):
                step = step_of(cell, t, block.length[s])
                target = traces + ((index * n_samples + block.sample[s]) * net.T + t) * net.H
                for number in range(net.n_tiles):
                    tile = tile_at(net, number)
                    gates = (z_at(net, cell, &tile, step, arena) + s // tile.samples * 4 * net.lanes
                             + s % tile.samples * tile.units)
                    for gate in range(4):
                        for unit in range(min(tile.units, net.H - tile.first)):
                            target[gate * trace_size + tile.first + unit] = (
                                gates[gate * net.lanes + unit])
                get_units(net, s, c_at(net, cell, step + 1, arena), target + 4 * trace_size)
                memcpy(target + 5 * trace_size, h_at(net, cell, step + 1, arena) + s * cell.h_row,
                       net.H * sizeof(real))


cdef void save_final_states(
    const Net* net, const Batch* batch, const Block* block, real* arena, real* h, real* c,
) noexcept nogil:
    """The states after each sample's last step, into [cell][n_states][H]."""
    cdef const Cell* cell
    cdef Py_ssize_t index
    for index in range(net.n_cells):
        cell = &net.cells[index]
        save_states(net, cell, h_at(net, cell, block.n_steps, arena), cell.h_row, batch.n_states,
                    block, h)
        save_cell_states(net, cell, c_at(net, cell, block.n_steps, arena), batch.n_states, block,
                         c)


cdef void forward_task(Call* call, Py_ssize_t number, real* arena) noexcept nogil:
    """One block of `forward`: what is asked for is copied out of the arena."""
    cdef const Net* net = call.net
    cdef const Results* results = &call.results
    cdef Block block
    if interrupted(&call.interrupt):
        return
    open_block(net, call.batch, number * net.block, &call.interrupt, &block)
    load_first_states(net, call.batch, &block, arena)
    while next_segment(net, &block) and not is_interrupted(&call.interrupt):
        forward_segment(net, <const real*> call.packed, call.batch, &block, arena)
        if net.sequences or block.stop == block.n_steps:
            export_outputs(net, &block, arena, <real*> results.output)
        if results.hidden != NULL:
            export_hidden(net, &block, arena, <real*> results.hidden)
        if results.traces != NULL:
            export_gates(net, call.batch.n, &block, arena, <real*> results.traces)
    if results.h_n != NULL:
        save_final_states(net, call.batch, &block, arena, <real*> results.h_n, <real*> results.c_n)


cdef Results results_of(
    real[:, :, ::1] output, real[:, :, ::1] hidden, real[:, :, ::1] h_n, real[:, :, ::1] c_n,
    real[:, :, :, :, ::1] traces,
) noexcept:
    """All but `output` may be None."""
    cdef Results results
    results.output = &output[0, 0, 0]
    results.hidden = <void*> &hidden[0, 0, 0] if hidden is not None else NULL
    results.h_n = <void*> &h_n[0, 0, 0] if h_n is not None else NULL
    results.c_n = <void*> &c_n[0, 0, 0] if c_n is not None else NULL
    results.traces = <void*> &traces[0, 0, 0, 0, 0] if traces is not None else NULL
    return results


def forward(
    const real[::1] params, X, scaling, dimensions, const int64_t[::1] order,
    const int64_t[::1] lengths, tuple states, real[:, :, ::1] output, real[:, :, ::1] hidden,
    tuple final_states, real[:, :, :, :, ::1] traces, int n_threads,
):
    """Fill output (n, S, K) and, unless they are None, the other arrays that it is given to fill.

    These are hidden (n, T, D * H), final_states, h and c (n_cells, n, H), and traces (6, n_cells, n, T,
    H), zeros before: i, f, g, o, c and h at each time step. order (n,), a permutation: how samples are
    put into blocks; lengths (n,); states, h and c (n_cells, n, H), those before the first step. All of
    these may be None, and of the pairs either array.
    """
    cdef const real[:, :, ::1] h0 = states[0], c0 = states[1]
    cdef real[:, :, ::1] h_n = final_states[0], c_n = final_states[1]
    cdef Room room = ALL_STEPS if hidden is not None or traces is not None else LATEST_STEP
    cdef Batch batch = batch_of[real](X, scaling, order, lengths, h0, c0)
    cdef Plan plan = plan_of(dimensions, X.shape[0], X.shape[1], sizeof(real), room,
                             ragged=lengths is not None, dropout=None, row_step=row_step_of(&batch))
    cdef Call call
    open_call(&call, plan, &batch, batch.n, n_threads)
    call.results = results_of[real](output, hidden, h_n, c_n, traces)
    with nogil:
        pack_parameters(&plan.net, &params[0], <real*> plan.packed, room)
        run_tasks(forward_task[real], &call, <real*> call.arenas)
    raise_interrupt(call.interrupt.stop)


cdef void backward_task(Call* call, Py_ssize_t number, real* arena) noexcept nogil:
    """One slot of `backward`: its blocks one after the other."""
    cdef const Net* net = call.net
    cdef const real* packed = <const real*> call.packed
    cdef const Gradients* gradients = &call.gradients
    cdef real* slot = <real*> call.slots + number * net.slot_size
    cdef Py_ssize_t start = number * net.block
    cdef Block block
    while start < call.batch.n and not interrupted(&call.interrupt):
        open_block(net, call.batch, start, &call.interrupt, &block)
        sweep_forward(net, packed, call.batch, &block, gradients, NULL, arena, slot)
        sweep_backward(net, packed, call.batch, &block, gradients, NULL, arena, slot)
        start += call.n_slots * net.block


def backward(
    const real[::1] params, X, scaling, dimensions, const int64_t[::1] lengths, tuple states,
    const real[:, :, ::1] d_output, const real[:, :, ::1] d_hidden, tuple d_final_states,
    real[::1] d_params, real[:, :, ::1] d_X, tuple d_states, int n_threads,
):
    """Fill d_params, d_X and both of d_states from the gradients of output, hidden and final states.

    d_output (n, S, K), d_hidden (n, T, D * H); d_final_states and d_states, those of h and of c, each
    (n_cells, n, H), of the former also None for zeros. The others as for `forward`.
    """
    cdef const real[:, :, ::1] h0 = states[0], c0 = states[1]
    cdef const real[:, :, ::1] d_h_n = d_final_states[0], d_c_n = d_final_states[1]
    cdef real[:, :, ::1] d_h0 = d_states[0], d_c0 = d_states[1]
    cdef Plan plan = plan_of(dimensions, X.shape[0], X.shape[1], sizeof(real), ALL_GRADIENTS,
                             ragged=lengths is not None, dropout=None)
    cdef Batch batch = batch_of[real](X, scaling, None, lengths, h0, c0)
    cdef Call call
    open_call(&call, plan, &batch, batch.n, n_threads)
    call.gradients.d_output = &d_output[0, 0, 0]
    call.gradients.d_hidden = &d_hidden[0, 0, 0]
    call.gradients.d_h_n = <const void*> &d_h_n[0, 0, 0] if d_h_n is not None else NULL
    call.gradients.d_c_n = <const void*> &d_c_n[0, 0, 0] if d_c_n is not None else NULL
    call.gradients.d_X = &d_X[0, 0, 0]
    call.gradients.d_h0 = &d_h0[0, 0, 0]
    call.gradients.d_c0 = &d_c0[0, 0, 0]
    with nogil:
        pack_parameters(&plan.net, &params[0], <real*> plan.packed, ALL_GRADIENTS)
        run_tasks(backward_task[real], &call, <real*> call.arenas)
        collect_gradient(&plan.net, <const real*> call.slots, call.n_slots, &d_params[0])
    raise_interrupt(call.interrupt.stop)


def window_statistics(
    X, const int64_t[::1] lengths, int kind, const uint8_t[::1] scaled, double[:, :, ::1] levels,
    inputs, double[:, :, ::1] reading, targets, double[:, :, ::1] writing, int n_threads,
):
    """Fill levels (2, n, F), center and scale of each window and feature of X, and two more unless None.

    reading (2, n, F) is a `Scaling` by these and then by inputs, mean and deviation (F,). writing
    (2, n, K) is shift and factor from what is learned to the targets: of targets, three arrays (K,), the
    feature whose level each is at, mean and deviation. lengths (n,), or None for T; scaled (F,): whether
    a feature has a level of its own, or None if all have.
    """
    cdef Batch batch = batch_of[double](X, None, None, lengths, None, None)
    cdef Statistics call
    cdef Py_ssize_t n_tasks = padded(batch.n, WINDOWS_AT_ONCE) // WINDOWS_AT_ONCE
    cdef Interrupt interrupt = no_interrupt()
    cdef const int64_t[::1] feature_of
    cdef const double[::1] mean, deviation, target_mean, target_scale
    memset(&call, 0, sizeof(Statistics))
    call.batch, call.kind = &batch, <WindowScaling> kind
    call.T, call.F = X.shape[1], levels.shape[2]
    call.scaled = &scaled[0] if scaled is not None else NULL
    call.center, call.scale = &levels[0, 0, 0], &levels[1, 0, 0]
    if reading is not None:
        mean, deviation = inputs
        call.mean, call.deviation = &mean[0], &deviation[0]
        call.read_center, call.read_factor = &reading[0, 0, 0], &reading[1, 0, 0]
    if writing is not None:
        feature_of, target_mean, target_scale = targets
        call.K, call.feature_of = feature_of.shape[0], &feature_of[0]
        call.target_mean, call.target_scale = &target_mean[0], &target_scale[0]
        call.shift, call.factor = &writing[0, 0, 0], &writing[1, 0, 0]
    n_threads = threads_for(8. * batch.n * call.T * call.F, n_tasks, n_threads)
    with nogil:
        run_in_parallel(
            <void (*)(void*, Py_ssize_t, void*) noexcept nogil> statistics_task, &call, n_tasks,
            n_threads, NULL, 0, &interrupt, False)


# ----------------------------------------------------------------------------------------------------
# Streaming: one sequence, one time step a call
# ----------------------------------------------------------------------------------------------------

@cython.final
cdef class StreamHandle:
    """A network with its weights packed once, and the states of one sequence.

    Its plan has a single time step: the states before it lie where step 0 reads them.
    """
    cdef Plan plan
    cdef bint begun             # whether there is a time step before


cdef void advance(
    const Net* net, const real* packed, const real* x, bint begun, real* y, real* arena,
) noexcept nogil:
    """x (n_features,) to y (K,); the states stay in the arena, in step 0's places.

    So do the last steps' inputs for the highway, where the head reads them.
    """
    cdef const Cell* cell
    cdef const real* inputs = x
    cdef real* own
    cdef real* recent = arena + net.top + net.H
    cdef Py_ssize_t index, n_in = net.cells[0].n_in
    for index in range(net.n_cells):
        cell = &net.cells[index]
        own = xh_at(net, cell, 0, arena) + cell.in_pad - cell.n_in
        if index == 0 and net.mask_missing:
            fill_missing(net.n_features, x, own if begun else NULL, own)
        else:
            memcpy(own, inputs, cell.n_in * sizeof(real))
        if index == 0 and net.highway > 0:
            memmove(recent, recent + n_in, (net.highway - 1) * n_in * sizeof(real))
            memcpy(recent + (net.highway - 1) * n_in, own, n_in * sizeof(real))
        forward_step(net, cell, packed, 0, 1, False, NULL, arena)
        inputs = h_at(net, cell, 1, arena)
    memcpy(arena + net.top, inputs, net.H * sizeof(real))
    head_product(net, packed, 1, arena + net.top, arena + net.y)
    memcpy(y, arena + net.y, net.K * sizeof(real))
    for index in range(net.n_cells):
        cell = &net.cells[index]
        memcpy(h_at(net, cell, 0, arena), h_at(net, cell, 1, arena), net.H * sizeof(real))


def stream_open(const real[::1] params, dimensions):
    """A `StreamHandle` in states of zero, for a network of one direction."""
    cdef StreamHandle handle = StreamHandle()
    handle.plan = plan_of(dimensions, 1, 1, sizeof(real), LATEST_STEP, ragged=False, dropout=None)
    handle.plan.reserve(1, 0)
    pack_parameters(&handle.plan.net, &params[0], <real*> handle.plan.packed, LATEST_STEP)
    return handle


def stream_copy(StreamHandle handle):
    """Another of the same, in the same states."""
    cdef StreamHandle copied = StreamHandle()
    copied.plan = copy_of(handle.plan)
    copied.begun = handle.begun
    return copied


def stream_step(StreamHandle handle, const real[::1] x, real[::1] y):
    """One time step: take x (n_features,), write y (n_outputs,)."""
    advance(&handle.plan.net, <const real*> handle.plan.packed, &x[0], handle.begun, &y[0],
            <real*> handle.plan.arenas)
    handle.begun = True


def stream_states(StreamHandle handle, real[:, ::1] h, real[:, ::1] c, bint put):
    """Copy the states (num_layers, H) in, if `put`, or out; `put` forgets the inputs before."""
    cdef const Net* net = &handle.plan.net
    cdef real* arena = <real*> handle.plan.arenas
    cdef Py_ssize_t index
    cdef real* own_h
    cdef real* own_c
    if put:
        handle.begun = False
        memset(arena + net.top, 0, net.R_pad * sizeof(real))
    for index in range(net.n_cells):
        own_h = h_at(net, &net.cells[index], 0, arena)
        own_c = c_at(net, &net.cells[index], 0, arena)
        if put:
            memcpy(own_h, &h[index, 0], net.H * sizeof(real))
            put_units(net, 0, &c[index, 0], own_c)
        else:
            memcpy(&h[index, 0], own_h, net.H * sizeof(real))
            get_units(net, 0, own_c, &c[index, 0])


# ----------------------------------------------------------------------------------------------------
# Training: gradient of a batch, clipping, update
# ----------------------------------------------------------------------------------------------------

cdef void train_task(Call* call, Py_ssize_t number, real* arena) noexcept nogil:
    """One slot of a batch: loss and gradient of its blocks, one after the other."""
    cdef const Net* net = call.net
    cdef const Batch* batch = call.batch
    cdef const real* packed = <const real*> call.packed
    cdef real* slot = <real*> call.slots + number * net.slot_size
    cdef Py_ssize_t start = number * net.block
    cdef double loss = 0
    cdef Block block
    memset(slot, 0, net.slot_size * sizeof(real))
    while start < batch.n and not interrupted(&call.interrupt):
        open_block(net, batch, start, &call.interrupt, &block)
        sweep_forward(net, packed, batch, &block, &call.gradients, call.targets, arena, slot)
        loss += block_loss(net, &block, arena)
        if batch.stateful:
            save_final_states(net, batch, &block, arena, <real*> batch.h, <real*> batch.c)
        sweep_backward(net, packed, batch, &block, &call.gradients, call.targets, arena, slot)
        start += call.n_slots * net.block
    call.losses[number] = loss


cdef double batch_gradient(Call* call, const real* params, real* packed, real* gradient) noexcept nogil:
    """The loss of the call's batch, its L2 penalty included; fills `gradient`."""
    cdef const Net* net = call.net
    cdef const Targets* targets = call.targets
    cdef double loss = 0
    cdef Py_ssize_t slot
    call.n_slots = call.n_tasks = n_slots_of(net, call.batch.n)
    pack_parameters(net, params, packed, ALL_GRADIENTS)
    run_tasks(train_task[real], call, <real*> call.arenas)
    collect_gradient(net, <const real*> call.slots, call.n_slots, gradient)
    for slot in range(call.n_slots):
        loss += call.losses[slot]
    if targets.objective.alpha > 0:
        loss += l2_penalty(net, params, targets.objective.alpha / targets.total_weight, gradient)
    return loss


def loss_and_gradient(
    const real[::1] params, dimensions, samples, objective, dropout, real[::1] gradient, int n_threads,
):
    """Return the loss of all samples, taken as one batch; fill its gradient.

    `dimensions`, `samples`, `objective` and `dropout` are those of `_options`; `dropout` may be None.
    """
    cdef const int64_t[::1] lengths
    cdef const real[:, :, ::1] y
    cdef const real[::1] weight
    X, scaling, lengths, y, weight = fields_of(samples)
    cdef Plan plan = plan_of(dimensions, X.shape[0], X.shape[1], sizeof(real), ALL_GRADIENTS,
                             ragged=lengths is not None, dropout=dropout)
    cdef Batch batch = batch_of[real](X, scaling, None, lengths, None, None)
    cdef Targets targets = targets_of[real](y, weight, objective)
    cdef Call call
    cdef double value
    open_call(&call, plan, &batch, batch.n, n_threads)
    call.targets = &targets
    with nogil:
        targets.total_weight = weight_of(&batch, <const real*> targets.weight)
        value = batch_gradient(&call, &params[0], <real*> plan.packed, &gradient[0])
    raise_interrupt(call.interrupt.stop)
    return value


def train(
    real[::1] params, dimensions, samples, visits, objective, dropout, clipping, solver,
    const double[::1] learning_rates, state, average, int n_threads,
):
    """One pass over `visits.order` in batches, updating params and state; return the mean loss.

    The arguments but params, learning_rates (n_batches,) and n_threads as `_options` describes them;
    `dropout` and `average` may be None. A batch: gradient, clipping of its values and of its
    norm, update by the solver (Adam has two moments, RMSprop and SGD one) at its own learning rate,
    average of the weights. Its loss is divided by its size times the mean weight of all of `order`. A
    batch whose loss or gradient is not finite ends the pass before its update, and the loss returned is
    nan.
    """
    cdef const int64_t[::1] lengths, order, numbers
    cdef const real[:, :, ::1] y
    cdef const real[::1] weight
    cdef Py_ssize_t batch_size
    cdef real[:, :, :, ::1] states
    cdef real[:, ::1] moments
    cdef int64_t[::1] n_steps
    cdef real[::1] averaged = None
    cdef double decay = 0
    X, scaling, lengths, y, weight = fields_of(samples)
    order, numbers, batch_size, states = fields_of(visits)
    moments, n_steps = fields_of(state)
    if average is not None:
        averaged, decay = fields_of(average)
    cdef Py_ssize_t n_visits = order.shape[0], n_batches = 0
    cdef Plan plan = plan_of(dimensions, min(batch_size, n_visits), X.shape[1], sizeof(real),
                             ALL_GRADIENTS, ragged=lengths is not None, dropout=dropout)
    cdef const Net* net = &plan.net
    cdef Clipping limits = clipping_of(clipping)
    cdef Solver settings = solver_of(solver)
    cdef Batch batch = batch_of[real](X, scaling, order, lengths, None, None)
    cdef Targets targets = targets_of[real](y, weight, objective)
    cdef double mean_weight = weight_of(&batch, <const real*> targets.weight) / n_visits
    cdef double batch_loss, total_loss = 0
    cdef real[::1] gradient = np.empty(net.n_params, np.float32 if real is float else np.float64)
    cdef Call call
    if states is not None:
        batch.stateful = True
        batch.n_states = batch_size
        batch.h, batch.c = <void*> &states[0, 0, 0, 0], <void*> &states[1, 0, 0, 0]
    open_call(&call, plan, &batch, min(batch_size, n_visits), n_threads)
    call.targets = &targets
    with nogil:
        while batch.first_visit < n_visits:
            batch.order = &order[batch.first_visit]
            if numbers is not None:
                batch.numbers = &numbers[batch.first_visit]
            batch.n = min(batch_size, n_visits - batch.first_visit)
            targets.total_weight = batch.n * mean_weight
            batch_loss = batch_gradient(&call, &params[0], <real*> plan.packed, &gradient[0])
            if call.interrupt.stop:
                break
            if not clip_and_update(net, &limits, &settings, learning_rates[n_batches], batch_loss,
                                   &n_steps[0], &gradient[0], &moments[0, 0], &params[0]):
                total_loss = NAN
                break
            if averaged is not None:
                average_weights(&averaged[0], &params[0], net.n_params, decay)
            total_loss += rounded_product(batch_loss, batch.n)
            batch.first_visit += batch.n
            n_batches += 1
    raise_interrupt(call.interrupt.stop)
    return total_loss / n_visits


# ----------------------------------------------------------------------------------------------------
# Training in pieces: slots of a batch wherever its samples are, then the update that `train` makes
# ----------------------------------------------------------------------------------------------------

def slot_layout(dimensions, Py_ssize_t batch_size, Py_ssize_t itemsize):
    """Samples in a block, and the most slots: block k of a batch is in slot k % n_slots."""
    cdef Plan plan = plan_of(dimensions, batch_size, 1, itemsize, ALL_GRADIENTS, ragged=False,
                             dropout=None)
    return plan.net.block, n_slots_of(&plan.net, batch_size)


def slot_gradient(
    const real[::1] params, dimensions, samples, const int64_t[::1] order,
    const int64_t[::1] numbers, Py_ssize_t batch_size, objective, dropout, double total_weight,
    real[::1] gradient,
):
    """Return a slot's part in the loss of a batch, without penalty; fill its part in the gradient.

    order (n,): the samples of the slot's blocks, one block after the other; numbers (n,): those of their
    visits in the pass; batch_size and total_weight: of the whole batch, as for `train`.
    """
    cdef const int64_t[::1] lengths
    cdef const real[:, :, ::1] y
    cdef const real[::1] weight
    X, scaling, lengths, y, weight = fields_of(samples)
    cdef Plan plan = plan_of(dimensions, batch_size, X.shape[1], sizeof(real), ALL_GRADIENTS,
                             ragged=lengths is not None, dropout=dropout)
    cdef Batch batch = batch_of[real](X, scaling, order, lengths, None, None)
    cdef Targets targets = targets_of[real](y, weight, objective)
    cdef Call call
    batch.numbers = &numbers[0]
    targets.total_weight = total_weight
    open_call(&call, plan, &batch, plan.net.block, 1)    # of which there is one slot
    call.targets = &targets
    with nogil:
        pack_parameters(&plan.net, &params[0], <real*> plan.packed, ALL_GRADIENTS)
        run_tasks(train_task[real], &call, <real*> call.arenas)
        collect_gradient(&plan.net, <const real*> call.slots, 1, &gradient[0])
    raise_interrupt(call.interrupt.stop)
    return call.losses[0]


def apply_gradient(
    real[::1] params, dimensions, double loss, real[::1] gradient, double penalty, clipping, solver,
    double learning_rate, state, average,
):
    """What `train` does with a batch's loss and gradient, its slots' sums; return the loss.

    penalty: alpha by the batch's total weight. nan, and no update, if loss or gradient is not finite.
    """
    cdef Plan plan = plan_of(dimensions, 1, 1, sizeof(real), ALL_GRADIENTS, ragged=False,
                             dropout=None)
    cdef Clipping limits = clipping_of(clipping)
    cdef Solver settings = solver_of(solver)
    cdef real[:, ::1] moments
    cdef int64_t[::1] n_steps
    cdef real[::1] averaged
    moments, n_steps = fields_of(state)
    if penalty > 0:
        loss += l2_penalty(&plan.net, &params[0], penalty, &gradient[0])
    if not clip_and_update(&plan.net, &limits, &settings, learning_rate, loss, &n_steps[0],
                           &gradient[0], &moments[0, 0], &params[0]):
        return NAN
    if average is not None:
        averaged, decay = fields_of(average)
        average_weights(&averaged[0], &params[0], plan.net.n_params, <double> decay)
    return loss
