"""Bad input: one row for each kind, and what becomes of it.

A row either names the exception and a piece of its message, or works and gives finite predictions. No row
may crash, hang or return NaN.
"""

import numpy as np
import pandas as pd
import pytest
from helpers.estimators import classifier, model
from helpers.training import Recorder
from scipy import sparse
from sklearn.exceptions import NotFittedError

from pylstm import LSTMRegressor, SequenceScaler, core, forecast, sliding_windows

rng = np.random.default_rng(0)
X = rng.normal(size=(20, 6, 2)).astype(np.float32)
y = rng.normal(size=20).astype(np.float32)


DATES = np.datetime64("2026-01-01", "s") + np.arange(X.size).reshape(X.shape)
TABLE = pd.DataFrame(X[:, 0].astype(float), columns=["a", "b"])


def fitted():
    return model().fit(X, y)


def as_objects(array):
    """The array's own scalars: `astype(object)` would make Python's of them."""
    objects = np.empty(array.shape, dtype=object)
    objects.flat = [array[index] for index in np.ndindex(array.shape)]
    return objects


def with_value(array, value, dtype=None):
    changed = array.astype(dtype or array.dtype)
    changed[(3,) + (0,) * (array.ndim - 1)] = value
    return changed


def months():
    pd = pytest.importorskip("pandas")
    dates = pd.date_range("2020-01-01", periods=9, freq="MS")
    return pd.DataFrame({"unique_id": "a", "ds": dates, "y": np.arange(9.0)})


def of_months():
    return model().fit(*sliding_windows(months(), 2))


def with_huge_head(regressor):
    regressor.output_coef_[...] = 3e38
    regressor.output_intercept_[...] = 3e38
    return regressor


