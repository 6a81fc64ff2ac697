package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/argoseal/argoseal/pkg/api/v1alpha1"
	"github.com/argoseal/argoseal/pkg/reason"
	"github.com/argoseal/argoseal/pkg/sentinel/audit"
)

func secretsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "secrets",
		Short: "Audit and guard access to Secrets",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(auditCommand(), presetCommand())
	return c
}

// auditOptions are the flags of secrets audit.
type auditOptions struct {
	kubeconfig, context string
	logs                []string
	output              string
	fail                bool
	audit               audit.Options
}

func auditCommand() *cobra.Command {
	var o auditOptions
	c := &cobra.Command{
		Use:   "audit",
		Short: "List rights on Secrets that are too wide, or that nobody uses",
		Long: `List rights on Secrets that are too wide, or that nobody uses.

It reads roles, bindings and SecretAccesses, and beside the latter the pods, and what
pods are made from. It reads no Secret, and changes nothing. With the audit log of the API server, whose
policy has to record reads of Secrets, it says which rights on Secrets were not
used.`,
		Example: `  argoseal secrets audit
  argoseal secrets audit --namespace team -o json
  argoseal secrets audit --audit-log /var/log/kubernetes/audit.log --unused-after 720h`,
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.output != "table" && o.output != "json" {
				return reason.New(reason.UsageInvalid, "--output is table or json, not %q", o.output)
			}
			if o.audit.UnusedAfter <= 0 {
				return reason.New(reason.UsageInvalid, "--unused-after has to be more than nothing")
			}
			return o.run(cmd)
		},
	}
	f := c.Flags()
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "file that says how to reach the cluster (default: $KUBECONFIG, or ~/.kube/config)")
	f.StringVar(&o.context, "context", "", "its context (default: the current one)")
	f.StringVarP(&o.audit.Namespace, "namespace", "n", "", "look at one namespace, and at what is cluster-wide (default: at all)")
	f.StringArrayVar(&o.logs, "audit-log", nil, "audit log of the API server, as --audit-log-path writes it; - is standard input; repeatable")
	f.DurationVar(&o.audit.UnusedAfter, "unused-after", 30*24*time.Hour, "how long a right may be without use, at the end of the log")
	f.BoolVar(&o.audit.All, "all", false, "list what Kubernetes itself has, too")
	f.StringVarP(&o.output, "output", "o", "table", "table or json")
	f.BoolVar(&o.fail, "fail", false, "exit with the code of AccessTooWide if anything is found")
	return c
}

func (o auditOptions) run(cmd *cobra.Command) error {
	if len(o.logs) > 0 {
		o.audit.Log = audit.NewLog()
		for _, path := range o.logs {
			if err := readLog(o.audit.Log, path, cmd.InOrStdin()); err != nil {
				return fmt.Errorf("read the audit log %s: %w", path, err)
			}
		}
	}
	api, err := connect(o.kubeconfig, o.context)
	if err != nil {
		return err
	}
	cluster, err := gather(cmd.Context(), api, o.audit.Namespace)
	if err != nil {
		return err
	}
	o.audit.Now = time.Now()
	report := audit.Run(cluster, o.audit)
	if o.output == "json" {
		err = writeIndented(cmd.OutOrStdout(), report)
	} else {
		err = writeAudit(cmd.OutOrStdout(), report)
	}
	if err == nil && o.fail && len(report.Findings) > 0 {
		return reason.New(reason.AccessTooWide, "%d findings", len(report.Findings))
	}
	return err
}

