"""LSTMRegressor: what it promises by itself. With scikit-learn's tools: test_sklearn_compat.py."""

import ast
import builtins
import copy
import doctest
import io
import pickle
import re
import sys
import warnings

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

import pylstm._base
import pylstm._persistence as persistence
import pylstm._regressor
from pylstm import LSTMRegressor, core

N_SAMPLES, N_TIMESTEPS, N_FEATURES = 60, 6, 2
rng = np.random.default_rng(0)
X = rng.normal(size=(N_SAMPLES, N_TIMESTEPS, N_FEATURES)).astype(np.float32)
y = (X[:, -1, 0] - 0.5 * X[:, -3, 1]).astype(np.float32)
Y = np.column_stack([y, -y, X[:, 0, 0]])


def model(**parameters):
    """A small network that trains for three epochs, on one thread."""
    defaults = {"hidden_size": 5, "batch_size": 16, "max_iter": 3, "random_state": 0, "n_jobs": 1}
    return LSTMRegressor(**{**defaults, **parameters})


@pytest.fixture(autouse=True)
def _let_short_fits_pass():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Training reached max_iter")
        yield


@pytest.fixture
def train_calls(monkeypatch):
    """The arguments of every call of core.train, in order."""
    calls = []
    real_train = core.train

    def train(params, X, y, arch, optimizer, **options):
        calls.append({"X": X, "y": y, "optimizer": copy.deepcopy(optimizer), **options})
        return real_train(params, X, y, arch, optimizer, **options)

    monkeypatch.setattr(core, "train", train)
    return calls


def replace_pass(monkeypatch, number, effect):
    """Let the pass over the data of this number, from 1, have another effect."""
    passes = []
    real_train = core.train

    def train(params, *args, **options):
        passes.append(None)
        if len(passes) == number:
            return effect(params)
        return real_train(params, *args, **options)

    monkeypatch.setattr(core, "train", train)


def raises(error):
    def effect(params):
        params[:] = 7.0  # what an unfinished pass may leave
        raise error

    return effect


def assert_same_weights(first, second):
    assert_array_equal(first._parameters, second._parameters)


# Learning


def test_learns_a_sine_with_default_parameters():
    series = np.sin(np.arange(400) / 5)
    windows, targets = sliding_window_view(series[:-1], 20), series[20:]
    regressor = LSTMRegressor(random_state=0, n_jobs=1).fit(windows[:300], targets[:300])
    assert regressor.score(windows[300:], targets[300:]) > 0.99


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_solver_depth_and_precision_learns(solver, num_layers, dtype):
    rate = {"adam": 0.01, "sgd": 0.1}[solver]
    regressor = model(
        solver=solver, num_layers=num_layers, dtype=dtype, learning_rate_init=rate, max_iter=60
    )
    assert regressor.fit(X, y).score(X, y) > 0.8


def test_learns_several_outputs():
    regressor = model(learning_rate_init=0.02, max_iter=100).fit(X, Y)
    prediction = regressor.predict(X)
    assert prediction.shape == Y.shape
    assert regressor.n_outputs_ == 3
    assert (r2_score(Y, prediction, multioutput="raw_values") > 0.8).all()


def test_column_y_warns_and_predicts_one_dimension():
    with pytest.warns(DataConversionWarning):
        regressor = model().fit(X, y[:, None])
    assert_array_equal(regressor.predict(X), model().fit(X, y).predict(X))


# Learned attributes


def test_weights_have_the_documented_shapes():
    regressor = model(num_layers=2).fit(X, Y)
    assert [w.shape for w in regressor.input_coefs_] == [(2, 20), (5, 20)]
    assert [w.shape for w in regressor.recurrent_coefs_] == [(5, 20), (5, 20)]
    assert [b.shape for b in regressor.gate_intercepts_] == [(20,), (20,)]
    assert regressor.output_coef_.shape == (5, 3)
    assert regressor.output_intercept_.shape == (3,)


def test_weights_are_views_of_the_weights_in_use():
    regressor = model().fit(X, Y)
    regressor.output_coef_[:] = 0
    regressor.output_intercept_[:] = [1, 2, 3]
    assert_array_equal(regressor.predict(X), np.tile([1.0, 2.0, 3.0], (N_SAMPLES, 1)))


