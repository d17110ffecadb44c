"""A load with faults and a verdict: `actors stress` of this checkout, with the same options."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from actors.cli.app import main

if __name__ == "__main__":
    main(["stress", *sys.argv[1:]])
