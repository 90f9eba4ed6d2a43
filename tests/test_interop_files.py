"""save_model and load_model: the same model comes back, down to the last bit, and files are never half."""

import json
import os
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.estimators import (
    ALL_LOSSES,
    LABELS,
    LABELS_STEPS,
    LENGTHS,
    STATEFUL,
    Y_STEPS,
    X,
    Y,
    assert_same_fit,
    classifier,
    data_for,
    model,
    suiting,
    y,
)
from helpers.forecasts import SERIES
from helpers.interop import assert_same_state, copied, parts_of, saved
from numpy.testing import assert_array_equal
from programs import run_python
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from pylstm import LSTMRegressor, SequenceLayout, SequenceScaler, forecast, sliding_windows
from pylstm._files import replacing
from pylstm.core import Huber
from pylstm.interop import load_model, save_model
from pylstm.training import (
    EMA,
    SWA,
    Averaging,
    Checkpoint,
    CosineDecay,
    ReduceOnPlateau,
    Schedule,
    TrainingCallback,
)

PARAMETERS = {
    "defaults": {},
    "float64": {"dtype": "float64"},
    "stacked": {"num_layers": 2, "bidirectional": True, "dropout": 0.2, "recurrent_dropout": 0.1},
    "sequences": {"return_sequences": True, "missing": "mask", "solver": "adamw", "alpha": 0.01},
    "stateful": STATEFUL | {"solver": "rmsprop"},
    "EMA": {"averaging": EMA(0.9), "learning_rate": CosineDecay(warm_up=1)},
    "SWA": {"averaging": SWA(0.5), "solver": "sgd", "n_iter_no_change": np.inf},
    "SWA to come": {"averaging": SWA(0.9), "max_grad_norm": None},
    "early stopping": {"early_stopping": True, "learning_rate": ReduceOnPlateau(patience=2)},
    "own random state": {"random_state": np.random.RandomState(5), "loss": Huber(0.3)},
    "scaled by windows": {
        "window_scaling": "standard",
        "window_features": np.array([1]),
        "target_features": 1,
        "forget_bias": "chrono",
    },
    "highway": {"highway": 2, "loss": "quantile", "quantile": (0.1, 0.9), "warm_start": True},
    "as it is": {"standardize": False, "quantile": np.array([0.2, 0.4]), "loss": "quantile"},
    "NumPy's numbers": {"hidden_size": np.int64(3), "alpha": np.float32(0.1), "batch_size": 20},
}


@pytest.mark.parametrize("parameters", PARAMETERS.values(), ids=PARAMETERS)
def test_a_model_is_the_same_and_goes_on_training(parameters):
    data, targets = data_for(parameters)
    fitted = model(**(parameters | {"warm_start": True})).fit(data, targets)
    back = copied(fitted)
    for name, value in back.get_params().items():
        assert type(value) is type(getattr(fitted, name)) or isinstance(
            getattr(fitted, name), np.generic
        )
    assert_same_state(vars(back), vars(copied(back)))
    learned = {name: value for name, value in vars(fitted).items() if name[-1] == "_"}
    assert_same_state(learned, {name: vars(back)[name] for name in learned})
    assert vars(back).keys() == vars(fitted).keys()  # nothing that a fit sets is left out
    assert_same_state(vars(fitted._weights), vars(back._weights))
    assert_array_equal(back.predict(data), fitted.predict(data))
    assert_same_fit(back.fit(data, targets), fitted.fit(data, targets))


@pytest.mark.parametrize("loss", ALL_LOSSES, ids=repr)
def test_every_loss(loss):
    fitted = model(loss=loss).fit(X, suiting(loss, Y))
    back = copied(fitted)
    assert back.loss == fitted.loss
    assert back._loss == fitted._loss
    assert_array_equal(back.predict(X), fitted.predict(X))


LABEL_KINDS = {
    "texts": LABELS,
    "texts as objects": LABELS.astype(object),
    "a category": pd.Categorical(LABELS),
    "int8": (y > 0).astype(np.int8) - 1,
    "uint64": np.array([0, 2**64 - 1], np.uint64)[(y > 0).astype(int)],
    "float32": np.where(y > 0, 2, -1).astype(np.float32),
    "bool": y > 0,
    "days": np.where(y > 0, np.datetime64("2026-11-01"), np.datetime64("2026-11-02")),
    "one of many": np.where(y > 1, "x" * 30, LABELS),
}


