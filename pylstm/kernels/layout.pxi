"""The network's dimensions, and where each array lies: in the flat parameters, packed, in an arena.

`Plan` lays out and owns the memory of one call. An array that the kernels need gets its offset here, in
`Cell` (one for each layer and direction) or `Net`, with its shape beside it.
"""

cdef extern from "kernels/runtime.h" nogil:
    void* zeroed_memory(size_t n_bytes)


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
