"""Threads, batches and instruction sets: the same bits, and nobody waits."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import dispatch
from helpers.kernels import (
    BIT_CASES,
    DROP,
    DTYPES,
    LOSSES,
    NETWORKS,
    assert_all_equal,
    everything,
    set_up,
    set_up_loss,
    train_passes,
)
from numpy.testing import assert_array_equal
from programs import run_python
from reference import Shape, random_problem

from pylstm import core

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]

PLAIN_BIT_CASES = [
    pytest.param(shape, {"states": True}, id=str(shape))
    for shape in [
        Shape(5, 3, 2, 4),
        Shape(100, 7, 3, 17, 2, 2),
        Shape(530, 6, 5, 33, 1, 3),  # more blocks than slots
        Shape(100, 3, 2, 100),
    ]
]


@pytest.mark.on_every_instruction_set
@pytest.mark.usefixtures("threads_even_for_little_work")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "options"), [*PLAIN_BIT_CASES, *BIT_CASES])
def test_any_number_of_threads_gives_the_same_bits(shape, options, dtype):
    case = set_up(shape, dtype, **options)
    batch_sizes = (100, 513) if "lengths" not in options else (40,)
    expected = list(everything(case, n_threads=1, batch_sizes=batch_sizes))
    for n_threads in (2, 3, 4, None):
        actual = everything(case, n_threads=n_threads, batch_sizes=batch_sizes)
        assert_all_equal(actual, expected)


@pytest.mark.on_every_instruction_set
@pytest.mark.usefixtures("threads_even_for_little_work")
@pytest.mark.parametrize("loss", LOSSES)
def test_any_number_of_threads_gives_the_same_bits_of_each_loss(loss):
    case = set_up_loss(loss, Shape(100, 4, 2, 5, 1, 2), **NETWORKS["all"])
    problem, arch, params, given, _ = case
    expected, *others = (
        core.loss_and_gradient(
            params, problem.X, problem.y, arch, loss=LOSSES[loss][0], n_threads=n, **given, **DROP
        )
        for n in (1, 2, 3, 4)
    )
    for actual in others:
        assert actual[0] == expected[0]
        assert_array_equal(actual[1], expected[1])


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        *(
            pytest.param(shape, {}, id=str(shape))
            for shape in [
                Shape(70, 4, 3, 5, 2, 2), Shape(70, 5, 1, 33), Shape(70), Shape(70, 2, 2, 100),
            ]
        ),
        *BIT_CASES,
    ],
)  # fmt: skip
def test_a_prediction_does_not_depend_on_its_batch(shape, options, dtype):
    problem, arch, params, given, _ = set_up(shape, dtype, **options)
    whole = core.forward(params, problem.X, arch, **given)
    gates = core.gate_activations(params, problem.X, arch, **given)
    n = shape.n_samples
    shuffled = np.random.default_rng(0).permutation(n)
    # All stretches of the batch; and some of the shuffled batch, which also have their gates compared.
    stretches = [slice(size // 3, size // 3 + size) for size in range(1, n)]
    parts = [shuffled[:size] for size in (1, 2, 15, 16, 17, 31, 32, 33, 50) if size < n]
    parts += [shuffled, slice(None, None, -1)]
    for number, part in enumerate([*parts, *stretches]):
        args = params, problem.X[part], arch
        some = {name: a[part] if name == "lengths" else a[:, part] for name, a in given.items()}
        result = core.forward(*args, **some, n_threads=1)
        assert_array_equal(result.output, whole.output[part])
        assert_array_equal(result.hidden, whole.hidden[part])
        assert_array_equal(result.h_n, whole.h_n[:, part])
        assert_array_equal(result.c_n, whole.c_n[:, part])
        if number < len(parts):
            assert_array_equal(core.predict(*args, **some), whole.output[part])
            for actual, expected in zip(core.gate_activations(*args, **some), gates, strict=True):
                assert_array_equal(actual, expected[:, part])


def test_threads_of_python_may_call_at_the_same_time():
    arch = set_up(Shape(200, 12, 3, 17))[1]
    problems = [random_problem(Shape(200, 12, 3, 17), seed=seed) for seed in range(8)]

    def gradients(problem):
        params = core.pack_parameters(problem.p, arch, np.float64)
        return core.backward(params, problem.X, arch, **problem.upstream)

    with ThreadPoolExecutor(4) as pool:
        concurrent = list(pool.map(gradients, problems))
    for problem, result in zip(problems, concurrent, strict=True):
        for actual, expected in zip(result, gradients(problem), strict=True):
            assert_array_equal(actual, expected)


def test_training_lets_other_threads_of_python_run():
    problem, arch, params, *_ = set_up(Shape(64, 50, 3, 32))
    order = np.resize(np.arange(64), 64 * 100)

    with ThreadPoolExecutor(1) as pool:
        optimizer = core.Adam(params.size, np.float64)
        training = pool.submit(train_passes, params, problem, arch, optimizer, order=order)
        ticks = 0
        while not training.done():
            time.sleep(0.001)
            ticks += 1
    assert np.isfinite(training.result())
    assert ticks > 5


def test_ctrl_c_stops_training_within_a_second_after_a_whole_step():
    run_python(
        """
        import signal
        import threading
        import time
        import numpy as np
        from pylstm import core

        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
        arch = core.Architecture(n_features=3, hidden_size=32)
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((64, 50, 3)), rng.standard_normal((64, 1))
        start = rng.uniform(-0.2, 0.2, core.n_parameters(arch))
        order = np.resize(np.arange(64), 64 * 50_000)  # enough for a minute

        def train(order, optimizer):
            params = start.copy()
            try:
                core.train(
                    params, X, y, arch, optimizer, order=order, batch_size=64, n_threads=1
                )
            except KeyboardInterrupt:
                return params, True
            return params, False

        def interrupt():
            global sent
            while optimizer.n_steps == 0:  # on a busy machine it may not have begun
                time.sleep(0.01)
            sent = time.process_time()  # on a busy machine the clock runs while the process waits
            signal.raise_signal(signal.SIGINT)

        threading.Timer(0.2, interrupt).start()
        optimizer = core.Adam(start.size, np.float64)
        params, interrupted = train(order, optimizer)
        assert interrupted
        assert time.process_time() - sent < 1
        n_visits = 64 * optimizer.n_steps
        expected, _ = train(order[:n_visits], core.Adam(start.size, np.float64))
        np.testing.assert_array_equal(params, expected)
        """
    )


def test_ctrl_c_is_noticed_within_a_second_whatever_the_block():
    run_python(
        """
        import signal
        import threading
        import time
        import numpy as np
        from pylstm import core

        signal.signal(signal.SIGINT, signal.default_int_handler)
        arch, T = core.Architecture(n_features=3, hidden_size=32), 2**27
        params = core.init_parameters(arch, random_state=0)
        X = np.broadcast_to(np.float32(1), (17, T, 3))
        y = np.ones((17, 1), np.float32)
        first_is_long, last_is_long = np.ones(17, int), np.ones(17, int)
        first_is_long[0] = last_is_long[16] = T

        def predict(X):
            core.predict(params, X, arch, n_threads=1)

        def gradient(X, **options):
            core.loss_and_gradient(params, X, y[: len(X)], arch, **options)

        calls = [
            lambda: predict(X[:1]),
            lambda: gradient(X[:1], n_threads=1),
            # of two blocks one is done at once; the thread that is may be the one that asks
            lambda: gradient(X, lengths=first_is_long, n_threads=2),
            lambda: gradient(X, lengths=last_is_long, n_threads=2),
        ]
        for number, call in enumerate(calls):

            def interrupt():
                global sent
                sent = time.process_time()  # on a busy machine the clock runs while it waits
                signal.raise_signal(signal.SIGINT)

            threading.Timer(0.3, interrupt).start()
            try:
                call()
            except KeyboardInterrupt:
                late = time.process_time() - sent
                assert late < 1, (number, late)
            else:
                raise AssertionError(number)
        """
    )


def test_very_many_threads_are_no_more_than_a_few_for_each_processor():
    most = core.effective_n_threads(10**6)
    assert most == (4 * os.cpu_count() if dispatch.kernels.has_openmp() else 1)
    assert core.effective_n_threads(2**31) == core.effective_n_threads(10**30) == most
    problem, arch, params, *_ = set_up(Shape(40, 3, 2, 4))
    assert_array_equal(
        core.predict(params, problem.X, arch, n_threads=2**40),
        core.predict(params, problem.X, arch, n_threads=1),
    )


def test_the_number_of_threads_is_an_integer():
    problem, arch, params, *_ = set_up(Shape(40, 3, 2, 4))
    for wrong in (0.5, np.float32(0.9), 1.0, "2", True, [2], np.array([1, 2])):
        with pytest.raises(TypeError, match="number of threads must be an integer or None"):
            core.effective_n_threads(wrong)
        with pytest.raises(TypeError, match="number of threads must be an integer or None"):
            core.predict(params, problem.X, arch, n_threads=wrong)
    assert type(core.effective_n_threads(np.uint8(1))) is int


def test_the_number_of_threads_is_counted_as_joblib_counts():
    assert core.effective_n_threads(1) == 1
    assert core.effective_n_threads(-1) >= 1
    assert 1 <= core.effective_n_threads() <= os.cpu_count()
    with pytest.raises(ValueError, match="0"):
        core.effective_n_threads(0)


@pytest.mark.parametrize(
    "instruction_set",
    [name for name in dispatch.available_instruction_sets() if name != dispatch.instruction_set],
)
def test_every_other_instruction_set_of_this_processor_gives_the_numbers(instruction_set):
    run_python(
        f"""
        import glob
        import sys
        import pytest
        from helpers import dispatch

        assert dispatch.instruction_set == {instruction_set!r}
        options = ["-qx", "-pno:cacheprovider", "-mon_every_instruction_set"]
        sys.exit(pytest.main([*options, *glob.glob("test_kernels_*.py")]))
        """,
        timeout=900,
        PYLSTM_ISA=instruction_set,
    )
