"""The network and its training in plain NumPy: the readable reference of the project.

For a batch of sequences X (n, T, F), hidden size H and K outputs, a layer computes, for t = 1..T,

    z_t = x_t W + h_{t-1} U + b          W (F, 4H)   U (H, 4H)   b (4H,)     columns: i, f, g, o
    i_t = sigmoid(z_i)   input gate      f_t = sigmoid(z_f)   forget gate
    g_t = tanh(z_g)      candidate       o_t = sigmoid(z_o)   output gate
    c_t = f_t c_{t-1} + i_t g_t          cell state
    h_t = o_t tanh(c_t)                  hidden state

A bidirectional layer does so twice, with parameters of their own: forward, and in reverse from the
last step to the first. The next layer reads at each step the hidden states of this one, [forward,
reverse] side by side. The head then reads the top layer: with `return_sequences` at every step, else
once, the state of each direction after the last step it takes:

    output = [forward, reverse] V + d    V (D H, K)  d (K,)                  D = 2 if bidirectional

If V has more rows, a highway leads to the head: it reads, beside these states, what layer 0 read at
the last steps, [x_{T-P+1}, ..., x_T], zeros before the first step.

Sequences of different lengths are padded at their end. The padding is never read, and results are
zeros there. Where a feature is missing (NaN), layer 0 reads its last value that is not, and F more
features, which say what is missing.

Nothing here is fast or clever. Parameters are a dict of arrays, W0, U0, b0, W0_reverse, U0_reverse,
b0_reverse, W1, ..., V, d. They tell whether the network is bidirectional (by their names) and
whether values may be missing (W0 has 2F rows). They are float64, and so is the arithmetic, whatever
the dtype of X. States are (L D, n, H), in the order layer 0 forward, layer 0 reverse, layer 1 ...
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import expit as sigmoid
from scipy.special import log_softmax


class Step(NamedTuple):
    """What BPTT needs to know of one time step of one direction of a layer; arrays are (n, H)."""

    h_prev: np.ndarray
    c_prev: np.ndarray
    i: np.ndarray
    f: np.ndarray
    g: np.ndarray
    o: np.ndarray
    c: np.ndarray
    h: np.ndarray


class Masks(NamedTuple):
    """What dropout multiplies by: 0 or 1/(1 - p)."""

    output: (
        np.ndarray
    )  # (L D, n, T, H): hidden states, where the layer above or the head reads them
    recurrent: np.ndarray  # (L D, n, H): where U reads them, at all time steps the same


class Run(NamedTuple):
    """A forward pass and what its BPTT needs."""

    lengths: np.ndarray  # (n,)
    valid: np.ndarray  # (n, T), False in the padding
    masks: Masks
    reads: list  # what each layer reads (n, T, n_in), bottom first, and what the head may read
    steps: list  # for each layer and direction, as the states: its T steps in chronological order
    hidden: np.ndarray  # (n, T, D H), top layer
    h_n: np.ndarray  # (L D, n, H)
    c_n: np.ndarray  # (L D, n, H)


class Forward(NamedTuple):
    output: np.ndarray  # (n, K), with return_sequences (n, T, K)
    hidden: np.ndarray  # (n, T, D H), top layer
    h_n: np.ndarray  # (L D, n, H)
    c_n: np.ndarray  # (L D, n, H)


class Backward(NamedTuple):
    d_params: dict
    d_X: np.ndarray  # (n, T, F)
    d_h0: np.ndarray  # (L D, n, H)
    d_c0: np.ndarray  # (L D, n, H)


class GateActivations(NamedTuple):
    """Arrays are (L D, n, T, H)."""

    input: np.ndarray
    forget: np.ndarray
    candidate: np.ndarray
    output: np.ndarray
    cell: np.ndarray
    hidden: np.ndarray


# -- one direction of a layer ---------------------------------------------------------------------


def layer_forward(x, W, U, b, h, c, valid, drop, reverse):
    """Run x (n, T, F) through a layer that starts from h, c (n, H); its T steps, the final h, c.

    In the padding the states stay as they are. U reads h times drop (n, H).
    """
    steps = {}
    times = range(x.shape[1])
    for t in reversed(times) if reverse else times:
        here = valid[:, t, np.newaxis]
        z = (x[:, t] @ W + (drop * h) @ U + b).reshape(len(x), 4, -1)
        i, f, g, o = sigmoid(z[:, 0]), sigmoid(z[:, 1]), np.tanh(z[:, 2]), sigmoid(z[:, 3])
        h_prev, c_prev = h, c
        c = np.where(here, f * c_prev + i * g, c_prev)
        h = np.where(here, o * np.tanh(c), h_prev)
        steps[t] = Step(h_prev, c_prev, i, f, g, o, c, h)
    return [steps[t] for t in times], h, c


def layer_backward(steps, x, W, U, d_hidden, dh, dc, valid, drop, reverse):
    """BPTT: from the gradients of all h_t (n, T, H) and of the final h, c (n, H) to all others."""
    dx = np.empty(x.shape)
    dW, dU, db = np.zeros(W.shape), np.zeros(U.shape), np.zeros(W.shape[1])
    times = range(x.shape[1])
    for t in times if reverse else reversed(times):
        here = valid[:, t, np.newaxis]
        h_prev, c_prev, i, f, g, o, c, _ = steps[t]
        dh_t, tanh_c = dh + d_hidden[:, t], np.tanh(c)
        do = dh_t * tanh_c
        dc_t = dc + dh_t * o * (1 - tanh_c**2)
        di, df, dg = dc_t * g, dc_t * c_prev, dc_t * i
        dz = np.hstack([di * i * (1 - i), df * f * (1 - f), dg * (1 - g**2), do * o * (1 - o)])
        dz = np.where(here, dz, 0)
        dW += x[:, t].T @ dz
        dU += (drop * h_prev).T @ dz
        db += dz.sum(axis=0)
        dx[:, t] = dz @ W.T
        dh = np.where(here, drop * (dz @ U.T), dh)
        dc = np.where(here, dc_t * f, dc)
    return dx, dW, dU, db, dh, dc


# -- missing values -------------------------------------------------------------------------------


def fill_missing(x):
    """x (n, T, F) with each NaN replaced by the last value before, and 1 where that was done."""
    missing = np.isnan(x)
    filled, last = np.empty(x.shape), np.zeros(x[:, 0].shape)
    for t in range(x.shape[1]):
        last = np.where(missing[:, t], last, x[:, t])
        filled[:, t] = last
    return np.concatenate([filled, missing], axis=2)


def fill_missing_backward(x, d_read):
    """The gradient of a value includes that of the steps it was carried to."""
    missing = np.isnan(x)
    dx, carried = np.empty(x.shape), np.zeros(x[:, 0].shape)
    for t in reversed(range(x.shape[1])):
        carried = carried + d_read[:, t, : x.shape[2]]
        dx[:, t] = np.where(missing[:, t], 0, carried)
        carried = np.where(missing[:, t], carried, 0)
    return dx


# -- dropout --------------------------------------------------------------------------------------


def _mix(x):
    """The finaliser of SplitMix64 (Steele et al. 2014)."""
    x = x ^ (x >> np.uint64(30))
    x = x * np.uint64(0xBF58476D1CE4E5B9)
    x = x ^ (x >> np.uint64(27))
    x = x * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _mask(seed, visit, site, n_units, p):
    """Masks (..., H) of each visit and site: functions of their numbers, not of a generator.

    So they are the same in whatever order, batch or thread they are needed.
    """
    seed, visit, site = (np.atleast_1d(a).astype(np.uint64) for a in (seed, visit, site))
    key = _mix(_mix(_mix(seed) + visit) + site)[..., np.newaxis]
    low, high = (key & np.uint64(2**32 - 1)).astype(np.uint32), (key >> np.uint64(32))
    u = low + np.arange(n_units, dtype=np.uint32) * np.uint32(0x9E3779B9)
    u = u ^ (u >> np.uint32(16))
    u = u * np.uint32(0x7FEB352D)
    u = u ^ high.astype(np.uint32)
    u = u ^ (u >> np.uint32(15))
    u = u * np.uint32(0x846CA68B)
    u = u ^ (u >> np.uint32(16))
    return np.where(u < np.floor(p * 2**32), 0, 1 / (1 - p))


def dropout_masks(p, n_timesteps, dropout, recurrent_dropout, seed, visits):
    """The `Masks` of a batch of samples, `visits` (n,) being their places in the training pass."""
    H = len(p["U0"])
    index = np.arange(sum(name[0] == "U" for name in p)).reshape(-1, 1, 1)
    visit, t = np.reshape(visits, (-1, 1)), np.arange(n_timesteps)
    output = _mask(seed, visit, 2 * index * 2**32 + t, H, dropout)
    recurrent = _mask(seed, visit, (2 * index + 1) * 2**32, H, recurrent_dropout)
    return Masks(output, recurrent[:, :, 0])


# -- the network ----------------------------------------------------------------------------------


def _directions(p):
    return ("", "_reverse") if "W0_reverse" in p else ("",)


def _run(p, X, h0, c0, lengths, masks):
    (n, T, F), H = X.shape, len(p["U0"])
    directions = _directions(p)
    n_states = sum(name[0] == "U" for name in p)
    h = [np.zeros((n, H))] * n_states if h0 is None else list(h0)
    c = [np.zeros((n, H))] * n_states if c0 is None else list(c0)
    lengths = np.full(n, T) if lengths is None else np.asarray(lengths)
    valid = np.arange(T) < lengths[:, np.newaxis]
    if masks is None:
        masks = Masks(np.ones((n_states, 1, 1, 1)), np.ones((n_states, 1, 1)))

    x = np.where(valid[:, :, np.newaxis], X, 0)
    reads, steps = [fill_missing(x) if len(p["W0"]) == 2 * F else x], []
    for layer in range(n_states // len(directions)):
        hidden, dropped = [], []
        for suffix in directions:
            k = len(steps)
            W, U, b = (p[f"{name}{layer}{suffix}"] for name in "WUb")
            states = h[k], c[k], valid, masks.recurrent[k]
            layer_steps, h[k], c[k] = layer_forward(reads[layer], W, U, b, *states, suffix != "")
            steps.append(layer_steps)
            hidden.append(np.stack([step.h for step in layer_steps], axis=1))
            hidden[-1] = np.where(valid[:, :, np.newaxis], hidden[-1], 0)
            dropped.append(hidden[-1] * masks.output[k])
        reads.append(np.concatenate(dropped, axis=2))
    hidden = np.concatenate(hidden, axis=2)
    return Run(lengths, valid, masks, reads, steps, hidden, np.stack(h), np.stack(c))


def _head(p, run, return_sequences):
    """What the head reads, and its output."""
    top, H = run.reads[-1], len(p["U0"])
    if return_sequences:
        return top, np.where(run.valid[:, :, np.newaxis], top @ p["V"] + p["d"], 0)
    last = top[np.arange(len(top)), run.lengths - 1]
    final = np.concatenate([last[:, :H], top[:, 0, H:], *_recent(p, run)], axis=1)
    return final, final @ p["V"] + p["d"]


def _highway_steps(p, run):
    """For each of the highway's steps: its samples, their time steps, and whether there is such a step."""
    n_steps = (len(p["V"]) - run.hidden.shape[2]) // len(p["W0"])
    for k in range(n_steps):
        t = run.lengths - n_steps + k
        yield np.arange(len(t)), np.maximum(t, 0), (t >= 0)[:, np.newaxis]


