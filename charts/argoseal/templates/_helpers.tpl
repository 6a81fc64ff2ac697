{{/*
Labels of every object. Call with (list $ "component"); component may be "".
*/}}
{{- define "argoseal.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{ include "argoseal.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: argoseal
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels that select a component's pods. */}}
{{- define "argoseal.selector" -}}
app.kubernetes.io/name: argoseal
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- with index . 1 }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/*
Repository of an image, in the registry that is given for all of them. Call with
(list $ .image). A first segment with a dot or a port is a registry, as in Docker's
references.
*/}}
{{- define "argoseal.repository" -}}
{{- $repository := (index . 1).repository -}}
{{- with ((index . 0).Values.global).imageRegistry -}}
{{ trimSuffix "/" . }}/{{ regexReplaceAll "^(localhost|[^/]*[.:][^/]*)/" $repository "" }}
{{- else -}}
{{ $repository }}
{{- end -}}
{{- end }}

{{/* Reference of an image, by digest if there is one. Call with (list $ .image). */}}
{{- define "argoseal.image" -}}
{{- $root := index . 0 -}}
{{- $repository := include "argoseal.repository" . -}}
{{- with index . 1 -}}
{{- if .digest -}}
{{ $repository }}@{{ .digest }}
{{- else -}}
{{ $repository }}:{{ .tag | default $root.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The signer's image; a tag will not do. */}}
{{- define "argoseal.signerImage" -}}
{{- with .Values.signer.image -}}
{{- if not .digest -}}
{{- fail "signer.image.digest is missing: the signer is always named by digest. Released charts carry it; from a checkout, `make install` or `-f bin/images/values.yaml` (go run ./e2e/images build) sets it." -}}
{{- end -}}
{{ include "argoseal.repository" (list $ .) }}@{{ .digest }}
{{- end -}}
{{- end }}

{{/* Username of a component's ServiceAccount. Call with (list $ "notary"). */}}
{{- define "argoseal.username" -}}
{{- $root := index . 0 -}}
system:serviceaccount:{{ $root.Release.Namespace }}:{{ (index $root.Values (index . 1)).serviceAccount.name }}
{{- end }}

{{/*
What each program alone may write rests on its user, so no two have the same.
*/}}
{{- define "argoseal.accounts" -}}
{{- $of := dict -}}
{{- range $component := list "webhook" "notary" "controller" "scrubber" "rekor" "tuf" -}}
{{- $name := (index $.Values $component).serviceAccount.name -}}
{{- with get $of $name -}}
{{- fail (printf "%s.serviceAccount.name and %s.serviceAccount.name are both %s: give each its own, for what one may write the other may not." . $component $name) -}}
{{- end -}}
{{- $_ := set $of $name $component -}}
{{- end -}}
{{- end }}

{{/*
Values that contradict each other: one of them would be left out without a word, or a
program would not start.
*/}}
{{- define "argoseal.contradictions" -}}
{{- if .Values.rekor.enabled -}}
{{- range list "url" "tilesURL" "trustedRoot" -}}
{{- if index $.Values.rekor . -}}
{{- fail (printf "rekor.%s is about a log that somebody else runs, and rekor.enabled runs one here: set rekor.enabled=false, or leave rekor.%s out." . .) -}}
{{- end -}}
{{- end -}}
{{- if ne (int .Values.rekor.version) 2 -}}
{{- fail "rekor.version is about a log that somebody else runs, and rekor.enabled runs a Rekor v2 here: set rekor.enabled=false, or leave rekor.version out." -}}
{{- end -}}
{{- end -}}
{{- with .Values.retention -}}
{{- $on := or .maxAge .maxWorkflows -}}
{{- if and $on (not $.Values.controller.enabled) -}}
{{- fail "retention is the controller's: set controller.enabled=true, or leave retention.maxAge and retention.maxWorkflows out." -}}
{{- end -}}
{{- if and .archive.existingClaim (not $on) -}}
{{- fail "retention.archive.existingClaim is for records that are removed, and none are: set retention.maxAge (such as 2160h) or retention.maxWorkflows. argoseal export writes bundles without removing anything." -}}
{{- end -}}
{{- end -}}
{{- with .Values.notary.signingKey -}}
{{- $hours := trimSuffix "h" .rotateAfter | atoi -}}
{{- if and $hours (lt $hours 24) -}}
{{- fail (printf "notary.signingKey.rotateAfter is %s: give it 24h or more. argoseal trust rotate replaces a key at once." .rotateAfter) -}}
{{- end -}}
{{- if and $hours .uri -}}
{{- fail "notary.signingKey.rotateAfter is for the key in the Secret: leave it out beside notary.signingKey.uri, whose key is replaced by another URI." -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/*
Host name of our own Rekor. It is the origin of the log's checkpoints and the
host of baseUrl in the trusted root: it must not change while the log lives.
*/}}
{{- define "argoseal.rekorHost" -}}
argoseal-rekor.{{ .Release.Namespace }}.svc
{{- end }}

{{- define "argoseal.rekorURL" -}}
{{- if .Values.rekor.enabled -}}
http://{{ include "argoseal.rekorHost" . }}
{{- else -}}
{{ required "rekor.url is missing: with rekor.enabled=false, say which Rekor to use." .Values.rekor.url }}
{{- end -}}
{{- end }}

{{/* Where the log's checkpoint and tiles are read; empty: nobody says. */}}
{{- define "argoseal.tilesURL" -}}
{{- if .Values.rekor.enabled -}}
http://{{ include "argoseal.rekorHost" . }}:8080
{{- else -}}
{{ .Values.rekor.tilesURL }}
{{- end -}}
{{- end }}

{{/* Which Fulcio certifies what the notary signs with; empty: none does. */}}
{{- define "argoseal.fulcio" -}}
{{- with .Values.notary.fulcio.url -}}
{{- if or $.Values.notary.signingKey.uri $.Values.notary.signingKey.rotateAfter -}}
{{- fail "notary.fulcio.url is in place of a signing key: leave out notary.signingKey." -}}
{{- end -}}
{{- $v2 := or $.Values.rekor.enabled (eq (int $.Values.rekor.version) 2) (and $.Values.rekor.also.url (eq (int $.Values.rekor.also.version) 2)) -}}
{{- if and $v2 (not (and $.Values.timestamps.url $.Values.timestamps.required)) -}}
{{- fail "notary.fulcio.url with a Rekor v2 needs timestamps.url, and timestamps.required: a certificate counts for minutes, and a Rekor v2 does not say when it took an entry." -}}
{{- end -}}
{{ . }}
{{- end -}}
{{- end }}

{{/* Where pods of a component go, and how they are spread. Call with (list $ "component"). */}}
{{- define "argoseal.scheduling" -}}
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
      matchLabels: {{- include "argoseal.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* OpenShift gives every pod a user of its namespace's, and refuses those that name another one. */}}
{{- define "argoseal.openshift" -}}
{{- if .Capabilities.APIVersions.Has "security.openshift.io/v1" -}}true{{- end -}}
{{- end }}

{{- define "argoseal.podSecurityContext" -}}
runAsNonRoot: true
{{- if not (include "argoseal.openshift" .) }}
runAsUser: 65532
runAsGroup: 65532
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "argoseal.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Probes of our own programs. */}}
{{- define "argoseal.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 2
  failureThreshold: 2
{{- end }}

{{/*
Which Argo and which signer are trusted, as a JSON list of arguments of the webhook
and the notary.
*/}}
{{- define "argoseal.trusted" -}}
{{- $argo := include "argoseal.argo" . | fromJson -}}
{{- $args := list (printf "--signer-image=%s" (include "argoseal.signerImage" .)) -}}
{{- range $argo.controllers }}{{ $args = append $args (printf "--argo-controller=%s" .) }}{{ end -}}
{{- range $argo.executorImages }}{{ $args = append $args (printf "--executor-image=%s" . | replace "$" "$$") }}{{ end -}}
{{- range $argo.executorEnv }}{{ $args = append $args (printf "--executor-env=%s" . | replace "$" "$$") }}{{ end -}}
{{- range .Values.argo.executorAdditions }}{{ $args = append $args (printf "--executor-addition=%s" . | replace "$" "$$") }}{{ end -}}
{{- range .Values.argo.namespaces }}{{ $args = append $args (printf "--argo-namespace=%s" .) }}{{ end -}}
{{- $args | toJson -}}
{{- end }}

{{/* Arguments that the webhook and the notary share. */}}
{{- define "argoseal.sharedArgs" -}}
- --namespace=$(POD_NAMESPACE)
{{- with .Values.clusterName }}
- --cluster-name={{ . }}
{{- end }}
- --metrics-address=:8080
- --health-address=:8081
{{- end }}

{{- define "argoseal.podEnv" -}}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef: {fieldPath: metadata.namespace}
- name: POD_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
{{- end }}

{{/*
Gives what is missing among the values its default. With `helm upgrade --reuse-values` the
defaults of the release before are all there are, so whatever has come since is missing. Each
template begins with it. files/defaults.yaml is values.yaml, which templates cannot read.
*/}}
{{- define "argoseal.defaults" -}}
{{- include "argoseal.fill" (list .Values (.Files.Get "files/defaults.yaml" | fromYaml)) -}}
{{- end }}

{{/*
Call with (list VALUES DEFAULTS). What somebody took out of resources, by null, stays out.
*/}}
{{- define "argoseal.fill" -}}
{{- $values := index . 0 -}}
{{- range $key, $default := index . 1 -}}
{{- if or (not (hasKey $values $key)) (kindIs "invalid" (index $values $key)) -}}
{{- $_ := set $values $key $default -}}
{{- else if and (kindIs "map" $default) (ne $key "resources") -}}
{{- include "argoseal.fill" (list (index $values $key) $default) -}}
{{- end -}}
{{- end -}}
{{- end }}
