"""Averages of weights: by themselves, beside PyTorch, and in the estimators."""

import copy
import pickle

import numpy as np
import pytest
from helpers.estimators import X, y
from helpers.training import (
    AVERAGES,
    Recorder,
    model,
    optimizer_for,
    predictions,
    problem,
    train_by_hand,
)
from numpy.testing import assert_allclose, assert_array_equal

from pylstm import core
from pylstm.training import EMA, SWA


def random_walk(n_steps, dtype=np.float64):
    return np.random.default_rng(0).normal(size=(n_steps, 7)).cumsum(axis=0).astype(dtype)


def average_over(averaging, walk, n_updates, n_planned=None, start=None):
    """The states of an average over epochs of `n_updates` steps of a walk, one after each."""
    state = averaging.begin(np.zeros_like(walk[0]) if start is None else start)
    n_epochs = len(walk) // n_updates
    states = []
    for epoch in range(n_epochs):
        average = state.for_pass(n_updates)
        for parameters in walk[epoch * n_updates : (epoch + 1) * n_updates]:
            if average is not None:  # what core.train does
                average[0][:] += (1 - average[1]) * (parameters - average[0])
        state.after_epoch(parameters, epoch, n_planned or n_epochs)
        states.append(copy.deepcopy(state))
    return states


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ema_follows_the_formula(dtype):
    walk = random_walk(60, dtype)
    start = np.full(7, 3.0, dtype)
    expected = start.astype(np.float64)
    states = average_over(EMA(0.8), walk, 5, start=start)
    for t, parameters in enumerate(walk):
        t_epoch = t - t % 5
        decay = min(0.8, (1 + t_epoch) / (10 + t_epoch))
        expected = decay * expected + (1 - decay) * parameters
        if t % 5 == 4:
            averaged = states[t // 5].parameters
            assert averaged.dtype == dtype
            assert_allclose(averaged, expected, rtol=1e-5 if dtype == np.float32 else 1e-12)


def test_ema_of_constant_weights_is_these_weights():
    """No bias towards zero, whatever the number of updates."""
    weights = np.full(7, 2.5)
    for state in average_over(EMA(0.999), np.tile(weights, (20, 1)), 4, start=weights):
        assert_array_equal(state.parameters, weights)


def test_ema_forgets_the_first_weights():
    """Of 70 updates a decay of 0.999 alone would leave 93 % of them."""
    states = average_over(EMA(0.999), np.zeros((70, 1)), 7, start=np.ones(1))
    assert states[-1].parameters < 1e-6


def test_average_starts_from_a_copy():
    weights = np.ones(3)
    array, _ = EMA().begin(weights).for_pass(1)
    array[:] = 0
    assert_array_equal(weights, 1)


@pytest.mark.parametrize("averaging", AVERAGES, ids=repr)
def test_nothing_is_averaged_before_the_first_update(averaging):
    state = averaging.begin(np.ones(3))
    assert state.settings == averaging
    assert state.parameters is None
    state.for_pass(5)
    assert state.parameters is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("start", "n_epochs", "first"),
    [(0, 5, 0), (0.75, 8, 6), (0.75, 50, 38), (0.75, 1, 0), (0.99, 10, 9), (0.55, 100, 55)],
)
def test_swa_is_the_mean_of_the_last_epochs(start, n_epochs, first, dtype):
    walk = random_walk(n_epochs * 2, dtype)
    states = average_over(SWA(start), walk, 2)
    at_ends = walk[1::2]
    for epoch, state in enumerate(states):
        if epoch < first:
            assert state.parameters is None
        else:
            expected = at_ends[first : epoch + 1].mean(axis=0, dtype=np.float64).astype(dtype)
            assert state.parameters.dtype == dtype
            assert_allclose(state.parameters, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("start", "first"), [(0, 0), (0.5, 5), (0.99, 9)])
def test_swa_of_a_warm_start_averages_its_last_epochs(start, first):
    walk = random_walk(20)
    state = average_over(SWA(start), walk[:10], 1)[-1]
    for epoch in range(10):
        state.after_epoch(walk[10 + epoch], epoch, n_epochs=10)
        assert (state.parameters is None) == (epoch < first)
    assert_allclose(state.parameters, walk[10 + first :].mean(axis=0))


@pytest.mark.parametrize(("start", "first"), [(0, 0), (0.5, 5), (0.99, 9)])
def test_swa_of_a_row_of_partial_fits_goes_on_beyond_the_epochs_planned(start, first):
    walk = random_walk(20)
    state = SWA(start).begin(walk[0])
    for epoch in range(20):
        state.after_epoch(walk[epoch], epoch, n_epochs=max(10, epoch + 1))
    assert_allclose(state.parameters, walk[first:].mean(axis=0))


