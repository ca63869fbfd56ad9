"""How nodes connect to PostgreSQL, and what they demand of it while they run."""

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url, text

from countermark_broker.store.engine import Database, backend_of
from countermark_broker.store.postgresql import _conninfo


@pytest.fixture
def database_kind():
    return "postgresql"


@pytest.fixture
async def database(empty_database):
    made = Database(empty_database, busy_timeout_ms=1_000, statement_timeout_ms=2_000)
    yield made
    await made.close()


def show(connection, name):
    return connection.execute(text(f"SHOW {name}")).scalar_one()


def test_every_connection_is_bounded_and_notices_a_vanished_server(database):
    for begin in (database.reading, database.writing):
        with begin() as connection:
            assert show(connection, "lock_timeout") == "1s"
            assert show(connection, "statement_timeout") == "2s"
            assert show(connection, "idle_in_transaction_session_timeout") == "2s"
            assert show(connection, "transaction_timeout") == "3s"
            raw = connection.connection.driver_connection.info.get_parameters()
            assert (raw["keepalives_idle"], raw["tcp_user_timeout"]) == ("5", "15000")


def test_a_transaction_can_be_let_take_its_time(database):
    bounds = ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")
    with database.reading() as connection:
        backend_of(connection).patient(connection)
        assert [show(connection, name) for name in bounds] == ["0", "0", "0"]
    with database.writing() as connection:
        backend_of(connection).bound(connection, 10, 20)
        assert [show(connection, name) for name in bounds] == ["20ms", "2s", "0"]


async def test_options_of_the_url_are_kept(empty_database):
    database = Database(f"{empty_database}&options=-csearch_path%3Dcountermark", statement_timeout_ms=2_000)
    with database.reading() as connection:
        assert show(connection, "search_path") == "countermark"
        assert show(connection, "statement_timeout") == "2s"
    with psycopg.connect(_conninfo(database.url)) as listening:
        assert listening.execute("SHOW search_path").fetchone() == ("countermark",)
    await database.close()


@pytest.mark.parametrize(
    ("hosts", "ports"), [("host=a:5432&host=b:5433", "5432,5433"), ("host=a&host=b", ","), ("host=a,b", ",")]
)
def test_several_hosts_are_listened_to(hosts, ports):
    url = make_url(f"postgresql+psycopg://u@/db?{hosts}&target_session_attrs=read-write")
    given = conninfo_to_dict(_conninfo(url))
    assert (given["host"], given["port"], given["keepalives_count"]) == ("a,b", ports, "3")
    assert given["target_session_attrs"] == "read-write"
