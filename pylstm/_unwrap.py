"""The one way to the network inside a Pipeline, a TransformedTargetRegressor or a search."""

from typing import Any, NamedTuple

from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

# Where fitted wrappers keep the fitted estimator: searches, target transformers, any others.
WRAPPERS = ("best_estimator_", "regressor_", "estimator_")


class Unwrapped(NamedTuple):
    """A fitted network, and what stands between it and the caller of the model around it."""

    network: Any
    transformers: list  # those that X passes, from the outermost on
    target_transformers: list  # those that undo predictions, the innermost first


def unwrap(model, attribute, *, wrappers=WRAPPERS):
    """Find the fitted estimator that has an attribute.

    Parameters
    ----------
    model : estimator
        It, or a Pipeline, TransformedTargetRegressor or search around it.
    attribute : str
        What nothing but a network has.
    wrappers : tuple of str, default=WRAPPERS
        Attributes in which to look further.

    Returns
    -------
    unwrapped : Unwrapped

    Raises
    ------
    NotFittedError
        If anything around it is not fitted.
    TypeError
        If there is no such estimator within.
    """
    transformers, target_transformers = [], []
    inner = model
    while not hasattr(inner, attribute) or isinstance(inner, type):
        check_is_fitted(inner)
        if isinstance(inner, Pipeline):
            if len(inner) > 1:
                transformers.append(inner[:-1])
            inner = inner[-1]
            continue
        found = [name for name in wrappers if hasattr(inner, name)]
        if not found:
            raise TypeError(
                f"No fitted LSTMRegressor or LSTMClassifier was found in {model!r}: expected one, a "
                "Pipeline that ends in one, or a TransformedTargetRegressor or a search with refit=True "
                f"around these; {type(inner).__name__} has no {attribute}."
            )
        if isinstance(inner, TransformedTargetRegressor):
            target_transformers.insert(0, inner.transformer_)
        inner = getattr(inner, found[0])
    return Unwrapped(inner, transformers, target_transformers)
