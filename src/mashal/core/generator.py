"""Random generators: seeds and states. The numbers themselves are made by kernels (`lower.twister`).

A `Generator` owns a piece of native memory that kernels read and write:

    word 0   POSITION   how many words of the present block are used; UNSEEDED: only the seed is set, the first
                        kernel that draws makes the key from it (so seeding costs nothing)
    word 1   FRESH      1 while nothing was drawn since seeding
    word 2   CACHED     the second of a pair of normal numbers, a double that waits for its turn
    word 3   HAS_CACHED 1 when there is one
    word 4   SEED       the 64 bits that `initial_seed` returns
    word 5   LOCK       1 while a kernel draws: kernels run without the GIL, so threads can meet here
    word 8 … the key: the 624 32-bit numbers of the present block; behind it room for ROOM further blocks, and
             a little more, for kernels read in whole vectors

Words are 8 bytes. A state, as `get_state` gives it, is the 5056 bytes that PyTorch writes.
"""

from __future__ import annotations

import ctypes
import operator
import os
import struct
from typing import Any
from weakref import WeakValueDictionary

from mashal.core.devices import CPU
from mashal.core.devices import device as device_of
from mashal.core.dtypes import uint8
from mashal.core.forms import form
from mashal.core.tensor import Tensor, empty
from mashal.machine.observing import watch

POSITION, FRESH, CACHED, HAS_CACHED, SEED, LOCK = range(6)
HEADER = 8
BLOCK = 624
ROOM = 32
UNSEEDED = BLOCK + 1
DEFAULT_SEED = 67280421310721
STATE_SIZE = 5056

_HEAD = struct.Struct("<QiiQ")  # seed, words left + 1, seeded, next word
_TAIL = struct.Struct("<dddi4xf?3x")  # 0, cached normal, 0, is there one; the rest concerns a cache of floats
PLACE = HEADER * 8 + BLOCK * 4  # bytes that drawing changes, but for what it can make anew
_BYTES = HEADER * 8 + (ROOM + 1) * BLOCK * 4 + 128


living: WeakValueDictionary[int, Generator] = WeakValueDictionary()
"""All generators, by the addresses that kernels are given."""


