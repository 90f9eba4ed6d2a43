"""Pictures of forecasts and backtests."""

import numpy as np
import pandas as pd
import pytest
from helpers.panels import long_frame, panel_of
from sklearn.exceptions import NotFittedError

from pylstm import LSTMForecaster, LSTMRegressor

matplotlib = pytest.importorskip("matplotlib")
plt = pytest.importorskip("matplotlib.pyplot")

T = np.arange(80)
SALES = 100 + T + 10 * np.sin(2 * np.pi * T / 12)
lstm = LSTMRegressor(hidden_size=3, max_iter=3, n_iter_no_change=np.inf, loss="gaussian")
WALKS = panel_of({"north": 60, "south": 75, "east": 50})


@pytest.fixture(autouse=True)
def _no_screen():
    matplotlib.use("Agg")
    yield
    plt.close("all")


def quick(**options):
    return LSTMForecaster(12, 4, estimator=lstm, random_state=0, **options)


FORMS = {
    "array": SALES,
    "dates": pd.Series(SALES, index=pd.date_range("2019-01-01", periods=80, freq="MS")),
    "periods": pd.Series(SALES, index=pd.period_range("2019-01", periods=80, freq="M")),
    "zone": pd.Series(
        SALES, index=pd.date_range("2019-01-01", periods=80, freq="h", tz="Asia/Tokyo")
    ),
    "long frame": long_frame(WALKS),
    "dict": WALKS,
}


@pytest.mark.parametrize("series", FORMS.values(), ids=FORMS)
def test_a_forecast_is_drawn_after_the_end_of_its_series(series):
    forecaster = quick().fit(series)
    ax = forecaster.plot(6)
    history, coming = ax.get_lines()
    assert len(history.get_xdata()) == 36
    assert len(coming.get_xdata()) == 7  # with the last value
    assert history.get_xdata()[-1] == coming.get_xdata()[0]
    assert np.all(np.diff(coming.get_xdata()) > 0)
    assert history.get_ydata()[-1] == coming.get_ydata()[0]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["forecast", "80% interval"]


def test_nothing_is_drawn_before_fit():
    with pytest.raises(NotFittedError):
        quick().plot()


def test_the_forecast_drawn_is_that_of_the_series_named():
    forecaster = quick().fit(WALKS)
    ax = forecaster.plot(interval=None, series="east")
    assert ax.get_title(loc="left") == "Series east"
    expected = forecaster.forecast(interval=None)["east"]
    assert list(ax.get_lines()[1].get_ydata()[1:]) == list(expected)
    assert list(ax.get_lines()[0].get_ydata()) == list(WALKS["east"][-36:])
    with pytest.raises(ValueError, match="no series 'west', but 'north'"):
        forecaster.plot(series="west")


def test_one_of_two_columns_is_drawn():
    frame = pd.DataFrame({"a": SALES, "b": -SALES})
    ax = quick(target="b").fit(frame).plot()
    assert list(ax.get_lines()[0].get_ydata()) == list(-SALES[-36:])
    assert len(quick().fit(frame).plot().get_lines()) == 4


def test_it_draws_where_it_is_told():
    _, ax = plt.subplots()
    assert quick().fit(SALES).plot(ax=ax) is ax


@pytest.mark.parametrize("series", FORMS.values(), ids=FORMS)
def test_a_backtest_is_drawn_with_its_errors(series):
    backtest = quick().backtest(3, series=series)
    figure = backtest.plot()
    forecasts, errors = figure.axes
    *drawn, actual = forecasts.get_lines()
    assert len(drawn) == 3
    assert len(actual.get_xdata()) == 12
    first = backtest.series == backtest.series[0]
    assert sorted(actual.get_ydata()) == sorted(backtest.actual[first].ravel())
    assert len(errors.get_lines()) == len(backtest.errors)
    assert list(errors.get_lines()[0].get_ydata()) == list(
        backtest.errors_by_horizon["LSTM"]["MASE"]
    )


def test_forecasts_that_overlap_later_ones_are_not_drawn():
    figure = quick().backtest(5, step=1, series=SALES).plot()
    assert (
        len(figure.axes[0].get_lines()) == 3
    )  # the last, that of four steps before, the actual values


def test_the_backtest_of_a_series_that_is_named():
    backtest = quick().backtest(2, series=WALKS)
    top = backtest.plot(series="south").axes[0]
    assert top.get_title(loc="left") == "Series south"
    assert len(top.get_lines()[-1].get_ydata()) == 8
    with pytest.raises(ValueError, match="no forecast of series 'west'"):
        backtest.plot(series="west")