def test_gates_stand_in_the_order_input_forget_candidate_output():
    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    regressor = model(dtype="float64").fit(X[:, :1], y)
    z = X[:, 0] @ regressor.input_coefs_[0] + regressor.gate_intercepts_[0]
    i, _, g, o = np.split(z, 4, axis=1)
    h = sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(g))
    expected = h @ regressor.output_coef_[:, 0] + regressor.output_intercept_[0]
    np.testing.assert_allclose(regressor.predict(X[:, :1]), expected, rtol=1e-10)


def test_first_weights_have_a_forget_bias_of_one(monkeypatch):
    replace_pass(monkeypatch, 1, raises(KeyboardInterrupt))
    with pytest.warns(UserWarning, match="interrupted"):
        regressor = model().fit(X, y)
    assert_array_equal(
        regressor.gate_intercepts_[0].reshape(4, 5), np.outer([0, 1, 0, 0], np.ones(5))
    )


def test_fit_records_its_course():
    regressor = model(max_iter=4).fit(X, y)
    assert regressor.n_iter_ == len(regressor.loss_curve_) == 4
    assert regressor.loss_ == regressor.loss_curve_[-1]
    assert regressor.best_loss_ == min(regressor.loss_curve_)
    assert regressor.t_ == 4 * N_SAMPLES
    assert regressor.validation_scores_ is None
    assert regressor.best_validation_score_ is None
    assert regressor.n_features_in_ == N_FEATURES
    assert regressor.n_timesteps_ == N_TIMESTEPS


def test_nothing_is_learned_before_fit():
    with pytest.raises(NotFittedError):
        model().predict(X)
    assert not hasattr(model(), "input_coefs_")
    assert not hasattr(model(), "output_coef_")


# Input


def test_two_dimensional_X_is_a_univariate_series():
    univariate = model().fit(X[:, :, 0], y)
    assert (univariate.n_features_in_, univariate.n_timesteps_) == (N_TIMESTEPS, N_TIMESTEPS)
    assert_same_weights(univariate, model().fit(X[:, :, :1], y))


def test_n_timesteps_unfolds_flattened_windows():
    flattened = model(n_timesteps=N_TIMESTEPS).fit(X.reshape(N_SAMPLES, -1), y)
    assert flattened.n_features_in_ == N_TIMESTEPS * N_FEATURES
    assert flattened.n_timesteps_ == N_TIMESTEPS
    assert_same_weights(flattened, model().fit(X, y))


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


SAME_DATA = {
    "float64": X.astype(np.float64),
    "Fortran": np.asfortranarray(X),
    "reversed and strided": np.repeat(X[:, ::-1], 2, axis=0)[::2, ::-1],
    "features first": np.ascontiguousarray(X.transpose(2, 0, 1)).transpose(1, 2, 0),
    "read-only": read_only(X),
    "nested lists": X.tolist(),
}


@pytest.mark.parametrize("same", SAME_DATA.values(), ids=SAME_DATA.keys())
def test_layout_and_type_of_X_change_no_bit(same):
    assert_array_equal(model().fit(same, y).predict(same), model().fit(X, y).predict(X))


def test_integers_are_taken_as_numbers():
    whole = np.round(3 * X).astype(np.int16)
    regressor = model().fit(whole, np.round(y).astype(np.int64))
    assert_array_equal(
        regressor.predict(whole), model().fit(np.round(3 * X), np.round(y)).predict(whole)
    )


def test_memory_mapped_X_is_read_where_it_lies(tmp_path, train_calls):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    regressor = model().fit(mapped, y)
    assert np.shares_memory(train_calls[0]["X"], mapped)
    assert_array_equal(regressor.predict(mapped), model().fit(X, y).predict(X))


