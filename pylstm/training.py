"""What shapes a training run: schedules of the learning rate, averages of the weights, callbacks.

Schedules and averages are settings, not state: immutable, compared by value, and fine in a parameter
grid. What a running average has gathered lives in the object that `Averaging.begin` returns, and a
schedule computes its rates anew from the epochs' numbers and figures. In a loop of one's own around
`pylstm.core.train`, `Schedule.rates` gives `optimizer.learning_rate`, and the argument `average` is
what the average's `for_pass` returns.
"""

import copy
import math
import os
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np

from ._checks import require
from ._files import remove_leftovers, replacing
from ._typing import ArrayLike, Estimator, EvalsLog, Floats, NDArray
from ._warnings import users_level

__all__ = [
    "EMA",
    "SWA",
    "Averaging",
    "Checkpoint",
    "CosineDecay",
    "ReduceOnPlateau",
    "Schedule",
    "StepDecay",
    "TimeLimit",
    "TrainingCallback",
]


# Schedules of the learning rate


class Schedule(ABC):
    """Base of the schedules: what a pass multiplies `learning_rate_init` by.

    A schedule of one's own derives from this class and defines `factors`. It must be a function of
    its arguments and of the schedule's parameters alone: the estimators call it once for each epoch,
    and rely on it to give the same after a clone, a pickle or a warm start. A frozen dataclass is
    the shortest way to write one, and makes equal schedules compare equal.

    See Also
    --------
    StepDecay, CosineDecay, ReduceOnPlateau : Schedules that are there.

    Examples
    --------
    A rate that falls with the square root of time:

    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> from pylstm.training import Schedule
    >>> @dataclass(frozen=True)
    ... class InverseRoot(Schedule):
    ...     offset: float = 1.0
    ...
    ...     def factors(self, epochs, n_epochs, figures):
    ...         return np.sqrt(self.offset / (self.offset + epochs))
    >>> InverseRoot().factors(np.array([0.0, 3.0, 8.0]), n_epochs=10, figures=[]).round(3).tolist()
    [1.0, 0.5, 0.333]
    """

    @abstractmethod
    def factors(self, epochs: Floats, n_epochs: int, figures: Sequence[float]) -> ArrayLike:
        """Multipliers of the initial learning rate, one for each update of the coming pass.

        Parameters
        ----------
        epochs : ndarray of float64 of shape (n_updates,)
            The time at which each update starts, in epochs: an integer, from 0 for the first pass
            over the samples, plus the share of the pass that is done. Each `fit` counts anew, a warm
            start too; `partial_fit` counts on.
        n_epochs : int
            Epochs planned in all; the training may end before them.
        figures : sequence of float
            A figure of merit for each of the epochs done, the larger the better: the validation score
            with `early_stopping`, else the negated training loss. May hold nan.

        Returns
        -------
        factors : array-like of float of shape (n_updates,)
            Finite and not negative.
        """

    def rates(
        self,
        learning_rate_init: float,
        n_updates: int,
        epoch: int,
        n_epochs: int,
        figures: Sequence[float] = (),
    ) -> NDArray[np.float64]:
        """Learning rates of the updates of one pass, as `pylstm.core.train` takes them.

        Parameters
        ----------
        learning_rate_init : float
            The rate that is multiplied.
        n_updates : int
            Updates, or batches, of the pass.
        epoch : int
            Number of the pass, from 0.
        n_epochs : int
            Passes planned in all.
        figures : sequence of float, default=()
            A figure of merit for each pass done, the larger the better.

        Returns
        -------
        rates : ndarray of float64 of shape (n_updates,)

        Raises
        ------
        ValueError
            If `factors` returns another number of values, or one that is negative or not finite.

        Examples
        --------
        >>> from pylstm.training import StepDecay
        >>> StepDecay(every=10, factor=0.5).rates(0.01, n_updates=3, epoch=10, n_epochs=50).tolist()
        [0.005, 0.005, 0.005]
        """
        epochs = epoch + np.arange(n_updates) / n_updates
        factors = np.asarray(self.factors(epochs, n_epochs, figures), dtype=np.float64)
        if factors.shape != epochs.shape or not (np.isfinite(factors) & (factors >= 0)).all():
            raise ValueError(
                f"{type(self).__name__}.factors must return {n_updates} finite numbers, one for "
                f"each update and none of them negative, got {factors!r}."
            )
        return learning_rate_init * factors


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Multiply the learning rate by `factor` after every `every` epochs.

    Parameters
    ----------
    every : int, default=10
        Epochs between two changes.
    factor : float, default=0.5
        What the rate is multiplied by, more than 0 and at most 1.

    Raises
    ------
    TypeError, ValueError
        If a parameter has a wrong type or range.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.training import StepDecay
    >>> StepDecay(every=2).factors(np.arange(5.0), n_epochs=5, figures=[]).tolist()
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    every: int = 10
    factor: float = 0.5

    def __post_init__(self) -> None:
        require("every", self.every, Integral, "an integer of at least 1", lambda v: v >= 1)
        _require_factor(self.factor)

    def factors(self, epochs: Floats, n_epochs: int, figures: Sequence[float]) -> Floats:
        """See `Schedule.factors`."""
        return self.factor ** np.floor(epochs / self.every)


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """Warm up linearly, then follow half a cosine down to `floor` at the end of the last epoch.

    The cosine is that of [1]_ without its restarts, the warm-up that of [2]_. The rate changes with
    every update. In the warm-up an update has the rate that the line reaches at the update's end, so
    that none is made at a rate of 0.

    Parameters
    ----------
    warm_up : float, default=0
        Epochs of the warm-up, not necessarily whole ones.
    floor : float, default=0.0
        Share of the initial learning rate that is left at the end of all epochs, between 0 and 1;
        updates beyond the epochs planned keep it.

    Raises
    ------
    TypeError, ValueError
        If a parameter has a wrong type or range.

    Notes
    -----
    The epochs planned are the estimator's `max_iter`. If the training may end long before them, as
    with `early_stopping` or a large `tol`, the rate does not come down: set `n_iter_no_change` to
    `numpy.inf`, or use `ReduceOnPlateau`.

    References
    ----------
    .. [1] Loshchilov & Hutter (2017). SGDR: stochastic gradient descent with warm restarts. ICLR.
    .. [2] Goyal et al. (2017). Accurate, large minibatch SGD: training ImageNet in 1 hour.
       arXiv:1706.02677.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.training import CosineDecay
    >>> epochs = np.arange(7.0)
    >>> CosineDecay().factors(epochs, n_epochs=6, figures=[]).round(2).tolist()
    [1.0, 0.93, 0.75, 0.5, 0.25, 0.07, 0.0]
    >>> CosineDecay(warm_up=2, floor=0.1).factors(epochs, n_epochs=6, figures=[]).round(2).tolist()
    [0.5, 1.0, 1.0, 0.87, 0.55, 0.23, 0.1]
    """

    warm_up: float = 0
    floor: float = 0.0

    def __post_init__(self) -> None:
        require(
            "warm_up", self.warm_up, Real, "a number of epochs, not negative and finite",
            lambda v: 0 <= v < np.inf,
        )  # fmt: skip
        _require_floor(self.floor)

    def factors(self, epochs: Floats, n_epochs: int, figures: Sequence[float]) -> Floats:
        """See `Schedule.factors`."""
        duration = epochs[1] - epochs[0] if len(epochs) > 1 else 1.0  # of an update
        ending = n_epochs - self.warm_up
        # Without an ending, as with a warm-up longer than the training, all after it is past the end.
        progress = np.clip((epochs - self.warm_up) / ending, 0, 1) if ending > 0 else 1.0
        cosine: Floats = self.floor + (1 - self.floor) * (1 + np.cos(np.pi * progress)) / 2
        if self.warm_up == 0:
            return cosine
        line = np.minimum((epochs + duration) / self.warm_up, 1)
        return np.where(epochs < self.warm_up, line, cosine)


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """Multiply the learning rate by `factor` whenever the training makes no progress.

    No progress means that the figure of merit, which is the validation score with `early_stopping`
    and else the negated training loss, has not been better than its best by more than `tol` in
    `patience` consecutive epochs. The best is that of the last epoch that was better by so much, and
    the epochs are counted anew after a change.

    Parameters
    ----------
    factor : float, default=0.5
        What the rate is multiplied by, more than 0 and at most 1.
    patience : int, default=5
        Epochs without progress that lead to a change, counted as the estimators'
        `n_iter_no_change`, which should be larger. PyTorch's `ReduceLROnPlateau` waits for one epoch
        more than its `patience`; otherwise this is the same rule (`threshold_mode="abs"`).
    tol : float, default=1e-4
        Progress that counts.
    floor : float, default=0.0
        Share of the initial learning rate below which it does not fall, between 0 and 1.

    Raises
    ------
    TypeError, ValueError
        If a parameter has a wrong type or range.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.training import ReduceOnPlateau
    >>> schedule = ReduceOnPlateau(patience=2)
    >>> scores = [0.5, 0.7, 0.7, 0.6, 0.7]
    >>> [
    ...     schedule.factors(np.array([epoch]), 10, scores[:epoch]).item()
    ...     for epoch in range(len(scores) + 1)
    ... ]
    [1.0, 1.0, 1.0, 1.0, 0.5, 0.5]
    """

    factor: float = 0.5
    patience: int = 5
    tol: float = 1e-4
    floor: float = 0.0

    def __post_init__(self) -> None:
        _require_factor(self.factor)
        require("patience", self.patience, Integral, "an integer of at least 1", lambda v: v >= 1)
        require(
            "tol", self.tol, Real, "a number, not negative and finite", lambda v: 0 <= v < np.inf
        )
        _require_floor(self.floor)

    def factors(self, epochs: Floats, n_epochs: int, figures: Sequence[float]) -> Floats:
        """See `Schedule.factors`."""
        multiplier, best, n_stalled = 1.0, -np.inf, 0
        for figure in figures:
            if figure > best + self.tol:
                best, n_stalled = figure, 0
            else:  # nan too
                n_stalled += 1
            if n_stalled == self.patience:
                multiplier, n_stalled = max(multiplier * self.factor, self.floor), 0
        return np.full(len(epochs), multiplier)


