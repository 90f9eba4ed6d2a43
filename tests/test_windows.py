"""What `sliding_windows` promises."""

import numpy as np
import pytest
from helpers.series import N_STEPS, peak_memory, random_series
from numpy.testing import assert_array_equal
from scipy import sparse

from pylstm import sliding_windows


@pytest.mark.parametrize("window", [1, 2, 7])
@pytest.mark.parametrize("horizon", [0, 1, 4, [0], [1], [3, 1], range(1, 6), range(2)], ids=str)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_windows_and_targets_lie_where_the_docstring_says(window, horizon, step):
    series = random_series(N_STEPS, 2)
    X, y = sliding_windows(series, window, horizon, step)

    n_windows = (N_STEPS - window - np.max(horizon)) // step + 1
    assert X.shape == (n_windows, window, 2)
    for i in range(n_windows):
        assert_array_equal(X[i], series[i * step : i * step + window])
        last_step = i * step + window - 1
        expected = [series[last_step + h] for h in np.atleast_1d(horizon)]
        assert_array_equal(y[i], np.ravel(expected))


def test_all_targets_of_the_first_horizon_come_first():
    series = random_series(N_STEPS, 3)
    _, y = sliding_windows(series, 5, horizon=[2, 4], target=[0, 2])
    for column, horizon in enumerate([2, 4]):
        _, alone = sliding_windows(series[: N_STEPS - 4 + horizon], 5, horizon, target=[0, 2])
        assert_array_equal(y.reshape(-1, 2, 2)[:, column], alone)


@pytest.mark.parametrize(
    ("n_windows", "n_steps"), [(1, 8), (2, 9), (N_STEPS - 7, N_STEPS)], ids=str
)
def test_shortest_series_gives_one_window(n_windows, n_steps):
    X, y = sliding_windows(random_series(n_steps), window=5, horizon=3)
    assert len(X) == len(y) == n_windows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(N_STEPS,), (N_STEPS, 3)], ids=["1-D", "2-D"])
@pytest.mark.parametrize("layout", ["C", "F", "strided", "read-only", "memory map"])
def test_windows_of_floats_are_a_view(dtype, shape, layout, tmp_path):
    series = random_series(*shape, dtype=dtype)
    if layout == "F":
        series = np.asfortranarray(series)
    elif layout == "strided":
        series = series[::-2]
    elif layout == "read-only":
        series.setflags(write=False)
    elif layout == "memory map":
        np.save(tmp_path / "series.npy", series)
        series = np.load(tmp_path / "series.npy", mmap_mode="r")

    X, _ = sliding_windows(series, window=4, step=2)
    assert np.shares_memory(X, series)


def test_windows_cost_no_memory():
    series = random_series(100_000)
    assert peak_memory(lambda: sliding_windows(series, window=1000)) < 5 * series.nbytes


def test_windows_are_read_only_and_targets_are_not():
    series = random_series(N_STEPS)
    X, y = sliding_windows(series, window=4)
    with pytest.raises(ValueError, match="read-only"):
        X[0, 0, 0] = 0.0
    before = series.copy()
    y[:] = 0.0
    assert_array_equal(series, before)
    assert series.flags.writeable


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        ("float16", "float64"),
        ("int64", "float64"),
        ("uint8", "float64"),
        ("bool", "float64"),
        ("object", "float64"),
        (">f8", "float64"),
    ],
)
def test_floats_keep_their_dtype_and_other_numbers_become_float64(dtype, expected):
    series = np.arange(10).astype(dtype)
    X, y = sliding_windows(series, window=3)
    assert X.dtype == y.dtype == expected
    assert_array_equal(X[1, :, 0], series[1:4].astype(float))


def test_lists_are_accepted():
    X, y = sliding_windows([1, 2, 3, 4], window=2)
    assert_array_equal(X[..., 0], [[1, 2], [2, 3]])
    assert_array_equal(y, [3, 4])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_pass_to_the_estimator(value):
    series = random_series(N_STEPS)
    series[20] = value
    X, y = sliding_windows(series, window=3)
    assert_array_equal(X[20, 0, 0], value)
    assert_array_equal(y[17], value)


