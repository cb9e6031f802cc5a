"""IR text to a function pointer.

    compile(module) -> address of its function @kernel

There is one engine for the whole process, never closed: a function must outlive every plan that points to it. A
kernel's symbol is the hash of its text, so that two kernels never clash. No optimisation passes run: the text
is already written as vectors in SSA form, and passes only multiply the time to compile.

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

import llvmlite
import llvmlite.binding as llvm

from mashal.machine.cache import ObjectCache, default_folder
from mashal.machine.host import HOST
from mashal.machine.text import Module
from mashal.switches import CACHE, CACHE_LIMIT, SHOW

ENTRY = "kernel"
_OUTSIDE = re.compile(r"^(?:declare [^@]*)?@([\w.]+)(?:\(| = external)", re.M)


def _target_machine():
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=HOST.cpu, features=HOST.features, opt=2, jit=True)


class Jit:
    """Compiles modules, loads them, and knows which outside names they may call."""

    def __init__(self):
        self._machine = _target_machine()
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _target_machine())
        self._provided: set[str] = set()
        self._promised: dict[str, Callable[[], Module]] = {}
        self._addresses: dict[str, int] = {}
        versions = llvmlite.__version__, ".".join(map(str, llvm.llvm_version_info)), llvm.get_process_triple()
        self._recipe = "\0".join([*versions, HOST.cpu, HOST.features, sys.implementation.cache_tag or ""])
        folder = "" if CACHE.value == "off" else CACHE.value or default_folder()
        self.cache = ObjectCache(folder, CACHE_LIMIT.value)
        self.compiled = 0
        self.lock = threading.RLock()  # one thread at a time; nobody forks while another compiles
        self._loaded: set[str] = set()

    def provide(self, name: str, address: int) -> None:
        """Lets modules call `name`."""
        llvm.add_symbol(name, address)
        self._provided.add(name)

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
                self._load(key, text, prefix, symbol)
                self._loaded.add(key)
            return [self._engine.get_function_address(symbol + name) for name in names]

    def _load(self, key: str, text: str, prefix: str, symbol: str) -> None:
        unknown = {name for name in _OUTSIDE.findall(text) if not name.startswith("llvm.")} - self._provided
        for name in unknown & self._promised.keys():
            self.provide(name, self.compile(self._promised[name]()))
        unknown -= self._provided
        if unknown:
            raise RuntimeError(f"jit: a module uses {', '.join(sorted(unknown))}, which nobody provides")
        if "ir" in SHOW:
            print(text, file=sys.stderr)
        code = self.cache.load(key)
        if code is None or "asm" in SHOW:
            parsed = llvm.parse_assembly(text.replace(f"@{prefix}", f"@{symbol}"))
            parsed.verify()
            if "asm" in SHOW:
                print(self._machine.emit_assembly(parsed), file=sys.stderr)
            code = self._machine.emit_object(parsed)
            self.compiled += 1
            self.cache.save(key, code)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()


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
