"""Sequences of different lengths: lists, and padding with lengths, are the same."""

import numpy as np
import pytest
from helpers.estimators import (
    LENGTHS,
    N_FEATURES,
    N_SAMPLES,
    N_TIMESTEPS,
    THERE,
    Y_STEPS,
    X,
    assert_same_fit,
    assert_same_results,
    data_for,
    model,
    plain,
    ragged,
    with_padding,
    y,
)
from numpy.testing import assert_array_equal
from sklearn.base import clone

ALIKE = {
    "plain": {},
    "deep and bidirectional": {"num_layers": 2, "bidirectional": True},
    "return_sequences": {"return_sequences": True},
    "missing": {"missing": "mask"},
    "dropout": {"dropout": 0.3, "recurrent_dropout": 0.3},
    "one batch": {"batch_size": 100},
    "one batch by steps": {"batch_size": 100, "return_sequences": True},
    "stateful": {"stateful": True, "shuffle": False},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "early stopping by steps": {"early_stopping": True, "return_sequences": True},
    "gaussian": {"loss": "gaussian"},
}
for_alike = pytest.mark.parametrize("parameters", ALIKE.values(), ids=ALIKE.keys())


def results(fitted, data, targets, **lengths):
    """All that a fitted regressor gives for sequences; of sequences what is there."""
    predicted = fitted.predict(data, **lengths)
    gates = fitted.gate_activations(data, **lengths)
    if fitted.return_sequences and isinstance(data, list):
        predicted = np.concatenate(predicted)
    elif fitted.return_sequences:
        predicted = predicted[:, :N_TIMESTEPS][THERE]
    return [
        predicted,
        fitted.transform(data, **lengths),
        fitted.score(data, targets, **lengths),
        *(trace[:, :N_TIMESTEPS][THERE] for trace in gates),
    ]


@for_alike
def test_list_of_sequences_is_the_same_as_padding_and_lengths(parameters):
    data, targets = data_for(parameters)
    target_list = ragged(targets) if "return_sequences" in parameters else targets
    whole = model(**parameters).fit(data, targets, lengths=LENGTHS)
    for container in (list, tuple):
        listed = model(**parameters).fit(container(ragged(data)), target_list)
        assert_same_fit(listed, whole)
    assert whole.n_timesteps_ is listed.n_timesteps_ is None
    assert_same_results(
        results(listed, ragged(data), target_list), results(whole, data, targets, lengths=LENGTHS)
    )
    if "early_stopping" not in parameters:
        whole.partial_fit(data, targets, lengths=LENGTHS)
        assert_same_fit(listed.partial_fit(ragged(data), target_list), whole)


def assert_same_with_padding(parameters, value, more=0):
    """Fits and results change by no bit with `value` behind the samples' ends, and `more` such steps."""
    data, targets = data_for(parameters)
    padded = with_padding(data, value, more)
    padded_targets = with_padding(targets, value, more) if targets.ndim == 3 else targets
    plain = model(**parameters).fit(data, targets, lengths=LENGTHS)
    other = model(**parameters).fit(padded, padded_targets, lengths=LENGTHS)
    assert_same_fit(plain, other)
    assert_same_results(
        results(plain, data, targets, lengths=LENGTHS),
        results(plain, padded, padded_targets, lengths=LENGTHS),
    )


@for_alike
@pytest.mark.parametrize("value", [np.nan, np.inf, -1e300, 1.0])
def test_contents_of_padding_change_no_bit(parameters, value):
    assert_same_with_padding(parameters, value)


@for_alike
def test_more_padding_changes_no_bit(parameters):
    assert_same_with_padding(parameters, np.nan, more=5)


