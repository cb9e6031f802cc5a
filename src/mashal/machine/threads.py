"""The thread pool: workers in generated code, and what kernels call to use them,

    void mashal_parallel_for(void (*run)(void *context, int64 chunk, int64 thread), void *context, int64 chunks)
    void mashal_parallel_for_few(run, context, chunks, int64 threads)       thread numbers stay below `threads`

which return when every chunk has run. The caller works too and never waits for a sleeping worker. A call from
inside a chunk, or from a second Python thread while the pool is busy, runs its chunks itself.

How a chunk is claimed: @ticket is generation << 32 | chunks left, and taking a chunk is one compare-and-swap from
(g, left) to (g, left - 1). run, context and the total are written before the ticket is published, and a new
job is published only after every chunk of the old one is done; so a successful swap proves that what was
read just before belongs to this job.

A chunk runs in the caller's mode of arithmetic (on x86: whether numbers too small for their format, denormals, count as 0).

Workers block all signals (Python's handlers run where Python expects), spin for a few microseconds, then
sleep. A forked child starts with no workers and makes its own; at exit they are joined.
"""

from __future__ import annotations

import atexit
import ctypes
import os

from mashal.machine.host import HOST, cores
from mashal.machine.jit import JIT, provide_from_process

_PAUSE = "call void @llvm.aarch64.hint(i32 1)" if HOST.arm else "call void @llvm.x86.sse2.pause()"
_PAUSE_DECLARED = "declare void @llvm.aarch64.hint(i32)" if HOST.arm else "declare void @llvm.x86.sse2.pause()"
_TELL_MODE = "" if HOST.arm else "call void @llvm.x86.sse.stmxcsr(ptr @job_mode)"
_TAKE_MODE = "" if HOST.arm else "call void @llvm.x86.sse.ldmxcsr(ptr @job_mode)"
_FLUSH = (
    ""
    if HOST.arm
    else """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)

define void @pool_flush(i32 %on) nounwind {            ; results (bit 15) and operands (bit 6) that are denormal become 0
  %mode = alloca i32, align 4
  call void @llvm.x86.sse.stmxcsr(ptr %mode)
  %now = load i32, ptr %mode
  %rest = and i32 %now, -32833
  %any = icmp ne i32 %on, 0
  %bits = select i1 %any, i32 32832, i32 0
  %new = or i32 %rest, %bits
  store i32 %new, ptr %mode
  call void @llvm.x86.sse.ldmxcsr(ptr %mode)
  ret void
}
"""
)
_SIG_BLOCK, _SIG_SETMASK = (1, 3) if HOST.mac else (0, 2)
_SPIN = 2000  # pauses before a worker sleeps: about 50 us
_PATIENCE = 5000  # pauses before a caller whose worker lost its core yields

