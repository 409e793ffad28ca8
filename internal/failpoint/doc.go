// Package failpoint names the places at which a test ends the process, to find out
// that what is durable there is right (I1, I4, I6).
//
// Words:
//
//   - point: a name for the instant after a step was tried, like change.created
//   - armed: a function is called at every point. Nothing but a test arms
//
// Every room that changes durable state calls Hit; nothing is behind it in a server.
// What is armed is the process's and no value that is handed on, as it ends the process.
package failpoint