def _require_factor(factor: object) -> None:
    require("factor", factor, Real, "a number more than 0 and at most 1", lambda v: 0 < v <= 1)


def _require_floor(floor: object) -> None:
    require("floor", floor, Real, "a number between 0 and 1", lambda v: 0 <= v <= 1)


# Averages of the weights


class _AveragingState(Protocol):
    """What :meth:`Averaging.begin` returns, and says more about."""

    @property
    def settings(self) -> "Averaging": ...

    @property
    def parameters(self) -> Floats | None: ...

    def for_pass(self, n_updates: int) -> tuple[Floats, float] | None: ...

    def after_epoch(self, parameters: Floats, epoch: int, n_epochs: int) -> None: ...


class Averaging(ABC):
    """Base of the averages: weights to predict with that are a mean over the course of training.

    The updates go on from the weights themselves; validation and prediction use the average, as soon
    as there is one. An average of one's own derives from this class and defines `begin`, preferably
    as a frozen dataclass, and returns from it a state with the methods listed there.

    See Also
    --------
    EMA, SWA : Averages that are there.

    Examples
    --------
    The mean of the weights before and after each epoch:

    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> from pylstm.training import Averaging
    >>> class MidpointState:
    ...     def __init__(self, settings, parameters):
    ...         self.settings = settings
    ...         self.last = parameters.copy()
    ...         self.parameters = None
    ...
    ...     def for_pass(self, n_updates):
    ...         return None
    ...
    ...     def after_epoch(self, parameters, epoch, n_epochs):
    ...         self.parameters = (self.last + parameters) / 2
    ...         self.last = parameters.copy()
    >>> @dataclass(frozen=True)
    ... class Midpoint(Averaging):
    ...     def begin(self, parameters):
    ...         return MidpointState(self, parameters)
    >>> state = Midpoint().begin(np.zeros(2))
    >>> state.after_epoch(np.ones(2), epoch=0, n_epochs=10)
    >>> state.parameters.tolist()
    [0.5, 0.5]
    """

    @abstractmethod
    def begin(self, parameters: Floats) -> "_AveragingState":
        """A new average, before the first update.

        Parameters
        ----------
        parameters : ndarray of shape (n_params,)
            The weights from which the training starts; copied where they are needed later.

        Returns
        -------
        state : object
            What is averaged from now on. It can be pickled and copied by `copy.deepcopy`, which is
            how warm starts continue it, and has

            - ``settings``, the `Averaging` that began it;
            - ``for_pass(n_updates)``, called before each pass: None, or (array, decay) to have
              `pylstm.core.train` do ``array += (1 - decay) * (parameters - array)`` after each of
              the `n_updates` updates;
            - ``after_epoch(parameters, epoch, n_epochs)``, called after each pass that came to its
              end, with the weights that it led to, the number of the epoch, from 0, and that of the
              epochs planned;
            - ``parameters``, the averaged weights after the last epoch, in the dtype of the weights,
              or None while there are none. A pass may change the array: copy it to keep it.
        """


