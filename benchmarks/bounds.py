"""What matrix products and gate math alone would take, beside what is measured: the bound of each cell.

    python benchmarks/bounds.py [--compiler gcc] [--flags="-mavx2 -mfma"]

A program in C, of the kernels' own `simd.h`, measures one core: multiply-adds in registers, and the equations
of `cell.pxi` forward and backward for registers of hidden units in the first-level cache. Counted by them
are the cells of RESULTS.md's tables for one thread, float32: what their products and gates take, the share of
the measured time, and the ratio to the fastest peer that they alone would have.
"""

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path

KERNELS = Path(__file__).parents[1] / "pylstm" / "kernels"

PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "simd.h"

#define N 64            /* registers of hidden units */
#define CHAINS 10       /* independent sums, enough to hide the latency of a multiply-add */
#define REPETITIONS 1000
#define UNROLL _Pragma("GCC unroll 10")

static vec_f sigmoid(vec_f x) { return 1 / (1 + exp_f(-clamp_f(x, EXP_LIMIT_F))); }
static vec_f tanh_of(vec_f x) { vec_f e = expm1_f(2 * clamp_f(x, TANH_LIMIT_F)); return e / (e + 2); }

static __attribute__((noinline)) void forward(vec_f *z, vec_f *c_prev, vec_f *c, vec_f *h)
{
    for (int k = 0; k < N; k++, z += 4) {
        vec_f i = sigmoid(z[0]), f = sigmoid(z[1]), g = tanh_of(z[2]), o = sigmoid(z[3]);
        c[k] = f * c_prev[k] + i * g;
        z[0] = i, z[1] = f, z[2] = g, z[3] = o;
    }
    z -= 4 * N;
    for (int k = 0; k < N; k++)
        h[k] = z[4 * k + 3] * tanh_of(c[k]);
}

static __attribute__((noinline)) void backward(vec_f *z, vec_f *c_prev, vec_f *h, vec_f *dh, vec_f *dc,
                                               vec_f *db)
{
    for (int k = 0; k < N; k++, z += 4) {
        vec_f i = z[0], f = z[1], g = z[2], o = z[3], tanh_c = h[k] / o;
        vec_f d_o = dh[k] * tanh_c, d_c = dc[k] + dh[k] * o * (1 - tanh_c * tanh_c);
        z[0] = d_c * g * i * (1 - i);
        z[1] = d_c * c_prev[k] * f * (1 - f);
        z[2] = d_c * i * (1 - g * g);
        z[3] = d_o * o * (1 - o);
        dc[k] = d_c * f;
        for (int gate = 0; gate < 4; gate++)
            db[gate] += z[gate];
    }
}

static __attribute__((noinline)) void multiply_adds(vec_f *sums, vec_f factor)
{
    vec_f s[CHAINS];
    memcpy(s, sums, sizeof s);
    for (int repetition = 0; repetition < REPETITIONS; repetition++) {
        UNROLL for (int k = 0; k < CHAINS; k++)
            s[k] = s[k] * factor + factor;
    }
    memcpy(sums, s, sizeof s);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

int main(void)
{
    static vec_f z[4 * N], z_start[4 * N], areas[5][N];
    double shortest[3] = {1e9, 1e9, 1e9}, start, taken;
    srand(0);
    for (size_t k = 0; k < sizeof z / sizeof(float); k++)
        ((float *)z_start)[k] = 0.1f + 0.8f * (float)rand() / (float)RAND_MAX;
    for (int repetition = 0; repetition < 5000; repetition++)
        for (int part = 0; part < 3; part++) {
            memcpy(z, z_start, sizeof z);
            memcpy(areas, z_start, sizeof areas[0] * 4);
            start = now();
            if (part == 0) forward(z, areas[0], areas[1], areas[2]);
            if (part == 1) backward(z, areas[0], areas[1], areas[2], areas[3], areas[4]);
            if (part == 2) multiply_adds(areas[0], areas[1][0]);
            taken = (now() - start) / (part == 2 ? REPETITIONS * CHAINS : N);
            if (taken < shortest[part]) shortest[part] = taken;
        }
    printf("{\"lanes\": %d, \"forward\": %g, \"backward\": %g, \"multiply_add\": %g}\n",
           LANES_F, shortest[0], shortest[1], shortest[2]);
    return 0;
}
"""


def measure(compiler, flags):
    """Nanoseconds of a register, and how many floats it has."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "bounds.c"), Path(folder, "bounds")
        source.write_text(PROGRAM)
        options = ["-O3", "-fno-math-errno", "-fno-trapping-math", *flags, f"-I{KERNELS}"]
        subprocess.run([compiler, *options, source, "-o", program], check=True)
        return json.loads(subprocess.check_output([program]))


def padded(n, unit):
    return -(-n // unit) * unit


def bound(part, cell, unit):
    """(milliseconds of products, of gate math): the first step has no h U, and its h no gradient."""
    B, T, F, H, *layers = cell
    lanes = unit["lanes"]
    units = padded(H, max(lanes // 4, 1))
    multiply_adds, gates = 0, unit["forward"] + (part == "train") * unit["backward"]
    for layer in range(layers[0] if layers else 1):
        n_in = H if layer else F
        forward = (T * (n_in + H) - H) * 4 * units / lanes
        multiply_adds += forward
        if part == "train":
            to_hidden = (T - 1) * 4 * units * padded(H, lanes) / lanes
            to_input = T * 4 * units * padded(n_in, lanes) / lanes if layer else 0
            multiply_adds += forward + to_hidden + to_input
    n_gates = T * units / lanes * (layers[0] if layers else 1)
    return 1e-6 * B * multiply_adds * unit["multiply_add"], 1e-6 * B * n_gates * gates


def rows_of(text, part):
    """(cell, our milliseconds, the peer's, goal) of the first section's table for one thread."""
    table = text.split(f"### {part}, float32, 1 thread")[1].split("###")[0]
    for line in table.splitlines():
        columns = [column.strip() for column in line.split("|")[1:-1]]
        if columns and re.match(r"\d", columns[0]):
            ours, peers = (float(column.split()[0]) for column in columns[1:3])
            yield columns[0], ours, peers, columns[4]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compiler", default="gcc")
    parser.add_argument("--flags", type=str.split, default=["-mavx2", "-mfma"])
    arguments = parser.parse_args()
    unit = measure(arguments.compiler, arguments.flags)
    print(
        f"{2 * unit['lanes'] / unit['multiply_add']:.1f} GFLOP/s of multiply-adds; for {unit['lanes']} "
        f"hidden units of a sample {unit['forward']:.1f} ns forward, {unit['backward']:.1f} ns backward\n"
    )
    text = Path(__file__).with_name("RESULTS.md").read_text()
    for part in ("train", "predict"):
        print(f"{part}, one thread:\n")
        print(
            "| B, T, F, H | products | gate math | measured | both, of measured | ratio | alone | goal |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for cell, ours, peers, goal in rows_of(text, part):
            products, gates = bound(part, tuple(map(int, cell.split(","))), unit)
            alone = products + gates
            print(
                f"| {cell} | {products:.4g} ms | {gates:.4g} ms | {ours:.4g} ms | {100 * alone / ours:.0f} % "
                f"| {peers / ours:.2f} | {peers / alone:.2f} | {goal} |"
            )  # fmt: skip
        print()


if __name__ == "__main__":
    main()
