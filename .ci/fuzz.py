"""Calls `pylstm.core` with random arguments, some of them wrong, and with state that has been tampered with.

Usage: fuzz.py SECONDS [SEED [NUMBER]]

Each call must return, with the same bits on any number of threads and with arenas of any size if its
arguments are right, or raise a TypeError, ValueError, MemoryError or OverflowError. A crash ends the process:
the file named at the start then holds seed and number of the call, which `fuzz.py 1 SEED NUMBER` repeats.
`.ci/run` has it run under the sanitizers for some seconds; `FUZZ_SECONDS=3600 .ci/run sanitizers` for an hour
on each instruction set.
"""

import copy
import faulthandler
import os
import sys
import tempfile
import time
import warnings

import numpy as np

from pylstm import _dispatch, core

REFUSALS = (TypeError, ValueError, MemoryError, OverflowError)

# -- what is right --------------------------------------------------------------------------------


def architecture(rng):
    hidden_size = int(rng.choice([1, 2, 3, 5, 8, 16, 17, 33, 96, 100]))
    return core.Architecture(
        n_features=int(rng.integers(1, 5)),
        hidden_size=hidden_size,
        num_layers=int(rng.integers(1, 4)),
        n_outputs=int(rng.integers(1, 5)),
        bidirectional=bool(rng.random() < 0.3),
        return_sequences=bool(rng.random() < 0.4),
        mask_missing=bool(rng.random() < 0.4),
    )


