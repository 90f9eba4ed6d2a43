"""ONNX: what a fitted model computes, as a graph of standard operators.

`_Export` writes an estimator's computations down, node by node, to a graph: one of its own for `to_onnx`,
or that which skl2onnx is making (`_SklearnGraph`). The network is the standard LSTM operator, which in
ONNX Runtime takes float32 and puts time first; all around it is done in the dtype of the inputs.
"""

from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from .. import core
from .._base import BaseLSTM
from .._classifier import LSTMClassifier
from .._losses import Gaussian, LogLoss, Poisson, Quantile
from .._regressor import LSTMRegressor
from .._scaler import SequenceScaler
from .._typing import Array
from .._version import __version__
from ._network import FittedNetwork, read_network

_OPSET = 18  # ScatterElements adds since then
_IR_VERSION = 8  # of that time
_ALL_STEPS = np.iinfo(np.int64).max


def to_onnx(
    model: Any, *, lengths: bool | None = None, states: bool = False, dtype: str = "float32"
) -> Any:
    """A fitted model as an ONNX graph, which runs wherever ONNX Runtime does.

    Predictions agree with those of `predict` to about 1e-6 relative to their size (the network computes
    in float32).

    Parameters
    ----------
    model : estimator
        A fitted :class:`~pylstm.LSTMRegressor` or :class:`~pylstm.LSTMClassifier` with any options; or
        one in a :class:`~sklearn.pipeline.Pipeline` with :class:`~pylstm.SequenceScaler` and
        :class:`~sklearn.preprocessing.StandardScaler`, or in a
        :class:`~sklearn.compose.TransformedTargetRegressor` with StandardScaler.

    lengths : bool or None, default=None
        Whether the graph has the input `lengths`, and takes sequences of any number of time steps.
        None: if the model was fitted to sequences of different lengths.

    states : bool, default=False
        Whether the graph has the inputs `initial_h` and `initial_c` and the outputs `final_h` and
        `final_c`.

    dtype : {"float32", "float64"}, default="float32"
        Precision of X, of scaling and of the predictions; float64 where values are large beside their
        spread.

    Returns
    -------
    onnx_model : onnx.ModelProto
        The graph, with dynamic numbers of samples. Its inputs are

        - X: as the model was fitted, (n_samples, n_timesteps, n_features) or (n_samples, n_columns);
        - lengths: int64 (n_samples,), time steps of each sample; all if it is not given (NaN behind a
          sample's end, which `predict` takes for padding, is not looked for);
        - initial_h, initial_c: float32 (num_layers * num_directions, n_samples, hidden_size), states to
          start from; zeros if they are not given.

        Its outputs are those of a regressor

        - prediction: shaped as of `predict`; quantiles in increasing order;
        - std: standard deviations, with `loss="gaussian"`;

        or of a classifier

        - label: the classes, as of `predict`;
        - probabilities: as of `predict_proba`;

        and final_h, final_c, the states after each sample's last step. What there is for time steps
        behind a sample's end means nothing.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If the model, a step or a target transformer is another kind of estimator, or the classes are of
        a dtype that ONNX has not.
    ValueError
        If the model is `stateful` and the graph is not to have states; or `dtype` is another.
    ImportError
        If the package onnx is not installed.

    See Also
    --------
    register_onnx_converters : For graphs of whole pipelines by skl2onnx.

    References
    ----------
    .. [1] https://onnx.ai/onnx/operators/onnx__LSTM.html

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import LSTMRegressor
    >>> from pylstm.interop import to_onnx
    >>> X, y = np.random.default_rng(0).normal(size=(40, 6, 1)), np.zeros(40)
    >>> model = LSTMRegressor(hidden_size=4, max_iter=3, n_iter_no_change=np.inf).fit(X, y)
    >>> onnx_model = to_onnx(model)  # doctest: +SKIP
    >>> import onnxruntime  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession(onnx_model.SerializeToString())  # doctest: +SKIP
    >>> session.run(["prediction"], {"X": X.astype(np.float32)})[0].shape  # doctest: +SKIP
    (40,)
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}.")
    network = read_network(_innermost(model))
    if network.carries_state and not states:
        raise ValueError(
            "A model with stateful=True goes from window to window with its states: pass states=True, "
            "and give each call the final states of the one before."
        )
    from onnx import checker

    graph = _OwnGraph()
    arch = network.architecture
    export = _Export(graph, np.dtype(dtype))
    if lengths is None:
        lengths = network.n_timesteps is None
    n_timesteps = "n_timesteps" if lengths else network.n_timesteps or "n_timesteps"
    n_columns = _n_columns(network)
    shape = (
        ["n_samples", n_timesteps, arch.n_features]
        if n_columns is None
        else ["n_samples", n_columns]
    )
    graph.add_input("X", export.dtype, shape)
    if lengths:
        export.lengths = graph.add_input(
            "lengths", np.int64, ["n_samples_or_1"], np.array([_ALL_STEPS])
        )
    if states:
        cells, _, hidden_size = arch._states_shape(1)
        export.initial_states = [
            graph.add_input(
                name,
                np.float32,
                [cells, "n_samples_or_1", hidden_size],
                np.zeros((cells, 1, hidden_size), np.float32),
            )
            for name in ("initial_h", "initial_c")
        ]
    for name, result in export.model(model, "X").items():
        graph.add_output(name, result)
    onnx_model = graph.made()
    checker.check_model(onnx_model, full_check=True)
    return onnx_model


def _innermost(model):
    """The network within the estimators that have a form here; TypeError for others, by name."""
    while not isinstance(model, BaseLSTM):
        if isinstance(model, Pipeline):
            check_is_fitted(model)
            model = model.steps[-1][1]
        elif isinstance(model, TransformedTargetRegressor):
            check_is_fitted(model)
            model = model.regressor_
        else:
            raise TypeError(
                f"{type(model).__name__} cannot be exported: expected an LSTMRegressor or LSTMClassifier, "
                "or a Pipeline that ends in one, or a TransformedTargetRegressor around these. Of a "
                "search pass the best_estimator_."
            )
    return model


def _n_columns(network):
    """Columns of X, if the network was fitted to flattened windows; None for three dimensions."""
    is_flat = network.n_features_in != network.architecture.n_features
    return network.n_features_in if is_flat else None


class _Export:
    """Writes down what estimators compute.

    Parameters
    ----------
    graph : _OwnGraph or _SklearnGraph
        Where to.
    dtype : numpy.dtype
        That of X and of the predictions.

    Attributes
    ----------
    lengths : str or None
        Name of the lengths, an int64 array.
    initial_states : list of str or None
        Names of hidden and cell states.
    as_columns : bool
        Whether predictions of a single target keep an axis for it.
    """

    def __init__(self, graph, dtype, *, as_columns=False):
        self._graph = graph
        self.dtype = dtype
        self.lengths = None
        self.initial_states = None
        self.as_columns = as_columns

    # -- estimators: from the name of X to those of the results

    def model(self, model, X):
        """The results of any estimator that has a form, by the names of the graph's outputs."""
        if isinstance(model, Pipeline):
            for _, step in model.steps[:-1]:
                if step is not None and step != "passthrough":
                    X = self.scaler(step, X)
            return self.model(model.steps[-1][1], X)
        if isinstance(model, TransformedTargetRegressor):
            return self._transformed_target(model, X)
        return self.network(read_network(model), X)

    def scaler(self, scaler, X):
        """The features, or columns, of X standardised."""
        mean, scale = scaling_of(scaler)
        repeats = 1
        if isinstance(scaler, SequenceScaler) and scaler._n_dims_in == 2:
            repeats = scaler.n_features_in_ // scaler.scaler_.n_features_in_  # time steps
        for operator, values in (("Sub", mean), ("Div", scale)):
            if values is not None:
                X = self._graph.node(operator, X, self._floats(np.tile(values, repeats)))
        return X

    def _transformed_target(self, model, X):
        if model.func is not None or model.inverse_func is not None:
            raise TypeError(
                "A TransformedTargetRegressor with functions cannot be exported: use transformer="
                "StandardScaler()."
            )
        mean, scale = scaling_of(model.transformer_)
        network = read_network(_innermost(model))
        results = self.model(model.regressor_, X)
        several = isinstance(network.loss, Quantile) and isinstance(network.loss.quantiles, tuple)
        for name in results.keys() & {"prediction", "std"}:
            result = results[name]
            # Quantiles have an axis behind that of the targets.
            shape = (-1, 1) if several and network.n_targets > 1 else (-1,)
            if scale is not None:
                result = self._graph.node("Mul", result, self._floats(scale.reshape(shape)))
            if mean is not None and name == "prediction":
                result = self._graph.node("Add", result, self._floats(mean.reshape(shape)))
            has_no_axis = network.n_targets == 1 and not several and not self.as_columns
            if model._training_dim == 2 and has_no_axis and network.has_target_axis is None:
                result = self._graph.node("Unsqueeze", result, self._integers([-1]))
            results[name] = result
        return results

    def network(self, network: FittedNetwork, X: str) -> dict[str, str]:
        """The network, and what its loss makes of the outputs."""
        graph, arch = self._graph, network.architecture
        if (n_columns := _n_columns(network)) is not None:
            n_timesteps = n_columns // arch.n_features
            X = graph.node("Reshape", X, self._integers([-1, n_timesteps, arch.n_features]))
        lengths, is_step = None, None
        if self.lengths is not None:
            lengths, is_step = self._steps(X)
            X = graph.node("Where", is_step, X, self._floats(0))
        X, levels = self._as_read(network.units, X, is_step)
        if arch.mask_missing:
            X = self._filled(X, arch.n_features)
        hidden, final_states = self._layers(network, X, lengths)
        if arch.highway:
            last = self._last_steps(arch, X, lengths)
            hidden = graph.node("Concat", hidden, last, axis=1)
        named = core.unpack_parameters(network.parameters, arch)
        output = graph.node("MatMul", hidden, graph.constant(named["V"].astype(np.float32)))
        output = graph.node("Add", output, graph.constant(named["d"].astype(np.float32)))
        if arch.return_sequences and is_step is not None:
            output = graph.node("Where", is_step, output, graph.constant(np.zeros((), np.float32)))
        results = self._predictions(network, output, levels)
        if self.initial_states is not None:
            results |= dict(zip(("final_h", "final_c"), final_states, strict=True))
        return results

    # -- parts of the network

    def _steps(self, X):
        """Lengths, and a mask (n_samples, n_timesteps, 1) of real steps."""
        graph = self._graph
        n_samples = self._size_of(X, 0)
        lengths = graph.node("Expand", self.lengths, n_samples)
        lengths = graph.node("Min", lengths, self._size_of(X, 1))
        column = graph.node("Unsqueeze", lengths, self._integers([1]))
        is_step = graph.node("Less", self._numbers_of_steps(X), column)
        return lengths, graph.node("Unsqueeze", is_step, self._integers([2]))

    def _size_of(self, X, axis):
        """One of the dimensions of X, in an array of its own."""
        shape = self._graph.node("Shape", X)
        return self._graph.node("Gather", shape, self._integers([axis]), axis=0)

    def _numbers_of_steps(self, X):
        """0 to n_timesteps - 1."""
        end = self._graph.node("Squeeze", self._size_of(X, 1), self._integers([0]))
        return self._graph.node("Range", self._integers(0), end, self._integers(1))

    def _as_read(self, units, X, is_step):
        """X on the scale on which the network reads it, in float32, and the windows' own levels.

        In float64 until then, as the kernels do: where levels are large beside their spread, the difference
        must not be rounded before.
        """
        graph = self._graph
        mean, scale = units.inputs
        is_plain = not mean.any() and (scale == 1).all()
        if units.kind is None and is_plain:
            return (X if self.dtype == np.float32 else graph.cast(X, np.float32)), None
        X = graph.cast(X, np.float64)
        levels = None
        if units.kind is not None:
            levels = self._levels(units, X, is_step)
            center, spread = levels
            X = graph.node("Div", graph.node("Sub", X, center), spread)
        if not is_plain:
            X = graph.node("Sub", X, graph.constant(mean))
            X = graph.node("Mul", X, graph.constant(1 / scale))
        return graph.cast(X, np.float32), levels

    def _levels(self, units, X, is_step):
        """Center and scale of each window and feature, (n_samples, 1, n_features), in float64."""
        graph, one = self._graph, self._doubles(1)
        is_there = graph.node("Equal", X, X)  # which NaN is not
        if is_step is not None:
            is_there = graph.node("And", is_there, is_step)

        def total(values):
            return graph.node("ReduceSum", values, self._integers([1]), keepdims=1)

        def where_there(values):
            return graph.node("Where", is_there, values, self._doubles(0))

        center, spread = self._doubles(0), one
        if units.kind in ("last", "relative"):
            steps = graph.node("Add", self._numbers_of_steps(X), self._integers(1))
            steps = graph.node("Unsqueeze", steps, self._integers([0, 2]))
            seen = graph.node("Where", is_there, steps, self._integers(0))
            last = graph.node("ReduceMax", seen, self._integers([1]), keepdims=1)
            is_last = graph.node("And", graph.node("Equal", seen, last), is_there)
            center = total(graph.node("Where", is_last, X, self._doubles(0)))
        if units.kind != "last":
            count = graph.node("Max", total(graph.cast(is_there, np.float64)), one)
            magnitude = graph.node("Div", total(graph.node("Abs", where_there(X))), count)
            spread = magnitude
            if units.kind == "standard":
                center = graph.node("Div", total(where_there(X)), count)
                way = where_there(graph.node("Sub", X, center))
                squares = graph.node("Div", total(graph.node("Mul", way, way)), count)
                least = graph.node("Mul", magnitude, self._doubles(1e-3))
                spread = graph.node("Max", graph.node("Sqrt", squares), least)
            is_zero = graph.node("Equal", magnitude, self._doubles(0))
            spread = graph.node("Where", is_zero, one, spread)
        # The features that are not scaled so; and shapes of (n_samples, 1, n_features) for all.
        is_scaled = graph.constant(units.features)
        zero = graph.node("Mul", total(where_there(X)), self._doubles(0))
        center = graph.node("Add", graph.node("Where", is_scaled, center, self._doubles(0)), zero)
        spread = graph.node("Add", graph.node("Where", is_scaled, spread, one), zero)
        return center, spread

    def _last_steps(self, arch, X, lengths):
        """What the highway reads, (n_samples, highway * n_inputs): zeros before a sample's first step."""
        graph, n_steps, n_inputs = self._graph, arch.highway, arch._n_inputs
        X = graph.node("Pad", X, self._integers([0, n_steps, 0, 0, 0, 0]))
        if lengths is None:
            ends = ([-n_steps], [_ALL_STEPS], [1])
            last = graph.node("Slice", X, *(self._integers(end) for end in ends))
        else:
            column = graph.node("Unsqueeze", lengths, self._integers([1, 2]))
            places = graph.node("Add", column, self._integers(np.arange(n_steps)[:, np.newaxis]))
            places = graph.node("Add", places, self._integers(np.zeros((1, 1, n_inputs), np.int64)))
            last = graph.node("GatherElements", X, places, axis=1)
        return graph.node("Reshape", last, self._integers([-1, n_steps * n_inputs]))

    def _filled(self, X, n_features):
        """Each value, or the one observed last, and behind all features which of them are missing.

        The observed values of a series are put one behind the other, and each step takes the one of the
        number that it has counted so far: none, and so 0, before the first.
        """
        graph = self._graph
        is_missing = graph.node("IsNaN", X)
        is_observed = graph.cast(graph.node("Not", is_missing), np.int64)
        count = graph.node("CumSum", is_observed, self._integers(1))
        zero = graph.constant(np.zeros((), np.float32))
        values = graph.node("Where", is_missing, zero, X)
        pads = self._integers([0, 1, 0, 0, 0, 0])  # one more step, for those that have counted none
        room = graph.node("Pad", graph.node("Mul", values, zero), pads)
        observed = graph.node("ScatterElements", room, count, values, axis=1, reduction="add")
        filled = graph.node("GatherElements", observed, count, axis=1)
        return graph.node("Concat", filled, graph.cast(is_missing, np.float32), axis=2)

    def _layers(self, network, X, lengths):
        """What the linear layer reads, and the final states of all layers."""
        graph, arch = self._graph, network.architecture
        H, D, L = arch.hidden_size, arch.num_directions, arch.num_layers
        named = core.unpack_parameters(network.parameters, arch)
        starts = self._starts(X, arch)
        sequences = graph.node("Transpose", X, perm=[1, 0, 2])  # (T, N, F)
        final_states = []
        for layer in range(L):
            weights = [
                graph.constant(operator_weights(named, layer, D, letter)) for letter in "WUb"
            ]
            reads_sequences = layer + 1 < L or arch.return_sequences
            Y, Y_h, Y_c = graph.node(
                "LSTM",
                sequences,
                *weights,
                (lengths and graph.cast(lengths, np.int32)) or "",
                *starts[layer],
                n_outputs=(reads_sequences, True, self.initial_states is not None),
                hidden_size=H,
                direction="bidirectional" if D == 2 else "forward",
            )
            final_states.append((Y_h, Y_c))
            if reads_sequences:  # from (T, D, N, H) to (T, N, D * H)
                sequences = graph.node("Transpose", Y, perm=[0, 2, 1, 3])
                sequences = graph.node("Reshape", sequences, self._integers([0, 0, D * H]))
        if arch.return_sequences:
            hidden = graph.node("Transpose", sequences, perm=[1, 0, 2])
        else:
            hidden = graph.node("Transpose", final_states[-1][0], perm=[1, 0, 2])
            hidden = graph.node("Reshape", hidden, self._integers([-1, D * H]))
        if self.initial_states is None:
            return hidden, None
        return hidden, [
            graph.node("Concat", *of_layers, axis=0)
            for of_layers in zip(*final_states, strict=True)
        ]

    def _starts(self, X, arch):
        """Initial states (D, N, H) of each layer; empty names for zeros."""
        D = arch.num_directions
        if self.initial_states is None:
            return [("", "")] * arch.num_layers
        graph = self._graph
        n_samples = graph.node("Gather", graph.node("Shape", X), self._integers([0]), axis=0)
        ends = self._integers([1]), self._integers([arch.hidden_size])
        shape = graph.node("Concat", ends[0], n_samples, ends[1], axis=0)
        states = [graph.node("Expand", state, shape) for state in self.initial_states]
        starts = []
        for layer in range(arch.num_layers):
            ends = [self._integers([end]) for end in (layer * D, (layer + 1) * D, 0)]
            starts.append([graph.node("Slice", state, *ends) for state in states])
        return starts

    # -- losses

    def _predictions(self, network, output, levels):
        """What outputs (..., n_outputs) mean under the loss."""
        graph, loss = self._graph, network.loss
        if isinstance(loss, LogLoss):
            if self.dtype != np.float32:
                output = graph.cast(output, self.dtype)
            largest = graph.node("ArgMax", output, axis=-1, keepdims=0)
            return {
                "label": graph.node(
                    "Gather", graph.constant(self._labels(network)), largest, axis=0
                ),
                "probabilities": graph.node("Softmax", output, axis=-1),
            }
        results = {"prediction": output}
        if isinstance(loss, Poisson):
            results["prediction"] = graph.node("Exp", output)
        elif isinstance(loss, Gaussian):
            n_axes = 3 if network.architecture.return_sequences else 2
            mean, raw = (
                graph.node(
                    "Slice", output,
                    *(self._integers([i]) for i in (first, _ALL_STEPS, n_axes - 1, 2)),
                )
                for first in (0, 1)
            )  # fmt: skip
            least = graph.constant(np.array(1e-6, np.float32))
            std = graph.node("Add", graph.node("Softplus", raw), least)
            results = {"prediction": mean, "std": std}
        elif isinstance(loss, Quantile) and isinstance(loss.quantiles, tuple):
            results["prediction"] = self._sorted(network, output, len(loss.quantiles))
        return {
            name: self._without_axis(
                network, self._in_units(network, result, levels, has_shift=name == "prediction")
            )
            for name, result in results.items()
        }

    def _in_units(self, network, result, levels, *, has_shift):
        """Predictions, or deviations, in the units of y."""
        graph, units = self._graph, network.units
        if units.targets is None:
            return graph.cast(result, self.dtype) if self.dtype != np.float32 else result
        loss = network.loss
        several = isinstance(loss, Quantile) and isinstance(loss.quantiles, tuple)
        steps = network.architecture.return_sequences
        shift, factor = (
            graph.constant(array[:, np.newaxis] if several else array) for array in units.targets
        )
        if levels is not None:
            # (n_samples, 1, n_features): of the features of the targets, with the axes of the result.
            of_targets = self._integers(units.feature_of)
            center, spread = (graph.node("Gather", level, of_targets, axis=2) for level in levels)
            if several:
                center, spread = (
                    graph.node("Unsqueeze", level, self._integers([3]))
                    for level in (center, spread)
                )
            if not steps:
                center, spread = (
                    graph.node("Squeeze", level, self._integers([1])) for level in (center, spread)
                )
            shift = graph.node("Add", center, graph.node("Mul", spread, shift))
            factor = graph.node("Mul", spread, factor)
        result = graph.node("Mul", graph.cast(result, np.float64), factor)
        if has_shift:
            result = graph.node("Add", result, shift)
        return graph.cast(result, self.dtype)

    def _labels(self, network):
        labels = labels_of(network)
        if not self.as_columns or labels.dtype == object:
            return labels
        if labels.dtype.kind == "f":
            raise TypeError("skl2onnx has no labels that are floats: fit to texts or integers.")
        return labels.astype(np.int64)

    def _sorted(self, network, output, n_quantiles):
        """Quantiles of each target in increasing order, (..., n_targets, n_quantiles)."""
        graph = self._graph
        leading = [0, 0] if network.architecture.return_sequences else [0]
        shape = self._integers([*leading, network.n_targets, n_quantiles])
        by_target = graph.node("Reshape", output, shape)
        return graph.node(
            "TopK", by_target, self._integers([n_quantiles]),
            n_outputs=(True, True), axis=-1, largest=0, sorted=1,
        )[0]  # fmt: skip

    def _without_axis(self, network, result):
        """Without the axis of targets if `y` in `fit` had none."""
        has_axis = network.n_targets > 1
        if network.architecture.return_sequences:
            has_axis = network.has_target_axis
        loss = network.loss
        several = isinstance(loss, Quantile) and isinstance(loss.quantiles, tuple)
        if has_axis or (self.as_columns and not several):
            return result
        axis = 2 if network.architecture.return_sequences else 1
        return self._graph.node("Squeeze", result, self._integers([axis]))

    def _floats(self, array):
        return self._graph.constant(np.asarray(array, self.dtype))

    def _doubles(self, array):
        return self._graph.constant(np.asarray(array, np.float64))

    def _integers(self, values):
        return self._graph.constant(np.asarray(values, np.int64))


