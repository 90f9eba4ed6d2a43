"""Batches, blocks and segments: which samples, how long, from which states.

`Batch` is what the caller gave, `Block` the samples that one thread takes through everything at a time,
and a segment the time steps of a block that its arena has room for. What decides which samples are read,
and how far, goes here.
"""

cdef extern from "kernels/runtime.h" nogil:
    ctypedef struct Interrupt:
        int stop
    int interrupted(Interrupt* state)
    int is_interrupted(Interrupt* state)


cdef struct Batch:
    # What the samples of a call are read from. The caller's arrays, of the call's type.
    const char* X               # (n_samples, T, F), float or double, by strides in bytes
    Py_ssize_t X_itemsize
    Py_ssize_t sample_stride
    Py_ssize_t time_stride
    Py_ssize_t feature_stride
    const double* center        # [n_samples][F]: the network reads (X - center) * factor; NULL: X
    const double* factor
    Py_ssize_t scaling_stride   # F, or 0 where all samples have the same
    const int64_t* order        # [n]: the sample of each visit; NULL: the visit's own number
    Py_ssize_t n                # visits
    Py_ssize_t first_visit      # number of the first one within its call
    const int64_t* numbers      # [n]: numbers of the visits, if they are not consecutive
    const int64_t* lengths      # [n_samples]: steps of each sample; NULL: T
    void* h                     # [cell][n_states][H]: states before the first step; NULL: zeros
    void* c
    Py_ssize_t n_states
    bint stateful               # states belong to places in the batch and are carried to the next batch


cdef struct Block:
    Py_ssize_t start            # its first visit's place in the batch
    Py_ssize_t n                # samples
    Py_ssize_t n_steps          # of the longest
    bint ragged                 # some are shorter
    Py_ssize_t first            # the segment at hand: steps first .. stop
    Py_ssize_t stop
    Interrupt* interrupt        # of the call
    Py_ssize_t sample[WIDE_BLOCK]
    Py_ssize_t length[WIDE_BLOCK]
    Py_ssize_t state[WIDE_BLOCK]    # row of the states


cdef int set_inputs(Batch* batch, X) except -1:
    """X, float32 or float64, whatever the network's type is: it is read where it lies."""
    cdef const float[:, :, :] singles
    cdef const double[:, :, :] doubles
    batch.X_itemsize = X.itemsize
    if batch.X_itemsize == sizeof(float):
        singles = X
        batch.X = <const char*> &singles[0, 0, 0]
    else:
        doubles = X
        batch.X = <const char*> &doubles[0, 0, 0]
    batch.sample_stride, batch.time_stride, batch.feature_stride = X.strides
    batch.n = batch.n_states = X.shape[0]
    return 0


cdef int set_scaling(Batch* batch, scaling) except -1:
    """From `_options.Scaling`, or None."""
    cdef const double[:, ::1] centers, factors
    cdef const double[::1] center, factor
    if scaling is None:
        return 0
    if scaling[0].ndim == 1:
        center, factor = fields_of(scaling)
        batch.center, batch.factor = &center[0], &factor[0]
    else:
        centers, factors = fields_of(scaling)
        batch.center, batch.factor = &centers[0, 0], &factors[0, 0]
        batch.scaling_stride = centers.shape[1]
    return 0


cdef Batch batch_of(
    X, scaling, const int64_t[::1] order, const int64_t[::1] lengths, const real[:, :, ::1] h0,
    const real[:, :, ::1] c0,
) except *:
    """All but X may be None: X as it is, samples in their order, T steps each, states of zero.

    The arrays are the caller's, and so is keeping them.
    """
    cdef Batch batch
    memset(&batch, 0, sizeof(Batch))
    set_inputs(&batch, X)
    set_scaling(&batch, scaling)
    if order is not None:
        batch.order = &order[0]
        batch.n = order.shape[0]
    if lengths is not None:
        batch.lengths = &lengths[0]
    if h0 is not None:
        batch.h = <void*> &h0[0, 0, 0]     # never written: the batch is not stateful
    if c0 is not None:
        batch.c = <void*> &c0[0, 0, 0]
    return batch


