"""For the tests of forecasting: series, networks fitted to their windows, and a plain loop."""

from functools import partial
from types import SimpleNamespace

import numpy as np
from numpy.testing import assert_array_equal
from sklearn.base import BaseEstimator

from helpers.estimators import model
from pylstm import core, sliding_windows

WINDOW, N_STEPS, N_FUTURE = 6, 80, 24

_rng = np.random.default_rng(0)
SERIES = 20 + 5 * np.sin(np.arange(N_STEPS) / 3) + _rng.normal(size=N_STEPS)
SERIES_3 = 20 + 3 * _rng.normal(size=(N_STEPS, 3)).cumsum(axis=0)
KNOWN = np.column_stack([np.arange(N_STEPS + N_FUTURE) % 7, _rng.normal(size=N_STEPS + N_FUTURE)])
QUANTILES = core.Quantile((0.05, 0.25, 0.5, 0.75, 0.95))


# A small network that trains for three epochs, on one thread.
lstm = partial(model, batch_size=32, n_iter_no_change=np.inf)


def fitted(model, series=SERIES, horizon=1, target=None, known=None, flat=False):
    X, y = sliding_windows(series, WINDOW, horizon, target=target, known=known)
    return model.fit(X.reshape(len(X), -1) if flat else X, y)


def by_hand(model, history, steps, *, n_horizons=1, known=None, flat=False):
    """Forecast with a plain loop."""
    series = np.reshape(history, (len(history), -1))
    n_steps = len(series)
    while len(series) < n_steps + steps:
        window = series[-WINDOW:]
        if known is not None:
            last = len(series) + n_horizons
            window = np.hstack([window, np.reshape(known, (len(known), -1))[last - WINDOW : last]])
        predicted = model.predict(window.reshape(1, -1) if flat else window[np.newaxis])
        series = np.vstack([series, predicted.reshape(n_horizons, -1)])
    future = series[n_steps : n_steps + steps]
    return future[:, 0] if future.shape[1] == 1 else future


class Known(BaseEstimator):
    """A stand-in for a fitted LSTM whose predictions are a known function of the windows."""

    def __init__(self, function, n_features=1, n_outputs=1, std=None):
        self.function = function
        self.std = std
        self.n_timesteps_ = WINDOW
        self.n_features_in_ = n_features
        self.n_outputs_ = n_outputs
        self._architecture = SimpleNamespace(n_features=n_features)
        self._loss = core.SquaredError() if std is None else core.Gaussian()

    def predict(self, X, lengths, return_std=False):
        assert X.shape[1:] == (WINDOW, self.n_features_in_)
        assert_array_equal(lengths, np.full(len(X), WINDOW))
        mean = self.function(X)
        return (mean, np.full_like(mean, self.std)) if return_std else mean
