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
    CACHE_LINE_BYTES = 64
    AREA_UNIT = 64              # elements: whole cache lines of either type
    LOOK_OPERATIONS = 2000000   # after so many, which take a millisecond or so, Ctrl-C is looked for


# An arena that would be larger holds a segment of the time steps.
cdef double forward_bytes = 2097152     # where steps are forgotten as soon as they are used: some cache
cdef double backward_bytes = 134217728  # where BPTT comes back to them, which is then more work


cdef enum:
    QUARTERS = 4                # of a register; four gates of any number of them are whole registers


cdef enum Room:
    # What a plan makes room for. Each includes those above it.
    LATEST_STEP                 # the step at hand, and all of them where a layer or the head reads them
    ALL_STEPS                   # the activations of all steps
    ALL_GRADIENTS               # and the gradients of all of them, and of the parameters


cdef struct Cell:
    # One direction of one layer. A reverse cell's steps go from the last time step to the first.
    Py_ssize_t index            # among the network's cells
    Py_ssize_t layer
    Py_ssize_t direction
    bint reverse
    Py_ssize_t n_in             # inputs: features, or hidden units of the layer below
    Py_ssize_t in_pad           # n_in padded to whole registers
    Py_ssize_t row              # length of an [x_t, h_{t-1}] row, in_pad + Hp; x right-aligned before h
    # in the flat parameter vector
    Py_ssize_t W                # (n_in, 4H)
    Py_ssize_t U                # (H, 4H)
    Py_ssize_t b                # (4H,)
    # among the packed weights, and equally among a slot's gradients
    Py_ssize_t packed_WU        # [tile][n_in + H][gate][units]
    Py_ssize_t packed_b         # [tile][gate][units]
    # among the packed weights: transposed, rows in the order of dz
    Py_ssize_t packed_Ut        # [panel][tile][gate][units][width * L]: 4Hu rows, Hp columns
    Py_ssize_t packed_Wt        # [panel][tile][gate][units][width * L]: 4Hu rows, in_pad columns
    # in a thread's arena. xh, h and c have room for what is before each step of a segment and after its
    # last; z for its steps. Where no step is read again there is room for fewer. Step s has the place s
    # modulo the number of places.
    Py_ssize_t xh               # [xh_steps][B][row]
    Py_ssize_t xh_steps
    Py_ssize_t h                # [xh_steps][B], rows h_row apart: those of xh, unless h is dropped there
    Py_ssize_t h_row
    Py_ssize_t c                # [c_steps][tile][B][units]
    Py_ssize_t c_steps
    Py_ssize_t z                # [tile][z_steps][B][gate][units], gates as groups
    Py_ssize_t z_steps
    Py_ssize_t dh               # [B][Hp]
    Py_ssize_t dc               # [tile][B][units]


