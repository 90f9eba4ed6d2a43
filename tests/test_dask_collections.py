"""What the estimators on Dask take and refuse, and what they give lazily."""

import pickle

import numpy as np
import pytest

pytest.importorskip("dask.array")
pytest.importorskip("distributed")

import dask
import dask.array as da
import distributed
import pandas as pd
from helpers.dask import CUTS, LABELS, LENGTHS, SMALL, WEIGHT, F, N, T, X, cut, same, y
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from pylstm import (
    LSTMClassifier,
    LSTMForecaster,
    LSTMForecasterPerSeries,
    LSTMRegressor,
    SequenceScaler,
    sliding_windows,
)
from pylstm.dask import DaskLSTMClassifier, DaskLSTMRegressor

LOCAL = SMALL | {"updates": "local", "max_iter": 2, "batch_size": 60}


@pytest.fixture(scope="module")
def fitted(two_workers):
    return DaskLSTMRegressor(**LOCAL).fit(cut(X), cut(y))


# -- forms of data --------------------------------------------------------------------------------


def frames(n_partitions=3):
    dd = pytest.importorskip("dask.dataframe")
    table = pd.DataFrame(X[:, :, 0], columns=[f"t{t}" for t in range(T)])
    table["y"], table["weight"] = y, WEIGHT
    return table, dd.from_pandas(table, npartitions=n_partitions)


def test_windows_in_a_dataframe_are_fitted_as_on_one_machine(client):
    table, frame = frames()
    columns = list(table.columns[:T])
    parameters = SMALL | {"batch_size": 90}
    alone = LSTMRegressor(**parameters).fit(table[columns], table["y"], table["weight"])
    cluster = DaskLSTMRegressor(**parameters).fit(frame[columns], frame["y"], frame["weight"])
    assert same(cluster, alone)
    assert list(cluster.feature_names_in_) == columns
    predicted = cluster.predict(frame[columns])
    np.testing.assert_array_equal(predicted.compute(), alone.predict(table[columns]))


def test_series_are_cut_into_windows_where_they_are(client):
    dd = pytest.importorskip("dask.dataframe")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"unique_id": np.repeat(["a", "b", "c"], 40), "ds": np.tile(range(40), 3)})
    table["y"] = rng.normal(size=120).cumsum()
    frame = dd.from_pandas(table, npartitions=1).repartition(divisions=[0, 40, 80, 119])

    @dask.delayed(nout=2)
    def windows(part):
        cut, following = sliding_windows(part, window=5)
        return np.asarray(cut), following

    pairs = [windows(part) for part in frame.to_delayed()]
    X_parts = [da.from_delayed(a, (np.nan, 5, 1), float) for a, _ in pairs]
    y_parts = [da.from_delayed(b, (np.nan,), float) for _, b in pairs]
    parameters = SMALL | {"batch_size": 30}
    cluster = DaskLSTMRegressor(**parameters).fit(
        da.concatenate(X_parts, allow_unknown_chunksizes=True),
        da.concatenate(y_parts, allow_unknown_chunksizes=True),
    )
    X_all, y_all = sliding_windows(table, window=5)
    assert same(cluster, LSTMRegressor(**parameters).fit(np.asarray(X_all), y_all))


def test_chunks_along_time_and_other_cuts_of_targets_are_put_right(client):
    a = DaskLSTMRegressor(**LOCAL).fit(cut(X), cut(y))
    time_cut = da.from_array(X, chunks=(CUTS, (2, 3), (1, 1)))
    b = DaskLSTMRegressor(**LOCAL).fit(time_cut, da.from_array(y, chunks=100))
    assert same(a, b)


# -- predictions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["predict", "transform"])
def test_results_come_lazily_by_partition(client, fitted, method):
    result = getattr(fitted, method)(cut(X))
    local = getattr(fitted.to_local(), method)(X)
    assert isinstance(result, da.Array)
    assert result.chunks[0] == CUTS
    assert (result.shape, result.dtype) == (local.shape, local.dtype)
    np.testing.assert_array_equal(result.compute(), local)


