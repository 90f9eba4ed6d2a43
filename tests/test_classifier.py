"""LSTMClassifier: labels, probabilities, class weights and metrics; what it shares: the other tests."""

import copy
import pickle

import numpy as np
import pytest
from helpers.estimators import assert_same_fit, classifier
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.utils import compute_sample_weight

from pylstm import SequenceScaler, core
from pylstm.training import EMA

N_SAMPLES, N_TIMESTEPS = 90, 5
X = np.random.default_rng(0).normal(size=(N_SAMPLES, N_TIMESTEPS, 2)).astype(np.float32)
LEVEL = X[:, -1, 0] - 0.5 * X[:, -2, 1]
CODES = np.digitize(LEVEL, [-0.4, 0.5])
NAMES = np.array(["low", "high", "middle"])  # in an order that is not that of the alphabet
y = NAMES[CODES]
CLASSES = ["high", "low", "middle"]
BINARY = np.where(LEVEL > 0, "up", "down")


# Classes and probabilities


@pytest.mark.parametrize("labels", [BINARY, y], ids=["two classes", "three classes"])
def test_learns_classes(labels):
    fitted = classifier(learning_rate_init=0.02, max_iter=60).fit(X, labels)
    assert fitted.score(X, labels) > 0.9
    assert set(fitted.predict(X)) == set(labels)


def test_classes_are_sorted_and_the_columns_in_their_order():
    fitted = classifier(learning_rate_init=0.02, max_iter=60).fit(X, y)
    assert fitted.classes_.tolist() == CLASSES
    assert fitted.n_outputs_ == 3
    p = fitted.predict_proba(X)
    assert p.shape == (N_SAMPLES, 3)
    assert_array_equal(fitted.predict(X), np.array(CLASSES)[p.argmax(axis=1)])
    for k, label in enumerate(CLASSES):
        assert p[y == label, k].mean() > 0.6


@pytest.mark.parametrize("labels", [BINARY, y], ids=["two classes", "three classes"])
@pytest.mark.parametrize("given", [np.float32, np.float64])
def test_probabilities_are_the_softmax_of_the_outputs(labels, given):
    fitted = classifier(standardize=False).fit(X, labels)
    z = core.predict(fitted._parameters, X, fitted._architecture).astype(np.float64)
    expected = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    p = fitted.predict_proba(X.astype(given))
    assert p.dtype == given
    assert_allclose(p, expected, rtol=1e-5)
    assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    log_p = fitted.predict_log_proba(X.astype(given))
    assert log_p.dtype == given
    assert_allclose(log_p, np.log(expected), rtol=1e-5, atol=1e-6)


def test_extreme_outputs_have_probabilities():
    fitted = classifier().fit(X, BINARY)
    fitted.output_intercept_[:] = [-500, 500]
    assert_array_equal(fitted.predict_proba(X), np.tile([0.0, 1.0], (N_SAMPLES, 1)))
    assert_allclose(fitted.predict_log_proba(X)[:, 0], -1000, rtol=0.01)


def test_score_is_the_accuracy():
    fitted = classifier().fit(X, y)
    for weight in (None, np.linspace(0, 2, N_SAMPLES)):
        expected = accuracy_score(y, fitted.predict(X), sample_weight=weight)
        assert fitted.score(X, y, weight) == pytest.approx(expected)


def test_training_loss_of_one_batch_is_the_log_loss():
    fitted = classifier(batch_size=100, max_iter=1).fit(X, y)
    next_loss = copy.deepcopy(fitted).partial_fit(X, y).loss_
    assert next_loss == pytest.approx(log_loss(y, fitted.predict_proba(X)), abs=1e-6)


UNUSUAL = {
    "bool": BINARY == "up",
    "integers": 10 - 7 * CODES,
    "unsigned": CODES.astype(np.uint8),
    "whole floats": CODES - 1.0,
    "list": y.tolist(),
    "list of bool": (BINARY == "up").tolist(),
    "numpy strings": [np.str_(label) for label in y],
    "objects": y.astype(object),
    "fixed width": y.astype("<U20"),
}


