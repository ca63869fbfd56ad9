"""``python -m countermark_broker.cli``."""

from countermark_broker.cli import main

main(prog_name="countermark-broker")
