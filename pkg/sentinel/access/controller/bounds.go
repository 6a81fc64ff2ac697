package controller

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
)

const (
	// maxAccesses is how many SecretAccesses of a namespace count, those that were made first:
	// who may write them in one namespace must not keep rights from ending in others. With 32
	// Secrets each, that guards 8,192 of them.
	maxAccesses = 256
	// maxBytes is how large a spec may be, as JSON: one of 32 Secrets, each with five mount grants,
	// has some 25 KiB. All that count in a namespace have 16 MiB at most. What the status has,
	// which we write, comes on top.
	maxBytes = 64 << 10
	// maxNamed is how many other SecretAccesses the condition names for one Secret.
	maxNamed = 3
)

// readOnly lists what informers keep as it is: a namespace may have very many. Nothing of it
// may be written to.
const readOnly = client.UnsafeDisableDeepCopy

// markOverBound begins spec.enforcement of what informers keep of a SecretAccess that is too large:
// nobody can write that, as the API server takes Enforce and Audit alone.
const markOverBound = "cut:"

// Caches says what the informers keep: nothing of who wrote which field, and of a SecretAccess
// that is too large the names of its Secrets alone.
func Caches() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&v1alpha1.SecretAccess{}: {Transform: slimAccess},
		&rbacv1.Role{}:           {Transform: slimMeta},
		&rbacv1.RoleBinding{}:    {Transform: slimMeta},
	}
}

func slimMeta(o any) (any, error) {
	if m, ok := o.(client.Object); ok {
		m.SetManagedFields(nil)
		m.SetAnnotations(nil)
	}
	return o, nil
}

func slimAccess(o any) (any, error) {
	a, ok := o.(*v1alpha1.SecretAccess)
	if !ok || isOverBound(a) { // it has been here already
		return o, nil
	}
	_, _ = slimMeta(a)
	a.Labels, a.OwnerReferences, a.Finalizers = nil, nil, nil // nobody asks for them
	raw, err := json.Marshal(a.Spec)
	if err != nil {
		return nil, err
	}
	if len(raw) > maxBytes {
		a.Spec, a.Status.InForce, a.Status.Secrets = guardOnly(a.Spec), nil, ""
		a.Spec.Enforcement = markOverBound + a.Spec.Enforcement
	}
	return a, nil
}

func isOverBound(a *v1alpha1.SecretAccess) bool {
	return strings.HasPrefix(a.Spec.Enforcement, markOverBound)
}

// guardOnly is what is left of a spec that grants nothing.
func guardOnly(s v1alpha1.SecretAccessSpec) v1alpha1.SecretAccessSpec {
	guarded := make([]v1alpha1.GuardedSecret, 0, len(s.Secrets))
	for _, g := range s.Secrets {
		guarded = append(guarded, v1alpha1.GuardedSecret{Name: strings.Clone(g.Name)})
	}
	return v1alpha1.SecretAccessSpec{Secrets: guarded, Enforcement: strings.TrimPrefix(s.Enforcement, markOverBound)}
}

// excess is why a SecretAccess grants nothing, beside the others of its namespace: its reason,
// and a message that says what to do. It has none if it counts.
func excess(a *v1alpha1.SecretAccess, all []v1alpha1.SecretAccess, most int) (why, message string) {
	if isOverBound(a) {
		return reasonTooLarge, fmt.Sprintf("its spec has more than %d bytes, so it guards its Secrets, and nobody gets them by it: make several of it, or name a Group instead of many", maxBytes)
	}
	before := 0
	for i := range all {
		if o := &all[i]; o.UID != a.UID && cmp.Or(o.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(o.Name, a.Name)) < 0 {
			before++
		}
	}
	if before < most {
		return "", ""
	}
	return reasonTooMany, fmt.Sprintf("its namespace has %d that were made before it, and %d count, so it guards its Secrets, and nobody gets them by it: guard several Secrets by one SecretAccess, or delete some; ten minutes later it counts", before, most)
}

// guardedTwice are the Secrets that another SecretAccess guards, too: pods need a grant of each,
// which is seldom meant.
func guardedTwice(a *v1alpha1.SecretAccess, all []v1alpha1.SecretAccess) (twice []string) {
	type holders struct {
		first []string // by name, maxNamed at most
		n     int
	}
	mine := make(map[string]*holders, len(a.Spec.Secrets))
	for _, s := range a.Spec.Secrets {
		mine[s.Name] = &holders{}
	}
	for i := range all {
		if all[i].Name == a.Name {
			continue
		}
		for _, s := range all[i].Spec.Secrets {
			h, is := mine[s.Name]
			if !is {
				continue
			}
			h.n++
			if at, _ := slices.BinarySearch(h.first, all[i].Name); at < maxNamed {
				h.first = slices.Insert(h.first, at, all[i].Name)
				h.first = h.first[:min(len(h.first), maxNamed)]
			}
		}
	}
	room := maxMessage
	for _, name := range slices.Sorted(maps.Keys(mine)) {
		h := mine[name]
		if h.n == 0 {
			continue
		}
		by := strings.Join(h.first, ", ")
		if more := h.n - len(h.first); more > 0 {
			by += fmt.Sprintf(" and %d others", more)
		}
		twice = append(twice, fmt.Sprintf("%s (by %s)", name, by))
		if room -= len(twice[len(twice)-1]); room < 0 {
			break
		}
	}
	return twice
}
