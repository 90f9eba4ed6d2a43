"""Schedules: by themselves, beside PyTorch, and in the estimators."""

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from helpers.estimators import X, y
from helpers.training import (
    AVERAGES,
    SCHEDULES,
    model,
    optimizer_for,
    predictions,
    problem,
    train_by_hand,
)
from numpy.testing import assert_allclose, assert_array_equal

from pylstm import core
from pylstm.training import EMA, CosineDecay, ReduceOnPlateau, Schedule, StepDecay


def by_epoch(schedule, n_epochs, figures=(), n_planned=None):
    """The factor of each epoch, if each has one update and can look back on the figures before."""
    return [
        schedule.factors(np.array([float(e)]), n_planned or n_epochs, figures[:e]).item()
        for e in range(n_epochs)
    ]


def test_step_decay():
    epochs = np.array([0.0, 2.9, 3.0, 5.5, 6.0, 300.0])
    assert_allclose(
        StepDecay(every=3, factor=0.5).factors(epochs, 10, []), [1, 1, 0.5, 0.5, 0.25, 0.5**100]
    )


def test_cosine_decay_follows_the_formula_at_every_update():
    epochs = np.arange(80) / 8
    factors = CosineDecay(floor=0.2).factors(epochs, 10, [])
    assert_allclose(factors, 0.2 + 0.4 * (1 + np.cos(np.pi * epochs / 10)), rtol=1e-14)


@pytest.mark.parametrize("warm_up", [0.3, 1, 2.5, 4])
@pytest.mark.parametrize("n_updates", [1, 4, 7])
def test_warm_up_is_a_line_that_ends_at_one(warm_up, n_updates):
    schedule, n_epochs = CosineDecay(warm_up=warm_up, floor=0.1), 10
    factors = np.concatenate([schedule.rates(1.0, n_updates, e, n_epochs) for e in range(n_epochs)])
    starts = np.arange(n_epochs * n_updates) / n_updates
    warm = starts < warm_up
    assert_allclose(factors[warm], np.minimum((starts + 1 / n_updates) / warm_up, 1)[warm])
    progress = (starts - warm_up) / (n_epochs - warm_up)
    assert_allclose(factors[~warm], (0.1 + 0.45 * (1 + np.cos(np.pi * progress)))[~warm])
    assert (factors > 0).all()
    assert factors.max() <= 1


def test_cosine_decay_keeps_its_floor_beyond_the_epochs_planned():
    assert_allclose(CosineDecay(floor=0.1).factors(np.array([10.0, 11.5, 99.0]), 10, []), 0.1)
    assert_allclose(CosineDecay().factors(np.array([10.0, 11.5]), 10, []), 0, atol=1e-15)


@pytest.mark.parametrize("warm_up", [3, 5])
def test_warm_up_may_be_as_long_as_the_training(warm_up):
    factors = by_epoch(CosineDecay(warm_up=warm_up, floor=0.1), 7, n_planned=3)
    assert_allclose(factors, [*(np.arange(1, warm_up + 1) / warm_up), *[0.1] * (7 - warm_up)])


def test_plateau_reduces_after_patience_epochs_and_counts_anew():
    assert by_epoch(ReduceOnPlateau(patience=2), 8, [0.5] * 7) == [
        1,
        1,
        1,
        0.5,
        0.5,
        0.25,
        0.25,
        1 / 8,
    ]


def test_plateau_of_slow_but_steady_progress_is_none():
    """Progress is counted from the last best, not from the epoch before."""
    figures = (0.4e-4 * np.arange(50)).tolist()
    assert by_epoch(ReduceOnPlateau(patience=3, tol=1e-4), 50, figures) == [1.0] * 50
    assert by_epoch(ReduceOnPlateau(patience=2, tol=1e-4), 50, figures)[-1] < 1e-3


def test_plateau_of_equal_figures_is_one_at_no_tolerance():
    assert by_epoch(ReduceOnPlateau(patience=1, tol=0), 3, [1.0, 1.0]) == [1, 1, 0.5]


def test_plateau_takes_nan_for_no_progress():
    assert by_epoch(ReduceOnPlateau(patience=1), 4, [np.nan, 1.0, np.nan]) == [1, 0.5, 0.5, 0.25]


def test_plateau_stops_at_its_floor():
    assert by_epoch(ReduceOnPlateau(patience=1, floor=0.3), 4, [0.0] * 3) == [1, 1, 0.5, 0.3]


