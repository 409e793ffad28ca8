package cli

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"tarn/internal/access"
	"tarn/internal/lake"
)

type tokenCommand struct {
	New    tokenNewCommand    `cmd:"" help:"Make a token and print it, once."`
	List   tokenListCommand   `cmd:"" help:"List the tokens of a file."`
	Revoke tokenRevokeCommand `cmd:"" help:"Take a token out of a file."`
}

func (*tokenCommand) Help() string {
	return `A server started with --auth-file asks for a token of that file. The file holds only the tokens' SHA-256, and the server reads it again when it changes.

Examples:

  tarn token new boss --role admin --auth-file tokens.yaml
  tarn token new dashboard --role read --dataset 'sales.*' --dataset orders
  tarn token new loader --role write --dataset orders --dataset clients=read --expires 2160h
  tarn token revoke dashboard --auth-file tokens.yaml`
}

// tokenFlags name the file.
type tokenFlags struct {
	AuthFile string `setting:"" placeholder:"FILE" help:"The file of tokens."`
	Config   string `setting:"" placeholder:"FILE" help:"Settings in YAML; by default tarn.yaml where it is there."`
}

func (f *tokenFlags) named() error {
	if f.AuthFile == "" {
		return usagef("it is not said which file of tokens").withHint("name it with --auth-file")
	}
	return nil
}

type tokenNewCommand struct {
	ID      string   `arg:"" help:"Name of the token, for logs: letters, digits and . _ @ -."`
	Role    string   `placeholder:"ROLE" help:"read, write or admin: on the whole lake, or on the datasets of --dataset."`
	Dataset []string `sep:"none" placeholder:"NAME" help:"Only these datasets, such as orders, sales.* or clients=read for another role; may be repeated."`
	Metrics bool     `help:"It may read /metrics."`
	Expires string   `placeholder:"TIME" help:"When it ends: a time such as 2160h from now, or a date such as 2027-01-31."`
	Note    string   `placeholder:"TEXT" help:"For people who read the file."`

	Rate       float64 `placeholder:"N" help:"Requests a second that it may send."`
	Burst      int     `placeholder:"N" help:"Requests that it may send at once; unless said, those of a second."`
	Concurrent int     `placeholder:"N" help:"Requests of it that may run at once."`
	Body       string  `placeholder:"SIZE" help:"Largest body of its requests."`

	tokenFlags `embed:""`
}

func (c *tokenNewCommand) Run(p *Program) error {
	token := access.NewToken()
	e, err := c.entry(token, time.Now())
	if err != nil {
		return err
	}
	text, err := access.Text(e)
	if err != nil {
		return err
	}
	if _, err := access.Parse(text); err != nil {
		return usagef("the token %s: %w", c.ID, err)
	}
	if c.AuthFile != "" {
		if err := access.Add(c.AuthFile, e); err != nil {
			return usagef("--auth-file: %w", err)
		}
		fmt.Fprintf(p.Stderr, "%s is in %s; its token is shown only now:\n", c.ID, c.AuthFile)
	} else {
		fmt.Fprintf(p.Stderr, "For the server's file of tokens:\n\n%s\nThe token, which is shown only now:\n", text)
	}
	_, err = fmt.Fprintln(p.Stdout, token)
	return err
}

// entry is the token as its file will have it.
func (c *tokenNewCommand) entry(token string, now time.Time) (*access.Entry, error) {
	hash := access.HashOf(token)
	e := &access.Entry{ID: c.ID, SHA256: hex.EncodeToString(hash[:]), Metrics: c.Metrics, Note: c.Note}
	for _, d := range c.Dataset {
		pattern, role, said := strings.Cut(d, "=")
		if !said {
			role = c.Role
		}
		if role == "" {
			return nil, usagef("--dataset %s has no role", d).withHint("give --role read or --role write, or write %s=read", d)
		}
		if e.Grants == nil {
			e.Grants = map[string]string{}
		}
		e.Grants[pattern] = role
	}
	if len(c.Dataset) == 0 {
		e.Role = c.Role
	}
	if c.Expires != "" {
		var err error
		if e.Expires, err = expiry(c.Expires, now); err != nil {
			return nil, err
		}
	}
	if c.Rate != 0 || c.Burst != 0 || c.Concurrent != 0 || c.Body != "" {
		e.Limits = &access.EntryLimits{RequestsPerSecond: c.Rate, Burst: c.Burst, Concurrent: c.Concurrent, BodyBytes: c.Body}
	}
	return e, nil
}

