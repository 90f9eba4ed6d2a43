"""Epochs on Dask's workers: what they cost, and what that foretells for more workers and slower networks.

    pip install ".[dask]"
    python benchmarks/dask_scale.py [--quick]

Measured on local workers of a thread each: epochs of both kinds of updates on one and two workers, and what
they are made of: a round trip, a task more in it, a byte more in it, a sample's share of an update. The model

    update = round trip + tasks x a task's cost + bytes / bandwidth + samples x a sample's cost / workers

is put beside what was measured, and then asked for clusters that are not here: the bandwidth becomes that of
the client's network, if that is the narrower one. A synchronous update sends the parameters to each task and
gets a gradient for each of its slots, at most 32; a round of local updates sends and gets the parameters and
two moments of each for every partition (one a worker, here).
"""

import argparse
import statistics
import time
from typing import NamedTuple

import numpy as np

from pylstm import core
from pylstm.dask import DaskLSTMRegressor

# (T, F, H), samples measured, batch of a synchronous update, batch of a local one
NETWORKS = [
    ((12, 1, 16), 65_536, 16_384, 256),
    ((30, 8, 64), 8192, 4096, 256),
    ((50, 32, 256), 256, 128, 64),
]
N_SLOTS = 32

# What is foretold: an epoch of so many windows, whose synchronous updates have so many each.
N_WINDOWS, BATCH = 10_000_000, 65_536
WORKERS = (4, 16, 64, 256, 1000)
GIGABITS = (1, 10)


class Costs(NamedTuple):
    round_trip: float  # seconds: of one task
    task: float  # of another in the same round
    byte: float  # of a byte, to or from a worker, here


def n_bytes(network):
    _, F, H = network
    return core.init_parameters(core.Architecture(F, H), dtype="float32").nbytes


def first(x):
    return x


def median_seconds(function, rounds):
    function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure_costs(client, rounds):
    """By tasks that do nothing, and by one that gets and gives back a megabyte."""

    def run(n_tasks, payload):
        client.gather(client.map(first, [payload] * n_tasks, pure=False))

    small, megabyte = np.zeros(1), np.zeros(2**17)
    one, many = (median_seconds(lambda n=n: run(n, small), rounds) for n in (1, 64))
    loaded = median_seconds(lambda: run(1, megabyte.copy()), rounds)
    return Costs(one, (many - one) / 63, max(0.0, loaded - one) / (2 * megabyte.nbytes))


def seconds_a_sample(network, batch, n=512):
    """Of a training pass on one thread."""
    T, F, H = network
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, T, F), dtype="float32")
    arch = core.Architecture(F, H)
    params = core.init_parameters(arch, dtype="float32", random_state=0)
    optimizer, y = core.Adam(len(params), params.dtype), X[:, -1, :1].copy()
    order = np.arange(n)
    return median_seconds(
        lambda: core.train(params, X, y, arch, optimizer, order=order, batch_size=batch, n_threads=1), 5
    ) / n  # fmt: skip


def seconds_an_epoch(client, network, n, batch, updates, n_workers, epochs, n_rounds):
    """The difference of fits of many epochs and of one, which leaves out what comes before the first."""
    import dask.array as da

    T, F, H = network
    X = np.random.default_rng(0).standard_normal((n, T, F), dtype="float32")
    chunk = n // n_workers
    X_parts, y_parts = da.from_array(X, (chunk, T, F)), da.from_array(X[:, -1, 0].copy(), chunk)
    X_parts, y_parts = client.persist([X_parts, y_parts])

    def seconds(max_iter):
        model = DaskLSTMRegressor(
            H, updates=updates, batch_size=batch, max_iter=max_iter, n_iter_no_change=np.inf,
            standardize=False, shuffle=False, random_state=0, n_timesteps=T,
        )  # fmt: skip
        start = time.perf_counter()
        model.fit(X_parts, y_parts)
        return time.perf_counter() - start

    seconds(1)
    return statistics.median((seconds(1 + epochs) - seconds(1)) / epochs for _ in range(n_rounds))


def capacity(client, network, batch):
    """What two workers do that exchange nothing, in the work of one: 2 on two cores, less on half of them."""
    names = list(client.scheduler_info()["workers"])

    def seconds(workers):
        futures = [
            client.submit(seconds_a_sample, network, batch, workers=[name], pure=False)
            for name in workers
        ]
        return statistics.mean(client.gather(futures))

    return 2 * seconds(names[:1]) / seconds(names)


def foretold(costs, network, n, batch, sample, updates, n_workers, gigabits=None):
    """Seconds an epoch, by the model above."""
    byte = costs.byte if gigabits is None else max(costs.byte, 8e-9 / gigabits)
    size = n_bytes(network)
    if updates == "local":
        traffic = 2 * 3 * size * n_workers
        return costs.round_trip + costs.task * n_workers + traffic * byte + n * sample / n_workers
    n_tasks = min(n_workers, N_SLOTS)
    update = costs.round_trip + costs.task * n_tasks + (n_tasks + N_SLOTS) * size * byte
    return n / batch * update + n * sample / n_tasks


def print_measured(quick):
    """The first table; the costs, and each network's cost of a sample by kind of update."""
    from dask.distributed import Client, LocalCluster

    epochs, n_rounds = (2, 1) if quick else (5, 3)
    print("| T, F, H | updates | 1 worker | model | 2 workers | speed-up | without exchange |")
    print(f"|{'---|' * 7}")
    samples, measured, bounds = {}, {}, {}
    for n_workers in (1, 2):
        with (
            LocalCluster(
                n_workers=n_workers, threads_per_worker=1, dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            costs = measure_costs(client, 20 if quick else 100)
            for network, n, *batches in NETWORKS:
                for updates, batch in zip(("synchronous", "local"), batches, strict=True):
                    key = network, updates
                    samples[key] = seconds_a_sample(network, min(batch, 512))
                    epoch = seconds_an_epoch(
                        client, network, n, batch, updates, n_workers, epochs, n_rounds
                    )
                    model = foretold(costs, network, n, batch, samples[key], updates, n_workers)
                    measured.setdefault(key, []).append((epoch, model))
                    if n_workers == 2:
                        bounds[key] = capacity(client, network, min(batch, 512))
    for (network, updates), ((one, model), (two, _)) in measured.items():
        print(
            f"| {', '.join(map(str, network))} | {updates} | {one:.3f} s | {model:.3f} s | {two:.3f} s | "
            f"{one / two:.2f} | {bounds[network, updates]:.2f} |"
        )
    print(
        f"\nA round trip {1e3 * costs.round_trip:.1f} ms, a task more {1e3 * costs.task:.2f} ms, "
        f"{1e-6 / max(costs.byte, 1e-12):.0f} MB/s.\n"
    )
    return costs, samples


def print_foretold(costs, samples):
    workers = " | ".join(f"{n} workers" for n in WORKERS)
    print(f"| T, F, H | updates | Gbit/s | alone | {workers} |\n|{'---|' * (4 + len(WORKERS))}")
    for (network, updates), sample in samples.items():
        for gigabits in GIGABITS:
            alone = N_WINDOWS * sample
            cells = []
            for n in WORKERS:
                epoch = foretold(costs, network, N_WINDOWS, BATCH, sample, updates, n, gigabits)
                cells.append(f"{alone / epoch:.1f} ({alone / epoch / n:.0%})")
            shape = ", ".join(map(str, network))
            print(f"| {shape} | {updates} | {gigabits} | {alone:.0f} s | {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few repetitions")
    print_foretold(*print_measured(parser.parse_args().quick))


if __name__ == "__main__":
    main()
