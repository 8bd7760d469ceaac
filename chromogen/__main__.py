"""`python -m chromogen` is the command `chromogen`; torchrun needs it."""

import sys

from chromogen.cli import main

if __name__ == "__main__":
    sys.exit(main())
