"""Estimators as JSON and arrays, and back: every class and attribute that may be in a file.

`Encoder` and `Decoder` stand side by side in the same order. A class that is not in the tables here can
neither be saved nor loaded, so that a file cannot call anything.
"""

import math
import re
from dataclasses import fields

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from .. import core, training
from .._base import BaseLSTM
from .._fitting import Weights
from .._layout import SequenceLayout
from .._losses import LogLoss, Loss
from .._options import WINDOW_SCALINGS
from .._scaler import SequenceScaler
from .._typing import Array
from .._units import Standard, Units
from ._network import ESTIMATORS, FittedNetwork, History, check_network, read_network, write_network

_CLASSES: dict[str, type[BaseEstimator]] = {
    **ESTIMATORS,
    "Pipeline": Pipeline,
    "SequenceLayout": SequenceLayout,
    "SequenceScaler": SequenceScaler,
    "StandardScaler": StandardScaler,
    "TransformedTargetRegressor": TransformedTargetRegressor,
}

# Frozen dataclasses: losses, schedules and averages.
_SETTINGS: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        core.SquaredError, core.AbsoluteError, core.Huber, core.Quantile, core.Poisson, core.Gaussian,
        LogLoss, core.Architecture, training.StepDecay, training.CosineDecay,
        training.ReduceOnPlateau, training.EMA, training.SWA,
    )
}  # fmt: skip

# What an optimiser is made with, beside the number of parameters.
_OPTIMIZERS: dict[str, tuple[type, tuple[str, ...]]] = {
    "Adam": (core.Adam, ("beta_1", "beta_2", "epsilon")),
    "AdamW": (core.AdamW, ("beta_1", "beta_2", "epsilon", "weight_decay")),
    "RMSprop": (core.RMSprop, ("decay", "epsilon")),
    "SGD": (core.SGD, ("momentum", "nesterov")),
}

# What the running averages have gathered.
_AVERAGES = {
    "EMA": (training.EMA, {"arrays": ("_average",), "numbers": ("_n_updates", "_n_coming")}),
    "SWA": (training.SWA, {"arrays": ("parameters", "_sum"), "numbers": ("_n_epochs",)}),
}

# Dtypes of labels and names that are written as JSON.
_LABEL_DTYPES = re.compile(
    r"[|<>=]?(b1|[iu][1248]|f[248]|U\d{1,6}|O|[mM]8(\[\d{0,9}[A-Za-z]{1,2}\])?)"
)
_MOST_LABEL_BYTES = 2**28

_MOST_COLUMNS = 2**20  # of a layout: for what a file says of them, memory is asked for

_SCALER_ARRAYS = ("mean_", "var_", "scale_")


