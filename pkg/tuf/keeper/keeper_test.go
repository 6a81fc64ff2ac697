package keeper

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/sigstore/sigstore-go/pkg/root"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/seal/sealtest"
	"github.com/argoseal/argoseal/pkg/tuf"
	"github.com/argoseal/argoseal/pkg/tuf/tuftest"
	"github.com/argoseal/argoseal/pkg/verify"
)

const ours = "argoseal-system"

// following is an installation whose trusted root follows a repository.
type following struct {
	*testing.T
	*Keeper
	repository *tuftest.Repository
	events     *events.FakeRecorder
	at         time.Time
	calls      *interceptor.Funcs
	rekor      *sealtest.Log
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func newFollowing(t *testing.T, objects ...client.Object) *following {
	t.Helper()
	f := &following{T: t, rekor: sealtest.NewLog(t), events: events.NewFakeRecorder(100), at: time.Now().Truncate(time.Second).UTC(), calls: &interceptor.Funcs{}}
	f.events.Verbose = true // it says actions
	f.repository = tuftest.New(t, f.rekor.TrustedRoot)
	f.Keeper = f.keeper(fake.NewClientBuilder().WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			if f.calls.Update != nil {
				return f.calls.Update(ctx, c, o, opts...)
			}
			return c.Update(ctx, o, opts...)
		},
	}).Build())
	return f
}

// keeper is another process.
func (f *following) keeper(api client.Client) *Keeper {
	f.Helper()
	r, err := tuf.New(f.repository.URL, f.repository.Root, "", tuftest.Target)
	must(f.T, err)
	return &Keeper{
		API: api, Namespace: ours, Domain: v1alpha1.DomainInstalled, Create: true, Repository: r, Every: time.Hour, WarnBefore: 14 * 24 * time.Hour,
		Events: f.events, Log: logr.Discard(), Now: func(context.Context) (time.Time, error) { return f.at, nil },
	}
}

// look looks, and wants this outcome.
func (f *following) look(want reason.Code) {
	f.Helper()
	if err := f.Look(f.Context()); (err == nil) != (want == "") || err != nil && reason.Of(err) != want {
		f.Errorf("it comes to %v, want %q", err, want)
	}
}

func (f *following) data() map[string]string {
	f.Helper()
	var c corev1.ConfigMap
	must(f.T, f.API.Get(f.Context(), client.ObjectKey{Namespace: ours, Name: f.object()}, &c))
	return c.Data
}

func (f *following) trusted() []byte { f.Helper(); return []byte(f.data()[v1alpha1.TrustedRootKey]) }

func (f *following) record() tuf.Record {
	f.Helper()
	r, err := tuf.ParseRecord([]byte(f.data()[v1alpha1.FollowedKey]))
	must(f.T, err)
	return r
}

// said are the reasons and actions of events since the last call.
func (f *following) said() []string {
	var all []string
	for {
		select {
		case e := <-f.events.Events:
			all = append(all, strings.Join(strings.Fields(e)[:3], " "))
		default:
			return all
		}
	}
}

func (f *following) says(want ...string) {
	f.Helper()
	if got := f.said(); !slices.Equal(got, want) {
		f.Errorf("events %q, want %q", got, want)
	}
}

// publish has the repository have the logs of these trusted roots.
func (f *following) publish(logs ...[]byte) {
	f.Helper()
	f.repository.SetTarget(joined(f.T, logs...))
	f.repository.Publish()
}

func joined(t *testing.T, logs ...[]byte) []byte {
	t.Helper()
	all := logs[0]
	for _, more := range logs[1:] {
		for _, log := range logsOf(t, more) {
			all = sealtest.TrustedRootOf(t, log, all)
		}
	}
	return all
}

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ours, Name: name}, Data: data}
}

