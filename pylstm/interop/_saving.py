"""Fitted models in files that hold no code: what `save_model` writes and `load_model` reads.

A file is in the safetensors format. Its texts are

``pylstm_format``    the number of the format, `FORMAT`
``pylstm_version``   of the package that wrote it
``model``            JSON: class, parameters and what was learned, with arrays named where they stand
``sha256``           of the other texts and of all arrays, by which damage is noticed

and its arrays the weights by the names of `pylstm.core.parameter_shapes`, what further training needs
(moments, the weights of a running average, the state of random streams) and curves. In a Pipeline or
target transformer the names start with the place of the estimator: ``regressor_.1.W0``.
"""

import hashlib
import io
import json
import os
from typing import IO, Any

import numpy as np

from .._files import replacing
from .._typing import Estimator
from .._version import __version__
from . import _safetensors
from ._encoding import Decoder, Encoder

FORMAT = 1
"""Number of the format that this version writes; raised when a file's content changes its meaning."""


def save_model(
    model: Estimator, path: str | os.PathLike[str] | IO[bytes], *, optimizer: bool = True
) -> None:
    """Save a fitted model in a file that holds no code.

    The model that :func:`load_model` makes of it has the same weights, bit for bit, and so the same
    predictions and forecasts. It goes on training where this one stopped, unless `optimizer` is
    False. Unlike a pickle, the file can be loaded without trusting its author, and it is read by
    later versions of pylstm, scikit-learn, numpy and Python.

    Parameters
    ----------
    model : estimator
        A fitted :class:`~pylstm.LSTMRegressor` or :class:`~pylstm.LSTMClassifier`; or one in a
        :class:`~sklearn.pipeline.Pipeline` with :class:`~pylstm.SequenceLayout`,
        :class:`~pylstm.SequenceScaler` and :class:`~sklearn.preprocessing.StandardScaler`, or in a
        :class:`~sklearn.compose.TransformedTargetRegressor` with StandardScaler.

    path : str, os.PathLike or binary file
        The file. It is written beside, flushed to the disk and then renamed, so that whatever happens
        there is either the old file or the new one. The usual extension is ``.safetensors``. An open
        file is just written to.

    optimizer : bool, default=True
        Whether to keep what only further training needs: the optimiser's moments and, with
        `averaging`, the weights that move. Without them the file has a third of the size, and
        training goes on with a new optimiser from the weights in use.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If the model, or something it holds, is of a class that such a file has no form for: a class of
        one's own, another transformer, a search (save its `best_estimator_`).
    ValueError
        If the weights are not finite.
    OSError
        If the file cannot be written.

    See Also
    --------
    load_model : The way back.
    pylstm.training.Checkpoint : Writes a model in the course of its training.

    Notes
    -----
    Callbacks are not kept: they are of the program that trains. One of them may save the estimator in the
    course of its training. The file is in the safetensors format
    [1]_: a header in JSON, which ends with a checksum, and the bytes of the arrays.

    References
    ----------
    .. [1] https://huggingface.co/docs/safetensors

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from pylstm import LSTMRegressor
    >>> from pylstm.interop import load_model, save_model
    >>> X, y = np.random.default_rng(0).normal(size=(40, 6, 1)), np.zeros(40)
    >>> model = LSTMRegressor(hidden_size=4, max_iter=3, n_iter_no_change=np.inf).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.safetensors")
    ...     save_model(model, path)
    ...     loaded = load_model(path)
    >>> bool((loaded.predict(X) == model.predict(X)).all())
    True
    """
    encoder = Encoder(keep_optimizer=bool(optimizer))
    described = json.dumps(encoder.fitted(model), separators=(",", ":"), allow_nan=False)
    texts = {
        "pylstm_format": str(FORMAT),
        "pylstm_version": __version__,
        "model": described,
    }
    texts["sha256"] = digest(texts, encoder.arrays)
    content = io.BytesIO()
    _safetensors.write(content, encoder.arrays, texts)
    if hasattr(path, "write"):
        path.write(content.getbuffer())
        return
    with replacing(path) as file:
        file.write(content.getbuffer())


def load_model(path: str | os.PathLike[str] | IO[bytes]) -> Any:
    """Load a model from a file that `save_model` has written.

    The file is checked before anything is made of it, and holds no code that could run: a file of
    unknown origin can do no more than predict badly.

    Parameters
    ----------
    path : str, os.PathLike or binary file
        The file, or one that is open at its start and can be sought in, such as `io.BytesIO`.

    Returns
    -------
    model : estimator
        The fitted model, as it was saved but for its callbacks: there are none.

    Raises
    ------
    ValueError
        If the file is damaged, cut off, of another format, of a newer pylstm, or contradicts itself.
    OSError
        If the file cannot be read.

    See Also
    --------
    save_model : Writes such files, and has an example.
    """
    if hasattr(path, "read"):
        return _load(path, getattr(path, "name", "The file"))
    name = os.fspath(path)
    if os.path.exists(name) and not os.path.isfile(name):
        raise OSError(f"{name!r} is no file.")
    with open(name, "rb") as file:
        return _load(file, name)


def _load(file, name):
    try:
        arrays, texts = _safetensors.read(file)
    except ValueError as error:
        raise ValueError(f"{name!r} is no file of a model, or is damaged: {error}.") from None
    _check_texts(texts, arrays, name)
    try:
        return Decoder(arrays).whole(json.loads(texts["model"]))
    # What is not as `save_model` writes it ends in one of these, wherever it is met first.
    except (
        ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError,
    ) as error:  # fmt: skip
        raise ValueError(
            f"{name!r} contradicts itself, as no model that save_model writes: "
            f"{type(error).__name__}: {error}"
        ) from error


def _check_texts(texts, arrays, name):
    """Refuse files of others, of later formats, and damaged ones."""
    number = texts.get("pylstm_format", "")
    if not (number.isascii() and number.isdecimal() and len(number) < 9 and int(number) >= 1):
        raise ValueError(
            f"{name!r} is in the safetensors format, but no model that pylstm.interop.save_model has "
            f"written: its pylstm_format is {number[:20]!r}."
        )
    if int(number) > FORMAT:
        raise ValueError(
            f"{name!r} was written by pylstm {texts.get('pylstm_version', '(unknown)')[:20]} in format "
            f"{number}; the installed {__version__} reads formats up to {FORMAT}. Upgrade pylstm to "
            "load it."
        )
    if texts.get("sha256") != digest(texts, arrays):
        raise ValueError(f"{name!r} is damaged: its checksum is not that of its content.")


def digest(texts, arrays):
    """SHA-256 of what a file holds, whatever the order and the writing of its header."""
    digest = hashlib.sha256()
    for name in sorted(texts.keys() - {"sha256"}):
        content = texts[name].encode("utf-8", "surrogatepass")
        digest.update(f"{name} {len(content)}\n".encode("utf-8", "surrogatepass") + content)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode("utf-8", "surrogatepass"))
        digest.update(array)
    return digest.hexdigest()
