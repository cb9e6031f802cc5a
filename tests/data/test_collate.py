"""default_collate and default_convert: which items become which batch."""

import sys
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from types import MappingProxyType

import numpy
import pytest

import mashal as torch
from mashal.utils.data import default_collate, default_convert
from mashal.utils.data._utils.collate import collate, default_collate_fn_map

Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    "items, dtype, values",
    [
        ([torch.tensor([1.0]), torch.tensor([2.0])], "float32", [[1.0], [2.0]]),
        ([torch.tensor(1), torch.tensor(2)], "int64", [1, 2]),
        ([1, 2], "int64", [1, 2]),
        ([True, False], "bool", [True, False]),
        ([1.5, 2], "float64", [1.5, 2.0]),
        ([1, 2.5], "float32", [1.0, 2.5]),
        ([numpy.float32(1), numpy.float32(2)], "float32", [1.0, 2.0]),
        ([numpy.float64(1)], "float64", [1.0]),
        ([numpy.int32(1), numpy.int32(2)], "int32", [1, 2]),
        ([numpy.bool_(True)], "bool", [True]),
        ([numpy.array([1.0, 2.0]), numpy.array([3.0, 4.0])], "float64", [[1.0, 2.0], [3.0, 4.0]]),
        ([numpy.array(2, dtype=numpy.int16)], "int16", [2]),
    ],
)
def test_leaves_become_one_tensor(items, dtype, values):
    batch = default_collate(items)
    assert str(batch.dtype).endswith("." + dtype)
    assert batch.tolist() == values


@pytest.mark.parametrize("items", [["a", "b"], [b"a", b"b"], [numpy.str_("a")]])
def test_strings_stay_a_list(items):
    assert default_collate(items) is items


def test_tuples_and_lists_become_lists_of_columns():
    for kind in (tuple, list):
        batch = default_collate([kind([1, "a"]), kind([2, "b"])])
        assert type(batch) is list
        assert batch[0].tolist() == [1, 2]
        assert list(batch[1]) == ["a", "b"]


def test_named_tuples_stay_named_tuples():
    batch = default_collate([Point(1, 2.0), Point(3, 4.0)])
    assert type(batch) is Point
    assert batch.x.tolist() == [1, 3]
    assert batch.y.tolist() == [2.0, 4.0]


@pytest.mark.parametrize("kind", [dict, OrderedDict, UserDict, lambda items: defaultdict(int, items)])
def test_mappings_keep_their_type(kind):
    batch = default_collate([kind({"a": 1}), kind({"a": 2})])
    assert type(batch) is type(kind({}))
    assert batch["a"].tolist() == [1, 2]


def test_a_mapping_that_cannot_be_filled_becomes_what_its_type_makes_of_a_dict():
    batch = default_collate([MappingProxyType({"a": 1})])
    assert type(batch) is MappingProxyType
    assert batch["a"].tolist() == [1]


def test_structures_nest():
    batch = default_collate([{"p": (1, [2.0])}, {"p": (3, [4.0])}])
    assert batch["p"][0].tolist() == [1, 3]
    assert batch["p"][1][0].tolist() == [2.0, 4.0]


def test_sequences_that_cannot_be_made_of_columns_become_lists():
    batch = default_collate([range(2), range(2)])
    assert [column.tolist() for column in batch] == [[0, 0], [1, 1]]


def test_sequences_of_different_lengths_are_refused():
    with pytest.raises(RuntimeError, match=r"sequences of lengths \[1, 2\]"):
        default_collate([[1, 2], [3]])


def test_tensors_of_different_shapes_are_refused():
    with pytest.raises(RuntimeError):
        default_collate([torch.ones(2), torch.ones(3)])


def test_a_missing_key_is_a_key_error():
    with pytest.raises(KeyError, match="b"):
        default_collate([{"a": 1, "b": 2}, {"a": 1}])


@pytest.mark.parametrize("item, name", [(None, "NoneType"), (1j, "complex"), ({1}, "set"), (object(), "object")])
def test_other_types_are_refused_by_name(item, name):
    with pytest.raises(TypeError, match=f"an item holds builtins.{name}"):
        default_collate([item])


def test_arrays_of_strings_are_refused():
    with pytest.raises(TypeError, match="an array of dtype <U1"):
        default_collate([numpy.array(["a"])])


def test_an_empty_batch_is_an_index_error():
    with pytest.raises(IndexError):
        default_collate([])


def test_collate_takes_functions_for_further_types():
    class Mark:
        pass

    functions = {Mark: lambda batch, *, collate_fn_map=None: len(batch), **default_collate_fn_map}
    batch = collate([(Mark(), 1), (Mark(), 2)], collate_fn_map=functions)
    assert batch[0] == 2
    assert batch[1].tolist() == [1, 2]


def test_the_default_map_may_be_added_to():
    class Mark:
        pass

    default_collate_fn_map[Mark] = lambda batch, *, collate_fn_map=None: "marks"
    try:
        assert default_collate([Mark()]) == "marks"
    finally:
        del default_collate_fn_map[Mark]


def test_convert_makes_tensors_of_arrays_and_leaves_the_rest():
    number, array, text, nothing = default_convert((1, numpy.array([1.0]), "s", None))
    assert (number, text, nothing) == (1, "s", None)
    assert array.tolist() == [1.0]
    assert default_convert({"a": numpy.float32(1)})["a"].dtype == torch.float32
    assert default_convert(Point(1, 2)) == Point(1, 2)


def test_convert_leaves_arrays_of_strings():
    array = numpy.array(["a"])
    assert default_convert(array) is array


def test_numpy_is_in_sys_modules_when_arrays_are_collated():
    assert "numpy" in sys.modules  # the map's NumPy types join it then
    default_collate([1])
    assert numpy.ndarray in default_collate_fn_map
