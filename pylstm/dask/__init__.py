"""The estimators on many machines, by Dask: they learn from Dask arrays and DataFrames where these are.

Needs the extra `dask`, which is imported at the first use.
"""

from ._estimators import DaskLSTMClassifier, DaskLSTMRegressor

__all__ = ["DaskLSTMClassifier", "DaskLSTMRegressor"]
