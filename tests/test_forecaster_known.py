"""LSTMForecaster on arrays of which some columns are known in advance, by position."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from pylstm import LSTMForecaster, LSTMRegressor, forecast, sliding_windows

N, HORIZON = 80, 4
rng = np.random.default_rng(0)
PRICE, EVENT = rng.normal(size=N + 12), (np.arange(N + 12) % 7 == 0).astype(float)
SALES = 50 + np.cumsum(rng.normal(size=N)) - 3 * PRICE[:N] + 5 * EVENT[:N]
KNOWN = np.column_stack([PRICE, EVENT])
TABLE = np.column_stack([SALES, KNOWN[:N]])
network = LSTMRegressor(3, loss="gaussian", max_iter=3, n_iter_no_change=np.inf, n_jobs=1)
quick = partial(LSTMForecaster, 12, HORIZON, estimator=network, random_state=0)


def test_known_columns_of_an_array_are_those_of_a_table():
    named = pd.DataFrame(TABLE, columns=["sales", "price", "event"])
    named.index = pd.date_range("2020-01-01", periods=N, freq="MS")
    coming = pd.DataFrame(KNOWN[N:], columns=["price", "event"])
    coming.index = pd.date_range(named.index[-1], periods=13, freq="MS")[1:]
    of_table = quick(known=["price", "event"]).fit(named)
    of_array = quick(known=[1, 2]).fit(TABLE)
    for steps in (None, 3, 12):
        expected = of_table.forecast(steps, known=coming)
        for found, values in zip(of_array.forecast(steps, known=KNOWN[N:]), expected, strict=True):
            assert_array_equal(found, np.ravel(values))
    scores = [model.backtest(3, season=12).errors for model in (of_table, of_array)]
    np.testing.assert_equal(*scores)


def test_by_hand_with_the_share_of_the_network_one():
    X, y = sliding_windows(SALES, 12, horizon=range(1, HORIZON + 1), known=KNOWN[:N])
    options = {"window_scaling": "relative", "window_features": [0], "target_features": [0]}
    model = LSTMRegressor(**{**network.get_params(), **options, "random_state": 0}).fit(X, y)
    expected = forecast(model, SALES, HORIZON, horizon=range(1, HORIZON + 1), known=KNOWN)
    forecaster = quick(known=[1, 2], calibration_fraction=0).fit(TABLE)
    assert_array_equal(forecaster.forecast(HORIZON, None, known=KNOWN[N:]), expected)


@pytest.mark.parametrize("known", [[1], [-2], (np.int64(1),)])
def test_positions_are_those_of_the_series_as_given(known):
    table = TABLE[:, [0, 1, 0]] * [1, 1, 2]  # what is known lies between
    both = quick(known=known).fit(table)
    assert both.forecast(known=PRICE[N:])[0].shape == (HORIZON, 2)
    last = quick(known=known, target=2).fit(table)
    assert last.model_.target_features == [1]
    assert_array_equal(
        last.forecast(None, None, known=PRICE[N:]),
        quick(known=known, target=-1).fit(table).forecast(None, None, known=PRICE[N:]),
    )
    assert quick(known=known, target=[0]).fit(table).model_.target_features == [0]


@pytest.mark.parametrize("form", [list, dict])
def test_many_series_have_their_own_future_or_one(form):
    tables = {"north": TABLE, "south": TABLE[:60] + 1}
    futures = {"north": KNOWN[N:], "south": KNOWN[N:]}
    if form is list:
        tables, futures = list(tables.values()), list(futures.values())
    forecaster = quick(known=[1, 2]).fit(tables)
    of_each, of_one = (forecaster.forecast(known=known) for known in (futures, KNOWN[N:]))
    assert type(of_each) is form
    for name in of_each if form is dict else range(2):
        assert_array_equal(of_each[name], of_one[name])
    alone = forecaster.forecast(known=KNOWN[N:], series=TABLE[:60] + 1)
    assert_array_equal(alone, of_each["south" if form is dict else 1])


def test_what_is_known_counts():
    forecaster = quick(known=[1, 2]).fit(TABLE)
    before, after = (
        forecaster.forecast(1, None, known=known) for known in (KNOWN[N:], KNOWN[N:] + 5)
    )
    assert before != after
    assert forecaster.score(np.column_stack([SALES[-8:], KNOWN[N : N + 8]])) < 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quick(known=[3]).fit(TABLE), r"known=\[3\] must be different columns"),
        (lambda: quick(known=[1, -2]).fit(TABLE), "must be different columns"),
        (lambda: quick(known=[0]).fit(SALES), "leave one to forecast"),
        (lambda: quick(known=[1], target=1).fit(TABLE), "but for those of known"),
        (lambda: quick(known=[1], target=3).fit(TABLE), "from 0 to 2"),
        (lambda: quick(known=[1]).fit(pd.DataFrame(TABLE)), "of a DataFrame name them"),
        (lambda: quick(known=["price"]).fit(TABLE), "positions"),
        (lambda: quick(known=[1, "price"]).fit(TABLE), "names or positions"),
        (lambda: quick(known=[1, 2]).fit(TABLE).forecast(), "pass an array of them, with a row"),
        (
            lambda: quick(known=[1, 2]).fit(TABLE).forecast(5, known=KNOWN[N : N + 5]),
            "known has 5 rows, but 8 are needed: 5 steps are forecast in blocks of horizon=4",
        ),
        (
            lambda: quick(known=[1, 2]).fit(TABLE).forecast(known=PRICE[N:]),
            "known has 1 columns, but the forecaster was fitted with 2",
        ),
        (
            lambda: quick(known=[1, 2]).fit(TABLE).forecast(known=[KNOWN, KNOWN]),
            "in the form of the series",
        ),
        (
            lambda: quick(known=[1, 2]).fit([TABLE, TABLE]).forecast(known=[KNOWN]),
            "known has no series 1",
        ),
    ],
)
def test_what_cannot_be_known_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
