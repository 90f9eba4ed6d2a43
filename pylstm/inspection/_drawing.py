"""What the displays draw alike: places and labels of time steps, rows of heat maps, colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .._typing import Floats, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh

    AxesLike: TypeAlias = Axes | Sequence[Axes] | NDArray[np.object_]

Keywords: TypeAlias = dict[str, Any] | None
Places: TypeAlias = NDArray[Any]  # numbers, of any kind
Time: TypeAlias = Sequence[Any] | NDArray[Any] | None

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
LINE_STYLES = ["-", "--", ":", "-."]  # features, so that their lines are not taken for units


def check_time(time: Time, length: int, n_steps: int) -> Time:
    """The names of a sequence's `length` time steps, out of those of all `n_steps` with padding."""
    if time is None:
        return None
    if len(time) not in (length, n_steps):
        raise ValueError(f"time has {len(time)} entries, but the sequence has {length} time steps.")
    return np.asarray(time)[:length]


def as_drawn(time: NDArray[Any]) -> NDArray[Any]:
    """Times as displays take them: periods by their start, dates as their zone's clocks show them."""
    if time.dtype != object:
        return time
    import pandas as pd

    index = pd.Index(time)
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    elif isinstance(index, pd.DatetimeIndex):
        index = index.tz_localize(None)
    return np.asarray(index)


def _is_place(time: Time) -> bool:
    """Whether `time` says where the steps lie, and not only what they are called."""
    time = np.asarray(time)
    return time.dtype.kind in "iufM" and bool((time[1:] > time[:-1]).all())


def places_of(time: Time, n_steps: int) -> Places:
    """Where the time steps lie on the horizontal axis."""
    if time is None or not _is_place(time):
        return np.arange(n_steps)
    time = np.asarray(time)
    if time.dtype.kind != "M":
        return time
    from matplotlib.dates import date2num

    places: Places = date2num(time)
    return places


def label_time(panel: Axes, time: Time, places: Places, *, with_labels: bool) -> None:
    """Give a panel's horizontal axis its limits and, if it is to have some, its labels."""
    from matplotlib import dates, ticker

    limits = edges(places)
    panel.set_xlim(limits[0], limits[-1])
    panel.tick_params(labelbottom=with_labels)
    axis = panel.xaxis
    if time is None:
        axis.set_major_locator(ticker.MaxNLocator("auto", integer=True))
        panel.set_xlabel("Time step" if with_labels else "")
    elif not _is_place(time):
        labels = [str(label) for label in time]
        axis.set_major_locator(ticker.MaxNLocator("auto", integer=True))
        axis.set_major_formatter(
            lambda place, _: labels[round(place)] if 0 <= place < len(labels) else ""
        )
    elif np.asarray(time).dtype.kind == "M":
        locator = dates.AutoDateLocator()
        axis.set_major_locator(locator)
        axis.set_major_formatter(dates.ConciseDateFormatter(locator))


def edges(places: Places) -> Floats:
    """The limits between neighbouring places, and those around all."""
    places = np.asarray(places, dtype=float)
    if len(places) == 1:
        return np.array([places[0] - 0.5, places[0] + 0.5])
    inner = (places[:-1] + places[1:]) / 2
    return np.concatenate([[2 * places[0] - inner[0]], inner, [2 * places[-1] - inner[-1]]])


def limit(values: NDArray[Any]) -> float:
    """The largest absolute value; 1 if there is none, so that it can be a limit of an axis."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) or 1.0


def label_rows(panel: Axes, label: str, names: Iterable[object]) -> None:
    """Name the rows of a heat map, the first of them at the top."""
    from matplotlib.ticker import MaxNLocator

    labels = [str(name) for name in names]
    panel.set_ylim(len(labels) - 0.5, -0.5)
    panel.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    panel.yaxis.set_major_formatter(
        lambda place, _: labels[round(place)] if 0 <= place < len(labels) else ""
    )
    panel.set_ylabel(label)


def draw_colorbar(panel: Axes, mesh: QuadMesh) -> None:
    # In the panel's own place, so that it does not matter how the figure is laid out.
    bar = panel.figure.colorbar(mesh, cax=panel.inset_axes((1.015, 0, 0.02, 1)))
    bar.outline.set_visible(False)


def draw_interval(
    ax: Axes, x: Places, bounds: Sequence[Floats], color: str, interval: float | None
) -> None:
    """Fill what lies between two bounds; a probability is named in the legend."""
    label = None if interval is None else f"{interval:.0%} interval"
    lower, upper = bounds
    ax.fill_between(x, lower, upper, color=color, alpha=0.2, linewidth=0, label=label)
