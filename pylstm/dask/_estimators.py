"""The estimators on Dask collections."""

import inspect
import re
import uuid
from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from .._classifier import LSTMClassifier
from .._fitting import TrainingLoop
from .._public import public_in
from .._regressor import LSTMRegressor
from .._validation import is_dask
from . import _partitions
from ._cluster import Cluster
from ._epochs import LocalUpdates, SynchronousEpochs, for_workers
from ._samples import score_of, set_up, statistics_over, stub, validation_parts

if TYPE_CHECKING:
    from typing_extensions import Self

_NAMES = ("X", "y", "sample_weight", "lengths")
_NAMES_VAL = ("X_val", "y_val", "sample_weight_val", "lengths_val")

# Parameters that the plain estimators do not have.
_OWN = {
    "client": "no_validation",
    "updates": [StrOptions({"synchronous", "local"})],
    "average_every": [Interval(Integral, 1, None, closed="left"), None],
    "persist": ["boolean"],
}


def _takes_parameters_of(plain):
    """Decorator of a constructor: its signature is the plain estimator's, then that of `_OWN`."""

    def take(init):
        own = inspect.signature(init).parameters
        parameters = dict(inspect.signature(plain.__init__).parameters)
        parameters |= {name: own[name] for name in _OWN}
        init.__signature__ = inspect.Signature([*parameters.values()])
        return init

    return take


def _documents_parameters_of_plain(cls):
    """Class decorator: `{parameters}` in its docstring becomes what the plain one says of its parameters."""
    plain = inspect.getdoc(cls._plain).split("Parameters\n----------\n")[1]
    parameters = re.sub(r"\s\[\d+\]_", "", plain.split("\n\nAttributes\n")[0])  # no references
    cls.__doc__ = inspect.cleandoc(cls.__doc__).replace("{parameters}", parameters) + "\n"
    return cls


