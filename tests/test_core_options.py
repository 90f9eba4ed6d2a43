"""The options of the compiled core: both directions, lengths, missing values, sequences as output,
losses, dropout, and what training can do. Against the NumPy reference, finite differences and the
core's own promises, as in `test_core`.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import reference
from numpy.testing import assert_allclose, assert_array_equal
from programs import run_python
from reference import Problem, Shape, deviation, dropout_masks, random_problem
from threadpoolctl import threadpool_limits

from pylstm import _config, core

DTYPES = (np.float32, np.float64)
# Against the float64 reference on the same (rounded) input, relative to each array's largest entry.
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


@pytest.fixture(scope="module", autouse=True)
def _one_blas_thread():
    """NumPy's BLAS and the core's threads would wait for each other on a small machine."""
    with threadpool_limits(1, user_api="blas"):
        yield


class SetUp(NamedTuple):
    problem: Problem
    arch: core.Architecture
    params: np.ndarray
    given: dict  # lengths, h0, c0, as far as they are used
    sequences: dict  # what the reference wants to know: whether outputs are sequences


def set_up(shape, dtype=np.float64, seed=0, *, lengths=False, states=False, **options):
    """A random problem, its architecture, its packed parameters."""
    problem = random_problem(shape, dtype, seed, **options)
    arch = core.Architecture(*shape[2:], **options)
    params = core.pack_parameters(problem.p, arch, dtype)
    given = {"lengths": problem.lengths} if lengths else {}
    given |= problem.states if states else {}
    return SetUp(problem, arch, params, given, {"return_sequences": arch.return_sequences})


def assert_parameters_agree(params, expected, arch, tolerance):
    for name, array in core.unpack_parameters(params, arch).items():
        assert deviation(array, expected[name]) < tolerance, name


# -- the numbers ----------------------------------------------------------------------------------

OPTIONS = ("bidirectional", "return_sequences", "mask_missing", "lengths", "states")


def random_cases(n_cases, seed=0):
    """Random shapes, every one with another of the 32 combinations of the options."""
    sizes = Shape(
        n_samples=(1, 2, 15, 16, 17, 31, 33, 48, 49, 100),  # around the core's blocks
        n_timesteps=(1, 2, 3, 12, 50),
        n_features=(1, 2, 3, 17),
        hidden_size=(1, 2, 3, 7, 8, 15, 16, 17, 33, 64),
        num_layers=(1, 2, 3),
        n_outputs=(1, 2, 3, 5),
    )
    rng = np.random.default_rng(seed)
    columns = [rng.permutation(np.resize(values, n_cases)).tolist() for values in sizes]
    cases = []
    for number, row in enumerate(zip(*columns, strict=True)):
        shape = Shape(*row)
        options = {name: True for bit, name in enumerate(OPTIONS) if number >> bit & 1}
        n, T, _, H, L, _ = shape
        if n * T * H * L * (1 + ("bidirectional" in options)) > 100_000:
            shape = shape._replace(n_samples=2)
        cases.append(pytest.param(shape, options, id="-".join([str(shape), *options])))
    return cases


CASES = random_cases(96)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "options"), CASES)
def test_forward_agrees_with_the_reference(shape, options, dtype):
    (p, X, *_), arch, params, given, sequences = set_up(shape, dtype, **options)
    actual = core.forward(params, X, arch, **given)
    expected = reference.forward(p, X, **given, **sequences)
    for name in expected._fields:
        result = getattr(actual, name)
        assert result.dtype == dtype
        assert deviation(result, getattr(expected, name)) < TOLERANCE[dtype], name
    assert_array_equal(core.predict(params, X, arch, **given), actual.output)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "options"), CASES)
def test_gate_activations_agree_with_the_reference(shape, options, dtype):
    (p, X, *_), arch, params, given, _ = set_up(shape, dtype, **options)
    actual = core.gate_activations(params, X, arch, **given)
    expected = reference.gate_activations(p, X, **given)
    assert actual._fields == expected._fields
    for name in expected._fields:
        result = getattr(actual, name)
        assert result.dtype == dtype
        assert deviation(result, getattr(expected, name)) < TOLERANCE[dtype], name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "options"), CASES)
def test_backward_agrees_with_the_reference(shape, options, dtype):
    assert_backward_agrees(set_up(shape, dtype, **options))


def assert_backward_agrees(case, upstream=None):
    (p, X, *_), arch, params, given, sequences = case
    upstream = case.problem.upstream if upstream is None else upstream
    dtype = params.dtype.type
    actual = core.backward(params, X, arch, **upstream, **given)
    expected = reference.backward(p, X, **upstream, **given, **sequences)
    assert_parameters_agree(actual.d_params, expected.d_params, arch, TOLERANCE[dtype])
    for name in ("d_X", "d_h0", "d_c0"):
        result = getattr(actual, name)
        assert result.dtype == dtype
        assert deviation(result, getattr(expected, name)) < TOLERANCE[dtype], name


@pytest.mark.parametrize("given", ["h0", "c0"])
def test_either_of_the_states_may_be_zeros_that_are_not_given(given):
    case = set_up(Shape(17, 5, 3, 7, 2, 2), bidirectional=True, lengths=True)
    assert_backward_agrees(case._replace(given=case.given | {given: case.problem.states[given]}))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("network", ["plain", "all"])
def test_predict_returns_the_final_states_of_forward(network, dtype):
    problem, arch, params, given, _ = set_up(Shape(50, 5, 3, 7, 2, 2), dtype, **NETWORKS[network])
    expected = core.forward(params, problem.X, arch, **given)
    output, h_n, c_n = core.predict(params, problem.X, arch, return_states=True, **given)
    assert_array_equal(output, expected.output)
    assert_array_equal(h_n, expected.h_n)
    assert_array_equal(c_n, expected.c_n)


ALL_OPTIONS = dict.fromkeys(OPTIONS, True)
FINAL_OUTPUT = ALL_OPTIONS | {"return_sequences": False}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("upstream", ["d_output", "d_hidden", "d_h_n", "d_c_n"])
@pytest.mark.parametrize("options", [ALL_OPTIONS, FINAL_OUTPUT], ids=["sequences", "final"])
@pytest.mark.parametrize("shape", [Shape(17, 5, 3, 7, 2, 2), Shape(33, 2, 1, 33, 3, 5)], ids=str)
def test_backward_from_each_output_alone_agrees_with_the_reference(shape, options, upstream, dtype):
    case = set_up(shape, dtype, **options)
    assert_backward_agrees(case, {upstream: case.problem.upstream[upstream]})


@pytest.mark.parametrize("options", [ALL_OPTIONS, FINAL_OUTPUT], ids=["sequences", "final"])
@pytest.mark.parametrize("shape", [Shape(3, 4, 2, 3, 2, 2), Shape(17, 3, 1, 2)], ids=str)
def test_backward_is_the_central_difference_of_forward(shape, options):
    problem, arch, params, given, _ = set_up(shape, **options)
    inputs = {"params": params, "X": problem.X, **problem.states}
    run = {"arch": arch, "n_threads": 1, "lengths": given["lengths"]}

    def objective(**changed):
        result = core.forward(**run, **(inputs | changed))
        return sum((getattr(result, name[2:]) * d).sum() for name, d in problem.upstream.items())

    # What lies in the padding is no part of the result.
    valid = np.arange(shape.n_timesteps) < problem.lengths[:, np.newaxis]
    for name in ("d_output", "d_hidden"):
        if problem.upstream[name].ndim == 3:
            problem.upstream[name][~valid] = 0
    gradients = core.backward(**run, **inputs, **problem.upstream)
    for name, value in inputs.items():
        numeric = central_differences(lambda x, name=name: objective(**{name: x}), value)
        assert deviation(getattr(gradients, f"d_{name}"), numeric) < 1e-8, name


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


# -- losses ---------------------------------------------------------------------------------------

QUANTILES = (0.1, 0.5, 0.9)
LOSSES = {
    "squared": (core.SquaredError(), reference.squared_error),
    "absolute": (core.AbsoluteError(), reference.absolute_error),
    "huber": (core.Huber(), reference.huber),
    "huber-narrow": (core.Huber(delta=0.3), partial(reference.huber, delta=0.3)),
    "median": (core.Quantile(), reference.quantile),
    "quantile": (core.Quantile(0.9), partial(reference.quantile, quantiles=(0.9,))),
    "quantiles": (core.Quantile(QUANTILES), partial(reference.quantile, quantiles=QUANTILES)),
    "poisson": (core.Poisson(), reference.poisson),
    "gaussian": (core.Gaussian(), reference.gaussian),
    "log-loss": (core.LogLoss(4), reference.log_loss),
}


def random_targets(loss, shape, dtype, rng):
    """Targets that suit the loss; the last axis has one of them if they are classes."""
    if loss == "log-loss":
        return rng.integers(0, 4, (*shape[:-1], 1)).astype(dtype)
    y = rng.poisson(2, shape) if loss == "poisson" else rng.standard_normal(shape)
    return y.astype(dtype)


def random_weights(n, dtype):
    """Sample weights with zeros among them, but for the first."""
    weights = np.random.default_rng(1).integers(0, 4, n)
    weights[0] = 2
    return weights.astype(dtype)


def set_up_loss(loss, shape, dtype=np.float64, **options):
    """A problem whose targets (as many as the shape has outputs) suit the loss."""
    n_targets = 1 if loss == "log-loss" else shape.n_outputs
    case = set_up(shape._replace(n_outputs=LOSSES[loss][0].n_outputs(n_targets)), dtype, **options)
    y_shape = (*case.problem.y.shape[:-1], n_targets)
    y = random_targets(loss, y_shape, dtype, np.random.default_rng(0))
    return case._replace(problem=case.problem._replace(y=y))


LOSS_SHAPES = [
    Shape(1, 1, 1, 3),
    Shape(17, 6, 3, 5, 2, 2),
    Shape(50, 3, 1, 16, 1, 3),
    Shape(2, 9, 2, 17, 3),
]
DROPOUT = {
    "none": {},
    "dropout": {"dropout": 0.4, "seed": 3},
    "recurrent": {"recurrent_dropout": 0.3, "seed": 2**64 - 1},
    "both": {"dropout": 0.5, "recurrent_dropout": 0.2},
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dropout", DROPOUT)
@pytest.mark.parametrize("lengths", [False, True], ids=["full", "lengths"])
@pytest.mark.parametrize("return_sequences", [False, True], ids=["final", "sequences"])
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_and_gradient_agree_with_the_reference(
    loss, return_sequences, lengths, dropout, dtype
):
    ours, theirs = LOSSES[loss]
    for number, shape in enumerate(LOSS_SHAPES):
        network = {"bidirectional": number % 2 == 1, "mask_missing": number == 3}
        network |= {"return_sequences": return_sequences, "lengths": lengths}
        case = set_up_loss(loss, shape, dtype, **network)
        weights = None if number == 0 else random_weights(shape.n_samples, dtype)
        assert_loss_agrees(
            case, ours, theirs, sample_weight=weights, alpha=0.3 * number, **DROPOUT[dropout]
        )


def assert_loss_agrees(case, ours, theirs, **options):
    (p, X, y, *_), arch, params, given, sequences = case
    tolerance = TOLERANCE[params.dtype.type]
    options |= given
    loss, gradient = core.loss_and_gradient(params, X, y, arch, loss=ours, **options)
    expected = reference.loss_and_gradient(p, X, y, loss=theirs, **options, **sequences)
    assert isinstance(loss, float)
    assert gradient.dtype == params.dtype
    assert loss == pytest.approx(expected[0], rel=tolerance)
    assert_parameters_agree(gradient, expected[1], arch, tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["poisson", "log-loss"])
def test_counts_and_classes_may_be_integers(loss, dtype):
    case = set_up_loss(loss, Shape(20, 3, 2, 5), dtype, return_sequences=True)
    problem, arch, params, *_ = case
    for actual, expected in zip(
        core.loss_and_gradient(
            params, problem.X, problem.y.astype(int), arch, loss=LOSSES[loss][0]
        ),
        core.loss_and_gradient(params, problem.X, problem.y, arch, loss=LOSSES[loss][0]),
        strict=True,
    ):
        assert_array_equal(actual, expected)


@pytest.mark.parametrize("return_sequences", [False, True], ids=["final", "sequences"])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_of_each_loss_is_its_central_difference(loss, return_sequences):
    shape = Shape(5, 4, 2, 3, 2, 2)
    options = {"bidirectional": True, "mask_missing": True, "lengths": True}
    case = set_up_loss(loss, shape, return_sequences=return_sequences, **options)
    problem, arch, params, given, _ = case
    given |= {"loss": LOSSES[loss][0], "alpha": 0.3, "sample_weight": random_weights(5, float)}
    given |= {"dropout": 0.4, "recurrent_dropout": 0.3, "seed": 1, "n_threads": 1}

    def loss_of(params):
        return core.loss_and_gradient(params, problem.X, problem.y, arch, **given)[0]

    _, gradient = core.loss_and_gradient(params, problem.X, problem.y, arch, **given)
    assert_allclose(gradient, central_differences(loss_of, params), rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("loss", "n_targets", "n_outputs"),
    [
        ("squared", 3, 3), ("absolute", 1, 1), ("huber", 2, 2), ("median", 2, 2),
        ("quantiles", 2, 6), ("poisson", 4, 4), ("gaussian", 3, 6), ("log-loss", 1, 4),
    ],
)  # fmt: skip
def test_a_loss_says_how_many_outputs_it_reads(loss, n_targets, n_outputs):
    assert LOSSES[loss][0].n_outputs(n_targets) == n_outputs


def network_of_constant_output(z, n_timesteps=1):
    """Parameters of a network whose outputs are z, and an input for it."""
    arch = core.Architecture(1, 1, 1, len(z))
    params = np.zeros(core.n_parameters(arch))
    core.unpack_parameters(params, arch)["d"][:] = z
    return params, np.zeros((1, n_timesteps, 1)), arch


@pytest.mark.parametrize(
    ("loss", "z", "y", "value", "gradient"),
    [
        (core.SquaredError(), [3], [1], 2, [2]),
        (core.AbsoluteError(), [3], [1], 2, [1]),
        (core.AbsoluteError(), [1], [1], 0, [0]),
        (core.Huber(1.5), [2.5], [1], 1.125, [1.5]),
        (core.Huber(1.5), [-9], [1], 1.5 * 9.25, [-1.5]),
        (core.Quantile(0.9), [1], [3], 1.8, [-0.9]),
        (core.Quantile(0.9), [3], [1], 0.2, [0.1]),
        (core.Quantile(0.9), [1], [1], 0, [-0.9]),
        (core.Quantile((0.5, 0.9)), [1, 3], [2], 0.3, [-0.25, 0.05]),
        (core.Poisson(), [0], [4], 1, [-3]),
        (core.Poisson(), [np.log(3)], [2], 3 - 2 * np.log(3), [1]),
        # softplus(log(e - 1)) = 1, its slope 1 - 1/e
        (core.Gaussian(), [1, np.log(np.e - 1)], [3], 2, [-2, -3 * (1 - 1 / np.e)]),
        (core.LogLoss(2), [0, 0], [1], np.log(2), [0.5, -0.5]),
        (core.LogLoss(3), [np.log(2), 0, 0], [0], np.log(2), [-0.5, 0.25, 0.25]),
    ],
)
def test_losses_of_single_numbers_are_those_of_their_formulas(loss, z, y, value, gradient):
    params, X, arch = network_of_constant_output(z)
    actual, d_params = core.loss_and_gradient(params, X, np.array([y], float), arch, loss=loss)
    assert actual == pytest.approx(value, rel=1e-5, abs=1e-12)  # sigma is 1 + 1e-6
    assert_allclose(core.unpack_parameters(d_params, arch)["d"], gradient, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("loss", "z", "y"),
    [
        ("log-loss", [1e4, 0, -1e4, 0], [2]),
        ("log-loss", [-1e4, -1e4, -1e4, -1e4], [0]),
        ("gaussian", [0, -1e4], [0]),
        ("gaussian", [0, 1e4], [1]),
        ("poisson", [-1e4], [3]),
        ("huber", [1e10], [0]),
    ],
)
def test_extreme_outputs_have_the_finite_loss_of_the_reference(loss, z, y, dtype):
    params, X, arch = network_of_constant_output(z)
    y = np.array([y], dtype)
    value, gradient = core.loss_and_gradient(params.astype(dtype), X, y, arch, loss=LOSSES[loss][0])
    expected, d_output = LOSSES[loss][1](np.array([z], float), y.astype(float))
    assert value == pytest.approx(expected.sum(), rel=TOLERANCE[dtype])
    actual = core.unpack_parameters(gradient, arch)["d"]
    assert_allclose(actual, d_output.sum(axis=0), rtol=TOLERANCE[dtype], atol=1e-30)


# -- training -------------------------------------------------------------------------------------

OPTIMIZERS = {
    "adam": (core.Adam, reference.Adam, {"learning_rate": 1e-2}),
    "adamw": (core.AdamW, reference.AdamW, {"learning_rate": 1e-2, "weight_decay": 0.3}),
    "adamw-other": (
        core.AdamW,
        reference.AdamW,
        {"learning_rate": 1e-2, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-4},
    ),
    "adamw-defaults": (core.AdamW, reference.AdamW, {}),
    "rmsprop": (core.RMSprop, reference.RMSprop, {"learning_rate": 1e-2}),
    "rmsprop-other": (
        core.RMSprop,
        reference.RMSprop,
        {"learning_rate": 1e-2, "decay": 0.9, "epsilon": 1e-4},
    ),
    "rmsprop-defaults": (core.RMSprop, reference.RMSprop, {}),
    "sgd": (core.SGD, reference.SGD, {"learning_rate": 0.05}),
}
N_TRAINED, BATCH_SIZE = 37, 8
N_BATCHES = 5  # the last has five samples
NETWORKS = {
    "plain": {},
    "bidirectional": {"bidirectional": True},
    "sequences": {"return_sequences": True},
    "missing": {"mask_missing": True},
    "lengths": {"lengths": True},
    "all": {name: True for name in OPTIONS if name != "states"},
    "all-one-direction": {"return_sequences": True, "mask_missing": True, "lengths": True},
}
DROP = {"dropout": 0.3, "recurrent_dropout": 0.2}
TRAINING = {
    "plain": {},
    "value": {"max_grad_value": 0.005},
    "norm": {"max_grad_norm": 0.05},
    "value-and-norm": {"max_grad_value": 0.005, "max_grad_norm": 0.02},
    "average": {"average": 0.9},
    "stateful": {"stateful": True},
    "dropout": {"dropout": 0.5},
    "recurrent": {"recurrent_dropout": 0.5},
    "rates": {"rates": True},
    "everything": {
        "max_grad_value": 0.01, "max_grad_norm": 0.05, "average": 0.99, "rates": True,
        "alpha": 0.05, "sample_weight": random_weights(N_TRAINED, float), **DROP,
    },
    "everything-stateful": {
        "max_grad_value": 0.01, "max_grad_norm": 0.05, "average": 0.0, "rates": True,
        "alpha": 0.05, "sample_weight": random_weights(N_TRAINED, float), "stateful": True, **DROP,
    },
}  # fmt: skip


def assert_training_agrees(
    case, optimizer, loss="squared", *, rates=False, average=None, **options
):
    """Five passes change parameters, average and loss as the reference has it."""
    problem, arch, params, given, sequences = case
    dtype, p = params.dtype.type, problem.p
    data, start = (problem.X, problem.y), params.copy()
    options |= given
    core_class, reference_class, settings = OPTIMIZERS[optimizer]
    actual, expected = core_class(params.size, dtype, **settings), reference_class(**settings)
    ours, theirs = {"loss": LOSSES[loss][0]}, {"loss": LOSSES[loss][1], **sequences}
    if average is not None:
        averaged = np.zeros(params.size, dtype), {name: np.zeros(a.shape) for name, a in p.items()}
        ours["average"], theirs["average"] = ((array, average) for array in averaged)
    rng, tolerance = np.random.default_rng(0), 10 * TOLERANCE[dtype]
    for number in range(5):
        order = rng.permutation(N_TRAINED)
        if rates:
            learning_rates = settings["learning_rate"] * rng.uniform(0.1, 2, N_BATCHES)
            actual.learning_rate = expected.learning_rate = learning_rates
        passed = options | {"order": order, "batch_size": BATCH_SIZE, "seed": number}
        value = core.train(params, *data, arch, actual, **passed, **ours)
        expected_value = reference.train(p, *data, expected, **passed, **theirs)
        assert value == pytest.approx(expected_value, rel=tolerance)
    assert actual.n_steps == 5 * N_BATCHES
    assert_parameters_agree(params, p, arch, tolerance)
    assert deviation(params, start) > 0.01
    if average is not None:
        assert_parameters_agree(averaged[0], averaged[1], arch, tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("optimizer", "network", "training"),
    [("adam", network, "plain") for network in NETWORKS]
    + [("adam", "plain", training) for training in TRAINING]
    + [("adam", "all-one-direction", "stateful"), ("adam", "all", "dropout")]
    + [("sgd", "lengths", "stateful"), ("sgd", "all", "recurrent")]
    + [
        (optimizer, network, training)
        for optimizer in OPTIMIZERS
        for network, training in [("plain", "plain"), ("all", "everything")]
        if "rates" not in TRAINING[training] or "learning_rate" in OPTIMIZERS[optimizer][2]
    ]
    + [
        (optimizer, "all-one-direction", "everything-stateful")
        for optimizer in ("adam", "adamw", "rmsprop", "sgd")
    ],
)
def test_training_steps_agree_with_the_reference(optimizer, network, training, dtype):
    case = set_up(Shape(N_TRAINED, 6, 3, 7, 2, 2), dtype, **NETWORKS[network])
    assert_training_agrees(case, optimizer, **TRAINING[training])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("network", ["plain", "all"])
@pytest.mark.parametrize("loss", LOSSES)
def test_training_steps_on_each_loss_agree_with_the_reference(loss, network, dtype):
    case = set_up_loss(loss, Shape(N_TRAINED, 6, 3, 7, 1, 2), dtype, **NETWORKS[network])
    assert_training_agrees(case, "sgd", loss, **DROP)


def train_once(case, optimizer=None, **options):
    """One pass over all samples in order; the loss and the trained parameters."""
    problem, arch, params, given, _ = case
    trained = params.copy()
    optimizer = core.Adam(params.size, params.dtype) if optimizer is None else optimizer
    options = {"order": np.arange(len(problem.X)), "batch_size": BATCH_SIZE} | given | options
    return core.train(trained, problem.X, problem.y, arch, optimizer, **options), trained


def test_the_average_stops_with_the_parameters_before_an_update_that_is_not_finite():
    case = set_up(Shape(N_TRAINED, 4, 2, 5))
    start = np.ones(case.params.size)
    expected, actual = start.copy(), start.copy()
    train_once(case, order=np.arange(16), average=(expected, 0.9))
    case.problem.X[20] = np.nan  # in the third batch
    loss, _ = train_once(case, average=(actual, 0.9))
    assert np.isnan(loss)
    assert_array_equal(actual, expected)
    assert not np.array_equal(actual, start)


def test_weight_decay_shrinks_weights_and_not_biases_where_there_is_no_gradient():
    arch = core.Architecture(1, 2, 2, bidirectional=True)
    params = np.ones(core.n_parameters(arch))
    optimizer = core.AdamW(params.size, np.float64, learning_rate=0.1, weight_decay=0.5)
    X, trained = np.zeros((1, 3, 1)), params.copy()
    y = core.predict(params, X, arch)  # no error
    core.train(trained, X, y, arch, optimizer, order=[0], batch_size=1)
    for name, array in core.unpack_parameters(trained, arch).items():
        assert_allclose(array, 0.95 if name[0] in "WUV" else 1.0, rtol=1e-15, err_msg=name)


# -- the same bits --------------------------------------------------------------------------------


def everything(case, n_timesteps=None, n_threads=None):
    """Names and arrays of all that the core computes, those over time up to n_timesteps."""
    problem, arch, params, given, _ = case
    data = params, problem.X, problem.y, arch
    run = params, problem.X, arch
    threads, lengths = {"n_threads": n_threads}, {"lengths": given.get("lengths")}
    weights = random_weights(len(problem.X), params.dtype)
    until, sequences = slice(n_timesteps), arch.return_sequences

    def trimmed(output):
        return output[:, until] if sequences else output

    yield "predict", trimmed(core.predict(*run, **given, **threads))
    output, hidden, h_n, c_n = core.forward(*run, **given, **threads)
    yield from {"output": trimmed(output), "hidden": hidden[:, until]}.items()
    yield from {"h_n": h_n, "c_n": c_n}.items()
    for name, array in core.gate_activations(*run, **given, **threads)._asdict().items():
        yield f"gate activations: {name}", array[:, :, until]
    gradients = core.backward(*run, **problem.upstream, **given, **threads)
    yield from gradients._replace(d_X=gradients.d_X[:, until])._asdict().items()
    for dropout in ({}, DROP):
        options = {"alpha": 0.1, "sample_weight": weights} | dropout | lengths | threads
        loss, gradient = core.loss_and_gradient(*data, **options)
        yield from {f"loss {dropout}": loss, f"gradient {dropout}": gradient}.items()
    trained, average = params.copy(), np.zeros_like(params)
    optimizer = core.AdamW(params.size, params.dtype)
    options = {"order": np.arange(len(problem.X))[::-1], "batch_size": 40, "max_grad_norm": 0.1}
    options |= {"stateful": not arch.bidirectional, "average": (average, 0.5)} | DROP | lengths
    for number in range(2):
        value = core.train(trained, *data[1:], optimizer, seed=number, **options, **threads)
        yield f"training loss {number}", value
    yield from {"trained": trained, "average": average}.items()


def assert_all_equal(actual, expected):
    for (name, array), (_, expected_array) in zip(actual, expected, strict=True):
        assert_array_equal(array, expected_array, err_msg=name)


@pytest.fixture
def threads_even_for_little_work():
    before = _config.kernels.set_work_per_thread(0)
    yield
    _config.kernels.set_work_per_thread(before)


# Small, several blocks, wide; a network for each.
BIT_CASES = [
    pytest.param(Shape(5, 3, 2, 4), FINAL_OUTPUT, id="final-all"),
    pytest.param(Shape(100, 7, 3, 17, 2, 2), ALL_OPTIONS, id="sequences-all"),
    pytest.param(Shape(100, 7, 3, 17, 2, 2), NETWORKS["lengths"], id="lengths"),
    pytest.param(Shape(100, 5, 3, 33, 1, 2), NETWORKS["all-one-direction"], id="one-direction"),
    pytest.param(Shape(70, 3, 2, 100), NETWORKS["bidirectional"] | {"lengths": True}, id="wide"),
]
bit_cases = pytest.mark.parametrize(("shape", "options"), BIT_CASES)


@pytest.mark.parametrize("dtype", DTYPES)
@bit_cases
@pytest.mark.usefixtures("threads_even_for_little_work")
def test_any_number_of_threads_gives_the_same_bits(shape, options, dtype):
    case = set_up(shape, dtype, **options)
    expected = list(everything(case, n_threads=1))
    for n_threads in (2, 3, 4, None):
        assert_all_equal(everything(case, n_threads=n_threads), expected)


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


def over_time(case):
    """The arrays of a case that have a time axis, by name: (n, T, ...)."""
    names = ["X", "d_hidden", *(["y", "d_output"] if case.arch.return_sequences else [])]
    arrays = case.problem._asdict() | case.problem.upstream
    return {name: arrays[name] for name in names}


def with_arrays(case, changed):
    """The case with other arrays over time."""
    upstream = {name: changed.get(name, a) for name, a in case.problem.upstream.items()}
    new = {name: changed[name] for name in ("X", "y") if name in changed}
    return case._replace(problem=case.problem._replace(upstream=upstream, **new))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("garbage", [np.nan, np.inf, -1e30])
@bit_cases
def test_what_the_padding_holds_does_not_change_a_bit(shape, options, garbage, dtype):
    case = set_up(shape, dtype, **options)
    padding = np.arange(shape.n_timesteps) >= case.problem.lengths[:, np.newaxis]
    assert padding.any()
    changed = {name: array.copy() for name, array in over_time(case).items()}
    for array in changed.values():
        array[padding] = garbage
    assert_all_equal(everything(with_arrays(case, changed)), everything(case))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("extra", [1, 5, 60])
@bit_cases
def test_how_much_padding_there_is_does_not_change_a_bit(shape, options, extra, dtype):
    case = set_up(shape, dtype, **options)
    longer = {
        name: np.pad(a, [(0, 0), (0, extra), (0, 0)], constant_values=np.nan)
        for name, a in over_time(case).items()
    }
    assert_all_equal(everything(with_arrays(case, longer), shape.n_timesteps), everything(case))


@pytest.mark.parametrize("dtype", DTYPES)
@bit_cases
def test_full_lengths_give_the_bits_of_no_lengths(shape, options, dtype):
    case = set_up(shape, dtype, **(options | {"lengths": False}))
    full = np.full(shape.n_samples, shape.n_timesteps)
    assert_all_equal(
        everything(case._replace(given=case.given | {"lengths": full})), everything(case)
    )


@pytest.mark.parametrize("dtype", DTYPES)
@bit_cases
def test_results_in_the_padding_are_zeros(shape, options, dtype):
    problem, arch, params, given, _ = set_up(shape, dtype, **options)
    padding = np.arange(shape.n_timesteps) >= problem.lengths[:, np.newaxis]
    result = core.forward(params, problem.X, arch, **given)
    assert not result.hidden[padding].any()
    assert result.hidden[~padding].all()
    if arch.return_sequences:
        assert not result.output[padding].any()
    for name, array in core.gate_activations(params, problem.X, arch, **given)._asdict().items():
        assert not array[:, padding].any(), name
        assert array[:, ~padding].all(), name
    gradients = core.backward(params, problem.X, arch, **problem.upstream, **given)
    assert not gradients.d_X[padding].any()


@pytest.mark.parametrize("dtype", DTYPES)
@bit_cases
def test_a_sequence_among_longer_ones_gives_the_bits_it_gives_alone(shape, options, dtype):
    problem, arch, params, given, _ = set_up(shape, dtype, **options)
    whole = core.forward(params, problem.X, arch, **given)
    for n in range(0, shape.n_samples, 7):
        T = problem.lengths[n]
        states = {name: given[name][:, n : n + 1] for name in ("h0", "c0") if name in given}
        alone = core.forward(params, problem.X[n : n + 1, :T], arch, **states)
        output = whole.output[n, :T] if arch.return_sequences else whole.output[n]
        assert_array_equal(alone.output[0], output)
        assert_array_equal(alone.hidden[0], whole.hidden[n, :T])
        assert_array_equal(alone.h_n[:, 0], whole.h_n[:, n])
        assert_array_equal(alone.c_n[:, 0], whole.c_n[:, n])


@pytest.mark.parametrize("dtype", DTYPES)
@bit_cases
def test_a_prediction_does_not_depend_on_its_batch(shape, options, dtype):
    problem, arch, params, given, _ = set_up(shape, dtype, **options)
    whole = core.forward(params, problem.X, arch, **given)
    gates = core.gate_activations(params, problem.X, arch, **given)
    shuffled = np.random.default_rng(0).permutation(shape.n_samples)
    sizes = [1, 2, 15, 16, 17, 31, 32, 33, 50, shape.n_samples]
    parts = [shuffled[: min(size, shape.n_samples)] for size in sizes]
    for part in [*parts, slice(3, 4), slice(None, None, -1)]:
        args = params, problem.X[part], arch
        some = {name: a[part] if name == "lengths" else a[:, part] for name, a in given.items()}
        result = core.forward(*args, **some, n_threads=1)
        assert_array_equal(result.output, whole.output[part])
        assert_array_equal(result.hidden, whole.hidden[part])
        assert_array_equal(result.h_n, whole.h_n[:, part])
        assert_array_equal(result.c_n, whole.c_n[:, part])
        for actual, expected in zip(core.gate_activations(*args, **some), gates, strict=True):
            assert_array_equal(actual, expected[:, part])


LAYOUTS = {
    "fortran": np.asfortranarray,
    "time-major": lambda X: np.ascontiguousarray(X.swapaxes(0, 1)).swapaxes(0, 1),
    "every-other": lambda X: np.repeat(np.repeat(np.repeat(X, 2, 0), 2, 1), 2, 2)[::2, ::2, ::2],
    "reversed": lambda X: X[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("network", ["all", "all-one-direction"])
def test_the_layout_of_arrays_over_time_does_not_change_a_bit(network, layout):
    case = set_up(Shape(50, 6, 3, 7, 2, 2), **NETWORKS[network])
    changed = {name: LAYOUTS[layout](array) for name, array in over_time(case).items()}
    assert_all_equal(everything(with_arrays(case, changed)), everything(case))


@pytest.mark.parametrize("kind", [list, np.int8, np.uint16, np.int32, "strided"])
def test_lengths_may_be_integers_of_any_kind(kind):
    case = set_up(Shape(20, 6, 3, 7), **NETWORKS["lengths"])
    lengths = case.problem.lengths
    if kind == "strided":
        other = np.repeat(lengths, 2)[::2]
    else:
        other = lengths.tolist() if kind is list else lengths.astype(kind)
    assert_all_equal(everything(case._replace(given={"lengths": other})), everything(case))


@pytest.mark.parametrize(
    "instruction_set",
    [name for name in _config.available_instruction_sets() if name != _config.instruction_set],
)
def test_every_other_instruction_set_of_this_processor_gives_the_numbers(instruction_set):
    selection = (
        "(backward or each_loss or (training and everything)) and agree"
        " or number_of_threads or padding_there_is or depend_on or stream_gives"
    )
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


# -- dropout --------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["plain", "all"])
def test_no_dropout_gives_the_bits_without_whatever_the_seed(network):
    case = set_up(Shape(20, 5, 3, 7, 2, 2), **NETWORKS[network])
    problem, arch, params, given, _ = case
    none = {"dropout": 0.0, "recurrent_dropout": 0.0, "seed": 7}
    data = params, problem.X, problem.y, arch
    for actual, expected in zip(
        core.loss_and_gradient(*data, **none, **given),
        core.loss_and_gradient(*data, **given),
        strict=True,
    ):
        assert_array_equal(actual, expected)
    for actual, expected in zip(train_once(case, **none), train_once(case), strict=True):
        assert_array_equal(actual, expected)


def test_dropout_too_rare_to_happen_changes_nothing():
    problem, arch, params, given, _ = set_up(Shape(20, 5, 3, 7, 2, 2), **NETWORKS["all"])
    data = params, problem.X, problem.y, arch
    rare = {"dropout": 1e-11, "recurrent_dropout": 1e-11}  # the 32-bit threshold is 0
    _, actual = core.loss_and_gradient(*data, **rare, **given)
    _, expected = core.loss_and_gradient(*data, **given)
    assert 0 < deviation(actual, expected) < 1e-9


def observed_mask(case, visit, t, **options):
    """What dropout multiplied the top layer's last hidden state by, read off the gradient of V."""
    problem, arch, params, _, _ = case
    lengths = np.full(len(problem.X), t + 1)
    only_one = np.zeros(len(problem.X))
    only_one[visit] = 1
    far = np.full((len(problem.X), 1), -1e9)  # so that the loss's gradient is 1
    _, gradient = core.loss_and_gradient(
        params, problem.X, far, arch,
        loss=core.AbsoluteError(), sample_weight=only_one, lengths=lengths, **options,
    )  # fmt: skip
    _, clean = core.loss_and_gradient(
        params, problem.X, far, arch,
        loss=core.AbsoluteError(), sample_weight=only_one, lengths=lengths,
    )  # fmt: skip
    V, V_clean = (core.unpack_parameters(g, arch)["V"][:, 0] for g in (gradient, clean))
    return V / V_clean


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_dropout_keeps_the_share_it_should_and_scales_what_it_keeps(p):
    case = set_up(Shape(8, 6, 2, 64))
    masks = np.array([[observed_mask(case, n, t, dropout=p) for t in range(6)] for n in range(8)])
    kept = masks != 0
    assert_allclose(masks[kept], 1 / (1 - p), rtol=1e-12)
    standard_error = np.sqrt(p * (1 - p) / masks.size)
    assert abs(kept.mean() - (1 - p)) < 4 * standard_error
    for axis in (0, 1, 2):  # and no unit, step or sample is dropped more than others
        shares = kept.mean(axis=axis)
        spread = np.sqrt(p * (1 - p) / kept.shape[axis])
        assert shares.std() == pytest.approx(spread, rel=0.25)


