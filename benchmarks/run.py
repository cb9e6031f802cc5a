"""What starting, importing, calling and training cost, beside another framework if one is named.

    python benchmarks/run.py [--against torch] [--threads N] [import] [process] [cold] [memory] [call] [step] …

Fresh processes take turns; a figure is the best of the rounds. README.md says more.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
MEASURES = {
    "import": "import",
    "process": "the first network, a whole process",
    "cold": "the same, no kernel cached",
    "memory": "the most memory it held",
    "call": "a + b, 10 elements",
    "call, recorded": "the same, with a gradient to come",
    "gelu 1e7": "gelu, 10 million elements",
    "matmul 512": "matrix product, 512 x 512",
    "step": "the first network, a training step",
    "step, compiled": "the same, compiled (PyTorch's is not)",
}


def run(*arguments, **environment):
    """Seconds that a Python process took, and what it printed."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True
    )
    return time.perf_counter() - start, done.stdout


def measured(name, wanted, threads):
    """One round of the measures that are wanted, for one framework."""
    round = {}
    if "import" in wanted:
        round["import"] = run("-c", f"import {name}")[0] - run("-c", "pass")[0]
    if {"process", "memory"} & wanted:
        round["process"], printed = run(HERE / "first_network.py", name)
        round["memory"] = json.loads(printed)["memory"]
    if "cold" in wanted:
        with tempfile.TemporaryDirectory() as folder:
            round["cold"], _ = run(HERE / "first_network.py", name, MASHAL_CACHE=folder)
    if wanted - {"import", "process", "memory", "cold"}:
        round |= json.loads(run(HERE / "calls.py", name, *threads)[1])
    return round


def written(measure, value):
    """A figure with its unit."""
    if measure == "memory":
        return f"{value / 2**20:.0f} MB"
    for unit, size in ("s", 1), ("ms", 1e-3), ("us", 1e-6):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.0f} ns"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measures", nargs="*", metavar="measure", help="any of: " + "; ".join(MEASURES))
    parser.add_argument("--against", help="another module that stands for torch, such as torch")
    parser.add_argument("--threads", help="threads that compute")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    unknown = [measure for measure in options.measures if measure not in MEASURES]
    if unknown:
        parser.error(f"no such measure: {unknown[0]!r}; there are {', '.join(map(repr, MEASURES))}")
    wanted = set(options.measures or MEASURES)
    frameworks = ["mashal", *([options.against] if options.against else [])]
    threads = [options.threads] if options.threads else []

    best = {name: {} for name in frameworks}
    measured(frameworks[0], wanted & {"process"}, threads)  # fills the kernel cache
    for _ in range(options.rounds):
        for name in frameworks:
            for measure, value in measured(name, wanted, threads).items():
                best[name][measure] = min(value, best[name].get(measure, value))

    print(f"busy at the start: {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores")
    print(f"{'':36}" + "".join(f"{name:>12}" for name in frameworks) + ("       ratio" if options.against else ""))
    for measure in MEASURES:
        if measure in wanted:
            values = [best[name][measure] for name in frameworks]
            ratio = f"{values[1] / values[0]:11.1f}x" if options.against else ""
            print(f"{MEASURES[measure]:36}" + "".join(f"{written(measure, v):>12}" for v in values) + ratio)


if __name__ == "__main__":
    main()
