"""scikit-learn's searches on a Dask cluster, by joblib; dask-ml's own."""

import warnings

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

from pylstm import LSTMForecaster, LSTMRegressor, sliding_windows

distributed = pytest.importorskip("distributed")

SERIES = np.random.default_rng(0).normal(size=120).cumsum()
X, Y = sliding_windows(SERIES, 8)
lstm = LSTMRegressor(3, max_iter=4, n_iter_no_change=np.inf, random_state=0, n_jobs=1)
GRID = {"hidden_size": [2, 4], "window_scaling": [None, "last"]}


@pytest.fixture(scope="module")
def client():
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def n_tasks(client):
    """How many tasks the cluster has done since it was started."""
    counts = client.run_on_scheduler(
        lambda dask_scheduler: [
            prefix.state_counts["memory"] for prefix in dask_scheduler.task_prefixes.values()
        ]
    )
    return sum(counts)


def assert_same_search(found, expected):
    assert found.best_params_ == expected.best_params_
    assert_array_equal(
        found.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
    assert_array_equal(found.predict(X), expected.predict(X))


def test_grid_search_on_dask_gives_the_same_bits(client):
    search = GridSearchCV(lstm, GRID, cv=TimeSeriesSplit(2))
    expected = GridSearchCV(lstm, GRID, cv=TimeSeriesSplit(2)).fit(X, Y)
    before = n_tasks(client)
    with joblib.parallel_config("dask"):
        search.fit(X, Y)
    assert n_tasks(client) > before
    assert_same_search(search, expected)


def test_searches_of_forecasters_go_there_too(client):
    def search():
        forecaster = LSTMForecaster(8, 4, estimator=lstm, random_state=0)
        return GridSearchCV(forecaster, {"window": [6, 8]}, cv=TimeSeriesSplit(2, test_size=20))

    expected = search().fit(SERIES)
    with joblib.parallel_config("dask"):
        found = search().fit(SERIES)
    assert found.best_params_ == expected.best_params_
    assert_array_equal(
        found.best_estimator_.forecast(9, None), expected.best_estimator_.forecast(9, None)
    )


def test_data_that_was_scattered_need_not_travel_with_each_fit(client):
    expected = GridSearchCV(lstm, GRID, cv=2).fit(X, Y)
    with joblib.parallel_config("dask", scatter=[X, Y]):
        found = GridSearchCV(lstm, GRID, cv=2).fit(X, Y)
    assert_same_search(found, expected)


def test_errors_of_workers_reach_the_caller(client):
    wrong = GridSearchCV(lstm, {"hidden_size": [-1]}, cv=2)
    with (
        joblib.parallel_config("dask"),
        pytest.raises(ValueError, match="'hidden_size' parameter"),
    ):
        wrong.fit(X, Y)


def test_dask_mls_search_gives_the_same_scores(client):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dask_ml = pytest.importorskip("dask_ml.model_selection")
    expected = GridSearchCV(lstm, GRID, cv=2).fit(X, Y)
    found = dask_ml.GridSearchCV(lstm, GRID, cv=2).fit(X, Y)
    assert found.best_params_ == expected.best_params_
    for split in (
        "split0_test_score",
        "split1_test_score",
    ):  # their means are added up in another way
        assert_array_equal(found.cv_results_[split], expected.cv_results_[split])
