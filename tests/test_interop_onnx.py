"""ONNX: what ONNX Runtime makes of a graph is what the estimator predicts; what has no graph says so."""

import itertools

import numpy as np
import pandas as pd
import pytest
from helpers.estimators import (
    ALL_LOSSES,
    LABELS,
    LABELS_STEPS,
    LENGTHS,
    STATEFUL,
    THERE,
    WITH_GAPS,
    Y_STEPS,
    X,
    Y,
    classifier,
    model,
    suiting,
    with_padding,
    y,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from pylstm import SequenceScaler
from pylstm.core import Quantile
from pylstm.interop import register_onnx_converters, to_onnx

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

TOLERANCE = 1e-5
FLAT = X.reshape(45, -1)


def run_graph(onnx_model, X, **inputs):
    """All outputs, by their names."""
    session = onnxruntime.InferenceSession(
        onnx_model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"X": X, **inputs}), strict=True))


def predicted(fitted, X, options=None, **inputs):
    return run_graph(to_onnx(fitted, **(options or {})), X, **inputs)


def assert_close(actual, expected):
    assert actual.shape == expected.shape
    assert_allclose(actual, expected, atol=TOLERANCE, rtol=TOLERANCE)


GRID = [
    dict(zip(("num_layers", "bidirectional", "return_sequences", "missing"), values, strict=True))
    for values in itertools.product((1, 2), (False, True), (False, True), ("error", "mask"))
]


@pytest.mark.parametrize("parameters", GRID, ids=str)
def test_every_kind_of_network_with_lengths_and_states(parameters):
    data = WITH_GAPS if parameters["missing"] == "mask" else X
    targets = Y_STEPS if parameters["return_sequences"] else Y
    fitted = model(**parameters).fit(data, targets)
    assert_close(predicted(fitted, data)["prediction"], fitted.predict(data))

    rng = np.random.default_rng(0)
    cells = parameters["num_layers"] * (1 + parameters["bidirectional"])
    h, c = rng.normal(size=(2, cells, 45, 4)).astype(np.float32)
    graph = to_onnx(fitted, lengths=True, states=True)
    expected, state = fitted.predict(data, lengths=LENGTHS, initial_state=(h, c), return_state=True)
    padded = with_padding(data, np.inf, more=2).astype(np.float32)
    results = run_graph(graph, padded, lengths=LENGTHS, initial_h=h, initial_c=c)
    if parameters["return_sequences"]:
        results["prediction"] = results["prediction"][:, :6] * THERE[..., np.newaxis]
        expected = expected * THERE[..., np.newaxis]
    assert_close(results["prediction"], expected)
    assert_close(results["final_h"], state.h)
    assert_close(results["final_c"], state.c)
    # Each of these inputs can be left out, and so can the results that are not asked for.
    assert_close(run_graph(graph, data)["prediction"], fitted.predict(data))
    assert_close(
        run_graph(graph, data, initial_c=c, initial_h=0 * h)["prediction"],
        fitted.predict(data, initial_state=(0 * h, c)),
    )


def test_missing_values_at_the_start_and_throughout():
    gaps = X.copy()
    gaps[:20, :3] = np.nan
    gaps[10] = np.nan
    gaps[11, -1, 0] = np.nan
    fitted = model(missing="mask").fit(gaps, y)
    assert_close(predicted(fitted, gaps)["prediction"], fitted.predict(gaps))


@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("loss", ALL_LOSSES, ids=repr)
def test_every_loss_with_one_target_and_several(loss, return_sequences):
    for targets in (Y_STEPS[..., 0], Y_STEPS):
        targets = suiting(loss, targets if return_sequences else targets[:, -1])
        fitted = model(loss=loss, return_sequences=return_sequences).fit(X, targets)
        results = predicted(fitted, X)
        assert_close(results["prediction"], fitted.predict(X))
        assert ("std" in results) == (loss == "gaussian")
        if loss == "gaussian":
            assert_close(results["std"], fitted.predict(X, return_std=True)[1])


LABEL_KINDS = {
    "texts": LABELS,
    "objects": LABELS.astype(object),
    "int64": (y > 0).astype(np.int64) * 3,
    "int8": (y > 0).astype(np.int8) - 1,
    "float32": np.where(y > 0, 2, -1).astype(np.float32),
    "bool": y > 0,
    "three": np.where(y > 1, "steep", LABELS),
}


