"""Pictures of what a fitted LSTM does and how it was trained, after scikit-learn's displays.

matplotlib is needed to draw them, and imported only then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import _num_samples, check_consistent_length

from ._typing import ArrayLike, Estimator, Floats, Integers, NDArray
from ._unwrap import unwrap
from ._validation import as_sequences, is_list_of_sequences, refuse_lengths_of_list

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection, QuadMesh
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.gridspec import GridSpecBase
    from matplotlib.lines import Line2D

    _Ax: TypeAlias = Axes | Sequence[Axes] | NDArray[np.object_]

__all__ = ["LSTMGateDisplay", "LossCurveDisplay"]

_Kind: TypeAlias = Literal["auto", "lines", "heatmap"]
_Scale: TypeAlias = Literal["gate", "unit", "free"] | None
_Keywords: TypeAlias = dict[str, Any] | None
_Places: TypeAlias = NDArray[Any]  # numbers, of any kind

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
_COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
_LINE_STYLES = ["-", "--", ":", "-."]  # features, so that their lines are not taken for units

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
        ax: _Ax | None = None,
        kind: _Kind = "auto",
        line_kw: _Keywords = None,
        heatmap_kw: _Keywords = None,
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
        if time is not None:
            if len(time) not in (length, len(sequence)):
                raise ValueError(
                    f"time has {len(time)} entries, but the sequence has {length} time steps."
                )
            time = np.asarray(time)[:length]
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
            time=time,
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
        ax: _Ax | None = None,
        *,
        kind: _Kind = "auto",
        line_kw: _Keywords = None,
        heatmap_kw: _Keywords = None,
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
        places = self._places()
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
            self._label_time(panel, places, with_labels=cell[0] == _SHAPE[0] - 1)
        self._draw_key(kind)
        return self

    def _make_axes(self, ax: _Ax | None) -> None:
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

    def _time_is_place(self) -> bool:
        """Whether `time` says where the steps lie, and not only what they are called."""
        time = np.asarray(self.time)
        return time.dtype.kind in "iufM" and bool((time[1:] > time[:-1]).all())

    def _places(self) -> _Places:
        """Where the time steps lie on the horizontal axis."""
        if self.time is None or not self._time_is_place():
            return np.arange(len(self.cell_state))
        time = np.asarray(self.time)
        if time.dtype.kind != "M":
            return time
        from matplotlib.dates import date2num

        places: _Places = date2num(time)
        return places

    def _label_time(self, panel: Axes, places: _Places, *, with_labels: bool) -> None:
        from matplotlib import dates, ticker

        edges = _edges(places)
        panel.set_xlim(edges[0], edges[-1])
        panel.tick_params(labelbottom=with_labels)
        axis = panel.xaxis
        if self.time is None:
            axis.set_major_locator(ticker.MaxNLocator("auto", integer=True))
            panel.set_xlabel("Time step" if with_labels else "")
        elif not self._time_is_place():
            labels = [str(label) for label in self.time]
            axis.set_major_locator(ticker.MaxNLocator("auto", integer=True))
            axis.set_major_formatter(
                lambda place, _: labels[round(place)] if 0 <= place < len(labels) else ""
            )
        elif np.asarray(self.time).dtype.kind == "M":
            locator = dates.AutoDateLocator()
            axis.set_major_locator(locator)
            axis.set_major_formatter(dates.ConciseDateFormatter(locator))

    def _draw_sequence(self, panel: Axes, places: _Places, cmap: str | Colormap) -> None:
        sequence = np.asarray(self.sequence)
        sequence = sequence.reshape(len(sequence), -1)
        n_features = sequence.shape[1]
        names = self.feature_names
        if n_features > len(_LINE_STYLES):
            limit = _limit(sequence)
            mesh = panel.pcolormesh(
                _edges(places),
                np.arange(n_features + 1) - 0.5,
                sequence.T,
                cmap=cmap,
                vmin=-limit,
                vmax=limit,
            )
            _label_rows(panel, "Feature", range(n_features) if names is None else names)
            _draw_colorbar(panel, mesh)
            self.heatmaps_["sequence"] = mesh
            return
        self.lines_["sequence"] = [
            panel.plot(places, values, color="0.2", linestyle=style, linewidth=1.5)[0]
            for values, style in zip(sequence.T, _LINE_STYLES, strict=False)
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
            return _limit(np.asarray(self.cell_state))
        # One scale for both, to compare what is forgotten with what is added.
        return max(_limit(self.forgotten), _limit(self.added))

    def _draw_lines(
        self, panel: Axes, name: str, places: _Places, scale: _Scale, line_kw: _Keywords
    ) -> None:
        values = np.asarray(getattr(self, name))
        colors: Iterable[Any] = _COLORS
        if values.shape[1] > len(_COLORS):
            from matplotlib import colormaps

            colors = colormaps["viridis"](np.linspace(0, 0.95, values.shape[1]))
        self.lines_[name] = [
            panel.plot(places, line, **{"color": color, "linewidth": 1.5, **(line_kw or {})})[0]
            for line, color in zip(values.T, colors, strict=False)
        ]
        if scale == "gate":
            panel.set_ylim(-0.04, 1.04)
        else:
            limit = 1.04 * self._limit(name, scale)
            panel.axhline(0, color="0.6", linewidth=0.8, zorder=0)
            panel.set_ylim(-limit, limit)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)

    def _draw_heatmap(
        self, panel: Axes, name: str, places: _Places, scale: _Scale, heatmap_kw: dict[str, Any]
    ) -> None:
        values = np.asarray(getattr(self, name))
        n_units = values.shape[1]
        limit = self._limit(name, scale)
        mesh = panel.pcolormesh(
            _edges(places),
            np.arange(n_units + 1) - 0.5,
            values.T,
            **{"vmin": 0.0 if scale == "gate" else -limit, "vmax": limit, **heatmap_kw},
        )
        self.heatmaps_[name] = mesh
        _label_rows(panel, "Unit", range(n_units) if self.units is None else self.units)
        if scale != "gate":  # the gates have theirs in the key
            _draw_colorbar(panel, mesh)

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


class LossCurveDisplay:
    """How the training went: the loss and, if it was computed, the validation score of each epoch.

    The best epoch is marked: that of the best validation score, whose weights `early_stopping`
    keeps, or else that of the least loss.

    It is recommended to create a display with
    :meth:`~pylstm.inspection.LossCurveDisplay.from_estimator`. All parameters are stored as
    attributes.

    Parameters
    ----------
    loss_curve : array-like of float of shape (n_epochs,)
        Training loss of each epoch.

    validation_scores : array-like of float of shape (n_scored_epochs,), default=None
        Validation score of each epoch, the larger the better; of the last ones if there are fewer
        scores than losses. None if there are none.

    name : str, default=None
        Name of the estimator, for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the loss.

    score_ax_ : matplotlib Axes or None
        Axes with the validation score, on the right-hand side of `ax_`.

    axes_ : ndarray of matplotlib Axes
        `ax_` and, unless it is None, `score_ax_`. To be passed as `ax` to the next display that is
        to be drawn there.

    figure_ : matplotlib Figure
        Figure with the curves.

    loss_line_ : matplotlib Line2D
        The curve of the loss.

    score_line_ : matplotlib Line2D or None
        The curve of the validation score.

    best_point_ : matplotlib PathCollection or None
        The mark of the best epoch; None without epochs.

    See Also
    --------
    LSTMGateDisplay : What the trained network does with a sequence.

    Examples
    --------
    >>> from pylstm.inspection import LossCurveDisplay
    >>> display = LossCurveDisplay(
    ...     loss_curve=[0.5, 0.3, 0.2, 0.15], validation_scores=[0.1, 0.6, 0.7, 0.5]
    ... )
    >>> display.best_epoch
    3

    Drawn, which needs matplotlib:

    >>> import matplotlib.pyplot as plt  # doctest: +SKIP
    >>> display.plot()  # doctest: +SKIP
    <...>
    >>> plt.show()  # doctest: +SKIP
    """

    ax_: Axes
    score_ax_: Axes | None
    axes_: NDArray[np.object_]
    figure_: Figure | SubFigure
    loss_line_: Line2D
    score_line_: Line2D | None
    best_point_: PathCollection | None

    def __init__(
        self,
        *,
        loss_curve: Sequence[float] | Floats,
        validation_scores: Sequence[float] | Floats | None = None,
        name: str | None = None,
    ) -> None:
        self.loss_curve = loss_curve
        self.validation_scores = validation_scores
        self.name = name

    @property
    def best_epoch(self) -> int | None:
        """Number of the best epoch, counted from 1; None if there is none."""
        if self.validation_scores is None:
            figures = -np.asarray(self.loss_curve, dtype=float)
        else:
            figures = np.asarray(self.validation_scores, dtype=float)
        if not np.isfinite(figures).any():
            return None
        return int(len(self.loss_curve) - len(figures) + np.nanargmax(figures) + 1)

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        *,
        ax: _Ax | None = None,
        name: str | None = None,
        loss_kw: _Keywords = None,
        score_kw: _Keywords = None,
    ) -> LossCurveDisplay:
        """Draw how the training of a fitted network went.

        Parameters
        ----------
        estimator : fitted LSTMRegressor or LSTMClassifier
            Or a Pipeline, TransformedTargetRegressor or search around one.

        ax : matplotlib Axes or array-like of one or two Axes, default=None
            As for :meth:`plot`.

        name : str, default=None
            Name of the estimator, for the legend.

        loss_kw, score_kw : dict, default=None
            As for :meth:`plot`.

        Returns
        -------
        display : :class:`~pylstm.inspection.LossCurveDisplay`
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        NotFittedError
            If the estimator is not fitted.

        TypeError
            If there is no estimator with a `loss_curve_` within the estimator.

        Examples
        --------
        >>> import matplotlib.pyplot as plt  # doctest: +SKIP
        >>> import numpy as np
        >>> from pylstm import LSTMRegressor, sliding_windows
        >>> from pylstm.inspection import LossCurveDisplay
        >>> X, y = sliding_windows(np.sin(np.arange(120) / 2), window=24)
        >>> model = LSTMRegressor(hidden_size=4, tol=1e-2, random_state=0).fit(X, y)
        >>> LossCurveDisplay.from_estimator(model)  # doctest: +SKIP
        <...>
        >>> plt.show()  # doctest: +SKIP
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        lstm = unwrap(estimator, "loss_curve_").network
        return cls(
            loss_curve=lstm.loss_curve_,
            validation_scores=getattr(lstm, "validation_scores_", None),
            name=name,
        ).plot(ax=ax, loss_kw=loss_kw, score_kw=score_kw)

    def plot(
        self,
        ax: _Ax | None = None,
        *,
        name: str | None = None,
        loss_kw: _Keywords = None,
        score_kw: _Keywords = None,
    ) -> LossCurveDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of one or two Axes, default=None
            Axes for the loss and, if there are two, those for the validation score: `axes_` of
            another display draws both into one picture. None makes a new figure.

        name : str, default=None
            Name of the estimator, for the legend; None takes the attribute `name`.

        loss_kw : dict, default=None
            Keywords for `matplotlib.axes.Axes.plot`, for the loss.

        score_kw : dict, default=None
            Keywords for `matplotlib.axes.Axes.plot`, for the validation score.

        Returns
        -------
        display : :class:`~pylstm.inspection.LossCurveDisplay`
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt
        from matplotlib.ticker import MaxNLocator

        if ax is None:
            _, ax = plt.subplots()
        axes = np.ravel(np.asarray(ax, dtype=object))
        self.ax_, self.score_ax_, self.score_line_ = axes[0], None, None
        self.figure_ = self.ax_.figure
        name = self.name if name is None else name
        prefix = "" if name is None else f"{name}: "
        # Other colours than those of the displays that are there already.
        color = 2 * len(self.ax_.get_lines())

        n_epochs = len(self.loss_curve)
        self.loss_line_ = _draw_curve(
            self.ax_,
            self.loss_curve,
            n_epochs,
            "Training loss",
            {
                "color": _COLORS[color % len(_COLORS)],
                "label": f"{prefix}training loss",
                **(loss_kw or {}),
            },
        )
        self.ax_.set_xlabel("Epoch")
        self.ax_.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        self.ax_.grid(alpha=0.3)
        if self.validation_scores is not None:
            self.score_ax_ = axes[1] if len(axes) > 1 else self.ax_.twinx()
            self.score_line_ = _draw_curve(
                self.score_ax_,
                self.validation_scores,
                n_epochs,
                "Validation score",
                {
                    "color": _COLORS[(color + 1) % len(_COLORS)],
                    "linestyle": "--",
                    "label": f"{prefix}validation score",
                    **(score_kw or {}),
                },
            )
        self.axes_ = np.array([ax for ax in (self.ax_, self.score_ax_) if ax is not None])
        self.best_point_ = self._mark_best(prefix)
        _draw_legend(axes if len(axes) > 1 else self.axes_)
        return self

    def _mark_best(self, prefix: str) -> PathCollection | None:
        """The mark of the best epoch, on the curve that it is the best of."""
        best = self.best_epoch
        if best is None:
            return None
        curve = self.loss_line_ if self.score_line_ is None else self.score_line_
        heights = np.asarray(curve.get_ydata())
        mark: PathCollection = self.axes_[-1].scatter(
            [best],
            [heights[best - 1 - (len(self.loss_curve) - len(heights))]],
            s=45,
            facecolor="white",
            edgecolor=curve.get_color(),
            linewidth=1.5,
            zorder=3,
            label=f"{prefix}best epoch, {best}",
        )
        return mark


