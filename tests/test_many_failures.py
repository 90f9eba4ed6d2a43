"""LSTMForecasterPerSeries: series that fail are told by name and stop no others; Ctrl-C."""

import itertools
import warnings
from functools import partial

import numpy as np
import pytest
from helpers.panels import long_frame, panel_of
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal

from pylstm import LSTMForecaster, LSTMForecasterPerSeries, LSTMRegressor

WALKS = panel_of({"north": 60, "south": 75, "east": 50})
FRAME = long_frame(WALKS)
SHORT = {"a": WALKS["north"], "short": np.arange(5.0), "b": WALKS["south"], "empty": np.empty(0)}
lstm = LSTMRegressor(3, loss="gaussian", max_iter=3, n_iter_no_change=np.inf, n_jobs=1)
alone = partial(LSTMForecaster, 12, 4, estimator=lstm, random_state=0)


def each(partition_size=1, **options):
    return LSTMForecasterPerSeries(alone(**options), partition_size=partition_size)


def with_faults():
    """A long frame of six series: two right ones, one too short, with a gap, with NaN, with a time twice."""
    names = ["right", "gap", "nan", "twice", "short", "last"]
    walks = panel_of(dict.fromkeys(names, 60))
    frame = long_frame(walks, starts=["2015-01-01"] * 6)
    place = {name: 60 * position for position, name in enumerate(names)}
    frame.loc[place["nan"] + 30, "y"] = np.nan
    frame.loc[place["twice"] + 8, "ds"] = frame.loc[place["twice"] + 7, "ds"]
    gone = [place["gap"] + 20, *range(place["short"], place["short"] + 50)]
    return frame.drop(index=gone).reset_index(drop=True)


def test_one_warning_names_those_that_failed_and_the_others_are_fitted():
    frame = with_faults()
    with pytest.warns(UserWarning, match=r"4 of 6 series could not be fitted") as caught:
        forecaster = each().fit(frame)
    (warning,) = caught
    assert "'gap', 'nan', 'twice', 'short'" in str(warning.message)
    assert warning.filename == __file__
    assert list(forecaster.forecasters_) == ["right", "last"]
    messages = {name: str(error) for name, error in forecaster.failures_.items()}
    assert "has no row for 2016-09-01" in messages["gap"]
    assert "NaN" in messages["nan"]
    assert "more than one row for 2015-08-01" in messages["twice"]
    assert "has 10 steps" in messages["short"]
    assert all(error.__traceback__ is None for error in forecaster.failures_.values())


def test_forecasts_of_those_that_failed_are_absent():
    frame = with_faults()
    with pytest.warns(UserWarning, match="could not be fitted"):
        forecaster = each().fit(frame)
    fitted = frame[frame["unique_id"].isin(["right", "last"])]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing new is to be told
        assert_frame_equal(forecaster.forecast(), each().fit(fitted).forecast(), check_exact=True)
    with pytest.raises(ValueError, match=r"None of these series has a forecaster"):
        forecaster.forecast(series=frame[frame["unique_id"] == "gap"])


def test_of_a_dict_they_have_no_key_and_in_a_list_they_are_none():
    with pytest.warns(UserWarning, match=r"2 of 4 series .*'short', 'empty'"):
        of_dict = each().fit(SHORT).forecast()
    assert list(of_dict) == ["a", "b"]
    with pytest.warns(UserWarning, match=r"2 of 4 series .*: 1, 3\."):
        forecaster = each().fit(list(SHORT.values()))
    of_list = forecaster.forecast()
    assert [values is None for values in of_list] == [False, True, False, True]
    assert_array_equal(of_list[2], of_dict["b"])
    assert list(forecaster.failures_) == [1, 3]


def test_if_all_fail_the_first_error_is_raised_and_nothing_changes():
    forecaster = each().fit(WALKS)
    with pytest.raises(ValueError, match=r"None of 2 series could be fitted.*'x': .* 5 steps"):
        forecaster.fit({"x": np.arange(5.0), "y": np.arange(6.0)})
    assert list(forecaster.forecasters_) == list(WALKS)
    with pytest.raises(ValueError, match=r"^The series has 5 steps"):
        each().fit(np.arange(5.0))


def test_wrong_parameters_of_the_network_fail_for_all():
    forecaster = LSTMForecaster(12, 4, estimator=LSTMRegressor(-1))
    with pytest.raises(TypeError, match=r"None of 3 series.*'hidden_size' parameter"):
        LSTMForecasterPerSeries(forecaster).fit(WALKS)


def test_a_forecast_that_fails_stops_no_other():
    forecaster = each().fit(WALKS)
    newer = {**WALKS, "south": WALKS["south"][:3]}
    with pytest.warns(UserWarning, match=r"1 of 3 series could not be forecast .*'south'"):
        coming = forecaster.forecast(series=newer)
    assert list(coming) == ["north", "east"]
    forecaster = each(estimator=LSTMRegressor(3, max_iter=1)).fit(WALKS)
    with pytest.raises(ValueError, match=r"None of 3 series could be forecast.*loss='gaussian'"):
        forecaster.forecast(interval=0.8)


def test_many_that_failed_are_counted_and_some_named():
    walks = {"right": WALKS["north"]} | {f"s{i}": np.arange(3.0) for i in range(15)}
    with pytest.warns(
        UserWarning, match=r"15 of 16 series.*'s8', 's9', \.\.\.\. The error of 's0'"
    ):
        assert len(each().fit(walks).failures_) == 15


class Odd(Exception):
    """Cannot be pickled."""

    def __reduce__(self):
        raise TypeError


def test_errors_that_cannot_be_sent_are_told_as_text(monkeypatch):
    fit = LSTMForecaster.fit

    def fails_once(self, series):
        if series.lengths[0] == 75:
            raise Odd("this")
        return fit(self, series)

    monkeypatch.setattr(LSTMForecaster, "fit", fails_once)
    with pytest.warns(UserWarning, match="could not be fitted"):
        error = each().fit(WALKS).failures_["south"]
    assert isinstance(error, RuntimeError)
    assert str(error) == "Odd: this"


# Ctrl-C


def interrupt_in_fit(monkeypatch, number):
    fit, calls = LSTMForecaster.fit, itertools.count(1)

    def interrupted(self, series):
        if next(calls) == number:
            raise KeyboardInterrupt
        return fit(self, series)

    monkeypatch.setattr(LSTMForecaster, "fit", interrupted)


def test_interrupt_keeps_what_is_done(monkeypatch):
    walks = {f"s{i}": WALKS["north"] + i for i in range(12)}
    interrupt_in_fit(monkeypatch, 10)
    forecaster = each()
    with pytest.raises(KeyboardInterrupt, match=r"interrupted after 9 of 12 series"):
        forecaster.fit(walks)
    assert list(forecaster.forecasters_) == [f"s{i}" for i in range(9)]
    assert list(forecaster.failures_) == [f"s{i}" for i in range(9, 12)]
    assert isinstance(forecaster.failures_["s11"], KeyboardInterrupt)
    assert list(forecaster.forecast()) == list(forecaster.forecasters_)


def test_interrupt_before_anything_is_done_leaves_it_as_it_was(monkeypatch):
    forecaster = each().fit(WALKS)
    fitted = dict(vars(forecaster))
    interrupt_in_fit(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        forecaster.fit({"x": WALKS["north"], "y": WALKS["south"]})
    assert vars(forecaster) == fitted
