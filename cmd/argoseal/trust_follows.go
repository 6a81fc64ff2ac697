package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/tuf"
	"github.com/argoseal/argoseal/pkg/verify"
)

// followReport is the TUF repository that a trusted root follows, and what was verified of
// it last.
type followReport struct {
	URL string `json:"url"`
	// Read is when it was read and verified last; null: it never was.
	Read *time.Time `json:"read,omitempty"`
	// Roles are versions and ends of its metadata.
	Roles map[tuf.Role]tuf.Signed `json:"roles,omitempty"`
}

// follows says by the name of each domain which repository its trusted root follows, if it
// follows one. The error is about those of which it cannot be told.
func (o *trustOptions) follows(ctx context.Context, api client.Client, domains []verify.Domain) (map[string]*followReport, error) {
	found := map[string]*followReport{}
	var problems []error
	for _, d := range domains {
		name := v1alpha1.ConfigMapDomainPrefix + d.Name
		if d.Name == v1alpha1.DomainInstalled {
			name = v1alpha1.ConfigMapTrustedRoot
		}
		r, err := o.follow(ctx, api, name)
		if err != nil {
			problems = append(problems, fmt.Errorf("configmap %s, key %s: %w", name, v1alpha1.FollowedKey, err))
			continue
		}
		if r != nil {
			found[d.Name] = r
		}
	}
	return found, errors.Join(problems...)
}

// follow reads what lies beside a trusted root; nil: it follows nothing.
func (o *trustOptions) follow(ctx context.Context, api client.Client, configMap string) (*followReport, error) {
	var c corev1.ConfigMap
	if err := api.Get(ctx, client.ObjectKey{Namespace: o.namespace, Name: configMap}, &c); err != nil {
		return nil, err
	}
	raw := c.Data[v1alpha1.FollowedKey]
	if raw == "" {
		return nil, nil
	}
	r, err := tuf.ParseRecord([]byte(raw))
	if err != nil {
		return nil, err
	}
	return &followReport{URL: r.URL, Read: some(r.Read), Roles: r.Roles}, nil
}

// first is the role whose metadata ends first.
func (f *followReport) first() (tuf.Role, tuf.Signed, bool) {
	var role tuf.Role
	for _, one := range tuf.Roles() {
		if signed, known := f.Roles[one]; known && (role == "" || signed.Until.Before(f.Roles[role].Until)) {
			role = one
		}
	}
	return role, f.Roles[role], role != ""
}

// until is the end of what was read last; nil: nothing was.
func (f *followReport) until() *time.Time {
	_, signed, _ := f.first()
	return some(signed.Until)
}

// note says how much that is worth at a time.
func (f *followReport) note(now time.Time) string {
	note := "a TUF repository, never read whole"
	if f.Read != nil {
		note = "a TUF repository, read last at " + f.Read.UTC().Format(time.RFC3339)
	}
	role, signed, known := f.first()
	switch {
	case !known:
	case now.Before(signed.Until):
		note += fmt.Sprintf("; of it %s.json, version %d, ends first", role, signed.Version)
	default:
		note += fmt.Sprintf("; its %s.json, version %d, has ended: nothing is followed until there is a newer one", role, signed.Version)
	}
	return note
}