def _recent(p, run):
    """What layer 0 read at the last steps, (n, n_in) each."""
    return [run.reads[0][s, t] * there for s, t, there in _highway_steps(p, run)]


def forward(p, X, h0=None, c0=None, *, lengths=None, return_sequences=False, masks=None):
    """Output, hidden states of the top layer, final states of all layers."""
    run = _run(p, X, h0, c0, lengths, masks)
    return Forward(_head(p, run, return_sequences)[1], run.hidden, run.h_n, run.c_n)


def gate_activations(p, X, h0=None, c0=None, *, lengths=None):
    """Gates and states of every layer and direction at every step; zeros in the padding."""
    run = _run(p, X, h0, c0, lengths, None)

    def all_steps(name):
        arrays = [[getattr(step, name) for step in steps] for steps in run.steps]
        return np.where(run.valid[..., np.newaxis], np.stack(arrays).swapaxes(1, 2), 0)

    return GateActivations(*map(all_steps, "ifgoch"))


def backward(
    p, X, d_output=None, d_hidden=None, d_h_n=None, d_c_n=None, h0=None, c0=None,
    *, lengths=None, return_sequences=False, masks=None,
):  # fmt: skip
    """Vector-Jacobian product of `forward`: the gradient of everything it depends on."""
    run = _run(p, X, h0, c0, lengths, masks)
    return _backward(p, X, run, return_sequences, d_output, d_hidden, d_h_n, d_c_n)


