"""AttributionDisplay draws what integrated and expected gradients say."""

import numpy as np
import pytest
from helpers.displays import N_SAMPLES, N_TIMESTEPS, X, lengths, model, wrapped, y
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import StandardScaler

from pylstm import LSTMClassifier, SequenceScaler
from pylstm.inspection import AttributionDisplay, expected_gradients, integrated_gradients


def heat(display):
    mesh = display.heatmap_
    rows, columns = np.subtract(mesh.get_coordinates().shape[:2], 1)
    return np.asarray(mesh.get_array()).reshape(rows, columns).T


def test_contributions_are_drawn_as_they_are(plt, fitted):
    attributions = integrated_gradients(fitted, X)
    display = AttributionDisplay.from_estimator(fitted, X, sample=3)
    assert isinstance(display, AttributionDisplay)
    assert_allclose(heat(display), attributions.values[3], atol=1e-9)
    assert [line.get_ydata().tolist() for line in display.lines_] == X[3].T.tolist()
    widths = [bar.get_width() for bar in display.feature_bars_]
    assert_allclose(widths, attributions.values[3].sum(axis=0), atol=1e-9)
    assert_allclose(display.prediction, fitted.predict(X)[3], rtol=1e-5, atol=1e-6)
    assert display.axes_.shape == (2, 2)
    display.figure_.draw_without_rendering()
    again = AttributionDisplay.from_attributions(attributions, sample=3, ax=display.axes_)
    assert again.figure_ is display.figure_
    assert_allclose(heat(again), heat(display), atol=1e-9)


def test_colours_say_more_or_less(plt):
    display = AttributionDisplay(
        values=np.array([[1.0, -3.0]]), sequence=np.ones((1, 2)), base_value=0.0, prediction=-2.0
    ).plot()
    more, less = (bar.get_facecolor() for bar in display.feature_bars_)
    assert more[0] > more[2]  # red
    assert less[2] > less[0]  # blue
    assert display.heatmap_.get_clim() == (-3, 3)


def test_a_single_feature_is_drawn_as_bars(plt):
    univariate = X[..., :1]
    fitted = model().fit(univariate, y)
    display = AttributionDisplay.from_estimator(
        fitted, univariate, sample=-1, feature_names=["sales"], time=np.arange(2000, 2007)
    )
    assert display.heatmap_ is None
    values = integrated_gradients(fitted, univariate).values[-1, :, 0]
    assert_allclose([bar.get_height() for bar in display.time_bars_], values, atol=1e-9)
    assert display.axes_[0, 0].get_ylabel() == "sales"
    display.figure_.draw_without_rendering()


def test_many_features_are_a_heat_map(plt):
    wide = np.random.default_rng(1).normal(size=(10, 3, 6))
    fitted = model().fit(wide, wide[:, 0, 0])
    display = AttributionDisplay.from_estimator(fitted, wide)
    assert display.lines_ == []
    assert heat(display).shape == (3, 6)
    display.figure_.draw_without_rendering()


def test_backgrounds_outputs_and_wrappers(plt):
    fitted = wrapped([SequenceScaler()], model()).fit(X, y)
    display = AttributionDisplay.from_estimator(fitted, X, sample=1, background=X)
    expected = expected_gradients(fitted, X[1:2], X)
    assert_allclose(heat(display), expected.values[0], atol=1e-9)
    assert_allclose(display.base_value, expected.base_values[0])
    assert_array_equal(np.transpose([line.get_ydata() for line in display.lines_]), X[1])
    labels = np.where(y > 0, "a", "b")
    classes = LSTMClassifier(hidden_size=2, max_iter=2, random_state=0).fit(X, labels)
    for output in (0, 1):
        display = AttributionDisplay.from_estimator(classes, X, output=output, baseline=1.0)
        assert_allclose(display.prediction, classes.predict_proba(X)[0, output], rtol=1e-5)
    display = AttributionDisplay.from_attributions(
        integrated_gradients(classes, X), sample=2, output=1
    )
    assert_allclose(display.prediction, classes.predict_proba(X)[2, 1], rtol=1e-5)


def test_padding_is_not_drawn(plt):
    fitted = model().fit(X, y, lengths=lengths)
    display = AttributionDisplay.from_estimator(fitted, X, sample=4, lengths=lengths)
    assert heat(display).shape == (lengths[4], 2)
    listed = AttributionDisplay.from_estimator(
        fitted, [x[:n] for x, n in zip(X, lengths, strict=True)], sample=4
    )
    assert_allclose(heat(listed), heat(display), atol=1e-9)
    names = [f"t{k}" for k in range(N_TIMESTEPS)]
    named = AttributionDisplay.from_estimator(fitted, X, sample=4, lengths=lengths, time=names)
    assert named.time.tolist() == names[: lengths[4]]


def test_places_in_a_figure_of_ones_own(plt, fitted):
    figure, axes = plt.subplots(1, 2)
    display = AttributionDisplay.from_estimator(fitted, X, ax=axes[1])
    assert display.figure_ is figure
    assert not axes[1].axison
    by_hand = plt.figure().add_axes((0.1, 0.1, 0.8, 0.8))
    display.plot(ax=by_hand)
    display.figure_.draw_without_rendering()
    with pytest.raises(ValueError, match="Expected ax to have 4 axes, got 3"):
        display.plot(ax=np.array([by_hand] * 3))


def test_what_does_not_fit_is_refused(plt, fitted):
    for sample in (N_SAMPLES, -N_SAMPLES - 1, 0.5):
        with pytest.raises(ValueError, match=f"sample must be an integer from -{N_SAMPLES} to"):
            AttributionDisplay.from_estimator(fitted, X, sample=sample)
    with pytest.raises(ValueError, match="a baseline or a background, not both"):
        AttributionDisplay.from_estimator(fitted, X, baseline=0.0, background=X)
    with pytest.raises(ValueError, match="outputs must be an integer"):
        AttributionDisplay.from_estimator(fitted, X, output=3)
    attributions = integrated_gradients(fitted, X)
    with pytest.raises(ValueError, match="output must be an integer from -1 to 0, got 1"):
        AttributionDisplay.from_attributions(attributions, output=1)
    with pytest.raises(ValueError, match="time has 3 entries"):
        AttributionDisplay.from_attributions(attributions, time=[1, 2, 3])
    with pytest.raises(TypeError, match="No fitted LSTMRegressor"):
        AttributionDisplay.from_estimator(StandardScaler().fit(X[:, 0]), X)


def test_matplotlib_is_needed_to_draw_only(no_matplotlib, fitted):
    with pytest.raises(
        ImportError, match=r"AttributionDisplay\.from_estimator requires matplotlib"
    ):
        AttributionDisplay.from_estimator(fitted, X)
    assert integrated_gradients(fitted, X).values.shape == X.shape
