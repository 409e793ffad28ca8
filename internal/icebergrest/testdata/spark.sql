-- The queries of the real-input test (internal/engine/testdata/real/queries.sql) that
-- Spark does not take as they are, in its dialect. A line "-- name" begins a query, the
-- next one says why it is another. What is not here runs in Spark as it does in tarn.
-- "hashed here" means that Spark gives the rows, and DuckDB beside it hashes them.

-- content of flights
-- hashed here: DuckDB's hash is its own
SELECT * FROM flights;

-- content of flights_log
-- hashed here: DuckDB's hash is its own
SELECT * FROM flights_log;

-- content of flights3m
-- hashed here: DuckDB's hash is its own
SELECT * FROM flights3m;

-- content of airports, airlines and planes
-- no REPLACE in a star; a text is a STRING
SELECT * FROM airports UNION ALL SELECT carrier, name, NULL, NULL, NULL, NULL, NULL, NULL FROM airlines
UNION ALL SELECT tailnum, manufacturer, try_cast(year AS INTEGER)::DOUBLE, seats, engines, NULL, engine, model FROM planes;

-- the latest three of each origin (ordered)
-- no QUALIFY
SELECT * FROM (
  SELECT origin, year, month, day, carrier, flight, dest, try_cast(dep_delay AS BIGINT) AS late,
    row_number() OVER latest AS nth, sum(distance) OVER latest AS so_far
  FROM flights
  WINDOW latest AS (PARTITION BY origin ORDER BY try_cast(dep_delay AS BIGINT) DESC NULLS LAST, year, month, day, carrier, flight, dest)
) WHERE nth <= 3
ORDER BY origin, nth;

-- rollup (ordered)
-- GROUPING of several columns is grouping_id
SELECT origin, carrier, grouping_id(origin, carrier) AS level, count(*) AS n, sum(distance) AS miles
FROM flights GROUP BY ROLLUP (origin, carrier) ORDER BY level, origin, carrier;

-- lists (ordered)
-- no ORDER BY within an aggregate; slice instead of [1:3]; size instead of len
SELECT carrier, sort_array(collect_set(dest)) AS places, slice(sort_array(collect_set(hour)), 1, 3) AS early,
  size(collect_list(flight)) AS n FROM flights GROUP BY carrier ORDER BY carrier;

-- structs and maps (ordered)
-- no :=, no {'c': c}, no ['a']: named_struct, array
SELECT origin, named_struct('first', min(time_hour), 'last', max(time_hour), 'n', count(*)) AS span,
  map('far', count(*) FILTER (WHERE distance >= 1000), 'near', count(*) FILTER (WHERE distance < 1000)) AS reach,
  sort_array(collect_set(named_struct('c', carrier, 'o', origin))) AS who
FROM flights GROUP BY origin ORDER BY origin;

-- regular expressions and text (ordered)
-- other names: regexp_like, split, whose second one is a regular expression
SELECT regexp_extract(tailnum, '^N([0-9]+)', 1) AS digits, upper(substr(lower(tailnum), 1, 2)) AS head, length(tailnum) AS len,
  replace(engine, '-', '_') AS e, split(model, '-') AS parts, concat_ws('/', type, speed) AS both
FROM planes WHERE regexp_like(model, '^[A-Z]+-?[0-9]+') AND manufacturer ILIKE '%bus%' ORDER BY tailnum;

-- names of places (ordered)
-- an order within an aggregate is WITHIN GROUP
SELECT tzone, string_agg(faa, ',') WITHIN GROUP (ORDER BY faa) AS codes, max(levenshtein(name, 'Airport')) AS l
FROM airports WHERE lat BETWEEN 30 AND 42 GROUP BY tzone ORDER BY tzone;

-- dates (ordered)
-- dayname is short; the days of a week by name; other words for differences and formats; no alias in GROUP BY beside its function
SELECT date_format(time_hour, 'EEEE') AS d, extract(dayofweek_iso FROM time_hour) AS nth, count(*) AS n,
  max(time_hour + INTERVAL 90 MINUTE) AS late, min(date_diff(time_hour::DATE, DATE '2013-01-01')) AS first,
  min(date_format(time_hour, 'yyyy/MM/dd HH')) AS written, min(make_date(year, month, day)) AS made
