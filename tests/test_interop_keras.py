"""Weights from and to Keras: the same numbers on both sides, and what is not ours refused by name."""

import os
import warnings
from importlib.util import find_spec

import numpy as np
import pytest
from helpers.estimators import LABELS, Y_STEPS, X, classifier, model, y
from numpy.testing import assert_allclose, assert_array_equal

from pylstm import LSTMClassifier, core
from pylstm.interop import from_keras, to_keras

TOLERANCE = 1e-6
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras and NumPy


@pytest.fixture(scope="module")
def keras():
    if not find_spec("tensorflow"):  # of which Keras thinks first
        os.environ.setdefault("KERAS_BACKEND", "torch" if find_spec("torch") else "numpy")
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    return keras


@pytest.fixture(scope="module")
def layers(keras):
    return keras.layers


def with_random_biases(network):
    rng = np.random.default_rng(0)
    network.set_weights([rng.normal(scale=0.5, size=w.shape) for w in network.get_weights()])
    return network


def sequential(keras, *layers, n_timesteps=6, random=True):
    network = keras.Sequential([keras.Input((n_timesteps, 2)), *layers])
    return with_random_biases(network) if random else network


def assert_predicts(fitted, network, X=X):
    expected = network.predict(X, verbose=0)
    assert_allclose(fitted.predict(X).reshape(expected.shape), expected, atol=TOLERANCE)


# -- from Keras -----------------------------------------------------------------------------------


def networks(keras):
    L = keras.layers
    inputs = keras.Input((6, 2))
    hidden = L.LSTM(4)(L.LSTM(4, return_sequences=True)(inputs))
    return {
        "plain": sequential(keras, L.LSTM(4), L.Dense(1)),
        "stacked": sequential(
            keras, L.LSTM(4, return_sequences=True), L.LSTM(4, implementation=1), L.Dense(2)
        ),
        "bidirectional": sequential(
            keras,
            L.Bidirectional(L.LSTM(4, return_sequences=True)),
            L.Bidirectional(L.LSTM(4)),
            L.Dense(2),
        ),
        "sequences": sequential(
            keras, L.Bidirectional(L.LSTM(4, return_sequences=True)), L.TimeDistributed(L.Dense(2))
        ),
        "without biases": sequential(
            keras,
            L.LSTM(4, return_sequences=True, use_bias=False),
            L.LSTM(4, use_bias=False, unit_forget_bias=False),
            L.Dense(1, use_bias=False),
        ),
        "functional": with_random_biases(keras.Model(inputs, L.Dense(1)(hidden))),
        "any length": sequential(keras, L.LSTM(4), L.Dense(1), n_timesteps=None),
        "as wide as its input": sequential(
            keras, L.LSTM(2, return_sequences=True), L.LSTM(2), L.Dense(1)
        ),
    }


def test_networks_of_keras_predict_the_same(keras):
    for name, network in networks(keras).items():
        fitted = from_keras(network)
        assert_predicts(fitted, network)
        assert fitted.return_sequences == (name == "sequences")
        assert fitted.n_timesteps_ == (None if name == "any length" else 6)
        listed = from_keras(network.get_weights(), return_sequences=name == "sequences")
        assert_array_equal(listed.predict(X), fitted.predict(X))
    fitted.partial_fit(X, y)


def test_classifiers_of_keras(keras, layers):
    network = sequential(keras, layers.LSTM(4), layers.Dense(3, activation="softmax"))
    fitted = from_keras(network, classes=["low", "middle", "high"])
    assert isinstance(fitted, LSTMClassifier)
    expected = network.predict(X, verbose=0)
    assert_allclose(fitted.predict_proba(X), expected[:, [2, 0, 1]], atol=TOLERANCE)
    network = sequential(keras, layers.LSTM(4), layers.Dense(1, activation="sigmoid"))
    fitted = from_keras(network, classes=[False, True])
    assert_allclose(
        fitted.predict_proba(X)[:, 1], network.predict(X, verbose=0)[:, 0], atol=TOLERANCE
    )


def test_a_poisson_network_of_keras(keras, layers):
    network = sequential(keras, layers.LSTM(4), layers.Dense(1, activation="exponential"))
    assert_allclose(
        from_keras(network, loss="poisson").predict(X), network.predict(X, verbose=0)[:, 0], 1e-5
    )


def test_dropout_is_named_unless_it_is_given(keras, layers):
    network = sequential(
        keras,
        layers.LSTM(4, return_sequences=True, name="first", recurrent_dropout=0.1),
        layers.Dropout(0.2, name="between"),
        layers.LSTM(4),
        layers.Dense(1),
    )
    with pytest.warns(UserWarning, match=r"dropout of \['between', 'first'\].*Pass dropout"):
        assert_predicts(from_keras(network), network)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert from_keras(network, dropout=0.2).dropout == 0.2


