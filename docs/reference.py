"""Write the reference: a page of Markdown for each public namespace, from the docstrings.

python docs/reference.py FOLDER
"""

import importlib
import inspect
import sys
from pathlib import Path

NAMESPACES = ["mashal", "mashal.nn", "mashal.nn.functional", "mashal.nn.init", "mashal.optim", "mashal.autograd"]
NAMESPACES += ["mashal.optim.lr_scheduler", "mashal.utils.data", "mashal.compiler", "mashal.cuda"]


def signature(thing):
    """The parameters of a function or class as they are written in a call; nothing where Python can't tell."""
    try:
        return str(inspect.signature(thing))
    except (TypeError, ValueError):
        return "(…)" if callable(thing) else ""


def public_names(module):
    """What a module offers: its __all__, or all that was written in it."""
    own = [name for name, thing in vars(module).items() if getattr(thing, "__module__", None) == module.__name__]
    return sorted(getattr(module, "__all__", None) or (name for name in own if not name.startswith("_")))


def page(name):
    """One namespace: what it is, then its public names in order."""
    module = importlib.import_module(name)
    parts = [f"# {name}\n\n{inspect.getdoc(module)}\n"]
    for public in public_names(module):
        thing = getattr(module, public)
        text = inspect.getdoc(thing)
        if text and callable(thing):
            parts.append(f"## {public}\n\n`{public}{signature(thing)}`\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMESPACES:
        path = folder / f"{name}.md"
        path.write_text(page(name), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