SERIES = rng.normal(size=(80, N_FEATURES))
NEVER_COPIED = {
    "3-D": (X, {}),
    "strided windows of a series": (
        sliding_window_view(SERIES, N_TIMESTEPS, axis=0)[:N_SAMPLES].transpose(0, 2, 1),
        {"dtype": "float64"},
    ),
    "univariate windows of a series": (
        sliding_window_view(SERIES[:, 0], N_TIMESTEPS)[:N_SAMPLES],
        {"dtype": "float64"},
    ),
    "Fortran": (np.asfortranarray(X), {}),
    "flattened": (X.reshape(N_SAMPLES, -1), {"n_timesteps": N_TIMESTEPS}),
    "flattened Fortran": (
        np.asfortranarray(X.reshape(N_SAMPLES, -1)),
        {"n_timesteps": N_TIMESTEPS},
    ),
    "read-only": (read_only(X), {}),
}


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize(("data", "parameters"), NEVER_COPIED.values(), ids=NEVER_COPIED.keys())
def test_X_of_the_right_dtype_is_not_copied(data, parameters, shuffle, early_stopping, train_calls):
    model(**parameters, shuffle=shuffle, early_stopping=early_stopping).fit(data, y)
    assert all(call["X"].base is not None or call["X"] is data for call in train_calls)
    assert all(np.shares_memory(call["X"], data) for call in train_calls)
    assert len(train_calls[0]["X"]) == N_SAMPLES


@pytest.mark.parametrize(
    ("given", "dtype", "expected"),
    [
        (np.float32, "float32", np.float32),
        (np.float32, "float64", np.float64),
        (np.float64, "float32", np.float64),
        (np.int32, "float32", np.float64),
    ],
)
def test_predictions_are_float32_only_where_all_is_float32(given, dtype, expected):
    assert model(dtype=dtype).fit(X, y).predict(X.astype(given)).dtype == expected


def test_other_number_of_time_steps_raises():
    regressor = model().fit(X, y)
    with pytest.raises(ValueError, match=r"4 time steps, but LSTMRegressor was fitted with 6"):
        regressor.predict(X[:, :4])
    with pytest.raises(ValueError, match="4 time steps"):
        regressor.partial_fit(X[:, :4], y)


def test_predictions_that_overflow_raise():
    regressor = model().fit(X, y)
    regressor.output_coef_[:] = 3e38
    regressor.output_intercept_[:] = 3e38
    with pytest.raises(ValueError, match=r"\d+ of 60 predictions are not finite"):
        regressor.predict(X)


def test_prediction_does_not_depend_on_the_batch_it_is_in():
    regressor = model(max_iter=20).fit(X, y)
    one_by_one = np.concatenate([regressor.predict(X[[n]]) for n in range(N_SAMPLES)])
    assert_array_equal(one_by_one, regressor.predict(X))


def test_three_dimensional_input_is_announced_in_the_tags():
    tags = model().__sklearn_tags__()
    assert tags.input_tags.three_d_array
    assert tags.input_tags.two_d_array
    assert tags.target_tags.multi_output
    assert tags.target_tags.single_output
    assert tags.target_tags.required


# Order, randomness and threads


def test_shuffle_visits_every_sample_in_a_new_order_in_each_epoch(train_calls):
    model().fit(X, y)
    orders = [call["order"] for call in train_calls]
    for order in orders:
        assert_array_equal(np.sort(order), np.arange(N_SAMPLES))
    assert not np.array_equal(orders[0], orders[1])


def test_shuffle_false_visits_the_samples_as_they_come(train_calls):
    model(shuffle=False).fit(X, y)
    for call in train_calls:
        assert_array_equal(call["order"], np.arange(N_SAMPLES))


@pytest.mark.parametrize("early_stopping", [False, True])
def test_same_bits_for_one_two_and_three_threads(early_stopping):
    fits = [
        model(n_jobs=n_jobs, batch_size=50, hidden_size=9, early_stopping=early_stopping).fit(X, Y)
        for n_jobs in (1, 2, 3)
    ]
    for other in fits[1:]:
        assert_same_weights(fits[0], other)
        assert other.loss_curve_ == fits[0].loss_curve_
        assert other.validation_scores_ == fits[0].validation_scores_
        assert_array_equal(other.predict(X), fits[0].predict(X))


def test_seed_decides_everything():
    assert_same_weights(model().fit(X, y), model().fit(X, y))
    assert (model().fit(X, y)._parameters != model(random_state=1).fit(X, y)._parameters).any()


