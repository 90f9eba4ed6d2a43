"""Each parameter of the estimators reaches the core: the same bits as a loop around core.train."""

import numpy as np
import pytest
from helpers.estimators import (
    ALL_LOSSES,
    LABELS,
    LENGTHS,
    LOSSES,
    N_FEATURES,
    N_SAMPLES,
    WITH_GAPS,
    Y_STEPS,
    X,
    Y,
    plain,
    plain_classifier,
    suiting,
    y,
)
from numpy.testing import assert_array_equal

from pylstm import core


def by_hand(arch, X, y, optimizer_class=core.Adam, settings=None, orders=None, **options):
    """Parameters and loss curve of three epochs, in a loop around core.train."""
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)
    stream = np.random.RandomState(seeds[2])
    dtype = options.pop("dtype", np.float32)
    params = core.init_parameters(arch, dtype=dtype, random_state=seeds[0])
    optimizer = optimizer_class(len(params), dtype, learning_rate=0.003, **(settings or {}))
    options = {"batch_size": 16, "max_grad_norm": 1.0, **options}
    losses = []
    for _ in range(3):
        order = stream.permutation(len(X)) if orders is None else orders
        if "dropout" in options or "recurrent_dropout" in options:
            options["seed"] = stream.randint(np.iinfo(np.int32).max)
        losses.append(
            core.train(params, X, y, arch, optimizer, order=order, n_threads=1, **options)
        )
    return params, losses


# 45 windows on 20 parallel stretches: five of three windows, fifteen of two.
STARTS = np.r_[0:15:3, 15:45:2]
SIDE_BY_SIDE = np.r_[STARTS, STARTS + 1, STARTS[:5] + 2]
# Parameters of the estimator; what they are in the architecture, and in training.
IN_THE_CORE = {
    "nothing": ({}, {}, {}),
    "layers": ({"num_layers": 2}, {"num_layers": 2}, {}),
    "bidirectional": ({"bidirectional": True}, {"bidirectional": True}, {}),
    "dropout": ({"dropout": 0.4}, {}, {"dropout": 0.4}),
    "recurrent_dropout": ({"recurrent_dropout": 0.4}, {}, {"recurrent_dropout": 0.4}),
    "missing": ({"missing": "mask"}, {"mask_missing": True}, {}),
    "return_sequences": ({"return_sequences": True}, {"return_sequences": True}, {}),
    "stateful": (
        {"stateful": True, "shuffle": False, "batch_size": 20},
        {},
        {"stateful": True, "orders": SIDE_BY_SIDE, "batch_size": 20},
    ),
    "no shuffle": ({"shuffle": False}, {}, {"orders": np.arange(N_SAMPLES)}),
    "batch_size": ({"batch_size": 7}, {}, {"batch_size": 7}),
    "alpha": ({"alpha": 0.5}, {}, {"alpha": 0.5}),
    "adamw": (
        {"solver": "adamw", "alpha": 0.5, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-6},
        {},
        {
            "optimizer_class": core.AdamW,
            "settings": {"weight_decay": 0.5, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-6},
        },
    ),
    "rmsprop": (
        {"solver": "rmsprop", "alpha": 0.5, "beta_2": 0.9, "epsilon": 1e-6},
        {},
        {
            "optimizer_class": core.RMSprop,
            "settings": {"decay": 0.9, "epsilon": 1e-6},
            "alpha": 0.5,
        },
    ),
    "max_grad_value": ({"max_grad_value": 1e-3}, {}, {"max_grad_value": 1e-3}),
    "max_grad_norm": ({"max_grad_norm": None}, {}, {"max_grad_norm": None}),
    "dtype": ({"dtype": "float64"}, {}, {"dtype": np.float64}),
    "many": (
        {
            "num_layers": 2,
            "bidirectional": True,
            "dropout": 0.2,
            "recurrent_dropout": 0.1,
            "return_sequences": True,
            "missing": "mask",
            "max_grad_value": 0.01,
        },
        {"num_layers": 2, "bidirectional": True, "return_sequences": True, "mask_missing": True},
        {"dropout": 0.2, "recurrent_dropout": 0.1, "max_grad_value": 0.01},
    ),
}


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
@pytest.mark.parametrize(
    ("parameters", "network", "options"), IN_THE_CORE.values(), ids=IN_THE_CORE.keys()
)
def test_each_option_reaches_the_core(parameters, network, options, lengths):
    data = WITH_GAPS if "mask_missing" in network else X
    targets = Y_STEPS if "return_sequences" in network else Y
    arch = core.Architecture(N_FEATURES, 4, n_outputs=2, **network)
    params, losses = by_hand(arch, data, targets, lengths=lengths, **options)
    fitted = plain(**parameters).fit(data, targets, lengths=lengths)
    assert fitted.loss_curve_ == losses
    assert_array_equal(fitted._parameters, params)
    expected = core.predict(params, data, arch, lengths=lengths)
    if not parameters.get("stateful"):
        assert_array_equal(fitted.predict(data, lengths=lengths), expected)


