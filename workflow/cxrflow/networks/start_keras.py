"""Import Keras, and TensorFlow with it, without the messages that TensorFlow prints whenever it is loaded.

TensorFlow's libraries print them before they read TF_CPP_MIN_LOG_LEVEL. A stage imports this module before any module that
imports Keras. Warnings and errors are passed on, even if the process ends early.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Such as "I0000 00:00:1700000000.000000 123 port.cc:153] oneDNN custom operations are on", and their continuation lines.
START_UP_LINE = (
    rb"I\d{4} [\d:.]+ +\d+ [\w./]+:\d+\] |WARNING: All log messages before absl::InitializeLog\(\)|"
    rb"To enable the following instructions: "
)
FILTER = """
import re, sys
for line in sys.stdin.buffer:
    if not re.match(sys.argv[1].encode(), line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""


@contextmanager
def without_start_up_lines() -> Iterator[None]:
    """Filter these messages from the standard error of this process and its libraries."""
    sys.stderr.flush()
    before = os.dup(2)
    command = [sys.executable, "-I", "-S", "-c", FILTER, START_UP_LINE.decode()]
    # In a separate session, so that Ctrl-C does not end the filter before the last messages of this process.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=before, start_new_session=True) as passing_on:
        assert passing_on.stdin is not None
        os.dup2(passing_on.stdin.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)


if "keras" not in sys.modules:
    with without_start_up_lines():
        import keras  # noqa: F401
