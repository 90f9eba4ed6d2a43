"""Synchronous fits on Dask collections have the bits of one machine, however the data are cut."""

import numpy as np
import pytest

pytest.importorskip("dask.array")
pytest.importorskip("distributed")

from helpers.dask import (
    CUTS,
    LABELS,
    LENGTHS,
    PADDED,
    SMALL,
    WEIGHT,
    N,
    X,
    cut,
    cut_all,
    same,
    y,
)

from pylstm import LSTMClassifier, LSTMRegressor
from pylstm.dask import DaskLSTMClassifier, DaskLSTMRegressor
from pylstm.training import EMA, CosineDecay, StepDecay, TrainingCallback

WEIGHTED = {"sample_weight": WEIGHT}
VALIDATED = {
    "X_val": X[::3],
    "y_val": y[::3],
    "sample_weight_val": WEIGHT[::3],
    "lengths_val": LENGTHS[::3],
}
CUTS_VAL = (10, 0, 100)


def fit_both(plain, cluster, X, y, parameters, arguments, cuts=CUTS):
    """Fits of the plain estimator and of that on Dask."""
    parts = {
        name: cut(array, CUTS_VAL if name.endswith("_val") else cuts)
        for name, array in arguments.items()
    }
    parameters = SMALL | parameters
    alone = plain(**parameters).fit(X, y, **arguments)
    return alone, cluster(**parameters).fit(cut(X, cuts), cut(y, cuts), **parts)


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ({"batch_size": 90}, {}),
        ({"batch_size": 90, "shuffle": False, "dtype": "float64"}, {}),
        ({"batch_size": N}, {}),
        ({"batch_size": 1000, "dtype": "float64"}, WEIGHTED),
        ({"batch_size": 64, "alpha": 0.1, "solver": "adamw"}, WEIGHTED),
        ({"batch_size": 64, "solver": "sgd", "max_grad_norm": 0.1, "averaging": EMA(0.9)}, {}),
        ({"batch_size": 90, "dropout": 0.2, "num_layers": 2}, WEIGHTED | {"lengths": LENGTHS}),
        ({"batch_size": 90, "recurrent_dropout": 0.2, "dtype": "float64"}, {"lengths": LENGTHS}),
        ({"batch_size": 90, "window_scaling": "standard", "target_features": [0]}, {}),
        ({"batch_size": 90, "standardize": False, "bidirectional": True}, {}),
        ({"batch_size": 90, "early_stopping": True, "learning_rate": CosineDecay()}, WEIGHTED),
        ({"batch_size": 90, "early_stopping": True, "shuffle": False}, {}),
        ({"batch_size": 90, "early_stopping": True}, {"lengths": LENGTHS} | VALIDATED),
        ({"batch_size": 90, "learning_rate": StepDecay(every=1), "loss": "huber"}, {}),
        ({"batch_size": 90, "quantile": [0.1, 0.9], "loss": "quantile"}, {}),
    ],
    ids=lambda given: "-".join(map(str, given)) or "none",
)
def test_a_fit_has_the_bits_of_one_machine(client, parameters, arguments):
    alone, cluster = fit_both(LSTMRegressor, DaskLSTMRegressor, X, y, parameters, arguments)
    assert same(cluster, alone)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"early_stopping": True},
        {"class_weight": "balanced"},
        {"class_weight": {"above": 2.0}, "dtype": "float64"},
    ],
    ids=str,
)
def test_a_classifier_has_the_bits_of_one_machine(client, parameters):
    alone, cluster = fit_both(
        LSTMClassifier, DaskLSTMClassifier, X, LABELS, {"batch_size": 90} | parameters, WEIGHTED
    )
    assert same(cluster, alone)
    np.testing.assert_array_equal(cluster.classes_, alone.classes_)
    proba = cluster.predict_proba(cut(X))
    np.testing.assert_array_equal(proba.compute(), alone.predict_proba(X))


def test_balanced_classes_are_counted_in_the_validation_data_too(client):
    arguments = {"X_val": X[::3], "y_val": LABELS[::3], "sample_weight_val": WEIGHT[::3]}
    parameters = {"class_weight": "balanced", "early_stopping": True, "batch_size": 90}
    alone, cluster = fit_both(
        LSTMClassifier, DaskLSTMClassifier, X, LABELS, parameters, WEIGHTED | arguments
    )
    assert same(cluster, alone)


def test_targets_of_each_time_step_have_the_bits_of_one_machine(client):
    steps = np.cumsum(X, axis=1)
    parameters = {"batch_size": 90, "return_sequences": True, "early_stopping": True}
    alone, cluster = fit_both(
        LSTMRegressor, DaskLSTMRegressor, X, steps, parameters, {"lengths": LENGTHS}
    )
    assert same(cluster, alone)


