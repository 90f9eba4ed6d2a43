"""What is done with a batch's gradient: clipping, the solvers' updates, the average of the weights.

A new solver has a number and settings in `_optimizers.py`, a function here and a line in `update`; a new
setting has a place in `_options.py` and in the struct of that name.
"""

cdef extern from * nogil:
    """
    /* Rounded, where compilers would make one operation of it and of the addition that follows. */
    static double rounded_product(double a, double b)
    {
        volatile double product = a * b;
        return product;
    }
    """
    double rounded_product(double a, double b)


cdef struct Clipping:
    double norm                 # largest norm of a gradient; 0: any
    double value                # largest absolute value of an element, clipped before; 0: any


cdef Clipping clipping_of(options) except *:
    """From `_options.Clipping`."""
    cdef Clipping clipping
    clipping.norm, clipping.value = fields_of(options)
    return clipping


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


cdef double clip(
    const Clipping* limits, Py_ssize_t n, real* gradient, real* scale,
) noexcept nogil:
    """Clip the values; return the norm, and in `scale` the factor that brings it within its limit."""
    cdef double norm
    if limits.value > 0:
        clip_values(gradient, n, <real> limits.value)
    norm = global_norm(gradient, n)
    # torch.nn.utils.clip_grad_norm_'s factor
    scale[0] = <real> min(1.0, limits.norm / (norm + 1e-6)) if limits.norm > 0 else 1
    return norm


cdef enum SolverKind:           # as `_optimizers.py` numbers them
    ADAM
    ADAMW
    RMSPROP
    SGD


cdef struct Solver:
    # A solver's settings; it has no use for those it does not know.
    SolverKind kind
    double beta_1               # share of the first moment that is kept
    double beta_2               # of the second
    double epsilon
    double momentum
    bint nesterov
    double weight_decay
    bint fixed_highway          # leave the highway as it is


cdef Solver solver_of(options) except *:
    """From `_options.Solver`."""
    cdef Solver solver
    cdef int kind
    (kind, solver.beta_1, solver.beta_2, solver.epsilon, solver.momentum, solver.nesterov,
     solver.weight_decay, solver.fixed_highway) = fields_of(options)
    solver.kind = <SolverKind> kind
    return solver


cdef extern from "<math.h>" nogil:
    float sqrtf(float x)


cdef inline real square_root(real x) noexcept nogil:
    if real is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef void adam_update(
    const Solver* solver, double learning_rate, int64_t n_steps, const real* gradient, real scale,
    Py_ssize_t n, real* first, real* second, real* params,
) noexcept nogil:
    """Adam (Kingma & Ba 2015, algorithm 1): bias-corrected first and second moments.

    m = beta_1 m + (1 - beta_1) g;   v = beta_2 v + (1 - beta_2) g^2
    params -= learning_rate * m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon)
    """
    cdef double beta_1 = solver.beta_1, beta_2 = solver.beta_2
    cdef real rate = <real> (learning_rate / (1 - beta_1 ** n_steps))
    cdef real root_correction = <real> (1 / sqrt(1 - beta_2 ** n_steps))
    cdef real keep_1 = <real> beta_1, keep_2 = <real> beta_2
    cdef real add_1 = <real> (1 - beta_1), add_2 = <real> (1 - beta_2)
    cdef real eps = <real> solver.epsilon, g
    cdef Py_ssize_t p
    for p in range(n):
        g = scale * gradient[p]
        first[p] = keep_1 * first[p] + add_1 * g
        second[p] = keep_2 * second[p] + add_2 * g * g
        params[p] -= rate * first[p] / (square_root(second[p]) * root_correction + eps)


cdef void decay_weights(const Net* net, real* params, real factor) noexcept nogil:
    """AdamW's decoupled decay (Loshchilov & Hutter 2019): weights shrink, biases and highway do not."""
    cdef Py_ssize_t index, p
    for index in range(net.n_cells):                            # W and U
        for p in range(net.cells[index].W, net.cells[index].b):
            params[p] *= factor
    for p in range(net.V, net.highway_V):
        params[p] *= factor


cdef void rmsprop_update(
    const Solver* solver, double learning_rate, const real* gradient, real scale, Py_ssize_t n,
    real* second, real* params,
) noexcept nogil:
    """RMSprop (Tieleman & Hinton 2012).

    v = beta_2 v + (1 - beta_2) g^2;   params -= learning_rate * g / (sqrt(v) + epsilon)
    """
    cdef real rate = <real> learning_rate
    cdef real keep = <real> solver.beta_2, add = <real> (1 - solver.beta_2)
    cdef real eps = <real> solver.epsilon, g
    cdef Py_ssize_t p
    for p in range(n):
        g = scale * gradient[p]
        second[p] = keep * second[p] + add * g * g
        params[p] -= rate * g / (square_root(second[p]) + eps)


cdef void sgd_update(
    const Solver* solver, double learning_rate, const real* gradient, real scale, Py_ssize_t n,
    real* velocity, real* params,
) noexcept nogil:
    """Stochastic gradient descent with momentum, or Nesterov's (as Sutskever et al. 2013 write it).

    v = momentum v - learning_rate g;   params += v, or momentum v - learning_rate g with Nesterov
    """
    cdef real rate = <real> learning_rate * scale, keep = <real> solver.momentum
    cdef bint nesterov = solver.nesterov
    cdef Py_ssize_t p
    for p in range(n):
        velocity[p] = keep * velocity[p] - rate * gradient[p]
        params[p] += keep * velocity[p] - rate * gradient[p] if nesterov else velocity[p]


cdef void update(
    const Net* net, const Solver* solver, double learning_rate, int64_t n_steps, const real* gradient,
    real scale, real* moments, real* params,
) noexcept nogil:
    """The solver's update number n_steps, by scale times the gradient. moments (n_moments, n_params)."""
    cdef Py_ssize_t n = net.n_params
    if solver.kind == SGD:
        sgd_update(solver, learning_rate, gradient, scale, n, moments, params)
    elif solver.kind == RMSPROP:
        rmsprop_update(solver, learning_rate, gradient, scale, n, moments, params)
    else:
        if solver.kind == ADAMW:
            decay_weights(net, params, <real> (1 - learning_rate * solver.weight_decay))
        adam_update(solver, learning_rate, n_steps, gradient, scale, n, moments, moments + n, params)


cdef bint clip_and_update(
    const Net* net, const Clipping* limits, const Solver* solver, double learning_rate, double loss,
    int64_t* n_steps, real* gradient, real* moments, real* params,
) noexcept nogil:
    """Clip a batch's gradient, and update by it unless it or the loss is not finite; whether it did."""
    cdef real scale
    cdef double norm
    if solver.fixed_highway:
        memset(gradient + net.highway_V, 0, (net.d - net.highway_V) * sizeof(real))
    norm = clip(limits, net.n_params, gradient, &scale)
    if not (isfinite(loss) and isfinite(norm)):
        return False
    n_steps[0] += 1
    update(net, solver, learning_rate, n_steps[0], gradient, scale, moments, params)
    return True


cdef void average_weights(
    real* average, const real* params, Py_ssize_t n, double decay,
) noexcept nogil:
    """Exponential moving average: average += (1 - decay) (params - average)."""
    cdef real share = <real> (1 - decay)
    cdef Py_ssize_t p
    for p in range(n):
        average[p] += share * (params[p] - average[p])
