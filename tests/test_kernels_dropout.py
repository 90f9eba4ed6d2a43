"""Dropout: what is dropped, how often, and where it differs."""

import numpy as np
import pytest
from helpers.kernels import DROP, NETWORKS, TRAINING_SHAPE, set_up, train_once
from numpy.testing import assert_allclose, assert_array_equal
from reference import Shape, deviation, dropout_masks

from pylstm import core

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]


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


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("network", ["plain", "all"])
def test_dropout_does_not_depend_on_the_size_of_the_batches(network):
    case = set_up(TRAINING_SHAPE, **NETWORKS[network])
    problem, arch, params, given, _ = case
    still = {"learning_rate": 0.0}
    expected, _ = core.loss_and_gradient(params, problem.X, problem.y, arch, **DROP, **given)
    for batch_size in (1, 7, 16, TRAINING_SHAPE.n_samples):
        optimizer = core.SGD(params.size, np.float64, **still)
        loss, trained = train_once(case, optimizer, batch_size=batch_size, **DROP)
        assert loss == pytest.approx(expected, rel=1e-13)
        assert_array_equal(trained, params)
