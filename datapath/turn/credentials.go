package turn

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the algorithm of draft-uberti-behave-turn-rest
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"evio/wall"
)

var errExpired = fmt.Errorf("the credentials made of its secret are valid for %.0f h and have expired; the next relayed address gets new ones", CredentialLife.Hours())

// credentials returns username and password for one allocation.
func (s Server) credentials(now time.Time) (username, password string, err error) {
	if s.Secret == nil {
		if password, err = s.Password(); err != nil {
			return "", "", fmt.Errorf("read its password: %w", err)
		}
		return s.Username, password, nil
	}
	secret, err := s.Secret()
	if err != nil {
		return "", "", fmt.Errorf("read its secret: %w", err)
	}
	username, password = fromSecret(secret, s.Username, wall.At(now).Add(CredentialLife))
	return username, password, nil
}

// fromSecret makes credentials as draft-uberti-behave-turn-rest section 2.2
// says: the server knows the secret and computes the same password.
func fromSecret(secret, user string, expiry time.Time) (username, password string) {
	username = strconv.FormatInt(expiry.Unix(), 10)
	if user != "" {
		username += ":" + user
	}
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(username))
	return username, base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