class Encoder:
    """Makes JSON of estimators, and gathers their arrays.

    Parameters
    ----------
    keep_optimizer : bool
        Whether to keep what only further training needs.

    Attributes
    ----------
    arrays : dict of str to ndarray
        The arrays so far, by the names that the JSON has for them.
    """

    def __init__(self, keep_optimizer: bool) -> None:
        self.arrays: dict[str, Array] = {}
        self._keep_optimizer = keep_optimizer

    def fitted(self, model, place=""):
        """An estimator that must be fitted, at a place such as "regressor_.1."."""
        encoded = self.unfitted(model, place)
        check_is_fitted(model)
        if isinstance(model, BaseLSTM):
            encoded["fitted"] = self._network(model, place)
        elif isinstance(model, StandardScaler):
            encoded["fitted"] = self._standard_scaler(model)
        elif isinstance(model, SequenceScaler):
            encoded["fitted"] = {
                "n_dims_in": model._n_dims_in,
                "scaler": self._standard_scaler(model.scaler_),
                **self._features_in(model),
            }
        elif isinstance(model, SequenceLayout):
            encoded["fitted"] = {"shape_in": list(model._shape_in), **self._features_in(model)}
        elif isinstance(model, TransformedTargetRegressor):
            encoded["fitted"] = {
                "training_dim": int(model._training_dim),
                "regressor": self.fitted(model.regressor_, f"{place}regressor_."),
                "transformer": self.fitted(model.transformer_, f"{place}transformer_."),
            }
        return encoded

    def unfitted(self, model, place):
        """Class, parameters and scikit-learn's settings of an estimator."""
        cls = type(model)
        if _CLASSES.get(cls.__name__) is not cls:
            raise TypeError(_no_form(model))
        parameters = model.get_params(deep=False)
        parameters.pop("callbacks", None)  # of the program that trains
        encoded = {"class": cls.__name__}
        if isinstance(model, Pipeline):
            if model.memory is not None:
                raise TypeError("A Pipeline with memory cannot be saved: set memory=None.")
            encoded["steps"] = [
                [name, self._step(step, f"{place}{number}.")]
                for number, (name, step) in enumerate(parameters.pop("steps"))
            ]
        encoded["parameters"] = {
            name: self._parameter(model, name, value, f"{place}{name}.")
            for name, value in parameters.items()
        }
        return encoded | _sklearn_settings(model)

    def _step(self, step, place):
        """A step of a Pipeline, which is fitted in its place."""
        if step is None or isinstance(step, str):
            return step
        try:
            check_is_fitted(step)
        except ValueError:  # NotFittedError: of a Pipeline that is a parameter
            return self.unfitted(step, place)
        return self.fitted(step, place)

    def _parameter(self, model, name, value, place):
        if isinstance(value, BaseEstimator):
            return {"estimator": self.unfitted(value, place)}
        try:
            return self.value(value, place)
        except TypeError:
            raise TypeError(
                f"A file that holds no code has no form for {name}={value!r} of "
                f"{type(model).__name__}. Set it to another value before saving, or pickle the model."
            ) from None

    def value(self, value, place):
        """A setting: a number, text, or collection of such, a loss, schedule, average, random state."""
        if isinstance(value, np.bool_ | np.integer | np.floating):
            value = value.item()
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, list):
            return [self.value(item, place) for item in value]
        if isinstance(value, tuple):
            return {"tuple": [self.value(item, place) for item in value]}
        if isinstance(value, dict):
            pairs = [
                [self.value(key, place), self.value(item, place)] for key, item in value.items()
            ]
            return {"dict": pairs}
        if isinstance(value, np.random.RandomState):
            return {"random_state": self._random_state(value, place)}
        if isinstance(value, np.ndarray):
            return {"array": _encode_labels(value)}
        name = type(value).__name__
        if _SETTINGS.get(name) is type(value):
            arguments = {
                field.name: self.value(getattr(value, field.name), place) for field in fields(value)
            }
            return {"settings": name, "arguments": arguments}
        raise TypeError(f"No form for {value!r}.")

    def _random_state(self, random_state, place):
        state = random_state.get_state(legacy=False)
        if state["bit_generator"] != "MT19937":
            raise TypeError(f"No form for a RandomState of {state['bit_generator']}.")
        name = self._array(f"{place}random_state", np.asarray(state["state"]["key"], np.uint32))
        return {
            "key": name,
            "pos": int(state["state"]["pos"]),
            "has_gauss": int(state["has_gauss"]),
            "gauss": self.value(float(state["gauss"]), place),
        }

    def _array(self, name, array):
        self.arrays[name] = array
        return name

    def _network(self, model, place):
        network = read_network(model)
        check_network(model, network)
        named = core.unpack_parameters(network.parameters, network.architecture)
        for name, array in named.items():
            self._array(f"{place}{name}", array)
        history = network.history
        curves = {
            name: None if curve is None else self._array(f"{place}{name}", np.array(curve, float))
            for name, curve in (
                ("loss_curve", history.loss_curve),
                ("validation_scores", history.validation_scores),
            )
        }
        plain = {
            name: self.value(getattr(network, name), place)
            for name in (
                "architecture", "loss", "n_targets", "n_timesteps", "n_features_in",
                "feature_names_in", "classes", "has_target_axis", "carries_state",
                "standardizes", "was_told_lengths", "split_seed",
            )
        }  # fmt: skip
        plain["units"] = self._units(network.units)
        plain["history"] = curves | {
            name: self.value(value, place)
            for name, value in history._asdict().items()
            if name not in curves
        }
        plain["random_state"] = self._random_state(network.random_state, place)
        plain["optimizer"] = plain["average"] = None
        if self._keep_optimizer and network.optimizer is not None:
            plain["optimizer"] = self._optimizer(network.optimizer, place)
            plain["average"] = self._average(network.weights, place)
        return plain

    def _units(self, units):
        return {
            "kind": units.kind,
            "features": self.value(units.features, ""),
            "feature_of": self.value(units.feature_of, ""),
            "inputs": [self.value(array, "") for array in units.inputs],
            "targets": units.targets and [self.value(array, "") for array in units.targets],
        }

    def _optimizer(self, optimizer, place):
        name = type(optimizer).__name__
        return {
            "class": name,
            "settings": {
                setting: self.value(getattr(optimizer, setting), place)
                for setting in _OPTIMIZERS[name][1]
            },
            "moments": self._array(f"{place}moments", optimizer.moments),
            "n_steps": optimizer.n_steps,
        }

    def _average(self, weights, place):
        """The weights that move, and what the average that is in use has gathered."""
        state = weights._average
        if state is None:
            return None
        name = type(state.settings).__name__
        cls, parts = _AVERAGES.get(name, (None, None))
        if cls is not type(state.settings):
            raise TypeError(
                f"A file that holds no code has no form for the average {state.settings!r}. Save "
                "without the optimizer, or pickle the model."
            )
        gathered = {part: getattr(state, part) for part in parts["arrays"]}
        return {
            "settings": self.value(state.settings, place),
            "moving": self._array(f"{place}moving", weights.moving),
            "arrays": {
                part: self._array(f"{place}average.{part.strip('_')}", value)
                for part, value in gathered.items()
                if isinstance(value, np.ndarray)  # there is no mean before the first epoch
            },
            "numbers": {part: getattr(state, part) for part in parts["numbers"]},
        }

    def _standard_scaler(self, scaler):
        arrays = {name: getattr(scaler, name) for name in _SCALER_ARRAYS}
        return {
            **self._features_in(scaler),
            "n_samples_seen": self.value(np.atleast_1d(scaler.n_samples_seen_), ""),
            **{name: self.value(array, "") for name, array in arrays.items()},
        }

    def _features_in(self, model):
        names = getattr(model, "feature_names_in_", None)
        return {
            "n_features_in": int(model.n_features_in_),
            "feature_names_in": None if names is None else self.value(names, ""),
        }


