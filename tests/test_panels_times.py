"""Times of series: frequencies found, gaps and disorder refused, and gaps filled or ignored."""

import re

import numpy as np
import pytest
from helpers.panels import long_frame, panel_of
from numpy.testing import assert_array_equal

from pylstm import LSTMRegressor, forecast, sliding_windows

pd = pytest.importorskip("pandas")
WALKS = panel_of()
FRAME = long_frame(WALKS)


def walk(index):
    return pd.Series(np.arange(len(index), dtype=float), index)


def network(series, **options):
    X, y = sliding_windows(series, window=4, **options)
    return LSTMRegressor(hidden_size=2, max_iter=1, n_iter_no_change=np.inf, missing="mask").fit(
        X, y
    )


INDICES = {
    "months": pd.date_range("2020-01-01", periods=20, freq="MS"),
    "month ends": pd.date_range("2020-01-31", periods=20, freq=pd.offsets.MonthEnd()),
    "quarters": pd.date_range("2020-02-01", periods=20, freq="QS-FEB"),
    "years": pd.date_range("2000-01-01", periods=20, freq="YS"),
    "weeks": pd.date_range("2020-01-05", periods=20, freq="W-SUN"),
    "weekdays": pd.date_range("2020-01-01", periods=20, freq="B"),
    "days over a change of the clock": pd.date_range("2020-03-20", periods=20, tz="Europe/Berlin"),
    "15 minutes": pd.date_range("2020-01-01", periods=20, freq="15min"),
    "periods": pd.period_range("2020-01", periods=20, freq="M"),
    "every second period": pd.period_range("2020-01", periods=20, freq="2M"),
    "numbers": pd.RangeIndex(7, 47, 2),
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES.keys())
def test_forecasts_go_on_with_the_times(index):
    past, future = index[:15], index[15:]
    for_get = past if isinstance(past, pd.PeriodIndex | pd.RangeIndex) else past._with_freq(None)
    series = walk(for_get)
    result = forecast(network(series), series, steps=5)
    pd.testing.assert_index_equal(result.index, future, exact="equiv")


@pytest.mark.parametrize("index", list(INDICES.values())[:-1], ids=list(INDICES)[:-1])
@pytest.mark.parametrize("row", [3, 8])
def test_a_missing_time_is_refused_by_name(index, row):
    text = re.escape(str(index[row])).removesuffix(r"\ 00:00:00")
    series = walk(index).drop(index[row])
    for call in (sliding_windows, lambda series, window: forecast(network(walk(index)), series, 3)):
        with pytest.raises(ValueError, match=rf"The series has no row for {text}.*gaps='fill'"):
            call(series, 4)


def test_integers_are_times_of_long_frames():
    frame = FRAME.assign(ds=np.concatenate([10 * np.arange(n) + 3 for n in (40, 55, 26)]))
    X, _ = sliding_windows(frame, 4)
    assert_array_equal(X.time[:3], [43, 53, 63])
    coming = forecast(network(frame), frame, 2)
    assert_array_equal(coming["ds"], [403, 413, 553, 563, 263, 273])
    with pytest.raises(ValueError, match=r"Series 'south' has no row for 13, between 3 and 23\."):
        sliding_windows(frame.drop(index=41), 4)
    with pytest.raises(ValueError, match="has a row for 13 after 3, but times are 20 apart"):
        sliding_windows(frame, 4, freq=20)
    with pytest.raises(ValueError, match=r"freq must be a positive int.*'D'"):
        sliding_windows(frame, 4, freq="D")


BAD_FRAMES = {
    "gap": (FRAME.drop(index=45), {}, "'south' has no row for 2016-08-01, between 2016-07-01 and"),
    "gaps": (
        FRAME.drop(index=[3, 45, 46]),
        {},
        r"'north' has no row for 2015-04-01, .* \(3 such rows in 2 series\)",
    ),
    "duplicate": (
        FRAME.iloc[[*range(len(FRAME)), 100]],
        {},
        "'east' has more than one row for 2014-12-01",
    ),
    "no date": (
        FRAME.assign(ds=FRAME["ds"].where(FRAME.index != 50)),
        {},
        "'south' has a row with",
    ),
    "odd date": (
        FRAME.assign(ds=FRAME["ds"].where(FRAME.index != 50, FRAME["ds"] + pd.Timedelta(5, "D"))),
        {"freq": "MS"},
        "'south' has a row for 2017-01-06, which is none of the times of frequency 'MS'",
    ),
    "no frequency": (
        FRAME.assign(ds=FRAME["ds"] + pd.to_timedelta(np.arange(len(FRAME)) ** 2, "h")),
        {},
        "no regular frequency, say from 2015-02-01 01:00:00 to 2015-03-01 04",
    ),
    "wrong frequency": (FRAME, {"freq": "D"}, "'north' has no row for 2015-01-02"),
}


