"""Refuses sub-interpreters, before anything is imported that does not know of them.

The compiled kernels keep what they know in their process (threads, forks), and could be loaded by one
interpreter only: the first to ask would have them, and no other.
"""

from importlib import import_module


def _in_main_interpreter() -> bool:
    for name in ("_interpreters", "_xxsubinterpreters"):  # the latter before Python 3.13
        try:
            interpreters = import_module(name)
        except ImportError:
            continue
        return bool(interpreters.get_current() == interpreters.get_main())
    return True  # an implementation of Python that has no others


if not _in_main_interpreter():
    raise ImportError(
        "pylstm runs in the main interpreter of a process only, and this is a sub-interpreter. Use "
        "processes or threads instead; with mod_wsgi, 'WSGIApplicationGroup %{GLOBAL}'."
    )
