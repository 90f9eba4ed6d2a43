"""Training as all estimators share it: what is learned from, what changes, and when it ends.

`Samples`         what a fit learns from, checked
`Weights`         what the updates change, and the average that may stand in for it
`LocalEpochs`     runs an epoch over samples in this process; another engine may take its place
`TrainingLoop`    epoch after epoch until something ends them: which weights are kept, what is reported

An engine has `n_samples`; `run_epoch(epoch, n_epochs, merits)`, which updates the model's weights and
returns the mean loss (not finite if it gave up); and `loss_of_zero_output()`.
"""

import copy
import warnings
from enum import Enum
from functools import partial
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from . import _unchecked, core
from ._lazy_windows import Windows, every_window, starts_of
from ._options import Scaling
from ._progress import Progress
from ._warnings import users_level
from .training import call_all, check_callbacks


class Samples(NamedTuple):
    """Checked samples; `rows` are those in use, so that a part of X needs no copy of it."""

    X: np.ndarray | Windows  # (n_samples, n_timesteps, n_features)
    lengths: np.ndarray | None  # (n_samples,)
    y: np.ndarray  # (n_samples, n_targets), or (n_samples, n_timesteps, n_targets)
    sample_weight: np.ndarray | None  # (n_samples,)
    rows: np.ndarray  # indices of samples, none of zero weight
    scaling: Scaling | None = None  # how the network reads X


class Weights:
    """The network's parameters: those in use and, where they are an average, those that move.

    Parameters
    ----------
    parameters : ndarray of shape (n_params,)
        The flat vector to start from.
    """

    def __init__(self, parameters):
        self.parameters = parameters
        self._moving = None
        self._average = None

    @property
    def moving(self):
        """What the updates change."""
        return self.parameters if self._average is None else self._moving

    def set_averaging(self, averaging):
        """Use an average from now on, or none; one of the same settings goes on."""
        if averaging is None:
            self.parameters = self.moving
            self._moving = self._average = None
            return
        if self._average is None:
            self._moving = self.parameters.copy()
        if self._average is None or self._average.settings != averaging:
            self._average = averaging.begin(self._moving)

    def average_for_pass(self, n_updates):
        """As `core.train` takes it."""
        return None if self._average is None else self._average.for_pass(n_updates)

    def after_epoch(self, epoch, n_epochs):
        """Put the average into use after a pass that came to its end."""
        if self._average is not None:
            self._average.after_epoch(self._moving, epoch, n_epochs)
            average = self._average.parameters  # itself: a copy would make pickles larger
            self.parameters = self._moving.copy() if average is None else average

    def copy(self):
        """A copy that shares nothing."""
        if self._average is None:  # after each epoch of a small network a deep copy would be felt
            return Weights(self.parameters.copy())
        return copy.deepcopy(self)