def test_dropout_differs_between_visits_steps_and_seeds():
    case = set_up(Shape(8, 6, 2, 64))
    places = [(n, t, seed) for n in range(8) for t in range(6) for seed in (0, 1)]
    kept = np.array([observed_mask(case, n, t, dropout=0.5, seed=s) != 0 for n, t, s in places])
    agreement = (kept[:, np.newaxis] == kept).mean(axis=2)[np.triu_indices(len(places), 1)]
    assert agreement.mean() == pytest.approx(0.5, abs=0.01)
    assert agreement.std() == pytest.approx(np.sqrt(0.25 / 64), rel=0.1)
    assert agreement.max() < 0.85


def test_dropout_differs_between_layers_directions_and_where_it_is():
    problem, arch, params, _, _ = set_up(Shape(1, 2, 2, 64, 3), bidirectional=True)
    _, gradient = core.loss_and_gradient(
        params, problem.X, problem.y, arch, dropout=0.5, recurrent_dropout=0.5
    )
    arrays = core.unpack_parameters(gradient, arch)
    halves = [*np.split(arrays["V"], 2), *(arrays[name] for name in arrays if name[0] == "U")]
    kept = np.array([rows.any(axis=1) for rows in halves])  # U sees one step before: one mask
    assert len(kept) == 8
    agreement = (kept[:, np.newaxis] == kept).mean(axis=2)[np.triu_indices(8, 1)]
    assert ((agreement > 0.25) & (agreement < 0.75)).all()


