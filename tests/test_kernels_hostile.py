"""What no one means to pass, and what has been tampered with: refused, and never a crash."""

import copy
import pickle
import re

import numpy as np
import pytest
from helpers.kernels import call, set_up
from numpy.testing import assert_array_equal
from programs import run_python
from reference import Shape

from pylstm import _unchecked, core

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]

# -- sizes ----------------------------------------------------------------------------------------


def test_sizes_of_numpys_integers_are_those_of_python():
    sizes = {"n_features": 200, "hidden_size": 64, "num_layers": 2, "n_outputs": 100}
    plain = core.Architecture(**sizes, mask_missing=True)
    narrow = core.Architecture(
        **{name: np.uint8(size) for name, size in sizes.items()}, mask_missing=np.True_
    )
    assert core.n_parameters(narrow) == core.n_parameters(plain)
    assert core.parameter_shapes(narrow) == core.parameter_shapes(plain)
    assert narrow == plain
    for name in [*sizes, "mask_missing"]:
        assert type(getattr(narrow, name)) is type(getattr(plain, name))
    assert type(core.LogLoss(np.uint8(200)).n_outputs(1)) is int
    assert type(core.Huber(np.float32(2)).delta) is float


@pytest.mark.parametrize("integer", [np.int8, np.uint8, np.uint64])
def test_batches_of_numpys_integers_are_those_of_python(integer):
    plain = call("train", batch_size=4, order=np.arange(6))
    assert call("train", batch_size=integer(4), seed=integer(0), n_threads=integer(1)) == plain


def test_the_number_of_parameters_is_the_sum_of_their_sizes():
    for options in [{}, {"bidirectional": True}, {"mask_missing": True, "bidirectional": True}]:
        for layers in (1, 2, 3):
            arch = core.Architecture(5, 7, layers, 3, **options)
            shapes = core.parameter_shapes(arch).values()
            assert core.n_parameters(arch) == sum(int(np.prod(shape)) for shape in shapes)


IMPOSSIBLE = {
    "features": {"n_features": 2**60, "hidden_size": 4},
    "hidden units": {"n_features": 1, "hidden_size": 2**31},
    "outputs": {"n_features": 1, "n_outputs": 2**62},
    "NumPy's integers": {"n_features": np.int64(2**40), "hidden_size": np.int32(2**30)},
    "layers": {"n_features": 1, "num_layers": 10**7},
    "any size": {"n_features": 10**30},
}


@pytest.mark.parametrize("sizes", IMPOSSIBLE)
def test_a_network_that_cannot_be_is_refused_at_once(sizes):
    with pytest.raises(ValueError, match=r"more than an array can hold|num_layers must be at most"):
        core.Architecture(**IMPOSSIBLE[sizes])


def test_a_sequence_that_cannot_be_is_refused_at_once():
    run_python(
        """
        import numpy as np
        from pylstm import core

        arch = core.Architecture(3, 5)
        params = core.init_parameters(arch, random_state=0)
        outputs = core.Architecture(3, 5, return_sequences=True)
        for n, T, error in [(1, 2**57, ValueError), (10**6, 2**32 - 1, (MemoryError, ValueError))]:
            X = np.broadcast_to(np.float32(1), (n, T, 3))
            y = np.broadcast_to(np.float32(1), (n, T, 1))
            for function in (
                lambda: core.forward(params, X, arch),
                lambda: core.gate_activations(params, X, arch),
                lambda: core.backward(params, X, arch),
                lambda: core.predict(params, X, outputs),
                lambda: core.loss_and_gradient(params, X, y, outputs),
            ):
                try:
                    function()
                except error:
                    continue
                raise AssertionError(T)
        """,
        timeout=600,
    )


# -- state that has been tampered with --------------------------------------------------------------

N_PARAMS = core.n_parameters(core.Architecture(3, 5, 2, 2))
FROZEN = np.frombuffer(bytes(16 * N_PARAMS)).reshape(2, N_PARAMS)
TAMPERED = {
    "one row of moments": ("moments", np.zeros((1, N_PARAMS))),
    "no row of moments": ("moments", np.zeros((0, N_PARAMS))),
    "moments too short": ("moments", np.zeros((2, N_PARAMS - 1))),
    "moments in one dimension": ("moments", np.zeros(2 * N_PARAMS)),
    "moments of another dtype": ("moments", np.zeros((2, N_PARAMS), np.float32)),
    "moments in another order": ("moments", np.zeros((N_PARAMS, 2)).T),
    "moments that cannot be written": ("moments", FROZEN),
    "moments in a list": ("moments", np.zeros((2, N_PARAMS)).tolist()),
    "no moments": ("moments", None),
    "an empty step count": ("step_count", np.zeros(0, np.int64)),
    "a step count of floats": ("step_count", np.zeros(1)),
    "a step count of another width": ("step_count", np.zeros(1, np.int32)),
    "a negative step count": ("step_count", np.array([-1])),
    "a step count at its end": ("step_count", np.array([2**63 - 1])),
    "a step count that is a number": ("step_count", 3),
    "learning_rate text": ("learning_rate", "fast"),
    "learning_rate None": ("learning_rate", None),
    "learning_rate nan": ("learning_rate", np.nan),
    "learning_rate negative": ("learning_rate", -1.0),
    "learning_rate with nan": ("learning_rate", np.array([0.1, np.nan, 0.1])),
    "learning_rate of text": ("learning_rate", np.array(["a", "b", "c"])),
    "beta_1 text": ("beta_1", "0.9"),
    "beta_2 1": ("beta_2", 1.0),
    "epsilon complex": ("epsilon", 1j),
    "epsilon None": ("epsilon", None),
}


