"""A function split into regions means what it meant, and what can be computed in regions is."""

import ast
import contextlib
import itertools
import linecache
import random
import traceback
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mashal.capture.regions import Unsplit, split


@dataclass
class Cut:
    frames: tuple
    reads: bool = True
    what: str = "a tensor's values are read"


class Regions:
    """A compile_region that compiles nothing and remembers its regions."""

    def __init__(self):
        self.names = []
        self.arguments = []
        self.calls = []

    def __call__(self, function, name):
        number = len(self.names)
        self.names.append(name)
        self.arguments.append(function.__code__.co_varnames[: function.__code__.co_argcount])

        def region(*arguments):
            self.calls.append(number)
            return function(*arguments)

        return region


def lines_with(function, text="# cut"):
    """The lines of a function's source that hold some text."""
    code = function.__code__
    last = max(line for _, _, line in code.co_lines() if line)
    lines = linecache.getlines(code.co_filename)
    return [n for n in range(code.co_firstlineno, last + 1) if text in lines[n - 1]]


def cut(function, reads=True, deep=False):
    """The function split at the lines marked `# cut`, and its regions."""
    function = getattr(function, "__func__", function)
    regions = Regions()
    code = function.__code__
    cuts = [Cut(((code, line), *[(code, line)] * deep), reads) for line in lines_with(function)]
    return split(function, cuts, regions), regions


def parts(function, **options):
    """The variables of each region of a function."""
    return cut(function, **options)[1].arguments


LOG = []
FACTOR = 3


def read(x):
    LOG.append(x)
    return x


# ---------------------------------------------------------------- what becomes a region
def test_statements_around_a_cut_are_two_regions():
    def function(x):
        y = x + 1
        z = y * 2
        read(z)  # cut
        return z + y

    made, regions = cut(function)
    assert made(1) == function(1)
    assert regions.arguments == [("x",), ("y", "z")]


def test_regions_return_what_is_needed_later_only():
    def function(x):
        y = x + 1
        z = y * 2
        read(1)  # cut
        return z + 1

    assert parts(function) == [("x",), ("z",)]


def test_a_region_of_one_statement_has_its_line_in_its_name():
    def function(x):
        y = x + 1
        read(y)  # cut
        return y

    [name] = cut(function)[1].names
    assert name == f"{function.__qualname__}, line {function.__code__.co_firstlineno + 1}"


def test_the_branch_with_the_cut_is_split_inside():
    def function(x):
        y = x + 1
        if FACTOR:
            y = y * 2
            read(y)  # cut
            y = y + 5
        return y - 1

    made, regions = cut(function)
    assert made(1) == function(1)
    assert regions.calls == [0, 1, 2, 3]


def test_a_loop_with_a_cut_runs_a_region_in_each_turn():
    def function(x):
        for i in range(3):
            x = x + i
            read(x)  # cut
        return x * 2

    made, regions = cut(function)
    assert made(1) == function(1)
    assert regions.calls == [0, 0, 0, 1]


def test_a_loop_without_a_cut_is_inside_a_region():
    def function(x):
        for i in range(3):
            x = x + i
        read(x)  # cut
        return x

    assert parts(function) == [("x",)]


def test_a_with_statement_is_split_inside():
    def function(x):
        with contextlib.nullcontext():
            y = x + 1
            read(y)  # cut
            return y * 2

    made, regions = cut(function)
    assert made(1) == 4
    assert regions.calls == [0, 1]


def test_a_return_in_a_branch_stays_a_return():
    def function(x):
        if x > 3:
            return x * 2
        read(x)  # cut
        return x + 1

    made, _ = cut(function)
    assert [made(1), made(5)] == [2, 10]


def test_the_value_that_is_read_is_computed_in_a_region():
    def function(x):
        y = x + 1
        return float(y * 2)  # cut

    made, regions = cut(function)
    assert made(1) == 4.0
    assert regions.arguments == [("x",)]


def test_the_condition_of_a_branch_is_computed_in_a_region():
    def function(x):
        if (x + 1) * 2 > 3:  # cut
            return 1
        return 0

    made, regions = cut(function)
    assert made(1) == 1
    assert regions.arguments == [("x",)]


def test_what_is_printed_is_computed_in_a_region(capsys):
    def function(x):
        print("loss", x * 2 + 1)  # cut

    made, regions = cut(function)
    made(3)
    assert capsys.readouterr().out == "loss 7\n"
    assert regions.arguments == [("x",)]


