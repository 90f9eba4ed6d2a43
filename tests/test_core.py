"""The compiled core against the NumPy reference, finite differences and its own promises."""

import copy
import gc
import os
import pickle
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import reference
from numpy.lib.stride_tricks import sliding_window_view
from numpy.testing import assert_allclose, assert_array_equal
from programs import run_python
from reference import Shape, deviation, random_problem, random_shapes
from threadpoolctl import threadpool_limits

from pylstm import _config, core

DTYPES = (np.float32, np.float64)
# Against the float64 reference on the same (rounded) input, relative to each array's largest entry.
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


SHAPES = random_shapes(60)


@pytest.fixture(scope="module", autouse=True)
def _one_blas_thread():
    """NumPy's BLAS and the core's threads would wait for each other on a small machine."""
    with threadpool_limits(1, user_api="blas"):
        yield


def set_up(shape, dtype=np.float64, seed=0):
    """A random problem, its architecture and its packed parameters."""
    problem = random_problem(shape, dtype, seed)
    arch = core.Architecture(*shape[2:])
    return problem, arch, core.pack_parameters(problem.p, arch, dtype)


# -- the numbers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("with_states", [False, True], ids=["from-zero", "from-h0-c0"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward_agrees_with_the_reference(shape, with_states, dtype):
    problem, arch, params = set_up(shape, dtype)
    states = problem.states if with_states else {}
    actual = core.forward(params, problem.X, arch, **states)
    expected = reference.forward(problem.p, problem.X, **states)
    for name in expected._fields:
        result = getattr(actual, name)
        assert result.dtype == dtype
        assert deviation(result, getattr(expected, name)) < TOLERANCE[dtype], name
    assert_array_equal(core.predict(params, problem.X, arch, **states), actual.output)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_backward_agrees_with_the_reference(shape, dtype):
    problem, arch, params = set_up(shape, dtype)
    actual = core.backward(params, problem.X, arch, **problem.upstream, **problem.states)
    expected = reference.backward(problem.p, problem.X, **problem.upstream, **problem.states)
    assert_gradients_agree(actual, expected, arch, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("upstream", ["d_output", "d_hidden", "d_h_n", "d_c_n", "none"])
@pytest.mark.parametrize("with_states", [False, True], ids=["from-zero", "from-h0-c0"])
@pytest.mark.parametrize("shape", [Shape(), Shape(17, 5, 3, 7, 2, 2), Shape(33, 2, 1, 33, 3, 5)])
def test_backward_from_each_output_alone_agrees_with_the_reference(
    shape, with_states, upstream, dtype
):
    problem, arch, params = set_up(shape, dtype)
    given = {name: array for name, array in problem.upstream.items() if name == upstream}
    given |= problem.states if with_states else {}
    actual = core.backward(params, problem.X, arch, **given)
    expected = reference.backward(problem.p, problem.X, **given)
    assert_gradients_agree(actual, expected, arch, dtype)


def assert_gradients_agree(actual, expected, arch, dtype):
    for name, gradient in core.unpack_parameters(actual.d_params, arch).items():
        assert deviation(gradient, expected.d_params[name]) < TOLERANCE[dtype], name
    for name in ("d_X", "d_h0", "d_c0"):
        result = getattr(actual, name)
        assert result.dtype == dtype
        assert deviation(result, getattr(expected, name)) < TOLERANCE[dtype], name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("shape", SHAPES[::4], ids=str)
def test_loss_and_gradient_agree_with_the_reference(shape, weighted, alpha, dtype):
    problem, arch, params = set_up(shape, dtype)
    sample_weight = random_weights(shape.n_samples, dtype) if weighted else None
    args = (problem.X, problem.y)
    loss, gradient = core.loss_and_gradient(
        params, *args, arch, sample_weight=sample_weight, alpha=alpha
    )
    expected_loss, expected = reference.loss_and_gradient(problem.p, *args, sample_weight, alpha)
    assert isinstance(loss, float)
    assert loss == pytest.approx(expected_loss, rel=TOLERANCE[dtype])
    for name, actual in core.unpack_parameters(gradient, arch).items():
        assert deviation(actual, expected[name]) < TOLERANCE[dtype], name


def random_weights(n, dtype):
    """Sample weights with zeros among them, but for the first."""
    weights = np.random.default_rng(1).integers(0, 4, n)
    weights[0] = 2
    return weights.astype(dtype)


def central_differences(function, x, step=1e-5):
    """Gradient of a scalar function of x, one entry at a time."""
    gradient = np.empty(x.size)
    for k in range(x.size):
        shifted = x.copy()
        shifted.flat[k] = x.flat[k] + step
        above = function(shifted)
        shifted.flat[k] = x.flat[k] - step
        gradient[k] = (above - function(shifted)) / (2 * step)
    return gradient.reshape(x.shape)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize(
    "shape",
    [Shape(), Shape(3, 4, 2, 3, 2, 2), Shape(17, 7, 1, 5), Shape(2, 3, 3, 2, 3, 1)],
    ids=str,
)
def test_gradient_of_the_loss_is_its_central_difference(shape, weighted, alpha):
    problem, arch, params = set_up(shape)
    options = {"alpha": alpha, "n_threads": 1}
    if weighted:
        options["sample_weight"] = random_weights(shape.n_samples, np.float64)

    def loss(params):
        return core.loss_and_gradient(params, problem.X, problem.y, arch, **options)[0]

    _, gradient = core.loss_and_gradient(params, problem.X, problem.y, arch, **options)
    assert_allclose(gradient, central_differences(loss, params), rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", [Shape(), Shape(3, 4, 2, 3, 2, 2), Shape(17, 3, 1, 2)], ids=str)
def test_backward_is_the_central_difference_of_forward(shape):
    problem, arch, params = set_up(shape)
    inputs = {"params": params, "X": problem.X, **problem.states}
    run = {"arch": arch, "n_threads": 1}

    def objective(**changed):
        result = core.forward(**run, **(inputs | changed))
        return sum((getattr(result, name[2:]) * d).sum() for name, d in problem.upstream.items())

    gradients = core.backward(**run, **inputs, **problem.upstream)
    for name, value in inputs.items():
        numeric = central_differences(lambda x, name=name: objective(**{name: x}), value)
        assert deviation(getattr(gradients, f"d_{name}"), numeric) < 1e-8, name


# -- training -------------------------------------------------------------------------------------

OPTIMIZERS = {
    "adam": (core.Adam, reference.Adam, {"learning_rate": 1e-2}),
    "adam-other": (
        core.Adam,
        reference.Adam,
        {"learning_rate": 1e-2, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-4},
    ),
    "adam-defaults": (core.Adam, reference.Adam, {}),
    "sgd-nesterov": (core.SGD, reference.SGD, {"learning_rate": 0.05}),
    "sgd-momentum": (core.SGD, reference.SGD, {"learning_rate": 0.05, "nesterov": False}),
    "sgd-plain": (core.SGD, reference.SGD, {"learning_rate": 0.1, "momentum": 0.0}),
    "sgd-defaults": (core.SGD, reference.SGD, {}),
}
OPTIONS = {
    "plain": {},
    "clipped": {"max_grad_norm": 0.05},
    "hardly-clipped": {"max_grad_norm": 1e6},
    "penalised": {"alpha": 0.5},
    "weighted": {"sample_weight": random_weights(37, np.float64)},
    "all": {
        "max_grad_norm": 0.1,
        "alpha": 0.5,
        "sample_weight": random_weights(37, np.float64),
    },
}
TRAINING_SHAPE = Shape(37, 6, 3, 7, 2, 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("optimizer", "options"),
    [(name, "all") for name in OPTIMIZERS]
    + [(name, options) for name in ("adam", "sgd-nesterov") for options in OPTIONS],
)
def test_fifty_training_steps_agree_with_the_reference(optimizer, options, dtype):
    problem, arch, params = set_up(TRAINING_SHAPE, dtype)
    data = problem.X, problem.y
    options = {
        name: value.astype(dtype) if name == "sample_weight" else value
        for name, value in OPTIONS[options].items()
    }
    core_class, reference_class, settings = OPTIMIZERS[optimizer]
    actual, expected = core_class(params.size, dtype, **settings), reference_class(**settings)
    rng = np.random.default_rng(0)
    for _ in range(10):
        order = rng.permutation(37)  # in batches of 8: the fifth and last has five samples
        loss = core.train(params, *data, arch, actual, order=order, batch_size=8, **options)
        expected_loss = reference.train(problem.p, *data, expected, order, 8, **options)
        assert loss == pytest.approx(expected_loss, rel=10 * TOLERANCE[dtype])
    assert actual.n_steps == 50
    for name, trained in core.unpack_parameters(params, arch).items():
        assert deviation(trained, problem.p[name]) < 10 * TOLERANCE[dtype], name


@pytest.mark.parametrize("batch_size", [1, 16, 17, 37, 1000])
def test_training_follows_the_order_whatever_it_holds(batch_size):
    problem, arch, params = set_up(TRAINING_SHAPE)
    order = np.random.default_rng(0).integers(0, 37, 90)  # samples repeated, samples left out
    loss = core.train(
        params, problem.X, problem.y, arch, core.SGD(params.size, np.float64),
        order=order, batch_size=batch_size,
    )  # fmt: skip
    expected_loss = reference.train(
        problem.p, problem.X, problem.y, reference.SGD(), order, batch_size
    )
    assert loss == pytest.approx(expected_loss, rel=1e-11)
    for name, trained in core.unpack_parameters(params, arch).items():
        assert deviation(trained, problem.p[name]) < 1e-11, name


def train_passes(params, problem, arch, optimizer, n_passes=1, **options):
    """Train `params` in place over all samples in order; return the last pass's loss."""
    order = np.arange(len(problem.X))
    options = {"order": order, "batch_size": 8} | options
    for _ in range(n_passes):
        loss = core.train(params, problem.X, problem.y, arch, optimizer, **options)
    return loss


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda opt: pickle.loads(pickle.dumps(opt))])
@pytest.mark.parametrize("optimizer_class", [core.Adam, core.SGD])
def test_a_copied_optimizer_goes_on_where_the_original_was(optimizer_class, copied):
    problem, arch, params = set_up(TRAINING_SHAPE)
    optimizer = optimizer_class(params.size, np.float64, learning_rate=0.01)
    train_passes(params, problem, arch, optimizer, n_passes=2)
    other, other_params = copied(optimizer), params.copy()
    train_passes(params, problem, arch, optimizer, n_passes=2)
    assert other.n_steps == 10
    train_passes(other_params, problem, arch, other, n_passes=2)
    assert other.n_steps == optimizer.n_steps == 20
    assert_array_equal(other_params, params)


