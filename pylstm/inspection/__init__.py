"""Pictures of what a fitted LSTM does and how it was trained, after scikit-learn's displays.

matplotlib is needed to draw them, and imported only then.
"""

from ._gates import LSTMGateDisplay
from ._training import LossCurveDisplay

__all__ = ["LSTMGateDisplay", "LossCurveDisplay"]