cdef Py_ssize_t row_step_of(const Batch* batch) noexcept nogil:
    """Rows from one window to the next, where all are windows of one series and read alike; or 0."""
    if (batch.order != NULL or batch.lengths != NULL or batch.scaling_stride > 0
            or batch.time_stride == 0 or batch.sample_stride % batch.time_stride != 0):
        return 0
    return max(0, batch.sample_stride // batch.time_stride)


cdef inline Py_ssize_t sample_of(const Batch* batch, Py_ssize_t place) noexcept nogil:
    """The sample of the visit at some place in the batch."""
    return batch.order[place] if batch.order != NULL else place


cdef inline const char* inputs_at(const Batch* batch, Py_ssize_t sample, Py_ssize_t t) noexcept nogil:
    """Where the features of a time step begin."""
    return batch.X + sample * batch.sample_stride + t * batch.time_stride


cdef inline double value_at(const Batch* batch, const char* place) noexcept nogil:
    """A value of X, of either type."""
    if batch.X_itemsize == sizeof(double):
        return (<const double*> place)[0]
    return (<const float*> place)[0]


cdef inline double input_at(
    const Batch* batch, Py_ssize_t sample, Py_ssize_t t, Py_ssize_t feature,
) noexcept nogil:
    """The same, scaled."""
    cdef double value = value_at(batch, inputs_at(batch, sample, t) + feature * batch.feature_stride)
    cdef Py_ssize_t place = sample * batch.scaling_stride + feature
    if batch.center == NULL:
        return value
    return (value - batch.center[place]) * batch.factor[place]


cdef inline double last_observed(
    const Batch* batch, Py_ssize_t sample, Py_ssize_t t, Py_ssize_t feature,
) noexcept nogil:
    """The feature's last value that is not missing, at time step t or before; 0 if there is none."""
    cdef double value
    for t in range(t, -1, -1):
        value = input_at(batch, sample, t, feature)
        if not isnan(value):
            return value
    return 0


cdef void load_inputs(
    const Batch* batch, Py_ssize_t n_features, Py_ssize_t sample, Py_ssize_t t, real* x,
) noexcept nogil:
    """The features of a time step, (F,), as the network reads them: scaled, in its type."""
    cdef const char* source = inputs_at(batch, sample, t)
    cdef const double* center = batch.center + sample * batch.scaling_stride
    cdef const double* factor = batch.factor + sample * batch.scaling_stride
    cdef Py_ssize_t feature, stride = batch.feature_stride
    if batch.center != NULL and batch.X_itemsize == sizeof(double):     # `input_at`, each type in a loop
        for feature in range(n_features):
            x[feature] = <real> (((<const double*> (source + feature * stride))[0] - center[feature])
                                 * factor[feature])
    elif batch.center != NULL:
        for feature in range(n_features):
            x[feature] = <real> (((<const float*> (source + feature * stride))[0] - center[feature])
                                 * factor[feature])
    elif batch.X_itemsize != sizeof(real):
        for feature in range(n_features):
            x[feature] = <real> value_at(batch, source + feature * stride)
    elif stride == sizeof(real) and n_features > 2:   # one call for all
        memcpy(x, source, n_features * sizeof(real))
    else:
        for feature in range(n_features):
            x[feature] = (<const real*> (source + feature * stride))[0]


cdef void open_block(
    const Net* net, const Batch* batch, Py_ssize_t start, Interrupt* interrupt, Block* block,
) noexcept nogil:
    """The block of visits from `start` on: at most B, and their lengths. Before its first segment."""
    cdef Py_ssize_t s, sample
    block.interrupt = interrupt
    block.first = block.stop = 0
    block.start = start
    block.n = min(net.block, batch.n - start)
    block.n_steps = 0
    for s in range(block.n):
        sample = sample_of(batch, start + s)
        block.sample[s] = sample
        block.length[s] = batch.lengths[sample] if batch.lengths != NULL else net.T
        block.state[s] = start + s if batch.stateful else sample
        block.n_steps = max(block.n_steps, block.length[s])
    block.ragged = False
    for s in range(block.n):
        block.ragged = block.ragged or block.length[s] < block.n_steps


cdef inline bint next_segment(const Net* net, Block* block) noexcept nogil:
    """Go on to the next segment, if there is one."""
    if block.stop == block.n_steps:
        return False
    block.first = block.stop
    block.stop = min(block.first + net.segment, block.n_steps)
    return True


cdef inline bint previous_segment(const Net* net, Block* block) noexcept nogil:
    """Go back to the segment before, if there is one."""
    if block.first == 0:
        return False
    block.stop = block.first
    block.first -= net.segment
    return True


cdef inline Py_ssize_t end_of_segment(const Net* net, const Block* block) noexcept nogil:
    """Where the segment ends in arrays over time, which have the padding after the last one as well."""
    return net.T if block.stop == block.n_steps else block.stop


cdef inline bint stopped(const Net* net, const Block* block, Py_ssize_t step) noexcept nogil:
    """Whether Ctrl-C ends the call: for loops over steps, which ask at every one of them."""
    return (step - block.first) & net.look == net.look and interrupted(block.interrupt)


cdef inline uint64_t visit_of(const Batch* batch, const Block* block, Py_ssize_t s) noexcept nogil:
    """The number by which dropout knows the visit of the block's sample s."""
    cdef Py_ssize_t place = block.start + s
    return batch.numbers[place] if batch.numbers != NULL else batch.first_visit + place


cdef inline Py_ssize_t step_of(const Cell* cell, Py_ssize_t t, Py_ssize_t length) noexcept nogil:
    """The cell's step at which it reads time step t; equally the time step it reads at step t."""
    return length - 1 - t if cell.reverse else t