@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("loss", ALL_LOSSES, ids=str)
def test_each_loss_reaches_the_core(loss, return_sequences):
    in_core = LOSSES.get(loss, loss) if isinstance(loss, str) else loss
    targets = suiting(loss, Y_STEPS if return_sequences else Y)
    arch = core.Architecture(
        N_FEATURES, 4, n_outputs=in_core.n_outputs(2), return_sequences=return_sequences
    )
    params, losses = by_hand(arch, X, targets, loss=in_core)
    fitted = plain(loss=loss, return_sequences=return_sequences).fit(X, targets)
    assert fitted.loss_curve_ == losses
    assert_array_equal(fitted.predict(X), in_core.prediction(core.predict(params, X, arch)))
    assert fitted.n_outputs_ == 2


def test_classifier_is_the_log_loss_of_the_core():
    arch = core.Architecture(N_FEATURES, 4, n_outputs=2)
    codes = (LABELS == "up").astype(np.float32)[:, np.newaxis]
    params, losses = by_hand(arch, X, codes, loss=core.LogLoss(2))
    fitted = plain_classifier().fit(X, LABELS)
    assert fitted.loss_curve_ == losses
    expected = core.LogLoss(2).prediction(core.predict(params, X, arch))
    assert_array_equal(fitted.predict_proba(X), expected)


def test_parameters_reach_the_training_pass(train_calls, monkeypatch):
    monkeypatch.setattr(core, "effective_n_threads", lambda n_jobs: 10 + n_jobs)
    plain(alpha=0.25, max_grad_norm=None, batch_size=7, n_jobs=2).fit(X, y)
    call = train_calls[0]
    assert (call["alpha"], call["max_grad_norm"], call["batch_size"]) == (0.25, None, 7)
    assert call["n_threads"] == 12


@pytest.mark.parametrize(
    ("solver", "settings", "expected"),
    [
        (
            "adam",
            {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-6},
            core.Adam(1, np.float32, learning_rate=0.02, beta_1=0.8, beta_2=0.99, epsilon=1e-6),
        ),
        (
            "sgd",
            {"momentum": 0.5, "nesterovs_momentum": False},
            core.SGD(1, np.float32, learning_rate=0.02, momentum=0.5, nesterov=False),
        ),
    ],
)
def test_solver_and_its_settings_reach_the_optimiser(solver, settings, expected, train_calls):
    plain(solver=solver, learning_rate_init=0.02, **settings).fit(X, y)
    optimizer = train_calls[0]["optimizer"]
    assert type(optimizer) is type(expected)
    names = {"adam": ("beta_1", "beta_2", "epsilon"), "sgd": ("momentum", "nesterov")}[solver]
    for name in ("learning_rate", *names):
        assert getattr(optimizer, name) == getattr(expected, name)


def test_alpha_is_the_weight_decay_of_adamw():
    def norm_of(solver, alpha):
        fitted = plain(solver=solver, alpha=alpha, learning_rate_init=0.01, max_iter=20).fit(X, y)
        return np.linalg.norm(fitted.recurrent_coefs_[0])

    assert norm_of("adamw", 20.0) < 0.2 * norm_of("adamw", 0.0)
    assert norm_of("adamw", 0.0) == norm_of("adam", 0.0)
    undecayed = plain(solver="adamw").fit(X, y)
    assert undecayed.loss_curve_ == plain().fit(X, y).loss_curve_


def test_dropout_is_for_training_only():
    fitted = plain(dropout=0.5, recurrent_dropout=0.5).fit(X, y)
    assert_array_equal(fitted.predict(X), fitted.predict(X))
    expected = core.predict(fitted._parameters, X, fitted._architecture)[:, 0]
    assert_array_equal(fitted.predict(X), expected)
