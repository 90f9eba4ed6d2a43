"""The estimators read `Windows` of many series where they lie, and as they would arrays."""

import numpy as np
import pytest
from helpers.estimators import (
    STATEFUL,
    assert_same_fit,
    assert_same_weights,
    classifier,
    model,
    standardised,
)
from helpers.panels import long_frame, panel_of
from helpers.series import peak_memory
from numpy.testing import assert_array_equal
from sklearn.pipeline import make_pipeline

from pylstm import SequenceScaler, sliding_windows
from pylstm._lazy_windows import starts_of

WALKS = panel_of(n_features=2)
X, y = sliding_windows(WALKS, window=5)
ARRAY = np.asarray(X)

FITS = {
    "plain": {},
    "one batch": {"batch_size": 1000},
    "float64": {"dtype": "float64"},
    "in order": {"shuffle": False},
    "missing": {"missing": "mask"},
    "bidirectional": {"bidirectional": True, "num_layers": 2},
}


@pytest.mark.parametrize("settings", FITS.values(), ids=FITS.keys())
@pytest.mark.parametrize(
    "rows", [slice(None), slice(7, 90), [3, 80, 5, 60, 61], slice(None, None, 9)]
)
def test_fits_and_predictions_are_those_of_the_array(settings, rows):
    from_windows = model(**settings).fit(X[rows], y[rows])
    from_array = model(**settings).fit(ARRAY[rows], y[rows])
    assert_same_fit(from_windows, from_array)
    assert_array_equal(from_windows.predict(X), from_array.predict(ARRAY))
    assert from_windows.score(X[rows], y[rows]) == from_array.score(ARRAY[rows], y[rows])


def test_everything_else_is_that_of_the_array_too():
    fitted = model().fit(X, y)
    assert_array_equal(fitted.transform(X), fitted.transform(ARRAY))
    assert_array_equal(
        fitted.gate_activations(X[:9]).forget, fitted.gate_activations(ARRAY[:9]).forget
    )
    for result, expected in zip(
        fitted.predict(X, return_state=True)[1],
        fitted.predict(ARRAY, return_state=True)[1],
        strict=True,
    ):
        assert_array_equal(result, expected)
    assert_same_weights(model().partial_fit(X, y), model().partial_fit(ARRAY, y))
    for make in (standardised, lambda lstm: make_pipeline(SequenceScaler(), lstm)):
        assert_array_equal(
            make(model()).fit(X, y).predict(X), make(model()).fit(ARRAY, y).predict(ARRAY)
        )
    labels = np.where(y[:, 0] > 0, "up", "down")
    of_classes = classifier().fit(X, labels)
    expected = classifier().fit(ARRAY, labels)
    assert_array_equal(of_classes.predict_proba(X), expected.predict_proba(ARRAY))
    assert of_classes.score(X, labels) == expected.score(ARRAY, labels)


def test_weights_and_lengths_belong_to_the_windows():
    rng = np.random.default_rng(0)
    options = {
        "sample_weight": rng.integers(0, 3, size=len(y)),
        "lengths": rng.integers(1, 6, size=len(y)),
    }
    assert_same_fit(model().fit(X, y, **options), model().fit(ARRAY, y, **options))
    rows = rng.permutation(len(y))[:60]
    options = {name: values[rows] for name, values in options.items()}
    assert_same_fit(
        model().fit(X[rows], y[rows], **options), model().fit(ARRAY[rows], y[rows], **options)
    )


def test_a_window_may_be_there_twice_with_other_targets():
    rows = np.array([1, 1, 2, 3, 5, 8, 8] * 9)
    targets = y[rows] + np.arange(len(rows))[:, np.newaxis]
    assert_same_fit(model().fit(X[rows], targets), model().fit(ARRAY[rows], targets))


def test_only_what_windows_hold_must_be_finite():
    walks = panel_of()
    walks["south"][[0, 30, -1]] = np.nan
    windows, targets = sliding_windows(walks, window=5)
    there = np.isfinite(targets) & np.isfinite(windows).all(axis=(1, 2))
    assert_same_fit(
        model().fit(windows[there], targets[there]),
        model().fit(np.asarray(windows)[there], targets[there]),
    )
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model().fit(windows[np.isfinite(targets)], targets[np.isfinite(targets)])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model().fit(ARRAY[..., :1], y[:, 0]).predict(windows)


