"""pylstm beside PyTorch, JAX and ONNX Runtime: training steps and predictions, cell by cell.

    pip install ".[benchmarks]"
    python benchmarks/compare.py [--threads 1 2] [--parts train predict] [--dtypes float32] [--quick]
                                 [--cells 32,12,1,10 ...] [--isa baseline]

Every contestant runs in a process of its own; within a cell they take turns for several rounds, and the
median over all repetitions counts. The table gives the time, the ratio to the fastest peer (above 1: pylstm
is faster), GFLOP/s (a training step counted as 3 x 2 x B x T x 4H x (F + H), prediction as a third of it)
the share of the machine's matrix-product peak, measured in the same run, and how much faster pylstm is than
on one thread.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from peers import CONTESTANTS, layers_of

CELLS = [
    (32, 12, 1, 16),
    (32, 30, 8, 32),
    (64, 50, 16, 64),
    (256, 100, 16, 128),
    (128, 100, 32, 256),
]
# Sizes that tutorials use, and that fill no register.
COMMON_CELLS = [(32, 12, 1, 10), (32, 30, 4, 20), (32, 30, 4, 50), (64, 50, 16, 100)]
PREDICTION_CELLS = [(1, 30, 8, 32), (1, 1, 8, 32), (10_000, 30, 8, 32)]
TWO_LAYERS = [(64, 50, 16, 64, 2)]

# Goals: ratio to the fastest peer, float32.
GOALS = {
    "train": dict(zip(CELLS + COMMON_CELLS, (6, 4, 2.5, 2.5, 2, 5, 4, 2, 1.7), strict=True)),
    "predict": dict(
        zip(
            CELLS + COMMON_CELLS + PREDICTION_CELLS,
            (4, 2.5, 1.5, 1.6, 1.3, 4, 2.5, 1.7, 1.3, 3, None, 3.5),
            strict=True,
        )
    ),
}


# What holds each to an instruction set: PyTorch's own kernels, oneDNN, MKL, and XLA. ONNX Runtime and numpy's
# matrix product have no such setting, and take what the processor has.
HELD_TO = {
    "baseline": {
        "PYLSTM_ISA": "baseline",
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
    },
    "avx2": {
        "PYLSTM_ISA": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    },
}


# Before each turn: idle threads of the last contestant go on spinning, ONNX Runtime's for 60 ms.
SPIN_SECONDS = 0.1

# Seconds on the first number of threads measured, to compare the others with.
ON_ONE_THREAD = {}


def flops(part, cell):
    B, T, F, H = cell[:4]
    forward = 2 * B * T * 4 * H * (F + H + (layers_of(cell) - 1) * 2 * H)
    return 3 * forward if part == "train" else forward


class Worker:
    """The process of one contestant."""

    def __init__(self, name, n_threads):
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("peers.py")), name, str(n_threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(
                OMP_NUM_THREADS=str(n_threads),
                NPROC=str(n_threads),  # JAX's threads
                XLA_FLAGS=f"{os.environ.get('XLA_FLAGS', '')} "
                f"--xla_cpu_multi_thread_eigen={str(n_threads > 1).lower()}",
            ),
        )

    def run(self, part, cell, dtype, repetitions):
        job = {"part": part, "cell": cell, "dtype": dtype, "repetitions": repetitions}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        return json.loads(answer) if answer else None

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def environment(**settings):
    """The environment for a contestant, without settings that hold the peers' matrix products back."""
    held_back = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
    return {name: value for name, value in os.environ.items() if name not in held_back} | settings


def product_peak(dtype, n_threads):
    """GFLOP/s of a large numpy matrix product: the best of several, in a process of its own."""
    code = f"""
import time, numpy as np
A = np.random.default_rng(0).standard_normal((1536, 1536)).astype("{dtype}")
A @ A
best = 0
for _ in range(15):
    start = time.perf_counter(); A @ A
    best = max(best, 2 * 1536**3 / (time.perf_counter() - start) / 1e9)
print(best)
"""
    settings = environment(OPENBLAS_NUM_THREADS=str(n_threads))
    return float(subprocess.check_output([sys.executable, "-c", code], env=settings))


