"""Processes that are killed, partitions that fail, Ctrl-C: a fit on Dask ends, and leaves no task behind."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("dask.array")
pytest.importorskip("distributed")

import dask
import dask.array as da
import joblib
from helpers.dask import LABELS, SMALL, N, T, X, cut, forgets_all, same, y

from pylstm import LSTMRegressor
from pylstm.dask import DaskLSTMClassifier, DaskLSTMRegressor
from pylstm.dask._cluster import Cluster
from pylstm.training import Checkpoint, TrainingCallback

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:distributed")
SMALL = SMALL | {"batch_size": 90}


@pytest.fixture(scope="module")
def spoilt_cluster():
    """Workers that tests may spoil; that are started again, and given up soon."""
    from distributed import LocalCluster

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "3s"}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
    ):
        yield cluster


@pytest.fixture
def own_client(spoilt_cluster):
    """A client of two of them."""
    from distributed import Client

    with Client(spoilt_cluster, set_as_default=False) as client:
        spoilt_cluster.scale(2)
        client.wait_for_workers(2)
        yield client
        assert forgets_all(client)


class After(TrainingCallback):
    """Does something after an epoch."""

    def __init__(self, epoch, action):
        self.epoch, self.action = epoch, action

    def after_iteration(self, model, epoch, evals_log):
        if epoch == self.epoch:
            self.action()
        return False


def in_mid_epoch(monkeypatch, number, action):
    """Act when the slots of batch `number` have been asked for, before they are there."""
    numbers = iter(range(1000))
    real_wait = Cluster._wait

    def wait(self, futures):
        if "slot_gradients" in str(futures[0].key) and next(numbers) == number:
            action()
        return real_wait(self, futures)

    monkeypatch.setattr(Cluster, "_wait", wait)


def kill_a_worker(client):
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)


# -- workers --------------------------------------------------------------------------------------


def test_a_worker_killed_in_mid_epoch_changes_no_bit(own_client, monkeypatch):
    in_mid_epoch(monkeypatch, 5, lambda: kill_a_worker(own_client))
    cluster = DaskLSTMRegressor(**SMALL, client=own_client).fit(cut(X), cut(y))
    assert same(cluster, LSTMRegressor(**SMALL).fit(X, y))


def test_a_worker_killed_between_local_epochs_changes_no_bit(own_client, client):
    local = SMALL | {"updates": "local"}
    kill = After(0, lambda: kill_a_worker(own_client))
    killed = DaskLSTMRegressor(**local, client=own_client, callbacks=[kill]).fit(cut(X), cut(y))
    assert same(killed, DaskLSTMRegressor(**local, client=client).fit(cut(X), cut(y)))


def test_a_worker_that_joins_takes_its_part(spoilt_cluster, own_client, monkeypatch):
    spoilt_cluster.scale(1)
    while len(own_client.nthreads()) > 1:
        time.sleep(0.05)
    shares = []
    real_run = Cluster.run

    def run(self, function, *columns, **common):
        if function.__name__ == "slot_gradients":
            shares.append(len(columns[0]))
        return real_run(self, function, *columns, **common)

    def join():
        spoilt_cluster.scale(2)
        own_client.wait_for_workers(2)

    monkeypatch.setattr(Cluster, "run", run)
    cluster = DaskLSTMRegressor(**SMALL, client=own_client, callbacks=[After(0, join)])
    assert same(cluster.fit(cut(X), cut(y)), LSTMRegressor(**SMALL).fit(X, y))
    assert shares == [1] * 4 + [2] * 4


def test_without_workers_it_ends_soon_with_an_error(spoilt_cluster, own_client):
    leave = After(0, lambda: spoilt_cluster.scale(0))
    model = DaskLSTMRegressor(**SMALL, client=own_client, callbacks=[leave])
    with (
        dask.config.set({"pylstm.no-workers-timeout": "1s"}),
        pytest.raises(RuntimeError, match=r"no worker for 1 seconds.*Checkpoint"),
    ):
        model.fit(cut(X), cut(y))
    assert not hasattr(model, "n_iter_")


def allow_failures(n, dask_scheduler):
    dask_scheduler.allowed_failures, before = n, dask_scheduler.allowed_failures
    return before


def deadly(block):
    os._exit(1)


def test_a_partition_that_kills_its_workers_is_given_up(own_client):
    dying = cut(X).map_blocks(deadly, meta=np.empty((0, 0, 0)))
    before = own_client.run_on_scheduler(allow_failures, 0)
    with pytest.raises(RuntimeError, match="workers died again and again"):
        DaskLSTMRegressor(**SMALL, client=own_client).fit(dying, cut(y))
    own_client.run_on_scheduler(allow_failures, before)


# -- the scheduler --------------------------------------------------------------------------------


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler and a worker as processes of their own."""
    file = str(tmp_path / "scheduler.json")
    options = ["--scheduler-file", file, "--no-dashboard"]
    program = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    first = subprocess.Popen([*program, "scheduler", "--port", "0", *options], **quiet)
    worker = [*program, "worker", "--nthreads", "1", "--no-nanny", *options]
    second = subprocess.Popen(worker, **quiet)
    while not os.path.exists(file):
        time.sleep(0.05)
    yield first, file
    for process in (second, first):
        process.kill()
        process.wait()


