"""`PanelSplit`: all series are cut at one time."""

import numpy as np
import pytest
from helpers.estimators import model
from helpers.panels import long_frame, panel_of
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import (
    GridSearchCV,
    TimeSeriesSplit,
    cross_val_predict,
    cross_val_score,
)

from pylstm import PanelSplit, sliding_windows

WALKS = panel_of()
SETTINGS = {
    "default": {},
    "one split": {"n_splits": 1, "test_size": 6},
    "gap": {"n_splits": 3, "gap": 2},
    "sizes": {"n_splits": 2, "test_size": 4, "max_train_size": 9},
}
for_settings = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())


def times_of(X):
    """Times of the first and of the last target."""
    times = X.time.reshape(len(X), -1)
    return times.min(axis=1), times.max(axis=1)


@for_settings
@pytest.mark.parametrize("horizon", [1, [1, 2, 3, 4]], ids=str)
@pytest.mark.parametrize("form", ["dict", "long"])
def test_training_targets_of_all_series_lie_before_the_test_times(settings, horizon, form):
    series = WALKS
    if form == "long":
        pytest.importorskip("pandas")
        series = long_frame(WALKS, starts=["2015-01-01", "2014-02-01", "2016-05-01"])
    X, _ = sliding_windows(series, 5, horizon)
    first, last = times_of(X)
    every_time = np.unique(first)
    splitter = PanelSplit(**settings)
    splits = list(splitter.split(X))
    assert len(splits) == splitter.get_n_splits(X)
    tested = []
    for train, test in splits:
        start = np.searchsorted(every_time, first[test].min())
        assert last[train].max() < every_time[start - splitter.gap]
        # All windows that start in the test times are tested, and none of them is trained on.
        in_test = (first >= first[test].min()) & (first <= first[test].max())
        assert_array_equal(np.flatnonzero(in_test), test)
        if splitter.max_train_size is None:
            assert_array_equal(train, np.flatnonzero(last < every_time[start - splitter.gap]))
        else:
            assert len(np.unique(first[train])) == splitter.max_train_size
        tested.extend(np.unique(first[test]))
    assert_array_equal(tested, every_time[-len(tested) :])


@pytest.mark.parametrize("name", ["default", "gap", "sizes"])
def test_one_series_is_split_as_by_time_series_split(name):
    settings = SETTINGS[name]
    X, _ = sliding_windows([WALKS["south"]], window=5)
    expected = TimeSeriesSplit(**settings).split(np.zeros(len(X)))
    for split, expected_split in zip(PanelSplit(**settings).split(X), expected, strict=True):
        for rows, expected_rows in zip(split, expected_split, strict=True):
            assert_array_equal(rows, expected_rows)
    X, _ = sliding_windows([WALKS["south"]], window=5, horizon=[2, 5])
    expected = TimeSeriesSplit(3, gap=3).split(np.zeros(len(X)))
    for split, expected_split in zip(PanelSplit(3).split(X), expected, strict=True):
        for rows, expected_rows in zip(split, expected_split, strict=True):
            assert_array_equal(rows, expected_rows)


def test_searches_and_scores_split_windows_without_being_told_the_times():
    X, y = sliding_windows(WALKS, window=5)
    cv = PanelSplit(2)
    scores = cross_val_score(model(), X, y, cv=cv)
    for score, (train, test) in zip(scores, cv.split(X), strict=True):
        assert score == model().fit(X[train], y[train]).score(X[test], y[test])
    search = GridSearchCV(model(), {"hidden_size": [2, 3]}, cv=cv).fit(X, y)
    assert search.n_splits_ == 2


def test_times_can_be_passed_as_groups():
    X, y = sliding_windows(WALKS, window=5)
    array, cv = np.asarray(X), PanelSplit(2)
    expected = list(cv.split(X))
    for train, test in cv.split(array, groups=X.time):
        expected_train, expected_test = expected.pop(0)
        assert_array_equal(train, expected_train)
        assert_array_equal(test, expected_test)
    scores = cross_val_score(model(), X, y, cv=cv)
    assert_array_equal(cross_val_score(model(), array, y, cv=cv, groups=X.time), scores)
    with config_context(enable_metadata_routing=True):
        routed = cross_val_score(model(), array, y, cv=cv, params={"groups": X.time})
        search = GridSearchCV(model(), {"hidden_size": [2]}, cv=cv).fit(array, y, groups=X.time)
        search.fit(X, y)
    assert_array_equal(routed, scores)


def test_one_split_gives_samples_to_validate_on():
    X, y = sliding_windows(WALKS, window=5)
    train, val = next(PanelSplit(1, test_size=8).split(X))
    stopped = model(early_stopping=True).fit(X[train], y[train], X_val=X[val], y_val=y[val])
    assert len(stopped.validation_scores_) == stopped.n_iter_


def test_splitter_is_one_of_scikit_learns_kind():
    assert repr(PanelSplit(3, gap=1)) == (
        "PanelSplit(gap=1, max_train_size=None, n_splits=3, test_size=None)"
    )
    assert clone(PanelSplit(3), safe=False).n_splits == 3
    X, y = sliding_windows(WALKS, window=5)
    with pytest.raises(ValueError, match="only works for partitions"):
        cross_val_predict(model(), X, y, cv=PanelSplit(2))


BAD_SPLITS = {
    "n_splits": ({"n_splits": 0}, "'n_splits' parameter"),
    "gap": ({"gap": -1}, "'gap' parameter"),
    "test_size": ({"test_size": 2.0}, "'test_size' parameter"),
    "too many": ({"n_splits": 60}, "Too many splits=60 for 50 times"),
    "too large": ({"n_splits": 2, "test_size": 25}, "Too many splits=2 .* test_size=25"),
    "too far": ({"n_splits": 2, "test_size": 20, "gap": 10}, "gap=10: nothing is left"),
}


@pytest.mark.parametrize(("settings", "message"), BAD_SPLITS.values(), ids=BAD_SPLITS.keys())
def test_bad_splits_raise(settings, message):
    X, _ = sliding_windows(WALKS, window=5)
    with pytest.raises(ValueError, match=message):
        next(PanelSplit(**settings).split(X))


def test_unknown_times_raise():
    X, _ = sliding_windows(WALKS, window=5, horizon=range(1, 21))
    with pytest.raises(ValueError, match=r"times of the samples are not known.*as groups"):
        next(PanelSplit(2).split(np.asarray(X)))
    with pytest.raises(ValueError, match=r"shape \(n_samples,\), got \(49, 20\)"):
        next(PanelSplit(2).split(X, groups=X.time))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        next(PanelSplit(2).split(X, groups=[1, 2]))
    with pytest.raises(ValueError, match="No sample is left to train on before time 11"):
        next(PanelSplit(2, test_size=10).split(X))
