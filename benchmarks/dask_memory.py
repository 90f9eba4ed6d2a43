"""Memory of Dask's workers while they learn from an array on disk.

    pip install ".[dask]"
    python benchmarks/dask_memory.py [GIGABYTES ...] [--persist]

For each size an epoch of local updates on two workers of a thread each, from partitions of 16 MB; printed is
the largest memory that a worker had, beside what it had before the fit, with everything imported.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from pylstm.dask import DaskLSTMRegressor

SHAPE = (10_000, 50, 8)  # of a partition: 16 MB


class OnDisk:
    """An array in a file; pickled by its path."""

    def __init__(self, path):
        self.path = path
        file = np.load(path, mmap_mode="r")
        self.shape, self.dtype, self.ndim = file.shape, file.dtype, file.ndim

    def __getitem__(self, index):
        return np.array(np.load(self.path, mmap_mode="r")[index])


def write(folder, n_partitions):
    """Dask arrays of a file each; the partitions are all alike."""
    import dask.array as da

    X = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    arrays = []
    for name, block in [("X", X), ("y", X[:, :, 0].sum(axis=1))]:
        path = folder / f"{name}.npy"
        shape = (n_partitions * len(block), *block.shape[1:])
        file = np.lib.format.open_memmap(path, "w+", block.dtype, shape)
        for k in range(n_partitions):
            file[k * len(block) : (k + 1) * len(block)] = block
        file.flush()
        arrays.append(da.from_array(OnDisk(path), chunks=block.shape, name=False))
    return arrays


def peak():
    """Of this process, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def warm_up():
    import dask.array  # noqa: F401

    from pylstm import LSTMRegressor

    LSTMRegressor(2, max_iter=1, tol=1).fit(np.zeros((2000, *SHAPE[1:])), np.arange(2000.0))
    return peak()


def measure(gigabytes, persist):
    from dask.distributed import Client, LocalCluster

    n_partitions = max(1, round(gigabytes * 1e9 / (4 * np.prod(SHAPE))))
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        before = max(client.run(warm_up).values())
        X, y = write(Path(folder), n_partitions)
        start = time.perf_counter()
        DaskLSTMRegressor(
            2,
            updates="local",
            persist=persist,
            batch_size=1000,
            max_iter=1,
            n_iter_no_change=np.inf,
            standardize=False,
        ).fit(X, y)
        seconds = time.perf_counter() - start
        after = max(client.run(peak).values())
        print(
            f"{gigabytes:g} GB in {n_partitions} partitions, persist={persist}: {before:.0f} MB before, "
            f"at most {after:.0f} MB; {seconds:.0f} s"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("gigabytes", nargs="*", type=float, default=[1, 4])
    parser.add_argument("--persist", action="store_true")
    arguments = parser.parse_args()
    for size in arguments.gigabytes:
        measure(size, arguments.persist)
