"""Threads, processes and signals. Each case runs in a process of its own, with a hard time limit."""

import ast
import importlib
import multiprocessing
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from helpers import dispatch
from programs import run_python

import pylstm
from pylstm import core

needs_openmp = pytest.mark.skipif(not dispatch.kernels.has_openmp(), reason="built without OpenMP")

# Through the core: what a process does is its kernels' doing, and scikit-learn takes a second to import.
COMMON = """
    import multiprocessing
    import os
    import numpy as np
    from helpers import dispatch
    from pylstm import core

    arch = core.Architecture(n_features=3, hidden_size=8)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 10, 3)).astype(np.float32)
    y = rng.normal(size=(200, 1)).astype(np.float32)
    start = rng.uniform(-0.5, 0.5, core.n_parameters(arch)).astype(np.float32)


    def fit_and_predict(n_jobs):
        dispatch.kernels.set_work_per_thread(0)  # threads even for so little
        params, optimizer = start.copy(), core.Adam(len(start), start.dtype)
        order = np.tile(np.arange(200), 2)
        core.train(params, X, y, arch, optimizer, order=order, batch_size=100, n_threads=n_jobs)
        return core.predict(params, X, arch, n_threads=n_jobs)
"""


def run(code, **environment):
    return run_python(textwrap.dedent(COMMON) + textwrap.dedent(code), **environment)


@needs_openmp
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_child_of_a_process_that_ran_threads_gives_the_same_bits(method, tmp_path):
    # In a file: spawn and forkserver import the main module again.
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this platform")
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(COMMON)
        + textwrap.dedent(f"""
    if __name__ == "__main__":
        expected = fit_and_predict(2)
        with multiprocessing.get_context({method!r}).Pool(2) as pool:
            for result in pool.map_async(fit_and_predict, [2, 2, 1]).get(timeout=300):
                np.testing.assert_array_equal(result, expected)
        np.testing.assert_array_equal(fit_and_predict(2), expected)
    """)
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", str(program)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},  # of helpers
        check=True,
        timeout=600,
    )


@needs_openmp
def test_bare_fork_runs_on_one_thread():
    output = run("""
        fit_and_predict(2)
        child = os.fork()
        if child == 0:
            fit_and_predict(2)
            os._exit(10 + core.effective_n_threads(2))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), core.effective_n_threads(2))
    """)
    assert output.split() == ["11", "2"]


# A user of the OpenMP runtime that pylstm knows nothing of: two threads of it call free(NULL).
OTHER_USER = """
    import ctypes
    import os
    import sys

    def run_two_threads(file):
        library = ctypes.CDLL(file)
        free = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)
        library.GOMP_parallel(free, None, ctypes.c_uint(2), ctypes.c_uint(0))

    def in_a_fork(function):
        child = os.fork()
        if child == 0:
            os._exit(10 + function())
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    def fit():
        from pylstm import core

        fit_and_predict(2)
        return core.effective_n_threads(2)
"""
runtime = dispatch.kernels.openmp_file() or ""
needs_gnu_openmp = pytest.mark.skipif("gomp" not in runtime, reason="another OpenMP runtime")


@needs_gnu_openmp
@pytest.mark.parametrize("first", ["pylstm", "the other user"])
def test_fork_of_a_process_in_which_others_ran_threads_runs_on_one_thread(first):
    before, after = ("", COMMON) if first == "the other user" else (COMMON, "")
    output = run_python(
        textwrap.dedent(before)
        + textwrap.dedent(OTHER_USER)
        + f"run_two_threads({runtime!r})\n"
        + textwrap.dedent(after)
        + "in_a_fork(fit)\n"
    )
    assert output.split() == ["11"]


@needs_gnu_openmp
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whether a process was forked")
@pytest.mark.parametrize("others", [False, True], ids=["nobody", "others"])
def test_first_import_in_a_fork_runs_threads_unless_others_did_before(others):
    output = run_python(
        textwrap.dedent(OTHER_USER)
        + (f"run_two_threads({runtime!r})\n" if others else "")
        + "def import_and_fit():\n"
        + textwrap.indent(textwrap.dedent(COMMON), "    ")
        + "    globals().update(locals())\n    return fit()\n"
        + "in_a_fork(import_and_fit)\n"
    )
    assert output.split() == ["11" if others else "12"]


