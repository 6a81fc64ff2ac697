package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sentinel/access"
)

func presetCommand() *cobra.Command {
	var a access.Argo
	var controller string
	c := &cobra.Command{
		Use:   "preset argo-workflows|argoseal",
		Short: "Print a SecretAccess that guards what workflows, or Argoseal, hang on",
		Long: `Print a SecretAccess that guards what workflows, or Argoseal, hang on.

argo-workflows is for a namespace with workflows: the credentials of artifact stores
go to Argo's own containers init and wait, never to a step's. Steps that want them in
main need a grant of their own: data templates, and artifact garbage collection.
argoseal is for the namespace of Argoseal's programs: they read its keys, and no pod
takes them. Nothing is changed; kubectl apply does that.`,
		Example: `  argoseal secrets preset argo-workflows --namespace team --store artifact-store \
    --service-account workflows --guard webhook-token | kubectl apply -f -
  argoseal secrets preset argoseal --namespace argoseal-system | kubectl apply -f -`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var found bool
			if a.ControllerNamespace, a.Controller, found = strings.Cut(controller, "/"); !found || a.ControllerNamespace == "" || a.Controller == "" {
				return reason.New(reason.UsageInvalid, "--controller %q is not NAMESPACE/NAME", controller)
			}
			var o *v1alpha1.SecretAccess
			switch args[0] {
			case "argo-workflows":
				if len(a.Stores)+len(a.Others) == 0 {
					return reason.New(reason.UsageInvalid, "there is nothing to guard: name Secrets by --store and --guard")
				}
				o = access.ArgoWorkflows(a)
			case "argoseal":
				if len(a.Stores)+len(a.Others)+len(a.Images) > 0 {
					return reason.New(reason.UsageInvalid, "argoseal guards its own Secrets alone: --store, --guard and --executor-image are for argo-workflows")
				}
				o = access.Argoseal(a.Namespace)
			default:
				return reason.New(reason.UsageInvalid, "there is no preset %q: argo-workflows and argoseal are there", args[0])
			}
			return printAccess(cmd, o)
		},
	}
	f := c.Flags()
	f.StringVarP(&a.Namespace, "namespace", "n", "", "namespace of the Secrets")
	f.StringArrayVar(&a.Stores, "store", nil, "Secret with the credentials of an artifact store; repeatable")
	f.StringArrayVar(&a.Accounts, "service-account", []string{"default"}, "ServiceAccount that workflows run as; repeatable")
	f.StringArrayVar(&a.Images, "executor-image", nil, "image of Argo's executor, as its pods name it, which init and wait have to run; repeatable (default: whatever is called so has the stores' credentials)")
	f.StringArrayVar(&a.Others, "guard", nil, "Secret that no pod is to take; repeatable")
	f.StringVar(&controller, "controller", "argo/argo", "NAMESPACE/NAME of the ServiceAccount of Argo's controller")
	if err := c.MarkFlagRequired("namespace"); err != nil {
		panic(err) // the flag does not exist
	}
	return c
}

// printAccess prints what somebody writes: no status, and nothing that the API server
// fills in.
func printAccess(cmd *cobra.Command, o *v1alpha1.SecretAccess) error {
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": o.APIVersion, "kind": o.Kind, "metadata": map[string]string{"name": o.Name, "namespace": o.Namespace}, "spec": o.Spec,
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), string(text))
	return err
}
