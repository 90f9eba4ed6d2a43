"""Dask collections as partitions, and what tasks do with one of them.

`Raw` is a partition as it was given; checked it is `_fitting.Samples`, or None if nothing of it is to be
learned from. The functions below are tasks: they run where the partition is.
"""

from functools import wraps
from typing import Any, NamedTuple

import numpy as np

from .. import _unchecked, core
from .._fitting import LocalEpochs, Samples, contents
from .._units import over_chunks
from .._validation import is_dask


class Raw(NamedTuple):
    """A partition as it was given."""

    number: int
    X: Any
    y: Any
    sample_weight: Any
    lengths: Any


class Description(NamedTuple):
    """What the client has to know of it before it is checked."""

    n_samples: int
    has_weight: bool
    classes: np.ndarray | None  # of a classifier's samples, whatever they weigh
    codes: (
        np.ndarray | None
    )  # each sample's place among the classes, and its weight: for balanced ones
    weight: np.ndarray | None


class Summary(NamedTuple):
    """What the client has to know of a checked partition."""

    rows: np.ndarray  # (n,): those in use; the others have an entry for each of them
    weight: np.ndarray | None
    lengths: np.ndarray | None
    strata: np.ndarray | None  # classes of the samples, for a classifier
    shape: tuple[int, ...]  # of X
    n_targets: int


# -- on the client --------------------------------------------------------------------------------


def partitions_of(X, y, sample_weight, lengths, names):
    """Delayed `Raw`s of collections that are cut alike, arrays so that they are."""
    from dask import delayed

    given = dict(zip(names, (X, y, sample_weight, lengths), strict=True))
    for name, values in given.items():
        if not is_dask(values) and (values is not None or name in names[:2]):
            raise TypeError(
                f"{name} must be a Dask array or DataFrame, got {type(values).__name__}. "
                "dask.array.from_array(array, chunks=...) makes one of an array; the plain "
                "estimators of pylstm take what is in memory."
            )
    columns = {
        name: blocks_of(values, like=X) for name, values in given.items() if values is not None
    }
    n = len(columns[names[0]])
    for name, blocks in columns.items():
        if len(blocks) != n:
            raise ValueError(
                f"{names[0]} has {n} partitions and {name} {len(blocks)}: cut both alike, by "
                "rechunk or repartition."
            )
    rows = zip(*(columns.get(name, n * [None]) for name in names), strict=True)
    make = delayed(Raw, pure=False)
    return [make(k, *row) for k, row in enumerate(rows)]


def blocks_of(values, like=None):
    """Delayed blocks of whole rows; an array is cut as `like` is, if it is known how."""
    if hasattr(values, "rechunk"):
        rows = values.chunks[0]
        if like is not None and hasattr(like, "chunks"):
            known = not np.isnan([*rows, *like.chunks[0]]).any()
            if known and sum(rows) == sum(like.chunks[0]):
                rows = like.chunks[0]
        values = values.rechunk((rows, *((size,) for size in values.shape[1:])))
    return np.ravel(values.to_delayed()).tolist()


# -- where the partition is -----------------------------------------------------------------------


def told_of_partition(task):
    """Decorator: errors of samples name the partition, the first argument."""

    @wraps(task)
    def named(raw, *args, **options):
        try:
            return task(raw, *args, **options)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"Partition {raw.number}: {error}") from error

    return named


def is_balanced(model):
    """Whether the samples' weights depend on how many there are of each class, in all partitions."""
    return getattr(model, "class_weight", None) == "balanced" and not model.return_sequences


def _describe(raw, model):
    n = len(raw.X)
    for name in ("y", "sample_weight", "lengths"):
        values = getattr(raw, name)
        if values is not None and len(values) != n:
            raise ValueError(f"X has {n} samples and {name} {len(values)}.")
    weight = None if raw.sample_weight is None else np.asarray(raw.sample_weight, model.dtype)
    has_weight = n > 0 and (weight is None or bool(weight.any()))
    if n == 0 or not hasattr(model, "_used_labels"):
        return Description(n, has_weight, None, None, None)
    sequences, lengths = model._check_X(raw.X, raw.lengths, reset=True)
    labels, used = model._used_labels(raw.y, sequences, lengths, model.return_sequences)
    classes, codes = np.unique(labels[used], return_inverse=True)
    if not is_balanced(model):
        codes = weight = None
    return Description(n, has_weight, classes, codes, weight)


def _first_rows(raw):
    """A few samples by which the client sets up the network."""

    def cut(values):
        return None if values is None else getattr(values, "iloc", values)[:2]

    return Raw(raw.number, cut(raw.X), cut(raw.y), None, cut(raw.lengths))


