"""Pickles and other files: what they hold, and that it goes on exactly."""

import copy
import io
import pickle

import joblib
import numpy as np
import pytest
from helpers.estimators import (
    LABELS,
    X,
    assert_same_fit,
    assert_same_weights,
    classifier,
    model,
    standardised,
    y,
)
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

import pylstm
import pylstm._persistence as persistence
from pylstm import LSTMRegressor, SequenceScaler, core
from pylstm.interop import trusted_types
from pylstm.training import EMA, SWA


def pickled(regressor, path):
    return pickle.loads(pickle.dumps(regressor))


def cloudpickled(regressor, path):
    cloudpickle = pytest.importorskip("cloudpickle")
    return pickle.loads(cloudpickle.dumps(regressor))


def dumped(regressor, path):
    joblib.dump(regressor, path / "regressor.joblib")
    return joblib.load(path / "regressor.joblib")


def memory_mapped(regressor, path):
    joblib.dump(regressor, path / "regressor.joblib")
    return joblib.load(path / "regressor.joblib", mmap_mode="r")


@pytest.mark.parametrize("copied", [pickled, cloudpickled, dumped, memory_mapped])
def test_stored_estimator_predicts_and_goes_on_learning_the_same(copied, tmp_path):
    regressor = model(max_iter=3).fit(X, y)
    restored = copied(regressor, tmp_path)
    assert_array_equal(restored.predict(X), regressor.predict(X))
    assert_array_equal(restored.input_coefs_[0], regressor.input_coefs_[0])
    regressor.partial_fit(X, y)
    assert_array_equal(restored.partial_fit(X, y).predict(X), regressor.predict(X))


def test_stored_pipeline_predicts_the_same(tmp_path):
    pipeline = standardised(make_pipeline(SequenceScaler(), model(max_iter=3))).fit(X, y)
    assert_array_equal(dumped(pipeline, tmp_path).predict(X), pipeline.predict(X))


def test_unfitted_estimator_can_be_stored(tmp_path):
    restored = dumped(model(hidden_size=3), tmp_path)
    assert restored.get_params() == model(hidden_size=3).get_params()
    assert not hasattr(restored, "n_iter_")


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_continues_exactly_after_a_pickle(solver):
    regressor = model(solver=solver).fit(X, y)
    restored = pickle.loads(pickle.dumps(regressor))
    assert_array_equal(restored.predict(X), regressor.predict(X))
    assert_same_weights(restored.partial_fit(X, y), regressor.partial_fit(X, y))


def with_format(number):
    state = model().fit(X, y).__getstate__()
    if number is None:
        del state["_pylstm_format"]
    else:
        state["_pylstm_format"] = number
    return state


def test_pickle_carries_the_format_version():
    assert model().__getstate__()["_pylstm_format"] == persistence.FORMAT == 2


def test_pickle_of_a_newer_format_is_refused():
    with pytest.raises(ValueError, match=r"format 3; the installed one reads formats up to 2"):
        LSTMRegressor().__setstate__(with_format(3))


@pytest.mark.parametrize("stamp", [None, "1.0", 0])
def test_foreign_pickle_is_refused(stamp):
    with pytest.raises(ValueError, match="no pickle of a pylstm LSTMRegressor"):
        LSTMRegressor().__setstate__(with_format(stamp))


def test_pickle_of_an_older_format_is_migrated(monkeypatch):
    old = with_format(1)
    old["hidden"] = old.pop("hidden_size")
    monkeypatch.setattr(persistence, "FORMAT", 3)
    monkeypatch.setitem(persistence.MIGRATIONS, 1, lambda state: {**state, "step": 2})
    monkeypatch.setitem(
        persistence.MIGRATIONS, 2, lambda state: {**state, "hidden_size": state["hidden"]}
    )
    restored = LSTMRegressor()
    restored.__setstate__(old)
    assert (restored.hidden_size, restored.step) == (4, 2)
    assert np.isfinite(restored.predict(X)).all()


