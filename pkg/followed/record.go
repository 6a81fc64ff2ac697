package followed

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/controller"
	"github.com/argoseal/argoseal/pkg/reason"
)

const (
	// Lingers is how long an Argo counts that runs no more: pods that its
	// controller asked for may still come, and it may be installed anew.
	Lingers = 10 * time.Minute
	// maxFollowed and maxNames bound what is read, in bytes and in names of a kind. An
	// installation has a handful.
	maxFollowed = 256 << 10
	maxNames    = 256
)

// Record is what runs, and what ran a while ago.
type Record struct {
	// Controllers are user names.
	Controllers    Names `json:"controllers"`
	ExecutorImages Names `json:"executorImages"`
	ExecutorEnv    Names `json:"executorEnv"`
	PlainStores    Names `json:"plainStores"`
}

// Parse reads the record of a ConfigMap. One without any is an empty record: the notary
// has not written it yet.
func Parse(c *corev1.ConfigMap) (Record, error) {
	var r Record
	text := c.Data[v1alpha1.ArgoKey]
	if text == "" {
		return r, nil
	}
	if len(text) > maxFollowed {
		return Record{}, reason.New(reason.KeyMismatch, "ConfigMap %s has %d bytes, at most %d are allowed", c.Name, len(text), maxFollowed)
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return Record{}, reason.Wrap(reason.KeyMismatch, err, "ConfigMap %s is not as the notary writes it: remove its key %s", c.Name, v1alpha1.ArgoKey)
	}
	for _, n := range r.kinds() {
		if _, empty := n[""]; empty || len(n) > maxNames {
			return Record{}, reason.New(reason.KeyMismatch, "ConfigMap %s has an empty name, or more than %d of a kind: remove its key %s", c.Name, maxNames, v1alpha1.ArgoKey)
		}
	}
	return r, nil
}

func (r Record) kinds() []Names {
	return []Names{r.Controllers, r.ExecutorImages, r.ExecutorEnv, r.PlainStores}
}

// write puts the record into a ConfigMap: for us, and the controllers for the admission
// policies, which read no JSON. What Parse would refuse is not written: nobody could write
// another record after it, nor start with it.
func (r Record) write(c *corev1.ConfigMap, at time.Time) error {
	text, err := r.fit()
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	if _, err := Parse(&corev1.ConfigMap{ObjectMeta: c.ObjectMeta, Data: map[string]string{v1alpha1.ArgoKey: string(text)}}); err != nil {
		return reason.New(reason.ArgoUnread, "Argo's controllers run with more than %d names of a kind, or %d bytes of them: what was trusted before stays trusted", maxNames, maxFollowed)
	}
	if c.Data == nil {
		c.Data = map[string]string{}
	}
	c.Data[v1alpha1.ArgoKey] = string(text)
	c.Data[v1alpha1.ArgoControllersKey] = strings.Join(r.Controllers.At(at, Lingers), "\n")
	return nil
}

// fit is the record as it is written. If that is too large, what ended first is forgotten
// before its time.
func (r Record) fit() ([]byte, error) {
	for _, n := range r.kinds() {
		for len(n) > maxNames && forgetOldest(n) {
		}
	}
	for {
		text, err := json.Marshal(r)
		if err != nil || len(text) <= maxFollowed || !forgetOldest(r.kinds()...) {
			return text, err
		}
	}
}

// merge notes what runs at a time.
func (r *Record) merge(now Found, at time.Time) {
	r.Controllers.Merge(now.Controllers, at, Lingers)
	r.ExecutorImages.Merge(now.ExecutorImages, at, Lingers)
	r.ExecutorEnv.Merge(now.ExecutorEnv, at, Lingers)
	r.PlainStores.Merge(now.PlainStores, at, Lingers)
}

// Identity is what is trusted at a time: what the operator gave, and what counts of
// the record. Controllers of namespaces that the operator does not name do not
// count. nonroot is the user of images that are called -nonroot, if the operator
// gives none; 0: none.
func (r Record) Identity(given argo.Identity, namespaces []string, nonroot int64, at time.Time) argo.Identity {
	all := given
	all.Controllers = union(given.Controllers, slices.DeleteFunc(r.Controllers.At(at, Lingers), func(user string) bool {
		return !slices.ContainsFunc(namespaces, func(ns string) bool { return strings.HasPrefix(user, username(ns, "")) })
	}))
	all.ExecutorImages = union(given.ExecutorImages, r.ExecutorImages.At(at, Lingers))
	all.ExecutorEnv = union(given.ExecutorEnv, r.ExecutorEnv.At(at, Lingers))
	all.PlainStores = union(given.PlainStores, r.PlainStores.At(at, Lingers))
	all.ExecutorUsers = maps.Clone(given.ExecutorUsers)
	for _, image := range all.ExecutorImages {
		if _, known := all.ExecutorUsers[image]; known || nonroot == 0 || !controller.NamesUser(image) {
			continue
		}
		if all.ExecutorUsers == nil {
			all.ExecutorUsers = map[string]int64{}
		}
		all.ExecutorUsers[image] = nonroot
	}
	return all
}

func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

func username(namespace, account string) string {
	return "system:serviceaccount:" + namespace + ":" + account
}
