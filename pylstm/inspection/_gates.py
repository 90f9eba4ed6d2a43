"""What the gates of a fitted LSTM do with one sequence, drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import _num_samples, check_consistent_length

from .._typing import ArrayLike, Estimator, Floats, Integers, NDArray
from .._unwrap import unwrap
from .._validation import as_sequences, is_list_of_sequences, refuse_lengths_of_list
from ._drawing import (
    COLORS,
    LINE_STYLES,
    Keywords,
    Places,
    check_time,
    draw_colorbar,
    edges,
    label_rows,
    label_time,
    limit,
    places_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.gridspec import GridSpecBase
    from matplotlib.lines import Line2D

    from ._drawing import AxesLike


_Kind: TypeAlias = Literal["auto", "lines", "heatmap"]
_Scale: TypeAlias = Literal["gate", "unit", "free"] | None

_MOST_LINES = 6  # units that `kind="auto"` draws as lines

# The panels in two columns: gates, and beside each what comes of it. The key stands in the cell that
# is left over. "gate": values in (0, 1); "unit": in (-1, 1); "free": of any size.
_KEY = (3, 0)
_PANELS: dict[str, tuple[tuple[int, int], _Scale, str]] = {
    "sequence": ((0, 0), None, "Input  $x_t$"),
    "candidate": ((0, 1), "unit", "New memory  $g_t$"),
    "forget_gate": ((1, 0), "gate", "1  Forget gate  $f_t$"),
    "forgotten": ((1, 1), "free", "$-$ Forgotten  $(1 - f_t)\\,c_{t-1}$"),
    "input_gate": ((2, 0), "gate", "2  Input gate  $i_t$"),
    "added": ((2, 1), "free", "$+$ Added  $i_t\\,g_t$"),
    "cell_state": ((3, 1), "free", "$=$ Cell state, the long-term memory  $c_t$"),
    "output_gate": ((4, 0), "gate", "3  Output gate  $o_t$"),
    "hidden_state": ((4, 1), "unit", "Shown: hidden state  $h_t = o_t\\,\\tanh c_t$"),
}
_SHAPE = (5, 2)


class LSTMGateDisplay:
    """What the gates of an LSTM layer do with one sequence, step by step.

    The gates stand on the left, each a filter between 0 (shut) and 1 (open), and beside each what
    comes of it:

    1. the *forget gate* decides what of the long-term memory, the cell state, is forgotten;
    2. the *input gate* decides how much of the new memory is added to it;
    3. the *output gate* decides how much of it is shown, as the hidden state.

    Of the cell state of the step before, the forgotten is taken away and the added is added: the
    fourth row on the right is the running result of the two above it.

    A few units are drawn as lines, many as heat maps with a row for each unit.

    It is recommended to create a display with
    :meth:`~pylstm.inspection.LSTMGateDisplay.from_estimator`. All parameters are stored as
    attributes.

    Parameters
    ----------
    sequence : ndarray of shape (n_timesteps,) or (n_timesteps, n_features)
        What the network reads.

    input_gate, forget_gate, candidate, output_gate : ndarray of shape (n_timesteps, n_units)
        Activations of the gates, and the new memory (candidate).

    cell_state, hidden_state : ndarray of shape (n_timesteps, n_units)
        The states after each time step; before the first they are zero.

    direction : {"forward", "reverse"}, default="forward"
        Whether the layer's cells read the sequence from its start or from its end.

    units : array-like of int of shape (n_units,), default=None
        Numbers of the units, for the labels; None counts from 0.

    feature_names : array-like of str of shape (n_features,), default=None
        Names of the features of the sequence.

    time : array-like of shape (n_timesteps,), default=None
        What the time steps are called. Increasing numbers or dates also give their places; anything
        else are labels of steps at equal distances. None counts from 0.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure with the panels.

    axes_ : ndarray of matplotlib Axes of shape (5, 2)
        The panels; `axes_[3, 0]` holds the key.

    bounding_ax_ : matplotlib Axes or None
        The axes that were given to draw within, if any.

    lines_ : dict of list of matplotlib Line2D
        The lines of each panel, by its name: `"sequence"`, `"candidate"`, `"forget_gate"`,
        `"forgotten"`, `"input_gate"`, `"added"`, `"cell_state"`, `"output_gate"`,
        `"hidden_state"`. Panels drawn as heat maps are not in it.

    heatmaps_ : dict of matplotlib QuadMesh
        The heat map of each panel that is drawn as one.

    See Also
    --------
    LossCurveDisplay : How the training went.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm import LSTMRegressor, sliding_windows
    >>> from pylstm.inspection import LSTMGateDisplay
    >>> X, y = sliding_windows(np.sin(np.arange(120) / 2), window=24)
    >>> model = LSTMRegressor(hidden_size=4, tol=1e-2, random_state=0).fit(X, y)
    >>> gates = model.gate_activations(X[:1])
    >>> display = LSTMGateDisplay(
    ...     sequence=X[0],
    ...     input_gate=gates.input[0],
    ...     forget_gate=gates.forget[0],
    ...     candidate=gates.candidate[0],
    ...     output_gate=gates.output[0],
    ...     cell_state=gates.cell[0],
    ...     hidden_state=gates.hidden[0],
    ... )
    >>> before = np.vstack([np.zeros((1, 4)), display.cell_state[:-1]])
    >>> bool(np.allclose(display.cell_state, before - display.forgotten + display.added, atol=1e-6))
    True

    Drawn, which needs matplotlib:

    >>> import matplotlib.pyplot as plt  # doctest: +SKIP
    >>> display.plot()  # doctest: +SKIP
    <...>
    >>> plt.show()  # doctest: +SKIP
    """

    figure_: Figure | SubFigure
    axes_: NDArray[np.object_]
    bounding_ax_: Axes | None
    lines_: dict[str, list[Line2D]]
    heatmaps_: dict[str, QuadMesh]

    def __init__(
        self,
        *,
        sequence: Floats,
        input_gate: Floats,
        forget_gate: Floats,
        candidate: Floats,
        output_gate: Floats,
        cell_state: Floats,
        hidden_state: Floats,
        direction: Literal["forward", "reverse"] = "forward",
        units: Sequence[int] | Integers | None = None,
        feature_names: Sequence[str] | None = None,
        time: Sequence[Any] | NDArray[Any] | None = None,
    ) -> None:
        self.sequence = sequence
        self.input_gate = input_gate
        self.forget_gate = forget_gate
        self.candidate = candidate
        self.output_gate = output_gate
        self.cell_state = cell_state
        self.hidden_state = hidden_state
        self.direction = direction
        self.units = units
        self.feature_names = feature_names
        self.time = time

    @property
    def forgotten(self) -> Floats:
        """What the forget gate takes away, (1 - f_t) c_{t-1}; of shape (n_timesteps, n_units)."""
        cell_state = np.asarray(self.cell_state)
        before = np.zeros_like(cell_state)
        if self.direction == "reverse":
            before[:-1] = cell_state[1:]
        else:
            before[1:] = cell_state[:-1]
        forgotten: Floats = (1 - np.asarray(self.forget_gate)) * before
        return forgotten

    @property
    def added(self) -> Floats:
        """What is added to the cell state, i_t g_t; of shape (n_timesteps, n_units)."""
        added: Floats = np.asarray(self.input_gate) * np.asarray(self.candidate)
        return added

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: ArrayLike,
        *,
        sample: int = 0,
        lengths: ArrayLike | None = None,
        layer: int = -1,
        direction: Literal["forward", "reverse"] = "forward",
        units: Sequence[int] | Integers | None = None,
        feature_names: Sequence[str] | None = None,
        time: Sequence[Any] | NDArray[Any] | None = None,
        ax: AxesLike | None = None,
        kind: _Kind = "auto",
        line_kw: Keywords = None,
        heatmap_kw: Keywords = None,
        gate_cmap: str | Colormap = "viridis",
        memory_cmap: str | Colormap = "RdBu_r",
    ) -> LSTMGateDisplay:
        """Draw what the gates of a fitted network do with one sequence.

        Parameters
        ----------
        estimator : fitted LSTMRegressor or LSTMClassifier
            Or a Pipeline, TransformedTargetRegressor or search around one. The earlier steps of a
            Pipeline transform `X`; the input is drawn as the network reads it.

        X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns), \
                or list of n_samples arrays of shape (n_timesteps_of_sample, n_features)
            Sequences, as `predict` takes them.

        sample : int, default=0
            Which of them to draw; negative numbers count from the last.

        lengths : array-like of int of shape (n_samples,), default=None
            Time steps of each sample; None means all. The padding is not drawn.

        layer : int, default=-1
            The layer, from 0; negative numbers count from the top.

        direction : {"forward", "reverse"}, default="forward"
            Which cells of a bidirectional layer.

        units : array-like of int, default=None
            Which hidden units to draw, in this order; None means all.

        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features of the sequence.

        time : array-like of shape (n_timesteps,), default=None
            What the time steps are called. Increasing numbers or dates also give their places;
            anything else are labels of steps at equal distances. None counts from 0.

        ax : matplotlib Axes or array-like of Axes of shape (5, 2), default=None
            As for :meth:`plot`.

        kind : {"auto", "lines", "heatmap"}, default="auto"
            As for :meth:`plot`.

        line_kw, heatmap_kw : dict, default=None
            As for :meth:`plot`.

        gate_cmap, memory_cmap : str or matplotlib Colormap
            As for :meth:`plot`.

        Returns
        -------
        display : :class:`~pylstm.inspection.LSTMGateDisplay`
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        NotFittedError
            If the estimator is not fitted.

        TypeError
            If there is no LSTM within the estimator.

        ValueError
            If there is no such sample, layer, direction or unit.

        Examples
        --------
        >>> import matplotlib.pyplot as plt  # doctest: +SKIP
        >>> import numpy as np
        >>> from pylstm import LSTMRegressor, sliding_windows
        >>> from pylstm.inspection import LSTMGateDisplay
        >>> X, y = sliding_windows(np.sin(np.arange(120) / 2), window=24)
        >>> model = LSTMRegressor(hidden_size=4, tol=1e-2, random_state=0).fit(X, y)
        >>> LSTMGateDisplay.from_estimator(model, X, sample=-1)  # doctest: +SKIP
        <...>
        >>> plt.show()  # doctest: +SKIP
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        lstm, transformers, _ = unwrap(estimator, "gate_activations")

        n_samples = _num_samples(X)
        if not isinstance(sample, Integral) or not -n_samples <= sample < n_samples:
            raise ValueError(
                f"sample must be an integer from {-n_samples} to {n_samples - 1}, got {sample!r}."
            )
        is_list = is_list_of_sequences(X)
        if lengths is not None:
            if is_list:
                refuse_lengths_of_list(lengths)
            check_consistent_length(lengths, range(n_samples))
        # Only this sample is run: X may be large.
        row = [int(sample) % n_samples]
        X = _safe_indexing(X, row)
        for transformer in transformers:
            X = transformer.transform(X)
        if is_list:  # alone, it could not be told from sequences of one length
            X = np.asarray(X[0])[np.newaxis]
            lengths = [X.shape[1]]
        elif lengths is not None:
            lengths = np.asarray(lengths)[row]
        gates = lstm.gate_activations(X, lengths=lengths, layer=layer, direction=direction)

        sequence = as_sequences(np.asarray(X), getattr(lstm, "n_timesteps", None))[0]
        length = len(sequence) if lengths is None else int(lengths[0])
        units = _check_units(units, gates.cell.shape[2])
        i, f, g, o, c, h = (activations[0, :length][:, units] for activations in gates)
        return cls(
            sequence=sequence[:length],
            input_gate=i,
            forget_gate=f,
            candidate=g,
            output_gate=o,
            cell_state=c,
            hidden_state=h,
            direction=direction,
            units=units,
            feature_names=feature_names,
            time=check_time(time, length, len(sequence)),
        ).plot(
            ax=ax,
            kind=kind,
            line_kw=line_kw,
            heatmap_kw=heatmap_kw,
            gate_cmap=gate_cmap,
            memory_cmap=memory_cmap,
        )

    def plot(
        self,
        ax: AxesLike | None = None,
        *,
        kind: _Kind = "auto",
        line_kw: Keywords = None,
        heatmap_kw: Keywords = None,
        gate_cmap: str | Colormap = "viridis",
        memory_cmap: str | Colormap = "RdBu_r",
    ) -> LSTMGateDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes of shape (5, 2), default=None
            A single axes gives the place within which the panels are made; an array gives the
            panels themselves; None makes a new figure.

        kind : {"auto", "lines", "heatmap"}, default="auto"
            How to draw the units: as lines, or as rows of a heat map. "auto" takes lines for up to
            six units.

        line_kw : dict, default=None
            Keywords for `matplotlib.axes.Axes.plot`, for the units' lines.

        heatmap_kw : dict, default=None
            Keywords for `matplotlib.axes.Axes.pcolormesh`, for the units' heat maps.

        gate_cmap : str or matplotlib Colormap, default="viridis"
            Colours of the gates' heat maps, from 0 to 1.

        memory_cmap : str or matplotlib Colormap, default="RdBu_r"
            Colours of the other heat maps, with zero in the middle.

        Returns
        -------
        display : :class:`~pylstm.inspection.LSTMGateDisplay`
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        ValueError
            If `kind` or the number of axes is none of the above, or a single `ax` has been drawn
            within before (use `ax=display.axes_` to draw into the same panels).
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        if kind not in ("auto", "lines", "heatmap"):
            raise ValueError(f"kind must be 'auto', 'lines' or 'heatmap', got {kind!r}.")
        if kind == "auto":
            kind = "lines" if np.shape(self.cell_state)[1] <= _MOST_LINES else "heatmap"

        self._make_axes(ax)
        self.lines_, self.heatmaps_ = {}, {}
        places = places_of(self.time, len(self.cell_state))
        for name, (cell, scale, title) in _PANELS.items():
            panel = self.axes_[cell]
            panel.set_title(title, loc="left", fontsize="medium")
            if name == "sequence":
                self._draw_sequence(panel, places, memory_cmap)
            elif kind == "lines":
                self._draw_lines(panel, name, places, scale, line_kw)
            else:
                cmap = gate_cmap if scale == "gate" else memory_cmap
                self._draw_heatmap(panel, name, places, scale, {"cmap": cmap, **(heatmap_kw or {})})
            label_time(panel, self.time, places, with_labels=cell[0] == _SHAPE[0] - 1)
        self._draw_key(kind)
        return self

    def _make_axes(self, ax: AxesLike | None) -> None:
        """Set `figure_`, `axes_` and `bounding_ax_`."""
        import matplotlib.pyplot as plt

        self.bounding_ax_ = None
        if ax is None:
            self.figure_, self.axes_ = plt.subplots(
                *_SHAPE, sharex=True, figsize=(11, 8.5), layout="constrained"
            )
        elif isinstance(ax, plt.Axes):
            if not ax.axison:  # a display has been here
                raise ValueError(
                    "The ax was already used in another plot function, please set "
                    "ax=display.axes_ instead"
                )
            ax.set_axis_off()
            self.bounding_ax_, self.figure_ = ax, ax.figure
            spec = ax.get_subplotspec()
            if spec is not None:
                grid: GridSpecBase = spec.subgridspec(*_SHAPE, hspace=0.5)
            else:  # placed by hand
                place = ax.get_position()
                grid = ax.figure.add_gridspec(
                    *_SHAPE,
                    left=place.x0,
                    right=place.x1,
                    bottom=place.y0,
                    top=place.y1,
                    hspace=0.5,
                )
            self.axes_ = np.asarray(grid.subplots(sharex=True))
        else:
            self.axes_ = np.asarray(ax, dtype=object)
            if self.axes_.size != np.prod(_SHAPE):
                raise ValueError(
                    f"Expected ax to have {np.prod(_SHAPE)} axes, got {self.axes_.size}"
                )
            self.axes_ = self.axes_.reshape(_SHAPE)
            self.figure_ = self.axes_[0, 0].figure

    def _draw_sequence(self, panel: Axes, places: Places, cmap: str | Colormap) -> None:
        sequence = np.asarray(self.sequence)
        sequence = sequence.reshape(len(sequence), -1)
        n_features = sequence.shape[1]
        names = self.feature_names
        if n_features > len(LINE_STYLES):
            largest = limit(sequence)
            mesh = panel.pcolormesh(
                edges(places),
                np.arange(n_features + 1) - 0.5,
                sequence.T,
                cmap=cmap,
                vmin=-largest,
                vmax=largest,
            )
            label_rows(panel, "Feature", range(n_features) if names is None else names)
            draw_colorbar(panel, mesh)
            self.heatmaps_["sequence"] = mesh
            return
        self.lines_["sequence"] = [
            panel.plot(places, values, color="0.2", linestyle=style, linewidth=1.5)[0]
            for values, style in zip(sequence.T, LINE_STYLES, strict=False)
        ]
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        if names is None and n_features > 1:
            names = [f"Feature {i}" for i in range(n_features)]
        if names is not None and n_features == 1:
            panel.set_ylabel(names[0])
        elif names is not None:
            panel.legend(  # above the panel, where no line is
                self.lines_["sequence"],
                names,
                loc="lower right",
                bbox_to_anchor=(1, 1),
                borderaxespad=0,
                frameon=False,
                fontsize="small",
                ncols=n_features,
                handlelength=1.5,
                columnspacing=1.0,
            )

    def _limit(self, name: str, scale: _Scale) -> float:
        """The largest value that a panel has room for."""
        if scale != "free":
            return 1.0
        if name == "cell_state":
            return limit(np.asarray(self.cell_state))
        # One scale for both, to compare what is forgotten with what is added.
        return max(limit(self.forgotten), limit(self.added))

    def _draw_lines(
        self, panel: Axes, name: str, places: Places, scale: _Scale, line_kw: Keywords
    ) -> None:
        values = np.asarray(getattr(self, name))
        colors: Iterable[Any] = COLORS
        if values.shape[1] > len(COLORS):
            from matplotlib import colormaps

            colors = colormaps["viridis"](np.linspace(0, 0.95, values.shape[1]))
        self.lines_[name] = [
            panel.plot(places, line, **{"color": color, "linewidth": 1.5, **(line_kw or {})})[0]
            for line, color in zip(values.T, colors, strict=False)
        ]
        if scale == "gate":
            panel.set_ylim(-0.04, 1.04)
        else:
            largest = 1.04 * self._limit(name, scale)
            panel.axhline(0, color="0.6", linewidth=0.8, zorder=0)
            panel.set_ylim(-largest, largest)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)

    def _draw_heatmap(
        self, panel: Axes, name: str, places: Places, scale: _Scale, heatmap_kw: dict[str, Any]
    ) -> None:
        values = np.asarray(getattr(self, name))
        n_units = values.shape[1]
        largest = self._limit(name, scale)
        mesh = panel.pcolormesh(
            edges(places),
            np.arange(n_units + 1) - 0.5,
            values.T,
            **{"vmin": 0.0 if scale == "gate" else -largest, "vmax": largest, **heatmap_kw},
        )
        self.heatmaps_[name] = mesh
        label_rows(panel, "Unit", range(n_units) if self.units is None else self.units)
        if scale != "gate":  # the gates have theirs in the key
            draw_colorbar(panel, mesh)

    def _draw_key(self, kind: _Kind) -> None:
        key = self.axes_[_KEY]
        key.set_axis_off()
        if kind == "heatmap":
            bar = self.figure_.colorbar(
                self.heatmaps_["forget_gate"],
                cax=key.inset_axes([0.1, 0.5, 0.8, 0.16]),
                orientation="horizontal",
                ticks=[0, 0.5, 1],
            )
            bar.ax.set_xticklabels(["0\nshut", "0.5", "1\nopen"])
            bar.ax.set_title("Gates", fontsize="medium")
            bar.outline.set_visible(False)
            return
        lines = self.lines_["cell_state"]
        units = range(len(lines)) if self.units is None else self.units
        key.legend(
            lines,
            [f"Unit {unit}" for unit in units],
            loc="center",
            ncols=-(-len(lines) // 3),
            frameon=False,
        )


def _check_units(units: Sequence[int] | Integers | None, hidden_size: int) -> Integers:
    if units is None:
        return np.arange(hidden_size)
    units = np.asarray(units)
    if (
        units.ndim != 1
        or units.size == 0
        or units.dtype.kind not in "iu"
        or units.min() < 0
        or units.max() >= hidden_size
    ):
        raise ValueError(
            f"units must be a list of integers from 0 to {hidden_size - 1}, got {units.tolist()!r}."
        )
    return units