@pytest.mark.parametrize("when", ["in mid-epoch", "between epochs"])
def test_a_scheduler_that_goes_away_ends_it_and_a_checkpoint_goes_on(
    scheduler, client, monkeypatch, tmp_path, when
):
    from distributed import Client

    process, file = scheduler
    path = tmp_path / "model.joblib"
    parameters = SMALL | {"callbacks": [Checkpoint(path)]}
    if when == "in mid-epoch":
        in_mid_epoch(monkeypatch, 5, process.kill)
    else:
        parameters["callbacks"].append(After(0, process.kill))
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        Client(scheduler_file=file, set_as_default=False) as lost,
    ):
        lost.wait_for_workers(1)
        with pytest.raises(RuntimeError, match=r"The fit was broken off.*from_local"):
            DaskLSTMRegressor(**parameters, client=lost).fit(cut(X), cut(y))
    kept = joblib.load(path)
    assert (type(kept), kept.n_iter_) == (LSTMRegressor, 1)
    going_on = DaskLSTMRegressor.from_local(kept, client=client, warm_start=True, max_iter=1)
    going_on.fit(cut(X), cut(y))
    assert same(going_on, LSTMRegressor(**SMALL).fit(X, y))


# -- partitions -----------------------------------------------------------------------------------


def spoil(block, block_info=None):
    if block_info[0]["chunk-location"][0] == 2:
        raise ZeroDivisionError("no such file")
    return block


@pytest.mark.parametrize("persist", [False, True])
def test_a_partition_that_cannot_be_computed_is_named(client, persist):
    spoilt = cut(X).map_blocks(spoil, meta=np.empty((0, 0, 0)))
    model = DaskLSTMRegressor(**SMALL, updates="local", persist=persist)
    message = "Partition 2 could not be computed: ZeroDivisionError: no such file"
    with pytest.raises(RuntimeError, match=message) as caught:
        model.fit(spoilt, cut(y))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def read(rows, path):
    return np.load(path)[rows]


def test_a_partition_that_is_gone_later_is_named(client, tmp_path):
    path = tmp_path / "X.npy"
    np.save(path, X)
    rows = da.arange(N, chunks=110)
    X_parts = rows.map_blocks(read, path, new_axis=[1, 2], chunks=((110,) * 3, T, 2), dtype=float)
    model = DaskLSTMRegressor(**SMALL, updates="local", persist=False)
    model.set_params(callbacks=[After(0, path.unlink)])
    with pytest.raises(RuntimeError, match=r"Partition \d could not be computed: FileNotFound"):
        model.fit(X_parts, cut(y, (110,) * 3))


