"""Whatever another agency writes is text: no element and no attribute of any page comes from it."""

from __future__ import annotations

import copy

import pytest
from lxml import html

from countermark_console.agency_log.chain import Entry as LogEntry
from countermark_console.desk.forms.choices import Known
from countermark_console.desk.forms.fields import Kind, form_of
from countermark_console.desk.forms.view import FormViews, read_content
from countermark_console.texts import texts
from countermark_console.web.pages import environment
from countermark_protocol.registry import MODELS
from message_examples import example

MARK = "hostile"
HOSTILE = (
    f"\"'><script>{MARK}</script><img src=x onerror={MARK}()><a href=javascript:{MARK}()>x</a>"
    f"<svg onload={MARK}()>{{{{ {MARK} }}}}{{% {MARK} %}}&lt;b&gt;</textarea></title></style>"
)
#: Elements that a page of ours may hold.
SCRIPTING = {"script", "img", "svg", "iframe", "object", "embed", "style", "link", "meta", "base", "math"}


def poisoned(value):
    """The same document with a hostile text in the place of every text."""
    if isinstance(value, str):
        return HOSTILE
    if isinstance(value, dict):
        return {name: poisoned(one) for name, one in value.items()}
    if isinstance(value, list):
        return [poisoned(one) for one in value]
    return value


def check_harmless(page, expected=None):
    """Every element and attribute name is ours; hostile text stands in texts and values alone."""
    tree = html.fromstring(page)
    for element in tree.iter():
        if not isinstance(element.tag, str):
            assert MARK not in str(element), "in a comment"
            continue
        assert element.tag not in SCRIPTING, html.tostring(element)[:200]
        for name, value in element.attrib.items():
            assert not name.lower().startswith("on"), name
            if name in {
                "href",
                "src",
                "action",
                "formaction",
                "hx-get",
                "hx-post",
                "style",
                "id",
                "for",
                "class",
                "list",
            }:
                assert MARK not in value, (name, value)
            if name == "hx-vals":
                assert MARK not in value
    assert MARK in tree.text_content() or any(MARK in v for e in tree.iter() for v in e.attrib.values())
    if expected is not None:
        assert tree.text_content().count(f"<script>{MARK}</script>") >= expected
    return tree


def rendered(source, **values):
    made = environment("en").from_string(
        '{% import "desk/form.html" as forms with context %}<div>' + source + "</div>"
    )
    return made.render(visitor=None, **values)


def count_texts(value):
    if isinstance(value, dict):
        return sum(map(count_texts, value.values()))
    if isinstance(value, list):
        return sum(map(count_texts, value))
    return isinstance(value, str)


@pytest.mark.parametrize(("message_type", "version"), sorted(MODELS))
def test_every_field_of_every_type_is_read_and_written_as_text(message_type, version):
    form, said = form_of(message_type, version), texts("en")
    hostile = poisoned(copy.deepcopy(example(message_type, version)))
    members = read_content(form, hostile, said, "en", Known())
    page = rendered("{{ forms.content(members) }}", members=members)
    # Nothing is swallowed either: each text stands there, to be seen for what it is.
    check_harmless(page, expected=count_texts(hostile))
    view = FormViews.of(said, "en", Known()).form(form, hostile)
    check_harmless(rendered("{% for one in view.fields %}{{ forms.field(one) }}{% endfor %}", view=view))
    kinds = {one.kind for one in form.fields}
    assert kinds <= set(Kind)


def test_a_hostile_message_is_harmless_on_every_page_of_a_console(pair_world, kenya, belgium):
    request = example("tracing-request", 2)
    request["nationalCaseRef"] = f"<script>{MARK}</script>'\"><img src=x onerror={MARK}()>"
    request["legalJustification"] = HOSTILE
    request["items"][0]["make"] = {"text": f"=cmd|{MARK}<b>"}
    request["items"][0]["model"] = {"text": HOSTILE[:200]}
    request["contact"]["agency"] = HOSTILE[:200]
    request["recovery"]["place"] = {"country": "KE", "name": HOSTILE[:200]}
    request["urgencyJustification"] = HOSTILE
    kenya.round()
    sent = kenya.console.vault.client.send(
        "tracing-request", request, to=["be.contact.federal"], urgency="urgent"
    )
    belgium.round()
    belgium.sign_in("dora")
    browser = belgium.browser
    browser.get(f"/cases/{sent.hash}")
    browser.post(f"/cases/{sent.hash}/note", note=HOSTILE)
    pages = [
        "/live/alerts?shown=x", "/live/inbox?seen=0", "/inbox", "/inbox?text=hostile", "/cases", f"/cases/{sent.hash}",
        f"/messages/{sent.hash}", "/drafts",
    ]  # fmt: skip
    page = browser.post(f"/messages/{sent.hash}/answer", way="final")
    pages.append(page.url.path)
    for path in pages:
        answer = browser.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        tree = html.fromstring(answer.text.replace("<template>", "").replace("</template>", ""))
        for element in tree.iter():
            if not isinstance(element.tag, str):
                continue
            if element.tag == "script":
                assert element.get("src", "").startswith("/static/")
                assert not (element.text or "").strip()
            for name, value in element.attrib.items():
                assert not name.startswith("on")
                assert name != "style"
                if name in {"href", "src", "action", "hx-get", "hx-post"}:
                    assert MARK not in value or path.startswith("/inbox?")
                    assert not value.lower().startswith(("javascript:", "data:"))
        assert not [
            e for e in tree.iter("img") if not e.get("src").startswith(("/static/", "/messages/", "/drafts/"))
        ]
    table = browser.get(f"/cases/{sent.hash}/export.csv").content.decode("utf-8-sig")
    assert "\n=" not in table
    assert ",=cmd" not in table
    assert browser.get(f"/cases/{sent.hash}/export.pdf").content.startswith(b"%PDF")
    entry: LogEntry = belgium.console.log.entries(limit=1)[0]
    assert MARK not in entry.detail
