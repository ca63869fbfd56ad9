"""What the package shows, and what it must not bring along."""

import inspect
import subprocess
import sys
from importlib import resources

import pytest

import countermark_client
from countermark_client import AsyncClient, Client, statements, testing


@pytest.mark.parametrize("module", [countermark_client, testing, statements])
def test_all_is_sorted_complete_and_real(module):
    names = module.__all__
    assert names == sorted(names, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert len(set(names)) == len(names)
    assert all(hasattr(module, name) for name in names)


def test_every_public_name_of_the_package_is_listed():
    public = {
        n for n, v in vars(countermark_client).items() if not n.startswith("_") and not inspect.ismodule(v)
    }
    assert public - {"annotations"} == set(countermark_client.__all__)


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
