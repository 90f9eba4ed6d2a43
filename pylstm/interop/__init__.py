"""Models leave and enter: files that hold no code."""

from ._saving import load_model, save_model

__all__ = ["load_model", "save_model"]
