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


# ----------------------------------------------------------------------------------------------------
# One register of hidden units
# ----------------------------------------------------------------------------------------------------

cdef extern from "_simd.h" nogil:
    # To Cython these are numbers; to the C compiler, registers of LANES numbers.
    ctypedef float vec_f
    ctypedef double vec_d
    int LANES_F, LANES_D
    float EXP_LIMIT_F, TANH_LIMIT_F
    double EXP_LIMIT_D, TANH_LIMIT_D
    vec_f clamp_f(vec_f x, float limit)
    vec_d clamp_d(vec_d x, double limit)
    vec_f exp_f(vec_f x)
    vec_d exp_d(vec_d x)
    vec_f expm1_f(vec_f x)
    vec_d expm1_d(vec_d x)

ctypedef fused vec:
    vec_f
    vec_d


cdef inline vec sigmoid(vec x) noexcept nogil:
    # 1 / (1 + e^-x)
    if vec is vec_f:
        return 1 / (1 + exp_f(-clamp_f(x, EXP_LIMIT_F)))
    else:
        return 1 / (1 + exp_d(-clamp_d(x, EXP_LIMIT_D)))


cdef inline vec tanh(vec x) noexcept nogil:
    # (e^2x - 1) / (e^2x + 1), by expm1: accurate around 0 as well
    cdef vec e
    if vec is vec_f:
        e = expm1_f(2 * clamp_f(x, TANH_LIMIT_F))
    else:
        e = expm1_d(2 * clamp_d(x, TANH_LIMIT_D))
    return e / (e + 2)


cdef inline void cell_forward(vec* z, const vec* c_prev, vec* c) noexcept nogil:
    """One time step of one tile: z (i, f, g, o) in, the gates' values in its place; c_t out."""
    cdef vec i = sigmoid(z[0])      # input gate
    cdef vec f = sigmoid(z[1])      # forget gate
    cdef vec g = tanh(z[2])         # candidate: the new memory
    cdef vec o = sigmoid(z[3])      # output gate
    c[0] = f * c_prev[0] + i * g
    z[0] = i
    z[1] = f
    z[2] = g
    z[3] = o


cdef inline void hidden_forward(const vec* z, const vec* c, vec* h) noexcept nogil:
    """And h_t: apart, for a chain of operations half as long lets the processor overlap more of them."""
    h[0] = z[3] * tanh(c[0])


cdef inline void cell_backward(
    vec* z, const vec* c_prev, const vec* c, const vec* dh, vec* dc, vec* db
) noexcept nogil:
    """The same step backwards: gates in, dz in their place; dc goes from step t to t - 1; db grows."""
    cdef vec i = z[0]
    cdef vec f = z[1]
    cdef vec g = z[2]
    cdef vec o = z[3]
    cdef vec tanh_c = tanh(c[0])
    cdef vec d_o = dh[0] * tanh_c
    cdef vec d_c = dc[0] + dh[0] * o * (1 - tanh_c * tanh_c)
    cdef vec d_i = d_c * g
    cdef vec d_f = d_c * c_prev[0]
    cdef vec d_g = d_c * i
    dc[0] = d_c * f
    z[0] = d_i * i * (1 - i)
    z[1] = d_f * f * (1 - f)
    z[2] = d_g * (1 - g * g)
    z[3] = d_o * o * (1 - o)
    db[0] += z[0]
    db[1] += z[1]
    db[2] += z[2]
    db[3] += z[3]


# The kernels below hold plain pointers to real; here they become pointers to registers.

cdef inline void cell_forward_at(real* z, real* c_prev, real* c) noexcept nogil:
    if real is float:
        cell_forward(<vec_f*> z, <const vec_f*> c_prev, <vec_f*> c)
    else:
        cell_forward(<vec_d*> z, <const vec_d*> c_prev, <vec_d*> c)


cdef inline void hidden_forward_at(real* z, real* c, real* h) noexcept nogil:
    if real is float:
        hidden_forward(<const vec_f*> z, <const vec_f*> c, <vec_f*> h)
    else:
        hidden_forward(<const vec_d*> z, <const vec_d*> c, <vec_d*> h)


cdef inline void cell_backward_at(
    real* z, real* c_prev, real* c, real* dh, real* dc, real* db
) noexcept nogil:
    if real is float:
        cell_backward(<vec_f*> z, <const vec_f*> c_prev, <const vec_f*> c,
                      <const vec_f*> dh, <vec_f*> dc, <vec_f*> db)
    else:
        cell_backward(<vec_d*> z, <const vec_d*> c_prev, <const vec_d*> c,
                      <const vec_d*> dh, <vec_d*> dc, <vec_d*> db)


# ----------------------------------------------------------------------------------------------------
# Matrix products on packed panels (the tile machinery itself is in _product.h)
# ----------------------------------------------------------------------------------------------------

cdef extern from * nogil:
    """
    #include "_simd.h"
    #define REAL float
    #define VEC vec_f
    #define NAME(x) x##_f
    #include "_product.h"
    #undef REAL
    #undef VEC
    #undef NAME
    #define REAL double
    #define VEC vec_d
    #define NAME(x) x##_d
    #include "_product.h"
    #undef REAL
    #undef VEC
    #undef NAME
    """
    void product_f(
        Py_ssize_t width, Py_ssize_t M, Py_ssize_t n_segments, Py_ssize_t K,
        const float* A, Py_ssize_t a_row, Py_ssize_t a_col, Py_ssize_t a_segment,
        const float* B, Py_ssize_t b_row, Py_ssize_t b_segment,
        const float* init, Py_ssize_t init_row, float* C, Py_ssize_t c_row)
    void product_d(
        Py_ssize_t width, Py_ssize_t M, Py_ssize_t n_segments, Py_ssize_t K,
        const double* A, Py_ssize_t a_row, Py_ssize_t a_col, Py_ssize_t a_segment,
        const double* B, Py_ssize_t b_row, Py_ssize_t b_segment,
        const double* init, Py_ssize_t init_row, double* C, Py_ssize_t c_row)
    void row_product_f(
        Py_ssize_t n_panels, Py_ssize_t K, const float* A, const float* B, Py_ssize_t b_row,
        Py_ssize_t b_panel, const float* init, Py_ssize_t init_panel, float* C, Py_ssize_t c_panel)
    void row_product_d(
        Py_ssize_t n_panels, Py_ssize_t K, const double* A, const double* B, Py_ssize_t b_row,
        Py_ssize_t b_panel, const double* init, Py_ssize_t init_panel, double* C, Py_ssize_t c_panel)


cdef inline Py_ssize_t padded(Py_ssize_t n, Py_ssize_t unit) noexcept nogil:
    return (n + unit - 1) // unit * unit


# A panel is this many registers wide (the last one of a matrix may be narrower).
cdef enum:
    PANEL = 4


cdef inline void product(
    Py_ssize_t width, Py_ssize_t M, Py_ssize_t n_segments, Py_ssize_t K,
    const real* A, Py_ssize_t a_row, Py_ssize_t a_col, Py_ssize_t a_segment,
    const real* B, Py_ssize_t b_row, Py_ssize_t b_segment,
    const real* init, Py_ssize_t init_row, real* C, Py_ssize_t c_row,
) noexcept nogil:
    """C = init + sum over segments of A B, for one panel of B."""
    if real is float:
        product_f(width, M, n_segments, K, A, a_row, a_col, a_segment, B, b_row, b_segment,
                  init, init_row, C, c_row)
    else:
        product_d(width, M, n_segments, K, A, a_row, a_col, a_segment, B, b_row, b_segment,
                  init, init_row, C, c_row)


