"""Scaling within the estimators: standardised features and targets, windows by their own statistics."""

import pickle

import numpy as np
import pytest
from helpers.estimators import (
    LABELS,
    LENGTHS,
    N_SAMPLES,
    N_TIMESTEPS,
    WITH_GAPS,
    Y_STEPS,
    X,
    Y,
    assert_same_weights,
    classifier,
    model,
    plain,
    with_padding,
    y,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.preprocessing import StandardScaler

from pylstm import LSTMRegressor, SequenceScaler, core, forecast, sliding_windows

KINDS = ("last", "mean", "standard", "relative")
X64 = X.astype(np.float64)
TRENDING = 1e4 + 30 * np.arange(200) + 200 * np.sin(np.arange(200) * 2 * np.pi / 12)


def by_hand(kind, X, lengths=None):
    """Center and scale of each window, (n, 1, n_features)."""
    if kind is None:
        return np.zeros((len(X), 1, X.shape[2])), np.ones((len(X), 1, X.shape[2]))
    center, scale = core.window_statistics(X, kind, lengths=lengths)
    return center[:, np.newaxis], scale[:, np.newaxis]


# Standardised


@pytest.mark.parametrize("kind", [None, *KINDS])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"loss": "gaussian"},
        {"loss": "quantile", "quantile": (0.2, 0.5, 0.9)},
        {"loss": "absolute_error", "bidirectional": True, "num_layers": 2},
        {"return_sequences": True},
        {"return_sequences": True, "loss": "gaussian"},
    ],
    ids=str,
)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
def test_results_are_those_of_data_scaled_by_hand(parameters, kind, lengths):
    steps = "return_sequences" in parameters
    data = 100 + 7 * X64 * np.array([1, 20])
    targets = 3e4 + 500 * (Y_STEPS if steps else Y).astype(np.float64)
    parameters = parameters | {"dtype": "float64", "window_scaling": kind}
    fitted = model(**parameters).fit(data, targets, lengths=lengths)

    center, scale = by_hand(kind, data, lengths)
    there = (
        np.arange(N_TIMESTEPS)
        < (LENGTHS if lengths is not None else np.full(N_SAMPLES, 6))[:, None]
    )
    scaled = (data - center) / scale
    shift, factor = (a if steps else a[:, 0] for a in (center, scale))
    in_windows = (targets - shift) / factor
    standard = fitted._units
    assert_allclose(standard.inputs.mean, scaled[there].mean(axis=0), atol=2e-3 * scaled.std())
    assert_allclose(standard.inputs.scale, scaled[there].std(axis=0), rtol=2e-3)
    scaled = (scaled - standard.inputs.mean) / standard.inputs.scale
    learned = (in_windows - standard.targets.mean) / standard.targets.scale
    options = {"standardize": False, "window_scaling": None}
    expected = model(**parameters | options).fit(scaled, learned, lengths=lengths)
    assert_allclose(fitted._parameters, expected._parameters, rtol=1e-6, atol=1e-9)

    def to_users(predicted, with_shift=1):
        extra = (1,) * (predicted.ndim - targets.ndim)
        mean, deviation, shifts, factors = (
            np.broadcast_to(a, targets.shape).reshape(targets.shape + extra)
            for a in (standard.targets.mean, standard.targets.scale, shift, factor)
        )
        return (predicted * deviation + with_shift * mean) * factors + with_shift * shifts

    predicted = fitted.predict(data, lengths=lengths)
    steps_there = there if steps else slice(None)
    by_hand_too = to_users(expected.predict(scaled, lengths=lengths))
    assert_allclose(predicted[steps_there], by_hand_too[steps_there], rtol=1e-6)
    if parameters.get("loss") == "gaussian":
        _, deviations = fitted.predict(data, lengths=lengths, return_std=True)
        _, of_scaled = expected.predict(scaled, lengths=lengths, return_std=True)
        assert_allclose(deviations[steps_there], to_users(of_scaled, 0)[steps_there], rtol=1e-6)
    assert_allclose(
        fitted.transform(data, lengths=lengths),
        expected.transform(scaled, lengths=lengths),
        atol=1e-6,
    )
    gates = fitted.gate_activations(data, lengths=lengths)
    assert_allclose(
        gates.hidden, expected.gate_activations(scaled, lengths=lengths).hidden, atol=1e-6
    )


