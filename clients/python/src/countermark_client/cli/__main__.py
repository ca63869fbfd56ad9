"""``python -m countermark_client.cli``."""

from countermark_client.cli import main

main(prog_name="countermark")