cdef inline void row_product(
    Py_ssize_t n_panels, Py_ssize_t K, const real* A, const real* B, Py_ssize_t b_row,
    Py_ssize_t b_panel, const real* init, Py_ssize_t init_panel, real* C, Py_ssize_t c_panel,
) noexcept nogil:
    """C = init + A B for a single row A and several panels of B."""
    if real is float:
        row_product_f(n_panels, K, A, B, b_row, b_panel, init, init_panel, C, c_panel)
    else:
        row_product_d(n_panels, K, A, B, b_row, b_panel, init, init_panel, C, c_panel)


cdef void packed_product(
    Py_ssize_t lanes, Py_ssize_t n_registers, Py_ssize_t M, Py_ssize_t n_segments, Py_ssize_t K,
    const real* A, Py_ssize_t a_row, Py_ssize_t a_segment,
    const real* B, const real* init, real* C, Py_ssize_t c_row,
) noexcept nogil:
    """Rows of C = init + A B for a whole packed matrix B: [panel][n_segments * K][width * L]."""
    cdef Py_ssize_t panel, first, width
    for panel in range(padded(n_registers, PANEL) // PANEL):
        first = panel * PANEL
        width = min(PANEL, n_registers - first)
        product(width, M, n_segments, K, A, a_row, 1, a_segment,
                B + first * lanes * n_segments * K, width * lanes, K * width * lanes,
                init + first * lanes if init != NULL else NULL, 0, C + first * lanes, c_row)


cdef inline Py_ssize_t packed_index(
    Py_ssize_t lanes, Py_ssize_t n_registers, Py_ssize_t n_rows, Py_ssize_t row, Py_ssize_t column,
) noexcept nogil:
    """Where element (row, column) of a matrix packed for `packed_product` lies."""
    cdef Py_ssize_t first = column // lanes // PANEL * PANEL
    cdef Py_ssize_t width = min(PANEL, n_registers - first)
    return first * lanes * n_rows + row * width * lanes + column - first * lanes


# ----------------------------------------------------------------------------------------------------
# The network's dimensions, and where each array lies
# ----------------------------------------------------------------------------------------------------

# The batch is cut into blocks of this many samples: enough rows to fill the product's tiles, few enough
# that a block's activations stay in cache. Wide layers stream their weights past a block at each step
# and want more of them. Block gradients are collected in at most MAX_SLOTS places.
cdef enum:
    NARROW_BLOCK = 16
    WIDE_BLOCK = 32
    WIDE_HIDDEN_SIZE = 96
    MAX_SLOTS = 32
    CACHED_BYTES = 262144       # dz of so many bytes is turned into weight gradients at a time
    CACHE_LINE = 64


cdef struct Cell:
    # One direction of one layer. A reverse cell's steps go from the last time step to the first.
    bint reverse
    Py_ssize_t direction
    Py_ssize_t n_in             # inputs: features, or hidden units of the layer below
    Py_ssize_t in_pad           # n_in padded to whole registers
    Py_ssize_t row              # length of an [x_t, h_{t-1}] row, in_pad + Hp; x right-aligned before h
    # in the flat parameter vector
    Py_ssize_t W                # (n_in, 4H)
    Py_ssize_t U                # (H, 4H)
    Py_ssize_t b                # (4H,)
    # among the packed weights, and equally among a slot's gradients
    Py_ssize_t packed_WU        # [tile][n_in + H][gate][L]
    Py_ssize_t packed_b         # [tile][gate][L]
    # among the packed weights: transposed, rows in the order of dz
    Py_ssize_t packed_Ut        # [panel][tile][gate][L][width * L]: 4Hp rows, Hp columns
    Py_ssize_t packed_Wt        # [panel][tile][gate][L][width * L]: 4Hp rows, in_pad columns
    # in a thread's arena; the steps kept are T (+ 1) or, where nobody looks back, a ring of 1 (2)
    Py_ssize_t xh               # [xh_steps][B][row]
    Py_ssize_t xh_steps
    Py_ssize_t h                # [xh_steps][B], rows h_row apart: those of xh, unless h is dropped there
    Py_ssize_t h_row
    Py_ssize_t c                # [c_steps][B][Hp]
    Py_ssize_t c_steps
    Py_ssize_t z                # [tile][z_steps][B][gate][L]
    Py_ssize_t z_steps


cdef struct Net:
    Py_ssize_t n_cells          # layers times directions; a layer's directions side by side
    Py_ssize_t D                # directions
    Py_ssize_t n_features
    Py_ssize_t H
    Py_ssize_t K
    Py_ssize_t T
    bint sequences              # the head is applied at every time step
    bint mask_missing
    Py_ssize_t lanes            # L
    Py_ssize_t H_pad            # Hp
    Py_ssize_t K_pad            # Kp
    Py_ssize_t DH_pad           # DHp: D * H padded to whole registers
    Py_ssize_t n_tiles
    Py_ssize_t block            # B
    Py_ssize_t chunk            # time steps whose dz become weight gradients together
    # dropout of the outputs of layers, and of h_{t-1} in the recurrence
    uint64_t seed
    double dropout
    double recurrent_dropout
    # in the flat parameter vector
    Py_ssize_t V                # (D * H, K)
    Py_ssize_t d                # (K,)
    Py_ssize_t n_params
    # among the packed weights and a slot's gradients
    Py_ssize_t packed_V         # [panel][D * H][width * L]
    Py_ssize_t packed_d         # [Kp]
    Py_ssize_t slot_size        # all of the above: what a slot's gradient takes
    # among the packed weights
    Py_ssize_t packed_Vt        # [panel][K][width * L]: K rows, DHp columns
    Py_ssize_t packed_size
    # in a thread's arena; S is T if `sequences`, else 1
    Py_ssize_t top              # [S][B][DHp]: what the head reads
    Py_ssize_t y                # [S][B][Kp]
    Py_ssize_t dy               # [S][B][Kp]
    Py_ssize_t d_top            # [B][DHp]
    Py_ssize_t dh               # [B][Hp]
    Py_ssize_t dc               # [B][Hp]
    Py_ssize_t dx               # [B][d_row]
    Py_ssize_t d_outer          # [T][B][d_row]: gradient of a layer's outputs
    Py_ssize_t d_inner          # [T][B][d_row]: that of its inputs; the same area in one direction
    Py_ssize_t d_row
    Py_ssize_t arena_size
    Cell* cells


cdef inline Py_ssize_t take(Py_ssize_t* total, Py_ssize_t n) noexcept nogil:
    """Reserve n elements at the end of an area, from a cache line's start on."""
    cdef Py_ssize_t start = total[0]
    total[0] += padded(n, CACHE_LINE)
    return start


@cython.final
cdef class Plan:
    """Owns a `Net`, the dimensions of one call and the layout of its memory, and that memory."""
    cdef Net net
    cdef void* memory           # as allocated
    cdef void* packed           # [packed_size], on a cache line like the others
    cdef void* slots            # [n_slots][slot_size]
    cdef void* arenas           # [n_threads][arena_size]

    def __cinit__(
        self, tuple dimensions, Py_ssize_t n_timesteps, Py_ssize_t itemsize, bint keep_steps,
        bint backward, bint ragged, uint64_t seed=0, double dropout=0, double recurrent_dropout=0,
    ):
        """Lay the memory out.

        `dimensions`: n_features, hidden_size, num_layers, n_outputs, directions, return_sequences,
        mask_missing. `keep_steps`: the activations of all steps are kept; for `backward` room is made
        for their gradients too. `ragged`: samples may end before step T.
        """
        cdef Net* net = &self.net
        cdef Cell* cell
        cdef Py_ssize_t num_layers, params = 0, packed = 0, arena = 0, index, L, B, T, S, gates
        net.n_features, net.H, num_layers, net.K, net.D, net.sequences, net.mask_missing = dimensions
        net.n_cells = num_layers * net.D
        net.cells = <Cell*> calloc(net.n_cells, sizeof(Cell))
        if net.cells == NULL:
            raise MemoryError()
        net.T = T = n_timesteps
        net.lanes = L = LANES_F if itemsize == sizeof(float) else LANES_D
        net.H_pad = padded(net.H, L)
        net.K_pad = padded(net.K, L)
        net.DH_pad = padded(net.D * net.H, L)
        net.n_tiles = net.H_pad // L
        net.block = B = WIDE_BLOCK if net.H >= WIDE_HIDDEN_SIZE else NARROW_BLOCK
        net.seed, net.dropout, net.recurrent_dropout = seed, dropout, recurrent_dropout
        gates = 4 * net.H_pad
        net.chunk = max(1, CACHED_BYTES // (B * gates * itemsize))

        for index in range(net.n_cells):
            cell = &net.cells[index]
            cell.direction = index % net.D
            cell.reverse = cell.direction == 1
            cell.n_in = net.n_features * (1 + net.mask_missing) if index < net.D else net.D * net.H
            cell.in_pad = padded(cell.n_in, L)
            cell.row = cell.in_pad + net.H_pad
            cell.W = params
            cell.U = cell.W + cell.n_in * 4 * net.H
            cell.b = cell.U + net.H * 4 * net.H
            params = cell.b + 4 * net.H
            cell.packed_WU = take(&packed, gates * (cell.n_in + net.H))
            cell.packed_b = take(&packed, gates)
            # Hidden states are read again: by the layer above, by a head at every step, by BPTT. Inputs
            # with missing values are loaded for all steps at once.
            if keep_steps or index < net.n_cells - net.D or net.sequences or net.mask_missing:
                cell.xh_steps = T + 1
            else:
                cell.xh_steps = 2
            cell.c_steps = T + 1 if keep_steps else 2 if ragged else 1
            cell.z_steps = T if keep_steps else 1
            cell.xh = take(&arena, cell.xh_steps * B * cell.row)
            if recurrent_dropout > 0:
                cell.h, cell.h_row = take(&arena, cell.xh_steps * B * net.H_pad), net.H_pad
            else:
                cell.h, cell.h_row = cell.xh + cell.in_pad, cell.row
            cell.c = take(&arena, cell.c_steps * B * net.H_pad)
            cell.z = take(&arena, cell.z_steps * B * gates)
        net.V = params
        net.d = net.V + net.D * net.H * net.K
        net.n_params = net.d + net.K
        net.packed_V = take(&packed, net.D * net.H * net.K_pad)
        net.packed_d = take(&packed, net.K_pad)
        net.slot_size = packed

        S = T if net.sequences else 1
        net.top = take(&arena, S * B * net.DH_pad)
        net.y = take(&arena, S * B * net.K_pad)
        if backward:
            for index in range(net.n_cells):
                cell = &net.cells[index]
                cell.packed_Ut = take(&packed, gates * net.H_pad)
                cell.packed_Wt = take(&packed, gates * cell.in_pad)
            net.packed_Vt = take(&packed, net.K * net.DH_pad)
            net.dy = take(&arena, S * B * net.K_pad)
            net.d_top = take(&arena, B * net.DH_pad)
            net.dh = take(&arena, B * net.H_pad)
            net.dc = take(&arena, B * net.H_pad)
            net.d_row = max(net.DH_pad, net.cells[0].in_pad)
            net.d_outer = net.d_inner = take(&arena, T * B * net.d_row)
            if net.D == 2:
                net.d_inner = take(&arena, T * B * net.d_row)
                net.dx = take(&arena, B * net.d_row)
        net.packed_size = packed
        net.arena_size = arena

    cdef int reserve(self, Py_ssize_t n_threads, Py_ssize_t n_slots, size_t itemsize) except -1:
        """Take the memory, all zeros: what is never written, the padding, stays zero."""
        cdef size_t packed = self.net.packed_size * itemsize
        cdef size_t slots = n_slots * self.net.slot_size * itemsize
        cdef size_t arenas = n_threads * self.net.arena_size * itemsize
        self.memory = zeroed_memory(packed + slots + arenas + CACHE_LINE)
        if self.memory == NULL:
            raise MemoryError()
        self.packed = <char*> self.memory + CACHE_LINE - <uintptr_t> self.memory % CACHE_LINE
        self.slots = <char*> self.packed + packed
        self.arenas = <char*> self.slots + slots
        return 0

    def __dealloc__(self):
        free(self.memory)
        free(self.net.cells)


cdef Py_ssize_t n_blocks_of(const Net* net, Py_ssize_t n_samples) noexcept nogil:
    return padded(n_samples, net.block) // net.block


cdef Py_ssize_t n_slots_of(const Net* net, Py_ssize_t n_samples) noexcept nogil:
    return min(n_blocks_of(net, n_samples), MAX_SLOTS)


# ----------------------------------------------------------------------------------------------------
# Batches and blocks: which samples, how long, from which states
# ----------------------------------------------------------------------------------------------------

cdef struct Batch:
    # What the samples of a call are read from. The caller's arrays, of the call's type.
    const char* X               # (n_samples, T, F), by strides in bytes
    Py_ssize_t sample_stride
    Py_ssize_t time_stride
    Py_ssize_t feature_stride
    const int64_t* order        # [n]: the sample of each visit; NULL: the visit's own number
    Py_ssize_t n                # visits
    Py_ssize_t first_visit      # number of the first one within its call
    const int64_t* numbers      # [n]: numbers of the visits, if they are not consecutive
    const int64_t* lengths      # [n_samples]: steps of each sample; NULL: T
    void* h                     # [cell][n_states][H]: states before the first step; NULL: zeros
    void* c
    Py_ssize_t n_states
    bint stateful               # states belong to places in the batch and are carried to the next batch


cdef struct Block:
    Py_ssize_t start            # its first visit's place in the batch
    Py_ssize_t n                # samples
    Py_ssize_t n_steps          # of the longest
    bint ragged                 # some are shorter
    Py_ssize_t sample[WIDE_BLOCK]
    Py_ssize_t length[WIDE_BLOCK]
    Py_ssize_t state[WIDE_BLOCK]    # row of the states


cdef Batch batch_of(
    const real[:, :, :] X, const int64_t[::1] order, const int64_t[::1] lengths,
    const real[:, :, ::1] h0, const real[:, :, ::1] c0,
) noexcept:
    """All but X may be None: samples in their order, T steps each, from states of zero."""
    cdef Batch batch
    memset(&batch, 0, sizeof(Batch))
    batch.X = <const char*> &X[0, 0, 0]
    batch.sample_stride = X.strides[0]
    batch.time_stride = X.strides[1]
    batch.feature_stride = X.strides[2]
    batch.n = batch.n_states = X.shape[0]
    if order is not None:
        batch.order = &order[0]
        batch.n = order.shape[0]
    if lengths is not None:
        batch.lengths = &lengths[0]
    if h0 is not None:
        batch.h = <void*> &h0[0, 0, 0]     # never written: the batch is not stateful
    if c0 is not None:
        batch.c = <void*> &c0[0, 0, 0]
    return batch


cdef void open_block(
    const Net* net, const Batch* batch, Py_ssize_t start, Block* block,
) noexcept nogil:
    cdef Py_ssize_t s, sample
    block.start = start
    block.n = min(net.block, batch.n - start)
    block.n_steps = 0
    for s in range(block.n):
        sample = batch.order[start + s] if batch.order != NULL else start + s
        block.sample[s] = sample
        block.length[s] = batch.lengths[sample] if batch.lengths != NULL else net.T
        block.state[s] = start + s if batch.stateful else sample
        block.n_steps = max(block.n_steps, block.length[s])
    block.ragged = False
    for s in range(block.n):
        block.ragged = block.ragged or block.length[s] < block.n_steps


cdef inline Py_ssize_t step_of(const Cell* cell, Py_ssize_t t, Py_ssize_t length) noexcept nogil:
    """The cell's step at which it reads time step t; equally the time step it reads at step t."""
    return length - 1 - t if cell.reverse else t


# ----------------------------------------------------------------------------------------------------
# Dropout: each multiplier is a hash of what it stands for, so nobody has to keep it
# ----------------------------------------------------------------------------------------------------

cdef enum MaskKind:
    OUTPUT_MASK = 0             # of a layer's output, for who reads it; another at each time step
    RECURRENT_MASK = 1          # of h_{t-1} (Gal & Ghahramani 2016); the same at all time steps


cdef inline uint64_t mix(uint64_t x) noexcept nogil:
    # the finaliser of SplitMix64 (Steele, Lea & Flood 2014)
    x = (x ^ (x >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t> 0x94D049BB133111EB
    return x ^ (x >> 31)


cdef void drop(
    const Net* net, const Batch* batch, const Block* block, Py_ssize_t s, Py_ssize_t index,
    MaskKind kind, Py_ssize_t t, real* h,
) noexcept nogil:
    """Multiply h (H,), or its gradient, by 0 or by 1 / (1 - rate)."""
    cdef double rate = net.recurrent_dropout if kind == RECURRENT_MASK else net.dropout
    cdef Py_ssize_t place = block.start + s
    cdef uint64_t visit = (batch.numbers[place] if batch.numbers != NULL
                           else batch.first_visit + place)
    cdef uint64_t site = (<uint64_t> (2 * index + kind) << 32) + t
    cdef uint64_t key = mix(mix(mix(net.seed) + visit) + site)
    cdef uint32_t low = <uint32_t> key, high = <uint32_t> (key >> 32), u
    cdef uint32_t threshold = <uint32_t> (rate * 4294967296.)
    cdef real scale = <real> (1 / (1 - rate))
    cdef Py_ssize_t j
    for j in range(net.H):                                      # hidden units
        u = low + <uint32_t> j * <uint32_t> 0x9E3779B9
        u = (u ^ (u >> 16)) * <uint32_t> 0x7FEB352D ^ high
        u = (u ^ (u >> 15)) * <uint32_t> 0x846CA68B
        u ^= u >> 16
        h[j] = scale * h[j] if u >= threshold else 0


# ----------------------------------------------------------------------------------------------------
# Packing: from the flat parameter vector to the kernels' order, and gradients back
# ----------------------------------------------------------------------------------------------------

cdef inline void copy_units(const real* source, real* target, Py_ssize_t n) noexcept nogil:
    """At most a register of numbers; a whole one, of known size, is a single move."""
    if real is float:
        if n == LANES_F:
            memcpy(target, source, LANES_F * sizeof(real))
            return
    else:
        if n == LANES_D:
            memcpy(target, source, LANES_D * sizeof(real))
            return
    memcpy(target, source, n * sizeof(real))


cdef void pack_gates(
    const Net* net, const real* source, Py_ssize_t n_rows, real* target, Py_ssize_t tile_size,
) noexcept nogil:
    """(n_rows, 4H) into [tile][n_rows][gate][L], tiles being tile_size apart."""
    cdef Py_ssize_t L = net.lanes, tile, row, gate, n
    for tile in range(net.n_tiles):
        n = min(L, net.H - tile * L)
        for row in range(n_rows):
            for gate in range(4):
                copy_units(source + (row * 4 + gate) * net.H + tile * L,
                           target + tile * tile_size + (row * 4 + gate) * L, n)


cdef void pack_gates_transposed(
    const Net* net, const real* source, Py_ssize_t n_rows, real* target,
) noexcept nogil:
    """(n_rows, 4H) into its transpose: 4Hp rows in the order of dz, n_rows columns, packed in panels."""
    cdef Py_ssize_t L = net.lanes, n_registers = padded(n_rows, L) // L, row, gate, unit, dz_row
    for row in range(n_rows):
        for gate in range(4):
            for unit in range(net.H):
                dz_row = (unit // L * 4 + gate) * L + unit % L
                target[packed_index(L, n_registers, 4 * net.H_pad, dz_row, row)] = (
                    source[(row * 4 + gate) * net.H + unit])


cdef void pack_parameters(
    const Net* net, const real* params, real* packed, bint backward,
) noexcept nogil:
    """All weights, into a packed area whose padding is zero already."""
    cdef const Cell* cell
    cdef Py_ssize_t L = net.lanes, DH = net.D * net.H, index, tile_size, j, k
    for index in range(net.n_cells):
        cell = &net.cells[index]
        tile_size = (cell.n_in + net.H) * 4 * L
        pack_gates(net, params + cell.W, cell.n_in, packed + cell.packed_WU, tile_size)
        pack_gates(net, params + cell.U, net.H,
                   packed + cell.packed_WU + cell.n_in * 4 * L, tile_size)
        pack_gates(net, params + cell.b, 1, packed + cell.packed_b, 4 * L)
        if backward:
            pack_gates_transposed(net, params + cell.U, net.H, packed + cell.packed_Ut)
            pack_gates_transposed(net, params + cell.W, cell.n_in, packed + cell.packed_Wt)
    for j in range(DH):
        for k in range(net.K):
            packed[net.packed_V + packed_index(L, net.K_pad // L, DH, j, k)] = (
                params[net.V + j * net.K + k])
            if backward:
                packed[net.packed_Vt + packed_index(L, net.DH_pad // L, net.K, k, j)] = (
                    params[net.V + j * net.K + k])
    memcpy(packed + net.packed_d, params + net.d, net.K * sizeof(real))


cdef void add_gates(
    const Net* net, const real* source, Py_ssize_t tile_size, Py_ssize_t n_rows, real* target,
) noexcept nogil:
    """The inverse of `pack_gates`, added to what is there."""
    cdef Py_ssize_t L = net.lanes, tile, row, gate, lane
    cdef const real* tile_row
    cdef real* target_row
    for tile in range(net.n_tiles):
        for row in range(n_rows):
            for gate in range(4):
                tile_row = source + tile * tile_size + (row * 4 + gate) * L
                target_row = target + (row * 4 + gate) * net.H + tile * L
                for lane in range(min(L, net.H - tile * L)):
                    target_row[lane] += tile_row[lane]


cdef void collect_gradient(
    const Net* net, const real* slots, Py_ssize_t n_slots, real* gradient,
) noexcept nogil:
    """The slots' gradients, added in the order of the slots, in the order of the flat parameters."""
    cdef const Cell* cell
    cdef const real* slot
    cdef Py_ssize_t L = net.lanes, DH = net.D * net.H, s, index, tile_size, j, k
    memset(gradient, 0, net.n_params * sizeof(real))
    for s in range(n_slots):
        slot = slots + s * net.slot_size
        for index in range(net.n_cells):
            cell = &net.cells[index]
            tile_size = (cell.n_in + net.H) * 4 * L
            add_gates(net, slot + cell.packed_WU, tile_size, cell.n_in, gradient + cell.W)
            add_gates(net, slot + cell.packed_WU + cell.n_in * 4 * L, tile_size, net.H,
                      gradient + cell.U)
            add_gates(net, slot + cell.packed_b, 4 * L, 1, gradient + cell.b)
        for j in range(DH):
            for k in range(net.K):
                gradient[net.V + j * net.K + k] += (
                    slot[net.packed_V + packed_index(L, net.K_pad // L, DH, j, k)])
        for k in range(net.K):
            gradient[net.d + k] += slot[net.packed_d + k]


# ----------------------------------------------------------------------------------------------------
# Forward: a block of samples through all layers and all time steps
# ----------------------------------------------------------------------------------------------------

cdef inline real* xh_at(const Net* net, const Cell* cell, Py_ssize_t step, real* arena) noexcept nogil:
    """The rows [x, h] that the cell's step reads: (B, row), x starting in_pad - n_in into a row."""
    return arena + cell.xh + (step % cell.xh_steps) * net.block * cell.row


cdef inline real* h_at(const Net* net, const Cell* cell, Py_ssize_t step, real* arena) noexcept nogil:
    """The hidden states before the cell's step, rows h_row apart; those after it are at step + 1."""
    return arena + cell.h + (step % cell.xh_steps) * net.block * cell.h_row


cdef inline real* c_at(const Net* net, const Cell* cell, Py_ssize_t step, real* arena) noexcept nogil:
    """The cell states before the cell's step, (B, Hp)."""
    return arena + cell.c + (step % cell.c_steps) * net.block * net.H_pad


cdef void load_states(
    const Net* net, const real* states, Py_ssize_t n_states, Py_ssize_t index, const Block* block,
    real* target, Py_ssize_t target_row,
) noexcept nogil:
    """States [cell][n_states][H] of one cell into the block's rows; zeros where there are none."""
    cdef Py_ssize_t s
    for s in range(block.n):
        memset(target + s * target_row, 0, net.H_pad * sizeof(real))
        if states != NULL:
            memcpy(target + s * target_row,
                   states + (index * n_states + block.state[s]) * net.H, net.H * sizeof(real))


cdef void save_states(
    const Net* net, const real* source, Py_ssize_t source_row, Py_ssize_t n_states, Py_ssize_t index,
    const Block* block, real* states,
) noexcept nogil:
    """The inverse of `load_states`."""
    cdef Py_ssize_t s
    for s in range(block.n):
        memcpy(states + (index * n_states + block.state[s]) * net.H, source + s * source_row,
               net.H * sizeof(real))


cdef void load_features(
    const Net* net, const Cell* cell, const Batch* batch, const Block* block, Py_ssize_t step,
    real* arena,
) noexcept nogil:
    """x of the first layer, gathered from X; zeros after a sample's end."""
    cdef real* x = xh_at(net, cell, step, arena) + cell.in_pad - cell.n_in
    cdef const char* source
    cdef Py_ssize_t s, feature
    for s in range(block.n):
        if step >= block.length[s]:
            memset(x + s * cell.row, 0, cell.n_in * sizeof(real))
            continue
        source = (batch.X + block.sample[s] * batch.sample_stride
                  + step_of(cell, step, block.length[s]) * batch.time_stride)
        if batch.feature_stride == sizeof(real) and net.n_features > 2:     # one call for all
            memcpy(x + s * cell.row, source, net.n_features * sizeof(real))
        else:
            for feature in range(net.n_features):
                x[s * cell.row + feature] = (<const real*> (source + feature * batch.feature_stride))[0]


cdef inline void observe(
    Py_ssize_t n_features, const char* source, Py_ssize_t stride, const real* last, real* x,
) noexcept nogil:
    """x = [observed values, or else the last ones; 1 for a missing value, 0 for one observed].

    After Lipton, Kale & Wetzel (2016) and Che et al. (2018). `last` is the x of the time step before,
    or NULL at the first.
    """
    cdef Py_ssize_t feature
    cdef real value
    for feature in range(n_features):
        value = (<const real*> (source + feature * stride))[0]
        x[n_features + feature] = isnan(value)
        if isnan(value):
            value = last[feature] if last != NULL else 0
        x[feature] = value


cdef void load_masked_features(
    const Net* net, const Cell* cell, const Batch* batch, const Block* block, real* arena,
) noexcept nogil:
    """x of the first layer at all its steps, in the order of time, in which values are carried on."""
    cdef Py_ssize_t s, t, step, offset
    cdef const real* last
    cdef real* x
    for s in range(block.n):
        offset = s * cell.row + cell.in_pad - cell.n_in
        last = NULL
        for t in range(block.length[s]):                        # time steps
            x = xh_at(net, cell, step_of(cell, t, block.length[s]), arena) + offset
            observe(net.n_features,
                    batch.X + block.sample[s] * batch.sample_stride + t * batch.time_stride,
                    batch.feature_stride, last, x)
            last = x
        for step in range(block.length[s], block.n_steps):
            memset(xh_at(net, cell, step, arena) + offset, 0, cell.n_in * sizeof(real))


cdef void load_outputs(
    const Net* net, Py_ssize_t layer, const Batch* batch, const Block* block, Py_ssize_t s,
    Py_ssize_t t, real* target, real* arena,
) noexcept nogil:
    """What a layer puts out at time step t of sample s, (D * H,): each direction's h_t, with dropout."""
    cdef const Cell* cell
    cdef Py_ssize_t direction, index, step
    for direction in range(net.D):
        index = layer * net.D + direction
        cell = &net.cells[index]
        step = step_of(cell, t, block.length[s])
        memcpy(target + direction * net.H,
               h_at(net, cell, step + 1, arena) + s * cell.h_row, net.H * sizeof(real))
        if net.dropout > 0:
            drop(net, batch, block, s, index, OUTPUT_MASK, t, target + direction * net.H)


cdef void load_hidden(
    const Net* net, Py_ssize_t index, const Batch* batch, const Block* block, Py_ssize_t step,
    real* arena,
) noexcept nogil:
    """x of a layer above the first: the outputs of the one below; zeros after a sample's end."""
    cdef const Cell* cell = &net.cells[index]
    cdef real* x = xh_at(net, cell, step, arena) + cell.in_pad - cell.n_in
    cdef Py_ssize_t s
    for s in range(block.n):
        if step < block.length[s]:
            load_outputs(net, index // net.D - 1, batch, block, s,
                         step_of(cell, step, block.length[s]), x + s * cell.row, arena)
        else:
            memset(x + s * cell.row, 0, cell.n_in * sizeof(real))


cdef void feed_back(
    const Net* net, Py_ssize_t index, const Batch* batch, const Block* block, Py_ssize_t step,
    real* arena,
) noexcept nogil:
    """h_{t-1}, with dropout, into the rows that the cell's step reads."""
    cdef const Cell* cell = &net.cells[index]
    cdef const real* h = h_at(net, cell, step, arena)
    cdef real* target = xh_at(net, cell, step, arena) + cell.in_pad
    cdef Py_ssize_t s
    for s in range(block.n):
        memcpy(target + s * cell.row, h + s * cell.h_row, net.H * sizeof(real))
        drop(net, batch, block, s, index, RECURRENT_MASK, 0, target + s * cell.row)


cdef void hold_states(
    const Net* net, const Cell* cell, const Block* block, Py_ssize_t step, real* arena,
) noexcept nogil:
    """After a sample's end its states stay what they were."""
    cdef Py_ssize_t s
    for s in range(block.n):
        if step >= block.length[s]:
            memcpy(h_at(net, cell, step + 1, arena) + s * cell.h_row,
                   h_at(net, cell, step, arena) + s * cell.h_row, net.H * sizeof(real))
            memcpy(c_at(net, cell, step + 1, arena) + s * net.H_pad,
                   c_at(net, cell, step, arena) + s * net.H_pad, net.H * sizeof(real))


cdef void forward_step(
    const Net* net, const Cell* cell, const real* packed, Py_ssize_t step, Py_ssize_t n, real* arena,
) noexcept nogil:
    """One step of one cell: x_t, h_{t-1} and c_{t-1} are in their places; h_t and c_t will be."""
    cdef Py_ssize_t L = net.lanes, Hp = net.H_pad, B = net.block
    cdef Py_ssize_t n_inputs = cell.n_in + net.H, tile, s
    cdef Py_ssize_t z_tile = cell.z_steps * B * 4 * L
    cdef real* xh = xh_at(net, cell, step, arena) + cell.in_pad - cell.n_in
    cdef real* h_next = h_at(net, cell, step + 1, arena)
    cdef real* c = c_at(net, cell, step, arena)
    cdef real* c_next = c_at(net, cell, step + 1, arena)
    cdef real* z = arena + cell.z + step % cell.z_steps * B * 4 * L
    cdef const real* WU = packed + cell.packed_WU
    cdef const real* b = packed + cell.packed_b
    # z_t = [x_t, h_{t-1}] [W; U] + b
    if n == 1:
        row_product(net.n_tiles, n_inputs, xh, WU, 4 * L, n_inputs * 4 * L, b, 4 * L, z, z_tile)
    for tile in range(net.n_tiles):                             # hidden tiles
        if n > 1:
            product(PANEL, n, 1, n_inputs, xh, cell.row, 1, 0, WU + tile * n_inputs * 4 * L, 4 * L, 0,
                    b + tile * 4 * L, 0, z + tile * z_tile, 4 * L)
        for s in range(n):                                      # samples of the block
            cell_forward_at(z + tile * z_tile + s * 4 * L, c + s * Hp + tile * L,
                            c_next + s * Hp + tile * L)
        for s in range(n):
            hidden_forward_at(z + tile * z_tile + s * 4 * L, c_next + s * Hp + tile * L,
                              h_next + s * cell.h_row + tile * L)


cdef void forward_cell(
    const Net* net, Py_ssize_t index, const real* packed, const Batch* batch, const Block* block,
    real* arena,
) noexcept nogil:
    """All steps of one cell."""
    cdef const Cell* cell = &net.cells[index]
    cdef Py_ssize_t step, n = block.n
    load_states(net, <const real*> batch.h, batch.n_states, index, block,
                h_at(net, cell, 0, arena), cell.h_row)
    load_states(net, <const real*> batch.c, batch.n_states, index, block,
                c_at(net, cell, 0, arena), net.H_pad)
    if index < net.D and net.mask_missing:
        load_masked_features(net, cell, batch, block, arena)
    for step in range(block.n_steps):                           # time steps, in the cell's order
        if index >= net.D:
            load_hidden(net, index, batch, block, step, arena)
        elif not net.mask_missing:
            load_features(net, cell, batch, block, step, arena)
        if net.recurrent_dropout > 0:
            feed_back(net, index, batch, block, step, arena)
        while step >= block.length[n - 1]:                      # the last samples, where they have ended
            n -= 1
        forward_step(net, cell, packed, step, n, arena)
        if block.ragged:
            hold_states(net, cell, block, step, arena)


cdef inline void head_product(
    const Net* net, const real* packed, Py_ssize_t n, const real* top, real* y,
) noexcept nogil:
    """y = h V + d."""
    packed_product(net.lanes, net.K_pad // net.lanes, n, 1, net.D * net.H, top, net.DH_pad, 0,
                   packed + net.packed_V, packed + net.packed_d, y, net.K_pad)


cdef void load_final_outputs(
    const Net* net, const Batch* batch, const Block* block, real* arena,
) noexcept nogil:
    """What the head reads where it is applied once: h after the last step of each direction."""
    cdef const Cell* cell
    cdef Py_ssize_t direction, index, s
    cdef real* target
    for direction in range(net.D):
        index = net.n_cells - net.D + direction
        cell = &net.cells[index]
        for s in range(block.n):
            target = arena + net.top + s * net.DH_pad + direction * net.H
            memcpy(target, h_at(net, cell, block.n_steps, arena) + s * cell.h_row,
                   net.H * sizeof(real))
            if net.dropout > 0:
                drop(net, batch, block, s, index, OUTPUT_MASK, final_time(cell, block, s), target)


cdef inline Py_ssize_t final_time(const Cell* cell, const Block* block, Py_ssize_t s) noexcept nogil:
    """The time step that the cell reads last."""
    return step_of(cell, block.length[s] - 1, block.length[s])


cdef void forward_head(
    const Net* net, const real* packed, const Batch* batch, const Block* block, real* arena,
) noexcept nogil:
    """The linear layer: once, or at every time step. y after a sample's end is nobody's."""
    cdef Py_ssize_t t, s
    cdef real* top = arena + net.top
    cdef real* target
    if not net.sequences:
        load_final_outputs(net, batch, block, arena)
        head_product(net, packed, block.n, top, arena + net.y)
        return
    for t in range(block.n_steps):                              # time steps
        for s in range(block.n):
            target = top + (t * net.block + s) * net.DH_pad
            if t < block.length[s]:
                load_outputs(net, net.n_cells // net.D - 1, batch, block, s, t, target, arena)
            else:
                memset(target, 0, net.DH_pad * sizeof(real))
        head_product(net, packed, block.n, top + t * net.block * net.DH_pad,
                     arena + net.y + t * net.block * net.K_pad)


cdef void forward_block(
    const Net* net, const real* packed, const Batch* batch, const Block* block, real* arena,
) noexcept nogil:
    """All layers and the head."""
    cdef Py_ssize_t index
    for index in range(net.n_cells):
        forward_cell(net, index, packed, batch, block, arena)
    forward_head(net, packed, batch, block, arena)


# ----------------------------------------------------------------------------------------------------
# Backward: the same block, from dy and the states' gradients to every parameter's
# ----------------------------------------------------------------------------------------------------

cdef void weight_gradients(
    const Net* net, const Cell* cell, Py_ssize_t step, Py_ssize_t n_steps, Py_ssize_t n, real* arena,
    real* slot,
) noexcept nogil:
    """d[W; U] += sum over steps step .. step + n_steps and samples of [x_t, h_{t-1}]^T dz_t."""
    cdef Py_ssize_t L = net.lanes, B = net.block, n_inputs = cell.n_in + net.H, tile
    cdef real* tile_gradient
    for tile in range(net.n_tiles):
        tile_gradient = slot + cell.packed_WU + tile * n_inputs * 4 * L
        product(PANEL, n_inputs, n_steps, n,
                xh_at(net, cell, step, arena) + cell.in_pad - cell.n_in, 1, cell.row, B * cell.row,
                arena + cell.z + (tile * net.T + step) * B * 4 * L, 4 * L, B * 4 * L,
                tile_gradient, 4 * L, tile_gradient, 4 * L)


cdef void input_gradients(
    const Net* net, const Cell* cell, Py_ssize_t step, Py_ssize_t n_steps, const Block* block,
    const real* packed, real* arena, real* d_inner,
) noexcept nogil:
    """dx_t = dz_t W^T for steps step .. step + n_steps, added to d_inner if there are two directions."""
    cdef Py_ssize_t L = net.lanes, B = net.block, current, s, j
    cdef real* target
    cdef real* dx
    for current in range(step, step + n_steps):
        dx = arena + net.dx if net.D == 2 else d_inner + current * B * net.d_row
        packed_product(L, cell.in_pad // L, block.n, net.n_tiles, 4 * L,
                       arena + cell.z + current * B * 4 * L, 4 * L, net.T * B * 4 * L,
                       packed + cell.packed_Wt, <const real*> NULL, dx, net.d_row)
        if net.D == 2:
            for s in range(block.n):
                if current < block.length[s]:
                    target = d_inner + (step_of(cell, current, block.length[s]) * B + s) * net.d_row
                    for j in range(cell.n_in):
                        target[j] += dx[s * net.d_row + j]


cdef void add_output_gradients(
    const Net* net, Py_ssize_t index, const Batch* batch, const Block* block, Py_ssize_t step,
    real* d_outer, real* dh,
) noexcept nogil:
    """dh_t += the gradient of the layer's output at that time step, through its dropout."""
    cdef const Cell* cell = &net.cells[index]
    cdef Py_ssize_t s, j, t
    cdef real* d_output
    for s in range(block.n):
        if step < block.length[s]:
            t = step_of(cell, step, block.length[s])
            d_output = d_outer + (t * net.block + s) * net.d_row + cell.direction * net.H
            if net.dropout > 0:
                drop(net, batch, block, s, index, OUTPUT_MASK, t, d_output)
            for j in range(net.H):
                dh[s * net.H_pad + j] += d_output[j]


cdef void backward_step(
    const Net* net, Py_ssize_t index, const real* packed, const Batch* batch, const Block* block,
    Py_ssize_t step, bint to_previous, real* arena, real* slot,
) noexcept nogil:
    """dz_t in the gates' place, db; then dh_{t-1} and dc_{t-1} in place of dh_t and dc_t."""
    cdef const Cell* cell = &net.cells[index]
    cdef Py_ssize_t L = net.lanes, Hp = net.H_pad, B = net.block, tile, s, run
    cdef real* dh = arena + net.dh
    cdef real* dc = arena + net.dc
    cdef real* c = c_at(net, cell, step, arena)
    cdef real* c_next = c_at(net, cell, step + 1, arena)
    cdef real* z
    for tile in range(net.n_tiles):                             # hidden tiles
        z = arena + cell.z + (tile * net.T + step) * B * 4 * L
        for s in range(block.n):                                # samples of the block
            if step >= block.length[s]:
                memset(z + s * 4 * L, 0, 4 * L * sizeof(real))  # its gradients pass by unchanged
                continue
            cell_backward_at(z + s * 4 * L, c + s * Hp + tile * L, c_next + s * Hp + tile * L,
                             dh + s * Hp + tile * L, dc + s * Hp + tile * L,
                             slot + cell.packed_b + tile * 4 * L)
    if not to_previous:
        return
    # dh_{t-1} = dz_t U^T
    z = arena + cell.z + step * B * 4 * L
    if not block.ragged:
        packed_product(L, net.n_tiles, block.n, net.n_tiles, 4 * L, z, 4 * L, net.T * B * 4 * L,
                       packed + cell.packed_Ut, <const real*> NULL, dh, Hp)
    else:
        s = 0
        while s < block.n:                                      # runs of samples that have this step
            run = 0
            while s + run < block.n and step < block.length[s + run]:
                run += 1
            packed_product(L, net.n_tiles, run, net.n_tiles, 4 * L, z + s * 4 * L, 4 * L,
                           net.T * B * 4 * L, packed + cell.packed_Ut, <const real*> NULL,
                           dh + s * Hp, Hp)
            s += run + 1
    if net.recurrent_dropout > 0:
        for s in range(block.n):
            if step < block.length[s]:
                drop(net, batch, block, s, index, RECURRENT_MASK, 0, dh + s * Hp)


cdef void backward_cell(
    const Net* net, Py_ssize_t index, const real* packed, const Batch* batch, const Block* block,
    bint from_above, bint to_below, bint to_states, real* arena, real* d_outer, real* d_inner,
    real* slot,
) noexcept nogil:
    """BPTT of one cell: dh and dc after the last step are in net.dh and net.dc.

    `from_above`: each step's output has a gradient of its own, in d_outer.
    `to_below`: each step's input gets its gradient, in d_inner.
    `to_states`: net.dh and net.dc will be the gradients of the states before the first step.
    """
    cdef const Cell* cell = &net.cells[index]
    cdef Py_ssize_t step, n_steps = 0
    for step in range(block.n_steps - 1, -1, -1):               # time steps, against the cell's order
        if from_above:
            add_output_gradients(net, index, batch, block, step, d_outer, arena + net.dh)
        backward_step(net, index, packed, batch, block, step, to_states or step > 0, arena, slot)
        n_steps += 1
        if step % net.chunk == 0:                               # while dz is in cache
            weight_gradients(net, cell, step, n_steps, block.n, arena, slot)
            if to_below:
                input_gradients(net, cell, step, n_steps, block, packed, arena, d_inner)
            n_steps = 0


cdef void backward_head(
    const Net* net, const real* packed, Py_ssize_t n, const real* top, const real* dy, real* d_top,
    Py_ssize_t d_row, bint add, real* slot,
) noexcept nogil:
    """dV += h^T dy;  dd += sum of dy;  the gradient of h: dy V^T, or that and what is there."""
    cdef Py_ssize_t L = net.lanes, n_registers = net.K_pad // L, DH = net.D * net.H
    cdef Py_ssize_t panel, first, width, s, k
    cdef real* target
    cdef real total
    for panel in range(padded(n_registers, PANEL) // PANEL):    # panels of outputs
        first = panel * PANEL
        width = min(PANEL, n_registers - first)
        target = slot + net.packed_V + first * L * DH
        product(width, DH, 1, n, top, 1, net.DH_pad, 0, dy + first * L, net.K_pad, 0,
                target, width * L, target, width * L)
    for k in range(net.K):
        total = 0                                               # in parts, as the other long sums
        for s in range(n):
            total += dy[s * net.K_pad + k]
        slot[net.packed_d + k] += total
    n_registers = net.DH_pad // L
    for panel in range(padded(n_registers, PANEL) // PANEL):    # panels of hidden units
        first = panel * PANEL
        width = min(PANEL, n_registers - first)
        target = d_top + first * L
        product(width, n, 1, net.K, dy, net.K_pad, 1, 0,
                packed + net.packed_Vt + first * L * net.K, width * L, 0,
                target if add else NULL, d_row, target, d_row)


cdef void start_backward(
    const Net* net, Py_ssize_t index, const Batch* batch, const Block* block, real* arena,
) noexcept nogil:
    """Where the head is applied once: its gradient to the final hidden states, added to net.dh."""
    cdef const Cell* cell = &net.cells[index]
    cdef Py_ssize_t s, j
    cdef real* d_top
    for s in range(block.n):
        d_top = arena + net.d_top + s * net.DH_pad + cell.direction * net.H
        if net.dropout > 0:
            drop(net, batch, block, s, index, OUTPUT_MASK, final_time(cell, block, s), d_top)
        for j in range(net.H):
            arena[net.dh + s * net.H_pad + j] += d_top[j]


cdef struct StateGradients:
    # Of the final states, given, and of the first, asked for: [cell][n_states][H], or all NULL.
    const void* d_h_n
    const void* d_c_n
    void* d_h0
    void* d_c0


cdef real* backward_block(
    const Net* net, const real* packed, const Batch* batch, const Block* block,
    const StateGradients* states, bint to_inputs, real* arena, real* slot,
) noexcept nogil:
    """From dy (and, in net.d_outer, hidden states' gradients if `to_inputs`) to the parameters'.

    Return where the inputs' gradients are, [T][B][d_row], if `to_inputs`.
    """
    cdef Py_ssize_t top_layer = net.n_cells // net.D - 1, B = net.block, layer, index, t
    cdef real* d_outer = arena + net.d_outer
    cdef real* d_inner = arena + net.d_inner
    cdef bint to_states = states.d_h0 != NULL, from_above, to_below
    if not net.sequences:
        backward_head(net, packed, block.n, arena + net.top, arena + net.dy, arena + net.d_top,
                      net.DH_pad, False, slot)
    else:
        for t in range(block.n_steps):                          # time steps
            backward_head(net, packed, block.n, arena + net.top + t * B * net.DH_pad,
                          arena + net.dy + t * B * net.K_pad, d_outer + t * B * net.d_row,
                          net.d_row, to_inputs, slot)
    for layer in range(top_layer, -1, -1):
        from_above = layer < top_layer or net.sequences or to_inputs
        to_below = layer > 0 or to_inputs
        if net.D == 2 and to_below:
            memset(d_inner, 0, block.n_steps * B * net.d_row * sizeof(real))
        for index in range(layer * net.D, (layer + 1) * net.D):     # directions
            load_states(net, <const real*> states.d_h_n, batch.n_states, index, block,
                        arena + net.dh, net.H_pad)
            load_states(net, <const real*> states.d_c_n, batch.n_states, index, block,
                        arena + net.dc, net.H_pad)
            if layer == top_layer and not net.sequences:
                start_backward(net, index, batch, block, arena)
            backward_cell(net, index, packed, batch, block, from_above, to_below, to_states, arena,
                          d_outer, d_inner, slot)
            if to_states:
                save_states(net, arena + net.dh, net.H_pad, batch.n_states, index, block,
                            <real*> states.d_h0)
                save_states(net, arena + net.dc, net.H_pad, batch.n_states, index, block,
                            <real*> states.d_c0)
        d_outer, d_inner = d_inner, d_outer
    return d_outer


# ----------------------------------------------------------------------------------------------------
# Losses: from the network's outputs z and the targets y to the loss and dz
# ----------------------------------------------------------------------------------------------------

include "_losses.pxi"


cdef struct Targets:
    # What the network's outputs are compared with. The caller's arrays, of the call's type.
    LossKind kind
    const double* settings      # delta, or quantiles
    Py_ssize_t n_settings
    const void* y               # [n_samples][S][n_targets]
    Py_ssize_t n_targets
    Py_ssize_t S
    const void* weight          # [n_samples]; NULL: ones
    double total_weight         # of the batch


cdef double step_loss(
    const Targets* targets, Py_ssize_t K, const real* z, const real* y, double share, real* dz,
) noexcept nogil:
    """share times the mean loss over the K outputs, for one sample and one application of the head."""
    cdef double total = 0, d_first = 0, d_second = 0
    cdef Py_ssize_t k
    if targets.kind == LOG_LOSS:
        return log_loss(z, K, <Py_ssize_t> y[0], share, dz)
    if targets.kind == GAUSSIAN:                                # outputs: [target][mu, s]
        share /= targets.n_targets
        for k in range(targets.n_targets):
            total += gaussian(z[2 * k], z[2 * k + 1], y[k], &d_first, &d_second)
            dz[2 * k] = <real> (share * d_first)
            dz[2 * k + 1] = <real> (share * d_second)
        return share * total
    share /= K
    for k in range(K):
        if targets.kind == SQUARED_ERROR:
            total += squared_error(z[k], y[k], &d_first)
        elif targets.kind == ABSOLUTE_ERROR:
            total += absolute_error(z[k], y[k], &d_first)
        elif targets.kind == HUBER:
            total += huber(z[k], y[k], targets.settings[0], &d_first)
        elif targets.kind == QUANTILE:                          # outputs: [target][quantile]
            total += pinball(z[k], y[k // targets.n_settings],
                             targets.settings[k % targets.n_settings], &d_first)
        else:
            total += poisson(z[k], y[k], &d_first)
        dz[k] = <real> (share * d_first)
    return share * total


cdef double block_loss(
    const Net* net, const Targets* targets, const Block* block, real* arena,
) noexcept nogil:
    """The block's part in the weighted mean over samples (of their means over time steps); fills dy."""
    cdef const real* y
    cdef const real* weight = <const real*> targets.weight
    cdef double loss = 0, share
    cdef Py_ssize_t s, t, offset, n_steps
    for s in range(block.n):
        n_steps = block.length[s] if net.sequences else 1
        share = 1 / (targets.total_weight * n_steps)
        if weight != NULL:
            share *= weight[block.sample[s]]
        y = <const real*> targets.y + block.sample[s] * targets.S * targets.n_targets
        for t in range(n_steps):
            offset = (t * net.block + s) * net.K_pad
            loss += step_loss(targets, net.K, arena + net.y + offset, y + t * targets.n_targets,
                              share, arena + net.dy + offset)
        for t in range(n_steps, block.n_steps if net.sequences else 1):
            memset(arena + net.dy + (t * net.block + s) * net.K_pad, 0, net.K_pad * sizeof(real))
    return loss


# ----------------------------------------------------------------------------------------------------
# The process
# ----------------------------------------------------------------------------------------------------

cdef extern from "_runtime.h" nogil:
    void* zeroed_memory(size_t n_bytes)
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

cdef Targets targets_of(
    const real[:, :, ::1] y, const real[::1] weight, int loss, const double[::1] settings,
) noexcept:
    """`weight` and `settings` may be None."""
    cdef Targets targets
    memset(&targets, 0, sizeof(Targets))
    targets.kind = <LossKind> loss
    targets.y = <const void*> &y[0, 0, 0]
    targets.S = y.shape[1]
    targets.n_targets = y.shape[2]
    if settings is not None:
        targets.settings = &settings[0]
        targets.n_settings = settings.shape[0]
    if weight is not None:
        targets.weight = <const void*> &weight[0]
    return targets


cdef double weight_of(const Batch* batch, const real* weight) noexcept nogil:
    """Sum of the weights of the batch's samples."""
    cdef double total = 0
    cdef Py_ssize_t visit
    if weight == NULL:
        return batch.n
    for visit in range(batch.n):
        total += weight[batch.order[visit]]
    return total


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


cdef double l2_penalty(
    const Net* net, const real* params, double strength, real* gradient,
) noexcept nogil:
    """strength / 2 * sum of squared weights, and its gradient; biases are free."""
    cdef double total = 0
    cdef Py_ssize_t index
    for index in range(net.n_cells):                            # W and U
        total += penalise(params, net.cells[index].W, net.cells[index].b, strength, gradient)
    total += penalise(params, net.V, net.d, strength, gradient)
    return 0.5 * strength * total


cdef double penalise(
    const real* params, Py_ssize_t start, Py_ssize_t stop, double strength, real* gradient,
) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t p
    for p in range(start, stop):
        total += <double> params[p] * params[p]
        gradient[p] += <real> strength * params[p]
    return total


include "_updates.pxi"


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
