"""From the columns that other libraries make of a series' windows to sequences; what lags are called."""

import itertools
import re
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from ._public import public_in
from ._typing import Array
from ._validation import POSITIVE_INTEGER, SERIES_DTYPES, ReadsSequences, validate_sequences

# skforecast's lag_1 and sales_lag_1, mlforecast's lag1; not its expanding_mean_lag1, which is no lag.
_LAG = re.compile(r"(?:(?P<feature>.+)_)?lag_(?P<lag>\d+)|lag(?P<number>\d+)")


class Lag(NamedTuple):
    """What the name of a column says: so many steps before, of a feature, "lag" if it has no name."""

    feature: str
    steps: int


def lag_of(name):
    """The lag that a column's name stands for; None if it is the name of something else."""
    match = _LAG.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        return None
    return Lag(match["feature"] or "lag", int(match["lag"] or match["number"]))


def doubts_about_order(names, n_timesteps):
    """Why columns of these names are no time steps from the oldest to the newest; None if they may be.

    Parameters
    ----------
    names : sequence of str
        The columns' names.

    n_timesteps : int or None
        The estimator's parameter.

    Returns
    -------
    doubts : str or None
    """
    lags = [lag_of(name) for name in names]
    known = [lag for lag in lags if lag is not None]
    if len(known) < 2:
        return None
    features = list(dict.fromkeys(lag.feature for lag in known))
    for feature in features:
        steps = [lag.steps for lag in known if lag.feature == feature]
        if any(later >= earlier for earlier, later in itertools.pairwise(steps)):
            return (
                f"the lags of their names are {_shortened(steps)}, and large lags should come first"
            )
    if n_timesteps is None:
        others = [name for name, lag in zip(names, lags, strict=True) if lag is None]
        if others:
            return f"{_shortened(others)} would be taken for time steps too"
        if len(features) > 1:
            return f"they are of several features, {_shortened(features)}"
    return None


def _shortened(values):
    values = [repr(value) for value in values]
    return ", ".join(values if len(values) <= 4 else [*values[:3], "..."])


