"""The same network in PyTorch, and the vectors stored of it for where PyTorch is absent.

    python tests/make_torch_vectors.py

writes tests/data/torch_vectors.npz anew: inputs, outputs, states, gradients and trained weights of
a few small networks in float64, named "<shape>/<array>" and laid out as `pylstm.core` has them. The
file in the repository comes from PyTorch 2.13.0 and NumPy 2.4.6. The tests use the functions below
for the live comparison too.
"""

import numpy as np
import torch
from reference import TORCH_VECTORS, Shape, random_problem

# n_samples, n_timesteps, n_features, hidden_size, num_layers, n_outputs
SHAPES = [
    Shape(),
    Shape(3, 5, 2, 3),
    Shape(5, 7, 3, 4, 2, 2),
    Shape(17, 4, 1, 5, 3, 3),
    Shape(2, 60, 1, 2),
    Shape(33, 3, 5, 9, 1, 2),
]

N_STEPS, LEARNING_RATE = 50, 0.01


def network(p, dtype):
    """`nn.LSTM` and `nn.Linear` with the parameters p, and a dict of theirs by the names of p."""
    num_layers = sum(name.startswith("U") for name in p)
    (n_features, _), (hidden_size, n_outputs) = p["W0"].shape, p["V"].shape
    lstm = torch.nn.LSTM(n_features, hidden_size, num_layers, batch_first=True, dtype=dtype)
    head = torch.nn.Linear(hidden_size, n_outputs, dtype=dtype)
    named = {}
    for layer in range(num_layers):
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


def forward_and_backward(p, X, states, upstream):
    """All that `core.forward` and `core.backward` return, as a dict of arrays."""
    X, h0, c0 = (torch.from_numpy(a).requires_grad_() for a in (X, states["h0"], states["c0"]))
    lstm, head, named = network(p, X.dtype)
    hidden, (h_n, c_n) = lstm(X, (h0, c0))
    results = {"output": head(hidden[:, -1]), "hidden": hidden, "h_n": h_n, "c_n": c_n}
    torch.autograd.backward(
        list(results.values()), [torch.from_numpy(upstream[f"d_{name}"]) for name in results]
    )
    arrays = {name: result.detach().numpy() for name, result in results.items()}
    arrays |= {"d_X": X.grad.numpy(), "d_h0": h0.grad.numpy(), "d_c0": c0.grad.numpy()}
    return arrays | {f"d_{name}": q.grad.numpy().T for name, q in named.items()}


def train(p, X, y, batches, make_optimizer, max_grad_norm=np.inf):
    """The parameters after one step for each batch of indices, on half the mean squared error."""
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    lstm, head, named = network(p, X.dtype)
    optimizer = make_optimizer(named.values())
    for batch in batches:
        optimizer.zero_grad()
        output = head(lstm(X[batch])[0][:, -1])
        (0.5 * torch.nn.functional.mse_loss(output, y[batch])).backward()
        torch.nn.utils.clip_grad_norm_(named.values(), max_grad_norm)
        optimizer.step()
    return {name: parameter.detach().numpy().T for name, parameter in named.items()}


def adam(parameters):
    return torch.optim.Adam(parameters, lr=LEARNING_RATE)


def random_batches(n_samples, seed=0):
    """Indices (N_STEPS, batch size) of the samples to train on."""
    batch_size = (n_samples + 1) // 2
    return np.random.default_rng(seed).integers(0, n_samples, (N_STEPS, batch_size))


def vectors(shape):
    """Inputs and results of one network."""
    problem, batches = random_problem(shape), random_batches(shape.n_samples)
    arrays = problem.p | {"X": problem.X, "y": problem.y} | problem.states | problem.upstream
    arrays |= {"batches": batches, "learning_rate": LEARNING_RATE}
    results = forward_and_backward(problem.p, problem.X, problem.states, problem.upstream)
    trained = train(problem.p, problem.X, problem.y, batches, adam)
    arrays |= {f"result {name}": array for name, array in results.items()}
    return arrays | {f"trained {name}": array for name, array in trained.items()}


def main():
    stored = {f"{s}/{name}": array for s in SHAPES for name, array in vectors(s).items()}
    np.savez_compressed(TORCH_VECTORS, **stored)
    print(f"PyTorch {torch.__version__}, NumPy {np.__version__}")
    print(f"{len(stored)} arrays of {len(SHAPES)} networks, {TORCH_VECTORS.stat().st_size} bytes")


if __name__ == "__main__":
    main()
