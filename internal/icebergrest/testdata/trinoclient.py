"""Asks a Trino by its protocol, of JSON over HTTP, and gives its answer as an Arrow table."""

import datetime
import decimal
import time


def trino_attached(name, url, uri, token="", s3=None):
    """A session of the Trino at url, with a catalog by a name that it has not yet. After its
    start it takes a while until it finds itself."""
    options = {
        "iceberg.catalog.type": "rest",
        "iceberg.rest-catalog.uri": uri,
        "iceberg.extended-statistics.collect-on-write": "false",
    }
    if token:
        options |= {"iceberg.rest-catalog.security": "OAUTH2", "iceberg.rest-catalog.oauth2.token": token}
    if s3:
        options |= {
            "fs.native-s3.enabled": "true",
            "s3.endpoint": s3["url"],
            "s3.path-style-access": "true",
            "s3.aws-access-key": s3["key"],
            "s3.aws-secret-key": s3["secret"],
            "s3.region": s3["region"],
        }
    else:
        options |= {"fs.native-local.enabled": "true", "local.location": "/"}
    trino = Trino(url, name)
    while not trino.ask("SELECT count(*) FROM system.runtime.nodes").column(0)[0].as_py():
        time.sleep(0.05)
    trino.ask("CREATE CATALOG %s USING iceberg WITH (%s)" % (name, ", ".join("\"%s\" = '%s'" % o for o in options.items())))
    return trino


class Trino:
    """A session, in UTC. Trino plans all steps that a recursion may have."""

    def __init__(self, url, catalog):
        import requests

        self.url = url
        self.http = requests.Session()
        self.http.headers.update({
            "Accept-Encoding": "identity",
            "X-Trino-User": "reader",
            "X-Trino-Catalog": catalog,
            "X-Trino-Schema": "main",
            "X-Trino-Time-Zone": "UTC",
            "X-Trino-Session": "max_recursion_depth=3",
        })

    def ask(self, sql):
        columns, rows = None, []
        reply = self.http.post(self.url + "/v1/statement", data=sql.encode())
        while True:
            reply.raise_for_status()
            page = reply.json()
            if "error" in page:
                raise RuntimeError("%(errorName)s: %(message)s" % page["error"])
            columns = page.get("columns", columns)
            rows += page.get("data", [])
            if "nextUri" not in page:
                return table(columns or [], rows)
            reply = self.http.get(page["nextUri"])


def table(columns, rows):
    import pyarrow

    arrays = []
    for i, column in enumerate(columns):
        kind, value = arrow_type(column["typeSignature"])
        arrays.append(pyarrow.array([None if row[i] is None else value(row[i]) for row in rows], kind))
    return pyarrow.table(arrays, names=[column["name"] for column in columns])


def arrow_type(signature):
    """A type of Trino's: Arrow's, and what makes a value of its JSON."""
    import pyarrow as pa

    name, arguments = signature["rawType"], [a["value"] for a in signature["arguments"]]

    def same(v):
        return v

    simple = {
        "boolean": (pa.bool_(), same),
        "integer": (pa.int32(), same),
        "bigint": (pa.int64(), same),
        "real": (pa.float32(), float),
        "double": (pa.float64(), float),
        "varchar": (pa.string(), same),
        "date": (pa.date32(), datetime.date.fromisoformat),
        "timestamp": (pa.timestamp("us"), datetime.datetime.fromisoformat),
        "timestamp with time zone": (pa.timestamp("us", "UTC"), in_utc),
    }
    if name in simple:
        return simple[name]
    if name == "decimal":
        return pa.decimal128(*arguments), decimal.Decimal
    if name == "array":
        kind, value = arrow_type(arguments[0])
        return pa.list_(kind), lambda v: [or_none(value, x) for x in v]
    if name == "map":
        (of_key, key), (of_value, value) = map(arrow_type, arguments)
        return pa.map_(of_key, of_value), lambda v: [(key(k), or_none(value, x)) for k, x in v.items()]
    if name == "row":
        fields = [(a["fieldName"]["name"],) + arrow_type(a["typeSignature"]) for a in arguments]
        return pa.struct([f[:2] for f in fields]), lambda v: {f[0]: or_none(f[2], x) for f, x in zip(fields, v)}
    raise NotImplementedError("the type %s" % name)


def or_none(value, x):
    return None if x is None else value(x)


def in_utc(text):
    if not text.endswith(" UTC"):
        raise ValueError("not in UTC: " + text)
    return datetime.datetime.fromisoformat(text[:-4] + "+00:00")