@pytest.mark.parametrize(
    ("frame", "options", "message"), BAD_FRAMES.values(), ids=BAD_FRAMES.keys()
)
def test_bad_times_are_refused_by_series_and_time(frame, options, message):
    with pytest.raises(ValueError, match=message):
        sliding_windows(frame, 4, **options)


def test_tables_out_of_order_are_refused():
    index = INDICES["months"]
    with pytest.raises(ValueError, match="not in the order of time: 2021-07-01 follows 2021-08-01"):
        sliding_windows(walk(index)[::-1], 4)


@pytest.mark.parametrize("times", [FRAME["ds"].astype(str), np.linspace(0, 1, len(FRAME))], ids=str)
def test_other_times_are_refused(times):
    with pytest.raises(TypeError, match=r"dates, periods or integers, got .*to_datetime"):
        sliding_windows(FRAME.assign(ds=times), 4)


def test_series_may_have_times_of_one_frequency_at_other_phases():
    weekly = [
        walk(pd.date_range("2020-01-06", periods=20, freq=f"W-{day}")) for day in ("MON", "TUE")
    ]
    for series in (weekly, [weekly[0], weekly[0]]):
        X, _ = sliding_windows(series, 4)
        assert_array_equal(X.time[:16], series[0].index[4:])
    coming = forecast(network(weekly), weekly, 1)
    assert [str(table.index[0].date()) for table in coming] == ["2020-05-25", "2020-05-26"]


# Gaps, filled or ignored


def test_filled_gaps_are_rows_of_nan_that_are_no_targets():
    frame = FRAME.drop(index=[45, 46])
    X, y = sliding_windows(frame, 4, horizon=[1, 2], gaps="fill")
    filled = FRAME.assign(y=FRAME["y"].where(~FRAME.index.isin([45, 46])))
    expected_X, expected_y = sliding_windows(filled, 4, horizon=[1, 2])
    there = ~np.isnan(expected_y).any(axis=1)
    assert there.sum() == len(there) - 3
    assert_array_equal(X, expected_X[there])
    assert_array_equal(y, expected_y[there])
    assert_array_equal(X.time, expected_X.time[there])
    assert np.isnan(X).any()


def test_filled_gaps_find_known_features_by_time_and_refuse_them_by_position():
    frame = FRAME.drop(index=45)
    known = FRAME.rename(columns={"y": "promo"})
    X, _ = sliding_windows(frame, 4, known=known, gaps="fill")
    by_time = known.set_index(["unique_id", "ds"])["promo"]
    assert_array_equal(X[:, -1, 1], by_time.loc[list(zip(X.series, X.time, strict=True))])
    series = walk(INDICES["months"]).drop(INDICES["months"][5])
    with pytest.raises(ValueError, match="gaps='fill' needs known features with times"):
        sliding_windows(series, 4, known=np.ones(20), gaps="fill")
    labels = np.where(series > 9, "late", "early")
    X, y = sliding_windows(series, 4, target=labels, gaps="fill")
    assert_array_equal(
        y, np.where(pd.DatetimeIndex(X.time) > INDICES["months"][9], "late", "early")
    )


def test_a_model_of_missing_values_forecasts_from_filled_gaps():
    index = INDICES["months"]
    series = walk(index)
    model = network(series)
    broken = series.drop(index[-2])
    filled = series.where(series.index != index[-2])
    expected = forecast(model, filled, 3)
    pd.testing.assert_series_equal(forecast(model, broken, 3, gaps="fill"), expected)
    assert not expected.equals(forecast(model, series, 3))


def test_ignored_gaps_leave_the_rows_as_they_are():
    trading_days = pd.date_range("2020-01-01", periods=60, freq="B").delete([9, 33, 34])
    series = walk(trading_days)
    X, y = sliding_windows(series, 4, gaps="ignore")
    assert_array_equal(y, np.arange(4.0, 57.0))
    assert_array_equal(X.time, trading_days[4:])
    model = network(series, gaps="ignore")
    coming = forecast(model, series, 3, gaps="ignore")
    assert_array_equal(coming.index, pd.date_range("2020-03-25", periods=3, freq="B"))
    odd = walk(
        pd.to_datetime(["2020-01-01", "2020-01-05", "2020-03-01", "2020-03-02", "2020-07-09"])
    )
    with pytest.raises(ValueError, match=r"follow no frequency.*pass it as freq"):
        forecast(model, odd, 3, gaps="ignore")
    coming = forecast(model, odd, 2, gaps="ignore", freq="MS")
    assert_array_equal(coming.index, pd.to_datetime(["2020-08-01", "2020-09-01"]))
