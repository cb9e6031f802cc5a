"""Bars with labels as an SVG picture."""

from __future__ import annotations

from html import escape

_HEIGHT, _LABEL, _BAR, _NOTE = 18, 320, 420, 260


def bars(title: str, rows: list[tuple[str, float, str]]) -> str:
    """A picture with a bar for each (label, length, note), the longest as wide as there is room.

    >>> bars("two", [("a", 1.0, "1 s"), ("b", 2.0, "2 s")]).count("<rect")
    2
    """
    longest = max((length for _, length, _ in rows), default=1.0) or 1.0
    width, height = _LABEL + _BAR + _NOTE, _HEIGHT * (len(rows) + 2)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="monospace" font-size="11">',
        f'<text x="4" y="{_HEIGHT - 5}" font-weight="bold">{escape(title)}</text>',
    ]
    for i, (label, length, note) in enumerate(rows):
        y = _HEIGHT * (i + 1.5)
        wide = max(_BAR * length / longest, 1.0)
        shape = f'x="{_LABEL}" y="{y + 2:g}" width="{wide:.1f}" height="{_HEIGHT - 5}"'
        short = label if len(label) <= 48 else label[:46] + " …"
        lines.append(f'<text x="{_LABEL - 6}" y="{y + 12:g}" text-anchor="end">{escape(short)}</text>')
        lines.append(f'<rect {shape} fill="#d9822b"><title>{escape(label)}</title></rect>')
        lines.append(f'<text x="{_LABEL + wide + 6:.1f}" y="{y + 12:g}">{escape(note)}</text>')
    return "\n".join([*lines, "</svg>"])
