//go:build e2e

package suite

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// TestQuotasAndLimitRangesTakeOurContainers: where Argo's own containers fit into a
// team's quota and limits, so do ours, and without them the same pods are refused.
func TestQuotasAndLimitRangesTakeOurContainers(t *testing.T) {
	t.Parallel()
	ns := namespace(t, "limits", v1alpha1.ModeEnforce)
	list := func(cpu, memory string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
	}
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "team"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{
		corev1.ResourceLimitsCPU: resource.MustParse("4"), corev1.ResourceLimitsMemory: resource.MustParse("4Gi"),
	}}}
	// No defaults: they would say it in place of whoever says nothing.
	limits := &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "team"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
		Type: corev1.LimitTypeContainer, Min: list("50m", "64Mi"), MaxLimitRequestRatio: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4")},
	}}}}
	for _, o := range []client.Object{quota, limits} {
		if err := cluster(t).Client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	err := lab.Eventually(t.Context(), time.Minute, func(ctx context.Context) (bool, error) {
		err := cluster(t).Client.Get(ctx, client.ObjectKeyFromObject(quota), quota)
		return err == nil && len(quota.Status.Hard) == 2, err
	})
	if err != nil {
		t.Fatal("the quota is not counted yet: ", err)
	}
	bare := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "bare"}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "main", Image: "busybox", Resources: corev1.ResourceRequirements{Requests: list("10m", "32Mi")}}},
	}}
	if err := cluster(t).Client.Create(t.Context(), bare); err == nil {
		t.Error("a container without limits is taken: this shows nothing")
	}
	run := finish(t, ns, begin(t, "shapes/limits.yaml", ns, "limits"))
	if run.Phase != "Succeeded" {
		t.Error(run)
	}
	sealed(t, run, fates{"make/message": reason.Sealed})
}
