"""Every MASHAL_* environment switch, one row each.

A switch is read once, when mashal is imported; `value` is what the code asks, and may be assigned in a running
program. `python -m mashal switches` prints the table. Nothing else in mashal reads the environment for itself.

    >>> with_ir = Switch("MASHAL_EXAMPLE", "nest,ir", "an example")
    >>> "ir" in with_ir, "asm" in with_ir
    (True, False)

Stands on nothing. A value of the wrong kind is an error at import, not a default silently taken.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

Value = TypeVar("Value", str, int, bool)
SWITCHES: dict[str, Switch[Any]] = {}
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
TRUTHS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class Switch(Generic[Value]):
    """One switch: its name, its default, its meaning, and its value (of the default's type)."""

    __slots__ = ("default", "meaning", "name", "value")

    def __init__(self, name: str, default: Value, meaning: str):
        self.name = name
        self.default = default
        self.meaning = meaning
        self.value: Value = default

    def __bool__(self) -> bool:
        return bool(self.value)

    def __contains__(self, word: str) -> bool:
        """Whether a list of words, written with commas, has this one."""
        return word in str(self.value).split(",")

    def read(self, environment: Mapping[str, str]) -> None:
        """Takes the value from the environment, if it is there; ValueError if it is of the wrong kind."""
        text = environment.get(self.name)
        if text is not None:
            self.value = parsed(self.name, text.strip(), self.default)


def parsed(name: str, text: str, default: Any) -> Any:
    """The text of an environment variable as a value of the default's type.

    >>> parsed("MASHAL_CACHE_LIMIT", "64M", 0)
    67108864
    >>> parsed("MASHAL_CHECK", "perhaps", False)
    Traceback (most recent call last):
    ValueError: MASHAL_CHECK: 'perhaps' is neither on nor off; write 1 or 0
    """
    if isinstance(default, bool):
        if text.lower() not in TRUTHS:
            raise ValueError(f"{name}: {text!r} is neither on nor off; write 1 or 0")
        return TRUTHS[text.lower()]
    if isinstance(default, int):
        unit = UNITS.get(text[-1:].upper())
        digits = text[:-1] if unit else text
        if not digits.isdecimal():
            raise ValueError(
                f"{name}: {text!r} is not a whole number; write one, with K, M, G or T behind it for bytes"
            )
        return int(digits) * (unit or 1)
    return text


def switch(name: str, default: Value, meaning: str) -> Switch[Value]:
    """A row of the table: a switch with the value that the environment gives it."""
    row = SWITCHES[name] = Switch(name, default, meaning)
    row.read(os.environ)
    return row


def table() -> str:
    """All switches with their values and meanings, and what begins like one but isn't."""
    width = max(len(name) for name in SWITCHES)
    lines = [f"{s.name:{width}}  {s.value!s:10}  {s.meaning} (default: {s.default!s})" for s in SWITCHES.values()]
    strangers = sorted(name for name in os.environ if name.startswith("MASHAL_") and name not in SWITCHES)
    return "\n".join(lines + [f"{name:{width}}  is not a switch" for name in strangers])


# ---------------------------------------------------------------- the table
SHOW = switch(
    "MASHAL_SHOW", default="", meaning="print on the way: trail, nest, schedule, ir, asm; several with commas"
)
CACHE = switch("MASHAL_CACHE", default="", meaning="folder of compiled kernels; empty: the user's cache; off: none")
CACHE_LIMIT = switch(
    "MASHAL_CACHE_LIMIT",
    default=256 << 20,
    meaning="bytes that folder may hold; what is not used goes first",
)
THREADS = switch("MASHAL_THREADS", default=0, meaning="threads that compute; 0: one a core")
HUGE_PAGES = switch("MASHAL_HUGE_PAGES", default=True, meaning="ask for huge pages under big tensors")
MEMORY_LIMIT = switch("MASHAL_MEMORY_LIMIT", default=0, meaning="bytes that tensors may hold; 0: what the machine has")
CPU = switch("MASHAL_CPU", default="", meaning="processor to generate code for, by LLVM's name; empty: this one")
