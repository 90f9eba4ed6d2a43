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


cdef inline real* z_at(
    const Net* net, const Cell* cell, Py_ssize_t tile, Py_ssize_t step, real* arena,
) noexcept nogil:
    """The step's gates, or after it went backward dz, of one tile: (B, gate, L)."""
    return arena + cell.z + ((tile * cell.z_steps + step % cell.z_steps) * net.block
                             * 4 * net.lanes)


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
                z_at(net, cell, tile, step, arena), 4 * L, B * 4 * L,
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
        dx = arena + net.dx if net.D == 2 else d_inner + current % net.segment * B * net.d_row
        packed_product(L, cell.in_pad // L, block.n, net.n_tiles, 4 * L,
                       z_at(net, cell, 0, current, arena), 4 * L, cell.z_steps * B * 4 * L,
                       packed + cell.packed_Wt, <const real*> NULL, dx, net.d_row)
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


cdef void backward_step(
    const Net* net, const Cell* cell, const real* packed, const Batch* batch, const Block* block,
    Py_ssize_t step, bint to_previous, real* arena, real* slot,
) noexcept nogil:
    """dz_t in the gates' place, db; then dh_{t-1} and dc_{t-1} in place of dh_t and dc_t.

    `to_previous`: dh_{t-1} is wanted.
    """
    cdef Py_ssize_t L = net.lanes, Hp = net.H_pad, z_tile = cell.z_steps * net.block * 4 * L
    cdef Py_ssize_t tile, s, run
    cdef real* dh = arena + cell.dh
    cdef real* dc = arena + cell.dc
    cdef real* c = c_at(net, cell, step, arena)
    cdef real* c_next = c_at(net, cell, step + 1, arena)
    cdef real* z
    for tile in range(net.n_tiles):
        z = z_at(net, cell, tile, step, arena)
        for s in range(block.n):
            if step >= block.length[s]:
                memset(z + s * 4 * L, 0, 4 * L * sizeof(real))  # its gradients pass by unchanged
                continue
            cell_backward_at(z + s * 4 * L, c + s * Hp + tile * L, c_next + s * Hp + tile * L,
                             dh + s * Hp + tile * L, dc + s * Hp + tile * L,
                             slot + cell.packed_b + tile * 4 * L)
    if not to_previous:
        return
    # dh_{t-1} = dz_t U^T
    z = z_at(net, cell, 0, step, arena)
    if not block.ragged:
        packed_product(L, net.n_tiles, block.n, net.n_tiles, 4 * L, z, 4 * L, z_tile,
                       packed + cell.packed_Ut, <const real*> NULL, dh, Hp)
    else:
        s = 0
        while s < block.n:                                      # runs of samples that have this step
            run = 0
            while s + run < block.n and step < block.length[s + run]:
                run += 1
            packed_product(L, net.n_tiles, run, net.n_tiles, 4 * L, z + s * 4 * L, 4 * L,
                           z_tile, packed + cell.packed_Ut, <const real*> NULL,
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
    cdef Py_ssize_t Hp = net.H_pad, s
    cdef real* dh = arena + cell.dh
    cdef real* dc = arena + cell.dc
    for s in range(block.n):
        if step < block.length[s] and vanishing(dc + s * Hp, Hp) and vanishing(dh + s * Hp, Hp):
            memset(dh + s * Hp, 0, Hp * sizeof(real))
            memset(dc + s * Hp, 0, Hp * sizeof(real))


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
            weight_gradients(net, cell, step, n_steps, block.n, arena, slot)
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
                target, width * L, target, width * L)
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
                target if add else NULL, d_row, target, d_row)


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
