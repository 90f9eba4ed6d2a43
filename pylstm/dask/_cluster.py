"""Tasks on a Dask cluster: started, waited for without hanging, and nothing left behind.

Every task is a function of its arguments alone, so that a worker that dies costs time and nothing else:
the scheduler runs again what it had computed.
"""

import asyncio
import itertools
import time
import uuid

# Seconds between two looks at whether the cluster still lives, while results are awaited.
_LOOK_EVERY = 2.0

# Bytes from which an argument of many tasks goes to one worker, from which the others fetch it: one message
# a worker in place of one a task, for a step more on the way.
_SHARED_FROM = 2**18

_BROKEN_OFF = "The fit was broken off"


class Cluster:
    """The tasks of one call; a context manager, at whose end the scheduler forgets them.

    Parameters
    ----------
    client : distributed.Client or None
        None means the current one.
    persist : bool
        Whether what is derived of partitions stays in the workers' memory, or is made anew at each use.
    """

    def __init__(self, client, *, persist=True):
        import dask.config
        from dask.utils import parse_timedelta

        self._client = _check_client(client)
        self._persist = persist
        self._kept = {}  # futures by key
        self._numbers = itertools.count()
        self._token = uuid.uuid4().hex
        self._partition_of = {}  # of a task's key, for errors
        self._patience = parse_timedelta(dask.config.get("pylstm.no-workers-timeout", "60s"))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.forget(list(self._kept.values()))
        from distributed.comm import CommClosedError

        # Whatever it was that noticed it, and be it before the client's status says so.
        is_lost = isinstance(error, CommClosedError) or self._client.status != "running"
        is_told = str(error).startswith(_BROKEN_OFF)
        if isinstance(error, Exception) and is_lost and not is_told:
            raise _broken_off(f"the connection to the scheduler is lost ({error})") from error

    def n_threads(self):
        """Those of all workers that there are now, at least 1."""
        return max(1, sum(self._client.nthreads().values()))

    # Tasks

    def load(self, delayed):
        """The partitions that delayed objects give."""
        for number, partition in enumerate(delayed):
            self._partition_of[partition.key] = number
        if not self._persist:
            return delayed
        return self._keep(self._client.compute(delayed))

    def derive(self, function, partitions, *columns, **common):
        """What becomes of each partition."""
        if self._persist:
            return self.start(function, partitions, *columns, **common)
        return self._delay(function, partitions, *columns, **common)

    def start(self, function, *columns, **common):
        """A future for each row of `columns`, whose items may be futures too. Kept until the end."""
        if any(hasattr(value, "dask") for column in columns for value in column):
            futures = self._client.compute(self._delay(function, *columns, **common))
        else:
            futures = [
                self._client.submit(function, *row, **common, key=key, pure=False)
                for key, row in self._rows(function, columns)
            ]
        return self._keep(futures)

    def _delay(self, function, *columns, **common):
        from dask import delayed

        task = delayed(function, pure=False)
        return [
            task(*row, **common, dask_key_name=key) for key, row in self._rows(function, columns)
        ]

    def _rows(self, function, columns):
        """The rows, each with a key that tells of which partition it is if the first item does."""
        group = f"{function.__name__}-{self._token}{next(self._numbers)}"
        for number, row in enumerate(zip(*columns, strict=True)):
            key = (group, number)
            partition = self._partition_of.get(getattr(row[0], "key", None))
            if partition is not None:
                self._partition_of[key] = partition
            yield key, row

    def share(self, value, n_bytes):
        """An argument of many tasks: itself, or a future if it is large."""
        return value if n_bytes < _SHARED_FROM else self.start(_itself, [value])[0]

    def _keep(self, futures):
        self._kept.update((future.key, future) for future in futures)
        return futures

    def forget(self, futures):
        """Let the scheduler forget them, whether or not they are done; leave alone what is no future."""
        for future in futures:
            if self._kept.pop(getattr(future, "key", None), None) is not None:
                future.release()

    # Results

    def run(self, function, *columns, **common):
        """The results of such tasks, in order.

        Raises
        ------
        RuntimeError
            If the scheduler is gone, no worker comes, workers keep dying, or a partition cannot be computed;
            TypeError and ValueError of its samples as `_partitions` raises them.
        """
        futures = self.start(function, *columns, **common)
        try:
            return self._collect(futures)
        finally:
            self.forget(futures)

    def _collect(self, futures):
        from distributed import CancelledError, KilledWorker

        try:
            return self._wait(futures)
        except KilledWorker as error:
            raise _broken_off(f"workers died again and again at the same task ({error})") from error
        except (CancelledError, asyncio.CancelledError) as error:
            raise _broken_off(
                f"the connection to the scheduler, or a partition, is lost ({error})"
            ) from error
        except _AloneError as error:
            raise _broken_off(error) from None
        except Exception as error:
            partition = self._partition_that_failed(futures)
            if partition is None or str(error).startswith("Partition "):
                raise
            message = (
                f"Partition {partition} could not be computed: {type(error).__name__}: {error}"
            )
            raise RuntimeError(message) from error

    def _wait(self, futures):
        """Their results, or an error soon after nobody is there to compute them."""
        client = self._client
        gathering = None

        async def begin():
            return asyncio.ensure_future(client.gather(futures, asynchronous=True))

        async def look():
            await asyncio.wait({gathering}, timeout=_LOOK_EVERY)

        try:
            gathering = client.sync(begin)
            without_workers = None
            while True:
                client.sync(look)
                if gathering.done():
                    return gathering.result()
                without_workers = self._check_alive(without_workers)
        finally:
            if gathering is not None and not gathering.done() and client.status == "running":
                client.loop.add_callback(gathering.cancel)

    def _check_alive(self, without_workers):
        """Since when there has been no worker, or None."""
        if self._client.status != "running":
            raise _AloneError("the connection to the scheduler is lost")
        if self._client.scheduler_info()["workers"]:
            return None
        now = time.monotonic()
        if without_workers is not None and now - without_workers > self._patience:
            raise _AloneError(
                f"the scheduler has had no worker for {self._patience:g} seconds "
                "(pylstm.no-workers-timeout in Dask's configuration)"
            )
        return without_workers or now

    def _partition_that_failed(self, futures):
        """Its number, if it is known."""
        failed = [future for future in futures if future.status == "error"]
        return self._partition_of.get(failed[0].key) if failed else None


class _AloneError(Exception):
    """Nobody is there to run the tasks."""


def _broken_off(reason):
    reason = " ".join(str(reason).split())  # of one line
    return RuntimeError(
        f"{_BROKEN_OFF}: {reason}. If it had a pylstm.training.Checkpoint, it can go on from the "
        "last epoch: from_local(joblib.load(path), warm_start=True) makes an estimator that does."
    )


def _itself(value):
    return value


def _check_client(client):
    from distributed import Client, default_client

    if client is None:
        try:
            client = default_client()
        except ValueError:
            raise ValueError(
                "There is no Dask client: make one, client = dask.distributed.Client(), which starts "
                "workers on this machine, or Client(address) of a scheduler that runs."
            ) from None
    if not isinstance(client, Client):
        raise TypeError(
            f"client must be a dask.distributed.Client or None, got {type(client).__name__}."
        )
    if client.asynchronous:
        raise ValueError("client is asynchronous, and a fit waits: pass a Client(address).")
    return client
