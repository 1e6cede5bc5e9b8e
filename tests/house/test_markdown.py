"""Markdown prose has one sentence per line, so that a changed sentence is a changed line; trees are true."""

import re
from pathlib import Path

import pytest

from tests.house.test_layers import FILES, FLOOR, SOURCE

ROOT = Path(__file__).parents[2]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "explorer").glob("*.md"),
    *(ROOT / "tests").rglob("*.md"),
]
LONG = 200  # characters of a line that may still hold two short sentences

FENCED = re.compile(r"^( *)```.*?^\1```", re.M | re.S)
LITERAL = re.compile(r"`[^`]*`|\]\([^)]*\)")  # code, where a link leads
RUN_IN = re.compile(r"^[\s*-]*\*[^*]+[.?]\*+ ")  # "**Decision.** ", which heads a paragraph's first sentence
END = re.compile(
    r"(?<!e\.g)(?<!i\.e)[.!?][)*\"”]* +[^\s∎]"
)  # ∎ ends a proof, on the line of its last sentence


def crowded(page):
    """The long lines of prose that hold more than one sentence, (number, line); tables and code are not
    prose."""
    text = FENCED.sub(lambda block: "\n" * block[0].count("\n"), page)
    return [
        (number, line)
        for number, line in enumerate(text.split("\n"), 1)
        if len(line) > LONG
        and not line.lstrip().startswith("|")
        and END.search(RUN_IN.sub("", LITERAL.sub("x", line)))
    ]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_long_lines_of_prose_hold_one_sentence(path):
    found = crowded(path.read_text(encoding="utf-8"))
    assert not found, f"{path.relative_to(ROOT)}: start a new line after each sentence: {found}"


def test_a_crowded_line_is_seen():
    one, two = f"One {'very ' * 45}long sentence.", f"One sentence. Another{' very' * 45} long one (of two)."
    for page in (
        two,
        f"- {two}",
        f"**Decision.** {two}",
        f"# Title\n\n{one}\n{two}",
        f"```\n{two}\n```\n{two}",
    ):
        number = page.count("\n") + 1
        assert crowded(page) == [(number, page.split("\n")[-1])]
    for page in (
        one,
        f"**Decision.** {one}",
        f"| {two} |",
        f"```\n{two}\n```",
        "Few words. " * 18,
        f"{one} ∎",
    ):
        assert not crowded(page)
    assert not crowded(f"See `a. b` and [a page](https://example.org/?q=a. b), {one}")


def trees(page):
    """The trees of src/xent that a page draws: {name under src/xent: what stands beside it}."""
    for block in re.findall(r"^```\nsrc/xent/\n(.*?)^```$", page, re.M | re.S):
        block = re.sub(r"\n {4,}", " ", block)  # a line that goes on
        assert block.count("\n") < 40
        yield dict(re.findall(r"^  (\S+) *(.*)$", block, re.M))


def test_the_house_is_drawn_as_it_stands():
    rooms = {f"{path.parent.name}/" for path in SOURCE.glob("*/__init__.py")}
    rooms |= {path.name for path in SOURCE.glob("*.py")} - {"__init__.py"}
    plan, guide = (ROOT / name for name in ("docs/design/0010-house.md", "CONTRIBUTING.md"))
    (drawn,) = trees(plan.read_text(encoding="utf-8"))
    assert drawn.keys() == rooms
    for room, floors in FILES.items():
        assert [set(files.split(", ")) for files in drawn[f"{room}/"].split("; ")] == floors
    text = guide.read_text(encoding="utf-8")
    (shown,) = trees(text)
    assert shown.keys() == rooms
    order = [FLOOR[name.removesuffix("/").removesuffix(".py")] for name in drawn]
    assert order == sorted(order)
    assert all((ROOT / name).is_dir() for name in re.findall(r"^(\w\S*/) ", text, re.M))