def _backward(p, X, run, return_sequences, d_output, d_hidden=None, d_h_n=None, d_c_n=None):
    """The same of a forward pass that has been run."""
    n, H, directions = len(X), len(p["U0"]), _directions(p)
    read, output = _head(p, run, return_sequences)
    here = run.valid[:, :, np.newaxis]
    d_output = np.zeros(output.shape) if d_output is None else d_output
    d_output = np.where(here, d_output, 0) if return_sequences else d_output
    d_hidden = np.zeros(run.hidden.shape) if d_hidden is None else np.where(here, d_hidden, 0)
    d_h_n = np.zeros(run.h_n.shape) if d_h_n is None else d_h_n
    d_c_n = np.zeros(run.c_n.shape) if d_c_n is None else d_c_n

    grad = {"V": np.tensordot(read, d_output, (range(read.ndim - 1),) * 2)}
    grad["d"] = d_output.reshape(-1, len(p["d"])).sum(axis=0)
    d_read = d_output @ p["V"].T
    if not return_sequences:
        d_final, d_read = d_read, np.zeros(run.hidden.shape)
        d_states, d_recent = np.split(d_final, [run.hidden.shape[2]], axis=1)
        d_read[np.arange(n), run.lengths - 1, :H] = d_states[:, :H]
        d_read[:, 0, H:] = d_states[:, H:]
    d_h0, d_c0 = np.empty(run.h_n.shape), np.empty(run.c_n.shape)
    for layer in reversed(range(len(run.reads) - 1)):
        d_above, d_read = d_read, 0
        for direction, suffix in enumerate(directions):
            k = layer * len(directions) + direction
            units = np.s_[:, :, direction * H : (direction + 1) * H]
            W, U = p[f"W{layer}{suffix}"], p[f"U{layer}{suffix}"]
            d_h = run.masks.output[k] * d_above[units]
            d_h += d_hidden[units] if layer == len(run.reads) - 2 else 0
            d_x, *gradients, d_h0[k], d_c0[k] = layer_backward(
                run.steps[k], run.reads[layer], W, U, d_h, d_h_n[k], d_c_n[k],
                run.valid, run.masks.recurrent[k], suffix != "",
            )  # fmt: skip
            grad |= {f"{name}{layer}{suffix}": g for name, g in zip("WUb", gradients, strict=True)}
            d_read = d_read + d_x
    for k, (s, t, there) in enumerate(_highway_steps(p, run)):
        n_in = len(p["W0"])
        d_read[s, t] += d_recent[:, k * n_in : (k + 1) * n_in] * there
    if len(p["W0"]) == 2 * X.shape[2]:
        d_read = fill_missing_backward(np.where(here, X, 0), d_read)
    return Backward({name: grad[name] for name in p}, d_read, d_h0, d_c0)