cdef struct Net:
    Py_ssize_t n_cells          # layers times directions; a layer's directions side by side
    Py_ssize_t D                # directions
    Py_ssize_t n_features
    Py_ssize_t H
    Py_ssize_t K
    Py_ssize_t T
    bint sequences              # the head is applied at every time step
    Py_ssize_t S                # applications of the head: T if `sequences`, else 1
    bint mask_missing
    Py_ssize_t highway          # the last steps of which the head reads the inputs too
    Py_ssize_t lanes            # L
    Py_ssize_t H_pad            # Hp: H padded to whole registers
    Py_ssize_t H_units          # Hu: to whole quarters of one, the units of all tiles
    Py_ssize_t K_pad            # Kp
    Py_ssize_t DH_pad           # DHp: D * H padded to whole registers
    Py_ssize_t R                # what the head reads: D * H, and highway times the first layer's n_in
    Py_ssize_t R_pad            # Rp
    Py_ssize_t n_tiles
    Py_ssize_t n_whole          # of them those of L units, which come first
    Py_ssize_t block            # B
    Py_ssize_t chunk            # time steps whose dz become weight gradients together
    Py_ssize_t segment          # time steps that the arena has room for: T, or fewer
    Py_ssize_t n_segments
    Py_ssize_t row_step         # rows from one window of a series to the next, if they share x W; or 0
    Py_ssize_t look             # Ctrl-C is looked for at a segment's steps with these bits
    Dropout dropout
    # in the flat parameter vector
    Py_ssize_t V                # (R, K)
    Py_ssize_t highway_V        # V's rows of the highway: from here on, up to d
    Py_ssize_t d                # (K,)
    Py_ssize_t n_params
    # among the packed weights and a slot's gradients
    Py_ssize_t packed_V         # [panel][R][width * L]
    Py_ssize_t packed_d         # [Kp]
    Py_ssize_t slot_size        # all of the above: what a slot's gradient takes
    # among the packed weights
    Py_ssize_t packed_Vt        # [panel][K][width * L]: K rows, Rp columns
    Py_ssize_t packed_size
    # in a thread's arena
    Py_ssize_t y_steps          # steps of a segment at which the head is applied, or 1
    Py_ssize_t top              # [y_steps][B][Rp]: what the head reads
    Py_ssize_t y                # [y_steps][B][Kp]
    Py_ssize_t dy               # [y_steps][B][Kp]
    Py_ssize_t losses           # [B][S] of type double: of each application of the head
    Py_ssize_t d_top            # [B][Rp]
    Py_ssize_t dx               # [B][d_row]
    Py_ssize_t d_outer          # [segment][B][d_row]: gradient of a layer's outputs
    Py_ssize_t d_inner          # the same of its inputs; the same area in one direction
    Py_ssize_t d_row
    Py_ssize_t carried          # [B][n_features]: gradients of values that are missing, on their way
    Py_ssize_t hidden           # [B][L]: h of groups; of one, h and dh
    Py_ssize_t n_rows           # of the series, that a block's windows share in a segment
    Py_ssize_t rows             # [n_rows][in_pad]: x of each
    Py_ssize_t row_products     # [tile][n_rows][gate][units]: and x W + b
    Py_ssize_t kept             # [n_segments - 1][kept_size]: what each segment but the last starts from
    Py_ssize_t kept_size        # [cell][h, c][B][Hp], and with missing values [B][n_features]
    Py_ssize_t arena_size
    Cell* cells


