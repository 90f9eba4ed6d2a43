"""What verbose shows, wherever it is shown."""

import builtins
import io
import re
import sys

import pytest
from helpers.estimators import X, model, y


@pytest.fixture
def _without_tqdm(monkeypatch):
    real_import = builtins.__import__

    def import_(name, *args, **kwargs):
        if name == "tqdm":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", import_)


@pytest.mark.usefixtures("_without_tqdm")
def test_progress_is_a_line_for_each_epoch_without_tqdm(capsys):
    regressor = model(verbose=1, early_stopping=True).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for number, (line, loss) in enumerate(zip(lines, regressor.loss_curve_, strict=True), start=1):
        assert re.fullmatch(
            rf"epoch {number}/3, loss {re.escape(f'{loss:.4g}')}, "
            r"validation score -?\d\.\d{4}, \d+:\d\d left",
            line,
        )


def test_progress_is_a_bar_with_tqdm_also_outside_a_terminal(monkeypatch):
    pytest.importorskip("tqdm")
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    regressor = model(verbose=1, early_stopping=True).fit(X, y)
    last = stream.getvalue().split("\r")[-1]
    assert "3/3" in last
    assert f"loss={regressor.loss_:.4g}" in last
    assert f"validation score={regressor.validation_scores_[-1]:.4f}" in last


def test_progress_without_a_stream_breaks_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdout", None)
    assert model(verbose=1, tol=10.0, n_iter_no_change=1).fit(X, y).n_iter_ == 2


def test_progress_on_a_closed_stream_breaks_nothing(monkeypatch):
    pytest.importorskip("tqdm")
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    assert model(verbose=1, tol=10.0, n_iter_no_change=1).fit(X, y).n_iter_ == 2


def test_verbose_zero_shows_nothing(capsys):
    model(tol=10.0, n_iter_no_change=1).fit(X, y)
    assert capsys.readouterr() == ("", "")
