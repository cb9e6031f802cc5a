"""What is asked of torch.compile and around it: its arguments, torch.compiler, torch._dynamo."""

import copy
import pickle

import pytest

import mashal as torch
from mashal import nn

ONE = torch.ones(1)


class Doubling(nn.Module):
    def forward(self, x):
        return x * 2


def test_a_compiled_class_is_that_class_with_compiled_calls():
    compiled = torch.compile(type("Own", (Doubling,), {"forward": lambda self, x: x * 3}))
    module = compiled()
    assert isinstance(module, compiled) and [module(ONE).item() for _ in range(3)] == [3, 3, 3]


def test_disabled_compile_returns_what_it_was_given():
    module = Doubling()
    assert torch.compile(module, disable=True) is module


def test_a_disabled_module_is_a_module_and_a_disabled_class_is_a_class():
    assert isinstance(torch.compiler.disable(Doubling()), nn.Module)
    kept = torch.compiler.disable(type("Own", (Doubling,), {}))
    assert isinstance(kept(), kept)


def test_a_backend_that_is_a_function_is_given_the_function_and_tensors():
    given = []

    def backend(module, tensors):
        given.append(tensors)
        return lambda x, k: module(x, k) + 1

    compiled = torch.compile(lambda x, k: x * k, backend=backend)
    assert [compiled(ONE, k).item() for k in (2, 3)] == [3, 4]
    assert len(given) == 1 and given[0][0] is ONE


@pytest.mark.parametrize("backend", ["nonsense", 3])
def test_an_unknown_backend_is_an_error(backend):
    with pytest.raises(RuntimeError, match="Invalid backend"):
        torch.compile(lambda x: x, backend=backend)


def test_fullgraph_stops_before_anything_is_printed(capsys):
    def loud(x):
        x.add_(1)
        print("here")

    x = torch.zeros(1)
    with pytest.raises(RuntimeError, match=r"test_namespace\.py, line .*print"):
        torch.compile(loud, fullgraph=True)(x)
    assert capsys.readouterr().out == "" and x.item() == 0


def test_a_module_whose_calls_are_compiled_is_pickled_and_copied():
    module = nn.Linear(2, 1)
    module.compile()
    module(torch.ones(1, 2))
    for twin in (pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
        assert torch.equal(twin(torch.ones(1, 2)), module(torch.ones(1, 2)))


def test_a_compiled_container_is_walked_through_like_the_container():
    layers = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    compiled = torch.compile(layers)
    assert (
        len(compiled) == 2
        and compiled[1] is layers[1]
        and list(compiled) == list(layers)
        and "_orig_mod" in dir(compiled)
    )


# ---------------------------------------------------------------- torch.compiler
@pytest.fixture
def double():
    def double(x):
        seen.append(torch.compiler.is_compiling())
        return x * 2

    seen = []
    compiled = torch.compile(lambda x: double(x))
    compiled.seen = seen
    return compiled


def test_forced_eager_runs_as_written(double):
    with torch.compiler.set_stance("force_eager"):
        double(ONE)
    double(ONE)
    torch.compiler.set_stance("force_eager")(double)(ONE)
    assert double.seen == [False, True, False]


def test_failing_where_no_recording_fits_says_why():
    compiled = torch.compile(lambda x, k: x * k)
    compiled(ONE, 2)
    with torch.compiler.set_stance("fail_on_recompile"):
        assert compiled(ONE, 2).item() == 2
        with pytest.raises(RuntimeError, match="argument 1 was 2 and is 3"):
            compiled(ONE, 3)
    assert compiled(ONE, 3).item() == 3


def test_an_unknown_stance_is_an_error():
    with pytest.raises(RuntimeError, match="stance must be one of"):
        torch.compiler.set_stance("nonsense")


def test_functions_of_arrays_take_tensors():
    assert torch.compiler.wrap_numpy(lambda a: (a + a.sum(), 3))(torch.ones(2))[0].tolist() == [3, 3]


# ---------------------------------------------------------------- torch._dynamo
def test_the_limit_of_recordings_is_a_setting():
    compiled = torch.compile(lambda x, k: x * ord(k))
    with torch._dynamo.config.patch(recompile_limit=2), pytest.warns(UserWarning, match="recorded 2 times"):
        for _ in range(3):
            for k in "abcd":
                assert compiled(ONE, k).item() == ord(k)
    assert torch._dynamo.config.cache_size_limit == 8


def test_an_unknown_setting_is_an_error():
    with pytest.raises(AttributeError, match="no setting 'nonsense'"):
        torch._dynamo.config.nonsense = 1


def test_a_break_that_is_asked_for_is_a_cut():
    def broken(x):
        y = x * 2 + 1
        torch._dynamo.graph_break()
        return y * 2 + 1

    found = torch._dynamo.explain(broken)(ONE)
    assert (found.graph_count, found.graph_break_count) == (2, 1)
    assert torch.compile(broken)(ONE).item() == 7


def test_a_mode_and_dynamic_must_be_known():
    with pytest.raises(RuntimeError, match=r"Unrecognized mode=quick.*lite"):
        torch.compile(torch.sin, mode="quick")
    with pytest.raises(AssertionError, match="dynamic is 'yes'"):
        torch.compile(torch.sin, dynamic="yes")