def loss_for(rng, arch):
    """A loss that suits the number of outputs, and its number of targets."""
    K = arch.n_outputs
    losses = [
        (core.SquaredError(), K),
        (core.AbsoluteError(), K),
        (core.Huber(0.5), K),
        (core.Poisson(), K),
    ]
    losses.append((core.Quantile(tuple(np.linspace(0.2, 0.8, K))), 1))
    if K > 1:
        losses.append((core.LogLoss(K), 1))
    if K % 2 == 0:
        losses.append((core.Gaussian(), K // 2))
    return losses[rng.integers(len(losses))]


def arguments(rng):
    """All that some function of the core takes, by name: valid."""
    arch = architecture(rng)
    n, T = int(rng.integers(1, 40)), int(rng.choice([1, 2, 3, 7, 20, 150]))
    if arch.hidden_size > 50:
        T = min(T, 7)
    dtype = rng.choice([np.float32, np.float64])
    D, H, L, K = arch.num_directions, arch.hidden_size, arch.num_layers, arch.n_outputs
    loss, n_targets = loss_for(rng, arch)
    steps = (T,) if arch.return_sequences else ()
    params = core.init_parameters(arch, dtype=dtype, random_state=int(rng.integers(1000)))
    solver = [core.Adam, core.AdamW, core.RMSprop, core.SGD][rng.integers(4)]
    X = rng.normal(size=(n, T, arch.n_features)).astype(dtype)
    if arch.mask_missing:
        X[rng.random(X.shape) < 0.3] = np.nan
    y = rng.integers(
        0, max(K, 2) if isinstance(loss, core.LogLoss) else 9, size=(n, *steps, n_targets)
    )
    states = (L * D, n, H)
    values = {
        "params": params, "X": X, "arch": arch, "y": y.astype(dtype), "loss": loss,
        "lengths": rng.integers(1, T + 1, n), "h0": rng.normal(size=states), "c0": rng.normal(size=states),
        "d_output": rng.normal(size=(n, *steps, K)), "d_hidden": rng.normal(size=(n, T, D * H)),
        "d_h_n": rng.normal(size=states), "d_c_n": rng.normal(size=states),
        "sample_weight": rng.random(n) + 0.1, "alpha": 0.1, "dropout": 0.3, "recurrent_dropout": 0.2,
        "seed": int(rng.integers(2**63)), "n_threads": int(rng.integers(1, 5)), "return_states": True,
        "order": rng.integers(0, n, 2 * n), "batch_size": int(rng.integers(1, 2 * n + 2)),
        "optimizer": solver(params.size, dtype), "max_grad_norm": 1.0, "max_grad_value": 0.5,
        "stateful": bool(rng.random() < 0.5 and D == 1), "average": (params.copy(), 0.9),
    }  # fmt: skip
    return values


TAKEN = {  # what each function must have, and what it may have
    "forward": ("params X arch", "lengths h0 c0 n_threads"),
    "predict": ("params X arch", "lengths h0 c0 n_threads return_states"),
    "gate_activations": ("params X arch", "lengths h0 c0 n_threads"),
    "backward": ("params X arch", "lengths h0 c0 n_threads d_output d_hidden d_h_n d_c_n"),
    "loss_and_gradient": (
        "params X y arch loss", "sample_weight lengths alpha dropout recurrent_dropout seed n_threads",
    ),
    "train": (
        "params X y arch optimizer order batch_size loss",
        "sample_weight lengths alpha max_grad_norm max_grad_value dropout recurrent_dropout seed stateful "
        "average n_threads",
    ),
}  # fmt: skip

# -- what is wrong --------------------------------------------------------------------------------

SCALARS = [
    None, True, False, 0, 1, -1, 2, 3, 0.0, 0.5, 0.999, 1.0, -0.5, 1e300, np.nan, np.inf, -np.inf, 1j, "",
    "text", b"", 2**31 - 1, 2**31, 2**32, 2**62, 2**63, 2**64, 2**80, -(2**63), 10**6, (), [], {}, [1],
    (1, 2), object(), np.uint8(200), np.int8(-3), np.uint64(7), np.int64(2**62), np.float16(0.3),
    np.float32(0.9), np.float64(0.9), np.bool_(True),
    np.datetime64("2020"), np.timedelta64(1, "s"), np.array(1), np.array([]), range(3),
]  # fmt: skip


def unaligned(a):
    records = np.zeros(a.shape, [("flag", "i1"), ("a", a.dtype)])
    records["a"] = a
    return records["a"]


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


ARRAYS = [  # from an array to one that is as good, or wrong
    np.asfortranarray,
    unaligned,
    read_only,
    lambda a: a.astype(a.dtype.newbyteorder()),
    lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    lambda a: a[::-1].copy()[::-1],
    lambda a: a.tolist(),
    lambda a: a.astype(np.float16),
    lambda a: a.astype(np.longdouble),
    lambda a: a.astype(bool),
    lambda a: a.astype(np.int8),
    lambda a: a.astype(np.uint64),
    lambda a: a.astype(complex),
    lambda a: a.astype(object),
    lambda a: a.astype(str),
    lambda a: a.astype("M8[s]"),
    lambda a: a.astype("m8[s]"),
    lambda a: np.ma.masked_array(a, a > 0),
    lambda a: a.view(np.matrix) if a.ndim == 2 else a.view(np.recarray),
    lambda a: a[:-1],
    lambda a: a[:0],
    lambda a: a[..., :0],
    lambda a: a[np.newaxis],
    lambda a: a.ravel(),
    lambda a: np.concatenate([a, a]),
    lambda a: a * np.nan,
    lambda a: a * np.inf,
    lambda a: a * 1e38,
    lambda a: a * 0,
    lambda a: a * 1e-310,
    lambda a: -a - 5,
    lambda a: a + 1000,
    lambda a: np.broadcast_to(a.flat[0] if a.size else 0, a.shape),
    lambda a: np.broadcast_to(np.float32(0), (1, 2**57, 2)),
    lambda a: np.broadcast_to(np.float32(0), (1, 2**32, a.shape[-1] if a.ndim else 1)),
    lambda a: np.broadcast_to(np.float64(0), (2**50, 3, a.shape[-1] if a.ndim else 1)),
]


def another(rng, array):
    """An array made of this one; itself where that cannot be."""
    if array.size > 10**6:
        return array
    try:
        return ARRAYS[rng.integers(len(ARRAYS))](array)
    except (IndexError, *REFUSALS):
        return array


def in_memory_of(other, array):
    """An array of the form of this one, where the other one lies; itself where that cannot be."""
    try:
        shared = other.reshape(-1).view(np.uint8)[: array.nbytes]
        return shared.view(array.dtype).reshape(array.shape)
    except REFUSALS:
        return array


def anything(rng):
    return SCALARS[rng.integers(len(SCALARS))]


def spoil(rng, values, taken):
    """Change one of the arguments to something wrong, or unusual."""
    name = taken[rng.integers(len(taken))]
    value = values[name]  # which may have been spoilt before
    if isinstance(value, np.ndarray) and rng.random() < 0.8:
        others = [a for a in values.values() if isinstance(a, np.ndarray) and 0 < a.size < 10**6]
        if rng.random() < 0.15:
            values[name] = in_memory_of(others[rng.integers(len(others))], value)
        else:
            values[name] = another(rng, value)
    elif name == "optimizer" and hasattr(value, "__dict__") and rng.random() < 0.9:
        attribute = rng.choice([*vars(value)])
        before = getattr(value, attribute)
        if isinstance(before, np.ndarray) and rng.random() < 0.7:
            after = another(rng, before)
        else:
            params = np.asarray(values["params"])
            others = [params, params[np.newaxis], anything(rng), anything(rng)]
            after = others[rng.integers(len(others))]
        setattr(value, attribute, after)
    elif name == "average" and isinstance(value, tuple) and rng.random() < 0.7:
        values[name] = (another(rng, value[0]), anything(rng))
    else:
        values[name] = anything(rng)


# -- calls ----------------------------------------------------------------------------------------


def flat(result):
    return [np.asarray(a) for a in (result if isinstance(result, tuple) else (result,))]


def call(function, values, taken):
    """The results, and what was changed in place."""
    changed = ("params", "optimizer", "average")
    values = {
        name: copy.deepcopy(values[name]) if name in changed else values[name] for name in taken
    }
    result = flat(getattr(core, function)(**values))
    return result + ([values["params"]] if function == "train" else [])


def arrays_agree(first, second):
    return all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(first, second, strict=True)
    )


def fuzz_function(rng):
    """One call; whether it was refused."""
    function = rng.choice([*TAKEN])
    needed, optional = (names.split() for names in TAKEN[function])
    taken = needed + [name for name in optional if rng.random() < 0.5]
    values = arguments(rng)
    n_spoilt = rng.choice([0, 0, 1, 1, 2, 3])
    for _ in range(n_spoilt):
        spoil(rng, values, taken)
    if n_spoilt > 0 and function == "train":  # as it is: memory stays shared
        result = lambda: flat(core.train(**{name: values[name] for name in taken}))  # noqa: E731
    else:
        result = lambda: call(function, values, taken)  # noqa: E731
    try:
        first = result()
    except REFUSALS as error:
        if n_spoilt == 0:
            raise AssertionError("a valid call was refused") from error
        return True
    if n_spoilt == 0:
        before = _dispatch.kernels.set_arena_limits(*rng.choice([0.0, 1e5, 1e9], 2))
        values["n_threads"] = int(rng.integers(1, 5))
        taken = [*dict.fromkeys([*taken, "n_threads"])]
        if not arrays_agree(call(function, values, taken), first):
            raise AssertionError("other threads or arenas, other bits")
        _dispatch.kernels.set_arena_limits(*before)
    return False


def fuzz_architecture(rng):
    """An architecture of wrong sizes, and what is asked of it."""
    sizes = {name: anything(rng) for name in ("n_features", "hidden_size")}
    for name in ("num_layers", "n_outputs", "bidirectional", "return_sequences", "mask_missing"):
        if rng.random() < 0.3:
            sizes[name] = anything(rng)
    try:
        arch = core.Architecture(**sizes)
    except REFUSALS:
        return True
    n_params = core.n_parameters(arch)
    if n_params != sum(
        int(np.prod([int(n) for n in s], dtype=object))
        for s in core.parameter_shapes(arch).values()
    ):
        raise AssertionError("parameters miscounted")
    if n_params > 10**6:
        return True
    core.predict(
        core.init_parameters(arch, random_state=0), np.zeros((2, 3, arch.n_features)), arch
    )
    return False


def fuzz_stream(rng):
    """A stream that is fed, copied and set."""
    values = arguments(rng)
    arch = values["arch"]
    refused = False
    try:
        stream = core.Stream(values["params"], arch)
        for _ in range(5):
            x = values["X"][0, 0]
            action = rng.integers(4)
            if rng.random() < 0.3:
                x = anything(rng) if action == 0 else another(rng, x)
            if action < 2:
                stream.step(x)
            elif action == 2:
                stream = copy.copy(stream)
            else:
                stream.states = (x, x) if rng.random() < 0.3 else stream.states
    except REFUSALS:
        refused = True
    return refused


def main(seconds, seed=None, number=None):
    seed = int(time.time()) if seed is None else int(seed)
    faulthandler.enable()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    _dispatch.kernels.set_work_per_thread(0)
    log, name = tempfile.mkstemp(prefix="fuzz-")
    print(f"{_dispatch.instruction_set}: seed {seed}; the call at hand is in {name}", flush=True)
    end = time.monotonic() + float(seconds)
    calls = refused = 0
    numbers = iter([int(number)]) if number is not None else iter(range(2**63))
    for at_hand in numbers:
        if time.monotonic() > end and number is None:
            break
        os.pwrite(log, f"{seed} {at_hand}\n".encode(), 0)
        rng = np.random.default_rng([seed, at_hand])
        kind = [fuzz_function, fuzz_function, fuzz_function, fuzz_stream, fuzz_architecture][
            rng.integers(5)
        ]
        try:
            refused += kind(rng)
        except BaseException:
            print(f"{kind.__name__}, seed {seed}, number {at_hand}:", file=sys.stderr, flush=True)
            raise
        calls += 1
    os.close(log)
    os.unlink(name)
    print(f"{_dispatch.instruction_set}: {calls} calls, {refused} of them refused; nothing found")


if __name__ == "__main__":
    main(*sys.argv[1:])
