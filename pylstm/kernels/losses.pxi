"""The losses: each from a network's output z and its target y to the loss and its derivative dz.

And what is made of them: a block's share in the loss of its batch, the L2 penalty. A new loss has a
number in `_losses.py`, a function here and a line in `step_loss`.
"""

cdef enum LossKind:             # as `_losses.py` numbers them
    SQUARED_ERROR
    ABSOLUTE_ERROR
    HUBER
    QUANTILE
    POISSON
    GAUSSIAN
    LOG_LOSS


cdef inline double squared_error(double z, double y, double* dz) noexcept nogil:
    # (z - y)^2 / 2
    dz[0] = z - y
    return 0.5 * dz[0] * dz[0]


cdef inline double absolute_error(double z, double y, double* dz) noexcept nogil:
    # |z - y|
    dz[0] = 1 if z > y else -1 if z < y else 0 if z == y else NAN
    return fabs(z - y)


cdef inline double huber(double z, double y, double delta, double* dz) noexcept nogil:
    # (z - y)^2 / 2 up to |z - y| = delta, the tangent beyond (Huber 1964)
    cdef double residual = z - y
    if fabs(residual) <= delta:
        dz[0] = residual
        return 0.5 * residual * residual
    dz[0] = delta if residual > 0 else -delta if residual < 0 else NAN
    return delta * (fabs(residual) - 0.5 * delta)


cdef inline double pinball(double z, double y, double q, double* dz) noexcept nogil:
    # q (y - z) where z is too low, (1 - q) (z - y) where it is too high (Koenker & Bassett 1978)
    cdef double residual = y - z
    dz[0] = -q if residual >= 0 else 1 - q if residual < 0 else NAN
    return q * residual if residual >= 0 else (q - 1) * residual


cdef inline double poisson(double z, double y, double* dz) noexcept nogil:
    # e^z - y z: the mean is e^z
    dz[0] = exp(z) - y
    return exp(z) - y * z


cdef inline double gaussian(double mu, double s, double y, double* d_mu, double* d_s) noexcept nogil:
    # ((y - mu) / sigma)^2 / 2 + ln sigma with sigma = softplus(s) + 1e-6 (Salinas et al. 2020)
    cdef double decay = exp(-fabs(s))
    cdef double sigma = (s if s > 0 else 0) + log1p(decay) + 1e-6
    cdef double standardised = (y - mu) / sigma
    d_mu[0] = -standardised / sigma
    d_s[0] = (1 - standardised * standardised) / sigma * (1 if s > 0 else decay) / (1 + decay)
    return 0.5 * standardised * standardised + log(sigma)


cdef double log_loss(
    const real* z, Py_ssize_t n_classes, double label, double share, real* dz,
) noexcept nogil:
    # -ln softmax(z)[y]
    cdef double largest = z[0], total = 0
    cdef Py_ssize_t k, y
    if not 0 <= label < n_classes:      # checked before, but the caller's array may have changed since
        memset(dz, 0, n_classes * sizeof(real))
        return NAN
    y = <Py_ssize_t> label
    for k in range(1, n_classes):
        largest = max(largest, <double> z[k])
    for k in range(n_classes):
        total += exp(z[k] - largest)
    for k in range(n_classes):
        dz[k] = <real> (share * (exp(z[k] - largest) / total - (k == y)))
    return share * (log(total) + largest - z[y])


cdef struct Objective:
    # What is made small.
    LossKind kind
    const double* settings      # delta, for all targets or of each, or quantiles; the caller's array
    Py_ssize_t n_settings
    double alpha                # strength of the L2 penalty


cdef Objective objective_of(options) except *:
    """From `_options.Objective`, which owns the settings."""
    cdef Objective objective
    cdef const double[::1] settings
    cdef int kind
    memset(&objective, 0, sizeof(Objective))
    kind, settings, objective.alpha = fields_of(options)
    objective.kind = <LossKind> kind
    if settings is not None:
        objective.settings = &settings[0]
        objective.n_settings = settings.shape[0]
    return objective


cdef struct Targets:
    # What the network's outputs are compared with, and how. The caller's arrays, of the call's type.
    Objective objective
    const void* y               # [n_samples][S][n_targets]
    Py_ssize_t n_targets
    const void* weight          # [n_samples]; NULL: ones
    double total_weight         # of the batch


cdef Targets targets_of(
    const real[:, :, ::1] y, const real[::1] weight, objective,
) except *:
    """`weight` may be None."""
    cdef Targets targets
    memset(&targets, 0, sizeof(Targets))
    targets.objective = objective_of(objective)
    targets.y = <const void*> &y[0, 0, 0]
    targets.n_targets = y.shape[2]
    if weight is not None:
        targets.weight = <const void*> &weight[0]
    return targets


