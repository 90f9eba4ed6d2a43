"""Which line of the user's program a warning points at."""

import sys

_LIBRARIES = frozenset({"pylstm", "sklearn", "joblib"})


def users_level() -> int:
    """The `stacklevel` of the caller's warning that points at the user's call, however deep it arises."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and _is_of_library(frame.f_globals):
        frame, level = frame.f_back, level + 1
    return level


def _is_of_library(names: dict[str, object]) -> bool:
    return str(names.get("__name__")).partition(".")[0] in _LIBRARIES
