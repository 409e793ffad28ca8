"""How schemathesis writes bodies in the formats of rows: a text or bytes as they are,
any other value as a line of JSON."""

import json

import schemathesis


@schemathesis.serializer(
    "application/x-ndjson",
    "application/vnd.apache.arrow.stream",
    "application/vnd.apache.parquet",
)
def as_it_is(ctx, value):
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", errors="surrogatepass")
    return (json.dumps(value) + "\n").encode()
