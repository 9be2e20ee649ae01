"""Small plots as SVG, written by hand: lines over a length, and bars, both on logarithmic axes."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WIDTH, ROW = 760, 22
LEFT, RIGHT, TOP, BOTTOM = 190, 90, 44, 36
HEIGHT = 400
COLOURS = (
    *("#0b6e4f", "#888888", "#bbbbbb", "#b5179e", "#f4a261", "#3a86ff"),
    *("#8338ec", "#d62828", "#606c38", "#00a6a6", "#a47148", "#5c677d"),
)
STYLE = "text{font:12px sans-serif;fill:#333}.t{font-size:14px;font-weight:bold}.e{text-anchor:end}"


def bars(title: str, figures: dict[str, float], shown: Callable[[float], str]) -> str:
    """A bar for each name, longest last."""
    ordered = sorted(figures.items(), key=lambda item: item[1])
    height = TOP + ROW * len(ordered) + 12
    scale = _scale([value for _, value in ordered], LEFT, WIDTH - RIGHT)
    parts = []
    for number, (name, value) in enumerate(ordered):
        top = TOP + ROW * number
        colour = COLOURS[0] if name.startswith("plainstate") else COLOURS[1]
        parts.append(_text(LEFT - 8, top + 14, name, "e"))
        width = scale(value) - LEFT
        parts.append(
            f'<rect x="{LEFT}" y="{top + 3}" width="{width:.1f}" height="14" fill="{colour}"/>'
        )
        parts.append(_text(LEFT + width + 6, top + 14, shown(value)))
    return _svg(title, height, parts)


LINE = 13
"""Height of a line of text."""


def lines(
    title: str,
    series: dict[str, dict[int, float]],
    shown: Callable[[float], str],
    along: str,
) -> str:
    """A line for each name: figure by length."""
    steps = sorted({step for points in series.values() for step in points})
    values = [value for points in series.values() for value in points.values()]
    across = _scale(steps, 70, WIDTH - 170)
    down = _scale(values, HEIGHT - BOTTOM, TOP)
    parts = [_text(across(step), HEIGHT - BOTTOM + 16, f"{step:,}") for step in steps]
    parts.append(_text(70, HEIGHT - 4, along))
    for power in range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1):
        y = down(10.0**power)
        if TOP - 1 <= y <= HEIGHT - BOTTOM + 1:
            parts.append(f'<path d="M70 {y:.1f}H{WIDTH - 170}" stroke="#eee"/>')
            parts.append(_text(62, y + 4, shown(10.0**power), "e"))
    labels: list[tuple[float, float]] = []
    coloured = list(zip(series.items(), COLOURS, strict=False))
    # from above, so that labels which make room for each other stand in the order of their lines
    for (name, points), colour in sorted(coloured, key=lambda one: -one[0][1][max(one[0][1])]):
        places = [(across(step), down(points[step])) for step in sorted(points)]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = places[-1]
        while any(x == there and abs(y - other) < LINE for there, other in labels):
            y += 2
        labels.append((x, y))
        parts.append(_text(x + 8, y + 4, name))
        parts.append(f'<circle cx="{x:.1f}" cy="{places[-1][1]:.1f}" r="3" fill="{colour}"/>')
    return _svg(title, HEIGHT, parts)


def _scale(values: Sequence[float], low: float, high: float) -> Callable[[float], float]:
    """Places values between two points, logarithmically; the smallest is not at the very edge."""
    least, most = math.log(min(values) * 0.8), math.log(max(values))
    return lambda value: low + (high - low) * (math.log(value) - least) / ((most - least) or 1)


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(text)}</text>'


def _svg(title: str, height: float, parts: list[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}">'
    frame = [f"<style>{STYLE}</style>", '<rect width="100%" height="100%" fill="#fff"/>']
    return "\n".join([head, *frame, _text(16, 24, title, "t"), *parts, "</svg>", ""])
