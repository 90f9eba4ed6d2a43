"""Features for other estimators, and the activations of the gates."""

import numpy as np
import pytest
from helpers.estimators import (
    LABELS,
    LENGTHS,
    N_SAMPLES,
    N_TIMESTEPS,
    THERE,
    Y_STEPS,
    X,
    Y,
    classifier,
    model,
    plain,
    with_padding,
    y,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from pylstm import SequenceScaler, core

# Features


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
@pytest.mark.parametrize(
    "parameters",
    [{}, {"num_layers": 2}, {"bidirectional": True, "num_layers": 2}, {"return_sequences": True}],
    ids=str,
)
def test_transform_gives_the_final_hidden_states(parameters, lengths):
    fitted = plain(**parameters)
    fitted.fit(X, Y_STEPS if "return_sequences" in parameters else Y, lengths=lengths)
    states = core.forward(fitted._parameters, X, fitted._architecture, lengths=lengths)
    last = states.h_n[-2:] if "bidirectional" in parameters else states.h_n[-1:]
    assert_array_equal(fitted.transform(X, lengths=lengths), np.concatenate(last, axis=1))


def test_fit_transform_is_fit_and_transform_of_the_same_lengths():
    padded = with_padding(X, np.nan)
    for make, targets in ((model, y), (classifier, LABELS)):
        weight = np.linspace(1, 2, N_SAMPLES)
        fitted = make().fit(X, targets, weight, lengths=LENGTHS)
        features = make().fit_transform(padded, targets, sample_weight=weight, lengths=LENGTHS)
        assert_array_equal(features, fitted.transform(padded, lengths=LENGTHS))
        assert_array_equal(make().fit_transform(X, targets), make().fit(X, targets).transform(X))


@pytest.mark.parametrize(
    ("given", "dtype", "expected"),
    [
        (np.float32, "float32", np.float32),
        (np.float32, "float64", np.float64),
        (np.float64, "float32", np.float64),
    ],
)
def test_features_are_float32_only_where_all_is_float32(given, dtype, expected):
    assert model(dtype=dtype).fit(X, y).transform(X.astype(given)).dtype == expected


def test_features_have_names():
    for make, targets, prefix in ((model, y, "lstmregressor"), (classifier, LABELS, "lstmclassi")):
        fitted = make(bidirectional=True).fit(X, targets)
        names = fitted.get_feature_names_out()
        assert len(names) == fitted.transform(X).shape[1] == 8
        assert names[0].startswith(prefix)
        assert names[7].endswith("7")


def test_features_become_a_table_where_asked_for():
    pd = pytest.importorskip("pandas")
    fitted = model().fit(X, y).set_output(transform="pandas")
    table = fitted.transform(X)
    assert isinstance(table, pd.DataFrame)
    assert table.columns.tolist() == fitted.get_feature_names_out().tolist()
    assert_array_equal(table.to_numpy(), model().fit(X, y).transform(X))


def test_network_is_a_step_before_another_estimator():
    network = model(learning_rate_init=0.02, max_iter=40)
    pipeline = make_pipeline(SequenceScaler(), network, Ridge(1e-3)).fit(X, y)
    features = pipeline[:-1].transform(X)
    assert_array_equal(pipeline.predict(X), pipeline[-1].predict(features))
    assert pipeline.score(X, y) > 0.8
    assert pipeline[:-1].get_feature_names_out().tolist() == [f"lstmregressor{k}" for k in range(4)]


# Gates


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
def test_gate_activations_are_those_of_the_core(lengths):
    fitted = plain(num_layers=2, bidirectional=True).fit(X, y, lengths=lengths)
    traces = core.gate_activations(fitted._parameters, X, fitted._architecture, lengths=lengths)
    for cell, (layer, direction) in enumerate(
        [(0, "forward"), (0, "reverse"), (1, "forward"), (1, "reverse")]
    ):
        for number in (layer, layer - 2):
            gates = fitted.gate_activations(X, lengths=lengths, layer=number, direction=direction)
            for name in ("input", "forget", "candidate", "output", "cell", "hidden"):
                assert_array_equal(getattr(gates, name), getattr(traces, name)[cell])
                assert getattr(gates, name).shape == (N_SAMPLES, N_TIMESTEPS, 4)
    top = fitted.gate_activations(X, lengths=lengths)
    assert_array_equal(top.hidden, traces.hidden[2])


def test_gate_activations_make_up_cell_and_hidden_state():
    fitted = model(dtype="float64", bidirectional=True).fit(X, y)
    for direction, step in (("forward", 1), ("reverse", -1)):
        gates = fitted.gate_activations(X, direction=direction)
        i, f, g, o, c, h = (trace[:, ::step] for trace in gates)
        before = np.concatenate([np.zeros_like(c[:, :1]), c[:, :-1]], axis=1)
        assert_allclose(c, f * before + i * g, rtol=1e-12, atol=1e-14)
        assert_allclose(h, o * np.tanh(c), rtol=1e-12, atol=1e-14)
        features = fitted.transform(X)
        half = slice(0, 4) if direction == "forward" else slice(4, 8)
        assert_array_equal(h[:, -1], features[:, half])


def test_gate_activations_are_zero_after_the_end():
    gates = model().fit(X, y).gate_activations(with_padding(X, np.nan), lengths=LENGTHS)
    for trace in gates:
        assert not trace[~THERE].any()
        assert trace[THERE].any(axis=-1).all()


@pytest.mark.parametrize("layer", [2, -3, 1.0, None, "top"])
def test_layer_that_is_not_there_raises(layer):
    with pytest.raises(ValueError, match="layer must be an integer from -2 to 1"):
        model(num_layers=2).fit(X, y).gate_activations(X, layer=layer)


@pytest.mark.parametrize("direction", ["reverse", "backward", None])
def test_direction_that_is_not_there_raises(direction):
    with pytest.raises(ValueError, match="direction must be one of"):
        model().fit(X, y).gate_activations(X, direction=direction)
