"""A pytest plugin: the tests run an installed xent with its kernels, and not the sources beside them."""

import sysconfig
from pathlib import Path

import xent
from xent import _native

SITE = Path(sysconfig.get_path("platlib"))


def pytest_configure() -> None:
    for module in (xent, _native):
        assert SITE in Path(module.__file__).parents, f"{module.__file__} is not in {SITE}"
