package store

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

// writeCounts puts the batch's sums into the open transaction.
func (s *Store) writeCounts() error {
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
	for k, n := range s.counts.Deliveries() {
		if err := s.st.deliveryCount.exec(k.Minute, int64(k.Endpoint), k.Outcome, n); err != nil {
			return err
		}
	}
	return nil
}
