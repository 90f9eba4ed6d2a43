"""Streams: one step at a time gives the bits of the whole."""

import numpy as np
import pytest
from helpers.kernels import DTYPES, TRAINING_SHAPE, set_up
from numpy.testing import assert_array_equal
from reference import Shape

from pylstm import core

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask_missing", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize(
    "head", [{}, {"return_sequences": True}, {"highway": 4}], ids=["final", "sequences", "highway"]
)
@pytest.mark.parametrize(
    "shape", [Shape(2, 9, 1, 1), Shape(3, 20, 5, 33, 3, 2), Shape(2, 9, 3, 8, 2)], ids=str
)
def test_stream_gives_the_bits_of_forward_at_every_step(shape, head, mask_missing, dtype):
    options = head | {"mask_missing": mask_missing}
    problem, arch, params, *_ = set_up(shape, dtype, **options)
    stream = core.Stream(params, arch)
    assert not np.any(stream.states)
    for n, sequence in enumerate(problem.X):
        states = {name: state[:, n : n + 1] for name, state in problem.states.items()}
        if n == 0:
            states = {}
        else:  # also forgets what was observed of the sequence before
            stream.states = [state[:, 0] for state in states.values()]
        for t, x in enumerate(sequence):
            output = stream.step(x)
            whole = core.forward(params, sequence[np.newaxis, : t + 1], arch, **states)
            assert_array_equal(
                output, whole.output[0, t] if arch.return_sequences else whole.output[0]
            )
            assert_array_equal(stream.states, [whole.h_n[:, 0], whole.c_n[:, 0]])


@pytest.mark.parametrize("forget", ["reset", "states"])
def test_a_stream_forgets_what_it_observed_when_it_starts_anew(forget):
    _, arch, params, *_ = set_up(Shape(1, 2, 3, 5), mask_missing=True)
    nothing = np.full(3, np.nan)

    stream = core.Stream(params, arch)
    first = stream.step(nothing)
    zeros = np.zeros_like(stream.states)
    stream.step(np.ones(3))
    assert not np.array_equal(stream.step(nothing), first)
    stream.step(np.ones(3))
    if forget == "reset":
        stream.reset()
        assert_array_equal(stream.states, zeros)
    else:
        stream.states = zeros
    assert_array_equal(stream.step(nothing), first)


def test_a_bidirectional_network_does_not_stream():
    _, arch, params, *_ = set_up(Shape(), bidirectional=True)
    with pytest.raises(ValueError, match="bidirectional"):
        core.Stream(params, arch)


def test_stream_refuses_what_does_not_fit():
    _, arch, params, *_ = set_up(TRAINING_SHAPE)
    with pytest.raises(ValueError, match="params must have shape"):
        core.Stream(params[1:], arch)
    stream = core.Stream(params, arch)
    with pytest.raises(ValueError, match="x must have shape"):
        stream.step(np.zeros(arch.n_features + 1))
    with pytest.raises(ValueError, match="c must have shape"):
        stream.states = stream.states[0], np.zeros(3)
    before = stream.states
    params[:] = np.nan  # the stream has its own
    stream.step(np.zeros(arch.n_features))
    assert np.isfinite(stream.states).all()
    assert not np.array_equal(stream.states, before)
