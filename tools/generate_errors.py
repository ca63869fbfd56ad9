"""Write docs/errors.md, the catalogue of every error code, from the sources, or check that it is up to date.

Codes are collected by reading the code, not by running it: the first argument of every error that is built,
directly or through a helper such as `malformed`. A code that cannot be read off the source is a failure of
this tool, never a gap in the catalogue.

Usage: python tools/generate_errors.py [--check]
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "docs" / "errors.md"
SOURCES = (
    ROOT / "schemas" / "src" / "countermark_protocol",
    ROOT / "tokens" / "src" / "countermark_tokens",
    ROOT / "broker" / "src" / "countermark_broker",
    ROOT / "clients" / "python" / "src" / "countermark_client",
    ROOT / "clients" / "console" / "src" / "countermark_console",
    ROOT / "clients" / "witness" / "src" / "countermark_witness",
)
BASE = "CountermarkError"
#: Outside the tree: no answer to a request, but a state in which a broker stops.
FATAL = "FatalError"
STATUS_TABLE = ROOT / "broker" / "src" / "countermark_broker" / "api" / "errors.py"
#: Where a code comes over the wire or from another error, and is not made here.
PASSED_ON = frozenset({("_session", "problem_error")})
#: Variables in codes that run over the keys of a table of their module: (module, variable) → table.
KEYS_OF = {("reserved", "name"): "RESERVED"}
MAX_MESSAGE = 160


class UnreadableCodeError(Exception):
    """A code that does not follow from the source."""


@dataclass(frozen=True)
class Raised:
    """One place that builds an error.

    Attributes:
        error: name of the class.
        code: its code.
        module: dotted name.
        message: as far as it is literal; what is put in at run time is ``…``.
    """

    error: str
    code: str
    module: str
    message: str


@dataclass
class ErrorClass:
    """A class of errors.

    Attributes:
        name: of the class.
        base: name of its base.
        module: dotted name.
        line: where it stands, to keep the order of the source.
        hint: what a caller can do; None where inherited.
        summary: first line of its docstring.
    """

    name: str
    base: str
    module: str
    line: int
    hint: str | None
    summary: str


@dataclass
class Sources:
    """All modules of the distributions, parsed."""

    trees: dict[str, ast.Module] = field(default_factory=dict)
    classes: dict[str, ErrorClass] = field(default_factory=dict)
    #: Helper → (class that it builds, position of its parameter that is the code, position of the message).
    helpers: dict[str, tuple[str, int, int | None]] = field(default_factory=dict)


def read_sources(folders: tuple[Path, ...] = SOURCES) -> Sources:
    """Parse all modules and find the classes and helpers that make errors."""
    sources = Sources()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            sources.trees[name] = ast.parse(path.read_text("utf-8"), str(path))
    _find_classes(sources)
    _find_helpers(sources)
    return sources


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _find_classes(sources: Sources) -> None:
    found: dict[str, ErrorClass] = {}
    for module, tree in sources.trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.bases:
                summary = (ast.get_docstring(node) or "").partition("\n")[0]
                base = _name(node.bases[0])
                found[node.name] = ErrorClass(node.name, base, module, node.lineno, _hint(node), summary)
    known = {BASE}
    while True:
        more = {c.name for c in found.values() if c.base in known and c.name not in known}
        if not more:
            break
        known |= more
    sources.classes = {n: c for n, c in found.items() if n in known or n == FATAL}


def _hint(node: ast.ClassDef) -> str | None:
    for item in node.body:
        target = item.targets[0] if isinstance(item, ast.Assign) else getattr(item, "target", None)
        if isinstance(target, ast.Name) and target.id == "hint":
            return _text(getattr(item, "value", None))
    return None


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return [n for n in names if n not in {"self", "cls"}]


def _find_helpers(sources: Sources) -> None:
    """Functions whose own parameter becomes the code of an error, until no more are found."""
    functions = [
        (function, _parameters(function), [node for node in ast.walk(function) if isinstance(node, ast.Call)])
        for tree in sources.trees.values()
        for function in _functions(tree)
        if function.name != "__init__"
    ]
    while True:
        before = len(sources.helpers)
        for function, parameters, calls in functions:
            for call in calls:
                built = _built(sources, call)
                if built is None:
                    continue
                error, code, message = built
                if isinstance(code, ast.Name) and code.id in parameters:
                    at = parameters.index(code.id)
                    says = message.id if isinstance(message, ast.Name) else ""
                    where = parameters.index(says) if says in parameters else None
                    sources.helpers[function.name] = (error, at, where)
        if len(sources.helpers) == before:
            return


def _built(sources: Sources, call: ast.Call) -> tuple[str, ast.expr | None, ast.expr | None] | None:
    """(class, expression of the code, expression of the message) that a call builds, if it builds an error."""
    name = _name(call.func)
    if name in sources.classes:
        error, at, says = name, 0, 1
    elif name in sources.helpers:
        error, at, where = sources.helpers[name]
        says = -1 if where is None else where
    else:
        return None
    arguments = list(call.args)
    if any(isinstance(a, ast.Starred) for a in arguments[: at + 1]) or len(arguments) <= at:
        return error, None, None
    return error, arguments[at], arguments[says] if 0 <= says < len(arguments) else None


# --- codes out of expressions ------------------------------------------------------------------------


def _assigned(function: ast.AST, name: str) -> list[ast.expr]:
    """Expressions that a local name is bound to; for a loop, the elements it runs over."""
    found: list[ast.expr] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in node.targets
        ):
            found.append(node.value)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            found += [node.value] if node.value is not None else []
        elif (
            isinstance(node, ast.For)
            and isinstance(node.target, ast.Name)
            and node.target.id == name
            and isinstance(node.iter, ast.Tuple | ast.List | ast.Set)
        ):
            found += node.iter.elts
    return found


def codes_of(expression: ast.expr, function: ast.AST) -> set[str]:
    """All values that the expression of a code can have.

    Raises:
        UnreadableCodeError: it does not follow from the function it stands in.
    """
    match expression:
        case ast.Constant(value=str() as text):
            return {text}
        case ast.IfExp(body=body, orelse=orelse):
            return codes_of(body, function) | codes_of(orelse, function)
        case ast.JoinedStr(values=values):
            codes = {""}
            for value in values:
                part = value.value if isinstance(value, ast.FormattedValue) else value
                codes = {a + b for a in codes for b in codes_of(part, function)}
            return codes
        case ast.Name(id=name):
            bound = _assigned(function, name)
            if bound:
                return set().union(*(codes_of(b, function) for b in bound))
        case ast.Call(
            func=ast.Attribute(value=ast.Attribute(value=inner, attr="name"), attr="lower"), args=[]
        ):
            return {member.lower() for member in _members(inner, function)}
        case _:
            pass
    raise UnreadableCodeError(ast.unparse(expression))


def _members(expression: ast.expr, function: ast.AST) -> set[str]:
    """Names of the members of an enumeration that an expression can be."""
    if isinstance(expression, ast.Attribute):
        return {expression.attr}
    if isinstance(expression, ast.Name):
        bound = _assigned(function, expression.id)
        if bound:
            return set().union(*(_members(b, function) for b in bound))
    raise UnreadableCodeError(ast.unparse(expression))


def _message(expression: ast.expr | None) -> str:
    match expression:
        case ast.Constant(value=str() as text):
            out = text
        case ast.JoinedStr(values=values):
            out = "".join(_text(v) or "…" for v in values)
        case ast.IfExp(body=body):
            out = _message(body)
        case ast.Call(func=ast.Name(id="N_"), args=[marked]):  # to be translated where it is shown
            out = _message(marked)
        case _:
            return ""
    out = re.sub("…+", "…", " ".join(out.split()))
    return out if len(out) <= MAX_MESSAGE else f"{out[: MAX_MESSAGE - 1].rstrip()}…"


def _scopes(tree: ast.Module) -> list[tuple[str, ast.AST, ast.Call]]:
    """Every call with the innermost function it stands in, in the order of the source."""
    found: list[tuple[str, ast.AST, ast.Call]] = []
    todo: list[tuple[ast.AST, str, ast.AST]] = [(tree, "", tree)]
    while todo:
        node, name, scope = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            name, scope = node.name, node
        if isinstance(node, ast.Call):
            found.append((name, scope, node))
        todo += [(child, name, scope) for child in reversed([*ast.iter_child_nodes(node)])]
    return found


def collect(sources: Sources) -> list[Raised]:
    """Every error that the sources build.

    Raises:
        UnreadableCodeError: with the place, where a code does not follow from the source.
    """
    found: list[Raised] = []
    for module, tree in sources.trees.items():
        scopes = _scopes(tree)
        for name, scope, call in scopes:
            built = _built(sources, call)
            if built is None or (module.rpartition(".")[2], name) in PASSED_ON:
                continue
            error, code, message = built
            inside = isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef)
            if inside and isinstance(code, ast.Name) and code.id in _parameters(scope):  # type: ignore[arg-type]
                continue  # a helper; its callers are read
            try:
                codes = _read_codes(code, scope, module, tree)
            except UnreadableCodeError as unread:
                place = f"{module}:{call.lineno}"
                text = f"{place}: the code of this {error} cannot be read off the source: {unread}"
                raise UnreadableCodeError(text) from None
            found += [Raised(error, each, module, _message(message)) for each in codes]
        found += _problems(module, scopes)
    return found


def _read_codes(code: ast.expr | None, scope: ast.AST, module: str, tree: ast.Module) -> set[str]:
    if code is None:
        msg = "it has none"
        raise UnreadableCodeError(msg)
    for (place, variable), table in KEYS_OF.items():
        if module.rpartition(".")[2] == place:
            loop = ast.For(ast.Name(variable), ast.Tuple(_keys(tree, table)), [], [])
            scope = ast.Module([scope, loop], [])  # type: ignore[list-item]
    return codes_of(code, scope)


def _keys(tree: ast.Module, table: str) -> list[ast.expr]:
    for value in _assigned(tree, table):
        if isinstance(value, ast.Dict):
            return [k for k in value.keys if k is not None]
    raise UnreadableCodeError(table)


def _problems(module: str, scopes: list[tuple[str, ast.AST, ast.Call]]) -> list[Raised]:
    """Problem documents that no error class stands behind."""
    return [
        Raised("", code, module, _message(call.args[2]) if len(call.args) > 2 else "")
        for _, _, call in scopes
        if _name(call.func) == "Problem" and len(call.args) > 1 and (code := _text(call.args[1])) is not None
    ]


# --- status codes ------------------------------------------------------------------------------------


def read_status(path: Path = STATUS_TABLE) -> tuple[dict[str, int], dict[str, int]]:
    """Status by class and by code, from the broker's one table."""
    tables: dict[str, dict[str, int]] = {}
    for node in ast.parse(path.read_text("utf-8")).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and isinstance(value, ast.Dict):
            tables[target.id] = {
                (_text(k) or _name(k)): int(v.value)
                for k, v in zip(value.keys, value.values, strict=True)
                if k is not None and isinstance(v, ast.Constant) and isinstance(v.value, int)
            }
    return tables["STATUS"], tables["STATUS_BY_CODE"]


