"""Datasets that are chained."""

import pytest

import mashal as torch
from mashal.utils.data import IterDataPipe, functional_datapipe
from mashal.utils.data.datapipes.iter import IterableWrapper, Shuffler
from mashal.utils.data.datapipes.map import SequenceWrapper
from mashal.utils.data.graph_settings import apply_shuffle_settings


def test_pipes_are_methods_of_pipes():
    pipe = IterableWrapper(range(7)).map(lambda x: x * 2).filter(lambda x: x > 2).batch(2)
    assert list(pipe) == [[4, 6], [8, 10], [12]]


def test_a_pipe_of_ones_own_becomes_a_method():
    @functional_datapipe("doubled_here")
    class Doubled(IterDataPipe):
        def __init__(self, source):
            self.source = source

        def __iter__(self):
            for x in self.source:
                yield from (x, x)

    assert list(IterableWrapper("ab").doubled_here()) == ["a", "a", "b", "b"]


def test_shuffling_keeps_all_and_follows_the_seed():
    pipe = IterableWrapper(range(20)).shuffle(buffer_size=5)
    torch.manual_seed(1)
    first = list(pipe)
    torch.manual_seed(1)
    assert list(pipe) == first
    assert sorted(first) == list(range(20))
    assert first != sorted(first)


def test_shuffling_can_be_turned_off_from_behind():
    pipe = IterableWrapper(range(5)).shuffle().map(str)
    assert list(apply_shuffle_settings(pipe, False)) == list("01234")
    assert isinstance(apply_shuffle_settings(IterableWrapper([1]), True), Shuffler)


def test_batches_are_undone():
    assert list(IterableWrapper([[1, [2]], [3]]).unbatch(-1)) == [1, 2, 3]


def test_a_column_is_mapped():
    assert list(IterableWrapper([(1, 2), (3, 4)]).map(lambda x: -x, input_col=1)) == [(1, -2), (3, -4)]


def test_pipes_over_places():
    pipe = SequenceWrapper([1, 2, 3]).map(lambda x: x + 1).batch(2)
    assert [pipe[0], pipe[1], len(pipe)] == [[2, 3], [4], 2]
    with pytest.raises(IndexError):
        pipe[2]


def test_a_loader_takes_pipes():
    loader = torch.utils.data.DataLoader(IterableWrapper(range(4)), batch_size=2)
    assert [x.tolist() for x in loader] == [[0, 1], [2, 3]]


def test_what_is_no_pipe_gets_no_name():
    with pytest.raises(TypeError, match="no class of pipes"):
        functional_datapipe("nothing_here")(int)