def test_the_learning_rate_may_change_between_passes():
    problem, arch, params = set_up(TRAINING_SHAPE)
    optimizer, expected = core.Adam(params.size, np.float64), reference.Adam()
    for learning_rate in (0.01, 0.003, 0.001):
        optimizer.learning_rate = expected.learning_rate = learning_rate
        train_passes(params, problem, arch, optimizer)
        reference.train(problem.p, problem.X, problem.y, expected, np.arange(37), 8)
    assert deviation(params, core.pack_parameters(problem.p, arch, np.float64)) < 1e-11


def test_weighted_batches_add_up_to_the_gradient_of_all_samples():
    problem, arch, params = set_up(TRAINING_SHAPE)
    weights = random_weights(37, np.float64) ** 4  # batches of very different weight
    part = slice(32)
    _, expected = core.loss_and_gradient(
        params, problem.X[part], problem.y[part], arch, sample_weight=weights[part]
    )
    trained = params.copy()
    plain = core.SGD(params.size, np.float64, learning_rate=1e-7, momentum=0.0)
    train_passes(
        trained, problem, arch, plain, order=np.arange(32), batch_size=8, sample_weight=weights
    )
    assert_allclose((params - trained) / 1e-7 / 4, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("culprit", ["X", "y"])
def test_training_stops_before_an_update_that_is_not_finite(culprit):
    problem, arch, params = set_up(TRAINING_SHAPE)
    expected, expected_optimizer = params.copy(), core.Adam(params.size, np.float64)
    train_passes(expected, problem, arch, expected_optimizer, order=np.arange(16))
    getattr(problem, culprit)[20, 0] = np.nan  # in the third batch of eight
    optimizer = core.Adam(params.size, np.float64)
    assert np.isnan(train_passes(params, problem, arch, optimizer))
    assert_array_equal(params, expected)
    assert optimizer.n_steps == 2


# -- the same bits --------------------------------------------------------------------------------


@pytest.fixture
def threads_even_for_little_work():
    before = _config.kernels.set_work_per_thread(0)
    yield
    _config.kernels.set_work_per_thread(before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape",
    [
        Shape(5, 3, 2, 4),
        Shape(100, 7, 3, 17, 2, 2),
        Shape(777, 20, 5, 33, 1, 3),
        Shape(100, 3, 2, 100),
    ],
    ids=str,
)
@pytest.mark.usefixtures("threads_even_for_little_work")
def test_any_number_of_threads_gives_the_same_bits(shape, dtype):
    problem, arch, params = set_up(shape, dtype)
    data, states = (problem.X, problem.y), problem.states

    def everything(n_threads):
        yield core.predict(params, problem.X, arch, **states, n_threads=n_threads)
        yield from core.forward(params, problem.X, arch, **states, n_threads=n_threads)
        yield from core.backward(
            params, problem.X, arch, **problem.upstream, **states, n_threads=n_threads
        )
        yield from core.loss_and_gradient(params, *data, arch, alpha=0.1, n_threads=n_threads)
        for batch_size in (100, 513):
            trained, optimizer = params.copy(), core.Adam(params.size, dtype)
            yield train_passes(
                trained, problem, arch, optimizer,
                n_passes=2, batch_size=batch_size, max_grad_norm=0.1, n_threads=n_threads,
            )  # fmt: skip
            yield trained

    expected = list(everything(n_threads=1))
    for n_threads in (2, 3, 4, None):
        for actual, array in zip(everything(n_threads), expected, strict=True):
            assert_array_equal(actual, array)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape",
    [Shape(70, 4, 3, 5, 2, 2), Shape(70, 5, 1, 33), Shape(70), Shape(70, 2, 2, 100)],
    ids=str,
)
def test_a_prediction_does_not_depend_on_its_batch(shape, dtype):
    problem, arch, params = set_up(shape, dtype)
    whole = core.forward(params, problem.X, arch)
    for size in range(1, shape.n_samples):
        part = slice(size // 3, size // 3 + size)
        result = core.forward(params, problem.X[part], arch, n_threads=1)
        assert_array_equal(result.output, whole.output[part])
        assert_array_equal(result.hidden, whole.hidden[part])
        assert_array_equal(result.c_n, whole.c_n[:, part])
    shuffled = np.random.default_rng(0).permutation(shape.n_samples)
    assert_array_equal(core.predict(params, problem.X[shuffled], arch), whole.output[shuffled])


def read_only(X, tmp_path):
    X = X.copy()
    X.flags.writeable = False
    return X


def memory_mapped(X, tmp_path):
    np.save(tmp_path / "X.npy", X)
    return np.load(tmp_path / "X.npy", mmap_mode="r")


def unaligned(X, tmp_path):
    records = np.zeros(len(X), dtype=[("flag", "i1"), ("X", X.dtype, X.shape[1:])])
    records["X"] = X
    return records["X"]


INPUT_LAYOUTS = {
    "fortran": lambda X, _: np.asfortranarray(X),
    "time-major": lambda X, _: np.ascontiguousarray(X.swapaxes(0, 1)).swapaxes(0, 1),
    "every-other": lambda X, _: np.repeat(np.repeat(np.repeat(X, 2, 0), 2, 1), 2, 2)[::2, ::2, ::2],
    "reversed": lambda X, _: X[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "read-only": read_only,
    "memory-mapped": memory_mapped,
    "unaligned": unaligned,
    "byte-swapped": lambda X, _: X.astype(X.dtype.newbyteorder()),
    "list": lambda X, _: X.tolist(),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", INPUT_LAYOUTS)
def test_the_layout_of_the_input_does_not_change_a_bit(layout, dtype, tmp_path):
    problem, arch, params = set_up(Shape(50, 6, 3, 7, 2, 2), dtype)
    X = INPUT_LAYOUTS[layout](problem.X, tmp_path)
    assert_same_results(X, problem.X, params, problem, arch)


@pytest.mark.parametrize("dtype", DTYPES)
def test_overlapping_and_broadcast_input_is_read_as_its_copy(dtype):
    problem, arch, params = set_up(Shape(50, 6, 3, 7), dtype)
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
    problem, arch, params = set_up(Shape(20, 5, 2, 4, 2, 3))
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
    problem, arch, params = set_up(Shape(9, 5, 2, 4))
    params = params.astype(np.float32)
    X = np.round(10 * problem.X)
    expected = core.predict(params, X.astype(np.float32), arch)
    assert_array_equal(core.predict(params, X, arch), expected)
    assert_array_equal(core.predict(params, X.astype(np.int64), arch), expected)


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


@pytest.mark.parametrize(
    "instruction_set",
    [name for name in _config.available_instruction_sets() if name != _config.instruction_set],
)
def test_every_other_instruction_set_of_this_processor_gives_the_numbers(instruction_set):
    selection = "backward_agrees or steps_agree or few_ulp or number_of_threads or depend_on"
    run_python(
        f"""
        import sys
        import pytest
        from pylstm import _config

        assert _config.instruction_set == {instruction_set!r}
        sys.exit(pytest.main(["-qx", "-pno:cacheprovider", {__file__!r}, "-k", {selection!r}]))
        """,
        timeout=120,
        PYLSTM_ISA=instruction_set,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [Shape(1, 9, 1, 1), Shape(3, 20, 5, 33, 3, 2)], ids=str)
def test_stream_gives_the_bits_of_predict_at_every_step(shape, dtype):
    problem, arch, params = set_up(shape, dtype)
    for n, sequence in enumerate(problem.X):
        stream = core.Stream(params, arch)
        assert not np.any(stream.states)
        stream.states = problem.states["h0"][:, n], problem.states["c0"][:, n]
        states = {name: state[:, n : n + 1] for name, state in problem.states.items()}
        for t, x in enumerate(sequence):
            output = stream.step(x)
            whole = core.forward(params, sequence[np.newaxis, : t + 1], arch, **states)
            assert_array_equal(output, whole.output[0])
            assert_array_equal(stream.states, [whole.h_n[:, 0], whole.c_n[:, 0]])


def test_stream_refuses_what_does_not_fit():
    _, arch, params = set_up(TRAINING_SHAPE)
    with pytest.raises(ValueError, match="params must have shape"):
        core.Stream(params[1:], arch)
    stream = core.Stream(params, arch)
    with pytest.raises(ValueError, match="x must have shape"):
        stream.step(np.zeros(arch.n_features + 1))
    with pytest.raises(ValueError, match="c must have shape"):
        stream.states = stream.states[0], np.zeros(3)
    before = stream.states
    params[:] = np.nan  # the stream has its own
    stream.step(np.zeros(arch.n_features))
    assert np.isfinite(stream.states).all()
    assert not np.array_equal(stream.states, before)


# -- extremes -------------------------------------------------------------------------------------


def one_unit(dtype, *, W=(0, 0, 0, 0), b=(0, 0, 0, 0)):
    """Parameters of a network of one unit: the weight and bias of gates i, f, g, o."""
    arch = core.Architecture(n_features=1, hidden_size=1)
    arrays = {"W0": [W], "U0": np.zeros((1, 4)), "b0": b, "V": [[1]], "d": [0]}
    arrays = {name: np.array(array, dtype=dtype) for name, array in arrays.items()}
    return core.pack_parameters(arrays, arch, dtype), arch


# Each row lets x or c0 run over a grid through one activation, the other gates open or shut:
# (weights of i, f, g, o; their biases; which state to read; the activation).
OPEN, SHUT = 1e3, -1e3
ACTIVATIONS = {
    "input gate": ((1, 0, 0, 0), (0, SHUT, OPEN, OPEN), "c_n", "sigmoid"),
    "forget gate": ((0, 1, 0, 0), (SHUT, 0, 0, OPEN), "c_n", "sigmoid"),
    "candidate": ((0, 0, 1, 0), (OPEN, SHUT, 0, OPEN), "c_n", "tanh"),
    "output gate": ((0, 0, 0, 1), (OPEN, SHUT, OPEN, 0), "h_n", "sigmoid"),
    "cell state": ((0, 0, 0, 0), (SHUT, OPEN, 0, OPEN), "h_n", "tanh"),
}


def activation_error(name, dtype):
    """Largest error of an activation over a dense grid, in units of the last place of its value."""
    W, b, read, function = ACTIVATIONS[name]
    small = np.geomspace(1e-30, 1, 4001)
    grid = np.concatenate([np.linspace(-40, 40, 40_001), small, -small]).astype(dtype)
    params, arch = one_unit(dtype, W=W, b=b)
    c0 = {"forget gate": np.ones_like(grid), "cell state": grid}.get(name, np.zeros_like(grid))
    if name == "output gate":
        # tanh(c) is 1 to the last bit when c is large, and then h is the gate.
        c0, params = np.full_like(grid, 100), one_unit(dtype, W=W, b=(SHUT, OPEN, 0, 0))[0]
    actual = getattr(
        core.forward(params, grid.reshape(-1, 1, 1), arch, c0=c0.reshape(1, -1, 1)), read
    ).ravel()
    x = grid.astype(np.longdouble)
    exact = np.tanh(x) if function == "tanh" else 1 / (1 + np.exp(-x))
    return (np.abs(actual - exact) / np.spacing(np.abs(exact).astype(dtype))).max()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_right_within_a_few_ulp(name, dtype):
    assert activation_error(name, dtype) < 4


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1e2, 1e4, 1e10, 1e30])
def test_saturated_gates_are_exactly_open_or_shut(scale, dtype):
    signs = np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T
    for sign in signs:
        params, arch = one_unit(dtype, W=scale * sign)
        i, f, g, o = np.where([True, True, False, True], (sign + 1) / 2, sign)
        states = {"h0": np.full((1, 1, 1), 0.25, dtype), "c0": np.full((1, 1, 1), 0.5, dtype)}
        X = np.ones((1, 1, 1), dtype)
        result = core.forward(params, X, arch, **states)
        c = f * 0.5 + i * g
        eps = np.finfo(dtype).eps
        assert_allclose(result.c_n.item(), c, rtol=eps, atol=1e-30)
        assert_allclose(result.h_n.item(), o * np.tanh(c), rtol=4 * eps, atol=1e-30)
        d_output = np.ones((1, 1), dtype)
        for gradient in core.backward(params, X, arch, d_output=d_output, **states):
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_overflowing_products_saturate(dtype):
    big = np.finfo(dtype).max
    params, arch = one_unit(dtype, W=(big, big, big, big))
    X = np.full((3, 4, 1), big)  # x W is infinite
    assert_allclose(core.forward(params, X, arch).c_n.ravel(), 4)
    assert_allclose(core.forward(params, -X, arch).c_n.ravel(), 0, atol=1e-30)


@pytest.mark.parametrize("scale", [30, 1000])
def test_large_weights_agree_with_the_reference(scale):
    problem, arch, params = set_up(Shape(33, 9, 3, 17, 2, 2))
    expected = reference.forward({k: scale * v for k, v in problem.p.items()}, problem.X)
    actual = core.forward(scale * params, problem.X, arch)
    for a, e in zip(actual, expected, strict=True):
        assert deviation(a, e) < 1e-9


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [(0, 0, 0), (20, 3, 1), (49, 5, 2)])
def test_a_bad_sample_leaves_the_others_alone(where, bad, dtype):
    problem, arch, params = set_up(Shape(50, 6, 3, 9, 2, 2), dtype)
    clean = core.forward(params, problem.X, arch)
    problem.X[where] = bad
    dirty = core.forward(params, problem.X, arch)
    sample, t, _ = where
    if np.isnan(bad):
        assert np.isnan(dirty.output[sample]).all()
        assert np.isnan(dirty.hidden[sample, t:]).all()
        assert np.isnan(dirty.h_n[:, sample]).all()
        assert np.isnan(dirty.c_n[:, sample]).all()
    others = np.arange(50) != sample
    assert_array_equal(dirty.hidden[sample, :t], clean.hidden[sample, :t])
    assert_array_equal(dirty.output[others], clean.output[others])
    assert_array_equal(dirty.hidden[others], clean.hidden[others])
    assert_array_equal(dirty.c_n[:, others], clean.c_n[:, others])
    gradients = core.backward(params, problem.X, arch, **problem.upstream)
    assert np.isfinite(gradients.d_X[others]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gate", range(4))
def test_nan_passes_through_every_gate(gate, dtype):
    params, arch = one_unit(dtype, W=np.eye(4)[gate])
    assert np.isnan(core.predict(params, np.full((1, 1, 1), np.nan), arch)).all()


# -- memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("strided", [False, True])
def test_input_that_fits_is_not_copied(strided, dtype):
    n, T = 40_000, 8
    X = np.zeros((n, 2 * T if strided else T, 2), dtype)
    X = X[:, ::2] if strided else X
    y, order = np.zeros((n, 1), dtype), np.arange(64)
    params, arch = one_unit(dtype)
    arch = core.Architecture(n_features=2, hidden_size=1)
    params = core.init_parameters(arch, dtype=dtype, random_state=0)
    calls = [
        lambda: core.predict(params, X, arch),
        lambda: core.train(
            params, X, y, arch, core.Adam(params.size, dtype), order=order, batch_size=32
        ),
    ]
    for call in calls:
        call()
        gc.collect()
        tracemalloc.start()
        try:
            call()
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

        n, T, H = 4096, 64, 32
        arch = core.Architecture(n_features=1, hidden_size=H)
        params = core.init_parameters(arch, random_state=0)
        X, y = np.ones((n, T, 1), np.float32), np.ones((n, 1), np.float32)
        optimizer = core.Adam(params.size, np.float32)

        def train(order, batch_size):
            core.train(params, X, y, arch, optimizer, order=order, batch_size=batch_size)
            core.loss_and_gradient(params, X[:batch_size], y[:batch_size], arch)
            core.predict(params, X[:batch_size], arch)

        train(np.arange(512), 128)
        before = peak()
        train(np.arange(n), n)
        growth = peak() - before
        activations = 5 * n * T * H * 4  # what a framework keeps for BPTT: i, f, g, o, c
        assert growth < activations / 10, (growth, activations)
        """
    )


# -- interrupts -----------------------------------------------------------------------------------


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
        start = core.init_parameters(arch, dtype=np.float64, random_state=0)
        order = np.resize(np.arange(64), 64 * 50_000)  # enough for a minute

        def train(order):
            params, optimizer = start.copy(), core.Adam(start.size, np.float64)
            try:
                core.train(
                    params, X, y, arch, optimizer, order=order, batch_size=64, n_threads=1
                )
            except KeyboardInterrupt:
                return params, optimizer, True
            return params, optimizer, False

        def interrupt():
            global sent
            sent = time.process_time()  # on a busy machine the clock runs while the process waits
            signal.raise_signal(signal.SIGINT)

        threading.Timer(0.3, interrupt).start()
        params, optimizer, interrupted = train(order)
        assert interrupted
        assert time.process_time() - sent < 1
        assert optimizer.n_steps > 0
        expected, _, _ = train(order[: 64 * optimizer.n_steps])
        np.testing.assert_array_equal(params, expected)
        """
    )


