"""How tensors print, held against PyTorch's recorded text (`tests/data/printing.json`)."""

import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import pytest

import mashal as torch
from mashal import nn
from mashal.core import printing
from mashal.nn import functional as F

RECORDED = json.loads((Path(__file__).parents[1] / "data/printing.json").read_text(encoding="utf-8"))
NAMES = {"torch": torch, "nn": nn, "F": F, "inf": math.inf, "nan": math.nan}
LEAVES = {"x": (3, 3), "y": (3, 3), "v": (3,), "B": (3, 3, 3), "I": (1, 1, 4, 4)}


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: case["expr"])
def test_prints_pytorchs_text(case):
    names = dict(NAMES)
    torch.manual_seed(123)
    exec(case.get("setup", ""), names)
    torch.set_printoptions(**case.get("options", {}))
    try:
        shown = str(eval(case["expr"], names))
    except AttributeError as error:
        pytest.skip(f"to come: {error}")
    assert shown == case["text"]


@pytest.mark.parametrize("expression", RECORDED["grad_fn_names"])
def test_grad_fn_has_pytorchs_name(expression):
    torch.manual_seed(123)
    names = dict(NAMES, t=torch.tensor([0, 1, 2]))
    names |= {name: torch.rand(*shape).requires_grad_() for name, shape in LEAVES.items()}
    try:
        exec(expression if ";" in expression else f"z = {expression}", names)
    except AttributeError as error:
        pytest.skip(f"to come: {error}")
    result = names["z"]
    assert type(result.grad_fn).__name__ == RECORDED["grad_fn_names"][expression]


def test_a_big_tensor_prints_at_once():
    big = torch.tensor(1.5).expand(100_000, 1000)
    start = time.perf_counter()
    assert str(big).startswith("tensor([[1.5000, 1.5000, 1.5000,  ..., 1.5000, 1.5000, 1.5000],\n")
    assert time.perf_counter() - start < 0.1


def test_options_not_given_stay_but_for_sci_mode():
    torch.set_printoptions(precision=2, sci_mode=True)
    torch.set_printoptions(linewidth=60)
    assert printing.get_printoptions() == {
        "precision": 2,
        "threshold": 1000,
        "edgeitems": 3,
        "linewidth": 60,
        "sci_mode": None,
    }


def test_printoptions_puts_back_what_was_even_after_an_error():
    with pytest.raises(KeyError), printing.printoptions(precision=1, sci_mode=True):
        raise KeyError
    assert printing.get_printoptions() == asdict(printing.Options())


def test_a_profile_that_is_none_is_refused():
    with pytest.raises(ValueError, match="profile 'tiny' is none of 'default', 'short' and 'full'"):
        torch.set_printoptions(profile="tiny")


@pytest.mark.parametrize("name", ["precision", "threshold", "edgeitems", "linewidth"])
@pytest.mark.parametrize("value", [-1, 2.5, math.nan, "4", -math.inf])
def test_an_option_that_is_no_whole_number_is_refused_and_nothing_changes(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value!r}; it must be a whole number of at least 0"):
        torch.set_printoptions(profile="short", **{name: value})
    assert printing.get_printoptions()["precision"] == 4


def test_lines_may_be_of_any_length():
    torch.set_printoptions(linewidth=math.inf)
    assert "\n" not in str(torch.arange(900.0))


def test_a_subclass_prints_its_own_name_and_indents_by_it():
    class Measured(torch.Tensor):
        pass

    measured = torch.ones(2, 2).as_subclass(Measured)
    assert str(measured) == "Measured([[1., 1.],\n          [1., 1.]])"


def test_a_specification_is_for_numbers_only():
    with pytest.raises(TypeError, match=r"unsupported format string passed to Tensor\.__format__"):
        f"{torch.ones(2):.2f}"
