"""What is asked of torch.compile and around it: its arguments, torch.compiler, torch._dynamo."""

import copy
import pickle
import warnings
from unittest import mock

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
    assert len(given) == 2 and given[0][0] is ONE
    torch.compiler.reset()
    compiled(ONE, 2)
    assert len(given) == 3


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


def test_a_compiled_module_is_copied_with_its_options():
    twin = pickle.loads(pickle.dumps(torch.compile(Doubling(), fullgraph=True)))
    assert twin(ONE).item() == 2 and twin.dynamo_ctx.keywords["fullgraph"] is True
    assert twin.dynamo_ctx(lambda x: x * 3)(ONE).item() == 3


class Tenfold(nn.Module):
    """A module whose class has a `__call__` of its own."""

    def __call__(self, x):
        y = super().__call__(x)
        if x.sum() > 0:
            y = y + 1
        return y * 10

    def forward(self, x):
        return x * 2


def test_a_call_that_a_class_has_written_is_split_like_any_method():
    module = torch.compile(Tenfold())
    assert [module(torch.ones(1) * k).item() for k in (1, 1, -1, 1)] == [30, 30, -20, 30]


def test_a_call_that_a_class_has_written_is_recorded_whole():
    module = type("Double", (nn.ReLU,), {"__call__": lambda self, x: nn.ReLU.__call__(self, x) * 2})()
    assert [torch.compile(module, fullgraph=True)(torch.ones(1)).item() for _ in range(3)] == [2, 2, 2]


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
        with pytest.raises(RuntimeError, match="argument `k` was 2 and is 3"):
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
    with pytest.raises(AttributeError, match="no setting 'recompile_limits'; the nearest it has: recompile_limit"):
        torch._dynamo.config.recompile_limits


def test_a_break_that_is_asked_for_is_a_cut():
    def broken(x):
        y = x * 2 + 1
        torch._dynamo.graph_break()
        return y * 2 + 1

    found = torch._dynamo.explain(broken)(ONE)
    assert (found.graph_count, found.graph_break_count) == (2, 1)
    assert torch.compile(broken)(ONE).item() == 7


def test_explain_counts_no_backward():
    assert torch._dynamo.explain(nn.Linear(2, 1))(torch.ones(1, 2)).graph_count == 1


def test_a_mode_and_dynamic_must_be_known():
    with pytest.raises(RuntimeError, match=r"Unrecognized mode=quick.*lite"):
        torch.compile(torch.sin, mode="quick")
    with pytest.raises(AssertionError, match="dynamic is 'yes'"):
        torch.compile(torch.sin, dynamic="yes")


# ---------------------------------------------------------------- options and settings
@pytest.mark.parametrize(
    "options, error",
    [
        ({"nonsense": True}, "Unexpected optimization option nonsense"),
        ({"max_autotune": "yes"}, "Unexpected type of attr max_autotune, got str should be bool"),
        ({"trace.enabled": True}, "can only be False: .*MASHAL_SHOW"),
        ({"guard_filter_fn": 3}, "Unexpected optimization option guard_filter_fn"),
    ],
)
def test_an_option_that_there_is_not_is_an_error(options, error):
    with pytest.raises(RuntimeError, match=error):
        torch.compile(torch.sin, options=options)


def test_options_that_pytorch_has_are_accepted():
    options = {"max-autotune": True, "triton.cudagraphs": True, "epilogue_fusion": False, "guard_filter_fn": len}
    assert torch.compile(lambda x: x * 2, options=options)(ONE).item() == 2


def test_settings_have_groups():
    with torch._inductor.config.patch({"triton.cudagraphs": True}):
        assert torch._inductor.config.triton.cudagraphs is True
    torch._inductor.config.triton.unique_kernel_names = True
    with pytest.raises(AttributeError, match=r"no setting 'triton\.nonsense'"):
        torch._inductor.config.triton.nonsense = 1


def test_settings_are_patched_by_mock():
    with (
        mock.patch.object(torch._inductor.config.triton, "cudagraphs", True),
        mock.patch("mashal._dynamo.config.recompile_limit", 3),
    ):
        assert torch._inductor.config.triton.cudagraphs is True and torch._dynamo.config.cache_size_limit == 3
    assert torch._inductor.config.triton.cudagraphs is False and torch._dynamo.config.cache_size_limit == 8


def test_settings_are_saved_and_loaded():
    config = torch._dynamo.config
    saved = config.save_config()
    config.verbose = True
    config.load_config(saved)
    assert config.verbose is False and config.get_config_copy()["recompile_limit"] == 8


def test_no_more_recordings_are_made_than_a_limit_says():
    counter = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(lambda x, k: x * ord(k), backend=counter)
    with torch._dynamo.config.patch(cache_size_limit=2), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in "abcdabcd":
            compiled(ONE, k)
    assert counter.frame_count == 2


def test_a_limit_of_its_own_is_an_error_with_fullgraph():
    compiled = torch.compile(lambda x, k: x * ord(k), fullgraph=True, recompile_limit=1)
    compiled(ONE, "a")
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit, match=r"recorded 1 times.*argument `k` was 'a'"):
        compiled(ONE, "b")


def test_a_second_recording_can_be_an_error():
    compiled = torch.compile(lambda x, k: x * ord(k))
    with torch._dynamo.config.patch(error_on_recompile=True):
        compiled(ONE, "a")
        with pytest.raises(torch._dynamo.exc.RecompileError, match="error_on_recompile"):
            compiled(ONE, "b")


