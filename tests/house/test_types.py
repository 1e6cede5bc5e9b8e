"""`mypy --strict` is part of `make check`; here is what it does not count."""

import ast

from tests.house.test_layers import SOURCE

# Of some 2,300 parameters; `xent/_types.py` says for what `Any` is left. Fifty are Arrow's arrays, in tables.
MOST = 80


def untold(source):
    """Parameters (function, name) whose annotation holds the word Any."""
    functions = [
        n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    found = []
    for function in functions:
        a = function.args
        every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
        found += [
            (function.name, x.arg)
            for x in every
            if x.annotation is not None
            and any(isinstance(n, ast.Name) and n.id == "Any" for n in ast.walk(x.annotation))
        ]
    return found


def test_few_parameters_are_any():
    found = [
        (path.relative_to(SOURCE).as_posix(), *each)
        for path in SOURCE.rglob("*.py")
        if path.name != "_types.py"
        for each in untold(path.read_text())
    ]
    assert len(found) <= MOST, found


def test_an_any_is_seen():
    assert untold("def f(a: Any, *b: list[Any], c: int, **d: dict[str, Any]) -> Any: ...") == [
        ("f", "a"),
        ("f", "b"),
        ("f", "d"),
    ]