WRONG_DATA = {
    # in fit
    "NaN in X": (
        lambda: model().fit(with_value(X, np.nan), y),
        ValueError,
        r"contains NaN\. With missing='mask'",
    ),
    "inf in X": (lambda: model().fit(with_value(X, np.inf), y), ValueError, "contains infinity"),
    "-inf in X": (lambda: model().fit(with_value(X, -np.inf), y), ValueError, "contains infinity"),
    "X too large for float32": (
        lambda: model().fit(with_value(X, 1e300, np.float64), y),
        ValueError,
        "a value too large",
    ),
    "NaN in y": (lambda: model().fit(X, with_value(y, np.nan)), ValueError, "contains NaN"),
    "inf in y": (lambda: model().fit(X, with_value(y, np.inf)), ValueError, "contains infinity"),
    "y too large for float32": (
        lambda: model(standardize=False).fit(X, with_value(y, 1e300, np.float64)),
        ValueError,
        "a value too large",
    ),
    "0-D X": (lambda: model().fit(1.0, y), ValueError, "scalar array"),
    "1-D X": (lambda: model().fit(X[:, 0, 0], y), ValueError, "Expected 2D array, got 1D array"),
    "4-D X": (lambda: model().fit(X[..., None], y), ValueError, "dim"),
    "no X": (lambda: model().fit(None, y), ValueError, "Expected 2D array, got scalar array"),
    "no y": (lambda: model().fit(X, None), ValueError, "requires y to be passed"),
    "3-D y": (lambda: model().fit(X, X), ValueError, "dim"),
    "no samples": (lambda: model().fit(X[:0], y[:0]), ValueError, "0 sample"),
    "no time steps": (
        lambda: model().fit(X[:, :0], y),
        ValueError,
        "one time step and one feature",
    ),
    "no features": (lambda: model().fit(X[:, :, :0], y), ValueError, "one feature are required"),
    "no columns": (lambda: model().fit(X[:, :0, 0], y), ValueError, "0 feature"),
    "y shorter than X": (lambda: model().fit(X, y[:-1]), ValueError, "inconsistent numbers"),
    "y longer than X": (lambda: model().fit(X[:-1], y), ValueError, "inconsistent numbers"),
    "strings in X": (
        lambda: model().fit(np.full((20, 6), "a", dtype=object), y),
        ValueError,
        "could not convert string",
    ),
    "dictionaries in X": (
        lambda: model().fit(np.full((20, 6), {}, dtype=object), y),
        TypeError,
        "argument must be",
    ),
    "strings in y": (lambda: model().fit(X, ["a"] * 20), ValueError, "could not convert string"),
    "complex X": (lambda: model().fit(X + 1j, y), ValueError, "Complex data not supported"),
    "complex y": (lambda: model().fit(X, y + 1j), ValueError, "Complex data not supported"),
    "dates in X": (lambda: model().fit(DATES, y), TypeError, "X holds dates"),
    "dates in a list": (lambda: model().fit(DATES[..., 0].tolist(), y), TypeError, "argument must"),
    "NumPy's dates in a list": (
        lambda: model().fit([list(row) for row in DATES[..., 0]], y),
        TypeError,
        "X holds dates",
    ),
    "NumPy's dates as objects": (
        lambda: model().fit(as_objects(DATES[..., 0]), y),
        TypeError,
        "X holds dates",
    ),
    "dates in a list of sequences": (
        lambda: model().fit([*X[:10], *DATES[10:, :3]], y),
        TypeError,
        "X holds dates",
    ),
    "dates in a column": (
        lambda: model().fit(TABLE.assign(day=DATES[:, 0, 0]), y),
        TypeError,
        "X holds dates",
    ),
    "dates with a time zone in a column": (
        lambda: model().fit(
            TABLE[[]].assign(day=pd.Series(DATES[:, 0, 0]).dt.tz_localize("UTC")), y
        ),
        TypeError,
        "X holds dates",
    ),
    "durations in X": (lambda: model().fit(DATES - DATES[0], y), TypeError, "X holds .*durations"),
    "dates in y": (lambda: model().fit(X, DATES[:, 0, 0]), TypeError, "y holds dates"),
    "dates in a Series y": (
        lambda: model().fit(X, pd.Series(DATES[:, 0, 0])),
        TypeError,
        "y holds dates",
    ),
    "durations in y": (
        lambda: model().fit(X, list(DATES[:, 0, 0] - DATES[0, 0, 0])),
        TypeError,
        "y holds .*durations",
    ),
    "dates in sample_weight": (
        lambda: model().fit(X, y, sample_weight=DATES[:, 0, 0]),
        TypeError,
        "sample_weight holds dates",
    ),
    "dates in a series": (
        lambda: sliding_windows(DATES[:, 0, 0], window=3),
        TypeError,
        "series holds dates",
    ),
    "dates in SequenceScaler": (
        lambda: SequenceScaler().fit([*X[:10], *DATES[10:, :3]]),
        TypeError,
        "X holds dates",
    ),
    "masked X": (
        lambda: model().fit(np.ma.array(X, mask=X > 1), y),
        ValueError,
        r"X has masked values.*X\.filled\(np\.nan\).*missing='mask'",
    ),
    "masked X with missing='mask'": (
        lambda: model(missing="mask").fit(np.ma.array(X, mask=X > 1), y),
        ValueError,
        "X has masked values",
    ),
    "masked sequences in a list": (
        lambda: model().fit([*X[:10], *np.ma.array(X[10:, :3], mask=X[10:, :3] > 0)], y),
        ValueError,
        "X has masked values",
    ),
    "masked rows in a list": (
        lambda: model().fit(list(np.ma.array(X[..., 0], mask=X[..., 0] > 1)), y),
        ValueError,
        "X has masked values",
    ),
    "masked y": (lambda: model().fit(X, np.ma.array(y, mask=y > 1)), ValueError, "y has masked"),
    "masked y of each time step": (
        lambda: model(return_sequences=True).fit(X, list(np.ma.array(X, mask=X > 1))),
        ValueError,
        "y has masked",
    ),
    "masked classes": (
        lambda: classifier().fit(X, np.ma.array(y > 0, mask=y > 1)),
        ValueError,
        "y has masked",
    ),
    "masked sample_weight": (
        lambda: model().fit(X, y, sample_weight=np.ma.array(abs(y), mask=y > 1)),
        ValueError,
        "sample_weight has masked",
    ),
    "masked lengths": (
        lambda: model().fit(X, y, lengths=np.ma.array(np.full(20, 3), mask=y > 1)),
        ValueError,
        "lengths has masked",
    ),
    "dates in a forecast's history": (
        lambda: model().fit(X[..., :1], y).forecast(DATES[:, 0, 0], steps=2),
        TypeError,
        "history holds dates",
    ),
    "masked series": (
        lambda: sliding_windows(np.ma.array(y, mask=y > 1), window=3),
        ValueError,
        "series has masked",
    ),
    "masked series among many": (
        lambda: sliding_windows({"a": y, "b": np.ma.array(y, mask=y > 1)}, window=3),
        ValueError,
        "series has masked",
    ),
    "dates among many series": (
        lambda: sliding_windows([y, DATES[:, 0, 0]], window=3),
        TypeError,
        "series holds dates",
    ),
    "masked target of windows": (
        lambda: sliding_windows(y, window=3, target=np.ma.array(y, mask=y > 1)),
        ValueError,
        "target has masked",
    ),
    "masked X in SequenceScaler": (
        lambda: SequenceScaler().fit(np.ma.array(X, mask=X > 1)),
        ValueError,
        "X has masked",
    ),
    "columns swapped in a list of tables": (
        lambda: model().fit([TABLE, TABLE[["b", "a"]]], y[:2]),
        ValueError,
        r"names should match in all tables .* got \['a', 'b'\] and \['b', 'a'\]",
    ),
    "columns swapped after the fit": (
        lambda: model().fit([TABLE, TABLE[:9]], y[:2]).predict([TABLE[["b", "a"]]]),
        ValueError,
        "feature names should match",
    ),
    "tables and arrays in a list": (
        lambda: model().fit([TABLE, TABLE.to_numpy()], y[:2]),
        ValueError,
        r"got \['a', 'b'\] and \[\]",
    ),
    "sparse X": (lambda: model().fit(sparse.csr_array(X[:, :, 0]), y), TypeError, "[Ss]parse"),
    "ragged X of scalars and lists": (
        lambda: model().fit([[1.0, 2.0], [[1.0]]], [0.0, 1.0]),
        ValueError,
        "inhomogeneous",
    ),
    "a dict of sequences": (
        lambda: model().fit(dict(enumerate(X)), y),
        TypeError,
        r"X is a dict.* list\(X.values\(\)\)",
    ),
    "a dict of sequences in SequenceScaler": (
        lambda: SequenceScaler().fit(dict(enumerate(X))),
        TypeError,
        "X is a dict",
    ),
    "dates in sequences of one dimension": (
        lambda: model().fit([DATES[0, :, 0], DATES[1, :4, 0]], y[:2]),
        TypeError,
        "X holds dates",
    ),
    "steps as rows": (
        lambda: model().fit(
            pd.DataFrame(X.reshape(120, 2), pd.MultiIndex.from_product([range(20), range(6)])), y
        ),
        ValueError,
        r"120 time steps, of 20 sequences .* X.groupby\(level=0\)",
    ),
    "n_timesteps does not divide the columns": (
        lambda: model(n_timesteps=5).fit(X.reshape(20, 12), y),
        ValueError,
        "n_timesteps=5",
    ),
    "n_timesteps differs from 3-D X": (
        lambda: model(n_timesteps=5).fit(X, y),
        ValueError,
        "n_timesteps=5",
    ),
    "sample_weight of wrong length": (
        lambda: model().fit(X, y, sample_weight=np.ones(19)),
        ValueError,
        "sample_weight",
    ),
    "negative sample_weight": (
        lambda: model().fit(X, y, sample_weight=-np.ones(20)),
        ValueError,
        "[Nn]egative",
    ),
    "sample_weight all zero": (
        lambda: model().fit(X, y, sample_weight=np.zeros(20)),
        ValueError,
        "zero",
    ),
    "NaN in sample_weight": (
        lambda: model().fit(X, y, sample_weight=np.full(20, np.nan)),
        ValueError,
        "contains NaN",
    ),
    "X_val without y_val": (
        lambda: model(early_stopping=True).fit(X, y, X_val=X),
        ValueError,
        "y_val",
    ),
    "y_val without X_val": (
        lambda: model(early_stopping=True).fit(X, y, y_val=y),
        ValueError,
        "X_val",
    ),
    "X_val with other features": (
        lambda: model(early_stopping=True).fit(X, y, X_val=X[:, :, :1], y_val=y),
        ValueError,
        "features",
    ),
    "NaN in X_val": (
        lambda: model(early_stopping=True).fit(X, y, X_val=with_value(X, np.nan), y_val=y),
        ValueError,
        "contains NaN",
    ),
    "early stopping with one sample": (
        lambda: model(early_stopping=True).fit(X[:1], y[:1]),
        ValueError,
        "sample",
    ),
    "partial_fit with other features": (
        lambda: fitted().partial_fit(X[:, :, :1], y),
        ValueError,
        "features",
    ),
    "partial_fit with other outputs": (
        lambda: fitted().partial_fit(X, np.stack([y, y], axis=1)),
        ValueError,
        "output",
    ),
    # in predict
    "predict before fit": (lambda: model().predict(X), NotFittedError, "not fitted yet"),
    "score before fit": (lambda: model().score(X, y), NotFittedError, "not fitted yet"),
    "predict with NaN": (lambda: fitted().predict(with_value(X, np.nan)), ValueError, "NaN"),
    "predict with other features": (
        lambda: fitted().predict(X[:, :, :1]),
        ValueError,
        "1 features, but LSTMRegressor is expecting 2 features",
    ),
    "predict with other time steps": (
        lambda: fitted().predict(X[:, :5]),
        ValueError,
        "5 time steps, .* 6",
    ),
    "predict with another number of columns": (
        lambda: model().fit(X[:, :, 0], y).predict(X[:, :5, 0]),
        ValueError,
        "5 features, but LSTMRegressor is expecting 6 features",
    ),
    "predict with no samples": (lambda: fitted().predict(X[:0]), ValueError, "0 sample"),
    "predict overflows": (
        lambda: with_huge_head(fitted()).predict(X),
        ValueError,
        "not finite",
    ),
    # windows
    "window longer than the series": (
        lambda: sliding_windows(np.arange(5.0), 6),
        ValueError,
        "window",
    ),
    "horizon beyond the series": (
        lambda: sliding_windows(np.arange(5.0), 3, horizon=3),
        ValueError,
        "horizon",
    ),
    "window of no steps": (lambda: sliding_windows(np.arange(5.0), 0), ValueError, "window"),
    "window no integer": (lambda: sliding_windows(np.arange(5.0), 2.5), ValueError, "window"),
    # many series
    "series shorter than a window": (
        lambda: sliding_windows({"a": np.arange(9.0), "b": np.arange(5.0)}, 6),
        ValueError,
        "Series 'b' has 5 steps",
    ),
    "series of one step": (
        lambda: sliding_windows([[1.0], np.arange(9.0)][::-1], 1),
        ValueError,
        "Series 1 has 1 step",
    ),
    "no series": (lambda: sliding_windows({}, 2), ValueError, "empty dict"),
    "no rows": (lambda: sliding_windows(months()[:0], 2), ValueError, "without rows"),
    "unknown column": (
        lambda: sliding_windows(months(), 2, target="sales"),
        ValueError,
        r"'sales' is not the name of one column .*\['y'\]",
    ),
    "unsorted times": (
        lambda: sliding_windows(months().set_index("ds")[["y"]][::-1], 2),
        ValueError,
        "not in the order of time: 2020-08-01 follows 2020-09-01",
    ),
    "times twice": (
        lambda: sliding_windows(months().iloc[[0, 1, 1, 2, 3]], 2),
        ValueError,
        "more than one row for 2020-02-01",
    ),
    "times missing": (
        lambda: sliding_windows(months().drop(index=3), 2),
        ValueError,
        "no row for 2020-04-01",
    ),
    "series absent from what is known": (
        lambda: forecast(fitted(), {"a": X[0], "b": X[1]}, 1, known={"a": X[0]}),
        ValueError,
        "known has no series 'b'",
    ),
    "other columns in the forecast": (
        lambda: forecast(of_months(), months().rename(columns={"y": "sales"}), 1),
        ValueError,
        r"Unseen at fit time: \['sales'\]",
    ),
    "scale before fit": (lambda: SequenceScaler().transform(X), NotFittedError, "not fitted yet"),
    "scale inf": (lambda: SequenceScaler().fit(with_value(X, np.inf)), ValueError, "infinity"),
}


