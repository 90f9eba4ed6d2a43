"""Under which name a public class is known."""

from collections.abc import Callable
from typing import TypeVar

_Class = TypeVar("_Class", bound=type)


def public_in(module: str) -> Callable[[_Class], _Class]:
    """Class decorator: pickles, files and messages name the public module, wherever the class stands.

    A file outlives the place of the code: what has been saved as `pylstm.core.Huber` can be read by
    every version that has this class, whichever module defines it.
    """

    def name(cls: _Class) -> _Class:
        cls.__module__ = module
        return cls

    return name
