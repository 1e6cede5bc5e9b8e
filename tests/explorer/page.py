"""The explorer as tests see it: opened at a state, its numbers read by their names."""

import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "src" / "xent" / "explorer" / "index.html"
PANELS = [
    "rounding",
    "jacobian",
    "collapse",
    "simplex",
    "temperature",
    "labels",
    "gradcheck",
    "batch",
    "curvature",
    "training",
    "course",
]
SHARING = PANELS[:7]  # those that the logits, the label and the temperature are for
LANGUAGES = ["en", "zh"]
WORKED = {"z": [2, 1, 0.1, -1], "y": 0, "T": 1}
TEN = {"z": [1.2, -3, 0.4, 2.2, 5, -1, 0.3, 4.9, 2, -2], "y": 3, "T": 0.5}
STATES = {
    "worked": WORKED,
    "ten": TEN,
    "two": {"z": [0.3, -0.7], "y": 1, "T": 2},
    "confidently wrong": {"z": [-50, 50, -50], "y": 0, "T": 1},
    "confidently right": {"z": [36, 0, -0.3], "y": 0, "T": 1},
    "sharp": {"z": [1.5, 1.25, -4, 0.75, 1], "y": 2, "T": 0.1},
}


def address(z, y, T, lang="en", panel=None):
    at = "" if panel is None else f"&panel={panel}"
    return f"z={','.join(map(str, z))}&y={y}&T={T}&lang={lang}{at}"


class Explorer:
    def __init__(self, page):
        self.page = page
        self.requests, self.complaints = [], []
        page.on("request", lambda r: self.requests.append(r.url) if is_foreign(r.url) else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)

    def _hear(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def open(self, fragment=""):
        """Loads the page anew; a fragment alone would only move in it."""
        self.page.goto("about:blank")
        self.page.goto(f"{PAGE.as_uri()}#{fragment}")
        self.page.wait_for_selector("main section")
        return self

    def at(self, panel, state=None, lang="en"):
        return self.open(address(**(state or WORKED), lang=lang, panel=panel))

    def go(self, panel, state=None, lang="en"):
        """Follows a link within the page, which is faster than to load it."""
        fragment = address(**(state or WORKED), lang=lang, panel=panel)
        self.page.evaluate("(hash) => { location.hash = hash; }", fragment)
        self.page.wait_for_selector(f"#{panel}")
        self.page.wait_for_timeout(60)
        return self

    def find(self, name):
        return self.page.get_by_test_id(name)

    def value(self, name):
        """The full number behind the digits that are shown."""
        return number(self.find(name).get_attribute("data-value"))

    def values(self, pattern):
        """The numbers named pattern-0, pattern-1, … or, of a matrix, pattern-0-0, …, as an array."""
        found = self.page.eval_on_selector_all(
            f'[data-testid^="{pattern}-"]',
            "nodes => nodes.map((n) => [n.dataset.testid, n.dataset.value])",
        )
        wanted = re.compile(re.escape(pattern) + r"-(\d+)(?:-(\d+))?$")
        cells = {tuple(map(int, filter(None, m.groups()))): v for n, v in found if (m := wanted.match(n))}
        shape = np.array(list(cells)).max(axis=0) + 1
        out = np.full(shape, np.nan)
        for index, text in cells.items():
            out[index] = number(text)
        return out

    def drag(self, element, right, down):
        """Takes an element by its middle with the mouse and moves it by so many pixels."""
        element.scroll_into_view_if_needed()
        box = element.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + right, y + down, steps=8)
        self.page.mouse.up()

    def settle(self):
        """Until the state has reached the page and the URL."""
        self.page.wait_for_timeout(250)
        return self

    def shows(self, link):
        """That the URL ends so; a busy machine takes longer than `settle` waits."""
        self.page.wait_for_function("link => location.href.endsWith(link)", arg=link, timeout=10_000)


def is_foreign(url):
    return not url.startswith(("file:", "data:", "blob:", "about:"))


def number(text):
    return float(text.replace("Infinity", "inf"))


def near(got, want, scale=0.0, tolerance=1e-12):
    """Off by 1e-12 of the number, or of `scale` where larger numbers were subtracted to get it."""
    got, want = np.asarray(got, float), np.asarray(want, float)
    assert got.shape == want.shape
    off = np.abs(got - want) - tolerance * np.maximum(np.abs(want), scale)
    # Below 1e-300 softmax in NumPy and in the browser may differ by a subnormal number.
    assert np.all((off <= 1e-300) | (got == want)), f"page {got}, library {want}"
