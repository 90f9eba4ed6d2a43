"""What holds for any samples and any course of events, tried on random ones."""

import contextlib
import copy
import pickle
import warnings

import numpy as np
import pytest
from helpers.estimators import X, assert_same_fit, model, raises, replace_pass, y
from helpers.training import Recorder
from numpy.testing import assert_array_equal

from pylstm.training import EMA, SWA, TrainingCallback

hypothesis = pytest.importorskip("hypothesis")
st = pytest.importorskip("hypothesis.strategies")

# The same examples in every run: what fails then is due to the change at hand.
some = hypothesis.settings(max_examples=50, deadline=None, derandomize=True, database=None)

# -- what is learned in a course of calls ---------------------------------------------------------

CALLS = {
    "fit": lambda regressor, data: regressor.set_params(warm_start=False).fit(data, y),
    "go on": lambda regressor, data: regressor.set_params(warm_start=True).fit(data, y),
    "one more": lambda regressor, data: regressor.partial_fit(data, y),
    "other samples": lambda regressor, data: regressor.partial_fit(data[:20], y[:20]),
}
COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda regressor: pickle.loads(pickle.dumps(regressor)),
}


class Stops(TrainingCallback):
    def before_iteration(self, model, epoch, evals_log):
        return True


# What makes a call come to nothing: another X, the first pass, or a callback.
FAILURES = {
    "NaN": {"data": np.full_like(X, np.nan)},
    "error": {"effect": raises(MemoryError)},
    "Ctrl-C": {"effect": raises(KeyboardInterrupt)},
    "callback stops": {"callback": Stops()},
    "callback fails": {"callback": Recorder(event="before_training", error=ZeroDivisionError)},
    "callback fails late": {"callback": Recorder(event="after_training", error=ZeroDivisionError)},
    "callback, Ctrl-C": {"callback": Recorder(event="before_training", error=KeyboardInterrupt)},
}
events = st.one_of(
    st.sampled_from([*CALLS, *COPIES]),
    st.tuples(st.sampled_from([*CALLS]), st.sampled_from([*FAILURES])),
)


def come_to_nothing(regressor, call, data=X, effect=None, callback=None):
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        if effect is not None:
            replace_pass(patch, 1, effect)
        if callback is not None:
            regressor.callbacks = [callback]
        if isinstance(callback, Stops):
            stack.enter_context(pytest.warns(UserWarning, match="left as it was"))
        else:
            errors = (ValueError, MemoryError, ZeroDivisionError, KeyboardInterrupt)
            stack.enter_context(pytest.raises(errors))
        CALLS[call](regressor, data)
    regressor.callbacks = None


@some
@hypothesis.given(
    course=st.lists(events, min_size=1, max_size=8),
    averaging=st.sampled_from([None, EMA(0.9), SWA(0.0)]),
)
def test_what_fails_leaves_no_trace_and_copies_are_as_good(course, averaging):
    settings = {"max_iter": 2, "averaging": averaging, "dropout": 0.1, "n_iter_no_change": np.inf}
    regressor, undisturbed = model(**settings), model(**settings)
    for event in course:
        if event in CALLS:
            CALLS[event](regressor, X)
            CALLS[event](undisturbed, X)
        elif event in COPIES:
            before, regressor = regressor, COPIES[event](regressor)
            before.partial_fit(X, y)  # which is nothing to the copy
        else:
            call, failure = event
            come_to_nothing(regressor, call, **FAILURES[failure])
    assert hasattr(regressor, "n_iter_") == hasattr(undisturbed, "n_iter_")
    for _ in range(2):
        if hasattr(regressor, "n_iter_"):
            assert_same_fit(regressor, undisturbed)
            assert (regressor.n_iter_, regressor.t_) == (undisturbed.n_iter_, undisturbed.t_)
        regressor.partial_fit(X, y)
        undisturbed.partial_fit(X, y)


# -- what is predicted ----------------------------------------------------------------------------


@st.composite
def networks_and_samples(draw):
    """A network fitted for an epoch, samples of different lengths, a padding, an order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, n_timesteps, n_features = (draw(st.integers(1, most)) for most in (40, 9, 4))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    parameters = {
        "hidden_size": draw(st.integers(1, 20)),
        "num_layers": draw(st.integers(1, 3)),
        "bidirectional": draw(st.booleans()),
        "missing": draw(st.sampled_from(["error", "mask"])),
        "standardize": draw(st.booleans()),
        "window_scaling": draw(
            st.sampled_from([None, None, "last", "mean", "standard", "relative"])
        ),
        "target_features": 0,
        "dtype": dtype,
    }
    data = rng.normal(size=(n, n_timesteps, n_features)).astype(dtype)
    if parameters["missing"] == "mask":
        data[rng.random(data.shape) < 0.2] = np.nan
    lengths = rng.integers(1, n_timesteps + 1, size=n)
    padded = data.copy()
    padding = draw(st.sampled_from([0.0, np.nan, np.inf, -1e30]))
    padded[np.arange(n_timesteps) >= lengths[:, np.newaxis]] = padding
    fitted = model(**parameters, max_iter=1, tol=0.0).fit(data, rng.normal(size=n), lengths=lengths)
    return fitted, data, padded, lengths, rng.permutation(n)


@some
@hypothesis.given(networks_and_samples())
def test_neither_padding_nor_the_other_samples_nor_their_order_change_a_bit(given):
    fitted, data, padded, lengths, order = given
    expected = fitted.predict(data, lengths=lengths)
    assert np.isfinite(expected).all()
    assert_array_equal(fitted.predict(padded, lengths=lengths), expected)
    assert_array_equal(fitted.predict(padded[order], lengths=lengths[order]), expected[order])
    sequences = [sample[:length] for sample, length in zip(data, lengths, strict=True)]
    of_lists = fitted.predict(sequences)
    assert_array_equal(of_lists.astype(expected.dtype), expected)
    assert_array_equal(fitted.predict(sequences[:1]), of_lists[:1])
    states = fitted.predict(padded, lengths=lengths, return_state=True)[1]
    hidden = fitted.transform(padded, lengths=lengths)
    n_directions = 1 + fitted.bidirectional
    assert_array_equal(np.concatenate(states.h[-n_directions:], axis=1), hidden)
    assert_array_equal(fitted.without_optimizer().predict(sequences), of_lists)
    if not fitted.bidirectional and fitted.window_scaling is None:
        stream = fitted.stream()
        last = [stream.step(x) for x in sequences[0]][-1]
        assert last.astype(expected.dtype) == expected[0]


@some
@hypothesis.given(networks_and_samples(), st.data())
def test_layout_and_type_of_X_change_no_bit_of_a_prediction(given, data):
    fitted, _, padded, lengths, _ = given
    padded = np.nan_to_num(padded, posinf=0.0).astype(np.float32)  # exact in either type
    expected = fitted.predict(padded, lengths=lengths)
    axes = data.draw(st.permutations(range(3)))
    form = np.ascontiguousarray(padded.transpose(axes)).transpose(np.argsort(axes))
    form = np.repeat(form, 2, axis=1)[:, ::2]
    if data.draw(st.booleans()):
        form = form[:, :, ::-1].copy()[:, :, ::-1]
    form = form.astype(data.draw(st.sampled_from(["<f4", ">f4", "<f8", ">f8", object])), order="K")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predicted = fitted.predict(
            form.tolist() if data.draw(st.booleans()) else form, lengths=lengths
        )
    assert_array_equal(predicted.astype(expected.dtype), expected)
