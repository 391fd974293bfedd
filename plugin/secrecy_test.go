package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"pgregory.net/rapid"

	"evio/datapath/proof"
	"evio/datapath/session"
	"evio/driver/status"
	"evio/plugin/config"
	"evio/plugin/view"
)

// A secret is kept rightly, or in one of the ways in which operators get it wrong.
const (
	wellKept      = iota
	readableByAll // its file is
	tooLong       // repeated beyond what is read of its file
	inSettings    // written where its file belongs
	underAnother  // written under a name that is no setting
	ways
)

// keeper writes settings with secrets in them.
type keeper struct {
	t       *rapid.T
	host    string
	secrets []string
}

// file returns the setting for a new secret, and what stands beside it.
func (k *keeper) file(name string) (value, beside string) {
	secret := rapid.StringMatching(`Canary[a-zA-Z0-9]{12}`).Draw(k.t, name)
	k.secrets = append(k.secrets, secret)
	path := filepath.Join("/etc/evio", name)
	mode, content := os.FileMode(0o600), secret+"\n"
	switch rapid.IntRange(0, ways-1).Draw(k.t, name+" is kept") {
	case readableByAll:
		mode = 0o644
	case tooLong:
		content = strings.Repeat(secret, 100)
	case inSettings:
		path = secret
	case underAnother:
		beside = fmt.Sprintf(`, "secret": %q`, secret)
	}
	full := filepath.Join(k.host, "etc/evio", name)
	if err := os.WriteFile(full, []byte(content), mode); err != nil {
		k.t.Fatal(err)
	}
	if err := os.Chmod(full, mode); err != nil {
		k.t.Fatal(err)
	}
	return fmt.Sprintf("%q", path), beside
}

// TestNoSecretIsTold: however secrets are configured, neither the document nor the log
// nor what is printed has one of them.
func TestNoSecretIsTold(t *testing.T) {
	read, refused := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		host := t.TempDir()
		if err := os.MkdirAll(filepath.Join(host, "etc/evio"), 0o700); err != nil {
			rt.Fatal(err)
		}
		k := &keeper{t: rt, host: host}
		password, beside1 := k.file("password")
		keyFile, _ := k.file("key")
		turn, beside2 := k.file("turn")
		turnSecret, _ := k.file("turn-secret")
		overlay, _ := k.file("overlay")
		file := fmt.Sprintf(`{
			"signalling": [
				{"jid": "a@example.org", "password_file": %s, "overlays": {"*": "roster"}%s},
				{"jid": "b@example.org", "certificate_file": "/etc/evio/key", "key_file": %s, "overlays": {"green": "roster"}}
			],
			"turn": [{"uri": "turn:turn.example.org:3478", "username": "u", "password_file": %s%s}, {"uri": "turn:b.example.org:3478", "secret_file": %s}],
			"secrets": {"blue": %s}
		}`, password, beside1, keyFile, turn, beside2, turnSecret, overlay)
		if err := os.WriteFile(filepath.Join(host, "etc/evio/config.json"), []byte(file), 0o600); err != nil {
			rt.Fatal(err)
		}
		told, doc := tell(rt, host)
		if len(doc.Settings.Faults) > 0 {
			refused++
		} else {
			read++
		}
		for _, secret := range k.secrets {
			if at := strings.Index(told, secret); at >= 0 {
				rt.Fatalf("%s is told: …%s…", secret, told[max(0, at-100):at])
			}
		}
	})
	if read == 0 || refused == 0 {
		t.Errorf("files were used %d times and refused %d times: the test sees nothing", read, refused)
	}
}

// tell returns everything that a plugin with the host's configuration says: its log,
// after every secret was read, the document, and what evio status prints.
func tell(t *rapid.T, host string) (string, status.Document) {
	var told bytes.Buffer
	log, err := newLogger(&told, config.Log{Level: "trace"})
	if err != nil {
		t.Fatal(err)
	}
	events := &lastErrors{}
	log.Logger.AddHook(events)
	s, faults := config.Load(func(name string) string {
		return map[string]string{"EVIO_HOST_PREFIX": host, "EVIO_UDP_PORT": "0"}[name]
	})
	report(log, s, faults)
	p, fault := assemble(s, startFaults{settings: faults}, time.Now(), log)
	defer func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}()
	readAll(s, log)
	doc := source{driver: p.newDriver(fault, log), parts: p, settings: s, events: events, losses: &status.Losses{}}.Status(t.Context())
	doc.Health = status.Judge(doc)
	if text, err := json.Marshal(doc); err != nil {
		t.Fatal(err)
	} else {
		told.Write(text)
	}
	if err := view.Print(&told, doc); err != nil {
		t.Fatal(err)
	}
	return told.String(), doc
}

// readAll reads what the parts read when they need it, and logs what they do.
func readAll(s config.Settings, log *logrus.Entry) {
	note := func(err error) {
		if err != nil {
			log.WithError(err).Warn("secret cannot be read")
		}
	}
	for _, service := range s.Signalling {
		if service.PasswordFile != "" {
			_, err := config.ReadPassword(s.HostPath(service.PasswordFile))
			note(err)
		} else {
			_, err := config.ReadKeyPair(s.HostPath(service.CertificateFile), s.HostPath(service.KeyFile))
			note(err)
		}
	}
	for _, server := range iceServers(s) {
		access, _ := server.Credential.(session.TURNAccess) // none of STUN servers
		for _, read := range []func() (string, error){access.Password, access.Secret} {
			if read != nil {
				_, err := read()
				note(err)
			}
		}
	}
	quick := func(string, []byte) proof.Secret { return proof.Secret{} }
	for _, read := range readersOf(s, quick) {
		_, err := read()
		note(err)
	}
}
