"""pylstm beside skorch, a plain PyTorch loop and MLPRegressor: whole fits, a search, memory, growth, import.

    pip install ".[benchmarks]"
    python benchmarks/end_to_end.py [--parts fit search ...] [--threads 1 2]

Each measurement runs in a process of its own (this file with a job as its argument); contestants take turns
and the median counts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

FIT_CELLS = [(32, 12, 1, 16), (32, 30, 8, 32)]
N_WINDOWS, N_EPOCHS = 10_000, 20
OVERLAP_CELLS = [(10_000, 30, 32, 32), (10_000, 60, 64, 64), (10_000, 12, 1, 16)]


def windows(n, T, F):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, T, F)).astype(np.float32)
    return X, X[:, -1, 0] + 0.5 * X[:, 0, -1]


# One fit: the same data, architecture, batches, epochs, optimiser and clipping for all.


def pylstm_model(T, F, H, batch, n_threads, epochs=N_EPOCHS):
    from pylstm import LSTMRegressor

    return LSTMRegressor(
        hidden_size=H, batch_size=batch, max_iter=epochs, n_iter_no_change=np.inf,
        learning_rate_init=1e-3, random_state=0, n_jobs=n_threads, n_timesteps=T,
    )  # fmt: skip


def skorch_model(T, F, H, batch, n_threads, epochs=N_EPOCHS):
    import torch
    from skorch import NeuralNetRegressor
    from skorch.callbacks import GradientNormClipping

    torch.set_num_threads(n_threads)
    torch.manual_seed(0)

    class Network(torch.nn.Module):
        def __init__(self, hidden_size=H):
            super().__init__()
            self.lstm = torch.nn.LSTM(F, hidden_size, batch_first=True)
            self.head = torch.nn.Linear(hidden_size, 1)

        def forward(self, X):
            return self.head(self.lstm(X.reshape(-1, T, F))[0][:, -1])

    class Regressor(NeuralNetRegressor):
        def fit(self, X, y):
            return super().fit(X, y.reshape(-1, 1))

    return Regressor(
        Network, max_epochs=epochs, batch_size=batch, lr=1e-3, optimizer=torch.optim.Adam,
        train_split=None, iterator_train__shuffle=True, verbose=0,
        callbacks=[GradientNormClipping(1.0)],
    )  # fmt: skip


def mlp_model(T, F, H, batch, n_threads, epochs=N_EPOCHS):
    from sklearn.neural_network import MLPRegressor

    return MLPRegressor(
        hidden_layer_sizes=(H,),
        batch_size=batch,
        max_iter=epochs,
        n_iter_no_change=epochs + 1,
        random_state=0,
    )


class TorchLoop:
    def __init__(self, T, F, H, batch, n_threads, epochs=N_EPOCHS):
        import torch

        torch.set_num_threads(n_threads)
        torch.manual_seed(0)
        self.torch, self.batch, self.epochs = torch, batch, epochs
        self.lstm, self.head = torch.nn.LSTM(F, H, batch_first=True), torch.nn.Linear(H, 1)

    def fit(self, X, y):
        torch = self.torch
        X, y = torch.from_numpy(X), torch.from_numpy(y)[:, None]
        parameters = [*self.lstm.parameters(), *self.head.parameters()]
        optimizer, loss = torch.optim.Adam(parameters, lr=1e-3), torch.nn.MSELoss()
        for _ in range(self.epochs):
            for rows in torch.randperm(len(X)).split(self.batch):
                optimizer.zero_grad()
                loss(self.head(self.lstm(X[rows])[0][:, -1]), y[rows]).backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()


MODELS = {
    "pylstm": pylstm_model,
    "plain PyTorch loop": TorchLoop,
    "skorch": skorch_model,
    "MLPRegressor (flattened)": mlp_model,
}


def job_fit(name, cell, n_threads):
    """Seconds of one whole fit."""
    batch, T, F, H = cell
    X, y = windows(N_WINDOWS, T, F)
    model = MODELS[name](T, F, H, batch, n_threads)
    if name in ("pylstm", "MLPRegressor (flattened)"):
        X = X.reshape(len(X), -1)
    start = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - start


def job_search(name, n_jobs, backend):
    """Seconds of a grid search of 24 fits, in joblib's processes ("loky") or threads ("threading")."""
    import joblib
    from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

    X, y = windows(2000, 30, 8)
    prefix = "module__" if name == "skorch" else ""
    rate = "lr" if name == "skorch" else "learning_rate_init"
    grid = {f"{prefix}hidden_size": [8, 16], rate: [1e-3, 3e-3, 1e-2, 3e-2]}
    n_threads = 1 if name == "skorch" or backend == "threading" else None
    model = MODELS[name](30, 8, 16, 32, n_threads, epochs=10)
    search = GridSearchCV(
        model, grid, cv=TimeSeriesSplit(3), n_jobs=n_jobs, refit=False,
        scoring="neg_mean_squared_error",
    )  # fmt: skip
    with joblib.parallel_config(backend=backend):
        start = time.perf_counter()
        search.fit(X.reshape(len(X), -1), y)
        return time.perf_counter() - start


