"""scikit-learn's checks of estimators under one option after the other: what is promised holds for each."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from pylstm import LSTMClassifier, LSTMRegressor
from pylstm.training import EMA, SWA, CosineDecay, ReduceOnPlateau, TimeLimit

SHARED = [
    {"num_layers": 2, "bidirectional": True, "dropout": 0.1, "recurrent_dropout": 0.1},
    {"stateful": True, "shuffle": False, "batch_size": 2},
    {"missing": "mask", "window_scaling": "standard", "dtype": "float64"},
    {"solver": "sgd", "standardize": False, "max_grad_norm": None, "max_grad_value": 1.0},
    {
        "solver": "adamw",
        "alpha": 0.01,
        "averaging": EMA(0.5),
        "learning_rate": CosineDecay(),
    },
    {
        "solver": "rmsprop",
        "averaging": SWA(),
        "learning_rate": ReduceOnPlateau(),
        "forget_bias": "chrono",
        "callbacks": [TimeLimit(100.0)],
        "n_timesteps": 1,
    },
    {"early_stopping": True, "validation_fraction": 0.4},
    {"early_stopping": True, "validation_fraction": 0.4, "shuffle": False},
    {"warm_start": True},
]
OF_REGRESSOR = [
    {"loss": "huber", "highway": "all", "missing": "mask"},
    {"loss": "quantile", "quantile": (0.1, 0.5, 0.9)},
    {"loss": "poisson", "window_scaling": "mean"},
    {"loss": "gaussian"},
]

# Check -> the options with which it cannot hold, and why
IMPOSSIBLE = {
    "check_sample_weight_equivalence_on_dense_data": {
        "stateful": "a sample left out is not a window left out of a series",
        "early_stopping": "what is held out depends on the number of samples",
        "highway": "cross-validation leaves out samples, not weights",
    },
    "check_methods_sample_order_invariance": {"stateful": "the order is that of time"},
    "check_methods_subset_invariance": {"stateful": "the windows before are not in the subset"},
    "check_regressor_multioutput": {
        "quantile": "several quantiles have an axis of their own",
        "poisson": "the check's targets are negative, whatever the tag `positive_only` says",
    },
    "check_pipeline_consistency": {"warm_start": "the second fit goes on from the first"},
    "check_supervised_y_2d": {"warm_start": "the second fit goes on from the first"},
    "check_transformer_data_not_an_array": {"warm_start": "the second fit goes on from the first"},
    "check_transformer_general": {"warm_start": "the second fit goes on from the first"},
}


def expected_failed_checks(estimator):
    options = {
        name
        for name in ("stateful", "early_stopping", "highway", "quantile", "warm_start")
        if getattr(estimator, name, None)
    }
    if getattr(estimator, "loss", None) == "poisson":
        options.add("poisson")
    return {
        check: reason
        for check, reasons in IMPOSSIBLE.items()
        for option, reason in reasons.items()
        if option in options
    }


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [LSTMRegressor(**options) for options in SHARED + OF_REGRESSOR]
    + [LSTMClassifier(**options) for options in [*SHARED, {"class_weight": "balanced"}]],
    expected_failed_checks=expected_failed_checks,
)
def test_estimator_checks(estimator, check, monkeypatch):
    if check.func.__name__ in ("check_regressors_train", "check_classifiers_train"):
        pytest.skip("how well five epochs learn is a matter of options")
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # without it one check would be skipped
    check(estimator)
