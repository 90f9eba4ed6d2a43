"""Losses of the regressor: predictions, scores, what they are good for."""

import pickle

import numpy as np
import pytest
from helpers.estimators import (
    ALL_LOSSES,
    N_SAMPLES,
    Y_STEPS,
    X,
    Y,
    assert_same_fit,
    expected_score,
    model,
    plain,
    suiting,
    y,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from pylstm import core
from pylstm.training import CosineDecay


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
    fitted = plain(loss=core.Quantile((0.1, 0.5, 0.9)), max_iter=1).fit(X, targets)
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
        fitted = plain(loss="gaussian", return_sequences=targets[0].size > 2).fit(X, targets)
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


@pytest.mark.parametrize("targets", [y, Y], ids=["one target", "two targets"])
@pytest.mark.parametrize("loss", ALL_LOSSES, ids=str)
def test_score_is_that_of_scikit_learn(loss, targets):
    targets = suiting(loss, targets)
    fitted = model(loss=loss).fit(X, targets)
    for weight in (None, np.linspace(0, 2, N_SAMPLES)):
        expected = expected_score(loss, targets, fitted.predict(X), weight)
        assert fitted.score(X, targets, weight) == pytest.approx(expected, abs=1e-5)


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
