"""Forward: a block of samples through all layers, a segment of its time steps at a time.

The counterpart of `backward.pxi`, in the same order: what a step reads, the step, a cell, the head, the
segment. A new input or option of a layer is loaded here and its gradient goes back there.
"""

cdef inline real* xh_at(const Net* net, const Cell* cell, Py_ssize_t step, real* arena) noexcept nogil:
    """The rows [x, h] that the cell's step reads: (B, row), x starting in_pad - n_in into a row."""
    return arena + cell.xh + (step % cell.xh_steps) * net.block * cell.row


cdef inline real* h_at(const Net* net, const Cell* cell, Py_ssize_t step, real* arena) noexcept nogil:
    """The hidden states before the cell's step, rows h_row apart; those after it are at step + 1."""
    return arena + cell.h + (step % cell.xh_steps) * net.block * cell.h_row


cdef inline real* c_at(const Net* net, const Cell* cell, Py_ssize_t step, real* arena) noexcept nogil:
    """The cell states before the cell's step, [tile][B][units]: for `put_units` and `get_units`."""
    return arena + cell.c + (step % cell.c_steps) * net.block * net.H_units


cdef inline void put_units(
    const Net* net, Py_ssize_t s, const real* row, real* target,
) noexcept nogil:
    """A sample's units (H,) into their places in [tile][B][units]."""
    cdef Py_ssize_t index
    cdef Tile tile
    for index in range(net.n_tiles):
        tile = tile_at(net, index)
        copy_units(row + tile.first, target + tile.first * net.block + s * tile.units,
                   min(tile.units, net.H - tile.first))


cdef inline void get_units(
    const Net* net, Py_ssize_t s, const real* source, real* row,
) noexcept nogil:
    """The inverse of `put_units`."""
    cdef Py_ssize_t index
    cdef Tile tile
    for index in range(net.n_tiles):
        tile = tile_at(net, index)
        copy_units(source + tile.first * net.block + s * tile.units, row + tile.first,
                   min(tile.units, net.H - tile.first))


cdef void load_states(
    const Net* net, const Cell* cell, const real* states, Py_ssize_t n_states, const Block* block,
    real* target, Py_ssize_t target_row,
) noexcept nogil:
    """States [cell][n_states][H] of one cell into the block's rows; zeros where there are none."""
    cdef Py_ssize_t s
    for s in range(block.n):
        memset(target + s * target_row, 0, net.H_pad * sizeof(real))
        if states != NULL:
            memcpy(target + s * target_row,
                   states + (cell.index * n_states + block.state[s]) * net.H, net.H * sizeof(real))


cdef void save_states(
    const Net* net, const Cell* cell, const real* source, Py_ssize_t source_row, Py_ssize_t n_states,
    const Block* block, real* states,
) noexcept nogil:
    """The inverse of `load_states`."""
    cdef Py_ssize_t s
    for s in range(block.n):
        memcpy(states + (cell.index * n_states + block.state[s]) * net.H, source + s * source_row,
               net.H * sizeof(real))


cdef void load_cell_states(
    const Net* net, const Cell* cell, const real* states, Py_ssize_t n_states, const Block* block,
    real* target,
) noexcept nogil:
    """`load_states` for c, tile by tile."""
    cdef Py_ssize_t s
    memset(target, 0, net.block * net.H_units * sizeof(real))
    if states != NULL:
        for s in range(block.n):
            put_units(net, s, states + (cell.index * n_states + block.state[s]) * net.H, target)


cdef void save_cell_states(
    const Net* net, const Cell* cell, const real* source, Py_ssize_t n_states, const Block* block,
    real* states,
) noexcept nogil:
    """The inverse of `load_cell_states`."""
    cdef Py_ssize_t s
    for s in range(block.n):
        get_units(net, s, source, states + (cell.index * n_states + block.state[s]) * net.H)


cdef void load_features(
    const Net* net, const Cell* cell, const Batch* batch, const Block* block, Py_ssize_t step,
    real* arena,
) noexcept nogil:
    """x of the first layer, gathered from X; zeros after a sample's end."""
    cdef real* x = xh_at(net, cell, step, arena) + cell.in_pad - cell.n_in
    cdef Py_ssize_t s
    for s in range(block.n):
        if step < block.length[s]:
            load_inputs(batch, net.n_features, block.sample[s],
                        step_of(cell, step, block.length[s]), x + s * cell.row)
        else:
            memset(x + s * cell.row, 0, cell.n_in * sizeof(real))


