"""Does it learn what LSTMs were made for? Long time lags, beside PyTorch, seed by seed.

    pip install ".[benchmarks]"
    python benchmarks/learning.py [TASK ...] [--seeds 10] [--peers torch] [--output FILE]

Both get the same start weights, the same batches in the same order, the same optimiser (Adam, the gradient
clipped to norm 1, the learning rate constant for half of the budget, then falling to zero) and the same
number of updates. Every batch is new; the error is that on 2,000 sequences never trained on. --output names
a file of JSON lines, one for each run, to which results are added: runs found there are not repeated. The
tables printed at the end come from it; --tables prints them and runs nothing.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from scipy.stats import wilcoxon

from pylstm import __version__, core

UPDATES_PER_PASS = 100
N_HELD_OUT = 2000
CLIP = 1.0
# Worse than a peer: over the seeds p < 0.05 (Wilcoxon's signed-rank test of the logarithms of the errors, one
# side) and the errors larger by more than one per cent on average.
MARGIN = 1.01


# The data: make(rng, n, T) -> X (n, steps, features), y, lengths or None


def adding(rng, n, T):
    """The sum of two marked values out of T (Hochreiter & Schmidhuber 1997, section 5.4).

    Values are uniform in [-1, 1]; one of the first ten is marked by 1, another of the first T/2 - 1; the
    first and the last step carry the mark -1. The target is 0.5 + (x1 + x2) / 4, where a value at the first
    step counts as 0. All lengths are T (in the paper T to 1.1 T).
    """
    rows = np.arange(n)
    values, marks = rng.uniform(-1, 1, (n, T)), np.zeros((n, T))
    first = rng.integers(0, 10, n)
    second = rng.integers(0, T // 2 - 2, n)
    second += second >= first
    marks[rows, first] = marks[rows, second] = 1
    marks[:, 0] = marks[:, -1] = -1
    target = 0.5 + (values * (marks == 1)).sum(axis=1) / 4
    return np.stack([values, marks], axis=2), target[:, None], None


def adding_halves(rng, n, T):
    """As it is mostly posed since (Arjovsky, Shah & Bengio 2016): values uniform in [0, 1], one marked in
    each half; the target is their sum."""
    rows = np.arange(n)
    values, marks = rng.random((n, T)), np.zeros((n, T))
    marks[rows, rng.integers(0, T // 2, n)] = marks[rows, rng.integers(T // 2, T, n)] = 1
    return np.stack([values, marks], axis=2), (values * marks).sum(axis=1, keepdims=True), None


def temporal_order(rng, n, T):
    """In which order came two symbols (Hochreiter & Schmidhuber 1997, section 5.6, experiment 6a)?

    A sequence of T to 1.1 T symbols begins with E, ends with B, has X or Y at a step between T/10 and T/5 and
    again between T/2 and 3T/5, and symbols drawn from a, b, c, d elsewhere. Four classes: XX, XY, YX, YY.
    """
    rows, most = np.arange(n), T + T // 10
    lengths = rng.integers(T, most + 1, n)
    symbols, order = rng.integers(0, 4, (n, most)), rng.integers(0, 2, (n, 2))
    symbols[:, 0], symbols[rows, lengths - 1] = 4, 5
    symbols[rows, rng.integers(T // 10, T // 5 + 1, n)] = 6 + order[:, 0]
    symbols[rows, rng.integers(T // 2, 3 * T // 5 + 1, n)] = 6 + order[:, 1]
    X = np.eye(8)[symbols]
    X[np.arange(most) >= lengths[:, None]] = 0
    return X, 2.0 * order[:, :1] + order[:, 1:], lengths


N_SYMBOLS, N_COPIED = 8, 5


def copy_memory(rng, n, T):
    """Repeat five of eight symbols after T blanks (Hochreiter & Schmidhuber 1997; Arjovsky et al. 2016).

    The symbols come first, then T blanks, the last of them a signal to begin, then five more blanks; the
    output is blank until the signal, after it the symbols in their order. Class 0 is the blank.
    """
    symbols = rng.integers(1, N_SYMBOLS + 1, (n, N_COPIED))
    inputs, targets = np.zeros((2, n, T + 2 * N_COPIED), int)
    inputs[:, :N_COPIED] = targets[:, -N_COPIED:] = symbols
    inputs[:, -N_COPIED - 1] = N_SYMBOLS + 1
    return np.eye(N_SYMBOLS + 2)[inputs], targets[:, :, None], None


def delayed_recall(rng, n, T):
    """At each step the value of T steps before (the delay line of Jaeger 2001), 0.5 for the first T steps;
    values uniform in [0, 1], 10 T steps."""
    values = rng.random((n, 10 * T, 1))
    targets = np.full_like(values, 0.5)
    targets[:, T:] = values[:, :-T]
    return values, targets, None


@dataclass(frozen=True)
class Task:
    """A task and its budget, the same for all libraries."""

    make: Callable
    T: int
    updates: int
    nothing: float  # the error of a network that remembers nothing
    goal: float
    n_features: int = 2
    n_classes: int = 0  # 0: a real target and the squared error, else cross-entropy
    at_each_step: bool = False
    chrono: bool = False
    hidden_size: int = 32
    batch_size: int = 32
    learning_rate: float = 0.01


LENGTHS = (100, 200, 400)
TASKS = {
    **{f"adding {T}": Task(adding, T, 2000, 1 / 24, 0.01, chrono=True) for T in LENGTHS},
    **{f"adding, halves {T}": Task(adding_halves, T, 6000, 1 / 6, 0.01) for T in LENGTHS},
    "temporal order 100": Task(
        temporal_order, 100, 2000, np.log(4), 0.01, n_features=8, n_classes=4, chrono=True
    ),
    "copy 30": Task(
        copy_memory, 30, 6000, N_COPIED * np.log(N_SYMBOLS) / (30 + 2 * N_COPIED), 0.01,
        n_features=N_SYMBOLS + 2, n_classes=N_SYMBOLS + 1, at_each_step=True, chrono=True,
        hidden_size=64,
    ),
    "delayed recall 10": Task(
        delayed_recall, 10, 2000, 0.9 / 12, 0.001, n_features=1, at_each_step=True
    ),
    "delayed recall 20": Task(
        delayed_recall, 20, 4000, 0.9 / 12, 0.001, n_features=1, at_each_step=True, hidden_size=64
    ),
    # What the default start does not learn.
    "adding 100, default start": Task(adding, 100, 6000, 1 / 24, 0.01),
    "temporal order 100, default start": Task(
        temporal_order, 100, 6000, np.log(4), 0.01, n_features=8, n_classes=4
    ),
}  # fmt: skip


def start(task, seed):
    """Start weights: those of `core.init_parameters`; with chrono the forget gates' biases are log-uniform,
    for memories of 1 to T - 1 steps, and the input gates' their negatives (Tallec & Ollivier 2018)."""
    arch = core.Architecture(
        n_features=task.n_features,
        hidden_size=task.hidden_size,
        n_outputs=max(task.n_classes, 1),
        return_sequences=task.at_each_step,
    )
    params = core.init_parameters(arch, random_state=seed)
    if task.chrono:
        H, bias = task.hidden_size, core.unpack_parameters(params, arch)["b0"]
        bias[H : 2 * H] = np.log(np.random.default_rng([seed, 1]).uniform(1, task.T - 1, H))
        bias[:H] = -bias[H : 2 * H]
    return arch, params


