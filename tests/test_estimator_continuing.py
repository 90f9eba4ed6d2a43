"""partial_fit, warm_start and pickles go on exactly where training was."""

import copy
import pickle

import numpy as np
import pytest
from helpers.estimators import (
    LENGTHS,
    N_SAMPLES,
    Y_STEPS,
    X,
    Y,
    assert_same_fit,
    assert_same_weights,
    data_for,
    model,
    y,
)
from helpers.training import Recorder
from numpy.testing import assert_array_equal

from pylstm import core
from pylstm.training import EMA, SWA, CosineDecay, ReduceOnPlateau, StepDecay, TrainingCallback

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
PLAIN = {
    f"{solver}, batch_size={batch_size}, shuffle={shuffle}": {
        "solver": solver,
        "batch_size": batch_size,
        "shuffle": shuffle,
    }
    for solver in ("adam", "sgd")
    for batch_size in (16, 100)
    for shuffle in (False, True)
}


@pytest.mark.parametrize(
    "parameters", (WITH_RESTARTED | PLAIN).values(), ids=(WITH_RESTARTED | PLAIN).keys()
)
@with_and_without_lengths
def test_n_calls_of_partial_fit_equal_a_fit_of_n_epochs(parameters, lengths):
    data, targets = data_for(parameters)
    whole = model(**parameters).fit(data, targets, lengths=lengths)
    parts = model(**parameters)
    for _ in range(3):
        parts.partial_fit(data, targets, lengths=lengths)
    assert_same_fit(parts, whole)
    assert (parts.n_iter_, parts.t_) == (whole.n_iter_, whole.t_) == (3, 3 * N_SAMPLES)


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


def test_warm_start_continues_weights_optimiser_and_random_stream():
    whole = model(max_iter=6).fit(X, y)
    parts = model(warm_start=True).fit(X, y).fit(X, y)
    assert_same_weights(parts, whole)
    assert parts.loss_curve_ == whole.loss_curve_
    assert parts.n_iter_ == 6


def test_without_warm_start_fit_starts_afresh():
    regressor = model().fit(X, y)
    assert_same_weights(copy.deepcopy(regressor).fit(X, y), regressor)
    assert regressor.fit(X[:, :, :1], Y).n_iter_ == 3


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_new_learning_rate_and_solver_take_effect_when_continuing(train_calls, call):
    regressor = model(warm_start=True, max_iter=1).fit(X, y)
    getattr(regressor.set_params(learning_rate_init=0.5), call)(X, y)
    assert train_calls[-1]["optimizer"].learning_rate == 0.5
    assert train_calls[-1]["optimizer"].n_steps == 3
    for changed in ({"beta_1": 0.5}, {"solver": "sgd"}):
        getattr(regressor.set_params(**changed), call)(X, y)
        assert train_calls[-1]["optimizer"].n_steps == 0
    assert isinstance(train_calls[-1]["optimizer"], core.SGD)


@pytest.mark.parametrize(
    "changed",
    [
        {"hidden_size": 6},
        {"num_layers": 2},
        {"dtype": "float64"},
        {"bidirectional": True},
        {"return_sequences": True},
        {"missing": "mask"},
        {"loss": "huber"},
    ],
    ids=str,
)
@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_changed_network_cannot_be_continued(call, changed):
    fitted = model(warm_start=True).fit(X, y).set_params(**changed)
    targets = Y_STEPS[..., 0] if "return_sequences" in changed else y
    (name,) = changed
    message = rf"made for another network: .*{name}=.* \(was .*\).*warm_start=False"
    with pytest.raises(ValueError, match=message):
        getattr(fitted, call)(X, targets)


def test_other_number_of_outputs_cannot_be_continued():
    with pytest.raises(ValueError, match=r"number of outputs in y=2 \(was 1\)"):
        model().partial_fit(X, y).partial_fit(X, Y)


