"""SequenceLayout: columns and axes in every order become the windows that they were made of."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from helpers.estimators import classifier, model, standardised
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.multioutput import RegressorChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from pylstm import SequenceLayout, sliding_windows

N_SAMPLES, N_TIMESTEPS = 40, 5
rng = np.random.default_rng(0)
SERIES = rng.normal(size=(N_SAMPLES + N_TIMESTEPS, 2)).cumsum(axis=0)
X, y = sliding_windows(SERIES, window=N_TIMESTEPS)
X, y = np.array(X), y[:, 0]
EXOGENOUS = rng.normal(size=(N_SAMPLES, 2))
EVERY_STEP = np.concatenate([X, np.repeat(EXOGENOUS[:, np.newaxis], N_TIMESTEPS, axis=1)], axis=2)
LAST_STEP = EVERY_STEP.copy()
LAST_STEP[:, :-1, 2:] = 0


@parametrize_with_checks(
    [
        SequenceLayout(order="steps"),
        SequenceLayout(1, n_features=1, order="features", newest_first=True, exogenous="last_step"),
    ]
)
def test_estimator_checks_pass_without_exception(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # without it one check would be skipped
    check(estimator)


# Every layout


def table(name, sequences=X):
    """The lags of both features as columns, the newest first, among them two exogenous ones."""
    lags = {name(f, lag): sequences[:, -lag, f] for f in (0, 1) for lag in range(1, 6)}
    columns = dict(zip(["month", "lagoon_1"], EXOGENOUS.T, strict=True))
    return pd.DataFrame({"month": columns["month"], **lags, "lagoon_1": columns["lagoon_1"]})


@pytest.mark.parametrize("exogenous", ["every_step", "last_step"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_names_tell_the_order_of_lags_and_what_is_exogenous(exogenous, shuffled):
    columns = table(lambda feature, lag: f"{'ab'[feature]}_lag_{lag}")
    if shuffled:
        lags = rng.permutation(columns.columns.drop(["month", "lagoon_1"]))
        lags = sorted(lags, key=lambda name: name[0] != "a")
        columns = columns[["month", *lags, "lagoon_1"]]
    layout = SequenceLayout(exogenous=exogenous).fit(columns)
    expected = EVERY_STEP if exogenous == "every_step" else LAST_STEP
    assert_array_equal(layout.transform(columns), expected)
    assert layout.get_feature_names_out().tolist() == ["a", "b", "month", "lagoon_1"]
    assert (layout.n_timesteps_, layout.n_features_out_, layout.n_features_in_) == (5, 4, 12)
    # As skforecast predicts: without the names. Their places are those of the fit.
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert_array_equal(layout.transform(columns.to_numpy()), expected)


@pytest.mark.parametrize("name", ["lag_{}", "lag{}"])
def test_lags_of_one_feature_need_no_name_of_it_and_may_have_gaps(name):
    columns = pd.DataFrame({name.format(lag): X[:, -lag, 0] for lag in (4, 1, 2)})
    columns["expanding_mean_lag1"] = 7.0  # mlforecast's: no lag
    layout = SequenceLayout().fit(columns)
    sequences = layout.transform(columns)
    assert_array_equal(sequences[..., 0], X[:, [-4, -2, -1], 0])
    assert_array_equal(sequences[..., 1], 7.0)
    assert layout.get_feature_names_out().tolist() == ["lag", "expanding_mean_lag1"]


def laid_out(order, newest_first):
    windows = X[:, ::-1] if newest_first else X
    return windows if order == "steps" else windows.swapaxes(1, 2)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("order", ["steps", "features"])
def test_layouts_without_names(order, newest_first):
    given = laid_out(order, newest_first)
    settings = {"order": order, "newest_first": newest_first}
    assert_array_equal(SequenceLayout(**settings).fit_transform(given), X)
    flat = given.reshape(N_SAMPLES, -1)
    for sizes in ({"n_timesteps": 5}, {"n_features": 2}, {"n_timesteps": 5, "n_features": 2}):
        layout = SequenceLayout(**sizes, **settings)
        assert_array_equal(layout.fit_transform(flat), X)
        assert layout.get_feature_names_out().tolist() == ["x0", "x1"]
    layout = SequenceLayout(5, n_features=2, **settings)
    with_more = np.hstack([flat, EXOGENOUS])
    assert_array_equal(layout.fit_transform(with_more), EVERY_STEP)
    assert layout.get_feature_names_out().tolist() == ["x0", "x1", "x10", "x11"]
    layout.set_params(exogenous="last_step")
    assert_array_equal(layout.fit_transform(with_more), LAST_STEP)
    univariate = SequenceLayout(**settings).fit_transform(given[..., 0].copy())
    assert univariate.shape[2] == 1


def test_dtype_and_missing_values_stay():
    given = X[:, ::-1, 0].astype(np.float32)
    given[0, 0] = np.nan
    layout = SequenceLayout(order="steps", newest_first=True).fit(given)
    assert layout.transform(given).dtype == np.float32
    assert np.isnan(layout.transform(given)[0, -1, 0])
    assert_array_equal(pickle.loads(pickle.dumps(layout)).transform(given), layout.transform(given))
    assert clone(layout).get_params() == layout.get_params()


WRONG = {
    "no names": (SequenceLayout(), X[..., 0], "no columns with such names as lag_1"),
    "three dimensions": (SequenceLayout(), X, "no names that tell its axes"),
    "columns left over": (
        SequenceLayout(4, order="steps"),
        X[..., 0],
        "5 columns, which cannot be divided into 4 time steps. Set n_timesteps and n_features",
    ),
    "too few columns": (
        SequenceLayout(4, n_features=2, order="steps"),
        X[..., 0],
        r"5 columns, fewer than n_timesteps \* n_features = 8",
    ),
    "other axes": (SequenceLayout(4, order="steps"), X, "X has n_timesteps=5, but n_timesteps=4"),
    "other lags": (
        SequenceLayout(4),
        pd.DataFrame({"lag_1": y, "lag_2": y}),
        "X has n_timesteps=2, but n_timesteps=4",
    ),
    "features with different lags": (
        SequenceLayout(),
        pd.DataFrame({"a_lag_1": y, "a_lag_2": y, "b_lag_1": y}),
        "same lags, but 'b' has 1, 'a' 2, 1",
    ),
}


@pytest.mark.parametrize(("layout", "given", "message"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_laid_out_raises(layout, given, message):
    with pytest.raises(ValueError, match=message):
        layout.fit(given)


def test_other_columns_or_dimensions_than_in_fit_raise():
    layout = SequenceLayout(order="steps")
    with pytest.raises(NotFittedError):
        layout.transform(X)
    with pytest.raises(ValueError, match="X is 2-D, but"):
        layout.fit(X).transform(X[:, 0])
    columns = table(lambda feature, lag: f"{'ab'[feature]}_lag_{lag}")
    layout = SequenceLayout().fit(columns)
    with pytest.raises(ValueError, match="feature names should match"):
        layout.transform(columns[columns.columns[::-1]])


# Before an estimator


def test_pipeline_learns_as_on_hand_made_windows():
    columns = table(lambda feature, lag: f"{'ab'[feature]}_lag_{lag}")
    pipeline = make_pipeline(SequenceLayout(), model())
    expected = model().fit(EVERY_STEP, y).predict(EVERY_STEP)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*columns of X.*")
        assert_array_equal(pipeline.fit(columns, y).predict(columns), expected)
        with config_context(transform_output="pandas"):
            assert_array_equal(pipeline.fit(columns, y).predict(columns), expected)
    pipeline.set_output(transform="pandas")
    assert_array_equal(pipeline.fit(columns, y).predict(columns), expected)
    assert pipeline[:-1].get_feature_names_out().tolist() == ["a", "b", "month", "lagoon_1"]
    scaled = standardised(
        make_pipeline(StandardScaler(), SequenceLayout(5, order="steps"), model())
    )
    assert scaled.fit(X.reshape(N_SAMPLES, -1), y).predict(X.reshape(N_SAMPLES, -1)).shape == (40,)


def test_chain_adds_the_targets_before_as_features():
    targets = np.column_stack([y, 2 * y + 1])
    layout = SequenceLayout(5, n_features=2, order="steps", exogenous="last_step")
    chain = RegressorChain(make_pipeline(layout, model())).fit(X.reshape(N_SAMPLES, -1), targets)
    first, second = chain.estimators_
    assert first[0].n_features_out_ == 2
    assert second[0].n_features_out_ == 3
    with_first = np.concatenate([X, np.zeros((N_SAMPLES, 5, 1))], axis=2)
    with_first[:, -1, 2] = y
    assert_array_equal(second[-1]._parameters, model().fit(with_first, 2 * y + 1)._parameters)
    assert chain.predict(X.reshape(N_SAMPLES, -1)).shape == (N_SAMPLES, 2)


# Names that show a wrong order


def named(*names):
    return pd.DataFrame(rng.normal(size=(N_SAMPLES, len(names))), columns=names)


@pytest.mark.parametrize(
    ("columns", "n_timesteps", "message"),
    [
        (named("lag_1", "lag_2", "lag_3"), None, "lags of their names are 1, 2, 3, and large"),
        (named("lag1", "lag2", "lag3", "lag4", "lag5"), None, r"are 1, 2, 3, \.\.\., and large"),
        (named("a_lag_2", "b_lag_2", "a_lag_1", "b_lag_1"), None, "several features, 'a', 'b'"),
        (named("lag2", "lag1", "month"), None, "'month' would be taken for time steps too"),
        (named("a_lag_1", "b_lag_1", "a_lag_2", "b_lag_2"), 2, "lags of their names are 1, 2"),
    ],
)
def test_names_that_show_a_wrong_order_warn(columns, n_timesteps, message):
    for estimator, targets in (
        (model(n_timesteps=n_timesteps), y),
        (classifier(n_timesteps=n_timesteps), y > y.mean()),
    ):
        with pytest.warns(UserWarning, match=f"{message}.*SequenceLayout") as warned:
            estimator.fit(columns, targets)
        assert warned[0].filename == __file__
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="The columns of X")
            estimator.predict(columns)


@pytest.mark.parametrize(
    ("columns", "n_timesteps"),
    [
        (named("lag3", "lag2", "lag1"), None),
        (named("lag_12", "lag_2", "lag_1"), None),
        (named("a_lag_2", "b_lag_2", "a_lag_1", "b_lag_1"), 2),
        (named("lag_2", "month_2", "lag_1", "month_1"), 2),
        (named("lag_1", "month", "year"), None),
        (named("x1", "x2", "x3"), None),
    ],
)
def test_names_that_show_nothing_wrong_do_not_warn(columns, n_timesteps):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="The columns of X")
        model(n_timesteps=n_timesteps).fit(columns, y)


def test_one_time_step_of_many_features_warns():
    for estimator, targets in ((model(), y), (classifier(), y > y.mean())):
        with pytest.warns(
            UserWarning, match=r"one time step of 5 features.*SequenceLayout"
        ) as warned:
            estimator.fit(X[:, np.newaxis, :, 0], targets)
        assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="X has one time step")
        model(n_timesteps=1).fit(X[:, np.newaxis, :, 0], y)
        model(stateful=True, shuffle=False).fit(X[:, np.newaxis, :, 0], y)
        model().fit(X[:, :1, :1], y)
