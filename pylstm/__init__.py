"""pylstm: the LSTM for scikit-learn users."""

from . import core
from ._config import show_config
from ._version import __version__
from .windows import SequenceScaler, sliding_windows

__all__ = [
    "SequenceScaler",
    "__version__",
    "core",
    "show_config",
    "sliding_windows",
]
