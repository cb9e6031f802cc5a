"""IR text to a function pointer.

    compile(module) -> address of its function @kernel

A kernel's symbol is the hash of its text, so that two kernels never clash. No optimisation passes run: the text
is already written as vectors in SSA form, and passes only multiply the time to compile. What is in the cache is brought
into memory by `machine.loader`; LLVM (`machine.engine`) is loaded when there is something to compile.

What would surprise: LLVM reports neither an undefined symbol (the call jumps to 0) nor a damaged object. So the
names a module declares are checked against those provided, and objects come only from `machine.cache`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import sys
import threading
from collections.abc import Callable
from typing import Any

from mashal.later import later
from mashal.machine import loader
from mashal.machine.cache import OBJECTS
from mashal.machine.host import COMPILER, HOST
from mashal.machine.text import Module
from mashal.switches import SHOW

ENTRY = "kernel"
_OUTSIDE = re.compile(r"^(?:declare [^@]*)?@([\w.]+)(?:\(| = external)", re.M)
_llvm = later("mashal.machine.engine")


class Jit:
    """Compiles modules, loads them, and knows which outside names they may call."""

    def __init__(self):
        self._engine: Any = None
        self._provided: dict[str, int] = {}
        self._promised: dict[str, Callable[[], Module]] = {}
        self._addresses: dict[str, int] = {}
        self._recipe = "\0".join([COMPILER, HOST.cpu, HOST.features, sys.platform, sys.implementation.cache_tag or ""])
        self.cache = OBJECTS
        self.compiled = 0
        self.lock = threading.RLock()  # one thread at a time; nobody forks while another compiles
        self._loaded: dict[str, dict[str, int]] = {}

    @property
    def engine(self) -> Any:
        """LLVM, made ready when it is first needed."""
        if self._engine is None:
            self._engine = _llvm.Engine(HOST.cpu, HOST.features)
            for name, address in self._provided.items():
                self._engine.provide(name, address)
        return self._engine

    def provide(self, name: str, address: int) -> None:
        """Lets modules call `name`."""
        self._provided[name] = address
        if self._engine is not None:
            self._engine.provide(name, address)

    def promise(self, name: str, build: Callable[[], Module]) -> None:
        """Lets modules call `name`: the function @kernel of the module build() returns, compiled when first needed."""
        self._promised[name] = build

    def compile(self, module: Module | str) -> int:
        """The address of the function @kernel; the module's other functions are internal."""
        text = module if isinstance(module, str) else module.text()
        address = self._addresses.get(text)
        if address is None:
            address = self._addresses[text] = self.functions(text, ENTRY, [""])[0]
        return address

    def functions(self, text: str, prefix: str, names: list[str]) -> list[int]:
        """The addresses of @prefix + name, each; all exported names of a module begin with its prefix."""
        key = hashlib.sha256(f"{self._recipe}\0{text}".encode()).hexdigest()
        symbol = f"m{key[:24]}"
        with self.lock:
            if key not in self._loaded:
                self._loaded[key] = self._load(key, text, prefix, symbol, [symbol + name for name in names])
            return [self._loaded[key][symbol + name] for name in names]

    def objects(self) -> dict[str, bytes]:
        """The kernels of this process that the cache has, by key."""
        found = {key: self.cache.load(key) for key in list(self._loaded)}
        return {key: code for key, code in found.items() if code is not None}

    def _load(self, key: str, text: str, prefix: str, symbol: str, names: list[str]) -> dict[str, int]:
        unknown = {name for name in _OUTSIDE.findall(text) if not name.startswith("llvm.")} - self._provided.keys()
        for name in unknown & self._promised.keys():
            self.provide(name, self.compile(self._promised[name]()))
        unknown -= self._provided.keys()
        if unknown:
            raise RuntimeError(f"jit: a module uses {', '.join(sorted(unknown))}, which nobody provides")
        if "ir" in SHOW:
            print(text, file=sys.stderr)
        own = text.replace(f"@{prefix}", f"@{symbol}")
        if "asm" in SHOW:
            print(self.engine.assembly(own), file=sys.stderr)
        code = self.cache.load(key)
        if code is None:
            code = self.engine.compile(own)
            self.compiled += 1
            self.cache.save(key, code)
        return loader.load(code, self._provided) or self.engine.load(code, names)


JIT = Jit()
if hasattr(
    os, "register_at_fork"
):  # LLVM's own locks, held by a thread that the child has not, would stay locked there
    os.register_at_fork(before=JIT.lock.acquire, after_in_parent=JIT.lock.release, after_in_child=JIT.lock.release)


def compile(module: Module | str) -> int:
    """The address of the function @kernel of a module."""
    return JIT.compile(module)


def provide_from_process(*names: str) -> None:
    """Lets modules call these functions (or read these variables) of the C library or the interpreter."""
    for name in names:
        JIT.provide(name, ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, name)))
