package record

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vector is a record with the secrets it was made from. testdata/records.json
// was made by another implementation of HKDF, AES-GCM and ChaCha20-Poly1305.
type vector struct {
	Name        string `json:"name"`
	AEAD        AEAD   `json:"aead"`
	Exporter    string `json:"exporter"`
	Salt        string `json:"salt"`
	Binding     string `json:"binding"`
	SenderLower bool   `json:"sender_lower"`
	Index       uint32 `json:"index"`
	Slot        int    `json:"slot"`
	Generation  uint8  `json:"generation"`
	Number      uint64 `json:"number"`
	PRK         string `json:"prk"`
	Key         string `json:"key"`
	IV          string `json:"iv"`
	Plain       string `json:"plain"`
	Record      string `json:"record"`
}

func TestGoldenRecords(t *testing.T) {
	text, err := os.ReadFile("testdata/records.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			secrets := Secrets{
				Exporter: unhex(t, v.Exporter),
				Salt:     unhex(t, v.Salt),
				Binding:  [32]byte(unhex(t, v.Binding)),
				AEAD:     v.AEAD,
				Lower:    v.SenderLower,
				Remote:   v.Index,

				Generation: v.Generation,
			}
			sender, receiver := derivePair(t, secrets)

			extracted := extracted(t, secrets)
			direction := byte(fromHigher)
			if v.SenderLower {
				direction = fromLower
			}
			m, err := expand(extracted, &secrets, direction, byte(v.Slot))
			if err != nil {
				t.Fatal(err)
			}
			got := [3]string{hex.EncodeToString(extracted), hex.EncodeToString(m.key), hex.EncodeToString(m.iv[:])}
			if diff := cmp.Diff([3]string{v.PRK, v.Key, v.IV}, got); diff != "" {
				t.Errorf("PRK, key and IV (-want +got):\n%s", diff)
			}

			sealer := &sender.Send[v.Slot]
			sealer.next.Store(v.Number)
			sealed := seal(t, sealer, unhex(t, v.Plain))
			if got := hex.EncodeToString(sealed); got != v.Record {
				t.Errorf("record =\n%s, want\n%s", got, v.Record)
			}
			opened, err := receiver.Open(unhex(t, v.Record))
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(opened); got != v.Plain {
				t.Errorf("plaintext = %s, want %s", got, v.Plain)
			}
		})
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
