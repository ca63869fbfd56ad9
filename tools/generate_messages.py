"""Write docs/messages, the reference of every message type, block and code list, from the models, or check it.

Usage: python tools/generate_messages.py [--check]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from countermark_protocol.codes.labels import facts_of, list_names, show_list
from countermark_protocol.default_policy import DEFAULT_POLICY
from countermark_protocol.identifiers import Role
from countermark_protocol.messages.json_schema import json_schema
from countermark_protocol.policy import Side
from countermark_protocol.registry import MODELS
from countermark_protocol.types import TYPES
from countermark_protocol.visibility import GROUNDS

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "messages"
EXAMPLES = ROOT / "schemas" / "examples"
NOTE = "<!-- Written by tools/generate_messages.py from the models: change those, and run it. -->\n\n"
#: A list longer than this is named and counted; its codes stand in its file.
MOST_CODES_SHOWN = 60

Schema = dict[str, Any]


@cache
def _schema(name: str, version: int) -> Schema:
    return json_schema(MODELS[name, version])


def _newest(name: str) -> int:
    return max(TYPES[name].versions)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _is_block(node: Schema) -> bool:
    return node.get("type") == "object"


@cache
def _shared() -> Mapping[str, Schema]:
    """Blocks that more than one type uses, by name; of the same name and different content each stays where it is."""
    found: dict[str, Schema] = {}
    users: dict[str, set[str]] = {}
    differing: set[str] = set()
    for name in TYPES:
        for block, node in _schema(name, _newest(name)).get("$defs", {}).items():
            if _is_block(node):
                users.setdefault(block, set()).add(name)
                if found.setdefault(block, node) != node:
                    differing.add(block)
    return {block: found[block] for block in sorted(found.keys() - differing) if len(users[block]) > 1}


def _list_name(definition: str) -> str | None:
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", definition).upper()
    return name if name in list_names() else None


def _kind(node: Schema, definitions: Mapping[str, Schema]) -> str:
    """The type of a member in words, with a link to what defines it."""
    if node.get("type") == "array":
        low, high = node.get("minItems", 0), node.get("maxItems")
        differ = ", all different" if node.get("uniqueItems") else ""
        return f"{low} to {high} of {_kind(node['items'], definitions)}{differ}"
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        target = definitions[name]
        if _is_block(target):
            page = "blocks.md" if name in _shared() else ""
            return f"[{name}]({page}#{name.lower()})"
        listed = _list_name(name)
        if listed is not None:
            return f"code: [{listed}](codes.md#{listed.lower()})"
        return f"{'code' if 'enum' in target else target.get('type')}: [{name}](forms.md#{name.lower()})"
    if node.get("type") == "integer":
        return f"integer, {node.get('minimum')} to {node.get('maximum')}"
    return str(node.get("type"))


def _members(node: Schema, definitions: Mapping[str, Schema]) -> Iterator[str]:
    yield "| member | term | type | unit | code list | required | source |\n|---|---|---|---|---|---|---|\n"
    required = node.get("required", ())
    for member, each in node.get("properties", {}).items():
        term = str(each.get("description", "")).partition(" Unit: ")[0]
        term = term.partition(" Code list: ")[0].partition(" Source: ")[0].rstrip(".")
        cells = (
            f"`{member}`",
            term,
            _kind(each, definitions),
            each.get("x-unit", ""),
            each.get("x-code-list", ""),
            "yes" if member in required else "",
            each.get("x-source", ""),
        )
        yield "| " + " | ".join(_cell(cell) for cell in cells) + " |\n"


def _rules(node: Schema) -> Iterator[str]:
    if node.get("x-rules"):
        yield "\n| rule | what must hold |\n|---|---|\n"
        yield from (f"| `{rule}` | {_cell(text)} |\n" for rule, text in sorted(node["x-rules"].items()))


def _block(name: str, node: Schema, definitions: Mapping[str, Schema], level: str) -> Iterator[str]:
    yield f"\n{level} {name}\n\n{node.get('description', '').strip()}\n\n"
    yield from _members(node, definitions)
    yield from _rules(node)


def _side(side: Side) -> str:
    if len(side.roles) == len(Role) - 1:
        return "all but the broker"
    return ", ".join(sorted(role.value for role in side.roles))


def _who(name: str) -> Iterator[str]:
    yield "\n## Who sends it to whom\n\nBy the [default policy](../spec/policy.md); what no rule allows is refused.\n\n"
    yield "| rule | from | to | otherwise |\n|---|---|---|---|\n"
    for rule in (each for each in DEFAULT_POLICY.rules if name in each.types):
        more = [f"at most {rule.most_recipients}"] if rule.most_recipients < 1000 else []
        more += [rule.relation.value] if rule.relation.value != "any" else []
        more += ["two persons"] if rule.release else []
        more += [f"on behalf of {_side(rule.on_behalf_of)}"] if rule.on_behalf_of is not None else []
        more += ["TLP:" + ", TLP:".join(t.value for t in rule.tlp)] if rule.tlp else []
        more += ["to a named group"] if rule.to_group else []
        yield f"| `{rule.id}` | {_side(rule.sender)} | {_side(rule.recipient)} | {'; '.join(more)} |\n"
    duties = [duty for duty in DEFAULT_POLICY.duties if name in duty.types]
    if duties:
        yield "\n| duty | enforced by | what |\n|---|---|---|\n"
        yield from (
            f"| {duty.id} | {', '.join(e.value for e in duty.enforced_by)} | {_cell(duty.text)} |\n"
            for duty in duties
        )


def _demands(name: str) -> str:
    info = TYPES[name]
    said = {
        "an answer: `in_reply_to`, `stage` and `outcome`": info.is_answer,
        "`in_reply_to`: it never begins a conversation": info.in_conversation,
        "`supersedes` and `in_reply_to`, both naming the message that it is about": info.amends,
    }
    return "; ".join(text for text, holds in said.items() if holds) or "nothing beyond messages.md 2.1"


def _paths(schema: Schema) -> frozenset[str]:
    """All members of a content, as paths through its blocks."""
    found: set[str] = set()

    def walk(node: Schema, at: str, above: frozenset[str]) -> None:
        while "$ref" in node or node.get("type") == "array":
            if "$ref" in node:
                name = node["$ref"].rpartition("/")[2]
                if name in above:
                    return
                above |= {name}
                node = schema["$defs"][name]
            else:
                node, at = node["items"], f"{at}/*"
        for member, each in node.get("properties", {}).items():
            found.add(f"{at}/{member}")
            walk(each, f"{at}/{member}", above)

    walk(schema, "", frozenset())
    return frozenset(found)


def _type_page(name: str) -> str:
    newest = _newest(name)
    schema = _schema(name, newest)
    definitions = schema.get("$defs", {})
    out = [NOTE, f"# {name}\n\n{schema['description'].strip()}\n\n"]
    out.append(f"Version {newest}. In its manifest: {_demands(name)}.\n\n")
    shown = "see each other" if TYPES[name].visible_recipients else "do not see each other"
    out.append(f"Unless its sender chooses otherwise, recipients {shown}: {GROUNDS[name]}.\n\n")
    for older in sorted(TYPES[name].versions - {newest}):
        new = sorted(_paths(schema) - _paths(_schema(name, older)))
        tops = [path for path in new if not any(path.startswith(other + "/") for other in new)]
        out.append(f"Version {older} has no {', '.join(f'`{path}`' for path in tops)}.\n\n")
    out.append("## Members\n\n")
    out += [*_members(schema, definitions), *_rules(schema)]
    own = {block: node for block, node in definitions.items() if _is_block(node) and block not in _shared()}
    for block, node in own.items():
        out += _block(block, node, definitions, "##")
    out += _who(name)
    example = (EXAMPLES / f"{name}-v{newest}.json").read_text("utf-8")
    out.append(f"\n## Example\n\n```json\n{example}```\n\n")
    refused = len(json.loads((EXAMPLES / f"{name}-v{newest}.invalid.json").read_text("utf-8")))
    out.append(
        f"[{refused} variants](../../schemas/examples/{name}-v{newest}.invalid.json) of it are refused, each by the "
        f"rule that it breaks. [JSON Schema](../../schemas/json/{name}-v{newest}.schema.json).\n"
    )
    return "".join(out)


def _index() -> str:
    out = [
        NOTE,
        "# Messages, type by type\n\nNormative: [messages.md](../spec/messages.md) and the JSON Schemas.\n\n",
    ]
    out.append("| type | versions | what |\n|---|---|---|\n")
    for name, info in TYPES.items():
        about = (MODELS[name, _newest(name)].__doc__ or "").strip().splitlines()[0]
        out.append(
            f"| [{name}]({name}.md) | {', '.join(map(str, sorted(info.versions)))} | {_cell(about)} |\n"
        )
    out.append(
        "\nBlocks that several types share: [blocks.md](blocks.md). Forms of texts, numbers and dates: "
    )
    out.append("[forms.md](forms.md). Code lists: [codes.md](codes.md).\n")
    return "".join(out)


def _blocks_page() -> str:
    out = [NOTE, "# Blocks that several types share\n"]
    definitions: dict[str, Schema] = {}
    for name in TYPES:
        definitions |= _schema(name, _newest(name)).get("$defs", {})
    for block, node in _shared().items():
        out += _block(block, node, definitions, "##")
    return "".join(out)


def _forms_page() -> str:
    forms = {
        form: node
        for name in TYPES
        for form, node in _schema(name, _newest(name)).get("$defs", {}).items()
        if not _is_block(node) and _list_name(form) is None
    }
    out = [NOTE, "# Forms of texts, numbers, dates and codes\n\nPatterns stand in the JSON Schemas.\n"]
    for form in sorted(forms):
        node = forms[form]
        out.append(f"\n## {form}\n\n{node.get('description', '').strip()}\n\n")
        bounds = ("minLength", "maxLength", "minimum", "maximum")
        said = [f"{key} `{node[key]}`" for key in bounds if key in node]
        said += [f"{len(node['enum'])} codes"] if "enum" in node else []
        out.append(f"JSON {node.get('type')}{': ' if said else ''}{', '.join(said)}.\n")
    return "".join(out)


def _codes_page() -> str:
    out = [
        NOTE,
        "# Code lists\n\nCapitals: our own, wire format, never reused and never renamed. The others are ",
    ]
    out.append("[data](../../schemas/src/countermark_protocol/codes/data/README.md) of their owners.\n")
    for name in list_names():
        facts = facts_of(name)
        out.append(f"\n## {name}\n\nEdition: {facts.edition}. {facts.size} codes")
        out.append(f", labels in {', '.join(facts.languages)}.\n" if facts.languages else ".\n")
        if facts.size <= MOST_CODES_SHOWN:
            out.append("\n| code | meaning |\n|---|---|\n")
            out += [f"| `{each.code}` | {_cell(each.label.text)} |\n" for each in show_list(name)]
    return "".join(out)


def expected_files() -> dict[str, str]:
    """Name and text of every page."""
    pages = {f"{name}.md": _type_page(name) for name in TYPES}
    return pages | {
        "README.md": _index(),
        "blocks.md": _blocks_page(),
        "forms.md": _forms_page(),
        "codes.md": _codes_page(),
    }


def differences(folder: Path) -> list[str]:
    """Names of pages in `folder` that are missing, differ, or belong to nothing."""
    expected = expected_files()
    present = {path.name: path.read_text("utf-8") for path in folder.glob("*.md")}
    return sorted(
        name for name in expected.keys() | present.keys() if expected.get(name) != present.get(name)
    )


def main(arguments: list[str] | None = None) -> int:
    """Generate or check; 0 if the pages are up to date afterwards."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if a page is out of date"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pages are")
    options = parser.parse_args(arguments)
    stale = differences(options.folder)
    if options.check:
        for name in stale:
            print(
                f"out of date: docs/messages/{name}: run python tools/generate_messages.py", file=sys.stderr
            )
        return 1 if stale else 0
    options.folder.mkdir(parents=True, exist_ok=True)
    expected = expected_files()
    for name in stale:
        path = options.folder / name
        if name in expected:
            path.write_text(expected[name], "utf-8")
        else:
            path.unlink()
        print(f"{'written' if name in expected else 'removed'}: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
