"""How much a score rests on a feature: permutation importance over whole windows."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.metrics import check_scoring
from sklearn.utils import Bunch, check_random_state
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_consistent_length

from .._checks import require
from .._typing import ArrayLike, Estimator, Integers, RandomState
from .._unwrap import unwrap
from .._validation import as_sequences, pad_sequences


def permutation_importance(
    estimator: Estimator,
    X: Any,
    y: ArrayLike,
    *,
    scoring: Any = None,
    n_repeats: int = 5,
    n_jobs: int | None = None,
    random_state: RandomState = None,
    sample_weight: ArrayLike | None = None,
) -> Any:
    """How much the score of a model falls if a feature's windows are shuffled among the samples.

    The permutation importance of [1]_, as :func:`sklearn.inspection.permutation_importance` has it for
    columns: a feature is a whole window here, and moves to another sample with all its time steps, so that
    it stays a series that there could be.

    Parameters
    ----------
    estimator : estimator
        A fitted model that takes sequences: of pylstm, in whatever Pipeline or search, or any other.

    X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns), \
            or list of n_samples arrays of shape (n_timesteps, n_features)
        Sequences of one length, preferably held out. Those of 2-D X are read as the network within the
        estimator reads them.

    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Their targets, or whatever the score takes.

    scoring : str, callable, list, tuple or dict, default=None
        The score, or several, as in scikit-learn; None is the estimator's `score`.

    n_repeats : int, default=5
        How often each feature is shuffled.

    n_jobs : int or None, default=None
        Features that are worked on at a time, as joblib takes it; the results do not depend on it.

    random_state : int, RandomState instance or None, default=None
        Shuffles. An int gives the same in every call.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples in the score.

    Returns
    -------
    result : :class:`~sklearn.utils.Bunch` or dict of such
        With the attributes

        - importances, (n_features, n_repeats): by how much each shuffle lowers the score;
        - importances_mean and importances_std, (n_features,).

        For several scores a dict of these by their names.

    Raises
    ------
    ValueError
        If the sequences are of different lengths, or a parameter is invalid.
    TypeError
        If X is 2-D, and there is no LSTM within the estimator to read it.

    See Also
    --------
    integrated_gradients : What inputs contribute to a single prediction.

    Notes
    -----
    A feature that others tell as well has little importance, as in any permutation importance.

    References
    ----------
    .. [1] Breiman (2001). Random forests. Machine Learning 45(1).

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import LSTMRegressor
    >>> from pylstm.inspection import permutation_importance
    >>> X = np.random.default_rng(0).normal(size=(200, 6, 2))
    >>> y = X[:, -1, 1]  # the first feature says nothing
    >>> model = LSTMRegressor(hidden_size=8, learning_rate_init=0.02, random_state=0).fit(X, y)
    >>> result = permutation_importance(model, X, y, random_state=0)
    >>> result.importances_mean.round(1) + 0.0
    array([0., 2.])
    """
    require("n_repeats", n_repeats, Integral, "an integer of at least 1", lambda v: v >= 1)
    X, lengths = pad_sequences(X)
    if lengths is not None:
        raise ValueError(
            "X holds sequences of different lengths, whose windows cannot change places. Pass sequences "
            "of one length."
        )
    if not hasattr(X, "iloc"):
        X = np.asarray(X)
    if len(X.shape) not in (2, 3):
        raise ValueError(
            "X must have three dimensions, (n_samples, n_timesteps, n_features), or two, got shape "
            f"{X.shape}."
        )
    n_timesteps = None
    if len(X.shape) == 2:
        n_timesteps = unwrap(estimator, "n_timesteps_").network.n_timesteps
    n_features = as_sequences(np.asarray(X)[:1], n_timesteps).shape[2]
    check_consistent_length(X, y, sample_weight)
    # A list or dict of several makes a scorer that returns a dict.
    scorer = check_scoring(estimator, scoring=scoring)
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    baseline = scorer(estimator, X, y, **weights)
    # The same shuffles for each feature, whoever works on it.
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    scores = Parallel(n_jobs=n_jobs)(
        delayed(_scores)(estimator, X, y, feature, n_features, scorer, weights, n_repeats, seed)
        for feature in range(n_features)
    )
    if not isinstance(baseline, dict):
        return _bunch(baseline, scores)
    return {
        name: _bunch(baseline[name], [[score[name] for score in row] for row in scores])
        for name in baseline
    }


def _scores(
    estimator: Estimator,
    X: Any,
    y: ArrayLike,
    feature: int,
    n_features: int,
    scorer: Any,
    weights: dict[str, Any],
    n_repeats: int,
    seed: int,
) -> list[Any]:
    """The scores with a feature's windows shuffled anew each time."""
    rng = np.random.RandomState(seed)
    scores = []
    for _ in range(n_repeats):
        shuffled = _with_shuffled(X, feature, n_features, rng.permutation(len(X)))
        scores.append(scorer(estimator, shuffled, y, **weights))
    return scores


def _with_shuffled(X: Any, feature: int, n_features: int, order: Integers) -> Any:
    """A copy of X in which a feature's windows are those of the samples in another order."""
    X = X.copy()
    # Of flattened windows the columns of a feature lie n_features apart.
    place = (..., feature) if len(X.shape) == 3 else (slice(None), slice(feature, None, n_features))
    if hasattr(X, "iloc"):
        X.iloc[place] = X.iloc[place].to_numpy()[order]
    else:
        X[place] = X[place][order]
    return X


def _bunch(baseline: float, scores: list[list[float]]) -> Bunch:
    importances = baseline - np.array(scores)
    return Bunch(
        importances=importances,
        importances_mean=importances.mean(axis=1),
        importances_std=importances.std(axis=1),
    )