@pytest.mark.parametrize("labels", LABEL_KINDS.values(), ids=LABEL_KINDS)
def test_labels_and_probabilities(labels):
    fitted = classifier().fit(X, labels)
    results = predicted(fitted, X)
    assert_array_equal(results["label"], fitted.predict(X))
    assert_close(results["probabilities"], fitted.predict_proba(X))


def test_labels_by_time_step():
    fitted = classifier(return_sequences=True).fit(X, LABELS_STEPS)
    results = predicted(fitted, X)
    assert_array_equal(results["label"], fitted.predict(X))
    assert_close(results["probabilities"], fitted.predict_proba(X))


def test_labels_that_onnx_has_not_are_refused():
    days = np.where(y > 0, np.datetime64("2026-11-01"), np.datetime64("2026-11-02"))
    with pytest.raises(TypeError, match=r"no labels of dtype datetime64"):
        to_onnx(classifier().fit(X, days))


def test_dynamic_axes():
    fixed = to_onnx(model().fit(X, y))
    shape = fixed.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in shape] == ["n_samples", 6, 2]
    free = to_onnx(model().fit(X, y, lengths=LENGTHS))
    shape = free.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in shape] == ["n_samples", "n_timesteps", 2]
    assert [value.name for value in free.graph.input] == ["X", "lengths"]
    for samples in (X[:1], X[:7], np.concatenate([X, X], axis=1)):
        assert len(run_graph(free, samples)["prediction"]) == len(samples)
    assert len(run_graph(fixed, X[:1])["prediction"]) == 1


def test_weights_of_float64_and_predictions_of_float64():
    fitted = TransformedTargetRegressor(
        make_pipeline(SequenceScaler(), model(dtype="float64")), transformer=StandardScaler()
    ).fit(1e6 + X.astype(np.float64), 1e7 + y.astype(np.float64))
    data = 1e6 + X.astype(np.float64)
    results = predicted(fitted, data, {"dtype": "float64"})
    assert results["prediction"].dtype == np.float64
    assert_allclose(results["prediction"] - 1e7, fitted.predict(data) - 1e7, atol=TOLERANCE)


def test_a_stateful_model_goes_from_call_to_call():
    fitted = model(**STATEFUL).fit(X, y)
    with pytest.raises(ValueError, match="pass states=True"):
        to_onnx(fitted)
    graph = to_onnx(fitted, states=True)
    states, outputs = {}, []
    for window in X:
        results = run_graph(graph, window[np.newaxis], **states)
        outputs.append(results["prediction"])
        states = {f"initial_{k}": results[f"final_{k}"] for k in "hc"}
    assert_close(np.concatenate(outputs), fitted.predict(X))


SCALINGS = [
    dict(zip(("window_scaling", "missing", "highway"), values, strict=True))
    for values in itertools.product(
        (None, "last", "mean", "standard", "relative"), ("error", "mask"), (0, 3)
    )
]


@pytest.mark.parametrize("scaling", SCALINGS, ids=str)
def test_scaling_within_the_estimator(scaling):
    """Of levels that are large beside their spread, which are lost if they are rounded too soon."""
    gaps = scaling["missing"] == "mask"
    data = (1000 + 2 * (WITH_GAPS if gaps else X)).astype(np.float32)
    data[:3, :, 1] = 0  # nothing to divide by
    for loss in ("squared_error", "gaussian", Quantile((0.1, 0.9))):
        fitted = model(loss=loss, **scaling).fit(data, 2000 + 3 * Y)
        results = predicted(fitted, data)
        assert_same_scale(results["prediction"], fitted.predict(data))
        if loss == "gaussian":
            assert_same_scale(results["std"], fitted.predict(data, return_std=True)[1])
    padded = with_padding(data, np.inf, more=1).astype(np.float32)
    results = predicted(fitted, padded, {"lengths": True}, lengths=LENGTHS)
    assert_same_scale(results["prediction"], fitted.predict(data, lengths=LENGTHS))


def assert_same_scale(actual, expected):
    """Close, beside the largest: numbers that windows' own scales have made large are rounded as such."""
    assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE * np.abs(expected).max())
    assert_allclose(np.median(actual), np.median(expected), rtol=1e-6)