@pytest.mark.parametrize(
    ("n_features", "horizon", "target", "shape"),
    [
        (None, 1, None, ()),
        (1, 1, None, ()),
        (3, 1, None, (3,)),
        (3, 1, 1, ()),
        (3, 1, np.int64(1), ()),
        (3, 1, [1], (1,)),
        (3, 1, (1, 2), (2,)),
        (None, [1], None, (1,)),
        (None, [1, 2], None, (2,)),
        (3, [1, 2], 1, (2,)),
        (3, [1, 2], None, (6,)),
        (3, 1, np.zeros(N_STEPS), ()),
        (3, 1, np.zeros((N_STEPS, 1)), (1,)),
        (3, [1, 2], np.zeros((N_STEPS, 2)), (4,)),
    ],
)
def test_y_is_1d_only_for_one_horizon_and_one_target(n_features, horizon, target, shape):
    series = random_series(N_STEPS) if n_features is None else random_series(N_STEPS, n_features)
    X, y = sliding_windows(series, 5, horizon, target=target)
    assert y.shape == (len(X), *shape)


@pytest.mark.parametrize(
    ("target", "columns"), [(0, 0), (-1, 2), ("b", 1), (["c", "a"], [2, 0]), (["a", 2], [0, 2])]
)
def test_target_selects_columns_by_position_or_name(target, columns):
    pd = pytest.importorskip("pandas")
    series = random_series(N_STEPS, 3)
    frame = pd.DataFrame(series, columns=["a", "b", "c"])
    X, y = sliding_windows(frame, window=4, horizon=2, target=target)
    assert_array_equal(X[0], series[:4])
    assert_array_equal(y, series[5:, columns])


def test_integer_target_is_a_position_even_if_column_names_are_integers():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(random_series(N_STEPS, 2), columns=[1, 0])
    _, y = sliding_windows(frame, window=4, target=0)
    assert_array_equal(y, frame.iloc[4:, 0])


def test_pandas_series_with_missing_values():
    pd = pytest.importorskip("pandas")
    X, y = sliding_windows(pd.Series([1, 2, None, 4], dtype="Float64"), window=2)
    assert_array_equal(X[..., 0], [[1, 2], [2, np.nan]])
    assert_array_equal(y, [np.nan, 4])


def test_windows_of_a_float_dataframe_are_a_view():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(random_series(N_STEPS, 2))
    X, _ = sliding_windows(frame, window=4)
    assert np.shares_memory(X, frame.to_numpy())


@pytest.mark.parametrize(
    "values", [np.arange(N_STEPS), np.array(list("ab" * 20)), np.arange(2 * N_STEPS).reshape(-1, 2)]
)
def test_target_may_be_an_aligned_array_of_any_dtype(values):
    _, y = sliding_windows(random_series(N_STEPS), window=4, horizon=3, step=2, target=values)
    assert y.dtype == values.dtype
    assert_array_equal(y, values[6::2])


def test_aligned_pandas_target_is_matched_by_position():
    pd = pytest.importorskip("pandas")
    values = pd.Series(np.arange(N_STEPS), index=np.arange(N_STEPS)[::-1])
    _, y = sliding_windows(random_series(N_STEPS), window=4, target=values)
    assert_array_equal(y, np.arange(4, N_STEPS))


@pytest.mark.parametrize("integer", [np.int8, np.uint8, np.uint64, int])
def test_any_integer_type_is_accepted(integer):
    series = random_series(1000)
    X, y = sliding_windows(series, integer(100), integer(100), integer(2))
    assert_array_equal(X[-1, :, 0], series[800:900])
    assert_array_equal(y, series[199::2])
    _, y = sliding_windows(series, integer(100), np.array([100], dtype=integer), integer(2))
    assert_array_equal(y[:, 0], series[199::2])


