"""X in every layout, dtype and number of dimensions."""

import numpy as np
import pandas as pd
import pytest
from helpers.estimators import (
    LENGTHS,
    N_FEATURES,
    N_SAMPLES,
    N_TIMESTEPS,
    X,
    assert_same_weights,
    classifier,
    model,
    y,
)
from numpy.lib.stride_tricks import sliding_window_view
from numpy.testing import assert_array_equal


def test_two_dimensional_X_is_a_univariate_series():
    univariate = model().fit(X[:, :, 0], y)
    assert (univariate.n_features_in_, univariate.n_timesteps_) == (N_TIMESTEPS, N_TIMESTEPS)
    assert_same_weights(univariate, model().fit(X[:, :, :1], y))


def test_n_timesteps_unfolds_flattened_windows():
    flattened = model(n_timesteps=N_TIMESTEPS).fit(X.reshape(N_SAMPLES, -1), y)
    assert flattened.n_features_in_ == N_TIMESTEPS * N_FEATURES
    assert flattened.n_timesteps_ == N_TIMESTEPS
    assert_same_weights(flattened, model().fit(X, y))


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


SAME_DATA = {
    "float64": X.astype(np.float64),
    "Fortran": np.asfortranarray(X),
    "reversed and strided": np.repeat(X[:, ::-1], 2, axis=0)[::2, ::-1],
    "features first": np.ascontiguousarray(X.transpose(2, 0, 1)).transpose(1, 2, 0),
    "read-only": read_only(X),
    "nested lists": X.tolist(),
}


@pytest.mark.parametrize("same", SAME_DATA.values(), ids=SAME_DATA.keys())
def test_layout_and_type_of_X_change_no_bit(same):
    fitted, expected = model().fit(same, y), model().fit(X, y)
    assert_same_weights(fitted, expected)
    assert_array_equal(fitted.predict(same).astype(np.float32), expected.predict(X))


def test_integers_are_taken_as_numbers():
    whole = np.round(3 * X).astype(np.int16)
    regressor = model().fit(whole, np.round(y).astype(np.int64))
    assert_array_equal(
        regressor.predict(whole), model().fit(np.round(3 * X), np.round(y)).predict(whole)
    )


def test_memory_mapped_X_is_read_where_it_lies(tmp_path, train_calls):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    regressor = model().fit(mapped, y)
    assert np.shares_memory(train_calls[0]["X"], mapped)
    assert_array_equal(regressor.predict(mapped), model().fit(X, y).predict(X))


SERIES = np.random.default_rng(1).normal(size=(80, N_FEATURES))
NEVER_COPIED = {
    "3-D": (X, {}),
    "strided windows of a series": (
        sliding_window_view(SERIES, N_TIMESTEPS, axis=0)[:N_SAMPLES].transpose(0, 2, 1),
        {"dtype": "float64"},
    ),
    "univariate windows of a series": (
        sliding_window_view(SERIES[:, 0], N_TIMESTEPS)[:N_SAMPLES],
        {"dtype": "float64"},
    ),
    "Fortran": (np.asfortranarray(X), {}),
    "flattened": (X.reshape(N_SAMPLES, -1), {"n_timesteps": N_TIMESTEPS}),
    "flattened Fortran": (
        np.asfortranarray(X.reshape(N_SAMPLES, -1)),
        {"n_timesteps": N_TIMESTEPS},
    ),
    "read-only": (read_only(X), {}),
}


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("data", "parameters"), NEVER_COPIED.values(), ids=NEVER_COPIED.keys())
def test_X_of_the_right_dtype_is_not_copied(data, parameters, shuffle, early_stopping, train_calls):
    model(**parameters, shuffle=shuffle, early_stopping=early_stopping).fit(data, y)
    assert all(call["X"].base is not None or call["X"] is data for call in train_calls)
    assert all(np.shares_memory(call["X"], data) for call in train_calls)
    assert len(train_calls[0]["X"]) == N_SAMPLES


