"""What a process holds for the timesheets and candidates: resident before it has them,
with them, and after the five questions."""
import entrants
import memory
import queries
from data import tables

HOLDERS = [(kind, mode, name) for kind, mode, name, place in entrants.PEERS if place == "memory"]


def measure(lab):
    files, facts = lab.data.staffing(), []
    for kind, mode, name in HOLDERS:
        with lab.section():
            lab.say(f"memory: {name}")
            peer = lab.peer(kind)
            before = peer.call("rss")["bytes"]
            peer.call("setup", dir=str(lab.folder(kind)), tables=tables(files), mode=mode)
            held = peer.call("rss")["bytes"]
            ask(peer, kind)
            facts += report(name, before, held, peer.call("rss")["bytes"])
    with lab.section():
        facts += of_tarn(lab, files)
    return {"lines": [], "facts": facts}


def ask(peer, kind):
    for sql in queries.STAFFING.values():
        peer.call("run", sql=queries.text(sql, kind))


def of_tarn(lab, files):
    lab.say("memory: tarn")
    server = lab.server("--no-compact-auto")
    entrants.bring_in(server, files)
    client = lab.peer("tarn", server)
    before = memory.resident(server.process.pid)
    for name in files:
        server.pin(name)
    held = memory.resident(server.process.pid)
    ask(client, "tarn")
    after = memory.resident(server.process.pid)
    images = sum(d["bytes"] for d in server.stats()["datasets"])
    return report("tarn (server and worker)", before, held, after) + [
        {"what": "counted by the cache", "system": "tarn (server and worker)", "value": images / 1e6, "unit": "MB"}]


def report(name, before, held, after):
    return [{"what": what, "system": name, "value": bytes / 1e6, "unit": "MB"} for what, bytes in [
        ("resident without the rows", before), ("resident with the rows", held), ("resident after five questions", after),
        ("held (RSS)", held - before)]]