def test_random_state_instance_moves_on_from_fit_to_fit():
    state = np.random.RandomState(0)
    regressor = model(random_state=state).fit(X, y)
    first = regressor._parameters
    assert (regressor.fit(X, y)._parameters != first).any()
    assert_array_equal(model(random_state=np.random.RandomState(0)).fit(X, y)._parameters, first)


def test_parameters_reach_the_training_pass(train_calls, monkeypatch):
    monkeypatch.setattr(core, "effective_n_threads", lambda n_jobs: 10 + n_jobs)
    model(alpha=0.25, max_grad_norm=None, batch_size=7, n_jobs=2).fit(X, y)
    call = train_calls[0]
    assert (call["alpha"], call["max_grad_norm"], call["batch_size"]) == (0.25, None, 7)
    assert call["n_threads"] == 12


@pytest.mark.parametrize(
    ("solver", "settings", "expected"),
    [
        (
            "adam",
            {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-6},
            core.Adam(1, np.float32, learning_rate=0.02, beta_1=0.8, beta_2=0.99, epsilon=1e-6),
        ),
        (
            "sgd",
            {"momentum": 0.5, "nesterovs_momentum": False},
            core.SGD(1, np.float32, learning_rate=0.02, momentum=0.5, nesterov=False),
        ),
    ],
)
def test_solver_and_its_settings_reach_the_optimiser(solver, settings, expected, train_calls):
    model(solver=solver, learning_rate_init=0.02, **settings).fit(X, y)
    optimizer = train_calls[0]["optimizer"]
    assert type(optimizer) is type(expected)
    for name in ("learning_rate", *pylstm._base._SOLVERS[solver][1]):
        assert getattr(optimizer, name) == getattr(expected, name)


# Sample weights