def test_partial_fit_refuses_early_stopping():
    assert not hasattr(model(early_stopping=True), "partial_fit")
    with pytest.raises(AttributeError) as error:
        model(early_stopping=True).partial_fit(X, y)
    assert "does not support early_stopping=True" in str(error.value.__cause__)


def test_partial_fit_checks_parameters_in_every_call():
    regressor = model().partial_fit(X, y).set_params(batch_size=0)
    with pytest.raises(ValueError, match="'batch_size' parameter of LSTMRegressor must be"):
        regressor.partial_fit(X, y)


def test_changed_loss_cannot_be_continued():
    fitted = model(loss=core.Huber(0.5)).fit(X, y).set_params(loss=core.Huber(0.6))
    with pytest.raises(ValueError, match=r"the loss=Huber\(delta=0.6\) \(was Huber\(delta=0.5\)\)"):
        fitted.partial_fit(X, y)
    same = model(loss="huber").fit(X, y).set_params(loss=core.Huber(1.0))
    assert same.partial_fit(X, y).n_iter_ == 4


class Untouchable(list):
    """A list that may grow, and lose what was appended, but is never gone through."""

    def __iter__(self):
        raise AssertionError("each call of partial_fit would become slower than the one before")

    def __getitem__(self, index):
        assert not isinstance(index, slice) or index.start == len(self) - 1
        return super().__getitem__(index)

    copy = __iter__


@pytest.mark.parametrize("callbacks", [None, [TrainingCallback()]], ids=["", "callbacks"])
def test_partial_fit_does_not_go_through_the_epochs_before(callbacks):
    regressor = model(callbacks=callbacks).partial_fit(X, y)
    twin = copy.deepcopy(regressor)
    regressor.loss_curve_ = Untouchable(regressor.loss_curve_)
    for n in range(2, 4):
        assert regressor.partial_fit(X, y).loss_curve_ is regressor.loss_curve_
        assert len(regressor.loss_curve_) == regressor.n_iter_ == n
    twin.partial_fit(X, y).partial_fit(X, y)
    assert (regressor.loss_, regressor.best_loss_) == (twin.loss_, twin.best_loss_)


def test_least_loss_counts_the_epochs_before_whether_or_not_they_were_validated():
    regressor = model(early_stopping=True).fit(X, y)
    assert regressor.best_loss_ is None
    regressor.set_params(early_stopping=False, learning_rate_init=10.0).partial_fit(X, y)
    assert regressor.best_loss_ == min(regressor.loss_curve_) < regressor.loss_
    assert regressor.partial_fit(X, y).best_loss_ == min(regressor.loss_curve_)


def pickled(regressor):
    return pickle.loads(pickle.dumps(regressor))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_copies_go_on_by_themselves(copied):
    regressor = model().partial_fit(X, y)
    other = copied(regressor)
    regressor.partial_fit(X, y)
    for _ in range(2):
        other.partial_fit(X[:20], y[:20])
    assert len(regressor.loss_curve_) == regressor.n_iter_ == 2
    assert len(other.loss_curve_) == other.n_iter_ == 3
    assert_same_fit(regressor, model(max_iter=2).fit(X, y))


@pytest.mark.parametrize("warm_start", [False, True])
def test_estimator_is_as_it_was_until_a_fit_has_ended(warm_start):
    regressor = model(warm_start=warm_start).fit(X, y)
    before = copy.deepcopy(regressor)

    class Looks(TrainingCallback):
        def after_iteration(self, model, epoch, evals_log):
            assert_same_fit(regressor, before)

    regressor.set_params(callbacks=[Looks()]).fit(X[:20], y[:20])
    assert (regressor._parameters != before._parameters).any()


def test_partial_fit_that_fails_takes_its_loss_back():
    """In the callback after the epoch, which has seen the loss."""
    regressor = model().partial_fit(X, y)
    losses = regressor.loss_curve_.copy()
    regressor.callbacks = [Recorder(event="after_iteration", error=ZeroDivisionError, at=1)]
    with pytest.raises(ZeroDivisionError):
        regressor.partial_fit(X, y)
    assert regressor.loss_curve_ == losses