@pytest.mark.parametrize("labels", LABEL_KINDS.values(), ids=LABEL_KINDS)
def test_classes_of_every_kind(labels):
    fitted = classifier().fit(X, labels)
    back = copied(fitted)
    assert_same_state(back.classes_, fitted.classes_)
    assert_array_equal(back.predict(X), fitted.predict(X))
    assert_array_equal(back.predict_proba(X), fitted.predict_proba(X))
    assert_array_equal(
        back.partial_fit(X, labels).predict_proba(X), fitted.partial_fit(X, labels).predict_proba(X)
    )


def test_class_weights_have_their_classes():
    weights = {"up": 2.0, "down": 0.5}
    assert copied(classifier(class_weight=weights).fit(X, LABELS)).class_weight == weights
    weights = {0: 2.0, 1: 1}
    assert copied(classifier(class_weight=weights).fit(X, y > 0)).class_weight == weights


def test_labels_by_time_step_and_lengths():
    fitted = classifier(return_sequences=True).fit(X, LABELS_STEPS, lengths=LENGTHS)
    back = copied(fitted)
    assert back.n_timesteps_ is None
    assert_array_equal(back.predict(X, lengths=LENGTHS), fitted.predict(X, lengths=LENGTHS))
    fitted = model(return_sequences=True).fit(X, Y_STEPS[..., 0])
    assert copied(fitted).predict(X).shape == (45, 6)


def test_names_of_columns_and_flat_windows():
    table = pd.DataFrame(X.reshape(45, -1), columns=[f"lag {k}" for k in range(12)])
    fitted = model(n_timesteps=6).fit(table, y)
    back = copied(fitted)
    assert_same_state(back.feature_names_in_, fitted.feature_names_in_)
    assert_array_equal(back.predict(table), fitted.predict(table))
    with pytest.raises(ValueError, match="feature names"):
        back.predict(table[table.columns[::-1]])


def test_streams_states_and_forecasts_are_the_same():
    windows, targets = sliding_windows(SERIES, 6)
    fitted = model(loss="gaussian").fit(windows, targets)
    back = copied(fitted)
    for one, other in zip(
        back.predict(windows, return_state=True, return_std=True),
        fitted.predict(windows, return_state=True, return_std=True),
        strict=True,
    ):
        assert_array_equal(one, other)
    assert_array_equal(back.transform(windows), fitted.transform(windows))
    for x in windows[0]:
        pair = back.stream().step(x), fitted.stream().step(x)
    assert pair[0] == pair[1]
    options = {"steps": 5, "interval": 0.8, "n_paths": 20, "random_state": 0}
    for pair in zip(
        forecast(back, SERIES, **options), forecast(fitted, SERIES, **options), strict=True
    ):
        assert_array_equal(*pair)


def test_a_model_without_its_optimizer_is_saved_as_one():
    small = model(averaging=EMA(0.9)).fit(X, y).without_optimizer()
    assert len(saved(small)) == len(saved(small, optimizer=False))
    assert_array_equal(copied(small).predict(X), small.predict(X))


def test_without_the_optimizer_a_file_is_small_and_predicts_the_same():
    fitted = model(hidden_size=16, averaging=EMA(0.9), warm_start=True).fit(X, y)
    back = copied(fitted, optimizer=False)
    assert len(saved(fitted, optimizer=False)) < 0.5 * len(saved(fitted))
    assert_array_equal(back.predict(X), fitted.predict(X))
    assert back._optimizer.n_steps == 0
    assert back.fit(X, y).n_iter_ == 6


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_callback_saves_the_model_in_the_course_of_its_training(tmp_path, early_stopping):
    path = tmp_path / "model.safetensors"

    class Save(TrainingCallback):
        def after_iteration(self, model, epoch, evals_log):
            if epoch == 3:
                save_model(model, path)

    options = {"early_stopping": early_stopping, "max_iter": 6}
    whole = model(callbacks=[Save()], **options).fit(X, y)
    left = load_model(path)
    assert left.n_iter_ == 4
    assert left.loss_ == left.loss_curve_[-1]
    assert_same_fit(left.set_params(warm_start=True, max_iter=2).fit(X, y), whole)


# -- around a network -----------------------------------------------------------------------------


def test_pipelines_and_target_transformers():
    fitted = TransformedTargetRegressor(
        make_pipeline(SequenceScaler(), model(loss="gaussian")), transformer=StandardScaler()
    ).fit(X, 1e4 + 100 * y, lstmregressor__sample_weight=np.arange(45.0))
    back = copied(fitted)
    assert_array_equal(back.predict(X), fitted.predict(X))
    assert_same_state(vars(back.transformer_), vars(fitted.transformer_))
    assert_same_state(vars(back.regressor_[0].scaler_), vars(fitted.regressor_[0].scaler_))
    assert repr(back) == repr(fitted)
    assert back.n_features_in_ == fitted.n_features_in_
    assert_array_equal(back.fit(X, y).predict(X), fitted.fit(X, y).predict(X))


