{{/*
CEL: every entry of two maps whose key satisfies a predicate on k is the same
in both. Call with (list "new" "old" "predicate"); new and old name variables.
*/}}
{{- define "argoseal.guard.kept" -}}
{{- $new := printf "variables.%s" (index . 0) -}}
{{- $old := printf "variables.%s" (index . 1) -}}
{{- $ours := index . 2 -}}
({{ $new }} == {{ $old }} ||
  ({{ $old }}.all(k, !({{ $ours }}) || k in {{ $new }} && {{ $new }}[k] == {{ $old }}[k]) &&
   {{ $new }}.all(k, !({{ $ours }}) || k in {{ $old }})))
{{- end }}

{{/* CEL variables for labels and annotations before and after. */}}
{{- define "argoseal.guard.metadata" -}}
- name: labels
  expression: object.metadata.?labels.orValue({})
- name: oldLabels
  expression: oldObject.metadata.?labels.orValue({})
- name: annotations
  expression: object.metadata.?annotations.orValue({})
- name: oldAnnotations
  expression: oldObject.metadata.?annotations.orValue({})
{{- end }}

{{/*
CEL: the user is one of kube-system's controllers. They are one user where the
controller-manager runs without a ServiceAccount for each.
Call with a list of names.
*/}}
{{- define "argoseal.guard.controllers" -}}
request.userInfo.username in ['system:kube-controller-manager'
{{- range . }}, 'system:serviceaccount:kube-system:{{ . }}'{{ end }}]
{{- end }}

{{/*
CEL: the user is one of Argo's controllers. Call with $. Those that are followed the
notary writes into the policies' parameter; of namespaces that are not named it could
name none.
*/}}
{{- define "argoseal.guard.argo" -}}
{{- if .Values.argo.namespaces -}}
({{ include "argoseal.guard.argoGiven" . }} || {{ include "argoseal.guard.argoNear" . }} && request.userInfo.username in params.?data[?'controllers'].orValue('').split('\n'))
{{- else -}}
{{ include "argoseal.guard.argoGiven" . }}
{{- end -}}
{{- end }}

{{/* CEL: the user is one of the controllers that are given or were found. Call with $. */}}
{{- define "argoseal.guard.argoGiven" -}}
{{- $argo := include "argoseal.argo" . | fromJson -}}
request.userInfo.username in [
{{- range $i, $c := $argo.controllers }}{{ if $i }}, {{ end }}'system:serviceaccount:{{ $c | replace "/" ":" }}'{{ end }}]
{{- end }}

{{/*
CEL: the user is a ServiceAccount of a namespace whose Argo is followed: all that the
conditions of webhooks, which have no parameter, can tell. Call with $.
*/}}
{{- define "argoseal.guard.argoNear" -}}
[{{ range $i, $n := .Values.argo.namespaces }}{{ if $i }}, {{ end }}'system:serviceaccount:{{ $n }}:'{{ end }}].exists(p, request.userInfo.username.startsWith(p))
{{- end }}

{{/*
A binding that denies. Call with (list $ "name" inLabelledNamespacesOnly), and true at
the end if the policy asks for Argo's controllers: without the parameter it denies.
*/}}
{{- define "argoseal.guard.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ index . 1 }}
  labels: {{- include "argoseal.labels" (list (index . 0) "") | nindent 4 }}
spec:
  policyName: {{ index . 1 }}
  validationActions: [Deny]
  {{- if and (gt (len .) 3) (index . 0).Values.argo.namespaces }}
  paramRef: {name: argoseal-argo, namespace: {{ (index . 0).Release.Namespace }}, parameterNotFoundAction: Deny}
  {{- end }}
  {{- if index . 2 }}
  matchResources:
    namespaceSelector:
      matchExpressions:
        - {key: argoseal.dev/mode, operator: Exists}
  {{- end }}
{{- end }}

{{/*
CEL: the command is one by which Argo's controllers end a container (SIGTERM, then
SIGKILL). Call with a list of commands as CEL, in which s is the signal.
*/}}
{{- define "argoseal.guard.kills" -}}
['15', '9'].exists(s, object.?command.orValue([]) in [{{ join ", " . }}])
{{- end }}

{{/*
CEL: an operator of this installation, by a resource that exists for this check
alone; a grant in one namespace does not count. Cluster admins have it.
*/}}
{{- define "argoseal.guard.installer" -}}
authorizer.group('argoseal.dev').resource('installations').check('manage').allowed()
{{- end }}

{{- define "argoseal.guard.execRemedy" -}}
Look at its logs, or run the step in a namespace without the label; who has the verb argoseal-exec on pods in the whole cluster may run commands in a step's own containers
{{- end }}

{{/*
CEL: two maps are the same but for some keys. Call with (list "new" "old" "keys"),
the keys as a CEL list.
*/}}
{{- define "argoseal.guard.sameBut" -}}
{{- $new := index . 0 -}}
{{- $old := index . 1 -}}
{{- $keys := index . 2 -}}
{{ $new }}.all(k, k in {{ $keys }} || k in {{ $old }} && {{ $new }}[k] == {{ $old }}[k]) && {{ $old }}.all(k, k in {{ $keys }} || k in {{ $new }})
{{- end }}

{{/*
CEL: the ServiceAccount that writes one of our own objects, by KIND/NAME as in
variables.name. Every ConfigMap and Secret that our programs make is here.
*/}}
{{- define "argoseal.guard.writers" -}}
{{- $root := . -}}
{{- range $writer, $objects := dict
  "webhook" (list "Secret/argoseal-tag-key" "Secret/argoseal-webhook-tls")
  "notary" (list "Secret/argoseal-signing-key" "Secret/argoseal-parameter-key" "ConfigMap/argoseal-notary-key" "ConfigMap/argoseal-trusted" "ConfigMap/argoseal-believed" "ConfigMap/argoseal-epochs" "ConfigMap/argoseal-argo" "ConfigMap/argoseal-budget")
  "rekor" (list "Secret/argoseal-log-key" "ConfigMap/argoseal-trusted-root")
}}
{{- range $objects }}
{{ printf "'%s': '%s'," . (include "argoseal.username" (list $root $writer)) }}
{{- end }}
{{- end }}
{{- if and .Values.tuf.url .Values.tuf.root }}
'ConfigMap/argoseal-tuf-root': '',
{{- end }}
{{- end }}

{{/* ConfigMap whose trusted root follows a TUF repository. */}}
{{- define "argoseal.tufObject" -}}
{{- if eq .Values.tuf.domain "installed" -}}argoseal-trusted-root{{- else -}}argoseal-trust-{{ .Values.tuf.domain }}{{- end -}}
{{- end }}
