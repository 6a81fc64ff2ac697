package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/program"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/scrub"
	scrubber "github.com/argoseal/argoseal/pkg/scrub/controller"
)

func TestFlagsThatCannotWork(t *testing.T) {
	good := options{Beside: program.Beside{Namespace: "n", LeaderElect: true}, every: time.Hour, settle: time.Minute, sample: 100}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*options){
		"no namespace":  func(o *options) { o.Namespace = "" },
		"all the time":  func(o *options) { o.every = time.Second },
		"nothing":       func(o *options) { o.sample = 0 },
		"more than all": func(o *options) { o.sample = 101 },
		"before now":    func(o *options) { o.settle = -1 },
	} {
		o := good
		spoil(&o)
		if err := o.check(); reason.Of(err) != reason.UsageInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv("SSL_CERT_FILE", t.TempDir())
	t.Setenv("SSL_CERT_DIR", "")
	if err := good.check(); reason.Of(err) != reason.UsageInvalid || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
		t.Errorf("certificates that are not there: %v", err)
	}
	for _, bytes := range []string{"much", "0", "-1Mi"} {
		if _, err := (options{bytes: bytes}).limit(); reason.Of(err) != reason.UsageInvalid {
			t.Errorf("%s: %v", bytes, err)
		}
	}
}

// A pass that could not read everything found nothing out of what it did not read.
func TestOncePassSaysWhatItCameTo(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	l, err := artifact.InS3("s3", "b").At("key")
	if err != nil {
		t.Fatal(err)
	}
	seal := &v1alpha1.ArtifactSeal{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "seal"}, Spec: v1alpha1.ArtifactSealSpec{
		Location: v1alpha1.Location{Store: l.Store, Bucket: l.Bucket, Key: l.Key, Kind: string(l.Kind)},
		SHA256:   string(artifact.DigestOfText("sealed")), Size: 6,
	}}
	for name, c := range map[string]struct {
		text string
		err  error
		want error
	}{
		"as it was sealed": {"sealed", nil, nil},
		"altered":          {"forged", nil, errAltered},
		"not read":         {"", errors.New("no answer"), errUnread},
	} {
		counts, err := scrubber.NewMetrics(prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		s := &scrubber.Scrubber{
			Options: scrubber.Options{Every: time.Hour, Sample: 1}, Metrics: counts, Clock: clock.RealClock{}, Log: logr.Discard(), Events: events.NewFakeRecorder(10),
			API:    fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(seal).WithObjects(seal.DeepCopy()).Build(),
			Stores: map[string]scrubber.Store{"s3": {Store: one{c.text, c.err}, Scope: scrub.Scope{{Namespaces: []string{"team"}, Under: []string{"b/"}}}}},
		}
		var out strings.Builder
		if err := onePass(t.Context(), s, &out); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v; it prints %q", name, err, c.want, out.String())
		}
	}
}

// one is a store that has the same everywhere.
type one struct {
	text string
	err  error
}

func (o one) Open(context.Context, string, string) (io.ReadCloser, int64, error) {
	return io.NopCloser(strings.NewReader(o.text)), int64(len(o.text)), o.err
}

func (o one) List(context.Context, string, string, int) ([]string, error) { return nil, o.err }

func TestTheListOfStores(t *testing.T) {
	const whose = "  compare: [{namespaces: [team-*], under: [b/]}]\n"
	l, err := artifact.InS3("s3.example.com", "b").At("x")
	if err != nil {
		t.Fatal(err)
	}
	team := scrub.Key{Namespace: "team-a", Location: l}
	for name, c := range map[string]struct {
		text string
		good bool
	}{
		"two":                   {"stores:\n- endpoint: S3.example.com\n  region: r\n" + whose + "- endpoint: localhost:9000\n  insecure: true\n" + whose, true},
		"nobody's seals":        {"stores: [{endpoint: s3.example.com}]\n", false},
		"seals of nowhere":      {"stores: [{endpoint: s3.example.com, compare: [{namespaces: [a]}]}]\n", false},
		"a part of a bucket":    {"stores: [{endpoint: s3.example.com, compare: [{namespaces: [a], under: [b]}]}]\n", false},
		"none":                  {"stores: []\n", false},
		"nothing":               {"", false},
		"one twice":             {"stores:\n- endpoint: a.example\n" + whose + "- endpoint: A.example\n" + whose, false},
		"without its endpoint":  {"stores:\n- region: r\n" + whose, false},
		"a field that is none":  {"stores:\n- endpoint: a.example\n  secretKey: x\n" + whose, false},
		"an endpoint with path": {"stores:\n- endpoint: a.example/b\n" + whose, false},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "stores.yaml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			stores, err := readStores(file, nil)
			if c.good != (err == nil) || c.good && !stores["s3.example.com"].Scope.Has(team) {
				t.Errorf("got %v, %v", stores, err)
			}
			if err != nil && reason.Of(err) != reason.UsageInvalid {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := readStores("", nil); err == nil || !strings.Contains(err.Error(), "--stores") {
		t.Errorf("got %v", err)
	}
}

// A Secret that is replaced is read anew.
func TestKeysAreReadAnew(t *testing.T) {
	dir := t.TempDir()
	write := func(access, secret string) {
		for name, text := range map[string]string{"accessKey": access, "secretKey": secret} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := storeEntry{Credentials: dir}.credentials()
	if _, err := c.GetWithContext(nil); err == nil {
		t.Error("there is none yet")
	}
	for _, secret := range []string{"one\n", "two"} {
		write("a", secret)
		if v, err := c.GetWithContext(nil); err != nil || v.AccessKeyID != "a" || v.SecretAccessKey != strings.TrimSpace(secret) {
			t.Errorf("got %+v, %v", v, err)
		}
	}
}
