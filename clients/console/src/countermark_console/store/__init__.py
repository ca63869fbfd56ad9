"""The agency's own store: SQLite by default, PostgreSQL by URL. SQLAlchemy Core; no ORM."""
