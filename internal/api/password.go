package api

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"carom"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// The length of a password, in characters.
const (
	minPassword = 10
	maxPassword = 200
)

// How many passwords are hashed at once, since each takes 64 MiB, and how many may wait for that.
const (
	hashesAtOnce  = 2
	hashesWaiting = 32
)

// hashCost is what a hash costs.
type hashCost struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// recommendedCost is the second choice of RFC 9106, for machines without gigabytes to spare.
func recommendedCost() hashCost { return hashCost{memory: 64 << 10, passes: 3, threads: 4} }

// passwords hashes and compares passwords, a few at a time.
type passwords struct {
	cost    hashCost
	slots   chan struct{}
	waiting atomic.Int32
}

func newPasswords() *passwords {
	return &passwords{cost: recommendedCost(), slots: make(chan struct{}, hashesAtOnce)}
}

// derive waits for its turn and computes argon2id.
func (p *passwords) derive(ctx context.Context, cost hashCost, password string, salt []byte) ([]byte, error) {
	if p.waiting.Add(1) > hashesWaiting {
		p.waiting.Add(-1)
		return nil, failf(carom.ErrUnavailable, "too many people sign in at this moment: try again in some seconds")
	}
	defer p.waiting.Add(-1)
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.slots }()
	return argon2.IDKey([]byte(norm.NFC.String(password)), salt, cost.passes, cost.memory, cost.threads, 32), nil
}

// hashFormat is the usual notation of argon2id hashes, with salt and sum in base64.
const hashFormat = "$argon2id$v=19$m=%d,t=%d,p=%d$%s"

// hash makes the hash of a new password, with a salt of its own.
func (p *passwords) hash(ctx context.Context, password string) (carom.Masked, error) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // it never fails: the process ends instead
	sum, err := p.derive(ctx, p.cost, password, salt)
	if err != nil {
		return "", err
	}
	enc := base64.RawStdEncoding
	return carom.Masked(fmt.Sprintf(hashFormat, p.cost.memory, p.cost.passes, p.cost.threads, enc.EncodeToString(salt)+"$"+enc.EncodeToString(sum))), nil
}

// matches says whether a hash is of the password. With no hash, which matches nothing, it takes as long.
func (p *passwords) matches(ctx context.Context, hash carom.Masked, password string) (bool, error) {
	if utf8.RuneCountInString(password) > maxPassword {
		return false, nil
	}
	cost, salt, want := p.cost, make([]byte, 16), []byte(nil)
	if hash != "" {
		var rest string
		_, err := fmt.Sscanf(string(hash), hashFormat, &cost.memory, &cost.passes, &cost.threads, &rest)
		saltText, sumText, _ := strings.Cut(rest, "$")
		var errSalt, errSum error
		salt, errSalt = base64.RawStdEncoding.DecodeString(saltText)
		want, errSum = base64.RawStdEncoding.DecodeString(sumText)
		if err := errors.Join(err, errSalt, errSum); err != nil || len(want) == 0 {
			return false, fmt.Errorf("a stored password hash cannot be read: %w", carom.ErrInvalid)
		}
	}
	sum, err := p.derive(ctx, cost, password, salt)
	return err == nil && subtle.ConstantTimeCompare(sum, want) == 1, err
}

// checkPassword says why a new password cannot be taken. field names it in the request.
func checkPassword(field, password, email string) error {
	password = norm.NFC.String(password)
	n := utf8.RuneCountInString(password)
	lower := strings.ToLower(password)
	switch {
	case !utf8.ValidString(password):
		return carom.Invalid(field, "this is not text in UTF-8: type it again")
	case n < minPassword:
		return carom.Invalid(field, "%d characters are too few: use at least %d, such as four words that have nothing to do with each other", n, minPassword)
	case n > maxPassword:
		return carom.Invalid(field, "%d characters are too many: use at most %d", n, maxPassword)
	case slices.Contains(strings.Fields(commonest), lower), strings.Count(lower, lower[:1]) == len(lower), lower == email:
		return carom.Invalid(field, "this is among the first that somebody would try: use another, such as four words that have nothing to do with each other")
	}
	return nil
}