def test_bad_values_are_refused_by_partition(client):
    with_nan = X.copy()
    with_nan[100, 1, 0] = np.nan
    with pytest.raises(ValueError, match="Partition 2: Input X contains NaN"):
        DaskLSTMRegressor(**SMALL).fit(cut(with_nan), cut(y))
    words = np.where(np.arange(N) == 210, "word", "1").astype(object)
    with pytest.raises(ValueError, match="Partition 3: could not convert string to float"):
        DaskLSTMRegressor(**SMALL).fit(cut(X), cut(words))


def test_partitions_without_anything_are_left_out_or_refused(client):
    with pytest.raises(ValueError, match="nothing to learn from in 2 partitions: X is empty"):
        DaskLSTMRegressor(**SMALL).fit(cut(X[:0], (0, 0)), cut(y[:0], (0, 0)))
    zeros = cut(np.zeros(N))
    with pytest.raises(ValueError, match="in 5 partitions: sample_weight must contain"):
        DaskLSTMRegressor(**SMALL).fit(cut(X), cut(y), zeros)
    weight = np.ones(N)
    weight[:80] = 0  # the first partition
    cluster = DaskLSTMRegressor(**SMALL).fit(cut(X), cut(y), cut(weight))
    assert same(cluster, LSTMRegressor(**SMALL).fit(X, y, weight))


def test_single_samples_are_partitions(client):
    ones = 12 * (1,)
    parameters = SMALL | {"batch_size": 5, "window_scaling": "mean", "target_features": [0]}
    cluster = DaskLSTMRegressor(**parameters).fit(cut(X[:12], ones), cut(y[:12], ones))
    assert same(cluster, LSTMRegressor(**parameters).fit(X[:12], y[:12]))
    DaskLSTMRegressor(**parameters, updates="local").fit(cut(X[:12], ones), cut(y[:12], ones))


def test_classes_are_those_of_all_partitions(client):
    one = np.where(LABELS == "above", "above", "below")
    one[:210] = "below"
    model = DaskLSTMClassifier(**SMALL, warm_start=True).fit(cut(X), cut(one))
    assert list(model.classes_) == ["above", "below"]
    with pytest.raises(ValueError, match=r"Partition 0: .*between"):
        model.fit(cut(X), cut(LABELS))
    with pytest.raises(ValueError, match="at least 2 classes, got 1 class"):
        DaskLSTMClassifier(**SMALL).fit(cut(X[:200], (80, 120)), cut(one[:200], (80, 120)))


# -- Ctrl-C ---------------------------------------------------------------------------------------


def slowly(block):
    time.sleep(0.3)
    return block


@pytest.fixture
def interruptible():
    """Ctrl-C interrupts, also where these tests are a background job, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_keeps_the_last_epoch_and_leaves_no_task(client):
    cuts = (110,) * 3
    slow = cut(X, cuts).map_blocks(slowly, meta=np.empty((0, 0, 0)))
    parameters = SMALL | {"updates": "local", "persist": False, "standardize": False}

    def interrupt():
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

    model = DaskLSTMRegressor(**parameters, callbacks=[After(0, interrupt)])
    with pytest.raises(KeyboardInterrupt, match="interrupted after 1 epochs"):
        model.fit(slow, cut(y, cuts))
    once = DaskLSTMRegressor(**parameters | {"max_iter": 1}).fit(cut(X, cuts), cut(y, cuts))
    assert same(model, once)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_before_the_first_epoch_leaves_the_estimator_as_it_was(client):
    slow = cut(X).map_blocks(slowly, meta=np.empty((0, 0, 0)))
    model = DaskLSTMRegressor(**SMALL)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(slow, cut(y))
    assert not hasattr(model, "n_iter_")
