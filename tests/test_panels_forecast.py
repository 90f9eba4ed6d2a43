"""`forecast` of many series by one network, in the form in which they come."""

import numpy as np
import pytest
from helpers.estimators import standardised
from helpers.forecasts import lstm
from helpers.panels import LENGTHS, long_frame, panel_of
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.model_selection import GridSearchCV

from pylstm import LSTMRegressor, PanelSplit, sliding_windows
from pylstm.forecasting import Forecast, forecast

WALKS = panel_of()
WALKS_2 = panel_of(n_features=2)
WINDOW = 6


def fitted(series, model=None, **options):
    X, y = sliding_windows(series, WINDOW, **options)
    return (lstm() if model is None else model).fit(X, y)


# Each as if alone


@pytest.mark.parametrize("steps", [1, 8])
@pytest.mark.parametrize("walks", [WALKS, WALKS_2], ids=["1", "2"])
def test_series_are_forecast_as_if_alone(walks, steps):
    model = fitted(walks)
    coming = forecast(model, walks, steps)
    assert list(coming) == list(walks)
    for name, values in walks.items():
        assert_array_equal(coming[name], forecast(model, values, steps))
    of_list = forecast(model, list(walks.values()), steps)
    assert isinstance(of_list, list)
    for values, expected in zip(of_list, coming.values(), strict=True):
        assert_array_equal(values, expected)


@pytest.mark.parametrize("interval", [None, 0.8])
def test_intervals_of_each_series_are_named_tuples(interval):
    model = fitted(WALKS, lstm(loss="gaussian"), horizon=range(1, 4))
    coming = forecast(model, WALKS, 3, horizon=range(1, 4), interval=interval)
    for name, values in WALKS.items():
        alone = forecast(model, values, 3, horizon=range(1, 4), interval=interval)
        assert isinstance(coming[name], Forecast) == (interval is not None)
        assert_array_equal(coming[name], alone)


def test_simulated_futures_of_many_series_depend_on_the_seed_alone():
    model = fitted(WALKS, lstm(loss="gaussian"))
    options = {"interval": 0.8, "n_paths": 50, "random_state": 0}
    first, again = (forecast(model, WALKS, 4, **options)["south"] for _ in range(2))
    assert_array_equal(first, again)
    assert (first.lower < first.prediction).all()
    assert (first.prediction < first.upper).all()


def test_one_prediction_is_made_for_all_series_of_a_step(monkeypatch):
    model = fitted(WALKS)
    sizes = []
    predict = LSTMRegressor.predict
    monkeypatch.setattr(
        LSTMRegressor,
        "predict",
        lambda self, X, **options: sizes.append(len(X)) or predict(self, X, **options),
    )
    forecast(model, WALKS, 4)
    assert sizes == [3] * 4


def test_a_model_of_sequences_of_all_lengths_reads_whole_series():
    series = [values[:n] for values in WALKS.values() for n in (8, 11, 9)]
    sequences = [values[:-1, np.newaxis] for values in series]
    model = lstm().fit(sequences, [values[-1] for values in series])
    for values, coming in zip(series, forecast(model, series, 3), strict=True):
        assert_array_equal(coming, forecast(model, values, 3))


def test_series_that_the_model_has_not_seen_are_forecast_and_others_may_be_absent():
    model = fitted(WALKS)
    coming = forecast(model, {"west": WALKS["east"]}, 2)
    assert list(coming) == ["west"]
    assert_array_equal(coming["west"], forecast(model, WALKS["east"], 2))


# Forms


@pytest.mark.parametrize("order", ["by series", "shuffled"])
def test_long_frames_come_back_long(order):
    pd = pytest.importorskip("pandas")
    frame = long_frame(WALKS)
    model = fitted(frame, lstm(loss="gaussian"))
    history = frame if order == "by series" else frame.sample(frac=1, random_state=0)
    coming = forecast(model, history, 3)
    assert list(coming.columns) == ["unique_id", "ds", "forecast"]
    assert coming["unique_id"].dtype == frame["unique_id"].dtype
    for name, of_series in coming.groupby("unique_id"):
        assert_array_equal(of_series["forecast"], forecast(model, WALKS[name], 3))
        last = frame["ds"][frame["unique_id"] == name].max()
        assert_array_equal(of_series["ds"], pd.date_range(last, periods=4, freq="MS")[1:])
    bounds = forecast(model, history, 1, interval=0.8)
    assert list(bounds.columns) == ["unique_id", "ds", "forecast", "lower", "upper"]
    assert (bounds["lower"] < bounds["upper"]).all()


def test_long_frames_keep_the_names_of_their_columns():
    pytest.importorskip("pandas")
    frame = long_frame(WALKS_2, columns=("price", "sales")).rename(
        columns={"unique_id": "shop", "ds": "month"}
    )
    options = {"id_col": "shop", "time_col": "month"}
    model = fitted(frame, target=["price", "sales"], **options)
    coming = forecast(model, frame, 2, **options)
    assert list(coming.columns) == ["shop", "month", "forecast_price", "forecast_sales"]
    assert_array_equal(coming.iloc[:2, 2:], forecast(model, WALKS_2["north"], 2))
    one = frame[frame["shop"] == "east"].drop(columns="shop")
    coming = forecast(model, one, 2, time_col="month")
    assert list(coming.columns) == ["month", "forecast_price", "forecast_sales"]
    assert_array_equal(coming.iloc[:, 1:], forecast(model, WALKS_2["east"], 2))


