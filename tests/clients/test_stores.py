"""skops and mlflow: files that name public modules and hold trusted types alone."""

import numpy as np
import pytest
from helpers.estimators import LABELS, X, classifier, model, y
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline

from pylstm import SequenceLayout, SequenceScaler, core, training
from pylstm.interop import trusted_types

MODELS = {
    "plain": model(),
    "scaled windows": model(window_scaling="relative", target_features=0, highway=2),
    "huber": model(loss="huber", solver="sgd"),
    "huber by target": model(loss=core.Huber(0.3), solver="adamw", early_stopping=True),
    "quantiles": model(loss="quantile", quantile=(0.1, 0.9), solver="rmsprop"),
    "quantile": model(loss=core.Quantile(0.3), dtype="float64"),
    "absolute error": model(loss="absolute_error", missing="mask", bidirectional=True),
    "gaussian": model(loss="gaussian", averaging=training.EMA()),
    "poisson": model(loss="poisson", averaging=training.SWA()),
    "steps": model(learning_rate=training.StepDecay(), callbacks=[training.TimeLimit(100.0)]),
    "cosine": model(learning_rate=training.CosineDecay()),
    "plateau": model(learning_rate=training.ReduceOnPlateau()),
    "pipeline": make_pipeline(SequenceScaler(), model()),
    "layout": make_pipeline(SequenceLayout(order="features"), model(n_timesteps=2)),
    "classifier": classifier(),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys())
def fitted(request):
    is_classifier = request.param is MODELS["classifier"]
    return request.param.fit(X, LABELS if is_classifier else np.abs(y))


def test_skops_keeps_models_of_trusted_types(fitted):
    io = pytest.importorskip("skops.io")
    stored = io.dumps(fitted)
    assert set(io.get_untrusted_types(data=stored)) <= set(trusted_types())
    loaded = io.loads(stored, trusted=trusted_types())
    assert_array_equal(loaded.predict(X), fitted.predict(X))
    if hasattr(fitted, "partial_fit"):
        targets = LABELS if hasattr(fitted, "classes_") else np.abs(y)
        again, expected = loaded.partial_fit(X, targets), fitted.partial_fit(X, targets)
        assert_array_equal(again.predict(X), expected.predict(X))


def test_skops_asks_for_trust_in_a_checkpoint(tmp_path):
    io = pytest.importorskip("skops.io")
    path = str(tmp_path / "model.joblib")
    fitted = model(callbacks=[training.Checkpoint(path)]).fit(X, y)
    stored = io.dumps(fitted)
    unknown = set(io.get_untrusted_types(data=stored)) - set(trusted_types())
    assert unknown == {"pylstm.training.Checkpoint"}


def test_mlflow_logs_and_loads_models(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    sklearn_flavor = pytest.importorskip("mlflow.sklearn")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'runs.db'}")
    experiment = mlflow.create_experiment("pylstm", artifact_location=(tmp_path / "files").as_uri())
    pipeline = make_pipeline(SequenceScaler(), model()).fit(X, y)
    with mlflow.start_run(experiment_id=experiment):
        logged = sklearn_flavor.log_model(
            pipeline,
            name="lstm",
            serialization_format="skops",
            skops_trusted_types=trusted_types(),
            pip_requirements=[],
        )
    loaded = sklearn_flavor.load_model(logged.model_uri)
    assert_array_equal(loaded.predict(X), pipeline.predict(X))
    served = mlflow.pyfunc.load_model(logged.model_uri)
    assert_array_equal(served.predict(X), pipeline.predict(X))
