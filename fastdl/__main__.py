"""`python -m fastdl` is the `fastdl` command."""

import sys

from fastdl_cli import main

sys.exit(main())
