"""For the tests of the compiled core: problems, networks, losses, and everything that it computes."""

from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
import reference
from numpy.testing import assert_array_equal
from reference import Problem, Shape, deviation, random_problem, random_shapes

from pylstm import core

DTYPES = (np.float32, np.float64)
# Against the float64 reference on the same (rounded) input, relative to each array's largest entry.
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}

# -- problems and networks ------------------------------------------------------------------------

OPTIONS = ("bidirectional", "return_sequences", "mask_missing", "lengths", "states")
ALL_OPTIONS = dict.fromkeys(OPTIONS, True)
FINAL_OUTPUT = ALL_OPTIONS | {"return_sequences": False}
NETWORKS = {
    "plain": {},
    "bidirectional": {"bidirectional": True},
    "sequences": {"return_sequences": True},
    "missing": {"mask_missing": True},
    "lengths": {"lengths": True},
    "all": {name: True for name in OPTIONS if name != "states"},
    "all-one-direction": {"return_sequences": True, "mask_missing": True, "lengths": True},
    "highway": {"highway": 2},
    "highway-all": {"highway": 4, "bidirectional": True, "mask_missing": True, "lengths": True},
}
DROP = {"dropout": 0.3, "recurrent_dropout": 0.2}


class SetUp(NamedTuple):
    problem: Problem
    arch: core.Architecture
    params: np.ndarray
    given: dict  # lengths, h0, c0, as far as they are used
    sequences: dict  # what the reference wants to know: whether outputs are sequences


def set_up(shape, dtype=np.float64, seed=0, *, lengths=False, states=False, **options):
    """A random problem, its architecture, its packed parameters."""
    problem = random_problem(shape, dtype, seed, **options)
    arch = core.Architecture(*shape[2:], **options)
    params = core.pack_parameters(problem.p, arch, dtype)
    given = {"lengths": problem.lengths} if lengths else {}
    given |= problem.states if states else {}
    return SetUp(problem, arch, params, given, {"return_sequences": arch.return_sequences})


def random_weights(n, dtype):
    """Sample weights with zeros among them, but for the first."""
    weights = np.random.default_rng(1).integers(0, 4, n)
    weights[0] = 2
    return weights.astype(dtype)


def central_differences(function, x, step=1e-5):
    """Gradient of a scalar function of x, one entry at a time."""
    gradient = np.empty(x.size)
    for k in range(x.size):
        shifted = x.copy()
        shifted.flat[k] = x.flat[k] + step
        above = function(shifted)
        shifted.flat[k] = x.flat[k] - step
        gradient[k] = (above - function(shifted)) / (2 * step)
    return gradient.reshape(x.shape)


def assert_parameters_agree(params, expected, arch, tolerance):
    for name, array in core.unpack_parameters(params, arch).items():
        assert deviation(array, expected[name]) < tolerance, name


def one_unit(dtype, *, W=(0, 0, 0, 0), b=(0, 0, 0, 0)):
    """Parameters of a network of one unit: the weight and bias of gates i, f, g, o."""
    arch = core.Architecture(n_features=1, hidden_size=1)
    arrays = {"W0": [W], "U0": np.zeros((1, 4)), "b0": b, "V": [[1]], "d": [0]}
    arrays = {name: np.array(array, dtype=dtype) for name, array in arrays.items()}
    return core.pack_parameters(arrays, arch, dtype), arch


def random_cases(n_cases, seed=0):
    """Random shapes, every one with another of the 32 combinations of the options."""
    sizes = Shape(
        n_samples=(1, 2, 15, 16, 17, 31, 33, 48, 49, 100),  # around the core's blocks
        n_timesteps=(1, 2, 3, 12, 50),
        n_features=(1, 2, 3, 17),
        hidden_size=(1, 2, 3, 7, 8, 15, 16, 17, 33, 64),
        num_layers=(1, 2, 3),
        n_outputs=(1, 2, 3, 5),
    )
    rng = np.random.default_rng(seed)
    columns = [rng.permutation(np.resize(values, n_cases)).tolist() for values in sizes]
    cases = []
    for number, row in enumerate(zip(*columns, strict=True)):
        shape = Shape(*row)
        options = {name: True for bit, name in enumerate(OPTIONS) if number >> bit & 1}
        n, T, _, H, L, _ = shape
        if n * T * H * L * (1 + ("bidirectional" in options)) > 100_000:
            shape = shape._replace(n_samples=2)
        cases.append(pytest.param(shape, options, id="-".join([str(shape), *options])))
    return cases