def test_what_is_added_up_is_computed_in_a_region():
    def function(x):
        total = 1
        total += float(x * 2)  # cut
        return total

    made, regions = cut(function)
    assert made(3) == 7.0
    assert regions.arguments == [("x",)]


def test_what_goes_into_a_dictionary_is_computed_in_a_region():
    def function(x):
        return {"loss": float(x * 2), "size": 1}  # cut

    made, regions = cut(function)
    assert made(3) == {"loss": 6.0, "size": 1}
    assert regions.arguments == [("x",)]


def test_counting_and_collecting_alone_are_no_region():
    def function(x):
        kept = []
        count = len(kept)
        count += 1
        kept.append(count)
        read(x)  # cut
        return x * 2

    assert parts(function) == [("x",)]


def test_a_statement_with_an_effect_runs_whole_as_written():
    def function(x):
        y = x * 2
        print(y * 2)  # cut
        return y

    assert parts(function, reads=False) == [("x",)]


def test_a_call_with_a_cut_inside_runs_whole_as_written():
    def function(x):
        y = x * 2
        z = float(read(y))  # cut
        return y + z

    assert parts(function, deep=True) == [("x",), ("y", "z")]


def test_an_inner_function_stays_where_it_is():
    def function(x):
        y = x + 1
        double = lambda v: v * 2 + y
        read(y)  # cut
        return double(y) + x

    made, _ = cut(function)
    assert made(1) == function(1)


def test_what_an_inner_function_sees_is_not_changed_in_a_region():
    def function(x):
        y = x
        see = lambda: y
        read(x)  # cut
        y = x + 1
        z = see() + 1
        return z + y

    made, _ = cut(function)
    assert made(1) == function(1) == 5


def test_a_variable_that_a_handler_reads_is_bound_at_once():
    def function(x):
        y = 0
        try:
            y = x + 1
            read(y)  # cut
            y = y + 10
            x = 1 // 0
        except ZeroDivisionError:
            return y
        return -1

    made, _ = cut(function)
    assert made(1) == function(1) == 12


def test_variables_without_a_value_raise_what_they_raised():
    def function(x):
        if x > 3:
            y = 1
        read(x)  # cut
        z = read(x) + 1
        return y + z

    made, _ = cut(function)
    assert made(5) == function(5)
    LOG.clear()
    with pytest.raises(UnboundLocalError):
        made(1)
    assert LOG == [1, 1]


def test_deleted_variables_stay_deleted():
    def function(x):
        y = x + 1
        read(y)  # cut
        z = y + 1
        del y
        return z + 1

    made, _ = cut(function)
    assert made(1) == function(1)


def test_a_region_can_be_split_again():
    def function(x):
        y = x + 1
        z = y * 2  # later
        read(z)  # cut
        return z * y

    found = []
    code = function.__code__
    [line], [later] = lines_with(function), lines_with(function, "# later")
    made = split(function, [Cut(((code, line),))], lambda region, name: found.append(region) or region)
    regions = Regions()
    again = split(found[0], [Cut(((found[0].__code__, later),), False)], regions)
    assert (again(1), found[0](1)) == ((2, 4), (2, 4))
    assert regions.arguments == [("x",)]
    assert made(1) == 8


def test_a_value_read_in_a_branch_not_taken_yet_is_a_cut():
    def function(x):
        if x > 100:
            y = x * x
            return y.item()
        read(x)  # cut
        return x * 2

    assert parts(function) == [("x",), ("x",)]


# ---------------------------------------------------------------- what it shares with the original
def test_globals_are_those_of_the_module(monkeypatch):
    def function(x):
        y = x * FACTOR
        read(y)  # cut
        return y * FACTOR

    made, _ = cut(function)
    monkeypatch.setitem(globals(), "FACTOR", 10)
    assert made(1) == 100


def test_cells_are_shared():
    count = 0

    def function(x):
        nonlocal count
        y = x + count
        count += 1
        read(y)  # cut
        return y + count

    made, _ = cut(function)
    assert [made(0), function(0), made(0)] == [1, 3, 5]
    assert count == 3


def test_defaults_are_kept():
    def function(x, y=2, *rest, z=3, **options):
        """Says what it is."""
        w = x + y + z + len(rest) + len(options)
        read(w)  # cut
        return w + 1

    made, _ = cut(function)
    assert made(1) == function(1)
    assert made(1, 2, 3, z=4, k=5) == function(1, 2, 3, z=4, k=5)
    assert (made.__name__, made.__doc__, made.__qualname__) == (
        function.__name__,
        function.__doc__,
        function.__qualname__,
    )