SERIES = random_series(10, 2)
BAD_WINDOWS = {
    "too short": ((SERIES, 8, 5), {}, ValueError, "10 steps.*window=8.*5 steps ahead need 13"),
    "too short by one": ((SERIES, 10), {}, ValueError, "10 steps.*need 11"),
    "horizons too long": ((SERIES, 3, [1, 8]), {}, ValueError, "10 steps.*need 11"),
    "huge window": ((SERIES, 2**70), {}, ValueError, "10 steps"),
    "window 0": ((SERIES, 0), {}, ValueError, "'window' .* must be an int .* Got 0"),
    "window negative": ((SERIES, -1), {}, ValueError, "'window'"),
    "window float": ((SERIES, 2.0), {}, TypeError, "'window' .* must be an int .* Got 2.0"),
    "window text": ((SERIES, "2"), {}, TypeError, "'window'"),
    "window None": ((SERIES, None), {}, TypeError, "'window'"),
    "step 0": ((SERIES, 2, 1, 0), {}, ValueError, "'step'"),
    "step float": ((SERIES, 2, 1, 1.5), {}, TypeError, "'step'"),
    "horizon negative": ((SERIES, 2, -1), {}, ValueError, "'horizon'"),
    "horizon float": ((SERIES, 2, 1.0), {}, TypeError, "'horizon'"),
    "horizon None": ((SERIES, 2, None), {}, TypeError, "'horizon'"),
    "one horizon negative": ((SERIES, 2, [1, -1]), {}, ValueError, r"list of .*; got \[1, -1\]"),
    "no horizons": ((SERIES, 2, []), {}, ValueError, r"list of non-negative ints; got \[\]"),
    "no horizons, as integers": ((SERIES, 2, range(0)), {}, ValueError, "list of non-negative"),
    "float horizons": ((SERIES, 2, [1.0]), {}, ValueError, "list of non-negative ints"),
    "2-D horizons": ((SERIES, 2, [[1]]), {}, ValueError, "list of non-negative ints"),
    "0-D series": ((3.0, 1), {}, TypeError, "at least 1 dim"),
    "3-D series": ((np.zeros((5, 2, 2)), 1), {}, ValueError, "dim 3"),
    "no steps": (([], 1), {}, ValueError, "0 sample"),
    "no features": ((np.zeros((5, 0)), 1), {}, ValueError, "0 feature"),
    "text": ((["a", "b"], 1), {}, ValueError, "could not convert"),
    "objects": ((np.array([{}, {}]), 1), {}, TypeError, "float"),
    "complex": ((SERIES * 1j, 2), {}, ValueError, "Complex"),
    "sparse": ((sparse.csr_matrix(SERIES), 2), {}, TypeError, "[Ss]parse"),
    "target out of range": ((SERIES, 2), {"target": 2}, ValueError, "out of range.* has 2"),
    "target below range": ((SERIES, 2), {"target": [0, -3]}, ValueError, "out of range"),
    "target not a name": ((SERIES, 2), {"target": "a"}, ValueError, "no column names"),
    "no target": ((SERIES, 2), {"target": []}, ValueError, "target is empty"),
    "target float": ((SERIES, 2), {"target": 1.0}, TypeError, "position.*or name"),
    "target bool": ((SERIES, 2), {"target": True}, TypeError, "position.*or name"),
    "targets float": ((SERIES, 2), {"target": [0.5]}, TypeError, "position.*or name"),
    "target short": ((SERIES, 2), {"target": np.ones(9)}, ValueError, "9 rows.*10 steps"),
    "target 3-D": ((SERIES, 2), {"target": np.ones((10, 1, 1))}, ValueError, "dim 3"),
    "target empty": ((SERIES, 2), {"target": np.ones((10, 0))}, ValueError, "0 feature"),
    "target complex": ((SERIES, 2), {"target": SERIES * 1j}, ValueError, "Complex"),
    "target sparse": (
        (SERIES, 2),
        {"target": sparse.csr_matrix(SERIES)},
        TypeError,
        "[Ss]parse",
    ),
    "known short": ((SERIES, 2), {"known": np.ones(9)}, ValueError, "known has 9 rows.*10 steps"),
    "known 3-D": ((SERIES, 2), {"known": np.ones((10, 1, 1))}, ValueError, "dim 3"),
    "known empty": ((SERIES, 2), {"known": np.ones((10, 0))}, ValueError, "0 feature"),
    "known text": ((SERIES, 2), {"known": list("ab" * 5)}, ValueError, "could not convert"),
    "known sparse": ((SERIES, 2), {"known": sparse.csr_matrix(SERIES)}, TypeError, "[Ss]parse"),
}


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "message"), BAD_WINDOWS.values(), ids=BAD_WINDOWS.keys()
)
def test_bad_windows_raise(args, kwargs, error, message):
    with pytest.raises(error, match=message):
        sliding_windows(*args, **kwargs)