cdef inline void fill_missing(
    Py_ssize_t n_features, const real* values, const real* last, real* x,
) noexcept nogil:
    """x = [observed values, or else the last ones; 1 for a missing value, 0 for one observed].

    After Lipton, Kale & Wetzel (2016) and Che et al. (2018). `values` are NaN where one is missing, and
    may lie in x; `last` is the x of the time step before, or NULL at the first.
    """
    cdef Py_ssize_t feature
    cdef real value
    for feature in range(n_features):
        value = values[feature]
        x[n_features + feature] = isnan(value)
        if isnan(value):
            value = last[feature] if last != NULL else 0
        x[feature] = value


cdef void load_masked_features(
    const Net* net, const Cell* cell, const Batch* batch, const Block* block, real* arena,
) noexcept nogil:
    """x of the first layer at a segment's steps, in the order of time, as values are carried on."""
    cdef Py_ssize_t s, t, step, offset
    cdef const real* last
    cdef real* x
    for s in range(block.n):
        offset = s * cell.row + cell.in_pad - cell.n_in
        last = xh_at(net, cell, block.first - 1, arena) + offset if block.first > 0 else NULL
        for t in range(block.first, min(block.stop, block.length[s])):
            x = xh_at(net, cell, step_of(cell, t, block.length[s]), arena) + offset
            load_inputs(batch, net.n_features, block.sample[s], t, x)
            fill_missing(net.n_features, x, last, x)
            last = x
        for step in range(max(block.first, block.length[s]), block.stop):
            memset(xh_at(net, cell, step, arena) + offset, 0, cell.n_in * sizeof(real))


cdef void load_outputs(
    const Net* net, Py_ssize_t layer, const Batch* batch, const Block* block, Py_ssize_t s,
    Py_ssize_t t, real* target, real* arena,
) noexcept nogil:
    """What a layer puts out at time step t of sample s, (D * H,): each direction's h_t, with dropout."""
    cdef const Cell* cell
    cdef Py_ssize_t direction, step
    for direction in range(net.D):
        cell = &net.cells[layer * net.D + direction]
        step = step_of(cell, t, block.length[s])
        memcpy(target + direction * net.H,
               h_at(net, cell, step + 1, arena) + s * cell.h_row, net.H * sizeof(real))
        if net.dropout.rate > 0:
            drop(&net.dropout, OUTPUT_MASK, visit_of(batch, block, s), cell.index, t, net.H,
                 target + direction * net.H)


cdef void load_outputs_below(
    const Net* net, const Cell* cell, const Batch* batch, const Block* block, Py_ssize_t step,
    real* arena,
) noexcept nogil:
    """x of a layer above the first: the outputs of the one below; zeros after a sample's end."""
    cdef real* x = xh_at(net, cell, step, arena) + cell.in_pad - cell.n_in
    cdef Py_ssize_t s
    for s in range(block.n):
        if step < block.length[s]:
            load_outputs(net, cell.layer - 1, batch, block, s,
                         step_of(cell, step, block.length[s]), x + s * cell.row, arena)
        else:
            memset(x + s * cell.row, 0, cell.n_in * sizeof(real))


cdef void load_dropped_hidden(
    const Net* net, const Cell* cell, const Batch* batch, const Block* block, Py_ssize_t step,
    real* arena,
) noexcept nogil:
    """h_{t-1}, with dropout, into the rows that the cell's step reads."""
    cdef const real* h = h_at(net, cell, step, arena)
    cdef real* target = xh_at(net, cell, step, arena) + cell.in_pad
    cdef Py_ssize_t s
    for s in range(block.n):
        memcpy(target + s * cell.row, h + s * cell.h_row, net.H * sizeof(real))
        drop(&net.dropout, RECURRENT_MASK, visit_of(batch, block, s), cell.index, 0, net.H,
             target + s * cell.row)