@pytest.mark.parametrize("missing", ["error", "mask"])
def test_padding_of_nan_and_gaps_are_read_as_on_one_machine(client, missing):
    given = PADDED.copy()
    if missing == "mask":
        given[::5, 0, 1] = np.nan
    parameters = {"batch_size": 90, "missing": missing}
    alone, cluster = fit_both(LSTMRegressor, DaskLSTMRegressor, given, y, parameters, {})
    assert same(cluster, alone)


@pytest.mark.parametrize("cuts", [(N,), (1, N - 2, 1), (N // 2, N // 2), 11 * (30,)], ids=str)
def test_the_bits_do_not_depend_on_the_partitions(client, cuts):
    alone, cluster = fit_both(
        LSTMRegressor, DaskLSTMRegressor, X, y, {"batch_size": 150}, WEIGHTED, cuts
    )
    assert same(cluster, alone)


@pytest.mark.parametrize("local", [False, True])
def test_the_bits_do_not_depend_on_the_workers(client, local):
    from distributed import Client

    parameters = SMALL | {"batch_size": 40, "updates": "local" if local else "synchronous"}
    fits = [DaskLSTMRegressor(**parameters, client=client).fit(cut(X), cut(y))]
    for n_threads in (1, 3):
        with Client(
            n_workers=1,
            threads_per_worker=n_threads,
            processes=False,
            dashboard_address=None,
            set_as_default=False,
        ) as other:
            fits.append(DaskLSTMRegressor(**parameters, client=other).fit(cut(X), cut(y)))
    assert same(fits[0], fits[1])
    assert same(fits[0], fits[2])


def test_equal_samples_of_one_batch_are_merged_wherever_they_are(client):
    twice = np.concatenate([X, X])
    parameters = SMALL | {"batch_size": 2 * N}
    cluster = DaskLSTMRegressor(**parameters).fit(
        cut(twice, (200, 460)), cut(np.concatenate([y, y]), (200, 460))
    )
    assert same_weights(cluster, LSTMRegressor(**parameters).fit(twice, np.concatenate([y, y])))


def same_weights(a, b):
    return np.array_equal(a._parameters, b._parameters)


@pytest.mark.parametrize("kind", [LSTMRegressor, LSTMClassifier])
def test_a_warm_start_goes_on_as_on_one_machine(client, kind):
    on_dask = {LSTMRegressor: DaskLSTMRegressor, LSTMClassifier: DaskLSTMClassifier}[kind]
    target = y if kind is LSTMRegressor else LABELS
    parameters = SMALL | {"batch_size": 90, "warm_start": True, "class_weight": None}
    if kind is LSTMRegressor:
        del parameters["class_weight"]
    alone, cluster = kind(**parameters), on_dask(**parameters)
    for _ in range(2):
        alone.fit(X, target)
        cluster.fit(cut(X), cut(target))
    assert same(cluster, alone)
    assert cluster.n_iter_ == 4


class Recorder(TrainingCallback):
    """Ends after two epochs, and keeps what it has seen."""

    def __init__(self):
        self.seen = []

    def after_iteration(self, model, epoch, evals_log):
        log = {name: list(values) for name, values in evals_log.items()}
        self.seen.append((type(model).__name__, epoch, log, model._parameters.copy()))
        return epoch == 1


def test_callbacks_see_what_they_see_on_one_machine(client):
    here, there = Recorder(), Recorder()
    parameters = SMALL | {"batch_size": 90, "max_iter": 4}
    LSTMRegressor(**parameters, callbacks=[here]).fit(X, y)
    DaskLSTMRegressor(**parameters, callbacks=[there]).fit(cut(X), cut(y))
    assert len(there.seen) == len(here.seen) == 2
    for (*a, weights_a), (*b, weights_b) in zip(here.seen, there.seen, strict=True):
        assert a == b
        np.testing.assert_array_equal(weights_a, weights_b)


def test_a_fit_that_diverges_keeps_the_weights_of_one_machine(client):
    from sklearn.exceptions import ConvergenceWarning

    parameters = SMALL | {"batch_size": 90, "learning_rate_init": 1e30, "max_grad_norm": None}
    parameters |= {"solver": "sgd", "standardize": False}
    with pytest.warns(ConvergenceWarning, match="diverged"):
        alone = LSTMRegressor(**parameters).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        cluster = DaskLSTMRegressor(**parameters).fit(cut(X), cut(y))
    assert same(cluster, alone)


def test_a_large_network_is_sent_once_a_worker_with_the_same_bits(client, monkeypatch):
    monkeypatch.setattr("pylstm.dask._cluster._SHARED_FROM", 0)
    arguments = cut_all(WEIGHTED)
    parameters = SMALL | {"batch_size": 90, "early_stopping": True}
    cluster = DaskLSTMRegressor(**parameters).fit(cut(X), cut(y), **arguments)
    assert same(cluster, LSTMRegressor(**parameters).fit(X, y, **WEIGHTED))