cdef double weight_of(const Batch* batch, const real* weight) noexcept nogil:
    """Sum of the weights of the batch's samples."""
    cdef double total = 0
    cdef Py_ssize_t visit
    if weight == NULL:
        return batch.n
    for visit in range(batch.n):
        total += weight[sample_of(batch, visit)]
    return total


cdef double step_loss(
    const Targets* targets, Py_ssize_t K, const real* z, const real* y, double share, real* dz,
) noexcept nogil:
    """share times the mean loss over the K outputs, for one sample and one application of the head."""
    cdef const Objective* objective = &targets.objective
    cdef double total = 0, d_first = 0, d_second = 0
    cdef Py_ssize_t k
    if objective.kind == LOG_LOSS:
        return log_loss(z, K, y[0], share, dz)
    if objective.kind == GAUSSIAN:                              # outputs: [target][mu, s]
        share /= targets.n_targets
        for k in range(targets.n_targets):
            total += gaussian(z[2 * k], z[2 * k + 1], y[k], &d_first, &d_second)
            dz[2 * k] = <real> (share * d_first)
            dz[2 * k + 1] = <real> (share * d_second)
        return share * total
    share /= K
    for k in range(K):
        if objective.kind == SQUARED_ERROR:
            total += squared_error(z[k], y[k], &d_first)
        elif objective.kind == ABSOLUTE_ERROR:
            total += absolute_error(z[k], y[k], &d_first)
        elif objective.kind == HUBER:
            total += huber(z[k], y[k], objective.settings[k % objective.n_settings], &d_first)
        elif objective.kind == QUANTILE:                        # outputs: [target][quantile]
            total += pinball(z[k], y[k // objective.n_settings],
                             objective.settings[k % objective.n_settings], &d_first)
        else:
            total += poisson(z[k], y[k], &d_first)
        dz[k] = <real> (share * d_first)
    return share * total


cdef void segment_losses(
    const Net* net, const Targets* targets, const Block* block, real* arena,
) noexcept nogil:
    """The losses of a segment's applications of the head, and dy."""
    cdef const real* y
    cdef const real* weight = <const real*> targets.weight
    cdef double* losses
    cdef double share
    cdef Py_ssize_t s, t, n_steps
    cdef Py_ssize_t first = block.first if net.sequences else 0
    cdef Py_ssize_t stop = block.stop if net.sequences else 1
    for s in range(block.n):
        n_steps = block.length[s] if net.sequences else 1
        share = 1 / (targets.total_weight * n_steps)
        if weight != NULL:
            share *= weight[block.sample[s]]
        y = <const real*> targets.y + block.sample[s] * net.S * targets.n_targets
        losses = <double*> (arena + net.losses) + s * net.S
        for t in range(first, min(stop, n_steps)):
            losses[t] = step_loss(
                targets, net.K, arena + net.y + y_place(net, t, s), y + t * targets.n_targets, share,
                arena + net.dy + y_place(net, t, s))
        for t in range(max(first, n_steps), stop):
            memset(arena + net.dy + y_place(net, t, s), 0, net.K_pad * sizeof(real))


cdef double block_loss(const Net* net, const Block* block, real* arena) noexcept nogil:
    """The block's part in the weighted mean over samples (of their means over time steps)."""
    cdef const double* losses
    cdef double loss = 0
    cdef Py_ssize_t s, t
    for s in range(block.n):
        losses = <const double*> (arena + net.losses) + s * net.S
        for t in range(block.length[s] if net.sequences else 1):
            loss += losses[t]
    return loss


cdef double penalise(
    const real* params, Py_ssize_t start, Py_ssize_t stop, double strength, real* gradient,
) noexcept nogil:
    """The sum of squares of some parameters; adds strength times them to the gradient."""
    cdef double total = 0
    cdef Py_ssize_t p
    for p in range(start, stop):
        total += <double> params[p] * params[p]
        gradient[p] += <real> strength * params[p]
    return total


cdef double l2_penalty(
    const Net* net, const real* params, double strength, real* gradient,
) noexcept nogil:
    """strength / 2 * sum of squared weights, and its gradient; biases and the highway are free."""
    cdef double total = 0
    cdef Py_ssize_t index
    for index in range(net.n_cells):                            # W and U
        total += penalise(params, net.cells[index].W, net.cells[index].b, strength, gradient)
    total += penalise(params, net.V, net.highway_V, strength, gradient)
    return 0.5 * strength * total