@dataclass(frozen=True)
class EMA(Averaging):
    """Exponential moving average of the weights, taken after every update [1]_ [2]_.

    Parameters
    ----------
    decay : float, default=0.999
        Share of the average that an update keeps, at least 0 and less than 1: it reaches back about
        ``1 / (1 - decay)`` updates.

    Raises
    ------
    TypeError, ValueError
        If the parameter has a wrong type or range.

    Notes
    -----
    The average starts at the weights that the training starts from, so that it is a mean of weights
    from the beginning, without the bias that a start at zero would bring. In order to forget these
    first, untrained weights sooner than ``decay`` alone would (a small data set has but a few
    updates in an epoch), an epoch that starts after t updates is averaged with the decay
    ``min(decay, (1 + t) / (10 + t))``: the average then reaches back over a tenth of the training
    so far, as the polynomial-decay averaging of [3]_ does.

    References
    ----------
    .. [1] Polyak & Juditsky (1992). Acceleration of stochastic approximation by averaging. SIAM
       Journal on Control and Optimization 30(4).
    .. [2] Tarvainen & Valpola (2017). Mean teachers are better role models: weight-averaged
       consistency targets improve semi-supervised deep learning results. NeurIPS.
    .. [3] Shamir & Zhang (2013). Stochastic gradient descent for non-smooth optimization:
       convergence results and optimal averaging schemes. ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.training import EMA
    >>> average = EMA(decay=0.9).begin(np.zeros(1))
    >>> for epoch in range(3):  # of one update, that leads to 1, 2, 3
    ...     array, decay = average.for_pass(n_updates=1)
    ...     array += (1 - decay) * (epoch + 1 - array)  # what core.train does
    ...     average.after_epoch(np.array([epoch + 1.0]), epoch, n_epochs=3)
    >>> average.parameters.round(2).tolist()
    [2.7]
    """

    decay: float = 0.999

    def __post_init__(self) -> None:
        require(
            "decay",
            self.decay,
            Real,
            "a number of at least 0 and less than 1",
            lambda v: 0 <= v < 1,
        )

    def begin(self, parameters: Floats) -> "_EMAState":
        """See `Averaging.begin`."""
        return _EMAState(self, parameters)


