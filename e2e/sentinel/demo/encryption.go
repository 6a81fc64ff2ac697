//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/argoseal/argoseal/e2e/sentinel/control"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/sentinel/encryption"
)

const (
	space = "shop"
	// password begins each value, so that none of it may be in etcd.
	password = "swordfish"
	// others is how many Secrets there are beside the one that is shown.
	others = 99
	// folder is where Secrets lie in etcd.
	folder = "/registry/secrets/"
	// phase is what one key may take.
	phase = 8 * time.Minute
)

// readable makes Secrets, and shows one in etcd.
func (s *story) readable(ctx context.Context) (string, error) {
	if _, err := s.shown(ctx, "", s.kubectl, "create", "namespace", space); err != nil {
		return "", err
	}
	if _, err := s.shown(ctx, "", s.kubectl, "create", "secret", "generic", "db", "-n", space, "--from-literal=password="+password); err != nil {
		return "", err
	}
	for i := range others {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("other-", i)}, StringData: map[string]string{"password": fmt.Sprint(password, "-", i)}}
		if _, err := s.Clients[i%control.Members].CoreV1().Secrets(space).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
			return "", err
		}
	}
	s.sayf("%d more are made.", others)
	found, err := s.inEtcd(ctx)
	if err != nil {
		return "", err
	}
	if found.readable != found.all {
		return "", fmt.Errorf("%d of %d Secrets can be read", found.readable, found.all)
	}
	return fmt.Sprintf("all %d passwords can be read", found.readable), nil
}

const wanted = `apiVersion: argoseal.dev/v1alpha1
kind: SecretEncryption
metadata: {name: cluster}
spec: {provider: secretbox}
`

// encrypted has all Secrets lie under a key.
func (s *story) encrypted(ctx context.Context) (string, error) {
	s.operator = &control.Operator{Plane: s.Plane, Log: "controller"}
	if err := s.operator.Start(); err != nil {
		return "", err
	}
	if _, err := s.shown(ctx, wanted, s.kubectl, "apply", "-f", "-"); err != nil {
		return "", err
	}
	s.sayf("First every server learns to read with the key, then to write with it. Each time all three")
	s.sayf("have to say so, which takes up to a minute. Then every Secret is rewritten:")
	if err := s.follow(ctx, "all Secrets lie under the key", func(o *v1alpha1.SecretEncryption, ready *metav1.Condition) bool {
		because := encryption.Reason(ready.Reason)
		return (because == encryption.Settling || because == encryption.Proven) && o.Status.Proof != nil && o.Status.Proof.Objects == o.Status.Proof.UnderKey
	}); err != nil {
		return "", err
	}
	if _, err := s.shown(ctx, "", s.kubectl, "get", "secretencryptions"); err != nil {
		return "", err
	}
	found, err := s.proven(ctx)
	if err != nil {
		return "", err
	}
	s.first = found.key
	return fmt.Sprintf("%d of %d lie under one", found.all, found.all), nil
}

// rotate asks for another key, and does not wait.
func (s *story) rotate(ctx context.Context) error {
	_, err := s.shown(ctx, "", s.kubectl, "patch", "secretencryption", "cluster", "--type=merge", "-p", `{"spec":{"rotation":1}}`)
	return err
}

// rotated waits for the other key.
func (s *story) rotated(ctx context.Context) (string, error) {
	s.sayf("It was asked for before the pod came. What is still to be done:")
	if err := s.follow(ctx, "all Secrets lie under the second key", func(o *v1alpha1.SecretEncryption, ready *metav1.Condition) bool {
		return encryption.Reason(ready.Reason) == encryption.Proven && o.Status.Key != nil && "secretbox/"+o.Status.Key.Name != s.first
	}); err != nil {
		return "", err
	}
	if _, err := s.shown(ctx, "", s.kubectl, "get", "secretencryptions"); err != nil {
		return "", err
	}
	found, err := s.proven(ctx)
	if err != nil {
		return "", err
	}
	if found.key == s.first {
		return "", fmt.Errorf("it is still %s", s.first)
	}
	_, name, _ := strings.Cut(s.first, "/")
	for i := range control.Members {
		raw, err := os.ReadFile(s.File(i))
		if err != nil {
			return "", err
		}
		if bytes.Contains(raw, []byte(name)) {
			return "", fmt.Errorf("the file of cp%d still has the first key", i)
		}
	}
	s.sayf("The first key is in no server's file any more. No server was restarted.")
	return fmt.Sprintf("%d of %d lie under that", found.all, found.all), nil
}

