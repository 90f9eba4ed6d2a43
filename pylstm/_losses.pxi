"""The losses: each from a network's output z and its target y to the loss and its derivative dz.

Included by `_core.pyx`. A new loss has a number in `_losses.py`, a function here and a line in
`step_loss`.
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
    const real* z, Py_ssize_t n_classes, Py_ssize_t y, double share, real* dz,
) noexcept nogil:
    # -ln softmax(z)[y]
    cdef double largest = z[0], total = 0
    cdef Py_ssize_t k
    for k in range(1, n_classes):
        largest = max(largest, <double> z[k])
    for k in range(n_classes):
        total += exp(z[k] - largest)
    for k in range(n_classes):
        dz[k] = <real> (share * (exp(z[k] - largest) / total - (k == y)))
    return share * (log(total) + largest - z[y])
