"""Callbacks: by themselves, and what they may do to a training."""

import copy
import pickle
import threading
import warnings

import pytest
from helpers.estimators import X, assert_same_fit, y
from helpers.training import AVERAGES, Recorder, model
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV

from pylstm import LSTMRegressor
from pylstm.training import EMA, SWA, StepDecay, TrainingCallback, call_all, check_callbacks


def test_base_callback_does_nothing():
    callback = TrainingCallback()
    assert callback.before_training(None) is None
    assert callback.after_training(None) is None
    assert callback.before_iteration(None, 0, {}) is False
    assert callback.after_iteration(None, 0, {}) is False


def test_each_callback_is_called_whatever_the_others_answer():
    callbacks = [Recorder(stop=[0]), Recorder(), Recorder()]
    assert call_all(callbacks, "before_training", None) is False
    assert call_all(callbacks, "before_iteration", None, 0, {}) is False
    assert call_all(callbacks, "after_iteration", None, 0, {"loss": [1.0]}) is True
    for callback in callbacks:
        assert [note.event for note in callback.notes] == [
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


# In the estimators


@pytest.mark.parametrize("early_stopping", [False, True])
def test_callbacks_are_called_in_turn_and_see_the_log(early_stopping):
    recorder = Recorder()
    fitted = model(callbacks=[recorder], max_iter=3, early_stopping=early_stopping).fit(X, y)
    log = {"loss": fitted.loss_curve_}
    if early_stopping:
        log["validation_score"] = fitted.validation_scores_
    expected = [("before_training", None, None)]
    for epoch in range(3):
        for event, n_done in (("before_iteration", epoch), ("after_iteration", epoch + 1)):
            expected.append((event, epoch, {name: values[:n_done] for name, values in log.items()}))
    noted = [(note.event, note.epoch, note.log) for note in recorder.notes]
    assert noted == [*expected, ("after_training", None, None)]


@pytest.mark.parametrize("early_stopping", [False, True])
def test_callback_ends_the_training(early_stopping):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an end that was asked for is no failure to converge
        fitted = model(
            callbacks=[Recorder(stop=[2])], n_iter_no_change=1000, early_stopping=early_stopping
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


@pytest.mark.parametrize("averaging", [None, *AVERAGES], ids=repr)
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


def test_epochs_of_callbacks_count_anew_in_a_warm_start_and_on_in_partial_fit():
    def epochs(recorder):
        return [note.epoch for note in recorder.notes if note.event == "after_iteration"]

    warm = Recorder()
    regressor = model(warm_start=True, callbacks=[warm], max_iter=2).fit(X, y).fit(X, y)
    assert epochs(warm) == [0, 1, 0, 1]
    assert [note.n_iter for note in warm.notes if note.event == "after_iteration"] == [1, 2, 3, 4]
    assert regressor.callbacks == [warm]
    parts = Recorder()
    regressor = model(callbacks=[parts])
    for _ in range(3):
        regressor.partial_fit(X, y)
    assert epochs(parts) == [0, 1, 2]


def test_callback_that_ends_the_training_leaves_the_best_weights_of_early_stopping(monkeypatch):
    scores = iter([0.2, 0.9, 0.3, 0.2, 0.9])
    monkeypatch.setattr(LSTMRegressor, "_validation_score", lambda *args: next(scores))
    stopped = model(early_stopping=True, callbacks=[Recorder(stop=[2])], max_iter=9).fit(X, y)
    assert (stopped.n_iter_, stopped.best_validation_score_) == (3, 0.9)
    two = model(early_stopping=True, max_iter=2).fit(X, y)
    assert_array_equal(stopped._parameters, two._parameters)


@pytest.mark.parametrize("averaging", [None, EMA(0.9)], ids=str)
@pytest.mark.parametrize("call", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    "event", ["before_training", "before_iteration", "after_iteration", "after_training"]
)
def test_exception_in_a_callback_leaves_the_estimator_as_it_was(event, call, averaging):
    regressor = model(warm_start=True, averaging=averaging, dropout=0.2, max_iter=2).fit(X, y)
    twin = copy.deepcopy(regressor)
    at = 0 if call == "fit" else 2
    failing = Recorder(event=event, error=RuntimeError("by the callback"), at=at)
    with pytest.raises(RuntimeError, match="by the callback"):
        getattr(regressor.set_params(callbacks=[failing]), call)(X, y)
    assert_same_fit(regressor, twin)
    assert regressor.n_iter_ == 2
    regressor.set_params(callbacks=None)
    assert_same_fit(getattr(regressor, call)(X, y), getattr(twin, call)(X, y))


@pytest.mark.parametrize("averaging", [None, EMA(0.9), SWA(0.0)], ids=str)
@pytest.mark.parametrize(("event", "n_epochs"), [("before_iteration", 2), ("after_iteration", 3)])
def test_interrupt_in_a_callback_keeps_the_last_finished_epoch(event, n_epochs, averaging):
    interrupting = Recorder(event=event, error=KeyboardInterrupt, at=2)
    interrupted = model(averaging=averaging, callbacks=[interrupting], max_iter=9)
    with pytest.raises(KeyboardInterrupt, match=f"interrupted after {n_epochs} epochs"):
        interrupted.fit(X, y)
    assert_same_fit(interrupted, model(averaging=averaging, max_iter=n_epochs).fit(X, y))
    assert interrupting.notes[-1] == ("after_training", None, n_epochs, None)


class Changing(TrainingCallback):
    """Sets parameters of the model at an event."""

    def __init__(self, event, **parameters):
        self.event, self.parameters = event, parameters

    def _change(self, event, model):
        if event == self.event:
            model.set_params(**self.parameters)
            model.seen_ = event

    def before_training(self, model):
        self._change("before_training", model)

    def before_iteration(self, model, epoch, evals_log):
        self._change("before_iteration", model)
        return False

    def after_iteration(self, model, epoch, evals_log):
        self._change("after_iteration", model)
        return False


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("event", ["before_training", "before_iteration", "after_iteration"])
def test_training_goes_by_the_parameters_it_began_with(event, early_stopping):
    """A batch_size of 0 divided by zero, and other parameters would have half of an effect."""
    settings = {"early_stopping": early_stopping, "dropout": 0.1}
    changing = Changing(
        event, hidden_size=7, num_layers=0, batch_size=0, learning_rate=None, learning_rate_init=9.0,
        max_iter=1, dropout=0.0, dtype="float64", loss="gaussian", missing="mask", solver="sgd",
        return_sequences=True, callbacks=[],
    )  # fmt: skip
    fitted = model(callbacks=[changing], **settings).fit(X, y)
    assert_same_fit(fitted, model(**settings).fit(X, y))
    assert fitted.get_params() == model(callbacks=[changing], **settings).get_params()
    assert fitted.seen_ == event  # what else a callback leaves with the model is kept


def test_callbacks_are_pickled_with_their_estimator_and_copied_by_searches():
    recorder = Recorder()
    regressor = model(callbacks=[recorder], averaging=EMA(0.5), learning_rate=StepDecay(1)).fit(
        X, y
    )
    restored = pickle.loads(pickle.dumps(regressor))
    assert restored.callbacks[0].notes == recorder.notes
    assert_same_fit(restored.partial_fit(X, y), regressor.partial_fit(X, y))
    n_notes = len(recorder.notes)
    GridSearchCV(regressor, {"hidden_size": [2, 3]}, cv=2, error_score="raise").fit(X, y)
    assert len(recorder.notes) == n_notes


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_callback_need_not_allow_copies_unless_a_tool_copies_it(call):
    recorder = Recorder()
    recorder.lock = threading.Lock()
    regressor = getattr(model(callbacks=[recorder]), call)(X, y)
    assert regressor.callbacks[0] is recorder
    assert recorder.notes[-1].event == "after_training"
