"""States: given, returned, carried from window to window, and streams."""

import numpy as np
import pytest
from helpers.estimators import (
    ALL_LOSSES,
    LABELS,
    LENGTHS,
    N_FEATURES,
    N_SAMPLES,
    N_TIMESTEPS,
    STATEFUL,
    WITH_GAPS,
    Y_STEPS,
    X,
    Y,
    assert_same_results,
    classifier,
    model,
    plain,
    suiting,
    with_padding,
    y,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import r2_score

from pylstm import LSTMRegressor, core

# States


STATE_CASES = {
    "one layer": {},
    "two layers": {"num_layers": 2},
    "float64": {"dtype": "float64"},
    "return_sequences": {"return_sequences": True},
    "gaussian": {"loss": "gaussian"},
}


@pytest.mark.parametrize("parameters", STATE_CASES.values(), ids=STATE_CASES.keys())
def test_prediction_goes_on_from_a_state_as_if_never_interrupted(parameters):
    fitted = model(**parameters).fit(X, Y_STEPS if "return_sequences" in parameters else Y)
    whole, final = fitted.predict(X, return_state=True)
    fitted.n_timesteps_ = None  # as if it had seen sequences of any length
    first, state = fitted.predict(X[:, :2], return_state=True)
    second, last = fitted.predict(X[:, 2:], initial_state=state, return_state=True)
    if "return_sequences" in parameters:
        second = np.concatenate([first, second], axis=1)
    assert_array_equal(second, whole)
    assert state.h.shape == state.c.shape == (fitted.num_layers, N_SAMPLES, 4)
    assert_same_results(last, final)


def test_state_with_lengths_is_that_after_the_last_step():
    fitted = model(num_layers=2).fit(X, y, lengths=LENGTHS)
    whole = fitted.predict(X, lengths=LENGTHS)
    first = np.maximum(LENGTHS // 2, 1)
    more = LENGTHS > 1
    _, state = fitted.predict(with_padding(X, np.nan)[more], lengths=first[more], return_state=True)
    rest = [X[n, first[n] : LENGTHS[n]] for n in np.flatnonzero(more)]
    predicted = fitted.predict(rest, initial_state=state)
    assert_array_equal(predicted.astype(np.float32), whole[more])


def test_state_of_zeros_is_no_state():
    fitted = model().fit(X, y)
    zeros = np.zeros((1, N_SAMPLES, 4))
    assert_array_equal(fitted.predict(X, initial_state=(zeros, zeros)), fitted.predict(X))
    ones = np.ones((1, N_SAMPLES, 4))
    assert (fitted.predict(X, initial_state=(ones, zeros)) != fitted.predict(X)).any()
    assert (fitted.predict(X, initial_state=(zeros, ones)) != fitted.predict(X)).any()


@pytest.mark.parametrize("shape", [(1, N_SAMPLES - 1, 4), (2, N_SAMPLES, 4), (N_SAMPLES, 4)])
def test_states_of_a_wrong_shape_raise(shape):
    right, wrong = np.zeros((1, N_SAMPLES, 4)), np.zeros(shape)
    fitted, labelled = model().fit(X, y), classifier().fit(X, LABELS)
    for state in ((right, wrong), (wrong, right)):
        for call in (fitted.predict, labelled.predict, labelled.predict_proba):
            with pytest.raises(ValueError, match="must have shape"):
                call(X, initial_state=state)


def test_classifier_goes_on_from_a_state():
    fitted = classifier().fit(X, LABELS)
    whole = fitted.predict_proba(X)
    fitted.n_timesteps_ = None
    for call in (fitted.predict, fitted.predict_proba):
        _, state = call(X[:, :2], return_state=True)
        assert_array_equal(fitted.predict_proba(X[:, 2:], initial_state=state), whole)
        result, last = call(X[:, 2:], initial_state=state, return_state=True)
        assert_array_equal(result, call(X[:, 2:], initial_state=state))
        assert last.h.shape == (1, N_SAMPLES, 4)


# Stateful networks


@pytest.mark.parametrize("num_layers", [1, 2])
def test_stateful_windows_are_predicted_as_one_long_sequence(num_layers):
    fitted = plain(**STATEFUL, num_layers=num_layers, return_sequences=True).fit(X, Y_STEPS)
    predicted, final = fitted.predict(X, return_state=True)
    long = X.reshape(1, -1, N_FEATURES)
    output, h, c = core.predict(fitted._parameters, long, fitted._architecture, return_states=True)
    assert_array_equal(predicted.reshape(output.shape), output)
    assert_same_results(final, (h, c))
    _, state = fitted.predict(X[:9], return_state=True)
    rest = fitted.predict(X[9:], initial_state=state)
    assert_array_equal(rest, predicted[9:])


def test_stateful_features_are_those_that_predictions_are_made_of():
    fitted = plain(**STATEFUL, dtype="float64").fit(X, y)
    outputs = fitted.transform(X) @ fitted.output_coef_[:, 0] + fitted.output_intercept_[0]
    assert_allclose(outputs, fitted.predict(X), rtol=1e-6)
    gates = fitted.gate_activations(X)
    assert_array_equal(gates.hidden[:, -1], fitted.transform(X))
    forgotten = gates.forget[1:, 0] * gates.cell[:-1, -1]
    expected = forgotten + gates.input[1:, 0] * gates.candidate[1:, 0]
    assert_allclose(gates.cell[1:, 0], expected, rtol=1e-12, atol=1e-14)


def test_stateful_score_and_validation_carry_states():
    stopped = model(**STATEFUL, early_stopping=True, validation_fraction=0.4).fit(X, y)
    held_out = slice(27, None)
    expected = r2_score(y[held_out], stopped.predict(X[held_out]))
    assert stopped.best_validation_score_ == pytest.approx(expected, abs=1e-6)
    assert stopped.score(X, y) == pytest.approx(r2_score(y, stopped.predict(X)), abs=1e-6)
    stateless = core.predict(stopped._parameters, X, stopped._architecture)[:, 0]
    assert (stateless[1:] != stopped.predict(X)[1:]).all()


def test_stateful_network_remembers_a_clue_of_an_earlier_window():
    n_blocks, per_block = 150, 4
    clue = np.random.default_rng(1).choice([-1.0, 1.0], size=n_blocks)
    windows = np.zeros((n_blocks * per_block, 3, 2))
    windows[::per_block, 0] = np.column_stack([clue, np.ones(n_blocks)])
    targets = np.repeat(clue, per_block)
    training = {"batch_size": 15, "shuffle": False, "learning_rate_init": 0.03, "max_iter": 25}
    remembering = model(stateful=True, **training).fit(windows, targets)
    assert remembering.score(windows, targets) > 0.8
    forgetful = model(**training).fit(windows, targets)
    assert forgetful.score(windows, targets) < 0.4


def test_stateful_contradictions_raise():
    with pytest.raises(ValueError, match="set shuffle=False"):
        model(stateful=True).fit(X, y)
    with pytest.raises(ValueError, match="bidirectional"):
        model(**STATEFUL, bidirectional=True).fit(X, y)
    with pytest.raises(ValueError, match="set shuffle=False"):
        model().fit(X, y).set_params(stateful=True).partial_fit(X, y)


def test_stateful_training_that_would_carry_nothing_raises():
    X = np.zeros((8, 3, 1))
    fitted = LSTMRegressor(stateful=True, shuffle=False, batch_size=7, max_iter=1)
    fitted.fit(X, X[:, 0, 0])
    for n in (8, 32):
        with pytest.raises(ValueError, match="Lower batch_size"):
            LSTMRegressor(stateful=True, shuffle=False, batch_size=n).fit(X, X[:, 0, 0])


# Streams


STREAMED = {
    **{str(loss): {"loss": loss} for loss in ALL_LOSSES},
    "two layers": {"num_layers": 2},
    "missing": {"missing": "mask"},
    "float64": {"dtype": "float64"},
    "return_sequences": {"return_sequences": True, "num_layers": 2},
    "quantiles by step": {"return_sequences": True, "loss": core.Quantile((0.1, 0.9))},
    "gaussian by step": {"return_sequences": True, "loss": "gaussian"},
}


@pytest.mark.parametrize("n_targets", [1, 2])
@pytest.mark.parametrize("parameters", STREAMED.values(), ids=STREAMED.keys())
def test_stream_gives_the_bits_of_predict(parameters, n_targets):
    data = WITH_GAPS if "missing" in parameters else X
    targets = Y_STEPS if "return_sequences" in parameters else Y
    targets = suiting(parameters.get("loss"), targets[..., 0] if n_targets == 1 else targets)
    fitted = model(**parameters).fit(data, targets)
    data = data[:9].astype(fitted.dtype)
    predicted = fitted.predict(data)
    if "return_sequences" not in parameters:
        fitted.n_timesteps_ = None
        predicted = np.stack([fitted.predict(data[:, : t + 1]) for t in range(N_TIMESTEPS)], axis=1)
    stream = fitted.stream()
    for sample, expected in zip(data, predicted, strict=True):
        stream.reset()
        for x, at_step in zip(sample, expected, strict=True):
            result = stream.step(x)
            assert np.shape(result) == np.shape(at_step)
            assert result.dtype == at_step.dtype == fitted.dtype
            assert_array_equal(result, at_step)


def test_stream_of_a_classifier_gives_probabilities():
    labels = np.digitize(y, np.linspace(-1, 1, 10))  # eleven classes: more than SIMD lanes
    for return_sequences in (False, True):
        targets = labels
        if return_sequences:
            targets = np.digitize(Y_STEPS[..., 0], [-0.5, 0, 0.5])
        fitted = classifier(return_sequences=return_sequences).fit(X, targets)
        stream = fitted.stream()
        for sample, expected in zip(X[:9], fitted.predict_proba(X[:9]), strict=True):
            stream.reset()
            steps = np.array([stream.step(x) for x in sample])
            assert_array_equal(steps if return_sequences else steps[-1], expected)


def test_stream_states_are_those_of_predict_and_can_be_set():
    fitted = model(num_layers=2).fit(X, y)
    stream = fitted.stream()
    results = [stream.step(x) for x in X[3]]
    _, state = fitted.predict(X[[3]], return_state=True)
    assert_array_equal(stream.states[0], state.h[:, 0])
    assert_array_equal(stream.states[1], state.c[:, 0])
    stream.reset()
    stream.step(X[3, 0])
    saved = stream.states
    for x in X[5]:
        stream.step(x)
    stream.states = saved
    assert [stream.step(x) for x in X[3, 1:]] == results[1:]


def test_stateful_prediction_is_an_endless_stream():
    fitted = model(**STATEFUL).fit(X, y)
    stream = fitted.stream()
    for window, predicted in zip(X, fitted.predict(X), strict=True):
        steps = [stream.step(x) for x in window]
        assert steps[-1] == predicted


def test_stream_keeps_the_weights_it_was_opened_with():
    fitted = model().fit(X, y)
    stream, expected = fitted.stream(), fitted.predict(X[:1])[0]
    fitted.partial_fit(X, y)
    assert [stream.step(x) for x in X[0]][-1] == expected


def test_stream_of_a_bidirectional_network_raises():
    with pytest.raises(ValueError, match="bidirectional"):
        model(bidirectional=True).fit(X, y).stream()