def test_large_targets_are_learned_out_of_the_box():
    windows, targets = sliding_windows(1e4 + 50 * np.sin(np.arange(400) / 5), window=20)
    fitted = LSTMRegressor(hidden_size=8, random_state=0).fit(windows[:300], targets[:300])
    assert fitted.score(windows[300:], targets[300:]) > 0.95
    assert LSTMRegressor(
        hidden_size=8, random_state=0, window_scaling="last"
    ).fit(windows[:300] * 1e6, targets[:300] * 1e6).score(
        windows[300:] * 1e6, targets[300:] * 1e6
    ) > 0.95  # fmt: skip


def test_scalers_around_the_estimator_go_on_working():
    wrapped = TransformedTargetRegressor(model(), transformer=StandardScaler()).fit(
        1e3 * X64, 50 + y
    )
    assert_allclose(wrapped.predict(1e3 * X64), model().fit(X64, y).predict(X64) + 50, atol=2e-2)
    scaled = SequenceScaler().fit_transform(X64)
    assert_allclose(
        model().fit(scaled, y).predict(scaled), model().fit(X64, y).predict(X64), atol=2e-3
    )


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_statistics_are_of_the_weighted_training_samples_alone(kind):
    weight = np.linspace(0, 2, N_SAMPLES)
    options = {"shuffle": False, "early_stopping": True, "window_scaling": kind}
    moved, moved_y = X64.copy(), Y.astype(float)
    moved[-9:] *= 1000  # held out
    moved_y[-9:] += 1e5
    fitted = model(validation_fraction=0.2, **options).fit(moved, moved_y, weight)
    center, scale = by_hand(kind, X64)
    values, weights = ((X64 - center) / scale)[:-9], weight[:-9]
    mean = np.average(values.mean(axis=1), axis=0, weights=weights)
    assert_allclose(fitted._units.inputs.mean, mean, atol=3e-3)
    in_windows = ((Y - center[:, 0]) / scale[:, 0])[:-9]
    assert_allclose(
        fitted._units.targets.mean, np.average(in_windows, axis=0, weights=weights), atol=3e-3
    )


def test_constant_features_and_targets_are_divided_by_one():
    constant = np.full((20, 5, 2), 7.0)
    fitted = model().fit(constant, np.full(20, 3e5))
    assert fitted._units.inputs.scale.tolist() == [1, 1]
    assert_allclose(fitted.predict(constant), 3e5, atol=1)


def test_partial_fit_and_warm_starts_keep_the_first_units():
    fitted = model().partial_fit(X, y)
    units = fitted._units
    fitted.partial_fit(100 * X, 1000 * y)
    assert fitted._units is units
    with pytest.raises(ValueError, match="standardize=False"):
        fitted.set_params(standardize=False).partial_fit(X, y)
    with pytest.raises(ValueError, match="window_scaling=last"):
        fitted.set_params(standardize=True, window_scaling="last").partial_fit(X, y)


def test_counts_are_divided_by_their_mean():
    counts = np.random.default_rng(0).poisson(300, N_SAMPLES)
    fitted = model(loss="poisson", max_iter=20).fit(X, counts)
    assert abs(fitted.predict(X).mean() / counts.mean() - 1) < 0.1
    scaled = model(loss="poisson", window_scaling="mean", target_features=0)
    assert (scaled.fit(np.abs(X), counts).predict(np.abs(X)) > 0).all()


