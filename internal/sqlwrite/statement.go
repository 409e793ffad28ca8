package sqlwrite

import "tarn/internal/lake"

// Verb is what a statement does.
type Verb string

// The verbs.
const (
	Insert Verb = "insert"
	Update Verb = "update"
	Delete Verb = "delete"
	Merge  Verb = "merge"
)

// Statement is the outer form of one statement. Its pieces are texts of the statement.
type Statement struct {
	Verb    Verb
	Explain bool   // a dry run
	With    string // the leading WITH list, from its WITH to its last ); "" for none
	Target  lake.Name
	Alias   string // of the target, unquoted; "" for none

	Columns []string // of INSERT, unquoted; nil: all, in their order
	ByName  bool     // the columns are those of Source, by their names: see NamesRead
	Values  []Row    // of INSERT … VALUES
	Source  string   // of INSERT: a query; "" with Values and with DEFAULT VALUES
	after   []string // parameters behind what NamesRead reads
	// OnConflict is nil where a key that exists is an error.
	OnConflict *OnConflict

	Set   []Assignment // of UPDATE
	From  string       // of UPDATE … FROM and DELETE … USING; "" for none
	Where string       // of UPDATE and DELETE; "" for none

	Merge *Merging // of MERGE

	Returning []Output // what it gives of each row that it changes; nil for none
}

// Output is a part of RETURNING: an expression over the columns of the target, or all
// of these.
type Output struct {
	Star  bool
	Expr  string
	Alias string // unquoted; "" for none
}

// Row is one row of VALUES: an expression a column.
type Row []string

// OnConflict says what becomes of a row whose key exists.
type OnConflict struct {
	Columns []string     // that the statement names as the key, unquoted; nil: none
	Replace bool         // INSERT OR REPLACE: all columns that the statement gives
	Set     []Assignment // DO UPDATE; nil with Replace, and for DO NOTHING
	Where   string       // of DO UPDATE; "" for none
}

// Nothing says whether such rows are passed over.
func (c *OnConflict) Nothing() bool { return !c.Replace && c.Set == nil }

// Assignment is column = expression.
type Assignment struct {
	Column string // unquoted
	Expr   string // NULL for DEFAULT: columns have no default value
}
