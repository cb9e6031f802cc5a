"""Functions that are imported when they are first asked for are looked at like those that were there before."""

import subprocess
import sys

PROGRAM = """
import mashal as torch
with torch.autocast("cpu"):
    x, w = torch.ones(1, 1, 4, 4), torch.ones(1, 1, 2, 2)
    print(torch.conv2d(x, w).dtype, torch.nn.functional.conv2d(x, w).dtype)
"""


def test_autocast_sees_functions_that_come_inside_it():
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["torch.bfloat16", "torch.bfloat16"]
