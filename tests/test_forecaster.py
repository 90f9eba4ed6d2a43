"""LSTMForecaster: what it stands on gives the same, in every form; intervals that held-out errors make."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
from helpers.panels import long_frame, panel_of
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pylstm import (
    LSTMClassifier,
    LSTMForecaster,
    LSTMRegressor,
    PanelSplit,
    SequenceScaler,
    forecast,
    sliding_windows,
)
from pylstm.forecasting import Forecast

T = np.arange(96)
SALES = 100 + T + 10 * np.sin(2 * np.pi * T / 12) + np.random.default_rng(0).normal(size=96)
MONTHS = pd.date_range("2018-01-01", periods=96, freq="MS")
WALKS = panel_of({"north": 60, "south": 75, "east": 50})
YEAR = range(1, 5)
lstm = partial(LSTMRegressor, hidden_size=3, max_iter=3, n_iter_no_change=np.inf, n_jobs=1)
gaussian = partial(lstm, loss="gaussian")
quick = partial(LSTMForecaster, 12, 4, estimator=gaussian(), random_state=0)


def by_hand(series, **options):
    X, y = sliding_windows(series, 12, horizon=YEAR)
    return gaussian(window_scaling="relative", random_state=0, **options).fit(X, y)


# What it stands on


@pytest.mark.parametrize("interval", [None, 0.8])
def test_forecasts_are_those_of_the_regressor_on_windows(interval):
    forecaster = quick(calibration_fraction=0).fit(SALES)
    expected = forecast(by_hand(SALES), SALES, 4, horizon=YEAR, interval=interval)
    assert_array_equal(forecaster.forecast(interval=interval), expected)


def test_the_default_reads_the_window_by_a_highway_and_learns_deviations():
    model = LSTMForecaster(12, 4, random_state=0).fit(SALES).model_
    assert model.get_params() == {
        **LSTMRegressor().get_params(),
        "loss": "gaussian",
        "highway": "all",
        "alpha": 0.3,
        "n_iter_no_change": np.inf,
        "window_scaling": "relative",
        "target_features": [0],
        "random_state": 0,
    }


def test_the_default_forecasts_a_trend_and_a_season():
    later = np.arange(96, 114)
    truth = 100 + later + 10 * np.sin(2 * np.pi * later / 12)
    prediction, lower, upper = LSTMForecaster(24, 12, random_state=0).fit(SALES).forecast(18)
    assert np.abs(prediction - truth).max() < 5
    assert ((lower < truth) & (truth < upper)).mean() > 0.7


@pytest.mark.parametrize("window_scaling", [None, "last", "mean", "standard"])
def test_window_scaling_is_passed_on(window_scaling):
    forecaster = quick(window_scaling=window_scaling, calibration_fraction=0).fit(SALES)
    X, y = sliding_windows(SALES, 12, horizon=YEAR)
    model = gaussian(window_scaling=window_scaling, random_state=0).fit(X, y)
    assert_array_equal(
        forecaster.forecast(interval=None), model.predict(X[-1:] * 0 + SALES[-12:, None])[0]
    )


def test_networks_in_pipelines_get_what_the_forecaster_knows():
    model = TransformedTargetRegressor(
        make_pipeline(SequenceScaler(), lstm()), transformer=StandardScaler()
    )
    forecaster = LSTMForecaster(12, 4, estimator=model, window_scaling=None, random_state=3).fit(
        SALES
    )
    assert forecaster.model_.regressor.steps[-1][1].random_state == 3
    assert forecaster.forecast(interval=None).shape == (4,)
    assert model.regressor.steps[-1][1].random_state is None  # the user's own stays as it is


def test_searches_in_it_forecast_too():
    search = GridSearchCV(lstm(), {"hidden_size": [2, 4]}, cv=PanelSplit(2))
    forecaster = LSTMForecaster(12, 4, estimator=search).fit(SALES)
    assert forecaster.forecast(9, None).shape == (9,)


# Forms


def test_a_series_comes_back_with_its_dates():
    series = pd.Series(SALES, index=MONTHS, name="sales")
    coming = quick().fit(series).forecast(6)
    assert isinstance(coming, Forecast)
    assert coming.prediction.name == "sales"
    assert list(coming.prediction.index) == list(pd.date_range("2026-01-01", periods=6, freq="MS"))
    assert_array_equal(coming, quick().fit(SALES).forecast(6))


def test_a_long_frame_comes_back_with_ids_and_dates():
    frame = long_frame(WALKS)
    coming = quick().fit(frame).forecast(2)
    assert list(coming.columns) == ["unique_id", "ds", "forecast", "lower", "upper"]
    assert coming["unique_id"].tolist() == ["north", "north", "south", "south", "east", "east"]
    assert coming["ds"].iloc[0] == frame["ds"][frame["unique_id"] == "north"].max() + pd.DateOffset(
        months=1
    )
    other = frame.rename(columns={"unique_id": "shop", "ds": "month", "y": "sales"})
    again = quick(id_col="shop", time_col="month").fit(other).forecast(2)
    assert list(again.columns) == ["shop", "month", "forecast", "lower", "upper"]
    assert_array_equal(again["forecast"], coming["forecast"])


@pytest.mark.parametrize("form", [dict, list])
def test_many_series_come_back_as_they_were(form):
    panel = WALKS if form is dict else list(WALKS.values())
    coming = quick(calibration_fraction=0).fit(panel).forecast(4)
    assert type(coming) is form
    X, y = sliding_windows(panel, 12, horizon=YEAR)
    model = gaussian(window_scaling="relative", random_state=0).fit(X, y)
    expected = forecast(model, panel, 4, horizon=YEAR, interval=0.8)
    names = panel if form is dict else range(3)
    for name in names:
        assert_array_equal(coming[name], expected[name])


def test_two_columns_are_forecast_together():
    walks = panel_of({"a": 60}, n_features=2)["a"]
    frame = pd.DataFrame(walks, columns=["a", "b"], index=MONTHS[:60])
    coming = quick().fit(frame).forecast(7, None)
    assert list(coming.columns) == ["a", "b"]
    assert coming.shape == (7, 2)


def test_one_column_is_forecast_from_two_by_its_own_scale():
    walks = panel_of({"a": 60}, n_features=2)["a"] * [1, 1000]
    frame = pd.DataFrame(walks, columns=["a", "b"], index=MONTHS[:60])
    forecaster = quick(target="b").fit(frame)
    assert forecaster.model_.target_features == [1]
    assert forecaster.forecast(4, None).shape == (4,)


def test_known_and_static_columns_are_read_but_not_scaled():
    frame = long_frame(WALKS)
    frame["price"] = np.random.default_rng(0).normal(size=len(frame))
    frame["size"] = frame["unique_id"].map({"north": 1.0, "south": 2.0, "east": 3.0})
    forecaster = quick(known=["price"], static=["size"], calibration_fraction=0).fit(frame)
    assert forecaster.model_.window_features == [0]
    ends = frame.groupby("unique_id", sort=False)["ds"].max()
    planned = pd.concat(
        [
            pd.DataFrame(
                {
                    "unique_id": name,
                    "ds": pd.date_range(end, periods=5, freq="MS")[1:],
                    "price": np.arange(4.0),
                }
            )
            for name, end in ends.items()
        ]
    )
    coming = forecaster.forecast(known=planned)
    X, y = sliding_windows(frame, 12, horizon=YEAR, known=["price"], static=["size"])
    model = gaussian(
        window_scaling="relative", window_features=[0], target_features=[0], random_state=0
    )
    expected = forecast(
        model.fit(X, y), frame, 4, horizon=YEAR, interval=0.8, known=planned, static=["size"]
    )
    pd.testing.assert_frame_equal(coming, expected)
    with pytest.raises(ValueError, match=r"\['price'\] are known in advance: pass a DataFrame"):
        forecaster.forecast()


def test_other_series_are_forecast_from_their_own_windows():
    forecaster = quick().fit(WALKS)
    new = {"west": np.arange(20.0)}
    coming = forecaster.forecast(series=new)
    assert list(coming) == ["west"]
    assert_array_equal(coming["west"], forecaster.forecast(series={**WALKS, **new})["west"])


# Beyond the horizon


def test_forecasts_beyond_the_horizon_go_on_from_those_within():
    forecaster = quick(calibration_fraction=0).fit(SALES)
    first = forecaster.forecast(4, None)
    longer = forecaster.forecast(8, None)
    assert_array_equal(longer[:4], first)
    assert_array_equal(longer[4:], forecaster.forecast(4, None, series=np.append(SALES, first)))


def test_intervals_beyond_the_horizon_are_those_of_simulated_futures():
    forecaster = quick(calibration_fraction=0).fit(SALES)
    prediction, lower, upper = forecaster.forecast(12)
    assert_array_equal(forecaster.forecast(4), [prediction[:4], lower[:4], upper[:4]])
    assert_array_equal(forecaster.forecast(12), [prediction, lower, upper])
    width = (upper - lower).reshape(3, 4).mean(axis=1)
    assert (np.diff(width) > 0).all()


# Calibration


def test_intervals_are_widened_half_way_to_what_held_out_errors_say():
    forecaster = quick(calibration_fraction=0.3).fit(SALES)
    X, y = sliding_windows(SALES, 12, horizon=YEAR)
    n_held = int(np.ceil(0.3 * len(X)))
    clear = len(X) - n_held - 3  # whose targets end before those held out
    earlier = gaussian(window_scaling="relative", random_state=0).fit(X[:clear], y[:clear])
    mean, std = earlier.predict(X[-n_held:], return_std=True)
    scores = np.sort(np.abs(y[-n_held:] - mean) / std, axis=None)
    (found,) = forecaster.calibration_scores_.values()
    assert_allclose(found, scores, rtol=1e-5)
    for interval, z in ((0.8, 1.2815516), (0.5, 0.67448975)):
        wanted = scores[int(np.ceil((len(scores) + 1) * interval)) - 1] / z
        assert wanted > 1
        plain = quick(calibration_fraction=0).fit(SALES).forecast(interval=interval)
        calibrated = forecaster.forecast(interval=interval)
        assert_array_equal(calibrated.prediction, plain.prediction)
        ratio = (calibrated.upper - calibrated.lower) / (plain.upper - plain.lower)
        assert_allclose(ratio, np.sqrt(wanted), rtol=1e-4)


def test_quantiles_are_widened_by_held_out_errors_too():
    estimator = lstm(loss="quantile", quantile=(0.1, 0.5, 0.9))
    plain, calibrated = (
        LSTMForecaster(12, 4, estimator=estimator, calibration_fraction=fraction, random_state=0)
        .fit(SALES)
        .forecast()
        for fraction in (0, 0.3)
    )
    assert_array_equal(plain.prediction, calibrated.prediction)
    for side in ("lower", "upper"):
        ratio = (getattr(calibrated, side) - plain.prediction) / (
            getattr(plain, side) - plain.prediction
        )
        assert_allclose(ratio, ratio[0], rtol=1e-4)
    assert ratio[0] != pytest.approx(1)


@pytest.mark.parametrize("n_series", [1, 3])
def test_intervals_become_narrower_only_where_several_series_say_so(n_series):
    noise = np.random.default_rng(0).normal(size=(n_series, 200))
    series = list(100 + noise * np.repeat([10, 2], [150, 50]))
    forecaster, plain = (
        quick(window_scaling="last", **fraction).fit(series)
        for fraction in ({}, {"calibration_fraction": 0})
    )
    ((level, scores),) = forecaster.calibration_scores_.items()
    wanted = scores[int(np.ceil((len(scores) + 1) * 0.8)) - 1] / 1.2815516
    assert 1 / 16 < wanted < 1 / 2
    before = np.array(plain.forecast())
    for errors, expected in ((scores, wanted**0.25), (0 * scores, 0.5)):
        forecaster.calibration_scores_ = {level: errors}
        found = np.array(forecaster.forecast())
        if n_series == 1:
            assert_array_equal(found, before)
            continue
        ratio = (found[:, 2] - found[:, 1]) / (before[:, 2] - before[:, 1])
        assert_allclose(ratio, expected, rtol=1e-4)


def test_series_too_short_to_hold_anything_out_are_not_calibrated():
    forecaster = quick().fit(SALES[:26])
    assert forecaster.calibration_scores_ == {}
    assert_array_equal(
        forecaster.forecast(), quick(calibration_fraction=0).fit(SALES[:26]).forecast()
    )


def test_losses_without_intervals_forecast_without():
    forecaster = LSTMForecaster(12, 4, estimator=lstm()).fit(SALES)
    assert forecaster.forecast(interval=None).shape == (4,)
    with pytest.raises(ValueError, match="needs a model fitted with loss='gaussian'"):
        forecaster.forecast()


# An estimator of scikit-learn's kind


def test_it_clones_pickles_and_has_nested_parameters():
    forecaster = quick()
    assert clone(forecaster).get_params()["estimator__hidden_size"] == 3
    forecaster.set_params(estimator__hidden_size=2, window=9).fit(SALES)
    assert forecaster.model_.hidden_size == 2
    again = pickle.loads(pickle.dumps(forecaster))
    assert_array_equal(again.forecast(9), forecaster.forecast(9))
    assert "LSTMForecaster(" in repr(forecaster)


def test_a_seed_of_its_own_makes_the_same_forecasts_whatever_came_before():
    first, second = (quick().fit(SALES).forecast(9) for _ in range(2))
    assert_array_equal(first, second)
    generator = np.random.RandomState(0)
    first, second = (quick(random_state=generator).fit(SALES).forecast(4) for _ in range(2))
    assert (np.asarray(first) != second).any()


def test_the_window_is_searched():
    search = GridSearchCV(
        LSTMForecaster(horizon=6, random_state=0),
        {"window": [3, 24]},
        cv=TimeSeriesSplit(2, test_size=18),
    )
    assert search.fit(SALES).best_params_ == {"window": 24}
    assert search.best_estimator_.forecast(2).prediction.shape == (2,)
    assert (search.cv_results_["mean_test_score"] < 0).all()


def test_panels_are_searched_in_the_order_of_time():
    frame = long_frame(WALKS)
    search = GridSearchCV(quick(), {"window": [6, 12]}, cv=PanelSplit(2, test_size=8))
    search.fit(frame, groups=frame["ds"])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# Scores


def test_score_is_minus_the_scaled_error_of_what_follows():
    forecaster = quick().fit(SALES[:80])
    X, y = sliding_windows(SALES, 12, horizon=YEAR)
    X, y = X[-13:], y[-13:]  # those whose targets are all new: 16 values, of 4 steps each
    error = np.abs(forecaster.model_.predict(X) - y).mean()
    expected = -error / np.abs(np.diff(SALES[:80])).mean()
    assert forecaster.score(SALES[80:]) == pytest.approx(expected, rel=1e-6)
    series = pd.Series(SALES, index=MONTHS)
    assert quick().fit(series[:80]).score(series[80:]) == pytest.approx(expected, rel=1e-6)
    frame = pd.DataFrame({"ds": MONTHS, "y": SALES})
    assert quick().fit(frame[:80]).score(frame[80:]) == pytest.approx(expected, rel=1e-6)
    as_list = quick().fit([SALES[:80]])
    assert as_list.score([SALES[80:]]) == pytest.approx(expected, rel=1e-6)


def test_score_takes_series_that_the_fit_had_not():
    forecaster = quick().fit(WALKS)
    score = forecaster.score({"west": SALES[:30]})
    X, y = sliding_windows(SALES[:30], 12, horizon=YEAR)
    error = np.abs(forecaster.model_.predict(X) - y).mean()
    assert score == pytest.approx(-error / np.abs(np.diff(SALES[:12])).mean(), rel=1e-6)


def test_score_refuses_what_does_not_follow():
    series = pd.Series(SALES, index=MONTHS)
    forecaster = quick().fit(series[:80])
    with pytest.raises(ValueError, match=r"(more than one row for|not in the order of time)"):
        forecaster.score(series[70:])
    with pytest.raises(ValueError, match="no row for 2024-09-01"):
        forecaster.score(series[81:])
    with pytest.raises(ValueError, match="at least horizon=4 steps"):
        forecaster.score(series[80:83])
    with pytest.raises(TypeError, match="in the same form"):
        forecaster.score(SALES[80:])
    with pytest.raises(ValueError, match="a list of 1 series"):
        quick().fit([SALES]).score([SALES, SALES])


# Bad input

BAD = {
    "not fitted": (lambda: quick().forecast(), NotFittedError, "not fitted yet"),
    "score before fit": (lambda: quick().score(SALES), NotFittedError, "not fitted yet"),
    "backtest of nothing": (lambda: quick().backtest(), NotFittedError, "not fitted yet"),
    "window of no steps": (lambda: quick().set_params(window=0).fit(SALES), ValueError, "window"),
    "steps that are none": (lambda: quick().fit(SALES).forecast(0), ValueError, "steps"),
    "interval of everything": (lambda: quick().fit(SALES).forecast(4, 1.0), ValueError, "interval"),
    "a classifier": (
        lambda: LSTMForecaster(estimator=LSTMClassifier()).fit(SALES),
        TypeError,
        "must be an LSTMRegressor",
    ),
    "no network": (
        lambda: LSTMForecaster(estimator=TransformedTargetRegressor()).fit(SALES),
        TypeError,
        "must be an LSTMRegressor",
    ),
    "two window scalings": (
        lambda: LSTMForecaster(estimator=lstm(window_scaling="mean")).fit(SALES),
        ValueError,
        "window_scaling='relative', but the estimator has 'mean'",
    ),
    "known where there is none": (
        lambda: quick().fit(SALES).forecast(known=SALES),
        ValueError,
        "fitted without known features",
    ),
    "known that is no column": (
        lambda: quick(known=["price"]).fit(long_frame(WALKS)),
        ValueError,
        "no column 'price'",
    ),
    "short series": (
        lambda: quick().fit({"a": SALES, "b": SALES[:15]}),
        ValueError,
        "Series 'b' has 15 steps",
    ),
    "one step": (lambda: quick().fit(SALES[:1]), ValueError, "has 1 step"),
    "short history": (
        lambda: quick().fit(SALES).forecast(series=SALES[:11]),
        ValueError,
        "history has 11 steps",
    ),
    "unsorted times": (
        lambda: quick().fit(pd.Series(SALES[::-1], index=MONTHS[::-1])),
        ValueError,
        "not in the order of time",
    ),
    "missing times": (
        lambda: quick().fit(pd.Series(SALES, index=MONTHS).drop(MONTHS[50])),
        ValueError,
        "no row for 2022-03-01",
    ),
    "unknown target": (
        lambda: quick(target="sales").fit(long_frame(WALKS)),
        ValueError,
        "'sales' is not the name of one column",
    ),
    "other columns": (
        lambda: (
            quick()
            .fit(long_frame(WALKS))
            .forecast(series=long_frame(WALKS).rename(columns={"y": "sales"}))
        ),
        ValueError,
        "Unseen at fit time",
    ),
    "NaN": (lambda: quick().fit(np.append(SALES, np.nan)), ValueError, "NaN"),
    "text": (lambda: quick().fit(["a"] * 40), ValueError, "could not convert|numbers"),
    "an int interval of quantiles": (
        lambda: (
            LSTMForecaster(12, 4, estimator=lstm(loss="quantile", quantile=(0.1, 0.5, 0.9)))
            .fit(SALES)
            .forecast(4, 0.9)
        ),
        ValueError,
        "quantile is needed",
    ),
    "too many origins": (
        lambda: quick().backtest(30, series=SALES),
        ValueError,
        "too short for n_origins=30",
    ),
    "no origin": (lambda: quick().backtest(0, series=SALES), ValueError, "n_origins"),
}


@pytest.mark.parametrize(("call", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input_raises(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_failed_fit_leaves_the_forecaster_as_it_was():
    forecaster = quick().fit(SALES)
    before = forecaster.forecast(9)
    with pytest.raises(ValueError):
        forecaster.fit(SALES[:10])
    assert_array_equal(forecaster.forecast(9), before)


UNUSUAL = {
    "constant": np.full(60, 7.0),
    "zeros": np.zeros(60),
    "negative": -SALES,
    "huge": SALES * 1e12,
    "tiny": SALES * 1e-12,
    "a jump": np.append(SALES[:48], SALES[48:] * 1e6),
    "integers": np.arange(60) % 12,
    "constant for long": np.append(np.zeros(40), SALES[:40]),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("window_scaling", ["relative", "last", "mean", "standard", None])
@pytest.mark.parametrize("series", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_series_have_finite_forecasts(series, window_scaling):
    default = LSTMForecaster(12, 4, window_scaling=window_scaling, random_state=0)
    coming = default.set_params(estimator=gaussian(highway="all")).fit(series).forecast()
    assert np.isfinite(coming).all()
    assert (coming.lower <= coming.prediction).all()


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_forecasts_have_the_units_of_the_series(factor):
    small, large = (quick().fit(SALES * unit).forecast() for unit in (1, factor))
    assert_allclose(np.asarray(large) / factor, small, rtol=1e-3)


def test_gaps_are_filled_and_masked():
    series = pd.Series(SALES, index=MONTHS).drop(MONTHS[[50, 51, 70]])
    forecaster = LSTMForecaster(12, 4, gaps="fill", random_state=0).fit(series)
    assert forecaster.model_.missing == "mask"
    coming = forecaster.forecast()
    assert coming.prediction.index[0] == pd.Timestamp("2026-01-01")
    assert np.isfinite(coming).all()
    assert np.isfinite(forecaster.backtest(2).errors["naive"]["MASE"])
    as_nan = pd.Series(SALES.copy(), index=MONTHS)
    as_nan[MONTHS[[50, 51, 70]]] = np.nan
    again = LSTMForecaster(12, 4, gaps="fill", random_state=0).fit(as_nan)
    assert_array_equal(again.forecast(), coming)


@pytest.mark.filterwarnings("error")
def test_one_step_ahead():
    forecaster = LSTMForecaster(12, 1, estimator=gaussian(), random_state=0).fit(SALES)
    X, y = sliding_windows(SALES, 12)
    model = gaussian(window_scaling="relative", random_state=0).fit(X, y)
    assert_array_equal(forecaster.forecast(5, None), forecast(model, SALES, 5))
    assert forecaster.backtest(3).prediction.shape == (3, 1)