class DaskLSTM:
    """What both estimators do on Dask collections; everything else is the plain estimator's."""

    _plain: type

    # of the estimators
    client: Any
    persist: bool
    early_stopping: bool
    warm_start: bool
    random_state: Any

    # Copies

    def to_local(self):
        """The plain estimator, which needs no Dask.

        Returns
        -------
        model : LSTMRegressor or LSTMClassifier
            With the same parameters; fitted, with weights of its own, if this one is.
        """
        model = self._as_plain()
        return model._copy_to_continue() if hasattr(model, "_weights") else model._clone()

    @classmethod
    def from_local(cls, model, **parameters):
        """The estimator on Dask of a plain one: of a checkpoint, say, from which to go on.

        Parameters
        ----------
        model : LSTMRegressor or LSTMClassifier
            Fitted or not.
        **parameters : dict
            Parameters to set: `client`, `updates`, `warm_start`, `max_iter` and the like.

        Returns
        -------
        estimator : DaskLSTMRegressor or DaskLSTMClassifier
        """
        if not isinstance(model, cls._plain):
            raise TypeError(
                f"model must be an instance of pylstm.{cls._plain.__name__}, got "
                f"{type(model).__name__}."
            )
        estimator = cls(**model.get_params(deep=False))
        if hasattr(model, "_weights"):
            estimator._adopt(model._copy_to_continue())
        return estimator.set_params(**parameters)

    def _as_plain(self):
        """A plain estimator that shares what was learned."""
        model = object.__new__(self._plain)
        vars(model).update(vars(self))
        for name in _OWN:
            delattr(model, name)
        return model

    def _without_client(self):
        model = self._snapshot()
        model.client = None
        return model

    def _clone(self):
        model = self._without_client()
        model.callbacks = None  # they may refuse to be copied
        return BaseEstimator.__sklearn_clone__(model).set_params(callbacks=self.callbacks)

    def __sklearn_clone__(self):
        if self.client is None:
            return BaseEstimator.__sklearn_clone__(self)
        return BaseEstimator.__sklearn_clone__(self._without_client()).set_params(
            client=self.client
        )

    def __getstate__(self):
        return {**super().__getstate__(), "client": None}  # which belongs to this process

    # Fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        lengths: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        lengths_val: Any = None,
    ) -> "Self":
        """Learn from sequences and their targets in the partitions of Dask collections.

        Parameters
        ----------
        X : dask.array.Array of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns), \
                or dask.dataframe.DataFrame
            The sequences. Each chunk of an array has whole samples.

        y : dask.array.Array, or dask.dataframe.Series or DataFrame
            The targets; an array is cut as `X` is.

        sample_weight, lengths : dask.array.Array or dask.dataframe.Series, default=None
            Weights and numbers of time steps of the samples.

        X_val, y_val, sample_weight_val, lengths_val : as the above, default=None
            Samples to validate on, with `early_stopping`.

        Returns
        -------
        self : estimator
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            As of the plain estimator; also for what is not in Dask collections, and for what the fit does
            not do on them.

        RuntimeError
            If the cluster fails: the connection is lost, no worker is left, or they keep dying. The
            estimator stays as it was.
        """
        self._refuse_what_is_not_there()
        plain = self._as_plain()
        plain._check_combinations()
        given = _partitions.partitions_of(X, y, sample_weight, lengths, _NAMES)
        held_out = X_val, y_val, sample_weight_val, lengths_val
        given_val = None
        if plain._are_held_out(*held_out):
            given_val = _partitions.partitions_of(*held_out, _NAMES_VAL)
        continuing = self.warm_start and hasattr(self, "_weights")
        model = plain._copy_to_continue() if continuing else plain._clone()
        random_state = check_random_state(self.random_state)
        with Cluster(self.client, persist=self.persist) as cluster:
            parts, strata = set_up(cluster, model, given, random_state, continuing)
            validation = None
            if given_val is not None:
                validation = validation_parts(cluster, model, given_val)
            elif self.early_stopping:
                train, rest = model._split(stub(parts.n_samples, y=strata), None)
                validation = parts.take(rest.rows).using(cluster)
                parts = parts.take(train.rows)
            checked, parts = parts.futures, parts.using(cluster)
            cluster.forget(checked)
            if not continuing:
                model._learn_units_over(partial(statistics_over, cluster, model, parts))
            self._train_on(cluster, model, parts, validation)
        return self

    def _refuse_what_is_not_there(self):
        refused = {
            "stateful": "states are carried from window to window, and partitions know no order in time",
            "highway": "its regression is solved over all windows at once",
        }
        for name, reason in refused.items():
            value = getattr(self, name, None)
            if value not in (False, 0, None):
                raise ValueError(
                    f"{name}={value!r} is not there on Dask collections: {reason}. Leave it at its "
                    f"default, or fit {self._plain.__name__} on one machine."
                )
        if self.updates == "local":
            if self.averaging is not None:
                raise ValueError(
                    "updates='local' averages weights over partitions, and takes no averaging besides: "
                    "set averaging=None, or updates='synchronous'."
                )
            return
        if self.average_every is not None:
            raise ValueError(
                f"average_every={self.average_every} is of updates='local': set it to None, or updates "
                "to 'local'."
            )
        if not self.persist:
            raise ValueError(
                "updates='synchronous' brings samples of all partitions together, for which they must be "
                "in the workers' memory: set persist=True, or updates='local'."
            )

    def _train_on(self, cluster, model, parts, validation):
        model._set_optimizer()
        model._carries_state = False
        small = for_workers(model, weights=False)
        learned = cluster.derive(_partitions.to_network, parts.futures, model=small)
        cluster.forget(parts.futures)
        arguments = cluster, model, parts._replace(futures=learned), model._training_loss()
        if self.updates == "local":
            epochs = LocalUpdates(*arguments, self.average_every)
        else:
            epochs = SynchronousEpochs(*arguments)
        score = None if validation is None else partial(score_of, cluster, model, validation)
        loop = TrainingLoop(model, epochs, score, incremental=False)
        loop.run(partial(self._adopt, model))

    # Using what was learned

    def _lazily(self, method, X, lengths):
        """A method of the plain estimator, partition by partition; a Dask array."""
        import dask.array
        from dask import delayed
        from dask.highlevelgraph import HighLevelGraph

        check_is_fitted(self)
        model = for_workers(self._as_plain())
        blocks = _partitions.blocks_of(X)
        of_lengths = len(blocks) * [None]
        if lengths is not None:
            of_lengths = _partitions.blocks_of(lengths, like=X)
        if len(of_lengths) != len(blocks):
            raise ValueError(
                f"X has {len(blocks)} partitions and lengths {len(of_lengths)}: cut both alike."
            )
        like = _one_sample(X, model)
        steps = None if lengths is None else np.full(1, like.shape[1])
        empty = getattr(model, method)(like, lengths=steps)[:0]
        shared, call = delayed(model), delayed(_call)
        results = [
            call(shared, method, block, of_block, empty)
            for block, of_block in zip(blocks, of_lengths, strict=True)
        ]
        name = f"{method}-{uuid.uuid4().hex}"
        zeros = (empty.ndim - 1) * (0,)
        keys = {(name, k, *zeros): result.key for k, result in enumerate(results)}
        graph = HighLevelGraph.from_collections(name, keys, dependencies=results)
        rows = X.chunks[0] if hasattr(X, "chunks") else len(blocks) * (np.nan,)
        chunks = (rows, *((size,) for size in empty.shape[1:]))
        return dask.array.Array(graph, name, chunks, meta=empty)

    def score(self, X, y, sample_weight=None, *, lengths=None):
        """As of the plain estimator, of arrays in memory or of Dask collections.

        Parameters
        ----------
        X, y, sample_weight, lengths
            As for `fit`.

        Returns
        -------
        score : float
            As the plain estimator gives it. Of Dask collections it is computed at once, from predictions
            that are made where the partitions are.
        """
        if not is_dask(X):
            return super().score(X, y, sample_weight, lengths=lengths)
        from dask import compute, delayed

        check_is_fitted(self)
        shared = delayed(for_workers(self._as_plain()))
        raws = _partitions.partitions_of(X, y, sample_weight, lengths, _NAMES)
        results = compute(*(delayed(_partitions.to_compare)(raw, shared) for raw in raws))
        results = [result for result in results if result is not None]
        if not results:
            raise ValueError(f"There is nothing to score in {len(raws)} partitions.")
        y, predicted, weight = zip(*results, strict=True)
        weight = None if weight[0] is None else np.concatenate(weight)
        return float(self._score_of(np.concatenate(y), np.concatenate(predicted), weight))

    def transform(self, X, *, lengths=None):
        """As of the plain estimator; of a Dask collection lazily, as a Dask array.

        Parameters
        ----------
        X : array-like or Dask collection
            The sequences.
        lengths : array-like or Dask collection, default=None
            Time steps of each sample; None means all.

        Returns
        -------
        X_new : ndarray or dask.array.Array
            Hidden states, as the plain estimator gives them.
        """
        if is_dask(X):
            return self._lazily("transform", X, lengths)
        return super().transform(X, lengths=lengths)

    def predict(self, X, *, lengths=None, **options):
        """As of the plain estimator; of a Dask collection lazily, as a Dask array.

        Parameters
        ----------
        X : array-like or Dask collection
            The sequences.
        lengths : array-like or Dask collection, default=None
            Time steps of each sample; None means all.
        **options : dict
            Those of the plain estimator, for arrays alone.

        Returns
        -------
        y : ndarray or dask.array.Array
            Predictions, as the plain estimator gives them.
        """
        if not is_dask(X):
            return super().predict(X, lengths=lengths, **options)
        if options:
            raise TypeError(
                f"predict of a Dask collection does not take {', '.join(options)}: use "
                "X.map_blocks with to_local()."
            )
        return self._lazily("predict", X, lengths)