def test_scalers_of_every_setting_and_columns():
    flat = X.reshape(45, -1).astype(np.float32)
    table = pd.DataFrame(flat, columns=[f"lag {k}" for k in range(12)])
    weight = np.linspace(0.5, 1, 45)
    for scaler in (
        StandardScaler(with_mean=False),
        StandardScaler(with_std=False),
        StandardScaler(with_mean=False, with_std=False),
        SequenceScaler(n_timesteps=6, with_std=False),
    ):
        pipeline = make_pipeline(scaler, "passthrough", model(n_timesteps=6))
        fitted = pipeline.fit(table, y, **{f"{pipeline.steps[0][0]}__sample_weight": weight})
        back = copied(fitted)
        assert_same_state(vars(back[0]), vars(fitted[0]))
        assert_array_equal(back.predict(table), fitted.predict(table))
        back[0].partial_fit(table)


def test_layouts_of_every_kind():
    flat = X.reshape(45, -1)
    table = pd.DataFrame(flat, columns=[f"{'ab'[k % 2]}_lag_{6 - k // 2}" for k in range(12)])
    more = table.assign(month=np.arange(45.0))
    for layout, given in (
        (SequenceLayout(), more),
        (SequenceLayout(6, order="steps", newest_first=True), flat),
        (SequenceLayout(5, n_features=2, order="features", exogenous="last_step"), flat),
        (SequenceLayout(order="features"), X),
    ):
        fitted = make_pipeline(layout, model()).fit(given, y)
        back = copied(fitted)
        assert_same_state(vars(back[0]), vars(fitted[0]))
        assert_array_equal(back.predict(given), fitted.predict(given))


def test_settings_of_scikit_learn_are_kept(metadata_routing):
    fitted = model().set_output(transform="pandas").set_fit_request(lengths=True)
    fitted.set_score_request(lengths="lengths_of_X").fit(X, y)
    scaler = SequenceScaler().set_fit_request(lengths=True).set_transform_request(lengths=True)
    back = copied(make_pipeline(scaler.fit(X), fitted))
    assert repr(back[1].get_metadata_routing()) == repr(fitted.get_metadata_routing())
    assert repr(back[0].get_metadata_routing()) == repr(scaler.get_metadata_routing())
    assert list(back[1].transform(X).columns) == list(fitted.transform(X).columns)


def test_callbacks_are_not_kept(tmp_path):
    fitted = model(callbacks=[Checkpoint(tmp_path / "model.joblib")]).fit(X, y)
    assert copied(fitted).callbacks is None


# -- what cannot be saved -------------------------------------------------------------------------


class OwnSchedule(Schedule):
    def factors(self, epochs, n_epochs, figures):
        return np.ones(len(epochs))


class OwnAverage(Averaging):
    def begin(self, parameters):
        return OwnState(self)


class OwnState:
    def __init__(self, settings):
        self.settings, self.parameters = settings, None

    def for_pass(self, n_updates):
        return None

    def after_epoch(self, parameters, epoch, n_epochs):
        pass


class OwnRegressor(LSTMRegressor):
    pass


UNSAVABLE = {
    "own schedule": (lambda: model(learning_rate=OwnSchedule()), "no form for learning_rate=<"),
    "own average": (lambda: model(averaging=OwnAverage()), "no form for averaging=<"),
    "other generator": (
        lambda: model(random_state=np.random.RandomState(np.random.PCG64(0))),
        "no form for random_state=",
    ),
    "subclass": (lambda: OwnRegressor(max_iter=1), "no form for OwnRegressor"),
    "search": (
        lambda: GridSearchCV(model(), {"hidden_size": [2]}, cv=2),
        "GridSearchCV.*save the best_estimator_",
    ),
    "other scaler": (
        lambda: make_pipeline(MinMaxScaler(), model(n_timesteps=6)),
        "no form for MinMaxScaler",
    ),
    "functions": (
        lambda: TransformedTargetRegressor(
            model(), func=np.log1p, inverse_func=np.expm1, check_inverse=False
        ),
        "no form for func=<ufunc 'log1p'> of TransformedTargetRegressor",
    ),
    "cache": (
        lambda: make_pipeline(StandardScaler(), model(n_timesteps=6), memory="cache"),
        "memory=None",
    ),
}


