"""Matrix products: C = activation(alpha·A@B + beta·C + bias), for any strides of A and B and every element type.

    form = choose(m, n, k, element, rsa, csa, rsb, csb)     which of the kernels below suits a problem
    module = contraction(element, form, epilogue)           i64 kernel(ptr words), words as in lower.problem
    scratch_bytes(form, m, n, k, element, rsb, csa)         what the word `scratch` must point at

A form is "few" or "small" (few rows or columns; A is read where it lies), "pairs" (the same with bfloat dot products,
for csa = 1 and even k), "tiny" ("few" with products rounded before they are added), "dot" (one number), "matvec" (one row
or one column) or "blocked" (packed panels). Each is a module of its own,
since compiling them is most of a cold first call. Elements: float, double, half and bfloat (accumulated in float32,
rounded once), i8 (uint8 too), i16, i32 and i64 (wrapping). lower.arrange does all this for tensors' shapes and strides.

Surprise: C's columns are neighbours always, only its rows have a stride. A product to be stored transposed is the
product of the transposed operands.
"""

from __future__ import annotations

from dataclasses import replace

from mashal.lower import blocked, dot, matvec, small
from mashal.lower.problem import ONE, PARALLEL_FOR_FEW, WORDS, Block, chunk_function
from mashal.lower.tiles import Epilogue, Follow, Numbers, Tile, ceil_div
from mashal.machine.host import HOST, Host
from mashal.machine.jit import ENTRY
from mashal.machine.text import SIZES, Function, Module, Value

FORMS = ("dot", "tiny", "few", "small", "pairs", "matvec", "blocked")
FOLLOWED = ("dot", "tiny", "few", "small", "blocked")  # forms whose results can be computed with before they are stored
SMALL = 1 << 15  # multiply-adds up to which half types are widened as they are read
CACHED = 1 << 18  # elements of A that stay in the second-level cache, so that packing A isn't worth it
TINY = 1 << 10  # multiply-adds up to which one row isn't worth a matrix-vector kernel, and bits are PyTorch's
NARROW = 12  # of tiny products, those with fewer rows and columns are computed there without fused multiply-adds
GROUP = 1 << 18  # multiply-adds in a chunk of small items
SERIAL = 1 << 22  # multiply-adds of an item from which few items are shared out inside, not side by side
MANY = 16  # items from which bigger ones are side by side too
HUGE = 1 << 30  # multiply-adds of an item from which the scratch of every thread would be too much


def choose(m: int, n: int, k: int, element: str, rsa: int, csa: int, rsb: int, csb: int, host: Host = HOST) -> str:
    """The form for one problem: sizes and strides decide, never the number of threads.

    >>> choose(5, 30, 20, "float", 20, 1, 1, 20), choose(256, 256, 64, "float", 64, 1, 256, 1)
    ('few', 'small')
    >>> choose(1, 50257, 768, "float", 768, 1, 1, 768), choose(1024, 3072, 768, "float", 768, 1, 1, 768)
    ('matvec', 'blocked')
    """
    if m == n == csa == rsb == 1 and k <= dot.LONGEST and element in ("float", "double"):
        return "dot"
    if m * n * k <= TINY and max(m, n) < NARROW and element in ("float", "double"):
        return "tiny"
    if m == 1 and n * k > TINY and 1 in (rsb, csb) or n == 1 and m * k > TINY // 4 and 1 in (rsa, csa):
        return "matvec"
    numbers = Numbers.of(element, host, pairs=True)
    tile = Tile.of(host, numbers)
    in_place = m <= small.FEW or m * k <= CACHED or csa == 1 and n <= 4 * tile.across
    if numbers.group == 2 and csa == 1 and k % 2 == 0 and k <= small.DEPTH and in_place:
        return "pairs"
    if numbers.rounds:  # reading A in place widens its elements again for every panel
        in_place = m <= small.FEW or m * n * k <= SMALL
    if k <= small.DEPTH and in_place:
        return "few" if m < tile.rows else "small"
    return "blocked"


def alternatives(form: str, k: int, element: str, host: Host = HOST) -> tuple[str, ...]:
    """The forms that give the same bits as one: sums that are not cut into blocks are added up in the same order.

    >>> alternatives("small", 64, "float"), alternatives("small", 2000, "float")
    (('small', 'blocked'), ('small',))
    """
    numbers = Numbers.of(element, host, pairs=True)
    whole = k <= min(small.DEPTH, Tile.of(host, numbers).depth * numbers.group)
    return ("small", "blocked") if form in ("small", "blocked") and whole else (form,)


