"""What `sliding_windows` promises of many series, and the `Windows` that it returns."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest
from helpers.panels import LENGTHS, long_frame, panel_of, stacked
from helpers.series import peak_memory
from numpy.testing import assert_array_equal
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array

from pylstm import sliding_windows
from pylstm.windows import Windows

WALKS = panel_of()
CALLS = {
    "plain": {"window": 5},
    "horizon": {"window": 4, "horizon": 3},
    "horizons": {"window": 4, "horizon": [1, 3, 2]},
    "step": {"window": 4, "step": 3},
    "labels of windows": {"window": 4, "horizon": 0},
}
for_calls = pytest.mark.parametrize("options", CALLS.values(), ids=CALLS.keys())


# What is in them


@for_calls
@pytest.mark.parametrize("n_features", [None, 2])
@pytest.mark.parametrize("form", [dict, list, tuple])
def test_windows_are_those_of_each_series_one_after_the_other(options, n_features, form):
    walks = panel_of(n_features=n_features)
    X, y = sliding_windows(walks if form is dict else form(walks.values()), **options)
    expected_X, expected_y = stacked(walks, partial(sliding_windows, **options))
    assert isinstance(X, Windows)
    assert X.shape == expected_X.shape
    assert_array_equal(X, expected_X)
    assert_array_equal(y, expected_y)


@for_calls
@pytest.mark.parametrize("order", ["by series", "by time", "shuffled"])
def test_long_frames_give_the_windows_of_the_dict_whatever_their_order(options, order):
    pytest.importorskip("pandas")
    frame = long_frame(WALKS)
    expected_X, expected_y = sliding_windows(WALKS, **options)
    if order == "by time":
        frame = frame.sort_values(["ds", "unique_id"])
    elif order == "shuffled":
        frame = frame.sample(frac=1, random_state=0)
    X, y = sliding_windows(frame, **options)
    assert len(X) == len(expected_X)
    for name in WALKS:
        assert_array_equal(X[X.series == name], expected_X[expected_X.series == name])
        assert_array_equal(y[X.series == name], expected_y[expected_X.series == name])


def test_nested_lists_are_many_series_if_they_differ_in_length():
    X, y = sliding_windows([[1, 2, 3, 4], [5, 6, 7]], window=2)
    assert_array_equal(X[..., 0], [[1, 2], [2, 3], [5, 6]])
    assert_array_equal(y, [3, 4, 7])
    assert sliding_windows([[1, 2], [3, 4], [5, 6]], window=2)[0].shape == (1, 2, 2)


def test_series_and_time_of_each_target_come_back():
    X, y = sliding_windows(WALKS, window=5, horizon=2)
    assert_array_equal(X.series, np.repeat(list(LENGTHS), [n - 6 for n in LENGTHS.values()]))
    for name, time, target in zip(X.series, X.time, y, strict=True):
        assert WALKS[name][time] == target
    X, _ = sliding_windows(list(WALKS.values()), window=5)
    assert_array_equal(np.unique(X.series), [0, 1, 2])


def test_times_are_those_of_the_frame_one_for_each_horizon():
    pytest.importorskip("pandas")
    frame = long_frame(WALKS)
    X, y = sliding_windows(frame.sample(frac=1, random_state=0), window=5, horizon=[1, 4])
    values = frame.set_index(["unique_id", "ds"])["y"]
    assert X.time.shape == y.shape
    for column in range(2):
        keys = list(zip(X.series, X.time[:, column], strict=True))
        assert_array_equal(values.loc[keys], y[:, column])


def test_tables_with_an_index_of_times_keep_it():
    pd = pytest.importorskip("pandas")
    walk = pd.Series(WALKS["north"], pd.date_range("2020", periods=40, freq="D"), name="y")
    for series in (walk, walk.to_frame(), walk.to_period(), [walk], {"a": walk}):
        X, _ = sliding_windows(series, window=5)
        index = (
            series if hasattr(series, "index") and not isinstance(series, list) else walk
        ).index
        assert_array_equal(X.time, index[5:])
    X, _ = sliding_windows(walk.reset_index(drop=True)[10:], window=5)
    assert_array_equal(X.time, np.arange(15, 40))


def test_columns_of_a_long_frame_may_have_other_names():
    pytest.importorskip("pandas")
    frame = long_frame(panel_of(n_features=2), columns=("price", "sales"))
    renamed = frame.rename(columns={"unique_id": "shop", "ds": "month"})
    X, y = sliding_windows(renamed, 5, target="sales", id_col="shop", time_col="month")
    assert list(X.feature_names) == ["price", "sales"]
    assert_array_equal(y[:35], frame["sales"][5:40])
    # Without a column of ids it is one series.
    X, y = sliding_windows(renamed.iloc[:40, 1:], 5, target="sales", time_col="month")
    assert_array_equal(y, frame["sales"][5:40])
    assert len(set(X.series)) == 1


def test_target_of_a_long_frame_is_y_unless_told_otherwise():
    pytest.importorskip("pandas")
    frame = long_frame(panel_of(n_features=2), columns=("price", "y"))
    _, y = sliding_windows(frame, 5)
    assert_array_equal(y[:35], frame["y"][5:40])
    _, y = sliding_windows(frame, 5, target=["y", "price"])
    assert_array_equal(y[:35], frame[["y", "price"]][5:40])


def test_targets_may_be_arrays_of_any_dtype():
    labels = {name: (values > 0).astype(str) for name, values in WALKS.items()}
    _, y = sliding_windows(WALKS, 5, horizon=0, target=labels)
    assert_array_equal(y, np.concatenate([values[4:] for values in labels.values()]))
    _, of_list = sliding_windows(list(WALKS.values()), 5, horizon=0, target=list(labels.values()))
    assert_array_equal(of_list, y)


def test_targets_follow_the_rows_of_a_long_frame():
    pytest.importorskip("pandas")
    frame = long_frame(WALKS).sample(frac=1, random_state=0)
    _, expected = sliding_windows(frame, 5)
    _, y = sliding_windows(frame, 5, target=(frame["y"] * 2).to_numpy())
    assert_array_equal(y, expected * 2)


@pytest.mark.parametrize("form", ["dict", "long"])
def test_float32_is_kept_and_mixed_with_float64_becomes_that(form):
    walks = panel_of(dtype=np.float32)
    if form == "long":
        pytest.importorskip("pandas")
    X, y = sliding_windows(walks if form == "dict" else long_frame(walks), 5)
    assert X.dtype == y.dtype == np.asarray(X).dtype == np.float32
    walks["south"] = walks["south"].astype(np.float64)
    assert sliding_windows(walks, 5)[0].dtype == np.float64


# Known and static features


def known_by_hand(walks, known, static, window, lead):
    """Windows with known and static features, from a plain loop."""
    windows = []
    for name, values in walks.items():
        for start in range(len(values) - window - lead + 1):
            ahead = known[name][start + lead : start + lead + window]
            own = values[start : start + window]
            windows.append(np.column_stack([own, ahead, np.full(window, static[name])]))
    return np.array(windows)


@pytest.mark.parametrize("horizon", [1, [1, 2, 3], 0], ids=str)
def test_known_features_lie_ahead_and_static_ones_at_each_step(horizon):
    known = {name: 100.0 + np.arange(n + 7) for name, n in LENGTHS.items()}
    static = {"south": 2.0, "north": 1.0, "east": 3.0}  # in another order
    X, y = sliding_windows(WALKS, 5, horizon, known=known, static=static)
    assert_array_equal(X, known_by_hand(WALKS, known, static, 5, np.max(horizon)))
    assert_array_equal(y, sliding_windows(WALKS, 5, horizon)[1])


def test_known_and_static_features_come_in_many_forms():
    pd = pytest.importorskip("pandas")
    frame = long_frame(WALKS)
    frame["promo"] = np.arange(len(frame)) % 3.0
    frame["size"] = frame["unique_id"].map({"north": 1.0, "south": 2.0, "east": 3.0})
    series = frame[["unique_id", "ds", "y"]]
    sizes = frame[["unique_id", "size"]].drop_duplicates()
    shuffled = frame[["ds", "promo", "unique_id"]].sample(frac=1, random_state=0)
    expected, _ = sliding_windows(frame, 5, 2, known=["promo"], static=["size"])
    assert list(expected.feature_names) == ["y", "promo(t+2)", "size"]

    by_name = sizes.set_index("unique_id")
    for known, static in [(shuffled, sizes), (shuffled, by_name), (shuffled, by_name["size"])]:
        X, _ = sliding_windows(series, 5, 2, known=known, static=static)
        assert list(X.feature_names) == list(expected.feature_names)
        assert_array_equal(X, expected)
    tables = {
        name: of_series.set_index("ds")
        for name, of_series in frame.groupby("unique_id", sort=False)
    }
    X, _ = sliding_windows(
        {name: table[["y"]] for name, table in tables.items()},
        5,
        2,
        known={name: table["promo"] for name, table in tables.items()},
        static=pd.DataFrame({"size": [1.0, 2.0, 3.0]}, index=["north", "south", "east"]),
    )
    assert_array_equal(X, expected)
    X, _ = sliding_windows(list(WALKS.values()), 5, 2, static=[1.0, 2.0, 3.0])
    assert_array_equal(X[..., 1], expected[..., 2])


def test_one_calendar_holds_for_all_series_by_time():
    pd = pytest.importorskip("pandas")
    frame = long_frame(WALKS)
    months = pd.date_range("2014-01-01", "2025-01-01", freq="MS")
    calendar = pd.DataFrame({"month": months.month}, index=months)
    X, _ = sliding_windows(frame, 5, known=calendar)
    assert_array_equal(X[:, -1, 1], pd.DatetimeIndex(X.time).month)
    X, _ = sliding_windows(frame, 5, known=calendar.rename_axis("ds").reset_index())
    assert_array_equal(X[:, -1, 1], pd.DatetimeIndex(X.time).month)


# As an array


@pytest.fixture
def windows():
    X, _ = sliding_windows(panel_of(n_features=2), window=5)
    return X, np.asarray(X)


@pytest.mark.parametrize(
    "key",
    [
        slice(3, 60, 2),
        slice(None, None, -1),
        slice(0, 0),
        [5, 2, 2, -1],
        np.array([7, 70]),
        [],
        np.arange(106) % 3 == 0,
        (slice(4, 9), ...),
        ([1, 40], ...),
    ],
    ids=repr,
)
def test_selecting_windows_gives_windows(windows, key):
    X, array = windows
    selected = X[key]
    assert isinstance(selected, Windows)
    assert selected.shape == array[key].shape
    assert_array_equal(selected, array[key])
    rows = key[0] if isinstance(key, tuple) else key
    assert_array_equal(selected.series, X.series[rows if len(np.atleast_1d(rows)) else slice(0)])
    assert_array_equal(selected[::2], array[key][::2])


@pytest.mark.parametrize(
    "key",
    [
        3,
        -1,
        (2, 1),
        (slice(2), 0),
        (..., 1),
        (slice(None), slice(2), 1),
        ([0, 1], [2, 3]),
        (0, 0, 0),
    ],
    ids=repr,
)
def test_other_indexing_gives_arrays(windows, key):
    X, array = windows
    assert_array_equal(X[key], array[key])
    assert not isinstance(X[key], Windows)


@pytest.mark.parametrize("key", [106, -107, [200], np.ones(5, bool)], ids=repr)
def test_windows_that_are_not_there_raise(windows, key):
    with pytest.raises(IndexError):
        windows[0][key]


def test_windows_can_be_used_as_an_array(windows):
    X, array = windows
    assert X.ndim == 3
    assert X.size == array.size
    assert len(X) == len(array)
    assert_array_equal(X.reshape(len(X), -1), array.reshape(len(array), -1))
    assert_array_equal((X - X.mean(axis=(0, 1))) * 2, (array - array.mean(axis=(0, 1))) * 2)
    assert_array_equal(np.concatenate([X, X]), np.concatenate([array, array]))
    assert_array_equal(np.array(list(X)), array)
    assert_array_equal(check_array(X, allow_nd=True), array)
    assert np.asarray(X, dtype=np.float32).dtype == np.float32
    assert not hasattr(X, "iloc")
    assert not hasattr(X, "columns")
    with pytest.raises(TypeError, match="assignment"):
        X[0] = 0
    with pytest.raises(TypeError, match="made by"):
        Windows()


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda X: pickle.loads(pickle.dumps(X))]
)
def test_windows_can_be_copied_and_pickled(windows, duplicate):
    X, array = windows
    again = duplicate(X[::3])
    assert_array_equal(again, array[::3])
    assert_array_equal(again.series, X.series[::3])


def test_windows_pass_through_train_test_split(windows):
    X, array = windows
    train, test = train_test_split(X, random_state=0)
    expected_train, expected_test = train_test_split(array, random_state=0)
    assert isinstance(train, Windows)
    assert_array_equal(train, expected_train)
    assert_array_equal(test, expected_test)


# What they cost


@pytest.mark.parametrize("form", ["list", "long"])
def test_many_series_are_not_copied(form):
    walks = np.random.default_rng(0).normal(size=(1000, 1000))
    series, n_bytes = list(walks), walks.nbytes
    if form == "long":
        pd = pytest.importorskip("pandas")
        series = pd.DataFrame(
            {
                "unique_id": np.repeat(np.arange(1000), 1000),
                "ds": np.tile(pd.date_range("2020", periods=1000, freq="h"), 1000),
                "y": walks.ravel(),
            }
        )
        n_bytes = series.memory_usage(index=False).sum()
    sliding_windows(series[:10] if form == "list" else series[:10000], window=24)
    # The targets are new, and nothing else.
    assert peak_memory(lambda: sliding_windows(series, window=24)) < 1.5 * n_bytes


def test_windows_of_one_table_are_a_view():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(panel_of(n_features=2)["north"], columns=["a", "b"])
    X, _ = sliding_windows(frame, window=4)
    assert np.shares_memory(np.asarray(X), frame.to_numpy())
    assert np.shares_memory(np.asarray(X[3:-2]), frame.to_numpy())


# What is refused


def bad_calls():
    """Calls with series that do not do, made by functions as some need pandas."""
    walks = panel_of(n_features=2)
    short = WALKS | {"brief": np.arange(5.0), "brisk": np.arange(4.0)}
    return {
        "short": (short, {"window": 5}, "'brief' has 5 steps.*need 6.*2 series.*'brief', 'brisk'"),
        "one short": (
            WALKS,
            {"window": 20, "horizon": 9},
            r"'east' has 26 steps, but one window of window=20 and a target 9 .* need 29; .* leave it",
        ),
        "one step": ({"a": [1.0], "b": [2.0]}, {"window": 1}, "'a' has 1 steps.*need 2"),
        "no series": ({}, {"window": 2}, "empty dict; at least one"),
        "empty series": ({"a": np.arange(9.0), "b": []}, {"window": 2}, r"'b' must be of.*\(0,\)"),
        "3-D": ([np.ones((9, 2, 2))], {"window": 2}, r"Series 0 must be of shape.*\(9, 2, 2\)"),
        "features": (
            walks | {"west": np.arange(9.0)},
            {"window": 2},
            "'west' has 1 features, but series 'north' has 2",
        ),
        "text": ({"a": np.arange(9.0), "b": list("abc")}, {"window": 2}, "'b': could not convert"),
        "target absent": (
            WALKS,
            {"window": 2, "target": {"north": WALKS["north"]}},
            "no series 's",
        ),
        "target short": (
            list(WALKS.values()),
            {"window": 2, "target": [np.ones(40), np.ones(54), np.ones(26)]},
            "54 rows, but the series has 55",
        ),
        "one target": (WALKS, {"window": 2, "target": np.ones(40)}, "one array for several series"),
        "known absent": (
            WALKS,
            {"window": 2, "known": {"north": WALKS["north"]}},
            "known has no series 'south'",
        ),
        "known short": (
            WALKS,
            {"window": 2, "known": WALKS | {"south": np.ones(54)}},
            r"known has 54 rows, but the series has 55.*'south'",
        ),
        "known of one": (WALKS, {"window": 2, "known": np.ones(60)}, "series of different lengths"),
        "known list": (WALKS, {"window": 2, "known": [np.ones(60)] * 3}, "list of 3 arrays.*list"),
        "static absent": (WALKS, {"window": 2, "static": {"north": 1}}, "static has no series 's"),
        "static short": (WALKS, {"window": 2, "static": [1.0, 2.0]}, "static has 2 rows.*3 series"),
        "freq": (WALKS, {"window": 2, "freq": "D"}, "'D' needs times"),
        "gaps without times": (WALKS, {"window": 2, "gaps": "fill"}, "'fill' needs times"),
        "gaps": (WALKS, {"window": 2, "gaps": "leave"}, "'gaps' parameter"),
    }


@pytest.mark.parametrize(
    ("series", "options", "message"), bad_calls().values(), ids=bad_calls().keys()
)
def test_bad_series_are_refused_by_name(series, options, message):
    with pytest.raises(ValueError, match=message):
        sliding_windows(series, **options)


BAD_FRAMES = {
    "no rows": (lambda frame: frame[:0], {}, "without rows"),
    "no time": (lambda frame: frame.drop(columns="ds"), {}, "no column of times 'ds'"),
    "id unknown": (lambda frame: frame, {"id_col": "shop"}, "no column 'shop'; its columns"),
    "wide": (lambda frame: frame[["y"]], {"id_col": "shop"}, "no column 'shop'"),
    "time unknown": (lambda frame: frame, {"time_col": "date"}, "no column of times 'date'"),
    "no id": (lambda frame: frame.assign(unique_id=[None] * len(frame)), {}, "without a value"),
    "nothing else": (lambda frame: frame.drop(columns="y"), {}, "no columns of numbers"),
    "text": (lambda frame: frame.assign(region="x"), {}, "'region' of the series is of dtype"),
    "target": (lambda frame: frame, {"target": "sales"}, r"'sales' is not the name.*\['y'\]"),
    "no y": (
        lambda frame: frame.assign(sales=1.0).rename(columns={"y": "price"}),
        {},
        r"'y' is not the name of one column.*\['price', 'sales'\]",
    ),
    "known": (lambda frame: frame, {"known": ["promo"]}, "no column 'promo'"),
    "static": (lambda frame: frame.assign(size=1.0), {"static": ["sizes"]}, "no column 'sizes'"),
    "static varies": (
        lambda frame: frame.assign(size=frame["y"]),
        {"static": ["size"]},
        "'size' is not the same throughout: Series 'north'",
    ),
}


@pytest.mark.parametrize(
    ("change", "options", "message"), BAD_FRAMES.values(), ids=BAD_FRAMES.keys()
)
def test_bad_frames_are_refused_by_column(change, options, message):
    pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=message):
        sliding_windows(change(long_frame(WALKS)), window=2, **options)


def test_known_and_static_tables_that_lack_a_row_are_refused_by_series_and_time():
    pytest.importorskip("pandas")
    frame = long_frame(WALKS)
    known = frame.rename(columns={"y": "promo"})
    for wrong, message in [
        (known.drop(index=45), "no row for 2016-08-01 of series 'south'"),
        (known[known["unique_id"] != "east"], "no row for .* of series 'east'"),
        (known.iloc[[*range(len(known)), 3]], "more than one row for 2015-04-01 of series 'north'"),
        (known.drop(columns="promo"), "known has no columns but"),
    ]:
        with pytest.raises(ValueError, match=message):
            sliding_windows(frame, 5, known=wrong)
    with pytest.raises(ValueError, match=r"known has times.*has none"):
        sliding_windows(WALKS, 5, known=known)
    sizes = known.groupby("unique_id", as_index=False).first()[["unique_id", "promo"]]
    with pytest.raises(ValueError, match="static has no row for series 'east'"):
        sliding_windows(frame, 5, static=sizes[sizes["unique_id"] != "east"])
    with pytest.raises(ValueError, match="static has more than one row for series 'north'"):
        sliding_windows(frame, 5, static=sizes.iloc[[0, 1, 1, 2]])


def test_tables_with_different_columns_or_times_are_refused():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": np.arange(9.0), "b": np.arange(9.0)})
    with pytest.raises(ValueError, match=r"1 has the columns \['b', 'a'\], but series 0"):
        sliding_windows([frame, frame[["b", "a"]]], 2)
    with pytest.raises(TypeError, match="DataFrames among arrays"):
        sliding_windows([frame, np.ones((9, 2))], 2)
    dated = frame.set_axis(pd.date_range("2020", periods=9))
    with pytest.raises(ValueError, match="Series 0 has an index of times, but series 1 has none"):
        sliding_windows([dated, frame.set_axis(list("abcdefghi"))], 2)


def test_long_frames_of_other_libraries_are_refused_with_the_way_out():
    class Frame:
        columns = ("unique_id", "ds", "y")

    with pytest.raises(TypeError, match=r"must be a DataFrame of pandas, got Frame.*to_pandas"):
        sliding_windows(Frame(), 5)
