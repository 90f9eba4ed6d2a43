"""Backward: the same block, from dy and the states' gradients to every parameter's.

The counterpart of `forward.pxi`, whose activations it finds in the arena. What an option of a layer
changes there has its gradient here.
"""

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
    const Net* net, const Cell* cell, const Batch* batch, const Block* block, Py_ssize_t step,
    real* d_outer, real* dh,
) noexcept nogil:
    """dh_t += the gradient of the layer's output at that time step, through its dropout."""
    cdef Py_ssize_t s, j, t
    cdef real* d_output
    for s in range(block.n):
        if step < block.length[s]:
            t = step_of(cell, step, block.length[s])
            d_output = d_outer + (t * net.block + s) * net.d_row + cell.direction * net.H
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
    cdef Py_ssize_t L = net.lanes, Hp = net.H_pad, B = net.block, tile, s, run
    cdef real* dh = arena + net.dh
    cdef real* dc = arena + net.dc
    cdef real* c = c_at(net, cell, step, arena)
    cdef real* c_next = c_at(net, cell, step + 1, arena)
    cdef real* z
    for tile in range(net.n_tiles):
        z = arena + cell.z + (tile * net.T + step) * B * 4 * L
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
    if net.dropout.recurrent_rate > 0:
        for s in range(block.n):
            if step < block.length[s]:
                drop(&net.dropout, RECURRENT_MASK, visit_of(batch, block, s), cell.index, 0, net.H,
                     dh + s * Hp)


cdef void backward_cell(
    const Net* net, const Cell* cell, const real* packed, const Batch* batch, const Block* block,
    bint from_above, bint to_below, bint to_states, real* arena, real* d_outer, real* d_inner,
    real* slot,
) noexcept nogil:
    """BPTT of one cell: dh and dc after the last step are in net.dh and net.dc.

    `from_above`: each step's output has a gradient of its own, in d_outer.
    `to_below`: each step's input gets its gradient, in d_inner.
    `to_states`: net.dh and net.dc will be the gradients of the states before the first step.
    """
    cdef Py_ssize_t step, n_steps = 0
    for step in range(block.n_steps - 1, -1, -1):               # time steps, against the cell's order
        if from_above:
            add_output_gradients(net, cell, batch, block, step, d_outer, arena + net.dh)
        backward_step(net, cell, packed, batch, block, step, to_states or step > 0, arena, slot)
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
    """dV += h^T dy;  dd += sum of dy;  d_top = dy V^T, or `add` that to it."""
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
    n_registers = net.R_pad // L
    for panel in range(padded(n_registers, PANEL) // PANEL):    # panels of hidden units
        first = panel * PANEL
        width = min(PANEL, n_registers - first)
        target = d_top + first * L
        product(width, n, 1, net.K, dy, net.K_pad, 1, 0,
                packed + net.packed_Vt + first * L * net.K, width * L, 0,
                target if add else NULL, d_row, target, d_row)


cdef void start_backward(
    const Net* net, const Cell* cell, const Batch* batch, const Block* block, real* arena,
) noexcept nogil:
    """Where the head is applied once: its gradient to the final hidden states, added to net.dh."""
    cdef Py_ssize_t s, j
    cdef real* d_top
    for s in range(block.n):
        d_top = arena + net.d_top + s * net.R_pad + cell.direction * net.H
        if net.dropout.rate > 0:
            drop(&net.dropout, OUTPUT_MASK, visit_of(batch, block, s), cell.index,
                 final_time(cell, block, s), net.H, d_top)
        for j in range(net.H):
            arena[net.dh + s * net.H_pad + j] += d_top[j]


cdef void add_highway_gradients(
    const Net* net, const Block* block, const real* arena, real* d_inputs,
) noexcept nogil:
    """The counterpart of `load_highway`: what the head's gradient is to the last steps' inputs."""
    cdef Py_ssize_t n_in = net.cells[0].n_in, s, t, j
    cdef const real* d_x
    for s in range(block.n):
        d_x = arena + net.d_top + s * net.R_pad + net.D * net.H
        for t in range(block.length[s] - net.highway, block.length[s]):
            if t >= 0:
                for j in range(n_in):
                    d_inputs[(t * net.block + s) * net.d_row + j] += d_x[j]
            d_x += n_in


cdef real* backward_block(
    const Net* net, const real* packed, const Batch* batch, const Block* block,
    const Gradients* gradients, real* arena, real* slot,
) noexcept nogil:
    """From dy, and the hidden states' gradients in net.d_outer if there are `gradients`, to all others'.

    The parameters' are added to the slot's. Return where the inputs' are, [T][B][d_row], if wanted.
    """
    cdef const Cell* cell
    cdef Py_ssize_t top_layer = net.n_cells // net.D - 1, B = net.block, layer, direction, t
    cdef real* d_outer = arena + net.d_outer
    cdef real* d_inner = arena + net.d_inner
    cdef bint to_inputs = gradients.d_X != NULL, from_above, to_below
    if not net.sequences:
        backward_head(net, packed, block.n, arena + net.top, arena + net.dy, arena + net.d_top,
                      net.R_pad, False, slot)
    else:
        for t in range(block.n_steps):
            backward_head(net, packed, block.n, arena + net.top + t * B * net.R_pad,
                          arena + net.dy + t * B * net.K_pad, d_outer + t * B * net.d_row,
                          net.d_row, to_inputs, slot)
    for layer in range(top_layer, -1, -1):
        from_above = layer < top_layer or net.sequences or to_inputs
        to_below = layer > 0 or to_inputs
        if net.D == 2 and to_below:
            memset(d_inner, 0, block.n_steps * B * net.d_row * sizeof(real))
        for direction in range(net.D):
            cell = &net.cells[layer * net.D + direction]
            load_states(net, cell, <const real*> gradients.d_h_n, batch.n_states, block,
                        arena + net.dh, net.H_pad)
            load_states(net, cell, <const real*> gradients.d_c_n, batch.n_states, block,
                        arena + net.dc, net.H_pad)
            if layer == top_layer and not net.sequences:
                start_backward(net, cell, batch, block, arena)
            backward_cell(net, cell, packed, batch, block, from_above, to_below, to_inputs, arena,
                          d_outer, d_inner, slot)
            if to_inputs:
                save_states(net, cell, arena + net.dh, net.H_pad, batch.n_states, block,
                            <real*> gradients.d_h0)
                save_states(net, cell, arena + net.dc, net.H_pad, batch.n_states, block,
                            <real*> gradients.d_c0)
        d_outer, d_inner = d_inner, d_outer
    if to_inputs:
        add_highway_gradients(net, block, arena, d_outer)
    return d_outer
