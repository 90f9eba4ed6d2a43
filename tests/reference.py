"""The LSTM and its training in plain NumPy: the readable reference of the project.

For a batch of sequences X (n, T, F), hidden size H and K outputs, a layer computes, for t = 1..T,

    z_t = x_t W + h_{t-1} U + b          W (F, 4H)   U (H, 4H)   b (4H,)     columns: i, f, g, o
    i_t = sigmoid(z_i)   input gate      f_t = sigmoid(z_f)   forget gate
    g_t = tanh(z_g)      candidate       o_t = sigmoid(z_o)   output gate
    c_t = f_t c_{t-1} + i_t g_t          cell state
    h_t = o_t tanh(c_t)                  hidden state

The next layer reads the hidden states of this one. After the last step of the top layer, once,

    output = h_T V + d                   V (H, K)    d (K,)

Nothing here is fast or clever. Parameters are a dict of arrays, W0, U0, b0, W1, ..., V, d. They are
float64, and so is the arithmetic, whatever the dtype of X.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import expit as sigmoid


class Step(NamedTuple):
    """What BPTT needs to know of one time step of one layer; every array is (n, H)."""

    h_prev: np.ndarray
    c_prev: np.ndarray
    i: np.ndarray
    f: np.ndarray
    g: np.ndarray
    o: np.ndarray
    c: np.ndarray
    h: np.ndarray


class Forward(NamedTuple):
    output: np.ndarray  # (n, K)
    hidden: np.ndarray  # (n, T, H), top layer
    h_n: np.ndarray  # (L, n, H)
    c_n: np.ndarray  # (L, n, H)


class Backward(NamedTuple):
    d_params: dict
    d_X: np.ndarray  # (n, T, F)
    d_h0: np.ndarray  # (L, n, H)
    d_c0: np.ndarray  # (L, n, H)


# -- one layer ------------------------------------------------------------------------------------


def layer_forward(x, W, U, b, h, c):
    """Run x (n, T, F) through a layer that starts from h, c (n, H); return its T steps."""
    steps = []
    for t in range(x.shape[1]):
        z_i, z_f, z_g, z_o = np.split(x[:, t] @ W + h @ U + b, 4, axis=1)
        i, f, g, o = sigmoid(z_i), sigmoid(z_f), np.tanh(z_g), sigmoid(z_o)
        h_prev, c_prev = h, c
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        steps.append(Step(h_prev, c_prev, i, f, g, o, c, h))
    return steps


def layer_backward(steps, x, W, U, d_hidden, dh, dc):
    """BPTT: from the gradients of all h_t (n, T, H) and of the final h, c (n, H) to all others."""
    dx = np.empty(x.shape)
    dW, dU, db = np.zeros(W.shape), np.zeros(U.shape), np.zeros(W.shape[1])
    for t, (h_prev, c_prev, i, f, g, o, c, _) in reversed(list(enumerate(steps))):
        dh = dh + d_hidden[:, t]
        do = dh * np.tanh(c)
        dc = dc + dh * o * (1 - np.tanh(c) ** 2)
        di, df, dg = dc * g, dc * c_prev, dc * i
        dz = np.hstack([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)])
        dW += x[:, t].T @ dz
        dU += h_prev.T @ dz
        db += dz.sum(axis=0)
        dx[:, t] = dz @ W.T
        dh = dz @ U.T
        dc = dc * f
    return dx, dW, dU, db, dh, dc


# -- the network ----------------------------------------------------------------------------------


def _run_layers(p, X, h0, c0):
    """Steps and input of every layer, bottom first."""
    num_layers = sum(name.startswith("U") for name in p)
    zeros = np.zeros((num_layers, len(X), len(p["V"])))
    h0, c0 = zeros if h0 is None else h0, zeros if c0 is None else c0
    inputs, layers = [X], []
    for layer in range(num_layers):
        W, U, b = p[f"W{layer}"], p[f"U{layer}"], p[f"b{layer}"]
        layers.append(layer_forward(inputs[-1], W, U, b, h0[layer], c0[layer]))
        inputs.append(np.stack([step.h for step in layers[-1]], axis=1))
    return layers, inputs


def forward(p, X, h0=None, c0=None):
    """Output, hidden states of the top layer, final states of all layers."""
    layers, inputs = _run_layers(p, X, h0, c0)
    hidden = inputs[-1]
    h_n = np.stack([steps[-1].h for steps in layers])
    c_n = np.stack([steps[-1].c for steps in layers])
    return Forward(hidden[:, -1] @ p["V"] + p["d"], hidden, h_n, c_n)


def backward(p, X, d_output=None, d_hidden=None, d_h_n=None, d_c_n=None, h0=None, c0=None):
    """Vector-Jacobian product of `forward`: the gradient of everything it depends on."""
    layers, inputs = _run_layers(p, X, h0, c0)
    (n, T, H), L, K = inputs[-1].shape, len(layers), len(p["d"])
    d_output = np.zeros((n, K)) if d_output is None else d_output
    d_hidden = np.zeros((n, T, H)) if d_hidden is None else d_hidden.astype(float)
    d_h_n = np.zeros((L, n, H)) if d_h_n is None else d_h_n
    d_c_n = np.zeros((L, n, H)) if d_c_n is None else d_c_n

    grad = {"V": inputs[-1][:, -1].T @ d_output, "d": d_output.sum(axis=0)}
    d_hidden[:, -1] += d_output @ p["V"].T
    d_h0, d_c0 = np.empty((L, n, H)), np.empty((L, n, H))
    for k in reversed(range(L)):
        d_hidden, grad[f"W{k}"], grad[f"U{k}"], grad[f"b{k}"], d_h0[k], d_c0[k] = layer_backward(
            layers[k], inputs[k], p[f"W{k}"], p[f"U{k}"], d_hidden, d_h_n[k], d_c_n[k]
        )
    return Backward({name: grad[name] for name in p}, d_hidden, d_h0, d_c0)


def loss_and_gradient(p, X, y, sample_weight=None, alpha=0.0, total_weight=None):
    """Weighted half mean squared error plus the L2 penalty of the weights (not the biases)."""
    w = np.ones(len(X)) if sample_weight is None else sample_weight.astype(float)
    total_weight = w.sum() if total_weight is None else total_weight
    weights = [name for name in p if name[0] in "WUV"]
    error = forward(p, X).output - y
    loss = 0.5 * (w @ error**2).sum() / (error.shape[1] * total_weight)
    loss += 0.5 * alpha * sum((p[name] ** 2).sum() for name in weights) / total_weight
    d_output = w[:, np.newaxis] * error / (error.shape[1] * total_weight)
    grad = backward(p, X, d_output).d_params
    for name in weights:
        grad[name] = grad[name] + alpha * p[name] / total_weight
    return loss, grad


# -- training -------------------------------------------------------------------------------------


class Adam:
    """Kingma & Ba 2015, bias-corrected, epsilon outside the root, as `torch.optim.Adam`."""

    def __init__(self, learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.learning_rate, self.epsilon = learning_rate, epsilon
        self.beta_1, self.beta_2 = beta_1, beta_2
        self.m, self.v, self.t = {}, {}, 0

    def update(self, p, grad):
        self.t += 1
        for name, g in grad.items():
            self.m[name] = self.beta_1 * self.m.get(name, 0) + (1 - self.beta_1) * g
            self.v[name] = self.beta_2 * self.v.get(name, 0) + (1 - self.beta_2) * g**2
            m_hat = self.m[name] / (1 - self.beta_1**self.t)
            v_hat = self.v[name] / (1 - self.beta_2**self.t)
            p[name] -= self.learning_rate * m_hat / (np.sqrt(v_hat) + self.epsilon)


class SGD:
    """Gradient descent with (Nesterov's) momentum, in the form of scikit-learn's MLP."""

    def __init__(self, learning_rate=1e-3, momentum=0.9, nesterov=True):
        self.learning_rate, self.momentum, self.nesterov = learning_rate, momentum, nesterov
        self.velocity = {}

    def update(self, p, grad):
        for name, g in grad.items():
            v = self.momentum * self.velocity.get(name, 0) - self.learning_rate * g
            p[name] += self.momentum * v - self.learning_rate * g if self.nesterov else v
            self.velocity[name] = v


def clip(grad, max_norm):
    """Scale the gradient down to a global norm of `max_norm`, as `clip_grad_norm_` of PyTorch."""
    norm = np.sqrt(sum((g**2).sum() for g in grad.values()))
    return {name: g * min(1.0, max_norm / (norm + 1e-6)) for name, g in grad.items()}


def train(
    p, X, y, optimizer, order, batch_size, sample_weight=None, alpha=0.0, max_grad_norm=np.inf
):
    """One pass over the samples in `order`; updates p in place and returns the pass's mean loss.

    A batch's loss is divided by its size times the mean weight of the pass, not by its own weight:
    so the batches' gradients add up to that of all samples.
    """
    w = np.ones(len(X)) if sample_weight is None else sample_weight.astype(float)
    mean_weight = w[order].mean()
    total = 0.0
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        loss, grad = loss_and_gradient(
            p, X[batch], y[batch], w[batch], alpha, len(batch) * mean_weight
        )
        optimizer.update(p, clip(grad, max_grad_norm))
        total += loss * len(batch)
    return total / len(order)


# -- what the tests share -------------------------------------------------------------------------

TORCH_VECTORS = Path(__file__).parent / "data" / "torch_vectors.npz"


class Shape(NamedTuple):
    n_samples: int = 1
    n_timesteps: int = 1
    n_features: int = 1
    hidden_size: int = 1
    num_layers: int = 1
    n_outputs: int = 1

    def __str__(self):
        return "n{}-T{}-F{}-H{}-L{}-K{}".format(*self)


def random_shapes(n_shapes, seed=0):
    """Random shapes in which each of these sizes occurs as often as the others, and all-ones."""
    sizes = Shape(
        n_samples=(1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 100),  # around the core's blocks
        n_timesteps=(1, 2, 3, 12, 50, 500),
        n_features=(1, 2, 3, 16, 17),
        hidden_size=(1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 64, 100),
        num_layers=(1, 2, 3),
        n_outputs=(1, 2, 3, 5, 17),
    )
    rng = np.random.default_rng(seed)
    columns = [rng.permutation(np.resize(values, n_shapes)).tolist() for values in sizes]
    shapes = [Shape(*row) for row in zip(*columns, strict=True)]
    costs = [n * T * H * L for n, T, _, H, L, _ in shapes]
    return [Shape()] + [
        shape._replace(n_samples=2) if cost > 300_000 else shape
        for shape, cost in zip(shapes, costs, strict=True)
    ]


class Problem(NamedTuple):
    """Random arrays of one shape: parameters, data, states, upstream gradients.

    The parameters are float64, but rounded to the dtype of the others.
    """

    p: dict
    X: np.ndarray  # (n, T, F)
    y: np.ndarray  # (n, K)
    states: dict  # h0, c0: (L, n, H)
    upstream: dict  # d_output (n, K), d_hidden (n, T, H), d_h_n, d_c_n (L, n, H)


def random_problem(shape, dtype=np.float64, seed=0):
    """A problem of the given `Shape`; weights are of the size that training starts from."""
    n, T, F, H, L, K = shape
    rng = np.random.default_rng(seed)
    p = {}
    for layer in range(L):
        n_in = F if layer == 0 else H
        p[f"W{layer}"] = rng.uniform(-1, 1, (n_in, 4 * H)) / np.sqrt(n_in)
        p[f"U{layer}"] = rng.uniform(-1, 1, (H, 4 * H)) / np.sqrt(H)
        p[f"b{layer}"] = rng.uniform(-1, 1, 4 * H)
    p["V"], p["d"] = rng.uniform(-1, 1, (H, K)) / np.sqrt(H), rng.uniform(-1, 1, K)
    shapes = {"X": (n, T, F), "y": (n, K), "h0": (L, n, H), "c0": (L, n, H)}
    shapes |= {"d_output": (n, K), "d_hidden": (n, T, H), "d_h_n": (L, n, H), "d_c_n": (L, n, H)}
    a = {name: rng.standard_normal(size).astype(dtype) for name, size in shapes.items()}
    return Problem(
        {name: array.astype(dtype).astype(float) for name, array in p.items()},
        a["X"],
        a["y"],
        {name: a[name] for name in ("h0", "c0")},
        {name: a[name] for name in ("d_output", "d_hidden", "d_h_n", "d_c_n")},
    )


def deviation(actual, expected):
    """Largest absolute difference, relative to the largest absolute expected value."""
    actual, expected = np.asarray(actual, dtype=float), np.asarray(expected, dtype=float)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    if np.array_equal(actual, expected):
        return 0.0
    return np.abs(actual - expected).max() / np.abs(expected).max()