FROM flights GROUP BY d, nth ORDER BY nth;

-- unnest (ordered)
-- explode instead of unnest
SELECT origin, explode(sort_array(collect_set(carrier))) AS carrier FROM flights GROUP BY origin ORDER BY ALL;

-- quantiles (ordered)
-- percentile and percentile_disc
SELECT origin, median(d) AS m, percentile(d, array(0.1, 0.5, 0.99)) AS c, percentile_disc(0.75) WITHIN GROUP (ORDER BY distance) AS q,
  stddev_samp(d) AS s, corr(d, distance) AS r
FROM (SELECT origin, distance, try_cast(arr_delay AS DOUBLE) AS d FROM flights) GROUP BY origin ORDER BY origin;

-- distinct on (ordered)
-- no DISTINCT ON: the first row of a window
SELECT dest, time_hour, carrier, flight, origin FROM (
  SELECT dest, time_hour, carrier, flight, origin, row_number() OVER (PARTITION BY dest ORDER BY time_hour DESC, carrier, flight, origin) AS nth FROM flights
) WHERE nth = 1
ORDER BY dest, time_hour DESC, carrier, flight, origin;

-- weather before departure, asof
-- no ASOF: the last before, by a window over both
SELECT count(*) AS n, sum(w.hour) AS hours, avg(w.humid) AS h FROM (
  SELECT flight, last(w, true) OVER (PARTITION BY origin ORDER BY time_hour RANGE UNBOUNDED PRECEDING) AS w FROM (
    SELECT origin, time_hour, flight, NULL AS w FROM flights
    UNION ALL SELECT origin, time_hour, NULL, named_struct('hour', hour, 'humid', try_cast(humid AS DOUBLE)) FROM weather WHERE hour % 5 = 0
  )
) WHERE flight IS NOT NULL;

-- full outer join (ordered)
-- no REPLACE in a star; a text is a STRING
SELECT coalesce(p.year, f.year::STRING) AS y, count(p.tailnum) AS planes, count(f.tailnum) AS flown
FROM planes p FULL JOIN (SELECT DISTINCT tailnum, year FROM flights) f ON p.tailnum = f.tailnum GROUP BY y ORDER BY y;

-- never served, not in and exists
-- no FROM without SELECT
SELECT (SELECT count(*) FROM airports WHERE faa NOT IN (SELECT dest FROM flights)) AS never,
  (SELECT count(*) FROM airports a WHERE EXISTS (SELECT * FROM flights f WHERE f.dest = a.faa AND f.month = 12)) AS in_december;

-- a chain of connections, recursive (ordered)
-- no MATERIALIZED; a recursion is UNION ALL
WITH RECURSIVE pairs AS (SELECT DISTINCT origin, destination FROM flights3m WHERE origin < 'D' AND delay > 120),
  reached (place, hops) AS (SELECT 'ATL', 0 UNION ALL SELECT destination, hops + 1 FROM reached JOIN pairs ON origin = place WHERE hops < 3)
SELECT place, min(hops) AS hops FROM reached GROUP BY place ORDER BY place;

-- three million by origin (ordered)
-- percentile_disc
SELECT origin, count(*) AS n, avg(delay) AS late, percentile_disc(0.9) WITHIN GROUP (ORDER BY delay) AS p90, max(date) AS last
FROM flights3m GROUP BY origin ORDER BY n DESC, origin LIMIT 40;

-- pivot with a list (ordered)
-- counts nothing as NULL
SELECT carrier, EWR_miles, coalesce(EWR_n, 0), JFK_miles, coalesce(JFK_n, 0), LGA_miles, coalesce(LGA_n, 0)
FROM (SELECT carrier, origin, distance FROM flights)
PIVOT (sum(distance) AS miles, count(*) AS n FOR origin IN ('EWR', 'JFK', 'LGA')) ORDER BY carrier;

-- three million by place and day
-- a week's first day is 1
SELECT a.tzone, dayofweek(f.date) - 1 AS d, count(*) AS n, sum(f.distance) AS miles FROM flights3m f JOIN airports a ON a.faa = f.destination GROUP BY ALL;