class LocalEpochs:
    """Runs epochs over samples that this process has at hand.

    Parameters
    ----------
    model : BaseLSTM
        The estimator in training: its parameters, and the weights, optimiser and random stream that
        an epoch changes.
    samples : Samples
        What it learns from, as the network reads and learns it.
    loss : Loss
        What it makes small.
    n_threads : int
        Threads to run on.

    Raises
    ------
    ValueError
        If windows to be carried on from batch to batch all fit into one batch.
    """

    def __init__(self, model, samples, loss, n_threads):
        self.n_samples = len(samples.rows)
        if model.stateful and 1 < self.n_samples <= model.batch_size:
            raise ValueError(
                f"stateful=True with batch_size={model.batch_size} trains {self.n_samples} windows "
                "side by side, each from states of zero: nothing would be carried. Lower batch_size, "
                "the number of stretches into which the series is cut."
            )
        if not model.stateful and self.n_samples <= model.batch_size:
            samples = merge_equal_samples(samples)
        self._model = model
        self._samples = samples
        self._loss = loss
        self._n_threads = n_threads

    def run_epoch(self, epoch, n_epochs, merits):
        """One pass over the samples; their mean loss.

        `epoch` counts from 0, `n_epochs` are planned, and `merits` has a figure for each one done (of
        this call alone if the learning rate is constant, which needs none).
        """
        weights = self._model._weights
        order, rates, seed = self.plan(epoch, n_epochs, merits)
        average = weights.average_for_pass(-(-len(order) // int(self._model.batch_size)))
        loss = self.run_batches(order, rates, seed, average)
        weights.after_epoch(epoch, n_epochs)
        return loss

    def plan(self, epoch, n_epochs, merits):
        """Of a pass: the rows in the order of their visits, learning rates, the seed of dropout."""
        model = self._model
        order = order_of_visits(model, self._samples.rows)
        n_updates = -(-len(order) // int(model.batch_size))
        rates = learning_rates(model, n_updates, epoch, n_epochs, merits)
        return order, rates, seed_of_dropout(model)

    def run_batches(self, order, rates, seed, average=None):
        """Visit these rows, batch by batch; their mean loss."""
        model, samples = self._model, self._samples
        model._optimizer.learning_rate = rates
        return _unchecked.train(
            model._weights.moving,
            samples.X,
            samples.y,
            model._architecture,
            model._optimizer,
            order=order,
            batch_size=int(model.batch_size),
            loss=self._loss,
            sample_weight=samples.sample_weight,
            lengths=samples.lengths,
            scaling=samples.scaling,
            fixed_highway=True,
            alpha=0.0 if model.solver == "adamw" else model.alpha,
            max_grad_norm=model.max_grad_norm,
            max_grad_value=model.max_grad_value,
            dropout=model.dropout,
            recurrent_dropout=model.recurrent_dropout,
            seed=seed,
            stateful=model.stateful,
            average=average,
            n_threads=self._n_threads,
        )

    def weight_of(self, rows):
        """The sum of their weights, or their number."""
        weight = self._samples.sample_weight
        return float(len(rows) if weight is None else weight[rows].sum(dtype=np.float64))

    def loss_of_zero_output(self):
        """Mean loss if the network's output were zero for every sample: that of zero weights."""
        X, lengths, y, sample_weight, rows, _ = self._samples
        arch = self._model._architecture
        n_steps = X.shape[1] if arch.return_sequences else 1
        one_unit = core.Architecture(
            1, 1, 1, arch.n_outputs, return_sequences=arch.return_sequences
        )
        loss, _ = core.loss_and_gradient(
            np.zeros(core.n_parameters(one_unit), y.dtype),
            np.broadcast_to(np.zeros(1, y.dtype), (len(rows), n_steps, 1)),
            y[rows],
            one_unit,
            loss=self._loss,
            sample_weight=None if sample_weight is None else sample_weight[rows],
            lengths=lengths[rows] if arch.return_sequences and lengths is not None else None,
        )
        return loss


# What the engines have in common: the random numbers of an epoch are drawn in this order.


def order_of_visits(model, rows):
    """The rows in the order of an epoch's visits."""
    if model.stateful:
        return parallel_streams(rows, int(model.batch_size))
    if model.shuffle and len(rows) > model.batch_size:
        return model._random_state.permutation(rows)
    return rows


def learning_rates(model, n_updates, epoch, n_epochs, merits):
    """One for all updates of the epoch, or one for each."""
    rate = model.learning_rate_init
    if model.learning_rate == "constant":
        return rate
    return model.learning_rate.rates(rate, n_updates, epoch, n_epochs, merits)


def seed_of_dropout(model):
    """What determines what is dropped in the epoch; 0 where nothing is."""
    if model.dropout > 0 or model.recurrent_dropout > 0:
        return int(model._random_state.randint(np.iinfo(np.int32).max))
    return 0


def parallel_streams(rows, n_streams):
    """An order in which batches of `n_streams` consecutive windows each continue the batch before.

    The rows, consecutive windows of a series, are parted into as many stretches; the first batch
    has the first windows of all stretches, the second the second ones, and so on. The longer
    stretches come first, so that the last batch may be smaller.
    """
    n_streams = min(n_streams, len(rows))
    stretches = np.array_split(rows, n_streams)
    return np.array(
        [stretch[k] for k in range(len(stretches[0])) for stretch in stretches if k < len(stretch)]
    )


def merge_equal_samples(samples):
    """Samples that make one batch: equal ones merged, their weights added, in an order of content.

    The loss of the whole batch stays what it is, while its rounding no longer depends on the order
    of the samples, nor on whether a sample is given twice or with twice the weight.
    """
    weight = samples.sample_weight
    first, merged = merge_equal(
        contents(samples), None if weight is None else weight[samples.rows], samples.y.dtype
    )
    merged_weight = np.zeros(len(samples.X), samples.y.dtype)
    merged_weight[samples.rows[first]] = merged
    return samples._replace(sample_weight=merged_weight, rows=samples.rows[first])


def contents(samples):
    """Digests of the samples in use: nothing of the size of X is made."""
    X, lengths, y, _, rows, _ = samples

    def content(row):
        length = X.shape[1] if lengths is None else lengths[row]
        targets = y[row, :length] if y.ndim == 3 else y[row]
        sequence = X[row, :length].astype(np.float64)  # the same, whichever dtype X was given in
        return blake2b(sequence.tobytes() + targets.tobytes(), digest_size=16).digest()

    return [content(row) for row in rows]


def merge_equal(contents, weight, dtype):
    """The first of equal ones, in an order of content, and the sums of their weights (None: ones)."""
    _, first, group = np.unique(contents, return_index=True, return_inverse=True)
    return first, np.bincount(group, weights=weight).astype(dtype)


def at_their_rows(samples):
    """Samples of many series whose X is a view from every row of these; those in use stay the same.

    The kernels read X by strides and numbers of samples, and y and the rest by the same numbers. Samples
    of an array stay what they are.
    """
    if not isinstance(samples.X, Windows):
        return samples
    windows, lengths, y, weight, rows, _ = samples
    X, starts = every_window(windows), starts_of(windows)

    def spread(values, fill=0):
        if values is None:
            return None
        spread = np.full((len(X), *values.shape[1:]), fill, values.dtype)
        spread[starts] = values
        return spread

    return Samples(X, spread(lengths, X.shape[1]), spread(y), spread(weight), starts[rows])


class Outcome(Enum):
    """What ended a training."""

    FINISHED = "it came to the end of the epochs asked for"
    UNFINISHED = "it came to the end of the epochs allowed, still improving"
    CONVERGED = "it stopped improving"
    USELESS = "it stopped improving, worse than an output of zero"
    DIVERGED = "its loss or gradient was not finite"
    STOPPED = "a callback asked for its end"
    INTERRUPTED = "Ctrl-C"


class Finished(NamedTuple):
    """What there is after a finished epoch: one object, of which Ctrl-C leaves the whole or nothing."""

    n_iter: int
    t: int
    weights: Weights
    best: float  # figure of merit
    best_weights: Weights


class TrainingLoop:
    """One call of `fit` or `partial_fit`: runs epochs, and decides when to end and what to keep.

    Parameters
    ----------
    model : BaseLSTM
        The estimator in training, whose attributes are up to date whenever a callback looks at them.
    engine : LocalEpochs or the like
        Runs an epoch.
    score : callable or None
        The validation score of the model's present weights; None where nothing is held out.
    incremental : bool
        Whether this is a single epoch of `partial_fit`. Such calls share the list `loss_curve_`, as a
        copy in each would make a million of them slow.
    """

    def __init__(self, model, engine, score, *, incremental):
        self._model = model
        self._engine = engine
        self._score = score
        self._callbacks = check_callbacks(model.callbacks)
        self._hyperparameters = model.get_params(deep=False)
        self._n_left = 1 if incremental else model.max_iter
        self._is_open_ended = not incremental and model.n_iter_no_change != np.inf
        self._outcome = self._interrupt = None

        self._n_before = model.n_iter_
        if not incremental:
            model.loss_curve_ = model.loss_curve_.copy()
        model.validation_scores_ = None if score is None else [*(model.validation_scores_ or [])]
        self._n_scores_before = len(model.validation_scores_ or ())
        model._weights.set_averaging(model.averaging)
        # Schedules and callbacks see the epochs of this fit, or those of all calls to partial_fit.
        self._first = 0 if incremental else self._n_before
        self._evals_log = {"loss": model.loss_curve_ if incremental else []}
        if score is not None:
            self._evals_log["validation_score"] = []
        # The figure of merit is the validation score, or else the negated training loss.
        needs_merits = model.learning_rate != "constant"
        self._merits = [-loss for loss in self._evals_log["loss"]] if needs_merits else []
        best = score() if score is not None and model.loss_curve_ else -np.inf
        weights = model._weights.copy()
        self._finished = Finished(self._n_before, model.t_, weights, best, weights)
        self._n_stalled = 0

    def run(self, adopt):
        """Train, leave the model with the weights to keep and the figures of the training, tell of it.

        Parameters
        ----------
        adopt : callable
            Takes over what the model has learned; not called if that is nothing, at an end before the
            first epoch. Ctrl-C is raised after it, but the program's if it comes twice in a moment.
        """
        self._until_ctrl_c(self._run_epochs)
        if self._has_learned:
            self._despite_ctrl_c(self._settle)
            self._until_ctrl_c(partial(self._call, "after_training"))
            self._despite_ctrl_c(adopt)
        self._report()

    @property
    def _has_learned(self):
        has_begun = self._finished.n_iter > self._n_before
        return has_begun or self._outcome not in (Outcome.STOPPED, Outcome.INTERRUPTED)

    def _until_ctrl_c(self, step):
        """Do something that may take long, or be left off."""
        try:
            step()
        except KeyboardInterrupt as interrupt:
            self._interrupt = interrupt
            self._outcome = self._outcome or Outcome.INTERRUPTED

    def _despite_ctrl_c(self, step):
        """Do something quick as a whole; again, if it was interrupted."""
        try:
            step()
        except KeyboardInterrupt as interrupt:
            self._interrupt = interrupt
            step()

    def _call(self, event, *args):
        """Call all callbacks; whether one of them asked for the end."""
        asked = call_all(self._callbacks, event, self._model, *args)
        vars(self._model).update(self._hyperparameters)  # not for callbacks to change
        return asked

    def _run_epochs(self):
        self._call("before_training")
        with Progress(self._n_left, self._model.verbose) as progress:
            while self._outcome is None:
                self._outcome = self._run_epoch(progress)
        if (
            self._outcome is Outcome.CONVERGED
            and self._score is None
            and self._model.loss_curve_[-1] > self._engine.loss_of_zero_output() + self._model.tol
        ):
            self._outcome = Outcome.USELESS

    def _run_epoch(self, progress):
        """Run one epoch; what it ends the training with, or None."""
        model = self._model
        epoch = model.n_iter_ - self._first
        if self._call("before_iteration", epoch, self._evals_log):
            return Outcome.STOPPED
        loss = self._engine.run_epoch(epoch, max(model.max_iter, epoch + 1), self._merits)
        if not np.isfinite(loss):
            return Outcome.DIVERGED
        score = None if self._score is None else self._score()
        self._record(loss, score)
        progress.update(loss, score)
        if self._call("after_iteration", epoch, self._evals_log):
            return Outcome.STOPPED
        if self._n_stalled >= model.n_iter_no_change:
            return Outcome.CONVERGED
        if self._n_left == 0:
            return Outcome.UNFINISHED if self._is_open_ended else Outcome.FINISHED
        return None

    def _record(self, loss, score):
        """Count a finished epoch, and remember its weights."""
        model, before = self._model, self._finished
        model.loss_curve_.append(loss)
        if self._evals_log["loss"] is not model.loss_curve_:
            self._evals_log["loss"].append(loss)
        if score is not None:
            model.validation_scores_.append(score)
            self._evals_log["validation_score"].append(score)
        model.n_iter_ += 1
        model.t_ += self._engine.n_samples
        self._n_left -= 1

        merit = -loss if score is None else score
        self._merits.append(merit)
        self._n_stalled = 0 if merit >= before.best + model.tol else self._n_stalled + 1
        weights = model._weights.copy()
        best = (merit, weights) if merit > before.best else (before.best, before.best_weights)
        self._finished = Finished(model.n_iter_, model.t_, weights, *best)

    def _settle(self):
        """Take the weights to keep, and set what the model tells of its training."""
        model, finished, validated = self._model, self._finished, self._score is not None
        went_astray = self._outcome in (Outcome.DIVERGED, Outcome.USELESS)
        model._weights = finished.best_weights if validated or went_astray else finished.weights
        if self._outcome is Outcome.DIVERGED:
            model._set_optimizer(renew=True)  # its moments are of the steps that led astray
        # Ctrl-C may have come when half of an epoch's figures were noted.
        model.n_iter_, model.t_ = finished.n_iter, finished.t
        del model.loss_curve_[finished.n_iter :]
        if validated:
            del model.validation_scores_[self._n_scores_before + finished.n_iter - self._n_before :]
        model.loss_ = model.loss_curve_[-1] if model.loss_curve_ else np.nan
        model.best_loss_ = None if validated else self._least_loss()
        model.best_validation_score_ = finished.best if validated else None

    def _least_loss(self):
        """The least loss of all epochs; that of those before is known, but after `early_stopping`."""
        model = self._model
        known = getattr(model, "best_loss_", None)
        if known is None:
            return min(model.loss_curve_, default=np.inf)
        return min([known, *model.loss_curve_[self._n_before :]])

    def _report(self):
        """Raise Ctrl-C, or tell the user what the end of the training asks for, if anything."""
        message = self._message()
        if self._interrupt is not None:
            if not self._interrupt.args:
                self._interrupt.args = (message,)
            raise self._interrupt
        if message is not None:
            is_stopped = self._outcome is Outcome.STOPPED
            category = UserWarning if is_stopped else ConvergenceWarning
            warnings.warn(message, category, stacklevel=users_level())

    def _message(self):
        """What the user is to know of the end of the training, or None."""
        model = self._model
        if not self._has_learned:
            ended = "interrupted" if self._interrupt else "stopped by a callback"
            return (
                f"Training was {ended} before the end of its first epoch: this "
                f"{type(model).__name__} is left as it was before the call."
            )
        if self._interrupt is not None:
            return (
                f"Training was interrupted after {model.n_iter_} epochs. The weights of the "
                f"{'best' if self._score else 'last'} finished epoch are kept."
            )
        messages = {
            Outcome.DIVERGED: f"Training diverged in epoch {model.n_iter_ + 1}: the loss or its "
            f"gradient was not finite. The best weights so far are kept. {model._advice()}",
            Outcome.USELESS: f"Training stopped improving at a loss of {model.loss_:.4g}, worse "
            "than that of an output of 0 for every sample. The weights of the best epoch are kept. "
            + model._advice(),
            Outcome.UNFINISHED: f"Training reached max_iter={model.max_iter} epochs before the "
            f"{'validation score' if model.early_stopping else 'loss'} stopped improving by "
            f"tol={model.tol} in {model.n_iter_no_change} epochs. Raise max_iter or tol, or let "
            "early_stopping decide on held-out samples.",
        }
        return messages.get(self._outcome)