@pytest.mark.parametrize("parameters", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_prediction_of_a_sample_is_that_of_the_truncated_sample_alone(parameters):
    fitted = model(**parameters).fit(X, y, lengths=LENGTHS)
    predicted = fitted.predict(X, lengths=LENGTHS)
    features = fitted.transform(X, lengths=LENGTHS)
    for n, sample in enumerate(ragged(X)):
        alone = {"X": sample[np.newaxis], "lengths": [len(sample)]}
        assert_array_equal(fitted.predict(**alone), predicted[[n]])
        assert_array_equal(fitted.transform(**alone), features[[n]])


def test_full_lengths_are_the_same_as_none():
    full = np.full(N_SAMPLES, N_TIMESTEPS)
    without, given = model().fit(X, y), model().fit(X, y, lengths=full)
    assert_same_fit(without, given)
    assert_array_equal(without.predict(X), given.predict(X, lengths=full))
    assert (without.n_timesteps_, given.n_timesteps_) == (N_TIMESTEPS, None)


def test_lists_of_one_length_are_the_same_as_an_array():
    assert_same_fit(model().fit(list(X), y), model().fit(X, y))
    listed = model(return_sequences=True).fit(list(X), list(Y_STEPS))
    assert_same_fit(listed, model(return_sequences=True).fit(X, Y_STEPS))


@pytest.mark.parametrize("equal", [False, True])
def test_object_array_of_sequences_is_taken_as_a_list(equal):
    samples = list(X) if equal else ragged(X)
    objects = np.empty(N_SAMPLES, dtype=object)
    for n, sample in enumerate(samples):
        objects[n] = sample
    assert_same_fit(model().fit(objects, y), model().fit(samples, y))


def test_list_of_lists_and_of_dataframes_is_taken():
    pd = pytest.importorskip("pandas")
    expected = model().fit(ragged(X), y)
    assert_same_fit(model().fit([sample.tolist() for sample in ragged(X)], y), expected)
    assert_same_fit(model().fit([pd.DataFrame(sample) for sample in ragged(X)], y), expected)


def test_sequences_of_one_feature_may_have_one_dimension():
    pd = pytest.importorskip("pandas")
    expected = model().fit(ragged(X[..., :1]), y)
    walks = ragged(X[..., 0])
    forms = {
        "list": walks,
        "tuple": tuple(walks),
        "lists": [walk.tolist() for walk in walks],
        "list of Series": [pd.Series(walk) for walk in walks],
        "Series": pd.Series(walks),
        "object array": np.array(walks, dtype=object),
    }
    for name, form in forms.items():
        fitted = model().fit(form, y)
        assert_same_fit(fitted, expected)
        assert_array_equal(fitted.predict(form), expected.predict(ragged(X[..., :1])), name)
        assert fitted.n_features_in_ == 1
        assert_array_equal(fitted.predict(walks[:1]), fitted.predict(form)[:1])  # of one length


def test_rows_of_one_length_are_windows_of_two_dimensions():
    expected = model().fit(X[..., 0], y)
    for form in (list(X[..., 0]), X[..., 0].tolist()):
        fitted = model().fit(form, y)
        assert_same_fit(fitted, expected)
        assert fitted.n_features_in_ == N_TIMESTEPS


def test_tables_whose_cells_hold_sequences_are_taken_by_the_names_of_their_columns():
    pd = pytest.importorskip("pandas")
    cells = [{"a": pd.Series(sample[:, 0]), "b": sample[:, 1]} for sample in ragged(X)]
    nested = pd.DataFrame(cells)
    fitted = model().fit(nested, y)
    assert_same_fit(fitted, model().fit(ragged(X), y))
    assert fitted.feature_names_in_.tolist() == ["a", "b"]
    assert_array_equal(fitted.predict(nested), fitted.predict(ragged(X)))
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(nested[["b", "a"]])
    nested.iloc[1, 1] = np.zeros(99)
    with pytest.raises(ValueError, match=r"cells hold \[\d+, 99\] values"):
        model().fit(nested, y)


def test_lengths_belong_to_two_dimensional_windows_too():
    univariate = model().fit(X[:, :, 0], y, lengths=LENGTHS)
    assert_same_fit(univariate, model().fit(X[:, :, :1], y, lengths=LENGTHS))
    flattened = model(n_timesteps=N_TIMESTEPS)
    flattened.fit(with_padding(X, np.nan).reshape(N_SAMPLES, -1), y, lengths=LENGTHS)
    assert_same_fit(flattened, model().fit(X, y, lengths=LENGTHS))


def test_sequences_with_lengths_may_be_longer_than_those_of_fit():
    fitted = model().fit(X[:, :4], y)
    assert fitted.predict(X, lengths=LENGTHS).shape == y.shape
    assert fitted.predict(ragged(X)).shape == y.shape


@pytest.mark.parametrize("return_sequences", [False, True])
def test_lengths_of_validation_samples_are_used(return_sequences):
    targets = Y_STEPS if return_sequences else y
    stopped = model(early_stopping=True, return_sequences=return_sequences)
    stopped.fit(
        X[:25],
        targets[:25],
        lengths=LENGTHS[:25],
        X_val=with_padding(X, np.nan)[25:],
        y_val=targets[25:],
        lengths_val=LENGTHS[25:],
    )
    expected = stopped.score(X[25:], targets[25:], lengths=LENGTHS[25:])
    assert stopped.best_validation_score_ == pytest.approx(expected, abs=1e-6)
    listed = clone(stopped).fit(
        ragged(X)[:25],
        ragged(targets)[:25] if return_sequences else targets[:25],
        X_val=ragged(X)[25:],
        y_val=ragged(targets)[25:] if return_sequences else targets[25:],
    )
    assert_same_fit(listed, stopped)


def test_in_one_batch_of_sequences_weight_is_repetition():
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 4, size=N_SAMPLES)
    repeated = rng.permutation(np.repeat(np.arange(N_SAMPLES), weight))
    weighted = model(batch_size=1000).fit(X, y, weight, lengths=LENGTHS)
    other = model(batch_size=1000).fit(
        with_padding(X, np.nan)[repeated], y[repeated], lengths=LENGTHS[repeated]
    )
    assert_same_fit(weighted, other)


