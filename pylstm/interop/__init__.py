"""Models leave and enter: files that hold no code, PyTorch and Keras.

PyTorch and Keras are needed only by the functions that make or take their objects, and imported there.
"""

from ._keras import from_keras, to_keras
from ._saving import load_model, save_model
from ._torch import from_torch, to_torch

__all__ = ["from_keras", "from_torch", "load_model", "save_model", "to_keras", "to_torch"]
