"""Many series, many networks: a forecaster for each series of a panel, fitted in partitions by joblib."""

import copy
import pickle
import warnings
from collections.abc import Iterable
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from sklearn import config_context, get_config
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.utils._param_validation import Interval, validate_params
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from ._forecaster import LSTMForecaster
from ._panel import (
    Panel,
    Series,
    give_back,
    is_frame,
    is_pandas,
    part_series,
    quoted,
    read_panel,
)
from ._public import public_in
from ._regressor import LSTMRegressor
from ._typing import Estimator
from ._units import single_threaded_blas
from ._validation import POSITIVE_INTEGER
from ._warnings import users_level
from .forecasting import Forecast

_PROBABILITY = Interval(Real, 0, 1, closed="neither")

# Series that a warning names.
_N_NAMED = 10


@public_in("pylstm")
class LSTMForecasterPerSeries(BaseEstimator):
    """A forecaster of its own for each of many series.

    Where series have little in common, each is to have a network of its own; where they are alike, one
    network for all, an :class:`LSTMForecaster` fitted to the panel, learns more and takes less time. A
    series that cannot be fitted, too short or with values missing, does not stop the others: `failures_`
    says why.

    The work is done in partitions of many series by joblib: in this process, in threads (`with
    joblib.parallel_config("threading"):`), in processes, or on a Dask cluster (`"dask"`). Forecasts are
    the same bits whichever it is, for any `n_jobs` and `partition_size`.

    Parameters
    ----------
    forecaster : LSTMForecaster, default=None
        What is fitted to each series; None means `LSTMForecaster()`. With an int as its `random_state`
        each series is fitted with this same int, just as if it were alone. From a RandomState instance a seed
        is drawn for each series, in their order.

    n_jobs : int, default=None
        Partitions that are worked on at a time, as joblib takes it.

    partition_size : int, default=100
        Series that are sent to a worker at a time. One fit takes milliseconds, so that a few
        would not pay for their journey.

    Attributes
    ----------
    forecasters_ : dict of LSTMForecaster
        By the series' name, or for a list by position: the fitted ones, which can do whatever an
        `LSTMForecaster` can. Their models are without what only further training needs (see
        :meth:`LSTMRegressor.without_optimizer`).

    failures_ : dict of Exception
        By the name of each series that could not be fitted, its error.

    series_ : object
        The series that were fitted, from whose ends `forecast` goes on.

    See Also
    --------
    LSTMForecaster : One network, for one or many series.

    Notes
    -----
    What a series' network learns depends on its own values alone. The frequency of times that are not told
    one (`freq`) is that of the whole panel, as `LSTMForecaster` has it; if its times do not follow one,
    that of each series.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from pylstm import LSTMForecaster, LSTMForecasterPerSeries, LSTMRegressor
    >>> t = np.arange(60)
    >>> season = np.sin(2 * np.pi * t / 12)
    >>> shops = {"north": 10 + season, "south": 200 + t - 5 * season, "new": np.arange(3.0)}
    >>> network = LSTMRegressor(
    ...     8, loss="gaussian", highway="all", max_iter=20, n_iter_no_change=np.inf
    ... )
    >>> forecaster = LSTMForecaster(window=12, horizon=6, estimator=network, random_state=0)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # which say that one is too short
    ...     each = LSTMForecasterPerSeries(forecaster).fit(shops)
    >>> str(each.failures_["new"]).partition(",")[0]
    'The series has 3 steps'
    >>> {name: values.shape for name, values in each.forecast(6, interval=None).items()}
    {'north': (6,), 'south': (6,)}
    """

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's name and form)
        "forecaster": [LSTMForecaster, None],
        "n_jobs": [Integral, None],
        "partition_size": [POSITIVE_INTEGER],
    }

    def __init__(
        self,
        forecaster: Estimator = None,
        *,
        n_jobs: int | None = None,
        partition_size: int = 100,
    ):
        self.forecaster = forecaster
        self.n_jobs = n_jobs
        self.partition_size = partition_size

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, series: Any, y: Any = None) -> "LSTMForecasterPerSeries":
        """Fit a forecaster to each series.

        Parameters
        ----------
        series : array-like, Series, DataFrame, or list or dict of these
            The series up to now, in any form that :meth:`LSTMForecaster.fit` takes.

        y : None
            Not used; here for scikit-learn's sake.

        Returns
        -------
        self : LSTMForecasterPerSeries
            The fitted forecasters.

        Raises
        ------
        TypeError, ValueError
            If no series can be fitted, with the error of the first; if a parameter is wrong or the series
            come in no such form.

        KeyboardInterrupt
            At Ctrl-C. If some partitions are done their forecasters are kept, and all other series are among
            `failures_`; otherwise it stays as it was.

        Warns
        -----
        UserWarning
            If some series could not be fitted: one warning that names them.
        """
        forecaster = LSTMForecaster() if self.forecaster is None else clone(self.forecaster)
        forecaster._validate_params()
        given = _read(series, forecaster)
        seeds = _seeds(forecaster.random_state, len(given.names))
        tasks = (
            delayed(_fit_partition)(forecaster, part, [seeds[position] for position in positions])
            for positions, part in given.partitions(self.partition_size)
        )
        results: list[Any] = []
        interrupt = None
        try:
            self._run(tasks, results)
        except KeyboardInterrupt as caught:
            interrupt = caught
            if all(isinstance(result, Exception) for result in results):
                raise
        fitted, failures = {}, {}
        for position, result in enumerate(given.by_position(results)):
            name = given.names[position]
            if isinstance(result, LSTMForecaster):
                result.series_ = given.each.piece(position)
                fitted[name] = result
            else:
                failures[name] = KeyboardInterrupt() if result is None else result
        if interrupt is None:
            _report(failures, len(given.names), "fitted", "failures_ holds their errors")
        self.forecasters_, self.failures_, self.series_ = fitted, failures, series
        if interrupt is not None:
            done = f"{len(fitted)} of {len(given.names)} series"
            interrupt.args = (f"Fitting was interrupted after {done}, whose forecasters are kept.",)
            raise interrupt
        return self

    @validate_params(
        {"steps": [POSITIVE_INTEGER, None], "interval": [_PROBABILITY, None]},
        prefer_skip_nested_validation=True,
    )
    def forecast(
        self,
        steps: int | None = None,
        interval: float | None = 0.8,
        *,
        known: Any = None,
        series: Any = None,
    ) -> Any:
        """Forecast what follows each series.

        Parameters
        ----------
        steps : int, default=None
            How many time steps; None means the forecaster's `horizon`.

        interval : float or None, default=0.8
            The probability, between 0 and 1, with which each value shall lie between the bounds; None for
            no bounds.

        known : array-like, DataFrame or dict or list of these, default=None
            The features known in advance at the steps to forecast, if there are some: a long DataFrame, a
            dict or a list with those of each series, or one table or array for all.

        series : array-like, Series, DataFrame, or list or dict of these, default=None
            Series to forecast, up to now; None means those of `fit`. Each must be one of these by its name,
            with a window's steps.

        Returns
        -------
        forecast : Forecast, DataFrame, or list or dict of Forecast
            In the form of the series, as :meth:`LSTMForecaster.forecast` gives it. Of series without a
            forecaster, or whose forecast fails, there are no rows in a DataFrame and no key in a dict; in
            a list there is None.

        Raises
        ------
        NotFittedError
            If nothing is fitted.

        TypeError, ValueError
            If a series was not among those of `fit`, or no series can be forecast, with the error of the
            first.

        Warns
        -----
        UserWarning
            If some series could not be forecast: one warning that names them.
        """
        check_is_fitted(self, "forecasters_")
        one = next(iter(self.forecasters_.values()))
        given = _read(self.series_ if series is None else series, one)
        fitted = self.forecasters_.keys() | self.failures_.keys()
        stranger = next((name for name in given.names if name not in fitted), None)
        if stranger is not None:
            raise ValueError(
                f"There is no forecaster of series {quoted(stranger)}: it was not among the series "
                "of fit. Fit again with it, or leave it out."
            )
        forecasters = [self.forecasters_.get(name) for name in given.names]
        if not any(forecasters):
            raise ValueError(
                "None of these series has a forecaster: failures_ holds the errors of their fits."
            )
        known = _known_of_each(known, given.each, forecasters, one)
        tasks = (
            delayed(_forecast_partition)(
                [_lean(forecasters[position]) for position in positions],
                part,
                [known[position] for position in positions],
                steps,
                interval,
            )
            for positions, part in given.partitions(self.partition_size)
        )
        results: list[Any] = []
        self._run(tasks, results)
        results = given.by_position(results)
        of_forecasters = zip(given.names, results, forecasters, strict=True)
        errors = {
            name: result
            for name, result, forecaster in of_forecasters
            if forecaster is not None and isinstance(result, Exception)
        }
        n_forecasters = len(forecasters) - forecasters.count(None)
        _report(errors, n_forecasters, "forecast", "they are left out")
        return _assembled(given, [None if isinstance(r, Exception) else r for r in results])

    def _run(self, tasks: Iterable, results: list) -> None:
        """Do tasks, each of which gives a list, and add what they give as soon as it is there."""
        with single_threaded_blas():
            for some in _parallel(self.n_jobs)(tasks):
                results += some


