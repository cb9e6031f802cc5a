"""The allocator: alignment, reuse, limits, foreign memory."""

import ctypes
import gc
import threading

import pytest

from mashal.machine import memory


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1000, 4096, 100_000, (1 << 22) + 1])
def test_blocks_are_aligned_and_know_their_size(size):
    storage = memory.new_storage(size)
    assert memory.address_of(storage) % 64 == 0 and memory.bytes_of(storage) == size
    ctypes.memset(memory.address_of(storage), 255, size)


def test_at_most_a_quarter_is_wasted():
    for size in [1 << k for k in range(8, 24)] + [(1 << k) + 1 for k in range(8, 24)]:
        before = memory.statistics()["live"]
        storage = memory.new_storage(size)
        taken = memory.statistics()["live"] - before
        assert size <= taken <= max(128, (size + 64) * 1.26)
        del storage


def test_a_freed_block_is_used_again():
    storage = memory.new_storage(5000)
    place = memory.address_of(storage)
    del storage
    assert memory.address_of(memory.new_storage(5001)) == place


def test_everything_comes_back_whatever_the_thread():
    gc.collect()
    before = memory.statistics()["live"]

    def churn():
        for i in range(3000):
            [memory.new_storage(64 + (i * 37 + k * 1000) % 5000) for k in range(4)]

    threads = [threading.Thread(target=churn) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert memory.statistics()["live"] == before


@pytest.mark.parametrize("size", [-1, 1 << 60, (1 << 63) - 1])
def test_sizes_that_cannot_be_had_give_nothing(size):
    assert memory.new_storage(size) is None


def test_foreign_memory_keeps_its_owner_alive():
    class Owner:
        gone = False

        def __del__(self):
            Owner.gone = True

    buffer = ctypes.create_string_buffer(100)
    owner = Owner()
    storage = memory.foreign_storage(ctypes.addressof(buffer), 100, owner)
    del owner
    gc.collect()
    assert not Owner.gone and memory.address_of(storage) == ctypes.addressof(buffer)
    del storage
    gc.collect()
    assert Owner.gone


def test_the_cache_can_be_emptied():
    del_me = memory.new_storage(1 << 20)
    del del_me
    memory.empty_cache()
    assert memory.statistics()["kept"] == 0
