package cache

import (
	"context"

	"tarn/internal/worker"
)

// Image and Images are what the worker says of what it holds.
type (
	Image  = worker.Image
	Images = worker.Images
)

// Worker holds the images; worker.Supervisor is the one outside tests. Each call
// can be made twice. An error of code CodeWorkerDied says that every image went
// with the worker.
type Worker interface {
	// LoadImage answers when the dataset is hot. lake.CodeOutOfMemory: a slice
	// would exceed the budget, nothing of the load is left, and Projected says
	// what the whole image would take, where that is known.
	LoadImage(ctx context.Context, tableUUID string) (Image, error)
	// ProjectImage gives the bytes that the image would take, measured by a
	// first slice of it.
	ProjectImage(ctx context.Context, tableUUID string) (int64, error)
	// DropImage makes the dataset cold and ends a load of it.
	DropImage(ctx context.Context, tableUUID string) (Image, error)
	// Images says what is held, and by which generation of the worker. Images
	// that are cold may be left out.
	Images(ctx context.Context) (Images, error)
}

var _ Worker = (*worker.Supervisor)(nil)
