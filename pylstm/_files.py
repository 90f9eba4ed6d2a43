"""Files that are there as a whole or not at all, whatever ends the process that writes them."""

import contextlib
import glob
import os
import shutil
import uuid
from collections.abc import Callable
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where a file that is open can be neither removed nor moved
    _HAS_LOCKS = False
else:
    _HAS_LOCKS = True


def replace_file(path: str, write: Callable[[BinaryIO], object], *, rehearse: bool = False) -> None:
    """Write a file beside the old one, flush it to the disk, and put it in the old one's place.

    Parameters
    ----------
    path : str
        The file. An old one leaves its permissions to it. Not a link, which would be replaced itself.
    write : callable
        Writes to the open file that it is given.
    rehearse : bool, default=False
        Whether to do all but the last step, to see whether it can be done.

    Raises
    ------
    OSError
        If the file cannot be written; and whatever `write` raises. The old file is left as it was.
    """
    beside, file = _open_beside(path)
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if not _HAS_LOCKS:
                file.close()
            if rehearse:
                os.remove(beside)
                return
            if os.path.exists(path):
                shutil.copymode(path, beside)
            os.replace(beside, path)
    except BaseException:  # Ctrl-C too leaves nothing behind
        with contextlib.suppress(OSError):
            os.remove(beside)
        raise
    _flush_directory(os.path.dirname(path))


def remove_leftovers(path: str) -> None:
    """Remove what processes that were killed in `replace_file` have left beside a file."""
    for leftover in glob.glob(f"{glob.escape(path)}.{'?' * 32}.tmp"):
        with contextlib.suppress(OSError), open(leftover, "rb") as file:
            if not _HAS_LOCKS:
                file.close()
            if not _HAS_LOCKS or _lock(file):
                os.remove(leftover)


def _open_beside(path: str) -> tuple[str, BinaryIO]:
    """A new file in the same directory, as a file can be replaced on its own file system only.

    It has a name of its own, as several processes of a search may write the same file, and a lock, by
    which `remove_leftovers` knows that somebody writes it.
    """
    while True:
        beside = f"{path}.{uuid.uuid4().hex}.tmp"
        file = open(beside, "xb")  # noqa: SIM115 (it is handed on)
        # Before it had its lock it may have been taken for left behind.
        if not _HAS_LOCKS or not _lock(file) or os.fstat(file.fileno()).st_nlink:
            return beside, file
        file.close()


def _lock(file: BinaryIO) -> bool:
    """Whether an open file could be locked, until it is closed; some file systems have no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _flush_directory(directory: str) -> None:
    """Flush a directory's entries to the disk: else the old file may be back after a power failure."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows
        return
    with contextlib.suppress(OSError):  # of file systems that cannot; the file itself is safe
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
