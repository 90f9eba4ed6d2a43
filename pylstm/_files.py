"""Files that are whole at any moment: written beside, flushed to the disk, then renamed."""

import contextlib
import os
import stat
import uuid
from collections.abc import Iterator
from typing import IO


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of the one at `path` as soon as it is complete.

    Whatever ends the writing, an error, a kill or a loss of power, `path` is either what it was or
    what was written. A symbolic link stays one: what it points to is replaced. A file that is replaced
    leaves its permissions to the new one.

    Parameters
    ----------
    path : str or os.PathLike
        The file, which need not exist; its directory must.

    Yields
    ------
    file : binary file
        To be written in the body of the `with` statement, at whose end it is renamed.

    Raises
    ------
    OSError
        If the file cannot be written. No other file is left behind.
    """
    target = os.path.realpath(path)
    if os.path.isdir(target):
        raise IsADirectoryError(f"{os.fspath(path)!r} is a directory, and cannot be a file.")
    if not os.path.isdir(os.path.dirname(target)):
        raise FileNotFoundError(f"There is no directory for the file {os.fspath(path)!r}.")
    # In the same directory, as a file can be replaced atomically on its own file system only; of a
    # name of its own, as several processes may write to one path.
    beside = f"{target}.{uuid.uuid4().hex}.tmp"
    try:
        with open(beside, "xb") as file:
            with contextlib.suppress(OSError):
                os.chmod(beside, stat.S_IMODE(os.stat(target).st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:  # Ctrl-C too leaves nothing behind
        with contextlib.suppress(OSError):
            os.remove(beside)
        raise
    _flush_directory(os.path.dirname(target))


def _flush_directory(directory: str) -> None:
    """Have the disk know of a new name; Windows knows no such call."""
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):  # some file systems refuse it, and the file is written
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
