"""Kernels that keep a random generator's place and go back to it, and one that sees whether something is as it was.

A place is what `core.generator` says of the words of a generator, up to the end of its key: `PLACE` bytes.
"""

from __future__ import annotations

from mashal.core.generator import HEADER, LOCK, PLACE
from mashal.machine import jit
from mashal.machine.text import Function, Module, Value

jit.provide_from_process("memcpy")


def kept() -> Module:
    """words: place | generator"""
    module, f, place, generator = _begun()
    f.call("ptr", "memcpy", place, generator, PLACE)
    f.end(f.i64(-1))
    return module


def taken_up() -> Module:
    """words: place | generator, whose lock stays what it is"""
    module, f, place, generator = _begun()
    f.call("ptr", "memcpy", generator, place, 8 * LOCK)
    f.call("ptr", "memcpy", f.at(generator, 8 * HEADER, "i8"), f.at(place, 8 * HEADER, "i8"), PLACE - 8 * HEADER)
    f.end(f.i64(-1))
    return module


def granted(expected: bool) -> Module:
    """words: a truth. Fails if it is not as expected."""
    module = Module()
    f = module.function("kernel", "i64", [("ptr", "words")])
    truth = f.load(f.word(f.parameters[0], 0, "ptr"), type="i8")
    f.end(f.select(truth.compare("eq", int(expected)), f.i64(-1), f.i64(0)))
    return module


def _begun() -> tuple[Module, Function, Value, Value]:
    module = Module()
    f = module.function("kernel", "i64", [("ptr", "words")])
    (words,) = f.parameters
    return module, f, f.word(words, 0, "ptr"), f.word(words, 1, "ptr")
