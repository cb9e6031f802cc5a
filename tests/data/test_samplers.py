"""Samplers: the recorded orders, lengths, and what they refuse."""

import pytest

import mashal as torch
from mashal.utils.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

WEIGHTS = [0.1, 0.9, 0.4, 0.7, 3.0, 0.6]


@pytest.mark.parametrize(
    "make, expected",
    [
        (lambda: RandomSampler(range(10)), [6, 7, 4, 1, 3, 9, 0, 2, 8, 5]),
        (
            lambda: RandomSampler(range(10), num_samples=25),
            [6, 7, 4, 1, 3, 9, 0, 2, 8, 5, 1, 8, 9, 2, 5, 4, 6, 0, 7, 3, 1, 3, 2, 5, 0],
        ),
        (lambda: RandomSampler(range(10), num_samples=4), [6, 7, 4, 1]),
        (lambda: RandomSampler(range(10), replacement=True), [6, 2, 0, 4, 1, 4, 0, 5, 4, 1]),
        (lambda: SubsetRandomSampler([10, 20, 30, 40]), [20, 40, 30, 10]),
        (lambda: WeightedRandomSampler(WEIGHTS, 8), [1, 2, 2, 2, 4, 1, 4, 4]),
        (lambda: WeightedRandomSampler(WEIGHTS, 5, replacement=False), [5, 4, 3, 1, 0]),
    ],
)
def test_a_seed_gives_the_recorded_order(make, expected):
    torch.manual_seed(1)
    assert list(make()) == expected


def test_random_sampler_with_replacement_draws_one_word_an_item_across_pieces():
    torch.manual_seed(1)
    order = list(RandomSampler(range(10), replacement=True, num_samples=70))
    assert len(order) == 70
    assert order[-6:] == [5, 1, 9, 9, 9, 3]


def test_random_sampler_draws_when_the_first_index_is_asked_for():
    torch.manual_seed(1)
    before = torch.get_rng_state().tolist()
    iterator = iter(RandomSampler(range(10)))
    assert torch.get_rng_state().tolist() == before
    next(iterator)
    assert torch.get_rng_state().tolist() != before


def test_random_sampler_draws_one_more_order_from_its_own_generator_at_the_end():
    generator = torch.Generator().manual_seed(3)
    again = torch.Generator().manual_seed(3)
    list(RandomSampler(range(10), generator=generator))
    torch.randperm(10, generator=again)
    torch.randperm(10, generator=again)
    assert generator.get_state().tolist() == again.get_state().tolist()


def test_random_sampler_of_an_empty_dataset_is_refused():
    with pytest.raises(ValueError, match="num_samples must be a positive integer, not 0"):
        RandomSampler([])


def test_random_sampler_refuses_a_replacement_that_is_no_boolean():
    with pytest.raises(TypeError, match="replacement must be True or False, not 1"):
        RandomSampler([1], replacement=1)


def test_sequential_sampler_counts():
    assert list(SequentialSampler("abc")) == [0, 1, 2]
    assert len(SequentialSampler("abc")) == 3


@pytest.mark.parametrize("drop_last, expected", [(False, [[0, 1], [2, 3], [4]]), (True, [[0, 1], [2, 3]])])
def test_batch_sampler_makes_lists(drop_last, expected):
    sampler = BatchSampler(SequentialSampler(range(5)), 2, drop_last)
    assert list(sampler) == expected
    assert len(sampler) == len(expected)


@pytest.mark.parametrize("size", [0, -1, 1.5, True])
def test_batch_sampler_refuses_sizes_that_are_no_positive_integers(size):
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        BatchSampler(range(5), size, False)


def test_batch_sampler_refuses_a_drop_last_that_is_no_boolean():
    with pytest.raises(ValueError, match="drop_last must be True or False"):
        BatchSampler(range(5), 1, None)


def test_weighted_sampler_refuses_weights_of_two_dimensions():
    with pytest.raises(ValueError, match=r"weights have shape \(1, 2\)"):
        WeightedRandomSampler([[0.5, 0.5]], 1)


@pytest.mark.parametrize("count", [0, 2.0, True])
def test_weighted_sampler_refuses_counts_that_are_no_positive_integers(count):
    with pytest.raises(ValueError, match="num_samples must be a positive integer"):
        WeightedRandomSampler([1.0], count)


def test_a_sampler_without_iter_says_so():
    with pytest.raises(NotImplementedError, match="Sampler: a sampler needs an __iter__"):
        iter(Sampler())


def test_distributed_samplers_share_one_order():
    shares = [list(DistributedSampler(range(10), 3, rank, seed=4)) for rank in range(3)]
    assert [len(share) for share in shares] == [4, 4, 4]
    assert sorted({index for share in shares for index in share}) == list(range(10))


def test_distributed_sampler_is_a_slice_of_the_seeded_permutation():
    order = torch.randperm(10, generator=torch.Generator().manual_seed(4 + 2)).tolist()
    sampler = DistributedSampler(range(10), 2, 1, seed=4)
    sampler.set_epoch(2)
    assert list(sampler) == order[1::2]


def test_distributed_sampler_repeats_the_first_indices_to_be_even():
    assert list(DistributedSampler(range(5), 2, 1, shuffle=False)) == [1, 3, 0]
    assert list(DistributedSampler(range(1), 4, 3, shuffle=False)) == [0]


def test_distributed_sampler_with_drop_last_leaves_the_tail_out():
    sampler = DistributedSampler(range(5), 2, 0, shuffle=False, drop_last=True)
    assert list(sampler) == [0, 2]
    assert len(sampler) == 2


def test_distributed_sampler_refuses_a_rank_outside():
    with pytest.raises(ValueError, match="rank 2 is outside the 2 replicas"):
        DistributedSampler(range(5), 2, 2)