# -- losses ---------------------------------------------------------------------------------------
#
# Each takes the network's outputs z (..., K) and targets y (..., n_targets) and returns the loss of
# each target (..., n_targets) and its gradient with respect to z (..., K).


def squared_error(z, y):
    return 0.5 * (z - y) ** 2, z - y


def absolute_error(z, y):
    return np.abs(z - y), np.sign(z - y)


def huber(z, y, delta=1.0):
    r = z - y
    inside = np.abs(r) <= delta
    loss = np.where(inside, 0.5 * r**2, delta * (np.abs(r) - 0.5 * delta))
    return loss, np.where(inside, r, delta * np.sign(r))


def quantile(z, y, quantiles=(0.5,)):
    """The pinball loss (Koenker & Bassett 1978), mean over quantiles; z is [target][quantile]."""
    q = np.array(quantiles)
    r = y[..., np.newaxis] - z.reshape(*y.shape, len(q))
    loss = np.where(r >= 0, q * r, (q - 1) * r).mean(axis=-1)
    return loss, (np.where(r >= 0, -q, 1 - q) / len(q)).reshape(z.shape)


def poisson(z, y):
    return np.exp(z) - y * z, np.exp(z) - y


def gaussian(z, y):
    """Negative log likelihood of N(mu, sigma); z is [target][mu, s], sigma = softplus(s) + 1e-6."""
    mu, s = np.moveaxis(z.reshape(*y.shape, 2), -1, 0)
    sigma = np.logaddexp(0, s) + 1e-6
    r = (y - mu) / sigma
    d_mu, d_sigma = -r / sigma, (1 - r**2) / sigma
    gradient = np.stack([d_mu, d_sigma * sigmoid(s)], axis=-1)
    return 0.5 * r**2 + np.log(sigma), gradient.reshape(z.shape)