# Networks of one direction, of every size: every other one from states of zero; and with options.
CASES = [
    *(
        pytest.param(shape, {"states": True} if number % 2 else {}, id=str(shape))
        for number, shape in enumerate(random_shapes(38))
    ),
    *random_cases(64, seed=1),
]

# -- losses ---------------------------------------------------------------------------------------

QUANTILES = (0.1, 0.5, 0.9)
LOSSES = {
    "squared": (core.SquaredError(), reference.squared_error),
    "absolute": (core.AbsoluteError(), reference.absolute_error),
    "huber": (core.Huber(), reference.huber),
    "huber-narrow": (core.Huber(delta=0.3), partial(reference.huber, delta=0.3)),
    "median": (core.Quantile(), reference.quantile),
    "quantile": (core.Quantile(0.9), partial(reference.quantile, quantiles=(0.9,))),
    "quantiles": (core.Quantile(QUANTILES), partial(reference.quantile, quantiles=QUANTILES)),
    "poisson": (core.Poisson(), reference.poisson),
    "gaussian": (core.Gaussian(), reference.gaussian),
    "log-loss": (core.LogLoss(4), reference.log_loss),
}


def random_targets(loss, shape, dtype, rng):
    """Targets that suit the loss; the last axis has one of them if they are classes."""
    if loss == "log-loss":
        return rng.integers(0, 4, (*shape[:-1], 1)).astype(dtype)
    y = rng.poisson(2, shape) if loss == "poisson" else rng.standard_normal(shape)
    return y.astype(dtype)


def set_up_loss(loss, shape, dtype=np.float64, **options):
    """A problem whose targets (as many as the shape has outputs) suit the loss."""
    n_targets = 1 if loss == "log-loss" else shape.n_outputs
    case = set_up(shape._replace(n_outputs=LOSSES[loss][0].n_outputs(n_targets)), dtype, **options)
    y_shape = (*case.problem.y.shape[:-1], n_targets)
    y = random_targets(loss, y_shape, dtype, np.random.default_rng(0))
    return case._replace(problem=case.problem._replace(y=y))


# -- training -------------------------------------------------------------------------------------

TRAINING_SHAPE = Shape(37, 6, 3, 7, 2, 2)
BATCH_SIZE = 8
N_BATCHES = 5  # of the 37 samples; the last has five


def train_passes(params, problem, arch, optimizer, n_passes=1, **options):
    """Train `params` in place over all samples in order; return the last pass's loss."""
    options = {"order": np.arange(len(problem.X)), "batch_size": BATCH_SIZE} | options
    for _ in range(n_passes):
        loss = core.train(params, problem.X, problem.y, arch, optimizer, **options)
    return loss


def train_once(case, optimizer=None, **options):
    """One pass over all samples in order; the loss and the trained parameters."""
    problem, arch, params, given, _ = case
    trained = params.copy()
    optimizer = core.Adam(params.size, params.dtype) if optimizer is None else optimizer
    return train_passes(trained, problem, arch, optimizer, **(given | options)), trained


# -- the same bits --------------------------------------------------------------------------------

# Small, several blocks, wide; a network for each.
BIT_CASES = [
    pytest.param(Shape(5, 3, 2, 4), FINAL_OUTPUT, id="final-all"),
    pytest.param(Shape(100, 7, 3, 17, 2, 2), ALL_OPTIONS, id="sequences-all"),
    pytest.param(Shape(100, 7, 3, 17, 2, 2), NETWORKS["lengths"], id="lengths"),
    pytest.param(Shape(100, 5, 3, 33, 1, 2), NETWORKS["all-one-direction"], id="one-direction"),
    pytest.param(Shape(70, 3, 2, 100), NETWORKS["bidirectional"] | {"lengths": True}, id="wide"),
    pytest.param(Shape(40, 5, 3, 9), NETWORKS["highway-all"], id="highway"),
]