def _parallel(n_jobs):
    """Gives results as they come, so that those are kept at Ctrl-C: if joblib can."""
    try:
        return Parallel(n_jobs=n_jobs, return_as="generator")
    except (TypeError, ValueError):  # joblib before 1.3, the backend multiprocessing
        return Parallel(n_jobs=n_jobs)


class _Given(NamedTuple):
    """Series as they were given."""

    each: Series
    panel: Panel | None  # of those at `positions`, where their form allows them to be read at once
    positions: list[int]
    errors: dict[int, Exception]  # of those that cannot be read, by their positions

    @property
    def names(self):
        return self.each.names

    def partitions(self, size):
        """Positions of series, and what a worker is sent of them: a panel, or the series as they came."""
        n = len(self.positions)
        bounds = [*range(0, n, size), n]
        chosen = [self.positions[a:b] for a, b in pairwise(bounds)]
        if self.panel is not None:
            return zip(chosen, self.panel.parts(bounds), strict=True)
        return ((some, [self.each.piece(position) for position in some]) for some in chosen)

    def by_position(self, results):
        """What became of each series: its error, its result, or None for those not come to."""
        found = dict(zip(self.positions, results, strict=False)) | self.errors
        return [found.get(position) for position in range(len(self.names))]


def _read(series, forecaster):
    """Series, read at once if they can be: that takes a hundredth of the time of one by one."""
    each = part_series(series, forecaster.id_col, forecaster.time_col)
    one_by_one = _Given(each, None, list(range(len(each.names))), {})
    if forecaster.known or forecaster.static:
        return one_by_one
    panel, errors = _attempt(_as_panel, series, forecaster._settings), {}
    there = one_by_one.positions
    if isinstance(panel, Exception):
        errors = _unreadable(each, forecaster._settings)
        there = [position for position in there if position not in errors]
        if not there:
            return _Given(each, None, [], errors)
        panel = _attempt(_as_panel, each.some(there), forecaster._settings)
    # Each by itself may be right, and all together be not; or their one feature have several names.
    if isinstance(panel, Exception) or len(set(map(_name_of, panel.tables))) > 1:
        return one_by_one
    return _Given(each, panel, there, errors)


