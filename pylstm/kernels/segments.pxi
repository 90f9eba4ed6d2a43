"""Gradients of a block: forward through its segments, then back through them.

Where a plan has several segments, only the last one's activations are there when the way back begins.
The others are computed once more, from the states that they started from, which are kept. What is added
up is so in the same order and the same pieces as with a single segment: the same bits.
"""

cdef inline real* kept_at(const Net* net, const Block* block, real* arena) noexcept nogil:
    """What is kept of the segment at hand: [cell][h, c][B][Hp], and [B][n_features]."""
    return arena + net.kept + block.first // net.segment * net.kept_size


cdef void keep_start(const Net* net, const Block* block, real* arena) noexcept nogil:
    """Keep the states, and with missing values those observed last, that the segment started from."""
    cdef const Cell* cell
    cdef Py_ssize_t index, s
    cdef real* kept = kept_at(net, block, arena)
    for index in range(net.n_cells):
        cell = &net.cells[index]
        for s in range(block.n):
            memcpy(kept + s * net.H_pad, h_at(net, cell, block.first, arena) + s * cell.h_row,
                   net.H * sizeof(real))
            get_units(net, s, c_at(net, cell, block.first, arena), kept + (net.block + s) * net.H_pad)
        kept += 2 * net.block * net.H_pad
    if net.mask_missing and block.first > 0:
        cell = &net.cells[0]
        for s in range(block.n):
            memcpy(kept + s * net.n_features,
                   xh_at(net, cell, block.first - 1, arena) + s * cell.row + cell.in_pad - cell.n_in,
                   net.n_features * sizeof(real))


cdef void restore_start(const Net* net, const Block* block, real* arena) noexcept nogil:
    """The inverse of `keep_start`."""
    cdef const Cell* cell
    cdef Py_ssize_t index, s
    cdef const real* kept = kept_at(net, block, arena)
    for index in range(net.n_cells):
        cell = &net.cells[index]
        for s in range(block.n):
            memcpy(h_at(net, cell, block.first, arena) + s * cell.h_row, kept + s * net.H_pad,
                   net.H * sizeof(real))
            put_units(net, s, kept + (net.block + s) * net.H_pad, c_at(net, cell, block.first, arena))
        kept += 2 * net.block * net.H_pad
    if net.mask_missing and block.first > 0:
        cell = &net.cells[0]
        for s in range(block.n):
            memcpy(xh_at(net, cell, block.first - 1, arena) + s * cell.row + cell.in_pad - cell.n_in,
                   kept + s * net.n_features, net.n_features * sizeof(real))


cdef void load_output_gradients(
    const Net* net, const Block* block, const real* d_output, real* arena,
) noexcept nogil:
    """dy of a segment's applications of the head; zeros after an end."""
    cdef Py_ssize_t first = block.first if net.sequences else 0
    cdef Py_ssize_t stop = block.stop if net.sequences else 1, s, t
    cdef real* row
    for s in range(block.n):
        for t in range(first, stop):
            row = arena + net.dy + y_place(net, t, s)
            memset(row, 0, net.K_pad * sizeof(real))
            if t < block.length[s]:
                memcpy(row, d_output + (block.sample[s] * net.S + t) * net.K, net.K * sizeof(real))


cdef void load_hidden_gradients(
    const Net* net, const Block* block, const real* d_hidden, real* arena,
) noexcept nogil:
    """Gradients of the top layer's hidden states in a segment; zeros after an end."""
    cdef Py_ssize_t DH = net.D * net.H, s, t
    cdef real* row
    for s in range(block.n):
        for t in range(block.first, block.stop):
            row = arena + net.d_outer + (t % net.segment * net.block + s) * net.d_row
            memset(row, 0, net.d_row * sizeof(real))
            if t < block.length[s]:
                memcpy(row, d_hidden + (block.sample[s] * net.T + t) * DH, DH * sizeof(real))


cdef inline bint is_missing(
    const Batch* batch, Py_ssize_t sample, Py_ssize_t t, Py_ssize_t feature,
) noexcept nogil:
    return isnan(value_at(batch, inputs_at(batch, sample, t) + feature * batch.feature_stride))


