package change

import (
	"tarn/internal/dataset"
	"tarn/internal/format"
	"tarn/internal/lake"
)

// refit gives a request that was decoded to an earlier schema the columns of the
// present one, where it still says the same by it: each of its columns is there under
// its name, and may be null where it might before. Else it is CodeSchemaChanged, and
// the client decides anew.
func (w *waiting) refit(s *dataset.State) error {
	if w.SchemaID == s.Schema.ID {
		return nil
	}
	was, err := s.Table.SchemaByID(w.SchemaID)
	if err != nil || w.File != "" || !stillFits(was, s.Schema) {
		return lake.Errorf(lake.CodeSchemaChanged, "the schema of %s changed while the request waited", w.Name).
			WithHint("send it again: it is checked against the new schema")
	}
	fitted := make([]format.Changes, len(w.Changes))
	for i, c := range w.Changes {
		if fitted[i], err = format.Refit(c, s.Schema); err != nil {
			return lake.Step("fit the request to the new schema", err)
		}
	}
	w.Changes, w.SchemaID = fitted, s.Schema.ID
	return nil
}

// stillFits says whether rows of a schema can stand under a later one of the same
// table.
func stillFits(was, now lake.Schema) bool {
	for _, c := range was.Columns {
		later, ok := now.ColumnByID(c.ID)
		if !ok || later.Name != c.Name || c.Nullable && !later.Nullable {
			return false
		}
	}
	for _, c := range now.Columns {
		if _, ok := was.ColumnByID(c.ID); !ok && !c.Nullable {
			return false
		}
	}
	return true
}
