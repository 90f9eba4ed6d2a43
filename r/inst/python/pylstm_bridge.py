"""What the R package asks of pylstm: one call for each request, and conditions that travel as data.

R calls the functions decorated with `answers`. Numbers arrive as R has them (whole numbers as floats, arrays
column by column), labels as codes of levels; models leave as the bytes of `pylstm.interop.save_model`.
"""

import contextlib
import copy
import ctypes
import functools
import inspect
import io
import os
import signal
import threading
import warnings

import numpy as np

import pylstm
from pylstm import core, interop, training
from pylstm.forecasting import predict_windows

_ESTIMATORS = {"regression": pylstm.LSTMRegressor, "classification": pylstm.LSTMClassifier}
_SETTINGS = {
    setting.__name__: setting
    for setting in (
        core.Huber,
        training.StepDecay,
        training.CosineDecay,
        training.ReduceOnPlateau,
        training.EMA,
        training.SWA,
    )
}


_INTERRUPTED = "interrupted"  # what R's functions return that Ctrl-C has ended
_LIBC = None if os.name == "nt" else ctypes.CDLL(None)


@contextlib.contextmanager
def _interruptible():
    """Ctrl-C is Python's alone meanwhile, and raises KeyboardInterrupt.

    R's own handler would tell R as well, which then ends by it in what it does next, the taking of the model
    say, or jumps out of a function that Python has called, over Python's frames.
    """
    if _LIBC is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    of_process = ctypes.create_string_buffer(1024)  # a struct sigaction, which is smaller anywhere
    _LIBC.sigaction(signal.SIGINT, None, of_process)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
        _LIBC.sigaction(signal.SIGINT, of_process, None)  # R's, or that of reticulate


def _call(function, *arguments):
    """Call an R function, one of `for_python`: it returns where R has a Ctrl-C of its own to heed."""
    found = function(*arguments)
    if isinstance(found, str) and found == _INTERRUPTED:
        raise KeyboardInterrupt
    return found


def answers(function):
    """Decorator: a call returns its value, and what R is to signal: None, or warnings and an error."""

    @functools.wraps(function)
    def call(*arguments, **options):
        value = error = None
        with warnings.catch_warnings(record=True) as caught, np.errstate(invalid="ignore"):
            # R's NA is a signalling NaN, on whose conversion to float32 NumPy remarks.
            warnings.simplefilter("always")
            try:
                with _interruptible():
                    value = function(*arguments, **options)
            except KeyboardInterrupt:
                error = ["KeyboardInterrupt", ""]
            except Exception as exception:
                error = [type(exception).__name__, str(exception)]
        if error is None and not caught:
            return value, None
        found = dict.fromkeys(
            (warning.category.__name__, str(warning.message)) for warning in caught
        )
        return value, {"warnings": [list(warning) for warning in found], "error": error}

    return call


class _EachEpoch(training.TrainingCallback):
    """An R function that is called after each epoch, and ends the training by FALSE."""

    def __init__(self, function):
        self._function = function

    def after_iteration(self, model, epoch, evals_log):
        figures = [values[-1] for values in evals_log.values()]
        return _call(self._function, epoch + 1, *figures) is False


class _Console(io.TextIOBase):
    """A text stream that ends on R's console."""

    def __init__(self, write):
        self._write = write

    def write(self, text):
        _call(self._write, text)
        return len(text)


def _on_console(write):
    if write is None:
        return contextlib.nullcontext()
    console, stack = _Console(write), contextlib.ExitStack()
    stack.enter_context(contextlib.redirect_stdout(console))
    stack.enter_context(contextlib.redirect_stderr(console))
    return stack