def test_training_lets_other_threads_of_python_run():
    problem, arch, params = set_up(Shape(64, 50, 3, 32))
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


# -- parameters -----------------------------------------------------------------------------------


def test_parameters_lie_in_the_documented_order():
    arch = core.Architecture(n_features=3, hidden_size=2, num_layers=2, n_outputs=5)
    shapes = {
        "W0": (3, 8), "U0": (2, 8), "b0": (8,), "W1": (2, 8), "U1": (2, 8), "b1": (8,),
        "V": (2, 5), "d": (5,),
    }  # fmt: skip
    assert core.parameter_shapes(arch) == shapes
    assert list(core.parameter_shapes(arch)) == list(shapes)
    assert core.n_parameters(arch) == 24 + 16 + 8 + 16 + 16 + 8 + 10 + 5
    params = np.arange(core.n_parameters(arch), dtype=np.float64)
    arrays = core.unpack_parameters(params, arch)
    assert {name: array.shape for name, array in arrays.items()} == shapes
    assert_array_equal(np.concatenate([array.ravel() for array in arrays.values()]), params)


@pytest.mark.parametrize("dtype", DTYPES)
def test_unpacking_gives_views_and_packing_copies(dtype):
    problem, arch, _ = set_up(Shape(1, 1, 3, 5, 2, 2), dtype)
    params = core.pack_parameters(problem.p, arch, dtype)
    assert (params.dtype, params.ndim) == (dtype, 1)
    arrays = core.unpack_parameters(params, arch)
    for name, array in arrays.items():
        assert_array_equal(array, problem.p[name])
        array[...] = -1
    assert (params == -1).all()
    packed = core.pack_parameters(arrays, arch, dtype)
    packed[:] = 2
    assert (params == -1).all()