def measure(part, cell, dtype, n_threads, rounds, seconds_each):
    """Median seconds of each contestant, their repetitions interleaved."""
    names = [
        name
        for name, (_, parts, dtypes) in CONTESTANTS.items()
        if part in parts and dtype in dtypes
    ]
    workers = {name: Worker(name, n_threads) for name in names}
    samples = {name: [] for name in names}
    repetitions = {}
    try:
        for name, worker in workers.items():
            first = worker.run(part, cell, dtype, 1)
            if first is not None:  # else the contestant is not installed
                repetitions[name] = int(np.clip(seconds_each / min(first), 1, 3000))
        for _ in range(rounds):
            for name, n in repetitions.items():
                time.sleep(SPIN_SECONDS)
                samples[name] += workers[name].run(part, cell, dtype, n)
    finally:
        for worker in workers.values():
            worker.close()
    return {name: statistics.median(seconds) for name, seconds in samples.items() if seconds}


def table(part, dtype, n_threads, cells, rounds, seconds_each):
    """Measure, print and return the rows of one table."""
    peak = product_peak(dtype, n_threads)
    rows = [
        f"### {part}, {dtype}, {n_threads} thread{'s' * (n_threads > 1)} "
        f"(matrix product: {peak:.0f} GFLOP/s)",
        "",
        "| B, T, F, H | pylstm | fastest peer | ratio | goal | GFLOP/s | of the peak | scaling |",
        "|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(rows), flush=True)
    ratios = []
    for cell in cells:
        medians = measure(part, cell, dtype, n_threads, rounds, seconds_each)
        ours = medians.pop("pylstm")
        speed = flops(part, cell) / ours / 1e9
        row = f"| {', '.join(map(str, cell))} | {1e3 * ours:.4g} ms |"
        if medians:
            peer = min(medians, key=medians.get)
            ratios.append(medians[peer] / ours)
            goal = GOALS[part].get(cell) if dtype == "float32" else None
            row += f" {1e3 * medians[peer]:.4g} ms ({peer}) | {ratios[-1]:.2f} | {goal or ''} |"
        else:
            row += " | | |"
        row += f" {speed:.0f} | {100 * speed / peak:.0f} % |"
        on_one = ON_ONE_THREAD.setdefault((part, dtype, cell), ours)
        row += f" {on_one / ours:.2f} |" if n_threads > 1 else " |"
        rows.append(row)
        print(row, flush=True)
    if ratios:
        rows += ["", f"Geometric mean of the ratios: {statistics.geometric_mean(ratios):.2f}", ""]
        print("\n".join(rows[-3:]), flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--parts", nargs="+", default=["train", "predict"])
    parser.add_argument("--dtypes", nargs="+", default=["float32"])
    parser.add_argument("--cells", nargs="+", help="these alone, each as batch,T,F,H[,layers]")
    parser.add_argument("--isa", choices=HELD_TO, help="hold all but ONNX Runtime to it")
    parser.add_argument("--quick", action="store_true", help="few repetitions")
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    arguments = parser.parse_args()
    os.environ.update(HELD_TO.get(arguments.isa, {}))
    rounds, seconds_each = (3, 0.1) if arguments.quick else (9, 0.3)
    lines = [
        f"{time.strftime('%Y-%m-%d')}, {platform.platform()}, Python {platform.python_version()}",
        "",
    ]
    for part in arguments.parts:
        cells = CELLS + COMMON_CELLS + TWO_LAYERS + (PREDICTION_CELLS if part == "predict" else [])
        if arguments.cells:
            cells = [tuple(map(int, cell.split(","))) for cell in arguments.cells]
        for dtype in arguments.dtypes:
            for n_threads in arguments.threads:
                lines += table(part, dtype, n_threads, cells, rounds, seconds_each)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