def refusals(keras):
    L = keras.layers
    inputs = keras.Input((6, 2))
    branches = L.Concatenate()([L.LSTM(4)(inputs), L.LSTM(4)(inputs)])
    return {
        "activation": ([L.LSTM(4, activation="relu"), L.Dense(1)], "activation='relu'"),
        "recurrent activation": (
            [L.LSTM(4, recurrent_activation="hard_sigmoid"), L.Dense(1)],
            "recurrent_activation='hard_sigmoid'",
        ),
        "backwards": ([L.LSTM(4, go_backwards=True), L.Dense(1)], "go_backwards=True"),
        "merge mode": (
            [L.Bidirectional(L.LSTM(4), merge_mode="sum"), L.Dense(1)],
            "merge_mode='sum'",
        ),
        "GRU": ([L.GRU(4), L.Dense(1)], "got GRU"),
        "dense between": ([L.LSTM(4), L.Dense(4), L.Dense(1)], "got Dense"),
        "no dense": ([L.LSTM(4)], "must be a Dense, got LSTM"),
        "no LSTM": ([L.Flatten(), L.Dense(1)], "got Flatten"),
        "units": (
            [L.LSTM(4, return_sequences=True), L.LSTM(3), L.Dense(1)],
            r"same number of units, got \[3, 4\]",
        ),
        "one direction": (
            [L.Bidirectional(L.LSTM(4, return_sequences=True)), L.LSTM(4), L.Dense(1)],
            "bidirectional, or none",
        ),
        "relu": ([L.LSTM(4), L.Dense(1, activation="relu")], "activation='relu' on 1 outputs"),
        "exponential": (
            [L.LSTM(4), L.Dense(1, activation="exponential")],
            "with loss='poisson'",
        ),
        "softmax": ([L.LSTM(4), L.Dense(2, activation="softmax")], "pass the labels"),
        "branches": (keras.Model(inputs, L.Dense(1)(branches)), "must be a chain"),
        "another class": ("network", "got str"),
    }


def test_networks_that_are_not_ours_are_refused_by_name(keras):
    for network, message in refusals(keras).values():
        if isinstance(network, list):
            network = sequential(keras, *network, random=False)
        with pytest.raises((TypeError, ValueError), match=message):
            from_keras(network)


def test_a_stateful_layer_is_refused(keras, layers):
    network = keras.Sequential(
        [
            keras.Input((6, 2), batch_size=1),
            layers.LSTM(4, stateful=True, name="carrying"),
            layers.Dense(1),
        ]
    )
    with pytest.raises(ValueError, match="carrying has stateful=True"):
        from_keras(network)


# -- lists of weights -----------------------------------------------------------------------------


def weights(num_layers=2, bidirectional=True, bias=True, n_features=2, hidden_size=3):
    arch = core.Architecture(n_features, hidden_size, num_layers, 1, bidirectional)
    params = core.init_parameters(arch, random_state=0)
    named = core.unpack_parameters(params, arch)
    return [named[name] for name in named if bias or name[0] not in "bd"], params, arch


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("n_features", [2, 3, 6])
def test_a_list_tells_its_layers_and_directions(n_features, bidirectional, bias):
    listed, params, arch = weights(bidirectional=bidirectional, bias=bias, n_features=n_features)
    if not bias:
        for name, array in core.unpack_parameters(params, arch).items():
            array[...] = 0 if name[0] in "bd" else array
    sequences = np.random.default_rng(0).normal(size=(4, 5, n_features)).astype(np.float32)
    assert_array_equal(
        from_keras(listed).predict(sequences), core.predict(params, sequences, arch)[:, 0]
    )


WRONG_LISTS = {
    "nothing": [],
    "no dense": [(2, 12), (3, 12), (12,)],
    "GRU": [(2, 9), (3, 9), (9,), (3, 1), (1,)],
    "order": [(12,), (2, 12), (3, 12), (3, 1), (1,)],
    "more": [(2, 12), (3, 12), (12,), (3, 1), (1,), (1,)],
    "width of the second layer": [(2, 12), (3, 12), (12,), (4, 12), (3, 12), (12,), (3, 1), (1,)],
}


@pytest.mark.parametrize("shapes", WRONG_LISTS.values(), ids=WRONG_LISTS)
def test_a_list_that_is_none_of_an_lstm_is_refused(shapes):
    with pytest.raises(ValueError, match=r"must be that of get_weights\(\).* got arrays of shapes"):
        from_keras([np.zeros(shape) for shape in shapes])


def test_a_list_whose_parts_do_not_fit_is_refused():
    with pytest.raises(ValueError, match="Dense layer must read the 3 hidden states"):
        from_keras([np.zeros(shape) for shape in [(2, 12), (3, 12), (12,), (7, 1), (1,)]])
    with pytest.raises(TypeError, match="real numbers"):
        from_keras([np.array(["a"])])


# -- to Keras -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"dtype": "float64", "num_layers": 2, "bidirectional": True},
        {"bidirectional": True, "return_sequences": True},
        {"loss": "poisson"},
    ],
    ids=str,
)
def test_a_network_of_keras_predicts_what_the_estimator_does(keras, parameters):
    targets = np.abs(Y_STEPS if parameters.get("return_sequences") else Y_STEPS[:, -1])
    fitted = model(**parameters).fit(X, targets)
    network = to_keras(fitted)
    assert_predicts(fitted, network)
    assert from_keras(network, loss=fitted.loss).dtype == fitted.dtype
    plain = model(standardize=False, **parameters).fit(X, targets)
    back = from_keras(to_keras(plain), loss=plain.loss)
    assert_array_equal(back.predict(X), plain.predict(X))  # exact, both ways


def test_a_classifier_in_keras_gives_probabilities(keras):
    fitted = classifier(num_layers=2).fit(X, LABELS)
    network = to_keras(fitted)
    assert_allclose(network.predict(X, verbose=0), fitted.predict_proba(X), atol=TOLERANCE)
    back = from_keras(network, classes=fitted.classes_)
    assert_array_equal(back.predict(X), fitted.predict(X))


def test_a_network_of_keras_goes_on_training_there(keras):
    network = to_keras(model().fit(X, y))
    network.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
    history = network.fit(X, y, epochs=3, verbose=0).history["loss"]
    assert history[-1] < history[0]
    assert_predicts(from_keras(network), network)
