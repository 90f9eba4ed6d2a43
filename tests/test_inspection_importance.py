"""Permutation importance: windows change places whole, and scores fall by what they carry."""

import numpy as np
import pandas as pd
import pytest
from helpers.estimators import LABELS, LENGTHS, X, Y, classifier, model, ragged, y
from joblib import parallel_config
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.inspection import permutation_importance as by_column
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from pylstm import SequenceScaler
from pylstm.inspection import permutation_importance

FLAT = X.reshape(45, -1)


class Sum(RegressorMixin, BaseEstimator):
    """Predicts the sum of some features' changes over the window."""

    def __init__(self, features=(0,)):
        self.features = features

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def predict(self, X):
        self.seen = X
        return np.ptp(X[..., list(self.features)], axis=1).sum(axis=-1)


def test_a_feature_that_says_nothing_has_no_importance():
    estimator = Sum().fit(X)
    result = permutation_importance(estimator, X, estimator.predict(X), random_state=0)
    assert result.importances.shape == (2, 5)
    assert_array_equal(result.importances[1], 0)
    assert (result.importances[0] > 1).all()
    assert_allclose(result.importances_mean, result.importances.mean(axis=1))
    assert_allclose(result.importances_std, result.importances.std(axis=1))


def test_windows_move_whole():
    estimator = Sum((0, 1)).fit(X)
    permutation_importance(estimator, X, y, n_repeats=1, random_state=0)
    moved = estimator.seen
    assert_array_equal(moved[..., 0], X[..., 0])
    places = [np.flatnonzero((X[..., 1] == window).all(axis=1)) for window in moved[..., 1]]
    assert sorted(np.concatenate(places)) == list(range(45))
    assert np.concatenate(places).tolist() != list(range(45))


def test_of_one_time_step_it_is_that_of_scikit_learn():
    tall = X[:200, 0]
    target = tall @ [1, 2] + tall[:, 0] ** 2
    linear = LinearRegression().fit(tall, target)
    squeezing = make_pipeline(FunctionTransformer(lambda X: X[:, 0]), linear)
    ours = permutation_importance(
        squeezing, tall[:, np.newaxis], target, n_repeats=100, random_state=0
    )
    theirs = by_column(linear, tall, target, n_repeats=100, random_state=1)
    assert_allclose(ours.importances_mean, theirs.importances_mean, rtol=0.1)


def test_pipelines_flat_windows_and_tables():
    fitted = make_pipeline(SequenceScaler(), model()).fit(X, Y)
    options = {"random_state": 0, "n_repeats": 2}
    expected = permutation_importance(fitted, X, Y, **options).importances
    assert expected.shape == (2, 2)
    flat = model(n_timesteps=6).fit(FLAT, y)
    columns = [f"lag {k}" for k in range(12)]
    for data in (FLAT, FLAT.tolist()):
        importances = permutation_importance(flat, data, y, **options).importances
        assert_array_equal(
            importances, permutation_importance(flat, FLAT, y, **options).importances
        )
    table = pd.DataFrame(FLAT, columns=columns)
    named = model(n_timesteps=6).fit(table, y)
    assert_array_equal(permutation_importance(named, table, y, **options).importances, importances)
    in_lists = permutation_importance(fitted, list(X), Y, **options).importances
    assert_array_equal(in_lists, expected)
    assert_array_equal(table, FLAT)  # nothing given is changed


def test_scores_weights_and_jobs():
    fitted = classifier().fit(X, LABELS)
    options = {"random_state": 0, "n_repeats": 3}
    one = permutation_importance(fitted, X, LABELS, scoring="neg_log_loss", **options)
    with parallel_config("threading"):
        both = permutation_importance(
            fitted, X, LABELS, scoring=["accuracy", "neg_log_loss"], n_jobs=2, **options
        )
    assert both.keys() == {"accuracy", "neg_log_loss"}
    assert_array_equal(both["neg_log_loss"].importances, one.importances)
    assert_array_equal(
        both["accuracy"].importances,
        permutation_importance(fitted, X, LABELS, **options).importances,
    )
    estimator = Sum().fit(X)
    weight = np.r_[np.ones(20), np.zeros(25)]
    weighted = permutation_importance(
        estimator, X, y, sample_weight=weight, n_repeats=1, random_state=0
    )
    moved = X.copy()
    order = np.random.RandomState(np.random.RandomState(0).randint(2**31 - 1)).permutation(45)
    moved[..., 0] = X[order, :, 0]
    lost = r2_score(y, estimator.predict(X), sample_weight=weight) - r2_score(
        y, estimator.predict(moved), sample_weight=weight
    )
    assert_allclose(weighted.importances[0, 0], lost)


def test_what_does_not_fit_is_refused():
    fitted = model().fit(X, y, lengths=LENGTHS)
    with pytest.raises(ValueError, match="different lengths"):
        permutation_importance(fitted, ragged(X), y)
    with pytest.raises(ValueError, match="n_repeats must be an integer of at least 1, got 0"):
        permutation_importance(fitted, X, y, n_repeats=0)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        permutation_importance(fitted, X, y[:-1])
    with pytest.raises(ValueError, match=r"got shape \(45,\)"):
        permutation_importance(fitted, X[:, 0, 0], y)
    with pytest.raises(TypeError, match="No fitted LSTMRegressor"):
        permutation_importance(LinearRegression().fit(FLAT, y), FLAT, y)
