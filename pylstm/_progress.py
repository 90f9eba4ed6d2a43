"""The display of a running fit: a tqdm bar where tqdm is installed, plain lines elsewhere."""

import sys
import time


class Progress:
    """Shows epoch, loss, validation score and time left; a context manager.

    Parameters
    ----------
    n_epochs : int
        Epochs to come at most.

    verbose : int
        0 shows nothing.
    """

    def __init__(self, n_epochs, verbose):
        self._n_epochs = n_epochs
        self._verbose = verbose
        self._bar = None

    def __enter__(self):
        if self._verbose:
            self._bar = _open_bar(self._n_epochs)
        self._epoch = 0
        self._start = time.perf_counter()
        return self

    def __exit__(self, *exception):
        if self._bar is not None:
            self._bar.close()

    def update(self, loss, score=None):
        """Show that an epoch has ended."""
        if not self._verbose:
            return
        self._epoch += 1
        figures = {"loss": f"{loss:.4g}"}
        if score is not None:
            figures["validation score"] = f"{score:.4f}"
        if self._bar is not None:
            self._bar.set_postfix(figures, refresh=False)
            self._bar.update()
        else:
            shown = ", ".join(f"{name} {figure}" for name, figure in figures.items())
            print(
                f"epoch {self._epoch}/{self._n_epochs}, {shown}, {self._time_left()} left",
                flush=True,
            )

    def _time_left(self):
        elapsed = time.perf_counter() - self._start
        minutes, seconds = divmod(round(elapsed / self._epoch * (self._n_epochs - self._epoch)), 60)
        return f"{minutes}:{seconds:02d}"


def _open_bar(n_epochs):
    """A tqdm bar, or None where tqdm is missing or has no stream to draw on."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    if sys.stderr is None:  # as under pythonw
        return None
    return tqdm(total=n_epochs, unit="epoch")
