"""Integrated and expected gradients: complete, what the definition says, through whatever stands around."""

import numpy as np
import pandas as pd
import pytest
from helpers.estimators import (
    ALL_LOSSES,
    LABELS,
    LENGTHS,
    STATEFUL,
    THERE,
    WITH_GAPS,
    Y_STEPS,
    X,
    Y,
    classifier,
    model,
    ragged,
    suiting,
    with_padding,
    y,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from pylstm import SequenceScaler, core
from pylstm.core import Quantile
from pylstm.inspection import Attributions, expected_gradients, integrated_gradients

FLAT = X.reshape(45, -1)
SOME = slice(0, 12)


def assert_complete(attributions, expected=None, base=None):
    """Whether contributions add up, and to what `predict` says."""
    total = attributions.values.sum(axis=(1, 2))
    difference = attributions.predictions - attributions.base_values
    assert (np.abs(total - difference) <= 1e-3 * np.abs(difference) + 1e-9).all()
    if expected is not None:
        assert_allclose(attributions.predictions, expected, rtol=1e-5, atol=1e-5)
    if base is not None:
        base = np.broadcast_to(base, attributions.base_values.shape)
        assert_allclose(attributions.base_values, base, rtol=1e-5, atol=1e-5)


def at_zero(fitted, X):
    """Predictions for what the network reads as zeros: the mean of X in fit."""
    return fitted.predict(np.broadcast_to(fitted._units.inputs.mean, X.shape).copy())


# -- complete -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"num_layers": 2, "bidirectional": True},
        {"dtype": "float64"},
        {"hidden_size": 40, "max_iter": 30, "learning_rate_init": 0.05},
    ],
    ids=str,
)
def test_contributions_add_up_to_the_difference_of_predictions(parameters):
    fitted = model(**parameters).fit(X, y)
    attributions = integrated_gradients(fitted, X)
    assert isinstance(attributions, Attributions)
    assert attributions.values.shape == X.shape
    assert_complete(attributions, fitted.predict(X), at_zero(fitted, X))
    assert_array_equal(attributions.data, X)


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=repr)
def test_every_loss_is_explained_as_it_is_predicted(loss):
    fitted = model(loss=loss).fit(X, suiting(loss, Y))
    attributions = integrated_gradients(fitted, X[SOME])
    expected = fitted.predict(X[SOME]).reshape(12, -1)
    assert attributions.values.shape == (12, 6, 2, expected.shape[1])
    assert_complete(attributions, expected, at_zero(fitted, X[SOME]).reshape(12, -1))
    fitted = model(loss=loss).fit(X, suiting(loss, y))
    if not isinstance(fitted.predict(X)[0], np.ndarray):
        assert_complete(integrated_gradients(fitted, X[SOME]), fitted.predict(X[SOME]))


def test_a_class_is_explained_by_its_probability():
    labels = np.where(y > 1, "steep", LABELS)
    fitted = classifier().fit(X, labels)
    attributions = integrated_gradients(fitted, X)
    assert attributions.output_names == ["down", "steep", "up"]
    assert_complete(attributions, fitted.predict_proba(X))
    # What makes one class likelier makes the others less so.
    assert_allclose(attributions.values.sum(axis=-1), 0, atol=1e-6)


def test_gradients_of_predictions_are_those_of_finite_differences():
    """For a line that is short, contributions are the gradient times the way."""
    for loss in (core.Poisson(), core.Gaussian(), Quantile((0.1, 0.9))):
        fitted = model(loss=loss, dtype="float64").fit(X, suiting(loss, Y))
        way = 1e-4
        data = X[:3].astype(np.float64)
        for t, f in ((0, 1), (5, 0)):
            there = data.copy()
            there[:, t, f] += way
            difference = (fitted.predict(there) - fitted.predict(data)).reshape(3, -1)
            for sample in range(3):
                attributions = integrated_gradients(fitted, there[[sample]], baseline=data[sample])
                assert_allclose(
                    attributions.values[0, t, f], difference[sample], rtol=1e-5, atol=1e-12
                )
                assert np.count_nonzero(attributions.values[0, ..., 0]) <= 1


def test_of_a_linear_function_contributions_are_weight_times_way():
    """A network whose units stay small is nearly linear in its last input."""
    fitted = model(hidden_size=1, dtype="float64", max_iter=1, standardize=False).fit(X, y)
    for weights in fitted.recurrent_coefs_ + fitted.input_coefs_ + fitted.gate_intercepts_:
        weights[...] = 0
    fitted.input_coefs_[0][:, 2] = [1e-4, -3e-4]  # of the candidate: c = sigmoid(0) x w, h = c / 2
    fitted.output_coef_[...] = 4
    data = X[:5].astype(np.float64)
    attributions = integrated_gradients(fitted, data, baseline=1.0)
    kept = 0.5 ** np.arange(5, -1, -1)  # by the forget gate, of sigmoid(0)
    expected = (data - 1) * [1e-4, -3e-4] * kept[:, np.newaxis]
    assert_allclose(attributions.values, expected, rtol=1e-5)


