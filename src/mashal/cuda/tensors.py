"""torch.cuda.FloatTensor and its relatives: the constructors of old, one for each dtype; there is no device to make them on."""

from mashal.core import dtypes
from mashal.legacy import tensor_class

__all__ = ["BFloat16Tensor", "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor",
           "LongTensor", "ShortTensor"]  # fmt: skip

FloatTensor = tensor_class("FloatTensor", dtypes.float32, "cuda")
DoubleTensor = tensor_class("DoubleTensor", dtypes.float64, "cuda")
HalfTensor = tensor_class("HalfTensor", dtypes.float16, "cuda")
BFloat16Tensor = tensor_class("BFloat16Tensor", dtypes.bfloat16, "cuda")
LongTensor, IntTensor = (
    tensor_class("LongTensor", dtypes.int64, "cuda"),
    tensor_class("IntTensor", dtypes.int32, "cuda"),
)
ShortTensor, CharTensor = (
    tensor_class("ShortTensor", dtypes.int16, "cuda"),
    tensor_class("CharTensor", dtypes.int8, "cuda"),
)
ByteTensor, BoolTensor = (
    tensor_class("ByteTensor", dtypes.uint8, "cuda"),
    tensor_class("BoolTensor", dtypes.bool, "cuda"),
)
