"""Sequences of targets: an output at every step."""

import numpy as np
import pytest
from helpers.estimators import (
    LABELS_STEPS,
    LENGTHS,
    N_SAMPLES,
    N_TIMESTEPS,
    THERE,
    Y_STEPS,
    X,
    Y,
    assert_same_fit,
    classifier,
    expected_score,
    model,
    ragged,
    suiting,
    with_padding,
    y,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm
from sklearn.metrics import accuracy_score, d2_tweedie_score, log_loss, r2_score
from sklearn.model_selection import cross_val_predict

from pylstm import core


@pytest.mark.parametrize(
    "targets", [Y_STEPS, Y_STEPS[..., :1], Y_STEPS[..., 0]], ids=lambda t: str(t.shape)
)
def test_sequences_are_predicted_in_the_shape_of_y(targets):
    fitted = model(return_sequences=True).fit(X, targets)
    assert fitted.predict(X).shape == targets.shape
    assert fitted.n_outputs_ == (2 if targets.shape == Y_STEPS.shape else 1)
    quantiles = model(return_sequences=True, loss=core.Quantile((0.1, 0.5, 0.9))).fit(X, targets)
    assert quantiles.predict(X).shape == (*targets.shape, 3)
    assert quantiles.partial_fit(X, targets).predict(X).shape == (*targets.shape, 3)


def test_sequences_are_learned():
    windows = np.random.default_rng(1).normal(size=(100, 8, 1))
    sums = np.cumsum(windows, axis=1)[..., 0] / 3
    fitted = model(return_sequences=True, learning_rate_init=0.02, max_iter=50)
    assert fitted.fit(windows[:80], sums[:80]).score(windows[80:], sums[80:]) > 0.9


@pytest.mark.parametrize("loss", ["squared_error", core.Quantile((0.2, 0.7))], ids=str)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
def test_score_of_sequences_counts_the_steps_that_are_there(loss, lengths):
    fitted = model(return_sequences=True, loss=loss).fit(X, Y_STEPS, lengths=lengths)
    there = np.ones_like(THERE) if lengths is None else THERE
    predicted = fitted.predict(X, lengths=lengths)[there]
    score = fitted.score(X, Y_STEPS, lengths=lengths)
    assert score == pytest.approx(expected_score(loss, Y_STEPS[there], predicted, None), abs=1e-5)
    weight = np.linspace(0, 2, N_SAMPLES)
    by_step = np.broadcast_to(weight[:, np.newaxis], THERE.shape)[there]
    score = fitted.score(X, Y_STEPS, weight, lengths=lengths)
    expected = expected_score(loss, Y_STEPS[there], predicted, by_step)
    assert score == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "gaussian"])
def test_validation_score_of_sequences_counts_the_steps_that_are_there(loss):
    targets = suiting(loss, Y_STEPS)
    weight = np.linspace(1, 2, 20)
    stopped = model(return_sequences=True, early_stopping=True, loss=loss).fit(
        X[:25],
        targets[:25],
        lengths=LENGTHS[:25],
        X_val=X[25:],
        y_val=targets[25:],
        sample_weight_val=weight,
        lengths_val=LENGTHS[25:],
    )
    there = THERE[25:]
    truth, by_step = targets[25:][there], np.repeat(weight, LENGTHS[25:])
    predicted = stopped.predict(X[25:], lengths=LENGTHS[25:])[there]
    if loss == "gaussian":
        _, deviation = stopped.predict(X[25:], lengths=LENGTHS[25:], return_std=True)
        density = norm.logpdf(truth, predicted, deviation[there]).mean(axis=1)
        expected = np.average(density, weights=by_step) + np.log(2 * np.pi) / 2
    elif loss == "poisson":
        expected = np.mean(
            [
                d2_tweedie_score(truth[:, k], predicted[:, k], sample_weight=by_step, power=1)
                for k in range(2)
            ]
        )
    else:
        expected = r2_score(truth, predicted, sample_weight=by_step)
    assert stopped.best_validation_score_ == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("return_sequences", [False, True])
def test_weights_that_do_not_fit_raise_in_score(return_sequences):
    targets = Y_STEPS if return_sequences else y
    fitted = model(return_sequences=return_sequences).fit(X, targets)
    for weight in (np.ones(3), np.ones((N_SAMPLES, 2))):
        with pytest.raises(ValueError, match=r"[Ss]ample.?weight"):
            fitted.score(X, targets, weight)


