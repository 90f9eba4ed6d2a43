"""Sequences of different lengths: what the padding holds, and how much of it there is, never counts."""

import numpy as np
import pytest
from helpers.kernels import (
    BIT_CASES,
    DTYPES,
    FUNCTIONS,
    NETWORKS,
    assert_all_equal,
    call,
    everything,
    over_time,
    set_up,
    with_arrays,
)
from numpy.testing import assert_array_equal
from reference import Shape

from pylstm import core

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("garbage", [np.nan, np.inf, -1e30])
@pytest.mark.parametrize(("shape", "options"), BIT_CASES)
def test_what_the_padding_holds_does_not_change_a_bit(shape, options, garbage, dtype):
    case = set_up(shape, dtype, **options)
    padding = np.arange(shape.n_timesteps) >= case.problem.lengths[:, np.newaxis]
    assert padding.any()
    changed = {name: array.copy() for name, array in over_time(case).items()}
    for array in changed.values():
        array[padding] = garbage
    assert_all_equal(everything(with_arrays(case, changed)), everything(case))


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("extra", [1, 60])
@pytest.mark.parametrize(("shape", "options"), BIT_CASES)
def test_how_much_padding_there_is_does_not_change_a_bit(shape, options, extra, dtype):
    case = set_up(shape, dtype, **options)
    longer = {
        name: np.pad(a, [(0, 0), (0, extra), (0, 0)], constant_values=np.nan)
        for name, a in over_time(case).items()
    }
    assert_all_equal(everything(with_arrays(case, longer), shape.n_timesteps), everything(case))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "options"), BIT_CASES)
def test_full_lengths_give_the_bits_of_no_lengths(shape, options, dtype):
    case = set_up(shape, dtype, **(options | {"lengths": False}))
    full = np.full(shape.n_samples, shape.n_timesteps)
    assert_all_equal(
        everything(case._replace(given=case.given | {"lengths": full})), everything(case)
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "options"), BIT_CASES)
def test_results_in_the_padding_are_zeros(shape, options, dtype):
    problem, arch, params, given, _ = set_up(shape, dtype, **options)
    padding = np.arange(shape.n_timesteps) >= problem.lengths[:, np.newaxis]
    result = core.forward(params, problem.X, arch, **given)
    assert not result.hidden[padding].any()
    assert result.hidden[~padding].all()
    if arch.return_sequences:
        assert not result.output[padding].any()
    for name, array in core.gate_activations(params, problem.X, arch, **given)._asdict().items():
        assert not array[:, padding].any(), name
        assert array[:, ~padding].all(), name
    gradients = core.backward(params, problem.X, arch, **problem.upstream, **given)
    assert not gradients.d_X[padding].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "options"), BIT_CASES)
def test_a_sequence_among_longer_ones_gives_the_bits_it_gives_alone(shape, options, dtype):
    problem, arch, params, given, _ = set_up(shape, dtype, **options)
    whole = core.forward(params, problem.X, arch, **given)
    for n in range(0, shape.n_samples, 7):
        T = problem.lengths[n]
        states = {name: given[name][:, n : n + 1] for name in ("h0", "c0") if name in given}
        alone = core.forward(params, problem.X[n : n + 1, :T], arch, **states)
        output = whole.output[n, :T] if arch.return_sequences else whole.output[n]
        assert_array_equal(alone.output[0], output)
        assert_array_equal(alone.hidden[0], whole.hidden[n, :T])
        assert_array_equal(alone.h_n[:, 0], whole.h_n[:, n])
        assert_array_equal(alone.c_n[:, 0], whole.c_n[:, n])


@pytest.mark.parametrize("kind", [list, np.int8, np.uint16, np.int32, "strided"])
def test_lengths_may_be_integers_of_any_kind(kind):
    case = set_up(Shape(20, 6, 3, 7), **NETWORKS["lengths"])
    lengths = case.problem.lengths
    if kind == "strided":
        other = np.repeat(lengths, 2)[::2]
    else:
        other = lengths.tolist() if kind is list else lengths.astype(kind)
    assert_all_equal(everything(case._replace(given={"lengths": other})), everything(case))


WRONG_LENGTHS = {
    "fractions": (np.full(6, 2.0), (TypeError, ValueError), "lengths"),
    "bools": (np.ones(6, bool), (TypeError, ValueError), "lengths"),
    "text": (np.full(6, "a"), (TypeError, ValueError), "lengths"),
    "one too long": (np.array([1, 2, 3, 4, 4, 5]), ValueError, "lengths.*4"),
    "one zero": (np.array([1, 2, 3, 4, 4, 0]), ValueError, "lengths.*0"),
    "one negative": (np.array([1, 2, 3, 4, 4, -1]), ValueError, "lengths.*-1"),
    "beyond 64 bits": (np.full(6, 2**64 - 1, np.uint64), (OverflowError, ValueError), "lengths"),
    "too few": (np.ones(5, int), ValueError, "lengths.*6"),
    "2-D": (np.ones((6, 1), int), ValueError, "lengths.*6"),
    "a number": (4, ValueError, "lengths"),
}


@pytest.mark.parametrize("wrong", WRONG_LENGTHS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_wrong_lengths_are_refused(function, wrong):
    call(function)
    lengths, error, message = WRONG_LENGTHS[wrong]
    with pytest.raises(error, match=message):
        call(function, lengths=lengths)
