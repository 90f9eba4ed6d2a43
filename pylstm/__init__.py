"""pylstm: the LSTM for scikit-learn users."""

from importlib import import_module
from typing import TYPE_CHECKING

from . import core
from ._config import show_config
from ._version import __version__

if TYPE_CHECKING:
    from ._classifier import LSTMClassifier
    from ._regressor import LSTMRegressor
    from .windows import SequenceScaler, sliding_windows

__all__ = [
    "LSTMClassifier",
    "LSTMRegressor",
    "SequenceScaler",
    "__version__",
    "core",
    "show_config",
    "sliding_windows",
]

# What stands on scikit-learn comes with its first use: a program that only predicts through `core`
# starts in a few milliseconds.
_ON_SCIKIT_LEARN = {
    "LSTMClassifier": "_classifier",
    "LSTMRegressor": "_regressor",
    "SequenceScaler": "windows",
    "sliding_windows": "windows",
}


def __getattr__(name):
    if name not in _ON_SCIKIT_LEARN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_ON_SCIKIT_LEARN[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(globals().keys() | set(__all__))