@pytest.mark.parametrize("early_stopping", [False, True])
def test_zero_weight_is_the_same_as_leaving_the_sample_out(early_stopping):
    weight = np.tile([1.0, 0.0, 2.0], N_SAMPLES // 3)
    parameters = {"early_stopping": early_stopping, "validation_fraction": 0.2}
    weighted = model(**parameters).fit(X, y, sample_weight=weight)
    kept = weight > 0
    assert_same_weights(
        weighted, model(**parameters).fit(X[kept], y[kept], sample_weight=weight[kept])
    )
    assert weighted.validation_scores_ == (
        model(**parameters).fit(X[kept], y[kept], sample_weight=weight[kept]).validation_scores_
    )


def test_samples_of_zero_weight_are_never_visited(train_calls):
    weight = np.ones(N_SAMPLES)
    weight[::2] = 0
    regressor = model().fit(X, y, sample_weight=weight)
    assert regressor.t_ == 3 * N_SAMPLES // 2
    assert_array_equal(np.sort(train_calls[0]["order"]), np.arange(1, N_SAMPLES, 2))


def test_in_one_batch_weight_is_repetition_in_any_order():
    weight = rng.integers(0, 4, size=N_SAMPLES)
    repeated = rng.permutation(np.repeat(np.arange(N_SAMPLES), weight))
    weighted = model(batch_size=1000).fit(X, Y, sample_weight=weight)
    assert_same_weights(weighted, model(batch_size=1000).fit(X[repeated], Y[repeated]))


def test_weights_change_what_is_learned():
    weight = np.linspace(0.1, 5, N_SAMPLES)
    unweighted, weighted = model().fit(X, y), model().fit(X, y, sample_weight=weight)
    assert (unweighted._parameters != weighted._parameters).any()
    more = copy.deepcopy(unweighted).partial_fit(X, y, sample_weight=weight)
    assert (more._parameters != unweighted.partial_fit(X, y)._parameters).any()


def test_score_is_weighted():
    weight = np.linspace(0, 1, N_SAMPLES)
    regressor = model().fit(X, y)
    expected = r2_score(y, regressor.predict(X), sample_weight=weight)
    assert regressor.score(X, y, sample_weight=weight) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("weight", "message"), [(-np.ones(N_SAMPLES), "[Nn]egative"), (np.zeros(N_SAMPLES), "zero")]
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_negative_and_all_zero_weights_raise(method, weight, message):
    with pytest.raises(ValueError, match=message):
        getattr(model(), method)(X, y, sample_weight=weight)


# Early stopping


def test_last_samples_are_held_out_without_shuffling(train_calls):
    regressor = model(early_stopping=True, shuffle=False, validation_fraction=0.25).fit(X, y)
    for call in train_calls:
        assert_array_equal(call["order"], np.arange(45))
    expected = r2_score(y[45:], regressor.predict(X[45:]))
    assert regressor.best_validation_score_ == pytest.approx(expected, abs=1e-6)


def test_random_samples_are_held_out_with_shuffling(train_calls):
    regressor = model(early_stopping=True, validation_fraction=0.25).fit(X, y)
    trained = np.sort(train_calls[0]["order"])
    assert len(trained) == 45
    assert trained[-1] >= 45
    for call in train_calls:
        assert_array_equal(np.sort(call["order"]), trained)
    held_out = np.setdiff1d(np.arange(N_SAMPLES), trained)
    expected = r2_score(y[held_out], regressor.predict(X[held_out]))
    assert regressor.best_validation_score_ == pytest.approx(expected, abs=1e-6)


def test_early_stopping_restores_the_best_weights(monkeypatch):
    scores = iter([0.1, 0.9, 0.3, 0.2])
    monkeypatch.setattr(LSTMRegressor, "_validation_score", lambda *args: next(scores))
    stopped = model(early_stopping=True, n_iter_no_change=2, max_iter=50).fit(X, y)
    assert stopped.validation_scores_ == [0.1, 0.9, 0.3, 0.2]
    assert stopped.n_iter_ == len(stopped.loss_curve_) == 4
    assert stopped.best_validation_score_ == 0.9
    assert stopped.best_loss_ is None
    monkeypatch.undo()
    assert_same_weights(stopped, model(early_stopping=True, max_iter=2).fit(X, y))


def test_validation_score_that_is_not_finite_counts_as_no_improvement(monkeypatch):
    monkeypatch.setattr(LSTMRegressor, "_validation_score", lambda *args: np.nan)
    stopped = model(early_stopping=True, n_iter_no_change=2, max_iter=50).fit(X, y)
    assert stopped.n_iter_ == 2


def test_scoring_in_pieces_gives_the_same_scores(monkeypatch):
    whole = model(early_stopping=True, validation_fraction=0.5).fit(X, y)
    monkeypatch.setattr(pylstm._base, "_SCORED_AT_ONCE", 7 * N_TIMESTEPS * N_FEATURES)
    pieces = model(early_stopping=True, validation_fraction=0.5).fit(X, y)
    assert pieces.validation_scores_ == whole.validation_scores_


def test_given_validation_samples_are_used_and_no_others_held_out(train_calls):
    train, val = train_test_split(np.arange(N_SAMPLES), random_state=0)
    weight = np.linspace(1, 2, len(val))
    regressor = model(early_stopping=True).fit(
        X[train], y[train], X_val=X[val], y_val=y[val], sample_weight_val=weight
    )
    assert_array_equal(np.sort(train_calls[0]["order"]), np.arange(len(train)))
    expected = r2_score(y[val], regressor.predict(X[val]), sample_weight=weight)
    assert regressor.best_validation_score_ == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("early_stopping", "arguments", "message"),
    [
        (True, {"X_val": X}, "X_val is provided, but y_val was not provided"),
        (True, {"y_val": y}, "y_val is provided, but X_val was not provided"),
        (True, {"sample_weight_val": y}, "sample_weight_val is provided, but X_val and y_val"),
        (False, {"X_val": X, "y_val": y}, "early_stopping should be set to True"),
        (True, {"X_val": X[:, :3], "y_val": y}, "3 time steps"),
        (True, {"X_val": X[:, :, :1], "y_val": y}, "X has 1 features"),
        (True, {"X_val": X, "y_val": Y}, "y_val has 3 outputs, but y has 1"),
        (True, {"X_val": X, "y_val": y[:9]}, "inconsistent numbers of samples"),
        (True, {"X_val": X[:1], "y_val": y[:1]}, "validation set has 1 sample"),
    ],
)
def test_validation_samples_that_do_not_fit_raise(early_stopping, arguments, message):
    with pytest.raises(ValueError, match=message):
        model(early_stopping=early_stopping).fit(X, y, **arguments)


def test_too_small_a_part_to_hold_out_raises():
    with pytest.raises(ValueError, match="validation set has 1 sample"):
        model(early_stopping=True).fit(X[:5], y[:5])


