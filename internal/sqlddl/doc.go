// Package sqlddl reads the SQL that changes which datasets there are and what columns
// they have. It cuts texts by sqltext, and knows nothing of a lake: its callers (the
// HTTP API, the command line) do what was read through the same calls as without SQL.
package sqlddl
