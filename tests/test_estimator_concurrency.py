"""Threads that predict while another one fits: each result is that of one model, the old or the new one."""

import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import pytest
from helpers.estimators import LABELS, LENGTHS, Y_STEPS, X, Y, classifier, model, y
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV

from pylstm import forecast

WIDE = np.concatenate([X, X[..., ::-1]], axis=2)  # four features


class At:
    """An array that does something when it is looked at: in the middle of whatever looks."""

    def __init__(self, array, event):
        self.array, self.event = np.asarray(array), event

    def __array__(self, dtype=None, copy=None):
        event, self.event = self.event, lambda: None
        event()
        return self.array if dtype is None else self.array.astype(dtype)


# What is fitted in the middle of a call that uses a `model`, or a `classifier`, of y by X.
REFITS = {
    "other weights": ({"random_state": 1}, X, y),
    "more units": ({"hidden_size": 9, "num_layers": 2}, X, y),
    "two targets": ({}, X, Y),
    "each time step": ({"return_sequences": True, "loss": "gaussian"}, X, Y_STEPS),
    "more features": ({"bidirectional": True}, WIDE, y),
    "scaled windows": ({"window_scaling": "standard", "target_features": 1, "highway": 2}, X, y),
    "flattened windows": ({"n_timesteps": 3, "dtype": "float64"}, X.reshape(len(X), -1), y),
}
CALLS = {
    "predict": lambda fitted, lengths: fitted.predict(X, lengths=lengths),
    "score": lambda fitted, lengths: fitted.score(X, y, lengths=lengths),
    "transform": lambda fitted, lengths: fitted.transform(X, lengths=lengths),
    "gates": lambda fitted, lengths: fitted.gate_activations(X, lengths=lengths).cell,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("parameters", "new_X", "new_y"), REFITS.values(), ids=REFITS)
def test_a_fit_in_the_middle_of_a_prediction_does_not_change_it(call, parameters, new_X, new_y):
    fitted = model().fit(X, y)
    expected = call(fitted, LENGTHS)

    def refit():
        fitted.set_params(**parameters).fit(new_X, new_y)

    assert_array_equal(call(fitted, At(LENGTHS, refit)), expected)
    assert fitted.n_features_in_ == new_X.shape[-1]  # it did happen


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba"])
def test_a_fit_in_the_middle_of_a_prediction_does_not_change_its_classes(method):
    fitted = classifier().fit(X, LABELS)
    expected = getattr(fitted, method)(X, lengths=LENGTHS)

    def refit():
        fitted.set_params(hidden_size=9).fit(WIDE, np.digitize(y, [-0.5, 0.5]))

    assert_array_equal(getattr(fitted, method)(X, lengths=At(LENGTHS, refit)), expected)


def test_a_fit_in_the_middle_of_a_transformation_leaves_the_names_of_its_columns():
    fitted = model().fit(X, y).set_output(transform="pandas")
    expected = fitted.transform(X, lengths=LENGTHS)
    lengths = At(LENGTHS, lambda: fitted.set_params(hidden_size=9).fit(X, y))
    pd.testing.assert_frame_equal(fitted.transform(X, lengths=lengths), expected)


def test_a_stream_keeps_the_loss_that_it_was_opened_with():
    fitted = model(loss="poisson").fit(X, np.abs(y))
    expected = fitted.predict(X[:1])[0]
    stream = fitted.stream()
    fitted.set_params(loss="squared_error").fit(X, Y)
    assert [stream.step(x) for x in X[0]][-1] == expected


def test_a_fit_in_the_middle_of_a_recursive_forecast_does_not_change_it(monkeypatch):
    fitted = model().fit(X[..., :1], X[:, -1, 0])
    expected = forecast(fitted, X[0, :, 0], steps=4)
    calls = []
    real_predict = type(fitted).predict

    def predict(self, *args, **options):
        calls.append(None)
        if len(calls) == 2:
            fitted.set_params(hidden_size=9).fit(X[..., :1], X[:, -1, 0])
        return real_predict(self, *args, **options)

    monkeypatch.setattr(type(fitted), "predict", predict)
    assert_array_equal(forecast(fitted, X[0, :, 0], steps=4), expected)
    assert fitted.hidden_size == 9


def test_threads_that_predict_get_the_results_of_one_of_the_models():
    given = [(X, y), (WIDE.reshape(len(X), -1), Y)]  # of other sizes, targets and dimensions
    settings = [
        {"hidden_size": 3, "num_layers": 1, "n_timesteps": None},
        {"hidden_size": 11, "num_layers": 2, "n_timesteps": X.shape[1]},
    ]
    expected = [
        model(**parameters).fit(*data).predict(data[0])
        for data, parameters in zip(given, settings, strict=True)
    ]
    fitted = model(**settings[0]).fit(*given[0])
    done = threading.Event()

    def predict():
        """How often each model has answered; the other one refuses the samples."""
        n_answers = [0, 0]
        while not done.is_set():
            for number in range(2):
                try:
                    predicted = fitted.predict(given[number][0])
                except ValueError as error:
                    assert "features" in str(error)  # noqa: PT017 (the other model's answer)
                else:
                    assert_array_equal(predicted, expected[number])
                    n_answers[number] += 1
        return n_answers

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(predict) for _ in range(4)]
        try:
            for n in range(50):
                number = n % 2
                fitted.set_params(**settings[number]).fit(*given[number])
        finally:
            done.set()
        assert np.sum([reader.result() for reader in readers], axis=0).min() > 0


def test_a_search_over_threads_has_the_scores_of_one_without():
    def scores(n_jobs):
        search = GridSearchCV(model(max_iter=3), {"hidden_size": [2, 5, 10]}, cv=2, n_jobs=n_jobs)
        with joblib.parallel_config("threading"):
            return search.fit(X, y).cv_results_["mean_test_score"]

    assert_array_equal(scores(2), scores(1))