def log_loss(z, y):
    """Cross entropy of softmax(z) and the class whose index y (..., 1) holds."""
    log_p = log_softmax(z, axis=-1)
    is_class = np.arange(z.shape[-1]) == y
    return -log_p.sum(axis=-1, where=is_class, keepdims=True), np.exp(log_p) - is_class


def loss_and_gradient(p, X, y, sample_weight=None, alpha=0.0, total_weight=None, **options):
    """Weighted mean loss of the samples plus the L2 penalty of the weights (not the biases).

    The loss of a sample is the mean over its targets, with return_sequences also over its steps.
    Options: those of `_loss_and_gradient`.
    """
    return _loss_and_gradient(p, X, y, sample_weight, alpha, total_weight, **options)[:2]


def _loss_and_gradient(
    p, X, y, sample_weight, alpha, total_weight,
    *, loss=squared_error, lengths=None, return_sequences=False,
    dropout=0.0, recurrent_dropout=0.0, seed=0, visits=None, h0=None, c0=None,
):  # fmt: skip
    """Also the final states h, c; these are what `stateful` training goes on from."""
    n, T, _ = X.shape
    w = np.ones(n) if sample_weight is None else sample_weight.astype(float)
    total_weight = w.sum() if total_weight is None else total_weight
    visits, masks = np.arange(n) if visits is None else visits, None
    if dropout or recurrent_dropout:
        masks = dropout_masks(p, T, dropout, recurrent_dropout, seed, visits)
    run = _run(p, X, h0, c0, lengths, masks)

    share = w / (y.shape[-1] * total_weight)
    if return_sequences:
        share = run.valid * (share / run.lengths)[:, np.newaxis]
        y = np.where(run.valid[:, :, np.newaxis], y, 0)
    _, output = _head(p, run, return_sequences)
    losses, d_output = loss(output, y.astype(float))
    value = (share[..., np.newaxis] * losses).sum()
    d_output = share[..., np.newaxis] * d_output
    grad = _backward(p, X, run, return_sequences, d_output).d_params

    for name, rows in weights_of(p):
        value += 0.5 * alpha * (p[name][rows] ** 2).sum() / total_weight
        grad[name] = grad[name].copy()
        grad[name][rows] += alpha * p[name][rows] / total_weight
    return value, grad, run.h_n, run.c_n


def weights_of(p):
    """What is penalised and decays: names and rows; biases and the highway are free."""
    n_states = len(p["U0"]) * len(_directions(p))
    return [(name, slice(n_states) if name == "V" else ...) for name in p if name[0] in "WUV"]


# -- training -------------------------------------------------------------------------------------


