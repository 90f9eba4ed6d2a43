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
    """Of one feature of one window, over the values that are observed; as they were if none is."""
    cdef double total = 0, magnitude = 0, squares = 0, value
    cdef Py_ssize_t n = 0, t
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
    Py_ssize_t K
    const uint8_t* scaled       # [F]: whether a feature is; NULL: all are
    double* center              # [n][F]
    double* scale               # [n][F]
    # What is then standardised is read as (X - read_center) * read_factor. NULL: not asked for.
    const double* mean          # [F]
    const double* deviation     # [F]
    double* read_center         # [n][F]
    double* read_factor         # [n][F]
    # Targets, values of features that are then standardised: shift + factor times what is learned.
    const int64_t* feature_of   # [K]
    const double* target_mean   # [K]
    const double* target_scale  # [K]
    double* shift               # [n][K]
    double* factor              # [n][K]


cdef enum:
    WINDOWS_AT_ONCE = 64        # in one task


cdef void statistics_task(Statistics* call, Py_ssize_t number, void* arena) noexcept nogil:
    """Some windows, one after the other."""
    cdef const Batch* batch = call.batch
    cdef Py_ssize_t first = number * WINDOWS_AT_ONCE, sample, length, feature, target, place
    cdef double* center
    cdef double* scale
    for sample in range(first, min(first + WINDOWS_AT_ONCE, batch.n)):
        length = batch.lengths[sample] if batch.lengths != NULL else call.T
        center, scale = call.center + sample * call.F, call.scale + sample * call.F
        for feature in range(call.F):
            center[feature], scale[feature] = 0, 1
            if call.scaled == NULL or call.scaled[feature]:
                scale_feature(batch, call.kind,
                              inputs_at(batch, sample, 0) + feature * batch.feature_stride, length,
                              center + feature, scale + feature)
        if call.mean != NULL:
            place = sample * call.F
            for feature in range(call.F):
                call.read_center[place + feature] = (
                    center[feature] + scale[feature] * call.mean[feature])
                call.read_factor[place + feature] = 1 / (scale[feature] * call.deviation[feature])
        place = sample * call.K
        for target in range(call.K):
            feature = call.feature_of[target]
            call.shift[place + target] = center[feature] + scale[feature] * call.target_mean[target]
            call.factor[place + target] = scale[feature] * call.target_scale[target]
