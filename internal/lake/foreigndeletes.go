package lake

// ForeignDeletes is what the position deletes of another program's commit are held
// against: a commit is one snapshot or several in a row, and each has data files that are
// live in it, with the delete files that may apply to them.
type ForeignDeletes struct {
	// Whole says that a data file has one delete file, of all its dead rows: a deletion
	// vector. Else the rows of its delete files add up.
	Whole  bool            `json:"whole,omitempty"`
	Theirs []ForeignDelete `json:"theirs,omitempty"`
	Files  []MarkedFile    `json:"files"` // every data file that is live before the commit, or in one of its snapshots
}

// ForeignDelete is a position delete file that the other program wrote. It may be of any
// number of data files, and its positions may repeat others.
type ForeignDelete struct {
	DeleteFile
	Rows int64  `json:"rows"` // as its manifest says
	Live []bool `json:"live"` // by snapshot
}

// MarkedFile is a data file with the delete files that it has before a commit, and in each
// snapshot of it.
type MarkedFile struct {
	Key       string         `json:"key"`
	Location  string         `json:"location"`         // as position deletes name it
	Writes    string         `json:"writes,omitempty"` // as those that are written are to name it; "": likewise
	Rows      int64          `json:"rows"`
	Before    []DeleteFile   `json:"before,omitempty"` // that the table had
	Snapshots []MarkSnapshot `json:"snapshots"`
}

// MarkSnapshot is what a data file has in one snapshot.
type MarkSnapshot struct {
	Live   bool  `json:"live"`
	Stays  []int `json:"stays,omitempty"`  // of MarkedFile.Before, those that are left
	Theirs []int `json:"theirs,omitempty"` // of ForeignDeletes.Theirs, those that may apply
}

// Concerned says whether a commit changes the delete files of a data file that it keeps
// or brings.
func (f MarkedFile) Concerned() bool {
	for _, s := range f.Snapshots {
		if s.Live && (len(s.Theirs) > 0 || len(s.Stays) != len(f.Before)) {
			return true
		}
	}
	return false
}
