"""Log-in at an OpenID Connect issuer with a browser: there, back, and with nothing left in the address."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Arrive, Visitor
from tests.browser.system import System, below
from tests.servers.issuer import CLIENT_ID, Issuer, issuer


@pytest.fixture(scope="module")
def idp() -> Iterator[Issuer]:
    with issuer() as running:
        yield running


@pytest.fixture(scope="module")
def system(idp: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    running = System(
        tmp_path_factory.mktemp("system"),
        oidc_issuer=idp.url,
        oidc_client_id=CLIENT_ID,
        oidc_admin_claim="groups",
        oidc_admin_value="bosses",
    )
    running.start()
    yield running
    running.stop()


def go_to_issuer(visitor: Visitor, idp: Issuer, path: str = "/") -> Page:
    visitor.watch.allow(f"127.0.0.1:{idp.server_port}")
    page = visitor.open(path)
    page.get_by_role("button", name=f"Log in with 127.0.0.1:{idp.server_port}").click()
    expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()
    return page


def answer_as(page: Page, subject: str) -> None:
    page.get_by_label("Subject").fill(subject)
    page.get_by_role("button", name="Log in").click()


@pytest.mark.parametrize("prefix", ["", "/team/laneway"])
def test_a_person_logs_in_at_the_issuer(arrive: Arrive, system: System, idp: Issuer, prefix: str) -> None:
    with below(system.url, "/team/laneway") as proxy:
        visitor = arrive(base=proxy.url if prefix else system.url)
        page = go_to_issuer(visitor, idp, "/ui/history")
        assert f"{prefix}/ui/login".replace("/", "%2F") in page.url
        assert "code_challenge_method=S256" in page.url
        answer_as(page, "Ann")
        expect(page.get_by_role("heading", name="History")).to_be_visible()
        assert page.url == visitor.base + "/ui/history"
        assert page.evaluate("sessionStorage.getItem('laneway.issuer')") is None
        page.goto(visitor.base + "/ui/account")
        expect(page.get_by_role("main")).to_contain_text("oidc.ann")
        expect(page.get_by_role("main")).to_contain_text(f"logs in at 127.0.0.1:{idp.server_port}")
        expect(page.get_by_role("heading", name="Delete the account")).to_be_visible()
        expect(page.get_by_label("Password")).to_have_count(0)
        expect(page.get_by_role("link", name="Audit log")).to_have_count(0)
        visitor.close()


def test_the_code_is_not_left_in_the_browsers_history(arrive: Arrive, system: System, idp: Issuer) -> None:
    visitor = arrive()
    page = go_to_issuer(visitor, idp)
    answer_as(page, "bob")
    expect(page.get_by_role("heading", name="My queue")).to_be_visible()
    page.go_back()  # to the issuer
    expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()
    page.go_forward()
    expect(page.get_by_role("heading", name="My queue")).to_be_visible()
    assert "code=" not in page.url


def test_the_issuers_administrators_are_ours(arrive: Arrive, idp: Issuer) -> None:
    idp.people = {"boss": {"groups": ["bosses"]}}
    page = go_to_issuer(arrive(), idp)
    answer_as(page, "boss")
    expect(page.get_by_role("link", name="Audit log")).to_be_visible()


def test_an_answer_to_another_tabs_question_logs_nobody_in(arrive: Arrive, idp: Issuer) -> None:
    """As when somebody sends a link with a code of their own, to have a victim work in the wrong account."""
    visitor = arrive()
    visitor.watch.allow(f"127.0.0.1:{idp.server_port}")
    code = idp.code("eve", "v" * 43, visitor.base + "/ui/login", "n" * 22)
    page = visitor.open(f"/ui/login?code={code}&state=guessed")
    expect(page.get_by_role("alert").first).to_contain_text("not begun in this tab")
    assert "code=" not in page.url
    assert code in idp.codes, "it was not exchanged"
    page = go_to_issuer(visitor, idp)
    page.goto(f"{visitor.base}/ui/login?code={code}&state=guessed")
    expect(page.get_by_role("alert").first).to_contain_text("not begun in this tab")
    assert code in idp.codes


def test_a_person_who_is_no_user_is_told_why(arrive: Arrive, idp: Issuer) -> None:
    visitor = arrive()
    page = go_to_issuer(visitor, idp)
    answer_as(page, "x" * 70)
    expect(page.get_by_role("alert").first).to_contain_text("gives no username")
    expect(page.get_by_label("User name")).to_be_visible()
    visitor.watch.forgive("403")


def test_a_password_logs_in_while_the_issuer_is_away(arrive: Arrive, system: System, idp: Issuer) -> None:
    visitor = arrive()
    page = visitor.open()
    idp.is_away = True
    try:
        button = page.get_by_role("button", name=re.compile("Log in with"))
        expect(button).to_be_visible()
        system.register(visitor.name)
        page.get_by_label("User name").fill(visitor.name)
        page.get_by_label("Password").fill("correct horse battery")
        page.get_by_role("button", name="Log in", exact=True).click()
        expect(page.get_by_role("heading", name="My queue")).to_be_visible()
    finally:
        idp.is_away = False