def job_several(cell, how):
    """Seconds of eight fits: one after the other, each on two threads; or two at once, each on one."""
    import joblib

    batch, T, F, H = cell
    X, y = windows(2000, T, F)
    X = X.reshape(len(X), -1)
    n_threads = 2 if how == "one after the other" else 1
    models = [pylstm_model(T, F, H, batch, n_threads, epochs=10) for _ in range(8)]
    start = time.perf_counter()
    if n_threads == 2:
        for model in models:
            model.fit(X, y)
    else:
        fits = (joblib.delayed(model.fit)(X, y) for model in models)
        joblib.Parallel(2, backend="loky" if how == "processes" else "threading")(fits)
    return time.perf_counter() - start


def job_overlap(cell, copied, n_threads):
    """Median seconds of a prediction from all windows of a series, a view or a copy."""
    from pylstm import core

    n, T, F, H = cell
    series = np.random.default_rng(0).standard_normal((n + T - 1, F)).astype(np.float32)
    X = np.lib.stride_tricks.sliding_window_view(series, T, axis=0).transpose(0, 2, 1)
    X = X.copy() if copied else X
    arch = core.Architecture(F, H)
    params = core.init_parameters(arch, dtype="float32", random_state=0)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        core.predict(params, X, arch, n_threads=n_threads)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def job_memory(n_windows, batch):
    """Peak resident megabytes that training adds, the data memory-mapped."""
    import threading

    from pylstm import LSTMRegressor

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "X.npy")
        X = np.lib.format.open_memmap(path, "w+", np.float32, (n_windows, 30, 8))
        for start in range(0, n_windows, 10_000):
            part = X[start : start + 10_000]
            part[:] = np.random.default_rng(start).standard_normal(part.shape)
        X.flush()
        X = np.load(path, mmap_mode="r")
        y = np.zeros(n_windows, np.float32)

        def anonymous():
            return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0])

        before = anonymous()
        peak = [before]

        done = threading.Event()

        def watch():
            while not done.wait(0.005):
                peak[0] = max(peak[0], anonymous())

        threading.Thread(target=watch, daemon=True).start()
        epochs = 1 if n_windows > 10_000 else 3
        LSTMRegressor(hidden_size=32, batch_size=batch, max_iter=epochs, random_state=0).fit(X, y)
        done.set()
        return (peak[0] - before) / 1024


def job_growth(what):
    """(sizes, seconds): a training pass as one dimension grows."""
    from pylstm import core

    base = {"T": 50, "H": 64, "batch": 64, "n_samples": 512}
    sizes = {
        "T": [25, 50, 100, 200, 400],
        "H": [32, 64, 128, 256],
        "batch": [32, 64, 128, 256, 512],
        "n_samples": [512, 1024, 2048, 4096],
    }[what]
    seconds = []
    for size in sizes:
        at = {**base, what: size}
        X, y = windows(at["n_samples"], at["T"], 8)
        arch = core.Architecture(8, at["H"])
        params = core.init_parameters(arch, random_state=0)
        optimizer = core.Adam(len(params), params.dtype)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            core.train(
                params, X, y[:, None], arch, optimizer, order=np.arange(len(X)),
                batch_size=at["batch"], max_grad_norm=1.0, n_threads=1,
            )  # fmt: skip
            times.append(time.perf_counter() - start)
        seconds.append(statistics.median(times))
    return sizes, seconds


