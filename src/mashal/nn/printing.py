"""How a module's text is laid out."""

from __future__ import annotations


def indented(text: str, spaces: int = 2) -> str:
    """A text with every line but the first moved to the right."""
    return text.replace("\n", "\n" + " " * spaces)


def bracketed(name: str, lines: list[str], children: list[str]) -> str:
    """A module as printed: on one line if that is all there is to say, else its lines and children below.

    >>> print(bracketed("Pair", [], ["(0): ReLU()", "(1): ReLU()"]))
    Pair(
      (0): ReLU()
      (1): ReLU()
    )
    """
    if len(lines) == 1 and not children:
        return f"{name}({lines[0]})"
    if not lines and not children:
        return f"{name}()"
    return f"{name}(\n  " + "\n  ".join(lines + children) + "\n)"