@public_in("pylstm.dask")
@_documents_parameters_of_plain
class DaskLSTMRegressor(DaskLSTM, LSTMRegressor):
    """`LSTMRegressor` that learns from Dask arrays and DataFrames, where their partitions are.

    Everything that it has learned, and what it does with arrays in memory, is as of
    :class:`pylstm.LSTMRegressor`. The last four parameters are its own; `batch_size` counts the samples of
    an update over all partitions or, with `updates="local"`, in one; `stateful` and `highway` are refused.

    Parameters
    ----------
    {parameters}

    client : dask.distributed.Client, default=None
        Whose workers train; None means the current one. It is in no pickle.

    updates : {"synchronous", "local"}, default="synchronous"
        - "synchronous": the updates that one machine would make, so that the fit has the very bits of
          :class:`pylstm.LSTMRegressor` on the concatenated data. Each update asks the workers once, for
          which it should have a large batch; with `shuffle` the samples change places in every epoch.
        - "local": each partition trains by itself, and from time to time weights, and the optimiser's
          moments, are averaged (local SGD [1]_). Samples stay where they are. The result depends on the
          partitions, but not on the workers.

    average_every : int, default=None
        With `updates="local"`: batches that each partition trains on between two averages; None means
        an epoch. Each average asks the workers once.

    persist : bool, default=True
        Whether the partitions stay in the workers' memory during the fit. With False, which needs
        `updates="local"`, they are computed anew whenever they are used, so that no worker holds more
        than a few of them: for data larger than memory, and sources that are read quickly.

    See Also
    --------
    pylstm.LSTMRegressor : The same on one machine; it describes the attributes.

    References
    ----------
    .. [1] S. U. Stich, "Local SGD converges fast and communicates little", ICLR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import LSTMRegressor
    >>> from pylstm.dask import DaskLSTMRegressor
    >>> X = np.random.default_rng(0).normal(size=(400, 6, 1))
    >>> y = X.sum(axis=(1, 2))
    >>> parameters = dict(batch_size=200, n_iter_no_change=np.inf, max_iter=3, random_state=0)
    >>> alone = LSTMRegressor(**parameters).fit(X, y)
    >>> import dask.array as da  # doctest: +SKIP
    >>> from dask.distributed import Client  # doctest: +SKIP
    >>> client = Client(n_workers=1, processes=False, dashboard_address=None)  # doctest: +SKIP
    >>> X_parts = da.from_array(X, chunks=(100, 6, 1))  # doctest: +SKIP
    >>> y_parts = da.from_array(y, chunks=100)  # doctest: +SKIP
    >>> model = DaskLSTMRegressor(**parameters).fit(X_parts, y_parts)  # doctest: +SKIP
    >>> predicted = model.predict(X_parts)  # doctest: +SKIP
    >>> bool((predicted.compute() == alone.predict(X)).all())  # doctest: +SKIP
    True
    >>> client.close()  # doctest: +SKIP
    """

    _plain = LSTMRegressor
    _parameter_constraints: dict = LSTMRegressor._parameter_constraints | _OWN

    @_takes_parameters_of(LSTMRegressor)
    def __init__(
        self,
        hidden_size: int = 32,
        num_layers: int = 1,
        *,
        client: Any = None,
        updates: str = "synchronous",
        average_every: int | None = None,
        persist: bool = True,
        **parameters: Any,
    ) -> None:
        super().__init__(hidden_size, num_layers, **parameters)
        self.client = client
        self.updates = updates
        self.average_every = average_every
        self.persist = persist


