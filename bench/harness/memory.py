"""Memory of processes, as Linux counts it."""
import os
import pathlib
import threading

PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(pid):
    """A process and all below it: pid -> resident bytes."""
    found, waiting = {}, [pid]
    while waiting:
        one = waiting.pop()
        try:
            found[one] = int(pathlib.Path(f"/proc/{one}/statm").read_text().split()[1]) * PAGE
            for task in pathlib.Path(f"/proc/{one}/task").iterdir():
                waiting += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return found


def resident(pid):
    return sum(tree(pid).values())


class Peak:
    """The most that a process and all below it held while the block ran, looked at every 20 ms."""

    def __init__(self, pid):
        self.pid, self.bytes, self.done = pid, 0, threading.Event()

    def watch(self):
        while True:
            self.bytes = max(self.bytes, resident(self.pid))
            if self.done.wait(0.02):
                return

    def __enter__(self):
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
