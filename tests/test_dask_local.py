"""Local updates, averaged over partitions; partitions that are made anew at each use."""

import numpy as np
import pytest

pytest.importorskip("dask.array")
pytest.importorskip("distributed")

import dask.array as da
from helpers.dask import LABELS, LENGTHS, SMALL, WEIGHT, F, N, T, X, cut, same, y

from pylstm import LSTMRegressor
from pylstm.dask import DaskLSTMClassifier, DaskLSTMRegressor
from pylstm.training import EMA, CosineDecay

LOCAL = SMALL | {"updates": "local", "batch_size": 20}


def fit(parameters=None, **arguments):
    parts = {name: cut(array) for name, array in arguments.items()}
    return DaskLSTMRegressor(**LOCAL | (parameters or {})).fit(cut(X), cut(y), **parts)


def test_one_partition_learns_as_one_machine(client):
    cluster = DaskLSTMRegressor(**LOCAL, shuffle=False).fit(cut(X, (N,)), cut(y, (N,)))
    assert same(cluster, LSTMRegressor(**SMALL, batch_size=20, shuffle=False).fit(X, y))


def test_weights_and_moments_are_the_mean_over_partitions_by_weight(client):
    cuts = (80, 250)
    parameters = {"shuffle": False, "standardize": False, "max_iter": 1}
    cluster = DaskLSTMRegressor(**LOCAL | parameters).fit(
        cut(X, cuts), cut(y, cuts), cut(WEIGHT, cuts)
    )
    weights, moments, losses, shares = [], [], [], []
    for rows in (slice(0, 80), slice(80, None)):
        part = LSTMRegressor(**SMALL | parameters, batch_size=20)
        part.fit(X[rows], y[rows], WEIGHT[rows])
        weights.append(part._parameters)
        moments.append(part._optimizer.moments)
        losses += part.loss_curve_
        shares.append(WEIGHT[rows].sum())
    for mean, of_parts in [(cluster._parameters, weights), (cluster._optimizer.moments, moments)]:
        np.testing.assert_allclose(mean, np.average(of_parts, axis=0, weights=shares), rtol=1e-5)
    assert cluster.loss_ == pytest.approx(np.average(losses, weights=shares), rel=1e-5)


def test_averages_every_so_many_batches_are_of_these_batches(client):
    """One partition: averaging changes nothing, so that every rhythm gives the same."""
    one = cut(X, (N,)), cut(y, (N,))
    parameters = LOCAL | {"learning_rate": CosineDecay(), "max_iter": 2}
    often = DaskLSTMRegressor(**parameters, average_every=4).fit(*one)
    once = DaskLSTMRegressor(**parameters).fit(*one)
    np.testing.assert_array_equal(often._parameters, once._parameters)
    assert often.loss_ == pytest.approx(once.loss_, rel=1e-6)


def test_the_rhythm_of_averages_matters_for_several_partitions(client):
    often, once = fit({"average_every": 1}), fit()
    assert not np.array_equal(often._parameters, once._parameters)
    assert same(often, fit({"average_every": 1}))
    assert same(once, fit({"average_every": 1000}))


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ({"early_stopping": True, "dropout": 0.2, "average_every": 2}, {"sample_weight": WEIGHT}),
        ({"window_scaling": "mean", "target_features": [0]}, {"lengths": LENGTHS}),
        ({"early_stopping": True}, {"X_val": X[::2].repeat(2, 0), "y_val": y[::2].repeat(2)}),
    ],
)
def test_partitions_made_anew_give_the_bits_of_those_kept(client, parameters, arguments):
    assert same(fit(parameters, **arguments), fit(parameters | {"persist": False}, **arguments))


def test_a_large_network_is_sent_once_a_worker_with_the_same_bits(client, monkeypatch):
    plain = fit({"early_stopping": True})
    monkeypatch.setattr("pylstm.dask._cluster._SHARED_FROM", 0)
    for persist in (True, False):
        assert same(plain, fit({"early_stopping": True, "persist": persist}))


def test_a_classifier_learns_with_classes_missing_from_partitions(client):
    by_label = np.argsort(LABELS, kind="stable")
    halves = (N // 2, N - N // 2)
    assert len(set(LABELS[by_label][: N // 2])) < 3 > len(set(LABELS[by_label][N // 2 :]))
    given = cut(X[by_label], halves), cut(LABELS[by_label], halves)
    parameters = LOCAL | {"max_iter": 6, "average_every": 2}
    model = DaskLSTMClassifier(**parameters, learning_rate_init=0.05).fit(*given)
    assert list(model.classes_) == ["above", "below", "between"]
    assert model.score(*given) > 0.8


def test_it_learns(client):
    model = fit({"max_iter": 8, "learning_rate_init": 0.05, "average_every": 3})
    assert model.score(X, y) > 0.7


def test_a_warm_start_goes_on(client):
    twice = fit({"max_iter": 2, "warm_start": True})
    twice.fit(cut(X), cut(y))
    assert same(twice, fit({"max_iter": 4}))


def test_averaging_over_time_is_refused():
    with pytest.raises(ValueError, match="set averaging=None, or updates='synchronous'"):
        fit({"averaging": EMA(0.9)})


class OnDisk:
    """An array in a file, of which a worker reads what it is asked for; pickled by its path alone."""

    def __init__(self, path):
        self.path = path
        file = np.load(path, mmap_mode="r")
        self.shape, self.dtype, self.ndim = file.shape, file.dtype, file.ndim

    def __getitem__(self, index):
        values = np.array(np.load(self.path, mmap_mode="r")[index])
        assert len(values) <= 100  # never the whole
        return values


def test_an_array_on_disk_is_read_by_partition_and_never_gathered(client, tmp_path):
    parts = []
    for name, array in [("X", X), ("y", y)]:
        np.save(tmp_path / name, array)
        lazy = OnDisk(f"{tmp_path / name}.npy")
        parts.append(da.from_array(lazy, chunks=(100, *array.shape[1:]), name=False))
    cluster = DaskLSTMRegressor(**LOCAL, persist=False, early_stopping=True).fit(*parts)
    cuts = (100, 100, 100, 30)
    kept = DaskLSTMRegressor(**LOCAL, early_stopping=True).fit(cut(X, cuts), cut(y, cuts))
    assert same(cluster, kept)
    assert cluster.predict(parts[0]).compute().shape == (N,)
    assert X.shape == (N, T, F)
