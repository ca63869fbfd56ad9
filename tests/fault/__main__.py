"""``python -m tests.fault`` from the checkout's root: see runner.py and docs/reliability.md."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from fault.runner import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
