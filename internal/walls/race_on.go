//go:build race

package walls

// RaceDetector says that this is a build of the race detector, whose shadow
// memory no limit may count.
const RaceDetector = true
