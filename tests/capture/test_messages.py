"""What compile tells the user when a function is not one region, or is recorded again and again."""

import traceback
import warnings
from dataclasses import dataclass

import pytest

import mashal as torch
from mashal.capture.guards import ABSENT, LENGTH, Guard
from mashal.capture.messages import broken, not_whole, place, why_cut


@dataclass
class Cut:
    frames: tuple
    reads: bool = True
    what: str = "print()"


def code(file, source):
    """The code of a function in a file with this source."""
    file.write_text(source)
    names = {}
    exec(compile(source, str(file), "exec"), names)
    return names["step"].__code__


@pytest.fixture
def step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [
        "def step(x):",
        "    total = f(x).item()  # sum",
        "    if (x > 0).any():",
        "        print(x)",
        "    y = x +\\",
        "        1",
    ]
    return code(tmp_path / "train.py", "\n".join(lines) + "\n")


def test_fullgraph_names_file_line_and_what_is_there(step):
    text = not_whole("step", [Cut(((step, 2),))])
    assert text.startswith(
        "compile: train.py, line 2: `f(x).item()` reads a tensor's value in Python; fullgraph=True allows"
    )


def test_fullgraph_says_how_many_others_there_are(step):
    assert "(and 2 more places)" in not_whole("step", [Cut(((step, line),)) for line in (2, 3, 3, 4)])


def test_a_condition_is_shown_as_it_is_written(step):
    assert why_cut(Cut(((step, 3),))) == "`if (x > 0).any()` reads a tensor's value in Python"


def test_an_effect_is_named(step):
    assert why_cut(Cut(((step, 4),), reads=False)) == "`print(x)`: print() is Python, which no replay repeats"


def test_a_part_of_a_statement_is_shown_as_it_is_written(step):
    assert why_cut(Cut(((step, 5),))) == "`y = x +\\` reads a tensor's value in Python"


def test_a_place_inside_a_called_function_names_both_lines(step):
    assert place([(step, 2), (step, 4)]) == "train.py, line 4 (reached from train.py, line 2)"


def test_a_cut_without_lines_says_what_it_is():
    assert why_cut(Cut((), what="another thread computes")) == "another thread computes"


CHANGES = [
    (2, 3, "k was 2 and is 3"),
    (2, 2.5, "k was 2 and is 2.5"),
    (2, ABSENT, "k was 2 and is not there"),
    (ABSENT, "a", "k was not there and is 'a'"),
    ([1], [1], "k is another list than before"),
    (torch.ones(2), torch.ones(2), "k is another tensor than before"),
    (torch.ones(2), torch.ones(3), "k was a tensor (2,) and is a tensor (3,)"),
    ("a" * 99, None, f"k was '{'a' * 57} … and is None"),
]


@pytest.mark.parametrize(("expected", "found", "words"), CHANGES)
def test_a_guard_that_failed_says_what_was_and_what_is(expected, found, words):
    holder = {} if found is ABSENT else {"k": found}
    assert broken(Guard(holder, "k", expected, "k")) == words


def test_a_list_that_grew_says_how_long_it_was():
    assert broken(Guard([1, 2], LENGTH, 1, "the length of `parts`")) == "the length of `parts` was 1 and is 2"


def test_what_is_a_sentence_stays_one(step):
    cut = Cut(((step, 4),), reads=False, what="random.random() draws a random number")
    assert why_cut(cut) == "`print(x)`: random.random() draws a random number"


def test_cuts_of_one_line_are_said_together(step):
    cuts = [Cut(((step, 4),), reads=reads) for reads in (True, False)]
    assert why_cut(*cuts) == "`print(x)` reads a tensor's value in Python; print() is Python, which no replay repeats"


def test_a_traceback_shows_no_line_that_did_not_run():
    with pytest.raises(RuntimeError) as caught:
        torch.compile(lambda x: x @ torch.ones(5, 2))(torch.ones(4))
    shown = "".join(traceback.format_exception(caught.value))
    assert "A call tries" not in shown
    assert "torch.ones(5, 2)" in shown


@pytest.mark.parametrize("what", ["next(it)", "random.shuffle(x, …)", "self.calls += …", "del kept[0]"])
def test_what_python_does_is_said_to_be_python(step, what):
    assert (
        why_cut(Cut(((step, 4),), reads=False, what=what)) == f"`print(x)`: {what} is Python, which no replay repeats"
    )


def test_a_method_of_a_few_objects_is_no_reason_to_warn():
    class Layer:
        def __init__(self, scale):
            self.scale = scale

        @torch.compile
        def __call__(self, x):
            return x * len(self.scale)

    layers = [Layer("a" * n) for n in range(1, 6)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for layer in layers * 4:
            assert layer(torch.ones(2)).tolist() == [len(layer.scale)] * 2
    assert len(Layer.__call__.recordings.all) == 5
