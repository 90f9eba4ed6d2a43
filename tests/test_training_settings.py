"""Schedules, averages and callbacks as values: equality, copies, messages; in the estimators."""

import copy
import doctest
import inspect
import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from helpers.estimators import X, y
from helpers.training import AVERAGES, CALLBACKS, SCHEDULES, model
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import pylstm.training
from pylstm.training import (
    EMA,
    SWA,
    Averaging,
    Checkpoint,
    CosineDecay,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    TimeLimit,
)

SETTINGS = [*SCHEDULES, *AVERAGES, *CALLBACKS]


@pytest.mark.parametrize("settings", SETTINGS, ids=repr)
def test_settings_are_values(settings):
    for twin in (
        copy.deepcopy(settings),
        pickle.loads(pickle.dumps(settings)),
        clone(settings, safe=False),
        eval(repr(settings)),
    ):
        assert twin == settings
        assert repr(twin) == repr(settings)
    for other in SETTINGS:
        assert (other == settings) == (other is settings)


@pytest.mark.parametrize("settings", SCHEDULES + AVERAGES, ids=repr)
def test_schedules_and_averages_are_immutable_and_hashable(settings):
    assert hash(settings) == hash(copy.deepcopy(settings))
    with pytest.raises(FrozenInstanceError):
        settings.factor = 0.1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: StepDecay(every=0), ValueError, "every must be an integer of at least 1, got 0"),
        (
            lambda: StepDecay(every=2.0),
            TypeError,
            "every must be an integer of at least 1, got 2.0",
        ),
        (lambda: StepDecay(factor=0), ValueError, "factor must be a number more than 0 and at mos"),
        (lambda: StepDecay(factor=1.1), ValueError, "factor .* got 1.1"),
        (lambda: StepDecay(factor="half"), TypeError, "factor .* got 'half'"),
        (lambda: CosineDecay(warm_up=-1), ValueError, "warm_up must be .* not negative .* got -1"),
        (lambda: CosineDecay(warm_up=np.inf), ValueError, "warm_up must be .* finite, got inf"),
        (lambda: CosineDecay(warm_up=None), TypeError, "warm_up must be .* got None"),
        (lambda: CosineDecay(floor=1.5), ValueError, "floor must be a number between 0 and 1, got"),
        (
            lambda: ReduceOnPlateau(patience=0),
            ValueError,
            "patience must be an integer of at least",
        ),
        (lambda: ReduceOnPlateau(patience=1.5), TypeError, "patience must be an integer"),
        (lambda: ReduceOnPlateau(factor=np.nan), ValueError, "factor must be .* got nan"),
        (lambda: ReduceOnPlateau(tol=-1e-4), ValueError, "tol must be .* got -0.0001"),
        (lambda: ReduceOnPlateau(floor=-0.1), ValueError, "floor must be .* got -0.1"),
        (lambda: EMA(decay=1.0), ValueError, "decay must be .* less than 1, got 1.0"),
        (lambda: EMA(decay="slow"), TypeError, "decay must be .* got 'slow'"),
        (lambda: SWA(start=1), ValueError, "start must be .* less than 1, got 1"),
        (lambda: SWA(start=None), TypeError, "start must be .* got None"),
        (lambda: Checkpoint(3), TypeError, "path must be a str or an os.PathLike, got 3"),
        (lambda: Checkpoint("a", every=0), ValueError, "every must be an integer of at least 1"),
        (lambda: TimeLimit(0), ValueError, "seconds must be .* more than 0, got 0"),
        (lambda: TimeLimit("1s"), TypeError, "seconds must be .* got '1s'"),
    ],
)
def test_errors_say_what_was_given_and_what_is_wanted(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_numbers_of_numpy_are_taken():
    assert StepDecay(np.int64(3), np.float32(0.5)) == StepDecay(3, 0.5)


@pytest.mark.parametrize("base", [Schedule, Averaging])
def test_bases_leave_something_to_define(base):
    with pytest.raises(TypeError, match="abstract"):
        base()


def test_module_needs_neither_scikit_learn_nor_joblib():
    imported = {
        line.split()[1].split(".")[0]
        for line in inspect.getsource(pylstm.training).splitlines()
        if line.startswith(("import ", "from "))
    }
    assert not imported & {"sklearn", "joblib", "scipy", "xgboost"}


def test_examples_run():
    result = doctest.testmod(pylstm.training)
    assert result.attempted > 50
    assert result.failed == 0


@pytest.mark.parametrize(
    ("name", "values"),
    [("learning_rate", ["constant", *SCHEDULES]), ("averaging", [None, *AVERAGES])],
)
def test_grid_search_takes_settings(name, values):
    search = GridSearchCV(model(max_iter=2), {name: values}, cv=2).fit(X, y)
    assert search.best_params_[name] in values
    copied = pickle.loads(pickle.dumps(search.best_estimator_))
    assert copied.get_params()[name] == search.best_params_[name]
    assert_array_equal(copied.predict(X), search.predict(X))


@pytest.mark.parametrize(
    "parameters",
    [
        {"learning_rate": "cosine"},
        {"learning_rate": StepDecay},
        {"averaging": 0.9},
        {"callbacks": 1},
    ],
    ids=repr,
)
def test_estimator_refuses_other_settings(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        model(**parameters).fit(X, y)


def test_estimator_refuses_what_is_no_callback():
    with pytest.raises(TypeError, match="callbacks must be instances of"):
        model(callbacks=[print]).fit(X, y)
