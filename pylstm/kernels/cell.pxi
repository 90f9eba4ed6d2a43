"""One time step of one tile of hidden units: the gate equations, forward and backward.

A register type of `simd.h` holds as many hidden units as it has lanes. What a cell computes stands
here, in the equations' own names; where its operands lie is the other files' business.
"""

cdef extern from "kernels/simd.h" nogil:
    # To Cython these are numbers; to the C compiler, registers of LANES numbers.
    ctypedef float vec_f
    ctypedef double vec_d
    int LANES_F, LANES_D
    float EXP_LIMIT_F, TANH_LIMIT_F
    double EXP_LIMIT_D, TANH_LIMIT_D
    vec_f clamp_f(vec_f x, float limit)
    vec_d clamp_d(vec_d x, double limit)
    vec_f exp_f(vec_f x)
    vec_d exp_d(vec_d x)
    vec_f expm1_f(vec_f x)
    vec_d expm1_d(vec_d x)
    void regroup_registers(void* registers, bint halves, bint back)

ctypedef fused vec:
    vec_f
    vec_d


cdef inline vec sigmoid(vec x) noexcept nogil:
    # 1 / (1 + e^-x)
    if vec is vec_f:
        return 1 / (1 + exp_f(-clamp_f(x, EXP_LIMIT_F)))
    else:
        return 1 / (1 + exp_d(-clamp_d(x, EXP_LIMIT_D)))


cdef inline vec tanh(vec x) noexcept nogil:
    # (e^2x - 1) / (e^2x + 1), by expm1: accurate around 0 as well
    cdef vec e
    if vec is vec_f:
        e = expm1_f(2 * clamp_f(x, TANH_LIMIT_F))
    else:
        e = expm1_d(2 * clamp_d(x, TANH_LIMIT_D))
    return e / (e + 2)


cdef inline void cell_forward(vec* z, const vec* c_prev, vec* c) noexcept nogil:
    """One time step of one tile: z (i, f, g, o) in, the gates' values in its place; c_t out."""
    cdef vec i = sigmoid(z[0])      # input gate
    cdef vec f = sigmoid(z[1])      # forget gate
    cdef vec g = tanh(z[2])         # candidate: the new memory
    cdef vec o = sigmoid(z[3])      # output gate
    c[0] = f * c_prev[0] + i * g
    z[0] = i
    z[1] = f
    z[2] = g
    z[3] = o


cdef inline void hidden_forward(const vec* z, const vec* c, vec* h) noexcept nogil:
    """And h_t: apart, for a chain of operations half as long lets the processor overlap more of them."""
    h[0] = z[3] * tanh(c[0])


cdef inline void cell_backward(
    vec* z, const vec* c_prev, const vec* h, const vec* dh, vec* dc
) noexcept nogil:
    """The same step backwards: gates in, dz in their place; dc goes from step t to t - 1."""
    cdef vec i = z[0]
    cdef vec f = z[1]
    cdef vec g = z[2]
    cdef vec o = z[3]
    cdef vec tanh_c = h[0] / o      # o is never 0; a division takes less than the exponential in tanh
    cdef vec d_o = dh[0] * tanh_c
    cdef vec d_c = dc[0] + dh[0] * o * (1 - tanh_c * tanh_c)
    cdef vec d_i = d_c * g
    cdef vec d_f = d_c * c_prev[0]
    cdef vec d_g = d_c * i
    dc[0] = d_c * f
    z[0] = d_i * i * (1 - i)
    z[1] = d_f * f * (1 - f)
    z[2] = d_g * (1 - g * g)
    z[3] = d_o * o * (1 - o)


cdef inline void add(const vec* source, vec* target, Py_ssize_t n) noexcept nogil:
    """Registers, added to as many others."""
    cdef Py_ssize_t k
    for k in range(n):
        target[k] += source[k]


# The kernels below hold plain pointers to real; here they become pointers to registers.

cdef inline void cell_forward_at(real* z, real* c_prev, real* c) noexcept nogil:
    if real is float:
        cell_forward(<vec_f*> z, <const vec_f*> c_prev, <vec_f*> c)
    else:
        cell_forward(<vec_d*> z, <const vec_d*> c_prev, <vec_d*> c)


cdef inline void hidden_forward_at(real* z, real* c, real* h) noexcept nogil:
    if real is float:
        hidden_forward(<const vec_f*> z, <const vec_f*> c, <vec_f*> h)
    else:
        hidden_forward(<const vec_d*> z, <const vec_d*> c, <vec_d*> h)


cdef inline void cell_backward_at(
    real* z, const real* c_prev, const real* h, const real* dh, real* dc
) noexcept nogil:
    if real is float:
        cell_backward(<vec_f*> z, <const vec_f*> c_prev, <const vec_f*> h,
                      <const vec_f*> dh, <vec_f*> dc)
    else:
        cell_backward(<vec_d*> z, <const vec_d*> c_prev, <const vec_d*> h,
                      <const vec_d*> dh, <vec_d*> dc)


cdef inline void add_registers(Py_ssize_t n, real* source, real* target) noexcept nogil:
    if real is float:
        add(<const vec_f*> source, <vec_f*> target, n)
    else:
        add(<const vec_d*> source, <vec_d*> target, n)
