"""Every panel can be walked by mouse and by keyboard, and focus can be seen."""

import re

import pytest

from tests.explorer.page import LANGUAGES, PANELS, WORKED

MARK = """() => {
  // What Tab should reach: of a group of radio buttons, one.
  const all = [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex]')];
  const wanted = all.filter((n) => {
    if (n.tabIndex < 0 || n.disabled || !n.checkVisibility({ visibilityProperty: true })) return false;
    const group = n.type === 'radio' && document.querySelectorAll(`input[name="${n.name}"]`);
    return !group || n.checked || ![...group].some((m) => m.checked);
  });
  wanted.forEach((n, i) => (n.dataset.walk = i));
  return wanted.map((n) => n.outerHTML.slice(0, 120));
}"""
WHERE = """() => {
  const n = document.activeElement;
  if (!n || n === document.body) return null;
  // A radio button that looks like a button shows focus on its label.
  const box = (n.closest('.choice label') ?? n).getBoundingClientRect();
  return { walk: n.dataset.walk ?? null, html: n.outerHTML.slice(0, 120), box: box.toJSON() };
}"""


def test_by_mouse(explore):
    page = explore(width=1500).open()
    for panel in [*PANELS[1:], PANELS[0]]:
        page.find(f"nav-{panel}").click()
        assert page.find(f"panel-{panel}").is_visible()
        assert page.find(f"nav-{panel}").get_attribute("aria-current") == "page"
        assert page.page.locator("section.panel").count() == 1
        page.settle()
        assert f"panel={panel}" in page.page.url
    page.find("z-0").hover()
    before = page.value("p-0")
    page.drag(page.find("z-0"), 40, 0)
    assert page.value("p-0") != before
    page.find("add-class").click()
    assert page.values("p").shape == (5,)
    page.find("label-2").check()
    page.find("lang-zh").click()
    assert page.page.locator("html").get_attribute("lang") == "zh-Hans"
    page.settle()
    assert re.search(r"&y=2&T=1&lang=zh&", page.page.url)


@pytest.mark.parametrize("panel", PANELS)
def test_by_keyboard(explore, panel):
    page = explore().at(panel, WORKED)
    expected = page.page.evaluate(MARK)
    seen = {}
    for _ in range(3 * len(expected) + 20):
        page.page.keyboard.press("Tab")
        here = page.page.evaluate(WHERE)
        if here is None:
            if seen:
                break
            continue
        if here["walk"] in seen:
            break
        if here["walk"] is not None:
            seen[here["walk"]] = here
            assert_focus_shows(page.page, here)
    missed = [html for i, html in enumerate(expected) if str(i) not in seen]
    # Focus may choose what it lands on (a cell of a matrix), which moves the one place that Tab reaches.
    missed = [html for html in missed if "gridcell" not in html]
    assert not missed
    assert len(seen) > 12


def assert_focus_shows(page, here):
    """The picture around what has focus is another without it."""
    box, room = here["box"], 6
    clip = {
        "x": max(box["x"] - room, 0),
        "y": max(box["y"] - room, 0),
        "width": min(box["width"] + 2 * room, 600),
        "height": min(box["height"] + 2 * room, 400),
    }
    size = page.viewport_size
    if clip["x"] + clip["width"] > size["width"] or clip["y"] + clip["height"] > size["height"]:
        clip["width"] = min(clip["width"], size["width"] - clip["x"])
        clip["height"] = min(clip["height"], size["height"] - clip["y"])
    focused = page.screenshot(clip=clip)
    page.evaluate("() => { window.walked = document.activeElement; window.walked.blur(); }")
    assert page.screenshot(clip=clip) != focused, f"no sign of focus on {here['html']}"
    page.evaluate("() => window.walked.focus({ focusVisible: true, preventScroll: true })")


def test_a_panel_opens_with_enter_and_takes_focus(explore):
    page = explore().open()
    page.find("nav-labels").focus()
    page.page.keyboard.press("Enter")
    assert page.find("panel-labels").is_visible()
    assert page.page.evaluate("document.activeElement.id") == "labels-title"


def test_arrows_move_a_logit(explore):
    page = explore().at("jacobian", WORKED)
    before = page.values("jac")
    page.find("z-1").press("ArrowRight")
    assert float(page.find("z-1").input_value()) > 1
    assert (page.values("jac") != before).any()


