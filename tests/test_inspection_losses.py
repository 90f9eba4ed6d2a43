"""LossCurveDisplay; what both displays refuse, and that they need matplotlib for drawing only."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.displays import GATES, X, X_flat, gates_of, model, wrapped, y
from numpy.testing import assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import pylstm
from pylstm import LSTMRegressor, SequenceScaler
from pylstm.inspection import LossCurveDisplay, LSTMGateDisplay


def test_loss_curve(plt, fitted):
    display = LossCurveDisplay.from_estimator(fitted)
    assert isinstance(display, LossCurveDisplay)
    assert_array_equal(display.loss_line_.get_xdata(), [1, 2])
    assert_array_equal(display.loss_line_.get_ydata(), fitted.loss_curve_)
    assert display.score_line_ is display.score_ax_ is None
    assert list(display.axes_) == [display.ax_]
    assert display.figure_ is display.ax_.figure
    best = np.argmin(fitted.loss_curve_)
    assert display.best_epoch == best + 1
    assert_array_equal(display.best_point_.get_offsets(), [[best + 1, fitted.loss_curve_[best]]])


def test_validation_scores_have_an_axis_of_their_own(plt):
    stopped = model(early_stopping=True, max_iter=5, learning_rate_init=0.05).fit(X, y)
    display = LossCurveDisplay.from_estimator(stopped, name="small")
    scores = stopped.validation_scores_
    assert list(display.axes_) == [display.ax_, display.score_ax_]
    assert display.score_line_.axes is display.score_ax_ is not display.ax_
    assert_array_equal(display.score_line_.get_xdata(), range(1, len(scores) + 1))
    assert_array_equal(display.score_line_.get_ydata(), scores)
    best = np.argmax(scores)
    assert scores[best] == stopped.best_validation_score_
    assert_array_equal(display.best_point_.get_offsets(), [[best + 1, scores[best]]])
    labels = [text.get_text() for text in display.score_ax_.get_legend().get_texts()]
    assert labels == [
        "small: training loss",
        "small: validation score",
        f"small: best epoch, {best + 1}",
    ]


def test_scores_of_the_last_epochs_only(plt):
    display = LossCurveDisplay(loss_curve=[4, 3, 2, 1], validation_scores=[0.5, 0.2]).plot()
    assert_array_equal(display.score_line_.get_xdata(), [3, 4])
    assert_array_equal(display.best_point_.get_offsets(), [[3, 0.5]])


def test_several_displays_in_one_picture(plt):
    figure, ax = plt.subplots()
    first = LossCurveDisplay(loss_curve=[2, 1], validation_scores=[0, 1], name="a").plot(ax=ax)
    assert first.ax_ is ax
    second = LossCurveDisplay(loss_curve=[3, 2], validation_scores=[1, 0], name="b").plot(
        ax=first.axes_
    )
    third = LossCurveDisplay(loss_curve=[3, 3]).plot(ax=first.axes_, name="c")
    assert second.score_ax_ is first.score_ax_
    assert len(figure.axes) == 2
    lines = [first.loss_line_, first.score_line_, second.loss_line_, second.score_line_]
    assert len({line.get_color() for line in [*lines, third.loss_line_]}) == 5
    labels = [text.get_text() for text in first.score_ax_.get_legend().get_texts()]
    assert {"a: training loss", "b: best epoch, 1", "c: training loss"} <= set(labels)


def test_epochs_without_a_figure(plt):
    scores = [np.nan, 0.3, np.nan]
    assert LossCurveDisplay(loss_curve=[3, 2, 1], validation_scores=scores).best_epoch == 2
    for curve in ([], [np.nan]):
        display = LossCurveDisplay(loss_curve=curve).plot()
        assert display.best_epoch is None
        assert display.best_point_ is None


def test_keywords_of_the_curves(plt):
    display = LossCurveDisplay(loss_curve=[2, 1], validation_scores=[0, 1])
    display.plot(loss_kw={"color": "black", "label": "mine"}, score_kw={"linewidth": 4})
    assert display.loss_line_.get_color() == "black"
    assert display.loss_line_.get_label() == "mine"
    assert display.score_line_.get_linewidth() == 4


# Both displays


@pytest.mark.parametrize(
    "draw",
    [
        lambda estimator: LSTMGateDisplay.from_estimator(estimator, X),
        LossCurveDisplay.from_estimator,
    ],
    ids=["gates", "loss"],
)
def test_estimators_that_cannot_be_drawn(plt, draw):
    for estimator in (
        model(),
        make_pipeline(SequenceScaler(), model()),
        TransformedTargetRegressor(model()),
        wrapped([SequenceScaler()], model()),
    ):
        with pytest.raises(NotFittedError):
            draw(estimator)
    ridge = Ridge().fit(X_flat, y)
    for estimator in (
        ridge,
        make_pipeline(StandardScaler(), ridge).fit(X_flat, y),
        wrapped([SequenceScaler()], model()).set_params(refit=False).fit(X, y),
    ):
        with pytest.raises(TypeError, match="No fitted LSTMRegressor or LSTMClassifier"):
            draw(estimator)
    for estimator in (LSTMRegressor, "lstm", None):
        with pytest.raises(TypeError):
            draw(estimator)


@pytest.mark.usefixtures("no_matplotlib")
def test_displays_ask_for_matplotlib(fitted):
    message = "{} requires matplotlib. You can install matplotlib with `pip install matplotlib`"
    gates = gates_of(fitted, X, 0)
    display = LSTMGateDisplay(
        sequence=X[0], **{name: getattr(gates, GATES[name]) for name in GATES}
    )
    for name, draw in {
        "LSTMGateDisplay.from_estimator": lambda: LSTMGateDisplay.from_estimator(fitted, X),
        "LSTMGateDisplay.plot": display.plot,
        "LossCurveDisplay.from_estimator": lambda: LossCurveDisplay.from_estimator(fitted),
        "LossCurveDisplay.plot": LossCurveDisplay(loss_curve=[1]).plot,
    }.items():
        with pytest.raises(ImportError) as error:
            draw()
        assert str(error.value) == message.format(name)


def test_import_leaves_matplotlib_alone():
    code = "import pylstm.inspection, sys; sys.exit('matplotlib' in sys.modules)"
    package_parent = str(Path(pylstm.__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], cwd=package_parent, check=True, timeout=600)
