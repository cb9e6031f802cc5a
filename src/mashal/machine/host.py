"""What this computer is: processor, vector lanes, registers, cores, memory.

`HOST` describes it. Generated code depends on the machine through this object alone, so generating for another
processor is passing another `Host`.
"""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass

import llvmlite.binding as llvm

from mashal.switches import CPU, THREADS

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()


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


def _detect() -> Host:
    features = dict(llvm.get_host_cpu_features())
    if CPU.value:  # what another machine's processor would be given, e.g. MASHAL_CPU=haswell
        features = {k: v and not k.startswith("avx512") for k, v in features.items()}
    return describe(CPU.value or llvm.get_host_cpu_name(), features, platform.machine(), sys.platform)


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


HOST = _detect()