@pytest.mark.parametrize("labels", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_unusual_labels_come_back_as_they_are(labels):
    codes = np.unique(labels, return_inverse=True)[1]
    fitted = classifier().fit(X, labels)
    assert_array_equal(fitted.classes_, np.unique(labels))
    assert_same_fit(fitted, classifier().fit(X, codes))
    assert_array_equal(fitted.predict(X), fitted.classes_[classifier().fit(X, codes).predict(X)])
    assert fitted.predict(X).dtype == fitted.classes_.dtype
    assert fitted.score(X, labels) == pytest.approx(classifier().fit(X, codes).score(X, codes))
    parts = classifier().partial_fit(X, labels, classes=np.unique(labels))
    assert_array_equal(parts._parameters, classifier(max_iter=1).fit(X, codes)._parameters)


@pytest.mark.parametrize("dtype", ["category", "object", "str", "string"])
def test_series_of_labels_are_taken(dtype):
    pd = pytest.importorskip("pandas")
    labels = pd.Series(y, index=np.arange(N_SAMPLES)[::-1]).astype(dtype)
    fitted = classifier().fit(X, labels)
    assert_same_fit(fitted, classifier().fit(X, y))
    assert fitted.predict(X).tolist() == classifier().fit(X, y).predict(X).tolist()
    assert fitted.score(X, labels) == classifier().fit(X, y).score(X, y)


def test_column_of_labels_warns():
    with pytest.warns(DataConversionWarning):
        fitted = classifier().fit(X, y[:, np.newaxis])
    assert_same_fit(fitted, classifier().fit(X, y))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(N_SAMPLES, "only"), "at least 2 classes, got 1 class.*only"),
        (LEVEL, "Unknown label type"),
        (np.where(CODES == 1, np.nan, CODES), "NaN"),
        (np.column_stack([y, y]), "should be a 1d array"),
        (y[1:], "inconsistent numbers of samples"),
        (None, "requires y to be passed"),
    ],
    ids=["one class", "numbers", "NaN", "two columns", "too few", "None"],
)
def test_labels_that_are_none_raise(labels, message):
    with pytest.raises((TypeError, ValueError), match=message):
        classifier().fit(X, labels)


def test_nothing_is_known_before_fit():
    for call in ("predict", "predict_proba", "predict_log_proba", "transform"):
        with pytest.raises(NotFittedError):
            getattr(classifier(), call)(X)
    assert not hasattr(classifier(), "classes_")


def test_failing_fit_leaves_a_fitted_classifier_usable():
    fitted = classifier().fit(X, y)
    before = copy.deepcopy(fitted)
    for labels in (BINARY, np.full(N_SAMPLES, "only")):
        with pytest.raises(ValueError):
            fitted.fit(X[:, :, :1], labels[1:])
        assert_array_equal(fitted.predict_proba(X), before.predict_proba(X))
        assert fitted.classes_.tolist() == CLASSES


def test_without_warm_start_fit_starts_afresh_with_other_classes():
    fitted = classifier().fit(X, y).fit(X, BINARY)
    assert fitted.classes_.tolist() == ["down", "up"]
    assert_same_fit(fitted, classifier().fit(X, BINARY))


# Weights