def test_methods_are_bound_and_super_is_found():
    class Base:
        def f(self, x):
            return x + 1

    class Derived(Base):
        def f(self, x):
            y = super().f(x) * 2
            read(y)  # cut
            y = y + self.k
            return y * y

        k = 4

    d = Derived()
    regions = Regions()
    code = Derived.f.__code__
    made = split(d.f, [Cut(((code, line),)) for line in lines_with(Derived.f)], regions)
    assert made(1) == d.f(1) == 64
    assert regions.arguments == [("self", "y")]


def test_a_traceback_shows_the_line_of_the_source():
    def function(x):
        y = x + 1
        read(y)  # cut
        z = y + 1
        return z // 0  # here

    made, _ = cut(function)
    with pytest.raises(ZeroDivisionError) as caught:
        made(1)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.lineno, last.name) == (__file__, lines_with(function, "# here")[0], "function")


# ---------------------------------------------------------------- what is not split
def generator(x):
    yield x + 1  # cut


def looks(x):
    y = x + 1
    read(locals())  # cut
    return y


def nothing_left(x):
    return read(x)  # cut


@pytest.mark.parametrize(
    ("function", "why"),
    [(generator, "generator"), (looks, "own variables"), (nothing_left, "no statement"), (len, "not a function of Python")],
    ids=["generator", "locals", "nothing", "builtin"],
)  # fmt: skip
def test_this_is_not_split(function, why):
    cuts = [Cut(((function.__code__, line),), False) for line in lines_with(function)] if function is not len else []
    with pytest.raises(Unsplit, match=why):
        split(function, cuts, Regions())


def test_one_of_several_lambdas_in_a_line_is_not_split():
    function, _ = lambda x: read(x + 1), lambda x: read(x + 2)
    with pytest.raises(Unsplit, match="lambda"):
        split(function, [], Regions())


def test_a_function_without_source_is_not_split():
    names = {}
    exec("def function(x):\n    return x + 1", names)
    with pytest.raises(Unsplit, match="cannot be read"):
        split(names["function"], [], Regions())


# ---------------------------------------------------------------- random programs
VARIABLES = "abcde"
numbers = itertools.count()