class _EMAState:
    def __init__(self, settings: EMA, parameters: Floats) -> None:
        self.settings = settings
        self._average = parameters.copy()
        self._n_updates = self._n_coming = 0

    def for_pass(self, n_updates: int) -> tuple[Floats, float]:
        self._n_coming = n_updates
        ramp = (1 + self._n_updates) / (10 + self._n_updates)
        return self._average, min(self.settings.decay, ramp)

    def after_epoch(self, parameters: Floats, epoch: int, n_epochs: int) -> None:
        self._n_updates += self._n_coming

    @property
    def parameters(self) -> Floats | None:
        return self._average if self._n_updates else None


@dataclass(frozen=True)
class SWA(Averaging):
    """Stochastic weight averaging: the equal mean of the last epochs' weights [1]_.

    Parameters
    ----------
    start : float, default=0.75
        Share of the epochs planned after which the average begins, at least 0 and less than 1. The
        last epoch always belongs to it.

    Raises
    ------
    TypeError, ValueError
        If the parameter has a wrong type or range.

    Notes
    -----
    The epochs planned are the estimator's `max_iter`. A training that ends before `start` of them
    has averaged nothing and keeps its weights: with `early_stopping` or a large `tol`, set
    `n_iter_no_change` to `numpy.inf`. A warm start plans `max_iter` further epochs and averages
    the last of these; in a row of `partial_fit`, all epochs from the first averaged one on count.

    References
    ----------
    .. [1] Izmailov et al. (2018). Averaging weights leads to wider optima and better
       generalization. UAI.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.training import SWA
    >>> average = SWA(start=0.5).begin(np.zeros(1))
    >>> for epoch in range(4):
    ...     average.after_epoch(np.array([10.0 * epoch]), epoch, n_epochs=4)
    ...     print(average.parameters)
    None
    None
    [20.]
    [25.]
    """

    start: float = 0.75

    def __post_init__(self) -> None:
        require(
            "start",
            self.start,
            Real,
            "a number of at least 0 and less than 1",
            lambda v: 0 <= v < 1,
        )

    def begin(self, parameters: Floats) -> "_SWAState":
        """See `Averaging.begin`."""
        return _SWAState(self)


