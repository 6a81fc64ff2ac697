package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/artifact"
	"github.com/argoseal/argoseal/pkg/content"
	"github.com/argoseal/argoseal/pkg/provenance"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/verify"
)

// Seals lists the ArtifactSeals of a workflow.
func (l *Lab) Seals(ctx context.Context, ns, workflowUID string) ([]v1alpha1.ArtifactSeal, error) {
	var list v1alpha1.ArtifactSealList
	if err := l.Client.List(ctx, &list, client.InNamespace(ns)); err != nil {
		return nil, fmt.Errorf("list artifactseals: %w", err)
	}
	var seals []v1alpha1.ArtifactSeal
	for _, s := range list.Items {
		if string(s.Spec.Workflow.UID) == workflowUID {
			seals = append(seals, s)
		}
	}
	return seals, nil
}

// Provenance waits for a pod's final record and returns it.
func (l *Lab) Provenance(ctx context.Context, pod *corev1.Pod, limit time.Duration) (*v1alpha1.Provenance, error) {
	p := &v1alpha1.Provenance{}
	err := Eventually(ctx, limit, func(ctx context.Context) (bool, error) {
		err := l.Client.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: string(pod.UID)}, p)
		if client.IgnoreNotFound(err) != nil {
			return false, err
		}
		c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSealed)
		return c != nil && (c.Status == metav1.ConditionTrue || reason.Code(c.Reason) != reason.Pending), nil
	})
	if err != nil {
		return p, fmt.Errorf("no final provenance of pod %s after %s: %w", pod.Name, limit, err)
	}
	return p, nil
}

// Root is what Argoseal publishes to verify with: trusted root and notary key.
func (l *Lab) Root(ctx context.Context) (*verify.Root, error) {
	key, err := l.configMap(ctx, v1alpha1.ConfigMapNotaryKey, v1alpha1.NotaryKeyKey)
	if err != nil {
		return nil, err
	}
	root, err := l.configMap(ctx, v1alpha1.ConfigMapTrustedRoot, v1alpha1.TrustedRootKey)
	if err != nil {
		return nil, err
	}
	return verify.NewRoot(root, key)
}

// Check verifies a seal from what is published and from the object in the
// store, and returns its statement.
func (l *Lab) Check(ctx context.Context, seal *v1alpha1.ArtifactSeal) (*provenance.Statement, error) {
	root, err := l.Root(ctx)
	if err != nil {
		return nil, err
	}
	var prov v1alpha1.Provenance
	if err := l.Client.Get(ctx, client.ObjectKey{Namespace: seal.Namespace, Name: seal.Spec.Provenance}, &prov); err != nil {
		return nil, fmt.Errorf("read provenance: %w", err)
	}
	statement, err := root.Verify([]byte(prov.Status.Bundle))
	if err != nil {
		return nil, err
	}
	at := seal.Spec.Location
	location := artifact.Location{Scheme: artifact.Scheme(at.Scheme), Store: at.Store, Bucket: at.Bucket, Key: at.Key, Kind: artifact.Kind(at.Kind)}
	if err := location.Validate(); err != nil {
		return nil, err
	}
	stored, err := l.stored(ctx, location)
	if err != nil {
		return nil, err
	}
	if seal.Spec.Shared || seal.Name != artifact.SealName(location, string(seal.Spec.Workflow.UID)) {
		stored = seal.Spec.SHA256 // what others stored lies beside it, or in its place
	}
	subject, ok := statement.Subject(location.URI())
	switch {
	case !ok:
		return nil, fmt.Errorf("the statement does not speak of %s", location)
	case string(subject.SHA256) != stored || seal.Spec.SHA256 != stored:
		return nil, fmt.Errorf("%s: stored %s, stated %s, listed %s", location, stored, subject.SHA256, seal.Spec.SHA256)
	case statement.Step.Workflow.UID != string(seal.Spec.Workflow.UID) || statement.Step.Pod.UID != string(seal.Spec.Producer.Pod.UID):
		return nil, fmt.Errorf("%s: the statement is about another pod: %+v", location, statement.Step)
	}
	return statement, nil
}

// stored is the digest of what lies in the store now.
func (l *Lab) stored(ctx context.Context, at artifact.Location) (string, error) {
	switch at.Scheme {
	case artifact.SchemeGCS:
		return l.storedInGCS(ctx, at)
	case artifact.SchemeAzure:
		return storedInAzure(ctx, at)
	case artifact.SchemeS3:
	}
	if at.Kind == artifact.KindObject {
		return l.digest(ctx, at.Bucket, at.Key)
	}
	dir, err := os.MkdirTemp("", "argoseal-lab-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := l.GetAll(ctx, at.Bucket, at.Key, dir); err != nil {
		return "", err
	}
	tree, err := content.TreeOf(dir)
	return string(tree), err
}

// Evidence is a folder with what an offline verification needs.
type Evidence struct {
	Bundle, NotaryKey, TrustedRoot, Artifact string
	// Namespace that the step ran in.
	Namespace string
}

// Save writes a seal's bundle, the artifact's bytes and what they are verified
// with into a folder.
func (l *Lab) Save(ctx context.Context, seal *v1alpha1.ArtifactSeal, dir string) (*Evidence, error) {
	var prov v1alpha1.Provenance
	if err := l.Client.Get(ctx, client.ObjectKey{Namespace: seal.Namespace, Name: seal.Spec.Provenance}, &prov); err != nil {
		return nil, fmt.Errorf("read provenance: %w", err)
	}
	key, err := l.configMap(ctx, v1alpha1.ConfigMapNotaryKey, v1alpha1.NotaryKeyKey)
	if err != nil {
		return nil, err
	}
	root, err := l.configMap(ctx, v1alpha1.ConfigMapTrustedRoot, v1alpha1.TrustedRootKey)
	if err != nil {
		return nil, err
	}
	object, err := l.Get(ctx, seal.Spec.Location.Bucket, seal.Spec.Location.Key)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	e := &Evidence{
		Bundle:      filepath.Join(dir, "bundle.json"),
		NotaryKey:   filepath.Join(dir, v1alpha1.NotaryKeyKey),
		TrustedRoot: filepath.Join(dir, v1alpha1.TrustedRootKey),
		Artifact:    filepath.Join(dir, seal.Spec.Producer.Output+".tgz"),
		Namespace:   seal.Namespace,
	}
	for path, content := range map[string][]byte{
		e.Bundle: []byte(prov.Status.Bundle), e.NotaryKey: key, e.TrustedRoot: root, e.Artifact: object,
	} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (l *Lab) configMap(ctx context.Context, name, key string) ([]byte, error) {
	var cm corev1.ConfigMap
	if err := l.Client.Get(ctx, client.ObjectKey{Namespace: System, Name: name}, &cm); err != nil {
		return nil, fmt.Errorf("read ConfigMap %s: %w", name, err)
	}
	content, ok := cm.Data[key]
	if !ok {
		return nil, fmt.Errorf("ConfigMap %s/%s has no key %s", System, name, key)
	}
	return []byte(content), nil
}