def _unreadable(each, settings):
    """The errors of series that cannot be read even alone, by position: found by halving."""
    errors: dict[int, Exception] = {}
    unread = [list(range(len(each.names)))]
    while unread:
        positions = unread.pop()
        found = _attempt(_as_panel, each.some(positions), settings)
        if not isinstance(found, Exception):
            continue
        if len(positions) == 1:
            errors[positions[0]] = found
        else:
            half = len(positions) // 2
            unread += [positions[half:], positions[:half]]
    return errors


def _name_of(table):
    return table.name if is_pandas(table) and table.ndim == 1 else None


def _as_panel(series, settings):
    panel = read_panel(series, *settings)
    panel.rows()  # which may be no numbers
    return panel


def _seeds(random_state, n_series):
    """A seed for each series from a random stream; None where that of the forecaster stays."""
    if isinstance(random_state, np.random.RandomState):
        return random_state.randint(np.iinfo(np.int32).max, size=n_series).tolist()
    return [None] * n_series


def _known_of_each(known, each, forecasters, one):
    """The known features of each series."""
    is_long = is_frame(known) and one.id_col in known.columns
    if known is None or each.form == "one" or (is_frame(known) and not is_long):
        return [known] * len(forecasters)
    parts = part_series(known, one.id_col, one.time_col)
    if parts.form == "one":
        return [known] * len(forecasters)
    if parts.form != each.form and "list" in (parts.form, each.form):
        raise TypeError(
            f"known must be in the form of the series, or one for all; got a {parts.form} for a "
            f"{each.form}."
        )
    places = {name: position for position, name in enumerate(parts.names)}
    pairs = list(zip(each.names, forecasters, strict=True))
    absent = [name for name, own in pairs if own is not None and name not in places]
    if absent:
        raise ValueError(f"known has no series {quoted(absent[0])}.")
    return [parts.piece(places[name]) if own is not None else None for name, own in pairs]


