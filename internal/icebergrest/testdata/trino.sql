-- The queries of the real-input test (internal/engine/testdata/real/queries.sql) that
-- Trino does not take as they are, in its dialect. A line "-- name" begins a query, the
-- next one says why it is another. What is not here runs in Trino as it does in tarn.
-- "hashed here" means that Trino gives the rows, and DuckDB beside it hashes them.

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
-- no REPLACE in a star, no ::
SELECT * FROM airports UNION ALL SELECT carrier, name, NULL, NULL, NULL, NULL, NULL, NULL FROM airlines
UNION ALL SELECT tailnum, manufacturer, CAST(try_cast(year AS INTEGER) AS DOUBLE), seats, engines, NULL, engine, model FROM planes;

-- makers at far airports, three tables (ordered)
-- no GROUP BY ALL
SELECT p.manufacturer, d.tzone, count(*) AS n, sum(f.distance) AS miles
FROM flights f JOIN planes p ON p.tailnum = f.tailnum JOIN airports d ON d.faa = f.dest
WHERE d.alt > 500 GROUP BY 1, 2 HAVING count(*) > 10 ORDER BY n DESC, p.manufacturer, d.tzone NULLS LAST;

-- the latest three of each origin (ordered)
-- no QUALIFY
SELECT * FROM (
  SELECT origin, year, month, day, carrier, flight, dest, try_cast(dep_delay AS BIGINT) AS late,
    row_number() OVER latest AS nth, sum(distance) OVER latest AS so_far
  FROM flights
  WINDOW latest AS (PARTITION BY origin ORDER BY try_cast(dep_delay AS BIGINT) DESC NULLS LAST, year, month, day, carrier, flight, dest)
) WHERE nth <= 3
ORDER BY origin, nth;

-- group by all
-- no GROUP BY ALL
SELECT origin, month, hour % 4 AS part, count(*) AS n, count(DISTINCT dest) AS places FROM flights GROUP BY 1, 2, 3;

-- lists (ordered)
-- array_agg, array_sort, slice and cardinality
SELECT carrier, array_agg(DISTINCT dest ORDER BY dest) AS places, slice(array_sort(array_agg(DISTINCT hour)), 1, 3) AS early,
  cardinality(array_agg(flight)) AS n FROM flights GROUP BY carrier ORDER BY carrier;

-- structs and maps (ordered)
-- no :=, no {'c': c}, no ['a']: a ROW has names by a cast
SELECT origin, CAST(ROW(min(time_hour), max(time_hour), count(*)) AS ROW(first TIMESTAMP(6) WITH TIME ZONE, last TIMESTAMP(6) WITH TIME ZONE, n BIGINT)) AS span,
  map(ARRAY['far', 'near'], ARRAY[count(*) FILTER (WHERE distance >= 1000), count(*) FILTER (WHERE distance < 1000)]) AS reach,
  array_sort(array_agg(DISTINCT CAST(ROW(carrier, origin) AS ROW(c VARCHAR, o VARCHAR)))) AS who
FROM flights GROUP BY origin ORDER BY origin;

-- regular expressions and text (ordered)
-- regexp_like, split; what does not match is NULL; no ILIKE
SELECT coalesce(regexp_extract(tailnum, '^N([0-9]+)', 1), '') AS digits, upper(substr(lower(tailnum), 1, 2)) AS head, length(tailnum) AS len,
  replace(engine, '-', '_') AS e, split(model, '-') AS parts, concat_ws('/', type, speed) AS both
FROM planes WHERE regexp_like(model, '^[A-Z]+-?[0-9]+') AND lower(manufacturer) LIKE '%bus%' ORDER BY tailnum;

-- names of places (ordered)
-- listagg, levenshtein_distance
SELECT tzone, listagg(faa, ',') WITHIN GROUP (ORDER BY faa) AS codes, max(levenshtein_distance(name, 'Airport')) AS l
FROM airports WHERE lat BETWEEN 30 AND 42 GROUP BY tzone ORDER BY tzone;

-- dates (ordered)
-- other names and formats; an interval's number is a text; GROUP BY knows no alias
SELECT date_format(time_hour, '%W') AS d, day_of_week(time_hour) AS nth, count(*) AS n,
  max(time_hour + INTERVAL '90' MINUTE) AS late, min(date_diff('day', TIMESTAMP '2013-01-01', CAST(time_hour AS TIMESTAMP))) AS first,
  min(date_format(time_hour, '%Y/%m/%d %H')) AS written, min(CAST(format('%04d-%02d-%02d', year, month, day) AS DATE)) AS made
FROM flights GROUP BY 1, 2 ORDER BY nth;

-- pivot with a list (ordered)
-- PIVOT says what it groups by
SELECT * FROM (SELECT carrier, origin, distance FROM flights)
PIVOT (sum(distance) AS miles, count(*) AS n FOR origin IN ('EWR', 'JFK', 'LGA') GROUP BY carrier) ORDER BY carrier;

-- planes that flew to Honolulu, semi (ordered)
-- no SEMI JOIN
SELECT tailnum, model FROM planes p WHERE EXISTS (SELECT * FROM flights f WHERE f.tailnum = p.tailnum AND f.dest = 'HNL') ORDER BY tailnum;

-- tail numbers without a plane, anti (ordered)
-- no ANTI JOIN
SELECT f.tailnum, count(*) AS n FROM flights f WHERE NOT EXISTS (SELECT * FROM planes p WHERE p.tailnum = f.tailnum)
GROUP BY f.tailnum ORDER BY n DESC, f.tailnum LIMIT 100;