def ancestry(classes: Mapping[str, ErrorClass], name: str) -> list[str]:
    """A class and its bases, the nearest first."""
    out = [name]
    while name in classes and name != BASE:
        name = classes[name].base
        out.append(name)
    return out


# --- writing -----------------------------------------------------------------------------------------

_HEAD = """\
# Errors

Generated by `tools/generate_errors.py` from the sources; do not edit. `make generate` writes it anew.

Every error has a class, which says what to do, and a stable `code`, which says what is wrong. Over HTTP it is a
problem document (RFC 9457) with the status of its class ([spec/api.md](spec/api.md) §5); in the client it is an
exception; on the command line it is `error:` and `hint:`. `…` stands for what is filled in. A code may occur with more
than one class: the class is then the difference. Some classes and codes never travel: those of the client alone, and
those of the operator's commands.
"""
_FATAL_TEXT = (
    "No answer to a request: the broker's state is unknown or contradicts what it has published. It stops appending "
    "until a person has looked; requests meanwhile get 503. `countermark-broker doctor` shows each with its way out "
    "([operations/running-a-broker.md](operations/running-a-broker.md))."
)


def _order(sources: Sources) -> list[str]:
    """Classes, parents before children, in the order of the source."""
    classes = sources.classes
    children: dict[str, list[str]] = defaultdict(list)
    for c in sorted(
        classes.values(), key=lambda c: (c.module != "countermark_protocol.errors", c.module, c.line)
    ):
        children[c.base].append(c.name)
    out: list[str] = []

    def visit(name: str) -> None:
        out.append(name)
        for child in children[name]:
            visit(child)

    visit(BASE)
    return out