class Generator:
    """A source of random numbers: a seed, and how far its stream of numbers has been used.

    device: where the generator lives; only "cpu" is there. A new generator has the seed 67280421310721.

    >>> g = Generator().manual_seed(123)
    >>> g.initial_seed()
    123
    """

    __slots__ = ("__weakref__", "_buffer", "_words", "address", "device")

    def __init__(self, device: Any = "cpu"):
        self.device = device_of(device)
        if self.device.type != "cpu":
            raise RuntimeError(
                f"Generator: there is no random generator for device {self.device}; the device must be 'cpu'"
            )
        self._buffer = ctypes.create_string_buffer(_BYTES + 64)
        self.address = -(-ctypes.addressof(self._buffer) // 64) * 64
        self._words = (ctypes.c_uint64 * HEADER).from_address(self.address)
        living[self.address] = self
        if watch.recorder is not None:
            watch.recorder.obstacle("a random generator is made")
        self._start(DEFAULT_SEED)

    # ------------------------------------------------------------ seeds
    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream that belongs to this seed; returns the generator.

        seed: from -2**63 to 2**64 - 1; a negative one means seed + 2**64. Only its low 32 bits choose the stream.
        """
        _tell("set")
        try:
            number = operator.index(seed)
        except TypeError:
            raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}") from None
        if not -(1 << 63) <= number < 1 << 64:
            raise ValueError(
                f"manual_seed: seed {number} is outside -2**63 … 2**64 - 1 (Overflow when unpacking long long)"
            )
        self._start(number & 0xFFFFFFFFFFFFFFFF)
        return self

    def seed(self) -> int:
        """Seeds with 64 random bits of the operating system, and returns them."""
        _tell("set")
        self._start(int.from_bytes(os.urandom(8), "little"))
        return self.initial_seed()

    def initial_seed(self) -> int:
        """The seed as a number from 0 to 2**64 - 1."""
        _tell("read")
        return self._words[SEED]

    def _start(self, seed: int) -> None:
        words = self._words
        words[POSITION], words[FRESH], words[CACHED], words[HAS_CACHED], words[SEED] = UNSEEDED, 1, 0, 0, seed

    # ------------------------------------------------------------ states
    def get_state(self) -> Tensor:
        """The whole state, a uint8 tensor of 5056 elements."""
        state = empty(form(uint8, CPU, (STATE_SIZE,)))
        ctypes.memmove(state.data_ptr(), self.state_bytes(), STATE_SIZE)
        return state

    def set_state(self, new_state: Tensor) -> Generator:
        """Continues where the generator stood that gave this state; returns the generator."""
        if not isinstance(new_state, Tensor) or new_state.dtype is not uint8:
            kind = new_state.dtype if isinstance(new_state, Tensor) else type(new_state).__name__
            raise TypeError(f"RNG state must be a torch.ByteTensor: a uint8 tensor from get_state, not {kind}")
        data = ctypes.string_at(new_state.data_ptr(), new_state.form.extent)
        step = 1 if new_state.form.contiguous else new_state.stride(-1)
        return self.set_state_bytes(data[::step])

    def state_bytes(self) -> bytes:
        """The whole state in PyTorch's 5056 bytes."""
        _tell("read")
        words, key = self._words, self._key()
        if words[POSITION] == UNSEEDED:
            key[:] = _key_of(words[SEED])
            words[POSITION] = BLOCK
        used = 0 if words[FRESH] else words[POSITION]
        head = _HEAD.pack(words[SEED], 1 if words[FRESH] else BLOCK + 1 - used, 1, used)
        cached = struct.unpack("<d", struct.pack("<Q", words[CACHED]))[0] if words[HAS_CACHED] else 0.0
        return head + struct.pack(f"<{BLOCK}Q", *key) + _TAIL.pack(0.0, cached, 0.0, words[HAS_CACHED], 0.0, False)

    def set_state_bytes(self, state: bytes) -> Generator:
        """Continues where the generator stood that gave this state; returns the generator."""
        _tell("set")
        if len(state) != STATE_SIZE:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {STATE_SIZE} but found the input RNG state size to be {len(state)}"
            )
        seed, left, seeded, used = _HEAD.unpack_from(state)
        if not (seeded and 0 < left <= BLOCK and used <= BLOCK):
            raise RuntimeError(f"Invalid mt19937 state: words left {left}, words used {used}, seeded {seeded}")
        _, cached, _, has_cached, _, _ = _TAIL.unpack_from(state, STATE_SIZE - _TAIL.size)
        self._key()[:] = struct.unpack_from(f"<{2 * BLOCK}I", state, _HEAD.size)[::2]  # each in a slot of 8 bytes
        words = self._words
        words[POSITION], words[FRESH] = BLOCK if left == 1 else used, left == 1 and used == 0
        words[CACHED] = struct.unpack("<Q", struct.pack("<d", cached))[0] if has_cached else 0
        words[HAS_CACHED], words[SEED] = bool(has_cached), seed
        return self

    def graphsafe_get_state(self) -> Generator:
        """A generator that shares this one's state; NotImplementedError on the cpu."""
        return self._device_only("graphsafe_get_state", NotImplementedError)

    def graphsafe_set_state(self, state: Generator) -> Generator:
        """Shares another generator's state; NotImplementedError on the cpu."""
        return self._device_only("graphsafe_set_state", NotImplementedError)

    def get_offset(self) -> int:
        """How many numbers were drawn, of a counting generator; RuntimeError on the cpu, whose generator does not count."""
        return self._device_only("get_offset", RuntimeError)

    def set_offset(self, offset: int) -> None:
        """Goes to a place of a counting generator; RuntimeError on the cpu."""
        self._device_only("set_offset", RuntimeError)

    def _device_only(self, name: str, error: type[Exception]) -> Any:
        if self.device.type == "cpu":
            raise error(
                f"{name}: CPU Generator does not use offset, and shares no state; get_state() and set_state() copy it"
            )

    def clone_state(self) -> Generator:
        """Another generator that will give the same numbers."""
        _tell("read")
        other = Generator(self.device)
        ctypes.memmove(other.address, self.address, HEADER * 8 + BLOCK * 4)
        other._words[LOCK] = 0
        return other

    def _key(self):
        return (ctypes.c_uint32 * BLOCK).from_address(self.address + HEADER * 8)

    def __deepcopy__(self, memo: dict) -> Generator:
        return self.clone_state()

    def __reduce__(self):
        return _restored, (self.device, self.state_bytes())

    def __repr__(self) -> str:
        return f"<mashal.Generator on {self.device!s}, seed {self.initial_seed()}>"


def _tell(what: str) -> None:
    """Tells a recording what Python does to a generator's state."""
    if watch.recorder is not None:
        watch.recorder.obstacle(f"a random generator's state is {what} in Python", reads=what == "read")


def _restored(device: Any, state: bytes) -> Generator:
    return Generator(device).set_state_bytes(state)


def _key_of(seed: int) -> list[int]:
    """mt19937's key from one number (the kernels have the same loop in machine code)."""
    key = [seed & 0xFFFFFFFF]
    for i in range(1, BLOCK):
        key.append((1812433253 * (key[-1] ^ (key[-1] >> 30)) + i) & 0xFFFFFFFF)
    return key


default_generator = Generator()
default_generator.seed()


def _unlock() -> None:
    """A forked child has no other threads; what they were drawing from is free."""
    default_generator._words[LOCK] = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)