FIGURES = [0.1, 0.2, 0.2005, 0.2009, 0.2012, 0.1, np.nan, *[0.3] * 6, 0.4, *[0.1] * 4]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (StepDecay(3, 0.3), [1, 1, 1, 0.3, 0.3, 0.3, 0.09, 0.09]),
        (
            CosineDecay(floor=0.05),
            [
                1, 0.952960212253649, 0.8211576558828984, 0.6306974436292493, 0.41930255637075065,
                0.22884234411710158, 0.09703978774635096, 0.05,
            ],
        ),
        (
            CosineDecay(warm_up=4, floor=0.1),
            [
                0.25, 0.5, 0.75, 1, 1, 0.9397114317029974, 0.775, 0.55, 0.325,
                0.1602885682970026,
            ],
        ),
        (ReduceOnPlateau(0.5, 3, 1e-3, 0.2), [*[1] * 11, *[0.5] * 6, 0.25]),
    ],
    ids=repr,
)  # fmt: skip
def test_factors_agree_with_stored_ones_of_torch(schedule, expected):
    """The learning rates of PyTorch 2.13.0 from 1.0 on, see the live comparison below."""
    # Of the cosines, seven epochs without warm-up and six with it.
    n_planned = 10 if getattr(schedule, "warm_up", 0) else 7
    assert_allclose(by_epoch(schedule, len(expected), FIGURES, n_planned), expected, rtol=1e-14)


def rates_of_torch(make_scheduler, n_epochs, figures=None):
    """The learning rate of each epoch, from 1.0 on."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, rates = make_scheduler(torch.optim.lr_scheduler, optimizer), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a scheduler without an optimiser's step
        for epoch in range(n_epochs):
            rates.append(optimizer.param_groups[0]["lr"])
            scheduler.step(*([] if figures is None else [figures[epoch]]))
    return rates


@pytest.mark.parametrize("every", [1, 4, 7])
def test_step_decay_agrees_with_torch(every):
    expected = rates_of_torch(lambda all_of, optimizer: all_of.StepLR(optimizer, every, 0.7), 30)
    assert_allclose(by_epoch(StepDecay(every, 0.7), 30), expected, rtol=1e-12)


@pytest.mark.parametrize("floor", [0.0, 0.05])
def test_cosine_decay_agrees_with_torch(floor):
    expected = rates_of_torch(
        lambda all_of, optimizer: all_of.CosineAnnealingLR(optimizer, 30, eta_min=floor), 30
    )
    assert_allclose(by_epoch(CosineDecay(floor=floor), 30), expected, rtol=1e-10)


@pytest.mark.parametrize("warm_up", [2, 5])
def test_warm_up_agrees_with_torch(warm_up):
    def scheduler(all_of, optimizer):
        line = all_of.LinearLR(optimizer, 1 / warm_up, 1.0, warm_up - 1)
        cosine = all_of.CosineAnnealingLR(optimizer, 30 - warm_up)
        return all_of.SequentialLR(optimizer, [line, cosine], [warm_up])

    assert_allclose(
        by_epoch(CosineDecay(warm_up=warm_up), 30), rates_of_torch(scheduler, 30), rtol=1e-10
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("patience", [1, 2, 5])
@pytest.mark.parametrize("tol", [0.0, 1e-2, 0.2])
def test_plateau_agrees_with_torch(seed, patience, tol):
    figures = np.random.default_rng(seed).normal(size=60).cumsum() / 5
    figures[np.random.default_rng(seed).integers(60, size=5)] = np.nan
    figures = figures.tolist()

    def scheduler(all_of, optimizer):
        return all_of.ReduceLROnPlateau(
            optimizer, "max", 0.7, patience - 1, tol, "abs", min_lr=0.05, eps=0
        )

    expected = rates_of_torch(scheduler, 60, figures)
    assert expected[-1] < 1
    schedule = ReduceOnPlateau(0.7, patience, tol, floor=0.05)
    assert_allclose(by_epoch(schedule, 60, figures), expected, rtol=1e-12)


@dataclass(frozen=True)
class Given(Schedule):
    """A user's schedule: the factors that it was given, and what it was called with."""

    values: tuple

    def factors(self, epochs, n_epochs, figures):
        assert isinstance(epochs, np.ndarray)
        assert epochs.dtype == np.float64
        return self.values


def test_rates_are_the_factors_times_the_initial_rate():
    assert_array_equal(Given((1, 0.5, 0)).rates(0.01, 3, 0, 10), [0.01, 0.005, 0])
    calls = []

    class Spy(Schedule):
        def factors(self, epochs, n_epochs, figures):
            calls.append((epochs.tolist(), n_epochs, figures))
            return np.ones(4)

    Spy().rates(0.01, n_updates=4, epoch=7, n_epochs=9, figures=[1.0, 2.0])
    assert calls == [([7.0, 7.25, 7.5, 7.75], 9, [1.0, 2.0])]