@needs_openmp
def test_fit_in_a_fork_after_torch_ran_threads_returns():
    pytest.importorskip("torch")
    run("""
        import torch

        torch.set_num_threads(2)
        torch.exp(torch.rand(10**6)).sum()
        child = os.fork()
        if child == 0:
            fit_and_predict(2)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert len(pool.map_async(fit_and_predict, [2, 2]).get(timeout=300)) == 2
    """)


@needs_openmp
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how many threads there are")
def test_fork_before_any_threads_may_run_them():
    output = run(
        """
        child = os.fork()
        if child == 0:
            fit_and_predict(2)
            os._exit(10 + core.effective_n_threads(2))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """,
        OPENBLAS_NUM_THREADS="1",  # NumPy's BLAS has threads as soon as it is imported
    )
    assert output.split() == ["12"]


def test_loky_workers_give_the_same_bits():
    run("""
        import joblib
        expected = fit_and_predict(2)
        parallel = joblib.Parallel(n_jobs=2)
        for result in parallel(joblib.delayed(fit_and_predict)(2) for _ in range(3)):
            np.testing.assert_array_equal(result, expected)
    """)


def test_python_threads_give_the_same_bits():
    run("""
        import joblib
        expected = fit_and_predict(2)
        parallel = joblib.Parallel(n_jobs=3, backend="threading")
        for result in parallel(joblib.delayed(fit_and_predict)(2) for _ in range(6)):
            np.testing.assert_array_equal(result, expected)
    """)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="cannot fork")
def test_fit_gives_the_same_bits_in_a_fork_and_in_threads():
    run_python("""
        import multiprocessing
        import joblib
        import numpy as np
        from helpers import dispatch
        from pylstm import LSTMRegressor

        rng = np.random.default_rng(0)
        X = rng.normal(size=(200, 10, 3)).astype(np.float32)
        y = rng.normal(size=200).astype(np.float32)

        def fit_and_predict(n_jobs):
            dispatch.kernels.set_work_per_thread(0)  # threads even for so little
            regressor = LSTMRegressor(hidden_size=8, max_iter=2, n_jobs=n_jobs, random_state=0,
                                      batch_size=100, tol=0.0, n_iter_no_change=100)
            return regressor.fit(X, y).predict(X)

        expected = fit_and_predict(2)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            results = pool.map_async(fit_and_predict, [2, 2, 1]).get(timeout=300)
        parallel = joblib.Parallel(n_jobs=3, backend="threading")
        results += parallel(joblib.delayed(fit_and_predict)(2) for _ in range(6))
        for result in results:
            np.testing.assert_array_equal(result, expected)
    """)


@needs_openmp
def test_OMP_NUM_THREADS_is_honoured():
    assert run("print(core.effective_n_threads())", OMP_NUM_THREADS="1").split() == ["1"]


@needs_openmp
def test_threadpoolctl_is_honoured():
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="openmp"):
        assert core.effective_n_threads() == 1


@pytest.mark.parametrize(
    "setting",
    [{"OMP_NUM_THREADS": "2"}, {"GOMP_SPINCOUNT": "7"}],
    ids=lambda setting: next(iter(setting)),
)
def test_import_leaves_the_environment_as_it_was(setting):
    output = run_python("import os, pylstm\nprint(dict(os.environ))", **setting)
    settings = ast.literal_eval(output).items()
    expected = (os.environ | setting).items()
    assert {s for s in settings if "OMP_" in s[0]} == {s for s in expected if "OMP_" in s[0]}


def test_n_jobs_counts_as_in_joblib():
    import joblib

    everything = core.effective_n_threads()
    assert 1 <= everything <= joblib.cpu_count()
    assert core.effective_n_threads(-1) == everything
    assert core.effective_n_threads(-1000) == 1
    if dispatch.kernels.has_openmp():
        assert core.effective_n_threads(3) == 3
    with pytest.raises(ValueError, match="n_jobs=0"):
        core.effective_n_threads(0)


def test_cpus_of_the_process_are_the_limit(monkeypatch):
    dispatch.available_cpus.cache_clear()
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)  # what a container with one CPU gives
    assert core.effective_n_threads() == 1
    dispatch.available_cpus.cache_clear()