def _draw_curve(
    ax: Axes, values: Sequence[float] | Floats, n_epochs: int, label: str, line_kw: dict[str, Any]
) -> Line2D:
    """A line through the values of the last epochs."""
    (line,) = ax.plot(np.arange(n_epochs - len(values) + 1, n_epochs + 1), values, **line_kw)
    ax.set_ylabel(label)
    return line


def _draw_legend(axes: NDArray[np.object_]) -> None:
    """One legend for all axes, on the uppermost of them.

    A loss that falls and a score that rises leave the middle of the right-hand side free.
    """
    entries = [entry for ax in axes for entry in zip(*ax.get_legend_handles_labels(), strict=True)]
    axes[-1].legend(
        *zip(*entries, strict=True), loc="upper right" if len(axes) == 1 else "center right"
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


def _edges(places: _Places) -> Floats:
    """The limits between neighbouring places, and those around all."""
    places = np.asarray(places, dtype=float)
    if len(places) == 1:
        return np.array([places[0] - 0.5, places[0] + 0.5])
    inner = (places[:-1] + places[1:]) / 2
    return np.concatenate([[2 * places[0] - inner[0]], inner, [2 * places[-1] - inner[-1]]])


def _limit(values: NDArray[Any]) -> float:
    """The largest absolute value; 1 if there is none, so that it can be a limit of an axis."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) or 1.0


def _label_rows(panel: Axes, label: str, names: Iterable[object]) -> None:
    """Name the rows of a heat map, the first of them at the top."""
    from matplotlib.ticker import MaxNLocator

    labels = [str(name) for name in names]
    panel.set_ylim(len(labels) - 0.5, -0.5)
    panel.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    panel.yaxis.set_major_formatter(
        lambda place, _: labels[round(place)] if 0 <= place < len(labels) else ""
    )
    panel.set_ylabel(label)


def _draw_colorbar(panel: Axes, mesh: QuadMesh) -> None:
    # In the panel's own place, so that it does not matter how the figure is laid out.
    bar = panel.figure.colorbar(mesh, cax=panel.inset_axes((1.015, 0, 0.02, 1)))
    bar.outline.set_visible(False)
