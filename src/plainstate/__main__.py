"""`python -m plainstate` is the `plainstate` command."""

import sys

from plainstate.cli.app import main

sys.exit(main())
