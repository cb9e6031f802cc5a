"""Handles of hooks: taking a hook away, once, together with its options."""

import pickle
from collections import OrderedDict

from mashal.core.handles import RemovableHandle


def registered():
    hooks, options = OrderedDict(), OrderedDict()
    handle = RemovableHandle(hooks, extra_dict=options)
    hooks[handle.id] = options[handle.id] = True
    return handle, hooks, options


def test_removing_empties_both():
    handle, hooks, options = registered()
    handle.remove()
    handle.remove()
    assert not hooks
    assert not options


def test_the_end_of_a_block_removes():
    handle, hooks, _ = registered()
    with handle:
        assert hooks
    assert not hooks


def test_a_handle_whose_owner_is_gone_does_nothing():
    handle, hooks, options = registered()
    del hooks, options
    handle.remove()


def test_every_handle_has_its_number():
    assert registered()[0].id != registered()[0].id


def test_a_pickled_handle_removes_from_the_pickled_dictionary():
    handle, hooks, _ = pickle.loads(pickle.dumps(registered()))
    handle.remove()
    assert not hooks
