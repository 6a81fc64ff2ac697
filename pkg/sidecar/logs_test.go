package sidecar_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/argoseal/argoseal/pkg/argo"
	"github.com/argoseal/argoseal/pkg/argo/argotest"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sidecar"
)

func TestTheSignerMeasuresLogsThatAreOutputs(t *testing.T) {
	pod, step := argotest.Logged(t, "produce")
	plain, logged := add(t, pod, step, nil), add(t, pod, step.WithLogs(), nil)
	args := container(logged, argo.SignerContainer).Args
	if want := append(slices.Clone(container(plain, argo.SignerContainer).Args), "--output=main-logs=log=main.log"); !slices.Equal(args, want) {
		t.Errorf("arguments are %q, want %q", args, want)
	}
	for _, c := range []struct {
		pod  *corev1.Pod
		want bool
	}{{pod, false}, {plain, false}, {logged, true}} {
		if read, err := sidecar.StepOf(c.pod); err != nil || read.Logs() != c.want {
			t.Errorf("logs are read to be outputs: %t, %v", read.Logs(), err)
		}
	}
	if err := sidecar.Check(logged, step.WithLogs(), nil, config); err != nil {
		t.Error(err)
	}
	wantRefusal(t, sidecar.Check(logged, step, nil, config), reason.SidecarAltered, "container argoseal-signer has another Args")
	wantRefusal(t, sidecar.Check(plain, step.WithLogs(), nil, config), reason.SidecarAltered, "container argoseal-signer has another Args")
}

func TestAStepWithNothingButLogsHasASigner(t *testing.T) {
	pod, step := argotest.Logged(t, "produce")
	step.Outputs = nil
	if container(add(t, pod, step, nil), argo.SignerContainer) != nil {
		t.Error("it has one without them")
	}
	if container(add(t, pod, step.WithLogs(), nil), argo.SignerContainer) == nil {
		t.Error("it has none")
	}
}
