package tables

import (
	"bytes"
	"database/sql/driver"
	"fmt"

	"carom"
	"carom/internal/seal"
)

// All objects are sealed, whatever their kind: a URL, a header or a template may hold somebody's token, and what no rule has to pick out
// cannot be forgotten. So is the key of views, in the table secrets, whose other rows tell nothing worth hiding. It is there from the
// first start on, so that it tells which key a database needs.

const (
	viewSealName  = "view_seal" // in the table secrets
	viewSealPlace = "secrets/" + viewSealName
)

// OpenObject returns the JSON of an object of which stored is what its row holds. Its errors are those of [seal.Ring.Open].
func OpenObject(keys *seal.Ring, kind, id, stored string) ([]byte, error) {
	return keys.Open(objectPlace(kind, id), []byte(stored))
}

func objectPlace(kind, id string) string { return "objects/" + kind + "/" + id }

// OpenViewSeal returns the key of views of which stored is what its row holds. Its errors are those of [seal.Ring.Open], and
// carom.ErrInvalid for what is none.
func OpenViewSeal(keys *seal.Ring, stored []byte) (key carom.ViewSeal, err error) {
	plain, err := keys.Open(viewSealPlace, stored)
	if err == nil && len(plain) != len(key) {
		err = fmt.Errorf("stored key of views: it has %d bytes: %w", len(plain), carom.ErrInvalid)
	}
	copy(key[:], plain)
	return key, err
}

// ViewSealQuery reads what the row of the key of views holds. No row: there was no start yet.
const ViewSealQuery = `SELECT value FROM secrets WHERE name = 'view_seal'`

func storedViewSeal(tx Tx) (stored []byte, err error) {
	return stored, tx.Query(ViewSealQuery, func(v []driver.Value) error {
		value, _ := v[0].([]byte)
		stored = bytes.Clone(value)
		return nil
	})
}

// canOpen keeps who lacks a key from writing over what that key has sealed.
func (t *Tables) canOpen(tx Tx) error {
	stored, err := storedViewSeal(tx)
	if err == nil && stored != nil {
		_, err = OpenViewSeal(t.o.Keys, stored)
	}
	return err
}

func (t *Tables) putObject(tx Tx, kind, id string, body []byte) error {
	return tx.Exec(`INSERT INTO objects (kind, id, body) VALUES (?, ?, ?)`, kind, id, string(t.o.Keys.Seal(objectPlace(kind, id), body)))
}

// Reseal opens all that is sealed, and seals anew what lies as it is or is sealed by an older key. It says whether there was any. Nodes
// that share the database read the objects again then, and one that cannot open them can no longer change them. [Tables.LoadViews] has
// made the key of views before.
//
// It returns a [seal.UnknownKeyError] when a key is missing, and carom.ErrInvalid for what was changed; nothing is written then.
func (t *Tables) Reseal(tx Tx) (changed bool, err error) {
	type object struct {
		kind, id string
		body     []byte
	}
	var all []object
	note := func(stored []byte) {
		id, _ := seal.SealedBy(stored)
		changed = changed || id != t.o.Keys.ID()
	}
	if err := tx.Query(`SELECT kind, id, body FROM objects ORDER BY kind, id`, func(v []driver.Value) error {
		kind, id, stored := v[0].(string), v[1].(string), v[2].(string)
		body, err := OpenObject(t.o.Keys, kind, id, stored)
		note([]byte(stored))
		all = append(all, object{kind, id, body})
		return err
	}); err != nil {
		return false, err
	}
	stored, err := storedViewSeal(tx)
	if err != nil {
		return false, err
	}
	key, err := OpenViewSeal(t.o.Keys, stored)
	if err != nil {
		return false, err
	}
	if note(stored); !changed {
		return false, nil
	}
	for _, statement := range []string{`DELETE FROM objects`, `DELETE FROM secrets WHERE name = 'view_seal'`, `UPDATE meta SET value = value + 1 WHERE key = 'objects_version'`} {
		if err := tx.Exec(statement); err != nil {
			return false, err
		}
	}
	for _, o := range all {
		if err := t.putObject(tx, o.kind, o.id, o.body); err != nil {
			return false, err
		}
	}
	return true, tx.Exec(`INSERT INTO secrets (name, value) VALUES (?, ?)`, viewSealName, t.o.Keys.Seal(viewSealPlace, key[:]))
}
