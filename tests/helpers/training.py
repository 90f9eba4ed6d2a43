"""For the tests of training: settings, a callback that notes what happens, a training by hand."""

import copy
from functools import partial
from typing import NamedTuple

import numpy as np

from helpers import estimators
from helpers.estimators import N_FEATURES, X, y
from pylstm import core
from pylstm.training import (
    EMA,
    SWA,
    Checkpoint,
    CosineDecay,
    ReduceOnPlateau,
    StepDecay,
    TimeLimit,
    TrainingCallback,
)

SCHEDULES = [
    StepDecay(every=3, factor=0.3),
    CosineDecay(warm_up=2.5, floor=0.1),
    ReduceOnPlateau(factor=0.5, patience=3, tol=1e-3, floor=0.2),
]
AVERAGES = [EMA(decay=0.99), SWA(start=0.5)]
CALLBACKS = [Checkpoint("model.joblib", every=2), TimeLimit(10.0)]

# A small regressor that trains for eight epochs of three updates.
model = partial(estimators.model, max_iter=8, n_iter_no_change=np.inf)


class Note(NamedTuple):
    event: str
    epoch: int | None
    n_iter: int | None  # the model's
    log: dict | None  # evals_log, as it was then


class Recorder(TrainingCallback):
    """Notes what happens; stops after the epochs of `stop`; raises `error` at an event.

    `at` is the epoch in which it raises, for the events that have one.
    """

    def __init__(self, stop=(), event=None, error=None, at=1):
        self.stop, self.event, self.error, self.at = stop, event, error, at
        self.notes = []

    def _note(self, event, model, epoch=None, log=None):
        n_iter = getattr(model, "n_iter_", None)
        self.notes.append(Note(event, epoch, n_iter, copy.deepcopy(log)))
        if event == self.event and epoch in (None, self.at):
            raise self.error

    def before_training(self, model):
        self._note("before_training", model)

    def after_training(self, model):
        self._note("after_training", model)

    def before_iteration(self, model, epoch, evals_log):
        self._note("before_iteration", model, epoch, evals_log)
        return False

    def after_iteration(self, model, epoch, evals_log):
        self._note("after_iteration", model, epoch, evals_log)
        return epoch in self.stop


def problem(dtype=np.float64):
    """Parameters, data and architecture for core.train."""
    arch = core.Architecture(N_FEATURES, 5)
    params = core.init_parameters(arch, dtype=dtype, random_state=0)
    return params, X.astype(dtype), y[:, np.newaxis].astype(dtype), arch


def optimizer_for(params, learning_rate=0.01):
    return core.Adam(len(params), params.dtype, learning_rate=learning_rate)


def train_by_hand(train_calls, after_update=lambda params: None):
    """Repeat the recorded calls of core.train in calls for one batch each; the weights."""
    recorded = train_calls.copy()
    params = recorded[0]["params"].copy()
    optimizer = optimizer_for(params)
    for call in recorded:
        rates = np.broadcast_to(call["optimizer"].learning_rate, 3)
        for rate, batch in zip(rates, np.split(call["order"], [16, 32]), strict=True):
            optimizer.learning_rate = rate
            core.train(
                params, call["X"], call["y"], call["arch"], optimizer,
                order=batch, batch_size=16, max_grad_norm=call["max_grad_norm"],
            )  # fmt: skip
            after_update(params)
    return params


def predictions(params):
    """What the weights of a `model` predict."""
    arch = core.Architecture(N_FEATURES, estimators.SMALL["hidden_size"])
    return core.predict(params, X, arch)[:, 0]