def test_zero_weight_is_the_same_as_leaving_the_sample_out():
    weight = np.tile([1.0, 0.0, 2.0], N_SAMPLES // 3)
    kept = weight > 0
    for parameters in ({}, {"early_stopping": True}, {"class_weight": {"low": 2.0, "high": 0.5}}):
        weighted = classifier(**parameters).fit(X, y, weight)
        assert_same_fit(weighted, classifier(**parameters).fit(X[kept], y[kept], weight[kept]))


def test_balanced_classes_do_not_depend_on_samples_of_zero_weight():
    weight = np.where(np.arange(N_SAMPLES) % 3 > 0, 1.0, y == "low")
    kept = weight > 0
    weighted = classifier(class_weight="balanced").fit(X, y, weight)
    left_out = classifier(class_weight="balanced").fit(X[kept], y[kept])
    assert_allclose(weighted._parameters, left_out._parameters, rtol=1e-4, atol=1e-6)


def test_in_one_batch_weight_is_repetition():
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 4, size=N_SAMPLES)
    repeated = rng.permutation(np.repeat(np.arange(N_SAMPLES), weight))
    weighted = classifier(batch_size=1000).fit(X, y, weight)
    assert_same_fit(weighted, classifier(batch_size=1000).fit(X[repeated], y[repeated]))


@pytest.mark.parametrize(
    "class_weight", ["balanced", {"low": 0.5, "high": 3.0, "middle": 1.0}, {"low": 0.5}], ids=str
)
@pytest.mark.parametrize("weight", [None, np.linspace(0.5, 2, N_SAMPLES)], ids=["", "weighted"])
def test_class_weight_is_the_equivalent_sample_weight(class_weight, weight):
    labels = np.where(np.arange(N_SAMPLES) < 70, "low", y)  # not balanced
    by_class = compute_sample_weight(class_weight, labels).astype(np.float32)
    if class_weight == "balanced" and weight is not None:
        of_label = {label: weight[labels == label].sum() for label in CLASSES}
        by_class = [weight.sum() / 3 / of_label[label] for label in labels]
        by_class = np.array(by_class, np.float32)
    equivalent = by_class if weight is None else by_class * weight.astype(np.float32)
    weighted = classifier(class_weight=class_weight).fit(X, labels, weight)
    assert_same_fit(weighted, classifier().fit(X, labels, equivalent))
    assert weighted.loss_curve_ != classifier().fit(X, labels, weight).loss_curve_


def test_balanced_weights_raise_the_probabilities_of_the_rare():
    labels = np.where(np.arange(N_SAMPLES) % 9 == 0, "rare", "usual")  # X says nothing of it
    plain = classifier(max_iter=20, learning_rate_init=0.01).fit(X, labels)
    balanced = clone(plain).set_params(class_weight="balanced").fit(X, labels)
    means = [fitted.predict_proba(X)[:, 0].mean() for fitted in (plain, balanced)]
    assert means[0] < 0.2
    assert means[1] > 0.3


def test_class_of_weight_zero_is_never_visited():
    fitted = classifier(class_weight={"low": 0, "high": 1, "middle": 1}).fit(X, y)
    assert fitted.t_ == 3 * np.count_nonzero(y != "low")
    assert fitted.classes_.tolist() == CLASSES


def test_class_weight_is_for_classes_that_are_not_in_every_batch():
    fitted = classifier(class_weight={"high": 3.0}).partial_fit(X, y, classes=CLASSES)
    low = y == "low"
    fitted.partial_fit(X[low], y[low])
    expected = classifier().partial_fit(X, y, CLASSES, np.where(y == "high", 3.0, 1.0))
    assert_array_equal(fitted._parameters, expected.partial_fit(X[low], y[low])._parameters)
    stopped = classifier(class_weight={"high": 3.0}, early_stopping=True)
    stopped.fit(X, y, X_val=X[low], y_val=y[low])
    assert len(stopped.validation_scores_) == 3


@pytest.mark.parametrize("times", [[0, 1, 2], [1, 3, 1]], ids=str)
def test_balanced_class_weight_heeds_weights_as_it_does_repetitions(times):
    times = np.resize(times, N_SAMPLES)
    for labels in (y, np.where(times == 0, "of no weight", y)):
        repeated = np.repeat(np.arange(N_SAMPLES), times)
        balanced = classifier(class_weight="balanced", batch_size=1000)
        weighted = clone(balanced).fit(X, labels, times)
        expected = balanced.fit(X[repeated], labels[repeated])
        of_known = np.isin(weighted.classes_, expected.classes_)
        if of_known.all():
            assert_array_equal(weighted.predict_proba(X), expected.predict_proba(X))
        assert np.isfinite(weighted.predict_proba(X)).all()


