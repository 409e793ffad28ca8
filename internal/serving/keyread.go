package serving

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"

	"tarn/internal/duck"
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
	asked, ok := duck.AsPointRead(req.SQL)
	if !ok || req.MaxSQLBytes > 0 && len(req.SQL) > req.MaxSQLBytes {
		return plan{}, false
	}
	if asked.Namespace == "" {
		asked.Namespace = lake.DefaultNamespace
	}
	uuid, d, ok := s.ear.find(lake.Name{Namespace: asked.Namespace, Dataset: asked.Dataset})
	if !ok || !req.Visible.Has(d.name) || len(d.schema.Key) != 1 || !strings.EqualFold(d.schema.Key[0], asked.Column) {
		return plan{}, false
	}
	value := asked.Value
	switch {
	case asked.Parameter && len(req.Params.Positional) == 1 && len(req.Params.Named) == 0:
		value = req.Params.Positional[0]
	case asked.Parameter || len(req.Params.Positional)+len(req.Params.Named) > 0:
		return plan{}, false
	}
	text, ok := keyText(d.schema.KeySchema().Columns[0].Type, value)
	if !ok {
		return plan{}, false
	}
	return plan{datasets: []lake.Name{d.name}, repeatable: true, byKey: &keyRead{
		uuid:    uuid,
		columns: coldView{schema: d.schema}.names("d"),
		where:   "d." + lake.QuoteIdent(d.schema.Key[0]) + " = " + text,
	}}, true
}

// keyText spells a value that a key can equal without a cast of either; ok is false
// for all others.
func keyText(t lake.Type, value any) (text string, ok bool) {
	switch v := value.(type) {
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		if err != nil {
			return "", false
		}
		return keyText(t, n)
	case int64:
		if t.Kind == lake.Bigint || t.Kind == lake.Integer && v >= math.MinInt32 && v <= math.MaxInt32 {
			return cast(strconv.FormatInt(v, 10), t), true
		}
	case string:
		if t.Kind == lake.Varchar {
			return lake.QuoteString(v), strings.IndexByte(v, 0) < 0
		}
	}
	return "", false
}
