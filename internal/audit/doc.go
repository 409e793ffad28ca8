// Package audit writes down who changed what, and what was refused: a line of JSON
// for each, never a body, a row, a key or a token.
//
// A log that cannot be written must not go unnoticed. What was being done when a line
// was lost is done; its line goes to the server's own log instead. From then on Ready
// fails, and with it every change, until a line can be written again: whoever fills
// the disk does not change data unseen.
//
// Lines about requests without a known token are bounded, so that strangers cannot
// fill the disk; the next line that is written says how many were left out.
//
// The caller is httpapi. The package knows no HTTP.
package audit
