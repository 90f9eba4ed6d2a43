"""How far forecasts go by what was learned: what held-out errors say of regression and network."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pylstm import LSTMForecaster, LSTMRegressor, SequenceScaler, sliding_windows
from pylstm._shares import (
    ALL,
    NAIVE,
    REGRESSION,
    WITHOUT_DRIFT,
    Shares,
    can_be_shared,
    fit_shares,
    lean,
)

T = np.arange(300)
SEASONAL = 100 + T / 5 + 20 * np.sin(2 * np.pi * T / 12) + np.random.default_rng(0).normal(size=300)
WALK = 1000 + np.cumsum(np.random.default_rng(0).normal(size=300))


def bent(n_steps, seed=0):
    """A series whose next value depends on the last one, and not linearly."""
    rng = np.random.default_rng(seed)
    values = [0.0]
    for noise in 0.2 * rng.uniform(-1, 1, size=n_steps - 1):
        values.append(1 - 1.6 * abs(values[-1]) + noise)
    return np.array(values)


def network(**parameters):
    settings = {"highway": "all", "loss": "gaussian", "alpha": 0.3, "n_iter_no_change": np.inf}
    return LSTMRegressor(**{**settings, "random_state": 0, **parameters})


def test_a_random_walk_is_forecast_by_its_last_value_with_intervals():
    forecaster = LSTMForecaster(window=12, horizon=3, random_state=0).fit(WALK)
    assert forecaster.shares_ == NAIVE
    prediction, lower, upper = forecaster.forecast(8, interval=0.8)
    assert_allclose(prediction[:3], WALK[-1], rtol=1e-6)
    assert_allclose(prediction[3:], WALK[-1], atol=1)  # of simulated futures
    assert ((lower < prediction) & (prediction < upper)).all()
    assert upper[-1] - lower[-1] > upper[0] - lower[0]
    backtest = forecaster.backtest(4)
    assert_allclose(backtest.errors["LSTM"]["RMSE"], backtest.errors["naive"]["RMSE"], rtol=1e-5)


def test_a_season_is_forecast_by_the_regression_and_some_of_the_network():
    forecaster = LSTMForecaster(window=24, horizon=6, random_state=0).fit(SEASONAL)
    assert forecaster.shares_.regression == 1
    assert 0 < forecaster.shares_.network < 1
    truth = 100 + T[:6] / 5 + 60 + 20 * np.sin(2 * np.pi * (T[:6] + 300) / 12)
    assert np.abs(forecaster.forecast(interval=None) - truth).max() < 4


def test_growth_goes_on_unless_it_has_ended():
    growing = 100 + T / 2 + np.random.default_rng(0).normal(size=300)
    forecaster = LSTMForecaster(window=4, horizon=6, window_scaling="last", random_state=0)
    assert forecaster.fit(growing).shares_.drift == 1
    ended = np.where(T < 220, growing, 210 + growing - 100 - T / 2)
    assert forecaster.fit(ended).shares_.drift == 0


def test_what_is_not_linear_is_forecast_by_the_network():
    series = bent(1600)
    forecaster = LSTMForecaster(window=8, horizon=1, window_scaling="last", random_state=0)
    forecaster.fit(series[:1200])
    assert forecaster.shares_.network > 0.9
    fitted = network(window_scaling="last").fit(*sliding_windows(series[:1200], 8))
    windows, y = sliding_windows(series[1200:], 8)
    models = forecaster.model_, lean(fitted, REGRESSION)
    errors = [np.std(model.predict(windows) - y) for model in models]
    assert errors[0] < 0.6 * errors[1]


def test_what_cannot_be_checked_is_not_used():
    few = SEASONAL[:40]  # 11 windows
    assert LSTMForecaster(window=24, horizon=6, random_state=0).fit(few).shares_ == WITHOUT_DRIFT
    unchecked = LSTMForecaster(window=24, horizon=6, calibration_fraction=0, random_state=0)
    assert unchecked.fit(few).shares_ == ALL


@pytest.mark.parametrize(
    "estimator",
    [
        network(highway=0),
        TransformedTargetRegressor(network(max_iter=5), transformer=StandardScaler()),
    ],
    ids=["no highway", "transformed target"],
)
def test_other_estimators_are_taken_as_they_are(estimator):
    assert LSTMForecaster(24, 1, estimator=estimator, random_state=0).fit(WALK).shares_ == ALL


def test_without_a_scaling_of_windows_there_is_no_naive_forecast():
    assert LSTMForecaster(24, 1, window_scaling=None, random_state=0).fit(SEASONAL).shares_ == ALL


@pytest.mark.parametrize("scaling", ["last", "mean", "standard", "relative"])
@pytest.mark.parametrize("loss", ["gaussian", "squared_error", "quantile"])
def test_a_share_is_a_weighted_mean_of_forecasts(loss, scaling):
    windows, targets = sliding_windows(SEASONAL, 24, horizon=[1, 2])
    settings = {"quantile": [0.1, 0.5, 0.9]} if loss == "quantile" else {}
    fitted = network(loss=loss, window_scaling=scaling, max_iter=10, dtype="float64", **settings)
    fitted.fit(windows, targets)
    assert can_be_shared(fitted)

    def predict(*shares):
        return lean(fitted, Shares(*shares)).predict(windows)

    naive, still, regression = predict(0, 0, 0), predict(0, 1, 0), predict(1, 1, 0)
    everything = predict(1, 1, 1)
    assert_allclose(everything, fitted.predict(windows), rtol=1e-12)
    assert not np.allclose(regression, everything, rtol=1e-5)
    assert_allclose(predict(1, 1, 0.3), regression + 0.3 * (everything - regression), rtol=1e-9)
    assert_allclose(predict(1, 0.6, 0), naive + 0.6 * (regression - naive), rtol=1e-9)
    assert_allclose(predict(0.2, 1, 0), still + 0.2 * (regression - still), rtol=1e-9)
    if loss != "quantile":
        for target in range(2):
            step = np.argmin(np.abs(naive[0, target] - windows[0, :, 0]))
            assert_allclose(naive[:, target], windows[:, step, 0], rtol=1e-9)
        assert_allclose(lean(fitted, NAIVE).transform(windows), fitted.transform(windows))
    if loss == "gaussian":
        deviations = [m.predict(windows, return_std=True)[1] for m in (fitted, lean(fitted, NAIVE))]
        assert_allclose(*deviations)


def test_the_network_is_found_within_a_pipeline():
    windows, y = sliding_windows(WALK, 12)
    fitted = make_pipeline(SequenceScaler(), network(window_scaling="last", max_iter=3))
    before = fitted.fit(windows, y).predict(windows)
    leaned = lean(fitted, REGRESSION)
    assert not np.allclose(leaned.predict(windows), before, rtol=1e-5)
    assert_allclose(fitted.predict(windows), before)  # which stays as it was


@pytest.mark.parametrize(("n_windows", "low", "high"), [(8, 0.4, 0.6), (1000, 0.95, 1)])
def test_evidence_decides_between_half_and_all_of_the_network(n_windows, low, high):
    windows, y = sliding_windows(bent(2000), 8)
    fitted = network(window_scaling="last", max_iter=30).fit(windows[:900], y[:900])
    held = slice(950, 950 + n_windows)
    shares = fit_shares(fitted, windows[held], y[held], 1, np.ones((n_windows, 1)), n_windows)
    assert shares.regression == 1
    assert low <= shares.network <= high
