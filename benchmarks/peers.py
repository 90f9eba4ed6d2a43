"""The contestants of `compare.py`: for each, what one training step and one prediction is.

Run as a program, it is the worker process of one contestant: it reads jobs, one JSON object a line, and
answers each with the seconds that its repetitions took. `compare.py` keeps one worker for each contestant
and lets them take turns, so that two OpenMP runtimes never spin against each other in one process.
"""

import json
import sys
import time

import numpy as np


def data(cell, dtype):
    """(X, y) of a cell (batch, T, F, H): standard normal, the same for all contestants."""
    batch, T, F, _ = cell[:4]
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((batch, T, F)).astype(dtype),
        rng.standard_normal((batch, 1)).astype(dtype),
    )


def layers_of(cell):
    return cell[4] if len(cell) > 4 else 1


BATCHES = 8


class Pylstm:
    def __init__(self, n_threads):
        from pylstm import core

        self.core, self.n_threads = core, n_threads

    def prepare(self, part, cell, dtype):
        core, n_threads = self.core, self.n_threads
        X, y = data(cell, dtype)
        arch = core.Architecture(cell[2], cell[3], layers_of(cell))
        params = core.init_parameters(arch, dtype=dtype, random_state=0)
        if part == "predict":
            return lambda: core.predict(params, X, arch, n_threads=n_threads)
        optimizer = core.Adam(len(params), params.dtype)
        # a call trains for an epoch, as the estimator does; its time is divided by its batches
        order = np.tile(np.arange(len(X)), BATCHES)

        def epoch():
            core.train(
                params, X, y, arch, optimizer, order=order, batch_size=len(X), max_grad_norm=1.0,
                n_threads=n_threads,
            )  # fmt: skip

        epoch.steps = BATCHES
        return epoch


class Torch:
    """PyTorch, eager. Adam in the variant named; inference as PyTorch chooses, or without oneDNN."""

    def __init__(self, n_threads, variant="default"):
        import torch

        torch.set_num_threads(n_threads)
        if variant == "without oneDNN":
            torch.backends.mkldnn.enabled = False
        self.torch, self.variant = torch, variant

    def prepare(self, part, cell, dtype):
        torch = self.torch
        X, y = (torch.from_numpy(array) for array in data(cell, dtype))
        torch.manual_seed(0)
        lstm = torch.nn.LSTM(cell[2], cell[3], layers_of(cell), batch_first=True).to(X.dtype)
        head = torch.nn.Linear(cell[3], 1).to(X.dtype)
        if part == "predict":

            def predict():
                with torch.inference_mode():
                    head(lstm(X)[0][:, -1])

            return predict
        parameters = [*lstm.parameters(), *head.parameters()]
        options = {self.variant: True} if self.variant in ("foreach", "fused") else {}
        optimizer = torch.optim.Adam(parameters, lr=1e-3, **options)
        loss = torch.nn.MSELoss()

        def step():
            optimizer.zero_grad()
            loss(head(lstm(X)[0][:, -1]), y).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()

        return step


class Jax:
    """XLA on the CPU: a scan over time, compiled; eight Adam steps are one compiled loop.

    `compare.py` sets NPROC and XLA_FLAGS, which hold it to its threads.
    """

    def __init__(self, n_threads):
        import jax

        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", True)
        self.jax = jax

    def prepare(self, part, cell, dtype):
        jax, jnp = self.jax, self.jax.numpy
        X, y = (jnp.asarray(array) for array in data(cell, dtype))
        F, H, rng = cell[2], cell[3], np.random.default_rng(0)

        def weight(*shape):
            return jnp.asarray(rng.uniform(-0.2, 0.2, shape).astype(dtype))

        sizes = [F] + [H] * (layers_of(cell) - 1)
        layers = [(weight(n_in, 4 * H), weight(H, 4 * H), weight(4 * H)) for n_in in sizes]
        params = layers, (weight(H, 1), weight(1))

        def layer(steps, weights):
            W, U, b = weights

            def step(states, z):
                h, c = states
                i, f, g, o = jnp.split(z + h @ U, 4, axis=1)
                c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
                return (h, c), h

            zeros = jnp.zeros((steps.shape[1], H), dtype)
            return jax.lax.scan(step, (zeros, zeros), steps @ W + b)[1]  # x W of all steps at once

        def network(params, X):
            steps = X.transpose(1, 0, 2)
            for weights in params[0]:
                steps = layer(steps, weights)
            V, d = params[1]
            return steps[-1] @ V + d

        if part == "predict":
            compiled = jax.jit(network)
            return lambda: compiled(params, X).block_until_ready()

        def loss(params):
            return ((network(params, X) - y) ** 2).mean()

        def adam(number, state):
            params, first, second = state
            gradient = jax.grad(loss)(params)
            norm = jnp.sqrt(sum((g**2).sum() for g in jax.tree.leaves(gradient)))
            scale = jnp.minimum(1, 1 / (norm + 1e-6))
            gradient = jax.tree.map(lambda g: g * scale, gradient)
            first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
            second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
            t = (number + 1).astype(dtype)
            rate = jnp.asarray(1e-3, dtype) * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            params = jax.tree.map(
                lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8), params, first, second
            )
            return params, first, second

        zeros = jax.tree.map(jnp.zeros_like, params)
        compiled = jax.jit(lambda state: jax.lax.fori_loop(0, BATCHES, adam, state))

        def epoch():
            jax.block_until_ready(compiled((params, zeros, zeros)))

        epoch.steps = BATCHES
        return epoch


