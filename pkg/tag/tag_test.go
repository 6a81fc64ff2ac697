package tag_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/pin"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/tag"
)

const keyID = "0123456789abcdef"

var key = []byte(strings.Repeat("k", 32))

func keys(t testing.TB) tag.Keys {
	t.Helper()
	k, err := tag.ParseKeys(tag.WithKey(nil, keyID, key))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sample() tag.Tag {
	mode, user := int32(0o755), int64(8737)
	digest := artifact.Digest(strings.Repeat("ab", 32))
	return tag.Tag{
		Version: tag.Version, KeyID: keyID, IssuedAt: time.Unix(1795300000, 0).UTC(), Namespace: "team-a", NamespaceUID: "n", Pod: "wf-step-1", WorkflowUID: "u",
		Creator: "system:serviceaccount:argo:argo", Mode: v1alpha1.ModeEnforce, Verdict: reason.ProvenancePending,
		Executor: tag.Executor{Image: "exec:1", Env: []string{"A=b"}, User: &user}, Signer: "signer@sha256:1",
		Pins: []pin.Pin{
			{Input: "a", Location: "s3://s/b/k?<&>", SHA256: digest, Archive: content.ArchiveTar, Tree: digest, Mode: &mode},
			{Input: "b", Location: "s3://s/b/l", SHA256: digest, Archive: content.ArchiveTar, Tree: digest},
		},
	}
}

func TestATagOpensAsItWasIssued(t *testing.T) {
	for name, change := range map[string]func(*tag.Tag){
		"with everything":             func(*tag.Tag) {},
		"without pins":                func(g *tag.Tag) { g.Pins, g.Verdict = nil, "" },
		"with logs":                   func(g *tag.Tag) { g.Logs = true },
		"of an executor that is root": func(g *tag.Tag) { g.Executor = tag.Executor{Image: "exec:1"} },
		"for audit":                   func(g *tag.Tag) { g.Mode = v1alpha1.ModeAudit },
		"to the second": func(g *tag.Tag) {
			g.IssuedAt = time.Unix(1, 0).UTC()
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := sample()
			change(&want)
			value, err := keys(t).Issue(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := keys(t).Open(value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("tag (-issued +opened):\n%s", diff)
			}
		})
	}
}

func TestTheTimeIsCutToSeconds(t *testing.T) {
	g := sample()
	g.IssuedAt = g.IssuedAt.Add(999 * time.Millisecond).In(time.FixedZone("x", 3600))
	value, err := keys(t).Issue(g)
	if err != nil {
		t.Fatal(err)
	}
	got, err := keys(t).Open(value)
	if err != nil || !got.IssuedAt.Equal(sample().IssuedAt) {
		t.Errorf("issue time is %v, %v", got.IssuedAt, err)
	}
}

// forge makes a tag with a right MAC around any content.
func forge(content string) string {
	return seal("v2." + keyID + "." + base64.RawURLEncoding.EncodeToString([]byte(content)))
}

func seal(signed string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("argoseal.dev/tag " + signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func TestTagsThatAreNotOursAreRefused(t *testing.T) {
	good, err := keys(t).Issue(sample())
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	content := string(raw)
	if forge(content) != good {
		t.Fatal("the test does not make tags as the code does")
	}
	tests := map[string]struct{ value, detail string }{
		"nothing":                    {"", "no tag"},
		"too long":                   {good + strings.Repeat("A", 80<<10), "at most 81920"},
		"another version":            {"v1" + good[2:], "MAC is wrong"},
		"a part missing":             {strings.Join(parts[:3], "."), "not the form of one"},
		"a part more":                {good + ".x", "not the form of one"},
		"an unknown key":             {strings.Replace(good, keyID, "ffffffffffffffff", 1), "unknown key"},
		"another content":            {strings.Join([]string{parts[0], parts[1], parts[2][1:], parts[3]}, "."), "MAC is wrong"},
		"another MAC":                {good[:len(good)-2] + "AA", "MAC is wrong"},
		"no MAC":                     {strings.Join(parts[:3], ".") + ".", "MAC is wrong"},
		"half a MAC":                 {good[:len(good)-20], "MAC is wrong"},
		"a MAC padded":               {good + "=", "MAC is wrong"},
		"a MAC with a line end":      {good + "\n", "MAC is wrong"},
		"a MAC over the bare bytes":  {good[:len(good)-43] + mac("v2."+keyID+"."+parts[2]), "MAC is wrong"},
		"content padded":             {seal("v2." + keyID + "." + parts[2] + "="), "not base64url"},
		"content with a line end":    {seal("v2." + keyID + "." + parts[2] + "\n"), "not base64url"},
		"content that is no JSON":    {forge("x"), "content: invalid"},
		"content with a field":       {forge(strings.Replace(content, "{", `{"x":1,`, 1)), "unknown field"},
		"content with white space":   {forge(strings.Replace(content, "{", "{ ", 1)), "one spelling"},
		"content with more after":    {forge(content + "{}"), "one spelling"},
		"content with a key twice":   {forge(strings.Replace(content, "{", `{"pod":"other",`, 1)), "one spelling"},
		"content in another case":    {forge(strings.Replace(content, `"pod"`, `"Pod"`, 1)), "one spelling"},
		"content without a pod":      {forge(strings.Replace(content, `"pod":"wf-step-1"`, `"pod":""`, 1)), "pod is empty"},
		"content without a creator":  {forge(strings.Replace(content, "system:serviceaccount:argo:argo", "", 1)), "creator is empty"},
		"content without executor":   {forge(strings.Replace(content, "exec:1", "", 1)), "executor image is empty"},
		"content without signer":     {forge(strings.Replace(content, "signer@sha256:1", "", 1)), "signer image is empty"},
		"content with another mode":  {forge(strings.Replace(content, "enforce", "off", 1)), `mode "off"`},
		"content without a time":     {forge(strings.Replace(content, "1795300000", "0", 1)), "issue time"},
		"content with half a digest": {forge(strings.Replace(content, strings.Repeat("ab", 32), "ab", 1)), "not a SHA-256"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := keys(t).Open(test.value)
			if err == nil {
				t.Fatalf("it opens: %+v", got)
			}
			if reason.Of(err) != reason.TagInvalid || !strings.Contains(err.Error(), test.detail) {
				t.Errorf("it is refused with %q, want code TagInvalid and the words %q", err, test.detail)
			}
			if diff := cmp.Diff(tag.Tag{}, got); diff != "" {
				t.Errorf("a refused tag says something:\n%s", diff)
			}
		})
	}
}

func mac(signed string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(signed))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func TestTagsThatSayTooLittleAreNotIssued(t *testing.T) {
	tests := map[string]func(*tag.Tag){
		"no namespace":     func(g *tag.Tag) { g.Namespace = "" },
		"no namespace UID": func(g *tag.Tag) { g.NamespaceUID = "" },
		"no pod":           func(g *tag.Tag) { g.Pod = "" },
		"no workflow":      func(g *tag.Tag) { g.WorkflowUID = "" },
		"no creator":       func(g *tag.Tag) { g.Creator = "" },
		"no executor":      func(g *tag.Tag) { g.Executor.Image = "" },
		"no signer":        func(g *tag.Tag) { g.Signer = "" },
		"no mode":          func(g *tag.Tag) { g.Mode = "" },
		"no time":          func(g *tag.Tag) { g.IssuedAt = time.Time{} },
		"an invalid pin":   func(g *tag.Tag) { g.Pins[0].Tree = "" },
		"more than fits":   func(g *tag.Tag) { g.Creator = strings.Repeat("x", 80<<10) },
		"too much to pin":  func(g *tag.Tag) { g.Pins[0].Location = "s3://" + strings.Repeat("x", 80<<10) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			g := sample()
			change(&g)
			if value, err := keys(t).Issue(g); err == nil {
				t.Errorf("it is issued with %d bytes", len(value))
			}
		})
	}
}

func TestAnOldKeyOpensAndTheCurrentOneIssues(t *testing.T) {
	old, err := keys(t).Issue(sample())
	if err != nil {
		t.Fatal(err)
	}
	id, fresh, err := tag.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	data := tag.WithKey(nil, keyID, key)
	both, err := tag.ParseKeys(tag.WithKey(data, id, fresh))
	if err != nil {
		t.Fatal(err)
	}
	if len(data) != 2 {
		t.Errorf("adding a key changed the data it was added to")
	}
	if _, err := both.Open(old); err != nil {
		t.Errorf("a tag under the old key: %v", err)
	}
	value, err := both.Issue(sample())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := both.Open(value); err != nil || got.KeyID != id {
		t.Errorf("the new tag is under key %q, %v; want %q", got.KeyID, err, id)
	}
	if _, err := keys(t).Open(value); reason.Of(err) != reason.TagInvalid {
		t.Errorf("a tag under a key that is not known: %v", err)
	}
}

func TestSecretsThatAreNotOurs(t *testing.T) {
	tests := map[string]map[string][]byte{
		"nothing":           nil,
		"no key":            {"current": []byte(keyID)},
		"no current key":    {"key-" + keyID: key},
		"another current":   {"current": []byte("ffffffffffffffff"), "key-" + keyID: key},
		"a short key":       {"current": []byte(keyID), "key-" + keyID: key[1:]},
		"a long key":        {"current": []byte(keyID), "key-" + keyID: append([]byte{0}, key...)},
		"another field":     {"current": []byte(keyID), "key-" + keyID: key, "x": nil},
		"an id with a dot":  {"current": []byte("a.b"), "key-a.b": key},
		"an upper-case id":  {"current": []byte("ABCDEFABCDEFABCD"), "key-ABCDEFABCDEFABCD": key},
		"an empty current ": {"current": nil, "key-": key},
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := tag.ParseKeys(data); err == nil {
				t.Error("it is read")
			}
		})
	}
	if _, err := (tag.Keys{}).Issue(sample()); err == nil {
		t.Error("no keys issue a tag")
	}
	value, err := keys(t).Issue(sample())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (tag.Keys{}).Open(value); reason.Of(err) != reason.TagInvalid {
		t.Errorf("no keys open a tag: %v", err)
	}
}