def test_dropout_of_a_lower_layer_is_what_the_layer_above_does_not_read():
    problem, arch, params, _, _ = set_up(Shape(1, 1, 2, 64, 3))
    _, gradient = core.loss_and_gradient(params, problem.X, problem.y, arch, dropout=0.5, seed=4)
    arrays = core.unpack_parameters(gradient, arch)
    kept = np.array([arrays[name].any(axis=1) for name in ("W1", "W2", "V")])
    masks = dropout_masks(problem.p, 1, 0.5, 0, 4, [0]).output[:, 0, 0]
    assert_array_equal(kept, masks != 0)
    assert len({tuple(row) for row in kept}) == 3


def test_recurrent_dropout_drops_the_same_units_at_every_step():
    problem, arch, params, _, _ = set_up(Shape(1, 20, 2, 64))
    _, gradient = core.loss_and_gradient(params, problem.X, problem.y, arch, recurrent_dropout=0.5)
    kept = core.unpack_parameters(gradient, arch)["U0"].any(axis=1)
    assert_array_equal(kept, dropout_masks(problem.p, 20, 0, 0.5, 0, [0]).recurrent[0, 0] != 0)
    assert 20 < kept.sum() < 44


@pytest.mark.parametrize("network", ["plain", "all"])
def test_dropout_does_not_depend_on_the_size_of_the_batches(network):
    case = set_up(Shape(N_TRAINED, 5, 3, 7, 2, 2), **NETWORKS[network])
    problem, arch, params, given, _ = case
    still = {"learning_rate": 0.0}
    expected, _ = core.loss_and_gradient(params, problem.X, problem.y, arch, **DROP, **given)
    for batch_size in (1, 7, 16, N_TRAINED):
        optimizer = core.SGD(params.size, np.float64, **still)
        loss, trained = train_once(case, optimizer, batch_size=batch_size, **DROP)
        assert loss == pytest.approx(expected, rel=1e-13)
        assert_array_equal(trained, params)