def test_samples_of_one_batch_differ_by_their_lengths_alone():
    constant, targets = np.ones((3, 6, 1)), np.ones(3)
    merged = plain(batch_size=100).fit(constant, targets, lengths=[2, 4, 6])
    pairs = plain(batch_size=100).fit(
        np.repeat(constant, 2, axis=0), np.ones(6), lengths=[2, 4, 6, 6, 4, 2]
    )
    assert_same_fit(merged, pairs)
    other = plain(batch_size=100).fit(constant, targets, lengths=[2, 2, 6])
    assert merged.loss_curve_ != other.loss_curve_


WRONG_LENGTHS = {
    "with a list": (ragged(X), LENGTHS, ValueError, "do not pass lengths"),
    "too few": (X, LENGTHS[1:], ValueError, "lengths must have shape"),
    "no array": (X, 3, ValueError, "lengths must have shape"),
    "zero": (X, LENGTHS - 1, ValueError, "lengths must be from 1 to n_timesteps = 6"),
    "too long": (X, LENGTHS + 1, ValueError, "lengths must be from 1 to n_timesteps = 6"),
    "floats": (X, LENGTHS.astype(float), TypeError, "lengths must be integers"),
    "booleans": (X, LENGTHS > 2, TypeError, "lengths must be integers"),
}


@pytest.mark.parametrize(
    ("data", "lengths", "error", "message"), WRONG_LENGTHS.values(), ids=WRONG_LENGTHS.keys()
)
def test_wrong_lengths_raise(data, lengths, error, message):
    fitted = model().fit(X, y)
    for call in (model().fit, model().partial_fit, fitted.score):
        with pytest.raises(error, match=message):
            call(data, y, lengths=lengths)
    for call in (fitted.predict, fitted.transform, fitted.gate_activations):
        with pytest.raises(error, match=message):
            call(data, lengths=lengths)


def test_sequences_that_do_not_fit_together_raise():
    with pytest.raises(ValueError, match="must have the same features"):
        model().fit([*ragged(X)[1:], X[0][:2, :1]], y)
    with pytest.raises(ValueError, match="lengths must be from 1"):
        model().fit([*ragged(X)[1:], X[0][:0]], y)
    with pytest.raises(ValueError, match="X has 1 features"):
        model().fit(X, y).predict([X[0][:3, :1], X[1][:, :1]])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model().fit(ragged(X), y[1:])
    broken = ragged(X)[:]
    broken[7] = np.full((N_TIMESTEPS, N_FEATURES), np.nan)
    with pytest.raises(ValueError, match="NaN or infinity before the end of a sequence"):
        model().fit(broken, y)


def change_one(targets, n, change):
    targets = ragged(targets)
    targets[n] = change(targets[n])
    return targets


TARGETS_THAT_DO_NOT_FIT = {
    "one too few": lambda steps: steps[:-1],
    "one too many": lambda steps: np.concatenate([steps, steps[:1]]),
    "far too many": lambda steps: np.concatenate([steps] * 9),
    "no axis of targets": lambda steps: steps[:, 0],
    "another number of targets": lambda steps: steps[:, :1],
    "a number": lambda steps: 1.0,
}


@pytest.mark.parametrize(
    "change", TARGETS_THAT_DO_NOT_FIT.values(), ids=TARGETS_THAT_DO_NOT_FIT.keys()
)
@pytest.mark.parametrize("given", ["list", "padded"])
def test_lists_of_targets_that_do_not_fit_raise(change, given):
    n = int(np.flatnonzero((LENGTHS > 2) & (LENGTHS < N_TIMESTEPS))[0])
    targets = change_one(Y_STEPS, n, change)
    data, lengths = (ragged(X), None) if given == "list" else (X, LENGTHS)
    with pytest.raises(ValueError):
        model(return_sequences=True).fit(data, targets, lengths=lengths)
    fitted = model(return_sequences=True).fit(X, Y_STEPS, lengths=LENGTHS)
    with pytest.raises(ValueError):
        fitted.score(data, targets, lengths=lengths)


def test_list_of_targets_goes_with_padded_sequences():
    short = np.full(N_SAMPLES, 4)
    listed = model(return_sequences=True).fit(X, list(Y_STEPS[:, :4]), lengths=short)
    assert_same_fit(listed, model(return_sequences=True).fit(X, Y_STEPS, lengths=short))
    some = np.where(THERE[..., np.newaxis], Y_STEPS, np.nan)
    listed = model(return_sequences=True).fit(X, ragged(Y_STEPS), lengths=LENGTHS)
    assert_same_fit(listed, model(return_sequences=True).fit(X, some, lengths=LENGTHS))


def test_targets_missing_before_the_end_raise():
    broken = Y_STEPS.copy()
    broken[7, -1] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity before the end of a sequence"):
        model(return_sequences=True).fit(X, broken, lengths=LENGTHS)
    with pytest.raises(ValueError, match="NaN"):
        model(return_sequences=True).fit(X, broken)
