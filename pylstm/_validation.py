"""Input checks shared by the estimators and the transformers: X of two or of three dimensions."""

from sklearn.utils import check_array
from sklearn.utils.validation import validate_data


def as_sequences(X, n_timesteps=None):
    """View validated input as sequences; always a view, never a copy.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns)
        Sequences, or windows flattened in time-major order: all features of the first step,
        then all of the second, as `sequences.reshape(n_samples, -1)` lays them out.

    n_timesteps : int, default=None
        Time steps in each sequence. None takes a 2-D `X` for windows of a univariate series,
        one column per time step, and accepts any number of steps in a 3-D `X`.

    Returns
    -------
    sequences : ndarray of shape (n_samples, n_timesteps, n_features)
        A view of `X`.

    Raises
    ------
    ValueError
        If a 3-D `X` has another number of time steps, or the columns of a 2-D `X` cannot be
        divided into `n_timesteps` steps.
    """
    if X.ndim == 3:
        if n_timesteps is not None and X.shape[1] != n_timesteps:
            raise ValueError(
                f"X has {X.shape[1]} time steps, but n_timesteps={n_timesteps}; set n_timesteps to "
                f"{X.shape[1]}, or to None to take the number of steps from a 3-D X."
            )
        return X

    n_samples, n_columns = X.shape
    if n_timesteps is None:
        n_timesteps = n_columns
    if n_columns % n_timesteps:
        raise ValueError(
            f"X has {n_columns} columns, which cannot be divided into n_timesteps={n_timesteps} "
            "time steps; a 2-D X holds n_timesteps * n_features columns, all features of the first "
            "time step first."
        )
    return X.reshape(n_samples, n_timesteps, n_columns // n_timesteps)


def check_sequences(X, *, estimator, **check_params):
    """`sklearn.utils.check_array` for an `X` of two or of three dimensions, none of them empty.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns)
        The input to check.

    estimator : estimator instance
        The estimator that error messages name.

    **check_params : dict
        Passed on to `check_array`.

    Returns
    -------
    X : ndarray
        The checked and converted input, of the same shape.
    """
    X = check_array(X, estimator=estimator, input_name="X", allow_nd=True, **check_params)
    if X.ndim > 3:
        raise ValueError(
            f"Found an X of {X.ndim} dimensions; expected (n_samples, n_timesteps, n_features), or "
            "a 2-D X of flattened windows."
        )
    if 0 in X.shape:
        raise ValueError(
            f"Found an X of shape {X.shape}; at least one sample, one time step and one feature "
            "are required."
        )
    return X


def validate_sequences(estimator, X, *, reset, **check_params):
    """`check_sequences`, and scikit-learn's checks of feature names and number of features.

    `n_features_in_` counts the last axis: the columns of a 2-D `X`, as in every scikit-learn
    estimator, and the features, not the time steps, of a 3-D `X`.

    Parameters
    ----------
    estimator : estimator instance
        The estimator that gets, or has, `n_features_in_` and `feature_names_in_`.

    X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns)
        The input to check.

    reset : bool
        Whether to set these attributes, as the first call to `fit` does, or to compare with them.

    **check_params : dict
        Passed on to `sklearn.utils.check_array`.

    Returns
    -------
    X : ndarray
        The checked and converted input, of the same shape.
    """
    checked = check_sequences(X, estimator=estimator, **check_params)
    # scikit-learn counts the second axis; the first step of each sequence has the features there.
    features = X if checked.ndim == 2 else checked[:, 0]
    validate_data(estimator, features, reset=reset, skip_check_array=True)
    return checked
