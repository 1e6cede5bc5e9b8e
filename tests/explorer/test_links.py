"""The URL holds the state: a link restores it, a change writes it, and nonsense does no harm."""

import pytest

from .page import LANGUAGES, PANELS, STATES, TEN, WORKED, address


def state_of(page):
    z = [float(n.input_value()) for n in page.page.locator('[data-testid^="z-input-"]').all()]
    label = page.page.locator('input[name="label"]:checked').get_attribute("value")
    return {"z": z, "y": int(label), "T": float(page.find("T-input").input_value())}


@pytest.mark.parametrize("state", STATES.values(), ids=list(STATES))
def test_a_link_restores(explore, state):
    page = explore().at("collapse", state, lang="zh")
    assert state_of(page) == state
    assert page.find("panel-collapse").is_visible()
    assert page.page.locator("html").get_attribute("lang") == "zh-Hans"


@pytest.mark.parametrize("panel", PANELS)
@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_panel_in_every_language(explore, panel, lang):
    page = explore().at(panel, TEN, lang=lang)
    assert page.find(f"panel-{panel}").is_visible()
    page.settle()
    assert page.page.url.endswith("#" + address(**TEN, lang=lang, panel=panel))


def test_a_change_is_written_and_survives_a_reload(explore):
    page = explore().at("labels", WORKED)
    page.find("z-input-2").fill("-3.75")
    page.find("z-input-2").press("Enter")
    page.find("label-3").check()
    page.find("T-input").fill("2.5")
    page.find("T-input").press("Enter")
    page.find("remove-class").click()
    page.settle()
    expected = {"z": [2, 1, -3.75], "y": 2, "T": 2.5}
    assert page.page.url.endswith("#" + address(**expected, panel="labels"))
    page.page.reload()
    page.page.wait_for_selector("main section")
    assert state_of(page) == expected


def test_a_link_followed_in_the_page(explore):
    page = explore().at("course", TEN)
    page.page.locator('main a[href*="panel=gradcheck"]').first.click()
    assert page.find("panel-gradcheck").is_visible()
    assert state_of(page) == TEN
    assert page.page.evaluate("document.activeElement.id") == "gradcheck-title"
    assert page.page.evaluate("scrollY") == 0


def test_back_leads_to_the_panel_before(explore):
    page = explore().at("jacobian", WORKED)
    page.find("nav-labels").click()
    page.find("label-2").check()
    page.settle().find("nav-course").click()
    page.page.locator('main a[href*="panel=gradcheck"]').first.click()
    for panel, y in (("course", 2), ("labels", 2), ("jacobian", 0)):
        page.page.go_back()
        assert page.find(f"panel-{panel}").is_visible()
        page.settle()
        assert page.page.url.endswith("#" + address(**WORKED | {"y": y}, panel=panel))
    page.page.go_forward()
    assert page.find("panel-labels").is_visible()


TIMERS_BY_HAND = """
  const pending = new Map();
  const later = window.setTimeout;
  window.setTimeout = (f, ms) => {
    const id = later(() => { pending.delete(id); f(); }, ms);
    pending.set(id, f);
    return id;
  };
  window.runPending = () => [...pending.entries()].forEach(([id, f]) => { clearTimeout(id); f(); });
"""


def test_a_link_followed_while_the_url_is_about_to_be_written(explore):
    """The page writes its URL a moment after a change. If a link is followed in that moment, the write comes
    before the page hears of the link, and must not undo it."""
    page = explore()
    page.page.add_init_script(TIMERS_BY_HAND)
    page.at("jacobian", WORKED)
    page.find("z-0").press("ArrowRight")
    page.page.evaluate("(hash) => { location.hash = hash; runPending(); }", address(**TEN, panel="labels"))
    page.settle()
    assert state_of(page) == TEN
    assert page.find("panel-labels").is_visible()
    assert page.page.url.endswith("#" + address(**TEN, panel="labels"))


def test_back_keeps_the_language(explore):
    page = explore().at("jacobian", WORKED)
    page.find("nav-labels").click()
    page.find("lang-zh").click()
    page.settle().page.go_back()
    assert page.find("panel-jacobian").is_visible()
    page.settle()
    assert page.page.url.endswith("#" + address(**WORKED, lang="zh", panel="jacobian"))
    page.go("labels", WORKED, "en")  # a link's language is its own
    assert page.page.locator("html").get_attribute("lang") == "en"


def test_a_label_of_a_class_that_is_not_there(explore):
    page = explore().at("collapse", {"z": [1, 2], "y": 0, "T": 1})
    page.page.evaluate("location.hash = '#y=3'")
    page.settle()
    assert state_of(page) == {"z": [1, 2], "y": 0, "T": 1}


@pytest.mark.parametrize(
    "fragment",
    [
        "",
        "z=1,2,oops&y=1",
        "z=1&y=0",
        "z=" + ",".join("1" * 11),
        "y=9&T=-1",
        "z=1,inf&T=NaN&lang=fr&panel=none",
        "%",
        "z=1e308,0&T=0.01",
        "panel=constructor",
    ],
)
def test_nonsense_does_no_harm(explore, fragment):
    page = explore().open(fragment)
    state = state_of(page)
    assert len(state["z"]) >= 2
    assert state["T"] > 0
    assert abs(page.values("p").sum() - 1) < 1e-15


def test_two_to_ten_classes(explore):
    page = explore().at("rounding", WORKED)
    for _ in range(6):
        page.find("add-class").click()
    assert page.find("add-class").is_disabled()
    assert len(state_of(page)["z"]) == 10
    for _ in range(8):
        page.find("remove-class").click()
    assert page.find("remove-class").is_disabled()
    assert page.values("p").shape == (2,)