@pytest.mark.parametrize("row", TAMPERED)
def test_an_optimiser_that_has_been_tampered_with_is_refused_by_name(row):
    name, value = TAMPERED[row]
    optimizer = core.Adam(N_PARAMS, np.float64)
    call("train", optimizer=optimizer)
    setattr(optimizer, name, value)
    with pytest.raises((TypeError, ValueError), match=name):
        call("train", optimizer=optimizer)


@pytest.mark.parametrize(
    ("solver", "name"),
    [
        (core.AdamW, "weight_decay"),
        (core.RMSprop, "decay"),
        (core.SGD, "momentum"),
        (core.SGD, "nesterov"),
    ],
)
def test_settings_of_every_solver_are_checked(solver, name):
    optimizer = solver(N_PARAMS, np.float64)
    call("train", optimizer=optimizer)
    setattr(optimizer, name, "much")
    with pytest.raises(TypeError, match=f"{name} must be"):
        call("train", optimizer=optimizer)


def test_an_optimiser_is_made_for_a_number_of_parameters():
    for wrong, error in [(-1, ValueError), (2.5, TypeError), (None, TypeError)]:
        with pytest.raises(error, match="n_params"):
            core.Adam(wrong, np.float64)
    with pytest.raises(ValueError, match="dtype"):
        core.Adam(3, np.int64)


def sharing(shape, dtype=np.float64):
    """Parameters to train, and an array of the shape in the same memory."""
    params = set_up(Shape(6, 4, 3, 5, 2, 2))[2]
    size = max(params.nbytes, int(np.prod(shape)) * np.dtype(dtype).itemsize)
    memory = np.zeros(size // 8)
    memory[: params.size] = params
    return memory[: params.size], memory.view(dtype)[: int(np.prod(shape))].reshape(shape)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("X", (6, 4, 3)), ("y", (6, 2)), ("sample_weight", (6,)), ("average", (N_PARAMS,))],
)
def test_what_shares_memory_with_the_parameters_is_refused(name, shape):
    params, other = sharing(shape)
    params[:6] = 1
    value = (other, 0.5) if name == "average" else other
    with pytest.raises(ValueError, match=f"params and {name} share memory"):
        call("train", params=params, **{name: value})
    call("train", params=params, **{name: copy.deepcopy(value)})
    optimizer = core.SGD(N_PARAMS, np.float64)
    optimizer.moments = params[np.newaxis]
    with pytest.raises(ValueError, match="params and moments share memory"):
        call("train", params=params, optimizer=optimizer)


@pytest.mark.parametrize("name", ["order", "lengths"])
def test_indices_that_share_memory_with_the_parameters_are_read_before_they_change(name):
    params, other = sharing((6,), np.int64)
    other[:] = [3, 1, 2, 1, 3, 1]
    expected = params.copy()
    assert call("train", params=params, **{name: other}) == call(
        "train", params=expected, **{name: np.array([3, 1, 2, 1, 3, 1])}
    )
    assert_array_equal(params, expected)


def test_views_that_interleave_do_not_share_memory():
    memory = np.zeros((N_PARAMS, 2))
    memory[:72, 1] = 1
    params = set_up(Shape(6, 4, 3, 5, 2, 2))[2]
    X = memory[:72, 1].reshape(6, 4, 3)
    assert np.isfinite(call("train", params=params, X=X))
    optimizer = core.Adam(N_PARAMS, np.float64)
    assert np.isfinite(call("train", params=params, X=X, optimizer=optimizer))


def test_a_class_that_has_changed_since_it_was_checked_makes_the_loss_nan():
    problem, arch, params, *_ = set_up(Shape(6, 4, 3, 5, 1, 4))
    for label in (-1, 4, 1e300, np.nan, np.inf):
        loss, _ = _unchecked.loss_and_gradient(
            params, problem.X, np.full((6, 1), float(label)), arch, loss=core.LogLoss(4), sample_weight=None,
            lengths=None, scaling=None, alpha=0.0, dropout=0.0, recurrent_dropout=0.0, seed=0, n_threads=1,
        )  # fmt: skip
        assert np.isnan(loss)


