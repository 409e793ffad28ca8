package httpapi

import (
	"net/http"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// cacheBody names the dataset of a pin or unpin.
type cacheBody struct {
	Dataset *string `json:"dataset" doc:"[namespace.]name"`
}

// evictBody says what is to leave memory: a dataset, or all.
type evictBody struct {
	Dataset *string `json:"dataset,omitempty" doc:"[namespace.]name; it is unpinned too"`
	All     bool    `json:"all,omitempty" doc:"all datasets that are not pinned"`
	Pinned  bool    `json:"pinned,omitempty" doc:"with all: the pinned ones too, and unpin them"`
}

// evictedAnswer is what evicting all answers.
type evictedAnswer struct {
	Datasets []engine.CacheEntry `json:"datasets"`
}

func (a *api) cacheRoutes() []*route {
	entry := func(doc string) []answer {
		return []answer{{status: http.StatusOK, doc: doc, content: jsonOf(engine.CacheEntry{})}}
	}
	errors := func(more ...lake.Code) []lake.Code {
		return append(more, lake.CodeDatasetNotFound, lake.CodeUnsupportedMedia, lake.CodeTooLarge, lake.CodeNotReady, lake.CodeUnavailable,
			lake.CodeWorkerDied, lake.CodeDeadline, lake.CodeCancelled)
	}
	return []*route{{
		method: http.MethodPost, path: "/query/cache/pin", id: "cache-pin", tag: tagCache, needs: administers(),
		summary: "Keep a dataset in memory", handle: a.cachePin,
		doc:     "Answers when the dataset is loaded and the pin is durable. Datasets that are not pinned make room for it; a pin that does not fit beside the other pins is refused (507) and changes no pin.",
		body:    jsonOf(cacheBody{}),
		answers: entry("pinned"),
		errors:  errors(lake.CodeCacheFull, lake.CodeDamaged),
	}, {
		method: http.MethodPost, path: "/query/cache/unpin", id: "cache-unpin", tag: tagCache, needs: administers(),
		summary: "Let a dataset leave memory when others need its room", handle: a.cacheUnpin,
		body:    jsonOf(cacheBody{}),
		answers: entry("not pinned; still in memory where it was"),
		errors:  errors(),
	}, {
		method: http.MethodPost, path: "/query/cache/evict", id: "cache-evict", tag: tagCache, needs: administers(),
		summary: "Take a dataset out of memory", handle: a.cacheEvict,
		doc:     "Unpins it too. With \"all\" every dataset that is not pinned, and the answer is {\"datasets\": […]}. The next use of a dataset may load it again.",
		body:    jsonOf(evictBody{}),
		answers: []answer{{status: http.StatusOK, doc: "out of memory; {\"datasets\": […]} for all", content: []content{{media: rows.MediaJSON, typ: engine.CacheEntry{}, or: []any{evictedAnswer{}}}}}},
		errors:  errors(),
	}, {
		method: http.MethodGet, path: "/query/cache/stats", id: "cache-stats", tag: tagCache, needs: reads(ofLists),
		summary: "Show what is in memory", handle: a.cacheStats,
		answers: []answer{{status: http.StatusOK, doc: "the budget and every dataset", content: jsonOf(engine.CacheStats{})}},
		errors:  []lake.Code{lake.CodeNotReady, lake.CodeWorkerDied, lake.CodeDeadline},
	}}
}

// datasetField reads a name in a JSON body.
func datasetField(text *string) (lake.Name, error) {
	if text == nil {
		return lake.Name{}, lake.Errorf(lake.CodeInvalidRequest, `"dataset" is missing`).WithHint(`such as {"dataset": "trips"}`)
	}
	name, err := lake.ParseName(*text)
	return name, lake.Step("field dataset", err)
}

func (a *api) readDataset(c *call) (lake.Name, error) {
	var body cacheBody
	if err := a.readJSON(c, &body); err != nil {
		return lake.Name{}, err
	}
	return c.named(datasetField(body.Dataset))
}

func (a *api) cachePin(c *call) error {
	name, err := a.readDataset(c)
	if err != nil {
		return err
	}
	entry, err := c.door.CachePin(c.r.Context(), name)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, entry)
}

func (a *api) cacheUnpin(c *call) error {
	name, err := a.readDataset(c)
	if err != nil {
		return err
	}
	entry, err := c.door.CacheUnpin(c.r.Context(), name)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, entry)
}

func (a *api) cacheEvict(c *call) error {
	var body evictBody
	if err := a.readJSON(c, &body); err != nil {
		return err
	}
	switch {
	case body.All && body.Dataset != nil:
		return lake.Errorf(lake.CodeInvalidRequest, `"all" and "dataset" exclude each other`)
	case body.All:
		entries, err := c.door.CacheEvictAll(c.r.Context(), body.Pinned)
		if err != nil {
			return err
		}
		return c.reply(http.StatusOK, evictedAnswer{orEmpty(entries)})
	case body.Pinned:
		return lake.Errorf(lake.CodeInvalidRequest, `"pinned" goes with "all"`).WithHint("evicting one dataset unpins it too")
	case body.Dataset == nil:
		return lake.Errorf(lake.CodeInvalidRequest, "it is not said what to evict").WithHint(`{"dataset": "trips"} or {"all": true}`)
	}
	name, err := c.named(datasetField(body.Dataset))
	if err != nil {
		return err
	}
	entry, err := c.door.CacheEvict(c.r.Context(), name)
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, entry)
}

func (a *api) cacheStats(c *call) error {
	stats, err := c.door.CacheStats(c.r.Context())
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, stats)
}
