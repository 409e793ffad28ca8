// Package imports brings files into datasets: a job turns them into Parquet of
// the base's shape, and one commit takes it in.
//
//	Create   a new dataset of the files
//	Append   the files' rows as the newest changes of an existing dataset
//	Replace  the files' rows instead of all there was
//
// Append and Replace are content commits: they pass through the dataset's
// committer and take a sequence. The caller is engine, which holds the
// dataset's job lock and registers what Create made.
package imports
