"""The caching allocator: storage blocks in capsules, taken and given back in native code.

A storage is a PyCapsule. Its pointer is the data, 64-byte aligned; its context is the block's head, 64 bytes:

    word 0  size class, or -1 for memory that belongs to somebody else
    word 1  bytes of data
    word 2  the Python object that owns the data, or null
    word 3  1 if somebody outside has the data's address: then it must stay where it is

The capsule's destructor puts the block on a list of free blocks of its class (four classes to a doubling, so at most a
quarter is wasted), from which the next allocation of that class takes it: page faults, not arithmetic, are what
a big fresh result costs. Fresh blocks of 4 MiB and more lie on huge pages. Free blocks are kept up to a limit.

The lists are guarded by the GIL: launchers allocate before and after a kernel, never inside it.
"""

from __future__ import annotations

import ctypes
import sys

from mashal.machine.host import memory_bytes
from mashal.machine.jit import JIT, provide_from_process
from mashal.machine.observing import watch
from mashal.switches import HUGE_PAGES, MEMORY_LIMIT

HEAD = 64
_BIG = 1 << 22
_HUGE = int(sys.platform.startswith("linux") and HUGE_PAGES.value)

_TEXT = f"""
@lists = internal global [256 x ptr] zeroinitializer, align 64
@kept = internal global i64 0                        ; bytes waiting in the lists
@live = internal global i64 0                        ; bytes handed out
@peak = internal global i64 0                        ; the most that was live at once
@keep = internal global i64 0                        ; how many bytes the lists may hold
@limit = internal global i64 0                       ; how many bytes may be live
declare i64 @llvm.ctlz.i64(i64, i1)
declare i64 @llvm.umax.i64(i64, i64)
declare i32 @posix_memalign(ptr, i64, i64)
declare void @free(ptr)
declare i32 @madvise(ptr, i64, i32)
declare ptr @PyCapsule_New(ptr, ptr, ptr)
declare ptr @PyCapsule_GetPointer(ptr, ptr)
declare ptr @PyCapsule_GetContext(ptr)
declare i32 @PyCapsule_SetContext(ptr, ptr)
declare void @Py_DecRef(ptr)

define internal i64 @class_of(i64 %n) alwaysinline nounwind {{
  %m = call i64 @llvm.umax.i64(i64 %n, i64 64)
  %x = sub i64 %m, 1
  %z = call i64 @llvm.ctlz.i64(i64 %x, i1 false)
  %top = sub i64 63, %z                              ; 2^top <= x < 2^(top+1)
  %shift = sub i64 %top, 2
  %q = lshr i64 %x, %shift                           ; 4..7
  %a = sub i64 %shift, 4
  %b = shl i64 %a, 2
  %c = add i64 %b, %q
  %d = sub i64 %c, 3
  ret i64 %d
}}

define internal i64 @bytes_of(i64 %class) alwaysinline nounwind {{
  %r = and i64 %class, 3
  %m = add i64 %r, 4
  %e = lshr i64 %class, 2
  %s = add i64 %e, 4
  %b = shl i64 %m, %s
  ret i64 %b
}}

define ptr @memory_get(i64 %bytes) nounwind {{        ; a head followed by so many bytes; null: out of memory
entry:
  %negative = icmp slt i64 %bytes, 0
  %absurd = icmp sgt i64 %bytes, {1 << 56}
  %no = or i1 %negative, %absurd
  br i1 %no, label %refuse, label %try
try:
  %n = add i64 %bytes, {HEAD}
  %c = call i64 @class_of(i64 %n)
  %size = call i64 @bytes_of(i64 %c)
  %l0 = load i64, ptr @live
  %l1 = add i64 %l0, %size
  %most = load i64, ptr @limit
  %over = icmp ugt i64 %l1, %most
  br i1 %over, label %refuse, label %look
look:
  %slot = getelementptr ptr, ptr @lists, i64 %c
  %p = load ptr, ptr %slot
  %none = icmp eq ptr %p, null
  br i1 %none, label %fresh, label %hit
hit:
  %next = load ptr, ptr %p
  store ptr %next, ptr %slot
  %k0 = load i64, ptr @kept
  %k1 = sub i64 %k0, %size
  store i64 %k1, ptr @kept
  br label %head
fresh:
  %cell = alloca ptr
  store ptr null, ptr %cell
  %big = icmp uge i64 %size, {_BIG}
  %huge = and i1 %big, {"true" if _HUGE else "false"}
  %align = select i1 %huge, i64 {1 << 21}, i64 64
  %e = call i32 @posix_memalign(ptr %cell, i64 %align, i64 %size)
  %bad = icmp ne i32 %e, 0
  br i1 %bad, label %refuse, label %advise
advise:
  %q = load ptr, ptr %cell
  br i1 %huge, label %ask, label %head
ask:
  %adv = call i32 @madvise(ptr %q, i64 %size, i32 14)
  br label %head
head:
  %block = phi ptr [%p, %hit], [%q, %advise], [%q, %ask]
  store i64 %l1, ptr @live
  %p0 = load i64, ptr @peak
  %p1 = call i64 @llvm.umax.i64(i64 %p0, i64 %l1)
  store i64 %p1, ptr @peak
  store i64 %c, ptr %block
  %h1 = getelementptr i64, ptr %block, i64 1
  store i64 %bytes, ptr %h1
  %h2 = getelementptr i64, ptr %block, i64 2
  store ptr null, ptr %h2
  %h3 = getelementptr i64, ptr %block, i64 3
  store i64 0, ptr %h3
  ret ptr %block
refuse:
  ret ptr null
}}

define void @memory_put(ptr %block) nounwind {{
entry:
  %c = load i64, ptr %block
  %foreign = icmp slt i64 %c, 0
  br i1 %foreign, label %drop, label %count
count:
  %size = call i64 @bytes_of(i64 %c)
  %l0 = load i64, ptr @live
  %l1 = sub i64 %l0, %size
  store i64 %l1, ptr @live
  %k0 = load i64, ptr @kept
  %k1 = add i64 %k0, %size
  %most = load i64, ptr @keep
  %full = icmp ugt i64 %k1, %most
  br i1 %full, label %drop, label %save
drop:
  call void @free(ptr %block)
  ret void
save:
  store i64 %k1, ptr @kept
  %slot = getelementptr ptr, ptr @lists, i64 %c
  %first = load ptr, ptr %slot
  store ptr %first, ptr %block
  store ptr %block, ptr %slot
  ret void
}}

define internal void @destroy(ptr %capsule) nounwind {{
entry:
  %block = call ptr @PyCapsule_GetContext(ptr %capsule)
  %h2 = getelementptr i64, ptr %block, i64 2
  %owner = load ptr, ptr %h2
  call void @memory_put(ptr %block)
  %owned = icmp ne ptr %owner, null
  br i1 %owned, label %release, label %out
release:
  call void @Py_DecRef(ptr %owner)
  br label %out
out:
  ret void
}}

define ptr @memory_capsule(ptr %block) nounwind {{    ; a block from memory_get as a storage
entry:
  %data = getelementptr i8, ptr %block, i64 {HEAD}
  %o = call ptr @PyCapsule_New(ptr %data, ptr null, ptr @destroy)
  %none = icmp eq ptr %o, null
  br i1 %none, label %fail, label %ok
fail:
  call void @memory_put(ptr %block)
  ret ptr null
ok:
  %s = call i32 @PyCapsule_SetContext(ptr %o, ptr %block)
  ret ptr %o
}}

define ptr @memory_new(i64 %bytes) nounwind {{        ; a storage; null without an exception: out of memory
entry:
  %block = call ptr @memory_get(i64 %bytes)
  %none = icmp eq ptr %block, null
  br i1 %none, label %fail, label %ok
fail:
  ret ptr null
ok:
  %o = call ptr @memory_capsule(ptr %block)
  ret ptr %o
}}

define ptr @memory_foreign(ptr %data, i64 %bytes, ptr %owner) nounwind {{   ; takes over a reference to owner
entry:
  %cell = alloca ptr
  %e = call i32 @posix_memalign(ptr %cell, i64 64, i64 64)
  %bad = icmp ne i32 %e, 0
  br i1 %bad, label %fail, label %head
head:
  %block = load ptr, ptr %cell
  store i64 -1, ptr %block
  %h1 = getelementptr i64, ptr %block, i64 1
  store i64 %bytes, ptr %h1
  %h2 = getelementptr i64, ptr %block, i64 2
  store ptr %owner, ptr %h2
  %o = call ptr @PyCapsule_New(ptr %data, ptr null, ptr @destroy)
  %s = call i32 @PyCapsule_SetContext(ptr %o, ptr %block)
  ret ptr %o
fail:
  ret ptr null
}}

define void @memory_empty() nounwind {{               ; gives every free block back to the system
entry:
  br label %class
class:
  %c = phi i64 [0, %entry], [%c1, %next]
  %slot = getelementptr ptr, ptr @lists, i64 %c
  br label %block
block:
  %p = load ptr, ptr %slot
  %none = icmp eq ptr %p, null
  br i1 %none, label %next, label %one
one:
  %after = load ptr, ptr %p
  store ptr %after, ptr %slot
  call void @free(ptr %p)
  br label %block
next:
  %c1 = add i64 %c, 1
  %more = icmp slt i64 %c1, 256
  br i1 %more, label %class, label %out
out:
  store i64 0, ptr @kept
  ret void
}}

define i64 @memory_count(i64 %which) nounwind {{      ; 0: live, 1: kept, 2: peak
  %is1 = icmp eq i64 %which, 1
  %is2 = icmp eq i64 %which, 2
  %a = select i1 %is1, ptr @kept, ptr @live
  %b = select i1 %is2, ptr @peak, ptr %a
  %n = load i64, ptr %b
  ret i64 %n
}}

define void @memory_keep(i64 %keep) nounwind {{
  store i64 %keep, ptr @keep
  ret void
}}

define void @memory_limits(i64 %keep, i64 %limit) nounwind {{
  store i64 %keep, ptr @keep
  store i64 %limit, ptr @limit
  %n = load i64, ptr @live
  store i64 %n, ptr @peak
  ret void
}}
"""