class Decoder:
    """Makes estimators of what an `Encoder` has made of them.

    Whatever is not as an encoder leaves it raises an error: ValueError where it is well-formed, any other
    where it is not.

    Parameters
    ----------
    arrays : dict of str to ndarray
        The arrays of the file.
    """

    def __init__(self, arrays: dict[str, Array]) -> None:
        self._arrays = arrays
        self._left = set(arrays)

    def whole(self, encoded):
        """The model of a file, every array of which must be a part of it."""
        model = self.fitted(encoded)
        check_is_fitted(model)
        if self._left:
            raise ValueError(f"the arrays {sorted(self._left)[:5]} belong to nothing")
        return model

    def fitted(self, encoded, place=""):
        """A fitted estimator."""
        model = self.unfitted(encoded, place)
        if isinstance(model, Pipeline):
            return model
        learned = encoded["fitted"]
        if isinstance(model, BaseLSTM):
            write_network(model, self._network(learned, model, place))
        elif isinstance(model, StandardScaler):
            self._standard_scaler(model, learned)
        elif isinstance(model, SequenceScaler):
            model._n_dims_in = _whole(learned["n_dims_in"], 2, 3)
            model.scaler_ = StandardScaler(with_mean=model.with_mean, with_std=model.with_std)
            model.scaler_.set_output(transform="default")
            self._standard_scaler(model.scaler_, learned["scaler"])
            self._features_in(model, learned)
        elif isinstance(model, SequenceLayout):
            self._features_in(model, learned)
            self._layout(model, learned["shape_in"])
        else:
            model._training_dim = _whole(learned["training_dim"], 1, 2)
            model.regressor_ = self.fitted(learned["regressor"], f"{place}regressor_.")
            model.transformer_ = self.fitted(learned["transformer"], f"{place}transformer_.")
            if hasattr(model.regressor_, "feature_names_in_"):
                model.feature_names_in_ = model.regressor_.feature_names_in_
        return model

    def unfitted(self, encoded, place):
        """An estimator with its parameters, whose values are checked as `fit` does."""
        cls = _CLASSES[encoded["class"]]
        parameters = {
            name: self._parameter(value, f"{place}{name}.")
            for name, value in encoded["parameters"].items()
        }
        known = set(cls._get_param_names())
        if unknown := set(parameters) - known:
            raise ValueError(
                f"{cls.__name__} has no parameters {sorted(unknown)}; a newer pylstm may have"
            )
        if cls is Pipeline:
            steps = [
                (_text(name), self._step(step, f"{place}{number}."))
                for number, (name, step) in enumerate(encoded["steps"])
            ]
            model = Pipeline(steps, **parameters)
            model._validate_steps()
            if model.memory is not None:  # a folder that a file would choose
                raise ValueError("a Pipeline with memory")
        else:
            model = cls(**parameters)
            model._validate_params()
        if isinstance(model, BaseLSTM):
            model._check_combinations()
        _restore_sklearn_settings(model, encoded)
        return model

    def _layout(self, model, shape):
        """What it learns is learned again, from no more than a shape and names."""
        shape = tuple(_whole(size, 1, _MOST_COLUMNS) for size in shape)
        if len(shape) not in (1, 2) or shape[-1] != model.n_features_in_:
            raise ValueError(f"{shape} is no shape of samples of {model.n_features_in_} features")
        model._learn(shape)

    def _step(self, encoded, place):
        if encoded is None or encoded == "passthrough":
            return encoded
        if "fitted" in encoded or encoded["class"] == "Pipeline":
            return self.fitted(encoded, place)
        return self.unfitted(encoded, place)

    def _parameter(self, encoded, place):
        if isinstance(encoded, dict) and "estimator" in encoded:
            return self.unfitted(encoded["estimator"], place)
        return self.value(encoded)

    def value(self, encoded):
        """A setting."""
        if encoded is None or isinstance(encoded, bool | int | str | float):
            return encoded
        if isinstance(encoded, list):
            return [self.value(item) for item in encoded]
        ((kind, content), *more) = encoded.items()
        if kind == "settings":
            ((_, arguments),) = more
            arguments = {name: self.value(value) for name, value in arguments.items()}
            return _SETTINGS[content](**arguments)
        if more:
            raise ValueError(f"{encoded!r:.100} is no setting")
        if kind == "float" and content in ("inf", "-inf", "nan"):
            return float(content)
        if kind == "tuple":
            return tuple(self.value(item) for item in content)
        if kind == "dict":
            return {self.value(key): self.value(item) for key, item in content}
        if kind == "random_state":
            return self._random_state(content)
        if kind == "array":
            return _decode_labels(content)
        raise ValueError(f"{encoded!r:.100} is no setting")

    def _random_state(self, encoded):
        random_state = np.random.RandomState()
        random_state.set_state(
            {
                "bit_generator": "MT19937",
                "state": {
                    "key": self._array(encoded["key"], (624,), np.uint32),
                    "pos": _whole(encoded["pos"], 0, 624),
                },
                "has_gauss": _whole(encoded["has_gauss"], 0, 1),
                "gauss": _number(self.value(encoded["gauss"])),
            }
        )
        return random_state

    def _array(self, name, shape, dtype):
        """An array of the file, once, of the shape and dtype that it must have."""
        array = self._arrays[name]
        self._left.remove(name)
        if array.dtype != dtype or array.shape != tuple(
            size if wanted is None else wanted
            for size, wanted in zip(array.shape, shape, strict=True)
        ):
            raise ValueError(
                f"the array {name!r} is of shape {array.shape} and {array.dtype}, not of {shape} and "
                f"{np.dtype(dtype)}"
            )
        return array

    def _network(self, encoded, model, place):
        arch, loss = self.value(encoded["architecture"]), self.value(encoded["loss"])
        if not (isinstance(arch, core.Architecture) and isinstance(loss, Loss)):
            raise ValueError(f"{arch!r} is no architecture, or {loss!r} no loss")
        if encoded["carries_state"] and arch.bidirectional:
            raise ValueError("a bidirectional network that carries states")
        parameters = self._parameters(arch, place)
        n_params, dtype = len(parameters), parameters.dtype
        history = dict(encoded["history"])
        for name in ("loss_curve", "validation_scores"):
            if history[name] is not None:
                history[name] = self._array(history[name], (None,), np.float64).tolist()
        history = History(**{name: self.value(value) for name, value in history.items()})
        _check_history(history)
        weights = Weights(parameters)
        if encoded["average"] is not None:
            self._average(weights, encoded["average"])
        optimizer = encoded["optimizer"]
        return FittedNetwork(
            architecture=arch,
            weights=weights,
            loss=loss,
            units=self._units(encoded["units"]),
            n_targets=_whole(encoded["n_targets"], 1),
            n_timesteps=_whole_or_none(encoded["n_timesteps"], 1),
            n_features_in=_whole(encoded["n_features_in"], 1),
            feature_names_in=_names(self.value(encoded["feature_names_in"])),
            classes=_labels(self.value(encoded["classes"])),
            has_target_axis=_has_target_axis(encoded["has_target_axis"], arch, model),
            carries_state=_truth(encoded["carries_state"]),
            standardizes=_truth(encoded["standardizes"]),
            was_told_lengths=_truth(encoded["was_told_lengths"]),
            history=history,
            optimizer=None if optimizer is None else self._optimizer(optimizer, n_params, dtype),
            random_state=self._random_state(encoded["random_state"]),
            split_seed=_whole(encoded["split_seed"], 0, 2**32 - 1),
        )

    def _units(self, encoded):
        kind, targets = encoded["kind"], encoded["targets"]
        if kind is not None and kind not in WINDOW_SCALINGS:
            raise ValueError(f"{kind!r:.50} is no scaling of windows")
        return Units(
            kind,
            self.value(encoded["features"]),
            self.value(encoded["feature_of"]),
            Standard(*(self.value(array) for array in encoded["inputs"])),
            None if targets is None else Standard(*(self.value(array) for array in targets)),
        )

    def _parameters(self, arch, place):
        """The flat vector of the weights, made of arrays that are compared with the architecture."""
        # Before anything of its size is made: each layer and each dimension has arrays in the file.
        largest = max((array.size for array in self._arrays.values()), default=0)
        sizes = (arch.n_features, arch.hidden_size, arch.n_outputs)
        if arch.num_layers > len(self._arrays) or max(sizes) > largest:
            raise ValueError(f"the arrays are not those of {arch}")
        dtype = self._arrays[f"{place}d"].dtype
        named = {
            name: self._array(f"{place}{name}", shape, dtype)
            for name, shape in core.parameter_shapes(arch).items()
        }
        return core.pack_parameters(named, arch, dtype)

    def _optimizer(self, encoded, n_params, dtype):
        cls, names = _OPTIMIZERS[encoded["class"]]
        settings = {name: self.value(encoded["settings"][name]) for name in names}
        for value in settings.values():
            _number(value)
        optimizer = cls(n_params, dtype, **settings)
        optimizer.moments = self._array(encoded["moments"], optimizer.moments.shape, dtype)
        optimizer.step_count[0] = _whole(encoded["n_steps"], 0, 2**62)
        return optimizer

    def _average(self, weights, encoded):
        settings = self.value(encoded["settings"])
        cls, parts = _AVERAGES[type(settings).__name__]
        shape, dtype = weights.parameters.shape, weights.parameters.dtype
        in_use = weights.parameters
        weights.parameters = self._array(encoded["moving"], shape, dtype)
        weights.set_averaging(settings)  # makes the moving weights of those in use
        weights.parameters = in_use
        state = weights._average
        for part, name in encoded["arrays"].items():
            if part not in parts["arrays"]:
                raise ValueError(f"{cls.__name__} has no {part}")
            wanted = np.float64 if part == "_sum" else dtype
            setattr(state, part, self._array(name, shape, wanted))
        for part in parts["numbers"]:
            setattr(state, part, _whole(encoded["numbers"][part], 0, 2**62))

    def _standard_scaler(self, scaler, encoded):
        self._features_in(scaler, encoded)
        shape = (scaler.n_features_in_,)
        for name in _SCALER_ARRAYS:
            array = self.value(encoded[name])
            if array is not None and (array.shape != shape or array.dtype != np.float64):
                raise ValueError(f"{name} of a scaler is {array!r}, for {shape[0]} features")
            setattr(scaler, name, array)
        if (scaler.scale_ is None) == scaler.with_std or (
            scaler.mean_ is None and scaler.with_mean
        ):
            raise ValueError("a scaler without its scale or mean")
        if scaler.scale_ is not None and not (scaler.scale_ > 0).all():
            raise ValueError(f"the scale {scaler.scale_} is not positive")
        seen = self.value(encoded["n_samples_seen"])
        if seen.shape not in ((1,), shape) or seen.dtype.kind not in "if":
            raise ValueError(f"{seen!r} is no number of samples")
        scaler.n_samples_seen_ = seen[0] if len(seen) == 1 else seen

    def _features_in(self, model, encoded):
        model.n_features_in_ = _whole(encoded["n_features_in"], 1)
        names = _names(self.value(encoded["feature_names_in"]))
        if names is not None:
            if len(names) != model.n_features_in_:
                raise ValueError(f"{len(names)} names for {model.n_features_in_} features")
            model.feature_names_in_ = names