func TestTheTrustedRootFollows(t *testing.T) {
	f := newFollowing(t)
	other := sealtest.NewLog(t).TrustedRoot
	f.look("")
	f.ends(f.rekor.TrustedRoot, time.Time{})
	f.says("Normal RootChanged Follow")
	f.look("")
	f.says()

	f.publish(f.rekor.TrustedRoot, other)
	f.look("")
	f.ends(other, time.Time{})
	f.says("Normal RootChanged Follow")

	// What it has not any more ends, at the API server's time.
	f.publish(other)
	f.at = f.at.Add(time.Hour)
	f.look("")
	f.ends(f.rekor.TrustedRoot, f.at)
	f.ends(other, time.Time{})
	f.says("Warning RootChanged Follow")
	ended := f.at
	f.at = f.at.Add(time.Hour)
	f.look("")
	f.ends(f.rekor.TrustedRoot, ended)
	f.says()
	if r := f.record(); !r.Read.Equal(f.at) || r.URL != f.repository.URL {
		t.Errorf("on record is %s of %s", r.URL, r.Read)
	}
}

// An older repository is refused by another process, too: what was verified lies beside the
// trusted root.
func TestAnotherProcessKnowsWhatWasVerified(t *testing.T) {
	f := newFollowing(t)
	f.look("")
	old := f.repository.Files()
	other := sealtest.NewLog(t).TrustedRoot
	f.publish(other)
	f.look("")
	trusted := f.trusted()
	f.said()
	f.repository.Serve(old)
	f.Keeper = f.keeper(f.API)
	f.look(reason.RootRefused)
	f.says("Warning RootRefused Follow")
	f.look(reason.RootRefused)
	f.says() // once a day
	if !bytes.Equal(f.trusted(), trusted) {
		t.Error("the trusted root is another one")
	}
	f.at = f.at.Add(25 * time.Hour)
	f.look(reason.RootRefused)
	f.says("Warning RootRefused Follow")
}

// Whatever the repository does, what is trusted stays.
func TestWhatDoesNotHoldChangesNothing(t *testing.T) {
	f := newFollowing(t)
	f.look("")
	f.said()
	trusted := f.trusted()
	for name, c := range map[string]struct {
		does func()
		want reason.Code
	}{
		"it is away":                {func() { f.repository.Answer(http.NotFound) }, reason.RootUnread},
		"another repository":        {func() { f.repository.Serve(tuftest.New(t, []byte("x")).Files()) }, reason.RootRefused},
		"a target that is no root":  {func() { f.repository.SetTarget([]byte(`{"keys":[]}`)); f.repository.Publish() }, reason.RootRefused},
		"a target that is no JSON":  {func() { f.repository.SetTarget(bytes.Repeat([]byte("{"), 1000)); f.repository.Publish() }, reason.RootRefused},
		"a root with one signature": {func() { f.repository.PublishRoot(f.repository.Keys("root")[0]) }, reason.RootRefused},
		"a target that is too large": {func() {
			f.repository.SetTarget(append(bytes.Repeat([]byte(" "), 300<<10), f.rekor.TrustedRoot...))
			f.repository.Publish()
		}, reason.RootRefused},
		"its end has come": {func() { f.at = f.repository.Until["timestamp"].Add(time.Second) }, reason.RootRefused},
	} {
		before, at := f.repository.Files(), f.at
		c.does()
		f.look(c.want)
		if !bytes.Equal(f.trusted(), trusted) {
			t.Errorf("%s: another root is trusted", name)
		}
		f.at = at
		f.repository.Answer(nil)
		f.repository.Serve(before)
		f.said()
		f.repository = tuftest.New(t, f.rekor.TrustedRoot)
		data := f.data()
		must(t, f.API.Update(t.Context(), configMap(f.object(), map[string]string{v1alpha1.TrustedRootKey: data[v1alpha1.TrustedRootKey]})))
		f.Keeper = f.keeper(f.API)
		f.look("")
		f.said()
	}
}

