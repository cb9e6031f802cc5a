"""What the tests of mashal.multiprocessing run in other processes; fresh interpreters must be able to import it."""

import os
import signal
import time


def double(tensor, done=None):
    tensor.mul_(2)
    if done is not None:
        done.set()


def send_back(inbox, outbox):
    outbox.put(inbox.get(timeout=10) + 1)
    inbox.get(timeout=10)  # stays until the parent has received


def queue_double(queue):
    queue.get(timeout=10).mul_(2)


def fill_place(index, tensor):
    tensor[index] = index + 1


def fail_in_one(index):
    if index == 1:
        raise ValueError("process one is tired")
    time.sleep(20)


def leave(index, code):
    os._exit(code)


def die(index):
    os.kill(os.getpid(), signal.SIGKILL)
