"""Packing: from the flat parameter vector to the kernels' order, and gradients back.

A new parameter is packed and collected here, at the offsets that `layout.pxi` gives it.
"""

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
    const Net* net, const real* params, real* packed, Room room,
) noexcept nogil:
    """All weights, into a packed area whose padding is zero already."""
    cdef const Cell* cell
    cdef bint backward = room == ALL_GRADIENTS
    cdef Py_ssize_t L = net.lanes, index, tile_size, j, k
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
    for j in range(net.R):
        for k in range(net.K):
            packed[net.packed_V + packed_index(L, net.K_pad // L, net.R, j, k)] = (
                params[net.V + j * net.K + k])
            if backward:
                packed[net.packed_Vt + packed_index(L, net.R_pad // L, net.K, k, j)] = (
                    params[net.V + j * net.K + k])
    memcpy(packed + net.packed_d, params + net.d, net.K * sizeof(real))


cdef void add_gates(
    const Net* net, const real* source, Py_ssize_t tile_size, Py_ssize_t n_rows, real* target,
) noexcept nogil:
    """The inverse of `pack_gates`, added to what the target holds."""
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
    cdef Py_ssize_t L = net.lanes, s, index, tile_size, j, k
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
        for j in range(net.R):
            for k in range(net.K):
                gradient[net.V + j * net.K + k] += (
                    slot[net.packed_V + packed_index(L, net.K_pad // L, net.R, j, k)])
        for k in range(net.K):
            gradient[net.d + k] += slot[net.packed_d + k]
