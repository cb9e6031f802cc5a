"""Kernels that sort rows, or find the least (largest) elements of each.

    words: values, places | x | scratch | outer, length, inner, kept, chunks

x is (outer, length, inner) and contiguous, a row is what the middle dimension walks; results are (outer, kept, inner).
An element becomes an unsigned key whose order is the elements' order: nan is the largest, -0 equals 0, and for a
descending sort all bits are inverted. A record is a key and its place in the row, in one word where the key has at
most 32 bits. Records are sorted by digits of 8 bits, the lowest first, which keeps equal ones in order; digits that
all records share are skipped, and short rows are sorted by insertion. Where few are kept, only records that can be among
them are sorted (`chosen`): by "bits" those whose highest bits are not above the bits of the kept-th one; by "blocks", for
rows side by side, those not above the kept-th one of the least keys of blocks of the row: at least so many are among them.

Rows are shared out in chunks, each with scratch memory of its own.
"""

from __future__ import annotations

from mashal.core.dtypes import dtype
from mashal.machine.host import HOST
from mashal.machine.text import Function, Module, Value, vector
from mashal.machine.threads import PARALLEL_FOR

SHORT = 48  # records that are sorted by insertion
_DIGIT, _TOP = 8, 11  # bits of a digit; of the first look at the keys
_BUCKETS = 1 << _DIGIT


_VECTORS = 16  # vectors of blocks


def sort_rows(d: dtype, descending: bool, chosen: str) -> Module:
    """The kernel for rows of a dtype. chosen: how those to be sorted are found: "all", "bits" or "blocks"."""
    return _Writer(d, descending, chosen).module


def choice(d: dtype, length: int, inner: int, kept: int) -> str:
    """How records to be sorted are found in rows of a length of which so many are kept."""
    blocks = _VECTORS * HOST.lanes(max(d.itemsize, 4))
    if inner == 1 and kept * 4 <= blocks and length >= 8 * blocks:
        return "blocks"
    return "bits" if kept * 4 <= length and length >= 256 else "all"


