"""The kernels of a program as bytes, so that another machine need not compile them again."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field

from mashal.machine.jit import JIT

__all__ = ["CacheInfo", "load_cache_artifacts", "save_cache_artifacts"]

_MAGIC = b"MASHALK1"
_HEAD = struct.Struct("<64sQ")


@dataclass(frozen=True)
class CacheInfo:
    """Which kernels some bytes have: artifacts["kernels"] are their keys."""

    artifacts: dict[str, list[str]] = field(default_factory=dict)

    def empty(self) -> bool:
        """Whether there are none."""
        return not any(self.artifacts.values())


def save_cache_artifacts() -> tuple[bytes, CacheInfo] | None:
    """The kernels that this process uses and its cache has, as bytes, and which they are; None if there are none.

    >>> y = torch.ones(2) * 3
    >>> kernels, info = torch.compiler.save_cache_artifacts()
    >>> torch.compiler.load_cache_artifacts(kernels) == info
    True
    """
    objects = JIT.objects()
    if not objects:
        return None
    body = b"".join(_HEAD.pack(key.encode(), len(code)) + code for key, code in objects.items())
    return _MAGIC + hashlib.sha256(body).digest() + body, CacheInfo({"kernels": list(objects)})


def load_cache_artifacts(serialized_artifacts: bytes) -> CacheInfo | None:
    """Puts kernels from `save_cache_artifacts` into this machine's cache; None if the bytes are something else.

    They are machine code: load only what you trust. Those made for another processor are never used.
    """
    head, body = serialized_artifacts[:40], serialized_artifacts[40:]
    if head != _MAGIC + hashlib.sha256(body).digest():
        return None
    keys, at = [], 0
    while at < len(body):
        key, size = _HEAD.unpack_from(body, at)
        at += _HEAD.size
        keys.append(key.decode())
        JIT.cache.save(keys[-1], body[at : at + size])
        at += size
    return CacheInfo({"kernels": keys})
