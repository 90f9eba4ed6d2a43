"""For the tests of windows and scaler."""

import tracemalloc

import numpy as np

N_STEPS = 40
LENGTHS = np.array([4, 1, 3, 2, 4, 3] * 4)


def random_series(*shape, dtype=np.float64):
    return np.random.default_rng(0).normal(3.0, 2.0, size=shape).astype(dtype)


def peak_memory(function, *args):
    """Return the most bytes that NumPy and Python held at once for the call."""
    tracemalloc.start()
    try:
        function(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def padded_and_list(fill=np.nan, n_features=3, dtype=np.float64):
    """Return sequences of LENGTHS padded with `fill`, and the same as a list of arrays."""
    X = random_series(len(LENGTHS), 4, n_features, dtype=dtype)
    sequences = [x[:length].copy() for x, length in zip(X, LENGTHS, strict=True)]
    X[np.arange(4) >= LENGTHS[:, np.newaxis]] = fill
    return X, sequences
