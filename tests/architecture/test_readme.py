"""The README shows the programs that are tested, and every place it points to exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", ["send_notice", "consume_inbox"])
def test_a_program_in_the_readme_is_the_tested_example(name):
    path = f"clients/python/examples/{name}.py"
    (shown,) = (block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if path in block)
    program = (ROOT / path).read_text().split('"""', 2)[2]
    assert shown.strip() == f"# {path}\n{program.strip()}"


@pytest.mark.parametrize("document", ["README.md", "SECURITY.md", "CONTRIBUTING.md"])
def test_every_link_leads_somewhere(document):
    text = (ROOT / document).read_text()
    targets = [
        t for t in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in t and not t.startswith("mailto:")
    ]
    missing = [t for t in targets if not (ROOT / t).exists()]
    assert missing == []


def test_every_file_on_a_messages_way_exists():
    paragraph = next(p for p in README.split("\n\n") if p.startswith("**A message's way**"))
    names = re.findall(r"`([^`]*\.py)`", paragraph)
    sources = [p.as_posix() for top in ("schemas", "broker", "clients") for p in (ROOT / top).rglob("*.py")]
    assert len(names) > 15
    missing = [n for n in names if not any(s.endswith("/" + n.split("…/")[-1]) for s in sources)]
    assert missing == []


def test_every_folder_named_exists():
    for row in re.findall(r"^\| `([a-z/]+/)` \|", README, re.MULTILINE):
        assert (ROOT / row).is_dir(), row
