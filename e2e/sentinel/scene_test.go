//go:build e2e

package sentinel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/e2e/sentinel/control"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
	"github.com/argoseal/argoseal/pkg/sentinel/escrow"
)

// folder is where Secrets lie in etcd.
const folder = "/registry/secrets/"

var resources = []string{"secrets"}

// scene is the test as it goes on.
type scene struct {
	*plane
	operator *control.Operator
	client   client.Client
	// sweeps has the controller be killed whenever it gets to something new.
	sweeps bool
	// reasons are those of Ready, in the order they were first seen, when the controller
	// was killed.
	reasons []string
	// secrets are the keys that were seen in files, as the files have them.
	secrets map[string]bool
	// identity can open what is in escrow.
	identity *age.X25519Identity
}

// set sets the scene where encryption is off.
func set(t *testing.T) *scene {
	t.Helper()
	return setWith(t, control.Off)
}

// setWith sets it where the servers start with a file.
func setWith(t *testing.T, file string) *scene {
	t.Helper()
	p := raise(t, file)
	p.must(p.Install(t.Context()))
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{plane: p, operator: &control.Operator{Plane: p.Plane, Log: "controller"}, sweeps: true, secrets: map[string]bool{}, identity: identity}
	await(t, time.Minute, "the resource is served", func(ctx context.Context) error {
		if s.client, err = client.New(p.Admin(0), client.Options{Scheme: scheme}); err != nil {
			return err
		}
		return s.client.List(ctx, &v1alpha1.SecretEncryptionList{})
	})
	return s
}

// want writes the spec.
func (s *scene) want(provider string, rotation int64) {
	s.t.Helper()
	s.wants(provider, rotation, nil)
}

// wants writes the spec, with the plugin of kms.
func (s *scene) wants(provider string, rotation int64, plugin *v1alpha1.SecretKMS) {
	s.t.Helper()
	s.note("want %s, rotation %d", provider, rotation)
	await(s.t, time.Minute, "the spec is written", func(ctx context.Context) error {
		o := &v1alpha1.SecretEncryption{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.SecretEncryptionName}}
		err := s.client.Get(ctx, types.NamespacedName{Name: o.Name}, o)
		o.Spec.Provider, o.Spec.Rotation, o.Spec.KMS, o.Spec.MaxKeyAge = provider, rotation, plugin, nil
		if provider == string(encryption.AESGCM) {
			o.Spec.MaxKeyAge = &metav1.Duration{Duration: 24 * time.Hour} // it may not be without
		}
		o.Spec.Escrow = &v1alpha1.SecretEscrow{Recipients: []string{s.identity.Recipient().String()}}
		if client.IgnoreNotFound(err) != nil {
			return err
		}
		if err != nil {
			return s.client.Create(ctx, o)
		}
		return s.client.Update(ctx, o)
	})
}

