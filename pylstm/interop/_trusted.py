"""What a skops file of a fitted model may name."""

from .. import core, training
from .._classifier import LSTMClassifier
from .._fitting import Weights
from .._layout import SequenceLayout
from .._options import Dimensions
from .._regressor import LSTMRegressor
from .._scaler import SequenceScaler
from .._units import Standard, Units

# Not Checkpoint: a file that names one could have a later fit write wherever it says.
_TRUSTED = (
    LSTMRegressor,
    LSTMClassifier,
    SequenceScaler,
    SequenceLayout,
    core.SquaredError,
    core.AbsoluteError,
    core.Huber,
    core.Quantile,
    core.Poisson,
    core.Gaussian,
    core.LogLoss,
    core.Adam,
    core.AdamW,
    core.RMSprop,
    core.SGD,
    training.StepDecay,
    training.CosineDecay,
    training.ReduceOnPlateau,
    training.EMA,
    training.SWA,
    training.TimeLimit,
    # What a fitted model consists of
    core.Architecture,
    Dimensions,
    Standard,
    Units,
    Weights,
    training._EMAState,
    training._SWAState,
)


def trusted_types() -> list[str]:
    """Names of the types that a skops file of a fitted model holds: to load them runs no code of the file's.

    For ``skops.io.load(path, trusted=trusted_types())`` and
    ``mlflow.sklearn.log_model(model, skops_trusted_types=trusted_types())``. They hold settings and
    arrays, and reading one calls nothing that the file could choose.

    Returns
    -------
    names : list of str
        All types of pylstm that a fitted estimator, a transformer, or a pipeline of them, consists of,
        but for callbacks: besides :class:`pylstm.training.TimeLimit` there are none among them.

    See Also
    --------
    load_model : Reads files that it checks to the last number, from people you do not know too.

    Notes
    -----
    That no code runs does not make a file right: skops takes numbers and shapes as they stand in it,
    and arrays that do not fit each other may crash the process. Load the skops files of people you
    trust; for others there is :func:`save_model`.

    Examples
    --------
    >>> from pylstm.interop import trusted_types
    >>> "pylstm.LSTMRegressor" in trusted_types(), "pylstm.core.SquaredError" in trusted_types()
    (True, True)
    """
    return [f"{cls.__module__}.{cls.__name__}" for cls in _TRUSTED]