_TEXT = f"""
@ticket   = internal global i64 0, align 128       ; generation << 32 | chunks left
@job_run  = internal global ptr null               ; on the ticket's cache line: they are read together
@job_context = internal global ptr null
@job_chunks = internal global i64 0
@job_threads = internal global i64 0               ; how many may help, the caller included
@job_mode = internal global i32 8064                 ; how the caller computes: x86's MXCSR
@done     = internal global i64 0, align 128       ; chunks finished
@busy     = internal global i32 0, align 128       ; 1 while a job runs
@sleepers = internal global i32 0, align 128
@stop     = internal global i32 0
@started  = internal global i64 0                  ; live workers
@want     = internal global i64 1                  ; threads wanted, the caller included
@ids      = internal global [1024 x i64] zeroinitializer
@mutex    = internal global [128 x i8] zeroinitializer, align 64
@condition = internal global [128 x i8] zeroinitializer, align 64

declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_join(i64, ptr)
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_broadcast(ptr)
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare i32 @sigfillset(ptr)
declare i32 @sched_yield()
{_PAUSE_DECLARED}

define internal void @drain(i64 %thread) nounwind {{     ; takes chunks until none is left
entry:
  br label %look
look:
  %t = load atomic i64, ptr @ticket acquire, align 8
  %left = and i64 %t, 4294967295
  %none = icmp eq i64 %left, 0
  br i1 %none, label %out, label %take
take:
  %run = load atomic ptr, ptr @job_run monotonic, align 8
  %context = load atomic ptr, ptr @job_context monotonic, align 8
  %n = load atomic i64, ptr @job_chunks monotonic, align 8
  %most = load atomic i64, ptr @job_threads monotonic, align 8
  %welcome = icmp slt i64 %thread, %most
  br i1 %welcome, label %claim, label %out
claim:
  %t2 = sub i64 %t, 1
  %swap = cmpxchg ptr @ticket, i64 %t, i64 %t2 acq_rel monotonic
  %mine = extractvalue {{i64, i1}} %swap, 1
  br i1 %mine, label %got, label %look
got:
  %chunk = sub i64 %n, %left
  {_TAKE_MODE}
  call void %run(ptr %context, i64 %chunk, i64 %thread)
  %d = atomicrmw add ptr @done, i64 1 release
  br label %look
out:
  ret void
}}

define internal ptr @worker(ptr %argument) nounwind {{
entry:
  %thread = ptrtoint ptr %argument to i64
  br label %work
work:
  call void @drain(i64 %thread)
  br label %wait
wait:
  %k = phi i64 [{_SPIN}, %work], [%k2, %spinning]
  %stopping = load atomic i32, ptr @stop acquire, align 4
  %bye = icmp ne i32 %stopping, 0
  br i1 %bye, label %exit, label %peek
peek:
  %t = load atomic i64, ptr @ticket acquire, align 8
  %left = and i64 %t, 4294967295
  %some = icmp ne i64 %left, 0
  br i1 %some, label %work, label %idle
idle:
  %tired = icmp sle i64 %k, 0
  br i1 %tired, label %sleep, label %spinning
spinning:
  {_PAUSE}
  %k2 = sub i64 %k, 1
  br label %wait
sleep:                                             ; publish "asleep", look once more, then wait
  %l = call i32 @pthread_mutex_lock(ptr @mutex)
  %s0 = atomicrmw add ptr @sleepers, i32 1 seq_cst
  br label %again
again:
  %tt = load atomic i64, ptr @ticket seq_cst, align 8
  %tl = and i64 %tt, 4294967295
  %ss = load atomic i32, ptr @stop seq_cst, align 4
  %sl = zext i32 %ss to i64
  %any = or i64 %tl, %sl
  %rise = icmp ne i64 %any, 0
  br i1 %rise, label %up, label %nap
nap:
  %w = call i32 @pthread_cond_wait(ptr @condition, ptr @mutex)
  br label %again
up:
  %s1 = atomicrmw sub ptr @sleepers, i32 1 seq_cst
  %u = call i32 @pthread_mutex_unlock(ptr @mutex)
  br label %work
exit:
  ret ptr null
}}

define internal void @wake() nounwind {{
  %l = call i32 @pthread_mutex_lock(ptr @mutex)
  %b = call i32 @pthread_cond_broadcast(ptr @condition)
  %u = call i32 @pthread_mutex_unlock(ptr @mutex)
  ret void
}}

define internal void @start() nounwind {{           ; workers inherit a mask that blocks every signal
entry:
  %all = alloca [128 x i8], align 16
  %old = alloca [128 x i8], align 16
  %f = call i32 @sigfillset(ptr %all)
  %m = call i32 @pthread_sigmask(i32 {_SIG_BLOCK}, ptr %all, ptr %old)
  br label %next
next:
  %n = load i64, ptr @started
  %w = load i64, ptr @want
  %n1 = add i64 %n, 1
  %more = icmp slt i64 %n1, %w
  br i1 %more, label %one, label %out
one:
  %slot = getelementptr i64, ptr @ids, i64 %n
  %argument = inttoptr i64 %n1 to ptr
  %e = call i32 @pthread_create(ptr %slot, ptr null, ptr @worker, ptr %argument)
  %bad = icmp ne i32 %e, 0
  br i1 %bad, label %less, label %good
good:
  store i64 %n1, ptr @started
  br label %next
less:                                              ; no more threads to be had: be content with these
  store i64 %n1, ptr @want
  br label %out
out:
  %r = call i32 @pthread_sigmask(i32 {_SIG_SETMASK}, ptr %old, ptr null)
  ret void
}}

define void @pool_for(ptr %run, ptr %context, i64 %n) nounwind {{
  call void @pool_for_few(ptr %run, ptr %context, i64 %n, i64 1024)
  ret void
}}

define void @pool_for_few(ptr %run, ptr %context, i64 %n, i64 %threads) nounwind {{
entry:
  %one = icmp slt i64 %threads, 2
  %w = load atomic i64, ptr @want monotonic, align 8
  %single = icmp slt i64 %w, 2
  %few = icmp slt i64 %n, 2
  %none = or i1 %single, %few
  %alone = or i1 %none, %one
  br i1 %alone, label %serial, label %try
try:
  %swap = cmpxchg ptr @busy, i32 0, i32 1 acquire monotonic
  %mine = extractvalue {{i32, i1}} %swap, 1
  br i1 %mine, label %own, label %serial
own:
  %live = load i64, ptr @started
  %live1 = add i64 %live, 1
  %short = icmp slt i64 %live1, %w
  br i1 %short, label %recruit, label %publish
recruit:
  call void @start()
  br label %publish
publish:
  {_TELL_MODE}
  store atomic ptr %run, ptr @job_run monotonic, align 8
  store atomic ptr %context, ptr @job_context monotonic, align 8
  store atomic i64 %n, ptr @job_chunks monotonic, align 8
  store atomic i64 %threads, ptr @job_threads monotonic, align 8
  store atomic i64 0, ptr @done monotonic, align 8
  %t = load atomic i64, ptr @ticket monotonic, align 8
  %g = lshr i64 %t, 32
  %g1 = add i64 %g, 1
  %gs = shl i64 %g1, 32
  %t1 = or i64 %gs, %n
  store atomic i64 %t1, ptr @ticket seq_cst, align 8
  %sl = load atomic i32, ptr @sleepers seq_cst, align 4
  %asleep = icmp sgt i32 %sl, 0
  br i1 %asleep, label %wakeup, label %help
wakeup:
  call void @wake()
  br label %help
help:
  call void @drain(i64 0)
  br label %wait
wait:
  %k = phi i64 [0, %help], [%k1, %pause], [%k1, %yield]
  %d = load atomic i64, ptr @done acquire, align 8
  %finished = icmp eq i64 %d, %n
  br i1 %finished, label %release, label %hold
hold:
  %k1 = add i64 %k, 1
  %long = icmp sgt i64 %k, {_PATIENCE}
  br i1 %long, label %yield, label %pause
pause:
  {_PAUSE}
  br label %wait
yield:                                             ; a worker lost its core: give it ours
  %y = call i32 @sched_yield()
  br label %wait
release:
  store atomic i32 0, ptr @busy release, align 4
  br label %out
serial:
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %each, label %out
each:
  %i = phi i64 [0, %serial], [%i1, %each]
  call void %run(ptr %context, i64 %i, i64 0)
  %i1 = add i64 %i, 1
  %m = icmp slt i64 %i1, %n
  br i1 %m, label %each, label %out
out:
  ret void
}}

define void @pool_stop() nounwind {{                ; joins every worker; the pool can be started again
entry:
  store atomic i32 1, ptr @stop seq_cst, align 4
  call void @wake()
  br label %next
next:
  %n = load i64, ptr @started
  %m = sub i64 %n, 1
  %has = icmp sgt i64 %n, 0
  br i1 %has, label %one, label %out
one:
  %slot = getelementptr i64, ptr @ids, i64 %m
  %id = load i64, ptr %slot
  %j = call i32 @pthread_join(i64 %id, ptr null)
  store i64 %m, ptr @started
  br label %next
out:
  store atomic i32 0, ptr @stop seq_cst, align 4
  ret void
}}

define void @pool_reset() nounwind {{               ; in a forked child the workers are gone, and what they held
  store i64 0, ptr @started
  store i64 0, ptr @ticket
  store i32 0, ptr @busy
  store i32 0, ptr @sleepers
  store i32 0, ptr @stop
  %a = call i32 @pthread_mutex_init(ptr @mutex, ptr null)
  %b = call i32 @pthread_cond_init(ptr @condition, ptr null)
  ret void
}}

define void @pool_want(i64 %threads) nounwind {{
  store i64 %threads, ptr @want
  ret void
}}
{_FLUSH}"""

