{{/*
Labels of every object. Call with (list $ "component"); component may be "".
*/}}
{{- define "sentinel.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{ include "sentinel.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: argoseal
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels that select a component's pods. */}}
{{- define "sentinel.selector" -}}
app.kubernetes.io/name: argoseal-sentinel
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- with index . 1 }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* Reference of the image, by digest if there is one. */}}
{{- define "sentinel.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Where pods of a component go, and how they are spread. Call with (list $ "component"). */}}
{{- define "sentinel.scheduling" -}}
{{- $values := index (index . 0).Values (index . 1) -}}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if hasKey $values "topologySpreadConstraints" }}
topologySpreadConstraints:
{{- with $values.topologySpreadConstraints }}
  {{- toYaml . | nindent 2 }}
{{- else }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "sentinel.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sentinel.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* A component's ServiceAccount. Call with (list $ "component"). */}}
{{- define "sentinel.serviceAccount" -}}
{{- $root := index . 0 -}}
{{- $account := (index $root.Values (index . 1)).serviceAccount -}}
{{- if $account.create -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $account.name }}
  namespace: {{ $root.Release.Namespace }}
  labels: {{- include "sentinel.labels" . | nindent 4 }}
  {{- with $account.annotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
automountServiceAccountToken: false
{{- end -}}
{{- end }}

{{/*
Every object of a folder of files, with our labels. Call with (list $ "component" "folder").
*/}}
{{- define "sentinel.files" -}}
{{- $root := index . 0 -}}
{{- $labels := include "sentinel.labels" (list $root (index . 1)) | fromYaml -}}
{{- range $path, $_ := $root.Files.Glob (printf "files/%s/*.yaml" (index . 2)) }}
{{- range $doc := splitList "\n---\n" ($root.Files.Get $path) }}
{{- $object := fromYaml $doc }}
{{- $_ := set $object.metadata "labels" $labels }}
---
{{ toYaml $object }}
{{- end }}
{{- end }}
{{- end }}

{{/*
Gives what is missing among the values its default. With `helm upgrade --reuse-values` the
defaults of the release before are all there are, so whatever has come since is missing. Each
template begins with it. files/defaults.yaml is values.yaml, which templates cannot read.
*/}}
{{- define "sentinel.defaults" -}}
{{- include "sentinel.fill" (list .Values (.Files.Get "files/defaults.yaml" | fromYaml)) -}}
{{- end }}

{{/*
Call with (list VALUES DEFAULTS). What somebody took out of resources, by null, stays out.
*/}}
{{- define "sentinel.fill" -}}
{{- $values := index . 0 -}}
{{- range $key, $default := index . 1 -}}
{{- if or (not (hasKey $values $key)) (kindIs "invalid" (index $values $key)) -}}
{{- $_ := set $values $key $default -}}
{{- else if and (kindIs "map" $default) (ne $key "resources") -}}
{{- include "sentinel.fill" (list (index $values $key) $default) -}}
{{- end -}}
{{- end -}}
{{- end }}