# The end of training


def test_max_iter_warns_and_convergence_does_not():
    with pytest.warns(ConvergenceWarning, match="max_iter=3"):
        model().fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        regressor = model(tol=10.0, max_iter=50, n_iter_no_change=4, alpha=0.0).fit(X, y)
        model().partial_fit(X, y)
    assert regressor.n_iter_ == 5  # the first epoch improves on nothing, four more stall


@pytest.mark.filterwarnings("error")
def test_infinite_n_iter_no_change_asks_for_max_iter_epochs_without_a_warning():
    regressor = model(tol=10.0, max_iter=30, n_iter_no_change=np.inf).fit(X, y)
    assert regressor.n_iter_ == 30


def test_warnings_point_at_the_call_of_fit():
    with pytest.warns(ConvergenceWarning) as record:
        model().fit(X, y)
    assert record[0].filename == __file__


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_divergence_warns_what_to_change_and_keeps_the_first_weights(monkeypatch):
    with pytest.warns(ConvergenceWarning, match=r"learning_rate_init.*max_grad_norm.*standardise"):
        diverged = model(solver="sgd", learning_rate_init=1e20, max_grad_norm=None).fit(X, y)
    assert diverged.n_iter_ == 0
    assert np.isnan(diverged.loss_)
    assert np.isfinite(diverged.predict(X)).all()
    replace_pass(monkeypatch, 1, raises(KeyboardInterrupt))
    with pytest.warns(UserWarning, match="interrupted"):
        untrained = model().fit(X, y)
    assert_same_weights(diverged, untrained)


def test_divergence_keeps_the_best_weights(monkeypatch):
    def worse(params):
        params[:] = 1.0
        return 1e6

    best = model(max_iter=2).fit(X, y)
    assert best.loss_curve_[1] < best.loss_curve_[0]
    replace_pass(monkeypatch, 3, worse)
    replace_pass(monkeypatch, 4, lambda params: np.nan)
    with pytest.warns(ConvergenceWarning, match="diverged in epoch 4"):
        diverged = model(max_iter=9).fit(X, y)
    assert_same_weights(diverged, best)
    assert diverged.n_iter_ == 3
    assert diverged._optimizer.n_steps == 0


def test_stalling_worse_than_predicting_zero_warns():
    with pytest.warns(
        ConvergenceWarning, match=r"worse than that of an output of 0.*learning_rate"
    ):
        regressor = model(learning_rate_init=50.0, max_iter=100, n_iter_no_change=3).fit(X, y)
    assert regressor.n_iter_ < 100


def test_stalling_worse_than_predicting_zero_keeps_the_best_weights(monkeypatch):
    def worse(params):
        params[:] = 1.0
        return 2e6

    def bad(params):
        params[:] = 0.5
        return 1e6

    replace_pass(monkeypatch, 1, bad)
    replace_pass(monkeypatch, 2, worse)
    with pytest.warns(ConvergenceWarning, match="worse than that of an output of 0"):
        regressor = model(n_iter_no_change=1).fit(X, y)
    assert (regressor._parameters == 0.5).all()


def test_interrupt_keeps_the_last_finished_epoch(monkeypatch):
    two_epochs = model(max_iter=2).fit(X, y)
    replace_pass(monkeypatch, 3, raises(KeyboardInterrupt))
    regressor = model(max_iter=9)
    with pytest.warns(UserWarning, match="interrupted after 2 epochs"):
        assert regressor.fit(X, y) is regressor
    assert_same_weights(regressor, two_epochs)
    assert regressor.loss_curve_ == two_epochs.loss_curve_
    assert regressor.n_iter_ == 2


