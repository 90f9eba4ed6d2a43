"""The estimators' options: losses, lengths, missing values, states, sequences, and all together."""

import copy
import pickle
import threading
import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.metrics import (
    accuracy_score,
    d2_pinball_score,
    d2_tweedie_score,
    log_loss,
    r2_score,
)
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import pylstm._base
from pylstm import LSTMClassifier, LSTMRegressor, SequenceScaler, core
from pylstm.training import EMA, SWA, CosineDecay, ReduceOnPlateau, StepDecay, TrainingCallback

N_SAMPLES, N_TIMESTEPS, N_FEATURES = 45, 6, 2
rng = np.random.default_rng(0)
X = rng.normal(size=(N_SAMPLES, N_TIMESTEPS, N_FEATURES)).astype(np.float32)
y = (X[:, -1, 0] - 0.5 * X[:, -3, 1]).astype(np.float32)
Y = np.column_stack([y, X[:, 0, 0]])  # two targets
Y_STEPS = np.cumsum(X, axis=1) / 2  # two targets for each time step
LENGTHS = rng.integers(1, N_TIMESTEPS + 1, size=N_SAMPLES)
LENGTHS[[0, 7]] = [1, N_TIMESTEPS]
THERE = np.arange(N_TIMESTEPS) < LENGTHS[:, np.newaxis]
WITH_GAPS = np.where(rng.random(X.shape) < 0.3, np.nan, X).astype(np.float32)
LABELS = np.where(y > 0, "up", "down")
LABELS_STEPS = np.where(Y_STEPS[..., 0] > 0, "up", "down")

SMALL = {"hidden_size": 4, "batch_size": 16, "max_iter": 3, "random_state": 0, "n_jobs": 1}


def model(**parameters):
    return LSTMRegressor(**{**SMALL, **parameters})


def classifier(**parameters):
    return LSTMClassifier(**{**SMALL, **parameters})


def ragged(array):
    """What is there of each sample, as a list."""
    return [sample[:length] for sample, length in zip(array, LENGTHS, strict=True)]


def with_padding(array, value, more=0):
    """The array with `value` behind the samples' ends, and `more` such time steps."""
    padded = np.full((N_SAMPLES, N_TIMESTEPS + more, *array.shape[2:]), value, np.float64)
    padded[:, :N_TIMESTEPS][THERE] = array[THERE]
    return padded


@pytest.fixture(autouse=True)
def _let_short_fits_pass():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Training reached max_iter")
        yield


@pytest.fixture
def _routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def calls(monkeypatch):
    """The arrays X and the lengths of every call of core.train and core.predict, in order."""
    recorded = {"train": [], "predict": []}

    def spied(name):
        function = getattr(core, name)

        def spy(params, X, *args, **options):
            recorded[name].append((X, options["lengths"]))
            return function(params, X, *args, **options)

        monkeypatch.setattr(core, name, spy)

    spied("train")
    spied("predict")
    return recorded


def assert_same_fit(first, second):
    assert_array_equal(first._parameters, second._parameters)
    assert first.loss_curve_ == second.loss_curve_
    assert first.validation_scores_ == second.validation_scores_


# What the options do in the core


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
    fitted = model(**parameters).fit(data, targets, lengths=lengths)
    assert fitted.loss_curve_ == losses
    assert_array_equal(fitted._parameters, params)
    expected = core.predict(params, data, arch, lengths=lengths)
    if not parameters.get("stateful"):
        assert_array_equal(fitted.predict(data, lengths=lengths), expected)


LOSSES = {
    "squared_error": core.SquaredError(),
    "absolute_error": core.AbsoluteError(),
    "huber": core.Huber(1.0),
    "quantile": core.Quantile(0.5),
    "poisson": core.Poisson(),
    "gaussian": core.Gaussian(),
}
LOSS_OBJECTS = [core.Huber(0.2), core.Quantile(0.8), core.Quantile((0.1, 0.5, 0.9))]
ALL_LOSSES = [*LOSSES, *LOSS_OBJECTS]


def suiting(loss, targets):
    """Targets that the loss is defined for."""
    return np.abs(targets) if loss in ("poisson", core.Poisson()) else targets


@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("loss", ALL_LOSSES, ids=str)
def test_each_loss_reaches_the_core(loss, return_sequences):
    in_core = LOSSES.get(loss, loss) if isinstance(loss, str) else loss
    targets = suiting(loss, Y_STEPS if return_sequences else Y)
    arch = core.Architecture(
        N_FEATURES, 4, n_outputs=in_core.n_outputs(2), return_sequences=return_sequences
    )
    params, losses = by_hand(arch, X, targets, loss=in_core)
    fitted = model(loss=loss, return_sequences=return_sequences).fit(X, targets)
    assert fitted.loss_curve_ == losses
    assert_array_equal(fitted.predict(X), in_core.prediction(core.predict(params, X, arch)))
    assert fitted.n_outputs_ == 2


def test_classifier_is_the_log_loss_of_the_core():
    arch = core.Architecture(N_FEATURES, 4, n_outputs=2)
    codes = (LABELS == "up").astype(np.float32)[:, np.newaxis]
    params, losses = by_hand(arch, X, codes, loss=core.LogLoss(2))
    fitted = classifier().fit(X, LABELS)
    assert fitted.loss_curve_ == losses
    expected = core.LogLoss(2).prediction(core.predict(params, X, arch))
    assert_array_equal(fitted.predict_proba(X), expected)


def test_weights_are_listed_by_layer_and_direction():
    fitted = model(num_layers=2, bidirectional=True, missing="mask").fit(WITH_GAPS, Y)
    named = core.unpack_parameters(fitted._parameters, fitted._architecture)
    for coefs, letter in (
        (fitted.input_coefs_, "W"),
        (fitted.recurrent_coefs_, "U"),
        (fitted.gate_intercepts_, "b"),
    ):
        names = [f"{letter}{layer}{suffix}" for layer in (0, 1) for suffix in ("", "_reverse")]
        for array, name in zip(coefs, names, strict=True):
            assert_array_equal(array, named[name])
    assert [array.shape for array in fitted.input_coefs_] == [(4, 16), (4, 16), (8, 16), (8, 16)]
    assert fitted.output_coef_.shape == (8, 2)


# Lengths


ALIKE = {
    "plain": {},
    "deep and bidirectional": {"num_layers": 2, "bidirectional": True},
    "return_sequences": {"return_sequences": True},
    "missing": {"missing": "mask"},
    "dropout": {"dropout": 0.3, "recurrent_dropout": 0.3},
    "one batch": {"batch_size": 100},
    "one batch by steps": {"batch_size": 100, "return_sequences": True},
    "stateful": {"stateful": True, "shuffle": False},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "early stopping by steps": {"early_stopping": True, "return_sequences": True},
    "gaussian": {"loss": "gaussian"},
}
for_alike = pytest.mark.parametrize("parameters", ALIKE.values(), ids=ALIKE.keys())


def data_for(parameters):
    """X with missing values, and targets of all time steps, where they are asked for."""
    data = WITH_GAPS if parameters.get("missing") else X
    targets = Y_STEPS if parameters.get("return_sequences") else Y
    return data.astype(np.float64), suiting(parameters.get("loss"), targets)


def results(fitted, data, targets, **lengths):
    """All that a fitted regressor gives for sequences; of sequences what is there."""
    predicted = fitted.predict(data, **lengths)
    gates = fitted.gate_activations(data, **lengths)
    if fitted.return_sequences:
        predicted = predicted[:, :N_TIMESTEPS][THERE]
    return [
        predicted,
        fitted.transform(data, **lengths),
        fitted.score(data, targets, **lengths),
        *(trace[:, :N_TIMESTEPS][THERE] for trace in gates),
    ]


def assert_same_results(first, second):
    for one, other in zip(first, second, strict=True):
        assert_array_equal(one, other)


@for_alike
def test_list_of_sequences_is_the_same_as_padding_and_lengths(parameters):
    data, targets = data_for(parameters)
    target_list = ragged(targets) if "return_sequences" in parameters else targets
    whole = model(**parameters).fit(data, targets, lengths=LENGTHS)
    for container in (list, tuple):
        listed = model(**parameters).fit(container(ragged(data)), target_list)
        assert_same_fit(listed, whole)
    assert whole.n_timesteps_ is listed.n_timesteps_ is None
    assert_same_results(
        results(listed, ragged(data), target_list), results(whole, data, targets, lengths=LENGTHS)
    )
    if "early_stopping" not in parameters:
        whole.partial_fit(data, targets, lengths=LENGTHS)
        assert_same_fit(listed.partial_fit(ragged(data), target_list), whole)


@for_alike
@pytest.mark.parametrize("value", [np.nan, np.inf, -1e300, 1.0])
def test_contents_of_padding_change_no_bit(parameters, value):
    data, targets = data_for(parameters)
    padded = with_padding(data, value)
    padded_targets = with_padding(targets, value) if targets.ndim == 3 else targets
    plain = model(**parameters).fit(data, targets, lengths=LENGTHS)
    other = model(**parameters).fit(padded, padded_targets, lengths=LENGTHS)
    assert_same_fit(plain, other)
    assert_same_results(
        results(plain, data, targets, lengths=LENGTHS),
        results(plain, padded, padded_targets, lengths=LENGTHS),
    )


