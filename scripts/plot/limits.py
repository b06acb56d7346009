"""Plots round trips for each request, over limits, one line for each number of instances."""

import csv
import sys
from collections import defaultdict

import matplotlib

matplotlib.use("svg")
# The same figures give the same file.
matplotlib.rcParams["svg.hashsalt"] = "keygate"
from matplotlib import pyplot as plt  # noqa: E402


def main(figures: str, plot: str) -> None:
    lines = defaultdict(list)
    with open(figures, newline="") as file:
        for row in csv.DictReader(file):
            lines[int(row["instances"])].append((int(row["limit"]), float(row["round_trips"])))
    figure, axes = plt.subplots(figsize=(7, 4.2))
    for instances, points in sorted(lines.items()):
        limits, round_trips = zip(*sorted(points))
        name = "1 instance" if instances == 1 else f"{instances} instances"
        axes.plot(limits, round_trips, marker="o", label=name)
    axes.axhline(1, color="grey", linestyle=":", label="asking each time")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("limit a minute, half of it asked")
    axes.set_ylabel("round trips for each request")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(plot, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