class Program:
    """A random program over five variables, which logs every call."""

    def __init__(self, seed):
        self.choose = random.Random(seed)
        self.lines = ["def function(a, b):"]
        self.block(1, 3, in_loop=False)
        self.lines.append(f"    return [{self.expression()}, a]")

    def name(self):
        return self.choose.choice(VARIABLES)

    def expression(self):
        v, w = self.name(), self.name()
        plain = [v, f"{v} + 1", f"f({v})", f"f({v}) - f({w})", f"{v} * {w} % 7", f"f({v} if {w} % 2 else 3)"]
        scopes = [
            f"sum(i + {v} for i in range(2))",
            f"max([j, {v}][j] for j in range(2))",
            f"[{v} for _ in range(2)][1]",
        ]
        return self.choose.choice([*plain, *scopes, f"(lambda q: q + {v})({w})", f"({v} := f({w})) + 1"])

    def put(self, depth, text):
        self.lines.append("    " * depth + text)

    def block(self, depth, budget, in_loop):
        for _ in range(self.choose.randint(1, 4)):
            self.statement(depth, budget, in_loop)

    def statement(self, depth, budget, in_loop):
        kinds = ["assign", "assign", "assign", "change", "call", "two", "see", "del", "return", "raise"]
        kinds += ["if", "if", "for", "while", "try", "with", "finally"] * (budget > 0) + ["break", "continue"] * in_loop
        getattr(self, "put_" + self.choose.choice(kinds))(depth, budget - 1, in_loop)

    def put_assign(self, depth, budget, in_loop):
        self.put(depth, f"{self.name()} = {self.expression()}")

    def put_change(self, depth, budget, in_loop):
        self.put(depth, f"{self.name()} += {self.expression()}")

    def put_call(self, depth, budget, in_loop):
        self.put(depth, f"f({self.expression()})")

    def put_two(self, depth, budget, in_loop):
        self.put(depth, f"{self.name()}, {self.name()} = {self.expression()}, {self.expression()}")

    def put_see(self, depth, budget, in_loop):
        self.put(depth, f"see = lambda: f({self.name()})")
        self.put(depth, f"{self.name()} = {self.expression()}")
        self.put(depth, f"{self.name()} = see()")

    def put_del(self, depth, budget, in_loop):
        self.put(depth, f"del {self.name()}" if self.choose.random() < 0.2 else "pass")

    def put_return(self, depth, budget, in_loop):
        self.put(depth, f"if {self.expression()} % 5 == 0:")
        self.put(depth + 1, f"return {self.expression()}")

    def put_raise(self, depth, budget, in_loop):
        self.put(depth, f"if {self.expression()} % 5 == 1:")
        self.put(depth + 1, "raise ValueError(f(1))")

    def put_break(self, depth, budget, in_loop):
        self.put(depth, f"if {self.expression()} % 3 == 0:")
        self.put(depth + 1, "break")

    def put_continue(self, depth, budget, in_loop):
        self.put(depth, f"if {self.expression()} % 3 == 1:")
        self.put(depth + 1, "continue")

    def put_if(self, depth, budget, in_loop):
        self.put(depth, f"if {self.expression()} % 2:")
        self.block(depth + 1, budget, in_loop)
        if self.choose.random() < 0.5:
            self.put(depth, "else:")
            self.block(depth + 1, budget, in_loop)

    def put_for(self, depth, budget, in_loop):
        self.put(depth, f"for {self.name()} in range({self.expression()} % 4):")
        self.block(depth + 1, budget, True)
        if self.choose.random() < 0.3:
            self.put(depth, "else:")
            self.block(depth + 1, budget, in_loop)

    def put_while(self, depth, budget, in_loop):
        counter = f"n{len(self.lines)}"
        self.put(depth, f"{counter} = 0")
        self.put(depth, f"while {counter} < 3 and {self.expression()} % 4:")
        self.put(depth + 1, f"{counter} += 1")
        self.block(depth + 1, budget, True)

    def put_try(self, depth, budget, in_loop):
        self.put(depth, "try:")
        self.block(depth + 1, budget, in_loop)
        self.put(depth, "except ValueError as error:" if self.choose.random() < 0.5 else "except ValueError:")
        self.block(depth + 1, budget, in_loop)
        if self.choose.random() < 0.3:
            self.put(depth, "else:")
            self.block(depth + 1, budget, in_loop)

    def put_finally(self, depth, budget, in_loop):
        self.put(depth, "try:")
        self.block(depth + 1, budget, in_loop)
        self.put(depth, "finally:")
        self.put(depth + 1, f"f({self.name()})")

    def put_with(self, depth, budget, in_loop):
        self.put(depth, f"with manager({self.name()}):")
        self.block(depth + 1, budget, in_loop)


def outcome(function, a, b, log):
    log.clear()
    try:
        result = function(a, b)
    except Exception as error:
        result = type(error), str(error).replace("free variable", "local variable")
        if isinstance(error, NameError):
            result = NameError
    return result, list(log)


@contextlib.contextmanager
def manager(value):
    LOG.append(value)
    yield
    LOG.append("left")


def logged(x):
    LOG.append(x)
    if len(LOG) > 200:
        raise ValueError("long")
    return x % 11


@example(1053, {2}, True)
@example(268435456, {10}, False)
@example(950, {2}, False)
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.sets(st.integers(2, 25), min_size=1, max_size=4), st.booleans())
def test_a_random_program_split_at_random_lines_means_the_same(seed, lines, reads):
    source = "\n".join(Program(seed).lines) + "\n"
    file = f"<program {next(numbers)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    names = {"f": logged, "manager": manager}
    exec(compile(source, file, "exec"), names)
    function = names["function"]
    try:
        made = split(function, [Cut(((function.__code__, line),), reads) for line in lines], Regions())
    except Unsplit:
        return
    finally:
        del linecache.cache[file]
    for a, b in [(0, 1), (2, 3), (5, 4), (7, 10)]:
        assert outcome(made, a, b, LOG) == outcome(function, a, b, LOG), source


def test_random_programs_are_mostly_split():
    split_ones = 0
    for seed in range(50):
        source = "\n".join(Program(seed).lines) + "\n"
        assert ast.parse(source)
        file = f"<counted {seed}>"
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        names = {"f": logged, "manager": manager}
        exec(compile(source, file, "exec"), names)
        with contextlib.suppress(Unsplit):
            split(names["function"], [Cut(((names["function"].__code__, 3),))], Regions())
            split_ones += 1
        del linecache.cache[file]
    assert split_ones > 30