# -- streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask_missing", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("return_sequences", [False, True], ids=["final", "sequences"])
@pytest.mark.parametrize(
    "shape", [Shape(2, 9, 1, 1), Shape(3, 20, 5, 33, 3, 2), Shape(2, 9, 3, 8, 2)]
)
def test_stream_gives_the_bits_of_forward_at_every_step(
    shape, return_sequences, mask_missing, dtype
):
    options = {"return_sequences": return_sequences, "mask_missing": mask_missing}
    problem, arch, params, *_ = set_up(shape, dtype, **options)
    stream = core.Stream(params, arch)
    for n, sequence in enumerate(problem.X):
        states = {name: state[:, n : n + 1] for name, state in problem.states.items()}
        if n == 0:
            states = {}
        else:  # also forgets what was observed of the sequence before
            stream.states = [state[:, 0] for state in states.values()]
        for t, x in enumerate(sequence):
            output = stream.step(x)
            whole = core.forward(params, sequence[np.newaxis, : t + 1], arch, **states)
            assert_array_equal(output, whole.output[0, t] if return_sequences else whole.output[0])
            assert_array_equal(stream.states, [whole.h_n[:, 0], whole.c_n[:, 0]])


@pytest.mark.parametrize("forget", ["reset", "states"])
def test_a_stream_forgets_what_it_observed_when_it_starts_anew(forget):
    _, arch, params, *_ = set_up(Shape(1, 2, 3, 5), mask_missing=True)
    nothing = np.full(3, np.nan)

    stream = core.Stream(params, arch)
    first = stream.step(nothing)
    zeros = np.zeros_like(stream.states)
    stream.step(np.ones(3))
    assert not np.array_equal(stream.step(nothing), first)
    stream.step(np.ones(3))
    if forget == "reset":
        stream.reset()
        assert_array_equal(stream.states, zeros)
    else:
        stream.states = zeros
    assert_array_equal(stream.step(nothing), first)