def test_predictions_need_no_client_and_take_lengths(fitted):
    with dask.config.set(scheduler="synchronous"):
        predicted = fitted.predict(cut(X), lengths=cut(LENGTHS)).compute()
    np.testing.assert_array_equal(predicted, fitted.to_local().predict(X, lengths=LENGTHS))


def test_predictions_of_arrays_in_memory_are_those_of_the_plain_estimator(fitted):
    np.testing.assert_array_equal(fitted.predict(X), fitted.to_local().predict(X))
    assert fitted.score(X, y) == fitted.to_local().score(X, y)


def test_scores_of_collections_are_those_of_one_machine(client, fitted):
    score = fitted.score(cut(X), cut(y), cut(WEIGHT))
    assert score == pytest.approx(fitted.to_local().score(X, y, WEIGHT), rel=1e-12)
    classifier = DaskLSTMClassifier(**LOCAL).fit(cut(X), cut(LABELS))
    local = classifier.to_local()
    assert classifier.score(cut(X), cut(LABELS)) == local.score(X, LABELS)


def test_hidden_states_are_arrays_whatever_the_output_is_set_to(client):
    model = DaskLSTMRegressor(**LOCAL).fit(cut(X), cut(y)).set_output(transform="pandas")
    assert isinstance(model.transform(X), pd.DataFrame)
    assert isinstance(model.transform(cut(X)).compute(), np.ndarray)


def test_float32_predictions_stay_float32(client, fitted):
    assert fitted.predict(cut(X.astype(np.float32))).dtype == np.float32


# -- copies ---------------------------------------------------------------------------------------


def test_the_local_estimator_is_a_plain_one_with_weights_of_its_own(fitted):
    local = fitted.to_local()
    assert type(local) is LSTMRegressor
    assert not np.shares_memory(local._parameters, fitted._parameters)
    assert set(local.get_params()) == set(LSTMRegressor().get_params())
    assert not hasattr(DaskLSTMRegressor().to_local(), "n_iter_")


def test_a_plain_estimator_goes_on_with_dask(client):
    parameters = SMALL | {"batch_size": 90}
    alone = LSTMRegressor(**parameters).fit(X, y)
    cluster = DaskLSTMRegressor.from_local(alone, warm_start=True).fit(cut(X), cut(y))
    assert same(cluster, alone.set_params(warm_start=True).fit(X, y))
    with pytest.raises(TypeError, match="LSTMClassifier, got LSTMRegressor"):
        DaskLSTMClassifier.from_local(alone)


def test_clones_keep_the_client_and_pickles_do_not(client, fitted):
    model = DaskLSTMRegressor(7, client=client, average_every=2)
    assert clone(model).client is client
    assert clone(model).hidden_size == 7
    loaded = pickle.loads(pickle.dumps(model))
    assert (loaded.client, loaded.average_every) == (None, 2)
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))


def test_the_parameters_are_those_of_the_plain_estimators_and_four_more():
    own = {"client", "updates", "average_every", "persist"}
    for plain, on_dask in [
        (LSTMRegressor, DaskLSTMRegressor),
        (LSTMClassifier, DaskLSTMClassifier),
    ]:
        expected, given = plain().get_params(), on_dask().get_params()
        assert set(given) == set(expected) | own
        assert {name: given[name] for name in expected} == expected
    with pytest.raises(TypeError, match="unexpected keyword"):
        DaskLSTMRegressor(learning_rat=1)


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fit",
    [
        lambda: LSTMRegressor().fit(cut(X), y),
        lambda: LSTMRegressor().fit(X, cut(y)),
        lambda: LSTMRegressor().fit(X, y, cut(WEIGHT)),
        lambda: LSTMRegressor().fit(X, y, lengths=cut(LENGTHS)),
        lambda: LSTMRegressor().partial_fit(cut(X), cut(y)),
        lambda: LSTMRegressor(early_stopping=True).fit(X, y, X_val=cut(X), y_val=y),
        lambda: LSTMClassifier().fit(X, cut(LABELS)),
        lambda: LSTMForecaster().fit(cut(y)),
        lambda: LSTMForecaster().fit([y, cut(y)]),
        lambda: LSTMForecasterPerSeries().fit({"one": cut(y)}),
        lambda: SequenceScaler().fit(cut(X)),
        lambda: sliding_windows(cut(y), window=3),
    ],
)
def test_what_reads_arrays_in_memory_points_to_pylstm_dask(fit):
    with pytest.raises(TypeError, match=r"is a Dask collection.*pylstm\.dask\.DaskLSTMRegressor"):
        fit()


