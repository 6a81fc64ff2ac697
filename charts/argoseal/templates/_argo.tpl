{{/*
Which Argo is trusted, as JSON {controllers, executorImages, executorEnv,
executorUsers, plainStores, requeueTimes, found, left, hasty}: the values if given, else what the cluster's
workflow-controller Deployments say. Without a cluster to ask (helm template, Argo
CD) nobody is trusted by default: whoever makes a namespace of that name would be
Argo. Where argo.namespaces is given the programs follow what runs there, so nothing
has to be found yet. Argo's images called -nonroot run as 8737; not so where
OpenShift gives every pod a user, and refuses those that name another one.
*/}}
{{- define "argoseal.argo" -}}
{{- $controllers := .Values.argo.controllers -}}
{{- $images := .Values.argo.executorImages -}}
{{- $env := .Values.argo.executorEnv -}}
{{- $plain := .Values.argo.plainStores -}}
{{- $requeues := compact (list .Values.argo.requeueTime) -}}
{{- $found := list -}}
{{- $left := list -}}
{{- $hasty := list -}}
{{- if not (and $controllers $images) -}}
  {{- if lookup "v1" "Namespace" "" "kube-system" -}}
    {{- $discovered := include "argoseal.discoverArgo" . | fromJson -}}
    {{- $found = $discovered.found -}}
    {{- $left = $discovered.left -}}
    {{- $hasty = $discovered.hasty -}}
    {{- $controllers = $controllers | default $discovered.controllers -}}
    {{- $images = $images | default $discovered.executorImages -}}
    {{- $env = $env | default $discovered.executorEnv -}}
    {{- $plain = $plain | default $discovered.plainStores -}}
    {{- $requeues = $requeues | default $discovered.requeueTimes -}}
    {{- if not (or .Values.argo.namespaces (and $controllers $images)) -}}
      {{- fail (printf "No Argo workflow-controller found in this cluster%s. Install Argo Workflows first, or set argo.namespaces to those whose owners you trust." (ternary (printf " but %s" (join ", " $left)) "" (gt (len $left) 0))) -}}
    {{- end -}}
    {{- if gt (len $discovered.namespaces) 1 -}}
      {{- fail (printf "Argo workflow-controllers found in the namespaces %s. Whoever runs one there would be trusted: set argo.namespaces to those that you mean." (join ", " $discovered.namespaces)) -}}
    {{- end -}}
  {{- else if not .Values.argo.namespaces -}}
    {{- fail "argo.controllers and argo.executorImages are missing: without the cluster (helm template, Argo CD) nobody can say which Argo to trust. Set argo.namespaces to the namespaces in which Argo runs, whose owners you trust; or set both." -}}
  {{- end -}}
{{- end -}}
{{- $given := dict -}}
{{- range $user := .Values.argo.executorUsers -}}
  {{- $image := regexReplaceAll "=[0-9]+$" $user "" -}}
  {{- if not (or $.Values.argo.namespaces (has $image $images)) -}}{{- fail (printf "argo.executorUsers is about the image %s. The executor images are %s." $image (join ", " $images)) -}}{{- end -}}
  {{- if hasKey $given $image -}}{{- fail (printf "argo.executorUsers names two users for the image %s." $image) -}}{{- end -}}
  {{- $_ := set $given $image $user -}}
{{- end -}}
{{- $users := list -}}
{{- range $image := uniq (concat $images (keys $given | sortAlpha)) -}}
  {{- if hasKey $given $image -}}
    {{- $users = append $users (get $given $image) -}}
  {{- else if and (regexMatch "-nonroot(:[^:/@]+)?(@.+)?$" $image) (not (include "argoseal.openshift" $)) -}}
    {{- $users = append $users (printf "%s=8737" $image) -}}
  {{- end -}}
{{- end -}}
{{- dict "controllers" $controllers "executorImages" $images "executorEnv" $env "executorUsers" $users "plainStores" $plain "requeueTimes" $requeues "found" $found "left" $left "hasty" $hasty | toJson -}}
{{- end }}

