"""The log: one routine appends, one publishes; recovery after a crash is the same routine."""
