"""The Countermark protocol: what both sides must agree on, byte for byte."""
