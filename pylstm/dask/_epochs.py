"""Engines of `_fitting.TrainingLoop` that run epochs over partitions, wherever these are.

`Parts` is what the client knows of them. Neither engine's result depends on which worker does what, for all
sums are made here in an order that data alone determine.
"""

import itertools
from typing import NamedTuple

import numpy as np

from .. import _unchecked
from .._fitting import Weights, learning_rates, merge_equal, order_of_visits, seed_of_dropout
from .._lengths import heeded, longest_first
from . import _partitions


def for_workers(model, *, weights=True, training=False):
    """A copy of the estimator that is as small as tasks need it."""
    small = model._snapshot()
    small.callbacks = None
    vars(small).pop("_sklearn_output_config", None)  # their results are arrays
    small.loss_curve_, small.n_iter_, small.validation_scores_ = [], 0, None
    if not training:
        parameters = model._parameters if weights else model._parameters[:0]  # of the same dtype
        small._weights, small._optimizer = Weights(parameters), None
    return small


class Parts(NamedTuple):
    """Samples in partitions, in the order in which one machine would have them.

    Sample i is the `row[i]`-th of partition `part[i]`.
    """

    futures: list  # of `_fitting.Samples`
    part: np.ndarray
    row: np.ndarray
    weight: np.ndarray | None
    lengths: np.ndarray | None
    n_timesteps: int

    @property
    def n_samples(self):
        return len(self.part)

    def take(self, positions):
        """Some of them, in this order; their futures stay those of all."""
        return self._replace(
            part=self.part[positions],
            row=self.row[positions],
            weight=None if self.weight is None else self.weight[positions],
            lengths=None if self.lengths is None else self.lengths[positions],
        )

    def using(self, cluster):
        """The same, with partitions that use these rows alone; those without any are left out."""
        present, part = np.unique(self.part, return_inverse=True)
        _, by_part = _grouped(part)
        futures = cluster.derive(
            _partitions.use_rows,
            [self.futures[k] for k in present],
            [_as_range(self.row[places]) for places in by_part],
        )
        return self._replace(futures=futures, part=part)

    def in_order(self, values):
        """Rows that the partitions gave, part by part, in the order of the samples."""
        return values[np.argsort(self.by_part())]

    def by_part(self):
        """The samples, part by part."""
        return np.argsort(self.part, kind="stable")


def _grouped(labels):
    """The labels that there are, and the places of each, in order."""
    present, counts = np.unique(labels, return_counts=True)
    return present, np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])


def _as_range(rows):
    """Consecutive rows as a range, which travels lighter."""
    first = int(rows[0])
    consecutive = range(first, first + len(rows))
    return consecutive if np.array_equal(rows, consecutive) else rows


class Epochs:
    """What both engines have in common."""

    def __init__(self, cluster, model, parts, loss):
        self.n_samples = parts.n_samples
        self._cluster = cluster
        self._model = model
        self._parts = parts
        self._loss = loss

    def loss_of_zero_output(self):
        """As `LocalEpochs`, but for the rounding: it is compared with a tolerance."""
        results = self._cluster.run(
            _partitions.loss_of_zero_output,
            self._parts.futures,
            model=for_workers(self._model),
            loss=self._loss,
        )
        sums, weights = zip(*results, strict=True)
        return sum(sums) / sum(weights)