def test_quantiles_that_change_places_on_the_line():
    """Where they do, the gradient jumps: more nodes would not help, only more of them there."""
    fitted = model(loss=Quantile((0.1, 0.3, 0.5, 0.7, 0.9)), max_iter=1).fit(X, y)
    attributions = integrated_gradients(fitted, 3 * X)
    crosses = np.diff(fitted._finite_output(fitted._check_inputs(3 * X, None))[0]) < 0
    assert crosses.any()
    assert_complete(attributions, fitted.predict(3 * X))


def test_what_is_incomplete_is_warned_of(monkeypatch):
    monkeypatch.setattr("pylstm.inspection._attributions._MOST_HALVINGS", 0)
    fitted = model(loss=Quantile((0.1, 0.5, 0.9)), max_iter=1).fit(X, y)
    with pytest.warns(UserWarning, match=r"contributions to \d+ of 45 predictions do not add up"):
        integrated_gradients(fitted, 3 * X)


# -- which predictions ----------------------------------------------------------------------------


def test_outputs_are_chosen():
    fitted = model().fit(X, Y)
    both = integrated_gradients(fitted, X[SOME], tol=1e-6)
    for outputs, place in ((1, 1), (-1, 1), (np.int64(0), 0)):
        one = integrated_gradients(fitted, X[SOME], outputs=outputs, tol=1e-6)
        assert one.values.shape == (12, 6, 2)
        assert_allclose(one.values, both.values[..., place], atol=1e-6)
    swapped = integrated_gradients(fitted, X[SOME], outputs=[1, 0], tol=1e-6)
    assert_allclose(swapped.values, both.values[..., ::-1], atol=1e-6)
    single = integrated_gradients(model().fit(X, y), X[SOME], outputs=[0])
    assert single.values.shape == (12, 6, 2, 1)
    for outputs in (2, -3, [], [[0]], 0.5, "mean"):
        with pytest.raises(ValueError, match="outputs must be an integer, or a list"):
            integrated_gradients(fitted, X, outputs=outputs)


@pytest.mark.parametrize("step", [-1, 0, 3, -6])
def test_steps_of_sequences_are_chosen(step):
    fitted = model(return_sequences=True).fit(X, Y_STEPS)
    attributions = integrated_gradients(fitted, X, step=step)
    assert_complete(attributions, fitted.predict(X)[:, step])
    assert not attributions.values[:, step % 6 + 1 :].any()  # the future says nothing


def test_a_step_that_is_not_there_is_refused():
    fitted = model(return_sequences=True).fit(X, Y_STEPS, lengths=LENGTHS)
    with pytest.raises(ValueError, match="step must be an integer from -1 to 0, as the shortest"):
        integrated_gradients(fitted, X, step=3, lengths=LENGTHS)
    with pytest.raises(ValueError, match=r"step=3 chooses.*return_sequences=False"):
        integrated_gradients(model().fit(X, y), X, step=3)
    with pytest.raises(TypeError, match="step must be an integer"):
        integrated_gradients(fitted, X, step=0.5)


# -- kinds of input -------------------------------------------------------------------------------


@pytest.mark.parametrize("bidirectional", [False, True])
def test_lengths_and_lists(bidirectional):
    fitted = model(bidirectional=bidirectional).fit(X, y, lengths=LENGTHS)
    padded = with_padding(X, np.nan, more=2)
    attributions = integrated_gradients(fitted, padded, lengths=LENGTHS)
    assert_complete(attributions, fitted.predict(X, lengths=LENGTHS))
    assert not attributions.values[:, :6][~THERE].any()
    assert not attributions.values[:, 6:].any()
    listed = integrated_gradients(fitted, ragged(X))
    assert_allclose(listed.values, attributions.values[:, :6], atol=1e-9)
    assert_array_equal(listed.data[THERE], X[THERE])
    alone = integrated_gradients(fitted, [X[3, : LENGTHS[3]]])
    assert_allclose(alone.values[0], attributions.values[3, : LENGTHS[3]], atol=1e-9)


