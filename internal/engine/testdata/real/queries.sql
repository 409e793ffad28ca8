-- Queries over nycflights13 (flights, airlines, airports, planes, weather, and
-- flights_log, the flights again without a key) and flights3m of vega-datasets.
-- A line "-- name" begins a query; "(ordered)" after it says that its ORDER BY
-- decides the order of all rows. "NA" in the files makes a column VARCHAR.
-- The recursive one says MATERIALIZED because DuckDB 1.5.6 loses rows, or crashes,
-- where the recursive part joins a DISTINCT or GROUP BY over read_parquet on more
-- than one thread (its optimizer join_filter_pushdown).

-- content of flights
SELECT count(*) AS n, bit_xor(hash(f)) AS x, sum(hash(f)::HUGEINT) AS s FROM flights f;

-- content of flights_log
SELECT count(*) AS n, bit_xor(hash(f)) AS x, sum(hash(f)::HUGEINT) AS s FROM flights_log f;

-- content of flights3m
SELECT count(*) AS n, sum(hash(date, delay, distance, origin, destination)::HUGEINT) AS s FROM flights3m;

-- content of airports, airlines and planes
SELECT * FROM airports UNION ALL SELECT carrier, name, NULL, NULL, NULL, NULL, NULL, NULL FROM airlines
UNION ALL SELECT tailnum, manufacturer, year::VARCHAR::DOUBLE, seats, engines, NULL, engine, model
FROM (SELECT * REPLACE (try_cast(year AS INTEGER) AS year) FROM planes);

-- content of weather
SELECT * FROM weather;

-- delays by airline (ordered)
SELECT a.carrier, a.name, count(*) AS flights, avg(try_cast(f.dep_delay AS DOUBLE)) AS late, max(try_cast(f.arr_delay AS BIGINT)) AS worst
FROM flights f JOIN airlines a ON f.carrier = a.carrier
GROUP BY a.carrier, a.name ORDER BY a.carrier;

-- makers at far airports, three tables (ordered)
SELECT p.manufacturer, d.tzone, count(*) AS n, sum(f.distance) AS miles
FROM flights f JOIN planes p ON p.tailnum = f.tailnum JOIN airports d ON d.faa = f.dest
WHERE d.alt > 500 GROUP BY ALL HAVING count(*) > 10 ORDER BY n DESC, p.manufacturer, d.tzone NULLS LAST;

-- the latest three of each origin (ordered)
SELECT origin, year, month, day, carrier, flight, dest, try_cast(dep_delay AS BIGINT) AS late,
  row_number() OVER latest AS nth, sum(distance) OVER latest AS so_far
FROM flights
WINDOW latest AS (PARTITION BY origin ORDER BY try_cast(dep_delay AS BIGINT) DESC NULLS LAST, year, month, day, carrier, flight, dest)
QUALIFY nth <= 3
ORDER BY origin, nth;

-- months against the month before (ordered)
WITH months AS (
  SELECT date_trunc('month', time_hour) AS m, count(*) AS n, avg(distance) AS miles FROM flights GROUP BY 1
), compared AS (
  SELECT m, n, n - lag(n) OVER (ORDER BY m) AS more, miles / first_value(miles) OVER (ORDER BY m) AS ratio FROM months
)
SELECT * FROM compared ORDER BY m;

-- aggregates with filters (ordered)
SELECT origin, count(*) AS n, count(*) FILTER (WHERE dep_delay = 'NA') AS cancelled,
  avg(air) FILTER (WHERE air > 60) AS long_ones, min(air) FILTER (WHERE month = 7) AS shortest_of_july
FROM (SELECT *, try_cast(air_time AS INTEGER) AS air FROM flights) GROUP BY origin ORDER BY origin;

-- group by all
SELECT origin, month, hour % 4 AS part, count(*) AS n, count(DISTINCT dest) AS places FROM flights GROUP BY ALL;

