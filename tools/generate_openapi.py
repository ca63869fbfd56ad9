"""Write docs/openapi.json from the broker's routes; with --check only compare.

Nothing is started or opened for it: the routes need the parts of a node, not a running one.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from countermark_broker.api.routes import make_api
from countermark_broker.config import load_settings
from countermark_broker.parts import build_parts
from countermark_broker.services.keyring import Keyring
from countermark_broker.services.listeners import Listeners
from countermark_protocol.signers import Ed25519Signer

TARGET = Path(__file__).resolve().parents[1] / "docs" / "openapi.json"


def openapi_text() -> str:
    """The OpenAPI document as it is committed."""
    key = Ed25519Signer(bytes(32))
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "broker.toml").write_text(
            'origin = "log.example.org"\nauthorities = ["a.example.org"]\n'
        )
        node = build_parts(load_settings(Path(home), {}), Keyring((key,), key, ())).node
        document = make_api(node, Listeners(1)).openapi()
        node.verifier.close()
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the file is not current")
    text = openapi_text()
    if parser.parse_args().check:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != text:
            print(
                f"error: {TARGET.name} is not what the routes give\nhint: run python tools/generate_openapi.py"
            )
            return 1
        return 0
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
