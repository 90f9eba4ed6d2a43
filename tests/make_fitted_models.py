"""Fitted models as this version pickles them, stored for all later ones to load.

    python tests/make_fitted_models.py

writes tests/data/fitted_models_N.npz, N being the format of the pickles: for each model its pickle, what
it was fitted to, what it predicts, and what it predicts after one more epoch. A file is written once, when
its format is new, and never again: `tests/test_stored_models.py` loads those of all formats.

Run it with the lowest supported NumPy and scikit-learn (`.ci/lowest.txt`): the pickles name their
functions, and only names that the lowest versions know are known to all. The files in the
repository come from NumPy 1.24.4 and scikit-learn 1.6.1.
"""

import pickle
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from pylstm import LSTMClassifier, LSTMRegressor, SequenceScaler, core
from pylstm._persistence import FORMAT
from pylstm.training import EMA, SWA, CosineDecay, ReduceOnPlateau, StepDecay, TimeLimit

N_SAMPLES, N_TIMESTEPS, N_FEATURES = 12, 5, 2
DATA = Path(__file__).parent / "data"
METHODS = ("predict", "predict_proba", "transform")
PROTOCOL = 4  # every Python that is supported reads it


def cases():
    """Estimators, and what each is fitted to: together, all that a state may hold."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(N_SAMPLES, N_TIMESTEPS, N_FEATURES))
    y = X[:, -1, 0]
    steps = np.cumsum(X, axis=1)
    gaps = np.where(rng.uniform(size=X.shape) < 0.3, np.nan, X)
    lengths = rng.randint(1, N_TIMESTEPS + 1, size=N_SAMPLES)
    labels = np.array(["down", "level", "up"])[np.digitize(y, [-0.5, 0.5])]
    small = {"hidden_size": 3, "max_iter": 3, "batch_size": 4, "n_iter_no_change": np.inf}
    return {
        "plain": (LSTMRegressor(random_state=0, **small), {"X": X.astype(np.float32), "y": y}),
        "averaged": (
            LSTMRegressor(
                loss=core.Quantile((0.1, 0.5, 0.9)), averaging=EMA(0.9), learning_rate=StepDecay(2),
                dropout=0.2, recurrent_dropout=0.1, callbacks=[TimeLimit(1e9)], dtype="float64",
                random_state=np.random.RandomState(1), **small,
            ),
            {"X": X, "y": np.column_stack([y, X[:, 0, 1]])},
        ),
        "gaps": (
            LSTMRegressor(
                loss="poisson", missing="mask", bidirectional=True, num_layers=2, solver="sgd",
                averaging=SWA(0.5), dtype="float64", random_state=2, **small,
            ),
            {"X": gaps, "y": np.abs(y), "lengths": lengths},
        ),
        "every_step": (
            LSTMRegressor(
                loss="gaussian", return_sequences=True, solver="rmsprop", early_stopping=True,
                validation_fraction=0.3, learning_rate=ReduceOnPlateau(), dtype="float64",
                random_state=3, **small,
            ),
            {"X": X, "y": steps},
        ),
        "stateful": (
            LSTMRegressor(
                loss=core.Huber(0.5), stateful=True, shuffle=False, n_timesteps=N_TIMESTEPS,
                dtype="float64", random_state=4, **small,
            ),
            {"X": X.reshape(N_SAMPLES, -1), "y": y},
        ),
        "classes": (
            LSTMClassifier(
                solver="adamw", alpha=0.01, class_weight={"up": 2.0}, learning_rate=CosineDecay(1),
                dtype="float64", random_state=5, **small,
            ),
            {"X": X, "y": labels},
        ),
        "windows": (
            LSTMRegressor(
                loss="quantile", quantile=[0.1, 0.5, 0.9], window_scaling="standard",
                target_features=0, highway=2, forget_bias="chrono", dtype="float64", random_state=6,
                **small,
            ),
            {"X": X, "y": y},
        ),
        "calendar": (
            LSTMRegressor(
                window_scaling="last", window_features=[0], solver="rmsprop", random_state=7, **small
            ),
            {"X": X.astype(np.float32), "y": y, "lengths": lengths},
        ),
        "own_units": (
            LSTMClassifier(standardize=False, bidirectional=True, random_state=8, **small),
            {"X": X, "y": labels},
        ),
        "scaler": (SequenceScaler(), {"X": X}),
    }  # fmt: skip


def outputs(estimator, given):
    """What it makes of the samples, by method."""
    called = {name: value for name, value in given.items() if name != "y"}
    return {
        method: getattr(estimator, method)(**called)
        for method in METHODS
        if hasattr(estimator, method)
    }


def goes_on(estimator, given):
    """The estimator after one more epoch, which depends on everything that its state holds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.set_params(warm_start=True, max_iter=1).fit(**given)


def main():
    arrays = {}
    for name, (estimator, given) in cases().items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(**given)
        stored = np.frombuffer(pickle.dumps(estimator, protocol=PROTOCOL), np.uint8)
        arrays[f"{name}/pickle"] = stored
        arrays |= {f"{name}/given/{key}": value for key, value in given.items()}
        results = outputs(estimator, given)
        arrays |= {f"{name}/results/{method}": output for method, output in results.items()}
        if hasattr(estimator, "warm_start"):
            later = outputs(goes_on(estimator, given), given)
            arrays |= {f"{name}/later/{method}": output for method, output in later.items()}
    with open(DATA / f"fitted_models_{FORMAT}.npz", "xb") as file:
        np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    main()
