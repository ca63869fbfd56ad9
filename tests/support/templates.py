"""Homes for tests to copy: what many begin with happens once in each process and for each kind of database."""

from __future__ import annotations

import asyncio
import inspect
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from support.api_client import ApiClient
from support.broker_fixtures import HttpBroker, enrolled_world, found, write_home
from support.postgresql import PostgresServer
from support.world import World

#: Lets something happen, once: given a world and a founded home; or, where nothing is founded, the place of a home and
#: the URL of an empty database. Then come arguments of the first who asks, which must be alike for all. What it leaves
#: in the home is copied with it.
Fill = Callable[..., Any]


@dataclass(frozen=True)
class Template:
    """A home that is copied and never used.

    Attributes:
        home: its place.
        database: its PostgreSQL database's name; empty for SQLite, whose database is in the home.
    """

    home: Path
    database: str


class FoundedTemplates:
    """Makes a template when it is first asked for.

    Args:
        directory: where they are.
        server: gives the PostgreSQL server, for those who need it.
    """

    def __init__(self, directory: Path, server: Callable[[], PostgresServer]) -> None:
        self._directory = directory
        self._server = server
        self._made: dict[tuple[str, Fill], Template] = {}

    def template(
        self, kind: str, fill: Fill | None = None, *arguments: Any, founded: bool = True
    ) -> Template:
        """A home as it is founded, or after `fill`."""
        key = (kind, fill or found)
        if key not in self._made:
            begun = self.template(kind) if fill and founded else None
            home = self._directory / f"{kind}{len(self._made)}"
            if begun:
                template = self.copy(begun, home)
                self._run(fill, enrolled_world(), home, *arguments)
            else:
                template, url = self._empty(kind, home)
                if fill:
                    self._run(fill, enrolled_world(), home, url, *arguments)
                else:
                    world, settings = World(), {"database_url": url} if template.database else {}
                    self._run(found, world, write_home(world, home, **settings))
            self._made[key] = template
        return self._made[key]

    def copy(self, template: Template, home: Path) -> Template:
        """A copy of one's own at another place; to be dropped."""
        shutil.copytree(template.home, home)
        path = home / "broker.toml"
        settings = path.read_text().replace(str(template.home), str(home))
        name = ""
        if template.database:
            name = f"t{uuid4().hex}"
            url = self._server().create_database(name, template.database)
            settings = settings.replace(self._server().url(template.database), url)
        path.write_text(settings)
        return Template(home, name)

    def drop(self, copied: Template) -> None:
        """Delete the database of a copy."""
        if copied.database:
            self._server().drop_database(copied.database)

    def _empty(self, kind: str, home: Path) -> tuple[Template, str]:
        if kind == "sqlite":
            return Template(home, ""), f"sqlite:///{home}/broker.sqlite3"
        name = f"founded{len(self._made)}"
        return Template(home, name), self._server().create_database(name)

    @staticmethod
    def _run(fill: Fill, *arguments: Any) -> None:
        done = fill(*arguments)
        if inspect.iscoroutine(done):
            # In a thread, since the test that asks may be in a loop of its own.
            with ThreadPoolExecutor(1) as aside:
                aside.submit(asyncio.run, done).result()


@pytest.fixture(scope="session")
def founded_templates(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> FoundedTemplates:
    """Homes in which the usual world is founded; tests copy them, since founding takes a second."""
    return FoundedTemplates(
        tmp_path_factory.mktemp("founded"), lambda: request.getfixturevalue("postgres_server")
    )


@pytest.fixture
def grown(
    founded_templates: FoundedTemplates,
    database_kind: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Iterator[Callable[..., Path]]:
    """Gives homes of one's own in which something has happened already; see `Fill`."""
    if database_kind == "postgresql":
        # First, so that it outlives the databases.
        request.getfixturevalue("postgres_server")
    made: list[Template] = []

    def grow(fill: Fill | None = None, name: str = "home", *arguments: Any, founded: bool = True) -> Path:
        template = founded_templates.template(database_kind, fill, *arguments, founded=founded)
        made.append(founded_templates.copy(template, tmp_path / name))
        return made[-1].home

    yield grow
    for copied in made:
        founded_templates.drop(copied)


@pytest.fixture
def home(grown: Callable[..., Path]) -> Path:
    """A founded home of one's own, on either database."""
    return grown()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_api(
    request: pytest.FixtureRequest,
    founded_templates: FoundedTemplates,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ApiClient]:
    """A client of a broker that the tests of a module share: what they ask for changes nothing."""
    template = founded_templates.template(request.param)
    copied = founded_templates.copy(template, tmp_path_factory.mktemp("shared") / "home")
    broker = HttpBroker(enrolled_world(), copied.home).start()
    client = broker.client()
    yield client
    client.close()
    broker.stop()
    founded_templates.drop(copied)
