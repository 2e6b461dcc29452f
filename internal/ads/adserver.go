package ads

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"carom"
	"carom/internal/egress"
)

const (
	// maxAnswerBytes has room for an ad with the longest HTML, whose characters JSON may have to escape.
	maxAnswerBytes = 128 << 10
	// maxInFlight bounds the requests that wait for one ad server: one that takes 300 ms answers 200 a second with it.
	maxInFlight = 64
	// maxFailures in a row have an ad server left alone for a while.
	maxFailures = 5
	// The while: it doubles from the first to the last as long as single requests, the probes, fail.
	firstPause = time.Second
	lastPause  = 30 * time.Second
	// quietTime is how long no second line of one kind is logged about an ad server.
	quietTime = time.Minute
)

// place is what makes zones share an ad server, with its limits and its failures. The timeout is part of it, so that a zone
// whose own is too short does not have the ad server left alone by the others.
type place struct {
	url     string
	timeout time.Duration
	private bool
}

func placeOf(s carom.AdServer) place { return place{s.URL, s.Timeout, s.AllowPrivate} }

// adServer is what is known of an ad server.
type adServer struct {
	mu       sync.Mutex // guards all below
	inFlight int
	row      int // failures since the last success; from maxFailures on it is left alone
	probing  bool
	probeAt  time.Time
	pause    time.Duration         // the last one
	logged   map[outcome]time.Time // when a line of the kind was written last
}

// news is what an exchange says of the health of an ad server.
type news int

const (
	noNews news = iota // the caller left first
	well
	ill
)

// enter takes a place for an exchange, and says whether it is a probe. Who gets none does not ask.
func (s *adServer) enter(now time.Time) (probe, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight >= maxInFlight {
		return false, false
	}
	if s.row >= maxFailures {
		// A probe that is due later than any pause allows means that the clock was set back.
		if s.probing || now.Before(s.probeAt) && s.probeAt.Sub(now) <= lastPause {
			return false, false
		}
		probe, s.probing = true, true
	}
	s.inFlight++
	return probe, true
}

// leave gives the place back and takes up what the exchange says. It returns for how long the ad server is left alone from
// now on, if this exchange decided that, and whether it ended such a time.
func (s *adServer) leave(now time.Time, probe bool, n news) (pause time.Duration, recovered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	if probe {
		s.probing = false
	}
	switch n {
	case well:
		recovered = s.row >= maxFailures
		s.row, s.pause = 0, 0
	case ill:
		s.row++
		// Those that were under way when it was first left alone, and fail too, say nothing new.
		if s.row == maxFailures || probe {
			s.pause = min(max(2*s.pause, firstPause), lastPause)
			s.probeAt, pause = now.Add(s.pause), s.pause
		}
	}
	return pause, recovered
}

// mayLog says whether a line of the kind may be written now.
func (s *adServer) mayLog(now time.Time, o outcome) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, ok := s.logged[o]; ok && now.Sub(last) < quietTime && !now.Before(last) {
		return false
	}
	if s.logged == nil {
		s.logged = map[outcome]time.Time{}
	}
	s.logged[o] = now
	return true
}

// server returns what is known of the ad server at p.
func (c *Chooser) server(p place) *adServer {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.servers[p]
	if s == nil {
		s = &adServer{}
		c.servers[p] = s
	}
	return s
}

// ask asks the zone's ad server. It returns nil when no ad of it is shown, for whatever reason, and an error only when ctx
// ended meanwhile.
func (c *Chooser) ask(ctx context.Context, r *Request) (*Ad, error) {
	limits := r.Zone.AdServer.WithDefaults()
	s := c.server(placeOf(limits))
	began := c.opts.Clock()
	probe, ok := s.enter(began)
	if !ok {
		c.outcomes[skipped].Inc()
		return nil, nil
	}
	body, err := json.Marshal(questionOf(r))
	var ad *Ad
	o := failed
	if err == nil {
		ad, o, err = c.exchange(ctx, &limits, r.Format, body)
	}
	now := c.opts.Clock()
	if ad == nil && ctx.Err() != nil {
		s.leave(now, probe, noNews)
		return nil, ended(ctx)
	}
	n := well
	if o == timedOut || o == failed {
		n = ill
	}
	pause, recovered := s.leave(now, probe, n)
	c.outcomes[o].Inc()
	c.seconds.Observe(now.Sub(began).Seconds())
	c.report(s, r, now, o, err, pause, recovered)
	return ad, nil
}