cdef void hold_states(
    const Net* net, const Cell* cell, const Block* block, Py_ssize_t step, real* arena,
) noexcept nogil:
    """After a sample's end its states stay what they were."""
    cdef Py_ssize_t s, index, place
    cdef const real* c = c_at(net, cell, step, arena)
    cdef real* c_next = c_at(net, cell, step + 1, arena)
    cdef Tile tile
    for s in range(block.n):
        if step >= block.length[s]:
            memcpy(h_at(net, cell, step + 1, arena) + s * cell.h_row,
                   h_at(net, cell, step, arena) + s * cell.h_row, net.H * sizeof(real))
            for index in range(net.n_tiles):
                tile = tile_at(net, index)
                place = tile.first * net.block + s * tile.units
                copy_units(c + place, c_next + place, tile.units)


cdef inline real* z_at(
    const Net* net, const Cell* cell, const Tile* tile, Py_ssize_t step, real* arena,
) noexcept nogil:
    """The step's gates, or after it went backward dz, of one tile: (B, gate, units)."""
    return arena + cell.z + net.block * (cell.z_steps * 4 * tile.first
                                         + step % cell.z_steps * tile.row)


cdef inline Py_ssize_t z_tile(const Net* net, const Cell* cell) noexcept nogil:
    """How far whole tiles are apart in z."""
    return cell.z_steps * net.block * 4 * net.lanes


cdef void forward_tile(
    const Net* net, const Tile* tile, Py_ssize_t n, real* z, real* c, real* c_next, real* h_next,
    Py_ssize_t h_row, real* registers,
) noexcept nogil:
    """The gates of a tile and n samples, group by group; h_next are rows of samples."""
    cdef Py_ssize_t L = net.lanes, n_groups = n_groups_of(tile, n), group, s
    if tile.samples > 1:
        for group in range(n_groups):
            regroup(tile, z + group * 4 * L, False)
    for group in range(n_groups):
        cell_forward_at(z + group * 4 * L, c + group * L, c_next + group * L)
    if tile.samples == 1:
        for s in range(n):
            hidden_forward_at(z + s * 4 * L, c_next + s * L, h_next + s * h_row)
        return
    for group in range(n_groups):
        hidden_forward_at(z + group * 4 * L, c_next + group * L, registers + group * L)
    for s in range(n):
        copy_units(registers + s * tile.units, h_next + s * h_row, tile.units)


cdef inline void tile_product(
    const Net* net, const Cell* cell, const Tile* tile, const real* packed, Py_ssize_t n,
    Py_ssize_t n_inputs, const real* xh, Py_ssize_t xh_row, real* z,
) noexcept nogil:
    """z_t = [x_t, h_{t-1}] [W; U] + b of a tile, from the first n_inputs of a row."""
    product(tile.width, n, 1, n_inputs, xh, xh_row, 1, 0,
            packed + cell.packed_WU + 4 * tile.first * (cell.n_in + net.H), tile.row, 0,
            packed + cell.packed_b + 4 * tile.first, 0, True, z, tile.row)


cdef inline real* row_products_at(const Net* net, const Tile* tile, real* arena) noexcept nogil:
    """x W + b of the rows of the series in the block's segment, of one tile: (n_rows, gate, units)."""
    return arena + net.row_products + net.n_rows * 4 * tile.first


cdef void multiply_rows(
    const Net* net, const Cell* cell, const real* packed, const Batch* batch, const Block* block,
    real* arena,
) noexcept nogil:
    """x W + b, once for each row of the series, of which overlapping windows have most in common."""
    cdef Py_ssize_t n = (block.n - 1) * net.row_step + block.stop - block.first, index, row
    cdef Py_ssize_t in_pad = padded(net.n_features, net.lanes)
    cdef Tile tile
    for row in range(n):                    # as steps of the first window, though it may have ended
        load_inputs(batch, net.n_features, block.sample[0], block.first + row,
                    arena + net.rows + row * in_pad)
    for index in range(net.n_tiles):
        tile = tile_at(net, index)
        tile_product(net, cell, &tile, packed, n, cell.n_in, arena + net.rows, in_pad,
                     row_products_at(net, &tile, arena))


cdef inline bint shares_rows(const Net* net, const Cell* cell, const Block* block) noexcept nogil:
    """Whether the cell's x W + b are those of `multiply_rows`."""
    return cell.layer == 0 and net.row_step > 0 and block.n > 1