def test_class_weight_that_does_not_fit_raises():
    with pytest.raises(ValueError, match="class_weight"):
        classifier(class_weight={"other": 2.0}).fit(X, y)
    with pytest.raises(ValueError, match="'class_weight' parameter of LSTMClassifier"):
        classifier(class_weight="equal").fit(X, y)
    with pytest.raises(ValueError, match="zero"):
        classifier(class_weight=dict.fromkeys(CLASSES, 0)).fit(X, y)
    with pytest.raises(ValueError, match=r"with return_sequences=True a sample has many classes"):
        classifier(class_weight="balanced", return_sequences=True).fit(X, X[..., 0] > 0)
    for weights in ({"low": -1.0}, {"low": -0.1, "high": 1.0, "middle": 1.0}, {"low": np.nan}):
        with pytest.raises(ValueError, match=r"class_weight|[Nn]egative|NaN"):
            classifier(class_weight=weights).fit(X, np.where(y == "low", "low", y))


# Early stopping


def test_early_stopping_holds_out_the_classes_in_their_proportions(train_calls):
    labels = np.where(np.arange(N_SAMPLES) % 9 == 0, "rare", "usual")
    stopped = classifier(early_stopping=True, validation_fraction=0.2).fit(X, labels)
    held_out = np.setdiff1d(np.arange(N_SAMPLES), train_calls[0]["order"])
    assert len(held_out) == 18
    assert np.count_nonzero(labels[held_out] == "rare") == 2
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)[1]
    split = train_test_split(
        np.arange(N_SAMPLES), test_size=0.2, stratify=labels, random_state=seed
    )
    assert_array_equal(held_out, np.sort(split[1]))
    expected = -log_loss(labels[held_out], stopped.predict_proba(X[held_out]))
    assert stopped.best_validation_score_ == pytest.approx(expected, abs=1e-5)


def test_early_stopping_without_shuffling_holds_out_the_last(train_calls):
    classifier(early_stopping=True, shuffle=False, validation_fraction=0.2).fit(X, y)
    for call in train_calls:
        assert_array_equal(call["order"], np.arange(72))


def test_validation_score_is_the_negated_log_loss():
    weight = np.linspace(1, 2, 30)
    stopped = classifier(early_stopping=True, max_iter=6).fit(
        X[:60], y[:60], X_val=X[60:], y_val=y[60:], sample_weight_val=weight
    )
    assert stopped.best_validation_score_ == max(stopped.validation_scores_)
    expected = -log_loss(y[60:], stopped.predict_proba(X[60:]), sample_weight=weight)
    assert stopped.best_validation_score_ == pytest.approx(expected, abs=1e-5)


def test_validation_samples_need_not_have_all_classes_and_no_others():
    some = np.flatnonzero(y != "low")[:9]
    stopped = classifier(early_stopping=True).fit(X, y, X_val=X[some], y_val=y[some])
    assert len(stopped.validation_scores_) == 3
    with pytest.raises(ValueError, match=r"unseen labels.*other"):
        classifier(early_stopping=True).fit(X, y, X_val=X[:9], y_val=np.repeat("other", 9))


def test_early_stopping_holds_out_at_random_where_classes_are_too_rare_for_their_share(train_calls):
    letters = np.array([*"abcdefghij"])[np.arange(N_SAMPLES) % 10]  # ten classes, nine held out
    single = np.where(np.arange(N_SAMPLES) == 5, "single", y)
    for labels in (letters, single):
        stopped = classifier(early_stopping=True).fit(X, labels)
        assert stopped.classes_.tolist() == np.unique(labels).tolist()
        assert len(train_calls[-1]["order"]) == N_SAMPLES - 9
        assert len(stopped.validation_scores_) == 3


