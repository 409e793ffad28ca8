"""The words of the report."""

HEAD = """# Performance

tarn beside what one could pick instead, measured by `make peers`, which wrote this page on
{days}. [figures.json](performance/figures.json) has every figure. To make it again on
your machine: `make peers`, or `bench/run --help`; [bench/README.md](../bench/README.md)
says how it is built.

| | |
|---|---|
| machine | {cpu}, {cores} cores, {memory} of memory, {system} |
| tarn | {tarn} |
| peers | {versions} |
| data | the staffing set of `tarn demo` at scale {scale} (1: 1,000,000 timesheets, 100,000 candidates); TPC-H at scale factor {tpch} by tpchgen-cli; 3,000,000 real flights of vega-datasets |
| runs | {rounds} of each question, {slow_rounds} of what takes longer, after some that warm up |

**How it is measured.** Each system is a process of its own with its own settings, and so
all cores. All are asked the same in turns, A B C A B C, each round beginning with another
one. Times are medians, p10 and p90 the spread. A ratio is the median of the ratios of each
round, so what else the machine does touches both sides of it.

A peer's time is from the call of its library to the last value of the result in memory,
inside its process: in the form that it gives fastest for few rows (DuckDB and DuckLake rows
of Python values, Polars a frame, the others Arrow). tarn's is through HTTP by a client, from the request to the last byte of
an Arrow stream over a kept connection, so the server, the way into its worker and a client
in Python (some tenths of a millisecond) count against it. What tarn takes inside its
process is in a section of its own. Every question carries `Cache-Control: no-cache`, so
that it is worked out anew; only *asked again* may have the answer that the server kept. A
row by its key of a hot dataset is found among its rows in the server's memory, which are
held there after the rounds that warm up; the peers have theirs in memory, too.

**Answers are compared**: in each round all systems must give the same number of rows and
the same digest, which does not depend on their order (numbers count to 9 digits). After
upserts each system must hold what it was sent. A difference ends the run. A hot answer
that did not come from memory, or a cold one that did, ends it too.

*Best peer*: the one with the least median in the same place: from files for tarn cold, in
memory for tarn hot and for what is asked again.
"""

TITLES = {
    "inside": ("Inside the process", "From the engine's call to the last batch, by `tarn bench` ([BENCH.md](BENCH.md)): a run of "
               "its own with DuckDB 1.5.6, the library that tarn links, beside it. Ratios are of DuckDB's `read_parquet` on the "
               "files that tarn wrote (cold), and of its table in memory (hot)."),
    "staffing": ("Five questions", "The staffing data, from Parquet files (grey), in memory (blue), and tarn (orange)."),
    "changed": ("10% of the rows changed", "Every tenth row of both tables was upserted in ten batches over the whole table, and "
                "nothing is compacted. tarn's hot datasets were hot when they changed."),
    "upserts": ("Upserts", "Existing timesheets, whole rows, scattered over the table, one request at a time; durable when "
                "answered. tarn through HTTP on a dataset in memory; DuckLake and delta-rs by MERGE, PyIceberg by its upsert, "
                "each with the batch as an Arrow table."),
    "memory": ("Memory", "Timesheets and candidates in a fresh process: what it holds more with them than without."),
    "tpch": ("TPC-H", "q1, q3, q6 and q18."),
    "flights": ("Real flights", "Two questions over flights that happened, 3,000,000 rows without a key."),
    "results": ("Large results", "SELECT * through HTTP to a client that reads in pieces of 1 MB. The most that was held is of "
                "the server and its worker together, looked at every 20 ms."),
    "imports": ("Import", "A Parquet file is uploaded and becomes a dataset: written, its keys checked, synced, committed. Beside it "
                "DuckDB's COPY from the file to another, which checks and syncs nothing and uses all cores."),
    "compaction": ("Compaction", "A keyed dataset of 10,000,000 timesheets of which some were upserted, nothing in memory: the time "
                   "of the call that compacts. A *full rewrite* is what a hundred changed keys all over the table ask for: every "
                   "file of the base is written again, which is checked. *Rows marked* is with `compact_dead_share` "
                   "0.3: position deletes instead of files that are written again. Beside it DuckDB's COPY of the same rows from a Parquet "
                   "file to another, which merges, checks and syncs nothing and uses all cores; so do tarn's jobs after a second in which nobody asks, which is waited for here."),
    "steadiness": ("Steadiness", "One client asks the five questions of a server that has the staffing data in memory, in turn, one each "
                   "20 ms (one that is late is asked at once). Quiet phases, in which nothing else runs, and busy ones take turns: "
                   "*compacting*, every hundredth timesheet is upserted and the dataset compacted, over and over; *importing*, the "
                   "timesheets' file is imported as another dataset and dropped, over and over; *under changes*, ten connections "
                   "upsert a thousand single timesheets a second. Client, server, worker, job, and the driver that makes the other "
                   "work share the machine's cores."),
    "deltas": ("Many pending deltas", "The same questions with one and with many deltas waiting for compaction, and how long a lake "
               "takes to open."),
    "curves": ("How costs grow", "Time and memory against what there can be many of: rows (timesheets, and a tenth as many candidates), "
               "columns, datasets, files, pending deltas, clients. Dashed: how a perfect system would grow from tarn's first point on. "
               "Work goes in proportion to the rows that it needs, memory in proportion to the values held; columns that a question does "
               "not name, other datasets, files and pending deltas cost nothing; clients get more until all cores work, then wait."),
    "scale": ("Scale", "lineitem of TPC-H at scale factor 10 (60,000,000 rows; key: order and line), imported, changed and compacted, "
              "one round, one system after the other, each in a process of its own. The batches are Parquet files, whole orders "
              "scattered over the table: an upsert of 1% of the rows, a tenth of them new, an insert of 5% and an update of 5%, then the same "
              "three with other rows, then compaction, and before and after it counts and sums, in which all must agree with what was sent, to the last digit."),
}

