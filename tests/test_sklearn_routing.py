"""Lengths, weights and validation samples through pipelines and searches."""

import warnings

import numpy as np
import pytest
from helpers.estimators import (
    LABELS,
    LENGTHS,
    N_SAMPLES,
    Y_STEPS,
    X,
    assert_same_fit,
    classifier,
    model,
    ragged,
    with_padding,
    y,
)
from numpy.testing import assert_array_equal
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from pylstm import SequenceScaler

# Lengths


def requesting(estimator):
    return estimator.set_fit_request(lengths=True).set_score_request(lengths=True)


def assert_split_lengths(train_calls, predict_calls, cv):
    """Each fit and each score of a cross-validation got what belongs to its samples."""
    for (train, test), fitted, scored in zip(cv.split(X), train_calls, predict_calls, strict=False):
        assert_array_equal(fitted["lengths"], LENGTHS[train])
        assert_array_equal(fitted["X"], X[train])
        assert_array_equal(scored["lengths"], LENGTHS[test])
        assert_array_equal(scored["X"], X[test])


@pytest.mark.usefixtures("metadata_routing")
def test_cross_validation_routes_each_split_its_own_lengths(train_calls, predict_calls):
    cv = KFold(3)
    scores = cross_validate(
        requesting(model(max_iter=1)),
        X,
        y,
        cv=cv,
        params={"lengths": LENGTHS},
        error_score="raise",
    )["test_score"]
    assert len(train_calls) == len(predict_calls) == 3
    assert_split_lengths(train_calls, predict_calls, cv)
    train, test = next(cv.split(X))
    fitted = model(max_iter=1).fit(X[train], y[train], lengths=LENGTHS[train])
    assert scores[0] == fitted.score(X[test], y[test], lengths=LENGTHS[test])


@pytest.mark.usefixtures("metadata_routing")
def test_grid_search_routes_lengths_to_fits_scores_and_the_last_fit(train_calls, predict_calls):
    search = GridSearchCV(
        requesting(model(max_iter=1)), {"solver": ["adam"]}, cv=KFold(3), error_score="raise"
    )
    search.fit(X, y, lengths=LENGTHS)
    assert len(train_calls) == 4
    assert len(predict_calls) == 3
    assert_split_lengths(train_calls, predict_calls, KFold(3))
    assert_array_equal(train_calls[3]["lengths"], LENGTHS)
    expected = model(max_iter=1).fit(X, y, lengths=LENGTHS)
    assert_same_fit(search.best_estimator_, expected)
    assert search.score(X, y, lengths=LENGTHS) == expected.score(X, y, lengths=LENGTHS)


