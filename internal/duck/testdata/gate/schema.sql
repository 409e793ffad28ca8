CREATE SCHEMA sales;
CREATE TABLE clients AS SELECT i AS id, 'client ' || i AS name, ['health', 'law', 'it'][i % 3 + 1] AS industry, DATE '2015-01-01' + (i * 37)::INTEGER AS since FROM range(20) t(i);
CREATE TABLE candidates AS SELECT i AS id, 'Name ' || i AS name, CASE WHEN i % 7 <> 0 THEN 'n' || i || '@example.org' END AS email,
	['sql', 'go', 'law', 'nurse'][1:(i % 4)::INTEGER] AS skills, ['Oslo', 'Bergen', 'Köln'][i % 3 + 1] AS city, (20 + i % 50 / 4)::DECIMAL(10,2) AS rate,
	DATE '1980-01-01' + (i * 11)::INTEGER AS born, {'level': CASE WHEN i % 2 = 0 THEN 'senior' ELSE 'junior' END, 'years': i % 30} AS profile,
	'{"tags": ["a", "b"], "n": ' || i || '}' AS extra, MAP {'a': i, 'b': i * 2} AS attributes FROM range(200) t(i);
CREATE TABLE timesheets AS SELECT i AS id, i % 200 AS candidate_id, i % 20 AS client_id, DATE '2024-01-01' + (i % 366)::INTEGER AS day, (i % 17) / 2 AS hours,
	CASE WHEN i % 5 = 0 THEN 'overtime' ELSE 'normal' END AS kind, TIMESTAMP '2024-01-01 08:00:00' + to_minutes(i * 13) AS logged FROM range(3000) t(i);
CREATE TABLE sales.orders AS SELECT i AS id, (i * 7 % 100)::DECIMAL(12,2) AS amount, ['north', 'south'][i % 2 + 1] AS region, 'Q' || (i % 4 + 1) AS quarter,
	TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_hours(i) AS placed FROM range(400) t(i);
CREATE TABLE prices AS SELECT ['A', 'B'][i % 2 + 1] AS symbol, TIMESTAMP '2024-01-01' + to_seconds(i * 60) AS moment, i * 1.5 AS price FROM range(100) t(i);
CREATE TABLE holdings AS SELECT ['A', 'B'][i % 2 + 1] AS symbol, TIMESTAMP '2024-01-01' + to_seconds(i * 100) AS moment, i AS shares FROM range(50) t(i);
CREATE TABLE monthly AS SELECT i AS id, i * 10 AS jan, i * 20 AS feb, CASE WHEN i > 2 THEN i * 30 END AS mar FROM range(5) t(i);
CREATE TABLE edges AS SELECT i AS a, i + 1 AS b FROM range(20) t(i);