@pytest.mark.parametrize(
    "values", [(1.0, 1.0), 1.0, (1.0, -0.1, 1.0), (1.0, np.nan, 1.0), (np.inf, 1.0, 1.0)], ids=repr
)
def test_rates_refuse_what_is_no_factor(values):
    with pytest.raises(ValueError, match=r"Given\.factors must return 3 finite numbers"):
        Given(values).rates(0.01, n_updates=3, epoch=0, n_epochs=10)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_rates_reach_the_updates_of_a_pass(schedule):
    """As many calls of core.train for one update each, with a number for a learning rate."""
    params, X, y, arch = problem()
    by_hand = params.copy()
    ours, theirs = optimizer_for(params), optimizer_for(params)
    order = np.arange(45)
    for epoch in range(4):
        rates = schedule.rates(0.01, 3, epoch, 4, [0.0] * epoch)
        ours.learning_rate = rates
        core.train(params, X, y, arch, ours, order=order, batch_size=15)
        for batch, rate in enumerate(rates):
            theirs.learning_rate = rate
            part = order[batch * 15 : (batch + 1) * 15]
            core.train(by_hand, X, y, arch, theirs, order=part, batch_size=15)
    assert_allclose(params, by_hand, rtol=1e-12)


# In the estimators


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_rates_of_a_schedule_reach_the_updates(schedule, train_calls):
    fitted = model(standardize=False, learning_rate=schedule, learning_rate_init=0.02).fit(X, y)
    assert len(train_calls) == 8
    figures = [-loss for loss in fitted.loss_curve_]
    for epoch, call in enumerate(train_calls):
        expected = schedule.rates(0.02, 3, epoch, 8, figures[:epoch])
        assert_array_equal(call["optimizer"].learning_rate, expected)
    assert_array_equal(fitted.predict(X), predictions(train_by_hand(train_calls)))


def test_plateaus_are_those_of_the_validation_score(train_calls):
    schedule = ReduceOnPlateau(patience=1, tol=1.0)
    fitted = model(learning_rate=schedule, early_stopping=True).fit(X, y)
    for epoch, call in enumerate(train_calls):
        expected = schedule.rates(
            0.003, len(call["optimizer"].learning_rate), epoch, 8, fitted.validation_scores_[:epoch]
        )
        assert_array_equal(call["optimizer"].learning_rate, expected)
    assert train_calls[-1]["optimizer"].learning_rate[0] < 0.003 / 30


def test_schedule_of_a_user_trains(train_calls):
    fitted = model(learning_rate=Given((1.0, 0.5, 0.0))).fit(X, y)
    assert fitted.n_iter_ == 8
    assert_allclose(train_calls[3]["optimizer"].learning_rate, [0.003, 0.0015, 0])
    with pytest.raises(ValueError, match=r"Given\.factors must return 3 finite numbers"):
        model(learning_rate=Given((1.0,))).fit(X, y)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@pytest.mark.parametrize("averaging", [None, *AVERAGES], ids=repr)
def test_a_row_of_partial_fits_equals_a_fit(schedule, averaging):
    parameters = {"learning_rate": schedule, "averaging": averaging}
    fitted = model(**parameters).fit(X, y)
    continued = model(**parameters)
    for _ in range(8):
        continued.partial_fit(X, y)
    assert_array_equal(continued.predict(X), fitted.predict(X))


def test_schedule_of_the_validation_score_is_restored_by_early_stopping():
    parameters = {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 12}
    scheduled = model(
        **parameters, learning_rate=ReduceOnPlateau(patience=1, tol=10.0), averaging=EMA(0.9)
    ).fit(X, y)
    constant = model(**parameters, averaging=EMA(0.9)).fit(X, y)
    assert scheduled.validation_scores_[:2] == constant.validation_scores_[:2]
    assert scheduled.validation_scores_[2:] != constant.validation_scores_[2:]
    assert scheduled.best_validation_score_ == max(scheduled.validation_scores_)


def test_learning_rate_of_zero_at_the_end_leaves_the_weights():
    two = model(max_iter=2).fit(X, y)
    dropped = model(learning_rate=StepDecay(every=2, factor=1e-30)).fit(X, y)
    assert_allclose(dropped._parameters, two._parameters, rtol=0, atol=1e-12)
