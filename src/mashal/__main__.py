"""The command line: `python -m mashal switches` lists the environment switches, `version` says which mashal this is."""

import sys

import mashal
from mashal import switches

COMMANDS = {
    "switches": ("the MASHAL_* environment switches, their values and meanings", switches.table),
    "version": ("which mashal this is", lambda: mashal.__version__),
}


def usage() -> str:
    """What can be asked for."""
    return "\n".join(["python -m mashal COMMAND", *(f"  {name:10}{what}" for name, (what, _) in COMMANDS.items())])


def main(arguments: list[str]) -> int:
    """Prints what a command says; the exit status is 2 for a command there isn't."""
    if len(arguments) == 1 and arguments[0] in COMMANDS:
        print(COMMANDS[arguments[0]][1]())
        return 0
    print(usage(), file=sys.stderr)
    return 0 if arguments in (["-h"], ["--help"]) else 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
