"""Fixtures of several test files, and which pylstm it is that they test."""

import copy
import importlib.util
import sys
from pathlib import Path

import pytest


def _test_what_is_installed():
    """Drop the source folder from the path, if pylstm is found without it.

    `python -m pytest` puts the folder it is called from first on the path, and the package in this one has
    compiled modules only if it was built in place: `pytest` and `python -m pytest` shall test the same.
    """
    source = Path(__file__).resolve().parents[1]
    before = sys.path.copy()
    sys.path[:] = [entry for entry in before if Path(entry).resolve() != source]
    if importlib.util.find_spec("pylstm") is None:
        sys.path[:] = before


_test_what_is_installed()
pytest.register_assert_rewrite("helpers")


# -- kernels --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def one_blas_thread():
    """NumPy's BLAS and the core's threads would wait for each other on a small machine."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture
def threads_even_for_little_work():
    from helpers import dispatch

    before = dispatch.kernels.set_work_per_thread(0)
    yield
    dispatch.kernels.set_work_per_thread(before)


# -- estimators -----------------------------------------------------------------------------------


@pytest.fixture
def train_calls(monkeypatch):
    """The arguments of every pass over the samples, in order, and the parameters after it."""
    from pylstm import _unchecked

    calls = []
    real_train = _unchecked.train

    def train(params, X, y, arch, optimizer, **options):
        call = {"X": X, "y": y, "arch": arch, "optimizer": copy.deepcopy(optimizer), **options}
        calls.append(call | {"params": params.copy()})
        loss = real_train(params, X, y, arch, optimizer, **options)
        calls[-1]["trained"] = params.copy()
        return loss

    monkeypatch.setattr(_unchecked, "train", train)
    return calls


@pytest.fixture
def predict_calls(monkeypatch):
    """The arguments of every prediction of the network, in order."""
    from pylstm import _unchecked

    calls = []
    real_predict = _unchecked.predict

    def predict(params, X, arch, *args, **options):
        calls.append({"X": X, **options})
        return real_predict(params, X, arch, *args, **options)

    monkeypatch.setattr(_unchecked, "predict", predict)
    return calls


@pytest.fixture
def metadata_routing():
    import sklearn

    with sklearn.config_context(enable_metadata_routing=True):
        yield


# -- scaler ---------------------------------------------------------------------------------------


def _set_chunk_size(monkeypatch, n_numbers):
    monkeypatch.setattr("pylstm._scaler._CHUNK_SIZE", n_numbers)


@pytest.fixture
def many_chunks(monkeypatch):
    """Fit in chunks of a few samples."""
    _set_chunk_size(monkeypatch, 30)


@pytest.fixture(params=["one chunk", "many chunks"])
def any_chunks(request, monkeypatch):
    """Fit in one chunk, and in chunks of a few samples."""
    _set_chunk_size(monkeypatch, {"one chunk": 10**9, "many chunks": 30}[request.param])


# -- Dask -----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def two_workers():
    """The client of two processes, which no test may spoil."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def client(two_workers):
    """The same, which a test leaves without tasks."""
    from helpers.dask import forgets_all

    yield two_workers
    assert forgets_all(two_workers)


# -- displays -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    """A network to draw."""
    from helpers.displays import X, model, y

    return model().fit(X, y)


@pytest.fixture
def plt():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


@pytest.fixture
def no_matplotlib(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