@pytest.mark.parametrize(
    ("given", "dtype", "expected"),
    [
        (np.float32, "float32", np.float32),
        (np.float32, "float64", np.float64),
        (np.float64, "float32", np.float64),
        (np.int32, "float32", np.float64),
    ],
)
def test_predictions_are_float32_only_where_all_is_float32(given, dtype, expected):
    assert model(dtype=dtype).fit(X, y).predict(X.astype(given)).dtype == expected


def test_other_number_of_time_steps_raises():
    regressor = model().fit(X, y)
    with pytest.raises(ValueError, match=r"4 time steps, but LSTMRegressor was fitted with 6"):
        regressor.predict(X[:, :4])
    with pytest.raises(ValueError, match="4 time steps"):
        regressor.partial_fit(X[:, :4], y)


def test_other_number_of_features_in_each_time_step_raises():
    """The number of columns alone, which scikit-learn compares, would let the network read elsewhere."""
    square = model().fit(X[:, :2], y)  # two steps of two features
    with pytest.raises(ValueError, match="X has 1 time steps, but LSTMRegressor was fitted with 2"):
        square.predict(X[:, :2, 0])
    univariate = model().fit(X[:, :2, 0], y)
    with pytest.raises(ValueError, match=r"2 features in each time step, .* fitted with 1"):
        univariate.predict(X[:, :2])
    with pytest.raises(ValueError, match=r"2 features in each time step, .* fitted with 1"):
        univariate.partial_fit(X[:, :2], y)


def test_flattened_windows_are_unfolded_as_in_fit():
    flat = X.reshape(N_SAMPLES, -1)
    regressor = model(n_timesteps=N_TIMESTEPS).fit(flat, y)
    expected = regressor.predict(flat)
    assert_array_equal(regressor.set_params(n_timesteps=2).predict(flat), expected)


def test_lists_of_tables_bring_the_names_of_their_features():
    tables = [pd.DataFrame(sample, columns=["a", "b"]) for sample in X]
    regressor = model().fit(tables, y)
    assert regressor.feature_names_in_.tolist() == ["a", "b"]
    expected = model().fit(X, y).predict(X)
    assert_array_equal(regressor.predict(tables).astype(np.float32), expected)
    of_many_lengths = [table[:length] for table, length in zip(tables, LENGTHS, strict=True)]
    assert model().fit(of_many_lengths, y).feature_names_in_.tolist() == ["a", "b"]


def test_arrays_that_could_have_a_mask_are_taken_if_nothing_is_masked():
    regressor = model().fit(np.ma.array(X), np.ma.array(y, mask=False))
    assert_same_weights(regressor, model().fit(X, y))


def test_dates_may_be_classes():
    days = np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[D]")
    fitted = classifier().fit(X, days[(y > 0).astype(int)])
    assert_array_equal(fitted.classes_, days)
    assert fitted.predict(X).dtype == days.dtype


def test_predictions_that_overflow_raise():
    regressor = model().fit(X, y)
    regressor.output_coef_[:] = 3e38
    regressor.output_intercept_[:] = 3e38
    with pytest.raises(ValueError, match=r"\d+ of 45 predictions are not finite"):
        regressor.predict(X)


def test_prediction_does_not_depend_on_the_batch_it_is_in():
    regressor = model(max_iter=20).fit(X, y)
    one_by_one = np.concatenate([regressor.predict(X[[n]]) for n in range(N_SAMPLES)])
    assert_array_equal(one_by_one, regressor.predict(X))


def test_three_dimensional_input_is_announced_in_the_tags():
    tags = model().__sklearn_tags__()
    assert tags.input_tags.three_d_array
    assert tags.input_tags.two_d_array
    assert tags.target_tags.multi_output
    assert tags.target_tags.single_output
    assert tags.target_tags.required
