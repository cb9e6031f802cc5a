"""New tensors, constructors of old, numbers and flags: what PyTorch shows, or the class of what it raises."""

import copy
import pickle
import warnings

import numpy as np
import pytest

import mashal

pytestmark = pytest.mark.parity
pytorch = pytest.importorskip("torch")

EXPRESSIONS = """
torch.tensor([])
torch.tensor(3)
torch.tensor([[1,2],[3,4]], dtype=torch.float16)
torch.tensor([True, False])
torch.tensor(1+2j)
torch.tensor([1,2.5,3])
torch.tensor(np.float32(2.5))
torch.tensor(np.arange(3))
torch.tensor([np.float64(1), 2])
torch.tensor([torch.tensor(1.), torch.tensor(2.)])
torch.tensor([1.,2.], requires_grad=True)
torch.tensor([1,2], requires_grad=True)
torch.tensor("a")
torch.tensor([[1],[1,2]])
torch.tensor(None)
torch.tensor([1,2], dtype=torch.bool)
torch.tensor([300], dtype=torch.uint8)
torch.tensor([-1], dtype=torch.uint8)
torch.tensor(2**63)
torch.tensor(1.5, dtype=torch.int32)
torch.tensor([float('nan')], dtype=torch.float32)
torch.as_tensor([1,2])
torch.as_tensor(np.zeros(2))
torch.as_tensor(np.zeros(2), dtype=torch.float32)
torch.asarray([1,2])
torch.asarray(np.ones(2)).dtype
torch.from_numpy(np.arange(4).reshape(2,2))
torch.from_numpy([1])
torch.frombuffer(bytearray(8), dtype=torch.int32)
torch.scalar_tensor(3)
torch.zeros(2,3)
torch.zeros((2,3))
torch.zeros([2], dtype=torch.int8)
torch.zeros(torch.Size([1,2]))
torch.zeros(())
torch.zeros(0,3)
torch.zeros(-1)
torch.zeros(2.5)
torch.zeros('a')
torch.zeros(size=(2,))
torch.zeros(2, dtype=torch.complex64)
torch.zeros(2, requires_grad=True)
torch.zeros(2, dtype=torch.int32, requires_grad=True)
torch.zeros(2, device='meta')
torch.zeros(2, device='cuda')
torch.zeros(2, foo=1)
torch.zeros(2, layout=torch.strided, pin_memory=False)
torch.ones(2, dtype=torch.bfloat16)
torch.ones(2, dtype=torch.bool)
torch.empty(2,3).shape
torch.empty(2,3,4,5, memory_format=torch.channels_last).stride()
torch.empty_strided((2,3),(1,2)).stride()
torch.empty_permuted((2,3,4),(2,0,1)).stride()
torch.full((2,),7)
torch.full((2,),7.)
torch.full((2,),True)
torch.full((2,),1j)
torch.full((2,2), 3, dtype=torch.float64)
torch.full((2,), 2.7, dtype=torch.int64)
torch.full((2,), float('inf'))
torch.full((2,), float('inf'), dtype=torch.int64)
torch.full((), torch.tensor(5.))
torch.full(2, 1)
torch.full((2,), 300, dtype=torch.uint8)
torch.full((2,), 2**40, dtype=torch.int32)
torch.arange(5)
torch.arange(5.)
torch.arange(1,4)
torch.arange(1,2.5,.5)
torch.arange(5,0,-2)
torch.arange(0)
torch.arange(5,0)
torch.arange(0,5,0)
torch.arange(3, dtype=torch.float16)
torch.arange(0,1,0.1)
torch.arange(end=3)
torch.arange(start=1,end=3)
torch.arange(torch.tensor(3))
torch.arange(2**40, 2**40+2)
torch.arange(True)
torch.arange(0, 10, 3, dtype=torch.int8)
torch.arange(-1.5, 2)
torch.arange('a')
torch.range(1,4)
torch.linspace(0,1,5)
torch.linspace(-10,10,7)
torch.linspace(3,10,steps=5)
torch.linspace(0,1,1)
torch.linspace(0,1,0)
torch.linspace(0,10,5,dtype=torch.int64)
torch.linspace(0,1,-1)
torch.linspace(1,2,3,dtype=torch.float64)
torch.linspace(0,1,3,dtype=torch.complex64)
torch.logspace(0,2,3)
torch.logspace(1,10,4,base=2)
torch.eye(3)
torch.eye(2,3)
torch.eye(2, dtype=torch.int64)
torch.eye(0)
torch.eye(-1)
torch.zeros_like(torch.ones(2,3,dtype=torch.int16))
torch.zeros_like(torch.ones(2,3).t()).stride()
torch.ones_like(torch.zeros(2), dtype=torch.float64)
torch.full_like(torch.zeros(2,dtype=torch.int64), 3.7)
torch.empty_like(torch.zeros(2,3)).shape
torch.zeros_like([1])
torch.zeros_like(torch.zeros(2,3,4,5).to(memory_format=torch.channels_last)).stride()
torch.zeros_like(torch.zeros(3,4).t(), memory_format=torch.contiguous_format).stride()
torch.zeros(1,2).new_zeros(3)
torch.zeros(1,2,dtype=torch.int8).new_ones((2,2))
torch.zeros(1).new_full((2,), 3)
torch.zeros(1).new_tensor([1,2])
torch.zeros(1).new_empty(2,3).shape
torch.zeros(1).new(2,3).shape
torch.zeros(1).new([1,2])
torch.Tensor(2,3).shape
torch.Tensor([1,2])
torch.Tensor()
torch.Tensor(torch.Size([2])).shape
torch.Tensor(5).shape
torch.Tensor(2.5)
torch.Tensor(np.ones(2))
torch.Tensor([[True]])
torch.Tensor('a')
torch.LongTensor([1,2])
torch.LongTensor(2).dtype
torch.FloatTensor([1,2]).dtype
torch.BoolTensor([1,0])
torch.IntTensor([1.5])
isinstance(torch.zeros(1), torch.FloatTensor)
isinstance(torch.zeros(1), torch.LongTensor)
torch.zeros(1).type()
torch.zeros(1).type(torch.int32)
torch.zeros(1).type('torch.LongTensor')
torch.zeros(1).type(torch.DoubleTensor)
torch.tril_indices(3,3)
torch.triu_indices(2,3,1)
torch.result_type(torch.tensor([1]), 1.5)
torch.result_type(torch.tensor(1.), torch.tensor([1],dtype=torch.float16))
torch.promote_types(torch.int8, torch.uint8)
torch.can_cast(torch.float32, torch.int32)
torch.is_tensor(1)
torch.is_floating_point(torch.zeros(1))
torch.is_nonzero(torch.tensor(1))
torch.is_nonzero(torch.tensor([1,2]))
torch.numel(torch.zeros(2,3))
torch.typename(torch.zeros(1))
torch.get_default_dtype()
torch.finfo(torch.float32).eps
torch.iinfo(torch.int8).max
torch.finfo(torch.float16)
torch.cuda.is_available()
torch.cuda.device_count()
torch.cuda.current_device()
torch.zeros(1).cuda()
torch.device('cuda:1')
torch.device('foo')
torch.backends.mps.is_available()
torch.backends.cudnn.benchmark
torch.Size([2,3])
torch.inf, torch.nan, torch.pi
copy.deepcopy(torch.ones(2,requires_grad=True))
copy.copy(torch.ones(2))
pickle.loads(pickle.dumps(torch.ones(2)))
bool(torch.tensor([]))
bool(torch.tensor([1,2]))
int(torch.tensor(3.7))
float(torch.tensor([2]))
len(torch.tensor(1))
list(torch.arange(3))
3 in torch.arange(5)
'a' in torch.arange(5)
[1,2,3][torch.tensor(1)]
[1,2,3][torch.tensor(1.)]
f"{torch.tensor(2.5):.2f}"
f"{torch.tensor([2.5])}"
f"{torch.tensor([2.5]):.2f}"
'%d' % torch.tensor(3)
torch.ones(2).data
torch.ones(2).tolist()
torch.tensor(2).item()
torch.ones(2).item()
torch.ones(2).numpy()
torch.ones(2,requires_grad=True).numpy()
torch.ones(2).is_leaf
torch.ones(2).layout
torch.strided
torch.channels_last
torch.float32
torch.set_default_dtype(torch.int32)
torch.eye(2).names
torch.ones(2,3).T.is_contiguous()
torch.ones(2).untyped_storage().nbytes()
torch.zeros(2,out=torch.empty(2))
torch.arange(3,out=torch.empty(3))
torch.zeros(3, names=None)
torch.tensor([1,2]).float().dtype
torch.rand(2,3).shape
torch.get_num_threads() > 0
torch.ones(3).sum().backward()
next(iter(torch.ones(2)))
torch.tensor([[1.,2.]]).T
torch.tensor(range(3))
torch.tensor((1,2))
torch.tensor([[]]).shape
torch.tensor([1,[2]])
torch.tensor({1:2})
torch.tensor([None])
torch.from_dlpack(torch.ones(2))
torch.is_grad_enabled()
torch.compile(lambda x: x+1)(torch.ones(1))
hash(torch.ones(1)) is not None
torch.ones(1) is torch.ones(1)
torch.tensor(5, dtype=float)
torch.tensor(5, dtype='float32')
""".strip().splitlines()


def shown(torch, expression):
    """The text of an expression's value, or the class of the error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return repr(eval(expression, {"torch": torch, "np": np, "copy": copy, "pickle": pickle}))
        except Exception as error:
            return type(error).__name__


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_shows_what_pytorch_shows(expression):
    assert shown(mashal, expression) == shown(pytorch, expression)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("bounds", [(0, 1, 100), (-3, 7, 1001), (0, 10, 5000), (1, 2, 17), (-10, 10, 7)])
def test_linspace_to_the_bit(bounds, dtype):
    mine = mashal.linspace(*bounds, dtype=getattr(mashal, dtype)).numpy()
    theirs = pytorch.linspace(*bounds, dtype=getattr(pytorch, dtype)).numpy()
    assert (mine == theirs).all()