def test_tables_come_back_as_tables():
    pd = pytest.importorskip("pandas")
    index = pd.date_range("2020-01-05", periods=LENGTHS["north"], freq="W", name="week")
    frame = pd.DataFrame(WALKS_2["north"], index, columns=["a", "b"])
    after = pd.date_range(index[-1], periods=4, freq="W", name="week")[1:]

    model = fitted(frame, lstm(loss="gaussian"))
    coming = forecast(model, frame, 3)
    expected = pd.DataFrame(forecast(model, WALKS_2["north"], 3), after, columns=["a", "b"])
    pd.testing.assert_frame_equal(coming, expected)
    both = forecast(model, {"x": frame, "y": frame[:20]}, 3)
    pd.testing.assert_frame_equal(both["x"], expected)
    pd.testing.assert_index_equal(both["y"].index, index[20:23])
    bounds = forecast(model, frame, 1, interval=0.5)
    assert isinstance(bounds, Forecast)
    assert (bounds.lower < bounds.upper).all(axis=None)

    direct = fitted(frame, target="b", horizon=[1, 2, 3])
    coming = forecast(direct, frame, 3, horizon=[1, 2, 3])
    assert coming.name == "forecast"
    assert_array_equal(coming.index, after)

    series = frame["a"]
    coming = forecast(fitted(series), series, 3)
    assert coming.name == "a"
    assert_array_equal(coming.index, after)
    coming = forecast(fitted(series), series.set_axis(list(map(str, index))), 3)
    assert_array_equal(coming.index, [40, 41, 42])


def test_forecasts_are_float32_if_all_series_are():
    walks = panel_of(dtype=np.float32)
    coming = forecast(fitted(walks), walks, 2)
    assert {values.dtype for values in coming.values()} == {np.dtype(np.float32)}


def test_searches_and_pipelines_forecast_many_series():
    pytest.importorskip("pandas")
    frame = long_frame(WALKS)
    X, y = sliding_windows(frame, WINDOW)
    search = GridSearchCV(lstm(), {"hidden_size": [2, 3]}, cv=PanelSplit(2)).fit(X, y)
    pipeline = standardised(lstm()).fit(X, y)
    for model in (search, pipeline):
        assert list(model.feature_names_in_) == ["y"]
        coming = forecast(model, frame, 2)
        assert_allclose(coming["forecast"][:2], forecast(model, WALKS["north"], 2))
        with pytest.raises(ValueError, match=r"Unseen at fit time: \['sales'\]"):
            forecast(model, frame.rename(columns={"y": "sales"}), 2)


# Known and static features


def with_promotions():
    pd = pytest.importorskip("pandas")
    frame = long_frame(WALKS)
    frame["promo"] = np.random.default_rng(1).normal(size=len(frame))
    frame["size"] = frame["unique_id"].map({"north": 1.0, "south": 2.0, "east": 3.0})
    future = []
    for name, of_series in frame.groupby("unique_id"):
        dates = pd.date_range(of_series["ds"].max(), periods=9, freq="MS")[1:]
        future.append(pd.DataFrame({"unique_id": name, "ds": dates}))
    future = pd.concat(future, ignore_index=True)
    future["promo"] = np.random.default_rng(2).normal(size=len(future))
    return frame, future


@pytest.mark.parametrize(("horizon", "steps"), [(1, 8), ([1, 2, 3], 5), (list(range(1, 9)), 8)])
def test_known_and_static_features_reach_the_network(horizon, steps):
    pd = pytest.importorskip("pandas")
    frame, future = with_promotions()
    model = fitted(frame, horizon=horizon, known=["promo"], static=["size"])
    options = {"horizon": horizon, "static": ["size"]}
    coming = forecast(model, frame, steps, known=future, **options)

    promo = pd.concat([frame[["unique_id", "ds", "promo"]], future])
    for name, of_series in coming.groupby("unique_id"):
        alone = forecast(
            model,
            WALKS[name],
            steps,
            known=promo.loc[promo["unique_id"] == name, "promo"].to_numpy(),
            static=[{"north": 1.0, "south": 2.0, "east": 3.0}[name]],
            horizon=horizon,
        )
        assert_array_equal(of_series["forecast"], alone)

    # The past in the history, in the table, or in both: all the same.
    bare = frame.drop(columns="promo")
    complete = forecast(model, bare, steps, known=promo.sample(frac=1, random_state=0), **options)
    pd.testing.assert_frame_equal(complete, coming)
    pd.testing.assert_frame_equal(forecast(model, frame, steps, known=promo, **options), coming)
    tables = {
        name: table.set_index("ds")[["y"]] for name, table in frame.groupby("unique_id", sort=False)
    }
    known = {name: table.set_index("ds")["promo"] for name, table in promo.groupby("unique_id")}
    static = {"east": [3.0], "north": [1.0], "south": [2.0]}
    by_name = forecast(model, tables, steps, horizon=horizon, known=known, static=static)
    for name, of_series in coming.groupby("unique_id"):
        assert_array_equal(by_name[name]["y"], of_series["forecast"])


