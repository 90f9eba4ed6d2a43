"""Weights from and to PyTorch: the same numbers on both sides, and what is not ours refused by name."""

import warnings

import numpy as np
import pytest
from helpers.estimators import LABELS, Y_STEPS, X, classifier, model, y
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from pylstm import LSTMClassifier, LSTMRegressor, SequenceScaler
from pylstm.core import Gaussian, Quantile
from pylstm.interop import from_torch, to_torch

TOLERANCE = 1e-6
NETWORKS = {
    "plain": {},
    "stacked": {"num_layers": 3},
    "bidirectional": {"num_layers": 2, "bidirectional": True},
    "without biases": {"num_layers": 2, "bias": False},
    "batch first": {"batch_first": True},
    "float64": {"num_layers": 2, "bidirectional": True, "dtype": "float64"},
}


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def modules(torch, n_outputs=2, dtype="float32", bias=True, **options):
    torch.manual_seed(0)
    dtype = getattr(torch, dtype)
    lstm = torch.nn.LSTM(2, 5, bias=bias, dtype=dtype, **options)
    n_in = 5 * (1 + lstm.bidirectional)
    return lstm, torch.nn.Linear(n_in, n_outputs, bias=bias, dtype=dtype)


def outputs_of(torch, lstm, linear, X, *, return_sequences=False):
    """What the modules compute, as arrays."""
    with torch.no_grad():
        sequences = torch.from_numpy(X).to(linear.weight.dtype)
        if not lstm.batch_first:
            sequences = sequences.transpose(0, 1)
        hidden, (h_n, _) = lstm(sequences)
        if return_sequences:
            hidden = hidden if lstm.batch_first else hidden.transpose(0, 1)
            return linear(hidden).numpy()
        top = h_n[-1]
        if lstm.bidirectional:
            top = torch.cat([h_n[-2], h_n[-1]], dim=1)
        return linear(top).numpy()


# -- from PyTorch ---------------------------------------------------------------------------------


@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_a_network_of_pytorch_predicts_the_same(torch, options, return_sequences):
    lstm, linear = modules(torch, **options)
    expected = outputs_of(torch, lstm, linear, X, return_sequences=return_sequences)
    for given in ((lstm, linear), (lstm.state_dict(), linear.state_dict())):
        fitted = from_torch(*given, return_sequences=return_sequences)
        assert isinstance(fitted, LSTMRegressor)
        assert fitted.dtype == options.get("dtype", "float32")
        assert_allclose(fitted.predict(X), expected, atol=TOLERANCE, rtol=0)


def test_it_streams_shows_its_gates_and_goes_on_training(torch):
    lstm, linear = modules(torch, n_outputs=1)
    settings = {"warm_start": True, "max_iter": 30, "random_state": 0, "learning_rate_init": 0.02}
    fitted = from_torch(lstm, linear, **settings)
    predicted = fitted.predict(X)
    stream = fitted.stream()
    for x in X[0]:
        last = stream.step(x)
    assert last == predicted[0]
    assert fitted.gate_activations(X).forget.shape == (45, 6, 5)
    before = np.mean((predicted - y) ** 2)
    fitted.fit(X, y)
    assert fitted.n_iter_ == 30
    assert np.mean((fitted.predict(X) - y) ** 2) < 0.5 * before
    fitted.partial_fit(X, y)
    # From the same weights and the same seed, the same training.
    again = from_torch(lstm, linear, **settings).fit(X, y)
    assert again.loss_curve_ == fitted.loss_curve_[:30]


