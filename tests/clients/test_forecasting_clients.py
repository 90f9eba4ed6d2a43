"""skforecast and mlforecast through SequenceLayout: they learn and forecast as from windows made by hand."""

import numpy as np
import pandas as pd
import pytest
from helpers.estimators import model
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import Pipeline, make_pipeline

from pylstm import SequenceLayout, sliding_windows

N_STEPS, WINDOW, AHEAD = 120, 12, 3
DATES = pd.date_range("2015-01-01", periods=N_STEPS + AHEAD, freq="MS")
rng = np.random.default_rng(0)
SEASON = 10 + np.sin(np.arange(N_STEPS) * 2 * np.pi / 12) + 0.1 * rng.normal(size=N_STEPS)
SERIES = pd.Series(SEASON, DATES[:N_STEPS], name="sales")
KNOWN = pd.DataFrame(
    {"month": DATES.month.astype(float), "promotion": rng.integers(0, 2, len(DATES)) * 1.0}, DATES
)
AT_TARGETS = KNOWN.to_numpy()[WINDOW:N_STEPS]  # what is known of the months that are predicted


def windows(*series):
    """Windows of series side by side, and what follows each of the first."""
    X, y = sliding_windows(np.column_stack(series), window=WINDOW)
    return X, y.reshape(len(X), -1)[:, 0]


def with_known(X, known):
    """The windows with what is known of their targets' time in every step."""
    return np.concatenate([X, np.repeat(known[:, np.newaxis], X.shape[1], axis=1)], axis=2)


def assert_learned_from(pipeline, X, y):
    assert_array_equal(pipeline[-1]._parameters, model().fit(X, y)._parameters)


def next_month(pipeline, history, known=None):
    """The forecast of a fitted network for the month after the history, by hand."""
    window = np.asarray(history)[-WINDOW:].reshape(1, WINDOW, -1)
    return pipeline[-1].predict(window if known is None else with_known(window, known))


# skforecast: arrays without names, the newest lag first


def newest_first(n_features=1):
    layout = SequenceLayout(
        WINDOW, n_features=n_features, order="features", newest_first=True, exogenous="every_step"
    )
    return make_pipeline(layout, model())


def test_skforecast_recursive():
    recursive = pytest.importorskip("skforecast.recursive")
    forecaster = recursive.ForecasterRecursive(newest_first(), lags=WINDOW)
    forecaster.fit(SERIES)
    assert_learned_from(forecaster.estimator, *windows(SERIES))
    predicted = forecaster.predict(2)
    first = next_month(forecaster.estimator, SERIES)
    second = next_month(forecaster.estimator, [*SERIES, *first])
    assert_allclose(predicted, [first[0], second[0]])


def test_skforecast_with_exogenous_columns():
    recursive = pytest.importorskip("skforecast.recursive")
    forecaster = recursive.ForecasterRecursive(newest_first(), lags=WINDOW)
    forecaster.fit(SERIES, exog=KNOWN[:N_STEPS])
    X, y = windows(SERIES)
    assert_learned_from(forecaster.estimator, with_known(X, AT_TARGETS), y)
    predicted = forecaster.predict(1, exog=KNOWN[N_STEPS:])
    known = KNOWN.to_numpy()[[N_STEPS]]
    assert_allclose(predicted, next_month(forecaster.estimator, SERIES, known))


def test_skforecast_direct_of_several_series():
    direct = pytest.importorskip("skforecast.direct")
    both = pd.DataFrame({"sales": SERIES, "visits": SERIES.cumsum()})
    forecaster = direct.ForecasterDirectMultiVariate(
        estimator=newest_first(n_features=2),
        level="sales",
        lags=WINDOW,
        steps=1,
        transformer_series=None,
    )
    forecaster.fit(both)
    assert_learned_from(forecaster.estimators_[1], *windows(*both.to_numpy().T))
    predicted = forecaster.predict()["pred"].astype(float)
    assert_allclose(predicted, next_month(forecaster.estimators_[1], both))


def test_skforecast_of_many_series_names_its_lags():
    recursive = pytest.importorskip("skforecast.recursive")
    many = pd.DataFrame({"a": SERIES, "b": SERIES[::-1].to_numpy()})
    pipeline = make_pipeline(SequenceLayout(), model())
    forecaster = recursive.ForecasterRecursiveMultiSeries(pipeline, lags=WINDOW)
    forecaster.fit(many)
    (X_a, y_a), (X_b, y_b) = windows(many["a"]), windows(many["b"])
    of_series = np.repeat([[0.0], [1.0]], len(X_a), axis=0)
    X = with_known(np.concatenate([X_a, X_b]), of_series)
    assert_learned_from(forecaster.estimator, X, np.concatenate([y_a, y_b]))
    assert pipeline[0].fit(
        forecaster.create_train_X_y(many)[0]
    ).get_feature_names_out().tolist() == [
        "lag",
        "_level_skforecast",
    ]
    of_a = forecaster.predict(1, levels="a")["pred"]
    assert_allclose(of_a, next_month(forecaster.estimator, many["a"], np.array([[0.0]])))


