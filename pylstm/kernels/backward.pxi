"""Backward: the same segment, from dy and the states' gradients to every parameter's.

The counterpart of `forward.pxi`, whose activations it finds in the arena. What an option of a layer
changes there has its gradient here.
"""

cdef extern from "<float.h>" nogil:
    float FLT_MIN
    double DBL_MIN


cdef enum:
    FLUSH_STEPS = 32            # so often gradients are looked at that have vanished


cdef struct Gradients:
    # Besides the parameters': those given, and those asked for. The caller's arrays, of the call's type.
    # Training has none of them, and all are NULL.
    const void* d_output        # [n][S][K]
    const void* d_hidden        # [n][T][D * H]
    const void* d_h_n           # of the final states, [cell][n_states][H]; NULL: zeros
    const void* d_c_n
    void* d_X                   # [n][T][F]
    void* d_h0                  # of the states before the first step, [cell][n_states][H]
    void* d_c0


cdef void weight_gradients(
    const Net* net, const Cell* cell, Py_ssize_t step, Py_ssize_t n_steps, Py_ssize_t n,
    bint from_zeros, real* arena, real* slot,
) noexcept nogil:
    """d[W; U] += sum over steps step .. step + n_steps and samples of [x_t, h_{t-1}]^T dz_t.

    `from_zeros`: the first of the steps has no h_{t-1}, and dU nothing from it.
    """
    cdef Py_ssize_t B = net.block, n_rows = cell.n_in + net.H, index, first, after
    cdef const real* xh = xh_at(net, cell, step, arena) + cell.in_pad - cell.n_in
    cdef const real* z
    cdef real* gradient
    cdef Tile tile
    for index in range(net.n_tiles):
        tile = tile_at(net, index)
        z = z_at(net, cell, &tile, step, arena)
        gradient = slot + cell.packed_WU + 4 * tile.first * n_rows
        # rows of whole tiles of the product, those of x among them, take all steps
        first = min(n_rows, padded(cell.n_in, tile_rows(tile.width))) if from_zeros else n_rows
        product(tile.width, first, n_steps, n, xh, 1, cell.row, B * cell.row, z, tile.row,
                B * tile.row, gradient, tile.row, False, gradient, tile.row)
        after = n_steps - 1
        if first < n_rows and after > 0:
            gradient += first * tile.row
            product(tile.width, n_rows - first, after, n, xh + B * cell.row + first, 1, cell.row,
                    B * cell.row, z + B * tile.row, tile.row, B * tile.row,
                    gradient, tile.row, False, gradient, tile.row)


