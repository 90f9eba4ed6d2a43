"""What `forecast` promises: by hand, on processes whose future is known, and its errors."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtri
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from pylstm import LSTMClassifier, LSTMRegressor, SequenceScaler, core, sliding_windows
from pylstm.forecasting import Forecast, forecast

WINDOW, N_STEPS, N_FUTURE = 6, 80, 24

rng = np.random.default_rng(0)
SERIES = 20 + 5 * np.sin(np.arange(N_STEPS) / 3) + rng.normal(size=N_STEPS)
SERIES_3 = 20 + 3 * rng.normal(size=(N_STEPS, 3)).cumsum(axis=0)
KNOWN = np.column_stack([np.arange(N_STEPS + N_FUTURE) % 7, rng.normal(size=N_STEPS + N_FUTURE)])


def lstm(**parameters):
    """A small network that trains for three epochs, on one thread."""
    defaults = {"hidden_size": 4, "max_iter": 3, "n_iter_no_change": np.inf}
    return LSTMRegressor(**{**defaults, "random_state": 0, "n_jobs": 1, **parameters})


def standardised(regressor):
    return TransformedTargetRegressor(regressor, transformer=StandardScaler())


def fitted(model, series=SERIES, horizon=1, target=None, known=None, flat=False):
    X, y = sliding_windows(series, WINDOW, horizon, target=target, known=known)
    return model.fit(X.reshape(len(X), -1) if flat else X, y)


def by_hand(model, history, steps, *, n_horizons=1, known=None, flat=False):
    """Forecast with a plain loop."""
    series = np.reshape(history, (len(history), -1))
    n_steps = len(series)
    while len(series) < n_steps + steps:
        window = series[-WINDOW:]
        if known is not None:
            last = len(series) + n_horizons
            window = np.hstack([window, np.reshape(known, (len(known), -1))[last - WINDOW : last]])
        predicted = model.predict(window.reshape(1, -1) if flat else window[np.newaxis])
        series = np.vstack([series, predicted.reshape(n_horizons, -1)])
    future = series[n_steps : n_steps + steps]
    return future[:, 0] if future.shape[1] == 1 else future


class Known(BaseEstimator):
    """A stand-in for a fitted LSTM whose predictions are a known function of the windows."""

    def __init__(self, function, n_features=1, n_outputs=1, std=None):
        self.function = function
        self.std = std
        self.n_timesteps_ = WINDOW
        self.n_features_in_ = n_features
        self.n_outputs_ = n_outputs
        self._architecture = SimpleNamespace(n_features=n_features)
        self._loss = core.SquaredError() if std is None else core.Gaussian()

    def predict(self, X, return_std=False):
        assert X.shape[1:] == (WINDOW, self.n_features_in_)
        mean = self.function(X)
        return (mean, np.full_like(mean, self.std)) if return_std else mean


# ------------------------------------------------------------------------- Recursive and direct


@pytest.mark.parametrize("steps", [1, 2, WINDOW, 20])
@pytest.mark.parametrize("series", [SERIES, SERIES[:, np.newaxis], SERIES_3], ids=["1-D", "1", "3"])
def test_recursive_forecast_equals_a_loop(series, steps):
    model = fitted(lstm(), series)
    future = forecast(model, series, steps)
    assert_allclose(future, by_hand(model, series, steps), rtol=1e-6)
    assert future.shape == ((steps, 3) if series.ndim == 2 and series.shape[1] == 3 else (steps,))


def test_recursion_feeds_back_what_it_predicts():
    fibonacci = Known(lambda X: X[:, -1, 0] + X[:, -2, 0])
    assert_array_equal(forecast(fibonacci, [0, 0, 0, 0, 1, 1], 8), [2, 3, 5, 8, 13, 21, 34, 55])


@pytest.mark.parametrize("steps", [1, 3, 5])
@pytest.mark.parametrize("target", [None, 1, [0, 2]])
def test_direct_forecast_is_a_single_prediction(steps, target):
    horizon = range(1, 6)
    model = fitted(lstm(), SERIES_3, horizon, target)
    future = forecast(model, SERIES_3, steps, horizon=horizon)
    expected = model.predict(SERIES_3[np.newaxis, -WINDOW:]).reshape(5, -1)[:steps]
    assert_array_equal(future, expected[:, 0] if target == 1 else expected)


@pytest.mark.parametrize("steps", [6, 10, 12])
@pytest.mark.parametrize("known", [None, KNOWN], ids=["", "known"])
@pytest.mark.parametrize("series", [SERIES, SERIES_3], ids=["1", "3"])
def test_direct_forecast_goes_on_in_blocks(steps, known, series):
    model = fitted(lstm(), series, [1, 2, 3, 4, 5], known=known)
    future = forecast(model, series, steps, horizon=range(1, 6), known=known)
    assert_allclose(
        future, by_hand(model, series, steps, n_horizons=5, known=known), rtol=1e-6, atol=1e-6
    )


def test_only_the_last_window_counts():
    model = fitted(lstm())
    assert_array_equal(forecast(model, SERIES[-WINDOW:], 9), forecast(model, SERIES, 9))


@pytest.mark.parametrize("horizon", [1, [1], (1,), np.int8(1), np.array([1])], ids=repr)
def test_one_horizon_may_be_written_in_any_way(horizon):
    model = fitted(lstm())
    assert_array_equal(forecast(model, SERIES, 4, horizon=horizon), forecast(model, SERIES, 4))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_forecast_has_the_float_dtype_of_the_history(dtype):
    series = SERIES.astype(dtype)
    future = forecast(fitted(lstm(), series), series, 4)
    assert future.dtype == (np.float32 if dtype == np.float32 else np.float64)


def test_any_input_is_taken_and_left_as_it_is():
    pd = pytest.importorskip("pandas")
    model = fitted(lstm(), SERIES_3, known=KNOWN)
    history, known = SERIES_3.copy(), KNOWN.copy()
    history.setflags(write=False)
    expected = forecast(model, history, 5, known=known)
    assert_array_equal(known, KNOWN)
    for convert in (pd.DataFrame, np.ndarray.tolist, np.asfortranarray):
        converted = forecast(model, convert(history), 5, known=convert(known))
        assert_array_equal(converted, expected)


# ------------------------------------------------------------------------------- Known features


@pytest.mark.parametrize("series", [SERIES, SERIES_3], ids=["1", "3"])
@pytest.mark.parametrize("known", [KNOWN, KNOWN[:, 0]], ids=["2", "1"])
def test_known_features_in_a_loop(series, known):
    model = fitted(lstm(), series, known=known)
    expected = by_hand(model, series, 9, known=known)
    assert_allclose(forecast(model, series, 9, known=known), expected, rtol=1e-6)


def test_known_features_are_those_of_the_step_to_forecast():
    echo = Known(lambda X: X[:, -1, 1], n_features=2)
    known = np.arange(N_STEPS + 5.0)
    assert_array_equal(forecast(echo, SERIES, 5, known=known), known[N_STEPS:])

    # From six horizons, the network has read the known values of all six when it forecasts.
    echo = Known(lambda X: X[:, :, 1], n_features=2, n_outputs=WINDOW)
    known = np.arange(N_STEPS + 2.0 * WINDOW)
    future = forecast(echo, SERIES, 2 * WINDOW, horizon=range(1, WINDOW + 1), known=known)
    assert_array_equal(future, known[N_STEPS:])


@pytest.mark.parametrize("n_horizons", [1, 4])
def test_forecast_reads_what_sliding_windows_would_hold(n_horizons):
    horizon = range(1, n_horizons + 1)
    model = fitted(lstm(), SERIES_3, horizon, known=KNOWN)
    X, _ = sliding_windows(SERIES_3, WINDOW, horizon, known=KNOWN)
    for i in (0, 7, len(X) - 1):
        future = forecast(model, SERIES_3[: i + WINDOW], n_horizons, horizon=horizon, known=KNOWN)
        assert_allclose(future.ravel(), model.predict(X[i : i + 1]).ravel(), rtol=1e-6)


# ----------------------------------------------------------------------- Models around the LSTM

MODELS = {
    "pipeline": lambda: make_pipeline(SequenceScaler(), lstm()),
    "longer pipeline": lambda: make_pipeline("passthrough", SequenceScaler(), lstm()),
    "nested pipelines": lambda: make_pipeline(
        make_pipeline(SequenceScaler()), make_pipeline(lstm())
    ),
    "pipeline of one": lambda: make_pipeline(lstm()),
    "target": lambda: standardised(lstm()),
    "target around pipeline": lambda: standardised(make_pipeline(SequenceScaler(), lstm())),
    "target in pipeline": lambda: make_pipeline(SequenceScaler(), standardised(lstm())),
    "two targets": lambda: TransformedTargetRegressor(
        standardised(lstm()), func=np.log, inverse_func=np.exp
    ),
    "search": lambda: GridSearchCV(
        standardised(make_pipeline(SequenceScaler(), lstm())),
        {"regressor__lstmregressor__hidden_size": [2, 3]},
        cv=TimeSeriesSplit(2),
    ),
    "search within": lambda: standardised(
        make_pipeline(SequenceScaler(), GridSearchCV(lstm(), {"hidden_size": [2, 3]}, cv=2))
    ),
}


@pytest.mark.parametrize("make_model", MODELS.values(), ids=MODELS.keys())
@pytest.mark.parametrize("series", [SERIES, SERIES_3 - SERIES_3.min() + 1], ids=["1", "3"])
def test_models_around_the_lstm(make_model, series):
    model = fitted(make_model(), series)
    assert_allclose(forecast(model, series, 8), by_hand(model, series, 8), rtol=1e-5)


@pytest.mark.parametrize("series", [SERIES, SERIES_3], ids=["1", "3"])
@pytest.mark.parametrize("known", [None, KNOWN], ids=["", "known"])
def test_models_of_flattened_windows(series, known):
    model = standardised(make_pipeline(StandardScaler(), lstm(n_timesteps=WINDOW)))
    fitted(model, series, known=known, flat=True)
    expected = by_hand(model, series, 8, known=known, flat=True)
    assert_allclose(forecast(model, series, 8, known=known), expected, rtol=1e-5)


def test_transformers_may_add_features():
    def with_changes(X):
        return np.concatenate([X, np.diff(X, axis=1, prepend=X[:, :1])], axis=2)

    model = make_pipeline(FunctionTransformer(with_changes), SequenceScaler(), lstm())
    fitted(model)
    assert_allclose(forecast(model, SERIES, 8), by_hand(model, SERIES, 8), rtol=1e-5)


def test_missing_values_go_to_a_model_that_takes_them():
    history = SERIES.copy()
    history[-3] = np.nan
    model = lstm(missing="mask")
    X, y = sliding_windows(SERIES, WINDOW)
    model.fit(X, y)
    assert_allclose(forecast(model, history, 4), by_hand(model, history, 4), rtol=1e-6)
    with pytest.raises(ValueError, match="NaN"):
        forecast(fitted(lstm()), history, 4)


@pytest.mark.parametrize("series", [SERIES, SERIES_3], ids=["1", "3"])
def test_network_with_an_output_at_each_step_forecasts_from_the_last(series):
    X, _ = sliding_windows(series, WINDOW)
    following = np.concatenate([X[1:, :, :]], axis=0)
    X, y = X[:-1], following[..., 0] if series.ndim == 1 else following
    model = lstm(return_sequences=True).fit(X, y)
    expected = model.predict(series[np.newaxis, -WINDOW:].reshape(1, WINDOW, -1))[:, -1]
    assert_allclose(forecast(model, series, 1).ravel(), expected.ravel(), rtol=1e-6)
    assert forecast(model, series, 5).shape == (5, *series.shape[1:])

    model = TransformedTargetRegressor(
        lstm(return_sequences=True, loss="gaussian"),
        transformer=SequenceScaler(),
        check_inverse=False,
    ).fit(X, y)
    expected = model.predict(series[np.newaxis, -WINDOW:].reshape(1, WINDOW, -1))[:, -1]
    prediction, lower, upper = forecast(model, series, 3, interval=0.5, n_paths=9)
    assert_allclose(prediction[0], expected.ravel().squeeze(), rtol=1e-6)
    assert np.all((lower < prediction) & (prediction < upper))


def test_network_fitted_to_sequences_with_lengths_reads_the_whole_history():
    X, y = sliding_windows(SERIES, WINDOW)
    model = lstm().fit(X, y, lengths=np.resize([WINDOW, 3], len(X)))
    history = SERIES[-9:]
    future = forecast(model, history, 2)
    first = model.predict(history.reshape(1, 9, 1))
    second = model.predict(np.append(history[1:], first).reshape(1, 9, 1))
    assert_allclose(future, np.concatenate([first, second]), rtol=1e-6)


# --------------------------------------------------------------------------------- Several series

BATCH = np.stack([SERIES_3, SERIES_3[::-1], SERIES_3 + 1])


@pytest.mark.parametrize("known", [None, KNOWN, np.stack([KNOWN, -KNOWN, 2 * KNOWN])], ids=np.ndim)
@pytest.mark.parametrize("n_horizons", [1, 4])
def test_several_series_are_forecast_each_by_itself(known, n_horizons):
    horizon = range(1, n_horizons + 1)
    model = fitted(lstm(), SERIES_3, horizon, known=None if known is None else KNOWN)
    futures = forecast(model, BATCH, 7, horizon=horizon, known=known)
    assert futures.shape == (3, 7, 3)
    for i, history in enumerate(BATCH):
        own = known[i] if np.ndim(known) == 3 else known
        alone = forecast(model, history, 7, horizon=horizon, known=own)
        assert_allclose(futures[i], alone, rtol=1e-6)


def test_several_univariate_series_have_no_axis_of_targets():
    model = fitted(lstm(loss="gaussian"))
    futures = forecast(model, BATCH[..., :1], 4, interval=0.8, n_paths=5)
    assert [values.shape for values in futures] == [(3, 4)] * 3
    assert forecast(model, BATCH[:1, :, :1], 4).shape == (1, 4)


# ------------------------------------------------------------------------------------- Intervals


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


QUANTILES = core.Quantile((0.05, 0.25, 0.5, 0.75, 0.95))


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


# ---------------------------------------------------------------------------------------- Errors


@pytest.fixture(scope="module")
def models():
    return {
        "plain": fitted(lstm()),
        "three": fitted(lstm(), SERIES_3),
        "one of three": fitted(lstm(), SERIES_3, target=0),
        "direct": fitted(lstm(), horizon=range(1, 6)),
        "known": fitted(lstm(), known=KNOWN),
        "gaussian": fitted(lstm(loss="gaussian")),
        "gaussian direct": fitted(lstm(loss="gaussian"), horizon=range(1, 6)),
        "quantiles": fitted(lstm(loss=QUANTILES)),
        "tails": fitted(lstm(loss=core.Quantile((0.05, 0.95)))),
        "one quantile": fitted(lstm(loss="quantile")),
    }


BAD_CALLS = {
    "steps 0": ("plain", SERIES, 0, {}, "'steps'"),
    "steps float": ("plain", SERIES, 2.0, {}, "'steps'"),
    "interval 0": ("gaussian", SERIES, 2, {"interval": 0}, "'interval'"),
    "interval 90": ("gaussian", SERIES, 2, {"interval": 90}, "'interval'"),
    "no paths": ("gaussian", SERIES, 2, {"interval": 0.9, "n_paths": 0}, "'n_paths'"),
    "random state": ("gaussian", SERIES, 2, {"random_state": "a"}, "'random_state'"),
    "horizon 0": ("plain", SERIES, 2, {"horizon": 0}, "'horizon'"),
    "horizon None": ("plain", SERIES, 2, {"horizon": None}, "'horizon'"),
    "one far horizon": ("plain", SERIES, 2, {"horizon": 5}, r"range\(1, 6\).*got 5"),
    "gap": ("direct", SERIES, 2, {"horizon": [1, 3]}, r"leaves out no step.*got \[1, 3\]"),
    "order": ("direct", SERIES, 2, {"horizon": [2, 1]}, "leaves out no step"),
    "now": ("plain", SERIES, 1, {"horizon": [0]}, "leaves out no step"),
    "from 0": ("direct", SERIES, 2, {"horizon": range(5)}, "leaves out no step"),
    "other horizons": ("direct", SERIES, 2, {"horizon": [1, 2]}, "5 targets.*2 horizons"),
    "horizon forgotten": ("direct", SERIES, 2, {}, r"1 step\(s\) of 5 target.*Pass the horizon"),
    "not all features": ("one of three", SERIES_3, 2, {}, r"3 feature\(s\), and all of them"),
    "short history": ("plain", SERIES[:5], 2, {}, "5 steps.*windows of 6"),
    "empty history": ("plain", [], 2, {}, "0 sample"),
    "empty histories": ("plain", np.ones((2, 0, 1)), 2, {}, "0 steps.*windows of 6"),
    "4-D history": ("plain", np.ones((1, 1, 9, 1)), 2, {}, "4 dimensions"),
    "text": ("plain", list("abcdefghi"), 2, {}, "could not convert"),
    "infinite": ("plain", np.append(SERIES, np.inf), 2, {}, "infinity"),
    "features": ("plain", SERIES_3, 1, {}, "3 features, but LSTMRegressor is expecting 1"),
    "known unknown": ("plain", SERIES, 1, {"known": KNOWN}, "3 features.*expecting 1"),
    "known forgotten": ("known", SERIES, 1, {}, "1 features.*expecting 3"),
    "known short": (
        "known",
        SERIES,
        4,
        {"known": KNOWN[: N_STEPS + 3]},
        "83 rows, but 84 are needed: 80 for the history and 4",
    ),
    "known short for a block": (
        "direct",
        SERIES,
        6,
        {"known": KNOWN[: N_STEPS + 9], "horizon": range(1, 6)},
        "89 rows, but 90 are needed: 80 for the history and 10",
    ),
    "known for series": ("known", SERIES, 1, {"known": np.stack([KNOWN] * 2)}, r"\(1, n_known_st"),
    "known 4-D": ("known", SERIES, 1, {"known": KNOWN[None, None]}, r"shape \(1, 1, 104, 2\)"),
    "no loss": ("plain", SERIES, 1, {"interval": 0.9}, r"'gaussian'.*0\.05, 0\.5, 0\.95.*SquaredE"),
    "level": (
        "quantiles",
        SERIES,
        1,
        {"interval": 0.8},
        r"0\.1 quantile is needed.*\(0\.05, 0\.25, 0\.5, 0\.75, 0\.95\)",
    ),
    "no median": ("tails", SERIES, 1, {}, r"0\.5 quantile is needed.*\(0\.05, 0\.95\)"),
    "no median either": ("tails", SERIES, 1, {"interval": 0.9}, r"0\.5 quantile is needed"),
    "one level": ("one quantile", SERIES, 1, {"interval": 0.9}, r"0\.05 quantile is needed"),
    "futures of quantiles": ("quantiles", SERIES, 2, {"interval": 0.9}, "1 step.*'gaussian'"),
    "futures of blocks": (
        "gaussian direct",
        SERIES,
        6,
        {"interval": 0.9, "horizon": range(1, 6)},
        "intervals of 5 steps only",
    ),
}


@pytest.mark.parametrize(
    ("name", "history", "steps", "options", "message"), BAD_CALLS.values(), ids=BAD_CALLS.keys()
)
def test_bad_calls_raise(models, name, history, steps, options, message):
    with pytest.raises(ValueError, match=message):
        forecast(models[name], history, steps, **options)


UNFITTED = {
    "LSTM": lstm(),
    "pipeline": make_pipeline(SequenceScaler(), lstm()),
    "target": standardised(lstm()),
    "search": GridSearchCV(lstm(), {"hidden_size": [2]}),
}


@pytest.mark.parametrize("model", UNFITTED.values(), ids=UNFITTED.keys())
def test_unfitted_models_raise(model):
    with pytest.raises(NotFittedError):
        forecast(model, SERIES, 1)


def test_models_without_an_lstm_raise():
    ridge = Ridge().fit(SERIES[:-1, np.newaxis], SERIES[1:])
    for model in (ridge, standardised(Ridge()).fit(SERIES[:, np.newaxis], SERIES)):
        with pytest.raises(TypeError, match="No LSTMRegressor was found in"):
            forecast(model, SERIES, 1)
    search = GridSearchCV(lstm(), {"hidden_size": [2]}, cv=2, refit=False)
    for model in ("model", fitted(search)):
        with pytest.raises(TypeError, match=r"'model'.*'predict'"):
            forecast(model, SERIES, 1)


def test_classifiers_raise():
    X, y = sliding_windows(SERIES, WINDOW, target=SERIES > 20)
    model = LSTMClassifier(max_iter=1, n_iter_no_change=np.inf).fit(X, y)
    with pytest.raises(TypeError, match="got the classifier"):
        forecast(model, SERIES, 1)


def test_stateful_models_raise():
    X, y = sliding_windows(SERIES, WINDOW, step=WINDOW)
    model = lstm(stateful=True, shuffle=False, batch_size=4).fit(X, y)
    with pytest.raises(ValueError, match="stateful=True forecasts from its states"):
        forecast(model, SERIES, 1)


def test_the_method_is_the_function():
    series = np.sin(np.arange(80) / 4)
    X, y = sliding_windows(series, window=8)
    model = LSTMRegressor(hidden_size=4, max_iter=2, n_iter_no_change=np.inf, random_state=0)
    model.fit(X, y)
    np.testing.assert_array_equal(model.forecast(series, 5), forecast(model, series, 5))
    with pytest.raises(TypeError, match="horizons"):
        model.forecast(series, 5, horizons=1)
