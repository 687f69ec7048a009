"""`python -m bench ...` is `fastdl bench ...`."""

import sys

from fastdl_cli import main

sys.exit(main(["bench", *sys.argv[1:]]))
