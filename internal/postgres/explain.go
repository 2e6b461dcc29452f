package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"carom"
)

// explain says of an error at the start which part of the setting `database` is wrong, or what is wrong with the server, and what to
// do. What can be mended in the settings only is carom.ErrInvalid; what may pass by itself is carom.ErrUnavailable. The text never
// holds a password.
func explain(config *pgx.ConnConfig, err error) error {
	var field *carom.FieldError
	if errors.As(err, &field) {
		return err
	}
	at := fmt.Sprintf("%s port %d", config.Host, config.Port)
	if severalHosts(&config.Config) {
		at = "any of the hosts"
	}
	var pe *pgconn.PgError
	var dns *net.DNSError
	var timeout net.Error
	var say string
	kind := carom.ErrUnavailable
	switch {
	case errors.As(err, &pe):
		if say, kind = explainServer(config, pe); say == "" {
			return fmt.Errorf("database: %w", err)
		}
		say += " (" + pe.Message + ", SQLSTATE " + pe.Code + ")"
	case errors.Is(err, carom.ErrConflict), errors.Is(err, carom.ErrInvalid):
		return fmt.Errorf("database: %w", err)
	case errors.As(err, &dns):
		say = fmt.Sprintf("the name %q is not known to the name server: look at the host in the URL", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		say = "nothing listens at " + at + ": is PostgreSQL running there, and does listen_addresses let others in? Look at host and port in the URL"
	case errors.Is(err, syscall.ENOENT):
		say = "there is no socket at " + at + ": is PostgreSQL running? Look at the host in the URL, which names the socket's folder"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		say = "no answer from " + at + " in time: look at host and port in the URL, and at firewalls between here and there"
	default:
		return fmt.Errorf("database: %w", err)
	}
	return fmt.Errorf("database: %s: %w", say, kind)
}

// explainServer puts the server's refusal into words; "" when its own say all.
func explainServer(config *pgx.ConnConfig, pe *pgconn.PgError) (say string, kind error) {
	switch pe.Code {
	case "28P01": // invalid_password
		return fmt.Sprintf("the password of the role %q is wrong, or the role is not there: look at the URL, `database_file` or PGPASSFILE", config.User), carom.ErrInvalid
	case "28000": // invalid_authorization_specification
		return fmt.Sprintf("the role %q may not connect from here: look at the user in the URL, at pg_hba.conf of the server, and whether it asks for TLS (sslmode)", config.User), carom.ErrInvalid
	case "3D000": // invalid_catalog_name
		return fmt.Sprintf("there is no database %q: look at the name in the URL, or make it: CREATE DATABASE %s OWNER %s", config.Database, quoted(config.Database), quoted(config.User)), carom.ErrInvalid
	case "42501": // insufficient_privilege
		return fmt.Sprintf("the role %q lacks a right: make it the owner of the database, or run GRANT CREATE, USAGE ON SCHEMA public TO %s as its owner; tables that others made here belong to it only after ALTER TABLE … OWNER TO %[2]s",
			config.User, quoted(config.User)), carom.ErrInvalid
	case "08P01": // protocol_violation
		return "what answers does not let a connection be used as carom needs it: a pooler with pool_mode = statement cannot be used, since it allows no transactions; set it to transaction or session", carom.ErrInvalid
	case "53300": // too_many_connections
		return fmt.Sprintf("the server has no connection left: raise max_connections, or the role's CONNECTION LIMIT; a node needs %d", connections), carom.ErrUnavailable
	case "57P03": // cannot_connect_now
		return "the server is starting or stopping: try again in a moment", carom.ErrUnavailable
	case "53100": // disk_full
		return "the server's disk is full: make room there", carom.ErrUnavailable
	}
	return "", nil
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
