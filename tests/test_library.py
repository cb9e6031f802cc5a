"""Operations of one's own: made, called, differentiated, mapped, compiled to shapes."""

import pytest

import mashal as torch
from mashal import library


@library.custom_op("tests::scaled", mutates_args=())
def scaled(x: torch.Tensor, by: float = 2.0) -> torch.Tensor:
    return x.detach() * by


@scaled.register_fake
def _(x, by=2.0):
    return torch.empty_like(x)


def setup_context(ctx, inputs, output):
    ctx.by = inputs[1]


scaled.register_autograd(lambda ctx, g: (g * ctx.by, None), setup_context=setup_context)


def test_it_is_called_by_itself_and_by_its_name():
    x = torch.ones(2)
    assert (
        scaled(x).tolist()
        == torch.ops.tests.scaled(x).tolist()
        == torch.ops.tests.scaled.default(x, by=2.0).tolist()
        == [2, 2]
    )


def test_its_gradient_is_what_was_registered():
    x = torch.ones(2, requires_grad=True)
    scaled(x, 3.0).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_without_data_it_gives_what_the_fake_gives():
    assert scaled(torch.empty(2, 3, device="meta")).shape == (2, 3)


def test_it_can_be_mapped_and_checked():
    assert torch.vmap(scaled)(torch.ones(3, 2)).tolist() == [[2, 2]] * 3
    assert set(library.opcheck(scaled, (torch.ones(2, requires_grad=True),)).values()) == {"SUCCESS"}


def test_without_a_formula_backward_says_so():
    @library.custom_op("tests::plain", mutates_args=())
    def plain(x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        plain(torch.ones(1, requires_grad=True)).sum().backward()


def test_what_is_changed_in_place_is_said():
    @library.custom_op("tests::fill_one", mutates_args={"x"})
    def fill_one(x: torch.Tensor) -> None:
        x.fill_(1)

    x = torch.zeros(2)
    assert fill_one(x) is None
    assert x.tolist() == [1, 1]
    assert fill_one._signature.text == "(Tensor(a0!) x) -> ()"


def test_a_result_may_not_be_an_input():
    @library.custom_op("tests::same", mutates_args=())
    def same(x: torch.Tensor) -> torch.Tensor:
        return x

    with pytest.raises(RuntimeError, match="return a clone"):
        same(torch.ones(1))


def test_defined_by_a_signature_and_kernels():
    lib = library.Library("tests_lib", "DEF")
    assert lib.define("add_n(Tensor x, int n=1, *, bool twice=False) -> Tensor") == "add_n"
    lib.impl("add_n", lambda x, n, twice: x + n * (1 + twice), "CPU")
    assert torch.ops.tests_lib.add_n(torch.zeros(1), twice=True) == 2
    with pytest.raises(TypeError, match="no free argument 'm'"):
        torch.ops.tests_lib.add_n(torch.zeros(1), m=1)
    with pytest.raises(NotImplementedError, match="register_fake"):
        torch.ops.tests_lib.add_n(torch.zeros(1, device="meta"))


def test_define_and_impl_as_functions():
    library.define("tests::neg_it", "(Tensor x) -> Tensor")
    library.impl("tests::neg_it", "cpu", lambda x: -x)
    assert torch.ops.tests.neg_it(torch.ones(1)) == -1


@pytest.mark.parametrize("name", ["noname", "a::b::c", "a::"])
def test_names_need_a_namespace(name):
    with pytest.raises(ValueError, match="namespace::name"):
        library.custom_op(name, mutates_args=())(lambda x: x)


def test_parameters_need_annotations():
    with pytest.raises(ValueError, match="has no annotation"):
        library.custom_op("tests::unknown", mutates_args=())(lambda x: x)


def test_signatures_are_inferred_from_annotations():
    def f(
        x: torch.Tensor, w: torch.Tensor | None, n: list[int], *, s: str = "a", b: bool = True
    ) -> tuple[torch.Tensor, torch.Tensor]: ...

    text = '(Tensor x, Tensor? w, SymInt[] n, *, str s="a", bool b=True) -> (Tensor, Tensor)'
    assert library.infer_schema(f, mutates_args=()) == text
