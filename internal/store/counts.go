package store

import (
	"database/sql/driver"
	"strings"

	"carom"
	"carom/internal/tables"
)

const (
	upsertCount = `INSERT INTO counts (minute, app, source, zone_id, request_var, event_type, value, outcome, n, price_units, price_nanos)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
		ON CONFLICT (minute, app, source, zone_id, request_var, event_type, value, outcome)
		DO UPDATE SET n = n + ?9, price_units = price_units + ?10, price_nanos = price_nanos + ?11`
	upsertQuarterCount = `INSERT INTO quarter_counts (quarter, app, source, zone_id, event_type, value, outcome, n, price_units, price_nanos)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
		ON CONFLICT (quarter, app, source, zone_id, event_type, value, outcome)
		DO UPDATE SET n = n + ?8, price_units = price_units + ?9, price_nanos = price_nanos + ?10`
	upsertDeliveryCount = `INSERT INTO delivery_counts (minute, endpoint, outcome, n) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (minute, endpoint, outcome) DO UPDATE SET n = n + ?4`
)

// writeCounts puts the batch's sums into the open transaction, and those by spot if they go with it.
func (s *Store) writeCounts(spots bool) error {
	for k, t := range s.counts.Received() {
		if err := s.st.count.exec(k.Minute, k.App, k.Source, k.Zone, k.RequestVar, k.EventType, k.Value, k.Outcome, t.N, t.Units, t.Nanos); err != nil {
			return err
		}
	}
	for k, t := range s.counts.Quarters() {
		if err := s.st.quarterCount.exec(k.Quarter, k.App, k.Source, k.Zone, k.EventType, k.Value, k.Outcome, t.N, t.Units, t.Nanos); err != nil {
			return err
		}
	}
	if err := s.writeReports(spots); err != nil {
		return err
	}
	for k, n := range s.counts.Deliveries() {
		if err := s.st.deliveryCount.exec(k.Minute, int64(k.Endpoint), k.Outcome, n); err != nil {
			return err
		}
	}
	return nil
}

// writeReports puts into the open transaction what reports read.
func (s *Store) writeReports(spots bool) error {
	args := make([]driver.Value, 0, 24)
	measures := func(m *carom.Measures) []driver.Value {
		for _, n := range tables.MeasureValues(m) {
			args = append(args, n)
		}
		return args
	}
	for k, m := range s.counts.Sources() {
		args = append(args[:0], int64(1), k.Quarter, k.App, k.Source, k.EventType, k.Currency)
		if err := s.st.sourceCount.exec(measures(&m)...); err != nil {
			return err
		}
	}
	if spots {
		for k, m := range s.counts.Spots() {
			args = append(args[:0], int64(1), k.Quarter, k.App, k.Zone, k.SubZone, k.RequestVar, k.Currency)
			if err := s.st.spotCount.exec(measures(&m)...); err != nil {
				return err
			}
		}
	}
	for k, n := range s.counts.Details() {
		if err := s.st.detailCount.exec(int64(1), k.Quarter, k.App, k.Source, k.Kind, k.Detail, n); err != nil {
			return err
		}
	}
	return nil
}

// upsertSums adds a row of sums to a table.
func upsertSums(table string, key []string, sums ...string) string {
	add := make([]string, len(sums))
	for i, column := range sums {
		add[i] = column + " = " + column + " + excluded." + column
	}
	return `INSERT INTO ` + table + ` (` + strings.Join(append(key[:len(key):len(key)], sums...), ", ") + `) VALUES (` +
		strings.TrimSuffix(strings.Repeat("?,", len(key)+len(sums)), ",") + `) ON CONFLICT (` + strings.Join(key, ", ") + `) DO UPDATE SET ` + strings.Join(add, ", ")
}
