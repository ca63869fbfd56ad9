"""What the package shows, and what it must not bring along."""

import ast
import importlib
import inspect
import subprocess
import sys
from importlib import resources

import pytest

import countermark_client
from countermark_client import AsyncClient, Client, _contents, statements, testing
from countermark_client.cli import _late


@pytest.mark.parametrize("module", [countermark_client, testing, statements])
def test_all_is_sorted_complete_and_real(module):
    names = module.__all__
    assert names == sorted(names, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert len(set(names)) == len(names)
    assert all(hasattr(module, name) for name in names)


def test_every_public_name_of_the_package_is_listed():
    public = {
        n
        for n in dir(countermark_client)
        if not n.startswith("_") and not inspect.ismodule(getattr(countermark_client, n))
    }
    assert public - {"annotations"} == set(countermark_client.__all__)


@pytest.mark.parametrize("module", [countermark_client, _contents, _late])
def test_what_is_imported_late_is_what_the_type_checker_sees(module):
    tree = ast.parse(inspect.getsource(module))
    [block] = [node for node in tree.body if isinstance(node, ast.If)]
    assert ast.unparse(block.test).endswith("TYPE_CHECKING")
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert set(seen) == set(module.__all__)
    for name, home in seen.items():
        assert getattr(module, name) is getattr(importlib.import_module(home), name)
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018


#: What loads slowly.
HEAVY = {"asyncio", "cryptography", "httpx", "pydantic", "rich", "countermark_client._core"}


@pytest.mark.parametrize(
    ("command", "unwanted"),
    [
        ("--help", HEAVY),
        ("send --help", HEAVY - {"cryptography"}),
        ("key show --help", HEAVY - {"cryptography"}),
        ("document show no-such-file", HEAVY - {"cryptography"}),
        ("types --json", {"asyncio", "httpx", "countermark_client._core"}),
        ("import countermark_client", HEAVY),
        # A program that sends no message yet: the models of all types are not there.
        ("import countermark_client; countermark_client.Client", {"pydantic"}),
    ],
)
def test_only_what_is_needed_is_loaded(command, unwanted):
    run = (
        command
        if command.startswith("import")
        else f"from countermark_client.cli import main; main({command.split()})"
    )
    code = f"import atexit, sys; atexit.register(lambda: print('|', *sys.modules)); {run}"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    loaded = set(shown.stdout.rpartition("|")[2].split())
    assert "countermark_client" in loaded, shown.stderr
    assert not unwanted & loaded


def test_package_is_typed():
    assert resources.files("countermark_client").joinpath("py.typed").is_file()


def test_importing_the_client_brings_neither_server_nor_database():
    code = (
        "import sys, countermark_client, countermark_client.testing, countermark_client.statements\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in "
        "{'fastapi', 'sqlalchemy', 'starlette', 'countermark_broker'}]\n"
        "sys.exit(' '.join(bad) or 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def _public(kind):
    members = inspect.getmembers_static(
        kind, lambda m: inspect.isroutine(m) or isinstance(m, property | classmethod)
    )
    return {n: m for n, m in members if not n.startswith("_")}


def test_both_clients_have_the_same_methods_with_the_same_arguments():
    one, other = _public(Client), _public(AsyncClient)
    assert set(one) == set(other)
    for name, member in one.items():
        if isinstance(member, property | classmethod):
            assert type(other[name]) is type(member)
            continue
        assert list(inspect.signature(member).parameters.values()) == [
            p if p.name != "message" else inspect.signature(member).parameters[p.name]
            for p in inspect.signature(other[name]).parameters.values()
        ], name
