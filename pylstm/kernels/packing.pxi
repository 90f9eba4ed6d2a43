"""Packing: from the flat parameter vector to the kernels' order, and gradients back.

A new parameter is packed and collected here, at the offsets that `layout.pxi` gives it.
"""

cdef void pack_gates(
    const Net* net, const real* source, Py_ssize_t n_rows, real* target, Py_ssize_t first_row,
    Py_ssize_t n_target_rows,
) noexcept nogil:
    """(n_rows, 4H) into rows of [tile][n_target_rows][gate][units], from first_row on."""
    cdef Py_ssize_t index, row, gate
    cdef Tile tile
    cdef real* rows
    for index in range(net.n_tiles):
        tile = tile_at(net, index)
        rows = target + 4 * tile.first * n_target_rows + first_row * tile.row
        for row in range(n_rows):
            for gate in range(4):
                copy_units(source + (row * 4 + gate) * net.H + tile.first,
                           rows + row * tile.row + gate * tile.units,
                           min(tile.units, net.H - tile.first))


cdef void pack_gates_transposed(
    const Net* net, const real* source, Py_ssize_t n_rows, real* target,
) noexcept nogil:
    """(n_rows, 4H) into its transpose: 4Hu rows in the order of dz, n_rows columns, packed in panels."""
    cdef Py_ssize_t L = net.lanes, n_registers = padded(n_rows, L) // L, row, gate, unit, index
    cdef Py_ssize_t dz_row
    cdef Tile tile
    for row in range(n_rows):
        for index in range(net.n_tiles):
            tile = tile_at(net, index)
            for gate in range(4):
                dz_row = 4 * tile.first + gate * tile.units
                for unit in range(min(tile.units, net.H - tile.first)):
                    target[packed_index(L, n_registers, 4 * net.H_units, dz_row + unit, row)] = (
                        source[(row * 4 + gate) * net.H + tile.first + unit])


cdef void pack_parameters(
    const Net* net, const real* params, real* packed, Room room,
) noexcept nogil:
    """All weights, into a packed area whose padding is zero already."""
    cdef const Cell* cell
    cdef bint backward = room == ALL_GRADIENTS
    cdef Py_ssize_t L = net.lanes, index, n_inputs, j, k
    for index in range(net.n_cells):
        cell = &net.cells[index]
        n_inputs = cell.n_in + net.H
        pack_gates(net, params + cell.W, cell.n_in, packed + cell.packed_WU, 0, n_inputs)
        pack_gates(net, params + cell.U, net.H, packed + cell.packed_WU, cell.n_in, n_inputs)
        pack_gates(net, params + cell.b, 1, packed + cell.packed_b, 0, 1)
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
    const Net* net, const real* source, Py_ssize_t first_row, Py_ssize_t n_source_rows,
    Py_ssize_t n_rows, real* target,
) noexcept nogil:
    """The inverse of `pack_gates`, added to what the target holds."""
    cdef Py_ssize_t index, row, gate, unit
    cdef Tile tile
    cdef const real* units
    cdef real* target_units
    for index in range(net.n_tiles):
        tile = tile_at(net, index)
        for row in range(n_rows):
            for gate in range(4):
                units = (source + 4 * tile.first * n_source_rows + (first_row + row) * tile.row
                         + gate * tile.units)
                target_units = target + (row * 4 + gate) * net.H + tile.first
                for unit in range(min(tile.units, net.H - tile.first)):
                    target_units[unit] += units[unit]


cdef void collect_gradient(
    const Net* net, const real* slots, Py_ssize_t n_slots, real* gradient,
) noexcept nogil:
    """The slots' gradients, added in the order of the slots, in the order of the flat parameters."""
    cdef const Cell* cell
    cdef const real* slot
    cdef Py_ssize_t L = net.lanes, s, index, n_inputs, j, k
    memset(gradient, 0, net.n_params * sizeof(real))
    for s in range(n_slots):
        slot = slots + s * net.slot_size
        for index in range(net.n_cells):
            cell = &net.cells[index]
            n_inputs = cell.n_in + net.H
            add_gates(net, slot + cell.packed_WU, 0, n_inputs, cell.n_in, gradient + cell.W)
            add_gates(net, slot + cell.packed_WU, cell.n_in, n_inputs, net.H, gradient + cell.U)
            add_gates(net, slot + cell.packed_b, 0, 1, 1, gradient + cell.b)
        for j in range(net.R):
            for k in range(net.K):
                gradient[net.V + j * net.K + k] += (
                    slot[net.packed_V + packed_index(L, net.K_pad // L, net.R, j, k)])
        for k in range(net.K):
            gradient[net.d + k] += slot[net.packed_d + k]