@for_alike
def test_more_padding_changes_no_bit(parameters):
    data, targets = data_for(parameters)
    padded = with_padding(data, np.nan, more=5)
    padded_targets = with_padding(targets, np.nan, more=5) if targets.ndim == 3 else targets
    plain = model(**parameters).fit(data, targets, lengths=LENGTHS)
    other = model(**parameters).fit(padded, padded_targets, lengths=LENGTHS)
    assert_same_fit(plain, other)
    assert_same_results(
        results(plain, data, targets, lengths=LENGTHS),
        results(plain, padded, padded_targets, lengths=LENGTHS),
    )


@pytest.mark.parametrize("parameters", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_prediction_of_a_sample_is_that_of_the_truncated_sample_alone(parameters):
    fitted = model(**parameters).fit(X, y, lengths=LENGTHS)
    predicted = fitted.predict(X, lengths=LENGTHS)
    features = fitted.transform(X, lengths=LENGTHS)
    for n, sample in enumerate(ragged(X)):
        assert_array_equal(fitted.predict(sample[np.newaxis]), predicted[[n]])
        assert_array_equal(fitted.transform(sample[np.newaxis]), features[[n]])


def test_full_lengths_are_the_same_as_none():
    full = np.full(N_SAMPLES, N_TIMESTEPS)
    without, given = model().fit(X, y), model().fit(X, y, lengths=full)
    assert_same_fit(without, given)
    assert_array_equal(without.predict(X), given.predict(X, lengths=full))
    assert (without.n_timesteps_, given.n_timesteps_) == (N_TIMESTEPS, None)


def test_lists_of_one_length_are_the_same_as_an_array():
    assert_same_fit(model().fit(list(X), y), model().fit(X, y))
    listed = model(return_sequences=True).fit(list(X), list(Y_STEPS))
    assert_same_fit(listed, model(return_sequences=True).fit(X, Y_STEPS))


@pytest.mark.parametrize("equal", [False, True])
def test_object_array_of_sequences_is_taken_as_a_list(equal):
    samples = list(X) if equal else ragged(X)
    objects = np.empty(N_SAMPLES, dtype=object)
    for n, sample in enumerate(samples):
        objects[n] = sample
    assert_same_fit(model().fit(objects, y), model().fit(samples, y))


def test_list_of_lists_and_of_dataframes_is_taken():
    pd = pytest.importorskip("pandas")
    expected = model().fit(ragged(X), y)
    assert_same_fit(model().fit([sample.tolist() for sample in ragged(X)], y), expected)
    assert_same_fit(model().fit([pd.DataFrame(sample) for sample in ragged(X)], y), expected)


def test_lengths_belong_to_two_dimensional_windows_too():
    univariate = model().fit(X[:, :, 0], y, lengths=LENGTHS)
    assert_same_fit(univariate, model().fit(X[:, :, :1], y, lengths=LENGTHS))
    flattened = model(n_timesteps=N_TIMESTEPS)
    flattened.fit(with_padding(X, np.nan).reshape(N_SAMPLES, -1), y, lengths=LENGTHS)
    assert_same_fit(flattened, model().fit(X, y, lengths=LENGTHS))


def test_sequences_with_lengths_may_be_longer_than_those_of_fit():
    fitted = model().fit(X[:, :4], y)
    assert fitted.predict(X, lengths=LENGTHS).shape == y.shape
    assert fitted.predict(ragged(X)).shape == y.shape


@pytest.mark.parametrize("return_sequences", [False, True])
def test_lengths_of_validation_samples_are_used(return_sequences):
    targets = Y_STEPS if return_sequences else y
    stopped = model(early_stopping=True, return_sequences=return_sequences)
    stopped.fit(
        X[:25],
        targets[:25],
        lengths=LENGTHS[:25],
        X_val=with_padding(X, np.nan)[25:],
        y_val=targets[25:],
        lengths_val=LENGTHS[25:],
    )
    expected = stopped.score(X[25:], targets[25:], lengths=LENGTHS[25:])
    assert stopped.best_validation_score_ == pytest.approx(expected, abs=1e-6)
    listed = clone(stopped).fit(
        ragged(X)[:25],
        ragged(targets)[:25] if return_sequences else targets[:25],
        X_val=ragged(X)[25:],
        y_val=ragged(targets)[25:] if return_sequences else targets[25:],
    )
    assert_same_fit(listed, stopped)


def test_in_one_batch_of_sequences_weight_is_repetition():
    weight = rng.integers(0, 4, size=N_SAMPLES)
    repeated = rng.permutation(np.repeat(np.arange(N_SAMPLES), weight))
    weighted = model(batch_size=1000).fit(X, y, weight, lengths=LENGTHS)
    other = model(batch_size=1000).fit(
        with_padding(X, np.nan)[repeated], y[repeated], lengths=LENGTHS[repeated]
    )
    assert_same_fit(weighted, other)


def test_samples_of_one_batch_differ_by_their_lengths_alone():
    constant, targets = np.ones((3, 6, 1)), np.ones(3)
    merged = model(batch_size=100).fit(constant, targets, lengths=[2, 4, 6])
    pairs = model(batch_size=100).fit(
        np.repeat(constant, 2, axis=0), np.ones(6), lengths=[2, 4, 6, 6, 4, 2]
    )
    assert_same_fit(merged, pairs)
    other = model(batch_size=100).fit(constant, targets, lengths=[2, 2, 6])
    assert merged.loss_curve_ != other.loss_curve_


WRONG_LENGTHS = {
    "with a list": (ragged(X), LENGTHS, ValueError, "do not pass lengths"),
    "too few": (X, LENGTHS[1:], ValueError, "lengths must have shape"),
    "no array": (X, 3, ValueError, "lengths must have shape"),
    "zero": (X, LENGTHS - 1, ValueError, "lengths must be from 1 to n_timesteps = 6"),
    "too long": (X, LENGTHS + 1, ValueError, "lengths must be from 1 to n_timesteps = 6"),
    "floats": (X, LENGTHS.astype(float), TypeError, "lengths must be integers"),
    "booleans": (X, LENGTHS > 2, TypeError, "lengths must be integers"),
}


@pytest.mark.parametrize(
    ("data", "lengths", "error", "message"), WRONG_LENGTHS.values(), ids=WRONG_LENGTHS.keys()
)
def test_wrong_lengths_raise(data, lengths, error, message):
    fitted = model().fit(X, y)
    for call in (model().fit, model().partial_fit, fitted.score):
        with pytest.raises(error, match=message):
            call(data, y, lengths=lengths)
    for call in (fitted.predict, fitted.transform, fitted.gate_activations):
        with pytest.raises(error, match=message):
            call(data, lengths=lengths)


def test_sequences_that_do_not_fit_together_raise():
    with pytest.raises(ValueError, match="must have the same features"):
        model().fit([*ragged(X)[1:], X[0][:2, :1]], y)
    with pytest.raises(ValueError, match="lengths must be from 1"):
        model().fit([*ragged(X)[1:], X[0][:0]], y)
    with pytest.raises(ValueError, match="X has 1 features"):
        model().fit(X, y).predict([X[0][:3, :1], X[1][:, :1]])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model().fit(ragged(X), y[1:])
    broken = ragged(X)[:]
    broken[7] = np.full((N_TIMESTEPS, N_FEATURES), np.nan)
    with pytest.raises(ValueError, match="NaN or infinity before the end of a sequence"):
        model().fit(broken, y)


def change_one(targets, n, change):
    targets = ragged(targets)
    targets[n] = change(targets[n])
    return targets


TARGETS_THAT_DO_NOT_FIT = {
    "one too few": lambda steps: steps[:-1],
    "one too many": lambda steps: np.concatenate([steps, steps[:1]]),
    "far too many": lambda steps: np.concatenate([steps] * 9),
    "no axis of targets": lambda steps: steps[:, 0],
    "another number of targets": lambda steps: steps[:, :1],
    "a number": lambda steps: 1.0,
}


@pytest.mark.parametrize(
    "change", TARGETS_THAT_DO_NOT_FIT.values(), ids=TARGETS_THAT_DO_NOT_FIT.keys()
)
@pytest.mark.parametrize("given", ["list", "padded"])
def test_lists_of_targets_that_do_not_fit_raise(change, given):
    n = int(np.flatnonzero((LENGTHS > 2) & (LENGTHS < N_TIMESTEPS))[0])
    targets = change_one(Y_STEPS, n, change)
    data, lengths = (ragged(X), None) if given == "list" else (X, LENGTHS)
    with pytest.raises(ValueError):
        model(return_sequences=True).fit(data, targets, lengths=lengths)
    fitted = model(return_sequences=True).fit(X, Y_STEPS, lengths=LENGTHS)
    with pytest.raises(ValueError):
        fitted.score(data, targets, lengths=lengths)


def test_list_of_targets_goes_with_padded_sequences():
    short = np.full(N_SAMPLES, 4)
    listed = model(return_sequences=True).fit(X, list(Y_STEPS[:, :4]), lengths=short)
    assert_same_fit(listed, model(return_sequences=True).fit(X, Y_STEPS, lengths=short))
    some = np.where(THERE[..., np.newaxis], Y_STEPS, np.nan)
    listed = model(return_sequences=True).fit(X, ragged(Y_STEPS), lengths=LENGTHS)
    assert_same_fit(listed, model(return_sequences=True).fit(X, some, lengths=LENGTHS))


def test_targets_missing_before_the_end_raise():
    broken = Y_STEPS.copy()
    broken[7, -1] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity before the end of a sequence"):
        model(return_sequences=True).fit(X, broken, lengths=LENGTHS)
    with pytest.raises(ValueError, match="NaN"):
        model(return_sequences=True).fit(X, broken)


# Lengths in searches


def requesting(estimator):
    return estimator.set_fit_request(lengths=True).set_score_request(lengths=True)


def assert_split_lengths(calls, cv):
    """Each fit and each score of a cross-validation got what belongs to its samples."""
    for (train, test), fitted, scored in zip(
        cv.split(X), calls["train"], calls["predict"], strict=False
    ):
        assert_array_equal(fitted[1], LENGTHS[train])
        assert_array_equal(fitted[0], X[train])
        assert_array_equal(scored[1], LENGTHS[test])
        assert_array_equal(scored[0], X[test])


@pytest.mark.usefixtures("_routing")
def test_cross_validation_routes_each_split_its_own_lengths(calls):
    cv = KFold(3)
    scores = cross_validate(
        requesting(model(max_iter=1)),
        X,
        y,
        cv=cv,
        params={"lengths": LENGTHS},
        error_score="raise",
    )["test_score"]
    assert len(calls["train"]) == len(calls["predict"]) == 3
    assert_split_lengths(calls, cv)
    train, test = next(cv.split(X))
    fitted = model(max_iter=1).fit(X[train], y[train], lengths=LENGTHS[train])
    assert scores[0] == fitted.score(X[test], y[test], lengths=LENGTHS[test])


@pytest.mark.usefixtures("_routing")
def test_grid_search_routes_lengths_to_fits_scores_and_the_last_fit(calls):
    search = GridSearchCV(
        requesting(model(max_iter=1)), {"solver": ["adam"]}, cv=KFold(3), error_score="raise"
    )
    search.fit(X, y, lengths=LENGTHS)
    assert_split_lengths(calls, KFold(3))
    assert_array_equal(calls["train"][3][1], LENGTHS)
    expected = model(max_iter=1).fit(X, y, lengths=LENGTHS)
    assert_same_fit(search.best_estimator_, expected)
    assert search.score(X, y, lengths=LENGTHS) == expected.score(X, y, lengths=LENGTHS)


@pytest.mark.usefixtures("_routing")
def test_pipeline_routes_lengths_to_scaler_and_network():
    scaler = SequenceScaler().set_fit_request(lengths=True).set_transform_request(lengths=True)
    regressor = requesting(model()).set_predict_request(lengths=True)
    pipeline = make_pipeline(scaler, regressor)
    padded = with_padding(X, 1e6)
    pipeline.fit(padded, y, lengths=LENGTHS)
    scaled = SequenceScaler().fit_transform(padded, lengths=LENGTHS)
    expected = model().fit(scaled, y, lengths=LENGTHS)
    assert_same_fit(pipeline[-1], expected)
    assert_array_equal(
        pipeline.predict(padded, lengths=LENGTHS), expected.predict(scaled, lengths=LENGTHS)
    )
    assert pipeline.score(padded, y, lengths=LENGTHS) == expected.score(scaled, y, lengths=LENGTHS)
    search = GridSearchCV(
        pipeline, {"lstmregressor__hidden_size": [2, 3]}, cv=2, error_score="raise"
    )
    search.fit(padded, y, lengths=LENGTHS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.usefixtures("_routing")
def test_pipeline_routes_lengths_past_a_step_without_and_through_the_network_as_a_step():
    regressor = model().set_fit_request(lengths=True).set_transform_request(lengths=True)
    pipeline = make_pipeline(FunctionTransformer(), regressor, Ridge())
    padded = with_padding(X, np.nan)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*does not forward metadata.*")
        pipeline.fit(padded, y, lengths=LENGTHS)
    features = model().fit(X, y, lengths=LENGTHS).transform(padded, lengths=LENGTHS)
    expected = Ridge().fit(features, y).predict(features)
    assert_array_equal(pipeline.predict(padded, lengths=LENGTHS), expected)


@pytest.mark.usefixtures("_routing")
def test_lengths_reach_partial_fit_and_the_classifier():
    for estimator in (model(), classifier()):
        for method in ("fit", "partial_fit", "predict", "score", "transform"):
            requests = getattr(estimator.get_metadata_routing(), method).requests
            assert requests["lengths"] is None
    scores = cross_val_score(
        requesting(classifier()),
        X,
        LABELS,
        cv=2,
        params={"lengths": LENGTHS},
        error_score="raise",
    )
    assert np.isfinite(scores).all()


def test_lists_of_sequences_need_no_routing_in_searches():
    scores = cross_val_score(model(), ragged(X), y, cv=KFold(3), error_score="raise")
    for (train, test), score in zip(KFold(3).split(X), scores, strict=True):
        fitted = model().fit(X[train], y[train], lengths=LENGTHS[train])
        assert score == fitted.score(X[test], y[test], lengths=LENGTHS[test])
    search = GridSearchCV(model(), {"hidden_size": [2, 3]}, cv=2, error_score="raise")
    search.fit(ragged(X), y)
    assert search.predict(ragged(X)).shape == y.shape
    steps = cross_val_score(
        model(return_sequences=True), ragged(X), ragged(Y_STEPS), cv=2, error_score="raise"
    )
    assert np.isfinite(steps).all()


def test_pipeline_scales_lists_of_sequences():
    samples = ragged(X.astype(np.float64))
    pipeline = make_pipeline(SequenceScaler(), model()).fit(samples, y)
    padded = with_padding(X, np.nan)
    scaled = SequenceScaler().fit_transform(padded, lengths=LENGTHS)
    assert_array_equal(
        pipeline.predict(samples),
        model().fit(scaled, y, lengths=LENGTHS).predict(scaled, lengths=LENGTHS),
    )


# Missing values


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
def test_nan_is_accepted_only_as_missing_and_infinity_never(lengths):
    with pytest.raises(ValueError, match="NaN"):
        model().fit(WITH_GAPS, y, lengths=lengths)
    fitted = model(missing="mask").fit(WITH_GAPS, y, lengths=lengths)
    assert np.isfinite(fitted.predict(WITH_GAPS, lengths=lengths)).all()
    plain = model().fit(X, y, lengths=lengths)
    for call in (plain.predict, plain.transform, plain.gate_activations):
        with pytest.raises(ValueError, match="NaN"):
            call(WITH_GAPS, lengths=lengths)
    for value in (np.inf, -np.inf):
        broken = WITH_GAPS.copy()
        broken[0, 0, 0] = value
        with pytest.raises(ValueError, match="infinity"):
            fitted.predict(broken, lengths=lengths)
        with pytest.raises(ValueError, match="infinity"):
            model(missing="mask").fit(broken, y, lengths=lengths)


def test_missing_values_in_two_dimensional_windows_are_taken():
    flat = model(missing="mask", n_timesteps=N_TIMESTEPS)
    flat.fit(WITH_GAPS.reshape(N_SAMPLES, -1), y)
    assert_same_fit(flat, model(missing="mask").fit(WITH_GAPS, y))


def test_missing_targets_raise():
    with pytest.raises(ValueError, match="Input y contains NaN"):
        model(missing="mask").fit(X, np.where(y > 0, y, np.nan))


def test_mask_reads_the_last_observed_value_and_what_is_missing():
    masked = model(missing="mask", dtype="float64").fit(WITH_GAPS, y)
    missing = np.isnan(WITH_GAPS)
    filled = np.zeros(X.shape)
    last = np.zeros(X[:, 0].shape)
    for t in range(N_TIMESTEPS):
        last = np.where(missing[:, t], last, WITH_GAPS[:, t])
        filled[:, t] = last
    inputs = np.concatenate([filled, missing], axis=2)
    plain = model(dtype="float64").fit(inputs, y)
    assert_array_equal(masked._parameters, plain._parameters)
    assert_array_equal(masked.predict(WITH_GAPS.astype(float)), plain.predict(inputs))


def test_mask_learns_from_what_is_missing():
    data = rng.normal(size=(300, 4, 1))
    missing = rng.random(data.shape) < 0.5
    targets = missing[:, -2, 0].astype(float)
    gaps = np.where(missing, np.nan, data)
    training = {"learning_rate_init": 0.03, "max_iter": 25}
    masked = model(missing="mask", **training).fit(gaps[:200], targets[:200])
    assert masked.score(gaps[200:], targets[200:]) > 0.9
    zeros = np.where(missing, rng.normal(size=data.shape), data)
    blind = model(**training).fit(zeros[:200], targets[:200])
    assert blind.score(zeros[200:], targets[200:]) < 0.3


def test_missing_values_are_announced_in_the_tags():
    for make in (model, classifier):
        assert make(missing="mask").__sklearn_tags__().input_tags.allow_nan
        assert not make().__sklearn_tags__().input_tags.allow_nan


# Losses


def simulated(n, seed=0):
    """Windows of noise; targets from their last step, with a noise that depends on the first."""
    generator = np.random.default_rng(seed)
    windows = generator.normal(size=(n, 3, 1))
    sigma = np.where(windows[:, 0, 0] > 0, 1.0, 0.3)
    return windows, windows[:, -1, 0] + sigma * generator.normal(size=n), sigma


TRAINED = {
    "hidden_size": 8,
    "batch_size": 32,
    "learning_rate_init": 0.02,
    "learning_rate": CosineDecay(),
    "n_iter_no_change": np.inf,
    "max_iter": 25,
}


@pytest.mark.parametrize(
    ("targets", "shape"),
    [(y, (N_SAMPLES, 3)), (Y, (N_SAMPLES, 2, 3))],
    ids=["one target", "two targets"],
)
def test_quantiles_are_the_last_axis_and_sorted(targets, shape):
    fitted = model(loss=core.Quantile((0.1, 0.5, 0.9)), max_iter=1).fit(X, targets)
    predicted = fitted.predict(X)
    assert predicted.shape == shape
    assert (np.diff(predicted, axis=-1) >= 0).all()
    raw = core.predict(fitted._parameters, X, fitted._architecture)
    assert (np.diff(raw.reshape(shape), axis=-1) < 0).any()  # there was something to sort
    assert_array_equal(np.sort(raw.reshape(shape), axis=-1), predicted)


def test_single_quantile_adds_an_axis_only_in_a_sequence():
    assert model(loss=core.Quantile(0.3)).fit(X, y).predict(X).shape == (N_SAMPLES,)
    assert model(loss=core.Quantile((0.3,))).fit(X, y).predict(X).shape == (N_SAMPLES, 1)
    assert model(loss=core.Quantile((0.3,))).fit(X, Y).predict(X).shape == (N_SAMPLES, 2, 1)


def test_quantiles_cover_their_shares():
    train, targets, _ = simulated(2000)
    fitted = model(**TRAINED, loss=core.Quantile((0.1, 0.5, 0.9))).fit(train, targets)
    test, truth, _ = simulated(2000, seed=1)
    shares = (truth[:, np.newaxis] < fitted.predict(test)).mean(axis=0)
    assert_allclose(shares, [0.1, 0.5, 0.9], atol=0.04)


def test_poisson_predictions_are_positive_and_calibrated():
    windows, _, _ = simulated(1500)
    mean = np.exp(0.7 * windows[:, -1, 0] + 0.3)
    counts = np.random.default_rng(1).poisson(mean)
    predicted = model(**TRAINED, loss="poisson").fit(windows, counts).predict(windows)
    assert (predicted > 0).all()
    assert predicted.mean() == pytest.approx(counts.mean(), rel=0.05)
    assert r2_score(mean, predicted) > 0.9


def test_gaussian_finds_a_deviation_that_differs_between_samples():
    train, targets, _ = simulated(2000)
    fitted = model(**TRAINED, loss="gaussian").fit(train, targets)
    test, _, sigma = simulated(500, seed=1)
    mean, deviation = fitted.predict(test, return_std=True)
    assert mean.shape == deviation.shape == sigma.shape
    assert_array_equal(mean, fitted.predict(test))
    assert np.median(np.abs(deviation / sigma - 1)) < 0.15
    assert np.abs(mean - test[:, -1, 0]).mean() < 0.15


def test_standard_deviations_are_shaped_as_the_means():
    for targets in (y, Y, Y_STEPS, Y_STEPS[..., 0]):
        fitted = model(loss="gaussian", return_sequences=targets[0].size > 2).fit(X, targets)
        mean, deviation = fitted.predict(X, return_std=True)
        assert mean.shape == deviation.shape == targets.shape
        assert (deviation > 0).all()
        assert mean.dtype == deviation.dtype == np.float32
        z = core.predict(fitted._parameters, X, fitted._architecture)
        assert_array_equal(mean, z[..., ::2].reshape(targets.shape))
        expected = np.log1p(np.exp(z[..., 1::2])) + 1e-6
        assert_allclose(deviation, expected.reshape(targets.shape), rtol=1e-5)
        mean, deviation, states = fitted.predict(X, return_std=True, return_state=True)
        assert states.h.shape == (1, N_SAMPLES, 4)


@pytest.mark.parametrize("loss", [loss for loss in ALL_LOSSES if loss != "gaussian"], ids=str)
def test_standard_deviations_of_another_loss_raise(loss):
    with pytest.raises(ValueError, match=r"return_std=True needs .* loss='gaussian'"):
        model(loss=loss).fit(X, suiting(loss, y)).predict(X, return_std=True)


def test_median_and_huber_resist_outliers():
    windows, targets, _ = simulated(1000)
    targets[::10] += 50
    inliers = np.arange(1000) % 10 > 0
    for loss in ("absolute_error", "huber", "quantile"):
        fitted = model(**TRAINED, loss=loss).fit(windows, targets)
        bias = fitted.predict(windows[inliers]) - windows[inliers, -1, 0]
        assert abs(bias.mean()) < 0.4, loss
    bias = model(**TRAINED).fit(windows, targets).predict(windows) - windows[:, -1, 0]
    assert bias.mean() > 1


def expected_score(loss, targets, predicted, weight):
    if not isinstance(loss, core.Quantile) and loss != "quantile":
        return r2_score(targets, predicted, sample_weight=weight)
    quantiles = np.atleast_1d(0.5 if loss == "quantile" else loss.quantiles)
    predicted = predicted.reshape(*targets.shape, len(quantiles))
    return np.mean(
        [
            d2_pinball_score(targets, predicted[..., k], alpha=quantile, sample_weight=weight)
            for k, quantile in enumerate(quantiles)
        ]
    )


@pytest.mark.parametrize("targets", [y, Y], ids=["one target", "two targets"])
@pytest.mark.parametrize("loss", ALL_LOSSES, ids=str)
def test_score_is_that_of_scikit_learn(loss, targets):
    targets = suiting(loss, targets)
    fitted = model(loss=loss).fit(X, targets)
    for weight in (None, np.linspace(0, 2, N_SAMPLES)):
        expected = expected_score(loss, targets, fitted.predict(X), weight)
        assert fitted.score(X, targets, weight) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("targets", [y, Y], ids=["one target", "two targets"])
@pytest.mark.parametrize("loss", ALL_LOSSES, ids=str)
def test_early_stopping_has_the_score_of_the_loss(loss, targets):
    targets = suiting(loss, targets)
    train, val = np.arange(25), np.arange(25, N_SAMPLES)
    weight = np.linspace(1, 2, len(val))
    stopped = model(loss=loss, early_stopping=True, max_iter=6).fit(
        X[train], targets[train], X_val=X[val], y_val=targets[val], sample_weight_val=weight
    )
    truth, predicted = targets[val], stopped.predict(X[val])
    if loss == "gaussian":
        mean, deviation = stopped.predict(X[val], return_std=True)
        density = norm.logpdf(truth, mean, deviation).reshape(len(val), -1).mean(axis=1)
        expected = np.average(density, weights=weight) + np.log(2 * np.pi) / 2
    elif loss == "poisson":
        columns = zip(truth.reshape(len(val), -1).T, predicted.reshape(len(val), -1).T, strict=True)
        expected = np.mean([d2_tweedie_score(*c, sample_weight=weight, power=1) for c in columns])
    else:
        expected = expected_score(loss, truth, predicted, weight)
    assert stopped.best_validation_score_ == max(stopped.validation_scores_)
    assert stopped.best_validation_score_ == pytest.approx(expected, abs=1e-5)


def test_counts_that_are_all_zero_can_be_validated_on():
    stopped = model(loss="poisson", early_stopping=True).fit(
        X[:30], np.abs(y[:30]), X_val=X[30:], y_val=np.zeros(15)
    )
    assert not np.isinf(stopped.validation_scores_).any()


@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("loss", ALL_LOSSES, ids=str)
def test_stalling_is_judged_by_the_loss_of_zero_outputs(loss, return_sequences, monkeypatch):
    in_core = LOSSES.get(loss, loss) if isinstance(loss, str) else loss
    targets = suiting(loss, Y_STEPS if return_sequences else Y)
    weight = np.linspace(0.5, 2, N_SAMPLES)
    arch = core.Architecture(
        N_FEATURES, 1, n_outputs=in_core.n_outputs(2), return_sequences=return_sequences
    )
    zeros = np.zeros(core.n_parameters(arch), np.float32)
    of_zeros, _ = core.loss_and_gradient(
        zeros, X, targets, arch, loss=in_core, sample_weight=weight, lengths=LENGTHS
    )
    parameters = {"loss": loss, "return_sequences": return_sequences, "n_iter_no_change": 1}
    monkeypatch.setattr(core, "train", lambda *args, **options: of_zeros + 1e-3)
    with pytest.warns(ConvergenceWarning, match="worse than that of an output of 0"):
        model(**parameters).fit(X, targets, weight, lengths=LENGTHS)
    monkeypatch.setattr(core, "train", lambda *args, **options: of_zeros - 1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(**parameters).fit(X, targets, weight, lengths=LENGTHS)


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=str)
def test_training_gone_astray_ends_with_a_usable_network(loss):
    with pytest.warns(ConvergenceWarning):
        fitted = model(
            loss=loss, solver="sgd", learning_rate_init=300.0, max_grad_norm=None, max_iter=30
        ).fit(X, suiting(loss, Y))
    assert np.isfinite(fitted.predict(X.astype(np.float64))).all()


def test_predictions_that_overflow_raise_whatever_the_loss_makes_of_outputs():
    fitted = model(loss="poisson").fit(X, np.abs(y))
    fitted.output_intercept_[:] = 100  # e^100 is no float32
    with pytest.raises(ValueError, match="not finite"):
        fitted.predict(X)


@pytest.mark.parametrize("loss", [core.LogLoss(3), core.Quantile, "log_loss", None], ids=str)
def test_loss_of_another_kind_raises(loss):
    with pytest.raises((TypeError, ValueError), match="loss"):
        model(loss=loss).fit(X, np.arange(N_SAMPLES) % 3)


def test_negative_counts_raise():
    with pytest.raises(ValueError, match="not negative"):
        model(loss="poisson").fit(X, y)


def test_transformed_targets_have_their_quantiles_transformed_back():
    targets = 1000 + 50 * y
    inner = model(loss=core.Quantile((0.1, 0.5, 0.9)))
    wrapped = TransformedTargetRegressor(inner, transformer=StandardScaler()).fit(X, targets)
    predicted = wrapped.predict(X)
    assert predicted.shape == (N_SAMPLES, 3)
    expected = wrapped.regressor_.predict(X) * targets.std() + targets.mean()
    assert_allclose(predicted, expected, rtol=1e-5)


def test_grid_search_over_losses():
    losses = ["squared_error", core.Huber(0.5), core.Quantile(0.5), core.Quantile((0.2, 0.8))]
    search = GridSearchCV(model(), {"loss": losses}, cv=2, error_score="raise").fit(X, y)
    assert search.cv_results_["param_loss"].tolist() == losses
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=str)
def test_losses_survive_clone_and_pickle(loss):
    targets = suiting(loss, Y)
    fitted = model(loss=loss).fit(X, targets)
    assert clone(fitted).loss == loss
    restored = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(restored.predict(X), fitted.predict(X))
    assert_same_fit(restored.partial_fit(X, targets), fitted.partial_fit(X, targets))


def test_changed_loss_cannot_be_continued():
    fitted = model(loss=core.Huber(0.5)).fit(X, y).set_params(loss=core.Huber(0.6))
    with pytest.raises(ValueError, match=r"the loss=Huber\(delta=0.6\) \(was Huber\(delta=0.5\)\)"):
        fitted.partial_fit(X, y)
    same = model(loss="huber").fit(X, y).set_params(loss=core.Huber(1.0))
    assert same.partial_fit(X, y).n_iter_ == 4


# States


STATE_CASES = {
    "one layer": {},
    "two layers": {"num_layers": 2},
    "float64": {"dtype": "float64"},
    "return_sequences": {"return_sequences": True},
    "gaussian": {"loss": "gaussian"},
}


@pytest.mark.parametrize("parameters", STATE_CASES.values(), ids=STATE_CASES.keys())
def test_prediction_goes_on_from_a_state_as_if_never_interrupted(parameters):
    fitted = model(**parameters).fit(X, Y_STEPS if "return_sequences" in parameters else Y)
    whole, final = fitted.predict(X, return_state=True)
    fitted.n_timesteps_ = None  # as if it had seen sequences of any length
    first, state = fitted.predict(X[:, :2], return_state=True)
    second, last = fitted.predict(X[:, 2:], initial_state=state, return_state=True)
    if "return_sequences" in parameters:
        second = np.concatenate([first, second], axis=1)
    assert_array_equal(second, whole)
    assert state.h.shape == state.c.shape == (fitted.num_layers, N_SAMPLES, 4)
    assert_same_results(last, final)


def test_state_with_lengths_is_that_after_the_last_step():
    fitted = model(num_layers=2).fit(X, y, lengths=LENGTHS)
    whole = fitted.predict(X, lengths=LENGTHS)
    first = np.maximum(LENGTHS // 2, 1)
    more = LENGTHS > 1
    _, state = fitted.predict(with_padding(X, np.nan)[more], lengths=first[more], return_state=True)
    rest = [X[n, first[n] : LENGTHS[n]] for n in np.flatnonzero(more)]
    predicted = fitted.predict(rest, initial_state=state)
    assert_array_equal(predicted.astype(np.float32), whole[more])


def test_state_of_zeros_is_no_state():
    fitted = model().fit(X, y)
    zeros = np.zeros((1, N_SAMPLES, 4))
    assert_array_equal(fitted.predict(X, initial_state=(zeros, zeros)), fitted.predict(X))
    ones = np.ones((1, N_SAMPLES, 4))
    assert (fitted.predict(X, initial_state=(ones, zeros)) != fitted.predict(X)).any()
    assert (fitted.predict(X, initial_state=(zeros, ones)) != fitted.predict(X)).any()


@pytest.mark.parametrize("shape", [(1, N_SAMPLES - 1, 4), (2, N_SAMPLES, 4), (N_SAMPLES, 4)])
def test_states_of_a_wrong_shape_raise(shape):
    right, wrong = np.zeros((1, N_SAMPLES, 4)), np.zeros(shape)
    fitted, labelled = model().fit(X, y), classifier().fit(X, LABELS)
    for state in ((right, wrong), (wrong, right)):
        for call in (fitted.predict, labelled.predict, labelled.predict_proba):
            with pytest.raises(ValueError, match="must have shape"):
                call(X, initial_state=state)


def test_classifier_goes_on_from_a_state():
    fitted = classifier().fit(X, LABELS)
    whole = fitted.predict_proba(X)
    fitted.n_timesteps_ = None
    for call in (fitted.predict, fitted.predict_proba):
        _, state = call(X[:, :2], return_state=True)
        assert_array_equal(fitted.predict_proba(X[:, 2:], initial_state=state), whole)
        result, last = call(X[:, 2:], initial_state=state, return_state=True)
        assert_array_equal(result, call(X[:, 2:], initial_state=state))
        assert last.h.shape == (1, N_SAMPLES, 4)


STATEFUL = {"stateful": True, "shuffle": False}


@pytest.mark.parametrize("num_layers", [1, 2])
def test_stateful_windows_are_predicted_as_one_long_sequence(num_layers):
    fitted = model(**STATEFUL, num_layers=num_layers, return_sequences=True).fit(X, Y_STEPS)
    predicted, final = fitted.predict(X, return_state=True)
    long = X.reshape(1, -1, N_FEATURES)
    output, h, c = core.predict(fitted._parameters, long, fitted._architecture, return_states=True)
    assert_array_equal(predicted.reshape(output.shape), output)
    assert_same_results(final, (h, c))
    _, state = fitted.predict(X[:9], return_state=True)
    rest = fitted.predict(X[9:], initial_state=state)
    assert_array_equal(rest, predicted[9:])


def test_stateful_features_are_those_that_predictions_are_made_of():
    fitted = model(**STATEFUL, dtype="float64").fit(X, y)
    outputs = fitted.transform(X) @ fitted.output_coef_[:, 0] + fitted.output_intercept_[0]
    assert_allclose(outputs, fitted.predict(X), rtol=1e-6)
    gates = fitted.gate_activations(X)
    assert_array_equal(gates.hidden[:, -1], fitted.transform(X))
    forgotten = gates.forget[1:, 0] * gates.cell[:-1, -1]
    expected = forgotten + gates.input[1:, 0] * gates.candidate[1:, 0]
    assert_allclose(gates.cell[1:, 0], expected, rtol=1e-12, atol=1e-14)


def test_stateful_score_and_validation_carry_states():
    stopped = model(**STATEFUL, early_stopping=True, validation_fraction=0.4).fit(X, y)
    held_out = slice(27, None)
    expected = r2_score(y[held_out], stopped.predict(X[held_out]))
    assert stopped.best_validation_score_ == pytest.approx(expected, abs=1e-6)
    assert stopped.score(X, y) == pytest.approx(r2_score(y, stopped.predict(X)), abs=1e-6)
    stateless = core.predict(stopped._parameters, X, stopped._architecture)[:, 0]
    assert (stateless[1:] != stopped.predict(X)[1:]).all()


@pytest.mark.parametrize("parameters", [STATEFUL, {"return_sequences": True}], ids=str)
def test_validation_in_pieces_gives_the_same_scores(parameters, monkeypatch):
    stopped = model(**parameters, early_stopping=True, validation_fraction=0.4)
    targets = Y_STEPS if "return_sequences" in parameters else Y
    stopped.fit(X, targets, lengths=LENGTHS)
    monkeypatch.setattr(pylstm._base, "_SCORED_AT_ONCE", 4 * N_TIMESTEPS * N_FEATURES)
    assert_same_fit(clone(stopped).fit(X, targets, lengths=LENGTHS), stopped)


def test_stateful_network_remembers_a_clue_of_an_earlier_window():
    n_blocks, per_block = 150, 4
    clue = rng.choice([-1.0, 1.0], size=n_blocks)
    windows = np.zeros((n_blocks * per_block, 3, 2))
    windows[::per_block, 0] = np.column_stack([clue, np.ones(n_blocks)])
    targets = np.repeat(clue, per_block)
    training = {"batch_size": 15, "shuffle": False, "learning_rate_init": 0.03, "max_iter": 25}
    remembering = model(stateful=True, **training).fit(windows, targets)
    assert remembering.score(windows, targets) > 0.8
    forgetful = model(**training).fit(windows, targets)
    assert forgetful.score(windows, targets) < 0.4


def test_stateful_contradictions_raise():
    with pytest.raises(ValueError, match="set shuffle=False"):
        model(stateful=True).fit(X, y)
    with pytest.raises(ValueError, match="bidirectional"):
        model(**STATEFUL, bidirectional=True).fit(X, y)
    with pytest.raises(ValueError, match="set shuffle=False"):
        model().fit(X, y).set_params(stateful=True).partial_fit(X, y)


# Streams


STREAMED = {
    **{str(loss): {"loss": loss} for loss in ALL_LOSSES},
    "two layers": {"num_layers": 2},
    "missing": {"missing": "mask"},
    "float64": {"dtype": "float64"},
    "return_sequences": {"return_sequences": True, "num_layers": 2},
    "quantiles by step": {"return_sequences": True, "loss": core.Quantile((0.1, 0.9))},
    "gaussian by step": {"return_sequences": True, "loss": "gaussian"},
}


@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("parameters", STREAMED.values(), ids=STREAMED.keys())
def test_stream_gives_the_bits_of_predict(parameters, n_targets):
    data = WITH_GAPS if "missing" in parameters else X
    targets = Y_STEPS if "return_sequences" in parameters else Y
    targets = suiting(parameters.get("loss"), targets[..., 0] if n_targets == 1 else targets)
    fitted = model(**parameters).fit(data, targets)
    data = data[:9].astype(fitted.dtype)
    predicted = fitted.predict(data)
    if "return_sequences" not in parameters:
        fitted.n_timesteps_ = None
        predicted = np.stack([fitted.predict(data[:, : t + 1]) for t in range(N_TIMESTEPS)], axis=1)
    stream = fitted.stream()
    for sample, expected in zip(data, predicted, strict=True):
        stream.reset()
        for x, at_step in zip(sample, expected, strict=True):
            result = stream.step(x)
            assert np.shape(result) == np.shape(at_step)
            assert result.dtype == at_step.dtype == fitted.dtype
            assert_array_equal(result, at_step)


def test_stream_of_a_classifier_gives_probabilities():
    labels = np.digitize(y, np.linspace(-1, 1, 10))  # eleven classes: more than SIMD lanes
    for return_sequences in (False, True):
        targets = labels
        if return_sequences:
            targets = np.digitize(Y_STEPS[..., 0], [-0.5, 0, 0.5])
        fitted = classifier(return_sequences=return_sequences).fit(X, targets)
        stream = fitted.stream()
        for sample, expected in zip(X[:9], fitted.predict_proba(X[:9]), strict=True):
            stream.reset()
            steps = np.array([stream.step(x) for x in sample])
            assert_array_equal(steps if return_sequences else steps[-1], expected)


def test_stream_states_are_those_of_predict_and_can_be_set():
    fitted = model(num_layers=2).fit(X, y)
    stream = fitted.stream()
    results = [stream.step(x) for x in X[3]]
    _, state = fitted.predict(X[[3]], return_state=True)
    assert_array_equal(stream.states[0], state.h[:, 0])
    assert_array_equal(stream.states[1], state.c[:, 0])
    stream.reset()
    stream.step(X[3, 0])
    saved = stream.states
    for x in X[5]:
        stream.step(x)
    stream.states = saved
    assert [stream.step(x) for x in X[3, 1:]] == results[1:]


def test_stateful_prediction_is_an_endless_stream():
    fitted = model(**STATEFUL).fit(X, y)
    stream = fitted.stream()
    for window, predicted in zip(X, fitted.predict(X), strict=True):
        steps = [stream.step(x) for x in window]
        assert steps[-1] == predicted


def test_stream_keeps_the_weights_it_was_opened_with():
    fitted = model().fit(X, y)
    stream, expected = fitted.stream(), fitted.predict(X[:1])[0]
    fitted.partial_fit(X, y)
    assert [stream.step(x) for x in X[0]][-1] == expected


def test_stream_of_a_bidirectional_network_raises():
    with pytest.raises(ValueError, match="bidirectional"):
        model(bidirectional=True).fit(X, y).stream()


# Sequences of targets


@pytest.mark.parametrize(
    "targets", [Y_STEPS, Y_STEPS[..., :1], Y_STEPS[..., 0]], ids=lambda t: str(t.shape)
)
def test_sequences_are_predicted_in_the_shape_of_y(targets):
    fitted = model(return_sequences=True).fit(X, targets)
    assert fitted.predict(X).shape == targets.shape
    assert fitted.n_outputs_ == (2 if targets.shape == Y_STEPS.shape else 1)
    quantiles = model(return_sequences=True, loss=core.Quantile((0.1, 0.5, 0.9))).fit(X, targets)
    assert quantiles.predict(X).shape == (*targets.shape, 3)
    assert quantiles.partial_fit(X, targets).predict(X).shape == (*targets.shape, 3)


def test_sequences_are_learned():
    windows = rng.normal(size=(100, 8, 1))
    sums = np.cumsum(windows, axis=1)[..., 0] / 3
    fitted = model(return_sequences=True, learning_rate_init=0.02, max_iter=50)
    assert fitted.fit(windows[:80], sums[:80]).score(windows[80:], sums[80:]) > 0.9


@pytest.mark.parametrize("loss", ["squared_error", core.Quantile((0.2, 0.7))], ids=str)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
def test_score_of_sequences_counts_the_steps_that_are_there(loss, lengths):
    fitted = model(return_sequences=True, loss=loss).fit(X, Y_STEPS, lengths=lengths)
    there = np.ones_like(THERE) if lengths is None else THERE
    predicted = fitted.predict(X, lengths=lengths)[there]
    score = fitted.score(X, Y_STEPS, lengths=lengths)
    assert score == pytest.approx(expected_score(loss, Y_STEPS[there], predicted, None), abs=1e-5)
    weight = np.linspace(0, 2, N_SAMPLES)
    by_step = np.broadcast_to(weight[:, np.newaxis], THERE.shape)[there]
    score = fitted.score(X, Y_STEPS, weight, lengths=lengths)
    expected = expected_score(loss, Y_STEPS[there], predicted, by_step)
    assert score == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "gaussian"])
