"""Checkpoint and TimeLimit: by themselves, and in the estimators."""

import os
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
from helpers.estimators import X, y
from helpers.training import AVERAGES, model
from numpy.testing import assert_array_equal

import pylstm.training
from pylstm.training import SWA, Checkpoint, TimeLimit, TrainingCallback


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


# In the estimators


@pytest.mark.parametrize("averaging", [None, *AVERAGES], ids=repr)
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
