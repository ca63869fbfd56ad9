"""Who works at the console: accounts, roles, second factors, sessions."""
