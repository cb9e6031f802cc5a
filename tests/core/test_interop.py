"""Arrays, buffers, DLPack and Python's numbers as tensors, and back."""

import array
import gc
import subprocess
import sys
import warnings

import numpy
import pytest

from mashal.core import buffers, dlpack, dtypes, interop
from mashal.core.buffers import frombuffer
from mashal.core.devices import device
from mashal.core.dtypes import DTYPES
from mashal.core.elements import element, to_list
from mashal.core.forms import form
from mashal.core.interop import from_numpy, to_numpy
from mashal.core.nested import from_list, from_number, tensor_from_data
from mashal.core.tensor import make
from mashal.machine.memory import statistics

SHARED = [d for d in DTYPES if d.numpy_name]
BITS = [[1, 0, 1], [1, 1, 0]]


class Producer:
    """A tensor with DLPack's methods, whether or not Tensor has them already."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __dlpack__(self, **wishes):
        return dlpack.dlpack(self.tensor, **wishes)

    def __dlpack_device__(self):
        return dlpack.dlpack_device(self.tensor)


@pytest.fixture
def nothing_leaks():
    gc.collect()
    before = statistics()["live"]
    yield
    gc.collect()
    assert statistics()["live"] == before


# ---------------------------------------------------------------- arrays
def test_importing_interop_does_not_import_numpy():
    code = "import sys, mashal.core.interop, mashal.core.dlpack as d; d.from_dlpack; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0


@pytest.mark.parametrize("d", SHARED, ids=str)
def test_an_array_and_its_tensor_are_the_same_memory(d):
    a = numpy.array(BITS, d.numpy_name)
    x = from_numpy(a)
    a[0, 1] = 1
    assert x.dtype is d
    assert to_list(x) == a.tolist()


@pytest.mark.parametrize("d", SHARED, ids=str)
def test_a_tensor_and_its_array_are_the_same_memory(d, nothing_leaks):
    x = tensor_from_data(BITS, d)
    a = to_numpy(x)
    a[0, 1] = 1
    assert a.dtype == d.numpy_name
    assert to_list(x) == a.tolist()


def test_a_tensor_keeps_its_array_alive():
    a = numpy.arange(4.0)
    count = sys.getrefcount(a)
    x = from_numpy(a)
    assert sys.getrefcount(a) == count + 1
    del x
    assert sys.getrefcount(a) == count


def test_an_array_keeps_its_tensor_alive(nothing_leaks):
    a = to_numpy(from_list([1.0, 2.0]))
    gc.collect()
    [from_list([9.0, 9.0]) for _ in range(10)]
    assert a.tolist() == [1.0, 2.0]


def test_strided_arrays_stay_strided():
    a = numpy.arange(24).reshape(4, 6)[1:, ::2].T
    x = from_numpy(a)
    assert tuple(x.stride()) == (2, 6)
    assert to_list(x) == a.tolist()
    assert to_numpy(x).strides == a.strides


def test_0d_and_empty_arrays():
    assert to_list(from_numpy(numpy.array(2.5))) == 2.5
    assert to_numpy(from_number(2.5)).shape == ()
    assert to_numpy(from_numpy(numpy.zeros((0, 3)))).shape == (0, 3)


def test_negative_strides_are_refused():
    with pytest.raises(ValueError, match="negative"):
        from_numpy(numpy.ones(3)[::-1])


def test_foreign_byte_order_is_refused():
    with pytest.raises(ValueError, match="byte order"):
        from_numpy(numpy.zeros(2, ">f4"))


def test_text_is_refused():
    with pytest.raises(TypeError, match=r"can't convert np\.ndarray of type <U1"):
        from_numpy(numpy.array(["a"]))


def test_only_arrays_are_taken():
    with pytest.raises(TypeError, match=r"expected np.ndarray \(got list\)"):
        from_numpy([1])


def test_a_read_only_array_warns_once(monkeypatch):
    monkeypatch.setattr(buffers._Warned, "read_only", False)
    a = numpy.ones(2)
    a.flags.writeable = False
    with pytest.warns(UserWarning, match="NumPy array is not writable"):
        from_numpy(a)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_numpy(a)


def test_numpy_of_what_requires_grad_names_detach():
    x = from_list([1.0]).requires_grad_()
    with pytest.raises(RuntimeError, match=r"requires grad.*tensor.detach\(\).numpy\(\)"):
        to_numpy(x)
    assert to_numpy(x, force=True).tolist() == [1.0]


def test_numpy_has_no_bfloat16():
    with pytest.raises(TypeError, match="unsupported ScalarType BFloat16"):
        to_numpy(from_list([1.0], dtypes.bfloat16))


def test_meta_tensors_are_no_arrays():
    with pytest.raises(TypeError, match="can't convert meta device type tensor to numpy"):
        to_numpy(make(None, 0, form(dtypes.float32, device("meta"), (2,))))


def test_array_protocol_converts_and_copies():
    x = from_list([1, 2])
    assert interop.array_of(x, "float32").dtype == "float32"
    a = interop.array_of(x, copy=True)
    a[0] = 9
    assert to_list(x) == [1, 2]
    with pytest.raises(ValueError, match="a copy is needed"):
        interop.array_of(x, "float32", copy=False)


# ---------------------------------------------------------------- buffers
def test_a_buffer_and_its_tensor_are_the_same_memory():
    a = array.array("i", [1, 2, 3])
    x = frombuffer(a, dtype=dtypes.int32, offset=4)
    a[1] = 9
    assert to_list(x) == [9, 3]
    with pytest.raises(BufferError):
        a.append(4)


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        (b"", {}, "must not be 0"),
        (b"abcd", {"count": 0}, "must not be 0"),
        (b"abc", {}, "must be a multiple of element size"),
        (b"abcd", {"count": 3}, "must not be greater"),
        (b"abcd", {"offset": 4}, "offset"),
        (b"abcd", {"offset": -1}, "offset"),
        ("text", {}, "buffer protocol"),
    ],
)
def test_a_buffer_that_does_not_fit_is_a_value_error(data, options, said):
    with pytest.raises(ValueError, match=said):
        frombuffer(data, dtype=dtypes.int16, **options)


# ---------------------------------------------------------------- DLPack
@pytest.mark.parametrize("max_version", [None, (1, 0), (1, 3), (0, 8)])
@pytest.mark.parametrize("d", DTYPES, ids=str)
def test_dlpack_brings_every_dtype_back(d, max_version, nothing_leaks):
    x = tensor_from_data(BITS, d)
    y = dlpack.from_dlpack(dlpack.dlpack(x, max_version=max_version))
    assert (y.dtype, y.data_ptr(), to_list(y)) == (d, x.data_ptr(), to_list(x))
    del x
    assert to_list(y) == to_list(tensor_from_data(BITS, d))


@pytest.mark.parametrize("max_version", [None, (1, 0)])
def test_a_capsule_that_nobody_takes_gives_its_memory_back(max_version, nothing_leaks):
    dlpack.dlpack(from_list([1.0]), max_version=max_version)


def test_a_capsule_is_taken_once(nothing_leaks):
    capsule = dlpack.to_dlpack(from_list([1.0]))
    dlpack.from_dlpack(capsule)
    with pytest.raises(RuntimeError, match="taken already"):
        dlpack.from_dlpack(capsule)


@pytest.mark.parametrize("d", [d for d in SHARED if d is not dtypes.bool], ids=str)
def test_numpy_takes_and_gives_dlpack(d, nothing_leaks):
    x = tensor_from_data(BITS, d)
    a = numpy.from_dlpack(Producer(x))
    assert a.ctypes.data == x.data_ptr()
    assert a.tolist() == to_list(x)
    assert dlpack.from_dlpack(a).data_ptr() == x.data_ptr()


def test_dlpack_keeps_numpys_array_alive():
    a = numpy.arange(3.0)
    count = sys.getrefcount(a)
    x = dlpack.from_dlpack(a)
    assert sys.getrefcount(a) == count + 1
    del x
    assert sys.getrefcount(a) == count


def test_dlpack_copies_when_asked():
    x = from_list([1.0, 2.0])
    assert dlpack.from_dlpack(Producer(x), copy=True).data_ptr() != x.data_ptr()
    assert dlpack.from_dlpack(Producer(x), copy=False).data_ptr() == x.data_ptr()


def test_dlpack_refuses_gradients():
    with pytest.raises(BufferError, match="require gradient"):
        dlpack.dlpack(from_list([1.0]).requires_grad_())


def test_dlpack_refuses_negative_strides_and_leaves_the_array():
    a = numpy.arange(3.0)[::-1]
    count = sys.getrefcount(a)
    with pytest.raises(BufferError, match="negative"):
        dlpack.from_dlpack(a)
    assert sys.getrefcount(a) == count


def test_dlpack_refuses_what_is_no_tensor():
    with pytest.raises(TypeError, match="not list"):
        dlpack.from_dlpack([1])


@pytest.mark.parity
@pytest.mark.parametrize("d", DTYPES, ids=str)
def test_torch_takes_and_gives_dlpack(d, nothing_leaks):
    import torch

    x = tensor_from_data(BITS, d)
    theirs = torch.from_dlpack(Producer(x))
    assert (str(theirs.dtype), theirs.data_ptr(), theirs.tolist()) == (str(d), x.data_ptr(), to_list(x))
    for back in (dlpack.from_dlpack(theirs), dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(theirs))):
        assert (back.dtype, back.data_ptr()) == (d, x.data_ptr())
    assert torch.utils.dlpack.from_dlpack(dlpack.to_dlpack(x)).tolist() == to_list(x)


@pytest.mark.parity
def test_shared_tensors_survive_the_end_of_python():
    code = (
        "import sys, torch, numpy\n"
        "from mashal.core import dlpack, nested\n"
        "class P:\n"
        "    def __init__(self, x): self.x = x\n"
        "    def __dlpack__(self, **w): return dlpack.dlpack(self.x, **w)\n"
        "    def __dlpack_device__(self): return 1, 0\n"
        "x = nested.from_list([1.0, 2.0])\n"
        "sys.kept = [torch.from_dlpack(P(x)), numpy.from_dlpack(P(x)), dlpack.from_dlpack(torch.ones(3)), dlpack.to_dlpack(x)]\n"
    )
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0


# ---------------------------------------------------------------- numbers out
@pytest.mark.parametrize("d", DTYPES, ids=str)
def test_an_element_is_the_python_number_of_its_dtype(d):
    number = element(from_list([1], d))
    assert number == 1
    assert type(number) is {"b": bool, "u": int, "i": int, "f": float, "c": complex}[d.kind]


def test_unsigned_and_signed_extremes():
    assert to_list(from_list([2**64 - 1], dtypes.uint64)) == [2**64 - 1]
    assert to_list(from_list([-(2**63), 2**63 - 1])) == [-(2**63), 2**63 - 1]
    assert to_list(from_list([-128, 127], dtypes.int8)) == [-128, 127]


def test_every_float16_is_read_right():
    bits = numpy.arange(65536, dtype="uint16").view("float16")
    assert numpy.array_equal(numpy.array(to_list(from_numpy(bits))), bits.astype("float64"), equal_nan=True)


def test_float16_is_written_to_nearest_even():
    numbers = numpy.arange(65536, dtype="uint16").view("float16").astype("float32")
    with numpy.errstate(all="ignore"):
        numbers = numpy.concatenate([numbers * numpy.float32(1 + 2.0**-k) for k in (11, 12, 13)])
        expected = numbers.astype("float16")
    x = from_list(numbers.tolist(), dtypes.float16)
    assert numpy.array_equal(to_numpy(x), expected, equal_nan=True)


def test_bfloat16_is_written_to_nearest_even():
    assert to_list(from_list([1 + 2**-8, 1 + 3 * 2**-8, 1e300], dtypes.bfloat16)) == [1.0, 1.015625, float("inf")]


def test_element_needs_one_element():
    with pytest.raises(RuntimeError, match="a Tensor with 2 elements cannot be converted to Scalar"):
        element(from_list([1, 2]))


def test_meta_tensors_have_no_numbers():
    x = make(None, 0, form(dtypes.float32, device("meta"), (1,)))
    with pytest.raises(RuntimeError, match="meta"):
        element(x)
    with pytest.raises(NotImplementedError, match="meta"):
        to_list(x)


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 2), (1, 0, 3)])
def test_lists_of_empty_tensors(shape):
    assert to_list(from_numpy(numpy.zeros(shape))) == numpy.zeros(shape).tolist()


# ---------------------------------------------------------------- numbers in
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ([True, False], dtypes.bool),
        ([True, 2], dtypes.int64),
        ([1, 2.5], dtypes.float32),
        ([1.5, 2j], dtypes.complex64),
        ([], dtypes.float32),
        (((1, 2), [3, 4]), dtypes.int64),
        (range(4), dtypes.int64),
        ([numpy.float64(1), 2], dtypes.float64),
        ([numpy.int8(1)], dtypes.int8),
        (numpy.float64(1), dtypes.float64),
        ([numpy.arange(2, dtype="int16"), [1, 2]], dtypes.int64),
        (numpy.arange(2, dtype="int16"), dtypes.int16),
    ],
    ids=repr,
)
def test_the_dtype_holds_all_numbers(data, expected):
    x = tensor_from_data(data)
    assert x.dtype is expected
    assert tuple(x.shape) == numpy.shape(data)
    assert to_list(x) == numpy.asarray(data).tolist()


def test_floats_take_the_default_dtype():
    dtypes.set_default_dtype(dtypes.float64)
    try:
        assert from_list([1.5]).dtype is dtypes.float64
        assert from_list([1j]).dtype is dtypes.complex128
    finally:
        dtypes.set_default_dtype(dtypes.float32)


def test_tensors_in_lists_count_with_their_dtype():
    half = from_number(1.0, dtypes.float16)
    assert from_list([half, half]).dtype is dtypes.float16
    assert to_list(from_list([from_list([1, 2]), from_list([3, 4])])) == [[1, 2], [3, 4]]


def test_empty_lists_within_lists():
    assert tuple(from_list([[], []]).shape) == (2, 0)
    assert tuple(from_list([[[]]]).shape) == (1, 1, 0)


@pytest.mark.parametrize(
    ("data", "dtype", "error", "said"),
    [
        ([[1, 2, 3], [1, 2]], None, ValueError, r"expected sequence of length 3 at dim 1 \(got 2\)"),
        ([1, [2]], None, TypeError, "list cannot be a number"),
        ([[1], 2], None, TypeError, "not a sequence"),
        (["a"], None, ValueError, "too many dimensions 'str'"),
        ("a", None, TypeError, "invalid data type 'str'"),
        ({}, None, RuntimeError, "Could not infer dtype of dict"),
        ([None], None, RuntimeError, "Could not infer dtype of NoneType"),
        ([2**63], None, ValueError, "Overflow when unpacking long long"),
        ([300], dtypes.uint8, RuntimeError, "without overflow"),
        ([float("nan")], dtypes.int64, RuntimeError, "without overflow"),
        ([1e30], dtypes.int32, RuntimeError, "without overflow"),
        ([1j], dtypes.float32, TypeError, "must be real number, not complex"),
    ],
    ids=repr,
)
def test_what_is_no_tensor_is_refused(data, dtype, error, said):
    with pytest.raises(error, match=said):
        tensor_from_data(data, dtype)


def test_a_list_that_contains_itself_is_refused():
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="too many dimensions"):
        from_list(endless)


def test_negative_numbers_count_from_the_end_of_unsigned_types():
    assert to_list(from_list([-1, -255], dtypes.uint8)) == [255, 1]


def test_data_is_copied():
    a = numpy.zeros(2)
    x = tensor_from_data(a)
    y = tensor_from_data(x)
    a[0] = to_numpy(x)[1] = 1
    assert (to_list(x), to_list(y)) == ([0.0, 1.0], [0.0, 0.0])


@pytest.mark.parametrize("d", DTYPES, ids=str)
def test_arrays_are_converted(d):
    assert to_list(tensor_from_data(numpy.array(BITS), d)) == to_list(from_list(BITS, d))


def test_data_for_meta_has_a_shape():
    x = tensor_from_data([[1.0, 2.0]], device="meta")
    assert (tuple(x.shape), x.capsule) == ((1, 2), None)


@pytest.mark.parity
@pytest.mark.parametrize("d", DTYPES, ids=str)
@pytest.mark.parametrize("data", [[-1], [200], 3, [1.75, -2.5], [1e10], [True, 2], [float("inf")], [2**40]], ids=repr)
def test_numbers_become_what_torch_makes_of_them(d, data):
    import torch

    try:
        expected = torch.tensor(data, dtype=getattr(torch, d.name)).tolist()
    except (TypeError, OverflowError, ValueError, RuntimeError) as refused:
        if d is dtypes.uint64 and "an integer is required" in str(refused):
            return  # whole parts of floats are taken here for every integer type
        with pytest.raises(type(refused)):
            tensor_from_data(data, d)
    else:
        assert to_list(tensor_from_data(data, d)) == expected


def test_an_array_keeps_the_storage_and_sees_its_changes():
    x = from_list([[4.0, 5, 6, 7], [8, 9, 10, 11]])
    part = make(x.capsule, 1, form(dtypes.float32, x.form.device, (2, 2), (4, 2)))
    seen = to_numpy(part)
    to_numpy(x)[0, 1] = 1
    assert seen.tolist() == [[1, 7], [9, 11]] and seen.strides == (16, 8)
    del x, part
    from_list([[0.0] * 4] * 2)
    assert seen.tolist() == [[1, 7], [9, 11]]
