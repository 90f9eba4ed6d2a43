"""Fitting: what is learned, its attributes, order, randomness, threads and weights."""

import copy

import numpy as np
import pytest
from helpers.estimators import (
    N_FEATURES,
    N_SAMPLES,
    N_TIMESTEPS,
    WITH_GAPS,
    X,
    Y,
    assert_same_weights,
    model,
    plain,
    replace_pass,
    y,
)
from numpy.lib.stride_tricks import sliding_window_view
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.metrics import r2_score

from pylstm import LSTMRegressor, core

# Learning


def test_learns_a_sine_with_default_parameters():
    series = np.sin(np.arange(400) / 5)
    windows, targets = sliding_window_view(series[:-1], 20), series[20:]
    regressor = LSTMRegressor(random_state=0, n_jobs=1).fit(windows[:300], targets[:300])
    assert regressor.score(windows[300:], targets[300:]) > 0.99


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_solver_depth_and_precision_learns(solver, num_layers, dtype):
    rate = {"adam": 0.01, "sgd": 0.1}[solver]
    regressor = model(
        solver=solver, num_layers=num_layers, dtype=dtype, learning_rate_init=rate, max_iter=60
    )
    assert regressor.fit(X, y).score(X, y) > 0.8


def test_learns_several_outputs():
    regressor = model(learning_rate_init=0.02, max_iter=100).fit(X, Y)
    prediction = regressor.predict(X)
    assert prediction.shape == Y.shape
    assert regressor.n_outputs_ == 2
    assert (r2_score(Y, prediction, multioutput="raw_values") > 0.8).all()


def test_column_y_warns_and_predicts_one_dimension():
    with pytest.warns(DataConversionWarning):
        regressor = model().fit(X, y[:, None])
    assert_array_equal(regressor.predict(X), model().fit(X, y).predict(X))


# Learned attributes


def test_weights_have_the_documented_shapes():
    regressor = model(num_layers=2, hidden_size=5).fit(X, Y)
    assert [w.shape for w in regressor.input_coefs_] == [(2, 20), (5, 20)]
    assert [w.shape for w in regressor.recurrent_coefs_] == [(5, 20), (5, 20)]
    assert [b.shape for b in regressor.gate_intercepts_] == [(20,), (20,)]
    assert regressor.output_coef_.shape == (5, 2)
    assert regressor.output_intercept_.shape == (2,)


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


def test_weights_are_views_of_the_weights_in_use():
    regressor = plain().fit(X, Y)
    regressor.output_coef_[:] = 0
    regressor.output_intercept_[:] = [1, 2]
    assert_array_equal(regressor.predict(X), np.tile([1.0, 2.0], (N_SAMPLES, 1)))


def test_gates_stand_in_the_order_input_forget_candidate_output():
    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    regressor = plain(dtype="float64").fit(X[:, :1], y)
    z = X[:, 0] @ regressor.input_coefs_[0] + regressor.gate_intercepts_[0]
    i, _, g, o = np.split(z, 4, axis=1)
    h = sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(g))
    expected = h @ regressor.output_coef_[:, 0] + regressor.output_intercept_[0]
    np.testing.assert_allclose(regressor.predict(X[:, :1]), expected, rtol=1e-10)


def test_first_weights_have_a_forget_bias_of_one(monkeypatch):
    replace_pass(monkeypatch, 1, lambda params: np.nan)
    with pytest.warns(ConvergenceWarning, match="diverged in epoch 1"):
        regressor = model(hidden_size=5).fit(X, y)
    assert_array_equal(
        regressor.gate_intercepts_[0].reshape(4, 5), np.outer([0, 1, 0, 0], np.ones(5))
    )


def test_fit_records_its_course():
    regressor = model(max_iter=4).fit(X, y)
    assert regressor.n_iter_ == len(regressor.loss_curve_) == 4
    assert regressor.loss_ == regressor.loss_curve_[-1]
    assert regressor.best_loss_ == min(regressor.loss_curve_)
    assert regressor.t_ == 4 * N_SAMPLES
    assert regressor.validation_scores_ is None
    assert regressor.best_validation_score_ is None
    assert regressor.n_features_in_ == N_FEATURES
    assert regressor.n_timesteps_ == N_TIMESTEPS