class Pylstm:
    version = __version__

    def __init__(self, task, seed):
        self.task = task
        self.arch, self.params = start(task, seed)
        self.optimizer = core.Adam(len(self.params), self.params.dtype)

    def train(self, X, y, lengths, learning_rate):
        n_classes = self.task.n_classes
        self.optimizer.learning_rate = learning_rate
        core.train(
            self.params, X, y, self.arch, self.optimizer, order=range(len(X)),
            batch_size=self.task.batch_size, max_grad_norm=CLIP, lengths=lengths, n_threads=1,
            loss=core.LogLoss(n_classes) if n_classes else core.SquaredError(),
        )  # fmt: skip

    def predict(self, X, lengths):
        return core.predict(self.params, X, self.arch, lengths=lengths, n_threads=1)


class Torch:
    """torch.nn.LSTM and torch.nn.Linear, one bias a gate (the other is 0 and stays so)."""

    def __init__(self, task, seed):
        import torch

        torch.set_num_threads(1)
        self.torch, self.task, self.version = torch, task, torch.__version__
        arch, params = start(task, seed)
        weights = {
            name: torch.from_numpy(array.copy())
            for name, array in core.unpack_parameters(params, arch).items()
        }
        self.lstm = torch.nn.LSTM(arch.n_features, arch.hidden_size, batch_first=True)
        self.head = torch.nn.Linear(arch.hidden_size, arch.n_outputs)
        with torch.no_grad():
            self.lstm.weight_ih_l0.copy_(weights["W0"].T)
            self.lstm.weight_hh_l0.copy_(weights["U0"].T)
            self.lstm.bias_ih_l0.copy_(weights["b0"])
            self.lstm.bias_hh_l0.zero_()
            self.head.weight.copy_(weights["V"].T)
            self.head.bias.copy_(weights["d"])
        self.lstm.bias_hh_l0.requires_grad_(False)
        self.parameters = [
            p for p in [*self.lstm.parameters(), *self.head.parameters()] if p.requires_grad
        ]
        self.optimizer = torch.optim.Adam(self.parameters)

    def train(self, X, y, lengths, learning_rate):
        torch = self.torch
        self.optimizer.param_groups[0]["lr"] = learning_rate
        for i in range(0, len(X), self.task.batch_size):
            rows = slice(i, i + self.task.batch_size)
            output = self._output(X[rows], None if lengths is None else lengths[rows])
            target = torch.from_numpy(y[rows])
            if self.task.n_classes:
                loss = torch.nn.functional.cross_entropy(
                    output.flatten(0, -2), target.long().flatten()
                )
            else:
                loss = torch.nn.functional.mse_loss(output, target) / 2
            self.optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
            self.optimizer.step()

    def predict(self, X, lengths):
        with self.torch.no_grad():
            return self._output(X, lengths).numpy()

    def _output(self, X, lengths):
        hidden, _ = self.lstm(self.torch.from_numpy(X))
        if not self.task.at_each_step:
            hidden = hidden[:, -1] if lengths is None else hidden[range(len(X)), lengths - 1]
        return self.head(hidden)


