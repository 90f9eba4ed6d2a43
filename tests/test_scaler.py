"""What `SequenceScaler` promises for arrays."""

import pickle

import numpy as np
import pytest
from helpers.series import N_STEPS, peak_memory, random_series
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from pylstm import SequenceScaler, sliding_windows
from pylstm._validation import as_sequences


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


@parametrize_with_checks(
    [
        SequenceScaler(),
        SequenceScaler(n_timesteps=1),
        SequenceScaler(with_mean=False),
        SequenceScaler(with_std=False),
    ]
)
def test_sklearn_estimator_checks(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # without it one check would be skipped
    check(estimator)


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


@pytest.mark.usefixtures("many_chunks")
def test_refused_data_leaves_the_scaler_as_it_was():
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


@pytest.mark.parametrize("duplicate", [clone, lambda s: pickle.loads(pickle.dumps(s))])
def test_clone_and_pickle_keep_the_scaler(duplicate):
    X = random_series(20, 4, 3)
    scaler = SequenceScaler(4, with_mean=False).fit(X)
    other = duplicate(scaler)
    assert other.get_params() == scaler.get_params()
    other = other if hasattr(other, "scaler_") else other.fit(X)
    assert_array_equal(other.transform(X), scaler.transform(X))