provide_from_process("posix_memalign", "free", "madvise", "PyCapsule_New", "PyCapsule_GetPointer", "PyCapsule_GetContext",
                     "PyCapsule_SetContext", "Py_DecRef")  # fmt: skip
_NAMES = ["_get", "_put", "_capsule", "_new", "_foreign", "_empty", "_count", "_keep", "_limits"]
_ADDRESS = dict(zip(_NAMES, JIT.functions(_TEXT, "memory", _NAMES)))
for _name in ("_get", "_put", "_capsule"):
    JIT.provide(f"mashal_memory{_name}", _ADDRESS[_name])

_new = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_int64)(_ADDRESS["_new"])
_foreign = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_int64, ctypes.py_object)(_ADDRESS["_foreign"])
_count = ctypes.PYFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(_ADDRESS["_count"])
_keep = ctypes.PYFUNCTYPE(None, ctypes.c_int64)(_ADDRESS["_keep"])
_limits = ctypes.PYFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64)(_ADDRESS["_limits"])
_empty = ctypes.PYFUNCTYPE(None)(_ADDRESS["_empty"])
_trim = getattr(
    ctypes.CDLL(None), "malloc_trim", None
)  # of the GNU C library, which by itself keeps much of what is freed

_context = ctypes.pythonapi.PyCapsule_GetContext
_context.restype, _context.argtypes = ctypes.c_void_p, [ctypes.py_object]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_void_p]
_increment = ctypes.pythonapi.Py_IncRef
_increment.restype, _increment.argtypes = None, [ctypes.py_object]
_decrement = ctypes.pythonapi.Py_DecRef
_decrement.restype, _decrement.argtypes = None, [ctypes.c_void_p]


