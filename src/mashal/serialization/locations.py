"""Where a storage was, and where it goes: location tags, map_location, and devices that others register.

A file names each storage's location ("cpu", "cuda:1", "meta"). `register_package` adds a pair of functions, one that
names a storage's location and one that moves a storage there; they are asked in order of their priority.

Stands on core. Used by saving and loading.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mashal.core.devices import device
from mashal.core.storage import UntypedStorage

__all__ = ["default_restore_location", "location_tag", "register_package"]

Tagger = Callable[[Any], "str | None"]
Deserializer = Callable[[Any, str], Any]
PACKAGES: list[tuple[int, Tagger, Deserializer]] = []


def register_package(priority: int, tagger: Tagger, deserializer: Deserializer) -> None:
    """Adds a kind of location.

    priority: lower is asked earlier; the built-in ones are 10 (cpu), 20 (cuda), 22 (meta).
    tagger(storage): the name of the storage's location, or None if it is not of this kind.
    deserializer(storage, location): the storage moved there, or None if the location is not of this kind.
    """
    PACKAGES.append((priority, tagger, deserializer))
    PACKAGES.sort(key=lambda package: package[0])


def location_tag(storage: Any) -> str:
    """The name of a storage's location, as files write it; RuntimeError if nobody knows it.

    >>> location_tag(UntypedStorage(4))
    'cpu'
    """
    for _, tagger, _ in PACKAGES:
        location = tagger(storage)
        if location:
            return location
    raise RuntimeError(f"save: no location is known for {type(storage).__name__} on {storage.device}")


def default_restore_location(storage: Any, location: str) -> Any:
    """A storage, just read into the CPU's memory, moved to its location; RuntimeError if nobody can."""
    for _, _, deserializer in PACKAGES:
        result = deserializer(storage, location)
        if result is not None:
            return result
    raise RuntimeError(
        f"load: nobody can restore a storage to location {location!r}; "
        "pass map_location='cpu' to have all tensors on the CPU"
    )


def restorer(map_location: Any) -> Callable[[Any, str], Any]:
    """The function (storage, location) -> storage that `map_location` asks for.

    map_location: None, the name of a location, a device, a dict from names to names, or such a function, which
    may return None for "as if nothing was asked".
    """
    if map_location is None:
        return default_restore_location
    if isinstance(map_location, dict):
        return lambda storage, location: default_restore_location(storage, str(map_location.get(location, location)))
    if isinstance(map_location, bytes):
        map_location = map_location.decode()
    if isinstance(map_location, (str, device)):
        return lambda storage, location: default_restore_location(storage, str(map_location))
    if not callable(map_location):
        raise TypeError(
            f"load: map_location is {type(map_location).__name__}; it must be None, a str, a device, a dict or a function"
        )

    def restore(storage: Any, location: str) -> Any:
        result = map_location(storage, location)
        return default_restore_location(storage, location) if result is None else result

    return restore


def stays_in_memory(map_location: Any, location: str) -> bool:
    """Whether a storage of this location is certain to stay in the CPU's memory, unseen by anyone's function."""
    if len(PACKAGES) > BUILT_IN:
        return False
    if map_location is None:
        return location == "cpu"
    return isinstance(map_location, (str, device)) and str(map_location) == "cpu"


def is_meta(map_location: Any) -> bool:
    """Whether all tensors are asked to be on the meta device, so that no data need be read."""
    return isinstance(map_location, (str, device)) and str(map_location) == "meta"


# ---------------------------------------------------------------- the built-in locations
def cpu_tag(storage: Any) -> str | None:
    return "cpu" if storage.device.type == "cpu" else None


def to_cpu(storage: Any, location: str) -> Any:
    return storage if location == "cpu" else None


def cuda_tag(storage: Any) -> str | None:
    return str(storage.device) if storage.device.type == "cuda" else None


def to_cuda(storage: Any, location: str) -> Any:
    if location.split(":")[0] != "cuda":
        return None
    raise RuntimeError(
        "load: Attempting to deserialize object on a CUDA device, but there is none: torch.cuda.is_available() is False; "
        "pass map_location=torch.device('cpu') to have its tensors on the CPU"
    )


def meta_tag(storage: Any) -> str | None:
    return "meta" if storage.device.type == "meta" else None


def to_meta(storage: Any, location: str) -> Any:
    return UntypedStorage(storage.nbytes(), device="meta") if location == "meta" else None


register_package(10, cpu_tag, to_cpu)
register_package(20, cuda_tag, to_cuda)
register_package(22, meta_tag, to_meta)
BUILT_IN = len(PACKAGES)
