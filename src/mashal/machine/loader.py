"""Compiled objects into memory, without LLVM: what a process needs whose kernels are all in the cache.

    load(object, outside) -> {name: address} of its functions, or None if it is not of the kind known here

That kind is what LLVM's code generator writes for x86-64 in ELF with the large code model: sections of code and data, and
gaps of 8 bytes for an address, or for one's distance. Code and constants become executable and read-only before anything
runs; what is written lies on pages of its own. Memory stays for ever, as kernels do. Every other object is for LLVM to load.

The surprise: how to unwind the stack through a function must be told to the system (`__register_frame`), for Python ends
threads by unwinding them when it leaves; functions that never call back (nounwind) need nothing.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys
from collections.abc import Mapping

__all__ = ["load"]

KNOWN = sys.platform.startswith("linux") and os.uname().machine == "x86_64" and struct.calcsize("P") == 8

_SECTION = struct.Struct("<IIQQQQIIQQ")  # name, type, flags, address, offset, size, link, info, alignment, entry size
_SYMBOL = struct.Struct("<IBBHQQ")  # name, binding and type, visibility, section, value, size
_GAP = struct.Struct("<QQq")  # offset, symbol and type, addend
_WORD = struct.Struct("<Q")
_SYMBOLS, _GAPS, _EMPTY = 2, 4, 8  # types of sections
_WRITTEN, _ALLOCATED = 1, 2  # flags of sections
_UNDEFINED, _ABSOLUTE = 0, 0xFFF1  # instead of a symbol's section
_ADDRESS, _DISTANCE = 1, 24  # R_X86_64_64, R_X86_64_PC64: the symbol's address and the addend; less the gap's own
_UNWINDING = b".eh_frame"  # how to unwind the stack
_END = 8  # bytes of 0 behind it


def load(code: bytes, outside: Mapping[str, int]) -> dict[str, int] | None:
    """The addresses of an object's functions, once it is in memory; outside: those of the names that it may use."""
    if not KNOWN or code[:6] != b"\x7fELF\x02\x01" or code[18:20] != b"\x3e\x00":
        return None
    try:
        return _Object(code).place(outside)
    except (_Unknown, struct.error, OSError):
        return None


class _Unknown(Exception):
    """Something in an object that is not known here."""


class _Object:
    """An object file, taken apart."""

    def __init__(self, code: bytes):
        self.code = code
        (start,) = _WORD.unpack_from(code, 0x28)
        count, names = struct.unpack_from("<HH", code, 0x3C)
        self.sections = [_SECTION.unpack_from(code, start + i * _SECTION.size) for i in range(count)]
        self.names = self.sections[names][4]
        table = next(s for s in self.sections if s[1] == _SYMBOLS)
        self.strings = self.sections[table[6]][4]
        self.symbols = list(_SYMBOL.iter_unpack(code[table[4] : table[4] + table[5]]))

    def _text(self, at: int) -> bytes:
        return self.code[at : self.code.index(0, at)]

    def place(self, outside: Mapping[str, int]) -> dict[str, int]:
        """Copies it into memory, fills the gaps, makes the code executable."""
        offsets, fixed, size = self._layout()
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # a forked child has its own
        base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for i, offset in offsets.items():
            kind, start, length = self.sections[i][1], self.sections[i][4], self.sections[i][5]
            if kind != _EMPTY:
                memory[offset : offset + length] = self.code[start : start + length]
        addresses = self._addresses(base, offsets, outside)
        for section in self.sections:
            if section[1] == _GAPS and section[7] in offsets:
                self._fill(memory, base, offsets[section[7]], section, addresses)
        if _protect(base, fixed, mmap.PROT_READ | mmap.PROT_EXEC):
            raise _Unknown
        ctypes.pythonapi.Py_IncRef(
            ctypes.py_object(memory)
        )  # for ever: Python calls destructors there until its very end
        for i, offset in offsets.items():
            if self._text(self.names + self.sections[i][0]) == _UNWINDING:
                _tell_unwinder(base + offset)
        return {
            self._text(self.strings + name).decode(): address
            for (name, binding, *_), address in zip(self.symbols, addresses)
            if binding >> 4 and address is not None
        }

    def _layout(self) -> tuple[dict[int, int], int, int]:
        """Where each section goes, where what may be written begins, and how many bytes there are."""
        offsets, end, fixed = {}, 0, 0
        for written in (0, _WRITTEN):
            for i, (name, _, flags, _, _, size, _, _, alignment, _) in enumerate(self.sections):
                if flags & _ALLOCATED and flags & _WRITTEN == written:
                    end = -(-end // max(alignment, 1)) * max(alignment, 1)
                    offsets[i], end = end, end + size + _END * (self._text(self.names + name) == _UNWINDING)
            end = -(-max(end, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
            fixed = fixed or end
        return offsets, fixed, end

    def _addresses(self, base: int, offsets: Mapping[int, int], outside: Mapping[str, int]) -> list[int | None]:
        """Where each symbol lies; None for those that nothing here refers to."""
        addresses: list[int | None] = []
        for name, _, _, section, value, _ in self.symbols:
            if section in offsets:
                addresses.append(base + offsets[section] + value)
            elif section == _UNDEFINED and name:
                addresses.append(_outside(self._text(self.strings + name).decode(), outside))
            else:
                addresses.append(None)
        return addresses

    def _fill(self, memory: mmap.mmap, base: int, start: int, section: tuple, addresses: list[int | None]) -> None:
        for offset, what, addend in _GAP.iter_unpack(self.code[section[4] : section[4] + section[5]]):
            address, kind = addresses[what >> 32], what & 0xFFFFFFFF
            if kind not in (_ADDRESS, _DISTANCE) or address is None:
                raise _Unknown
            value = address + addend - (base + start + offset if kind == _DISTANCE else 0)
            _WORD.pack_into(memory, start + offset, value & 0xFFFFFFFFFFFFFFFF)


def _outside(name: str, outside: Mapping[str, int]) -> int:
    """The address of a name from outside: one that was provided, or one of the C library's (memcpy, pow)."""
    address = outside.get(name)
    if address is None:
        try:
            address = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, name))
        except ValueError:
            raise _Unknown from None
    return address


def _tell_unwinder(address: int) -> None:
    ctypes.CDLL("libgcc_s.so.1")["__register_frame"](ctypes.c_void_p(address))


def _protect(address: int, size: int, how: int) -> int:
    protect = ctypes.pythonapi.mprotect
    protect.argtypes, protect.restype = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int], ctypes.c_int
    return protect(address, size, how)