# scikit-learn's own settings: containers of `transform`, metadata requests

_METHODS = (
    "fit",
    "partial_fit",
    "predict",
    "predict_proba",
    "predict_log_proba",
    "score",
    "transform",
)


def _sklearn_settings(model):
    """What `set_output`, `set_fit_request` and their like have set, if anything."""
    settings = {}
    output = vars(model).get("_sklearn_output_config", {}).get("transform")
    if output is not None:
        settings["output"] = output
    requests = vars(model).get("_metadata_request")
    if requests is not None:
        settings["requests"] = {
            method: {
                name: request
                for name, request in getattr(requests, method).requests.items()
                if request is not None
            }
            for method in _METHODS
            if hasattr(requests, method)
        }
    return settings


def _restore_sklearn_settings(model, encoded):
    if "output" in encoded:
        if encoded["output"] not in ("default", "pandas", "polars"):
            raise ValueError(f"the output {encoded['output']!r}")
        model.set_output(transform=encoded["output"])
    for method, requests in encoded.get("requests", {}).items():
        if method not in _METHODS or not all(isinstance(r, bool | str) for r in requests.values()):
            raise ValueError(f"the metadata requests {requests!r} of {method!r}")
        if requests:
            with config_context(enable_metadata_routing=True):
                getattr(model, f"set_{method}_request")(**requests)


