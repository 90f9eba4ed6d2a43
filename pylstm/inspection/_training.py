"""How the training of a fitted LSTM went, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

from .._typing import Estimator, Floats, NDArray
from .._unwrap import unwrap
from ._drawing import COLORS, Keywords

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D

    from ._drawing import AxesLike


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
        ax: AxesLike | None = None,
        name: str | None = None,
        loss_kw: Keywords = None,
        score_kw: Keywords = None,
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
        ax: AxesLike | None = None,
        *,
        name: str | None = None,
        loss_kw: Keywords = None,
        score_kw: Keywords = None,
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
                "color": COLORS[color % len(COLORS)],
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
                    "color": COLORS[(color + 1) % len(COLORS)],
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
