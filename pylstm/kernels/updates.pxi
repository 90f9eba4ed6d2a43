"""What is done with a batch's gradient: clipping, the solvers' updates, the average of the weights.

A new solver has a number and settings in `_optimizers.py`, a function here and a line in `train`.
"""

cdef void clip_values(real* gradient, Py_ssize_t n, real limit) noexcept nogil:
    """Each element to [-limit, limit]; NaN stays."""
    cdef Py_ssize_t p
    for p in range(n):
        if gradient[p] > limit:
            gradient[p] = limit
        elif gradient[p] < -limit:
            gradient[p] = -limit


cdef double global_norm(const real* gradient, Py_ssize_t n) noexcept nogil:
    """The Euclidean norm, in eight interleaved sums (a fixed order that need not wait for each add)."""
    cdef double sums[8]
    cdef double total = 0
    cdef Py_ssize_t p, lane
    memset(sums, 0, sizeof(sums))
    for p in range(0, n - n % 8, 8):
        for lane in range(8):
            sums[lane] += <double> gradient[p + lane] * gradient[p + lane]
    for p in range(n - n % 8, n):
        sums[p % 8] += <double> gradient[p] * gradient[p]
    for lane in range(8):
        total += sums[lane]
    return sqrt(total)


cdef enum Solver:               # as `_optimizers.py` numbers them
    ADAM
    ADAMW
    RMSPROP
    SGD


cdef extern from "<math.h>" nogil:
    float sqrtf(float x)


cdef inline real square_root(real x) noexcept nogil:
    if real is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef void adam_update(
    real* params, const real* gradient, real scale, real* first, real* second, Py_ssize_t n,
    int64_t n_steps, double learning_rate, double beta_1, double beta_2, double epsilon,
) noexcept nogil:
    """Adam (Kingma & Ba 2015, algorithm 1): bias-corrected first and second moments.

    m = beta_1 m + (1 - beta_1) g;   v = beta_2 v + (1 - beta_2) g^2
    params -= learning_rate * m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon)
    """
    cdef real rate = <real> (learning_rate / (1 - beta_1 ** n_steps))
    cdef real root_correction = <real> (1 / sqrt(1 - beta_2 ** n_steps))
    cdef real keep_1 = <real> beta_1, keep_2 = <real> beta_2
    cdef real add_1 = <real> (1 - beta_1), add_2 = <real> (1 - beta_2), eps = <real> epsilon, g
    cdef Py_ssize_t p
    for p in range(n):
        g = scale * gradient[p]
        first[p] = keep_1 * first[p] + add_1 * g
        second[p] = keep_2 * second[p] + add_2 * g * g
        params[p] -= rate * first[p] / (square_root(second[p]) * root_correction + eps)


cdef void decay_weights(const Net* net, real* params, real factor) noexcept nogil:
    """AdamW's decoupled decay (Loshchilov & Hutter 2019): weights shrink, biases do not."""
    cdef Py_ssize_t index, p
    for index in range(net.n_cells):                            # W and U
        for p in range(net.cells[index].W, net.cells[index].b):
            params[p] *= factor
    for p in range(net.V, net.d):
        params[p] *= factor


cdef void rmsprop_update(
    real* params, const real* gradient, real scale, real* second, Py_ssize_t n,
    double learning_rate, double decay, double epsilon,
) noexcept nogil:
    """RMSprop (Tieleman & Hinton 2012).

    v = decay v + (1 - decay) g^2;   params -= learning_rate * g / (sqrt(v) + epsilon)
    """
    cdef real rate = <real> learning_rate, keep = <real> decay, add = <real> (1 - decay)
    cdef real eps = <real> epsilon, g
    cdef Py_ssize_t p
    for p in range(n):
        g = scale * gradient[p]
        second[p] = keep * second[p] + add * g * g
        params[p] -= rate * g / (square_root(second[p]) + eps)


cdef void sgd_update(
    real* params, const real* gradient, real scale, real* velocity, Py_ssize_t n,
    double learning_rate, double momentum, bint nesterov,
) noexcept nogil:
    """Stochastic gradient descent with momentum, or Nesterov's (as Sutskever et al. 2013 write it).

    v = momentum v - learning_rate g;   params += v, or momentum v - learning_rate g with Nesterov
    """
    cdef real rate = <real> learning_rate * scale, keep = <real> momentum
    cdef Py_ssize_t p
    for p in range(n):
        velocity[p] = keep * velocity[p] - rate * gradient[p]
        params[p] += keep * velocity[p] - rate * gradient[p] if nesterov else velocity[p]


cdef void average_weights(
    real* average, const real* params, Py_ssize_t n, double decay,
) noexcept nogil:
    """Exponential moving average: average += (1 - decay) (params - average)."""
    cdef real share = <real> (1 - decay)
    cdef Py_ssize_t p
    for p in range(n):
        average[p] += share * (params[p] - average[p])
