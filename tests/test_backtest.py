"""Backtests: forecasts of the past, their errors and those of naive forecasts, by hand."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from helpers.panels import long_frame, panel_of
from numpy.testing import assert_allclose, assert_array_equal

from pylstm import LSTMForecaster, LSTMRegressor
from pylstm._backtest import season_of

T = np.arange(96)
SALES = 100 + T + 10 * np.sin(2 * np.pi * T / 12) + np.random.default_rng(0).normal(size=96)
MONTHS = pd.date_range("2018-01-01", periods=96, freq="MS")
SERIES = pd.Series(SALES, index=MONTHS)
lstm = LSTMRegressor(hidden_size=3, max_iter=3, n_iter_no_change=np.inf, loss="gaussian", n_jobs=1)
quick = partial(LSTMForecaster, 12, 4, estimator=lstm, random_state=0)


@pytest.mark.parametrize("step", [None, 1, 3])
def test_forecasts_are_those_that_a_fit_of_the_past_would_have_made(step):
    backtest = quick().backtest(3, step=step, series=SERIES)
    spacing = 4 if step is None else step
    ends = [96 - 4 - k * spacing for k in (2, 1, 0)]
    past = quick().fit(SERIES[: ends[0]])
    for row, end in enumerate(ends):
        expected = past.forecast(4, 0.8, series=SERIES[:end])
        assert_allclose(backtest.prediction[row], expected.prediction, rtol=1e-6)
        assert_allclose(backtest.lower[row], expected.lower, rtol=1e-6)
        assert_allclose(backtest.upper[row], expected.upper, rtol=1e-6)
        assert_array_equal(backtest.actual[row], SALES[end : end + 4])
        assert_array_equal(backtest.time[row], MONTHS[end : end + 4])
    assert len(backtest.prediction) == 3


def test_errors_by_hand():
    backtest = quick().backtest(3, series=SERIES)
    error = backtest.prediction - backtest.actual
    scale = np.abs(SALES[12:84] - SALES[:72]).mean()  # known at the first origin
    inside = (backtest.lower <= backtest.actual) & (backtest.actual <= backtest.upper)
    expected = {
        "MAE": np.abs(error),
        "RMSE": error**2,
        "MASE": np.abs(error) / scale,
        "coverage": inside,
    }
    for metric, values in expected.items():
        root = np.sqrt if metric == "RMSE" else float
        assert backtest.errors["LSTM"][metric] == pytest.approx(root(values.mean()))
        by_horizon = np.sqrt(values.mean(axis=0)) if metric == "RMSE" else values.mean(axis=0)
        assert_allclose(backtest.errors_by_horizon["LSTM"][metric], by_horizon)


def test_naive_forecasts_are_the_last_value_and_that_of_a_season_ago():
    backtest = quick().backtest(3, series=SERIES)
    assert backtest.season == 12
    for row, end in enumerate([84, 88, 92]):
        assert_array_equal(backtest.naive["naive"][row], np.full(4, SALES[end - 1]))
        assert_array_equal(backtest.naive["seasonal naive"][row], SALES[end - 12 : end - 8])
    error = np.abs(backtest.naive["naive"] - backtest.actual)
    assert backtest.errors["naive"]["MAE"] == pytest.approx(error.mean())


def test_a_season_shorter_than_the_horizon_repeats():
    backtest = quick().backtest(1, series=SALES, season=3)
    assert_array_equal(backtest.naive["seasonal naive"][0], SALES[[89, 90, 91, 89]])
    assert list(quick().backtest(1, series=SALES).errors) == ["LSTM", "naive"]


def test_the_fitted_forecaster_stays_as_it_is():
    forecaster = quick().fit(SERIES)
    before = forecaster.forecast()
    backtest = forecaster.backtest(2)
    assert_array_equal(forecaster.forecast(), before)
    assert_array_equal(backtest.prediction, quick().backtest(2, series=SERIES).prediction)


def test_series_with_times_are_cut_at_the_same_times():
    walks = panel_of({"north": 60, "south": 75, "east": 40})
    frame = long_frame(walks, starts=("2018-01-01", "2016-10-01", "2017-01-01"))
    ends = frame.groupby("unique_id")["ds"].max()
    assert ends["north"] == ends["south"] > ends["east"]
    backtest = quick().backtest(2, series=frame)
    assert sorted(backtest.series) == ["north", "north", "south", "south"]
    known = frame[frame["ds"] < backtest.time.min()]
    past = quick().fit(known)
    for name in ("north", "south"):
        expected = past.forecast(interval=0.8)
        expected = expected[expected["unique_id"] == name]
        (first,) = np.flatnonzero(
            (backtest.series == name) & (backtest.time[:, 0] == backtest.time.min())
        )
        assert_allclose(backtest.prediction[first], expected["forecast"], rtol=1e-6)


def test_series_without_times_are_cut_before_their_ends():
    walks = panel_of({"a": 40, "b": 50})
    backtest = quick().backtest(2, series=walks)
    assert_array_equal(backtest.series, ["a", "a", "b", "b"])
    assert_array_equal(backtest.time[:, 0], [32, 36, 42, 46])
    scale = {name: np.abs(np.diff(walk[:-8])).mean() for name, walk in walks.items()}
    error = np.abs(backtest.prediction - backtest.actual).mean(axis=1)
    expected = np.mean([e / scale[name] for e, name in zip(error, backtest.series, strict=True)])
    assert backtest.errors["LSTM"]["MASE"] == pytest.approx(expected)


def test_two_targets_have_an_axis():
    walks = panel_of({"a": 60}, n_features=2)["a"]
    backtest = quick().backtest(2, series=walks, interval=None)
    assert backtest.prediction.shape == backtest.actual.shape == (2, 4, 2)
    assert backtest.lower is None
    assert np.isnan(backtest.errors["LSTM"]["coverage"])


def test_it_prints_and_is_a_table():
    backtest = quick().backtest(3, series=SERIES)
    lines = str(backtest).splitlines()
    assert lines[0].split() == ["MAE", "RMSE", "MASE", "coverage"]
    assert [line[:16].strip() for line in lines[1:]] == ["LSTM", "naive", "seasonal naive"]
    assert repr(backtest) == "<Backtest of 3 forecasts of 4 steps>"
    table = backtest.to_frame()
    assert table.loc["LSTM", "MASE"] == backtest.errors["LSTM"]["MASE"]
    by_horizon = backtest.to_frame(by_horizon=True)
    assert by_horizon.index.names == ["horizon", "forecast"]
    assert by_horizon.loc[(4, "naive"), "MAE"] == backtest.errors_by_horizon["naive"]["MAE"][3]
    assert by_horizon.index[:3].tolist() == [(1, "LSTM"), (1, "naive"), (1, "seasonal naive")]
    without = quick().backtest(3, series=SERIES, interval=None)
    assert "coverage" not in str(without)


@pytest.mark.parametrize(
    ("freq", "season"),
    [
        ("MS", 12), ("M", 12), ("QS", 4), ("Q-OCT", 4), ("W-MON", 52), ("D", 7), ("B", 5), ("h", 24),
        ("Y", 1), ("2M", 1), ("s", 1), ("min", 1),
    ],
)  # fmt: skip
def test_seasons_of_frequencies(freq, season):
    make = pd.date_range if freq in ("MS", "QS", "B") else pd.period_range
    assert season_of(make("2020-01-01", periods=3, freq=freq).freq) == season
    assert season_of(None) == season_of(1) == 1
