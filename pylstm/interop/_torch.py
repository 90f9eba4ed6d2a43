"""Weights from and to PyTorch: `torch.nn.LSTM` and `torch.nn.Linear`."""

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import core
from .._typing import ArrayLike
from ._exchange import make_estimator, read_plain_network

_NAME = re.compile(r"(weight_ih|weight_hh|bias_ih|bias_hh)_l(\d+)(_reverse)?")


def from_torch(
    lstm: Any, linear: Any, *, classes: ArrayLike | None = None, **parameters: Any
) -> Any:
    """A fitted estimator with the weights of a network that PyTorch has trained.

    It predicts what the network computes, and streams, explains itself and goes on training as any
    other. The linear layer reads the final hidden states of the top layer, ``h_n[-1]`` (of both
    directions, side by side, in a bidirectional network); with `return_sequences=True` those of each
    time step.

    Parameters
    ----------
    lstm : torch.nn.LSTM, or its state dict
        One or several layers, one or both directions, with biases or without, `batch_first` or
        not. A state dict may hold tensors or arrays.

    linear : torch.nn.Linear, or its state dict
        The layer on top.

    classes : array-like of shape (n_classes,), default=None
        The labels that the outputs stand for, in their order, for an
        :class:`~pylstm.LSTMClassifier` (with two labels a single output is the logit of the second).
        None makes an :class:`~pylstm.LSTMRegressor`.

    **parameters : dict
        Parameters of the estimator: the `loss` that says what outputs mean, `return_sequences`, and
        those of further training. The sizes come from the network, and so does the `dtype`, unless
        it is given.

    Returns
    -------
    model : LSTMRegressor or LSTMClassifier
        The fitted model. It takes sequences of any length (of `n_timesteps`, if that is given), of
        three dimensions.

    Raises
    ------
    TypeError
        If `lstm` or `linear` is another kind of module, or a parameter is unknown.
    ValueError
        If the network has a projection (`proj_size`), arrays are missing, unknown or of shapes that do
        not fit together, or the outputs fit neither the loss nor the classes.

    Warns
    -----
    UserWarning
        If `lstm` has dropout between its layers, which is not taken over. It acts in training only;
        pass `dropout`, which here acts before the linear layer too, to train on with it.

    See Also
    --------
    to_torch : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.interop import from_torch
    >>> import torch  # doctest: +SKIP
    >>> lstm, linear = torch.nn.LSTM(3, 8, batch_first=True), torch.nn.Linear(8, 1)  # doctest: +SKIP
    >>> model = from_torch(lstm, linear)  # doctest: +SKIP
    >>> model.predict(np.zeros((5, 7, 3))).shape  # doctest: +SKIP
    (5,)

    A state dict of arrays does as well:

    >>> rng = np.random.default_rng(0)
    >>> lstm = {"weight_ih_l0": rng.normal(size=(8, 3)), "weight_hh_l0": rng.normal(size=(8, 2))}
    >>> linear = {"weight": np.ones((1, 2)), "bias": np.zeros(1)}
    >>> from_torch(lstm, linear).predict(np.zeros((5, 7, 3)))
    array([0., 0., 0., 0., 0.])
    """
    state = _lstm_state(lstm, warn="dropout" not in parameters)
    cells = _cells(state)
    V, d = _linear_layer(linear, len(cells["U0"]) * (1 + ("U0_reverse" in cells)))
    return make_estimator(cells, V, d, classes=classes, parameters=parameters)


def _lstm_state(lstm, warn):
    if isinstance(lstm, Mapping):
        return _arrays("lstm", lstm)
    import torch

    if not isinstance(lstm, torch.nn.LSTM):
        raise TypeError(
            f"lstm must be a torch.nn.LSTM or its state dict, got {type(lstm).__name__}: pylstm has no "
            "other recurrent layers."
        )
    if lstm.dropout > 0 and warn:
        warnings.warn(
            f"The dropout={lstm.dropout} of the LSTM, which acts in training only, is not taken over: "
            "here dropout acts before the linear layer too. Pass dropout to train on with it.",
            stacklevel=3,
        )
    return _arrays("lstm", lstm.state_dict())


def _arrays(name, state):
    """Tensors or arrays of a state dict as arrays of float32 or float64."""
    arrays = {}
    for key, value in state.items():
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            # NumPy has no bfloat16; and a half becomes a float exactly.
            value = (value if value.element_size() > 4 else value.float()).numpy()
        array = np.asarray(value)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"{key!r} of {name} must hold real numbers, got dtype {array.dtype}.")
        arrays[key] = array if array.dtype == np.float32 else array.astype(np.float64)
    return arrays


