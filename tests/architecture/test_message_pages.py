"""The reference pages of messages: up to date, complete, and every link leads somewhere."""

import importlib.util
import re

import pytest

from countermark_protocol.registry import MODELS
from countermark_protocol.types import TYPES
from message_examples import ROOT

PAGES = ROOT / "docs" / "messages"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location(
        "generate_messages", ROOT / "tools" / "generate_messages.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_pages_are_the_generated_ones_and_a_changed_one_is_found(generator, tmp_path, capsys):
    assert generator.main(["--check"]) == 0
    assert generator.main(["--folder", str(tmp_path)]) == 0
    page = tmp_path / "hit-notice.md"
    page.write_text(page.read_text("utf-8").replace("NCIC", "NCIS"), "utf-8")
    (tmp_path / "gossip.md").write_text("# gossip\n", "utf-8")
    (tmp_path / "codes.md").unlink()
    capsys.readouterr()
    assert generator.main(["--folder", str(tmp_path), "--check"]) == 1
    told = capsys.readouterr().err
    assert all(f"docs/messages/{name}.md" in told for name in ("hit-notice", "gossip", "codes"))


def anchors(text):
    return {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def test_every_link_leads_somewhere():
    found = 0
    for page in PAGES.glob("*.md"):
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")):
            path, _, anchor = target.partition("#")
            other = (page.parent / path).resolve() if path else page
            assert other.exists(), (page.name, target)
            if anchor:
                assert anchor in anchors(other.read_text("utf-8")), (page.name, target)
            found += 1
    assert found > 500


@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_member_and_rule_of_a_type_stands_on_its_page(name):
    model = MODELS[name, max(TYPES[name].versions)]
    text = (PAGES / f"{name}.md").read_text("utf-8")
    for info in model.model_fields.values():
        [row] = re.findall(rf"^\| `{info.alias}` \|.*$", text.split("\n## ")[1], re.MULTILINE)
        assert info.json_schema_extra["x-source"] in row
    for rule in model.RULES:
        assert f"| `{rule}` |" in text
