"""Tools that take tables only: sequences flattened step by step, which `n_timesteps` divides again."""

import numpy as np
import pytest
from helpers.estimators import classifier, model
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.ensemble import BaggingRegressor
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.multioutput import RegressorChain
from sklearn.pipeline import make_pipeline

from pylstm import SequenceLayout, SequenceScaler

N_SAMPLES, N_TIMESTEPS, N_FEATURES = 240, 6, 2
rng = np.random.default_rng(0)
X = rng.normal(size=(N_SAMPLES, N_TIMESTEPS, N_FEATURES))
FLAT = X.reshape(N_SAMPLES, -1)
LAST = N_TIMESTEPS * N_FEATURES - 2  # the column of the first feature at the last step
y = 3 * X[:, -1, 0] + 0.1 * rng.normal(size=N_SAMPLES)

BETTER = {"hidden_size": 8, "max_iter": 30, "learning_rate_init": 0.02}
flat_model = model(n_timesteps=N_TIMESTEPS, **BETTER)


@pytest.fixture(scope="module")
def fitted():
    return model(n_timesteps=N_TIMESTEPS, **BETTER).fit(FLAT, y)


def test_flattened_sequences_are_the_same(fitted):
    assert_array_equal(fitted.predict(FLAT), model(**BETTER).fit(X, y).predict(X))


# scikit-learn's own


def test_permutation_importance(fitted):
    importances = permutation_importance(fitted, FLAT, y, n_repeats=3, random_state=0)
    assert importances.importances_mean.shape == (12,)
    assert importances.importances_mean.argmax() == LAST


def test_partial_dependence(fitted):
    dependence = partial_dependence(fitted, FLAT, [LAST], grid_resolution=5, kind="average")
    rises = np.diff(dependence["average"][0])
    assert (rises > 0.5).all()
    flat = partial_dependence(fitted, FLAT, [0], grid_resolution=5, kind="average")
    assert np.ptp(flat["average"]) < np.ptp(dependence["average"]) / 4


def test_bagging_and_chains(fitted):
    bagged = BaggingRegressor(flat_model, n_estimators=2, random_state=0).fit(FLAT, y)
    assert bagged.score(FLAT, y) > 0.8
    layout = SequenceLayout(N_TIMESTEPS, n_features=N_FEATURES, order="steps")
    chain = RegressorChain(make_pipeline(layout, model(**BETTER))).fit(FLAT, np.stack([y, -y], 1))
    assert chain.score(FLAT, np.stack([y, -y], 1)) > 0.8


# MAPIE


def check_intervals(intervals):
    """Of 80 % of the later samples, within what their number lets one expect."""
    low, high = intervals[:, 0, 0], intervals[:, 1, 0]
    covered = np.mean((low <= y[160:]) & (y[160:] <= high))
    assert 0.6 < covered <= 1
    assert np.median(high - low) < 3


def test_mapie_split_and_prefit(fitted):
    regression = pytest.importorskip("mapie.regression")
    split = regression.SplitConformalRegressor(flat_model, confidence_level=0.8, prefit=False)
    split.fit(FLAT[:80], y[:80]).conformalize(FLAT[80:160], y[80:160])
    check_intervals(split.predict_interval(FLAT[160:])[1])
    prefit = model(n_timesteps=N_TIMESTEPS, **BETTER).fit(FLAT[:80], y[:80])
    ready = regression.SplitConformalRegressor(prefit, confidence_level=0.8, prefit=True)
    ready.conformalize(FLAT[80:160], y[80:160])
    check_intervals(ready.predict_interval(FLAT[160:])[1])


def test_mapie_prefit_pipeline():
    """Its probe gives the last step of a pipeline a row of `n_features_in_` zeros: a flattened sequence."""
    regression = pytest.importorskip("mapie.regression")
    pipeline = make_pipeline(SequenceScaler(n_timesteps=N_TIMESTEPS), clone(flat_model))
    pipeline.fit(FLAT[:80], y[:80])
    ready = regression.SplitConformalRegressor(pipeline, confidence_level=0.8, prefit=True)
    ready.conformalize(FLAT[80:160], y[80:160])
    check_intervals(ready.predict_interval(FLAT[160:])[1])


@pytest.mark.parametrize("method", ["plus", "base"])
def test_mapie_cross_and_jackknife(method):
    regression = pytest.importorskip("mapie.regression")
    cross = regression.CrossConformalRegressor(
        flat_model, confidence_level=0.8, cv=3, method=method
    )
    cross.fit_conformalize(FLAT[:160], y[:160])
    check_intervals(cross.predict_interval(FLAT[160:])[1])


def test_mapie_of_sequences_of_three_dimensions():
    regression = pytest.importorskip("mapie.regression")
    cross = regression.CrossConformalRegressor(model(**BETTER), confidence_level=0.8, cv=3)
    cross.fit_conformalize(X[:160], y[:160])
    check_intervals(cross.predict_interval(X[160:])[1])


def test_mapie_conformalized_quantiles_of_three_fitted_networks():
    regression = pytest.importorskip("mapie.regression")
    networks = [
        model(n_timesteps=N_TIMESTEPS, loss="quantile", quantile=q, **BETTER).fit(FLAT[:80], y[:80])
        for q in (0.1, 0.9, 0.5)
    ]
    quantiles = regression.ConformalizedQuantileRegressor(
        networks, confidence_level=0.8, prefit=True
    )
    quantiles.conformalize(FLAT[80:160], y[80:160])
    check_intervals(quantiles.predict_interval(FLAT[160:])[1])


def test_mapie_sets_of_classes():
    classification = pytest.importorskip("mapie.classification")
    labels = np.digitize(y, [-1, 1])
    network = classifier(n_timesteps=N_TIMESTEPS, **BETTER).fit(FLAT[:80], labels[:80])
    ready = classification.SplitConformalClassifier(network, confidence_level=0.8, prefit=True)
    ready.conformalize(FLAT[80:160], labels[80:160])
    sets = ready.predict_set(FLAT[160:])[1][..., 0]
    assert sets.shape == (80, 3)
    assert np.mean(sets[np.arange(80), labels[160:]]) > 0.6


# SHAP


def test_shap(fitted):
    shap = pytest.importorskip("shap")
    explainer = shap.Explainer(fitted.predict, FLAT[:40], seed=0)
    explanation = explainer(FLAT[:4])
    assert explanation.values.shape == (4, 12)
    total = explanation.values.sum(axis=1) + explanation.base_values
    assert_allclose(total, fitted.predict(FLAT[:4]), atol=1e-5)
    assert np.abs(explanation.values).mean(axis=0).argmax() == LAST
    by_step = explanation.values.reshape(4, N_TIMESTEPS, N_FEATURES)
    assert_array_equal(by_step[:, -1, 0], explanation.values[:, LAST])
