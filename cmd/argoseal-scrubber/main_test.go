package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/argoseal/argoseal/pkg/program"
	"github.com/argoseal/argoseal/pkg/reason"
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
	for _, bytes := range []string{"much", "0", "-1Mi"} {
		if _, err := (options{bytes: bytes}).limit(); reason.Of(err) != reason.UsageInvalid {
			t.Errorf("%s: %v", bytes, err)
		}
	}
}

func TestTheListOfStores(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		good bool
	}{
		"two":                   {"stores:\n- endpoint: S3.example.com\n  region: r\n- endpoint: localhost:9000\n  insecure: true\n", true},
		"none":                  {"stores: []\n", false},
		"nothing":               {"", false},
		"one twice":             {"stores: [{endpoint: a.example}, {endpoint: A.example}]\n", false},
		"without its endpoint":  {"stores: [{region: r}]\n", false},
		"a field that is none":  {"stores: [{endpoint: a.example, secretKey: x}]\n", false},
		"an endpoint with path": {"stores: [{endpoint: a.example/b}]\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "stores.yaml")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			stores, err := readStores(file, nil)
			if c.good != (err == nil) || c.good && stores["s3.example.com"] == nil {
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