def test_hubers_delta_is_in_the_units_of_y():
    loss = core.Huber(delta=20.0)
    fitted = model(loss=loss, dtype="float64", batch_size=100).fit(X64, 1e3 * Y)
    scale = fitted._units.targets.scale
    z = plain(loss=loss).fit(X64, Y)._loss
    assert z.delta == fitted._loss.delta == 20
    scaled_back = model(loss=core.Huber(delta=0.02), dtype="float64", batch_size=100).fit(X64, Y)
    assert_allclose(scaled_back._units.targets.scale * 1e3, scale, rtol=2e-3)
    assert_allclose(fitted.predict(X64), 1e3 * scaled_back.predict(X64), rtol=1e-2, atol=1)


# Windows by their own statistics


@pytest.mark.parametrize("kind", KINDS)
def test_a_series_may_leave_the_levels_that_were_learned(kind):
    windows, targets = sliding_windows(TRENDING, window=24)
    settings = {"hidden_size": 8, "random_state": 0}
    fitted = LSTMRegressor(window_scaling=kind, **settings).fit(windows[:120], targets[:120])
    unscaled = LSTMRegressor(**settings).fit(windows[:120], targets[:120])
    later, values = windows[120:], targets[120:]
    error, error_unscaled = (
        np.sqrt(np.mean((m.predict(later) - values) ** 2)) for m in (fitted, unscaled)
    )
    assert error < 0.1 * error_unscaled
    if kind != "relative":  # this season does not grow with the level
        assert error < np.sqrt(
            np.mean((later[:, -1, 0] - values) ** 2)
        )  # of repeating the last value


@pytest.mark.parametrize("kind", ["mean", "standard", "relative"])
def test_scaled_windows_give_scaled_predictions(kind):
    positive = np.abs(X64[..., :1]) + 1
    fitted = model(window_scaling=kind, dtype="float64").fit(positive, y)
    factors = np.geomspace(1e-6, 1e6, N_SAMPLES)
    predicted = fitted.predict(positive * factors[:, np.newaxis, np.newaxis])
    assert_allclose(predicted, factors * fitted.predict(positive), rtol=1e-6)


def test_some_features_are_left_alone_where_asked():
    calendar = np.tile(np.arange(N_TIMESTEPS) % 12, (N_SAMPLES, 1))[..., np.newaxis]
    both = np.concatenate([100 + X64[..., :1], calendar], axis=2)
    fitted = model(window_scaling="last", window_features=0, standardize=False).fit(both, y)
    center, factor = fitted._inputs(both, None, 1).scaling
    assert_array_equal(center, np.column_stack([both[:, -1, 0], np.zeros(N_SAMPLES)]))
    assert_array_equal(factor, np.ones((N_SAMPLES, 2)))
    with pytest.raises(ValueError, match="window_features must be positions"):
        model(window_scaling="last", window_features=[0, 2]).fit(both, y)


@pytest.mark.parametrize(
    ("parameters", "n_targets", "expected"),
    [
        ({}, 2, [0, 1]),
        ({"window_features": [1]}, 3, [1, 1, 1]),
        ({"target_features": 1}, 4, [1] * 4),
        ({"target_features": [1, 0]}, 4, [1, 0, 1, 0]),
        ({"target_features": [-1]}, 1, [1]),
    ],
)
def test_targets_belong_to_features(parameters, n_targets, expected):
    targets = np.random.default_rng(0).normal(size=(N_SAMPLES, n_targets)).squeeze()
    fitted = model(window_scaling="last", **parameters).fit(X, targets)
    assert fitted._units.feature_of.tolist() == expected