{{/*
Looks for containers that are called workflow-controller or run a program or
an image of that name, in the given namespaces. Where none are given, only what its
cluster's administrators have made Argo is evidence, for whoever may make Deployments
would become an Argo controller: a Deployment with a ready pod, in a namespace
without a mode, with a ServiceAccount that may write Workflows in every namespace.
"left" are the others, with why. "hasty" are those found that take a webhook that does
not answer for a step's failure. "namespaces" are those of what was found without
being given.
*/}}
{{- define "argoseal.discoverArgo" -}}
{{- $controllers := list -}}
{{- $images := list -}}
{{- $env := list -}}
{{- $plain := list -}}
{{- $requeues := list -}}
{{- $found := list -}}
{{- $left := list -}}
{{- $hasty := list -}}
{{- $guarded := list -}}
{{- $namespaces := list -}}
{{- $given := .Values.argo.namespaces -}}
{{- range $n := (lookup "v1" "Namespace" "" "").items -}}
  {{- if hasKey ($n.metadata.labels | default dict) "argoseal.dev/mode" -}}{{- $guarded = append $guarded $n.metadata.name -}}{{- end -}}
{{- end -}}
{{- $trusted := include "argoseal.clusterWide" . | fromJsonArray -}}
{{- range $deployment := (lookup "apps/v1" "Deployment" "" "").items -}}
  {{- $pod := $deployment.spec.template.spec -}}
  {{- range $c := $pod.containers -}}
    {{- $program := base (first (concat ($c.command | default list) (list ""))) -}}
    {{- $image := base (regexReplaceAll "(:[^:/@]*)?(@.*)?$" $c.image "") -}}
    {{- if has "workflow-controller" (list $c.name $program $image) -}}
      {{- $namespace := $deployment.metadata.namespace -}}
      {{- $account := printf "%s/%s" $namespace ($pod.serviceAccountName | default "default") -}}
      {{- $why := "" -}}
      {{- if $given -}}
        {{- if not (has $namespace $given) -}}{{- $why = "not in argo.namespaces" -}}{{- end -}}
      {{- else if has $namespace $guarded -}}
        {{- $why = "its namespace has a mode" -}}
      {{- else if not ($deployment.status.readyReplicas | default 0) -}}
        {{- $why = "no pod of it is ready" -}}
      {{- else if not (has $account $trusted) -}}
        {{- $why = "no ClusterRoleBinding lets its ServiceAccount write Workflows" -}}
      {{- end -}}
      {{- if $why -}}
        {{- $left = append $left (printf "%s/%s (%s)" $namespace $deployment.metadata.name $why) -}}
      {{- else -}}
        {{- $controllers = append $controllers $account -}}
        {{- $executor := include "argoseal.executor" (list $namespace $c) | fromJson -}}
        {{- $images = append $images $executor.image -}}
        {{- $env = concat $env $executor.env -}}
        {{- $plain = concat $plain $executor.plainStores -}}
        {{- $requeue := "10s" -}}
        {{- $patient := false -}}
        {{- range $c.env | default list -}}
          {{- if and (eq .name "DEFAULT_REQUEUE_TIME") (regexMatch "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$" (.value | default "")) -}}{{- $requeue = .value -}}{{- end -}}
          {{- if and (eq .name "TRANSIENT_ERROR_PATTERN") (.value | default "") -}}{{- $patient = regexMatch .value "failed calling webhook" -}}{{- end -}}
        {{- end -}}
        {{- if not $patient -}}{{- $hasty = append $hasty (printf "%s/%s" $namespace $deployment.metadata.name) -}}{{- end -}}
        {{- $requeues = append $requeues $requeue -}}
        {{- $found = append $found (printf "%s/%s" $namespace $deployment.metadata.name) -}}
        {{- if not $given -}}{{- $namespaces = append $namespaces $namespace | uniq -}}{{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- dict "controllers" (uniq $controllers) "executorImages" (uniq (compact $images)) "executorEnv" (uniq $env) "plainStores" (uniq $plain) "requeueTimes" (uniq $requeues) "found" (uniq $found) "left" (uniq $left) "hasty" (uniq $hasty) "namespaces" $namespaces | toJson -}}
{{- end }}

