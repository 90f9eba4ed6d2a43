"""What `forecast` refuses, and why."""

import numpy as np
import pytest
from helpers.estimators import standardised
from helpers.forecasts import KNOWN, N_STEPS, QUANTILES, SERIES, SERIES_3, WINDOW, fitted, lstm
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from pylstm import LSTMClassifier, SequenceScaler, core, sliding_windows
from pylstm.forecasting import forecast


@pytest.fixture(scope="module")
def models():
    return {
        "plain": fitted(lstm()),
        "three": fitted(lstm(), SERIES_3),
        "one of three": fitted(lstm(), SERIES_3, target=0),
        "direct": fitted(lstm(), horizon=range(1, 6)),
        "known": fitted(lstm(), known=KNOWN),
        "gaussian": fitted(lstm(loss="gaussian")),
        "gaussian direct": fitted(lstm(loss="gaussian"), horizon=range(1, 6)),
        "quantiles": fitted(lstm(loss=QUANTILES)),
        "tails": fitted(lstm(loss=core.Quantile((0.05, 0.95)))),
        "one quantile": fitted(lstm(loss="quantile")),
    }


BAD_CALLS = {
    "steps 0": ("plain", SERIES, 0, {}, "'steps'"),
    "steps float": ("plain", SERIES, 2.0, {}, "'steps'"),
    "interval 0": ("gaussian", SERIES, 2, {"interval": 0}, "'interval'"),
    "interval 90": ("gaussian", SERIES, 2, {"interval": 90}, "'interval'"),
    "no paths": ("gaussian", SERIES, 2, {"interval": 0.9, "n_paths": 0}, "'n_paths'"),
    "random state": ("gaussian", SERIES, 2, {"random_state": "a"}, "'random_state'"),
    "horizon 0": ("plain", SERIES, 2, {"horizon": 0}, "'horizon'"),
    "horizon None": ("plain", SERIES, 2, {"horizon": None}, "'horizon'"),
    "one far horizon": ("plain", SERIES, 2, {"horizon": 5}, r"range\(1, 6\).*got 5"),
    "gap": ("direct", SERIES, 2, {"horizon": [1, 3]}, r"leaves out no step.*got \[1, 3\]"),
    "order": ("direct", SERIES, 2, {"horizon": [2, 1]}, "leaves out no step"),
    "now": ("plain", SERIES, 1, {"horizon": [0]}, "leaves out no step"),
    "from 0": ("direct", SERIES, 2, {"horizon": range(5)}, "leaves out no step"),
    "other horizons": ("direct", SERIES, 2, {"horizon": [1, 2]}, "5 targets.*2 horizons"),
    "horizon forgotten": ("direct", SERIES, 2, {}, r"1 step\(s\) of 5 target.*Pass the horizon"),
    "not all features": ("one of three", SERIES_3, 2, {}, r"3 feature\(s\), and all of them"),
    "short history": ("plain", SERIES[:5], 2, {}, "5 steps.*windows of 6"),
    "empty history": ("plain", [], 2, {}, "0 sample"),
    "empty histories": ("plain", np.ones((2, 0, 1)), 2, {}, "0 steps.*windows of 6"),
    "4-D history": ("plain", np.ones((1, 1, 9, 1)), 2, {}, "4 dimensions"),
    "text": ("plain", list("abcdefghi"), 2, {}, "could not convert"),
    "infinite": ("plain", np.append(SERIES, np.inf), 2, {}, "infinity"),
    "features": ("plain", SERIES_3, 1, {}, "3 features, but LSTMRegressor is expecting 1"),
    "known unknown": ("plain", SERIES, 1, {"known": KNOWN}, "3 features.*expecting 1"),
    "known forgotten": ("known", SERIES, 1, {}, "1 features.*expecting 3"),
    "known short": (
        "known",
        SERIES,
        4,
        {"known": KNOWN[: N_STEPS + 3]},
        "83 rows, but 84 are needed: 80 for the history and 4",
    ),
    "known short for a block": (
        "direct",
        SERIES,
        6,
        {"known": KNOWN[: N_STEPS + 9], "horizon": range(1, 6)},
        "89 rows, but 90 are needed: 80 for the history and 10",
    ),
    "known for series": ("known", SERIES, 1, {"known": np.stack([KNOWN] * 2)}, r"\(1, n_known_st"),
    "known 4-D": ("known", SERIES, 1, {"known": KNOWN[None, None]}, r"shape \(1, 1, 104, 2\)"),
    "no loss": ("plain", SERIES, 1, {"interval": 0.9}, r"'gaussian'.*0\.05, 0\.5, 0\.95.*SquaredE"),
    "level": (
        "quantiles",
        SERIES,
        1,
        {"interval": 0.8},
        r"0\.1 quantile is needed.*\(0\.05, 0\.25, 0\.5, 0\.75, 0\.95\)",
    ),
    "no median": ("tails", SERIES, 1, {}, r"0\.5 quantile is needed.*\(0\.05, 0\.95\)"),
    "no median either": ("tails", SERIES, 1, {"interval": 0.9}, r"0\.5 quantile is needed"),
    "one level": ("one quantile", SERIES, 1, {"interval": 0.9}, r"0\.05 quantile is needed"),
    "futures of quantiles": ("quantiles", SERIES, 2, {"interval": 0.9}, "1 step.*'gaussian'"),
}


@pytest.mark.parametrize(
    ("name", "history", "steps", "options", "message"), BAD_CALLS.values(), ids=BAD_CALLS.keys()
)
def test_bad_calls_raise(models, name, history, steps, options, message):
    with pytest.raises(ValueError, match=message):
        forecast(models[name], history, steps, **options)


UNFITTED = {
    "LSTM": lstm(),
    "pipeline": make_pipeline(SequenceScaler(), lstm()),
    "target": standardised(lstm()),
    "search": GridSearchCV(lstm(), {"hidden_size": [2]}),
}


@pytest.mark.parametrize("model", UNFITTED.values(), ids=UNFITTED.keys())
def test_unfitted_models_raise(model):
    with pytest.raises(NotFittedError):
        forecast(model, SERIES, 1)


def test_models_without_an_lstm_raise():
    ridge = Ridge().fit(SERIES[:-1, np.newaxis], SERIES[1:])
    for model in (ridge, standardised(Ridge()).fit(SERIES[:, np.newaxis], SERIES)):
        with pytest.raises(
            TypeError, match="No fitted LSTMRegressor or LSTMClassifier was found in"
        ):
            forecast(model, SERIES, 1)
    search = GridSearchCV(lstm(), {"hidden_size": [2]}, cv=2, refit=False)
    for model in ("model", fitted(search)):
        with pytest.raises(TypeError, match=r"'model'.*'predict'"):
            forecast(model, SERIES, 1)


def test_classifiers_raise():
    X, y = sliding_windows(SERIES, WINDOW, target=SERIES > 20)
    model = LSTMClassifier(max_iter=1, n_iter_no_change=np.inf).fit(X, y)
    with pytest.raises(TypeError, match="got the classifier"):
        forecast(model, SERIES, 1)


def test_stateful_models_raise():
    X, y = sliding_windows(SERIES, WINDOW, step=WINDOW)
    model = lstm(stateful=True, shuffle=False, batch_size=4).fit(X, y)
    with pytest.raises(ValueError, match="stateful=True forecasts from its states"):
        forecast(model, SERIES, 1)