def _table(rows: list[Raised]) -> list[str]:
    by_code: dict[str, list[Raised]] = defaultdict(list)
    for row in rows:
        by_code[row.code].append(row)
    lines = ["| code | says | raised in |", "|---|---|---|"]
    for code, places in sorted(by_code.items()):
        messages = sorted({p.message for p in places if p.message})
        says = (
            messages[0] + (f" (or {len(messages) - 1} more)" if len(messages) > 1 else "") if messages else ""
        )
        modules = ", ".join(f"`{_short(m)}`" for m in sorted({p.module for p in places}))
        lines.append(f"| `{code}` | {says.replace('|', '&#124;')} | {modules} |")
    return lines


def _short(module: str) -> str:
    return module.removeprefix("countermark_").replace("protocol.", "", 1)


def render(sources: Sources) -> str:
    """The text of docs/errors.md."""
    raised = collect(sources)
    by_class, by_code = read_status()
    used = {r.code for r in raised}
    lines = [_HEAD]
    for name in _order(sources):
        cls = sources.classes.get(name)
        rows = [r for r in raised if r.error == name]
        line_of = ancestry(sources.classes, name)
        status = next(by_class[a] for a in line_of if a in by_class)
        hint = next(h for a in line_of if a in sources.classes and (h := sources.classes[a].hint))
        if cls is None or (name == BASE and not rows):
            continue
        lines += [f"## {name}", "", f"{cls.summary} A kind of `{cls.base}`." if name != BASE else cls.summary]
        shown = (
            "Shown as a page of the console"
            if cls is not None and cls.module.startswith("countermark_console.")
            else f"Status {status}{_exceptions(rows, by_code)}"
        )
        lines += ["", f"{shown}. Hint: {hint}.", ""]
        lines += [*_table(rows), ""] if rows else []
    lines += ["## A defect", "", "No class of ours stands behind these; nothing else is told.", ""]
    lines += [*_table([r for r in raised if r.error == ""]), ""]
    lines += [
        "## FatalError",
        "",
        _FATAL_TEXT,
        "",
        *_table([r for r in raised if r.error == FATAL]),
    ]
    unknown = set(by_code) - used
    if unknown:
        text = f"{STATUS_TABLE.name} gives a status to codes that nothing raises: {sorted(unknown)}"
        raise UnreadableCodeError(text)
    return "\n".join(lines).rstrip() + "\n"


def _exceptions(rows: list[Raised], by_code: Mapping[str, int]) -> str:
    special = sorted({(r.code, by_code[r.code]) for r in rows if r.code in by_code})
    return f" ({', '.join(f'`{code}`: {status}' for code, status in special)})" if special else ""


def main(arguments: list[str] | None = None) -> int:
    """Generate or check; 0 if the file is up to date afterwards."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if the file is out of date"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the file")
    options = parser.parse_args(arguments)
    try:
        text = render(read_sources())
    except UnreadableCodeError as error:
        print(f"error: {error}\nhint: write the code as a literal where the error is made", file=sys.stderr)
        return 1
    if options.output.exists() and options.output.read_text("utf-8") == text:
        return 0
    if options.check:
        print(f"out of date: {options.output.name}: run python tools/generate_errors.py", file=sys.stderr)
        return 1
    options.output.write_text(text, "utf-8")
    print(f"written: {options.output.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