def test_losses_say_what_the_outputs_mean(torch):
    lstm, linear = modules(torch, n_outputs=4)
    outputs = outputs_of(torch, lstm, linear, X)
    assert_allclose(
        from_torch(lstm, linear, loss=Quantile((0.1, 0.9))).predict(X),
        np.sort(outputs.reshape(45, 2, 2)),
        atol=TOLERANCE,
    )
    mean, std = from_torch(lstm, linear, loss="gaussian").predict(X, return_std=True)
    assert_allclose(mean, outputs[:, ::2], atol=TOLERANCE)
    assert_allclose(std, Gaussian().std(outputs), atol=TOLERANCE)
    assert_allclose(from_torch(lstm, linear, loss="poisson").predict(X), np.exp(outputs), 1e-5)
    with pytest.raises(ValueError, match=r"takes 3 outputs of the network for each target.* has 4"):
        from_torch(lstm, linear, loss=Quantile((0.1, 0.5, 0.9)))


def test_classes_in_any_order(torch):
    lstm, linear = modules(torch, n_outputs=3)
    outputs = outputs_of(torch, lstm, linear, X)
    fitted = from_torch(lstm, linear, classes=["cold", "warm", "bitter"])
    assert isinstance(fitted, LSTMClassifier)
    assert fitted.classes_.tolist() == ["bitter", "cold", "warm"]
    odds = np.exp(outputs)[:, [2, 0, 1]]
    assert_allclose(fitted.predict_proba(X), odds / odds.sum(1, keepdims=True), atol=TOLERANCE)
    assert_array_equal(
        fitted.predict(X), np.array(["cold", "warm", "bitter"])[outputs.argmax(axis=1)]
    )
    labels = np.array(["cold", "warm", "bitter"])[np.arange(45) % 3]
    fitted.partial_fit(X, labels)


def test_a_single_output_is_the_logit_of_the_second_class(torch):
    lstm, linear = modules(torch, n_outputs=1)
    expected = 1 / (1 + np.exp(-outputs_of(torch, lstm, linear, X)[:, 0]))
    assert_allclose(
        from_torch(lstm, linear, classes=[0, 1]).predict_proba(X)[:, 1], expected, atol=TOLERANCE
    )
    assert_allclose(
        from_torch(lstm, linear, classes=["b", "a"]).predict_proba(X)[:, 0],
        expected,
        atol=TOLERANCE,
    )


def test_half_precision_becomes_float32(torch):
    lstm, linear = modules(torch)
    fitted = from_torch(lstm.to(torch.bfloat16), linear.to(torch.bfloat16))
    assert fitted.dtype == "float32"
    assert_array_equal(
        fitted.input_coefs_[0].T, lstm.weight_ih_l0.detach().to(torch.float32).numpy()
    )


def test_dropout_is_named_unless_it_is_given(torch):
    lstm, linear = modules(torch, num_layers=2, dropout=0.3)
    with pytest.warns(UserWarning, match=r"dropout=0\.3 of the LSTM.*Pass dropout"):
        assert from_torch(lstm, linear).dropout == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert from_torch(lstm, linear, dropout=0.3).dropout == 0.3


def test_modules_of_other_kinds_are_refused(torch):
    lstm, linear = modules(torch)
    for other in (torch.nn.GRU(2, 5), torch.nn.RNN(2, 5), torch.nn.LSTMCell(2, 5), "lstm"):
        with pytest.raises(TypeError, match=f"torch.nn.LSTM.*got {type(other).__name__}"):
            from_torch(other, linear)
    with pytest.raises(TypeError, match=r"torch.nn.Linear.*got Sequential"):
        from_torch(lstm, torch.nn.Sequential(linear))
    projected = torch.nn.LSTM(2, 5, proj_size=3)
    with pytest.raises(ValueError, match="proj_size"):
        from_torch(projected, torch.nn.Linear(3, 1))
    with pytest.raises(ValueError, match=r"must read the 5 final hidden states.*\(2, 7\)"):
        from_torch(lstm, torch.nn.Linear(7, 2))


# -- state dicts of arrays ------------------------------------------------------------------------


