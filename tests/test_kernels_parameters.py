"""The flat vector of parameters: its order, packing, first values."""

import hashlib
import inspect
import textwrap

import numpy as np
import pytest
from helpers import dispatch
from helpers.kernels import DTYPES, set_up
from numpy.testing import assert_allclose, assert_array_equal
from programs import run_python
from reference import Shape

from pylstm import core

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]

ONE_DIRECTION = {
    "W0": (3, 8), "U0": (2, 8), "b0": (8,), "W1": (2, 8), "U1": (2, 8), "b1": (8,),
    "V": (2, 5), "d": (5,),
}  # fmt: skip
BOTH_DIRECTIONS = {  # and missing values
    "W0": (6, 8), "U0": (2, 8), "b0": (8,),
    "W0_reverse": (6, 8), "U0_reverse": (2, 8), "b0_reverse": (8,),
    "W1": (4, 8), "U1": (2, 8), "b1": (8,),
    "W1_reverse": (4, 8), "U1_reverse": (2, 8), "b1_reverse": (8,),
    "V": (4, 5), "d": (5,),
}  # fmt: skip


@pytest.mark.parametrize(
    ("options", "shapes", "n_parameters"),
    [
        ({}, ONE_DIRECTION, 24 + 16 + 8 + 16 + 16 + 8 + 10 + 5),
        (
            {"bidirectional": True, "mask_missing": True},
            BOTH_DIRECTIONS,
            2 * (48 + 16 + 8) + 2 * (32 + 16 + 8) + 20 + 5,
        ),
    ],
    ids=["one direction", "both directions"],
)
def test_parameters_lie_in_the_documented_order(options, shapes, n_parameters):
    arch = core.Architecture(n_features=3, hidden_size=2, num_layers=2, n_outputs=5, **options)
    assert core.parameter_shapes(arch) == shapes
    assert list(core.parameter_shapes(arch)) == list(shapes)
    assert core.n_parameters(arch) == n_parameters
    params = np.arange(n_parameters, dtype=np.float64)
    arrays = core.unpack_parameters(params, arch)
    assert {name: array.shape for name, array in arrays.items()} == shapes
    assert_array_equal(np.concatenate([array.ravel() for array in arrays.values()]), params)
    assert_array_equal(core.pack_parameters(arrays, arch, np.float64), params)


@pytest.mark.parametrize("dtype", DTYPES)
def test_unpacking_gives_views_and_packing_copies(dtype):
    problem, arch, *_ = set_up(Shape(1, 1, 3, 5, 2, 2), dtype)
    params = core.pack_parameters(problem.p, arch, dtype)
    assert (params.dtype, params.ndim) == (dtype, 1)
    arrays = core.unpack_parameters(params, arch)
    for name, array in arrays.items():
        assert_array_equal(array, problem.p[name])
        array[...] = -1
    assert (params == -1).all()
    packed = core.pack_parameters(arrays, arch, dtype)
    packed[:] = 2
    assert (params == -1).all()


def test_packing_takes_the_arrays_in_any_order():
    problem, arch, params, *_ = set_up(Shape(1, 1, 3, 5, 2, 2))
    shuffled = dict(reversed(problem.p.items()))
    assert_array_equal(core.pack_parameters(shuffled, arch, np.float64), params)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [Shape(), Shape(1, 1, 3, 17, 2, 4), Shape(1, 1, 20, 64)], ids=str)
def test_initial_parameters_are_glorot_orthogonal_and_forget_little(shape, dtype):
    arch = core.Architecture(*shape[2:])
    H = arch.hidden_size
    params = core.init_parameters(arch, dtype=dtype, random_state=0)
    assert params.dtype == dtype
    for name, array in core.unpack_parameters(params, arch).items():
        if name[0] in "WV":  # each gate's block is a matrix of its own
            fan_in, fan_out = array.shape[0], H if name[0] == "W" else arch.n_outputs
            bound = np.sqrt(6 / (fan_in + fan_out))
            assert np.abs(array).max() <= bound * (1 + 1e-6)
            if array.size > 200:
                assert np.abs(array).max() > 0.95 * bound
                assert np.std(array) == pytest.approx(bound / np.sqrt(3), rel=0.1)
        elif name[0] == "U":
            for block in np.split(array.astype(float), 4, axis=1):
                assert_allclose(block @ block.T, np.eye(H), atol=20 * np.finfo(dtype).eps)
            assert H == 1 or not np.allclose(array[:, :H], array[:, H : 2 * H])
        elif name[0] == "b":
            assert_array_equal(array, np.repeat([0, 1, 0, 0], H))
        else:
            assert_array_equal(array, 0)


