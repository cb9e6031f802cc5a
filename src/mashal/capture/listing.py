"""An explanation in words: tables with a line for each kernel, blocks that repeat (the layers of a model) said once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean

from mashal.capture.costs import Kernel
from mashal.capture.messages import short_name

LEGEND = """\
  FLOP: a product of (m, k) by (k, n) counts as 2·m·k·n, each other operation on an element (add, exp, compare) as 1; ~: about
  time: of each kernel run by itself, the fastest of several; read, written: the bytes of its tensors, each once"""

LONGEST_BLOCK, LEAST_SAVED, NAME = 80, 4, 64


@dataclass(frozen=True)
class Block:
    """Kernels that come `times` times, one block after another; their times are means. first: the first one's number."""

    first: int
    kernels: list[Kernel]
    times: int = 1


def blocks_of(kernels: Sequence[Kernel]) -> list[Block]:
    """The kernels in order, with those that repeat in blocks.

    >>> a, b = (Kernel(name, (name,), 4, 4, 1, 1e-6) for name in ("exp", "sum"))
    >>> [(block.first, len(block.kernels), block.times) for block in blocks_of([a, *[a, b] * 12, b])]
    [(0, 1, 1), (1, 2, 12), (25, 1, 1)]
    """
    keys = [(k.name, k.read, k.written, k.arithmetic, k.places) for k in kernels]
    found, i = [], 0
    while i < len(kernels):
        length, times = _best_block(keys, i)
        parts = [kernels[i + k :: length][:times] for k in range(length)]
        found.append(Block(i, [replace(same[0], time=mean(k.time for k in same)) for same in parts], times))
        i += length * times
    return found


def _best_block(keys: Sequence[tuple], i: int) -> tuple[int, int]:
    """(how many kernels, how many times) of the repetition from i on that makes the list shortest."""
    best = 1, 1
    for length in range(1, min(LONGEST_BLOCK, (len(keys) - i) // 2) + 1):
        times = 1
        while keys[i + times * length : i + (times + 1) * length] == keys[i : i + length]:
            times += 1
        saved = (times - 1) * length
        if saved >= LEAST_SAVED and saved > (best[1] - 1) * best[0]:
            best = length, times
    return best


# ---------------------------------------------------------------- tables
_HEAD = ("time", "read", "written", "FLOP", "GFLOP/s", "GB/s")
_WIDTHS = (9, 8, 8, 7, 7, 6)


def table(kernels: Sequence[Kernel]) -> list[str]:
    """A line for each kernel, under a head."""
    blocks = blocks_of(kernels)
    wide = max([6, *(len(_name(k)) for block in blocks for k in block.kernels)])
    lines = [f"      {_line(_HEAD)}  {'kernel':<{wide}}  from"]
    for block in blocks:
        many, mark = block.times > 1, "│" if block.times > 1 else " "
        lines += [f"    ┌ {block.times} times these {len(block.kernels)}, with their mean times"] if many else []
        lines += [
            f"{i:>4}{mark} {_line(numbers(k))}  {_name(k):<{wide}}  {lines_of(k)}".rstrip()
            for i, k in enumerate(block.kernels, block.first)
        ]
        lines += ["    └"] if many else []
    return lines


def _line(cells: Sequence[str]) -> str:
    return "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS))


def numbers(k: Kernel) -> tuple[str, ...]:
    """A kernel's time, bytes, arithmetic, and what it achieves."""
    counted = ("~" if k.estimated else "") + number(k.arithmetic)
    rate = lambda n: f"{n / k.time / 1e9:.3g}" if k.time and n else ""
    return seconds(k.time), size(k.read), size(k.written), counted, rate(k.arithmetic), rate(k.read + k.written)


def _name(k: Kernel) -> str:
    if len(k.name) <= NAME or len(k.operations) == 1:
        return shortened(k.name, NAME)
    return f"{shortened(k.name, NAME - 16)} ({len(k.operations)} operations)"


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters.

    >>> shortened("scaled_dot_product_attention", 12)
    'scaled_dot_…'
    """
    return text if len(text) <= most else text[: most - 1].rstrip(" +:") + "…"


def lines_of(k: Kernel) -> str:
    """The lines of the program that a kernel comes from.

    >>> lines_of(Kernel("mul", ("mul",), 0, 0, 0, 0.0, (("a.py", 3), ("a.py", 4), ("b.py", 7))))
    'a.py:3-4, b.py:7'
    """
    files: dict[str, list[int]] = {}
    for file, line in k.places:
        files.setdefault(file, []).append(line)
    each = [
        f"{short_name(file)}:{lines[0]}" + (f"-{lines[-1]}" if len(lines) > 1 else "") for file, lines in files.items()
    ]
    return ", ".join(each[:2]) + (", …" if len(each) > 2 else "")


# ---------------------------------------------------------------- numbers
def count(n: int, what: str) -> str:
    """
    >>> count(1, "kernel"), count(2, "kernel"), count(0, "cut")
    ('1 kernel', '2 kernels', 'no cuts')
    """
    return f"{n or 'no'} {what}{'' if n == 1 else 's'}"


def seconds(t: float) -> str:
    """
    >>> seconds(2.5), seconds(0.0012), seconds(4.187e-5), seconds(8e-9)
    ('2.50 s', '1.20 ms', '41.9 us', '8 ns')
    """
    if t < 1e-6:
        return f"{t * 1e9:.0f} ns"
    return f"{t:.2f} s" if t >= 1 else f"{t * 1e3:.2f} ms" if t >= 1e-3 else f"{t * 1e6:.1f} us"


def size(n: float) -> str:
    """A number of bytes, in units of thousands.

    >>> size(320), size(4096), size(38597376)
    ('320 B', '4.1 KB', '38.6 MB')
    """
    return _scaled(n, (" B", " KB", " MB", " GB", " TB"))


def number(n: float) -> str:
    """
    >>> number(640), number(12845056), number(2e9)
    ('640 ', '12.8 M', '2 G')
    """
    return _scaled(n, (" ", " K", " M", " G", " T"))


def _scaled(n: float, units: Sequence[str]) -> str:
    for unit in units[:-1]:
        if n < 999.5:
            return f"{n:.3g}{unit}"
        n /= 1000
    return f"{n:.3g}{units[-1]}"
