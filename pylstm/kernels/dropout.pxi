"""Dropout: each multiplier is a hash of what it stands for, so nobody has to keep it.

The backward pass asks again and gets the same answer. Another thing to drop gets a `MaskKind`.
"""

cdef struct Dropout:
    double rate                 # of the outputs of layers; 0: none
    double recurrent_rate       # of h_{t-1} in the recurrence; 0: none
    uint64_t seed


cdef enum MaskKind:
    OUTPUT_MASK = 0             # of a layer's output, for who reads it; another at each time step
    RECURRENT_MASK = 1          # of h_{t-1} (Gal & Ghahramani 2016); the same at all time steps


cdef Dropout dropout_of(options) except *:
    """From `_options.Dropout`; None: nothing is dropped."""
    cdef Dropout dropout
    memset(&dropout, 0, sizeof(Dropout))
    if options is not None:
        dropout.rate, dropout.recurrent_rate, dropout.seed = fields_of(options)
    return dropout


cdef inline uint64_t mix(uint64_t x) noexcept nogil:
    # the finaliser of SplitMix64 (Steele, Lea & Flood 2014)
    x = (x ^ (x >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t> 0x94D049BB133111EB
    return x ^ (x >> 31)


cdef void drop(
    const Dropout* dropout, MaskKind kind, uint64_t visit, Py_ssize_t cell, Py_ssize_t t,
    Py_ssize_t n, real* h,
) noexcept nogil:
    """Multiply h (n,), or its gradient, by 0 or by 1 / (1 - rate).

    What is dropped depends on the seed and on the numbers of the visit, the cell, the time step and
    the hidden unit; never on the batch's blocks or on threads.
    """
    cdef double rate = dropout.recurrent_rate if kind == RECURRENT_MASK else dropout.rate
    cdef uint64_t site = (<uint64_t> (2 * cell + kind) << 32) + t
    cdef uint64_t key = mix(mix(mix(dropout.seed) + visit) + site)
    cdef uint32_t low = <uint32_t> key, high = <uint32_t> (key >> 32), u
    cdef uint32_t threshold = <uint32_t> (rate * 4294967296.)
    cdef real scale = <real> (1 / (1 - rate))
    cdef Py_ssize_t j
    for j in range(n):
        u = low + <uint32_t> j * <uint32_t> 0x9E3779B9
        u = (u ^ (u >> 16)) * <uint32_t> 0x7FEB352D ^ high
        u = (u ^ (u >> 15)) * <uint32_t> 0x846CA68B
        u ^= u >> 16
        h[j] = scale * h[j] if u >= threshold else 0
