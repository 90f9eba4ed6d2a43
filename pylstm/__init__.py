"""pylstm: the LSTM for scikit-learn users.

Public are the names in `__all__`, and the modules among them: `core` (arrays in, arrays out), `forecasting`,
`inspection` (pictures), `interop` (files, other libraries), `training` (schedules, averages, callbacks)
and `windows`. Everything that starts with an underscore may change without notice.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from . import _interpreter as _interpreter  # first: it refuses where nothing else would load
from . import core
from ._dispatch import show_config
from ._version import __version__

if TYPE_CHECKING:
    from . import forecasting, inspection, interop, training, windows
    from ._backtest import Backtest
    from ._classifier import LSTMClassifier
    from ._forecaster import LSTMForecaster
    from ._layout import SequenceLayout
    from ._many import LSTMForecasterPerSeries
    from ._regressor import LSTMRegressor
    from ._scaler import SequenceScaler
    from ._splits import PanelSplit
    from .forecasting import forecast
    from .windows import sliding_windows

__all__ = [
    "Backtest",
    "LSTMClassifier",
    "LSTMForecaster",
    "LSTMForecasterPerSeries",
    "LSTMRegressor",
    "PanelSplit",
    "SequenceLayout",
    "SequenceScaler",
    "__version__",
    "core",
    "forecast",
    "forecasting",
    "inspection",
    "interop",
    "show_config",
    "sliding_windows",
    "training",
    "windows",
]

# What stands on scikit-learn comes with its first use: a program that only predicts through `core`
# starts in a few milliseconds.
_ON_FIRST_USE = {
    "Backtest": "_backtest",
    "LSTMClassifier": "_classifier",
    "LSTMForecaster": "_forecaster",
    "LSTMForecasterPerSeries": "_many",
    "LSTMRegressor": "_regressor",
    "PanelSplit": "_splits",
    "SequenceLayout": "_layout",
    "SequenceScaler": "_scaler",
    "forecast": "forecasting",
    "forecasting": "forecasting",
    "inspection": "inspection",
    "interop": "interop",
    "sliding_windows": "windows",
    "training": "training",
    "windows": "windows",
}


def __getattr__(name):
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_ON_FIRST_USE[name]}", __name__)
    value = module if name == _ON_FIRST_USE[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(globals().keys() | set(__all__))