@public_in("pylstm.dask")
@_documents_parameters_of_plain
class DaskLSTMClassifier(DaskLSTM, LSTMClassifier):
    """`LSTMClassifier` that learns from Dask arrays and DataFrames, where their partitions are.

    Everything that it has learned, and what it does with arrays in memory, is as of
    :class:`pylstm.LSTMClassifier`. The last four parameters are its own, see :class:`DaskLSTMRegressor`. A
    partition need not have samples of each class.

    Parameters
    ----------
    {parameters}

    client : dask.distributed.Client, default=None
        Whose workers train; None means the current one.

    updates : {"synchronous", "local"}, default="synchronous"
        Those of one machine, or of each partition by itself, averaged.

    average_every : int, default=None
        With `updates="local"`: batches between two averages; None means an epoch.

    persist : bool, default=True
        Whether the partitions stay in the workers' memory, or are computed anew at each use.

    See Also
    --------
    pylstm.LSTMClassifier : The same on one machine; it describes the attributes.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.dask import DaskLSTMClassifier
    >>> X = np.random.default_rng(0).normal(size=(400, 6, 1))
    >>> y = np.where(X.sum(axis=(1, 2)) > 0, "up", "down")
    >>> import dask.array as da  # doctest: +SKIP
    >>> from dask.distributed import Client  # doctest: +SKIP
    >>> client = Client(n_workers=1, processes=False, dashboard_address=None)  # doctest: +SKIP
    >>> X_parts = da.from_array(X, chunks=(100, 6, 1))  # doctest: +SKIP
    >>> y_parts = da.from_array(y, chunks=100)  # doctest: +SKIP
    >>> model = DaskLSTMClassifier(n_iter_no_change=np.inf, max_iter=3, updates="local")
    >>> model = model.fit(X_parts, y_parts)  # doctest: +SKIP
    >>> model.predict_proba(X_parts).shape  # doctest: +SKIP
    (400, 2)
    >>> model.to_local().predict_proba(X).shape  # doctest: +SKIP
    (400, 2)
    >>> client.close()  # doctest: +SKIP
    """

    _plain = LSTMClassifier
    _parameter_constraints: dict = LSTMClassifier._parameter_constraints | _OWN

    @_takes_parameters_of(LSTMClassifier)
    def __init__(
        self,
        hidden_size: int = 32,
        num_layers: int = 1,
        *,
        client: Any = None,
        updates: str = "synchronous",
        average_every: int | None = None,
        persist: bool = True,
        **parameters: Any,
    ) -> None:
        super().__init__(hidden_size, num_layers, **parameters)
        self.client = client
        self.updates = updates
        self.average_every = average_every
        self.persist = persist

    def predict_proba(self, X, *, lengths=None):
        """As of the plain estimator; of a Dask collection lazily, as a Dask array.

        Parameters
        ----------
        X : array-like or Dask collection
            The sequences.
        lengths : array-like or Dask collection, default=None
            Time steps of each sample; None means all.

        Returns
        -------
        p : ndarray or dask.array.Array
            Probabilities, as the plain estimator gives them.
        """
        if is_dask(X):
            return self._lazily("predict_proba", X, lengths)
        return super().predict_proba(X, lengths=lengths)


# -- of a prediction ------------------------------------------------------------------------------


def _one_sample(X, model):
    """Zeros in the form of X: what is made of them tells the form of the result."""
    dtype = getattr(X, "dtype", np.float64)
    dtype = dtype if dtype in (np.float32, np.float64) else np.float64
    if hasattr(X, "columns"):
        import pandas

        return pandas.DataFrame(np.zeros((1, len(X.columns))), columns=list(X.columns))
    return np.zeros((1, *X.shape[1:]), dtype)


def _call(model, method, X, lengths, empty):
    return getattr(model, method)(X, lengths=lengths) if len(X) else empty