def _cells(state):
    """W, U and b of each layer and direction, from i, f, g, o in rows and two biases."""
    unknown = [key for key in state if not _NAME.fullmatch(str(key))]
    if any(str(key).startswith("weight_hr") for key in unknown):
        raise ValueError("The LSTM has a projection (proj_size), which pylstm has not.")
    if unknown or "weight_hh_l0" not in state:
        raise ValueError(
            "The state dict of lstm must have the names of torch.nn.LSTM, weight_ih_l0 and so on, got "
            f"{list(state)[:8]}. Of a module around it pass the LSTM itself, or its part of the state "
            "dict without prefixes."
        )
    hidden_size = state["weight_hh_l0"].shape[-1]
    num_layers = 1 + max(int(_NAME.fullmatch(key)[2]) for key in state)
    directions = ("", "_reverse")[: 1 + ("weight_hh_l0_reverse" in state)]
    wanted = {"weight_ih": (4 * hidden_size, None), "weight_hh": (4 * hidden_size, hidden_size)}
    if any(key.startswith("bias") for key in state):
        wanted |= {"bias_ih": (4 * hidden_size,), "bias_hh": (4 * hidden_size,)}
    n_in = state["weight_ih_l0"].shape[-1] if "weight_ih_l0" in state else 0
    cells = {}
    for layer in range(num_layers):
        for suffix in directions:
            parts = {}
            for part, shape in wanted.items():
                key = f"{part}_l{layer}{suffix}"
                if key not in state:
                    raise ValueError(f"The state dict of lstm lacks {key}.")
                shape = tuple(n_in if size is None else size for size in shape)
                if state[key].shape != shape:
                    raise ValueError(
                        f"{key} must have shape {shape} in an LSTM of {hidden_size} hidden units, got "
                        f"{state[key].shape}."
                    )
                parts[part] = state[key]
            bias = np.zeros(4 * hidden_size, np.float32)
            if "bias_ih" in parts:
                bias = parts["bias_ih"] + parts["bias_hh"]
            cells[f"W{layer}{suffix}"] = parts["weight_ih"].T
            cells[f"U{layer}{suffix}"] = parts["weight_hh"].T
            cells[f"b{layer}{suffix}"] = bias
        n_in = len(directions) * hidden_size
    if len(state) != num_layers * len(directions) * len(wanted):
        raise ValueError(
            f"The state dict of lstm has layers that do not fit together: {list(state)}."
        )
    return cells


def _linear_layer(linear, n_in):
    if not isinstance(linear, Mapping):
        import torch

        if not isinstance(linear, torch.nn.Linear):
            raise TypeError(
                f"linear must be a torch.nn.Linear or its state dict, got {type(linear).__name__}."
            )
        linear = linear.state_dict()
    state = _arrays("linear", linear)
    if "weight" not in state or state.keys() - {"weight", "bias"}:
        raise ValueError(
            f"The state dict of linear must have weight and bias, got {list(state)[:8]}."
        )
    weight = state["weight"]
    if weight.ndim != 2 or weight.shape[1] != n_in:
        raise ValueError(
            f"linear must read the {n_in} final hidden states of the LSTM, its weight has shape "
            f"{weight.shape}."
        )
    bias = state.get("bias", np.zeros(len(weight), weight.dtype))
    if bias.shape != (len(weight),):
        raise ValueError(f"The bias of linear must have shape {(len(weight),)}, got {bias.shape}.")
    return weight.T, bias


def to_torch(model: Any) -> Any:
    """PyTorch modules with the weights of a fitted model.

    Parameters
    ----------
    model : LSTMRegressor or LSTMClassifier
        A fitted model. Of a Pipeline pass the last step, and give the modules what the steps before it
        make of X.

    Returns
    -------
    lstm : torch.nn.LSTM
        The layers, with `batch_first=True`, in the model's dtype. One of its two biases is zero.

    linear : torch.nn.Linear
        The layer on top of the final hidden states: ``linear(h_n[-1])``, of a bidirectional network
        ``linear(torch.cat([h_n[-2], h_n[-1]], dim=1))``; with `return_sequences` ``linear(output)``.
        It predicts y from X as they are: what `standardize` does is a part of the weights (where levels
        of X are large beside its spread, prefer `dtype="float64"`). Of some losses it gives the outputs
        before what these make of them: the logits of classes, the logarithm of a Poisson mean, quantiles
        that are not sorted, mean and raw deviation in turn.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If it is no LSTMRegressor or LSTMClassifier.
    ValueError
        If it was fitted with `missing="mask"`, `window_scaling` or a highway, or with `loss="gaussian"` and
        `standardize`.
    ImportError
        If PyTorch is not installed.

    See Also
    --------
    from_torch : The way back.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import LSTMRegressor
    >>> from pylstm.interop import to_torch
    >>> X, y = np.random.default_rng(0).normal(size=(40, 6, 1)), np.zeros(40)
    >>> model = LSTMRegressor(hidden_size=4, max_iter=3, n_iter_no_change=np.inf).fit(X, y)
    >>> lstm, linear = to_torch(model)  # doctest: +SKIP
    >>> _, (h_n, _) = lstm(torch.from_numpy(X).float())  # doctest: +SKIP
    >>> linear(h_n[-1]).shape  # doctest: +SKIP
    torch.Size([40, 1])
    """
    network, params = read_plain_network(model, "to_torch")
    import torch

    arch = network.architecture
    dtype = torch.float64 if params.dtype == np.float64 else torch.float32
    lstm = torch.nn.LSTM(
        arch.n_features,
        arch.hidden_size,
        arch.num_layers,
        batch_first=True,
        bidirectional=arch.bidirectional,
        dtype=dtype,
    )
    linear = torch.nn.Linear(arch.num_directions * arch.hidden_size, arch.n_outputs, dtype=dtype)
    arrays = core.unpack_parameters(params, arch)
    kinds = {"W": "weight_ih", "U": "weight_hh", "b": "bias_ih"}
    state = {}
    for name, array in arrays.items():
        if name in ("V", "d"):
            continue
        key = f"{kinds[name[0]]}_l{name[1:]}"
        state[key] = torch.from_numpy(array.T.copy())
        if name[0] == "b":
            state[key.replace("ih", "hh")] = torch.zeros(array.shape, dtype=dtype)
    lstm.load_state_dict(state)
    linear.load_state_dict(
        {
            "weight": torch.from_numpy(arrays["V"].T.copy()),
            "bias": torch.from_numpy(arrays["d"].copy()),
        }
    )
    return lstm, linear
