"""The built page in Chromium. Skipped, saying why, where the page, Playwright or Chromium is missing."""

import os
import shutil

import pytest

from tests.explorer.page import PAGE, Explorer


def missing():
    if not PAGE.is_file():
        return "the explorer is not built: run make explorer"
    if not chromium():
        return "no Chromium: on Debian, apt install chromium"
    return None


def chromium():
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser():
    if reason := missing():
        pytest.skip(reason)
    api = pytest.importorskip("playwright.sync_api", reason="no Playwright: run make test-explorer")
    # Chromium's sandbox does not start for root, as whom containers run.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium(), args=options)
        yield found
        found.close()


@pytest.fixture
def explore(browser):
    """explore(width=…, color_scheme=…) opens a window of the page. After each test: nothing was asked of a
    network, and nothing was wrong on the console."""
    opened = []

    def start(*, width=1280, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        opened.append(Explorer(context.new_page()))
        return opened[-1]

    yield start
    for explorer in opened:
        explorer.page.context.close()
        assert explorer.requests == []
        assert explorer.complaints == []
