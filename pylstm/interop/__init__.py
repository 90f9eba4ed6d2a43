"""Models leave and enter: files that hold no code, ONNX, PyTorch and Keras.

The other libraries are needed only by the functions that make or take their objects, and imported there.
"""

from ._keras import from_keras, to_keras
from ._onnx import register_onnx_converters, to_onnx
from ._saving import load_model, save_model
from ._torch import from_torch, to_torch
from ._trusted import trusted_types

__all__ = [
    "from_keras",
    "from_torch",
    "load_model",
    "register_onnx_converters",
    "save_model",
    "to_keras",
    "to_onnx",
    "to_torch",
    "trusted_types",
]
