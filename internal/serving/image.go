package serving

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tarn/internal/duck"
	"tarn/internal/keys"
	"tarn/internal/lake"
)

// ImageState says whether a dataset is served from memory.
type ImageState string

// The states: a cold dataset may be loading, a hot one has its image.
const (
	ImageCold    ImageState = "cold"
	ImageLoading ImageState = "loading"
	ImageHot     ImageState = "hot"
)

// Image is what the budget and its policy see of a dataset's image.
type Image struct {
	TableUUID   string     `json:"table_uuid"`
	State       ImageState `json:"state"`
	Rows        int64      `json:"rows"`
	Bytes       int64      `json:"bytes"` // measured: table and key filter
	FilterBytes int64      `json:"filter_bytes"`
	Sequence    int64      `json:"sequence"` // its read point
	LoadedAt    time.Time  `json:"loaded_at,omitzero"`
	// Reason says why the last load or apply ended in cold, or why the image's
	// upkeep was put off.
	Reason string `json:"reason,omitempty"`
	// Projected is the bytes that the whole image was projected to when it was
	// loaded last; 0: not known.
	Projected int64 `json:"projected"`
	Guessed   bool  `json:"guessed,omitempty"` // by the size of its files, no row having been looked at
}

// Images is all of them and what they take of the budget. UsedBytes counts
// images, the one that is being loaded, their key filters, and HeldBytes: dropped
// images that an older reader still holds.
type Images struct {
	BudgetBytes int64 `json:"budget_bytes"`
	UsedBytes   int64 `json:"used_bytes"`
	HeldBytes   int64 `json:"held_bytes"`
	// PassingBytes are those of UsedBytes that go by themselves in a moment: rows
	// that the next CHECKPOINT compresses, and copies that are being sorted.
	PassingBytes int64   `json:"passing_bytes"`
	Generation   int64   `json:"generation"` // of the worker; its supervisor sets it
	Images       []Image `json:"images"`     // hot, loading, and cold ones with a reason or a projection
}

// image is all rows of a dataset, merged, as a table of the serving database:
// what is shown of a hot dataset, or what a load is about to show. It changes by
// INSERT and DELETE only.
//
// Its numbers are as of the last committed transaction; change is what the open
// one adds, and is lost with it. The filter is the exception: what a failed
// transaction added to it does no harm.
type image struct {
	number   int64 // of the images made in this life
	table    string
	schema   lake.Schema
	key      *keys.Encoder // nil without a key
	filter   *keyFilter    // nil without a key
	codes    []*codes      // of columns with few values
	sequence int64         // everything up to it is in the table
	loadedAt time.Time
	sized    size
	opened   opened
	counts   imageCounts
	passed   int64       // counts.replaced when a rebuild was last considered
	at       time.Time   // when a row was last replaced or deleted
	change   imageChange // of the open transaction
}

// imageCounts are rows: in the table, and taken out of it since it was sorted.
type imageCounts struct{ rows, replaced int64 }

// imagePrefix begins the name of an image's table; the table uuid follows.
const imagePrefix = "image_"

// imageChange is what a transaction does to an image before it is committed.
type imageChange struct {
	counts   imageCounts
	sequence int64
	bytes    int64 // added, as the rows' Arrow form has them
}

func (p *publisher) newImage(uuid string, s lake.Schema) *image {
	p.images++
	m := &image{number: p.images, table: fmt.Sprintf(imagePrefix+"%s_%d", uuid, p.images), schema: s}
	if s.Keyed() {
		m.key = keys.NewEncoder(s.KeySchema(), s.KeyIndexes())
		m.filter = newKeyFilter(s.KeySchema())
	}
	return m
}

// create makes the image's empty table.
func (m *image) create(ctx context.Context, c *duck.Conn) error {
	parts := make([]string, len(m.schema.Columns))
	for i, col := range m.schema.Columns {
		parts[i] = lake.QuoteIdent(col.Name) + " " + col.Type.SQL()
	}
	for _, code := range m.codes {
		parts = append(parts, code.column+" UTINYINT")
	}
	return c.Exec(ctx, "CREATE TABLE "+internal(m.table)+" ("+strings.Join(parts, ", ")+")")
}

// view is the query that shows the image: a plain selection, through which
// filters reach the table and its zone maps.
func (m *image) view() string {
	return "SELECT " + coldView{schema: m.schema}.names("") + " FROM " + internal(m.table)
}

// guard covers no file: an image is read without any.
func (m *image) guard() *guard {
	return &guard{version: -m.number, image: m.table, columns: coldView{schema: m.schema}.names("d")}
}

func (m *image) commit() {
	m.counts.rows += m.change.counts.rows
	m.counts.replaced += m.change.counts.replaced
	if m.change.counts.replaced > 0 {
		m.at = time.Now()
	}
	m.sequence = max(m.sequence, m.change.sequence)
	if m.change.bytes > 0 {
		m.sized.append(m.change.bytes, m.opened.open(m.schema.Columns, len(m.codes)))
	}
	m.change = imageChange{}
}

func (m *image) undo() { m.change = imageChange{} }

// bytes is what the image takes of the budget.
func (m *image) bytes() int64 { return m.sized.bytes() + m.filter.bytes() }

// codeNames are the columns of numbers, behind others.
func (m *image) codeNames() string {
	names := ""
	for _, c := range m.codes {
		names += ", " + c.column
	}
	return names
}
