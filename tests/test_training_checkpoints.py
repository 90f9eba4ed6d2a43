"""Checkpoint and TimeLimit: by themselves, and in the estimators."""

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pytest
from helpers.estimators import X, y
from helpers.training import AVERAGES, model
from numpy.testing import assert_array_equal
from programs import run_python

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


def test_checkpoint_that_fails_warns_and_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "model.joblib"
    callback = Checkpoint(str(path))
    callback.after_training(fake("old"))
    with pytest.warns(UserWarning, match=r"model\.joblib' could not be written.*not this one"):
        callback.after_training(fake([np.zeros(1000), CannotBePickled()]))
    assert joblib.load(path).content == "old"
    assert os.listdir(tmp_path) == ["model.joblib"]


def test_what_cannot_be_pickled_is_noticed_before_the_training(tmp_path):
    with pytest.raises(RuntimeError, match="not this one"):
        Checkpoint(tmp_path / "model.joblib").before_training(fake(CannotBePickled()))
    assert os.listdir(tmp_path) == []


def test_checkpoint_stays_where_the_training_began(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Checkpoint("model.joblib").before_training(fake(None))
    Checkpoint("model.joblib").after_training(fake("model"))
    assert joblib.load(tmp_path / "model.joblib").content == "model"


def test_checkpoint_misses_its_directory_before_the_training(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"existing directory, got '.*model\.joblib'"):
        Checkpoint(tmp_path / "absent" / "model.joblib").before_training(None)


def test_checkpoint_refuses_a_folder_or_a_device_before_the_training(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a directory"):
        Checkpoint(tmp_path).before_training(fake(None))
    with pytest.raises(OSError, match="is a device"):
        Checkpoint(os.devnull).before_training(fake(None))


@pytest.mark.skipif(sys.platform == "win32", reason="permissions of POSIX")
def test_checkpoint_misses_its_permission_before_the_training(tmp_path):
    tmp_path.chmod(0o555)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("may write everywhere")
        with pytest.raises(PermissionError):
            Checkpoint(tmp_path / "model.joblib").before_training(fake(None))
    finally:
        tmp_path.chmod(0o755)


def test_a_trial_before_the_training_leaves_the_file_of_the_last_one(tmp_path):
    Checkpoint(tmp_path / "model.joblib").after_training(fake("old"))
    Checkpoint(tmp_path / "model.joblib").before_training(fake("new"))
    assert joblib.load(tmp_path / "model.joblib").content == "old"
    assert os.listdir(tmp_path) == ["model.joblib"]


@pytest.mark.skipif(sys.platform == "win32", reason="links and permissions of POSIX")
def test_checkpoint_keeps_a_link_and_permissions(tmp_path):
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "model.joblib"
    target.parent.mkdir()
    link.symlink_to(target)
    callback = Checkpoint(link)
    callback.before_training(fake(None))
    callback.after_training(fake("first"))
    assert joblib.load(target).content == "first"
    target.chmod(0o600)
    callback.after_training(fake("second"))
    assert link.is_symlink()
    assert joblib.load(target).content == "second"
    assert target.stat().st_mode & 0o777 == 0o600
    assert os.listdir(target.parent) == ["target"]


def test_checkpoint_is_on_the_disk_before_it_takes_the_place_of_the_old_one(tmp_path, monkeypatch):
    events = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor):
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        events.append("flush directory" if is_directory else "flush file")
        real_fsync(descriptor)

    def replace(source, target):
        events.append("replace")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    Checkpoint(tmp_path / "model.joblib").after_training(fake(None))
    directory = ["flush directory"] if hasattr(os, "O_DIRECTORY") else []
    assert events == ["flush file", "replace", *directory]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_what_a_killed_process_has_left_is_removed_but_not_what_a_living_one_writes(tmp_path):
    """Two processes stop in the middle of a write; one of them is killed."""
    path = tmp_path / "model.joblib"
    code = f"""
        import time
        from types import SimpleNamespace
        from pylstm.training import Checkpoint

        class Waits:
            def __reduce__(self):
                print("writing", flush=True)
                time.sleep(60)

        Checkpoint({str(path)!r}).after_training(SimpleNamespace(content=Waits()))
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=Path(__file__).parent,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == b"writing\n"
        mine = tmp_path / "model.joblib.of-mine.tmp"
        mine.touch()
        assert len(os.listdir(tmp_path)) == 3
        Checkpoint(path).before_training(fake(None))
        assert len(os.listdir(tmp_path)) == 3
        processes[0].kill()
        processes[0].wait()
        Checkpoint(path).before_training(fake(None))
        assert len(os.listdir(tmp_path)) == 2
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    Checkpoint(path).before_training(fake(None))
    assert os.listdir(tmp_path) == [mine.name]


def test_time_limit(monkeypatch):
    now = 100.0
    monkeypatch.setattr(pylstm.training.time, "monotonic", lambda: now)
    callback, regressor, other = TimeLimit(10), model(), model()
    callback.before_training(regressor)
    now = 109.9
    assert callback.after_iteration(regressor, 0, {}) is False
    now = 110.0
    assert callback.after_iteration(regressor, 1, {}) is True
    callback.before_training(other)  # a limit may be that of several trainings at a time
    assert callback.after_iteration(other, 0, {}) is False
    assert callback.after_iteration(regressor, 1, {}) is True
    callback.before_training(regressor)  # of a warm start
    assert callback.after_iteration(regressor, 2, {}) is False
    assert vars(callback) == {"seconds": 10}


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


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_disk_that_becomes_full_costs_the_checkpoints_not_the_training(tmp_path):
    """A process may no longer write files of more than a kilobyte from the third epoch on."""
    output = run_python(
        f"""
        import resource
        import warnings
        import joblib
        import numpy as np
        from helpers.estimators import X, model, y
        from pylstm.training import Checkpoint, TrainingCallback

        path = {str(tmp_path / "model.joblib")!r}

        class Fills(TrainingCallback):
            def before_iteration(self, model, epoch, evals_log):
                if epoch == 2:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

        with warnings.catch_warnings(record=True) as record:
            warnings.simplefilter("always")
            fitted = model(
                max_iter=4, n_iter_no_change=np.inf, callbacks=[Checkpoint(path), Fills()]
            ).fit(X, y)
        assert len(record) == 3, record  # of the third epoch, the fourth, and the end
        assert {{warning.filename for warning in record}} == {{"<string>"}}
        print(record[0].message)
        assert fitted.n_iter_ == 4
        assert joblib.load(path).n_iter_ == 2
        try:
            model(callbacks=[Checkpoint(path)]).fit(X, y)
        except OSError as error:
            print("at once:", error)
        """
    )
    assert "could not be written" in output
    assert "at once: " in output
    assert os.listdir(tmp_path) == ["model.joblib"]


def test_time_limit_ends_a_fit():
    fitted = model(max_iter=10**6, callbacks=[TimeLimit(0.05)]).fit(X, y)
    assert 0 < fitted.n_iter_ < 10**6
