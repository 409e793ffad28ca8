package serving

import (
	"errors"
	"strconv"

	"tarn/internal/keyread"
	"tarn/internal/lake"
)

// keyRead reads rows of a dataset by a condition for its key, as d. It is put into
// SQL once it is known what the rows are read from.
type keyRead struct {
	uuid    string // of the dataset that it was made for
	columns string
	where   string
}

// errMoved says that another dataset has the name by now.
var errMoved = errors.New("the name is another dataset's by now")

// errReshaped says that the dataset has other columns by now.
var errReshaped = errors.New("the dataset has other columns by now")

// sql reads an image from its own table: to bind the view took a fifth of a point
// read.
func (k *keyRead) sql(name lake.Name, r *reading) (string, error) {
	if r.points[name.String()].TableUUID != k.uuid {
		return "", errMoved
	}
	if r.guards[0].columns != k.columns {
		return "", errReshaped
	}
	from := viewName(name)
	if image := r.guards[0].image; image != "" {
		from = internal(image)
	}
	return "SELECT " + k.columns + " FROM " + from + " d WHERE " + k.where, nil
}

// pointRead plans SELECT * by a key of one column without the gate, which would find
// nothing in it, and took a tenth of such a read.
func (s *Serving) pointRead(req Request) (plan, bool) {
	asked, ok := keyread.Parse(req.SQL)
	if !ok || req.MaxSQLBytes > 0 && len(req.SQL) > req.MaxSQLBytes {
		return plan{}, false
	}
	uuid, d, ok := s.ear.find(asked.Name())
	if !ok || !req.Visible.Has(d.name) {
		return plan{}, false
	}
	value, ok := asked.Key(d.schema, keyread.Params(req.Params))
	if !ok {
		return plan{}, false
	}
	text := spelled(d.schema.KeySchema().Columns[0].Type, value)
	return plan{datasets: []lake.Name{d.name}, repeatable: true, byKey: &keyRead{
		uuid:    uuid,
		columns: coldView{schema: d.schema}.names("d"),
		where:   "d." + lake.QuoteIdent(d.schema.Key[0]) + " = " + text,
	}}, true
}

// spelled is a value of keyread.Read.Key as SQL.
func spelled(t lake.Type, value any) string {
	if text, ok := value.(string); ok {
		return lake.QuoteString(text)
	}
	return cast(strconv.FormatInt(value.(int64), 10), t)
}