LIBRARIES = {"pylstm": Pylstm, "torch": Torch}


def data(task, rng, n):
    X, y, lengths = task.make(rng, n, task.T)
    return X.astype(np.float32), y.astype(np.float32), lengths


def evaluate(task, output, y):
    """Mean squared error or cross-entropy; share of the outputs that are wrong.

    Wrong is a class that is not the most probable one (of the symbols recalled, not the blanks), or, as
    Hochreiter & Schmidhuber count, a number off by more than 0.04.
    """
    output, y = output.astype(float), y[..., 0]
    if not task.n_classes:
        difference = output[..., 0] - y
        return np.mean(difference**2), np.mean(abs(difference) > 0.04)
    output -= output.max(axis=-1, keepdims=True)
    log_proba = output - np.log(np.exp(output).sum(axis=-1, keepdims=True))
    classes = y.astype(int)
    error = -np.take_along_axis(log_proba, classes[..., None], axis=-1).mean()
    wrong = output.argmax(axis=-1) != classes
    return error, np.mean(wrong[:, -N_COPIED:] if task.at_each_step else wrong)


def run(name, library, seed):
    """Train once; the record of it."""
    task = TASKS[name]
    rng = np.random.default_rng(seed)
    held_out, y_held_out, lengths_held_out = data(task, rng, N_HELD_OUT)
    model = LIBRARIES[library](task, seed)
    errors, seconds = [], 0.0
    n_passes = task.updates // UPDATES_PER_PASS
    for i in range(n_passes):
        X, y, lengths = data(task, rng, UPDATES_PER_PASS * task.batch_size)
        began = time.perf_counter()
        model.train(X, y, lengths, task.learning_rate * min(1, 2 - 2 * i / n_passes))
        seconds += time.perf_counter() - began
        error, wrong = evaluate(task, model.predict(held_out, lengths_held_out), y_held_out)
        errors.append(float(error))
    reached = (UPDATES_PER_PASS * (i + 1) for i, e in enumerate(errors) if e < task.goal)
    return {
        "task": name, "library": library, "version": model.version, "seed": seed,
        "error": errors[-1], "wrong": float(wrong), "reached": next(reached, None),
        "seconds": round(seconds, 1), "errors": [float(f"{e:.4g}") for e in errors],
    }  # fmt: skip


