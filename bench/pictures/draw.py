"""Draws charts by matplotlib: `draw.py FOLDER`; standard input has the charts as JSON, by the names of their files."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

COLORS = ("#4682B4", "#9AA5B1", "#2E4057", "#D1495B", "#EDAE49", "#66A182", "#8D6A9F")
mpl.rcParams |= {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "calendar-feeds",
    "axes.prop_cycle": mpl.cycler(color=COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.3,
}


def said(value: float, _: object = None) -> str:
    """Three digits, or all that stand before the point."""
    return f"{float(f'{value:.3g}'):,.10g}"


def bars(axes: Axes, series: dict[str, float]) -> None:
    names = [*reversed(series)]
    values = [series[name] for name in names]
    drawn = axes.barh(names, values, color=[COLORS[0] if name == "calendar-feeds" else COLORS[1] for name in names])
    axes.bar_label(drawn, [said(value) for value in values], padding=4)
    axes.set_xscale("log")
    axes.set_xlim(min(values) / 3, max(values) * 3)


def lines(axes: Axes, series: dict[str, list[tuple[float, float]]]) -> None:
    for name, points in series.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def points(axes: Axes, series: dict[str, list[tuple[float, float]]]) -> None:
    for name, each in series.items():
        axes.plot(*zip(*each, strict=True), ".", markersize=4, label=name)
    axes.axvline(0, color=COLORS[3], linewidth=1)
    axes.set_yscale("log")


KINDS: dict[str, Callable[[Axes, Any], None]] = {"bars": bars, "lines": lines, "points": points}


def draw(chart: dict[str, Any], file: Path) -> None:
    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    KINDS[chart["kind"]](axes, chart["series"])
    axes.set(title=chart["title"], xlabel=chart["x"], ylabel=chart["y"])
    axes.grid(axis="x" if chart["kind"] == "bars" else "both")
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter(FuncFormatter(said))
            axis.set_minor_formatter(NullFormatter())
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def main(folder: Path) -> None:
    for name, chart in json.load(sys.stdin).items():
        draw(chart, folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
