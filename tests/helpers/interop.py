"""For the tests of files and exchange: what two estimators have in common, and files by their parts."""

import io
import json

import numpy as np
from numpy.testing import assert_array_equal

from pylstm.interop import _safetensors, _saving, load_model, save_model


def saved(model, **options):
    """The bytes of a model's file."""
    file = io.BytesIO()
    save_model(model, file, **options)
    return file.getvalue()


def loaded(content):
    return load_model(io.BytesIO(content))


def copied(model, **options):
    """The model, through a file."""
    return loaded(saved(model, **options))


def parts_of(content):
    """Arrays, texts, and the model's JSON, of a file."""
    arrays, texts = _safetensors.read(io.BytesIO(content))
    return arrays, texts, json.loads(texts["model"])


def assembled(arrays, texts, described):
    """A file of these parts, whose checksum is right whatever they say."""
    text = described if isinstance(described, str) else json.dumps(described)
    texts = texts | {"model": text}
    texts["sha256"] = _saving.digest(texts, arrays)
    file = io.BytesIO()
    _safetensors.write(file, arrays, texts)
    return file.getvalue()


def assert_same_state(one, other, place="model"):
    """Whether two objects are the same down to the last bit, whatever they are made of."""
    assert type(one) is type(other), place
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, place
        assert_array_equal(one, other, err_msg=place)
        assert other.flags.writeable, place
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            assert_same_state(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), place
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same_state(*pair, f"{place}[{number}]")
    elif isinstance(one, np.random.RandomState):
        assert_same_state(one.get_state(), other.get_state(), place)
    elif hasattr(one, "__dict__") and type(one).__eq__ is object.__eq__:
        assert_same_state(vars(one), vars(other), place)
    else:
        assert one == other or (one != one and other != other), place