cdef inline void shared_product(
    const Net* net, const Cell* cell, const Tile* tile, const real* packed, const Block* block,
    Py_ssize_t step, Py_ssize_t n_hidden, const real* h, real* z, real* arena,
) noexcept nogil:
    """The sums of `tile_product`, gone on with after x W + b."""
    cdef Py_ssize_t t = step_of(cell, step, net.T) - block.first
    product(tile.width, block.n, 1, n_hidden, h, cell.row, 1, 0,
            packed + cell.packed_WU + 4 * tile.first * (cell.n_in + net.H) + cell.n_in * tile.row,
            tile.row, 0,
            row_products_at(net, tile, arena) + t * tile.row, net.row_step * tile.row, True,
            z, tile.row)


cdef void forward_step(
    const Net* net, const Cell* cell, const real* packed, Py_ssize_t step, Py_ssize_t n,
    bint from_zeros, const Block* shared, real* arena,
) noexcept nogil:
    """One step of one cell: x_t, h_{t-1} and c_{t-1} are in their places; h_t and c_t will be.

    `from_zeros`: h_{t-1} is zero, and h_{t-1} U left out. `shared`: the block, if its windows share rows
    and their products stand for x_t, or NULL.
    """
    cdef Py_ssize_t L = net.lanes, B = net.block, n_rows = cell.n_in + net.H, index
    cdef Py_ssize_t n_inputs = cell.n_in if from_zeros else n_rows
    cdef real* xh = xh_at(net, cell, step, arena) + cell.in_pad - cell.n_in
    cdef real* h_next = h_at(net, cell, step + 1, arena)
    cdef real* c = c_at(net, cell, step, arena)
    cdef real* c_next = c_at(net, cell, step + 1, arena)
    cdef Tile tile = tile_at(net, 0)
    cdef real* z = z_at(net, cell, &tile, step, arena)
    if n == 1:                                      # all tiles first, so that their chains overlap
        row_product(net.n_whole, n_inputs, xh, packed + cell.packed_WU, 4 * L, n_rows * 4 * L,
                    packed + cell.packed_b, 4 * L, z, z_tile(net, cell))
        for index in range(net.n_whole, net.n_tiles):
            tile = tile_at(net, index)
            tile_product(net, cell, &tile, packed, n, n_inputs, xh, cell.row,
                         z_at(net, cell, &tile, step, arena))
    for index in range(net.n_tiles):
        tile = tile_at(net, index)
        z = z_at(net, cell, &tile, step, arena)
        if shared != NULL:
            shared_product(net, cell, &tile, packed, shared, step, n_inputs - cell.n_in,
                           xh + cell.n_in, z, arena)
        elif n > 1:
            tile_product(net, cell, &tile, packed, n, n_inputs, xh, cell.row, z)
        forward_tile(net, &tile, n, z, c + tile.first * B, c_next + tile.first * B,
                     h_next + tile.first, cell.h_row, arena + net.hidden)


cdef void load_first_states(
    const Net* net, const Batch* batch, const Block* block, real* arena,
) noexcept nogil:
    """The states before the first step of all cells."""
    cdef const Cell* cell
    cdef Py_ssize_t index
    for index in range(net.n_cells):
        cell = &net.cells[index]
        load_states(net, cell, <const real*> batch.h, batch.n_states, block,
                    h_at(net, cell, 0, arena), cell.h_row)
        load_cell_states(net, cell, <const real*> batch.c, batch.n_states, block,
                         c_at(net, cell, 0, arena))


cdef inline bint starts_from_zeros(const Batch* batch, Py_ssize_t step) noexcept nogil:
    """Whether h before the cell's step is zero for certain."""
    return step == 0 and batch.h == NULL


cdef void forward_cell(
    const Net* net, const Cell* cell, const real* packed, const Batch* batch, const Block* block,
    real* arena,
) noexcept nogil:
    """A segment's steps of one cell, from the states that are in the places before the first."""
    cdef Py_ssize_t step, n = block.n
    cdef const Block* shared = block if shares_rows(net, cell, block) else NULL
    if shared != NULL:
        multiply_rows(net, cell, packed, batch, block, arena)
    elif cell.layer == 0 and net.mask_missing:
        load_masked_features(net, cell, batch, block, arena)
    for step in range(block.first, block.stop):                 # time steps, in the cell's order
        if stopped(net, block, step):
            return
        if cell.layer > 0:
            load_outputs_below(net, cell, batch, block, step, arena)
        elif shared == NULL and not net.mask_missing:
            load_features(net, cell, batch, block, step, arena)
        if net.dropout.recurrent_rate > 0:
            load_dropped_hidden(net, cell, batch, block, step, arena)
        while step >= block.length[n - 1]:                      # the last samples, where they have ended
            n -= 1
        forward_step(net, cell, packed, step, n, starts_from_zeros(batch, step), shared, arena)
        if block.ragged:
            hold_states(net, cell, block, step, arena)


