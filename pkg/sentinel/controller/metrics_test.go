package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

// What a rotation comes to can be seen from outside, and what is no more so is gone.
func TestMetricsSayWhatIsGoingOn(t *testing.T) {
	registry := prometheus.NewRegistry()
	p := newPlace(t)
	p.r.Metrics = NewMetrics(registry)
	p.refuses[0] = true
	p.run(encryption.FileRefused)
	expect := func(want ...string) {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range families {
			for _, m := range f.GetMetric() {
				line := f.GetName()
				for _, l := range m.GetLabel() {
					line += " " + l.GetValue()
				}
				if line = strings.TrimPrefix(line, "argoseal_sentinel_"); !strings.Contains(line, "_seconds") {
					got = append(got, fmt.Sprint(line, " ", m.GetGauge().GetValue()))
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	expect("objects another 0", "objects key 0", "objects plain 5", "step FileRefused true 1")
	p.refuses[0] = false
	p.load()
	p.run(encryption.Proven)
	expect("objects another 0", "objects key 5", "objects plain 0", "step Proven false 1")
}