def _check(raw, model):
    return model._check_samples(raw.X, raw.y, raw.sample_weight, raw.lengths, reset=False)


def _to_compare(raw, model):
    weight = raw.sample_weight
    if len(raw.X) == 0 or not (weight is None or np.any(weight)):
        return None
    return model._to_compare(raw.X, raw.y, raw.sample_weight, raw.lengths)


describe, first_rows, check, to_compare = map(
    told_of_partition, (_describe, _first_rows, _check, _to_compare)
)


def summarize(samples, with_strata):
    rows = samples.rows

    def used(values):
        return None if values is None else values[rows]

    strata = samples.y[rows] if with_strata and samples.y.ndim == 2 else None
    return Summary(
        rows,
        used(samples.sample_weight),
        used(samples.lengths),
        strata,
        samples.X.shape,
        samples.y.shape[-1],
    )


def use_rows(samples, rows):
    if isinstance(rows, range):
        rows = np.arange(rows.start, rows.stop)
    return samples._replace(rows=rows)


def to_network(samples, model):
    return model._to_network(samples)


def statistics_of(samples, n_jobs, units, steps, statistic, args):
    return over_chunks(samples, core.effective_n_threads(n_jobs), units, steps, statistic, *args)


def digests_of(samples):
    return contents(samples)


def to_score(samples, model):
    return model._to_score(samples, core.effective_n_threads(model.n_jobs))


def loss_of_zero_output(samples, model, loss):
    """The mean loss, and the weight that it has."""
    engine = LocalEpochs(model, samples, loss, 1)
    total = engine.weight_of(samples.rows)
    return engine.loss_of_zero_output() * total, total


def update_locally(samples, seed, model, loss, batches, **epoch):
    """These batches of an epoch over one partition: their weight, mean loss, and what they have changed."""
    model = model._copy_to_continue()
    model._random_state = np.random.RandomState(seed)
    engine = LocalEpochs(model, samples, loss, core.effective_n_threads(model.n_jobs))
    order, rates, dropout_seed = engine.plan(**epoch)
    size = int(model.batch_size)
    order = order[batches.start * size : batches.stop * size]
    if len(order) == 0:
        return None
    if np.ndim(rates):
        rates = rates[batches.start : batches.stop]
    value = engine.run_batches(order, rates, dropout_seed + batches.start)
    optimizer = model._optimizer
    changed = model._weights.moving, optimizer.moments, optimizer.step_count
    return engine.weight_of(order), value, *changed


# -- slots ----------------------------------------------------------------------------------------


class Piece(NamedTuple):
    """The samples of some slots of each batch of an epoch, brought together."""

    samples: Samples
    numbers: np.ndarray  # (n,): those of their visits in the epoch, by which dropout knows them


def take(samples, rows):
    """Some samples of a partition, as arrays of their own."""
    X, lengths, y, weight, _, scaling = samples
    return samples._replace(
        X=np.asarray(X[rows]),
        lengths=None if lengths is None else lengths[rows],
        y=y[rows],
        sample_weight=None if weight is None else weight[rows],
        rows=np.arange(len(rows)),
        scaling=None if scaling is None else scaling.take(rows),
    )


def join(pieces, order, lengths, weight, numbers):
    """Pieces of several partitions as one, sorted; lengths and weights as the client knows them."""

    def joined(arrays):
        return np.ascontiguousarray(np.concatenate(arrays)[order])

    scaling = pieces[0].scaling
    if scaling is not None and scaling.is_by_sample:
        scaling = scaling._make(map(joined, zip(*(piece.scaling for piece in pieces), strict=True)))
    samples = pieces[0]._replace(
        X=joined([piece.X for piece in pieces]),
        lengths=lengths,
        y=joined([piece.y for piece in pieces]),
        sample_weight=weight,
        rows=np.arange(len(order)),
        scaling=scaling,
    )
    return Piece(samples, numbers)


def slot_gradients(piece, slots, params, arch, loss, total_weight, options):
    """Number, loss and gradient of slots of a batch; `slots`: from where to where each has its samples."""
    samples = piece.samples
    results = []
    for slot, (start, stop) in slots.items():
        value, gradient = _unchecked.slot_gradient(
            params,
            samples.X,
            samples.y,
            arch,
            order=np.arange(start, stop),
            numbers=piece.numbers[start:stop],
            loss=loss,
            sample_weight=samples.sample_weight,
            lengths=samples.lengths,
            scaling=samples.scaling,
            total_weight=total_weight,
            **options,
        )
        results.append((slot, value, gradient))
    return results
