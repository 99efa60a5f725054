"""`python -m bartizan.node`."""

import sys

from bartizan.node.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
