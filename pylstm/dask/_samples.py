"""From partitions as they were given to what a fit learns from and is scored by."""

import numpy as np

from .._base import large_enough
from .._classifier import balanced_weights
from .._fitting import Samples
from . import _partitions
from ._epochs import Parts, for_workers


def stub(n, n_targets=1, y=None):
    """Samples of which only their number, or their targets, are looked at."""
    y = np.empty((n, n_targets)) if y is None else y
    return Samples(np.empty((n, 0, 0)), None, y, None, np.arange(n))


def _unfitted(model):
    """For a look at partitions, which knows nothing of others."""
    return model._clone().set_params(callbacks=None)


def set_up(cluster, model, given, random_state, continuing):
    """Make the network; the checked partitions, and the targets by which they may be split."""
    raws, descriptions = _described(cluster, model, given)
    if hasattr(model, "_set_classes") and not continuing:
        model._set_classes(
            np.unique(np.concatenate([d.classes for d in descriptions if d.n_samples]))
        )
    if not continuing:
        first = next(raw for raw, told in zip(raws, descriptions, strict=True) if told.n_samples)
        (few,) = cluster.run(_partitions.first_rows, [first])
        samples = model._check_samples(few.X, few.y, None, few.lengths, reset=True)
        model._initialize(samples, random_state)
    parts, summaries = _checked(cluster, model, raws, descriptions)
    if continuing:
        model._check_same_network(stub(0, summaries[0].n_targets))
    elif parts.lengths is not None:
        model.n_timesteps_ = None
    strata = [summary.strata for summary in summaries]
    return parts, None if strata[0] is None else np.concatenate(strata)


def validation_parts(cluster, model, given):
    """The checked partitions to validate on."""
    parts, summaries = _checked(cluster, model, *_described(cluster, model, given))
    model._check_n_targets_val(summaries[0].n_targets)
    large_enough(stub(parts.n_samples))
    return parts


def _described(cluster, model, given):
    """The partitions, and what the client has to know of them."""
    raws = cluster.load(given)
    descriptions = cluster.run(_partitions.describe, raws, model=_unfitted(model))
    if not any(told.has_weight for told in descriptions):
        n = sum(told.n_samples for told in descriptions)
        reason = "sample_weight must contain at least one non-zero number" if n else "X is empty"
        raise ValueError(f"There is nothing to learn from in {len(given)} partitions: {reason}.")
    return raws, descriptions


def _checked(cluster, model, raws, descriptions):
    """The samples of the partitions that have any to learn from, and summaries of these."""
    small = for_workers(model, weights=False)
    if _partitions.is_balanced(model):
        small.class_weight = _balanced(model.classes_, descriptions)
    used = [raw for raw, told in zip(raws, descriptions, strict=True) if told.has_weight]
    futures = cluster.derive(_partitions.check, used, model=small)
    cluster.forget(raws)  # made again if a worker dies
    has_strata = hasattr(model, "_set_classes") and model.early_stopping
    summaries = cluster.run(_partitions.summarize, futures, with_strata=has_strata)
    n = [len(summary.rows) for summary in summaries]
    T = summaries[0].shape[1]
    lengths = weight = None
    if any(summary.lengths is not None for summary in summaries):
        lengths = np.concatenate(
            [
                np.full(len(s.rows), T, np.int64) if s.lengths is None else s.lengths
                for s in summaries
            ]
        )
    if summaries[0].weight is not None:
        weight = np.concatenate([summary.weight for summary in summaries])
    parts = Parts(
        futures,
        np.repeat(np.arange(len(n)), n),
        np.concatenate([summary.rows for summary in summaries]),
        weight,
        lengths,
        T,
    )
    return parts, summaries


def _balanced(classes, descriptions):
    """The weight of each class, counted as on one machine: sample by sample."""
    told = [of_partition for of_partition in descriptions if of_partition.n_samples]
    codes = np.concatenate([np.searchsorted(classes, d.classes)[d.codes] for d in told])
    weight = None if told[0].weight is None else np.concatenate([d.weight for d in told])
    counts = np.bincount(codes, weight, minlength=len(classes))[: len(classes)]
    return dict(zip(classes, balanced_weights(counts), strict=True))


def statistics_over(cluster, model, parts, units, steps, statistic, *args):
    """As `_units.over_chunks`, over all partitions."""
    results = cluster.run(
        _partitions.statistics_of,
        parts.futures,
        n_jobs=model.n_jobs,
        units=units,
        steps=steps,
        statistic=statistic,
        args=args,
    )
    return [value for result in results for value in result]


def score_of(cluster, model, parts):
    """As `BaseLSTM._score_samples`: predictions come to the client, samples do not."""
    shared = cluster.share(for_workers(model), model._parameters.nbytes)
    results = cluster.run(_partitions.to_score, parts.futures, model=shared)
    cluster.forget([shared])
    if any(result is None for result in results):
        return np.nan
    y, predicted, weight = zip(*results, strict=True)
    by_part = parts.by_part()
    order = np.argsort(by_part)
    if model._architecture.return_sequences:
        steps = (
            np.full(parts.n_samples, parts.n_timesteps) if parts.lengths is None else parts.lengths
        )
        order = _steps_in_order(steps, by_part)
    return float(
        model._validation_score(
            np.concatenate(y)[order],
            np.concatenate(predicted)[order],
            None if weight[0] is None else np.concatenate(weight)[order],
        )
    )


def _steps_in_order(steps, by_part):
    """Places of the time steps of samples, that come by partition, in the order of the samples."""
    ends = np.empty(len(steps), dtype=np.intp)
    ends[by_part] = np.cumsum(steps[by_part])
    return np.concatenate([np.arange(end - n, end) for end, n in zip(ends, steps, strict=True)])
