"""GFLOP/s of useful work over the hidden size: no saw-tooth where it fills no register.

    pip install ".[plot]"
    python benchmarks/hidden_sizes.py [--sizes 10 16 20 ...] [--output hidden_sizes.png]

One thread, float32, training and prediction at two shapes. The padding of a hidden size is no useful work:
a training step counts 3 x 2 x B x T x 4H x (F + H), a prediction a third of it. Sizes take turns for several
rounds; the shortest time of each counts. "of whole registers" is the speed beside that of the next size that
fills registers. "of a straight line" is the speed beside what it would be if the time between two sizes that
fill registers lay on a straight line, as with no padding at all.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from compare import flops

from pylstm import core

SHAPES = [(32, 30, 4), (64, 50, 16)]
LANES = {"baseline": 4, "avx2": 8, "avx512": 16}
BATCHES = 4


def job_of(part, cell):
    """What is timed, a function and how many steps it does."""
    B, T, F, H = cell
    rng = np.random.default_rng(0)
    X = rng.standard_normal((B, T, F), dtype="float32")
    arch = core.Architecture(F, H)
    params = core.init_parameters(arch, dtype="float32", random_state=0)
    if part == "predict":
        return lambda: core.predict(params, X, arch, n_threads=1), 1
    y = rng.standard_normal((B, 1), dtype="float32")
    optimizer = core.Adam(len(params), params.dtype)
    order = np.tile(np.arange(B), BATCHES)
    return (
        lambda: core.train(
            params, X, y, arch, optimizer, order=order, batch_size=B, n_threads=1
        ),
        BATCHES,
    )  # fmt: skip


def speeds(part, shape, sizes, rounds, seconds_each):
    """GFLOP/s of each size."""
    jobs = [job_of(part, (*shape, H)) for H in sizes]
    shortest = np.full(len(sizes), np.inf)
    for _ in range(rounds):
        for number, (run, steps) in enumerate(jobs):
            run()
            end = time.perf_counter() + seconds_each
            while (start := time.perf_counter()) < end:
                run()
                shortest[number] = min(shortest[number], (time.perf_counter() - start) / steps)
    return np.array([flops(part, (*shape, H)) for H in sizes]) / shortest / 1e9


def draw(results, sizes, lanes, path):
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(results), figsize=(11, 3.4), layout="constrained")
    for ax, (title, speed) in zip(axes, results.items(), strict=True):
        whole = [H % lanes == 0 for H in sizes]
        ax.plot(sizes, speed, lw=1)
        ax.plot(np.array(sizes)[whole], speed[whole], "o", ms=3, label="fills registers")
        ax.set(title=title, xlabel="hidden size", ylim=(0, None))
    axes[0].set_ylabel("GFLOP/s of useful work")
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(range(1, 129)))
    parser.add_argument("--parts", nargs="+", default=["train", "predict"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.03, help="of a size in a round")
    parser.add_argument("--output", type=Path, help="a picture to draw")
    arguments = parser.parse_args()
    from pylstm._dispatch import instruction_set

    lanes = LANES[instruction_set]
    results = {}
    for shape in SHAPES:
        for part in arguments.parts:
            speed = speeds(part, shape, arguments.sizes, arguments.rounds, arguments.seconds)
            title = f"{part} ({', '.join(map(str, shape))}, H)"
            results[title] = speed
            print(f"### {title}, {instruction_set}, 1 thread\n")
            print("| H | GFLOP/s | of whole registers | of a straight line |\n|---|---|---|---|")
            by_size = dict(zip(arguments.sizes, speed, strict=True))
            times = {H: flops(part, (*shape, H)) / value for H, value in by_size.items()}
            for H, value in by_size.items():
                below, whole = H // lanes * lanes, -(-H // lanes) * lanes
                of_whole = of_line = ""
                if whole in by_size:
                    of_whole = f"{value / by_size[whole]:.2f}"
                if below in by_size and whole in by_size:
                    line = np.interp(H, [below, whole], [times[below], times[whole]])
                    of_line = f"{line / times[H]:.2f}"
                print(f"| {H} | {value:.1f} | {of_whole} | {of_line} |", flush=True)
            print()
    if arguments.output:
        draw(results, arguments.sizes, lanes, arguments.output)


if __name__ == "__main__":
    main()