def test_a_bidirectional_network_does_not_stream():
    _, arch, params, *_ = set_up(Shape(), bidirectional=True)
    with pytest.raises(ValueError, match="bidirectional"):
        core.Stream(params, arch)


# -- parameters -----------------------------------------------------------------------------------


def test_parameters_lie_in_the_documented_order():
    arch = core.Architecture(
        n_features=3, hidden_size=2, num_layers=2, n_outputs=5,
        bidirectional=True, mask_missing=True,
    )  # fmt: skip
    shapes = {
        "W0": (6, 8), "U0": (2, 8), "b0": (8,),
        "W0_reverse": (6, 8), "U0_reverse": (2, 8), "b0_reverse": (8,),
        "W1": (4, 8), "U1": (2, 8), "b1": (8,),
        "W1_reverse": (4, 8), "U1_reverse": (2, 8), "b1_reverse": (8,),
        "V": (4, 5), "d": (5,),
    }  # fmt: skip
    assert core.parameter_shapes(arch) == shapes
    assert list(core.parameter_shapes(arch)) == list(shapes)
    assert core.n_parameters(arch) == 2 * (48 + 16 + 8) + 2 * (32 + 16 + 8) + 20 + 5
    params = np.arange(core.n_parameters(arch), dtype=np.float64)
    arrays = core.unpack_parameters(params, arch)
    assert_array_equal(np.concatenate([array.ravel() for array in arrays.values()]), params)
    assert_array_equal(core.pack_parameters(arrays, arch, np.float64), params)


