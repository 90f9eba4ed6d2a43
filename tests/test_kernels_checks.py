"""What the functions of the core refuse, and by which name."""

import numpy as np
import pytest
from helpers.kernels import FUNCTIONS, LOSSES, call, set_up
from numpy.testing import assert_array_equal
from reference import Shape

from pylstm import core

pytestmark = [pytest.mark.kernels, pytest.mark.usefixtures("one_blas_thread")]

N_PARAMS = core.n_parameters(core.Architecture(3, 5, 2, 2))
WRONG = {
    "params too short": ("params", np.zeros(N_PARAMS - 1), ValueError, str(N_PARAMS)),
    "params too long": ("params", np.zeros(N_PARAMS + 1), ValueError, str(N_PARAMS)),
    "params 2-D": ("params", np.zeros((1, N_PARAMS)), ValueError, "params"),
    "params complex": ("params", np.zeros(N_PARAMS, complex), (TypeError, ValueError), "params"),
    "params None": ("params", None, (TypeError, ValueError), "params"),
    "X 2-D": ("X", np.zeros((6, 4)), ValueError, "X"),
    "X 4-D": ("X", np.zeros((6, 4, 3, 1)), ValueError, "X"),
    "X of 2 features": ("X", np.zeros((6, 4, 2)), ValueError, "2 features.* 3"),
    "X of 0 features": ("X", np.zeros((6, 4, 0)), ValueError, "0 features.* 3"),
    "X without time steps": ("X", np.zeros((6, 0, 3)), ValueError, "time step"),
    "X complex": ("X", np.zeros((6, 4, 3), complex), TypeError, "X.*complex"),
    "X text": ("X", np.full((6, 4, 3), "a"), TypeError, "X"),
    "X None": ("X", None, TypeError, "X"),
    "X ragged": ("X", [[[1, 2, 3]], [[1]]], ValueError, None),
    "y 1-D": ("y", np.zeros(6), ValueError, r"y .*\(6, 2\).*\(6,\)"),
    "y too short": ("y", np.zeros((5, 2)), ValueError, r"y .*\(6, 2\).*\(5, 2\)"),
    "y of 1 output": ("y", np.zeros((6, 1)), ValueError, r"y .*\(6, 2\).*\(6, 1\)"),
    "y None": ("y", None, TypeError, "y"),
    "h0 of one layer": ("h0", np.zeros((1, 6, 5)), ValueError, r"h0 .*\(2, 6, 5\)"),
    "h0 2-D": ("h0", np.zeros((6, 5)), ValueError, r"h0 .*\(2, 6, 5\)"),
    "c0 of 5 samples": ("c0", np.zeros((2, 5, 5)), ValueError, r"c0 .*\(2, 6, 5\)"),
    "d_output too narrow": ("d_output", np.zeros((6, 1)), ValueError, r"d_output .*\(6, 2\)"),
    "d_hidden of 3 steps": ("d_hidden", np.zeros((6, 3, 5)), ValueError, r"d_hidden .*\(6, 4, 5\)"),
    "d_h_n of one layer": ("d_h_n", np.zeros((1, 6, 5)), ValueError, r"d_h_n .*\(2, 6, 5\)"),
    "d_c_n of 4 units": ("d_c_n", np.zeros((2, 6, 4)), ValueError, r"d_c_n .*\(2, 6, 5\)"),
    "weights too short": ("sample_weight", np.ones(5), ValueError, r"sample_weight .*\(6,\)"),
    "weights 2-D": ("sample_weight", np.ones((6, 1)), ValueError, r"sample_weight .*\(6,\)"),
    "order beyond X": ("order", np.array([0, 6]), (IndexError, ValueError), "order"),
    "order negative": ("order", np.array([0, -1]), (IndexError, ValueError), "order"),
    "order 2-D": ("order", np.zeros((2, 3), int), ValueError, "order"),
    "order float": ("order", np.array([0.0, 1.0]), (TypeError, ValueError), "order"),
    "order None": ("order", None, (TypeError, ValueError), "order"),
    "batch_size 0": ("batch_size", 0, ValueError, "batch_size"),
    "batch_size -1": ("batch_size", -1, ValueError, "batch_size"),
    "batch_size 2.5": ("batch_size", 2.5, (TypeError, ValueError), "batch_size"),
    "max_grad_norm 0": ("max_grad_norm", 0.0, ValueError, "max_grad_norm"),
    "max_grad_norm nan": ("max_grad_norm", np.nan, ValueError, "max_grad_norm"),
    "alpha negative": ("alpha", -0.1, ValueError, "alpha"),
    "alpha nan": ("alpha", np.nan, ValueError, "alpha"),
    "arch None": ("arch", None, TypeError, "arch must be an Architecture"),
    "optimizer None": ("optimizer", None, TypeError, "optimizer must be an Adam, AdamW, RMSprop or SGD"),
    "optimizer of another size": (
        "optimizer", core.SGD(N_PARAMS - 1, np.float64), ValueError, str(N_PARAMS),
    ),
    "optimizer of another dtype": (
        "optimizer", core.SGD(N_PARAMS, np.float32), (TypeError, ValueError), "float32",
    ),
    "n_threads 0": ("n_threads", 0, ValueError, "0"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("function", "row"),
    [
        (function, row)
        for function, names in FUNCTIONS.items()
        for row, (name, *_) in WRONG.items()
        if name in names
    ],
)
def test_wrong_arguments_are_refused_by_name(function, row):
    call(function)  # all of the others are right
    name, value, error, message = WRONG[row]
    with pytest.raises(error, match=message):
        call(function, **{name: value})


UNUSUAL_PARAMS = {
    "strided": lambda params: np.repeat(params, 2)[::2],
    "byte-swapped": lambda params: params.astype(params.dtype.newbyteorder()),
    "list": lambda params: params.tolist(),
    "read-only": lambda params: np.frombuffer(params.tobytes()),
}


@pytest.mark.parametrize("layout", UNUSUAL_PARAMS)
def test_parameters_are_converted_where_they_are_only_read(layout):
    _, _, params, *_ = set_up(Shape(6, 4, 3, 5, 2, 2))
    unusual = UNUSUAL_PARAMS[layout](params)
    for function in ("forward", "backward", "loss_and_gradient"):
        for actual, expected in zip(call(function, params=unusual), call(function), strict=True):
            assert_array_equal(actual, expected)
    assert call("predict", params=np.zeros(N_PARAMS, dtype=int)).dtype == np.float64


@pytest.mark.parametrize("layout", [*UNUSUAL_PARAMS, "integer", "half"])
def test_training_refuses_parameters_it_cannot_update_in_place(layout):
    casts = {"integer": lambda p: p.astype(int), "half": lambda p: p.astype(np.float16)}
    params = (UNUSUAL_PARAMS | casts)[layout](set_up(Shape(6, 4, 3, 5, 2, 2))[2])
    with pytest.raises((TypeError, ValueError), match="params"):
        call("train", params=params)


def test_the_loss_of_nothing_is_refused():
    y, weights = np.zeros((0, 2)), np.ones(0)
    with pytest.raises(ValueError, match="0 samples"):
        call("loss_and_gradient", X=np.zeros((0, 4, 3)), y=y, sample_weight=weights)
    with pytest.raises(ValueError, match="weights"):
        call("loss_and_gradient", sample_weight=np.zeros(6))


TRAIN = ("loss_and_gradient", "train")


def classes(*values):
    return np.array(values, float)[:, np.newaxis]


TARGETS = {  # loss, outputs of the network, targets that are right and some that are not
    "squared: fewer targets": ("squared", 2, np.zeros((6, 2)), np.zeros((6, 1))),
    "squared: a time axis": ("squared", 2, np.zeros((6, 2)), np.zeros((6, 4, 2))),
    "quantiles: a target per output": ("quantiles", 3, np.zeros((6, 1)), np.zeros((6, 3))),
    "quantiles: two targets": ("quantiles", 3, np.zeros((6, 1)), np.zeros((6, 2))),
    "gaussian: a target per output": ("gaussian", 4, np.zeros((6, 2)), np.zeros((6, 4))),
    "log-loss: one-hot": ("log-loss", 4, np.zeros((6, 1)), np.zeros((6, 4))),
    "log-loss: 1-D": ("log-loss", 4, np.zeros((6, 1)), np.zeros(6)),
    "log-loss: class too high": (
        "log-loss", 4, classes(0, 1, 2, 3, 3, 3), classes(0, 1, 2, 3, 3, 4),
    ),
    "log-loss: class negative": (
        "log-loss", 4, classes(0, 1, 2, 3, 3, 3), classes(0, 1, 2, 3, 3, -1),
    ),
    "log-loss: class between": (
        "log-loss", 4, classes(0, 1, 2, 3, 3, 3), classes(0, 1, 2, 3, 3, 2.5),
    ),
    "log-loss: class nan": (
        "log-loss", 4, classes(0, 1, 2, 3, 3, 3), classes(0, 1, 2, 3, 3, np.nan),
    ),
    "poisson: negative": ("poisson", 1, classes(0, 1, 2, 3, 3, 3), classes(0, 1, 2, 3, 3, -0.5)),
}  # fmt: skip


@pytest.mark.parametrize("row", TARGETS)
@pytest.mark.parametrize("function", TRAIN)
def test_targets_that_do_not_fit_the_loss_are_refused(function, row):
    loss, n_outputs, right, wrong = TARGETS[row]
    call(function, loss=loss, n_outputs=n_outputs, y=right)
    with pytest.raises(ValueError, match=r"\by\b|class"):
        call(function, loss=loss, n_outputs=n_outputs, y=wrong)


@pytest.mark.parametrize("function", TRAIN)
def test_targets_without_a_time_axis_are_refused_where_outputs_are_sequences(function):
    call(function, return_sequences=True, y=np.zeros((6, 4, 2)))
    for shape in [(6, 2), (6, 3, 2), (6, 4, 1)]:
        with pytest.raises(ValueError, match="y"):
            call(function, return_sequences=True, y=np.zeros(shape))


@pytest.mark.parametrize("function", TRAIN)
@pytest.mark.parametrize(
    ("loss", "n_outputs"), [("quantiles", 4), ("gaussian", 3), ("log-loss", 3)]
)
def test_a_network_whose_outputs_do_not_suit_the_loss_is_refused(loss, n_outputs, function):
    with pytest.raises(ValueError, match=r"output|\by\b"):
        call(function, loss=loss, n_outputs=n_outputs, y=np.zeros((6, 1)))


@pytest.mark.parametrize("loss", ["poisson", "log-loss"])
@pytest.mark.parametrize("function", TRAIN)
def test_targets_are_checked_where_they_are_read_and_not_in_the_padding(function, loss):
    n_outputs = LOSSES[loss][0].n_outputs(1)
    lengths = np.array([1, 2, 3, 4, 4, 4])
    y = np.ones((6, 4, 1))
    y[0, 1:] = y[1, 2:] = -1
    options = {"loss": loss, "n_outputs": n_outputs, "return_sequences": True}
    call(function, y=y, lengths=lengths, **options)
    y[2, 2] = -1
    with pytest.raises(ValueError, match=r"\by\b|class"):
        call(function, y=y, lengths=lengths, **options)


BAD_LOSSES = {
    "quantile 0": lambda: core.Quantile(0.0),
    "quantile 1": lambda: core.Quantile(1.0),
    "quantile nan": lambda: core.Quantile(np.nan),
    "one quantile of several": lambda: core.Quantile((0.1, 0.5, 1.5)),
    "no quantile": lambda: core.Quantile(()),
    "delta 0": lambda: core.Huber(0.0),
    "delta negative": lambda: core.Huber(-1.0),
    "delta nan": lambda: core.Huber(np.nan),
    "no class": lambda: core.LogLoss(0),
}


@pytest.mark.parametrize("bad", BAD_LOSSES)
def test_losses_of_bad_settings_are_refused(bad):
    with pytest.raises(ValueError, match=r"quantile|delta|n_classes"):
        BAD_LOSSES[bad]()


WRONG_OPTIONS = {
    "dropout 1": ("dropout", 1.0, ValueError),
    "dropout negative": ("dropout", -0.1, ValueError),
    "dropout nan": ("dropout", np.nan, ValueError),
    "recurrent_dropout 1": ("recurrent_dropout", 1.0, ValueError),
    "recurrent_dropout negative": ("recurrent_dropout", -0.1, ValueError),
    "recurrent_dropout nan": ("recurrent_dropout", np.nan, ValueError),
    "seed negative": ("seed", -1, (OverflowError, ValueError)),
    "seed fraction": ("seed", 0.5, (TypeError, ValueError)),
    "loss a number": ("loss", 3, TypeError),
    "max_grad_value 0": ("max_grad_value", 0.0, ValueError),
    "max_grad_value negative": ("max_grad_value", -1.0, ValueError),
    "max_grad_value nan": ("max_grad_value", np.nan, ValueError),
    "average too short": ("average", (np.zeros(N_PARAMS - 1), 0.9), ValueError),
    "average 2-D": ("average", (np.zeros((1, N_PARAMS)), 0.9), ValueError),
    "average of another dtype": (
        "average", (np.zeros(N_PARAMS, np.float32), 0.9), (TypeError, ValueError),
    ),
    "average that cannot be written": (
        "average", (np.frombuffer(bytes(8 * N_PARAMS)), 0.9), ValueError,
    ),
    "average strided": ("average", (np.zeros(2 * N_PARAMS)[::2], 0.9), ValueError),
    "average decays beyond": ("average", (np.zeros(N_PARAMS), 1.5), ValueError),
    "average decays below": ("average", (np.zeros(N_PARAMS), -0.1), ValueError),
}  # fmt: skip


@pytest.mark.parametrize(
    ("function", "row"),
    [
        (function, row)
        for function in TRAIN
        for row, (name, *_) in WRONG_OPTIONS.items()
        if function == "train" or name not in ("max_grad_value", "average")
    ],
)
def test_wrong_options_of_training_are_refused_by_name(function, row):
    name, value, error = WRONG_OPTIONS[row]
    with pytest.raises(error, match=name):
        call(function, **{name: value})


def test_learning_rates_must_be_one_for_each_batch():
    def train(learning_rate):
        optimizer = core.SGD(N_PARAMS, np.float64, learning_rate=learning_rate)
        return call("train", optimizer=optimizer)  # three batches

    assert train(np.full(3, 0.1)) == train(0.1)
    for wrong in (np.full(2, 0.1), np.full(4, 0.1), np.full((3, 1), 0.1)):
        with pytest.raises(ValueError, match="learning_rate"):
            train(wrong)


def test_a_bidirectional_network_is_not_trained_statefully():
    call("train", bidirectional=True)
    with pytest.raises(ValueError, match="stateful"):
        call("train", bidirectional=True, stateful=True)
