"""Training in the core: against the NumPy reference, and what it promises by itself."""

import copy
import pickle

import numpy as np
import pytest
import reference
from helpers.kernels import (
    BATCH_SIZE,
    DROP,
    DTYPES,
    LOSSES,
    N_BATCHES,
    NETWORKS,
    TOLERANCE,
    TRAINING_SHAPE,
    assert_parameters_agree,
    random_weights,
    set_up,
    set_up_loss,
    train_once,
    train_passes,
)
from numpy.testing import assert_allclose, assert_array_equal
from reference import deviation

from pylstm import core

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]

OPTIMIZERS = {
    "adam": (core.Adam, reference.Adam, {"learning_rate": 1e-2}),
    "adam-other": (
        core.Adam,
        reference.Adam,
        {"learning_rate": 1e-2, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-4},
    ),
    "adam-defaults": (core.Adam, reference.Adam, {}),
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
    "sgd-nesterov": (core.SGD, reference.SGD, {"learning_rate": 0.05}),
    "sgd-momentum": (core.SGD, reference.SGD, {"learning_rate": 0.05, "nesterov": False}),
    "sgd-plain": (core.SGD, reference.SGD, {"learning_rate": 0.1, "momentum": 0.0}),
    "sgd-defaults": (core.SGD, reference.SGD, {}),
}
WEIGHTS = random_weights(TRAINING_SHAPE.n_samples, float)
CLIPPED = {"max_grad_value": 0.01, "max_grad_norm": 0.05}
BASIC_TRAINING = {
    "plain": {},
    "clipped": {"max_grad_norm": 0.05},
    "hardly-clipped": {"max_grad_norm": 1e6},
    "penalised": {"alpha": 0.5},
    "weighted": {"sample_weight": WEIGHTS},
    "all": {"max_grad_norm": 0.1, "alpha": 0.5, "sample_weight": WEIGHTS},
}
TRAINING = BASIC_TRAINING | {
    "value": {"max_grad_value": 0.005},
    "value-and-norm": {"max_grad_value": 0.005, "max_grad_norm": 0.02},
    "average": {"average": 0.9},
    "stateful": {"stateful": True},
    "dropout": {"dropout": 0.5},
    "recurrent": {"recurrent_dropout": 0.5},
    "rates": {"rates": True},
    "everything": {
        "average": 0.99, "rates": True, "alpha": 0.05, "sample_weight": WEIGHTS, **CLIPPED, **DROP,
    },
    "everything-stateful": {
        "average": 0.0, "rates": True, "alpha": 0.05, "sample_weight": WEIGHTS, "stateful": True,
        **CLIPPED, **DROP,
    },
}  # fmt: skip


