package trust

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/verify"
)

// pageOf is how many ConfigMaps of our namespace are asked for at once, of which each may
// have 256 KiB of metadata. All are looked through for those of domains: whoever adds many
// must not keep one from being read, or from being dropped. loadTimeout bounds that.
const pageOf = 100

// LoadRoot looks once at what seals are verified under, and at no key of tags: for
// programs that only verify.
func (s *Store) LoadRoot(ctx context.Context) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	return s.loadRoot(ctx)
}

// loadRoot makes the root, of the installation's domain and those beside it. A
// domain that cannot be read or used stays as it was. A domain whose ConfigMap is
// gone is dropped.
func (s *Store) loadRoot(ctx context.Context) error {
	installed, problem := s.readInstalled(ctx)
	others, err := s.readOthers(ctx)
	problem = errors.Join(problem, err)

	s.mu.Lock()
	defer s.mu.Unlock()
	if installed != nil {
		s.installed = installed
	}
	if s.installed == nil {
		return problem
	}
	root, err := verify.New(*s.installed)
	if err != nil {
		return errors.Join(problem, err)
	}
	good := map[string]verify.Domain{}
	for _, name := range slices.Sorted(maps.Keys(others)) {
		with, err := root.With(others[name])
		if before, known := s.others[name]; err != nil && known {
			problem = errors.Join(problem, fmt.Errorf("configmap %s: %w", name, err))
			others[name] = before
			with, err = root.With(before)
		}
		if err != nil {
			problem = errors.Join(problem, fmt.Errorf("configmap %s: %w", name, err))
			continue
		}
		root, good[name] = with, others[name]
	}
	s.others = good
	if s.root == nil || s.root.Version() != root.Version() {
		s.root = root
	}
	s.note("ConfigMap "+v1alpha1.ConfigMapTrustedRoot, []string{hashed(s.installed.TrustedRoot)})
	s.note("ConfigMap "+v1alpha1.ConfigMapNotaryKey, signers(*s.installed))
	for name, d := range good {
		s.note("ConfigMap "+name, append([]string{hashed(d.TrustedRoot)}, signers(d)...))
	}
	s.forget(good)
	return problem
}

func hashed(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// signers are those of a domain.
func signers(d verify.Domain) []string {
	var all []string
	for _, k := range d.Keys {
		all = append(all, k.Hint)
	}
	for _, i := range d.Identities {
		subject := i.Subject
		if i.SubjectPattern != nil {
			subject = i.SubjectPattern.String()
		}
		if i.SourceRepository != "" {
			subject += " for " + i.SourceRepository
		}
		all = append(all, subject)
	}
	slices.Sort(all)
	return all
}

// forget drops the loaded domains that are not there any more. The caller holds mu.
func (s *Store) forget(there map[string]verify.Domain) {
	for object := range s.loaded {
		name, ok := strings.CutPrefix(object, "ConfigMap "+v1alpha1.ConfigMapDomainPrefix)
		if _, still := there[v1alpha1.ConfigMapDomainPrefix+name]; ok && !still {
			delete(s.loaded, object)
			s.Log.Info("No longer trusted", "object", object)
		}
	}
}

// readInstalled reads the domain of this installation, and checks that it can be used.
func (s *Store) readInstalled(ctx context.Context) (*verify.Domain, error) {
	trusted, err := s.value(ctx, v1alpha1.ConfigMapTrustedRoot, v1alpha1.TrustedRootKey)
	if err != nil {
		return nil, err
	}
	var notary corev1.ConfigMap
	if err := s.get(ctx, v1alpha1.ConfigMapNotaryKey, &notary); err != nil {
		return nil, err
	}
	rules, err := valueOf(&notary, v1alpha1.RulesKey, false)
	if err != nil {
		return nil, err
	}
	// Without a key there are identities, or nobody signs.
	keys, err := valueOf(&notary, v1alpha1.NotaryKeyKey, len(rules) == 0)
	if err != nil {
		return nil, err
	}
	from := verify.Sources{TrustedRoot: trusted, Keys: keys, Rules: rules}
	if s.Usable != nil {
		if err := s.Usable(from); err != nil {
			return nil, err
		}
	}
	d, err := verify.ParseInstalled(v1alpha1.DomainInstalled, from)
	if err == nil {
		if len(d.Builders) == 0 {
			d.Builders = s.Builders
		}
		_, err = verify.New(d)
	}
	if err != nil {
		return nil, fmt.Errorf("configmaps %s and %s: %w", v1alpha1.ConfigMapTrustedRoot, v1alpha1.ConfigMapNotaryKey, err)
	}
	return &d, nil
}

// readOthers reads the domains beside the installation's, by the names of their
// ConfigMaps. A domain that cannot be read stays as it was. If the list cannot be
// read, all of them do.
func (s *Store) readOthers(ctx context.Context) (map[string]verify.Domain, error) {
	objects, err := s.listOthers(ctx)
	if err != nil {
		return maps.Clone(s.before()), fmt.Errorf("list of configmaps: %w", err)
	}
	domains := map[string]verify.Domain{}
	var problems []error
	for _, object := range objects {
		d, err := s.readDomain(ctx, object, strings.TrimPrefix(object, v1alpha1.ConfigMapDomainPrefix))
		if err != nil {
			problems = append(problems, err)
			before, known := s.before()[object]
			if !known {
				continue
			}
			d = before
		}
		domains[object] = d
	}
	return domains, errors.Join(problems...)
}

// listOthers are the names of the ConfigMaps of domains.
func (s *Store) listOthers(ctx context.Context) ([]string, error) {
	var objects []string
	for from := ""; ; {
		var list metav1.PartialObjectMetadataList
		list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ConfigMapList"))
		if err := s.API.List(ctx, &list, client.InNamespace(s.Namespace), client.Limit(pageOf), client.Continue(from)); err != nil {
			return nil, err
		}
		for _, item := range list.Items {
			if strings.HasPrefix(item.Name, v1alpha1.ConfigMapDomainPrefix) {
				objects = append(objects, item.Name)
			}
		}
		if from = list.Continue; from == "" {
			return objects, nil
		}
	}
}

func (s *Store) before() map[string]verify.Domain {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.others
}

func (s *Store) readDomain(ctx context.Context, configMap, name string) (verify.Domain, error) {
	var c corev1.ConfigMap
	if err := s.get(ctx, configMap, &c); err != nil {
		return verify.Domain{}, err
	}
	var from verify.Sources
	var err error
	if from.TrustedRoot, err = valueOf(&c, v1alpha1.TrustedRootKey, true); err != nil {
		return verify.Domain{}, err
	}
	if from.Keys, err = valueOf(&c, v1alpha1.NotaryKeyKey, false); err != nil {
		return verify.Domain{}, err
	}
	if from.Rules, err = valueOf(&c, v1alpha1.RulesKey, true); err != nil {
		return verify.Domain{}, err
	}
	d, err := verify.ParseDomain(name, from)
	if err != nil {
		return verify.Domain{}, fmt.Errorf("configmap %s: %w", configMap, err)
	}
	return d, nil
}
