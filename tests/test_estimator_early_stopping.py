"""Early stopping: what is held out, scored, and kept."""

import numpy as np
import pytest
from helpers.estimators import (
    ALL_LOSSES,
    LENGTHS,
    N_FEATURES,
    N_SAMPLES,
    N_TIMESTEPS,
    STATEFUL,
    Y_STEPS,
    X,
    Y,
    assert_same_fit,
    assert_same_weights,
    expected_score,
    model,
    suiting,
    y,
)
from numpy.testing import assert_array_equal
from scipy.stats import norm
from sklearn.base import clone
from sklearn.metrics import d2_tweedie_score, r2_score
from sklearn.model_selection import train_test_split

from pylstm import LSTMRegressor

SCORED_AT_ONCE = "pylstm._base._SCORED_AT_ONCE"  # numbers of X, in one call


def test_last_samples_are_held_out_without_shuffling(train_calls):
    regressor = model(early_stopping=True, shuffle=False, validation_fraction=0.25).fit(X, y)
    for call in train_calls:
        assert_array_equal(call["order"], np.arange(33))
    expected = r2_score(y[33:], regressor.predict(X[33:]))
    assert regressor.best_validation_score_ == pytest.approx(expected, abs=1e-6)


def test_random_samples_are_held_out_with_shuffling(train_calls):
    regressor = model(early_stopping=True, validation_fraction=0.25).fit(X, y)
    trained = np.sort(train_calls[0]["order"])
    assert len(trained) == 33
    assert trained[-1] >= 33
    for call in train_calls:
        assert_array_equal(np.sort(call["order"]), trained)
    held_out = np.setdiff1d(np.arange(N_SAMPLES), trained)
    expected = r2_score(y[held_out], regressor.predict(X[held_out]))
    assert regressor.best_validation_score_ == pytest.approx(expected, abs=1e-6)


def test_early_stopping_restores_the_best_weights(monkeypatch):
    scores = iter([0.1, 0.9, 0.3, 0.2])
    monkeypatch.setattr(LSTMRegressor, "_validation_score", lambda *args: next(scores))
    stopped = model(early_stopping=True, n_iter_no_change=2, max_iter=50).fit(X, y)
    assert stopped.validation_scores_ == [0.1, 0.9, 0.3, 0.2]
    assert stopped.n_iter_ == len(stopped.loss_curve_) == 4
    assert stopped.best_validation_score_ == 0.9
    assert stopped.best_loss_ is None
    monkeypatch.undo()
    assert_same_weights(stopped, model(early_stopping=True, max_iter=2).fit(X, y))


def test_validation_score_that_is_not_finite_counts_as_no_improvement(monkeypatch):
    monkeypatch.setattr(LSTMRegressor, "_validation_score", lambda *args: np.nan)
    stopped = model(early_stopping=True, n_iter_no_change=2, max_iter=50).fit(X, y)
    assert stopped.n_iter_ == 2


def test_scoring_in_pieces_gives_the_same_scores(monkeypatch):
    whole = model(early_stopping=True, validation_fraction=0.5).fit(X, y)
    monkeypatch.setattr(SCORED_AT_ONCE, 7 * N_TIMESTEPS * N_FEATURES)
    pieces = model(early_stopping=True, validation_fraction=0.5).fit(X, y)
    assert pieces.validation_scores_ == whole.validation_scores_


@pytest.mark.parametrize("parameters", [STATEFUL, {"return_sequences": True}], ids=str)
def test_validation_in_pieces_gives_the_same_scores(parameters, monkeypatch):
    stopped = model(**parameters, early_stopping=True, validation_fraction=0.4)
    targets = Y_STEPS if "return_sequences" in parameters else Y
    stopped.fit(X, targets, lengths=LENGTHS)
    monkeypatch.setattr(SCORED_AT_ONCE, 4 * N_TIMESTEPS * N_FEATURES)
    assert_same_fit(clone(stopped).fit(X, targets, lengths=LENGTHS), stopped)


def test_given_validation_samples_are_used_and_no_others_held_out(train_calls):
    train, val = train_test_split(np.arange(N_SAMPLES), random_state=0)
    weight = np.linspace(1, 2, len(val))
    regressor = model(early_stopping=True).fit(
        X[train], y[train], X_val=X[val], y_val=y[val], sample_weight_val=weight
    )
    assert_array_equal(np.sort(train_calls[0]["order"]), np.arange(len(train)))
    expected = r2_score(y[val], regressor.predict(X[val]), sample_weight=weight)
    assert regressor.best_validation_score_ == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("early_stopping", "arguments", "message"),
    [
        (True, {"X_val": X}, "X_val is provided, but y_val was not provided"),
        (True, {"y_val": y}, "y_val is provided, but X_val was not provided"),
        (True, {"sample_weight_val": y}, "sample_weight_val is provided, but X_val and y_val"),
        (False, {"X_val": X, "y_val": y}, "early_stopping should be set to True"),
        (True, {"X_val": X[:, :3], "y_val": y}, "3 time steps"),
        (True, {"X_val": X[:, :, :1], "y_val": y}, "X has 1 features"),
        (True, {"X_val": X, "y_val": Y}, "y_val has 2 outputs, but y has 1"),
        (True, {"X_val": X, "y_val": y[:9]}, "inconsistent numbers of samples"),
        (True, {"X_val": X[:1], "y_val": y[:1]}, "validation set has 1 sample"),
    ],
)
def test_validation_samples_that_do_not_fit_raise(early_stopping, arguments, message):
    with pytest.raises(ValueError, match=message):
        model(early_stopping=early_stopping).fit(X, y, **arguments)


def test_too_small_a_part_to_hold_out_raises():
    with pytest.raises(ValueError, match="validation set has 1 sample"):
        model(early_stopping=True).fit(X[:5], y[:5])


def test_warm_start_holds_out_the_same_samples(train_calls):
    regressor = model(warm_start=True, early_stopping=True).fit(X, y).fit(X, y)
    assert_array_equal(np.sort(train_calls[0]["order"]), np.sort(train_calls[-1]["order"]))
    assert len(regressor.validation_scores_) == regressor.n_iter_ == 6


def test_warm_start_with_early_stopping_never_ends_with_worse_weights(monkeypatch):
    regressor = model(warm_start=True, early_stopping=True, max_iter=40).fit(X, y)
    best, weights = regressor.best_validation_score_, regressor._parameters
    scores = iter([best, best - 1, best - 2])
    monkeypatch.setattr(LSTMRegressor, "_validation_score", lambda *args: next(scores))
    regressor.set_params(max_iter=2).fit(X, y)
    assert regressor.best_validation_score_ == best
    assert_array_equal(regressor._parameters, weights)


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