# Labels and names


def _encode_labels(array):
    """A 1-D array of numbers, times or texts, which may be objects."""
    dtype = array.dtype.str
    if array.ndim != 1 or not _LABEL_DTYPES.fullmatch(dtype):
        raise TypeError(f"No form for an array of shape {array.shape} and {array.dtype}.")
    kind = array.dtype.kind
    if kind in "mM":
        array = array.view(dtype[0] + "i8")
    values = array.tolist()
    if kind == "O" and not all(isinstance(value, str) for value in values):
        raise TypeError(f"No form for objects such as {values[0]!r}.")
    return {"dtype": dtype, "values": [Encoder(False).value(value, "") for value in values]}


def _decode_labels(encoded):
    text, values = encoded["dtype"], encoded["values"]
    if not _LABEL_DTYPES.fullmatch(text):
        raise ValueError(f"{text!r:.50} is no dtype of labels")
    dtype = np.dtype(text)
    if dtype.itemsize * len(values) > _MOST_LABEL_BYTES:
        raise ValueError(f"{len(values)} labels of {dtype.itemsize} bytes are too many")
    values = [Decoder({}).value(value) for value in values]
    allowed = {
        "b": bool, "i": int, "u": int, "f": float, "m": int, "M": int, "U": str,
        "O": str,
    }[dtype.kind]  # fmt: skip
    if not all(isinstance(value, allowed) for value in values):
        raise ValueError(f"labels that are not of dtype {text}")
    if dtype.kind in "mM":
        return np.array(values, np.int64).astype(f"{text[0]}i8").view(dtype)
    array = np.array(values, dtype)
    if array.ndim != 1 or (array.tolist() != values and dtype.kind in "iuU"):
        raise ValueError(f"labels that dtype {text} cannot hold")
    return array


