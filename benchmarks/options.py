"""What options cost: a training step, or with scaling a prediction, relative to one without.

    python benchmarks/options.py [--threads 1]

Both run in turns in one process; the ratio of the medians counts. Twice the cells (both directions) or
half the time steps (uniformly distributed lengths) are to be kept in mind.
"""

import argparse
import statistics
import time
import warnings

import numpy as np

from pylstm import LSTMRegressor, core

CELLS = [(32, 30, 8, 32, 1), (64, 50, 16, 64, 2)]
PREDICTION_CELLS = [(32, 12, 1, 16), (320, 12, 1, 16), (32, 30, 4, 32)]
ROUNDS = 25


def scalings(batch, F):
    """Name -> center and factor."""
    return {
        "scaled by feature": (np.zeros(F), np.ones(F)),
        "scaled by window": (np.zeros((batch, F)), np.ones((batch, F))),
    }


def options(batch, T, F):
    """Name -> (fields of the architecture, arguments of `core.train`)."""
    lengths = np.random.default_rng(0).integers(1, T + 1, batch)
    in_sequence = {"return_sequences": True}
    return {
        "dropout": ({}, {"dropout": 0.2}),
        "recurrent dropout": ({}, {"recurrent_dropout": 0.2}),
        "lengths, all T": ({}, {"lengths": np.full(batch, T)}),
        "lengths from 1 to T": ({}, {"lengths": lengths}),
        "missing values": ({"mask_missing": True}, {}),
        "both directions": ({"bidirectional": True}, {}),
        "output at each step": (in_sequence, {}),
        "log loss, 2 classes": ({"n_outputs": 2}, {"loss": core.LogLoss(2)}),
        "three quantiles": ({"n_outputs": 3}, {"loss": core.Quantile((0.1, 0.5, 0.9))}),
        "gaussian": ({"n_outputs": 2}, {"loss": core.Gaussian()}),
        "states carried": ({}, {"stateful": True}),
        "running average": ({}, {"average": True}),
        **{name: ({}, {"scaling": scaling}) for name, scaling in scalings(batch, F).items()},
    }


def training_step(cell, n_threads, fields, arguments):
    batch, T, F, H, num_layers = cell
    arch = core.Architecture(F, H, num_layers, **fields)
    params = core.init_parameters(arch, random_state=0)
    optimizer = core.Adam(len(params), params.dtype)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((batch, T, F)).astype(np.float32)
    y = rng.integers(0, 2, (batch, T, 1) if arch.return_sequences else (batch, 1))
    y = y.astype(np.float32)
    if arguments.get("average"):
        arguments = {"average": (params.copy(), 0.99)}
    order = np.arange(batch)

    def step():
        core.train(
            params, X, y, arch, optimizer, order=order, batch_size=batch, max_grad_norm=1.0,
            n_threads=n_threads, **arguments,
        )  # fmt: skip

    return step


def predictions(cell, n_threads):
    """(name, a prediction with the option, one without)."""
    batch, T, F, H = cell
    X = np.random.default_rng(0).standard_normal((batch, T, F)).astype(np.float32)
    arch = core.Architecture(F, H)
    params = core.init_parameters(arch, dtype="float32", random_state=0)

    def low_level(scaling=None):
        return lambda: core.predict(params, X, arch, scaling=scaling, n_threads=n_threads)

    def estimator(**options):
        model = LSTMRegressor(H, max_iter=1, n_jobs=n_threads, **options).fit(X, X[:, -1, 0])
        return lambda: model.predict(X)

    plain = low_level()
    for name, scaling in scalings(batch, F).items():
        yield f"core, {name}", low_level(scaling), plain
    plain, standardized = estimator(standardize=False), estimator(standardize=True)
    scaled = estimator(window_scaling="last", target_features=0)
    yield "estimator, standardize", standardized, plain
    yield "estimator, window_scaling and standardize", scaled, standardized
    yield "estimator, the same beside neither", scaled, plain


def seconds(step, repetitions):
    start = time.perf_counter()
    for _ in range(repetitions):
        step()
    return (time.perf_counter() - start) / repetitions


def print_ratio(name, step, plain):
    """The two take turns."""
    step()
    repetitions = max(1, int(0.02 / seconds(plain, 3)))
    pairs = [(seconds(step, repetitions), seconds(plain, repetitions)) for _ in range(ROUNDS)]
    with_option, without = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"| {name} | {with_option / without:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    n_threads = parser.parse_args().threads
    warnings.simplefilter("ignore")  # of fits of one epoch
    for cell in CELLS:
        print(f"\n(batch, T, F, H, layers) = {cell}, {n_threads} thread(s)\n")
        print("| option | time of a step |\n|---|---|")
        plain = training_step(cell, n_threads, {}, {})
        for name, (fields, arguments) in options(*cell[:3]).items():
            print_ratio(name, training_step(cell, n_threads, fields, arguments), plain)
    for cell in PREDICTION_CELLS:
        print(f"\n(batch, T, F, H) = {cell}, {n_threads} thread(s)\n")
        print("| option | time of a prediction |\n|---|---|")
        for name, step, plain in predictions(cell, n_threads):
            print_ratio(name, step, plain)


if __name__ == "__main__":
    main()
