"""Losses: against the NumPy reference, central differences and their formulas."""

import numpy as np
import pytest
import reference
from helpers.kernels import (
    DTYPES,
    LOSSES,
    TOLERANCE,
    assert_parameters_agree,
    central_differences,
    random_weights,
    set_up_loss,
)
from numpy.testing import assert_allclose, assert_array_equal
from reference import Shape

from pylstm import core

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]

LOSS_SHAPES = [
    Shape(1, 1, 1, 3),
    Shape(17, 6, 3, 5, 2, 2),
    Shape(50, 3, 1, 16, 1, 3),
    Shape(2, 9, 2, 17, 3),
]
DROPOUT = [
    {},
    {"dropout": 0.4, "seed": 3},
    {"recurrent_dropout": 0.3, "seed": 2**64 - 1},
    {"dropout": 0.5, "recurrent_dropout": 0.2},
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("lengths", [False, True], ids=["full", "lengths"])
@pytest.mark.parametrize("return_sequences", [False, True], ids=["final", "sequences"])
@pytest.mark.parametrize("loss", LOSSES)
def test_loss_and_gradient_agree_with_the_reference(loss, return_sequences, lengths, dtype):
    ours, theirs = LOSSES[loss]
    turn = list(LOSSES).index(loss)  # so that each shape meets each kind of dropout
    for number, shape in enumerate(LOSS_SHAPES):
        dropout = DROPOUT[(number + turn) % 4]
        network = {"bidirectional": number % 2 == 1, "mask_missing": number == 3}
        network |= {"return_sequences": return_sequences, "lengths": lengths}
        case = set_up_loss(loss, shape, dtype, **network)
        weights = None if number == 0 else random_weights(shape.n_samples, dtype)
        assert_loss_agrees(case, ours, theirs, sample_weight=weights, alpha=0.3 * number, **dropout)


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