cdef inline void head_product(
    const Net* net, const real* packed, Py_ssize_t n, const real* top, real* y,
) noexcept nogil:
    """y = h V + d."""
    packed_product(net.lanes, net.K_pad // net.lanes, n, net.R, top, net.R_pad,
                   packed + net.packed_V, packed + net.packed_d, y, net.K_pad)


cdef inline Py_ssize_t final_time(const Cell* cell, const Block* block, Py_ssize_t s) noexcept nogil:
    """The time step that the cell reads last."""
    return step_of(cell, block.length[s] - 1, block.length[s])


cdef void load_final_outputs(
    const Net* net, const Batch* batch, const Block* block, real* arena,
) noexcept nogil:
    """What the head reads where it is applied once: h after the last step of each direction."""
    cdef const Cell* cell
    cdef Py_ssize_t direction, s
    cdef real* target
    for direction in range(net.D):
        cell = &net.cells[net.n_cells - net.D + direction]
        for s in range(block.n):
            target = arena + net.top + s * net.R_pad + direction * net.H
            memcpy(target, h_at(net, cell, block.n_steps, arena) + s * cell.h_row,
                   net.H * sizeof(real))
            if net.dropout.rate > 0:
                drop(&net.dropout, OUTPUT_MASK, visit_of(batch, block, s), cell.index,
                     final_time(cell, block, s), net.H, target)


cdef void load_highway(
    const Net* net, const Batch* batch, const Block* block, real* arena,
) noexcept nogil:
    """The inputs of each sample's last steps, beside its final outputs; zeros before its first step."""
    cdef Py_ssize_t F = net.n_features, n_in = net.cells[0].n_in, s, t, feature
    cdef real* x
    for s in range(block.n):
        x = arena + net.top + s * net.R_pad + net.D * net.H
        for t in range(block.length[s] - net.highway, block.length[s]):
            memset(x, 0, n_in * sizeof(real))
            if t >= 0:
                load_inputs(batch, F, block.sample[s], t, x)
            if t >= 0 and net.mask_missing:
                for feature in range(F):
                    x[F + feature] = isnan(x[feature])
                    x[feature] = <real> last_observed(batch, block.sample[s], t, feature)
            x += n_in


cdef inline real* top_at(const Net* net, Py_ssize_t t, real* arena) noexcept nogil:
    """What the head reads at its application t, (B, Rp)."""
    return arena + net.top + t % net.y_steps * net.block * net.R_pad


cdef inline Py_ssize_t y_place(const Net* net, Py_ssize_t t, Py_ssize_t s) noexcept nogil:
    """Where y, and dy, of sample s and the head's application t lie within their areas."""
    return (t % net.y_steps * net.block + s) * net.K_pad


cdef void forward_head(
    const Net* net, const real* packed, const Batch* batch, const Block* block, real* arena,
) noexcept nogil:
    """The linear layer: once, or at every time step. After a sample's end y is never read."""
    cdef Py_ssize_t t, s
    cdef real* top
    if not net.sequences:
        load_final_outputs(net, batch, block, arena)
        load_highway(net, batch, block, arena)
        head_product(net, packed, block.n, arena + net.top, arena + net.y)
        return
    for t in range(block.first, block.stop):
        if stopped(net, block, t):
            return
        top = top_at(net, t, arena)
        for s in range(block.n):
            if t < block.length[s]:
                load_outputs(net, net.n_cells // net.D - 1, batch, block, s, t,
                             top + s * net.R_pad, arena)
            else:
                memset(top + s * net.R_pad, 0, net.R_pad * sizeof(real))
        head_product(net, packed, block.n, top, arena + net.y + y_place(net, t, 0))


cdef void forward_segment(
    const Net* net, const real* packed, const Batch* batch, const Block* block, real* arena,
) noexcept nogil:
    """All layers, and the head where it is applied."""
    cdef Py_ssize_t index
    for index in range(net.n_cells):
        forward_cell(net, &net.cells[index], packed, batch, block, arena)
    if net.sequences or block.stop == block.n_steps:
        forward_head(net, packed, batch, block, arena)