@pytest.mark.parametrize(
    ("parameters", "n_targets", "message"),
    [
        ({}, 1, "Name the feature of each in target_features"),
        ({}, 4, "Name the feature of each in target_features"),
        ({"target_features": [0, 1]}, 3, "names 2 features for 3 targets"),
        ({"target_features": 2}, 1, "target_features must be positions of features"),
        ({"loss": "poisson"}, 2, "use 'mean', or None"),
        ({"stateful": True, "shuffle": False}, 2, "set stateful=False"),
    ],
)
def test_windows_that_cannot_be_scaled_so_raise(parameters, n_targets, message):
    targets = np.ones((N_SAMPLES, n_targets)).squeeze()
    with pytest.raises(ValueError, match=message):
        model(window_scaling="last", **parameters).fit(X, targets)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_values_do_not_count(kind):
    fitted = model(window_scaling=kind, missing="mask").fit(WITH_GAPS, Y)
    filled = WITH_GAPS.copy()
    filled[:, 0] = np.where(np.isnan(filled[:, 0]), 0, filled[:, 0])
    assert np.isfinite(fitted.predict(filled)).all()
    nothing = np.full((1, N_TIMESTEPS, 2), np.nan)
    assert np.isfinite(fitted.predict(nothing)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_constant_windows_and_zeros_have_predictions(kind):
    odd = X64.copy()
    odd[0], odd[1] = 5, 0
    for highway in (0, 3):
        fitted = model(window_scaling=kind, highway=highway).fit(odd, Y)
        assert np.isfinite(fitted.predict(odd)).all()


@pytest.mark.parametrize("parameters", [{"window_scaling": "standard"}, {"highway": 3}], ids=str)
def test_threads_copies_and_pickles_change_no_bit(parameters, threads_even_for_little_work):
    fitted = model(n_jobs=1, **parameters).fit(X, Y)
    assert_same_weights(fitted, model(n_jobs=3, **parameters).fit(X, Y))
    assert_same_weights(fitted, clone(fitted).fit(X, Y))
    again = pickle.loads(pickle.dumps(fitted)).set_params(n_jobs=4)
    assert_array_equal(again.predict(X), fitted.predict(X))


def test_classifier_scales_its_inputs():
    fitted = classifier(window_scaling="last", max_iter=30).fit(1e5 + 1e3 * X64, LABELS)
    moved = fitted.predict(-1e7 + 1e3 * X64)
    assert_array_equal(moved, fitted.predict(1e5 + 1e3 * X64))


@pytest.mark.parametrize("make", [model, classifier])
def test_windows_of_many_series_keep_their_levels_chunk_by_chunk(make, monkeypatch):
    walks = np.random.default_rng(0).normal(size=(2, 60)).cumsum(axis=1) + [[1e3], [-1e3]]
    windows, targets = sliding_windows(list(walks), window=10)
    if make is classifier:
        targets = targets > windows[:, -1, 0]
    fitted = make(window_scaling="last").fit(windows, targets)
    expected = fitted.predict(np.asarray(windows))
    monkeypatch.setattr("pylstm._base._SCORED_AT_ONCE", 70)
    assert_array_equal(fitted.predict(windows), expected)


# Searches, streams, forecasts


def test_several_quantiles_and_horizons_can_be_searched_and_scored():
    windows, targets = sliding_windows(TRENDING, window=24, horizon=[1, 2, 3])
    search = GridSearchCV(
        model(loss="quantile", quantile=(0.1, 0.5, 0.9)),
        {"window_scaling": [None, "last"], "quantile": [(0.1, 0.9), 0.5]},
        cv=KFold(3),
        error_score="raise",
    ).fit(windows, targets)
    assert search.best_params_["window_scaling"] == "last"
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_quantile_says_what_the_loss_of_that_name_predicts():
    fitted = model(loss="quantile", quantile=0.9).fit(X, y)
    assert_same_weights(fitted, model(loss=core.Quantile(0.9)).fit(X, y))
    with pytest.raises(ValueError, match="set loss='quantile'"):
        model(quantile=0.9).fit(X, y)
    with pytest.raises(ValueError, match="increasing order"):
        model(loss="quantile", quantile=[0.9, 0.1]).fit(X, y)


def test_streams_standardise_but_cannot_scale_windows():
    data = (50 + X).astype(np.float32)
    fitted = model(highway=3).fit(data, 1e3 + Y)
    stream = fitted.stream()
    for x in data[0]:
        prediction = stream.step(x)
    assert_array_equal(prediction, fitted.predict(data[:1])[0])
    with pytest.raises(ValueError, match="which are not known before its end"):
        model(window_scaling="last").fit(X, Y).stream()


def test_recursive_forecasts_scale_each_window_anew():
    windows, targets = sliding_windows(TRENDING, window=24)
    fitted = model(window_scaling="last", highway=24, max_iter=20).fit(windows, targets)
    coming = forecast(fitted, TRENDING, steps=24)
    t = np.arange(200, 224)
    truth = 1e4 + 30 * t + 200 * np.sin(t * 2 * np.pi / 12)
    assert np.abs(coming - truth).max() < 100
    gaussian = model(loss="gaussian", window_scaling="last", max_iter=20).fit(windows, targets)
    prediction, lower, upper = forecast(gaussian, TRENDING, steps=3, interval=0.9, random_state=0)
    assert ((lower < prediction) & (prediction < upper)).all()


# The highway


@pytest.mark.parametrize("kind", [None, "last"])
@pytest.mark.parametrize("missing", ["error", "mask"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["", "lengths"])
def test_the_highway_is_the_ridge_regression_of_the_last_steps(lengths, missing, kind):
    data = (WITH_GAPS if missing == "mask" else X).astype(np.float64)
    weight = np.linspace(0.5, 2, N_SAMPLES)
    fitted = model(
        highway=2, dtype="float64", missing=missing, window_scaling=kind, max_iter=1,
        learning_rate_init=1e-12,
    ).fit(data, Y, weight, lengths=lengths)  # fmt: skip
    center, scale = by_hand(kind, data, lengths)
    scaled = (data - center) / scale
    targets = (Y - center[:, 0]) / scale[:, 0]
    ends = np.full(N_SAMPLES, N_TIMESTEPS) if lengths is None else lengths
    scaled = (scaled - fitted._units.inputs.mean) / fitted._units.inputs.scale
    recent = np.zeros((N_SAMPLES, 2, 4 if missing == "mask" else 2))
    for n, end in enumerate(ends):
        filled = scaled[n, :end].copy()
        for t in range(end):
            before = filled[t - 1] if t else np.zeros(2)
            filled[t] = np.where(np.isnan(filled[t]), before, filled[t])
        read = np.hstack([filled, np.isnan(scaled[n, :end])]) if missing == "mask" else filled
        recent[n, max(0, 2 - end) :] = read[-2:]
    mean = np.average(targets, axis=0, weights=weight)
    deviation = np.sqrt(np.average((targets - mean) ** 2, axis=0, weights=weight))
    standard = (targets - (mean if kind is None else 0)) / deviation
    naive = np.zeros((2, *recent.shape[1:]))
    if kind is not None:
        # counted from the windows' own level, with a penalised drift, beyond the better naive forecast
        recent[:, :, :2] += fitted._units.inputs.mean / fitted._units.inputs.scale
        for target in range(2):
            unit = fitted._units.inputs.scale[target] / deviation[target]
            errors = standard[:, [target]] - unit * recent[:, :, target]
            nearest = np.argmin(np.average(errors**2, axis=0, weights=weight))
            naive[target, nearest, target] = unit
    recent, naive = recent.reshape(N_SAMPLES, -1), naive.reshape(2, -1)
    ridge = RidgeCV(np.logspace(-6, 6, 25), fit_intercept=kind is None, alpha_per_target=True)
    drift = np.full((N_SAMPLES, 0 if kind is None else 1), 0.1)
    ridge.fit(np.hstack([recent, drift]), standard - recent @ naive.T, sample_weight=weight)
    beyond, of_drift = np.split(ridge.coef_, [naive.shape[1]], axis=1)
    n_states = fitted.hidden_size
    coef = fitted.output_coef_[n_states:] * fitted._units.targets.scale
    assert_allclose(coef, (naive + beyond).T * deviation, atol=2e-3)
    intercept = ridge.intercept_ + 0.1 * of_drift.sum(axis=1)
    residuals = (standard - recent @ (naive + beyond).T - intercept) * deviation
    residuals -= np.average(residuals, axis=0, weights=weight)
    spread = np.sqrt(np.average(residuals**2, axis=0, weights=weight))
    assert_allclose(fitted._units.targets.scale, spread, rtol=5e-3)


def test_what_a_regression_does_not_tell_shrinks_to_a_naive_forecast():
    still = model(highway="all", window_scaling="last", max_iter=1, learning_rate_init=1e-12)
    ratios = []
    for seed in range(5):  # 36 windows of 24 steps of random walks, which nobody can forecast
        walk = np.cumsum(np.random.default_rng(seed).normal(size=1000))
        still.fit(*sliding_windows(walk[:60], 24))
        windows, y = sliding_windows(walk[60:], 24)
        errors = [f - y for f in (still.predict(windows), windows[:, -1, 0])]
        ratios.append(np.std(errors[0]) / np.std(errors[1]))
    assert np.exp(np.mean(np.log(ratios))) < 1.1  # with an intercept and shrunk to 0: 1.3


def test_what_is_linear_is_learned_at_once_and_what_is_not_by_the_network():
    rng = np.random.default_rng(0)
    data = rng.normal(size=(400, 6, 1))
    linear = 3 * data[:, -1, 0] - 2 * data[:, -4, 0]
    noisy = linear + 0.01 * rng.normal(size=400)
    at_once = model(highway=6, max_iter=1).fit(data[:300], noisy[:300])
    assert at_once.score(data[300:], noisy[300:]) > 0.999
    bent = linear + 2 * np.abs(data[:, -2, 0])
    straight = model(highway=6, max_iter=1).fit(data[:300], bent[:300])
    network = model(highway=6, max_iter=60, hidden_size=16).fit(data[:300], bent[:300])
    left, learned = (1 - m.score(data[300:], bent[300:]) for m in (straight, network))
    assert learned < 0.3 * left


def test_what_the_highway_leaves_is_scaled_by_the_samples_weights():
    rng = np.random.default_rng(0)
    data = rng.normal(size=(400, 6, 1))
    noise = np.where(np.arange(400) < 200, 1.0, 10.0) * rng.normal(size=400)
    weight = np.where(np.arange(400) < 200, 1.0, 1e-6)
    fitted = model(highway=2).fit(data, data[:, -1, 0] + noise, sample_weight=weight)
    assert fitted._units.targets.scale == pytest.approx(noise[:200].std(), rel=0.05)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"loss": "poisson"}, "Poisson"),
        ({"return_sequences": True}, "only prediction"),
        ({"highway": 7}, "more steps than the 6"),
    ],
)
def test_highways_that_lead_nowhere_raise(parameters, message):
    targets = Y_STEPS if "return_sequences" in parameters else np.abs(Y)
    with pytest.raises(ValueError, match=message):
        model(**{"highway": 2} | parameters).fit(X, targets)


