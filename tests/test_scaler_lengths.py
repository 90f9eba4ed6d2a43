"""What `SequenceScaler` promises for padded sequences and lists of sequences."""

import numpy as np
import pytest
from helpers.series import LENGTHS, N_STEPS, padded_and_list, peak_memory, random_series
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import StandardScaler

from pylstm import SequenceScaler, sliding_windows


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
    with pytest.raises(ValueError, match="list of sequences that have lengths of their own"):
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


@pytest.mark.usefixtures("many_chunks")
def test_refused_padded_data_leaves_the_scaler_as_it_was():
    X, _ = padded_and_list()
    scaler = SequenceScaler().fit(X, lengths=LENGTHS)
    mean = scaler.mean_.copy()
    X[-1, 2, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        scaler.partial_fit(X, lengths=LENGTHS)
    assert_array_equal(scaler.mean_, mean)