@pytest.mark.parametrize(("call", "error", "message"), WRONG_DATA.values(), ids=WRONG_DATA.keys())
def test_wrong_data_raises(call, error, message):
    with pytest.raises(error, match=message):
        call()


# Every hyper-parameter with values of a wrong type and out of range.
WRONG_PARAMETERS = {
    "hidden_size": [0, -1, 2.5, "32", None],
    "num_layers": [0, 1.5, None],
    "bidirectional": ["yes", 2, None],
    "dropout": [-0.1, 1.0, np.nan, None],
    "recurrent_dropout": [-0.1, 1.0, np.nan, None],
    "return_sequences": ["yes", None],
    "stateful": ["yes", None],
    "missing": ["ignore", np.nan, None],
    "loss": ["mse", core.SquaredError, None],
    "n_timesteps": [0, -3, 2.0, "all"],
    "quantile": [0, 1, -0.5, "median"],
    "standardize": ["yes", None],
    "window_scaling": ["first", True, 3],
    "window_features": [-1, 2.0, "price"],
    "target_features": [-1, 2.0, "price"],
    "highway": [-1, 2.0, None],
    "forget_bias": [np.inf, np.nan, "high", None],
    "solver": ["lbfgs", None, 3],
    "alpha": [-0.1, np.nan, "0", None],
    "batch_size": [0, -1, 3.2, None],
    "learning_rate_init": [0, -1e-3, np.inf, np.nan, "fast", None],
    "max_iter": [0, -1, 1.5, None],
    "shuffle": ["yes", 2, None],
    "max_grad_norm": [0, -1.0, np.nan, "1"],
    "max_grad_value": [0, -1.0, np.nan, "1"],
    "learning_rate": ["adaptive", 0.1, None],
    "averaging": ["ema", 0.9],
    "callbacks": ["stop", 1],
    "tol": [-1e-4, np.nan, "small", None],
    "n_iter_no_change": [0, -1, 2.5, None],
    "early_stopping": ["yes", None],
    "validation_fraction": [0.0, 1.0, -0.1, 1.5, np.nan, "all", None],
    "momentum": [-0.1, 1.1, np.nan, None],
    "nesterovs_momentum": ["yes", None],
    "beta_1": [-0.1, 1.0, np.nan, None],
    "beta_2": [-0.1, 1.0, np.nan, None],
    "epsilon": [0, -1e-8, np.nan, None],
    "warm_start": ["yes", None],
    "random_state": ["seed", -1, 1.5],
    "verbose": [-1, "loud", None],
    "n_jobs": [0, 1.5, "all"],
    "dtype": ["float16", "int32", 32, None],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in WRONG_PARAMETERS.items() for value in values],
)
def test_wrong_parameter_raises_before_any_work(name, value):
    regressor = model(**{name: value})
    with pytest.raises(ValueError, match=name):
        regressor.fit(X, y)
    assert not hasattr(regressor, "n_iter_")