@public_in("pylstm")
class SequenceLayout(  # type: ignore[call-arg]
    ReadsSequences, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Sequences of the columns, or axes, in which other libraries lay out a series' windows.

    Tools that know lags, not sequences, give estimators a table with a column for each lag: the newest
    first (skforecast, mlforecast), or all lags of one feature before those of the next (sktime),
    with what is known beside the lags, such as a month or a promotion, in further columns. This
    transformer stands before the estimator in a pipeline and makes of it what the estimator reads,
    (n_samples, n_timesteps, n_features) from the oldest step to the newest.

    Parameters
    ----------
    n_timesteps : int, default=None
        Time steps, so lags of each feature. None: as many as there are.

    n_features : int, default=None
        Features that have lags. The columns after their n_timesteps * n_features are exogenous. None:
        as many as the columns hold, of which none is exogenous.

    order : {"names", "steps", "features"}, default="names"
        Where the lags are:

        - "names": in columns of such names as lag_1, lag1 or sales_lag_1, in whatever order; all
          others are exogenous. `n_timesteps` and `n_features` need not be given, nor
          `newest_first`.
        - "steps": step by step, first all features of one step, then all of the next; a 3-D X
          has the axes (n_samples, n_timesteps, n_features).
        - "features": feature by feature, first all steps of one, then all of the next; a 3-D X
          has the axes (n_samples, n_features, n_timesteps), as sktime and aeon have them.

    newest_first : bool, default=False
        Whether the first step is the newest, as skforecast has it.

    exogenous : {"every_step", "last_step"}, default="every_step"
        Where an exogenous column becomes a feature of the sequence: in every step the same value, or in
        the last step, after zeros.

    Attributes
    ----------
    n_timesteps_ : int
        Time steps of the sequences.

    n_features_out_ : int
        Features of each step, the exogenous ones last.

    n_features_in_ : int
        Columns of a 2-D X, the size of the last axis of a 3-D X.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X had names that are all strings.

    See Also
    --------
    pylstm.sliding_windows : Windows of a series, without another library.

    Notes
    -----
    Lags need not follow each other: those of 1, 2 and 12 months are three time steps.

    Examples
    --------
    Columns with names tell their order themselves:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from pylstm import SequenceLayout
    >>> table = pd.DataFrame({"lag1": [3.0], "lag2": [2.0], "lag3": [1.0], "month": [12.0]})
    >>> layout = SequenceLayout().fit(table)
    >>> layout.transform(table)
    array([[[ 1., 12.],
            [ 2., 12.],
            [ 3., 12.]]])
    >>> layout.get_feature_names_out()
    array(['lag', 'month'], dtype=object)

    Without names it must be told:

    >>> layout = SequenceLayout(3, n_features=1, order="steps", newest_first=True)
    >>> np.array_equal(layout.fit_transform(table.to_numpy()), SequenceLayout().fit_transform(table))
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_timesteps": [POSITIVE_INTEGER, None],
        "n_features": [POSITIVE_INTEGER, None],
        "order": [StrOptions({"names", "steps", "features"})],
        "newest_first": ["boolean"],
        "exogenous": [StrOptions({"every_step", "last_step"})],
    }

    def __init__(
        self,
        n_timesteps: int | None = None,
        *,
        n_features: int | None = None,
        order: str = "names",
        newest_first: bool = False,
        exogenous: str = "every_step",
    ) -> None:
        self.n_timesteps = n_timesteps
        self.n_features = n_features
        self.order = order
        self.newest_first = newest_first
        self.exogenous = exogenous

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> "SequenceLayout":
        """Learn which column is which step of which feature.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_columns), or of three dimensions
            Windows in the layout of a client.

        y : None
            Ignored.

        Returns
        -------
        self : SequenceLayout
            The fitted transformer.

        Raises
        ------
        ValueError
            If X has no names where they should tell the order, if they tell of features with different
            lags, or if X has too few columns, or a number that cannot be divided.
        """
        self._learn(self._check_X(X, reset=True).shape[1:])
        return self

    def _learn(self, shape):
        """What follows from the shape of each sample, and from the names of columns."""
        self._shape_in = shape
        if len(shape) == 2:
            self._fit_axes(shape)
        elif self.order == "names":
            self._fit_names(getattr(self, "feature_names_in_", None))
        else:
            self._fit_columns(*shape)
        self.n_features_out_ = len(self._names)

    def _check_X(self, X, *, reset=False):
        return validate_sequences(
            self, X, reset=reset, dtype=SERIES_DTYPES, ensure_all_finite="allow-nan"
        )

    def _fit_axes(self, shape):
        if self.order == "names":
            raise ValueError(
                "An X of three dimensions has no names that tell its axes: set order='steps' for "
                "(n_samples, n_timesteps, n_features), order='features' for (n_samples, n_features, "
                "n_timesteps)."
            )
        n_timesteps, n_features = shape if self.order == "steps" else shape[::-1]
        self._require("n_timesteps", n_timesteps)
        self._require("n_features", n_features)
        self.n_timesteps_, self._columns = n_timesteps, None
        self._names = [f"x{feature}" for feature in range(n_features)]

    def _fit_names(self, names):
        lags = [] if names is None else [lag_of(name) for name in names]
        features = list(dict.fromkeys(lag.feature for lag in lags if lag is not None))
        if not features:
            raise ValueError(
                "X has no columns with such names as lag_1, lag1 or sales_lag_1, which tell the order of "
                "the lags. Set order='steps' or order='features', with n_timesteps and newest_first."
            )
        columns = {
            feature: {lag.steps: n for n, lag in enumerate(lags) if lag and lag.feature == feature}
            for feature in features
        }
        steps = {feature: sorted(columns[feature], reverse=True) for feature in features}
        first = features[0]
        for feature in features[1:]:
            if steps[feature] != steps[first]:
                raise ValueError(
                    f"All features must have the same lags, but {feature!r} has "
                    f"{_shortened(steps[feature])}, {first!r} {_shortened(steps[first])}."
                )
        self._require("n_timesteps", len(steps[first]))
        self._require("n_features", len(features))
        exogenous = [n for n, lag in enumerate(lags) if lag is None]
        self._columns = np.array([[columns[f][step] for f in features] for step in steps[first]])
        self._set_exogenous(exogenous, features)

    def _fit_columns(self, n_columns):
        n_timesteps, n_features = self.n_timesteps, self.n_features
        if n_timesteps is None or n_features is None:
            given = n_timesteps or n_features or 1
            other, remainder = divmod(n_columns, given)
            if remainder:
                raise ValueError(
                    f"X has {n_columns} columns, which cannot be divided into {given} "
                    f"{'features' if n_timesteps is None else 'time steps'}. Set n_timesteps and "
                    "n_features both, if the columns after theirs are exogenous."
                )
            if n_timesteps is None:
                n_timesteps, n_features = other, given
            else:
                n_features = other
        n_lags = n_timesteps * n_features
        if n_lags > n_columns:
            raise ValueError(
                f"X has {n_columns} columns, fewer than n_timesteps * n_features = {n_lags}."
            )
        if self.order == "steps":
            self._columns = np.arange(n_lags).reshape(n_timesteps, n_features)
        else:
            self._columns = np.arange(n_lags).reshape(n_features, n_timesteps).T
        if self.newest_first:
            self._columns = self._columns[::-1]
        self._set_exogenous(range(n_lags, n_columns), [f"x{n}" for n in range(n_features)])

    def _set_exogenous(self, columns, features):
        names = getattr(self, "feature_names_in_", None)
        names = [f"x{n}" for n in range(self.n_features_in_)] if names is None else names
        self.n_timesteps_ = len(self._columns)
        self._exogenous = np.array(columns, dtype=np.intp)
        self._names = [*features, *(str(names[n]) for n in columns)]

    def _require(self, name, value):
        wanted = getattr(self, name)
        if wanted not in (None, value):
            raise ValueError(f"X has {name}={value}, but {name}={wanted} was set.")

    def transform(self, X: Any) -> Array:
        """Sequences of the columns.

        Parameters
        ----------
        X : array-like as in `fit`
            Windows in the layout of a client.

        Returns
        -------
        sequences : ndarray of shape (n_samples, `n_timesteps_`, `n_features_out_`)
            The windows, oldest step first.

        Raises
        ------
        NotFittedError
            If the transformer is not fitted.

        ValueError
            If X has other columns than in `fit`.
        """
        check_is_fitted(self)
        X = self._check_X(X)
        if (X.ndim == 3) != (self._columns is None):
            raise ValueError(
                f"X is {X.ndim}-D, but this {type(self).__name__} was fitted on an X of other dimensions."
            )
        if self._columns is None:
            sequences = X if self.order == "steps" else X.swapaxes(1, 2)
            if self.newest_first:
                sequences = sequences[:, ::-1]
            return np.ascontiguousarray(sequences)
        n_lagged = self._columns.shape[1]
        sequences = np.zeros((len(X), self.n_timesteps_, self.n_features_out_), X.dtype)
        sequences[..., :n_lagged] = X[:, self._columns]
        begin = 0 if self.exogenous == "every_step" else -1
        sequences[:, begin:, n_lagged:] = X[:, np.newaxis, self._exogenous]
        return sequences

    def set_output(self, *, transform: Any = None) -> "SequenceLayout":
        """Sequences of three dimensions stay an array, whatever other steps of a pipeline make.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            Ignored.

        Returns
        -------
        self : SequenceLayout
            The transformer.
        """
        return self

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Names of the features of a step.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : ndarray of str of shape (`n_features_out_`,)
            Those that the names of lags begin with ("lag" where they begin with nothing), x0, x1, ...
            without names; then those of exogenous columns.
        """
        check_is_fitted(self)
        return np.array(self._names, dtype=object)


# For doctest, which looks for the classes of this module by the name of it.
__test__ = {"SequenceLayout": SequenceLayout}
