"""For the tests of the estimators: data of every kind that they take, small networks, comparisons."""

import numpy as np
from numpy.testing import assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import d2_pinball_score, r2_score
from sklearn.preprocessing import StandardScaler

from pylstm import LSTMClassifier, LSTMRegressor, _unchecked, core

# -- data -----------------------------------------------------------------------------------------

N_SAMPLES, N_TIMESTEPS, N_FEATURES = 45, 6, 2
_rng = np.random.default_rng(0)
X = _rng.normal(size=(N_SAMPLES, N_TIMESTEPS, N_FEATURES)).astype(np.float32)
y = (X[:, -1, 0] - 0.5 * X[:, -3, 1]).astype(np.float32)
Y = np.column_stack([y, X[:, 0, 0]])  # two targets
Y_STEPS = np.cumsum(X, axis=1) / 2  # two targets for each time step
LENGTHS = _rng.integers(1, N_TIMESTEPS + 1, size=N_SAMPLES)
LENGTHS[[0, 7]] = [1, N_TIMESTEPS]
THERE = np.arange(N_TIMESTEPS) < LENGTHS[:, np.newaxis]
WITH_GAPS = np.where(_rng.random(X.shape) < 0.3, np.nan, X).astype(np.float32)
LABELS = np.where(y > 0, "up", "down")
LABELS_STEPS = np.where(Y_STEPS[..., 0] > 0, "up", "down")


def ragged(array):
    """What is there of each sample, as a list."""
    return [sample[:length] for sample, length in zip(array, LENGTHS, strict=True)]


def with_padding(array, value, more=0):
    """The array with `value` behind the samples' ends, and `more` such time steps."""
    padded = np.full((N_SAMPLES, N_TIMESTEPS + more, *array.shape[2:]), value, np.float64)
    padded[:, :N_TIMESTEPS][THERE] = array[THERE]
    return padded


def data_for(parameters):
    """X with missing values, and targets of all time steps, where they are asked for."""
    data = WITH_GAPS if parameters.get("missing") else X
    targets = Y_STEPS if parameters.get("return_sequences") else Y
    return data.astype(np.float64), suiting(parameters.get("loss"), targets)


# -- networks -------------------------------------------------------------------------------------

SMALL = {"hidden_size": 4, "batch_size": 16, "max_iter": 3, "random_state": 0, "n_jobs": 1}
STATEFUL = {"stateful": True, "shuffle": False}


def model(**parameters):
    """A small regressor that trains for three epochs, on one thread."""
    return LSTMRegressor(**(SMALL | parameters))


def classifier(**parameters):
    """A small classifier that trains for three epochs, on one thread."""
    return LSTMClassifier(**(SMALL | parameters))


def plain(**parameters):
    """The same, which reads X and learns y as they are."""
    return model(**({"standardize": False} | parameters))


def plain_classifier(**parameters):
    """And the classifier that does so."""
    return classifier(**({"standardize": False} | parameters))


def standardised(regressor):
    """The regressor with its targets standardised."""
    return TransformedTargetRegressor(regressor, transformer=StandardScaler())


def replace_pass(monkeypatch, number, effect):
    """Let the pass over the data of this number, from 1, have another effect."""
    passes = []
    real_train = _unchecked.train

    def train(params, *args, **options):
        passes.append(None)
        if len(passes) == number:
            return effect(params)
        return real_train(params, *args, **options)

    monkeypatch.setattr(_unchecked, "train", train)


def raises(error):
    def effect(params):
        params[:] = 7.0  # what an unfinished pass may leave
        raise error

    return effect


# -- losses ---------------------------------------------------------------------------------------

LOSSES = {
    "squared_error": core.SquaredError(),
    "absolute_error": core.AbsoluteError(),
    "huber": core.Huber(1.0),
    "quantile": core.Quantile(0.5),
    "poisson": core.Poisson(),
    "gaussian": core.Gaussian(),
}
LOSS_OBJECTS = [core.Huber(0.2), core.Quantile(0.8), core.Quantile((0.1, 0.5, 0.9))]
ALL_LOSSES = [*LOSSES, *LOSS_OBJECTS]


def suiting(loss, targets):
    """Targets that the loss is defined for."""
    return np.abs(targets) if loss in ("poisson", core.Poisson()) else targets


def expected_score(loss, targets, predicted, weight):
    """What `score` is to be, from scikit-learn's metrics."""
    if not isinstance(loss, core.Quantile) and loss != "quantile":
        return r2_score(targets, predicted, sample_weight=weight)
    quantiles = np.atleast_1d(0.5 if loss == "quantile" else loss.quantiles)
    predicted = predicted.reshape(*targets.shape, len(quantiles))
    return np.mean(
        [
            d2_pinball_score(targets, predicted[..., k], alpha=quantile, sample_weight=weight)
            for k, quantile in enumerate(quantiles)
        ]
    )


# -- comparisons ----------------------------------------------------------------------------------


def assert_same_weights(first, second):
    assert_array_equal(first._parameters, second._parameters)


def assert_same_fit(first, second):
    assert_same_weights(first, second)
    assert first.loss_curve_ == second.loss_curve_
    assert first.validation_scores_ == second.validation_scores_


def assert_same_results(first, second):
    for one, other in zip(first, second, strict=True):
        assert_array_equal(one, other)
