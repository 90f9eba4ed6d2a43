"""LSTMGateDisplay draws what the estimators say."""

import numpy as np
import pytest
from helpers.displays import (
    GATES,
    HIDDEN_SIZE,
    N_FEATURES,
    N_SAMPLES,
    N_TIMESTEPS,
    PANELS,
    Activations,
    X,
    X_flat,
    gates_of,
    lengths,
    model,
    wrapped,
    y,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from pylstm import LSTMClassifier, SequenceScaler
from pylstm.inspection import LossCurveDisplay, LSTMGateDisplay


class FakeLSTM(BaseEstimator):
    """Something else with `gate_activations`, as a user's own estimator may have."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[-1]
        return self

    def gate_activations(self, X, *, lengths=None, layer=-1, direction="forward"):
        shape = (len(X), X.shape[1], 3)
        return Activations(*(np.full(shape, k / 10) for k in range(6)))


def drawn(display, panel):
    """The values that a panel shows, of shape (n_timesteps, n_units)."""
    if panel in display.lines_:
        assert panel not in display.heatmaps_
        return np.column_stack([line.get_ydata() for line in display.lines_[panel]])
    mesh = display.heatmaps_[panel]
    rows, columns = np.subtract(mesh.get_coordinates().shape[:2], 1)
    return np.asarray(mesh.get_array()).reshape(rows, columns).T


def assert_draws(display, gates, sequence):
    """Whether a display draws these activations, (n_timesteps, n_units) each, and sequence."""
    for panel, name in GATES.items():
        assert_array_equal(drawn(display, panel), getattr(gates, name))
    assert_array_equal(drawn(display, "sequence"), sequence)
    assert_array_equal(drawn(display, "forgotten"), display.forgotten)
    assert_array_equal(drawn(display, "added"), gates.input * gates.candidate)


@pytest.mark.parametrize("kind", ["lines", "heatmap"])
def test_gates_are_drawn_as_gate_activations_gives_them(plt, fitted, kind):
    display = LSTMGateDisplay.from_estimator(fitted, X, sample=3, kind=kind)
    assert isinstance(display, LSTMGateDisplay)
    assert_draws(display, gates_of(fitted, X, 3), X[3])
    assert display.axes_.shape == (5, 2)
    assert display.bounding_ax_ is None
    assert all(ax.figure is display.figure_ for ax in display.axes_.flat)
    in_kind = {"lines": display.lines_, "heatmap": display.heatmaps_}[kind]
    assert set(PANELS) <= set(in_kind)
    display.figure_.draw_without_rendering()


@pytest.mark.parametrize(("hidden_size", "kind"), [(6, "lines_"), (7, "heatmaps_")])
def test_few_units_are_lines_and_many_heat_maps(plt, hidden_size, kind):
    display = LSTMGateDisplay.from_estimator(model(hidden_size=hidden_size).fit(X, y), X)
    assert set(PANELS) <= set(getattr(display, kind))


def test_many_features_are_a_heat_map(plt):
    wide = np.random.default_rng(1).normal(size=(10, 3, 6))
    display = LSTMGateDisplay.from_estimator(model().fit(wide, wide[:, 0, 0]), wide)
    assert "sequence" in display.heatmaps_
    assert_array_equal(drawn(display, "sequence"), wide[0])


@pytest.mark.parametrize("sample", [0, N_SAMPLES - 1, -2, np.int64(5)])
def test_any_sample(plt, fitted, sample):
    display = LSTMGateDisplay.from_estimator(fitted, X, sample=sample)
    assert_draws(display, gates_of(fitted, X, sample), X[sample])


def test_forgotten_and_added_make_the_cell_state(fitted):
    gates = gates_of(fitted, X, 0)
    display = LSTMGateDisplay(
        sequence=X[0], **{name: getattr(gates, GATES[name]) for name in GATES}
    )
    cell = np.zeros(HIDDEN_SIZE)
    for t in range(N_TIMESTEPS):
        cell = cell - display.forgotten[t] + display.added[t]
        assert_allclose(cell, gates.cell[t], atol=1e-6)


def test_layers_and_directions(plt):
    deep = model(num_layers=2, bidirectional=True).fit(X, y)
    for layer, direction in ((0, "forward"), (-2, "reverse"), (-1, "reverse")):
        display = LSTMGateDisplay.from_estimator(deep, X, layer=layer, direction=direction)
        gates = gates_of(deep, X, 0, layer=layer, direction=direction)
        assert_draws(display, gates, X[0])
        before = np.zeros_like(gates.cell)
        if direction == "forward":
            before[1:] = gates.cell[:-1]
        else:
            before[:-1] = gates.cell[1:]
        assert_allclose(gates.cell, before - display.forgotten + display.added, atol=1e-6)


def test_units_are_drawn_in_the_order_given(plt, fitted):
    for kind in ("lines", "heatmap"):
        display = LSTMGateDisplay.from_estimator(fitted, X, units=[2, 0], kind=kind)
        assert_draws(display, gates_of(fitted, X, 0, units=[2, 0]), X[0])
        assert_array_equal(display.units, [2, 0])
    legend = LSTMGateDisplay.from_estimator(fitted, X, units=[2, 0]).axes_[3, 0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["Unit 2", "Unit 0"]


@pytest.mark.parametrize("kind", ["lines", "heatmap"])
def test_padding_is_not_drawn(plt, fitted, kind):
    padded = X.copy()
    for sequence, length in zip(padded, lengths, strict=True):
        sequence[length:] = np.nan
    for sample in (0, 7, -1):
        length = lengths[sample]
        display = LSTMGateDisplay.from_estimator(
            fitted, padded, sample=sample, lengths=lengths, time=np.arange(N_TIMESTEPS), kind=kind
        )
        gates = gates_of(fitted, padded, sample, length=length, lengths=lengths)
        assert len(gates.cell) == length
        assert_draws(display, gates, padded[sample, :length])
        assert len(display.time) == length


def test_list_of_sequences(plt, fitted):
    ragged = [sequence[:length] for sequence, length in zip(X, lengths, strict=True)]
    display = LSTMGateDisplay.from_estimator(fitted, ragged, sample=4)
    assert_draws(
        display, gates_of(fitted, X, 4, length=lengths[4], lengths=lengths), X[4, : lengths[4]]
    )
    with pytest.raises(ValueError, match="do not pass lengths as well"):
        LSTMGateDisplay.from_estimator(fitted, ragged, lengths=lengths)

    pipeline = make_pipeline(SequenceScaler(), model()).fit(ragged, y)
    read = pipeline[0].transform(ragged)
    display = LSTMGateDisplay.from_estimator(pipeline, ragged, sample=-1)
    assert_draws(display, gates_of(pipeline[1], read, -1, length=lengths[-1]), read[-1])


def test_missing_values_leave_gaps_in_the_input(plt):
    gaps = X.copy()
    gaps[:, 2, 0] = np.nan
    masked = model(missing="mask").fit(gaps, y)
    for kind in ("lines", "heatmap"):
        display = LSTMGateDisplay.from_estimator(masked, gaps, kind=kind)
        assert_draws(display, gates_of(masked, gaps, 0), gaps[0])


def test_one_time_step(plt):
    short = model().fit(X[:, :1], y)
    for kind in ("lines", "heatmap"):
        display = LSTMGateDisplay.from_estimator(short, X[:, :1], kind=kind)
        assert_draws(display, gates_of(short, X[:, :1], 0), X[0, :1])


def test_classifier(plt):
    classifier = LSTMClassifier(hidden_size=3, max_iter=2, random_state=0, n_jobs=1).fit(X, y > 0)
    display = LSTMGateDisplay.from_estimator(classifier, X)
    assert_draws(display, gates_of(classifier, X, 0), X[0])
    assert LossCurveDisplay.from_estimator(classifier).loss_curve == classifier.loss_curve_


def test_other_estimator_with_gate_activations(plt):
    display = LSTMGateDisplay.from_estimator(FakeLSTM().fit(X), X)
    assert_array_equal(drawn(display, "forget_gate"), np.full((N_TIMESTEPS, 3), 0.1))


# Wrappers


def test_wrappers_are_opened_and_the_input_drawn_as_the_network_reads_it(plt):
    search = wrapped([SequenceScaler(), FunctionTransformer(np.tanh)], model()).fit(X, y)
    pipeline = search.best_estimator_.regressor_
    read = pipeline[:-1].transform(X)
    for estimator in (search, search.best_estimator_, pipeline):
        display = LSTMGateDisplay.from_estimator(estimator, X, sample=2)
        assert_draws(display, gates_of(pipeline[-1], read, 2), read[2])
        losses = LossCurveDisplay.from_estimator(estimator)
        assert losses.loss_curve == pipeline[-1].loss_curve_


@pytest.mark.parametrize("as_frame", [False, True])
def test_flattened_windows(plt, as_frame):
    given = X_flat
    if as_frame:
        pandas = pytest.importorskip("pandas")
        given = pandas.DataFrame(X_flat, columns=[f"c{i}" for i in range(X_flat.shape[1])])
    search = wrapped([StandardScaler()], model(n_timesteps=N_TIMESTEPS)).fit(given, y)
    pipeline = search.best_estimator_.regressor_
    read = pipeline[0].transform(given)
    display = LSTMGateDisplay.from_estimator(search, given, sample=1)
    assert_draws(display, gates_of(pipeline[-1], read, 1), read[1].reshape(N_TIMESTEPS, N_FEATURES))


def test_pipeline_of_the_lstm_alone(plt):
    pipeline = make_pipeline(model()).fit(X, y)
    assert_draws(LSTMGateDisplay.from_estimator(pipeline, X), gates_of(pipeline[-1], X, 0), X[0])


def test_pipeline_that_passes_through(plt):
    pipeline = make_pipeline("passthrough", model()).fit(X, y)
    assert_draws(LSTMGateDisplay.from_estimator(pipeline, X), gates_of(pipeline[-1], X, 0), X[0])


# Time and names


def tick_labels(display):
    display.figure_.draw_without_rendering()
    return [label.get_text() for label in display.axes_[-1, 0].get_xticklabels()]


@pytest.mark.parametrize("kind", ["lines", "heatmap"])
def test_dates_and_numbers_are_places(plt, fitted, kind):
    months = np.arange("2020-10", "2021-05", dtype="datetime64[M]")
    display = LSTMGateDisplay.from_estimator(fitted, X, time=months, kind=kind)
    assert "2021" in tick_labels(display)
    from matplotlib.dates import date2num

    assert_array_equal(display.lines_["sequence"][0].get_xdata(), date2num(months))

    display = LSTMGateDisplay.from_estimator(fitted, X, time=range(-6, 1), kind=kind)
    assert_array_equal(display.lines_["sequence"][0].get_xdata(), range(-6, 1))
    assert display.axes_[0, 0].get_xlim() == (-6.5, 0.5)


def test_anything_else_is_a_label(plt, fitted):
    for time in (list("abcdefg"), [11, 12, 1, 2, 3, 4, 5]):
        display = LSTMGateDisplay.from_estimator(fitted, X, time=time)
        assert_array_equal(display.lines_["sequence"][0].get_xdata(), range(N_TIMESTEPS))
        labels = [label for label in tick_labels(display) if label]
        assert labels
        assert set(labels) <= {str(label) for label in time}


def test_feature_names(plt, fitted):
    display = LSTMGateDisplay.from_estimator(fitted, X, feature_names=["sales", "price"])
    texts = display.axes_[0, 0].get_legend().get_texts()
    assert [text.get_text() for text in texts] == ["sales", "price"]
    univariate = model().fit(X[..., 0], y)
    display = LSTMGateDisplay.from_estimator(univariate, X[..., 0], feature_names=["sales"])
    assert display.axes_[0, 0].get_ylabel() == "sales"


def test_keywords_reach_matplotlib(plt, fitted):
    display = LSTMGateDisplay.from_estimator(
        fitted, X, kind="lines", line_kw={"linewidth": 3, "color": "red"}
    )
    line = display.lines_["cell_state"][1]
    assert (line.get_linewidth(), line.get_color()) == (3, "red")
    display = LSTMGateDisplay.from_estimator(
        fitted,
        X,
        kind="heatmap",
        heatmap_kw={"alpha": 0.5},
        gate_cmap="Greys",
        memory_cmap="PuOr",
    )
    assert display.heatmaps_["forget_gate"].get_alpha() == 0.5
    assert display.heatmaps_["forget_gate"].get_cmap().name == "Greys"
    assert display.heatmaps_["cell_state"].get_cmap().name == "PuOr"


def test_scales_are_those_of_the_activations(plt, fitted):
    display = LSTMGateDisplay.from_estimator(fitted, X, kind="heatmap")
    limits = {name: mesh.get_clim() for name, mesh in display.heatmaps_.items()}
    assert {limits[name] for name in ("input_gate", "forget_gate", "output_gate")} == {(0, 1)}
    assert {limits[name] for name in ("candidate", "hidden_state")} == {(-1, 1)}
    assert limits["forgotten"] == limits["added"]
    for name in ("forgotten", "added", "cell_state"):
        low, high = limits[name]
        assert -low == high
        assert np.abs(drawn(display, name)).max() <= high


# Axes


def test_panels_within_an_axes_that_is_given(plt, fitted):
    figure, (left, right) = plt.subplots(1, 2)
    display = LSTMGateDisplay.from_estimator(fitted, X, ax=right)
    assert display.bounding_ax_ is right
    assert display.figure_ is figure
    place = right.get_position()
    for ax in display.axes_.flat:
        assert place.x0 - 1e-6 <= ax.get_position().x0 < ax.get_position().x1 <= place.x1 + 1e-6
    assert left.axison
    assert not left.get_lines()
    with pytest.raises(ValueError, match=r"please set ax=display.axes_"):
        display.plot(ax=right)
    placed = figure.add_axes([0.1, 0.2, 0.3, 0.4])
    within = display.plot(ax=placed).axes_[0, 0].get_position()
    assert 0.1 <= within.x0 < within.x1 <= 0.4


def test_panels_that_are_given(plt, fitted):
    _, axes = plt.subplots(5, 2)
    display = LSTMGateDisplay.from_estimator(fitted, X, ax=axes)
    assert display.bounding_ax_ is None
    assert_array_equal(display.axes_, axes)
    again = LSTMGateDisplay.from_estimator(fitted, X, sample=1, ax=list(axes.ravel()))
    assert_array_equal(again.axes_, axes)
    with pytest.raises(ValueError, match="Expected ax to have 10 axes, got 4"):
        display.plot(ax=axes[:2])


# Errors


@pytest.mark.parametrize("sample", [N_SAMPLES, -N_SAMPLES - 1, 1.5, None])
def test_no_such_sample(plt, fitted, sample):
    with pytest.raises(ValueError, match=f"sample must be an integer from -{N_SAMPLES} to"):
        LSTMGateDisplay.from_estimator(fitted, X, sample=sample)


@pytest.mark.parametrize("units", [[HIDDEN_SIZE], [-1], [], [0.5], [[0]], 2])
def test_no_such_units(plt, fitted, units):
    with pytest.raises(ValueError, match="units must be a list of integers from 0 to 3"):
        LSTMGateDisplay.from_estimator(fitted, X, units=units)


def test_other_wrong_options(plt, fitted):
    for layer in (1, -2):
        with pytest.raises(ValueError, match="layer"):
            LSTMGateDisplay.from_estimator(fitted, X, layer=layer)
    with pytest.raises(ValueError, match="direction"):
        LSTMGateDisplay.from_estimator(fitted, X, direction="reverse")
    with pytest.raises(ValueError, match="kind must be"):
        LSTMGateDisplay.from_estimator(fitted, X, kind="bars")
    with pytest.raises(ValueError, match="time has 3 entries, but the sequence has 7"):
        LSTMGateDisplay.from_estimator(fitted, X, time=[1, 2, 3])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LSTMGateDisplay.from_estimator(fitted, X, lengths=[3, 4])