cdef void export_input_gradients(
    const Net* net, const Batch* batch, const Block* block, const real* d_inputs, real* arena, real* d_X,
) noexcept nogil:
    """A segment's gradients of the inputs, [segment][B][d_row], into [n][T][F]; zeros after an end."""
    cdef Py_ssize_t F = net.n_features, s, t, feature, end, stop = end_of_segment(net, block)
    cdef real* target
    cdef real* carried
    cdef const double* factor
    for s in range(block.n):
        target = d_X + block.sample[s] * net.T * F
        end = min(block.stop, block.length[s])
        for t in range(block.first, end):
            memcpy(target + t * F, d_inputs + (t % net.segment * net.block + s) * net.d_row,
                   F * sizeof(real))
        end = max(end, block.first)
        memset(target + end * F, 0, (stop - end) * F * sizeof(real))
        if net.mask_missing:
            # an observed value has the gradients of all steps it was carried to
            carried = arena + net.carried + s * F
            for feature in range(F):
                for t in range(end - 1, block.first - 1, -1):
                    carried[feature] += target[t * F + feature]
                    target[t * F + feature] = 0
                    if not is_missing(batch, block.sample[s], t, feature):
                        target[t * F + feature] = carried[feature]
                        carried[feature] = 0
        if batch.factor != NULL:
            factor = batch.factor + block.sample[s] * batch.scaling_stride
            for t in range(block.first, end):
                for feature in range(F):
                    target[t * F + feature] *= <real> factor[feature]


cdef void start_gradients(
    const Net* net, const real* packed, const Batch* batch, const Block* block,
    const Gradients* gradients, real* arena,
) noexcept nogil:
    """dh and dc after the last step: the final states' own gradients, and the head's if it is there."""
    cdef const Cell* cell
    cdef Py_ssize_t index
    if not net.sequences:
        backward_head(net, packed, block.n, arena + net.dy, arena + net.d_top, net.R_pad, False)
    for index in range(net.n_cells):
        cell = &net.cells[index]
        load_states(net, cell, <const real*> gradients.d_h_n, batch.n_states, block, arena + cell.dh,
                    net.H_pad)
        load_cell_states(net, cell, <const real*> gradients.d_c_n, batch.n_states, block,
                         arena + cell.dc)
        if index >= net.n_cells - net.D and not net.sequences:
            start_backward(net, cell, batch, block, arena)
    if net.mask_missing:
        memset(arena + net.carried, 0, net.block * net.n_features * sizeof(real))


cdef void finish_gradients(
    const Net* net, const Batch* batch, const Block* block, const Gradients* gradients, real* arena,
) noexcept nogil:
    """The gradients of the states before the first step."""
    cdef const Cell* cell
    cdef Py_ssize_t index
    for index in range(net.n_cells):
        cell = &net.cells[index]
        save_states(net, cell, arena + cell.dh, net.H_pad, batch.n_states, block,
                    <real*> gradients.d_h0)
        save_cell_states(net, cell, arena + cell.dc, batch.n_states, block,
                         <real*> gradients.d_c0)


cdef void load_dy(
    const Net* net, const Block* block, const Gradients* gradients, const Targets* targets, real* arena,
) noexcept nogil:
    """dy of a segment, from the targets or, where there are none, as it is given."""
    if targets != NULL:
        segment_losses(net, targets, block, arena)
    else:
        load_output_gradients(net, block, <const real*> gradients.d_output, arena)


cdef void sweep_forward(
    const Net* net, const real* packed, const Batch* batch, Block* block, const Gradients* gradients,
    const Targets* targets, real* arena, real* slot,
) noexcept nogil:
    """All segments of a block, one after the other; the losses, and the head's part of the gradient."""
    cdef Py_ssize_t t
    load_first_states(net, batch, block, arena)
    while next_segment(net, block) and not is_interrupted(block.interrupt):
        forward_segment(net, packed, batch, block, arena)
        if block.stop < block.n_steps:
            keep_start(net, block, arena)
        if net.sequences:
            load_dy(net, block, gradients, targets, arena)
            for t in range(block.first, block.stop):
                head_gradients(net, block.n, top_at(net, t, arena),
                               arena + net.dy + y_place(net, t, 0), slot)
    if not net.sequences:
        load_dy(net, block, gradients, targets, arena)
        head_gradients(net, block.n, arena + net.top, arena + net.dy, slot)


cdef void sweep_backward(
    const Net* net, const real* packed, const Batch* batch, Block* block, const Gradients* gradients,
    const Targets* targets, real* arena, real* slot,
) noexcept nogil:
    """From the last segment, whose activations are there, to the first."""
    cdef bint outside = gradients.d_X != NULL
    cdef real* d_inputs
    start_gradients(net, packed, batch, block, gradients, arena)
    while not is_interrupted(block.interrupt):
        if outside:
            load_hidden_gradients(net, block, <const real*> gradients.d_hidden, arena)
        d_inputs = backward_segment(net, packed, batch, block, outside, arena, slot)
        if outside:
            export_input_gradients(net, batch, block, d_inputs, arena, <real*> gradients.d_X)
        if not previous_segment(net, block):
            break
        restore_start(net, block, arena)
        forward_segment(net, packed, batch, block, arena)
        if net.sequences:
            load_dy(net, block, gradients, targets, arena)
    if outside:
        finish_gradients(net, batch, block, gradients, arena)
