// Package epochtest makes moments for tests, and what they are made of.
package epochtest

import (
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/epoch"
)

// Held is a moment of a namespace in which all guards have held since a time.
func Held(uid types.UID, since time.Time) epoch.Moment {
	return moment(uid, epoch.Entry{Since: since}, since.Add(-time.Hour))
}

// Found is a moment of a namespace that had its mode, and of guards that were long
// there, when the record was begun at a time.
func Found(uid types.UID, begun time.Time) epoch.Moment {
	return moment(uid, epoch.Entry{Since: begun, Found: true}, begun.Add(-30*24*time.Hour))
}

func moment(uid types.UID, e epoch.Entry, policies time.Time) epoch.Moment {
	made := map[string]time.Time{}
	for _, name := range epoch.Policies() {
		made[name] = policies
	}
	e.Name, e.Version = "team", "1"
	r := epoch.Record{Version: "1", Namespaces: map[types.UID]epoch.Entry{uid: e}}
	m, err := r.At(epoch.Namespace{UID: uid, Name: "team", Version: "1", Labelled: true}, epoch.NewGuards(made, made))
	if err != nil {
		panic(err)
	}
	return m
}

// Policies are objects by the names of our policies, with bindings, which forbid
// nothing: for tests whose API server has no chart.
func Policies() []client.Object {
	var all []client.Object
	for _, name := range epoch.Policies() {
		meta := metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/part-of": "argoseal"}}
		all = append(all, &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Delete},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"endpoints"}},
			}}}},
			Validations: []admissionv1.Validation{{Expression: "true"}},
		}}, &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: *meta.DeepCopy(), Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		}})
	}
	return all
}
