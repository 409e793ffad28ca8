// Package guard is the lake as one principal may see and use it: a Door before the
// engine's. Whoever goes through it needs no checks of his own, and cannot forget one:
// it has each method of engine.Door by itself, so that a new one does not compile
// until it is decided here who may use it.
//
// What somebody may not see does not exist for him. The guard decides by names alone
// and never asks the lake whether a hidden name exists, so that a hidden dataset and
// one that never was take the same way and get the same answer. SQL is the same a
// floor down: the worker's gate is told which names there are for the query.
//
// What somebody may see and not do is access_denied. So is the making of a dataset
// outside of his grants, whether there is one of that name or not.
//
// The caller is httpapi. Where nobody is asked who he is, there is no guard.
package guard