def states(hidden_size=2, **changes):
    rng = np.random.default_rng(0)
    H = hidden_size
    lstm = {
        "weight_ih_l0": rng.normal(size=(4 * H, 3)),
        "weight_hh_l0": rng.normal(size=(4 * H, H)),
        "bias_ih_l0": rng.normal(size=4 * H),
        "bias_hh_l0": rng.normal(size=4 * H),
    }
    lstm |= {name: value for name, value in changes.items() if value is not None}
    lstm = {name: value for name, value in lstm.items() if changes.get(name, 0) is not None}
    return lstm, {"weight": rng.normal(size=(1, H)), "bias": rng.normal(size=1)}


def test_a_state_dict_of_arrays_needs_no_pytorch(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    lstm, linear = states()
    fitted = from_torch(lstm, linear)
    assert fitted.dtype == "float64"
    assert_array_equal(fitted.gate_intercepts_[0], lstm["bias_ih_l0"] + lstm["bias_hh_l0"])
    assert from_torch(lstm, linear, dtype="float32").output_coef_.dtype == np.float32


WRONG_STATES = {
    "prefix": ({"lstm.weight_ih_l0": np.ones((8, 3))}, "without prefixes"),
    "GRU": ({"weight_hh_l0": np.ones((6, 2))}, r"weight_hh_l0 must have shape \(8, 2\)"),
    "projection": ({"weight_hr_l0": np.ones((1, 2))}, "proj_size"),
    "missing": ({"weight_ih_l0": None, "weight_ih_l1": np.ones((8, 2))}, "lacks weight_ih_l0"),
    "bias missing": ({"bias_hh_l0": None}, "lacks bias_hh_l0"),
    "bias": ({"bias_ih_l0": np.ones(7)}, r"bias_ih_l0 must have shape \(8,\)"),
    "layer without bias": (
        {"weight_ih_l1": np.ones((8, 2)), "weight_hh_l1": np.ones((8, 2))},
        "lacks bias_ih_l1",
    ),
    "half of a direction": ({"weight_ih_l0_reverse": np.ones((8, 3))}, "do not fit together"),
    "a layer left out": (
        {"weight_ih_l2": np.ones((8, 2)), "weight_hh_l2": np.ones((8, 2))},
        "lacks weight_ih_l1",
    ),
    "NaN": ({"weight_ih_l0": np.full((8, 3), np.nan)}, "not finite"),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), WRONG_STATES.values(), ids=WRONG_STATES)
def test_a_state_dict_that_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        from_torch(*states(**changes))


WRONG_PARAMETERS = {
    "unknown": ({"hidden": 3}, TypeError, r"LSTMRegressor has no parameters \['hidden'\]"),
    "size": ({"hidden_size": 3}, ValueError, "hidden_size=3 is not that of the network, 2"),
    "range": ({"max_iter": 0}, ValueError, "'max_iter' parameter"),
    "loss of classes": ({"loss": "huber", "classes": [0, 1]}, TypeError, "classifiers do not"),
    "classes": ({"classes": [0, 1, 2]}, ValueError, "1 different labels.*two for a single output"),
    "equal classes": ({"classes": [1, 1]}, ValueError, "different labels"),
    "missing": ({"missing": "mask"}, ValueError, "missing='mask' is for networks that pylstm"),
    "units": ({"standardize": True}, ValueError, "standardize=True is for networks that pylstm"),
    "highway": ({"highway": 2}, ValueError, "highway=2 is for networks that pylstm"),
}


@pytest.mark.parametrize(
    ("parameters", "error", "message"), WRONG_PARAMETERS.values(), ids=WRONG_PARAMETERS
)
def test_parameters_that_do_not_fit_are_refused(parameters, error, message):
    with pytest.raises(error, match=message):
        from_torch(*states(), **parameters)


def test_a_linear_layer_that_does_not_fit_is_refused():
    lstm, linear = states()
    with pytest.raises(ValueError, match="weight and bias, got"):
        from_torch(lstm, {"head.weight": linear["weight"]})
    with pytest.raises(ValueError, match=r"bias of linear must have shape \(1,\)"):
        from_torch(lstm, linear | {"bias": np.ones(3)})
    with pytest.raises(TypeError, match="real numbers"):
        from_torch(lstm, linear | {"bias": np.array(["a"])})


