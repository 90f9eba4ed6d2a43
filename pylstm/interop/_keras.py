"""Weights from and to Keras: `LSTM`, `Bidirectional` and `Dense` in a `Sequential`."""

import warnings
from itertools import pairwise
from typing import Any

import numpy as np

from .. import core
from .._losses import LogLoss, Poisson
from .._typing import ArrayLike
from ._exchange import make_estimator, read_plain_network

# Options of Keras' LSTM that change what it computes, and the one value that is ours.
_LSTM_OPTIONS = {
    "activation": "tanh",
    "recurrent_activation": "sigmoid",
    "go_backwards": False,
    "return_state": False,
    "stateful": False,
}
_ONLY_IN_TRAINING = ("Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise")


def from_keras(model: Any, *, classes: ArrayLike | None = None, **parameters: Any) -> Any:
    """A fitted estimator with the weights of a network that Keras has trained.

    It predicts what the network computes, and streams, explains itself and goes on training as any
    other.

    Parameters
    ----------
    model : keras.Sequential, keras.Model, or list of ndarray
        A chain of `LSTM` or `Bidirectional(LSTM)` layers of one size and a `Dense` layer (or a
        `TimeDistributed` one), with biases or without. Dropout layers between them, which act in
        training only, are left out. A list is what `get_weights()` returns; it does not say which
        activations the layers have, and they are taken for the usual ones.

    classes : array-like of shape (n_classes,), default=None
        The labels that the outputs stand for, in their order, for an
        :class:`~pylstm.LSTMClassifier`; needed where the last activation is softmax or sigmoid. None
        makes an :class:`~pylstm.LSTMRegressor`.

    **parameters : dict
        Parameters of the estimator: the `loss` that says what outputs mean, and those of further
        training. Sizes, `return_sequences` and `dtype` come from the network (`return_sequences` of a
        list is as it is given).

    Returns
    -------
    model : LSTMRegressor or LSTMClassifier
        The fitted model. It takes sequences of three dimensions, with as many time steps as the
        network's input has, or of any length.

    Raises
    ------
    TypeError
        If the model holds other layers, or a parameter is unknown.
    ValueError
        If a layer has options that pylstm has not (other activations, `go_backwards`, `stateful`, a
        `merge_mode` other than "concat"), the layers differ in size, or the outputs fit neither the
        loss nor the classes.

    Warns
    -----
    UserWarning
        If there is dropout. It is not taken over, since Keras drops inputs and pylstm outputs of
        layers; pass `dropout` or `recurrent_dropout` to train on with them.

    See Also
    --------
    to_keras : The way back.

    Examples
    --------
    >>> import keras  # doctest: +SKIP
    >>> layers = [keras.Input((7, 3)), keras.layers.LSTM(8), keras.layers.Dense(1)]  # doctest: +SKIP
    >>> model = from_keras(keras.Sequential(layers))  # doctest: +SKIP

    >>> import numpy as np
    >>> from pylstm.interop import from_keras
    >>> rng = np.random.default_rng(0)
    >>> weights = [rng.normal(size=shape) for shape in [(3, 8), (2, 8), (8,), (2, 1), (1,)]]
    >>> from_keras(weights).predict(np.zeros((5, 7, 3))).shape
    (5,)
    """
    if isinstance(model, list | tuple):
        return_sequences = bool(parameters.pop("return_sequences", False))
        cells, V, d = _from_list([np.asarray(array) for array in model])
        n_timesteps = None
    else:
        layers = _chain(model)
        warn = not {"dropout", "recurrent_dropout"} & parameters.keys()
        cells, return_sequences = _recurrent_layers(layers[:-1], warn)
        V, d = _dense_layer(layers[-1], classes, parameters)
        n_timesteps = model.input_shape[1]
        if parameters.pop("return_sequences", return_sequences) != return_sequences:
            raise ValueError(f"return_sequences={return_sequences} in the network: leave it out.")
    n_in = len(cells["U0"]) * (1 + ("U0_reverse" in cells))
    if V.shape != (n_in, len(d)):
        raise ValueError(
            f"The Dense layer must read the {n_in} hidden states of the LSTM, its kernel has shape "
            f"{V.shape}."
        )
    parameters["return_sequences"] = return_sequences
    return make_estimator(
        cells, V, d, classes=classes, parameters=parameters, n_timesteps=n_timesteps
    )


def _kind(layer):
    """The name of a class of Keras; of any other with its module, so that it matches none."""
    cls = type(layer)
    is_keras = cls.__module__.split(".")[0] in ("keras", "tf_keras")
    return cls.__name__ if is_keras else f"{cls.__module__}.{cls.__name__}"


