"""A broker that does everything its keys let it do, against real clients: one test an act."""