// exchange makes one request. The error says, for operators, why there is no ad although one could be expected.
func (c *Chooser) exchange(ctx context.Context, s *carom.AdServer, format carom.Format, body []byte) (*Ad, outcome, error) {
	res := c.opts.Client.Do(ctx, egress.Policy{AllowPrivate: s.AllowPrivate}, egress.Request{
		Method: http.MethodPost, URL: s.URL, Body: body,
		Header: []carom.Field{{Name: "Content-Type", Value: "application/json"}, {Name: "Accept", Value: "application/json"}},
	}, egress.Options{Timeout: s.Timeout, BodyLimit: maxAnswerBytes})
	switch {
	case res.Phase == egress.PhaseTimeout:
		return nil, timedOut, res.Err
	case res.Err != nil:
		return nil, failed, fmt.Errorf("%s: %w", res.Phase, res.Err)
	case res.Status == http.StatusNoContent:
		return nil, noFill, nil
	case res.Status >= 300 && res.Status < 400:
		return nil, failed, fmt.Errorf("it redirects (status %d), which is not followed: give the final URL", res.Status)
	case res.Status != http.StatusOK:
		return nil, failed, fmt.Errorf("it answers with status %d: an ad has 200, and no ad 204", res.Status)
	case res.Truncated:
		return nil, failed, fmt.Errorf("its answer has more than %d bytes", maxAnswerBytes)
	}
	offer, err := readAnswer(res.Body)
	switch {
	case err != nil:
		return nil, failed, err
	case offer == nil:
		return nil, noFill, nil
	}
	ad, err := offer.ad(format, s.MaxPrice)
	if err != nil {
		return nil, refused, err
	}
	return ad, filled, nil
}

// question is the body of a request to an ad server. All members are always there.
type question struct {
	ID         string       `json:"id"`
	App        string       `json:"app"`
	ZoneID     string       `json:"zone_id"`
	SubZoneID  string       `json:"sub_zone_id"`
	Format     carom.Format `json:"format"`
	YMID       string       `json:"ymid"`
	RequestVar string       `json:"request_var"`
	TelegramID string       `json:"telegram_id"`
	UserAgent  string       `json:"user_agent"`
	Language   string       `json:"language"`
	Address    string       `json:"address"`
	Width      int          `json:"width"`
	Height     int          `json:"height"`
}

func questionOf(r *Request) question {
	q := question{
		ID: r.ID, App: r.Zone.App, ZoneID: r.Zone.ID, SubZoneID: r.Zone.SubZones[r.Format], Format: r.Format,
		YMID: r.YMID, RequestVar: r.RequestVar, TelegramID: r.TelegramID,
		UserAgent: r.UserAgent, Language: r.Language, Width: r.Width, Height: r.Height,
	}
	if r.Client.IsValid() {
		q.Address = r.Client.Unmap().String()
	}
	return q
}

// report logs what an operator has to know of an exchange, each kind of line once a minute. The URL may hold a secret, so that
// only its host is named.
func (c *Chooser) report(s *adServer, r *Request, now time.Time, o outcome, err error, pause time.Duration, recovered bool) {
	if err == nil && pause == 0 && !recovered {
		return
	}
	host := ""
	if u, parseErr := url.Parse(r.Zone.AdServer.URL); parseErr == nil {
		host = u.Host
	}
	log := c.opts.Log.With("app", r.Zone.App, "zone_id", r.Zone.ID, "host", host)
	switch {
	case err == nil:
	case !s.mayLog(now, o):
	case o == refused:
		log.Warn("an ad of an ad server was not shown", "error", oneLine(err))
	default:
		log.Warn("an ad server failed", "outcome", string(o), "error", oneLine(err))
	}
	if pause > 0 && s.mayLog(now, skipped) {
		log.Warn("an ad server is left alone for a while", "failures", maxFailures, "for", carom.FormatDuration(pause))
	}
	if recovered {
		log.Info("an ad server answers again")
	}
}

// oneLine puts joined faults on one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
