import sys
sys.path.insert(0,'/work/shared/prototypes')
import ctypes, itertools
import lab, pool
import llvmlite.binding as llvm
from mashal.lower.tiles import Host
HOST=Host(lab.W, lab.NREG, frozenset(k for k,v in lab.FEATURES.items() if v))
llvm.add_symbol('mashal_parallel_for', lab.JIT.address('pool_parallel_for'))
uid=itertools.count()
def function_of(make):
    name=f'test_{next(uid)}'
    lab.JIT.compile(make(name).text())
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(lab.JIT.address(name))