{{/*
ServiceAccounts that may write Workflows in every namespace, as a JSON list of
NAMESPACE/NAME: only cluster administrators can make an account one of these.
*/}}
{{- define "argoseal.clusterWide" -}}
{{- $roles := list -}}
{{- range $role := (lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" "").items -}}
  {{- range $rule := $role.rules | default list -}}
    {{- $groups := $rule.apiGroups | default list -}}
    {{- $resources := $rule.resources | default list -}}
    {{- if and (or (has "*" $groups) (has "argoproj.io" $groups)) (or (has "*" $resources) (has "workflows" $resources)) (or (has "*" $rule.verbs) (has "update" $rule.verbs)) (not $rule.resourceNames) -}}
      {{- $roles = append $roles $role.metadata.name -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $accounts := list -}}
{{- range $binding := (lookup "rbac.authorization.k8s.io/v1" "ClusterRoleBinding" "" "").items -}}
  {{- if has $binding.roleRef.name $roles -}}
    {{- range $subject := $binding.subjects | default list -}}
      {{- if eq $subject.kind "ServiceAccount" -}}{{- $accounts = append $accounts (printf "%s/%s" $subject.namespace $subject.name) -}}{{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- uniq $accounts | toJson -}}
{{- end }}

{{/*
The executor of a workflow-controller container, as JSON {image, env, plainStores}. The
image is found where Argo looks for it and in Argo's order: flag, environment,
ConfigMap, its own version. The variables are the literal ones of the ConfigMap, and the
store is its repository's, if Argo is to speak to it without TLS.
Call with (list $namespace $container).
*/}}
{{- define "argoseal.executor" -}}
{{- $namespace := index . 0 -}}
{{- $c := index . 1 -}}
{{- $flags := dict "executor-image" "" "configmap" "workflow-controller-configmap" -}}
{{- range $env := $c.env | default list -}}
  {{- if eq $env.name "ARGO_EXECUTOR_IMAGE" -}}{{- $_ := set $flags "executor-image" ($env.value | default "") -}}{{- end -}}
  {{- if eq $env.name "ARGO_CONFIGMAP" -}}{{- $_ := set $flags "configmap" ($env.value | default "") -}}{{- end -}}
{{- end -}}
{{- $pending := "" -}}
{{- range $arg := concat ($c.command | default list) ($c.args | default list) -}}
  {{- if $pending -}}
    {{- $_ := set $flags $pending $arg -}}
    {{- $pending = "" -}}
  {{- else -}}
    {{- range $flag := keys $flags -}}
      {{- if eq $arg (printf "--%s" $flag) -}}
        {{- $pending = $flag -}}
      {{- else if hasPrefix (printf "--%s=" $flag) $arg -}}
        {{- $_ := set $flags $flag (trimPrefix (printf "--%s=" $flag) $arg) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $data := (lookup "v1" "ConfigMap" $namespace (index $flags "configmap")).data | default dict -}}
{{- $executor := $data.executor | default "" | fromYaml -}}
{{- $repository := $data.artifactRepository | default "" | fromYaml -}}
{{- if $data.config -}}
  {{- $executor = ($data.config | fromYaml).executor | default dict -}}
  {{- $repository = ($data.config | fromYaml).artifactRepository | default dict -}}
{{- end -}}
{{- $image := index $flags "executor-image" | default $executor.image | default "" -}}
{{- if not $image -}}
  {{- /* Argo falls back to the executor of its own version. */ -}}
  {{- $tag := regexReplaceAll "@.*$" $c.image "" | regexFind ":[^:/]+$" | trimPrefix ":" -}}
  {{- if $tag -}}{{- $image = printf "quay.io/argoproj/argoexec:%s" $tag -}}{{- end -}}
{{- end -}}
{{- $env := list -}}
{{- range $v := $executor.env | default list -}}
  {{- if not $v.valueFrom -}}{{- $env = append $env (printf "%s=%s" $v.name ($v.value | default "")) -}}{{- end -}}
{{- end -}}
{{- $plain := list -}}
{{- with $repository.s3 -}}
  {{- if and .endpoint (eq (toString .insecure) "true") -}}{{- $plain = list (lower .endpoint) -}}{{- end -}}
{{- end -}}
{{- dict "image" $image "env" $env "plainStores" $plain | toJson -}}
{{- end }}
