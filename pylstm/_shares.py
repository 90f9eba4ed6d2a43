"""How much of what a forecaster has learned it goes by: what held-out errors say of that."""

import copy
from typing import NamedTuple

import numpy as np

from ._regressor import LSTMRegressor
from ._unwrap import unwrap
from .forecasting import predict_windows

# What is thought of the network's share before any held-out error is seen: half of what it learned beyond
# the regression it has learned by heart, and none or all of it are three deviations away.
_MEAN, _DEVIATION = 1 / 2, 1 / 6

# By which share of its squared error a forecast must be better than the naive one, or else that is it.
_MARGIN = 0.01


class Shares(NamedTuple):
    """Shares of what is learned.

    Of the regression's drift, of the regression beyond a naive forecast, of the network beyond that.
    """

    drift: float
    regression: float
    network: float


NAIVE, ALL = Shares(0.0, 0.0, 0.0), Shares(1.0, 1.0, 1.0)
REGRESSION, WITHOUT_DRIFT = Shares(1.0, 1.0, 0.0), Shares(0.0, 1.0, 0.0)


def can_be_shared(model):
    """Whether a model just fitted started from a regression of its windows' own values.

    Behind a TransformedTargetRegressor nothing is known of what its target is a value of.
    """
    network, _, target_transformers = unwrap(model, "_parameters")
    started = isinstance(network, LSTMRegressor) and network._starts is not None
    return started and not target_transformers


def lean(model, shares):
    """A copy of a model just fitted that takes only some shares of what it has learned."""
    starts = unwrap(model, "_parameters").network._starts
    if isinstance(model, LSTMRegressor):  # of which nothing else is changed
        leaning = copy.copy(model)
        leaning._weights = model._weights.copy()
    else:
        leaning = copy.deepcopy(model)
    unwrap(leaning, "_parameters").network._lean(starts, *shares)
    return leaning


def fit_shares(model, windows, y, n_horizons, unit, n_times):
    """The shares that serve values which the model was not fitted to.

    The regression keeps its drift if it errs less so. Of what the network predicts beyond it, the share is
    that of the least squared error, as far as the values tell (the posterior mean under a normal prior),
    within 0 and 1: a stage of boosting with shrinkage (Friedman 2002) whose strength is learned (stacking:
    Wolpert 1992). If the forecast is no better than a naive one then, that is taken.

    Parameters
    ----------
    model : estimator
        Fitted to the horizons 1 to `n_horizons`; `can_be_shared`.
    windows : ndarray or Windows of shape (n_windows, n_timesteps, n_features)
        Windows that it was not fitted to.
    y : ndarray of shape (n_windows, n_horizons * n_targets)
        The values that follow them.
    n_horizons : int
        How many.
    unit : ndarray of shape (n_windows, n_targets)
        What errors are measured in.
    n_times : int
        How many times the windows are of. Errors of several series at one time count as one, and those of
        several horizons, which overlap.

    Returns
    -------
    shares : Shares
    """
    y = y.reshape(len(y), n_horizons, -1)
    models = *(lean(model, shares) for shares in (NAIVE, WITHOUT_DRIFT, REGRESSION)), model
    naive, still, regression, network = (
        (y - predict_windows(part, windows, n_horizons)[0]) / unit[:, np.newaxis] for part in models
    )
    drifts = np.mean(regression**2) < np.mean(still**2)
    error = regression if drifts else still
    step = regression - network
    share = _posterior_mean(step, error, n_horizons * len(y) / n_times)
    if np.mean((error - share * step) ** 2) > (1 - _MARGIN) * np.mean(naive**2):
        return NAIVE
    return Shares(float(drifts), 1.0, share)


def _posterior_mean(step, error, n_as_one):
    """The share of a step that is to be taken away from an error, under a normal prior."""
    noise = np.mean(error**2) * n_as_one
    if noise == 0:
        return _MEAN
    share = _MEAN / _DEVIATION**2 + np.sum(step * error) / noise
    share /= 1 / _DEVIATION**2 + np.sum(step**2) / noise
    return float(np.clip(share, 0, 1))
