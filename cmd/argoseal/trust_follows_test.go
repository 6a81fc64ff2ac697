package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/tuf"
	"github.com/argoseal/argoseal/pkg/tuf/keeper"
	"github.com/argoseal/argoseal/pkg/tuf/tuftest"
)

// What a trusted root follows is shown, with what the last reading is worth; and nothing of
// it, where it follows nothing.
func TestShowSaysWhatATrustedRootFollows(t *testing.T) {
	n := sealtest.NewNotary(t)
	api := installation(t, "rome", n)
	// shownAs is what it shows, whether it ends well or not.
	shownAs := func(well bool) (string, trustReport) {
		t.Helper()
		table, err := trustIn(t, api, "show")
		raw, again := trustIn(t, api, "show", "-o", "json")
		if (err == nil) != well || (again == nil) != well {
			t.Fatalf("it ends with %v, and as JSON with %v", err, again)
		}
		var r trustReport
		if err := json.Unmarshal([]byte(raw), &r); err != nil || len(r.Domains) != 1 {
			t.Fatalf("%s, %v", raw, err)
		}
		return table, r
	}
	shown := func() (string, trustReport) {
		t.Helper()
		return shownAs(true)
	}
	if table, r := shown(); strings.Contains(table, "follows") || r.Domains[0].Follows != nil || !strings.Contains(table, sealtest.URL) {
		t.Errorf("it follows nothing, and is shown as\n%s", table)
	}

	repository := tuftest.New(t, n.TrustedRoot())
	reads, err := tuf.New(repository.URL, repository.Root, "", tuftest.Target)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().UTC().Truncate(time.Second)
	look := func() {
		t.Helper()
		// As the program does that keeps it.
		k := &keeper.Keeper{
			API: api, Namespace: "argoseal-system", Domain: v1alpha1.DomainInstalled, Repository: reads, Every: time.Hour,
			Events: events.NewFakeRecorder(10), Log: logr.Discard(), Now: func(context.Context) (time.Time, error) { return at, nil },
		}
		if err := k.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	says := func(table, note string) {
		t.Helper()
		end := repository.Until["timestamp"].UTC().Format(time.RFC3339)
		for line := range strings.Lines(table) {
			if words := strings.Fields(line); len(words) > 5 && words[1] == "follows" {
				if words[0] != "installed" || words[2] != repository.URL || words[4] != end || !strings.HasSuffix(strings.TrimSpace(line), note) {
					t.Errorf("%s\nwant the end %s, and %q", line, end, note)
				}
				return
			}
		}
		t.Errorf("nothing of it in\n%s", table)
	}
	look()
	table, r := shown()
	says(table, "a TUF repository, read last at "+at.Format(time.RFC3339)+"; of it timestamp.json, version 1, ends first")
	f := r.Domains[0].Follows
	if f == nil || f.URL != repository.URL || f.Read == nil || !f.Read.Equal(at) || len(f.Roles) != 4 || !f.Roles[tuf.RoleRoot].Until.Equal(repository.Until["root"]) {
		t.Errorf("it is shown as %+v", f)
	}

	// An end that has come since it was read.
	repository.Until["timestamp"] = at.Add(-time.Hour)
	repository.Publish()
	at = at.Add(-2 * time.Hour)
	look()
	table, _ = shown()
	says(table, "its timestamp.json, version 2, has ended: nothing is followed until there is a newer one")

	// A record that cannot be read is not one that is not there.
	var c corev1.ConfigMap
	if err := api.Get(t.Context(), client.ObjectKey{Namespace: "argoseal-system", Name: v1alpha1.ConfigMapTrustedRoot}, &c); err != nil {
		t.Fatal(err)
	}
	c.Data[v1alpha1.FollowedKey] = `{"anchor":`
	if err := api.Update(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
	const spoilt = "configmap argoseal-trusted-root, key tuf.json: record of the TUF repository"
	if table, r := shownAs(false); !strings.Contains(table, "Not used: "+spoilt) || !strings.HasPrefix(r.Problem, spoilt) || r.Domains[0].Follows != nil || !strings.Contains(table, sealtest.URL) {
		t.Errorf("a record that is spoilt is shown as\n%s", table)
	}
}
