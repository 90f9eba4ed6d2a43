"""Sequences of different lengths: which rows of a padded array are time steps. No scikit-learn here."""

import numpy as np

from ._checks import as_array, check_shape


def check_lengths(lengths, X):
    """Lengths of the samples of X as int64, None for None: a copy, which nobody else can change."""
    if lengths is None:
        return None
    lengths = as_array("lengths", lengths)
    check_shape("lengths", lengths, (len(X),))
    if lengths.dtype.kind not in "iu" and lengths.size:
        raise TypeError(f"lengths must be integers, got dtype {lengths.dtype}.")
    lengths = lengths.astype(np.int64)
    if lengths.size and not (lengths.min() >= 1 and lengths.max() <= X.shape[1]):
        raise ValueError(
            f"lengths must be from 1 to n_timesteps = {X.shape[1]}, got values from {lengths.min()} "
            f"to {lengths.max()}."
        )
    return lengths


def heeded(lengths, n_timesteps):
    """The lengths that the kernels are to heed: None where all samples have all steps."""
    if lengths is None or lengths.min(initial=n_timesteps) == n_timesteps:
        return None
    return lengths


def is_step(lengths, n_timesteps):
    """What is a time step, and not padding: a mask of shape (len(lengths), n_timesteps)."""
    return np.arange(n_timesteps) < lengths[:, np.newaxis]


def longest_first(lengths, batch=None):
    """An order in which the longest samples come first, within each batch if their numbers are given.

    Blocks of samples of like length waste no steps on padding.
    """
    if batch is None:
        return np.argsort(-lengths, kind="stable")
    return np.lexsort((-lengths, batch))
