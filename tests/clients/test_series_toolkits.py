"""sktime and aeon through SequenceLayout: both hold the time steps of a feature together."""

import numpy as np
import pandas as pd
import pytest
from helpers.estimators import classifier, model
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline

from pylstm import SequenceLayout, sliding_windows

N_STEPS, WINDOW = 100, 8
MONTHS = pd.period_range("2015-01", periods=N_STEPS, freq="M")
rng = np.random.default_rng(0)
SALES = pd.Series(10 + rng.normal(size=N_STEPS).cumsum(), MONTHS, name="sales")
PRICES = pd.DataFrame(
    {"price": rng.normal(size=N_STEPS), "visits": rng.normal(size=N_STEPS)}, MONTHS
)

# Two classes of sequences, features before steps: (n_samples, n_features, n_timesteps)
COLLECTION = rng.normal(size=(30, 3, 12))
CLASSES = np.where(COLLECTION[:, 1, -1] > 0, "up", "down")
SEQUENCES = COLLECTION.swapaxes(1, 2)


def windows(*columns):
    X, y = sliding_windows(np.column_stack([SALES, *columns]), window=WINDOW)
    return X, y.reshape(len(X), -1)[:, 0]


def assert_learned_from(pipeline, X, y):
    assert_array_equal(pipeline[-1]._parameters, model().fit(X, y)._parameters)


# sktime: forecasting by reduction


def reduced(scitype, strategy="recursive", **layout):
    compose = pytest.importorskip("sktime.forecasting.compose")
    pipeline = make_pipeline(SequenceLayout(order="features", **layout), model())
    return compose.make_reduction(
        pipeline, strategy=strategy, window_length=WINDOW, scitype=scitype
    )


@pytest.mark.filterwarnings("ignore:The default of config")
@pytest.mark.parametrize("scitype", ["tabular-regressor", "time-series-regressor"])
@pytest.mark.parametrize("known", [None, PRICES], ids=["alone", "with prices"])
def test_sktime_reduction(scitype, known):
    layout = {"n_timesteps": WINDOW} if scitype == "tabular-regressor" else {}
    forecaster = reduced(scitype, **layout)
    forecaster.fit(SALES, X=known, fh=[1])
    columns = [] if known is None else known.to_numpy().T
    assert_learned_from(forecaster.estimator_, *windows(*columns))
    predicted = forecaster.predict(X=None if known is None else known[-1:])
    latest = np.column_stack([SALES, *columns])[np.newaxis, -WINDOW:]
    assert_allclose(predicted, forecaster.estimator_[-1].predict(latest))


@pytest.mark.filterwarnings("ignore:The default of config")
def test_sktime_direct_reduction():
    forecaster = reduced("tabular-regressor", strategy="direct", n_timesteps=WINDOW)
    forecaster.fit(SALES, fh=[1, 3])
    X, y = windows()
    assert_learned_from(forecaster.estimators_[1], X[:-2], y[2:])
    assert len(forecaster.predict()) == 2


# sktime: classification


def test_sktime_collections():
    conversion = pytest.importorskip("sktime.datatypes")
    expected = classifier().fit(SEQUENCES, CLASSES).predict_proba(SEQUENCES)
    pipeline = make_pipeline(SequenceLayout(order="features"), classifier())
    assert_array_equal(pipeline.fit(COLLECTION, CLASSES).predict_proba(COLLECTION), expected)
    nested = conversion.convert_to(COLLECTION, "nested_univ")
    assert_array_equal(classifier().fit(nested, CLASSES).predict_proba(nested), expected)
    rows = conversion.convert_to(COLLECTION, "pd-multiindex")
    with pytest.raises(ValueError, match="360 time steps, of 30 sequences"):
        classifier().fit(rows, CLASSES)
    tables = [table for _, table in rows.groupby(level=0)]
    assert_array_equal(classifier().fit(tables, CLASSES).predict_proba(tables), expected)


def test_sktime_pipeline_around_a_scikit_learn_classifier():
    compose = pytest.importorskip("sktime.classification.compose")
    exponent = pytest.importorskip("sktime.transformations.series.exponent")
    pipeline = make_pipeline(SequenceLayout(12, order="features"), classifier())
    around = compose.SklearnClassifierPipeline(
        pipeline, [exponent.ExponentTransformer(2, offset=0)]
    )
    around.fit(COLLECTION, CLASSES)
    expected = classifier().fit(SEQUENCES**2, CLASSES).predict(SEQUENCES**2)
    assert_array_equal(around.predict(COLLECTION), expected)


# aeon


def test_aeon_transformers_in_a_pipeline_of_scikit_learn():
    collection = pytest.importorskip("aeon.transformations.collection")
    pipeline = make_pipeline(
        collection.Normalizer(), SequenceLayout(order="features"), classifier()
    )
    scaled = collection.Normalizer().fit_transform(COLLECTION).swapaxes(1, 2)
    expected = classifier().fit(scaled, CLASSES).predict_proba(scaled)
    assert_allclose(pipeline.fit(COLLECTION, CLASSES).predict_proba(COLLECTION), expected)


def test_aeon_pipeline_takes_no_layout_and_gives_one_step():
    """Its own pipeline asks for aeon's tags and gives (n_samples, 1, n_timesteps): take scikit-learn's."""
    pipelines = pytest.importorskip("aeon.pipeline")
    collection = pytest.importorskip("aeon.transformations.collection")
    around = pipelines.make_pipeline(collection.Normalizer(), classifier())
    with pytest.warns(UserWarning, match=r"X has one time step of 12 features.*SequenceLayout"):
        around.fit(COLLECTION[:, :1], CLASSES)
    with pytest.raises(ValueError, match="multivariate"):  # before it asks us
        around.fit(COLLECTION, CLASSES)
