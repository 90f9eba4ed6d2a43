"""`forecast`: recursive and direct, with known features, of models around the LSTM and of several series."""

import numpy as np
import pytest
from helpers.estimators import standardised
from helpers.forecasts import KNOWN, N_STEPS, SERIES, SERIES_3, WINDOW, Known, by_hand, fitted, lstm
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from pylstm import LSTMRegressor, SequenceScaler, sliding_windows
from pylstm.forecasting import forecast

# Recursive and direct


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


# Known features


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


# Models around the LSTM


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


@pytest.mark.parametrize("place", [-3, -1])
def test_missing_values_go_to_a_model_that_takes_them(place):
    history = SERIES.copy()
    history[place] = np.nan
    model = lstm(missing="mask")
    X, y = sliding_windows(SERIES, WINDOW)
    model.fit(X, y)
    assert_allclose(forecast(model, history, 4), by_hand(model, history, 4), rtol=1e-6)
    with pytest.raises(ValueError, match="NaN"):
        forecast(fitted(lstm()), history, 1)


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


@pytest.mark.filterwarnings("error")
def test_network_fitted_to_sequences_with_lengths_reads_the_whole_history():
    X, y = sliding_windows(SERIES, WINDOW)
    model = lstm().fit(X, y, lengths=np.resize([WINDOW, 3], len(X)))
    history = SERIES[-9:]
    future = forecast(model, history, 2)
    first = model.predict(history.reshape(1, 9, 1), lengths=[9])
    second = model.predict(np.append(history[1:], first).reshape(1, 9, 1), lengths=[9])
    assert_allclose(future, np.concatenate([first, second]), rtol=1e-6)


# Several series


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


def test_the_method_is_the_function():
    series = np.sin(np.arange(80) / 4)
    X, y = sliding_windows(series, window=8)
    model = LSTMRegressor(hidden_size=4, max_iter=2, n_iter_no_change=np.inf, random_state=0)
    model.fit(X, y)
    np.testing.assert_array_equal(model.forecast(series, 5), forecast(model, series, 5))
    with pytest.raises(TypeError, match="horizons"):
        model.forecast(series, 5, horizons=1)