# Without what only training needs


@pytest.mark.parametrize(
    ("parameters", "times"),
    [
        ({}, 3),  # weights and Adam's two moments
        ({"solver": "sgd"}, 2),
        ({"averaging": EMA(0.9)}, 4),  # the average is what predicts
        ({"averaging": SWA(0.0)}, 6),  # its sum in double precision
    ],
    ids=str,
)
def test_pickle_holds_no_weights_twice(parameters, times):
    regressor = model(hidden_size=100, **parameters).fit(X, y)
    size = len(pickle.dumps(regressor)) / regressor._parameters.nbytes
    assert times <= size < times + 0.2


@pytest.mark.parametrize("averaging", [None, EMA(0.9), SWA(0.0)], ids=str)
def test_without_optimizer_there_is_nothing_but_the_weights(averaging):
    regressor = model(hidden_size=100, averaging=averaging).fit(X, y)
    twin = copy.deepcopy(regressor)
    small = regressor.without_optimizer()
    assert 1 <= len(pickle.dumps(small)) / regressor._parameters.nbytes < 1.2
    for name in ("predict", "transform"):
        assert_array_equal(getattr(small, name)(X), getattr(regressor, name)(X))
    assert small.get_params() == regressor.get_params()
    assert small.loss_curve_ == regressor.loss_curve_
    small.output_coef_[:] = 0
    assert_same_fit(regressor, twin)
    assert_same_fit(regressor.partial_fit(X, y), twin.partial_fit(X, y))


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
@pytest.mark.parametrize("averaging", [None, EMA(0.9)], ids=str)
def test_training_without_an_optimizer_starts_a_new_one(averaging, call):
    regressor = model(averaging=averaging, warm_start=True, max_iter=1).fit(X, y)
    small = pickle.loads(pickle.dumps(regressor.without_optimizer()))
    getattr(small, call)(X, y)
    assert small._optimizer.n_steps == 3
    assert small.n_iter_ == len(small.loss_curve_) == 2
    assert (small._parameters != regressor._parameters).any()


def test_classifier_without_optimizer_keeps_its_classes():
    fitted = classifier().fit(X, LABELS)
    small = pickle.loads(pickle.dumps(fitted.without_optimizer()))
    assert_array_equal(small.predict(X), fitted.predict(X))


def test_unfitted_estimator_has_no_copy_without_optimizer():
    with pytest.raises(NotFittedError):
        model().without_optimizer()


def test_files_name_public_modules():
    """What a module that starts with an underscore defines may move to another without a file's notice."""
    public = [getattr(pylstm, name) for name in pylstm.__all__]
    estimators = [cls for cls in public if hasattr(cls, "get_params")]
    assert {cls.__module__ for cls in estimators} == {"pylstm"}
    kinds = (core.Loss, core.Optimizer)
    of_core = [getattr(core, name) for name in core.__all__]
    settings = [cls for cls in of_core if isinstance(cls, type) and issubclass(cls, kinds)]
    assert {cls.__module__ for cls in settings} == {"pylstm.core"}
    stored = pickle.dumps(model(loss=core.Huber(0.5)).fit(X, y))
    for name in (b"pylstm.core", b"Huber", b"Adam"):
        assert name in stored
    for name in (b"_regressor", b"_losses", b"_optimizers"):
        assert b"pylstm." + name not in stored


@pytest.mark.parametrize("estimator", [model(), classifier()], ids=["regressor", "classifier"])
def test_trusted_types_are_all_that_a_fitted_model_consists_of(estimator):
    stored = pickle.dumps(estimator.fit(X, LABELS if hasattr(estimator, "class_weight") else y))
    named = set()

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            named.add(f"{module}.{name}")
            return super().find_class(module, name)

    Reader(io.BytesIO(stored)).load()
    assert {name for name in named if name.startswith("pylstm")} <= set(trusted_types())