// What verified of the repository counts from then on, even if its target is of no use.
func TestWhatVerifiedIsKeptBesideATargetOfNoUse(t *testing.T) {
	f := newFollowing(t)
	f.look("")
	old := f.repository.Files()
	f.repository.SetTarget([]byte("nonsense"))
	f.repository.Publish()
	f.look(reason.RootRefused)
	if v := f.record().Roles[tuf.RoleTimestamp].Version; v != 2 {
		t.Errorf("version %d of the timestamp is on record", v)
	}
	f.repository.Serve(old)
	f.look(reason.RootRefused)
}

// Nothing is written that the programs would refuse.
func TestWhatTheProgramsRefuseIsNotWritten(t *testing.T) {
	notary := sealtest.NewNotary(t)
	f := newFollowing(t, configMap(v1alpha1.ConfigMapNotaryKey, map[string]string{
		v1alpha1.NotaryKeyKey: string(notary.Signer.PublicKeyPEM()), v1alpha1.RulesKey: `{"logs":2}`,
	}))
	f.look(reason.RootRefused) // one log, and two have to have each seal
	var none corev1.ConfigMap
	if err := f.API.Get(t.Context(), client.ObjectKey{Namespace: ours, Name: f.object()}, &none); !apierrors.IsNotFound(err) {
		t.Errorf("it is written: %v", err)
	}
	f.publish(f.rekor.TrustedRoot, sealtest.NewLog(t).TrustedRoot)
	f.look("")
}

// What an operator added, and ended, stays.
func TestWhatAnOperatorWroteStays(t *testing.T) {
	f := newFollowing(t)
	private := sealtest.NewLog(t).TrustedRoot
	must(t, f.API.Create(t.Context(), configMap(v1alpha1.ConfigMapTrustedRoot, map[string]string{v1alpha1.TrustedRootKey: string(private), "other": "x"})))
	f.look("")
	f.ends(private, time.Time{})
	f.ends(f.rekor.TrustedRoot, time.Time{})
	if f.data()["other"] != "x" {
		t.Error("something else in the ConfigMap is gone")
	}
	end := f.at.Add(-time.Hour)
	stopped := verify.Replacement{Before: f.rekor.TrustedRoot, Next: private, Until: end}
	made, err := stopped.Root()
	must(t, err)
	data := f.data()
	data[v1alpha1.TrustedRootKey] = string(made)
	must(t, f.API.Update(t.Context(), configMap(v1alpha1.ConfigMapTrustedRoot, data)))
	f.publish(f.rekor.TrustedRoot)
	f.look("")
	f.ends(f.rekor.TrustedRoot, end)

	// Who writes at the same time is not overwritten.
	f.publish(f.rekor.TrustedRoot, sealtest.NewLog(t).TrustedRoot)
	f.calls.Update = func(context.Context, client.WithWatch, client.Object, ...client.UpdateOption) error {
		return apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, f.object(), errors.New("changed"))
	}
	if err := f.Look(t.Context()); !apierrors.IsConflict(err) {
		t.Errorf("it is not told of a conflict: %v", err)
	}
	f.calls.Update = nil

	// A record that cannot be read is not one that is not there.
	data = f.data()
	data[v1alpha1.FollowedKey] = `{"anchor":`
	must(t, f.API.Update(t.Context(), configMap(v1alpha1.ConfigMapTrustedRoot, data)))
	if err := f.Look(t.Context()); err == nil || !strings.Contains(err.Error(), v1alpha1.FollowedKey) {
		t.Errorf("a record that is spoilt: %v", err)
	}
}

