"""What a fitted LSTM does, which inputs its predictions rest on, and how it was trained.

The displays are after scikit-learn's; matplotlib is needed to draw them, and imported only then.
"""

from ._attribution_display import AttributionDisplay
from ._attributions import Attributions, expected_gradients, integrated_gradients
from ._gates import LSTMGateDisplay
from ._importance import permutation_importance
from ._training import LossCurveDisplay

__all__ = [
    "AttributionDisplay",
    "Attributions",
    "LSTMGateDisplay",
    "LossCurveDisplay",
    "expected_gradients",
    "integrated_gradients",
    "permutation_importance",
]
