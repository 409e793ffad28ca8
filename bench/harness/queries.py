"""The questions. {timesheets} and the like stand for the tables, {key} for another
candidate in each round. Where a system needs other words for the same, it has a text of
its own; the report says so."""

STAFFING = {
    "join": "select c.city, t.status, count(*) as n, sum(t.hours_regular*t.bill_rate) as billed, avg(c.pay_rate) as pay "
            "from {timesheets} t join {candidates} c on c.candidate_id=t.candidate_id group by c.city, t.status",
    "join, one row": "select count(*) as n, sum(t.hours_regular*t.bill_rate) as billed, min(c.pay_rate) as least "
                     "from {timesheets} t join {candidates} c on c.candidate_id=t.candidate_id where c.years > 3",
    "filter": "select * from {candidates} where state='CA' and status='active' and years>=5 order by candidate_id limit 100",
    "point": "select * from {candidates} where candidate_id = {key}",
    "group": "select status, count(*) as n, sum(hours_regular) as hours from {timesheets} group by status",
}

WHAT = {
    "join": "1M timesheets joined with 100,000 candidates, grouped by two texts",
    "join, one row": "the same join, filtered, one row out",
    "filter": "100 of 100,000 candidates by three conditions, in order",
    "point": "one candidate by its key, another in each round",
    "group": "1M timesheets grouped by a text",
}

TPCH = {
    "q1": "select l_returnflag, l_linestatus, sum(l_quantity) as q, sum(l_extendedprice) as p, "
          "sum(l_extendedprice * (1 - l_discount)) as d, sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) as c, "
          "avg(l_quantity) as aq, avg(l_extendedprice) as ap, avg(l_discount) as ad, count(*) as n from {lineitem} "
          "where l_shipdate <= date '1998-09-02' group by l_returnflag, l_linestatus order by l_returnflag, l_linestatus",
    "q3": "select l_orderkey, sum(l_extendedprice * (1 - l_discount)) as revenue, o_orderdate, o_shippriority "
          "from {customer} join {orders} on c_custkey = o_custkey join {lineitem} on l_orderkey = o_orderkey "
          "where c_mktsegment = 'BUILDING' and o_orderdate < date '1995-03-15' and l_shipdate > date '1995-03-15' "
          "group by l_orderkey, o_orderdate, o_shippriority order by revenue desc, o_orderdate limit 10",
    "q6": "select sum(l_extendedprice * l_discount) as revenue from {lineitem} where l_shipdate >= date '1994-01-01' "
          "and l_shipdate < date '1995-01-01' and l_discount between 0.05 and 0.07 and l_quantity < 24",
    "q18": "select c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice, sum(l_quantity) as q "
           "from {customer} join {orders} on c_custkey = o_custkey join {lineitem} on o_orderkey = l_orderkey "
           "where o_orderkey in (select l_orderkey from {lineitem} group by l_orderkey having sum(l_quantity) > 300) "
           "group by c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice order by o_totalprice desc, o_orderdate limit 100",
}

FLIGHTS = {
    "delay by route": "select origin, destination, count(*) as n, avg(delay) as late, max(distance) as far "
                      "from {flights} group by origin, destination",
    "late and far": "select origin, count(*) as n, sum(delay) as late from {flights} "
                    "where delay > 60 and distance > 1000 group by origin",
}

# avg of a DECIMAL is a DECIMAL of few digits in these; it is asked for as a DOUBLE.
AVG = {"avg(c.pay_rate)": "avg(cast(c.pay_rate as double))", "avg(l_quantity)": "avg(cast(l_quantity as double))",
       "avg(l_extendedprice)": "avg(cast(l_extendedprice as double))", "avg(l_discount)": "avg(cast(l_discount as double))"}
WORDS = {"datafusion": AVG, "delta": AVG}


def text(sql, kind, prefix="", key=1):
    """A question for a kind of system; prefix is the namespace of the rows."""
    for word, other in WORDS.get(kind, {}).items():
        sql = sql.replace(word, other)
    for table in ("timesheets", "candidates", "lineitem", "orders", "customer", "flights"):
        sql = sql.replace("{" + table + "}", prefix + table)
    return sql.replace("{key}", str(key))


def key(n, rows):
    """The key that round n asks for: spread over the table."""
    return n * 7919 % rows + 1
