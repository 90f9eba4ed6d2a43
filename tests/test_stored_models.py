"""Models that earlier versions pickled: they load, predict and go on as they did then."""

import pickle
import warnings

import numpy as np
import pytest
from make_fitted_models import DATA, PROTOCOL, cases, goes_on, outputs
from numpy.testing import assert_allclose, assert_array_equal

from pylstm._persistence import FORMAT

# Instruction sets round differently; a change of what is computed is far beyond this.
TOLERANCE = {"float32": {"rtol": 1e-4, "atol": 1e-5}, "float64": {"rtol": 1e-9, "atol": 1e-11}}

# Format -> parameters that it had not yet, and that are read as if what they say had never been there.
ADDED = {
    1: (
        *("standardize", "window_scaling", "window_features", "forget_bias"),
        *("quantile", "target_features", "highway"),
    )
}


def stored_models():
    """(format, name) of each, those of a format in the same order."""
    for number in range(1, FORMAT + 1):
        with np.load(DATA / f"fitted_models_{number}.npz") as stored:
            for path in stored.files:
                name, part = path.split("/", 1)
                if part == "pickle":
                    yield number, name


class Stored:
    """A model as it was stored: `estimator`, what it was `given`, its `results`, those `later`."""

    def __init__(self, number, name):
        self.number, self.name = number, name
        with np.load(DATA / f"fitted_models_{number}.npz") as stored:
            arrays = {path: stored[path] for path in stored.files if path.startswith(f"{name}/")}
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of scikit-learn, that a StandardScaler is of its old version
            self.estimator = pickle.loads(arrays.pop(f"{name}/pickle").tobytes())
        self.given, self.results, self.later = (
            {path.split("/")[2]: array for path, array in arrays.items() if f"/{part}/" in path}
            for part in ("given", "results", "later")
        )


@pytest.fixture(params=list(stored_models()), ids=lambda model: f"{model[0]} {model[1]}")
def stored(request):
    return Stored(*request.param)


def assert_results(results, expected, precision):
    assert results.keys() == expected.keys()
    for method, output in expected.items():
        assert results[method].dtype == output.dtype
        if output.dtype.kind == "f":
            assert_allclose(results[method], output, **TOLERANCE[precision])
        else:
            assert_array_equal(results[method], output)


def test_stored_model_predicts_and_goes_on_learning_as_it_did(stored):
    precision = getattr(stored.estimator, "dtype", "float64")
    assert_results(outputs(stored.estimator, stored.given), stored.results, precision)
    if stored.later:
        later = outputs(goes_on(stored.estimator, stored.given), stored.given)
        assert_results(later, stored.later, precision)


def test_stored_model_has_the_parameters_of_its_case(stored):
    case, added = cases()[stored.name][0], ADDED.get(stored.number, ())
    assert type(stored.estimator) is type(case)
    for parameter, value in case.get_params().items():
        if parameter not in added and not isinstance(value, np.random.RandomState):
            assert getattr(stored.estimator, parameter) == value


def test_stored_model_can_be_pickled_anew(stored):
    again = pickle.loads(pickle.dumps(stored.estimator, protocol=PROTOCOL))
    assert again.get_params().keys() == stored.estimator.get_params().keys()
    expected = outputs(stored.estimator, stored.given)
    for method, output in outputs(again, stored.given).items():
        assert_array_equal(output, expected[method])


def test_every_case_is_stored_in_the_present_format():
    assert {name for number, name in stored_models() if number == FORMAT} == set(cases())
