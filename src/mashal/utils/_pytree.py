"""Nested dicts, lists and tuples as a list of their leaves and a description of the nest."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["PyTree", "TreeSpec", "register_pytree_node",
           "tree_all", "tree_any", "tree_flatten", "tree_leaves", "tree_map", "tree_map_", "tree_map_only",
           "tree_structure", "tree_unflatten"]  # fmt: skip

PyTree = Any


@dataclass(frozen=True)
class TreeSpec:
    """One level of a nest: its class, what else is to be known of it (keys), and its children. A leaf has the class None."""

    type: Any
    context: Any
    children: tuple[TreeSpec, ...]

    @property
    def num_leaves(self) -> int:
        """How many leaves there are below."""
        return 1 if self.type is None else sum(child.num_leaves for child in self.children)

    def is_leaf(self) -> bool:
        """Whether this is a leaf."""
        return self.type is None

    def unflatten(self, leaves: Any) -> Any:
        """The nest with these leaves."""
        return tree_unflatten(leaves, self)


LEAF = TreeSpec(None, None, ())


class _Node(NamedTuple):
    """How objects of a class are opened, (items, context), and closed again."""

    flatten: Callable[[Any], tuple[Any, Any]]
    unflatten: Callable[[Any, Any], Any]


_REGISTERED: dict[type, _Node] = {}


def register_pytree_node(
    cls: type, flatten_fn: Callable[[Any], tuple[Any, Any]], unflatten_fn: Callable[[Any, Any], Any], **others: Any
) -> None:
    """Makes objects of a class part of nests: flatten_fn(object) gives (items, context), unflatten_fn(items, context) the object.

    ValueError if the class is known already.
    """
    if cls in _REGISTERED:
        raise ValueError(f"register_pytree_node: {cls} is already registered as pytree node")
    _REGISTERED[cls] = _Node(flatten_fn, unflatten_fn)


_register_pytree_node = register_pytree_node


def _opened(tree: Any) -> tuple[list, Any] | None:
    """What is directly inside, and the context; None for a leaf."""
    if type(tree) in _REGISTERED:
        items, context = _REGISTERED[type(tree)].flatten(tree)
        return list(items), context
    if type(tree) in (dict, OrderedDict):
        return list(tree.values()), tuple(tree)
    if type(tree) is defaultdict:
        return list(tree.values()), (tree.default_factory, tuple(tree))
    if type(tree) in (list, tuple) or (isinstance(tree, tuple) and hasattr(tree, "_fields")):
        return list(tree), None
    return None


def _closed(spec: TreeSpec, items: list) -> Any:
    if spec.type in _REGISTERED:
        return _REGISTERED[spec.type].unflatten(items, spec.context)
    if spec.type in (dict, OrderedDict):
        return spec.type(zip(spec.context, items))
    if spec.type is defaultdict:
        return defaultdict(spec.context[0], zip(spec.context[1], items))
    return spec.type(*items) if hasattr(spec.type, "_fields") else spec.type(items)


def tree_flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list, TreeSpec]:
    """The leaves in order, and the nest's description.

    >>> leaves, spec = tree_flatten({"a": 1, "b": [2, 3]})
    >>> leaves, tree_unflatten([x * 10 for x in leaves], spec)
    ([1, 2, 3], {'a': 10, 'b': [20, 30]})
    """
    opened = None if is_leaf is not None and is_leaf(tree) else _opened(tree)
    if opened is None:
        return [tree], LEAF
    leaves: list = []
    children = []
    for item in opened[0]:
        below, spec = tree_flatten(item, is_leaf)
        leaves += below
        children.append(spec)
    return leaves, TreeSpec(type(tree), opened[1], tuple(children))


def tree_unflatten(leaves: Any, treespec: TreeSpec) -> Any:
    """The nest that a description and leaves make; ValueError for another number of leaves."""
    leaves = list(leaves)
    if len(leaves) != treespec.num_leaves:
        raise ValueError(f"tree_unflatten: {len(leaves)} leaves for a nest of {treespec.num_leaves}")
    return _filled(iter(leaves), treespec)


def _filled(leaves: Any, spec: TreeSpec) -> Any:
    return next(leaves) if spec.type is None else _closed(spec, [_filled(leaves, child) for child in spec.children])


def tree_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list:
    """The leaves in order."""
    return tree_flatten(tree, is_leaf)[0]


def tree_structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> TreeSpec:
    """The nest's description."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """The nest with func of each leaf (and of the same leaves of further nests)."""
    leaves, spec = tree_flatten(tree, is_leaf)
    others = [tree_leaves(rest, is_leaf) for rest in rests]
    return tree_unflatten([func(*items) for items in zip(leaves, *others)], spec)


def tree_map_(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """Calls func of each leaf; the nest itself."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def tree_map_only(kinds: Any, func: Callable[..., Any], tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """The nest with func of each leaf of some classes."""
    return tree_map(lambda x: func(x) if isinstance(x, kinds) else x, tree, is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: Any) -> bool:
    """Whether pred holds for every leaf."""
    return all(map(pred, tree_leaves(tree)))


def tree_any(pred: Callable[[Any], bool], tree: Any) -> bool:
    """Whether pred holds for a leaf."""
    return any(map(pred, tree_leaves(tree)))