func readLog(l *audit.Log, path string, stdin io.Reader) error {
	if path == "-" {
		return l.Read(stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(l.Read(f), f.Close())
}

// gather reads what an audit goes by. What cannot be read is an error: it might have
// been a right.
func gather(ctx context.Context, api client.Reader, namespace string) (c audit.Cluster, err error) {
	in := client.InNamespace(namespace)
	var roles rbacv1.RoleList
	var clusterRoles rbacv1.ClusterRoleList
	var bindings rbacv1.RoleBindingList
	var clusterBindings rbacv1.ClusterRoleBindingList
	var accesses v1alpha1.SecretAccessList
	for _, list := range []struct {
		what string
		into client.ObjectList
		add  func()
	}{
		{"roles", &roles, func() { c.Roles = append(c.Roles, roles.Items...) }},
		{"rolebindings", &bindings, func() { c.RoleBindings = append(c.RoleBindings, bindings.Items...) }},
		{"secretaccesses", &accesses, func() { c.Accesses = append(c.Accesses, accesses.Items...) }},
		{"clusterroles", &clusterRoles, func() { c.ClusterRoles = append(c.ClusterRoles, clusterRoles.Items...) }},
		{"clusterrolebindings", &clusterBindings, func() { c.ClusterRoleBindings = append(c.ClusterRoleBindings, clusterBindings.Items...) }},
	} {
		options := []client.ListOption{in}
		if strings.HasPrefix(list.what, "cluster") {
			options = nil
		}
		err := pages(ctx, api, list.into, list.add, options...)
		if list.what == "secretaccesses" && meta.IsNoMatchError(err) {
			continue // their CRD is not installed: there are none
		}
		if err != nil {
			return c, fmt.Errorf("list %s: %w", list.what, err)
		}
	}
	guarded := map[string]bool{}
	for _, a := range c.Accesses {
		if guarded[a.Namespace] {
			continue
		}
		guarded[a.Namespace] = true
		var pods corev1.PodList
		add := func() { c.Pods = append(c.Pods, pods.Items...) }
		if err := pages(ctx, api, &pods, add, client.InNamespace(a.Namespace)); err != nil {
			return c, fmt.Errorf("list pods of %s: %w", a.Namespace, err)
		}
		if c.Templates, err = templates(ctx, api, a.Namespace, c.Templates); err != nil {
			return c, err
		}
	}
	return c, nil
}

// templates reads the objects of a namespace that pods are made from. It leaves out
// those whose controller is one of them: a Deployment's ReplicaSets say the same. A
// ReplicaSet of another controller (a Rollout, say), or of one that is not there, is read.
func templates(ctx context.Context, api client.Reader, namespace string, all []audit.Template) ([]audit.Template, error) {
	type owned struct {
		audit.Template
		controller types.UID
	}
	var found []owned
	read := map[types.UID]bool{}
	add := func(kind string, o client.Object, spec corev1.PodSpec) {
		one := owned{Template: audit.Template{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName(), Created: o.GetCreationTimestamp().Time, Spec: spec}}
		if controller := metav1.GetControllerOf(o); controller != nil {
			one.controller = controller.UID
		}
		found, read[o.GetUID()] = append(found, one), true
	}
	var deployments appsv1.DeploymentList
	var replicas appsv1.ReplicaSetList
	var stateful appsv1.StatefulSetList
	var daemons appsv1.DaemonSetList
	var jobs batchv1.JobList
	var cron batchv1.CronJobList
	var replication corev1.ReplicationControllerList
	for _, list := range []struct {
		what string
		into client.ObjectList
		add  func()
	}{
		{"deployments", &deployments, func() {
			each(deployments.Items, func(o *appsv1.Deployment) { add("Deployment", o, o.Spec.Template.Spec) })
		}},
		{"replicasets", &replicas, func() {
			each(replicas.Items, func(o *appsv1.ReplicaSet) { add("ReplicaSet", o, o.Spec.Template.Spec) })
		}},
		{"statefulsets", &stateful, func() {
			each(stateful.Items, func(o *appsv1.StatefulSet) { add("StatefulSet", o, o.Spec.Template.Spec) })
		}},
		{"daemonsets", &daemons, func() { each(daemons.Items, func(o *appsv1.DaemonSet) { add("DaemonSet", o, o.Spec.Template.Spec) }) }},
		{"jobs", &jobs, func() { each(jobs.Items, func(o *batchv1.Job) { add("Job", o, o.Spec.Template.Spec) }) }},
		{"cronjobs", &cron, func() {
			each(cron.Items, func(o *batchv1.CronJob) { add("CronJob", o, o.Spec.JobTemplate.Spec.Template.Spec) })
		}},
		{"replicationcontrollers", &replication, func() {
			each(replication.Items, func(o *corev1.ReplicationController) {
				if o.Spec.Template != nil {
					add("ReplicationController", o, o.Spec.Template.Spec)
				}
			})
		}},
	} {
		if err := pages(ctx, api, list.into, list.add, client.InNamespace(namespace)); err != nil {
			return nil, fmt.Errorf("list %s of %s: %w", list.what, namespace, err)
		}
	}
	for _, one := range found {
		if one.controller == "" || !read[one.controller] {
			all = append(all, one.Template)
		}
	}
	return all, nil
}

func each[T any](items []T, do func(*T)) {
	for i := range items {
		do(&items[i])
	}
}

// pages lists page by page.
func pages(ctx context.Context, api client.Reader, into client.ObjectList, add func(), options ...client.ListOption) error {
	for next := ""; ; {
		if err := api.List(ctx, into, append(options, client.Limit(500), client.Continue(next))...); err != nil {
			return err
		}
		add()
		if next = into.GetContinue(); next == "" {
			return nil
		}
	}
}

func writeAudit(w io.Writer, r audit.Report) error {
	// What goes wrong in writing a row is kept until Flush.
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...string) {
		for i := range cells {
			cells[i] = printable(cells[i])
		}
		_, _ = fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	if len(r.Findings) > 0 {
		row("FINDING", "SUBJECT", "NAMESPACE", "WHAT", "PATH", "FIX")
	}
	for _, f := range r.Findings {
		namespace := f.Namespace
		if namespace == "" {
			namespace = "(all)"
		}
		row(string(f.Kind), f.Subject.String(), namespace, f.What, strings.Join(f.Path, " > "), f.Fix)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	lines := []string{fmt.Sprintf("%d findings, %d more of Kubernetes itself.", len(r.Findings), r.LeftOut)}
	if r.UnusedUnknown != "" {
		lines = append(lines, "Nothing is known of what is unused: "+r.UnusedUnknown+".")
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}