def test_a_slider_holds_what_was_typed(explore):
    page = explore().at("jacobian", WORKED)
    for typed in (50.25, 0.3333, 123456, -2):
        page.find("z-input-1").fill(str(typed))
        page.find("z-input-1").press("Enter")
        for k, z in enumerate([2, typed, 0.1, -1]):
            assert float(page.find(f"z-{k}").input_value()) == z
            assert float(page.find(f"z-{k}").get_attribute("aria-valuetext")) == z
    page.find("z-input-1").fill("0.3333")
    page.find("z-1").press("ArrowUp")
    page.find("z-1").press("ArrowRight")
    page.find("z-1").press("ArrowLeft")
    assert float(page.find("z-input-1").input_value()) == 0.4333


@pytest.mark.parametrize(
    ("field", "refused"), [("T-input", ["0", "-1", "1000", ""]), ("z-input-0", ["1e308", "-2e6", ""])]
)
def test_a_field_does_not_keep_what_is_refused(explore, field, refused):
    page = explore().at("jacobian", WORKED)
    before = page.find(field).input_value()
    for text in refused:
        page.find(field).fill(text)
        page.find(field).press("Enter")
        page.find(field).blur()
        assert page.find(field).input_value() == before
    page.settle()
    assert "#z=2,1,0.1,-1&y=0&T=1&" in page.page.url


def test_the_skip_link(explore):
    page = explore().open()
    page.page.keyboard.press("Tab")
    page.page.keyboard.press("Enter")
    assert page.page.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_all_of_a_panel_is_in_one_language(explore, lang):
    """In English no Chinese; in Chinese no running English: no four English words in a row."""
    page = explore().at("course", WORKED, lang=lang)
    for panel in PANELS:
        page.go(panel, WORKED, lang)
        text = page.page.evaluate(
            """() => {
              const copy = document.body.cloneNode(true);
              copy.querySelectorAll('.katex, code, pre, .languages, script').forEach((n) => n.remove());
              return copy.textContent + ' ' + [...copy.querySelectorAll('[aria-label]')]
                .map((n) => n.getAttribute('aria-label')).join(' | ');
            }"""
        )
        if lang == "en":
            assert not re.search("[\\u4e00-\\u9fff]", text)
        else:
            assert not re.search(r"(?:\b[a-z]{2,}\b ){3}\b[a-z]{2,}\b", text), panel


def test_a_finger_moves_a_point(explore):
    page = explore(width=360, height=740, has_touch=True).at("temperature", WORKED)
    point = page.find("point-4")
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    before, scrolled = point.get_attribute("data-value"), page.page.evaluate("scrollY")
    fingers = page.page.context.new_cdp_session(page.page)
    for kind, moved in (("touchStart", 0), ("touchMove", 15), ("touchMove", 30), ("touchEnd", None)):
        at = [] if moved is None else [{"x": x - moved, "y": y - moved}]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
    assert point.get_attribute("data-value") != before
    assert page.page.evaluate("scrollY") == scrolled


@pytest.mark.parametrize(("panel", "cells"), [("jacobian", "jac"), ("collapse", "cjac")])
def test_a_click_holds_a_cell(explore, panel, cells):
    page = explore().at(panel, WORKED)

    def chosen(i, j):
        return page.find(f"{cells}-{i}-{j}").get_attribute("aria-selected") == "true"

    page.find(f"{cells}-0-3").hover()
    assert chosen(0, 3)
    page.find(f"{cells}-2-1").click()
    page.find(f"{cells}-3-3").hover()
    assert chosen(2, 1)
    page.find(f"{cells}-2-1").press("ArrowRight")
    assert chosen(2, 2)
    page.find(f"{cells}-2-2").press("End")
    assert chosen(2, 3)
    page.find(f"{cells}-2-3").press("Home")
    assert chosen(2, 0)
    page.find(f"{cells}-2-0").press("End")
    page.find(f"{cells}-2-3").press("ArrowLeft")
    page.find(f"{cells}-2-2").click()  # lets go
    page.find(f"{cells}-1-1").hover()
    assert chosen(1, 1)


@pytest.mark.parametrize("z", [-1000000, -12345.678, 999999.5])
def test_a_field_shows_all_digits(explore, z):
    page = explore().at("jacobian", WORKED | {"z": [z, 0]})
    assert page.find("z-input-0").evaluate("(n) => n.scrollWidth <= n.clientWidth")


def test_in_print_there_is_the_panel_alone(explore):
    page = explore(color_scheme="dark").at("collapse", WORKED)
    page.page.emulate_media(media="print", color_scheme="dark")
    assert page.find("network-dense").locator("..").is_visible()  # what is chosen
    assert not page.find("network-attention").locator("..").is_visible()
    assert not page.page.locator("nav").is_visible()
    assert not page.find("z-0").is_visible()
    assert page.find("panel-collapse").is_visible()
    colours = "getComputedStyle(document.documentElement).backgroundColor"
    assert page.page.evaluate(colours) == "rgb(255, 255, 255)"
