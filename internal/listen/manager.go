package listen

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Manager is the service manager that started this process, if one did: systemd, or what speaks like it. Without one its
// methods do nothing.
type Manager struct{ log *slog.Logger }

// NewManager returns the manager that the environment names.
func NewManager(log *slog.Logger) Manager { return Manager{log} }

func (m Manager) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.Warn("the service manager cannot be told", "state", state, "error", err)
	}
}

// Ready says that this process serves, and again after Reloading that it is done.
func (m Manager) Ready() { m.tell(daemon.SdNotifyReady) }

// Stopping says that this process begins to stop.
func (m Manager) Stopping() { m.tell(daemon.SdNotifyStopping) }

// Reloading says that this process reads its files again.
func (m Manager) Reloading() { m.tell(daemon.SdNotifyReloading + monotonic()) }

// Run gives the signs of life that the manager asks for, until ctx ends.
func (m Manager) Run(ctx context.Context) error {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		m.log.Warn("the service manager asks for signs of life in a way that is not understood", "error", err)
	}
	if within <= 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(within / 2)
	defer tick.Stop()
	for {
		m.tell(daemon.SdNotifyWatchdog)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