class _SWAState:
    def __init__(self, settings: SWA) -> None:
        self.settings = settings
        self.parameters: Floats | None = None
        self._sum: Floats | float = 0.0
        self._n_epochs = 0

    def for_pass(self, n_updates: int) -> None:
        return None

    def after_epoch(self, parameters: Floats, epoch: int, n_epochs: int) -> None:
        # Rounded: 0.55 * 100 would begin an epoch late. The min: whatever `start`, an epoch is left.
        first = min(math.ceil(round(self.settings.start * n_epochs, 6)), n_epochs - 1)
        if epoch == 0 or epoch < first:  # anew, in a warm start
            self.parameters, self._sum, self._n_epochs = None, 0.0, 0
        if epoch < first:
            return
        self._sum = self._sum + parameters.astype(np.float64)
        self._n_epochs += 1
        self.parameters = (self._sum / self._n_epochs).astype(parameters.dtype)


# Callbacks


class TrainingCallback:
    """Base of the callbacks: code of one's own at certain points of a training.

    The methods are those of :class:`xgboost.callback.TrainingCallback`, and do nothing here; a
    callback derives from this class and overrides what it needs. Pass callbacks as the estimators'
    parameter `callbacks`, a list whose members are called in turn.

    An exception that a callback raises ends the training and reaches the caller of `fit`; the
    estimator stays as it was before (but for KeyboardInterrupt, which leaves the finished epochs).
    Tools such as :class:`~sklearn.model_selection.GridSearchCV` train clones, each with copies of
    the callbacks, and a pickle of an estimator holds its callbacks: one that is to be used in these
    ways must be copied and pickled by Python's means.

    See Also
    --------
    Checkpoint, TimeLimit : Callbacks that are there.

    Notes
    -----
    The arguments of the methods:

    model : estimator
        The estimator in training. It can be used as if it were fitted: `predict` and `score` are
        those of the present weights (of their average, where one is asked for and has begun), and
        `n_iter_` is up to date. It is not the object whose `fit` was called, which takes over the
        result when the training has ended, other attributes that a callback has set included. Its
        parameters are those that the training began with: if a callback sets one, it is set back.
    epoch : int
        Number of the epoch, from 0. Each `fit` counts anew, a warm start too; `partial_fit` counts
        on.
    evals_log : dict of str to list of float
        The figures of each epoch done since the weights were initialised: "loss", and with
        `early_stopping` "validation_score". Not to be changed.

    Examples
    --------
    Stop as soon as the loss is small enough:

    >>> import numpy as np
    >>> from pylstm import LSTMRegressor, sliding_windows
    >>> from pylstm.training import TrainingCallback
    >>> class StopAt(TrainingCallback):
    ...     def __init__(self, loss):
    ...         self.loss = loss
    ...
    ...     def after_iteration(self, model, epoch, evals_log):
    ...         return evals_log["loss"][-1] < self.loss
    >>> X, y = sliding_windows(np.sin(np.arange(300) / 5), window=20)
    >>> model = LSTMRegressor(
    ...     hidden_size=8, max_iter=1000, callbacks=[StopAt(0.01)], random_state=0
    ... )
    >>> model.fit(X, y).n_iter_ < 100
    True
    >>> model.loss_ < 0.01 <= model.loss_curve_[-2]
    True
    """

    def before_training(self, model: Estimator) -> None:
        """Before the first epoch of a call of `fit` or `partial_fit`."""

    def after_training(self, model: Estimator) -> None:
        """After the last epoch, with the weights that will be used: the best ones, for example.

        Not called if there will be none: after an exception, or an end before the first epoch.
        """

    def before_iteration(self, model: Estimator, epoch: int, evals_log: EvalsLog) -> bool:
        """Before each epoch; True ends the training instead."""
        return False

    def after_iteration(self, model: Estimator, epoch: int, evals_log: EvalsLog) -> bool:
        """After each epoch; True ends the training."""
        return False