// The ConfigMap is made where nobody else does. Those of other domains never are.
func TestWhoMakesTheConfigMap(t *testing.T) {
	f := newFollowing(t)
	f.Create = false
	if err := f.Look(t.Context()); !apierrors.IsNotFound(err) {
		t.Errorf("it is made: %v", err)
	}
	f.Create, f.Domain = true, "paris"
	if err := f.Look(t.Context()); !apierrors.IsNotFound(err) {
		t.Errorf("another domain's is made: %v", err)
	}
	notary := sealtest.NewNotary(t)
	must(t, f.API.Create(t.Context(), configMap("argoseal-trust-paris", map[string]string{
		v1alpha1.NotaryKeyKey: string(notary.Signer.PublicKeyPEM()), v1alpha1.RulesKey: `{"builders":["https://argoseal.dev/builders/v1/paris/isolated"]}`,
	})))
	f.look("")
	f.ends(f.rekor.TrustedRoot, time.Time{})
	var none corev1.ConfigMap
	if err := f.API.Get(t.Context(), client.ObjectKey{Namespace: ours, Name: v1alpha1.ConfigMapTrustedRoot}, &none); !apierrors.IsNotFound(err) {
		t.Errorf("the installation's own is written, too: %v", err)
	}
}

// The end is told before it comes: of what people sign two weeks before, else a day.
func TestAnEndIsToldBefore(t *testing.T) {
	f := newFollowing(t)
	f.look("")
	f.says("Normal RootChanged Follow")
	until := f.repository.Until
	renew := func(roles ...string) {
		for _, role := range roles {
			f.repository.Until[role] = f.at.Add(40 * 24 * time.Hour)
		}
		f.repository.PublishRoot(f.repository.Keys("root")...)
		f.repository.Publish()
	}
	f.at = until["timestamp"].Add(-25 * time.Hour)
	f.look("")
	f.says()
	f.at = until["timestamp"].Add(-23 * time.Hour)
	f.look("")
	f.says("Warning RootExpires FollowTimestamp")
	f.look("")
	f.says()
	f.at = until["timestamp"].Add(time.Hour)
	f.look(reason.RootRefused)
	f.says("Warning RootRefused Follow", "Warning RootExpires FollowTimestamp")
	f.look(reason.RootRefused)

	renew("timestamp", "snapshot")
	f.look("")
	f.says()
	f.at = until["targets"].Add(-13 * 24 * time.Hour)
	renew("timestamp", "snapshot")
	f.look("")
	// Kubernetes makes one event of two with one reason and action, and keeps the first one's words.
	f.says("Warning RootExpires FollowRoot", "Warning RootExpires FollowTargets")

	values := map[string]float64{}
	for _, m := range gathered(t, f.Keeper) {
		name := "read"
		if len(m.GetLabel()) > 0 {
			name = m.GetLabel()[0].GetValue()
		}
		values[name] = m.GetGauge().GetValue()
	}
	if values["read"] != float64(f.at.Unix()) || values["root"] != float64(until["root"].Unix()) || values["timestamp"] != float64(f.repository.Until["timestamp"].Unix()) || len(values) != 5 {
		t.Errorf("metrics %v", values)
	}

	// Another process knows it before it has read anything, and while the repository is away.
	f.Keeper = f.keeper(f.API)
	f.repository.Answer(http.NotFound)
	f.look(reason.RootUnread)
	if n := len(gathered(t, f.Keeper)); n != 5 {
		t.Errorf("it has %d metrics", n)
	}
}

func gathered(t *testing.T, k *Keeper) []*dto.Metric {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	must(t, r.Register(k.Metrics()))
	families, err := r.Gather()
	must(t, err)
	var all []*dto.Metric
	for _, f := range families {
		all = append(all, f.GetMetric()...)
	}
	return all
}

func logsOf(t *testing.T, trusted []byte) map[string]*root.TransparencyLog {
	t.Helper()
	parsed, err := root.NewTrustedRootFromJSON(trusted)
	must(t, err)
	return parsed.RekorLogs()
}

// ends wants that the log of a trusted root is trusted until then.
func (f *following) ends(log []byte, want time.Time) {
	f.Helper()
	for id := range logsOf(f.T, log) {
		l, ok := logsOf(f.T, f.trusted())[id]
		if !ok || !l.ValidityPeriodEnd.Equal(want) {
			f.Errorf("log %s: trusted %v, until %v; want until %s", id, ok, l, want)
		}
	}
}
