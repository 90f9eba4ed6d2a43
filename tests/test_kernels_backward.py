"""Gradients: against the NumPy reference and central differences."""

import numpy as np
import pytest
import reference
from helpers.kernels import (
    ALL_OPTIONS,
    CASES,
    DTYPES,
    FINAL_OUTPUT,
    TOLERANCE,
    assert_parameters_agree,
    central_differences,
    random_weights,
    set_up,
)
from numpy.testing import assert_allclose
from reference import Shape, deviation, random_shapes

from pylstm import core

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]


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


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "options"), CASES)
def test_backward_agrees_with_the_reference(shape, options, dtype):
    assert_backward_agrees(set_up(shape, dtype, **options))


WIDE_AND_DEEP = [Shape(17, 5, 3, 7, 2, 2), Shape(33, 2, 1, 33, 3, 5)]
ONE_OUTPUT_CASES = [
    pytest.param(shape, options, id=f"{shape}-{name}")
    for shapes, networks in [
        ([Shape(), *WIDE_AND_DEEP], {"from-zero": {}, "from-h0-c0": {"states": True}}),
        (WIDE_AND_DEEP, {"sequences": ALL_OPTIONS, "final": FINAL_OUTPUT}),
    ]
    for shape in shapes
    for name, options in networks.items()
]


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("upstream", ["d_output", "d_hidden", "d_h_n", "d_c_n", "none"])
@pytest.mark.parametrize(("shape", "options"), ONE_OUTPUT_CASES)
def test_backward_from_each_output_alone_agrees_with_the_reference(shape, options, upstream, dtype):
    case = set_up(shape, dtype, **options)
    given = {name: array for name, array in case.problem.upstream.items() if name == upstream}
    assert_backward_agrees(case, given)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        pytest.param(shape, options, id=f"{shape}{name}")
        for shape, networks in [
            (Shape(), {"": {}}),
            (Shape(3, 4, 2, 3, 2, 2), {"": {}, "-sequences": ALL_OPTIONS, "-final": FINAL_OUTPUT}),
            (Shape(17, 3, 1, 2), {"": {}, "-sequences": ALL_OPTIONS, "-final": FINAL_OUTPUT}),
        ]
        for name, options in networks.items()
    ],
)
def test_backward_is_the_central_difference_of_forward(shape, options):
    problem, arch, params, given, _ = set_up(shape, **options)
    inputs = {"params": params, "X": problem.X, **problem.states}
    run = {"arch": arch, "n_threads": 1, "lengths": given.get("lengths")}

    def objective(**changed):
        result = core.forward(**run, **(inputs | changed))
        return sum((getattr(result, name[2:]) * d).sum() for name, d in problem.upstream.items())

    if "lengths" in given:  # what lies in the padding is no part of the result
        valid = np.arange(shape.n_timesteps) < problem.lengths[:, np.newaxis]
        for name in ("d_output", "d_hidden"):
            if problem.upstream[name].ndim == 3:
                problem.upstream[name][~valid] = 0
    gradients = core.backward(**run, **inputs, **problem.upstream)
    for name, value in inputs.items():
        numeric = central_differences(lambda x, name=name: objective(**{name: x}), value)
        assert deviation(getattr(gradients, f"d_{name}"), numeric) < 1e-8, name


@pytest.mark.parametrize("given", ["h0", "c0"])
def test_either_of_the_states_may_be_zeros_that_are_not_given(given):
    case = set_up(Shape(17, 5, 3, 7, 2, 2), bidirectional=True, lengths=True)
    assert_backward_agrees(case._replace(given=case.given | {given: case.problem.states[given]}))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("shape", random_shapes(60)[::4], ids=str)
def test_loss_and_gradient_agree_with_the_reference(shape, weighted, alpha, dtype):
    problem, arch, params, *_ = set_up(shape, dtype)
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


@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize(
    "shape",
    [Shape(), Shape(3, 4, 2, 3, 2, 2), Shape(17, 7, 1, 5), Shape(2, 3, 3, 2, 3, 1)],
    ids=str,
)
def test_gradient_of_the_loss_is_its_central_difference(shape, weighted, alpha):
    problem, arch, params, *_ = set_up(shape)
    options = {"alpha": alpha, "n_threads": 1}
    if weighted:
        options["sample_weight"] = random_weights(shape.n_samples, np.float64)

    def loss(params):
        return core.loss_and_gradient(params, problem.X, problem.y, arch, **options)[0]

    _, gradient = core.loss_and_gradient(params, problem.X, problem.y, arch, **options)
    assert_allclose(gradient, central_differences(loss, params), rtol=0, atol=1e-9)
