"""The same network in PyTorch, and the vectors stored of it for where PyTorch is absent.

    python tests/make_torch_vectors.py

writes tests/data/torch_vectors.npz anew: inputs, outputs, states, gradients and trained weights of
a few small networks in float64, named "<network>/<array>" and laid out as `pylstm.core` has them.
The file in the repository comes from PyTorch 2.13.0 and NumPy 2.4.6. The tests use the functions
below for the live comparison too.
"""

import numpy as np
import torch
from reference import TORCH_VECTORS, Masks, Shape, random_problem
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

# n_samples, n_timesteps, n_features, hidden_size, num_layers, n_outputs
SHAPES = [
    Shape(),
    Shape(3, 5, 2, 3),
    Shape(5, 7, 3, 4, 2, 2),
    Shape(17, 4, 1, 5, 3, 3),
    Shape(2, 60, 1, 2),
    Shape(33, 3, 5, 9, 1, 2),
]
BIDIRECTIONAL_SHAPES = [Shape(5, 6, 2, 3, 2, 2), Shape(17, 5, 1, 4)]  # of different lengths

N_STEPS, LEARNING_RATE = 50, 0.01


def network(p, dtype):
    """`nn.LSTM` and `nn.Linear` with the parameters p, and a dict of theirs by the names of p."""
    bidirectional = "W0_reverse" in p
    num_layers = sum(name.startswith("U") for name in p) // (1 + bidirectional)
    n_features, hidden_size, n_outputs = len(p["W0"]), len(p["U0"]), len(p["d"])
    lstm = torch.nn.LSTM(
        n_features, hidden_size, num_layers,
        batch_first=True, bidirectional=bidirectional, dtype=dtype,
    )  # fmt: skip
    head = torch.nn.Linear(len(p["V"]), n_outputs, dtype=dtype)
    named = {}
    for name in p:
        if name[0] == "W":
            layer = name.removeprefix("W")
            named[f"W{layer}"] = getattr(lstm, f"weight_ih_l{layer}")
            named[f"U{layer}"] = getattr(lstm, f"weight_hh_l{layer}")
            named[f"b{layer}"] = getattr(lstm, f"bias_ih_l{layer}")
            # PyTorch adds two biases; the second stays zero and is not trained.
            torch.nn.init.zeros_(getattr(lstm, f"bias_hh_l{layer}").requires_grad_(False))
    named |= {"V": head.weight, "d": head.bias}
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(torch.from_numpy(p[name].T))
    return lstm, head, named


def apply(lstm, head, X, states=None, lengths=None, return_sequences=False):
    """Output, hidden states of the top layer, final states."""
    if lengths is None:
        hidden, (h_n, c_n) = lstm(X, states)
    else:
        lengths = torch.as_tensor(lengths)
        packed = pack_padded_sequence(X, lengths, batch_first=True, enforce_sorted=False)
        hidden, (h_n, c_n) = lstm(packed, states)
        hidden, _ = pad_packed_sequence(hidden, batch_first=True, total_length=X.shape[1])
    if not return_sequences:
        return head(torch.cat([*h_n[-2 if lstm.bidirectional else -1 :]], dim=1)), hidden, h_n, c_n
    output = head(hidden)
    if lengths is not None:
        output = torch.where(valid(lengths, X.shape[1])[:, :, None], output, 0)
    return output, hidden, h_n, c_n


def valid(lengths, n_timesteps):
    """(n, T), False in the padding."""
    return torch.arange(n_timesteps) < torch.as_tensor(lengths)[:, None]


def forward_and_backward(p, X, states, upstream, lengths=None, return_sequences=False):
    """All that `core.forward` and `core.backward` return, as a dict of arrays."""
    X, h0, c0 = (torch.from_numpy(a).requires_grad_() for a in (X, states["h0"], states["c0"]))
    lstm, head, named = network(p, X.dtype)
    results = dict(
        zip(
            ("output", "hidden", "h_n", "c_n"),
            apply(lstm, head, X, (h0, c0), lengths, return_sequences),
            strict=True,
        )
    )
    torch.autograd.backward(
        list(results.values()), [torch.from_numpy(upstream[f"d_{name}"]) for name in results]
    )
    arrays = {name: result.detach().numpy() for name, result in results.items()}
    arrays |= {"d_X": X.grad.numpy(), "d_h0": h0.grad.numpy(), "d_c0": c0.grad.numpy()}
    return arrays | {f"d_{name}": q.grad.numpy().T for name, q in named.items()}