def _chain(model):
    """The layers in their order, the Dense one last, without those that only act in training."""
    layers = [layer for layer in getattr(model, "layers", []) if _kind(layer) != "InputLayer"]
    if _kind(model) not in ("Sequential", "Functional", "Model") or not layers:
        raise TypeError(
            "model must be a keras.Sequential, a keras.Model that is a chain of layers, or the list "
            f"that get_weights() returns, got {type(model).__name__}."
        )
    if _kind(model) != "Sequential":
        for earlier, later in pairwise(layers):
            if later.input is not earlier.output:
                raise TypeError(
                    f"The layers of model must be a chain; {later.name} does not read just "
                    f"{earlier.name}."
                )
    last = layers[-1].layer if _kind(layers[-1]) == "TimeDistributed" else layers[-1]
    if _kind(last) != "Dense":
        raise TypeError(
            f"The last layer of model must be a Dense, got {_kind(last)} {last.name!r}."
        )
    return [*layers[:-1], last]


def _recurrent_layers(layers, warn):
    """W, U and b of each layer and direction, and whether the last one returns sequences."""
    cells = {}
    dropped = [layer.name for layer in layers if _kind(layer) in _ONLY_IN_TRAINING]
    layers = [layer for layer in layers if _kind(layer) not in _ONLY_IN_TRAINING]
    if not layers:
        raise TypeError("model has no LSTM layer.")
    for layer in layers:
        if _kind(layer) not in ("LSTM", "Bidirectional"):
            raise TypeError(_no_such_layer(layer))
    for number, layer in enumerate(layers):
        parts = [layer]
        if _kind(layer) == "Bidirectional":
            parts = [layer.forward_layer, layer.backward_layer]
            if layer.merge_mode != "concat":
                raise ValueError(
                    f"{layer.name} has merge_mode={layer.merge_mode!r}; pylstm puts the directions side "
                    "by side: merge_mode='concat'."
                )
        if len(parts) != (2 if "U0_reverse" in cells else 1) and number > 0:
            raise ValueError("All layers must be bidirectional, or none of them.")
        for part, suffix in zip(parts, ("", "_reverse"), strict=False):
            config = _lstm_config(part, is_backward=bool(suffix))
            if config["dropout"] or config["recurrent_dropout"]:
                dropped.append(part.name)
            kernel, recurrent, *bias = part.get_weights()
            cells[f"W{number}{suffix}"], cells[f"U{number}{suffix}"] = kernel, recurrent
            cells[f"b{number}{suffix}"] = (
                bias[0] if bias else np.zeros(kernel.shape[1], kernel.dtype)
            )
            returns = config["return_sequences"]
            if number + 1 < len(layers) and not returns:
                raise ValueError(
                    f"{part.name} must have return_sequences=True: a layer reads what it returns."
                )
    _check_units(cells)
    if dropped and warn:
        warnings.warn(
            f"The dropout of {dropped}, which acts in training only, is not taken over: Keras drops "
            "inputs and pylstm outputs of layers. Pass dropout or recurrent_dropout to train on.",
            stacklevel=3,
        )
    return cells, bool(returns)


def _no_such_layer(layer):
    return (
        f"model may hold LSTM, Bidirectional(LSTM) and a last Dense layer, got {_kind(layer)} "
        f"{layer.name!r}: pylstm has no such layer there."
    )


def _lstm_config(layer, is_backward):
    """Options of an LSTM layer, all of them ours."""
    if _kind(layer) != "LSTM":
        raise TypeError(_no_such_layer(layer))
    config = layer.get_config()
    for option, ours in (_LSTM_OPTIONS | {"go_backwards": is_backward}).items():
        if config[option] != ours:
            raise ValueError(
                f"{layer.name} has {option}={config[option]!r}; pylstm's LSTM has {ours!r} only."
            )
    return config


def _check_units(cells):
    sizes = sorted({len(array) for name, array in cells.items() if name[0] == "U"})
    if len(sizes) > 1:
        raise ValueError(f"All LSTM layers must have the same number of units, got {sizes}.")


def _dense_layer(dense, classes, parameters):
    """V and d, if the activation is what the estimator makes of outputs."""
    activation = dense.get_config()["activation"]
    kernel, *bias = dense.get_weights()
    loss = parameters.get("loss")
    if activation in ("softmax", "sigmoid") and classes is None:
        raise ValueError(
            f"{dense.name} has activation={activation!r}, as a classifier: pass the labels of its outputs as "
            "classes."
        )
    n_outputs = kernel.shape[1]
    is_ours = {
        "linear": True,
        "softmax": n_outputs > 1,
        "sigmoid": n_outputs == 1,
        "exponential": loss == "poisson" or isinstance(loss, Poisson),
    }.get(activation if isinstance(activation, str) else "", False)
    if not is_ours:
        raise ValueError(
            f"{dense.name} has activation={activation!r} on {n_outputs} outputs; pylstm has 'linear', "
            "'softmax' or, on a single output, 'sigmoid' with classes, and 'exponential' with "
            "loss='poisson'."
        )
    return kernel, bias[0] if bias else np.zeros(n_outputs, kernel.dtype)