@pytest.mark.parametrize(("make", "message"), UNSAVABLE.values(), ids=UNSAVABLE)
def test_what_has_no_form_is_refused_by_name(make, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fitted = make().fit(X.reshape(45, -1), np.abs(y))
    with pytest.raises(TypeError, match=message):
        save_model(fitted, "model.safetensors")
    assert not os.path.exists("model.safetensors")


def test_an_average_of_ones_own_can_be_left_out():
    fitted = model(averaging=OwnAverage()).fit(X, y).set_params(averaging=None)
    with pytest.raises(TypeError, match="without the optimizer"):
        saved(fitted)
    assert_array_equal(copied(fitted, optimizer=False).predict(X), fitted.predict(X))


@pytest.mark.parametrize("unfitted", [model(), make_pipeline(SequenceScaler(), model())])
def test_a_model_that_is_not_fitted_is_refused(unfitted):
    with pytest.raises(NotFittedError):
        saved(unfitted)


def test_weights_that_are_not_finite_are_refused():
    fitted = model().fit(X, y)
    fitted.output_coef_[0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        saved(fitted)


# -- the format -----------------------------------------------------------------------------------


def test_the_package_safetensors_reads_the_file_and_its_files_are_read(tmp_path):
    safetensors = pytest.importorskip("safetensors")
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "model.safetensors"
    fitted = model(dtype="float64", averaging=EMA(0.9)).fit(X, y)
    save_model(fitted, path)
    arrays = load_file(path)
    assert_array_equal(arrays["V"], fitted.output_coef_)
    assert_array_equal(arrays["W0"], fitted.input_coefs_[0])
    with safetensors.safe_open(path, "numpy") as file:
        texts = file.metadata()
    assert json.loads(texts["model"])["class"] == "LSTMRegressor"
    save_file(arrays, tmp_path / "other.safetensors", texts)
    assert_array_equal(load_model(tmp_path / "other.safetensors").predict(X), fitted.predict(X))


def test_a_file_of_format_1_is_read_for_ever():
    path = Path(__file__).parent / "data" / "format_1.safetensors"
    old = load_model(path)
    arrays, _, _ = parts_of(path.read_bytes())
    assert_array_equal(old.regressor_[-1].output_coef_, arrays["regressor_.1.V"])
    with np.load(path.with_suffix(".npz")) as expected:
        predicted = old.predict(expected["X"])
        np.testing.assert_allclose(predicted, expected["prediction"], rtol=1e-5)
    old.fit(X, y)


# -- whole at any moment --------------------------------------------------------------------------


def test_paths_and_open_files(tmp_path):
    fitted = model().fit(X, y)
    for path in (tmp_path / "a.safetensors", str(tmp_path / "b.safetensors")):
        save_model(fitted, path)
        assert_array_equal(load_model(path).predict(X), fitted.predict(X))
        with open(path, "rb") as file:
            assert_array_equal(load_model(file).predict(X), fitted.predict(X))
    assert sorted(os.listdir(tmp_path)) == ["a.safetensors", "b.safetensors"]
    with pytest.raises(FileNotFoundError, match=r"no directory for the file .*absent"):
        save_model(fitted, tmp_path / "absent" / "model.safetensors")
    with pytest.raises(IsADirectoryError):
        save_model(fitted, tmp_path)
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "absent.safetensors")
    with pytest.raises(OSError, match="is no file"):
        load_model(tmp_path)


def test_an_error_while_writing_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write_a_half():
        with replacing(path) as file:
            file.write(b"half of the")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_a_half()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.name != "posix", reason="links and permissions of POSIX")
def test_links_and_permissions_stay(tmp_path):
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to("file")
    with replacing(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_what_was_written_is_on_the_disk_before_it_has_the_name(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *args, name=name, real=real: (calls.append(name), real(*args))[1]
        )
    with replacing(tmp_path / "file") as file:
        file.write(b"x" * 100)
    assert calls[:2] == ["fsync", "replace"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL")
def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path):
    found = run_python(f"""
        import glob, os, signal, time
        import numpy as np
        from pylstm import LSTMRegressor
        from pylstm.interop import load_model, save_model

        rng = np.random.default_rng(0)
        X = rng.normal(size=(20, 3, 1))
        models = [
            LSTMRegressor(hidden_size=size, max_iter=1, n_jobs=1).fit(X, X[:, 0, 0])
            for size in (8, 200)
        ]
        path = {str(tmp_path / "model.safetensors")!r}
        start = time.monotonic()
        for model in models:
            save_model(model, path)
        duration = time.monotonic() - start
        n_kills, leftovers = 0, []
        while n_kills < 8 or (not leftovers and n_kills < 200):
            child = os.fork()
            while child == 0:
                for model in models:
                    save_model(model, path)
            time.sleep(rng.uniform(0, 2 * duration))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            n_kills += 1
            leftovers = glob.glob(path + ".*.tmp")
            print(load_model(path).hidden_size)
        assert leftovers, "killed in mid-write"
    """)
    assert set(found.split()) <= {"8", "200"}
