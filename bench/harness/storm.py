"""Many writers over HTTP from one thread: each has a connection of its own and waits for
its answer before it sends its next request. Python's HTTP client would be slower than the
server, so the requests are made beforehand and of an answer only status and end are read."""
import json
import selectors
import socket
import time

import stats


DIFFERENT = 10  # requests of each writer, sent over and over


def keys(lab, writers, rows, different=DIFFERENT):
    """writer -> request -> existing keys, scattered, no key twice."""
    every = max(1, lab.data.timesheets() // (writers * different * rows))
    return [[[((i * different + d) * writers + w) * every + 1 for i in range(rows)] for d in range(different)] for w in range(writers)]


def bodies(lab, writers, rows, different=DIFFERENT):
    """writer -> request -> NDJSON of whole timesheets."""
    own = keys(lab, writers, rows, different)
    found = {row["timesheet_id"]: json.dumps(row).encode()
             for row in whole(lab, lab.data.staffing()["timesheets"], [k for w in own for request in w for k in request])}
    return [[b"\n".join(found[k] for k in request) for request in w] for w in own]


def whole(lab, base, own):
    listed = ", ".join(map(str, own))
    out = base.with_name("storm.json")
    lab.data.maker().call("execute", sql=f"COPY (SELECT * REPLACE (hours_regular::VARCHAR AS hours_regular, hours_overtime::VARCHAR AS hours_overtime, "
                          f"bill_rate::VARCHAR AS bill_rate, pay_rate::VARCHAR AS pay_rate) FROM read_parquet('{base}') "
                          f"WHERE timesheet_id IN ({listed})) TO '{out}' (FORMAT json)")
    found = [json.loads(line) for line in out.read_text().splitlines()]
    out.unlink()
    return found


class Writer:
    HEADERS = "Content-Type: application/x-ndjson\r\n"

    def __init__(self, address, path, bodies):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.requests, self.sent = [self.text(address, path, body) for body in bodies], 0
        self.got = b""

    @classmethod
    def text(cls, address, path, body):
        return f"POST {path} HTTP/1.1\r\nHost: {address}\r\n{cls.HEADERS}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def send(self):
        self.began = time.perf_counter()
        self.socket.sendall(self.requests[self.sent % len(self.requests)])
        self.sent += 1

    def receive(self):
        """Read what is there; true once the answer is whole."""
        piece = self.socket.recv(65536)
        if not piece:
            raise RuntimeError("the server closed a connection")
        self.got += piece
        end = self.got.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = self.got[:end].lower()
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(f"a writer was answered {self.got[:500]!r}")
        at = head.find(b"content-length:")
        # A last chunk is empty; trailers may follow.
        whole = (b"\r\n0\r\n" in self.got[-500:] and self.got.endswith(b"\r\n\r\n")) if at < 0 else (
            len(self.got) >= end + 4 + int(head[at + 15:].split(b"\r\n", 1)[0]))
        if whole:
            self.got = b""
        return whole


def run(address, path, requests, seconds, kind=Writer):
    """A writer for each list of bodies, all at once, for so long."""
    writers, ready = connected(kind, address, path, requests)
    took, waiting = [], len(writers)
    began = time.perf_counter()
    for w in writers:
        w.send()
    while waiting:
        for event, _ in ready.select(60) or stuck():
            w = event.data
            if not w.receive():
                continue
            now = time.perf_counter()
            took.append((now - w.began) * 1000)
            if now - began < seconds:
                w.send()
            else:
                waiting -= 1
    return summed(writers, took, time.perf_counter() - began)


def paced(address, path, requests, per_s, done):
    """A writer for each list of bodies, so many requests a second in all until done is set:
    evenly and the writers in turn. One that still waits for its answer sends when it has it."""
    writers, ready = connected(Writer, address, path, requests)
    took, waiting = [], set()
    began = time.perf_counter()
    due = {w: began + i / per_s for i, w in enumerate(writers)}
    while waiting or not done.is_set():
        now = time.perf_counter()
        for w in [w for w in due if due[w] <= now and w not in waiting and not done.is_set()]:
            w.send()
            waiting.add(w)
            due[w] += len(writers) / per_s
        pause = max(0, min((due[w] for w in due if w not in waiting), default=now + 60) - now)
        for event, _ in ready.select(pause):
            w = event.data
            if w.receive():
                took.append((time.perf_counter() - w.began) * 1000)
                waiting.remove(w)
    return summed(writers, took, time.perf_counter() - began)


def connected(kind, address, path, requests):
    """A writer for each list of bodies, and what says who has an answer."""
    writers, ready = [kind(address, path, bodies) for bodies in requests], selectors.DefaultSelector()
    for w in writers:
        ready.register(w.socket, selectors.EVENT_READ, w)
    return writers, ready


def summed(writers, took, spent):
    for w in writers:
        w.socket.close()
    return {"per_s": len(took) / spent, "p50_ms": stats.quantile(took, 0.5), "p99_ms": stats.quantile(took, 0.99), "requests": len(took)}


def stuck():
    raise RuntimeError("no writer was answered for a minute")


def one_by_one(address, path, rows):
    """A request for each row, the next when the last was answered: a delta each."""
    writer = Writer(address, path, [json.dumps(row).encode() for row in rows])
    for _ in rows:
        writer.send()
        while not writer.receive():
            pass
    writer.socket.close()