@dataclass(frozen=True)
class Checkpoint(TrainingCallback):
    """Save the estimator to a file, during the training and at its end.

    The file is written by :func:`joblib.dump` beside the old one, flushed to the disk, and put in the
    old one's place: whenever the process or the machine ends, a whole one is there.
    :func:`joblib.load` gives an estimator that can predict
    and, with `warm_start=True` and what is left of `max_iter`, goes on where the training was. It
    has no callbacks, since these are of the program that trains and seldom can be pickled; set them
    anew.

    A file that cannot be written is noticed before the first epoch, by writing it on trial. If a
    later write fails, for the disk has become full, say, a warning tells so; the training goes on,
    the file stays as it was, and the next write is tried in its turn.

    Parameters
    ----------
    path : str or os.PathLike
        The file. A link stays, and the file that it names is replaced; permissions stay too.
    every : int, default=1
        Epochs between two writes. Each waits for the disk.

    Raises
    ------
    TypeError, ValueError
        If a parameter has a wrong type or range.
    OSError
        At the start of a training, if the file cannot be written: a `FileNotFoundError` if its
        directory does not exist, an `IsADirectoryError` if it is a directory itself.

    Warns
    -----
    UserWarning
        If a write fails.

    Notes
    -----
    A process that is killed while it writes leaves a file with the ending ``.tmp`` beside this one.
    The next training with the same `path` removes it, unless a process is writing it.

    Examples
    --------
    >>> import os, tempfile
    >>> import joblib
    >>> import numpy as np
    >>> from pylstm import LSTMRegressor
    >>> from pylstm.training import Checkpoint
    >>> X, y = np.random.default_rng(0).normal(size=(40, 6, 1)), np.zeros(40)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = os.path.join(directory, "model.joblib")
    ...     model = LSTMRegressor(n_iter_no_change=np.inf, max_iter=3, callbacks=[Checkpoint(path)])
    ...     predicted = model.fit(X, y).predict(X)
    ...     bool((joblib.load(path).predict(X) == predicted).all())
    True
    """

    path: str | os.PathLike[str]
    every: int = 1

    def __post_init__(self) -> None:
        require("path", self.path, str | os.PathLike, "a str or an os.PathLike")
        require("every", self.every, Integral, "an integer of at least 1", lambda v: v >= 1)

    def before_training(self, model: Estimator) -> None:
        """See `TrainingCallback`."""
        given = os.fspath(self.path)
        if not os.path.isdir(os.path.dirname(os.path.realpath(given))):
            raise FileNotFoundError(f"path must lie in an existing directory, got {given!r}.")
        remove_leftovers(given)
        # Known now rather than after an epoch of an hour: no permission, no space, no way to pickle.
        try:
            self._write(model, rehearse=True)
        except OSError as error:
            if error.errno is None:  # ours
                raise
            reason = f"The checkpoint cannot be written: {error.strerror}"
            raise OSError(error.errno, reason, given) from error

    def after_iteration(self, model: Estimator, epoch: int, evals_log: EvalsLog) -> bool:
        """See `TrainingCallback`."""
        if (epoch + 1) % self.every == 0:
            self._try_to_write(model)
        return False

    def after_training(self, model: Estimator) -> None:
        """See `TrainingCallback`."""
        self._try_to_write(model)

    def _try_to_write(self, model: Estimator) -> None:
        try:
            self._write(model)
        except Exception as error:
            warnings.warn(
                f"The checkpoint {os.fspath(self.path)!r} could not be written, and the training goes "
                f"on without it: {type(error).__name__}: {error}",
                stacklevel=users_level(),
            )

    def _write(self, model: Estimator, *, rehearse: bool = False) -> None:
        import joblib  # not at the top: not all who import this module wait for it

        model = copy.copy(model)
        model.callbacks = None
        with replacing(self.path, rehearse=rehearse) as file:
            joblib.dump(model, file)


