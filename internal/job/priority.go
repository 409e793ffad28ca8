package job

// lowestPriority is the niceness of a job: beside it queries keep their speed.
const lowestPriority = 19
