"""A window's own statistics, by which it may be scaled.

What they are applied to is `load_inputs`, in `batches.pxi`. A new kind of scaling has a number in
`_options.py` and a branch here.
"""

cdef enum WindowScaling:        # as `_options.py` numbers them
    LAST
    MEAN
    STANDARD
    RELATIVE


# A deviation is at least this share of the window's mean absolute value: a constant window's would be 0.
cdef double LEAST_DEVIATION = 1e-3


cdef void scale_feature(
    const Batch* batch, WindowScaling kind, const char* values, Py_ssize_t length,
    double* center, double* scale,
) noexcept nogil:
    """Of one feature of one window, over the values that are observed; 0 and 1 if none is."""
    cdef double total = 0, magnitude = 0, squares = 0, value
    cdef Py_ssize_t n = 0, t
    center[0], scale[0] = 0, 1
    if kind == LAST or kind == RELATIVE:
        for t in range(length - 1, -1, -1):
            value = value_at(batch, values + t * batch.time_stride)
            if not isnan(value):
                center[0] = value
                break
    if kind == LAST:
        return
    for t in range(length):
        value = value_at(batch, values + t * batch.time_stride)
        if not isnan(value):
            total += value
            magnitude += fabs(value)
            n += 1
    if magnitude == 0:                                          # nothing observed but zeros
        return
    magnitude /= n
    if kind == MEAN or kind == RELATIVE:
        scale[0] = magnitude
        return
    center[0] = total / n
    for t in range(length):
        value = value_at(batch, values + t * batch.time_stride) - center[0]
        if not isnan(value):
            squares += value * value
    scale[0] = max(sqrt(squares / n), LEAST_DEVIATION * magnitude)


cdef struct Statistics:
    # What is asked for of a batch's windows. The caller's arrays.
    const Batch* batch
    WindowScaling kind
    Py_ssize_t T
    Py_ssize_t F
    double* center              # [n][F]
    double* scale               # [n][F]


cdef enum:
    WINDOWS_AT_ONCE = 64        # in one task


cdef void statistics_task(Statistics* call, Py_ssize_t number, void* arena) noexcept nogil:
    """Some windows, one after the other."""
    cdef const Batch* batch = call.batch
    cdef Py_ssize_t first = number * WINDOWS_AT_ONCE, sample, length, feature
    for sample in range(first, min(first + WINDOWS_AT_ONCE, batch.n)):
        length = batch.lengths[sample] if batch.lengths != NULL else call.T
        for feature in range(call.F):
            scale_feature(batch, call.kind,
                          inputs_at(batch, sample, 0) + feature * batch.feature_stride, length,
                          call.center + sample * call.F + feature,
                          call.scale + sample * call.F + feature)
