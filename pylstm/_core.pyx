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
from libc.math cimport NAN, isfinite, sqrt
from libc.stdint cimport int64_t, uintptr_t
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


cdef inline void cell_forward(vec* z, const vec* c_prev, vec* c, vec* h) noexcept nogil:
    """One time step of one tile: z (i, f, g, o) in, the gates' values in its place; c_t and h_t out."""
    cdef vec i = sigmoid(z[0])      # input gate
    cdef vec f = sigmoid(z[1])      # forget gate
    cdef vec g = tanh(z[2])         # candidate: the new memory
    cdef vec o = sigmoid(z[3])      # output gate
    c[0] = f * c_prev[0] + i * g
    h[0] = o * tanh(c[0])
    z[0] = i
    z[1] = f
    z[2] = g
    z[3] = o


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

cdef inline void cell_forward_at(real* z, real* c_prev, real* c, real* h) noexcept nogil:
    if real is float:
        cell_forward(<vec_f*> z, <const vec_f*> c_prev, <vec_f*> c, <vec_f*> h)
    else:
        cell_forward(<vec_d*> z, <const vec_d*> c_prev, <vec_d*> c, <vec_d*> h)


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


cdef struct Layer:
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
    Py_ssize_t c                # [c_steps][B][Hp]
    Py_ssize_t c_steps
    Py_ssize_t z                # [tile][z_steps][B][gate][L]
    Py_ssize_t z_steps