# -- the network by hand, for what `nn.LSTM` does not do ------------------------------------------


def cell(x, h, c, W, U, b):
    i, f, g, o = (x @ W + h @ U + b).chunk(4, dim=1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def run_direction(x, W, U, b, here, drop, reverse):
    """Hidden states (n, T, H), zeros in the padding, and the final one."""
    h = c = x.new_zeros(len(x), len(U))
    hidden = [h] * x.shape[1]
    for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
        h_t, c_t = cell(x[:, t], drop * h, c, W, U, b)
        h, c = torch.where(here[:, t], h_t, h), torch.where(here[:, t], c_t, c)
        hidden[t] = torch.where(here[:, t], h, 0)
    return torch.stack(hidden, dim=1), h


def carry_forward(X):
    """X with each NaN replaced by the last value before it, and where that was done."""
    missing, last, filled = X.isnan(), torch.zeros_like(X[:, 0]), []
    for t in range(X.shape[1]):
        last = torch.where(missing[:, t], last, X[:, t])
        filled.append(last)
    return torch.cat([torch.stack(filled, dim=1), missing], dim=2)


def apply_by_hand(p, X, masks, lengths=None, return_sequences=False):
    """Output with the reference's dropout `masks`, of tensors p and X; X may have missing values."""
    n, T, F = X.shape
    here = valid(np.full(n, T) if lengths is None else lengths, T)[:, :, None]
    masks = Masks(*(torch.from_numpy(mask).to(X.dtype) for mask in masks))
    directions = ("", "_reverse") if "W0_reverse" in p else ("",)
    x = torch.where(here, X, 0)
    x = carry_forward(x) if len(p["W0"]) == 2 * F else x
    for layer in range(sum(name[0] == "U" for name in p) // len(directions)):
        dropped, final = [], []
        for direction, suffix in enumerate(directions):
            k = layer * len(directions) + direction
            W, U, b = (p[f"{name}{layer}{suffix}"] for name in "WUb")
            hidden, h = run_direction(x, W, U, b, here, masks.recurrent[k], suffix != "")
            last = 0 if suffix else here[:, :, 0].sum(dim=1) - 1
            dropped.append(masks.output[k] * hidden)
            final.append(masks.output[k][torch.arange(n), last] * h)
        x = torch.cat(dropped, dim=2)
    read = x if return_sequences else torch.cat(final, dim=1)
    return torch.where(here if return_sequences else torch.tensor(True), read @ p["V"] + p["d"], 0)


def gradients_by_hand(p, X, d_output, masks, lengths=None, return_sequences=False):
    """Output, gradient with respect to X, and those with respect to p, as arrays."""
    X = torch.from_numpy(X).requires_grad_()
    p = {name: torch.from_numpy(a).to(X.dtype).requires_grad_() for name, a in p.items()}
    output = apply_by_hand(p, X, masks, lengths, return_sequences)
    output.backward(torch.from_numpy(d_output).to(X.dtype))
    d_params = {name: parameter.grad.numpy() for name, parameter in p.items()}
    return output.detach().numpy(), X.grad.numpy(), d_params


def loss_and_gradient_by_hand(p, X, y, masks, lengths=None, return_sequences=False):
    """Half the mean squared error with the reference's dropout `masks`, and its gradient."""
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    p = {name: torch.from_numpy(a).to(X.dtype).requires_grad_() for name, a in p.items()}
    output = apply_by_hand(p, X, masks, lengths, return_sequences)
    loss = mean_loss(half_squared_error(output, y), torch.ones(len(X)), lengths)
    loss.backward()
    return loss.item(), {name: parameter.grad.numpy() for name, parameter in p.items()}


# -- losses ---------------------------------------------------------------------------------------


def pinball(z, y, quantiles):
    q = torch.tensor(quantiles, dtype=z.dtype)
    r = y[..., None] - z.reshape(*y.shape, len(q))
    return torch.maximum(q * r, (q - 1) * r).mean(dim=-1)


def gaussian(z, y):
    mu, s = z.reshape(*y.shape, 2).unbind(dim=-1)
    sigma = torch.nn.functional.softplus(s) + 1e-6
    return torch.nn.GaussianNLLLoss(reduction="none")(mu, y, sigma**2)


def cross_entropy(z, y):
    losses = torch.nn.CrossEntropyLoss(reduction="none")(z.movedim(-1, 1), y[..., 0].long())
    return losses[..., None]


def half_squared_error(z, y):
    return 0.5 * torch.nn.MSELoss(reduction="none")(z, y)


def mean_loss(losses, sample_weight, lengths=None):
    """Weighted mean over samples of the mean over each one's targets and valid steps."""
    if losses.ndim == 3:
        lengths = np.full(len(losses), losses.shape[1]) if lengths is None else lengths
        here = valid(lengths, losses.shape[1])[:, :, None]
        losses = torch.where(here, losses, 0).sum(dim=1) / here.sum(dim=1)
    weight = torch.as_tensor(sample_weight)
    return (weight * losses.mean(dim=1)).sum() / weight.sum()


def loss_and_gradient(p, X, y, loss, sample_weight, lengths=None, return_sequences=False):
    """The loss, a function of output and targets that gives one for each target, and gradients."""
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    lstm, head, named = network(p, X.dtype)
    output = apply(lstm, head, X, None, lengths, return_sequences)[0]
    value = mean_loss(loss(output, y), sample_weight, lengths)
    value.backward()
    return value.item(), {name: parameter.grad.numpy().T for name, parameter in named.items()}


# -- training -------------------------------------------------------------------------------------


def train(
    p, X, y, batches, make_optimizer,
    *, max_grad_norm=np.inf, max_grad_value=np.inf, lengths=None, stateful=False,
    learning_rates=None,
):  # fmt: skip
    """The parameters after one step for each batch of indices, on half the mean squared error.

    `make_optimizer` takes the dict of parameters; stateful: a batch starts where the one before it
    ended; learning_rates: one for each batch.
    """
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    lstm, head, named = network(p, X.dtype)
    optimizer, states = make_optimizer(named), None
    for step, batch in enumerate(batches):
        optimizer.zero_grad()
        batch_lengths = None if lengths is None else lengths[batch]
        output, _, *final = apply(lstm, head, X[batch], states, batch_lengths)
        half_squared_error(output, y[batch]).mean().backward()
        torch.nn.utils.clip_grad_value_(named.values(), max_grad_value)
        torch.nn.utils.clip_grad_norm_(named.values(), max_grad_norm)
        if learning_rates is not None:
            for group in optimizer.param_groups:
                group["lr"] = learning_rates[step]
        optimizer.step()
        states = [state.detach() for state in final] if stateful else None
    return {name: parameter.detach().numpy().T for name, parameter in named.items()}


def adam(named):
    return torch.optim.Adam(named.values(), lr=LEARNING_RATE)


def adamw(named):
    """Decay of the weights, not of the biases."""
    groups = [[q for name, q in named.items() if (name[0] in "WUV") == decays] for decays in (1, 0)]
    settings = [
        {"params": group, "weight_decay": decay}
        for group, decay in zip(groups, (0.1, 0.0), strict=True)
    ]
    return torch.optim.AdamW(settings, lr=LEARNING_RATE)


def random_batches(n_samples, seed=0):
    """Indices (N_STEPS, batch size) of the samples to train on."""
    batch_size = (n_samples + 1) // 2
    return np.random.default_rng(seed).integers(0, n_samples, (N_STEPS, batch_size))


# -- the stored ones ------------------------------------------------------------------------------


def vectors(shape, bidirectional):
    """Inputs and results of one network; a bidirectional one reads sequences of many lengths."""
    problem = random_problem(shape, bidirectional=bidirectional)
    batches = random_batches(shape.n_samples)
    arrays = problem.p | {"X": problem.X, "y": problem.y} | problem.states | problem.upstream
    arrays |= {"batches": batches, "learning_rate": LEARNING_RATE}
    given = {"lengths": problem.lengths} if bidirectional else {}
    arrays |= given
    results = forward_and_backward(problem.p, problem.X, problem.states, problem.upstream, **given)
    trained = train(problem.p, problem.X, problem.y, batches, adam, **given)
    arrays |= {f"result {name}": array for name, array in results.items()}
    return arrays | {f"trained {name}": array for name, array in trained.items()}


def main():
    networks = {str(shape): vectors(shape, False) for shape in SHAPES}
    networks |= {f"{shape}-bidirectional": vectors(shape, True) for shape in BIDIRECTIONAL_SHAPES}
    stored = {f"{key}/{name}": a for key, arrays in networks.items() for name, a in arrays.items()}
    np.savez_compressed(TORCH_VECTORS, **stored)
    print(f"PyTorch {torch.__version__}, NumPy {np.__version__}")
    print(f"{len(stored)} arrays of {len(networks)} networks, {TORCH_VECTORS.stat().st_size} bytes")


if __name__ == "__main__":
    main()
