package cli

import (
	"context"
	"errors"
	"time"

	"tarn/internal/client"
	"tarn/internal/engine"
	"tarn/internal/httpapi"
	"tarn/internal/lake"
	"tarn/internal/store/bucket"
)

// clientFlags say which lake a command works on: that of a server, or one on
// this machine.
type clientFlags struct {
	Server string `group:"where" setting:"" placeholder:"URL" help:"Talk to this server instead of a lake on this machine."`

	serverFlags `embed:""`

	lakeFlags `embed:"" set:"logLevel=warn"`
}

// lakeDoor is a lake as a command reaches it.
type lakeDoor struct {
	*client.Client
	Where string // the server's URL, or the folder
}

// lakeMust says what a command expects to find.
type lakeMust bool

const (
	lakeExists lakeMust = true  // a folder without a lake is an error
	lakeMade   lakeMust = false // a new lake is made there
)

// withLake runs a command's work on the lake that the flags name, in this
// order: the server of --server; the server that has the folder open, found by
// its lock; the folder itself, opened here. The work sees no difference.
func (f *clientFlags) withLake(ctx context.Context, p *Program, must lakeMust, work func(lakeDoor) error) error {
	return f.withLakeAnd(ctx, p, must, func(*engine.Options) (func(), error) { return func() {}, nil }, work)
}

// withLakeAnd is withLake where a lake that is opened here needs more than settings: add
// puts it into the options, and gives what ends it once the lake is closed.
func (f *clientFlags) withLakeAnd(ctx context.Context, p *Program, must lakeMust, add func(*engine.Options) (end func(), err error), work func(lakeDoor) error) error {
	if f.Server != "" {
		return f.atServer(f.Server, work)
	}
	holder, held, err := f.holder()
	switch {
	case err != nil:
		return lake.Step("look who has the lake "+f.Data, err)
	case held && holder.URL != "":
		return f.atServer(holder.URL, work)
	}
	o := f.options(p, logger(p.Stderr, f.LogLevel))
	o.Brief = true
	if must == lakeExists {
		if err := f.exists(ctx, o); err != nil {
			return err
		}
	}
	done, err := add(&o)
	if err != nil {
		return err
	}
	defer done()
	opened, err := engine.Open(ctx, o)
	if err != nil {
		return err
	}
	if bucket.IsURL(f.Data) {
		o.Log.Warn("the command opened the bucket itself: a server elsewhere that has it open answers nothing more; --server talks to one instead", "lake", f.Data)
	}
	c, end := client.NewInMemory(httpapi.New(opened, httpapi.Options{Version: p.Version}))
	err = work(lakeDoor{c, f.Data})
	end()
	// What was acknowledged is durable; closing is only given a bound.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer cancel()
	return errors.Join(err, opened.Close(closing))
}

func (f *clientFlags) atServer(url string, work func(lakeDoor) error) error {
	rt, err := f.transport()
	if err != nil {
		return err
	}
	c, err := client.New(url, rt)
	if err != nil {
		return err
	}
	defer c.Close()
	err = work(lakeDoor{c, url})
	if lake.CodeOf(err) == lake.CodeUnauthorized {
		return lake.Errorf(lake.CodeUnauthorized, "%w", err).WithHint("say who you are by TARN_TOKEN or --token-file")
	}
	return err
}

// datasetName is [namespace.]name on the command line.
type datasetName struct{ lake.Name }

// UnmarshalText reads a name.
func (n *datasetName) UnmarshalText(text []byte) error {
	name, err := lake.ParseName(string(text))
	if err != nil {
		return err
	}
	n.Name = name
	return nil
}

// elapsed is a duration for people: 12 ms, 3.4 s.
func elapsed(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
