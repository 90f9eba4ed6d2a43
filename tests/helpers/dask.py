"""For the tests of pylstm.dask: data, how they are cut into partitions, comparisons of fits."""

import time

import dask.array as da
import numpy as np

N, T, F = 330, 5, 2
CUTS = (80, 0, 130, 1, 119)  # one partition empty, one of a single sample
_rng = np.random.default_rng(0)
X = _rng.normal(size=(N, T, F))
y = X[:, :, 0].sum(axis=1) + 0.1 * _rng.normal(size=N)
LABELS = np.where(y > 1, "above", np.where(y < -1, "below", "between"))
WEIGHT = _rng.uniform(0.5, 2, size=N)
WEIGHT[::7] = 0
LENGTHS = _rng.integers(2, T + 1, size=N)
PADDED = np.where(np.arange(T)[:, None] < LENGTHS[:, None, None], X, np.nan)

SMALL = {"hidden_size": 4, "max_iter": 2, "random_state": 0, "n_iter_no_change": np.inf}


def cut(array, cuts=CUTS):
    """A Dask array of these numbers of samples."""
    return da.from_array(array, chunks=(cuts, *array.shape[1:]))


def cut_all(arrays, cuts=CUTS):
    """Of the values of a dict."""
    return {name: cut(array, cuts) for name, array in arrays.items()}


def same(a, b):
    """Whether two fits have the same bits."""
    return (
        np.array_equal(a._parameters, b._parameters)
        and a.loss_curve_ == b.loss_curve_
        and a.validation_scores_ == b.validation_scores_
        and (a.n_iter_, a.t_, a.n_timesteps_) == (b.n_iter_, b.t_, b.n_timesteps_)
    )


def forgets_all(client, patience=20):
    """Whether the scheduler has no task any more, at once or soon."""
    end = time.monotonic() + patience
    while client.run_on_scheduler(_n_tasks):
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _n_tasks(dask_scheduler):
    return len(dask_scheduler.tasks)