def test_missing_values_contribute_nothing_and_are_missing_all_along():
    fitted = model(missing="mask").fit(WITH_GAPS, y)
    attributions = integrated_gradients(fitted, WITH_GAPS, baseline=0.5)
    assert_complete(attributions, fitted.predict(WITH_GAPS))
    assert not attributions.values[np.isnan(WITH_GAPS)].any()
    start = np.where(np.isnan(WITH_GAPS), np.nan, 0.5)
    assert_allclose(attributions.base_values, fitted.predict(start), atol=1e-6)


def test_states_of_a_stateful_network_are_where_lines_start():
    fitted = model(**STATEFUL).fit(X, y)
    assert_complete(integrated_gradients(fitted, X), fitted.predict(X))


def test_flat_windows_and_tables():
    table = pd.DataFrame(FLAT, columns=[f"lag {k}" for k in range(12)])
    fitted = make_pipeline(StandardScaler(), model(n_timesteps=6)).fit(table, y)
    attributions = integrated_gradients(fitted, table, baseline=table.mean())
    assert attributions.values.shape == (45, 6, 2)
    assert_complete(attributions, fitted.predict(table), fitted.predict(table.mean().to_frame().T))
    assert_array_equal(attributions.data, X)
    with pytest.raises(ValueError, match="feature names"):
        integrated_gradients(fitted, table[table.columns[::-1]])


def test_results_do_not_depend_on_threads_or_chunks(monkeypatch):
    fitted = model(loss=Quantile((0.1, 0.9))).fit(X, y)
    whole = expected_gradients(fitted, X[:4], X)
    monkeypatch.setattr("pylstm.inspection._attributions._VALUES_AT_ONCE", 500)
    chunks = expected_gradients(fitted.set_params(n_jobs=2), X[:4], X)
    assert_allclose(chunks.values, whole.values, atol=1e-7)
    assert_allclose(chunks.base_values, whole.base_values, atol=1e-12)


# -- baselines ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "baseline", [2.0, [1.0, -1.0], X[7].tolist(), X[7]], ids=["number", "features", "list", "array"]
)
def test_baselines_of_every_shape(baseline):
    fitted = make_pipeline(SequenceScaler(), model()).fit(X, y)
    start = np.broadcast_to(baseline, X.shape).copy()
    assert_complete(
        integrated_gradients(fitted, X, baseline=baseline), fitted.predict(X), fitted.predict(start)
    )


def test_without_a_baseline_it_is_what_the_network_reads_as_zeros():
    fitted = make_pipeline(SequenceScaler(), model()).fit(5 + X, y)
    mean = np.broadcast_to(fitted[0].mean_, X.shape).copy()
    assert_complete(integrated_gradients(fitted, 5 + X), base=fitted.predict(mean))


def test_expected_gradients_are_means_of_integrated_gradients():
    fitted = model().fit(X, Y)
    background = X[20:30]
    attributions = expected_gradients(fitted, X[SOME], background, tol=1e-6)
    assert_complete(attributions, fitted.predict(X[SOME]), fitted.predict(background).mean(axis=0))
    each = [
        integrated_gradients(fitted, X[SOME], baseline=sequence, tol=1e-6)
        for sequence in background
    ]
    assert_allclose(attributions.values, np.mean([a.values for a in each], axis=0), atol=1e-6)


def test_a_large_background_is_drawn_from():
    fitted = model().fit(X, y)
    options = {"background": X, "n_background": 10}
    one = expected_gradients(fitted, X[SOME], random_state=0, **options)
    again = expected_gradients(fitted, X[SOME], random_state=0, **options)
    other = expected_gradients(fitted, X[SOME], random_state=1, **options)
    assert_array_equal(one.values, again.values)
    assert not np.array_equal(one.values, other.values)
    assert_complete(one, fitted.predict(X[SOME]))
    with pytest.raises(ValueError, match="n_background must be an integer of at least 1"):
        expected_gradients(fitted, X, X, n_background=0)


def test_a_background_of_longer_sequences():
    fitted = model().fit(X, y, lengths=LENGTHS)
    short = [x[:3] for x in X[SOME]]
    attributions = expected_gradients(fitted, short, list(X[20:25]))
    assert_complete(attributions, fitted.predict(short), fitted.predict(list(X[20:25, :3])).mean())
    with pytest.raises(ValueError, match="at least as many time steps as those of X, 6"):
        expected_gradients(fitted, list(X), list(X[:, :3]))


