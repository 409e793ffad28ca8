package cli

import (
	"log/slog"

	"tarn/internal/handover"
	"tarn/internal/lake"
)

// clusterFlags say which clusters queries can be handed over to.
type clusterFlags struct {
	SparkURL       string `name:"spark-url" setting:"" placeholder:"URL" help:"A Spark Connect server that queries can be handed over to (engine=spark): sc://host:15002/;token=…;use_ssl=true. Better in the environment where a token is in it."`
	TrinoURL       string `name:"trino-url" setting:"" placeholder:"URL" help:"A Trino that queries can be handed over to (engine=trino): http://user@host:8080, https://user:password@host:8443. Better in the environment where a password is in it."`
	ClusterCatalog string `setting:"" default:"lake" placeholder:"NAME" help:"The name of the catalog under which these clusters know this lake."`
}

// clusters are those that are configured, by name.
type clusters map[string]handover.Cluster

// clusters makes their clients, which connect when they are first asked.
func (f *clusterFlags) clusters(p *Program) (clusters, error) {
	o := handover.Options{SparkURL: f.SparkURL, TrinoURL: f.TrinoURL, Catalog: f.ClusterCatalog, Version: p.Version}
	out := clusters{}
	for _, one := range []struct {
		url  string
		make func(handover.Options) (handover.Cluster, error)
	}{{f.SparkURL, handover.NewSpark}, {f.TrinoURL, handover.NewTrino}} {
		if one.url == "" {
			continue
		}
		c, err := one.make(o)
		if err != nil {
			return nil, usagef("%w", err).withHint("%s", lake.HintOf(err))
		}
		out[c.Name()] = c
	}
	return out, nil
}

// close ends their connections.
func (c clusters) close(log *slog.Logger) {
	for _, one := range c {
		if err := one.Close(); err != nil {
			log.Warn("close the connection to a cluster", "cluster", one.Name(), "error", err)
		}
	}
}