def _from_list(arrays):
    """W, U and b of each layer and direction, V and d, of the arrays that `get_weights` returns."""
    shapes = [array.shape for array in arrays]
    described = (
        "A list of weights must be that of get_weights(): for each layer and direction kernel (n_in, 4 "
        "* units), recurrent kernel (units, 4 * units) and bias (4 * units,), then kernel and bias of a "
        f"Dense layer; got arrays of shapes {shapes}."
    )
    if any(array.dtype.kind not in "fiu" for array in arrays):
        raise TypeError("A list of weights must hold arrays of real numbers.")
    cells, place = [], 0
    while place + 1 < len(arrays) and len(shapes[place]) == 2:
        units = shapes[place + 1][0] if len(shapes[place + 1]) == 2 else 0
        if shapes[place][1] != 4 * units or shapes[place + 1] != (units, 4 * units):
            break
        kernel, recurrent = arrays[place : place + 2]
        place += 2
        bias = np.zeros(4 * units, kernel.dtype)
        if place < len(arrays) and shapes[place] == bias.shape:
            bias = arrays[place]
            place += 1
        cells.append((kernel, recurrent, bias))
    rest = shapes[place:]
    if not cells or not rest or len(rest[0]) != 2 or rest[1:] not in ([], [(rest[0][1],)]):
        raise ValueError(described)
    units = len(cells[0][1])
    n_directions = 2 if rest[0][0] == 2 * units and len(cells) % 2 == 0 else 1
    named = {}
    for number, cell in enumerate(cells):
        suffix = "_reverse" if number % n_directions else ""
        for letter, array in zip("WUb", cell, strict=True):
            named[f"{letter}{number // n_directions}{suffix}"] = array
    _check_units(named)
    n_in = n_directions * units
    if any(
        len(array) != n_in for name, array in named.items() if name[0] == "W" and name[1] != "0"
    ):
        raise ValueError(described)
    bias = arrays[place + 1] if rest[1:] else np.zeros(rest[0][1], arrays[place].dtype)
    return named, arrays[place], bias


def to_keras(model: Any) -> Any:
    """A Keras network with the weights of a fitted model.

    Parameters
    ----------
    model : LSTMRegressor or LSTMClassifier
        A fitted model. Of a Pipeline pass the last step, and give the network what the steps before it
        make of X.

    Returns
    -------
    network : keras.Sequential
        `LSTM` layers (`Bidirectional` ones), and a `Dense` layer whose activation is softmax for a
        classifier and exponential for the loss "poisson", so that `predict` gives probabilities and
        means. Several quantiles are not sorted, and with the loss "gaussian" mean and raw deviation of
        each target come in turn. What `standardize` does is a part of the weights.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If it is no LSTMRegressor or LSTMClassifier.
    ValueError
        If it was fitted with `missing="mask"`, `window_scaling` or a highway, or with `loss="gaussian"` and
        `standardize`.
    ImportError
        If Keras is not installed.

    See Also
    --------
    from_keras : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import LSTMRegressor
    >>> from pylstm.interop import to_keras
    >>> X, y = np.random.default_rng(0).normal(size=(40, 6, 1)), np.zeros(40)
    >>> model = LSTMRegressor(hidden_size=4, max_iter=3, n_iter_no_change=np.inf).fit(X, y)
    >>> to_keras(model).predict(X).shape  # doctest: +SKIP
    (40, 1)
    """
    network, params = read_plain_network(model, "to_keras")
    import keras

    arch, dtype = network.architecture, params.dtype.name
    layers = [keras.Input((network.n_timesteps, arch.n_features), dtype=dtype)]
    for number in range(arch.num_layers):
        is_last = number == arch.num_layers - 1
        layer = keras.layers.LSTM(
            arch.hidden_size,
            return_sequences=arch.return_sequences or not is_last,
            dtype=dtype,
        )
        layers.append(
            keras.layers.Bidirectional(layer, dtype=dtype) if arch.bidirectional else layer
        )
    activation = {LogLoss: "softmax", Poisson: "exponential"}.get(type(network.loss), "linear")
    layers.append(keras.layers.Dense(arch.n_outputs, activation=activation, dtype=dtype))
    made = keras.Sequential(layers)
    # The order of the flat vector is that of Keras.
    made.set_weights(list(core.unpack_parameters(params, arch).values()))
    return made