def test_both_directions_start_from_parameters_of_the_same_kind_but_not_the_same():
    arch = core.Architecture(3, 16, 2, bidirectional=True)
    arrays = core.unpack_parameters(core.init_parameters(arch, random_state=0), arch)
    for layer in range(2):
        assert_array_equal(arrays[f"b{layer}_reverse"], np.repeat([0, 1, 0, 0], 16))
        W, U = arrays[f"W{layer}"], arrays[f"U{layer}_reverse"]
        assert not np.array_equal(arrays[f"W{layer}_reverse"], W)
        assert np.abs(arrays[f"W{layer}_reverse"]).max() <= np.sqrt(6 / (len(W) + 16)) * (1 + 1e-6)
        for block in np.split(U.astype(float), 4, axis=1):
            assert_allclose(block @ block.T, np.eye(16), atol=1e-5)


@pytest.mark.parametrize("options", [ALL_OPTIONS, FINAL_OUTPUT], ids=["sequences", "final"])
def test_no_samples_are_no_results(options):
    _, arch, params, *_ = set_up(Shape(1, 4, 3, 5, 2, 2), **options)
    X, lengths = np.zeros((0, 4, 3)), np.zeros(0, int)
    output = (0, 4, 2) if arch.return_sequences else (0, 2)
    result = core.forward(params, X, arch, lengths=lengths)
    assert [array.shape for array in result] == [output, (0, 4, 10), (4, 0, 5), (4, 0, 5)]
    assert core.predict(params, X, arch, lengths=lengths).shape == output
    gates = core.gate_activations(params, X, arch, lengths=lengths)
    assert {array.shape for array in gates} == {(4, 0, 4, 5)}
    gradients = core.backward(params, X, arch, d_output=np.zeros(output), lengths=lengths)
    assert_array_equal(gradients.d_params, np.zeros_like(params))
    assert gradients.d_X.shape == (0, 4, 3)


