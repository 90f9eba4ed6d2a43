"""The same numbers as PyTorch's `nn.LSTM` + `nn.Linear`: stored ones, and live where it is installed.

Deviations are relative to the largest absolute entry of each array (`reference.deviation`).
"""

import numpy as np
import pytest
from reference import TORCH_VECTORS, Shape, deviation, random_problem, random_shapes

from pylstm import core

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}
TRAINED_TOLERANCE = 1e-8  # float64 weights after 50 steps of the optimiser


@pytest.fixture(scope="module")
def torch_side():
    """`make_torch_vectors`, which computes with PyTorch; on one thread, ours being there too."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    import make_torch_vectors

    return make_torch_vectors


def assert_results_agree(p, X, arch, states, upstream, expected):
    """`core.forward` and `core.backward` give the arrays of `expected`."""
    dtype = X.dtype.type
    params = core.pack_parameters(p, arch, dtype)
    actual = core.forward(params, X, arch, **states)._asdict()
    gradients = core.backward(params, X, arch, **states, **upstream)._asdict()
    d_params = core.unpack_parameters(gradients.pop("d_params"), arch)
    actual |= gradients | {f"d_{name}": array for name, array in d_params.items()}
    assert actual.keys() == expected.keys()
    for name, array in expected.items():
        assert deviation(actual[name], array) < TOLERANCE[dtype], name


def assert_training_agrees(p, X, y, arch, batches, optimizer_class, settings, expected, **options):
    """`core.train` on the same batches gives the parameters `expected`."""
    params = core.pack_parameters(p, arch, np.float64)
    optimizer = optimizer_class(params.size, np.float64, **settings)
    core.train(
        params, X, y, arch, optimizer,
        order=batches.ravel(), batch_size=batches.shape[1], **options,
    )  # fmt: skip
    assert optimizer.n_steps == len(batches) == 50
    for name, array in core.unpack_parameters(params, arch).items():
        assert deviation(array, expected[name]) < TRAINED_TOLERANCE, name


# -- stored ---------------------------------------------------------------------------------------


def stored_networks():
    """The stored arrays of each network, by its shape."""
    networks = {}
    with np.load(TORCH_VECTORS) as stored:
        for key in stored:
            shape, name = key.split("/")
            networks.setdefault(shape, {})[name] = stored[key]
    return networks


STORED = stored_networks()


def select(arrays, prefix):
    """The arrays whose names start with the prefix, by the rest of their names."""
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}


@pytest.fixture(params=STORED)
def stored(request):
    return STORED[request.param]


def stored_network(arrays):
    """Parameters and architecture."""
    p = {name: arrays[name] for name in select(arrays, "trained ")}
    (n_features, _), (hidden_size, n_outputs) = p["W0"].shape, p["V"].shape
    return p, core.Architecture(n_features, hidden_size, len(arrays["h0"]), n_outputs)


def test_results_and_gradients_agree_with_stored_ones_of_torch(stored):
    p, arch = stored_network(stored)
    states = {name: stored[name] for name in ("h0", "c0")}
    upstream = {name: stored[name] for name in ("d_output", "d_hidden", "d_h_n", "d_c_n")}
    assert_results_agree(p, stored["X"], arch, states, upstream, select(stored, "result "))


def test_weights_after_fifty_adam_steps_agree_with_stored_ones_of_torch(stored):
    p, arch = stored_network(stored)
    settings = {"learning_rate": stored["learning_rate"].item()}
    assert_training_agrees(
        p, stored["X"], stored["y"], arch, stored["batches"], core.Adam, settings,
        select(stored, "trained "),
    )  # fmt: skip


# -- live -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", random_shapes(60, seed=1), ids=str)
def test_results_and_gradients_agree_with_torch(shape, dtype, torch_side):
    problem = random_problem(shape, dtype, seed=1)
    given = problem.states, problem.upstream
    expected = torch_side.forward_and_backward(problem.p, problem.X, *given)
    assert_results_agree(problem.p, problem.X, core.Architecture(*shape[2:]), *given, expected)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "momentum", "nesterov"])
@pytest.mark.parametrize("max_grad_norm", [None, 0.1])
@pytest.mark.parametrize(
    "shape",
    [Shape(), Shape(37, 6, 3, 7, 2, 2), Shape(16, 12, 1, 16), Shape(9, 5, 2, 33, 3, 5)],
    ids=str,
)
def test_weights_after_fifty_steps_agree_with_torch(shape, max_grad_norm, optimizer, torch_side):
    from torch.optim import SGD

    our_class, settings, their_optimizer = {
        "adam": (core.Adam, {}, torch_side.adam),
        "sgd": (core.SGD, {"momentum": 0.0}, lambda p: SGD(p, 0.01)),
        "momentum": (core.SGD, {"nesterov": False}, lambda p: SGD(p, 0.01, momentum=0.9)),
        "nesterov": (core.SGD, {}, lambda p: SGD(p, 0.01, momentum=0.9, nesterov=True)),
    }[optimizer]
    problem, batches = random_problem(shape), torch_side.random_batches(shape.n_samples)
    data = problem.p, problem.X, problem.y
    clipping = {} if max_grad_norm is None else {"max_grad_norm": max_grad_norm}
    expected = torch_side.train(*data, batches, their_optimizer, **clipping)
    assert_training_agrees(
        *data, core.Architecture(*shape[2:]), batches, our_class,
        settings | {"learning_rate": torch_side.LEARNING_RATE}, expected, **clipping,
    )  # fmt: skip