def test_zero_weight_of_a_sequence_is_the_same_as_leaving_it_out():
    weight = np.tile([1.0, 0.0, 2.0], N_SAMPLES // 3)
    kept = weight > 0
    weighted = model(return_sequences=True).fit(X, Y_STEPS, weight, lengths=LENGTHS)
    left_out = model(return_sequences=True)
    left_out.fit(X[kept], Y_STEPS[kept], weight[kept], lengths=LENGTHS[kept])
    assert_same_fit(weighted, left_out)


@pytest.mark.parametrize(
    "targets", [y, Y, Y_STEPS[:, :4], Y_STEPS[1:], Y_STEPS[..., np.newaxis]], ids=np.shape
)
def test_targets_that_are_not_those_of_each_step_raise(targets):
    with pytest.raises(ValueError):
        model(return_sequences=True).fit(X, targets)


def test_classifier_predicts_a_label_for_each_step():
    for lengths, data, labels in (
        (None, X, LABELS_STEPS),
        (LENGTHS, with_padding(X, np.nan), np.where(THERE, LABELS_STEPS, "padding")),
    ):
        fitted = classifier(return_sequences=True, learning_rate_init=0.02, max_iter=30)
        fitted.fit(data, labels, lengths=lengths)
        assert fitted.classes_.tolist() == ["down", "up"]
        there = np.ones_like(THERE) if lengths is None else THERE
        p = fitted.predict_proba(data, lengths=lengths)
        assert p.shape == (N_SAMPLES, N_TIMESTEPS, 2)
        assert_allclose(p.sum(axis=-1), 1, rtol=1e-6)
        predicted = fitted.predict(data, lengths=lengths)
        assert_array_equal(predicted, fitted.classes_[p.argmax(axis=-1)])
        weight = np.linspace(0, 2, N_SAMPLES)
        by_step = np.broadcast_to(weight[:, np.newaxis], THERE.shape)[there]
        for given, expanded in ((None, None), (weight, by_step)):
            expected = accuracy_score(labels[there], predicted[there], sample_weight=expanded)
            score = fitted.score(data, labels, given, lengths=lengths)
            assert score == pytest.approx(expected)
        assert fitted.score(data, labels, lengths=lengths) > 0.8


def test_classifier_takes_lists_of_labels_by_step():
    whole = classifier(return_sequences=True).fit(X, LABELS_STEPS, lengths=LENGTHS)
    listed = classifier(return_sequences=True).fit(ragged(X), ragged(LABELS_STEPS))
    assert_same_fit(listed, whole)
    as_lists = [labels.tolist() for labels in ragged(LABELS_STEPS)]
    assert_same_fit(classifier(return_sequences=True).fit(ragged(X), as_lists), whole)
    data = ragged(X.astype(np.float64))
    assert listed.score(data, ragged(LABELS_STEPS)) == whole.score(X, LABELS_STEPS, lengths=LENGTHS)


def test_classifier_validates_on_the_steps_that_are_there():
    stopped = classifier(return_sequences=True, early_stopping=True).fit(
        X[:25],
        LABELS_STEPS[:25],
        lengths=LENGTHS[:25],
        X_val=X[25:],
        y_val=LABELS_STEPS[25:],
        lengths_val=LENGTHS[25:],
    )
    p = stopped.predict_proba(X[25:], lengths=LENGTHS[25:])[THERE[25:]]
    expected = -log_loss(LABELS_STEPS[25:][THERE[25:]], p)
    assert stopped.best_validation_score_ == pytest.approx(expected, abs=1e-5)
    split = classifier(return_sequences=True, early_stopping=True, validation_fraction=0.3)
    assert len(split.fit(ragged(X), ragged(LABELS_STEPS)).validation_scores_) == 3


@pytest.mark.parametrize("container", [list, tuple, "object array", "Series"], ids=str)
def test_predictions_by_step_come_one_by_one_where_the_sequences_do(container):
    def contained(array):
        objects = np.empty(N_SAMPLES, dtype=object)
        objects[:] = ragged(array)
        if container == "Series":
            return pytest.importorskip("pandas").Series(objects)
        return objects if container == "object array" else container(objects)

    def assert_one_by_one(predicted, whole):
        assert isinstance(predicted, list if isinstance(container, type) else np.ndarray)
        for one, of_all, length in zip(predicted, whole, LENGTHS, strict=True):
            assert_array_equal(one, of_all[:length])

    data = X.astype(np.float64)
    listed = contained(data)
    gaussian = model(return_sequences=True, loss="gaussian").fit(listed, contained(Y_STEPS))
    mean, deviation, state = gaussian.predict(listed, return_std=True, return_state=True)
    expected = gaussian.predict(data, lengths=LENGTHS, return_std=True, return_state=True)
    assert_one_by_one(mean, expected[0])
    assert_one_by_one(deviation, expected[1])
    assert_array_equal(state.h, expected[2].h)
    classes = classifier(return_sequences=True).fit(listed, contained(LABELS_STEPS))
    for method in ("predict", "predict_proba", "predict_log_proba"):
        predict = getattr(classes, method)
        assert_one_by_one(predict(listed), predict(data, lengths=LENGTHS))


def test_list_of_one_length_gives_a_list_too():
    fitted = model(return_sequences=True).fit(X, Y_STEPS)
    assert_array_equal(fitted.predict(list(X)), fitted.predict(X.astype(np.float64)))
    assert isinstance(fitted.predict(list(X)), list)


def test_cross_validated_predictions_of_sequences_of_different_lengths():
    samples, targets = np.empty((2, N_SAMPLES), dtype=object)
    samples[:], targets[:] = ragged(X), ragged(Y_STEPS)
    predicted = cross_val_predict(model(return_sequences=True), samples, targets, cv=3)
    assert [steps.shape for steps in predicted] == [(length, 2) for length in LENGTHS]