# -- what is refused ------------------------------------------------------------------------------

FORWARD = ("forward", "predict", "gate_activations", "backward")
TRAIN = ("loss_and_gradient", "train")


def call(function, *, loss="squared", n_outputs=2, **changed):
    """Call a function of the core with valid arguments, some of them changed."""
    network = {name: changed.pop(name) for name in OPTIONS[:3] if name in changed}
    shape = Shape(6, 4, 3, 5, 2, n_outputs)
    case = set_up(shape, lengths=True, **network)
    problem, arch, params, given, _ = case
    args = [params, problem.X]
    if function in TRAIN:
        loss_object = LOSSES[loss][0] if isinstance(loss, str) else loss
        args += [changed.pop("y", problem.y)]
        given |= {"loss": loss_object}
    args += [arch]
    if function == "train":
        args += [changed.pop("optimizer", core.SGD(params.size, np.float64))]
        given |= {"order": np.arange(6), "batch_size": 2}
    return getattr(core, function)(*args, **(given | changed))


WRONG_LENGTHS = {
    "fractions": (np.full(6, 2.0), (TypeError, ValueError), "lengths"),
    "bools": (np.ones(6, bool), (TypeError, ValueError), "lengths"),
    "text": (np.full(6, "a"), (TypeError, ValueError), "lengths"),
    "one too long": (np.array([1, 2, 3, 4, 4, 5]), ValueError, "lengths.*4"),
    "one zero": (np.array([1, 2, 3, 4, 4, 0]), ValueError, "lengths.*0"),
    "one negative": (np.array([1, 2, 3, 4, 4, -1]), ValueError, "lengths.*-1"),
    "beyond 64 bits": (np.full(6, 2**64 - 1, np.uint64), (OverflowError, ValueError), "lengths"),
    "too few": (np.ones(5, int), ValueError, "lengths.*6"),
    "2-D": (np.ones((6, 1), int), ValueError, "lengths.*6"),
    "a number": (4, ValueError, "lengths"),
}


@pytest.mark.parametrize("wrong", WRONG_LENGTHS)
@pytest.mark.parametrize("function", FORWARD + TRAIN)
def test_wrong_lengths_are_refused(function, wrong):
    call(function)
    lengths, error, message = WRONG_LENGTHS[wrong]
    with pytest.raises(error, match=message):
        call(function, lengths=lengths)


def classes(*values):
    return np.array(values, float)[:, np.newaxis]


TARGETS = {  # loss, outputs of the network, targets that are right and some that are not
    "squared: fewer targets": ("squared", 2, np.zeros((6, 2)), np.zeros((6, 1))),
    "squared: a time axis": ("squared", 2, np.zeros((6, 2)), np.zeros((6, 4, 2))),
    "quantiles: a target per output": ("quantiles", 3, np.zeros((6, 1)), np.zeros((6, 3))),
    "quantiles: two targets": ("quantiles", 3, np.zeros((6, 1)), np.zeros((6, 2))),
    "gaussian: a target per output": ("gaussian", 4, np.zeros((6, 2)), np.zeros((6, 4))),
    "log-loss: one-hot": ("log-loss", 4, np.zeros((6, 1)), np.zeros((6, 4))),
    "log-loss: 1-D": ("log-loss", 4, np.zeros((6, 1)), np.zeros(6)),
    "log-loss: class too high": (
        "log-loss", 4, classes(0, 1, 2, 3, 3, 3), classes(0, 1, 2, 3, 3, 4),
    ),
    "log-loss: class negative": (
        "log-loss", 4, classes(0, 1, 2, 3, 3, 3), classes(0, 1, 2, 3, 3, -1),
    ),
    "log-loss: class between": (
        "log-loss", 4, classes(0, 1, 2, 3, 3, 3), classes(0, 1, 2, 3, 3, 2.5),
    ),
    "log-loss: class nan": (
        "log-loss", 4, classes(0, 1, 2, 3, 3, 3), classes(0, 1, 2, 3, 3, np.nan),
    ),
    "poisson: negative": ("poisson", 1, classes(0, 1, 2, 3, 3, 3), classes(0, 1, 2, 3, 3, -0.5)),
}  # fmt: skip


@pytest.mark.parametrize("row", TARGETS)
@pytest.mark.parametrize("function", TRAIN)
def test_targets_that_do_not_fit_the_loss_are_refused(function, row):
    loss, n_outputs, right, wrong = TARGETS[row]
    call(function, loss=loss, n_outputs=n_outputs, y=right)
    with pytest.raises(ValueError, match=r"\by\b|class"):
        call(function, loss=loss, n_outputs=n_outputs, y=wrong)