def test_names_of_features_are_remembered_and_compared():
    pytest.importorskip("pandas")
    frame = long_frame(WALKS, columns=("a", "b"))
    windows, targets = sliding_windows(frame, window=5, target=["a", "b"])
    fitted = model().fit(windows, targets)
    assert list(fitted.feature_names_in_) == ["a", "b"]
    assert_array_equal(fitted.predict(windows), fitted.predict(np.asarray(windows)))
    other, _ = sliding_windows(frame[["unique_id", "ds", "b", "a"]], window=5, target=["a", "b"])
    with pytest.raises(ValueError, match=r"feature names should match.*order \['a', 'b'\]"):
        fitted.predict(other)
    with pytest.raises(ValueError, match="2 features as input"):
        fitted.predict(sliding_windows(panel_of(), window=5)[0])
    assert not hasattr(fitted.fit(ARRAY, y), "feature_names_in_")


# Early stopping


def held_out(train_calls, windows, targets, **options):
    """The windows trained on, and the estimator."""
    stopped = model(early_stopping=True, **options).fit(windows, targets)
    starts = train_calls[0]["order"]
    return np.flatnonzero(np.isin(starts_of(windows), starts)), stopped


@pytest.mark.parametrize("shuffle", [True, False])
def test_early_stopping_holds_out_the_last_of_each_series(train_calls, shuffle):
    trained, stopped = held_out(train_calls, X, y, validation_fraction=0.2, shuffle=shuffle)
    held = np.setdiff1d(np.arange(len(X)), trained)
    assert len(held) == np.ceil(0.2 * len(X))
    for name in WALKS:
        of_series = np.flatnonzero(X.series == name)
        n_held = np.isin(of_series, held).sum()
        assert abs(n_held - 0.2 * len(of_series)) < 1
        assert_array_equal(np.intersect1d(of_series, held), of_series[-n_held:])
    assert stopped.best_validation_score_ == pytest.approx(stopped.score(X[held], y[held]))


def test_windows_whose_targets_reach_those_held_out_are_left_out(train_calls):
    windows, targets = sliding_windows(WALKS, window=5, horizon=[1, 2, 3, 4])
    trained, _ = held_out(train_calls, windows, targets)
    for name in WALKS:
        of_series = np.flatnonzero(windows.series == name)
        n_held = len(of_series) - (np.isin(of_series, trained).sum() + 3)
        first_held = windows.time[of_series[-n_held], 0]
        assert windows.time[np.intersect1d(trained, of_series)].max() == first_held - 1


def test_early_stopping_without_anything_left_to_train_on_is_refused():
    windows, targets = sliding_windows([np.arange(12.0)] * 2, window=5, horizon=[1, 5])
    with pytest.raises(ValueError, match="No window is left to train on: of 6 windows, 5 are held"):
        model(early_stopping=True, validation_fraction=0.7).fit(windows, targets)


def test_stateful_training_is_for_one_series():
    with pytest.raises(ValueError, match=r"stateful=True .* windows of 3 series"):
        model(**STATEFUL).fit(X, y)
    one = X.series == "south"
    assert_same_fit(
        model(**STATEFUL).fit(X[one], y[one]), model(**STATEFUL).fit(ARRAY[one], y[one])
    )


# What it costs


def test_windows_are_not_copied_to_fit_and_few_at_a_time_to_predict(monkeypatch):
    walks = np.random.default_rng(0).normal(size=(100, 600))
    windows, targets = sliding_windows(list(walks), window=60)
    network = model(hidden_size=2, max_iter=1, batch_size=4096, n_iter_no_change=np.inf)
    network.fit(windows[:100], targets[:100])
    assert peak_memory(lambda: network.fit(windows, targets)) < 8 * walks.nbytes  # all windows: 27
    monkeypatch.setattr("pylstm._base._SCORED_AT_ONCE", 2**16)
    assert peak_memory(lambda: network.predict(windows)) < 5 * walks.nbytes


@pytest.mark.parametrize(("dtype", "step"), [(np.float64, 1), (np.float64, 3), (np.float32, 3)])
def test_overlapping_windows_of_one_series_are_not_copied_either(dtype, step):
    series = np.random.default_rng(0).normal(size=(40_000, 1)).astype(dtype)
    windows, targets = sliding_windows(series, window=60, step=step)
    network = model(hidden_size=2, max_iter=1, batch_size=4096, n_iter_no_change=np.inf)
    expected = model(max_iter=1).fit(np.ascontiguousarray(windows[:500]), targets[:500])
    assert_same_weights(model(max_iter=1).fit(windows[:500], targets[:500]), expected)
    assert peak_memory(lambda: network.fit(windows, targets)) < 12 * len(series) * 4
    assert peak_memory(lambda: network.predict(windows)) < 8 * len(series) * 4  # all windows: 60
    bad = series.copy()
    bad[777] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        network.predict(sliding_windows(bad, window=60, step=step)[0])