def test_validation_score_of_sequences_counts_the_steps_that_are_there(loss):
    targets = suiting(loss, Y_STEPS)
    weight = np.linspace(1, 2, 20)
    stopped = model(return_sequences=True, early_stopping=True, loss=loss).fit(
        X[:25],
        targets[:25],
        lengths=LENGTHS[:25],
        X_val=X[25:],
        y_val=targets[25:],
        sample_weight_val=weight,
        lengths_val=LENGTHS[25:],
    )
    there = THERE[25:]
    truth, by_step = targets[25:][there], np.repeat(weight, LENGTHS[25:])
    predicted = stopped.predict(X[25:], lengths=LENGTHS[25:])[there]
    if loss == "gaussian":
        _, deviation = stopped.predict(X[25:], lengths=LENGTHS[25:], return_std=True)
        density = norm.logpdf(truth, predicted, deviation[there]).mean(axis=1)
        expected = np.average(density, weights=by_step) + np.log(2 * np.pi) / 2
    elif loss == "poisson":
        expected = np.mean(
            [
                d2_tweedie_score(truth[:, k], predicted[:, k], sample_weight=by_step, power=1)
                for k in range(2)
            ]
        )
    else:
        expected = r2_score(truth, predicted, sample_weight=by_step)
    assert stopped.best_validation_score_ == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("return_sequences", [False, True])