# Lengths within X


def test_time_steps_of_nans_at_the_end_are_padding():
    padded = with_padding(X, np.nan)
    fitted = model().fit(X, y, lengths=LENGTHS)
    assert_same_weights(fitted, model().fit(padded, y))
    assert_array_equal(fitted.predict(padded), fitted.predict(X64, lengths=LENGTHS))
    scores = cross_val_score(model(), padded, y, scoring="r2", cv=KFold(3))
    for score, (train, test) in zip(scores, KFold(3).split(X), strict=True):
        expected = model().fit(X[train], y[train], lengths=LENGTHS[train])
        assert score == pytest.approx(
            expected.score(X[test], y[test], lengths=LENGTHS[test]), abs=1e-6
        )
    flat = model(n_timesteps=N_TIMESTEPS).fit(padded.reshape(N_SAMPLES, -1), y)
    assert_same_weights(fitted, flat)


def test_nans_elsewhere_are_errors():
    padded = with_padding(X, np.nan)
    padded[7, 0, 1] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity before the end"):
        model().fit(padded, y)
    padded = with_padding(X, np.nan)
    padded[7] = np.nan
    with pytest.raises(ValueError, match="NaN in all time steps of sample 7"):
        model().fit(padded, y)


def test_lengths_in_fit_and_none_in_predict_are_warned_of():
    fitted = model().fit(X, y, lengths=LENGTHS)
    with pytest.warns(UserWarning, match="without lengths"):
        fitted.predict(X)
