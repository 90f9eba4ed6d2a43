"""Extreme inputs and weights: activations, saturation, what is not finite."""

import numpy as np
import pytest
import reference
from helpers.kernels import DTYPES, NETWORKS, one_unit, set_up
from numpy.testing import assert_allclose, assert_array_equal
from reference import Shape, deviation

from pylstm import core

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]
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


@pytest.mark.on_every_instruction_set
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


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("memory", [1e-6, 0.5, 9])
def test_gradients_through_an_output_gate_of_any_width(memory, dtype):
    # h = o tanh(c), from which the backward pass has tanh(c)
    bias = np.linspace(-80, 80, 41, dtype=dtype)
    params, arch = one_unit(dtype, W=(0, 0, 0, 1), b=(SHUT, OPEN, 0, 0))
    states = {"h0": np.zeros((1, 41, 1), dtype), "c0": np.full((1, 41, 1), memory, dtype)}
    gradients = core.backward(
        params, bias.reshape(-1, 1, 1), arch, d_output=np.ones((41, 1), dtype), **states
    )
    o, tanh_c = 1 / (1 + np.exp(-bias.astype(np.longdouble))), np.tanh(np.longdouble(memory))
    eps = np.finfo(dtype).eps
    d_c, d_z = o * (1 - tanh_c**2), tanh_c * o * (1 - o)
    # where tanh(c) is nearly 1, an error in its last place is all of 1 - tanh(c)^2
    assert (np.abs(gradients.d_c0.ravel() - d_c) <= 16 * eps * d_c + 4 * eps * o).all()
    assert (np.abs(gradients.d_X.ravel() - d_z) <= 16 * eps * d_z + 2 * eps).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_overflowing_products_saturate(dtype):
    big = np.finfo(dtype).max
    params, arch = one_unit(dtype, W=(big, big, big, big))
    X = np.full((3, 4, 1), big)  # x W is infinite
    assert_allclose(core.forward(params, X, arch).c_n.ravel(), 4)
    assert_allclose(core.forward(params, -X, arch).c_n.ravel(), 0, atol=1e-30)


@pytest.mark.parametrize("scale", [30, 1000])
def test_large_weights_agree_with_the_reference(scale):
    problem, arch, params, *_ = set_up(Shape(33, 9, 3, 17, 2, 2))
    expected = reference.forward({k: scale * v for k, v in problem.p.items()}, problem.X)
    actual = core.forward(scale * params, problem.X, arch)
    for a, e in zip(actual, expected, strict=True):
        assert deviation(a, e) < 1e-9


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gate", range(4))
def test_nan_passes_through_every_gate(gate, dtype):
    params, arch = one_unit(dtype, W=np.eye(4)[gate])
    assert np.isnan(core.predict(params, np.full((1, 1, 1), np.nan), arch)).all()


def test_missing_values_spread_where_they_are_not_asked_for():
    problem, arch, params, *_ = set_up(Shape(6, 4, 3, 5, 2, 2))
    problem.X[2, 1, 0] = np.nan
    assert np.isnan(core.predict(params, problem.X, arch)[2]).all()
    assert np.isnan(core.loss_and_gradient(params, problem.X, problem.y, arch)[0])


def test_long_sums_of_the_head_bias_keep_their_precision():
    n, T = 1024, 50
    arch = core.Architecture(n_features=1, hidden_size=2, return_sequences=True)
    params = core.init_parameters(arch, random_state=0)
    d_output = np.random.default_rng(0).uniform(0.5, 1.5, (n, T, 1)).astype(np.float32)
    gradients = core.backward(params, np.zeros((n, T, 1), np.float32), arch, d_output=d_output)
    expected = d_output.sum(dtype=np.float64)
    assert abs(gradients.d_params[-1] - expected) < 1e-6 * expected


PLACES = {  # network: where in X
    "plain-first": ("plain", (0, 0, 0)),
    "plain-middle": ("plain", (20, 3, 1)),
    "plain-last": ("plain", (49, 5, 2)),
    "all": ("all", (20, 3)),
    "bidirectional": ("bidirectional", (20, 3)),
    "all-one-direction": ("all-one-direction", (20, 3)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("network", "where"), PLACES.values(), ids=PLACES.keys())
def test_a_bad_sample_leaves_the_others_alone(network, where, bad, dtype):
    problem, arch, params, given, _ = set_up(Shape(50, 6, 3, 9, 2, 2), dtype, **NETWORKS[network])
    problem.lengths[20] = 5
    clean = core.forward(params, problem.X, arch, **given)
    problem.X[where] = bad
    dirty = core.forward(params, problem.X, arch, **given)
    sample, t, *_ = where
    assert not np.array_equal(dirty.hidden[sample], clean.hidden[sample])
    if network == "plain" and np.isnan(bad):
        assert np.isnan(dirty.output[sample]).all()
        assert np.isnan(dirty.hidden[sample, t:]).all()
        assert np.isnan(dirty.h_n[:, sample]).all()
        assert np.isnan(dirty.c_n[:, sample]).all()
    if not arch.bidirectional:
        assert_array_equal(dirty.hidden[sample, :t], clean.hidden[sample, :t])
    others = np.arange(50) != sample
    assert_array_equal(dirty.output[others], clean.output[others])
    assert_array_equal(dirty.hidden[others], clean.hidden[others])
    assert_array_equal(dirty.h_n[:, others], clean.h_n[:, others])
    assert_array_equal(dirty.c_n[:, others], clean.c_n[:, others])
    gradients = core.backward(params, problem.X, arch, **problem.upstream, **given)
    assert np.isfinite(gradients.d_X[others]).all()
