"""The estimators among scikit-learn's tools: checks, pipelines, searches, copies, DataFrames."""

import warnings
from functools import partial

import numpy as np
import pytest
from helpers import estimators
from helpers.estimators import standardised
from numpy.testing import assert_array_equal
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import (
    GridSearchCV,
    RandomizedSearchCV,
    TimeSeriesSplit,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from pylstm import LSTMClassifier, LSTMRegressor, SequenceScaler

N_SAMPLES, N_TIMESTEPS, N_FEATURES = 80, 5, 2
rng = np.random.default_rng(0)
X = (10 + 3 * rng.normal(size=(N_SAMPLES, N_TIMESTEPS, N_FEATURES))).astype(np.float32)
X_flat = X.reshape(N_SAMPLES, -1)
y = 1000 + 100 * (X[:, -1, 0] - X[:, -2, 1]).astype(np.float64)

model = partial(estimators.model, hidden_size=6, learning_rate_init=0.02, max_iter=40)


@pytest.mark.filterwarnings("ignore:Training stopped improving")
@parametrize_with_checks([LSTMRegressor(), LSTMClassifier()])
def test_estimator_checks_pass_without_exception(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # without it one check would be skipped
    check(estimator)


# Composition


def test_pipeline_of_standard_scaler_and_flattened_windows():
    pipeline = standardised(make_pipeline(StandardScaler(), model(n_timesteps=N_TIMESTEPS)))
    pipeline.fit(X_flat[:60], y[:60])
    assert pipeline.regressor_[-1].n_timesteps_ == N_TIMESTEPS
    assert pipeline.regressor_[-1].input_coefs_[0].shape == (N_FEATURES, 24)
    assert pipeline.score(X_flat[60:], y[60:]) > 0.8


def test_pipeline_of_sequence_scaler_and_windows():
    pipeline = standardised(make_pipeline(SequenceScaler(), model())).fit(X[:60], y[:60])
    assert pipeline.score(X[60:], y[60:]) > 0.8


def test_transformed_target_regressor_handles_several_outputs():
    targets = np.column_stack([y, -10 * y])
    regressor = standardised(make_pipeline(SequenceScaler(), model())).fit(X, targets)
    assert regressor.predict(X).shape == (N_SAMPLES, 2)
    assert regressor.score(X, targets) > 0.8


# Of the small learning rate; a worker of a process pool imports scikit-learn, and warns, by itself.
@pytest.mark.filterwarnings("ignore:Training stopped improving")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search_over_a_pipeline(n_jobs):
    search = GridSearchCV(
        standardised(make_pipeline(SequenceScaler(), model())),
        {
            "regressor__lstmregressor__hidden_size": [1, 6],
            "regressor__lstmregressor__learning_rate_init": [1e-5, 0.02],
        },
        cv=TimeSeriesSplit(2),
        n_jobs=n_jobs,
        error_score="raise",
    ).fit(X, y)
    assert search.best_params_["regressor__lstmregressor__learning_rate_init"] == 0.02
    assert search.score(X, y) > 0.8


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_randomized_search(n_jobs):
    search = RandomizedSearchCV(
        standardised(make_pipeline(SequenceScaler(), model(max_iter=5))),
        {
            "regressor__lstmregressor__hidden_size": [2, 3],
            "regressor__lstmregressor__solver": ["adam", "sgd"],
            "regressor__lstmregressor__alpha": loguniform(1e-4, 1),
        },
        n_iter=3,
        cv=2,
        random_state=0,
        n_jobs=n_jobs,
        error_score="raise",
    ).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert np.isfinite(search.predict(X)).all()


def test_search_gives_the_same_scores_for_any_number_of_processes():
    scores = [
        GridSearchCV(model(max_iter=3), {"hidden_size": [2, 4]}, cv=2, n_jobs=n_jobs)
        .fit(X, y)
        .cv_results_["mean_test_score"]
        for n_jobs in (1, 2)
    ]
    assert_array_equal(scores[0], scores[1])


def test_cross_validation_along_time():
    regressor = standardised(make_pipeline(SequenceScaler(), model()))
    scores = cross_val_score(regressor, X, y, cv=TimeSeriesSplit(3), error_score="raise")
    assert scores.shape == (3,)
    assert scores[-1] > 0.8
    assert cross_val_predict(regressor, X, y, cv=2).shape == y.shape


# Parameters and copies


def test_set_params_reaches_the_next_fit():
    regressor = model().set_params(hidden_size=3, n_timesteps=N_TIMESTEPS)
    assert regressor.get_params()["hidden_size"] == 3
    assert regressor.fit(X_flat, y).output_coef_.shape == (3, 1)
    pipeline = Pipeline([("lstm", regressor)]).set_params(lstm__hidden_size=4)
    assert pipeline.fit(X_flat, y)["lstm"].output_coef_.shape == (4, 1)


def test_clone_copies_the_parameters_and_nothing_learned():
    regressor = model(hidden_size=3).fit(X, y)
    cloned = clone(regressor)
    assert cloned.get_params() == regressor.get_params()
    assert not hasattr(cloned, "n_iter_")
    assert_array_equal(cloned.fit(X, y).predict(X), regressor.predict(X))


# DataFrames


def frame(columns=N_TIMESTEPS * N_FEATURES):
    pd = pytest.importorskip("pandas")
    return pd.DataFrame(X_flat[:, :columns], columns=[f"step{n}" for n in range(columns)])


def test_dataframe_is_taken_with_its_names():
    data, targets = frame(), frame()["step0"]
    regressor = model(n_timesteps=N_TIMESTEPS, max_iter=3).fit(data, targets)
    assert regressor.feature_names_in_.tolist() == data.columns.tolist()
    assert regressor.n_features_in_ == N_TIMESTEPS * N_FEATURES
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        predicted = regressor.predict(data)
        regressor.partial_fit(data, targets)
    expected = model(n_timesteps=N_TIMESTEPS, max_iter=3).fit(X_flat, X_flat[:, 0]).predict(X_flat)
    assert_array_equal(predicted.astype(np.float32), expected)


def test_other_names_raise_and_no_names_warn():
    regressor = model(max_iter=2).fit(frame(), y)
    renamed = frame().rename(columns={"step0": "other"})
    with pytest.raises(ValueError, match="feature names should match"):
        regressor.predict(renamed)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        regressor.predict(X_flat)
    early = model(early_stopping=True, max_iter=2)
    with pytest.raises(ValueError, match="feature names should match"):
        early.fit(frame(), y, X_val=renamed, y_val=y)


def test_names_are_forgotten_in_a_fit_without():
    regressor = model(max_iter=2).fit(frame(), y).fit(X_flat, y)
    assert not hasattr(regressor, "feature_names_in_")


def test_failing_fit_leaves_the_names():
    regressor = model(max_iter=2).fit(frame(), y)
    with pytest.raises(ValueError, match="NaN"):
        regressor.fit(frame(4), np.full(N_SAMPLES, np.nan))
    assert len(regressor.feature_names_in_) == regressor.n_features_in_ == 10


def test_dataframe_of_targets_gives_several_outputs():
    regressor = model(max_iter=2).fit(X, frame(3))
    assert regressor.predict(X).shape == (N_SAMPLES, 3)
