"""Ctrl-C and SIGTERM are noted, and answered between two steps."""

import signal
import threading
from contextlib import contextmanager


class Signals:
    """`with signals.watch():` notes SIGINT and SIGTERM in `asked`; a second one raises KeyboardInterrupt at once."""

    asked = None

    @contextmanager
    def watch(self, wanted: bool = True):
        """Does nothing where it is not wanted, or outside the main thread, where signals cannot be watched."""
        self.asked = None
        if not wanted or threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number, frame):
            if self.asked is not None:
                raise KeyboardInterrupt
            self.asked = number

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