def contraction(
    element: str,
    form: str,
    epilogue: Epilogue | None = None,
    batched: bool = False,
    host: Host = HOST,
    name: str = ENTRY,
) -> Module:
    """A module with the kernel `i64 kernel(ptr words)`, or another name; the words are those of lower.problem.

    >>> print(contraction("float", "few").text().splitlines()[-5])
    define i64 @kernel(ptr %words) nounwind {
    """
    epilogue, module = epilogue or Epilogue(), Module()
    if epilogue.follow is not None and form not in FOLLOWED:
        raise ValueError(f"contraction: nothing can follow a product of the form {form!r}")
    numbers = Numbers.of(element, host, pairs=form in ("pairs", "blocked"))
    if form == "blocked":
        one = blocked.add_blocked(module, numbers, epilogue, host)
    elif form == "matvec":
        one = matvec.add_matvec(module, numbers, epilogue, host)
    elif form == "dot":
        one = dot.add_dot(module, numbers, epilogue)
    elif form == "tiny":
        one = small.add_small(module, replace(numbers, fused=False), epilogue, host, few=True)
    elif form in ("few", "small", "pairs"):
        one = small.add_small(module, numbers, epilogue, host, few=form == "few")
    else:
        raise ValueError(f"contraction: form must be one of {', '.join(FORMS)}, not {form!r}")
    if batched:
        one = _add_batch(module, numbers, one)
    f = module.function(name, "i64", [("ptr", "words")])
    words = f.parameters[0]
    f.call("void", one, words if epilogue.follow is None else _rearranged(f, words, epilogue.follow, batched))
    f.end(f.i64(-1))
    return module


def _rearranged(f: Function, words: Value, follow: Follow, batched: bool) -> Value:
    """The words of a product in their usual order, out of those of a kernel that computes more (lower.following)."""
    names = WORDS if batched else ONE
    block = Block(f, f.stack(8 * len(names)))
    places = follow.places(len(names))
    for name, place in zip(names, places):
        block[name] = f.word(words, place)
    block["beta"] = f.op("i64", f"ptrtoint {words} to i64")
    return block.pointer


def scratch_bytes(form: str, m: int, n: int, k: int, element: str, rsb: int, csa: int, host: Host = HOST) -> int:
    """Bytes of scratch for one problem; a batch needs as much for each thread (the word scratch_each).

    >>> scratch_bytes("small", 64, 64, 64, "float", 64, 1)
    0
    """
    numbers = Numbers.of(element, host, pairs=form in ("pairs", "blocked"))
    one = 0
    if form == "blocked":
        one = blocked.scratch_of(m, n, k, Tile.of(host, numbers), numbers)
    elif form == "matvec":
        one = matvec.scratch_of(m, n, k, rsb, csa, SIZES[numbers.memory])
    return (one + 63) // 64 * 64


def side_by_side(count: int, work: int) -> bool:
    """Whether `count` items of a batch, of so many multiply-adds each, are computed at once, with scratch a thread.

    >>> side_by_side(96, 256 * 64 * 256), side_by_side(4, 1024**3)
    (True, False)
    """
    return work <= SERIAL or count >= MANY and work <= HUGE


def _add_batch(module: Module, numbers: Numbers, one: str) -> str:
    """Adds void batch(words): items side by side, several small ones in a chunk; a few big ones one after another."""
    _add_item(module, numbers, one)
    f, context, chunk, thread = chunk_function(module, "batch_chunk")
    words = Block(f, context)
    count, group = _items(f, words)
    first = chunk * group

    def item(i: Value) -> None:
        f.call("void", "batch_item", context, i, thread)

    f.loop(first, f.min(first + group, count), 1, item)
    f.end()

    f = module.function("batch", parameters=[("ptr", "words")], linkage="internal")
    words = Block(f, f.parameters[0])
    count, group = _items(f, words)
    m, n, k = words.all("m n k")
    work = m * n * k
    apart = work.compare("sle", SERIAL) | (count.compare("sge", MANY) & work.compare("sle", HUGE))

    def all_at_once() -> None:
        chunks = words.pointer, ceil_div(count, group), words["threads"]
        f.call("void", PARALLEL_FOR_FEW, Value(f, "@batch_chunk", "ptr"), *chunks)

    def item_in_turn(i: Value) -> None:
        f.call("void", "batch_item", words.pointer, i, 0)

    def in_turn() -> None:
        f.loop(0, count, 1, item_in_turn)

    f.if_(apart, all_at_once, in_turn)
    f.end()
    return "batch"


def _items(f: Function, words: Block) -> list[Value]:
    """[how many items there are, how many go in one chunk]"""
    m, n, k, batch0, batch1 = words.all("m n k batch0 batch1")
    return [batch0 * batch1, f.max(f.i64(GROUP) // f.max(m * n * k, 1), 1)]


def _add_item(module: Module, numbers: Numbers, one: str) -> None:
    """Adds void batch_item(words, i, thread): the words of item i, handed to the kernel of one problem."""
    parameters = [("ptr", "words"), ("i64", "i"), ("i64", "thread")]
    f = module.function("batch_item", parameters=parameters, linkage="internal")
    pointer, i, thread = f.parameters
    words, item = Block(f, pointer), Block(f, f.stack(8 * len(ONE)))
    for name in ONE:
        item[name] = words[name]
    batch1 = words["batch1"]
    i0, i1 = i // batch1, i % batch1
    for operand in "abc":
        offset = i0 * words[f"s{operand}0"] + i1 * words[f"s{operand}1"]
        item[operand] = numbers.at(f, words[operand], offset)
    item["scratch"] = f.at(words["scratch"], thread * words["scratch_each"], "i8")
    f.call("void", one, item.pointer)
    f.end()
