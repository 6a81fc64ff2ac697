package controller

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"filippo.io/age"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/apiserver"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
	"github.com/argoseal/argoseal/pkg/sentinel/escrow"
	"github.com/argoseal/argoseal/pkg/sentinel/migration"
)

// place is a controller with three servers, whose files are real.
type place struct {
	t        *testing.T
	r        *Reconciler
	clock    *clocktesting.FakePassiveClock
	identity *age.X25519Identity
	files    [3]local
	// loaded are the hashes of what the servers run with; refuses are those that cannot
	// load, and have failed so often.
	loaded  [3]string
	refuses [3]bool
	failed  [3]float64
	objects map[encryption.Ref]int
	// keyIDs are those of what the servers' plugins write with; broken is why one cannot be
	// used.
	keyIDs [3]string
	broken [3]error
	turn   error
	// uncounted is why it is not known which API servers there are.
	uncounted error
	// registered are the API servers that the cluster has; history is whether etcd has
	// old revisions, and asked the last before which it was asked for.
	registered map[string]string
	history    bool
	asked      int64
	// each is done after each step.
	each func()
}

var request = ctrl.Request{NamespacedName: client.ObjectKey{Name: v1alpha1.SecretEncryptionName}}

func newPlace(t *testing.T) *place {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	o := &v1alpha1.SecretEncryption{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SecretEncryptionName, Generation: 1}}
	o.Spec.Provider, o.Spec.Resources = "secretbox", []string{"secrets"}
	o.Spec.Escrow = &v1alpha1.SecretEscrow{Recipients: []string{identity.Recipient().String()}}
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	// Of the API it needs a list with nothing in it: here objects are rewritten by themselves.
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{},"items":[]}`)
	}))
	t.Cleanup(api.Close)
	names, err := metadata.NewForConfig(&rest.Config{Host: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	off, err := encryption.Off().Render([]string{"secrets"})
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, identity: identity, clock: clocktesting.NewFakePassiveClock(time.Unix(1_800_000_000, 0))}
	p.objects = map[encryption.Ref]int{{Provider: encryption.Identity}: 5}
	p.registered = map[string]string{"0": "apiserver-0", "1": "apiserver-1", "2": "apiserver-2"}
	p.r = &Reconciler{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(o).WithStatusSubresource(o).Build(),
		Mapper: mapper, Events: events.NewFakeRecorder(1000), Clock: p.clock, Random: rand.Reader,
		Registered: func(context.Context) (map[string]string, error) { return maps.Clone(p.registered), p.uncounted },
		Term:       func(context.Context) (int64, error) { return 1, p.turn },
		Scan:       func(context.Context, []string) (Reading, error) { return reading(p.objects), nil },
		Compacted: func(_ context.Context, revision int64) (bool, error) {
			p.asked = revision
			return !p.history, nil
		},
		Migrator: migration.Migrator{Client: names}, Settle: 6 * time.Minute,
	}
	for i := range p.files {
		p.files[i] = put(t, string(off))
		p.r.Servers = append(p.r.Servers, Server{
			Name: fmt.Sprint("cp", i), File: p.files[i],
			Loaded: func(context.Context) (apiserver.Loaded, error) {
				ids := map[string]string{"one": encryption.IDHash(p.keyIDs[i]), "two": encryption.IDHash("two " + p.keyIDs[i])}
				return apiserver.Loaded{ID: fmt.Sprint(i), Hash: p.loaded[i], Failures: p.failed[i], KeyIDs: ids}, nil
			},
			Plugins: func(context.Context) error { return p.broken[i] },
		})
	}
	p.load()
	return p
}

func (p *place) content(i int) []byte {
	p.t.Helper()
	raw, err := os.ReadFile(p.files[i].Path)
	if err != nil {
		p.t.Fatal(err)
	}
	return raw
}

func (p *place) config(i int) encryption.Config {
	p.t.Helper()
	c, err := encryption.Parse(p.content(i), []string{"secrets"})
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// load has every server load its file; and where all write alike, all objects be
// rewritten.
func (p *place) load() {
	alike := true
	for i := range p.files {
		if hash := encryption.Hash(p.content(i)); !p.refuses[i] {
			p.loaded[i] = hash
		} else if p.loaded[i] != hash {
			p.failed[i]++
		}
		alike = alike && p.config(i).WriteRef() == p.config(0).WriteRef() && p.keyIDs[i] == p.keyIDs[0]
	}
	write := p.config(0).WriteRef()
	if write.Provider == encryption.KMS {
		write.ID = encryption.IDHash(p.keyIDs[0])
		if write.Name == "two" {
			write.ID = encryption.IDHash("two " + p.keyIDs[0])
		}
	}
	if alike && p.readable() {
		p.objects = map[encryption.Ref]int{write: 5}
	}
}

// readable says whether every object can be read by every server.
func (p *place) readable() bool {
	for i := range p.files {
		for ref := range p.objects {
			if !p.config(i).Reads(ref) {
				return false
			}
		}
	}
	return true
}

func (p *place) object() *v1alpha1.SecretEncryption {
	p.t.Helper()
	var o v1alpha1.SecretEncryption
	if err := p.r.Client.Get(p.t.Context(), request.NamespacedName, &o); err != nil {
		p.t.Fatal(err)
	}
	return &o
}

// ready is the reason of the condition Ready.
func (p *place) ready() string {
	if c := meta.FindStatusCondition(p.object().Status.Conditions, v1alpha1.ConditionReady); c != nil {
		return c.Reason
	}
	return ""
}

// step reconciles once. No more than one file may change, and no key may be in one that
// is not in escrow.
func (p *place) step() {
	p.t.Helper()
	before := [3]string{}
	for i := range p.files {
		before[i] = string(p.content(i))
	}
	result, err := p.r.Reconcile(p.t.Context(), request)
	if err != nil {
		p.t.Fatal(err)
	}
	changed := 0
	for i := range p.files {
		if string(p.content(i)) != before[i] {
			changed++
		}
		for _, k := range p.config(i).Keys() {
			if k.Kept() && !p.escrowed(k) {
				p.t.Fatalf("%s is used, and not in escrow", k)
			}
		}
	}
	if changed > 1 {
		p.t.Fatalf("%d files were changed at once (%s)", changed, p.ready())
	}
	p.clock.SetTime(p.clock.Now().Add(result.RequeueAfter))
	if p.each != nil {
		p.each()
	}
}

func (p *place) escrowed(k encryption.Key) bool {
	for _, e := range p.object().Status.Escrow {
		if got, err := escrow.Open(e.Data, p.identity); err == nil && got.Equal(k) {
			return true
		}
	}
	return false
}

// run goes on until Ready has a reason.
func (p *place) run(until encryption.Reason) {
	p.t.Helper()
	for range 400 {
		p.step()
		if p.ready() == string(until) {
			return
		}
		p.load()
	}
	p.t.Fatalf("it stays at %s", p.ready())
}

func (p *place) rotate() {
	p.t.Helper()
	o := p.object()
	o.Spec.Rotation++
	o.Generation++
	if err := p.r.Client.Update(p.t.Context(), o); err != nil {
		p.t.Fatal(err)
	}
}

// kept is how many copies of files a node has.
func (p *place) kept(i int) int {
	p.t.Helper()
	copies, err := p.files[i].File.Kept(1)
	if err != nil {
		p.t.Fatal(err)
	}
	return len(copies)
}

func TestARotation(t *testing.T) {
	p := newPlace(t)
	p.run(encryption.Proven)
	first := p.config(0)
	steps := map[string]bool{}
	p.each = func() {
		// Objects lie under a key all the time, and new ones are written with one.
		o, step := p.object(), p.ready()
		steps[step] = true
		if meta.IsStatusConditionFalse(o.Status.Conditions, v1alpha1.ConditionEncrypted) || o.Status.Proof.UnderKey == 0 {
			t.Errorf("%s: %+v, %+v", step, o.Status.Conditions, o.Status.Proof)
		}
		if (step == string(encryption.ReadKeySpread) || step == string(encryption.Settling)) && o.Status.Key == nil {
			t.Errorf("%s: which key is written with it does not say", step)
		}
	}
	p.rotate()
	began := p.clock.Now()
	p.run(encryption.OldKeyRemoved)
	if waited := p.clock.Now().Sub(began); waited < p.r.Settle {
		t.Errorf("the old key left after %s", waited)
	}
	for i := range p.files {
		if p.kept(i) < 3 {
			t.Errorf("of server %d only %d files are kept", i, p.kept(i))
		}
	}
	p.load()
	p.run(encryption.Proven)
	if !steps[string(encryption.ReadKeySpread)] || !steps[string(encryption.Settling)] {
		t.Errorf("it went through %v", steps)
	}
	for i := range p.files {
		if c := p.config(i); len(c.Refs()) != 1 || c.WriteRef().Rotation() != 1 {
			t.Errorf("server %d has %v", i, c)
		}
	}
	if !p.escrowed(first.Write()) {
		t.Error("the first key is no longer in escrow")
	}
	for i := range p.files {
		if p.kept(i) != 1 {
			t.Errorf("of server %d %d files are kept", i, p.kept(i))
		}
	}
}

// A file that a server cannot load breaks that one: no other gets it, and the status
// says so.
func TestABadFileBreaksOneServer(t *testing.T) {
	p := newPlace(t)
	p.refuses[0] = true
	p.run(encryption.FileRefused)
	for range 20 {
		p.step()
		p.load()
	}
	if p.config(0).Equal(encryption.Off()) || !p.config(1).Equal(encryption.Off()) || !p.config(2).Equal(encryption.Off()) {
		t.Errorf("the files say %v, %v, %v", p.config(0), p.config(1), p.config(2))
	}
	o := p.object()
	if c := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionStalled); c == nil || c.Status != metav1.ConditionTrue || o.Status.Servers[0].State != "it cannot load its file" {
		t.Errorf("%+v, %+v", c, o.Status.Servers)
	}
	p.refuses[0] = false
	p.load()
	p.run(encryption.Proven)
}

// Somebody takes the key from all files, by hand, and with a restart from all servers:
// nodes have kept it.
func TestAKeyThatWasTakenComesBack(t *testing.T) {
	p := newPlace(t)
	p.run(encryption.Proven)
	other, err := configOf(t, newKey(t, "x")).Render([]string{"secrets"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.files {
		if err := os.WriteFile(p.files[i].Path, other, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.load()
	if p.readable() {
		t.Fatal("nothing is unreadable")
	}
	p.run(encryption.ReadKeyRestored)
	p.load()
	for range 20 {
		p.step()
		p.load()
	}
	for ref := range p.objects {
		for i := range p.files {
			if !p.config(i).Reads(ref) {
				t.Errorf("server %d does not read %s", i, ref)
			}
		}
	}
	p.run(encryption.Proven)
}

// Where one server exists, its node has kept the file that is lost.
func TestTheOnlyFileIsPutBack(t *testing.T) {
	p := newPlace(t)
	p.run(encryption.Proven)
	p.r.Servers, p.registered = p.r.Servers[:1], map[string]string{"0": "apiserver-0"}
	want := p.content(0)
	for what, content := range map[string]string{"deleted": "", "cut off": string(want[:40])} {
		if err := errors.Join(os.Remove(p.files[0].Path), os.WriteFile(p.files[0].Path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
		if content == "" {
			if err := os.Remove(p.files[0].Path); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.r.Reconcile(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		if got := p.content(0); string(got) != string(want) || p.ready() != string(encryption.FileRepaired) {
			t.Errorf("%s: it is not put back (%s)", what, p.ready())
		}
	}
}

// Who is not sure that it is their turn does nothing, and says nothing.
func TestNotOurTurn(t *testing.T) {
	p := newPlace(t)
	p.turn = errors.New("another's")
	if _, err := p.r.Reconcile(t.Context(), request); !errors.Is(err, p.turn) {
		t.Errorf("%v", err)
	}
	if p.ready() != "" || !p.config(0).Equal(encryption.Off()) {
		t.Errorf("it says %s, and the file %v", p.ready(), p.config(0))
	}
}

// A recipient that is none halts: no key is used without.
func TestNoEscrowNoKey(t *testing.T) {
	p := newPlace(t)
	o := p.object()
	o.Spec.Escrow.Recipients = []string{"age1nobody"}
	if err := p.r.Client.Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		p.step()
		p.load()
	}
	if !p.config(0).Equal(encryption.Off()) || p.ready() != string(escrowFailed) {
		t.Errorf("it says %s, and the file %v", p.ready(), p.config(0))
	}
}