// follow tells what the controller says, until it holds.
func (s *story) follow(ctx context.Context, what string, holds func(*v1alpha1.SecretEncryption, *metav1.Condition) bool) error {
	const silence = 20 * time.Second
	told, at := "", time.Now()
	return control.Await(ctx, phase, what, func(ctx context.Context) error {
		if s.operator.HasEnded() { // on a busy machine a lease is lost now and then
			if err := s.operator.Start(); err != nil {
				return err
			}
		}
		var o v1alpha1.SecretEncryption
		if err := s.client.Get(ctx, types.NamespacedName{Name: v1alpha1.SecretEncryptionName}, &o); err != nil {
			return err
		}
		ready := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || ready.ObservedGeneration != o.Generation {
			return errors.New("the controller has yet to look")
		}
		if ready.Reason != told || time.Since(at) > silence {
			told, at = ready.Reason, time.Now()
			took := time.Since(s.began).Round(time.Second)
			s.sayf("  %d:%02d  %s: %s", int(took.Minutes()), int(took.Seconds())%60, ready.Reason, ready.Message)
		}
		if !holds(&o, ready) {
			return fmt.Errorf("%s: %s", ready.Reason, ready.Message)
		}
		return nil
	})
}

// stored is what etcd has: how many Secrets, how many of them with a password that can be
// read, and the key of all the others; several are an error.
type stored struct {
	all, readable int
	key           string
}

// inEtcd shows one Secret in etcd, and looks at all. This is not the code of the
// controller's scan.
func (s *story) inEtcd(ctx context.Context) (stored, error) {
	got, err := s.Etcd.Get(ctx, folder, clientv3.WithPrefix())
	if err != nil {
		return stored{}, err
	}
	var found stored
	for _, kv := range got.Kvs {
		found.all++
		if string(kv.Key) == folder+space+"/db" {
			s.sayf("In etcd %s is", kv.Key)
			s.quote(excerpt(kv.Value, password))
		}
		if bytes.Contains(kv.Value, []byte(password)) {
			found.readable++
		}
		parts := strings.SplitN(string(kv.Value), ":", 6)
		if len(parts) < 6 || parts[0] != "k8s" || parts[1] != "enc" {
			continue
		}
		key := parts[2] + "/" + parts[4]
		if found.key != "" && found.key != key {
			return stored{}, fmt.Errorf("some Secrets lie under %s, and some under %s", found.key, key)
		}
		found.key = key
	}
	return found, nil
}

// proven fails unless every Secret lies under one key, and is read through each server.
func (s *story) proven(ctx context.Context) (stored, error) {
	found, err := s.inEtcd(ctx)
	if err != nil {
		return stored{}, err
	}
	if found.key == "" || found.readable > 0 {
		return stored{}, fmt.Errorf("%d of %d Secrets can be read in etcd, others lie under %q", found.readable, found.all, found.key)
	}
	s.sayf("So do all %d. The password is in none of them.", found.all)
	for i := range control.Members {
		all, err := s.Clients[i].CoreV1().Secrets(space).List(ctx, metav1.ListOptions{})
		if err != nil {
			return stored{}, err
		}
		for _, one := range all.Items {
			if !bytes.HasPrefix(one.Data["password"], []byte(password)) {
				return stored{}, fmt.Errorf("cp%d gives another Secret %s", i, one.Name)
			}
		}
		if len(all.Items) != others+1 {
			return stored{}, fmt.Errorf("cp%d gives %d Secrets", i, len(all.Items))
		}
	}
	s.sayf("Each API server reads them: nobody notices.")
	return found, nil
}