def whole(updates):
    return f"{updates:.0f}" if updates < np.inf else "never"


def tables(records):
    """Markdown: errors by library, then each peer seed by seed, then the errors themselves."""
    by_run = {(r["task"], r["library"], r["seed"]): r for r in records}
    found = [
        (name, library, runs)
        for name in TASKS
        for library in LIBRARIES
        if (runs := [by_run[key] for key in sorted(by_run) if key[:2] == (name, library)])
    ]
    yield (
        "| task | nothing remembered | goal | library | median error | least to greatest "
        "| seeds below the goal | updates to get there, median (most) | wrong, median (most) | seconds |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name, library, runs in found:
        nothing, goal = TASKS[name].nothing, TASKS[name].goal
        errors = [r["error"] for r in runs]
        reached = [r["reached"] or np.inf for r in runs]
        wrong = [100 * r["wrong"] for r in runs]
        yield (
            f"| {name} | {nothing:.2g} | {goal:g} | {library} "
            f"| {median(errors):.2g} | {min(errors):.2g} to {max(errors):.2g} "
            f"| {sum(e < goal for e in errors)} of {len(runs)} "
            f"| {whole(median(reached))} ({whole(max(reached))}) "
            f"| {median(wrong):.2g} % ({max(wrong):.2g} %) "
            f"| {median(r['seconds'] for r in runs):.1f} |"
        )
    yield ""
    yield (
        "| task | peer | seeds | pylstm better on | ratio of the errors, seed by seed "
        "| geometric mean | p | verdict |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name, peer, runs in found:
        seeds = [r["seed"] for r in runs if (name, "pylstm", r["seed"]) in by_run]
        if peer == "pylstm" or not seeds:
            continue
        ours, theirs = (
            np.array([by_run[name, library, seed]["error"] for seed in seeds])
            for library in ("pylstm", peer)
        )
        ratios = np.log(ours / theirs)
        p, mean = wilcoxon(ratios, alternative="greater").pvalue, np.exp(ratios.mean())
        verdict = "worse" if p < 0.05 and mean > MARGIN else "no worse"
        if min(np.median(ours), np.median(theirs)) > TASKS[name].goal:
            verdict = "neither learns"
        yield (
            f"| {name} | {peer} | {len(seeds)} | {sum(ours < theirs)} | {np.exp(ratios.min()):.3f} "
            f"to {np.exp(ratios.max()):.3f} | {mean:.3f} | {p:.2f} | {verdict} |"
        )
    yield ""
    seeds = sorted({r["seed"] for r in records})
    yield "| task | library |" + "".join(f" {seed} |" for seed in seeds)
    yield "|---|---|" + "---|" * len(seeds)
    for name, library, runs in found:
        errors = {r["seed"]: f"{r['error']:.1e}" for r in runs}
        yield f"| {name} | {library} |" + "".join(f" {errors.get(seed, '')} |" for seed in seeds)


def quoted(names):
    return ", ".join(f'"{name}"' for name in names)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {quoted(TASKS)}")
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--peers", nargs="*", default=["torch"], choices=["torch"])
    parser.add_argument("--output", type=Path, help="JSON lines; results are added")
    parser.add_argument("--tables", action="store_true", help="print the tables of --output only")
    arguments = parser.parse_args()
    if unknown := set(arguments.tasks) - set(TASKS):
        parser.error(f"no such task: {quoted(unknown)}; there are {quoted(TASKS)}")

    records = []
    if arguments.output and arguments.output.exists():
        records = [json.loads(line) for line in arguments.output.read_text().splitlines()]
    done = {(r["task"], r["library"], r["seed"]) for r in records}
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    for name in [] if arguments.tables else arguments.tasks or TASKS:
        for seed in seeds:
            for library in ["pylstm", *arguments.peers]:
                if (name, library, seed) in done:
                    continue
                records.append(run(name, library, seed))
                shown = {k: v for k, v in records[-1].items() if k != "errors"}
                print(shown, flush=True)
                if arguments.output:
                    with arguments.output.open("a") as file:
                        file.write(json.dumps(records[-1]) + "\n")
    print(f"\n{time.strftime('%Y-%m-%d')}, {platform.system()}, Python {platform.python_version()}")
    print("\n".join(["", *tables(records)]))


if __name__ == "__main__":
    main()