def job_mixed(other, alone):
    """Median milliseconds of (pylstm, other) calls on two threads: alternating, or each alone."""
    X, y = windows(2000, 30, 8)
    from pylstm import core

    arch = core.Architecture(8, 32)
    params = core.init_parameters(arch, random_state=0)
    optimizer = core.Adam(len(params), params.dtype)
    order = np.arange(len(X))

    def ours():
        core.train(params, X, y[:, None], arch, optimizer, order=order, batch_size=256, n_threads=2)

    if other == "PyTorch":
        import torch

        torch.set_num_threads(2)
        lstm = torch.nn.LSTM(8, 32, batch_first=True)
        batch = torch.from_numpy(X[:256])

        def theirs():
            lstm(batch)[0].sum().backward()
    else:
        from sklearn.ensemble import HistGradientBoostingRegressor

        flat = X.reshape(len(X), -1)

        def theirs():
            HistGradientBoostingRegressor(max_iter=10, early_stopping=False).fit(flat, y)

    def seconds(call):
        start = time.perf_counter()
        call()
        return time.perf_counter() - start

    rounds = 40
    if alone:
        times = [[seconds(call) for _ in range(rounds)] for call in (ours, theirs)]
    else:
        times = zip(*[(seconds(ours), seconds(theirs)) for _ in range(rounds)], strict=True)
    return [1e3 * statistics.median(list(part)[2:]) for part in times]


def job_stream(name):
    """Median seconds of one streaming step (torch: LSTMCell and Linear), or of an empty call."""
    x = np.ones((1, 8), np.float32)
    if name == "pylstm":
        from pylstm import core

        arch = core.Architecture(8, 32)
        stream, x = core.Stream(core.init_parameters(arch, random_state=0), arch), x[0]

        def call():
            stream.step(x)
    elif name == "torch":
        import torch

        torch.set_num_threads(1)
        cell, head, x = torch.nn.LSTMCell(8, 32), torch.nn.Linear(32, 1), torch.from_numpy(x)
        states = [(torch.zeros(1, 32), torch.zeros(1, 32))]

        def call():
            with torch.inference_mode():
                states[0] = cell(x, states[0])
                head(states[0][0])
    else:

        def call():
            pass

    times = []
    for _ in range(20_000):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def job_import(module):
    """Seconds of an import after numpy's."""
    start = time.perf_counter()
    __import__(module)
    return time.perf_counter() - start


