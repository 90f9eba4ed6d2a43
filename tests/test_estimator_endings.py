"""How training ends: converged, stalled, diverged, failed; interrupted is next door."""

import copy
import warnings

import numpy as np
import pytest
from helpers.estimators import (
    ALL_LOSSES,
    LENGTHS,
    LOSSES,
    N_FEATURES,
    N_SAMPLES,
    Y_STEPS,
    X,
    Y,
    assert_same_weights,
    model,
    plain,
    raises,
    replace_pass,
    suiting,
    y,
)
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from pylstm import _unchecked, core


def test_max_iter_warns_and_convergence_does_not():
    with pytest.warns(ConvergenceWarning, match="max_iter=3"):
        model().fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        regressor = model(tol=10.0, max_iter=50, n_iter_no_change=4, alpha=0.0).fit(X, y)
        model().partial_fit(X, y)
    assert regressor.n_iter_ == 5  # the first epoch improves on nothing, four more stall


@pytest.mark.filterwarnings("error")
def test_infinite_n_iter_no_change_asks_for_max_iter_epochs_without_a_warning():
    regressor = model(tol=10.0, max_iter=30, n_iter_no_change=np.inf).fit(X, y)
    assert regressor.n_iter_ == 30


def test_warnings_point_at_the_call_of_fit():
    with pytest.warns(ConvergenceWarning) as record:
        model().fit(X, y)
    assert record[0].filename == __file__


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("standardize", [False, True])
def test_divergence_warns_what_to_change_and_keeps_the_first_weights(standardize):
    diverging = model(
        standardize=standardize, solver="sgd", learning_rate_init=1e20, max_grad_norm=None
    )
    with pytest.warns(ConvergenceWarning, match=r"learning_rate_init.*max_grad_norm") as record:
        diverged = diverging.fit(X, y)
    assert ("Use standardize=True" in str(record[0].message)) is not standardize
    assert diverged.n_iter_ == 0
    assert np.isnan(diverged.loss_)
    assert np.isfinite(diverged.predict(X)).all()
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)[0]
    untrained = core.init_parameters(diverged._architecture, random_state=seed)
    assert_array_equal(diverged._parameters, untrained)


def test_divergence_keeps_the_best_weights(monkeypatch):
    def worse(params):
        params[:] = 1.0
        return 1e6

    best = model(max_iter=2).fit(X, y)
    assert best.loss_curve_[1] < best.loss_curve_[0]
    replace_pass(monkeypatch, 3, worse)
    replace_pass(monkeypatch, 4, lambda params: np.nan)
    with pytest.warns(ConvergenceWarning, match="diverged in epoch 4"):
        diverged = model(max_iter=9).fit(X, y)
    assert_same_weights(diverged, best)
    assert diverged.n_iter_ == 3
    assert diverged._optimizer.n_steps == 0


def test_stalling_worse_than_predicting_zero_warns():
    with pytest.warns(
        ConvergenceWarning, match=r"worse than that of an output of 0.*learning_rate"
    ):
        regressor = model(learning_rate_init=50.0, max_iter=100, n_iter_no_change=3).fit(X, y)
    assert regressor.n_iter_ < 100


def test_stalling_worse_than_predicting_zero_keeps_the_best_weights(monkeypatch):
    def worse(params):
        params[:] = 1.0
        return 2e6

    def bad(params):
        params[:] = 0.5
        return 1e6

    replace_pass(monkeypatch, 1, bad)
    replace_pass(monkeypatch, 2, worse)
    with pytest.warns(ConvergenceWarning, match="worse than that of an output of 0"):
        regressor = model(n_iter_no_change=1).fit(X, y)
    assert (regressor._parameters == 0.5).all()


@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("loss", ALL_LOSSES, ids=str)
def test_stalling_is_judged_by_the_loss_of_zero_outputs(loss, return_sequences, monkeypatch):
    in_core = LOSSES.get(loss, loss) if isinstance(loss, str) else loss
    targets = suiting(loss, Y_STEPS if return_sequences else Y)
    weight = np.linspace(0.5, 2, N_SAMPLES)
    arch = core.Architecture(
        N_FEATURES, 1, n_outputs=in_core.n_outputs(2), return_sequences=return_sequences
    )
    zeros = np.zeros(core.n_parameters(arch), np.float32)
    of_zeros, _ = core.loss_and_gradient(
        zeros, X, targets, arch, loss=in_core, sample_weight=weight, lengths=LENGTHS
    )
    parameters = {"loss": loss, "return_sequences": return_sequences, "n_iter_no_change": 1}
    monkeypatch.setattr(_unchecked, "train", lambda *args, **options: of_zeros + 1e-3)
    with pytest.warns(ConvergenceWarning, match="worse than that of an output of 0"):
        plain(**parameters).fit(X, targets, weight, lengths=LENGTHS)
    monkeypatch.setattr(_unchecked, "train", lambda *args, **options: of_zeros - 1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain(**parameters).fit(X, targets, weight, lengths=LENGTHS)


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=str)
def test_training_gone_astray_ends_with_a_usable_network(loss):
    with pytest.warns(ConvergenceWarning):
        fitted = model(
            loss=loss, solver="sgd", learning_rate_init=300.0, max_grad_norm=None, max_iter=30
        ).fit(X, suiting(loss, Y))
    assert np.isfinite(fitted.predict(X.astype(np.float64))).all()


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize(
    ("bad_X", "bad_y", "parameters"),
    [
        (np.full_like(X, np.nan), y, {}),
        (X[:, :, :1], y[:-1], {}),
        (X, np.full_like(y, np.inf), {}),
        (X[:3], y[:3], {"early_stopping": True}),
    ],
)
def test_failing_fit_leaves_a_fitted_estimator_usable(bad_X, bad_y, parameters, warm_start):
    regressor = model(warm_start=warm_start).fit(X, y)
    before = copy.deepcopy(regressor)
    with pytest.raises(ValueError):
        regressor.set_params(**parameters).fit(bad_X, bad_y)
    assert_array_equal(regressor.predict(X), before.predict(X))
    assert regressor.n_features_in_ == before.n_features_in_
    assert regressor.loss_curve_ == before.loss_curve_


@pytest.mark.parametrize(("call", "failing_pass"), [("fit", 2), ("partial_fit", 1)])
def test_failure_within_training_leaves_a_fitted_estimator_usable(monkeypatch, call, failing_pass):
    regressor = model(warm_start=True, early_stopping=call == "fit").fit(X, y)
    before = copy.deepcopy(regressor)
    replace_pass(monkeypatch, failing_pass, raises(MemoryError))
    with pytest.raises(MemoryError):
        getattr(regressor, call)(X, y)
    assert_same_weights(regressor, before)
    assert regressor.loss_curve_ == before.loss_curve_
    assert regressor.validation_scores_ == before.validation_scores_
    monkeypatch.undo()
    assert_same_weights(getattr(regressor, call)(X, y), getattr(before, call)(X, y))
