"""What `.ci/run` has run under the sanitizers, which end the process with an error where they find a fault.

Usage: exercise.py kernels | NAME

`kernels` runs every function of the compiled module, on several threads where it has them, on a few small
networks. All that the kernels share is exercised: samples of different lengths, missing values, several
layers, both directions, dropout, states that are carried on, and calls from several threads of Python at
once. Any other NAME is that of a function in `planted.pyx`.
"""

import itertools
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np


def planted(name):
    import planted

    getattr(planted, name)(np.zeros(1000, dtype=np.int64))


def problem(dtype, arch, n_samples, n_timesteps):
    from pylstm import core

    rng = np.random.default_rng(0)
    params = core.init_parameters(arch, dtype=dtype, random_state=0)
    X = rng.normal(size=(n_samples, n_timesteps, arch.n_features)).astype(dtype)
    if arch.mask_missing:
        X[rng.random(X.shape) < 0.2] = np.nan
    outputs = (n_timesteps,) if arch.return_sequences else ()
    y = rng.normal(size=(n_samples, *outputs, arch.n_outputs)).astype(dtype)
    lengths = rng.integers(1, n_timesteps + 1, n_samples)
    return params, X, y, lengths


def exercise(dtype, arch, n_samples, n_timesteps, n_threads):
    """Each call of the core that runs threads; the results are compared with those of one thread."""
    from pylstm import core

    params, X, y, lengths = problem(dtype, arch, n_samples, n_timesteps)

    def results(n_threads):
        options = {"lengths": lengths, "n_threads": n_threads}
        yield from core.forward(params, X, arch, **options)
        yield core.predict(params, X, arch, **options)
        gates = core.gate_activations(params, X, arch, **options)
        yield from (array for layer in gates for array in layer)
        forward = core.forward(params, X, arch, n_threads=1)
        upstream = {
            "d_output": np.ones_like(forward.output),
            "d_hidden": np.ones_like(forward.hidden),
            "d_h_n": np.ones_like(forward.h_n),
        }
        yield from core.backward(params, X, arch, **upstream, **options)
        dropout = {"dropout": 0.2, "recurrent_dropout": 0.1, "seed": 1}
        yield from core.loss_and_gradient(params, X, y, arch, alpha=0.1, **dropout, **options)
        carrying = (False,) if arch.bidirectional else (False, True)
        for stateful, optimizer in itertools.product(carrying, (core.Adam, core.SGD)):
            trained, mean = params.copy(), params.copy()
            yield core.train(
                trained,
                X,
                y,
                arch,
                optimizer(params.size, dtype),
                order=np.arange(n_samples),
                batch_size=n_samples // 2,
                max_grad_norm=1.0,
                stateful=stateful,
                average=(mean, 0.9),
                **dropout,
                **options,
            )
            yield trained
            yield mean

    for threaded, alone in zip(results(n_threads), results(1), strict=True):
        np.testing.assert_array_equal(threaded, alone)


def kernels():
    from pylstm import _dispatch, core

    assert _dispatch.kernels.has_openmp(), "built without OpenMP: no threads to look at"
    _dispatch.kernels.set_work_per_thread(0)  # threads for the smallest networks too
    architectures = [
        core.Architecture(2, hidden_size=5),
        core.Architecture(3, hidden_size=17, num_layers=2, n_outputs=2, bidirectional=True),
        core.Architecture(2, hidden_size=9, return_sequences=True, mask_missing=True),
    ]
    for dtype, arch, n_threads in itertools.product(
        (np.float32, np.float64), architectures, (2, 4)
    ):
        exercise(dtype, arch, n_samples=240, n_timesteps=4, n_threads=n_threads)
    exercise(
        np.float32, core.Architecture(2, 48), n_samples=32, n_timesteps=300, n_threads=2
    )  # long tasks
    limits = _dispatch.kernels.set_arena_limits(0, 0)  # a segment of few time steps at a time
    for arch in (core.Architecture(2, 100, 2), architectures[-1]):
        exercise(np.float64, arch, n_samples=40, n_timesteps=9, n_threads=2)
    _dispatch.kernels.set_arena_limits(*limits)

    params, X, _, _ = problem(np.float32, architectures[0], 240, 4)
    with ThreadPoolExecutor(3) as pool:  # which share the parameters, and have teams of their own
        calls = [
            pool.submit(core.predict, params, X, architectures[0], n_threads=2) for _ in range(6)
        ]
    expected = core.predict(params, X, architectures[0], n_threads=1)
    for call in calls:
        np.testing.assert_array_equal(call.result(), expected)

    stream = core.Stream(params, architectures[0])
    for _ in range(3):
        stream.step(X[0, 0])
        stream.states = stream.states
    for wrong in (X[0], X[:, :, :1], X.astype(str)):
        try:
            core.predict(params, wrong, architectures[0])
        except (TypeError, ValueError):
            continue
        raise AssertionError("not refused")
    print(f"{_dispatch.instruction_set}: nothing found")


if __name__ == "__main__":
    (task,) = sys.argv[1:]
    kernels() if task == "kernels" else planted(task)
