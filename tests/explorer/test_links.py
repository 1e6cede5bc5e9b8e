"""The URL holds the state: a link restores it, a change writes it, and nonsense does no harm."""

import pytest

from tests.explorer.page import LANGUAGES, PANELS, STATES, TEN, WORKED, address


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
    page.shows("#" + address(**TEN, lang=lang, panel=panel))


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
    page.shows("#" + address(**expected, panel="labels"))
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
        page.shows("#" + address(**WORKED | {"y": y}, panel=panel))
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
    page.shows("#" + address(**TEN, panel="labels"))


# What a link says of a panel's own settings, and the fields that then are so.
OWN = {
    "rounding": ("&format=e4m3&way=shifted", {"format-e4m3": True, "way-shifted": True}),
    "collapse": ("&x1=2.5", {"x-0": "1", "x-1": "2.5"}),
    "simplex": ("&rate=0.5&step=7", {"rate": "0.5", "step": "7"}),
    "temperature": ("&logC=-1.5", {"C": "-1.5"}),
    "labels": (
        "&several=0110000000&smoothing=0.3",
        {"several-label-0": False, "several-label-1": True, "smoothing": "0.3"},
    ),
    "gradcheck": (
        "&scheme=forward&precision=float32&exponent=-2.5",
        {"scheme-forward": True, "precision-float32": True, "step": "-2.5"},
    ),
    "batch": (
        "&size=2.5&reg=0.4&steps=9&way=pytorch",
        {"batch-size": "2.5", "batch-reg": "0.4", "batch-step": "9", "script-pytorch": True},
    ),
    "curvature": (
        "&size=3&reg=0.2&rows=0101&direction=same&t=-2.5",
        {"row-0": False, "row-1": True, "direction-same": True, "line-t": "-2.5", "curvature-reg": "0.2"},
    ),
    "training": ("&rate=0.3&place=12", {"rate-0.3": True, "train-step": "12"}),
}


def assert_fields(page, fields):
    for name, value in fields.items():
        field = page.find(name)
        assert (field.is_checked() if isinstance(value, bool) else field.input_value()) == value, name


@pytest.mark.parametrize("panel", OWN)
def test_a_link_restores_what_a_panel_sets(explore, panel):
    settings, fields = OWN[panel]
    link = address(**WORKED, panel=panel)
    page = explore().open(link + settings)
    assert_fields(page, fields)
    page.settle()
    page.shows("#" + link + settings)
    page.find("nav-course").click()  # the settings are there when one comes back, in either way
    assert "&panel=course" in page.settle().page.url
    page.shows("course")
    page.find(f"nav-{panel}").click()
    assert_fields(page, fields)
    page.settle().page.go_back()
    page.settle().page.go_back()
    page.shows("#" + link + settings)
    assert_fields(page, fields)
    page.open(link)  # without them all is as at first
    page.shows("#" + link)


def test_a_panel_s_settings_are_written_and_reset(explore):
    page = explore().at("rounding", WORKED)
    page.find("format-float16").check(force=True)
    page.find("way-shifted").check(force=True)
    page.shows("&panel=rounding&format=float16&way=shifted")
    page.find("format-float32").check(force=True)  # which it is at first
    page.shows("&panel=rounding&way=shifted")


@pytest.mark.parametrize(
    "nonsense", ["format=float8", "way=", "size=2", "__proto__=1", "constructor=1", "format=e4m3%00"]
)
def test_settings_that_make_no_sense_are_dropped(explore, nonsense):
    page = explore().open(address(**WORKED, panel="rounding") + "&" + nonsense)
    assert_fields(page, {"format-float32": True, "way-plain": True})
    page.find("z-input-0").fill("3")
    page.find("z-input-0").press("Enter")
    page.shows("#" + address(**WORKED | {"z": [3, 1, 0.1, -1]}, panel="rounding"))


def test_back_keeps_the_language(explore):
    page = explore().at("jacobian", WORKED)
    page.find("nav-labels").click()
    page.find("lang-zh").click()
    page.settle().page.go_back()
    assert page.find("panel-jacobian").is_visible()
    page.settle()
    page.shows("#" + address(**WORKED, lang="zh", panel="jacobian"))
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
