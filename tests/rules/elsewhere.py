"""Run as a program: prints every generated page, as made by a process that had imported the server's
modules in another order and has errors of its own."""

import importlib
import json
import pkgutil
import sys

import scaibunker
import scaigrid
from tests.rules.generators import load


def main() -> None:
    names = [
        module.name
        for package in (scaigrid, scaibunker)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.name.endswith((".migrations.env", ".__main__"))
    ]
    for name in sorted(names, reverse=True):
        importlib.import_module(name)
    _errors_of_a_test()
    made = dict(load("generate_server_reference").pages())
    made["cli.md"] = load("generate_cli_reference").reference()
    made["worker-settings.md"] = load("generate_worker_reference").page()
    json.dump(made, sys.stdout)


def _errors_of_a_test() -> None:
    errors = importlib.import_module("scaigrid.errors")
    base = errors.GridError
    type("AnotherOfATest", (base,), {"code": "OF_A_TEST", "__doc__": "A test's."})
    type("OneOfATest", (errors.NotFound,), {"code": "NAME_CONFLICT", "__doc__": "A test's."})


if __name__ == "__main__":
    main()
