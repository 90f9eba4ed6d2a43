"""What `sliding_windows` and `SequenceScaler` promise."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from pylstm import LSTMRegressor, windows
from pylstm._validation import as_sequences
from pylstm.windows import SequenceScaler, sliding_windows

N_STEPS = 40


def random_series(*shape, dtype=np.float64):
    return np.random.default_rng(0).normal(3.0, 2.0, size=shape).astype(dtype)


def peak_memory(function, *args):
    """Return the most bytes that NumPy and Python held at once for the call."""
    tracemalloc.start()
    try:
        function(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# ---------------------------------------------------------------------------- sliding_windows


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


# ------------------------------------------------------------------------------- as_sequences


def test_flattened_columns_are_time_major():
    X = random_series(6, 4, 3)
    assert_array_equal(as_sequences(X.reshape(6, 12), 4), X)
    assert_array_equal(as_sequences(X.reshape(6, 12), None), X.reshape(6, 12, 1))


@pytest.mark.parametrize("n_timesteps", [None, 4])
@pytest.mark.parametrize("shape", [(6, 12), (6, 4, 3)], ids=["2-D", "3-D"])
def test_sequences_are_a_view_of_any_layout(shape, n_timesteps):
    for X in (random_series(*shape), np.asfortranarray(random_series(*shape))):
        assert np.shares_memory(as_sequences(X, n_timesteps), X)
        assert np.shares_memory(as_sequences(X[::2], n_timesteps), X)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((6, 12), "12 columns, which cannot be divided into n_timesteps=5"),
        ((6, 4, 3), "4 time steps, but n_timesteps=5"),
    ],
)
def test_n_timesteps_that_does_not_fit_raises(shape, message):
    with pytest.raises(ValueError, match=message):
        as_sequences(random_series(*shape), 5)
    with pytest.raises(ValueError, match=message):
        SequenceScaler(5).fit(random_series(*shape))


# ----------------------------------------------------------------------------- SequenceScaler


@parametrize_with_checks(
    [
        SequenceScaler(),
        SequenceScaler(n_timesteps=1),
        SequenceScaler(with_mean=False),
        SequenceScaler(with_std=False),
    ]
)
def test_sklearn_estimator_checks(estimator, check):
    check(estimator)


@pytest.fixture(params=["one chunk", "many chunks"])
def any_chunks(request, monkeypatch):
    """Fit in one chunk, and in chunks of a few samples."""
    chunk_size = {"one chunk": 10**9, "many chunks": 30}[request.param]
    monkeypatch.setattr(windows, "_CHUNK_SIZE", chunk_size)


SWITCHES = [(True, True), (True, False), (False, True), (False, False)]


@pytest.mark.usefixtures("any_chunks")
@pytest.mark.parametrize(("with_mean", "with_std"), SWITCHES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scales_as_standard_scaler_on_one_row_per_time_step(with_mean, with_std, weighted, dtype):
    X = random_series(20, 4, 3, dtype=dtype) * np.array([1, 100, 0.01], dtype=dtype)
    weight = np.arange(20.0) if weighted else None
    rows = X.reshape(-1, 3)
    row_weight = np.repeat(weight, 4) if weighted else None

    scaler = SequenceScaler(with_mean=with_mean, with_std=with_std).fit(X, sample_weight=weight)
    reference = StandardScaler(with_mean=with_mean, with_std=with_std)
    reference.fit(rows, sample_weight=row_weight)

    rtol = 1e-12 if dtype == np.float64 else 1e-6
    for name in ("mean_", "var_", "scale_"):
        actual, expected = getattr(scaler, name), getattr(reference, name)
        if expected is None:
            assert actual is None
        else:
            assert_allclose(actual, expected, rtol=rtol)
    expected = reference.transform(rows).reshape(X.shape)
    assert_allclose(scaler.transform(X), expected, rtol=10 * rtol, atol=10 * rtol)


def test_scaled_features_have_mean_0_and_deviation_1():
    X_scaled = SequenceScaler().fit_transform(random_series(50, 6, 2))
    assert_allclose(X_scaled.mean(axis=(0, 1)), 0.0, atol=1e-12)
    assert_allclose(X_scaled.std(axis=(0, 1)), 1.0)


@pytest.mark.parametrize(("n_timesteps", "n_features"), [(None, 1), (4, 3), (12, 1), (1, 12)])
def test_flattened_windows_scale_as_their_sequences(n_timesteps, n_features):
    X = random_series(20, 12)
    sequences = X.reshape(20, -1, n_features)
    expected = SequenceScaler().fit_transform(sequences)
    scaler = SequenceScaler(n_timesteps).fit(X)
    assert_allclose(scaler.transform(X), expected.reshape(20, 12))
    assert scaler.mean_.shape == (n_features,)


@pytest.mark.parametrize(
    "make_input",
    [
        np.ascontiguousarray,
        np.asfortranarray,
        lambda X: np.repeat(X, 2, axis=0)[::2],
        lambda X: X.tolist(),
        lambda X: np.frombuffer(X.tobytes()).reshape(X.shape),
    ],
    ids=["C", "F", "strided", "list", "read-only"],
)
@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("shape", [(20, 12), (20, 4, 3)], ids=["2-D", "3-D"])
def test_any_layout_scales_alike(make_input, copy, shape):
    X = random_series(*shape)
    expected = SequenceScaler(4).fit_transform(X)
    scaler = SequenceScaler(4, copy=copy)
    X_scaled = scaler.fit_transform(make_input(X))
    assert_allclose(X_scaled, expected)
    assert_allclose(scaler.inverse_transform(make_input(X_scaled)), X)


@pytest.mark.parametrize(("with_mean", "with_std"), SWITCHES)
@pytest.mark.parametrize("shape", [(20, 12), (20, 4, 3)], ids=["2-D", "3-D"])
def test_inverse_transform_inverts(with_mean, with_std, shape):
    X = random_series(*shape)
    scaler = SequenceScaler(4, with_mean=with_mean, with_std=with_std)
    X_scaled = scaler.fit_transform(X)
    assert (with_mean or with_std) != np.allclose(X_scaled, X)
    assert_allclose(scaler.inverse_transform(X_scaled), X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", [(20, 12), (20, 4, 3)], ids=["2-D", "3-D"])
def test_output_has_the_shape_and_float_dtype_of_the_input(dtype, shape):
    X = random_series(*shape, dtype=dtype)
    scaler = SequenceScaler().fit(X)
    X_scaled = scaler.transform(X)
    assert X_scaled.shape == scaler.inverse_transform(X_scaled).shape == shape
    expected = np.float32 if dtype == np.float32 else np.float64
    assert X_scaled.dtype == scaler.inverse_transform(X_scaled).dtype == expected


@pytest.mark.parametrize("method", ["transform", "inverse_transform"])
@pytest.mark.parametrize("shape", [(20, 12), (20, 4, 3)], ids=["2-D", "3-D"])
def test_copy_decides_whether_the_input_changes(method, shape):
    X = random_series(*shape)
    original = X.copy()
    scaler = SequenceScaler().fit(X)
    getattr(scaler, method)(X)
    assert_array_equal(X, original)
    out = getattr(scaler.set_params(copy=False), method)(X)
    assert np.shares_memory(out, X)
    assert not np.allclose(X, original)


def test_in_place_scaling_leaves_overlapping_windows_alone():
    series = random_series(N_STEPS)
    original = series.copy()
    X, _ = sliding_windows(series, window=5)
    X_scaled = SequenceScaler(copy=False).fit_transform(X)
    assert_array_equal(series, original)
    assert_allclose(X_scaled, SequenceScaler().fit_transform(X.copy()))


def test_fit_never_copies_a_strided_view():
    X, _ = sliding_windows(random_series(100_000), window=100)
    assert peak_memory(SequenceScaler().fit, X) < X.nbytes / 4


@pytest.mark.parametrize("method", ["transform", "inverse_transform"])
@pytest.mark.parametrize("layout", [np.asarray, np.ascontiguousarray, np.asfortranarray])
def test_transform_makes_only_its_output(method, layout):
    X, _ = sliding_windows(random_series(20_000), window=100)
    X = layout(X)
    scaler = SequenceScaler().fit(X)
    assert peak_memory(getattr(scaler, method), X) < 1.1 * X.nbytes


@pytest.mark.usefixtures("any_chunks")
def test_constant_features_are_centred_and_not_divided():
    X = random_series(20, 4, 2)
    X[..., 1] = 0.1
    scaler = SequenceScaler().fit(X)
    assert scaler.scale_[1] == 1.0
    assert_allclose(scaler.transform(X)[..., 1], 0.0, atol=1e-15)


@pytest.mark.usefixtures("any_chunks")
@pytest.mark.parametrize("missing", ["scattered", "a long gap", "from the start"])
def test_nan_is_ignored_in_fit_and_kept_in_transform(missing):
    X = random_series(20, 4, 2)
    rows = {"scattered": slice(None, None, 7), "a long gap": slice(5, 15)}.get(missing, slice(12))
    X[rows, :, 1] = np.nan
    scaler = SequenceScaler().fit(X)
    reference = StandardScaler().fit(X.reshape(-1, 2))
    assert_allclose(scaler.mean_, reference.mean_)
    assert_allclose(scaler.var_, reference.var_)
    X_scaled = scaler.transform(X)
    assert_array_equal(np.isnan(X_scaled), np.isnan(X))
    assert_allclose(scaler.inverse_transform(X_scaled), X)


@pytest.mark.usefixtures("any_chunks")
def test_samples_of_weight_0_do_not_count():
    X = random_series(20, 4, 2)
    weight = np.zeros(20)
    weight[[11, 17]] = 2.0
    scaler = SequenceScaler().fit(X, sample_weight=weight)
    expected = SequenceScaler().fit(X[[11, 17]])
    assert_allclose(scaler.mean_, expected.mean_)
    assert_allclose(scaler.scale_, expected.scale_)


@pytest.mark.parametrize(
    ("weight", "message"), [(np.ones(19), "sample_weight.shape"), (np.zeros(20), "zero")]
)
def test_bad_sample_weight_raises(weight, message):
    with pytest.raises(ValueError, match=message):
        SequenceScaler().fit(random_series(20, 4, 2), sample_weight=weight)


@pytest.mark.parametrize("shape", [(30, 12), (30, 4, 3)], ids=["2-D", "3-D"])
def test_partial_fit_in_parts_equals_fit(shape):
    X = random_series(*shape)
    whole = SequenceScaler(4).fit(X)
    parts = SequenceScaler(4)
    for part in np.array_split(X, 4):
        parts.partial_fit(part)
    assert_allclose(parts.mean_, whole.mean_)
    assert_allclose(parts.var_, whole.var_)


def test_fit_forgets_an_earlier_fit():
    X = random_series(20, 4, 3)
    scaler = SequenceScaler().fit(random_series(9, 7)).fit(X)
    assert_array_equal(scaler.mean_, SequenceScaler().fit(X).mean_)
    assert scaler.n_features_in_ == 3


def test_sequences_of_any_length_can_be_transformed():
    X = random_series(20, 6, 3)
    scaler = SequenceScaler().fit(X)
    assert_array_equal(scaler.transform(X[:, :2]), scaler.transform(X)[:, :2])


def test_sequences_of_another_length_than_n_timesteps_raise():
    scaler = SequenceScaler(6).fit(random_series(20, 6, 3))
    with pytest.raises(ValueError, match="2 time steps, but n_timesteps=6"):
        scaler.transform(random_series(20, 2, 3))


@pytest.mark.parametrize("shape", [(20, 12), (20, 4, 3)], ids=["2-D", "3-D"])
def test_n_features_in_and_names_count_the_last_axis(shape):
    scaler = SequenceScaler().fit(random_series(*shape))
    names = [f"x{i}" for i in range(shape[-1])]
    assert scaler.n_features_in_ == shape[-1]
    assert list(scaler.get_feature_names_out()) == names


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "partial_fit"])
@pytest.mark.parametrize(
    ("fitted", "given", "message"),
    [
        ((20, 12), (20, 11), "X has 11 features, but SequenceScaler is expecting 12 features"),
        ((20, 4, 3), (20, 4, 2), "X has 2 features, but SequenceScaler is expecting 3 features"),
        ((20, 4, 3), (20, 12), "X is 2-D, but this SequenceScaler was fitted on a 3-D X"),
        ((20, 12), (20, 4, 3), "X is 3-D, but this SequenceScaler was fitted on a 2-D X"),
    ],
)
def test_input_unlike_that_of_fit_raises(method, fitted, given, message):
    scaler = SequenceScaler().fit(random_series(*fitted))
    with pytest.raises(ValueError, match=message):
        getattr(scaler, method)(random_series(*given))


@pytest.mark.parametrize("method", ["transform", "inverse_transform"])
def test_using_an_unfitted_scaler_raises(method):
    with pytest.raises(NotFittedError, match="SequenceScaler instance is not fitted yet"):
        getattr(SequenceScaler(), method)(random_series(20, 4, 3))


def test_scaler_is_not_fitted_after_a_failed_fit():
    scaler = SequenceScaler().fit(random_series(20, 4, 3))
    with pytest.raises(ValueError, match="infinity"):
        scaler.fit(np.full((20, 4, 3), np.inf))
    with pytest.raises(NotFittedError):
        scaler.transform(random_series(20, 4, 3))


BAD_SEQUENCES = {
    "inf": (np.full((3, 4, 2), np.inf), ValueError, "infinity"),
    "1-D": (np.ones(4), ValueError, "Expected 2D array, got 1D array"),
    "4-D": (np.ones((3, 4, 2, 1)), ValueError, "4 dim"),
    "no samples": (np.ones((0, 4, 2)), ValueError, "0 sample"),
    "no steps": (np.ones((3, 0, 2)), ValueError, "one time step"),
    "no features": (np.ones((3, 4, 0)), ValueError, "one feature"),
    "no columns": (np.ones((3, 0)), ValueError, "0 feature"),
    "complex": (np.ones((3, 4, 2)) * 1j, ValueError, "Complex"),
    "sparse": (sparse.csr_matrix(np.ones((3, 4))), TypeError, "[Ss]parse"),
    "text": (np.full((3, 4, 2), "a"), ValueError, "could not convert"),
    "objects": (np.full((3, 4, 2), {}, dtype=object), TypeError, "float"),
}


@pytest.mark.parametrize(
    ("X", "error", "message"), BAD_SEQUENCES.values(), ids=BAD_SEQUENCES.keys()
)
def test_bad_sequences_raise(X, error, message):
    with pytest.raises(error, match=message):
        SequenceScaler().fit(X)


def test_refused_data_leaves_the_scaler_as_it_was(monkeypatch):
    monkeypatch.setattr(windows, "_CHUNK_SIZE", 30)
    X = random_series(20, 4, 3)
    scaler = SequenceScaler().fit(X)
    mean = scaler.mean_.copy()
    X[-1, -1, -1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        scaler.partial_fit(X)
    assert_array_equal(scaler.mean_, mean)


def test_tags_tell_what_the_scaler_takes_and_gives():
    tags = SequenceScaler().__sklearn_tags__()
    assert tags.input_tags.two_d_array
    assert tags.input_tags.three_d_array
    assert tags.input_tags.allow_nan
    assert tags.transformer_tags.preserves_dtype == ["float64", "float32"]


@pytest.mark.parametrize("method", ["transform", "inverse_transform"])
def test_infinity_is_refused_after_fit_too(method):
    scaler = SequenceScaler().fit(random_series(20, 4, 3))
    with pytest.raises(ValueError, match="infinity"):
        getattr(scaler, method)(np.full((20, 4, 3), np.inf))


@pytest.mark.parametrize(
    "params",
    [{"n_timesteps": 0}, {"n_timesteps": 2.0}, {"with_mean": "x"}, {"with_std": 2}, {"copy": None}],
    ids=str,
)
def test_bad_parameters_raise(params):
    with pytest.raises(ValueError, match=f"'{next(iter(params))}' parameter"):
        SequenceScaler(**params).fit(random_series(20, 4, 3))


def test_set_output_makes_a_dataframe_of_2d_input():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        random_series(5, 4), columns=["a", "b", "c", "d"], index=[10, 11, 12, 13, 14]
    )
    scaler = SequenceScaler().set_output(transform="pandas").fit(frame)
    out = scaler.transform(frame)
    pd.testing.assert_index_equal(out.columns, frame.columns)
    pd.testing.assert_index_equal(out.index, frame.index)
    assert_allclose(out, SequenceScaler().fit_transform(frame))
    assert list(scaler.get_feature_names_out()) == ["a", "b", "c", "d"]


def test_3d_output_is_an_array_whatever_set_output_says():
    pytest.importorskip("pandas")
    X = random_series(20, 4, 3)
    expected = SequenceScaler().fit_transform(X)
    scaler = SequenceScaler().set_output(transform="pandas")
    assert type(scaler.fit_transform(X)) is type(scaler.transform(X)) is np.ndarray
    with config_context(transform_output="pandas"):
        assert_array_equal(SequenceScaler().fit_transform(X), expected)


def test_global_pandas_output_leaves_the_arithmetic_alone():
    pd = pytest.importorskip("pandas")
    X = random_series(20, 4)
    with config_context(transform_output="pandas"):
        out = SequenceScaler().fit_transform(X)
    assert isinstance(out, pd.DataFrame)
    assert_array_equal(out, SequenceScaler().fit_transform(X))


def test_renamed_columns_raise_in_transform():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(random_series(5, 2), columns=["a", "b"])
    scaler = SequenceScaler().fit(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        scaler.transform(frame.rename(columns={"a": "z"}))


def test_inverse_transform_does_not_ask_for_feature_names(recwarn):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(random_series(5, 2), columns=["a", "b"])
    scaler = SequenceScaler().fit(frame)
    assert_allclose(scaler.inverse_transform(scaler.transform(frame)), frame)
    assert not recwarn.list


def test_sample_weight_can_be_routed():
    X, y, weight = random_series(20, 4, 1), np.arange(20.0), np.arange(20.0)
    with config_context(enable_metadata_routing=True):
        model = make_pipeline(
            SequenceScaler().set_fit_request(sample_weight=True),
            FunctionTransformer(lambda X: X.reshape(len(X), -1)),
            Ridge().set_fit_request(sample_weight=True),
        )
        model.fit(X, y, sample_weight=weight)
    assert_allclose(model[0].mean_, SequenceScaler().fit(X, sample_weight=weight).mean_)


@pytest.mark.parametrize("duplicate", [clone, lambda s: pickle.loads(pickle.dumps(s))])
def test_clone_and_pickle_keep_the_scaler(duplicate):
    X = random_series(20, 4, 3)
    scaler = SequenceScaler(4, with_mean=False).fit(X)
    other = duplicate(scaler)
    assert other.get_params() == scaler.get_params()
    other = other if hasattr(other, "scaler_") else other.fit(X)
    assert_array_equal(other.transform(X), scaler.transform(X))


# Padded sequences, and lists of sequences

LENGTHS = np.array([4, 1, 3, 2, 4, 3] * 4)


def padded_and_list(fill=np.nan, n_features=3, dtype=np.float64):
    """Return sequences of LENGTHS padded with `fill`, and the same as a list of arrays."""
    X = random_series(len(LENGTHS), 4, n_features, dtype=dtype)
    sequences = [x[:length].copy() for x, length in zip(X, LENGTHS, strict=True)]
    X[np.arange(4) >= LENGTHS[:, np.newaxis]] = fill
    return X, sequences


def is_padding(X):
    return np.broadcast_to((np.arange(4) >= LENGTHS[:, np.newaxis])[..., np.newaxis], X.shape)


@pytest.mark.usefixtures("any_chunks")
@pytest.mark.parametrize("fill", [0.0, 1e9, np.nan, np.inf])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("missing", [False, True])
def test_padding_does_not_count(fill, weighted, missing):
    X, sequences = padded_and_list(fill)
    if missing:
        X[6:12, :2, 1] = np.nan
        for x in sequences[6:12]:
            x[:2, 1] = np.nan
    rows = np.concatenate(sequences)
    weight = np.arange(len(X), dtype=float) if weighted else None
    reference = StandardScaler()
    reference.fit(rows, sample_weight=np.repeat(weight, LENGTHS) if weighted else None)

    padded = SequenceScaler().fit(X, sample_weight=weight, lengths=LENGTHS)
    listed = SequenceScaler().fit(sequences, sample_weight=weight)
    for scaler in (padded, listed):
        assert_allclose(scaler.mean_, reference.mean_)
        assert_allclose(scaler.var_, reference.var_)
        assert_allclose(scaler.scale_, reference.scale_)
        assert scaler.n_features_in_ == 3


@pytest.mark.usefixtures("any_chunks")
@pytest.mark.parametrize("fill", [7.0, np.nan, np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", ["transform", "inverse_transform"])
def test_padding_stays_as_it_is(fill, dtype, method):
    X, sequences = padded_and_list(fill, dtype=dtype)
    original = X.copy()
    scaler = SequenceScaler().fit(X, lengths=LENGTHS)
    out = getattr(scaler, method)(X, lengths=LENGTHS)
    listed = getattr(scaler, method)(sequences)

    assert_array_equal(X, original)
    assert out.dtype == dtype
    assert_array_equal(out[is_padding(X)], fill)
    for x, y, z, length in zip(out, listed, sequences, LENGTHS, strict=True):
        expected = getattr(scaler, method)(z[np.newaxis])[0]
        assert_allclose(x[:length], expected, rtol=1e-6)
        assert y.dtype == dtype
        assert_allclose(y, expected, rtol=1e-6)


@pytest.mark.usefixtures("any_chunks")
@pytest.mark.parametrize("as_list", [False, True])
def test_inverse_transform_inverts_sequences_of_any_length(as_list):
    X, sequences = padded_and_list()
    data, lengths = (sequences, None) if as_list else (X, LENGTHS)
    scaler = SequenceScaler()
    scaled = scaler.fit_transform(data, lengths=lengths)
    restored = scaler.inverse_transform(scaled, lengths=lengths)
    for x, y in zip(restored, data, strict=True):
        assert_allclose(x, y)


def test_lengths_of_whole_sequences_change_nothing():
    X = random_series(20, 4, 3)
    whole = np.full(20, 4)
    scaler = SequenceScaler().fit(X, lengths=whole)
    expected = SequenceScaler().fit(X)
    assert_array_equal(scaler.mean_, expected.mean_)
    assert_array_equal(scaler.transform(X, lengths=whole), expected.transform(X))


def test_padding_of_flattened_windows():
    X, _ = padded_and_list()
    flat = X.reshape(len(X), -1)
    expected = SequenceScaler().fit_transform(X, lengths=LENGTHS)
    scaled = SequenceScaler(n_timesteps=4).fit_transform(flat, lengths=LENGTHS)
    assert_allclose(scaled.reshape(X.shape), expected)


def test_padded_dataframe():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame([[1.0, 2.0, np.inf], [3.0, 4.0, 5.0]], columns=["a", "b", "c"])
    scaler = SequenceScaler(with_std=False).set_output(transform="pandas")
    out = scaler.fit_transform(frame, lengths=[2, 3])
    assert list(out.columns) == ["a", "b", "c"]
    assert_allclose(out, [[-2, -1, np.inf], [0, 1, 2]])


def test_partial_fit_takes_padded_sequences_and_lists_in_turn():
    X, sequences = padded_and_list()
    whole = SequenceScaler().fit(sequences)
    scaler = SequenceScaler().partial_fit(X[:8], lengths=LENGTHS[:8])
    scaler.partial_fit(sequences[8:15]).partial_fit(X[15:], lengths=LENGTHS[15:])
    assert_allclose(scaler.mean_, whole.mean_)
    assert_allclose(scaler.var_, whole.var_)


def test_lists_and_arrays_scale_alike():
    X = random_series(20, 4, 3)
    scaler = SequenceScaler().fit(list(X))
    assert_allclose(scaler.mean_, SequenceScaler().fit(X).mean_)
    assert_allclose(scaler.transform(tuple(X)), scaler.transform(X))
    assert_allclose(scaler.transform([X[0], X[1, :2]])[1], scaler.transform(X)[1, :2])


def test_lists_of_dataframes_bring_their_names():
    pd = pytest.importorskip("pandas")
    frames = [pd.DataFrame(random_series(n, 2), columns=["a", "b"]) for n in (3, 5)]
    scaler = SequenceScaler().fit(frames)
    assert list(scaler.feature_names_in_) == ["a", "b"]
    assert [type(x) for x in scaler.transform(frames)] == [np.ndarray, np.ndarray]
    with pytest.raises(ValueError, match="feature names should match"):
        scaler.transform([frames[0], frames[1].rename(columns={"a": "z"})])
    with pytest.raises(ValueError, match="feature names should match"):
        SequenceScaler().fit([frames[0], frames[1][["b", "a"]]])


@pytest.mark.parametrize(
    "make_input", [tuple, lambda X: np.array(X, dtype=object), lambda X: [x.tolist() for x in X]]
)
def test_other_lists_of_sequences(make_input):
    _, sequences = padded_and_list()
    expected = SequenceScaler().fit_transform(sequences)
    for x, y in zip(SequenceScaler().fit_transform(make_input(sequences)), expected, strict=True):
        assert_array_equal(x, y)


@pytest.mark.parametrize("method", ["transform", "inverse_transform"])
def test_copy_decides_whether_sequences_of_any_length_change(method):
    X, sequences = padded_and_list()
    originals = [x.copy() for x in sequences]
    scaler = SequenceScaler().fit(sequences)
    getattr(scaler, method)(sequences)
    for x, original in zip(sequences, originals, strict=True):
        assert_array_equal(x, original)
    scaler.set_params(copy=False)
    out = getattr(scaler, method)(X, lengths=LENGTHS)
    assert np.shares_memory(out, X)
    for x, y in zip(getattr(scaler, method)(sequences), sequences, strict=True):
        assert np.shares_memory(x, y)
        assert not np.allclose(x, originals[0][0])


def test_in_place_scaling_of_padded_read_only_windows():
    X, _ = sliding_windows(random_series(N_STEPS), window=4)
    original = X.copy()
    lengths = np.resize([4, 2, 3], len(X))
    out = SequenceScaler(copy=False).fit_transform(X, lengths=lengths)
    assert_array_equal(X, original)
    assert_allclose(out, SequenceScaler().fit_transform(original, lengths=lengths))


def test_padded_strided_view_is_never_copied_as_a_whole():
    X, _ = sliding_windows(random_series(100_000), window=100)
    lengths = np.resize([100, 60, 80], len(X))
    scaler = SequenceScaler()
    assert peak_memory(lambda: scaler.fit(X, lengths=lengths)) < X.nbytes / 3
    assert peak_memory(lambda: scaler.transform(X, lengths=lengths)) < 1.5 * X.nbytes


BAD_LENGTHS = {
    "zero": (np.zeros(24, int), "from 1 to n_timesteps = 4"),
    "too long": (np.full(24, 5), "from 1 to n_timesteps = 4"),
    "floats": (np.ones(24), "lengths must be integers"),
    "2-D": (np.ones((24, 1), int), "lengths must have shape"),
    "too few": (np.ones(23, int), "lengths must have shape"),
    "none": ([], "lengths must have shape"),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit", "transform", "inverse_transform"])
@pytest.mark.parametrize(("lengths", "message"), BAD_LENGTHS.values(), ids=BAD_LENGTHS.keys())
def test_bad_lengths_raise(method, lengths, message):
    X = random_series(24, 4, 3)
    with pytest.raises((TypeError, ValueError), match=message):
        getattr(SequenceScaler().fit(X), method)(X, lengths=lengths)


@pytest.mark.parametrize("method", ["fit", "transform", "inverse_transform"])
def test_lengths_of_a_list_raise(method):
    _, sequences = padded_and_list()
    scaler = SequenceScaler().fit(sequences)
    with pytest.raises(ValueError, match="list of 24 sequences, which have lengths of their own"):
        getattr(scaler, method)(sequences, lengths=LENGTHS)


BAD_LISTS = {
    "features": ([np.ones((3, 2)), np.ones((4, 1))], "has 1 features.*expecting 2 features"),
    "inf": ([np.ones((3, 2)), np.full((4, 2), np.inf)], "infinity"),
    "no steps": ([np.ones((3, 2)), np.ones((0, 2))], "0 sample"),
    "no features": ([np.ones((3, 0))], "0 feature"),
    "complex": ([np.ones((3, 2)) * 1j], "Complex"),
}


@pytest.mark.parametrize(("X", "message"), BAD_LISTS.values(), ids=BAD_LISTS.keys())
@pytest.mark.parametrize("method", ["fit", "transform", "inverse_transform"])
def test_bad_lists_raise(X, message, method):
    scaler = SequenceScaler().fit(random_series(20, 4, 2))
    with pytest.raises(ValueError, match=message):
        getattr(scaler, method)(X)


def test_list_is_held_to_the_dimensions_and_steps_asked_for():
    with pytest.raises(ValueError, match="3 time steps, but n_timesteps=4"):
        SequenceScaler(4).fit([np.ones((3, 1)), np.ones((2, 1))])
    with pytest.raises(ValueError, match="X is 3-D, but this SequenceScaler was fitted on a 2-D"):
        SequenceScaler().fit(random_series(20, 4)).transform([np.ones((4, 1))])
    with pytest.raises(ValueError, match="X is 2-D, but this SequenceScaler was fitted on a 3-D"):
        SequenceScaler().fit([np.ones((4, 1))]).transform(random_series(20, 4))


@pytest.mark.parametrize("method", ["fit", "transform", "inverse_transform"])
def test_infinity_before_the_padding_is_refused(method):
    X, _ = padded_and_list(fill=0.0)
    scaler = SequenceScaler().fit(X, lengths=LENGTHS)
    X[-1, 2, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        getattr(scaler, method)(X, lengths=LENGTHS)


def test_refused_padded_data_leaves_the_scaler_as_it_was(monkeypatch):
    monkeypatch.setattr(windows, "_CHUNK_SIZE", 30)
    X, _ = padded_and_list()
    scaler = SequenceScaler().fit(X, lengths=LENGTHS)
    mean = scaler.mean_.copy()
    X[-1, 2, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        scaler.partial_fit(X, lengths=LENGTHS)
    assert_array_equal(scaler.mean_, mean)


class RecordingRegressor(RegressorMixin, BaseEstimator):
    """Keeps what reaches it."""

    def fit(self, X, y, *, lengths=None):
        self.fitted_on_ = X, lengths
        return self

    def predict(self, X, *, lengths=None):
        self.predicted_for_ = X, lengths
        return np.zeros(len(X))


def test_lengths_can_be_routed_through_a_pipeline():
    X, _ = padded_and_list(np.inf)
    y = np.zeros(len(X))
    expected = SequenceScaler().fit_transform(X, lengths=LENGTHS)
    with config_context(enable_metadata_routing=True):
        scaler = SequenceScaler().set_fit_request(lengths=True).set_transform_request(lengths=True)
        regressor = RecordingRegressor()
        regressor.set_fit_request(lengths=True).set_predict_request(lengths=True)
        model = make_pipeline(scaler, regressor)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.fit(X, y, lengths=LENGTHS)
            model.predict(X, lengths=LENGTHS)
        for scaled, lengths in (regressor.fitted_on_, regressor.predicted_for_):
            assert_array_equal(scaled, expected)
            assert_array_equal(lengths, LENGTHS)

        with pytest.raises(UnsetMetadataPassedError, match="lengths"):
            make_pipeline(SequenceScaler(), regressor).fit(X, y, lengths=LENGTHS)
        scaler.set_inverse_transform_request(lengths=True).set_partial_fit_request(lengths=True)
        requests = scaler.get_metadata_routing()
        assert requests.inverse_transform.requests == {"lengths": True}
        assert requests.partial_fit.requests["lengths"] is True


def test_lengths_reach_a_pipeline_without_routing():
    X, _ = padded_and_list(np.inf)
    model = make_pipeline(SequenceScaler(), RecordingRegressor())
    model.fit(X, np.zeros(len(X)), sequencescaler__lengths=LENGTHS)
    assert_array_equal(model[-1].fitted_on_[0], SequenceScaler().fit_transform(X, lengths=LENGTHS))


def test_list_goes_through_a_pipeline():
    _, sequences = padded_and_list()
    model = make_pipeline(SequenceScaler(), RecordingRegressor())
    model.fit(sequences, np.zeros(len(sequences))).predict(sequences)
    expected = SequenceScaler().fit_transform(sequences)
    for received in (model[-1].fitted_on_[0], model[-1].predicted_for_[0]):
        for x, y in zip(received, expected, strict=True):
            assert_array_equal(x, y)


def test_padded_sequences_and_lists_are_the_same_to_a_pipeline_with_an_lstm():
    X, sequences = padded_and_list(np.inf)
    y = np.array([x.sum() for x in sequences])
    settings = {"hidden_size": 3, "max_iter": 3, "n_iter_no_change": np.inf, "random_state": 0}
    listed = make_pipeline(SequenceScaler(), LSTMRegressor(**settings)).fit(sequences, y)
    with config_context(enable_metadata_routing=True):
        scaler = SequenceScaler().set_fit_request(lengths=True).set_transform_request(lengths=True)
        lstm = LSTMRegressor(**settings).set_fit_request(lengths=True)
        lstm.set_predict_request(lengths=True)
        padded = make_pipeline(scaler, lstm).fit(X, y, lengths=LENGTHS)
        predicted = padded.predict(X, lengths=LENGTHS)
    assert_allclose(predicted, listed.predict(sequences), rtol=1e-5)
