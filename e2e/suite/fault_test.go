//go:build e2e

package suite

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	// outage is how long something is taken away.
	outage = 30 * time.Second
	// ending is how long Argo may take to end a workflow. One that it has lost sight
	// of it looks at 20 minutes later.
	ending = 3 * time.Minute
)

// logging is held by who takes the log away, and shared by who holds it to a time.
var logging sync.RWMutex

// relay makes something, slowly enough to be caught at it, and consumes it.
const relay = `
metadata: {name: relay}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - name: use
        template: use
        arguments:
          artifacts:
          - {name: message, from: "{{steps.make.outputs.artifacts.message}}"}
  - name: make
    container:
      image: busybox
      command: [sh, -c]
      args: ["sleep 3; echo genuine > /tmp/message"]
    outputs:
      artifacts:
      - {name: message, path: /tmp/message}
  - name: use
    inputs:
      artifacts:
      - {name: message, path: /tmp/message}
    container:
      image: alpine:latest
      command: [grep, genuine, /tmp/message]
`

// latched submits relay with a first step that makes nothing before it is let, so
// that whoever is slow still catches it at it.
func latched(t *testing.T, ns, name string) (let func()) {
	t.Helper()
	free := make(chan struct{})
	l := listen(t)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-free:
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	t.Cleanup(func() { server.Close() })
	go server.Serve(l)
	wait := "until wget -q -O /dev/null http://" + l.Addr().String() + "/; do sleep 1; done"
	submit(t, ns, strings.NewReplacer("name: relay", "name: "+name, "sleep 3", wait).Replace(relay))
	return sync.OnceFunc(func() { close(free) })
}

// TestOutages takes one part after the other away, in the middle of a run.
// Whatever else the suite does meanwhile has to come through as well.
func TestOutages(t *testing.T) {
	t.Parallel()
	t.Run("without the log workflows pause and go on", withoutTheLog)
	t.Run("a notary that hangs is relieved", withoutTheNotary)
}

// TestARefusalIsFinalWhateverItQuotes: Argo tries again for ever what is refused in
// words that it knows from faults that pass, and users choose words.
func TestARefusalIsFinalWhateverItQuotes(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "final", v1alpha1.ModeEnforce)
	judged(t, finish(t, ns, submit(t, ns, `
metadata: {name: final}
spec:
  entrypoint: main
  podSpecPatch: '{"containers": [{"name": "wait", "args": ["exceeded quota"]}]}'
  templates:
  - {name: main, container: {image: busybox, command: ["true"]}}
`)), reason.WaitAltered)
}

// withoutTheLog takes Rekor away while a step runs. What nobody ends waits for it,
// what is ended does not.
func withoutTheLog(t *testing.T) {
	const name = "relay-without-a-log"
	l, ns := cluster(t), namespace(t, "no-log", v1alpha1.ModeEnforce)
	let := latched(t, ns, name)
	until(t, ns, name, making)

	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := errors.Join(l.Scale(ctx, lab.Rekor, 1), l.Ready(ctx, lab.Rekor)); err != nil {
			t.Errorf("the log is NOT BACK: %v", err)
		}
	})
	logging.Lock()
	defer logging.Unlock()
	if err := l.PullPlug(t.Context(), lab.Rekor); err != nil {
		t.Fatal(err)
	}
	back := time.After(outage)
	let()
	for other := range endings {
		submit(t, ns, strings.Replace(relay, "name: relay", "name: "+other, 1))
	}
	paused(t, ns, name)
	for other, end := range endings {
		paused(t, ns, other)
		merge(t, ns, other, soon(t, ns, other, end))
	}
	ended := []*lab.Run{}
	for other := range endings {
		ended = append(ended, endsPaused(t, ns, other))
	}
	staysPaused(t, ns, name, back)
	if err := l.Scale(t.Context(), lab.Rekor, 1); err != nil {
		t.Fatal(err)
	}
	goesOn(t, ns, name)
	for _, run := range ended {
		if made, _ := run.Node("make"); records(t, run, made)["message"] != reason.Sealed {
			t.Errorf("what was made is not sealed: %s", run)
		}
	}
}

// endings are how users end a workflow, each with one of that name. The one out of time
// shows that Argo sees a deadline which passes while it is told to come later: in the
// last second it does not look again by itself. There is one, because a namespace has
// room for one try in place at each of the chart's three replicas.
var endings = map[string]string{
	"relay-stopped":     `{"spec":{"shutdown":"Stop"}}`,
	"relay-terminated":  `{"spec":{"shutdown":"Terminate"}}`,
	"relay-out-of-time": `{"spec":{"activeDeadlineSeconds":SOON}}`,
}

// soon puts the age that a workflow has a few seconds from now where SOON stands, so
// that it is the deadline which ends it, not the change.
func soon(t *testing.T, ns, name, patch string) string {
	t.Helper()
	run, err := cluster(t).Run(t.Context(), ns, name)
	if err != nil {
		t.Fatal(err)
	}
	age := time.Since(run.Started) + 10*time.Second
	return strings.Replace(patch, "SOON", strconv.Itoa(int(age.Seconds())), 1)
}

// endsPaused holds a workflow that was ended while it waited for a seal to end,
// though there is none: its consuming step fails, and never had a pod.
func endsPaused(t *testing.T, ns, name string) *lab.Run {
	t.Helper()
	run, err := cluster(t).Finish(t.Context(), ns, name, ending)
	if err != nil {
		t.Fatal(err)
	}
	use, _ := run.Node("use")
	if run.Phase != "Failed" || use.Phase != "Failed" {
		t.Errorf("it did not fail: %s", run)
	}
	t.Logf("%s ended: %s", name, use.Message)
	if pods, err := cluster(t).Pods(t.Context(), ns, name); err != nil || len(pods) != 1 {
		t.Errorf("want the pod of the first step alone, got %d: %v", len(pods), err)
	}
	return run
}

