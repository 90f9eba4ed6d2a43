"""Ctrl-C, and callbacks that end a training at once: what is kept, and whom the interrupt reaches."""

import copy
import itertools
import os
import sys

import joblib
import numpy as np
import pytest
from helpers.estimators import (
    X,
    assert_same_fit,
    assert_same_weights,
    model,
    raises,
    replace_pass,
    standardised,
    y,
)
from helpers.training import Recorder
from numpy.testing import assert_array_equal
from programs import run_python
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import pylstm
from pylstm import LSTMForecaster, LSTMRegressor, SequenceScaler
from pylstm.training import EMA, Checkpoint, TrainingCallback


class Stops(TrainingCallback):
    """Ends the training before its first epoch."""

    def before_iteration(self, model, epoch, evals_log):
        return True


def test_interrupt_reaches_the_caller_and_keeps_the_last_finished_epoch(monkeypatch):
    two_epochs = model(max_iter=2).fit(X, y)
    replace_pass(monkeypatch, 3, raises(KeyboardInterrupt))
    regressor = model(max_iter=9)
    with pytest.raises(KeyboardInterrupt, match=r"interrupted after 2 epochs.*last finished epoch"):
        regressor.fit(X, y)
    assert_same_fit(regressor, two_epochs)
    assert regressor.n_iter_ == 2


def test_interrupt_keeps_the_best_epoch_with_early_stopping(monkeypatch):
    scores = iter([0.9, 0.3])
    one_epoch = model(early_stopping=True, max_iter=1).fit(X, y)
    monkeypatch.setattr(LSTMRegressor, "_validation_score", lambda *args: next(scores))
    replace_pass(monkeypatch, 3, raises(KeyboardInterrupt))
    regressor = model(early_stopping=True, max_iter=9)
    with pytest.raises(KeyboardInterrupt, match=r"interrupted after 2 epochs.*best finished epoch"):
        regressor.fit(X, y)
    assert_same_weights(regressor, one_epoch)


def test_interrupt_after_the_last_epoch_keeps_all_of_them():
    at_the_end = Recorder(event="after_training", error=KeyboardInterrupt)
    regressor = model(callbacks=[at_the_end])
    with pytest.raises(KeyboardInterrupt, match="after 3 epochs"):
        regressor.fit(X, y)
    assert_same_fit(regressor, model().fit(X, y))


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("call", ["fit", "partial_fit"])
@pytest.mark.parametrize("cause", ["pass", "callback", "stop"])
def test_end_before_the_first_epoch_leaves_the_estimator_as_it_was(
    cause, call, warm_start, monkeypatch
):
    regressor = model(warm_start=warm_start).fit(X, y)
    before = copy.deepcopy(regressor)
    expected = pytest.raises(KeyboardInterrupt, match="left as it was")
    if cause == "pass":
        replace_pass(monkeypatch, 1, raises(KeyboardInterrupt))
    elif cause == "callback":
        regressor.callbacks = [Recorder(event="before_training", error=KeyboardInterrupt)]
    else:
        regressor.callbacks = [Stops()]
        expected = pytest.warns(UserWarning, match=r"stopped by a callback.*left as it was")
    with expected:
        getattr(regressor, call)(X[:20], y[:20])
    monkeypatch.undo()
    regressor.callbacks = None
    assert_same_fit(regressor, before)
    assert vars(regressor).keys() == vars(before).keys()
    assert_same_fit(getattr(regressor, call)(X, y), getattr(before, call)(X, y))


def test_end_before_the_first_epoch_leaves_a_new_estimator_unfitted(monkeypatch):
    recorder = Recorder()
    stopped = model(callbacks=[Stops(), recorder])
    with pytest.warns(UserWarning, match="stopped by a callback"):
        assert stopped.fit(X, y) is stopped
    assert (
        recorder.notes[-1].event == "before_iteration"
    )  # no weights will be used: no after_training
    replace_pass(monkeypatch, 1, raises(KeyboardInterrupt))
    interrupted = model()
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(X, y)
    for regressor in (stopped, interrupted):
        with pytest.raises(NotFittedError):
            regressor.predict(X)


