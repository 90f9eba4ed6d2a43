"""Intervals of `forecast`: exact, simulated, and on processes whose future is known."""

import numpy as np
import pytest
from helpers.estimators import standardised
from helpers.forecasts import (
    N_STEPS,
    QUANTILES,
    SERIES,
    SERIES_3,
    WINDOW,
    Known,
    by_hand,
    fitted,
    lstm,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtri
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import FunctionTransformer

from pylstm import core
from pylstm.forecasting import Forecast, forecast


def test_interval_of_one_step_is_that_of_the_normal_distribution():
    model = fitted(lstm(loss="gaussian"), SERIES_3)
    result = forecast(model, SERIES_3, 1, interval=0.8)
    mean, std = model.predict(SERIES_3[np.newaxis, -WINDOW:], return_std=True)
    assert isinstance(result, Forecast)
    assert result._fields == ("prediction", "lower", "upper")
    assert_allclose(result.prediction, mean)
    assert_allclose(result.lower, mean - 1.2815515655446004 * std)
    assert_allclose(result.upper, mean + 1.2815515655446004 * std)


def test_interval_of_a_direct_forecast_is_that_of_the_normal_distributions():
    horizon = range(1, 6)
    model = fitted(standardised(lstm(loss="gaussian")), SERIES_3, horizon)
    result = forecast(model, SERIES_3, 4, horizon=horizon, interval=0.9)
    window = SERIES_3[np.newaxis, -WINDOW:]
    mean, std = model.regressor_.predict(window, return_std=True)
    for values, shift in zip(result, [0, -1.6448536269514722, 1.6448536269514722], strict=True):
        expected = model.transformer_.inverse_transform(mean + shift * std)
        assert_allclose(values, expected.reshape(5, 3)[:4])
    assert_allclose(result.prediction, forecast(model, SERIES_3, 4, horizon=horizon), rtol=1e-6)


@pytest.mark.parametrize(("interval", "columns"), [(0.9, [2, 0, 4]), (0.5, [2, 1, 3])])
@pytest.mark.parametrize("series", [SERIES, SERIES_3], ids=["1", "3"])
@pytest.mark.parametrize("n_horizons", [1, 4])
def test_interval_of_quantiles(interval, columns, series, n_horizons):
    horizon = 1 if n_horizons == 1 else range(1, n_horizons + 1)
    model = fitted(standardised(lstm(loss=QUANTILES)), series, horizon)
    window = series[-WINDOW:].reshape(1, WINDOW, -1)
    by_level = np.moveaxis(model.regressor_.predict(window), -1, 0)
    result = forecast(model, series, n_horizons, horizon=horizon, interval=interval)
    for values, column in zip(result, columns, strict=True):
        predicted = by_level[column].reshape(1, -1)
        expected = model.transformer_.inverse_transform(predicted).reshape(n_horizons, -1)
        assert_allclose(values.reshape(n_horizons, -1), expected)


def test_several_quantiles_forecast_their_median():
    several = fitted(lstm(loss=QUANTILES))
    window, future = SERIES[-WINDOW:], []
    for _ in range(5):
        future.append(several.predict(window.reshape(1, WINDOW, 1))[0, 2])
        window = np.append(window[1:], future[-1])
    assert_allclose(forecast(several, SERIES, 5), future, rtol=1e-6)


@pytest.mark.parametrize("quantiles", [0.9, (0.9,)])
def test_a_single_quantile_is_what_is_forecast(quantiles):
    model = fitted(lstm(loss=core.Quantile(quantiles)))
    future = forecast(model, SERIES, 5)
    assert_allclose(future, by_hand(model, SERIES, 5), rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "inverse"),
    [(np.log, np.exp), (np.reciprocal, np.reciprocal), (np.negative, np.negative)],
    ids=["increasing", "decreasing", "linear"],
)
@pytest.mark.parametrize("loss", ["gaussian", QUANTILES], ids=["gaussian", "quantiles"])
def test_quantiles_are_mapped_back(function, inverse, loss):
    series = SERIES / 10
    model = TransformedTargetRegressor(lstm(loss=loss), func=function, inverse_func=inverse)
    fitted(model, series)
    prediction, lower, upper = forecast(model, series, 1, interval=0.9)
    window = series[-WINDOW:].reshape(1, WINDOW, 1)
    if loss == "gaussian":
        mean, std = model.regressor_.predict(window, return_std=True)
        quantiles = [mean, mean + ndtri(0.05) * std, mean + ndtri(0.95) * std]
    else:
        quantiles = list(model.regressor_.predict(window)[0, [2, 0, 4]])
    center, *bounds = [inverse(quantile) for quantile in quantiles]
    assert_allclose(prediction, np.ravel(center), rtol=1e-6)
    assert_allclose([lower, upper], np.sort(np.reshape(bounds, (2, 1)), axis=0), rtol=1e-6)
    assert_allclose(forecast(model, series, 1), prediction, rtol=1e-6)


def ar1(n_series, n_steps, coefficient=0.8, seed=0):
    """Simulate x_t = coefficient x_{t-1} + e_t, with e_t standard normal."""
    noise = np.random.default_rng(seed).normal(size=(n_steps, n_series))
    noise[0] /= np.sqrt(1 - coefficient**2)
    for t in range(1, n_steps):
        noise[t] += coefficient * noise[t - 1]
    return noise.T