@pytest.mark.parametrize(
    "parameters",
    [
        {"missing": "drop"},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"recurrent_dropout": 1.0},
        {"solver": "lion"},
        {"max_grad_value": 0},
        {"bidirectional": "yes"},
        {"return_sequences": 2},
        {"stateful": None},
        {"learning_rate": 0.1},
        {"averaging": 0.9},
        pytest.param({"callbacks": Recorder()}, id="callbacks that are no list"),
    ],
    ids=str,
)
def test_wrong_parameters_raise(parameters):
    name = next(iter(parameters))
    for estimator, targets in ((model(**parameters), y), (classifier(**parameters), y > 0)):
        with pytest.raises(ValueError, match=f"The '{name}' parameter of LSTM"):
            estimator.fit(X, targets)


@pytest.mark.parametrize(
    ("elsewhere", "here"),
    [("mse", "squared_error"), ("MAE", "absolute_error"), ("smooth_l1", "huber")],
)
def test_names_of_losses_elsewhere_are_told_what_they_are_here(elsewhere, here):
    with pytest.raises(ValueError, match=f"Got '{elsewhere}' instead. It is called loss='{here}'"):
        model(loss=elsewhere).fit(X, y)


def test_every_parameter_has_a_row():
    assert set(WRONG_PARAMETERS) == set(LSTMRegressor().get_params())