def test_initial_parameters_are_those_of_the_random_state():
    arch = core.Architecture(n_features=3, hidden_size=5, num_layers=2)
    first = core.init_parameters(arch, random_state=0)
    assert_array_equal(core.init_parameters(arch, random_state=0), first)
    assert_array_equal(core.init_parameters(arch, random_state=np.random.RandomState(0)), first)
    assert not np.array_equal(core.init_parameters(arch, random_state=1), first)
    assert_allclose(core.init_parameters(arch, dtype=np.float64, random_state=0), first, rtol=1e-6)


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("n", [1, 2, 31, 32, 33, 64, 100, 300])
def test_orthogonal_matrices_are_those_of_a_qr_decomposition(n):
    matrix = np.random.default_rng(n).standard_normal((n, n))
    Q, R = np.linalg.qr(matrix)
    result = matrix.copy()
    dispatch.kernels.make_orthogonal(result, 1)
    assert_allclose(result.T @ result, np.eye(n), atol=1e-14)
    assert_allclose(result, Q * np.sign(np.diag(R)), atol=1e-11)


@pytest.mark.usefixtures("threads_even_for_little_work")
def test_initial_parameters_depend_on_no_library_thread_or_instruction_set():
    def digest(H, dtype, n_threads=1):
        arch = core.Architecture(1, H)
        params = core.init_parameters(arch, dtype=dtype, random_state=0, n_threads=n_threads)
        return hashlib.sha256(params.tobytes()).hexdigest()

    expected = digest(300, np.float64), digest(450, np.float32)
    assert digest(300, np.float64, n_threads=3) == expected[0]
    for name in dispatch.available_instruction_sets():
        output = run_python(
            f"""
            import hashlib
            import numpy as np
            from pylstm import core

            {textwrap.indent(inspect.getsource(digest), " " * 8).strip()}
            print(digest(300, np.float64), digest(450, np.float32))
            """,
            PYLSTM_ISA=name,
            OPENBLAS_NUM_THREADS="2",
            OPENBLAS_CORETYPE="Prescott",
        )
        assert output.split() == list(expected)


def test_both_directions_start_from_parameters_of_the_same_kind_but_not_the_same():
    arch = core.Architecture(3, 16, 2, bidirectional=True)
    arrays = core.unpack_parameters(core.init_parameters(arch, random_state=0), arch)
    for layer in range(2):
        assert_array_equal(arrays[f"b{layer}_reverse"], np.repeat([0, 1, 0, 0], 16))
        W, U = arrays[f"W{layer}"], arrays[f"U{layer}_reverse"]
        assert not np.array_equal(arrays[f"W{layer}_reverse"], W)
        assert np.abs(arrays[f"W{layer}_reverse"]).max() <= np.sqrt(6 / (len(W) + 16)) * (1 + 1e-6)
        for block in np.split(U.astype(float), 4, axis=1):
            assert_allclose(block @ block.T, np.eye(16), atol=1e-5)


def test_parameters_that_do_not_fit_the_architecture_are_not_packed():
    problem, arch, params, *_ = set_up(Shape(1, 1, 3, 5, 2, 2))
    with pytest.raises(ValueError, match="U1"):
        core.pack_parameters(problem.p | {"U1": np.zeros((5, 5))}, arch, np.float64)
    with pytest.raises((KeyError, ValueError), match="b1"):
        core.pack_parameters({k: v for k, v in problem.p.items() if k != "b1"}, arch, np.float64)
    with pytest.raises(ValueError, match="W2"):
        core.pack_parameters(problem.p | {"W2": np.zeros((5, 20))}, arch, np.float64)
    with pytest.raises(ValueError, match=str(params.size)):
        core.unpack_parameters(params[:-1], arch)


@pytest.mark.parametrize("field", ["n_features", "hidden_size", "num_layers", "n_outputs"])
def test_an_architecture_has_positive_sizes(field):
    with pytest.raises(ValueError, match=field):
        core.Architecture(**({"n_features": 1} | {field: 0}))
    with pytest.raises((TypeError, ValueError), match=field):
        core.Architecture(**({"n_features": 1} | {field: 2.5}))
