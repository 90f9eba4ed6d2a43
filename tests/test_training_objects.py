"""Schedules, averages and callbacks: by themselves, and in the estimators that they are given to."""

import copy
import doctest
import inspect
import os
import pickle
import warnings
from dataclasses import FrozenInstanceError, dataclass
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import pylstm.training
from pylstm import LSTMRegressor, core
from pylstm.training import (
    EMA,
    SWA,
    Averaging,
    Checkpoint,
    CosineDecay,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    TimeLimit,
    TrainingCallback,
    call_all,
    check_callbacks,
)

SETTINGS = [
    StepDecay(every=3, factor=0.3),
    CosineDecay(warm_up=2.5, floor=0.1),
    ReduceOnPlateau(factor=0.5, patience=3, tol=1e-3, floor=0.2),
    EMA(decay=0.99),
    SWA(start=0.5),
    Checkpoint("model.joblib", every=2),
    TimeLimit(10.0),
]
SCHEDULES, AVERAGES, CALLBACKS = SETTINGS[:3], SETTINGS[3:5], SETTINGS[5:]
name_of = repr

rng = np.random.default_rng(0)
X = rng.normal(size=(45, 6, 2)).astype(np.float32)
y = (X[:, -1, 0] - 0.5 * X[:, -3, 1]).astype(np.float32)


def by_epoch(schedule, n_epochs, figures=(), n_planned=None):
    """The factor of each epoch, if each has one update and can look back on the figures before."""
    return [
        schedule.factors(np.array([float(e)]), n_planned or n_epochs, figures[:e]).item()
        for e in range(n_epochs)
    ]


# -- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", SETTINGS, ids=name_of)
def test_settings_are_values(settings):
    for twin in (
        copy.deepcopy(settings),
        pickle.loads(pickle.dumps(settings)),
        clone(settings, safe=False),
        eval(repr(settings)),
    ):
        assert twin == settings
        assert repr(twin) == repr(settings)
    for other in SETTINGS:
        assert (other == settings) == (other is settings)


