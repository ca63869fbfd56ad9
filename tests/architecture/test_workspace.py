"""The workspace keeps its promises: who may import whom, what an integrator installs, what a lock file may say."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVER_ONLY = {"fastapi", "starlette", "sqlalchemy", "alembic", "uvicorn", "psycopg"}


def tracked_files():
    out = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [ROOT / name for name in out.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def closure(name, seen=None):
    seen = set() if seen is None else seen
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in seen:
        return seen
    seen.add(key)
    for requirement in importlib.metadata.requires(name) or ():
        if "extra ==" not in requirement:
            try:
                closure(re.match(r"[A-Za-z0-9_.-]+", requirement)[0], seen)
            except importlib.metadata.PackageNotFoundError:
                continue  # for another platform
    return seen


@pytest.mark.parametrize("distribution", ["countermark-protocol", "countermark-client"])
def test_an_integrator_installs_no_server(distribution):
    assert not closure(distribution) & SERVER_ONLY


def test_the_broker_installs_no_client():
    assert "countermark-client" not in closure("countermark-broker")


def test_a_witness_installs_neither_broker_nor_client_nor_their_databases():
    unwanted = {
        "countermark-broker",
        "countermark-client",
        "sqlalchemy",
        "alembic",
        "psycopg",
        "fastapi",
        "httpx",
    }
    assert not closure("countermark-witness") & unwanted


@pytest.mark.parametrize("package", ["countermark_protocol", "countermark_client"])
def test_everything_imports_without_the_servers_packages(package):
    program = f"""
import importlib, pkgutil, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {SERVER_ONLY!r} | {{'countermark_broker'}}:
            raise ImportError('must not be imported here: ' + name)
sys.meta_path.insert(0, Refuse())
package = importlib.import_module({package!r})
for module in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):
    if not module.name.endswith('__main__'):
        importlib.import_module(module.name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_message_types_are_known_without_pydantic():
    program = "import sys; sys.modules['pydantic'] = None; from countermark_protocol.decision import TYPES; print(len(TYPES))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8


def test_the_lock_pins_every_package_by_hash_and_names_no_host():
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?://|index-url|find-links|file:", text)
    blocks = re.split(r"\n(?=[a-zA-Z])", text)
    pinned = [b for b in blocks if re.match(r"[A-Za-z0-9_.\[\]-]+==", b)]
    assert len(pinned) > 50
    assert all("--hash=sha256:" in block for block in pinned)


def test_every_direct_dependency_is_locked():
    locked = {
        re.sub(r"[-_.]+", "-", m).lower()
        for m in re.findall(r"^([A-Za-z0-9_.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    }
    for name in (
        "countermark-protocol",
        "countermark-client",
        "countermark-broker",
        "countermark-witness",
        "countermark-console",
    ):
        for requirement in importlib.metadata.requires(name) or ():
            wanted = re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9_.-]+", requirement)[0]).lower()
            assert wanted.startswith("countermark-") or wanted in locked, requirement


def test_no_tracked_file_names_this_machine():
    bad = re.compile(rb"/(?:work|farm)/|/tmp/[a-z]|pythonhoste[d]|npmj[s]\.|de[b]\.debian")
    hits = [p for p in tracked_files() if p.suffix not in {".svg", ".csv"} and bad.search(p.read_bytes())]
    assert hits == []


def test_the_import_contracts_hold():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("countermark_broker.cli", {"fastapi", "sqlalchemy", "uvicorn", "alembic"}),
        # A command that looks at a database: no web framework, and no other database's driver.
        ("countermark_broker.cli.keeping", {"fastapi", "starlette", "uvicorn", "alembic", "psycopg"}),
    ],
)
def test_a_command_loads_only_what_it_needs(module, unwanted):
    code = f"import sys, {module}; print(*sys.modules, sep='\\n')"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not unwanted & set(shown.stdout.split())