class LocalUpdates(Epochs):
    """Local SGD (Stich 2019): each partition trains by itself, from time to time weights are averaged.

    So are the optimiser's moments: nothing stays with a worker from one round to the next.
    """

    def __init__(self, cluster, model, parts, loss, average_every):
        super().__init__(cluster, model, parts, loss)
        n_batches = -(-np.bincount(parts.part) // int(model.batch_size))
        n = int(n_batches.max())
        step = n if average_every is None else int(average_every)
        self._rounds = [slice(start, start + step) for start in range(0, n, step)]

    def run_epoch(self, epoch, n_epochs, merits):
        """As `LocalEpochs`."""
        model, parts = self._model, self._parts
        seeds = model._random_state.randint(np.iinfo(np.int32).max, size=len(parts.futures))
        losses, weights = [], []
        for batches in self._rounds:
            n_bytes = model._parameters.nbytes * (1 + len(model._optimizer.moments))
            shared = self._cluster.share(for_workers(model, training=True), n_bytes)
            results = self._cluster.run(
                _partitions.update_locally,
                parts.futures,
                seeds.tolist(),
                model=shared,
                loss=self._loss,
                batches=batches,
                epoch=epoch,
                n_epochs=n_epochs,
                merits=merits,
            )
            self._cluster.forget([shared])
            results = [result for result in results if result is not None]
            of_round, losses_of_round, *changed = zip(*results, strict=True)
            if not np.isfinite(losses_of_round).all():
                return np.nan
            losses += losses_of_round
            weights += of_round
            self._take_average(np.array(of_round) / sum(of_round), *changed)
        return float(np.dot(losses, weights) / sum(weights))

    def _take_average(self, shares, parameters, moments, step_counts):
        model = self._model
        _average(model._weights.moving, parameters, shares)
        _average(model._optimizer.moments, moments, shares)
        model._optimizer.step_count[:] = np.max(step_counts, axis=0)


def _average(target, arrays, shares):
    total = np.zeros(target.shape)
    for array, share in zip(arrays, shares, strict=True):
        total += share * array.astype(np.float64)
    target[...] = total


class SynchronousEpochs(Epochs):
    """The updates of one machine, bit for bit: a task computes whole slots of each batch.

    The samples of a slot are gathered where its task runs, anew in each epoch if they are shuffled. The
    client adds the slots' gradients in their order, as `_core.train` does.
    """

    def __init__(self, cluster, model, parts, loss):
        super().__init__(cluster, model, parts, loss)
        if parts.n_samples <= model.batch_size:
            self._merge_equal()
        n = self._parts.n_samples
        self._batch_size = min(int(model.batch_size), n)
        self._block, self._n_slots = _unchecked.slot_layout(
            model._architecture, self._batch_size, model._parameters.dtype
        )
        self._n_pieces, self._pieces = 0, []

    def _merge_equal(self):
        """As `merge_equal_samples`, for samples that make a single batch."""
        parts = self._parts
        digests = self._cluster.run(_partitions.digests_of, parts.futures)
        digests = parts.in_order(np.concatenate([np.array(d, dtype=object) for d in digests]))
        dtype = self._model._parameters.dtype
        first, weight = merge_equal(digests.tolist(), parts.weight, dtype)
        self._parts = parts.take(first)._replace(weight=weight)

    def run_epoch(self, epoch, n_epochs, merits):
        """As `LocalEpochs`."""
        model, n = self._model, self._parts.n_samples
        order = order_of_visits(model, np.arange(n))
        n_updates = -(-n // self._batch_size)
        rates = np.empty(n_updates)
        rates[...] = learning_rates(model, n_updates, epoch, n_epochs, merits)
        seed = seed_of_dropout(model)
        average = model._weights.average_for_pass(n_updates)
        numbers = np.arange(n)
        lengths = self._parts.lengths
        lengths = None if lengths is None else heeded(lengths, self._parts.n_timesteps)
        if lengths is not None:
            numbers = longest_first(lengths[order], numbers // self._batch_size)
            order = order[numbers]
        weight = self._parts.weight
        mean_weight = 1.0 if weight is None else _sum(weight[order]) / n
        n_pieces = min(
            self._n_slots, self._cluster.n_threads()
        )  # which leaves the sums as they are
        if self._n_pieces != n_pieces or (model.shuffle and n_updates > 1):
            self._gather_pieces(n_pieces, order, numbers, lengths)
        total = 0.0
        for batch in range(n_updates):
            n_visits = min(self._batch_size, n - batch * self._batch_size)
            loss = self._update(batch, n_visits * mean_weight, seed, rates[batch], average)
            if not np.isfinite(loss):
                return np.nan
            total += loss * n_visits
        model._weights.after_epoch(epoch, n_epochs)
        return total / n

    def _update(self, batch, total_weight, seed, rate, average):
        model = self._model
        params = model._weights.moving
        options = {
            "batch_size": self._batch_size,
            "dropout": model.dropout,
            "recurrent_dropout": model.recurrent_dropout,
            "seed": seed,
        }
        pieces = [(future, starts[batch]) for future, starts in self._pieces if batch in starts]
        futures, slots = zip(*pieces, strict=True)
        results = self._cluster.run(
            _partitions.slot_gradients,
            futures,
            slots,
            params=params,
            arch=model._architecture,
            loss=self._loss,
            total_weight=total_weight,
            options=options,
        )
        loss, gradient = 0.0, np.zeros_like(params)
        for _, value, of_slot in sorted(
            (slot for piece in results for slot in piece), key=lambda slot: slot[0]
        ):
            loss += value
            gradient += of_slot
        alpha = 0.0 if model.solver == "adamw" else model.alpha
        return _unchecked.apply_gradient(
            params,
            loss,
            gradient,
            model._architecture,
            model._optimizer,
            learning_rate=rate,
            penalty=alpha / total_weight,
            fixed_highway=True,
            max_grad_norm=model.max_grad_norm,
            max_grad_value=model.max_grad_value,
            average=average,
        )

    def _gather_pieces(self, n_pieces, order, numbers, lengths):
        """Bring the samples of an epoch's slots together: each task has some slots of every batch."""
        self._cluster.forget([future for future, _ in self._pieces])
        n = len(order)
        batch, place = np.divmod(np.arange(n), self._batch_size)
        n_blocks = -(-np.minimum(self._batch_size, n - batch * self._batch_size) // self._block)
        slot = place // self._block % np.minimum(n_blocks, self._n_slots)
        self._n_pieces, self._pieces = n_pieces, []
        for piece in range(n_pieces):
            visits = np.flatnonzero(slot % n_pieces == piece)
            if len(visits) == 0:
                continue
            visits = visits[np.lexsort((visits, slot[visits], batch[visits]))]
            samples = order[visits]
            self._pieces.append(
                (
                    self._gather_piece(samples, lengths, numbers[visits]),
                    _starts(batch[visits], slot[visits]),
                )
            )

    def _gather_piece(self, samples, lengths, numbers):
        """A future of these samples, in this order, from wherever they are."""
        parts = self._parts
        present, by_part = _grouped(parts.part[samples])
        taken = self._cluster.start(
            _partitions.take,
            [parts.futures[k] for k in present],
            [parts.row[samples[places]] for places in by_part],
        )
        (joined,) = self._cluster.start(
            _partitions.join,
            [taken],
            [np.argsort(np.concatenate(by_part), kind="stable")],
            lengths=None if lengths is None else lengths[samples],
            weight=None if parts.weight is None else parts.weight[samples],
            numbers=numbers,
        )
        self._cluster.forget(taken)
        return joined


def _starts(batch, slot):
    """Where the visits of each batch and slot begin and end, of sorted visits."""
    changes = np.flatnonzero((np.diff(batch) != 0) | (np.diff(slot) != 0)) + 1
    bounds = [0, *changes.tolist(), len(batch)]
    starts: dict[int, dict[int, tuple[int, int]]] = {}
    for start, stop in itertools.pairwise(bounds):
        starts.setdefault(int(batch[start]), {})[int(slot[start])] = (start, stop)
    return starts


def _sum(weights):
    """In order, as the kernels add them."""
    return float(np.cumsum(weights, dtype=np.float64)[-1])
