package access

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/argo/layout"
)

// Argo is what the preset argo-workflows has to know of a namespace with workflows.
type Argo struct {
	Namespace string
	// Stores are the Secrets with credentials of artifact stores.
	Stores []string
	// Accounts are the ServiceAccounts that workflows run as.
	Accounts []string
	// Images of Argo's executor; none: whatever is called init or wait has the stores'.
	Images []string
	// Others are Secrets that no pod is to take: keys, tokens.
	Others []string
	// Controller is the ServiceAccount of Argo's controller, and its namespace.
	ControllerNamespace, Controller string
}

// ArgoWorkflows guards the credentials and keys of a namespace with workflows: Argo's
// own containers may have those of the stores, a step's may not.
func ArgoWorkflows(a Argo) *v1alpha1.SecretAccess {
	o := preset("argo-workflows", a.Namespace)
	for _, name := range a.Stores {
		s := v1alpha1.GuardedSecret{Name: name}
		for _, account := range a.Accounts {
			s.Mount = append(s.Mount, v1alpha1.MountGrant{
				ServiceAccount: account, Containers: []string{layout.ContainerInit, layout.ContainerWait}, Images: a.Images,
			})
		}
		o.Spec.Secrets = append(o.Spec.Secrets, s)
	}
	for _, name := range a.Others {
		if !slices.Contains(a.Stores, name) {
			o.Spec.Secrets = append(o.Spec.Secrets, v1alpha1.GuardedSecret{Name: name})
		}
	}
	o.Spec.Controllers = []v1alpha1.AccessGrant{{Kind: rbacv1.ServiceAccountKind, Namespace: a.ControllerNamespace, Name: a.Controller}}
	return o
}

// Argoseal guards Argoseal's own keys: its programs read them through the API, and no
// pod takes them.
func Argoseal(namespace string) *v1alpha1.SecretAccess {
	const notary, webhook, rekor = "argoseal-notary", "argoseal-webhook", "argoseal-rekor"
	o := preset("argoseal", namespace)
	for _, s := range []struct {
		name    string
		readers []string
	}{
		{v1alpha1.SecretLogKey, []string{rekor}},
		{v1alpha1.SecretParameterKey, []string{notary}},
		{v1alpha1.SecretSigningKey, []string{notary}},
		{v1alpha1.SecretTagKey, []string{notary, webhook}},
		{v1alpha1.SecretServingCertificate, []string{webhook}},
	} {
		guarded := v1alpha1.GuardedSecret{Name: s.name}
		for _, name := range s.readers {
			guarded.Get = append(guarded.Get, v1alpha1.AccessGrant{Kind: rbacv1.ServiceAccountKind, Name: name})
		}
		o.Spec.Secrets = append(o.Spec.Secrets, guarded)
	}
	return o
}

func preset(name, namespace string) *v1alpha1.SecretAccess {
	return &v1alpha1.SecretAccess{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "SecretAccess"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
	}
}
