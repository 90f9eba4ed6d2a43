"""Which compiled kernels run, on how many threads, and the report of it."""

import importlib
import importlib.util
import os
import platform
import sys
from functools import lru_cache
from numbers import Integral
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from ._checks import require
from ._version import __version__

# How the OpenMP runtime that comes with the kernels waits for work. A process may hold other runtimes
# (PyTorch and scikit-learn bring their own), and threads that spin for long take the processors from
# each other: so ours soon sleep. GNU's spins for some tens of microseconds first, which bridges the gap
# between two training steps and saves waking the threads for each.
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "3000"}


def _load(module: str) -> ModuleType:
    """Import a compiled module; the first one brings its OpenMP runtime along.

    Runtimes read the environment when they are loaded, so it is set for that moment, unless the user
    has set any of it.
    """
    settings = {} if _WAITING.keys() & os.environ.keys() else _WAITING
    os.environ.update(settings)
    try:
        return importlib.import_module(f".{module}", __package__)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"pylstm's compiled module {module} is missing in {os.path.dirname(__file__)}. If this is "
            "the source folder, run Python elsewhere after 'pip install .', or install with "
            "'pip install -e .'."
        ) from error
    finally:
        for name in settings:
            del os.environ[name]


def _was_forked() -> bool:
    """Whether the process was forked, and has not become another program since. Linux alone tells."""
    try:
        with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
            flags = file.read().rpartition(")")[2].split()[6]
    except (OSError, IndexError):
        return False
    return bool(int(flags) & 0x40)  # PF_FORKNOEXEC


def _mapped_files() -> set[str]:
    """The files that the process has in its memory, libraries among them."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
        return {line.rstrip("\n").split(maxsplit=5)[-1] for line in file}


# In a forked process a runtime that was there before may remember threads that are not: one thread then.
_inherited = _mapped_files() if _was_forked() else set()
_baseline = _load("_core")

# Instruction set -> compiled module, from the least to the most demanding.
_MODULES = {"baseline": "_core", "avx2": "_core_avx2", "avx512": "_core_avx512"}


def available_instruction_sets() -> list[str]:
    """Names of the instruction sets that this build has kernels for and this processor supports."""
    available = []
    for level, (name, module) in enumerate(_MODULES.items()):
        built = name == "baseline" or importlib.util.find_spec(f"{__package__}.{module}")
        if built and level <= _baseline.supported_level():
            available.append(name)
    return available


def _choose_kernels() -> tuple[str, ModuleType]:
    """The best available kernels, or those the environment variable PYLSTM_ISA names."""
    available = available_instruction_sets()
    name = os.environ.get("PYLSTM_ISA") or available[-1]
    if name not in available:
        raise ImportError(
            f"PYLSTM_ISA={name!r}, but the instruction sets available here are {available}; "
            "unset it to let pylstm choose."
        )
    return name, _load(_MODULES[name])


if TYPE_CHECKING:  # all are compiled from one source
    from . import _core as kernels

    instruction_set: str
else:
    instruction_set, kernels = _choose_kernels()
    if _inherited and os.path.realpath(kernels.openmp_file() or "") in _inherited:
        kernels.distrust_threads()


# More threads than a few for each processor bring nothing; each costs memory, and starting very many of
# them can end the process.
_MOST_THREADS = 4 * (os.cpu_count() or 1)


@lru_cache(maxsize=1)
def available_cpus() -> int:
    """CPUs of this process, container limits included; reading those takes longer than a prediction."""
    from joblib import cpu_count

    count: int = cpu_count()
    return count


def effective_n_threads(n_jobs: int | None = None) -> int:
    """Number of threads that a call with `n_jobs` runs on.

    Parameters
    ----------
    n_jobs : int or None, default=None
        None: the smaller of OpenMP's maximum (which `OMP_NUM_THREADS` and threadpoolctl set) and
        the number of CPUs that joblib counts (container limits included). A positive number: that
        many, but no more than four for each processor of the machine. A negative one: all of the
        former but ``-n_jobs - 1``.

    Returns
    -------
    n_threads : int
        At least 1; 1 in a build without OpenMP, and in a process forked from one that had several
        threads, where OpenMP cannot be used safely. A call uses fewer if it has less to do.

    Raises
    ------
    TypeError
        If `n_jobs` is no integer.
    ValueError
        If `n_jobs` is 0.

    Examples
    --------
    >>> from pylstm.core import effective_n_threads
    >>> effective_n_threads(1)
    1
    """
    if n_jobs is not None:
        n_jobs = require("The number of threads", n_jobs, Integral, "an integer or None")
    if n_jobs == 0:
        raise ValueError("n_jobs=0 has no meaning; use None for all CPUs or a number of threads.")
    if n_jobs == 1 or not kernels.has_openmp():
        return 1
    if n_jobs is None or n_jobs < 0:
        n_threads = min(kernels.max_threads(), available_cpus())
        if n_jobs is not None:
            n_threads = max(1, n_threads + 1 + n_jobs)
    else:
        n_threads = min(n_jobs, _MOST_THREADS)
    return kernels.thread_count(n_threads)


def config() -> dict[str, str | int]:
    """What `show_config` prints, as a dict of names and values."""
    import sklearn

    return {
        "pylstm": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "platform": f"{sys.platform} {platform.machine()}",
        "instruction set": f"{instruction_set} ({kernels.compiled_for()})",
        "available": ", ".join(available_instruction_sets()),
        "OpenMP": "yes" if kernels.has_openmp() else "no: built without it, runs on one thread",
        "threads": effective_n_threads(),
    }


def show_config() -> None:
    """Print versions, the instruction set in use, OpenMP and the number of threads.

    Examples
    --------
    >>> import pylstm
    >>> pylstm.show_config()  # doctest: +ELLIPSIS
    pylstm ...
    """
    for name, value in config().items():
        print(f"{name:<16} {value}")