def test_packing_takes_the_arrays_in_any_order():
    problem, arch, params = set_up(Shape(1, 1, 3, 5, 2, 2))
    shuffled = dict(reversed(problem.p.items()))
    assert_array_equal(core.pack_parameters(shuffled, arch, np.float64), params)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [Shape(), Shape(1, 1, 3, 17, 2, 4), Shape(1, 1, 20, 64)], ids=str)
def test_initial_parameters_are_glorot_orthogonal_and_forget_little(shape, dtype):
    arch = core.Architecture(*shape[2:])
    H = arch.hidden_size
    params = core.init_parameters(arch, dtype=dtype, random_state=0)
    assert params.dtype == dtype
    for name, array in core.unpack_parameters(params, arch).items():
        if name[0] in "WV":  # each gate's block is a matrix of its own
            fan_in, fan_out = array.shape[0], H if name[0] == "W" else arch.n_outputs
            bound = np.sqrt(6 / (fan_in + fan_out))
            assert np.abs(array).max() <= bound * (1 + 1e-6)
            if array.size > 200:
                assert np.abs(array).max() > 0.95 * bound
                assert np.std(array) == pytest.approx(bound / np.sqrt(3), rel=0.1)
        elif name[0] == "U":
            for block in np.split(array.astype(float), 4, axis=1):
                assert_allclose(block @ block.T, np.eye(H), atol=20 * np.finfo(dtype).eps)
            assert H == 1 or not np.allclose(array[:, :H], array[:, H : 2 * H])
        elif name[0] == "b":
            assert_array_equal(array, np.repeat([0, 1, 0, 0], H))
        else:
            assert_array_equal(array, 0)


