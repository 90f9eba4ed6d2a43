"""Files that are damaged, cut off, of others, newer or made to do harm: refused, each with a ValueError."""

import contextlib
import copy
import io
import json

import numpy as np
import pytest
from helpers.estimators import LABELS, X, classifier, model, y
from helpers.interop import assembled, loaded, parts_of, saved
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pylstm import SequenceLayout, SequenceScaler
from pylstm.core import Quantile
from pylstm.interop import _safetensors
from pylstm.training import EMA

MODELS = {
    "regressor": lambda: model(averaging=EMA(0.9), loss=Quantile((0.1, 0.9))).fit(X, y),
    "classifier": lambda: classifier(bidirectional=True, class_weight={"up": 2.0}).fit(X, LABELS),
    "around": lambda: TransformedTargetRegressor(
        make_pipeline(SequenceScaler(), model(hidden_size=2)), transformer=StandardScaler()
    ).fit(X, y),
    "laid out": lambda: TransformedTargetRegressor(
        make_pipeline(SequenceLayout(order="steps", newest_first=True), model(hidden_size=2)),
        transformer=StandardScaler(),
    ).fit(X, y),
}


@pytest.fixture(scope="module", params=MODELS)
def content(request):
    """The file of a small model."""
    return saved(MODELS[request.param]())


@pytest.fixture(scope="module")
def plain():
    return saved(model(hidden_size=2).fit(X, y), optimizer=False)


def network_of(found):
    """The network in a model, and X as it reads it."""
    if not hasattr(found, "regressor_"):
        return found, X
    pipeline = found.regressor_
    return pipeline[-1], pipeline[:-1].transform(X)


def refused_or_sound(content):
    """Whether a file is refused; what is not refused can be used."""
    try:
        found = loaded(content)
    except ValueError:
        return True
    # Steps, features and settings may be others, which are refused as those of any estimator.
    network = found
    with contextlib.suppress(ValueError, TypeError, OverflowError, MemoryError):
        network, data = network_of(found)
        if hasattr(network, "classes_"):
            assert network.predict_proba(data).shape == (45, len(network.classes_))
        else:
            assert np.isfinite(network.predict(data)).all()
        network.partial_fit(data, LABELS if hasattr(network, "classes_") else y)
    return False


def test_a_flipped_bit_is_noticed(content):
    rng = np.random.default_rng(0)
    for place in rng.choice(len(content), 300, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.integers(8)
        # One that only changes how the header is written changes nothing.
        if not refused_or_sound(bytes(damaged)):
            assert parts_of(bytes(damaged))[1:] == parts_of(content)[1:]


def test_a_file_that_was_cut_off_is_refused(content):
    rng = np.random.default_rng(0)
    for length in [0, 7, 8, 9, *rng.integers(len(content), size=100), len(content) - 1]:
        with pytest.raises(ValueError, match=r"is no file of a model, or is damaged"):
            loaded(content[:length])
    with pytest.raises(ValueError, match=r"should take \d+ bytes, and there are"):
        loaded(content + b"\0")


def test_noise_is_refused():
    rng = np.random.default_rng(0)
    for size in (0, 1, 8, 100, 10_000):
        with pytest.raises(ValueError, match="is no file of a model"):
            loaded(rng.bytes(size))


# What a field may be replaced with: every kind of JSON, and numbers beyond every memory.
VALUES = (
    None, True, -1, 0, 3, 2**31, 2**62, 2**70, 1e308, -0.5, "", "x", "W0", "V", [], [1], {},
    {"float": "nan"}, {"float": "inf"}, {"tuple": [1, 2]}, {"dict": [[[], 1]]},
    {"settings": "Quantile", "arguments": {"quantiles": 0.5}},
    {"settings": "LogLoss", "arguments": {"n_classes": 10**9}},
    {"settings": "Architecture", "arguments": {"n_features": 2**61, "hidden_size": 2**60}},
    {"settings": "Architecture", "arguments": {"n_features": 2, "num_layers": 10**12}},
    {"array": {"dtype": "U999999", "values": ["a"] * 1000}},
    {"array": {"dtype": "O", "values": [1, "a"]}}, {"estimator": {"class": "os.system"}},
)  # fmt: skip


def fields_of(described, path=()):
    """The paths of all values within JSON."""
    items = described.items() if isinstance(described, dict) else enumerate(described)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from fields_of(value, (*path, key))


def changed(described, path, value):
    described = copy.deepcopy(described)
    inner = described
    for key in path[:-1]:
        inner = inner[key]
    if value is Ellipsis:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return described


@pytest.mark.filterwarnings("ignore")
def test_a_field_of_any_other_value_is_refused_or_harmless(content):
    arrays, texts, described = parts_of(content)
    rng = np.random.default_rng(0)
    n_refused = 0
    paths = list(fields_of(described))
    paths = [paths[k] for k in rng.permutation(len(paths))[:120]]
    for path in paths:
        for value in (Ellipsis, *rng.choice(np.array(VALUES, dtype=object), 2)):
            hostile = assembled(arrays, texts, changed(described, path, value))
            n_refused += refused_or_sound(hostile)
    assert n_refused > 1.5 * len(paths)


def test_arrays_that_do_not_fit_are_refused(content):
    arrays, texts, described = parts_of(content)
    for name, array in arrays.items():
        for other in (
            array[:-1],
            np.concatenate([array, array]),
            array[np.newaxis],
            array.astype(np.int64),
            array.astype(np.float32 if array.dtype == np.float64 else np.float64),
        ):
            if name.endswith(("loss_curve", "validation_scores")) and other.ndim == 1:
                continue  # of any length
            with pytest.raises(ValueError, match="contradicts itself"):
                loaded(assembled(arrays | {name: other}, texts, described))
        with pytest.raises(ValueError, match="contradicts itself"):
            loaded(assembled({k: v for k, v in arrays.items() if k != name}, texts, described))
    with pytest.raises(ValueError, match=r"\['more'\] belong to nothing"):
        loaded(assembled(arrays | {"more": np.zeros(3)}, texts, described))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(plain, value):
    arrays, texts, described = parts_of(plain)
    arrays["U0"][0, 0] = value
    with pytest.raises(ValueError, match="The weights are not finite"):
        loaded(assembled(arrays, texts, described))


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("2", r"by pylstm 9\.9 in format 2; .* reads formats up to 1\. Upgrade pylstm"),
        ("0", "no model that pylstm"),
        ("-1", "no model that pylstm"),
        ("²", "no model that pylstm"),
        ("1" * 5000, "no model that pylstm"),
    ],
)
def test_formats_that_are_not_known_are_refused(plain, number, message):
    arrays, texts, described = parts_of(plain)
    texts |= {"pylstm_format": number, "pylstm_version": "9.9"}
    with pytest.raises(ValueError, match=message):
        loaded(assembled(arrays, texts, described))


