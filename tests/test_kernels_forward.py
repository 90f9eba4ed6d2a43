"""The forward pass, against the NumPy reference."""

import numpy as np
import pytest
import reference
from helpers.kernels import (
    ALL_OPTIONS,
    CASES,
    DTYPES,
    FINAL_OUTPUT,
    NETWORKS,
    TOLERANCE,
    set_up,
)
from numpy.testing import assert_array_equal
from reference import Shape, deviation

from pylstm import core

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]


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
@pytest.mark.parametrize("network", ["plain", "all"])
def test_predict_returns_the_final_states_of_forward(network, dtype):
    problem, arch, params, given, _ = set_up(Shape(50, 5, 3, 7, 2, 2), dtype, **NETWORKS[network])
    expected = core.forward(params, problem.X, arch, **given)
    output, h_n, c_n = core.predict(params, problem.X, arch, return_states=True, **given)
    assert_array_equal(output, expected.output)
    assert_array_equal(h_n, expected.h_n)
    assert_array_equal(c_n, expected.c_n)


@pytest.mark.parametrize(
    "options", [{}, FINAL_OUTPUT, ALL_OPTIONS], ids=["plain", "final", "sequences"]
)
def test_no_samples_are_no_results(options):
    _, arch, params, *_ = set_up(Shape(1, 4, 3, 5, 2, 2), **options)
    D = 1 + arch.bidirectional
    X, lengths = np.zeros((0, 4, 3)), np.zeros(0, int) if "lengths" in options else None
    output = (0, 4, 2) if arch.return_sequences else (0, 2)
    states = (2 * D, 0, 5)
    result = core.forward(params, X, arch, lengths=lengths)
    assert [array.shape for array in result] == [output, (0, 4, 5 * D), states, states]
    assert core.predict(params, X, arch, lengths=lengths).shape == output
    gates = core.gate_activations(params, X, arch, lengths=lengths)
    assert {array.shape for array in gates} == {(2 * D, 0, 4, 5)}
    gradients = core.backward(params, X, arch, d_output=np.zeros(output), lengths=lengths)
    assert_array_equal(gradients.d_params, np.zeros_like(params))
    assert gradients.d_X.shape == (0, 4, 3)
    assert gradients.d_h0.shape == gradients.d_c0.shape == states