def test_initial_parameters_are_those_of_the_random_state():
    arch = core.Architecture(n_features=3, hidden_size=5, num_layers=2)
    first = core.init_parameters(arch, random_state=0)
    assert_array_equal(core.init_parameters(arch, random_state=0), first)
    assert_array_equal(core.init_parameters(arch, random_state=np.random.RandomState(0)), first)
    assert not np.array_equal(core.init_parameters(arch, random_state=1), first)
    assert_allclose(core.init_parameters(arch, dtype=np.float64, random_state=0), first, rtol=1e-6)


# -- what is refused, and what is not -------------------------------------------------------------


FUNCTIONS = {
    "forward": ("params", "X", "arch", "h0", "c0", "n_threads"),
    "predict": ("params", "X", "arch", "h0", "c0", "n_threads"),
    "backward": (
        "params", "X", "arch", "h0", "c0", "d_output", "d_hidden", "d_h_n", "d_c_n", "n_threads",
    ),
    "loss_and_gradient": ("params", "X", "y", "arch", "sample_weight", "alpha", "n_threads"),
    "train": (
        "params", "X", "y", "arch", "optimizer", "order", "batch_size", "sample_weight", "alpha",
        "max_grad_norm", "n_threads",
    ),
}  # fmt: skip


def call(function, **changed):
    """Call a function of the core with valid arguments, some of them changed."""
    problem, arch, params = set_up(Shape(6, 4, 3, 5, 2, 2))
    arguments = {"params": params, "X": problem.X, "y": problem.y, "arch": arch}
    arguments |= problem.states | problem.upstream
    arguments |= {"sample_weight": np.ones(6), "order": np.arange(6), "batch_size": 2}
    arguments |= {"optimizer": core.SGD(params.size, np.float64), "max_grad_norm": 1.0}
    arguments |= {"alpha": 0.1, "n_threads": 1} | changed
    return getattr(core, function)(**{name: arguments[name] for name in FUNCTIONS[function]})