def _plain(value):
    """A parameter as Python has it: whole numbers as int, settings as objects of pylstm."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict) and "setting" in value:
        values = {name: _plain(item) for name, item in value.items() if name != "setting"}
        return _SETTINGS[value["setting"]](**values)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _parameters(parameters):
    return {name: _plain(value) for name, value in parameters.items()}


def _labelled(y, levels):
    """Codes, or a list of these, as labels; numbers as they are."""
    if y is None or levels is None:
        return y
    names = np.array(levels)
    if isinstance(y, list):
        return [names[codes] for codes in y]
    return names[y]


def _bytes_of(model):
    file = io.BytesIO()
    interop.save_model(model, file)
    return bytearray(file.getvalue())


def _network(model):
    """The estimator itself, of a model that may be a pipeline around it."""
    from pylstm._unwrap import unwrap

    return unwrap(model, "n_timesteps_", wrappers=("best_estimator_", "regressor_"))[0]


def _described(model):
    """What the R object holds of a fitted model."""
    network = _network(model)
    arch = network._architecture
    is_classifier = hasattr(network, "classes_")
    loss = "log_loss" if is_classifier else network.loss
    quantiles = getattr(network._loss, "quantiles", None)
    return {
        "type": "classification" if is_classifier else "regression",
        "n_features": arch.n_features,
        "n_timesteps": network.n_timesteps_,
        "n_targets": network._n_targets,
        "hidden_size": arch.hidden_size,
        "num_layers": arch.num_layers,
        "bidirectional": arch.bidirectional,
        "return_sequences": arch.return_sequences,
        "n_parameters": len(network._parameters),
        "loss": loss if isinstance(loss, str) else type(loss).__name__,
        "quantiles": None if quantiles is None else np.atleast_1d(quantiles).tolist(),
        "classes": [str(label) for label in network.classes_] if is_classifier else None,
        "has_booleans": is_classifier and network.classes_.dtype.kind == "b",
        "dtype": network._parameters.dtype.name,
        "missing": network.missing,
        "n_iter": network.n_iter_,
        "loss_curve": np.asarray(network.loss_curve_[: network.n_iter_], dtype=np.float64),
        "validation_scores": (
            None
            if network.validation_scores_ is None
            else np.asarray(network.validation_scores_, dtype=np.float64)
        ),
        "version": pylstm.__version__,
    }


def _result(model, **more):
    return {"handle": model, "bytes": _bytes_of(model), "about": _described(model), **more}


def _train(model, X, y, levels, weights, lengths, validation, on_epoch, write):
    model.set_params(callbacks=None if on_epoch is None else [_EachEpoch(on_epoch)])
    held_out = {}
    if validation is not None:
        held_out = {
            "X_val": validation["x"],
            "y_val": _labelled(validation["y"], levels),
            "sample_weight_val": validation.get("weights"),
            "lengths_val": validation.get("lengths"),
        }
    interrupted = False
    try:
        with _on_console(write):
            model.fit(X, _labelled(y, levels), weights, lengths=lengths, **held_out)
    except KeyboardInterrupt:
        if not hasattr(model, "n_iter_"):
            raise
        interrupted = True
    model.set_params(callbacks=None, warm_start=False)
    return interrupted


@answers
def fit(kind, parameters, X, y, levels, weights, lengths, validation, on_epoch, write):
    """Fit a new estimator."""
    model = _ESTIMATORS[kind](**_parameters(parameters))
    interrupted = _train(model, X, y, levels, weights, lengths, validation, on_epoch, write)
    return _result(model, interrupted=interrupted)


@answers
def go_on(model, parameters, X, y, levels, weights, lengths, validation, on_epoch, write):
    """Train a copy of a fitted estimator further."""
    model = copy.deepcopy(model).set_params(**_parameters(parameters), warm_start=True)
    interrupted = _train(model, X, y, levels, weights, lengths, validation, on_epoch, write)
    return _result(model, interrupted=interrupted)


@answers
def predict(model, X, lengths, what):
    """Predictions of a kind: "response", "std" (with the mean), "class" (codes), "prob", "hidden"."""
    options = {} if lengths is None else {"lengths": lengths}
    if what == "response":
        return model.predict(X, **options)
    if what == "std":
        return list(model.predict(X, return_std=True, **options))
    if what == "class":
        labels, classes = model.predict(X, **options), _network(model).classes_
        if isinstance(labels, list):  # of the time steps of each sequence
            return [np.searchsorted(classes, of_steps).astype(np.int32) for of_steps in labels]
        return np.searchsorted(classes, labels).astype(np.int32)
    if what == "prob":
        return model.predict_proba(X, **options)
    return model.transform(X, **options)


@answers
def restore(content):
    """The estimator whose bytes these are."""
    return interop.load_model(io.BytesIO(bytes(content)))


@answers
def load(path):
    """A model from a file."""
    return _result(interop.load_model(path))


@answers
def save(model, path, optimizer):
    """Write a model to a file."""
    interop.save_model(model, path, optimizer=optimizer)


@answers
def coefficients(model):
    """Weights and biases by name."""
    network = _network(model)
    return {name: np.array(array) for name, array in network._named_parameters().items()}


@answers
def gates(model, X, lengths, layer, direction):
    """What the gates of a layer do at each time step."""
    activations = model.gate_activations(X, lengths=lengths, layer=layer, direction=direction)
    return {name: np.array(values) for name, values in activations._asdict().items()}


@answers
def open_stream(model):
    """A predictor that takes one time step after the other."""
    return model.stream()


@answers
def stream_steps(stream, X):
    """The outputs after each of several time steps, one row for each."""
    return np.stack([np.atleast_1d(stream.step(x)) for x in np.ascontiguousarray(X)])


@answers
def stream_reset(stream):
    """Start the next sequence."""
    stream.reset()


@answers
def stream_states(stream):
    """Hidden and cell states."""
    return list(stream.states)


@answers
def set_stream_states(stream, h, c):
    """Go on from these states."""
    stream.states = h, c


@answers
def forecast(model, history, steps, horizon, known, interval, n_paths, seed):
    """A forecast beyond the end of a series: its values, or these and two bounds."""
    options = {} if interval is None else {"interval": interval, "n_paths": int(n_paths)}
    found = pylstm.forecast(
        model,
        history,
        int(steps),
        horizon=range(1, int(horizon) + 1) if horizon > 1 else 1,
        known=known,
        random_state=seed,
        **options,
    )
    return [np.asarray(values) for values in (found if interval is not None else [found])]


def _first_of_horizons(forecaster, series, known=None, interval=None):
    """What is predicted for each step from the steps before it, (n_windows,) or (n_windows, n_targets).

    In a list, with an interval its bounds as well. Known features are read `horizon` steps ahead: they
    say how far predictions go.
    """
    window, horizon = int(forecaster.window), int(forecaster.horizon)
    if known is None:
        X, _ = pylstm.sliding_windows(series, window=window)
    else:
        n_after = min(len(known) - len(series), horizon - 1)
        after = np.zeros((n_after, *np.shape(series)[1:]))  # of which no window reads anything
        X, _ = pylstm.sliding_windows(
            np.concatenate([series, after]),
            window=window,
            horizon=horizon,
            known=known[: len(series) + n_after],
        )
    found = predict_windows(forecaster.model_, X, horizon, interval, forecaster._widening(interval))
    return [values[:, 0, 0] if np.ndim(series) == 1 else values[:, 0] for values in found]


def _with_known(series, known):
    """The array whose last columns are known, and these alone of the steps that follow."""
    if known is None:
        return series, None
    own = series if np.ndim(series) == 2 else series[:, np.newaxis]
    return np.hstack([own, known[: len(own)]]), known[len(own) :]


def _forecaster(settings, estimator=None):
    return pylstm.LSTMForecaster(estimator=estimator, **_parameters(settings))


@answers
def fit_series(settings, parameters, series, known, write):
    """Fit a forecaster to a series, and to what is known in advance."""
    forecaster = _forecaster(settings, pylstm.LSTMRegressor(**_parameters(parameters)))
    interrupted = False
    try:
        with _on_console(write):
            forecaster.fit(_with_known(series, known)[0])
    except KeyboardInterrupt:
        if not hasattr(forecaster, "model_"):
            raise
        interrupted = True
    scores = forecaster.calibration_scores_
    return _result(
        forecaster.model_,
        interrupted=interrupted,
        levels=[float(level) for level in scores],
        scores=[np.asarray(values) for values in scores.values()],
        shares=forecaster.shares_._asdict(),
        fitted=_first_of_horizons(forecaster, series, known)[0],
        forecaster=forecaster,
    )


@answers
def restore_series(model, settings, levels, scores, series, known):
    """The forecaster of a fitted network and of what was learned beside it."""
    forecaster = _forecaster(settings)
    forecaster.model_, forecaster.series_ = model, _with_known(series, known)[0]
    forecaster.calibration_scores_ = dict(zip(levels, scores, strict=True))
    forecaster._n_calibrating = 1  # series
    return forecaster


@answers
def predict_series(forecaster, series, known, interval):
    """One step ahead, all along a series: predictions, with an interval its bounds as well."""
    return _first_of_horizons(forecaster, series, known, interval)


@answers
def forecast_series(forecaster, steps, levels, series, known):
    """Forecast: the predictions, then lower and upper bounds for each level.

    With a series `known` begins where it does; without one it follows that of the fit.
    """
    if series is not None:
        series, known = _with_known(series, known)
    options = {"series": series, "known": known}
    if not levels:
        return [np.asarray(forecaster.forecast(int(steps), interval=None, **options))]
    found = []
    for level in levels:
        prediction, *bounds = forecaster.forecast(int(steps), interval=level, **options)
        found += bounds
    return [np.asarray(values) for values in (prediction, *found)]


@answers
def backtest_series(settings, parameters, series, known, n_origins, step, season, interval):
    """Errors of forecasts from several origins in the past, beside naive ones."""
    forecaster = _forecaster(settings, pylstm.LSTMRegressor(**_parameters(parameters)))
    tested = forecaster.backtest(
        int(n_origins),
        step=step,
        season=season,
        interval=interval,
        series=_with_known(series, known)[0],
    )
    return {
        "methods": list(tested.errors),
        "errors": {
            metric: np.array([errors[metric] for errors in tested.errors.values()])
            for metric in ("MAE", "RMSE", "MASE", "coverage")
        },
        "by_horizon": {
            metric: np.array([errors[metric] for errors in tested.errors_by_horizon.values()])
            for metric in ("MAE", "RMSE", "MASE", "coverage")
        },
    }


@answers
def attributions(model, X, baseline, lengths):
    """Integrated gradients of the predictions for X."""
    found = pylstm.inspection.integrated_gradients(model, X, baseline=baseline, lengths=lengths)
    return {
        "values": np.asarray(found.values),
        "base_values": np.asarray(found.base_values),
        "predictions": np.asarray(found.predictions),
    }


def detached(model):
    """A copy of the estimator, for a user of Python."""
    return copy.deepcopy(model)


@answers
def defaults():
    """Parameters of both estimators with their defaults."""
    return {
        kind: {
            name: parameter.default
            for name, parameter in inspect.signature(estimator).parameters.items()
        }
        for kind, estimator in _ESTIMATORS.items()
    }


@answers
def config():
    """What `show_config` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        pylstm.show_config()
    return text.getvalue()