AFTER = {
    "curves": "The columns are BIGINT, DOUBLE and VARCHAR in turn, of 100,000 rows, imported with `--job-memory-bytes 3GB`. A dataset has 1,000 rows; one of them is asked and in memory. "
              "The rows of the files have no key. Every pending delta is one changed row. Clients and server share the cores. "
              "A hundred million timesheets are joined with ten million candidates: DuckDB's join by an array, for whole numbers in a range, ends at a "
              "million, and its hash table no longer fits into the processor's cache. A point is asked for 14 times, and the rows of a million candidates "
              "are held in the server after 30 reads by key, of ten million after 300: until then the worker answers.",
    "scale": "tarn runs with `--no-compact-auto --cache-size 500MB --query-memory-bytes 3GB --large-delta-bytes 16MB`, everything else as it comes, and takes a batch as one request, checked, merged by key and synced; "
             "its memory is that of server, worker and job together. DuckLake imports by CREATE TABLE AS, inserts by INSERT and updates and upserts by MERGE; its compaction "
             "is ducklake_rewrite_data_files (delete_threshold 0), ducklake_merge_adjacent_files, ducklake_expire_snapshots and "
             "ducklake_cleanup_old_files. delta-rs imports and inserts by write_deltalake, updates and upserts by MERGE, which rewrites the files that it touches, and compacts by optimize.compact, "
             "which is held against nobody where it had nothing to do; "
             "files that it no longer needs are vacuumed after each step, outside of the times. Neither checks on insert whether a key exists. A step may take 10 minutes and 12 GB.",
    "compaction": "1% of the keys are 100,000: in one range, which is in another place of the table each round, or every hundredth key. "
                  "After each compaction all rows were there, and the changed ones, no others, had their new values.",
    "steadiness": "Each figure is the median of those of the rounds. *all five*: each time divided by the median that the same question "
                  "had in the quiet phase before. What is upserted are rows as they are, so that the answers before and after must be "
                  "the same. The server does not compact by itself; what is pending is folded after each phase.",
    "staffing": "`DuckDB 1.5, tarn's files` reads the files that tarn wrote; all other files are those of the data's maker. "
                "chdb's MergeTree tables are files in the system's cache, ordered by key.",
    "upserts": "0.1% and 1% of the rows are 1,000 and 10,000 at scale 1. The writers of one row each have a connection and wait "
               "for their answer; DuckLake's writers are connections in one process, and a conflict is tried again. "
               "Nothing is compacted meanwhile, in any system.",
}

LEFT_OUT = [
    "DataFusion and delta-rs are asked for avg of a DOUBLE instead of a DECIMAL, as their avg of a DECIMAL has few digits.",
    "Polars is asked in its SQL, not by its frames.",
    "PyIceberg takes part in a third of the rounds, as it is slow.",
    "Not measured: cold page cache, object stores, more than one table format on the same files.",
]