-- rollup (ordered)
SELECT origin, carrier, grouping(origin, carrier) AS level, count(*) AS n, sum(distance) AS miles
FROM flights GROUP BY ROLLUP (origin, carrier) ORDER BY level, origin, carrier;

-- grouping sets
SELECT month, dest, count(*) AS n FROM flights WHERE dest < 'C' GROUP BY GROUPING SETS ((month), (dest), ());

-- lists (ordered)
SELECT carrier, list(DISTINCT dest ORDER BY dest) AS places, list_sort(list(DISTINCT hour)) [1:3] AS early,
  len(list(flight)) AS n FROM flights GROUP BY carrier ORDER BY carrier;

-- structs and maps (ordered)
SELECT origin, struct_pack(first := min(time_hour), last := max(time_hour), n := count(*)) AS span,
  map(['far', 'near'], [count(*) FILTER (WHERE distance >= 1000), count(*) FILTER (WHERE distance < 1000)]) AS reach,
  list(DISTINCT {'c': carrier, 'o': origin} ORDER BY {'c': carrier, 'o': origin}) AS who
FROM flights GROUP BY origin ORDER BY origin;

-- regular expressions and text (ordered)
SELECT regexp_extract(tailnum, '^N([0-9]+)', 1) AS digits, upper(substr(lower(tailnum), 1, 2)) AS head, length(tailnum) AS len,
  replace(engine, '-', '_') AS e, string_split(model, '-') AS parts, concat_ws('/', type, speed) AS both
FROM planes WHERE regexp_matches(model, '^[A-Z]+-?[0-9]+') AND manufacturer ILIKE '%bus%' ORDER BY tailnum;

-- names of places (ordered)
SELECT tzone, string_agg(faa, ',' ORDER BY faa) AS codes, max(levenshtein(name, 'Airport')) AS l
FROM airports WHERE lat BETWEEN 30 AND 42 GROUP BY tzone ORDER BY tzone;

-- dates (ordered)
SELECT dayname(time_hour) AS d, extract(isodow FROM time_hour) AS nth, count(*) AS n,
  max(time_hour + INTERVAL 90 MINUTE) AS late, min(date_diff('day', TIMESTAMP '2013-01-01', time_hour::TIMESTAMP)) AS first,
  min(strftime(time_hour, '%Y/%m/%d %H')) AS written, min(make_date(year, month, day)) AS made
FROM flights GROUP BY d, nth ORDER BY nth;

-- pivot with a list (ordered)
SELECT * FROM (SELECT carrier, origin, distance FROM flights)
PIVOT (sum(distance) AS miles, count(*) AS n FOR origin IN ('EWR', 'JFK', 'LGA')) ORDER BY carrier;

-- planes that flew to Honolulu, semi (ordered)
SELECT tailnum, model FROM planes p SEMI JOIN flights f ON f.tailnum = p.tailnum AND f.dest = 'HNL' ORDER BY tailnum;

-- tail numbers without a plane, anti (ordered)
SELECT f.tailnum, count(*) AS n FROM flights f ANTI JOIN planes p ON p.tailnum = f.tailnum
GROUP BY f.tailnum ORDER BY n DESC, f.tailnum LIMIT 100;

-- lateral (ordered)
SELECT a.carrier, top.dest, top.n FROM airlines a,
  LATERAL (SELECT dest, count(*) AS n FROM flights f WHERE f.carrier = a.carrier GROUP BY dest ORDER BY n DESC, dest LIMIT 2) top
ORDER BY a.carrier, top.n DESC, top.dest;

-- unnest (ordered)
SELECT origin, unnest(list_sort(list(DISTINCT carrier))) AS carrier FROM flights GROUP BY origin ORDER BY ALL;

-- quantiles (ordered)
SELECT origin, median(d) AS m, quantile_cont(d, [0.1, 0.5, 0.99]) AS c, quantile_disc(distance, 0.75) AS q, stddev_samp(d) AS s, corr(d, distance) AS r
FROM (SELECT origin, distance, try_cast(arr_delay AS DOUBLE) AS d FROM flights) GROUP BY origin ORDER BY origin;

