"""Draws charts by pygal: `draw.py FOLDER`, with the charts as JSON by the names of their files on standard input."""

import json
import sys
from pathlib import Path
from typing import Any

import pygal
from pygal.style import Style

STYLE = Style(
    background="white", plot_background="white", font_family="sans-serif", title_font_size=18, legend_font_size=13,
    label_font_size=12, major_label_font_size=12, value_font_size=12, value_colors=("black",) * 12,
    colors=("#4682B4", "#9AA5B1", "#D1495B", "#EDAE49", "#66A182", "#8D6A9F", "#2E4057"),
)  # fmt: skip
KINDS = {"bars": pygal.HorizontalBar, "lines": pygal.XY, "points": pygal.XY}


def draw(chart: dict[str, Any]) -> bytes:
    kind = chart["kind"]
    drawn = KINDS[kind](
        style=STYLE, js=[], no_prefix=True, width=900, height=460, margin=20, truncate_legend=-1, truncate_label=-1,
        title=chart["title"], x_title=chart.get("x"), logarithmic=chart["logarithmic"],
        show_legend=len(chart["series"]) > 1, legend_at_bottom=True, print_values=kind == "bars",
        stroke=kind == "lines", dots_size=2 if kind == "points" else 4,
    )  # fmt: skip
    drawn.value_formatter = drawn.x_value_formatter = lambda value: f"{float(f'{value:.3g}'):,.10g}"
    drawn.x_labels = chart.get("labels")
    for name, values in chart["series"].items():
        drawn.add(name, values)
    octets: bytes = drawn.render()
    return octets


def main(folder: Path) -> None:
    for name, chart in json.load(sys.stdin).items():
        (folder / name).write_bytes(draw(chart))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
