// Package prompt is what `tarn sql` has of a terminal: reading statements that a person
// types, with history and completion, or that come one after the other from a file.
//
// Words:
//
//   - a Cutter makes statements of lines: a statement ends with a semicolon outside of
//     quotes, comments and dollar strings;
//   - an Editor reads lines from a terminal, which it has in raw mode only while it
//     reads;
//   - a History is the statements of before, in a bounded file;
//   - Vocabulary is what a name can be completed to.
//
// Lines are edited by golang.org/x/term. It asks nothing of a terminal but VT100, where
// ergochat/readline and reflective/readline ask for the cursor's place (ESC[6n) before
// each line, and hold back what is typed until the terminal answers, which not all do.
//
// The caller is cli. The package knows no lake: names come from the caller.
package prompt