def test_simulated_futures_have_the_distribution_of_the_process():
    process = Known(lambda X: 0.8 * X[:, -1, 0], std=1.0)
    history = np.full(WINDOW, 10.0)
    result = forecast(process, history, 6, interval=0.9, n_paths=40_000, random_state=0)
    ahead = np.arange(1, 7)
    std = np.sqrt(np.cumsum(0.64 ** (ahead - 1)))
    assert_allclose(result.prediction, 10 * 0.8**ahead, atol=0.04)
    assert_allclose(result.upper, 10 * 0.8**ahead + 1.645 * std, atol=0.06)
    assert_allclose(result.lower, 10 * 0.8**ahead - 1.645 * std, atol=0.06)


def test_errors_of_the_horizons_of_a_block_are_one():
    # Both steps are forecast by the mean of the last two: their errors, being one, do not level out.
    process = Known(
        lambda X: X[:, -2:, 0].mean(axis=1, keepdims=True).repeat(2, 1), n_outputs=2, std=1
    )
    options = {"horizon": [1, 2], "interval": 0.8, "n_paths": 40_000, "random_state": 0}
    result = forecast(process, np.full(WINDOW, 10.0), 6, **options)
    std = np.sqrt([1, 1, 2, 2, 3, 3])
    assert_allclose(result.prediction, 10, atol=0.04)
    assert_allclose(result.upper, 10 + ndtri(0.9) * std, atol=0.06)
    assert_array_equal(
        forecast(process, np.full(WINDOW, 10.0), 2, **options), [r[:2] for r in result]
    )


def test_simulated_futures_are_drawn_in_the_units_of_the_transformed_target():
    # A random walk of the logarithm: its future is log-normal.
    model = TransformedTargetRegressor(func=np.log, inverse_func=np.exp)
    model.regressor_ = Known(lambda X: np.log(X[:, -1, 0]), std=0.1)
    model.transformer_ = FunctionTransformer(np.log, np.exp)
    result = forecast(model, np.full(WINDOW, 5.0), 4, interval=0.8, n_paths=40_000, random_state=0)
    spread = ndtri(0.9) * 0.1 * np.sqrt(np.arange(1, 5))
    assert_allclose(result.prediction, 5, rtol=0.01)
    assert_allclose(result.upper, 5 * np.exp(spread), rtol=0.01)
    assert_allclose(result.lower, 5 * np.exp(-spread), rtol=0.01)


def test_without_noise_all_futures_are_the_forecast():
    process = Known(lambda X: X[:, -1] + X[:, -2] / 2, n_features=3, n_outputs=3, std=0.0)
    result = forecast(process, SERIES_3, 5, interval=0.9, n_paths=3)
    for values in result:
        assert_allclose(values, forecast(process, SERIES_3, 5))


def test_simulated_futures_see_the_known_features():
    process = Known(lambda X: X[:, -1, 1], n_features=2, std=1e-9)
    known = np.arange(N_STEPS + 4.0)
    result = forecast(process, SERIES, 4, interval=0.9, known=known, n_paths=3)
    assert_allclose(result.prediction, known[N_STEPS:])


def test_futures_are_reproducible_and_the_first_step_is_exact():
    model = fitted(lstm(loss="gaussian"), SERIES_3)
    first, again = (
        forecast(model, SERIES_3, 5, interval=0.9, n_paths=20, random_state=seed) for seed in (1, 1)
    )
    other = forecast(model, SERIES_3, 5, interval=0.9, n_paths=20, random_state=2)
    exact = forecast(model, SERIES_3, 1, interval=0.9)
    for values, same, others, exactly in zip(first, again, other, exact, strict=True):
        assert values.shape == (5, 3)
        assert_array_equal(values, same)
        assert (values[1:] != others[1:]).all()
        assert_allclose(values[0], exactly[0])
    stream = np.random.RandomState(1)
    from_stream = forecast(model, SERIES_3, 5, interval=0.9, n_paths=20, random_state=stream)
    assert_array_equal(from_stream.lower, first.lower)


def coverage(result, histories, n_futures=200, seed=1):
    """Share of simulated futures within the interval, for each step."""
    n_series, steps = result.lower.shape
    noise = np.random.default_rng(seed).normal(size=(steps, n_futures, n_series))
    value, shares = histories[:, -1], []
    for step in range(steps):
        value = 0.8 * value + noise[step]
        inside = (result.lower[:, step] <= value) & (value <= result.upper[:, step])
        shares.append(inside.mean())
    return np.array(shares)


@pytest.mark.parametrize("interval", [0.8, 0.9])
def test_recursive_intervals_cover_the_future_as_often_as_they_say(interval):
    (series,) = ar1(1, 3000)
    model = lstm(loss="gaussian", hidden_size=8, max_iter=15, learning_rate_init=0.01)
    model = fitted(standardised(model), series)
    histories = ar1(100, WINDOW, seed=2)
    result = forecast(
        model, histories[..., np.newaxis], 6, interval=interval, n_paths=300, random_state=0
    )
    assert_allclose(coverage(result, histories), interval, atol=0.03)
    assert np.all((result.lower < result.prediction) & (result.prediction < result.upper))


@pytest.mark.parametrize("loss", ["gaussian", QUANTILES], ids=["gaussian", "quantiles"])
def test_direct_intervals_cover_the_future_as_often_as_they_say(loss):
    (series,) = ar1(1, 3000)
    horizon = range(1, 5)
    model = lstm(loss=loss, hidden_size=8, max_iter=15, learning_rate_init=0.01)
    model = fitted(standardised(model), series, horizon)
    histories = ar1(300, WINDOW, seed=2)
    result = forecast(model, histories[..., np.newaxis], 4, horizon=horizon, interval=0.9)
    assert_allclose(coverage(result, histories), 0.9, atol=0.03)
