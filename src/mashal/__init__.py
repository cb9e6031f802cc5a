"""mashal: deep learning in Python alone, with PyTorch's names: `import mashal as torch`.

Here are the names only. Functions of tensors come from the table of definitions (mashal.ops), each defined once, with
its formula; Tensor's methods come from the same table (mashal.methods). Folders, easiest first:

  nn, optim, utils, autograd      what programs use: layers, optimizers, data, gradients
  ops                             the operations, a file a family
  core                            what a tensor is
  lang, lower, machine            formulas, their kernels, and what runs them
"""

import importlib
import sys
from math import e, inf, nan, pi

from mashal import autograd, methods, random, storage, version
from mashal.checks import (
    _assert,
    _assert_async,
    _check,
    _check_index,
    _check_type,
    _check_value,
    compiled_with_cxx11_abi,
)
from mashal.core.devices import device, get_default_device, set_default_device
from mashal.core.dlpack import from_dlpack, to_dlpack
from mashal.core.dtypes import (
    bfloat16,
    bool,
    cdouble,
    cfloat,
    chalf,
    complex32,
    complex64,
    complex128,
    double,
    dtype,
    finfo,
    float,
    float8_e4m3fn,
    float8_e4m3fnuz,
    float8_e5m2,
    float8_e5m2fnuz,
    float8_e8m0fnu,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    iinfo,
    int,
    int1,
    int2,
    int3,
    int4,
    int5,
    int6,
    int7,
    int8,
    int16,
    int32,
    int64,
    long,
    qint8,
    qint32,
    quint2x4,
    quint4x2,
    quint8,
    set_default_dtype,
    short,
    uint1,
    uint2,
    uint3,
    uint4,
    uint5,
    uint6,
    uint7,
    uint8,
    uint16,
    uint32,
    uint64,
)
from mashal.core.generator import Generator, default_generator
from mashal.core.layouts import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    jagged,
    layout,
    memory_format,
    per_channel_affine,
    per_channel_affine_float_qparams,
    per_channel_symmetric,
    per_tensor_affine,
    per_tensor_symmetric,
    preserve_format,
    qscheme,
    sparse_bsc,
    sparse_bsr,
    sparse_coo,
    sparse_csc,
    sparse_csr,
    strided,
)
from mashal.core.printing import set_printoptions
from mashal.core.shapes import Size
from mashal.core.storage import UntypedStorage
from mashal.core.tape import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from mashal.core.tensor import Tensor
from mashal.core.typed_storage import TypedStorage
from mashal.errors import AcceleratorError, OutOfMemoryError
from mashal.legacy import (
    BFloat16Tensor,
    BoolTensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
    set_default_tensor_type,
)
from mashal.methods.families import found_name as _found_name
from mashal.nearest import nearest as _nearest
from mashal.ops.families import names_at as _names_at
from mashal.ops.foreach import FOREACH as _FOREACH
from mashal.ops.names import public as _public
from mashal.random import get_rng_state, initial_seed, manual_seed, seed, set_rng_state, thread_safe_generator
from mashal.settings import (
    are_deterministic_algorithms_enabled,
    get_deterministic_debug_mode,
    get_float32_matmul_precision,
    get_num_interop_threads,
    get_num_threads,
    is_deterministic_algorithms_warn_only_enabled,
    is_warn_always_enabled,
    set_deterministic_debug_mode,
    set_float32_matmul_precision,
    set_flush_denormal,
    set_num_interop_threads,
    set_num_threads,
    set_warn_always,
    use_deterministic_algorithms,
)
from mashal.storage import (
    BFloat16Storage,
    BoolStorage,
    ByteStorage,
    CharStorage,
    ComplexDoubleStorage,
    ComplexFloatStorage,
    DoubleStorage,
    FloatStorage,
    HalfStorage,
    IntStorage,
    LongStorage,
    ShortStorage,
    Storage,
)
from mashal.version import __version__

newaxis = None
bit = uint1
has_lapack = has_openmp = has_spectral = True
has_mkl = USE_GLOBAL_DEPS = USE_RTLD_GLOBAL_WITH_LIBTORCH = False
legacy_contiguous_format = contiguous_format
globals().update(_public("torch"))
globals().update(_FOREACH)
_INSIDE = set(
    "checks configured control core errors importlib lang later legacy lower machine methods ops quantized settings signatures "
    "streams switches sys torch".split()
)
_MODULES = set(
    "_C _dynamo _functorch _inductor _logging accelerator amp backends compiler cpu cuda distributions fft func functional futures "
    "jit library linalg masked mps mtia multiprocessing nn optim quasirandom overrides return_types serialization signal sparse "
    "special testing types utils xpu".split()
)
_ELSEWHERE = {
    "mashal.amp.autocast_mode": "autocast autocast_decrement_nesting autocast_increment_nesting clear_autocast_cache "
    "get_autocast_cpu_dtype get_autocast_dtype get_autocast_gpu_dtype "
    "is_autocast_cache_enabled is_autocast_cpu_enabled is_autocast_enabled set_autocast_cache_enabled set_autocast_dtype "
    "set_autocast_enabled",
    "mashal.capture.explain": "explain",
    "mashal.compiler": "compile",
    "mashal.func": "vmap",
    "mashal.control": "cond get_device_module sym_float sym_fresh_size sym_int sym_ite sym_max sym_min sym_not sym_sqrt sym_sum "
    "while_loop",
    "mashal.nn.functional": "channel_shuffle cosine_embedding_loss cosine_similarity hinge_embedding_loss margin_ranking_loss "
    "pairwise_distance pdist pixel_shuffle pixel_unshuffle poisson_nll_loss triplet_margin_loss",
    "mashal.nn.parameter": "Parameter",
    "mashal.quantized": "dequantize fake_quantize_per_channel_affine fake_quantize_per_tensor_affine quantize_per_channel "
    "quantize_per_tensor",
    "mashal.serialization": "load save",
    "mashal.streams": "Event Stream",
    "mashal.types": "SymBool SymFloat SymInt",
}
_PLACES = {name: place for place, names in _ELSEWHERE.items() for name in names.split()}
_FAMILIES = _names_at("torch")  # functions whose family is imported when one of them is first asked for
torch = sys.modules[__name__]
_LATER = {*_MODULES, *_PLACES, *_FAMILIES}  # what is imported when it is first asked for
__all__ = sorted(name for name in {*globals(), *_LATER} if not name.startswith("_") and name not in _INSIDE)


def _find(name: str):
    place = _PLACES.get(name)
    return _found_name(name, "torch") if place is None else getattr(importlib.import_module(place), name)


__getattr__ = _nearest(__name__, _MODULES, _find)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
