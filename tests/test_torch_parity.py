"""The same numbers as PyTorch's `nn.LSTM` + `nn.Linear`: stored ones, and live where it is installed.

Deviations are relative to the largest absolute entry of each array (`reference.deviation`).
"""

from functools import partial

import numpy as np
import pytest
from helpers.kernels import assert_parameters_agree
from reference import TORCH_VECTORS, Shape, deviation, dropout_masks, random_problem, random_shapes

from pylstm import core

pytestmark = pytest.mark.kernels

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}
TRAINED_TOLERANCE = 1e-8  # float64 weights after 50 steps of the optimiser


@pytest.fixture(scope="module")
def torch_side():
    """`make_torch_vectors`, which computes with PyTorch; on one thread, ours being there too."""
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    import make_torch_vectors

    return make_torch_vectors


def assert_results_agree(p, X, arch, given, upstream, expected):
    """`core.forward` and `core.backward` give the arrays of `expected`."""
    dtype = X.dtype.type
    params = core.pack_parameters(p, arch, dtype)
    actual = core.forward(params, X, arch, **given)._asdict()
    gradients = core.backward(params, X, arch, **given, **upstream)._asdict()
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
    assert_parameters_agree(params, expected, arch, TRAINED_TOLERANCE)


# -- stored ---------------------------------------------------------------------------------------


def stored_networks():
    """The stored arrays of each network, by its name."""
    networks = {}
    with np.load(TORCH_VECTORS) as stored:
        for key in stored:
            network, name = key.split("/")
            networks.setdefault(network, {})[name] = stored[key]
    return networks


STORED = stored_networks()


def select(arrays, prefix):
    """The arrays whose names start with the prefix, by the rest of their names."""
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}


@pytest.fixture(params=STORED)
def stored(request):
    return STORED[request.param]


def stored_network(arrays):
    """Parameters, architecture and, where they differ, lengths."""
    p = {name: arrays[name] for name in select(arrays, "trained ")}
    bidirectional = "W0_reverse" in p
    arch = core.Architecture(
        n_features=len(p["W0"]),
        hidden_size=len(p["U0"]),
        num_layers=len(arrays["h0"]) // (1 + bidirectional),
        n_outputs=len(p["d"]),
        bidirectional=bidirectional,
    )
    return p, arch, {name: arrays[name] for name in ("lengths",) if name in arrays}


def test_results_and_gradients_agree_with_stored_ones_of_torch(stored):
    p, arch, lengths = stored_network(stored)
    states = {name: stored[name] for name in ("h0", "c0")}
    upstream = {name: stored[name] for name in ("d_output", "d_hidden", "d_h_n", "d_c_n")}
    assert_results_agree(
        p, stored["X"], arch, states | lengths, upstream, select(stored, "result ")
    )


def test_weights_after_fifty_adam_steps_agree_with_stored_ones_of_torch(stored):
    p, arch, lengths = stored_network(stored)
    settings = {"learning_rate": stored["learning_rate"].item()}
    assert_training_agrees(
        p, stored["X"], stored["y"], arch, stored["batches"], core.Adam, settings,
        select(stored, "trained "), **lengths,
    )  # fmt: skip


def test_some_of_the_stored_networks_are_bidirectional_and_read_many_lengths():
    with_lengths = [arrays for arrays in STORED.values() if "lengths" in arrays]
    assert len(with_lengths) >= 2
    for arrays in with_lengths:
        assert "W0_reverse" in arrays
        assert len(set(arrays["lengths"])) > 2


# -- live: results and gradients ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", random_shapes(60, seed=1), ids=str)
def test_results_and_gradients_agree_with_torch(shape, dtype, torch_side):
    problem = random_problem(shape, dtype, seed=1)
    given = problem.states, problem.upstream
    expected = torch_side.forward_and_backward(problem.p, problem.X, *given)
    assert_results_agree(problem.p, problem.X, core.Architecture(*shape[2:]), *given, expected)


def some_shapes(n_shapes, seed):
    """Those of `random_shapes` with at most 60 steps: PyTorch packs the sequences step by step."""
    shapes = random_shapes(2 * n_shapes, seed)
    return [shape for shape in shapes if shape.n_timesteps <= 60][:n_shapes]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("return_sequences", [False, True], ids=["final", "sequences"])
