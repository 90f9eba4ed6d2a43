"""Files that are whole at any moment: written beside, flushed to the disk, then renamed."""

import contextlib
import glob
import os
import stat
import uuid
from collections.abc import Iterator
from typing import IO

try:
    import fcntl
except ImportError:  # Windows, where a file that is open can be neither removed nor moved
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, rehearse: bool = False) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of the one at `path` as soon as it is complete.

    Whatever ends the writing, an error, a kill or a loss of power, `path` is either what it was or
    what was written. A symbolic link stays one: what it points to is replaced. A file that is replaced
    leaves its permissions to the new one.

    Parameters
    ----------
    path : str or os.PathLike
        The file, which need not exist; its directory must.
    rehearse : bool, default=False
        Whether to do all but the last step, to see whether it can be done: `path` stays what it was.

    Yields
    ------
    file : binary file
        To be written in the body of the `with` statement, at whose end it is renamed.

    Raises
    ------
    OSError
        If the file cannot be written. No other file is left behind, but by a kill; see
        `remove_leftovers`.
    """
    target = os.path.realpath(path)
    if os.path.isdir(target):
        raise IsADirectoryError(f"{os.fspath(path)!r} is a directory, and cannot be a file.")
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(f"{os.fspath(path)!r} is a device or the like, and cannot be a file.")
    if not os.path.isdir(os.path.dirname(target)):
        raise FileNotFoundError(f"There is no directory for the file {os.fspath(path)!r}.")
    beside, file = _open_beside(target)
    try:
        with file:
            with contextlib.suppress(OSError):
                os.chmod(beside, stat.S_IMODE(os.stat(target).st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
            if not _HAS_LOCKS:
                file.close()
            if rehearse:
                os.remove(beside)
            else:
                os.replace(beside, target)
    except BaseException:  # Ctrl-C too leaves nothing behind
        with contextlib.suppress(OSError):
            os.remove(beside)
        raise
    _flush_directory(os.path.dirname(target))


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what processes that were killed in the middle of `replacing` have left beside a file."""
    for leftover in glob.glob(f"{glob.escape(os.path.realpath(path))}.{'?' * 32}.tmp"):
        with contextlib.suppress(OSError), open(leftover, "rb") as file:
            if not _HAS_LOCKS:
                file.close()
            if not _HAS_LOCKS or _lock(file):
                os.remove(leftover)


def _open_beside(target: str) -> tuple[str, IO[bytes]]:
    """A new file in the same directory, as a file can be replaced on its own file system only.

    It has a name of its own, as several processes of a search may write to one path, and a lock, by
    which `remove_leftovers` knows that somebody writes it.
    """
    while True:
        beside = f"{target}.{uuid.uuid4().hex}.tmp"
        file = open(beside, "xb")  # noqa: SIM115 (it is handed on)
        # Before it had its lock it may have been taken for left behind.
        if not _HAS_LOCKS or not _lock(file) or os.fstat(file.fileno()).st_nlink:
            return beside, file
        file.close()


def _lock(file: IO[bytes]) -> bool:
    """Whether an open file could be locked, until it is closed; some file systems have no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _flush_directory(directory: str) -> None:
    """Have the disk know of a new name, or the old file may be back after a loss of power."""
    if os.name != "posix":  # Windows knows no such call
        return
    with contextlib.suppress(OSError):  # some file systems refuse it, and the file is written
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
