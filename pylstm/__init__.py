"""pylstm: the LSTM for scikit-learn users."""

from . import core
from ._config import show_config
from ._regressor import LSTMRegressor
from ._version import __version__
from .windows import SequenceScaler, sliding_windows

__all__ = [
    "LSTMRegressor",
    "SequenceScaler",
    "__version__",
    "core",
    "show_config",
    "sliding_windows",
]