func (s *scene) note(format string, args ...any) {
	s.t.Logf("%s %s", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

// endsWell proves from etcd that every object lies under the key that writes, that no read
// or write was lost, and that keys are in the files and in escrow alone.
func (s *scene) endsWell(load *traffic) {
	s.t.Helper()
	c, err := s.config()
	if err != nil {
		s.t.Fatal(err)
	}
	s.proveStored(c.WriteRef())
	load.finish(s.t)
	s.showsNoKey()
	s.escrowHasAll()
}

// until waits until it holds. Whenever Ready has a reason that it has not had, the
// controller is killed and started anew, if the scene sweeps. So is one that has ended by
// itself, as whoever runs it does: on a busy machine a lease is lost now and then.
func (s *scene) until(limit time.Duration, what string, holds func(*v1alpha1.SecretEncryption, *metav1.Condition) error) {
	s.t.Helper()
	began := time.Now()
	await(s.t, limit, what, func(ctx context.Context) error {
		if s.operator.HasEnded() {
			s.note("%s has ended by itself", s.operator.Log)
			s.must(s.operator.Start())
		}
		var o v1alpha1.SecretEncryption
		if err := s.client.Get(ctx, types.NamespacedName{Name: v1alpha1.SecretEncryptionName}, &o); err != nil {
			return err
		}
		ready := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil {
			return fmt.Errorf("no condition yet")
		}
		s.remember(o)
		if !slices.Contains(s.reasons, ready.Reason) {
			s.reasons = append(s.reasons, ready.Reason)
			s.note("%s: %s", ready.Reason, ready.Message)
			if s.sweeps {
				s.must(s.operator.Restart(s.t.Context()))
			}
		}
		if err := holds(&o, ready); err != nil {
			return fmt.Errorf("%w (%s: %s)", err, ready.Reason, ready.Message)
		}
		return nil
	})
	s.note("reached, after %s: %s", time.Since(began).Round(100*time.Millisecond), what)
}

// reason holds once Ready has one of some reasons, for what is wanted now.
func reason(wants ...encryption.Reason) func(*v1alpha1.SecretEncryption, *metav1.Condition) error {
	return func(o *v1alpha1.SecretEncryption, ready *metav1.Condition) error {
		if !slices.Contains(wants, encryption.Reason(ready.Reason)) || ready.ObservedGeneration != o.Generation {
			return fmt.Errorf("not yet %v", wants)
		}
		return nil
	}
}

// remember collects the keys of all files, and looks whether the resource shows
// one.
func (s *scene) remember(o v1alpha1.SecretEncryption) {
	for i := range members {
		raw, err := os.ReadFile(s.File(i))
		if err != nil {
			s.t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			if _, key, ok := strings.Cut(line, "secret: "); ok {
				s.secrets[strings.TrimSpace(key)] = true
			}
		}
		if info, err := os.Stat(s.File(i)); err == nil && info.Mode().Perm() != 0o600 {
			s.t.Errorf("the file of %d has mode %s", i, info.Mode())
		}
		kept := filepath.Join(filepath.Dir(s.File(i)), ".config.yaml.kept")
		if info, err := os.Stat(kept); err == nil && info.Mode().Perm() != 0o700 {
			s.t.Errorf("what %d has kept has mode %s", i, info.Mode())
		}
	}
	raw, err := json.Marshal(o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.hasNoKey("the resource", raw)
}

func (s *scene) hasNoKey(what string, raw []byte) {
	s.t.Helper()
	for key := range s.secrets {
		if bytes.Contains(raw, []byte(key)) {
			s.t.Errorf("%s has a key", what)
		}
	}
}

// files are those of all servers, byte by byte.
func (s *scene) files() string {
	s.t.Helper()
	var all []byte
	for i := range members {
		raw, err := os.ReadFile(s.File(i))
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, raw...)
	}
	return string(all)
}

// escrowHasAll fails unless every key that was seen in a file can be brought back.
func (s *scene) escrowHasAll() {
	s.t.Helper()
	var o v1alpha1.SecretEncryption
	if err := s.client.Get(s.t.Context(), types.NamespacedName{Name: v1alpha1.SecretEncryptionName}, &o); err != nil {
		s.t.Fatal(err)
	}
	var all []byte
	for _, e := range o.Status.Escrow {
		key, err := escrow.Open(e.Data, s.identity)
		if err != nil {
			s.t.Fatalf("%s: %v", e.Key, err)
		}
		c, err := encryption.NewConfig(key)
		if err != nil {
			s.t.Fatal(err)
		}
		content, err := c.Render(resources)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, content...)
	}
	for key := range s.secrets {
		if !bytes.Contains(all, []byte(key)) {
			s.t.Errorf("a key of the files is not among the %d in escrow", len(o.Status.Escrow))
		}
	}
}

// config is what all files say; they must be alike.
func (s *scene) config() (encryption.Config, error) {
	var all []encryption.Config
	for i := range members {
		raw, err := os.ReadFile(s.File(i))
		if err != nil {
			return encryption.Config{}, err
		}
		c, err := encryption.Parse(raw, resources)
		if err != nil {
			return encryption.Config{}, err
		}
		all = append(all, c)
		if !c.Equal(all[0]) {
			return encryption.Config{}, fmt.Errorf("file %d says %v, file 0 says %v", i, c.Refs(), all[0].Refs())
		}
	}
	return all[0], nil
}

// stored counts what etcd holds, by the first bytes of each value: this is not
// the code that is tested.
func (s *scene) stored() (counts map[string]int, plain int) {
	s.t.Helper()
	got, err := s.Etcd.Get(s.t.Context(), folder, clientv3.WithPrefix())
	if err != nil {
		s.t.Fatal(err)
	}
	counts = map[string]int{}
	for _, kv := range got.Kvs {
		parts := strings.SplitN(string(kv.Value), ":", 6)
		if len(parts) == 6 && parts[0] == "k8s" && parts[1] == "enc" {
			counts[parts[2]+"/"+parts[4]]++
		} else {
			counts["identity"]++
		}
		if bytes.Contains(kv.Value, []byte(canary)) {
			plain++
		}
	}
	return counts, plain
}

// proveStored fails unless every object lies under the one key.
func (s *scene) proveStored(ref encryption.Ref) {
	s.t.Helper()
	counts, plain := s.stored()
	total := 0
	for _, n := range counts {
		total += n
	}
	s.note("etcd: %d of %d objects under %s, %d with readable content", counts[ref.String()], total, ref, plain)
	if len(counts) != 1 || counts[ref.String()] < steady+written {
		s.t.Errorf("under other keys: %v", slices.Collect(maps.Keys(counts)))
	}
	if off := ref.Provider == encryption.Identity; !off && plain > 0 {
		s.t.Errorf("%d objects can be read in etcd", plain)
	}
}

// plant stores a copy of an object where the API server lists it and cannot
// rewrite it: under the same key, with the name of another.
func (s *scene) plant(of string) (remove func()) {
	s.t.Helper()
	got, err := s.Etcd.Get(s.t.Context(), folder+space+"/"+of)
	if err != nil || len(got.Kvs) != 1 {
		s.t.Fatalf("%d objects, %v", len(got.Kvs), err)
	}
	const planted = folder + space + "/planted"
	if _, err := s.Etcd.Put(s.t.Context(), planted, string(got.Kvs[0].Value)); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		if _, err := s.Etcd.Delete(s.t.Context(), planted); err != nil {
			s.t.Fatal(err)
		}
		// The servers' caches have taken the copy for the object itself, and now lack it.
		patch := []byte(`{"metadata":{"labels":{"touched":"yes"}}}`)
		if _, err := s.Clients[0].CoreV1().Secrets(space).Patch(s.t.Context(), of, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// showsNoKey looks into logs and events.
func (s *scene) showsNoKey() {
	s.t.Helper()
	if len(s.secrets) == 0 {
		s.t.Error("no key was seen in any file")
	}
	logs, err := s.Logs()
	if err != nil || len(logs) < 3*members+1 {
		s.t.Fatalf("there are %d logs, %v", len(logs), err)
	}
	for _, path := range logs {
		raw, err := os.ReadFile(path)
		if err != nil {
			s.t.Fatal(err)
		}
		s.hasNoKey(path, raw)
		if name := filepath.Base(path); !strings.HasPrefix(name, "apiserver") && bytes.Contains(raw, []byte("panic: ")) {
			s.t.Errorf("%s has a panic", name)
		}
	}
	events, err := s.Clients[0].EventsV1().Events("").List(s.t.Context(), metav1.ListOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	raw, err := yaml.Marshal(events)
	if err != nil {
		s.t.Fatal(err)
	}
	s.hasNoKey("an event", raw)
	if len(events.Items) == 0 {
		s.t.Error("there is no event")
	}
}