def test_interrupt_keeps_the_best_epoch_with_early_stopping(monkeypatch):
    scores = iter([0.9, 0.3])
    one_epoch = model(early_stopping=True, max_iter=1).fit(X, y)
    monkeypatch.setattr(LSTMRegressor, "_validation_score", lambda *args: next(scores))
    replace_pass(monkeypatch, 3, raises(KeyboardInterrupt))
    with pytest.warns(UserWarning, match="interrupted after 2 epochs"):
        regressor = model(early_stopping=True, max_iter=9).fit(X, y)
    assert_same_weights(regressor, one_epoch)


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize(
    ("bad_X", "bad_y", "parameters"),
    [
        (np.full_like(X, np.nan), y, {}),
        (X[:, :, :1], y[:-1], {}),
        (X, np.full_like(y, np.inf), {}),
        (X[:3], y[:3], {"early_stopping": True}),
    ],
)
def test_failing_fit_leaves_a_fitted_estimator_usable(bad_X, bad_y, parameters, warm_start):
    regressor = model(warm_start=warm_start).fit(X, y)
    before = copy.deepcopy(regressor)
    with pytest.raises(ValueError):
        regressor.set_params(**parameters).fit(bad_X, bad_y)
    assert_array_equal(regressor.predict(X), before.predict(X))
    assert regressor.n_features_in_ == before.n_features_in_
    assert regressor.loss_curve_ == before.loss_curve_


@pytest.mark.parametrize(("call", "failing_pass"), [("fit", 2), ("partial_fit", 1)])
def test_failure_within_training_leaves_a_fitted_estimator_usable(monkeypatch, call, failing_pass):
    regressor = model(warm_start=True, early_stopping=call == "fit").fit(X, y)
    before = copy.deepcopy(regressor)
    replace_pass(monkeypatch, failing_pass, raises(MemoryError))
    with pytest.raises(MemoryError):
        getattr(regressor, call)(X, y)
    assert_same_weights(regressor, before)
    assert regressor.loss_curve_ == before.loss_curve_
    assert regressor.validation_scores_ == before.validation_scores_
    monkeypatch.undo()
    assert_same_weights(getattr(regressor, call)(X, y), getattr(before, call)(X, y))


# Continuing


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("batch_size", [16, 100])
def test_n_calls_of_partial_fit_equal_a_fit_of_n_epochs(shuffle, solver, batch_size):
    parameters = {"shuffle": shuffle, "solver": solver, "batch_size": batch_size}
    whole = model(**parameters).fit(X, y)
    parts = model(**parameters)
    for _ in range(3):
        parts.partial_fit(X, y)
    assert_same_weights(parts, whole)
    assert parts.loss_curve_ == whole.loss_curve_
    assert (parts.n_iter_, parts.t_) == (whole.n_iter_, whole.t_) == (3, 3 * N_SAMPLES)


def test_warm_start_continues_weights_optimiser_and_random_stream():
    whole = model(max_iter=6).fit(X, y)
    parts = model(warm_start=True).fit(X, y).fit(X, y)
    assert_same_weights(parts, whole)
    assert parts.loss_curve_ == whole.loss_curve_
    assert parts.n_iter_ == 6


def test_without_warm_start_fit_starts_afresh():
    regressor = model().fit(X, y)
    assert_same_weights(copy.deepcopy(regressor).fit(X, y), regressor)
    assert regressor.fit(X[:, :, :1], Y).n_iter_ == 3


def test_warm_start_holds_out_the_same_samples(train_calls):
    regressor = model(warm_start=True, early_stopping=True).fit(X, y).fit(X, y)
    assert_array_equal(np.sort(train_calls[0]["order"]), np.sort(train_calls[-1]["order"]))
    assert len(regressor.validation_scores_) == regressor.n_iter_ == 6


def test_warm_start_with_early_stopping_never_ends_with_worse_weights(monkeypatch):
    regressor = model(warm_start=True, early_stopping=True, max_iter=40).fit(X, y)
    best, weights = regressor.best_validation_score_, regressor._parameters
    scores = iter([best, best - 1, best - 2])
    monkeypatch.setattr(LSTMRegressor, "_validation_score", lambda *args: next(scores))
    regressor.set_params(max_iter=2).fit(X, y)
    assert regressor.best_validation_score_ == best
    assert_array_equal(regressor._parameters, weights)


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
def test_new_learning_rate_and_solver_take_effect_when_continuing(train_calls, call):
    regressor = model(warm_start=True, max_iter=1).fit(X, y)
    getattr(regressor.set_params(learning_rate_init=0.5), call)(X, y)
    assert train_calls[-1]["optimizer"].learning_rate == 0.5
    assert train_calls[-1]["optimizer"].n_steps == 4
    for changed in ({"beta_1": 0.5}, {"solver": "sgd"}):
        getattr(regressor.set_params(**changed), call)(X, y)
        assert train_calls[-1]["optimizer"].n_steps == 0
    assert isinstance(train_calls[-1]["optimizer"], core.SGD)


