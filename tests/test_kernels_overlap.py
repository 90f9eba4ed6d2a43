"""Windows that overlap, whose rows' products with W are computed once: the bits of windows that do not."""

import numpy as np
import pytest
from helpers import dispatch
from helpers.kernels import DTYPES, assert_all_equal, set_up
from numpy.testing import assert_array_equal
from reference import Shape

from pylstm import LSTMRegressor, core, sliding_windows

pytestmark = pytest.mark.kernels

SHAPE = Shape(33, 24, 3, 9, 1, 2)  # blocks of 16, the last one a single window
CASES = {
    "plain": (SHAPE, {}),
    "a feature, whole registers": (Shape(20, 12, 1, 16), {}),
    "wide blocks": (Shape(40, 10, 5, 100), {}),
    "layers and directions": (Shape(33, 24, 3, 10, 2, 2), {"bidirectional": True}),
    "sequences": (SHAPE, {"return_sequences": True}),
    "highway": (SHAPE, {"highway": 2}),
    "states": (SHAPE, {"states": True}),
    "missing": (SHAPE, {"mask_missing": True}),
    "lengths": (SHAPE, {"lengths": True}),
}


def overlapping(shape, step, dtype, reverse=False):
    """A view of windows of one series, each `step` rows after the one before."""
    n_rows = (shape.n_samples - 1) * step + shape.n_timesteps
    series = np.random.default_rng(0).normal(size=(n_rows, shape.n_features)).astype(dtype)
    X, _ = sliding_windows(series, shape.n_timesteps, horizon=0, step=step)
    return X[:, ::-1] if reverse else X


def assert_same_bits(X, case, **options):
    """Of all that goes forward, whether windows share memory or not."""
    apart = np.ascontiguousarray(X)
    options |= case.given
    for function in (core.predict, core.forward, core.gate_activations):
        shared = function(case.params, X, case.arch, **options)
        assert_all_equal(
            enumerate(shared), enumerate(function(case.params, apart, case.arch, **options))
        )


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("step", [1, 2, 5, 23, 24])
@pytest.mark.parametrize(("shape", "options"), CASES.values(), ids=CASES)
def test_windows_that_overlap_have_the_bits_of_copies(shape, options, step, dtype):
    case = set_up(shape, dtype, **options)
    X = overlapping(shape, step, dtype)
    assert_same_bits(X, case)
    assert_same_bits(X, case, n_threads=2)
    assert_same_bits(X[::-1], case)
    assert_same_bits(overlapping(shape, step, dtype, reverse=True), case)


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3,), (33, 3)])
def test_windows_that_overlap_may_be_scaled(shape, dtype):
    rng = np.random.default_rng(0)
    scaling = rng.normal(size=shape), rng.uniform(0.5, 2, size=shape)
    assert_same_bits(overlapping(SHAPE, 1, dtype), set_up(SHAPE, dtype), scaling=scaling)


def test_they_may_be_of_the_other_type():
    assert_same_bits(overlapping(SHAPE, 1, np.float64), set_up(SHAPE, np.float32))


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("options", [{}, {"return_sequences": True}])
def test_they_may_be_read_a_segment_at_a_time(options):
    case = set_up(Shape(40, 50, 3, 33), **options)
    X = overlapping(Shape(40, 50, 3, 33), 1, np.float64)
    whole = core.forward(case.params, X, case.arch)
    before = dispatch.kernels.set_arena_limits(0, 0)
    try:
        segments = core.forward(case.params, X, case.arch)
    finally:
        dispatch.kernels.set_arena_limits(*before)
    assert_all_equal(enumerate(segments), enumerate(whole))


def test_an_estimator_predicts_from_a_view_what_it_predicts_from_a_copy():
    X, y = sliding_windows(np.sin(np.arange(300) / 5)[:, np.newaxis], 24)
    model = LSTMRegressor(hidden_size=5, max_iter=2, random_state=0).fit(X, y)
    assert_array_equal(model.predict(X), model.predict(np.ascontiguousarray(X)))