def test_weights_that_do_not_fit_raise_in_score(return_sequences):
    targets = Y_STEPS if return_sequences else y
    fitted = model(return_sequences=return_sequences).fit(X, targets)
    for weight in (np.ones(3), np.ones((N_SAMPLES, 2))):
        with pytest.raises(ValueError, match=r"[Ss]ample.?weight"):
            fitted.score(X, targets, weight)


def test_zero_weight_of_a_sequence_is_the_same_as_leaving_it_out():
    weight = np.tile([1.0, 0.0, 2.0], N_SAMPLES // 3)
    kept = weight > 0
    weighted = model(return_sequences=True).fit(X, Y_STEPS, weight, lengths=LENGTHS)
    left_out = model(return_sequences=True)
    left_out.fit(X[kept], Y_STEPS[kept], weight[kept], lengths=LENGTHS[kept])
    assert_same_fit(weighted, left_out)


@pytest.mark.parametrize(
    "targets", [y, Y, Y_STEPS[:, :4], Y_STEPS[1:], Y_STEPS[..., np.newaxis]], ids=np.shape
)
def test_targets_that_are_not_those_of_each_step_raise(targets):
    with pytest.raises(ValueError):
        model(return_sequences=True).fit(X, targets)


def test_classifier_predicts_a_label_for_each_step():
    for lengths, data, labels in (
        (None, X, LABELS_STEPS),
        (LENGTHS, with_padding(X, np.nan), np.where(THERE, LABELS_STEPS, "padding")),
    ):
        fitted = classifier(return_sequences=True, learning_rate_init=0.02, max_iter=30)
        fitted.fit(data, labels, lengths=lengths)
        assert fitted.classes_.tolist() == ["down", "up"]
        there = np.ones_like(THERE) if lengths is None else THERE
        p = fitted.predict_proba(data, lengths=lengths)
        assert p.shape == (N_SAMPLES, N_TIMESTEPS, 2)
        assert_allclose(p.sum(axis=-1), 1, rtol=1e-6)
        predicted = fitted.predict(data, lengths=lengths)
        assert_array_equal(predicted, fitted.classes_[p.argmax(axis=-1)])
        weight = np.linspace(0, 2, N_SAMPLES)
        by_step = np.broadcast_to(weight[:, np.newaxis], THERE.shape)[there]
        for given, expanded in ((None, None), (weight, by_step)):
            expected = accuracy_score(labels[there], predicted[there], sample_weight=expanded)
            score = fitted.score(data, labels, given, lengths=lengths)
            assert score == pytest.approx(expected)
        assert fitted.score(data, labels, lengths=lengths) > 0.8


def test_classifier_takes_lists_of_labels_by_step():
    whole = classifier(return_sequences=True).fit(X, LABELS_STEPS, lengths=LENGTHS)
    listed = classifier(return_sequences=True).fit(ragged(X), ragged(LABELS_STEPS))
    assert_same_fit(listed, whole)
    as_lists = [labels.tolist() for labels in ragged(LABELS_STEPS)]
    assert_same_fit(classifier(return_sequences=True).fit(ragged(X), as_lists), whole)
    data = ragged(X.astype(np.float64))
    assert listed.score(data, ragged(LABELS_STEPS)) == whole.score(X, LABELS_STEPS, lengths=LENGTHS)


def test_classifier_validates_on_the_steps_that_are_there():
    stopped = classifier(return_sequences=True, early_stopping=True).fit(
        X[:25],
        LABELS_STEPS[:25],
        lengths=LENGTHS[:25],
        X_val=X[25:],
        y_val=LABELS_STEPS[25:],
        lengths_val=LENGTHS[25:],
    )
    p = stopped.predict_proba(X[25:], lengths=LENGTHS[25:])[THERE[25:]]
    expected = -log_loss(LABELS_STEPS[25:][THERE[25:]], p)
    assert stopped.best_validation_score_ == pytest.approx(expected, abs=1e-5)
    split = classifier(return_sequences=True, early_stopping=True, validation_fraction=0.3)
    assert len(split.fit(ragged(X), ragged(LABELS_STEPS)).validation_scores_) == 3


# Features for other estimators


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
@pytest.mark.parametrize(
    "parameters",
    [{}, {"num_layers": 2}, {"bidirectional": True, "num_layers": 2}, {"return_sequences": True}],
    ids=str,
)
def test_transform_gives_the_final_hidden_states(parameters, lengths):
    fitted = model(**parameters)
    fitted.fit(X, Y_STEPS if "return_sequences" in parameters else Y, lengths=lengths)
    states = core.forward(fitted._parameters, X, fitted._architecture, lengths=lengths)
    last = states.h_n[-2:] if "bidirectional" in parameters else states.h_n[-1:]
    assert_array_equal(fitted.transform(X, lengths=lengths), np.concatenate(last, axis=1))


def test_fit_transform_is_fit_and_transform_of_the_same_lengths():
    padded = with_padding(X, np.nan)
    for make, targets in ((model, y), (classifier, LABELS)):
        weight = np.linspace(1, 2, N_SAMPLES)
        fitted = make().fit(X, targets, weight, lengths=LENGTHS)
        features = make().fit_transform(padded, targets, sample_weight=weight, lengths=LENGTHS)
        assert_array_equal(features, fitted.transform(padded, lengths=LENGTHS))
        assert_array_equal(make().fit_transform(X, targets), make().fit(X, targets).transform(X))


@pytest.mark.parametrize(
    ("given", "dtype", "expected"),
    [
        (np.float32, "float32", np.float32),
        (np.float32, "float64", np.float64),
        (np.float64, "float32", np.float64),
    ],
)
def test_features_are_float32_only_where_all_is_float32(given, dtype, expected):
    assert model(dtype=dtype).fit(X, y).transform(X.astype(given)).dtype == expected


def test_features_have_names():
    for make, targets, prefix in ((model, y, "lstmregressor"), (classifier, LABELS, "lstmclassi")):
        fitted = make(bidirectional=True).fit(X, targets)
        names = fitted.get_feature_names_out()
        assert len(names) == fitted.transform(X).shape[1] == 8
        assert names[0].startswith(prefix)
        assert names[7].endswith("7")


def test_features_become_a_table_where_asked_for():
    pd = pytest.importorskip("pandas")
    fitted = model().fit(X, y).set_output(transform="pandas")
    table = fitted.transform(X)
    assert isinstance(table, pd.DataFrame)
    assert table.columns.tolist() == fitted.get_feature_names_out().tolist()
    assert_array_equal(table.to_numpy(), model().fit(X, y).transform(X))


def test_network_is_a_step_before_another_estimator():
    network = model(learning_rate_init=0.02, max_iter=40)
    pipeline = make_pipeline(SequenceScaler(), network, Ridge(1e-3)).fit(X, y)
    features = pipeline[:-1].transform(X)
    assert_array_equal(pipeline.predict(X), pipeline[-1].predict(features))
    assert pipeline.score(X, y) > 0.8
    assert pipeline[:-1].get_feature_names_out().tolist() == [f"lstmregressor{k}" for k in range(4)]


# Gates


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
def test_gate_activations_are_those_of_the_core(lengths):
    fitted = model(num_layers=2, bidirectional=True).fit(X, y, lengths=lengths)
    traces = core.gate_activations(fitted._parameters, X, fitted._architecture, lengths=lengths)
    for cell, (layer, direction) in enumerate(
        [(0, "forward"), (0, "reverse"), (1, "forward"), (1, "reverse")]
    ):
        for number in (layer, layer - 2):
            gates = fitted.gate_activations(X, lengths=lengths, layer=number, direction=direction)
            for name in ("input", "forget", "candidate", "output", "cell", "hidden"):
                assert_array_equal(getattr(gates, name), getattr(traces, name)[cell])
                assert getattr(gates, name).shape == (N_SAMPLES, N_TIMESTEPS, 4)
    top = fitted.gate_activations(X, lengths=lengths)
    assert_array_equal(top.hidden, traces.hidden[2])


def test_gate_activations_make_up_cell_and_hidden_state():
    fitted = model(dtype="float64", bidirectional=True).fit(X, y)
    for direction, step in (("forward", 1), ("reverse", -1)):
        gates = fitted.gate_activations(X, direction=direction)
        i, f, g, o, c, h = (trace[:, ::step] for trace in gates)
        before = np.concatenate([np.zeros_like(c[:, :1]), c[:, :-1]], axis=1)
        assert_allclose(c, f * before + i * g, rtol=1e-12, atol=1e-14)
        assert_allclose(h, o * np.tanh(c), rtol=1e-12, atol=1e-14)
        features = fitted.transform(X)
        half = slice(0, 4) if direction == "forward" else slice(4, 8)
        assert_array_equal(h[:, -1], features[:, half])


def test_gate_activations_are_zero_after_the_end():
    gates = model().fit(X, y).gate_activations(with_padding(X, np.nan), lengths=LENGTHS)
    for trace in gates:
        assert not trace[~THERE].any()
        assert trace[THERE].any(axis=-1).all()


@pytest.mark.parametrize("layer", [2, -3, 1.0, None, "top"])
def test_layer_that_is_not_there_raises(layer):
    with pytest.raises(ValueError, match="layer must be an integer from -2 to 1"):
        model(num_layers=2).fit(X, y).gate_activations(X, layer=layer)


@pytest.mark.parametrize("direction", ["reverse", "backward", None])
def test_direction_that_is_not_there_raises(direction):
    with pytest.raises(ValueError, match="direction must be one of"):
        model().fit(X, y).gate_activations(X, direction=direction)


# What shapes the training


class Recorder(TrainingCallback):
    """Notes what happens; stops after the epochs of `stop`; raises `error` at an event."""

    def __init__(self, stop=(), event=None, error=None, at=1):
        self.stop, self.event, self.error, self.at = stop, event, error, at
        self.notes = []

    def _note(self, event, model, epoch):
        self.notes.append((event, epoch, model.n_iter_))
        if event == self.event and epoch in (None, self.at):
            raise self.error

    def before_training(self, model):
        self._note("before_training", model, None)

    def after_training(self, model):
        self._note("after_training", model, None)

    def before_iteration(self, model, epoch, evals_log):
        self._note("before_iteration", model, epoch)
        return False

    def after_iteration(self, model, epoch, evals_log):
        self._note("after_iteration", model, epoch)
        return epoch in self.stop


def test_epochs_of_callbacks_count_anew_in_a_warm_start_and_on_in_partial_fit():
    def epochs(recorder):
        return [epoch for event, epoch, _ in recorder.notes if event == "after_iteration"]

    warm = Recorder()
    regressor = model(warm_start=True, callbacks=[warm], max_iter=2).fit(X, y).fit(X, y)
    assert epochs(warm) == [0, 1, 0, 1]
    assert [n for event, _, n in warm.notes if event == "after_iteration"] == [1, 2, 3, 4]
    assert regressor.callbacks == [warm]
    parts = Recorder()
    regressor = model(callbacks=[parts])
    for _ in range(3):
        regressor.partial_fit(X, y)
    assert epochs(parts) == [0, 1, 2]


def test_callback_that_ends_the_training_leaves_the_best_weights_of_early_stopping(monkeypatch):
    scores = iter([0.2, 0.9, 0.3, 0.2, 0.9])
    monkeypatch.setattr(LSTMRegressor, "_validation_score", lambda *args: next(scores))
    stopped = model(early_stopping=True, callbacks=[Recorder(stop=[2])], max_iter=9).fit(X, y)
    assert (stopped.n_iter_, stopped.best_validation_score_) == (3, 0.9)
    two = model(early_stopping=True, max_iter=2).fit(X, y)
    assert_array_equal(stopped._parameters, two._parameters)


@pytest.mark.parametrize("averaging", [None, EMA(0.9)], ids=str)
@pytest.mark.parametrize("call", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    "event", ["before_training", "before_iteration", "after_iteration", "after_training"]
)
def test_exception_in_a_callback_leaves_the_estimator_as_it_was(event, call, averaging):
    regressor = model(warm_start=True, averaging=averaging, dropout=0.2, max_iter=2).fit(X, y)
    twin = copy.deepcopy(regressor)
    at = 0 if call == "fit" else 2
    failing = Recorder(event=event, error=RuntimeError("by the callback"), at=at)
    with pytest.raises(RuntimeError, match="by the callback"):
        getattr(regressor.set_params(callbacks=[failing]), call)(X, y)
    assert_same_fit(regressor, twin)
    assert regressor.n_iter_ == 2
    regressor.set_params(callbacks=None)
    assert_same_fit(getattr(regressor, call)(X, y), getattr(twin, call)(X, y))


@pytest.mark.parametrize("averaging", [None, EMA(0.9), SWA(0.0)], ids=str)
@pytest.mark.parametrize(("event", "n_epochs"), [("before_iteration", 2), ("after_iteration", 3)])
def test_interrupt_in_a_callback_keeps_the_last_finished_epoch(event, n_epochs, averaging):
    interrupting = Recorder(event=event, error=KeyboardInterrupt, at=2)
    with pytest.warns(UserWarning, match=f"interrupted after {n_epochs} epochs"):
        interrupted = model(averaging=averaging, callbacks=[interrupting], max_iter=9).fit(X, y)
    assert_same_fit(interrupted, model(averaging=averaging, max_iter=n_epochs).fit(X, y))
    assert interrupting.notes[-1] == ("after_training", None, n_epochs)


def test_callbacks_are_pickled_with_their_estimator_and_copied_by_searches():
    recorder = Recorder()
    regressor = model(callbacks=[recorder], averaging=EMA(0.5), learning_rate=StepDecay(1)).fit(
        X, y
    )
    restored = pickle.loads(pickle.dumps(regressor))
    assert restored.callbacks[0].notes == recorder.notes
    assert_same_fit(restored.partial_fit(X, y), regressor.partial_fit(X, y))
    n_notes = len(recorder.notes)
    GridSearchCV(regressor, {"hidden_size": [2, 3]}, cv=2, error_score="raise").fit(X, y)
    assert len(recorder.notes) == n_notes


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_callback_need_not_allow_copies_unless_a_tool_copies_it(call):
    recorder = Recorder()
    recorder.lock = threading.Lock()
    regressor = getattr(model(callbacks=[recorder]), call)(X, y)
    assert regressor.callbacks[0] is recorder
    assert recorder.notes[-1][0] == "after_training"


def test_schedule_of_the_validation_score_is_restored_by_early_stopping():
    parameters = {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 12}
    scheduled = model(
        **parameters, learning_rate=ReduceOnPlateau(patience=1, tol=10.0), averaging=EMA(0.9)
    ).fit(X, y)
    constant = model(**parameters, averaging=EMA(0.9)).fit(X, y)
    assert scheduled.validation_scores_[:2] == constant.validation_scores_[:2]
    assert scheduled.validation_scores_[2:] != constant.validation_scores_[2:]
    assert scheduled.best_validation_score_ == max(scheduled.validation_scores_)


def test_learning_rate_of_zero_at_the_end_leaves_the_weights():
    two = model(max_iter=2).fit(X, y)
    dropped = model(learning_rate=StepDecay(every=2, factor=1e-30)).fit(X, y)
    assert_allclose(dropped._parameters, two._parameters, rtol=0, atol=1e-12)


def test_alpha_is_the_weight_decay_of_adamw():
    def norm_of(solver, alpha):
        fitted = model(solver=solver, alpha=alpha, learning_rate_init=0.01, max_iter=20).fit(X, y)
        return np.linalg.norm(fitted.recurrent_coefs_[0])

    assert norm_of("adamw", 20.0) < 0.2 * norm_of("adamw", 0.0)
    assert norm_of("adamw", 0.0) == norm_of("adam", 0.0)
    undecayed = model(solver="adamw").fit(X, y)
    assert undecayed.loss_curve_ == model().fit(X, y).loss_curve_


def test_dropout_is_for_training_only():
    fitted = model(dropout=0.5, recurrent_dropout=0.5).fit(X, y)
    assert_array_equal(fitted.predict(X), fitted.predict(X))
    expected = core.predict(fitted._parameters, X, fitted._architecture)[:, 0]
    assert_array_equal(fitted.predict(X), expected)


# All together


OPTIONS = {
    "bidirectional": {"bidirectional": True, "num_layers": 2},
    "dropout": {"dropout": 0.3, "recurrent_dropout": 0.2, "num_layers": 2},
    "dropout of one batch": {"dropout": 0.3, "batch_size": 100},
    "return_sequences": {"return_sequences": True},
    "stateful": {"stateful": True, "shuffle": False},
    "missing": {"missing": "mask"},
    "adamw": {"solver": "adamw", "alpha": 0.1},
    "rmsprop": {"solver": "rmsprop", "beta_2": 0.9},
    "max_grad_value": {"max_grad_value": 0.01},
    "float64": {"dtype": "float64", "loss": "huber"},
    "quantile": {"loss": core.Quantile((0.1, 0.9))},
    "poisson": {"loss": "poisson"},
    "gaussian": {"loss": "gaussian"},
    "absolute_error": {"loss": "absolute_error"},
    "EMA": {"averaging": EMA(0.9)},
    "much": {
        "return_sequences": True,
        "bidirectional": True,
        "missing": "mask",
        "dropout": 0.2,
        "loss": "gaussian",
        "solver": "rmsprop",
        "averaging": EMA(0.9),
    },
}
RESTARTED = {
    "SWA": {"averaging": SWA(0.0)},
    "StepDecay": {"learning_rate": StepDecay(every=2, factor=0.1)},
    "CosineDecay": {"learning_rate": CosineDecay(warm_up=1)},
    "ReduceOnPlateau": {"learning_rate": ReduceOnPlateau(patience=1, tol=10.0)},
}
WITH_RESTARTED = OPTIONS | RESTARTED
for_options = pytest.mark.parametrize("parameters", OPTIONS.values(), ids=OPTIONS.keys())
for_all = pytest.mark.parametrize("parameters", WITH_RESTARTED.values(), ids=WITH_RESTARTED.keys())
with_and_without_lengths = pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])