class Adam:
    """Kingma & Ba 2015, bias-corrected, epsilon outside the root, as `torch.optim.Adam`."""

    def __init__(self, learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.learning_rate, self.epsilon = learning_rate, epsilon
        self.beta_1, self.beta_2 = beta_1, beta_2
        self.m, self.v, self.t = {}, {}, 0

    def update(self, p, grad, learning_rate):
        self.t += 1
        for name, g in grad.items():
            self.m[name] = self.beta_1 * self.m.get(name, 0) + (1 - self.beta_1) * g
            self.v[name] = self.beta_2 * self.v.get(name, 0) + (1 - self.beta_2) * g**2
            m_hat = self.m[name] / (1 - self.beta_1**self.t)
            v_hat = self.v[name] / (1 - self.beta_2**self.t)
            p[name] -= learning_rate * m_hat / (np.sqrt(v_hat) + self.epsilon)


class AdamW(Adam):
    """Adam with decay of the weights (not the biases) beside the gradient (Loshchilov & Hutter)."""

    def __init__(self, learning_rate=1e-3, weight_decay=0.01, **settings):
        super().__init__(learning_rate, **settings)
        self.weight_decay = weight_decay

    def update(self, p, grad, learning_rate):
        for name, rows in weights_of(p):
            p[name][rows] *= 1 - learning_rate * self.weight_decay
        super().update(p, grad, learning_rate)


class RMSprop:
    """Tieleman & Hinton 2012, epsilon outside the root, as `torch.optim.RMSprop`."""

    def __init__(self, learning_rate=1e-3, decay=0.99, epsilon=1e-8):
        self.learning_rate, self.decay, self.epsilon = learning_rate, decay, epsilon
        self.v = {}

    def update(self, p, grad, learning_rate):
        for name, g in grad.items():
            self.v[name] = self.decay * self.v.get(name, 0) + (1 - self.decay) * g**2
            p[name] -= learning_rate * g / (np.sqrt(self.v[name]) + self.epsilon)


class SGD:
    """Gradient descent with (Nesterov's) momentum, in the form of scikit-learn's MLP."""

    def __init__(self, learning_rate=1e-3, momentum=0.9, nesterov=True):
        self.learning_rate, self.momentum, self.nesterov = learning_rate, momentum, nesterov
        self.velocity = {}

    def update(self, p, grad, learning_rate):
        for name, g in grad.items():
            v = self.momentum * self.velocity.get(name, 0) - learning_rate * g
            p[name] += self.momentum * v - learning_rate * g if self.nesterov else v
            self.velocity[name] = v


def clip(grad, max_norm, max_value=np.inf):
    """Clip each element to [-max_value, max_value], then scale down to a norm of `max_norm`.

    As `clip_grad_value_` and `clip_grad_norm_` of PyTorch.
    """
    grad = {name: np.clip(g, -max_value, max_value) for name, g in grad.items()}
    norm = np.sqrt(sum((g**2).sum() for g in grad.values()))
    return {name: g * min(1.0, max_norm / (norm + 1e-6)) for name, g in grad.items()}


def train(
    p, X, y, optimizer, order, batch_size, sample_weight=None, alpha=0.0, max_grad_norm=np.inf,
    *, max_grad_value=np.inf, lengths=None, stateful=False, average=None, **options,
):  # fmt: skip
    """One pass over the samples in `order`; updates p in place and returns the pass's mean loss.

    A batch's loss is divided by its size times the mean weight of the pass, not by its own weight:
    so the batches' gradients add up to that of all samples.

    The optimiser's learning rate may be an array: one for each batch. With `stateful` each place in
    a batch starts from the final states of that place in the batch before. `average`, a dict of
    arrays and a decay, follows the parameters. Options: those of `_loss_and_gradient`.
    """
    w = np.ones(len(X)) if sample_weight is None else sample_weight.astype(float)
    mean_weight = w[order].mean()
    starts = range(0, len(order), batch_size)
    learning_rates = np.broadcast_to(optimizer.learning_rate, len(starts))
    total, states = 0.0, {}
    for start, learning_rate in zip(starts, learning_rates, strict=True):
        batch = order[start : start + batch_size]
        loss, grad, h_n, c_n = _loss_and_gradient(
            p, X[batch], y[batch], w[batch], alpha, len(batch) * mean_weight,
            lengths=None if lengths is None else lengths[batch],
            visits=np.arange(start, start + len(batch)),
            **{name: state[:, : len(batch)] for name, state in states.items()}, **options,
        )  # fmt: skip
        states = {"h0": h_n, "c0": c_n} if stateful else {}
        optimizer.update(p, clip(grad, max_grad_norm, max_grad_value), learning_rate)
        if average is not None:
            averages, decay = average
            for name in p:
                averages[name] += (1 - decay) * (p[name] - averages[name])
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
    """Random shapes in which each of these sizes occurs as often as the others; all-ones; a long one."""
    sizes = Shape(
        n_samples=(1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 49, 100),  # around the core's blocks
        n_timesteps=(1, 2, 3, 12, 50),
        n_features=(1, 2, 3, 16, 17),
        hidden_size=(1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 64, 100),
        num_layers=(1, 2, 3),
        n_outputs=(1, 2, 3, 5, 17),
    )
    rng = np.random.default_rng(seed)
    columns = [rng.permutation(np.resize(values, n_shapes)).tolist() for values in sizes]
    shapes = [Shape(*row) for row in zip(*columns, strict=True)]
    costs = [n * T * H * L for n, T, _, H, L, _ in shapes]
    return [Shape(), Shape(2, 500, 2, 17, 2, 2)] + [
        shape._replace(n_samples=2) if cost > 300_000 else shape
        for shape, cost in zip(shapes, costs, strict=True)
    ]


class Problem(NamedTuple):
    """Random arrays of one shape: parameters, data, states, upstream gradients, lengths.

    The parameters are float64, but rounded to the dtype of the others. y and d_output have a time
    axis, (n, T, K), if outputs are sequences.
    """

    p: dict
    X: np.ndarray  # (n, T, F)
    y: np.ndarray  # (n, K)
    states: dict  # h0, c0: (L D, n, H)
    upstream: dict  # d_output (n, K), d_hidden (n, T, D H), d_h_n, d_c_n (L D, n, H)
    lengths: np.ndarray  # (n,), ints in 1..T


def random_problem(
    shape, dtype=np.float64, seed=0,
    *, bidirectional=False, return_sequences=False, mask_missing=False, highway=0,
):  # fmt: skip
    """A problem of the given `Shape`; weights are of the size that training starts from."""
    n, T, F, H, L, K = shape
    rng = np.random.default_rng(seed)
    directions = ("", "_reverse") if bidirectional else ("",)
    D = len(directions)
    p = {}
    for layer in range(L):
        n_in = D * H if layer > 0 else 2 * F if mask_missing else F
        for suffix in directions:
            p[f"W{layer}{suffix}"] = rng.uniform(-1, 1, (n_in, 4 * H)) / np.sqrt(n_in)
            p[f"U{layer}{suffix}"] = rng.uniform(-1, 1, (H, 4 * H)) / np.sqrt(H)
            p[f"b{layer}{suffix}"] = rng.uniform(-1, 1, 4 * H)
    read = D * H + highway * (2 * F if mask_missing else F)
    p["V"], p["d"] = rng.uniform(-1, 1, (read, K)) / np.sqrt(read), rng.uniform(-1, 1, K)
    output, states = (n, T, K) if return_sequences else (n, K), (L * D, n, H)
    shapes = {"X": (n, T, F), "y": output, "h0": states, "c0": states}
    shapes |= {"d_output": output, "d_hidden": (n, T, D * H), "d_h_n": states, "d_c_n": states}
    a = {name: rng.standard_normal(size).astype(dtype) for name, size in shapes.items()}
    lengths = rng.integers(1, T + 1, n)
    if mask_missing:  # some features are always there, some never
        missing_share = rng.choice([0, 0.3, 0.8, 1], (n, 1, F), p=[0.2, 0.4, 0.3, 0.1])
        a["X"][rng.random((n, T, F)) < missing_share] = np.nan
    return Problem(
        {name: array.astype(dtype).astype(float) for name, array in p.items()},
        a["X"],
        a["y"],
        {name: a[name] for name in ("h0", "c0")},
        {name: a[name] for name in ("d_output", "d_hidden", "d_h_n", "d_c_n")},
        lengths,
    )


def deviation(actual, expected):
    """Largest absolute difference, relative to the largest absolute expected value."""
    actual, expected = np.asarray(actual, dtype=float), np.asarray(expected, dtype=float)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    if np.array_equal(actual, expected):
        return 0.0
    return np.abs(actual - expected).max() / np.abs(expected).max()