def test_nothing_is_learned_before_fit():
    with pytest.raises(NotFittedError):
        model().predict(X)
    assert not hasattr(model(), "input_coefs_")
    assert not hasattr(model(), "output_coef_")


# Order, randomness and threads


def test_shuffle_visits_every_sample_in_a_new_order_in_each_epoch(train_calls):
    model().fit(X, y)
    orders = [call["order"] for call in train_calls]
    for order in orders:
        assert_array_equal(np.sort(order), np.arange(N_SAMPLES))
    assert not np.array_equal(orders[0], orders[1])


def test_shuffle_false_visits_the_samples_as_they_come(train_calls):
    model(shuffle=False).fit(X, y)
    for call in train_calls:
        assert_array_equal(call["order"], np.arange(N_SAMPLES))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_same_bits_for_one_two_and_three_threads(early_stopping):
    fits = [
        model(n_jobs=n_jobs, batch_size=50, hidden_size=9, early_stopping=early_stopping).fit(X, Y)
        for n_jobs in (1, 2, 3)
    ]
    for other in fits[1:]:
        assert_same_weights(fits[0], other)
        assert other.loss_curve_ == fits[0].loss_curve_
        assert other.validation_scores_ == fits[0].validation_scores_
        assert_array_equal(other.predict(X), fits[0].predict(X))


def test_seed_decides_everything():
    assert_same_weights(model().fit(X, y), model().fit(X, y))
    assert (model().fit(X, y)._parameters != model(random_state=1).fit(X, y)._parameters).any()


def test_random_state_instance_moves_on_from_fit_to_fit():
    state = np.random.RandomState(0)
    regressor = model(random_state=state).fit(X, y)
    first = regressor._parameters
    assert (regressor.fit(X, y)._parameters != first).any()
    assert_array_equal(model(random_state=np.random.RandomState(0)).fit(X, y)._parameters, first)


# Sample weights


@pytest.mark.parametrize("early_stopping", [False, True])
def test_zero_weight_is_the_same_as_leaving_the_sample_out(early_stopping):
    weight = np.tile([1.0, 0.0, 2.0], N_SAMPLES // 3)
    parameters = {"early_stopping": early_stopping, "validation_fraction": 0.2}
    weighted = model(**parameters).fit(X, y, sample_weight=weight)
    kept = weight > 0
    assert_same_weights(
        weighted, model(**parameters).fit(X[kept], y[kept], sample_weight=weight[kept])
    )
    assert weighted.validation_scores_ == (
        model(**parameters).fit(X[kept], y[kept], sample_weight=weight[kept]).validation_scores_
    )


def test_samples_of_zero_weight_are_never_visited(train_calls):
    weight = np.ones(N_SAMPLES)
    weight[::2] = 0
    regressor = model().fit(X, y, sample_weight=weight)
    assert regressor.t_ == 3 * (N_SAMPLES // 2)
    assert_array_equal(np.sort(train_calls[0]["order"]), np.arange(1, N_SAMPLES, 2))


def test_in_one_batch_weight_is_repetition_in_any_order():
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 4, size=N_SAMPLES)
    repeated = rng.permutation(np.repeat(np.arange(N_SAMPLES), weight))
    weighted = model(batch_size=1000).fit(X, Y, sample_weight=weight)
    assert_same_weights(weighted, model(batch_size=1000).fit(X[repeated], Y[repeated]))


def test_weights_change_what_is_learned():
    weight = np.linspace(0.1, 5, N_SAMPLES)
    unweighted, weighted = model().fit(X, y), model().fit(X, y, sample_weight=weight)
    assert (unweighted._parameters != weighted._parameters).any()
    more = copy.deepcopy(unweighted).partial_fit(X, y, sample_weight=weight)
    assert (more._parameters != unweighted.partial_fit(X, y)._parameters).any()


def test_score_is_weighted():
    weight = np.linspace(0, 1, N_SAMPLES)
    regressor = model().fit(X, y)
    expected = r2_score(y, regressor.predict(X), sample_weight=weight)
    assert regressor.score(X, y, sample_weight=weight) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("weight", "message"), [(-np.ones(N_SAMPLES), "[Nn]egative"), (np.zeros(N_SAMPLES), "zero")]
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_negative_and_all_zero_weights_raise(method, weight, message):
    with pytest.raises(ValueError, match=message):
        getattr(model(), method)(X, y, sample_weight=weight)
