"""Refuses sub-interpreters, before anything is imported that does not know of them.

The compiled kernels keep what they know in their process (threads, forks), and could be loaded by one
interpreter only: the first to ask would have them, and no other.
"""

try:
    import _interpreters
except ImportError:  # before Python 3.13
    try:
        import _xxsubinterpreters as _interpreters
    except ImportError:  # an implementation of Python without sub-interpreters
        _interpreters = None

if _interpreters is not None and _interpreters.get_current() != _interpreters.get_main():
    raise ImportError(
        "pylstm runs in the main interpreter of a process only, and this is a sub-interpreter. Use "
        "processes or threads instead; with mod_wsgi, 'WSGIApplicationGroup %{GLOBAL}'."
    )