def test_unknown_column_name_raises_with_the_known_ones():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(SERIES, columns=["open", "close"])
    with pytest.raises(ValueError, match=r"'high' is not the name .*\['open', 'close'\]"):
        sliding_windows(frame, window=2, target=["close", "high"])


def test_horizon_0_labels_a_window_by_its_last_step():
    labels = np.arange(N_STEPS).astype(str)
    series = random_series(N_STEPS, 2)
    X, y = sliding_windows(series, window=5, horizon=0, target=labels)
    assert len(X) == N_STEPS - 4
    assert_array_equal(y, labels[4:])
    assert_array_equal(X[-1], series[-5:])
    X, _ = sliding_windows(series, window=N_STEPS, horizon=0)
    assert_array_equal(X[0], series)


@pytest.mark.parametrize("horizon", [0, 1, 4, [1, 3], range(1, 4)], ids=str)
@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("shapes", [((), ()), ((2,), (3,)), ((), (2,)), ((2,), ())], ids=str)
@pytest.mark.parametrize("n_future", [0, 7])
def test_known_features_lie_the_largest_horizon_ahead(horizon, step, shapes, n_future):
    series = random_series(N_STEPS, *shapes[0])
    known = np.random.default_rng(1).normal(size=(N_STEPS + n_future, *shapes[1]))
    X, y = sliding_windows(series, 5, horizon, step, known=known)
    without, expected_y = sliding_windows(series, 5, horizon, step)
    n_features, n_known = np.size(series[0]), np.size(known[0])

    lead = np.max(horizon)
    assert X.shape == (len(without), 5, n_features + n_known)
    assert_array_equal(y, expected_y)
    assert_array_equal(X[..., :n_features], without)
    for i in range(len(X)):
        ahead = known[i * step + lead : i * step + lead + 5].reshape(5, n_known)
        assert_array_equal(X[i, :, n_features:], ahead)


def test_network_sees_what_is_known_of_the_very_step_it_forecasts():
    series = random_series(N_STEPS)
    X, y = sliding_windows(series, window=4, known=series)
    assert_array_equal(X[:, -1, 1], y)
    X, y = sliding_windows(series, window=4, horizon=[1, 2, 3], known=series)
    assert_array_equal(X[:, -3:, 1], y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_known_features_take_the_dtype_of_the_series(dtype):
    series = random_series(N_STEPS, dtype=dtype)
    X, y = sliding_windows(series, window=4, known=np.arange(N_STEPS))
    assert X.dtype == y.dtype == dtype


def test_windows_with_known_features_are_a_view_too():
    series, known = random_series(100_000), random_series(100_000, 2)
    X, _ = sliding_windows(series, window=1000, known=known)
    assert not X.flags.writeable
    assert X.strides[:2] == (3 * 8, 3 * 8)
    peak = peak_memory(lambda: sliding_windows(series, window=1000, known=known))
    assert peak < 7 * series.nbytes


def test_known_features_may_be_a_dataframe_with_missing_values():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": np.arange(6.0), "b": [0, 1, None, 3, 4, 5]})
    X, _ = sliding_windows(np.zeros(6), window=2, known=frame)
    assert_array_equal(X[0, :, 1:], [[1, 1], [2, np.nan]])
