"""Draws the tables of RESULTS.md: how many times faster than the fastest peer, cell by cell.

python benchmarks/plot.py [--output docs/speed.png]
"""

import argparse
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def read_tables(text):
    """{(part, threads): {cell: ratio}} of the first section's tables."""
    tables = {}
    for line in text.split("\n### What bounds")[0].splitlines():
        heading = re.match(r"### (\w+), float32, (\d+) thread", line)
        if heading:
            part, threads = heading.groups()
            rows = tables.setdefault((part, int(threads)), {})
        columns = [column.strip() for column in line.split("|")[1:-1]]
        if len(columns) > 4 and re.match(r"\d", columns[0]) and columns[3]:
            rows[columns[0]] = float(columns[3])
    return tables


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("docs/speed.png"))
    arguments = parser.parse_args()
    tables = read_tables(Path(__file__).with_name("RESULTS.md").read_text())

    fig, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", sharex=False)
    titles = {"train": "A training step", "predict": "Prediction"}
    for ax, (part, title) in zip(axes, titles.items(), strict=True):
        for threads, offset, color in ((1, -0.2, "C0"), (2, 0.2, "C1")):
            rows = tables[part, threads]
            places = [place + offset for place in range(len(rows))]
            bars = ax.barh(
                places,
                rows.values(),
                0.38,
                color=color,
                label=f"{threads} thread{'s' * (threads > 1)}",
            )
            ax.bar_label(bars, fmt="%.1f", padding=2, fontsize=8)
        ax.set_yticks(range(len(rows)), rows)
        ax.invert_yaxis()
        ax.axvline(1, color="0.2", lw=1)  # as fast as the peer
        ax.set_title(f"{title}: times the fastest peer's speed", loc="left", fontsize=10)
        ax.set_ylabel("batch, time steps, features, hidden units (, layers)", fontsize=8)
        ax.spines[["top", "right"]].set_visible(False)
        ax.margins(x=0.12)
    axes[0].legend(frameon=False, loc="lower right")
    arguments.output.parent.mkdir(exist_ok=True)
    fig.savefig(arguments.output, dpi=120)


if __name__ == "__main__":
    main()
