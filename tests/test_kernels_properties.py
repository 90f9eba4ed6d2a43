"""Properties that hold for every network, found wanting by random ones (Hypothesis; skipped without it)."""

import numpy as np
import pytest
import reference
from helpers import dispatch
from helpers.kernels import (
    DTYPES,
    LOSSES,
    OPTIONS,
    TOLERANCE,
    assert_all_equal,
    assert_parameters_agree,
    everything,
    set_up,
    set_up_loss,
)
from numpy.testing import assert_allclose, assert_array_equal
from reference import Shape, deviation

from pylstm import core

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]

# The same examples every time: a run that fails, fails again. The fuzzer in .ci looks for new ones.
some = settings(max_examples=25, deadline=None, derandomize=True, database=None)

shapes = st.builds(
    Shape,
    n_samples=st.integers(1, 40),
    n_timesteps=st.integers(1, 20),
    n_features=st.integers(1, 5),
    hidden_size=st.one_of(st.integers(1, 40), st.integers(90, 100)),
    num_layers=st.integers(1, 3),
    n_outputs=st.integers(1, 3),
)
options = st.fixed_dictionaries({name: st.booleans() for name in OPTIONS})
dtypes = st.sampled_from(DTYPES)
seeds = st.integers(0, 2**32 - 1)
layouts = st.sampled_from(
    [
        np.asfortranarray,
        lambda a: np.ascontiguousarray(a.swapaxes(0, 1)).swapaxes(0, 1),
        lambda a: a[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: a.tolist(),
    ]
)


@st.composite
def cases(draw, **fixed):
    """A network of any shape and kind, with data for it."""
    return set_up(draw(shapes), draw(dtypes), draw(seeds), **draw(options) | fixed)


@pytest.fixture(scope="module", autouse=True)
def threads_for_all():
    before = dispatch.kernels.set_work_per_thread(0)
    yield
    dispatch.kernels.set_work_per_thread(before)


@pytest.fixture(scope="module", autouse=True, params=["whole", "segments"])
def arenas(request):
    """Room for all time steps, and for as few of them as can be."""
    if request.param == "whole":
        yield
    else:
        before = dispatch.kernels.set_arena_limits(0, 0)
        yield
        dispatch.kernels.set_arena_limits(*before)


@some
@given(case=cases(), layout=layouts)
def test_forward_and_backward_agree_with_the_reference(case, layout):
    problem, arch, params, given, sequences = case
    lengths, states = given.get("lengths"), {k: v for k, v in given.items() if k != "lengths"}
    X, tolerance = layout(problem.X), TOLERANCE[params.dtype.type]
    actual = core.forward(params, X, arch, **given, n_threads=2)
    expected = reference.forward(problem.p, problem.X, lengths=lengths, **states, **sequences)
    for name, array in actual._asdict().items():
        assert deviation(array, getattr(expected, name)) < tolerance, name
    actual = core.backward(params, X, arch, **problem.upstream, **given, n_threads=2)
    expected = reference.backward(
        problem.p, problem.X, **problem.upstream, lengths=lengths, **states, **sequences
    )
    # of a gradient that sums over samples and steps, the parts may be larger than the whole
    tolerance *= 10
    assert_parameters_agree(actual.d_params, expected.d_params, arch, tolerance)
    for name in ("d_X", "d_h0", "d_c0"):
        assert deviation(getattr(actual, name), getattr(expected, name)) < tolerance, name


@settings(some, max_examples=10)
@given(case=cases(), n_threads=st.integers(2, 8))
def test_any_number_of_threads_gives_the_same_bits(case, n_threads):
    assert_all_equal(everything(case, n_threads=n_threads), everything(case, n_threads=1))


@some
@given(case=cases(), data=st.data())
def test_a_permuted_batch_gives_permuted_results(case, data):
    problem, arch, params, given, _ = case
    part = np.array(data.draw(st.permutations(range(len(problem.X)))))
    part = part[: data.draw(st.integers(1, len(part)))]
    chosen = {name: a[part] if name == "lengths" else a[:, part] for name, a in given.items()}
    whole = core.forward(params, problem.X, arch, **given)
    result = core.forward(params, problem.X[part], arch, **chosen)
    for name, array in result._asdict().items():
        expected = getattr(whole, name)
        is_state = name in ("h_n", "c_n")
        assert_array_equal(array, expected[:, part] if is_state else expected[part])


@some
@given(
    case=cases(lengths=True), n_more=st.integers(0, 5), filling=st.sampled_from([0.0, 1e30, np.nan])
)
def test_padding_changes_no_bit(case, n_more, filling):
    T = case.problem.X.shape[1]

    def padded(array):
        rest = np.full((len(array), n_more, *array.shape[2:]), filling, array.dtype)
        array = np.concatenate([array, rest], axis=1)
        array[np.arange(T + n_more) >= case.problem.lengths[:, np.newaxis]] = filling
        return array

    problem, sequences = case.problem, case.arch.return_sequences
    upstream = dict(problem.upstream)
    for name in ("d_hidden", "d_output") if sequences else ("d_hidden",):
        upstream[name] = padded(upstream[name])
    changed = problem._replace(
        X=padded(problem.X), y=padded(problem.y) if sequences else problem.y, upstream=upstream
    )
    assert_all_equal(everything(case._replace(problem=changed), n_timesteps=T), everything(case))


@some
@given(
    loss=st.sampled_from(sorted(LOSSES)),
    shape=shapes,
    chosen=options,
    data=st.data(),
)
def test_a_weight_is_that_many_samples(loss, shape, chosen, data):
    problem, arch, params, given, _ = set_up_loss(loss, shape, **chosen | {"states": False})
    n = len(problem.X)
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    weights[data.draw(st.integers(0, n - 1))] += 1
    kind, repeated = {"loss": LOSSES[loss][0]}, np.repeat(np.arange(n), weights)
    expected = core.loss_and_gradient(
        params, problem.X[repeated], problem.y[repeated], arch, **kind,
        **{name: lengths[repeated] for name, lengths in given.items()},
    )  # fmt: skip
    actual = core.loss_and_gradient(
        params, problem.X, problem.y, arch, **kind, **given, sample_weight=weights
    )
    assert_allclose(actual[0], expected[0], rtol=1e-11)
    assert_allclose(actual[1], expected[1], rtol=1e-9, atol=1e-11 * abs(expected[1]).max())


@some
@given(case=cases(bidirectional=False, lengths=False, states=False))
def test_a_stream_gives_the_bits_of_the_whole(case):
    problem, arch, params, *_ = case
    X = problem.X[:2]
    output = core.predict(params, X, arch)
    for sequence, expected in zip(X, output, strict=True):
        stream = core.Stream(params, arch)
        steps = np.array([stream.step(x) for x in sequence])
        assert_array_equal(steps if arch.return_sequences else steps[-1], expected)