func expiry(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d > 0 {
		return now.Add(d).UTC().Truncate(time.Second), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			if !t.After(now) {
				return t, usagef("--expires %s is past", text)
			}
			return t.UTC(), nil
		}
	}
	return time.Time{}, usagef("--expires %s is neither a time nor a date", text).withHint("such as 2160h or 2027-01-31")
}

type tokenListCommand struct {
	Output string `short:"o" enum:"table,json" default:"table" placeholder:"FORMAT" help:"${enum}."`

	tokenFlags `embed:""`
}

func (c *tokenListCommand) Run(p *Program) error {
	if err := c.named(); err != nil {
		return err
	}
	all, err := access.List(c.AuthFile)
	if err != nil {
		return usagef("--auth-file: %w", err)
	}
	if c.Output == "json" {
		return writeJSON(p.Stdout, tokenList(all))
	}
	t := newTable(p.Stdout, width(p.Stdout))
	t.AppendHeader(table.Row{"token", "may", "expires", "note"})
	for _, e := range all {
		t.AppendRow(table.Row{e.ID, mayText(e), expiresText(e, time.Now()), shown(e.Note)})
	}
	t.Render()
	return nil
}

// listedToken is a token as list shows it: not its hash, which nobody needs to see.
type listedToken struct {
	ID      string            `json:"id"`
	Role    string            `json:"role,omitempty"`
	Grants  map[string]string `json:"grants,omitempty"`
	Metrics bool              `json:"metrics,omitempty"`
	Expires time.Time         `json:"expires,omitzero"`
	Note    string            `json:"note,omitempty"`
}

func tokenList(all []*access.Entry) []listedToken {
	out := []listedToken{}
	for _, e := range all {
		out = append(out, listedToken{ID: e.ID, Role: e.Role, Grants: e.Grants, Metrics: e.Metrics, Expires: e.Expires, Note: e.Note})
	}
	return out
}

func mayText(e *access.Entry) string {
	var may []string
	if e.Role != "" {
		may = append(may, e.Role+" the whole lake")
	}
	for _, pattern := range slices.Sorted(maps.Keys(e.Grants)) {
		may = append(may, e.Grants[pattern]+" "+pattern)
	}
	if e.Metrics {
		may = append(may, "metrics")
	}
	return strings.Join(may, ", ")
}

func expiresText(e *access.Entry, now time.Time) string {
	switch {
	case e.Expires.IsZero():
		return "never"
	case !now.Before(e.Expires):
		return "expired"
	}
	return e.Expires.UTC().Format(time.RFC3339)
}

type tokenRevokeCommand struct {
	ID string `arg:"" help:"The token's name."`

	tokenFlags `embed:""`
}

func (c *tokenRevokeCommand) Run(p *Program) error {
	if err := c.named(); err != nil {
		return err
	}
	err := access.Remove(c.AuthFile, c.ID)
	switch {
	case errors.Is(err, access.ErrNoToken):
		return lake.Errorf(lake.CodeNotFound, "there is no token %s in %s", c.ID, c.AuthFile).WithHint("tarn token list shows those that are")
	case errors.Is(err, fs.ErrNotExist):
		return lake.Errorf(lake.CodeNotFound, "there is no file %s", c.AuthFile)
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(p.Stdout, "%s is revoked; a server that runs notices within seconds\n", c.ID)
	return err
}
