{{- define "tallygraph.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- define "tallygraph.fullname" -}}
{{- $name := include "tallygraph.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "tallygraph.selector" -}}
app.kubernetes.io/name: {{ include "tallygraph.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "tallygraph.labels" -}}
{{ include "tallygraph.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "tallygraph.image" -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag }}
{{- end -}}
{{- end }}

{{- /* Pod fields that PodSecurity `restricted` asks for, and those of every pod. */}}
{{- define "tallygraph.podBasics" -}}
serviceAccountName: {{ include "tallygraph.fullname" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "tallygraph.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "tallygraph.databaseEnv" -}}
- name: TALLYGRAPH_DATABASE
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.secret.name }}
      key: {{ .Values.database.secret.key }}
{{- end }}

{{- define "tallygraph.spread" -}}
- maxSkew: 1
  topologyKey: topology.kubernetes.io/zone
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "tallygraph.selector" . | nindent 6 }}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "tallygraph.selector" . | nindent 6 }}
{{- end }}

{{- define "tallygraph.models" -}}
{{ include "tallygraph.fullname" . }}-models
{{- end }}

{{- /* How many model servers there may be at once. */}}
{{- define "tallygraph.maxModelServers" -}}
{{- $of := .Values.modelServer -}}
{{- if eq $of.autoscaling.type "none" -}}{{ int $of.replicas }}{{- else -}}{{ int $of.autoscaling.maxReplicas }}{{- end -}}
{{- end }}

{{- define "tallygraph.maxGateways" -}}
{{- $of := .Values.gateway -}}
{{- if $of.autoscaling.enabled -}}{{ int $of.autoscaling.maxReplicas }}{{- else -}}{{ int $of.replicas }}{{- end -}}
{{- end }}

{{- /* Whether there may be no model server at all. */}}
{{- define "tallygraph.toZero" -}}
{{- $of := .Values.modelServer.autoscaling -}}
{{- if and (ne $of.type "none") (eq (int $of.minReplicas) 0) -}}true{{- end -}}
{{- end }}
