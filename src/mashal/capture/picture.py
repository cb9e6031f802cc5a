"""Bars with labels as an SVG picture: a file of its own, or a part of a page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

_HEIGHT, _LABEL, _BAR, _NOTE = 18, 320, 360, 280
_WIDTH = _LABEL + _BAR + _NOTE
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML has no way to write


@dataclass(frozen=True)
class Bar:
    """label at its left, note at its right; more: what is told of it where the pointer rests."""

    label: str
    length: float
    note: str
    more: str = ""


def bars(title: str, rows: list[Bar | str]) -> str:
    """A picture with a line for each row: a bar, the longest as wide as there is room, or a heading.

    Black on white, whatever is behind it.

    >>> bars("two", [Bar("a", 1.0, "1 s"), Bar("b", 2.0, "2 s")]).count("<rect")
    2
    """
    longest = max((row.length for row in rows if isinstance(row, Bar)), default=0.0) or 1.0
    height = _HEIGHT * (len(rows) + 2)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" role="img" '
        'style="background: #fff; max-width: 100%; height: auto" font-family="ui-monospace, Menlo, Consolas, monospace" '
        'font-size="11" fill="#222">',
        f"<title>{_text(title)}</title>",
        f"<desc>{_text('; '.join(row if isinstance(row, str) else f'{row.label} {row.note}' for row in rows))}</desc>",
        f'<text x="4" y="{_HEIGHT - 5}" font-weight="bold">{_text(_cut(title, 140))}</text>',
    ]
    for i, row in enumerate(rows):
        y = _HEIGHT * (i + 1.5)
        if isinstance(row, str):
            lines.append(
                f'<text x="4" y="{y + 12:g}" font-weight="bold"><title>{_text(row)}</title>{_text(_cut(row, 140))}</text>'
            )
            continue
        wide = max(_BAR * row.length / longest, 1.0)
        shape = f'x="{_LABEL}" y="{y + 2:g}" width="{wide:.1f}" height="{_HEIGHT - 5}"'
        lines.append(f"<g><title>{_text(row.more or row.label)}</title>")
        lines.append(f'<text x="{_LABEL - 6}" y="{y + 12:g}" text-anchor="end">{_text(_cut(row.label, 46))}</text>')
        lines.append(f'<rect {shape} fill="#d9822b"/>')
        lines.append(f'<text x="{_LABEL + wide + 6:.1f}" y="{y + 12:g}">{_text(row.note)}</text></g>')
    return "\n".join([*lines, "</svg>\n"])


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 2] + " …"


def _text(text: str) -> str:
    return escape(_FORBIDDEN.sub("�", text))