def test_failed_fit_leaves_a_fitted_estimator_as_it_was():
    regressor = fitted()
    before = regressor.predict(X)
    with pytest.raises(ValueError):
        regressor.fit(with_value(X, np.nan), y)
    with pytest.raises(ValueError):
        regressor.fit(X, y[:-1])
    np.testing.assert_array_equal(regressor.predict(X), before)


UNUSUAL_DATA = {
    "one sample": (X[:1], y[:1]),
    "one time step": (X[:, :1], y),
    "one feature": (X[:, :, :1], y),
    "one of each": (X[:1, :1, :1], y[:1]),
    "2-D X": (X[:, :, 0], y),
    "integers": (np.arange(120).reshape(20, 6) % 7, np.arange(20) % 3),
    "booleans": (X > 0, y > 0),
    "objects that are numbers": (X[:, :, 0].astype(object), y.astype(object)),
    "lists": (X[:, :, 0].tolist(), y.tolist()),
    "constant X": (np.ones_like(X), y),
    "constant y": (X, np.ones_like(y)),
    "zeros": (np.zeros_like(X), np.zeros_like(y)),
    "huge X": (X * 1e30, y),
    "huge y": (X, y * 1e15),
    "tiny X and y": (X * 1e-38, y * 1e-38),
    "big-endian X": (X.astype(">f4"), y),
    "float16 X": (X.astype(np.float16), y.astype(np.float16)),
    "column y": (X, y[:, None]),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("X", "y"), UNUSUAL_DATA.values(), ids=UNUSUAL_DATA.keys())
def test_unusual_data_works(X, y, dtype):
    prediction = model(dtype=dtype).fit(X, y).predict(X)
    assert len(prediction) == len(X)
    assert np.isfinite(prediction).all()
