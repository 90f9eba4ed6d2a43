"""Missing values: taken where asked for, and what the network reads of them."""

import warnings

import numpy as np
import pytest
from helpers.estimators import (
    LENGTHS,
    N_SAMPLES,
    N_TIMESTEPS,
    WITH_GAPS,
    X,
    assert_same_fit,
    classifier,
    model,
    plain,
    y,
)
from numpy.testing import assert_array_equal

from pylstm import SequenceScaler


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
def test_nan_is_accepted_only_as_missing_and_infinity_never(lengths):
    with pytest.raises(ValueError, match="NaN"):
        model().fit(WITH_GAPS, y, lengths=lengths)
    fitted = model(missing="mask").fit(WITH_GAPS, y, lengths=lengths)
    assert np.isfinite(fitted.predict(WITH_GAPS, lengths=lengths)).all()
    complete = model().fit(X, y, lengths=lengths)
    for call in (complete.predict, complete.transform, complete.gate_activations):
        with pytest.raises(ValueError, match="NaN"):
            call(WITH_GAPS, lengths=lengths)
    for value in (np.inf, -np.inf):
        broken = WITH_GAPS.copy()
        broken[0, 0, 0] = value
        with pytest.raises(ValueError, match="infinity"):
            fitted.predict(broken, lengths=lengths)
        with pytest.raises(ValueError, match="infinity"):
            model(missing="mask").fit(broken, y, lengths=lengths)


def test_missing_values_in_two_dimensional_windows_are_taken():
    flat = model(missing="mask", n_timesteps=N_TIMESTEPS)
    flat.fit(WITH_GAPS.reshape(N_SAMPLES, -1), y)
    assert_same_fit(flat, model(missing="mask").fit(WITH_GAPS, y))


def test_missing_targets_raise():
    with pytest.raises(ValueError, match="Input y contains NaN"):
        model(missing="mask").fit(X, np.where(y > 0, y, np.nan))


def test_mask_reads_the_last_observed_value_and_what_is_missing():
    masked = plain(missing="mask", dtype="float64").fit(WITH_GAPS, y)
    missing = np.isnan(WITH_GAPS)
    filled = np.zeros(X.shape)
    last = np.zeros(X[:, 0].shape)
    for t in range(N_TIMESTEPS):
        last = np.where(missing[:, t], last, WITH_GAPS[:, t])
        filled[:, t] = last
    inputs = np.concatenate([filled, missing], axis=2)
    complete = plain(dtype="float64").fit(inputs, y)
    assert_array_equal(masked._parameters, complete._parameters)
    assert_array_equal(masked.predict(WITH_GAPS.astype(float)), complete.predict(inputs))


def test_mask_learns_from_what_is_missing():
    rng = np.random.default_rng(1)
    data = rng.normal(size=(300, 4, 1))
    missing = rng.random(data.shape) < 0.5
    targets = missing[:, -2, 0].astype(float)
    gaps = np.where(missing, np.nan, data)
    training = {"learning_rate_init": 0.03, "max_iter": 25}
    masked = model(missing="mask", **training).fit(gaps[:200], targets[:200])
    assert masked.score(gaps[200:], targets[200:]) > 0.9
    zeros = np.where(missing, rng.normal(size=data.shape), data)
    blind = model(**training).fit(zeros[:200], targets[:200])
    assert blind.score(zeros[200:], targets[200:]) < 0.3


def test_missing_values_are_announced_in_the_tags():
    for make in (model, classifier):
        assert make(missing="mask").__sklearn_tags__().input_tags.allow_nan
        assert not make().__sklearn_tags__().input_tags.allow_nan


@pytest.mark.parametrize(
    "parameters",
    [{}, {"highway": 2}, {"window_scaling": "mean", "target_features": 0}, {"standardize": False}],
    ids=str,
)
def test_missing_values_from_r_print_no_warning(parameters):
    from_r = WITH_GAPS.astype(np.float64)
    # R's NA, a signalling NaN: many a NumPy calls what is computed with it invalid
    from_r.view(np.uint64)[np.isnan(from_r)] = 0x7FF00000000007A2
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fitted = model(missing="mask", **parameters).fit(from_r, y)
        predicted = fitted.predict(from_r)
        scaled = SequenceScaler().fit(from_r).transform(from_r)
    assert_array_equal(predicted, fitted.predict(WITH_GAPS.astype(np.float64)))
    assert_array_equal(np.isnan(scaled), np.isnan(WITH_GAPS))
