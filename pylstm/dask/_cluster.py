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


class Cluster:
    """The tasks of one call; a context manager, at whose end the scheduler forgets them.

    Parameters
    ----------
    client : distributed.Client or None
        None means the current one.
    """

    def __init__(self, client):
        import dask.config
        from dask.utils import parse_timedelta

        self._client = _check_client(client)
        self._kept = []
        self._numbers = itertools.count()
        self._name = f"pylstm-{uuid.uuid4().hex[:12]}"
        self._patience = parse_timedelta(dask.config.get("pylstm.no-workers-timeout", "60s"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.forget(self._kept)

    def start(self, function, *columns, **common):
        """A task for each row of `columns`; its arguments are futures too. Kept until the end."""
        prefix = f"{self._name}-{next(self._numbers)}-{function.__name__}"
        futures = []
        self._kept.append(futures)
        for number, row in enumerate(zip(*columns, strict=True)):
            key = f"{prefix}-{number}"
            futures.append(self._client.submit(function, *row, **common, key=key, pure=False))
        return futures

    def compute(self, delayed):
        """Futures of delayed objects, kept until the end."""
        futures = self._client.compute(delayed)
        self._kept.append(futures)
        return futures

    def forget(self, futures):
        """Let the scheduler forget them, whether or not they are done."""
        for part in futures:
            for future in part:
                future.release()
        self._kept = [part for part in self._kept if not any(part is other for other in futures)]

    def run(self, function, *columns, **common):
        """The results of such tasks, in order."""
        futures = self.start(function, *columns, **common)
        try:
            return self.collect(futures)
        finally:
            self.forget([futures])

    def collect(self, futures):
        """Their results.

        Raises
        ------
        RuntimeError
            If the scheduler is gone, no worker comes, or workers keep dying; what a task raises otherwise.
        """
        from distributed import CancelledError, KilledWorker

        client = self._client
        lost = (
            "The fit was broken off: {}. If it had a pylstm.training.Checkpoint, it can go on from the "
            "last epoch: DaskLSTMRegressor.from_local(joblib.load(path), warm_start=True)."
        )

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
        except KilledWorker as error:
            raise RuntimeError(
                lost.format(f"workers died again and again at the same task ({error})")
            ) from error
        except (CancelledError, asyncio.CancelledError, OSError) as error:
            if client.status == "running" and isinstance(error, OSError):
                raise  # of a task that reads a file, say
            raise RuntimeError(
                lost.format(f"the connection to the scheduler, or a partition, is lost ({error})")
            ) from error
        except _Alone as error:
            raise RuntimeError(lost.format(error)) from None
        finally:
            if client.status == "running":
                client.loop.add_callback(gathering.cancel)

    def _check_alive(self, without_workers):
        """Since when there has been no worker, or None."""
        if self._client.status != "running":
            raise _Alone("the connection to the scheduler is lost")
        if self._client.scheduler_info()["workers"]:
            return None
        now = time.monotonic()
        if without_workers is not None and now - without_workers > self._patience:
            raise _Alone(
                f"the scheduler has had no worker for {self._patience:g} seconds "
                "(pylstm.no-workers-timeout in Dask's configuration)"
            )
        return without_workers or now


class _Alone(Exception):
    """Nobody is there to run the tasks."""


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
