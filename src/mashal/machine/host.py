"""What this computer is: processor, vector lanes, registers, cores, memory.

`HOST` describes it. Generated code depends on the machine through this object alone, so generating for another
processor is passing another `Host`.

LLVM knows what a processor can do; what it said is kept in the cache, under what the system says of the processor, so
that LLVM need not be loaded to be asked again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from dataclasses import dataclass

from mashal.later import later
from mashal.machine.cache import OBJECTS
from mashal.switches import CPU, THREADS

_engine = later("mashal.machine.engine")
_TELLING = ("vendor_id", "cpu family", "model", "stepping", "flags", "CPU ", "Features")  # lines of /proc/cpuinfo


@dataclass(frozen=True)
class Host:
    """cpu and features are LLVM's words; `vector_bytes` is the size of a vector register, `registers` how many of them."""

    cpu: str
    features: str
    vector_bytes: int
    registers: int
    arm: bool = False
    mac: bool = False

    def lanes(self, bytes: int) -> int:
        """How many elements of so many bytes one vector register holds."""
        return self.vector_bytes // bytes

    def has(self, feature: str) -> bool:
        return f"+{feature}" in self.features.split(",")


def describe(cpu: str, features: dict[str, bool], machine: str, system: str) -> Host:
    """The Host of a processor known by LLVM's name and feature table."""
    flat = ",".join(f"{'+' if on else '-'}{name}" for name, on in sorted(features.items()))
    mac = system == "darwin"
    if machine in ("arm64", "aarch64"):
        return Host(cpu, flat, 16, 32, arm=True, mac=mac)
    if features.get("avx512f") and features.get("avx512bw") and features.get("avx512vl"):
        return Host(cpu, flat, 64, 32, mac=mac)
    if features.get("avx2"):
        return Host(cpu, flat, 32, 16, mac=mac)
    return Host(cpu, flat, 16, 16, mac=mac)


def compiler() -> str:
    """Which LLVM compiles: its library's place, size and date. The library is looked at, not loaded."""
    package = importlib.util.find_spec("llvmlite")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("mashal needs llvmlite, which is not installed: pip install llvmlite")
    folder = os.path.join(os.path.dirname(package.origin), "binding")
    with os.scandir(folder) as entries:
        found = [(e.name, e.stat().st_size, e.stat().st_mtime_ns) for e in entries if e.name.find("llvmlite.") >= 0]
    return f"{folder} {sorted(found)}"


def _processor() -> str:
    """What tells this processor from others, in the system's words; "" if the system has none."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            first = file.read(1 << 14).partition("\n\n")[0]
    except OSError:
        return ""
    return "\n".join(line for line in first.splitlines() if line.startswith(_TELLING))


def _said_by_llvm() -> tuple[str, dict[str, bool]]:
    """LLVM's name of the processor and its features, from the cache if it was asked before."""
    processor = _processor()
    key = hashlib.sha256(f"host\0{COMPILER}\0{processor}".encode()).hexdigest()
    known = OBJECTS.load(key) if processor else None
    if known is None:
        name, features = _engine.host()
        if processor:
            OBJECTS.save(key, "\n".join([name, *(f"{'+' if on else '-'}{f}" for f, on in features.items())]).encode())
        return name, features
    name, *flags = known.decode().split("\n")
    return name, {flag[1:]: flag[0] == "+" for flag in flags}


def _detect() -> Host:
    name, features = _said_by_llvm()
    if CPU.value:  # what another machine's processor would be given, e.g. MASHAL_CPU=haswell
        features = {k: v and not k.startswith("avx512") for k, v in features.items()}
    machine = os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE", "").lower()
    return describe(CPU.value or name, features, machine, sys.platform)


def cores() -> int:
    """Threads to use: MASHAL_THREADS, else the cores that this process may run on."""
    if THREADS.value:
        return max(1, int(THREADS.value))
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Physical memory, or 8 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 8 << 30


COMPILER = compiler()
HOST = _detect()