@for_all
@with_and_without_lengths
def test_n_calls_of_partial_fit_equal_a_fit_of_n_epochs(parameters, lengths):
    data, targets = data_for(parameters)
    whole = model(**parameters).fit(data, targets, lengths=lengths)
    parts = model(**parameters)
    for _ in range(3):
        parts.partial_fit(data, targets, lengths=lengths)
    assert_same_fit(parts, whole)


@for_options
@with_and_without_lengths
def test_warm_start_equals_a_longer_fit(parameters, lengths):
    data, targets = data_for(parameters)
    whole = model(**parameters, max_iter=5).fit(data, targets, lengths=lengths)
    parts = model(**parameters, warm_start=True).fit(data, targets, lengths=lengths)
    parts.set_params(max_iter=2).fit(data, targets, lengths=lengths)
    assert_same_fit(parts, whole)


@for_all
def test_training_continues_exactly_after_a_pickle(parameters):
    data, targets = data_for(parameters)
    fitted = model(**parameters, warm_start=True).fit(data, targets, lengths=LENGTHS)
    restored = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(
        restored.predict(data, lengths=LENGTHS), fitted.predict(data, lengths=LENGTHS)
    )
    for call in ("partial_fit", "fit"):
        getattr(restored, call)(data, targets, lengths=LENGTHS)
        getattr(fitted, call)(data, targets, lengths=LENGTHS)
        assert_same_fit(restored, fitted)


