package scenario

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/argoseal/argoseal/e2e/lab"
	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
)

// consumer is a workflow that reads one object of the default bucket.
const consumer = `
metadata: {name: %s}
spec:
  entrypoint: consume
  templates:
  - name: consume
    inputs:
      artifacts:
      - name: message
        path: /tmp/message
        s3: {key: %s}
    container:
      image: alpine:latest
      command: [sh, -c]
      args: ["cat /tmp/message"]
`

// Unsealed puts an object into the bucket by hand and lets a workflow consume
// it: the gate refuses the pod, and the refusal is an event.
func Unsealed(ns string) Scenario {
	return Scenario{
		Name:     "an object put into the bucket by hand",
		Expected: "refused at the gate: " + string(reason.NoProvenance),
		Play: func(ctx context.Context, s *Stage) (string, error) {
			run, err := ConsumeByHand(ctx, s, ns)
			if err != nil {
				return "", err
			}
			if run.Phase == "Succeeded" {
				return "", fmt.Errorf("it was consumed: %s", run)
			}
			line, err := s.refusal(ctx, run, reason.NoProvenance)
			if err != nil {
				return "", err
			}
			pods, err := s.Lab.Pods(ctx, ns, run.Name)
			if err != nil {
				return "", err
			}
			if len(pods) != 0 {
				return "", fmt.Errorf("a pod was created all the same: %s", pods[0].Name)
			}
			s.Sayf("$ kubectl get events -n %s --field-selector involvedObject.name=%s", ns, run.Name)
			s.Sayf("    %s", line)
			return "refused: " + string(reason.NoProvenance), nil
		},
	}
}

// ConsumeByHand is the attack of Unsealed. Where nobody checks, it succeeds.
func ConsumeByHand(ctx context.Context, s *Stage, ns string) (*lab.Run, error) {
	const key = "by-hand/message.tgz"
	if err := s.Lab.Put(ctx, key, lab.Tarball("message", "trust me\n")); err != nil {
		return nil, err
	}
	s.Sayf("put s3://artifacts/%s by hand", key)
	wf, err := lab.Workflow(fmt.Sprintf(consumer, "by-hand", key))
	if err != nil {
		return nil, err
	}
	name, err := s.Lab.Submit(ctx, ns, wf)
	if err != nil {
		return nil, err
	}
	return s.Lab.Finish(ctx, ns, name, limit)
}

// refusal finds the event on a run that carries a reason code. Argo's own
// events carry it in their message; it takes them a moment to appear.
func (s *Stage) refusal(ctx context.Context, run *lab.Run, code reason.Code) (string, error) {
	var found string
	err := lab.Eventually(ctx, limit, func(ctx context.Context) (bool, error) {
		events, err := s.Lab.Events(ctx, run.Namespace, run.Name)
		if err != nil {
			return false, err
		}
		for _, e := range events {
			if strings.HasPrefix(e, "WorkflowNode") && strings.Contains(e, string(code)+":") {
				found = e
			}
		}
		return found != "", nil
	})
	if err != nil {
		return "", fmt.Errorf("no event with %s on %s", code, run)
	}
	return found, nil
}

// overwritten makes something, waits to be resumed, and consumes it.
const overwritten = `
metadata: {name: %s}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - {name: pause, template: pause}
    - - name: use
        template: use
        arguments:
          artifacts:
          - {name: message, from: "{{steps.make.outputs.artifacts.message}}"}
  - name: make
    container:
      image: busybox
      command: [sh, -c]
      args: ["echo genuine > /tmp/message"]
    outputs:
      artifacts:
      - {name: message, path: /tmp/message}
  - name: pause
    suspend: {}
  - name: use
    inputs:
      artifacts:
      - {name: message, path: /tmp/message}
    container:
      image: alpine:latest
      command: [sh, -c]
      args: ["cat /tmp/message | tee /tmp/copy"]
    outputs:
      artifacts:
      - {name: copy, path: /tmp/copy}
`

// Overwritten changes an artifact in the bucket between two steps: the pod that
// would consume it is stopped before main starts.
func Overwritten(ns string) Scenario {
	return Scenario{
		Name:     "an artifact overwritten between two steps",
		Expected: "stopped before main starts: " + string(reason.InputAltered),
		Play: func(ctx context.Context, s *Stage) (string, error) {
			run, err := Overwrite(ctx, s, ns)
			if err != nil {
				return "", err
			}
			if run.Phase == "Succeeded" {
				return "", fmt.Errorf("it was consumed: %s", run)
			}
			node, _ := run.Node("use")
			use, err := s.Lab.PodOf(ctx, run, node)
			if err != nil {
				return "", err
			}
			if lab.Ran(use, "main") {
				return "", fmt.Errorf("main ran: %+v", use.Status.ContainerStatuses)
			}
			if !strings.Contains(node.Message, string(reason.InputAltered)) {
				return "", fmt.Errorf("the node does not say %s: %s", reason.InputAltered, run)
			}
			s.Sayf("node use: %s", node.Message)
			record, err := s.Lab.Provenance(ctx, use, limit)
			if err != nil {
				return "", err
			}
			if c := meta.FindStatusCondition(record.Status.Conditions, v1alpha1.ConditionSealed); c == nil || c.Reason != string(reason.InputAltered) {
				return "", fmt.Errorf("its Provenance does not say %s: %+v", reason.InputAltered, c)
			}
			return "stopped: " + string(reason.InputAltered) + ", main never started", nil
		},
	}
}

// Overwrite is the attack of Overwritten. Where nobody checks, it succeeds.
func Overwrite(ctx context.Context, s *Stage, ns string) (*lab.Run, error) {
	return OverwriteOnce(ctx, s, ns, func(*lab.Run) {})
}

// OverwriteOnce is Overwrite after a call with the paused run.
func OverwriteOnce(ctx context.Context, s *Stage, ns string, paused func(*lab.Run)) (*lab.Run, error) {
	// Its name is part of the object's: another one's genuine artifact must not
	// overwrite the overwritten one.
	wf, err := lab.Workflow(fmt.Sprintf(overwritten, "overwritten-"+ns))
	if err != nil {
		return nil, err
	}
	name, err := s.Lab.Submit(ctx, ns, wf)
	if err != nil {
		return nil, err
	}
	run, err := s.Lab.WaitFor(ctx, ns, name, limit, func(r *lab.Run) bool {
		pause, ok := r.Node("pause")
		return r.Done() || ok && pause.Phase == "Running"
	})
	if err != nil {
		return nil, err
	}
	made, _ := run.Node("make")
	key := made.Key("message")
	if key == "" {
		return nil, fmt.Errorf("nothing was made: %s", run)
	}
	paused(run)
	if err := s.Lab.Put(ctx, key, lab.Tarball("message", "swapped\n")); err != nil {
		return nil, err
	}
	s.Sayf("overwrote s3://artifacts/%s while the workflow was paused", key)
	if err := s.Lab.Resume(ctx, ns, name); err != nil {
		return nil, err
	}
	return s.Lab.Finish(ctx, ns, name, limit)
}
