"""The safetensors format: named arrays and a table of texts in a file that holds no code.

A file is a number N (8 bytes, the lowest first), N bytes of JSON, and the arrays' bytes, one array
behind the other. The JSON is an object of ``{"dtype": "F32", "shape": [3, 8], "data_offsets": [0, 96]}`` by
the arrays' names, and ``"__metadata__"``, an object of texts. The format is that of the package
safetensors, which reads these files and writes such that are read here.
"""

import json
import math
import os
from collections.abc import Mapping
from typing import IO

import numpy as np

from .._typing import Array

_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "U32": np.dtype("<u4"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_METADATA = "__metadata__"
_LARGEST_HEADER = 100_000_000  # bytes, as in the package
_MOST_DIMENSIONS = 8


def write(file: IO[bytes], arrays: Mapping[str, Array], texts: Mapping[str, str]) -> None:
    """Write arrays of float64, float32, int64 or uint32, and texts, by their names."""
    # Wide numbers first: each array then starts where the processor wants it.
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header: dict[str, object] = {_METADATA: dict(texts)}
    end = 0
    for name in order:
        array = arrays[name]
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": _NAMES[array.dtype.newbyteorder("<")],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    if len(encoded) > _LARGEST_HEADER:
        raise ValueError(f"The texts and names are too long for a file: {len(encoded)} bytes.")
    file.write(len(encoded).to_bytes(8, "little"))
    file.write(encoded)
    for name in order:
        array = arrays[name]
        file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes())


def read(file: IO[bytes]) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and the texts of a file; ValueError for anything that is not whole and consistent.

    Nothing is allocated beyond the size of the file.
    """
    start = file.tell()
    size = file.seek(0, os.SEEK_END) - start
    file.seek(start)
    if size < 8:
        raise ValueError(f"it has {size} bytes")
    header_size = int.from_bytes(file.read(8), "little")
    if header_size > min(size - 8, _LARGEST_HEADER):
        raise ValueError("it ends within its header, or is of another format")
    header = _parse(file.read(header_size))
    texts = header.pop(_METADATA, {})
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("its metadata are no texts")
    data_size = size - 8 - header_size
    places = {name: _place(name, entry) for name, entry in header.items()}
    _check_tiling(places, data_size)
    data = file.read(data_size)
    if len(data) != data_size:
        raise ValueError("it became shorter while it was read")
    arrays = {
        name: np.frombuffer(data, dtype, math.prod(shape), offset=begin)
        .reshape(shape)
        .astype(dtype.newbyteorder("="))  # a copy, which may be written to
        for name, (dtype, shape, begin, _) in places.items()
    }
    return arrays, texts


def _parse(encoded):
    def unique(pairs):
        parsed = dict(pairs)
        if len(parsed) < len(pairs):
            raise ValueError("a name occurs twice in its header")
        return parsed

    if encoded[:1] != b"{":
        raise ValueError("its header is no JSON object")
    try:
        return json.loads(encoded.decode("utf-8"), object_pairs_hook=unique)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"its header is no JSON object: {error}") from None


def _place(name, entry):
    """dtype, shape, and the first and last place of an array's bytes."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the entry of {name!r} is no array's")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"the array {name!r} has the dtype {dtype!r}, not one of {list(_DTYPES)}")
    if not _are_sizes(shape) or len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"the array {name!r} has the shape {shape!r}")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"the array {name!r} has the offsets {offsets!r}")
    begin, end = offsets
    # Python's integers: this product cannot overflow.
    if end - begin != math.prod(shape) * _DTYPES[dtype].itemsize:
        raise ValueError(f"the array {name!r} of shape {shape} does not take {end - begin} bytes")
    return _DTYPES[dtype], tuple(shape), begin, end


def _are_sizes(values):
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_tiling(places, data_size):
    """Refuse arrays that overlap, leave holes, or do not end with the file."""
    covered = 0
    for _, _, begin, end in sorted(places.values(), key=lambda place: place[2:]):
        if begin != covered:
            raise ValueError("its arrays overlap, or there are holes between them")
        covered = end
    if covered != data_size:
        raise ValueError(f"its arrays should take {covered} bytes, and there are {data_size}")
