"""The demo's page, in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks import swap
from features.layout import Layout, point

CHROMIUM = shutil.which("chromium")

expect.set_options(timeout=15_000)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    layout = Layout(tmp_path_factory.mktemp("var"))
    point(layout.champion, swap.make_bundles(layout)[0])
    with swap.service(layout.root) as url:
        yield url


@pytest.fixture(scope="module")
def browser(url: str) -> Iterator[Browser]:  # after the service: Playwright occupies the event loop
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(15_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("requestfailed", lambda request: problems.append(request.url))
    yield page
    page.close()
    assert not problems


def test_a_customer_is_shown_with_what_they_bought_and_are_recommended(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.locator("#who")).to_contain_text("Customer user-")
    expect(page.locator("#ranking li")).to_have_count(12)
    expect(page.locator("#ranking .why").first).not_to_be_empty()
    expect(page.locator("#bought li").first).to_contain_text("times")


def test_another_customer_can_be_asked_for_by_id(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_role("combobox", name="Customer").fill("user-003")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#who")).to_have_text("Customer user-003")


def test_another_recipe_gives_another_list(page: Page, url: str) -> None:
    page.goto(url)
    tab = page.get_by_role("tab", name="Popular with everybody")
    tab.click()
    expect(tab).to_have_attribute("aria-selected", "true")
    expect(page.locator("#request")).to_contain_text('"recipe":"popular"')


def test_an_unknown_customer_is_told_so_in_words(page: Page, url: str) -> None:
    page.goto(f"{url}/#nobody")
    expect(page.get_by_role("status")).to_contain_text("'nobody'")
    expect(page.locator("#person")).to_be_hidden()


def test_somebody_of_whom_only_something_was_said_was_never_seen(page: Page, url: str) -> None:
    said = {"event_type": "identify", "user_id": "cookie-1", "same_as": "customer-1"}
    assert page.request.post(f"{url}/v1/events", data=said).ok
    page.goto(f"{url}/#customer-1")
    expect(page.locator("#who")).to_have_text("Customer customer-1")
    expect(page.locator("#facts")).to_contain_text("never")
    expect(page.locator("#ranking li")).to_have_count(12)


def test_the_page_of_the_api_works_without_the_internet(page: Page, url: str) -> None:
    page.goto(f"{url}/docs")
    expect(page.get_by_text("/v1/recommend").first).to_be_visible()


def test_what_is_typed_while_the_page_loads_is_kept(page: Page, url: str) -> None:
    page.route("**/v1/recommend", lambda route: (page.wait_for_timeout(500), route.continue_()))
    page.goto(url)
    page.get_by_role("combobox", name="Customer").fill("user-004")
    expect(page.locator("#ranking li")).to_have_count(12)
    expect(page.get_by_role("combobox", name="Customer")).to_have_value("user-004")


def test_a_click_is_in_the_profile_and_counts_for_the_next_list(page: Page, url: str) -> None:
    page.goto(f"{url}/#user-005")
    first = page.locator("#ranking li").first
    shown = page.locator("#versions")
    expect(shown).to_contain_text("Ranking")
    ranking = shown.text_content() or ""
    first.get_by_role("button", name="Click").click()
    expect(page.locator("#recent li").first).to_contain_text("click")
    expect(shown).not_to_have_text(ranking)
    expect(page.locator("#ranking li")).to_have_count(12)