def test_scaling_of_some_features_and_of_targets_by_time_step():
    options = {"window_scaling": "standard", "window_features": [0], "target_features": 0}
    data = 100 + 5 * X
    fitted = model(return_sequences=True, **options).fit(data, data[..., 0] + X[..., 0])
    assert_allclose(predicted(fitted, data)["prediction"], fitted.predict(data), rtol=1e-6)
    labels = classifier(window_scaling="last").fit(data, LABELS)
    assert_close(predicted(labels, data)["probabilities"], labels.predict_proba(data))
    flat = model(n_timesteps=6, window_scaling="mean").fit(data.reshape(45, -1), 100 + Y)
    assert_allclose(
        predicted(flat, data.reshape(45, -1))["prediction"],
        flat.predict(data.reshape(45, -1)),
        rtol=1e-6,
    )


# -- around a network -----------------------------------------------------------------------------


@pytest.mark.parametrize("with_mean", [True, False])
@pytest.mark.parametrize("with_std", [True, False])
def test_pipelines_with_scalers(with_mean, with_std):
    options = {"with_mean": with_mean, "with_std": with_std}
    data = 5 + 3 * X
    fitted = make_pipeline(SequenceScaler(**options), "passthrough", model()).fit(data, y)
    assert_close(predicted(fitted, data)["prediction"], fitted.predict(data))
    flat = 5 + 3 * FLAT
    for scaler in (StandardScaler(**options), SequenceScaler(n_timesteps=6, **options)):
        fitted = make_pipeline(scaler, classifier(n_timesteps=6)).fit(flat, LABELS)
        results = predicted(fitted, flat)
        assert_close(results["probabilities"], fitted.predict_proba(flat))


def test_a_univariate_series_of_two_dimensions():
    fitted = make_pipeline(SequenceScaler(), model()).fit(FLAT, y)
    assert_close(predicted(fitted, FLAT)["prediction"], fitted.predict(FLAT))


TARGETS = {
    "one": (y, {}),
    "a column": (y[:, np.newaxis], {}),
    "two": (Y, {}),
    "mean and deviation": (y, {"loss": "gaussian"}),
    "mean and deviation of two": (Y, {"loss": "gaussian"}),
    "quantiles": (y, {"loss": Quantile((0.1, 0.5, 0.9))}),
    "time steps": (Y_STEPS[..., 0], {"return_sequences": True}),
}


@pytest.mark.filterwarnings("ignore:A column-vector y")
@pytest.mark.parametrize(("targets", "parameters"), TARGETS.values(), ids=TARGETS)
def test_transformed_targets(targets, parameters):
    fitted = TransformedTargetRegressor(
        make_pipeline(SequenceScaler(), model(**parameters)), transformer=StandardScaler()
    ).fit(X, 100 + 7 * targets)
    results = predicted(fitted, X)
    assert_allclose(results["prediction"], fitted.predict(X), rtol=TOLERANCE)
    assert results["prediction"].shape == fitted.predict(X).shape
    if "std" in results:
        inner = fitted.regressor_[-1].predict(fitted.regressor_[0].transform(X), return_std=True)
        assert_close(results["std"], inner[1] * np.squeeze(fitted.transformer_.scale_))


def test_several_quantiles_of_several_targets_are_scaled_by_target():
    fitted = TransformedTargetRegressor(
        model(loss=Quantile((0.1, 0.9))), transformer=StandardScaler()
    ).fit(X, Y * [1, 100])
    results = predicted(fitted, X)
    scale = fitted.transformer_.scale_[:, np.newaxis]
    mean = fitted.transformer_.mean_[:, np.newaxis]
    assert_allclose(results["prediction"], fitted.regressor_.predict(X) * scale + mean, 1e-4)


