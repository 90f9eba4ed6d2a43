"""What low-level calls refuse: numbers and arrays of a wrong type, range or shape. No scikit-learn here."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np

FLOATS = frozenset({np.dtype(np.float32), np.dtype(np.float64)})

_PLAIN: dict[Any, type] = {bool: bool, Integral: int, Real: float}


def require(
    name: str,
    value: Any,
    kind: Any,
    wanted: str,
    holds: Callable[[Any], bool] | None = None,
) -> Any:
    """The value as a plain Python one, if it is of a kind and `holds` is true of it.

    Parameters
    ----------
    name : str
        What errors call it.
    value : object
        The value.
    kind : type
        `numbers.Integral`, `numbers.Real` or bool, which take NumPy's scalars too (a bool is no number
        here), or any other type.
    wanted : str
        What errors say the value must be.
    holds : callable, default=None
        Whether a value is in range; should be false for nan.

    Returns
    -------
    value : int, float, bool or `kind`
    """
    if type(value) is not _PLAIN.get(kind):  # which most are: asking more takes a microsecond
        is_bool = isinstance(value, bool | np.bool_)
        if is_bool != (kind is bool) or not (is_bool or isinstance(value, kind)):
            raise TypeError(f"{name} must be {wanted}, got {value!r}.")
        try:
            value = _PLAIN[kind](value) if kind in _PLAIN else value
        except OverflowError:  # an integer beyond every float
            raise ValueError(f"{name} must be {wanted}, got {value!r}.") from None
    if holds is not None and not holds(value):
        raise ValueError(f"{name} must be {wanted}, got {value!r}.")
    return value


def as_array(name: str, values: Any) -> np.ndarray[Any, Any]:
    """An ndarray of the values; their masks, which would get lost, are refused."""
    if type(values) is np.ndarray:
        return values
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(
            f"{name} is a masked array, whose mask would be ignored. Fill in the missing values, or make "
            "them NaN, which a network with mask_missing=True reads: .filled(np.nan)."
        )
    return np.asarray(values)


def check_shape(name, array, shape):
    """Refuse an array of another shape."""
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}.")


def check_real(name, array):
    """Refuse an array of anything but real numbers."""
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}.")


def check_in_place(name, array):
    """Refuse what the kernels cannot write to."""
    if not (isinstance(array, np.ndarray) and array.flags.carray):
        raise ValueError(
            f"{name} must be a C-contiguous, aligned and writable ndarray: it is updated in place."
        )


def check_disjoint(changed, read):
    """Refuse arrays that would change while they are read: names and arrays that are changed, and read.

    Changed arrays are to share memory with none of the others either.
    """
    arrays = [*changed.items(), *read.items()]
    for number, (name, array) in enumerate(arrays[: len(changed)]):
        for other_name, other in arrays[number + 1 :]:
            # Of two that own their memory neither lies in the other's, as is nearly always the case.
            owners = array.base is None and other.base is None and array is not other
            if not owners and np.shares_memory(array, other):
                raise ValueError(
                    f"{name} and {other_name} share memory, and {name} is updated in place: pass a copy."
                )


def contiguous(array, dtype):
    """The array, or a copy of the dtype wanted that is C-contiguous and aligned."""
    flags = array.flags  # np.require asks for the same, and takes three microseconds
    if array.dtype == dtype and flags.c_contiguous and flags.aligned:
        return array
    with np.errstate(invalid="ignore"):  # of R's NA, a signalling NaN
        return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED"])


def is_plain(array, shape):
    """Whether it is an ndarray of that shape as the kernels take it; most are."""
    return type(array) is np.ndarray and array.shape == shape and array.flags.carray


def dense(name, array, shape, dtype):
    """A C-contiguous array of real numbers, of the dtype and the shape wanted."""
    if is_plain(array, shape) and array.dtype is dtype:
        return array
    array = as_array(name, array)
    check_real(name, array)
    check_shape(name, array, shape)
    return contiguous(array, dtype)


def check_states(first, second, shape, dtype):
    """Two optional arrays of states, each given as (name, array); None twice where both are missing."""
    return tuple(
        None if states is None else dense(name, states, shape, dtype)
        for name, states in (first, second)
    )


def float_dtype(dtype):
    """float32 or float64."""
    dtype = np.dtype(dtype)
    if dtype not in FLOATS:
        raise ValueError(f"dtype must be float32 or float64, got {dtype}.")
    return dtype
