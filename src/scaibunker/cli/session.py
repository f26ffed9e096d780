"""What a command that talks to the API is given, and how it ends when that goes wrong.

`connected` makes a command of a function whose first parameter is a `Session`: it adds the options
for endpoint, key and form of output, and turns errors into a message and an exit code.
"""

import inspect
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import typer

from scaibunker.cli import failures, options
from scaibunker.cli.exit_codes import SIGNAL_BASE, ExitCode
from scaibunker.cli.failures import CommandError
from scaibunker.cli.interrupts import Interrupted, Interrupts
from scaibunker.cli.progress import notice
from scaibunker.cli.surroundings import Choice, Surroundings
from scaibunker.sdk import Client, Endpoint, ScaiBunkerError, read_key_file, resolve

_CHOICE: dict[str, tuple[Any, Any]] = {
    "endpoint": (options.EndpointOption, None),
    "api_key": (options.ApiKeyOption, None),
    "api_key_file": (options.ApiKeyFileOption, None),
    "profile": (options.ProfileOption, None),
    "identity": (options.IdentityOption, None),
    "json": (options.JsonOption, False),
}


@dataclass(frozen=True, slots=True)
class Session:
    """A client, the form of output, and what the process brought along."""

    client: Client
    json: bool
    surroundings: Surroundings
    interrupts: Interrupts


class Verb(Protocol):
    """A command's work. Gives the exit code; nothing is 0."""

    __name__: str

    def __call__(self, session: Session, *args: Any, **kwargs: Any) -> int | None: ...


def connected(verb: Any, *, failure: ExitCode | None = None) -> Callable[..., None]:
    """Make a command of a `Verb`. With `failure`, every error ends with that code."""

    def command(context: typer.Context, **given: Any) -> None:
        own = Choice(**{name: given.pop(name) for name in _CHOICE})
        surroundings: Surroundings = context.obj
        choice = own.over(surroundings.choice)
        with ending(choice.json, failure), _warnings(), Interrupts(notice) as interrupts:
            endpoint = _endpoint(choice, surroundings)
            transport = surroundings.http_transport
            with Client(endpoint.base_url, endpoint.api_key, http_transport=transport) as client:
                code = verb(Session(client, choice.json, surroundings, interrupts), **given)
            if code:
                raise typer.Exit(code)

    _present(command, verb)
    return command


def _present(command: Any, verb: Any) -> None:
    """Let typer see the verb's own parameters, without the session, and the common options."""
    own = list(inspect.signature(verb).parameters.values())[1:]
    context = inspect.Parameter(
        "context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    common = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for name, (annotation, default) in _CHOICE.items()
    ]
    parameters = [context, *own, *common]
    command.__signature__ = inspect.Signature(parameters)
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    command.__name__ = verb.__name__
    command.__doc__ = verb.__doc__


@contextmanager
def ending(as_json: bool, failure: ExitCode | None = None) -> Iterator[None]:
    """Inside, an error ends the command: a message, and the exit code, or always `failure`."""
    try:
        yield
    except ScaiBunkerError as error:
        failures.show(error, as_json=as_json)
        raise typer.Exit(failure or failures.exit_code(error)) from None
    except Interrupted as interrupted:
        raise typer.Exit(SIGNAL_BASE + interrupted.number) from None
    except BrokenPipeError:
        # Whoever read our output has gone. What is still buffered must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(SIGNAL_BASE + signal.SIGPIPE) from None


class _Warnings(logging.Handler):
    """Each thing that there is to warn of is said once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self._said:
            self._said.add(message)
            notice(f"warning: {message}")


@contextmanager
def _warnings() -> Iterator[None]:
    """What the SDK has to warn of goes where our own notices go."""
    log, handler = logging.getLogger("scaibunker.sdk"), _Warnings()
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _endpoint(choice: Choice, surroundings: Surroundings) -> Endpoint:
    key = choice.api_key
    if choice.api_key_file is not None:
        if key is not None:
            raise CommandError("--api-key and --api-key-file exclude each other")
        key = read_key_file(choice.api_key_file)
    elif key is not None:
        notice("warning: --api-key shows the key to everyone on this machine; use --api-key-file")
    return resolve(
        surroundings.environ,
        base_url=choice.endpoint,
        api_key=key,
        profile=choice.profile,
        identity=choice.identity,
    )