-- set operations (ordered)
(SELECT faa FROM airports INTERSECT SELECT dest FROM flights) UNION (SELECT origin FROM weather EXCEPT SELECT 'EWR') ORDER BY 1;

-- distinct on (ordered)
SELECT DISTINCT ON (dest) dest, time_hour, carrier, flight, origin FROM flights
ORDER BY dest, time_hour DESC, carrier, flight, origin;

-- a page (ordered)
SELECT * FROM flights ORDER BY distance DESC, year, month, day, carrier, flight, origin, dest LIMIT 50 OFFSET 700;

-- slower than their route, correlated
SELECT month, count(*) AS n FROM flights f
WHERE origin = 'LGA' AND try_cast(air_time AS BIGINT) > (SELECT 1.2 * avg(try_cast(g.air_time AS BIGINT)) FROM flights g WHERE g.origin = f.origin AND g.dest = f.dest)
GROUP BY month;

-- weather at departure (ordered)
SELECT w.origin, round(try_cast(w.temp AS DOUBLE) / 10)::INTEGER AS tens, count(*) AS n, avg(w.visib) AS visibility, avg(try_cast(f.dep_delay AS DOUBLE)) AS late
FROM flights f JOIN weather w USING (origin, time_hour) GROUP BY ALL ORDER BY ALL;

-- weather before departure, asof
SELECT count(*) AS n, sum(w.hour) AS hours, avg(w.humid::DOUBLE) AS h
FROM flights f ASOF LEFT JOIN (SELECT * REPLACE (try_cast(humid AS DOUBLE) AS humid) FROM weather WHERE hour % 5 = 0) w ON w.origin = f.origin AND w.time_hour <= f.time_hour;

-- full outer join (ordered)
SELECT coalesce(p.year, f.year::VARCHAR) AS y, count(p.tailnum) AS planes, count(f.tailnum) AS flown
FROM (SELECT * REPLACE (year::VARCHAR AS year) FROM planes) p FULL JOIN (SELECT DISTINCT tailnum, year FROM flights) f ON p.tailnum = f.tailnum GROUP BY y ORDER BY y;

-- never served, not in and exists
SELECT (SELECT count(*) FROM airports WHERE faa NOT IN (SELECT dest FROM flights)) AS never,
  (SELECT count(*) FROM airports a WHERE EXISTS (FROM flights f WHERE f.dest = a.faa AND f.month = 12)) AS in_december;

-- a chain of connections, recursive (ordered)
WITH RECURSIVE pairs AS MATERIALIZED (SELECT DISTINCT origin, destination FROM flights3m WHERE origin < 'D' AND delay > 120),
  reached AS (SELECT 'ATL' AS place, 0 AS hops UNION SELECT destination, hops + 1 FROM reached JOIN pairs ON origin = place WHERE hops < 3)
SELECT place, min(hops) AS hops FROM reached GROUP BY place ORDER BY place;

-- three million by origin (ordered)
SELECT origin, count(*) AS n, avg(delay) AS late, quantile_disc(delay, 0.9) AS p90, max(date) AS last FROM flights3m GROUP BY origin ORDER BY n DESC, origin LIMIT 40;

-- three million by place and day
SELECT a.tzone, dayofweek(f.date) AS d, count(*) AS n, sum(f.distance) AS miles FROM flights3m f JOIN airports a ON a.faa = f.destination GROUP BY ALL;

-- one key
SELECT * FROM flights WHERE year = 2013 AND month = 1 AND day = 1 AND carrier = 'UA' AND flight = 1545 AND origin = 'EWR' AND dest = 'IAH';

-- the log against the flights
SELECT count(*) AS n, count(f.carrier) AS with_flight, sum(l.distance) AS miles FROM flights_log l LEFT JOIN flights f
ON (l.year, l.month, l.day, l.carrier, l.flight, l.origin, l.dest) = (f.year, f.month, f.day, f.carrier, f.flight, f.origin, f.dest);