@pytest.mark.usefixtures("metadata_routing")
def test_pipeline_routes_lengths_to_scaler_and_network():
    scaler = SequenceScaler().set_fit_request(lengths=True).set_transform_request(lengths=True)
    regressor = requesting(model()).set_predict_request(lengths=True)
    pipeline = make_pipeline(scaler, regressor)
    padded = with_padding(X, 1e6)
    pipeline.fit(padded, y, lengths=LENGTHS)
    scaled = SequenceScaler().fit_transform(padded, lengths=LENGTHS)
    expected = model().fit(scaled, y, lengths=LENGTHS)
    assert_same_fit(pipeline[-1], expected)
    assert_array_equal(
        pipeline.predict(padded, lengths=LENGTHS), expected.predict(scaled, lengths=LENGTHS)
    )
    assert pipeline.score(padded, y, lengths=LENGTHS) == expected.score(scaled, y, lengths=LENGTHS)
    search = GridSearchCV(
        pipeline, {"lstmregressor__hidden_size": [2, 3]}, cv=2, error_score="raise"
    )
    search.fit(padded, y, lengths=LENGTHS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.usefixtures("metadata_routing")
def test_pipeline_routes_lengths_past_a_step_without_and_through_the_network_as_a_step():
    regressor = model().set_fit_request(lengths=True).set_transform_request(lengths=True)
    pipeline = make_pipeline(FunctionTransformer(), regressor, Ridge())
    padded = with_padding(X, np.nan)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*does not forward metadata.*")
        pipeline.fit(padded, y, lengths=LENGTHS)
    features = model().fit(X, y, lengths=LENGTHS).transform(padded, lengths=LENGTHS)
    expected = Ridge().fit(features, y).predict(features)
    assert_array_equal(pipeline.predict(padded, lengths=LENGTHS), expected)


@pytest.mark.usefixtures("metadata_routing")
def test_lengths_reach_partial_fit_and_the_classifier():
    for estimator in (model(), classifier()):
        for method in ("fit", "partial_fit", "predict", "score", "transform"):
            requests = getattr(estimator.get_metadata_routing(), method).requests
            assert requests["lengths"] is None
    scores = cross_val_score(
        requesting(classifier()),
        X,
        LABELS,
        cv=2,
        params={"lengths": LENGTHS},
        error_score="raise",
    )
    assert np.isfinite(scores).all()


def test_lists_of_sequences_need_no_routing_in_searches():
    scores = cross_val_score(model(), ragged(X), y, cv=KFold(3), error_score="raise")
    for (train, test), score in zip(KFold(3).split(X), scores, strict=True):
        fitted = model().fit(X[train], y[train], lengths=LENGTHS[train])
        assert score == fitted.score(X[test], y[test], lengths=LENGTHS[test])
    search = GridSearchCV(model(), {"hidden_size": [2, 3]}, cv=2, error_score="raise")
    search.fit(ragged(X), y)
    assert search.predict(ragged(X)).shape == y.shape
    steps = cross_val_score(
        model(return_sequences=True), ragged(X), ragged(Y_STEPS), cv=2, error_score="raise"
    )
    assert np.isfinite(steps).all()


def test_pipeline_scales_lists_of_sequences():
    samples = ragged(X.astype(np.float64))
    pipeline = make_pipeline(SequenceScaler(), model()).fit(samples, y)
    padded = with_padding(X, np.nan)
    scaled = SequenceScaler().fit_transform(padded, lengths=LENGTHS)
    assert_array_equal(
        pipeline.predict(samples),
        model().fit(scaled, y, lengths=LENGTHS).predict(scaled, lengths=LENGTHS),
    )


# Weights and validation samples


@pytest.mark.usefixtures("metadata_routing")
def test_sample_weight_is_routed_to_fit_and_score():
    weight = np.linspace(0, 1, N_SAMPLES)
    regressor = model(max_iter=3).set_fit_request(sample_weight=True)
    regressor.set_score_request(sample_weight=True)
    pipeline = make_pipeline(SequenceScaler().set_fit_request(sample_weight=False), regressor)
    pipeline.fit(X, y, sample_weight=weight)
    scaled = SequenceScaler().fit_transform(X)
    expected = model(max_iter=3).fit(scaled, y, sample_weight=weight)
    assert_array_equal(pipeline.predict(X), expected.predict(scaled))
    assert pipeline.score(X, y, sample_weight=weight) == pytest.approx(
        expected.score(scaled, y, sample_weight=weight)
    )
    search = GridSearchCV(regressor, {"hidden_size": [2, 3]}, cv=2, error_score="raise")
    search.fit(X, y, sample_weight=weight)
    best = model(max_iter=3, hidden_size=search.best_params_["hidden_size"])
    assert_array_equal(search.predict(X), best.fit(X, y, sample_weight=weight).predict(X))


@pytest.mark.usefixtures("metadata_routing")
def test_sample_weight_is_routed_to_partial_fit():
    regressor = model().set_partial_fit_request(sample_weight=True)
    requests = regressor.get_metadata_routing().partial_fit.requests
    assert requests == {"sample_weight": True, "lengths": None}


@pytest.mark.usefixtures("metadata_routing")
def test_pipeline_transforms_the_validation_samples(predict_calls):
    regressor = model(max_iter=2, early_stopping=True).set_fit_request(X_val=True, y_val=True)
    pipeline = make_pipeline(SequenceScaler(), regressor, transform_input=["X_val"])
    pipeline.fit(X[:30], y[:30], X_val=X[30:], y_val=y[30:])
    assert_array_equal(predict_calls[0]["X"], pipeline[0].transform(X[30:]))