@pytest.mark.parametrize("call", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    "changed", [{"hidden_size": 6}, {"num_layers": 2}, {"dtype": "float64"}], ids=str
)
def test_changed_network_cannot_be_continued(call, changed):
    regressor = model(warm_start=True).fit(X, y).set_params(**changed)
    name = next(iter(changed))
    with pytest.raises(ValueError, match=rf"{name}=\w+ \(was \w+\).*warm_start=False"):
        getattr(regressor, call)(X, y)


def test_other_number_of_outputs_cannot_be_continued():
    with pytest.raises(ValueError, match=r"number of outputs in y=3 \(was 1\)"):
        model().partial_fit(X, y).partial_fit(X, Y)


def test_partial_fit_refuses_early_stopping():
    with pytest.raises(ValueError, match="does not support early_stopping=True"):
        model(early_stopping=True).partial_fit(X, y)


def test_partial_fit_checks_parameters_in_every_call():
    regressor = model().partial_fit(X, y).set_params(batch_size=0)
    with pytest.raises(ValueError, match="'batch_size' parameter of LSTMRegressor must be"):
        regressor.partial_fit(X, y)


# Pickles


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_continues_exactly_after_a_pickle(solver):
    regressor = model(solver=solver).fit(X, y)
    restored = pickle.loads(pickle.dumps(regressor))
    assert_array_equal(restored.predict(X), regressor.predict(X))
    assert_same_weights(restored.partial_fit(X, y), regressor.partial_fit(X, y))


def with_format(number):
    state = model().fit(X, y).__getstate__()
    if number is None:
        del state["_pylstm_format"]
    else:
        state["_pylstm_format"] = number
    return state


def test_pickle_carries_the_format_version():
    assert model().__getstate__()["_pylstm_format"] == persistence.FORMAT == 1


def test_pickle_of_a_newer_format_is_refused():
    with pytest.raises(ValueError, match=r"format 2; the installed one reads formats up to 1"):
        LSTMRegressor().__setstate__(with_format(2))


@pytest.mark.parametrize("stamp", [None, "1.0", 0])
def test_foreign_pickle_is_refused(stamp):
    with pytest.raises(ValueError, match="no pickle of a pylstm LSTMRegressor"):
        LSTMRegressor().__setstate__(with_format(stamp))


def test_pickle_of_an_older_format_is_migrated(monkeypatch):
    old = with_format(1)
    old["hidden"] = old.pop("hidden_size")
    monkeypatch.setattr(persistence, "FORMAT", 3)
    monkeypatch.setitem(persistence.MIGRATIONS, 1, lambda state: {**state, "step": 2})
    monkeypatch.setitem(
        persistence.MIGRATIONS, 2, lambda state: {**state, "hidden_size": state["hidden"]}
    )
    restored = LSTMRegressor()
    restored.__setstate__(old)
    assert (restored.hidden_size, restored.step) == (5, 2)
    assert np.isfinite(restored.predict(X)).all()


# Progress


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


# Documentation


def test_docstring_gives_every_parameter_with_its_default():
    documented = dict(re.findall(r"^(\w+) : .*default=(.+)$", LSTMRegressor.__doc__, re.M))
    defaults = LSTMRegressor().get_params()
    assert documented.keys() == defaults.keys()
    for name, default in defaults.items():
        assert ast.literal_eval(documented[name]) == default, name


def test_docstring_lists_every_learned_attribute():
    regressor = model(early_stopping=True).fit(X, y)
    learned = {name for name in dir(regressor) if re.fullmatch(r"[a-z]\w*_", name)}
    section = LSTMRegressor.__doc__.split("Attributes\n")[1].split("See Also\n")[0]
    documented = set(re.findall(r"^(\w+) : ", section, re.M))
    assert documented == learned | {"feature_names_in_"}


def test_docstring_examples_run():
    result = doctest.testmod(pylstm._regressor)
    assert result.attempted > 0
    assert result.failed == 0