def test_predicting_through_the_core_does_not_import_scikit_learn():
    run_python("""
        import sys
        import numpy as np
        import pylstm

        arch = pylstm.core.Architecture(n_features=2, hidden_size=3)
        params = np.zeros(pylstm.core.n_parameters(arch))
        pylstm.core.predict(params, np.zeros((4, 5, 2)), arch, n_threads=1)
        assert "sklearn" not in sys.modules
        assert set(pylstm.__all__) <= set(dir(pylstm))
    """)


def test_what_is_imported_at_its_first_use_is_there_and_nothing_else():
    for name in pylstm.__all__:
        assert getattr(pylstm, name) is not None
    with pytest.raises(AttributeError, match="missing"):
        pylstm.missing  # noqa: B018


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_interrupt_stops_fit_within_a_second_and_keeps_the_last_epoch(n_jobs):
    output = run(f"""
        import signal
        import time
        import warnings
        from pylstm import LSTMRegressor

        warnings.simplefilter("ignore")
        X = rng.normal(size=(1024, 50, 8)).astype(np.float32)
        y = X[:, -1, 0]
        small = dict(hidden_size=64, batch_size=1024, random_state=0, n_jobs={n_jobs})
        regressor = LSTMRegressor(**small, max_iter=10_000, tol=0.0, n_iter_no_change=10_000)
        # the interrupt falls into the third epoch, or a later one on a fast machine
        started = time.perf_counter()
        LSTMRegressor(**small, max_iter=1, tol=0.0).fit(X, y)
        epoch = time.perf_counter() - started
        signalled = []

        def interrupt(*_):
            signalled.append(time.process_time())  # the clock runs while a process waits for others
            raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, interrupt)
        signal.setitimer(signal.ITIMER_REAL, 2.5 * epoch)
        try:
            regressor.fit(X, y)
        except KeyboardInterrupt:
            pass
        late = (time.process_time() - signalled[0]) / {n_jobs}
        assert late < 1, late
        n = getattr(regressor, "n_iter_", 0)
        if n:
            assert len(regressor.loss_curve_) == n
            again = LSTMRegressor(**small, max_iter=n, tol=0.0).fit(X, y)
            np.testing.assert_array_equal(again.predict(X[:100]), regressor.predict(X[:100]))
        print("interrupted after", n)
    """)
    assert output.startswith("interrupted after")


SUB_INTERPRETERS = """
    try:
        import _interpreters as interpreters
    except ImportError:
        import _xxsubinterpreters as interpreters

    def in_a_sub_interpreter(code):
        other = interpreters.create()
        try:
            failure = interpreters.run_string(other, code)  # an exception, or since 3.13 its summary
            print(getattr(failure, "formatted", failure))
        except Exception as error:
            print(error)
        interpreters.destroy(other)
"""


@pytest.mark.parametrize("first", ["main", "sub-interpreter"])
def test_a_sub_interpreter_is_refused_and_the_main_one_goes_on(first):
    try:
        importlib.import_module(
            "_interpreters" if sys.version_info >= (3, 13) else "_xxsubinterpreters"
        )
    except ImportError:
        pytest.skip("no sub-interpreters")
    refused = 'in_a_sub_interpreter("import sys; sys.path[:] = %r; import pylstm" % sys.path)\n'
    output = run_python(
        "import sys\n"
        + textwrap.dedent(SUB_INTERPRETERS)
        + (refused if first == "sub-interpreter" else "")
        + textwrap.dedent(COMMON)
        + refused
        + textwrap.dedent("""
            np.testing.assert_array_equal(fit_and_predict(1), fit_and_predict(2))
            arch = core.Architecture(n_features=1, hidden_size=16)
            params = core.init_parameters(arch, random_state=0)
            X = np.broadcast_to(np.float32(1), (17, 30_000, 1))  # for long enough to look for Ctrl-C
            np.testing.assert_array_equal(
                core.loss_and_gradient(params, X, np.ones((17, 1)), arch, n_threads=2)[1],
                core.loss_and_gradient(params, X, np.ones((17, 1)), arch, n_threads=1)[1],
            )
        """)
    )
    assert output.count("this is a sub-interpreter") == (2 if first == "sub-interpreter" else 1)
