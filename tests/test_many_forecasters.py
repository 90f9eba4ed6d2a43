"""LSTMForecasterPerSeries: each series as if it were alone, in every form; those that fail stop no others."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
from helpers.panels import long_frame, panel_of
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal, assert_series_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from pylstm import LSTMForecaster, LSTMForecasterPerSeries, LSTMRegressor, SequenceScaler

WALKS = panel_of({"north": 60, "south": 75, "east": 50})
FRAME = long_frame(WALKS)
lstm = partial(LSTMRegressor, 3, max_iter=3, n_iter_no_change=np.inf, n_jobs=1)
alone = partial(LSTMForecaster, 12, 4, estimator=lstm(loss="gaussian"), random_state=0)


def each(**options):
    return LSTMForecasterPerSeries(alone(**options), partition_size=2)


def rows_of(frame, name):
    return frame[frame["unique_id"] == name]


def one_by_one(frame, steps=4, interval=0.8, **options):
    """The table that an LSTMForecaster for each series gives."""
    names = frame["unique_id"].unique()
    fits = [alone(**options).fit(rows_of(frame, name)) for name in names]
    return pd.concat([fit.forecast(steps, interval) for fit in fits], ignore_index=True)


# Each as if it were alone


@pytest.mark.parametrize("interval", [None, 0.8])
@pytest.mark.parametrize("steps", [3, 9])
def test_a_long_frame_gives_the_table_of_each_forecaster_alone(steps, interval):
    coming = each().fit(FRAME).forecast(steps, interval)
    assert_frame_equal(coming, one_by_one(FRAME, steps, interval), check_exact=True)


def test_rows_may_be_in_any_order():
    shuffled = FRAME.sample(frac=1, random_state=0)
    expected = each().fit(FRAME).forecast().set_index(["unique_id", "ds"])
    coming = each().fit(shuffled).forecast().set_index(["unique_id", "ds"])
    assert coming.index[0][0] == shuffled["unique_id"].iloc[0]
    assert_frame_equal(coming.loc[expected.index], expected, check_exact=True)


def test_columns_have_the_names_that_they_are_told():
    renamed = FRAME.rename(columns={"unique_id": "shop", "ds": "month", "y": "sales"})
    coming = each(id_col="shop", time_col="month").fit(renamed).forecast()
    assert coming.columns.tolist() == ["shop", "month", "forecast", "lower", "upper"]
    assert_array_equal(coming["forecast"], each().fit(FRAME).forecast()["forecast"])


def test_a_dict_gives_a_dict_and_a_list_a_list():
    expected = {name: alone().fit(walk).forecast(6) for name, walk in WALKS.items()}
    of_dict = each().fit(WALKS).forecast(6)
    assert list(of_dict) == list(WALKS)
    of_list = each().fit(list(WALKS.values())).forecast(6)
    for name, from_list in zip(WALKS, of_list, strict=True):
        assert_array_equal(of_dict[name], expected[name])
        assert_array_equal(from_list, expected[name])


@pytest.mark.parametrize("names", [["y"] * 3, ["a", "b", "c"]])
def test_a_dict_of_series_gives_series_with_their_dates(names):
    months = pd.date_range("2020-01-01", periods=80, freq="MS")
    tables = {
        shop: pd.Series(walk, index=months[: len(walk)], name=name)
        for (shop, walk), name in zip(WALKS.items(), names, strict=True)
    }
    coming = each().fit(tables).forecast(interval=None)
    for name, table in tables.items():
        assert_series_equal(coming[name], alone().fit(table).forecast(interval=None))


def test_one_series_is_one_of_many():
    walk = WALKS["north"]
    forecaster = each().fit(walk)
    assert_array_equal(forecaster.forecast(), alone().fit(walk).forecast())
    assert list(forecaster.forecasters_) == [0]


def test_categories_do_not_travel_with_every_series():
    frame = FRAME.astype({"unique_id": "category"})
    forecaster = each().fit(frame)
    assert forecaster.forecasters_["south"].series_.dtypes["unique_id"] != "category"
    assert_array_equal(forecaster.forecast()["forecast"], each().fit(FRAME).forecast()["forecast"])


def test_several_columns_are_forecast_by_name():
    walks = panel_of({"north": 60, "south": 75, "east": 50}, n_features=2)
    frame = long_frame(walks, columns=("y", "z"))
    coming = each(target=["y", "z"]).fit(frame).forecast(6)
    assert_frame_equal(coming, one_by_one(frame, 6, target=["y", "z"]), check_exact=True)


def test_gaps_are_filled_and_times_of_any_frequency_ignored():
    gapped = FRAME.drop(index=[20, 21])
    coming = LSTMForecasterPerSeries(LSTMForecaster(12, 4, gaps="fill", random_state=0)).fit(gapped)
    north = LSTMForecaster(12, 4, gaps="fill", random_state=0).fit(rows_of(gapped, "north"))
    assert_array_equal(coming.forecast()["forecast"][:4], north.forecast()["forecast"])
    ignored = each(gaps="ignore", freq="MS").fit(gapped).forecast()
    assert_frame_equal(ignored, one_by_one(gapped, gaps="ignore", freq="MS"), check_exact=True)


def test_pipelines_are_fitted_to_each():
    model = make_pipeline(SequenceScaler(), lstm())
    forecaster = LSTMForecaster(12, 4, estimator=model, window_scaling=None, random_state=0)
    coming = LSTMForecasterPerSeries(forecaster).fit(WALKS).forecast(interval=None)
    assert_array_equal(coming["east"], clone(forecaster).fit(WALKS["east"]).forecast(interval=None))


def test_the_default_is_the_forecasters():
    walk = WALKS["south"]
    coming = LSTMForecasterPerSeries(LSTMForecaster(random_state=1)).fit({"south": walk}).forecast()
    assert_array_equal(coming["south"], LSTMForecaster(random_state=1).fit(walk).forecast())
    assert LSTMForecasterPerSeries().fit([walk]).forecasters_[0].window == 24


# The forecasters of each


def test_forecasters_are_those_that_each_fit_gives():
    forecaster = each().fit(FRAME)
    own, expected = forecaster.forecasters_["south"], alone().fit(rows_of(FRAME, "south"))
    assert own.get_params(deep=False).keys() == expected.get_params(deep=False).keys()
    assert_frame_equal(own.series_, expected.series_)
    assert own.shares_ == expected.shares_
    assert own.feature_names_in_.tolist() == ["y"]
    assert_frame_equal(own.forecast(9), expected.forecast(9), check_exact=True)
    assert own.backtest(2).errors["LSTM"] == expected.backtest(2).errors["LSTM"]
    later = FRAME.tail(5).assign(unique_id="south")
    later["ds"] = pd.date_range(own.series_["ds"].iloc[-1], periods=6, freq="MS")[1:]
    assert own.score(later) == expected.score(later)


def test_forecasters_of_arrays_know_where_their_series_end():
    walk = WALKS["south"]
    own, expected = each().fit(WALKS).forecasters_["south"], alone().fit(walk)
    assert own.score(walk[-10:] + 1) == expected.score(walk[-10:] + 1)


def test_forecasters_hold_nothing_that_only_training_needs():
    own, expected = each().fit(WALKS).forecasters_["south"], alone().fit(WALKS["south"])
    lean = expected.model_.without_optimizer()
    assert len(pickle.dumps(own.model_)) == len(pickle.dumps(lean))
    assert len(pickle.dumps(lean)) < len(pickle.dumps(expected.model_))


def test_parameters_nest_and_copies_are_the_same():
    forecaster = each().set_params(forecaster__window=8, forecaster__estimator__hidden_size=2)
    assert clone(forecaster).forecaster.estimator.hidden_size == 2
    fitted = forecaster.fit(FRAME)
    assert fitted.forecasters_["north"].model_.n_timesteps_ == 8
    copy = pickle.loads(pickle.dumps(fitted))
    assert_frame_equal(copy.forecast(9), fitted.forecast(9), check_exact=True)
    assert not hasattr(fitted.forecaster, "model_")


def test_a_random_state_seeds_each_series_once():
    state = np.random.RandomState(5)
    seeds = np.random.RandomState(5).randint(np.iinfo(np.int32).max, size=3)
    forecaster = LSTMForecasterPerSeries(alone(random_state=state)).fit(WALKS)
    assert [own.random_state for own in forecaster.forecasters_.values()] == seeds.tolist()
    expected = alone(random_state=int(seeds[2])).fit(WALKS["east"]).forecast(9)
    assert_array_equal(forecaster.forecast(9)["east"], expected)


# Newer rows, and features known in advance


def test_newer_rows_are_forecast_from_their_ends():
    forecaster = each().fit(FRAME)
    newer = FRAME.groupby("unique_id", sort=False).head(45).reset_index(drop=True)
    newer = newer[newer["unique_id"] != "east"]
    coming = forecaster.forecast(series=newer)
    assert coming["unique_id"].unique().tolist() == ["north", "south"]
    expected = forecaster.forecasters_["south"].forecast(series=rows_of(newer, "south"))
    assert_array_equal(rows_of(coming, "south")["upper"], expected["upper"])
    with pytest.raises(ValueError, match=r"no forecaster of series 'west'.*Fit again"):
        forecaster.forecast(series=newer.replace("south", "west"))


def known_frame():
    """The panel with a price and a size, and the prices of the four months that follow each series."""
    rng = np.random.default_rng(1)
    frame = FRAME.assign(price=rng.normal(size=len(FRAME)))
    frame["size"] = frame["unique_id"].map({"north": 1.0, "south": 2.0, "east": 3.0})
    parts = []
    for name, rows in frame.groupby("unique_id", sort=False):
        times = pd.date_range(rows["ds"].iloc[-1], periods=5, freq="MS")[1:]
        parts.append(pd.DataFrame({"unique_id": name, "ds": times, "price": rng.normal(size=4)}))
    return frame, pd.concat(parts, ignore_index=True)


def test_known_and_static_columns_are_those_of_each_series():
    frame, planned = known_frame()
    forecaster = each(known=["price"], static=["size"]).fit(frame)
    coming = forecaster.forecast(known=planned)
    for name in ("north", "east"):
        expected = alone(known=["price"], static=["size"]).fit(rows_of(frame, name))
        expected = expected.forecast(known=rows_of(planned, name))
        assert_array_equal(rows_of(coming, name)["lower"], expected["lower"])
    with pytest.raises(ValueError, match=r"known has no series 'north'"):
        forecaster.forecast(known=planned[planned["unique_id"] != "north"])
    with pytest.raises(ValueError, match=r"None of 3 series .* are known in advance"):
        forecaster.forecast()


def test_known_columns_of_arrays_come_in_a_dict_or_as_one_for_all():
    tables = {name: np.column_stack([walk, walk[::-1]]) for name, walk in WALKS.items()}
    forecaster = each(known=[1]).fit(tables)
    planned = {name: np.full(4, position) for position, name in enumerate(tables)}
    expected = alone(known=[1]).fit(tables["south"])
    coming = forecaster.forecast(known=planned)
    assert_array_equal(coming["south"], expected.forecast(known=np.full(4, 1)))
    shared = forecaster.forecast(known=np.zeros(4))
    assert_array_equal(shared["south"], expected.forecast(known=np.zeros(4)))
    with pytest.raises(TypeError, match=r"got a list for a dict"):
        forecaster.forecast(known=[np.zeros(4), np.zeros(5)])


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forecaster": LSTMRegressor()}, "'forecaster' parameter"),
        ({"partition_size": 0}, "'partition_size' parameter"),
        ({"forecaster": LSTMForecaster(0)}, "'window' parameter of LSTMForecaster"),
    ],
)
def test_parameters_are_checked_before_any_fit(options, message):
    with pytest.raises(ValueError, match=message):
        LSTMForecasterPerSeries(**options).fit(WALKS)


def test_calls_are_checked():
    with pytest.raises(NotFittedError):
        each().forecast()
    with pytest.raises(ValueError, match="'interval' parameter"):
        each().fit(WALKS).forecast(interval=2)
    with pytest.raises(ValueError, match="at least one series is required"):
        each().fit({})
    with pytest.raises(ValueError, match=r"no column of times 'ds'"):
        each().fit(FRAME.drop(columns="ds"))
