"""String literals of a Python source file, without running it: where packages keep their defaults."""

import ast
from collections.abc import Iterator


def assigned(source: str, name: str) -> Iterator[str]:
    """Literals in what is assigned to `name` at the top of a module. Nothing if it is no Python."""
    try:
        module = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return
    for statement in module.body:
        if isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets, value = [statement.target], statement.value
        else:
            continue
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            for node in ast.walk(value):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value
