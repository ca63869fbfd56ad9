"""``python -m countermark_witness.cli``."""

from countermark_witness.cli import main

if __name__ == "__main__":
    main()