def everything(case, n_timesteps=None, n_threads=None, batch_sizes=(40,)):
    """Names and arrays of all that the core computes, those over time up to n_timesteps."""
    problem, arch, params, given, _ = case
    data = params, problem.X, problem.y, arch
    run = params, problem.X, arch
    threads, lengths = {"n_threads": n_threads}, {"lengths": given.get("lengths")}
    weights = random_weights(len(problem.X), params.dtype)
    until, sequences = slice(n_timesteps), arch.return_sequences

    def trimmed(output):
        return output[:, until] if sequences else output

    yield "predict", trimmed(core.predict(*run, **given, **threads))
    output, hidden, h_n, c_n = core.forward(*run, **given, **threads)
    yield from {"output": trimmed(output), "hidden": hidden[:, until]}.items()
    yield from {"h_n": h_n, "c_n": c_n}.items()
    for name, array in core.gate_activations(*run, **given, **threads)._asdict().items():
        yield f"gate activations: {name}", array[:, :, until]
    gradients = core.backward(*run, **problem.upstream, **given, **threads)
    yield from gradients._replace(d_X=gradients.d_X[:, until])._asdict().items()
    for dropout in ({}, DROP):
        options = {"alpha": 0.1, "sample_weight": weights} | dropout | lengths | threads
        loss, gradient = core.loss_and_gradient(*data, **options)
        yield from {f"loss {dropout}": loss, f"gradient {dropout}": gradient}.items()
    order = np.arange(len(problem.X))[::-1]
    for batch_size in batch_sizes:
        trained, average = params.copy(), np.zeros_like(params)
        optimizer = core.AdamW(params.size, params.dtype)
        options = {"order": order, "batch_size": batch_size, "max_grad_norm": 0.1}
        options |= {"stateful": not arch.bidirectional, "average": (average, 0.5)} | DROP | lengths
        for number in range(2):
            value = core.train(trained, *data[1:], optimizer, seed=number, **options, **threads)
            yield f"training loss {number}", value
        yield from {"trained": trained, "average": average}.items()


def assert_all_equal(actual, expected):
    for (name, array), (_, expected_array) in zip(actual, expected, strict=True):
        assert_array_equal(array, expected_array, err_msg=name)


def over_time(case):
    """The arrays of a case that have a time axis, by name: (n, T, ...)."""
    names = ["X", "d_hidden", *(["y", "d_output"] if case.arch.return_sequences else [])]
    arrays = case.problem._asdict() | case.problem.upstream
    return {name: arrays[name] for name in names}


def with_arrays(case, changed):
    """The case with other arrays over time."""
    upstream = {name: changed.get(name, a) for name, a in case.problem.upstream.items()}
    new = {name: changed[name] for name in ("X", "y") if name in changed}
    return case._replace(problem=case.problem._replace(upstream=upstream, **new))


# -- calls ----------------------------------------------------------------------------------------

FUNCTIONS = {
    "forward": ("params", "X", "arch", "h0", "c0", "n_threads"),
    "predict": ("params", "X", "arch", "h0", "c0", "n_threads"),
    "gate_activations": ("params", "X", "arch", "h0", "c0", "n_threads"),
    "backward": (
        "params", "X", "arch", "h0", "c0", "d_output", "d_hidden", "d_h_n", "d_c_n", "n_threads",
    ),
    "loss_and_gradient": (
        "params", "X", "y", "arch", "loss", "sample_weight", "alpha", "n_threads",
    ),
    "train": (
        "params", "X", "y", "arch", "optimizer", "loss", "order", "batch_size", "sample_weight",
        "alpha", "max_grad_norm", "n_threads",
    ),
}  # fmt: skip


def call(function, *, loss="squared", n_outputs=2, **changed):
    """Call a function of the core with valid arguments, some of them changed or added."""
    network = {name: changed.pop(name) for name in OPTIONS[:3] if name in changed}
    problem, arch, params, *_ = set_up(Shape(6, 4, 3, 5, 2, n_outputs), **network)
    arguments = {"params": params, "X": problem.X, "y": problem.y, "arch": arch}
    arguments |= problem.states | problem.upstream
    arguments |= {"loss": LOSSES[loss][0] if isinstance(loss, str) else loss}
    arguments |= {"sample_weight": np.ones(6), "order": np.arange(6), "batch_size": 2}
    arguments |= {"optimizer": core.SGD(params.size, np.float64), "max_grad_norm": 1.0}
    arguments |= {"alpha": 0.1, "n_threads": 1}
    valid = {name: arguments[name] for name in FUNCTIONS[function]}
    return getattr(core, function)(**(valid | changed))