// withoutTheNotary freezes the notary that works on a pod. Another one takes
// the pod over; the first one is thawed later and must not spoil that seal.
// The log is frozen too, for the moment it takes to catch the notary between
// claim and seal: so the log gets the envelope, and nobody gets the answer.
func withoutTheNotary(t *testing.T) {
	const name = "relay-without-a-notary"
	ns := namespace(t, "no-notary", v1alpha1.ModeEnforce)
	let := latched(t, ns, name)
	until(t, ns, name, making)

	logging.Lock()
	defer logging.Unlock()
	thawLog := freeze(t, lab.Rekor, "rekor", func(*corev1.Pod) bool { return true })
	let()
	before := claimed(t, ns)
	thawNotary := freeze(t, lab.Notary, "notary", func(pod *corev1.Pod) bool {
		return strings.Contains(before.Status.Claim.Holder, pod.Name)
	})
	back := time.After(outage)
	thawLog()
	paused(t, ns, name)
	goesOn(t, ns, name)
	after := sealedBy(t, before)
	if after.Status.Claim != nil && after.Status.Claim.Holder == before.Status.Claim.Holder {
		t.Fatalf("%s was frozen and sealed it all the same", before.Status.Claim.Holder)
	}
	<-back
	thawNotary()
	if err := cluster(t).Ready(t.Context(), lab.Notary); err != nil {
		t.Fatal(err)
	}
	if now := sealedBy(t, before); now.Status.Bundle != after.Status.Bundle {
		t.Fatalf("the notary that hung replaced the seal:\n%s\nwas\n%s", now.Status.Bundle, after.Status.Bundle)
	}
}

// making says that the producer runs.
func making(r *lab.Run) bool {
	n, _ := r.Node("make")
	return n.Phase == "Running" || r.Done()
}

// freeze stops a container of the one pod of a workload that is wanted.
func freeze(t *testing.T, w lab.Workload, container string, wanted func(*corev1.Pod) bool) (thaw func()) {
	t.Helper()
	pods, err := cluster(t).PodsOf(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	for i := range pods {
		if !wanted(&pods[i]) {
			continue
		}
		thaw, err := lab.Freeze(&pods[i], container)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(thaw)
		t.Logf("froze %s of %s", container, pods[i].Name)
		return thaw
	}
	t.Fatalf("none of the %d pods of %s is the wanted one", len(pods), w.Name)
	return nil
}

// claimed waits until a notary works on the envelope of the only pod in a
// namespace and has not sealed it.
func claimed(t *testing.T, ns string) *v1alpha1.Provenance {
	t.Helper()
	var list v1alpha1.ProvenanceList
	err := lab.Eventually(t.Context(), limit, func(ctx context.Context) (bool, error) {
		if err := cluster(t).List(ctx, ns, &list); err != nil {
			return false, err
		}
		return len(list.Items) == 1 && list.Items[0].Status.Claim != nil && list.Items[0].Status.Envelope != "", nil
	})
	if err != nil {
		t.Fatalf("no notary claims the pod: %v: %+v", err, list.Items)
	}
	p := &list.Items[0]
	if p.Status.Bundle != "" {
		t.Fatalf("it was sealed although the log is frozen: %+v", p.Status)
	}
	return p
}

// sealedBy reads a record that has to have its seal.
func sealedBy(t *testing.T, p *v1alpha1.Provenance) *v1alpha1.Provenance {
	t.Helper()
	var now v1alpha1.Provenance
	if err := cluster(t).Client.Get(t.Context(), client.ObjectKeyFromObject(p), &now); err != nil {
		t.Fatal(err)
	}
	if now.Status.Bundle == "" {
		t.Fatalf("not sealed: %+v", now.Status)
	}
	return &now
}

// waits says that a workflow waits for a seal: its consuming step is pending,
// because the seal is on its way, and nothing has failed.
func waits(r *lab.Run) bool {
	use, _ := r.Node("use")
	return !r.Done() && use.Phase == "Pending" && refuses(use.Message, reason.ProvenancePending)
}

// paused waits until a workflow waits for a seal.
func paused(t *testing.T, ns, name string) {
	t.Helper()
	run := until(t, ns, name, func(r *lab.Run) bool { return r.Done() || waits(r) })
	if !waits(run) {
		t.Fatalf("it does not wait for the seal: %s", run)
	}
	use, _ := run.Node("use")
	t.Logf("paused: %s", use.Message)
}

// staysPaused holds a workflow to waiting until the end.
func staysPaused(t *testing.T, ns, name string, end <-chan time.Time) {
	t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-tick.C:
		}
		run, err := cluster(t).Run(t.Context(), ns, name)
		if err != nil {
			t.Fatal(err)
		}
		if !waits(run) {
			t.Fatalf("it does not wait for the seal any more: %s", run)
		}
	}
}

// goesOn holds a workflow to finish, with seals that verify.
func goesOn(t *testing.T, ns, name string) {
	t.Helper()
	start := time.Now()
	run, err := cluster(t).Finish(t.Context(), ns, name, limit) // by itself
	if err != nil {
		t.Fatal(err)
	}
	if err := refusal(run); err != nil {
		t.Fatalf("%v: %s", err, run)
	}
	t.Logf("it finished %s after", time.Since(start).Round(100*time.Millisecond))
	seals, err := cluster(t).Seals(t.Context(), ns, run.UID)
	if err != nil || len(seals) != 1 {
		t.Fatalf("want one seal, got %d: %v", len(seals), err)
	}
	if _, err := cluster(t).Check(t.Context(), &seals[0]); err != nil {
		t.Fatal(err)
	}
}
