"""What the inputs of one sequence contribute to its prediction, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import _num_samples, check_consistent_length

from .._typing import ArrayLike, Estimator, Floats, NDArray, RandomState
from .._validation import is_list_of_sequences, refuse_lengths_of_list
from ._attributions import Attributions, expected_gradients, integrated_gradients
from ._drawing import (
    LINE_STYLES,
    Keywords,
    Places,
    Time,
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
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

    from ._drawing import AxesLike

_SHAPE = (2, 2)
_MORE, _LESS = "#B2182B", "#2166AC"  # the ends of the colour map RdBu_r


class AttributionDisplay:
    """What each feature at each time step of one sequence contributes to a prediction.

    Above stands the sequence, below it a heat map of the contributions over time with a row for each
    feature (bars if there is only one), and beside that each feature's sum over time as a bar. What adds
    to the prediction is red, what takes away from it blue.

    It is recommended to create a display with
    :meth:`~pylstm.inspection.AttributionDisplay.from_estimator` or
    :meth:`~pylstm.inspection.AttributionDisplay.from_attributions`. All parameters are stored as
    attributes.

    Parameters
    ----------
    values : ndarray of shape (n_timesteps, n_features)
        The contributions.

    sequence : ndarray of shape (n_timesteps, n_features)
        The inputs.

    base_value : float
        The prediction that the contributions start from.

    prediction : float
        The prediction to which they add up.

    feature_names : array-like of str of shape (n_features,), default=None
        Names of the features.

    time : array-like of shape (n_timesteps,), default=None
        What the time steps are called. Increasing numbers or dates also give their places; anything
        else are labels of steps at equal distances. None counts from 0.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure with the panels.

    axes_ : ndarray of matplotlib Axes of shape (2, 2)
        The panels: sequence, and text; contributions over time, and their sums.

    lines_ : list of matplotlib Line2D
        The features of the sequence; empty if they are drawn as a heat map.

    heatmap_ : matplotlib QuadMesh or None
        The contributions, if there are several features.

    time_bars_ : matplotlib BarContainer or None
        The contributions, if there is one feature.

    feature_bars_ : matplotlib BarContainer
        The sums over time.

    See Also
    --------
    integrated_gradients, expected_gradients : Compute contributions.
    LSTMGateDisplay : What the gates do with a sequence.

    Examples
    --------
    >>> import numpy as np
    >>> from pylstm.inspection import AttributionDisplay
    >>> display = AttributionDisplay(
    ...     values=np.array([[0.5, 0.0], [1.0, -0.25]]),
    ...     sequence=np.ones((2, 2)),
    ...     base_value=3.0,
    ...     prediction=4.25,
    ... )
    >>> display.feature_sums
    array([ 1.5 , -0.25])

    Drawn, which needs matplotlib:

    >>> import matplotlib.pyplot as plt  # doctest: +SKIP
    >>> display.plot()  # doctest: +SKIP
    <...>
    >>> plt.show()  # doctest: +SKIP
    """

    figure_: Figure | SubFigure
    axes_: NDArray[np.object_]
    lines_: list[Line2D]
    heatmap_: QuadMesh | None
    time_bars_: BarContainer | None
    feature_bars_: BarContainer

    def __init__(
        self,
        *,
        values: Floats,
        sequence: Floats,
        base_value: float,
        prediction: float,
        feature_names: Sequence[str] | None = None,
        time: Time = None,
    ) -> None:
        self.values = values
        self.sequence = sequence
        self.base_value = base_value
        self.prediction = prediction
        self.feature_names = feature_names
        self.time = time

    @property
    def feature_sums(self) -> Floats:
        """Contributions of the features at all time steps together, (n_features,)."""
        sums: Floats = np.asarray(self.values).sum(axis=0)
        return sums

    @classmethod
    def from_attributions(
        cls,
        attributions: Attributions,
        *,
        sample: int = 0,
        output: int = 0,
        length: int | None = None,
        feature_names: Sequence[str] | None = None,
        time: Time = None,
        ax: AxesLike | None = None,
        cmap: str | Colormap = "RdBu_r",
        heatmap_kw: Keywords = None,
        bar_kw: Keywords = None,
    ) -> AttributionDisplay:
        """Draw contributions that were computed before.

        Parameters
        ----------
        attributions : Attributions
            What :func:`integrated_gradients` or :func:`expected_gradients` returns.

        sample : int, default=0
            Which sample to draw; negative numbers count from the last.

        output : int, default=0
            Which of the outputs, if there are several.

        length : int, default=None
            Time steps of the sample; None means all. The padding is not drawn.

        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features.

        time : array-like of shape (n_timesteps,), default=None
            What the time steps are called. Increasing numbers or dates also give their places; anything
            else are labels of steps at equal distances. None counts from 0.

        ax : matplotlib Axes or array-like of Axes of shape (2, 2), default=None
            As for :meth:`plot`.

        cmap : str or matplotlib Colormap, default="RdBu_r"
            As for :meth:`plot`.

        heatmap_kw, bar_kw : dict, default=None
            As for :meth:`plot`.

        Returns
        -------
        display : :class:`~pylstm.inspection.AttributionDisplay`
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If there is no such sample or output.
        """
        check_matplotlib_support(f"{cls.__name__}.from_attributions")
        n_samples, n_timesteps = attributions.values.shape[:2]
        _check_index("sample", sample, n_samples)
        values = attributions.values[sample]
        ends = np.array([attributions.base_values[sample], attributions.predictions[sample]])
        n_outputs = 1 if values.ndim == 2 else values.shape[2]
        _check_index("output", output, n_outputs)
        if values.ndim == 3:
            values, ends = values[..., output], ends[:, output]
        length = n_timesteps if length is None else int(length)
        return cls(
            values=values[:length],
            sequence=attributions.data[sample][:length],
            base_value=float(ends[0]),
            prediction=float(ends[1]),
            feature_names=feature_names,
            time=check_time(time, length, n_timesteps),
        ).plot(ax=ax, cmap=cmap, heatmap_kw=heatmap_kw, bar_kw=bar_kw)

    @classmethod
    def from_estimator(
        cls,
        estimator: Estimator,
        X: Any,
        *,
        sample: int = 0,
        baseline: ArrayLike | None = None,
        background: ArrayLike | None = None,
        n_background: int = 100,
        random_state: RandomState = None,
        lengths: ArrayLike | None = None,
        output: int = 0,
        step: int = -1,
        feature_names: Sequence[str] | None = None,
        time: Time = None,
        ax: AxesLike | None = None,
        cmap: str | Colormap = "RdBu_r",
        heatmap_kw: Keywords = None,
        bar_kw: Keywords = None,
    ) -> AttributionDisplay:
        """Explain one prediction of a fitted network, and draw the explanation.

        Parameters
        ----------
        estimator : fitted LSTMRegressor or LSTMClassifier
            Or a Pipeline, TransformedTargetRegressor or search around one.

        X : array-like of shape (n_samples, n_timesteps, n_features) or (n_samples, n_columns), \
                or list of n_samples arrays of shape (n_timesteps_of_sample, n_features)
            Sequences, as `predict` takes them.

        sample : int, default=0
            Which of them to explain; negative numbers count from the last.

        baseline : float or array-like, default=None
            As for :func:`integrated_gradients`.

        background : array-like shaped as X, default=None
            As for :func:`expected_gradients`, which is used if there is one.

        n_background : int, default=100
            As for :func:`expected_gradients`.

        random_state : int, RandomState instance or None, default=None
            As for :func:`expected_gradients`.

        lengths : array-like of int of shape (n_samples,), default=None
            Time steps of each sample; None means all. The padding is not drawn.

        output : int, default=0
            Which prediction to explain: column of `predict` or of `predict_proba`.

        step : int, default=-1
            As for :func:`integrated_gradients`.

        feature_names : array-like of str of shape (n_features,), default=None
            Names of the features.

        time : array-like of shape (n_timesteps,), default=None
            What the time steps are called. Increasing numbers or dates also give their places; anything
            else are labels of steps at equal distances. None counts from 0.

        ax : matplotlib Axes or array-like of Axes of shape (2, 2), default=None
            As for :meth:`plot`.

        cmap : str or matplotlib Colormap, default="RdBu_r"
            As for :meth:`plot`.

        heatmap_kw, bar_kw : dict, default=None
            As for :meth:`plot`.

        Returns
        -------
        display : :class:`~pylstm.inspection.AttributionDisplay`
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError, TypeError, ValueError
            As :func:`integrated_gradients`; also if there is no such sample, or both a baseline and a
            background are given.

        Examples
        --------
        >>> import matplotlib.pyplot as plt  # doctest: +SKIP
        >>> import numpy as np
        >>> from pylstm import LSTMRegressor, sliding_windows
        >>> from pylstm.inspection import AttributionDisplay
        >>> X, y = sliding_windows(np.sin(np.arange(120) / 2), window=24)
        >>> model = LSTMRegressor(hidden_size=4, tol=1e-2, random_state=0).fit(X, y)
        >>> AttributionDisplay.from_estimator(model, X, background=X)  # doctest: +SKIP
        <...>
        >>> plt.show()  # doctest: +SKIP
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        if baseline is not None and background is not None:
            raise ValueError("Pass a baseline or a background, not both.")
        n_samples = _num_samples(X)
        _check_index("sample", sample, n_samples)
        row = [int(sample) % n_samples]
        # Only this sample is explained: there may be many.
        if is_list_of_sequences(X):  # alone, it could not be told from sequences of one length
            refuse_lengths_of_list(lengths)
            X = np.asarray(X[row[0]])[np.newaxis]
            lengths = [X.shape[1]]
        else:
            if lengths is not None:
                check_consistent_length(lengths, range(n_samples))
                lengths = np.asarray(lengths)[row]
            X = _safe_indexing(X, row)
        length = None if lengths is None else int(lengths[0])
        options: dict[str, Any] = {"lengths": lengths, "outputs": output, "step": step}
        if background is None:
            attributions = integrated_gradients(estimator, X, baseline=baseline, **options)
        else:
            attributions = expected_gradients(
                estimator,
                X,
                background,
                n_background=n_background,
                random_state=random_state,
                **options,
            )
        return cls.from_attributions(
            attributions,
            length=length,
            feature_names=feature_names,
            time=time,
            ax=ax,
            cmap=cmap,
            heatmap_kw=heatmap_kw,
            bar_kw=bar_kw,
        )

    def plot(
        self,
        ax: AxesLike | None = None,
        *,
        cmap: str | Colormap = "RdBu_r",
        heatmap_kw: Keywords = None,
        bar_kw: Keywords = None,
    ) -> AttributionDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes of shape (2, 2), default=None
            A single axes gives the place within which the panels are made; an array gives the
            panels themselves; None makes a new figure.

        cmap : str or matplotlib Colormap, default="RdBu_r"
            Colours of the heat map, with zero in the middle.

        heatmap_kw : dict, default=None
            Keywords for `matplotlib.axes.Axes.pcolormesh`, for the heat map.

        bar_kw : dict, default=None
            Keywords for `matplotlib.axes.Axes.bar` and `barh`, for the bars, such as `color`.

        Returns
        -------
        display : :class:`~pylstm.inspection.AttributionDisplay`
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the number of axes is none of the above.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        values, sequence = np.asarray(self.values), np.asarray(self.sequence)
        self._make_axes(ax)
        (top, corner), (over_time, over_features) = self.axes_
        places = places_of(self.time, len(values))
        self._draw_sequence(top, sequence, places)
        self.heatmap_ = self.time_bars_ = None
        if values.shape[1] == 1:
            self._draw_time_bars(over_time, values[:, 0], places, bar_kw)
        else:
            self._draw_heatmap(over_time, values, places, {"cmap": cmap, **(heatmap_kw or {})})
        over_time.set_title("Contribution to the prediction", loc="left", fontsize="medium")
        for panel in (top, over_time):
            label_time(panel, self.time, places, with_labels=panel is over_time)
        self._draw_feature_bars(over_features, bar_kw)
        corner.set_axis_off()
        corner.text(
            0.0, 0.5,
            f"Prediction {self.prediction:.4g}\n= base value {self.base_value:.4g}\n"
            f"{'+' if values.sum() >= 0 else '$-$'} contributions {abs(values.sum()):.4g}",
            transform=corner.transAxes,
            va="center",
            linespacing=1.6,
        )  # fmt: skip
        return self

    def _make_axes(self, ax: AxesLike | None) -> None:
        """Set `figure_` and `axes_`."""
        import matplotlib.pyplot as plt

        ratios: dict[str, Any] = {"width_ratios": (4, 1)}
        if ax is None:
            self.figure_, self.axes_ = plt.subplots(
                *_SHAPE, figsize=(11, 5), layout="constrained", gridspec_kw=ratios
            )
        elif isinstance(ax, plt.Axes):
            ax.set_axis_off()
            self.figure_ = ax.figure
            spec = ax.get_subplotspec()
            if spec is not None:
                self.axes_ = np.asarray(spec.subgridspec(*_SHAPE, hspace=0.4, **ratios).subplots())
                return
            place = ax.get_position()  # placed by hand
            grid = ax.figure.add_gridspec(
                *_SHAPE, left=place.x0, right=place.x1, bottom=place.y0, top=place.y1, hspace=0.4,
                **ratios,
            )  # fmt: skip
            self.axes_ = np.asarray(grid.subplots())
        else:
            self.axes_ = np.asarray(ax, dtype=object)
            if self.axes_.size != np.prod(_SHAPE):
                raise ValueError(
                    f"Expected ax to have {np.prod(_SHAPE)} axes, got {self.axes_.size}"
                )
            self.axes_ = self.axes_.reshape(_SHAPE)
            self.figure_ = self.axes_[0, 0].figure

    def _names(self) -> list[str]:
        n_features = np.shape(self.values)[1]
        if self.feature_names is not None:
            return [str(name) for name in self.feature_names]
        return [f"Feature {number}" for number in range(n_features)]

    def _draw_sequence(self, panel: Axes, sequence: Floats, places: Places) -> None:
        panel.set_title("Input", loc="left", fontsize="medium")
        n_features = sequence.shape[1]
        self.lines_ = []
        if n_features > len(LINE_STYLES):
            # Of different units: each row from its least to its largest value.
            low, high = np.nanmin(sequence, axis=0), np.nanmax(sequence, axis=0)
            shares = (sequence - low) / np.where(high > low, high - low, 1)
            panel.pcolormesh(edges(places), np.arange(n_features + 1) - 0.5, shares.T, cmap="Greys")
            label_rows(panel, "", self._names())
            return
        self.lines_ = [
            panel.plot(places, values, color="0.2", linestyle=style, linewidth=1.5)[0]
            for values, style in zip(sequence.T, LINE_STYLES, strict=False)
        ]
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        if n_features == 1 and self.feature_names is not None:
            panel.set_ylabel(self._names()[0])
        elif n_features > 1:
            panel.legend(
                self.lines_, self._names(), loc="lower right", bbox_to_anchor=(1, 1), frameon=False,
                borderaxespad=0, fontsize="small", ncols=n_features, handlelength=1.5,
            )  # fmt: skip

    def _draw_time_bars(
        self, panel: Axes, values: Floats, places: Places, bar_kw: Keywords
    ) -> None:
        borders = edges(places)
        self.time_bars_ = panel.bar(
            places,
            values,
            width=0.8 * np.diff(borders),
            **{"color": _colors(values), **(bar_kw or {})},
        )
        panel.axhline(0, color="0.6", linewidth=0.8, zorder=0)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)

    def _draw_heatmap(
        self, panel: Axes, values: Floats, places: Places, heatmap_kw: dict[str, Any]
    ) -> None:
        largest = limit(values)
        self.heatmap_ = panel.pcolormesh(
            edges(places),
            np.arange(values.shape[1] + 1) - 0.5,
            values.T,
            **{"vmin": -largest, "vmax": largest, **heatmap_kw},
        )
        label_rows(panel, "", self._names())
        draw_colorbar(panel, self.heatmap_)

    def _draw_feature_bars(self, panel: Axes, bar_kw: Keywords) -> None:
        sums, names = self.feature_sums, self._names()
        height = 0.8 if len(sums) > 1 else 0.2
        self.feature_bars_ = panel.barh(
            np.arange(len(sums)),
            sums,
            height=height,
            **{"color": _colors(sums), **(bar_kw or {})},
        )
        panel.axvline(0, color="0.6", linewidth=0.8, zorder=0)
        label_rows(panel, "", names)
        panel.set_title("Sum over time", loc="left", fontsize="medium")
        panel.margins(x=0.1)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(left=False, labelleft=len(names) > 1)


def _colors(values: Floats) -> list[str]:
    return [_MORE if value >= 0 else _LESS for value in values]


def _check_index(name: str, number: object, size: int) -> None:
    if not isinstance(number, Integral) or not -size <= int(number) < size:
        raise ValueError(f"{name} must be an integer from {-size} to {size - 1}, got {number!r}.")
