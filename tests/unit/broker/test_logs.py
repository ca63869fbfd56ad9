"""Log lines: JSON or text, with node and request, and nothing that was not meant for them."""

import io
import json
import logging

import pytest

from countermark_broker.logs import configure_logs, node_name, request_scope


@pytest.fixture
def root():
    """The root logger, put back as it was."""
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    levels = {n: logging.getLogger(n).level for n in ("alembic", "asyncio", "httpx", "sqlalchemy")}
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)


def test_json_is_one_object_a_line(root):
    stream = io.StringIO()
    configure_logs("json", "00ff", stream)
    log = logging.getLogger("countermark_broker.x")
    with request_scope() as name:
        log.info("%s of %s\nforged", "one", "two", extra={"method": "GET", "status": 200, "secret": "s3cr3t"})
    try:
        raise ValueError("told")
    except ValueError:
        log.exception("a defect")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["message"] == "one of two\nforged"
    assert (first["method"], first["status"], first["node"], first["level"]) == ("GET", 200, "00ff", "info")
    assert first["request"] == name
    assert "s3cr3t" not in stream.getvalue()
    assert "request" not in second
    assert "ValueError: told" in second["exception"]


def test_text_carries_node_and_request(root):
    stream = io.StringIO()
    configure_logs("text", node_name(bytes(range(32))), stream)
    with request_scope() as name:
        logging.getLogger("countermark_broker.x").warning("hello")
    line = stream.getvalue()
    assert line.endswith(f" WARNING 0001020304050607 {name} countermark_broker.x: hello\n")


def test_every_request_has_a_name_of_its_own(root):
    with request_scope() as first, request_scope() as second:
        assert first != second