_set_pointer = ctypes.pythonapi.PyCapsule_SetPointer
_set_pointer.restype, _set_pointer.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_void_p]
_set_context = ctypes.pythonapi.PyCapsule_SetContext
_set_context.restype, _set_context.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_void_p]


def new_storage(bytes: int) -> object | None:
    """A storage of so many bytes, not initialised; None if the memory is not to be had."""
    address = _new(bytes)
    if address is None:
        return None
    storage = ctypes.cast(address, ctypes.py_object).value
    _decrement(address)
    return _noted(storage)


def foreign_storage(address: int, bytes: int, owner: object) -> object:
    """A storage over memory that `owner` keeps alive."""
    _increment(owner)
    return _noted(_foreign(address, bytes, owner))


def _noted(storage: object) -> object:
    if watch.recorder is not None:
        watch.recorder.born(storage)
    return storage


def address_of(storage: object) -> int:
    """Where a storage's data lies."""
    if watch.recorder is not None:
        watch.recorder.address_taken(storage)
    return _pointer(storage, None) or 0


def bytes_of(storage: object) -> int:
    """How many bytes of data a storage has."""
    return ctypes.c_int64.from_address(_context(storage) + 8).value


def pin(storage: object) -> None:
    """Notes that somebody outside has the data's address, so that it stays where it is as long as the storage lives."""
    ctypes.c_int64.from_address(_context(storage) + 24).value = 1


def movable(storage: object) -> bool:
    """Whether a storage may get other memory: it is our own, and nobody outside has its address."""
    head = _context(storage)
    return ctypes.c_int64.from_address(head).value >= 0 and not ctypes.c_int64.from_address(head + 24).value


def exchange(a: object, b: object) -> None:
    """Two storages change their memory with each other, for all tensors upon them."""
    data, head = (address_of(a), address_of(b)), (_context(a), _context(b))
    for storage, i in ((a, 1), (b, 0)):
        _set_pointer(storage, data[i])
        _set_context(storage, head[i])


def statistics() -> dict[str, int]:
    """Bytes now handed out, bytes kept for reuse, and the most handed out at once since the last `reset_peak`."""
    return {"live": _count(0), "kept": _count(1), "peak": _count(2)}


def empty_cache() -> None:
    """Gives the free blocks back to the system."""
    _empty()
    if _trim is not None:
        _trim(0)


def keep_free(bytes: int | None = None) -> None:
    """How many free bytes to keep from now on; None: as many as usual."""
    _keep(_KEEP if bytes is None else bytes)


def set_limits(keep: int, limit: int) -> None:
    """How many free bytes to keep, and how many may be handed out at all; the peak starts anew."""
    _limits(keep, limit)


_KEEP = memory_bytes() // 4
set_limits(_KEEP, MEMORY_LIMIT.value or 1 << 62)