func TestNewKeysDiffer(t *testing.T) {
	id1, key1, err1 := tag.NewKey()
	id2, key2, err2 := tag.NewKey()
	if err1 != nil || err2 != nil || id1 == id2 || string(key1) == string(key2) || len(key1) != 32 {
		t.Errorf("keys %s and %s, %v, %v", id1, id2, err1, err2)
	}
}

func FuzzOpen(f *testing.F) {
	good, err := keys(f).Issue(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(forge(`{}`))
	f.Fuzz(func(t *testing.T, content string) {
		// The MAC is right, so the content is reached.
		for _, value := range []string{content, forge(content)} {
			got, err := keys(t).Open(value)
			if err != nil || got.Version != tag.Version {
				continue
			}
			again, err := keys(t).Issue(got)
			if err != nil || again != value {
				t.Fatalf("what opens is not issued the same: %v", err)
			}
		}
	})
}

func TestATagHasRoomForPinsThatFit(t *testing.T) {
	g := sample()
	g.Namespace, g.Pod, g.Creator = strings.Repeat("n", 63), strings.Repeat("p", 253), "system:serviceaccount:"+strings.Repeat("n", 63)+":"+strings.Repeat("s", 253)
	g.Definition = strings.Repeat("d", 9<<10)
	g.Executor.Env = []string{"A=" + strings.Repeat("e", 8<<10-8)}
	pin := g.Pins[1]
	for tag.Fit(append(g.Pins, pin)) == nil {
		g.Pins = append(g.Pins, pin)
	}
	value, err := keys(t).Issue(g)
	if err != nil || len(value) < 60<<10 {
		t.Errorf("%d pins: %d bytes, %v", len(g.Pins), len(value), err)
	}
}