N_PARAMS = core.n_parameters(core.Architecture(3, 5, 2, 2))
WRONG = {
    "params too short": ("params", np.zeros(N_PARAMS - 1), ValueError, str(N_PARAMS)),
    "params too long": ("params", np.zeros(N_PARAMS + 1), ValueError, str(N_PARAMS)),
    "params 2-D": ("params", np.zeros((1, N_PARAMS)), ValueError, "params"),
    "params complex": ("params", np.zeros(N_PARAMS, complex), (TypeError, ValueError), "params"),
    "params None": ("params", None, (TypeError, ValueError), "params"),
    "X 2-D": ("X", np.zeros((6, 4)), ValueError, "X"),
    "X 4-D": ("X", np.zeros((6, 4, 3, 1)), ValueError, "X"),
    "X of 2 features": ("X", np.zeros((6, 4, 2)), ValueError, "2 features.* 3"),
    "X of 0 features": ("X", np.zeros((6, 4, 0)), ValueError, "0 features.* 3"),
    "X without time steps": ("X", np.zeros((6, 0, 3)), ValueError, "time step"),
    "X complex": ("X", np.zeros((6, 4, 3), complex), TypeError, "X.*complex"),
    "X text": ("X", np.full((6, 4, 3), "a"), TypeError, "X"),
    "X None": ("X", None, TypeError, "X"),
    "X ragged": ("X", [[[1, 2, 3]], [[1]]], ValueError, None),
    "y 1-D": ("y", np.zeros(6), ValueError, r"y .*\(6, 2\).*\(6,\)"),
    "y too short": ("y", np.zeros((5, 2)), ValueError, r"y .*\(6, 2\).*\(5, 2\)"),
    "y of 1 output": ("y", np.zeros((6, 1)), ValueError, r"y .*\(6, 2\).*\(6, 1\)"),
    "y None": ("y", None, TypeError, "y"),
    "h0 of one layer": ("h0", np.zeros((1, 6, 5)), ValueError, r"h0 .*\(2, 6, 5\)"),
    "h0 2-D": ("h0", np.zeros((6, 5)), ValueError, r"h0 .*\(2, 6, 5\)"),
    "c0 of 5 samples": ("c0", np.zeros((2, 5, 5)), ValueError, r"c0 .*\(2, 6, 5\)"),
    "d_output too narrow": ("d_output", np.zeros((6, 1)), ValueError, r"d_output .*\(6, 2\)"),
    "d_hidden of 3 steps": ("d_hidden", np.zeros((6, 3, 5)), ValueError, r"d_hidden .*\(6, 4, 5\)"),
    "d_h_n of one layer": ("d_h_n", np.zeros((1, 6, 5)), ValueError, r"d_h_n .*\(2, 6, 5\)"),
    "d_c_n of 4 units": ("d_c_n", np.zeros((2, 6, 4)), ValueError, r"d_c_n .*\(2, 6, 5\)"),
    "weights too short": ("sample_weight", np.ones(5), ValueError, r"sample_weight .*\(6,\)"),
    "weights 2-D": ("sample_weight", np.ones((6, 1)), ValueError, r"sample_weight .*\(6,\)"),
    "order beyond X": ("order", np.array([0, 6]), (IndexError, ValueError), "order"),
    "order negative": ("order", np.array([0, -1]), (IndexError, ValueError), "order"),
    "order 2-D": ("order", np.zeros((2, 3), int), ValueError, "order"),
    "order float": ("order", np.array([0.0, 1.0]), (TypeError, ValueError), "order"),
    "order None": ("order", None, (TypeError, ValueError), "order"),
    "batch_size 0": ("batch_size", 0, ValueError, "batch_size"),
    "batch_size -1": ("batch_size", -1, ValueError, "batch_size"),
    "batch_size 2.5": ("batch_size", 2.5, (TypeError, ValueError), "batch_size"),
    "max_grad_norm 0": ("max_grad_norm", 0.0, ValueError, "max_grad_norm"),
    "max_grad_norm nan": ("max_grad_norm", np.nan, ValueError, "max_grad_norm"),
    "alpha negative": ("alpha", -0.1, ValueError, "alpha"),
    "alpha nan": ("alpha", np.nan, ValueError, "alpha"),
    "arch None": ("arch", None, TypeError, "arch must be an Architecture"),
    "optimizer None": ("optimizer", None, TypeError, "optimizer must be an Adam, AdamW, RMSprop or SGD"),
    "optimizer of another size": (
        "optimizer", core.SGD(N_PARAMS - 1, np.float64), ValueError, str(N_PARAMS),
    ),
    "optimizer of another dtype": (
        "optimizer", core.SGD(N_PARAMS, np.float32), (TypeError, ValueError), "float32",
    ),
    "n_threads 0": ("n_threads", 0, ValueError, "0"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("function", "row"),
    [
        (function, row)
        for function, names in FUNCTIONS.items()
        for row, (name, *_) in WRONG.items()
        if name in names
    ],
)
def test_wrong_arguments_are_refused_by_name(function, row):
    call(function)  # all of the others are right
    name, value, error, message = WRONG[row]
    with pytest.raises(error, match=message):
        call(function, **{name: value})


UNUSUAL_PARAMS = {
    "strided": lambda params: np.repeat(params, 2)[::2],
    "byte-swapped": lambda params: params.astype(params.dtype.newbyteorder()),
    "list": lambda params: params.tolist(),
    "read-only": lambda params: np.frombuffer(params.tobytes()),
}


@pytest.mark.parametrize("layout", UNUSUAL_PARAMS)
def test_parameters_are_converted_where_they_are_only_read(layout):
    _, _, params = set_up(Shape(6, 4, 3, 5, 2, 2))
    unusual = UNUSUAL_PARAMS[layout](params)
    for function in ("forward", "backward", "loss_and_gradient"):
        for actual, expected in zip(call(function, params=unusual), call(function), strict=True):
            assert_array_equal(actual, expected)
    assert call("predict", params=np.zeros(N_PARAMS, dtype=int)).dtype == np.float64


@pytest.mark.parametrize("layout", [*UNUSUAL_PARAMS, "integer", "half"])
def test_training_refuses_parameters_it_cannot_update_in_place(layout):
    casts = {"integer": lambda p: p.astype(int), "half": lambda p: p.astype(np.float16)}
    params = (UNUSUAL_PARAMS | casts)[layout](set_up(Shape(6, 4, 3, 5, 2, 2))[2])
    with pytest.raises((TypeError, ValueError), match="params"):
        call("train", params=params)


def test_parameters_that_do_not_fit_the_architecture_are_not_packed():
    problem, arch, params = set_up(Shape(1, 1, 3, 5, 2, 2))
    with pytest.raises(ValueError, match="U1"):
        core.pack_parameters(problem.p | {"U1": np.zeros((5, 5))}, arch, np.float64)
    with pytest.raises((KeyError, ValueError), match="b1"):
        core.pack_parameters({k: v for k, v in problem.p.items() if k != "b1"}, arch, np.float64)
    with pytest.raises(ValueError, match="W2"):
        core.pack_parameters(problem.p | {"W2": np.zeros((5, 20))}, arch, np.float64)
    with pytest.raises(ValueError, match=str(params.size)):
        core.unpack_parameters(params[:-1], arch)


@pytest.mark.parametrize("field", ["n_features", "hidden_size", "num_layers", "n_outputs"])
def test_an_architecture_has_positive_sizes(field):
    with pytest.raises(ValueError, match=field):
        core.Architecture(**({"n_features": 1} | {field: 0}))
    with pytest.raises((TypeError, ValueError), match=field):
        core.Architecture(**({"n_features": 1} | {field: 2.5}))


def test_no_samples_are_no_results():
    _, arch, params = set_up(Shape(1, 4, 3, 5, 2, 2))
    X = np.zeros((0, 4, 3))
    result = core.forward(params, X, arch)
    assert [array.shape for array in result] == [(0, 2), (0, 4, 5), (2, 0, 5), (2, 0, 5)]
    assert core.predict(params, X, arch).shape == (0, 2)
    gradients = core.backward(params, X, arch, d_output=np.zeros((0, 2)))
    assert_array_equal(gradients.d_params, np.zeros_like(params))
    assert gradients.d_X.shape == (0, 4, 3)
    assert gradients.d_h0.shape == gradients.d_c0.shape == (2, 0, 5)


def test_the_loss_of_nothing_is_refused():
    y, weights = np.zeros((0, 2)), np.ones(0)
    with pytest.raises(ValueError, match="0 samples"):
        call("loss_and_gradient", X=np.zeros((0, 4, 3)), y=y, sample_weight=weights)
    with pytest.raises(ValueError, match="weights"):
        call("loss_and_gradient", sample_weight=np.zeros(6))


def test_training_on_nothing_changes_nothing():
    problem, arch, params = set_up(TRAINING_SHAPE)
    trained, optimizer = params.copy(), core.Adam(params.size, np.float64)
    assert train_passes(trained, problem, arch, optimizer, order=np.arange(0)) == 0
    with pytest.raises(ValueError, match="weights must sum to a positive number"):
        train_passes(trained, problem, arch, optimizer, sample_weight=np.zeros(37))
    assert_array_equal(trained, params)
    assert optimizer.n_steps == 0


def test_the_number_of_threads_is_counted_as_joblib_counts():
    assert core.effective_n_threads(1) == 1
    assert core.effective_n_threads(-1) >= 1
    assert 1 <= core.effective_n_threads() <= os.cpu_count()
    with pytest.raises(ValueError, match="0"):
        core.effective_n_threads(0)
