"""Switches of a thread: read natively, set from Python, each thread its own."""

import threading

from mashal.core.tape import anomaly, mode


def in_another_thread(question):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(question()))
    thread.start()
    thread.join()
    return answers[0]


def test_a_switch_is_as_usual_at_first():
    assert in_another_thread(lambda: (mode.recording, mode.inference)) == (True, False)


def test_a_switch_set_in_one_thread_is_not_set_in_another():
    mode.recording = False
    try:
        assert not mode.recording
        assert in_another_thread(lambda: mode.recording)
    finally:
        mode.recording = True


def test_switches_do_not_disturb_each_other():
    mode.inference = True
    try:
        assert mode.recording and not mode.hooked
    finally:
        mode.inference = False
    assert not mode.inference


def test_a_switch_of_all_threads_is_set_in_all():
    anomaly.enabled = True
    try:
        assert in_another_thread(lambda: anomaly.enabled)
    finally:
        anomaly.enabled = False
    assert not in_another_thread(lambda: anomaly.enabled)
