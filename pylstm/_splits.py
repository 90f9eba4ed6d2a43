"""Cross-validation of many series: every split cuts all of them at one time."""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils._param_validation import Interval, validate_parameter_constraints
from sklearn.utils.validation import check_consistent_length

from ._lazy_windows import Windows
from ._public import public_in
from ._typing import ArrayLike, Integers

_COUNT = Interval(Integral, 1, None, closed="left")
_CONSTRAINTS = {
    "n_splits": [_COUNT],
    "max_train_size": [_COUNT, None],
    "test_size": [_COUNT, None],
    "gap": [Interval(Integral, 0, None, closed="left")],
}


@public_in("pylstm")
class PanelSplit(BaseCrossValidator):
    """Splits windows of one or many series in the order of time, all series at the same time.

    What :class:`~sklearn.model_selection.TimeSeriesSplit` is for one series: each split tests on a
    stretch of times, and trains on windows whose targets lie before it. TimeSeriesSplit itself,
    on windows of many series, would hold out the last series, not the last months.

    Parameters
    ----------
    n_splits : int, default=5
        Number of splits. 1 parts the windows once, say for `X_val` and `y_val` of `fit`.

    max_train_size : int, default=None
        Number of times, the latest, that a training set may span. None means all.

    test_size : int, default=None
        Number of times in each test set. None means `n_times // (n_splits + 1)`.

    gap : int, default=0
        Number of times to leave out between the last target of the training set and the first of the
        test set. Windows of several horizons need none: those whose targets reach into the test
        set are left out in any case.

    See Also
    --------
    sliding_windows : Windows of many series, which know their times.

    Notes
    -----
    Times are those of the targets; they are sorted and each is counted once, so that gaps that all
    series have do not count. A window of several horizons is tested in the split of its
    first target, and trained on before that of its last.

    With one series and one horizon the splits are those of TimeSeriesSplit.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import PanelSplit, sliding_windows
    >>> X, y = sliding_windows({"a": np.arange(8.0), "b": np.arange(10.0, 16.0)}, window=2)
    >>> X.time
    array([2, 3, 4, 5, 6, 7, 2, 3, 4, 5])
    >>> for train, test in PanelSplit(n_splits=2).split(X):
    ...     print(X.time[train], X.time[test])
    [2 3 2 3] [4 5 4 5]
    [2 3 4 5 2 3 4 5] [6 7]

    In a search, as any splitter:

    >>> from sklearn.model_selection import GridSearchCV
    >>> from pylstm import LSTMRegressor
    >>> search = GridSearchCV(LSTMRegressor(max_iter=5), {"hidden_size": [2, 4]}, cv=PanelSplit(2))
    >>> search.fit(X, y).n_splits_
    2
    """

    # Who routes metadata need not say that the splitter wants the groups that it is passed.
    __metadata_request__split = {"groups": True}  # noqa: RUF012 (scikit-learn's name and form)

    def __init__(
        self,
        n_splits: int = 5,
        *,
        max_train_size: int | None = None,
        test_size: int | None = None,
        gap: int = 0,
    ):
        self.n_splits = n_splits
        self.max_train_size = max_train_size
        self.test_size = test_size
        self.gap = gap

    def split(
        self, X: Any, y: Any = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[Integers, Integers]]:
        """The samples to train and to test on, split by split.

        Parameters
        ----------
        X : Windows or array-like of shape (n_samples, ...)
            What :func:`sliding_windows` returns for many series, or any samples whose times are
            passed as `groups`.

        y : array-like of shape (n_samples,), default=None
            Ignored.

        groups : array-like of shape (n_samples,), default=None
            The times of the samples, in any type that can be sorted. None takes those of the windows.

        Returns
        -------
        splits : iterator
            Of `(train, test)`, each an ndarray of the numbers of samples.

        Raises
        ------
        ValueError
            If a parameter is out of range (an error that may be a TypeError as well), no times are
            known, or they are too few.
        """
        params = {name: getattr(self, name) for name in _CONSTRAINTS}
        validate_parameter_constraints(_CONSTRAINTS, params, type(self).__name__)
        first, last = _times_of_targets(X, groups)
        times, first = np.unique(first, return_inverse=True)
        last = np.searchsorted(times, last)
        n_times, n_splits = len(times), self.n_splits
        test_size = n_times // (n_splits + 1) if self.test_size is None else self.test_size
        if test_size == 0 or n_times - self.gap - test_size * n_splits <= 0:
            raise ValueError(
                f"Too many splits={n_splits} for {n_times} times with test_size={test_size} and "
                f"gap={self.gap}: nothing is left to train on."
            )
        return self._split(first, last, range(n_times - n_splits * test_size, n_times, test_size))

    def _split(self, first, last, test_starts):
        """Yield samples by the places of their first and last targets among all times."""
        for start in test_starts:
            is_train = last < start - self.gap
            if not is_train.any():
                raise ValueError(
                    f"No sample is left to train on before time {start} of {test_starts.stop}: the "
                    "targets of all reach beyond it. Decrease n_splits, test_size or gap."
                )
            if self.max_train_size is not None:
                is_train &= first > first[is_train].max() - self.max_train_size
            is_test = (start <= first) & (first < start + test_starts.step)
            yield np.flatnonzero(is_train), np.flatnonzero(is_test)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """The number of splits.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        n_splits : int
            The parameter of that name.
        """
        return self.n_splits


def _times_of_targets(X, groups):
    """The times of the first and of the last target of each sample."""
    if groups is not None:
        times = np.asarray(groups)
        check_consistent_length(X, times)
    elif isinstance(X, Windows):
        times = X.time
    else:
        raise ValueError(
            "The times of the samples are not known: pass windows of sliding_windows for series in a "
            "list, a dict or a DataFrame, or the times as groups."
        )
    if groups is not None and times.ndim != 1:
        raise ValueError(f"groups must be times of shape (n_samples,), got {times.shape}.")
    return (times, times) if times.ndim == 1 else (times.min(axis=1), times.max(axis=1))


# For doctest, which looks for the classes of this module by the name of it.
__test__ = {"PanelSplit": PanelSplit}