@pytest.mark.parametrize("settings", SCHEDULES + AVERAGES, ids=name_of)
def test_schedules_and_averages_are_immutable_and_hashable(settings):
    assert hash(settings) == hash(copy.deepcopy(settings))
    with pytest.raises(FrozenInstanceError):
        settings.factor = 0.1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: StepDecay(every=0), ValueError, "every must be an integer of at least 1, got 0"),
        (
            lambda: StepDecay(every=2.0),
            TypeError,
            "every must be an integer of at least 1, got 2.0",
        ),
        (lambda: StepDecay(factor=0), ValueError, "factor must be a number more than 0 and at mos"),
        (lambda: StepDecay(factor=1.1), ValueError, "factor .* got 1.1"),
        (lambda: StepDecay(factor="half"), TypeError, "factor .* got 'half'"),
        (lambda: CosineDecay(warm_up=-1), ValueError, "warm_up must be .* not negative .* got -1"),
        (lambda: CosineDecay(warm_up=np.inf), ValueError, "warm_up must be .* finite, got inf"),
        (lambda: CosineDecay(warm_up=None), TypeError, "warm_up must be .* got None"),
        (lambda: CosineDecay(floor=1.5), ValueError, "floor must be a number between 0 and 1, got"),
        (
            lambda: ReduceOnPlateau(patience=0),
            ValueError,
            "patience must be an integer of at least",
        ),
        (lambda: ReduceOnPlateau(patience=1.5), TypeError, "patience must be an integer"),
        (lambda: ReduceOnPlateau(factor=np.nan), ValueError, "factor must be .* got nan"),
        (lambda: ReduceOnPlateau(tol=-1e-4), ValueError, "tol must be .* got -0.0001"),
        (lambda: ReduceOnPlateau(floor=-0.1), ValueError, "floor must be .* got -0.1"),
        (lambda: EMA(decay=1.0), ValueError, "decay must be .* less than 1, got 1.0"),
        (lambda: EMA(decay="slow"), TypeError, "decay must be .* got 'slow'"),
        (lambda: SWA(start=1), ValueError, "start must be .* less than 1, got 1"),
        (lambda: SWA(start=None), TypeError, "start must be .* got None"),
        (lambda: Checkpoint(3), TypeError, "path must be a str or an os.PathLike, got 3"),
        (lambda: Checkpoint("a", every=0), ValueError, "every must be an integer of at least 1"),
        (lambda: TimeLimit(0), ValueError, "seconds must be .* more than 0, got 0"),
        (lambda: TimeLimit("1s"), TypeError, "seconds must be .* got '1s'"),
    ],
)
def test_errors_say_what_was_given_and_what_is_wanted(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_numbers_of_numpy_are_taken():
    assert StepDecay(np.int64(3), np.float32(0.5)) == StepDecay(3, 0.5)


@pytest.mark.parametrize("base", [Schedule, Averaging])
def test_bases_leave_something_to_define(base):
    with pytest.raises(TypeError, match="abstract"):
        base()


def test_module_needs_neither_scikit_learn_nor_joblib():
    imported = {
        line.split()[1].split(".")[0]
        for line in inspect.getsource(pylstm.training).splitlines()
        if line.startswith(("import ", "from "))
    }
    assert not imported & {"sklearn", "joblib", "scipy", "xgboost"}


def test_examples_run():
    result = doctest.testmod(pylstm.training)
    assert result.attempted > 50
    assert result.failed == 0


# -- schedules ------------------------------------------------------------------------------------


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
    ids=name_of,
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


# -- averages -------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("averaging", AVERAGES, ids=name_of)
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


@pytest.mark.parametrize("averaging", AVERAGES, ids=name_of)
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


def problem(dtype=np.float64):
    arch = core.Architecture(2, 5)
    params = core.init_parameters(arch, dtype=dtype, random_state=0)
    return params, X.astype(dtype), y[:, np.newaxis].astype(dtype), arch


def optimizer_for(params, learning_rate=0.01):
    return core.Adam(len(params), params.dtype, learning_rate=learning_rate)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
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


# -- callbacks ------------------------------------------------------------------------------------


class Recorder(TrainingCallback):
    """Writes down each call; ends the training after so many epochs."""

    def __init__(self, n_epochs=np.inf):
        self.n_epochs = n_epochs
        self.calls = []

    def before_training(self, model):
        self.calls.append(("before_training",))

    def after_training(self, model):
        self.calls.append(("after_training",))

    def before_iteration(self, model, epoch, evals_log):
        self.calls.append(("before_iteration", epoch, copy.deepcopy(evals_log)))
        return False

    def after_iteration(self, model, epoch, evals_log):
        self.calls.append(("after_iteration", epoch, copy.deepcopy(evals_log)))
        return epoch + 1 >= self.n_epochs


def test_base_callback_does_nothing():
    callback = TrainingCallback()
    assert callback.before_training(None) is None
    assert callback.after_training(None) is None
    assert callback.before_iteration(None, 0, {}) is False
    assert callback.after_iteration(None, 0, {}) is False


def test_each_callback_is_called_whatever_the_others_answer():
    callbacks = [Recorder(1), Recorder(), Recorder()]
    assert call_all(callbacks, "before_training", None) is False
    assert call_all(callbacks, "before_iteration", None, 0, {}) is False
    assert call_all(callbacks, "after_iteration", None, 0, {"loss": [1.0]}) is True
    for callback in callbacks:
        assert [call[0] for call in callback.calls] == [
            "before_training", "before_iteration", "after_iteration",
        ]  # fmt: skip
    assert call_all([], "after_iteration", None, 0, {}) is False


def test_callbacks_are_checked():
    recorder = Recorder()
    assert check_callbacks(None) == ()
    assert check_callbacks([recorder]) == check_callbacks((recorder,)) == (recorder,)
    with pytest.raises(TypeError, match="must be a list of TrainingCallback or None, got <"):
        check_callbacks(recorder)
    with pytest.raises(TypeError, match=r"instances of pylstm.training.TrainingCallback, got 3\."):
        check_callbacks([recorder, 3])
    with pytest.raises(TypeError, match=r"Recorder.* \(a class: call it\)"):
        check_callbacks([Recorder])


def fake(content):
    return SimpleNamespace(content=content, callbacks=[lambda: "cannot be pickled"])


def test_checkpoint_writes_every_so_many_epochs_and_at_the_end(tmp_path):
    path = tmp_path / "model.joblib"
    callback = Checkpoint(path, every=3)
    callback.before_training(fake(None))
    for epoch in range(8):
        assert callback.after_iteration(fake(epoch), epoch, {}) is False
        if epoch < 2:
            assert not path.exists()
        else:
            assert joblib.load(path).content == (epoch + 1) // 3 * 3 - 1
    callback.after_training(fake("the last"))
    assert joblib.load(path).content == "the last"
    assert os.listdir(tmp_path) == ["model.joblib"]


def test_checkpoint_leaves_out_callbacks(tmp_path):
    model = fake(None)
    Checkpoint(tmp_path / "model.joblib").after_training(model)
    assert joblib.load(tmp_path / "model.joblib").callbacks is None
    assert len(model.callbacks) == 1


class CannotBePickled:
    def __reduce__(self):
        raise RuntimeError("not this one")


def test_checkpoint_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "model.joblib"
    callback = Checkpoint(str(path))
    callback.after_training(fake("old"))
    with pytest.raises(RuntimeError, match="not this one"):
        callback.after_training(fake([np.zeros(1000), CannotBePickled()]))
    assert joblib.load(path).content == "old"
    assert os.listdir(tmp_path) == ["model.joblib"]


def test_checkpoint_stays_where_the_training_began(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Checkpoint("model.joblib").before_training(None)
    Checkpoint("model.joblib").after_training(fake("model"))
    assert joblib.load(tmp_path / "model.joblib").content == "model"


def test_checkpoint_misses_its_directory_before_the_training(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"existing directory, got '.*model\.joblib'"):
        Checkpoint(tmp_path / "absent" / "model.joblib").before_training(None)


def test_time_limit(monkeypatch):
    now = 100.0
    monkeypatch.setattr(pylstm.training.time, "monotonic", lambda: now)
    callback = TimeLimit(10)
    callback.before_training(None)
    now = 109.9
    assert callback.after_iteration(None, 0, {}) is False
    assert callback == TimeLimit(10)
    now = 110.0
    assert callback.after_iteration(None, 1, {}) is True
    callback.before_training(None)  # of a warm start
    assert callback.after_iteration(None, 2, {}) is False


# -- in the estimator -----------------------------------------------------------------------------


def model(**parameters):
    """A small network that trains for eight epochs of three updates, on one thread."""
    defaults = {"hidden_size": 5, "batch_size": 16, "max_iter": 8, "n_iter_no_change": np.inf}
    return LSTMRegressor(**{**defaults, "random_state": 0, "n_jobs": 1, **parameters})


@pytest.fixture
def passes(monkeypatch):
    """What each call of core.train was given: copies, in order."""
    calls = []
    real_train = core.train

    def train(params, X, y, arch, optimizer, **options):
        call = {"params": params.copy(), "rates": np.copy(optimizer.learning_rate), **options}
        calls.append((call, (X, y, arch)))
        loss = real_train(params, X, y, arch, optimizer, **options)
        call["trained"] = params.copy()
        return loss

    monkeypatch.setattr(core, "train", train)
    return calls


def train_by_hand(passes, after_update=lambda params: None):
    """Repeat the recorded passes in calls of core.train for one batch each; the weights."""
    recorded = passes.copy()
    params = recorded[0][0]["params"].copy()
    optimizer = optimizer_for(params)
    for call, (X, y, arch) in recorded:
        rates = np.broadcast_to(call["rates"], 3)
        for rate, batch in zip(rates, np.split(call["order"], [16, 32]), strict=True):
            optimizer.learning_rate = rate
            core.train(
                params, X, y, arch, optimizer, order=batch, batch_size=16,
                max_grad_norm=call["max_grad_norm"],
            )  # fmt: skip
            after_update(params)
    return params


def predictions(params):
    return core.predict(params, X, core.Architecture(2, 5))[:, 0]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
def test_rates_of_a_schedule_reach_the_updates(schedule, passes):
    fitted = model(learning_rate=schedule, learning_rate_init=0.02).fit(X, y)
    assert len(passes) == 8
    figures = [-loss for loss in fitted.loss_curve_]
    for epoch, (call, _) in enumerate(passes):
        expected = schedule.rates(0.02, 3, epoch, 8, figures[:epoch])
        assert_array_equal(call["rates"], expected)
    assert_array_equal(fitted.predict(X), predictions(train_by_hand(passes)))


def test_plateaus_are_those_of_the_validation_score(passes):
    schedule = ReduceOnPlateau(patience=1, tol=1.0)
    fitted = model(learning_rate=schedule, early_stopping=True).fit(X, y)
    for epoch, (call, _) in enumerate(passes):
        expected = schedule.rates(
            0.003, len(call["rates"]), epoch, 8, fitted.validation_scores_[:epoch]
        )
        assert_array_equal(call["rates"], expected)
    assert passes[-1][0]["rates"][0] < 0.003 / 30


def test_schedule_of_a_user_trains(passes):
    fitted = model(learning_rate=Given((1.0, 0.5, 0.0))).fit(X, y)
    assert fitted.n_iter_ == 8
    assert_allclose(passes[3][0]["rates"], [0.003, 0.0015, 0])
    with pytest.raises(ValueError, match=r"Given\.factors must return 3 finite numbers"):
        model(learning_rate=Given((1.0,))).fit(X, y)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=name_of)
@pytest.mark.parametrize("averaging", [None, *AVERAGES], ids=name_of)
def test_a_row_of_partial_fits_equals_a_fit(schedule, averaging):
    parameters = {"learning_rate": schedule, "averaging": averaging}
    fitted = model(**parameters).fit(X, y)
    continued = model(**parameters)
    for _ in range(8):
        continued.partial_fit(X, y)
    assert_array_equal(continued.predict(X), fitted.predict(X))


def test_ema_is_the_average_after_each_update(passes):
    fitted = model(averaging=EMA(0.5)).fit(X, y)
    expected, n_updates = passes[0][0]["params"].copy(), 0

    def average(params):
        nonlocal n_updates
        t = n_updates - n_updates % 3
        expected[:] += (1 - min(0.5, (1 + t) / (10 + t))) * (params - expected)
        n_updates += 1

    raw = train_by_hand(passes, average)
    assert n_updates == 24
    assert_allclose(fitted.predict(X), predictions(expected), rtol=1e-4, atol=1e-6)
    assert not np.allclose(predictions(raw), predictions(expected), rtol=1e-3, atol=1e-5)


def test_swa_is_the_mean_over_the_last_epochs(passes):
    fitted = model(averaging=SWA(0.5)).fit(X, y)
    at_ends = np.array([call["trained"] for call, _ in passes])
    mean = at_ends[4:].mean(axis=0, dtype=np.float64).astype(np.float32)
    assert_allclose(fitted.predict(X), predictions(mean), rtol=1e-4, atol=1e-6)
    assert_array_equal(at_ends[-1], train_by_hand(passes))


@pytest.mark.parametrize("averaging", AVERAGES, ids=name_of)
def test_averages_do_not_change_the_course_of_the_training(averaging):
    assert model(averaging=averaging).fit(X, y).loss_curve_ == model().fit(X, y).loss_curve_


def test_swa_that_has_not_begun_leaves_the_weights():
    stopped = {"callbacks": [Recorder(3)]}
    averaged = model(averaging=SWA(0.5), **stopped).fit(X, y)
    assert_array_equal(averaged.predict(X), model(**stopped).fit(X, y).predict(X))


@pytest.mark.parametrize("averaging", AVERAGES, ids=name_of)
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


@pytest.mark.parametrize(
    ("name", "values"),
    [("learning_rate", ["constant", *SCHEDULES]), ("averaging", [None, *AVERAGES])],
)
def test_grid_search_takes_settings(name, values):
    search = GridSearchCV(model(max_iter=2), {name: values}, cv=2).fit(X, y)
    assert search.best_params_[name] in values
    copied = pickle.loads(pickle.dumps(search.best_estimator_))
    assert copied.get_params()[name] == search.best_params_[name]
    assert_array_equal(copied.predict(X), search.predict(X))


@pytest.mark.parametrize(
    "parameters",
    [
        {"learning_rate": "cosine"},
        {"learning_rate": StepDecay},
        {"averaging": 0.9},
        {"callbacks": 1},
    ],
    ids=repr,
)
def test_estimator_refuses_other_settings(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        model(**parameters).fit(X, y)


def test_estimator_refuses_what_is_no_callback():
    with pytest.raises(TypeError, match="callbacks must be instances of"):
        model(callbacks=[print]).fit(X, y)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_callbacks_are_called_in_turn_and_see_the_log(early_stopping):
    recorder = Recorder()
    fitted = model(callbacks=[recorder], max_iter=3, early_stopping=early_stopping).fit(X, y)
    log = {"loss": fitted.loss_curve_}
    if early_stopping:
        log["validation_score"] = fitted.validation_scores_
    expected = [("before_training",)]
    for epoch in range(3):
        for event, n_done in (("before_iteration", epoch), ("after_iteration", epoch + 1)):
            expected.append((event, epoch, {name: values[:n_done] for name, values in log.items()}))
    assert recorder.calls == [*expected, ("after_training",)]


@pytest.mark.parametrize("early_stopping", [False, True])
def test_callback_ends_the_training(early_stopping):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an end that was asked for is no failure to converge
        fitted = model(
            callbacks=[Recorder(3)], n_iter_no_change=1000, early_stopping=early_stopping
        ).fit(X, y)
    assert fitted.n_iter_ == len(fitted.loss_curve_) == 3
    if not early_stopping:
        assert_array_equal(fitted.predict(X), model(max_iter=3).fit(X, y).predict(X))


def test_callback_ends_the_training_before_an_epoch():
    class Before(TrainingCallback):
        def before_iteration(self, model, epoch, evals_log):
            return epoch == 2

    fitted = model(callbacks=[Before()]).fit(X, y)
    assert_array_equal(fitted.predict(X), model(max_iter=2).fit(X, y).predict(X))


class Predicting(TrainingCallback):
    """Predicts whenever it is called."""

    def __init__(self):
        self.predicted = []

    def after_iteration(self, model, epoch, evals_log):
        assert model.n_iter_ == epoch + 1
        self.predicted.append(model.predict(X))

    def after_training(self, model):
        self.predicted.append(model.predict(X))


@pytest.mark.parametrize("averaging", [None, *AVERAGES], ids=name_of)
def test_model_in_training_predicts_with_its_present_weights(averaging):
    callback = Predicting()
    fitted = model(callbacks=[callback], averaging=averaging).fit(X, y)
    assert len(callback.predicted) == 9
    assert_array_equal(callback.predicted[-1], fitted.predict(X))
    assert_array_equal(callback.predicted[-2], fitted.predict(X))
    # SWA has its plan from max_iter: other epochs than the last have another one.
    for epoch in range(8 if not isinstance(averaging, SWA) else 3):
        shorter = model(averaging=averaging, max_iter=epoch + 1)
        if isinstance(averaging, SWA):
            shorter.set_params(averaging=None)
        assert_array_equal(callback.predicted[epoch], shorter.fit(X, y).predict(X))


@pytest.mark.parametrize(
    "event", ["before_training", "before_iteration", "after_iteration", "after_training"]
)
def test_exception_in_a_callback_propagates_and_leaves_the_estimator(event):
    class Failing(TrainingCallback):
        pass

    def fail(self, *args):
        raise ZeroDivisionError("in the callback")

    setattr(Failing, event, fail)
    fitted = model(warm_start=True, averaging=EMA(0.9)).fit(X, y)
    before, losses = fitted.predict(X), fitted.loss_curve_.copy()
    fitted.set_params(callbacks=[Failing()])
    with pytest.raises(ZeroDivisionError, match="in the callback"):
        fitted.fit(X, y)
    assert_array_equal(fitted.predict(X), before)
    assert fitted.loss_curve_ == losses
    fitted.set_params(callbacks=None).fit(X, y)
    expected = model(averaging=EMA(0.9), max_iter=16).fit(X, y)
    assert_array_equal(fitted.predict(X), expected.predict(X))


@pytest.mark.parametrize("averaging", [None, *AVERAGES], ids=name_of)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_training_goes_on_from_a_checkpoint(averaging, early_stopping, tmp_path):
    """A process that was killed in the sixth epoch has left the fifth."""
    path = tmp_path / "model.joblib"
    settings = {"averaging": averaging, "early_stopping": early_stopping}

    class Killed(TrainingCallback):
        def before_iteration(self, model, epoch, evals_log):
            if epoch == 5:
                raise SystemExit

    with pytest.raises(SystemExit):
        model(callbacks=[Checkpoint(path), Killed()], **settings).fit(X, y)
    left = joblib.load(path)
    assert left.n_iter_ == 5
    assert left.predict(X).shape == (45,)
    left.set_params(warm_start=True, max_iter=3).fit(X, y)
    whole = model(**settings).fit(X, y)
    assert left.loss_curve_ == whole.loss_curve_
    if not isinstance(averaging, SWA):  # that would plan anew
        assert left.validation_scores_ == whole.validation_scores_


def test_checkpoint_holds_the_estimator_that_fit_returns(tmp_path):
    path = tmp_path / "model.joblib"
    fitted = model(callbacks=[Checkpoint(path, every=3)], early_stopping=True).fit(X, y)
    left = joblib.load(path)
    assert_array_equal(left.predict(X), fitted.predict(X))
    assert left.best_validation_score_ == fitted.best_validation_score_
    assert len(left.loss_curve_) == fitted.n_iter_


def test_time_limit_ends_a_fit():
    fitted = model(max_iter=10**6, callbacks=[TimeLimit(0.05)]).fit(X, y)
    assert 0 < fitted.n_iter_ < 10**6
