"""`xent explore`: opens the built page in the language asked for, or says how to build it."""

import re
import tomllib
import webbrowser
from pathlib import Path

import pytest

import xent
from xent.cli import explore


def test_it_opens_what_make_explorer_builds_and_a_wheel_carries(pytestconfig):
    root = pytestconfig.rootpath
    built = re.search(r"outDir: '\.\./(.*?)'", (root / "explorer" / "vite.config.ts").read_text())[1]
    carried = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["scikit-build"]["sdist"]["include"]
    assert carried == [f"{built}/index.html"]
    page = explore.PAGE.relative_to(Path(xent.__file__).parent.parent)
    assert Path("src") / page == Path(carried[0])


def test_it_opens_the_page_and_prints_where_it_is(tmp_path, monkeypatch, capsys):
    page = tmp_path / "with space" / "index.html"
    page.parent.mkdir()
    page.write_text("")
    opened = []
    monkeypatch.setattr(explore, "PAGE", page)
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    explore.explore(lang="zh")
    assert opened == [page.as_uri() + "#lang=zh"]
    assert capsys.readouterr().out == f"{page.as_uri()}#lang=zh\n"


def test_it_says_where_to_look_if_no_browser_opens(tmp_path, monkeypatch, capsys):
    page = tmp_path / "index.html"
    page.write_text("")
    monkeypatch.setattr(explore, "PAGE", page)
    monkeypatch.setattr(webbrowser, "get", lambda using=None: webbrowser.GenericBrowser("false"))
    monkeypatch.setattr(webbrowser, "_tryorder", ["false"])
    with pytest.raises(SystemExit) as ended:
        explore.explore()
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert said.out == f"{page.as_uri()}#lang=en\n"
    assert "no browser could be opened here" in said.err


def test_it_says_how_to_build_a_page_that_is_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(explore, "PAGE", tmp_path / "index.html")
    with pytest.raises(SystemExit) as ended:
        explore.explore()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "xent: the explorer is not built: run make explorer\n"
