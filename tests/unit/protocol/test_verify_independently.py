"""The independent verifier: it stands alone, it verifies the message, and no corrupted bundle gets past it."""

import ast
import copy
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "vectors" / "verify_independently.py"
BUNDLE = json.loads((SCRIPT.parent / "countermark" / "message.json").read_text())


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_it_verifies_our_message_and_vectors():
    done = run()
    assert done.returncode == 0, done.stderr
    assert "verified: message.json" in done.stdout
    ran = int(done.stdout.split("vectors: ")[1].split()[0])
    assert ran >= 300


def test_it_uses_nothing_of_ours():
    own = {"independent_attachments", "independent_basics"}
    imported = set()
    for path in (SCRIPT, *(SCRIPT.parent / f"{name}.py" for name in own)):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module).split(".")[0])
    assert imported - set(sys.stdlib_module_names) == {"cryptography"} | own


def test_a_corrupted_bundle_file_is_refused(tmp_path):
    path = tmp_path / "bundle.json"
    good = copy.deepcopy(BUNDLE)
    path.write_text(json.dumps(good))
    assert run("--bundle", path).returncode == 0
    stanza = good["recipient"]["stanza"]
    good["recipient"]["stanza"] = ("B" if stanza[0] == "A" else "A") + stanza[1:]
    for text in (json.dumps(good), json.dumps(BUNDLE)[:-1], "{}", "[]", ""):
        path.write_text(text)
        done = run("--bundle", path)
        assert done.returncode == 1
        assert "NOT verified" in done.stderr
        assert "Traceback" not in done.stderr
    assert run("--bundel", path).returncode == 1


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("verify_independently", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def places(value, path=()):
    """Every place of a bundle that holds a number or text, and every member."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from places(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from places(inner, (*path, number))
    elif value is not None:
        yield path


def changed(path, new):
    bundle = copy.deepcopy(BUNDLE)
    inner = bundle
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new(inner[path[-1]])
    return bundle


def other(value):
    """Another value of the same form."""
    if isinstance(value, int):
        return value + 1
    if not value:
        return "0"
    middle = len(value) // 2
    return value[:middle] + ("0" if value[middle] != "0" else "1") + value[middle + 1 :]


def test_the_honest_bundle(script):
    assert script.check_bundle(BUNDLE) == BUNDLE["expected"]


@pytest.mark.parametrize("path", list(places(BUNDLE)), ids=lambda p: "/".join(map(str, p)))
def test_no_place_of_it_can_change(script, path):
    with pytest.raises(script.BROKEN):
        script.check_bundle(changed(path, other))


@pytest.mark.parametrize("name", ["message", "recipient", "directory", "absent", "checkpoint", "trust"])
def test_nothing_of_it_can_be_left_out(script, name):
    with pytest.raises(script.BROKEN):
        script.check_bundle({k: v for k, v in BUNDLE.items() if k != name})


@pytest.mark.parametrize("name", ["directory", "absent"])
def test_no_record_or_absence_can_be_left_out(script, name):
    for number in range(len(BUNDLE[name])):
        bundle = copy.deepcopy(BUNDLE)
        del bundle[name][number]
        with pytest.raises(script.BROKEN):
            script.check_bundle(bundle)


def test_deliveries_disclosure_and_account_are_optional(script):
    bundle = copy.deepcopy(BUNDLE)
    for name in ("disclosure", "account", "expected"):
        del bundle[name]
    del bundle["message"]["deliveries"]
    assert script.check_bundle(bundle) == BUNDLE["expected"]


def test_a_row_taken_from_the_deliveries(script):
    bundle = copy.deepcopy(BUNDLE)
    del bundle["message"]["deliveries"]["rows"][0]
    with pytest.raises(script.BROKEN):
        script.check_bundle(bundle)
