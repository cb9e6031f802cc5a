"""LLVM: from IR text to an object file, and objects into memory where `machine.loader` can't bring them.

Imported when a kernel is wanted that is not in the cache: a process whose kernels are all there never loads LLVM.
"""

from __future__ import annotations

import llvmlite.binding as llvm

__all__ = ["Engine", "host"]

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()


def host() -> tuple[str, dict[str, bool]]:
    """What LLVM calls this processor, and which of its features it has."""
    return llvm.get_host_cpu_name(), dict(llvm.get_host_cpu_features())


class Engine:
    """One engine for the whole process, never closed: a function must outlive every plan that points to it."""

    def __init__(self, cpu: str, features: str):
        target = llvm.Target.from_default_triple()
        self._machine, other = (
            target.create_target_machine(cpu=cpu, features=features, opt=2, jit=True) for _ in range(2)
        )
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), other)

    def provide(self, name: str, address: int) -> None:
        """Lets modules call `name`."""
        llvm.add_symbol(name, address)

    def compile(self, text: str) -> bytes:
        """The object file of a module. RuntimeError: the text is no module."""
        return self._machine.emit_object(self._parsed(text))

    def assembly(self, text: str) -> str:
        """A module as the processor's instructions."""
        return self._machine.emit_assembly(self._parsed(text))

    def load(self, code: bytes, names: list[str]) -> dict[str, int]:
        """The addresses of functions of an object file, once it is in memory."""
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        return {name: self._engine.get_function_address(name) for name in names}

    def _parsed(self, text: str) -> llvm.ModuleRef:
        parsed = llvm.parse_assembly(text)
        parsed.verify()
        return parsed
