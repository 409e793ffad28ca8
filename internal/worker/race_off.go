//go:build !race

package worker

// raceDetector says that this is a build of the race detector, whose shadow
// memory no limit may count.
const raceDetector = false
