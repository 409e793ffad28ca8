package foreign

import (
	"strings"

	"tarn/internal/lake"
)

// Source says where a table of others is: a place, or a table of a catalog. It is what is
// kept of an attached table, to read it again: a folder and a catalog follow the table, and
// a metadata file stays what it is.
type Source struct {
	// Location is a metadata file, or the folder of a table: file:///…, /…, s3://…, gs://…,
	// azblob://….
	Location string
	// Catalog is the name of a configured catalog, with Table; else "".
	Catalog string
	// Table is namespace.name in the catalog. Dots part nested namespaces, and the last part
	// is the table.
	Table string
}

// String is the source as a person would write it: the location, or
// catalog:prod/sales.orders.
func (s Source) String() string {
	if s.Catalog != "" {
		return "catalog:" + s.Catalog + "/" + s.Table
	}
	return s.Location
}

func (s Source) check() error {
	switch {
	case s.Catalog == "" && s.Table != "":
		return lake.Errorf(lake.CodeInvalidRequest, "the table %s is of no catalog", s.Table).WithHint("name the catalog, or the table's location")
	case s.Catalog == "" && s.Location == "":
		return lake.Errorf(lake.CodeInvalidRequest, "no table is named").WithHint("name the folder of a table, a metadata file, or a table of a catalog")
	case s.Catalog == "":
		return nil
	case s.Location != "":
		return lake.Errorf(lake.CodeInvalidRequest, "the table is named twice: %s and %s", s.Location, s)
	}
	parts := strings.Split(s.Table, ".")
	for _, part := range parts {
		if part == "" || len(parts) < 2 {
			return lake.Errorf(lake.CodeInvalidRequest, "%q names no table of a catalog", s.Table).WithHint("write it like sales.orders: the namespace, a dot, the table")
		}
	}
	return nil
}

// Catalog is an Iceberg REST catalog that is configured.
type Catalog struct {
	Name      string // by which sources name it
	URI       string // what stands before /v1/config
	Warehouse string // for catalogs that have several; may be empty
	TokenFile string // holds a bearer token, and is read at each use; "": no token is sent
}
