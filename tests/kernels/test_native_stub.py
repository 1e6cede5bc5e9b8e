"""`xent/_native.pyi` is what mypy knows of the extension: it says what the built module says of itself."""

import enum
import inspect
import re
import typing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import xent
from xent.kernels import native as kernels

NATIVE = kernels._native
PROCESSORS = {"multiply_pairs_bb", "multiply_pairs_fb"}  # not every one has the instruction

pytestmark = pytest.mark.skipif(not kernels.HAS_NATIVE, reason=kernels.REASON)


def stub():
    """The stub's names, run as Python: annotations are then types, which compare."""
    path = Path(xent.__file__).with_name("_native.pyi")
    found = {"__name__": "stub"}
    exec(compile(path.read_text(), path, "exec"), found)
    return found


STUB = stub()
DECLARED = {name: item for name, item in STUB.items() if getattr(item, "__module__", "") == "stub"}


def signature(text):
    """Of nanobind's words: 'def scale(x: ndarray[dtype=float32, shape=(*)], by: int) -> int'."""
    text = re.sub(r"(?:numpy\.)?ndarray\[dtype=(\w+)[^]]*\]", r"NDArray[np.\1]", text)
    text = text.replace("np.bool]", "np.bool_]").replace("xent._native.", "").replace("collections.abc.", "")
    found = dict(STUB, np=np)
    exec(re.sub(r"^def ?\w*\(", "def function(", text) + ": ...", found)
    return inspect.signature(found["function"])


def check_function(declared, built, name):
    """Parameters' names, kinds and types, and what is returned. One that C++ leaves unnamed may have any."""
    ways = typing.get_overloads(SimpleNamespace(__module__="stub", __qualname__=name)) or [declared]
    assert len(ways) == len(built.__nb_signature__)
    for way, (text, *_) in zip(ways, built.__nb_signature__, strict=True):
        ours, theirs = inspect.signature(way), signature(text)
        assert len(ours.parameters) == len(theirs.parameters), text
        for p, q in zip(ours.parameters.values(), theirs.parameters.values(), strict=True):
            assert (p.kind, p.annotation) == (q.kind, q.annotation), f"{p} of {text}"
            assert p.name == q.name or re.fullmatch(r"arg\d+", q.name), f"{p} of {text}"
        assert ours.return_annotation == theirs.return_annotation, text


def public(names):
    return {name for name in names if not name.startswith("_")}


def test_it_names_what_the_module_has():
    assert public(dir(NATIVE)) | PROCESSORS == set(DECLARED)


@pytest.mark.parametrize("name", sorted(set(DECLARED) & set(dir(NATIVE))))
def test_it_says_of_each_what_the_module_does(name):
    declared, built = DECLARED[name], getattr(NATIVE, name)
    if not isinstance(built, type):
        return check_function(declared, built, name)
    fields = vars(declared).get("__annotations__", {})
    assert public(vars(built)) == public(vars(declared)) | set(fields)
    if issubclass(built, enum.Enum):
        assert {m.name: m.value for m in declared} == {m.name: m.value for m in built}
        return
    check_function(declared.__init__, built.__init__, f"{name}.__init__")
    for member in public(vars(built)):
        item = vars(built)[member]
        if member in fields:
            assert fields[member] == signature(item.fget.__nb_signature__[0][0]).return_annotation, member
            assert item.fset, member
        elif isinstance(item, property):
            check_function(vars(declared)[member].fget, item.fget, member)
            assert not item.fset, member
        else:
            check_function(vars(declared)[member], item, member)
