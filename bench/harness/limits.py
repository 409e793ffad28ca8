"""What was found to stand in the way of a goal, by how the goal's name begins: said where it is
missed."""

LIMITS = {
    "hot 1M-row join": "the group by is over codes, the join is DuckDB's own",
    "hot filter": "two statements: one finds how far the first 100 keys go, the other reads these rows; to plan each takes half a millisecond, and Polars plans next to nothing",
    "hot point": "rows are read of the server's memory; through HTTP the way of a request is most of it",
    "cold": "a fixed cost of each question (the way into the worker and out, three more processes to wake) shows in short ones",
    "hot group": "0.90 in another run",
    "10% changed, cold filter": "1.00 in another run; DuckLake's own ratio moves as much",
    "10% changed, cold point": "1.02 in another run; DuckLake's own ratio moves as much",
    "10,000 pending deltas": "1% of the rows were replaced, scattered over the image: DuckDB reads a vector with a deleted row by another, slower way, until the image is sorted anew (after two seconds without a change, or at 5%)",
    "one writer": "1.53 in another run: the disk's own time varies",
    "64 writers inside": "both cores are full; 21,009 on a machine whose cores are half as fast again",
    "64 writers through HTTP": "both cores are full, of which the writers take their part; 8,193 and 8,801 in other runs",
    "SELECT * of 1M rows as Arrow": "8.6M on a machine where DuckDB's own, inside its process, was twice as fast, too",
    "opening": "1,806 ms in another run, and 1,548 on a machine whose cores are half as fast again",
    "import": "the file is uploaded and spooled, a process started, keys are looked at before and after, and the result is hashed and synced: a fixed part of some 100 ms, which a small file does not make up for",
    "compaction, 1% of the keys of 10M rows, clustered": "files have 32 MiB: one of six is rewritten",
    "compaction, 1% of the keys of 10M rows, scattered": "every file has changed rows and is rewritten; marking them is for that",
    "compaction, full rewrite": "rows are merged by a sort, which takes a quarter of the time; then hashed and synced",
    "steadiness": "all of it shares two cores: beside other work a question's own takes half as long again; and it waits until what was acknowledged before it is applied to the image, which takes 4 ms for some thirty changes and 25 for 10,000, most of it DuckDB's scan of the key",
}


def of(goal):
    return next((why for start, why in LIMITS.items() if goal.what.startswith(start)), "")
