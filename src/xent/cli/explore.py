"""The command `xent explore`: opens the page that shows softmax and cross-entropy at work."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Literal

from .terminal import clear_errors, out, plain

PAGE = Path(__file__).parent.parent / "explorer" / "index.html"


def explore(*, lang: Literal["en", "zh"] = "en") -> None:
    """Open the explorer, a page that shows softmax, cross-entropy and p − y alive, in the browser.

    Parameters
    ----------
    lang
        The page's language: en or zh. It can be changed there.
    """
    with clear_errors():
        if not PAGE.is_file():
            raise FileNotFoundError("the explorer is not built: run make explorer")
        # A file's URL keeps its fragment only as a URL, not as a path.
        address = f"{PAGE.as_uri()}#lang={lang}"
        opened = webbrowser.open(address)
        out.print(plain(address), markup=False, soft_wrap=True)
        if not opened:
            raise OSError("no browser could be opened here: open the address above in one")