cdef inline void copy_units(const real* source, real* target, Py_ssize_t n) noexcept nogil:
    """At most a register of numbers; a whole one, a half or a quarter is a move of known size."""
    cdef Py_ssize_t L = LANES_F if real is float else LANES_D
    if n == L:
        memcpy(target, source, L * sizeof(real))
    elif 2 * n == L:
        memcpy(target, source, L // 2 * sizeof(real))
    elif 4 * n == L:
        memcpy(target, source, L // 4 * sizeof(real))
    else:
        memcpy(target, source, n * sizeof(real))


cdef struct Tile:
    # Hidden units whose gates meet in registers. Most tiles have as many units as a register has lanes;
    # the last ones may have a half or a quarter of that, and then two or four samples, a group, fill a
    # register. What belongs to tiles lies tile by tile; a sample's or an input's row is [gate][units], a
    # group's four registers are [gate][sample][units].
    Py_ssize_t first            # unit; equally the units of all tiles before
    Py_ssize_t units
    Py_ssize_t samples          # in a group
    Py_ssize_t row              # 4 * units elements
    Py_ssize_t width            # registers that these are


cdef inline Tile tile_at(const Net* net, Py_ssize_t index) noexcept nogil:
    """The one place that knows the tiles' shapes."""
    cdef Tile tile
    cdef Py_ssize_t L = net.lanes, halvings = 0                 # shifts: a division takes long
    tile.first = index * L
    if index >= net.n_whole:
        if index > net.n_whole:
            tile.first -= L >> 1
        halvings = 2 if 2 * (net.H_units - tile.first) < L else 1
    tile.samples = 1 << halvings
    tile.units = L >> halvings
    tile.row = 4 * tile.units
    tile.width = 4 >> halvings
    return tile


cdef inline Py_ssize_t n_groups_of(const Tile* tile, Py_ssize_t n) noexcept nogil:
    """Groups of so many samples."""
    return n if tile.samples == 1 else (n + 1) >> 1 if tile.samples == 2 else (n + 3) >> 2


cdef inline void regroup(const Tile* tile, real* group, bint back) noexcept nogil:
    """From the rows of a group's samples to the registers of its gates, or back."""
    if tile.samples == 2:
        regroup_registers(group, True, back)
    elif tile.samples == 4:
        regroup_registers(group, False, back)


# More elements than any memory holds, few enough to be counted in; areas that would be larger are a
# network's whose plan is refused.
cdef extern from *:
    """
    #define TOO_MANY (PY_SSIZE_T_MAX / 64)
    """
    const Py_ssize_t TOO_MANY


cdef inline Py_ssize_t reserve_area(
    Py_ssize_t* total, Py_ssize_t count, Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    """Where so many elements begin that are added at the end of what `total` counts: on a cache line.

    A total that nothing could hold becomes TOO_MANY, and stays it.
    """
    cdef Py_ssize_t start = total[0]
    if <double> total[0] + <double> count * rows * columns >= <double> TOO_MANY:
        total[0] = TOO_MANY
    else:
        total[0] += padded(count * rows * columns, AREA_UNIT)
    return start


cdef int set_dimensions(
    Net* net, dimensions, Py_ssize_t n_samples, Py_ssize_t n_timesteps, Py_ssize_t itemsize,
) except -1:
    """From `_options.Dimensions` to what the network's arrays are measured in."""
    cdef Py_ssize_t L = LANES_F if itemsize == sizeof(float) else LANES_D, num_layers, block
    cdef double operations
    (net.n_features, net.H, num_layers, net.K, net.D, net.sequences, net.mask_missing,
     net.highway) = fields_of(dimensions)
    net.n_cells = num_layers * net.D
    net.T = n_timesteps
    net.S = net.T if net.sequences else 1
    net.lanes = L
    net.H_pad = padded(net.H, L)
    net.K_pad = padded(net.K, L)
    net.DH_pad = padded(net.D * net.H, L)
    net.R = net.D * net.H + net.highway * net.n_features * (1 + net.mask_missing)
    net.R_pad = padded(net.R, L)
    net.H_units = padded(net.H, L // QUARTERS if L >= QUARTERS else L)
    net.n_whole = net.n_tiles = net.H_units // L
    if net.H_units > net.n_whole * L:           # one quarter, a half, or both
        net.n_tiles += 2 if QUARTERS * (net.H_units - net.n_whole * L) == 3 * L else 1
    block = WIDE_BLOCK if net.H >= WIDE_HIDDEN_SIZE else NARROW_BLOCK
    # of a whole block, for the same sums whatever the batch
    net.chunk = max(1, CACHED_BYTES // (block * 4 * net.H_pad * itemsize))
    net.block = min(block, padded(n_samples, tile_at(net, net.n_tiles - 1).samples))
    operations = 100. * net.H_pad + 8. * net.H * (net.H + max(net.n_features, net.D * net.H))
    while net.look < 65535 and operations * net.block * net.look < LOOK_OPERATIONS:
        net.look = 2 * net.look + 1
    return 0


cdef void lay_out_cell(Net* net, Py_ssize_t index, Room room, bint ragged) noexcept nogil:
    """What the forward pass needs of a cell, behind what net's sizes count already."""
    cdef Cell* cell = &net.cells[index]
    cdef Py_ssize_t B = net.block, gates = 4 * net.H_units
    cell.index = index
    cell.layer = index // net.D
    cell.direction = index % net.D
    cell.reverse = cell.direction == 1
    cell.n_in = net.D * net.H if cell.layer > 0 else net.n_features * (1 + net.mask_missing)
    cell.in_pad = padded(cell.n_in, net.lanes)
    cell.row = cell.in_pad + net.H_pad
    cell.W = net.n_params
    cell.U = cell.W + cell.n_in * 4 * net.H
    cell.b = cell.U + net.H * 4 * net.H
    net.n_params = cell.b + 4 * net.H
    cell.packed_WU = reserve_area(&net.packed_size, 1, cell.n_in + net.H, gates)
    cell.packed_b = reserve_area(&net.packed_size, 1, 1, gates)
    # Hidden states are read again: by the layer above, by a head at every step, by BPTT. Inputs with
    # missing values are loaded for a whole segment at once.
    if room >= ALL_STEPS or index < net.n_cells - net.D or net.sequences or net.mask_missing:
        cell.xh_steps = net.segment + 1
        if room == ALL_GRADIENTS and net.n_segments > 1:
            cell.xh_steps = net.segment + net.chunk         # a chunk's steps are to lie side by side
    else:
        cell.xh_steps = 2
    # A step writes c in the place of the one before, unless samples that have ended are to keep theirs.
    cell.c_steps = net.segment + 1 if room >= ALL_STEPS else 2 if ragged else 1
    cell.z_steps = net.segment if room >= ALL_STEPS else 1
    cell.xh = reserve_area(&net.arena_size, cell.xh_steps, B, cell.row)
    if net.dropout.recurrent_rate > 0:
        cell.h = reserve_area(&net.arena_size, cell.xh_steps, B, net.H_pad)
        cell.h_row = net.H_pad
    else:
        cell.h = cell.xh + cell.in_pad
        cell.h_row = cell.row
    cell.c = reserve_area(&net.arena_size, cell.c_steps, B, net.H_units)
    cell.z = reserve_area(&net.arena_size, cell.z_steps, B, gates)


cdef void lay_out_head(Net* net) noexcept nogil:
    """The same of the head: the last of the parameters, and of what a slot has gradients of."""
    net.V = net.n_params
    net.highway_V = net.V + net.D * net.H * net.K
    net.d = net.V + net.R * net.K
    net.n_params = net.d + net.K
    net.packed_V = reserve_area(&net.packed_size, 1, net.R, net.K_pad)
    net.packed_d = reserve_area(&net.packed_size, 1, 1, net.K_pad)
    net.slot_size = net.packed_size
    net.y_steps = net.segment if net.sequences else 1
    net.top = reserve_area(&net.arena_size, net.y_steps, net.block, net.R_pad)
    net.y = reserve_area(&net.arena_size, net.y_steps, net.block, net.K_pad)


cdef void lay_out_gradients(Net* net, Py_ssize_t itemsize) noexcept nogil:
    """What the backward pass needs beyond that."""
    cdef Cell* cell
    cdef Py_ssize_t B = net.block, gates = 4 * net.H_units, index
    for index in range(net.n_cells):
        cell = &net.cells[index]
        cell.packed_Ut = reserve_area(&net.packed_size, 1, net.H_pad, gates)
        cell.packed_Wt = reserve_area(&net.packed_size, 1, cell.in_pad, gates)
        cell.dh = reserve_area(&net.arena_size, 1, B, net.H_pad)
        cell.dc = reserve_area(&net.arena_size, 1, B, net.H_units)
    net.packed_Vt = reserve_area(&net.packed_size, 1, net.K, net.R_pad)
    net.dy = reserve_area(&net.arena_size, net.y_steps, B, net.K_pad)
    net.losses = reserve_area(&net.arena_size, net.S, B, sizeof(double) // itemsize)
    net.d_top = reserve_area(&net.arena_size, 1, B, net.R_pad)
    net.d_row = max(net.DH_pad, net.cells[0].in_pad)
    net.d_outer = net.d_inner = reserve_area(&net.arena_size, net.segment, B, net.d_row)
    if net.D == 2:
        net.d_inner = reserve_area(&net.arena_size, net.segment, B, net.d_row)
        net.dx = reserve_area(&net.arena_size, 1, B, net.d_row)
    if net.mask_missing:
        net.carried = reserve_area(&net.arena_size, 1, B, net.n_features)
    net.kept = reserve_area(&net.arena_size, net.n_segments - 1, 1, net.kept_size)


cdef void lay_out(
    Net* net, Room room, bint ragged, Py_ssize_t itemsize, Py_ssize_t segment,
) noexcept nogil:
    """Everything, for so many time steps at a time."""
    cdef Py_ssize_t index
    net.n_params = net.packed_size = net.arena_size = 0
    net.segment = segment
    net.n_segments = padded(net.T, segment) // segment
    net.hidden = reserve_area(&net.arena_size, 1, net.block, net.lanes)
    net.n_rows = (net.block - 1) * net.row_step + segment if net.row_step > 0 else 0
    net.rows = reserve_area(&net.arena_size, net.n_rows, 1, padded(net.n_features, net.lanes))
    net.row_products = reserve_area(&net.arena_size, net.n_rows, 4, net.H_units)
    for index in range(net.n_cells):
        lay_out_cell(net, index, room, ragged)
    lay_out_head(net)
    if room == ALL_GRADIENTS:
        net.kept_size = net.block * (2 * net.n_cells * net.H_pad + net.mask_missing * net.n_features)
        lay_out_gradients(net, itemsize)


cdef Py_ssize_t segment_for(const Net* net, Room room, Py_ssize_t itemsize) noexcept nogil:
    """Time steps to take at a time, of a network that is laid out for all of them at once.

    A reverse cell starts at the end, so that a layer's output is there only after all steps. In one
    direction an arena holds a segment. Going forward its size is that of a cache. Backward everything is
    kept while it is small enough; then only the states that segments start from are, and the rest is
    computed once more: with segments of about sqrt(T) steps, so is memory (Chen et al. 2016). Segments
    are whole chunks, and only sizes decide: the same sums in the same order.
    """
    cdef double step_size = <double> net.arena_size / net.T, steps
    cdef Py_ssize_t unit = net.chunk if room == ALL_GRADIENTS else 1
    cdef double limit = backward_bytes if room == ALL_GRADIENTS else forward_bytes
    if net.D == 2 or net.arena_size * itemsize <= limit or net.arena_size == TOO_MANY:
        return net.T
    if room == ALL_GRADIENTS:
        steps = sqrt(net.T * (net.kept_size / step_size))
    else:
        steps = forward_bytes / (step_size * itemsize)
    return min(net.T, padded(max(1, <Py_ssize_t> steps), unit))


@cython.final
cdef class Plan:
    """Owns a `Net`, the dimensions of one call and the layout of its memory, and that memory."""
    cdef Net net
    cdef Room room
    cdef Py_ssize_t itemsize
    cdef void* memory           # as allocated
    cdef void* packed           # [packed_size], on a cache line like the others
    cdef void* slots            # [n_slots][slot_size]
    cdef void* arenas           # [n_threads][arena_size]

    cdef int reserve(self, Py_ssize_t n_threads, Py_ssize_t n_slots) except -1:
        """Take the memory, all zeros: what is never written, the padding, stays zero."""
        cdef double wanted = self.itemsize * (
            <double> self.net.packed_size + <double> n_slots * self.net.slot_size
            + <double> n_threads * self.net.arena_size) + CACHE_LINE_BYTES
        cdef size_t packed = self.net.packed_size * self.itemsize
        cdef size_t slots = n_slots * self.net.slot_size * self.itemsize
        if wanted < <double> TOO_MANY:
            self.memory = zeroed_memory(<size_t> wanted)
        if self.memory == NULL:
            raise MemoryError(f"The network needs {wanted:.3g} bytes of working memory.")
        self.packed = (<char*> self.memory + CACHE_LINE_BYTES
                       - <uintptr_t> self.memory % CACHE_LINE_BYTES)
        self.slots = <char*> self.packed + packed
        self.arenas = <char*> self.slots + slots
        return 0

    def __dealloc__(self):
        free(self.memory)
        free(self.net.cells)


cdef Plan plan_of(
    dimensions, Py_ssize_t n_samples, Py_ssize_t n_timesteps, Py_ssize_t itemsize, Room room,
    bint ragged, dropout, Py_ssize_t row_step=0,
):
    """The plan of a call: `_options.Dimensions`, sizes, and what it makes room for.

    n_samples: the most at a time. `ragged`: samples may end before step T. `dropout`:
    `_options.Dropout`, or None. `row_step`: of windows that overlap, to use that where it pays.
    """
    cdef Plan plan = Plan.__new__(Plan)
    cdef Net* net = &plan.net
    cdef Py_ssize_t segment
    plan.room, plan.itemsize = room, itemsize
    set_dimensions(net, dimensions, n_samples, n_timesteps, itemsize)
    net.dropout = dropout_of(dropout)
    if 2 * ((net.block - 1) * row_step + net.T) <= net.block * net.T and not net.mask_missing:
        net.row_step = row_step
    net.cells = <Cell*> calloc(net.n_cells, sizeof(Cell))
    if net.cells == NULL:
        raise MemoryError()
    lay_out(net, room, ragged, itemsize, net.T)
    segment = segment_for(net, room, itemsize)
    if segment < net.T:
        lay_out(net, room, ragged, itemsize, segment)
    return plan


cdef Plan copy_of(Plan plan):
    """A plan of the same layout, for one thread, whose memory holds the same."""
    cdef Plan copied = Plan.__new__(Plan)
    cdef size_t n_bytes = (plan.net.packed_size + plan.net.arena_size) * plan.itemsize
    copied.net, copied.room, copied.itemsize = plan.net, plan.room, plan.itemsize
    copied.net.cells = <Cell*> calloc(plan.net.n_cells, sizeof(Cell))
    if copied.net.cells == NULL:
        raise MemoryError()
    memcpy(copied.net.cells, plan.net.cells, plan.net.n_cells * sizeof(Cell))
    copied.reserve(1, 0)
    memcpy(copied.packed, plan.packed, n_bytes)
    return copied


cdef Py_ssize_t n_blocks_of(const Net* net, Py_ssize_t n_samples) noexcept nogil:
    """Blocks that so many samples are cut into."""
    return padded(n_samples, net.block) // net.block


cdef Py_ssize_t n_slots_of(const Net* net, Py_ssize_t n_samples) noexcept nogil:
    """Slots that collect the gradients of so many samples."""
    return min(n_blocks_of(net, n_samples), MAX_SLOTS)
