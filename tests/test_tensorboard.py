"""What SummaryWriter writes can be read: records with right checksums, messages with the right fields."""

import struct
import zlib
from pathlib import Path

import pytest

import mashal as torch
from mashal.utils.tensorboard import SummaryWriter
from mashal.utils.tensorboard.records import checksum


def varint(data, i):
    value = shift = 0
    while True:
        value |= (data[i] & 127) << shift
        shift, i = shift + 7, i + 1
        if data[i - 1] < 128:
            return value, i


def fields(data):
    """number -> values of a message."""
    found, i = {}, 0
    while i < len(data):
        key, i = varint(data, i)
        if key & 7 == 0:
            value, i = varint(data, i)
        elif key & 7 == 1:
            value, i = struct.unpack_from("<d", data, i)[0], i + 8
        elif key & 7 == 5:
            value, i = struct.unpack_from("<f", data, i)[0], i + 4
        else:
            n, i = varint(data, i)
            value, i = data[i : i + n], i + n
        found.setdefault(key >> 3, []).append(value)
    return found


def masked(data):
    crc = checksum(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def events(folder):
    (path,) = Path(folder).glob("events*")
    data, i = path.read_bytes(), 0
    while i < len(data):
        head = data[i : i + 8]
        (n,) = struct.unpack("<Q", head)
        event = data[i + 12 : i + 12 + n]
        assert data[i + 8 : i + 12] == masked(head)
        assert data[i + 12 + n : i + 16 + n] == masked(event)
        yield fields(event)
        i += 16 + n


def values(folder):
    """(step, Summary.Value) of every summary."""
    return [(e.get(2, [0])[0], fields(fields(e[5][0])[1][0])) for e in events(folder) if 5 in e]


def test_scalars_keep_tag_value_and_step(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("loss", torch.tensor(0.5), 7)
    ((step, value),) = values(tmp_path)
    assert (step, value[1], value[2]) == (7, [b"loss"], [0.5])


def test_the_first_event_names_the_version(tmp_path):
    SummaryWriter(tmp_path).close()
    assert next(events(tmp_path))[3] == [b"brain.Event:2"]


def test_histograms_count_every_value(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_histogram("w", torch.tensor([-1.0, 0.0, 0.5, 2.0]))
    histogram = fields(values(tmp_path)[0][1][5][0])
    counts = struct.unpack(f"<{len(histogram[7][0]) // 8}d", histogram[7][0])
    assert (histogram[1], histogram[2], histogram[3], sum(counts)) == ([-1.0], [2.0], [4.0], 4)
    assert len(histogram[6][0]) == len(histogram[7][0])


def test_images_are_png(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_image("x", torch.tensor([[[0.0, 1.0]]] * 3))
    image = fields(values(tmp_path)[0][1][4][0])
    assert (image[1], image[2]) == ([1], [2])
    data = image[4][0].partition(b"IDAT")[2]
    assert zlib.decompress(data.partition(b"IEND")[0][:-8]) == bytes([0, 0, 0, 0, 255, 255, 255])


def test_images_of_another_shape_than_said_are_refused(tmp_path):
    with (
        SummaryWriter(tmp_path) as writer,
        pytest.raises(ValueError, match=r"shape \(3, 2\) does not fit dataformats 'CHW'"),
    ):
        writer.add_image("x", torch.zeros(3, 2))


def test_several_scalars_are_runs_of_their_own(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalars("both", {"a": 1, "b": 2}, 3)
    assert values(tmp_path / "both_a")[0][1][2] == [1.0]
    assert values(tmp_path / "both_b")[0][1][2] == [2.0]


def test_graphs_name_parameters_and_operations(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        writer.add_graph(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU()), torch.rand(1, 2))
    (graph,) = [e[4][0] for e in events(tmp_path) if 4 in e]
    assert b"0/weight" in graph
    assert b"Addmm" in graph


def test_settings_that_are_no_numbers_or_texts_are_refused(tmp_path):
    with SummaryWriter(tmp_path) as writer, pytest.raises(ValueError, match="lr is a list"):
        writer.add_hparams({"lr": [1]}, {"accuracy": 1.0})