def test_end_before_the_first_epoch_leaves_the_checkpoint_of_a_trained_model(tmp_path, monkeypatch):
    regressor = model(callbacks=[Checkpoint(tmp_path / "model.joblib")]).fit(X, y)
    replace_pass(monkeypatch, 1, raises(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        model(callbacks=regressor.callbacks).fit(X, y)
    assert_same_fit(joblib.load(tmp_path / "model.joblib"), regressor)


def test_the_message_of_an_interrupt_is_left_to_who_raised_it(monkeypatch):
    class Alarm(KeyboardInterrupt):
        pass

    replace_pass(monkeypatch, 2, raises(Alarm("time is over")))
    with pytest.raises(Alarm, match="time is over"):
        model().fit(X, y)


def test_interrupt_ends_a_search(monkeypatch):
    begun = []

    class Begins(TrainingCallback):
        def before_training(self, model):
            begun.append(model)

    replace_pass(monkeypatch, 2, raises(KeyboardInterrupt))
    search = GridSearchCV(model(callbacks=[Begins()]), {"hidden_size": [2, 3, 4]}, n_jobs=1)
    with pytest.raises(KeyboardInterrupt):
        search.fit(X, y)
    assert len(begun) == 1
    assert not hasattr(search, "best_estimator_")


def test_pipeline_under_a_target_transformer_predicts_after_an_interrupt(monkeypatch):
    two_epochs = standardised(make_pipeline(SequenceScaler(), model(max_iter=2))).fit(X, y)
    replace_pass(monkeypatch, 3, raises(KeyboardInterrupt))
    interrupted = standardised(make_pipeline(SequenceScaler(), model(max_iter=9)))
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(X, y)
    assert_array_equal(interrupted.predict(X), two_epochs.predict(X))


@pytest.mark.parametrize(("number", "n_kept"), [(2, None), (4, None), (5, 1), (6, 2)])
def test_a_forecaster_keeps_what_its_last_fit_has_finished(monkeypatch, number, n_kept):
    series = np.sin(np.arange(90) / 4) + np.arange(90) / 30
    network = LSTMRegressor(3, max_iter=3, highway="all", loss="gaussian", n_iter_no_change=np.inf)
    forecaster = LSTMForecaster(6, 2, estimator=network, random_state=0)
    replace_pass(monkeypatch, number, raises(KeyboardInterrupt))  # of three before the last fit
    with pytest.raises(KeyboardInterrupt):
        forecaster.fit(series)
    if n_kept is None:
        with pytest.raises(NotFittedError):
            forecaster.forecast()
        return
    assert forecaster.model_.n_iter_ == n_kept
    assert forecaster.calibration_scores_
    before = forecaster.forecast()
    monkeypatch.undo()
    replace_pass(monkeypatch, number, raises(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        forecaster.backtest(2)
    assert_array_equal(forecaster.forecast(), before)


def interrupt(call, number):
    """Call, and interrupt it at the line of pylstm's that is the number-th to run; which function has it."""
    n_lines, function = 0, None

    def trace(frame, event, arg):
        nonlocal n_lines, function
        if not frame.f_code.co_filename.startswith(os.path.dirname(pylstm.__file__)):
            return None
        if event == "line":
            n_lines += 1
            if n_lines == number:
                function = frame.f_code.co_name
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    except KeyboardInterrupt:
        return function
    finally:
        sys.settrace(before)


@pytest.mark.parametrize(
    ("call", "parameters"),
    [("fit", {"averaging": EMA(0.9)}), ("fit", {"early_stopping": True}), ("partial_fit", {})],
)
def test_ctrl_c_at_any_line_leaves_the_model_before_or_all_finished_epochs(call, parameters):
    old = model(batch_size=45, max_iter=2).fit(X, y)
    settings = {"max_iter": 4, "n_iter_no_change": np.inf, "random_state": 1, **parameters}
    if call == "fit":
        possible = {
            n: model(batch_size=45, **settings | {"max_iter": n}).fit(X, y) for n in range(1, 5)
        }
    else:
        possible = {3: copy.copy(old).set_params(**settings).partial_fit(X, y)}
    # A handful of lines between steps that are whole.
    between = ("run", "_has_learned", "_until_ctrl_c", "_despite_ctrl_c")
    n_epochs, seen = 0, set()
    for number in itertools.count(1, 13):
        regressor = copy.copy(old).set_params(**settings)
        function = interrupt(lambda regressor=regressor: getattr(regressor, call)(X, y), number)
        if function is None:  # all lines have run
            break
        if (regressor._parameters == old._parameters).all():
            assert_same_fit(regressor, old)
            assert n_epochs == 0 or function in between
            continue
        n_epochs = regressor.n_iter_
        seen.add(n_epochs)
        assert_same_fit(regressor, possible[n_epochs])
        assert regressor.t_ == possible[n_epochs].t_
    assert seen == set(possible)


def test_one_ctrl_c_ends_a_search_in_another_process():
    output = run_python(
        """
        import os
        import signal
        import threading
        import warnings
        import numpy as np
        from sklearn.model_selection import GridSearchCV
        from helpers.estimators import X, model, y
        from pylstm.training import TrainingCallback

        has_begun = threading.Event()

        class Tells(TrainingCallback):
            def after_iteration(self, model, epoch, evals_log):
                has_begun.set()

        def interrupt():
            has_begun.wait()
            os.kill(os.getpid(), signal.SIGINT)

        warnings.simplefilter("ignore")
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
        endless = model(max_iter=10**7, n_iter_no_change=np.inf, callbacks=[Tells()])
        search = GridSearchCV(endless, {"hidden_size": [2, 3, 4]}, n_jobs=1)
        threading.Thread(target=interrupt).start()
        try:
            search.fit(X, y)
        except KeyboardInterrupt as interrupt:
            print(interrupt)
        """,
        timeout=600,
    )
    assert "interrupted after" in output
