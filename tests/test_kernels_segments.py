"""Memory: an arena that holds a segment of the time steps gives the same bits, and stays small."""

import numpy as np
import pytest
from helpers import dispatch
from helpers.kernels import (
    ALL_OPTIONS,
    DTYPES,
    FINAL_OUTPUT,
    NETWORKS,
    assert_all_equal,
    everything,
    set_up,
)
from numpy.testing import assert_array_equal
from programs import run_python
from reference import Shape

from pylstm import core

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]

ONE_DIRECTION = {"bidirectional": False}
SEGMENT_CASES = [
    pytest.param(Shape(20, 60, 2, 100, 2), {}, id="stacked"),
    pytest.param(Shape(3, 150, 2, 33), NETWORKS["all-one-direction"], id="sequences-all"),
    pytest.param(Shape(3, 150, 2, 33, 2, 2), FINAL_OUTPUT | ONE_DIRECTION, id="final-all"),
    pytest.param(Shape(40, 9, 3, 100, 2, 2), ALL_OPTIONS | ONE_DIRECTION, id="wide-all"),
    pytest.param(Shape(1, 150, 1, 33), NETWORKS["sequences"], id="one-sample"),
]


@pytest.fixture
def short_segments():
    """Results of a function without, and with, arenas that are as small as can be."""

    def without_and_with(function):
        yield function()
        before = dispatch.kernels.set_arena_limits(0, 0)
        try:
            yield function()
        finally:
            dispatch.kernels.set_arena_limits(*before)

    return without_and_with


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "options"), SEGMENT_CASES)
def test_time_steps_may_be_taken_a_segment_at_a_time(shape, options, dtype, short_segments):
    case = set_up(shape, dtype, **options)
    whole, segments = short_segments(lambda: list(everything(case)))
    assert_all_equal(segments, whole)


def test_gradients_of_missing_values_are_carried_over_segments(short_segments):
    problem, arch, params, *_ = set_up(Shape(2, 150, 2, 33), mask_missing=True)
    problem.X[0] = 1
    problem.X[0, 1:140] = np.nan
    whole, segments = short_segments(
        lambda: core.backward(params, problem.X, arch, **problem.upstream).d_X
    )
    assert_array_equal(segments, whole)
    assert not whole[0, 1:140].any()
    assert whole[0, 0].all()


def test_gradients_that_have_vanished_do_not_get_stuck_among_the_subnormal_numbers():
    problem, arch, params, *_ = set_up(Shape(1, 2000, 1, 8), np.float32)
    weights = core.unpack_parameters(params, arch)
    weights["b0"][8:16] = 1.5  # forget gates of about .8, which the smallest number survives
    weights["U0"] *= 0.01
    gradients = core.backward(params, problem.X, arch, d_output=np.ones((1, 1)))
    assert gradients.d_X[0, -100:].all()
    assert_array_equal(gradients.d_c0, 0)


def test_memory_does_not_grow_with_the_number_of_time_steps():
    pytest.importorskip("resource")
    run_python(
        """
        import resource
        import sys
        import numpy as np
        from pylstm import core

        def peak():  # of resident memory, in MB; ru_maxrss is in kB, on macOS in bytes
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
                1e6 if sys.platform == "darwin" else 1e3
            )

        rng = np.random.default_rng(0)
        T, H = 300_000, 16
        X = rng.standard_normal((1, T, 1)).astype(np.float32)
        with_gaps = np.where(rng.random(X.shape) < 0.1, np.nan, X)
        stacked = core.Architecture(1, H, num_layers=3, mask_missing=True)
        plain = core.Architecture(1, H)
        sequences = core.Architecture(1, H, return_sequences=True)

        def run(function, arch, X, *args):
            return function(core.init_parameters(arch, random_state=0), X, *args, arch, n_threads=1)

        run(core.predict, stacked, with_gaps[:, :1000])
        before = peak()
        run(core.predict, stacked, with_gaps)
        assert peak() - before < 8, peak() - before
        before = peak()
        run(core.loss_and_gradient, plain, X, np.ones((1, 1)))
        assert peak() - before < 8, peak() - before  # all activations: 156 MB
        before = peak()
        run(core.loss_and_gradient, sequences, X, np.ones((1, T, 1), np.float32))
        assert peak() - before < 16, peak() - before
        """
    )
