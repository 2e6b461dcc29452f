package server

import (
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"carom/internal/config"
	"carom/internal/guard"
	"carom/internal/ingest"
)

// bounds are what anybody may take up of this process.
type bounds struct {
	conns    *guard.Connections
	waiting  int             // for views, at the same time: half of the connections, unless that is more than views want
	attempts int             // at the same time: max_in_flight, or what the limit of open files leaves of it
	failures ingest.Failures // nil: unverified requests have no limit
}

// newBounds makes the bounds of the settings fit the machine, and says so where they do not.
func newBounds(cfg config.Config, st Store, registry *prometheus.Registry, log *slog.Logger) bounds {
	connections, attempts := cfg.MaxConnections, cfg.MaxInFlight
	if files, limited := guard.OpenFiles(); limited {
		var lowered bool
		if connections, attempts, lowered = guard.Fit(files, connections, attempts); lowered {
			log.Warn("this process may open too few files for its settings: raise the limit with LimitNOFILE in the service's unit or `ulimit -n`, or lower max_connections",
				"open_files", files, "needed", guard.FilesFor(cfg.MaxConnections, cfg.MaxInFlight), "max_connections", connections, "max_in_flight", attempts)
		}
	}
	perAddress := cfg.MaxConnectionsPerAddress
	if perAddress == 0 {
		perAddress = max(connections/8, 1)
	}
	exempt := slices.Concat(cfg.ExemptAddresses, cfg.TrustedProxies)
	b := bounds{attempts: attempts, waiting: min(connections/2, 20_000), conns: guard.NewConnections(guard.Limits{Max: connections, PerAddress: perAddress, Exempt: exempt})}
	if cfg.UnverifiedPerAddress > 0 {
		queued, half := &st.Stats().Queued, int64(cfg.MaxQueue/2)
		b.failures = guard.NewBudget(guard.Terms{
			Rate: cfg.UnverifiedPerAddress, Exempt: cfg.ExemptAddresses, Pressed: func() bool { return queued.Load() > half },
		})
	}
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "carom_connections", Help: "Inbound connections that are open."},
		func() float64 { return float64(b.conns.Open()) }))
	for reason, count := range map[string]func() int64{
		"full":    func() int64 { full, _ := b.conns.Shed(); return full },
		"address": func() int64 { _, address := b.conns.Shed(); return address },
	} {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "carom_shed_total", Help: ingest.ShedHelp, ConstLabels: prometheus.Labels{"reason": reason},
		}, func() float64 { return float64(count()) }))
	}
	return b
}
