"""Hidden sizes that fill no register, whose last units several samples share; the step from zero states."""

import numpy as np
import pytest
import reference
from helpers.kernels import (
    DTYPES,
    NETWORKS,
    TOLERANCE,
    assert_all_equal,
    assert_parameters_agree,
    everything,
    set_up,
)
from numpy.testing import assert_array_equal
from reference import Shape, deviation

from pylstm import core

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]

SIZES = [*range(1, 34), 50, 100]
OPTIONS = {"all steps": {}, "lengths": NETWORKS["all-one-direction"]}


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("hidden_size", SIZES)
def test_every_hidden_size_agrees_with_the_reference(hidden_size, options, dtype):
    case = set_up(Shape(7, 3, 2, hidden_size, 1, 2), dtype, **options)
    (p, X, *_), arch, params, given, sequences = case
    assert deviation(
        core.predict(params, X, arch, **given),
        reference.forward(p, X, **given, **sequences).output,
    ) < TOLERANCE[dtype]  # fmt: skip
    upstream = case.problem.upstream
    actual = core.backward(params, X, arch, **upstream, **given)
    expected = reference.backward(p, X, **upstream, **given, **sequences)
    assert_parameters_agree(actual.d_params, expected.d_params, arch, TOLERANCE[dtype])
    assert deviation(actual.d_X, expected.d_X) < TOLERANCE[dtype]


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden_size", [1, 2, 5, 10, 12, 14, 19, 28])
def test_a_sample_has_the_same_bits_whichever_samples_share_its_registers(hidden_size, dtype):
    problem, arch, params, *_ = set_up(Shape(19, 4, 2, hidden_size), dtype)
    together = core.forward(params, problem.X, arch)
    gates = core.gate_activations(params, problem.X, arch)
    for chosen in ([3], [18, 0], [5, 6, 7], [1, 2, 3, 4, 9]):
        few = core.forward(params, problem.X[chosen], arch)
        assert_array_equal(few.hidden, together.hidden[chosen])
        assert_array_equal(few.c_n, together.c_n[:, chosen])
        few_gates = core.gate_activations(params, problem.X[chosen], arch)
        for alone, all_of_them in zip(few_gates, gates, strict=True):
            assert_array_equal(alone, all_of_them[:, chosen])


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("shape", [Shape(5, 1, 3, 10), Shape(35, 4, 1, 16), Shape(20, 70, 17, 7)])
def test_no_states_and_states_of_zero_give_the_same_bits(shape, options, dtype):
    case = set_up(shape, dtype, **options)
    zeros = np.zeros((1, shape.n_samples, shape.hidden_size), dtype)
    explicit = case._replace(given=case.given | {"h0": zeros, "c0": zeros})
    assert_all_equal(everything(explicit), everything(case))


def test_weights_that_zero_states_never_meet_need_not_be_finite():
    problem, arch, params, *_ = set_up(Shape(3, 1, 2, 5))
    arrays = core.unpack_parameters(params, arch)
    changed = core.pack_parameters(arrays | {"U0": np.full_like(arrays["U0"], np.inf)}, arch, float)
    assert_array_equal(
        core.predict(changed, problem.X, arch), core.predict(params, problem.X, arch)
    )