@pytest.mark.parametrize("averaging", AVERAGES, ids=repr)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_of_an_average_continue_it_apart(averaging, duplicate):
    walk = random_walk(12)
    whole = average_over(averaging, walk, 1)
    original = whole[7]
    kept = original.parameters.copy()
    state = duplicate(original)
    for epoch in range(8, 12):
        average = state.for_pass(1)
        if average is not None:
            average[0][:] += (1 - average[1]) * (walk[epoch] - average[0])
        state.after_epoch(walk[epoch], epoch, 12)
    assert_array_equal(state.parameters, whole[-1].parameters)
    assert_array_equal(original.parameters, kept)


@pytest.mark.parametrize("kind", ["swa", "ema"])
def test_averages_agree_with_torch(kind):
    torch = pytest.importorskip("torch")
    utilities = torch.optim.swa_utils
    walk = random_walk(30)
    model = torch.nn.Linear(7, 1, bias=False, dtype=torch.float64)
    decay = 0.08  # less than the first of those that rise
    averaging = SWA(0) if kind == "swa" else EMA(decay)
    average_of = None if kind == "swa" else utilities.get_ema_multi_avg_fn(decay)
    averaged = utilities.AveragedModel(model, multi_avg_fn=average_of)
    # PyTorch's average starts at the weights of its first update.
    start = walk[0]
    for parameters, state in zip(walk, average_over(averaging, walk, 1, start=start), strict=True):
        with torch.no_grad():
            model.weight.copy_(torch.from_numpy(parameters))
        averaged.update_parameters(model)
        assert_allclose(state.parameters, averaged.module.weight[0].detach().numpy(), rtol=1e-12)


def test_ema_is_taken_after_each_update_of_a_pass():
    params, X, y, arch = problem()
    by_hand, state = params.copy(), EMA(0.3).begin(params)
    ours, theirs = optimizer_for(params), optimizer_for(params)
    expected = params.copy()
    order = np.arange(45)
    for epoch in range(4):
        core.train(params, X, y, arch, ours, order=order, batch_size=15, average=state.for_pass(3))
        state.after_epoch(params, epoch, 4)
        decay = min(0.3, (1 + 3 * epoch) / (10 + 3 * epoch))
        for batch in range(3):
            part = order[batch * 15 : (batch + 1) * 15]
            core.train(by_hand, X, y, arch, theirs, order=part, batch_size=15)
            expected += (1 - decay) * (by_hand - expected)
        assert_allclose(state.parameters, expected, rtol=1e-10)
    assert not np.allclose(expected, params, rtol=1e-3)


# In the estimators


def test_ema_is_the_average_after_each_update(train_calls):
    fitted = model(standardize=False, averaging=EMA(0.5)).fit(X, y)
    expected, n_updates = train_calls[0]["params"].copy(), 0

    def average(params):
        nonlocal n_updates
        t = n_updates - n_updates % 3
        expected[:] += (1 - min(0.5, (1 + t) / (10 + t))) * (params - expected)
        n_updates += 1

    raw = train_by_hand(train_calls, average)
    assert n_updates == 24
    assert_allclose(fitted.predict(X), predictions(expected), rtol=1e-4, atol=1e-6)
    assert not np.allclose(predictions(raw), predictions(expected), rtol=1e-3, atol=1e-5)


def test_swa_is_the_mean_over_the_last_epochs(train_calls):
    fitted = model(standardize=False, averaging=SWA(0.5)).fit(X, y)
    at_ends = np.array([call["trained"] for call in train_calls])
    mean = at_ends[4:].mean(axis=0, dtype=np.float64).astype(np.float32)
    assert_allclose(fitted.predict(X), predictions(mean), rtol=1e-4, atol=1e-6)
    assert_array_equal(at_ends[-1], train_by_hand(train_calls))


@pytest.mark.parametrize("averaging", AVERAGES, ids=repr)
def test_averages_do_not_change_the_course_of_the_training(averaging):
    assert model(averaging=averaging).fit(X, y).loss_curve_ == model().fit(X, y).loss_curve_


def test_swa_that_has_not_begun_leaves_the_weights():
    stopped = {"callbacks": [Recorder(stop=[2])]}
    averaged = model(averaging=SWA(0.5), **stopped).fit(X, y)
    assert_array_equal(averaged.predict(X), model(**stopped).fit(X, y).predict(X))


@pytest.mark.parametrize("averaging", AVERAGES, ids=repr)
def test_the_validation_score_is_that_of_the_average(averaging):
    fitted = model(averaging=averaging, early_stopping=True).fit(
        X[:30], y[:30], X_val=X[30:], y_val=y[30:]
    )
    assert fitted.score(X[30:], y[30:]) == pytest.approx(fitted.best_validation_score_, abs=1e-6)
    assert fitted.best_validation_score_ == max(fitted.validation_scores_)


def test_warm_start_continues_an_ema():
    whole = model(averaging=EMA(0.9)).fit(X, y)
    halves = model(averaging=EMA(0.9), warm_start=True, max_iter=4).fit(X, y).fit(X, y)
    assert_array_equal(halves.predict(X), whole.predict(X))