cdef void product_of_dz(
    const Net* net, const Cell* cell, Py_ssize_t step, Py_ssize_t s, Py_ssize_t n, const real* Wt,
    Py_ssize_t n_registers, real* arena, real* C, Py_ssize_t c_row,
) noexcept nogil:
    """C = dz_t W^T for n samples from s on, W^T packed in panels: 4Hu rows, so many registers."""
    cdef Py_ssize_t L = net.lanes, panel, first, width
    cdef const real* B
    cdef const real* init
    cdef Py_ssize_t index
    cdef Tile tile = tile_at(net, 0)
    for panel in range(padded(n_registers, PANEL) // PANEL):
        first = panel * PANEL
        width = min(PANEL, n_registers - first)
        B = Wt + first * L * 4 * net.H_units
        init = NULL
        if net.n_whole > 0:
            tile = tile_at(net, 0)
            product(width, n, net.n_whole, 4 * L,
                    z_at(net, cell, &tile, step, arena) + s * 4 * L, 4 * L, 1, z_tile(net, cell),
                    B, width * L, 4 * L * width * L, init, c_row, False, C + first * L, c_row)
            init = C + first * L
        for index in range(net.n_whole, net.n_tiles):
            tile = tile_at(net, index)
            product(width, n, 1, tile.row,
                    z_at(net, cell, &tile, step, arena) + s * tile.row, tile.row, 1, 0,
                    B + 4 * tile.first * width * L, width * L, 0, init, c_row, False,
                    C + first * L, c_row)
            init = C + first * L


cdef void input_gradients(
    const Net* net, const Cell* cell, Py_ssize_t step, Py_ssize_t n_steps, const Block* block,
    const real* packed, real* arena, real* d_inner,
) noexcept nogil:
    """dx_t = dz_t W^T for steps step .. step + n_steps, added to d_inner if there are two directions."""
    cdef Py_ssize_t B = net.block, current, s, j
    cdef real* target
    cdef real* dx
    for current in range(step, step + n_steps):
        dx = arena + net.dx if net.D == 2 else d_inner + current % net.segment * B * net.d_row
        product_of_dz(net, cell, current, 0, block.n, packed + cell.packed_Wt,
                      cell.in_pad // net.lanes, arena, dx, net.d_row)
        if net.D == 2:
            for s in range(block.n):
                if current < block.length[s]:
                    target = d_inner + (step_of(cell, current, block.length[s]) * B + s) * net.d_row
                    for j in range(cell.n_in):
                        target[j] += dx[s * net.d_row + j]


cdef void add_output_gradients(
    const Net* net, const Cell* cell, const Batch* batch, const Block* block, Py_ssize_t step,
    real* d_outer, real* dh,
) noexcept nogil:
    """dh_t += the gradient of the layer's output at that time step, through its dropout."""
    cdef Py_ssize_t s, j, t
    cdef real* d_output
    for s in range(block.n):
        if step < block.length[s]:
            t = step_of(cell, step, block.length[s])
            d_output = (d_outer + (t % net.segment * net.block + s) * net.d_row
                        + cell.direction * net.H)
            if net.dropout.rate > 0:
                drop(&net.dropout, OUTPUT_MASK, visit_of(batch, block, s), cell.index, t, net.H,
                     d_output)
            for j in range(net.H):
                dh[s * net.H_pad + j] += d_output[j]


cdef void backward_tile(
    const Net* net, const Tile* tile, const Block* block, Py_ssize_t step, real* z, real* c,
    const real* h_next, Py_ssize_t h_row, const real* dh, real* dc, real* db, real* registers,
) noexcept nogil:
    """The gates of a tile, backwards: dz in their place, dc, db. h_next and dh are rows of samples.

    Of a sample that has ended dz is zero, and its gradients pass by unchanged.
    """
    cdef Py_ssize_t L = net.lanes, Hp = net.H_pad, group, first, s, row
    cdef real[16] kept                              # dc of the group
    for group in range(n_groups_of(tile, block.n)):
        first = group * tile.samples
        if tile.samples == 1:
            if step < block.length[first]:
                cell_backward_at(z + first * 4 * L, c + first * L, h_next + first * h_row,
                                 dh + first * Hp, dc + first * L)
                add_registers(4, z + first * 4 * L, db)
        else:
            for s in range(tile.samples):
                row = min(first + s, block.n - 1)
                copy_units(h_next + row * h_row, registers + s * tile.units, tile.units)
                copy_units(dh + row * Hp, registers + L + s * tile.units, tile.units)
                copy_units(dc + (first + s) * tile.units, kept + s * tile.units, tile.units)
            cell_backward_at(z + first * tile.row, c + first * tile.units, registers, registers + L,
                             dc + first * tile.units)
            for s in range(tile.samples):
                if first + s < block.n and step >= block.length[first + s]:
                    copy_units(kept + s * tile.units, dc + (first + s) * tile.units, tile.units)
            regroup(tile, z + first * tile.row, True)
    for s in range(block.n):
        if step < block.length[s] and tile.samples > 1:
            add_registers(tile.width, z + s * tile.row, db)
        elif step >= block.length[s]:
            memset(z + s * tile.row, 0, tile.row * sizeof(real))


cdef void backward_step(
    const Net* net, const Cell* cell, const real* packed, const Batch* batch, const Block* block,
    Py_ssize_t step, bint to_previous, real* arena, real* slot,
) noexcept nogil:
    """dz_t in the gates' place, db; then dh_{t-1} and dc_{t-1} in place of dh_t and dc_t.

    `to_previous`: dh_{t-1} is wanted.
    """
    cdef Py_ssize_t B = net.block, Hp = net.H_pad, index, s, run
    cdef real* dh = arena + cell.dh
    cdef real* dc = arena + cell.dc
    cdef real* c = c_at(net, cell, step, arena)
    cdef const real* h_next = h_at(net, cell, step + 1, arena)
    cdef Tile tile
    for index in range(net.n_tiles):
        tile = tile_at(net, index)
        backward_tile(net, &tile, block, step, z_at(net, cell, &tile, step, arena),
                      c + tile.first * B, h_next + tile.first, cell.h_row, dh + tile.first,
                      dc + tile.first * B, slot + cell.packed_b + 4 * tile.first,
                      arena + net.hidden)
    if not to_previous:
        return
    # dh_{t-1} = dz_t U^T
    s = 0
    while s < block.n:                                          # runs of samples that have this step
        run = 0
        while s + run < block.n and step < block.length[s + run]:
            run += 1
        if run > 0:
            product_of_dz(net, cell, step, s, run, packed + cell.packed_Ut, Hp // net.lanes, arena,
                          dh + s * Hp, Hp)
        s += run + 1
    if net.dropout.recurrent_rate > 0:
        for s in range(block.n):
            if step < block.length[s]:
                drop(&net.dropout, RECURRENT_MASK, visit_of(batch, block, s), cell.index, 0, net.H,
                     dh + s * Hp)


cdef inline bint vanishing(const real* gradient, Py_ssize_t n) noexcept nogil:
    """Whether all numbers are smaller than those that are held in full precision."""
    cdef double smallest = FLT_MIN if sizeof(real) == sizeof(float) else DBL_MIN
    cdef Py_ssize_t j
    for j in range(n):
        if not fabs(gradient[j]) < smallest:
            return False
    return True


cdef void flush_vanishing(
    const Net* net, const Cell* cell, const Block* block, Py_ssize_t step, real* arena,
) noexcept nogil:
    """dh and dc of a sample in which nothing but subnormal numbers is left become zero.

    They would get stuck at the smallest of them, which processors take a hundred times longer for.
    """
    cdef Py_ssize_t Hp = net.H_pad, s, index
    cdef real* dh = arena + cell.dh
    cdef real* dc = arena + cell.dc
    cdef bint vanished
    cdef Tile tile
    for s in range(block.n):
        vanished = step < block.length[s] and vanishing(dh + s * Hp, Hp)
        for index in range(net.n_tiles):
            tile = tile_at(net, index)
            vanished = vanished and vanishing(dc + tile.first * net.block + s * tile.units, tile.units)
        if vanished:
            memset(dh + s * Hp, 0, Hp * sizeof(real))
            for index in range(net.n_tiles):
                tile = tile_at(net, index)
                memset(dc + tile.first * net.block + s * tile.units, 0, tile.units * sizeof(real))


cdef void backward_cell(
    const Net* net, const Cell* cell, const real* packed, const Batch* batch, const Block* block,
    bint from_above, bint to_below, bint to_states, real* arena, real* d_outer, real* d_inner,
    real* slot,
) noexcept nogil:
    """BPTT of one cell in a segment: dh and dc after its last step are in cell.dh and cell.dc.

    `from_above`: each step's output has a gradient of its own, in d_outer.
    `to_below`: each step's input gets its gradient, in d_inner.
    `to_states`: cell.dh and cell.dc will be the gradients of the states before step 0.
    """
    cdef Py_ssize_t step, n_steps = 0
    for step in range(block.stop - 1, block.first - 1, -1):     # time steps, against the cell's order
        if stopped(net, block, step):
            return
        if from_above:
            add_output_gradients(net, cell, batch, block, step, d_outer, arena + cell.dh)
        backward_step(net, cell, packed, batch, block, step, to_states or step > 0, arena, slot)
        n_steps += 1
        if step % net.chunk == 0:                               # while dz is in cache
            weight_gradients(net, cell, step, n_steps, block.n, starts_from_zeros(batch, step),
                             arena, slot)
            if to_below:
                input_gradients(net, cell, step, n_steps, block, packed, arena, d_inner)
            n_steps = 0
        if step % FLUSH_STEPS == 0:
            flush_vanishing(net, cell, block, step, arena)


cdef void head_gradients(
    const Net* net, Py_ssize_t n, const real* top, const real* dy, real* slot,
) noexcept nogil:
    """dV += h^T dy;  dd += sum of dy."""
    cdef Py_ssize_t L = net.lanes, n_registers = net.K_pad // L, R = net.R
    cdef Py_ssize_t panel, first, width, s, k
    cdef real* target
    cdef real total
    for panel in range(padded(n_registers, PANEL) // PANEL):    # panels of outputs
        first = panel * PANEL
        width = min(PANEL, n_registers - first)
        target = slot + net.packed_V + first * L * R
        product(width, R, 1, n, top, 1, net.R_pad, 0, dy + first * L, net.K_pad, 0,
                target, width * L, False, target, width * L)
    for k in range(net.K):
        total = 0       # a sum of its own for these samples: one chain over all would round more
        for s in range(n):
            total += dy[s * net.K_pad + k]
        slot[net.packed_d + k] += total


cdef void backward_head(
    const Net* net, const real* packed, Py_ssize_t n, const real* dy, real* d_top, Py_ssize_t d_row,
    bint add,
) noexcept nogil:
    """d_top = dy V^T, or `add` that to it."""
    cdef Py_ssize_t L = net.lanes, n_registers = net.R_pad // L, panel, first, width
    cdef real* target
    for panel in range(padded(n_registers, PANEL) // PANEL):    # panels of what the head reads
        first = panel * PANEL
        width = min(PANEL, n_registers - first)
        target = d_top + first * L
        product(width, n, 1, net.K, dy, net.K_pad, 1, 0,
                packed + net.packed_Vt + first * L * net.K, width * L, 0,
                target if add else NULL, d_row, False, target, d_row)


cdef void start_backward(
    const Net* net, const Cell* cell, const Batch* batch, const Block* block, real* arena,
) noexcept nogil:
    """Where the head is applied once: its gradient to the final hidden states, added to cell.dh."""
    cdef Py_ssize_t s, j
    cdef real* d_top
    for s in range(block.n):
        d_top = arena + net.d_top + s * net.R_pad + cell.direction * net.H
        if net.dropout.rate > 0:
            drop(&net.dropout, OUTPUT_MASK, visit_of(batch, block, s), cell.index,
                 final_time(cell, block, s), net.H, d_top)
        for j in range(net.H):
            arena[cell.dh + s * net.H_pad + j] += d_top[j]


cdef void add_highway_gradients(
    const Net* net, const Block* block, const real* arena, real* d_inputs,
) noexcept nogil:
    """The counterpart of `load_highway`: the head's gradient, to a segment's share of last inputs."""
    cdef Py_ssize_t n_in = net.cells[0].n_in, s, t, j
    cdef const real* d_x
    for s in range(block.n):
        d_x = arena + net.d_top + s * net.R_pad + net.D * net.H
        for t in range(block.length[s] - net.highway, block.length[s]):
            if block.first <= t < block.stop:
                for j in range(n_in):
                    d_inputs[(t % net.segment * net.block + s) * net.d_row + j] += d_x[j]
            d_x += n_in


cdef real* backward_segment(
    const Net* net, const real* packed, const Batch* batch, const Block* block,
    bint from_outside, real* arena, real* slot,
) noexcept nogil:
    """From dy, and dh and dc after the segment's last step, to all others'.

    `from_outside`: net.d_outer has gradients of the top layer's hidden states, and those of the inputs
    and the first states are wanted. The parameters' are added to the slot's. Return where the inputs'
    are, [segment][B][d_row], if wanted.
    """
    cdef const Cell* cell
    cdef Py_ssize_t top_layer = net.n_cells // net.D - 1, layer, direction, t
    cdef real* d_outer = arena + net.d_outer
    cdef real* d_inner = arena + net.d_inner
    cdef bint from_above, to_below
    if net.sequences:
        for t in range(block.first, block.stop):
            backward_head(net, packed, block.n, arena + net.dy + y_place(net, t, 0),
                          d_outer + t % net.segment * net.block * net.d_row, net.d_row, from_outside)
    for layer in range(top_layer, -1, -1):
        from_above = layer < top_layer or net.sequences or from_outside
        to_below = layer > 0 or from_outside
        if net.D == 2 and to_below:
            memset(d_inner, 0, (block.stop - block.first) * net.block * net.d_row * sizeof(real))
        for direction in range(net.D):
            cell = &net.cells[layer * net.D + direction]
            backward_cell(net, cell, packed, batch, block, from_above, to_below, from_outside, arena,
                          d_outer, d_inner, slot)
        d_outer, d_inner = d_inner, d_outer
    if from_outside:
        add_highway_gradients(net, block, arena, d_outer)
    return d_outer