@pytest.mark.parametrize("setting, sizes", [("automatic_dynamic_shapes", 3), ("assume_static_by_default", 2)])
def test_whether_sizes_share_a_recording_is_a_setting(setting, sizes):
    counter = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(lambda x: x * 2 + 1, backend=counter)
    with torch._dynamo.config.patch({setting: False}):
        for n in range(3, 3 + sizes):
            compiled(torch.ones(n))
    assert bool(compiled.recordings.growing) is (setting == "assume_static_by_default")


def test_a_marked_size_shares_a_recording_from_the_second_on():
    compiled = torch.compile(lambda x: x * 2 + 1)
    for n in (4, 5):
        x = torch.ones(n)
        torch._dynamo.mark_dynamic(x, 0)
        compiled(x)
    assert len(compiled.recordings.growing) == 1


def test_compile_can_be_switched_off():
    seen = []
    compiled = torch.compile(lambda x: seen.append(torch.compiler.is_compiling()) or x * 2)
    with torch._dynamo.config.patch(disable=True):
        compiled(ONE)
    assert seen == [False]


# ---------------------------------------------------------------- exceptions, backends
def test_what_fullgraph_raises_has_pytorchs_class():
    with pytest.raises(torch._dynamo.exc.Unsupported) as raised:
        torch.compile(lambda x: x * x.item(), fullgraph=True)(ONE)
    assert isinstance(raised.value, torch._dynamo.exc.TorchDynamoException) and raised.value.msg == str(raised.value)


def test_a_backend_that_fails_is_an_error_or_left_out():
    def backend(module, tensors):
        raise ValueError("no good")

    with pytest.raises(torch._dynamo.exc.BackendCompilerFailed, match="backend='backend' raised:\nValueError: no good"):
        torch.compile(lambda x: x * 2, backend=backend)(ONE)
    with torch._dynamo.config.patch(suppress_errors=True):
        assert torch.compile(lambda x: x * 2, backend=backend)(ONE).item() == 2


def test_a_backend_that_is_a_function_is_told_the_options():
    told = {}

    def backend(module, tensors, **said):
        told.update(said)
        return module.forward

    torch.compile(lambda x: x * 2, backend=backend, options={"a": 1})(ONE)
    assert told == {"options": {"a": 1}}


def test_nothing_is_compiled_inside_what_is_kept_out():
    kept_out = torch.compiler.disable(torch.compile(lambda x: x * torch.compiler.is_compiling()))
    assert kept_out(ONE).item() == 0


def test_what_is_kept_out_is_not_being_compiled():
    kept_out = torch.compiler.disable(lambda x: x * (2 if torch.compiler.is_compiling() else 3))
    compiled = torch.compile(lambda x: kept_out(x + 1))
    assert [compiled(ONE).item() for _ in range(3)] == [6, 6, 6]


def test_eager_with_fullgraph_finds_cuts():
    with pytest.raises(RuntimeError, match="allows no such place"):
        torch.compile(lambda x: x * x.item(), backend="eager", fullgraph=True)(ONE)


def test_the_first_call_of_a_kind_may_run_as_written():
    seen = []

    def inner(x):
        seen.append(torch.compiler.is_compiling())
        return x

    compiled = torch.compile(lambda x: inner(x) * 2)
    with torch.compiler.set_stance("eager_then_compile"):
        compiled(ONE)
        compiled(ONE)
    assert seen[:2] == [False, True]


def test_a_constant_may_come_from_what_cannot_be_recorded():
    width, seen = torch.tensor(3.0), []

    @torch.compiler.assume_constant_result
    def read(k):
        seen.append(k)
        return width.item() * k

    compiled = torch.compile(lambda x, k: x * read(k), fullgraph=True)
    assert [compiled(ONE, k).item() for k in (2, 2, 3, 3)] == [6, 6, 9, 9]
    assert seen == [2, 3]


def test_what_a_backend_raised_is_pickled():
    error = pickle.loads(pickle.dumps(torch._dynamo.exc.BackendCompilerFailed(len, ValueError("no good"))))
    assert "no good" in str(error) and error.backend_name == "len" and isinstance(error.inner_exception, ValueError)


# ---------------------------------------------------------------- what compile tells
def test_counters_count_recordings_and_cuts():
    counters = torch._dynamo.utils.counters
    counters.clear()

    def broken(x):
        y = x * 2
        torch._dynamo.graph_break()
        return y * 2

    compiled = torch.compile(broken)
    compiled(ONE), compiled(ONE)
    assert counters["stats"]["unique_graphs"] == 2 and list(counters["graph_break"].values()) == [1]


def test_notes_of_cuts_and_recordings(caplog):
    compiled = torch.compile(lambda x, k: x * ord(k))
    torch._logging.set_logs(recompiles=True, graph_breaks=True)
    try:
        for k in "ab":
            compiled(ONE, k)
        torch.compile(lambda x: x * x.item())(ONE)
    finally:
        torch._logging.set_logs()
    recorded, cut = [record.getMessage() for record in caplog.records]
    assert "argument `k` was 'a' and is 'b'" in recorded and "is cut at" in cut


def test_notes_that_there_are_not_are_an_error():
    with pytest.raises(TypeError, match=r"'bytecode'; notes there are: .*graph_breaks"):
        torch._logging.set_logs(bytecode=True)


def test_kernels_are_carried_as_bytes():
    (ONE * 7).sin()
    kernels, info = torch.compiler.save_cache_artifacts()
    assert torch.compiler.load_cache_artifacts(kernels) == info and not info.empty()
    assert torch.compiler.load_cache_artifacts(kernels[:-1]) is None