def test_early_stopping_names_the_classes_that_it_leaves_no_sample_of():
    labels = np.where(np.arange(N_SAMPLES) < N_SAMPLES - 5, y, "last")
    with pytest.warns(UserWarning, match=r"learns nothing: \['last'\]") as warned:
        classifier(early_stopping=True, shuffle=False).fit(X, labels)
    assert warned[0].filename == __file__


# Continuing


def test_n_calls_of_partial_fit_equal_a_fit_of_n_epochs():
    for parameters in ({}, {"dropout": 0.3}, {"class_weight": {"low": 2.0}}):
        parts = classifier(**parameters).partial_fit(X, y, classes=CLASSES)
        for _ in range(2):
            parts.partial_fit(X, y)
        assert_same_fit(parts, classifier(**parameters).fit(X, y))


def test_first_partial_fit_needs_the_classes():
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        classifier().partial_fit(X, y)
    after_fit = classifier().fit(X, y)
    assert after_fit.partial_fit(X, y).n_iter_ == 4


def test_first_partial_fit_may_see_some_of_the_classes():
    some = y != "middle"
    parts = classifier().partial_fit(X[some], y[some], classes=["low", "middle", "high"])
    assert parts.classes_.tolist() == CLASSES
    assert parts.predict_proba(X).shape == (N_SAMPLES, 3)
    assert parts.partial_fit(X, y).n_iter_ == 2
    only = y == "low"
    assert classifier().partial_fit(X[only], y[only], classes=CLASSES).t_ == only.sum()


def test_other_classes_in_partial_fit_raise():
    with pytest.raises(ValueError, match=r"unseen labels.*middle"):
        classifier().partial_fit(X, y, classes=["high", "low"])
    parts = classifier().partial_fit(X, y, classes=CLASSES)
    with pytest.raises(ValueError, match=r"unseen labels.*other"):
        parts.partial_fit(X, np.where(y == "low", "other", y))
    for classes in (["high", "low"], [*CLASSES, "other"], ["high", "low", "other"]):
        with pytest.raises(ValueError, match="not the same as on the last call"):
            parts.partial_fit(X, y, classes=classes)
    assert parts.partial_fit(X, y, classes=CLASSES[::-1]).n_iter_ == 2
    assert parts.classes_.tolist() == CLASSES
    with pytest.raises(ValueError, match="n_classes must be an integer, at least 2"):
        classifier().partial_fit(X, np.full(N_SAMPLES, "low"), classes=["low"])


@pytest.mark.parametrize("n_letters", [1, 3])
def test_longer_label_is_not_taken_for_a_class_that_it_starts_with(n_letters):
    short = np.array([label[:n_letters] for label in y])
    with pytest.raises(ValueError, match="unseen labels"):
        classifier().partial_fit(X, y, classes=np.unique(short))
    fitted = classifier(warm_start=True).fit(X, short)
    with pytest.raises(ValueError, match="unseen labels"):
        fitted.fit(X, y)
    with pytest.raises(ValueError, match="unseen labels"):
        classifier(early_stopping=True).fit(X, short, X_val=X, y_val=y)


def test_other_number_is_not_taken_for_a_class():
    booleans = classifier().fit(X, BINARY == "up")
    with pytest.raises(ValueError, match="unseen labels"):
        booleans.partial_fit(X, 2 * (BINARY == "up"))
    assert booleans.partial_fit(X, (BINARY == "up").astype(int)).n_iter_ == 4


def test_failing_first_partial_fit_leaves_no_classes():
    failed = classifier()
    with pytest.raises(ValueError, match="unseen labels"):
        failed.partial_fit(X, y, classes=["high", "low"])
    assert not hasattr(failed, "classes_")
    assert failed.partial_fit(X, y, classes=CLASSES).n_iter_ == 1


