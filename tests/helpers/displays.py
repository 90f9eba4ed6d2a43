"""For the tests of the displays: data, small networks, and what they say of their gates."""

from collections import namedtuple
from functools import partial

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers import estimators

N_SAMPLES, N_TIMESTEPS, N_FEATURES, HIDDEN_SIZE = 30, 7, 2, 4
_rng = np.random.default_rng(0)
X = (5 + 2 * _rng.normal(size=(N_SAMPLES, N_TIMESTEPS, N_FEATURES))).astype(np.float32)
X_flat = X.reshape(N_SAMPLES, -1)
y = X[:, -1, 0] - X[:, -2, 1]
lengths = _rng.integers(2, N_TIMESTEPS, size=N_SAMPLES)

GATES = {  # names of the panels, and those in what gate_activations returns
    "input_gate": "input",
    "forget_gate": "forget",
    "candidate": "candidate",
    "output_gate": "output",
    "cell_state": "cell",
    "hidden_state": "hidden",
}
PANELS = [*GATES, "forgotten", "added"]
Activations = namedtuple("Activations", GATES.values())

model = partial(estimators.model, hidden_size=HIDDEN_SIZE, max_iter=2)


def wrapped(transformers, lstm):
    """The LSTM in a pipeline, in a transformed target, in a search."""
    return GridSearchCV(
        TransformedTargetRegressor(
            make_pipeline(*transformers, lstm), transformer=StandardScaler()
        ),
        {"regressor__lstmregressor__hidden_size": [HIDDEN_SIZE]},
        cv=2,
    )


def gates_of(estimator, X, sample, units=slice(None), length=None, **options):
    gates = estimator.gate_activations(X, **options)
    return Activations(*(values[sample, :length][:, units] for values in gates))