# When the trainings under a limit began: of a callback, which is a parameter, training changes nothing.
_began: WeakKeyDictionary[Estimator, float] = WeakKeyDictionary()


@dataclass(frozen=True)
class TimeLimit(TrainingCallback):
    """End the training after the first epoch at whose end the time is over.

    Parameters
    ----------
    seconds : float
        The time for a call of `fit` or `partial_fit`, by the clock on the wall.

    Raises
    ------
    TypeError, ValueError
        If the parameter has a wrong type or range.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import LSTMRegressor
    >>> from pylstm.training import TimeLimit
    >>> X, y = np.random.default_rng(0).normal(size=(40, 6, 1)), np.zeros(40)
    >>> model = LSTMRegressor(max_iter=10**6, n_iter_no_change=np.inf, callbacks=[TimeLimit(0.1)])
    >>> model.fit(X, y).n_iter_ < 10**6
    True
    """

    seconds: float

    def __post_init__(self) -> None:
        require("seconds", self.seconds, Real, "a number of seconds, more than 0", lambda v: v > 0)

    def before_training(self, model: Estimator) -> None:
        """See `TrainingCallback`."""
        _began[model] = time.monotonic()

    def after_iteration(self, model: Estimator, epoch: int, evals_log: EvalsLog) -> bool:
        """See `TrainingCallback`."""
        return time.monotonic() >= _began[model] + self.seconds


# For the training loop


def check_callbacks(
    callbacks: Sequence[TrainingCallback] | None,
) -> tuple[TrainingCallback, ...]:
    """The callbacks as a tuple; None means none."""
    if callbacks is None:
        return ()
    if not isinstance(callbacks, list | tuple):
        raise TypeError(f"callbacks must be a list of TrainingCallback or None, got {callbacks!r}.")
    for callback in callbacks:
        if not isinstance(callback, TrainingCallback):
            hint = " (a class: call it)" if isinstance(callback, type) else ""
            raise TypeError(
                "callbacks must be instances of pylstm.training.TrainingCallback, "
                f"got {callback!r}{hint}."
            )
    return tuple(callbacks)


def call_all(callbacks: Sequence[TrainingCallback], event: str, *args: object) -> bool:
    """Call a method of each callback in turn; whether one of them asked for the end."""
    answers = [getattr(callback, event)(*args) for callback in callbacks]  # each is called
    return any(answers)