@pytest.mark.parametrize("lengths", [False, True], ids=["full", "lengths"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "bidirectional"])
@pytest.mark.parametrize("shape", some_shapes(8, seed=2), ids=str)
def test_both_directions_lengths_and_sequences_agree_with_torch(
    shape, bidirectional, lengths, return_sequences, dtype, torch_side
):
    options = {"bidirectional": bidirectional, "return_sequences": return_sequences}
    problem = random_problem(shape, dtype, seed=2, **options)
    given = {"lengths": problem.lengths} if lengths else {}
    expected = torch_side.forward_and_backward(
        problem.p, problem.X, problem.states, problem.upstream,
        return_sequences=return_sequences, **given,
    )  # fmt: skip
    arch = core.Architecture(*shape[2:], **options)
    given |= problem.states
    assert_results_agree(problem.p, problem.X, arch, given, problem.upstream, expected)


NETWORKS = {
    "plain": {},
    "bidirectional": {"bidirectional": True},
    "sequences": {"return_sequences": True},
    "bidirectional-sequences": {"bidirectional": True, "return_sequences": True},
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", [Shape(), Shape(17, 9, 3, 5, 2, 2)], ids=str)
def test_the_gradient_through_missing_values_is_that_of_autograd(shape, network, dtype, torch_side):
    options = NETWORKS[network] | {"mask_missing": True}
    problem = random_problem(shape, dtype, **options)
    arch = core.Architecture(*shape[2:], **options)
    params = core.pack_parameters(problem.p, arch, dtype)
    masks = dropout_masks(problem.p, shape.n_timesteps, 0, 0, 0, np.arange(shape.n_samples))
    d_output, given = problem.upstream["d_output"], {"lengths": problem.lengths}
    output, d_X, d_params = torch_side.gradients_by_hand(
        problem.p, problem.X, d_output, masks,
        return_sequences=arch.return_sequences, **given,
    )  # fmt: skip
    tolerance = TOLERANCE[dtype]
    assert deviation(core.predict(params, problem.X, arch, **given), output) < tolerance
    actual = core.backward(params, problem.X, arch, d_output=d_output, **given)
    assert deviation(actual.d_X, d_X) < tolerance
    assert_parameters_agree(actual.d_params, d_params, arch, tolerance)


# -- live: losses and dropout ---------------------------------------------------------------------


def losses(torch_side):
    """Ours, theirs, and how to draw targets."""
    from torch import nn

    def normal(rng, shape):
        return rng.standard_normal(shape)

    def counts(rng, shape):
        return rng.poisson(2.0, shape).astype(float)

    def classes(rng, shape):
        return rng.integers(0, 4, shape).astype(float)

    quantiles = (0.1, 0.5, 0.9)
    return {
        "squared": (core.SquaredError(), torch_side.half_squared_error, normal),
        "absolute": (core.AbsoluteError(), nn.L1Loss(reduction="none"), normal),
        "huber": (core.Huber(0.7), nn.HuberLoss(reduction="none", delta=0.7), normal),
        "quantiles": (
            core.Quantile(quantiles),
            partial(torch_side.pinball, quantiles=quantiles),
            normal,
        ),
        "poisson": (
            core.Poisson(),
            nn.PoissonNLLLoss(log_input=True, full=False, reduction="none"),
            counts,
        ),
        "gaussian": (core.Gaussian(), torch_side.gaussian, normal),
        "log-loss": (core.LogLoss(4), torch_side.cross_entropy, classes),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    "loss", ["squared", "absolute", "huber", "quantiles", "poisson", "gaussian", "log-loss"]
)
def test_losses_and_their_gradients_agree_with_those_of_torch(loss, network, dtype, torch_side):
    options = NETWORKS[network]
    ours, theirs, draw = losses(torch_side)[loss]
    n_targets = 1 if loss == "log-loss" else 3
    shape = Shape(17, 6, 3, 5, 2, ours.n_outputs(n_targets))
    arch = core.Architecture(*shape[2:], **options)
    problem = random_problem(shape, dtype, **options)
    rng = np.random.default_rng(0)
    y = draw(rng, (*problem.y.shape[:-1], n_targets)).astype(dtype)
    sample_weight = rng.uniform(0, 2, 17).astype(dtype)
    value, gradient = torch_side.loss_and_gradient(
        problem.p, problem.X, y, theirs, sample_weight, problem.lengths, arch.return_sequences
    )
    actual, actual_gradient = core.loss_and_gradient(
        core.pack_parameters(problem.p, arch, dtype), problem.X, y, arch,
        loss=ours, sample_weight=sample_weight, lengths=problem.lengths,
    )  # fmt: skip
    assert actual == pytest.approx(value, rel=TOLERANCE[dtype])
    assert_parameters_agree(actual_gradient, gradient, arch, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "dropout", [(0.4, 0.0), (0.0, 0.3), (0.4, 0.3)], ids=["outputs", "recurrent", "both"]
)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_gradient_through_dropout_is_that_of_autograd(network, dropout, dtype, torch_side):
    options, (n, T) = NETWORKS[network], (17, 6)
    shape = Shape(n, T, 3, 8, 2, 2)
    problem = random_problem(shape, dtype, **options)
    masks = dropout_masks(problem.p, T, *dropout, seed=5, visits=np.arange(n))
    arch = core.Architecture(*shape[2:], **options)
    loss, gradient = core.loss_and_gradient(
        core.pack_parameters(problem.p, arch, dtype), problem.X, problem.y, arch,
        lengths=problem.lengths, dropout=dropout[0], recurrent_dropout=dropout[1], seed=5,
    )  # fmt: skip
    given = problem.lengths, arch.return_sequences
    expected, expected_gradient = torch_side.loss_and_gradient_by_hand(
        problem.p, problem.X, problem.y, masks, *given
    )
    assert loss == pytest.approx(expected, rel=TOLERANCE[dtype])
    assert_parameters_agree(gradient, expected_gradient, arch, TOLERANCE[dtype])


# -- live: training -------------------------------------------------------------------------------

TRAINING_SHAPES = [
    Shape(),
    Shape(37, 6, 3, 7, 2, 2),
    Shape(16, 12, 1, 16),
    Shape(9, 5, 2, 33, 3, 5),
]


def optimizers(torch_side):
    """Ours, its settings, theirs."""
    from torch.optim import SGD, RMSprop

    def sgd(**settings):
        return lambda named: SGD(named.values(), 0.01, **settings)

    return {
        "adam": (core.Adam, {}, torch_side.adam),
        "adamw": (core.AdamW, {"weight_decay": 0.1}, torch_side.adamw),
        "rmsprop": (
            core.RMSprop,
            {"decay": 0.9},
            lambda named: RMSprop(named.values(), 0.01, alpha=0.9),
        ),
        "sgd": (core.SGD, {"momentum": 0.0}, sgd()),
        "momentum": (core.SGD, {"nesterov": False}, sgd(momentum=0.9)),
        "nesterov": (core.SGD, {}, sgd(momentum=0.9, nesterov=True)),
    }


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd", "momentum", "nesterov"])
@pytest.mark.parametrize(
    "clipping",
    [{}, {"max_grad_norm": 0.1}, {"max_grad_value": 0.02}],
    ids=["unclipped", "norm", "value"],
)
@pytest.mark.parametrize("shape", TRAINING_SHAPES, ids=str)
def test_weights_after_fifty_steps_agree_with_torch(shape, clipping, optimizer, torch_side):
    our_class, settings, their_optimizer = optimizers(torch_side)[optimizer]
    problem, batches = random_problem(shape), torch_side.random_batches(shape.n_samples)
    data = problem.p, problem.X, problem.y
    expected = torch_side.train(*data, batches, their_optimizer, **clipping)
    assert_training_agrees(
        *data, core.Architecture(*shape[2:]), batches, our_class,
        settings | {"learning_rate": torch_side.LEARNING_RATE}, expected, **clipping,
    )  # fmt: skip


@pytest.mark.parametrize("option", ["lengths", "stateful", "clipped twice", "learning rates"])
@pytest.mark.parametrize("shape", TRAINING_SHAPES, ids=str)
def test_weights_after_fifty_adam_steps_with_an_option_agree_with_torch(shape, option, torch_side):
    problem, batches = random_problem(shape), torch_side.random_batches(shape.n_samples)
    learning_rates = np.geomspace(0.02, 0.001, len(batches))
    ours, theirs = {
        "lengths": ({"lengths": problem.lengths},) * 2,
        "stateful": ({"stateful": True},) * 2,
        "clipped twice": ({"max_grad_norm": 0.1, "max_grad_value": 0.02},) * 2,
        "learning rates": ({}, {"learning_rates": learning_rates}),
    }[option]
    data = problem.p, problem.X, problem.y
    expected = torch_side.train(*data, batches, torch_side.adam, **theirs)
    learning_rate = learning_rates if option == "learning rates" else torch_side.LEARNING_RATE
    assert_training_agrees(
        *data, core.Architecture(*shape[2:]), batches, core.Adam,
        {"learning_rate": learning_rate}, expected, **ours,
    )  # fmt: skip