provide_from_process("pthread_create", "pthread_join", "pthread_mutex_init", "pthread_mutex_lock", "pthread_mutex_unlock",
                     "pthread_cond_init", "pthread_cond_wait", "pthread_cond_broadcast", "pthread_sigmask", "sigfillset",
                     "sched_yield")  # fmt: skip
PARALLEL_FOR, PARALLEL_FOR_FEW = "mashal_parallel_for", "mashal_parallel_for_few"
"""The names under which kernels call the pool."""

_for, _for_few, *_others = JIT.functions(
    _TEXT, "pool", ["_for", "_for_few", "_stop", "_reset", "_want", *([] if HOST.arm else ["_flush"])]
)
JIT.provide(PARALLEL_FOR, _for)
JIT.provide(PARALLEL_FOR_FEW, _for_few)
_stop = ctypes.CFUNCTYPE(None)(_others[0])  # drops the GIL while it joins
_reset = ctypes.PYFUNCTYPE(None)(_others[1])
_want = ctypes.PYFUNCTYPE(None, ctypes.c_int64)(_others[2])
_flush = None if HOST.arm else ctypes.PYFUNCTYPE(None, ctypes.c_int32)(_others[3])
_threads = cores()


def flush_denormals(on: bool) -> bool:
    """Whether numbers too small for their format count as 0 in this thread, and in workers for it. False: not to be had here."""
    if _flush is None:
        return False
    _flush(int(on))
    return True


def set_num_threads(n: int) -> None:
    """How many threads compute, the caller included; at least 1, at most 1024."""
    global _threads
    _threads = max(1, min(int(n), 1024))
    _stop()
    _want(_threads)


def get_num_threads() -> int:
    """How many threads compute, the caller included."""
    return _threads


_reset()
_want(_threads)
atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset)