def test_plain_estimators_refuse_dask_dataframes():
    _, frame = frames()
    with pytest.raises(TypeError, match="X is a Dask collection"):
        LSTMRegressor().fit(frame, y)


def test_arrays_in_memory_are_refused():
    with pytest.raises(TypeError, match="X must be a Dask array or DataFrame, got ndarray"):
        DaskLSTMRegressor().fit(X, cut(y))
    with pytest.raises(TypeError, match="sample_weight must be a Dask array"):
        DaskLSTMRegressor().fit(cut(X), cut(y), WEIGHT)
    with pytest.raises(TypeError, match="y must be a Dask array or DataFrame, got NoneType"):
        DaskLSTMRegressor().fit(cut(X), None)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"highway": 2}, "highway=2 is not there on Dask"),
        ({"stateful": True, "shuffle": False}, "stateful=True is not there on Dask"),
        ({"average_every": 2}, "average_every=2 is of updates='local'"),
        ({"persist": False}, "set persist=True, or updates='local'"),
        ({"updates": "eventually"}, "'updates' parameter"),
        ({"updates": "local", "average_every": 0}, "'average_every' parameter"),
        ({"max_iter": 0}, "'max_iter' parameter"),
    ],
)
def test_parameters_that_do_not_go_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        DaskLSTMRegressor(**parameters).fit(cut(X), cut(y))


def test_a_client_is_needed_and_must_be_one(monkeypatch):
    with pytest.raises(TypeError, match=r"client must be a dask\.distributed\.Client or None"):
        DaskLSTMRegressor(client="tcp://127.0.0.1:8786").fit(cut(X), cut(y))

    def none():
        raise ValueError

    monkeypatch.setattr(distributed, "default_client", none)
    with pytest.raises(ValueError, match="There is no Dask client"):
        DaskLSTMRegressor().fit(cut(X), cut(y))


def test_other_numbers_of_partitions_and_samples_are_refused(client):
    _, frame = frames()
    with pytest.raises(ValueError, match="X has 3 partitions and y 5: cut both alike"):
        DaskLSTMRegressor().fit(frame, cut(y))
    shorter = da.concatenate([cut(y)[:80], cut(y)[80:-1]]).rechunk(((80, 0, 130, 1, 118),))
    with pytest.raises(ValueError, match="Partition 4: X has 119 samples and y 118"):
        DaskLSTMRegressor().fit(cut(X), shorter)
    with pytest.raises(ValueError, match="X_val is provided, but y_val was not"):
        DaskLSTMRegressor(early_stopping=True).fit(cut(X), cut(y), X_val=cut(X))


def test_what_is_not_fitted_or_only_for_arrays_says_so(fitted):
    with pytest.raises(NotFittedError):
        DaskLSTMRegressor().predict(cut(X))
    with pytest.raises(TypeError, match="does not take return_std"):
        fitted.predict(cut(X), return_std=True)
    with pytest.raises(TypeError, match="X is a Dask collection"):
        fitted.gate_activations(cut(X))


# -- that nothing is imported or documented wrongly -----------------------------------------------


@pytest.mark.parametrize("estimator", [DaskLSTMRegressor, DaskLSTMClassifier])
def test_the_examples_of_the_docstrings_run(estimator):
    import doctest

    text = estimator.__doc__.replace("  # doctest: +SKIP", "")
    test = doctest.DocTestParser().get_doctest(text, {}, estimator.__name__, None, 0)
    assert len(test.examples) > 5
    assert doctest.DocTestRunner().run(test).failed == 0


def test_dask_is_imported_only_when_used(tmp_path):
    import subprocess
    import sys

    code = "import sys, pylstm, pylstm.dask; pylstm.LSTMRegressor; print('dask' in sys.modules)"
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=tmp_path)
    assert printed.split() == ["False"]


def test_the_sizes_of_the_data_are_as_described():
    assert X.shape == (N, T, F)
    assert sum(CUTS) == N