# -- numbers and arrays of a wrong type ---------------------------------------------------------------

WRONG_SCALARS = {
    "alpha": ["1", None, 1j, True, np.inf],
    "dropout": ["much", None, 1j, True],
    "recurrent_dropout": ["much", None, [0.5]],
    "seed": ["0", None, 1.5],
    "stateful": ["no", None, 0],
    "batch_size": ["2", None, 2.0],
    "max_grad_norm": ["1", 1j, True],
    "average": [3, "no", (np.zeros(N_PARAMS),), (np.zeros(N_PARAMS), "slow"), {}],
}


@pytest.mark.parametrize("name", WRONG_SCALARS)
def test_scalars_of_a_wrong_type_are_refused_by_name(name):
    for wrong in WRONG_SCALARS[name]:
        with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b.* must be"):
            call("train", **{name: wrong})


@pytest.mark.parametrize("name", ["params", "X", "y", "sample_weight", "order", "lengths"])
def test_masked_arrays_are_refused(name):
    arrays = {"params": np.zeros(N_PARAMS), "X": np.zeros((6, 4, 3)), "y": np.zeros((6, 2))}
    arrays |= {"sample_weight": np.ones(6), "order": np.arange(6), "lengths": np.ones(6, int)}
    masked = np.ma.masked_array(arrays[name], np.zeros(arrays[name].shape))
    function = "train" if name == "order" else "loss_and_gradient"
    with pytest.raises(TypeError, match=f"{name} is a masked array"):
        call(function, **{name: masked})


@pytest.mark.parametrize(
    "function", [core.n_parameters, core.parameter_shapes, core.init_parameters]
)
def test_what_is_no_architecture_is_refused(function):
    with pytest.raises(TypeError, match="arch must be an Architecture"):
        function({"n_features": 1})


# -- streams ----------------------------------------------------------------------------------------

NO_NUMBERS = {
    "text": ["1", "2", "3"],
    "None": [None, None, None],
    "nothing": None,
    "complex": [1j, 2, 3],
    "dates": np.array(["2020-01-01"] * 3, "M8[D]"),
    "durations": np.array([1, 2, 3], "m8[s]"),
    "objects": np.array([1, 2, 3], object),
    "masked": np.ma.masked_array([1.0, 2.0, 3.0], [0, 1, 0]),
    "one number": 1.0,
    "too few": [1, 2],
    "two dimensions": [[1, 2, 3]],
}


@pytest.mark.parametrize("row", NO_NUMBERS)
def test_a_stream_refuses_what_is_no_time_step_and_stays_as_it_was(row):
    _, arch, params, *_ = set_up(Shape(1, 2, 3, 5))
    stream = core.Stream(params, arch)
    stream.step([1, 2, 3])
    before = stream.states
    with pytest.raises((TypeError, ValueError), match=r"\bx\b"):
        stream.step(NO_NUMBERS[row])
    for wrong in (3, "ab", (before[0],), None):
        with pytest.raises((TypeError, ValueError), match=r"\b(states|h) must"):
            stream.states = wrong
    assert_array_equal(stream.states, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_stream_takes_a_step_from_any_layout(dtype):
    _, arch, params, *_ = set_up(Shape(1, 2, 3, 5), dtype)
    x = np.array([1, 2, 3], dtype)
    expected = core.Stream(params, arch).step(x)
    unaligned = np.zeros(1, [("flag", "i1"), ("x", dtype, 3)])["x"][0]
    unaligned[:] = x
    for same in (
        x.tolist(),
        x.astype(int),
        np.repeat(x, 2)[::2],
        x.astype(x.dtype.newbyteorder()),
        unaligned,
    ):
        assert_array_equal(core.Stream(params, arch).step(same), expected)


@pytest.mark.parametrize("function", [copy.copy, copy.deepcopy])
def test_a_copied_stream_goes_on_by_itself_from_the_same_states(function):
    problem, arch, params, *_ = set_up(Shape(1, 4, 3, 5, 2, 2), mask_missing=True)
    problem.X[0, 2, 1] = np.nan  # the copy remembers what was observed last, too
    stream = core.Stream(params, arch)
    stream.step(problem.X[0, 0])
    stream.step(problem.X[0, 1])
    copied = function(stream)
    before = copied.states
    expected = stream.step(problem.X[0, 2])
    assert_array_equal(copied.states, before)
    assert_array_equal(copied.step(problem.X[0, 2]), expected)
    del stream
    assert_array_equal(copied.step(problem.X[0, 3]), core.predict(params, problem.X, arch)[0])


def test_a_stream_says_what_to_pickle_in_its_place():
    _, arch, params, *_ = set_up(Shape(1, 2, 3, 5))
    with pytest.raises(
        TypeError, match=re.escape("Keep the parameters, the architecture and `states`")
    ):
        pickle.dumps(core.Stream(params, arch))