// commonest are the passwords of the usual lists that are long enough.
const commonest = `
0123456789 01234567890 012345678910 0987654321 1029384756 1111122222 1112223334 111222333444 1122334455 112233445566
11223344556677 1212121212 121212121212 1231231230 1231231231 123123123123 1234512345 123456123456 1234567654321 1234567890
1234567891 12345678901 123456789012 1234567890123 12345678910 123456789123 123456789a 123456789q 1234567899 1234567890q
123456abcd 123456abcdef 123456qwerty 1234abcd1234 1234qwer1234 12qwaszx12 1357924680 147258369a 1472583690 159357159357
1a2b3c4d5e 1a2s3d4f5g 1q2w3e4r5t 1q2w3e4r5t6y 1q2w3e4r5t6y7u 1qaz2wsx3edc 1qaz2wsx3edc4rfv 1qazxsw23edc 2wsx3edc4rfv
741852963a 789456123a 9876543210 98765432100 a1b2c3d4e5 a1s2d3f4g5 a123456789 aa12345678 aa123456789 abc1234567 abc12345678
abc123456789 abcd123456 abcd12345678 abcde12345 abcdef1234 abcdefghij abcdefghijk admin12345 admin123456 admin@1234 adminadmin
administrator asd123456789 asdasdasdasd asdf123456 asdf1234asdf asdfasdfasdf asdfghjkl1 asdfghjkl123 asdfghjkl; asdfghjkl;'
azertyuiop baseball123 basketball beautiful1 blink182blink butterfly1 carom12345 caromcarom changeme12 changeme123 changeme1234
charlie123 chocolate1 computer123 correcthorsebatterystaple dragon1234 facebook123 football12 football123 fuckyou123 google1234
gfhjkm12345 hello12345 helloworld iloveyou12 iloveyou123 iloveyou1234 iloveyou12345 internet123 jordan2323 letmein123 letmein1234
liverpool1 liverpool123 lovelovelove manchester master1234 michael123 michelle123 minecraft1 minecraft123 monkey1234 mypassword
mypassword1 mypassword123 naruto1234 nopassword p@ssw0rd12 p@ssw0rd123 p@ssword123 p4ssw0rd123 pa55word123 pass123456 pass12345678
passpasspass passw0rd12 passw0rd123 passw0rd1234 password00 password01 password10 password11 password12 password123 password123!
password1234 password12345 password123456 password1! password!! password@1 password@123 passwordpassword pokemon123 postgres123
princess12 princess123 qazwsx1234 qazwsx123456 qazwsxedc1 qazwsxedc123 qazwsxedcrfv q1w2e3r4t5 q1w2e3r4t5y6 qqww1122qqww
qwe123qwe123 qweasdzxc1 qweasdzxc123 qwer123456 qwer1234qwer qwerasdfzxcv qwerqwer1234 qwert12345 qwertqwert qwerty1234 qwerty12345
qwerty123456 qwerty1234567 qwertyqwerty qwertyuiop qwertyuiop1 qwertyuiop123 qwertyuiop[] qwertyuiop[]\ samsung123 secret1234
shadow1234 starwars123 spiderman1 summer2024 summer2025 summer2026 sunshine12 sunshine123 superman12 superman123 superman1234
test123456 test1234test testtest123 trustno1trustno1 trustno123 unknown123 welcome123 welcome1234 welcome12345 welcome@123
whatever123 winter2024 winter2025 winter2026 zaq12wsxcde3 zaq1zaq1zaq1 zaq1xsw2cde3 zxcvbnm123 zxcvbnm1234 zxcvbnm,./ zxcvbnmzxcvbnm
`