class OnnxRuntime:
    """ONNX Runtime, prediction only, of a graph of one LSTM node a layer and the final product."""

    def __init__(self, n_threads):
        self.n_threads = n_threads

    def prepare(self, part, cell, dtype):
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper

        batch, T, F, H = cell[:4]
        X, _ = data(cell, "float32")
        rng = np.random.default_rng(0)
        nodes, weights = [], []

        def weight(name, *shape):
            array = rng.uniform(-0.2, 0.2, shape).astype("float32")
            weights.append(numpy_helper.from_array(array, name))
            return name

        def constant(name, *values):
            weights.append(numpy_helper.from_array(np.array(values, dtype="int64"), name))
            return name

        nodes.append(helper.make_node("Transpose", ["X"], ["steps0"], perm=[1, 0, 2]))
        for layer in range(layers_of(cell)):
            n_in = F if layer == 0 else H
            inputs = [
                f"steps{layer}",
                weight(f"W{layer}", 1, 4 * H, n_in),
                weight(f"R{layer}", 1, 4 * H, H),
                weight(f"B{layer}", 1, 8 * H),
            ]
            outputs = [f"all{layer}", f"last{layer}"]
            nodes.append(helper.make_node("LSTM", inputs, outputs, hidden_size=H))
            axes = constant(f"axis{layer}", 1)
            nodes.append(helper.make_node("Squeeze", [f"all{layer}", axes], [f"steps{layer + 1}"]))
        last = f"last{layers_of(cell) - 1}"
        nodes.append(helper.make_node("Squeeze", [last, constant("first", 0)], ["h"]))
        nodes.append(helper.make_node("Gemm", ["h", weight("V", H, 1), weight("d", 1)], ["y"]))
        graph = helper.make_graph(
            nodes,
            "lstm",
            [helper.make_tensor_value_info("X", TensorProto.FLOAT, [batch, T, F])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 1])],
            weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.n_threads, 1
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        feeds = {"X": X}
        return lambda: session.run(None, feeds)


# Contestant -> (how to make it, the parts it takes part in, the dtypes it does).
CONTESTANTS = {
    "pylstm": (Pylstm, ("train", "predict"), ("float32", "float64")),
    "torch": (Torch, ("train", "predict"), ("float32", "float64")),
    "torch, foreach": (lambda n: Torch(n, "foreach"), ("train",), ("float32", "float64")),
    "torch, fused": (lambda n: Torch(n, "fused"), ("train",), ("float32", "float64")),
    "torch, no oneDNN": (lambda n: Torch(n, "without oneDNN"), ("predict",), ("float32",)),
    "jax": (Jax, ("train", "predict"), ("float32", "float64")),
    "onnxruntime": (OnnxRuntime, ("predict",), ("float32",)),
}


def serve(name, n_threads):
    contestant = CONTESTANTS[name][0](n_threads)
    prepared = {}
    for line in sys.stdin:
        job = json.loads(line)
        key = json.dumps([job["part"], job["cell"], job["dtype"]])
        if key not in prepared:
            prepared.clear()
            prepared[key] = contestant.prepare(job["part"], job["cell"], job["dtype"])
            prepared[key]()
        run, seconds = prepared[key], []
        for _ in range(job["repetitions"]):
            start = time.perf_counter()
            run()
            seconds.append((time.perf_counter() - start) / getattr(run, "steps", 1))
        print(json.dumps(seconds), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
