# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Faults for `.ci/run`, whose sanitizers must find each of them: they are built and run as the kernels
are. `no_fault` has threads that wait for each other as those of the kernels do, and nothing to find."""

from cython.parallel cimport prange
from libc.stdlib cimport malloc


def no_fault(long[::1] sums):
    cdef int i
    for i in prange(sums.shape[0], num_threads=4, schedule="static", nogil=True):
        sums[i] += i
    for i in range(1, sums.shape[0]):
        sums[0] += sums[i]


def race(long[::1] sums):
    cdef int i
    for i in prange(sums.shape[0], num_threads=4, schedule="static", nogil=True):
        sums[0] += i


def out_of_bounds(long[::1] sums):
    cdef int i
    for i in prange(sums.shape[0] + 1, num_threads=4, schedule="static", nogil=True):
        sums[i] += i


def undefined(long[::1] sums):
    cdef int n_bits = <int> sums.shape[0]
    sums[0] = (<int> sums[0] + 1) << n_bits


def leak(long[::1] sums):
    cdef long* lost = <long*> malloc(1000 * sizeof(long))
    lost[sums.shape[0] - 1] = sums[0]
    sums[0] = lost[sums.shape[0] - 1] + lost[0]
