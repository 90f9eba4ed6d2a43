"""A batch in pieces, wherever its samples are: the bits of the update that `train` makes."""

import numpy as np
import pytest
from helpers.kernels import DTYPES
from numpy.testing import assert_array_equal

from pylstm import _unchecked, core

pytestmark = pytest.mark.kernels

ARCH = core.Architecture(2, 5, 1)
LOSS = core.SquaredError()
DROP = {"dropout": 0.2, "recurrent_dropout": 0.1, "seed": 3}
CLIPPED = {"max_grad_norm": 0.1, "max_grad_value": 0.05}


class State:
    """Parameters, an optimiser and a running average to begin with."""

    def __init__(self, dtype):
        self.params = core.init_parameters(ARCH, dtype=dtype, random_state=0)
        self.optimizer = core.Adam(len(self.params), dtype, learning_rate=0.01)
        self.average = self.params.copy()

    def assert_equal(self, other):
        assert_array_equal(self.params, other.params)
        assert_array_equal(self.optimizer.moments, other.optimizer.moments)
        assert_array_equal(self.optimizer.step_count, other.optimizer.step_count)
        assert_array_equal(self.average, other.average)


def samples(n, dtype):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, 4, 2)).astype(dtype), rng.normal(size=(n, 1)).astype(dtype)
    return X, y, rng.permutation(n), rng.uniform(1, 2, size=n).astype(dtype)


def train(state, X, y, order, weight):
    return _unchecked.train(
        state.params,
        X,
        y,
        ARCH,
        state.optimizer,
        order=order,
        batch_size=len(X),
        loss=LOSS,
        sample_weight=weight,
        lengths=None,
        scaling=None,
        alpha=0.5,
        fixed_highway=True,
        stateful=False,
        average=(state.average, 0.9),
        n_threads=2,
        **DROP,
        **CLIPPED,
    )


def train_by_slots(state, X, y, order, weight):
    n = len(X)
    block, most = _unchecked.slot_layout(ARCH, n, X.dtype)
    blocks = [slice(k, k + block) for k in range(0, n, block)]
    n_slots = min(most, len(blocks))
    total = float(np.cumsum(weight[order], dtype=np.float64)[-1])
    loss, gradient = 0.0, np.zeros_like(state.params)
    for slot in range(n_slots):
        numbers = np.concatenate([np.arange(n)[rows] for rows in blocks[slot::n_slots]])
        here = order[numbers]  # as copies, in the order of their visits
        value, of_slot = _unchecked.slot_gradient(
            state.params,
            X[here],
            y[here],
            ARCH,
            order=np.arange(len(here)),
            numbers=numbers,
            batch_size=n,
            loss=LOSS,
            sample_weight=weight[here],
            lengths=None,
            scaling=None,
            total_weight=total,
            **DROP,
        )
        loss += value
        gradient += of_slot
    return apply(state, loss, gradient, total)


def apply(state, loss, gradient, total):
    return _unchecked.apply_gradient(
        state.params,
        loss,
        gradient,
        ARCH,
        state.optimizer,
        learning_rate=0.01,
        penalty=0.5 / total,
        fixed_highway=True,
        average=(state.average, 0.9),
        **CLIPPED,
    )


@pytest.mark.on_every_instruction_set
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 70, 3000])  # a block, a few, and more than there are slots
def test_slots_added_in_their_order_make_the_update_of_train(n, dtype):
    whole, parts = State(dtype), State(dtype)
    given = samples(n, dtype)
    assert train(whole, *given) == train_by_slots(parts, *given)
    parts.assert_equal(whole)


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_nothing_is_updated_by_a_loss_that_is_not_finite(loss):
    state = State(np.float64)
    assert np.isnan(apply(state, loss, np.ones_like(state.params), 1.0))
    state.assert_equal(State(np.float64))
