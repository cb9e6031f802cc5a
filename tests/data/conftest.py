"""What the tests of data loading share."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest


@pytest.fixture
def script(tmp_path):
    """Starts a Python program (a text) in a process and a session of its own; gives the Popen object."""
    started = []

    def start(text):
        path = tmp_path / f"program{len(started)}.py"
        path.write_text(textwrap.dedent(text))
        process = subprocess.Popen(
            [sys.executable, str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path))),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # its workers too: they hold its pipes
        process.communicate()
