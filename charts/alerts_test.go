package charts_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// TestAlertsAreThoseOfThePage: what the rule asks is what docs/retention.md, docs/log.md and
// docs/trust.md say, and both sides name every alert.
func TestAlertsAreThoseOfThePage(t *testing.T) {
	out, err := template(t, "-f", "testdata/default.values.yaml", "--set", "prometheusRule.enabled=true,retention.maxAge=24h")
	if err != nil {
		t.Fatal(err)
	}
	alerts := ""
	for _, name := range []string{"retention", "log", "trust"} {
		page, err := os.ReadFile("../docs/" + name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		_, of, _ := strings.Cut(string(page), "\n## Alerts\n")
		of, _, _ = strings.Cut(of, "\n## ")
		alerts += strings.ReplaceAll(of, `\|`, "|") // as a cell of a table has it
	}
	n := 0
	for line := range strings.Lines(out) {
		expr, is := strings.CutPrefix(strings.TrimSpace(line), "expr: ")
		if !is {
			continue
		}
		n++
		if !strings.Contains(alerts, "`"+expr+"`") {
			t.Errorf("the page has no alert %s", expr)
		}
	}
	if want := strings.Count(alerts, "` |\n"); n != want || n < 8 {
		t.Errorf("%d alerts, the pages have %d", n, want)
	}
}

// TestAlertsAskForWhatThereIs: a metric, or a reason of one, that nothing has would never
// fire. With the log elsewhere and not watched, there is no alert about it.
func TestAlertsAskForWhatThereIs(t *testing.T) {
	reference, err := os.ReadFile("../docs/reference.md")
	if err != nil {
		t.Fatal(err)
	}
	exprs := func(values, set string) (all string, n int) {
		out, err := template(t, "-f", "testdata/"+values+".values.yaml", "--set", "prometheusRule.enabled=true,"+set)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out) {
			if expr, is := strings.CutPrefix(strings.TrimSpace(line), "expr: "); is {
				all, n = all+expr+"\n", n+1
			}
		}
		return all, n
	}
	scrubbed := "scrubber.enabled=true,scrubber.stores[0].endpoint=s3.example.com,scrubber.stores[0].compare[0].namespaces[0]=a,scrubber.stores[0].compare[0].under[0]=b/"
	all, n := exprs("default", "retention.maxAge=24h,"+scrubbed)
	if n != 11 {
		t.Errorf("%d alerts with everything on", n)
	}
	for _, name := range regexp.MustCompile(`argoseal_[a-z_]+`).FindAllString(all, -1) {
		if !strings.Contains(string(reference), "`"+name+"`") {
			t.Errorf("there is no metric %s", name)
		}
	}
	for _, m := range regexp.MustCompile(`reason=~?"([^"]+)"`).FindAllStringSubmatch(all, -1) {
		for code := range strings.SplitSeq(m[1], "|") {
			if !strings.Contains(string(reference), "`"+code+"`") {
				t.Errorf("there is no reason %s", code)
			}
		}
	}
	const watched = "argoseal_notary_log_checked_timestamp_seconds"
	elsewhere, _ := exprs("external-rekor", "rekor.tilesURL=")
	if !strings.Contains(all, watched) || strings.Contains(elsewhere, watched) {
		t.Errorf("alerts about a log that is watched: %t, and about one that is not: %t", strings.Contains(all, watched), strings.Contains(elsewhere, watched))
	}
}

// TestWhatAlertsAskIsScraped: where there are alerts, the metrics of each pod of ours reach
// the Prometheus that the labels name; and where there are none, a cluster without the
// Prometheus operator is asked for nothing that it does not know.
func TestWhatAlertsAskIsScraped(t *testing.T) {
	type monitor struct {
		metav1.TypeMeta
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			Selector            metav1.LabelSelector
			PodMetricsEndpoints []struct{ Port string }
		}
	}
	everything := "scrubber.enabled=true,scrubber.stores[0].endpoint=s3.example.com,scrubber.stores[0].compare[0].namespaces[0]=a,scrubber.stores[0].compare[0].under[0]=b/," +
		"tuf.url=https://tuf-repo-cdn.sigstore.dev"
	out, err := template(t, "-f", "testdata/default.values.yaml", "--set", everything+",prometheusRule.enabled=true,prometheusRule.labels.release=monitoring")
	if err != nil {
		t.Fatal(err)
	}
	monitors := of[monitor](t, out, "PodMonitor")
	if len(monitors) != 1 || monitors[0].Namespace != "argoseal-system" || monitors[0].Labels["release"] != "monitoring" || len(monitors[0].Spec.PodMetricsEndpoints) != 1 {
		t.Fatalf("PodMonitors %+v", monitors)
	}
	selector, err := metav1.LabelSelectorAsSelector(&monitors[0].Spec.Selector)
	if err != nil {
		t.Fatal(err)
	}
	pods := map[string]corev1.PodTemplateSpec{}
	for _, d := range of[appsv1.Deployment](t, out, "Deployment") {
		pods[d.Name] = d.Spec.Template
	}
	for _, s := range of[appsv1.StatefulSet](t, out, "StatefulSet") {
		pods[s.Name] = s.Spec.Template
	}
	if len(pods) != 6 {
		t.Errorf("%d kinds of pods of ours", len(pods))
	}
	for name, pod := range pods {
		ports := 0
		for _, c := range pod.Spec.Containers {
			for _, port := range c.Ports {
				if port.Name == monitors[0].Spec.PodMetricsEndpoints[0].Port {
					ports++
				}
			}
		}
		if ports != 1 || !selector.Matches(labels.Set(pod.Labels)) {
			t.Errorf("%s is scraped at %d ports, and selected: %t", name, ports, selector.Matches(labels.Set(pod.Labels)))
		}
	}
	if selector.Matches(labels.Set{"app.kubernetes.io/name": "argoseal", "app.kubernetes.io/instance": "another"}) {
		t.Error("pods of another release are scraped")
	}
	if out, err := template(t, "-f", "testdata/default.values.yaml", "--set", everything); err != nil || strings.Contains(out, "monitoring.coreos.com") {
		t.Errorf("without alerts there is something for the Prometheus operator, or %v", err)
	}
}
