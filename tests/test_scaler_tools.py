"""`SequenceScaler` among scikit-learn's tools: DataFrames, pipelines, metadata."""

import warnings

import numpy as np
import pytest
from helpers.estimators import model
from helpers.series import LENGTHS, padded_and_list, random_series
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from pylstm import SequenceScaler


def test_set_output_makes_a_dataframe_of_2d_input():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        random_series(5, 4), columns=["a", "b", "c", "d"], index=[10, 11, 12, 13, 14]
    )
    scaler = SequenceScaler().set_output(transform="pandas").fit(frame)
    out = scaler.transform(frame)
    pd.testing.assert_index_equal(out.columns, frame.columns)
    pd.testing.assert_index_equal(out.index, frame.index)
    assert_allclose(out, SequenceScaler().fit_transform(frame))
    assert list(scaler.get_feature_names_out()) == ["a", "b", "c", "d"]


def test_3d_output_is_an_array_whatever_set_output_says():
    pytest.importorskip("pandas")
    X = random_series(20, 4, 3)
    expected = SequenceScaler().fit_transform(X)
    scaler = SequenceScaler().set_output(transform="pandas")
    assert type(scaler.fit_transform(X)) is type(scaler.transform(X)) is np.ndarray
    with config_context(transform_output="pandas"):
        assert_array_equal(SequenceScaler().fit_transform(X), expected)


def test_global_pandas_output_leaves_the_arithmetic_alone():
    pd = pytest.importorskip("pandas")
    X = random_series(20, 4)
    with config_context(transform_output="pandas"):
        out = SequenceScaler().fit_transform(X)
    assert isinstance(out, pd.DataFrame)
    assert_array_equal(out, SequenceScaler().fit_transform(X))


def test_renamed_columns_raise_in_transform():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(random_series(5, 2), columns=["a", "b"])
    scaler = SequenceScaler().fit(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        scaler.transform(frame.rename(columns={"a": "z"}))


def test_inverse_transform_does_not_ask_for_feature_names(recwarn):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(random_series(5, 2), columns=["a", "b"])
    scaler = SequenceScaler().fit(frame)
    assert_allclose(scaler.inverse_transform(scaler.transform(frame)), frame)
    assert not recwarn.list


def test_sample_weight_can_be_routed():
    X, y, weight = random_series(20, 4, 1), np.arange(20.0), np.arange(20.0)
    with config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(
            SequenceScaler().set_fit_request(sample_weight=True),
            FunctionTransformer(lambda X: X.reshape(len(X), -1)),
            Ridge().set_fit_request(sample_weight=True),
        )
        pipeline.fit(X, y, sample_weight=weight)
    assert_allclose(pipeline[0].mean_, SequenceScaler().fit(X, sample_weight=weight).mean_)


class RecordingRegressor(RegressorMixin, BaseEstimator):
    """Keeps what reaches it."""

    def fit(self, X, y, *, lengths=None):
        self.fitted_on_ = X, lengths
        return self

    def predict(self, X, *, lengths=None):
        self.predicted_for_ = X, lengths
        return np.zeros(len(X))


def test_lengths_can_be_routed_through_a_pipeline():
    X, _ = padded_and_list(np.inf)
    y = np.zeros(len(X))
    expected = SequenceScaler().fit_transform(X, lengths=LENGTHS)
    with config_context(enable_metadata_routing=True):
        scaler = SequenceScaler().set_fit_request(lengths=True).set_transform_request(lengths=True)
        regressor = RecordingRegressor()
        regressor.set_fit_request(lengths=True).set_predict_request(lengths=True)
        pipeline = make_pipeline(scaler, regressor)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pipeline.fit(X, y, lengths=LENGTHS)
            pipeline.predict(X, lengths=LENGTHS)
        for scaled, lengths in (regressor.fitted_on_, regressor.predicted_for_):
            assert_array_equal(scaled, expected)
            assert_array_equal(lengths, LENGTHS)

        with pytest.raises(UnsetMetadataPassedError, match="lengths"):
            make_pipeline(SequenceScaler(), regressor).fit(X, y, lengths=LENGTHS)
        scaler.set_inverse_transform_request(lengths=True).set_partial_fit_request(lengths=True)
        requests = scaler.get_metadata_routing()
        assert requests.inverse_transform.requests == {"lengths": True}
        assert requests.partial_fit.requests["lengths"] is True


def test_lengths_reach_a_pipeline_without_routing():
    X, _ = padded_and_list(np.inf)
    pipeline = make_pipeline(SequenceScaler(), RecordingRegressor())
    pipeline.fit(X, np.zeros(len(X)), sequencescaler__lengths=LENGTHS)
    assert_array_equal(
        pipeline[-1].fitted_on_[0], SequenceScaler().fit_transform(X, lengths=LENGTHS)
    )


def test_list_goes_through_a_pipeline():
    _, sequences = padded_and_list()
    pipeline = make_pipeline(SequenceScaler(), RecordingRegressor())
    pipeline.fit(sequences, np.zeros(len(sequences))).predict(sequences)
    expected = SequenceScaler().fit_transform(sequences)
    for received in (pipeline[-1].fitted_on_[0], pipeline[-1].predicted_for_[0]):
        for x, y in zip(received, expected, strict=True):
            assert_array_equal(x, y)


def test_padded_sequences_and_lists_are_the_same_to_a_pipeline_with_an_lstm():
    X, sequences = padded_and_list(np.inf)
    y = np.array([x.sum() for x in sequences])
    listed = make_pipeline(SequenceScaler(), model()).fit(sequences, y)
    with config_context(enable_metadata_routing=True):
        scaler = SequenceScaler().set_fit_request(lengths=True).set_transform_request(lengths=True)
        lstm = model().set_fit_request(lengths=True)
        lstm.set_predict_request(lengths=True)
        padded = make_pipeline(scaler, lstm).fit(X, y, lengths=LENGTHS)
        predicted = padded.predict(X, lengths=LENGTHS)
    assert_allclose(predicted, listed.predict(sequences), rtol=1e-5)
