{{- define "charttrust.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "charttrust.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "charttrust.labels" -}}
{{ include "charttrust.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "charttrust.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "charttrust.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "charttrust.image" -}}
{{- /* Without a host the name would be one of Docker Hub's own images, which nobody has published. */ -}}
{{- if not (or .Values.image.registry (contains "/" .Values.image.repository) (eq .Values.image.pullPolicy "Never")) -}}
{{- fail "image.registry is empty, and there is no published image: name the registry that you have pushed yours to (operator/Dockerfile), or set image.pullPolicy=Never where the nodes have it" -}}
{{- end -}}
{{- with .Values.image.registry -}}{{ . }}/{{- end -}}
{{- .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag -}}
{{- with .Values.image.digest -}}@{{ . }}{{- end -}}
{{- end -}}

{{- define "charttrust.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "charttrust.serviceAccountName" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}

{{- define "charttrust.container" -}}
image: {{ include "charttrust.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{- /* The match condition of the fence: who is held by it. */ -}}
{{- define "charttrust.isOperator" -}}
- name: the-operator
  expression: "request.userInfo.username == 'system:serviceaccount:{{ .Release.Namespace }}:{{ include "charttrust.serviceAccountName" . }}'"
{{- end -}}

{{- define "charttrust.celList" -}}
[{{ range $index, $name := . }}{{ if $index }}, {{ end }}'{{ $name }}'{{ end }}]
{{- end -}}

{{- define "charttrust.fenceBinding" }}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "charttrust.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
{{- end -}}

{{/* The value of the field that holds an object, as JSON; '' if it is absent, '?' if it cannot be told. */}}
{{- define "charttrust.celHold" -}}
>-
        variables.resource == 'daemonsets' ? ('charttrust.io/quarantined' in variables.nodes{{ . }} ?
        '"' + variables.nodes{{ . }}['charttrust.io/quarantined'] + '"' : '') :
        variables.resource == 'helmcharts' ? (variables.unmanaged in variables.annotations{{ . }} ?
        '"' + variables.annotations{{ . }}[variables.unmanaged] + '"' : '') :
        variables.resource == 'applications' ? (!has(variables.sync{{ . }}.automated) || variables.sync{{ . }}.automated == null ? '' :
        variables.sync{{ . }}.automated.all(name, name in variables.automated && type(variables.sync{{ . }}.automated[name]) == bool) ?
        '{' + variables.automated.filter(name, name in variables.sync{{ . }}.automated).map(name,
        '"' + name + '":' + (variables.sync{{ . }}.automated[name] == true ? 'true' : 'false')).join(',') + '}' : '?') :
        variables.field == ['suspend'] ? (!has(variables.spec{{ . }}.suspend) || variables.spec{{ . }}.suspend == null ? '' :
        variables.spec{{ . }}.suspend == true ? 'true' : variables.spec{{ . }}.suspend == false ? 'false' : '?') :
        !has(variables.spec{{ . }}.replicas) ? '' : string(variables.spec{{ . }}.replicas)
{{- end -}}

{{/* Whether that field is as the operator sets it. */}}
{{- define "charttrust.celIsHeld" -}}
>-
        variables.resource == 'daemonsets' ? variables.hold{{ . }} == '"true"' :
        variables.resource == 'helmcharts' ? variables.hold{{ . }} != '' :
        variables.resource == 'applications' ? variables.hold{{ . }} == '' :
        variables.field == ['suspend'] ? variables.hold{{ . }} == 'true' : variables.hold{{ . }} == '0'
{{- end -}}

{{/* What an annotation begins with: incident, Quarantine, object, revision, time. */}}
{{- define "charttrust.celHead" -}}
r'^[{]"incident":"[^"\\]*","quarantine":"[^"\\]*","uid":"[^"\\]*"(,"revision":[0-9]+)?,"time":"[^"\\]*"'
{{- end -}}

{{/* What an annotation says that the object was: what stands before the owners. */}}
{{- define "charttrust.celSaved" -}}
>-
        variables.head{{ . }} == '' ? '?' :
        variables.tail{{ . }}.contains(',"owners":[') ? variables.tail{{ . }}.split(',"owners":[', 2)[0] :
        variables.tail{{ . }}.endsWith('}') ? variables.tail{{ . }}.substring(0, size(variables.tail{{ . }}) - 1) : '?'
{{- end -}}

{{- /* What the operator may do in the namespaces that it looks at: all of them, or those of discovery.namespaces. */ -}}
{{- define "charttrust.discoveryRules" -}}
# Helm stores releases in Secrets or ConfigMaps; RBAC cannot select by type. Single objects are
# read by list too, never by get.
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [list, watch]
{{- if .Values.sources.readDeployerSecrets }}
# The logins of sources of Flux, each by the name that the source gives.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end }}
- apiGroups: [charttrust.io]
  resources: [quarantines/status, releasetrusts/status]
  verbs: [update]
- apiGroups: [charttrust.io]
  resources: [quarantines]
  verbs: [get, list, watch, patch]
- apiGroups: [charttrust.io]
  resources: [releasetrusts]
  verbs: [get, list, watch, create, delete]
# What deploys releases, and says where their charts come from. Where there is none of these kinds, the
# rules do nothing.
- apiGroups: [helm.toolkit.fluxcd.io]
  resources: [helmreleases]
  verbs: [get, list, watch]
- apiGroups: [source.toolkit.fluxcd.io]
  resources: [helmcharts, helmrepositories, ocirepositories]
  verbs: [get, list, watch]
- apiGroups: [helm.cattle.io]
  resources: [helmcharts]
  verbs: [list, watch]
# What Argo CD deploys leaves no record: its Applications say themselves which charts they are made of.
- apiGroups: [argoproj.io]
  resources: [applications]
  verbs: [list, watch]
{{- if .Values.discovery.unaccounted }}
# What runs with Helm's marks and without a record. Asked for are metadata; RBAC cannot say so.
- apiGroups: [apps]
  resources: [daemonsets, deployments, statefulsets]
  verbs: [list, watch]
- apiGroups: [batch]
  resources: [cronjobs, jobs]
  verbs: [list, watch]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- /* Reports have names that are not known beforehand: charttrust, charttrust-2 and so on. */ -}}
{{- if has .Values.reports (list "auto" "openreports") }}
- apiGroups: [openreports.io]
  resources: [reports]
  verbs: [get, create, update, delete]
{{- end }}
{{- if has .Values.reports (list "auto" "wgpolicyk8s") }}
- apiGroups: [wgpolicyk8s.io]
  resources: [policyreports]
  verbs: [get, create, update, delete]
{{- end }}
{{- end -}}

{{- /* What it may do there beyond that where quarantine is on. */ -}}
{{- define "charttrust.quarantineRules" -}}
- apiGroups: [charttrust.io]
  resources: [quarantines]
  verbs: [create, delete]
- apiGroups: [apps]
  resources: [daemonsets, deployments, replicasets, statefulsets]
  verbs: [get, list, patch]
- apiGroups: [batch]
  resources: [cronjobs, jobs]
  verbs: [get, list, patch]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [list]
# Whose Pods a selector selects.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, create, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get]
# Deployers that would undo the rest.
- apiGroups: [helm.toolkit.fluxcd.io]
  resources: [helmreleases]
  verbs: [get, list, patch]
- apiGroups: [helm.cattle.io]
  resources: [helmcharts]
  verbs: [get, list, patch]
- apiGroups: [argoproj.io]
  resources: [applications]
  verbs: [get, list, patch]
{{- end -}}

{{- /* A Role of this name and these rules in one namespace, and its binding to the operator. */ -}}
{{- define "charttrust.roleIn" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "charttrust.labels" .root | nindent 4 }}
rules:
  {{- include .rules .root | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "charttrust.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
{{ include "charttrust.subjects" .root }}
{{- end -}}

{{- /* Where the operator and the webhook may go. */ -}}
{{- define "charttrust.egress" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
# The API server, and chart repositories. Policies name ports after translation.
{{- $ports := list }}
{{- range .Values.networkPolicy.egressPorts }}
{{- $ports = append $ports (int .) }}
{{- end }}
{{- range .Values.allowHosts }}
{{- if regexMatch "^(\\[[^]]+\\]|[^:]+):[0-9]+$" . }}
{{- $ports = append $ports (regexFind "[0-9]+$" . | int) }}
{{- end }}
{{- end }}
- ports:
    {{- range $ports | uniq }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- with .Values.networkPolicy.extraEgress }}
{{- toYaml . | nindent 0 }}
{{- end }}
{{- end -}}

{{- define "charttrust.webhook" -}}
{{ include "charttrust.fullname" . }}-webhook
{{- end -}}

{{- define "charttrust.webhookSecret" -}}
{{- if eq .Values.admission.tls.mode "existingSecret" -}}
{{ .Values.admission.tls.secretName }}
{{- else -}}
charttrust-webhook-tls
{{- end -}}
{{- end -}}

{{- define "charttrust.webhookSubjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "charttrust.webhook" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}

{{- /* How API servers ask a webhook of ours, and about which namespaces. */ -}}
{{- define "charttrust.webhookAsked" -}}
admissionReviewVersions: [v1]
sideEffects: None
timeoutSeconds: 5
failurePolicy: {{ .Values.admission.failurePolicy }}
matchPolicy: Equivalent
clientConfig:
  service:
    name: {{ include "charttrust.webhook" . }}
    namespace: {{ .Release.Namespace }}
    path: /v1/records
    port: 443
  {{- if eq .Values.admission.tls.mode "existingSecret" }}
  caBundle: {{ .Values.admission.tls.caBundle }}
  {{- end }}
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values:
        {{- concat (list "kube-system" .Release.Namespace) .Values.admission.exemptNamespaces | uniq | toYaml | nindent 8 }}
    {{- with .Values.discovery.namespaces }}
    - key: kubernetes.io/metadata.name
      operator: In
      values:
        {{- toYaml . | nindent 8 }}
    {{- end }}
{{- end -}}

{{- /* What an Application asks for, as CEL: address, chart and version of each source of its spec and its operation. */ -}}
{{- define "charttrust.celSources" -}}
[has({{ . }}.spec) ? dyn({{ . }}.spec) : dyn({}), has({{ . }}.operation) && has({{ . }}.operation.sync) ? dyn({{ . }}.operation.sync) : dyn({})].map(at,
          [[has(at.revision) ? dyn(at.revision) : dyn(''), has(at.revisions) ? dyn(at.revisions) : dyn([])]] +
          ((has(at.source) ? [at.source] : []) + (has(at.sources) ? at.sources : [])).map(one,
          [has(one.repoURL) ? dyn(one.repoURL) : dyn(''), has(one.chart) ? dyn(one.chart) : dyn(''),
          has(one.targetRevision) ? dyn(one.targetRevision) : dyn('')]))
{{- end -}}

{{/* The Leases of all ranges of the namespaces but the first, as a JSON list. */}}
{{- define "charttrust.shardLeases" -}}
{{- $leases := list -}}
{{- range $range := untilStep 1 (int .Values.shards) 1 -}}
{{- $leases = append $leases (printf "charttrust-shard-%d" $range) -}}
{{- end -}}
{{- toJson $leases -}}
{{- end -}}
