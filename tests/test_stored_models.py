"""Models that earlier versions pickled: they load, predict and go on as they did then."""

import pickle
import warnings

import numpy as np
import pytest
from make_fitted_models import DATA, PROTOCOL, cases, goes_on, outputs
from numpy.testing import assert_allclose, assert_array_equal

# Instruction sets round differently; a change of what is computed is far beyond this.
TOLERANCE = {"float32": {"rtol": 1e-4, "atol": 1e-5}, "float64": {"rtol": 1e-9, "atol": 1e-11}}


# Parameters that an estimator had not yet, and has now as if they had not been there.
ADDED = ("standardize", "window_scaling", "window_features", "forget_bias")
ADDED = {1: (*ADDED, "quantile", "target_features", "highway")}


@pytest.fixture(scope="module", params=range(1, 2))
def stored(request):
    with np.load(DATA / f"fitted_models_{request.param}.npz") as arrays:
        return dict(arrays) | {"added": ADDED.get(request.param, ())}


def part_of(stored, path):
    """The arrays whose names begin so, by the rest of their names."""
    return {
        name.removeprefix(path): array for name, array in stored.items() if name.startswith(path)
    }


def loaded(stored, name):
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # of scikit-learn's StandardScaler, that its version has changed
        return pickle.loads(stored[f"{name}/pickle"].tobytes())


def assert_results(results, expected):
    assert results.keys() == expected.keys()
    for method, output in expected.items():
        assert results[method].dtype == output.dtype
        if output.dtype.kind == "f":
            assert_allclose(results[method], output, **TOLERANCE[output.dtype.name])
        else:
            assert_array_equal(results[method], output)


@pytest.mark.parametrize("name", cases())
def test_stored_model_predicts_and_goes_on_learning_as_it_did(name, stored):
    estimator, given = loaded(stored, name), part_of(stored, f"{name}/given/")
    assert_results(outputs(estimator, given), part_of(stored, f"{name}/results/"))
    later = part_of(stored, f"{name}/later/")
    if later:
        assert_results(outputs(goes_on(estimator, given), given), later)


@pytest.mark.parametrize("name", cases())
def test_stored_model_has_the_parameters_of_its_case(name, stored):
    estimator, case = loaded(stored, name), cases()[name][0]
    assert type(estimator) is type(case)
    for parameter, value in case.get_params().items():
        if parameter not in stored["added"] and not isinstance(value, np.random.RandomState):
            assert getattr(estimator, parameter) == value


@pytest.mark.parametrize("name", cases())
def test_stored_model_can_be_pickled_anew(name, stored):
    estimator, given = loaded(stored, name), part_of(stored, f"{name}/given/")
    again = pickle.loads(pickle.dumps(estimator, protocol=PROTOCOL))
    for results in zip(
        outputs(again, given).values(), outputs(estimator, given).values(), strict=True
    ):
        assert_array_equal(*results)
