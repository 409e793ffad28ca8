// Package cli is the tarn program: arguments, environment and configuration
// file in, exit code out; one file a command.
//
// Words: a Program is one run of tarn with its arguments, streams and
// environment; a setting is a flag that the environment (TARN_…) and tarn.yaml
// can give too; a lakeDoor is how a command reaches a lake: over HTTP to a
// server, or by the same client over the same handler in memory after opening
// the lake itself. So a command has one way of working, whoever has the lake.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage. Errors are one line on stderr;
// answers alone go to stdout. Callers: cmd/tarn and tests, which start programs
// several times in one process: there are no globals. It never touches a lake's
// files itself.
package cli