-- unnest (ordered)
-- UNNEST is a table
SELECT origin, carrier FROM (SELECT origin, array_sort(array_agg(DISTINCT carrier)) AS carriers FROM flights GROUP BY origin)
CROSS JOIN UNNEST(carriers) AS u (carrier) ORDER BY 1, 2;

-- quantiles (ordered)
-- quantiles are approximate alone: they are taken out of sorted arrays
WITH sorted AS (
  SELECT origin, array_sort(array_agg(d) FILTER (WHERE d IS NOT NULL)) AS ds, array_sort(array_agg(distance)) AS miles, stddev_samp(d) AS s, corr(d, distance) AS r
  FROM (SELECT origin, distance, try_cast(arr_delay AS DOUBLE) AS d FROM flights) GROUP BY origin
), placed AS (
  SELECT *, transform(ARRAY[0.5, 0.1, 0.5, 0.99], q -> 1 + q * (cardinality(ds) - 1)) AS places FROM sorted
), continuous AS (
  SELECT *, transform(places, p -> ds[CAST(floor(p) AS BIGINT)] + (p - floor(p)) * (ds[CAST(ceil(p) AS BIGINT)] - ds[CAST(floor(p) AS BIGINT)])) AS c FROM placed
)
SELECT origin, c[1] AS m, slice(c, 2, 3) AS c, miles[CAST(ceil(0.75 * cardinality(miles)) AS BIGINT)] AS q, s, r FROM continuous ORDER BY origin;

-- distinct on (ordered)
-- no DISTINCT ON: the first row of a window
SELECT dest, time_hour, carrier, flight, origin FROM (
  SELECT dest, time_hour, carrier, flight, origin, row_number() OVER (PARTITION BY dest ORDER BY time_hour DESC, carrier, flight, origin) AS nth FROM flights
) WHERE nth = 1
ORDER BY dest, time_hour DESC, carrier, flight, origin;

-- a page (ordered)
-- OFFSET is before LIMIT
SELECT * FROM flights ORDER BY distance DESC, year, month, day, carrier, flight, origin, dest OFFSET 700 LIMIT 50;

-- weather at departure (ordered)
-- a column of USING has no table; no GROUP BY ALL, ORDER BY ALL, ::
SELECT origin, CAST(round(try_cast(w.temp AS DOUBLE) / 10) AS INTEGER) AS tens, count(*) AS n, avg(w.visib) AS visibility, avg(try_cast(f.dep_delay AS DOUBLE)) AS late
FROM flights f JOIN weather w USING (origin, time_hour) GROUP BY 1, 2 ORDER BY 1, 2, 3, 4, 5;

-- weather before departure, asof
-- no ASOF: the last before, by a window over both
SELECT count(*) AS n, sum(w.hour) AS hours, avg(w.humid) AS h FROM (
  SELECT flight, last_value(w) IGNORE NULLS OVER (PARTITION BY origin ORDER BY time_hour RANGE UNBOUNDED PRECEDING) AS w FROM (
    SELECT origin, time_hour, flight, NULL AS w FROM flights
    UNION ALL SELECT origin, time_hour, NULL, CAST(ROW(hour, try_cast(humid AS DOUBLE)) AS ROW(hour BIGINT, humid DOUBLE)) FROM weather WHERE hour % 5 = 0
  )
) WHERE flight IS NOT NULL;

-- full outer join (ordered)
-- no REPLACE in a star, no ::; GROUP BY knows no alias
SELECT coalesce(p.year, CAST(f.year AS VARCHAR)) AS y, count(p.tailnum) AS planes, count(f.tailnum) AS flown
FROM planes p FULL JOIN (SELECT DISTINCT tailnum, year FROM flights) f ON p.tailnum = f.tailnum GROUP BY 1 ORDER BY y;

-- never served, not in and exists
-- no FROM without SELECT
SELECT (SELECT count(*) FROM airports WHERE faa NOT IN (SELECT dest FROM flights)) AS never,
  (SELECT count(*) FROM airports a WHERE EXISTS (SELECT * FROM flights f WHERE f.dest = a.faa AND f.month = 12)) AS in_december;

-- a chain of connections, recursive (ordered)
-- no MATERIALIZED; a recursion is UNION ALL, names its columns and has one type for each
WITH RECURSIVE pairs (origin, destination) AS (SELECT DISTINCT origin, destination FROM flights3m WHERE origin < 'D' AND delay > 120),
  reached (place, hops) AS (SELECT CAST('ATL' AS VARCHAR), 0 UNION ALL SELECT destination, hops + 1 FROM reached JOIN pairs ON origin = place WHERE hops < 3)
SELECT place, min(hops) AS hops FROM reached GROUP BY place ORDER BY place;

-- three million by origin (ordered)
-- quantiles are approximate alone: this one is taken out of a sorted array
SELECT origin, count(*) AS n, avg(delay) AS late, array_sort(array_agg(delay) FILTER (WHERE delay IS NOT NULL))[CAST(ceil(0.9 * count(delay)) AS BIGINT)] AS p90, max(date) AS last
FROM flights3m GROUP BY origin ORDER BY n DESC, origin LIMIT 40;

-- three million by place and day
-- a week's last day is 7; no GROUP BY ALL
SELECT a.tzone, day_of_week(f.date) % 7 AS d, count(*) AS n, sum(f.distance) AS miles FROM flights3m f JOIN airports a ON a.faa = f.destination GROUP BY 1, 2;
