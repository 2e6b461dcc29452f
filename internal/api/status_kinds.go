package api

// Kind says what an item of the status is, in a word that stays the same over releases. An alert is about one kind and one
// subject, and each kind has its page in docs/runbook.
type Kind string

// The kinds, those of this server and its machine first.
const (
	KindDiskTrouble  Kind = "disk-trouble"     // nothing can be stored
	KindDiskSpace    Kind = "disk-space"       // the data folder's disk has little room
	KindClock        Kind = "clock"            // the clock was set while the server ran
	KindCertificate  Kind = "certificate"      // one expires, or cannot be had
	KindPlainHTTP    Kind = "plain-http"       // secrets travel unencrypted
	KindInClear      Kind = "secrets-in-clear" // secrets lie in the database as they are
	KindAlertChannel Kind = "alert-channel"    // alerts cannot be sent
	KindNodeSilent   Kind = "node-silent"      // a node shows no sign of life, or what it left waits
	KindNodeClock    Kind = "node-clock"       // a node's clock is not the database's
	KindStatusFailed Kind = "status-failed"    // the status cannot be judged; found by the alerts alone

	KindNoSource       Kind = "no-source"       // nothing can come in
	KindNoEndpoint     Kind = "no-endpoint"     // nothing goes out
	KindUnknownSenders Kind = "unknown-senders" // postbacks name no app or source that there is

	KindSourceSilent     Kind = "source-silent"     // nothing comes any more
	KindSourceUnheard    Kind = "source-unheard"    // nothing came for a week, or ever
	KindSourceRefusing   Kind = "source-refusing"   // verified postbacks cannot be used
	KindSourceFrozen     Kind = "source-frozen"     // events wait for a person's release
	KindSourceShadow     Kind = "source-shadow"     // events are judged and not sent
	KindLiteralMacros    Kind = "literal-macros"    // {ymid} arrives as text
	KindWrongSecrets     Kind = "wrong-secrets"     // the door is knocked at with another secret
	KindYMIDsRepeated    Kind = "ymids-repeated"    // paid views are taken for copies
	KindCopiesConflict   Kind = "copies-conflict"   // copies differ in amount or user
	KindEventsHeld       Kind = "events-held"       // their value is a word that nobody knows
	KindEventsUnmatched  Kind = "events-unmatched"  // no endpoint wants them
	KindRewardsUncounted Kind = "rewards-uncounted" // no rule counts what the network pays for
	KindRewardsDeclined  Kind = "rewards-declined"  // rules decline for a reason that nobody wants

	KindEndpointPaused  Kind = "endpoint-paused"
	KindEndpointDead    Kind = "endpoint-dead"            // its breaker is open
	KindEndpointFailing Kind = "endpoint-failing"         // some deliveries fail
	KindEndpointSlow    Kind = "endpoint-slow"            // it takes less than comes in
	KindNearDeadline    Kind = "deliveries-near-deadline" // what waits expires soon
	KindDeliveriesEnded Kind = "deliveries-ended"         // some were given up or expired
)

// Kinds lists every kind.
func Kinds() []Kind {
	return []Kind{
		KindDiskTrouble, KindDiskSpace, KindClock, KindCertificate, KindPlainHTTP, KindInClear, KindAlertChannel, KindNodeSilent, KindNodeClock, KindStatusFailed,
		KindNoSource, KindNoEndpoint, KindUnknownSenders,
		KindSourceSilent, KindSourceUnheard, KindSourceRefusing, KindSourceFrozen, KindSourceShadow, KindLiteralMacros, KindWrongSecrets,
		KindYMIDsRepeated, KindCopiesConflict, KindEventsHeld, KindEventsUnmatched, KindRewardsUncounted, KindRewardsDeclined,
		KindEndpointPaused, KindEndpointDead, KindEndpointFailing, KindEndpointSlow, KindNearDeadline, KindDeliveriesEnded,
	}
}

// runbook is the kind's page.
func (k Kind) runbook() string { return "docs/runbook/" + string(k) + ".md" }
