"""Between weights as arrays and fitted estimators: what PyTorch and Keras have in common."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils import column_or_1d

from .. import core
from .._base import BaseLSTM
from .._classifier import LSTMClassifier
from .._fitting import Weights
from .._losses import Gaussian, LogLoss, Loss, Poisson
from .._regressor import LSTMRegressor
from .._typing import Array, ArrayLike, Floats
from .._units import plain_units
from ._network import FittedNetwork, read_network, write_network


def make_estimator(
    cells: Mapping[str, Array],
    V: Array,
    d: Array,
    *,
    classes: ArrayLike | None,
    parameters: dict[str, Any],
    n_timesteps: int | None = None,
) -> BaseLSTM:
    """A fitted estimator of weights that were learned elsewhere.

    Parameters
    ----------
    cells : dict of str to ndarray
        W, U and b of every layer and direction, by the names of `core.parameter_shapes`.
    V, d : ndarray of shape (num_directions * hidden_size, n_outputs) and (n_outputs,)
        The linear layer.
    classes : array-like of shape (n_classes,) or None
        What the outputs stand for; None for a regressor.
    parameters : dict
        The estimator's parameters, as far as the weights leave them open.
    n_timesteps : int or None
        Time steps of the sequences, where they are fixed.

    Returns
    -------
    model : LSTMRegressor or LSTMClassifier
    """
    found: dict[str, Any] = {
        "hidden_size": len(cells["U0"]),
        "num_layers": sum(name[0] == "U" and name[1:].isdecimal() for name in cells),
        "bidirectional": "U0_reverse" in cells,
    }
    for name in found.keys() & parameters.keys():
        if parameters[name] != found[name]:
            raise ValueError(
                f"{name}={parameters[name]!r} is not that of the network, {found[name]!r}: leave it out."
            )
    if parameters.get("missing", "error") != "error":
        raise ValueError(
            "missing='mask' is for networks that pylstm has trained, which read what is missing as "
            "further inputs. Leave it out, and fill what is missing in X."
        )
    for name in ("standardize", "window_scaling", "highway"):
        if parameters.get(name):
            raise ValueError(
                f"{name}={parameters[name]!r} is for networks that pylstm has trained: this one reads X as "
                "it is. Leave it out, and scale X as it was scaled there."
            )
    arrays = {**cells, "V": V, "d": d}
    dtype = np.result_type(np.float32, *arrays.values())
    cls = LSTMRegressor if classes is None else LSTMClassifier
    settings = {"dtype": dtype.name, **parameters, **found, "standardize": False}
    _check_names(cls, settings)
    model = cls(**settings)
    model._validate_params()
    model._check_combinations()
    labels = None
    if classes is not None:
        labels, arrays["V"], arrays["d"] = _in_order(classes, V, d)
    loss: Loss = model._make_loss(None) if labels is None else LogLoss(len(labels))
    n_targets = _n_targets(loss, len(arrays["d"]))
    architecture = core.Architecture(
        n_features=len(cells["W0"]),
        n_outputs=len(arrays["d"]),
        return_sequences=bool(model.return_sequences),
        **found,
    )
    has_target_axis = n_targets > 1 if classes is None and model.return_sequences else None
    network = FittedNetwork(
        architecture=architecture,
        weights=Weights(core.pack_parameters(arrays, architecture, model.dtype)),
        loss=loss,
        units=plain_units(architecture.n_features),
        n_targets=n_targets,
        n_timesteps=model.n_timesteps or n_timesteps,
        n_features_in=architecture.n_features,
        classes=labels,
        has_target_axis=has_target_axis,
        carries_state=bool(model.stateful),
    )
    write_network(model, network)
    return model


def _check_names(cls, settings):
    unknown = settings.keys() - set(cls._get_param_names())
    if unknown:
        hint = " Regressors have losses, classifiers do not." if unknown == {"loss"} else ""
        raise TypeError(f"{cls.__name__} has no parameters {sorted(unknown)}.{hint}")


def _in_order(classes, V, d):
    """Classes in increasing order, and the linear layer with an output for each of them."""
    classes = column_or_1d(classes)
    if len(classes) == 2 and len(d) == 1:
        # One output z, of which sigmoid(z) is the probability of the second class: softmax of (0, z).
        V, d = np.hstack([np.zeros_like(V), V]), np.concatenate([np.zeros_like(d), d])
    if len(classes) != len(d) or len(np.unique(classes)) != len(classes) or len(classes) < 2:
        raise ValueError(
            f"classes must be {len(d)} different labels, one for each output of the network in their "
            f"order (or two for a single output), got {classes!r}."
        )
    order = np.argsort(classes)
    return classes[order], V[:, order], d[order]


def _n_targets(loss, n_outputs):
    if isinstance(loss, LogLoss):
        return 1
    n_targets, surplus = divmod(n_outputs, loss.n_outputs(1))
    if surplus or n_targets == 0:
        raise ValueError(
            f"{loss!r} takes {loss.n_outputs(1)} outputs of the network for each target, and it has "
            f"{n_outputs}: pass the loss that it was trained with."
        )
    return n_targets


def read_plain_network(model: Any, function: str) -> tuple[FittedNetwork, Floats]:
    """A network that another library can run, and weights with which it reads X and predicts y as they are.

    What `standardize` does to X and to predictions becomes a part of the weights.
    """
    if not isinstance(model, BaseLSTM):
        raise TypeError(
            f"{function} takes a fitted LSTMRegressor or LSTMClassifier, got {type(model).__name__}. Of a "
            "Pipeline pass the last step; what stands before it has no place in the network."
        )
    network = read_network(model)
    arch, units = network.architecture, network.units
    refused = {
        "missing='mask'": arch.mask_missing,
        f"window_scaling={units.kind!r}": units.kind is not None,
        f"highway={arch.highway}": arch.highway,
    }
    for option, is_used in refused.items():
        if is_used:
            raise ValueError(
                f"{function} does not support {option}: no layer there computes what it does. Use "
                "to_onnx, or fit without it."
            )
    params = network.parameters.copy()
    _fold_inputs(core.unpack_parameters(params, arch), units.inputs, arch.num_directions)
    if units.targets is not None:
        _fold_targets(core.unpack_parameters(params, arch), network, function)
    return network, params


def _fold_inputs(arrays, standard, n_directions):
    """Have the first layer read X, where it has read (X - mean) / scale."""
    for suffix in ("", "_reverse")[:n_directions]:
        W, b = arrays[f"W0{suffix}"], arrays[f"b0{suffix}"]
        W[...] = folded = W / standard.scale[:, np.newaxis]  # in float64
        b -= standard.mean @ folded


def _fold_targets(arrays, network, function):
    """Have the linear layer predict y, where it has predicted (y - mean) / scale."""
    mean, scale = network.units.targets
    V, d = arrays["V"], arrays["d"]
    if isinstance(network.loss, Poisson):  # the logarithm of what is multiplied
        d += np.log(scale)
        return
    if isinstance(network.loss, Gaussian) and (scale != 1).any():
        raise ValueError(
            f"{function} does not support loss='gaussian' with standardize=True: deviations are no linear "
            "function of outputs. Use to_onnx, or fit with standardize=False."
        )
    per_target = len(d) // network.n_targets
    scale, mean = np.repeat(scale, per_target), np.repeat(mean, per_target)
    if isinstance(network.loss, Gaussian):
        mean[1::2] = 0
    V *= scale
    d[...] = d * scale + mean
