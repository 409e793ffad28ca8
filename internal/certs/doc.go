// Package certs gives a TLS server its certificate, and the authorities of its
// clients' certificates, from files that may change while it runs.
//
// The files are looked at, at most once a second, when a client connects. New ones
// that do not parse, or do not belong together, leave what was there in use, and are
// said in the log once for each change: certificate and key are two files and seldom
// change in one instant.
//
// The caller is the command line. The package opens no connection.
package certs
