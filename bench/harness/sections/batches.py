"""The rows that upserts send: existing keys, scattered over the table, no key twice."""

SIZES = ["1 row", "0.1% of the rows", "1% of the rows"]  # of 1,000,000: 1; 1,000; 10,000


def make(lab, number, slot):
    """The Parquet file of a size's batch: slot is another for each request, below 90."""
    rows = lab.data.timesheets()
    keys = [f"timesheet_id = {slot * 7919 % (rows // 100) * 100 + 99}",
            f"timesheet_id % 1000 = {slot // 9 * 100 + 90 + slot % 9}",
            f"timesheet_id % 100 = {slot}"][number]
    return write(lab, f"batch-{number}-{slot}", keys)


def of_keys(lab, name, keys):
    return write(lab, name, f"timesheet_id in ({', '.join(map(str, keys))})")


def write(lab, name, where):
    base = lab.data.staffing()["timesheets"]
    return lab.data.write(f"SELECT * REPLACE ((hours_regular + 0.25)::DECIMAL(5,2) AS hours_regular) FROM read_parquet('{base}') WHERE {where}",
                          base.with_name(f"{name}.parquet"))
