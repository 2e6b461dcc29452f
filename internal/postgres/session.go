package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// shortest is the shortest time limit that may stand for sessions whose settings carom cannot choose: taking over what a dead node
// left, or bringing the tables up to date, is one statement or transaction that may take that long.
const shortest = time.Minute

// limits are the settings by which a server ends statements and sessions. Carom ends what it no longer waits for by itself; a limit
// that somebody set for a role or a database, with others in mind, would only make commits fail.
var limits = []string{"statement_timeout", "lock_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout"}

// settings are those of a session. A transaction whose node says nothing for as long as a lease lasts is ended by the server: a
// process that is halted in the middle of a commit would hold up all others otherwise, since what it has locked stays locked.
func (s *Store) settings() map[string]string {
	out := map[string]string{}
	for _, name := range limits {
		out[name] = "0"
	}
	out["idle_in_transaction_session_timeout"] = strconv.FormatInt(s.opts.leaseTime.Milliseconds(), 10)
	return out
}

// choose has the connections that are made from now on begin with the settings. Through a pooler a session belongs to many, so that
// they are made in each transaction instead, by limitTransaction.
func (s *Store) choose(l *link) {
	for name, value := range s.settings() {
		s.config.RuntimeParams[name] = value
	}
	if l.major() >= 17 { // where it is known
		s.config.RuntimeParams["transaction_timeout"] = "0"
	}
}

// limitTransaction is what a transaction begins with behind a pooler.
func (s *Store) limitTransaction() *statement {
	var calls []string
	for name, value := range s.settings() {
		calls = append(calls, fmt.Sprintf("set_config('%s', '%s', true)", name, value))
	}
	slices.Sort(calls)
	return one("limit_transaction", "SELECT "+strings.Join(calls, ", "))
}

// major is the server's release, as it says at the beginning of a connection; 0 when it is not a number.
func (l *link) major() int {
	text, _, _ := strings.Cut(l.conn.ParameterStatus("server_version"), ".")
	n, _ := strconv.Atoi(text) // "18beta1" counts as older, and is not limited by what only newer ones know
	return n
}

// severalHosts says whether the URL names more than one server, one of which takes writes.
func severalHosts(config *pgconn.Config) bool {
	return slices.ContainsFunc(config.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.Host != config.Host || f.Port != config.Port })
}