def _report(errors, n_series, what, where):
    """Warn of series that failed, by name; raise if none did not."""
    if not errors:
        return
    name, error = next(iter(errors.items()))
    if len(errors) == n_series:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        if n_series == 1:
            raise kind(str(error)) from error
        message = f"None of {n_series} series could be {what}. The error of {quoted(name)}: {error}"
        raise kind(message) from error
    named = ", ".join(map(quoted, list(errors)[:_N_NAMED]))
    more = ", ..." if len(errors) > _N_NAMED else ""
    warnings.warn(
        f"{len(errors)} of {n_series} series could not be {what} ({where}): {named}{more}. The "
        f"error of {quoted(name)}: {error}",
        stacklevel=users_level(),
    )


# -- what workers do -------------------------------------------------------------------------------


def _fit_partition(forecaster, part, seeds):
    """Fitted forecasters of some series, or what went wrong."""
    results, skips = [], get_config()["skip_parameter_validation"]
    for series, seed in zip(_one_by_one(part), seeds, strict=True):
        # Parameters that one fit has found right are right for the next.
        with config_context(skip_parameter_validation=skips):
            results.append(_attempt(_fit_one, forecaster, series, seed))
        skips = skips or not isinstance(results[-1], Exception)
    return results


def _fit_one(forecaster, series, seed):
    fitted = copy.copy(forecaster)
    if seed is not None:
        fitted.random_state = seed
    fitted.fit(series)
    if isinstance(fitted.model_, LSTMRegressor):
        fitted.model_ = fitted.model_.without_optimizer()
    return _lean(fitted)


def _forecast_partition(forecasters, part, known, steps, interval):
    """Forecasts of some series, or what went wrong; None where there is no forecaster."""
    each = zip(forecasters, _one_by_one(part), known, strict=True)
    return [
        None if forecaster is None else _attempt(_forecast_one, forecaster, *rest, steps, interval)
        for forecaster, *rest in each
    ]


def _forecast_one(forecaster, series, known, steps, interval):
    if not isinstance(series, Panel):
        return forecaster.forecast(steps, interval, known=known, series=series)
    found = forecaster._forecast(series, steps, interval, known)
    return found.results, found.columns


def _one_by_one(part):
    return part.each() if isinstance(part, Panel) else part


def _attempt(function, *args):
    """What a function returns, or the error that it raises: as an object that can be sent."""
    try:
        return function(*args)
    except Exception as caught:
        error = caught.with_traceback(None)
        error.__cause__ = error.__context__ = None
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            return RuntimeError(f"{type(error).__name__}: {error}")
        return error


def _lean(forecaster):
    """A forecaster without its series, which travel by themselves."""
    if forecaster is None:
        return None
    lean = copy.copy(forecaster)
    lean.series_ = None
    return lean


# -- giving back -----------------------------------------------------------------------------------


def _assembled(given, results):
    """Forecasts of each series, None where there is none, in the form in which the series came."""
    form, panel = given.each.form, given.panel
    there = [position for position in range(len(results)) if results[position] is not None]
    if panel is not None:
        place = {position: place for place, position in enumerate(given.positions)}
        if form == "long":
            arrays, columns = zip(*(results[position] for position in there), strict=True)
            joined = [np.concatenate(parts) for parts in zip(*arrays, strict=True)]
            ends = panel.ends([place[position] for position in there])
            return give_back(ends, joined, columns[0], Forecast)
        for position in there:
            alone = give_back(panel.ends([place[position]]), *results[position], Forecast)
            results[position] = alone if form == "one" else next(iter(_values(alone)))
    if form == "long":
        import pandas as pd

        return pd.concat([results[position] for position in there], ignore_index=True)
    if form == "dict":
        return {given.names[position]: results[position] for position in there}
    return results if form == "list" else results[0]


def _values(forecasts):
    return forecasts.values() if isinstance(forecasts, dict) else forecasts


# For doctest, which looks for the classes of this module by the name of it.
__test__ = {"LSTMForecasterPerSeries": LSTMForecasterPerSeries}