WRONG_BASELINES = {
    "shape": (lambda m: integrated_gradients(m, X, baseline=np.zeros(5)), "got shape \\(5,\\)"),
    "NaN": (lambda m: integrated_gradients(m, X, baseline=np.nan), "contains NaN"),
    "text": (lambda m: integrated_gradients(m, X, baseline="mean"), "baseline must be a number"),
    "features of the background": (lambda m: expected_gradients(m, X, X[..., :1]), "has 1 features"),
    "empty background": (lambda m: expected_gradients(m, X, X[:0]), "at least one sequence"),
    "X": (lambda m: integrated_gradients(m, X[..., :1]), "has 1 features"),
    "infinity": (lambda m: integrated_gradients(m, np.full_like(X, np.inf)), "contains"),
    "tol": (lambda m: integrated_gradients(m, X, tol=0), "tol must be a positive number"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "message"), WRONG_BASELINES.values(), ids=WRONG_BASELINES)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(model().fit(X, y))


def test_missing_values_in_a_background_are_refused():
    fitted = model(missing="mask").fit(WITH_GAPS, y)
    with pytest.raises(ValueError, match="background must have no missing values: fill them"):
        expected_gradients(fitted, WITH_GAPS, WITH_GAPS)


@pytest.mark.parametrize("window_scaling", ["last", "mean", "standard", "relative"])
@pytest.mark.parametrize("highway", [0, 3])
def test_windows_on_scales_of_their_own(window_scaling, highway):
    options = {"window_scaling": window_scaling, "highway": highway}
    fitted = model(**options).fit(100 + 10 * X, 1000 + 50 * Y)
    data = 100 + 10 * X[SOME]
    attributions = integrated_gradients(fitted, data)
    assert_complete(attributions, fitted.predict(data))
    assert_array_equal(attributions.data, data)
    # The same windows elsewhere: read as others of the same course, on the same scales.
    background = expected_gradients(fitted, data, 100 + 10 * X[20:24])
    assert_complete(background, fitted.predict(data))
    if window_scaling == "last":
        moved = expected_gradients(fitted, data, 10 * X[20:24])
        assert_allclose(moved.base_values, background.base_values, rtol=1e-7)


# -- around a network -----------------------------------------------------------------------------


def test_scalers_and_targets_are_in_their_own_units():
    fitted = GridSearchCV(
        TransformedTargetRegressor(
            make_pipeline(SequenceScaler(), model()), transformer=StandardScaler()
        ),
        {"regressor__lstmregressor__hidden_size": [3]},
        cv=2,
    ).fit(100 + 10 * X, 1000 + 50 * Y)
    attributions = integrated_gradients(fitted, 100 + 10 * X)
    assert_complete(attributions, fitted.predict(100 + 10 * X))
    assert_array_equal(attributions.data, 100 + 10 * X)


def test_quantiles_of_several_targets_are_scaled_by_target():
    fitted = TransformedTargetRegressor(
        model(loss=Quantile((0.1, 0.9))), transformer=MinMaxScaler()
    ).fit(X, Y * [1, 100])
    attributions = integrated_gradients(fitted, X[SOME])
    inner = fitted.regressor_.predict(X[SOME])
    scaler = fitted.transformer_
    expected = (inner - scaler.min_[:, np.newaxis]) / scaler.scale_[:, np.newaxis]
    assert_complete(attributions, expected.reshape(12, -1))


def test_other_transformers_are_explained_behind_them():
    fitted = make_pipeline(PCA(6), model()).fit(FLAT, y)
    attributions = integrated_gradients(fitted, FLAT)
    assert attributions.values.shape == (45, 6, 1)
    assert_allclose(attributions.data[..., 0], fitted[0].transform(FLAT), rtol=1e-6)
    assert_complete(attributions, fitted.predict(FLAT))


def test_targets_that_are_not_linear_are_refused():
    fitted = TransformedTargetRegressor(
        model(), func=np.log, inverse_func=np.exp, check_inverse=False
    )
    fitted.fit(X, np.abs(y) + 1)
    with pytest.raises(ValueError, match=r"is not linear.*explain the regressor_ within"):
        integrated_gradients(fitted, X)
    assert_complete(integrated_gradients(fitted.regressor_, X), fitted.regressor_.predict(X))


def test_what_is_no_network_or_not_fitted_is_refused():
    with pytest.raises(TypeError, match="No fitted LSTMRegressor or LSTMClassifier"):
        integrated_gradients(
            make_pipeline(FunctionTransformer(), LinearRegression()).fit(FLAT, y), FLAT
        )
    with pytest.raises(NotFittedError):
        integrated_gradients(model(), X)


def test_the_shape_is_that_of_shap():
    shap = pytest.importorskip("shap")
    fitted = classifier().fit(X, LABELS)
    attributions = integrated_gradients(fitted, X)
    explanation = attributions.to_shap(feature_names=["a", "b"])
    assert isinstance(explanation, shap.Explanation)
    assert explanation.shape == (45, 6, 2, 2)
    assert explanation[:, -1, :, 1].values.shape == (45, 2)
    assert_array_equal(explanation.data, X)