def test_parameters_of_a_later_version_are_named(plain):
    arrays, texts, described = parts_of(plain)
    described["parameters"]["attention"] = True
    with pytest.raises(ValueError, match=r"no parameters \['attention'\]; a newer pylstm may have"):
        loaded(assembled(arrays, texts, described))


def test_parameters_that_an_earlier_version_had_not_are_those_of_a_new_estimator(plain):
    arrays, texts, described = parts_of(plain)
    del described["parameters"]["recurrent_dropout"]
    assert loaded(assembled(arrays, texts, described)).recurrent_dropout == 0


def test_files_of_others_are_refused():
    file = io.BytesIO()
    _safetensors.write(file, {"weight": np.zeros(3)}, {"format": "pt"})
    with pytest.raises(ValueError, match="in the safetensors format, but no model that pylstm"):
        loaded(file.getvalue())


def with_header(header, data=b""):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


HEADERS = {
    "length beyond the file": ((2**63).to_bytes(8, "little") + b"{}", "ends within its header"),
    "no object": (with_header(b"[1]"), "no JSON object"),
    "no JSON": (with_header(b"{nothing}"), "no JSON object"),
    "no UTF-8": (with_header(b'{"\xff": 1}'), "no JSON object"),
    "nested beyond all": (with_header(b'{"a":' * 200_000 + b"}"), "no JSON object"),
    "long number": (with_header(b'{"a": ' + b"9" * 10_000 + b"}"), "is no file of a model"),
    "a name twice": (with_header(b'{"a": 1, "a": 2}'), "twice"),
    "texts that are none": (with_header({"__metadata__": {"a": 1}}), "no texts"),
    "no table of texts": (with_header({"__metadata__": [1]}), "no texts"),
    "no entry": (with_header({"a": 1}), "no array's"),
    "dtype": (with_header({"a": entry([1], 0, 4, "O")}, b"0000"), "has the dtype 'O'"),
    "size that overflows": (with_header({"a": entry([2**32, 2**32], 0, 0)}), "not take 0 bytes"),
    "size that overflows to it": (with_header({"a": entry([2**62, 1], 0, 0)}), "not take 0 bytes"),
    "negative size": (with_header({"a": entry([-1, -4], 0, 16)}, bytes(16)), "has the shape"),
    "size that is no integer": (with_header({"a": entry([1.0], 0, 4)}, bytes(4)), "has the shape"),
    "size that is a truth": (with_header({"a": entry([True], 0, 4)}, bytes(4)), "has the shape"),
    "many dimensions": (with_header({"a": entry([1] * 100, 0, 4)}, bytes(4)), "has the shape"),
    "end before the start": (with_header({"a": entry([1], 8, 4)}, bytes(8)), "not take -4 bytes"),
    "three offsets": (
        with_header({"a": entry([1], 0, 4) | {"data_offsets": [0, 4, 8]}}, bytes(4)),
        "has the offsets",
    ),
    "beyond the file": (with_header({"a": entry([1 << 40], 0, 1 << 42)}), "there are 0"),
    "overlap": (
        with_header({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)),
        "overlap",
    ),
    "hole": (with_header({"a": entry([1], 0, 4), "b": entry([1], 8, 12)}, bytes(12)), "holes"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), HEADERS.values(), ids=HEADERS)
def test_a_header_that_contradicts_itself_or_the_file_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        loaded(content)
