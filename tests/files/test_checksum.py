"""Our CRC-32 against zlib's."""

import os
import zlib

import pytest

import mashal as torch
from mashal.serialization import zipwrite
from mashal.serialization.checksum import WORTH_FOLDING, crc32


@pytest.mark.parametrize(
    "size", [0, 1, 100, WORTH_FOLDING, WORTH_FOLDING + 1, 5000, 4159, 4160, 1 << 20, (1 << 20) + 77]
)
@pytest.mark.parametrize("start", [0, 3])
def test_checksums_are_those_of_zlib(size, start):
    data = bytearray(os.urandom(size + start))
    assert crc32(memoryview(data)[start:]) == zlib.crc32(memoryview(data)[start:])


def test_bytes_that_cannot_be_written_have_checksums_too():
    assert crc32(b"123456789") == 0xCBF43926
    assert crc32(bytes(100_000)) == zlib.crc32(bytes(100_000))


def test_helper_threads_give_the_same_file(tmp_path, monkeypatch):
    state = [torch.arange(300_000) + i for i in range(5)]
    torch.save(state, tmp_path / "file.pt")
    first = (tmp_path / "file.pt").read_bytes()
    monkeypatch.setattr(zipwrite, "folds", lambda: False)
    torch.save(state, tmp_path / "file.pt")
    assert (tmp_path / "file.pt").read_bytes() == first
