package probe

// row is one check.
type row struct {
	id    string
	group string
	title string // what a right receiver does
	good  string // what it means for money that it does
	needs []string
	run   func(*trial)
}

// burstID names the check that is tried even when a rate limiter answers: it is about that.
const burstID = "burst"

// table lists all checks in the order in which they are tried. The first ones learn what the later ones rest on; the last one
// may have a rate limiter lock the probe out.
func table() []row {
	return []row{
		{"template", "contact", "its URL has the macros that it takes", "Nothing that decides about money is missing from the URL.", nil, checkTemplate},
		{"certificate", "contact", "its certificate is believed", "Networks can connect.", nil, checkCertificate},
		{"answered", "contact", "it answers", "Networks get an answer.", nil, checkAnswered},
		{"redirect", "contact", "it answers at this URL, and does not lead elsewhere", "Nothing is lost on the way to another address.", nil, checkRedirect},
		{"answer-size", "contact", "its answers end", "Networks can read the answer.", nil, checkAnswerSize},
		{"answer-plain", "contact", "its answers are not compressed unasked", "Networks can read the answer.", nil, checkAnswerPlain},
		{"paid-event", "contact", "it takes a genuine paid event, and credits it", "A paid event is paid.", nil, checkPaidEvent},
		{"answer-page", "contact", "its answer is not a web page", "The postback met the receiver, and not a page for people.", nil, checkAnswerPage},

		{"documented-sample", "words", "it takes the sample in the network's documentation as printed", "The sample is not repeated.", nil, checkDocumentedSample},
		{"paid-words", "words", "it takes the other words for paid: yes, 1", "No event is repeated or lost for its word.", []string{"reward_event_type"}, checkPaidWords},
		{"unpaid-words", "words", "it never pays for not_valued, non_valued, no and 0", "What the network does not pay for is not paid.", []string{"reward_event_type"}, checkUnpaidWords},
		{"unknown-word", "words", "it does not pay for a word that nobody has met", "New words of the network cost nothing.", []string{"reward_event_type"}, checkUnknownWord},
		{"no-value", "words", "it does not pay for an event without a value", "A postback that does not say that it is paid for costs nothing.", []string{"reward_event_type"}, checkNoValue},

		{"duplicate", "identity", "it takes an exact copy, and pays once", "A repeat costs nothing and ends.", nil, checkDuplicate},
		{"duplicates-parallel", "identity", "it takes eight copies at once, and pays once", "Copies at the same moment cost nothing.", nil, checkDuplicatesParallel},
		{"impression-and-click", "identity", "it pays one view once, in whichever order its events come", "Impression and click of one view are paid once.", []string{"event_type", "ymid"}, checkBothEvents},
		{"unpaid-first", "identity", "it pays a view whose unpaid event came first", "An unpaid event does not use up the id.", []string{"reward_event_type"}, checkUnpaidFirst},
		{"second-view", "identity", "it pays the next view of the same user", "Users are paid for every view.", nil, checkSecondView},
		{"views-parallel", "identity", "it pays all views of a user that come at once", "Nothing is lost when two come at the same moment.", nil, checkViewsParallel},
		{"broken-connection", "identity", "it pays once when the connection breaks and the network repeats", "A repeat after a broken connection neither loses nor doubles.", nil, checkBrokenConnection},

		{"secret-present", "secret", "its URL has a secret", "Whoever does not know the secret cannot be paid.", nil, checkSecretPresent},
		{"secret-forged", "secret", "it refuses a wrong secret", "Whoever guesses is not paid.", nil, checkSecretForged},
		{"secret-empty", "secret", "it refuses an empty secret", "An empty secret opens nothing.", nil, checkSecretEmpty},
		{"secret-missing", "secret", "it refuses a missing secret", "Leaving the secret away opens nothing.", nil, checkSecretMissing},

		{"no-ymid", "odd input", "it stays upright without a ymid", "An ad that was shown without a ymid harms nothing.", []string{"ymid"}, checkNoYMID},
		{"no-event-type", "odd input", "it stays upright without an event type", "A postback that lacks its type harms nothing.", []string{"event_type"}, checkNoEventType},
		{"literal-ymid", "odd input", "it does not pay for {ymid} as text", "A macro that the network did not fill pays nobody.", []string{"ymid"}, checkLiteralYMID},
		{"literal-value", "odd input", "it does not take {reward_event_type} as text for paid", "A macro that the network did not fill pays nobody.", []string{"reward_event_type"}, checkLiteralValue},
		{"awkward-ymid", "odd input", "it stays upright with awkward characters in the ymid", "Odd ids break nothing.", []string{"ymid"}, checkAwkwardYMID},
		{"awkward-label", "odd input", "it pays in spite of awkward characters in the request_var", "A label with odd characters loses no event.", []string{"request_var"}, checkAwkwardLabel},

		{"price-double", "money", "it takes another price", "Prices may change.", []string{"estimated_price"}, checkPriceDouble},
		{"price-tiny", "money", "it does not round a tiny price to nothing", "Prices of a fraction of a cent add up.", []string{"estimated_price"}, checkPriceTiny},
		{"price-huge", "money", "it does not pay any amount that the URL names", "No price in the URL empties the purse.", []string{"estimated_price"}, checkPriceHuge},
		{"price-negative", "money", "it takes nothing away for a negative price", "Nobody can be robbed by a price.", []string{"estimated_price"}, checkPriceNegative},
		{"price-word", "money", "it stays upright when the price is no number", "A price that is no number breaks nothing.", []string{"estimated_price"}, checkPriceWord},
		{"price-exact", "money", "it counts exactly", "Sums do not drift.", []string{"estimated_price"}, checkPriceExact},

		{"method", "door", "it stays upright under other methods", "A visitor who does not send a GET breaks nothing.", nil, checkMethod},
		{"unknown-path", "door", "it does not answer a made-up path with success", "A mistyped URL shows as a fault at the network.", nil, checkUnknownPath},
		{burstID, "door", "it takes 50 honest postbacks at once", "A busy second loses nothing.", nil, checkBurst},
		{"in-time", "door", "it answers long before networks give up", "No answer comes too late.", nil, checkInTime},
	}
}