def test_skforecast_backtests_and_searches():
    selection = pytest.importorskip("skforecast.model_selection")
    recursive = pytest.importorskip("skforecast.recursive")
    forecaster = recursive.ForecasterRecursive(newest_first(), lags=WINDOW)
    folds = selection.TimeSeriesFold(steps=AHEAD, initial_train_size=N_STEPS - 2 * AHEAD)
    metric, predicted = selection.backtesting_forecaster(
        forecaster, SERIES, cv=folds, metric="mean_absolute_error", show_progress=False
    )
    assert len(predicted) == 2 * AHEAD
    assert np.isfinite(metric.to_numpy()).all()
    results = selection.grid_search_forecaster(
        forecaster,
        SERIES,
        cv=folds,
        metric="mean_absolute_error",
        param_grid={"lstmregressor__hidden_size": [2, 3]},
        return_best=False,
        show_progress=False,
        verbose=False,
    )
    assert len(results) == 2


def test_skforecast_saves_and_loads(tmp_path):
    recursive = pytest.importorskip("skforecast.recursive")
    utils = pytest.importorskip("skforecast.utils")
    forecaster = recursive.ForecasterRecursive(newest_first(), lags=WINDOW)
    forecaster.fit(SERIES)
    path = str(tmp_path / "forecaster.joblib")
    utils.save_forecaster(forecaster, path, verbose=False)
    loaded = utils.load_forecaster(path, verbose=False)
    assert_array_equal(loaded.predict(AHEAD), forecaster.predict(AHEAD))


# mlforecast: tables with the lags' names


def panel(**columns):
    return pd.DataFrame({"unique_id": "a", "ds": DATES[:N_STEPS], "y": SEASON, **columns})


def test_mlforecast_with_lags_in_any_order():
    mlforecast = pytest.importorskip("mlforecast")
    for lags in (range(1, WINDOW + 1), range(WINDOW, 0, -1)):
        forecaster = mlforecast.MLForecast(
            {"lstm": make_pipeline(SequenceLayout(), model())}, freq="MS", lags=lags
        )
        forecaster.fit(panel())
        pipeline = forecaster.models_["lstm"]
        assert_learned_from(pipeline, *windows(SEASON))
        first = next_month(pipeline, SEASON)
        second = next_month(pipeline, [*SEASON, *first])
        assert_allclose(forecaster.predict(2)["lstm"], [first[0], second[0]])


def test_mlforecast_with_dates_and_transforms():
    mlforecast = pytest.importorskip("mlforecast")
    lag_transforms = pytest.importorskip("mlforecast.lag_transforms")
    forecaster = mlforecast.MLForecast(
        {"lstm": make_pipeline(SequenceLayout(), model())},
        freq="MS",
        lags=range(1, WINDOW + 1),
        lag_transforms={1: [lag_transforms.ExpandingMean()]},
        date_features=["month"],
    )
    forecaster.fit(panel())
    pipeline = forecaster.models_["lstm"]
    means = np.cumsum(SEASON) / np.arange(1, N_STEPS + 1)
    known = np.column_stack([means[WINDOW - 1 : -1], DATES.month[WINDOW:N_STEPS]])
    X, _ = windows(SEASON)
    assert pipeline[0].get_feature_names_out().tolist() == ["lag", "expanding_mean_lag1", "month"]
    assert_allclose(
        pipeline[-1].predict(with_known(X, known)), pipeline.predict(_table(forecaster))
    )
    ahead = np.array([[means[-1], DATES.month[N_STEPS]]])
    expected = next_month(pipeline, SEASON, ahead)
    assert_allclose(forecaster.predict(1)["lstm"], expected, rtol=1e-5)


def _table(forecaster):
    """The table that mlforecast gives its models."""
    return forecaster.preprocess(panel()).drop(columns=["unique_id", "ds", "y"])


def test_mlforecast_warns_where_the_layout_is_forgotten():
    mlforecast = pytest.importorskip("mlforecast")
    forecaster = mlforecast.MLForecast({"lstm": model()}, freq="MS", lags=range(1, WINDOW + 1))
    with pytest.warns(UserWarning, match="the lags of their names are 1, 2, 3, .*SequenceLayout"):
        forecaster.fit(panel())


def test_mlforecast_without_names_is_refused():
    mlforecast = pytest.importorskip("mlforecast")
    models = {"lstm": make_pipeline(SequenceLayout(), model())}
    forecaster = mlforecast.MLForecast(models, freq="MS", lags=range(1, WINDOW + 1))
    with pytest.raises(ValueError, match="no columns with such names as lag_1"):
        forecaster.fit(panel(), as_numpy=True)


class Local(Pipeline):
    """A pipeline that DistributedMLForecast can train: on one worker, in its memory."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(X.compute(), y.compute())

    @property
    def model_(self):
        return self


def test_distributed_mlforecast():
    dask = pytest.importorskip("dask.dataframe")
    distributed = pytest.importorskip("mlforecast.distributed")
    cluster = pytest.importorskip("dask.distributed")
    local = Local([("layout", SequenceLayout()), ("lstm", model())])
    with cluster.Client(processes=False, n_workers=1, dashboard_address=None) as client:
        forecaster = distributed.DistributedMLForecast(
            {"lstm": local}, freq="MS", lags=range(1, WINDOW + 1), engine=client
        )
        forecaster.fit(dask.from_pandas(panel(), npartitions=1))
        assert_learned_from(forecaster.models_["lstm"], *windows(SEASON))
        predicted = forecaster.predict(2).compute()["lstm"]
    first = next_month(forecaster.models_["lstm"], SEASON)
    second = next_month(forecaster.models_["lstm"], [*SEASON, *first])
    assert_allclose(predicted, [first[0], second[0]])