REFUSED = {
    "search": (
        lambda: GridSearchCV(model(), {"hidden_size": [2]}, cv=2),
        "pass the best_estimator_",
    ),
    "scaler": (lambda: make_pipeline(MinMaxScaler(), model(n_timesteps=6)), "MinMaxScaler cannot"),
    "functions": (
        lambda: TransformedTargetRegressor(
            model(n_timesteps=6), func=np.cbrt, inverse_func=np.exp, check_inverse=False
        ),
        "with functions cannot be exported",
    ),
    "target": (
        lambda: TransformedTargetRegressor(model(n_timesteps=6), transformer=MinMaxScaler()),
        "MinMaxScaler cannot be exported",
    ),
    "another estimator": (lambda: FunctionTransformer(), "FunctionTransformer cannot be exported"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_graph_is_refused_by_name(make, message):
    fitted = make().fit(FLAT, y)
    with pytest.raises(TypeError, match=message):
        to_onnx(fitted)


def test_what_is_not_fitted_or_wrong_is_refused():
    for unfitted in (model(), make_pipeline(SequenceScaler(), model())):
        with pytest.raises(NotFittedError):
            to_onnx(unfitted)
    with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64', got 'float16'"):
        to_onnx(model().fit(X, y), dtype="float16")


# -- skl2onnx -------------------------------------------------------------------------------------


@pytest.fixture
def skl2onnx():
    skl2onnx = pytest.importorskip("skl2onnx")
    register_onnx_converters()
    return skl2onnx


def converted(skl2onnx, fitted, X, **options):
    graph = skl2onnx.to_onnx(fitted, X[:1], options=options)
    return run_graph(graph, X)


def test_skl2onnx_converts_pipelines(skl2onnx):
    fitted = make_pipeline(SequenceScaler(), model(num_layers=2)).fit(X, y)
    results = converted(skl2onnx, fitted, X)
    assert_close(results["variable"][:, 0], fitted.predict(X))
    # Steps that only skl2onnx knows, before the network.
    fitted = make_pipeline(MinMaxScaler(), model(n_timesteps=6)).fit(FLAT, Y)
    assert_close(converted(skl2onnx, fitted, FLAT)["variable"], fitted.predict(FLAT))
    fitted = make_pipeline(SequenceScaler(n_timesteps=6), model(n_timesteps=6)).fit(FLAT, Y)
    doubles = FLAT.astype(np.float64)
    results = converted(skl2onnx, fitted, doubles)["variable"]
    assert results.dtype == np.float64
    assert_close(results, fitted.predict(doubles))


@pytest.mark.parametrize("labels", [LABELS, (y > 0).astype(int), y > 0], ids=["U", "i", "b"])
def test_skl2onnx_converts_classifiers(skl2onnx, labels):
    fitted = make_pipeline(StandardScaler(), classifier(n_timesteps=6)).fit(FLAT, labels)
    results = converted(skl2onnx, fitted, FLAT, zipmap=False)
    assert_array_equal(results["label"], fitted.predict(FLAT))
    assert_close(results["probabilities"], fitted.predict_proba(FLAT))
    results = converted(skl2onnx, fitted, FLAT)
    by_label = pd.DataFrame(results["output_probability"])
    assert_close(by_label.to_numpy(np.float32), fitted.predict_proba(FLAT).astype(np.float32))


def test_skl2onnx_converts_what_is_around_targets(skl2onnx):
    fitted = TransformedTargetRegressor(
        make_pipeline(SequenceScaler(), model()), transformer=StandardScaler()
    ).fit(X, 100 + 7 * y)
    results = converted(skl2onnx, fitted, X)["variable"]
    assert_allclose(results[:, 0], fitted.predict(X), rtol=TOLERANCE)


@pytest.mark.parametrize("return_sequences", [False, True])
def test_skl2onnx_converts_quantiles(skl2onnx, return_sequences):
    targets = Y_STEPS if return_sequences else Y
    fitted = model(loss=Quantile((0.1, 0.9)), return_sequences=return_sequences).fit(X, targets)
    assert_close(converted(skl2onnx, fitted, X)["variable"], fitted.predict(X))


def test_converters_refuse_what_they_do_not_support(skl2onnx):
    with pytest.raises(ValueError, match="stateful=True needs its states"):
        converted(skl2onnx, model(**STATEFUL).fit(X, y), X)
    whole_numbers = FLAT.astype(np.int64)
    fitted = model(n_timesteps=6).fit(whole_numbers, y)
    with pytest.raises(TypeError, match="must be a FloatTensorType or DoubleTensorType"):
        converted(skl2onnx, fitted, whole_numbers)


def test_without_the_package_the_message_names_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match="skl2onnx"):
        register_onnx_converters()