def test_several_targets_by_time_step_have_their_axis():
    lstm, linear = states()
    assert from_torch(lstm, linear, return_sequences=True).predict(np.ones((4, 6, 3))).shape == (
        4,
        6,
    )
    linear = {"weight": np.ones((2, 2)), "bias": np.ones(2)}
    fitted = from_torch(lstm, linear, return_sequences=True)
    assert fitted.predict(np.ones((4, 6, 3))).shape == (4, 6, 2)
    fitted.partial_fit(np.ones((4, 6, 3)), np.ones((4, 6, 2)))


# -- to PyTorch -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"num_layers": 2, "bidirectional": True},
        {"bidirectional": True, "return_sequences": True},
    ],
    ids=str,
)
def test_modules_compute_what_the_estimator_predicts(torch, parameters, dtype):
    sequences = parameters.get("return_sequences", False)
    fitted = model(dtype=dtype, **parameters).fit(X, Y_STEPS if sequences else Y_STEPS[:, -1])
    lstm, linear = to_torch(fitted)
    assert_allclose(
        outputs_of(torch, lstm, linear, X, return_sequences=sequences),
        fitted.predict(X),
        atol=TOLERANCE,
    )
    assert from_torch(lstm, linear, return_sequences=sequences).dtype == dtype
    plain = model(dtype=dtype, standardize=False, **parameters)
    plain.fit(X, Y_STEPS if sequences else Y_STEPS[:, -1])
    back = from_torch(*to_torch(plain), return_sequences=sequences)
    assert_array_equal(back.predict(X), plain.predict(X))  # exact, both ways


def test_units_of_x_and_y_are_a_part_of_the_weights(torch):
    data, targets = (20 + 3 * X).astype(np.float64), 1e4 + 500 * Y_STEPS[:, -1]
    fitted = model(dtype="float64").fit(data, targets)
    predicted = outputs_of(torch, *to_torch(fitted), data)
    assert_allclose(predicted, fitted.predict(data), rtol=1e-9)
    counts = np.abs(targets)
    fitted = model(loss="poisson", dtype="float64").fit(data, counts)
    assert_allclose(np.exp(outputs_of(torch, *to_torch(fitted), data)), fitted.predict(data), 1e-9)
    fitted = model(loss=Quantile((0.1, 0.9)), dtype="float64").fit(data, targets)
    outputs = outputs_of(torch, *to_torch(fitted), data).reshape(45, 2, 2)
    assert_allclose(np.sort(outputs), fitted.predict(data), rtol=1e-9)


def test_logits_of_a_classifier(torch):
    fitted = classifier().fit(X, LABELS)
    logits = torch.from_numpy(outputs_of(torch, *to_torch(fitted), X))
    assert_allclose(torch.softmax(logits, 1).numpy(), fitted.predict_proba(X), atol=TOLERANCE)


def test_modules_share_nothing_with_the_estimator(torch):
    fitted = model().fit(X, y)
    predicted = fitted.predict(X)
    lstm, linear = to_torch(fitted)
    with torch.no_grad():
        lstm.weight_ih_l0.zero_()
        linear.bias.zero_()
    assert_array_equal(fitted.predict(X), predicted)


def test_what_has_no_module_is_refused():
    with pytest.raises(TypeError, match=r"got Pipeline. Of a Pipeline pass the last step"):
        to_torch(make_pipeline(SequenceScaler(), model()).fit(X, y))
    with pytest.raises(NotFittedError):
        to_torch(model())
    for parameters, message in (
        ({"missing": "mask"}, "does not support missing='mask'"),
        (
            {"window_scaling": "last", "target_features": 0},
            "does not support window_scaling='last'",
        ),
        ({"highway": 2}, "does not support highway=2"),
        ({"loss": "gaussian"}, "with standardize=True: deviations are no linear"),
    ):
        with pytest.raises(ValueError, match=message):
            to_torch(model(**parameters).fit(X, y))