def scaling_of(scaler: Any) -> tuple[Array | None, Array | None]:
    """What a scaler subtracts, and what it divides by; None for nothing."""
    if isinstance(scaler, SequenceScaler):
        check_is_fitted(scaler)
        scaler = scaler.scaler_
    if type(scaler) is not StandardScaler:
        raise TypeError(
            f"{type(scaler).__name__} cannot be exported: the steps before a network, and the transformer "
            "of a target, must be SequenceScaler or StandardScaler."
        )
    mean = scaler.mean_ if scaler.with_mean else None
    return mean, scaler.scale_ if scaler.with_std else None


def operator_weights(named: dict[str, Array], layer: int, n_directions: int, letter: str) -> Array:
    """W, U or b of a layer as the operator wants them: directions first, gates i, o, f, c in rows."""
    parts = []
    for suffix in ("", "_reverse")[:n_directions]:
        input_, forget, candidate, output = np.split(named[f"{letter}{layer}{suffix}"], 4, axis=-1)
        part = np.concatenate([input_, output, forget, candidate], axis=-1).T
        # The operator has two biases, of the input and of the recurrence.
        parts.append(np.concatenate([part, np.zeros_like(part)]) if letter == "b" else part)
    return np.stack(parts).astype(np.float32)


def labels_of(network: FittedNetwork) -> Array:
    """The classes in a dtype of ONNX."""
    classes = network.classes
    assert classes is not None
    if classes.dtype == object and all(isinstance(label, str) for label in classes):
        return classes
    if classes.dtype.kind == "U":
        return classes.astype(object)
    if classes.dtype.kind not in "biuf":
        raise TypeError(f"ONNX has no labels of dtype {classes.dtype}: fit to texts or numbers.")
    return classes


