package machine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A clock before this moment is wrong: this program is younger.
func youngest() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

const clockMeaning = "signatures carry a time that receivers check, and windows and deadlines are counted by the clock"

// clock judges what can be known of the clock without asking anybody.
func clock(_ context.Context, o *Options) Finding {
	now := o.Now()
	if now.Before(youngest()) {
		return Finding{Result: Fail, Found: "it says " + stamp(now), Meaning: clockMeaning, Fix: "set it: timedatectl set-ntp true, or install chrony"}
	}
	if info, err := os.Stat(filepath.Join(o.folder(), "carom.db-wal")); err == nil && info.ModTime().Sub(now) > time.Minute {
		return Finding{
			Result: Fail, Found: "it says " + stamp(now) + ", and the data folder was written to at " + stamp(info.ModTime()),
			Meaning: "the clock was set back: " + clockMeaning, Fix: "let a time server set it: timedatectl set-ntp true, or install chrony",
		}
	}
	return judgeClock(synced())
}

// judgeClock judges what the kernel says of the clock's keeping.
func judgeClock(kept bool, err error) Finding {
	switch {
	case err != nil:
		return skip("whether a time server keeps it is not told here: " + err.Error())
	case kept:
		return ok("kept by a time server, as the kernel says")
	}
	return Finding{
		Result: Warn, Found: "no time server keeps it, as the kernel says", Meaning: "it drifts by seconds a day; " + clockMeaning,
		Fix: "timedatectl set-ntp true, or install chrony; how far it is off: carom check --machine --ntp pool.ntp.org",
	}
}

// How far a clock may be off: receivers allow five minutes, some networks one.
const (
	offWarn = 2 * time.Second
	offFail = time.Minute
)

// timeServer asks the time server that was named.
func timeServer(ctx context.Context, o *Options) Finding {
	if o.NTP == "" {
		return skip("none is asked: --ntp HOST names one, such as pool.ntp.org")
	}
	off, err := askTime(ctx, o.NTP, o.Now)
	if err != nil {
		return Finding{
			Result: Warn, Found: fmt.Sprintf("%s does not tell the time: %v", o.NTP, err), Meaning: "whether the clock is right is not known",
			Fix: "name another one, or let UDP port 123 out",
		}
	}
	return judgeOffset(off)
}

func judgeOffset(off time.Duration) Finding {
	f := Finding{Result: OK, Found: fmt.Sprintf("the clock is off by %s", off.Round(time.Millisecond))}
	if off.Abs() >= offWarn {
		f.Result, f.Meaning, f.Fix = Warn, clockMeaning, "timedatectl set-ntp true, or install chrony"
	}
	if off.Abs() >= offFail {
		f.Result, f.Meaning = Fail, "receivers refuse what is signed with such a time; "+clockMeaning
	}
	return f
}

// ntpEpoch is 1900 in Unix time: RFC 4330, section 3.
const ntpEpoch = 2_208_988_800

// askTime asks a server by SNTP (RFC 4330) how far this clock is off: positive when it is slow.
func askTime(ctx context.Context, server string, now func() time.Time) (time.Duration, error) {
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(server, "123")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "udp", server)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return 0, err
		}
	}
	var packet [48]byte
	packet[0] = 4<<3 | 3 // version 4, a client
	sent := now()
	putNTP(packet[40:], sent)
	asked := [8]byte(packet[40:48])
	if _, err := conn.Write(packet[:]); err != nil {
		return 0, err
	}
	n, err := conn.Read(packet[:])
	if err != nil {
		return 0, err
	}
	received := now()
	switch {
	case n < 48 || packet[0]&7 != 4 || [8]byte(packet[24:32]) != asked:
		return 0, errors.New("the answer is no SNTP")
	case packet[1] == 0 || packet[1] > 15 || packet[0]>>6 == 3:
		return 0, errors.New("it says that it does not know the time")
	}
	theirs := ntpTime(packet[32:]).Sub(sent) + ntpTime(packet[40:]).Sub(received)
	return theirs / 2, nil
}

func putNTP(b []byte, t time.Time) {
	binary.BigEndian.PutUint32(b, uint32(t.Unix()+ntpEpoch))
	binary.BigEndian.PutUint32(b[4:], uint32(uint64(t.Nanosecond())<<32/1e9))
}

// ntpTime reads a time; the 32 bits of its seconds began again in 2036.
func ntpTime(b []byte) time.Time {
	seconds := int64(binary.BigEndian.Uint32(b))
	if seconds < ntpEpoch {
		seconds += 1 << 32
	}
	return time.Unix(seconds-ntpEpoch, int64(uint64(binary.BigEndian.Uint32(b[4:]))*1e9>>32))
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