@for_options
def test_any_number_of_threads_gives_the_same_bits(parameters):
    parameters = {"batch_size": 40, "hidden_size": 9, **parameters}
    data, targets = data_for(parameters)
    data, targets = np.tile(data, (4, 1, 1)), np.tile(targets, (4, *[1] * (targets.ndim - 1)))
    lengths = np.tile(LENGTHS, 4)
    first = model(**parameters).fit(data, targets, lengths=lengths)
    for n_jobs in (2, 3, 4):
        other = model(**parameters, n_jobs=n_jobs).fit(data, targets, lengths=lengths)
        assert_same_fit(first, other)
        for call in ("predict", "transform"):
            assert_array_equal(
                getattr(first, call)(data, lengths=lengths),
                getattr(other, call)(data, lengths=lengths),
            )
        gates = zip(
            first.gate_activations(data, lengths=lengths),
            other.gate_activations(data, lengths=lengths),
            strict=True,
        )
        for one, another in gates:
            assert_array_equal(one, another)


@pytest.mark.parametrize(
    "changed",
    [{"bidirectional": True}, {"return_sequences": True}, {"missing": "mask"}, {"loss": "huber"}],
    ids=str,
)
@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_changed_network_cannot_be_continued(call, changed):
    fitted = model(warm_start=True).fit(X, y).set_params(**changed)
    targets = Y_STEPS[..., 0] if "return_sequences" in changed else y
    with pytest.raises(ValueError, match=r"made for another network: .*\(was "):
        getattr(fitted, call)(X, targets)


@pytest.mark.parametrize(
    "parameters",
    [
        {"missing": "drop"},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"recurrent_dropout": 1.0},
        {"solver": "lion"},
        {"max_grad_value": 0},
        {"bidirectional": "yes"},
        {"return_sequences": 2},
        {"stateful": None},
        {"learning_rate": 0.1},
        {"averaging": 0.9},
        {"callbacks": Recorder()},
    ],
    ids=str,
)
def test_wrong_parameters_raise(parameters):
    name = next(iter(parameters))
    for estimator, targets in ((model(**parameters), y), (classifier(**parameters), LABELS)):
        with pytest.raises(ValueError, match=f"The '{name}' parameter of LSTM"):
            estimator.fit(X, targets)


def test_stateful_training_that_would_carry_nothing_raises():
    X = np.zeros((8, 3, 1))
    fitted = LSTMRegressor(stateful=True, shuffle=False, batch_size=7, max_iter=1)
    fitted.fit(X, X[:, 0, 0])
    for n in (8, 32):
        with pytest.raises(ValueError, match="Lower batch_size"):
            LSTMRegressor(stateful=True, shuffle=False, batch_size=n).fit(X, X[:, 0, 0])
