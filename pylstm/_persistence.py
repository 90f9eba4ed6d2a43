"""Pickles of fitted estimators that carry pylstm's own format version."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from .core import Architecture

FORMAT = 2
"""Format of the state that this version writes; raised by one whenever that state changes."""


def _with_units(state):
    """From format 1, before X and y were scaled within the estimators."""
    if "hidden_size" not in state:  # a scaler
        return state
    added = {"standardize": False, "window_scaling": None, "window_features": None}
    added |= {"forget_bias": 1.0}
    if "loss" in state:  # a regressor
        added |= {"quantile": None, "target_features": None, "highway": 0}
    if "_architecture" in state:
        from ._units import plain_units

        old = vars(state["_architecture"])
        names = [field.name for field in fields(Architecture) if field.name in old]
        arch = Architecture(**{name: old[name] for name in names})
        added |= {"_architecture": arch, "_standardizes": False, "_was_told_lengths": False}
        added |= {"_units": plain_units(arch.n_features)}
    return state | added


MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _with_units}
"""For each older format, a function that turns its state into that of the next format."""

_FORMAT_KEY = "_pylstm_format"


class VersionedStateMixin:
    """Stamp the pickled state with `FORMAT`, and check the stamp when it is read.

    scikit-learn stamps its version on its own classes only. Without a stamp a pickle of another
    version would load and then fail, or predict something else, far from the cause.
    """

    def __getstate__(self):
        return {**super().__getstate__(), _FORMAT_KEY: FORMAT}

    def __setstate__(self, state):
        super().__setstate__(_migrate(dict(state), type(self).__name__))


def _migrate(state, name):
    """The state in the present format, without its stamp."""
    written = state.pop(_FORMAT_KEY, None)
    if not isinstance(written, int) or written < 1:
        raise ValueError(
            f"This is no pickle of a pylstm {name}: it carries no pylstm format version "
            f"(got {written!r}). Fit the estimator again and pickle it with pylstm."
        )
    if written > FORMAT:
        raise ValueError(
            f"This {name} was pickled by a newer pylstm, in format {written}; the installed one "
            f"reads formats up to {FORMAT}. Upgrade pylstm to load it."
        )
    for older in range(written, FORMAT):
        state = MIGRATIONS[older](state)
    return state
