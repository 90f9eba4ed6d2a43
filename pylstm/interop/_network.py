"""What a fit has learned, as one object: the only place here that knows the estimators' attributes.

Files, ONNX, PyTorch and Keras read a `FittedNetwork` of an estimator, or make an estimator of one.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .. import core
from .._base import BaseLSTM
from .._classifier import LSTMClassifier
from .._fitting import Weights
from .._losses import LogLoss, Loss
from .._regressor import LSTMRegressor
from .._typing import Array, Floats
from .._units import Units

ESTIMATORS: dict[str, type[BaseLSTM]] = {
    "LSTMRegressor": LSTMRegressor,
    "LSTMClassifier": LSTMClassifier,
}


class History(NamedTuple):
    """What a training tells of itself; the defaults are those of a network trained elsewhere."""

    n_iter: int = 0
    n_samples_seen: int = 0
    loss_curve: list[float] = []  # noqa: RUF012 (copied where it is used)
    validation_scores: list[float] | None = None
    loss: float = math.nan
    best_loss: float | None = math.inf
    best_validation_score: float | None = None


class FittedNetwork(NamedTuple):
    """A fitted network, what it was fitted to, and what its training needs to go on."""

    architecture: core.Architecture
    weights: Weights  # in use, and those of a running average
    loss: Loss
    units: Units  # how its numbers follow from those of X and y
    n_targets: int
    n_timesteps: int | None
    n_features_in: int
    feature_names_in: Array | None = None
    classes: Array | None = None
    has_target_axis: bool | None = None  # of y with return_sequences
    carries_state: bool = False
    standardizes: bool = False
    was_told_lengths: bool = False
    history: History = History()
    optimizer: Any = None  # None for a new one
    random_state: np.random.RandomState | None = None  # None for new streams
    split_seed: int | None = None

    @property
    def parameters(self) -> Floats:
        """The flat vector of the weights in use."""
        return self.weights.parameters


def read_network(model: BaseLSTM) -> FittedNetwork:
    """What a fitted LSTMRegressor or LSTMClassifier has learned; nothing is copied."""
    check_is_fitted(model)
    model = model._snapshot()  # of one fit, whatever other threads do
    return FittedNetwork(
        architecture=model._architecture,
        weights=model._weights,
        loss=model._loss,
        units=model._units,
        n_targets=model._n_targets,
        n_timesteps=model.n_timesteps_,
        n_features_in=model.n_features_in_,
        feature_names_in=getattr(model, "feature_names_in_", None),
        classes=getattr(model, "classes_", None),
        has_target_axis=getattr(model, "_has_target_axis", None),
        carries_state=model._carries_state,
        standardizes=model._standardizes,
        was_told_lengths=model._was_told_lengths,
        history=_history_of(model),
        optimizer=model._optimizer,
        random_state=model._random_state,
        split_seed=model._split_seed,
    )


def _history_of(model):
    """The figures of a training; in its course, where a callback asks, those of the epochs so far."""
    # partial_fit goes on with the list itself.
    losses, scores = model.loss_curve_[: model.n_iter_], model.validation_scores_
    is_validated = scores is not None
    return History(
        n_iter=model.n_iter_,
        n_samples_seen=model.t_,
        loss_curve=losses,
        validation_scores=scores,
        loss=getattr(model, "loss_", losses[-1] if losses else math.nan),
        best_loss=getattr(
            model, "best_loss_", None if is_validated else min(losses, default=math.inf)
        ),
        best_validation_score=getattr(
            model,
            "best_validation_score_",
            max(scores, default=-math.inf) if is_validated else None,
        ),
    )


def write_network(model: BaseLSTM, network: FittedNetwork) -> None:
    """Make an estimator that is not fitted one that has learned this."""
    check_network(model, network)
    learned = {
        "_architecture": network.architecture,
        "_weights": network.weights,
        "_loss": network.loss,
        "_units": network.units,
        "_n_targets": network.n_targets,
        "n_outputs_": network.n_targets if network.classes is None else len(network.classes),
        "n_timesteps_": network.n_timesteps,
        "n_features_in_": network.n_features_in,
        "feature_names_in_": network.feature_names_in,
        "classes_": network.classes,
        "_has_target_axis": network.has_target_axis,
        "_carries_state": network.carries_state,
        "_standardizes": network.standardizes,
        "_was_told_lengths": network.was_told_lengths,
        "n_iter_": network.history.n_iter,
        "t_": network.history.n_samples_seen,
        "loss_curve_": [*network.history.loss_curve],
        "validation_scores_": network.history.validation_scores,
        "loss_": network.history.loss,
        "best_loss_": network.history.best_loss,
        "best_validation_score_": network.history.best_validation_score,
    }
    only_if_any = ("feature_names_in_", "classes_", "_has_target_axis")
    for name, value in learned.items():
        if value is not None or name not in only_if_any:
            setattr(model, name, value)
    _write_streams(model, network)
    model._optimizer = network.optimizer
    if network.optimizer is None:
        model._set_optimizer(renew=True)


def _write_streams(model, network):
    """The random streams of further training, drawn as a first fit draws them if there are none."""
    if network.random_state is None:
        random_state = check_random_state(model.random_state)
        _, split_seed, seed = random_state.randint(np.iinfo(np.int32).max, size=3).tolist()
        model._split_seed, model._random_state = split_seed, np.random.RandomState(seed)
    else:
        model._split_seed, model._random_state = network.split_seed, network.random_state


def check_network(model: BaseLSTM, network: FittedNetwork) -> None:
    """Refuse a network whose parts do not fit together, or the kind of estimator."""
    arch, loss, classes = network.architecture, network.loss, network.classes
    name = type(model).__name__
    if isinstance(loss, LogLoss) != isinstance(model, LSTMClassifier):
        raise ValueError(f"An {name} does not have the loss {loss!r}.")
    if isinstance(loss, LogLoss):
        _check_classes(classes, loss.n_classes)
    elif classes is not None:
        raise ValueError(f"An {name} has no classes, got {classes!r}.")
    if loss.n_outputs(network.n_targets) != arch.n_outputs:
        raise ValueError(
            f"{loss!r} of {network.n_targets} targets takes {loss.n_outputs(network.n_targets)} "
            f"outputs, and the network has {arch.n_outputs}."
        )
    _check_units(network)
    if not np.isfinite(network.parameters).all():
        raise ValueError("The weights are not finite: there is NaN or infinity among them.")
    n_columns = arch.n_features * (network.n_timesteps or 1)
    is_flat = network.n_features_in == n_columns
    if network.n_timesteps is None:  # of a 2-D X, the columns of the longest sequence
        is_flat = network.n_features_in % arch.n_features == 0
    if not (network.n_features_in == arch.n_features or is_flat):
        raise ValueError(
            f"{network.n_features_in} features in do not fit {arch.n_features} features at each of "
            f"{network.n_timesteps} time steps."
        )
    names = network.feature_names_in
    if names is not None and len(names) != network.n_features_in:
        raise ValueError(f"There are {len(names)} names for {network.n_features_in} features.")


def _check_units(network):
    """Refuse units of other features or targets, or that divide by nothing."""
    n_features, n_targets = network.architecture.n_features, network.n_targets
    units = network.units
    standards = [(units.inputs, n_features)]
    if units.targets is not None:
        standards.append((units.targets, n_targets))
    for standard, size in standards:
        for array in standard:
            if array.shape != (size,) or array.dtype != np.float64 or not np.isfinite(array).all():
                raise ValueError(f"{array!r} is no mean or scale of {size} features or targets.")
        if not (standard.scale > 0).all():
            raise ValueError(f"The scale {standard.scale} is not positive.")
    if units.features.shape != (n_features,) or units.features.dtype != bool:
        raise ValueError(f"{units.features!r} is no mask of {n_features} features.")
    if units.feature_of is not None and (
        units.feature_of.shape != (n_targets,)
        or units.feature_of.dtype.kind != "i"
        or not ((units.feature_of >= 0) & (units.feature_of < n_features)).all()
    ):
        raise ValueError(f"{units.feature_of!r} names no features of {n_targets} targets.")
    is_number = units.targets is not None, units.feature_of is not None
    if isinstance(network.loss, LogLoss) and any(is_number):
        raise ValueError("Classes have no units.")
    if is_number == (True, False):
        raise ValueError("Targets have units, and no features whose units these are.")
    if network.carries_state and units.kind is not None:
        raise ValueError("No state can be carried across windows on scales of their own.")


def _check_classes(classes, n_classes):
    if classes is None or len(classes) != n_classes:
        raise ValueError(f"{n_classes} classes are needed, got {classes!r}.")
    try:
        in_order = np.array_equal(np.unique(classes), classes)
    except TypeError:
        in_order = False
    if not in_order:
        raise ValueError(f"Classes must be in increasing order, each once, got {classes!r}.")
