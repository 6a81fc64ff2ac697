package lab

import (
	"context"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Tenant is a ServiceAccount of a namespace.
type Tenant struct {
	// Client acts as the ServiceAccount.
	client.Client
	Namespace, Name string
}

// Tenant makes a ServiceAccount with the given rights in one namespace, no
// more: what somebody has who got hold of a workload's token there.
func (l *Lab) Tenant(ctx context.Context, ns, name string, rules ...rbacv1.PolicyRule) (*Tenant, error) {
	meta := metav1.ObjectMeta{Namespace: ns, Name: name}
	for _, o := range []client.Object{
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.Role{ObjectMeta: meta, Rules: rules},
		&rbacv1.RoleBinding{
			ObjectMeta: meta,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: name}},
		},
	} {
		if err := l.Client.Create(ctx, o); err != nil {
			return nil, fmt.Errorf("make tenant %s/%s: %w", ns, name, err)
		}
	}
	c, err := l.AsServiceAccount(ns, name)
	if err != nil {
		return nil, err
	}
	return &Tenant{Client: c, Namespace: ns, Name: name}, Granted(ctx, c, ns, rules...)
}

// Token is one for a ServiceAccount, for an hour.
func (l *Lab) Token(ctx context.Context, ns, name string) (string, error) {
	seconds := int64(3600)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	if err := l.Client.SubResource("token").Create(ctx, account, request); err != nil {
		return "", fmt.Errorf("token of %s/%s: %w", ns, name, err)
	}
	return request.Status.Token, nil
}

// Granted waits until the API server's authorizer, which reads roles by informers,
// knows the last of what somebody was just given the right to do in a namespace: it
// was made with the rest at once.
func Granted(ctx context.Context, c client.Client, ns string, rules ...rbacv1.PolicyRule) error {
	if len(rules) == 0 {
		return nil
	}
	last := rules[len(rules)-1]
	resource, sub, _ := strings.Cut(last.Resources[0], "/")
	err := Eventually(ctx, known, func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: ns, Group: last.APIGroups[0], Resource: resource, Subresource: sub, Verb: last.Verbs[0],
			},
		}}
		err := c.Create(ctx, review)
		return review.Status.Allowed, err
	})
	if err != nil {
		return fmt.Errorf("wait for new rights in %s: %w", ns, err)
	}
	return nil
}

// AsServiceAccount returns a client that acts as a ServiceAccount, in the
// groups that the API server would put it in.
func (l *Lab) AsServiceAccount(ns, name string) (client.Client, error) {
	return l.As("system:serviceaccount:"+ns+":"+name, "system:serviceaccounts", "system:serviceaccounts:"+ns)
}
