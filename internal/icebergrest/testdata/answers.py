"""Asks engines the queries of the real-input test, and holds their answers against tarn's.

An engine is a function from a query to its answer as an Arrow table. A query is a dict of
its name, its text in tarn's dialect (sql), and what it is in Spark's (spark) and in Trino's
(trino): its text (sql), and hashed: whether they give the rows of a table alone, which are
hashed here."""

import decimal
import os
from concurrent.futures import ThreadPoolExecutor

from engines import chdb_attached, duckdb_attached, polars_storage, pyiceberg


def plain(x):
    if isinstance(x, (int, float, decimal.Decimal)) and not isinstance(x, bool):
        return "%.9g" % x
    if isinstance(x, (list, tuple)):
        return [plain(y) for y in x]
    if isinstance(x, dict):
        return {k: plain(y) for k, y in x.items()}
    return str(x)


def bag(table):
    return sorted(str([plain(v) for v in row.values()]) for row in table.to_pylist())


def difference(mine, theirs):
    a, b = bag(mine), bag(theirs)
    if len(a) != len(b):
        return "%d rows, and tarn has %d" % (len(a), len(b))
    return next(("%s, and tarn has %s" % pair for pair in zip(a, b) if pair[0] != pair[1]), "")


def tarns(folder, i):
    """tarn's own answer to the i-th query."""
    import pyarrow

    with pyarrow.ipc.open_stream(os.path.join(folder, "%d.arrow" % i)) as f:
        return f.read_all()


def differences(ask, queries, folder, only=None, at_once=1):
    """What an engine answers otherwise than tarn, a text a query. only: the names of the
    queries to ask."""

    def differs(i):
        try:
            what = difference(ask(queries[i]), tarns(folder, i))
        except Exception as e:
            what = "%s: %s" % (type(e).__name__, str(e)[:1000])
        return what and "%s: %s" % (queries[i]["name"], what)

    asked = [i for i, query in enumerate(queries) if only is None or query["name"] in only]
    if at_once == 1:
        return [what for what in map(differs, asked) if what]
    with ThreadPoolExecutor(at_once) as pool:
        return [what for what in pool.map(differs, asked) if what]


def refused(ask, queries):
    """The names of the queries that an engine does not take."""
    names = []
    for query in queries:
        try:
            ask(query)
        except Exception:
            names.append(query["name"])
    return names


def by_duckdb(uri, **more):
    con = duckdb_attached(uri, **more)
    con.execute("USE lake.main")
    return lambda query: con.sql(query["sql"]).to_arrow_table()


def by_rows(tables):
    """DuckDB without tarn, over tables that another engine read."""
    import duckdb

    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    for name, rows in tables.items():
        con.register(name, rows)
    return lambda query: con.sql(query["sql"]).to_arrow_table()


def by_pyiceberg(uri, names, **more):
    cat = pyiceberg(uri, **more)
    return by_rows({n: cat.load_table("main." + n).scan().to_arrow() for n in names})


def by_pandas(uri, names, **more):
    import pyarrow

    def read(table):
        frame = table.scan().to_pandas()  # a column of integers with nulls is one of floats
        return pyarrow.Table.from_pandas(frame, schema=table.schema().as_arrow(), preserve_index=False)

    cat = pyiceberg(uri, **more)
    return by_rows({n: read(cat.load_table("main." + n)) for n in names})


def polars_scans(uri, names, s3=None, **more):
    import polars

    cat = pyiceberg(uri, s3=s3, **more)
    return {n: polars.scan_iceberg(cat.load_table("main." + n), storage_options=polars_storage(s3)) for n in names}


def by_polars(uri, names, **more):
    """The rows that polars reads."""
    return by_rows({n: scan.collect().to_arrow() for n, scan in polars_scans(uri, names, **more).items()})


def by_polars_sql(uri, names, **more):
    """polars' own SQL."""
    import polars

    context = polars.SQLContext(polars_scans(uri, names, **more))
    return lambda query: context.execute(query["sql"]).collect().to_arrow()


def by_spark(spark, names):
    for name in names:
        spark.sql("REFRESH TABLE " + name)

    return lambda query: in_dialect(query, query["spark"], lambda sql: spark.sql(sql).toArrow())


def by_trino(trino):
    """It loads the tables for each query."""
    return lambda query: in_dialect(query, query["trino"], trino.ask)


def in_dialect(query, spelled, ask):
    """The answer of an engine with a dialect of its own."""
    import duckdb

    rows = ask(spelled["sql"])
    if not spelled["hashed"]:
        return rows
    with duckdb.connect() as con:
        con.register(spelled["sql"].split()[-1], rows)
        return con.sql(query["sql"]).to_arrow_table()


def by_chdb(uri, names, **more):
    import pyarrow

    s = chdb_attached(uri, **more)
    for name in names:
        s.query("CREATE OR REPLACE VIEW %s AS SELECT * FROM lake.`main.%s`" % (name, name))
    return lambda query: pyarrow.ipc.open_file(pyarrow.py_buffer(s.query(query["sql"], "Arrow").bytes())).read_all()


def by_scans(uri, names, **more):
    """PyIceberg with filter and columns pushed down."""
    cat = pyiceberg(uri, **more)
    return lambda query: cat.load_table("main." + query["table"]).scan(row_filter=query["filter"], selected_fields=tuple(query["fields"])).to_arrow()
