"""The frame around every job: its command line, its log, and errors in one line.  Light: `--help` needs no Ray."""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import tyro

from protray.cluster.runtime.logs import open_closed_streams, setup_logging
from protray.cluster.runtime.start import prepare_environment
from protray.cluster.storage.locks import alone_in
from protray.cluster.storage.secrets import redact
from protray.data.location import Location

Settings = TypeVar("Settings")
PRESET = "model"  # the option that chooses the defaults of all others, in settings that have a method `preset`

_registry = tyro.constructors.ConstructorRegistry()


@_registry.primitive_rule
def _locations(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec | None:
    if info.type is not Location:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1, metavar="PATH", instance_from_str=lambda words: Location(_text(words[0])),
        is_instance=lambda value: isinstance(value, str), str_from_instance=lambda value: [value],
    )  # fmt: skip


def _text(path: str) -> str:
    """The path, if its bytes are text in UTF-8; ValueError if not: tables and tracking could not name it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = ascii(path)[1:-1]
        raise ValueError(f"{shown}: the name is no text in UTF-8; rename it, or set LC_ALL=C.UTF-8") from None
    return path


def parse(settings: type[Settings], description: str | None, argv: list[str] | None = None) -> Settings:
    """Settings from the command line; where they have presets, `--model` chooses one and the other options depart."""
    default: Any = None
    preset = getattr(settings, "preset", None)
    if preset:
        words = sys.argv[1:] if argv is None else argv
        found = [
            word.partition("=")[2] or next(iter(words[at + 1 :]), "")
            for at, word in enumerate(words)
            if word.split("=")[0] == f"--{PRESET}"
        ]
        default = preset(found[-1]) if found else preset()
    more = {} if default is None else {"default": default}
    return tyro.cli(settings, args=argv, description=description, registry=_registry, **more)


def run_command(
    settings: type, work: Callable[[Any], int | None], description: str | None, argv: list[str] | None = None
) -> int:
    """Parse `settings`, call `work(run)`, and return the exit status: that of `work`, if it gives one.

    Where there are presets, the option `--model` chooses the defaults of all others.  ValueError and OSError (files,
    and clusters that cannot be reached) are the user's to mend, and told in one line; any other error is ours, and
    shows where it came from.  A second job in ``run.out`` is refused meanwhile, unless it only looks: ``run.plan``.
    """
    open_closed_streams()
    try:
        run = parse(settings, description, argv)
    except (ValueError, OSError) as error:
        print(f"error: {_sentence(error)}", file=sys.stderr)
        return 2
    setup_logging()
    prepare_environment()
    try:
        with nullcontext() if getattr(run, "plan", False) else alone_in(run.out):
            return work(run) or 0
    except (ValueError, OSError) as error:
        error = getattr(error, "cause", error)  # Ray's errors of tasks are of the type of their cause, with a traceback
        print(f"error: {_sentence(error)}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, SystemExit):  # Ray Train's own handler of Ctrl-C exits
        print(f"stopped; the same command goes on with what is done in {run.out}", file=sys.stderr)
        return 130


def _sentence(error: ValueError | OSError) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; is it a path that this user may read, and for --out write?"
    return redact(str(error))