def test_one_calendar_holds_for_all_series():
    pd = pytest.importorskip("pandas")
    frame = long_frame(WALKS)
    months = pd.date_range("2014-01-01", "2025-01-01", freq="MS")
    calendar = pd.DataFrame({"ds": months, "month": months.month})
    model = fitted(frame, known=calendar)
    coming = forecast(model, frame, 4, known=calendar)
    position = {
        name: months.get_loc(group["ds"].iloc[0]) for name, group in frame.groupby("unique_id")
    }
    for name, of_series in coming.groupby("unique_id"):
        known = calendar["month"].to_numpy()[position[name] :]
        assert_array_equal(of_series["forecast"], forecast(model, WALKS[name], 4, known=known))
    # A calendar of the future alone, where the history has the column.
    with_month = frame.assign(month=frame["ds"].dt.month)
    again = forecast(model, with_month, 4, known=calendar[calendar["ds"] > "2016-08-01"])
    pd.testing.assert_frame_equal(again, coming)


def test_known_features_that_are_wanting_are_refused_by_series_and_time():
    frame, future = with_promotions()
    model = fitted(frame, known=["promo"], static=["size"])
    for known, static, message in [
        (None, ["size"], r"Unseen .*\['promo'\].*missing: \['promo\(t\+1\)'\].*pass them as known"),
        (future[future["unique_id"] != "south"], ["size"], "no row for .* of series 'south'"),
        (future.drop(index=1), ["size"], "no row for 2016-10-01 of series 'east'"),
        (["promo"], ["size"], "known names columns of the history, but"),
        (future, None, r"must be in the order \['y', 'promo\(t\+1\)', 'size'\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            forecast(model, frame, 2, known=known, static=static)
    with pytest.raises(ValueError, match=r"now missing: \['size'\]"):
        forecast(model, frame.drop(columns="size"), 2, known=future)


# Names


def test_columns_are_checked_by_name_and_order():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(WALKS_2["north"], columns=["a", "b"])
    model = fitted(frame)
    assert list(model.feature_names_in_) == ["a", "b"]
    expected = forecast(model, frame, 3)
    for wrong, message in [
        (frame[["b", "a"]], r"must be in the order \['a', 'b'\], got \['b', 'a'\]"),
        (frame.rename(columns={"b": "c"}), r"Unseen at fit time: \['c'\].*missing: \['b'\]"),
        (frame[["a"]], r"now missing: \['b'\]"),
        (frame.assign(c=1.0), r"Unseen at fit time: \['c'\]"),
    ]:
        for history in (wrong, [wrong, wrong]):
            with pytest.raises(ValueError, match=message):
                forecast(model, history, 3)
        if wrong.shape[1] == 2:
            with pytest.raises(ValueError, match=message):
                model.predict(sliding_windows(wrong, WINDOW)[0])
    # Arrays have no names.
    assert_array_equal(forecast(model, frame.to_numpy(), 3), expected)


def test_horizons_of_known_features_are_part_of_their_names():
    frame, future = with_promotions()
    model = fitted(frame.drop(columns="size"), horizon=[1, 2], known=["promo"], target="y")
    with pytest.raises(
        ValueError, match=r"Unseen .*'promo\(t\+1\)'.* missing: \['promo\(t\+2\)'\]"
    ):
        forecast(model, frame.drop(columns="size"), 1, known=future, horizon=1)


# What is refused


def test_short_and_missing_histories_are_refused_by_name():
    model = fitted(WALKS)
    with pytest.raises(ValueError, match=r"'east' has 5 steps, but the model .* windows of 6"):
        forecast(model, WALKS | {"east": WALKS["east"][:5]}, 2)
    with pytest.raises(ValueError, match="The history is an empty dict"):
        forecast(model, {}, 2)
    known = {name: np.ones(80) for name in WALKS}
    of_known = fitted(WALKS, known=known)
    with pytest.raises(ValueError, match="known has no series 'east'"):
        forecast(of_known, WALKS, 2, known={"north": known["north"], "south": known["south"]})
    with pytest.raises(ValueError, match=r"known has 56 rows, but 57 are needed.*'south'"):
        forecast(of_known, WALKS, 2, known=known | {"south": np.ones(56)})
    with pytest.raises(ValueError, match="series of different lengths"):
        forecast(of_known, WALKS, 2, known=np.ones(90))


def test_long_history_without_a_column_is_refused():
    pytest.importorskip("pandas")
    frame = long_frame(WALKS)
    model = fitted(frame)
    with pytest.raises(ValueError, match="no column of times 'ds'"):
        forecast(model, frame.drop(columns="ds"), 2)
    with pytest.raises(ValueError, match="'region' of the history is of dtype"):
        forecast(model, frame.assign(region="x"), 2)
    with pytest.raises(ValueError, match=r"Unseen at fit time: \['price'\]"):
        forecast(model, frame.assign(price=1.0), 2)