def chunks_of(d: dtype, rows: int, length: int) -> int:
    """In how many chunks rows are shared out: few enough that their scratch stays below 256 MiB."""
    if rows * length < 1 << 13:
        return 1
    return max(1, min(rows, 64, (1 << 28) // max(bytes_of_chunk(d, length), 1)))


def bytes_of_chunk(d: dtype, length: int) -> int:
    """Scratch memory of one chunk: records twice, and counters of digits."""
    return 2 * length * (8 if d.itemsize <= 4 else 16) + 8 * (_BUCKETS * d.itemsize + (1 << _TOP))


class _Writer:
    def __init__(self, d: dtype, descending: bool, chosen: str):
        self.d, self.descending, self.chosen = d, descending, chosen
        self.packed = d.itemsize <= 4
        self.record = 1 if self.packed else 2  # words of a record
        self.digits = d.itemsize
        self.module = Module()
        self._write_row()
        self._write_chunk()
        f = self.module.function("kernel", "i64", [("ptr", "words")])
        (words,) = f.parameters
        f.call("void", PARALLEL_FOR, Value(f, "@kernel_chunk", "ptr"), words, f.word(words, 8))
        f.end(f.constant("i64", -1))

    # ---------------------------------------------------------------- sharing out
    def _write_chunk(self) -> None:
        parameters = [("ptr", "words"), ("i64", "chunk"), ("i64", "thread")]
        f = self.module.function("kernel_chunk", "void", parameters, linkage="internal")
        words, chunk, _ = f.parameters
        outer, length, inner, kept, chunks = (f.word(words, 4 + i) for i in range(5))
        rows = outer * inner
        size = length * (16 * self.record) + 8 * (_BUCKETS * self.digits + (1 << _TOP))
        scratch = f.at(f.word(words, 3, "ptr"), chunk * size, "i8")
        values, places, x = f.word(words, 0, "ptr"), f.word(words, 1, "ptr"), f.word(words, 2, "ptr")

        def row(r: Value) -> None:
            o = r / inner
            i = r - o * inner
            start, result = o * length * inner + i, o * kept * inner + i
            f.call(
                "void", "sort_row", f.at(values, result, self.d.llvm), f.at(places, result, "i64"),
                f.at(x, start, self.d.llvm), scratch, length, inner, kept,
            )  # fmt: skip

        f.loop(chunk * rows / chunks, (chunk + 1) * rows / chunks, 1, row)
        f.end()

    # ---------------------------------------------------------------- keys and records
    def _key(self, f: Function, x: Value) -> Value:
        """An element as an unsigned i64 in the elements' order."""
        key = self._narrow_key(f, x)
        return key if self.d.itemsize == 8 else f.convert("zext", key, "i64")

    def _narrow_key(self, f: Function, x: Value) -> Value:
        """An element (or a vector of them) as unsigned integers of its size in the elements' order."""
        d = self.d
        bits = d.itemsize * 8
        integer = f"i{bits}"
        if d.kind in "ub":
            key = x
        elif d.kind == "i":
            key = x ^ (-1 << (bits - 1))
        else:
            raw = x.bitcast(integer)
            raw = f.select((raw << 1).compare("eq", 0), f.constant(raw.type, 0), raw)  # -0 is 0
            flipped = raw ^ ((raw >> (bits - 1)) | (-1 << (bits - 1)))
            key = f.select(self._is_nan(f, raw, bits), f.constant(raw.type, -1), flipped)
        return key ^ -1 if self.descending else key

    def _is_nan(self, f: Function, raw: Value, bits: int) -> Value:
        mantissa = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}[self.d.name]
        infinity = ((1 << (bits - 1 - mantissa)) - 1) << mantissa
        return (raw & ((1 << (bits - 1)) - 1)).compare("ugt", infinity)

    def _put(self, f: Function, records: Value, i: Value, key: Value, place: Value) -> None:
        if self.packed:
            f.store((key << 32) | place, records, i)
        else:
            f.store(key, records, i * 2)
            f.store(place, records, i * 2 + 1)

    def _read(self, f: Function, records: Value, i: Value) -> list[Value]:
        """The words of a record; the first one decides the order."""
        return [f.load(records, i * self.record + k, "i64") for k in range(self.record)]

    def _write(self, f: Function, records: Value, i: Value, words: list[Value]) -> None:
        for k, word in enumerate(words):
            f.store(word, records, i * self.record + k)

    def _place(self, f: Function, records: Value, i: Value) -> Value:
        last = f.load(records, i * self.record + (self.record - 1), "i64")
        return last & 0xFFFFFFFF if self.packed else last

    def _digit(self, f: Function, word: Value, digit: int) -> Value:
        shift = digit * _DIGIT + (32 if self.packed else 0)
        return word.shift_right_unsigned(shift) & (_BUCKETS - 1)

    # ---------------------------------------------------------------- one row
    def _write_row(self) -> None:
        parameters = [("ptr", n) for n in ("values", "places", "x", "scratch")] + [
            ("i64", n) for n in ("n", "step", "kept")
        ]
        f = self.module.function("sort_row", "void", parameters, linkage="internal")
        values, places, x, scratch, n, step, kept = f.parameters
        first = scratch
        second = f.at(first, n * self.record, "i64")
        counters = f.at(second, n * self.record, "i64")
        highest = f.at(counters, _BUCKETS * self.digits, "i64")
        m = self._gather(f, x, n, step, first, kept, highest)

        def by_digits() -> Value:
            return self._by_digits(f, first, second, m, counters)

        def by_insertion() -> Value:
            self._by_insertion(f, first, m)
            return first

        sorted_ = f.if_(m.compare("sgt", SHORT), by_digits, by_insertion)

        def deliver(j: Value) -> None:
            place = self._place(f, sorted_, j)
            f.store(f.load(x, place * step, self.d.llvm), values, j * step)
            f.store(place, places, j * step)

        f.loop(0, kept, 1, deliver)
        f.end()

    def _gather(
        self, f: Function, x: Value, n: Value, step: Value, records: Value, kept: Value, highest: Value
    ) -> Value:
        """Writes the row's records (those that may be kept); returns how many."""

        def key(j: Value) -> Value:
            return self._key(f, f.load(x, j * step, self.d.llvm))

        if self.chosen == "all":
            f.loop(0, n, 1, lambda j: self._put(f, records, j, key(j), j))
            return n
        if self.chosen == "blocks":
            return self._gather_by_blocks(f, x, n, records, kept)
        shift = max(self.d.itemsize * 8 - _TOP, 0)
        f.loop(0, 1 << _TOP, 1, lambda b: f.store(f.i64(0), highest, b))

        def count(j: Value) -> None:
            bucket = key(j).shift_right_unsigned(shift)
            f.store(f.load(highest, bucket, "i64") + 1, highest, bucket)

        f.loop(0, n, 1, count)

        def reached(bucket: Value, so_far: Value) -> list[Value]:
            total = so_far + f.load(highest, bucket, "i64")
            return [total.compare("slt", kept), bucket + 1, total]

        last, _ = f.repeat(reached, [f.i64(0), f.i64(0)])

        def choose(j: Value, m: Value) -> Value:
            k = key(j)
            self._put(f, records, m, k, j)  # overwritten unless it counts
            return m + f.convert("zext", k.shift_right_unsigned(shift).compare("ult", last), "i64")

        return f.loop(0, n, 1, choose, [f.i64(0)])

    def _gather_by_blocks(self, f: Function, x: Value, n: Value, records: Value, kept: Value) -> Value:
        """Writes the records not above the kept-th of the least keys of blocks; block b is every B-th element from b on."""
        lanes, bits = HOST.lanes(max(self.d.itemsize, 4)), self.d.itemsize * 8
        type, keys = vector(lanes, self.d.llvm), vector(lanes, f"i{bits}")
        key = lambda j: self._narrow_key(f, f.load(x, j, type))
        whole = n & -lanes
        big = n & -(lanes * _VECTORS)

        def least(j: Value, *so_far: Value) -> list[Value]:
            return [f.math("umin", v, key(j + k * lanes)) for k, v in enumerate(so_far)]

        minima = f.loop(0, big, lanes * _VECTORS, least, [f.constant(keys, -1)] * _VECTORS)
        counted = vector(lanes, "i8")

        def enough(limit: Value) -> Value:
            wide, total = f.splat(limit, lanes), f.constant(counted, 0)
            for v in minima:
                total = total + f.convert("zext", v.compare("ule", wide), "i8")
            return f.convert("zext", f.reduce("add", f.convert("zext", total, "i32")), "i64").compare("sge", kept)

        def decide(b: Value, prefix: Value) -> Value:
            bit = f.constant(f"i{bits}", 1) << (b if bits == 64 else f.convert("trunc", b, f"i{bits}"))
            return f.select(enough(prefix | (bit - 1)), prefix, prefix | bit)

        limit = f.loop(0, bits, 1, lambda b, prefix: decide(bits - 1 - b, prefix), [f.constant(f"i{bits}", 0)])
        wide = f.splat(limit, lanes)

        def choose(j: Value, m: Value) -> Value:
            found = f.op(f"i{lanes}", f"bitcast {(c := key(j).compare('ule', wide)).type} {c.spelling} to i{lanes}")

            def take(left: Value, m: Value) -> list[Value]:
                lane = f.call(left.type, f"llvm.cttz.{left.type}", left, f.constant("i1", 1))
                place = j + (lane if lanes == 64 else f.convert("zext", lane, "i64"))
                self._put(f, records, m, self._key(f, f.load(x, place, self.d.llvm)), place)
                left = left & (left - 1)
                return [left.compare("ne", 0), left, m + 1]

            return f.if_(found.compare("ne", 0), lambda: f.repeat(take, [found, m])[1], lambda: m)

        def choose_one(j: Value, m: Value) -> Value:
            mine = f.load(x, j, self.d.llvm)
            self._put(f, records, m, self._key(f, mine), j)  # overwritten unless it counts
            return m + f.convert("zext", self._narrow_key(f, mine).compare("ule", limit), "i64")

        m = f.loop(0, whole, lanes, choose, [f.i64(0)])
        return f.loop(whole, n, 1, choose_one, [m])

    def _by_insertion(self, f: Function, records: Value, m: Value) -> None:
        def insert(i: Value) -> None:
            mine = self._read(f, records, i)

            def shift(j: Value) -> list[Value]:
                """Moves the record before j up, while it is larger."""
                before = self._read(f, records, j - 1)
                larger = before[0].compare("ugt", mine[0])
                self._write(f, records, j, [f.select(larger, b, m_) for b, m_ in zip(before, mine)])
                following = f.select(larger, j - 1, j)
                return [f.op("i1", f"and i1 {larger.spelling}, {following.compare('sgt', 0).spelling}"), following]

            self._write(f, records, f.repeat(shift, [i]), mine)

        f.loop(1, m, 1, insert)

    def _by_digits(self, f: Function, first: Value, second: Value, m: Value, counters: Value) -> Value:
        """Sorts m records from `first`, with `second` as room; returns where they are in the end."""
        f.loop(0, _BUCKETS * self.digits, 1, lambda b: f.store(f.i64(0), counters, b))

        def count(j: Value) -> None:
            word = self._read(f, first, j)[0]
            for digit in range(self.digits):
                place = self._digit(f, word, digit) + digit * _BUCKETS
                f.store(f.load(counters, place, "i64") + 1, counters, place)

        f.loop(0, m, 1, count)
        source, target = first, second
        for digit in range(self.digits):
            mine = f.at(counters, digit * _BUCKETS, "i64")
            shared = f.load(mine, self._digit(f, self._read(f, source, f.i64(0))[0], digit), "i64").compare("eq", m)
            skip = lambda s=source, t=target: [s, t]
            source, target = f.if_(
                shared, skip, lambda s=source, t=target, c=mine, d=digit: self._pass(f, s, t, m, c, d)
            )
        return source

    def _pass(self, f: Function, source: Value, target: Value, m: Value, counters: Value, digit: int) -> list[Value]:
        """Distributes records by one digit; returns (where they are now, where they were)."""

        def begin(b: Value, so_far: Value) -> Value:
            n = f.load(counters, b, "i64")
            f.store(so_far, counters, b)
            return so_far + n

        f.loop(0, _BUCKETS, 1, begin, [f.i64(0)])

        def move(j: Value) -> None:
            record = self._read(f, source, j)
            bucket = self._digit(f, record[0], digit)
            place = f.load(counters, bucket, "i64")
            self._write(f, target, place, record)
            f.store(place + 1, counters, bucket)

        f.loop(0, m, 1, move)
        return [target, source]
