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

{{/* A binding that denies. Call with (list $ "name" inLabelledNamespacesOnly). */}}
{{- define "argoseal.guard.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ index . 1 }}
  labels: {{- include "argoseal.labels" (list (index . 0) "") | nindent 4 }}
spec:
  policyName: {{ index . 1 }}
  validationActions: [Deny]
  {{- if index . 2 }}
  matchResources:
    namespaceSelector:
      matchExpressions:
        - {key: argoseal.dev/mode, operator: Exists}
  {{- end }}
{{- end }}