@pytest.mark.parametrize("function", TRAIN)
def test_targets_without_a_time_axis_are_refused_where_outputs_are_sequences(function):
    call(function, return_sequences=True, y=np.zeros((6, 4, 2)))
    for shape in [(6, 2), (6, 3, 2), (6, 4, 1)]:
        with pytest.raises(ValueError, match="y"):
            call(function, return_sequences=True, y=np.zeros(shape))


@pytest.mark.parametrize("function", TRAIN)
@pytest.mark.parametrize(
    ("loss", "n_outputs"), [("quantiles", 4), ("gaussian", 3), ("log-loss", 3)]
)
def test_a_network_whose_outputs_do_not_suit_the_loss_is_refused(loss, n_outputs, function):
    with pytest.raises(ValueError, match=r"output|\by\b"):
        call(function, loss=loss, n_outputs=n_outputs, y=np.zeros((6, 1)))


@pytest.mark.parametrize("loss", ["poisson", "log-loss"])
@pytest.mark.parametrize("function", TRAIN)
def test_targets_are_checked_where_they_are_read_and_not_in_the_padding(function, loss):
    n_outputs = LOSSES[loss][0].n_outputs(1)
    lengths = np.array([1, 2, 3, 4, 4, 4])
    y = np.ones((6, 4, 1))
    y[0, 1:] = y[1, 2:] = -1
    options = {"loss": loss, "n_outputs": n_outputs, "return_sequences": True}
    call(function, y=y, lengths=lengths, **options)
    y[2, 2] = -1
    with pytest.raises(ValueError, match=r"\by\b|class"):
        call(function, y=y, lengths=lengths, **options)


BAD_LOSSES = {
    "quantile 0": lambda: core.Quantile(0.0),
    "quantile 1": lambda: core.Quantile(1.0),
    "quantile nan": lambda: core.Quantile(np.nan),
    "one quantile of several": lambda: core.Quantile((0.1, 0.5, 1.5)),
    "no quantile": lambda: core.Quantile(()),
    "delta 0": lambda: core.Huber(0.0),
    "delta negative": lambda: core.Huber(-1.0),
    "delta nan": lambda: core.Huber(np.nan),
    "no class": lambda: core.LogLoss(0),
}


@pytest.mark.parametrize("bad", BAD_LOSSES)
def test_losses_of_bad_settings_are_refused(bad):
    with pytest.raises(ValueError, match=r"quantile|delta|n_classes"):
        BAD_LOSSES[bad]()


N_PARAMS = core.n_parameters(core.Architecture(3, 5, 2, 2))
WRONG = {
    "dropout 1": ("dropout", 1.0, ValueError),
    "dropout negative": ("dropout", -0.1, ValueError),
    "dropout nan": ("dropout", np.nan, ValueError),
    "recurrent_dropout 1": ("recurrent_dropout", 1.0, ValueError),
    "recurrent_dropout negative": ("recurrent_dropout", -0.1, ValueError),
    "recurrent_dropout nan": ("recurrent_dropout", np.nan, ValueError),
    "seed negative": ("seed", -1, (OverflowError, ValueError)),
    "seed fraction": ("seed", 0.5, (TypeError, ValueError)),
    "loss a number": ("loss", 3, TypeError),
    "max_grad_value 0": ("max_grad_value", 0.0, ValueError),
    "max_grad_value negative": ("max_grad_value", -1.0, ValueError),
    "max_grad_value nan": ("max_grad_value", np.nan, ValueError),
    "average too short": ("average", (np.zeros(N_PARAMS - 1), 0.9), ValueError),
    "average 2-D": ("average", (np.zeros((1, N_PARAMS)), 0.9), ValueError),
    "average of another dtype": (
        "average", (np.zeros(N_PARAMS, np.float32), 0.9), (TypeError, ValueError),
    ),
    "average that cannot be written": (
        "average", (np.frombuffer(bytes(8 * N_PARAMS)), 0.9), ValueError,
    ),
    "average strided": ("average", (np.zeros(2 * N_PARAMS)[::2], 0.9), ValueError),
    "average decays beyond": ("average", (np.zeros(N_PARAMS), 1.5), ValueError),
    "average decays below": ("average", (np.zeros(N_PARAMS), -0.1), ValueError),
}  # fmt: skip


@pytest.mark.parametrize(
    ("function", "row"),
    [
        (function, row)
        for function in TRAIN
        for row, (name, *_) in WRONG.items()
        if function == "train" or name not in ("max_grad_value", "average")
    ],
)
def test_wrong_options_of_training_are_refused_by_name(function, row):
    name, value, error = WRONG[row]
    with pytest.raises(error, match=name):
        call(function, **{name: value})


def test_learning_rates_must_be_one_for_each_batch():
    def train(learning_rate):
        optimizer = core.SGD(N_PARAMS, np.float64, learning_rate=learning_rate)
        return call("train", optimizer=optimizer)  # three batches

    assert train(np.full(3, 0.1)) == train(0.1)
    for wrong in (np.full(2, 0.1), np.full(4, 0.1), np.full((3, 1), 0.1)):
        with pytest.raises(ValueError, match="learning_rate"):
            train(wrong)


def test_a_bidirectional_network_is_not_trained_statefully():
    call("train", bidirectional=True, optimizer=bidirectional_optimizer())
    with pytest.raises(ValueError, match="stateful"):
        call("train", bidirectional=True, optimizer=bidirectional_optimizer(), stateful=True)


def bidirectional_optimizer():
    arch = core.Architecture(3, 5, 2, 2, bidirectional=True)
    return core.SGD(core.n_parameters(arch), np.float64)


def test_missing_values_spread_where_they_are_not_asked_for():
    problem, arch, params, *_ = set_up(Shape(6, 4, 3, 5, 2, 2))
    problem.X[2, 1, 0] = np.nan
    assert np.isnan(core.predict(params, problem.X, arch)[2]).all()
    assert np.isnan(core.loss_and_gradient(params, problem.X, problem.y, arch)[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("network", ["all", "bidirectional", "all-one-direction"])
def test_a_bad_sample_leaves_the_others_alone(network, bad, dtype):
    problem, arch, params, given, _ = set_up(Shape(50, 6, 3, 9, 2, 2), dtype, **NETWORKS[network])
    problem.lengths[20] = 5
    clean = core.forward(params, problem.X, arch, **given)
    problem.X[20, 3] = bad
    dirty = core.forward(params, problem.X, arch, **given)
    others = np.arange(50) != 20
    assert not np.array_equal(dirty.hidden[20], clean.hidden[20])
    assert_array_equal(dirty.output[others], clean.output[others])
    assert_array_equal(dirty.hidden[others], clean.hidden[others])
    assert_array_equal(dirty.c_n[:, others], clean.c_n[:, others])
    gradients = core.backward(params, problem.X, arch, **problem.upstream, **given)
    assert np.isfinite(gradients.d_X[others]).all()


def test_long_sums_of_the_head_bias_keep_their_precision():
    n, T = 1024, 50
    arch = core.Architecture(n_features=1, hidden_size=2, return_sequences=True)
    params = core.init_parameters(arch, random_state=0)
    d_output = np.random.default_rng(0).uniform(0.5, 1.5, (n, T, 1)).astype(np.float32)
    gradients = core.backward(params, np.zeros((n, T, 1), np.float32), arch, d_output=d_output)
    expected = d_output.sum(dtype=np.float64)
    assert abs(gradients.d_params[-1] - expected) < 1e-6 * expected