def test_partial_fit_refuses_what_needs_all_samples():
    for parameters, message in (
        ({"class_weight": "balanced"}, "class_weight='balanced' needs all of y"),
        ({"early_stopping": True}, "does not support early_stopping=True"),
    ):
        assert not hasattr(classifier(**parameters), "partial_fit")
        with pytest.raises(AttributeError) as error:
            classifier(**parameters).partial_fit(X, y, classes=CLASSES)
        assert message in str(error.value.__cause__)
    assert hasattr(classifier(class_weight={"low": 2.0}), "partial_fit")


def test_warm_start_equals_a_longer_fit():
    for parameters in ({}, {"averaging": EMA(0.9), "class_weight": "balanced"}):
        parts = classifier(**parameters, warm_start=True).fit(X, y).fit(X, y)
        assert_same_fit(parts, classifier(**parameters, max_iter=6).fit(X, y))


def test_warm_start_with_other_classes_raises():
    fitted = classifier(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"unseen labels.*other"):
        fitted.fit(X, np.where(y == "low", "other", y))
    assert fitted.classes_.tolist() == CLASSES
    fewer = y != "low"
    assert fitted.fit(X[fewer], y[fewer]).predict_proba(X).shape == (N_SAMPLES, 3)


def test_training_continues_exactly_after_a_pickle():
    fitted = classifier().fit(X, y)
    restored = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(restored.predict(X), fitted.predict(X))
    assert_array_equal(restored.predict_proba(X), fitted.predict_proba(X))
    assert_same_fit(restored.partial_fit(X, y), fitted.partial_fit(X, y))


def test_any_number_of_threads_gives_the_same_bits():
    first = classifier(batch_size=50, early_stopping=True).fit(X, y)
    for n_jobs in (2, 3, 4):
        other = classifier(batch_size=50, early_stopping=True, n_jobs=n_jobs).fit(X, y)
        assert_same_fit(first, other)
        assert_array_equal(first.predict_proba(X), other.predict_proba(X))


# With scikit-learn's tools


def test_grid_search_by_log_loss():
    search = GridSearchCV(
        make_pipeline(SequenceScaler(), classifier()),
        {"lstmclassifier__learning_rate_init": [1e-5, 0.02]},
        scoring="neg_log_loss",
        cv=3,
        error_score="raise",
    ).fit(X, y)
    assert search.best_params_ == {"lstmclassifier__learning_rate_init": 0.02}
    assert search.score(X, y) == pytest.approx(-log_loss(y, search.predict_proba(X)))


def test_folds_are_stratified():
    labels = np.where(np.arange(N_SAMPLES) < 60, "first", "then")  # unshuffled folds would fail
    p = cross_val_predict(classifier(), X, labels, cv=3, method="predict_proba")
    assert p.shape == (N_SAMPLES, 2)


def test_calibration_and_voting():
    calibrated = CalibratedClassifierCV(classifier(), cv=2).fit(X, y)
    assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1, rtol=1e-6)
    members = [("a", classifier()), ("b", classifier(random_state=1))]
    voting = VotingClassifier(members, voting="soft").fit(X, y)
    mean = np.mean([member.predict_proba(X) for member in voting.estimators_], axis=0)
    assert_allclose(voting.predict_proba(X), mean)
    assert set(voting.predict(X)) <= set(CLASSES)


def test_tags_are_those_of_a_classifier():
    tags = classifier().__sklearn_tags__()
    assert tags.estimator_type == "classifier"
    assert tags.classifier_tags.multi_class
    assert not tags.target_tags.multi_output
    assert tags.input_tags.three_d_array
    assert tags.transformer_tags.preserves_dtype == ["float64", "float32"]


def test_parameters_set_after_fit_do_not_change_how_it_scores():
    fitted = classifier().fit(X, y)
    before = fitted.score(X, y)
    assert fitted.set_params(return_sequences=True, stateful=True).score(X, y) == before