def assert_training_agrees(
    case, optimizer, loss="squared", *, n_passes=3, rates=False, average=None, **options
):
    """Some passes change parameters, average and loss as the reference has it."""
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
    for number in range(n_passes):
        order = rng.permutation(len(problem.X))
        if rates:
            learning_rates = settings["learning_rate"] * rng.uniform(0.1, 2, N_BATCHES)
            actual.learning_rate = expected.learning_rate = learning_rates
        passed = options | {"order": order, "batch_size": BATCH_SIZE, "seed": number}
        value = core.train(params, *data, arch, actual, **passed, **ours)
        expected_value = reference.train(p, *data, expected, **passed, **theirs)
        assert value == pytest.approx(expected_value, rel=tolerance)
    assert actual.n_steps == n_passes * N_BATCHES
    assert_parameters_agree(params, p, arch, tolerance)
    assert deviation(params, start) > 0.005
    if average is not None:
        assert_parameters_agree(averaged[0], averaged[1], arch, tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd-nesterov"])
def test_fifty_training_steps_agree_with_the_reference(optimizer, dtype):
    assert_training_agrees(set_up(TRAINING_SHAPE, dtype), optimizer, n_passes=10, **TRAINING["all"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("optimizer", "network", "training"),
    [("adam", network, "plain") for network in NETWORKS]
    + [("adam", "plain", training) for training in TRAINING if training != "plain"]
    + [("sgd-nesterov", "plain", training) for training in BASIC_TRAINING if training != "plain"]
    + [("adam", "all-one-direction", "stateful"), ("adam", "all", "dropout")]
    + [("sgd-nesterov", "lengths", "stateful"), ("sgd-nesterov", "all", "recurrent")]
    + [(optimizer, "plain", "plain") for optimizer in OPTIMIZERS if optimizer != "adam"],
)
def test_training_steps_agree_with_the_reference(optimizer, network, training, dtype):
    case = set_up(TRAINING_SHAPE, dtype, **NETWORKS[network])
    assert_training_agrees(case, optimizer, **TRAINING[training])


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("optimizer", "network", "training"),
    [
        (optimizer, "all", "everything")
        for optimizer, (*_, settings) in OPTIMIZERS.items()
        if "learning_rate" in settings
    ]
    + [
        (optimizer, "all-one-direction", "everything-stateful")
        for optimizer in ("adam", "adamw", "rmsprop", "sgd-nesterov")
    ],
)
def test_training_steps_with_everything_agree_with_the_reference(
    optimizer, network, training, dtype
):
    case = set_up(TRAINING_SHAPE, dtype, **NETWORKS[network])
    assert_training_agrees(case, optimizer, **TRAINING[training])


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("network", ["plain", "all"])
@pytest.mark.parametrize("loss", LOSSES)
def test_training_steps_on_each_loss_agree_with_the_reference(loss, network, dtype):
    case = set_up_loss(loss, TRAINING_SHAPE._replace(num_layers=1), dtype, **NETWORKS[network])
    assert_training_agrees(case, "sgd-nesterov", loss, **DROP)


@pytest.mark.parametrize("optimizer", [core.AdamW, core.SGD])
def test_a_fixed_highway_stays_as_it_is_and_the_rest_learns(optimizer):
    case = set_up(TRAINING_SHAPE, **NETWORKS["highway-all"])
    optimizer = optimizer(case.params.size, np.float64)
    _, trained = train_once(case, optimizer, fixed_highway=True, alpha=0.5, max_grad_norm=0.1)
    before, after = (core.unpack_parameters(p, case.arch) for p in (case.params, trained))
    n_states = 2 * case.arch.hidden_size
    assert_array_equal(after["V"][n_states:], before["V"][n_states:])
    assert (after["V"][:n_states] != before["V"][:n_states]).all()
    assert (after["d"] != before["d"]).all()


@pytest.mark.parametrize("batch_size", [1, 16, 17, 37, 1000])
def test_training_follows_the_order_whatever_it_holds(batch_size):
    problem, arch, params, *_ = set_up(TRAINING_SHAPE)
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


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda opt: pickle.loads(pickle.dumps(opt))])
@pytest.mark.parametrize("optimizer_class", [core.Adam, core.SGD])
def test_a_copied_optimizer_goes_on_where_the_original_was(optimizer_class, copied):
    problem, arch, params, *_ = set_up(TRAINING_SHAPE)
    optimizer = optimizer_class(params.size, np.float64, learning_rate=0.01)
    train_passes(params, problem, arch, optimizer, n_passes=2)
    other, other_params = copied(optimizer), params.copy()
    train_passes(params, problem, arch, optimizer, n_passes=2)
    assert other.n_steps == 10
    train_passes(other_params, problem, arch, other, n_passes=2)
    assert other.n_steps == optimizer.n_steps == 20
    assert_array_equal(other_params, params)


def test_the_learning_rate_may_change_between_passes():
    problem, arch, params, *_ = set_up(TRAINING_SHAPE)
    optimizer, expected = core.Adam(params.size, np.float64), reference.Adam()
    for learning_rate in (0.01, 0.003, 0.001):
        optimizer.learning_rate = expected.learning_rate = learning_rate
        train_passes(params, problem, arch, optimizer)
        reference.train(problem.p, problem.X, problem.y, expected, np.arange(37), 8)
    assert deviation(params, core.pack_parameters(problem.p, arch, np.float64)) < 1e-11


def test_weighted_batches_add_up_to_the_gradient_of_all_samples():
    problem, arch, params, *_ = set_up(TRAINING_SHAPE)
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
    problem, arch, params, *_ = set_up(TRAINING_SHAPE)
    expected, expected_optimizer = params.copy(), core.Adam(params.size, np.float64)
    train_passes(expected, problem, arch, expected_optimizer, order=np.arange(16))
    getattr(problem, culprit)[20, 0] = np.nan  # in the third batch of eight
    optimizer = core.Adam(params.size, np.float64)
    assert np.isnan(train_passes(params, problem, arch, optimizer))
    assert_array_equal(params, expected)
    assert optimizer.n_steps == 2


def test_the_average_stops_with_the_parameters_before_an_update_that_is_not_finite():
    case = set_up(TRAINING_SHAPE)
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


def test_training_on_nothing_changes_nothing():
    problem, arch, params, *_ = set_up(TRAINING_SHAPE)
    trained, optimizer = params.copy(), core.Adam(params.size, np.float64)
    assert train_passes(trained, problem, arch, optimizer, order=np.arange(0)) == 0
    with pytest.raises(ValueError, match="weights must sum to a positive number"):
        train_passes(trained, problem, arch, optimizer, sample_weight=np.zeros(37))
    assert_array_equal(trained, params)
    assert optimizer.n_steps == 0