def run(job, *arguments, n_threads=None):
    environment = dict(os.environ)
    if n_threads:
        environment["OMP_NUM_THREADS"] = str(n_threads)
    output = subprocess.run(
        [sys.executable, __file__, "--job", json.dumps([job, *arguments])],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    if output.returncode:
        raise RuntimeError(output.stderr)
    return json.loads(output.stdout.splitlines()[-1])


def in_turns(rounds, jobs):
    """Median result of each job, the jobs taking turns."""
    results = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            results[name].append(job())
    return {name: statistics.median(values) for name, values in results.items()}


def print_ratios(title, medians):
    print(f"\n{title}")
    ours = medians["pylstm"]
    for name, seconds in medians.items():
        print(f"  {name:26} {seconds:8.2f} s   {seconds / ours:6.1f} x pylstm's", flush=True)


def part_fit(threads):
    for cell in FIT_CELLS:
        for n in threads:
            jobs = {
                name: lambda name=name, cell=cell, n=n: run("fit", name, cell, n, n_threads=n)
                for name in MODELS
            }
            title = f"fit, {N_EPOCHS} epochs on {N_WINDOWS} windows, {cell}, {n} threads"
            print_ratios(title, in_turns(3, jobs))


def part_search(threads):
    contestants = {"pylstm": "threading", "pylstm, processes": "loky", "skorch": "loky"}
    jobs = {
        name: lambda name=name, backend=backend: run("search", name.split(",")[0], 2, backend)
        for name, backend in contestants.items()
    }
    print_ratios("GridSearchCV of 24 fits, n_jobs=2", in_turns(3, jobs))


def part_several(threads):
    for cell in FIT_CELLS:
        ways = ("one after the other", "threads", "processes")
        jobs = {way: lambda way=way, cell=cell: run("several", cell, way) for way in ways}
        print(f"\nEight fits, 10 epochs on 2000 windows, {cell}, on two cores: seconds")
        for way, seconds in in_turns(5, jobs).items():
            print(f"  {way:20} {seconds:6.2f}", flush=True)


def part_overlap(threads):
    print("\nPredictions from overlapping windows of a series, beside a copy of them: milliseconds")
    for cell in OVERLAP_CELLS:
        for n in threads:
            jobs = {
                copied: lambda copied=copied, cell=cell, n=n: run("overlap", cell, copied, n)
                for copied in (False, True)
            }
            view, copy = in_turns(3, jobs).values()
            print(
                f"  {cell}, {n} threads: {1e3 * view:.1f}, {1e3 * copy:.1f} ({copy / view:.2f})",
                flush=True,
            )


def part_memory(threads):
    print("\nPeak memory that training adds (T = 30, F = 8, H = 32, memory-mapped float32)")
    for n_windows, batch in [
        (10**4, 32),
        (10**4, 256),
        (10**4, 4096),
        (10**3, 32),
        (10**5, 32),
        (10**6, 32),
    ]:
        megabytes = run("memory", n_windows, batch)
        print(f"  {n_windows:8} windows, batch {batch:5}: {megabytes:7.1f} MB", flush=True)


def part_growth(threads):
    print(
        "\nTime of a training pass as one dimension grows (T 50, H 64, batch 64, 512 windows; one thread)"
    )
    for what in ("T", "H", "batch", "n_samples"):
        sizes, seconds = run("growth", what)
        exponent = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
        shown = ", ".join(
            f"{size}: {1e3 * s:.1f} ms" for size, s in zip(sizes, seconds, strict=True)
        )
        print(f"  {what:9} ~ {what}^{exponent:.2f}   {shown}", flush=True)


def part_mixed(threads):
    print("\nTwo OpenMP runtimes in one process, two threads each: milliseconds a call")
    for other in ("PyTorch", "HistGradientBoosting"):
        results = {True: [], False: []}
        for _ in range(5):
            for alone, times in results.items():
                times.append(run("mixed", other, alone))
        ours_alone, theirs_alone = np.median(results[True], axis=0)
        ours, theirs = np.median(results[False], axis=0)
        print(
            f"  pylstm {ours_alone:.2f} alone, {ours:.2f} alternating ({ours / ours_alone:.2f}); "
            f"{other} {theirs_alone:.2f} alone, {theirs:.2f} alternating "
            f"({theirs / theirs_alone:.2f})",
            flush=True,
        )


def part_stream(threads):
    print("\nStreaming, one step of (1, 1, 8, 32) from Python, microseconds")
    medians = in_turns(
        5, {name: lambda name=name: run("stream", name) for name in ("pylstm", "torch", "empty")}
    )
    for name, seconds in medians.items():
        print(f"  {name:8} {1e6 * seconds:8.2f}", flush=True)


def part_import(threads):
    import importlib.util

    names = ("pylstm", "pylstm._regressor", "sklearn", "torch")
    jobs = {name: lambda name=name: run("import", name) for name in names}
    print("\nImport, after numpy's (pylstm._regressor: the estimator, with scikit-learn)")
    for name, seconds in in_turns(7, jobs).items():
        folder = Path(importlib.util.find_spec(name.split(".")[0]).origin).parent
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(f"  {name:18} {1e3 * seconds:7.0f} ms, {size / 1e6:7.1f} MB installed", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = [
        "stream", "mixed", "fit", "search", "several", "overlap", "memory", "growth", "import"
    ]  # fmt: skip
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--job", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        warnings.simplefilter("ignore")
        name, *rest = json.loads(arguments.job)
        print(json.dumps(globals()[f"job_{name}"](*rest)))
        return
    for part in arguments.parts:
        globals()[f"part_{part}"](arguments.threads)


if __name__ == "__main__":
    main()
