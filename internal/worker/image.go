package worker

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"tarn/internal/lake"
	"tarn/internal/serving"
)

// Image and Images are what the worker says of the datasets it holds in memory.
type (
	Image      = serving.Image
	Images     = serving.Images
	ImageState = serving.ImageState
)

// The states of an image.
const (
	ImageCold    = serving.ImageCold
	ImageLoading = serving.ImageLoading
	ImageHot     = serving.ImageHot
)

// What can be asked for an image, as the message's path spells it.
const (
	imageLoad    = "load"
	imageProject = "project"
	imageDrop    = "drop"
)

// duckBytes is DuckDB's own limit: images are in it beside the operators.
func (o Open) duckBytes() int64 {
	if o.MemoryLimitBytes == 0 {
		return 0
	}
	return o.MemoryLimitBytes + o.ImageBudgetBytes
}

// LoadImage loads a dataset's image and answers once it is shown; for a hot
// dataset at once. Two callers wait for one load; the end of ctx cancels it
// unless somebody else waits. A worker that dies meanwhile takes every image
// with it: CodeWorkerDied, and nothing is loaded in its successor.
//
// Errors: CodeOutOfMemory when a slice would exceed the budget, with
// Image.Projected filled in; CodeDatasetNotFound; CodeCancelled when a content
// commit or DropImage came in between; CodeNotReady; CodeDamaged.
func (s *Supervisor) LoadImage(ctx context.Context, tableUUID string) (Image, error) {
	return s.image(ctx, imageLoad, tableUUID)
}

// ProjectImage gives the bytes that a dataset's image will take about, found by
// loading a first slice aside and dropping it. It fails as LoadImage does.
func (s *Supervisor) ProjectImage(ctx context.Context, tableUUID string) (int64, error) {
	m, err := s.image(ctx, imageProject, tableUUID)
	return m.Projected, err
}

// DropImage makes a dataset cold and cancels a load of it; a cold one stays.
func (s *Supervisor) DropImage(ctx context.Context, tableUUID string) (Image, error) {
	return s.image(ctx, imageDrop, tableUUID)
}

func (s *Supervisor) image(ctx context.Context, verb, tableUUID string) (Image, error) {
	after := s.stream.End()
	g, err := s.ready(ctx, time.Time{})
	if err != nil {
		return Image{}, err
	}
	body, err := json.Marshal(imageMessage{TableUUID: tableUUID, After: after})
	if err != nil {
		return Image{}, err
	}
	var out imageAnswer
	if err := tell(ctx, g, http.MethodPost, "/image/"+verb, body, &out); err != nil {
		return Image{}, err
	}
	return out.Image, out.Error.error()
}

// Images says what images take now.
func (s *Supervisor) Images(ctx context.Context) (Images, error) {
	g, err := s.ready(ctx, time.Time{})
	if err != nil {
		return Images{}, err
	}
	var out Images
	if err := tell(ctx, g, http.MethodGet, "/images", nil, &out); err != nil {
		return Images{}, err
	}
	out.Generation = g.number
	return out, nil
}

// tell sends a message to a generation until ctx ends or the generation dies.
func tell(ctx context.Context, g *generation, method, path string, body []byte, out any) error {
	call, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(g.ctx, stop)()
	err := g.call(call, method, path, body, out)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ended(context.Cause(ctx))
	}
	if e, ok := errors.AsType[*lake.Error](err); ok && g.alive() {
		return e
	}
	g.fail(lake.Step(path, err))
	return lake.Errorf(lake.CodeWorkerDied, "the worker died: %w", g.cause(err)).WithHint("try again shortly")
}