# Checks of what a file says


def _no_form(model):
    return (
        f"A file that holds no code has no form for {type(model).__name__}: expected a fitted "
        "LSTMRegressor or LSTMClassifier, a Pipeline of SequenceLayout, SequenceScaler, StandardScaler "
        "and one of them, "
        "or a TransformedTargetRegressor with StandardScaler around these. Of a search save the "
        "best_estimator_; anything else can be pickled."
    )


def _whole(value, least, most=2**53):
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{value!r:.50} is no integer from {least} to {most}")
    return value


def _whole_or_none(value, least):
    return None if value is None else _whole(value, least)


def _number(value):
    if not isinstance(value, bool | int | float):
        raise ValueError(f"{value!r:.50} is no number")
    return value


def _text(value):
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.50} is no text")
    return value


def _truth(value):
    if not isinstance(value, bool):
        raise ValueError(f"{value!r:.50} is neither true nor false")
    return value


def _has_target_axis(value, arch, model):
    """Known of a regressor's targets by time step, and of nothing else."""
    if arch.return_sequences and not isinstance(model, ESTIMATORS["LSTMClassifier"]):
        return _truth(value)
    if value is not None:
        raise ValueError("an axis of targets where there is none")
    return None


def _labels(value):
    if value is not None and not isinstance(value, np.ndarray):
        raise ValueError(f"{value!r:.50} are no labels")
    return value


def _names(value):
    if value is not None and not (
        isinstance(value, np.ndarray)
        and value.dtype == object
        and all(isinstance(name, str) for name in value)
    ):
        raise ValueError(f"{value!r:.50} are no names of features")
    return value


def _check_history(history):
    _whole(history.n_iter, 0)
    _whole(history.n_samples_seen, 0)
    for figure in (history.loss, history.best_loss, history.best_validation_score):
        if figure is not None:
            _number(figure)