class _OwnGraph:
    """A graph in the making; constants of the same content are shared."""

    def __init__(self):
        from onnx import helper, numpy_helper

        self._helper, self._numpy_helper = helper, numpy_helper
        self._nodes, self._inputs, self._outputs = [], [], []
        self._constants = {}
        self._defaults = []

    def add_input(self, name, dtype, shape, default=None):
        """An input; one with a default need not be given."""
        kind = self._helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._inputs.append(self._helper.make_tensor_value_info(name, kind, shape))
        if default is not None:
            self._defaults.append(self._numpy_helper.from_array(default, name))
        return name

    def add_output(self, name, result):
        self._nodes.append(self._helper.make_node("Identity", [result], [name]))
        self._outputs.append(name)

    def constant(self, array):
        array = np.asarray(array)
        content = tuple(array.tolist()) if array.dtype == object else array.tobytes()
        key = (array.dtype.str, array.shape, content)
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = self._numpy_helper.from_array(array, name)
        return self._constants[key].name

    def node(self, operator, *inputs, n_outputs=None, **attributes):
        """The name of the result, or, if `n_outputs` says which are wanted, of each ("" for others)."""
        stem = f"{operator}_{len(self._nodes)}"
        names = [stem]
        if n_outputs is not None:
            names = [f"{stem}_{k}" if wanted else "" for k, wanted in enumerate(n_outputs)]
        node = self._helper.make_node(operator, list(_trimmed(inputs)), names, stem, **attributes)
        self._nodes.append(node)
        return names if n_outputs is not None else stem

    def cast(self, name, dtype):
        return self.node("Cast", name, to=self._helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def made(self):
        """The model, its outputs typed by inference."""
        import onnx

        graph = self._helper.make_graph(
            self._nodes,
            "pylstm",
            self._inputs,
            [onnx.ValueInfoProto(name=name) for name in self._outputs],
            [*self._defaults, *self._constants.values()],
        )
        model = self._helper.make_model(
            graph,
            producer_name="pylstm",
            producer_version=__version__,
            ir_version=_IR_VERSION,
            opset_imports=[self._helper.make_opsetid("", _OPSET)],
        )
        return onnx.shape_inference.infer_shapes(model, strict_mode=True)


class _SklearnGraph:
    """The graph that skl2onnx is making."""

    def __init__(self, scope, container):
        from onnx import helper

        self._scope, self._container, self._helper = scope, container, helper

    def constant(self, array):
        array = np.asarray(array)
        name = self._scope.get_unique_variable_name("constant")
        is_text = array.dtype == object
        kind = self._helper.TensorProto.STRING
        if not is_text:
            kind = self._helper.np_dtype_to_tensor_dtype(array.dtype)
        self._container.add_initializer(name, kind, list(array.shape), array.ravel().tolist())
        return name

    def node(self, operator, *inputs, n_outputs=None, **attributes):
        # All results get names: skl2onnx takes empty ones for one and the same.
        names = [self._scope.get_unique_variable_name(operator) for _ in n_outputs or (True,)]
        self._container.add_node(
            operator,
            list(_trimmed(inputs)),
            names,
            name=self._scope.get_unique_operator_name(operator),
            **attributes,
        )
        return names if n_outputs is not None else names[0]

    def cast(self, name, dtype):
        return self.node("Cast", name, to=self._helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _trimmed(names):
    """Without empty names at the end, which stand for inputs that are not given."""
    names = list(names)
    while names and names[-1] == "":
        names.pop()
    return names


# skl2onnx


def register_onnx_converters() -> None:
    """Make pylstm's estimators known to skl2onnx, for `skl2onnx.to_onnx` of pipelines around them.

    To be called once before `skl2onnx.to_onnx` or `convert_sklearn`. Then the graph can have whatever
    steps skl2onnx knows before the network; it takes X alone, of the shape in `initial_types`.
    Predictions of a single target have the shape (n_samples, 1), as is usual there.
    :class:`~sklearn.compose.TransformedTargetRegressor` around our estimators, with StandardScaler, is
    registered too if skl2onnx does not know it.

    Raises
    ------
    ImportError
        If the package skl2onnx is not installed.

    See Also
    --------
    to_onnx : Graphs with lengths, states and standard deviations.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from pylstm import LSTMRegressor, SequenceScaler
    >>> from pylstm.interop import register_onnx_converters
    >>> X, y = np.random.default_rng(0).normal(size=(40, 6, 1)), np.zeros(40)
    >>> model = make_pipeline(SequenceScaler(), LSTMRegressor(hidden_size=4, tol=1)).fit(X, y)
    >>> import skl2onnx  # doctest: +SKIP
    >>> register_onnx_converters()  # doctest: +SKIP
    >>> onnx_model = skl2onnx.to_onnx(model, X[:1].astype(np.float32))  # doctest: +SKIP
    """
    from skl2onnx import update_registered_converter
    from skl2onnx._supported_operators import sklearn_operator_name_map

    known = sklearn_operator_name_map.get(TransformedTargetRegressor)
    update_registered_converter(
        LSTMClassifier,
        "PylstmLSTMClassifier",
        _classifier_shapes,
        _convert,
        options={
            "zipmap": [True, False, "columns"],
            "nocl": [True, False],
            "output_class_labels": [False, True],
        },
    )
    update_registered_converter(LSTMRegressor, "PylstmLSTMRegressor", _regressor_shapes, _convert)
    update_registered_converter(SequenceScaler, "PylstmSequenceScaler", _scaler_shapes, _convert)
    if known in (None, "PylstmTransformedTargetRegressor"):
        update_registered_converter(
            TransformedTargetRegressor,
            "PylstmTransformedTargetRegressor",
            _regressor_shapes,
            _convert,
        )


def _convert(scope, operator, container):
    """Write one estimator down in the graph that skl2onnx is making."""
    model, (given, *more) = operator.raw_operator, operator.inputs
    if more:
        raise ValueError(f"{type(model).__name__} takes X as a single input, got {len(more) + 1}.")
    dtype = _dtype_of(given)
    export = _Export(_SklearnGraph(scope, container), dtype, as_columns=True)
    X = given.full_name
    if isinstance(model, SequenceScaler):
        results = [export.scaler(model, X)]
    else:
        if read_network(_innermost(model)).carries_state:
            raise ValueError(
                "A model with stateful=True needs its states: see pylstm.interop.to_onnx."
            )
        named = export.model(model, X)
        results = [
            named[name] for name in ("label", "probabilities", "prediction") if name in named
        ]
    for result, output in zip(results, operator.outputs, strict=True):
        container.add_node(
            "Identity",
            [result],
            [output.full_name],
            name=scope.get_unique_operator_name("Identity"),
        )


def _dtype_of(variable):
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    for kind, dtype in ((FloatTensorType, np.float32), (DoubleTensorType, np.float64)):
        if isinstance(variable.type, kind):
            return np.dtype(dtype)
    raise TypeError(
        f"X must be a FloatTensorType or DoubleTensorType in the graph, got {variable.type!r}."
    )


def _scaler_shapes(operator):
    (given,), (result,) = operator.inputs, operator.outputs
    _dtype_of(given)
    result.type = type(given.type)(given.type.shape)


def _regressor_shapes(operator):
    given, model = operator.inputs[0], operator.raw_operator
    network = read_network(_innermost(model))
    steps = list(given.type.shape[1:2]) if network.architecture.return_sequences else []
    shape = [given.get_first_dimension(), *steps, network.n_targets]
    if isinstance(network.loss, Quantile) and isinstance(network.loss.quantiles, tuple):
        has_axis = network.n_targets > 1 or bool(network.has_target_axis)
        shape = [*(shape if has_axis else shape[:-1]), len(network.loss.quantiles)]
    _dtype_of(given)
    operator.outputs[0].type = type(given.type)(shape)


def _classifier_shapes(operator):
    from skl2onnx.common.data_types import Int64TensorType, StringTensorType

    given, model = operator.inputs[0], operator.raw_operator
    network = read_network(model)
    labels = labels_of(network)
    steps = list(given.type.shape[1:2]) if network.architecture.return_sequences else []
    shape = [given.get_first_dimension(), *steps]
    kind = StringTensorType if labels.dtype == object else Int64TensorType
    operator.outputs[0].type = kind(shape)
    operator.outputs[1].type = type(given.type)([*shape, len(labels)])
