"""Inputs scaled on their way into the network, and the statistics that windows are scaled by."""

import numpy as np
import pytest
from helpers.kernels import (
    ALL_OPTIONS,
    DTYPES,
    NETWORKS,
    assert_all_equal,
    call,
    central_differences,
    everything,
    set_up,
)
from numpy.testing import assert_allclose, assert_array_equal
from reference import Shape, deviation

from pylstm import core
from pylstm._options import Scaling

pytestmark = pytest.mark.kernels

SHAPE = Shape(40, 6, 3, 9, 2, 2)


def random_scaling(X, by_sample=True):
    rng = np.random.default_rng(0)
    shape = (len(X), X.shape[2]) if by_sample else X.shape[2:]
    return rng.normal(size=shape), rng.uniform(0.5, 2, size=shape)


def scaled(X, scaling, dtype):
    center, factor = (np.broadcast_to(array, (len(X), X.shape[2])) for array in scaling)
    return ((X.astype(float) - center[:, np.newaxis]) * factor[:, np.newaxis]).astype(dtype)


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("by_sample", [False, True])
@pytest.mark.parametrize("network", ["all", "highway-all"])
def test_scaling_gives_the_bits_of_scaled_inputs(network, by_sample, dtype):
    problem, arch, params, given, _ = set_up(SHAPE, dtype, **NETWORKS[network])
    X, y, scaling = problem.X, problem.y, random_scaling(problem.X, by_sample)
    X_scaled, options = scaled(X, scaling, dtype), given | {"scaling": scaling}
    for function in (core.predict, core.forward, core.gate_activations):
        assert_all_equal(
            enumerate(function(params, X, arch, **options)),
            enumerate(function(params, X_scaled, arch, **given)),
        )
    for value, expected in zip(
        core.loss_and_gradient(params, X, y, arch, **options),
        core.loss_and_gradient(params, X_scaled, y, arch, **given),
        strict=True,
    ):
        assert_array_equal(value, expected)
    results = []
    for inputs, settings in ((X, options), (X_scaled, given)):
        trained, optimizer = params.copy(), core.Adam(params.size, dtype)
        order = np.arange(len(X))[::-1]
        core.train(trained, inputs, y, arch, optimizer, order=order, batch_size=7, **settings)
        results.append(trained)
    assert_array_equal(*results)


@pytest.mark.parametrize("network", ["all", "highway-all"])
def test_gradients_of_the_inputs_are_those_of_the_values_before_scaling(network):
    problem, arch, params, given, _ = set_up(Shape(3, 4, 2, 3, 2, 2), **NETWORKS[network])
    given = given | {"scaling": random_scaling(problem.X)}
    d_output = problem.upstream["d_output"]
    gradient = core.backward(params, problem.X, arch, d_output=d_output, **given).d_X

    def value(X):
        output = core.predict(params, X, arch, **given)
        return (output * d_output).sum()

    expected = central_differences(value, problem.X)
    assert deviation(gradient, np.nan_to_num(expected)) < 1e-7


@pytest.mark.parametrize("network", [ALL_OPTIONS, NETWORKS["highway-all"]], ids=str)
def test_X_of_the_other_dtype_is_read_as_if_converted(network):
    case = set_up(SHAPE, np.float32, **network)
    doubles = case.problem.X.astype(np.float64) * (1 + 1e-9)  # not float32's numbers
    converted = case._replace(problem=case.problem._replace(X=doubles.astype(np.float32)))
    assert_all_equal(
        everything(case._replace(problem=case.problem._replace(X=doubles))), everything(converted)
    )


def test_digits_that_the_network_s_dtype_lacks_survive_the_scaling():
    arch = core.Architecture(1, 4)
    params = core.init_parameters(arch, random_state=0)
    X = np.random.default_rng(0).normal(size=(5, 6, 1))
    level = 1e9  # where float32 has steps of 64
    scaling = [level], [1.0]
    assert_allclose(
        core.predict(params, X + level, arch, scaling=scaling),
        core.predict(params, X, arch),
        atol=1e-6,
    )


def expected_statistics(X, lengths, kind):
    center, scale = np.zeros((2, len(X), X.shape[2]))
    for n, f in np.ndindex(center.shape):
        x = X[n, : lengths[n], f]
        x = x[~np.isnan(x)]
        if x.size:
            centers = {"last": x[-1], "mean": 0, "standard": x.mean(), "relative": x[-1]}
            center[n, f] = centers[kind]
            magnitude = np.abs(x).mean()
            deviation = max(x.std(), 1e-3 * magnitude)
            scales = {"last": 1, "mean": magnitude, "standard": deviation, "relative": magnitude}
            scale[n, f] = scales[kind]
    return center, np.where(scale > 0, scale, 1)


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["last", "mean", "standard", "relative"])
def test_statistics_are_of_the_observed_steps(kind, dtype):
    problem = set_up(SHAPE, dtype, mask_missing=True).problem
    X = problem.X.copy()
    X[0], X[1], X[2, :, 0] = 7, 0, np.nan  # constant, zeros, nothing observed
    center, scale = core.window_statistics(X, kind, lengths=problem.lengths)
    expected = expected_statistics(X.astype(float), problem.lengths, kind)
    assert_allclose(center, expected[0], rtol=1e-14, atol=1e-14)
    assert_allclose(scale, expected[1], rtol=1e-14)
    assert np.isfinite(center).all()
    assert (scale > 0).all()


def test_statistics_do_not_depend_on_threads_or_strides(threads_even_for_little_work):
    X = np.asfortranarray(np.random.default_rng(0).normal(size=(50, 7, 3)))
    one = core.window_statistics(X, "standard", n_threads=1)
    assert_array_equal(one, core.window_statistics(X, "standard", n_threads=4))
    assert_array_equal(one, core.window_statistics(X.copy("C"), "standard", n_threads=3))


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ((np.zeros(2), np.ones(2)), "center must have shape"),
        ((np.zeros(3), np.ones((6, 3))), "factor must have shape"),
        ((np.zeros((5, 3)), np.ones((5, 3))), "center must have shape"),
        ((np.zeros(3, "M8[s]"), np.ones(3)), "center must hold real numbers"),
        ((np.zeros(3),), "scaling must be"),
        (3, "scaling must be"),
    ],
    ids=str,
)
def test_scaling_that_does_not_fit_is_refused(scaling, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call("predict", scaling=scaling)


def test_scaling_may_be_the_named_tuple_that_the_kernels_take():
    assert call("predict", scaling=Scaling(np.zeros(3), np.ones(3))).shape == (6, 2)


def test_window_statistics_refuse_what_they_are_not_defined_for():
    with pytest.raises(ValueError, match="kind must be one of"):
        core.window_statistics(np.zeros((2, 3, 1)), "median")
    with pytest.raises(ValueError, match="three dimensions"):
        core.window_statistics(np.zeros((2, 3)), "last")
