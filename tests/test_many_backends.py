"""LSTMForecasterPerSeries: the same bits for any partitions, workers and joblib backends."""

from functools import partial

import joblib
import numpy as np
import pytest
from helpers.panels import long_frame, panel_of
from pandas.testing import assert_frame_equal

from pylstm import LSTMForecaster, LSTMForecasterPerSeries, LSTMRegressor

NAMES = [f"s{position}" for position in range(7)]
FRAME = long_frame(panel_of(dict.fromkeys(NAMES, 60)), starts=["2015-01-01"] * 7)
lstm = LSTMRegressor(
    3, loss="gaussian", highway="all", max_iter=3, n_iter_no_change=np.inf, dropout=0.1
)
each = partial(
    LSTMForecasterPerSeries, LSTMForecaster(12, 4, estimator=lstm, random_state=0), n_jobs=2
)


@pytest.fixture(scope="module")
def expected():
    return each(n_jobs=1).fit(FRAME).forecast(9)


@pytest.mark.parametrize("partition_size", [1, 2, 5])
def test_partitions_leave_no_trace(partition_size, expected):
    coming = each(n_jobs=1, partition_size=partition_size).fit(FRAME).forecast(9)
    assert_frame_equal(coming, expected, check_exact=True)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_backends_leave_no_trace(backend, expected):
    with joblib.parallel_config(backend):
        forecaster = each(partition_size=2).fit(FRAME)
        assert_frame_equal(forecaster.forecast(9), expected, check_exact=True)
    # Fitted there, forecast here
    forecaster.set_params(n_jobs=1)
    assert_frame_equal(forecaster.forecast(9), expected, check_exact=True)


def test_a_random_state_is_drawn_from_before_the_work_is_parted():
    def fit(partition_size, n_jobs):
        forecaster = LSTMForecaster(12, 4, estimator=lstm, random_state=np.random.RandomState(3))
        options = {"n_jobs": n_jobs, "partition_size": partition_size}
        with joblib.parallel_config("threading"):
            return LSTMForecasterPerSeries(forecaster, **options).fit(FRAME).forecast(9)

    assert_frame_equal(fit(1, 2), fit(100, 1), check_exact=True)


def test_errors_come_back_from_processes():
    faulty = FRAME.copy()
    faulty.loc[70, "y"] = np.inf
    with (
        joblib.parallel_config("loky"),
        pytest.warns(UserWarning, match=r"1 of 7 series could not be fitted .*'s1'"),
    ):
        forecaster = each(partition_size=1).fit(faulty)
    assert "infinity" in str(forecaster.failures_["s1"])


def test_on_dask(expected):
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        with joblib.parallel_config("dask"):
            coming = each(n_jobs=None, partition_size=2).fit(FRAME).forecast(9)
        names = client.run_on_scheduler(lambda dask_scheduler: [*dask_scheduler.task_prefixes])
    assert_frame_equal(coming, expected, check_exact=True)
    assert names  # it was there that the work was done