cdef struct Net:
    Py_ssize_t n_layers
    Py_ssize_t n_features
    Py_ssize_t H
    Py_ssize_t K
    Py_ssize_t T
    Py_ssize_t lanes            # L
    Py_ssize_t H_pad            # Hp
    Py_ssize_t K_pad            # Kp
    Py_ssize_t n_tiles
    Py_ssize_t block            # B
    Py_ssize_t chunk            # time steps whose dz become weight gradients together
    # in the flat parameter vector
    Py_ssize_t V                # (H, K)
    Py_ssize_t d                # (K,)
    Py_ssize_t n_params
    # among the packed weights and a slot's gradients
    Py_ssize_t packed_V         # [panel][H][width * L]
    Py_ssize_t packed_d         # [Kp]
    Py_ssize_t slot_size        # all of the above: what a slot's gradient takes
    # among the packed weights
    Py_ssize_t packed_Vt        # [panel][K][width * L]: K rows, Hp columns
    Py_ssize_t packed_size
    # in a thread's arena
    Py_ssize_t y                # [B][Kp]
    Py_ssize_t dy               # [B][Kp]
    Py_ssize_t dh               # [B][Hp]
    Py_ssize_t dc               # [B][Hp]
    Py_ssize_t d_above          # [T][B][above_row]: gradient of a layer's output, from the layer above
    Py_ssize_t above_row
    Py_ssize_t arena_size
    Layer* layers


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
        self, Py_ssize_t n_features, Py_ssize_t hidden_size, Py_ssize_t num_layers,
        Py_ssize_t n_outputs, Py_ssize_t n_timesteps, Py_ssize_t itemsize, bint backward,
    ):
        """`backward`: activations of all steps are kept, and room is made for their gradients."""
        cdef Net* net = &self.net
        cdef Layer* layer
        cdef Py_ssize_t params = 0, packed = 0, arena = 0, index, L, gates
        net.layers = <Layer*> calloc(num_layers, sizeof(Layer))
        if net.layers == NULL:
            raise MemoryError()
        net.n_layers = num_layers
        net.n_features = n_features
        net.H = hidden_size
        net.K = n_outputs
        net.T = n_timesteps
        net.lanes = L = LANES_F if itemsize == sizeof(float) else LANES_D
        net.H_pad = padded(hidden_size, L)
        net.K_pad = padded(n_outputs, L)
        net.n_tiles = net.H_pad // L
        net.block = WIDE_BLOCK if hidden_size >= WIDE_HIDDEN_SIZE else NARROW_BLOCK
        gates = 4 * net.H_pad
        net.chunk = max(1, min(n_timesteps, CACHED_BYTES // (net.block * gates * itemsize)))

        for index in range(num_layers):
            layer = &net.layers[index]
            layer.n_in = n_features if index == 0 else hidden_size
            layer.in_pad = padded(layer.n_in, L)
            layer.row = layer.in_pad + net.H_pad
            layer.W = params
            layer.U = layer.W + layer.n_in * 4 * hidden_size
            layer.b = layer.U + hidden_size * 4 * hidden_size
            params = layer.b + 4 * hidden_size
            layer.packed_WU = take(&packed, gates * (layer.n_in + hidden_size))
            layer.packed_b = take(&packed, gates)
            # A layer's hidden states are read again: by the layer above, and by BPTT.
            layer.xh_steps = n_timesteps + 1 if backward or index < num_layers - 1 else 2
            layer.c_steps = n_timesteps + 1 if backward else 1
            layer.z_steps = n_timesteps if backward else 1
            layer.xh = take(&arena, layer.xh_steps * net.block * layer.row)
            layer.c = take(&arena, layer.c_steps * net.block * net.H_pad)
            layer.z = take(&arena, layer.z_steps * net.block * gates)
        net.V = params
        net.d = net.V + hidden_size * n_outputs
        net.n_params = net.d + n_outputs
        net.packed_V = take(&packed, hidden_size * net.K_pad)
        net.packed_d = take(&packed, net.K_pad)
        net.slot_size = packed

        net.y = take(&arena, net.block * net.K_pad)
        if backward:
            for index in range(num_layers):
                layer = &net.layers[index]
                layer.packed_Ut = take(&packed, gates * net.H_pad)
                layer.packed_Wt = take(&packed, gates * layer.in_pad)
            net.packed_Vt = take(&packed, n_outputs * net.H_pad)
            net.dy = take(&arena, net.block * net.K_pad)
            net.dh = take(&arena, net.block * net.H_pad)
            net.dc = take(&arena, net.block * net.H_pad)
            net.above_row = max(net.H_pad, net.layers[0].in_pad)
            net.d_above = take(&arena, n_timesteps * net.block * net.above_row)
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
        free(self.net.layers)


cdef Py_ssize_t n_blocks_of(const Net* net, Py_ssize_t n_samples) noexcept nogil:
    return padded(n_samples, net.block) // net.block


cdef Py_ssize_t n_slots_of(const Net* net, Py_ssize_t n_samples) noexcept nogil:
    return min(n_blocks_of(net, n_samples), MAX_SLOTS)


# ----------------------------------------------------------------------------------------------------
# Packing: from the flat parameter vector to the kernels' order, and gradients back
# ----------------------------------------------------------------------------------------------------

cdef void pack_gates(
    const Net* net, const real* source, Py_ssize_t n_rows, real* target, Py_ssize_t tile_size,
) noexcept nogil:
    """(n_rows, 4H) into [tile][n_rows][gate][L], tiles being tile_size apart."""
    cdef Py_ssize_t L = net.lanes, tile, row, gate, n
    for tile in range(net.n_tiles):
        n = min(L, net.H - tile * L)
        for row in range(n_rows):
            for gate in range(4):
                memcpy(target + tile * tile_size + (row * 4 + gate) * L,
                       source + (row * 4 + gate) * net.H + tile * L, n * sizeof(real))


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
    cdef const Layer* layer
    cdef Py_ssize_t L = net.lanes, index, tile_size, j, k
    for index in range(net.n_layers):
        layer = &net.layers[index]
        tile_size = (layer.n_in + net.H) * 4 * L
        pack_gates(net, params + layer.W, layer.n_in, packed + layer.packed_WU, tile_size)
        pack_gates(net, params + layer.U, net.H,
                   packed + layer.packed_WU + layer.n_in * 4 * L, tile_size)
        pack_gates(net, params + layer.b, 1, packed + layer.packed_b, 4 * L)
        if backward:
            pack_gates_transposed(net, params + layer.U, net.H, packed + layer.packed_Ut)
            pack_gates_transposed(net, params + layer.W, layer.n_in, packed + layer.packed_Wt)
    for j in range(net.H):
        for k in range(net.K):
            packed[net.packed_V + packed_index(L, net.K_pad // L, net.H, j, k)] = (
                params[net.V + j * net.K + k])
            if backward:
                packed[net.packed_Vt + packed_index(L, net.n_tiles, net.K, k, j)] = (
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
    cdef const Layer* layer
    cdef const real* slot
    cdef Py_ssize_t L = net.lanes, s, index, tile_size, j, k
    memset(gradient, 0, net.n_params * sizeof(real))
    for s in range(n_slots):
        slot = slots + s * net.slot_size
        for index in range(net.n_layers):
            layer = &net.layers[index]
            tile_size = (layer.n_in + net.H) * 4 * L
            add_gates(net, slot + layer.packed_WU, tile_size, layer.n_in, gradient + layer.W)
            add_gates(net, slot + layer.packed_WU + layer.n_in * 4 * L, tile_size, net.H,
                      gradient + layer.U)
            add_gates(net, slot + layer.packed_b, 4 * L, 1, gradient + layer.b)
        for j in range(net.H):
            for k in range(net.K):
                gradient[net.V + j * net.K + k] += (
                    slot[net.packed_V + packed_index(L, net.K_pad // L, net.H, j, k)])
        for k in range(net.K):
            gradient[net.d + k] += slot[net.packed_d + k]


# ----------------------------------------------------------------------------------------------------
# Forward: a block of samples through all layers and all time steps
# ----------------------------------------------------------------------------------------------------

cdef void load_states(
    const Net* net, const real[:, :, ::1] states, Py_ssize_t index, Py_ssize_t start, Py_ssize_t n,
    real* target, Py_ssize_t target_row,
) noexcept nogil:
    """States (n_layers, n_samples, H) of one layer into the block's rows; zeros where there are none."""
    cdef Py_ssize_t s
    for s in range(n):
        memset(target + s * target_row, 0, net.H_pad * sizeof(real))
        if states.shape[0] > 0:
            memcpy(target + s * target_row, &states[index, start + s, 0], net.H * sizeof(real))


cdef void load_inputs(
    const Net* net, Py_ssize_t index, const real[:, :, :] X, const int64_t* order, Py_ssize_t start,
    Py_ssize_t n, Py_ssize_t t, real* arena,
) noexcept nogil:
    """x_t of a layer: gathered from X (any strides) for the first, h_t of the layer below for others."""
    cdef const Layer* layer = &net.layers[index]
    cdef const Layer* below
    cdef real* x = (arena + layer.xh + (t % layer.xh_steps) * net.block * layer.row
                    + layer.in_pad - layer.n_in)
    cdef const real* h
    cdef Py_ssize_t s, sample, feature
    if index == 0:
        for s in range(n):
            sample = order[start + s] if order != NULL else start + s
            for feature in range(net.n_features):
                x[s * layer.row + feature] = X[sample, t, feature]
    else:
        below = &net.layers[index - 1]
        h = arena + below.xh + (t + 1) * net.block * below.row + below.in_pad
        for s in range(n):
            memcpy(x + s * layer.row, h + s * below.row, net.H * sizeof(real))


cdef void forward_step(
    const Net* net, Py_ssize_t index, const real* packed, Py_ssize_t t, Py_ssize_t n, real* arena,
) noexcept nogil:
    """One time step of one layer: x_t, h_{t-1} and c_{t-1} are in their places; h_t and c_t will be."""
    cdef const Layer* layer = &net.layers[index]
    cdef Py_ssize_t L = net.lanes, Hp = net.H_pad, B = net.block
    cdef Py_ssize_t n_inputs = layer.n_in + net.H, tile, s
    cdef Py_ssize_t z_tile = layer.z_steps * B * 4 * L
    cdef real* xh = (arena + layer.xh + (t % layer.xh_steps) * B * layer.row
                     + layer.in_pad - layer.n_in)
    cdef real* h_next = arena + layer.xh + ((t + 1) % layer.xh_steps) * B * layer.row + layer.in_pad
    cdef real* c = arena + layer.c + (t % layer.c_steps) * B * Hp
    cdef real* c_next = arena + layer.c + ((t + 1) % layer.c_steps) * B * Hp
    cdef real* z = arena + layer.z + t % layer.z_steps * B * 4 * L
    cdef const real* WU = packed + layer.packed_WU
    cdef const real* b = packed + layer.packed_b
    # z_t = [x_t, h_{t-1}] [W; U] + b
    if n == 1:
        row_product(net.n_tiles, n_inputs, xh, WU, 4 * L, n_inputs * 4 * L, b, 4 * L, z, z_tile)
    for tile in range(net.n_tiles):                             # hidden tiles
        if n > 1:
            product(PANEL, n, 1, n_inputs, xh, layer.row, 1, 0, WU + tile * n_inputs * 4 * L, 4 * L, 0,
                    b + tile * 4 * L, 0, z + tile * z_tile, 4 * L)
        for s in range(n):                                      # samples of the block
            cell_forward_at(z + tile * z_tile + s * 4 * L, c + s * Hp + tile * L,
                            c_next + s * Hp + tile * L, h_next + s * layer.row + tile * L)


cdef inline real* last_h(const Net* net, Py_ssize_t index, real* arena) noexcept nogil:
    """h_T of a layer, (B, Hp), its rows layer.row apart."""
    cdef const Layer* layer = &net.layers[index]
    return arena + layer.xh + (net.T % layer.xh_steps) * net.block * layer.row + layer.in_pad


cdef void forward_head(
    const Net* net, const real* packed, Py_ssize_t n, real* arena,
) noexcept nogil:
    """y = h_T V + d."""
    cdef Py_ssize_t top = net.n_layers - 1
    packed_product(net.lanes, net.K_pad // net.lanes, n, 1, net.H,
                   last_h(net, top, arena), net.layers[top].row, 0,
                   packed + net.packed_V, packed + net.packed_d, arena + net.y, net.K_pad)


cdef void forward_block(
    const Net* net, const real* packed, const real[:, :, :] X, const real[:, :, ::1] h0,
    const real[:, :, ::1] c0, const int64_t* order, Py_ssize_t start, Py_ssize_t n, real* arena,
) noexcept nogil:
    """All layers and the head. Samples are order[start : start + n], or start .. start + n."""
    cdef const Layer* layer
    cdef Py_ssize_t index, t
    for index in range(net.n_layers):
        layer = &net.layers[index]
        load_states(net, h0, index, start, n, arena + layer.xh + layer.in_pad, layer.row)
        load_states(net, c0, index, start, n, arena + layer.c, net.H_pad)
        for t in range(net.T):                                  # time steps
            load_inputs(net, index, X, order, start, n, t, arena)
            forward_step(net, index, packed, t, n, arena)
    forward_head(net, packed, n, arena)


# ----------------------------------------------------------------------------------------------------
# Backward: the same block, from dy and the states' gradients to every parameter's
# ----------------------------------------------------------------------------------------------------

cdef void weight_gradients(
    const Net* net, Py_ssize_t index, Py_ssize_t t, Py_ssize_t n_steps, Py_ssize_t n, real* arena,
    real* slot,
) noexcept nogil:
    """d[W; U] += sum over steps t .. t + n_steps and samples of [x_t, h_{t-1}]^T dz_t."""
    cdef const Layer* layer = &net.layers[index]
    cdef Py_ssize_t L = net.lanes, B = net.block, n_inputs = layer.n_in + net.H, tile
    cdef real* tile_gradient
    for tile in range(net.n_tiles):
        tile_gradient = slot + layer.packed_WU + tile * n_inputs * 4 * L
        product(PANEL, n_inputs, n_steps, n,
                arena + layer.xh + t * B * layer.row + layer.in_pad - layer.n_in,
                1, layer.row, B * layer.row,
                arena + layer.z + (tile * net.T + t) * B * 4 * L, 4 * L, B * 4 * L,
                tile_gradient, 4 * L, tile_gradient, 4 * L)


cdef void input_gradients(
    const Net* net, Py_ssize_t index, Py_ssize_t t, Py_ssize_t n_steps, Py_ssize_t n,
    const real* packed, real* arena,
) noexcept nogil:
    """dx_t = dz_t W^T for steps t .. t + n_steps, where the layer below will look for its dh_t."""
    cdef const Layer* layer = &net.layers[index]
    cdef Py_ssize_t L = net.lanes, B = net.block, step
    for step in range(t, t + n_steps):
        packed_product(L, layer.in_pad // L, n, net.n_tiles, 4 * L,
                       arena + layer.z + step * B * 4 * L, 4 * L, net.T * B * 4 * L,
                       packed + layer.packed_Wt, <const real*> NULL,
                       arena + net.d_above + step * B * net.above_row, net.above_row)


cdef void backward_layer(
    const Net* net, Py_ssize_t index, const real* packed, Py_ssize_t n, bint from_above,
    bint to_below, real* arena, real* slot,
) noexcept nogil:
    """BPTT of one layer: dh_T and dc_T are in net.dh and net.dc, and dh_0 and dc_0 will be.

    `from_above`: each step's output has a gradient of its own, in net.d_above.
    `to_below`: each step's input gets its gradient, in net.d_above (read before it is overwritten).
    """
    cdef const Layer* layer = &net.layers[index]
    cdef Py_ssize_t L = net.lanes, Hp = net.H_pad, B = net.block, t, tile, s, j, n_steps = 0
    cdef real* dh = arena + net.dh
    cdef real* dc = arena + net.dc
    cdef real* above
    cdef real* c
    cdef real* c_next
    cdef real* z
    for t in range(net.T - 1, -1, -1):                          # time steps, backwards
        if from_above:
            above = arena + net.d_above + t * B * net.above_row
            for s in range(n):
                for j in range(Hp):
                    dh[s * Hp + j] += above[s * net.above_row + j]
        c = arena + layer.c + t * B * Hp
        c_next = c + B * Hp
        for tile in range(net.n_tiles):                         # hidden tiles
            z = arena + layer.z + (tile * net.T + t) * B * 4 * L
            for s in range(n):                                  # samples of the block
                cell_backward_at(z + s * 4 * L, c + s * Hp + tile * L, c_next + s * Hp + tile * L,
                                 dh + s * Hp + tile * L, dc + s * Hp + tile * L,
                                 slot + layer.packed_b + tile * 4 * L)
        # dh_{t-1} = dz_t U^T
        packed_product(L, net.n_tiles, n, net.n_tiles, 4 * L,
                       arena + layer.z + t * B * 4 * L, 4 * L, net.T * B * 4 * L,
                       packed + layer.packed_Ut, <const real*> NULL, dh, Hp)
        n_steps += 1
        if n_steps == net.chunk or t == 0:                      # while dz is in cache
            weight_gradients(net, index, t, n_steps, n, arena, slot)
            if to_below:
                input_gradients(net, index, t, n_steps, n, packed, arena)
            n_steps = 0


cdef void backward_head(
    const Net* net, const real* packed, Py_ssize_t n, real* arena, real* slot,
) noexcept nogil:
    """dV += h_T^T dy;  dd += sum of dy;  dh_T += dy V^T. dy and the dh_T given are in the arena."""
    cdef Py_ssize_t L = net.lanes, n_registers = net.K_pad // L, top = net.n_layers - 1
    cdef Py_ssize_t panel, first, width, s, k
    cdef real* dy = arena + net.dy
    cdef real* dV
    for panel in range(padded(n_registers, PANEL) // PANEL):    # panels of outputs
        first = panel * PANEL
        width = min(PANEL, n_registers - first)
        dV = slot + net.packed_V + first * L * net.H
        product(width, net.H, 1, n, last_h(net, top, arena), 1, net.layers[top].row, 0,
                dy + first * L, net.K_pad, 0, dV, width * L, dV, width * L)
    for s in range(n):
        for k in range(net.K):
            slot[net.packed_d + k] += dy[s * net.K_pad + k]
    for panel in range(padded(net.n_tiles, PANEL) // PANEL):    # panels of hidden units
        first = panel * PANEL
        width = min(PANEL, net.n_tiles - first)
        product(width, n, 1, net.K, dy, net.K_pad, 1, 0,
                packed + net.packed_Vt + first * L * net.K, width * L, 0,
                arena + net.dh + first * L, net.H_pad, arena + net.dh + first * L, net.H_pad)


# ----------------------------------------------------------------------------------------------------
# Losses: from outputs and targets to the loss and dy
# ----------------------------------------------------------------------------------------------------

cdef double squared_error(
    const Net* net, const real[:, ::1] y, const real[::1] weight, double total_weight,
    const int64_t* order, Py_ssize_t start, Py_ssize_t n, real* arena,
) noexcept nogil:
    """Half the weighted mean of (y_hat - y)^2 over samples and outputs, and its gradient dy."""
    cdef const real* y_hat = arena + net.y
    cdef real* dy = arena + net.dy
    cdef double loss = 0, residual, share
    cdef Py_ssize_t s, k, sample
    for s in range(n):
        sample = order[start + s]
        share = 1 / (total_weight * net.K)
        if weight.shape[0] > 0:
            share *= weight[sample]
        for k in range(net.K):
            residual = <double> y_hat[s * net.K_pad + k] - <double> y[sample, k]
            loss += 0.5 * share * residual * residual
            dy[s * net.K_pad + k] = <real> (share * residual)
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
    for index in range(net.n_layers):
        operations += (net.layers[index].n_in + net.H) * 8. * net.H
    operations *= <double> n_samples * net.T * n_passes
    if operations < work_per_thread * n_threads:
        n_threads = max(1, <int> (operations / work_per_thread))
    return safe_thread_count(min(n_threads, n_tasks))


# ----------------------------------------------------------------------------------------------------
# Calls: arrays in, arrays out
# ----------------------------------------------------------------------------------------------------

cdef void export_states(
    const Net* net, const real* source, Py_ssize_t source_row, Py_ssize_t n, real* target,
    Py_ssize_t target_row,
) noexcept nogil:
    """Unpadded rows of H out of the arena."""
    cdef Py_ssize_t s
    for s in range(n):
        memcpy(target + s * target_row, source + s * source_row, net.H * sizeof(real))


cdef void forward_task(
    const Net* net, const real* packed, const real[:, :, :] X, const real[:, :, ::1] h0,
    const real[:, :, ::1] c0, Py_ssize_t start, real[:, ::1] output, real[:, :, ::1] hidden,
    real[:, :, ::1] h_n, real[:, :, ::1] c_n, real* arena, Interrupt* interrupt,
) noexcept nogil:
    """One block of `forward`: what is asked for is copied out of the arena."""
    cdef Py_ssize_t n = min(net.block, X.shape[0] - start), index, t, s
    cdef const Layer* layer
    if interrupted(interrupt):
        return
    forward_block(net, packed, X, h0, c0, NULL, start, n, arena)
    for s in range(n):
        memcpy(&output[start + s, 0], arena + net.y + s * net.K_pad, net.K * sizeof(real))
    layer = &net.layers[net.n_layers - 1]
    if hidden.shape[0] > 0:
        for t in range(net.T):
            export_states(net, arena + layer.xh + (t + 1) * net.block * layer.row + layer.in_pad,
                          layer.row, n, &hidden[start, t, 0], net.T * net.H)
    if h_n.shape[0] > 0:
        for index in range(net.n_layers):
            layer = &net.layers[index]
            export_states(net, last_h(net, index, arena), layer.row, n, &h_n[index, start, 0], net.H)
            export_states(net, arena + layer.c + (net.T % layer.c_steps) * net.block * net.H_pad,
                          net.H_pad, n, &c_n[index, start, 0], net.H)


def forward(
    const real[::1] params, const real[:, :, :] X, const real[:, :, ::1] h0,
    const real[:, :, ::1] c0, Py_ssize_t hidden_size, Py_ssize_t num_layers, real[:, ::1] output,
    real[:, :, ::1] hidden, real[:, :, ::1] h_n, real[:, :, ::1] c_n, int n_threads,
):
    """Fill output (n, K) and, unless they are empty, hidden (n, T, H), h_n and c_n (num_layers, n, H).

    h0, c0 (num_layers, n, H), or empty for zeros.
    """
    cdef Plan plan = Plan(X.shape[2], hidden_size, num_layers, output.shape[1], X.shape[1],
                          sizeof(real), hidden.shape[0] > 0)
    cdef Net* net = &plan.net
    cdef Py_ssize_t n_blocks = n_blocks_of(net, X.shape[0]), block
    cdef Interrupt interrupt = no_interrupt()
    n_threads = threads_for(net, X.shape[0], 1, n_blocks, n_threads)
    plan.reserve(n_threads, 0, sizeof(real))
    cdef real* packed = <real*> plan.packed
    cdef real* arenas = <real*> plan.arenas
    with nogil:
        pack_parameters(net, &params[0], packed, False)
        for block in prange(n_blocks, num_threads=n_threads, schedule="dynamic"):
            forward_task(net, packed, X, h0, c0, block * net.block, output, hidden, h_n, c_n,
                         arenas + threadid() * net.arena_size, &interrupt)
    raise_interrupt(&interrupt)


cdef int raise_interrupt(Interrupt* interrupt) except -1:
    """Let a KeyboardInterrupt that was noticed while the GIL was released take its course."""
    return -1 if interrupt.stop else 0


cdef void backward_task(
    const Net* net, const real* packed, const real[:, :, :] X, const real[:, :, ::1] h0,
    const real[:, :, ::1] c0, const real[:, ::1] d_output, const real[:, :, ::1] d_hidden,
    const real[:, :, ::1] d_h_n, const real[:, :, ::1] d_c_n, Py_ssize_t slot_index,
    Py_ssize_t n_slots, real[:, :, ::1] d_X, real[:, :, ::1] d_h0, real[:, :, ::1] d_c0,
    real* slot, real* arena, Interrupt* interrupt,
) noexcept nogil:
    """One slot of `backward`: its blocks one after the other."""
    cdef Py_ssize_t start = slot_index * net.block, n, index, t, s
    cdef real* above
    while start < X.shape[0]:
        n = min(net.block, X.shape[0] - start)
        if interrupted(interrupt):
            return
        forward_block(net, packed, X, h0, c0, NULL, start, n, arena)
        for s in range(n):
            memcpy(arena + net.dy + s * net.K_pad, &d_output[start + s, 0], net.K * sizeof(real))
            for t in range(net.T):
                above = arena + net.d_above + (t * net.block + s) * net.above_row
                memset(above, 0, net.H_pad * sizeof(real))
                memcpy(above, &d_hidden[start + s, t, 0], net.H * sizeof(real))
        for index in range(net.n_layers - 1, -1, -1):
            load_states(net, d_h_n, index, start, n, arena + net.dh, net.H_pad)
            load_states(net, d_c_n, index, start, n, arena + net.dc, net.H_pad)
            if index == net.n_layers - 1:
                backward_head(net, packed, n, arena, slot)
            backward_layer(net, index, packed, n, True, True, arena, slot)
            export_states(net, arena + net.dh, net.H_pad, n, &d_h0[index, start, 0], net.H)
            export_states(net, arena + net.dc, net.H_pad, n, &d_c0[index, start, 0], net.H)
        for s in range(n):
            for t in range(net.T):
                memcpy(&d_X[start + s, t, 0],
                       arena + net.d_above + (t * net.block + s) * net.above_row,
                       net.n_features * sizeof(real))
        start += n_slots * net.block


def backward(
    const real[::1] params, const real[:, :, :] X, const real[:, :, ::1] h0,
    const real[:, :, ::1] c0, Py_ssize_t hidden_size, Py_ssize_t num_layers,
    const real[:, ::1] d_output, const real[:, :, ::1] d_hidden, const real[:, :, ::1] d_h_n,
    const real[:, :, ::1] d_c_n, real[::1] d_params, real[:, :, ::1] d_X, real[:, :, ::1] d_h0,
    real[:, :, ::1] d_c0, int n_threads,
):
    """Fill d_params, d_X, d_h0, d_c0 from the gradients of output, hidden states and final states.

    d_h_n, d_c_n (num_layers, n, H), or empty for zeros, as h0 and c0 are.
    """
    cdef Plan plan = Plan(X.shape[2], hidden_size, num_layers, d_output.shape[1], X.shape[1],
                          sizeof(real), True)
    cdef Net* net = &plan.net
    cdef Py_ssize_t n_slots = n_slots_of(net, X.shape[0]), slot
    cdef Interrupt interrupt = no_interrupt()
    n_threads = threads_for(net, X.shape[0], 3, n_slots, n_threads)
    plan.reserve(n_threads, n_slots, sizeof(real))
    cdef real* packed = <real*> plan.packed
    cdef real* slots = <real*> plan.slots
    cdef real* arenas = <real*> plan.arenas
    with nogil:
        pack_parameters(net, &params[0], packed, True)
        for slot in prange(n_slots, num_threads=n_threads, schedule="dynamic"):
            backward_task(net, packed, X, h0, c0, d_output, d_hidden, d_h_n, d_c_n, slot, n_slots,
                          d_X, d_h0, d_c0, slots + slot * net.slot_size,
                          arenas + threadid() * net.arena_size, &interrupt)
        collect_gradient(net, slots, n_slots, &d_params[0])
    raise_interrupt(&interrupt)


# ----------------------------------------------------------------------------------------------------
# Streaming: one sequence, one time step a call
# ----------------------------------------------------------------------------------------------------

cdef void take_step(
    const Net* net, const real* packed, const real* x, real* y, real* arena,
) noexcept nogil:
    """x (n_features,) to y (K,); the states stay in the arena, in step 0's places."""
    cdef const Layer* layer
    cdef const real* inputs = x
    cdef Py_ssize_t index
    for index in range(net.n_layers):
        layer = &net.layers[index]
        memcpy(arena + layer.xh + layer.in_pad - layer.n_in, inputs, layer.n_in * sizeof(real))
        forward_step(net, index, packed, 0, 1, arena)
        inputs = last_h(net, index, arena)
    forward_head(net, packed, 1, arena)
    memcpy(y, arena + net.y, net.K * sizeof(real))
    for index in range(net.n_layers):
        layer = &net.layers[index]
        memcpy(arena + layer.xh + layer.in_pad, last_h(net, index, arena), net.H * sizeof(real))


@cython.final
cdef class Stream:
    """Handle of a network with its weights packed once, and of the states of one sequence."""
    cdef Plan plan


def stream_open(
    const real[::1] params, Py_ssize_t n_features, Py_ssize_t hidden_size, Py_ssize_t num_layers,
    Py_ssize_t n_outputs,
):
    """A `Stream` in states of zero."""
    cdef Stream stream = Stream()
    stream.plan = Plan(n_features, hidden_size, num_layers, n_outputs, 1, sizeof(real), False)
    stream.plan.reserve(1, 0, sizeof(real))
    pack_parameters(&stream.plan.net, &params[0], <real*> stream.plan.packed, False)
    return stream


def stream_step(Stream stream, const real[::1] x, real[::1] y):
    """One time step: take x (n_features,), write y (n_outputs,)."""
    take_step(&stream.plan.net, <const real*> stream.plan.packed, &x[0], &y[0],
              <real*> stream.plan.arenas)


def stream_states(Stream stream, real[:, ::1] h, real[:, ::1] c, bint put):
    """Copy the states (num_layers, H) in, if `put`, or out."""
    cdef Net* net = &stream.plan.net
    cdef real* arena = <real*> stream.plan.arenas
    cdef Py_ssize_t index, j
    cdef real* own_h
    cdef real* own_c
    for index in range(net.n_layers):
        own_h = arena + net.layers[index].xh + net.layers[index].in_pad
        own_c = arena + net.layers[index].c
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
    const Net* net, const real* packed, const real[:, :, :] X, const real[:, ::1] y,
    const real[::1] weight, double total_weight, const real[:, :, ::1] no_states,
    const int64_t* order, Py_ssize_t n_samples, Py_ssize_t slot_index, Py_ssize_t n_slots,
    real* slot, real* arena, Interrupt* interrupt,
) noexcept nogil:
    """One slot of a batch: loss and gradient of its blocks, one after the other."""
    cdef Py_ssize_t start = slot_index * net.block, n, index
    cdef double loss = 0
    memset(slot, 0, net.slot_size * sizeof(real))
    while start < n_samples:
        n = min(net.block, n_samples - start)
        if interrupted(interrupt):
            return loss
        forward_block(net, packed, X, no_states, no_states, order, start, n, arena)
        loss += squared_error(net, y, weight, total_weight, order, start, n, arena)
        for index in range(net.n_layers - 1, -1, -1):
            memset(arena + net.dh, 0, n * net.H_pad * sizeof(real))
            memset(arena + net.dc, 0, n * net.H_pad * sizeof(real))
            if index == net.n_layers - 1:
                backward_head(net, packed, n, arena, slot)
            backward_layer(net, index, packed, n, index < net.n_layers - 1, index > 0, arena, slot)
        start += n_slots * net.block
    return loss


cdef double batch_gradient(
    const Net* net, const real[::1] params, const real[:, :, :] X, const real[:, ::1] y,
    const real[::1] weight, double total_weight, const real[:, :, ::1] no_states,
    const int64_t* order, Py_ssize_t n_samples, double alpha, real* packed, real* slots,
    real* arenas, real[::1] gradient, int n_threads, Interrupt* interrupt,
) noexcept nogil:
    """The loss of the batch `order[:n_samples]`, its L2 penalty included; fills `gradient`."""
    cdef Py_ssize_t n_slots = n_slots_of(net, n_samples), slot
    cdef double losses[MAX_SLOTS]
    cdef double loss = 0
    pack_parameters(net, &params[0], packed, True)
    for slot in prange(n_slots, num_threads=n_threads, schedule="dynamic"):
        losses[slot] = train_task(net, packed, X, y, weight, total_weight, no_states, order,
                                  n_samples, slot, n_slots, slots + slot * net.slot_size,
                                  arenas + threadid() * net.arena_size, interrupt)
    collect_gradient(net, slots, n_slots, &gradient[0])
    for slot in range(n_slots):
        loss += losses[slot]
    if alpha > 0:
        loss += l2_penalty(net, params, alpha / total_weight, gradient)
    return loss


cdef double l2_penalty(
    const Net* net, const real[::1] params, double strength, real[::1] gradient,
) noexcept nogil:
    """strength / 2 * sum of squared weights, and its gradient; biases are free."""
    cdef const Layer* layer
    cdef double total = 0
    cdef Py_ssize_t index
    for index in range(net.n_layers):
        layer = &net.layers[index]
        total += penalise(&params[0], layer.W, layer.b, strength, &gradient[0])     # W and U
    total += penalise(&params[0], net.V, net.d, strength, &gradient[0])
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


cdef double global_norm(const real[::1] gradient) noexcept nogil:
    """The Euclidean norm, in eight interleaved sums (a fixed order that need not wait for each add)."""
    cdef double sums[8]
    cdef double total = 0
    cdef Py_ssize_t n = gradient.shape[0], p, lane
    memset(sums, 0, sizeof(sums))
    for p in range(0, n - n % 8, 8):
        for lane in range(8):
            sums[lane] += <double> gradient[p + lane] * gradient[p + lane]
    for p in range(n - n % 8, n):
        sums[p % 8] += <double> gradient[p] * gradient[p]
    for lane in range(8):
        total += sums[lane]
    return sqrt(total)


cdef extern from "<math.h>" nogil:
    float sqrtf(float x)


cdef inline real square_root(real x) noexcept nogil:
    if real is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef void adam_update(
    real* params, const real* gradient, real scale, real* first, real* second, Py_ssize_t n,
    int64_t n_steps, double learning_rate, double beta_1, double beta_2, double epsilon,
) noexcept nogil:
    """Adam (Kingma & Ba 2015, algorithm 1): bias-corrected first and second moments.

    m = beta_1 m + (1 - beta_1) g;   v = beta_2 v + (1 - beta_2) g^2
    params -= learning_rate * m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon)
    """
    cdef real rate = <real> (learning_rate / (1 - beta_1 ** n_steps))
    cdef real root_correction = <real> (1 / sqrt(1 - beta_2 ** n_steps))
    cdef real keep_1 = <real> beta_1, keep_2 = <real> beta_2
    cdef real add_1 = <real> (1 - beta_1), add_2 = <real> (1 - beta_2), eps = <real> epsilon, g
    cdef Py_ssize_t p
    for p in range(n):
        g = scale * gradient[p]
        first[p] = keep_1 * first[p] + add_1 * g
        second[p] = keep_2 * second[p] + add_2 * g * g
        params[p] -= rate * first[p] / (square_root(second[p]) * root_correction + eps)


cdef void sgd_update(
    real* params, const real* gradient, real scale, real* velocity, Py_ssize_t n,
    double learning_rate, double momentum, bint nesterov,
) noexcept nogil:
    """Stochastic gradient descent with momentum, or Nesterov's (as Sutskever et al. 2013 write it).

    v = momentum v - learning_rate g;   params += v, or momentum v - learning_rate g with Nesterov
    """
    cdef real rate = <real> learning_rate * scale, keep = <real> momentum
    cdef Py_ssize_t p
    for p in range(n):
        velocity[p] = keep * velocity[p] - rate * gradient[p]
        params[p] += keep * velocity[p] - rate * gradient[p] if nesterov else velocity[p]


cdef double total_weight_of(
    const real[::1] weight, const int64_t* order, Py_ssize_t n_samples,
) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t s
    if weight.shape[0] == 0:
        return n_samples
    for s in range(n_samples):
        total += weight[order[s]]
    return total


def loss_and_gradient(
    const real[::1] params, const real[:, :, :] X, const real[:, ::1] y, const real[::1] weight,
    const int64_t[::1] order, Py_ssize_t hidden_size, Py_ssize_t num_layers, double alpha,
    real[::1] gradient, int n_threads,
):
    """Return the loss of the batch `order`; fill its gradient. `weight` (n,), or empty for ones."""
    cdef Plan plan = Plan(X.shape[2], hidden_size, num_layers, y.shape[1], X.shape[1],
                          sizeof(real), True)
    cdef Net* net = &plan.net
    cdef Py_ssize_t n_slots = n_slots_of(net, order.shape[0])
    cdef Interrupt interrupt = no_interrupt()
    cdef double loss
    n_threads = threads_for(net, order.shape[0], 3, n_slots, n_threads)
    plan.reserve(n_threads, n_slots, sizeof(real))
    cdef const real[:, :, ::1] no_states = np.empty((0, 0, 0), np.asarray(params).dtype)
    with nogil:
        loss = batch_gradient(
            net, params, X, y, weight, total_weight_of(weight, &order[0], order.shape[0]),
            no_states, &order[0], order.shape[0], alpha, <real*> plan.packed, <real*> plan.slots,
            <real*> plan.arenas, gradient, n_threads, &interrupt)
    raise_interrupt(&interrupt)
    return loss


def train(
    real[::1] params, const real[:, :, :] X, const real[:, ::1] y, const real[::1] weight,
    const int64_t[::1] order, Py_ssize_t batch_size, Py_ssize_t hidden_size, Py_ssize_t num_layers,
    double alpha, double max_grad_norm, real[:, ::1] moments, int64_t[::1] n_steps, double learning_rate,
    bint adam, double beta_1, double beta_2, double epsilon, double momentum, bint nesterov,
    int n_threads,
):
    """One pass over `order` in batches, updating params, moments and n_steps; return the mean loss.

    A batch: gradient, clipping to max_grad_norm (if > 0), update by Adam (moments (2, n_params)) or SGD
    (moments (1, n_params)). Its loss is divided by its size times the mean weight of all of `order`.
    A batch whose loss or gradient is not finite ends the pass before its
    update, and the loss returned is nan. n_steps (1,) counts the updates, of earlier passes too.
    """
    cdef Plan plan = Plan(X.shape[2], hidden_size, num_layers, y.shape[1], X.shape[1],
                          sizeof(real), True)
    cdef Net* net = &plan.net
    cdef Py_ssize_t n_samples = order.shape[0], start = 0, n
    cdef Py_ssize_t n_slots = n_slots_of(net, min(batch_size, n_samples))
    cdef Interrupt interrupt = no_interrupt()
    cdef double loss, total_loss = 0, norm
    cdef double mean_weight = total_weight_of(weight, &order[0], n_samples) / n_samples
    cdef const int64_t* batch
    cdef real scale
    n_threads = threads_for(net, min(batch_size, n_samples), 3, n_slots, n_threads)
    plan.reserve(n_threads, n_slots, sizeof(real))
    dtype = np.asarray(params).dtype
    cdef const real[:, :, ::1] no_states = np.empty((0, 0, 0), dtype)
    cdef real[::1] gradient = np.empty(net.n_params, dtype)
    with nogil:
        while start < n_samples:                                # batches
            n = min(batch_size, n_samples - start)
            batch = &order[start]
            start += n
            loss = batch_gradient(
                net, params, X, y, weight, n * mean_weight, no_states, batch, n, alpha,
                <real*> plan.packed, <real*> plan.slots, <real*> plan.arenas, gradient, n_threads,
                &interrupt)
            if interrupt.stop:
                break
            norm = global_norm(gradient)
            if not (isfinite(loss) and isfinite(norm)):
                total_loss = NAN
                break
            # torch.nn.utils.clip_grad_norm_'s factor
            scale = <real> min(1.0, max_grad_norm / (norm + 1e-6)) if max_grad_norm > 0 else 1
            n_steps[0] += 1
            if adam:
                adam_update(&params[0], &gradient[0], scale, &moments[0, 0], &moments[1, 0],
                            net.n_params, n_steps[0], learning_rate, beta_1, beta_2, epsilon)
            else:
                sgd_update(&params[0], &gradient[0], scale, &moments[0, 0], net.n_params,
                           learning_rate, momentum, nesterov)
            total_loss += loss * n
    raise_interrupt(&interrupt)
    return total_loss / n_samples
