"""The quick bench: every figure beside what the machine could do at most, in one run. See bench/README.md."""
