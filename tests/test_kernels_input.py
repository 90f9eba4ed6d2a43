"""How arrays lie in memory changes no bit; they are not copied, and memory does not grow."""

import gc
import tracemalloc

import numpy as np
import pytest
from helpers.kernels import (
    DTYPES,
    NETWORKS,
    assert_all_equal,
    everything,
    over_time,
    random_weights,
    set_up,
    with_arrays,
)
from numpy.lib.stride_tricks import sliding_window_view
from numpy.testing import assert_array_equal
from programs import run_python
from reference import Shape

from pylstm import core

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def unaligned(X):
    records = np.zeros(len(X), dtype=[("flag", "i1"), ("X", X.dtype, X.shape[1:])])
    records["X"] = X
    return records["X"]


STRIDED = {
    "fortran": np.asfortranarray,
    "time-major": lambda X: np.ascontiguousarray(X.swapaxes(0, 1)).swapaxes(0, 1),
    "every-other": lambda X: np.repeat(np.repeat(np.repeat(X, 2, 0), 2, 1), 2, 2)[::2, ::2, ::2],
    "reversed": lambda X: X[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
}
LAYOUTS = STRIDED | {
    "read-only": read_only,
    "unaligned": unaligned,
    "byte-swapped": lambda X: X.astype(X.dtype.newbyteorder()),
    "list": lambda X: X.tolist(),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", [*LAYOUTS, "memory-mapped"])
def test_the_layout_of_the_input_does_not_change_a_bit(layout, dtype, tmp_path):
    problem, arch, params, *_ = set_up(Shape(50, 6, 3, 7, 2, 2), dtype)
    if layout == "memory-mapped":
        np.save(tmp_path / "X.npy", problem.X)
        X = np.load(tmp_path / "X.npy", mmap_mode="r")
    else:
        X = LAYOUTS[layout](problem.X)
    assert_same_results(X, problem.X, params, problem, arch)


@pytest.mark.parametrize("dtype", DTYPES)
def test_overlapping_and_broadcast_input_is_read_as_its_copy(dtype):
    problem, arch, params, *_ = set_up(Shape(50, 6, 3, 7), dtype)
    series = np.random.default_rng(0).standard_normal((55, 3)).astype(dtype)
    windows = sliding_window_view(series, 6, axis=0).transpose(0, 2, 1)
    for X in (windows, np.broadcast_to(series[:6], (50, 6, 3))):
        assert_same_results(X, X.copy(), params, problem, arch)


def assert_same_results(X, X_contiguous, params, problem, arch):
    """Every function of the core reads X as it reads the contiguous X."""

    def everything(X):
        yield core.predict(params, X, arch)
        yield from core.forward(params, X, arch)
        yield from core.backward(params, X, arch, **problem.upstream)
        yield from core.loss_and_gradient(params, X, problem.y, arch)
        trained, optimizer = params.copy(), core.Adam(params.size, params.dtype)
        order = np.random.default_rng(0).permutation(len(X))
        yield core.train(trained, X, problem.y, arch, optimizer, order=order, batch_size=8)
        yield trained

    for actual, expected in zip(everything(X), everything(X_contiguous), strict=True):
        assert_array_equal(actual, expected)


def test_strided_targets_weights_and_states_are_read_as_their_copies():
    problem, arch, params, *_ = set_up(Shape(20, 5, 2, 4, 2, 3))
    weights = random_weights(20, np.float64)

    def everything(transform):
        upstream = {name: transform(array) for name, array in problem.upstream.items()}
        states = {name: transform(array) for name, array in problem.states.items()}
        y, sample_weight = transform(problem.y), transform(weights)
        yield from core.forward(params, problem.X, arch, **states)
        yield from core.backward(params, problem.X, arch, **upstream, **states)
        yield from core.loss_and_gradient(params, problem.X, y, arch, sample_weight=sample_weight)

    def strided(array):
        view = np.asfortranarray(np.repeat(array, 2, axis=0))[::-2][::-1]
        view.flags.writeable = False
        return view

    for actual, expected in zip(everything(strided), everything(np.copy), strict=True):
        assert_array_equal(actual, expected)


def test_input_of_another_dtype_is_converted_to_that_of_the_parameters():
    problem, arch, params, *_ = set_up(Shape(9, 5, 2, 4))
    params = params.astype(np.float32)
    X = np.round(10 * problem.X)
    expected = core.predict(params, X.astype(np.float32), arch)
    assert_array_equal(core.predict(params, X, arch), expected)
    assert_array_equal(core.predict(params, X.astype(np.int64), arch), expected)


@pytest.mark.parametrize("layout", STRIDED)
@pytest.mark.parametrize("network", ["all", "all-one-direction"])
def test_the_layout_of_arrays_over_time_does_not_change_a_bit(network, layout):
    case = set_up(Shape(50, 6, 3, 7, 2, 2), **NETWORKS[network])
    changed = {name: STRIDED[layout](array) for name, array in over_time(case).items()}
    assert_all_equal(everything(with_arrays(case, changed)), everything(case))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("strided", [False, True])
def test_input_that_fits_is_not_copied(strided, dtype):
    n, T = 10_000, 8
    X = np.zeros((n, 2 * T if strided else T, 2), dtype)
    X = X[:, ::2] if strided else X
    y, order = np.zeros((n, 1), dtype), np.arange(64)
    arch = core.Architecture(n_features=2, hidden_size=1)
    params = core.init_parameters(arch, dtype=dtype, random_state=0)
    calls = [
        lambda: core.predict(params, X, arch),
        lambda: core.train(
            params, X, y, arch, core.Adam(params.size, dtype), order=order, batch_size=32
        ),
    ]
    for function in calls:
        function()
        gc.collect()
        tracemalloc.start()
        try:
            function()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < X.size * X.itemsize / 3


def test_memory_of_training_does_not_grow_with_the_batch():
    pytest.importorskip("resource")
    run_python(
        """
        import resource
        import sys
        import numpy as np
        from pylstm import core

        def peak():  # of resident memory, in bytes; ru_maxrss is in kB, on macOS in bytes
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
                1 if sys.platform == "darwin" else 1024
            )

        n, T, H = 2048, 32, 32
        arch = core.Architecture(n_features=1, hidden_size=H)
        params = np.zeros(core.n_parameters(arch), np.float32)
        X, y = np.ones((n, T, 1), np.float32), np.ones((n, 1), np.float32)
        optimizer = core.Adam(params.size, np.float32)

        def train(order, batch_size):
            core.train(params, X, y, arch, optimizer, order=order, batch_size=batch_size)
            core.loss_and_gradient(params, X[:batch_size], y[:batch_size], arch)
            core.predict(params, X[:batch_size], arch)

        train(np.arange(512), 512)  # as many slots, and so threads, as the larger batch has
        before = peak()
        train(np.arange(n), n)
        growth = peak() - before
        activations = 5 * n * T * H * 4  # what a framework keeps for BPTT: i, f, g, o, c
        assert growth < activations / 10, (growth, activations)
        """
    )
